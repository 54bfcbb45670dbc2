"""Exposure over HTTP and at the terminal: who may ask, what comes back, and in which forms."""

from __future__ import annotations

import csv
import io
import json
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import httpx
import pytest

from privacy.client import PrivacyClient
from tests.api.test_access import is_problem
from tests.cli.said import answer
from tests.server import Threaded
from tests.world import PERSON, World

AT: Final = "/v1/audit/exposure"


@pytest.fixture
def seen(world: World) -> list[UUID]:
    """Three subjects whom the desk has read, each twice."""
    subjects = [world.subject() for _ in range(3)]
    for subject in subjects:
        stored = world.store(subject)
        for _ in range(2):
            world.read(stored.id, "customer-service")
    return sorted(subjects)


def test_a_leaked_key_names_whom_it_has_seen(auditor: httpx.Client, world: World, seen: list[UUID]) -> None:
    key = world.keys["desk"]
    found: dict[str, Any] = auditor.post(AT, json={"key": key}).json()
    assert [item["subject"] for item in found["items"]] == [str(subject) for subject in seen]
    assert found["totals"]["subjects"] == 3
    assert found["totals"]["disclosures"] == 6
    assert found["key_id"] == sha256(key.encode()).hexdigest()[:16]
    fields = {(of["type"], of["field"]): (of["times"], of["masked"]) for of in found["items"][0]["fields"]}
    masked = {"phone", "id_number"}
    assert fields == {("member", name): (2, 2 if name in masked else 0) for name in ("name", *masked)}
    again = auditor.post(AT, json={"key_id": found["key_id"], "until": found["until"]}).json()
    assert (again["items"], again["totals"]) == (found["items"], found["totals"])
    assert (found["missing"], found["archived"], found["next_cursor"]) == (0, 0, None)
    assert key not in json.dumps(found)


def test_the_address_of_calls_is_found(auditor: httpx.Client, desk: httpx.Client, world: World) -> None:
    stored = world.store(world.subject())
    desk.get(f"/v1/records/{stored.id}", params={"purpose": "customer-service"}).raise_for_status()
    assert auditor.post(AT, json={"address": "127.0.0.1"}).json()["totals"]["disclosures"] == 1
    assert auditor.post(AT, json={"address": "192.0.2.1"}).json()["totals"]["disclosures"] == 0


def test_a_walk_over_pages_meets_each_subject_once(auditor: httpx.Client, seen: list[UUID]) -> None:
    body: dict[str, Any] = {"principal": "desk", "limit": 1}
    met = []
    while True:
        page = auditor.post(AT, json=body).json()
        assert (page["totals"] is None) == ("cursor" in body)
        met += [item["subject"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        body["cursor"] = page["next_cursor"]
    assert met == [str(subject) for subject in seen]


def test_the_list_comes_as_csv_and_as_ndjson(auditor: httpx.Client, seen: list[UUID]) -> None:
    first = auditor.post(AT, json={"principal": "desk", "form": "csv", "limit": 2})
    assert first.headers["content-type"] == "text/csv; charset=utf-8"
    cursor = first.headers["x-next-cursor"]
    rest = auditor.post(AT, json={"principal": "desk", "form": "csv", "limit": 2, "cursor": cursor})
    assert "x-next-cursor" not in rest.headers
    rows = list(csv.DictReader(io.StringIO(first.text + rest.text)))
    assert sorted({row["subject"] for row in rows}) == [str(subject) for subject in seen]
    lines = auditor.post(AT, json={"principal": "desk", "form": "ndjson"})
    assert lines.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["subject"] for line in lines.text.splitlines()] == [str(subject) for subject in seen]
    for value in PERSON.values():
        assert value not in first.text + rest.text + lines.text


def test_only_auditors_and_administrators_may_ask(served: Threaded, world: World) -> None:
    for name in ("platform", "operator"):
        with served.http(world.keys[name]) as http:
            is_problem(http.post(AT, json={"principal": "desk"}), 403, "not-granted")
    for name in ("auditor", "admin"):
        with served.http(world.keys[name]) as http:
            assert http.post(AT, json={"principal": "desk"}).status_code == 200


def test_a_question_that_cannot_be_meant_is_refused_without_its_words(auditor: httpx.Client, world: World) -> None:
    key = world.keys["desk"]
    for body, status, code in (
        ({}, 400, "invalid"),
        ({"key": key[:-1]}, 400, "invalid"),
        ({"address": "wang.wei@example.cn"}, 400, "invalid"),
        ({"principal": "desk", "cursor": "x"}, 400, "invalid"),
        ({"principal": "desk", "since": "yesterday"}, 400, "invalid"),
        ({"key_id": "0" * 16}, 404, "not-found"),
        ({"principal": "wang.wei@example.cn"}, 404, "not-found"),
    ):
        refused = auditor.post(AT, json=body)
        is_problem(refused, status, code)
        assert "wang" not in refused.text
        assert key[8:20] not in refused.text


def test_the_client_asks(served: Threaded, world: World, seen: list[UUID]) -> None:
    with PrivacyClient(served.url, world.keys["auditor"]) as privacy:
        found = privacy.exposure(key=world.keys["desk"], limit=2)
        rest = privacy.exposure(key=world.keys["desk"], limit=2, cursor=str(found["next_cursor"]))
    items = [*found["items"], *rest["items"]]  # type: ignore[misc]  # as JSON has it
    assert [item["subject"] for item in items] == [str(subject) for subject in seen]


def test_the_terminal_asks_and_writes_the_list(
    world: World, seen: list[UUID], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from cli.main import app

    settings = world.service.settings
    monkeypatch.setenv("PRIVACY_HOME", str(settings.home))
    monkeypatch.setenv("PRIVACY_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("PRIVACY_KEYSTORE_URL", settings.keystore_url)
    run = CliRunner().invoke
    found = answer(run(app, ["audit", "exposure", "--key", "--json"], input=world.keys["desk"] + "\n"))
    assert [item["subject"] for item in found["items"]] == [str(subject) for subject in seen]
    shown = run(app, ["audit", "exposure", "--principal", "desk"])
    assert "3 data subjects" in shown.stdout
    assert "member.phone" in shown.stdout
    for name in ("list.csv", "list.ndjson"):
        file = tmp_path / name
        written = answer(run(app, ["audit", "exposure", "--principal", "desk", "--list", str(file), "--json"]))
        assert written["subjects"] == 3
        assert file.stat().st_mode & 0o777 == 0o600
        assert str(seen[0]) in file.read_text()
    assert run(app, ["audit", "exposure", "--principal", "desk", "--list", str(tmp_path / "list.xls")]).exit_code == 2
    refused = run(app, ["audit", "exposure", "--principal", "nobody", "--list", str(tmp_path / "none.csv")])
    assert refused.exit_code == 1
    assert not list(tmp_path.glob("none*"))
