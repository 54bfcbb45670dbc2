"""Who looked at a person's data: the answer to a data subject (GDPR 15(1)(c), PIPL 44, 45), from the audit events.

Names of components and roles, purposes, fields and instants; never which API key, or from which address. A value is
*disclosed* when it left the service, *compared* when it was opened inside only, to find out whether it is the one
that somebody searched for.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, literal_column, select

from privacy import subjects
from privacy.audit import RAW, Begin, Event, event_of, raw, reading
from privacy.database import Row
from privacy.errors import Erased
from privacy.tables import audit_events, moment
from privacy.work import Role, Work

PAGE: Final = 100
_LOOKS: Final = ("disclosed", "compared")
_KIND: Final = (audit_events.c.actor, audit_events.c.role, audit_events.c.outcome)


@dataclass(frozen=True, slots=True)
class Access:
    """One look. `component` is the name of a principal, `kind` disclosed or compared.

    `masked` are those of `fields` that left through a mask; `recipient` is whom the component said it would provide
    them to.
    """

    at: datetime
    component: str
    role: str
    kind: str
    purpose: str | None
    basis: str | None
    type: str | None
    fields: Sequence[str]
    masked: Sequence[str]
    recipient: str | None


@dataclass(frozen=True, slots=True)
class Component:
    """All looks of one kind by one component, in sum. `masked`: fields that it was only ever given masked."""

    component: str
    role: str
    kind: str
    count: int
    first: datetime
    last: datetime
    purposes: Sequence[str]
    fields: Sequence[str]
    masked: Sequence[str]
    recipients: Sequence[str]


@dataclass(frozen=True, slots=True)
class Page:
    """Looks, newest first; `before` is where the next page starts. `components` is on the first page, None later."""

    components: list[Component] | None
    items: list[Access]
    before: UUID | None


def listed(begin: Begin, subject_id: UUID, *, before: UUID | None = None, limit: int = PAGE) -> Page:
    """Who looked at the subject's data. That this was asked is on record, but is no look at the data.

    It answers for an erased subject too: the log outlives the data. Raises `Forbidden` unless a service or an
    operator asks, on the subject's behalf; `NotFound`.
    """
    with begin() as work:
        work.concerns("accesses.listed", subject=subject_id)
        work.require(Role.SERVICE, Role.OPERATOR)
        _known(work, subject_id)
        work.audit("accesses.listed", subject=subject_id)
    looks = (audit_events.c.subject_id == subject_id, audit_events.c.outcome.in_(_LOOKS))
    statement = select(*RAW).where(*looks)
    if before is not None:
        statement = statement.where(audit_events.c.event_id < before)
    statement = statement.order_by(audit_events.c.event_id.desc()).limit(literal_column(str(limit + 1)))
    with reading(work.service) as transaction:
        rows = transaction.execute(statement).all()
        sums = transaction.execute(_sums(looks)).all() if before is None else None
    found = [event_of(row) for row in rows[:limit]]
    return Page(
        None if sums is None else _summed(sums),
        [_access(event) for event in found],
        found[-1].id if len(rows) > limit else None,
    )


def _known(work: Work, subject_id: UUID) -> None:
    try:
        subjects.get(work, subject_id)
    except Erased:
        return


def _access(event: Event) -> Access:
    detail = event.detail or {}
    return Access(
        at=event.at,
        component=event.actor,
        role=event.role,
        kind=event.outcome,
        purpose=event.purpose,
        basis=event.basis,
        type=detail.get("type"),
        fields=event.fields,
        masked=detail.get("masked", ()),
        recipient=detail.get("recipient"),
    )


def _sums(looks: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """Looks that are alike, in one row: of those there are few, however often somebody looked."""
    alike = (*_KIND, audit_events.c.purpose, *raw((audit_events.c.fields, audit_events.c.detail)))
    (at,) = raw((audit_events.c.at,))
    return select(*alike, func.count(), func.min(at), func.max(at)).where(*looks).group_by(*alike)


@dataclass(slots=True)
class _Sum:
    count: int = 0
    instants: set[int] = field(default_factory=set)  # the first and the last of each row
    purposes: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)
    clear: set[str] = field(default_factory=set)
    recipients: set[str] = field(default_factory=set)


def _summed(rows: Sequence[Row]) -> list[Component]:
    """By component, role and kind; the most frequent first."""
    sums: dict[tuple[str, str, str], _Sum] = defaultdict(_Sum)
    for actor, role, kind, purpose, names, said, count, first, last in rows:
        detail = json.loads(said) if said else {}
        looked, masked = set(json.loads(names) if names else ()), set(detail.get("masked", ()))
        one = sums[actor, role, kind]
        one.count += count
        one.instants |= {first, last}
        one.purposes |= {purpose} if purpose else set()
        one.fields |= looked
        one.clear |= looked - masked
        one.recipients |= {str(detail["recipient"])} if "recipient" in detail else set()
    return [
        Component(
            component=actor,
            role=role,
            kind=kind,
            count=one.count,
            first=moment(min(one.instants)),
            last=moment(max(one.instants)),
            purposes=sorted(one.purposes),
            fields=sorted(one.fields),
            masked=sorted(one.fields - one.clear),
            recipients=sorted(one.recipients),
        )
        for (actor, role, kind), one in sorted(sums.items(), key=lambda item: (-item[1].count, item[0]))
    ]
