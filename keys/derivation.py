"""One key from another: NIST SP 800-108r1 in counter mode, HMAC-SHA-512, 32-bit counter and length.

    K = HMAC-SHA-512(key, [1]_32 | label | 0x00 | context | [8 * length]_32)[:length]        for length <= 64

All labels of this package stand here, so that no two uses can share one.
"""

from __future__ import annotations

import struct

from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode

LABEL_RECORD = b"steward/sealed-record/1"
LABEL_DATA_KEY_WRAP = b"steward/data-key-wrap/1"
LABEL_LOCAL_ROOT_WRAP = b"steward/local-root-wrap/1"
LABEL_LOCAL_ROOT_CHECK = b"steward/local-root-check/1"
LABEL_BLIND_INDEX = b"steward/blind-index/1"

_SHA512 = SHA512()
_LENGTH = struct.Struct(">I")


def derive(key: bytearray, label: bytes, context: bytes, length: int) -> bytearray:
    """`length` bytes in a wipeable buffer.

    `hmac.digest` is 2 us faster but leaves the result in an immutable.
    """
    buffer = bytearray(length)
    KBKDFHMAC(_SHA512, Mode.CounterMode, length, 4, 4, CounterLocation.BeforeFixed, label, context, None).derive_into(
        key, buffer
    )
    return buffer


def length_prefixed(*parts: bytes) -> bytes:
    """Each part behind its length (u32 big-endian), so that no two lists of parts give the same bytes."""
    pack = _LENGTH.pack
    return b"".join([pack(len(part)) + part for part in parts])
