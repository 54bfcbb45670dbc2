"""What a subject's consents are and were: as they stand, as they stood at any past instant, and every act.

The state at an instant is derived from the acts until then, the manifest and the notices of that time, and the
subject's age on that day.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, select

from privacy import ages, declaration, profile, subjects
from privacy.declaration import Declared
from privacy.errors import Invalid, NotFound
from privacy.rules import IN_FORCE
from privacy.tables import consent_events
from privacy.tables import subjects as subjects_table
from privacy.work import Role, Work

EXPIRED: Final = "expired"
STALE: Final = "stale"


@dataclass(frozen=True, slots=True)
class Act:
    """One act of a consent's history, or the newest one with the state that it has come to.

    `digest` is the SHA-256 of the exact text shown, in hex. `is_valid`: whether processing may rest on it.
    """

    id: UUID
    event_id: UUID
    subject_id: UUID
    purpose: str
    recipient: str | None
    categories: tuple[str, ...] | None
    state: str
    at: datetime
    expires_at: datetime | None
    notice: str | None
    notice_number: int | None
    language: str | None
    digest: str | None
    channel: str | None
    recorded_by: str
    separate: bool
    written: bool
    explicit: bool
    by_guardian: bool
    is_valid: bool = False


def listed(
    work: Work,
    subject_id: UUID,
    *,
    history: bool = False,
    at: datetime | None = None,
    purpose: str | None = None,
) -> list[Act]:
    """The consents as they stand, or stood `at` an instant; with `history` every act until then, oldest first.

    Raises `NotFound`, `Erased`; `Invalid` for an instant to come.
    """
    work.concerns("consent.listed", subject=subject_id)
    work.require(Role.SERVICE, Role.OPERATOR, Role.AUDITOR)
    subjects.get(work, subject_id)
    if at is not None and at > work.now:
        raise Invalid("at must be an instant that has come")
    acts = [_act(row) for row in _events(work, subject_id, at or work.now) if _may_see(work, row.purpose)]
    acts = [act for act in acts if purpose is None or act.purpose == purpose]
    if not history:
        acts = _standing(work, subject_id, acts, at)
    work.audit("consent.listed", subject=subject_id, detail={"consents": len(acts)})
    return acts


def newest(work: Work, subject_id: UUID, consent_id: UUID) -> Act:
    """The newest act of one consent, in the state that it has come to. Raises `NotFound`."""
    acts = [_act(row) for row in _events(work, subject_id, work.now) if _may_see(work, row.purpose)]
    of_it = [act for act in acts if act.id == consent_id]
    if not of_it:
        raise NotFound("There is no such consent of this subject", zh="该个人没有此项同意")
    # an end shows nothing of its own: what was shown is what was consented to
    last, language, digest = of_it[-1], None, None
    for act in of_it:
        language, digest = act.language or language, act.digest or digest
    last = replace(last, language=language, digest=digest)
    return _derived(last, work.now, work.declared, _Age(work, subject_id))


def _events(work: Work, subject_id: UUID, until: datetime) -> Iterable[Row[Any]]:
    return work.execute(
        select(consent_events)
        .where(consent_events.c.subject_id == subject_id, consent_events.c.at <= until)
        .order_by(consent_events.c.at, consent_events.c.event_id)
    )


def _standing(work: Work, subject_id: UUID, acts: list[Act], at: datetime | None) -> list[Act]:
    """The newest act of each purpose and recipient, in the state that it had come to."""
    last = {(act.purpose, act.recipient or ""): act for act in acts}
    declared = work.declared if at is None else declaration.as_of(work, at)
    age = _Age(work, subject_id)
    return [_derived(last[key], at or work.now, declared, age) for key in sorted(last)]


def _derived(act: Act, instant: datetime, declared: Declared | None, age: _Age) -> Act:
    state = act.state
    if state in IN_FORCE:
        if act.expires_at is not None and act.expires_at <= instant:
            state = EXPIRED
        elif declared is None or not _still_holds(act, instant, declared, age):
            state = STALE
    return replace(act, state=state, is_valid=state in IN_FORCE)


def _still_holds(act: Act, instant: datetime, declared: Declared, age: _Age) -> bool:
    """Whether what was told is what was done then, and who consented could."""
    if declared.covered(act.purpose, act.notice_number) is None:
        return False
    return not act.by_guardian or age.is_child(instant, declared)


class _Age:
    """How old the subject was at an instant; its profile is opened at most once, and only when it matters."""

    def __init__(self, work: Work, subject_id: UUID) -> None:
        self._work = work
        self._subject_id = subject_id
        self._known: tuple[str, date | None] | None = None

    def is_child(self, instant: datetime, declared: Declared) -> bool:
        if self._known is None:
            row = self._work.execute(
                select(subjects_table.c.jurisdiction, subjects_table.c.young, subjects_table.c.sealed).where(
                    subjects_table.c.subject_id == self._subject_id
                )
            ).one()
            born = profile.born(self._work, self._subject_id, row.sealed) if row.young and row.sealed else None
            self._known = (row.jurisdiction, born)
        where, born = self._known
        limit = ages.limit_of(where, declared.controller.jurisdiction).years
        return born is not None and ages.age_on(born, instant.date()) < limit


def _may_see(work: Work, purpose: str) -> bool:
    return work.actor.role is not Role.SERVICE or bool({purpose, "*"} & work.actor.purposes)


def _act(row: Row[Any]) -> Act:
    return Act(
        id=row.consent_id,
        event_id=row.event_id,
        subject_id=row.subject_id,
        purpose=row.purpose,
        recipient=row.recipient or None,
        categories=None if row.categories is None else tuple(row.categories),
        state=row.state,
        at=row.at,
        expires_at=row.expires_at,
        notice=row.notice,
        notice_number=row.notice_number,
        language=row.language,
        digest=None if row.digest is None else bytes(row.digest).hex(),
        channel=row.channel,
        recorded_by=row.recorded_by,
        separate=row.separate,
        written=row.written,
        explicit=row.explicit,
        by_guardian=row.by_guardian,
    )
