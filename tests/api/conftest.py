"""A service in a thread of the test's process, on each kind of database."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.server import Threaded
from tests.world import World


@pytest.fixture
def platform(served: Threaded, world: World) -> Iterator[httpx.Client]:
    """HTTP as the community platform: it registers members."""
    with served.http(world.keys["platform"]) as client:
        yield client


@pytest.fixture
def desk(served: Threaded, world: World) -> Iterator[httpx.Client]:
    """HTTP as the interaction desk."""
    with served.http(world.keys["desk"]) as client:
        yield client


@pytest.fixture
def auditor(served: Threaded, world: World) -> Iterator[httpx.Client]:
    with served.http(world.keys["auditor"]) as client:
        yield client
