"""What the gate must know of a subject for one purpose, in one query.

Whatever fetches records joins `FACTS` to them, so that a decision costs no query of its own; many subjects
are one query as well.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import FromClause, and_, case, null, select

from privacy.database import Lookup, Row
from privacy.errors import NotFound
from privacy.plans import Conditions
from privacy.tables import consents, standings, subjects
from privacy.work import Rows, Work

SEPARATE: Final = 1
WRITTEN: Final = 2
EXPLICIT: Final = 4
BY_GUARDIAN: Final = 8

# What the gate must know, in this order; `with_facts` joins the tables behind it.
FACTS: Final = (
    subjects.c.jurisdiction,
    subjects.c.erased_at.label("subject_erased_at"),
    subjects.c.restricted_at.label("subject_restricted_at"),
    case((subjects.c.young, subjects.c.sealed), else_=null()).label("profile"),
    standings.c.has_basis,
    standings.c.starts_at,
    standings.c.ends_at,
    standings.c.objected_at,
    standings.c.restricted_at,
    consents.c.state,
    consents.c.expires_at.label("consent_expires_at"),
    consents.c.notice,
    consents.c.categories,
    consents.c.flags,
    standings.c.kept_from,
)


def with_facts(source: FromClause, subject_id: Any, purpose: Any, counterpart: Any) -> FromClause:
    """The source, which has `subjects` in it, joined with what else `FACTS` are read from."""
    return source.outerjoin(
        standings, and_(standings.c.subject_id == subject_id, standings.c.purpose == purpose)
    ).outerjoin(
        consents,
        and_(
            consents.c.subject_id == subject_id,
            consents.c.purpose == purpose,
            consents.c.recipient == counterpart,
        ),
    )


_FACTS = Rows(
    Lookup(
        lambda subject_id, purpose, counterpart: (
            select(*FACTS)
            .select_from(with_facts(subjects, subjects.c.subject_id, purpose, counterpart))
            .where(subjects.c.subject_id == subject_id)
        ),
        "uuid",
        "text",
        "text",
    )
)


class Facts(NamedTuple):
    """What the gate must know of a subject, for one purpose. Instants in microseconds.

    `profile` is sealed, and there only for a subject who was young when it was created. `consent` is the
    state of the newest act; `categories` a JSON list, None for all that its notice names. `kept_from`: the last life
    event that the purpose's period counts from.
    """

    subject_id: UUID
    jurisdiction: str
    erased: bool
    restricted: bool = False
    objected: bool = False
    has_basis: bool = False
    basis_from: int | None = None
    basis_until: int | None = None
    profile: bytes | None = None
    consent: str | None = None
    consent_expires: int | None = None
    notice: int | None = None
    categories: str | None = None
    flags: int = 0
    kept_from: int | None = None


def facts_for(work: Work, subject_id: UUID, demanded: Conditions) -> Facts:
    """What the gate must know of the subject, in one query. Raises `NotFound`."""
    rows = work.fetch(_FACTS, (subject_id, demanded.purpose.name, demanded.counterpart))
    if not rows:
        raise NotFound("There is no such subject")
    return facts_of(rows[0], 0, subject_id)


def facts_of(row: Row, start: int, subject_id: UUID) -> Facts:
    """The facts in a row's columns `FACTS`, the first of which is at `start`."""
    where, erased, restricted, sealed, has_basis, begins, ends, objected, paused, *consent = row[start : start + 15]
    state, expires, notice, categories, flags, kept_from = consent
    return Facts(
        subject_id=subject_id,
        jurisdiction=where,
        erased=erased is not None,
        restricted=restricted is not None or paused is not None,
        objected=objected is not None,
        has_basis=bool(has_basis),
        basis_from=begins,
        basis_until=ends,
        profile=sealed,
        consent=state,
        consent_expires=expires,
        notice=notice,
        categories=categories,
        flags=flags or 0,
        kept_from=kept_from,
    )
