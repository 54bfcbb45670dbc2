"""Many rows: `python -m bench anonymisation large --data FOLDER --rows 1000000`.

FOLDER holds a table as `NAME.csv` (`;` between values) and `NAME_hierarchy_COLUMN.csv` for each of its columns, as
ARX's examples do. Rows are drawn from it with replacement, and each cell is drawn anew from its column with a
probability of .05, so that there are far more distinct tuples than in the table. Up to a million rows go from CSV to
CSV, more from Parquet to Parquet: k = 5, local recoding, shuffled, counted again from the written file.

Each turn is a process of its own; the first run in it, on the table as it is, loads what is compiled and is not
counted. The bare group-by over the same columns, in the same engine, is what nobody could be quicker than.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np

_CSV_ROWS: Final = 1_000_000
_REDRAWN: Final = 0.05
_AIMS: Final = {"csv": 2.5, "parquet": 15.0}  # seconds
_RUN: Final = """
import json, os, resource, sys, time
from pathlib import Path
import duckdb
from privacy.anonymisation.files import anonymise
from privacy.anonymisation.hierarchy_specs import parse
from privacy.anonymisation.policies import Policy

source, target, small, columns = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), json.loads(sys.argv[4])
quasi = {name: parse({"csv": Path(place).read_text()}) for name, place in columns.items()}
anonymise(small, target, quasi=quasi, policy=Policy(k=5), replace=True)
stages, began = {}, time.perf_counter()
def begin(stage):
    stages[stage.value] = time.perf_counter()
used = time.process_time()
done = anonymise(source, target, quasi=quasi, policy=Policy(k=5), replace=True, progress=begin)
ended = time.perf_counter()
times = [began, *stages.values(), ended]
said = ["open", *stages]
found = {"seconds": ended - began, "processor": time.process_time() - used,
         "stages": {name: after - before for name, before, after in zip(said, times, times[1:])},
         "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "summary": done.as_json()}
names = ", ".join('"' + name + '"' for name in columns)
relation = f"read_parquet('{source}')" if source.suffix == ".parquet" else f"read_csv('{source}', all_varchar=true)"
best = 1e9
for _ in range(3):
    with duckdb.connect(":memory:", config={"temp_directory": ""}) as connection:
        connection.execute("SET enable_progress_bar = false")
        began = time.perf_counter()
        connection.execute(f"CREATE TABLE t AS SELECT {names}, count(*) AS n FROM {relation} GROUP BY {names}")
        best = min(best, time.perf_counter() - began)
print(json.dumps(found | {"group_by": best}))
"""


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench anonymisation large")
    parser.add_argument("--data", type=Path, required=True, help="folder of a table and its hierarchies")
    parser.add_argument("--rows", type=int, default=_CSV_ROWS)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        found = measure(given.data, given.rows, given.turns, Path(folder))
    print(json.dumps(found) if given.json else _text(found))
    return 0


def measure(data: Path, rows: int, turns: int, folder: Path) -> dict[str, Any]:
    """The quickest turn, and the most memory of any."""
    table, hierarchies = _found(data)
    form = "csv" if rows <= _CSV_ROWS else "parquet"
    source = folder / f"resampled.{form}"
    columns = resampled(table, rows, source)
    places = json.dumps({name: str(hierarchies[name]) for name in columns})
    command = [sys.executable, "-c", _RUN, str(source), str(folder / f"out.{form}"), str(table), places]
    runs: list[dict[str, Any]] = [
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout) for _ in range(turns)
    ]
    best = min(runs, key=lambda one: float(one["seconds"]))
    return best | {
        "rows": rows,
        "form": form,
        "aim": _AIMS[form],
        "megabytes": max(one["megabytes"] for one in runs),
        "group_by": min(one["group_by"] for one in runs),
        "all_seconds": [round(one["seconds"], 2) for one in runs],
    }


def resampled(table: Path, rows: int, target: Path, seed: int = 7) -> list[str]:
    """Write the rows; the same for the same seed. The names of the columns."""
    with table.open(encoding="utf-8", newline="") as file:
        names, *read = csv.reader(file, delimiter=";")
    made = np.random.default_rng(seed)
    pick = made.integers(len(read), size=rows)
    columns, selected = {}, []
    with duckdb.connect(":memory:") as connection:
        for n, (name, column) in enumerate(zip(names, zip(*read, strict=True), strict=True)):
            values, codes = np.unique(np.asarray(column, dtype=np.object_), return_inverse=True)
            drawn, again = codes[pick], made.random(rows) < _REDRAWN
            drawn[again] = codes[made.integers(len(read), size=int(again.sum()))]
            columns[f"c{n}"] = drawn
            connection.register(f"values{n}", {"i": np.arange(len(values)), "v": values})
            selected.append(f'(SELECT list(v ORDER BY i) FROM values{n})[c{n} + 1] AS "{name}"')
        connection.register("drawn", columns)
        connection.execute(f"COPY (SELECT {', '.join(selected)} FROM drawn) TO '{target}'")
    return names


def _found(data: Path) -> tuple[Path, dict[str, Path]]:
    hierarchies = {path.stem.partition("_hierarchy_")[2]: path for path in data.glob("*_hierarchy_*.csv")}
    tables = [path for path in data.glob("*.csv") if "_hierarchy_" not in path.stem]
    if len(tables) != 1 or not hierarchies:
        raise SystemExit(f"{data} does not hold one table and its hierarchies")
    return tables[0], hierarchies


def _text(found: dict[str, Any]) -> str:
    stages = found["stages"]
    return "\n".join(
        (
            f"{found['rows']:,} rows, {found['form']} to {found['form']}, k = 5",
            f"  anonymised      {found['seconds']:.2f} s (aim {found['aim']} s; turns {found['all_seconds']})",
            *(f"    {name:<13} {seconds:.2f} s" for name, seconds in stages.items()),
            f"  processor time  {found['processor']:.2f} s",
            f"  bare group-by   {found['group_by']:.2f} s",
            f"  peak memory     {found['megabytes']:,.0f} MB (aim 2,000 MB for a million rows)",
            f"  {json.dumps(found['summary'])}",
        )
    )
