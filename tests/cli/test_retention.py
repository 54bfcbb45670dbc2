"""Retention and holds at the terminal."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cli.retention import render
from privacy import ids
from privacy.retention_plans import Line, Plan
from tests.cli.said import Run, answer

pytestmark = pytest.mark.usefixtures("admin_key")


def test_the_plan_and_the_run_of_a_fresh_deployment_are_empty_in_both_languages(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert answer(run("retention", "plan", "--json"))["records"] == 0
    done = answer(run("retention", "run", "--dry-run", "--json"))
    assert (done["dry_run"], done["is_complete"], done["swept"]["records"]) == (True, True, 0)
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert "到期 0 条" in run("retention", "plan", "--until", "2099-01-01").output
    monkeypatch.setenv("LC_ALL", "en_GB.UTF-8")
    assert "nothing was changed" in run("retention", "run", "--dry-run").output
    assert "0 erased" in run("retention", "run").output


def test_a_hold_is_placed_listed_and_lifted(run: Run) -> None:
    why = ("--reference", "case 7", "--reason", "a claim", "--review", "2999-01-01")
    placed = answer(run("hold", "place", "--type", "member", *why, "--json"))
    query = answer(run("hold", "place", "--jurisdictions", "DE", "--from", "2026-01-01", *why, "--json"))
    assert query["query"]["jurisdictions"] == ["DE"]
    assert "case 7" in run("hold", "list").output
    assert "type member" in run("hold", "lift", placed["id"], "--reason", "settled").output
    assert [one["id"] for one in answer(run("hold", "list", "--json"))["items"]] == [query["id"]]
    assert len(answer(run("hold", "list", "--all", "--json"))["items"]) == 2
    assert run("hold", "lift", placed["id"], "--reason", "settled").exit_code == 1


def test_a_hold_on_nothing_or_on_two_things_is_wrong_usage(run: Run) -> None:
    why = ("--reference", "case 7", "--reason", "a claim", "--review", "2999-01-01")
    assert run("hold", "place", *why).exit_code == 2
    assert run("hold", "place", "--type", "member", "--subject", str(ids.new()), *why).exit_code == 2


def test_the_plan_draws_a_bar_a_month(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        Line("member", ("membership",), month, "erase", count) for month, count in (("2026-01", 400), ("2026-02", 1))
    ]
    render(Plan(datetime(2026, 3, 1, tzinfo=UTC), tuple(lines), 401, 3, 2))
    shown = capsys.readouterr().out
    assert f"2026-01  {'█' * 40} 400" in shown
    assert "2026-02  █ 1" in shown
    assert "401 records end, 3 stay for a legal hold, 2 are overdue" in shown
