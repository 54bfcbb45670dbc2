"""Every job by name: a domain function and how often it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from privacy import idempotency, log_retention, reconciling, watching
from privacy.work import Work


@dataclass(frozen=True, slots=True)
class Job:
    """`run` does one round in one transaction and says how much it did.

    A round that did `again` or more is followed by another at once, within what the scheduler gives a job.
    """

    run: Callable[[Work], int]
    every: timedelta
    again: int | None = None


JOBS: Final[dict[str, Job]] = {
    "forget-idempotency-keys": Job(idempotency.forget, timedelta(hours=1)),
    "watch": Job(watching.watch, timedelta(seconds=30), again=watching.ROUND),
    "reconcile-records": Job(reconciling.reconcile_some, timedelta(minutes=5), again=reconciling.PAGE),
    "prune-log": Job(log_retention.prune_some, timedelta(days=1), again=1),
}
