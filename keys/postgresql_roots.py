"""Whose key store this is, and its root secrets, on PostgreSQL: psycopg 3, one connection per thread, replaced when
it breaks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from keys.errors import KekRetired, KeyExists, KeysError, KeyStoreNotReady, KeyStoreUnavailable, Overtaken
from keys.per_thread import PerThread
from keys.wrapped import Ownership, RootSecret, State, Tombstone

# The lock that data_key_guard() takes shared; the number stands in the migrations too.
_GUARD_LOCK: Final = 1400142923
_CONNECT_SECONDS: Final = 10

T = TypeVar("T")


class PostgresqlRoots:
    """The half of the engine that knows no data key."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connections = PerThread(self._connect)

    def migrate(self) -> None:
        from keys.migrations import upgrade

        upgrade("postgresql+psycopg", self._plain)

    def revision(self) -> str | None:
        def read(connection: Connection) -> str | None:
            found = connection.execute("SELECT to_regclass('keystore_version')").fetchone()
            if found is None or found[0] is None:
                return None
            row = connection.execute("SELECT version_num FROM keystore_version").fetchone()
            return str(row[0]) if row else None

        return self._read(read)

    def ownership(self) -> Ownership | None:
        rows = self._rows("SELECT deployment, min_encryption_version, revision FROM keystore", ())
        return Ownership(*rows[0]) if rows else None

    def claim(self, deployment: bytes, secrets: Sequence[RootSecret]) -> bool:
        with self._translated():
            connection = self._connections.get()
            with connection.transaction():
                claimed = connection.execute(
                    "INSERT INTO keystore VALUES (1, %s, 1, %s, 0, 0) ON CONFLICT DO NOTHING",
                    (deployment, int(time.time())),
                ).rowcount
                if not claimed:
                    return False
                for secret in secrets:
                    self._insert_secret(connection, secret)
        return True

    def root_secrets(self) -> list[RootSecret]:
        query = "SELECT kind, version, wrapped, public, state, retired_at FROM root_secret"
        return [
            RootSecret(kind, version, wrapped, public, State(state), retired_at)
            for kind, version, wrapped, public, state, retired_at in self._rows(query, ())
        ]

    def root_tombstones(self) -> list[Tombstone]:
        rows = self._rows("SELECT kind, version, public, destroyed_at FROM root_secret_tombstone", ())
        return [Tombstone(*row) for row in rows]

    def add_root_secret(self, secret: RootSecret, revision: int | None) -> None:
        with self._translated():
            connection = self._connections.get()
            with connection.transaction():
                _require(connection, revision)
                connection.execute(
                    "UPDATE root_secret SET state = 'retired', retired_at = %s"
                    " WHERE kind = %s AND version < %s AND state = 'active'",
                    (int(time.time()), secret.kind, secret.version),
                )
                self._insert_secret(connection, secret)

    def set_public(self, kind: str, version: int, public: bytes) -> None:
        with self._translated():
            self._connections.get().execute(
                "UPDATE root_secret SET public = %s WHERE kind = %s AND version = %s", (public, kind, version)
            )

    def rewrap_root_secrets(self, pairs: Sequence[tuple[RootSecret, bytes]], revision: int) -> None:
        if not pairs:
            return
        with self._translated():
            connection = self._connections.get()
            with connection.transaction():
                _require(connection, revision)
                for old, wrapped in pairs:
                    connection.execute(
                        "UPDATE root_secret SET wrapped = %s WHERE kind = %s AND version = %s",
                        (wrapped, old.kind, old.version),
                    )

    def destroy_root_secret(self, kind: str, version: int) -> bool:
        with self._translated():
            connection = self._connections.get()
            with connection.transaction():
                # Writers of data keys in flight are waited for, and wait for us: none appears under this version now.
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (_GUARD_LOCK,))
                row = connection.execute(
                    "SELECT public, state FROM root_secret WHERE kind = %s AND version = %s FOR UPDATE",
                    (kind, version),
                ).fetchone()
                if row is None:
                    return False
                public, state = row
                _refuse_in_use(connection, kind, version, state)
                connection.execute("DELETE FROM root_secret WHERE kind = %s AND version = %s", (kind, version))
                connection.execute(
                    "INSERT INTO root_secret_tombstone (kind, version, public, destroyed_at) VALUES (%s, %s, %s, %s)",
                    (kind, version, public, int(time.time())),
                )
                _require(connection, None)
        return True

    def raise_minimum(self, version: int) -> None:
        with self._translated():
            connection = self._connections.get()
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (_GUARD_LOCK,))
                connection.execute(
                    "UPDATE keystore SET min_encryption_version = greatest(min_encryption_version, %s)",
                    (version,),
                )

    def begin_era(self) -> int:
        with self._translated():
            connection = self._connections.get()
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (_GUARD_LOCK,))
                found = connection.execute("UPDATE keystore SET era = era + 1 RETURNING era").fetchone()
                if found is None:
                    raise KeyStoreNotReady("the key store belongs to no deployment yet; initialise it")
                return int(found[0])

    def close(self) -> None:
        self._connections.close()

    @staticmethod
    def _insert_secret(connection: Connection, secret: RootSecret) -> None:
        connection.execute(
            "INSERT INTO root_secret (kind, version, wrapped, created_at, public, state, retired_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s)",
            (
                secret.kind,
                secret.version,
                secret.wrapped,
                int(time.time()),
                secret.public,
                secret.state,
                secret.retired_at,
            ),
        )

    def _plain(self) -> Connection:
        return psycopg.connect(self._url, connect_timeout=_CONNECT_SECONDS)

    def _connect(self) -> Connection:
        connection = self._plain()
        connection.autocommit = True
        # A server or role may have it off; "durable on return" is this module's promise.
        connection.execute("SET synchronous_commit = on")
        return connection

    def _rows(self, query: str, parameters: tuple[object, ...]) -> list[TupleRow]:
        encoded = query.encode()
        return self._read(lambda connection: connection.cursor(binary=True).execute(encoded, parameters).fetchall())

    def _read(self, work: Callable[[Connection], T]) -> T:
        """Reads are tried again once on a new connection: a restarted server costs nobody an error."""
        with self._translated():
            connection = self._connections.get()
            try:
                return work(connection)
            except psycopg.OperationalError:
                if not connection.closed:
                    raise
            self._connections.drop()
            return work(self._connections.get())

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except psycopg.errors.UniqueViolation:
            raise KeyExists from None
        except psycopg.errors.CheckViolation as error:
            if "data_key_kek_retired" in str(error):
                raise KekRetired from None
            raise
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            self._connections.drop()
            # Not the driver's text, which names host, port and role.
            raise KeyStoreUnavailable(f"the key store does not answer ({type(error).__name__})") from error


def _require(connection: Connection, revision: int | None) -> None:
    """Count a change; it locks the row, so that changes follow one another."""
    found = connection.execute("UPDATE keystore SET revision = revision + 1 RETURNING revision - 1").fetchone()
    if revision is not None and (found is None or found[0] != revision):
        raise Overtaken


def _refuse_in_use(connection: Connection, kind: str, version: int, state: str) -> None:
    if state != State.RETIRED:
        raise KeysError(f"{kind} {version} is active; a newer version comes first")
    if kind == "kek":
        query = (
            "SELECT 1 FROM keystore WHERE min_encryption_version <= %(version)s"
            " UNION ALL SELECT 1 FROM data_key WHERE kek = %(version)s LIMIT 1"
        )
        if connection.execute(query, {"version": version}).fetchone():
            raise KeysError(f"{kind} {version} wraps data keys, or still may; raise the minimum and rewrap them first")
