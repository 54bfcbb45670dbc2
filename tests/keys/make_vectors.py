"""Writes tests/keys/vectors/sealed-record.json: ``python -m tests.keys.make_vectors``.

Keys, salts and nonces count upwards, so that anybody can make them again from the specification alone.
A test calls `document` and compares: the file changes only when the format does, and then the version must
too.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

from keys.container import Place, Suite, _patch, _record_keys, _seal
from keys.secret import DataKey

FILE: Final = Path(__file__).parent / "vectors" / "sealed-record.json"

_KEY = bytes(range(32))
_KID = bytes(range(0xA0, 0xA8))
_PLACE = Place(
    deployment=bytes.fromhex("d0d1d2d3d4d5d6d7d8d9dadbdcdddedf"),
    subject=bytes.fromhex("50515253545556575859 5a5b5c5d5e5f"),
    scope="main",
    record_type="member",
    record=bytes.fromhex("e0e1e2e3e4e5e6e7e8e9eaebecedeeef"),
)
_ODD = Place(deployment=b"\0", subject=b"", scope="发票", record_type="Ω", record=b"7")

_SEALS: Final[list[tuple[str, Place, dict[int, bytes], int]]] = [
    ("one empty field", _PLACE, {1: b""}, 1),
    ("one field", _PLACE, {1: b"hello"}, 1),
    ("three fields, given unsorted", _PLACE, {300: "你好".encode(), 7: b"", 2: bytes(33)}, 3),
    ("the ends of the ranges", _ODD, {0: b"\xff", 0xFFFF: b"\x00"}, 0xFFFF),
    ("255 fields", _PLACE, {field: bytes([field]) for field in range(255)}, 1),
]


def _counting(start: int) -> Callable[[int], bytes]:
    return lambda length: bytes((start + i) % 256 for i in range(length))


def _place(place: Place) -> dict[str, str]:
    return {
        "deployment": place.deployment.hex(),
        "subject": place.subject.hex(),
        "scope": place.scope,
        "record_type": place.record_type,
        "record": place.record.hex(),
    }


def _hex(fields: dict[int, bytes]) -> dict[str, str]:
    return {str(field): plaintext.hex() for field, plaintext in sorted(fields.items())}


def document() -> dict[str, object]:
    """The vectors: containers that open, how two were patched, and containers that must not open."""
    key = DataKey(_KID, bytearray(_KEY))
    opens, refused = [], []
    for suite in Suite:
        for comment, place, fields, schema in _SEALS:
            box = _seal(key, place, fields, schema, suite, _counting(0x10))
            opens.append(
                {
                    "comment": comment,
                    "suite": int(suite),
                    "place": _place(place),
                    "schema": schema,
                    "record_keys": _record_keys(key, place, box[:28]).hex(),
                    "fields": _hex(fields),
                    "container": box.hex(),
                }
            )
        before = _seal(key, _PLACE, {1: b"alpha", 2: b"gamma", 3: b"delta"}, 1, suite, _counting(0x10))
        after = _patch(key, _PLACE, before, {2: b"omega", 3: None, 9: b"new"}, 2, _counting(0x90))
        opens.append(
            {
                "comment": "patched: field 2 replaced, 3 removed, 9 added in `patched_from`",
                "suite": int(suite),
                "place": _place(_PLACE),
                "schema": 2,
                "record_keys": _record_keys(key, _PLACE, after[:28]).hex(),
                "fields": _hex({1: b"alpha", 2: b"omega", 9: b"new"}),
                "container": after.hex(),
                "patched_from": before.hex(),
            }
        )
        entries = before[60:84]
        boxes = before[84:]
        each = len(boxes) // 3
        for comment, box in {
            "magic": b"\xf4" + before[1:],
            "version": before[:1] + b"\x02" + before[2:],
            "unknown suite": before[:2] + b"\x03" + before[3:],
            "the other suite": before[:2] + bytes([3 - suite]) + before[3:],
            "no fields": before[:3] + b"\0" + before[4:60],
            "last byte missing": before[:-1],
            "a byte more": before + b"\0",
            "MAC": before[:28] + bytes(32) + before[60:],
            "salt": before[:12] + bytes(16) + before[28:],
            "a field dropped": before[:3] + b"\x02" + before[4:60] + entries[:16] + boxes[: 2 * each],
            "two fields exchanged": before[:84] + boxes[each : 2 * each] + boxes[:each] + boxes[2 * each :],
            "a field of the older version in the newer": after[: 60 + 24]
            + after[84 : 84 + each]
            + boxes[each : 2 * each]
            + after[84 + 2 * each :],
            "a ciphertext bit": before[:96] + bytes([before[96] ^ 1]) + before[97:],
        }.items():
            refused.append({"comment": comment, "suite": int(suite), "place": _place(_PLACE), "container": box.hex()})
        for comment, place in {
            "another deployment": Place(bytes(16), _PLACE.subject, "main", "member", _PLACE.record),
            "another subject": Place(_PLACE.deployment, bytes(16), "main", "member", _PLACE.record),
            "another scope": Place(_PLACE.deployment, _PLACE.subject, "mainm", "ember", _PLACE.record),
            "another record": Place(_PLACE.deployment, _PLACE.subject, "main", "member", bytes(16)),
        }.items():
            refused.append({"comment": comment, "suite": int(suite), "place": _place(place), "container": before.hex()})
    return {
        "format": "sealed record, version 1",
        "specification": "docs/sealed-record.md",
        "data_key": _KEY.hex(),
        "kid": _KID.hex(),
        "opens": opens,
        "refused": refused,
    }


def encoded() -> str:
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(encoded(), encoding="utf-8")
