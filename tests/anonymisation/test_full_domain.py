"""The level of each column that loses least."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings

from privacy.anonymisation import full_domain, losses
from privacy.anonymisation.conditions import conditions
from privacy.anonymisation.generalisation import generalise
from privacy.anonymisation.hierarchies import intervals, of_paths
from privacy.anonymisation.histogram import of_codes
from privacy.anonymisation.policies import Policy, Recoding, SensitiveRule
from privacy.errors import Invalid
from tests.anonymisation.made_tables import Made, broken_by, policies, skewed, tables


@given(tables(), policies())
@settings(max_examples=80)
def test_no_node_of_the_lattice_is_better(made: Made, policy: Policy) -> None:
    """Beside every node, each judged row by row. Every row is a person: weights are a lower bound of anything else."""
    made = replace(made, persons=tuple(range(len(made.rows))))
    histogram, _ = made.histogram()
    limit = int(policy.suppression * len(made.rows) + 1e-9)
    best = full_domain.best_node(histogram, conditions(histogram, policy), limit, in_numpy=True)
    losses = {levels: _loss(made, policy, levels, limit) for levels in _lattice(made)}
    possible = {levels: loss for levels, loss in losses.items() if loss is not None}
    if best is None:
        assert possible == {}
        return
    assert best.loss == pytest.approx(min(possible.values()), abs=1e-9)
    assert possible[best.levels] == pytest.approx(best.loss, abs=1e-9)


def _lattice(made: Made) -> list[tuple[int, ...]]:
    return list(product(*(range(hierarchy.levels) for hierarchy in made.hierarchies)))


def _loss(made: Made, policy: Policy, levels: tuple[int, ...], limit: int) -> float | None:
    """Of a node; nothing where it leaves out too many rows."""
    classes: dict[tuple[int, ...], list[int]] = defaultdict(list)
    lost = {}
    for row, values in enumerate(made.rows):
        groups, loss = [], 0.0
        for hierarchy, level, value in zip(made.hierarchies, levels, values, strict=True):
            groups.append(int(hierarchy.groups[level, hierarchy.leaves.index(value)]))
            loss += float(hierarchy.widths[level][groups[-1]]) / len(levels)
        classes[tuple(groups)].append(row)
        lost[row] = loss
    out = 0
    for rows in classes.values():
        if broken_by(made, rows, range(len(made.rows)), policy):
            out += len(rows)
            lost |= dict.fromkeys(rows, 1.0)
    return sum(lost.values()) / len(lost) if out <= limit else None


def test_a_coarser_node_that_leaves_out_more_rules_out_no_finer_one() -> None:
    """Joined, y drags x below the entropy asked for; apart, only y is left out."""
    hierarchy = of_paths("x", [("x", "xy"), ("y", "xy"), ("z", "z")])
    listed = [("x", 0, 2), ("x", 1, 2), ("y", 0, 6), ("z", 0, 20), ("z", 1, 20)]
    rows = [(value, illness) for value, illness, count in listed for _ in range(count)]
    illnesses = np.asarray([illness for _, illness in rows], dtype=np.int32)
    codes = hierarchy.encode([value for value, _ in rows])
    histogram, _ = of_codes([hierarchy], [codes], sensitive=[("illness", "ab", illnesses)])
    policy = Policy(k=2, suppression=0.15, sensitive=(SensitiveRule("illness", entropy_l=1.8),))
    found = generalise(histogram, policy, Recoding.FULL_DOMAIN)
    assert (found.levels, found.suppressed_rows) == ((0,), 6)


def test_a_node_that_leaves_out_too_much_is_not_best_however_little_it_loses() -> None:
    # Broken by hand: the limit not asked for where a coarser node may leave out less.
    histogram = skewed()
    policy = Policy(k=2, suppression=0.1, sensitive=(SensitiveRule("illness", t=0.3),))
    best = full_domain.best_node(histogram, conditions(histogram, policy), 1, in_numpy=True)
    assert best is not None
    assert best.levels == (1,)
    assert not best.suppressed.any()


def test_equal_labels_under_different_parents_are_one_class() -> None:
    # Broken by hand: classes told by nodes, not by what a recipient reads.
    tree = of_paths("place", [("a", "x", "north", "*"), ("b", "x", "south", "*")])
    nodes = tree.nodes(1)[:, None].astype(np.int32)
    assert len(set(nodes[:, 0].tolist())) == 2
    assert losses.classes([tree], nodes, np.zeros(2, dtype=np.bool_))[1] == 1


def test_a_lattice_too_large_to_hold_is_refused_but_by_blocks() -> None:
    ages = intervals("age", map(str, range(2**10)), [2**power for power in range(1, 10)])
    histogram, _ = of_codes([ages] * 8, [np.zeros(5, dtype=np.int32)] * 8)
    for recoding in (Recoding.FULL_DOMAIN, Recoding.LOCAL):
        with pytest.raises(Invalid):
            generalise(histogram, Policy(), recoding)
    assert generalise(histogram, Policy()).recoding is Recoding.BLOCKS
