"""Where the rows are: three statements in one engine after the other, and nothing but tuples and counts comes back.

1. `histogram`: the distinct tuples of quasi-identifiers, the rows of each, and the persons behind them as weights;
2. `write`: every row again, its tuple replaced by the labels of its class, in an order that nobody knows;
3. `recheck`: the classes of what was written, counted from what was written.

Between 1 and 2 stands the choice of the labels, which works on the tuples alone (`privacy.anonymisation.execution`).
A value is compared as the engine writes it as text; a missing one is the empty text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from privacy.anonymisation.histogram import UNIT
from privacy.errors import Invalid

Integers = NDArray[np.int64]


class Form(StrEnum):
    CSV = "csv"
    PARQUET = "parquet"
    TABLE = "table"


@dataclass(frozen=True, slots=True)
class Target:
    """Where the result goes: the path of a file that is not there yet, or the name of a table that is not."""

    place: str
    form: Form


@dataclass(frozen=True, slots=True)
class Roles:
    """What each column of the source is. `person` says whose a row is and is never written, nor is what is dropped."""

    quasi: tuple[str, ...]
    sensitive: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    person: str | None = None

    def __post_init__(self) -> None:
        """Raises Invalid when a column has two roles, or nothing is to be generalised."""
        named = self.named
        if len(set(named)) != len(named):
            twice = sorted({name for name in named if named.count(name) > 1})
            raise Invalid(
                f"These columns have two roles: {', '.join(twice)}", zh=f"这些列有两个角色：{'、'.join(twice)}"
            )
        if not self.quasi:
            raise Invalid("No column is a quasi-identifier", zh="没有任何列是准标识符")

    @property
    def named(self) -> tuple[str, ...]:
        """Every column with a role."""
        person = () if self.person is None else (self.person,)
        return (*self.quasi, *self.sensitive, *self.kept, *self.dropped, *person)

    def published(self, columns: Sequence[str]) -> tuple[str, ...]:
        """The columns that are written, in the order of the source's `columns`."""
        written = {*self.quasi, *self.sensitive, *self.kept}
        return tuple(name for name in columns if name in written)


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """How often (`counts`) a value of a sensitive column stands beside a tuple; `tuples` and `codes` are places."""

    name: str
    values: tuple[str, ...]
    tuples: Integers
    codes: NDArray[np.int32]
    counts: Integers


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """What a group-by over `columns` found: `tuples` holds places in `values`, column by column, each tuple once.

    `weights` and `unit` are those of `histogram.Histogram`: a row of a person with n rows weighs floor(unit / n).
    `persons` are the distinct ones of each tuple, `people` those of the whole table.
    """

    columns: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    tuples: NDArray[np.int32]  # (tuples, columns)
    rows: Integers
    weights: Integers
    persons: Integers
    people: int
    unit: int = 1
    sensitive: tuple[Pairs, ...] = ()

    @property
    def total(self) -> int:
        """Rows."""
        return int(self.rows.sum())


@dataclass(frozen=True, slots=True, eq=False)
class Published:
    """What each counted tuple is written as. `labels` holds, by column, the labels that are written and no others.

    `classes` are places in `labels`, each class once; `class_of` says the class of every counted tuple, -1 where its
    rows are left out. `rows` counts the rows of each class.
    """

    counted: Counted
    labels: tuple[tuple[str, ...], ...]
    classes: NDArray[np.int32]  # (classes, columns)
    class_of: NDArray[np.int32]
    rows: Integers

    @property
    def total(self) -> int:
        """Rows that are written."""
        return int(self.rows.sum())

    def mapping(self) -> Iterator[tuple[str, ...]]:
        """The values and then the labels of each tuple that is written."""
        classes = [tuple(self.labels[n][code] for n, code in enumerate(codes)) for codes in self.classes.tolist()]
        for codes, found in zip(self.counted.tuples.tolist(), self.class_of.tolist(), strict=True):
            if found >= 0:
                yield (*(self.counted.values[n][code] for n, code in enumerate(codes)), *classes[found])


class Engine(Protocol):
    """One source in one engine, open for as long as a `with` block lasts; all statements see the same rows."""

    def __enter__(self) -> Engine: ...

    def __exit__(self, *raised: object) -> None: ...

    def columns(self) -> tuple[str, ...]:
        """The source's columns in their order."""

    def histogram(self, roles: Roles) -> Counted:
        """Statement 1."""

    def write(self, roles: Roles, published: Published, target: Target) -> None:
        """Statement 2, of the roles that were counted: labels, sensitive and kept columns in the source's order.

        Rows come in an order drawn from the system's random source, of which nothing is kept. Raises Conflict where
        the target is there already.
        """

    def recheck(self, roles: Roles, target: Target) -> Counted:
        """Statement 3: a group-by over what stands in the target, with the sensitive columns beside the classes."""


@dataclass(frozen=True, slots=True, eq=False)
class Weighed:
    """The counts of each tuple where several rows may be one person's."""

    weights: Integers
    persons: Integers
    people: int


def counted(
    columns: Sequence[str],
    texts: Sequence[Sequence[str] | NDArray[np.object_]],
    rows: Integers,
    weighed: Weighed | None = None,
    sensitive: Sequence[tuple[str, Sequence[str] | NDArray[np.object_], Integers, Integers]] = (),
) -> Counted:
    """`Counted` from the texts of each column as an engine returned them, a text for each tuple.

    Of a sensitive column: its name, and for each pair the text, the place of the tuple and how often.
    """
    numbered = [coded(column) for column in texts]
    tuples = np.stack([places for _, places in numbered], axis=1)
    pairs = []
    for name, said, numbers, counts in sensitive:
        values, places = coded(said)
        pairs.append(Pairs(name, values, np.asarray(numbers, dtype=np.int64), places, np.asarray(counts, np.int64)))
    found = weighed or Weighed(rows, rows, int(rows.sum()))
    return Counted(
        columns=tuple(columns),
        values=tuple(values for values, _ in numbered),
        tuples=tuples,
        rows=rows,
        weights=found.weights,
        persons=found.persons,
        people=found.people,
        unit=1 if weighed is None else UNIT,
        sensitive=tuple(pairs),
    )


def coded(texts: Sequence[str] | NDArray[np.object_]) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """The distinct texts in order, and the place of each text among them."""
    distinct = in_order(set(texts))
    places: Mapping[str, int] = {text: place for place, text in enumerate(distinct)}
    return distinct, np.fromiter((places[text] for text in texts), dtype=np.int32, count=len(texts))


def in_order(texts: set[str]) -> tuple[str, ...]:
    """By size where all of them are numbers, else as text: the order that a distance between values goes by."""
    try:
        sizes = {text: float(text) for text in texts}
    except ValueError:
        return tuple(sorted(texts))
    if not all(map(math.isfinite, sizes.values())):  # "nan" is a surname too, and has no place in an order
        return tuple(sorted(texts))
    return tuple(sorted(texts, key=lambda text: (sizes[text], text)))
