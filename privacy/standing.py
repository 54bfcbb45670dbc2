"""What stands between a subject and a purpose besides consent: a recorded basis, an objection, a restriction.

A recorded basis has a start and may have an end: outside them the purpose has none (PIPL 13(2) to (7), GDPR 6(1)).
An objection stops one purpose (GDPR 21, PIPL 44), a restriction everything but storage, for one purpose or for all
(GDPR 18, PIPL 44, 47). Each binds the next read on every replica. Every act is kept; its reference and its reason are
sealed, for they may name people.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, insert, select, update

from privacy import ids, notifications, profile, subjects, vault
from privacy.errors import Conflict, Forbidden, Invalid, NotFound
from privacy.manifest import Basis, Purpose
from privacy.plans import MINIMAL_LAW
from privacy.rules import OBJECTION_LAW, PERIOD_LAW, RESTRICTION_LAW
from privacy.tables import standing_events, standings
from privacy.tables import subjects as subjects_table
from privacy.values import Value
from privacy.vault import At
from privacy.work import Role, Work

ACT: Final = "standing-act"  # the type under which an act's proof is sealed
_REFERENCE: Final = 1
_REASON: Final = 2
_LONGEST: Final = 1000
# To what the law itself demands, or what saves a life, nobody can object (GDPR 21(1), PIPL 44).
_NO_OBJECTION: Final = frozenset({Basis.LEGAL_OBLIGATION, Basis.VITAL_INTEREST})


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands between a subject and a purpose; `purpose` is None for what concerns all of them."""

    purpose: str | None
    basis: str | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    objected_at: datetime | None = None
    restricted_at: datetime | None = None


def record_basis(
    work: Work,
    subject_id: UUID,
    purpose_name: str,
    *,
    starts_at: datetime,
    ends_at: datetime | None = None,
    reference: str | None = None,
    channel: str | None = None,
) -> Standing:
    """Record that the purpose's basis (a contract, say) holds for this subject from `starts_at` to `ends_at`.

    Recorded again, it replaces what was recorded. Raises `Invalid` for a purpose that rests on consent or a
    period that ends before it starts; `NotFound`, `Erased`, `UndeclaredPurpose`, `Forbidden`.
    """
    work.concerns("basis.recorded", subject=subject_id, purpose=purpose_name)
    purpose = _purpose(work, purpose_name)
    if purpose.basis is Basis.CONSENT:
        raise Invalid(f"The purpose {purpose_name} rests on consent: record a consent", law=PERIOD_LAW)
    if ends_at is not None and ends_at <= starts_at:
        raise Invalid("ends_at must be after starts_at")
    subjects.hold_for_writing(work, subject_id, alone=True)
    _set(work, subject_id, purpose_name, has_basis=True, starts_at=starts_at, ends_at=ends_at)
    _record(work, subject_id, "basis-recorded", purpose_name, channel, reference, starts=starts_at, ends=ends_at)
    work.audit("basis.recorded", subject=subject_id, purpose=purpose_name, basis=purpose.basis.value)
    return _one(work, subject_id, purpose_name)


def end_basis(
    work: Work, subject_id: UUID, purpose_name: str, *, ends_at: datetime | None = None, channel: str | None = None
) -> Standing:
    """Record that the basis ends, now unless said otherwise. Raises `NotFound` when none was recorded, `Invalid`."""
    work.concerns("basis.ended", subject=subject_id, purpose=purpose_name)
    purpose = _purpose(work, purpose_name)
    subjects.hold_for_writing(work, subject_id, alone=True)
    row = _row(work, subject_id, purpose_name)
    if row is None or row.starts_at is None:
        raise NotFound("No basis of this subject is recorded for this purpose")
    end = ends_at or work.now
    if end <= row.starts_at:
        raise Invalid("The basis would end before it starts")
    _set(work, subject_id, purpose_name, ends_at=end)
    _record(work, subject_id, "basis-ended", purpose_name, channel, ends=end)
    work.audit("basis.ended", subject=subject_id, purpose=purpose_name, basis=purpose.basis.value)
    return _one(work, subject_id, purpose_name)


def object_to(
    work: Work, subject_id: UUID, purpose_name: str, *, reason: str | None = None, channel: str | None = None
) -> Standing:
    """Record the subject's objection; the next read for the purpose is refused, and its recipients are told.

    GDPR 21, PIPL 44. Objecting twice is one objection. Raises `Conflict` where the law knows no objection.
    """
    work.concerns("objection.made", subject=subject_id, purpose=purpose_name)
    work.require(Role.SERVICE, Role.OPERATOR)
    purpose = work.declared.purpose(purpose_name)
    if purpose.basis in _NO_OBJECTION:
        raise Conflict(
            f"Nobody can object to what rests on {purpose.basis.value}",
            zh="对履行法定义务或者紧急情况下的处理不能提出拒绝",
            law=OBJECTION_LAW,
        )
    subjects.hold_for_writing(work, subject_id, alone=True)
    row = _row(work, subject_id, purpose_name)
    if row is None or row.objected_at is None:
        _set(work, subject_id, purpose_name, objected_at=work.now)
        _record(work, subject_id, "objected", purpose_name, channel, reason=reason)
        told = notifications.owe(work, subject_id, "objection", purpose_name)
        work.audit("objection.made", subject=subject_id, purpose=purpose_name, detail={"told": told})
    else:
        work.audit("objection.made", subject=subject_id, purpose=purpose_name, detail={"again": True})
    return _one(work, subject_id, purpose_name)


def has_objected(work: Work, subject_id: UUID, purpose_name: str) -> bool:
    """Whether an objection of the subject to the purpose stands."""
    row = _row(work, subject_id, purpose_name)
    return row is not None and row.objected_at is not None


def lift_objection(
    work: Work, subject_id: UUID, purpose_name: str, *, reason: str | None = None, channel: str | None = None
) -> Standing:
    """Record that the objection is taken back, or overridden on compelling grounds (GDPR 21(1))."""
    work.concerns("objection.lifted", subject=subject_id, purpose=purpose_name)
    work.require(Role.OPERATOR)
    work.declared.purpose(purpose_name)
    subjects.hold_for_writing(work, subject_id, alone=True)
    row = _row(work, subject_id, purpose_name)
    if row is None or row.objected_at is None:
        raise NotFound("The subject has not objected to this purpose")
    _set(work, subject_id, purpose_name, objected_at=None)
    _record(work, subject_id, "objection-lifted", purpose_name, channel, reason=reason)
    work.audit("objection.lifted", subject=subject_id, purpose=purpose_name)
    return _one(work, subject_id, purpose_name)


def restrict(
    work: Work,
    subject_id: UUID,
    purpose_name: str | None = None,
    *,
    reason: str | None = None,
    channel: str | None = None,
) -> Standing:
    """Stop everything but storage, for one purpose or for all; recipients are told (GDPR 18, 19; PIPL 44).

    Restricting twice is one restriction. Raises `NotFound`, `Erased`, `UndeclaredPurpose`.
    """
    work.concerns("restriction.placed", subject=subject_id, purpose=purpose_name)
    work.require(Role.SERVICE, Role.OPERATOR)
    if purpose_name is not None:
        work.declared.purpose(purpose_name)
    held = subjects.hold_for_writing(work, subject_id, alone=True)
    row = _row(work, subject_id, purpose_name) if purpose_name else None
    again = held.is_restricted if purpose_name is None else row is not None and row.restricted_at is not None
    if again:
        work.audit("restriction.placed", subject=subject_id, purpose=purpose_name, detail={"again": True})
        return _one(work, subject_id, purpose_name)
    if purpose_name is None:
        _restrict_all(work, subject_id, work.instant)
    else:
        _set(work, subject_id, purpose_name, restricted_at=work.now)
    _record(work, subject_id, "restricted", purpose_name or "", channel, reason=reason)
    names = [purpose_name] if purpose_name else list(work.declared.manifest.purposes)
    told = sorted({who for name in names for who in notifications.owe(work, subject_id, "restriction", name)})
    work.audit("restriction.placed", subject=subject_id, purpose=purpose_name, detail={"told": told})
    return _one(work, subject_id, purpose_name)


def lift_restriction(
    work: Work,
    subject_id: UUID,
    purpose_name: str | None = None,
    *,
    reason: str | None = None,
    channel: str | None = None,
) -> Standing:
    """Let processing go on; the subject must have been told before (GDPR 18(3)). Operators only."""
    work.concerns("restriction.lifted", subject=subject_id, purpose=purpose_name)
    work.require(Role.OPERATOR)
    held = subjects.hold_for_writing(work, subject_id, alone=True)
    row = _row(work, subject_id, purpose_name) if purpose_name else None
    stands = held.is_restricted if purpose_name is None else row is not None and row.restricted_at is not None
    if not stands:
        raise NotFound("There is no such restriction", law=RESTRICTION_LAW)
    if purpose_name is None:
        _restrict_all(work, subject_id, None)
    else:
        _set(work, subject_id, purpose_name, restricted_at=None)
    _record(work, subject_id, "restriction-lifted", purpose_name or "", channel, reason=reason)
    work.audit("restriction.lifted", subject=subject_id, purpose=purpose_name)
    return _one(work, subject_id, purpose_name)


def listed(work: Work, subject_id: UUID) -> list[Standing]:
    """What stands now, by purpose; what concerns all of them first. Raises `NotFound`, `Erased`."""
    work.concerns("standing.listed", subject=subject_id)
    work.require(Role.SERVICE, Role.OPERATOR, Role.AUDITOR)
    subject = subjects.get(work, subject_id)
    rows = work.execute(select(standings).where(standings.c.subject_id == subject_id).order_by(standings.c.purpose))
    known = [_standing(work, row) for row in rows]
    found = [one for one in known if one != Standing(one.purpose)]  # a life event leaves a row in which nothing stands
    if work.actor.role is Role.SERVICE and "*" not in work.actor.purposes:
        found = [one for one in found if one.purpose in work.actor.purposes]
    if subject.restricted_at is not None:
        found.insert(0, Standing(None, restricted_at=subject.restricted_at))
    work.audit("standing.listed", subject=subject_id, detail={"standings": len(found)})
    return found


def _purpose(work: Work, name: str) -> Purpose:
    work.require(Role.SERVICE, Role.OPERATOR)
    purpose = work.declared.purpose(name)
    if work.actor.role is Role.SERVICE and not {name, "*"} & work.actor.purposes:
        raise Forbidden("The principal has no grant for this purpose", law=MINIMAL_LAW)
    return purpose


def _row(work: Work, subject_id: UUID, purpose: str) -> Standing | None:
    row = work.execute(
        select(standings).where(standings.c.subject_id == subject_id, standings.c.purpose == purpose)
    ).first()
    return None if row is None else _standing(work, row)


def _one(work: Work, subject_id: UUID, purpose: str | None) -> Standing:
    """As it stands after the act."""
    if purpose is None:
        return Standing(None, restricted_at=subjects.get(work, subject_id).restricted_at)
    return _row(work, subject_id, purpose) or Standing(purpose)


def _standing(work: Work, row: Row[Any]) -> Standing:
    declared = work.declared.manifest.purposes.get(row.purpose)
    return Standing(
        purpose=row.purpose,
        basis=declared.basis.value if declared is not None and row.has_basis else None,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        objected_at=row.objected_at,
        restricted_at=row.restricted_at,
    )


def _set(work: Work, subject_id: UUID, purpose: str, **values: object) -> None:
    """Change the row, or make it; the subject is held alone."""
    this = (standings.c.subject_id == subject_id, standings.c.purpose == purpose)
    if work.execute(update(standings).where(*this).values(**values)).rowcount:
        return
    work.execute(insert(standings).values({"subject_id": subject_id, "purpose": purpose, "has_basis": False} | values))
    work.execute(update(subjects_table).where(subjects_table.c.subject_id == subject_id).values(has_standing=True))


def _restrict_all(work: Work, subject_id: UUID, at: int | None) -> None:
    work.execute(update(subjects_table).where(subjects_table.c.subject_id == subject_id).values(restricted_at=at))


def _record(
    work: Work,
    subject_id: UUID,
    kind: str,
    purpose: str,
    channel: str | None,
    reference: str | None = None,
    reason: str | None = None,
    starts: datetime | None = None,
    ends: datetime | None = None,
) -> None:
    event_id = ids.new()
    proof: dict[int, Value] = {}
    for number, text in ((_REFERENCE, reference), (_REASON, reason)):
        if text is not None:
            if not 1 <= len(text) <= _LONGEST:
                raise Invalid(f"A reference or a reason has 1 to {_LONGEST} characters")
            proof[number] = text
    sealed = None
    if proof:
        key = vault.key_for(work, subject_id, profile.SCOPE)
        sealed = vault.seal(work, key, At(subject_id, profile.SCOPE, ACT, event_id), proof)
    work.execute(
        insert(standing_events).values(
            subject_id=subject_id,
            event_id=event_id,
            kind=kind,
            purpose=purpose,
            at=work.instant,
            starts_at=starts,
            ends_at=ends,
            channel=channel,
            recorded_by=work.actor.name,
            sealed=sealed,
        )
    )
