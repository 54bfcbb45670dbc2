"""The access review: what each principal did with personal data in a month, and which grants it did not need.

GB/T 35273 7.1 (least privilege), Minors Online Protection Regulation 36 (who of the staff has access). The figures are
counted by the watch as it reads the log, each event once, so that a month of ten million events is answered at once
and agrees with the log up to `as_of`. Months are those of the zone that the watch rules name for the review.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Final

from sqlalchemy import select

from privacy import watch_rules
from privacy.alerts import CURSOR
from privacy.tables import access_counts, principals, watch_state
from privacy.work import Role, Work

_EVERY: Final = "*"
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run


@dataclass(frozen=True, slots=True)
class Line:
    """One principal's month. `reads` are records or hits disclosed; `subjects` counts each person once.

    `refused` goes by code; `unused_*` were granted at the end of the month and served nothing in it.
    """

    principal: str
    role: str | None
    reads: int
    subjects: int
    refusals: int
    off_hours: int
    purposes: Mapping[str, int]
    types: Mapping[str, int]
    fields: Mapping[str, int]
    refused: Mapping[str, int]
    unused_purposes: list[str]
    unused_types: list[str]


@dataclass(frozen=True, slots=True)
class Review:
    """A month. `as_of`: how many events of the log are in it, and in the months before."""

    month: str
    zone: str
    starts_at: datetime
    ends_at: datetime
    as_of: int
    lines: list[Line]


def review(work: Work, month: str) -> Review:
    """The review of a month like 2026-01. For auditors, operators and administrators. Raises `Invalid`, `Forbidden`."""
    work.concerns("review.viewed")
    work.require(Role.AUDITOR, Role.OPERATOR, Role.ADMIN)
    hours = watch_rules.load(work.service.settings.watch_rules).review.hours
    starts_at, ends_at = watch_rules.month_bounds(month, hours.place)
    counted: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for row in work.execute(select(access_counts).where(access_counts.c.month == month)).mappings():
        counted[row["actor"]][row["facet"]][row["name"]] = row["count"]
    lines = []
    granted = {row.name: row for row in work.execute(select(principals).order_by(principals.c.name))}
    for name in sorted(granted.keys() | counted.keys()):
        known = granted.get(name)
        was_there = known is not None and known.created_at < ends_at and (known.revoked_at or ends_at) > starts_at
        if was_there or name in counted:
            purposes, types = (known.purposes, known.types) if known is not None else ((), ())
            lines.append(
                _line(
                    name,
                    None if known is None else known.role,
                    counted[name],
                    _expanded(purposes, work.declared.manifest.purposes) if purposes else [],
                    _expanded(types, work.declared.manifest.records) if types else [],
                )
            )
    as_of = work.execute(select(watch_state.c.position).where(watch_state.c.name == CURSOR)).scalar()
    work.audit("review.viewed", detail={"month": month, "principals": len(lines)})
    return Review(month, hours.zone, starts_at, ends_at, int(as_of or 0), lines)


def as_csv(found: Review) -> str:
    """The same as a table, RFC 4180; what has several members is written `name: count; name: count`."""
    out = io.StringIO(newline="")
    rows = csv.writer(out)
    names = [part.name for part in fields(Line)]
    rows.writerow(["month", *names])
    for line in found.lines:
        rows.writerow([found.month, *(_cell(getattr(line, name)) for name in names)])
    return out.getvalue()


def _line(
    name: str, role: str | None, counted: Mapping[str, Mapping[str, int]], purposes: list[str], types: list[str]
) -> Line:
    used_purposes, used_types = counted.get("used-purpose", {}), counted.get("used-type", {})
    return Line(
        principal=name,
        role=role,
        reads=sum(counted.get("reads", {}).values()),
        subjects=sum(counted.get("subjects", {}).values()),
        refusals=sum(counted.get("refused", {}).values()),
        off_hours=sum(counted.get("off-hours", {}).values()),
        purposes=dict(sorted(counted.get("purpose", {}).items())),
        types=dict(sorted(counted.get("type", {}).items())),
        fields=dict(sorted(counted.get("field", {}).items())),
        refused=dict(sorted(counted.get("refused", {}).items())),
        unused_purposes=[one for one in purposes if one not in used_purposes],
        unused_types=[one for one in types if one not in used_types],
    )


def _expanded(granted: list[str], declared: Mapping[str, object]) -> list[str]:
    return sorted(declared) if _EVERY in granted else sorted(granted)


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case Mapping():
            return "; ".join(f"{name or '-'}: {count}" for name, count in value.items())
        case list():
            return "; ".join(value)
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
