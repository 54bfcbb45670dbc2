"""A SQLite file that keeps secrets: durable when a write returns, and able to forget on the disk as well."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final

from keys.errors import KekRetired, KeyExists, KeysError, KeyStoreUnavailable
from keys.per_thread import PerThread

_BUSY_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 0.002


class SqliteFile:
    """One connection per thread. Raises only classes of `keys.errors`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.connections = PerThread(self.connect)

    def connection(self) -> sqlite3.Connection:
        """This thread's, in autocommit. Raises KeyStoreUnavailable after `close`."""
        return self.connections.get()

    def close(self) -> None:
        self.connections.close()

    def connect(self) -> sqlite3.Connection:
        # check_same_thread is off only so that close() may close the connections of other threads.
        connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA temp_store = MEMORY")
        return connection

    def cut_log(self) -> None:
        """Bring every commit into the file and empty the log: what was overwritten is then in neither.

        Raises KeyStoreUnavailable when a reader holds the log for longer than the busy timeout.
        """
        with self.translated():
            connection = self.connection()
            until = time.monotonic() + connection.execute("PRAGMA busy_timeout").fetchone()[0] / 1000
            # SQLite waits for readers by itself, but not for another connection that is cutting the log.
            while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                if time.monotonic() >= until:
                    raise KeyStoreUnavailable("the key is deleted, but a reader holds the log; destroy again")
                time.sleep(_PAUSE_SECONDS)

    def rewrite_what_was_freed(self) -> None:
        """After a migration: what it dropped stands in free pages and in copies until the file is written anew."""
        with self.translated(), closing(self.connect()) as connection:
            if connection.execute("PRAGMA freelist_count").fetchone()[0]:
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """BEGIN IMMEDIATE.

        A deferred transaction that comes to write late fails at once, whatever the timeout.
        """
        with self.translated():
            connection = self.connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise ours(error) from error


def ours(error: sqlite3.Error) -> KeysError:
    if isinstance(error, sqlite3.IntegrityError):
        if "data_key_kek_retired" in str(error):
            return KekRetired()
        if "UNIQUE" in str(error) or "_destroyed" in str(error):
            return KeyExists()
        return KeysError("the key store refuses a row of a wrong shape")
    name = getattr(error, "sqlite_errorname", "connection closed")
    return KeyStoreUnavailable(f"the key store does not answer ({name})")
