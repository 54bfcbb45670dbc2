"""The scheduler of a replica: what is due runs, a failure stays with its job, and stopping leaves nothing half-done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from apscheduler.schedulers import base as ticking

from jobs.registry import JOBS, Job, by_itself, in_one_work
from jobs.scheduler import Scheduler
from privacy import job_runs, slots
from privacy.errors import Forbidden, NotFound, Unavailable
from privacy.schedules import Every
from privacy.slots import Progress
from privacy.steward import Steward
from privacy.work import TERMINAL, Work
from tests.world import World

OFTEN: Final = Every(timedelta(milliseconds=20))
RARELY: Final = Every(timedelta(days=1))
TICK: Final = 0.02
PATIENCE: Final = 20.0

# Broken by hand: `stop` that does not wait; `stop` that ends the beats first; a round without `hold`; the exception of
# a job that leaves the thread; a tick that runs jobs in its own thread (a long one holds up the others); a ticker that
# does not notice that the clock was set back; `is_more` that is forgotten.


def until(found: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not found():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def history(world: World, name: str) -> list[job_runs.Run]:
    with world.service.begin(TERMINAL) as work:
        return job_runs.history(work, name)


def counted(calls: list[float], result: int = 1) -> Callable[[Work], int]:
    def run(work: Work) -> int:
        calls.append(time.monotonic())
        return result

    return run


def running(world: World, jobs: Mapping[str, Job]) -> Scheduler:
    made = Scheduler(world.service, jobs, tick_seconds=TICK)
    made.start()
    return made


def test_every_job_of_the_registry_runs_and_is_on_record(world: World) -> None:
    world.service.settings.home.mkdir(exist_ok=True)
    with world.service.begin(TERMINAL) as work:
        slots.register(work, {name: Every(timedelta(days=1)) for name in JOBS})  # due at once, the daily ones too
    assert sorted(Scheduler(world.service).run_due()) == sorted(JOBS)
    with world.service.begin(world.auditor) as work:
        found = {one.name: one for one in job_runs.listed(work)}
    assert set(found) == set(JOBS)
    assert {one.last.outcome for one in found.values() if one.last} == {"done"}
    assert found["forget-runs"].schedule == "daily 03:20 UTC"
    assert Scheduler(world.service).run_due() == []


def test_what_is_due_runs_again_and_again(world: World) -> None:
    calls: list[float] = []
    scheduler = running(world, {"often": Job(in_one_work(counted(calls)), OFTEN)})
    until(lambda: len(calls) >= 5)
    scheduler.stop()
    runs = history(world, "often")
    assert {run.outcome for run in runs} == {"done"}
    assert len(runs) == len(calls)


def test_a_long_job_does_not_hold_up_the_others(world: World) -> None:
    calls: list[float] = []
    release = threading.Event()

    def long(_: Steward) -> int:
        assert release.wait(PATIENCE)
        return 1

    jobs = {"long": Job(by_itself(long), RARELY), "often": Job(in_one_work(counted(calls)), OFTEN)}
    scheduler = running(world, jobs)
    until(lambda: len(calls) >= 5)
    assert history(world, "long")[0].outcome == "running"
    release.set()
    scheduler.stop()
    assert history(world, "long")[0].outcome == "done"


def test_a_job_that_fails_says_so_and_harms_no_other(world: World) -> None:
    calls: list[float] = []

    def refuse(_: Work) -> int:
        raise Unavailable("away", retry_after=1)

    def break_down(_: Work) -> int:
        raise ValueError("the text of an exception may hold anything")

    jobs = {
        "refuse": Job(in_one_work(refuse), OFTEN),
        "break": Job(in_one_work(break_down), OFTEN),
        "often": Job(in_one_work(counted(calls)), OFTEN),
    }
    scheduler = running(world, jobs)
    until(lambda: len(calls) >= 5)
    scheduler.stop()
    for name, code in (("refuse", "unavailable"), ("break", "internal")):
        assert [(run.outcome, run.code) for run in history(world, name)] == [("failed", code)]  # and then it waits
        (event,) = [one for one in world.events(action="job.failed") if one["detail"]["job"] == name]
        assert event["detail"] == {"code": code, "failures": 1, "job": name}


def test_stopping_waits_for_the_round_in_hand_and_leaves_the_rest_to_the_next(world: World) -> None:
    began = threading.Event()
    ended: list[int] = []

    def one_round(work: Work) -> int:
        began.set()
        time.sleep(0.3)
        work.audit("job.asked", detail={"job": "slow"})
        ended.append(1)
        return 10

    jobs = {"slow": Job(in_one_work(one_round), RARELY, again=10)}
    scheduler = running(world, jobs)
    assert began.wait(PATIENCE)
    scheduler.stop()
    (run,) = history(world, "slow")
    assert (run.outcome, run.done) == ("done", 10 * len(ended))
    assert len(world.events(action="job.asked")) == len(ended)
    with world.service.begin(TERMINAL) as work:
        assert job_runs.listed(work)[0].next_run <= work.now  # what is left is due at once


def test_a_job_that_takes_longer_than_its_lease_keeps_it_and_reports(world: World) -> None:
    seen: list[int | None] = []

    def long(_: Steward, progress: Progress) -> int:
        progress.report(3, 4)
        until(lambda: history(world, "long")[0].done == 3)
        time.sleep(1.0)
        seen.append(history(world, "long")[0].total)
        return 4

    jobs = {"long": Job(long, RARELY, lease=timedelta(seconds=0.4))}
    one, other = running(world, jobs), running(world, jobs)
    until(lambda: seen)
    one.stop()
    other.stop()
    assert [(run.outcome, run.done, run.total) for run in history(world, "long")] == [("done", 4, 4)]


def test_the_job_in_hand_shows_that_it_lives_while_the_scheduler_stops(world: World) -> None:
    began = threading.Event()

    def stubborn(_: Steward) -> int:
        began.set()
        time.sleep(1.5)
        return 0

    jobs = {"stubborn": Job(by_itself(stubborn), RARELY, lease=timedelta(seconds=0.4))}
    one = running(world, jobs)
    assert began.wait(PATIENCE)
    other = running(world, jobs)
    one.stop()
    other.stop()
    assert [run.outcome for run in history(world, "stubborn")] == ["done"]


def test_a_round_that_was_superseded_commits_nothing(world: World) -> None:
    """Its process was stopped for longer than the lease, and goes on while another has the job."""
    rounds: list[int] = []

    def one_round(work: Work) -> int:
        rounds.append(1)
        work.audit("job.asked", detail={"job": "long"})
        return 1

    def long(service: Steward, progress: Progress) -> int:
        in_one_work(one_round)(service, progress)
        world.clock.advance(seconds=120)
        with world.service.begin(TERMINAL) as work:
            assert slots.claim(work, "long", jobs["long"].terms, "another") is not None
        return in_one_work(one_round)(service, progress)

    jobs = {"long": Job(long, RARELY)}
    assert Scheduler(world.service, jobs).run_due() == []
    assert len(rounds) == len(world.events(action="job.asked")) == 1
    assert [(run.outcome, run.owner == "another") for run in history(world, "long")] == [
        ("running", True),
        ("lost", False),
    ]


def test_a_job_runs_now_for_whoever_may_ask(world: World) -> None:
    calls: list[float] = []
    jobs = {"rare": Job(in_one_work(counted(calls)), RARELY)}
    assert Scheduler(world.service, jobs).run_due() == ["rare"]
    assert Scheduler(world.service, jobs).run_due() == []
    assert Scheduler(world.service, jobs).run_now("rare", TERMINAL)
    assert len(calls) == 2
    with pytest.raises(Forbidden):
        Scheduler(world.service, jobs).run_now("rare", world.desk)
    with pytest.raises(NotFound):
        Scheduler(world.service, jobs).run_now("unheard-of", TERMINAL)


def test_a_wall_clock_that_is_set_back_or_ahead_stops_no_ticks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ticker's clock is APScheduler's, and that is the wall."""
    ahead = timedelta()

    class Wall(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]  # it is asked in UTC only
            return datetime.now(UTC) + ahead

    monkeypatch.setattr(ticking, "datetime", Wall)
    monkeypatch.setattr("jobs.scheduler.datetime", Wall)
    calls: list[float] = []
    scheduler = running(world, {"often": Job(in_one_work(counted(calls)), OFTEN)})
    for step in (timedelta(days=400), timedelta(days=-400), timedelta(hours=-1)):
        before = len(calls)
        ahead = step
        until(lambda before=before: len(calls) >= before + 3)  # type: ignore[misc]  # bound on purpose
    scheduler.stop()
