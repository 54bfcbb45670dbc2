"""Consent, standing and receipts from the terminal, against a running service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from tests.cli.said import Run, answer, problem
from tests.server import in_thread
from tests.world import World

BIRTHDAY = f"{datetime.now(UTC).year - 13}-01-01"


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """The command in this process, with the key of the community platform; `by="operator"` is another's."""
    settings = world.service.settings
    with in_thread(world.service) as service:
        monkeypatch.setenv("PRIVACY_URL", service.url)
        monkeypatch.setenv("PRIVACY_HOME", str(settings.home))
        monkeypatch.setenv("PRIVACY_DATABASE_URL", settings.database_url)
        monkeypatch.setenv("PRIVACY_KEYSTORE_URL", settings.keystore_url)
        monkeypatch.setenv("LC_ALL", "C.UTF-8")

        def run(*arguments: str, stdin: str | None = None, by: str = "platform") -> Result:
            return CliRunner().invoke(app, arguments, input=stdin, env={"PRIVACY_KEY": world.keys[by]})

        yield run


@pytest.fixture
def subject(run: Run) -> str:
    made: str = answer(run("subject", "create", "--json"))["id"]
    return made


def allowed(run: Run, subject: str, purpose: str = "marketing") -> bool:
    asked = run("subject", "decision", subject, "--purpose", purpose, "--type", "member", "--json")
    return answer(asked)["refusal"] is None


# --- consent


def test_consent_is_given_and_withdrawn_and_the_next_decision_knows(run: Run, subject: str) -> None:
    given = answer(run("consent", "give", subject, "marketing", "--language", "zh-CN", "--channel", "web", "--json"))
    assert (given["state"], given["language"], given["channel"], given["notice"]) == ("given", "zh-CN", "web", "1")
    assert allowed(run, subject)
    said = run("consent", "withdraw", subject, "marketing")
    assert said.exit_code == 0, said.stderr
    assert "withdrawn" in said.stdout
    assert "to be told: sms-gateway" in said.stdout
    assert not allowed(run, subject)


def test_what_a_consent_is_said_to_be_is_recorded(run: Run, subject: str) -> None:
    flags = ("--separate", "--written", "--explicit", "--category", "pd:EmailAddress", "--notice", "1")
    given = answer(run("consent", "give", subject, "marketing", *flags, "--json"))
    assert (given["separate"], given["written"], given["explicit"]) == (True, True, True)
    assert given["categories"] == ["pd:EmailAddress"]
    shown = run("consent", "history", subject).stdout
    assert "separate, written, explicit, only pd:EmailAddress" in shown


def test_withdrawing_takes_no_more_than_giving(run: Run, subject: str) -> None:
    """PIPL 15, GDPR 7(3): neither needs more than who and what, and withdrawing never more than that."""
    assert run("consent", "give", subject, "marketing", "--separate").exit_code == 0
    assert run("consent", "withdraw", subject, "marketing").exit_code == 0
    assert run("consent", "withdraw", subject, "marketing").exit_code == 0


def test_who_said_no_is_not_asked_again_and_the_date_is_told(run: Run, subject: str) -> None:
    assert "requested" in run("consent", "request", subject, "marketing").stdout
    assert answer(run("consent", "refuse", subject, "marketing", "--json"))["state"] == "refused"
    refused = problem(run("consent", "request", subject, "marketing", "--json"))
    assert refused["code"] == "cool-off"
    assert datetime.fromisoformat(refused["until"]) > datetime.now(UTC) + timedelta(days=150)
    assert refused["until"][:10] in run("consent", "request", subject, "marketing").stderr


def test_a_childs_consent_is_its_guardians_and_its_birth_date_is_never_an_argument(run: Run, subject: str) -> None:
    created = run("subject", "create", "--born", "--guardian", subject, "--json", stdin=f"{BIRTHDAY}\n")
    child = answer(created)["id"]
    assert BIRTHDAY not in created.stdout + created.stderr
    refused = problem(run("consent", "give", child, "marketing", "--json"))
    assert refused["code"] == "guardian-consent-missing"
    done = answer(run("consent", "give", child, "marketing", "--guardian", subject, "--separate", "--json"))
    assert done["by_guardian"]
    assert allowed(run, child)
    assert "by the guardian" in run("consent", "history", child).stdout


def test_two_personal_values_are_two_lines_of_standard_input(run: Run) -> None:
    made = run("subject", "create", "--external-id", "--born", stdin="member-9\n1990-05-01\n")
    assert made.exit_code == 0, made.stderr
    wrong = problem(run("subject", "create", "--born", "--json", stdin="in spring\n"))
    assert wrong["code"] == "invalid"
    assert "spring" not in wrong["detail"]


def test_the_history_shows_every_act_and_an_instant_what_was_valid_then(run: Run, subject: str) -> None:
    before = datetime.now(UTC).isoformat()
    answer(run("consent", "give", subject, "marketing", "--json"))
    between = datetime.now(UTC).isoformat()
    answer(run("consent", "withdraw", subject, "marketing", "--json"))

    def acts(*options: str) -> list[tuple[str, bool | None]]:
        items = answer(run("consent", "history", subject, *options, "--json"))["items"]
        return [(item["state"], item.get("is_valid")) for item in items]

    assert acts() == acts("--purpose", "marketing") == [("given", None), ("withdrawn", None)]
    assert acts("--purpose", "membership") == []
    assert acts("--at", before) == []
    assert acts("--at", between) == [("given", True)]
    assert acts("--at", datetime.now(UTC).isoformat()) == [("withdrawn", False)]
    shown = run("consent", "history", subject).stdout
    assert [line.split()[3] for line in shown.splitlines()[1:]] == ["given", "withdrawn"]
    assert run("consent", "history", subject, "--at", "yesterday").exit_code == 2


def test_without_a_key_it_says_what_to_do(run: Run, subject: str) -> None:
    done = CliRunner().invoke(app, ["consent", "history", subject], env={"PRIVACY_KEY": None})
    assert done.exit_code == 1
    assert "PRIVACY_KEY" in done.stderr


# --- receipts


@pytest.fixture
def receipt(run: Run, subject: str, tmp_path: Path) -> Path:
    """A receipt of a consent, as the person keeps it."""
    consent = answer(run("consent", "give", subject, "marketing", "--language", "en", "--json"))["id"]
    file = tmp_path / "receipt.json"
    assert run("consent", "receipt", subject, consent, "--out", str(file)).exit_code == 0
    return file


def test_a_receipt_verifies_with_the_deployments_own_key(run: Run, subject: str, receipt: Path) -> None:
    found = answer(run("consent", "verify", str(receipt), "--json"))
    assert found["states"]["state"] == "given"
    assert subject in found["states"]["subject"]
    assert "trusted key" in run("consent", "verify", str(receipt)).stdout


def test_a_receipt_verifies_after_the_signing_key_was_rotated(run: Run, world: World, receipt: Path) -> None:
    world.service.keyring.new_version("signing")
    found = answer(run("consent", "verify", str(receipt), "--json"))
    assert (found["intact"], found["trusted"]) == (True, True)


def test_a_receipt_verifies_where_there_is_no_deployment_with_the_published_key(
    run: Run, world: World, receipt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vkey = world.service.keyring.signer.vkey
    monkeypatch.delenv("PRIVACY_URL")
    monkeypatch.setenv("PRIVACY_HOME", str(tmp_path / "nowhere"))
    assert run("consent", "verify", str(receipt), "--key", vkey).exit_code == 0
    assert "Warning" in run("consent", "verify", str(receipt)).stderr
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("PRIVACY_HOME", str(empty))
    monkeypatch.delenv("PRIVACY_KEYSTORE_URL")
    assert "Warning" in run("consent", "verify", str(receipt)).stderr
    assert list(empty.iterdir()) == []


def test_a_changed_receipt_does_not_verify(run: Run, receipt: Path) -> None:
    document = json.loads(receipt.read_text())
    document["dpv:hasRecordOfActivity"]["dpv:hasConsentStatus"]["dpv:isIndicatedAtTime"] = "2020-01-01T00:00:00Z"
    receipt.write_text(json.dumps(document))
    assert problem(run("consent", "verify", str(receipt), "--json"))["code"] == "signature-invalid"


def test_a_receipt_has_two_forms_and_can_be_piped(run: Run, subject: str) -> None:
    consent = answer(run("consent", "give", subject, "marketing", "--json"))["id"]
    assert answer(run("consent", "receipt", subject, consent))["@type"] == "dpv:ConsentReceipt"
    kantara = answer(run("consent", "receipt", subject, consent, "--format", "kantara", "--json"))
    assert kantara["piiPrincipalId"] == subject


# --- what else stands between a subject and a purpose


def test_an_objection_binds_the_next_decision_until_an_operator_lifts_it(run: Run, subject: str) -> None:
    assert allowed(run, subject, "membership")
    objected = run("subject", "object", subject, "membership", "--reason", stdin="I have left\n")
    assert objected.exit_code == 0, objected.stderr
    assert "I have left" not in objected.stdout
    assert not allowed(run, subject, "membership")
    assert problem(run("subject", "lift", subject, "membership", "--objection", "--json"))["code"] == "not-granted"
    assert run("subject", "lift", subject, "membership", "--objection", by="operator").exit_code == 0
    assert allowed(run, subject, "membership")
    assert run("subject", "lift", subject, "--objection", by="operator").exit_code == 2


def test_a_restriction_is_of_one_purpose_or_of_all(run: Run, subject: str) -> None:
    assert answer(run("subject", "restrict", subject, "membership", "--json"))["purpose"] == "membership"
    assert not allowed(run, subject, "membership")
    assert answer(run("subject", "restrict", subject, "--json"))["purpose"] is None
    standing = answer(run("subject", "standing", subject, "--json"))["items"]
    assert [(one["purpose"], one["restricted_at"] is not None) for one in standing] == [
        (None, True),
        ("membership", True),
    ]
    assert "every purpose" in run("subject", "standing", subject).stdout
    assert "restricted since" in run("subject", "show", subject).stdout
    for purpose in ((), ("membership",)):
        assert run("subject", "lift", subject, *purpose, by="operator").exit_code == 0
    assert allowed(run, subject, "membership")


@pytest.mark.parametrize(("language", "words"), [("zh", "缺少该个人对“营销”的同意"), ("en", "consent to Marketing")])
def test_a_decision_says_in_the_language_asked_for_what_is_missing(
    run: Run, subject: str, language: str, words: str
) -> None:
    asked = ("subject", "decision", subject, "--purpose", "marketing", "--type", "member", "--language", language)
    assert words in run(*asked).stdout
    found = answer(run(*asked, "--json"))
    assert words in found["refusal"]["detail"]
    assert words in found["withheld"]["phone"]["why"]
