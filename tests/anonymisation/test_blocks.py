"""Mondrian blocks: cut in two while that gains and both halves satisfy the policy."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings

from privacy.anonymisation import blocks
from privacy.anonymisation.conditions import conditions
from privacy.anonymisation.generalisation import generalise
from privacy.anonymisation.hierarchies import intervals
from privacy.anonymisation.histogram import of_codes
from privacy.anonymisation.policies import Policy, Recoding
from tests.anonymisation.made_tables import Made, policies, tables

AGES = intervals("age", [str(age) for age in range(20, 60)], (10, 20))


@given(tables(), policies())
@settings(max_examples=50)
def test_every_block_satisfies_the_policy_or_there_is_none(made: Made, policy: Policy) -> None:
    histogram, _ = made.histogram()
    wanted = conditions(histogram, policy)
    found = blocks.cut(histogram, wanted, in_numpy=True)
    everything = np.arange(len(found))
    if (found < 0).any():
        assert (found < 0).all()
        assert not wanted.hold(histogram, everything, np.zeros_like(everything), 1)[0]
    else:
        assert wanted.hold(histogram, everything, found, int(found.max()) + 1).all()


def test_a_block_is_published_under_nodes_and_not_under_its_exact_range() -> None:
    histogram, _ = of_codes([AGES], [AGES.encode(["21"] * 2 + ["28"] * 3 + ["41"] * 4 + ["49"] * 1)])
    found = generalise(histogram, Policy(k=5), Recoding.BLOCKS)
    assert found.labels(0) == ["20-29", "20-29", "40-49", "40-49"]


def test_blocks_lose_less_than_one_level_for_all() -> None:
    generator = np.random.default_rng(11)
    codes = [generator.binomial(39, 0.3, 2_000).astype(np.int32) for _ in range(3)]
    histogram, _ = of_codes([AGES] * 3, codes)
    local, cut, whole = (generalise(histogram, Policy(k=5), one) for one in (Recoding.LOCAL, *_OTHERS))
    assert local.loss <= cut.loss < whole.loss


_OTHERS = (Recoding.BLOCKS, Recoding.FULL_DOMAIN)
