"""Erasure from the terminal: the whole protocol, its outcome, its certificate, and the ledger's replay."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from tests.cli.said import Run, answer, problem
from tests.world import PERSON, World


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command in this process, on the world's databases."""
    settings = world.service.settings
    monkeypatch.setenv("PRIVACY_HOME", str(settings.home))
    monkeypatch.setenv("PRIVACY_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("PRIVACY_KEYSTORE_URL", settings.keystore_url)
    monkeypatch.setenv("LC_ALL", "C.UTF-8")

    def run(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, arguments, input=stdin)

    return run


def test_a_subject_is_erased_and_the_certificate_verifies_offline(run: Run, world: World, tmp_path: Path) -> None:
    subject = world.subject(external_id="member-9")
    world.store(subject)
    done = answer(run("erasure", "run", str(subject), "--yes", "--json"))
    assert done["erasure"]["state"] == "done"
    assert done["certificate"]["subject"] == str(subject)
    file = tmp_path / "certificate.json"
    said = run("erasure", "show", done["erasure"]["id"], "--certificate")
    file.write_text(said.stdout, encoding="utf-8")
    vkey = world.service.keyring.signer.vkey
    found = answer(run("erasure", "verify", str(file), "--key", vkey, "--json"))
    assert (found["intact"], found["trusted"], found["states"]["erased"]["records"]) == (True, True, 1)
    shown = run("erasure", "verify", str(file))
    assert shown.exit_code == 0
    assert str(subject) in shown.stdout
    for value in PERSON.values():
        assert str(value) not in said.stdout
    changed = json.loads(file.read_text())
    changed["erased"]["records"] = 0
    file.write_text(json.dumps(changed))
    assert problem(run("erasure", "verify", str(file), "--json"))["code"] == "signature-invalid"


def test_the_outcome_is_shown_to_a_person_in_words(run: Run, world: World) -> None:
    subject = world.subject()
    world.store(subject)
    said = run("erasure", "run", str(subject), "--fields", "member.email", "--reason", "no-longer-needed", "--yes")
    assert said.exit_code == 0, said.stderr
    for part in ("fields member.email", "no-longer-needed", "done", "member.email of 1"):
        assert part in said.stdout
    listed = run("erasure", "list", str(subject))
    assert "done" in listed.stdout
    assert len(answer(run("erasure", "list", str(subject), "--json"))["items"]) == 1


def test_without_yes_it_asks_and_a_no_erases_nothing(run: Run, world: World) -> None:
    subject = world.subject()
    said = run("erasure", "run", str(subject), stdin="n\n")
    assert said.exit_code == 1
    assert world.service.keystore.kids_of(subject.bytes)


def test_what_is_not_there_is_refused(run: Run) -> None:
    nobody = "01890a5d-ac96-774b-bcce-b302099a8057"
    assert problem(run("erasure", "run", nobody, "--yes", "--json"))["code"] == "not-found"
    assert problem(run("erasure", "show", nobody, "--json"))["code"] == "not-found"


def test_a_ledger_from_elsewhere_is_applied(run: Run, world: World, tmp_path: Path) -> None:
    subject = world.subject()
    answer(run("erasure", "run", str(subject), "--yes", "--json"))
    assert answer(run("erasure", "replay", "--json"))["subjects"] == 0
    kept = tmp_path / "ledger"
    kept.write_bytes((world.service.settings.home / "erasure.ledger").read_bytes())
    found = answer(run("erasure", "replay", str(kept), "--json"))
    assert (found["marks"], found["to_key_store"], found["to_database"]) == (2, 0, 0)
    assert "Marks in the ledger" in run("erasure", "replay", str(kept)).stdout
    assert problem(run("erasure", "replay", str(tmp_path / "nothing"), "--json"))["code"] == "invalid"
