"""Erased is erased, the half of what is never overwritten: logs and backups keep wrapped keys that nothing opens."""

from __future__ import annotations

from pathlib import Path

import pytest

from keys.errors import KeysError
from keys.keyring import KEK, Keyring
from keys.kms import open_root
from keys.store import KeyStore
from privacy import confirmations, erasure, rotations
from privacy.rotations import Kind
from privacy.steward import Steward
from tests.databases import Databases
from tests.invariants.looking import all_files, found_in
from tests.postgres import Server
from tests.world import World

# Broken by hand: the root key that is not rotated; a destroyed KEK whose row stays.


def _rotate(world: World, kind: Kind) -> None:
    with world.service.begin(world.actor("admin")) as work:
        started = rotations.start(work, kind)
    rotations.advance(world.service, started.id, seconds=60)


def _retire_kek(world: World) -> None:
    """A new version, the old one destroyed by two people after the delay, and a new root key over what is left."""
    _rotate(world, Kind.KEK)
    with world.service.begin(world.actor("admin")) as work:
        asked = rotations.ask_destruction(work, Kind.KEK, 1, reason="end of the month")
    with world.service.begin(world.actor("operator")) as work:
        confirmations.confirm(work, asked.id)
    world.clock.advance(days=8)
    assert rotations.destroy_due(world.service) == 1
    _rotate(world, Kind.ROOT)


def _files(world: World, server: Server | None) -> list[Path]:
    return all_files([world.service.settings.keystore_url], server)


def test_once_the_kek_is_retired_no_copy_of_any_key_of_the_erased_opens(
    world: World, databases: Databases, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue("postgres_server") if world.service.database.kind == "postgresql" else None
    erased, other = world.subject(), world.subject()
    world.store(erased)
    stored = world.store(other).id
    settings = world.service.settings
    (written,) = world.service.keystore.kids_of(erased.bytes)
    root_file = (settings.home / "root.key").read_bytes()
    world.service.close()
    backup = databases.copy(settings.keystore_url)  # of the key store, from before the erasure
    world.service = Steward.open(settings, world.clock)
    try:
        assert erasure.erase(world.service, erased).state == "done"
        wanted = {written.wrapped: "a wrapped data key"}
        if server is not None:
            assert found_in(_files(world, server), wanted)  # that is why the row alone is not enough
        else:
            assert not found_in(_files(world, server), wanted)
        _retire_kek(world)
        # put back into today's key store, from wherever it lay
        with pytest.raises(KeysError):
            world.service.keyring.unwrap(written)
        for version in (version for kind, version in world.service.keystore.root_secrets() if kind == KEK):
            with pytest.raises(KeysError):
                world.service.keyring.unwrap(written._replace(kek=version))
        # the whole key store of then, with the root key of now
        then = KeyStore.open(backup)
        try:
            with pytest.raises(KeysError):
                Keyring.open(then, open_root(settings.kms, settings.home))
        finally:
            then.close()
        # and the root key of then is nowhere
        secret = root_file[38:70]
        assert not found_in([file for file in settings.home.rglob("*") if file.is_file()], {secret: "the old root key"})
        assert world.read(stored, "membership", by="platform").data
    finally:
        databases.remove(backup)
