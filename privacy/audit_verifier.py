"""Checks an audit log without its service: a second implementation, of the standard library and `cryptography` alone.

    python -m privacy.audit_verifier SOURCE --key VKEY [--checkpoint OLDFILE]... [--witness VKEY]... [--json]

SOURCE is a directory, a .zip or the address of a log: C2SP tiles (docs/audit.md). Exit status 0: as it should be.
1: not, and the first bad position is named. 2: used wrongly, or the source cannot be read.

1. the checkpoint is signed with the log's key, and cosigned by each witness asked for
2. every entry hashes to its place in the tile, every tile to its place in the one above, all to the checkpoint's root
3. an entry is missing only where an archive is declared and the log itself records that archive
4. each writer counts its events from 1 without gap or repetition, as far as its heartbeats promised
5. the log begins with what each older checkpoint signed
For a selection of events: 1, and each event's inclusion proof. That a selection is complete no proof can say.

Memory holds one tile of each level and a line for each writer, however long the log is.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from itertools import zip_longest
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Protocol, Self
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

_WIDTH: Final = 256
_HASH: Final = 32
_NO_HASH: Final = bytes(_HASH)
_MOST_PROBLEMS: Final = 100
_MOST_BYTES: Final = 1 << 25  # of a file read whole: an entry bundle has at most 16.8 million bytes
_MOST_LINE: Final = 1 << 18
_NEARBY: Final = 10_000  # positions: events of one writer may be sequenced out of order, but not by more
_HEARTBEAT: Final = "audit.heartbeat"
_ARCHIVED: Final = "audit.archived"
# What stands last in an event, its members being sorted. A quote within a JSON string has a backslash before it, so
# these bytes are nothing else; parsing every event whole would take longer than all the hashing.
_TAIL: Final = re.compile(
    rb',"seq":([1-9][0-9]{0,17})(?:,"subject":"[^"\\]{1,64}")?,"v":1,"writer":"([^"\\]{1,64})"\}\Z'
)
_TAIL_BYTES: Final = 200
_START: Final = b'{"action":"'
_OURS: Final = b'{"action":"audit.'

_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "checkpoint": ("the checkpoint is missing or malformed", "检查点缺失或格式不正确"),
    "signature": ("the checkpoint is not signed with the key of the log", "检查点不是用该日志的密钥签名的"),
    "origin": ("the checkpoint is of another log", "检查点属于另一个日志"),
    "witness": (
        "the checkpoint is not cosigned by the witness {name}: its history may have been rewritten",
        "检查点没有见证方 {name} 的联署：其历史可能已被改写",
    ),
    "older": (
        "an older checkpoint is malformed or not signed with the key of the log",
        "较早的检查点格式不正确，或不是用该日志的密钥签名的",
    ),
    "shrunk": (
        "the log ends here, but a checkpoint was signed over {size} entries: its tail has been cut",
        "日志到此为止，但曾有检查点签署了 {size} 条记录：尾部已被截去",
    ),
    "history": (
        "the first {size} entries are not those of an older checkpoint: the change lies from this position to {last}",
        "前 {size} 条记录与较早的检查点不符：改动位于本位置至 {last} 之间",
    ),
    "root": ("the entries do not hash to the root of the checkpoint", "各条记录的散列与检查点的根不符"),
    "missing": ("an entry, or the tile of its hash, is missing", "记录或其散列瓦片缺失"),
    "extra": ("an entry stands where there is none in the tree", "此处的记录不在树中"),
    "entry": ("the entry is not the one that was hashed into the tree", "此记录不是当初散列进树的那一条"),
    "tile": ("the hashes from here on are not those of the tile above", "从此处起的散列与上一层瓦片不符"),
    "form": ("the entry is not an event in its canonical form", "此记录不是规范形式的事件"),
    "repeated": ("sequence {number} of writer {writer} occurs twice", "写入者 {writer} 的序号 {number} 出现两次"),
    "gap": (
        "{count} events of writer {writer} are missing before this one, from sequence {number}",
        "写入者 {writer} 自序号 {number} 起缺少 {count} 个事件，位于本事件之前",
    ),
    "promised": (
        "this heartbeat promised {count} more events of writer {writer}, from sequence {number}",
        "此心跳承诺写入者 {writer} 自序号 {number} 起还有 {count} 个事件",
    ),
    "archive": (
        "entries up to {last} are declared archived, but the log does not record it",
        "至 {last} 的记录被声明为已归档，但日志中没有相应记载",
    ),
    "archives": ("the list of archives is malformed", "归档清单格式不正确"),
    "proof": ("the event is not in the tree of the checkpoint at this position", "检查点的树在此位置没有该事件"),
    "order": ("events and proofs do not stand in order and in pairs", "事件与证明未按次序成对排列"),
    "count": (
        "the bundle declares {declared} events and holds {count}",
        "文件包声明有 {declared} 个事件，实际有 {count} 个",
    ),
}  # fmt: skip


class Unusable(Exception):
    """The source cannot be read, or a key is none: nothing is said about the log."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that should not be, at a position in the log if it has one. `code` is stable."""

    position: int | None
    code: str
    what: str
    zh: str


@dataclass(frozen=True, slots=True)
class Report:
    """What was checked and found. `problems` are at most 100, the first bad position first."""

    origin: str
    size: int
    root: str
    events: int
    archived: tuple[tuple[int, int], ...]
    problems: list[Problem]

    @property
    def ok(self) -> bool:
        return not self.problems


def verify(
    source: str | Path,
    *,
    vkey: str,
    old_checkpoint: str | Sequence[str] | None = None,
    witness_vkeys: Iterable[str] = (),
    token: str | None = None,
) -> Report:
    """Check the log or the selection at `source`. Raises Unusable.

    `old_checkpoint` is the text of one signed note or more, kept from earlier. `token` goes to an address as bearer.
    """
    key, witnesses = _Key.parse(vkey), [_Key.parse(witness) for witness in witness_vkeys]
    older = [old_checkpoint] if isinstance(old_checkpoint, str) else list(old_checkpoint or ())
    found = _Found()
    with _opened(str(source), token) as files:
        checkpoint = _checkpoint(files.read("checkpoint"), key, witnesses, found)
        if checkpoint is None:
            return Report(key.name, 0, "", 0, (), found.sorted())
        known = _known(older, key, checkpoint, found)
        bundle = _json(files.read("bundle.json") or b"{}")
        if isinstance(bundle, dict) and bundle.get("kind") == "selection":
            events, archived = _verify_selection(files, checkpoint, bundle.get("events"), found), []
        else:
            archived = _archives(files.read("archives.json"), found)
            events = _Walk(files, checkpoint, known, archived, found).run()
    return Report(checkpoint.origin, checkpoint.size, checkpoint.root.hex(), events, tuple(archived), found.sorted())


class _Found:
    """Problems, as many as anybody reads; those of the smallest positions are met first."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []

    def add(self, position: int | None, code: str, **values: object) -> None:
        if len(self._problems) < _MOST_PROBLEMS:
            english, chinese = (words.format(**values) for words in _WORDS[code])
            self._problems.append(Problem(position, code, english, chinese))

    def sorted(self) -> list[Problem]:
        return sorted(self._problems, key=lambda problem: (problem.position is None, problem.position or 0))


# --- 1: notes ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    origin: str
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class _Key:
    """A public key of type 1 (Ed25519), 4 (Ed25519 cosignature) or 6 (ML-DSA-44 cosignature)."""

    name: str
    key_id: bytes
    kind: int
    public: bytes

    @classmethod
    def parse(cls, vkey: str) -> Self:
        try:
            name, key_id, encoded = vkey.strip().split("+", 2)
            blob = base64.b64decode(encoded, validate=True)
            key = cls(name, bytes.fromhex(key_id), blob[0], blob[1:])
        except (ValueError, IndexError):
            raise Unusable("not a verifier key: name+keyid+key is expected") from None
        if {1: 32, 4: 32, 6: 1312}.get(key.kind) != len(key.public):
            raise Unusable("a verifier key of an unknown kind")
        if sha256(name.encode() + b"\n" + blob).digest()[:4] != key.key_id:
            raise Unusable("a verifier key that does not fit its key id")
        return key

    def has_signed(self, text: str, signatures: Iterable[tuple[str, bytes]]) -> bool:
        """Whether one of the signatures is this key's, and none of its own is wrong."""
        own = [blob[4:] for name, blob in signatures if (name, blob[:4]) == (self.name, self.key_id)]
        return bool(own) and all(self._is_mine(text, signature) for signature in own)

    def _is_mine(self, text: str, signature: bytes) -> bool:
        stamp, rest = signature[:8], signature[8:]
        try:
            if self.kind == 1:
                Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
            elif self.kind == 4:
                message = f"cosignature/v1\ntime {int.from_bytes(stamp, 'big')}\n{text}"
                Ed25519PublicKey.from_public_bytes(self.public).verify(rest, message.encode())
            else:
                MLDSA44PublicKey.from_public_bytes(self.public).verify(rest, self._tree_message(stamp, text))
        except (InvalidSignature, ValueError):
            return False
        return True

    def _tree_message(self, stamp: bytes, text: str) -> bytes:
        checkpoint = _parse_checkpoint(text)
        name, origin = self.name.encode(), checkpoint.origin.encode()
        if text.count("\n") != 3 or len(name) > 255 or len(origin) > 255:
            raise ValueError("not a message of this signature")
        head = b"subtree/v1\n\x00" + bytes([len(name)]) + name + stamp + bytes([len(origin)]) + origin
        return head + bytes(8) + checkpoint.size.to_bytes(8, "big") + checkpoint.root


def _parse_note(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    """Text and signatures (name, key id and signature). Raises ValueError."""
    head, blank, tail = note.rpartition("\n\n")
    if not blank or not tail.endswith("\n"):
        raise ValueError("not a note")
    signatures = []
    for line in tail[:-1].split("\n"):
        dash, name, encoded = line.split(" ")
        if dash != "—":
            raise ValueError("not a signature line")
        signatures.append((name, base64.b64decode(encoded, validate=True)))
    return head + "\n", signatures


def _parse_checkpoint(text: str) -> _Checkpoint:
    """Raises ValueError."""
    origin, size, root, _ = text.split("\n", 3)
    checkpoint = _Checkpoint(origin, int(size), base64.b64decode(root, validate=True))
    if not origin or str(checkpoint.size) != size or checkpoint.size < 0 or len(checkpoint.root) != _HASH:
        raise ValueError("not a checkpoint")
    return checkpoint


def _checkpoint(note: bytes | None, key: _Key, witnesses: Sequence[_Key], found: _Found) -> _Checkpoint | None:
    try:
        text, signatures = _parse_note((note or b"").decode())
        checkpoint = _parse_checkpoint(text)
    except ValueError:
        found.add(None, "checkpoint")
        return None
    if not key.has_signed(text, signatures):
        found.add(None, "signature")
    if checkpoint.origin != key.name:
        found.add(None, "origin")
    for witness in witnesses:
        if not witness.has_signed(text, signatures):
            found.add(None, "witness", name=witness.name)
    return checkpoint


def _known(notes: Iterable[str], key: _Key, newest: _Checkpoint, found: _Found) -> list[_Checkpoint]:
    """The older checkpoints that the log must begin with, shortest first."""
    known = []
    for note in notes:
        try:
            text, signatures = _parse_note(note)
            checkpoint = _parse_checkpoint(text)
        except ValueError:
            found.add(None, "older")
            continue
        if not key.has_signed(text, signatures) or checkpoint.origin != newest.origin:
            found.add(None, "older")
        elif checkpoint.size > newest.size:
            found.add(newest.size, "shrunk", size=checkpoint.size)
        elif checkpoint.size:
            known.append(checkpoint)
    return sorted(known, key=lambda checkpoint: checkpoint.size)


# --- 2, 3, 5: the whole log ----------------------------------------------------------------------------------------


class _Walk:
    """One pass over the entries, a tile at a time."""

    def __init__(
        self,
        files: _Files,
        checkpoint: _Checkpoint,
        known: Sequence[_Checkpoint],
        archived: Sequence[tuple[int, int]],
        found: _Found,
    ) -> None:
        self._files = files
        self._goal = checkpoint
        self._known = list(known)
        self._vouched = 0  # so many entries are those of an older checkpoint
        self._archived = archived
        self._found = found
        self._writers = _Writers(archived, found)
        self._above: list[bytearray] = []  # by level from 1: the hashes of the tile that is not full yet
        self._full: list[int] = []  # by level from 1: how many tiles are
        self._told: set[tuple[int, int]] = set()  # tiles that do not fit what is below them
        self._last = b""  # the partial tile of level 0
        self._exact = True  # whether the file last read was of the very width asked for
        self._events = 0

    def run(self) -> int:
        """How many entries were read and checked."""
        for number in range(-(-self._goal.size // _WIDTH)):
            self._tile(number, min(_WIDTH, self._goal.size - number * _WIDTH))
        root = self._finish()
        if root != self._goal.root:
            self._found.add(self._vouched or None, "root")
        self._writers.finish()
        return self._events

    def _tile(self, number: int, width: int) -> None:
        first = number * _WIDTH
        tile = (self._read(0, number, width) or b"")[: width * _HASH]
        hashes = self._entries(number, width, tile)
        if len(tile) < width * _HASH:
            self._found.add(first + len(tile) // _HASH, "missing")
            tile = hashes.ljust(width * _HASH, b"\0") if hashes else tile.ljust(width * _HASH, b"\0")
        while self._known and self._known[0].size <= first + width:
            self._compare(self._known.pop(0), tile, first)
        if width == _WIDTH:
            self._rise(1, _fold(tile))
        else:
            self._last = tile

    def _entries(self, number: int, width: int, tile: bytes) -> bytes:
        """The hashes of the entries of one bundle; compares them with the tile."""
        first = number * _WIDTH
        data = self._read(None, number, width)
        if data is None:
            if (lost := _outside(first, first + width, self._archived)) is not None:
                self._found.add(lost, "missing")
            return b""
        entries, whole = _split(data)
        if len(entries) > width and self._exact:
            self._found.add(first + width, "extra")
        del entries[width:]
        digests = [sha256(b"\0" + entry).digest() for entry in entries]
        gone = [n for n, entry in enumerate(entries) if not entry] if b"" in entries else []
        for n in gone:  # in a bundle that an archive has taken in part
            digests[n] = tile[n * _HASH :][:_HASH]
            if _outside(first + n, first + n + 1, self._archived) is not None:
                self._found.add(first + n, "missing")
        hashes = b"".join(digests)
        if hashes != tile[: len(hashes)]:
            wrong = next(n for n, digest in enumerate(digests) if digest != tile[n * _HASH : (n + 1) * _HASH])
            if wrong < len(tile) // _HASH:
                self._found.add(first + wrong, "entry")
                self._told.add((0, number))
        if len(entries) < width:
            self._found.add(first + len(entries), "missing" if whole else "form")
        self._writers.take(first, entries)
        self._events += len(entries) - len(gone)
        return hashes

    def _read(self, level: int | None, number: int, width: int) -> bytes | None:
        """A tile or bundle. A log that has grown on may have the full one only, of which a partial one is a prefix."""
        data = self._files.read(_path(level, number, width))
        self._exact = data is not None
        if data is None and width < _WIDTH:
            data = self._files.read(_path(level, number, _WIDTH))
        return data

    def _rise(self, level: int, digest: bytes) -> None:
        """Take the root of a full tile into the level above; what is stored there must say the same."""
        if len(self._above) < level:
            self._above.append(bytearray())
            self._full.append(0)
        row = self._above[level - 1]
        row += digest
        if len(row) == _WIDTH * _HASH:
            full = self._stored(level, self._full[level - 1], bytes(row))
            self._full[level - 1] += 1
            row.clear()
            self._rise(level + 1, _fold(full))

    def _stored(self, level: int, number: int, row: bytes) -> bytes:
        """The stored tile; differing from what was computed is a problem of the leaves below."""
        width = len(row) // _HASH
        stored = self._read(level, number, width)
        span = int(_WIDTH**level)
        if stored is None or len(stored) < len(row):
            self._found.add(number * _WIDTH * span, "missing")
            return row
        if (stored := stored[: len(row)]) != row:
            wrong = [n for n in range(width) if stored[n * _HASH :][:_HASH] != row[n * _HASH :][:_HASH]]
            # what does not fit the tile below has been told of already, and there the position is the nearer one
            fresh = [n for n in wrong if (level - 1, number * _WIDTH + n) not in self._told]
            if fresh:
                self._found.add((number * _WIDTH + fresh[0]) * span, "tile")
            self._told.add((level, number))
        return stored

    def _finish(self) -> bytes:
        node = _fold(self._last)
        for level, row in enumerate(self._above, 1):
            if row:
                node = _fold(self._stored(level, self._full[level - 1], bytes(row)) + node)
        return node or sha256(b"").digest()

    def _compare(self, older: _Checkpoint, tile: bytes, first: int) -> None:
        node = _fold(tile[: (older.size - first) * _HASH])
        for row in self._above:
            node = _fold(bytes(row) + node)
        if node == older.root:
            self._vouched = older.size
        else:
            self._found.add(self._vouched, "history", size=older.size, last=older.size - 1)


def _fold(row: bytes) -> bytes:
    """RFC 9162's tree over up to 257 hashes: pairs, and a last odd one moves up as it is."""
    while len(row) > _HASH:
        even = len(row) // (2 * _HASH) * (2 * _HASH)
        pairs = [sha256(b"\x01" + row[at : at + 2 * _HASH]).digest() for at in range(0, even, 2 * _HASH)]
        row = b"".join(pairs) + row[even:]
    return row


def _path(level: int | None, number: int, width: int) -> str:
    digits = f"{number:03}"
    digits = digits.rjust(-(-len(digits) // 3) * 3, "0")
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    place = "/".join(["x" + group for group in groups[:-1]] + groups[-1:])
    return f"tile/{'entries' if level is None else level}/{place}" + ("" if width == _WIDTH else f".p/{width}")


def _split(bundle: bytes) -> tuple[list[bytes], bool]:
    """The entries of a bundle, and whether it ends with the last of them."""
    entries: list[bytes] = []
    at, end = 0, len(bundle)
    while at + 2 <= end:
        after = at + 2 + (bundle[at] << 8 | bundle[at + 1])
        if after > end:
            return entries, False
        entries.append(bundle[at + 2 : after])
        at = after
    return entries, at == end


def _archives(data: bytes | None, found: _Found) -> list[tuple[int, int]]:
    """The ranges [first, after) whose entries are gone, in order."""
    declared = _json(data or b"[]")
    try:
        ranges = sorted((int(entry["first"]), int(entry["after"])) for entry in declared)
        if any(not 0 <= first < after for first, after in ranges):
            raise ValueError
    except (KeyError, TypeError, ValueError):
        found.add(None, "archives")
        return []
    return ranges


def _outside(first: int, after: int, ranges: Sequence[tuple[int, int]]) -> int | None:
    """The first position of [first, after) that is in none of the ranges."""
    for start, end in ranges:
        if start <= first < end:
            first = end
    return first if first < after else None


# --- 4: writers ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Writer:
    """`next` is expected; `gaps` are numbers passed over: first, after, and the positions on either side."""

    next: int = 1
    seen_at: int = 0
    gaps: list[tuple[int, int, int, int]] = field(default_factory=list)


class _Writers:
    """Each writer's numbers, in the order of the log, which is not quite that of the numbers."""

    def __init__(self, archived: Sequence[tuple[int, int]], found: _Found) -> None:
        self._writers: dict[bytes, _Writer] = {}
        self._promised: dict[bytes, tuple[int, int]] = {}
        self._archived = archived
        self._recorded: list[tuple[int, int]] = []
        self._found = found

    def take(self, first: int, entries: Sequence[bytes]) -> None:
        writers = self._writers
        for position, entry in enumerate(entries, first):
            if not entry:
                continue
            tail = _TAIL.search(entry, len(entry) - _TAIL_BYTES)
            if tail is None or not entry.startswith(_START) or entry.startswith(_OURS):
                self._read(entry, position)
                continue
            name, number = tail[2], int(tail[1])
            writer = writers.get(name)
            if writer is not None and number == writer.next:
                writer.next = number + 1
                writer.seen_at = position
            else:
                self._irregular(name, number, position)

    def _read(self, entry: bytes, position: int) -> None:
        """An event that the log tells of itself, or one that is not in the form expected."""
        try:
            event = _json(entry)
            name, number = event["writer"].encode(), event["seq"]
            if _canonical(event) != entry or type(number) is not int or number < 1:
                raise ValueError
            if event["action"] in (_HEARTBEAT, _ARCHIVED):
                self._note(event["action"], event["detail"], position)
        except (AttributeError, KeyError, TypeError, ValueError):
            self._found.add(position, "form")
            return
        self._irregular(name, number, position)

    def _note(self, action: str, detail: Mapping[str, Any], position: int) -> None:
        if action == _ARCHIVED:
            self._recorded.append((int(detail["first"]), int(detail["after"])))
            return
        for name, number in detail["writers"].items():
            if int(number) > self._promised.get(name.encode(), (0, 0))[0]:
                self._promised[name.encode()] = (int(number), position)

    def _irregular(self, name: bytes, number: int, position: int) -> None:
        """The first of a writer, the next, one out of order, or one that should not be."""
        writer = self._writers.setdefault(name, _Writer(seen_at=position))
        if number >= writer.next:
            if number > writer.next:
                writer.gaps.append((writer.next, number, writer.seen_at, position))
            writer.next, writer.seen_at = number + 1, position
            return
        for at, (first, after, before, noticed) in enumerate(writer.gaps):
            if first <= number < after:
                rest = [(first, number, before, noticed), (number + 1, after, before, noticed)]
                writer.gaps[at : at + 1] = [gap for gap in rest if gap[0] < gap[1]]
                return
        self._found.add(position, "repeated", number=number, writer=name.decode(errors="replace"))

    def finish(self) -> None:
        budget = sum(after - first for first, after in self._archived)
        for name, writer in self._writers.items():
            for first, after, before, noticed in writer.gaps:
                budget = self._miss("gap", name, (first, after), (before, noticed), budget)
        for name, (number, position) in self._promised.items():
            known = self._writers.get(name, _Writer())
            if number >= known.next:
                budget = self._miss("promised", name, (known.next, number + 1), (known.seen_at, position), budget)
        for first, after in self._archived:
            if _outside(first, after, sorted(self._recorded)) is not None:
                self._found.add(first, "archive", last=after - 1)

    def _miss(self, code: str, name: bytes, numbers: tuple[int, int], around: tuple[int, int], budget: int) -> int:
        """Numbers that are nowhere, unless they can be among the entries that an archive has taken."""
        first, after = numbers
        count = after - first
        near = any(start < around[1] + _NEARBY and end > around[0] - _NEARBY for start, end in self._archived)
        if near and count <= budget:
            return budget - count
        self._found.add(around[1], code, count=count, writer=name.decode(errors="replace"), number=first)
        return budget


# --- a selection ---------------------------------------------------------------------------------------------------


def _verify_selection(files: _Files, checkpoint: _Checkpoint, declared: object, found: _Found) -> int:
    """How many events were checked."""
    count, last = 0, -1
    for event_line, proof_line in zip_longest(files.lines("events.ndjson"), files.lines("proofs.ndjson")):
        event, proof = _json(event_line or b""), _json(proof_line or b"")
        try:
            position = int((event or proof)["position"])
            paired = event["position"] == proof["position"] == position > last
            leaf = sha256(b"\0" + _canonical(event["event"])).digest()
            path = [base64.b64decode(step, validate=True) for step in proof["proof"]]
        except (KeyError, TypeError, ValueError):
            where = event if isinstance(event, dict) else proof if isinstance(proof, dict) else {}
            found.add(where.get("position") if isinstance(where.get("position"), int) else None, "order")
            continue
        count += 1
        if not paired:
            found.add(position, "order")
        elif not _is_included(leaf, position, checkpoint, path):
            found.add(position, "proof")
        last = max(last, position)
    if declared != count:
        found.add(None, "count", declared=declared, count=count)
    return count


def _is_included(leaf: bytes, position: int, checkpoint: _Checkpoint, path: Sequence[bytes]) -> bool:
    """RFC 6962 2.1.1 read backwards: the shape of the tree says on which side each step stands."""
    if not 0 <= position < checkpoint.size:
        return False
    sides = []
    low, high = 0, checkpoint.size
    while high - low > 1:
        middle = low + (1 << (high - low - 1).bit_length() - 1)
        sides.append(position >= middle)
        low, high = (middle, high) if position >= middle else (low, middle)
    if len(sides) != len(path) or any(len(step) != _HASH for step in path):
        return False
    for on_left, step in zip(reversed(sides), path, strict=True):
        leaf = sha256(b"\x01" + (step + leaf if on_left else leaf + step)).digest()
    return leaf == checkpoint.root


def _canonical(value: object) -> bytes:
    """RFC 8785, of what events hold: no fractions. Raises ValueError for those."""
    return json.dumps(_sorted(value), ensure_ascii=False, separators=(",", ":")).encode()


def _sorted(value: object) -> object:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value, key=lambda name: name.encode("utf-16-be"))}
    if isinstance(value, list):
        return [_sorted(part) for part in value]
    if isinstance(value, float):
        raise ValueError("an event holds no fraction")
    return value


# --- files ---------------------------------------------------------------------------------------------------------


_decode: Final = json.JSONDecoder().raw_decode


def _json(data: bytes) -> Any:
    """None for what is not JSON."""
    try:
        text = data.decode().strip()
        value, end = _decode(text)
    except (ValueError, RecursionError):
        return None
    return value if end == len(text) else None


class _Files(Protocol):
    """The files of a log, by their paths below it."""

    def read(self, path: str) -> bytes | None:
        """Whole; None when there is none. Raises Unusable."""
        ...

    def lines(self, path: str) -> Iterator[bytes]:
        """Line by line; none at all of a file that is not there. Raises Unusable."""
        ...

    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class _Closing:
    def close(self) -> None:
        """Nothing to close."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Folder(_Closing):
    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, path: str) -> bytes | None:
        try:
            with (self._root / path).open("rb") as source:
                return _whole(source)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise Unusable(f"{path} cannot be read: {error.strerror}") from None

    def lines(self, path: str) -> Iterator[bytes]:
        if (self._root / path).is_file():
            with (self._root / path).open("rb") as source:
                yield from _cut(source)


class _Zip(_Closing):
    def __init__(self, file: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(file)
        except (OSError, zipfile.BadZipFile):
            raise Unusable("the .zip cannot be read") from None

    def read(self, path: str) -> bytes | None:
        try:
            with self._zip.open(path) as source:
                return _whole(source)
        except KeyError:
            return None
        except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise Unusable(f"{path} cannot be read: {type(error).__name__}") from None

    def lines(self, path: str) -> Iterator[bytes]:
        if path in self._zip.namelist():
            with self._zip.open(path) as source:
                yield from _cut(source)

    def close(self) -> None:
        self._zip.close()


class _Address(_Closing):
    """A log over HTTP. Redirections are not followed: the token is for this address alone."""

    def __init__(self, url: str, token: str | None) -> None:
        parts = urlsplit(url)
        if not parts.hostname or parts.query or parts.username:
            raise Unusable("not the address of a log")
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=30)
        self._prefix = parts.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def read(self, path: str) -> bytes | None:
        for attempt in (1, 2):
            try:
                answer = self._ask(path)
                data = _whole(answer)
                answer.read()
                break
            except (OSError, HTTPException) as error:
                self._connection.close()  # a server may close a connection that waited
                if attempt == 2:
                    raise Unusable(f"{path} cannot be read: {type(error).__name__}") from None
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise Unusable(f"{path} cannot be read: the server answers {answer.status}")
        return data

    def lines(self, path: str) -> Iterator[bytes]:
        yield from (self.read(path) or b"").splitlines()

    def _ask(self, path: str) -> HTTPResponse:
        self._connection.request("GET", f"{self._prefix}/{path}", headers=self._headers)
        return self._connection.getresponse()

    def close(self) -> None:
        self._connection.close()


def _opened(source: str, token: str | None) -> _Files:
    if source.startswith(("http://", "https://")):
        return _Address(source, token)
    path = Path(source)
    if path.is_dir():
        return _Folder(path)
    if path.is_file():
        return _Zip(path)
    raise Unusable("neither a directory, nor a .zip, nor an address")


class _Readable(Protocol):
    def read(self, amount: int, /) -> bytes: ...


def _whole(source: _Readable) -> bytes:
    data = source.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise Unusable("a file is longer than any of a log")
    return data


def _cut(source: IO[bytes]) -> Iterator[bytes]:
    while line := source.readline(_MOST_LINE):
        yield line


# --- the command ---------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status. See the module's docstring."""
    options = _options().parse_args(arguments)
    try:
        report = verify(
            options.source,
            vkey=options.key,
            old_checkpoint=[Path(file).read_text(encoding="utf-8") for file in options.checkpoint],
            witness_vkeys=options.witness,
            token=os.environ.get(options.token_env) if options.token_env else None,
        )
    except (Unusable, OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 2
    _print(report, options.json, chinese=(options.lang or _language()).startswith("zh"))
    return 0 if report.ok else 1


def _language() -> str:
    return next((set_ for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (set_ := os.environ.get(name))), "")


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m privacy.audit_verifier",
        description="Checks an audit log without trusting its service. 离线校验审计日志，无需信任其服务。",
    )
    add = parser.add_argument
    add("source", metavar="SOURCE", help="a directory, a .zip or an http(s) address 目录、压缩包或网址")
    add("--key", required=True, metavar="VKEY", help="the log's verifier key, from a source you trust 日志的验证密钥")
    add(
        "--checkpoint",
        action="append",
        default=[],
        metavar="FILE",
        help="an older checkpoint you kept 您保存的较早检查点",
    )
    add(
        "--witness",
        action="append",
        default=[],
        metavar="VKEY",
        help="a witness that must have cosigned 须已联署的见证方",
    )
    add("--token-env", nargs="?", const="PRIVACY_KEY", metavar="NAME",
        help="send the API key in this environment variable (PRIVACY_KEY) 使用该环境变量中的密钥")  # fmt: skip
    add("--json", action="store_true", help="one JSON value, for machines 供程序读取")
    add("--lang", choices=["en", "zh"], help="by default that of the terminal 默认依终端语言")
    return parser


def _print(report: Report, as_json: bool, *, chinese: bool) -> None:
    if as_json:
        problems = [{"position": p.position, "code": p.code, "what": p.what, "zh": p.zh} for p in report.problems]
        value = {
            "ok": report.ok,
            "origin": report.origin,
            "size": report.size,
            "root": report.root,
            "events": report.events,
            "archived": report.archived,
            "problems": problems,
        }
        sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
        return
    for problem in report.problems:
        where = "-" if problem.position is None else problem.position
        sys.stdout.write(f"{where}: {problem.zh if chinese else problem.what} ({problem.code})\n")
    if chinese:
        state = "完好" if report.ok else "不符"
        said = f"{report.origin}：{state}，{report.size} 条记录，已核对 {report.events} 条"
    else:
        state = "intact" if report.ok else "NOT intact"
        said = f"{report.origin}: {state}, {report.size} entries, {report.events} of them checked"
    sys.stdout.write(f"{said}, {report.root}\n")


if __name__ == "__main__":
    sys.exit(main())
