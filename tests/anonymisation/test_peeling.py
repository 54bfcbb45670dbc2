"""Local recoding: each tuple at the first node of the lattice where its class is large enough."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from privacy.anonymisation import lattices, peeling
from privacy.anonymisation.conditions import conditions
from privacy.anonymisation.generalisation import generalise
from privacy.anonymisation.hierarchies import Hierarchy, intervals, of_paths
from privacy.anonymisation.histogram import Histogram, of_codes
from privacy.anonymisation.joining import join_rest
from privacy.anonymisation.policies import Policy, Recoding, SensitiveRule
from tests.anonymisation.made_tables import Made, tables

AGES = intervals("age", [str(age) for age in range(20, 60)], (10, 20))


def ages(*counts: tuple[int, int]) -> Histogram:
    """So many persons of each age."""
    return of_codes([AGES], [AGES.encode([str(age) for age, count in counts for _ in range(count)])])[0]


@given(tables())
@settings(max_examples=30)
def test_the_walk_goes_through_every_node_once_from_fine_to_coarse(made: Made) -> None:
    histogram, _ = made.histogram()
    walk = [tuple(levels) for levels in lattices.walk(histogram).tolist()]
    assert len(set(walk)) == len(walk) == lattices.size(histogram)
    assert walk[0] == (0,) * len(made.hierarchies)
    scores = [
        sum(part[level] ** 2 for part, level in zip(lattices.marginal_losses(histogram), levels, strict=True))
        for levels in walk
    ]
    assert scores == pytest.approx(sorted(scores))


def test_each_value_keeps_as_much_as_its_class_allows() -> None:
    found = generalise(ages((25, 5), (31, 3), (38, 2), (41, 4), (55, 1)), Policy(k=5), Recoding.LOCAL)
    assert found.labels(0) == ["25", "30-39", "30-39", "40-59", "40-59"]
    assert found.suppressed_rows == 0


def test_a_label_is_tightened_to_what_is_in_the_class() -> None:
    paths = [("a", "A", "AB", "*"), ("b", "A", "AB", "*"), ("c", "B", "AB", "*"), ("d", "D", "D", "*")]
    hierarchy = of_paths("x", paths)
    both = [hierarchy, AGES]
    codes = [hierarchy.encode(["a", "b", "c", "c"]), AGES.encode(["25", "25", "35", "35"])]
    histogram, _ = of_codes(both, codes)
    found = generalise(histogram, Policy(k=2), Recoding.LOCAL)
    assert found.labels(0) == ["A", "A", "c"]
    assert found.labels(1) == ["25", "25", "35"]


def test_what_is_left_over_is_suppressed_only_within_the_limit() -> None:
    """Three of 55 make no class of five: beyond the limit they are joined with another class."""
    histogram = ages((25, 50), (55, 3))
    suppressed = generalise(histogram, Policy(k=5, suppression=0.1), Recoding.LOCAL)
    assert (suppressed.labels(0), suppressed.suppressed_rows) == (["25", "*"], 3)
    joined = generalise(histogram, Policy(k=5, suppression=0.05), Recoding.LOCAL)
    assert (joined.labels(0), joined.suppressed_rows) == (["*", "*"], 0)


def test_joining_gives_up_the_cheapest_class_that_helps() -> None:
    """Of three classes, the small one makes the rest diverse; the large ones keep their labels."""
    large = [("20", "a", 40), ("20", "b", 40), ("40", "a", 30), ("40", "b", 30)]
    small = [("30", "a", 3), ("30", "b", 3)]
    counts = [*large, *small, ("59", "a", 6)]
    rows = [(age, illness) for age, illness, count in counts for _ in range(count)]
    illnesses = np.asarray([0 if illness == "a" else 1 for _, illness in rows], dtype=np.int32)
    histogram, _ = of_codes(
        [AGES], [AGES.encode([age for age, _ in rows])], sensitive=[("illness", ("a", "b"), illnesses)]
    )
    policy = Policy(k=5, suppression=0, sensitive=(SensitiveRule("illness", distinct_l=2),))
    assert generalise(histogram, policy, Recoding.LOCAL).labels(0) == ["20", "*", "40", "*"]
    wanted = conditions(histogram, policy)
    joined = join_rest(histogram, wanted, np.asarray([0, 1, 2, -1], dtype=np.int64), 0)
    assert joined[1] == joined[3]
    assert len(set(joined.tolist())) == 3


def test_columns_of_more_values_than_a_key_holds_are_peeled_alike_in_both_paths() -> None:
    wide = _wide()
    generator = np.random.default_rng(7)
    codes = [generator.integers(0, 4, 300).astype(np.int32) * 9_000 for _ in range(6)]
    histogram, _ = of_codes([wide] * 6, codes)
    wanted = conditions(histogram, Policy(k=3))
    ours, theirs = (peeling.peel(histogram, wanted, in_numpy=in_numpy) for in_numpy in (True, False))
    assert len(set(ours.tolist())) > 3
    assert len({(a, b) for a, b in zip(ours.tolist(), theirs.tolist(), strict=True)}) == len(set(ours.tolist()))


def _wide() -> Hierarchy:
    """40,000 values: four such columns fill 62 bits."""
    return of_paths("code", [(str(value), str(value // 10_000)) for value in range(40_000)])
