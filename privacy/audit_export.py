"""The log, or a selection of it, as one zip that `privacy.audit_verifier` checks without us. Memory stays flat.

    log          checkpoint, tile/..., tile/entries/..., archives.json, log.json, bundle.json; events.<form> if wanted
    selection    events.ndjson, proofs.ndjson, checkpoint, log.json, bundle.json; events.<form> in another form too

1. The event of the export is committed, and the tree catches up, so that the export's own event is in it.
2. The newest signed checkpoint is taken. All that follows is the log as of that size; it never changes.
3. Pages are read from snapshots and written into a zip that is never held as a whole.

An entry that is missing without an archive that lets it go stands in its bundle with no bytes: the verifier then names
its position. Parquet is the one form that cannot be written in a stream: it passes through a file of its own in
PRIVACY_HOME, readable by the service alone, which goes at once.
"""

from __future__ import annotations

import io
import json
import time
from array import array
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from operator import itemgetter
from struct import Struct
from tempfile import TemporaryFile
from typing import IO, Any, Final, Literal, TypeAlias, assert_never
from uuid import UUID
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import msgspec
from sqlalchemy import func, select

from privacy import audit, audit_forms, sequencer, tlog
from privacy.audit import EVERYTHING, RAW, Begin, Event, Filters, event_of, iso, reading
from privacy.database import Lookup, Row
from privacy.errors import Invalid, Unavailable
from privacy.leaves import leaf
from privacy.sequencer import Checkpointed, Sequencer
from privacy.steward import Steward
from privacy.tables import audit_archives, audit_checkpoints, audit_events, audit_positions, audit_tiles, moment

Kind: TypeAlias = Literal["log", "selection"]
Form: TypeAlias = Literal["ndjson", "csv", "parquet", "ocsf"]
Pieces: TypeAlias = Generator[bytes, None, None]

FORMAT: Final = "steward-audit-bundle/1"
_PAGE: Final = 1000  # events read at once
_CHUNK: Final = 65_536  # bytes, about, of the zip that are handed on at once
# While proofs are written, in the order of positions: what is left behind is not needed again.
_TILES_KEPT: Final = 32  # of 8 KiB
_ROOTS_KEPT: Final = 4096  # of some 300 bytes; two a proof, so the few of the upper tree are hashed anew now and then
_PATIENCE_SECONDS: Final = 10.0
_POSITION: Final = Struct(">Q")
_DAY: Final = timedelta(days=1)
_EPOCH: Final = moment(0)
_EVENT: Final = Lookup(lambda event_id: select(audit_events).where(audit_events.c.event_id == event_id), "uuid")
_TILE: Final = Lookup(
    lambda level, number: select(audit_tiles.c.hashes).where(
        audit_tiles.c.level == level, audit_tiles.c.number == number
    ),
    "bigint",
    "bigint",
)

Place: TypeAlias = tuple[int, Row | None]
"""A position and the row of its event as the database keeps it; None when it is not there any more."""


@dataclass(frozen=True, slots=True)
class _Export:
    """One export: what was asked for, and the log as of one signed checkpoint."""

    service: Steward
    filters: Filters
    kind: Kind
    form: Form | None
    at: datetime
    checkpoint: Checkpointed

    @property
    def size(self) -> int:
        return self.checkpoint.size


def export(
    begin: Begin, filters: Filters = EVERYTHING, *, kind: Kind = "selection", form: Form | None = None
) -> Pieces:
    """The zip, piece by piece. When this returns, the event of the export is committed and nothing has left yet.

    A selection is in `form`, NDJSON unless another is named; a log has its entries anyway, and events in `form` only
    when one is named. Raises `Forbidden` unless an auditor or an administrator asks; `Invalid`; `Unavailable` when no
    checkpoint has been signed.
    """
    form = form or ("ndjson" if kind == "selection" else None)
    with begin() as work:
        audit.checked(work, "audit.exported", filters)
        if kind == "log" and filters.given:
            raise Invalid("A log is exported whole; a selection takes filters")
        detail = {"filters": sorted(filters.given), "form": form, "kind": kind}
        work.audit("audit.exported", subject=filters.subject, detail=detail)
        own: UUID = work.events[-1][0]
        now = work.now
    checkpoint = _covering(work.service, own, begin)
    return _zipped(_Export(work.service, filters, kind, form, now, checkpoint))


def _covering(service: Steward, event_id: UUID, begin: Begin) -> Checkpointed:
    """The newest checkpoint, which covers the event unless the log is distrusted or the sequencer is behind."""
    until = time.monotonic() + _PATIENCE_SECONDS
    keeper = Sequencer(service)
    placed = select(audit_positions.c.position).where(audit_positions.c.event_id == event_id)
    while True:
        keeper.catch_up()
        with reading(service) as transaction:
            done = transaction.execute(placed).first() is not None
        if done or service.distrust is not None or time.monotonic() > until:
            break
        time.sleep(0.05)  # another replica is at it
    is_cosigned = keeper.cosign()
    with begin() as work:
        found = sequencer.newest(work, cosigned=is_cosigned)
    if found is None:
        raise Unavailable("No checkpoint of the audit log has been signed yet", retry_after=1)
    return found


# --- what is in it ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _File:
    """One member of the zip. Hashes do not compress: they are stored as they are."""

    name: str
    pieces: Iterable[bytes]
    compression: int = ZIP_DEFLATED


def _files(export: _Export) -> Iterator[_File]:
    count = _Counter()
    if export.kind == "log":
        yield from _tiles(export)
        yield from _bundles(export, count)
        archives = _archives(export.service, export.size)
        yield _json_file("archives.json", [_archive(row) for row in archives])
    else:
        with TemporaryFile(dir=export.service.settings.home) as positions:  # without a name, and gone with us
            yield _File("events.ndjson", count.through(_entries(export, positions)))
            yield _File("proofs.ndjson", _proofs(export, positions))
    if export.form is not None and (export.kind, export.form) != ("selection", "ndjson"):
        yield _File(f"events.{export.form}", _formed(export, export.form))
    signer = export.service.keyring.signer
    log = {"origin": signer.name, "vkey": signer.vkey, "size": export.size, "exported_at": iso(export.at)}
    yield _File("checkpoint", (export.checkpoint.note.encode(),))
    yield _json_file("log.json", log)
    yield _json_file("bundle.json", _bundle(export, count.total))


def _bundle(export: _Export, total: int) -> dict[str, object]:
    filters = export.filters
    return {
        "format": FORMAT,
        "kind": export.kind,
        "from": None if filters.since is None else iso(filters.since),
        "to": None if filters.until is None else iso(filters.until),
        "filters": {name: str(value) for name, value in filters.given.items() if name not in ("since", "until")},
        "events": total,
        "form": export.form,
    }


def _formed(export: _Export, form: Form) -> Iterator[bytes]:
    if form == "ndjson":
        return _entries(export)
    pages = map(_events_of, _event_pages(export))
    match form:
        case "csv":
            return audit_forms.as_csv(pages)
        case "ocsf":
            return audit_forms.as_ocsf(pages, export.service.declared)
        case "parquet":
            return audit_forms.as_parquet(pages, export.service.settings.home)
        case _:
            assert_never(form)


def _events_of(rows: Sequence[Row]) -> list[Event]:
    return [event_of(row) for row in rows]


class _Counter:
    """How many lines or entries went through."""

    total = 0

    def through(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        for line in lines:
            self.total += 1
            yield line


def _json_file(name: str, value: object) -> _File:
    return _File(name, (json.dumps(value, ensure_ascii=False, indent=1).encode() + b"\n",))


def _tiles(export: _Export) -> Iterator[_File]:
    """The hash tiles of the tree of this size: what a stored tile has beyond it is left out."""
    level = 0
    while width := export.size >> 8 * level:
        for start in range(0, width, 64 * tlog.WIDTH):
            numbers = range(start // tlog.WIDTH, -(-min(width, start + 64 * tlog.WIDTH) // tlog.WIDTH))
            with reading(export.service) as transaction:
                found = transaction.lookup(_TILE, [(level, number) for number in numbers])
            for number, rows in zip(numbers, found, strict=True):
                wide = min(width - number * tlog.WIDTH, tlog.WIDTH)
                hashes = bytes(rows[0][0])[: 32 * wide] if rows else b""
                yield _File(tlog.tile_path(level, number, wide), (hashes,), ZIP_STORED)
        level += 1


def _bundles(export: _Export, count: _Counter) -> Iterator[_File]:
    """The entry bundles; one of which an archive has let every entry go is not there."""
    archives = _archives(export.service, export.size)
    for page in _log_pages(export):
        for start in range(0, len(page), tlog.WIDTH):
            places = page[start : start + tlog.WIDTH]
            first, last = places[0][0], places[-1][0]
            entries = [b"" if row is None else _leaf(row) for _, row in places]
            count.total += sum(map(bool, entries))
            if not any(entries) and _is_archived(archives, first, last + 1):
                continue
            yield _File(tlog.tile_path(None, first // tlog.WIDTH, len(places)), (tlog.bundle(entries),))


def _archives(service: Steward, size: int) -> Sequence[Row]:
    table = audit_archives.c
    statement = select(table.first, table.after, table.archived_at).where(table.first < size).order_by(table.first)
    with reading(service) as transaction:
        return [tuple(row) for row in transaction.execute(statement)]


def _archive(row: Row) -> dict[str, object]:
    return {"first": row[0], "after": row[1], "archived_at": iso(row[2])}


def _is_archived(archives: Sequence[Row], first: int, after: int) -> bool:
    """Whether the archives, in order, cover the whole range."""
    for start, end, _ in archives:
        if start <= first < end:
            first = end
    return first >= after


def _log_pages(export: _Export) -> Iterator[list[Place]]:
    """Every position in order, a whole number of bundles at a time."""
    table = audit_positions.c
    step = 4 * tlog.WIDTH
    for first in range(0, export.size, step):
        after = min(first + step, export.size)
        statement = select(table.position, table.event_id).where(table.position >= first, table.position < after)
        with reading(export.service) as transaction:
            ids: dict[int, UUID] = {row.position: row.event_id for row in transaction.execute(statement)}
            rows = transaction.lookup(_EVENT, [(event_id,) for event_id in ids.values()])
        events = {position: found[0] for position, found in zip(ids, rows, strict=True) if found}
        yield [(position, events.get(position)) for position in range(first, after)]


def _event_pages(export: _Export) -> Iterator[list[Row]]:
    """The events asked for, by position, as rows of `audit.RAW`; what has no position yet is not in the tree."""
    if export.kind == "log":
        for page in _log_pages(export):
            yield [(position, *row) for position, row in page if row is not None]
        return
    wanted = select(*RAW).where(*audit.conditions(export.service, export.filters))
    for chunk in _positions(export) if export.filters.subject is None else _positions_of_subject(export):
        statement = select(audit_positions.c.event_id).where(audit_positions.c.position.in_(chunk))
        with reading(export.service) as transaction:
            ids = [row.event_id for row in transaction.execute(statement)]
            rows = transaction.execute(wanted.where(audit_events.c.event_id.in_(ids))).all()
        yield sorted((tuple(row) for row in rows), key=itemgetter(0))


def _positions(export: _Export) -> Iterator[Sequence[int]]:
    """Pages of positions among which all of the selection are.

    What happened since an instant is not in a checkpoint that was signed before it; a day is for clocks that differ.
    """
    first = 0
    if (since := export.filters.since) is not None:
        earlier = audit_checkpoints.c.at < max(since, _EPOCH + _DAY) - _DAY
        with reading(export.service) as transaction:
            first = transaction.execute(select(func.max(audit_checkpoints.c.size)).where(earlier)).scalar() or 0
    for start in range(first, export.size, _PAGE):
        yield range(start, min(start + _PAGE, export.size))


def _positions_of_subject(export: _Export) -> Iterator[Sequence[int]]:
    """The positions of one subject's events: by its index, and few enough to be sorted here."""
    chosen = select(RAW[0]).where(*audit.conditions(export.service, export.filters))
    with reading(export.service) as transaction:
        found = array("q", (row[0] for row in transaction.execute(chosen) if row[0] is not None))
    ordered = sorted(position for position in found if position < export.size)
    for start in range(0, len(ordered), _PAGE):
        yield ordered[start : start + _PAGE]


def _entries(export: _Export, positions: IO[bytes] | None = None) -> Iterator[bytes]:
    """Position and leaf, byte for byte as it was hashed. The positions are noted in the file, if there is one."""
    for page in _event_pages(export):
        for row in page:
            if positions is not None:
                positions.write(_POSITION.pack(row[0]))
            yield b'{"position":%d,"event":%b}\n' % (row[0], _leaf(row[1:]) or b"{}")


def _leaf(row: Row) -> bytes:
    """The leaf; empty for an event that somebody changed into what has none. Its place is then found by its hash."""
    try:
        return leaf(row)
    except msgspec.MsgspecError:
        return b""


def _proofs(export: _Export, positions: IO[bytes]) -> Iterator[bytes]:
    """The inclusion of each event in the checkpoint's tree. Where the stored tree has a hole there is no proof."""
    known = lru_cache(_TILES_KEPT)(lambda level, number: _tile(export.service, level, number))
    roots: dict[tuple[int, int], bytes] = {}
    positions.seek(0)
    while eight := positions.read(_POSITION.size):
        (position,) = _POSITION.unpack(eight)
        try:
            hashes = tlog.inclusion(position, export.size, known, roots)
        except tlog.Malformed:
            hashes = []
        yield msgspec.json.encode({"position": position, "proof": hashes}) + b"\n"
        if len(roots) > _ROOTS_KEPT:
            roots.clear()


def _tile(service: Steward, level: int, number: int) -> bytes:
    with reading(service) as transaction:
        rows = transaction.lookup(_TILE, [(level, number)])[0]
    return bytes(rows[0][0]) if rows else b""


# --- the zip ------------------------------------------------------------------------------------------------------


class _Outgoing(io.RawIOBase):
    """What the zip has written and nobody has taken yet. It cannot be read, nor gone back in."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []
        self.waiting = 0

    def writable(self) -> bool:
        return True

    def write(self, piece: Any, /) -> int:
        self._pieces.append(bytes(piece))
        self.waiting += len(self._pieces[-1])
        return len(self._pieces[-1])

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        self.waiting = 0
        return taken


def _zipped(export: _Export) -> Pieces:
    out = _Outgoing()
    with ZipFile(out, "w") as archive:
        for file in _files(export):
            info = ZipInfo(file.name, export.at.timetuple()[:6])
            info.compress_type = file.compression
            info.external_attr = 0o600 << 16
            with archive.open(info, "w", force_zip64=not isinstance(file.pieces, tuple)) as member:
                for piece in file.pieces:
                    member.write(piece)
                    if out.waiting >= _CHUNK:
                        yield out.take()
            if out.waiting >= _CHUNK:
                yield out.take()
    yield out.take()
