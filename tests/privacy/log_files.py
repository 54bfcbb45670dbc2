"""A log as files, as an export writes them: invented events, a key of the tests."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from uuid import UUID

from keys.secret import Secret
from keys.signing import Signer
from privacy import tlog

ORIGIN = "log.example/audit"
WRITER = str(UUID(int=0xA))
OTHER = str(UUID(int=0xB))


def signer(seed: int = 1, name: str = ORIGIN) -> Signer:
    return Signer(name, Secret(bytearray([seed]) * 32))


def event(number: int, *, writer: str = WRITER, action: str = "record.read", **more: object) -> bytes:
    """An event in the canonical form of `privacy.leaves`: its members sorted, no white space."""
    members = {
        "action": action,
        "actor": "desk",
        "at": 1_767_225_600_000_000 + number,
        "id": str(UUID(int=number + 1)),
        "outcome": "disclosed",
        "role": "service",
        "seq": number,
        "subject": str(UUID(int=7)),
        "v": 1,
        "writer": writer,
    }
    return json.dumps(members | more, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def heartbeat(number: int, promised: Mapping[str, int]) -> bytes:
    return event(number, action="audit.heartbeat", detail={"writers": promised})


def events(count: int) -> list[bytes]:
    return [event(number) for number in range(1, count + 1)]


class Log:
    """A tree over entries, with its tiles in memory."""

    def __init__(self, entries: Iterable[bytes], key: Signer | None = None) -> None:
        self.entries: list[bytes] = []
        self.tiles: dict[tuple[int, int], bytes] = {}
        self.root = tlog.EMPTY_ROOT
        self.key = key or signer()
        self.append(entries)

    @property
    def size(self) -> int:
        return len(self.entries)

    def read(self, level: int, number: int) -> bytes:
        return self.tiles[level, number]

    def append(self, entries: Iterable[bytes]) -> None:
        added = list(entries)
        grown = tlog.grow(self.size, [tlog.leaf_hash(entry) for entry in added], self.read)
        self.tiles.update(grown.tiles)
        self.entries += added
        self.root = grown.root

    def note(self, size: int | None = None) -> str:
        size = self.size if size is None else size
        text = tlog.Checkpoint(self.key.name, size, tlog.root_at(size, self.read)).text()
        return str(tlog.sign_note(text, self.key.name, self.key.key_id, self.key.sign(text.encode())))

    def write(self, folder: Path, *, archived: Sequence[tuple[int, int]] = ()) -> Path:
        """All files of the log; of what is archived no bundle, or nothing in its place in one."""
        _put(folder / "checkpoint", self.note().encode())
        for (level, number), tile in self.tiles.items():
            _put(folder / tlog.tile_path(level, number, len(tile) // 32), tile)
        for first in range(0, self.size, tlog.WIDTH):
            places = range(first, min(first + tlog.WIDTH, self.size))
            gone = {at for at in places if any(start <= at < after for start, after in archived)}
            if len(gone) < len(places):
                entries = [b"" if at in gone else self.entries[at] for at in places]
                _put(folder / tlog.tile_path(None, first // tlog.WIDTH, len(places)), tlog.bundle(entries))
        ranges = [{"first": first, "after": after, "archived_at": "2026-03-01T00:00:00Z"} for first, after in archived]
        _put(folder / "archives.json", json.dumps(ranges).encode())
        _put(folder / "bundle.json", json.dumps({"format": "steward-audit-bundle/1", "kind": "log"}).encode())
        return folder

    def write_selection(self, folder: Path, positions: Sequence[int]) -> Path:
        _put(folder / "checkpoint", self.note().encode())
        found = [{"position": at, "event": json.loads(self.entries[at])} for at in positions]
        proofs = [
            {"position": at, "proof": [b64encode(step).decode() for step in tlog.inclusion(at, self.size, self.read)]}
            for at in positions
        ]
        for name, rows in (("events", found), ("proofs", proofs)):
            _put(
                folder / f"{name}.ndjson", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
            )
        bundle = {"format": "steward-audit-bundle/1", "kind": "selection", "events": len(positions)}
        _put(folder / "bundle.json", json.dumps(bundle).encode())
        return folder


def _put(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
