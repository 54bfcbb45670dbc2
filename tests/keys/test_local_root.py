"""The root key in a file: created once, safe or refused, and with a passphrase useless without it."""

from __future__ import annotations

import copy
import os
import pickle
import stat
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from keys.errors import BadRootKey, CannotOpen, RootKeyUnavailable
from keys.kms import RootKey, bind, create_root, open_root, unbind
from keys.kms.local import PASSPHRASE_VARIABLE, Argon2Cost, LocalRootKey
from keys.secret import Secret

PASSPHRASE = "correct horse battery staple"
# The least that Argon2 takes; the real cost is checked once.
CHEAP = Argon2Cost(iterations=1, lanes=1, memory_kib=8)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "root.key"


@pytest.fixture(params=["plain", "passphrase"])
def made(request: pytest.FixtureRequest, file: Path, monkeypatch: pytest.MonkeyPatch) -> LocalRootKey:
    if request.param == "passphrase":
        monkeypatch.setenv(PASSPHRASE_VARIABLE, PASSPHRASE)
    return LocalRootKey.create(file, cost=CHEAP)


def refused(file: Path, reason: str) -> None:
    with pytest.raises(BadRootKey, match=reason):
        LocalRootKey.open(file)


def test_what_the_root_key_wraps_it_unwraps_after_a_restart(made: LocalRootKey, file: Path) -> None:
    with Secret.random() as key:
        blob = made.wrap(b"context", key)
        with LocalRootKey.open(file).unwrap(b"context", blob) as again:
            assert key.same_as(again)
        assert made.wrap(b"context", bytearray(key.expose())) == blob
        assert made.rewrap(b"context", blob) == blob
        assert bytes(key.expose()) not in blob


def test_a_blob_opens_under_its_own_context_and_unchanged_only(made: LocalRootKey) -> None:
    with Secret.random() as key:
        blob = made.wrap(b"context", key)
    for wrong in (blob[:-1], blob + b"\0", b"", bytes(80), *(flipped(blob, bit) for bit in range(0, 640, 5))):
        with pytest.raises(CannotOpen):
            made.unwrap(b"context", wrong)
    for context in (b"", b"contex", b"context\0"):
        with pytest.raises(CannotOpen):
            made.unwrap(context, blob)
        with pytest.raises(CannotOpen):
            made.rewrap(context, blob)


def flipped(blob: bytes, bit: int) -> bytes:
    changed = bytearray(blob)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_two_root_keys_do_not_open_each_others_blobs(tmp_path: Path) -> None:
    one, other = (LocalRootKey.create(tmp_path / name) for name in ("one", "other"))
    with Secret.random() as key, pytest.raises(CannotOpen):
        other.unwrap(b"context", one.wrap(b"context", key))


def test_the_file_is_private_and_of_the_documented_length(made: LocalRootKey, file: Path) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    content = file.read_bytes()
    assert content[:9] == b"STWDROOT\x01"
    assert len(content) == {0: 102, 1: 118}[content[9]]
    assert str(file) in made.describe()


def test_the_mode_is_0600_under_any_umask(file: Path) -> None:
    for umask in (0, 0o777):
        before = os.umask(umask)
        try:
            LocalRootKey.create(file)
        finally:
            os.umask(before)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        LocalRootKey.open(file)
        file.unlink()


def test_a_root_key_is_never_replaced(made: LocalRootKey, file: Path) -> None:
    content = file.read_bytes()
    with pytest.raises(BadRootKey, match="never replaced"):
        LocalRootKey.create(file)
    assert file.read_bytes() == content


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o666])
def test_a_file_that_others_can_use_is_refused_and_says_how_to_mend_it(
    made: LocalRootKey, file: Path, mode: int
) -> None:
    file.chmod(mode)
    refused(file, "chmod 600")
    with pytest.raises(BadRootKey, match="chmod 600"):
        made.health()


def test_a_file_of_another_user_is_refused(made: LocalRootKey, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: elsewhere)
    refused(file, "another user")


def test_a_file_that_is_missing_empty_short_long_or_damaged_is_refused(made: LocalRootKey, file: Path) -> None:
    whole = file.read_bytes()
    for length in range(1, len(whole)):
        file.write_bytes(whole[:length])
        refused(file, "short|damaged")
    file.write_bytes(b"")
    refused(file, "empty")
    file.write_bytes(whole + b"\0")
    refused(file, "damaged")
    for bit in range(len(whole) * 8):
        file.write_bytes(flipped(whole, bit))
        # A flipped cost could ask for an absurd amount of work, or take a moment: both are refused.
        if not 10 * 8 <= bit < 22 * 8:
            refused(file, "damaged|passphrase")
    file.unlink()
    refused(file, "no root key file")
    with pytest.raises(RootKeyUnavailable):
        made.health()


def test_a_directory_a_pipe_and_a_dangling_link_are_refused(tmp_path: Path) -> None:
    refused(tmp_path, "not a regular file")
    os.mkfifo(tmp_path / "pipe", 0o600)
    refused(tmp_path / "pipe", "not a regular file")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    refused(tmp_path / "link", "no root key file")
    with pytest.raises(BadRootKey, match="cannot be created"):
        LocalRootKey.create(tmp_path / "no" / "such" / "folder")


def test_a_protected_file_needs_its_passphrase(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSPHRASE_VARIABLE, PASSPHRASE)
    LocalRootKey.create(file, cost=CHEAP)
    monkeypatch.setenv(PASSPHRASE_VARIABLE, PASSPHRASE + " ")
    refused(file, "is wrong")
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "")
    refused(file, "empty")
    monkeypatch.delenv(PASSPHRASE_VARIABLE)
    refused(file, f"set {PASSPHRASE_VARIABLE}")


def test_a_file_thought_to_be_protected_must_be(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    LocalRootKey.create(file)
    monkeypatch.setenv(PASSPHRASE_VARIABLE, PASSPHRASE)
    refused(file, "not protected")


def test_a_short_passphrase_makes_no_root_key(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "elevenchars")
    with pytest.raises(BadRootKey, match="at least 12"):
        LocalRootKey.create(file)
    assert not file.exists()


def test_the_default_cost_is_that_of_rfc_9106_and_stands_in_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSPHRASE_VARIABLE, PASSPHRASE)
    LocalRootKey.create(file)
    assert struct.unpack_from(">III", file.read_bytes(), 10) == (3, 4, 64 * 1024)
    LocalRootKey.open(file)


@pytest.mark.parametrize("cost", [(0, 1, 8), (1, 0, 8), (1, 1, 7), (65, 1, 8), (1, 65, 1024), (1, 1, 2**31)])
def test_a_file_cannot_ask_for_absurd_work(
    cost: tuple[int, int, int], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSPHRASE_VARIABLE, PASSPHRASE)
    LocalRootKey.create(file, cost=CHEAP)
    content = bytearray(file.read_bytes())
    struct.pack_into(">III", content, 10, *cost)
    file.write_bytes(content)
    refused(file, "absurd")


def test_a_root_key_does_not_travel(made: LocalRootKey) -> None:
    for forbidden in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            forbidden(made)


def test_what_is_bound_to_a_context_leaves_it_only_there() -> None:
    with Secret.random() as key:
        bound = bind(b"context", key)
        with unbind(b"context", bytearray(bound)) as again:
            assert key.same_as(again)
        for wrong in (bytearray(bound), bytearray(bound[:-1]), bytearray()):
            with pytest.raises(CannotOpen):
                unbind(b"other", wrong)
            assert not any(wrong)
        with pytest.raises(BadRootKey):
            bind(b"context", bytearray(31))


Opener = Callable[[str, Path], RootKey]


@pytest.mark.parametrize(
    "url", ["local", "local:", "local:{home}/mine.key", "local:mine.key", "local://{home}/mine.key"]
)
def test_a_root_key_is_found_by_its_address(url: str, tmp_path: Path) -> None:
    address = url.format(home=tmp_path)
    create_root(address, tmp_path)
    open_root(address, tmp_path)
    assert (tmp_path / ("mine.key" if "mine" in url else "root.key")).exists()


@pytest.mark.parametrize("opener", [open_root, create_root])
@pytest.mark.parametrize("url", ["", "aws:alias/x", "vault:https://bao.example", "pkcs11:token=x", "/etc/root.key"])
def test_an_unknown_backend_is_refused_with_those_that_exist(url: str, opener: Opener, tmp_path: Path) -> None:
    with pytest.raises(BadRootKey, match="there is: local"):
        opener(url, tmp_path)
