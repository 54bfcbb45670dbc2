"""The floor under the service: one connection of the driver in a tight loop, without HTTP and without rules.

It runs the statements that a read and a write cannot do without, and seals and opens with the service's own
cryptography: for a read, record and facts about the subject, the wrapped data key from the key store, the
boxes that the purpose may see, the audit event; for a write, the subject's row, its key, eight boxes, four
blind index entries, the record, the audit event. Each transaction is durable when it has committed.
"""

from __future__ import annotations

import random
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

import msgspec
import psycopg
from sqlalchemy import Table, make_url
from sqlalchemy.dialects import postgresql

from bench.people import KEPT_FOR, LOOKUPS, PURPOSE, TYPE, Crowd, member
from keys import container
from keys.container import Place
from keys.keyring import Keyring
from keys.kms import open_root
from keys.store import KeyStore
from keys.wrapped import WrappedKey
from privacy import ids
from privacy.steward import wall_clock
from privacy.tables import audit_events, index_entries, records

_SCOPE: Final = "main"
_READ_FIELDS: Final = frozenset(range(6))
_FIELDS: Final = '["name","phone"]'
_DETAIL: Final = '{"type":"member"}'
_TABLES: Final = (records, index_entries, audit_events)
_YEAR: Final = 365 * 86_400 * 1_000_000
_BITS: Final = 17  # as for a million subjects
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

# What a read needs of the record and its subject, in one statement.
_FACTS: Final = (
    "SELECT r.subject_id, r.record_id, r.record_type, r.version, r.stored_at, r.expires_at, r.sealed,"
    " s.jurisdiction, s.erased_at, c.state, c.expires_at FROM records r"
    " JOIN subjects s ON s.subject_id = r.subject_id"
    f" LEFT JOIN consents c ON c.subject_id = r.subject_id AND c.purpose = '{PURPOSE}'"
)
_SUBJECT: Final = "SELECT jurisdiction, erased_at, created_at, sealed FROM subjects WHERE subject_id"
_KEY: Final = "SELECT subject, scope, kid, kek, wrapped FROM data_key WHERE"

Row = tuple[Any, ...]  # as the driver gives it


def _one_row(table: Table) -> str:
    """An INSERT for the driver's executemany."""
    columns = ", ".join(column.name for column in table.columns)
    return f"INSERT INTO {table.name} ({columns}) VALUES ({', '.join('?' * len(table.columns))})"


def _many_rows(table: Table) -> bytes:
    """An INSERT that takes an array a column: measured, PostgreSQL's fastest below COPY."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # untyped there
    arrays = [f"${n}::{column.type.compile(dialect)}[]" for n, column in enumerate(table.columns, start=1)]
    columns = ", ".join(column.name for column in table.columns)
    return f"INSERT INTO {table.name} ({columns}) SELECT * FROM unnest({', '.join(arrays)})".encode()


_SQLITE_INSERTS: Final = {table: _one_row(table) for table in _TABLES}
_POSTGRES_INSERTS: Final = {table: _many_rows(table) for table in _TABLES}


class Floor(NamedTuple):
    """Records a second, `batch` of them in a transaction."""

    batch: int
    reads: float
    writes: float


def measure(crowd: Crowd, batch: int, seconds: float) -> Floor:
    """What the driver alone does with the crowd's databases, for `seconds` each way."""
    with ExitStack() as stack:
        store = KeyStore.open(crowd.where.keystore_url)
        stack.callback(store.close)
        keyring = Keyring.open(store, open_root("local:", crowd.where.home))
        stack.callback(keyring.close)
        kind = _Sqlite if make_url(crowd.where.database_url).get_backend_name() == "sqlite" else _Postgres
        loop = stack.enter_context(closing(kind(crowd, keyring)))
        choice = random.Random(6)
        # the records that the loop reads are its own, so it knows the numbers of their fields
        mine: list[UUID] = []
        writes = _rate(lambda: mine.extend(loop.write(_some(choice, crowd.subject_ids, batch))), batch, seconds)
        reads = _rate(lambda: loop.read(_some(choice, mine, batch)), batch, seconds)
        return Floor(batch, reads, writes)


def _some(choice: random.Random, given: Sequence[UUID], count: int) -> list[UUID]:
    return choice.choices(given, k=count)


def _rate(work: Callable[[], object], batch: int, seconds: float) -> float:
    work()  # prepares the statements
    begin = now = time.perf_counter()
    done = 0
    while now < begin + seconds:
        work()
        done += batch
        now = time.perf_counter()
    return done / (now - begin)


class _Loop(ABC):
    """One connection to each database. `read` and `write` are one transaction each."""

    def __init__(self, crowd: Crowd, keyring: Keyring) -> None:
        self._keyring = keyring
        self._writer = uuid4()
        self._sequence = 0
        choice = random.Random(7)
        self._people = [member(choice, f"139{choice.randrange(10**8):08}") for _ in range(1000)]
        self._next = 0

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def read(self, record_ids: Sequence[UUID]) -> None: ...

    @abstractmethod
    def write(self, subject_ids: Sequence[UUID]) -> list[UUID]: ...

    def _opened(self, row: Row, key: WrappedKey) -> dict[str, object]:
        """The answer as JSON would carry it; encoding it is the edge's work."""
        place = Place(self._keyring.deployment, _bytes(row[0]), _SCOPE, TYPE, _bytes(row[1]))
        with self._keyring.unwrap(key) as opened:
            boxes = container.unseal(opened, place, row[6], _READ_FIELDS)
        return {str(number): _decode(box) for number, box in boxes.items()}

    def _sealed(self, subject_id: UUID, key: WrappedKey) -> tuple[UUID, Row, list[Row]]:
        """A new record's id, row and index entries."""
        self._next = (self._next + 1) % len(self._people)
        data = self._people[self._next]
        record_id, now = ids.new(), wall_clock()
        place = Place(self._keyring.deployment, subject_id.bytes, _SCOPE, TYPE, record_id.bytes)
        boxes = {number: _encode(value) for number, value in enumerate(data.values())}
        with self._keyring.unwrap(key) as opened:
            sealed = container.seal(opened, place, boxes)
        purposes = _encode(KEPT_FOR).decode()
        row = (subject_id, record_id, TYPE, 1, 3, purposes, now, now, now + _YEAR, key.kid, sealed)
        token = self._keyring.index.token
        entries: list[Row] = [
            (subject_id, record_id, 1000 + number, 1, token(TYPE, name, "bench-1", data[name].encode(), bits=_BITS))
            for number, name in enumerate(LOOKUPS)
        ]
        return record_id, row, entries

    def _event(self, subject_id: UUID, record_id: UUID, action: str) -> Row:
        self._sequence += 1
        outcome = "done" if action == "record.stored" else "disclosed"
        head = (ids.new(), wall_clock(), self._writer, self._sequence, "bench", "service", action, outcome)
        return (*head, subject_id, record_id, PURPOSE, "contract", _FIELDS, _DETAIL, *[None] * 5)


def _bytes(value: UUID | bytes) -> bytes:
    return value.bytes if isinstance(value, UUID) else value


class _Sqlite(_Loop):
    def __init__(self, crowd: Crowd, keyring: Keyring) -> None:
        super().__init__(crowd, keyring)
        self._data = _sqlite(crowd.where.database_url)
        self._keys = _sqlite(crowd.where.keystore_url)

    def close(self) -> None:
        self._data.close()
        self._keys.close()

    def read(self, record_ids: Sequence[UUID]) -> None:
        one = f"{_FACTS} WHERE r.record_id = ?"
        by_kid = f"{_KEY} kid = ?"
        events = []
        self._data.execute("BEGIN IMMEDIATE")
        for record_id in record_ids:
            row = self._data.execute(one, (record_id.bytes,)).fetchone()
            key = self._keys.execute(by_kid, (container.kid_of(row[6]),)).fetchone()
            self._opened(row, WrappedKey(*key))
            events.append(self._event(UUID(bytes=row[0]), record_id, "record.read"))
        self._data.executemany(_SQLITE_INSERTS[audit_events], events)
        self._data.execute("COMMIT")

    def write(self, subject_ids: Sequence[UUID]) -> list[UUID]:
        made, rows, entries, events = [], [], [], []
        self._data.execute("BEGIN IMMEDIATE")
        for subject_id in subject_ids:
            self._data.execute(f"{_SUBJECT} = ?", (subject_id.bytes,)).fetchone()
            current = f"{_KEY} subject = ? AND scope = ? AND retired = 0"
            key = self._keys.execute(current, (subject_id.bytes, _SCOPE)).fetchone()
            record_id, row, new = self._sealed(subject_id, WrappedKey(*key))
            made.append(record_id)
            rows.append(row)
            entries += new
            events.append(self._event(subject_id, record_id, "record.stored"))
        self._data.executemany(_SQLITE_INSERTS[records], rows)
        self._data.executemany(_SQLITE_INSERTS[index_entries], entries)
        self._data.executemany(_SQLITE_INSERTS[audit_events], events)
        self._data.execute("COMMIT")
        return made


def _sqlite(url: str) -> sqlite3.Connection:
    connection = sqlite3.connect(Path(make_url(url).database or ""), isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


class _Postgres(_Loop):
    """All of a transaction's keys in one statement, and all its rows: the fastest that psycopg does."""

    def __init__(self, crowd: Crowd, keyring: Keyring) -> None:
        super().__init__(crowd, keyring)
        self._data = _postgres(crowd.where.database_url)
        self._keys = _postgres(crowd.where.keystore_url)

    def close(self) -> None:
        self._data.close()
        self._keys.close()

    def read(self, record_ids: Sequence[UUID]) -> None:
        events = []
        with self._data.transaction(), psycopg.RawCursor(self._data) as cursor:
            rows = cursor.execute(
                f"{_FACTS} WHERE r.record_id = ANY($1)".encode(), (list(record_ids),), binary=True
            ).fetchall()
            found = {row[1]: row for row in rows}
            wanted = [container.kid_of(row[6]) for row in rows]
            keys = {key.kid: key for key in self._wrapped("kid = ANY($1)", wanted)}
            for record_id in record_ids:
                row = found[record_id]
                self._opened(row, keys[container.kid_of(row[6])])
                events.append(self._event(row[0], record_id, "record.read"))
            cursor.execute(_POSTGRES_INSERTS[audit_events], _columns(events))

    def write(self, subject_ids: Sequence[UUID]) -> list[UUID]:
        made, rows, entries, events = [], [], [], []
        with self._data.transaction(), psycopg.RawCursor(self._data) as cursor:
            cursor.execute(f"{_SUBJECT} = ANY($1) FOR KEY SHARE".encode(), (list(subject_ids),)).fetchall()
            wanted = [subject_id.bytes for subject_id in subject_ids]
            current = f"subject = ANY($1) AND scope = '{_SCOPE}' AND retired = 0"
            keys = {key.subject: key for key in self._wrapped(current, wanted)}
            for subject_id in subject_ids:
                record_id, row, new = self._sealed(subject_id, keys[subject_id.bytes])
                made.append(record_id)
                rows.append(row)
                entries += new
                events.append(self._event(subject_id, record_id, "record.stored"))
            cursor.execute(_POSTGRES_INSERTS[records], _columns(rows))
            cursor.execute(_POSTGRES_INSERTS[index_entries], _columns(entries))
            cursor.execute(_POSTGRES_INSERTS[audit_events], _columns(events))
        return made

    def _wrapped(self, where: str, wanted: list[bytes]) -> Iterator[WrappedKey]:
        with psycopg.RawCursor(self._keys) as cursor:
            for key in cursor.execute(f"{_KEY} {where}".encode(), (wanted,), binary=True).fetchall():
                yield WrappedKey(*key)


def _postgres(url: str) -> psycopg.Connection:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(plain, autocommit=True, prepare_threshold=2)


def _columns(rows: Sequence[Row]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
