"""A migrated key store of each kind, a root key in a file, and a keyring over both."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keys.container import Place
from keys.keyring import Keyring
from keys.kms import RootKey, create_root
from keys.kms.local import PASSPHRASE_VARIABLE
from keys.secret import DataKey
from keys.store import KeyStore
from tests.databases import Migrate


def migrate(url: str) -> None:
    KeyStore.create(url).close()


@pytest.fixture(autouse=True)
def no_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PASSPHRASE_VARIABLE, raising=False)


@pytest.fixture
def store_url(data_template: Callable[[Migrate], str]) -> str:
    return data_template(migrate)


@pytest.fixture
def store(store_url: str) -> Iterator[KeyStore]:
    store = KeyStore.open(store_url)
    yield store
    store.close()


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[KeyStore]:
    """For what does not depend on the database."""
    store = KeyStore.create(f"sqlite:///{tmp_path / 'keys.db'}")
    yield store
    store.close()


@pytest.fixture
def root(tmp_path: Path) -> RootKey:
    return create_root("local", tmp_path)


@pytest.fixture
def keyring(sqlite_store: KeyStore, root: RootKey) -> Iterator[Keyring]:
    keyring = Keyring.create(sqlite_store, root)
    yield keyring
    keyring.close()


@pytest.fixture
def key() -> DataKey:
    return DataKey.random()


@pytest.fixture
def place() -> Place:
    return Place(os.urandom(16), os.urandom(16), "main", "member", os.urandom(16))
