"""What takes two people and a delay: nobody confirms their own, nothing is done early, nothing that has changed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from privacy import confirmations, house
from privacy.confirmations import Confirmation
from privacy.errors import Conflict, Forbidden, Invalid, NotFound
from privacy.tables import confirmations as table
from privacy.work import Actor
from tests.invariants.looking import rows
from tests.world import World

WEEK = timedelta(days=7)
ACTION = "key.destruction"


def _asked(world: World, *, by: str = "admin", dependents: int = 0, target: str = "kek 1") -> Confirmation:
    with world.service.begin(world.actor(by)) as work:
        return confirmations.ask(
            work, action=ACTION, target=target, dependents=dependents, reason="王伟 has left", delay=WEEK
        )


def _taken(world: World, asked: Confirmation, *, dependents: int = 0) -> bool:
    with world.service.begin(world.actor("admin")) as work:
        return confirmations.take(work, asked.id, dependents=dependents)


def _confirm(world: World, asked: Confirmation, actor: Actor) -> Confirmation:
    with world.service.begin(actor) as work:
        return confirmations.confirm(work, asked.id)


def test_it_is_done_after_another_person_and_the_delay(world: World) -> None:
    # Broken by hand: `take` that asks no `confirmed_at`; one that asks no `not_before`.
    asked = _asked(world)
    assert asked.outcome is None
    world.clock.advance(days=8)
    assert not _taken(world, asked)  # nobody has confirmed
    second = _asked(world, target="kek 2")
    _confirm(world, second, world.actor("operator"))
    assert not _taken(world, second)  # too early
    world.clock.advance(days=7)
    assert _taken(world, second)
    with world.service.begin(world.actor("admin")) as work:
        found = confirmations.shown(work, second.id)
    assert (found.outcome, found.confirmed_by, found.asked_by) == ("done", "operator", "admin")


def test_nobody_confirms_what_they_asked_for_themselves(world: World) -> None:
    asked = _asked(world)
    with pytest.raises(Forbidden, match="Another person"):
        _confirm(world, asked, world.actor("admin"))
    assert world.events(action="confirmation.confirmed", outcome="refused")


@pytest.mark.parametrize("who", ["platform", "auditor"])
def test_components_and_auditors_neither_ask_nor_confirm(world: World, who: str) -> None:
    with pytest.raises(Forbidden):
        _asked(world, by=who)
    asked = _asked(world)
    with pytest.raises(Forbidden):
        _confirm(world, asked, world.actor(who))


def test_what_more_depends_on_by_now_is_refused_for_good(world: World) -> None:
    asked = _asked(world, dependents=2)
    _confirm(world, asked, world.actor("operator"))
    world.clock.advance(days=7)
    assert not _taken(world, asked, dependents=3)
    with pytest.raises(Conflict, match="refused"):
        _taken(world, asked, dependents=2)


def test_a_request_is_made_once_and_may_be_withdrawn(world: World) -> None:
    asked = _asked(world)
    with pytest.raises(Conflict):
        _asked(world)
    with world.service.begin(world.actor("operator")) as work:
        assert confirmations.withdraw(work, asked.id).outcome == "withdrawn"
    with pytest.raises(Conflict):
        _confirm(world, asked, world.actor("operator"))
    _asked(world)


def test_what_nobody_confirms_lapses(world: World) -> None:
    asked = _asked(world)
    world.clock.advance(days=91)
    with world.service.begin(world.actor("admin")) as work:
        assert confirmations.due(work, ACTION) == []
        assert confirmations.shown(work, asked.id).outcome == "lapsed"


def test_the_reason_is_sealed_and_opens_for_the_house_alone(world: World) -> None:
    asked = _asked(world)
    (row,) = rows(world, table)
    assert "王伟".encode() not in bytes(row["sealed"])
    with world.service.begin(world.actor("admin")) as work:
        assert house.unseal(work, confirmations.TYPE, asked.id, bytes(row["sealed"])) == {1: "王伟 has left"}
        work.audit("confirmation.viewed", record=asked.id)
    assert not any("王伟" in str(event["detail"]) for event in world.events())


@pytest.mark.parametrize("reason", ["", "x" * 1001])
def test_a_reason_has_its_length(world: World, reason: str) -> None:
    with world.service.begin(world.actor("admin")) as work, pytest.raises(Invalid):
        confirmations.ask(work, action=ACTION, target="kek 1", dependents=0, reason=reason, delay=WEEK)


def test_what_is_not_there_cannot_be_confirmed(world: World) -> None:
    asked = _asked(world)
    with world.service.begin(world.actor("admin")) as work, pytest.raises(NotFound):
        confirmations.shown(work, type(asked.id)(int=7))
