"""Consent, as much of it as the gate needs: given, refused or withdrawn, for one purpose of one subject.

Events are kept for ever and never changed; the state is the newest of them. A withdrawal binds the next
read everywhere, because every read asks the database.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import delete, insert, select

from privacy import ids, subjects
from privacy.access import CONSENT_LAW
from privacy.errors import Conflict, Forbidden, Invalid, NotFound
from privacy.manifest import Basis, Purpose
from privacy.tables import consent_events, consents
from privacy.work import Role, Work

State = Literal["given", "refused", "withdrawn"]


@dataclass(frozen=True, slots=True)
class Consent:
    """The state of one subject's consent for one purpose, or one event of its history."""

    id: UUID
    purpose: str
    state: str
    at: datetime
    expires_at: datetime | None
    notice: str | None = None
    language: str | None = None
    separate: bool = False


def decide(
    work: Work,
    subject_id: UUID,
    purpose_name: str,
    decision: Literal["given", "refused"],
    *,
    notice: str | None = None,
    language: str | None = None,
    separate: bool = False,
    channel: str | None = None,
) -> Consent:
    """Record that the subject gave or refused consent for one purpose.

    PIPL 14, GDPR 7(1). Raises `UndeclaredPurpose`, `Invalid` when the purpose does not rest on consent,
    `NotFound`, `Erased`, `Forbidden`.
    """
    work.concerns(f"consent.{decision}", subject=subject_id, purpose=purpose_name)
    purpose = _purpose(work, purpose_name)
    subjects.hold_for_writing(work, subject_id, alone=True)
    period = purpose.consent_expires
    expires = period.after(work.now) if period is not None and decision == "given" else None
    return _record(work, subject_id, ids.new(), purpose, decision, expires, notice, language, separate, channel)


def withdraw(work: Work, subject_id: UUID, purpose_name: str, *, channel: str | None = None) -> Consent:
    """Record that the subject withdrew its consent; the next read for the purpose is refused.

    PIPL 15, GDPR 7(3). Withdrawing twice is one withdrawal. Raises `NotFound` when none was ever given.
    """
    work.concerns("consent.withdrawn", subject=subject_id, purpose=purpose_name)
    purpose = _purpose(work, purpose_name)
    subjects.hold_for_writing(work, subject_id, alone=True)
    row = work.execute(
        select(consents).where(consents.c.subject_id == subject_id, consents.c.purpose == purpose_name)
    ).first()
    if row is None:
        raise NotFound("There is no consent of this subject for this purpose")
    if row.state == "refused":
        raise Conflict("The consent was refused, so there is none to withdraw")
    if row.state == "withdrawn":
        work.audit("consent.withdrawn", subject=subject_id, purpose=purpose_name, detail={"again": True})
        return Consent(row.consent_id, purpose_name, "withdrawn", row.changed_at, None)
    return _record(work, subject_id, row.consent_id, purpose, "withdrawn", None, None, None, False, channel)


def listed(work: Work, subject_id: UUID, *, history: bool = False) -> list[Consent]:
    """The subject's consents as they stand, or every event, oldest first. Raises `NotFound`, `Erased`."""
    work.concerns("consent.listed", subject=subject_id)
    work.require(Role.SERVICE, Role.OPERATOR, Role.AUDITOR)
    subjects.get(work, subject_id)
    if history:
        statement = (
            select(consent_events)
            .where(consent_events.c.subject_id == subject_id)
            .order_by(consent_events.c.at, consent_events.c.event_id)
        )
        found = [
            Consent(
                row.consent_id,
                row.purpose,
                row.state,
                row.at,
                row.expires_at,
                row.notice,
                row.language,
                row.separate,
            )
            for row in work.execute(statement)
        ]
    else:
        found = [
            Consent(row.consent_id, row.purpose, row.state, row.changed_at, row.expires_at)
            for row in work.execute(
                select(consents).where(consents.c.subject_id == subject_id).order_by(consents.c.purpose)
            )
        ]
    if work.actor.role is Role.SERVICE and "*" not in work.actor.purposes:
        found = [consent for consent in found if consent.purpose in work.actor.purposes]
    work.audit("consent.listed", subject=subject_id, detail={"consents": len(found)})
    return found


def _purpose(work: Work, name: str) -> Purpose:
    work.require(Role.SERVICE, Role.OPERATOR)
    purpose = work.declared.purpose(name)
    if work.actor.role is Role.SERVICE and not {name, "*"} & work.actor.purposes:
        raise Forbidden("The principal has no grant for this purpose", law=("PIPL-6",))
    if purpose.basis is not Basis.CONSENT:
        raise Invalid(f"The purpose {name} rests on {purpose.basis.value}, not on consent", law=CONSENT_LAW)
    return purpose


def _record(
    work: Work,
    subject_id: UUID,
    consent_id: UUID,
    purpose: Purpose,
    state: State,
    expires: datetime | None,
    notice: str | None,
    language: str | None,
    separate: bool,
    channel: str | None,
) -> Consent:
    # deleted and inserted, in one transaction: the one upsert that both databases spell alike
    work.execute(delete(consents).where(consents.c.subject_id == subject_id, consents.c.purpose == purpose.name))
    work.execute(
        insert(consents).values(
            subject_id=subject_id,
            purpose=purpose.name,
            consent_id=consent_id,
            state=state,
            changed_at=work.instant,
            expires_at=expires,
        )
    )
    work.execute(
        insert(consent_events).values(
            subject_id=subject_id,
            event_id=ids.new(),
            consent_id=consent_id,
            purpose=purpose.name,
            state=state,
            at=work.instant,
            expires_at=expires,
            notice=notice,
            language=language,
            separate=separate,
            channel=channel,
            recorded_by=work.actor.name,
        )
    )
    work.audit(
        f"consent.{state}",
        subject=subject_id,
        purpose=purpose.name,
        basis="consent",
        detail={"consent": str(consent_id)} | ({"notice": notice} if notice else {}),
    )
    return Consent(consent_id, purpose.name, state, work.now, expires, notice, language, separate)
