"""The key store on SQLite: one file, one connection per thread, one writer at a time.

A key's secret bytes and its subject stand in a row of `slot`, which never moves and is overwritten in its place
(`keys.schema` says why); all else about it in `data_key_row`, under a digest of the subject.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Sequence
from typing import Final

from keys.digests import owner_of
from keys.errors import KeyExists, KeyStoreNotReady
from keys.sqlite_file import SqliteFile, ours
from keys.sqlite_roots import SqliteRoots
from keys.wrapped import Count, LedgerRow, WrappedKey

_KEY = "s.subject, k.scope, k.kid, k.kek, s.wrapped"
_FROM = "data_key_row k CROSS JOIN slot s ON s.slot = k.slot"
_INSERT_SLOT = "INSERT INTO slot (slot, subject, wrapped) VALUES (?, ?, ?)"
_INSERT_KEY = (
    "INSERT INTO data_key_row (kid, owner, scope, retired, kek, shard, slot, created_at, era)"
    " VALUES (?, ?, ?, 0, ?, 0, ?, ?, coalesce((SELECT era FROM keystore), 0))"
)
_ONE_BY_KID = f"SELECT {_KEY} FROM {_FROM} WHERE k.kid = ?"  # noqa: S608 - constants only
# One prepared statement whatever the number: ids come as one blob, 8 or 16 bytes each, and are cut inside.
_MANY_BY_KID = (
    "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?2)"  # noqa: S608 - our own names
    f" SELECT {_KEY} FROM n CROSS JOIN data_key_row k ON k.kid = substr(?1, n.i * 8 + 1, 8)"
    " CROSS JOIN slot s ON s.slot = k.slot"
)
_ONE_CURRENT = f"SELECT {_KEY} FROM {_FROM} WHERE k.owner = ? AND k.scope = ? AND k.retired = 0"  # noqa: S608 - our own names
_CURRENT = (
    f"SELECT {_KEY} FROM json_each(?2) AS p CROSS JOIN data_key_row k"  # noqa: S608 - our own names
    " ON k.owner = substr(?1, p.key * 16 + 1, 16) AND k.scope = p.value AND k.retired = 0"
    " CROSS JOIN slot s ON s.slot = k.slot"
)
_OF_SUBJECTS = (
    "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?2)"  # noqa: S608 - our own names
    f" SELECT {_KEY} FROM n CROSS JOIN data_key_row k ON k.owner = substr(?1, n.i * 16 + 1, 16)"
    " CROSS JOIN slot s ON s.slot = k.slot WHERE ?3 IS NULL OR k.era < ?3"
)
_DELETE = "DELETE FROM data_key_row WHERE kid = ?"
_BURY = "INSERT INTO data_key_tombstone (kid, destroyed_at) VALUES (?, ?)"
# Of the same length as what stood there: SQLite then overwrites the row in its place.
_ZERO: Final = "UPDATE slot SET subject = zeroblob(length(subject)), wrapped = zeroblob(length(wrapped)) WHERE slot = ?"
_AT_ONCE = 500  # bound values in one statement


class SqliteEngine(SqliteRoots):
    """Implements `keys.store.Engine`."""

    def __init__(self, path: str, *, create: bool) -> None:
        if create:
            # Only its owner may read it; the log and shared-memory files take the same mode.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        elif not os.path.isfile(path):
            raise KeyStoreNotReady(f"there is no key store at {path}; initialise one, or restore it from a backup")
        super().__init__(SqliteFile(path))

    def add(self, keys: Sequence[WrappedKey]) -> None:
        with self._file.writing() as connection:
            self._insert(connection, keys)

    def by_kid(self, kids: Sequence[bytes]) -> list[WrappedKey]:
        # the hot path: a context manager would cost as much as the statement's own steps
        try:
            execute = self._file.connection().execute
            if len(kids) == 1:
                rows = execute(_ONE_BY_KID, (kids[0],))
            else:
                rows = execute(_MANY_BY_KID, (b"".join(kids), len(kids)))
            return [WrappedKey._make(row) for row in rows]
        except sqlite3.Error as error:
            raise ours(error) from error

    def current(self, places: Sequence[tuple[bytes, str]]) -> list[WrappedKey]:
        if len(places) == 1:
            ((subject, scope),) = places
            try:
                rows = self._file.connection().execute(_ONE_CURRENT, (owner_of(subject), scope))
                return [WrappedKey._make(row) for row in rows]
            except sqlite3.Error as error:
                raise ours(error) from error
        owners = b"".join([owner_of(subject) for subject, _ in places])
        return self._keys(_CURRENT, owners, json.dumps([scope for _, scope in places]))

    def erase(
        self, subject: bytes, scope: str | None, kids: Sequence[bytes] | None, marks: Sequence[tuple[int, bytes]]
    ) -> list[bytes]:
        now = int(time.time())
        with self._file.writing() as connection:
            found = connection.execute(
                "SELECT kid, slot FROM data_key_row WHERE owner = ?1 AND (?2 IS NULL OR scope = ?2)",
                (owner_of(subject), scope),
            ).fetchall()
            gone = [(kid, slot) for kid, slot in found if kids is None or kid in kids]
            self._bury(connection, gone, now)
            _write_marks(connection, [LedgerRow(0, kind, mark, now) for kind, mark in marks])
            destroyed = {kid for kid, _ in gone}
            if kids is not None:
                destroyed |= _buried(connection, kids)
        self._file.cut_log()
        return list(destroyed)

    def erase_many(self, subjects: Sequence[bytes], marks: Sequence[tuple[int, bytes]]) -> list[tuple[bytes, bytes]]:
        now = int(time.time())
        with self._file.writing() as connection:
            found = [
                (subject, kid, slot)
                for subject in dict.fromkeys(subjects)
                for kid, slot in connection.execute(
                    "SELECT kid, slot FROM data_key_row WHERE owner = ?", (owner_of(subject),)
                ).fetchall()
            ]
            self._bury(connection, [(kid, slot) for _, kid, slot in found], now)
            _write_marks(connection, [LedgerRow(0, kind, mark, now) for kind, mark in marks])
        self._file.cut_log()
        return [(subject, kid) for subject, kid, _ in found]

    def destroy_kids(self, kids: Sequence[bytes]) -> int:
        with self._file.writing() as connection:
            gone = []
            for kid in dict.fromkeys(kids):
                gone += connection.execute("SELECT kid, slot FROM data_key_row WHERE kid = ?", (kid,)).fetchall()
            self._bury(connection, gone, int(time.time()))
        self._file.cut_log()
        return len(gone)

    def replace(self, new: Sequence[WrappedKey]) -> set[bytes]:
        with self._file.writing() as connection:
            return {key.kid for key in new if self._replaced(connection, key)}

    def _replaced(self, connection: sqlite3.Connection, new: WrappedKey) -> bool:
        owner = owner_of(new.subject)
        there = connection.execute("SELECT owner, scope FROM data_key_row WHERE kid = ?", (new.kid,)).fetchone()
        if there is not None:
            if there != (owner, new.scope):
                raise KeyExists
            return True
        newest, current = connection.execute(
            "SELECT max(retired), min(retired) FROM data_key_row WHERE owner = ? AND scope = ?", (owner, new.scope)
        ).fetchone()
        if current != 0:
            return False
        # The guard looks at updates too, and an old key may well stand under a KEK version that is retired.
        connection.execute(
            "UPDATE data_key_row SET retired = ? WHERE owner = ? AND scope = ? AND retired = 0",
            (newest + 1, owner, new.scope),
        )
        self._insert(connection, [new])
        return True

    def rewrap(self, pairs: Sequence[tuple[WrappedKey, int]]) -> int:
        changed = 0
        with self._file.writing() as connection:
            for new, old in pairs:
                row = connection.execute(
                    "UPDATE data_key_row SET kek = ? WHERE kid = ? AND kek = ? RETURNING slot",
                    (new.kek, new.kid, old),
                ).fetchone()
                if row is not None:
                    connection.execute("UPDATE slot SET wrapped = ? WHERE slot = ?", (new.wrapped, row[0]))
                    changed += 1
        return changed

    def subjects(self, after: bytes, limit: int) -> list[bytes]:
        with self._file.translated():
            rows = self._file.connection().execute(
                "SELECT s.subject FROM (SELECT owner, min(slot) AS slot FROM data_key_row WHERE owner > ?"
                " GROUP BY owner ORDER BY owner LIMIT ?) k CROSS JOIN slot s ON s.slot = k.slot ORDER BY k.owner",
                (owner_of(after) if after else b"", limit),
            )
            return [row[0] for row in rows]

    def kids_of(self, subject: bytes) -> list[WrappedKey]:
        return self._keys(
            f"SELECT {_KEY} FROM {_FROM} WHERE k.owner = ? ORDER BY k.scope, k.retired",  # noqa: S608 - our own names
            owner_of(subject),
        )

    def of_subjects(self, subjects: Sequence[bytes], before: int | None) -> list[WrappedKey]:
        owners = list(dict.fromkeys(owner_of(subject) for subject in subjects))
        return self._keys(_OF_SUBJECTS, b"".join(owners), len(owners), before)

    def keys_after(self, kid: bytes, limit: int, *, kek: int | None, retired: bool) -> list[WrappedKey]:
        # one statement each, so that the partial index serves the retired
        where = "k.retired > 0 AND " if retired else ""
        return self._keys(
            f"SELECT {_KEY} FROM {_FROM} WHERE {where}k.kid > ?1 AND (?2 IS NULL OR k.kek = ?2)"  # noqa: S608 - our own names
            " ORDER BY k.kid LIMIT ?3",
            kid,
            kek,
            limit,
        )

    def counts(self) -> list[Count]:
        with self._file.translated():
            rows = self._file.connection().execute(
                "SELECT kek, count(*), sum(retired > 0) FROM data_key_row GROUP BY kek ORDER BY kek"
            )
            return [Count(*row) for row in rows]

    def count_under(self, kek: int) -> int:
        with self._file.translated():
            rows = self._file.connection().execute("SELECT count(*) FROM data_key_row WHERE kek = ?", (kek,))
            return int(rows.fetchone()[0])

    def count_before(self, era: int) -> int:
        with self._file.translated():
            rows = self._file.connection().execute("SELECT count(*) FROM data_key_row WHERE era < ?", (era,))
            return int(rows.fetchone()[0])

    def ledger(self, after: int, limit: int) -> list[LedgerRow]:
        with self._file.translated():
            rows = self._file.connection().execute(
                "SELECT number, kind, mark, at FROM erasure_ledger WHERE number > ? ORDER BY number LIMIT ?",
                (after, limit),
            )
            return [LedgerRow(*row) for row in rows]

    def ledger_size(self) -> int:
        with self._file.translated():
            return int(self._file.connection().execute("SELECT count(*) FROM erasure_ledger").fetchone()[0])

    def add_marks(self, rows: Sequence[LedgerRow]) -> int:
        with self._file.writing() as connection:
            return _write_marks(connection, rows)

    def reader(self) -> None:
        return None

    def _keys(self, statement: str, *values: object) -> list[WrappedKey]:
        with self._file.translated():
            return [WrappedKey._make(row) for row in self._file.connection().execute(statement, values)]

    @staticmethod
    def _insert(connection: sqlite3.Connection, keys: Sequence[WrappedKey]) -> None:
        now = int(time.time())
        slot = connection.execute("SELECT coalesce(max(slot), 0) + 1 FROM slot").fetchone()[0]
        numbered = list(enumerate(keys, slot))
        connection.executemany(_INSERT_SLOT, [(slot, key.subject, key.wrapped) for slot, key in numbered])
        connection.executemany(
            _INSERT_KEY,
            [(key.kid, owner_of(key.subject), key.scope, key.kek, slot, now) for slot, key in numbered],
        )

    @staticmethod
    def _bury(connection: sqlite3.Connection, gone: Sequence[tuple[bytes, int]], now: int) -> None:
        connection.executemany(_DELETE, [(kid,) for kid, _ in gone])
        connection.executemany(_BURY, [(kid, now) for kid, _ in gone])
        connection.executemany(_ZERO, [(slot,) for _, slot in gone])


def _buried(connection: sqlite3.Connection, kids: Sequence[bytes]) -> set[bytes]:
    found: set[bytes] = set()
    for at in range(0, len(kids), _AT_ONCE):
        some = kids[at : at + _AT_ONCE]
        places = ",".join("?" * len(some))
        query = f"SELECT kid FROM data_key_tombstone WHERE kid IN ({places})"  # noqa: S608 - question marks
        found.update(row[0] for row in connection.execute(query, list(some)))
    return found


def _write_marks(connection: sqlite3.Connection, rows: Sequence[LedgerRow]) -> int:
    """With the write lock held, so that numbers follow the commits."""
    written = 0
    for row in sorted(rows, key=lambda row: row.number):
        written += connection.execute(
            "INSERT INTO erasure_ledger (number, mark, kind, at)"
            " SELECT coalesce(max(number), 0) + 1, ?, ?, ? FROM erasure_ledger WHERE true"
            " ON CONFLICT (mark) DO NOTHING",
            (row.mark, row.kind, row.at),
        ).rowcount
    return written
