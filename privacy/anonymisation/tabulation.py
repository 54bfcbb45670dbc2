"""Tables of counts and sums over categories, with all their margins, that give no small group away.

1. A cell of fewer than `minimum` persons is suppressed (11: the cell size policy of the US CMS; 20 for the public). A
   cell that nobody is in is published as 0.
2. So is one whose largest contributors make up too much of it: the (n, k) dominance rule and the p % rule (Hundepool
   2012, "Statistical Disclosure Control", 4.2). Counts of rows obey them too: one person may have most of the rows.
3. Further cells are suppressed so that none of these can be computed back from the margins (`complementary_cells`).
4. A table that differs by a small group from an earlier one of the same lineage is refused (`differencing`).

What is published is additive: rows, and sums. What is protected are distinct persons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privacy.anonymisation.complementary_cells import Measure, protect
from privacy.anonymisation.differencing import OUT, Parts, refuse_differencing
from privacy.anonymisation.measured import Column, coded, ranks, text_of
from privacy.anonymisation.release_requests import RecipientClass
from privacy.errors import Invalid, UnsafeTable

MINIMUM: Final = {RecipientClass.CONTROLLED: 11, RecipientClass.PUBLIC: 20}
MISSING: Final = ""
_MOST_CELLS: Final = 200_000
_MOST_DIMENSIONS: Final = 4

Place = tuple[str | None, ...]
"""A label for each dimension; None: the total over it."""


@dataclass(frozen=True, slots=True)
class Rules:
    """When a cell is sensitive. Raises Invalid.

    Fewer than `minimum` persons; or the `dominant` largest make up more than the share `dominance`; or the second
    largest could estimate the largest to within the share `p`.
    """

    minimum: int = MINIMUM[RecipientClass.CONTROLLED]
    dominant: int = 2
    dominance: float = 0.85
    p: float = 0.1

    def __post_init__(self) -> None:
        if self.minimum < 2 or self.dominant < 1 or not 0.5 <= self.dominance <= 1 or not 0 <= self.p < 1:
            raise Invalid(
                "minimum is at least 2, dominant at least 1, dominance between 0.5 and 1, p from 0 to less than 1",
                zh="minimum 至少为 2，dominant 至少为 1，dominance 介于 0.5 与 1 之间，p 大于等于 0 且小于 1",
            )


class Reason(StrEnum):
    """Why a cell is suppressed. Never published: which of two cells is the small one is part of the secret."""

    MINIMUM = "minimum"
    DOMINANCE = "dominance"
    P_PERCENT = "p-percent"
    COMPLEMENT = "complementary"


@dataclass(frozen=True, slots=True)
class Cell:
    """`rows` and the `sums` are None where it is suppressed."""

    place: Place
    rows: int | None
    sums: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table to publish: `by` the columns of its categories, `sums` those added up; every margin is a cell.

    `reasons` counts the suppressed cells; `parts` is what later tables of the lineage are compared with. Both stay
    here.
    """

    by: tuple[str, ...]
    sums: tuple[str, ...]
    rules: Rules
    cells: tuple[Cell, ...]
    reasons: tuple[tuple[Reason, int], ...]
    parts: Parts

    def as_json(self) -> dict[str, object]:
        """What may be published: cells without reasons."""
        return {
            "by": list(self.by),
            "sums": list(self.sums),
            "rules": asdict(self.rules),
            "cells": [{"place": list(cell.place), "rows": cell.rows, "sums": list(cell.sums)} for cell in self.cells],
        }


@dataclass(frozen=True, slots=True, eq=False)
class _Cube:
    """The cells as an array with a dimension a column, whose last index is the total."""

    labels: tuple[tuple[str, ...], ...]
    places: NDArray[np.int64]  # (rows, dimensions)
    shape: tuple[int, ...]


def tabulate(
    columns: Mapping[str, Column],
    by: Sequence[str],
    *,
    keys: NDArray[np.generic],
    persons: Column | None = None,
    sums: Sequence[str] = (),
    rules: Rules | None = None,
    earlier: Mapping[str, Parts] | None = None,
) -> Table:
    """The table of some rows. `keys` name them within the lineage, each once; `persons` say whose they are.

    `earlier` are the tables that have been published of the lineage, by name. A missing category is `MISSING`. Raises
    Invalid: no such column, or not a number where there must be, or more than four dimensions or 200,000 cells;
    UnsafeTable: it holds fewer persons than the minimum, or cannot be protected, or differs from one of `earlier` by a
    group of fewer.
    """
    rules = rules or Rules()
    cube = _cube(columns, by, len(keys))
    values = [np.ones(len(keys)), *(_numbers(columns, name, len(keys)) for name in sums)]
    whose = np.arange(len(keys)) if persons is None else coded(persons)[0]
    if len(whose) != len(keys):
        raise Invalid("the columns are not equally long", zh="各列长度不一致")
    people, measures = _measures(cube, values, whose, rules)
    total = tuple(size - 1 for size in cube.shape)
    reasons = _primary(people, measures, rules)
    if reasons[total]:
        raise UnsafeTable(
            f"the table would show a group of fewer than {rules.minimum} persons, or one that few of them make up",
            zh=f"该表会显示少于 {rules.minimum} 人或由少数人主导的群体",
        )
    primary = reasons > 0
    hidden = protect(people, measures, primary, rules.minimum, repeats=persons is not None)
    reasons[hidden & ~primary] = len(_CODES) + 1
    parts = Parts(keys, None if persons is None else whose_values(persons), _parts(cube, hidden))
    for name, one in (earlier or {}).items():
        refuse_differencing(parts, one, rules.minimum, name)
    return Table(
        by=tuple(by),
        sums=tuple(sums),
        rules=rules,
        cells=_cells(cube, measures, hidden),
        reasons=tuple(
            (reason, int((reasons == at + 1).sum())) for at, reason in enumerate([*_CODES, Reason.COMPLEMENT])
        ),
        parts=parts,
    )


_CODES: Final = (Reason.MINIMUM, Reason.DOMINANCE, Reason.P_PERCENT)


def whose_values(persons: Column) -> NDArray[np.generic]:
    """Persons as an array that sorts, to be found again in a later table."""
    return persons if isinstance(persons, np.ndarray) else np.array([str(person) for person in persons])


def _cube(columns: Mapping[str, Column], by: Sequence[str], rows: int) -> _Cube:
    if not 1 <= len(by) <= _MOST_DIMENSIONS or len(set(by)) != len(by):
        raise Invalid(
            f"a table has one to {_MOST_DIMENSIONS} different dimensions",
            zh=f"表须有 1 至 {_MOST_DIMENSIONS} 个不同的维度",
        )
    labels, places = [], np.empty((rows, len(by)), dtype=np.int64)
    for at, name in enumerate(by):
        column = _column(columns, name, rows)
        filled = [MISSING if text_of(value) is None else str(value) for value in column]
        codes, values = coded(filled)
        rank = ranks([value or None for value in values], None, name)
        labels.append(tuple(str(value) for _, value in sorted(zip(rank.tolist(), values, strict=True))))
        places[:, at] = rank[codes] if rows else codes
    shape = tuple(len(names) + 1 for names in labels)
    if np.prod(shape, dtype=np.float64) > _MOST_CELLS:
        raise Invalid(f"a table has at most {_MOST_CELLS} cells", zh=f"表最多有 {_MOST_CELLS} 个单元格")
    return _Cube(tuple(labels), places, shape)


def _column(columns: Mapping[str, Column], name: str, rows: int) -> Column:
    if name not in columns:
        raise Invalid("the table has no such column", zh="表中没有该列", field=name)
    if len(columns[name]) != rows:
        raise Invalid("the columns are not equally long", zh="各列长度不一致")
    return columns[name]


def _numbers(columns: Mapping[str, Column], name: str, rows: int) -> NDArray[np.float64]:
    """Missing ones add nothing."""
    try:
        found = np.array([0.0 if text_of(one) is None else float(str(one)) for one in _column(columns, name, rows)])
    except ValueError:  # which would quote the value
        raise Invalid(
            "a column to be summed holds something else than numbers", zh="求和列含有非数字的值", field=name
        ) from None
    if not np.isfinite(found).all():
        raise Invalid("a column to be summed holds something else than numbers", zh="求和列含有非数字的值", field=name)
    return found


def _measures(
    cube: _Cube, values: Sequence[NDArray[np.float64]], whose: NDArray[np.int64], rules: Rules
) -> tuple[NDArray[np.int64], list[Measure]]:
    """Persons of every cell, and of every measure what the rules look at: margins are grouped from the rows anew."""
    people = np.zeros(cube.shape, dtype=np.int64)
    found = [Measure.empty(cube.shape) for _ in values]
    span = int(whose.max(initial=0)) + 1
    for family in product((False, True), repeat=len(cube.shape)):
        totals = np.array([size - 1 for size in cube.shape])
        place = np.where(np.array(family), cube.places, totals)
        flat = np.ravel_multi_index(tuple(place.T), cube.shape)
        pairs, of_row = np.unique(flat * span + whose, return_inverse=True)
        cell = pairs // span
        np.add.at(people.reshape(-1), cell, 1)
        for measure, amounts in zip(found, values, strict=True):
            of_person = np.zeros(len(pairs))
            np.add.at(of_person, of_row, amounts)
            measure.add(cell, of_person, rules.dominant)
    return people, found


def _primary(people: NDArray[np.int64], measures: Sequence[Measure], rules: Rules) -> NDArray[np.int8]:
    """The number of the reason of each sensitive cell, else 0; also sets what each of them needs."""
    reasons = np.zeros(people.shape, dtype=np.int8)
    for measure in measures:
        by_p = rules.p * measure.largest - (measure.size - measure.largest - measure.second)
        by_dominance = measure.top / rules.dominance - measure.size
        tiny = 1e-9 * measure.size
        reasons[(by_p > tiny) & (reasons == 0)] = 3
        reasons[by_dominance > tiny] = 2
        measure.need = np.maximum(np.maximum(by_p, by_dominance), rules.p * measure.largest)
    reasons[people < rules.minimum] = 1
    reasons[people == 0] = 0
    return reasons


def _cells(cube: _Cube, measures: Sequence[Measure], hidden: NDArray[np.bool_]) -> tuple[Cell, ...]:
    rows, *sums = measures
    named = [(*labels, None) for labels in cube.labels]
    found = []
    for at in np.ndindex(cube.shape):
        place = tuple(names[index] for names, index in zip(named, at, strict=True))
        if hidden[at]:
            found.append(Cell(place, None, (None,) * len(sums)))
        else:
            found.append(Cell(place, int(rows.total[at].item()), tuple(float(one.total[at]) for one in sums)))
    return tuple(found)


def _parts(cube: _Cube, hidden: NDArray[np.bool_]) -> tuple[NDArray[np.int64], ...]:
    """Every way in which what is published parts the rows, as a group for each row, `OUT` where nothing tells.

    The suppressed cells of a line are a group as well where the line's margin is published: margin less the others.
    """
    found = []
    totals = np.array([size - 1 for size in cube.shape])
    for family in product((False, True), repeat=len(cube.shape)):
        place = np.where(np.array(family), cube.places, totals)
        own = np.ravel_multi_index(tuple(place.T), cube.shape)
        covered = hidden.reshape(-1)[own]
        lines = [at for at, inner in enumerate(family) if inner] if covered.any() else []
        for line in lines or [-1]:
            group = np.where(covered, OUT, own)
            if line >= 0:
                margin = place.copy()
                margin[:, line] = totals[line]
                over = np.ravel_multi_index(tuple(margin.T), cube.shape)
                known = covered & ~hidden.reshape(-1)[over]
                group = np.where(known, over + hidden.size, group)  # numbers beyond those of cells
            found.append(group.astype(np.int64))
    return tuple(found)
