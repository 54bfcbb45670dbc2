"""A deployment on each kind of database, served by processes of its own and looked at from this one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.databases import KINDS, Databases
from tests.server import Service, serve_as
from tests.world import World, Worlds


@pytest.fixture
def server(world: World) -> Iterator[Service]:
    """One worker process on the world's databases; the world itself is a second replica."""
    with serve_as(world.service.settings) as service:
        yield service


@pytest.fixture(scope="module", params=KINDS)
def shared_world(
    request: pytest.FixtureRequest, worlds: Worlds, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """A world for all tests of a module, where starting processes costs more than the tests."""
    databases: Databases = request.getfixturevalue(f"{request.param}_databases")
    world = worlds.copy(databases, tmp_path_factory.mktemp("shared") / "home")
    yield world
    worlds.remove(databases, world)


@pytest.fixture(scope="module")
def two_processes(shared_world: World) -> Iterator[tuple[Service, Service]]:
    """Two processes on the same databases, each of which knows nothing of the other."""
    settings = shared_world.service.settings
    with serve_as(settings) as one, serve_as(settings) as other:
        yield one, other


@pytest.fixture(scope="module")
def shared_server(shared_world: World) -> Iterator[Service]:
    """A process on the databases of `shared_world`, without jobs: what they do is rows, too."""
    with serve_as(shared_world.service.settings, env={"PRIVACY_NO_JOBS": "1"}) as service:
        yield service
