"""Key objects: they hide, they do not travel, and they end."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from keys.errors import KeysError
from keys.secret import DataKey, Secret

ROOT = Path(__file__).resolve().parents[2]

kinds = pytest.mark.parametrize("make", [Secret.random, DataKey.random], ids=["Secret", "DataKey"])
Make = Callable[[], Secret]


@kinds
def test_a_key_does_not_show_itself(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    key = make()
    shown = [repr(key), str(key), "%s %r" % (key, key), repr([key]), ascii(key)]  # noqa: UP031
    logging.getLogger("keys").warning("%s %r", key, key)
    for text in [*shown, caplog.text]:
        assert key.expose().hex() not in text
        assert repr(bytes(key.expose()))[2:-1] not in text
    with pytest.raises(TypeError):
        f"{key}"
    with pytest.raises(TypeError):
        json.dumps(key)
    with pytest.raises(TypeError):
        bytes(key)  # type: ignore[call-overload]
    assert not hasattr(key, "__dict__")


@kinds
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_key_cannot_be_pickled(make: Make, protocol: int) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(make(), protocol)


@kinds
def test_a_key_cannot_be_copied_hashed_or_compared(make: Make) -> None:
    key = make()
    for forbidden in (copy.copy, copy.deepcopy, hash):
        with pytest.raises(TypeError):
            forbidden(key)
    for other in (key, make(), b"", None):
        with pytest.raises(TypeError):
            key == other  # noqa: B015
        with pytest.raises(TypeError):
            key != other  # noqa: B015
    with pytest.raises(TypeError):
        {key}  # noqa: B018


@kinds
def test_keys_compare_by_asking(make: Make) -> None:
    key = make()
    assert key.same_as(Secret(bytearray(key.expose())))
    assert not key.same_as(make())


@kinds
def test_a_wiped_key_is_zeros_and_cannot_be_used(make: Make) -> None:
    key = make()
    buffer = key.expose()
    assert any(buffer)
    with key as same:
        assert same is key
    assert buffer == bytearray(32)
    assert key.is_wiped
    key.wipe()
    with pytest.raises(KeysError):
        key.expose()
    with pytest.raises(KeysError):
        key.same_as(make())


@kinds
def test_a_key_is_wiped_when_an_exception_passes_and_when_it_is_collected(make: Make) -> None:
    key = make()
    first = key.expose()
    with pytest.raises(LookupError), key:
        raise LookupError
    assert not any(first)
    key = make()
    second = key.expose()
    del key
    assert not any(second)


def test_random_keys_differ() -> None:
    keys = [DataKey.random() for _ in range(100)]
    assert len({bytes(key.expose()) for key in keys}) == 100
    assert len({key.kid for key in keys}) == 100


# Needles are kept inverted and the memory is inverted as it is read, so that the search does not find itself.
_SCAN = """
import os, sys
from pathlib import Path
from keys.container import Place, seal, unseal
from keys.keyring import Keyring
from keys.kms import create_root
from keys.store import KeyStore

home = Path(sys.argv[1])
store = KeyStore.create(f"sqlite:///{home / 'keys.db'}")
keyring = Keyring.create(store, create_root("local", home))
inverted = bytes(255 - i for i in range(256))
control = bytearray(os.urandom(32))
needles = [control.translate(inverted)]
for _ in range(50):
    subject = os.urandom(16)
    place = Place(keyring.deployment, subject, "main", "member", b"1")
    wrapped, key = keyring.new_data_key(subject)
    needles.append(key.expose().translate(inverted))
    with key:
        box = seal(key, place, {1: b"value"})
    with keyring.unwrap(wrapped) as key:
        unseal(key, place, box)
found = set()
with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
    for line in maps:
        span, rights = line.split()[:2]
        if "rw" not in rights or "[v" in line:
            continue
        start, end = (int(edge, 16) for edge in span.split("-"))
        memory.seek(start)
        content = memory.read(end - start).translate(inverted)
        found |= {i for i, needle in enumerate(needles) if needle in content}
print(sorted(found))
"""


def test_no_copy_of_a_wiped_data_key_is_left_in_the_process(tmp_path: Path) -> None:
    """Made, wrapped, unwrapped, used and wiped fifty times over; the search finds only the control."""
    scan = subprocess.run(
        [sys.executable, "-c", _SCAN, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert scan.stdout.strip() == "[0]"
