"""Holders of the root key. It wraps KEK versions and the roots of the other key trees, and never leaves.

A backend is chosen by address: ``local`` or ``local:/path/to/root.key``. Every backend wraps
``key(32) | SHA-256(context)(32)`` and compares after unwrapping, because not every holder binds a context by
itself: PKCS#11 has no associated data, and OpenBao's rewrap cannot carry any.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Protocol, runtime_checkable

from keys.errors import BadRootKey, CannotOpen
from keys.secret import KEY_BYTES, Secret, wipe


class RootKey(Protocol):
    """A holder of the root key.

    Raises RootKeyUnavailable (retry later), RootKeyDenied (fail closed) or CannotOpen (not ours, or moved).
    """

    def wrap(self, context: bytes, key: Secret | bytearray) -> bytes:
        """A blob that `unwrap` opens under the same context only.

        `key` is 32 bytes and stays the caller's.
        """

    def unwrap(self, context: bytes, blob: bytes) -> Secret:
        """The key, in a buffer that the caller wipes."""

    def rewrap(self, context: bytes, blob: bytes) -> bytes:
        """The same key under the newest version of the root key.

        Where the holder can, the key stays inside.
        """

    def describe(self) -> str:
        """Kind and address, for an operator; nothing secret."""

    def health(self) -> None:
        """Return when the root key can be used now; raise as `unwrap` would otherwise."""


@runtime_checkable
class ReplaceableRootKey(Protocol):
    """A root key that is replaced by another one, where a KMS would keep versions inside.

    Between `successor` and `succeed` both are there, and `unwrap` opens what either has wrapped.
    """

    def successor(self) -> RootKey:
        """The next root key, durable; asked again, also by another process or after a crash, the same one."""

    def has_successor(self) -> bool:
        """Whether there is a successor already: a replacement is on its way, or a crash has left it."""

    def succeed(self, successor: RootKey) -> None:
        """Become `successor` and destroy the key there was.

        Only once everything is wrapped by it. Does nothing when another process did it.
        """


def open_root(url: str, home: Path) -> RootKey:
    """The root key at `url`; `local` alone is the file ``root.key`` in `home`.

    Raises BadRootKey for an address of an unknown kind or a file that cannot be trusted.
    """
    from keys.kms.local import LocalRootKey

    return LocalRootKey.open(_local_path(url, home))


def create_root(url: str, home: Path) -> RootKey:
    """A new root key at `url`. Never overwrites: raises BadRootKey when there is one."""
    from keys.kms.local import LocalRootKey

    return LocalRootKey.create(_local_path(url, home))


def bind(context: bytes, key: Secret | bytearray) -> bytearray:
    """What a backend hands to its root key: ``key | SHA-256(context)``. The caller wipes it."""
    exposed = key.expose() if isinstance(key, Secret) else key
    if len(exposed) != KEY_BYTES:
        raise BadRootKey(f"only keys of {KEY_BYTES} bytes are wrapped by a root key")
    bound = bytearray(KEY_BYTES + 32)
    bound[:KEY_BYTES] = exposed
    bound[KEY_BYTES:] = hashlib.sha256(context).digest()
    return bound


def unbind(context: bytes, bound: bytearray) -> Secret:
    """The key of `bind`; wipes `bound`. Raises CannotOpen when it was bound to another context."""
    try:
        matches = len(bound) == KEY_BYTES + 32 and hmac.compare_digest(
            memoryview(bound)[KEY_BYTES:], hashlib.sha256(context).digest()
        )
        if not matches:
            raise CannotOpen
        return Secret(bound[:KEY_BYTES])
    finally:
        wipe(bound)


def _local_path(url: str, home: Path) -> Path:
    scheme, _, rest = url.partition(":")
    if scheme != "local":
        raise BadRootKey(
            f"no root key backend is called {scheme!r}; there is: local (a file in the data folder), "
            "local:/path/to/file"
        )
    path = rest.removeprefix("//")
    return home / path if path else home / "root.key"
