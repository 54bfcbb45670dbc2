"""Two tables of one lineage that differ by a few people give those people away.

Whoever has the table of everybody and the table of everybody but the newcomers has the table of the newcomers. What is
compared are published groups, cells and margins alike, and every union of them: if a union of groups of one table lies
within a union of groups of the other, and fewer than the minimum of persons are in between, the difference of two sums
tells about exactly those.

As a graph: a node for each group of either table, an edge for the people they share, from the first table to the
second; for who is in a group of one table only, an edge to the one node OUT. A nested pair of unions is a set of nodes
that edges only leave (or only enter): a cut in one direction. There is one of fewer than the minimum if and only if,
for some edge, the maximum flow from its one end to its other is less, where flow may also return along any edge. Nodes
between which more flows are never parted, so they become one: there are as many searches as nodes, not as edges.

Tables are compared in pairs; what three of them give away together and no two of them is not found. Figures that come
with differential privacy need none of this.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privacy.errors import Invalid, UnsafeTable

OUT: Final = -1
_PERSON: Final = 2**20  # one person, so that it can be divided over several edges


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """How a published table parts its rows: in each part a group for each row, `OUT` where nothing published tells it.

    `keys` name the rows within the lineage, each once; `persons` whose they are, else every row is a person's only one.
    Never published. Raises Invalid.
    """

    keys: NDArray[np.generic]
    persons: NDArray[np.generic] | None
    groups: tuple[NDArray[np.int64], ...]

    def __post_init__(self) -> None:
        lengths = {len(self.keys)} | {len(one) for one in self.groups}
        if self.persons is not None:
            lengths.add(len(self.persons))
        if len(lengths) > 1 or len(np.unique(self.keys)) != len(self.keys):
            raise Invalid("every row has one key and one group in each part", zh="每一行在每个划分中须有一个键和一个组")


def refuse_differencing(here: Parts, before: Parts, minimum: int, earlier: str) -> None:
    """Raises UnsafeTable, with `earlier` in its context, when groups of both differ by 1 to `minimum` - 1 persons."""
    keys = np.union1d(here.keys, before.keys)
    places = [np.searchsorted(keys, one.keys) for one in (here, before)]
    whose = _whose(here, before, places, len(keys))
    for one in here.groups:
        first = _spread(one, places[0], len(keys))
        for other in before.groups:
            if _differs_by_few(first, _spread(other, places[1], len(keys)), whose, minimum):
                raise UnsafeTable(
                    f"together with an earlier table this one would show a group of fewer than {minimum} persons",
                    zh=f"该表与先前的表结合会显示少于 {minimum} 人的群体",
                    earlier=earlier,
                )


def _spread(groups: NDArray[np.int64], places: NDArray[np.intp], rows: int) -> NDArray[np.int64]:
    found = np.full(rows, OUT, dtype=np.int64)
    found[places] = groups
    return found


def _whose(here: Parts, before: Parts, places: list[NDArray[np.intp]], rows: int) -> NDArray[np.int64]:
    """The number of the person of every row of either."""
    if here.persons is None or before.persons is None:
        return np.arange(rows)
    number = np.unique(np.concatenate([here.persons, before.persons]), return_inverse=True)[1]
    found = np.empty(rows, dtype=np.int64)
    found[places[1]] = number[len(here.persons) :]
    found[places[0]] = number[: len(here.persons)]
    return found


def _differs_by_few(
    first: NDArray[np.int64], second: NDArray[np.int64], whose: NDArray[np.int64], minimum: int
) -> bool:
    told = (first != OUT) | (second != OUT)
    starts, ends, weights = _edges(first[told], second[told], whose[told])
    return _Graph(starts, ends, weights, minimum * _PERSON).has_small_cut()


def _edges(
    first: NDArray[np.int64], second: NDArray[np.int64], whose: NDArray[np.int64]
) -> tuple[list[int], list[int], list[int]]:
    """Node 0 is OUT. A person on several edges is divided among them, so that no sum is more than distinct persons."""
    left, start = np.unique(first, return_inverse=True)
    right, end = np.unique(second, return_inverse=True)
    # OUT, being less than every group, has the first number in whichever of them it occurs.
    start = start + (0 if len(left) and left[0] == OUT else 1)
    end = end + (0 if len(right) and right[0] == OUT else 1)
    beyond = int(start.max(initial=0))
    end = np.where(end == 0, 0, end + beyond)
    pairs, edge = np.unique(start * (int(end.max(initial=0)) + 1) + end, return_inverse=True)
    span = int(end.max(initial=0)) + 1
    held = np.unique(whose * max(1, len(pairs)) + edge)
    person, of_edge = held // max(1, len(pairs)), held % max(1, len(pairs))
    often = np.bincount(person, minlength=1)
    weights = np.zeros(len(pairs), dtype=np.int64)
    np.add.at(weights, of_edge, _PERSON // np.maximum(1, often[person]))
    return (pairs // span).tolist(), (pairs % span).tolist(), weights.tolist()


class _Graph:
    """Edges that carry as much as their weight forward, and anything back."""

    def __init__(self, starts: list[int], ends: list[int], weights: list[int], bound: int) -> None:
        self.starts, self.ends, self.weights, self.bound = starts, ends, weights, bound
        self.parents = list(range(max([*starts, *ends, 0]) + 1))
        self.touching: list[list[int]] = [[] for _ in self.parents]
        for edge, (start, end) in enumerate(zip(starts, ends, strict=True)):
            self.touching[start].append(edge)
            self.touching[end].append(edge)

    def has_small_cut(self) -> bool:
        for edge, weight in enumerate(self.weights):
            if weight >= self.bound:
                self._unite(self.starts[edge], self.ends[edge])
        for start, end in zip(self.starts, self.ends, strict=True):
            if self._node(start) != self._node(end):
                if self._flow(self._node(start), self._node(end)) < self.bound:
                    return True
                self._unite(start, end)
        return False

    def _node(self, node: int) -> int:
        while self.parents[node] != node:
            self.parents[node] = self.parents[self.parents[node]]
            node = self.parents[node]
        return node

    def _unite(self, one: int, other: int) -> None:
        one, other = self._node(one), self._node(other)
        if one == other:
            return
        if len(self.touching[one]) < len(self.touching[other]):
            one, other = other, one
        self.parents[other] = one
        self.touching[one] += self.touching[other]
        self.touching[other] = []

    def _flow(self, source: int, sink: int) -> int:
        """Up to the bound, by shortest paths (Edmonds-Karp)."""
        left, total = dict[int, int](), 0
        while total < self.bound and (path := self._path(source, sink, left)):
            forward = [edge for edge, onward in path if onward]
            amount = min((left.get(edge, self.weights[edge]) for edge in forward), default=self.bound)
            for edge, onward in path:
                left[edge] = left.get(edge, self.weights[edge]) + (-amount if onward else amount)
            total += amount
        return total

    def _path(self, source: int, sink: int, left: dict[int, int]) -> list[tuple[int, bool]]:
        came: dict[int, tuple[int, int, bool]] = {source: (source, -1, True)}
        waiting = deque([source])
        while waiting and sink not in came:
            node = waiting.popleft()
            for edge in self.touching[node]:
                start, end = self._node(self.starts[edge]), self._node(self.ends[edge])
                onward = start == node
                other = end if onward else start
                if other not in came and (not onward or left.get(edge, self.weights[edge]) > 0):
                    came[other] = (node, edge, onward)
                    waiting.append(other)
        path = []
        node = sink if sink in came else source
        while node != source:
            node, edge, onward = came[node]
            path.append((edge, onward))
        return path
