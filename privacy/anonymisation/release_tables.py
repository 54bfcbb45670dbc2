"""A table of counts or sums as a release: its cells by `tabulation`, and its outlines for later releases.

A quasi-identifier is tabulated by the first generalisation of its hierarchy, any other column by its values. Every
margin is published, as `*` in the columns that it adds up over; a suppressed cell is empty, and no reason is given.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final

import numpy as np

from privacy.anonymisation import hierarchy_specs, tabulation
from privacy.anonymisation.hierarchy_specs import Kind
from privacy.anonymisation.lineage import ROOT, Outline, Path, path_of
from privacy.anonymisation.release_gate import Check
from privacy.anonymisation.release_making import FLAT, Rows, said
from privacy.anonymisation.release_requests import Request, Role, Tabulated
from privacy.anonymisation.tabulation import MINIMUM, Rules, Table
from privacy.errors import Invalid

COUNT: Final = "count"


@dataclass(frozen=True, slots=True, eq=False)
class MadeTable:
    """A candidate: the file, what was published by column, check 8, and an outline for each set of columns."""

    csv: bytes = field(repr=False)
    published: Mapping[str, list[str]] = field(repr=False)
    check: Check
    outlines: tuple[Outline, ...]


def make_table(rows: Rows, request: Request, asked: Tabulated, snapshot: str) -> MadeTable:
    """Count in memory. Raises `Invalid`, `UnknownValue`, `UnsafeTable`."""
    strange = sorted({*asked.by, *([asked.sum] if asked.sum else [])} - rows.columns.keys())
    if strange:
        raise Invalid(
            "The table names a column that the release does not read", zh="统计表指明了未读取的列", field="table"
        )
    rules = Rules(minimum=max(MINIMUM[request.recipient_class], request.policy.k))
    categories = {name: _categories(rows, name) for name in asked.by}
    columns: dict[str, Sequence[object]] = {name: [path[0] for path in paths] for name, paths in categories.items()}
    sums = (asked.sum,) if asked.sum else ()
    columns |= {f"sum {name}": rows.columns[name] for name in sums}
    made = tabulation.tabulate(
        columns,
        asked.by,
        keys=np.arange(len(rows.persons)),
        persons=rows.persons,
        sums=[f"sum {name}" for name in sums],
        rules=rules,
    )
    hidden = sum(cell.rows is None for cell in made.cells)
    figures = {"cells": len(made.cells), "suppressed": hidden, "minimum": rules.minimum, "rows": len(rows.persons)}
    figures |= {"persons": len(set(rows.persons))}
    return MadeTable(
        csv=_written(made),
        published={name: sorted({path[0] for path in paths}) for name, paths in categories.items()},
        check=Check(8, "cells", None, figures),
        outlines=tuple(_outlines(rows, made, categories, rules.minimum, sums, snapshot)),
    )


def _categories(rows: Rows, name: str) -> list[Path]:
    """What each row counts as, with the path above it."""
    spec = rows.hierarchies.get(name, FLAT) if rows.roles[name] is Role.QUASI else FLAT
    column = rows.columns[name]
    hierarchy = hierarchy_specs.build(spec, name, column)
    level = 0 if spec.kind is Kind.FLAT else min(1, hierarchy.levels - 1)
    paths: list[Path] = []
    for leaf in range(len(hierarchy.leaves)):
        above = range(level, hierarchy.levels)
        paths.append(path_of([hierarchy.labels[at][hierarchy.groups[at][leaf]] for at in above]))
    return [paths[code] for code in hierarchy.encode(column).tolist()]


def _written(table: Table) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*table.by, COUNT, *table.sums])
    for cell in table.cells:
        place = [ROOT if label is None else label for label in cell.place]
        writer.writerow([*place, "" if cell.rows is None else cell.rows, *("" if s is None else s for s in cell.sums)])
    return text.getvalue().encode()


def _outlines(
    rows: Rows,
    table: Table,
    categories: Mapping[str, list[Path]],
    minimum: int,
    sums: tuple[str, ...],
    snapshot: str,
) -> list[Outline]:
    shown = {cell.place for cell in table.cells if cell.rows is not None}
    most = int(np.unique(np.asarray(rows.persons), return_counts=True)[1].max(initial=1))
    return [
        _outline(rows, chosen, table.by, categories, shown, minimum, most, sums, snapshot)
        for size in range(len(table.by) + 1)
        for chosen in combinations(table.by, size)
    ]


def _outline(
    rows: Rows,
    chosen: tuple[str, ...],
    by: Sequence[str],
    categories: Mapping[str, list[Path]],
    shown: set[tuple[str | None, ...]],
    minimum: int,
    most: int,
    sums: tuple[str, ...],
    snapshot: str,
) -> Outline:
    """One set of columns: the cells that are published."""
    paths = [sorted(set(categories[name])) for name in chosen]
    numbers = [{path: number for number, path in enumerate(known)} for known in paths]
    cells: dict[tuple[int, ...], tuple[int, set[int]]] = {}
    for row, person in enumerate(rows.persons):
        its = [categories[name][row] for name in chosen]
        label = dict(zip(chosen, (path[0] for path in its), strict=True))
        if tuple(label.get(name) for name in by) not in shown:
            continue
        place = tuple(number[path] for number, path in zip(numbers, its, strict=True))
        count, persons = cells.get(place, (0, set()))
        persons.add(person)
        cells[place] = (count + 1, persons)
    return Outline(
        k=minimum,
        roles={name: rows.roles[name].value for name in by},
        specs={name: said(rows.hierarchies.get(name, FLAT), categories[name]) for name in by},
        columns=chosen,
        paths=tuple(tuple(known) for known in paths),
        classes=tuple(cells),
        rows=tuple(count for count, _ in cells.values()),
        persons=tuple(len(persons) for _, persons in cells.values()),
        most=most,
        is_table=True,
        sums=sums,
        snapshot=snapshot,
    )
