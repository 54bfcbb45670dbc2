"""The vault under load, beside its floors: `python -m bench vault`.

Over HTTP, with keep-alive connections: store one record, read one, search by telephone number, store 100,
read 100; on SQLite and on a PostgreSQL of its own, both durable, the key store in a database of its own.
In the same run, in turns, so that a noisy machine disturbs all of them alike:

- E, an empty FastAPI route on the same server, from the same generator (`bench.apps`);
- the driver alone, without HTTP and rules, with the same statements and sealing (`bench.driver`);
- the hot route with all routes registered, and alone;
- two worker processes, and one, on PostgreSQL;
- a real OpenBao that keeps the same data in its kv-v2 engine, durable, with its file audit on.

What counts are the ratios of one turn, of which the median over the turns is shown. Nothing here asserts a
figure: a machine may be slow.
"""

from __future__ import annotations

import json
import os
import platform
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from bench import driver, load, people
from bench.people import BATCH, Crowd
from bench.report import EMPTY, READ, READ_MANY, SEARCH, WRITE, WRITE_MANY, Line, Memory, Plan, Report
from bench.servers import OpenBao, Server, Servers, Where, resident_bytes, wait
from tests.postgres import Server as Postgres
from tests.postgres import postgres


def run(plan: Plan, say: Callable[[str], None]) -> Report:
    """Measure; `say` is told what is going on. Leaves nothing behind: no process, no file."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="steward-bench-")))
        report = Report(_machine(folder), plan)
        server = stack.enter_context(postgres(durable=True)) if "postgresql" in plan.databases else None
        crowds = {}
        for database in plan.databases:
            say(f"{database}: storing {plan.people:,} subjects with a record each")
            crowds[database] = people.settle(_where(folder, database, server), plan.people)
        servers = stack.enter_context(Servers(folder))
        say("starting the servers")
        running = _started(servers, plan, crowds, server)
        for turn in range(1, plan.turns + 1):
            for database in plan.databases:
                say(f"turn {turn} of {plan.turns} on {database}")
                _turn(report, turn, running[database])
        if "memory" in plan.beside:
            for database in plan.databases:
                say(f"memory on {database}: {plan.memory_requests:,} requests")
                report.memory.append(_memory(plan, running[database]))
        return report


@dataclass(slots=True)
class _Running:
    """A database, the servers on it, and those that need none."""

    database: str
    crowd: Crowd
    groups: Mapping[str, Sequence[int]]  # processes of the database, by role
    service: Server
    empty: Server
    all_routes: Server | None
    alone: Server | None
    two: Server | None
    bao: OpenBao | None = None
    bao_reads: Sequence[bytes] = ()
    bao_writes: Sequence[bytes] = ()


def _where(folder: Path, database: str, server: Postgres | None) -> Where:
    home = folder / database
    if server is None or database == "sqlite":
        return Where(home, f"sqlite:///{home}/data.db", f"sqlite:///{home}/keys.db")
    unique = uuid4().hex[:8]  # a server that TEST_DATABASE_URL names may have others
    return Where(home, server.create_database(f"bench_data_{unique}"), server.create_database(f"bench_keys_{unique}"))


def _started(servers: Servers, plan: Plan, crowds: Mapping[str, Crowd], server: Postgres | None) -> dict[str, _Running]:
    """Everything starts side by side, then each is waited for."""
    empty = servers.app("empty")
    running = {}
    for database, crowd in crowds.items():
        position, workers = "position" in plan.beside, "workers" in plan.beside and database == "postgresql"
        backends = {"database": [server.pid]} if server and server.pid and database == "postgresql" else {}
        running[database] = _Running(
            database,
            crowd,
            backends,
            servers.service(crowd.where),
            empty,
            servers.app("all", crowd.where) if position else None,
            servers.app("alone", crowd.where) if position else None,
            servers.service(crowd.where, workers=2) if workers else None,
        )
    if "openbao" in plan.beside:
        bao = servers.openbao()
        reads, writes = _openbao_requests(bao, plan.people)
        for found in running.values():
            found.bao, found.bao_reads, found.bao_writes = bao, reads, writes
    wait(empty, "/")
    for found in running.values():
        # the hot route alone has no health to ask for: it refuses whoever has no key
        for one, path, status in (
            (found.service, "/readyz", 200),
            (found.two, "/readyz", 200),
            (found.all_routes, "/readyz", 200),
            (found.alone, f"/v1/records/{found.crowd.record_ids[0]}", 401),
        ):
            if one is not None:
                wait(one, path, status)
    return running


def _turn(report: Report, turn: int, running: _Running) -> None:
    """All measurements once, on one database."""
    plan, crowd, groups = report.plan, running.crowd, running.groups
    loads = {
        READ: (crowd.reads(), 200),
        WRITE: (crowd.writes(), 201),
        SEARCH: (crowd.searches(), 200),
        READ_MANY: (crowd.batch_reads(), 200),
        WRITE_MANY: (crowd.batch_writes(), 200),
    }

    def measure(
        what: str, server: Server, requests: Sequence[bytes], accepted: int, connections: int, own: bool = True
    ) -> None:
        measured = load.run(
            server.port,
            requests,
            connections=connections,
            seconds=plan.seconds,
            warm_up=plan.warm_up,
            accepted=(accepted,),
            groups={"server": [server.pid], **(groups if own else {})},
        )
        report.lines.append(Line(turn, running.database, what, connections, measured))

    for connections in plan.connections:
        measure(EMPTY, running.empty, [load.get("/")], 200, connections, own=False)
        for what, (requests, accepted) in loads.items():
            measure(what, running.service, requests, accepted, connections)
    for batch in (1, BATCH):
        floor = driver.measure(crowd, batch, plan.seconds / 2)
        report.floors.append((turn, running.database, floor))
    most = max(plan.connections)
    if running.all_routes and running.alone:
        measure("hot route, all routes", running.all_routes, *loads[READ], most)
        measure("hot route, alone", running.alone, *loads[READ], most)
    if running.two:
        measure("read one, 2 workers", running.two, *loads[READ], most)
        measure("read one, 1 worker", running.service, *loads[READ], most)
        measure("write one, 2 workers", running.two, *loads[WRITE], most)
        measure("write one, 1 worker", running.service, *loads[WRITE], most)
    if running.bao:
        measure("OpenBao read", running.bao.server, running.bao_reads, 200, most, own=False)
        measure("OpenBao write", running.bao.server, running.bao_writes, 200, most, own=False)


def _openbao_requests(bao: OpenBao, people_count: int) -> tuple[list[bytes], list[bytes]]:
    """Reads of secrets that are stored beforehand, and writes of further ones, each of a member's fields."""
    choice = random.Random(8)
    header = f"X-Vault-Token: {bao.token}\r\n"

    def writes(count: int) -> Iterator[tuple[str, bytes]]:
        for _ in range(count):
            path = f"/v1/kv/data/{uuid4().hex}"
            data = people.member(choice, f"139{choice.randrange(10**8):08}")
            body = json.dumps({"data": data}, ensure_ascii=False).encode()
            yield path, load.post(path, body, headers=header)

    stored = dict(writes(people_count))
    load.run(
        bao.server.port,
        list(stored.values()),
        connections=32,
        seconds=0,
        warm_up=0,
        most=people_count + 64,
    )
    paths = choice.choices(list(stored), k=20_000)
    return [load.get(path, headers=header) for path in paths], [request for _, request in writes(20_000)]


def _memory(plan: Plan, running: _Running) -> Memory:
    """Four reads to a write, at the greatest number of connections, on a server that is warm already."""
    reads, writes = running.crowd.reads(), running.crowd.writes()
    mixed = [request for n in range(len(writes) // 4) for request in (*reads[4 * n : 4 * n + 4], writes[n])]
    before = resident_bytes(running.service.pid)
    load.run(
        running.service.port,
        mixed,
        connections=max(plan.connections),
        seconds=0,
        warm_up=0,
        most=plan.memory_requests,
        accepted=(200, 201),
    )
    after = resident_bytes(running.service.pid)
    return Memory(running.database, plan.memory_requests, before / 2**20, after / 2**20)


def _machine(folder: Path) -> dict[str, object]:
    """What the figures depend on: cores, versions, and what an fdatasync costs where the files are."""
    with _timed_file(folder / "flush") as flush:
        times = sorted(flush() for _ in range(100))
    return {
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "fdatasync_us": round(times[len(times) // 2] * 1e6),
        "load_average": os.getloadavg()[0],
    }


@contextmanager
def _timed_file(path: Path) -> Iterator[Callable[[], float]]:
    with path.open("wb", buffering=0) as file:

        def flush() -> float:
            begin = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            return time.perf_counter() - begin

        yield flush
    path.unlink()
