"""The published vectors, against our code and a second reader written from the specification alone."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode

from keys.container import Place, unseal
from keys.errors import CannotOpen
from keys.secret import DataKey
from tests.keys.make_vectors import FILE, encoded

VECTORS: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
KEY = bytes.fromhex(VECTORS["data_key"])
KID = bytes.fromhex(VECTORS["kid"])


def named(vector: dict[str, Any]) -> str:
    return f"suite {vector['suite']}: {vector['comment'].partition(':')[0]}"


opens = pytest.mark.parametrize("vector", VECTORS["opens"], ids=named)
refused = pytest.mark.parametrize("vector", VECTORS["refused"], ids=named)


def place_of(vector: dict[str, Any]) -> Place:
    place = vector["place"]
    return Place(
        bytes.fromhex(place["deployment"]),
        bytes.fromhex(place["subject"]),
        place["scope"],
        place["record_type"],
        bytes.fromhex(place["record"]),
    )


def lp(part: bytes) -> bytes:
    return len(part).to_bytes(4, "big") + part


def record_keys(key: bytes, place: dict[str, str], box: bytes) -> bytes:
    """Section 4 of the specification."""
    context = box[2:3] + box[4:28]
    context += lp(bytes.fromhex(place["deployment"])) + lp(bytes.fromhex(place["subject"]))
    context += lp(place["scope"].encode()) + lp(place["record_type"].encode()) + lp(bytes.fromhex(place["record"]))
    kdf = KBKDFHMAC(
        SHA512(),
        Mode.CounterMode,
        length=64,
        rlen=4,
        llen=4,
        location=CounterLocation.BeforeFixed,
        label=b"steward/sealed-record/1",
        context=context,
        fixed=None,
    )
    return kdf.derive(key)


def read(key: bytes, kid: bytes, place: dict[str, str], box: bytes) -> dict[int, bytes] | None:
    """Section 7 of the specification, step by step, and nothing of our package. None: refuse."""
    if len(box) < 60 or box[0] != 0xF5 or box[1] != 1 or box[2] not in (1, 2) or box[3] == 0:
        return None
    count, at = box[3], 60 + 8 * box[3]
    covered, boxes = box[:28] + box[60:at], []
    for i in range(count):
        entry = box[60 + 8 * i : 68 + 8 * i]
        length = int.from_bytes(entry[4:], "big")
        nonce, text, tag = box[at : at + 12], box[at + 12 : at + 12 + length], box[at + 12 + length :][:16]
        covered += nonce + tag
        boxes.append((entry, nonce, text + tag))
        at += 28 + length
    ids = [entry[:2] for entry, _, _ in boxes]
    if at != len(box) or ids != sorted(set(ids)) or box[4:12] != kid:
        return None
    keys = record_keys(key, place, box)
    if not hmac.compare_digest(hmac.new(keys[32:], covered, hashlib.sha512).digest()[:32], box[28:60]):
        return None
    cipher = (AESGCMSIV if box[2] == 1 else AESGCM)(keys[:32])
    try:
        return {
            int.from_bytes(entry[:2], "big"): cipher.decrypt(nonce, sealed, box[:3] + box[4:28] + entry[:4])
            for entry, nonce, sealed in boxes
        }
    except InvalidTag:
        return None


def test_the_published_vectors_are_what_the_code_makes() -> None:
    assert FILE.read_text(encoding="utf-8") == encoded()


@opens
def test_a_published_container_opens(vector: dict[str, Any]) -> None:
    box = bytes.fromhex(vector["container"])
    fields = {int(field): bytes.fromhex(plaintext) for field, plaintext in vector["fields"].items()}
    assert unseal(DataKey(KID, bytearray(KEY)), place_of(vector), box) == fields
    assert read(KEY, KID, vector["place"], box) == fields
    assert record_keys(KEY, vector["place"], box).hex() == vector["record_keys"]


@refused
def test_a_published_forgery_does_not_open(vector: dict[str, Any]) -> None:
    box = bytes.fromhex(vector["container"])
    with pytest.raises(CannotOpen):
        unseal(DataKey(KID, bytearray(KEY)), place_of(vector), box)
    assert read(KEY, KID, vector["place"], box) is None


def test_the_hedged_nonces_are_those_of_the_specification() -> None:
    """Section 5; a reader does not need it, but a writer that gets it wrong may repeat a nonce."""
    for vector in VECTORS["opens"]:
        if vector["suite"] == 2 and "patched_from" not in vector:
            box = bytes.fromhex(vector["container"])
            fields = sorted((int(field), bytes.fromhex(text)) for field, text in vector["fields"].items())
            message = b"N" + bytes(range(0x20, 0x2C))
            for field, text in fields:
                message += field.to_bytes(2, "big") + vector["schema"].to_bytes(2, "big") + lp(text)
            mac_key = bytes.fromhex(vector["record_keys"])[32:]
            base = int.from_bytes(hmac.new(mac_key, message, hashlib.sha512).digest()[:12], "big")
            at = 60 + 8 * len(fields)
            for field, text in fields:
                assert box[at : at + 12] == (base ^ field).to_bytes(12, "big")
                at += 28 + len(text)
