"""Tables of one lineage, one after the other: none may differ from another by a few people."""

from __future__ import annotations

from itertools import chain, combinations
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.anonymisation.differencing import OUT, Parts, refuse_differencing
from privacy.anonymisation.tabulation import Rules, Table, tabulate
from privacy.errors import UnsafeTable

_RULES = Rules(minimum=5)
_AGES = [age for age in range(20, 60) for _ in range(6)]


def _table(
    ages: list[int], width: int, *, keys: range | list[int] | None = None, earlier: Table | None = None
) -> Table:
    return tabulate(
        {"age": [str(age // width * width) for age in ages]}, ["age"],
        keys=np.array(keys if keys is not None else range(len(ages))), rules=_RULES,
        earlier={"earlier": earlier.parts} if earlier else None,
    )  # fmt: skip


def test_the_same_table_again_is_no_difference() -> None:
    _table(_AGES, 10, earlier=_table(_AGES, 10))


def test_finer_categories_of_the_same_people_differ_by_whole_cells() -> None:
    _table(_AGES, 5, earlier=_table(_AGES, 10))


def test_everybody_and_everybody_but_a_few_is_refused() -> None:
    """The table of those who stayed, from that of all: four newcomers."""
    before = _table(_AGES[:-4], 10)
    with pytest.raises(UnsafeTable) as refused:
        _table(_AGES, 10, earlier=before)
    assert refused.value.context["earlier"] == "earlier"


def test_everybody_and_everybody_but_many_is_published() -> None:
    _table(_AGES, 60, earlier=_table(_AGES[:-20], 60))


def test_newcomers_who_are_many_together_but_few_in_a_cell_are_refused() -> None:
    """Eight newcomers, four in each of two cells."""
    ages = [*_AGES, *[25] * 4, *[45] * 4]
    with pytest.raises(UnsafeTable):
        _table(ages, 10, earlier=_table(_AGES, 10))


def test_a_nested_set_of_the_same_people_is_refused() -> None:
    """All of them, and those of a flag that two do not have."""
    everybody = _table(_AGES, 10)
    flagged = [at for at in range(len(_AGES)) if at not in (7, 100)]
    with pytest.raises(UnsafeTable):
        _table([_AGES[at] for at in flagged], 10, keys=flagged, earlier=everybody)


def test_unions_of_cells_that_differ_by_a_few_are_refused() -> None:
    """No cell lies within a cell: only the first two of each, together, differ by the three who are 40."""
    ages = [*[25] * 10, *[35] * 10, *[40] * 3, *[50] * 10]
    first = ["a"] * 5 + ["b"] * 5 + ["a"] * 5 + ["b"] * 5 + ["c"] * 13
    second = ["d"] * 10 + ["e"] * 10 + ["e"] * 3 + ["f"] * 10
    keys = np.arange(len(ages))
    before = tabulate({"x": first}, ["x"], keys=keys, rules=_RULES)
    with pytest.raises(UnsafeTable):
        tabulate({"x": second}, ["x"], keys=keys, rules=_RULES, earlier={"earlier": before.parts})


def test_other_categories_of_the_same_people_that_nothing_nests_are_published() -> None:
    """Who is in a crossing of two tables is told by neither, however few they are."""
    random = Random(2)
    keys = np.arange(120)
    before = tabulate({"x": [random.choice("abcdefgh") for _ in keys]}, ["x"], keys=keys, rules=_RULES)
    tabulate(
        {"y": [random.choice("ijklmnop") for _ in keys]}, ["y"], keys=keys, rules=_RULES, earlier={"one": before.parts}
    )


def test_persons_are_counted_and_not_their_rows() -> None:
    """Twelve new rows, all of one person."""

    def table(rows: int, earlier: Table | None) -> Table:
        return tabulate(
            {"x": ["a"] * rows}, ["x"], keys=np.arange(rows), rules=_RULES,
            persons=[f"p{at}" if at < 60 else "newcomer" for at in range(rows)],
            earlier={"one": earlier.parts} if earlier else None,
        )  # fmt: skip

    with pytest.raises(UnsafeTable):
        table(72, table(60, None))


def test_one_newcomer_in_many_groups_is_one_person() -> None:
    """The six groups together are the earlier one and a newcomer, who has a row in each."""
    whose = np.array([f"p{at}" for at in range(60)] + ["newcomer"] * 6)
    here = Parts(np.arange(66), whose, (np.arange(66) % 6,))
    before = Parts(np.arange(60), whose[:60], (np.zeros(60, dtype=np.int64),))
    with pytest.raises(UnsafeTable):
        refuse_differencing(here, before, 5, "earlier")


def test_what_is_left_of_a_margin_is_a_group_too() -> None:
    """The suppressed cells of a line are its margin less the others; a cell of all of them but two differs by two."""
    cells = {("1", "a"): 3, ("1", "b"): 20, ("1", "c"): 40, ("2", "a"): 20, ("2", "b"): 30, ("2", "c"): 40}
    places = [place for place, count in cells.items() for _ in range(count)]
    keys = np.arange(len(places))
    columns = {"x": [x for x, _ in places], "y": [y for _, y in places]}
    before = tabulate(columns, ["x", "y"], keys=keys, rules=_RULES)
    hidden = {cell.place for cell in before.cells if cell.rows is None}
    assert {place for place in hidden if None not in place} == {(x, y) for x in "12" for y in "ab"}
    of_first_line = [at for at, place in enumerate(places) if place in hidden and place[0] == "1"]
    random = Random(5)
    other = [random.choice("vw") for _ in keys]
    for at in of_first_line[2:]:
        other[at] = "z"
    with pytest.raises(UnsafeTable):
        tabulate({"o": other}, ["o"], keys=keys, rules=_RULES, earlier={"one": before.parts})


def _unions(groups: list[int]) -> list[set[int]]:
    told = sorted(set(groups) - {OUT})
    return [set(one) for one in chain.from_iterable(combinations(told, size) for size in range(len(told) + 1))]


def _by_hand(first: list[int], second: list[int], minimum: int) -> bool:
    def rows_of(groups: list[int]) -> list[set[int]]:
        return [{row for row, group in enumerate(groups) if group in union} for union in _unions(groups)]

    pairs = [(one, other) for one in rows_of(first) for other in rows_of(second)]
    return any(
        (inner <= outer and 0 < len(outer - inner) < minimum)
        for one, other in pairs
        for inner, outer in ((one, other), (other, one))
    )


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(-1, 2), st.integers(-1, 2)), min_size=1, max_size=18),
    minimum=st.integers(2, 4),
)
def test_a_small_difference_is_found_exactly_when_some_unions_have_one(
    rows: list[tuple[int, int]], minimum: int
) -> None:
    """Against trying every union of groups of the one with every union of groups of the other."""
    first, second = [one for one, _ in rows], [other for _, other in rows]
    keys = np.arange(len(rows))
    here, before = (Parts(keys, None, (np.array(groups, dtype=np.int64),)) for groups in (first, second))
    expected = _by_hand(first, second, minimum)
    try:
        refuse_differencing(here, before, minimum, "earlier")
        found = False
    except UnsafeTable:
        found = True
    assert found == expected
