"""Copies of an SQLite database by its backup API, under a read transaction in the log.

The API writes to a file. That file stands beside the database it copies, on the same disk under the same protection,
and has no name any more when the first page is written: whatever happens then, `kill -9` too, leaves none behind.
(Into memory instead: as much memory as the database has bytes, twice.)
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from sqlalchemy import make_url

from privacy.copies import Place, Snapshot
from privacy.database import Row
from privacy.errors import Conflict, Corrupt, Invalid, Unavailable

_BUSY_SECONDS: Final = 10.0
_BESIDE: Final = ("", "-wal", "-shm", "-journal")


class SqlitePlace(Place):
    """Implements `privacy.copies.Place` for one file."""

    kind = "sqlite"

    def __init__(self, url: str) -> None:
        name = make_url(url).database
        if not name or name == ":memory:":
            raise Invalid("An SQLite URL names a file: sqlite:////path/to/file")
        self.file = Path(name).absolute()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """SQLite has one writer; while we are it, nobody else is."""
        with _translated(), closing(_reader(self.file, mode="rw")) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            finally:
                connection.execute("ROLLBACK")

    def snapshot(self) -> Snapshot:
        return _SqliteSnapshot(self.file)

    def require_empty(self) -> None:
        if any(Path(f"{self.file}{end}").exists() for end in _BESIDE):
            raise Conflict(f"There is a database at {self.file} already, and restoring overwrites nothing")

    @contextmanager
    def load(self) -> Iterator[BinaryIO]:
        """Under another name until it is whole, looked through and on the disk."""
        beside = self.file.with_name(f".{self.file.name}.{secrets.token_hex(8)}")
        try:
            with _owned(beside) as out:
                yield out
                out.flush()
                os.fsync(out.fileno())
            with _translated(), closing(_reader(beside, mode="rw")) as connection:
                if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                    raise Corrupt("The copy is not a sound database", zh="该副本不是完好的数据库")
            try:
                os.link(beside, self.file)  # unlike a rename it never replaces
            except FileExistsError:
                raise Conflict(f"There is a database at {self.file} already") from None
        except OSError as error:
            raise Unavailable(f"The database cannot be written ({error.strerror})") from None
        finally:
            for end in _BESIDE:
                Path(f"{beside}{end}").unlink(missing_ok=True)
        sync_folder(self.file.parent)


class _SqliteSnapshot(Snapshot):
    tool = f"SQLite {sqlite3.sqlite_version}"

    def __init__(self, file: Path) -> None:
        self._file = file
        with _translated():
            # not mode=ro: the last of those to close would leave log and shared memory beside the file
            self._connection = _reader(file, mode="rw")
            self._connection.execute("PRAGMA query_only = ON")
            self._connection.execute("BEGIN")
            self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # reading takes the snapshot

    def ask(self, statement: str) -> Sequence[Row]:
        with _translated():
            return self._connection.execute(statement).fetchall()

    def tables(self) -> Sequence[str]:
        rows = self.ask(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        )
        return sorted(str(row[0]) for row in rows)

    @contextmanager
    def copy(self) -> Iterator[BinaryIO]:
        beside = self._file.with_name(f".{self._file.name}.{secrets.token_hex(8)}")
        with _owned(beside) as copy:
            try:
                with _translated(), closing(sqlite3.connect(beside, isolation_level=None)) as target:
                    target.execute("PRAGMA journal_mode = OFF").fetchall()
                    target.execute("PRAGMA synchronous = OFF").fetchall()
                    target.execute("SELECT count(*) FROM sqlite_master").fetchall()  # now it has the file open
                    beside.unlink()
                    self._connection.backup(target)
            finally:
                beside.unlink(missing_ok=True)
            self.close()  # the copy is ours now; the database's log may be cut again
            copy.seek(0)
            yield copy

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self._connection.close()


def _reader(file: Path, *, mode: str) -> sqlite3.Connection:
    """Never makes a file."""
    return sqlite3.connect(f"{file.as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=_BUSY_SECONDS)


def _owned(file: Path) -> BinaryIO:
    """A new file for its owner only."""
    return os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w+b")


def sync_folder(folder: Path) -> None:
    """The names in the folder survive a power cut from now on."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorname", "") in ("SQLITE_NOTADB", "SQLITE_CORRUPT"):
            raise Corrupt("The file is not a sound database", zh="该文件不是完好的数据库") from None
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        raise Unavailable(f"The database does not answer as it should ({name})", retry_after=1) from None
