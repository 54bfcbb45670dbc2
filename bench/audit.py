"""The audit log beside what nobody could do cheaper: `python -m bench audit`.

In one run, in turns, on each database:

- the sequencer, beside hashing the same leaves and nothing else;
- the offline verifier over an exported log, beside hashing its files;
- an inclusion proof in a tree of `--tree` events, beside fetching one event by its id;
- reads through the group while the keeper sequences, beside reads while it does not;

and once, what one key has seen in a month of `--exposure` synthetic events in columnar segments, in a process of its
own so that its memory is seen, beside a plain scan of `--scan` events in SQLite. Nothing here asserts a figure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4
from zipfile import ZipFile

from sqlalchemy import select, text

from bench.servers import ROOT
from jobs.keeper import Keeper
from privacy import audit_export, audit_segments, audit_verifier, exposure, ids, records, tlog
from privacy.database import Insertion, Lookup, Row
from privacy.exposure import Question
from privacy.group import Call, Failure, Group, Request
from privacy.leaves import leaf
from privacy.sequencer import Sequencer, tile_reader
from privacy.settings import Settings
from privacy.steward import Steward
from privacy.tables import audit_events, audit_pending, audit_positions, audit_tiles, moment
from tests.postgres import postgres
from tests.world import World, build

_EVENTS: Final = Insertion(audit_events, marked=audit_pending)
_POSITIONS: Final = Insertion(audit_positions)
_TILES: Final = Insertion(audit_tiles)
_EVENT: Final = Lookup(lambda event_id: select(audit_events).where(audit_events.c.event_id == event_id), "uuid")
_AT_ONCE: Final = 32  # reads in flight
_PROOFS: Final = 200
_BEGAN: Final = 1_767_225_600_000_000  # 2026-01-01
_YEAR: Final = 365 * 86_400 * 1_000_000
_MONTH: Final = timedelta(days=30)
_KEYS: Final = 20
_PEOPLE: Final = 200_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. Counts of events; `seconds` of each measurement of reads."""

    events: int = 5_000
    tree: int = 100_000
    exposure: int = 200_000
    scan: int = 20_000
    seconds: float = 1.0
    turns: int = 3
    databases: tuple[str, ...] = ("sqlite", "postgresql")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two figures of one turn; what counts is their ratio, `measured` over `beside`."""

    name: str
    database: str
    measured: float
    beside: float
    unit: str

    @property
    def ratio(self) -> float:
        return self.measured / self.beside


@dataclass
class Report:
    """Everything a run found; `asked` is what the process that asked for exposure said of itself."""

    plan: Plan
    pairs: list[Pair] = field(default_factory=list)
    asked: dict[str, Any] = field(default_factory=dict)


def run(plan: Plan, say: Callable[[str], None]) -> Report:
    """Measure; `say` is told what is going on. Leaves nothing behind."""
    report = Report(plan)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="steward-bench-")))
        server = stack.enter_context(postgres(durable=True)) if "postgresql" in plan.databases else None
        for database in plan.databases:
            say(f"{database}: a deployment")
            home = folder / database
            urls = [f"sqlite:///{home}/{name}.db" for name in ("data", "keys")]
            if server is not None and database == "postgresql":
                unique = uuid4().hex[:8]
                urls = [server.create_database(f"bench_{name}_{unique}") for name in ("data", "keys")]
            with _world(home, *urls) as world:
                _log(report, database, world, say)
        say(f"exposure: {plan.exposure:,} events into segments")
        _exposure(report, folder / "exposure", say)
    return report


@contextmanager
def _world(home: Path, database_url: str, keystore_url: str) -> Iterator[World]:
    home.mkdir(parents=True)
    world = build(home, database_url, keystore_url)
    try:
        yield world
    finally:
        world.service.close()


def _log(report: Report, database: str, world: World, say: Callable[[str], None]) -> None:
    plan = report.plan
    for turn in range(1, plan.turns + 1):
        say(f"{database}: turn {turn} of {plan.turns}")
        report.pairs.append(_sequenced(database, world, plan.events))
        report.pairs.append(_read(database, world, plan.seconds, turn))
    say(f"{database}: export and verify")
    report.pairs.append(_verified(database, world))
    say(f"{database}: a tree of {plan.tree:,}")
    report.pairs.append(_proved(database, world, plan.tree))


def _sequenced(database: str, world: World, count: int) -> Pair:
    """Events a second from pending to signed, beside their leaf hashes alone."""
    choice = random.Random(count)
    sequencer = Sequencer(world.service)
    sequencer.catch_up()
    rows = _events(choice, count)
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        transaction.insert(_EVENTS, rows)
    took, done = _timed(sequencer.catch_up)
    alone, _ = _timed(lambda: [tlog.leaf_hash(leaf(row)) for row in rows])
    return Pair("sequencer / leaf hashes alone", database, done / took, count / alone, "events/s")


def _verified(database: str, world: World) -> Pair:
    """Events a second of the offline verifier, beside SHA-256 over the files of the same log."""
    bundle = world.service.settings.home / "log.zip"
    with bundle.open("wb") as out:
        out.writelines(_exported(world))
    key = world.service.keyring.signer
    took, found = _timed(lambda: audit_verifier.verify(bundle, vkey=key.vkey))
    if not found.ok:
        raise RuntimeError(f"the log of the benchmark does not verify: {found.problems[0].code}")

    def hashed() -> None:
        with ZipFile(bundle) as files:
            for name in files.namelist():
                sha256(files.read(name)).digest()

    alone, _ = _timed(hashed)
    return Pair("verifier / hashing the files", database, found.size / took, found.size / alone, "events/s")


def _exported(world: World) -> Iterator[bytes]:
    return audit_export.export(world.service.begin, kind="log")


def _proved(database: str, world: World, size: int) -> Pair:
    """Inclusion proofs a second in a tree of that size, beside events fetched by their ids.

    The tree is grown of random hashes over the deployment's own, which is not read any more.
    """
    choice = random.Random(size)
    tiles: dict[tuple[int, int], bytes] = {}

    def read(level: int, number: int) -> bytes:
        return tiles.get((level, number), b"")

    for start in range(0, size, 100_000):
        hashes = [choice.randbytes(32) for _ in range(min(100_000, size - start))]
        tiles |= tlog.grow(start, hashes, read).tiles
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        transaction.execute(text("DELETE FROM audit_tiles"))
        rows = [(level, number, hashes) for (level, number), hashes in tiles.items()]
        for start in range(0, len(rows), 1000):
            transaction.insert(_TILES, rows[start : start + 1000])
        known = [row[0] for row in transaction.execute(select(audit_events.c.event_id).limit(_PROOFS))]
    rows.clear()
    tiles.clear()

    def proofs() -> None:
        for _ in range(_PROOFS):
            with world.service.database.borrow() as lane, lane.snapshot() as transaction:
                tlog.inclusion(choice.randrange(size), size, tile_reader(transaction))

    def looks() -> None:
        for _ in range(_PROOFS):
            with world.service.database.borrow() as lane, lane.snapshot() as transaction:
                transaction.lookup(_EVENT, [(choice.choice(known),)])

    proofs()
    took, _ = _timed(proofs)
    alone, _ = _timed(looks)
    return Pair("inclusion proof / one event by id", database, _PROOFS / took, _PROOFS / alone, "per second")


def _read(database: str, world: World, seconds: float, turn: int) -> Pair:
    """Reads a second while the keeper sequences what they leave, beside reads while it does not."""
    stored = [world.store(world.subject()).id for _ in range(50)]
    rates = {}
    for sequences in (True, False) if turn % 2 else (False, True):
        keeper = Keeper(world.service, sequences=sequences)
        keeper.start()
        try:
            rates[sequences] = _read_rate(world, stored, seconds)
        finally:
            keeper.stop()
    return Pair("reads, sequencing / not", database, rates[True], rates[False], "reads/s")


def _read_rate(world: World, stored: Sequence[UUID], seconds: float) -> float:
    actor, choice = world.desk, random.Random(9)

    def read(record_id: UUID) -> Call:
        return lambda work: records.read(work, record_id, purpose="customer-service")

    async def reads() -> float:
        group = Group(world.service)
        done, began = 0, time.perf_counter()
        while (now := time.perf_counter()) < began + seconds:
            calls = [read(record_id) for record_id in choice.choices(stored, k=_AT_ONCE)]
            for (found,) in await asyncio.gather(*(group.submit(Request(actor, (call,))) for call in calls)):
                if isinstance(found, Failure):
                    raise found.error
            done += _AT_ONCE
        await group.close()
        if world.service.vault.reader is not None:
            world.service.vault.reader.close()  # its connections belong to this loop
        return done / (now - began)

    return asyncio.run(reads())


def _exposure(report: Report, home: Path, say: Callable[[str], None]) -> None:
    """Events a second that the question passes over: in segments, in a process of its own; in a plain scan."""
    plan = report.plan
    count = max(plan.exposure - plan.exposure % audit_segments.SPAN, audit_segments.SPAN)
    urls = [f"sqlite:///{home}/{name}.db" for name in ("data", "keys")]
    with _world(home, *urls) as world:
        key_id = sha256(world.keys["desk"].encode()).hexdigest()[:16]
        took, size = _timed(lambda: _synthetic(world.service, count, key_id))
        say(f"exposure: {count:,} events, {size / 2**20:,.0f} MiB, written in {took:.1f} s; asking")
        scanned = _scan(world, plan.scan, key_id)
    environment = {**os.environ, "PRIVACY_HOME": str(home)}
    environment |= {"PRIVACY_DATABASE_URL": urls[0], "PRIVACY_KEYSTORE_URL": urls[1]}
    done = subprocess.run(
        (sys.executable, "-m", "bench.audit", "--ask", key_id),
        cwd=ROOT,
        env=environment,
        capture_output=True,
        check=True,
    )
    report.asked = {"events": count, "mebibytes": size / 2**20, "written_seconds": took, **json.loads(done.stdout)}
    for name in ("first", "again"):
        rate = count / report.asked[f"{name}_seconds"]
        report.pairs.append(Pair(f"exposure, {name} / plain scan", "sqlite", rate, scanned, "events/s"))


def _synthetic(service: Steward, count: int, key_id: str) -> int:
    """A year's events, straight into segments; how many bytes they take. The database knows each segment's end."""
    folder = service.settings.home / audit_segments.FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    fields = "['name'], ['name', 'phone'], ['name', 'phone', 'email', 'joined_at'], ['phone']"
    with closing(audit_segments.connect(folder, folder)) as connection:
        for first in range(0, count, audit_segments.SPAN):
            query = f"""
                SELECT n AS position, {_BEGAN} + n * {_YEAR // count} AS "at",
                    'component-' || hash(n, 1) % {_KEYS} AS actor, 'service' AS role,
                    CASE hash(n, 1) % {_KEYS} WHEN 0 THEN '{key_id}'
                        ELSE printf('%016x', hash(n, 1) % {_KEYS}) END AS key_id,
                    md5(CAST(hash(n, 2) % 50 AS VARCHAR)) AS origin, 'record.read' AS action,
                    CASE WHEN hash(n, 3) % 10 < 8 THEN 'disclosed' WHEN hash(n, 3) % 10 = 8 THEN 'compared'
                        ELSE 'done' END AS outcome,
                    CAST(md5(CAST(hash(n, 4) % {_PEOPLE} AS VARCHAR)) AS UUID) AS subject, uuid() AS record,
                    CASE hash(n, 5) % 2 WHEN 0 THEN 'membership' ELSE 'customer-service' END AS purpose,
                    'member' AS type, CASE WHEN hash(n, 6) % 5 = 0 THEN 'sms-gateway' END AS recipient,
                    [{fields}][1 + CAST(hash(n, 7) % 4 AS BIGINT)] AS fields,
                    CASE WHEN hash(n, 8) % 3 = 0 THEN ['phone'] ELSE CAST([] AS VARCHAR[]) END AS masked
                FROM range({first}, {first + audit_segments.SPAN}) AS numbers(n)"""
            last = ids.new()
            audit_segments.write(service, connection, query, first=first, archived=0, last=last)
            with service.database.borrow() as lane, lane.transaction() as transaction:
                transaction.insert(_POSITIONS, [(first + audit_segments.SPAN - 1, last)])
    return sum(file.stat().st_size for file in folder.glob("*.parquet"))


def _scan(world: World, count: int, key_id: str) -> float:
    """Events a second of the same question as SQL over the table, which has no index for it."""
    choice = random.Random(count)
    events = _events(choice, count, key_id)
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        transaction.insert(_EVENTS, events)
        statement = text(
            "SELECT subject_id, fields, purpose, outcome, count(*), min(at), max(at) FROM audit_events"
            " WHERE key_id = :key AND at >= :since AND at < :until AND outcome IN ('disclosed', 'compared')"
            " GROUP BY subject_id, fields, purpose, outcome"
        ).bindparams(key=key_id, since=_BEGAN, until=_BEGAN + _YEAR)
        took, _ = _timed(lambda: transaction.execute(statement).fetchall())
        # what was pending here is not part of the log that is asked about
        transaction.execute(text("DELETE FROM audit_pending"))
    return count / took


def _ask(key_id: str) -> dict[str, object]:
    """In a process of its own: the question twice, and what it took of memory."""
    service = Steward.open(Settings.from_environment())
    with closing(service):
        before = _peak_mebibytes()
        question = Question(key_id=key_id, since=moment(_BEGAN), until=moment(_BEGAN) + _MONTH)
        found: dict[str, object] = {}
        for name in ("first", "again"):  # first: the seals are checked over every byte
            took, answer = _timed(lambda: exposure.ask(service.begin, question, limit=1000))
            found[f"{name}_seconds"] = took
        whole, subjects = _timed(lambda: sum(1 for _ in exposure.every(service.begin, question)))
        if answer.totals is None or answer.totals.subjects != subjects or answer.missing:
            raise RuntimeError("the two answers differ")
        return found | {
            "list_seconds": whole,
            "subjects": subjects,
            "disclosures": answer.totals.disclosures,
            "before_mebibytes": before,
            "peak_mebibytes": _peak_mebibytes(),
        }


def _events(choice: random.Random, count: int, key_id: str = "1" * 16) -> list[Row]:
    """Reads of one writer, in the order of the table's columns; one in twenty with the key."""
    writer = uuid4()
    return [
        (
            ids.new(),
            _BEGAN + number,
            writer,
            number,
            "component",
            "service",
            "record.read",
            "disclosed",
            UUID(int=choice.randrange(_PEOPLE)),
            UUID(int=choice.getrandbits(128)),
            "membership",
            "contract",
            '["email","name","phone"]',
            '{"type":"member"}',
            None,
            key_id if choice.randrange(_KEYS) == 0 else "0" * 16,
            "0" * 32,
            None,
            None,
        )
        for number in range(1, count + 1)
    ]


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


def _peak_mebibytes() -> float:
    """The most memory this program has had in RAM: proc(5), VmHWM. rusage would count its parent's before exec."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def as_text(report: Report) -> str:
    """The medians of the turns, the ratio of each pair, and what the exposure took."""
    lines = []
    for name, database in dict.fromkeys((pair.name, pair.database) for pair in report.pairs):
        pairs = [pair for pair in report.pairs if (pair.name, pair.database) == (name, database)]
        ratio = statistics.median(pair.ratio for pair in pairs)
        measured, beside = (statistics.median(getattr(pair, of) for pair in pairs) for of in ("measured", "beside"))
        lines.append(
            f"{name:<34} {database:<11} {ratio:>9.3f}   ({measured:,.0f} beside {beside:,.0f} {pairs[0].unit})"
        )
    lines += [f"exposure: {name} {value:,.2f}" for name, value in report.asked.items()]
    return "\n".join(lines)


def as_json(report: Report) -> str:
    pairs = [asdict(pair) | {"ratio": pair.ratio} for pair in report.pairs]
    return json.dumps({"plan": asdict(report.plan), "pairs": pairs, "exposure": report.asked})


def main(arguments: Sequence[str] | None = None) -> int:
    default = Plan()
    parser = argparse.ArgumentParser(prog="python -m bench audit", description="Measure the audit log.")
    parser.add_argument("--events", type=int, default=default.events, help="sequenced in each turn")
    parser.add_argument("--tree", type=int, default=default.tree, help="size of the tree that is proved in")
    parser.add_argument("--exposure", type=int, default=default.exposure, help="events in segments")
    parser.add_argument("--scan", type=int, default=default.scan, help="events in the table that is scanned")
    parser.add_argument("--seconds", type=float, default=default.seconds, help="of each measurement of reads")
    parser.add_argument("--turns", type=int, default=default.turns, help="how often each is repeated")
    parser.add_argument("--database", default=",".join(default.databases), help="sqlite, postgresql, both, or ''")
    parser.add_argument("--json", action="store_true", help="one JSON value with every measurement")
    parser.add_argument("--ask", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.ask:
        print(json.dumps(_ask(given.ask)))
        return 0
    databases = tuple(name for name in given.database.split(",") if name)
    if not set(databases) <= {"sqlite", "postgresql"}:
        parser.error("--database is sqlite, postgresql or both")
    if given.seconds <= 0 or min(given.events, given.tree, given.exposure, given.scan, given.turns) < 1:
        parser.error("--events, --tree, --exposure, --scan, --seconds and --turns are positive")
    plan = Plan(given.events, given.tree, given.exposure, given.scan, given.seconds, given.turns, databases)
    report = run(plan, lambda said: print(said, file=sys.stderr, flush=True))
    print(as_json(report) if given.json else as_text(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
