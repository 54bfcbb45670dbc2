"""Copies of a PostgreSQL database by pg_dump and pg_restore, through pipes: nothing touches the disk.

pg_dump refuses a server newer than itself, so the program of the server's own version is looked for on the PATH and
where distributions keep their versions, else the next newer one. It dumps the snapshot that our own connection has
exported. The password is in the environment of the child, never among its arguments, which every process can see.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import IO, BinaryIO, Final, Literal, cast

import psycopg
from psycopg import IsolationLevel, sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url

from privacy.copies import Place, Snapshot
from privacy.database import Row, translated
from privacy.errors import Conflict, Unavailable

Program = Literal["pg_dump", "pg_restore"]

_INSTALLED: Final = Path("/usr/lib/postgresql")  # Debian keeps each version in a folder of that name
_VERSION: Final = re.compile(r"\(PostgreSQL\) (\d+)")
_LOCK_TIMEOUT: Final = "10s"
_TABLES: Final = (
    "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'"
)


class PostgresPlace(Place):
    """Implements `privacy.copies.Place` for one database of a server."""

    kind = "postgresql"

    def __init__(self, url: str) -> None:
        self._url = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """A lock that waits for the writers of data keys, and they for it; readers pass."""
        with translated(), self._connect() as connection:
            connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
            connection.execute("LOCK TABLE data_key IN SHARE MODE")
            yield
            connection.rollback()

    def snapshot(self) -> Snapshot:
        with translated():
            return _PostgresSnapshot(self._connect(), self._url)

    def require_empty(self) -> None:
        with translated(), self._connect() as connection:
            if connection.execute(f"{_TABLES} LIMIT 1").fetchone() is not None:
                raise Conflict("The database to restore to has tables already, and restoring overwrites nothing")

    @contextmanager
    def load(self) -> Iterator[BinaryIO]:
        """In one transaction."""
        with translated(), self._connect() as connection:
            major = connection.info.server_version // 10_000
        command = [program("pg_restore", major)[0], "--single-transaction", "--exit-on-error", "--no-owner"]
        # --dbname takes a connection string; it names the database by its service of the environment alone.
        command += ["--no-privileges", "--no-password", "--format=custom", "--dbname", ""]
        process = _started(command, self._url, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        said = _Said(process)
        try:
            yield cast(BinaryIO, process.stdin)
            _closed(process.stdin)
            _require_success(process, said, "pg_restore")
        except BaseException as error:
            if isinstance(error, Unavailable):  # perhaps because it has ended by itself, and can say why
                with suppress(subprocess.TimeoutExpired):
                    process.wait(1)
            # else killed before its input ends: with its connection gone the server rolls back
            process.kill()
            process.wait()
            _closed(process.stdin)
            if process.returncode > 0:
                _require_success(process, said, "pg_restore")
            raise

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(self._url, connect_timeout=10)


class _PostgresSnapshot(Snapshot):
    def __init__(self, connection: psycopg.Connection, url: str) -> None:
        self._connection = connection
        self._url = url
        try:
            connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
            connection.set_read_only(True)
            connection.execute("SET idle_in_transaction_session_timeout = 0")
            row = connection.execute("SELECT pg_export_snapshot()").fetchone()
            self._name = "" if row is None else str(row[0])
        except BaseException:
            connection.close()
            raise
        self.tool = "pg_dump"

    def ask(self, statement: str) -> Sequence[Row]:
        with translated():
            return self._connection.execute(statement.encode()).fetchall()

    def tables(self) -> Sequence[str]:
        return sorted(str(row[1]) for row in self.ask(_TABLES))

    @contextmanager
    def copy(self) -> Iterator[BinaryIO]:
        path, version = program("pg_dump", self._connection.info.server_version // 10_000)
        self.tool = f"pg_dump {version}"
        command = [path, "--format=custom", "--no-owner", "--no-privileges", "--no-password"]
        command += [f"--snapshot={self._name}", "--compress=gzip:1"]
        process = _started(command, self._url, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        said = _Said(process)
        try:
            yield cast(BinaryIO, process.stdout)
            _require_success(process, said, "pg_dump")
        finally:
            process.kill()
            process.wait()
            _closed(process.stdout)

    def close(self) -> None:
        with suppress(psycopg.Error):
            self._connection.close()


class _Said:
    """What a program says on standard error, read as it comes so that it never waits for us."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._stream = cast(BinaryIO, process.stderr)
        self._lines: list[str] = []
        self._thread = Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._stream:
            for line in self._stream:
                if len(self._lines) < 50:
                    self._lines.append(line.decode(errors="replace").strip())

    def error(self) -> str:
        """The first line that is an error. The lines after it, DETAIL and CONTEXT, may hold what is in a row."""
        self._thread.join(10)
        return next((line for line in self._lines if "error:" in line), "it said nothing")[:300]


def program(name: Program, major: int) -> tuple[str, int]:
    """The path and version of the program for a server: of its own version, else the next newer one.

    Raises `Unavailable` when there is none.
    """
    folders = [Path(folder) for folder in os.get_exec_path()]
    folders += sorted(_INSTALLED.glob("*/bin"))
    found: dict[int, str] = {}
    for folder in dict.fromkeys(folders):
        path = shutil.which(name, path=str(folder))
        if path is not None and (version := _version(path)) is not None and version >= major:
            found.setdefault(version, path)
    if not found:
        raise Unavailable(
            f"{name} of PostgreSQL {major} or newer is needed, and is neither on the PATH nor under {_INSTALLED}",
            zh=f"需要 PostgreSQL {major} 或更新版本的 {name}，但在 PATH 与 {_INSTALLED} 中均未找到",
        )
    return found[min(found)], min(found)


def _version(path: str) -> int | None:
    try:
        said = subprocess.run([path, "--version"], capture_output=True, timeout=10, check=False).stdout  # noqa: S603 - found above
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.search(said.decode(errors="replace"))
    return None if match is None else int(match[1])


def _started(command: list[str], url: str, *, stdin: int, stdout: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 - found by `program`
            command, env=_environment(url), stdin=stdin, stdout=stdout, stderr=subprocess.PIPE
        )
    except OSError as error:
        raise Unavailable(f"{Path(command[0]).name} cannot be started ({error.strerror})") from None


def _environment(url: str) -> dict[str, str]:
    """Ours, with the connection's parameters as libpq names them there; no PG* of ours gets in between."""
    names = {one.keyword.decode(): one.envvar.decode() for one in psycopg.pq.Conninfo.get_defaults() if one.envvar}
    given = {names[key]: str(value) for key, value in conninfo_to_dict(url).items() if key in names}
    # `options` would carry a role or a search_path of the service; a dump sets its own
    return {key: value for key, value in os.environ.items() if not key.startswith("PG")} | given | {"LC_ALL": "C"}


def _require_success(process: subprocess.Popen[bytes], said: _Said, name: str) -> None:
    if process.wait() != 0:
        raise Unavailable(f"{name} failed: {said.error()}")


def _closed(stream: IO[bytes] | None) -> None:
    if stream is not None:
        with suppress(OSError):
            stream.close()


def create_database(url: str, name: str) -> None:
    """An empty database on the server of `url`. Raises `Unavailable`, also when the user may not."""
    _administer(url, sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))


def drop_database(url: str, name: str, *, by_force: bool = False) -> None:
    """Remove a database of that server, if there is one; `by_force` ends who is connected to it."""
    force = " WITH (FORCE)" if by_force else ""
    _administer(url, sql.SQL("DROP DATABASE IF EXISTS {}" + force).format(sql.Identifier(name)))


def _administer(url: str, statement: sql.Composed) -> None:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with translated(), psycopg.connect(plain, autocommit=True, connect_timeout=10) as connection:
        connection.execute(statement)
