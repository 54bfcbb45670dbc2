"""Who runs a job: one at a time over all replicas, elected through the database.

1. `claim`: lock the job's slot, or leave it to who has it locked. If the job is due, move `next_run` on, raise the
   fence and take a lease; write the run. (A job store shared by two schedulers ran 8 of 9 slots twice when measured.)
2. `hold`, first thing in each round's own transaction: move the lease on where the fence is still ours. That locks the
   slot until the round has committed, so that nobody takes the job over in the midst of it; and after a takeover it
   raises, so that a round of the old runner never commits, whatever the clocks of the two show.
3. `beat`, from another thread, while a round takes long.
4. `finish`: give the slot back, and say in the run how it ended.

A lease that has ended is a run whose process died: whoever claims next writes it down as lost and does its work. A
run that was missed, however often, is caught up with once. Instants come from the service's clock. If that is set
ahead, a job runs once; if it is set back, a job waits for its next turn, and no longer than two of them: what a clock
that ran ahead has written is put right. A failing job waits for 1, 2, 4, ... minutes, an hour at most.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Row, func, insert, select, update

from keys.errors import KeysError
from privacy import alerts, ids
from privacy.errors import Conflict, KeysUnavailable, PrivacyError
from privacy.schedules import Schedule
from privacy.tables import job_runs, job_slots, micros
from privacy.watch_rules import JOB_FAILING
from privacy.work import Role, Work

if TYPE_CHECKING:
    from privacy.steward import Steward

LEASE: Final = timedelta(minutes=1)
ALARMING: Final = 3  # failures in a row
_FIRST_PAUSE: Final = 60_000_000
_LONGEST_PAUSE: Final = 3600_000_000


@dataclass(frozen=True, slots=True)
class Terms:
    """When a job is due, and for how long a claim on it stands without a sign of life."""

    schedule: Schedule
    lease: timedelta = LEASE

    @property
    def lease_micros(self) -> int:
        return self.lease // timedelta(microseconds=1)


class Superseded(Conflict):
    """Another process has taken the job over; what this one does for it must not be committed."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to run a job, until the lease ends or another has a higher fence. `lease` in microseconds."""

    name: str
    run_id: UUID
    fence: int
    due_at: int
    lease: int


class Progress:
    """A run as the job sees it: it holds its claim in each transaction, says how far it is, and asks when to stop."""

    def __init__(self, claim: Claim, stopping: threading.Event) -> None:
        self.claim = claim
        self.done = 0
        self.total: int | None = None
        self.superseded = threading.Event()
        self._stopping = stopping

    @property
    def is_stopping(self) -> bool:
        """Whether to leave at the next place where nothing is half-done: the process ends, or the claim is lost."""
        return self._stopping.is_set() or self.superseded.is_set()

    def hold(self, work: Work) -> None:
        """Step 2. First thing in a transaction. Raises `Superseded`."""
        hold(work, self.claim)

    def report(self, done: int, total: int | None = None) -> None:
        """How many items are done, of how many; written down with the next beat."""
        self.done, self.total = done, total


def pause(failures: int) -> int:
    """How long a job waits after so many failures in a row, in microseconds."""
    return min(_FIRST_PAUSE << min(failures - 1, 16), _LONGEST_PAUSE) if failures > 0 else 0


def code_of(error: Exception) -> str:
    """The stable code that says what kind of failure it was; never the exception's text."""
    match error:
        case PrivacyError():
            return error.code
        case KeysError():
            return KeysUnavailable.code
        case _:
            return PrivacyError.code


def register(work: Work, schedules: Mapping[str, Schedule]) -> None:
    """Make a slot for each job that has none. Raises `Clash` when another replica does so at this moment."""
    work.require(Role.ADMIN)
    known: dict[str, str | None] = {
        row.name: row.schedule for row in work.execute(select(job_slots.c.name, job_slots.c.schedule))
    }
    for name, schedule in schedules.items():
        if name not in known:
            due = schedule.first(work.instant)
            work.execute(insert(job_slots).values(name=name, next_run=due, fence=0, schedule=str(schedule)))
        elif known[name] != str(schedule):
            work.execute(update(job_slots).where(job_slots.c.name == name).values(schedule=str(schedule)))
    work.paid()  # time tables are no one's data


def looked_at(service: Steward, terms: Mapping[str, Terms]) -> list[str]:
    """Jobs that `claim` would do something about now, the longest due first. Locks nothing. Raises `Unavailable`."""
    instant = service.instant()
    with service.database.borrow() as lane, lane.snapshot() as transaction:
        rows = list(transaction.execute(select(job_slots).where(job_slots.c.name.in_(list(terms)))))
    rows.sort(key=_due_at)
    return [row.name for row in rows if _due_at(row) <= instant or _righted(row, terms[row.name], instant)]


def hasten(work: Work, name: str) -> None:
    """The job is due now, for there is something for it to do. Nothing where it runs: it looks again by itself."""
    this = select(job_slots.c.name).where(job_slots.c.name == name, job_slots.c.next_run > work.instant)
    if work.execute(this.with_for_update(skip_locked=True)).first() is not None:
        _change(work, name, next_run=work.instant)


def claim(work: Work, name: str, terms: Terms, owner: str, *, at_once: bool = False) -> Claim | None:
    """Step 1: the run of the job that is due now, or None. `at_once`: whether it is due or not, unless it runs.

    The caller commits before it runs anything.
    """
    work.require(Role.ADMIN)
    row = work.execute(select(job_slots).where(job_slots.c.name == name).with_for_update(skip_locked=True)).first()
    if row is None:
        return None
    if _due_at(row) > work.instant and not (at_once and row.lease_until is None):
        if right := _righted(row, terms, work.instant):
            _change(work, name, **right)
            work.paid()
        return None
    due_at = min(micros(row.next_run), work.instant)
    if row.lease_until is not None:
        due_at, failures = _lose(work, row, due_at)
        if failures > 1 and not at_once:  # one loss may be anybody's power cut; a job that kills its process waits
            _change(work, name, lease_until=None, owner=None, next_run=work.instant + pause(failures - 1))
            work.paid()
            return None
    claimed = Claim(name, ids.new(), row.fence + 1, due_at, terms.lease_micros)
    _change(
        work,
        name,
        next_run=terms.schedule.following(work.instant),
        owner=owner,
        fence=claimed.fence,
        lease_until=work.instant + claimed.lease,
    )
    work.execute(
        insert(job_runs).values(
            run_id=claimed.run_id,
            name=name,
            owner=owner,
            fence=claimed.fence,
            due_at=due_at,
            started_at=work.instant,
            beat_at=work.instant,
            outcome="running",
            done=0,
        )
    )
    work.paid()  # the run is its own record; what it does has events of its own
    return claimed


def hold(work: Work, claim: Claim) -> None:
    """Step 2. First thing in a transaction of one's own. Raises `Superseded`."""
    held = work.execute(update(job_slots).where(_mine(claim)).values(lease_until=work.instant + claim.lease))
    if held.rowcount == 0:
        raise Superseded("Another process has taken this job over")
    work.paid()


def beat(work: Work, progress: Progress) -> None:
    """Step 3: move the lease on and write down how far the run is; or notice that the job was taken over."""
    claim = progress.claim
    if work.execute(select(job_slots.c.name).where(_mine(claim))).first() is None:
        progress.superseded.set()
        return
    # who has the slot locked is this run's round, which moves the lease itself: waiting would only use a connection
    mine = work.execute(select(job_slots.c.name).where(_mine(claim)).with_for_update(skip_locked=True)).first()
    if mine is None:
        return
    _change(work, claim.name, lease_until=work.instant + claim.lease)
    work.execute(
        update(job_runs)
        .where(job_runs.c.run_id == claim.run_id)
        .values(beat_at=work.instant, done=progress.done, total=progress.total)
    )
    work.paid()


def finish(work: Work, progress: Progress, *, code: str | None, is_more: bool, busy_micros: int) -> None:
    """Step 4. `code` None: it went well; `is_more`: there is more to do, so the job is due again at once.

    Raises `Superseded`: the run is down as lost, and another has done its work.
    """
    claim = progress.claim
    row = work.execute(select(job_slots).where(_mine(claim)).with_for_update()).first()
    if row is None:
        raise Superseded("Another process has taken this job over")
    failures = 0 if code is None else row.failures + 1
    changed: dict[str, object] = {"owner": None, "lease_until": None, "failures": failures}
    if code is not None:
        changed |= {"next_run": work.instant + pause(failures), "failed": job_slots.c.failed + 1}
    elif is_more:
        changed["next_run"] = work.instant
    _change(work, claim.name, busy_micros=job_slots.c.busy_micros + busy_micros, **changed)
    work.execute(
        update(job_runs)
        .where(job_runs.c.run_id == claim.run_id)
        .values(
            beat_at=work.instant,
            finished_at=work.instant,
            outcome="done" if code is None else "failed",
            done=progress.done,
            total=progress.total,
            code=code,
        )
    )
    if code is None:
        work.paid()
    else:
        work.audit("job.failed", detail={"code": code, "failures": failures, "job": claim.name})
        _alarm(work, claim.name, failures)


def _mine(claim: Claim) -> ColumnElement[bool]:
    return (
        (job_slots.c.name == claim.name) & (job_slots.c.fence == claim.fence) & (job_slots.c.lease_until.is_not(None))
    )


def _due_at(row: Row[Any]) -> int:
    """While it runs a job is due when the lease ends, whatever its time table says."""
    return micros(row.next_run if row.lease_until is None else row.lease_until)


def _righted(row: Row[Any], terms: Terms, instant: int) -> dict[str, int]:
    """What to change in a slot that a clock has written which was set back since: nothing, as a rule."""
    if row.lease_until is not None:  # its runner, if it lives, moves it on at the next beat
        latest = instant + terms.lease_micros
        return {"lease_until": latest} if micros(row.lease_until) > latest else {}
    # two turns: a daily job that ran at a clock's 03:00 does not run again when that clock is set back to 02:00
    following = terms.schedule.following(instant)
    latest = max(terms.schedule.following(following), instant + 2 * pause(row.failures))
    return {"next_run": following} if micros(row.next_run) > latest else {}


def _lose(work: Work, row: Row[Any], due_at: int) -> tuple[int, int]:
    """The run that holds the slot has no process any more: when it was due, and the failures in a row with it."""
    one = (job_runs.c.name == row.name) & (job_runs.c.fence == row.fence) & (job_runs.c.outcome == "running")
    lost = work.execute(select(job_runs.c.due_at).where(one)).scalar()
    work.execute(update(job_runs).where(one).values(outcome="lost", finished_at=work.instant))
    failures = row.failures + 1
    _change(work, row.name, failures=failures, failed=job_slots.c.failed + 1)
    work.audit("job.lost", detail={"failures": failures, "job": row.name})
    _alarm(work, row.name, failures)
    return (due_at if lost is None else micros(lost)), failures


def _alarm(work: Work, name: str, failures: int) -> None:
    """One alert a row of failures: its window begins where the first of them did."""
    if failures < ALARMING:
        return
    of_it = job_runs.c.name == name
    good = select(func.coalesce(func.max(job_runs.c.fence), 0)).where(of_it, job_runs.c.outcome == "done")
    first = work.execute(
        select(job_runs.c.started_at)
        .where(of_it, job_runs.c.fence > good.scalar_subquery())
        .order_by(job_runs.c.fence)
        .limit(1)
    ).scalar()
    since = work.instant if first is None else micros(first)
    alerts.raise_alert(work, alerts.Found(JOB_FAILING, name, since, failures, ALARMING))


def _change(work: Work, name: str, **values: object) -> None:
    work.execute(update(job_slots).where(job_slots.c.name == name).values(**values))
