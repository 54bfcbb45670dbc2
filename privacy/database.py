"""The one file that knows which database this is.

A `Database` opens `Lane`s; a lane is one connection, used by one thread at a time, and runs one
`Transaction` after the other. Hot statements are written once in SQLAlchemy Core (`Lookup`,
`Insertion`), compiled to text once and run by the raw driver; everything else goes through
`Transaction.execute`.

SQLite: WAL, synchronous=FULL, every transaction BEGIN IMMEDIATE, and an flock on a side file around it,
because SQLite's own waiting starves single writers for whole seconds (measured: 2,032 ms against 139 ms).
Work that no request waits for gives way when it has held it for long (`Lane.give_way`).
PostgreSQL: a `Lookup` takes all its keys in one statement, an `Insertion` all its rows in one.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal, Protocol
from uuid import UUID

import msgspec
from sqlalchemy import (
    BindParameter,
    Column,
    Connection,
    CursorResult,
    Engine,
    Executable,
    Select,
    Table,
    bindparam,
    create_engine,
    event,
    literal_column,
    make_url,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from privacy import ids
from privacy.errors import AuditUnavailable, Conflict, PrivacyError, Unavailable
from privacy.tables import audit_events

Kind = Literal["uuid", "text", "bigint"]
Row = tuple[Any, ...]  # as the driver gives it
Key = tuple[object, ...]

sqlite3.register_adapter(UUID, attrgetter("bytes"))

_LOCK_TIMEOUT_MS = 10_000
_LONG_SECONDS = 0.025  # ten times what a group of requests takes
_REST_SECONDS = 0.1
_MOST_ROWS = 64  # of one SQLite statement
_POSTGRES_SETTINGS = {
    "lock_timeout": str(_LOCK_TIMEOUT_MS),
    "idle_in_transaction_session_timeout": "60000",
    # Else a statement that takes arrays is planned anew each time, for their length: measured on a search,
    # 1.0 ms of planning for 0.06 ms of work.
    "plan_cache_mode": "force_generic_plan",
}
_SQLITE_SETUP = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA trusted_schema=OFF",
    "PRAGMA cache_size=-65536",  # KiB
    "PRAGMA wal_autocheckpoint=4000",  # pages: a page that many commits touch is copied back less often
    f"PRAGMA busy_timeout={_LOCK_TIMEOUT_MS}",
)


class Clash(Conflict):
    """A unique or check constraint said no; `constraint` is its name or its columns."""

    def __init__(self, constraint: str) -> None:
        super().__init__("This conflicts with a row that is already stored")
        self.constraint = constraint


class Lookup:
    """A query by key, for one key or many, in one statement either way on PostgreSQL.

    `build` takes one expression a key part and returns the select; `kinds` names the parts' types.
    Key parts are bound, never written into the statement. `locks`: the rows stay locked until the end of
    the transaction.
    """

    def __init__(self, build: Callable[..., Select[Any]], *kinds: Kind, locks: bool = False) -> None:
        self.locks = locks
        self.build = build
        self.kinds = kinds
        self._single: tuple[str, tuple[int, ...]] | None = None
        self._many: str | None = None

    def single(self) -> tuple[str, tuple[int, ...]]:
        """SQLite's text, and which key part each placeholder takes."""
        if self._single is None:
            parts: list[BindParameter[Any]] = [bindparam(f"k{n}") for n in range(len(self.kinds))]
            compiled = self.build(*parts).compile(dialect=sqlite.dialect(paramstyle="named"))
            sql = str(compiled)
            pieces = sql.split(":k")
            order = [int(piece[0]) for piece in pieces[1:]]
            sql = pieces[0] + "".join("?" + piece[1:] for piece in pieces[1:])
            literals = {n: v for n, v in compiled.params.items() if v is not None}
            if literals:
                raise TypeError(f"write constants with literal_column in a lookup: {sorted(literals)}")
            self._single = sql, tuple(order)
        return self._single

    def many(self) -> str:
        """PostgreSQL's text: a lateral join over the unnested keys; the first column says whose row it is."""
        if self._many is None:
            parts: list[Any] = [literal_column(f"w.k{n}") for n in range(len(self.kinds))]
            inner = str(
                self.build(*parts).compile(
                    dialect=postgresql.dialect(paramstyle="named"),  # type: ignore[no-untyped-call]  # untyped there
                )
            )
            arrays = ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(self.kinds, start=1))
            names = ", ".join(f"k{n}" for n in range(len(self.kinds)))
            self._many = (
                f"SELECT w.n, x.* FROM unnest({arrays}) WITH ORDINALITY AS w({names}, n) "  # noqa: S608 - our own text
                f"CROSS JOIN LATERAL ({inner}) AS x ORDER BY w.n"
            )
        return self._many


class Insertion:
    """Rows for one table, given as tuples in the order of its columns.

    `marked`: a table of one column that gets the first value of each row, in the same statement on PostgreSQL: a
    group of reads is one insert by itself, and must stay one.
    """

    def __init__(self, table: Table, marked: Table | None = None) -> None:
        self.table = table
        self.marked = None if marked is None else Insertion(marked)
        columns = ", ".join(column.name for column in table.columns)
        marks = ", ".join("?" for _ in table.columns)
        self._head = f"INSERT INTO {table.name} ({columns}) VALUES "  # noqa: S608 - our own names
        self._row = f"({marks})"
        self._several: dict[int, str] = {}
        types = [_postgres_type(column) for column in table.columns]
        if "bytea" in types:
            self._shape: Callable[..., object] | None = None
            source = f"unnest({', '.join(f'${n}::{kind}[]' for n, kind in enumerate(types, start=1))})"
        else:
            # One text for all rows: arrays cost the driver three times as much a row (8.2 us against 2.8).
            names = [f"c{n}" for n in range(len(types))]
            self._shape = msgspec.defstruct(f"{table.name}_row", [(name, object) for name in names])
            shape = ", ".join(f"{name} {kind}" for name, kind in zip(names, types, strict=True))
            source = f"json_to_recordset($1::json) AS r({shape})"
        self.many = f"INSERT INTO {table.name} ({columns}) SELECT * FROM {source}"  # noqa: S608 - our own names
        if marked is not None:
            first = table.columns[0].name
            self.many = f"WITH new AS ({self.many} RETURNING {first}) INSERT INTO {marked.name} SELECT {first} FROM new"  # noqa: S608

    def arguments(self, rows: Sequence[Row]) -> list[Any]:
        """What PostgreSQL's text takes for these rows."""
        if self._shape is None:
            return transposed(rows)
        shape = self._shape
        return [msgspec.json.encode([shape(*row) for row in rows]).decode()]

    def several(self, size: int) -> str:
        """SQLite's text for this many rows."""
        if size not in self._several:
            self._several[size] = self._head + ", ".join([self._row] * size)
        return self._several[size]


def _postgres_type(column: Column[Any]) -> str:
    return str(column.type.compile(postgresql.dialect())).lower()  # type: ignore[no-untyped-call]  # untyped there


class Transaction(Protocol):
    """One open transaction on a lane. Driver errors come out as `PrivacyError`.

    `holds`: a lookup that locks was asked of a database that does not lock rows.
    """

    holds: bool

    def lookup(self, lookup: Lookup, keys: Sequence[Key]) -> list[list[Row]]:
        """The rows of each key, in the order of `keys`."""
        ...

    def insert(self, insertion: Insertion, rows: Sequence[Row]) -> None: ...

    def execute(self, statement: Executable) -> CursorResult[Any]: ...

    def overtake(self) -> None:
        """Make works that were decided on a snapshot, and hold a subject, notice that they must start again."""
        ...


class Lane:
    """One connection and one writer of audit events.

    `writer` and `sequence` number the events of this lane without gaps; a lane that failed in a way
    that leaves its last commit in doubt is closed and never counts on.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.writer = ids.new()
        self.sequence = 0
        self.broken = False
        database.writers.append(self)
        self.lock: int | None = None  # SQLite's side file, open
        self.held_seconds = 0.0  # by the last transaction, of what others waited for (SQLite)
        with translated():
            self.connection: Connection = database.engine.connect()
            raw = self.connection.connection.driver_connection
        if raw is None:
            raise Unavailable("The database gave no connection", retry_after=1)
        self.raw: Any = raw

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Commit on leaving; roll back on any exception. The commit is durable when the block has ended."""
        with self.database.serialised(self), translated():
            self._run("BEGIN IMMEDIATE" if self.database.kind == "sqlite" else "BEGIN")
            try:
                yield self.database.on(self)
                self._run("COMMIT")
            except BaseException:
                self._roll_back()
                raise

    @contextmanager
    def snapshot(self) -> Iterator[Transaction]:
        """What was committed when the block began, and nothing of it can be changed (SQLite)."""
        with translated():
            self._run("BEGIN")
            try:
                yield self.database.on(self)
            finally:
                self._roll_back()

    def give_way(self) -> None:
        """Let the others go first, if the last transaction has kept them waiting for long (SQLite).

        The lock goes to whoever is running: a sweep that takes it again at once would keep it for itself.
        """
        if self.held_seconds > _LONG_SECONDS:
            time.sleep(min(self.held_seconds, _REST_SECONDS))

    def _run(self, statement: str) -> None:
        try:
            self.raw.execute(statement)
        except Exception:
            # whether a failed BEGIN or COMMIT took effect is not known: this writer must not count on
            self.broken = True
            raise

    def _roll_back(self) -> None:
        try:
            if self.database.kind == "postgresql" or self.raw.in_transaction:
                self.raw.execute("ROLLBACK")
        except Exception:  # noqa: BLE001 - the first exception is the one to report
            self.broken = True

    def close(self) -> None:
        with suppress(Exception):
            self.connection.invalidate()
            self.connection.close()
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None


class Database(ABC):
    """Opens lanes on one database. `groups`: how many groups of calls take turns, one computing while others wait."""

    kind: Literal["sqlite", "postgresql"]
    groups: int

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._idle: list[Lane] = []
        self._guard = threading.Lock()
        # every lane that ever was: how far each writer has come is what a heartbeat says
        self.writers: list[Lane | AsyncLane] = []

    @contextmanager
    def borrow(self) -> Iterator[Lane]:
        """A lane of one's own for a while."""
        with self._guard:
            lane = self._idle.pop() if self._idle else None
        lane = lane or Lane(self)
        try:
            yield lane
        finally:
            self.give_back(lane)

    def give_back(self, lane: Lane) -> None:
        if lane.broken:
            lane.close()
            return
        with self._guard:
            self._idle.append(lane)

    def close(self) -> None:
        with self._guard:
            lanes, self._idle = self._idle, []
        for lane in lanes:
            lane.close()
        self.engine.dispose()

    @abstractmethod
    def on(self, lane: Lane) -> Transaction:
        """The transaction that is open on the lane."""

    @abstractmethod
    def serialised(self, lane: Lane) -> AbstractContextManager[None]:
        """Holds what keeps this database's writers in line, for the length of a transaction."""


class _SqliteTransaction:
    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._raw: sqlite3.Connection = lane.raw
        self.holds = False  # a subject has been held against its erasure

    def lookup(self, lookup: Lookup, keys: Sequence[Key]) -> list[list[Row]]:
        sql, order = lookup.single()
        self.holds = self.holds or lookup.locks
        execute = self._raw.execute
        return [execute(sql, [key[n] for n in order]).fetchall() for key in keys]

    def insert(self, insertion: Insertion, rows: Sequence[Row]) -> None:
        """In few statements of many rows: the interpreter's lock changes hands once a statement, not once a row."""
        with audited(insertion.table):
            start = 0
            while start < len(rows):
                size = min(_MOST_ROWS, 1 << (len(rows) - start).bit_length() - 1)
                part = rows[start : start + size]
                self._raw.execute(insertion.several(size), [value for row in part for value in row])
                start += size
        if insertion.marked is not None:
            self.insert(insertion.marked, [row[:1] for row in rows])

    def execute(self, statement: Executable) -> CursorResult[Any]:
        return self._lane.connection.execute(statement)

    def overtake(self) -> None:
        self._raw.execute("UPDATE revisions SET number = number + 1 WHERE name = 'subjects'")


class _PostgresTransaction:
    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        from psycopg import RawCursor  # SQLite needs none of it

        self.holds = False
        self._cursor: Any = RawCursor(lane.raw)  # takes $1, as the server and asyncpg do

    def lookup(self, lookup: Lookup, keys: Sequence[Key]) -> list[list[Row]]:
        self._cursor.execute(lookup.many(), transposed(keys), prepare=True, binary=True)
        return _by_key(self._cursor.fetchall(), len(keys))

    def insert(self, insertion: Insertion, rows: Sequence[Row]) -> None:
        with audited(insertion.table):
            self._cursor.execute(insertion.many, insertion.arguments(rows), prepare=True)

    def execute(self, statement: Executable) -> CursorResult[Any]:
        return self._lane.connection.execute(statement)

    def overtake(self) -> None:
        """Nothing to do: whoever holds a subject holds its row's lock."""


class AsyncLane:
    """One asyncpg connection and one writer of audit events, for an event loop.

    It begins only when it must: a round of reads needs no transaction, and one insert is one by itself.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._begun = False
        self.writer = ids.new()
        self.sequence = 0
        self.broken = False

    async def lookup(self, lookup: Lookup, keys: Sequence[Key]) -> list[list[Row]]:
        """The rows of each key, in the order of `keys`. A lookup that locks begins the transaction."""
        with translated():
            if lookup.locks:
                await self._begin()
            return _by_key(await self._connection.fetch(lookup.many(), *transposed(keys)), len(keys))

    async def commit(self, batches: Sequence[tuple[Insertion, Sequence[Row]]]) -> None:
        """Insert all the rows and commit; durable when it returns. After an error call `roll_back`."""
        with translated():
            if len(batches) > 1:
                await self._begin()
            for insertion, rows in batches:
                with audited(insertion.table):
                    await self._connection.execute(insertion.many, *insertion.arguments(rows))
            if self._begun:
                await self._connection.execute("COMMIT")
                self._begun = False

    async def roll_back(self) -> None:
        """Back to a lane without a transaction; a lane of which that is not sure is broken."""
        if self._connection.is_closed():
            self.broken = True
        elif self._begun:
            try:
                await self._connection.execute("ROLLBACK", timeout=5)
            except Exception:  # noqa: BLE001 - the first exception is the one to report
                self.broken = True
        self._begun = False

    async def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            await self._connection.execute("BEGIN")

    def close(self) -> None:
        """End the connection at once."""
        self._connection.terminate()


class Sqlite(Database):
    """SQLite in WAL mode, on a file of its own."""

    kind = "sqlite"
    groups = 3

    def __init__(self, url: str) -> None:
        path = make_url(url).database
        if not path or path == ":memory:":
            raise Unavailable("PRIVACY_DATABASE_URL must name a file: sqlite:////path/to/data.db")
        self.path = Path(path)
        engine = create_engine(
            url,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",  # this file begins and commits, nobody else
            connect_args={"check_same_thread": False, "cached_statements": 512},
        )
        event.listen(engine, "connect", _set_up_sqlite)
        super().__init__(engine)

    def on(self, lane: Lane) -> Transaction:
        return _SqliteTransaction(lane)

    @contextmanager
    def serialised(self, lane: Lane) -> Iterator[None]:
        # a descriptor a lane: flock belongs to the open file, so it also keeps threads apart
        if lane.lock is None:
            lane.lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lane.lock, fcntl.LOCK_EX)
        began = time.monotonic()
        try:
            yield
        finally:
            fcntl.flock(lane.lock, fcntl.LOCK_UN)
            lane.held_seconds = time.monotonic() - began


class Postgres(Database):
    """PostgreSQL, or an engine that speaks its protocol."""

    kind = "postgresql"
    groups = 6  # measured: 3 reach nine tenths of it, 8 no more

    def __init__(self, url: str) -> None:
        parsed = make_url(url).set(drivername="postgresql+psycopg")
        self._url = parsed.set(drivername="postgresql").render_as_string(hide_password=False)
        options = " ".join(f"-c {name}={value}" for name, value in _POSTGRES_SETTINGS.items())
        super().__init__(
            create_engine(
                parsed,
                poolclass=NullPool,
                isolation_level="AUTOCOMMIT",
                connect_args={"options": options, "connect_timeout": 10, "prepare_threshold": 2},
            )
        )

    async def open_lane(self) -> AsyncLane:
        """A lane for an event loop. Raises `Unavailable`."""
        import asyncpg  # SQLite needs none of it

        with translated():
            connection = await asyncpg.connect(
                self._url,
                timeout=10,
                command_timeout=30,
                server_settings=_POSTGRES_SETTINGS,
            )
        lane = AsyncLane(connection)
        self.writers.append(lane)
        return lane

    def on(self, lane: Lane) -> Transaction:
        return _PostgresTransaction(lane)

    def serialised(self, lane: Lane) -> AbstractContextManager[None]:
        return nullcontext()


def open_database(url: str) -> Database:
    """The database of `url`: `sqlite:///file` or `postgresql://…`."""
    match make_url(url).get_backend_name():
        case "sqlite":
            return Sqlite(url)
        case "postgresql":
            return Postgres(url)
        case other:
            raise Unavailable(f"PRIVACY_DATABASE_URL names {other}; sqlite and postgresql are supported")


def _set_up_sqlite(connection: sqlite3.Connection, _: object) -> None:
    for statement in _SQLITE_SETUP:
        connection.execute(statement).close()


def transposed(rows: Sequence[Sequence[object]]) -> list[list[object]]:
    """One array a column, as unnest takes them."""
    return [list(column) for column in zip(*rows, strict=True)]


def _by_key(rows: Sequence[Any], count: int) -> list[list[Row]]:
    found: list[list[Row]] = [[] for _ in range(count)]
    for row in rows:
        found[row[0] - 1].append(row[1:])
    return found


@contextmanager
def audited(table: Table) -> Iterator[None]:
    """An event that cannot be written is a refusal to disclose, whatever the database's reason."""
    try:
        yield
    except PrivacyError:
        raise
    except Exception as error:
        if table is audit_events:
            raise AuditUnavailable(retry_after=1) from error
        raise


@contextmanager
def translated() -> Iterator[None]:
    """Driver errors as ours. Their texts may hold row values, so none is passed on."""
    try:
        yield
    except DBAPIError as error:
        raise _ours(error.orig or error) from None
    except sqlite3.Error as error:
        raise _ours(error) from None
    except Exception as error:
        if isinstance(error, OSError | TimeoutError) or type(error).__module__.startswith(("psycopg", "asyncpg")):
            raise _ours(error) from None
        raise


def _ours(error: BaseException) -> PrivacyError:
    if isinstance(error, sqlite3.IntegrityError):
        return Clash(str(error).rpartition(": ")[2])
    state = getattr(error, "sqlstate", None)
    if isinstance(state, str) and state.startswith("23"):
        return Clash(str(getattr(getattr(error, "diag", error), "constraint_name", "") or ""))
    return Unavailable(f"The database does not answer as it should ({type(error).__name__})", retry_after=1)


def migrate(database: Database) -> None:
    """Bring the database to the declared schema, wholly or not at all.

    Several processes may call it at once: one migrates, the others wait and find it done.
    """
    from privacy.migrations import upgrade

    with database.borrow() as lane, lane.transaction() as transaction:
        # SQLite's writers are in line already; either way SQLAlchemy now knows that it is in a transaction,
        # and Alembic leaves the commit to us
        wait = "pg_advisory_xact_lock(7305186401)" if database.kind == "postgresql" else "1"
        transaction.execute(text(f"SELECT {wait}"))
        upgrade(lane.connection)
