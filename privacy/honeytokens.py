"""Honeytoken subjects: invented people whom nobody has a reason to read; a disclosure of one is an alarm.

A mark is a keyed hash of the subject's id. Whoever reads the database, a copy of it, the audit log, or the API sees
that there are marks and not on whom: a thief who could tell would leave them out. Nothing on the way of a read looks
at marks, so a read takes equally long either way; the watch does, afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from sqlalchemy import delete, insert, select

from privacy import subjects
from privacy.tables import honeytokens
from privacy.work import Role, Work

_LABEL: Final = "honeytoken"


def mark(work: Work, subject_id: UUID) -> None:
    """Any disclosure about the subject alarms from now on; marking twice is marking once.

    Raises `NotFound`, `Erased`.
    """
    work.concerns("honeytoken.marked")
    work.require(Role.OPERATOR, Role.ADMIN)
    subjects.get(work, subject_id)
    key = _mark(work, subject_id)
    again = work.execute(select(honeytokens.c.mark).where(honeytokens.c.mark == key)).first() is not None
    if not again:
        work.execute(insert(honeytokens).values(mark=key, marked_at=work.instant, marked_by=work.actor.name))
    work.audit("honeytoken.marked", detail={"again": again, "mark": key.hex()})


def unmark(work: Work, subject_id: UUID) -> None:
    """The subject is like any other, whether or not it was marked; also when it has been erased."""
    work.concerns("honeytoken.unmarked")
    work.require(Role.OPERATOR, Role.ADMIN)
    key = _mark(work, subject_id)
    was_marked = work.execute(delete(honeytokens).where(honeytokens.c.mark == key)).rowcount > 0
    work.audit("honeytoken.unmarked", detail={"again": not was_marked, "mark": key.hex()})


def among(work: Work, subject_ids: Iterable[UUID]) -> frozenset[UUID]:
    """Which of the subjects are marked."""
    marks = {bytes(row.mark) for row in work.execute(select(honeytokens.c.mark))}
    return frozenset(one for one in set(subject_ids) if _mark(work, one) in marks) if marks else frozenset()


def _mark(work: Work, subject_id: UUID) -> bytes:
    return work.service.keyring.fingerprint(_LABEL, subject_id.bytes)
