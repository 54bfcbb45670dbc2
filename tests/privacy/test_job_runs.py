"""What people see of the jobs, and what becomes of an item that a job cannot do."""

from __future__ import annotations

import threading
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import update

from privacy import alerts, ids, job_runs, slots
from privacy.errors import Forbidden, NotFound
from privacy.schedules import Every
from privacy.slots import Terms
from privacy.tables import job_runs as runs_table
from privacy.work import TERMINAL
from tests.world import World

_NEVER = threading.Event()
EVERY = Terms(Every(timedelta(minutes=5)))

# Broken by hand: set aside at the fourth failure, and at the second; an alert for each item; `retry_item` that keeps
# the failures; `forget` without its date.


def fail(world: World, item: UUID, times: int = 1, job: str = "sweep") -> bool:
    for _ in range(times):
        with world.service.begin(TERMINAL) as work:
            is_aside = job_runs.failed_item(work, job, item, "corrupt")
    return is_aside


def aside(world: World, job: str = "sweep") -> set[UUID]:
    with world.service.begin(TERMINAL) as work:
        return job_runs.set_aside(work, job)


def raised(world: World) -> list[tuple[str, str, int]]:
    with world.service.begin(TERMINAL) as work:
        return [(one.rule, one.actor, one.count) for one in alerts.listed(work)]


def registered(world: World) -> None:
    with world.service.begin(TERMINAL) as work:
        slots.register(work, {"sweep": EVERY.schedule})


def test_an_item_is_set_aside_after_three_failures_and_the_others_go_on(world: World) -> None:
    poison, other = ids.new(), ids.new()
    assert not fail(world, poison, 2)
    assert not fail(world, other)
    assert aside(world) == set()
    assert fail(world, poison)
    assert aside(world) == {poison}
    assert aside(world, "another") == set()
    event = world.events(action="job.item-failed")[-1]
    assert event["detail"] == {"code": "corrupt", "failures": 3, "item": str(poison), "job": "sweep"}


def test_many_items_of_a_day_are_one_alert(world: World) -> None:
    for _ in range(3):
        fail(world, ids.new(), 4)
    assert raised(world) == [("job-item-set-aside", "sweep", 3)]
    world.clock.advance(days=1)
    fail(world, ids.new(), 3)
    assert raised(world) == [("job-item-set-aside", "sweep", 1), ("job-item-set-aside", "sweep", 3)]


def test_an_item_that_is_given_back_has_three_more_tries(world: World) -> None:
    registered(world)
    poison = ids.new()
    fail(world, poison, 3)
    operator = world.actor("operator")
    with world.service.begin(operator) as work:
        (listed,) = job_runs.items(work, "sweep")
        assert (listed.item, listed.failures, listed.code) == (poison, 3, "corrupt")
        assert job_runs.listed(work)[0].set_aside == 1
        job_runs.retry_item(work, "sweep", poison)
        assert job_runs.items(work, "sweep") == []
    assert not fail(world, poison, 2)
    with pytest.raises(NotFound), world.service.begin(operator) as work:
        job_runs.retry_item(work, "sweep", ids.new())
    assert fail(world, poison)


def test_services_and_auditors_move_no_job(world: World) -> None:
    registered(world)
    for actor in (world.desk, world.auditor):
        with pytest.raises(Forbidden), world.service.begin(actor) as work:
            job_runs.ask(work, "sweep")
        with pytest.raises(Forbidden), world.service.begin(actor) as work:
            job_runs.retry_item(work, "sweep", ids.new())
    with pytest.raises(Forbidden), world.service.begin(world.desk) as work:
        job_runs.listed(work)
    with world.service.begin(world.auditor) as work:
        assert [(one.name, one.schedule, one.last) for one in job_runs.listed(work)] == [("sweep", "every 5 min", None)]
    for act in (job_runs.history, job_runs.items, job_runs.ask):
        with pytest.raises(NotFound), world.service.begin(TERMINAL) as work:
            act(work, "unheard-of")


def test_runs_are_paged_and_forgotten_after_90_days(world: World) -> None:
    registered(world)
    for _ in range(3):
        with world.service.begin(TERMINAL) as work:
            claim = slots.claim(work, "sweep", EVERY, "a", at_once=True)
        assert claim is not None
        with world.service.begin(TERMINAL) as work:
            slots.finish(work, slots.Progress(claim, _NEVER), code=None, is_more=False, busy_micros=1_500_000)
    with world.service.begin(TERMINAL) as work:
        first = job_runs.history(work, "sweep", limit=2)
        rest = job_runs.history(work, "sweep", before=first[-1].id)
        old = work.instant - timedelta(days=91) // timedelta(microseconds=1)
        work.execute(update(runs_table).where(runs_table.c.fence == 1).values(finished_at=old))
        assert job_runs.forget(work) == 1
        assert [run.number for run in job_runs.history(work, "sweep")] == [3, 2]
    assert [run.number for run in (*first, *rest)] == [3, 2, 1]
    gauge = job_runs.gauges(world.service.database, world.service.instant())["sweep"]
    assert (gauge.runs, gauge.failures, gauge.seconds, gauge.overdue_seconds) == (3, 0, 4.5, 0)


def test_what_failed_once_long_ago_is_forgotten_and_what_is_set_aside_stays(world: World) -> None:
    poison = ids.new()
    fail(world, ids.new())
    fail(world, poison, 3)
    world.clock.advance(days=91)
    with world.service.begin(TERMINAL) as work:
        assert job_runs.forget(work) == 1
    assert aside(world) == {poison}
