"""The audit log, from the terminal."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from privacy.audit_verifier import verify
from tests.cli.said import Run, answer, problem
from tests.cli.test_principal import DESK

pytestmark = pytest.mark.usefixtures("admin_key")


def test_what_is_done_at_the_terminal_is_in_the_log(run: Run) -> None:
    answer(run("principal", "add", *DESK, "--json"))
    newest = answer(run("audit", "events", "--action", "principal.added", "--json"))["items"][0]
    assert newest["actor"] == "terminal"
    assert newest["outcome"] == "done"
    assert newest["detail"]["principal"] == "desk"


def test_a_refusal_is_in_the_log(run: Run) -> None:
    run("principal", "add", "desk", "--role", "service", "--purposes", "profiling", "--types", "member")
    refused = answer(run("audit", "events", "--outcome", "refused", "--json"))["items"]
    assert [event["detail"]["code"] for event in refused] == ["undeclared-purpose"]


def test_looking_is_itself_an_event(run: Run) -> None:
    run("audit", "events")
    assert answer(run("audit", "events", "--action", "audit.viewed", "--json"))["items"]


def test_times_bound_what_is_shown(run: Run) -> None:
    assert answer(run("audit", "events", "--until", "2020-01-01", "--json"))["items"] == []
    assert answer(run("audit", "events", "--since", "2020-01-01T00:00:00Z", "--json"))["items"]


def test_more_than_the_limit_is_announced(run: Run) -> None:
    found = answer(run("audit", "events", "--limit", "1", "--json"))
    assert len(found["items"]) == 1
    assert found["more"]


def test_the_table_is_not_cut_where_it_is_piped(run: Run) -> None:
    answer(run("principal", "add", *DESK, "--json"))
    shown = run("audit", "events").stdout
    assert "principal.added" in shown
    assert "principal=desk" in shown


def test_filters_narrow_events_and_counts_alike(run: Run) -> None:
    answer(run("principal", "add", *DESK, "--json"))
    chosen = ("--action", "principal.added", "--role", "admin")
    events = answer(run("audit", "events", *chosen, "--json"))["items"]
    counted = answer(run("audit", "counts", "action", *chosen, "--json"))["items"]
    assert counted == [{"key": "principal.added", "count": len(events)}]
    assert "principal.added" in run("audit", "counts", "action").stdout
    assert run("audit", "counts", "subject").exit_code == 2


def test_an_address_is_asked_for_and_never_an_argument(run: Run) -> None:
    assert answer(run("audit", "events", "--address", "--json", stdin="192.0.2.1\n"))["items"] == []
    assert problem(run("audit", "events", "--address", "--json", stdin="nowhere\n"))["code"] == "invalid"


def test_an_export_is_a_zip_that_verifies(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "audit.zip"
    made = answer(run("audit", "export", str(file), "--json"))
    assert made["bytes"] == file.stat().st_size
    assert verify(str(file), vkey=made["vkey"]).problems == []
    assert file.stat().st_mode & 0o077 == 0
    assert problem(run("audit", "export", str(file), "--json"))["code"] == "invalid"  # it exists
    selection = tmp_path / "selection.zip"
    answer(
        run("audit", "export", str(selection), "--kind", "selection", "--form", "csv", "--actor", "terminal", "--json")
    )
    assert "events.csv" in zipfile.ZipFile(selection).namelist()


def test_an_export_that_is_refused_leaves_no_file(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "audit.zip"
    assert problem(run("audit", "export", str(file), "--actor", "terminal", "--json"))["code"] == "invalid"
    assert not file.exists()
