"""Local recoding by Mondrian blocks (LeFevre 2006): the tuples cut in two again and again.

A cut goes between two codes of one column, so in the order of its hierarchy; the one is taken that lowers the loss of
its own column most, with both halves satisfying the policy. A block is published under the smallest nodes over what is
in it, not under its exact ranges: those are extreme values of real people. The time grows with the tuples, whatever the
number of levels: the way where the lattice is too wide to walk.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from privacy.anonymisation.conditions import Conditions, Floats, Truths
from privacy.anonymisation.hierarchies import Hierarchy
from privacy.anonymisation.histogram import Histogram, Integers


def cut(histogram: Histogram, conditions: Conditions, *, in_numpy: bool) -> Integers:
    """The class of each tuple, -1 of all where even the whole does not satisfy the conditions. Deterministic."""
    everything = np.arange(len(histogram.rows), dtype=np.int64)
    if not conditions.hold(histogram, everything, np.zeros_like(everything), 1)[0]:
        return np.full(len(everything), -1, dtype=np.int64)
    if in_numpy:
        return _cut(histogram, conditions)
    from privacy.anonymisation import compiled  # numba takes half a second to load

    return compiled.cut(
        np.ascontiguousarray(histogram.tuples.T),
        histogram.rows,
        histogram.weights,
        conditions.least_weight,
        compiled.tables(histogram.hierarchies),
        compiled.flat(conditions.rules, len(histogram.rows)),
    )


def _cut(histogram: Histogram, conditions: Conditions) -> Integers:
    found = np.zeros(len(histogram.rows), dtype=np.int64)
    waiting = [np.arange(len(histogram.rows), dtype=np.int64)]
    classes = 0
    while waiting:
        block = waiting.pop()
        gain, halves = 0.0, None
        if int(histogram.weights[block].sum()) >= 2 * conditions.least_weight:
            for column in range(len(histogram.hierarchies)):
                gain, cut_here = _best_cut(histogram, conditions, column, block, gain)
                halves = cut_here or halves
        if halves is None:
            found[block] = classes
            classes += 1
        else:
            waiting += [halves[1], halves[0]]
    return found


def _best_cut(
    histogram: Histogram, conditions: Conditions, column: int, block: Integers, best: float
) -> tuple[float, tuple[Integers, Integers] | None]:
    """The gain, above `best`, of the best cut of one column, and its halves."""
    hierarchy = histogram.hierarchies[column]
    ordered = block[np.argsort(histogram.tuples[block, column], kind="stable")]
    codes = histogram.tuples[ordered, column]
    ends = np.flatnonzero(codes[:-1] != codes[1:])  # the last of each code but the greatest
    weights, rows = np.cumsum(histogram.weights[ordered]), np.cumsum(histogram.rows[ordered])
    ends = ends[(weights[ends] >= conditions.least_weight) & (weights[-1] - weights[ends] >= conditions.least_weight)]
    if not len(ends):
        return best, None
    low, high = np.full(len(ends), codes[0]), np.full(len(ends), codes[-1])
    left, right = _over(hierarchy, low, codes[ends]), _over(hierarchy, codes[ends + 1], high)
    gains = _over(hierarchy, low[:1], high[:1]) * rows[-1] - (left * rows[ends] + right * (rows[-1] - rows[ends]))
    for place in np.argsort(-gains, kind="stable"):
        if gains[place] <= best:
            break
        halves = ordered[: ends[place] + 1], ordered[ends[place] + 1 :]
        if not conditions.rules or _both_hold(histogram, conditions, halves):
            return float(gains[place]), halves
    return best, None


def _over(hierarchy: Hierarchy, low: NDArray[np.int32], high: NDArray[np.int32]) -> Floats:
    found: Floats = hierarchy.node_loss[hierarchy.covering(low, high)]
    return found


def _both_hold(histogram: Histogram, conditions: Conditions, halves: tuple[Integers, Integers]) -> bool:
    sides = np.repeat(np.arange(2, dtype=np.int64), [len(half) for half in halves])
    good: Truths = conditions.hold(histogram, np.concatenate(halves), sides, 2)
    return bool(good.all())
