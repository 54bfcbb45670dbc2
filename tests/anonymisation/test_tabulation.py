"""Tables attacked as a recipient would: by the linear system of cells and margins, and by its bounds."""

from __future__ import annotations

from itertools import product
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linprog

from privacy.anonymisation.tabulation import MISSING, Cell, Place, Reason, Rules, Table, tabulate
from privacy.errors import Invalid, UnsafeTable

_SMALL = Rules(minimum=4)


def _made(seed: int, people: int, sizes: tuple[int, ...], rows_each: int = 1) -> dict[str, list[str]]:
    """People with one or more rows, categories far from evenly taken."""
    random = Random(seed)
    columns: dict[str, list[str]] = {name: [] for name in (*(f"d{at}" for at in range(len(sizes))), "person", "money")}
    for person in range(people):
        for _ in range(random.randint(1, rows_each)):
            for at, size in enumerate(sizes):
                columns[f"d{at}"].append(f"{min(int(random.expovariate(0.7)), size - 1)}")
            columns["person"].append(f"p{person}")
            columns["money"].append(str(random.choice([1, 5, 20, 100])))
    return columns


def _tabulated(columns: dict[str, list[str]], dimensions: int, rules: Rules = _SMALL, **more: object) -> Table:
    persons = columns["person"] if len(set(columns["person"])) < len(columns["person"]) else None
    return tabulate(
        columns, [f"d{at}" for at in range(dimensions)],
        keys=np.arange(len(columns["person"])), persons=persons, rules=rules, **more,  # type: ignore[arg-type]  # passed on
    )  # fmt: skip


class _Attack:
    """The unknown inner cells, and what the published ones say of them."""

    def __init__(self, table: Table, figure: int = -1) -> None:
        labels = [sorted({cell.place[at] for cell in table.cells} - {None}) for at in range(len(table.by))]  # type: ignore[type-var]  # without None
        self.inner: list[Place] = list(product(*labels))
        self.told = [cell for cell in table.cells if cell.rows is not None]
        self.hidden = [cell.place for cell in table.cells if cell.rows is None]
        self.matrix = np.array([self.sums(cell.place) for cell in self.told]).reshape(-1, len(self.inner))
        self.values = np.array([self._value(cell, figure) for cell in self.told], dtype=float)

    @staticmethod
    def _value(cell: Cell, figure: int) -> float:
        found = cell.rows if figure < 0 else cell.sums[figure]
        assert found is not None
        return found

    def sums(self, place: Place) -> NDArray[np.float64]:
        """Which inner cells a cell is the sum of."""
        return np.array([float(all(b in (None, a) for a, b in zip(one, place, strict=True))) for one in self.inner])

    def is_determined(self, place: Place) -> bool:
        """Whether the linear system alone gives the cell."""
        if not self.told:
            return False
        both = np.vstack([self.matrix, self.sums(place)])
        return bool(np.linalg.matrix_rank(both) == np.linalg.matrix_rank(self.matrix))

    def bounds(self, place: Place, known: tuple[tuple[Place, float], ...] = ()) -> tuple[float, float]:
        """Where the cell can lie if no cell is negative, and some are known besides."""
        matrix = np.vstack([self.matrix, *(self.sums(one) for one, _ in known)])
        values = np.append(self.values, [value for _, value in known])
        aim, found = self.sums(place), []
        for sign in (1, -1):
            solved = linprog(sign * aim, A_eq=matrix, b_eq=values, bounds=(0, None), method="highs")
            found.append(float("inf") if solved.status == 3 else sign * float(solved.fun))
        return found[0], found[1]


def _true(columns: dict[str, list[str]], place: Place, of: str | None = None) -> float:
    dimensions = [columns[f"d{at}"] for at in range(len(place))]
    inside = [all(b in (None, a) for a, b in zip(one, place, strict=True)) for one in zip(*dimensions, strict=True)]
    if of == "person":
        return len({person for person, within in zip(columns["person"], inside, strict=True) if within})
    values = columns[of] if of else ["1"] * len(inside)
    return sum(float(value) for value, within in zip(values, inside, strict=True) if within)


def _safe_table(columns: dict[str, list[str]], dimensions: int, rules: Rules = _SMALL, **more: object) -> Table:
    try:
        return _tabulated(columns, dimensions, rules, **more)
    except UnsafeTable:
        assume(False)
        raise


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    people=st.integers(20, 120),
    sizes=st.sampled_from([(4,), (3, 3), (4, 3), (2, 3, 2)]),
    rows_each=st.sampled_from([1, 3]),
)
def test_no_suppressed_cell_can_be_computed_back(
    seed: int, people: int, sizes: tuple[int, ...], rows_each: int
) -> None:
    columns = _made(seed, people, sizes, rows_each)
    table = _safe_table(columns, len(sizes))
    attack = _Attack(table)
    for place in attack.hidden:
        assert not attack.is_determined(place)
    for cell in attack.told:
        assert cell.rows == _true(columns, cell.place)
        assert _true(columns, cell.place, "person") in {0, *range(_SMALL.minimum, 10_000)}
    small = [place for place in attack.hidden if 0 < _true(columns, place, "person") < _SMALL.minimum]
    for place in small:
        low, high = attack.bounds(place)
        assert high - low >= _SMALL.minimum - 1e-6


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), sizes=st.sampled_from([(4,), (3, 3)]))
def test_who_is_alone_in_a_cell_cannot_compute_another(seed: int, sizes: tuple[int, ...]) -> None:
    """The one person of a cell knows its figure, which the others do not."""
    columns = _made(seed, 60, sizes)
    attack = _Attack(_safe_table(columns, len(sizes)))
    alone = [place for place in attack.hidden if _true(columns, place) == 1]
    small = [place for place in attack.hidden if 0 < _true(columns, place) < _SMALL.minimum]
    for own in alone:
        for place in small:
            if not (set(np.flatnonzero(attack.sums(own))) & set(np.flatnonzero(attack.sums(place)))):
                low, high = attack.bounds(place, ((own, 1.0),))
                assert high - low >= _SMALL.minimum - 1e-6


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_no_sum_can_be_estimated_closer_than_p_percent_of_its_largest_share(seed: int) -> None:
    columns = _made(seed, 80, (3, 3))
    table = _safe_table(columns, 2, sums=["money"])
    attack = _Attack(table, figure=0)
    for place in attack.hidden:
        people = _true(columns, place, "person")
        if 0 < people < _SMALL.minimum:
            low, high = attack.bounds(place)
            assert high - low >= 0.1 * _true(columns, place, "money") / people - 1e-6


def _column(**cells: int) -> list[str]:
    return [label for label, count in cells.items() for _ in range(count)]


def _one(column: list[str], rules: Rules | None = None, **more: object) -> Table:
    return tabulate({"d": column}, ["d"], keys=np.arange(len(column)), rules=rules, **more)  # type: ignore[arg-type]  # passed on


def _rows(table: Table) -> dict[str | None, int | None]:
    return {cell.place[0]: cell.rows for cell in table.cells}


def test_a_cell_of_ten_is_suppressed_and_another_with_it() -> None:
    """The margin less the other cells would be the ten."""
    found = _rows(_one(_column(a=10, b=30, c=12, d=40)))
    assert found == {"a": None, "b": 30, "c": None, "d": 40, None: 92}


def test_small_cells_do_not_hide_behind_each_other_alone() -> None:
    """The margin less the others would be their sum: seven."""
    found = _rows(_one(_column(a=3, b=4, c=30, d=40)))
    assert found == {"a": None, "b": None, "c": None, "d": 40, None: 77}


def test_cells_of_few_persons_with_many_rows_hide_behind_many_persons() -> None:
    """Six rows of two and thirty of three: together enough rows, but five persons."""
    whose = [*["p", "q"] * 3, *["r", "s", "t"] * 10, *(f"u{at}" for at in range(50))]
    found = _rows(_one(_column(a=6, b=30, c=20, d=30), Rules(minimum=6), persons=whose))
    assert found == {"a": None, "b": None, "c": None, "d": 30, None: 86}


def test_a_cell_of_eleven_is_published_and_for_the_public_one_of_twenty() -> None:
    assert _rows(_one(_column(a=11, b=30)))["a"] == 11
    public = Rules(minimum=20)
    assert _rows(_one(_column(a=19, b=30, c=40), public))["a"] is None
    assert _rows(_one(_column(a=20, b=30, c=40), public))["a"] == 20


def test_a_cell_that_nobody_is_in_is_a_nought() -> None:
    columns = {"d": _column(a=20, b=20), "e": ["x"] * 20 + ["x"] * 10 + ["y"] * 10}
    found = tabulate(columns, ["d", "e"], keys=np.arange(40), rules=Rules(minimum=5))
    assert {cell.place: cell.rows for cell in found.cells}["a", "y"] == 0


def test_a_cell_of_many_rows_of_few_persons_is_suppressed() -> None:
    column, persons = _column(a=50, b=30, c=30), [f"p{at % 3}" if at < 50 else f"q{at}" for at in range(110)]
    assert _rows(_one(column))["a"] == 50
    assert _rows(_one(column, persons=persons))["a"] is None


def test_a_sum_that_one_person_makes_up_is_suppressed_by_dominance() -> None:
    column = _column(a=15, b=15, c=15)
    money = ["1000", *["1"] * 14, *["100"] * 30]
    found = tabulate({"d": column, "money": money}, ["d"], keys=np.arange(45), sums=["money"])
    assert _rows(found)["a"] is None
    assert dict(found.reasons)[Reason.DOMINANCE] == 1


def test_a_sum_whose_largest_share_the_second_could_guess_is_suppressed_by_p_percent() -> None:
    """Shares of 100 and 80 and little else: less than 10 % of 100 is left; a loose dominance rule lets it pass."""
    money = ["100", "80", *["0.5"] * 13, *["10"] * 30]
    table = tabulate(
        {"d": _column(a=15, b=15, c=15), "money": money}, ["d"],
        keys=np.arange(45), sums=["money"], rules=Rules(dominance=1.0),
    )  # fmt: skip
    assert _rows(table)["a"] is None
    assert dict(table.reasons)[Reason.P_PERCENT] == 1


def test_what_is_published_does_not_say_why() -> None:
    written = str(_one(_column(a=10, b=30, c=12, d=40)).as_json())
    assert "complementary" not in written
    assert "reasons" not in written


def test_a_table_of_fewer_than_the_minimum_is_refused() -> None:
    with pytest.raises(UnsafeTable):
        _one(_column(a=10))


def test_a_table_that_cannot_hide_its_small_cell_is_refused_or_loses_its_margin() -> None:
    """Of two small cells and nothing else, the total must go, and then nothing is left to publish safely."""
    found = _rows(_one(_column(a=3, b=12)))
    assert found["a"] is None
    assert [found["b"], found[None]].count(None) >= 1


def test_missing_categories_are_one_and_numbers_stand_in_order() -> None:
    table = tabulate({"d": [None] * 11 + ["10"] * 11 + ["9"] * 11}, ["d"], keys=np.arange(33))
    assert [cell.place[0] for cell in table.cells] == [MISSING, "9", "10", None]


def test_what_makes_no_table_is_refused_without_its_values() -> None:
    keys = np.arange(2)
    for columns, by, sums in (
        ({"d": ["a", "b"]}, ["e"], []),
        ({"d": ["a", "b"]}, [], []),
        ({"d": ["a"]}, ["d"], []),
        ({"d": ["a", "b"], "m": ["1", "secret"]}, ["d"], ["m"]),
        ({"d": ["a", "b"], "m": ["1", "inf"]}, ["d"], ["m"]),
    ):
        with pytest.raises(Invalid) as refused:
            tabulate(columns, by, keys=keys, sums=sums)
        assert "secret" not in str(refused.value)
    with pytest.raises(Invalid):
        Rules(minimum=1)
