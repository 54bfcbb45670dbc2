"""What anonymising a table costs in loss and time, beside anjana: `python -m bench anonymisation adult --data FOLDER`.

FOLDER holds `adult.csv` (`;` between fields) and `adult_hierarchy_COLUMN.csv` for every column, in ARX's format;
`--set` names other files in the same form. Every column is a quasi-identifier. For each k: the full-domain optimum with
0, 5 and 100 % of the rows left out at most, local recoding and blocks with 5 %. The loss is one for all: the mean over
cells of (values under the label - 1)/(values - 1), of numbers the span of the values that occur over the span of all; a
row left out loses 1. With `--anjana PYTHON`, the interpreter of an environment that has anjana, it runs on the same
columns in the same run, at 0 and 5 %.

Ours is timed from columns of text in memory to a column of labels for every row; so is anjana, from its frame to its
frame. Beside it stands the time of the algorithm alone. Nothing here asserts a figure; what counts are the ratios.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from privacy.anonymisation.generalisation import generalise
from privacy.anonymisation.hierarchies import Hierarchy, from_csv
from privacy.anonymisation.histogram import of_codes
from privacy.anonymisation.losses import average_class_size
from privacy.anonymisation.policies import Policy, Recoding

# Given on its standard input: the columns, their hierarchies by level, k and what may be left out in per cent.
_ANJANA: Final = """
import contextlib, io, json, sys, time
import numpy as np
import pandas as pd
from anjana.anonymity import k_anonymity
asked = json.load(sys.stdin)
best, found = None, None
for _ in range(asked["turns"]):
    frame = pd.DataFrame(asked["columns"])
    trees = {name: {level: np.asarray(values, dtype=object) for level, values in enumerate(tree)}
             for name, tree in asked["hierarchies"].items()}
    begun = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        found = k_anonymity(frame, [], list(frame.columns), asked["k"], asked["suppression"], trees)
    took = time.perf_counter() - begun
    best = took if best is None else min(best, took)
json.dump({"seconds": best, "columns": {name: found[name].tolist() for name in asked["columns"] if name in found}},
          sys.stdout)
"""

Columns = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Plan:
    """The set, and the best of `turns` of ours, of `their_turns` of anjana's."""

    folder: Path
    name: str = "adult"
    ks: tuple[int, ...] = (2, 5, 10, 50, 100)
    turns: int = 5
    their_turns: int = 1
    anjana: Path | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One way at one k: `seconds` from text to labels, `alone` of them in the algorithm."""

    k: int
    way: str
    loss: float
    seconds: float
    alone: float
    left_out: int
    average: float
    anjana: tuple[float, float] | None = None  # loss, seconds

    def __str__(self) -> str:
        ours = (
            f"k {self.k:<4} {self.way:<20} loss {self.loss:.4f}  {self.seconds * 1000:8,.0f} ms "
            f"({self.alone * 1000:,.0f} the algorithm)  left out {self.left_out:<6,} C_avg {self.average:.2f}"
        )
        if self.anjana is None:
            return ours
        loss, seconds = self.anjana
        return (
            f"{ours}   anjana {loss:.4f} {seconds * 1000:,.0f} ms: "
            f"1/{seconds / self.seconds:.1f} of its time at {self.loss / loss:.2f} of its loss"
        )


def run(plan: Plan) -> Iterator[Line]:
    """Measure, line by line; leaves nothing behind."""
    columns, texts = _read(plan)
    hierarchies = [from_csv(name, texts[name], present=values) for name, values in columns.items()]
    for k in plan.ks:
        theirs = {} if plan.anjana is None else {s: _theirs(plan, columns, texts, hierarchies, k, s) for s in (0, 5)}
        for recoding, percent in _ways():
            yield _ours(plan, columns, hierarchies, k, recoding, percent, theirs.get(percent))


def _ways() -> list[tuple[Recoding, int]]:
    full = [(Recoding.FULL_DOMAIN, percent) for percent in (0, 5, 100)]
    return [*full, (Recoding.LOCAL, 5), (Recoding.BLOCKS, 5)]


def _read(plan: Plan) -> tuple[Columns, Mapping[str, str]]:
    with (plan.folder / f"{plan.name}.csv").open(encoding="utf-8-sig", newline="") as file:
        names, *rows = csv.reader(file, delimiter=";")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    texts = {name: (plan.folder / f"{plan.name}_hierarchy_{name}.csv").read_text("utf-8-sig") for name in names}
    return columns, texts


def _ours(
    plan: Plan,
    columns: Columns,
    hierarchies: Sequence[Hierarchy],
    k: int,
    recoding: Recoding,
    percent: int,
    anjana: tuple[float, float] | None,
) -> Line:
    policy = Policy(k=k, suppression=percent / 100, recoding=recoding)
    best = alone = float("inf")
    for _ in range(plan.turns + 1):  # the first one warms up: compiled code is loaded, or made
        begun = time.perf_counter()
        codes = [hierarchy.encode(values) for hierarchy, values in zip(hierarchies, columns.values(), strict=True)]
        counted = time.perf_counter()
        histogram, tuple_of_row = of_codes(hierarchies, codes)
        found = generalise(histogram, policy)
        done = time.perf_counter()
        for column in range(len(hierarchies)):
            np.asarray(found.labels(column), dtype=object)[tuple_of_row]
        best, alone = min(best, time.perf_counter() - begun), min(alone, done - counted)
    kept = histogram.total - found.suppressed_rows
    average = average_class_size(kept, found.classes, k)
    way = f"{recoding}, {percent} %"
    return Line(k, way, found.loss, best, alone, found.suppressed_rows, average, anjana)


def _theirs(
    plan: Plan, columns: Columns, texts: Mapping[str, str], hierarchies: Sequence[Hierarchy], k: int, percent: int
) -> tuple[float, float]:
    """Loss and seconds of anjana."""
    trees = {
        name: list(zip(*csv.reader(text.splitlines(), delimiter=";"), strict=True)) for name, text in texts.items()
    }
    asked = {"columns": columns, "hierarchies": trees, "k": k, "suppression": percent, "turns": plan.their_turns}
    answer = subprocess.run(
        [str(plan.anjana), "-c", _ANJANA], input=json.dumps(asked), capture_output=True, text=True, check=True
    )
    found = json.loads(answer.stdout)
    return _loss(found["columns"], hierarchies, len(next(iter(columns.values())))), float(found["seconds"])


def _loss(columns: Columns, hierarchies: Sequence[Hierarchy], rows: int) -> float:
    """Of labels that somebody else chose, by our nodes; a row that is missing loses 1."""
    lost = 0.0
    for hierarchy in hierarchies:
        nodes = dict(zip(hierarchy.node_labels, hierarchy.node_loss.tolist(), strict=True))
        labels = columns.get(hierarchy.name, ())
        lost += sum(nodes[label] for label in labels) + rows - len(labels)
    return lost / (rows * len(hierarchies))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench anonymisation adult", description="Loss and time beside anjana."
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder of the table and its hierarchies")
    parser.add_argument("--set", default="adult", help="SET.csv and SET_hierarchy_COLUMN.csv")
    parser.add_argument("--k", default="2,5,10,50,100", help="comma-separated")
    parser.add_argument("--turns", type=int, default=5, help="of ours, the best counts")
    parser.add_argument("--their-turns", type=int, default=1, help="of anjana's, the best counts")
    parser.add_argument("--anjana", type=Path, help="the Python of an environment that has anjana")
    given = parser.parse_args(arguments)
    ks = tuple(int(k) for k in given.k.split(","))
    for line in run(Plan(given.data, given.set, ks, given.turns, given.their_turns, given.anjana)):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
