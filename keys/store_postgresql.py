"""The key store on PostgreSQL: psycopg 3, one connection per thread, replaced when it breaks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from keys.errors import KekRetired, KeyExists, KeyStoreUnavailable
from keys.per_thread import PerThread
from keys.wrapped import Ownership, RootSecret, WrappedKey

if TYPE_CHECKING:
    from keys.store_async import AsyncReader

# The lock that data_key_guard() takes shared; the number stands in the migration too.
_GUARD_LOCK: Final = 1400142923
_CONNECT_SECONDS: Final = 10
_KEY = "k.subject, k.scope, k.kid, k.kek, k.wrapped"

T = TypeVar("T")


class PostgresqlEngine:
    """Implements `keys.store.Engine`."""

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

    def add(self, keys: Sequence[WrappedKey]) -> None:
        with self._translated():
            self._connections.get().execute(
                "INSERT INTO data_key (kid, subject, scope, kek, wrapped, created_at)"
                " SELECT n.*, %s"
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

    def destroy(self, subject: bytes, scope: str | None) -> int:
        with self._translated():
            return (
                self._connections.get()
                .execute(
                    "WITH gone AS (DELETE FROM data_key"
                    " WHERE subject = %s AND (%s::text IS NULL OR scope = %s) RETURNING kid)"
                    " INSERT INTO data_key_tombstone (kid, destroyed_at) SELECT kid, %s FROM gone",
                    (subject, scope, scope, int(time.time())),
                )
                .rowcount
            )

    def ownership(self) -> Ownership | None:
        rows = self._rows("SELECT deployment, min_encryption_version FROM keystore", ())
        return Ownership(*rows[0]) if rows else None

    def claim(self, deployment: bytes, secrets: Sequence[RootSecret]) -> bool:
        now = int(time.time())
        with self._translated():
            connection = self._connections.get()
            with connection.transaction():
                claimed = connection.execute(
                    "INSERT INTO keystore VALUES (1, %s, 1, %s) ON CONFLICT DO NOTHING", (deployment, now)
                ).rowcount
                if not claimed:
                    return False
                for secret in secrets:
                    self._insert_secret(connection, secret)
        return True

    def root_secrets(self) -> list[RootSecret]:
        return [RootSecret(*row) for row in self._rows("SELECT kind, version, wrapped FROM root_secret", ())]

    def add_root_secret(self, secret: RootSecret) -> None:
        with self._translated():
            self._insert_secret(self._connections.get(), secret)

    def raise_minimum(self, version: int) -> None:
        with self._translated():
            connection = self._connections.get()
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (_GUARD_LOCK,))
                connection.execute(
                    "UPDATE keystore SET min_encryption_version = greatest(min_encryption_version, %s)",
                    (version,),
                )

    def close(self) -> None:
        self._connections.close()

    def reader(self) -> AsyncReader | None:
        from keys.store_async import AsyncReader

        return AsyncReader(self._url)

    @staticmethod
    def _insert_secret(connection: Connection, secret: RootSecret) -> None:
        connection.execute(
            "INSERT INTO root_secret (kind, version, wrapped, created_at) VALUES (%s, %s, %s, %s)",
            (secret.kind, secret.version, secret.wrapped, int(time.time())),
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
