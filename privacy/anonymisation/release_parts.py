"""What a release keeps, in sealed pieces, and how what leads back to people is destroyed.

Under the key of the house, for as long as the release stands: what was asked, the files, the outline of its classes,
its risk report. Under a key that the release has for itself, in the key store: an uploaded file, and the list of
subjects whose data the candidate is made of. That key is destroyed before anybody may call the release anonymised, with
its mark in the erasure ledger, so that no backup of either store brings it back; the rows go with it. PIPL 73: what can
be restored is not anonymised.

A rotation of data keys replaces that key too, and what it sealed cannot be opened then: the release is asked for again.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import delete, func, insert, select

from privacy import erasure_ledger, house, ids, vault
from privacy.errors import Corrupt, PrivacyError
from privacy.tables_releases import release_parts
from privacy.vault import At, Decision, Opening
from privacy.work import Work

TYPE: Final = "release-part"  # the type of the containers
SCOPE: Final = "release"
_PIECE: Final = 256 * 1024  # bytes
_BOX: Final = 1
_BASIS: Final = "legal-obligation"
_P: Final = release_parts.c


class Part(StrEnum):
    REQUEST = "request"
    UPLOAD = "upload"
    SUBJECTS = "subjects"
    CSV = "csv"
    PARQUET = "parquet"
    CLASSES = "classes"
    REPORT = "report"
    SHEET = "sheet"


LEADS_BACK: Final = frozenset({Part.UPLOAD, Part.SUBJECTS})


@dataclass(frozen=True, slots=True)
class Destroyed:
    """The proof: which keys (by their ids) are gone from the key store and marked in the ledger, how many rows went,
    and that nothing is left of either."""

    keys: tuple[str, ...]
    rows: int
    keys_left: int
    rows_left: int

    @property
    def holds(self) -> bool:
        return self.keys_left == 0 and self.rows_left == 0


def keep(work: Work, release_id: UUID, part: Part, content: bytes) -> None:
    """Seal the content in pieces. The caller's event names it."""
    packed = zlib.compress(content)
    pieces = [packed[start : start + _PIECE] for start in range(0, len(packed), _PIECE)]
    key = vault.key_for(work, release_id, SCOPE) if part in LEADS_BACK else None
    for number, piece in enumerate(pieces):
        part_id = ids.new()
        box = {_BOX: base64.b64encode(piece).decode()}
        sealed = (
            house.seal(work, TYPE, part_id, box)
            if key is None
            else vault.seal(work, key, At(release_id, SCOPE, TYPE, part_id), box)
        )
        values = {"part_id": part_id, "release_id": release_id, "part": part.value, "number": number, "sealed": sealed}
        work.execute(insert(release_parts).values(values))


def read(work: Work, release_id: UUID, part: Part) -> bytes | None:
    """The content; None where there is none, or its key is destroyed.

    The work owes an event with `record=release_id`. Raises `Corrupt` also when a piece is missing.
    """
    rows = work.execute(
        select(_P.part_id, _P.number, _P.sealed)
        .where(_P.release_id == release_id, _P.part == part.value)
        .order_by(_P.number)
    ).all()
    if [row.number for row in rows] != list(range(len(rows))):
        raise Corrupt
    decision = Decision(f"[{TYPE}]", _BASIS, frozenset({_BOX}))
    openings = [
        Opening(
            decision,
            At(release_id, SCOPE, TYPE, row.part_id) if part in LEADS_BACK else house.at(TYPE, row.part_id),
            bytes(row.sealed),
            release_id,
        )
        for row in rows
    ]
    pieces: list[bytes] = []
    for found in vault.unseal_many(work, openings):
        if isinstance(found, Corrupt):
            raise found
        if isinstance(found, PrivacyError):
            return None
        pieces.append(base64.b64decode(found[_BOX]))
    return _unpacked(b"".join(pieces)) if pieces else None


def forget(work: Work, release_id: UUID, *parts: Part) -> int:
    """Remove parts; how many pieces. The caller's event names it."""
    wanted = [part.value for part in parts]
    return work.execute(delete(release_parts).where(_P.release_id == release_id, _P.part.in_(wanted))).rowcount


def destroy(work: Work, release_id: UUID) -> Destroyed:
    """Destroy the release's own key and what it sealed: nobody can say any more whose data went into it.

    The point of no return comes before the commit: if that fails, the list is gone and the release can only be made
    again, never approved. A second time it finds nothing and says so.
    """
    store, keyring = work.service.keystore, work.service.keyring
    with vault.key_errors():
        kids = [key.kid for key in store.kids_of(release_id.bytes)]
        if kids:
            store.erase(release_id.bytes, None, None, [erasure_ledger.mark_key(keyring, kid) for kid in kids])
    if kids:
        erasure_ledger.record(work)
    rows = forget(work, release_id, *LEADS_BACK)
    with vault.key_errors():
        keys_left = len(store.kids_of(release_id.bytes))
    leading = [part.value for part in LEADS_BACK]
    rows_left = work.execute(
        select(func.count()).select_from(release_parts).where(_P.release_id == release_id, _P.part.in_(leading))
    ).scalar_one()
    return Destroyed(tuple(kid.hex() for kid in kids), rows, keys_left, rows_left)


def _unpacked(packed: bytes) -> bytes:
    try:
        return zlib.decompress(packed)
    except zlib.error:
        raise Corrupt from None
