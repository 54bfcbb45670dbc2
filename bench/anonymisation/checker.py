"""The second opinion beside pycanon, on the same table in the same run: `python -m bench anonymisation checker`.

k, distinct l, entropy l and t of a column of words (equal distance) and of one of numbers (ordered distance), of a
table as a release would hold it: few classes; with `--as-collected` of the same table before, where most rows are
alone, which takes pycanon minutes. Given `--csv`, of that file's `--quasi` and `--sensitive` columns instead. Both get
columns of text already in memory; pycanon its frame, made before the clock starts. What is not equal to 1e-9 is said on
its line; pycanon cuts entropy l to a whole number. Nothing here asserts a figure; what counts are ratios of one run.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final, TypeVar

import pandas as pd
from pycanon import anonymity

from privacy.anonymisation.checking import Measured, measure

_EQUAL: Final = 1e-9

Columns = dict[str, list[str]]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Plan:
    """`rows` of made people, or those of `file`; the best of `turns` is ours, of `their_turns` pycanon's."""

    rows: int = 30_000
    seed: int = 2026
    as_collected: bool = False  # takes pycanon minutes
    turns: int = 5
    their_turns: int = 1
    file: Path | None = None
    delimiter: str = ";"
    quasi: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """Seconds of both on one table, and by how much their figures differ at most."""

    what: str
    rows: int
    classes: int
    ours: float
    pycanon: float
    apart: float

    def __str__(self) -> str:
        equal = "equal" if self.apart <= _EQUAL else f"APART by {self.apart:.3g}"
        return (
            f"{self.what:<28} {self.rows:>7,} rows {self.classes:>7,} classes   ours {self.ours * 1000:,.1f} ms"
            f"   pycanon {self.pycanon * 1000:,.0f} ms (x {self.pycanon / self.ours:,.0f})   {equal}"
        )


def run(plan: Plan) -> list[Line]:
    """Measure; leaves nothing behind."""
    if plan.file is not None:
        columns = _read(plan.file, plan.delimiter)
        return [_line(plan, plan.file.name, columns, plan.quasi, plan.sensitive)]
    quasi, sensitive = ("age", "city", "joined", "channel", "device"), ("topic", "visits")
    before = _made(plan.rows, Random(plan.seed))
    after = before | {
        "age": [f"{int(age) // 20 * 20}–{int(age) // 20 * 20 + 19}" for age in before["age"]],
        "joined": [joined[:4] for joined in before["joined"]],
        "city": [city[:1] for city in before["city"]],
    }
    lines = [
        _line(plan, "generalised", after, quasi, sensitive),
        _line(plan, "generalised, k only", after, quasi, ()),
    ]
    return lines + ([_line(plan, "as collected", before, quasi, sensitive)] if plan.as_collected else [])


def _made(rows: int, random: Random) -> Columns:
    return {
        "age": [str(random.randrange(18, 90)) for _ in range(rows)],
        "city": [f"{random.choice('京沪粤浙川')}{random.randrange(20):02}" for _ in range(rows)],
        "joined": [f"{random.randrange(2019, 2026)}-{random.randrange(1, 13):02}" for _ in range(rows)],
        "channel": [random.choice(("phone", "mail", "chat", "shop")) for _ in range(rows)],
        "device": [random.choice(("ios", "android", "desktop")) for _ in range(rows)],
        "topic": [f"topic {min(int(random.expovariate(0.3)), 13)}" for _ in range(rows)],
        "visits": [str(min(int(random.expovariate(0.2)), 30)) for _ in range(rows)],
    }


def _read(file: Path, delimiter: str) -> Columns:
    with file.open(encoding="utf-8", newline="") as opened:
        names, *rows = csv.reader(opened, delimiter=delimiter)
    return {name: [row[at] for row in rows] for at, name in enumerate(names)}


def _line(plan: Plan, what: str, columns: Columns, quasi: Sequence[str], sensitive: Sequence[str]) -> Line:
    frame = pd.DataFrame({name: columns[name] for name in (*quasi, *sensitive)})
    numbers = [name for name in sensitive if all(value.lstrip("-").isdigit() for value in columns[name])]
    for name in numbers:
        frame[name] = frame[name].astype(int)
    ours, found = _best(plan.turns, lambda: measure(columns, quasi, sensitive))
    theirs, figures = _best(plan.their_turns, lambda: _pycanon(frame, list(quasi), sensitive))
    return Line(what, found.rows, found.classes, ours, theirs, _apart(found, figures, set(numbers)))


def _pycanon(frame: pd.DataFrame, quasi: list[str], sensitive: Sequence[str]) -> list[float]:
    figures: list[float] = [anonymity.k_anonymity(frame, quasi)]
    for name in sensitive:
        figures += [
            anonymity.l_diversity(frame, quasi, [name]),
            anonymity.entropy_l_diversity(frame, quasi, [name]),
            anonymity.t_closeness(frame, quasi, [name]),
        ]
    return figures


def _apart(found: Measured, figures: Sequence[float], numbers: set[str]) -> float:
    k, *rest = figures
    apart = [abs(found.k - k)]
    for at, one in enumerate(found.sensitive):
        distinct, entropy, t = rest[3 * at : 3 * at + 3]
        # Cut to a whole number there; a share of rounding may cut 3 to 2.
        whole = min(abs(int(one.entropy_l + sign * _EQUAL) - entropy) for sign in (-1, 1))
        apart += [
            abs(one.distinct_l - distinct),
            whole,
            abs((one.t_ordered if one.column in numbers else one.t_equal) - t),
        ]
    return max(apart)


def _best(turns: int, work: Callable[[], _T]) -> tuple[float, _T]:
    """The least seconds of this process, so that what others do on the machine does not count; and the last result."""
    least = float("inf")
    for _ in range(turns):
        began = time.process_time()
        found = work()
        least = min(least, time.process_time() - began)
    return least, found


def main(arguments: Sequence[str]) -> int:
    """Print what `run` found."""
    plan = Plan()
    parser = argparse.ArgumentParser(prog="python -m bench anonymisation checker", description=__doc__)
    parser.add_argument("--rows", type=int, default=plan.rows)
    parser.add_argument("--seed", type=int, default=plan.seed)
    parser.add_argument("--turns", type=int, default=plan.turns)
    parser.add_argument("--as-collected", action="store_true", help="the table before it is generalised as well")
    parser.add_argument("--csv", type=Path, default=None, help="a file to measure instead of made people")
    parser.add_argument("--delimiter", default=plan.delimiter)
    parser.add_argument("--quasi", default="", help="comma-separated columns of that file")
    parser.add_argument("--sensitive", default="", help="likewise")
    given = parser.parse_args(arguments)
    quasi, sensitive = (tuple(filter(None, text.split(","))) for text in (given.quasi, given.sensitive))
    if given.csv is not None and not quasi:
        parser.error("--csv needs --quasi")
    if given.rows < 1 or given.turns < 1:
        parser.error("--rows and --turns are positive")
    chosen = Plan(
        rows=given.rows, seed=given.seed, turns=given.turns, as_collected=given.as_collected,
        file=given.csv, delimiter=given.delimiter, quasi=quasi, sensitive=sensitive,
    )  # fmt: skip
    for line in run(chosen):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
