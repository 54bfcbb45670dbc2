"""The key store on SQLite: one file, one connection per thread, one writer at a time."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from keys.errors import KekRetired, KeyExists, KeysError, KeyStoreNotReady, KeyStoreUnavailable
from keys.per_thread import PerThread
from keys.wrapped import Ownership, RootSecret, WrappedKey

_BUSY_SECONDS: Final = 10.0
_KEY = "data_key.subject, data_key.scope, data_key.kid, data_key.kek, data_key.wrapped"
_INSERT = (
    "INSERT INTO data_key (kid, subject, scope, retired, kek, shard, wrapped, created_at)"
    " VALUES (?, ?, ?, 0, ?, 0, ?, ?)"
)
_ONE_BY_KID = f"SELECT {_KEY} FROM data_key WHERE kid = ?"  # noqa: S608 - constants only
# One prepared statement whatever the number: ids come as one blob, 8 or 16 bytes each, and are cut inside.
_MANY_BY_KID = (
    "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?2)"  # noqa: S608 - our own names
    f" SELECT {_KEY} FROM n CROSS JOIN data_key ON data_key.kid = substr(?1, n.i * 8 + 1, 8)"
)
_ONE_CURRENT = f"SELECT {_KEY} FROM data_key WHERE subject = ? AND scope = ? AND retired = 0"  # noqa: S608 - our own names
_CURRENT = (
    f"SELECT {_KEY} FROM json_each(?2) AS s CROSS JOIN data_key"  # noqa: S608 - our own names
    " ON data_key.subject = substr(?1, s.key * 16 + 1, 16)"
    " AND data_key.scope = s.value AND data_key.retired = 0"
)
_SECRET = "INSERT INTO root_secret (kind, version, wrapped, created_at) VALUES (?, ?, ?, ?)"  # noqa: S105 - a statement


class SqliteEngine:
    """Implements `keys.store.Engine`."""

    def __init__(self, path: str, *, create: bool) -> None:
        self._path = path
        self._connections = PerThread(self._connect)
        if create:
            # Only its owner may read it; the log and shared-memory files take the same mode.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        elif not os.path.isfile(path):
            raise KeyStoreNotReady(f"there is no key store at {path}; initialise one, or restore it from a backup")

    def migrate(self) -> None:
        from keys.migrations import upgrade

        upgrade("sqlite", self._connect)

    def revision(self) -> str | None:
        with self._translated():
            connection = self._connections.get()
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'keystore_version'").fetchone():
                return None
            row = connection.execute("SELECT version_num FROM keystore_version").fetchone()
            return str(row[0]) if row else None

    def add(self, keys: Sequence[WrappedKey]) -> None:
        now = int(time.time())
        rows = [(key.kid, key.subject, key.scope, key.kek, key.wrapped, now) for key in keys]
        with self._writing() as connection:
            connection.executemany(_INSERT, rows)

    def by_kid(self, kids: Sequence[bytes]) -> list[WrappedKey]:
        # the hot path: a context manager would cost as much as the statement's own steps
        try:
            execute = self._connections.get().execute
            if len(kids) == 1:
                rows = execute(_ONE_BY_KID, (kids[0],))
            else:
                rows = execute(_MANY_BY_KID, (b"".join(kids), len(kids)))
            return [WrappedKey._make(row) for row in rows]
        except sqlite3.Error as error:
            raise _ours(error) from error

    def current(self, places: Sequence[tuple[bytes, str]]) -> list[WrappedKey]:
        if len(places) == 1:
            try:
                return [WrappedKey._make(row) for row in self._connections.get().execute(_ONE_CURRENT, places[0])]
            except sqlite3.Error as error:
                raise _ours(error) from error
        subjects = b"".join([subject for subject, _ in places])
        scopes = json.dumps([scope for _, scope in places])
        with self._translated():
            return [WrappedKey(*row) for row in self._connections.get().execute(_CURRENT, (subjects, scopes))]

    def destroy(self, subject: bytes, scope: str | None) -> int:
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO data_key_tombstone (kid, destroyed_at)"
                " SELECT kid, ?1 FROM data_key WHERE subject = ?2 AND (?3 IS NULL OR scope = ?3)",
                (int(time.time()), subject, scope),
            )
            gone = connection.execute(
                "DELETE FROM data_key WHERE subject = ?1 AND (?2 IS NULL OR scope = ?2)", (subject, scope)
            ).rowcount
        with self._translated():
            busy = self._connections.get().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise KeyStoreUnavailable("the key is deleted, but a reader holds the log; destroy again")
        return gone

    def ownership(self) -> Ownership | None:
        with self._translated():
            row = self._connections.get().execute("SELECT deployment, min_encryption_version FROM keystore").fetchone()
            return Ownership(*row) if row else None

    def claim(self, deployment: bytes, secrets: Sequence[RootSecret]) -> bool:
        now = int(time.time())
        with self._writing() as connection:
            if connection.execute("SELECT 1 FROM keystore").fetchone():
                return False
            connection.execute("INSERT INTO keystore VALUES (1, ?, 1, ?)", (deployment, now))
            connection.executemany(_SECRET, [(s.kind, s.version, s.wrapped, now) for s in secrets])
        return True

    def root_secrets(self) -> list[RootSecret]:
        with self._translated():
            rows = self._connections.get().execute("SELECT kind, version, wrapped FROM root_secret")
            return [RootSecret(*row) for row in rows]

    def add_root_secret(self, secret: RootSecret) -> None:
        with self._writing() as connection:
            connection.execute(_SECRET, (secret.kind, secret.version, secret.wrapped, int(time.time())))

    def raise_minimum(self, version: int) -> None:
        with self._writing() as connection:
            connection.execute(
                "UPDATE keystore SET min_encryption_version = max(min_encryption_version, ?)", (version,)
            )

    def reader(self) -> None:
        return None

    def close(self) -> None:
        self._connections.close()

    def _connect(self) -> sqlite3.Connection:
        # check_same_thread is off only so that close() may close the connections of other threads.
        connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA temp_store = MEMORY")
        return connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """BEGIN IMMEDIATE.

        A deferred transaction that comes to write late fails at once, whatever the timeout.
        """
        with self._translated():
            connection = self._connections.get()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _ours(error) from error


def _ours(error: sqlite3.Error) -> KeysError:
    if isinstance(error, sqlite3.IntegrityError):
        if "data_key_kek_retired" in str(error):
            return KekRetired()
        if "UNIQUE" in str(error) or "data_key_kid_destroyed" in str(error):
            return KeyExists()
        return KeysError("the key store refuses a row of a wrong shape")
    name = getattr(error, "sqlite_errorname", "connection closed")
    return KeyStoreUnavailable(f"the key store does not answer ({name})")
