"""Data subjects: an opaque id, and sealed with their own key what we know of who they are.

External id, birth date and guardian are personal data too. The external id is found by a blind index of
63 bits, unique, so that one external id is one subject.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import select

from privacy import ids, vault
from privacy.access import Decision
from privacy.database import Insertion, Lookup
from privacy.errors import Erased, Invalid, NotFound
from privacy.normalise import normalise
from privacy.tables import moment, subjects, uuid_of
from privacy.values import Value
from privacy.vault import At
from privacy.work import Role, Rows, Work

TYPE: Final = "subject"  # the record type under which the profile is sealed; no manifest may declare it
SCOPE: Final = "main"
EXTERNAL_ID: Final = 1
_BORN: Final = 2
_GUARDIAN: Final = 3
_TOKEN_BITS: Final = 63
_EXTERNAL_ID_LENGTH: Final = 256
_MINOR_YEARS: Final = 14
# What the service does by duty with a profile; nothing of it is disclosed.
_CLASSIFY = Decision("[classification]", "legal-obligation", frozenset({_BORN}))

_SUBJECTS = Insertion(subjects)
_PLAIN = Rows(
    Lookup(
        lambda subject_id: select(
            subjects.c.jurisdiction, subjects.c.erased_at, subjects.c.created_at, subjects.c.sealed
        ).where(subjects.c.subject_id == subject_id),
        "uuid",
    )
)


def _locked(*, read: bool) -> Rows:
    return Rows(
        Lookup(
            lambda subject_id: (
                select(subjects.c.jurisdiction, subjects.c.erased_at, subjects.c.created_at, subjects.c.sealed)
                .where(subjects.c.subject_id == subject_id)
                .with_for_update(read=read)
            ),
            "uuid",
            locks=True,
        )
    )


# A store and an erasure of one subject wait for each other; two stores do not.
_SHARED = _locked(read=True)
_ALONE = _locked(read=False)
_BY_TOKEN = Rows(
    Lookup(
        lambda token: select(subjects.c.subject_id).where(
            subjects.c.external_token == token, subjects.c.erased_at.is_(None)
        ),
        "bigint",
    )
)


@dataclass(frozen=True, slots=True)
class Subject:
    """What may be said of a subject without a purpose: nothing personal."""

    id: UUID
    jurisdiction: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Held:
    """A subject whose row is locked against erasure until the work ends."""

    id: UUID
    jurisdiction: str
    profile: bytes | None


def create(
    work: Work,
    *,
    external_id: str | None = None,
    jurisdiction: str | None = None,
    born: str | None = None,
    guardian: UUID | None = None,
) -> Subject:
    """A new subject with a data key of its own. `born` is an ISO 8601 date.

    Raises `Invalid`; `NotFound` when the guardian is not a subject; `Conflict` when the external id is
    another subject's.
    """
    work.concerns("subject.created")
    work.require(Role.SERVICE, Role.OPERATOR)
    where = jurisdiction or work.declared.controller.jurisdiction
    profile: dict[int, Value] = {}
    token: int | None = None
    if external_id is not None:
        profile[EXTERNAL_ID] = external_id
        token = token_of(work, external_id)
    if born is not None:
        profile[_BORN] = _birth_date(born, work.now).isoformat()
    if guardian is not None:
        get(work, guardian)
        profile[_GUARDIAN] = str(guardian)
    subject_id = ids.new()
    # 1. the key, durable in the key store; 2. the row. A crash between leaves a key that seals nothing.
    key = work.fetch(work.service.vault.new, (subject_id, SCOPE))
    sealed = vault.seal(work, key, _at(subject_id), profile) if profile else None
    work.add(_SUBJECTS, (subject_id, where, work.instant, None, sealed, token))
    work.audit("subject.created", subject=subject_id, fields=_names(profile))
    return Subject(subject_id, where, work.now)


def view(work: Work, subject_id: UUID) -> Subject:
    """What any component may know of a subject; looking is on record. Raises `NotFound`, `Erased`."""
    work.concerns("subject.viewed", subject=subject_id)
    work.require(Role.SERVICE, Role.OPERATOR)
    found = get(work, subject_id)
    work.audit("subject.viewed", subject=subject_id)
    return found


def get(work: Work, subject_id: UUID) -> Subject:
    """Raises `NotFound`, `Erased`."""
    rows = work.fetch(_PLAIN, (subject_id,))
    if not rows:
        raise NotFound("There is no such subject")
    if rows[0][1] is not None:
        raise Erased
    return Subject(subject_id, rows[0][0], moment(rows[0][2]))


def hold_for_writing(work: Work, subject_id: UUID, *, alone: bool = False) -> Held:
    """Lock the subject's row against erasure; `alone`, against other writers too. Raises `NotFound`, `Erased`."""
    if alone:
        work.overtake()
    rows = work.fetch(_ALONE if alone else _SHARED, (subject_id,))
    if not rows:
        raise NotFound("There is no such subject")
    if rows[0][1] is not None:
        raise Erased
    return Held(subject_id, rows[0][0], rows[0][3])


def find(work: Work, external_id: str) -> UUID | None:
    """The subject with this external id; the work then owes an event about it."""
    for (found,) in work.fetch(_BY_TOKEN, (token_of(work, external_id),)):
        return uuid_of(found)
    return None


def is_minor(work: Work, held: Held) -> bool:
    """Whether the subject is under 14 now (PIPL 28, 31). The work then owes an event about the subject."""
    if held.profile is None:
        return False
    born = vault.unseal(work, _CLASSIFY, _at(held.id), held.profile).get(_BORN)
    return born is not None and _years(date.fromisoformat(born), work.now.date()) < _MINOR_YEARS


def token_of(work: Work, external_id: str) -> int:
    """The blind index of an external id. Raises `Invalid`."""
    if not 1 <= len(external_id) <= _EXTERNAL_ID_LENGTH:
        raise Invalid(f"external_id has 1 to {_EXTERNAL_ID_LENGTH} characters")
    value = normalise("text", external_id)
    return work.service.keyring.index.token(TYPE, "external_id", "text-1", value.encode(), bits=_TOKEN_BITS)


def _names(profile: Mapping[int, Value]) -> list[str]:
    names = {EXTERNAL_ID: "external_id", _BORN: "born", _GUARDIAN: "guardian"}
    return [names[number] for number in sorted(profile)]


def _at(subject_id: UUID) -> At:
    return At(subject_id, SCOPE, TYPE, subject_id)


def _birth_date(text: str, now: datetime) -> date:
    try:
        born = date.fromisoformat(text)
    except ValueError:
        raise Invalid("born must be a date, YYYY-MM-DD") from None
    if not born.year >= 1850 or born > now.astimezone(UTC).date():
        raise Invalid("born must be a date in the past, after 1850")
    return born


def _years(born: date, today: date) -> int:
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))
