"""What every test may ask for: a real database of each kind, and Hypothesis without surprises.

A test that takes `database_kind`, or anything made of it, runs once on SQLite and once on PostgreSQL.
Under pytest-xdist each worker has a PostgreSQL server of its own: half a second, and nothing is shared.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.databases import KINDS, Databases, Kind, Migrate, PostgresDatabases, SqliteDatabases
from tests.postgres import Server, postgres
from tests.server import Threaded, in_thread
from tests.world import World, Worlds

# No deadline: a shared machine stalls, and a slow example is not a wrong one.
settings.register_profile("local", deadline=None, print_blob=True)
# The same examples on every run: what fails there fails everywhere.
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first: one that comes last has a processor to itself, and the others wait."""
    items.sort(key=lambda item: not item.nodeid.startswith(("tests/invariants", "tests/bench")))


def pytest_collection_finish() -> None:
    """The modules of all tests, and of the models' libraries, are here to stay: the collector need not look at them."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """A server on loopback; it must not be stopped, and its databases come and go with their tests."""
    with postgres() as server:
        yield server


@pytest.fixture(scope="session")
def sqlite_databases(tmp_path_factory: pytest.TempPathFactory) -> SqliteDatabases:
    return SqliteDatabases(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="session")
def postgresql_databases(postgres_server: Server) -> Iterator[PostgresDatabases]:
    databases = PostgresDatabases(postgres_server)
    yield databases
    databases.remove_templates()


@pytest.fixture(params=KINDS)
def database_kind(request: pytest.FixtureRequest) -> Kind:
    kind: Kind = request.param
    return kind


@pytest.fixture
def databases(database_kind: Kind, request: pytest.FixtureRequest) -> Databases:
    # Asked for by name, so that a run of tests on SQLite alone starts no server.
    found = request.getfixturevalue(f"{database_kind}_databases")
    assert isinstance(found, Databases)
    return found


@pytest.fixture
def data_url(databases: Databases) -> Iterator[str]:
    """A database without a table for the data, as PRIVACY_DATABASE_URL names it."""
    url = databases.empty()
    yield url
    databases.remove(url)


@pytest.fixture
def keystore_url(databases: Databases) -> Iterator[str]:
    """A database without a table for the keys, as PRIVACY_KEYSTORE_URL names it."""
    url = databases.empty()
    yield url
    databases.remove(url)


@pytest.fixture
def data_template(databases: Databases) -> Iterator[Callable[[Migrate], str]]:
    """`data_template(migrate)`: the URL of a database that `migrate` has made, a copy for this test alone.

    `migrate` runs once in a session for each kind of database. Key stores may be made so too.
    """
    urls: list[str] = []

    def copy(migrate: Migrate) -> str:
        url = databases.migrated(migrate)
        urls.append(url)
        return url

    yield copy
    for url in urls:
        databases.remove(url)


@pytest.fixture(scope="session")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Worlds:
    return Worlds(tmp_path_factory.mktemp("worlds"))


@pytest.fixture
def world(worlds: Worlds, databases: Databases, tmp_path: Path) -> Iterator[World]:
    """A running service with a small manifest and one principal of each kind, on each kind of database."""
    made = worlds.copy(databases, tmp_path / "home")
    yield made
    worlds.remove(databases, made)


@pytest.fixture
def served(world: World) -> Iterator[Threaded]:
    """The world's service over HTTP, in a thread of this process."""
    with in_thread(world.service) as service:
        yield service
