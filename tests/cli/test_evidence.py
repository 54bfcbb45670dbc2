"""`privacy audit verify`: the local log, a bundle on its own, and what each says of a log that was touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from privacy.database import open_database
from tests.cli.said import Run

pytestmark = pytest.mark.usefixtures("admin_key")


def _answer(run: Run, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("audit", "verify", *arguments, "--json").stdout)
    return found


def test_the_local_log_holds(run: Run) -> None:
    found = _answer(run)
    assert found["ok"]
    assert found["events"] == found["size"] > 0
    assert run("audit", "verify").exit_code == 0


def test_the_keys_of_the_log_are_printed_for_auditors(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (first,) = run("audit", "vkey").stdout.splitlines()
    monkeypatch.setenv("PRIVACY_CHECKPOINT_MLDSA", "1")
    both = run("audit", "vkey").stdout.splitlines()
    assert both[0] == first
    assert json.loads(run("audit", "vkey", "--json").stdout) == {"vkeys": both}
    for key in both:
        found = _answer(run, "--key", key, "--witness", both[1])
        assert found["ok"], found


def test_a_log_that_was_touched_does_not_hold_and_the_position_is_named(run: Run, urls: tuple[str, str]) -> None:
    assert _answer(run)["ok"]
    touched = text(
        "UPDATE audit_events SET actor = 'somebody' WHERE event_id ="
        " (SELECT event_id FROM audit_positions WHERE position = 1)"
    )
    database = open_database(urls[0])
    with database.borrow() as lane, lane.transaction() as transaction:
        if database.kind == "sqlite":
            transaction.execute(text("DROP TRIGGER audit_events_refuse_update"))
        else:
            transaction.execute(text("SET LOCAL session_replication_role = replica"))
        transaction.execute(touched)
    database.close()
    found = _answer(run)
    assert not found["ok"]
    assert found["first_bad_position"] == 1
    shown = run("audit", "verify")
    assert shown.exit_code == 1
    assert "1:" in shown.stdout


def test_what_cannot_be_read_is_said_and_is_no_verdict(run: Run, tmp_path: Path) -> None:
    assert run("audit", "verify", str(tmp_path / "nothing.zip")).exit_code == 1
    assert run("audit", "verify", "--key", "nonsense").exit_code == 1
    assert run("audit", "verify", "--checkpoint", str(tmp_path / "none")).exit_code == 2
