"""Key bytes that can be wiped, and that do not leave the process by accident.

`bytes` cannot be wiped: 2,000 keys decrypted to `bytes` and freed are 2,000 copies still in memory.
So key material lives in a `bytearray` that `Secret` owns, zeroes when its block ends, and never prints,
pickles, copies, hashes or compares with ``==``.
"""

from __future__ import annotations

import hmac
import os
from types import TracebackType
from typing import NoReturn, Self, SupportsIndex

from keys.errors import KeysError

KID_BYTES = 8
KEY_BYTES = 32


class Secret:
    """A buffer of key material, wiped on leaving its ``with`` block, by `wipe`, or when collected.

    It takes ownership of `buffer`: the caller keeps no other use for it.
    """

    __slots__ = ("_alive", "_buffer")

    def __init__(self, buffer: bytearray) -> None:
        self._buffer = buffer
        self._alive = True

    @classmethod
    def random(cls, length: int = KEY_BYTES) -> Self:
        """`length` bytes from the kernel's generator (`os.urandom` would leave an immutable copy behind)."""
        return cls(random_buffer(length))

    def expose(self) -> bytearray:
        """The buffer itself, not a copy.

        Raises KeysError once wiped, so that nothing is sealed under zeros.
        """
        if not self._alive:
            raise KeysError("the secret has been wiped")
        return self._buffer

    def same_as(self, other: Secret) -> bool:
        """Constant-time comparison."""
        return hmac.compare_digest(self.expose(), other.expose())

    def wipe(self) -> None:
        """Zero the buffer in place. May be called any number of times."""
        self._alive = False
        wipe(self._buffer)

    @property
    def is_wiped(self) -> bool:
        return not self._alive

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wipe()

    def __del__(self) -> None:
        # A subclass whose __init__ failed has no buffer.
        buffer = getattr(self, "_buffer", None)
        if buffer is not None:
            wipe(buffer)

    def __len__(self) -> int:
        return len(self._buffer)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} hidden>"

    __str__ = __repr__

    def __format__(self, spec: str) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} cannot be formatted")

    def __hash__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} cannot be hashed")

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} is compared with same_as()")

    def __ne__(self, other: object) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} is compared with same_as()")

    def __copy__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} cannot be copied")

    def __deepcopy__(self, memo: object) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} cannot be copied")

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} cannot be pickled")

    def __getstate__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} cannot be pickled")


class DataKey(Secret):
    """The 256-bit key of one (subject, scope).

    `kid` is 8 random bytes and is never used again after erasure.
    """

    __slots__ = ("kid",)

    def __init__(self, kid: bytes, buffer: bytearray) -> None:
        super().__init__(buffer)
        self.kid = kid

    @classmethod
    def random(cls, length: int = KEY_BYTES) -> Self:
        return cls(os.urandom(KID_BYTES), random_buffer(length))


def wipe(buffer: bytearray) -> None:
    """Zero `buffer` in place; slice assignment of the same length never moves a bytearray."""
    buffer[:] = bytes(len(buffer))


def random_buffer(length: int) -> bytearray:
    """Random bytes read straight into a wipeable buffer.

    The device is opened for each call: a descriptor kept open could be closed by a daemoniser and be reused
    for another file, which we would then read as a key.
    """
    buffer = bytearray(length)
    descriptor = os.open("/dev/urandom", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.readv(descriptor, [buffer]) != length:
            raise KeysError("the kernel's random generator gave too few bytes")
    finally:
        os.close(descriptor)
    return buffer
