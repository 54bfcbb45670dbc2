"""The audit events, for those who check them. They are written by `privacy.work` and by nothing else.

The table only grows: triggers on both databases refuse update and delete. Sequencing into a Merkle tree
takes its input from (writer, sequence), which count without gaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, select

from privacy.errors import Invalid
from privacy.tables import audit_events
from privacy.work import Role, Work

MOST: Final = 1000
OUTCOMES: Final = ("done", "disclosed", "refused", "compared")


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `fields` are names; nothing in it is personal but the subject's opaque id."""

    id: UUID
    at: datetime
    actor: str
    role: str
    action: str
    outcome: str
    subject: UUID | None
    record: UUID | None
    purpose: str | None
    basis: str | None
    fields: Sequence[str]
    detail: Any
    request_id: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """Events, newest first; `before` is where the next page starts, None at the end."""

    items: list[Event]
    before: UUID | None


def events(
    work: Work,
    *,
    subject: UUID | None = None,
    actor: str | None = None,
    purpose: str | None = None,
    action: str | None = None,
    outcome: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    before: UUID | None = None,
    limit: int = 100,
) -> Page:
    """Events that match every filter given, newest first. Looking is itself an event.

    Raises `Forbidden` unless the actor is an auditor or an administrator, `Invalid`.
    """
    work.concerns("audit.viewed", subject=subject)
    work.require(Role.AUDITOR, Role.ADMIN)
    if outcome is not None and outcome not in OUTCOMES:
        raise Invalid(f"outcome is one of {', '.join(OUTCOMES)}")
    limit = min(max(limit, 1), MOST)
    statement = _newest(limit + 1)
    equals = {"subject_id": subject, "actor": actor, "purpose": purpose, "action": action, "outcome": outcome}
    for name, value in equals.items():
        if value is not None:
            statement = statement.where(audit_events.c[name] == value)
    if since is not None:
        statement = statement.where(audit_events.c.at >= since)
    if until is not None:
        statement = statement.where(audit_events.c.at < until)
    if before is not None:
        statement = statement.where(audit_events.c.event_id < before)
    rows = [_event(row) for row in work.execute(statement)]
    work.audit(
        "audit.viewed",
        subject=subject,
        detail={"filters": sorted(name for name, value in equals.items() if value is not None)},
    )
    return Page(rows[:limit], rows[limit - 1].id if len(rows) > limit else None)


def _newest(limit: int) -> Select[Any]:
    return select(audit_events).order_by(audit_events.c.event_id.desc()).limit(limit)


def _event(row: Any) -> Event:
    return Event(
        id=row.event_id,
        at=row.at,
        actor=row.actor,
        role=row.role,
        action=row.action,
        outcome=row.outcome,
        subject=row.subject_id,
        record=row.record_id,
        purpose=row.purpose,
        basis=row.basis,
        fields=row.fields or (),
        detail=row.detail,
        request_id=row.request_id,
    )
