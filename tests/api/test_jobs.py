"""The jobs over HTTP: what is due, what ran, what was set aside."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import httpx
import pytest

from jobs.registry import Job, in_one_work
from jobs.scheduler import Scheduler
from privacy import ids, job_runs
from privacy.schedules import Every
from privacy.work import TERMINAL, Work
from tests.server import Threaded
from tests.world import World


@pytest.fixture
def operator(served: Threaded, world: World) -> Iterator[httpx.Client]:
    with served.http(world.keys["operator"]) as client:
        yield client


@pytest.fixture
def scheduler(world: World) -> Scheduler:
    """Of one job, which has run once and is due again in a day."""

    def sweep(work: Work) -> int:
        work.audit("records.reconciled", detail={"count": 3})
        return 3

    made = Scheduler(world.service, {"sweep": Job(in_one_work(sweep), Every(timedelta(days=1)))})
    assert made.run_due() == ["sweep"]
    return made


def test_a_job_is_listed_with_its_last_run(operator: httpx.Client, scheduler: Scheduler) -> None:
    (job,) = operator.get("/v1/jobs").json()["items"]
    assert (job["name"], job["schedule"], job["runs"], job["failures"]) == ("sweep", "every 1 d", 1, 0)
    assert job["owner"] is None
    assert (job["last"]["outcome"], job["last"]["done"], job["last"]["code"]) == ("done", 3, None)


def test_a_job_that_is_asked_for_runs_once_more(operator: httpx.Client, scheduler: Scheduler) -> None:
    assert scheduler.run_due() == []
    asked = operator.post("/v1/jobs/sweep/run", headers={"Idempotency-Key": "once"})
    assert asked.status_code == 202
    assert scheduler.run_due() == ["sweep"]
    again = operator.post("/v1/jobs/sweep/run", headers={"Idempotency-Key": "once"})
    assert again.json() == asked.json()
    assert scheduler.run_due() == []
    newest = operator.get("/v1/jobs/sweep/runs", params={"limit": 1}).json()
    rest = operator.get("/v1/jobs/sweep/runs", params={"cursor": newest["next_cursor"]}).json()
    assert [run["number"] for run in (*newest["items"], *rest["items"])] == [2, 1]


def test_an_item_that_was_set_aside_is_given_back(operator: httpx.Client, scheduler: Scheduler, world: World) -> None:
    item = _poison(world)
    (found,) = operator.get("/v1/jobs/sweep/set-aside").json()["items"]
    assert (UUID(found["item"]), found["failures"], found["code"]) == (item, 3, "corrupt")
    assert operator.post(f"/v1/jobs/sweep/set-aside/{item}/retry").status_code == 204
    assert operator.get("/v1/jobs/sweep/set-aside").json()["items"] == []
    assert operator.post(f"/v1/jobs/sweep/set-aside/{item}/retry").status_code == 204
    assert operator.post(f"/v1/jobs/sweep/set-aside/{ids.new()}/retry").status_code == 404


def test_metrics_show_runs_seconds_and_failures_of_each_job(operator: httpx.Client, scheduler: Scheduler) -> None:
    text = operator.get("/metrics").text
    for name, value in (("runs_total", "1.0"), ("failures_total", "0.0"), ("set_aside", "0.0")):
        assert f'steward_job_{name}{{job="sweep"}} {value}' in text
    assert 'steward_job_seconds_total{job="sweep"}' in text


def test_there_is_no_job_that_was_never_due(operator: httpx.Client) -> None:
    assert operator.get("/v1/jobs").json()["items"] == []
    for method, path in (("GET", "runs"), ("POST", "run"), ("GET", "set-aside")):
        assert operator.request(method, f"/v1/jobs/unheard-of/{path}").status_code == 404


def _poison(world: World) -> UUID:
    item = ids.new()
    for _ in range(job_runs.MOST_FAILURES):
        with world.service.begin(TERMINAL) as work:
            job_runs.failed_item(work, "sweep", item, "corrupt")
    return item
