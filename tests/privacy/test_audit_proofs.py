"""Proofs and tiles where the routes do not reach: what is no size, no tile, no bundle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from privacy import audit_proofs
from privacy.errors import Invalid, NotFound, PrivacyError
from privacy.sequencer import Sequencer
from privacy.work import Work
from tests.world import World


def _refused(world: World, ask: Callable[[Work], Any], by: type[PrivacyError]) -> None:
    with pytest.raises(by), world.service.begin(world.auditor) as work:
        ask(work)


def test_nothing_is_proved_of_size_0_and_a_path_of_the_other_kind_names_nothing(world: World) -> None:
    # Broken by hand: each of the four checks left out.
    Sequencer(world.service).catch_up()
    _refused(world, lambda work: audit_proofs.consistency(work, 0), Invalid)
    _refused(world, audit_proofs.inclusion, Invalid)
    _refused(world, lambda work: audit_proofs.tile(work, "tile/entries/000.p/1"), NotFound)
    _refused(world, lambda work: audit_proofs.entries(work, "tile/0/000.p/1"), NotFound)


def test_a_narrower_tile_is_the_beginning_of_a_wider_one(world: World) -> None:
    Sequencer(world.service).catch_up()
    with world.service.begin(world.auditor) as work:
        two = audit_proofs.tile(work, "tile/0/000.p/2")
        assert audit_proofs.tile(work, "tile/0/000.p/1") == two[:32]
    assert len(two) == 64
