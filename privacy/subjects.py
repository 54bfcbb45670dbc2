"""Data subjects: an opaque id, and sealed with their own key what we know of who they are.

External id, birth date and guardian are personal data too. The external id is found by a blind index of
63 bits, unique, so that one external id is one subject.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import case, null, select

from privacy import ids, profile, vault
from privacy.ages import age_on
from privacy.database import Insertion, Lookup
from privacy.errors import Conflict, Erased, Invalid, NotFound
from privacy.facts import Facts
from privacy.levels import CHILD_YEARS
from privacy.normalise import normalise
from privacy.tables import moment, subjects, uuid_of
from privacy.values import Value
from privacy.work import Role, Rows, Work

_TOKEN_BITS: Final = 63
_EXTERNAL_ID_LENGTH: Final = 256
# From then on no rule asks how old somebody is, so the profile of who was older at first is never opened for it.
_OF_AGE: Final = 18

_SUBJECTS = Insertion(subjects)
_PLAIN = Rows(
    Lookup(
        lambda subject_id: select(
            subjects.c.jurisdiction, subjects.c.erased_at, subjects.c.created_at, subjects.c.restricted_at
        ).where(subjects.c.subject_id == subject_id),
        "uuid",
    )
)


def _locked(*, read: bool) -> Rows:
    return Rows(
        Lookup(
            lambda subject_id: (
                select(
                    subjects.c.jurisdiction,
                    subjects.c.erased_at,
                    case((subjects.c.young, subjects.c.sealed), else_=null()),
                    subjects.c.restricted_at,
                    subjects.c.has_standing,
                )
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
    restricted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A subject whose row is locked against erasure until the work ends.

    `profile` is sealed, and there only for one who was young when it was created. `has_standing`: something
    besides consent stands between the subject and some purpose.
    """

    id: UUID
    jurisdiction: str
    profile: bytes | None
    is_restricted: bool
    has_standing: bool

    @property
    def facts(self) -> Facts:
        """What the gate must know for a purpose that rests on something else than consent, without standings."""
        return Facts(self.id, self.jurisdiction, False, restricted=self.is_restricted, profile=self.profile)


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
    known: dict[int, Value] = {}
    token: int | None = None
    young = False
    if external_id is not None:
        known[profile.EXTERNAL_ID] = external_id
        token = token_of(work, external_id)
        _refuse_known(work, external_id)
    if born is not None:
        date_of_birth = _birth_date(born, work.now)
        known[profile.BORN] = date_of_birth.isoformat()
        young = age_on(date_of_birth, work.now.date()) < _OF_AGE
    if guardian is not None:
        get(work, guardian)
        known[profile.GUARDIAN] = str(guardian)
    subject_id = ids.new()
    # 1. the key, durable in the key store; 2. the row. A crash between leaves a key that seals nothing.
    key = work.fetch(work.service.vault.new, (subject_id, profile.SCOPE))
    sealed = vault.seal(work, key, profile.at(subject_id), known) if known else None
    version = None if token is None else work.service.keyring.index.version
    work.add(_SUBJECTS, (subject_id, where, work.instant, None, sealed, token, None, young, False, version))
    work.audit("subject.created", subject=subject_id, fields=profile.names(known))
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
    restricted = rows[0][3]
    return Subject(subject_id, rows[0][0], moment(rows[0][2]), None if restricted is None else moment(restricted))


def hold_for_writing(work: Work, subject_id: UUID, *, alone: bool = False) -> Held:
    """Lock the subject's row against erasure; `alone`, against other writers too. Raises `NotFound`, `Erased`."""
    if alone:
        work.overtake()
    rows = work.fetch(_ALONE if alone else _SHARED, (subject_id,))
    if not rows:
        raise NotFound("There is no such subject")
    if rows[0][1] is not None:
        raise Erased
    where, _, sealed, restricted, has_standing = rows[0]
    return Held(subject_id, where, sealed, restricted is not None, bool(has_standing))


def find(work: Work, external_id: str) -> UUID | None:
    """The subject with this external id; the work then owes an event about it."""
    for version in reversed(work.service.keyring.index_versions):  # what is indexed anew meanwhile is never missed
        for (found,) in work.fetch(_BY_TOKEN, (token_of(work, external_id, version=version),)):
            return uuid_of(found)
    return None


def is_minor(work: Work, held: Held) -> bool:
    """Whether the subject is under 14 now (PIPL 28, 31). The work then owes an event about the subject."""
    if held.profile is None:
        return False
    born = profile.born(work, held.id, held.profile)
    return born is not None and age_on(born, work.now.date()) < CHILD_YEARS


def token_of(work: Work, external_id: str, *, version: int | None = None) -> int:
    """The blind index of an external id, under the newest version of the index root or another. Raises `Invalid`."""
    if not 1 <= len(external_id) <= _EXTERNAL_ID_LENGTH:
        raise Invalid(f"external_id has 1 to {_EXTERNAL_ID_LENGTH} characters")
    value = normalise("text", external_id)
    keyring = work.service.keyring
    index = keyring.index if version is None else keyring.index_of(version)
    return index.token(profile.TYPE, "external_id", "text-1", value.encode(), bits=_TOKEN_BITS)


def _refuse_known(work: Work, external_id: str) -> None:
    """While the index is renewed, the subject who has this id may still stand under its old token."""
    if len(work.service.keyring.index_versions) > 1 and find(work, external_id) is not None:
        raise Conflict("Another subject has this external id")


def _birth_date(text: str, now: datetime) -> date:
    try:
        born = date.fromisoformat(text)
    except ValueError:
        raise Invalid("born must be a date, YYYY-MM-DD") from None
    if not born.year >= 1850 or born > now.astimezone(UTC).date():
        raise Invalid("born must be a date in the past, after 1850")
    return born
