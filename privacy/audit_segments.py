"""The columnar copy of the audit log: questions over millions of events read this, not the table.

The log has no index but its order and its subjects, because each index would be paid at every read. What is
sequenced never changes, so a span of positions is copied once, into a Parquet file of its own under
PRIVACY_HOME/audit-segments: zstd, and of an event only what exposure and counts need (`COLUMNS`). Ids, declared names
and hashes; nothing personal. DuckDB reads it, with what no segment holds yet from the database beside it, and each
event is there exactly once.

    <first>-<after>-<archived>-<rows>-<seal>.parquet      positions first <= n < after, of which `archived` are let go

`seal` is a keyed hash over the file, its range, its counts and the id of its last event. A file that was damaged,
changed, renamed, or copied from a log that went another way is not used, and built again. It is a copy and never
evidence: what counts is the tree. A builder works in a folder of its own and renames the finished file, so that a
crash leaves no half segment; one builds at a time, by a lock, and nothing is removed while somebody reads.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from hashlib import file_digest
from hmac import compare_digest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from uuid import UUID

import msgspec
from sqlalchemy import literal_column, select

from privacy.database import Lane, Lookup, Row, Transaction
from privacy.errors import Unavailable
from privacy.steward import Steward
from privacy.tables import audit_archives, audit_events, audit_pending, audit_positions, uuid_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SPAN: Final = 100_000  # positions of one segment
FOLDER: Final = "audit-segments"
COLUMNS: Final[Mapping[str, str]] = {
    "position": "BIGINT",  # null: not sequenced yet
    "at": "BIGINT",  # microseconds since 1970, UTC
    "actor": "VARCHAR",
    "role": "VARCHAR",
    "key_id": "VARCHAR",
    "origin": "VARCHAR",
    "action": "VARCHAR",
    "outcome": "VARCHAR",
    "subject": "UUID",
    "record": "UUID",
    "purpose": "VARCHAR",
    "type": "VARCHAR",
    "recipient": "VARCHAR",
    "fields": "VARCHAR[]",
    "masked": "VARCHAR[]",  # of `fields`, those that left through a mask
}
_NAMES: Final = ", ".join(f'"{name}"' for name in COLUMNS)  # `at` is a word of DuckDB's
_FORM: Final = 1  # another form of the segments gets another number, and all are built again
_CHUNK: Final = 10_000  # rows in memory at once
_MEMORY: Final = "512MB"  # of DuckDB; beyond it, it spills into the folder of its caller
_SHORT: Final = 200
_FIRST: Final = UUID(int=0)

_EVENT: Final = (
    audit_events.c.event_id,
    audit_events.c.at,
    audit_events.c.actor,
    audit_events.c.role,
    audit_events.c.key_id,
    audit_events.c.origin,
    audit_events.c.action,
    audit_events.c.outcome,
    audit_events.c.subject_id,
    audit_events.c.record_id,
    audit_events.c.purpose,
    audit_events.c.fields,
    audit_events.c.detail,
)
_BETWEEN = Lookup(
    lambda first, after: (
        select(audit_positions.c.position, *_EVENT)
        .select_from(audit_positions.join(audit_events, audit_events.c.event_id == audit_positions.c.event_id))
        .where(audit_positions.c.position >= first, audit_positions.c.position < after)
        .order_by(audit_positions.c.position)
    ),
    "bigint",
    "bigint",
)
_PENDING = Lookup(
    lambda after: (
        select(literal_column("NULL"), *_EVENT)
        .select_from(audit_pending.join(audit_events, audit_events.c.event_id == audit_pending.c.event_id))
        .where(audit_pending.c.event_id > after)
        .order_by(audit_pending.c.event_id)
        .limit(literal_column(str(_CHUNK)))
        .offset(literal_column("0"))
    ),
    "uuid",
)
_AT = Lookup(
    lambda position: select(audit_positions.c.event_id).where(audit_positions.c.position == position), "bigint"
)

Range = tuple[int, int]  # first, after


@dataclass(frozen=True, slots=True)
class Copy:
    """The log in DuckDB: `events`, with `COLUMNS`, holds each event of it exactly once.

    `size` counts the positions given, `waiting` the committed events that have none yet, `archived` those that were
    let go. `missing` counts the events that the log should hold and does not.
    """

    connection: DuckDBPyConnection
    size: int
    waiting: int
    archived: int
    missing: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A file of the copy. `rows` events, at positions from `first` until before `after`."""

    file: Path
    first: int
    after: int
    archived: int
    rows: int


@contextmanager
def reading(service: Steward) -> Iterator[Copy]:
    """The whole log as it is now, for as long as the block runs. Holds no transaction meanwhile.

    Builds first what can be built. Raises `Unavailable`.
    """
    extend(service, wait=False)
    with ExitStack() as stack:
        with _translated(OSError):  # of ours: the block may write files too
            folder = _folder(service)
            stack.enter_context(_locked(folder / "read.lock", fcntl.LOCK_SH))
            own = stack.enter_context(_own(folder, "ask-"))
            rest = own / "rest.ndjson"
            with service.database.borrow() as lane:
                segments, size, archives = _gather(service, lane, folder, rest)
        with _translated():
            connection = stack.enter_context(closing(connect(folder, own)))
            waiting, placed = _combine(connection, rest, segments)
            archived = _covered(archives, (0, size))
            missing = size - archived - placed - sum(segment.rows for segment in segments)
            yield Copy(connection, size, waiting, archived, missing)


def _combine(connection: DuckDBPyConnection, rest: Path, segments: Sequence[Segment]) -> tuple[int, int]:
    """Make the view `events`; how many events of `rest` have no position yet, and how many have."""
    connection.execute(_rest_of(rest))
    rest.unlink()
    view = f"CREATE VIEW events AS SELECT {_NAMES} FROM rest"  # noqa: S608 - our own names
    if segments:
        files = ", ".join(_quoted(segment.file) for segment in segments)
        view += f" UNION ALL SELECT {_NAMES} FROM read_parquet([{files}])"  # noqa: S608 - our own names
    connection.execute(view)
    placed, rows = connection.execute("SELECT count(position), count(*) FROM rest").fetchall()[0]
    return rows - placed, placed


def extend(service: Steward, *, wait: bool = True) -> int:
    """Build every segment that is whole and not there, remove what an archive covers; how many were built.

    Idempotent; each segment is durable when it has its name. Reads the database on snapshots: never call it inside
    a transaction, which on SQLite would hold up every writer. `wait`: for another builder and for readers; without
    it, what would have to wait is left to the next call. Raises `Unavailable`.
    """
    waiting = 0 if wait else fcntl.LOCK_NB
    with (
        _translated(OSError),
        _locked((folder := _folder(service)) / "build.lock", fcntl.LOCK_EX | waiting) as is_mine,
    ):
        if not is_mine:
            return 0
        for left in folder.glob("build-*"):  # of a builder that was killed
            shutil.rmtree(left)
        with service.database.borrow() as lane:
            with lane.snapshot() as transaction:
                size, archives = _size(transaction), _archives(transaction)
                kept = {segment.first: segment for segment in _usable(service, transaction, folder, archives)}
            built = 0
            for first in range(0, size - size % SPAN, SPAN):
                if first not in kept and _covered(archives, (first, first + SPAN)) < SPAN:
                    kept[first] = _build(service, lane, folder, first, archives)
                    built += 1
        _clear(folder, {segment.file for segment in kept.values()}, waiting)
        return built


def connect(folder: Path, own: Path) -> DuckDBPyConnection:
    """A DuckDB in memory that reaches no file outside `folder`, no network and no extension; spills into `own`."""
    import duckdb  # costs a process that never asks nothing

    connection = duckdb.connect(":memory:")
    for setting, value in (
        ("memory_limit", f"'{_MEMORY}'"),
        ("threads", "2"),
        ("temp_directory", _quoted(own / "spill")),
        ("preserve_insertion_order", "false"),
        ("enable_progress_bar", "false"),  # it would be printed among our answers
        ("extension_directory", _quoted(own / "none")),
        ("custom_extension_repository", _quoted(own / "none")),
        ("autoinstall_known_extensions", "false"),
        ("autoload_known_extensions", "false"),
        ("allow_community_extensions", "false"),
        ("allowed_directories", f"[{_quoted(folder)}]"),
        ("enable_external_access", "false"),
        ("lock_configuration", "true"),
    ):
        connection.execute(f"SET {setting} = {value}")
    return connection


def write(
    service: Steward, connection: DuckDBPyConnection, query: str, *, first: int, archived: int, last: UUID
) -> Segment:
    """Make the segment from `first` on of what `query` gives, in `COLUMNS`; atomic, durable, in place of none.

    `last` is the id of the event at its last position. Raises `Unavailable` when the rows are not of that range.
    """
    folder, after = _folder(service), first + SPAN
    with _own(folder, "build-") as own:
        made = own / "segment.parquet"
        connection.execute(f"COPY ({query}) TO {_quoted(made)} (FORMAT parquet, COMPRESSION zstd)")
        rows, low, high = connection.execute(
            f"SELECT count(*), coalesce(min(position), {first}), coalesce(max(position), {first}) "  # noqa: S608
            f"FROM read_parquet({_quoted(made)})"
        ).fetchall()[0]
        if not (first <= low <= high < after and rows + archived <= SPAN):
            raise Unavailable("A segment of the audit copy did not become what it should", retry_after=60)
        made.chmod(0o600)
        _flush(made)
        segment = Segment(made, first, after, archived, rows)
        name = f"{first:015d}-{after:015d}-{archived}-{rows}-{_seal(service, segment, last)}.parquet"
        made.replace(folder / name)
        _flush(folder)
        return Segment(folder / name, first, after, archived, rows)


def _gather(service: Steward, lane: Lane, folder: Path, rest: Path) -> tuple[Sequence[Segment], int, Sequence[Range]]:
    """Which segments to read, and in `rest` what they do not hold.

    The order counts where each statement sees what is committed by then (PostgreSQL): 1. the segments, 2. what is
    pending, 3. the size, 4. what has a position and is in no segment. What is sequenced between 2 and 4 is then in
    `rest` twice, told apart by its id, and never missed. Begins again when something was archived meanwhile.
    """
    while True:
        with lane.snapshot() as transaction, rest.open("wb") as out:
            archives = _archives(transaction)
            segments = _usable(service, transaction, folder, archives)
            after = _FIRST
            while rows := transaction.lookup(_PENDING, [(after,)])[0]:
                out.write(_lines(rows))
                after = uuid_of(rows[-1][1])
            size = _size(transaction)
            for between in _without(size, [(segment.first, segment.after) for segment in segments]):
                _copy(transaction, between, archives, out)
            if _archives(transaction) == archives:
                return segments, size, archives


def _rest_of(file: Path) -> str:
    """The table of what no segment holds; an event that was pending when first seen counts once."""
    types = ", ".join(f"\"{name}\": '{kind}'" for name, kind in {"id": "UUID", **COLUMNS}.items())
    source = f"read_json({_quoted(file)}, format = 'newline_delimited', columns = {{{types}}})"
    return (
        f"CREATE TABLE rest AS WITH seen AS MATERIALIZED (SELECT * FROM {source}) "  # noqa: S608 - our own names
        "SELECT * FROM seen WHERE position IS NOT NULL "
        "OR id NOT IN (SELECT id FROM seen WHERE position IS NOT NULL)"
    )


def _build(service: Steward, lane: Lane, folder: Path, first: int, archives: Sequence[Range]) -> Segment:
    between = (first, first + SPAN)
    with _own(folder, "build-") as own, closing(connect(folder, own)) as connection:
        source = own / "rows.ndjson"
        with lane.snapshot() as transaction, source.open("wb") as out:
            _copy(transaction, between, archives, out)
            last = _last(transaction, between[1])
        columns = ", ".join(f"\"{name}\": '{kind}'" for name, kind in COLUMNS.items())
        query = (
            f"SELECT {_NAMES} FROM read_json({_quoted(source)}, "  # noqa: S608 - our own names
            f"format = 'newline_delimited', columns = {{{columns}}}) ORDER BY position"
        )
        return write(service, connection, query, first=first, archived=_covered(archives, between), last=last)


def _copy(transaction: Transaction, between: Range, archives: Sequence[Range], out: BinaryIO) -> None:
    """The events of the range that were not let go, as lines."""
    for first in range(*between, _CHUNK):
        rows = transaction.lookup(_BETWEEN, [(first, min(first + _CHUNK, between[1]))])[0]
        out.write(_lines(row for row in rows if not _covered(archives, (row[0], row[0] + 1))))


def _usable(service: Steward, transaction: Transaction, folder: Path, archives: Sequence[Range]) -> list[Segment]:
    """The segments that are whole, ours, of this log, and without what has been let go; in order."""
    found: dict[int, Segment] = {}
    for file in folder.glob("*.parquet"):
        try:
            *numbers, seal = file.stem.split("-")
            first, after, archived, rows = map(int, numbers)
        except ValueError:
            continue
        segment = Segment(file, first, after, archived, rows)
        is_aligned = first % SPAN == 0 and after == first + SPAN
        if is_aligned and archived == _covered(archives, (first, after)) < SPAN:
            expected = _seal(service, segment, _last(transaction, after))
            if compare_digest(seal.encode(), expected.encode()):
                found[first] = segment
    return [found[first] for first in sorted(found)]


def _seal(service: Steward, segment: Segment, last: UUID) -> str:
    status = segment.file.stat()
    digest = _digest(segment.file, status.st_ino, status.st_size, status.st_mtime_ns)
    numbers = (_FORM, segment.first, segment.after, segment.archived, segment.rows)
    said = " ".join(map(str, numbers)).encode() + last.bytes + digest
    return service.keyring.fingerprint("audit-segment", said)[:16].hex()


@lru_cache(maxsize=4096)
def _digest(file: Path, inode: int, size: int, changed_ns: int) -> bytes:
    """Of the file while it is the same: a question that comes again need not read all of it again."""
    with file.open("rb") as opened:
        return file_digest(opened, "sha256").digest()


def _size(transaction: Transaction) -> int:
    statement = select(audit_positions.c.position).order_by(audit_positions.c.position.desc()).limit(1)
    last = transaction.execute(statement).scalar()
    return 0 if last is None else int(last) + 1


def _last(transaction: Transaction, after: int) -> UUID:
    rows = transaction.lookup(_AT, [(after - 1,)])[0]
    return uuid_of(rows[0][0]) if rows else _FIRST


def _archives(transaction: Transaction) -> list[Range]:
    rows = transaction.execute(select(audit_archives.c.first, audit_archives.c.after).order_by(audit_archives.c.first))
    merged: list[Range] = []
    for row in rows:
        first, after = row.first, row.after
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(after, merged[-1][1]))
        else:
            merged.append((first, after))
    return merged


def _covered(ranges: Sequence[Range], between: Range) -> int:
    """How many positions of `between` are in one of the ranges, which do not overlap."""
    return sum(max(0, min(after, between[1]) - max(first, between[0])) for first, after in ranges)


def _without(size: int, taken: Sequence[Range]) -> Iterator[Range]:
    """What is left of 0 until `size`; `taken` is in order."""
    at = 0
    for first, after in (*taken, (size, size)):
        if at < first:
            yield at, first
        at = after


class _Line(msgspec.Struct, omit_defaults=True):
    """An event as the reader of NDJSON takes it."""

    id: str
    position: int | None
    at: int
    actor: str
    role: str
    key_id: str | None
    origin: str | None
    action: str
    outcome: str
    subject: str | None
    record: str | None
    purpose: str | None
    type: str | None
    recipient: str | None
    fields: msgspec.Raw
    masked: Sequence[str] | None


class _Detail(msgspec.Struct, frozen=True):
    """What of an event's detail is counted."""

    type: Any = None
    recipient: Any = None
    masked: Any = None


_encode: Final = msgspec.json.Encoder().encode_lines
_NULL: Final = msgspec.Raw(b"null")
_NOTHING: Final = _Detail()


def _lines(rows: Iterable[Row]) -> bytes:
    return _encode([_line(row) for row in rows])


def _line(row: Row) -> _Line:
    position, event_id, at, actor, role, key_id, origin, action, outcome, subject, record, purpose, fields, text = row
    detail = _NOTHING if text is None else _short(text) if len(text) <= _SHORT else _detail(text)
    return _Line(
        str(uuid_of(event_id)),
        position,
        at,
        actor,
        role,
        key_id,
        origin,
        action,
        outcome,
        None if subject is None else str(uuid_of(subject)),
        None if record is None else str(uuid_of(record)),
        purpose,
        detail.type if isinstance(detail.type, str) else None,
        detail.recipient if isinstance(detail.recipient, str) else None,
        _NULL if fields is None else msgspec.Raw(fields.encode()),
        detail.masked if isinstance(detail.masked, list) else None,
    )


_detail: Final = msgspec.json.Decoder(_Detail).decode
_short: Final = lru_cache(maxsize=4096)(_detail)  # few differ


def _folder(service: Steward) -> Path:
    folder = service.settings.home / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@contextmanager
def _own(folder: Path, prefix: str) -> Iterator[Path]:
    """A folder of one's own, mode 0700, gone afterwards."""
    with TemporaryDirectory(prefix=prefix, dir=folder) as name:
        yield Path(name)


@contextmanager
def _locked(file: Path, how: int) -> Iterator[bool]:
    """Holds the lock; False when it is another's and `how` does not wait."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, how)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


def _clear(folder: Path, kept: set[Path], waiting: int) -> None:
    """Remove what is no longer read, and what killed readers left; nobody reads meanwhile."""
    if left := [*(set(folder.glob("*.parquet")) - kept), *folder.glob("ask-*")]:
        with _locked(folder / "read.lock", fcntl.LOCK_EX | waiting) as is_mine:
            for path in left if is_mine else ():
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
            _flush(folder)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


@contextmanager
def _translated(*kinds: type[Exception]) -> Iterator[None]:
    """DuckDB's errors, and those of `kinds`, as ours, without their texts."""
    try:
        yield
    except Exception as error:
        if isinstance(error, kinds) or type(error).__module__.partition(".")[0] in ("duckdb", "_duckdb"):
            raise Unavailable(f"The audit copy cannot be used ({type(error).__name__})", retry_after=60) from None
        raise
