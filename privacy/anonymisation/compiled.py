"""The inner loops of peeling, of blocks and of the search for a level, compiled by numba: an optional dependency.

Each does what the NumPy path in `peeling`, `blocks` or `full_domain` does, and gives the same classes; without numba,
and for small tables, that path runs, and nothing imports this. All in one file: a function kept on disk is not renewed
when one that it calls changes in another file. Arrays are C-contiguous. Rules on sensitive columns come flattened
(`Flat`): numba has no arrays of arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from privacy.anonymisation.conditions import Rule
from privacy.anonymisation.hierarchies import Hierarchy
from privacy.anonymisation.histogram import LARGEST_KEY

_Function = TypeVar("_Function", bound=Callable[..., object])
_Scalar = TypeVar("_Scalar", bound=np.generic)


def _compiled(function: _Function) -> _Function:
    """Compiled at the first call, and kept on disk where numba finds a place for it: some seconds, once."""
    try:
        return cast("_Function", njit(cache=True, nogil=True)(function))
    except RuntimeError:  # an installation that cannot be written to, and no home
        return cast("_Function", njit(nogil=True)(function))


class Flat(NamedTuple):
    """Rules, one after the other: pairs of rule r and tuple i are `codes[starts[r, i]:starts[r, i + 1]]`.

    `sizes` are the numbers of values; the values of rule r begin at `bases[r]` of `reference`.
    """

    starts: NDArray[np.int64]
    codes: NDArray[np.int32]
    counts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    bases: NDArray[np.int64]
    reference: NDArray[np.float64]
    distinct: NDArray[np.int64]
    least_entropy: NDArray[np.float64]
    t: NDArray[np.float64]
    ordered: NDArray[np.bool_]


class Tables(NamedTuple):
    """Hierarchies, padded to the tallest and the widest: the node of a code at a level, and the loss of a node."""

    nodes: NDArray[np.int32]  # (columns, levels, codes)
    levels: NDArray[np.int64]
    losses: NDArray[np.float64]  # (columns, nodes)


def flat(rules: Sequence[Rule], tuples: int) -> Flat:
    """The rules for the kernels."""
    starts = np.zeros((len(rules), tuples + 1), dtype=np.int64)
    placed = 0
    for number, rule in enumerate(rules):
        starts[number] = rule.column.starts + placed
        placed += len(rule.column.codes)
    sizes = np.asarray([len(rule.column.values) for rule in rules], dtype=np.int64)
    return Flat(
        starts=starts,
        codes=_joined([rule.column.codes for rule in rules], np.int32),
        counts=_joined([rule.column.counts for rule in rules], np.int64),
        sizes=sizes,
        bases=np.cumsum(sizes) - sizes,
        reference=_joined([rule.reference for rule in rules], np.float64),
        distinct=np.asarray([rule.distinct for rule in rules], dtype=np.int64),
        least_entropy=np.asarray([rule.least_entropy for rule in rules], dtype=np.float64),
        t=np.asarray([rule.t for rule in rules], dtype=np.float64),
        ordered=np.asarray([rule.ordered for rule in rules], dtype=np.bool_),
    )


def _joined(parts: Sequence[NDArray[_Scalar]], kind: type[_Scalar]) -> NDArray[_Scalar]:
    return np.concatenate([*parts, np.zeros(0, dtype=kind)])


def tables(hierarchies: Sequence[Hierarchy]) -> Tables:
    """The hierarchies for the kernels."""
    levels = np.asarray([hierarchy.levels for hierarchy in hierarchies], dtype=np.int64)
    widest = max(len(hierarchy.leaves) for hierarchy in hierarchies)
    nodes = np.zeros((len(hierarchies), int(levels.max()), widest), dtype=np.int32)
    losses = np.zeros((len(hierarchies), max(len(hierarchy.node_loss) for hierarchy in hierarchies)))
    for column, hierarchy in enumerate(hierarchies):
        for level in range(hierarchy.levels):
            nodes[column, level, : len(hierarchy.leaves)] = hierarchy.nodes(level)
        losses[column, : len(hierarchy.node_loss)] = hierarchy.node_loss
    return Tables(nodes, levels, losses)


class Keys(NamedTuple):
    """How tuples are packed: what a code adds at each level, one after the other (`scaled`); where each column and
    level begins in it, -1 of the root, which adds nothing (`offsets`); the word of the key that each column goes in.
    """

    scaled: NDArray[np.int64]
    offsets: NDArray[np.int64]
    words: NDArray[np.int64]


def keys(hierarchies: Sequence[Hierarchy]) -> Keys:
    """A new word begins where the columns would fill more than 62 bits."""
    scaled = [np.zeros(1, dtype=np.int64)]
    offsets = np.full((len(hierarchies), max(hierarchy.levels for hierarchy in hierarchies)), -1, dtype=np.int64)
    words = np.zeros(len(hierarchies), dtype=np.int64)
    stride, word, placed = 1, 0, 1
    for column, hierarchy in enumerate(hierarchies):
        size = len(hierarchy.leaves)
        if stride * size > LARGEST_KEY:
            stride, word = 1, word + 1
        words[column] = word
        for level in range(hierarchy.levels - 1):
            offsets[column, level] = placed
            scaled.append(hierarchy.groups[level].astype(np.int64) * stride)
            placed += size
        stride *= size
    return Keys(np.concatenate(scaled), offsets, words)


@_compiled
def _satisfies(counts: NDArray[np.int64], flat: Flat) -> bool:
    """Whether a class with these counts of the values of all rules satisfies them."""
    for rule in range(len(flat.sizes)):
        base, size = flat.bases[rule], flat.sizes[rule]
        rows = 0
        distinct = 0
        for value in range(size):
            rows += counts[base + value]
            distinct += counts[base + value] > 0
        if distinct < flat.distinct[rule] or rows == 0:
            return False
        if flat.least_entropy[rule] >= 0:
            entropy = 0.0
            for value in range(size):
                if counts[base + value] > 0:
                    part = counts[base + value] / rows
                    entropy -= part * np.log(part)
            if entropy < flat.least_entropy[rule]:
                return False
        if flat.t[rule] <= 1:
            apart, carried, there = 0.0, 0.0, 0
            for value in range(size):
                share = flat.reference[base + value]
                if share > 0:
                    there += 1
                    difference = counts[base + value] / rows - share
                    carried += difference
                    apart += abs(carried) if flat.ordered[rule] else abs(difference)
            apart /= max(there - 1, 1) if flat.ordered[rule] else 2
            if apart > flat.t[rule]:
                return False
    return True


@_compiled
def _add(counts: NDArray[np.int64], flat: Flat, member: int) -> None:
    """The sensitive values of a tuple."""
    for rule in range(len(flat.sizes)):
        for pair in range(flat.starts[rule, member], flat.starts[rule, member + 1]):
            counts[flat.bases[rule] + flat.codes[pair]] += flat.counts[pair]


@_compiled
def number(
    columns: NDArray[np.int32], scaled: NDArray[np.int64], offsets: NDArray[np.int64], words: NDArray[np.int64]
) -> tuple[NDArray[np.int64], int]:
    """The classes of all tuples at one node, numbered as they come, and how many; the keys are those of `peel`."""
    width, total = columns.shape
    keys = np.zeros((words.max() + 1, total), dtype=np.int64)
    for column in range(width):
        if offsets[column] >= 0:
            _add_column(keys[words[column]], columns[column], scaled[offsets[column] :], total)
    size = 16
    while size < 2 * total:
        size *= 2
    member = np.empty(total, dtype=np.int64)
    slots = np.empty(size, dtype=np.int64)
    ones = np.ones(total, dtype=np.int64)
    stamps = np.full(size, -1, dtype=np.int64)
    sums, first = np.empty(total, dtype=np.int64), np.empty(total, dtype=np.int64)
    seen, _ = _group(keys, ones, total, 0, size - 1, slots, stamps, sums, member, first)
    return member, seen


@_compiled
def peel(
    columns: NDArray[np.int32],
    weights: NDArray[np.int64],
    scaled: NDArray[np.int64],
    offsets: NDArray[np.int64],
    words: NDArray[np.int64],
    walk: NDArray[np.int32],
    least_weight: int,
    flat: Flat,
) -> NDArray[np.int64]:
    """The class of each tuple, -1 where none was found, walking the lattice in the order of `walk` (levels a column).

    `columns` is (columns, tuples). The key of a class is, in as many words as needed, the sum over the columns of the
    word of `scaled[offsets[column, level] + code]`; an offset of -1 adds nothing (the root).
    """
    width, total = columns.shape
    found = np.full(total, -1, dtype=np.int64)
    left = np.arange(total)
    rest = columns.copy()  # of those left, side by side
    heavy = weights.copy()
    count = total
    wide = words.max() + 1
    size = 16
    while size < 2 * total:
        size *= 2
    slots = np.empty(size, dtype=np.int64)
    stamps = np.full(size, -1, dtype=np.int64)
    sums = np.empty(total, dtype=np.int64)
    member = np.empty(total, dtype=np.int64)
    first = np.empty(total, dtype=np.int64)
    order = np.empty(total, dtype=np.int64)
    ends = np.empty(total + 1, dtype=np.int64)
    values = flat.sizes.sum()
    counts = np.zeros(max(values, 1), dtype=np.int64)
    keys = np.zeros((wide, total), dtype=np.int64)
    classes = 0
    weight = weights.sum()
    for step in range(len(walk)):
        if count == 0 or weight < least_weight:
            break
        while size > 64 and size >= 8 * count:
            size //= 2  # what is left fits the cache
        keys[:, :count] = 0
        for column in range(width):
            offset = offsets[column, walk[step, column]]
            if offset >= 0:
                _add_column(keys[words[column]], rest[column], scaled[offset:], count)
        seen, largest = _group(keys, heavy, count, step, size - 1, slots, stamps, sums, member, first)
        if largest < least_weight:
            continue
        if values > 0:
            _judge(member, count, seen, left, sums, least_weight, order, ends, counts, flat)
        for owner in range(seen):
            first[owner] = -1
            if sums[owner] >= least_weight:
                first[owner] = classes
                classes += 1
        kept = 0
        for place in range(count):
            owner = first[member[place]]
            if owner >= 0:
                found[left[place]] = owner
                weight -= heavy[place]
            else:
                member[kept] = place
                kept += 1
        for place in range(kept):
            left[place] = left[member[place]]
            heavy[place] = heavy[member[place]]
        for column in range(width):
            for place in range(kept):
                rest[column, place] = rest[column, member[place]]
        count = kept
    return found


@_compiled
def _add_column(keys: NDArray[np.int64], codes: NDArray[np.int32], scaled: NDArray[np.int64], count: int) -> None:
    for place in range(count):
        keys[place] += scaled[codes[place]]


@_compiled
def _group(
    keys: NDArray[np.int64],
    weights: NDArray[np.int64],
    count: int,
    step: int,
    mask: int,
    slots: NDArray[np.int64],
    stamps: NDArray[np.int64],
    sums: NDArray[np.int64],
    member: NDArray[np.int64],
    first: NDArray[np.int64],
) -> tuple[int, int]:
    """Number the classes of equal keys and sum their weights: how many there are, and the largest sum."""
    seen, largest = 0, 0
    for place in range(count):
        mixed = np.uint64(keys[0, place])
        for word in range(1, len(keys)):
            mixed = (mixed ^ (mixed >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9) ^ np.uint64(keys[word, place])
        mixed *= np.uint64(0x9E3779B97F4A7C15)
        slot = np.int64((mixed ^ (mixed >> np.uint64(32))) & np.uint64(mask))
        while True:
            if stamps[slot] != step:
                stamps[slot] = step
                slots[slot] = seen
                first[seen] = place
                sums[seen] = 0
                owner = seen
                seen += 1
                break
            owner = slots[slot]
            same = keys[0, first[owner]] == keys[0, place]
            for word in range(1, len(keys)):
                same = same and keys[word, first[owner]] == keys[word, place]
            if same:
                break
            slot = (slot + 1) & mask
        member[place] = owner
        sums[owner] += weights[place]
        largest = max(largest, sums[owner])
    return seen, largest


@_compiled
def _judge(
    member: NDArray[np.int64],
    count: int,
    seen: int,
    left: NDArray[np.int64],
    sums: NDArray[np.int64],
    least_weight: int,
    order: NDArray[np.int64],
    ends: NDArray[np.int64],
    counts: NDArray[np.int64],
    flat: Flat,
) -> None:
    """Set the weight of the classes that break a rule to nothing."""
    ends[: seen + 1] = 0
    for place in range(count):
        ends[member[place] + 1] += 1
    for owner in range(seen):
        ends[owner + 1] += ends[owner]
    for place in range(count):
        order[ends[member[place]]] = left[place]
        ends[member[place]] += 1  # now where the next class begins
    begin = 0
    for owner in range(seen):
        if sums[owner] >= least_weight:
            counts[:] = 0
            for place in range(begin, ends[owner]):
                _add(counts, flat, order[place])
            if not _satisfies(counts, flat):
                sums[owner] = 0
        begin = ends[owner]


@_compiled
def _over(tables: Tables, column: int, low: int, high: int) -> float:
    """The loss of the smallest node over two codes and all between."""
    for level in range(tables.levels[column]):
        if tables.nodes[column, level, low] == tables.nodes[column, level, high]:
            found: float = tables.losses[column, tables.nodes[column, level, low]]
            return found
    return 1.0


@_compiled
def _sort(codes: NDArray[np.int32], block: NDArray[np.int64], spare: NDArray[np.int64]) -> None:
    """Order a block by code, eight bits at a time. `spare` is at least as long."""
    low, high = codes[block[0]], codes[block[0]]
    for place in range(len(block)):
        low, high = min(low, codes[block[place]]), max(high, codes[block[place]])
    shift = 0
    ends = np.zeros(257, dtype=np.int64)
    while (high - low) >> shift > 0:
        ends[:] = 0
        for place in range(len(block)):
            ends[((codes[block[place]] - low) >> shift & 255) + 1] += 1
        for digit in range(256):
            ends[digit + 1] += ends[digit]
        for place in range(len(block)):
            spare[place] = block[place]
        for place in range(len(block)):
            digit = (codes[spare[place]] - low) >> shift & 255
            block[ends[digit]] = spare[place]
            ends[digit] += 1
        shift += 8


@_compiled
def _best_cut(
    codes: NDArray[np.int32],
    column: int,
    block: NDArray[np.int64],
    rows: NDArray[np.int64],
    weights: NDArray[np.int64],
    totals: tuple[int, int],
    least_weight: int,
    tables: Tables,
    counts: NDArray[np.int64],
    flat: Flat,
    best: float,
) -> tuple[float, int]:
    """The gain, above `best`, of cutting a sorted block of one column, and the greatest code left of the cut, or -1."""
    low, high = codes[block[0]], codes[block[-1]]
    before = _over(tables, column, low, high) * totals[0]
    here, where = best, -1
    ours = np.zeros(len(counts), dtype=np.int64)
    left_rows, left_weight = 0, 0
    for place in range(len(block) - 1):
        left_rows += rows[block[place]]
        left_weight += weights[block[place]]
        _add(ours, flat, block[place])
        code, following = codes[block[place]], codes[block[place + 1]]
        if code == following or left_weight < least_weight:
            continue
        if totals[1] - left_weight < least_weight:
            break
        gain = before - (
            _over(tables, column, low, code) * left_rows
            + _over(tables, column, following, high) * (totals[0] - left_rows)
        )
        if gain > here and (len(flat.sizes) == 0 or (_satisfies(ours, flat) and _satisfies(counts - ours, flat))):
            here, where = gain, code
    return here, where


@_compiled
def cut(
    columns: NDArray[np.int32],
    rows: NDArray[np.int64],
    weights: NDArray[np.int64],
    least_weight: int,
    tables: Tables,
    flat: Flat,
) -> NDArray[np.int64]:
    """The class of each tuple: all of them cut in two while that gains and both halves satisfy the conditions.

    `columns` is (columns, tuples). All tuples together must satisfy the conditions already.
    """
    total = columns.shape[1]
    found = np.zeros(total, dtype=np.int64)
    members = np.arange(total)
    spare = np.empty(total, dtype=np.int64)
    counts = np.zeros(max(flat.sizes.sum(), 1), dtype=np.int64)
    waiting = [(0, total)]
    classes = 0
    while len(waiting) > 0:
        begin, end = waiting.pop()
        block = members[begin:end]
        row, weight = 0, 0
        counts[:] = 0
        for place in range(len(block)):
            row += rows[block[place]]
            weight += weights[block[place]]
            _add(counts, flat, block[place])
        gain, at, by = 0.0, -1, -1
        if weight >= 2 * least_weight:
            for column in range(len(columns)):
                _sort(columns[column], block, spare)
                gain, code = _best_cut(
                    columns[column],
                    column,
                    block,
                    rows,
                    weights,
                    (row, weight),
                    least_weight,
                    tables,
                    counts,
                    flat,
                    gain,
                )
                if code >= 0:
                    at, by = code, column
        if by < 0:
            found[block] = classes
            classes += 1
            continue
        _sort(columns[by], block, spare)
        middle = begin
        while columns[by, members[middle]] <= at:
            middle += 1
        waiting.append((middle, end))
        waiting.append((begin, middle))
    return found
