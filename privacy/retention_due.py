"""What has ended, and what becomes of it: the one judgement that a plan, a dry run and a sweep share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, exists, func, literal, not_, select, tuple_

from privacy import life_events
from privacy.holds import Holdings
from privacy.manifest import AtEnd
from privacy.retention_periods import record_end, statutory
from privacy.tables import Id, job_items, manifests, micros, records, subjects
from privacy.work import Work

JOB: Final = "retention-sweep"  # the name under which items are set aside
_R = records.c

Fate = Literal["erase", "anonymise", "postpone"]


def due(
    work: Work,
    holdings: Holdings,
    limit: int,
    *,
    after: Row[Any] | None = None,
    among: Iterable[UUID] | None = None,
) -> Sequence[Row[Any]]:
    """Records that have ended, are not held and not set aside, what ended first at the front. Nothing is locked.

    `among`: of these subjects only. A row has subject_id, record_id, record_type, purposes, stored_at, expires_at,
    sealed.
    """
    aside = exists().where(
        job_items.c.name == JOB, job_items.c.item == _R.record_id, job_items.c.set_aside_at.is_not(None)
    )
    columns = (_R.subject_id, _R.record_id, _R.record_type, _R.purposes, _R.stored_at, _R.expires_at, _R.sealed)
    statement = (
        of_living(select(*columns))
        .where(*ended(work.instant), not_(holdings.clause()), ~aside)
        .order_by(_R.expires_at, _R.subject_id, _R.record_id)
        .limit(limit)
    )
    if after is not None:
        place = (literal(micros(after.expires_at)), literal(after.subject_id, Id()), literal(after.record_id, Id()))
        statement = statement.where(tuple_(_R.expires_at, _R.subject_id, _R.record_id) > tuple_(*place))
    if among is not None:
        statement = statement.where(_R.subject_id.in_(list(among)))
    return work.execute(statement).all()


def judged(work: Work, rows: Sequence[Row[Any]], *, is_settled: bool) -> list[tuple[Row[Any], Fate, int]]:
    """What becomes of each record by the manifest in force, and when it ends by it.

    `is_settled`: the ends stored are those of this manifest. Else a record may have to be kept longer, unless it was
    over before the manifest was applied: that stays over, whatever it says, for people were told so. A statutory
    period that the manifest names is kept in any case.
    """
    if not rows:
        return []
    since = in_force_since(work)
    known = {} if is_settled else life_events.kept_from(work, sorted({row.subject_id for row in rows}))
    found: list[tuple[Row[Any], Fate, int]] = []
    for row in rows:
        expires = micros(row.expires_at)
        end = expires if is_settled else end_of(work, row, known) or expires
        least = statutory(work.declared, row.purposes, row.record_type, row.stored_at, work.now)
        if end > work.instant and expires > since:
            found.append((row, "postpone", end))
        elif least is not None:
            found.append((row, "postpone", micros(least.until)))
        else:
            found.append((row, fate_of(work, row.purposes), end))
    return found


def end_of(work: Work, row: Row[Any], known: Mapping[UUID, Mapping[str, int]]) -> int | None:
    """When the record ends by the manifest in force; None when it declares none of its purposes.

    An event after the record's end, as it is stored, does not count: nothing brings back what nobody could read.
    """
    expires = micros(row.expires_at)
    counted = {name: at for name, at in known.get(row.subject_id, {}).items() if at <= expires}
    return record_end(work.declared, row.purposes, micros(row.stored_at), counted)


def fate_of(work: Work, purposes: Iterable[str]) -> Fate:
    """Anonymised where every purpose says so, else erased."""
    known = work.declared.manifest.purposes
    ends = {known[name].at_end for name in purposes if name in known}
    return "anonymise" if ends == {AtEnd.ANONYMISE} else "erase"


def in_force_since(work: Work) -> int:
    """When the manifest in force was applied."""
    applied = select(manifests.c.applied_at).where(manifests.c.version == work.declared.version)
    return micros(work.execute(applied).scalar_one())


def ended(instant: int) -> tuple[ColumnElement[bool], ...]:
    """Records that have ended by then; those of an erased subject are the erasure's. Of `of_living`."""
    return (_R.expires_at <= instant, subjects.c.erased_at.is_(None))


def of_living(statement: Select[Any]) -> Select[Any]:
    """Records with their subjects."""
    return statement.select_from(records.join(subjects, subjects.c.subject_id == _R.subject_id))


def count(work: Work, *conditions: ColumnElement[bool]) -> int:
    """How many records these are."""
    return int(work.execute(of_living(select(func.count())).where(*conditions)).scalar_one())


def lock_free(work: Work, subject_ids: Iterable[UUID]) -> set[UUID]:
    """Lock the subjects whom nobody else holds, erased ones too; which they are. Nobody is waited for.

    Whoever locks many must not wait for one: who holds that one may wait for another of the many.
    """
    wanted = sorted(set(subject_ids))
    if not wanted:
        return set()
    work.overtake()
    free = select(subjects.c.subject_id).where(subjects.c.subject_id.in_(wanted)).order_by(subjects.c.subject_id)
    return set(work.execute(free.with_for_update(skip_locked=True)).scalars())
