"""Every job by name: a domain function and how often it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from privacy import idempotency
from privacy.work import Work


@dataclass(frozen=True, slots=True)
class Job:
    """`run` does one round in one transaction and says how much it did."""

    run: Callable[[Work], int]
    every: timedelta


JOBS: Final[dict[str, Job]] = {
    "forget-idempotency-keys": Job(idempotency.forget, timedelta(hours=1)),
}
