"""The life cycle under load: `python -m bench lifecycle`.

On each database, with `--people` subjects of one record each: the sweep of that many expired records, the erasure of
that many subjects, the rotation of that many data keys, each while another process serves reads to eight clients. A
read that fails, or a rotation without its proof, fails the run. Beside each rate stands what the same reads take when
nothing else goes on: the ratio of their 99th percentiles. Memory of this process is read at a tenth of the way and at
the end.

`--growth` names sizes of the database: what `--sample` items cost in each is measured, and drawn. A cost that grows
with the size shows as a line that is not level. Nothing here asserts a figure.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec

from bench import load
from bench.servers import Server, Servers, Where, wait
from keys import container
from keys.container import Place
from privacy import erasure, ids, retention, rotations
from privacy.database import Insertion
from privacy.steward import Steward
from privacy.tables import index_entries, records, subjects
from privacy.work import TERMINAL
from tests.postgres import Server as Postgres
from tests.postgres import postgres
from tests.world import World, build

_SUBJECTS: Final = Insertion(subjects)
_RECORDS: Final = Insertion(records)
_ENTRIES: Final = Insertion(index_entries)
_AT_ONCE: Final = 1000
_READ: Final = 500  # subjects that are read all the time, and are left alone
_CONNECTIONS: Final = 8
_YEAR: Final = 365 * 86_400 * 1_000_000
_ERASED: Final = 50  # subjects of a batch
_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. `people` are subjects of each task; `seconds` of the idle reads; `growth` sizes of the database."""

    people: int = 2_000
    seconds: float = 2.0
    growth: tuple[int, ...] = (1_000, 5_000)
    sample: int = 500
    databases: tuple[str, ...] = ("sqlite", "postgresql")


@dataclass(frozen=True, slots=True)
class Task:
    """One task under load. Latencies of the reads in milliseconds; memory of this process in MiB."""

    name: str
    database: str
    items: int
    rate: float  # items a second
    idle_p99: float
    busy_p99: float
    reads: float  # a second, meanwhile
    memory_at_a_tenth: float
    memory_at_the_end: float

    @property
    def ratio(self) -> float:
        """The reads' 99th percentile while the task ran, over that of reads alone."""
        return self.busy_p99 / self.idle_p99


@dataclass(frozen=True, slots=True)
class Cost:
    """What an item of a task costs in a database of `size` subjects, in microseconds."""

    name: str
    database: str
    size: int
    micros: float


@dataclass
class Report:
    """Everything a run found."""

    plan: Plan
    tasks: list[Task] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)


def run(plan: Plan, say: Callable[[str], None]) -> Report:
    """Measure; `say` is told what is going on. Leaves nothing behind."""
    report = Report(plan)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="steward-bench-")))
        server = stack.enter_context(postgres(durable=True)) if "postgresql" in plan.databases else None
        for database in plan.databases:
            say(f"{database}: {plan.people:,} subjects for each task")
            _tasks(report, _made(folder / f"{database}-tasks", database, server), database, folder, say)
            for size in plan.growth:
                say(f"{database}: what an item costs among {size:,}")
                _costs(report, _made(folder / f"{database}-{size}", database, server), database, size)
    return report


# --- tasks under load


def _tasks(report: Report, where: Where, database: str, folder: Path, say: Callable[[str], None]) -> None:
    plan = report.plan
    where.home.mkdir(parents=True)
    world = build(where.home, where.database_url, where.keystore_url)
    try:
        read = _filled(world, _READ)
        swept, erased = _filled(world, plan.people, expired=True), _filled(world, plan.people)
        with Servers(folder) as servers:
            serving = servers.service(where)
            wait(serving, "/readyz")
            requests = [
                load.get(f"/v1/records/{record_id}?purpose=membership", world.keys["platform"])
                for record_id in read.record_ids
            ]
            idle = _reads(serving, requests, plan.seconds)
            for name, count, step in (
                ("sweep", len(swept.subject_ids), _sweeping(world.service)),
                ("erase", len(erased.subject_ids), _erasing(world, erased.subject_ids)),
                ("rotate data keys", plan.people + _READ, _rotating(world.service)),
            ):
                say(f"{database}: {name}")
                report.tasks.append(_under_load(name, database, count, step, serving, requests, idle, plan.seconds))
    finally:
        world.service.close()


def _under_load(
    name: str,
    database: str,
    count: int,
    step: Callable[[], int],
    serving: Server,
    requests: Sequence[bytes],
    idle: load.Measured,
    seconds: float,
) -> Task:
    """Steps until one does nothing, with reads going on from before the first until after the last.

    The reads are measured in stretches of `seconds`, at most one.
    """
    ended = threading.Event()

    def reading() -> list[load.Measured]:
        busy = [_reads(serving, requests, min(1.0, seconds))]
        while not ended.is_set():
            busy.append(_reads(serving, requests, min(1.0, seconds)))
        return busy

    with ThreadPoolExecutor(1) as threads:
        reader = threads.submit(reading)
        began, done, at_a_tenth = time.perf_counter(), 0, 0.0
        try:
            while found := step():
                done += found
                if not at_a_tenth and done >= count / 10:
                    at_a_tenth = _mebibytes()
        finally:
            took = time.perf_counter() - began
            ended.set()
        busy = reader.result()  # raises when a single read has failed
    return Task(
        name=name,
        database=database,
        items=done,
        rate=done / took,
        idle_p99=idle.p99,
        busy_p99=statistics.median(one.p99 for one in busy),
        reads=statistics.median(one.rate for one in busy),
        memory_at_a_tenth=at_a_tenth,
        memory_at_the_end=_mebibytes(),
    )


def _reads(serving: Server, requests: Sequence[bytes], seconds: float) -> load.Measured:
    return load.run(serving.port, requests, connections=_CONNECTIONS, seconds=seconds, warm_up=min(0.2, seconds / 2))


def _sweeping(service: Steward) -> Callable[[], int]:
    def step() -> int:
        with service.begin(TERMINAL) as work:
            return retention.sweep(work).records

    return step


def _erasing(world: World, subject_ids: Sequence[UUID], actor: str = "operator") -> Callable[[], int]:
    left = iter(subject_ids)

    def step() -> int:
        found = erasure.erase_many(world.service, list(islice(left, _ERASED)), actor=world.actor(actor))
        return sum(one.state == "done" for one in found.values())

    return step


def _rotating(service: Steward) -> Callable[[], int]:
    started: list[UUID] = []

    def step() -> int:
        if not started:
            with service.begin(TERMINAL) as work:
                started.append(rotations.start(work, rotations.Kind.DATA).id)
            rotations.advance(service, started[0], seconds=0)  # the count of what there is to do
        done = rotations.advance(service, started[0], seconds=0.5)
        if not done:
            with service.begin(TERMINAL) as work:
                found = rotations.shown(work, started[0])
            if found.state != "proven" or any((found.proof or {"": 1}).values()):
                raise RuntimeError("the rotation ended without its proof")
        return done

    return step


# --- what an item costs in a larger database


def _costs(report: Report, where: Where, database: str, size: int) -> None:
    plan = report.plan
    where.home.mkdir(parents=True)
    world = build(where.home, where.database_url, where.keystore_url)
    try:
        _filled(world, max(0, size - 2 * plan.sample))
        _filled(world, plan.sample, expired=True)
        erased = _filled(world, plan.sample)
        for name, step in (
            ("sweep", _sweeping(world.service)),
            ("erase", _erasing(world, erased.subject_ids)),
            ("rotate data keys", _rotating(world.service)),
        ):
            began, done = time.perf_counter(), 0
            while done < plan.sample and (found := step()):
                done += found
            took = time.perf_counter() - began
            report.costs.append(Cost(name, database, size, took / done * 1e6 if done else 0.0))
    finally:
        world.service.close()


# --- a deployment with many people, filled past the service: as it would stand after years


@dataclass(frozen=True, slots=True)
class Filled:
    """Who is in it; `record_ids[n]` is of `subject_ids[n]`."""

    subject_ids: list[UUID]
    record_ids: list[UUID]


def _filled(world: World, count: int, *, expired: bool = False) -> Filled:
    """Members with a record each, sealed under keys of their own; `expired` a day ago."""
    found = Filled([], [])
    for start in range(0, count, _AT_ONCE):
        _fill(world, min(_AT_ONCE, count - start), expired, found)
    return found


def _fill(world: World, count: int, expired: bool, found: Filled) -> None:
    service = world.service
    keyring, declared, now = service.keyring, service.declared, service.instant()
    if declared is None:
        raise RuntimeError("no manifest is in force")
    ends = now - 86_400_000_000 if expired else now + _YEAR
    numbers = {name: declared.number("member", name) for name in ("name", "phone")}
    wrapped, people, kept, entries = [], [], [], []
    for n in range(count):
        subject_id, record_id = ids.new(), ids.new()
        key_row, key = keyring.new_data_key(subject_id.bytes, "main")
        place = Place(keyring.deployment, subject_id.bytes, "main", "member", record_id.bytes)
        values = {numbers["name"]: _encode("王伟"), numbers["phone"]: _encode(f"138{n:08}")}
        with key:
            sealed = container.seal(key, place, values)
        wrapped.append(key_row)
        people.append((subject_id, "CN", now, None, None, None, None, False, False, None))
        stored = ends - _YEAR * 3
        row = (subject_id, record_id, "member", 1, 3, '["membership"]', stored, stored, ends, key_row.kid, sealed)
        kept.append(row)
        version = keyring.index.version
        entries += [(subject_id, record_id, number, version, hash(record_id) & 0xFFFF) for number in numbers.values()]
        found.subject_ids.append(subject_id)
        found.record_ids.append(record_id)
    service.keystore.add(wrapped)
    with service.database.borrow() as lane, lane.transaction() as transaction:
        transaction.insert(_SUBJECTS, people)
        transaction.insert(_RECORDS, kept)
        transaction.insert(_ENTRIES, entries)


def _made(home: Path, database: str, server: Postgres | None) -> Where:
    if server is None or database == "sqlite":
        return Where(home, f"sqlite:///{home}/data.db", f"sqlite:///{home}/keys.db")
    unique = uuid4().hex[:8]
    return Where(home, server.create_database(f"bench_data_{unique}"), server.create_database(f"bench_keys_{unique}"))


def _mebibytes() -> float:
    (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


# --- telling


def as_text(report: Report) -> str:
    """A line for each task and each cost, the latter with a bar."""
    lines = [
        f"{task.name:<18} {task.database:<11} {task.items:>9,} items {task.rate:>9,.0f}/s"
        f"   reads' p99 x {task.ratio:5.2f}"
        f" ({task.busy_p99:.1f} beside {task.idle_p99:.1f} ms idle; {task.reads:,.0f} reads/s)"
        f"   memory {task.memory_at_a_tenth:.0f} -> {task.memory_at_the_end:.0f} MiB"
        for task in report.tasks
    ]
    most = max((cost.micros for cost in report.costs), default=1.0)
    for cost in report.costs:
        bar = "█" * max(1, round(40 * cost.micros / most))
        lines.append(f"{cost.name:<18} {cost.database:<11} {cost.size:>9,} subjects {cost.micros:>9,.0f} µs {bar}")
    return "\n".join(lines)


def as_json(report: Report) -> str:
    """The whole report as one JSON value."""
    tasks: list[dict[str, Any]] = [asdict(task) | {"ratio": task.ratio} for task in report.tasks]
    return json.dumps(
        {"plan": asdict(report.plan), "tasks": tasks, "costs": [asdict(cost) for cost in report.costs]}, indent=1
    )


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    default = Plan()
    parser = argparse.ArgumentParser(prog="python -m bench lifecycle", description="The life cycle under load.")
    parser.add_argument("--people", type=int, default=default.people, help="subjects of each task")
    parser.add_argument("--seconds", type=float, default=default.seconds, help="of reads with nothing else going on")
    parser.add_argument("--growth", type=_numbers, default=default.growth, help="sizes, comma-separated")
    parser.add_argument("--sample", type=int, default=default.sample, help="items of each measurement of growth")
    parser.add_argument("--database", type=_names, default=default.databases, help="sqlite, postgresql or both")
    parser.add_argument("--json", action="store_true", help="one JSON value with every measurement")
    given = parser.parse_args(arguments)
    if not given.database or not set(given.database) <= {"sqlite", "postgresql"}:
        parser.error("--database is sqlite, postgresql or both")
    if min(given.people, given.sample, *given.growth, 1) < 1 or given.seconds <= 0:
        parser.error("numbers are positive")
    plan = Plan(given.people, given.seconds, given.growth, given.sample, given.database)
    found = run(plan, lambda text: print(text, file=sys.stderr, flush=True))
    print(as_json(found) if given.json else as_text(found))
    return 0


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in _names(text))
