"""What the key store keeps: wrapped keys, and whose store it is. Rows, without behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class WrappedKey(NamedTuple):
    """A data key as it is stored.

    48 bytes of AES-256-SIV under version `kek`, bound to everything else here.
    """

    subject: bytes
    scope: str
    kid: bytes
    kek: int
    wrapped: bytes

    def __repr__(self) -> str:
        return f"<WrappedKey {self.kid.hex()} under KEK {self.kek}>"


@dataclass(frozen=True, slots=True, repr=False)
class RootSecret:
    """A KEK version or the root of another key tree (index, fingerprint, signing), under the root key."""

    kind: str
    version: int
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class Ownership:
    """Whose key store this is, and the oldest KEK version that may still wrap new data keys."""

    deployment: bytes
    min_encryption_version: int
