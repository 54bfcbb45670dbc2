"""Proofs that the log is what was signed: inclusion, consistency, tiles, and the C2SP files of them.

RFC 6962 and 9162; c2sp.org/tlog-tiles, tlog-proof. A proof is always to the newest signed checkpoint, or between two
sizes up to it. Hashes and checkpoints say nothing of anybody; entries are for auditors, and reading them is on record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import select

from privacy import sequencer, tlog
from privacy.database import Lookup
from privacy.errors import Conflict, Invalid, NotFound
from privacy.leaves import leaf
from privacy.sequencer import Checkpointed
from privacy.tables import audit_archives, audit_events, audit_positions
from privacy.work import Role, Work

_ENTRIES = Lookup(
    lambda first, after: (
        select(*audit_events.columns)
        .select_from(audit_positions.outerjoin(audit_events, audit_events.c.event_id == audit_positions.c.event_id))
        .where(audit_positions.c.position >= first, audit_positions.c.position < after)
        .order_by(audit_positions.c.position)
    ),
    "bigint",
    "bigint",
)
CHECKERS: Final = (Role.AUDITOR, Role.ADMIN)


@dataclass(frozen=True, slots=True)
class Inclusion:
    """That an entry stands at `position` of the tree that `note` signs. Hashes of 32 bytes."""

    position: int
    size: int
    leaf_hash: bytes
    proof: Sequence[bytes]
    note: str

    def file(self) -> str:
        """As `c2sp.org/tlog-proof@v1`."""
        return tlog.proof_file(self.position, self.proof, self.note)


def checkpoint(work: Work) -> Checkpointed:
    """The newest signed checkpoint. Raises `NotFound` before the first."""
    found = sequencer.newest(work)
    if found is None:
        raise NotFound("No checkpoint is signed yet", zh="尚未签署任何检查点")
    return found


def inclusion(work: Work, *, event: UUID | None = None, position: int | None = None) -> Inclusion:
    """The proof for an event, by its id or its position. Raises `NotFound`, `Invalid`; `Conflict` when it is not
    under a checkpoint yet: ask again in a second.
    """
    work.concerns("audit.proved")
    work.require(*CHECKERS)
    if event is not None and position is None:
        place = _position(work, event)
    elif position is not None and event is None:
        place = position
    else:
        raise Invalid("Name either an event or a position")
    signed = checkpoint(work)
    if place >= signed.size:
        raise NotFound("The log has no such position yet", zh="日志中尚无此位置")
    read = sequencer.tile_reader(work.transaction)
    leaves = read(0, place // tlog.WIDTH)
    offset = place % tlog.WIDTH * 32
    proof = tlog.inclusion(place, signed.size, read)
    work.audit("audit.proved", detail={"position": place, "size": signed.size})
    return Inclusion(place, signed.size, leaves[offset : offset + 32], proof, signed.note)


def consistency(work: Work, old: int, new: int | None = None) -> tuple[int, list[bytes]]:
    """That the tree of size `new` (the newest signed one) extends that of size `old`. Raises `Invalid`."""
    work.concerns("audit.proved")
    work.require(*CHECKERS)
    signed = checkpoint(work)
    size = signed.size if new is None else new
    if not 0 < old <= size <= signed.size:
        raise Invalid(f"Sizes must be 0 < old <= new <= {signed.size}")
    proof = tlog.consistency(old, size, sequencer.tile_reader(work.transaction))
    work.audit("audit.proved", detail={"old": old, "new": size})
    return size, proof


def tile(work: Work, path: str) -> bytes:
    """A hash tile by its C2SP path. Raises `NotFound` for what the signed tree does not have."""
    level, number, width = _parsed(path)
    if level is None:
        raise NotFound("There is no such tile")
    found = sequencer.tile_reader(work.transaction)(level, number)
    if len(found) < width * 32:  # tiles and the checkpoint over them are written in one transaction
        raise NotFound("There is no such tile")
    return found[: width * 32]


def entries(work: Work, path: str) -> bytes:
    """An entry bundle by its C2SP path; for auditors, on record. What is archived stands there with no bytes.

    Raises `NotFound` for what the signed tree does not have.
    """
    work.concerns("audit.viewed")
    work.require(*CHECKERS)
    level, number, width = _parsed(path)
    first = number * tlog.WIDTH
    if level is not None or first + width > checkpoint(work).size:
        raise NotFound("There is no such bundle")
    rows = work.transaction.lookup(_ENTRIES, [(first, first + width)])[0]
    work.audit("audit.viewed", detail={"first": first, "count": width})
    return tlog.bundle(b"" if row[0] is None else leaf(row) for row in rows)


def archives(work: Work) -> list[dict[str, object]]:
    """The ranges of positions whose entries were let go."""
    rows = work.execute(select(audit_archives).order_by(audit_archives.c.first))
    return [{"first": row.first, "after": row.after, "archived_at": row.archived_at} for row in rows]


def _position(work: Work, event: UUID) -> int:
    found = work.execute(select(audit_positions.c.position).where(audit_positions.c.event_id == event)).scalar()
    if found is not None:
        return int(found)
    if work.execute(select(audit_events.c.event_id).where(audit_events.c.event_id == event)).first() is None:
        raise NotFound("There is no such event")
    raise Conflict("The event has no position yet: ask again in a second", zh="该事件尚未排定位置，请稍后再试")


def _parsed(path: str) -> tuple[int | None, int, int]:
    try:
        return tlog.parse_tile_path(path)
    except tlog.Malformed:
        raise NotFound("There is no such tile") from None
