"""Which further cells of a table must go, so that no sensitive one can be computed back from the margins.

By hypercubes (Repsilber 1994, "GHMITER"): a sensitive cell is one corner of a box whose corners are all suppressed. Add
a little to it, and the other corners, in turn less and more, make up for it on every line, margins included: each
published figure stays as it is. How far that can go, with no corner below what its largest contributor knows to be his
own, is how well the cell is hidden. Sufficient by construction, for any number of dimensions, without a solver; it may
hide more cells than an optimum would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from privacy.errors import UnsafeTable

_Floats = NDArray[np.float64]
_T = TypeVar("_T", bound=np.generic)


@dataclass(slots=True, eq=False)
class Measure:
    """A figure of every cell: its `total`, and of the persons' shares, taken without sign, `size` (their sum), the
    `largest`, the `second` and the sum of the `top` ones. `need`: by how much a sensitive cell must be able to vary."""

    total: _Floats
    size: _Floats
    largest: _Floats
    second: _Floats
    top: _Floats
    need: _Floats

    @staticmethod
    def empty(shape: tuple[int, ...]) -> Measure:
        return Measure(*(np.zeros(shape) for _ in range(6)))

    def add(self, cell: NDArray[np.int64], amounts: _Floats, dominant: int) -> None:
        """A share of one person in one cell each."""
        shares = np.abs(amounts)
        np.add.at(self.total.reshape(-1), cell, amounts)
        np.add.at(self.size.reshape(-1), cell, shares)
        order = np.lexsort((-shares, cell))
        cells, ordered = cell[order], shares[order]
        rank = np.arange(len(cells)) - np.searchsorted(cells, cells)
        for at, into in ((0, self.largest), (1, self.second)):
            into.reshape(-1)[cells[rank == at]] = ordered[rank == at]
        np.add.at(self.top.reshape(-1), cells[rank < dominant], ordered[rank < dominant])

    @property
    def room(self) -> _Floats:
        """How far a cell can fall in the eyes of its largest contributor, who knows his own share."""
        return self.size - self.largest


def protect(
    people: NDArray[np.int64], measures: Sequence[Measure], primary: NDArray[np.bool_], minimum: int, *, repeats: bool
) -> NDArray[np.bool_]:
    """All cells to suppress: the `primary` ones and what hides them.

    Of the first measure, the rows, each sensitive cell may then be anything in a range of at least `minimum`.
    `repeats`: persons may have several rows, so that rows do not bound persons: every line of a sensitive cell then
    gets a suppressed cell of at least `minimum` persons. Raises UnsafeTable where there is no such box.
    """
    hidden = primary.copy()
    price = np.where(people > 0, 1.0 + np.log2(1.0 + measures[0].size), np.inf)
    price[tuple(size - 1 for size in people.shape)] += people.size  # the grand total goes last
    chosen = [tuple(place) for place in np.argwhere(primary).tolist()]
    # The hardest first: what hides them often hides the others as well.
    for place in sorted(chosen, key=lambda at: (people[at], at)):
        _hide(place, people, measures, hidden, price, minimum, repeats)
    return hidden


def _hide(
    place: tuple[int, ...],
    people: NDArray[np.int64],
    measures: Sequence[Measure],
    hidden: NDArray[np.bool_],
    price: _Floats,
    minimum: int,
    repeats: bool,
) -> None:
    """Suppress the corners of the cheapest box that is good enough. An opposite corner names a box."""
    cost = _cost(place, np.where(hidden & (people > 0), 0.0, price))
    for at, measure in enumerate(measures):
        up, down = _reach(place, measure)
        need = measure.need[place]
        enough = (up >= need) & (down >= min(need, measure.size[place]))
        if at == 0:
            enough &= up + down >= minimum
        cost = np.where(enough, cost, np.inf)
    if repeats:
        cost = np.where(_has_crowds(place, people, minimum), cost, np.inf)
    best = np.unravel_index(int(np.argmin(cost)), cost.shape)
    if not np.isfinite(cost[best]):
        raise UnsafeTable(
            "the table has too few large cells to hide its small ones: use fewer or coarser categories",
            zh="表中可用于隐藏小单元格的大单元格太少：请减少类别或使用更粗的类别",
        )
    for corner in product(*({own, int(other)} for own, other in zip(place, best, strict=True))):
        hidden[corner] = True


def _corners(place: tuple[int, ...]) -> list[tuple[bool, ...]]:
    """Each corner but the cell itself: in which dimensions it stands opposite."""
    return [one for one in product((False, True), repeat=len(place)) if any(one)]


def _at(values: NDArray[_T], place: tuple[int, ...], corner: tuple[bool, ...]) -> NDArray[_T]:
    """The values of one corner, for every opposite corner; it broadcasts to the table's shape."""
    return values[tuple(slice(None) if far else slice(at, at + 1) for far, at in zip(corner, place, strict=True))]


def _cost(place: tuple[int, ...], price: _Floats) -> _Floats:
    cost = np.zeros(price.shape)
    for corner in _corners(place):
        cost = cost + _at(price, place, corner)
    for dimension, at in enumerate(place):  # a flat box is none
        cost[(slice(None),) * dimension + (at,)] = np.inf
    return cost


def _falls(place: tuple[int, ...], corner: tuple[bool, ...], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Whether a corner falls as the cell rises: it turns between two inner cells, not to or from a total."""
    turns = np.ones(shape, dtype=np.int8)
    for dimension, (far, at) in enumerate(zip(corner, place, strict=True)):
        last = shape[dimension] - 1
        if far and at != last:
            sign = np.where(np.arange(shape[dimension]) == last, 1, -1).astype(np.int8)
            turns = turns * sign.reshape([-1 if one == dimension else 1 for one in range(len(shape))])
    return turns < 0


def _reach(place: tuple[int, ...], measure: Measure) -> tuple[_Floats, _Floats]:
    """How far the cell can rise and fall within each box, by the name of the box."""
    shape = measure.size.shape
    up, down = np.full(shape, np.inf), np.full(shape, measure.size[place])
    for corner in _corners(place):
        room = _at(measure.room, place, corner)
        falls = _falls(place, corner, shape)
        up = np.where(falls, np.minimum(up, room), up)
        down = np.where(falls, down, np.minimum(down, room))
    return up, down


def _has_crowds(place: tuple[int, ...], people: NDArray[np.int64], minimum: int) -> NDArray[np.bool_]:
    """Whether, on each line of the cell, the other corner holds enough persons by itself."""
    found = np.ones(people.shape, dtype=np.bool_)
    for corner in _corners(place):
        if sum(corner) == 1:
            found = found & (_at(people, place, corner) >= minimum)
    return found
