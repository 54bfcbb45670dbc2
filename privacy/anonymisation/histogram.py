"""A table as the algorithms see it: its distinct tuples of quasi-identifiers, and how many rows and persons each has.

All that follows works on the tuples, so it costs the same for a million rows as for a billion with the same tuples;
only tuples and counts ever leave an engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privacy.anonymisation.hierarchies import Hierarchy

# A person with n rows weighs floor(UNIT / n) in each of them.
UNIT: Final = 2**32
# What a packed key may reach.
LARGEST_KEY: Final = 2**62

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Sensitive:
    """How often each value of a sensitive column stands beside each tuple: rows of a sparse matrix, tuple by tuple.

    Those of tuple `i` are `codes[starts[i]:starts[i + 1]]` and `counts` likewise. `values` are in their declared order,
    which is the order of an ordered distance.
    """

    name: str
    values: tuple[str, ...]
    starts: Integers
    codes: NDArray[np.int32]
    counts: Integers


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Distinct tuples of codes, in lexicographic order, with what stands beside each.

    `weights` is a lower bound of the persons of a tuple, in units: summed over the tuples of any class it is at most
    `unit` for each person in the class, since a person with n rows weighs floor(unit / n) in each. More than
    (k - 1) units are therefore k persons, whoever owns which rows. Where every row is a person, `unit` is 1.
    """

    hierarchies: tuple[Hierarchy, ...]
    tuples: NDArray[np.int32]  # (tuples, columns)
    rows: Integers
    weights: Integers
    unit: int
    sensitive: tuple[Sensitive, ...] = ()

    @property
    def total(self) -> int:
        """Rows."""
        return int(self.rows.sum())

    def least_weight(self, k: int) -> int:
        """The least weight that proves `k` persons: fewer weigh (k - 1) units at most."""
        return (k - 1) * self.unit + 1


def of_codes(
    hierarchies: Sequence[Hierarchy],
    codes: Sequence[NDArray[np.int32]],
    *,
    sensitive: Sequence[tuple[str, Sequence[str], NDArray[np.int32]]] = (),
    persons: NDArray[np.generic] | None = None,
) -> tuple[Histogram, Integers]:
    """The histogram of columns of codes, and the tuple of each row.

    Of a sensitive column: its name, its values in order, the code of each row. `persons` says whose each row is,
    in anything numpy can compare; without it every row is a person.
    """
    keys = packed(codes, [len(hierarchy.leaves) for hierarchy in hierarchies])
    _, first, inverse, rows = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    weights, unit = rows, 1
    if persons is not None:
        _, owner, owned = np.unique(persons, return_inverse=True, return_counts=True)
        unit = UNIT
        weights = np.zeros(len(rows), dtype=np.int64)
        np.add.at(weights, inverse, (unit // owned)[owner])
    histogram = Histogram(
        hierarchies=tuple(hierarchies),
        tuples=np.stack([column[first] for column in codes], axis=1).astype(np.int32),
        rows=rows.astype(np.int64),
        weights=weights.astype(np.int64),
        unit=unit,
        sensitive=tuple(
            of_pairs(name, values, len(rows), inverse, column, np.ones(len(column), dtype=np.int64))
            for name, values, column in sensitive
        ),
    )
    return histogram, inverse.astype(np.int64)


def of_tuples(
    hierarchies: Sequence[Hierarchy],
    tuples: NDArray[np.int32],
    rows: Integers,
    weights: Integers,
    unit: int,
    sensitive: Sequence[Sensitive] = (),
) -> Histogram:
    """The histogram an engine counted. The tuples are distinct; their order is kept, so `sensitive` fits them."""
    return Histogram(tuple(hierarchies), np.asarray(tuples, dtype=np.int32), rows, weights, unit, tuple(sensitive))


def of_pairs(
    name: str,
    values: Sequence[str],
    tuples: int,
    numbers: Integers,
    codes: NDArray[np.int32],
    counts: Integers,
) -> Sensitive:
    """A sensitive column of pairs (number of a tuple, code of a value) that occur `counts` times; a pair may repeat."""
    keys = np.asarray(numbers, dtype=np.int64) * len(values) + codes
    pairs, inverse = np.unique(keys, return_inverse=True)
    summed = np.zeros(len(pairs), dtype=np.int64)
    np.add.at(summed, inverse, counts)
    return Sensitive(
        name=name,
        values=tuple(values),
        starts=np.searchsorted(pairs, np.arange(tuples + 1, dtype=np.int64) * len(values)).astype(np.int64),
        codes=(pairs % max(len(values), 1)).astype(np.int32),
        counts=summed,
    )


def packed(columns: Sequence[NDArray[np.int32]], sizes: Sequence[int]) -> Integers:
    """One number a row that is the same for the same values, and in their lexicographic order.

    `columns[i]` counts from 0 to below `sizes[i]`. Where the sizes multiply past 62 bits, what has been packed is
    numbered anew first: there are never more numbers than rows.
    """
    keys = np.zeros(len(columns[0]), dtype=np.int64)
    reached = 1
    for column, size in zip(columns, sizes, strict=True):
        if reached * size > LARGEST_KEY:
            present, keys = np.unique(keys, return_inverse=True)
            keys, reached = keys.astype(np.int64), len(present)
        keys = keys * size + column
        reached *= size
    return keys
