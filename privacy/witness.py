"""A witness (c2sp.org/tlog-witness): remembers how far it has seen a log grow, and signs only what extends that.

Run by somebody who is not the log's operator, on a machine of theirs: whoever holds the log's database and its
signing key can write another history, but not one that this witness signs. It knows no event, only sizes and roots.

    key file     name, a newline, the 32 bytes of an Ed25519 seed
    state file   {"logs": {origin: {"vkeys": […], "size": n, "root": base64 or null}}}, replaced as a whole

One request at a time: 1. is it this log's signature; 2. does it extend what is remembered; 3. sign; 4. remember, and
fsync; 5. answer. A crash before 4 has happened to nobody; one after it costs the asker a second request.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Final, Self

from keys.errors import KeysError
from keys.secret import Secret
from keys.signing import Signer
from privacy import tlog
from privacy.cosignatures import SIZE_TYPE, Ed25519Cosigner, cosign, verifier
from privacy.errors import Conflict, Invalid, NotFound

MOST_BYTES: Final = 1 << 18  # of a request: 63 hashes and 64 signatures of ML-DSA-44 fit
_SEED: Final = 32
_TEXT: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    text: str
    content_type: str = _TEXT


@dataclass(frozen=True, slots=True)
class Watched:
    """A log, the keys that sign its checkpoints, and the tree last cosigned; `root` is None before the first."""

    vkeys: tuple[str, ...]
    size: int = 0
    root: bytes | None = None


class State:
    """What a witness remembers, in a file that one process at a time holds."""

    def __init__(self, file: Path) -> None:
        """Raises NotFound when there is no such file: a witness that forgot is none. Conflict: another has it open."""
        self._file = file
        self._guard = os.open(file.with_name(f"{file.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.logs = _read(file)
        except BlockingIOError:
            os.close(self._guard)
            raise Conflict("Another witness uses this state file") from None
        except BaseException:
            os.close(self._guard)
            raise

    @classmethod
    def create(cls, file: Path) -> Self:
        """An empty one, if there is none yet."""
        if not file.exists():
            _write(file, {})
        return cls(file)

    def keep(self, origin: str, log: Watched) -> None:
        """Durable when this returns."""
        logs = {**self.logs, origin: log}
        _write(self._file, logs)
        self.logs = logs

    def close(self) -> None:
        os.close(self._guard)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Witness:
    """Answers add-checkpoint, from any number of threads."""

    def __init__(self, signer: Signer, state: State, *, clock: Callable[[], float] = time.time) -> None:
        self._signer = signer
        self._state = state
        self._clock = clock
        self._lock = Lock()
        self.vkey = Ed25519Cosigner(signer.name, signer.public).vkey

    def add_checkpoint(self, body: bytes) -> Answer:
        """200 with the cosignature, 409 with the size it stands at, or why not: 400, 403, 404, 422."""
        try:
            old, proof, note = tlog.parse_witness_request(body)
            checkpoint = tlog.Checkpoint.parse(note)
            text = tlog.parse_note(note).text
        except tlog.Malformed as error:
            return Answer(400, f"{error}\n")
        with self._lock:
            log = self._state.logs.get(checkpoint.origin)
            if log is None:
                return Answer(404, "no log of this origin is witnessed here\n")
            try:
                tlog.open_note(note, map(verifier, log.vkeys))
            except tlog.NotSigned as error:
                return Answer(403, f"{error}\n")
            return self._doubt(log, checkpoint, old, proof) or self._sign(log, checkpoint, text)

    def _doubt(self, log: Watched, new: tlog.Checkpoint, old: int, proof: list[bytes]) -> Answer | None:
        if old > new.size:
            return Answer(400, "the old size is beyond the checkpoint\n")
        if old != log.size:
            return Answer(409, f"{log.size}\n", SIZE_TYPE)
        if old == new.size and log.root is not None and new.root != log.root:
            return Answer(409, f"{log.size}\n", SIZE_TYPE)
        if log.root is None or old == 0:
            # nothing is known yet, so nothing can be proved; but an empty tree has one root only
            extends = not proof and (new.size > 0 or new.root == tlog.EMPTY_ROOT)
        else:
            extends = tlog.verify_consistency(old, log.root, new.size, new.root, proof)
        return None if extends else Answer(422, f"this tree does not extend the one of size {old} witnessed here\n")

    def _sign(self, log: Watched, new: tlog.Checkpoint, text: str) -> Answer:
        signature = cosign(self._signer, text, int(self._clock()))
        self._state.keep(new.origin, replace(log, size=new.size, root=new.root))
        return Answer(200, signature.line)


def watch(state: State, vkey: str) -> None:
    """Witness the log of this key, too, from its first checkpoint on; the log's origin is the key's name.

    A further key of a known log is added to those that may sign for it; what is remembered stays. Raises Invalid.
    """
    try:
        name = verifier(vkey).name
    except tlog.Malformed:
        raise Invalid("Not a verifier key: name+keyid+key is expected") from None
    log = state.logs.get(name, Watched(()))
    if vkey not in log.vkeys:
        state.keep(name, replace(log, vkeys=(*log.vkeys, vkey)))


def create_key(file: Path, name: str) -> None:
    """A new key under `name`, readable by its owner only. Raises Conflict rather than replace one; Invalid."""
    if not tlog.is_key_name(name):
        raise Invalid("The name of a witness is not empty and holds neither spaces nor a plus")
    with Secret.random(_SEED) as seed:
        try:
            made = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            raise Conflict("There is a key in this file already") from None
        with os.fdopen(made, "wb", buffering=0) as out:
            out.write(name.encode() + b"\n")
            out.write(seed.expose())
            os.fsync(out.fileno())
    _sync_folder(file)


def open_key(file: Path) -> Signer:
    """Raises NotFound, Invalid."""
    try:
        with file.open("rb", buffering=0) as source:
            content = bytearray(os.fstat(source.fileno()).st_size)
            source.readinto(content)
    except FileNotFoundError:
        raise NotFound("There is no such key file: `privacy witness init` makes one") from None
    with Secret(content):
        name, newline, seed = content.partition(b"\n")
        with Secret(seed):
            if not newline or len(seed) != _SEED:
                raise Invalid("This is not the key file of a witness")
            try:
                return Signer(name.decode(), Secret(bytearray(seed)))
            except (KeysError, UnicodeDecodeError):
                raise Invalid("This is not the key file of a witness") from None


def _read(file: Path) -> Mapping[str, Watched]:
    try:
        kept = json.loads(file.read_bytes())["logs"]
        return {origin: _watched(log) for origin, log in kept.items()}
    except FileNotFoundError:
        raise NotFound("There is no such state file: `privacy witness init` makes one") from None
    except (AttributeError, KeyError, TypeError, ValueError):
        raise Invalid("The state file is damaged. Do not start anew: bring back its last copy") from None


def _watched(log: Mapping[str, object]) -> Watched:
    match log:
        case {"vkeys": list(vkeys), "size": int(size), "root": str() | None as root}:
            return Watched(
                tuple(map(str, vkeys)), size, None if root is None else base64.b64decode(root, validate=True)
            )
    raise ValueError


def _write(file: Path, logs: Mapping[str, Watched]) -> None:
    rows = {
        origin: {
            "vkeys": list(log.vkeys),
            "size": log.size,
            "root": None if log.root is None else base64.b64encode(log.root).decode(),
        }
        for origin, log in logs.items()
    }
    beside = file.with_name(f"{file.name}.new")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as out:
        out.write(json.dumps({"logs": rows}, indent=1).encode())
        out.flush()
        os.fsync(out.fileno())
    os.replace(beside, file)
    _sync_folder(file)


def _sync_folder(file: Path) -> None:
    """Until its folder is written, a new name may be lost with the power."""
    folder = os.open(file.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
