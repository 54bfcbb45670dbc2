"""Events in a data subject's life that storage periods count from: a membership's end, an activity.

An event is kept for ever, moves the end of the purposes' periods that count from it, and of the records held for
them, in one transaction. What has ended stays ended: no event brings back what nobody could read any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import insert, or_, select, update

from privacy import ids, subjects
from privacy.database import Insertion
from privacy.errors import Forbidden, Invalid, Undeclared
from privacy.manifest import Purpose
from privacy.plans import MINIMAL_LAW
from privacy.retention_periods import record_end
from privacy.tables import life_events, micros, records, standings
from privacy.tables import subjects as subjects_table
from privacy.work import Role, Work

_EVENTS: Final = Insertion(life_events)


@dataclass(frozen=True, slots=True)
class LifeEvent:
    """`records`: how many records end at another time by it. `purposes`: those whose periods count from it."""

    id: UUID
    subject_id: UUID
    event: str
    at: datetime
    purposes: tuple[str, ...]
    records: int


def record(work: Work, subject_id: UUID, event: str, at: datetime | None = None) -> LifeEvent:
    """Record that the event happened, now unless `at` says when. Of a name the latest counts, however they come in.

    Raises `Undeclared` for an event that no purpose counts from, `Invalid` for one in the future or before 1970,
    `Forbidden` unless the principal is granted one of the purposes, `NotFound`, `Erased`.
    """
    work.concerns("subject.event-recorded", subject=subject_id)
    work.require(Role.SERVICE, Role.OPERATOR)
    purposes = _purposes(work, event)
    happened = work.instant if at is None else _checked(work, at)
    subjects.hold_for_writing(work, subject_id, alone=True)
    for purpose in purposes:
        _move(work, subject_id, purpose.name, happened)
    moved = recalculate(work, subject_id, [purpose.name for purpose in purposes])
    event_id = ids.new()
    work.add(_EVENTS, (subject_id, event_id, event, happened, work.instant, work.actor.name))
    when = at or work.now
    work.audit(
        "subject.event-recorded", subject=subject_id, detail={"at": when.isoformat(), "event": event, "records": moved}
    )
    return LifeEvent(event_id, subject_id, event, when, tuple(purpose.name for purpose in purposes), moved)


def kept_from(work: Work, subject_ids: Sequence[UUID]) -> dict[UUID, dict[str, int]]:
    """What the purposes' periods count from, by subject and purpose; nothing where no event was recorded."""
    found: dict[UUID, dict[str, int]] = {}
    if not any(purpose.keep_from.life_event for purpose in work.declared.manifest.purposes.values()):
        return found
    columns = (standings.c.subject_id, standings.c.purpose, standings.c.kept_from)
    statement = select(*columns).where(standings.c.subject_id.in_(subject_ids), standings.c.kept_from.is_not(None))
    for row in work.execute(statement):
        found.setdefault(row.subject_id, {})[row.purpose] = micros(row.kept_from)
    return found


def recalculate(work: Work, subject_id: UUID, purposes: Sequence[str]) -> int:
    """Set anew when the subject's records that are held for one of the purposes end; how many end at another time.

    The caller holds the subject alone. Records that have ended are left alone.
    """
    concerned = or_(*(records.c.purposes.contains(f'"{name}"', autoescape=True) for name in purposes))
    known: Mapping[str, int] = kept_from(work, (subject_id,)).get(subject_id, {})
    moved = 0
    for row in work.execute(
        select(records.c.record_id, records.c.purposes, records.c.stored_at, records.c.expires_at).where(
            records.c.subject_id == subject_id, concerned, records.c.expires_at > work.instant
        )
    ).all():
        end = record_end(work.declared, row.purposes, micros(row.stored_at), known)
        if end is None or end == micros(row.expires_at):
            continue
        one = (records.c.subject_id == subject_id, records.c.record_id == row.record_id)
        work.execute(update(records).where(*one).values(expires_at=end))
        moved += 1
    return moved


def _purposes(work: Work, event: str) -> list[Purpose]:
    purposes = [one for one in work.declared.manifest.purposes.values() if one.keep_from.life_event == event]
    if not purposes:
        raise Undeclared("No purpose counts its period from such an event", zh="没有以该事件起算保存期限的目的")
    actor = work.actor
    if actor.role is Role.SERVICE and not any({one.name, "*"} & actor.purposes for one in purposes):
        raise Forbidden("The principal has no grant for a purpose that counts from this event", law=MINIMAL_LAW)
    return purposes


def _checked(work: Work, at: datetime) -> int:
    if at.tzinfo is None:
        raise Invalid("at needs its time zone", zh="at 须注明时区")
    if not 0 <= micros(at) <= work.instant:
        raise Invalid("at must be an instant that has passed, after 1970", zh="at 须为 1970 年之后、已经过去的时刻")
    return micros(at)


def _move(work: Work, subject_id: UUID, purpose: str, at: int) -> None:
    this = (standings.c.subject_id == subject_id, standings.c.purpose == purpose)
    row = work.execute(select(standings.c.kept_from).where(*this)).first()
    if row is None:
        values = {"subject_id": subject_id, "purpose": purpose, "has_basis": False, "kept_from": at}
        work.execute(insert(standings).values(values))
        work.execute(update(subjects_table).where(subjects_table.c.subject_id == subject_id).values(has_standing=True))
    elif row.kept_from is None or micros(row.kept_from) < at:
        work.execute(update(standings).where(*this).values(kept_from=at))
