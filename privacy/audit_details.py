"""What is personal in an event: sealed under its subject's key, and in the event only by a salted hash.

    commitment = SHA-256(salt | text), salt 32 random bytes, text UTF-8        box 1 the text, box 2 the salt in hex

The salt is in the sealed box, so nobody without the key can try texts against the commitment, and a detail that is
sealed again under another key still is what its event names. The log verifies after the subject is erased, and says
that something was there and is gone.

A detail without a salt is of the first form, whose commitment was SHA-256(sealed): it is shown as long as it lies
where it lay, and is said to be damaged once it has been sealed again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import Final
from uuid import UUID

from sqlalchemy import select

from privacy import ids, profile, vault
from privacy.database import Insertion
from privacy.errors import Corrupt, Erased, Invalid, NotFound
from privacy.tables import audit_details, audit_events
from privacy.vault import At, Decision
from privacy.work import Role, Work

TYPE: Final = "audit-detail"  # the type under which a detail is sealed
LONGEST: Final = 1000
_TEXT: Final = 1
_SALT: Final = 2
_DETAILS = Insertion(audit_details)
_CHECK: Final = Decision("[audit]", "legal-obligation", frozenset({_TEXT, _SALT}))


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
    salt = os.urandom(32)
    sealed = vault.seal(work, key, at(subject_id, event_id), {_TEXT: text, _SALT: salt.hex()})
    work.add(_DETAILS, (subject_id, event_id, sealed))
    return event_id, sha256(salt + text.encode()).hexdigest()


def show(work: Work, event_id: UUID) -> Detail:
    """The personal detail of an event, for an auditor; the look is on record first.

    Raises `NotFound`; `Corrupt` for one that is not what its event names.
    """
    work.concerns("audit.detail-shown")
    work.require(Role.AUDITOR)
    event = work.execute(
        select(audit_events.c.subject_id, audit_events.c.commitment).where(audit_events.c.event_id == event_id)
    ).first()
    if event is None or event.commitment is None:
        raise NotFound("There is no such event, or it has no such detail")
    text = _opened(work, event.subject_id, event_id, event.commitment)
    work.audit(
        "audit.detail-shown",
        outcome="done" if text is None else "disclosed",
        subject=event.subject_id,
        record=event_id,
        detail={"event": str(event_id), "erased": text is None},
    )
    return Detail(event_id, text, text is None)


def _opened(work: Work, subject_id: UUID, event_id: UUID, commitment: str) -> str | None:
    row = work.execute(
        select(audit_details.c.sealed).where(
            audit_details.c.subject_id == subject_id, audit_details.c.event_id == event_id
        )
    ).first()
    if row is None:
        return None
    sealed = bytes(row.sealed)
    try:
        found = vault.unseal(work, _CHECK, at(subject_id, event_id), sealed)
    except Erased:
        return None
    text = str(found.get(_TEXT, ""))
    if not compare_digest(_commitment(sealed, text, found.get(_SALT)), commitment):
        raise Corrupt
    return text


def _commitment(sealed: bytes, text: str, salt: str | None) -> str:
    return sha256(sealed if salt is None else bytes.fromhex(salt) + text.encode()).hexdigest()


def at(subject_id: UUID, event_id: UUID) -> At:
    """Where the detail of an event is."""
    return At(subject_id, profile.SCOPE, TYPE, event_id)
