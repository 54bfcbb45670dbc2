"""What a published table amounts to, from its classes: sizes, k, l, t. Light enough to be kept with a release."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from heapq import nsmallest
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privacy.errors import Invalid

SUPPRESSED: Final = "*"
WORST: Final = 20
_DENSE: Final = 4_000_000  # cells of a matrix of classes by values, a chunk of classes at a time

Column = Sequence[object] | NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Diversity:
    """A sensitive column within the classes. `values` are those of the whole table.

    `homogeneous_rows` stand in `homogeneous_classes`, where everybody has the same value: who is known to be in such a
    class has no secret left, whatever k is.
    """

    column: str
    values: int
    distinct_l: int
    entropy_l: float
    t_equal: float
    t_ordered: float
    homogeneous_classes: int
    homogeneous_rows: int


@dataclass(frozen=True, slots=True)
class Attribute:
    """How much a quasi-identifier tells alone: values per row, and the share of pairs of rows that it tells apart."""

    column: str
    values: int
    distinction: float
    separation: float


@dataclass(frozen=True, slots=True)
class Size:
    """`classes` of as many `persons`, which hold `rows` together."""

    persons: int
    classes: int
    rows: int


@dataclass(frozen=True, slots=True)
class WorstClass:
    """One of the smallest classes, by the labels that were published; None where a value is missing."""

    labels: tuple[str | None, ...]
    persons: int
    rows: int


@dataclass(frozen=True, slots=True)
class Measured:
    """A published table. `k` is 0 and the shares are 0 where it has no rows.

    `sizes` ascend. `worst` are the smallest classes, smallest first. `discernibility` is the sum over the classes of
    rows squared (Bayardo 2005), without the rows that were left out. `starred_rows` are those whose every
    quasi-identifier reads `*`: a class like any other, for whoever is in no other class is known to be in this one.
    """

    quasi: tuple[str, ...]
    rows: int
    persons: int
    classes: int
    k: int
    discernibility: int
    starred_rows: int
    sensitive: tuple[Diversity, ...]
    attributes: tuple[Attribute, ...]
    sizes: tuple[Size, ...]
    worst: tuple[WorstClass, ...]

    def as_json(self) -> dict[str, object]:
        """Figures, names of columns and published labels; no rows."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Classes:
    """The classes of a table in no order: `labels[column]` of each, their `rows` and distinct `persons`.

    `people` are all distinct persons: one may be in several classes.
    """

    quasi: tuple[str, ...]
    labels: tuple[NDArray[np.object_], ...]
    rows: NDArray[np.int64]
    persons: NDArray[np.int64]
    people: int


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """How often each value of a sensitive column is in each class, absent pairs left out. Values in their order."""

    column: str
    values: int
    of_class: NDArray[np.int64]
    of_value: NDArray[np.int64]
    rows: NDArray[np.int64]


def figures(grouped: Classes, cells: Sequence[Cells], suppressed: str = SUPPRESSED, worst: int = WORST) -> Measured:
    """What the classes and the cells of the sensitive columns amount to."""
    rows = int(grouped.rows.sum())
    starred = np.ones(len(grouped.rows), dtype=np.bool_) if grouped.quasi else np.zeros(len(grouped.rows), np.bool_)
    for labels in grouped.labels:
        starred &= labels == suppressed
    return Measured(
        quasi=grouped.quasi,
        rows=rows,
        persons=grouped.people,
        classes=len(grouped.rows),
        k=int(grouped.persons.min(initial=rows)),
        discernibility=sum(size * size for size in grouped.rows.tolist()),
        starred_rows=int(grouped.rows[starred].sum()),
        sensitive=tuple(_diversity(grouped.rows, one) for one in cells),
        attributes=tuple(
            _attribute(name, labels, grouped.rows) for name, labels in zip(grouped.quasi, grouped.labels, strict=True)
        ),
        sizes=_sizes(grouped),
        worst=_worst(grouped, worst),
    )


def ranks(values: Sequence[object], order: Sequence[str] | None, column: str) -> NDArray[np.int64]:
    """The rank of each of some distinct values: by `order`, else numbers by size, else by text; missing ones first.

    Raises Invalid, which names the column and never the value.
    """
    keys = [text_of(value) for value in values]
    if order is not None:
        place = {value: at for at, value in enumerate(order)}
        if any(key is not None and key not in place for key in keys):
            raise Invalid(
                "a column holds a value that its order does not name", zh="列中有其顺序未列出的值", field=column
            )
        by: list[tuple[float, str]] = [(-1, "") if key is None else (place[key], "") for key in keys]
    else:
        by = _natural(keys)
    found = np.empty(len(keys), dtype=np.int64)
    found[sorted(range(len(keys)), key=by.__getitem__)] = np.arange(len(keys))
    return found


def _natural(keys: Sequence[str | None]) -> list[tuple[float, str]]:
    missing = (-np.inf, "")
    try:
        return [missing if key is None else (float(key), "") for key in keys]
    except ValueError:
        return [missing if key is None else (0.0, key) for key in keys]


def text_of(value: object) -> str | None:
    """None, and what pandas and NumPy put in its place, are missing."""
    return None if value is None or value != value else str(value)


def coded(column: Column) -> tuple[NDArray[np.int64], list[object]]:
    """A number for each value, and the values by number."""
    if isinstance(column, np.ndarray) and column.dtype.kind in "biufM":
        values, codes = np.unique(column, return_inverse=True)
        return codes.astype(np.int64), values.tolist()
    # A dictionary: sorting text, as NumPy would, takes five times as long.
    listed: Sequence[object] = column.tolist() if isinstance(column, np.ndarray) else column
    index = {value: at for at, value in enumerate(dict.fromkeys(listed))}
    return np.fromiter(map(index.__getitem__, listed), np.int64, count=len(listed)), list(index)


def _diversity(rows: NDArray[np.int64], cells: Cells) -> Diversity:
    if not len(rows):
        return Diversity(cells.column, 0, 0, 0.0, 0.0, 0.0, 0, 0)
    distinct = np.bincount(cells.of_class, minlength=len(rows))
    share = cells.rows / rows[cells.of_class]
    entropy = -np.bincount(cells.of_class, weights=share * np.log(share), minlength=len(rows))
    table = np.bincount(cells.of_value, weights=cells.rows, minlength=cells.values) / rows.sum()
    # What a class has too much of, its other values have too little of: half the sum of both is the one.
    above = np.bincount(cells.of_class, weights=np.maximum(share - table[cells.of_value], 0.0), minlength=len(rows))
    return Diversity(
        column=cells.column,
        values=cells.values,
        distinct_l=int(distinct.min()),
        entropy_l=float(np.exp(max(0.0, float(entropy.min())))),
        t_equal=float(above.max()),
        t_ordered=_ordered(len(rows), cells, share, table),
        homogeneous_classes=int((distinct == 1).sum()),
        homogeneous_rows=int(rows[distinct == 1].sum()),
    )


def _ordered(count: int, cells: Cells, share: NDArray[np.float64], table: NDArray[np.float64]) -> float:
    if cells.values < 2:
        return 0.0
    chunk = max(1, _DENSE // cells.values)
    cumulated, worst = np.cumsum(table), 0.0
    for start in range(0, count, chunk):
        low, high = np.searchsorted(cells.of_class, (start, start + chunk))  # cells stand in the order of their classes
        matrix = np.zeros((min(chunk, count - start), cells.values))
        matrix[cells.of_class[low:high] - start, cells.of_value[low:high]] = share[low:high]
        distance = np.abs(np.cumsum(matrix, axis=1) - cumulated).sum(axis=1)
        worst = max(worst, float(distance.max()))
    return worst / (cells.values - 1)


def _attribute(name: str, labels: NDArray[np.object_], rows: NDArray[np.int64]) -> Attribute:
    codes, values = coded(labels)
    total = int(rows.sum())
    of_value = np.bincount(codes, weights=rows, minlength=len(values))
    pairs = total * (total - 1)
    together = float((of_value * (of_value - 1)).sum())
    return Attribute(name, len(values), len(values) / total if total else 0.0, 1 - together / pairs if pairs else 0.0)


def _sizes(grouped: Classes) -> tuple[Size, ...]:
    sizes, of_class, count = np.unique(grouped.persons, return_inverse=True, return_counts=True)
    rows = np.bincount(of_class, weights=grouped.rows, minlength=len(sizes))
    return tuple(
        Size(persons, number, int(held))
        for persons, number, held in zip(sizes.tolist(), count.tolist(), rows.tolist(), strict=True)
    )


def _worst(grouped: Classes, most: int) -> tuple[WorstClass, ...]:
    """By persons, rows, and then the labels: the same table gives the same list, however its rows were ordered."""
    order = np.lexsort((grouped.rows, grouped.persons))
    if not most or not len(order):
        return ()
    last = order[min(most, len(order)) - 1]
    after = (grouped.persons == grouped.persons[last]) & (grouped.rows > grouped.rows[last])
    tied = np.flatnonzero((grouped.persons <= grouped.persons[last]) & ~after)

    def place(at: int) -> tuple[int, int, list[str]]:
        return int(grouped.persons[at]), int(grouped.rows[at]), [labels[at] or "" for labels in grouped.labels]

    return tuple(
        WorstClass(tuple(labels[at] for labels in grouped.labels), int(grouped.persons[at]), int(grouped.rows[at]))
        for at in nsmallest(most, tied.tolist(), key=place)
    )
