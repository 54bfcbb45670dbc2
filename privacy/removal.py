"""Removing what belongs to a subject, a page at a time; whoever removes names it in an event.

The rows that go hold nothing that anybody can open once the subject's key is destroyed: erasing is what the key store
does (`privacy.erasure`), and this is tidying up behind it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, Select, delete, func, select, update

from privacy.tables import audit_details, consents, index_entries, records, standings, subjects
from privacy.work import Work

PAGE: Final = 500


def hold(work: Work, subject_id: UUID) -> bool:
    """Lock the subject's row against every writer, erased or not; whether there is one."""
    work.overtake()
    found = select(subjects.c.subject_id).where(subjects.c.subject_id == subject_id).with_for_update()
    return work.execute(found).first() is not None


def hold_many(work: Work, subject_ids: Collection[UUID]) -> set[UUID]:
    """`hold` for those of the subjects that nobody else is at, in the order of their ids; which they are.

    It waits for none: who waits for one subject with others held waits for ever for somebody who does the same.
    """
    work.overtake()
    wanted = select(subjects.c.subject_id).where(subjects.c.subject_id.in_(subject_ids))
    return set(work.execute(wanted.order_by(subjects.c.subject_id).with_for_update(skip_locked=True)).scalars())


def remove_records(work: Work, subject_id: UUID, kids: Collection[bytes] | None = None) -> Sequence[Row[Any]]:
    """Remove up to a page of the subject's records, of those under `kids` alone when given, with their index entries.

    What they were: record_id, record_type, purposes.
    """
    statement = select(records.c.record_id, records.c.record_type, records.c.purposes)
    statement = statement.where(records.c.subject_id == subject_id).order_by(records.c.record_id).limit(PAGE)
    if kids is not None:
        statement = statement.where(records.c.kid.in_(kids))
    rows = work.execute(statement).all()
    if rows:
        ids = [row.record_id for row in rows]
        for table in (index_entries, records):
            work.execute(delete(table).where(table.c.subject_id == subject_id, table.c.record_id.in_(ids)))
    return rows


def rows_of_many(
    work: Work, statement: Select[Any], subject_ids: Collection[UUID], most: int
) -> dict[UUID, list[Row[Any]]]:
    """The rows of a table's statement, by subject and in the order of the table's key, whole for each subject named.

    A subject whose rows would make it more than `most` is left out; so may be subjects that come after it.
    """
    table = statement.get_final_froms()[0]
    owner = table.c.subject_id
    of_them = statement.where(owner.in_(subject_ids)).order_by(*table.primary_key).limit(most + 1)
    rows = work.execute(of_them).all()
    found: dict[UUID, list[Row[Any]]] = {subject_id: [] for subject_id in subject_ids}
    for row in rows:
        found[row.subject_id].append(row)
    if len(rows) <= most:
        return found
    cut = rows[-1].subject_id
    if rows[0].subject_id == cut:  # it alone is too much
        return rows_of_many(work, statement, [one for one in subject_ids if one != cut], most)
    return {subject_id: its for subject_id, its in found.items() if subject_id < cut}


def remove_all_records(work: Work, subject_ids: Collection[UUID]) -> None:
    """Remove every record of the subjects, with their index entries."""
    for table in (index_entries, records):
        work.execute(delete(table).where(table.c.subject_id.in_(subject_ids)))


def remove_rest(work: Work, *subject_ids: UUID) -> None:
    """Remove what is left of erased subjects besides their records: profile, states of consent and standing, details.

    The acts themselves stay, with noise where something was sealed in them: that somebody consented is the
    controller's proof, and says nothing of who.
    """
    work.execute(
        update(subjects)
        .where(subjects.c.subject_id.in_(subject_ids))
        .values(
            erased_at=func.coalesce(subjects.c.erased_at, work.instant),
            sealed=None,
            external_token=None,
            external_version=None,
            young=False,
            has_standing=False,
            restricted_at=None,
        )
    )
    for table in (index_entries, consents, standings, audit_details):
        work.execute(delete(table).where(table.c.subject_id.in_(subject_ids)))
