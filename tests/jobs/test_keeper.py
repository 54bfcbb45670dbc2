"""The keeper: what is committed is under a signed checkpoint soon, and a replica without jobs looks and beats."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest

from jobs import keeper as module
from jobs.keeper import Keeper
from privacy.errors import AuditUnavailable
from privacy.sequencer import ANCHOR, HEARTBEAT, Sequencer
from privacy.tables import audit_checkpoints, audit_pending, audit_positions
from tests.invariants.looking import rows
from tests.world import World


def _soon(is_so: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if is_so():
            return True
        time.sleep(0.02)
    return False


def _beats(world: World) -> int:
    return len(world.events(action=HEARTBEAT))


def test_what_is_committed_is_signed_soon_after(world: World) -> None:
    # Broken by hand: `catch_up` left out of a round.
    keeper = Keeper(world.service, round_seconds=0.01)
    keeper.start()
    try:
        world.store(world.subject())
        assert _soon(lambda: rows(world, audit_pending) == [])
        assert rows(world, audit_checkpoints)
        assert _beats(world) == 1  # once a minute, however many rounds
    finally:
        keeper.stop()


def test_stopping_beats_once_more_and_leaves_nothing_pending(world: World) -> None:
    # Broken by hand: the last round left out; the beat left out of it.
    keeper = Keeper(world.service, round_seconds=60)
    keeper.start()
    world.store(world.subject())
    keeper.stop()
    assert _beats(world) == 1
    assert rows(world, audit_pending) == []


def test_a_replica_without_jobs_sequences_nothing_but_beats_and_looks(world: World) -> None:
    # Broken by hand: sequencing anyway; not looking; looking once and never again.
    stored = world.store(world.subject())
    Sequencer(world.service).catch_up()
    placed = len(rows(world, audit_positions))
    keeper = Keeper(world.service, sequences=False, round_seconds=0.01)
    keeper.start()
    try:
        assert _soon(lambda: _beats(world) == 1)
        anchor = world.service.settings.home / ANCHOR
        before = anchor.read_text()
        anchor.write_text("nonsense")
        keeper._looked = float("-inf")  # five seconds later
        assert _soon(lambda: world.service.distrust is not None)
        with pytest.raises(AuditUnavailable):
            world.read(stored.id, "customer-service")
        anchor.write_text(before)
        keeper._looked = float("-inf")
        assert _soon(lambda: world.service.distrust is None)
        assert world.read(stored.id, "customer-service").data["name"]
    finally:
        keeper.stop()
    assert len(rows(world, audit_positions)) == placed


def test_each_of_its_tasks_has_its_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # Broken by hand: each of the three intervals ignored.
    now = [1000.0]
    asked = []
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(Sequencer, "cosign", lambda self: asked.append(now[0]))
    keeper = Keeper(world.service)
    for seconds in (0, 1, 9.5, 10.5, 59, 61):
        now[0] = 1000 + seconds
        keeper._once()
    assert asked == [1000, 1010.5, 1059]
    assert _beats(world) == 2
    looked = []
    monkeypatch.setattr(Sequencer, "check", lambda self: looked.append(now[0]))
    replica = Keeper(world.service, sequences=False)
    for seconds in (0, 4, 5, 6, 10):
        now[0] = 2000 + seconds
        replica._once()
    assert looked == [2000, 2005, 2010]
    keeper._once(last=True)
    keeper._once(last=True)
    assert asked[3:] == [2010, 2010]  # at the end all is done that can be
    assert _beats(world) == 5


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """What the keeper logs, whoever silenced its logger in this process before."""
    monkeypatch.setattr(module.log, "disabled", False)
    caplog.set_level(logging.WARNING, logger=module.log.name)
    return caplog


def test_a_round_that_fails_is_said_and_the_next_one_comes(world: World, said: pytest.LogCaptureFixture) -> None:
    # Broken by hand: the exception let out, which ends the thread.
    in_the_way = world.service.settings.home / f"audit.{os.getpid()}"  # where the anchor is written first
    in_the_way.mkdir()
    keeper = Keeper(world.service)
    keeper._once()
    assert "keeper failed: IsADirectoryError" in said.text
    in_the_way.rmdir()
    world.store(world.subject())
    keeper._once()
    assert rows(world, audit_pending) == []
    anchor = world.service.settings.home / ANCHOR
    assert json.loads(anchor.read_text())["size"] == len(rows(world, audit_positions))


def test_a_witness_that_is_named_wrongly_stops_nothing(world: World, said: pytest.LogCaptureFixture) -> None:
    world.service.settings = replace(world.service.settings, witness_url="http://127.0.0.1:9", witness_key="nonsense")
    keeper = Keeper(world.service)
    keeper._once()
    assert "keeper failed: Malformed" in said.text
    world.store(world.subject())
    keeper._once()
    assert rows(world, audit_pending) == []
