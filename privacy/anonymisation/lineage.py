"""What two releases of the same people say together: the joint cells, from what each of them published and no more.

Two releases that are 5-anonymous each may together leave a person alone: who is in class A of the one and in class B of
the other is in their intersection. To count the intersections one would need to know who was in which class, and that
map is destroyed before a release may be called anonymised (PIPL 73: nobody can restore it, we included). What is kept
of a release instead is its `Outline`: the published classes, as labels with the path from each label to the root of its
hierarchy, and how many rows, persons and values of each column stand in each class. All of it can be read off the
published file and the published hierarchies, but for the number of persons, which is a count of at least k. No row, no
person, no value that was not published, and nothing that leads from a value to a class beyond what the labels say.

From two outlines alone the joint cells are known exactly where the classes nest, and nowhere else:

1. Columns have the same role and hierarchy in both, or stand in one only (in the other they are as good as `*`).
2. Every class of the finer release lies within one class of the coarser and overlaps no other. Then the joint cells are
   the finer's classes, which have k persons each, and what a class of the coarser has beyond them.
3. That remainder, in either direction, is nobody or at least k: rows that were left out of one release only, or that
   came or went between the two. So it is for each value of each column that is published as it is: what has visibly
   come, and what has visibly gone, is nothing or concerns at least k persons.

Whatever does not nest is refused: not because a cell is known to be too small, but because nobody can show that none
is. The figure for 2 is k of the two policies, whichever is greater. A lineage is a tree of ever coarser views of
the same people. Everybody who receives one release is taken to know all others: recipients may talk to each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Path = tuple[str, ...]
"""A label and what stands above it, up to the root; no label twice in a row."""

ROOT: Final = "*"
_WIDEST: Final = 20_000_000  # pairs of classes or of labels that are compared; beyond, nothing is known


@dataclass(frozen=True, slots=True)
class Outline:
    """What is kept of a release. `paths[c][i]` is the i-th label of quasi-identifier `c`; `classes` holds such numbers.

    `values[name][n]` counts the values of a published column in class n. `specs` say by which hierarchy each
    quasi-identifier was generalised, `roles` what every column was. `most` is how many rows one person has at most.

    A table of counts has an outline for each set of its columns, down to the total: its margins are published too.
    `sums` are the columns that it adds up, in the `snapshot`.
    """

    k: int
    roles: Mapping[str, str]
    specs: Mapping[str, str]
    columns: tuple[str, ...]
    paths: tuple[tuple[Path, ...], ...] = field(repr=False)
    classes: tuple[tuple[int, ...], ...] = field(repr=False)
    rows: tuple[int, ...] = field(repr=False)
    persons: tuple[int, ...] = field(repr=False)
    values: Mapping[str, tuple[Mapping[str, int], ...]] = field(default_factory=dict, repr=False)
    most: int = 1
    is_table: bool = False
    sums: tuple[str, ...] = ()
    snapshot: str = ""


@dataclass(frozen=True, slots=True)
class Joint:
    """The answer: `code` is None where all joint cells are known to be large enough.

    `cells` counts those that are known, `smallest` the persons in the smallest of them; `only_earlier` and `only_later`
    the rows that are in one release and not visibly in the other. `column` is one that is not the same in both.
    """

    code: str | None
    cells: int = 0
    smallest: int = 0
    only_earlier: int = 0
    only_later: int = 0
    column: str | None = None


def path_of(labels: Sequence[str]) -> Path:
    """A label and its ancestors as a path: without repetitions, and ending at the root."""
    found = tuple(label for label, _ in groupby(labels))
    return found if found and found[-1] == ROOT else (*found, ROOT)


def joint(earlier: Sequence[Outline], later: Sequence[Outline]) -> Joint:
    """`compare` of every outline of the one with every one of the other; the first that fails, or the sum of them.

    Of two tables those over different columns need not nest: neither shows who is in a cell of the other, and what
    came or went between them shows in the margins that they share. Sums over two snapshots are refused: they may differ
    by one person's value where no count does.
    """
    smallest: int | None = None
    cells = only_earlier = only_later = 0
    for one in earlier:
        for other in later:
            if one.is_table and other.is_table:
                if set(one.sums) & set(other.sums) and one.snapshot != other.snapshot:
                    return Joint("joint-sums")
                if set(one.columns) != set(other.columns):
                    continue
            found = compare(one, other)
            if found.code is not None:
                return found
            smallest = found.smallest if smallest is None else min(smallest, found.smallest)
            cells += found.cells
            only_earlier, only_later = max(only_earlier, found.only_earlier), max(only_later, found.only_later)
    return Joint(None, cells, smallest or 0, only_earlier, only_later)


def compare(earlier: Outline, later: Outline) -> Joint:
    """Whether all joint cells of the two are known and large enough, as the module says."""
    stranger = _differs(earlier, later)
    if stranger is not None:
        return Joint("joint-roles", column=stranger)
    columns = tuple(sorted({*earlier.columns, *later.columns}))
    if not _is_comparable_size(earlier, later, columns):
        return Joint("joint-too-large")
    relations = [_relation(_paths(earlier, name), _paths(later, name)) for name in columns]
    if any(relation is None for relation in relations):
        return Joint("joint-hierarchies")
    found = [relation for relation in relations if relation is not None]
    answers = []
    for fine, coarse, are_turned in ((later, earlier, True), (earlier, later, False)):
        turned = [(relation.T if are_turned else relation) for relation in found]
        within = _nested(_codes(fine, columns), _codes(coarse, columns), turned, 2 if are_turned else 1)
        if within is not None:
            answer = _figures(fine, coarse, within)
            answers.append(
                replace(answer, only_earlier=answer.only_later, only_later=answer.only_earlier)
                if are_turned
                else answer
            )
    if not answers:
        return Joint("joint-cells")
    return next((one for one in answers if one.code is None), answers[0])


def _differs(one: Outline, other: Outline) -> str | None:
    """A column that is something else in the two, by role or by hierarchy."""
    for name, role in one.roles.items():
        theirs = other.roles.get(name, "drop")
        if "drop" not in (role, theirs) and (role != theirs or one.specs.get(name) != other.specs.get(name)):
            return name
    return None


def _is_comparable_size(one: Outline, other: Outline, columns: Sequence[str]) -> bool:
    labels = max((len(_paths(one, name)) * len(_paths(other, name)) for name in columns), default=0)
    return max(labels, len(one.classes) * len(other.classes) * max(len(columns), 1) // 8) <= _WIDEST


def _paths(outline: Outline, column: str) -> tuple[Path, ...]:
    return outline.paths[outline.columns.index(column)] if column in outline.columns else ((ROOT,),)


def _codes(outline: Outline, columns: Sequence[str]) -> NDArray[np.int32]:
    """(classes, columns): the label of each class in each column; a column it lacks has one label, the root."""
    import numpy as np

    found = np.zeros((len(outline.classes), len(columns)), dtype=np.int32)
    own = np.asarray(outline.classes, dtype=np.int32).reshape(len(outline.classes), len(outline.columns))
    for place, name in enumerate(columns):
        if name in outline.columns:
            found[:, place] = own[:, outline.columns.index(name)]
    return found


def _relation(ones: Sequence[Path], others: Sequence[Path]) -> NDArray[np.int8] | None:
    """Of each pair of labels: 0 apart, 1 the first within the second, 2 the second within the first, 3 the same.

    None where one label has two ancestries: then the two hierarchies are not the same tree.
    """
    import numpy as np

    known: dict[str, set[Path]] = {}
    for path in (*ones, *others):
        known.setdefault(path[0], set()).add(path)
    if any(len(paths) > 1 and not _are_cousins(paths, ones, others) for paths in known.values()):
        return None
    relation = np.zeros((len(ones), len(others)), dtype=np.int8)
    for n, one in enumerate(ones):
        for m, other in enumerate(others):
            is_within = one[-len(other) :] == other
            holds = other[-len(one) :] == one
            relation[n, m] = is_within + 2 * holds
    return relation


def _are_cousins(paths: set[Path], ones: Sequence[Path], others: Sequence[Path]) -> bool:
    """Whether the same ambiguity is in each of the two alone: equal labels under different parents are two nodes."""
    return paths <= set(ones) or paths <= set(others)


def _nested(
    fine: NDArray[np.int32],
    coarse: NDArray[np.int32],
    relations: Sequence[NDArray[np.int8]],
    under: int,
) -> NDArray[np.int64] | None:
    """The one class of the coarser that each of the finer lies in, -1 where it overlaps none; None where they cross."""
    import numpy as np

    within = np.full(len(fine), -1, dtype=np.int64)
    for n, labels in enumerate(fine.tolist()):
        overlaps = np.ones(len(coarse), dtype=bool)
        contains = np.ones(len(coarse), dtype=bool)
        for column, label in enumerate(labels):
            found = relations[column][label][coarse[:, column]]
            overlaps &= found != 0
            contains &= (found & under) != 0
        places = np.flatnonzero(overlaps)
        if len(places) > 1 or (len(places) == 1 and not contains[places[0]]):
            return None
        if len(places) == 1:
            within[n] = places[0]
    return within


def _figures(fine: Outline, coarse: Outline, within: NDArray[np.int64]) -> Joint:
    """Step 3: what the coarser's classes hold beyond the finer's, and the reverse. The finer stands for the earlier."""
    k = max(fine.k, coarse.k)
    members: list[list[int]] = [[] for _ in coarse.rows]
    for n, place in enumerate(within.tolist()):
        if place >= 0:
            members[place].append(n)
    smallest = min((*fine.persons, *coarse.persons), default=0)
    missing, more, cells = 0, 0, len(fine.rows)
    shared = sorted(fine.values.keys() & coarse.values.keys())
    for place, inside in enumerate(members):
        if not inside:
            cells += 1
            more += coarse.rows[place]
            continue
        beyond = coarse.rows[place] - sum(fine.rows[n] for n in inside)
        remainders = [max(beyond, 0), max(-beyond, 0)]
        missing, more = missing + remainders[1], more + remainders[0]
        for name in shared:
            counts = [fine.values[name][n] for n in inside]
            remainders += _moved(coarse.values[name][place], counts)
        for rows in remainders:
            if rows:
                cells += 1
                persons = math.ceil(rows / max(fine.most, coarse.most))
                smallest = min(smallest, persons)
                if persons < k:
                    return Joint("joint-cells", cells, persons, missing, more)
    missing += sum(fine.rows[n] for n, place in enumerate(within.tolist()) if place < 0)
    return Joint(None if smallest >= k or not cells else "joint-cells", cells, smallest, missing, more)


def _moved(whole: Mapping[str, int], parts: Sequence[Mapping[str, int]]) -> list[int]:
    """How many values the whole has beyond its parts, and how many they have beyond it."""
    summed: dict[str, int] = {}
    for part in parts:
        for value, count in part.items():
            summed[value] = summed.get(value, 0) + count
    more = sum(max(count - summed.get(value, 0), 0) for value, count in whole.items())
    less = sum(max(count - whole.get(value, 0), 0) for value, count in summed.items())
    return [more, less]
