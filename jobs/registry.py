"""Every job by name: a domain function, when it is due, and how it is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from privacy import (
    audit_segments,
    erasure,
    idempotency,
    job_runs,
    log_retention,
    reconciling,
    retention,
    retention_plans,
    retention_recalculation,
    rotations,
    scan_stored,
    watching,
)
from privacy.schedules import Daily, Every, Schedule
from privacy.slots import LEASE, Progress, Terms
from privacy.steward import Steward
from privacy.work import Actor, Role, Work

SCHEDULER: Final = Actor("scheduler", Role.ADMIN)

# One round; how much it did. In each transaction of its own it calls `progress.hold(work)` first, or it is safe to be
# run twice at once.
Round = Callable[[Steward, Progress], int]


@dataclass(frozen=True, slots=True)
class Job:
    """A round that did `again` or more is followed by another: at once, or in a new run when others wait."""

    run: Round
    schedule: Schedule
    again: int | None = None
    lease: timedelta = LEASE

    @property
    def terms(self) -> Terms:
        return Terms(self.schedule, self.lease)


def in_one_work(run: Callable[[Work], int]) -> Round:
    """A round that is one transaction, and commits only while this process has the job."""

    def round_of_it(service: Steward, progress: Progress) -> int:
        with service.begin(SCHEDULER) as work:
            progress.hold(work)
            return run(work)

    return round_of_it


def by_itself(run: Callable[[Steward], int]) -> Round:
    """A round that makes its own transactions, each of which may be repeated, and its own order between twins."""
    return lambda service, _: run(service)


def _watch_releases(work: Work) -> int:
    from privacy.anonymisation import reassessment  # its neighbours load what no other job needs

    return reassessment.remind(work)


def _make_releases(service: Steward, progress: Progress) -> int:
    from privacy.anonymisation import release_job  # numpy and DuckDB, which no other job needs

    return release_job.make_some(service, progress)


JOBS: Final[Mapping[str, Job]] = {
    "forget-idempotency-keys": Job(in_one_work(idempotency.forget), Every(timedelta(hours=1))),
    "watch": Job(in_one_work(watching.watch), Every(timedelta(seconds=30)), again=watching.ROUND),
    "reconcile-records": Job(
        in_one_work(reconciling.reconcile_some), Every(timedelta(minutes=5)), again=reconciling.PAGE
    ),
    "prune-log": Job(in_one_work(log_retention.prune_some), Every(timedelta(days=1)), again=1),
    "forget-runs": Job(in_one_work(job_runs.forget), Daily(time(3, 20), ZoneInfo("UTC")), again=job_runs.FORGOTTEN),
    "retention-watch": Job(in_one_work(retention_plans.watch), Every(timedelta(hours=1))),
    "retention-sweep": Job(in_one_work(retention.sweep_some), Every(timedelta(minutes=5)), again=retention.ROUND),
    # often: a period that was lengthened binds stored records only once they have been gone through
    "retention-recalculate": Job(
        in_one_work(retention_recalculation.recalculate),
        Every(timedelta(minutes=1)),
        again=retention_recalculation.ROUND,
    ),
    "erasures": Job(by_itself(erasure.work_off), Every(timedelta(minutes=1)), again=erasure.ROUND),
    "rotations": Job(by_itself(rotations.work_off), Every(timedelta(minutes=1))),
    "releases-watch": Job(in_one_work(_watch_releases), Every(timedelta(hours=1))),
    "releases": Job(_make_releases, Every(timedelta(minutes=1)), again=1, lease=timedelta(minutes=5)),
    "scan-stored": Job(scan_stored.scan_some, Every(timedelta(minutes=5)), again=scan_stored.ROUND),
    # It holds a lock on its folder, which each machine has for itself: what is built there is a copy.
    "audit-segments": Job(by_itself(audit_segments.extend), Every(timedelta(minutes=10))),
}
