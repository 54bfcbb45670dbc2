"""What local recoding leaves over, where it is more than may be left out: it is joined with classes until it is one."""

from __future__ import annotations

from typing import Final

import numpy as np

from privacy.anonymisation.conditions import Conditions, Floats, Rule, Truths, distance, pairs_of
from privacy.anonymisation.histogram import Histogram, Integers

# Cells of the matrix of classes by sensitive values.
_CELLS: Final = 8_000_000
_REST: Final = 0


def join_rest(histogram: Histogram, conditions: Conditions, classes: Integers, limit: int) -> Integers:
    """The classes, with those given up that bring the rest (-1) nearest to the conditions for the fewest rows.

    Unchanged where the rest has at most `limit` rows. Otherwise the rest becomes a class of its own, or everything is
    -1 where not even all tuples together satisfy the conditions.
    """
    rest = np.flatnonzero(classes < 0)
    if int(histogram.rows[rest].sum()) <= limit:
        return classes
    joined = _taken(histogram, conditions, classes)
    inside = np.flatnonzero(joined[classes + 1])
    if not conditions.hold(histogram, inside, np.zeros_like(inside), 1)[0]:
        joined[:] = True
        inside = np.arange(len(classes), dtype=np.int64)
        if not conditions.hold(histogram, inside, np.zeros_like(inside), 1)[0]:
            return np.full_like(classes, -1)
    found = classes.copy()
    found[inside] = len(joined)
    return found


def _taken(histogram: Histogram, conditions: Conditions, classes: Integers) -> Truths:
    """Whether the rest (first) and each class (one further on) is joined, greedily: a few at a time, ever more."""
    count = int(classes.max()) + 2
    rows, weights = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    np.add.at(rows, classes + 1, histogram.rows)
    np.add.at(weights, classes + 1, histogram.weights)
    taken = np.zeros(count, dtype=np.bool_)
    taken[_REST] = True
    values = max([1, *(len(rule.column.values) for rule in conditions.rules)])
    # Only the smallest where there are more than fit: they cost least.
    candidates = np.argsort(rows[1:], kind="stable")[: _CELLS // values] + 1
    matrices = [_matrix(rule, classes, candidates, count) for rule in conditions.rules]
    summed = [_matrix(rule, classes, np.zeros(1, dtype=np.int64), count)[0] for rule in conditions.rules]
    weight, turn = int(weights[_REST]), 0
    while (now := _missing(conditions, [part[None] for part in summed], np.asarray([weight]))[0]) > 0:
        if not len(candidates):
            break
        then = _missing(
            conditions,
            [part + matrix for part, matrix in zip(summed, matrices, strict=True)],
            weights[candidates] + weight,
        )
        best = np.argsort((then - now) / rows[candidates], kind="stable")[: 1 + turn // 8]
        taken[candidates[best]] = True
        weight += int(weights[candidates[best]].sum())
        summed = [part + matrix[best].sum(axis=0) for part, matrix in zip(summed, matrices, strict=True)]
        candidates, matrices = np.delete(candidates, best), [np.delete(matrix, best, axis=0) for matrix in matrices]
        turn += 1
    return taken


def _matrix(rule: Rule, classes: Integers, wanted: Integers, count: int) -> Integers:
    """How often each value occurs in each wanted class (0: the rest)."""
    place = np.full(count, -1, dtype=np.int64)
    place[wanted] = np.arange(len(wanted))
    tuples = np.flatnonzero(place[classes + 1] >= 0)
    entries, owner = pairs_of(rule.column, tuples)
    found = np.zeros((len(wanted), len(rule.column.values)), dtype=np.int64)
    np.add.at(found, (place[classes[tuples] + 1][owner], rule.column.codes[entries]), rule.column.counts[entries])
    return found


def _missing(conditions: Conditions, counts: list[Integers], weights: Integers) -> Floats:
    """How far each class is from the conditions: 0 where it satisfies them."""
    far = np.maximum(0.0, 1 - weights / conditions.least_weight)
    for rule, matrix in zip(conditions.rules, counts, strict=True):
        part = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        far = far + np.maximum(0.0, 1 - np.count_nonzero(matrix, axis=1) / max(rule.distinct, 1))
        if rule.least_entropy >= 0:
            logs = np.log(part, out=np.zeros_like(part), where=part > 0)
            far = far + np.maximum(0.0, rule.least_entropy + (part * logs).sum(axis=1))
        if rule.t <= 1:
            far = far + np.maximum(0.0, distance(part, rule.reference, rule.ordered) - rule.t)
    found: Floats = far
    return found
