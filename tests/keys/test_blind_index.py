"""The blind index: equal for equals, apart for all else, and spread evenly."""

from __future__ import annotations

import copy
import hmac
import pickle
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode
from hypothesis import given
from hypothesis import strategies as st

from keys.blind_index import BlindIndex, default_bits
from keys.errors import KeysError
from keys.secret import Secret

ROOT = bytes(range(32))


def index(root: bytes = ROOT, version: int = 1) -> BlindIndex:
    return BlindIndex(version, Secret(bytearray(root)))


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.binary(), st.integers(8, 63))
def test_a_token_is_the_documented_one(record_type: str, field: str, normaliser: str, value: bytes, bits: int) -> None:
    context = b"".join(
        len(part).to_bytes(4, "big") + part for part in (record_type.encode(), field.encode(), normaliser.encode())
    ) + bytes([bits])
    key = KBKDFHMAC(
        SHA512(),
        Mode.CounterMode,
        32,
        4,
        4,
        CounterLocation.BeforeFixed,
        b"steward/blind-index/1",
        context,
        None,
    ).derive(ROOT)
    digest = hmac.digest(key, value, "sha256")
    token = index().token(record_type, field, normaliser, value, bits=bits)
    assert token == int.from_bytes(digest, "big") >> (256 - bits)
    assert 0 <= token < 2**bits


def test_every_part_of_the_name_and_the_root_is_another_key() -> None:
    def token(of: BlindIndex, record_type: str, field: str, normaliser: str, bits: int = 63) -> int:
        return of.token(record_type, field, normaliser, b"+8613800138000", bits=bits)

    names = [
        ("member", "phone", "e164/1"),
        ("order", "phone", "e164/1"),
        ("member", "mobile", "e164/1"),
        ("member", "phone", "e164/2"),
        ("memberp", "hone", "e164/1"),
    ]
    one = index()
    tokens = [token(one, *name) for name in names]
    tokens += [token(index(bytes(32)), *names[0]), token(one, *names[0], bits=62) * 2]
    assert len(set(tokens)) == len(tokens)
    assert token(one, *names[0]) == token(index(), *names[0])


def test_tokens_are_spread_evenly() -> None:
    """4,096 values over 256 tokens, 16 each on average; a chi-square of 400 has odds below one in 10**7."""
    one = index()
    counts = Counter(one.token("m", "f", "n", str(i).encode(), bits=8) for i in range(4096))
    assert sum((counts[token] - 16) ** 2 / 16 for token in range(256)) < 400


@pytest.mark.parametrize("bits", [-1, 0, 7, 64, 256])
def test_too_few_or_too_many_bits_are_refused(bits: int) -> None:
    with pytest.raises(KeysError):
        index().token("member", "phone", "e164/1", b"x", bits=bits)


def test_the_default_leaves_four_to_eight_candidates_a_token() -> None:
    assert {planned: default_bits(planned) for planned in (0, 1, 1000, 10**6, 10**7, 10**8)} == {
        0: 8,
        1: 8,
        1000: 8,
        10**6: 17,
        10**7: 21,
        10**8: 24,
    }
    for exponent in range(11, 60):
        assert default_bits(2**exponent) == exponent - 2
        assert default_bits(2**exponent - 1) == max(8, exponent - 3)
    assert default_bits(2**80) == 63


def test_derived_keys_are_remembered_within_bounds_and_wiped() -> None:
    one = index()
    first = one.token("member", "phone", "0", b"x", bits=8)
    key = one._derived["member", "phone", "0", 8]
    buffer = key.expose()
    for i in range(5000):
        one.token("member", "phone", str(i), b"x", bits=8)
    assert len(one._derived) <= 4096
    assert one.token("member", "phone", "0", b"x", bits=8) == first
    del key
    remaining = [key.expose() for key in one._derived.values()]
    one.wipe()
    assert not any(any(buffer) for buffer in remaining)
    assert buffer == bytearray(32)
    with pytest.raises(KeysError):
        one.token("member", "phone", "0", b"x", bits=8)


def test_threads_agree() -> None:
    one = index()
    with ThreadPoolExecutor(8) as threads:
        tokens = threads.map(lambda i: one.token("m", "f", str(i % 7), b"x", bits=63), range(700))
    assert len(set(tokens)) == 7
    assert len(one._derived) == 7


def test_an_index_hides_its_keys_and_does_not_travel() -> None:
    one = index(version=3)
    assert one.version == 3
    assert repr(one) == "<BlindIndex version 3>"
    for forbidden in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            forbidden(one)
