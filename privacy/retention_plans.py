"""What will go and when, what went, and what should have gone: counts for people, and the alerts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import BigInteger, Label, func, literal_column, not_, select

from privacy import alerts, holds
from privacy.alerts import Found
from privacy.holds import Holdings
from privacy.retention_due import Fate, count, ended, fate_of, of_living
from privacy.tables import audit_events, micros, moment, records
from privacy.watch_rules import RETENTION_OVERDUE
from privacy.work import Role, Work

PAGE: Final = 100
SWEPT: Final = "retention.swept"
_DAY: Final = 86_400_000_000
_R = records.c


@dataclass(frozen=True, slots=True)
class Line:
    """So many records of a type, held for these purposes, end in the month, and become that."""

    record_type: str
    purposes: tuple[str, ...]
    month: str
    fate: Fate
    records: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes until then. `held`: what would and must not; `overdue`: what should have gone a day ago."""

    until: datetime
    lines: tuple[Line, ...]
    records: int
    held: int
    overdue: int


@dataclass(frozen=True, slots=True)
class Round:
    """A round that did something, as the log has it."""

    id: UUID
    at: datetime
    actor: str
    swept: Mapping[str, object]


def plan(work: Work, until: datetime | None = None) -> Plan:
    """What goes until then, now unless said otherwise; counts only. For operators, auditors and administrators."""
    work.concerns("retention.planned")
    work.require(Role.OPERATOR, Role.AUDITOR, Role.ADMIN)
    when = until or work.now
    holdings = holds.covering(work)
    # written out and not bound: PostgreSQL knows a grouped expression again by its text only
    day: Label[int] = literal_column(f"records.expires_at / {_DAY}", BigInteger).label("day")
    by = (_R.record_type, _R.purposes, day)
    counts: Counter[tuple[str, tuple[str, ...], str]] = Counter()
    due = (*ended(micros(when)), not_(holdings.clause()))
    for row in work.execute(of_living(select(*by, func.count().label("records"))).where(*due).group_by(*by)):
        month = moment(int(row.day) * _DAY).strftime("%Y-%m")
        counts[row.record_type, tuple(row.purposes), month] += row.records
    lines = tuple(
        Line(type, purposes, month, fate_of(work, purposes), found)
        for (type, purposes, month), found in sorted(counts.items())
    )
    work.audit("retention.planned", detail={"lines": len(lines), "until": when.isoformat()})
    held = count(work, *ended(micros(when)), holdings.clause())
    return Plan(when, lines, sum(line.records for line in lines), held, _overdue(work, holdings))


def runs(work: Work, *, before: UUID | None = None, limit: int = PAGE) -> list[Round]:
    """The rounds of the last year that did something, the newest first, as the log has them."""
    work.concerns("retention.listed")
    work.require(Role.OPERATOR, Role.AUDITOR, Role.ADMIN)
    events = audit_events.c
    statement = (
        select(events.event_id, events.at, events.actor, events.detail)
        .where(events.action == SWEPT, events.outcome == "done", events.at >= work.instant - 366 * _DAY)
        .order_by(events.event_id.desc())
        .limit(min(max(limit, 1), PAGE))
    )
    if before is not None:
        statement = statement.where(events.event_id < before)
    found = [Round(row.event_id, row.at, row.actor, row.detail) for row in work.execute(statement)]
    work.audit("retention.listed", detail={"count": len(found)})
    return found


def watch(work: Work) -> int:
    """Raise the alerts of retention: records past their end for more than a day, holds due for review; how many.

    For administrators: a job.
    """
    work.concerns("retention.watched")
    work.require(Role.ADMIN)
    overdue = _overdue(work, holds.covering(work))
    if overdue:
        alerts.raise_alert(work, Found(RETENTION_OVERDUE, "", work.instant - work.instant % _DAY, overdue, 0))
    return overdue + holds.remind(work)


def _overdue(work: Work, holdings: Holdings) -> int:
    """What is neither swept nor held, a day after its end; what was set aside is among it."""
    return count(work, *ended(work.instant - _DAY), not_(holdings.clause()))
