"""The blind index: find equal values without decrypting, under keys apart from encryption.

    key   = SP 800-108(index root, "steward/blind-index/1", lp(record type) lp(field) lp(normaliser) bits
    u8), 32 bytes token = first `bits` bits of HMAC-SHA-256(key, normalised value), as an unsigned integer

Rotating KEKs or data keys leaves the index alone; who may search needs no data key, and a holder of a data
key cannot probe. A token is truncated so that it has several candidates, and every hit is decrypted and
compared.
"""

from __future__ import annotations

import hmac
import threading
from typing import Final, NoReturn, SupportsIndex

from keys.derivation import LABEL_BLIND_INDEX, derive, length_prefixed
from keys.errors import KeysError
from keys.secret import KEY_BYTES, Secret

MIN_BITS: Final = 8
MAX_BITS: Final = 63  # a token fits a signed 64-bit column
_MAX_CACHED = 4096


class BlindIndex:
    """Thread-safe. `version` is the version of the index root, stored beside every token."""

    def __init__(self, version: int, root: Secret) -> None:
        """Takes over `root`; `wipe` ends it."""
        self.version = version
        self._root = root
        self._derived: dict[tuple[str, str, str, int], Secret] = {}
        self._lock = threading.Lock()

    def token(self, record_type: str, field: str, normaliser: str, value: bytes, *, bits: int) -> int:
        """0 <= token < 2**bits for a `value` that the caller has normalised.

        `normaliser` names the transform and its version: another version is another key, hence other tokens.
        Raises KeysError for `bits` outside 8..63.
        """
        name = (record_type, field, normaliser, bits)
        key = self._derived.get(name) or self._derive(name)
        digest = hmac.digest(key.expose(), value, "sha256")
        return int.from_bytes(digest[:8], "big") >> (64 - bits)

    def wipe(self) -> None:
        """Wipe the root and every derived key. The index is of no use afterwards."""
        with self._lock:
            self._root.wipe()
            self._forget()

    def _derive(self, name: tuple[str, str, str, int]) -> Secret:
        record_type, field, normaliser, bits = name
        if not MIN_BITS <= bits <= MAX_BITS:
            raise KeysError(f"a blind index has {MIN_BITS} to {MAX_BITS} bits")
        context = length_prefixed(record_type.encode(), field.encode(), normaliser.encode()) + bytes([bits])
        with self._lock:
            if len(self._derived) >= _MAX_CACHED:
                # Not wiped: another thread may be using one of them. Each wipes itself when collected.
                self._derived = {}
            key = Secret(derive(self._root.expose(), LABEL_BLIND_INDEX, context, KEY_BYTES))
            return self._derived.setdefault(name, key)

    def _forget(self) -> None:
        for key in self._derived.values():
            key.wipe()
        self._derived = {}

    def __repr__(self) -> str:
        return f"<BlindIndex version {self.version}>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a BlindIndex cannot be pickled or copied")


def default_bits(planned: int) -> int:
    """Bits for `planned` distinct values: max(8, floor(log2 N) - 2), about four to eight candidates a token.

    The bound sqrt(N) < 2**bits < N/2 is that of CipherSweet's planner and of AWS DB-ESDK beacons.
    """
    return min(MAX_BITS, max(MIN_BITS, planned.bit_length() - 3))
