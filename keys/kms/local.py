"""The root key in a file: for one machine, or where the disk is what is trusted.

Without a passphrase the file *is* the key, so it must be a regular file of the running user with mode 0600.
With the environment variable PRIVACY_ROOT_PASSPHRASE the key stands wrapped under Argon2id (RFC 9106).

Layout, 102 or 118 bytes, integers big-endian::

    0   magic       8    "STWDROOT"
    8   version     u8   1
    9   protection  u8   0 none    1 passphrase
    10  iterations  u32  Argon2id; the four parameters are zero when there is no passphrase
    14  lanes       u32
    18  memory KiB  u32
    22  salt        16
    38  key         32   protection 0: the root key
        wrapped     48   protection 1: AES-256-SIV of the root key, associated data = bytes 0..37
    ..  check       32   HMAC-SHA-256(check key, everything before)

    protection 0: check key = SP 800-108(root key, "steward/local-root-check/1")
    protection 1: wrapping key 64 | check key 32 = Argon2id(passphrase)

The check value is compared before the key is unwrapped: it commits to the passphrase, without which a crafted
file could test many passphrases in one guess (a partitioning oracle).
"""

from __future__ import annotations

import hmac
import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from keys.derivation import LABEL_LOCAL_ROOT_CHECK, LABEL_LOCAL_ROOT_WRAP, derive
from keys.errors import BadRootKey, CannotOpen, RootKeyDenied, RootKeyUnavailable
from keys.kms import RootKey, bind, key_file, unbind
from keys.secret import KEY_BYTES, Secret, wipe

PASSPHRASE_VARIABLE: Final = "PRIVACY_ROOT_PASSPHRASE"  # noqa: S105 - the name of a variable
MIN_PASSPHRASE: Final = 12

_MAGIC = b"STWDROOT"
_HEADER = struct.Struct(">8sBBIII16s")
_HEADER_BYTES = _HEADER.size
_CHECK_BYTES = 32
_SIV_BYTES = 16
_SIZES = {
    0: _HEADER_BYTES + KEY_BYTES + _CHECK_BYTES,
    1: _HEADER_BYTES + KEY_BYTES + _SIV_BYTES + _CHECK_BYTES,
}

_LONGEST: Final = max(_SIZES.values())


@dataclass(frozen=True, slots=True)
class Argon2Cost:
    """RFC 9106 section 4, second recommended option: 64 MiB, three passes, four lanes (about 0.1 s)."""

    iterations: int = 3
    lanes: int = 4
    memory_kib: int = 64 * 1024

    @property
    def is_sane(self) -> bool:
        """A file that asks for gigabytes is damage or an attack on the start, not a setting of ours."""
        return (
            1 <= self.iterations <= 64
            and 1 <= self.lanes <= 64
            and 8 * self.lanes <= self.memory_kib <= 2 * 1024 * 1024
        )


class LocalRootKey:
    """Implements `keys.kms.RootKey` and `keys.kms.ReplaceableRootKey` over a file, read once, and again when another
    process has replaced it.

    The key itself then lives only inside the cipher.
    """

    __slots__ = ("_cipher", "_path")

    def __init__(self, path: Path, root: Secret) -> None:
        """Takes over `root` and wipes it."""
        self._path = path
        self._cipher = _cipher_of(root)

    @classmethod
    def create(cls, path: Path, *, cost: Argon2Cost | None = None) -> Self:
        """Write a new root key, durable on return. Raises BadRootKey when the file exists.

        It is never replaced.
        """
        passphrase = _passphrase()
        if passphrase is not None and len(passphrase) < MIN_PASSPHRASE:
            raise BadRootKey(f"{PASSPHRASE_VARIABLE} must have at least {MIN_PASSPHRASE} bytes")
        root = Secret.random()
        content = _encode(root, passphrase, cost or Argon2Cost())
        try:
            key_file.write_new(path, content)
        finally:
            wipe(content)
        return cls(path, root)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the file and, where it is protected, ask PRIVACY_ROOT_PASSPHRASE. Raises BadRootKey."""
        if key_file.has_old(path):
            with key_file.alone(path):
                key_file.remove_old(path)
        with key_file.undisturbed(path):
            return cls(path, _load(path))

    def wrap(self, context: bytes, key: Secret | bytearray) -> bytes:
        bound = bind(context, key)
        try:
            return self._cipher.encrypt(bound, [context])
        finally:
            wipe(bound)

    def unwrap(self, context: bytes, blob: bytes) -> Secret:
        """What does not open under the key in memory may have been wrapped by a successor that another process made."""
        bound = _opened(self._cipher, context, blob)
        if bound is None:
            for cipher in self._others():
                bound = _opened(cipher, context, blob)
                if bound is not None:
                    self._cipher = cipher
                    break
        if bound is None:
            raise CannotOpen
        return unbind(context, bound)

    def successor(self) -> LocalRootKey:
        waiting = key_file.next_of(self._path)
        while True:
            if not waiting.exists():
                self._offer()
            # Unless nobody moves files meanwhile: another process puts it in place, and a third offers the next.
            with key_file.undisturbed(self._path):
                if waiting.exists():
                    return LocalRootKey.open(waiting)

    def has_successor(self) -> bool:
        return key_file.next_of(self._path).exists()

    def succeed(self, successor: RootKey) -> None:
        with key_file.alone(self._path):
            waiting = key_file.next_of(self._path)
            # Another process may have put this successor in place, and one more may be preparing the next.
            if waiting.exists() and _tell(LocalRootKey(waiting, _load(waiting))) == _tell(successor):
                key_file.promote_next(self._path)
            self._cipher = _cipher_of(_load(self._path))

    def rewrap(self, context: bytes, blob: bytes) -> bytes:
        """A file holds one version, and the wrap is deterministic.

        The same blob, once it has proved to open.
        """
        with self.unwrap(context, blob) as key:
            return self.wrap(context, key)

    def describe(self) -> str:
        return f"local file {self._path}"

    def health(self) -> None:
        """The key is in memory.

        What can go wrong is the next start, so the file must still be there and safe.
        """
        try:
            found = os.stat(self._path)
        except PermissionError as error:
            raise RootKeyDenied(f"the root key file {self._path} may not be read") from error
        except OSError as error:
            raise RootKeyUnavailable(f"the root key file {self._path} is not there") from error
        key_file.refuse_unsafe(self._path, found)

    def _offer(self) -> None:
        """A new key beside the one in use, as well protected: `open` has found that to be what the environment says."""
        with Secret.random() as root:
            content = _encode(root, _passphrase(), Argon2Cost())
        try:
            key_file.offer_next(self._path, content)
        finally:
            wipe(content)

    def _others(self) -> list[AESSIV]:
        """The ciphers of the files as they are now: of the key in use, perhaps another one, and of its successor."""
        found = []
        with key_file.undisturbed(self._path):
            for path in (self._path, key_file.next_of(self._path)):
                if path.exists():
                    with suppress(BadRootKey):
                        found.append(_cipher_of(_load(path)))
        return found

    def __reduce__(self) -> str:
        raise TypeError("a root key cannot be pickled or copied")


def _load(path: Path) -> Secret:
    content = key_file.read(path, _LONGEST)
    try:
        return _decode(path, content, _passphrase())
    finally:
        wipe(content)


def _cipher_of(root: Secret) -> AESSIV:
    with root:
        wrapping = derive(root.expose(), LABEL_LOCAL_ROOT_WRAP, b"", 64)
    try:
        return AESSIV(wrapping)
    finally:
        wipe(wrapping)


def _opened(cipher: AESSIV, context: bytes, blob: bytes) -> bytearray | None:
    """What `bind` made, for `unbind`; None when the cipher is not the one."""
    if len(blob) != _SIV_BYTES + KEY_BYTES + 32:
        return None
    bound = bytearray(KEY_BYTES + 32)
    try:
        cipher.decrypt_into(blob, [context], bound)
    except InvalidTag:
        wipe(bound)
        return None
    return bound


def _tell(root: RootKey) -> bytes:
    """Tells two root keys apart: the wrap is deterministic."""
    return root.wrap(b"which root key is this", bytearray(KEY_BYTES))


def _passphrase() -> bytes | None:
    text = os.environ.get(PASSPHRASE_VARIABLE)
    if text is None:
        return None
    if not text:
        raise BadRootKey(f"{PASSPHRASE_VARIABLE} is set but empty; unset it or give the passphrase")
    return text.encode()


def _stretch(passphrase: bytes, salt: bytes, cost: Argon2Cost) -> bytearray:
    keys = bytearray(96)
    Argon2id(
        salt=salt, length=96, iterations=cost.iterations, lanes=cost.lanes, memory_cost=cost.memory_kib
    ).derive_into(passphrase, keys)
    return keys


def _encode(root: Secret, passphrase: bytes | None, cost: Argon2Cost) -> bytearray:
    if passphrase is None:
        content = bytearray(_HEADER.pack(_MAGIC, 1, 0, 0, 0, 0, bytes(16))) + root.expose()
        check = derive(root.expose(), LABEL_LOCAL_ROOT_CHECK, b"", 32)
        content += hmac.digest(check, content, "sha256")
        wipe(check)
        return content
    salt = os.urandom(16)
    header = _HEADER.pack(_MAGIC, 1, 1, cost.iterations, cost.lanes, cost.memory_kib, salt)
    keys = _stretch(passphrase, salt, cost)
    try:
        content = bytearray(header + AESSIV(memoryview(keys)[:64]).encrypt(root.expose(), [header]))
        content += hmac.digest(memoryview(keys)[64:], content, "sha256")
        return content
    finally:
        wipe(keys)


def _decode(path: Path, content: bytearray, passphrase: bytes | None) -> Secret:
    if len(content) < _HEADER_BYTES:
        raise BadRootKey(f"{path} is too short to be a root key file; restore it from a backup")
    magic, version, protection, iterations, lanes, memory, salt = _HEADER.unpack_from(content)
    if magic != _MAGIC or version != 1 or len(content) != _SIZES.get(protection):
        raise BadRootKey(f"{path} is not a root key file, or it is damaged; restore it from a backup")
    covered = memoryview(content)[:-_CHECK_BYTES]
    check = memoryview(content)[-_CHECK_BYTES:]
    if protection == 0:
        return _decode_plain(path, covered, check, passphrase)
    if passphrase is None:
        raise BadRootKey(f"{path} is protected by a passphrase; set {PASSPHRASE_VARIABLE}")
    cost = Argon2Cost(iterations, lanes, memory)
    if not cost.is_sane:
        raise BadRootKey(f"{path} asks for absurd Argon2id parameters; restore it from a backup")
    keys = _stretch(passphrase, salt, cost)
    root = bytearray(KEY_BYTES)
    try:
        if not hmac.compare_digest(hmac.digest(memoryview(keys)[64:], covered, "sha256"), check):
            raise BadRootKey(f"the passphrase in {PASSPHRASE_VARIABLE} is wrong, or {path} is damaged")
        header = bytes(covered[:_HEADER_BYTES])
        AESSIV(memoryview(keys)[:64]).decrypt_into(covered[_HEADER_BYTES:], [header], root)
    except InvalidTag:
        raise BadRootKey(f"{path} is damaged; restore it from a backup") from None
    finally:
        wipe(keys)
    return Secret(root)


def _decode_plain(path: Path, covered: memoryview, check: memoryview, passphrase: bytes | None) -> Secret:
    if passphrase is not None:
        raise BadRootKey(f"{PASSPHRASE_VARIABLE} is set, but {path} is not protected by a passphrase; unset it")
    root = Secret(bytearray(covered[_HEADER_BYTES:]))
    key = derive(root.expose(), LABEL_LOCAL_ROOT_CHECK, b"", 32)
    try:
        if not hmac.compare_digest(hmac.digest(key, covered, "sha256"), check):
            root.wipe()
            raise BadRootKey(f"{path} is damaged; restore it from a backup")
    finally:
        wipe(key)
    return root
