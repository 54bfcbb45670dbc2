"""The audit log, from the terminal."""

from __future__ import annotations

import pytest

from tests.cli.said import Run, answer
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
