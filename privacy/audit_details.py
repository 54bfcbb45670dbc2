"""What is personal in an event: sealed under its subject's key, and in the event only by the hash of the sealed bytes.

So the log verifies after the subject is erased, and says that something was there and is gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Final
from uuid import UUID

from sqlalchemy import select

from privacy import ids, profile, vault
from privacy.database import Insertion
from privacy.errors import Erased, Invalid, NotFound
from privacy.tables import audit_details, audit_events
from privacy.vault import At, Decision
from privacy.work import Role, Work

TYPE: Final = "audit-detail"  # the type under which a detail is sealed
LONGEST: Final = 1000
_TEXT: Final = 1
_DETAILS = Insertion(audit_details)
_CHECK: Final = Decision("[audit]", "legal-obligation", frozenset({_TEXT}))


@dataclass(frozen=True, slots=True)
class Detail:
    """The text, or None where it is erased."""

    event_id: UUID
    text: str | None
    is_erased: bool


def seal(work: Work, subject_id: UUID, text: str) -> tuple[UUID, str]:
    """Keep the text; the id that the event must get, and the commitment it carries (`Work.audit(sealed=)`).

    Raises `Invalid` for a text that is empty or has more than a thousand characters.
    """
    if not 1 <= len(text) <= LONGEST:
        raise Invalid(f"A reason has 1 to {LONGEST} characters")
    event_id = ids.new()
    key = vault.key_for(work, subject_id, profile.SCOPE)
    sealed = vault.seal(work, key, _at(subject_id, event_id), {_TEXT: text})
    work.add(_DETAILS, (subject_id, event_id, sealed))
    return event_id, sha256(sealed).hexdigest()


def show(work: Work, event_id: UUID) -> Detail:
    """The personal detail of an event, for an auditor; the look is on record first. Raises `NotFound`."""
    work.concerns("audit.detail-shown")
    work.require(Role.AUDITOR)
    event = work.execute(
        select(audit_events.c.subject_id, audit_events.c.commitment).where(audit_events.c.event_id == event_id)
    ).first()
    if event is None or event.commitment is None:
        raise NotFound("There is no such event, or it has no such detail")
    text = _opened(work, event.subject_id, event_id)
    work.audit(
        "audit.detail-shown",
        outcome="done" if text is None else "disclosed",
        subject=event.subject_id,
        record=event_id,
        detail={"event": str(event_id), "erased": text is None},
    )
    return Detail(event_id, text, text is None)


def _opened(work: Work, subject_id: UUID, event_id: UUID) -> str | None:
    row = work.execute(
        select(audit_details.c.sealed).where(
            audit_details.c.subject_id == subject_id, audit_details.c.event_id == event_id
        )
    ).first()
    if row is None:
        return None
    try:
        found = vault.unseal(work, _CHECK, _at(subject_id, event_id), bytes(row.sealed))
    except Erased:
        return None
    return str(found[_TEXT])


def _at(subject_id: UUID, event_id: UUID) -> At:
    return At(subject_id, profile.SCOPE, TYPE, event_id)
