"""What one subject can move, what noise makes of it, and what the answer says: measured, not believed.

The empirical loss: of 10,000 releases on each of two neighbouring data sets, half choose an event, the other half bound
its probabilities (Chernoff). By the data-processing inequality no event may tell the two apart better than
the declared loss allows: the Renyi divergence of order a of the two coins is at most a times rho, for every a.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from datetime import date
from typing import Any, Final
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.anonymisation.mechanisms import Mechanism, bounded, exact, mechanism, read
from privacy.anonymisation.noise import NANO
from privacy.anonymisation.questions import Asked, Question, Statistic, question
from privacy.manifest import ValueType
from privacy.values import Value

RUNS: Final = 10_000
RHO: Final = 0.5
ROWS: Final = 3  # that a subject may contribute
_CHANCE: Final = 1e-7  # that a bound of the test does not hold
_DATES: Final = tuple(f"2026-01-{day:02}" for day in range(1, 31))


def ask(statistic: Statistic, rho: float = RHO, rows: int = ROWS, **more: Any) -> Question:
    field = None if statistic is Statistic.COUNT else "stars"
    asked = Asked(statistic, "statistics", "member", rho=rho, contributions=rows, field=field, **more)
    return question(asked, None if field is None else ValueType.INTEGER, date(2026, 1, 31))


EACH: Final = {
    "count": ask(Statistic.COUNT),
    "sum": ask(Statistic.SUM, bounds=(-2, 10)),
    "mean": ask(Statistic.MEAN, bounds=(0, 10)),
    "histogram by key": ask(Statistic.HISTOGRAM, keys=(0, 5, 10)),
    "histogram by edge": ask(Statistic.HISTOGRAM, edges=(0, 5, 11)),
    "quantile": ask(Statistic.QUANTILE, candidates=(0, 2, 4, 6, 8), rank=0.25),
}
# A draw of noise takes twenty microseconds: few cells and steps for what is drawn ten thousand times.
RELEASED: Final = {name: EACH[name] for name in ("count", "sum", "mean")} | {
    "histogram": ask(Statistic.HISTOGRAM, keys=(5,)),
    "quantile": ask(Statistic.QUANTILE, candidates=(4, 8), rank=0.25),
}


def subject(number: int) -> UUID:
    return UUID(int=number)


def people(rows: Sequence[tuple[int, Value]]) -> tuple[list[UUID], list[Value]]:
    return [subject(who) for who, _ in rows], [value for _, value in rows]


def counted(asked: Question, rows: Sequence[tuple[int, Value]]) -> list[int]:
    subjects, column = people(rows)
    return exact(asked, column, bounded(subjects, asked.contributions))


# --- what one subject moves

values = st.one_of(st.none(), st.integers(-20, 20))
others = st.lists(st.tuples(st.integers(1, 6), values), max_size=30)
own = st.lists(values, min_size=1, max_size=10)


@pytest.mark.parametrize("asked", EACH.values(), ids=EACH)
@given(rows=others, more=own)
def test_a_subject_moves_no_number_further_than_its_noise_is_made_for(
    asked: Question, rows: list[tuple[int, Value]], more: list[Value]
) -> None:
    # Broken by hand: contributions not bounded; values not cut to the bounds; the sensitivity of a sum by its upper
    # bound alone; that of a mean by half; that of a quantile by its rank alone.
    rows = [row for row in rows if sum(1 for one in rows if one[0] == row[0]) <= asked.contributions]  # none is dropped
    without, with_one = counted(asked, rows), counted(asked, [*rows, *((0, value) for value in more)])
    moved = [abs(one - other) for one, other in zip(without, with_one, strict=True)]
    noise = mechanism(asked).gaussians
    if asked.statistic is Statistic.MEAN:
        assert moved[0] <= noise[0].sensitivity
        assert moved[1] <= noise[1].sensitivity
    elif asked.statistic is Statistic.QUANTILE:  # each step is a question of its own
        assert max(moved) <= noise[0].sensitivity
    else:
        assert math.hypot(*moved) <= noise[0].sensitivity


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(1, 4))
def test_of_each_subject_at_most_so_many_rows_count_and_of_one_with_fewer_all(owners: list[int], most: int) -> None:
    kept = bounded([subject(one) for one in owners], most)
    assert len(set(kept)) == len(kept)
    for one in set(owners):
        assert sum(owners[n] == one for n in kept) == min(most, owners.count(one))


def test_which_rows_count_does_not_depend_on_what_they_hold_or_where_they_stand() -> None:
    seen = [bounded([subject(1)] * 4, 1)[0] for _ in range(4000)]
    assert all(abs(seen.count(n) / 4000 - 0.25) < 0.06 for n in range(4))


# --- what the noise hides


@pytest.mark.parametrize("name", RELEASED)
def test_no_event_of_ten_thousand_runs_tells_neighbours_apart_better_than_declared(name: str) -> None:
    # Broken by hand: noise of half the scale; a mean that spends twice the whole on each of its parts.
    asked = RELEASED[name]
    crowd: list[tuple[int, Value]] = [(who, value) for who, value in enumerate([0, 3, 5, 5, 7, 10] * 3, start=1)]
    worst: dict[str, Value] = {"mean": 10, "sum": 99, "quantile": 1}
    rows = [*crowd, *((0, worst.get(name, 5)) for _ in range(9))]
    without, with_one = counted(asked, crowd), counted(asked, rows)
    assert without != with_one
    made = mechanism(asked)
    assert made.loss <= RHO * NANO
    found = empirical_loss(_scores(made, without, with_one), made.loss / NANO)
    assert found <= made.loss / NANO, name
    assert found > 0.02 * made.loss / NANO, "the test would see nothing"


def _scores(made: Mechanism, one: Sequence[int], other: Sequence[int]) -> tuple[list[float], list[float]]:
    """Each release as one number: where it lies between the two exact ones, by the scales of its noise."""
    weights = [*made.scales] if len(made.scales) == len(one) else [made.scales[0]] * len(one)
    runs = made.release(one, RUNS), made.release(other, RUNS)
    if made.question.statistic is Statistic.QUANTILE:
        return [float(sum(run)) for run in runs[0]], [float(sum(run)) for run in runs[1]]
    towards = [(b - a) / weight**2 for a, b, weight in zip(one, other, weights, strict=True)]

    def score(run: Sequence[int]) -> float:
        return sum(number * weight for number, weight in zip(run, towards, strict=True))

    return [score(run) for run in runs[0]], [score(run) for run in runs[1]]


def empirical_loss(samples: tuple[list[float], list[float]], rho: float) -> float:
    """The least rho that the samples are compatible with, but for a chance of `_CHANCE`; `rho` hints at orders."""
    half = len(samples[0]) // 2
    training, testing = ([sample[at : at + half] for sample in samples] for at in (0, half))
    places = sorted({value for sample in training for value in sorted(sample)[:: half // 20]})
    best = max(places, key=lambda place: _least_loss(training, place, rho))
    return _least_loss(testing, best, rho)


def _least_loss(samples: Sequence[Sequence[float]], place: float, rho: float) -> float:
    """That of the event "at least `place`" and of its contrary, with whichever data set first."""
    size = len(samples[0])
    counts = [sum(value >= place for value in sample) for sample in samples]
    found = 0.0
    for one, other in (counts, counts[::-1]):
        for n, m in ((one, other), (size - one, size - other)):
            least, most = _end(n / size, 0.0, size), _end(m / size, 1.0, size)
            found = max(found, _coin_loss(least, most, rho) if least > most else 0.0)
    return found


def _end(share: float, towards: float, size: int) -> float:
    """How far towards 0 or 1 the probability behind an observed share may be (Chernoff's bound)."""
    near, far = share, towards
    for _ in range(40):
        middle = (near + far) / 2
        parts = ((share, middle), (1 - share, 1 - middle))
        distance = sum(one * math.log(one / max(other, 1e-300)) for one, other in parts if one > 0)
        near, far = (middle, far) if size * distance < -math.log(_CHANCE) else (near, middle)
    return far


def _coin_loss(one: float, other: float, rho: float) -> float:
    """The greatest D_a(one || other) / a of two coins."""
    one, other = (min(1 - 1e-9, max(1e-9, share)) for share in (one, other))
    found = one * math.log(one / other) + (1 - one) * math.log((1 - one) / (1 - other))  # order 1
    for order in (1.5, 2.0, 3.0, 1 + 1 / math.sqrt(rho)):
        total = one**order * other ** (1 - order) + (1 - one) ** order * (1 - other) ** (1 - order)
        found = max(found, math.log(total) / (order - 1) / order)
    return found


# --- what the answer says


def test_without_clamping_counts_are_unbiased_and_with_it_none_is_negative() -> None:
    asked = ask(Statistic.COUNT, rho=0.01)
    made = mechanism(asked)
    runs = made.release([1], 4000)
    signed = [read(asked, run, made.scales).value for run in runs]
    clamped = [read(asked, run, made.scales, clamp=True).value for run in runs]
    assert min(int(str(one)) for one in signed) < 0
    assert abs(sum(int(str(one)) for one in signed) / 4000 - 1) < 6 * made.scales[0] / math.sqrt(4000)
    assert min(int(str(one)) for one in clamped) == 0


@pytest.mark.parametrize("rho", [0.02, 2.0])
@pytest.mark.parametrize("name", EACH)
def test_intervals_hold_the_exact_number_in_95_of_100_cases(name: str, rho: float) -> None:
    # Broken by hand: half of the width; a quantile's searches for its bounds without the width of the noise.
    dice = random.Random(name)
    crowd: list[tuple[int, Value]] = [(who, dice.randint(-3, 13)) for who in range(300)]
    asked = ask(EACH[name].statistic, rho, 1, **_POINTS[name])
    made, numbers = mechanism(asked), counted(asked, crowd)
    true = _true(asked, numbers)
    held = 0
    for run in made.release(numbers, 500):
        found = read(asked, run, made.scales)
        interval = found.interval if found.interval is not None else found.cells[0].interval
        held += float(interval[0]) - 1e-9 <= true <= float(interval[1]) + 1e-9
    assert held >= 500 * 0.95 - 25  # five standard errors


_POINTS: Final[dict[str, dict[str, Any]]] = {
    "count": {},
    "sum": {"bounds": (-2, 10)},
    "mean": {"bounds": (0, 10)},
    "histogram by key": {"keys": (0, 5, 10)},
    "histogram by edge": {"edges": (0, 5, 11)},
    "quantile": {"candidates": tuple(range(-3, 14)), "rank": 0.25},
}


def _true(asked: Question, numbers: Sequence[int]) -> float:
    match asked.statistic:
        case Statistic.MEAN:
            return sum(asked.points) / 2 + numbers[0] / (2 * numbers[1])
        case Statistic.QUANTILE:
            return asked.points[next(n for n, balance in enumerate(numbers) if balance >= 0)]
    return numbers[0]


def test_a_quantile_is_found_where_noise_is_small() -> None:
    asked = ask(Statistic.QUANTILE, rho=100.0, rows=1, candidates=tuple(range(100)), rank=0.5)
    made = mechanism(asked)
    (run,) = made.release(counted(asked, [(who, who % 100) for who in range(5000)]))
    found = read(asked, run, made.scales)
    assert 48 <= float(found.value or 0) <= 51
    assert found.interval is not None
    assert found.accuracy <= 10


def test_what_is_in_no_cell_is_in_the_rest_and_so_is_what_has_no_value() -> None:
    rows: list[tuple[int, Value]] = [(1, 0), (2, 5), (3, 5), (4, 7), (5, None), (6, True)]
    assert counted(EACH["histogram by key"], rows) == [1, 2, 0, 3]
    assert counted(EACH["histogram by edge"], rows) == [1, 3, 2]


def test_dates_are_days_and_their_mean_is_a_date() -> None:
    asked = question(
        Asked(Statistic.MEAN, "p", "t", rho=100.0, contributions=1, field="on", bounds=("2026-01-01", "2026-01-31")),
        ValueType.DATE,
        date(2026, 1, 31),
    )
    made = mechanism(asked)
    subjects, column = people([(n, _DATES[n % 30]) for n in range(3000)])
    (run,) = made.release(exact(asked, column, bounded(subjects, 1)))
    found = read(asked, run, made.scales)
    assert str(found.value) in {"2026-01-15", "2026-01-16"}
    assert found.accuracy < 1
