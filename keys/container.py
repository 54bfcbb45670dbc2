"""The sealed record, version 1: one container per record, one independently openable box per field.

All integers are big-endian. ``lp(x)`` is the length of x as u32, then x. The full specification, with what
each check stops and test vectors, is docs/sealed-record.md.

::

    0   magic    u8   0xF5, a byte that no UTF-8 text holds
    1   version  u8   1
    2   suite    u8   1 AES-256-GCM-SIV (RFC 8452)    2 AES-256-GCM (SP 800-38D) with hedged nonces
    3   n        u8   number of fields, 1..255
    4   kid      8    id of the data key
    12  salt     16   random, new with every seal
    28  mac      32   HMAC-SHA-512(K_mac, bytes 0..27 | directory | (nonce | tag) of every field in
    order)[:32] 60  n times       field id u16 | schema version u16 | plaintext length u32        field ids
    strictly ascending ..  n times       nonce 12 | ciphertext | tag 16                                  in
    the order of the directory

    K_enc 32 | K_mac 32 = SP 800-108r1 counter mode, HMAC-SHA-512, from the data key,
        label   = "steward/sealed-record/1"
        context = suite u8 | kid | salt | lp(deployment) lp(subject) lp(scope) lp(record type) lp(record id)
    associated data of a field = bytes 0..2 | kid | salt | field id u16 | schema version u16
    nonce, suite 1 = 12 random bytes
    nonce, suite 2 = N0 xor field id (both as 96-bit integers), one N0 for each write:
        N0 = HMAC-SHA-512(K_mac, "N" | random 12 | (field id u16 | schema version u16 | lp(plaintext)) of
        every
             field written, in ascending order)[:12]
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import IntEnum
from hmac import compare_digest
from hmac import digest as hmac_digest
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV

from keys.derivation import LABEL_RECORD, derive, length_prefixed
from keys.errors import CannotOpen, KeysError
from keys.secret import DataKey

MAGIC: Final = 0xF5
VERSION: Final = 1
MAX_FIELDS: Final = 255
# GCM-SIV is specified up to 2**36 bytes, GCM to just below; this keeps u32 arithmetic and memory sane.
MAX_PLAINTEXT_BYTES: Final = 2**31 - 1 - 16

_KID = slice(4, 12)
_SALT = slice(12, 28)
_MAC = slice(28, 60)
_HEADER_BYTES = 60
_ENTRY_BYTES = 8
_NONCE_BYTES = 12
_TAG_BYTES = 16
_BOX_OVERHEAD = _NONCE_BYTES + _TAG_BYTES
_KEYS_BYTES = 64
_WIPED = bytes(_KEYS_BYTES)

_PREFIX = struct.Struct(">BBBB8s16s")
_DIRECTORY = tuple(struct.Struct(">" + "HHI" * n) for n in range(MAX_FIELDS + 1))
_ENTRY = struct.Struct(">HHI")
_FIELD = struct.Struct(">HH")

# A record MAC starts with the magic byte, a nonce with this one: K_mac serves both without overlap.
_HEDGE = b"N"

Randomness = Callable[[int], bytes]


class Suite(IntEnum):
    """GCM_SIV survives a repeated random state (a restored snapshot) and is the default.

    GCM is for FIPS modules.
    """

    GCM_SIV = 1
    GCM = 2


_CIPHERS: Final[Mapping[int, type[AESGCMSIV] | type[AESGCM]]] = {Suite.GCM_SIV: AESGCMSIV, Suite.GCM: AESGCM}


class Place(NamedTuple):
    """Where a record lives. A container opens only at the place it was sealed for."""

    deployment: bytes
    subject: bytes
    scope: str
    record_type: str
    record: bytes


class Entry(NamedTuple):
    """One line of the directory: readable by anybody, trustworthy only after `unseal`.

    `length` is in bytes.
    """

    field: int
    schema: int
    length: int


# field id, schema version, nonce, ciphertext | tag. A plain tuple: a named one costs 0.4 us a field.
_Box = tuple[int, int, bytes, bytes]


class _Parsed(NamedTuple):
    prefix: bytes
    covered: bytes  # what the MAC is over
    spans: list[tuple[int, int, int, int]]  # field id, schema version, start and end of nonce | ciphertext | tag


def seal(
    key: DataKey, place: Place, fields: Mapping[int, bytes], *, schema: int = 1, suite: Suite = Suite.GCM_SIV
) -> bytes:
    """A container of `fields` (id -> plaintext) under a fresh record key.

    It is 60 + 36 bytes a field longer than the plaintexts. Raises KeysError when `fields` is empty or has
    more than 255 entries, or when an id or the schema version is not a u16.
    """
    return _seal(key, place, fields, schema, suite, os.urandom)


def unseal(key: DataKey, place: Place, container: bytes, wanted: Collection[int] | None = None) -> dict[int, bytes]:
    """The plaintexts of `wanted` field ids (None: all); ids that the record lacks are left out.

    The MAC over header, directory, nonces and tags is checked first, in constant time; only then are the
    wanted boxes opened, and no other. Raises CannotOpen for every kind of failure, with nothing opened.
    """
    prefix, covered, spans = _parse(container)
    keys = _record_keys(key, place, prefix)
    try:
        _verify(keys, covered, container)
        cipher = _CIPHERS[prefix[2]](memoryview(keys)[:32])
        associated = prefix[:3] + prefix[4:]
        return {
            field: cipher.decrypt(
                container[at : at + _NONCE_BYTES],
                container[at + _NONCE_BYTES : end],
                associated + _FIELD.pack(field, version),
            )
            for field, version, at, end in spans
            if wanted is None or field in wanted
        }
    except InvalidTag:
        raise CannotOpen from None
    finally:
        keys[:] = _WIPED


def patch(
    key: DataKey, place: Place, container: bytes, changes: Mapping[int, bytes | None], *, schema: int = 1
) -> bytes:
    """A container with some fields replaced or added (bytes) or removed (None); the others are not opened.

    Verifies first, as `unseal` does, and raises CannotOpen; raises KeysError when nothing would be left or
    the limits of `seal` are passed. Removing a field that is not there changes nothing. Suite and salt stay.
    """
    return _patch(key, place, container, changes, schema, os.urandom)


def directory(container: bytes) -> tuple[Entry, ...]:
    """What the container says it holds, without a key, hence unverified. Raises CannotOpen when malformed."""
    return tuple(Entry(field, version, end - at - _BOX_OVERHEAD) for field, version, at, end in _parse(container).spans)


def kid_of(container: bytes) -> bytes:
    """The id of the data key that the container names, unverified. Raises CannotOpen when malformed."""
    if len(container) < _HEADER_BYTES or container[0] != MAGIC or container[1] != VERSION:
        raise CannotOpen
    return bytes(container[_KID])


def _seal(
    key: DataKey, place: Place, fields: Mapping[int, bytes], schema: int, suite: Suite, random: Randomness
) -> bytes:
    _check(fields, schema)
    count = len(fields)
    drawn = random(16 + _NONCE_BYTES * count)
    prefix = _PREFIX.pack(MAGIC, VERSION, suite, count, key.kid, drawn[:16])
    keys = _record_keys(key, place, prefix)
    try:
        boxes = _close(keys, prefix, sorted(fields.items()), schema, drawn[16:])
        return _assemble(keys, prefix, boxes)
    finally:
        keys[:] = _WIPED


def _patch(
    key: DataKey,
    place: Place,
    container: bytes,
    changes: Mapping[int, bytes | None],
    schema: int,
    random: Randomness,
) -> bytes:
    prefix, covered, spans = _parse(container)
    keys = _record_keys(key, place, prefix)
    try:
        _verify(keys, covered, container)
        written = {field: value for field, value in changes.items() if value is not None}
        kept = [
            (field, version, container[at : at + _NONCE_BYTES], container[at + _NONCE_BYTES : end])
            for field, version, at, end in spans
            if field not in changes
        ]
        if written:
            _check(written, schema)
        if not 1 <= len(kept) + len(written) <= MAX_FIELDS:
            raise KeysError(f"a sealed record holds 1 to {MAX_FIELDS} fields")
        prefix = prefix[:3] + bytes([len(kept) + len(written)]) + prefix[4:]
        new = _close(keys, prefix, sorted(written.items()), schema, random(_NONCE_BYTES * len(written)))
        return _assemble(keys, prefix, sorted(kept + new))
    finally:
        keys[:] = _WIPED


def _check(fields: Mapping[int, bytes], schema: int) -> None:
    if not 1 <= len(fields) <= MAX_FIELDS:
        raise KeysError(f"a sealed record holds 1 to {MAX_FIELDS} fields")
    if not 0 <= schema <= 0xFFFF or not all(0 <= field <= 0xFFFF for field in fields):
        raise KeysError("field ids and schema versions are 0 to 65535")
    if max(map(len, fields.values())) > MAX_PLAINTEXT_BYTES:
        raise KeysError("a field is too long to be sealed")


def _record_keys(key: DataKey, place: Place, prefix: bytes) -> bytearray:
    """K_enc | K_mac, bound to suite, key, salt and place. The caller wipes it."""
    if prefix[_KID] != key.kid:
        raise CannotOpen
    context = b"%c%b%b" % (
        prefix[2],
        prefix[4:],
        length_prefixed(
            place.deployment, place.subject, place.scope.encode(), place.record_type.encode(), place.record
        ),
    )
    return derive(key.expose(), LABEL_RECORD, context, _KEYS_BYTES)


def _close(
    keys: bytearray, prefix: bytes, fields: Sequence[tuple[int, bytes]], schema: int, random: bytes
) -> list[_Box]:
    suite = prefix[2]
    cipher = _CIPHERS[suite](memoryview(keys)[:32])
    associated = prefix[:3] + prefix[4:]
    base = _hedged(keys, fields, schema, random[:_NONCE_BYTES]) if suite == Suite.GCM else None
    boxes = []
    at = 0
    for field, plaintext in fields:
        if base is None:
            nonce = random[at : at + _NONCE_BYTES]
            at += _NONCE_BYTES
        else:
            nonce = (base ^ field).to_bytes(_NONCE_BYTES, "big")
        sealed = cipher.encrypt(nonce, plaintext, associated + _FIELD.pack(field, schema))
        boxes.append((field, schema, nonce, sealed))
    return boxes


def _hedged(keys: bytearray, fields: Sequence[tuple[int, bytes]], schema: int, random: bytes) -> int:
    """N0: a repeated random state gives a repeated nonce only for a repeated write.

    One HMAC, not one a field.
    """
    message = [_HEDGE, random]
    for field, plaintext in fields:
        message += (_ENTRY.pack(field, schema, len(plaintext)), plaintext)
    return int.from_bytes(hmac_digest(memoryview(keys)[32:], b"".join(message), "sha512")[:_NONCE_BYTES], "big")


def _assemble(keys: bytearray, prefix: bytes, boxes: Sequence[_Box]) -> bytes:
    listed: list[int] = []
    covered = [prefix, b""]
    body = [prefix, b"", b""]
    for field, schema, nonce, sealed in boxes:
        listed += (field, schema, len(sealed) - _TAG_BYTES)
        covered += (nonce, sealed[-_TAG_BYTES:])
        body += (nonce, sealed)
    covered[1] = body[2] = _DIRECTORY[len(boxes)].pack(*listed)
    body[1] = hmac_digest(memoryview(keys)[32:], b"".join(covered), "sha512")[:32]
    return b"".join(body)


def _parse(container: bytes) -> _Parsed:
    """Reads the layout. Accepts exactly one encoding of each content, and raises CannotOpen for all else."""
    if len(container) < _HEADER_BYTES or container[0] != MAGIC or container[1] != VERSION:
        raise CannotOpen
    count = container[3]
    at = _HEADER_BYTES + count * _ENTRY_BYTES
    if container[2] not in _CIPHERS or not count or len(container) < at:
        raise CannotOpen
    prefix, listed = container[:28], container[_HEADER_BYTES:at]
    covered = [prefix, listed]
    spans = []
    previous = -1
    for field, version, length in _ENTRY.iter_unpack(listed):
        if field <= previous:
            raise CannotOpen
        previous = field
        end = at + length + _BOX_OVERHEAD
        covered += (container[at : at + _NONCE_BYTES], container[end - _TAG_BYTES : end])
        spans.append((field, version, at, end))
        at = end
    # Slices past the end are short, never wrong; the sum is checked once, here.
    if at != len(container):
        raise CannotOpen
    return _Parsed(prefix, b"".join(covered), spans)


def _verify(keys: bytearray, covered: bytes, container: bytes) -> None:
    expected = hmac_digest(memoryview(keys)[32:], covered, "sha512")[:32]
    if not compare_digest(expected, container[_MAC]):
        raise CannotOpen
