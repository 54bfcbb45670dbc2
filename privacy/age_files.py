"""Files for somebody else to open: age (age-encryption.org/v1), X25519 recipients, in chunks of 64 KiB.

Whoever writes needs only public keys (`age1…`), so the machine that makes backups cannot read them. A file is
authentic chunk by chunk and as a whole: changed, cut or reordered, it does not open. It does not say who wrote it.
Any `age` program opens such a file. Memory does not grow with it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from io import BufferedIOBase
from pathlib import Path
from typing import BinaryIO, Final

import pyrage
from pyrage.x25519 import Identity, Recipient

from privacy.errors import Conflict, Corrupt, Invalid, NotFound, Unavailable

MAGIC: Final = b"age-encryption.org/v1\n"
_STANZA: Final = b"-> X25519 "
_MOST_IDENTITY_BYTES: Final = 64 * 1024
_PIECE: Final = 1 << 20


class Hashed(BufferedIOBase):
    """A stream that counts and hashes what passes, either way; its errors are kept, because age keeps only a text."""

    def __init__(self, stream: BinaryIO | None) -> None:
        self._stream = stream
        self._hash = sha256()
        self.size = 0
        self.error: OSError | None = None

    @property
    def digest(self) -> str:
        """SHA-256 in hex of what has passed."""
        return self._hash.hexdigest()

    def read(self, size: int | None = -1, /) -> bytes:
        try:
            data = b"" if self._stream is None else self._stream.read(-1 if size is None else size)
        except OSError as error:
            self.error = error
            raise
        self._pass(data)
        return data

    def write(self, data: object, /) -> int:
        piece = bytes(data)  # type: ignore[call-overload]  # whatever buffer age hands over
        try:
            if self._stream is not None:
                self._stream.write(piece)
        except OSError as error:
            self.error = error
            raise
        self._pass(piece)
        return len(piece)

    def flush(self) -> None:
        if self._stream is not None:
            self._stream.flush()

    def _pass(self, data: bytes) -> None:
        self.size += len(data)
        self._hash.update(data)


def seal(source: Hashed, target: Hashed, recipients: Sequence[Recipient]) -> None:
    """Encrypt all of `source` to `recipients`, any of whom can open it. Raises `Unavailable`."""
    try:
        pyrage.encrypt_io(source, target, recipients)
    except (pyrage.EncryptError, OSError) as error:
        raise Unavailable(f"The copy cannot be written ({_cause(source, target, error)})") from None


def unseal(source: Hashed, target: Hashed, identities: Sequence[Identity]) -> None:
    """Decrypt all of `source`. What came out before an error is authentic, but not all.

    Raises `Corrupt` for a file that was changed or cut, `Invalid` for one that is not for any of `identities`,
    `Unavailable` when reading or writing fails.
    """
    try:
        pyrage.decrypt_io(source, target, identities)
    except (pyrage.DecryptError, OSError) as error:
        if source.error is not None or target.error is not None:
            raise Unavailable(f"The copy cannot be read or written ({_cause(source, target, error)})") from None
        if isinstance(error, pyrage.DecryptError) and "No matching keys" in str(error):
            raise Invalid("The file was not encrypted to this identity", zh="该文件不是加密给此身份密钥的") from None
        raise Corrupt("The file was changed or cut after it was written", zh="文件在写入之后被更改或截断") from None


def recipient(text: str) -> Recipient:
    """A public key, `age1…`. Raises `Invalid`."""
    try:
        return Recipient.from_str(text)
    except pyrage.RecipientError:
        raise Invalid("A recipient is a public key of age, age1…", zh="接收方应为 age 公钥，形如 age1…") from None


def identities(file: Path) -> list[Identity]:
    """The private keys in a file as `age-keygen` writes it. Raises `Invalid`, `NotFound`, and shows nothing of it."""
    try:
        with file.open("rb") as stream:
            lines = stream.read(_MOST_IDENTITY_BYTES).decode("ascii").splitlines()
        return [Identity.from_str(line.strip()) for line in _keys(lines)]
    except OSError as error:
        raise NotFound(f"The identity file cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, pyrage.IdentityError):
        raise Invalid("The identity file holds no private key of age", zh="身份文件中没有 age 私钥") from None


def _keys(lines: Sequence[str]) -> list[str]:
    found = [line for line in lines if line.strip() and not line.startswith("#")]
    if not found:
        raise Invalid("The identity file holds no private key of age", zh="身份文件中没有 age 私钥")
    return found


def new_identity(file: Path, at: datetime) -> str:
    """Write a new private key to `file`, for its owner only; the public key. Raises `Conflict`, `Unavailable`."""
    made = Identity.generate()
    public = str(made.to_public())
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as out:
            out.write(f"# created: {at:%Y-%m-%dT%H:%M:%SZ}\n# public key: {public}\n{made}\n")
            out.flush()
            os.fsync(out.fileno())
    except FileExistsError:
        raise Conflict("The file exists already") from None
    except OSError as error:
        raise Unavailable(f"The file cannot be written ({error.strerror})") from None
    return public


def hash_of(file: Path) -> tuple[int, str]:
    """Size and SHA-256 in hex of a file as it is on the disk."""
    with file.open("rb") as stream:
        source = Hashed(stream)
        while source.read(_PIECE):
            pass
    return source.size, source.digest


def recipients_of(file: Path) -> int:
    """How many X25519 recipients the header of an age file names; needs no key. Raises `Corrupt`."""
    with file.open("rb") as stream:
        if stream.readline(len(MAGIC)) != MAGIC:
            raise Corrupt("The file is not an age file", zh="该文件不是 age 文件")
        count = 0
        while line := stream.readline(4096):
            count += line.startswith(_STANZA)
            if line.startswith(b"---"):
                return count
    raise Corrupt("The file ends in its header", zh="该文件在文件头处中断")


def _cause(source: Hashed, target: Hashed, error: Exception) -> str:
    found = source.error or target.error
    return (found.strerror if found is not None else None) or type(error).__name__
