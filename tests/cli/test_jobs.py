"""The jobs at the terminal."""

from __future__ import annotations

import pytest

from jobs.registry import JOBS
from privacy import ids, job_runs, slots
from privacy.settings import Settings
from privacy.steward import Steward
from privacy.work import TERMINAL
from tests.cli.said import Run, answer

pytestmark = pytest.mark.usefixtures("admin_key")


def test_a_job_runs_here_and_now_and_is_listed(run: Run) -> None:
    assert "No job has ever been due" in run("jobs", "list").output
    ran = answer(run("jobs", "run", "forget-runs", "--json"))
    assert (ran["outcome"], ran["number"]) == ("done", 1)
    assert "done" in run("jobs", "run", "forget-runs").output
    listed = answer(run("jobs", "list", "--json"))["items"]
    assert {one["name"] for one in listed} == set(JOBS)
    assert "daily 03:20 UTC" in run("jobs", "list").output
    history = answer(run("jobs", "history", "forget-runs", "--json"))["items"]
    assert [one["number"] for one in history] == [2, 1]
    assert "done" in run("jobs", "history", "forget-runs", "--limit", "1").output


def test_a_job_that_is_none_ends_with_status_1(run: Run) -> None:
    for command in ("run", "history", "items"):
        assert run("jobs", command, "unheard-of").exit_code == 1


def test_a_job_that_runs_elsewhere_is_not_run_twice(run: Run) -> None:
    service = Steward.open(Settings.from_environment())
    with service.begin(TERMINAL) as work:
        slots.register(work, {"watch": JOBS["watch"].schedule})
    with service.begin(TERMINAL) as work:
        assert slots.claim(work, "watch", JOBS["watch"].terms, "another") is not None
    refused = run("jobs", "run", "watch")
    assert refused.exit_code == 1
    assert "Another process runs this job" in refused.output
    service.close()


def test_what_was_set_aside_is_given_back(run: Run) -> None:
    run("jobs", "run", "watch")
    item = ids.new()
    service = Steward.open(Settings.from_environment())
    for _ in range(job_runs.MOST_FAILURES):
        with service.begin() as work:
            job_runs.failed_item(work, "watch", item, "corrupt")
    service.close()
    assert str(item) in run("jobs", "items", "watch").output
    assert answer(run("jobs", "items", "watch", "--retry", str(item), "--json"))["items"] == []
    assert "Nothing is set aside" in run("jobs", "items", "watch").output
