"""Whether classes satisfy a policy: persons by weight, sensitive values by number, entropy and distance.

Each condition that holds for two classes holds for their union (weights add up, entropy is concave, both distances are
convex in the class): classes that happen to be published under the same labels need not be looked at again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from privacy.anonymisation.histogram import Histogram, Integers, Sensitive
from privacy.anonymisation.policies import TOLERANCE, Policy, SensitiveRule
from privacy.errors import Invalid

Floats = NDArray[np.float64]
Truths = NDArray[np.bool_]

# Cells of the matrix of classes by sensitive values that is held at once.
_CELLS = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A sensitive column with what its classes must satisfy; 0, -1 and 2 are what any class satisfies.

    `reference` is the share of each value in all that is compared with.
    """

    column: Sensitive
    distinct: int
    least_entropy: float
    t: float
    ordered: bool
    reference: Floats

    @property
    def is_closed_upwards(self) -> bool:
        """Whether joining any class, satisfying or not, to one that satisfies gives one that satisfies."""
        return self.least_entropy < 0 and self.t >= 1


@dataclass(frozen=True, slots=True, eq=False)
class Conditions:
    """A policy against one histogram."""

    least_weight: int
    rules: tuple[Rule, ...]

    @property
    def are_closed_upwards(self) -> bool:
        """Whether coarser classes never leave more rows out (true of k and distinct l)."""
        return all(rule.is_closed_upwards for rule in self.rules)

    @property
    def closed(self) -> Conditions:
        """Only what is closed upwards of them."""
        return Conditions(
            self.least_weight, tuple(replace(rule, least_entropy=-1.0, t=2.0) for rule in self.rules if rule.distinct)
        )

    def hold(self, histogram: Histogram, tuples: Integers, classes: Integers, count: int) -> Truths:
        """Whether each of `count` classes satisfies the policy: `classes[i]` is the class of `tuples[i]`."""
        weights = np.zeros(count, dtype=np.int64)
        np.add.at(weights, classes, histogram.weights[tuples])
        good: Truths = weights >= self.least_weight
        for rule in self.rules:
            candidates = np.flatnonzero(good)
            good[candidates] = _satisfy(rule, tuples, classes, candidates, count)
        return good


def conditions(histogram: Histogram, policy: Policy, published: Truths | None = None, slack: float = 0.0) -> Conditions:
    """The policy's; distances are measured from all rows, or only from those of the tuples `published`.

    `slack` is taken off every `t`. Raises Invalid when a rule names a column that the histogram does not have.
    """
    columns = {column.name: column for column in histogram.sensitive}
    rules = []
    for rule in policy.sensitive:
        if rule.column not in columns:
            raise Invalid(
                f"the policy has a rule for {rule.column!r}, which is no sensitive column of the data",
                zh=f"策略中的规则涉及 {rule.column!r}，但数据中没有这一敏感列",
                column=rule.column,
            )
        rules.append(_rule(rule, columns[rule.column], published, slack))
    return Conditions(histogram.least_weight(policy.k), tuple(rules))


def _rule(rule: SensitiveRule, column: Sensitive, published: Truths | None, slack: float) -> Rule:
    return Rule(
        column=column,
        distinct=rule.distinct_l or 0,
        least_entropy=-1.0 if rule.entropy_l is None else math.log(rule.entropy_l) - TOLERANCE,
        t=2.0 if rule.t is None else max(rule.t - slack, 0.0) + TOLERANCE,
        ordered=rule.ordered,
        reference=shares(column, published),
    )


def shares(column: Sensitive, published: Truths | None = None) -> Floats:
    """Of each value among all rows, or those of the tuples `published`; zeros where there is none."""
    counts = column.counts
    if published is not None:
        counts = np.where(np.repeat(published, np.diff(column.starts)), counts, 0)
    totals = np.bincount(column.codes, weights=counts, minlength=len(column.values))
    found: Floats = totals / max(totals.sum(), 1.0)
    return found


def distance(ours: Floats, reference: Floats, ordered: bool) -> Floats:
    """Earth mover's distance of each row of shares from the reference, over the values that the reference has.

    Equal: half of what differs. Ordered: what has to be carried past each value, over the number of values less one.
    """
    there = reference > 0
    differences = ours[:, there] - reference[there]
    if not ordered:
        halves: Floats = np.abs(differences).sum(axis=1) / 2
        return halves
    carried: Floats = np.abs(np.cumsum(differences, axis=1)).sum(axis=1) / max(int(there.sum()) - 1, 1)
    return carried


def _satisfy(rule: Rule, tuples: Integers, classes: Integers, candidates: Integers, count: int) -> Truths:
    found = np.zeros(len(candidates), dtype=np.bool_)
    for first, counts in _counted(rule.column, tuples, classes, candidates, count):
        found[first : first + len(counts)] = _satisfied(rule, counts)
    return found


def _satisfied(rule: Rule, counts: Integers) -> Truths:
    good: Truths = np.count_nonzero(counts, axis=1) >= rule.distinct
    part = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    if rule.least_entropy >= 0:
        logs = np.log(part, out=np.zeros_like(part), where=part > 0)
        good &= -(part * logs).sum(axis=1) >= rule.least_entropy
    if rule.t <= 1:
        good &= distance(part, rule.reference, rule.ordered) <= rule.t
    return good


def _counted(
    column: Sensitive, tuples: Integers, classes: Integers, candidates: Integers, count: int
) -> Iterator[tuple[int, Integers]]:
    """How often each value occurs in each candidate: where in the candidates, and a matrix, as many as fit at once."""
    place = np.full(count, -1, dtype=np.int64)
    place[candidates] = np.arange(len(candidates))
    at_once = max(1, _CELLS // max(len(column.values), 1))
    for first in range(0, len(candidates), at_once):
        size = min(at_once, len(candidates) - first)
        inside = (place[classes] >= first) & (place[classes] < first + size)
        matrix = np.zeros((size, len(column.values)), dtype=np.int64)
        entries, owner = pairs_of(column, tuples[inside])
        np.add.at(matrix, (place[classes[inside]][owner] - first, column.codes[entries]), column.counts[entries])
        yield first, matrix


def pairs_of(column: Sensitive, tuples: Integers) -> tuple[Integers, Integers]:
    """Where the pairs of these tuples stand in the column, and for each the place of its tuple in `tuples`."""
    lengths = column.starts[tuples + 1] - column.starts[tuples]
    owner = np.repeat(np.arange(len(tuples), dtype=np.int64), lengths)
    ends = np.cumsum(lengths)
    within = np.arange(int(ends[-1]) if len(ends) else 0, dtype=np.int64) - np.repeat(ends - lengths, lengths)
    return column.starts[tuples][owner] + within, owner
