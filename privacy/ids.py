"""Identifiers: UUID version 7 (RFC 9562 5.7), so that new rows meet at the right edge of every index.

They say when something was made and nothing about whom it concerns.
"""

from __future__ import annotations

import os
import time
from uuid import UUID

_VERSION = 0x7 << 76
_VARIANT = 0x2 << 62
_RANDOM = (1 << 62) - 1
_last = 0


def new() -> UUID:
    """A new id, greater than those this process made before.

    48 bit of milliseconds, 12 bit of their fraction (RFC 9562 6.2 method 3), 62 random bits.
    """
    global _last  # noqa: PLW0603 - the clock may stand still or step back; ids may not
    whole, rest = divmod(time.time_ns(), 1_000_000)
    ticks = (whole << 12) | (rest * 4096 // 1_000_000)
    ticks = _last = ticks if ticks > _last else _last + 1
    random = int.from_bytes(os.urandom(8), "big") & _RANDOM
    return UUID(int=(ticks >> 12 << 80) | _VERSION | ((ticks & 0xFFF) << 64) | _VARIANT | random)
