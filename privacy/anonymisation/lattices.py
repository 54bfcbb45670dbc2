"""The lattice of generalisations: a level for each column, and what each loses on the rows at hand."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privacy.anonymisation.conditions import Floats
from privacy.anonymisation.histogram import Histogram, Integers
from privacy.errors import Invalid

# A bound, or a place in a walk, is held for every node: some tens of bytes each.
MOST_NODES: Final = 20_000_000


def size(histogram: Histogram) -> int:
    """The number of nodes."""
    return math.prod(hierarchy.levels for hierarchy in histogram.hierarchies)


def check(histogram: Histogram) -> None:
    """Raises Invalid where there are more nodes than MOST_NODES."""
    if size(histogram) > MOST_NODES:
        raise Invalid(
            "the hierarchies have too many levels together: leave some out, or recode by blocks",
            zh="各列泛化层级的级数之积过大：请减少级数，或改用分块重编码",
            nodes=size(histogram),
        )


def marginal_losses(histogram: Histogram) -> list[Floats]:
    """By column, what each level loses, as a share of all cells: summed over the columns, the loss of a node."""
    return _losses(histogram, slice(None))


def marginal_gains(histogram: Histogram, suppressed: Integers) -> list[Floats]:
    """By column and level, what suppressing these tuples adds to the loss: a suppressed cell loses all."""
    out = float(histogram.rows[suppressed].sum()) / max(histogram.total, 1) / len(histogram.hierarchies)
    return [out - lost for lost in _losses(histogram, suppressed)]


def _losses(histogram: Histogram, tuples: slice | Integers) -> list[Floats]:
    weights = histogram.rows[tuples] / (max(histogram.total, 1) * len(histogram.hierarchies))
    found = []
    for column, hierarchy in enumerate(histogram.hierarchies):
        shares = np.bincount(histogram.tuples[tuples, column], weights=weights, minlength=len(hierarchy.leaves))
        levels = [widths[groups] @ shares for widths, groups in zip(hierarchy.widths, hierarchy.groups, strict=True)]
        found.append(np.asarray(levels, dtype=np.float64))
    return found


def walk(histogram: Histogram) -> NDArray[np.int32]:
    """All nodes by ascending sum of squared marginal losses: each a level for every column. Raises as `check` does."""
    check(histogram)
    scores: Floats = np.zeros(())
    for column in marginal_losses(histogram):
        scores = np.add.outer(scores, column**2)
    order = np.argsort(scores, axis=None, kind="stable")
    return np.stack(np.unravel_index(order, scores.shape), axis=1).astype(np.int32)
