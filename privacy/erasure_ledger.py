"""What was erased, as keyed hashes, in three places, so that no restored backup brings it back.

    the key store          written in the transaction that destroys the keys
    the data database      written in the transaction that ends the erasure
    PRIVACY_HOME/erasure.ledger      appended and flushed to the disk before that

Each is a copy of one ledger: a mark is an HMAC, under a root that only the key store has, of a subject's id (kind 1)
or of a data key's id (kind 2). Whoever holds a copy learns nothing from it but numbers and instants.

A store that lacks marks which another has is older than the ledger: it was restored. Before a process serves, it puts
that right (`reconcile`):

1. the union of the three is the ledger; what an erasure that is still on its way has marked is left to it
2. a key store that lacks marks destroys the keys of each marked subject and each marked key, then takes the marks
3. a database that lacks marks removes the rows of each marked subject, and each record under a marked key, then takes
   the marks
4. the file takes what it lacks

Each step may be repeated. Marks are compared, not numbers. When nothing is missing, three counts and three last rows
say so.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sqlalchemy import ColumnElement, func, insert, literal, select, tuple_, update

from keys.wrapped import KEY_MARK, SUBJECT_MARK, LedgerRow
from privacy import removal, vault
from privacy.errors import Invalid
from privacy.ledger_file import NAME, LedgerFile
from privacy.tables import Id, erasure_ledger, erasures, records, revisions, subjects
from privacy.work import Actor, Role, Work

if TYPE_CHECKING:
    from keys.keyring import Keyring
    from privacy.steward import Steward

log = logging.getLogger(__name__)

PAGE: Final = 500
REPLAYER: Final = Actor("replay", Role.ADMIN)
_START: Final = UUID(int=0)
_MICROS: Final = 1_000_000
# What is past the point of no return, and goes on by itself.
_ON_ITS_WAY: Final = ("shredding", "purging", "closing")

Marks = Mapping[bytes, LedgerRow]


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a reconciliation did: marks that each copy had lost, keys destroyed, subjects and records removed."""

    marks: int = 0
    keys_destroyed: int = 0
    subjects: int = 0
    records: int = 0
    to_key_store: int = 0
    to_database: int = 0
    to_file: int = 0


def mark_subject(keyring: Keyring, subject_id: UUID) -> tuple[int, bytes]:
    """The mark of an erased subject."""
    return SUBJECT_MARK, keyring.fingerprint("erasure-subject", subject_id.bytes)


def mark_key(keyring: Keyring, kid: bytes) -> tuple[int, bytes]:
    """The mark of a data key that an erasure destroyed."""
    return KEY_MARK, keyring.fingerprint("erasure-key", kid)


def record(work: Work) -> None:
    """Copy what the key store's ledger has and the other two lack, the file first; for the end of an erasure.

    The file is on the disk when this returns, the rows when the work commits. Not for two at once: the works wait for
    each other.
    """
    serialise(work)
    service = work.service
    last = int(work.execute(select(func.coalesce(func.max(erasure_ledger.c.number), 0))).scalar_one())
    with vault.key_errors():
        file_of(service).append_after(lambda number: _store_after(service, number))
        rows = list(_store_after(service, last))
    _insert(work, rows)


def serialise(work: Work) -> None:
    """One work at a time writes the ledger."""
    work.execute(update(revisions).where(revisions.c.name == "erasures").values(number=revisions.c.number + 1))


def numbers_of(work: Work, marks: Iterable[tuple[int, bytes]]) -> list[int]:
    """The numbers that these marks have in the database's ledger."""
    return sorted(numbered(work, marks).values())


def numbered(work: Work, marks: Iterable[tuple[int, bytes]]) -> dict[bytes, int]:
    """The number that each of these marks has in the database's ledger, if it is there."""
    wanted = [mark for _, mark in marks]
    columns = (erasure_ledger.c.mark, erasure_ledger.c.number)
    found = work.execute(select(*columns).where(erasure_ledger.c.mark.in_(wanted)))
    return {bytes(row.mark): row.number for row in found}


def reconcile(service: Steward, extra: Sequence[LedgerRow] = ()) -> Replayed:
    """Bring every store that is older than the ledger up to it; what was done. For each start, before serving.

    `extra`: the rows of one more copy (`read`). Raises what the stores raise: then nothing may be served.
    """
    if not extra and _agree(service):
        return Replayed()
    # In this order: whatever is in the first two and not in the last is either pending here, or restored.
    stored = {row.mark: row for row in _all_of_store(service)}
    filed = {row.mark: row for row in file_of(service).rows()}
    pending = _pending(service)
    copied = {row.mark: row for row in _all_of_database(service)}
    # 1.
    union = {row.mark: row for row in (*extra, *filed.values(), *copied.values(), *stored.values())}
    ordered = sorted(union.values())
    # 2. the keys first: from here on nothing can be opened, whatever else happens
    lost_by_store = {mark: row for mark, row in union.items() if mark not in stored}
    destroyed = _replay_keys(service, lost_by_store) if lost_by_store else 0
    with vault.key_errors():
        service.keystore.add_marks([row for row in ordered if row.mark in lost_by_store])
    # 3.
    lost_by_database = {mark: row for mark, row in union.items() if mark not in copied and mark not in pending}
    removed = _replay_rows(service, lost_by_database) if lost_by_database else (0, 0)
    if lost_by_database or destroyed:
        _say(service, [row for row in ordered if row.mark in lost_by_database], destroyed, removed)
    # 4.
    missing = file_of(service).append_missing([row for row in ordered if row.mark not in filed])
    done = Replayed(len(union), destroyed, *removed, len(lost_by_store), len(lost_by_database), missing)
    if done.to_key_store or done.to_database:
        log.warning("erasure.replayed", extra={"keys": destroyed, "subjects": removed[0], "records": removed[1]})
    return done


def read(service: Steward, file: Path) -> list[LedgerRow]:
    """The rows of a copy of this deployment's file. Raises `Invalid`."""
    if not file.is_file():
        raise Invalid("There is no such ledger file", zh="没有这个删除台账文件")
    return list(LedgerFile(file, service.keyring.deployment).rows())


def file_of(service: Steward) -> LedgerFile:
    """The copy beside this process's root key."""
    return LedgerFile(service.settings.home / NAME, service.keyring.deployment)


# --- 2. the key store


def _replay_keys(service: Steward, lost: Marks) -> int:
    """Destroy each key whose subject or whose own id is marked; how many."""
    keyring, store = service.keyring, service.keystore
    count = 0
    with vault.key_errors():
        if any(row.kind == SUBJECT_MARK for row in lost.values()):
            after = b""
            while found := store.subjects(after, PAGE):
                after = found[-1]
                for subject in found:
                    if mark_subject(keyring, UUID(bytes=subject))[1] in lost:
                        count += len(store.erase(subject, None, None, []))
        if any(row.kind == KEY_MARK for row in lost.values()):
            after = b""
            while keys := store.keys_after(after, PAGE):
                after = keys[-1].kid
                count += store.destroy_kids([key.kid for key in keys if mark_key(keyring, key.kid)[1] in lost])
    return count


# --- 3. the database


def _replay_rows(service: Steward, lost: Marks) -> tuple[int, int]:
    """Remove the rows of marked subjects and the records under marked keys; how many subjects and records."""
    erased = records_gone = 0
    if any(row.kind == SUBJECT_MARK for row in lost.values()):
        for subject_id in _marked_subjects(service, lost):
            records_gone += _remove_subject(service, subject_id)
            erased += 1
    if any(row.kind == KEY_MARK for row in lost.values()):
        records_gone += _remove_records(service, lost)
        _forget_profiles(service, lost)
    return erased, records_gone


def _marked_subjects(service: Steward, lost: Marks) -> Iterator[UUID]:
    after = _START
    while True:
        with service.database.borrow() as lane, lane.snapshot() as transaction:
            statement = select(subjects.c.subject_id).where(subjects.c.subject_id > after)
            found = transaction.execute(statement.order_by(subjects.c.subject_id).limit(PAGE)).scalars().all()
        if not found:
            return
        yield from (one for one in found if mark_subject(service.keyring, one)[1] in lost)
        after = found[-1]


def _remove_subject(service: Steward, subject_id: UUID) -> int:
    count = 0
    while True:
        with service.begin(REPLAYER) as work:
            removal.hold(work, subject_id)
            some = len(removal.remove_records(work, subject_id))
            count += some
            if some == removal.PAGE:
                work.audit("erasure.replayed", subject=subject_id, detail={"records": some})
                continue
            removal.remove_rest(work, subject_id)
            work.audit("subject.erased", subject=subject_id, detail={"records": count, "replayed": True})
            return count


def _remove_records(service: Steward, lost: Marks) -> int:
    """Remove each record whose key is marked; pages of places are read beside the writers."""
    count, place = 0, (_START, _START)
    columns = (records.c.subject_id, records.c.record_id)
    while True:
        with service.database.borrow() as lane, lane.snapshot() as transaction:
            statement = select(*columns, records.c.kid).where(tuple_(*columns) > tuple_(*map(_bound, place)))
            rows = transaction.execute(statement.order_by(*columns).limit(PAGE)).all()
        if not rows:
            return count
        place = (rows[-1].subject_id, rows[-1].record_id)
        gone: dict[UUID, set[bytes]] = {}
        for row in rows:
            if mark_key(service.keyring, bytes(row.kid))[1] in lost:
                gone.setdefault(row.subject_id, set()).add(bytes(row.kid))
        for subject_id, kids in gone.items():
            count += _remove_under(service, subject_id, kids)


def _remove_under(service: Steward, subject_id: UUID, kids: set[bytes]) -> int:
    count = 0
    while True:
        with service.begin(REPLAYER) as work:
            removal.hold(work, subject_id)
            rows = removal.remove_records(work, subject_id, kids)
            for row in rows:
                detail = {"replayed": True, "type": row.record_type}
                work.audit("record.erased", subject=subject_id, record=row.record_id, detail=detail)
        count += len(rows)
        if len(rows) < removal.PAGE:
            return count


def _bound(value: UUID) -> ColumnElement[UUID]:
    return literal(value, Id())


def _forget_profiles(service: Steward, lost: Marks) -> None:
    """A profile under a marked key opens no more; without it the gate need not try."""
    after = _START
    while True:
        with service.database.borrow() as lane, lane.snapshot() as transaction:
            statement = select(subjects.c.subject_id, subjects.c.sealed).where(
                subjects.c.subject_id > after, subjects.c.sealed.is_not(None)
            )
            rows = transaction.execute(statement.order_by(subjects.c.subject_id).limit(PAGE)).all()
        if not rows:
            return
        after = rows[-1].subject_id
        for row in rows:
            if mark_key(service.keyring, vault.kid_of(bytes(row.sealed)))[1] in lost:
                with service.begin(REPLAYER) as work:
                    work.execute(
                        update(subjects)
                        .where(subjects.c.subject_id == row.subject_id, subjects.c.sealed == row.sealed)
                        .values(sealed=None, young=False)
                    )
                    work.audit("subject.profile-lost", subject=row.subject_id, detail={"replayed": True})


def _pending(service: Steward) -> set[bytes]:
    """The marks of erasures that go on by themselves: they end with their own event and certificate."""
    statement = select(erasures.c.subject_id, erasures.c.plan).where(erasures.c.state.in_(_ON_ITS_WAY))
    with service.database.borrow() as lane, lane.snapshot() as transaction:
        rows = transaction.execute(statement).all()
    found: set[bytes] = set()
    for row in rows:
        plan = row.plan or {}
        found |= {mark for _, mark in marks_of(service.keyring, row.subject_id, plan)}
    return found


def marks_of(keyring: Keyring, subject_id: UUID, plan: Mapping[str, object]) -> list[tuple[int, bytes]]:
    """The marks of an erasure with this plan: of the subject when it goes as a whole, and of each key."""
    kids = plan.get("kids")
    marks = [mark_subject(keyring, subject_id)] if plan.get("whole") else []
    return marks + [mark_key(keyring, bytes.fromhex(str(kid))) for kid in (kids if isinstance(kids, list) else [])]


def _say(service: Steward, lost: Sequence[LedgerRow], keys: int, removed: tuple[int, int]) -> None:
    """The marks that the database had lost, and one event of all that was done."""
    with service.begin(REPLAYER) as work:
        serialise(work)
        _insert(work, lost)
        detail = {"keys": keys, "marks": len(lost), "records": removed[1], "subjects": removed[0]}
        work.audit("erasure.replayed", detail=detail)


def _insert(work: Work, rows: Sequence[LedgerRow]) -> None:
    """The rows that are not there yet; a number that is taken gives way to the next free one."""
    ledger = erasure_ledger.c
    for start in range(0, len(rows), PAGE):
        some = rows[start : start + PAGE]
        marks = work.execute(select(ledger.mark).where(ledger.mark.in_([row.mark for row in some]))).scalars()
        known = {bytes(mark) for mark in marks}
        taken = set(
            work.execute(select(ledger.number).where(ledger.number.in_([row.number for row in some]))).scalars()
        )
        new = [row for row in some if row.mark not in known]
        free = int(work.execute(select(func.coalesce(func.max(ledger.number), 0))).scalar_one()) + 1
        free = max(free, *(row.number + 1 for row in new)) if new else free
        values = []
        for row in new:
            number, free = (free, free + 1) if row.number in taken else (row.number, free)
            values.append({"number": number, "kind": row.kind, "mark": row.mark, "at": row.at * _MICROS})
        if values:
            work.execute(insert(erasure_ledger).values(values))


# --- the three copies


def _agree(service: Steward) -> bool:
    """Whether the three have as many rows, and the same last one."""
    with vault.key_errors():
        size = service.keystore.ledger_size()
        stored = service.keystore.ledger(size - 1, 2) if size else []  # numbers are given without gaps
    newest = select(erasure_ledger.c.mark).order_by(erasure_ledger.c.number.desc()).limit(1)
    with service.database.borrow() as lane, lane.snapshot() as transaction:
        copied = transaction.execute(select(func.count()).select_from(erasure_ledger)).scalar_one()
        mark = transaction.execute(newest).scalar()
    file = file_of(service)
    if not size == copied == file.size():
        return False
    last = file.last()
    return size == 0 or (
        last is not None and mark is not None and [row.mark for row in stored] == [bytes(mark)] == [last.mark]
    )


def _store_after(service: Steward, number: int) -> Iterator[LedgerRow]:
    while rows := service.keystore.ledger(number, PAGE):
        yield from rows
        number = rows[-1].number


def _all_of_store(service: Steward) -> list[LedgerRow]:
    with vault.key_errors():
        return list(_store_after(service, 0))


def _all_of_database(service: Steward) -> list[LedgerRow]:
    with service.database.borrow() as lane, lane.snapshot() as transaction:
        rows = transaction.execute(select(erasure_ledger).order_by(erasure_ledger.c.number)).all()
    return [LedgerRow(row.number, row.kind, bytes(row.mark), int(row.at.timestamp())) for row in rows]
