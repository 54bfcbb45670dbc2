"""Index entries and external ids under a new version of the index root, while searches go on under both.

Whatever is stored from the new version's first transaction on is indexed under it (`Steward.refresh`); what is older is
found by the version in its row, a page of subjects at a time, until there is none. A subject is done in one
transaction under its lock: a search finds the old entry or the new one, and never neither.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, func, select, update

from privacy import profile, records, subjects, vault
from privacy.database import Clash, Insertion
from privacy.errors import Conflict, Erased, NotFound
from privacy.sequencer import KEEPER
from privacy.steward import Steward
from privacy.tables import index_entries
from privacy.tables import records as records_table
from privacy.tables import subjects as subjects_table
from privacy.vault import At, Decision
from privacy.work import Work

_ENTRIES: Final = Insertion(index_entries)
_BASIS: Final = "legal-obligation"  # keeping data secure: PIPL 51, GDPR 32


def count_older(work: Work, new: int) -> int:
    """How many index entries and external ids are of a version before `new`."""
    entries = select(func.count()).select_from(index_entries).where(index_entries.c.index_version < new)
    ids = select(func.count()).select_from(subjects_table).where(_has_older(new))
    return int(work.execute(entries).scalar_one()) + int(work.execute(ids).scalar_one())


def count_of(work: Work, version: int) -> int:
    """How many index entries and external ids are of the version."""
    entries = select(func.count()).select_from(index_entries).where(index_entries.c.index_version == version)
    ids = (
        select(func.count())
        .select_from(subjects_table)
        .where(subjects_table.c.external_token.is_not(None), subjects_table.c.external_version == version)
    )
    return int(work.execute(entries).scalar_one()) + int(work.execute(ids).scalar_one())


def reindex_some(service: Steward, new: int, limit: int) -> int:
    """Index some subjects anew; how many entries and ids that were, 0 when there is nothing left to do."""
    with service.begin(KEEPER) as work:
        found = work.execute(
            select(index_entries.c.subject_id).where(index_entries.c.index_version < new).distinct().limit(limit)
        )
        entries = [row.subject_id for row in found]
        found = work.execute(select(subjects_table.c.subject_id).where(_has_older(new)).limit(limit))
        external = [row.subject_id for row in found]
    done = 0
    for subject_id in sorted({*entries, *external}):
        with service.begin(KEEPER) as work:
            done += _reindex(work, subject_id, new)
    return done


def _reindex(work: Work, subject_id: UUID, new: int) -> int:
    work.concerns("subject.reindexed", subject=subject_id)
    try:
        subjects.hold_for_writing(work, subject_id, alone=True)
    except (Erased, NotFound):  # its entries go with it
        return _swept(work, subject_id, new)
    done = _entries(work, subject_id, new) + _external(work, subject_id, new)
    work.audit("subject.reindexed", subject=subject_id, detail={"count": done, "version": new})
    return done


def _entries(work: Work, subject_id: UUID, new: int) -> int:
    old = (index_entries.c.subject_id == subject_id, index_entries.c.index_version < new)
    wanted = select(index_entries.c.record_id, index_entries.c.field_number).where(*old)
    numbers: dict[UUID, set[int]] = {}
    for row in work.execute(wanted):
        numbers.setdefault(row.record_id, set()).add(row.field_number)
    done = 0
    for row in work.execute(
        select(records_table.c.record_id, records_table.c.record_type, records_table.c.sealed).where(
            records_table.c.subject_id == subject_id, records_table.c.record_id.in_(numbers)
        )
    ):
        done += _record(work, subject_id, row.record_id, row.record_type, bytes(row.sealed), new)
    work.execute(delete(index_entries).where(*old))
    return done


def _record(work: Work, subject_id: UUID, record_id: UUID, type: str, sealed: bytes, new: int) -> int:
    record_type = work.declared.record_type(type)
    lookups = {found.number: name for (kind, name), found in work.declared.indexed.items() if kind == type}
    at = At(subject_id, record_type.scope, type, record_id)
    opened = vault.unseal(work, Decision("[reindexing]", _BASIS, frozenset(lookups)), at, sealed)
    for number, value in opened.items():
        if value is not None:
            field = record_type.fields[lookups[number]]
            plain = records.normalised(work, field, value if isinstance(value, str) else str(value))
            token = records.token_of(work, type, field, plain, version=new)
            work.add(_ENTRIES, (subject_id, record_id, number, new, token))
    work.audit("record.reindexed", subject=subject_id, record=record_id, fields=sorted(lookups.values()))
    return len(opened)


def _external(work: Work, subject_id: UUID, new: int) -> int:
    this = subjects_table.c.subject_id == subject_id
    row = work.execute(select(subjects_table.c.sealed).where(this, _has_older(new))).first()
    if row is None:
        return 0
    external_id = profile.external_id(work, subject_id, bytes(row.sealed))
    if external_id is None:
        return 0
    token = subjects.token_of(work, external_id, version=new)
    try:
        work.execute(update(subjects_table).where(this).values(external_token=token, external_version=new))
    except Clash:
        raise Conflict("Another subject has this external id under the new index") from None
    return 1


def _swept(work: Work, subject_id: UUID, new: int) -> int:
    """What an erased subject has left behind; its purge may not have come to it yet."""
    old = (index_entries.c.subject_id == subject_id, index_entries.c.index_version < new)
    gone = work.execute(delete(index_entries).where(*old)).rowcount
    this = (subjects_table.c.subject_id == subject_id, _has_older(new))
    gone += work.execute(update(subjects_table).where(*this).values(external_token=None)).rowcount
    work.audit("subject.reindexed", subject=subject_id, detail={"count": 0, "version": new})
    return gone


def _has_older(new: int) -> ColumnElement[bool]:
    return and_(subjects_table.c.external_token.is_not(None), subjects_table.c.external_version < new)
