"""A job runs once at a time however many replicas there are, survives `kill -9`, and loses no run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import func, select

from privacy import job_runs
from privacy.settings import Settings
from privacy.tables import job_slots
from privacy.work import TERMINAL
from tests.invariants.ticking import NAMES
from tests.server import ROOT
from tests.world import World

RUNS: Final = 200
PATIENCE: Final = 90.0
Key = tuple[str, int]  # job, fence

# Broken by hand: a claim that does not look at the lease (two at once); leases that nobody moves on (two at once); no
# takeover of a lease that has ended (a job stands still); a takeover that forgets when the lost run was due.


@dataclass
class Replica:
    """A process that runs jobs, and what it has written of its runs."""

    process: subprocess.Popen[bytes]
    file: Path

    def lines(self) -> list[tuple[Key, str, int]]:
        found = []
        for line in self.file.read_text().splitlines() if self.file.exists() else ():
            name, fence, what, at = line.split()
            found.append(((name, int(fence)), what, int(at)))
        return found

    def in_hand(self) -> set[Key]:
        """Runs that have begun and not ended."""
        began = {key for key, what, _ in self.lines() if what == "began"}
        return began - {key for key, what, _ in self.lines() if what == "ended"}


@pytest.fixture
def replicas(world: World, tmp_path: Path) -> Iterator[Callable[[str], Replica]]:
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str) -> Replica:
        file = tmp_path / name
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.invariants.ticking", str(file)],
            cwd=ROOT,
            env=_environment(world.service.settings),
            stdin=subprocess.DEVNULL,
        )
        started.append(process)
        return Replica(process, file)

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait(PATIENCE)


def _environment(settings: Settings) -> Mapping[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PRIVACY_")}
    return inherited | {
        "PRIVACY_HOME": str(settings.home),
        "PRIVACY_DATABASE_URL": settings.database_url,
        "PRIVACY_KEYSTORE_URL": settings.keystore_url,
    }


def test_two_replicas_run_no_job_at_once_and_lose_none_when_one_is_killed(
    world: World, replicas: Callable[[str], Replica]
) -> None:
    victim, survivor = replicas("victim"), replicas("survivor")
    _until(lambda: _claimed(world) >= RUNS // 2 and len(victim.lines()) > 20 and len(survivor.lines()) > 20)
    _until(lambda: _kill_in_hand(victim))
    killed_at = time.monotonic_ns()
    lost = victim.in_hand()
    _until(lambda: _claimed(world) >= RUNS and all(_is_done(world, after(key)) for key in lost))
    survivor.process.terminate()
    assert survivor.process.wait(PATIENCE) == 0
    _none_ran_at_once([victim, survivor], killed_at)
    _none_was_lost(world, [victim, survivor], lost)


def _kill_in_hand(victim: Replica) -> bool:
    """`kill -9` in the midst of a run; False when it stood between two."""
    victim.process.send_signal(signal.SIGSTOP)
    if not victim.in_hand():
        victim.process.send_signal(signal.SIGCONT)
        return False
    victim.process.kill()
    victim.process.wait(PATIENCE)
    return True


def _none_ran_at_once(replicas: list[Replica], killed_at: int) -> None:
    began: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for replica in replicas:
        ends = {key: at for key, what, at in replica.lines() if what == "ended"}
        for key, what, at in replica.lines():
            if what == "began":
                began[key[0]].append((at, ends.get(key, killed_at)))
    assert set(began) == set(NAMES)
    for spans in began.values():
        assert all(before[1] <= following[0] for before, following in pairwise(sorted(spans)))


def _none_was_lost(world: World, replicas: list[Replica], lost: set[Key]) -> None:
    runs = _runs(world)
    began = [key for replica in replicas for key, what, _ in replica.lines() if what == "began"]
    assert len(began) == len(set(began))
    ended = {key for replica in replicas for key, what, _ in replica.lines() if what == "ended"}
    assert {run.outcome for run in runs.values()} == {"done", "lost"}
    assert {key for key, run in runs.items() if run.outcome == "done"} <= ended
    # a process may be killed after a claim and before its run began, or between the run's end and the word of it
    down_as_lost = {key for key, run in runs.items() if run.outcome == "lost"}
    assert lost <= down_as_lost
    assert len(down_as_lost) <= len(NAMES)
    for key in down_as_lost:
        assert runs[after(key)].outcome == "done"
        assert runs[after(key)].due_at == runs[key].due_at
    for name in NAMES:
        numbers = sorted(fence for job, fence in runs if job == name)
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= 5


def after(key: Key) -> Key:
    """The next run of the same job."""
    return key[0], key[1] + 1


def _runs(world: World) -> dict[Key, job_runs.Run]:
    found: dict[Key, job_runs.Run] = {}
    with world.service.begin(TERMINAL) as work:
        for name in NAMES:
            before = None
            while page := job_runs.history(work, name, before=before):
                found |= {(name, run.number): run for run in page}
                before = page[-1].id
    return found


def _is_done(world: World, key: Key) -> bool:
    run = _runs(world).get(key)
    return run is not None and run.outcome == "done"


def _claimed(world: World) -> int:
    with world.service.database.borrow() as lane, lane.snapshot() as transaction:
        return int(transaction.execute(select(func.coalesce(func.sum(job_slots.c.fence), 0))).scalar_one())


def _until(found: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not found():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)
