"""Alerts, reviews, reconciliation and the log's retention, from the terminal."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import insert

from privacy.alerts import Found, raise_alert
from privacy.settings import Settings
from privacy.steward import Steward
from privacy.tables import index_entries
from privacy.watch_rules import RECORD_MISMATCH
from tests.cli.said import Run, answer

pytestmark = pytest.mark.usefixtures("admin_key")


def test_an_alert_is_acknowledged_at_the_terminal(run: Run) -> None:
    service = Steward.open(Settings.from_environment())
    with service.begin() as work:
        raise_alert(work, Found(RECORD_MISMATCH, "", 0, 1, 0))
    service.close()
    assert "record-mismatch" not in run("audit", "alerts").output  # said in words
    (alert,) = answer(run("audit", "alerts", "--json"))["items"]
    assert run("audit", "alerts", "--acknowledge", alert["id"]).exit_code == 2
    run("audit", "alerts", "--acknowledge", alert["id"], "--finding", "explained")
    assert answer(run("audit", "alerts", "--json"))["items"] == []
    (again,) = answer(run("audit", "alerts", "--all", "--json"))["items"]
    assert again["finding"] == "explained"


def test_reconciling_ends_with_status_1_and_names_ids(run: Run) -> None:
    assert answer(run("audit", "reconcile", "--json"))["problems"] == []
    lost = uuid4()
    service = Steward.open(Settings.from_environment())
    with service.database.borrow() as lane, lane.transaction() as transaction:
        entry = {"subject_id": uuid4(), "record_id": lost, "field_number": 1, "index_version": 1, "token": 5}
        transaction.execute(insert(index_entries).values(**entry))
    service.close()
    found = run("audit", "reconcile")
    assert found.exit_code == 1
    assert str(lost) in found.output


def test_a_review_is_written_as_a_table(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "review.csv"
    found = answer(run("audit", "review", "2026-01", "--csv", str(file), "--json"))
    assert found["month"] == "2026-01"
    assert file.read_text(encoding="utf-8").startswith("month,principal,role,reads")
    assert run("audit", "review", "2026-13").exit_code == 1


def test_pruning_asks_first(run: Run) -> None:
    assert run("audit", "prune").exit_code == 2
    assert answer(run("audit", "prune", "--dry-run", "--json")) == {"steps": [], "dry_run": True}
    assert "Nothing has passed its period" in run("audit", "prune", "--yes").output
