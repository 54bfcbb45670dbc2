"""Keys live apart: no key is where the data is, and no data is where the keys are."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from keys import schema as keys
from privacy.tables import index_entries, metadata, subjects
from privacy.tables import records as records_table
from tests.invariants.looking import data_files, found_in, needles, rows
from tests.postgres import Server
from tests.world import PERSON, World

# Broken by hand: the wrapped data key written into records.kid; the end of a container kept in the key store.


@pytest.fixture
def postgres(request: pytest.FixtureRequest, world: World) -> Server | None:
    if world.service.database.kind == "sqlite":
        return None
    server: Server = request.getfixturevalue("postgres_server")
    return server


@pytest.fixture
def filled(world: World) -> World:
    for n in range(5):
        subject = world.subject(external_id=f"member-{n}-of-the-platform", born="1987-06-05")
        world.store(subject)
        world.store(subject, {"amount": 1200, "paid": True}, type="invoice", purposes=["tax"])
        world.consent(subject)
    return world


def _wrapped(world: World) -> dict[bytes, str]:
    """Every wrapped key that the key store holds, read past the service."""
    parsed = make_url(world.service.settings.keystore_url)
    url = parsed.set(drivername="postgresql+psycopg") if parsed.get_backend_name() == "postgresql" else parsed
    engine = create_engine(url)
    with engine.connect() as connection:
        data_keys = [bytes(row[0]) for row in connection.execute(text("SELECT wrapped FROM data_key"))]
        secrets = connection.execute(text("SELECT kind, wrapped FROM root_secret")).all()
    engine.dispose()
    assert len(data_keys) == 10  # five subjects, two scopes each
    assert {row[0] for row in secrets} == {"kek", "index", "fingerprint", "signing"}
    found = dict.fromkeys(data_keys, "a wrapped data key")
    return found | {bytes(row[1]): f"the wrapped {row[0]} secret" for row in secrets}


def _plain(world: World) -> Iterator[tuple[bytes, str]]:
    """Keys as they are in memory, for this test alone."""
    keyring = world.service.keyring
    for row in rows(world, records_table):
        found = world.service.keystore.by_kid([row["kid"]])
        with keyring.unwrap(found[row["kid"]]) as key:
            yield bytes(key.expose()), "a data key"
    for file in sorted(world.service.settings.home.rglob("*")):
        if file.is_file() and ".db" not in file.name:
            held = file.read_bytes()
            if len(held) >= 16:
                yield held, f"the file {file.name}"


def _disguised(keys: Mapping[bytes, str]) -> dict[bytes, str]:
    """As they are, in hex and in base64; a long one by its first and its last half as well."""
    found: dict[bytes, str] = {}
    for key, name in keys.items():
        for part in (key, key[: len(key) // 2], key[-(len(key) // 2) :]):
            found |= {part: name, part.hex().encode(): f"{name} in hex"}
        found[base64.b64encode(key).rstrip(b"=")[:-1]] = f"{name} in base64"
    return found


def test_the_database_of_the_data_holds_no_key_wrapped_or_not(filled: World, postgres: Server | None) -> None:
    files = data_files(filled.service.settings.database_url, postgres)
    wanted = _disguised(_wrapped(filled) | dict(_plain(filled)))
    # that these are the files: a container lies in them as it stands in its row
    sealed = rows(filled, records_table)[0]["sealed"]
    assert found_in(files, {bytes(sealed)[-32:]: "a container"})
    assert found_in(files, wanted) == []


def test_the_key_store_holds_no_data(filled: World, postgres: Server | None) -> None:
    files = data_files(filled.service.settings.keystore_url, postgres)
    settled = next(iter(_wrapped(filled)))
    assert found_in(files, {settled: "a wrapped key"})  # that these are the files
    wanted = needles([*PERSON.values(), "of-the-platform", "1987-06-05"][1:])
    for row in rows(filled, records_table):
        wanted |= {
            bytes(row["sealed"])[start : start + 16]: "a container" for start in range(0, len(row["sealed"]) - 16, 16)
        }
    for row in rows(filled, subjects):
        wanted[bytes(row["sealed"])[-16:]] = "a profile"
    assert found_in(files, wanted) == []


def test_neither_schema_has_a_place_for_the_other() -> None:
    # What a subject's key is for is told by an opaque id; nothing else is shared.
    assert not {column.name for table in metadata.tables.values() for column in table.columns} & {"wrapped", "kek"}
    parts = (keys.metadata, keys.postgresql_only, keys.sqlite_only)
    assert {column.name for part in parts for table in part.tables.values() for column in table.columns} == {
        "id", "deployment", "min_encryption_version", "created_at", "revision", "era",
        "kind", "version", "wrapped", "public", "state", "retired_at",
        "kid", "subject", "owner", "scope", "retired", "kek", "shard", "slot",
        "destroyed_at", "number", "mark", "at",
    }  # fmt: skip


def test_a_token_of_the_index_says_nothing_without_its_key(filled: World) -> None:
    """Equal values of two fields, or of two deployments, have nothing in common."""
    tokens = [entry["token"] for entry in rows(filled, index_entries)]
    per_field: dict[int, set[int]] = {}
    for entry in rows(filled, index_entries):
        per_field.setdefault(entry["field_number"], set()).add(entry["token"])
    assert all(len(found) == 1 for found in per_field.values())  # one person, stored five times
    assert len(set(tokens)) == len(per_field)


def test_the_root_key_file_is_for_its_owner_only(world: World) -> None:
    home: Path = world.service.settings.home
    assert home.stat().st_mode & 0o077 == 0
    kept = [file for file in home.rglob("*") if file.is_file()]
    assert kept
    assert all(file.stat().st_mode & 0o077 == 0 for file in kept)
