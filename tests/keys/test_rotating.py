"""Rotation of root secrets and of the root key: no process loses a key, and what is destroyed opens nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from keys.container import Place, kid_of, seal, unseal
from keys.errors import BadRootKey, CannotOpen, KekRetired, KeyGone, KeysError, RootKeyUnavailable
from keys.keyring import FINGERPRINT, INDEX, KEK, SIGNING, TTL_SECONDS, Keyring
from keys.kms import ReplaceableRootKey, RootKey, open_root
from keys.kms.local import PASSPHRASE_VARIABLE, LocalRootKey
from keys.root_secrets import context_of
from keys.secret import Secret
from keys.store import KeyStore
from keys.wrapped import WrappedKey

ROOT = Path(__file__).resolve().parents[2]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ring(store: KeyStore, root: RootKey) -> Iterator[Keyring]:
    keyring = Keyring.create(store, root)
    yield keyring
    keyring.close()


def stored(store: KeyStore, keyring: Keyring, count: int = 1) -> list[WrappedKey]:
    made = []
    for _ in range(count):
        wrapped, key = keyring.new_data_key(os.urandom(16))
        key.wipe()
        made.append(wrapped)
    store.add(made)
    return made


def opens(keyring: Keyring, wrapped: WrappedKey) -> bytes:
    with keyring.unwrap(wrapped) as key:
        return bytes(key.expose())


def retire_kek(store: KeyStore, keyring: Keyring) -> int:
    """The whole rotation, as a job does it page by page. The version that was retired."""
    old = keyring.newest(KEK)
    new = keyring.new_version(KEK)
    store.raise_minimum(new)
    while page := store.under_kek(old, b"", 10):
        assert store.rewrap([(keyring.rewrap(key, new), old) for key in page]) == len(page)
    assert store.count_under(old) == 0
    return old


# --- KEK versions


def test_a_rewrapped_key_is_the_same_key_and_the_same_bytes_each_time(ring: Keyring, store: KeyStore) -> None:
    (wrapped,) = stored(store, ring)
    new = ring.new_version(KEK)
    once = ring.rewrap(wrapped, new)
    assert once == ring.rewrap(wrapped, new) == ring.rewrap(once, new)
    assert (once.kek, once.kid) == (new, wrapped.kid)
    assert once.wrapped != wrapped.wrapped
    assert opens(ring, once) == opens(ring, wrapped)
    with pytest.raises(CannotOpen):
        ring.unwrap(once._replace(kek=wrapped.kek))
    with pytest.raises(KeyGone):
        ring.rewrap(wrapped, 9)
    with pytest.raises(CannotOpen):
        ring.rewrap(wrapped._replace(scope="moved"), new)


def test_after_its_kek_is_destroyed_what_was_copied_before_opens_nowhere(store: KeyStore, root: RootKey) -> None:
    """A backup, or a write-ahead log, that holds the data key as it was wrapped before."""
    keyring, other = Keyring.create(store, root), Keyring.open(store, root)
    erased, kept = stored(store, keyring, 2)
    before = opens(keyring, kept)
    place = Place(keyring.deployment, erased.subject, "main", "member", b"1")
    with keyring.unwrap(erased) as key:
        box = seal(key, place, {1: b"value"})
    opens(other, erased)
    copies = dict(store.root_secrets())
    store.erase(erased.subject)
    old = retire_kek(store, keyring)
    assert store.destroy_root_secret(KEK, old)
    for ring in (keyring, other, Keyring.open(store, root)):
        ring.refresh()
        with pytest.raises(KeyGone):
            ring.unwrap(erased)
        assert opens(ring, store.by_kid([kept.kid])[kept.kid]) == before
    # Whoever copied the wrapped KEK too has it until the root key that wraps it is gone.
    context = context_of(keyring.deployment, KEK, old)
    root.unwrap(context, copies[KEK, old].wrapped).wipe()
    keyring.rotate_root()
    with pytest.raises(CannotOpen):
        root.unwrap(context, copies[KEK, old].wrapped)
    assert kid_of(box) == erased.kid


def test_a_process_that_knows_only_the_old_version_goes_on_and_learns(store: KeyStore, root: RootKey) -> None:
    keyring, other, writer = Keyring.create(store, root), Keyring.open(store, root), Keyring.open(store, root)
    keys = stored(store, keyring, 25)
    old = retire_kek(store, keyring)
    assert all(opens(other, key) == opens(keyring, key) for key in store.by_kid([one.kid for one in keys]).values())
    with pytest.raises(KekRetired):
        stored(store, writer)
    writer.refresh()
    assert stored(store, writer)[0].kek == writer.newest(KEK) == old + 1


def test_a_rotation_while_others_create_leaves_no_key_behind(store: KeyStore, root: RootKey) -> None:
    keyring, other = Keyring.create(store, root), Keyring.open(store, root)
    is_over = threading.Event()
    made: list[WrappedKey] = []

    def create() -> None:
        while not is_over.is_set():
            try:
                made.extend(stored(store, other))
            except KekRetired:
                other.refresh()
            time.sleep(0.001)  # whoever asks at the right moment has SQLite's lock: the rotation must have its turn

    with ThreadPoolExecutor(2) as threads:
        running = [threads.submit(create) for _ in range(2)]
        for _ in range(3):
            store.destroy_root_secret(KEK, retire_kek(store, keyring))
        while not made and not any(one.done() for one in running):
            time.sleep(0.01)
        is_over.set()
        for one in running:
            one.result()
    assert made
    assert all(opens(keyring, key) for key in store.by_kid([one.kid for one in made]).values())
    assert [count.kek for count in store.counts()] == [4]


def test_a_further_version_is_added_once_however_often_it_is_asked_for(store: KeyStore, root: RootKey) -> None:
    rings = [Keyring.create(store, root), *(Keyring.open(store, root) for _ in range(3))]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda ring: ring.new_version(KEK, 2), rings)) == [2] * 4
        assert sorted(threads.map(lambda ring: ring.new_version(KEK), rings)) == [3, 4, 5, 6]
    assert rings[0].new_version(KEK, 2) == 2
    with pytest.raises(KeysError, match="next version of kek is 7"):
        rings[0].new_version(KEK, 8)
    assert sorted(version for kind, version in store.root_secrets() if kind == KEK) == [1, 2, 3, 4, 5, 6]


def test_fingerprints_stay_what_they_are(ring: Keyring) -> None:
    with pytest.raises(KeysError, match="fingerprint"):
        ring.new_version(FINGERPRINT)


def test_a_kind_that_came_later_has_versions_too(ring: Keyring, store: KeyStore, root: RootKey) -> None:
    assert ring.new_version("mldsa", 1) == ring.new_version("mldsa", 1) == ring.newest("mldsa") == 1
    assert ring.new_version("mldsa") == 2
    assert ring.rotate_root() == 6
    assert Keyring.open(store, root).newest("mldsa") == 2


# --- index and signing


def token(keyring: Keyring, version: int | None = None) -> int:
    index = keyring.index if version is None else keyring.index_of(version)
    return index.token("member", "phone", "e164/1", b"+8613800138000", bits=32)


def test_old_and_new_tokens_are_found_until_the_old_index_is_destroyed(store: KeyStore, root: RootKey) -> None:
    keyring, other = Keyring.create(store, root), Keyring.open(store, root)
    before = token(keyring)
    assert keyring.new_version(INDEX) == keyring.index.version == 2
    assert (other.index.version, other.index_versions) == (1, (1,))
    assert token(keyring) == token(other, 2) != before  # asked for by number, it is found without a refresh
    other.refresh()
    for ring in (keyring, other, Keyring.open(store, root)):
        assert ring.index_versions == (2, 1)
        assert (token(ring, 1), token(ring, 2), token(ring)) == (before, token(keyring), token(keyring))
    assert store.destroy_root_secret(INDEX, 1)
    for ring in (keyring, other):
        ring.refresh()
        assert ring.index_versions == (2,)
        with pytest.raises(KeysError, match="no index version 1"):
            ring.index_of(1)


def test_what_an_old_signing_key_has_signed_verifies_when_its_private_half_is_gone(
    store: KeyStore, root: RootKey
) -> None:
    keyring, other = Keyring.create(store, root), Keyring.open(store, root)
    first = keyring.signer.verifier
    signature = keyring.signer.sign(b"checkpoint")
    keyring.new_version(SIGNING)
    second = keyring.signer.verifier
    assert second.public != first.public
    assert second.name == first.name
    assert [one.verifier for one in keyring.signers] == [second, first]
    assert store.destroy_root_secret(SIGNING, 1)
    other.refresh()
    keyring.refresh()
    for ring in (keyring, other, Keyring.open(store, root)):
        assert ring.verifiers == (second, first)
        assert ring.verifiers[1].verify(b"checkpoint", signature)
        assert ring.signer.verifier == second
        assert len(ring.signers) == 1


def test_the_public_half_of_a_key_from_before_is_kept_when_it_is_opened(store: KeyStore, root: RootKey) -> None:
    keyring = Keyring.create(store, root)
    secret = store.root_secrets()[SIGNING, 1]
    assert secret.public == keyring.signer.public
    store.set_public(SIGNING, 1, b"")
    store._engine.set_public(SIGNING, 1, None)  # type: ignore[arg-type]
    assert store.root_secrets()[SIGNING, 1].public is None
    Keyring.open(store, root)
    assert store.root_secrets()[SIGNING, 1].public == keyring.signer.public


# --- the root key


def test_every_secret_is_under_the_next_root_key_and_the_old_file_is_gone(
    ring: Keyring, store: KeyStore, root: RootKey, tmp_path: Path
) -> None:
    (wrapped,) = stored(store, ring)
    key, file = opens(ring, wrapped), tmp_path / "root.key"
    old, secrets = file.read_bytes(), store.root_secrets()
    before = (ring.index.token("a", "b", "c", b"d", bits=20), ring.fingerprint("e", b"f"), ring.signer.vkey)
    assert ring.rotate_root() == 4
    assert file.read_bytes() != old
    assert [one.name for one in tmp_path.glob("root.key*")] == ["root.key"]
    assert all(one.wrapped != secrets[place].wrapped for place, one in store.root_secrets().items())
    for keyring in (ring, Keyring.open(store, open_root("local", tmp_path))):
        assert opens(keyring, wrapped) == key
        now = (keyring.index.token("a", "b", "c", b"d", bits=20), keyring.fingerprint("e", b"f"), keyring.signer.vkey)
        assert now == before
        with pytest.raises(CannotOpen):
            keyring._root.unwrap(context_of(ring.deployment, KEK, 1), secrets[KEK, 1].wrapped)


def test_another_process_follows_of_itself(store: KeyStore, root: RootKey, tmp_path: Path) -> None:
    clock = Clock()
    keyring = Keyring.create(store, root)
    other = Keyring.open(store, LocalRootKey.open(tmp_path / "root.key"), clock=clock)
    (wrapped,) = stored(store, keyring)
    key = opens(other, wrapped)
    for _ in range(3):
        keyring.rotate_root()
        clock.now += TTL_SECONDS  # it asks its root key again, for what has been wrapped anew
        assert opens(other, wrapped) == key
    keyring.rotate_root()
    assert other.new_version(KEK) == 2
    keyring.refresh()
    assert opens(keyring, stored(store, other)[0])
    assert other.rotate_root() == 5
    assert opens(Keyring.open(store, open_root("local", tmp_path)), wrapped) == key


def test_a_secret_under_a_root_key_that_is_gone_is_never_stored(store: KeyStore, root: RootKey, tmp_path: Path) -> None:
    """A rotation between the wrapping of a new secret and its storing: what it wraps would be lost."""
    keyring = Keyring.create(store, root)
    between: list[Callable[[], object]] = [keyring.rotate_root]

    class Slow(LocalRootKey):
        def wrap(self, context: bytes, key: Secret | bytearray) -> bytes:
            blob = super().wrap(context, key)
            if between:
                between.pop()()
            return blob

    other = Keyring.open(store, Slow.open(tmp_path / "root.key"))
    assert other.new_version(KEK) == 2
    assert between == []
    assert opens(Keyring.open(store, open_root("local", tmp_path)), stored(store, other)[0])


def test_several_processes_that_rotate_at_once_lose_nothing(store: KeyStore, root: RootKey, tmp_path: Path) -> None:
    rings = [Keyring.create(store, root)]
    rings += [Keyring.open(store, LocalRootKey.open(tmp_path / "root.key")) for _ in range(3)]
    (wrapped,) = stored(store, rings[0])
    key = opens(rings[0], wrapped)

    def rotate(ring: Keyring) -> None:
        for _ in range(4):
            ring.rotate_root()
            ring.new_version(INDEX)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(rotate, rings))
    assert [one.name for one in tmp_path.glob("root.key*")] == ["root.key"]
    last = Keyring.open(store, open_root("local", tmp_path))
    assert opens(last, wrapped) == key
    assert len(last.index_versions) == 17


def test_a_protected_root_key_has_a_protected_successor(
    store: KeyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "correct horse battery")
    keyring = Keyring.create(store, LocalRootKey.create(tmp_path / "root.key"))
    keyring.rotate_root()
    Keyring.open(store, open_root("local", tmp_path)).close()
    monkeypatch.delenv(PASSPHRASE_VARIABLE)
    with pytest.raises(BadRootKey, match="protected"):
        open_root("local", tmp_path)


_STEPS = {
    "the successor is half written": "os.link",
    "before the secrets are wrapped anew": "keys.store.KeyStore.rewrap_root_secrets",
    "after they are": "keys.root_secrets._open_all",
    "before the old key has its second name": "keys.kms.key_file.promote_next",
    "before the successor takes the name": "os.replace",
    "before the old key is overwritten": "os.urandom",
    "before the old key is removed": "os.unlink",
}
_PROGRAM = """
import importlib, os, signal, sys
from pathlib import Path
from keys.keyring import Keyring
from keys.kms import open_root
from keys.store import KeyStore

url, home, place, skip = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
keyring = Keyring.open(KeyStore.open(url), open_root("local", home))
owner, _, name = place.rpartition(".")
module, _, kind = owner.rpartition(".")
target = getattr(importlib.import_module(module), kind) if kind[0].isupper() else importlib.import_module(owner)
calls = []
def die(*arguments, real=getattr(target, name), **named):
    calls.append(1)
    if len(calls) > skip:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **named)
setattr(target, name, die)
keyring.rotate_root()
"""


@pytest.mark.parametrize("step", list(_STEPS))
def test_a_rotation_that_is_killed_at_any_step_is_finished_by_the_next_start(
    store: KeyStore, store_url: str, root: RootKey, tmp_path: Path, step: str
) -> None:
    keyring = Keyring.create(store, root)
    (wrapped,) = stored(store, keyring)
    key, old = opens(keyring, wrapped), (tmp_path / "root.key").read_bytes()
    place = _STEPS[step]
    # The first name that is taken away is that of the file in which the successor was written.
    skip = {"os.unlink": 1}.get(place, 0)
    arguments = [sys.executable, "-c", _PROGRAM, store_url, str(tmp_path), place, str(skip)]
    assert subprocess.run(arguments, cwd=ROOT, check=False, timeout=60).returncode == -signal.SIGKILL
    again = Keyring.open(store, open_root("local", tmp_path))
    assert opens(again, wrapped) == key
    is_finished = list(_STEPS).index(step) >= 2  # before that the old root key is still the one in use
    assert any(old[-70:-32] in file.read_bytes() for file in tmp_path.glob("root.key*")) != is_finished
    assert again.rotate_root() == 4
    for ring in (again, keyring, Keyring.open(store, open_root("local", tmp_path))):
        ring.refresh()
        assert opens(ring, wrapped) == key
    assert not any(old[-70:-32] in file.read_bytes() for file in tmp_path.glob("root.key*"))
    assert not (tmp_path / "root.key.next").exists()
    assert not (tmp_path / "root.key.old").exists()


def test_the_old_key_is_overwritten_before_it_is_removed(
    ring: Keyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "root.key"
    with file.open("rb") as inode:  # what remains of the file when its name is gone
        old = inode.read()
        ring.rotate_root()
        inode.seek(0)
        assert inode.read() == bytes(len(old))


def test_a_holder_that_keeps_its_versions_inside_is_asked_to_rewrap(store: KeyStore, root: RootKey) -> None:
    class Service:
        """A KMS with versions: the blob says which."""

        def __init__(self) -> None:
            self.version = 1

        def wrap(self, context: bytes, key: Secret | bytearray) -> bytes:
            return bytes([self.version]) + root.wrap(context, key)

        def unwrap(self, context: bytes, blob: bytes) -> Secret:
            return root.unwrap(context, blob[1:])

        def rewrap(self, context: bytes, blob: bytes) -> bytes:
            return bytes([self.version]) + blob[1:]

        def describe(self) -> str:
            return "a service"

        def health(self) -> None: ...

    service = Service()
    assert not isinstance(service, ReplaceableRootKey)
    keyring = Keyring.create(store, service)
    service.version = 2
    assert keyring.rotate_root() == keyring.rotate_root() == 4
    assert {one.wrapped[0] for one in store.root_secrets().values()} == {2}
    Keyring.open(store, service).close()


def test_a_root_key_that_is_away_stops_the_rotation_and_nothing_else(
    store: KeyStore, root: RootKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring = Keyring.create(store, root)
    (wrapped,) = stored(store, keyring)
    Keyring.open(store, open_root("local", tmp_path)).new_version(INDEX)

    def away(*_: object) -> Secret:
        raise RootKeyUnavailable("timeout")

    monkeypatch.setattr(LocalRootKey, "unwrap", away)
    with pytest.raises(RootKeyUnavailable):
        keyring.rotate_root()
    with pytest.raises(RootKeyUnavailable):
        keyring.refresh()
    assert opens(keyring, wrapped)
    assert keyring.index.version == 1
    place = Place(keyring.deployment, wrapped.subject, "main", "member", b"1")
    with keyring.unwrap(wrapped) as key:
        assert unseal(key, place, seal(key, place, {1: b"v"})) == {1: b"v"}
