"""The key store on PostgreSQL: data keys and the ledger of erasures."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from psycopg import Connection

from keys.errors import KeyExists
from keys.postgresql_roots import PostgresqlRoots
from keys.wrapped import Count, LedgerRow, WrappedKey

if TYPE_CHECKING:
    from keys.store_async import AsyncReader

_LEDGER_LOCK: Final = 1400142924  # who numbers rows of the ledger waits for who did before
_KEY = "k.subject, k.scope, k.kid, k.kek, k.wrapped"


class PostgresqlEngine(PostgresqlRoots):
    """Implements `keys.store.Engine`."""

    def add(self, keys: Sequence[WrappedKey]) -> None:
        with self._translated():
            self._insert(self._connections.get(), keys)

    def by_kid(self, kids: Sequence[bytes]) -> list[WrappedKey]:
        rows = self._rows(f"SELECT {_KEY} FROM data_key k WHERE k.kid = ANY(%s::bytea[])", (list(kids),))  # noqa: S608 - our own names
        return [WrappedKey(*row) for row in rows]

    def current(self, places: Sequence[tuple[bytes, str]]) -> list[WrappedKey]:
        subjects = [subject for subject, _ in places]
        scopes = [scope for _, scope in places]
        rows = self._rows(
            f"SELECT {_KEY} FROM unnest(%s::bytea[], %s::text[]) AS p(subject, scope) JOIN data_key k"  # noqa: S608 - our own names
            " ON k.subject = p.subject AND k.scope = p.scope AND k.retired = 0",
            (subjects, scopes),
        )
        return [WrappedKey(*row) for row in rows]

    def erase(
        self, subject: bytes, scope: str | None, kids: Sequence[bytes] | None, marks: Sequence[tuple[int, bytes]]
    ) -> list[bytes]:
        now = int(time.time())
        with self._translated():
            connection = self._connections.get()
            with connection.transaction():
                _lock(connection, [subject])
                rows = connection.execute(
                    "DELETE FROM data_key WHERE subject = %(subject)s"
                    " AND (%(scope)s::text IS NULL OR scope = %(scope)s)"
                    " AND (%(kids)s::bytea[] IS NULL OR kid = ANY(%(kids)s)) RETURNING kid",
                    {"subject": subject, "scope": scope, "kids": kids},
                ).fetchall()
                destroyed = {bytes(row[0]) for row in rows}
                _bury(connection, destroyed, now)
                if kids is not None:
                    buried = connection.execute(
                        "SELECT kid FROM data_key_tombstone WHERE kid = ANY(%s::bytea[])", (kids,)
                    )
                    destroyed.update(bytes(row[0]) for row in buried)
                _write_marks(connection, [LedgerRow(0, kind, mark, now) for kind, mark in marks])
        return list(destroyed)

    def erase_many(self, subjects: Sequence[bytes], marks: Sequence[tuple[int, bytes]]) -> list[tuple[bytes, bytes]]:
        now = int(time.time())
        with self._translated():
            connection = self._connections.get()
            with connection.transaction():
                _lock(connection, subjects)
                rows = connection.execute(
                    "DELETE FROM data_key WHERE subject = ANY(%s::bytea[]) RETURNING subject, kid", (list(subjects),)
                ).fetchall()
                _bury(connection, {bytes(kid) for _, kid in rows}, now)
                _write_marks(connection, [LedgerRow(0, kind, mark, now) for kind, mark in marks])
        return [(bytes(subject), bytes(kid)) for subject, kid in rows]

    def destroy_kids(self, kids: Sequence[bytes]) -> int:
        with self._translated():
            connection = self._connections.get()
            with connection.transaction():
                rows = connection.execute(
                    "DELETE FROM data_key WHERE kid = ANY(%s::bytea[]) RETURNING kid", (list(kids),)
                ).fetchall()
                _bury(connection, {bytes(row[0]) for row in rows}, int(time.time()))
        return len(rows)

    def replace(self, new: Sequence[WrappedKey]) -> set[bytes]:
        places = {(key.subject, key.scope): key for key in new}
        with self._translated():
            connection = self._connections.get()
            with connection.transaction():
                # against an erasure or another replacement of the same place
                _lock(connection, [key.subject for key in new])
                found = connection.execute(
                    "SELECT kid, subject, scope FROM data_key WHERE kid = ANY(%s::bytea[])", ([key.kid for key in new],)
                ).fetchall()
                there = {bytes(kid): (bytes(subject), scope) for kid, subject, scope in found}
                for kid, place in there.items():
                    if place not in places or places.pop(place).kid != kid:
                        raise KeyExists
                retired = connection.execute(
                    "UPDATE data_key k SET retired = 1 +"
                    " (SELECT max(o.retired) FROM data_key o WHERE o.subject = k.subject AND o.scope = k.scope)"
                    " FROM unnest(%s::bytea[], %s::text[]) AS n(subject, scope)"
                    " WHERE k.subject = n.subject AND k.scope = n.scope AND k.retired = 0"
                    " RETURNING k.subject, k.scope",
                    ([subject for subject, _ in places], [scope for _, scope in places]),
                ).fetchall()
                placed = [places[bytes(subject), scope] for subject, scope in retired]
                if placed:
                    self._insert(connection, placed)
        return {*there, *(key.kid for key in placed)}

    def rewrap(self, pairs: Sequence[tuple[WrappedKey, int]]) -> int:
        with self._translated():
            return (
                self._connections.get()
                .execute(
                    "UPDATE data_key k SET kek = n.kek, wrapped = n.wrapped"
                    " FROM unnest(%s::bytea[], %s::int[], %s::int[], %s::bytea[]) AS n(kid, old, kek, wrapped)"
                    " WHERE k.kid = n.kid AND k.kek = n.old",
                    (
                        [new.kid for new, _ in pairs],
                        [old for _, old in pairs],
                        [new.kek for new, _ in pairs],
                        [new.wrapped for new, _ in pairs],
                    ),
                )
                .rowcount
            )

    def subjects(self, after: bytes, limit: int) -> list[bytes]:
        query = "SELECT DISTINCT subject FROM data_key WHERE subject > %s ORDER BY subject LIMIT %s"
        return [row[0] for row in self._rows(query, (after, limit))]

    def kids_of(self, subject: bytes) -> list[WrappedKey]:
        query = f"SELECT {_KEY} FROM data_key k WHERE k.subject = %s ORDER BY k.scope, k.retired"  # noqa: S608 - our own names
        return [WrappedKey(*row) for row in self._rows(query, (subject,))]

    def of_subjects(self, subjects: Sequence[bytes], before: int | None) -> list[WrappedKey]:
        query = (
            f"SELECT {_KEY} FROM data_key k WHERE k.subject = ANY(%s::bytea[])"  # noqa: S608 - our own names
            " AND (%s::int IS NULL OR k.era < %s)"
        )
        return [WrappedKey(*row) for row in self._rows(query, (list(subjects), before, before))]

    def keys_after(self, kid: bytes, limit: int, *, kek: int | None, retired: bool) -> list[WrappedKey]:
        # one statement each, so that the partial index serves the retired
        where = "k.retired > 0 AND " if retired else ""
        query = (
            f"SELECT {_KEY} FROM data_key k WHERE {where}k.kid > %s AND (%s::int IS NULL OR k.kek = %s)"  # noqa: S608 - our own names
            " ORDER BY k.kid LIMIT %s"
        )
        return [WrappedKey(*row) for row in self._rows(query, (kid, kek, kek, limit))]

    def counts(self) -> list[Count]:
        query = "SELECT kek, count(*), count(*) FILTER (WHERE retired > 0) FROM data_key GROUP BY kek ORDER BY kek"
        return [Count(*row) for row in self._rows(query, ())]

    def count_under(self, kek: int) -> int:
        return int(self._rows("SELECT count(*) FROM data_key WHERE kek = %s", (kek,))[0][0])

    def count_before(self, era: int) -> int:
        return int(self._rows("SELECT count(*) FROM data_key WHERE era < %s", (era,))[0][0])

    def ledger(self, after: int, limit: int) -> list[LedgerRow]:
        query = "SELECT number, kind, mark, at FROM erasure_ledger WHERE number > %s ORDER BY number LIMIT %s"
        return [LedgerRow(*row) for row in self._rows(query, (after, limit))]

    def ledger_size(self) -> int:
        return int(self._rows("SELECT count(*) FROM erasure_ledger", ())[0][0])

    def add_marks(self, rows: Sequence[LedgerRow]) -> int:
        with self._translated():
            connection = self._connections.get()
            with connection.transaction():
                return _write_marks(connection, rows)

    def reader(self) -> AsyncReader | None:
        from keys.store_async import AsyncReader

        return AsyncReader(self._url)

    @staticmethod
    def _insert(connection: Connection, keys: Sequence[WrappedKey]) -> None:
        connection.execute(
            "INSERT INTO data_key (kid, subject, scope, kek, wrapped, created_at, era)"
            " SELECT n.*, %s, coalesce((SELECT era FROM keystore), 0)"
            " FROM unnest(%s::bytea[], %s::bytea[], %s::text[], %s::int[], %s::bytea[]) AS n",
            (
                int(time.time()),
                [key.kid for key in keys],
                [key.subject for key in keys],
                [key.scope for key in keys],
                [key.kek for key in keys],
                [key.wrapped for key in keys],
            ),
        )


def _lock(connection: Connection, subjects: Sequence[bytes]) -> None:
    """Until the transaction ends, for these subjects: two changes of a subject's keys follow one another.

    In the order of the numbers, so that two who lock several do not wait for each other.
    """
    numbers = {int.from_bytes(hashlib.sha256(subject).digest()[:8], "big", signed=True) for subject in subjects}
    connection.execute("SELECT pg_advisory_xact_lock(n) FROM unnest(%s::bigint[]) AS n", (sorted(numbers),))


def _bury(connection: Connection, kids: set[bytes], now: int) -> None:
    connection.execute(
        "INSERT INTO data_key_tombstone (kid, destroyed_at) SELECT kid, %s FROM unnest(%s::bytea[]) AS n(kid)",
        (now, sorted(kids)),
    )


def _write_marks(connection: Connection, rows: Sequence[LedgerRow]) -> int:
    """Numbers follow the commits: the lock is held until the transaction ends."""
    if not rows:
        return 0
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LEDGER_LOCK,))
    ordered: dict[bytes, LedgerRow] = {}
    for row in sorted(rows, key=lambda row: row.number):
        ordered.setdefault(row.mark, row)
    found = connection.execute("SELECT mark FROM erasure_ledger WHERE mark = ANY(%s)", (list(ordered),))
    for known in found.fetchall():
        del ordered[bytes(known[0])]
    fresh = list(ordered.values())
    return connection.execute(
        "INSERT INTO erasure_ledger (number, mark, kind, at)"
        " SELECT (SELECT coalesce(max(number), 0) FROM erasure_ledger) + n.position, n.mark, n.kind, n.at"
        " FROM unnest(%s::bytea[], %s::smallint[], %s::bigint[]) WITH ORDINALITY AS n(mark, kind, at, position)",
        ([row.mark for row in fresh], [row.kind for row in fresh], [row.at for row in fresh]),
    ).rowcount
