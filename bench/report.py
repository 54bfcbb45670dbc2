"""What a run of the vault found: its ratios against their aims, as text and as JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

from bench.driver import Floor
from bench.load import Measured
from bench.people import BATCH

READ, WRITE, SEARCH, READ_MANY, WRITE_MANY = "read one", "write one", "search", "read 100", "write 100"
EMPTY: Final = "E: empty route"
BESIDE: Final = ("position", "workers", "openbao", "memory")
_BATCH_CONNECTIONS: Final = 8

# The least a ratio should be. They are aims, written before the figures were known.
_AIMS: Final[Mapping[str, float]] = {
    "read one / E": 0.5,
    "write one / E": 0.4,
    "read 100 / driver alone": 0.6,
    "write 100 / driver alone": 0.5,
    "hot route, all routes / alone": 0.95,
    "read one, 2 workers / 1": 1.4,
    "write one, 2 workers / 1": 1.4,
    "read one / OpenBao": 0.7,
    "write one / OpenBao": 2.0,
}
# The most that a 99th percentile should be at the greatest number of connections, in milliseconds.
_MOST: Final[Mapping[str, float]] = {READ: 10.0, WRITE: 15.0}


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. `beside` names what stands beside the service, of `BESIDE`."""

    seconds: float = 2.0
    turns: int = 3
    people: int = 10_000
    connections: tuple[int, ...] = (1, 8, 32)
    databases: tuple[str, ...] = ("sqlite", "postgresql")
    beside: tuple[str, ...] = BESIDE
    memory_requests: int = 100_000
    warm_up: float = 0.5


@dataclass(frozen=True, slots=True)
class Line:
    """One measurement of one turn."""

    turn: int
    database: str
    what: str
    connections: int
    measured: Measured


@dataclass(frozen=True, slots=True)
class Ratio:
    """A figure against its aim; `turns` are its values, `value` their median."""

    name: str
    database: str
    value: float
    turns: tuple[float, ...]
    aim: float | None
    is_met: bool | None


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of the serving processes before and after so many requests, in MiB."""

    database: str
    requests: int
    before: float
    after: float


@dataclass
class Report:
    """Everything a run found."""

    machine: Mapping[str, object]
    plan: Plan
    lines: list[Line] = field(default_factory=list)
    floors: list[tuple[int, str, Floor]] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)

    def find(self, turn: int, database: str, what: str, connections: int) -> Measured | None:
        """What was measured, None when that was left out."""
        for line in self.lines:
            if (line.turn, line.database, line.what, line.connections) == (turn, database, what, connections):
                return line.measured
        return None


def ratios(report: Report) -> list[Ratio]:
    """Every ratio that the run allows, and the 99th percentiles, against their aims."""
    plan = report.plan
    most = max(plan.connections)
    batch_connections = _BATCH_CONNECTIONS if _BATCH_CONNECTIONS in plan.connections else most
    found = []
    for database in plan.databases:
        values: dict[str, list[float]] = {}
        for turn in range(1, plan.turns + 1):
            for name, value in _of_turn(report, turn, database, most, batch_connections):
                values.setdefault(name, []).append(value)
        for name, turns in values.items():
            value, aim = statistics.median(turns), _AIMS.get(name)
            found.append(Ratio(name, database, value, tuple(turns), aim, None if aim is None else value >= aim))
        for what, limit in _MOST.items():
            tails = tuple(
                line.measured.p99
                for line in report.lines
                if (line.database, line.what, line.connections) == (database, what, most)
            )
            value = statistics.median(tails)
            found.append(Ratio(f"{what}, p99 in ms", database, value, tails, limit, value <= limit))
    return found


def _of_turn(
    report: Report, turn: int, database: str, most: int, batch_connections: int
) -> Iterator[tuple[str, float]]:
    pairs = {
        "read one / E": (READ, EMPTY),
        "write one / E": (WRITE, EMPTY),
        "hot route, all routes / alone": ("hot route, all routes", "hot route, alone"),
        "read one, 2 workers / 1": ("read one, 2 workers", "read one, 1 worker"),
        "write one, 2 workers / 1": ("write one, 2 workers", "write one, 1 worker"),
        "read one / OpenBao": (READ, "OpenBao read"),
        "write one / OpenBao": (WRITE, "OpenBao write"),
    }
    for name, (above, below) in pairs.items():
        numerator = report.find(turn, database, above, most)
        denominator = report.find(turn, database, below, most)
        if numerator and denominator:
            yield name, numerator.rate / denominator.rate
            if below == EMPTY and numerator.cpu["server"]:
                # the same of processor time, which a busy machine disturbs less
                yield f"{name}, server time", denominator.cpu["server"] / numerator.cpu["server"]
    for at, where, floor in report.floors:
        if (at, where, floor.batch) == (turn, database, BATCH):
            for what, alone in ((READ_MANY, floor.reads), (WRITE_MANY, floor.writes)):
                calls = report.find(turn, database, what, batch_connections)
                if calls:
                    yield f"{what} / driver alone", calls.rate * BATCH / alone


def as_json(report: Report) -> str:
    """The whole report as one JSON value."""
    return json.dumps(
        {
            "machine": report.machine,
            "plan": asdict(report.plan),
            "ratios": [asdict(ratio) for ratio in ratios(report)],
            "lines": [asdict(line) for line in report.lines],
            "floors": [
                {"turn": turn, "database": database, **floor._asdict()} for turn, database, floor in report.floors
            ],
            "memory": [asdict(memory) for memory in report.memory],
        },
        indent=1,
    )


def as_text(report: Report) -> str:
    """The report as Markdown tables."""
    machine = report.machine
    heading = (
        f"{machine['cores']} cores, Python {machine['python']}, fdatasync {machine['fdatasync_us']} us; "
        f"{report.plan.people:,} subjects, {report.plan.turns} turns of {report.plan.seconds:g} s, medians"
    )
    parts = [
        heading,
        _table(
            ("aim", "database", "figure", "aim at", "met", "turns"),
            [
                (
                    ratio.name,
                    ratio.database,
                    f"{ratio.value:.2f}",
                    "" if ratio.aim is None else f"{ratio.aim:g}",
                    {True: "yes", False: "NO", None: ""}[ratio.is_met],
                    " ".join(f"{value:.2f}" for value in ratio.turns),
                )
                for ratio in ratios(report)
            ],
        ),
    ]
    for database in report.plan.databases:
        header = ("conn", "req/s", "p50 ms", "p99 ms", "worst", "server us", "database us", "generator us", "others")
        parts.append(_table((database, *header), list(_rows(report, database))))
    parts.append(
        _table(
            ("driver alone", "in a transaction", "reads/s", "writes/s"),
            [
                (
                    database,
                    str(batch),
                    *(
                        f"{_median(getattr(floor, way) for floor in _floors(report, database, batch)):,.0f}"
                        for way in ("reads", "writes")
                    ),
                )
                for database in report.plan.databases
                for batch in (1, BATCH)
            ],
        )
    )
    if report.memory:
        parts.append(
            _table(
                ("memory", "requests", "before MiB", "after MiB"),
                [
                    (memory.database, f"{memory.requests:,}", f"{memory.before:.1f}", f"{memory.after:.1f}")
                    for memory in report.memory
                ],
            )
        )
    return "\n\n".join(parts)


def _floors(report: Report, database: str, batch: int) -> list[Floor]:
    return [floor for _, where, floor in report.floors if (where, floor.batch) == (database, batch)]


def _rows(report: Report, database: str) -> Iterator[tuple[str, ...]]:
    kinds = dict.fromkeys((line.what, line.connections) for line in report.lines if line.database == database)
    for what, connections in kinds:
        runs = [
            line.measured
            for line in report.lines
            if (line.database, line.what, line.connections) == (database, what, connections)
        ]
        yield (
            what,
            str(connections),
            f"{_median(one.rate for one in runs):,.0f}",
            f"{_median(one.p50 for one in runs):.2f}",
            f"{_median(one.p99 for one in runs):.2f}",
            f"{max(one.worst for one in runs):.1f}",
            f"{_median(one.cpu['server'] for one in runs):,.0f}",
            f"{_median(one.cpu['database'] for one in runs):,.0f}" if "database" in runs[0].cpu else "",
            f"{_median(one.generator_cpu for one in runs):,.0f}",
            f"{_median(one.others for one in runs):.2f}",
        )


def _median(values: Iterator[float]) -> float:
    return statistics.median(values)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[n]) for row in (header, *rows)) for n in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)]
        return "| " + " | ".join(cells).rstrip() + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join((line(header), rule, *map(line, rows)))
