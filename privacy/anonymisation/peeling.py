"""Local recoding by lattice peeling: each tuple at the first node of the lattice where its class is large enough.

1. The nodes of the lattice (a level for each column) are walked by ascending sum of squared marginal losses.
2. At each node the tuples still left form classes; those that satisfy the policy are published and leave.
3. The labels of a class are then tightened to the smallest node over what is really in it.
4. What no node took is left over; where that is more than may be suppressed, the cheapest classes are given up and join
   it in one class, until that satisfies the policy.

The idea is ARX's iterative local recoding, on the histogram and in one pass. It is a minimal hierarchical method, so a
release is open to downcoding (Cohen 2022): for controlled recipients only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from privacy.anonymisation import lattices
from privacy.anonymisation.conditions import Conditions
from privacy.anonymisation.histogram import Histogram, Integers, packed


def peel(histogram: Histogram, conditions: Conditions, *, in_numpy: bool) -> Integers:
    """The class of each tuple, -1 of what is left over. Every class satisfies the conditions.

    Deterministic, and a function of the tuple: rows that agree in all columns go together.
    """
    walk = lattices.walk(histogram)
    if in_numpy:
        return _peel(histogram, conditions, walk)
    from privacy.anonymisation import compiled  # numba takes half a second to load

    keys = compiled.keys(histogram.hierarchies)
    return compiled.peel(
        np.ascontiguousarray(histogram.tuples.T),
        histogram.weights,
        keys.scaled,
        keys.offsets,
        keys.words,
        walk,
        conditions.least_weight,
        compiled.flat(conditions.rules, len(histogram.rows)),
    )


def _peel(histogram: Histogram, conditions: Conditions, walk: NDArray[np.int32]) -> Integers:
    found = np.full(len(histogram.rows), -1, dtype=np.int64)
    left = np.arange(len(histogram.rows), dtype=np.int64)
    classes = 0
    for levels in walk:
        if int(histogram.weights[left].sum()) < conditions.least_weight:
            break
        columns = [
            hierarchy.groups[level][histogram.tuples[left, column]]
            for column, (hierarchy, level) in enumerate(zip(histogram.hierarchies, levels, strict=True))
        ]
        sizes = [len(hierarchy.labels[level]) for hierarchy, level in zip(histogram.hierarchies, levels, strict=True)]
        distinct, owner = np.unique(packed(columns, sizes), return_inverse=True)
        good = conditions.hold(histogram, left, owner, len(distinct))
        numbers = np.where(good, classes + np.cumsum(good) - 1, -1)
        found[left] = numbers[owner]
        left = left[~good[owner]]
        classes += int(good.sum())
    return found
