"""Full-domain generalisation: the level of each column that loses least, with at most so many rows left out.

The losses of a node of the lattice add up over its columns before anything is left out, and rows left out only lose
more: the sum is a lower bound of every node at once, from the marginals alone. So:

1. Take the node of least bound. None below the best found: the best is optimal.
2. Look at nodes of a greedy path from the top down to it, halving what is left of the path, until one of them has
   shown that it cannot be better, or it is reached. (From below: three times the nodes on a table of persons.)
3. A node that leaves out too many rows rules out every finer one; one that leaves out some raises the bound of every
   finer one, which must leave out the same. This rests on conditions that coarser classes only satisfy better (k and
   distinct l, and any condition where no row may be left out); the others rule out their own node alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privacy.anonymisation import lattices
from privacy.anonymisation.conditions import Conditions, Floats, Truths
from privacy.anonymisation.histogram import Histogram, Integers, packed

# Losses that differ by less are sums in another order.
_SAME: Final = 1e-12


_Classes = Callable[[tuple[int, ...]], tuple[Integers, int]]


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A level for each column, the tuples it leaves out, and its loss over all cells."""

    levels: tuple[int, ...]
    suppressed: Truths
    loss: float


def best_node(histogram: Histogram, conditions: Conditions, limit: int, *, in_numpy: bool) -> Node | None:
    """The node of least loss that leaves out at most `limit` rows; nothing where even the top leaves out more.

    Raises Invalid where the lattice has more than `lattices.MOST_NODES` nodes.
    """
    search = _Search(histogram, conditions, limit, (_classes_in_numpy if in_numpy else _classes_compiled)(histogram))
    while (start := search.next()) is not None:
        path = search.path_up(start)
        place = len(path) // 2
        while place and search.is_promising(start):
            search.look(path[place])
            place //= 2
        if search.is_promising(start):
            search.look(start)
    return search.best


class _Search:
    """Bounds of all nodes, and the best one so far."""

    def __init__(self, histogram: Histogram, conditions: Conditions, limit: int, classes: _Classes) -> None:
        self.histogram, self.conditions, self.limit, self.classes = histogram, conditions, limit, classes
        lattices.check(histogram)
        self.marginals = lattices.marginal_losses(histogram)
        self.bounds = _outer_sum(self.marginals)
        self.best: Node | None = None
        self.everything = np.arange(len(histogram.rows), dtype=np.int64)
        # Where no row may be left out, classes that satisfy anything satisfy it joined.
        self.is_monotone = limit == 0 or conditions.are_closed_upwards

    def next(self) -> tuple[int, ...] | None:
        """The node of least bound, if it may be better than the best."""
        at = tuple(int(level) for level in np.unravel_index(np.argmin(self.bounds), self.bounds.shape))
        return at if self.is_promising(at) else None

    def is_promising(self, levels: tuple[int, ...]) -> bool:
        """Whether a node may be better than the best."""
        return bool(self.bounds[levels] < (np.inf if self.best is None else self.best.loss - _SAME))

    def path_up(self, start: tuple[int, ...]) -> list[tuple[int, ...]]:
        """To the top, by the step that adds least to the bound each time."""
        levels = list(start)
        path = [start]
        while True:
            steps = [
                (marginal[levels[column] + 1] - marginal[levels[column]], column)
                for column, marginal in enumerate(self.marginals)
                if levels[column] + 1 < len(marginal)
            ]
            if not steps:
                return path
            levels[min(steps)[1]] += 1
            path.append(tuple(levels))

    def look(self, levels: tuple[int, ...]) -> None:
        """Take a node for the best if it is; what it teaches of finer ones is kept."""
        if np.isfinite(self.bounds[levels]):
            self._look(levels)
            self.bounds[levels] = np.inf

    def _look(self, levels: tuple[int, ...]) -> None:
        owner, count = self.classes(levels)
        good = self.conditions.hold(self.histogram, self.everything, owner, count)
        suppressed: Truths = ~good[owner]
        rows = int(self.histogram.rows[suppressed].sum())
        surely = suppressed
        if not self.is_monotone:
            closed = self.conditions.closed.hold(self.histogram, self.everything, owner, count)
            surely = ~closed[owner]
        finer = tuple(slice(level + 1) for level in levels)
        if int(self.histogram.rows[surely].sum()) > self.limit:
            self.bounds[finer] = np.inf
            return
        gains = lattices.marginal_gains(self.histogram, np.flatnonzero(surely))
        np.maximum(self.bounds[finer], self._raised(levels, gains), out=self.bounds[finer])
        if rows > self.limit:
            return
        if surely is not suppressed:
            gains = lattices.marginal_gains(self.histogram, np.flatnonzero(suppressed))
        loss = sum(float(self.marginals[column][level] + gains[column][level]) for column, level in enumerate(levels))
        if self.best is None or loss < self.best.loss - _SAME:
            self.best = Node(levels, suppressed, loss)

    def _raised(self, levels: tuple[int, ...], gains: list[Floats]) -> Floats:
        """The bounds of this node and all finer ones, knowing what they leave out at least."""
        parts = zip(self.marginals, gains, levels, strict=True)
        return _outer_sum([(marginal + gain)[: level + 1] for marginal, gain, level in parts])


def _classes_in_numpy(histogram: Histogram) -> _Classes:
    """The class of each tuple at a node, and how many there are."""
    columns, hierarchies = np.ascontiguousarray(histogram.tuples.T), histogram.hierarchies

    def classes(levels: tuple[int, ...]) -> tuple[Integers, int]:
        groups = [h.groups[level][codes] for h, level, codes in zip(hierarchies, levels, columns, strict=True)]
        sizes = [len(hierarchy.labels[level]) for hierarchy, level in zip(hierarchies, levels, strict=True)]
        distinct, owner = np.unique(packed(groups, sizes), return_inverse=True)
        return owner, len(distinct)

    return classes


def _classes_compiled(histogram: Histogram) -> _Classes:
    """The same, numbered otherwise."""
    from privacy.anonymisation import compiled  # numba takes half a second to load

    columns, keys = np.ascontiguousarray(histogram.tuples.T), compiled.keys(histogram.hierarchies)

    def classes(levels: tuple[int, ...]) -> tuple[Integers, int]:
        offsets = keys.offsets[np.arange(len(levels)), np.asarray(levels)]
        return compiled.number(columns, keys.scaled, offsets, keys.words)

    return classes


def _outer_sum(parts: list[Floats]) -> Floats:
    summed: NDArray[np.float64] = np.zeros(())
    for part in parts:
        summed = np.add.outer(summed, part)
    return summed


def nodes(histogram: Histogram, node: Node) -> NDArray[np.int32]:
    """The node of each value of each tuple."""
    found = [
        hierarchy.nodes(level)[histogram.tuples[:, column]]
        for column, (hierarchy, level) in enumerate(zip(histogram.hierarchies, node.levels, strict=True))
    ]
    return np.stack(found, axis=1)
