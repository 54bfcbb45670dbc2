"""What the jobs do and have done, for people: jobs, runs, items set aside; and what a failing job makes known.

A job that fails three times in a row raises the alert `job-failing`, one a row of failures. An item that a job could
not do is counted here, and after three failures it is set aside: the job leaves it out and goes on with the others,
the alert `job-item-set-aside` says so once a day and job, and a person gives it back when the cause is gone. Items
are ids, codes are ours: nothing here names what is in a record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, Select, and_, delete, func, insert, select, update

from privacy import alerts
from privacy.database import Database
from privacy.errors import NotFound
from privacy.tables import job_items, job_runs, job_slots, micros
from privacy.watch_rules import JOB_ITEM_SET_ASIDE
from privacy.work import Role, Work

PAGE: Final = 100
KEPT: Final = timedelta(days=90)  # a run's row
MOST_FAILURES: Final = 3  # of an item, before it is set aside
FORGOTTEN: Final = 1000  # runs in one transaction
_KEPT_MICROS: Final = KEPT // timedelta(microseconds=1)
_DAY: Final = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a job. `outcome`: running, done, failed, or lost when its process ended before it did.

    `done` and `total` count items; `total` is None where the job cannot tell, `left_seconds` is a guess from both.
    """

    id: UUID
    job: str
    owner: str
    number: int
    due_at: datetime
    started_at: datetime
    beat_at: datetime
    finished_at: datetime | None
    outcome: str
    done: int
    total: int | None
    code: str | None
    left_seconds: int | None


@dataclass(frozen=True, slots=True)
class Listed:
    """A job as it stands. `failures` counts those in a row, `set_aside` items; `owner` is who runs it now."""

    name: str
    schedule: str | None
    next_run: datetime
    owner: str | None
    runs: int
    failures: int
    set_aside: int
    last: Run | None


@dataclass(frozen=True, slots=True)
class Item:
    """Something that a job could not do; `code` says why, as of its last failure."""

    job: str
    item: UUID
    failures: int
    failed_at: datetime
    set_aside_at: datetime | None
    code: str


@dataclass(frozen=True, slots=True)
class Gauge:
    """What /metrics shows of a job. `runs`, `failures` and `seconds` only ever grow."""

    runs: int
    failures: int
    seconds: float
    failures_in_a_row: int
    set_aside: int
    overdue_seconds: float


# items


def failed_item(work: Work, job: str, item: UUID, code: str) -> bool:
    """Count a failure of the item; whether it is set aside now.

    To be called in a transaction of its own, after the one in which the item failed was rolled back. `code` is one of
    `privacy.errors`, or `internal`; never the text of an exception.
    """
    work.require(Role.ADMIN)
    one = and_(job_items.c.name == job, job_items.c.item == item)
    row = work.execute(select(job_items).where(one).with_for_update()).first()
    failures = 1 if row is None else row.failures + 1
    is_over = failures >= MOST_FAILURES
    since = work.instant if is_over and (row is None or row.set_aside_at is None) else None
    values: dict[str, object] = {"failures": failures, "failed_at": work.instant, "code": code}
    if since is not None:
        values["set_aside_at"] = since
    if row is None:
        work.execute(insert(job_items).values(name=job, item=item, **values))
    else:
        work.execute(update(job_items).where(one).values(**values))
    work.audit("job.item-failed", detail={"code": code, "failures": failures, "item": str(item), "job": job})
    if since is not None:
        _tell_of_items(work, job)
    return is_over


def set_aside(work: Work, job: str) -> set[UUID]:
    """The items that the job must leave out."""
    found = work.execute(
        select(job_items.c.item).where(job_items.c.name == job, job_items.c.set_aside_at.is_not(None))
    ).scalars()
    return set(found)


def items(work: Work, job: str, *, after: UUID | None = None, limit: int = PAGE) -> list[Item]:
    """The items of the job that are set aside, by their ids. For operators, auditors and administrators."""
    work.concerns("job.items-listed")
    _require_looker(work)
    _slot(work, job)
    statement = (
        select(job_items)
        .where(job_items.c.name == job, job_items.c.set_aside_at.is_not(None))
        .order_by(job_items.c.item)
        .limit(_at_most(limit))
    )
    if after is not None:
        statement = statement.where(job_items.c.item > after)
    found = [
        Item(row.name, row.item, row.failures, row.failed_at, row.set_aside_at, row.code)
        for row in work.execute(statement)
    ]
    work.audit("job.items-listed", detail={"count": len(found), "job": job})
    return found


def retry_item(work: Work, job: str, item: UUID) -> None:
    """Give an item that was set aside back to its job, its failures forgotten; again changes nothing.

    Raises `NotFound` for an item that never failed.
    """
    work.concerns("job.item-returned")
    work.require(Role.OPERATOR, Role.ADMIN)
    returned = work.execute(
        update(job_items).where(job_items.c.name == job, job_items.c.item == item).values(failures=0, set_aside_at=None)
    )
    if returned.rowcount == 0:
        raise NotFound("No such item of this job has failed")
    work.audit("job.item-returned", detail={"item": str(item), "job": job})


def _tell_of_items(work: Work, job: str) -> None:
    """One alert a day and job: a cause that strikes a thousand items is one thing to look into."""
    day = work.instant - work.instant % _DAY
    count = work.execute(
        select(func.count()).where(job_items.c.name == job, job_items.c.set_aside_at >= day)
    ).scalar_one()
    alerts.raise_alert(work, alerts.Found(JOB_ITEM_SET_ASIDE, job, day, count, 0))


# jobs and their runs


def listed(work: Work) -> list[Listed]:
    """Every job there has ever been, by name, with its last run. For operators, auditors and administrators."""
    work.concerns("jobs.listed")
    _require_looker(work)
    found = _jobs(work)
    work.audit("jobs.listed", detail={"count": len(found)})
    return found


def history(work: Work, job: str, *, before: UUID | None = None, limit: int = PAGE) -> list[Run]:
    """The job's runs, the newest first. For operators, auditors and administrators. Raises `NotFound`."""
    work.concerns("job.runs-listed")
    _require_looker(work)
    _slot(work, job)
    statement = select(job_runs).where(job_runs.c.name == job).order_by(job_runs.c.run_id.desc()).limit(_at_most(limit))
    if before is not None:
        statement = statement.where(job_runs.c.run_id < before)
    found = [_run(row) for row in work.execute(statement)]
    work.audit("job.runs-listed", detail={"count": len(found), "job": job})
    return found


def ask(work: Work, job: str) -> Listed:
    """Have the job run now, once, by whichever replica looks first; after the run in hand, if there is one.

    Raises `NotFound`.
    """
    work.concerns("job.asked")
    work.require(Role.OPERATOR, Role.ADMIN)
    _slot(work, job)
    work.execute(
        update(job_slots)
        .where(job_slots.c.name == job, job_slots.c.next_run > work.instant)
        .values(next_run=work.instant)
    )
    work.audit("job.asked", detail={"job": job})
    return _jobs(work, job)[0]


def forget(work: Work) -> int:
    """Remove runs and failures of items that are older than 90 days; how many rows. What is set aside stays."""
    work.require(Role.ADMIN)
    old = work.instant - _KEPT_MICROS
    runs = select(job_runs.c.run_id).where(job_runs.c.finished_at < old).order_by(job_runs.c.run_id)
    gone = work.execute(delete(job_runs).where(job_runs.c.run_id.in_(runs.limit(FORGOTTEN)))).rowcount
    gone += work.execute(
        delete(job_items).where(job_items.c.set_aside_at.is_(None), job_items.c.failed_at < old)
    ).rowcount
    work.audit("job.runs-forgotten", detail={"rows": gone})
    return gone


def gauges(database: Database, instant: int) -> Mapping[str, Gauge]:
    """What /metrics shows, by job. Raises `Unavailable`."""
    with database.borrow() as lane, lane.snapshot() as transaction:
        rows = list(transaction.execute(select(job_slots)))
        aside = {row.name: row.items for row in transaction.execute(_aside())}
    return {
        row.name: Gauge(
            runs=row.fence,
            failures=row.failed,
            seconds=row.busy_micros / 1e6,
            failures_in_a_row=row.failures,
            set_aside=aside.get(row.name, 0),
            overdue_seconds=max(0, instant - micros(row.lease_until or row.next_run)) / 1e6,
        )
        for row in rows
    }


def _jobs(work: Work, job: str | None = None) -> list[Listed]:
    statement = select(job_slots).order_by(job_slots.c.name)
    # the run of the slot's fence is the last one
    last = select(job_runs).join(
        job_slots, and_(job_slots.c.name == job_runs.c.name, job_slots.c.fence == job_runs.c.fence)
    )
    if job is not None:
        statement = statement.where(job_slots.c.name == job)
        last = last.where(job_slots.c.name == job)
    aside = {row.name: row.items for row in work.execute(_aside())}
    runs = {row.name: _run(row) for row in work.execute(last)}
    return [
        Listed(
            row.name,
            row.schedule,
            row.next_run,
            row.owner if row.lease_until is not None else None,
            row.fence,
            row.failures,
            aside.get(row.name, 0),
            runs.get(row.name),
        )
        for row in work.execute(statement)
    ]


def _aside() -> Select[Any]:
    return (
        select(job_items.c.name, func.count().label("items"))
        .where(job_items.c.set_aside_at.is_not(None))
        .group_by(job_items.c.name)
    )


def _run(row: Row[Any]) -> Run:
    left = None
    if row.outcome == "running" and row.total is not None and row.done > 0:
        left = round((row.beat_at - row.started_at).total_seconds() * max(0, row.total - row.done) / row.done)
    return Run(
        id=row.run_id,
        job=row.name,
        owner=row.owner,
        number=row.fence,
        due_at=row.due_at,
        started_at=row.started_at,
        beat_at=row.beat_at,
        finished_at=row.finished_at,
        outcome=row.outcome,
        done=row.done,
        total=row.total,
        code=row.code,
        left_seconds=left,
    )


def _at_most(limit: int) -> int:
    return min(max(limit, 1), PAGE)


def _require_looker(work: Work) -> None:
    work.require(Role.OPERATOR, Role.AUDITOR, Role.ADMIN)


def _slot(work: Work, job: str) -> Row[Any]:
    """The job's slot. Raises `NotFound`."""
    found = work.execute(select(job_slots).where(job_slots.c.name == job)).first()
    if found is None:
        raise NotFound("There is no such job")
    return found
