"""The sequencer: gives committed events their positions, grows the tree over them, signs checkpoints.

One at a time over all replicas, elected by a row lock; one transaction a round, so that a crash at any point loses
and doubles nothing:

1. take the lock, or leave: another replica is at it
2. compare the tree with the last signed size and root, which are kept outside the database too (the anchor)
3. take pending events, oldest first; hash their leaves (`privacy.leaves`); extend the tiles
4. write positions, tiles, writers, the signed checkpoint; remove what was pending; commit
5. move the anchor: fsync, rename

A tree that does not extend the anchor is never signed. From then on this process discloses nothing and says why
(`Steward.distrust`): whoever rewrote the database could otherwise have every new disclosure forgotten as well.
Between a commit and its anchor only a crash can come, which leaves an anchor that the tree still extends.
"""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final
from uuid import UUID

from sqlalchemy import delete, insert, literal_column, select, update

from privacy import cosignatures, tlog
from privacy.database import Insertion, Lookup, Row, Transaction
from privacy.errors import AuditUnavailable
from privacy.leaves import leaf
from privacy.steward import Steward
from privacy.tables import (
    audit_checkpoints,
    audit_events,
    audit_pending,
    audit_positions,
    audit_tiles,
    audit_writers,
    moment,
    revisions,
    uuid_of,
)
from privacy.work import Actor, Role, Work

log = logging.getLogger(__name__)

ROUND: Final = 5000  # events in one transaction
ANCHOR: Final = "audit.anchor"
HEARTBEAT: Final = "audit.heartbeat"
KEEPER: Final = Actor("steward", Role.ADMIN)  # the service itself
_MINUTE: Final = 60_000_000
_FIRST: Final = UUID(int=0)

_POSITIONS = Insertion(audit_positions)
_TAKEN = Lookup(
    lambda after: (
        select(audit_pending.c.event_id.label("pending"), *audit_events.columns)
        .select_from(audit_pending.outerjoin(audit_events, audit_events.c.event_id == audit_pending.c.event_id))
        .where(audit_pending.c.event_id > after)
        .order_by(audit_pending.c.event_id)
        .limit(literal_column(str(ROUND)))
        .offset(literal_column("0"))
    ),
    "uuid",
)
_TILE = Lookup(
    lambda level, number: select(audit_tiles.c.hashes).where(
        audit_tiles.c.level == level, audit_tiles.c.number == number
    ),
    "bigint",
    "bigint",
)


@dataclass(frozen=True, slots=True)
class Checkpointed:
    """The newest signed checkpoint. `note` is a C2SP signed note."""

    size: int
    root: bytes
    note: str
    at: datetime


class Sequencer:
    """One process's share in the sequencing. Used by one thread at a time."""

    def __init__(self, service: Steward) -> None:
        self._service = service
        self._anchor = _Anchor(service.settings.home / ANCHOR)
        self._witnessed = 0  # the size at which the witness stood last
        self._refused: str | None = None  # what the witness said no to

    def catch_up(self) -> int:
        """Sequence all that is pending; how many events that were."""
        total = 0
        while done := self.run():
            total += done
        return total

    def run(self) -> int:
        """One round; how many events got their positions. 0 as well while another replica is at it, or in distrust."""
        service = self._service
        with service.database.borrow() as lane, lane.transaction() as transaction:
            if not _locked(transaction, service.database.kind):
                return 0
            read = tile_reader(transaction)
            size = _size(transaction)
            if not self._extends_anchor(size, read):
                return 0
            rows = transaction.lookup(_TAKEN, [(_FIRST,)])[0]
            if not rows:
                return 0
            if len(rows) == ROUND:  # a round that was cut may hold an event whose predecessor comes in the next
                rows = _contiguous(transaction, rows) or rows
            events = [row[1:] for row in rows if row[1] is not None]
            grown = tlog.grow(size, [tlog.leaf_hash(leaf(event)) for event in events], read)
            _write(transaction, rows, events, size, grown)
            signed = self._signed(transaction, grown)
        self._anchor.move(signed)
        if len(events) < len(rows):
            log.error("audit.events-missing", extra={"count": len(rows) - len(events)})
        return len(rows)

    def check(self) -> None:
        """Compare the tree with the anchor; distrust is set, or lifted when the right tree is back."""
        with self._service.database.borrow() as lane, lane.transaction() as transaction:
            self._extends_anchor(_size(transaction), tile_reader(transaction))

    def cosign(self) -> bool:
        """Have the newest checkpoint cosigned by the witness that the settings name; whether it is now.

        A witness that has seen another tree puts the log in distrust: somebody rewrote it, and signed. One that is
        away is asked again later.
        """
        settings = self._service.settings
        if not settings.witness_url or not settings.witness_key:
            return False
        witness = cosignatures.verifier(settings.witness_key)
        with self._service.begin(KEEPER) as work:
            found = newest(work)
        if found is None:
            return False
        if any(signature.name == witness.name for signature in tlog.parse_note(found.note).signatures):
            return True
        # From nothing if the log was cut short meanwhile, and the witness will say where it stands.
        old = self._witnessed if self._witnessed <= found.size else 0
        try:
            note = cosignatures.obtain(settings.witness_url, found.note, old, partial(self._prove, found.size), witness)
        except cosignatures.WitnessRefused as refusal:
            self._refused = f"The witness {witness.name} has seen another log: {refusal}"
            self.check()
            return False
        except cosignatures.WitnessUnavailable as error:
            log.warning("audit.witness-away", extra={"reason": str(error)})
            return False
        self._witnessed, self._refused = found.size, None
        with self._service.database.borrow() as lane, lane.transaction() as transaction:
            # put back if a later one of the same minute has taken its place
            transaction.execute(delete(audit_checkpoints).where(audit_checkpoints.c.size == found.size))
            transaction.execute(
                insert(audit_checkpoints).values(
                    size=found.size, root=found.root, note=note, at=found.at, cosigned=True
                )
            )
        return True

    def _prove(self, size: int, old: int) -> Sequence[bytes]:
        with self._service.database.borrow() as lane, lane.transaction() as transaction:
            return tlog.consistency(old, size, tile_reader(transaction))

    def beat(self) -> None:
        """A heartbeat: how far each writer of this process has come. Whoever removes an event before it is sequenced
        must remove this too, and the next, and the next.
        """
        writers = {str(writer.writer): writer.sequence for writer in self._service.database.writers if writer.sequence}
        with self._service.begin(KEEPER) as work:
            work.audit(HEARTBEAT, detail={"writers": writers})

    def _extends_anchor(self, size: int, read: tlog.Hashes) -> bool:
        reason = self._doubt(size, read)
        if reason is not None and self._service.distrust != reason:
            log.critical("audit.distrust", extra={"reason": reason})
        self._service.distrust = reason
        return reason is None

    def _doubt(self, size: int, read: tlog.Hashes) -> str | None:
        if self._refused is not None:
            return self._refused
        try:
            known = self._anchor.read()
        except ValueError:
            return f"The last signed checkpoint cannot be read from {ANCHOR}"
        if size and _root_at(size, read) is None:
            return f"The audit log has {size} positions, and its tree has fewer hashes"
        if known is not None and size < known.size:
            return f"The audit log has {size} events where {known.size} were signed"
        if known is not None and _root_at(known.size, read) != known.root:
            return f"The audit log does not extend the checkpoint that was signed at size {known.size}"
        return None

    def _signed(self, transaction: Transaction, grown: tlog.Grown) -> Checkpointed:
        """Sign, with a key that is being replaced as well, and keep the newest checkpoint of each minute."""
        signers, instant = self._service.keyring.signers, self._service.instant()
        text = tlog.Checkpoint(signers[0].name, grown.size, grown.root).text()
        signed = [tlog.Signature(one.name, one.key_id, one.sign(text.encode())) for one in signers]
        if self._service.lattice is not None:
            signed.append(self._service.lattice.cosign(text))
        note = str(tlog.Note(text, ()).signed(*signed))
        this_minute = audit_checkpoints.c.at >= instant - instant % _MINUTE
        transaction.execute(delete(audit_checkpoints).where(this_minute, audit_checkpoints.c.cosigned.is_(False)))
        transaction.execute(
            insert(audit_checkpoints).values(size=grown.size, root=grown.root, note=note, at=instant, cosigned=False)
        )
        return Checkpointed(grown.size, grown.root, note, moment(instant))


def newest(work: Work, *, cosigned: bool = False) -> Checkpointed | None:
    """The newest signed checkpoint, or the newest that a witness has cosigned; None before the first."""
    statement = select(audit_checkpoints).order_by(audit_checkpoints.c.size.desc()).limit(1)
    if cosigned:
        statement = statement.where(audit_checkpoints.c.cosigned.is_(True))
    row = work.execute(statement).first()
    return None if row is None else Checkpointed(row.size, bytes(row.root), row.note, row.at)


def anchored(service: Steward) -> tuple[int, bytes] | None:
    """Size and root of the last signed checkpoint, as kept outside the database; None before the first.

    Raises `AuditUnavailable` when that cannot be read.
    """
    try:
        known = _Anchor(service.settings.home / ANCHOR).read()
    except ValueError:
        raise AuditUnavailable(f"The last signed checkpoint cannot be read from {ANCHOR}") from None
    return None if known is None else (known.size, known.root)


def tile_reader(transaction: Transaction) -> tlog.Hashes:
    """Reads the tiles of the tree, each once."""
    known: dict[tuple[int, int], bytes] = {}

    def read(level: int, number: int) -> bytes:
        if (level, number) not in known:
            rows = transaction.lookup(_TILE, [(level, number)])[0]
            known[level, number] = bytes(rows[0][0]) if rows else b""
        return known[level, number]

    return read


def _root_at(size: int, read: tlog.Hashes) -> bytes | None:
    try:
        return tlog.root_at(size, read)
    except tlog.Malformed:  # a tile is missing or too short
        return None


def _locked(transaction: Transaction, kind: str) -> bool:
    """Whether this is the one sequencer now. SQLite has one writer anyway."""
    row = revisions.c.name == "sequencer"
    if kind == "postgresql":
        found = transaction.execute(select(revisions.c.number).where(row).with_for_update(skip_locked=True)).first()
        return found is not None
    return True


def _contiguous(transaction: Transaction, rows: Sequence[Row]) -> list[Row]:
    """The rows without those whose writer's earlier numbers are neither in the tree nor among them.

    Else a checkpoint could be signed over a gap that the next round fills.
    """
    reached: dict[UUID, int] = {}
    kept = []
    for row in sorted(rows, key=lambda row: row[4] or 0):  # a lost event has no number, and goes
        if row[1] is not None:
            writer = uuid_of(row[3])
            if writer not in reached:
                known = select(audit_writers.c.highest).where(audit_writers.c.writer == writer)
                reached[writer] = transaction.execute(known).scalar() or 0
            if row[4] != reached[writer] + 1:
                continue
            reached[writer] = row[4]
        kept.append(row)
    taken = {row[0] for row in kept}
    return [row for row in rows if row[0] in taken]


def _size(transaction: Transaction) -> int:
    last = transaction.execute(
        select(audit_positions.c.position).order_by(audit_positions.c.position.desc()).limit(1)
    ).scalar()
    return 0 if last is None else int(last) + 1


def _write(transaction: Transaction, rows: Sequence[Row], events: Sequence[Row], size: int, grown: tlog.Grown) -> None:
    transaction.insert(_POSITIONS, [(size + n, event[0]) for n, event in enumerate(events)])
    for (level, number), hashes in grown.tiles.items():
        this = (audit_tiles.c.level == level, audit_tiles.c.number == number)
        if not transaction.execute(update(audit_tiles).where(*this).values(hashes=hashes)).rowcount:
            transaction.execute(insert(audit_tiles).values(level=level, number=number, hashes=hashes))
    _count(transaction, events)
    # by their ids: on PostgreSQL one with a smaller id may have been committed meanwhile
    for start in range(0, len(rows), 500):
        taken = [uuid_of(row[0]) for row in rows[start : start + 500]]
        transaction.execute(delete(audit_pending).where(audit_pending.c.event_id.in_(taken)))


def _count(transaction: Transaction, events: Sequence[Row]) -> None:
    """How many events of each writer there are, and the highest number: equal, or some are missing."""
    counts = Counter(uuid_of(event[2]) for event in events)
    highest: dict[UUID, int] = {}
    changed: dict[UUID, int] = {}
    for event in events:
        writer = uuid_of(event[2])
        highest[writer] = max(highest.get(writer, 0), event[3])
        changed[writer] = max(changed.get(writer, 0), event[1])
    for writer, count in counts.items():
        this = audit_writers.c.writer == writer
        known = select(audit_writers.c.count.label("total"), audit_writers.c.highest).where(this)
        row = transaction.execute(known).first()
        if row is None:
            transaction.execute(
                insert(audit_writers).values(
                    writer=writer, count=count, highest=highest[writer], changed_at=changed[writer]
                )
            )
        else:
            transaction.execute(
                update(audit_writers)
                .where(this)
                .values(
                    count=row.total + count,
                    highest=max(row.highest, highest[writer]),
                    changed_at=changed[writer],
                )
            )


@dataclass(frozen=True, slots=True)
class _Known:
    size: int
    root: bytes


class _Anchor:
    """The last signed size and root, in a file outside the database; other processes of this home move it too."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self) -> _Known | None:
        """None before the first. Raises ValueError when the file is not what `move` wrote."""
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
            return _Known(int(kept["size"]), bytes.fromhex(kept["root"]))
        except FileNotFoundError:
            return None
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(self._file.name) from error

    def move(self, signed: Checkpointed) -> None:
        kept = {"size": signed.size, "root": signed.root.hex(), "note": signed.note}
        beside = self._file.with_suffix(f".{os.getpid()}")
        with beside.open("w", encoding="utf-8") as out:
            json.dump(kept, out)
            out.flush()
            os.fsync(out.fileno())
        beside.replace(self._file)
        folder = os.open(self._file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
