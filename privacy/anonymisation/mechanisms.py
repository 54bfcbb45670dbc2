"""How each statistic is measured: the exact whole numbers of the data, noise for what one subject can move, the answer.

Two data sets are neighbours when one has a subject more, with all its rows. Of a subject at most C rows count, chosen
at random whatever they hold, so a subject moves

    count      by C rows
    sum        by C times the greater of the bounds, sign aside; values are cut to the bounds first
    mean       the sum of the distances from the middle of the bounds by C (upper - lower) half units, the rows by C;
               half of the loss each, for either may be what is uncertain
    histogram  cells that have no row in common by C in all, and so by no more in L2
    quantile   the balance (1 - rank) rows up to a candidate, less rank rows above it, by C max(rank, 1 - rank);
               three binary searches (for the value and for each end of its interval) ask for as many noisy
               balances as their longest paths have, whichever they take

A subject without a value has no part in a sum, a mean or a quantile, and is in the rest of a histogram. Bounds, keys
and candidates are the question's. The interval of an answer holds what it says of the bounded data in 95 of 100 cases;
what bounding rows and values takes away is not in it.
"""

from __future__ import annotations

import secrets
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, assert_never
from uuid import UUID

from privacy.anonymisation.noise import Gaussian, gaussian, half_width, nano
from privacy.anonymisation.questions import Axis, Key, Point, Question, Statistic
from privacy.manifest import ValueType
from privacy.values import Value

CONFIDENCE: Final = 0.95
_BETA: Final = 1 - CONFIDENCE
_DICE: Final = secrets.SystemRandom()

Interval = tuple[Point, Point]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a histogram: of a key, or of what is from `lower` up to, without, `upper`; of neither: the rest."""

    key: Key | None
    lower: Point | None
    upper: Point | None
    value: int
    interval: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Reading:
    """What noisy numbers say. A histogram has `cells`, each with its own interval, and no `value`.

    `accuracy`: how far the value is from the exact one at most, with the same confidence; in days or seconds on
    such an axis.
    """

    value: Point | None
    interval: Interval | None
    accuracy: float
    cells: tuple[Cell, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Mechanism:
    """A question with its noise. `loss` in nano-rho is the sum of what OpenDP's maps answer for it."""

    question: Question
    gaussians: tuple[Gaussian, ...]
    steps: int
    loss: int

    @property
    def scales(self) -> tuple[float, ...]:
        return tuple(one.scale for one in self.gaussians)

    def release(self, exact: Sequence[int], times: int = 1) -> list[list[int]]:
        """Noisy numbers, as often as is said, each time with fresh noise. Each time costs `loss`."""
        match self.question.statistic:
            case Statistic.COUNT | Statistic.SUM | Statistic.HISTOGRAM:
                size, noisy = len(exact), self.gaussians[0].add([*exact] * times)
                return [noisy[n : n + size] for n in range(0, size * times, size)]
            case Statistic.MEAN:
                parts = [one.add([number] * times) for one, number in zip(self.gaussians, exact, strict=True)]
                return [[*both] for both in zip(*parts, strict=True)]
            case Statistic.QUANTILE:
                return _search(exact, self.gaussians[0], self.steps, times)
            case _:
                assert_never(self.question.statistic)


def mechanism(question: Question) -> Mechanism:
    """The noise that costs at most the question's rho. It looks at the question alone."""
    rho, rows = question.rho / 1e9, question.contributions
    steps = 1
    gaussians: tuple[Gaussian, ...]
    match question.statistic:
        case Statistic.COUNT | Statistic.HISTOGRAM:
            gaussians = (gaussian(rows, rho),)
        case Statistic.SUM:
            gaussians = (gaussian(rows * max(map(abs, question.points)), rho),)
        case Statistic.MEAN:
            lower, upper = question.points
            gaussians = (gaussian(rows * (upper - lower), rho / 2), gaussian(rows, rho / 2))
        case Statistic.QUANTILE:
            steps = 3 * (len(question.points) - 1).bit_length()
            gaussians = (gaussian(rows * max(_rank(question), 1000 - _rank(question)), rho / steps),)
        case _:
            assert_never(question.statistic)
    return Mechanism(question, gaussians, steps, nano(sum(one.loss for one in gaussians) * steps))


def bounded(subjects: Sequence[UUID], contributions: int) -> list[int]:
    """Which rows count: of each subject at most so many, chosen at random and not by what they hold."""
    rows: dict[UUID, list[int]] = {}
    for n, subject in enumerate(subjects):
        rows.setdefault(subject, []).append(n)
    return [
        n for own in rows.values() for n in (own if len(own) <= contributions else _DICE.sample(own, contributions))
    ]


def exact(question: Question, column: Sequence[Value] | None, rows: Sequence[int]) -> list[int]:
    """The whole numbers that noise is added to; they never leave the process."""
    if question.statistic is Statistic.COUNT or column is None:
        return [len(rows)]
    if question.keys:
        return _by_key([column[n] for n in rows], question.keys)
    axis = _axis(question)
    found = [units for n in rows if (units := axis.units(column[n])) is not None]
    match question.statistic:
        case Statistic.SUM:
            lower, upper = question.points
            return [sum(max(lower, min(upper, units)) for units in found)]
        case Statistic.MEAN:
            lower, upper = question.points
            middle = lower + upper
            return [sum(2 * max(lower, min(upper, units)) - middle for units in found), len(found)]
        case Statistic.HISTOGRAM:
            return _by_edge(found, question.points, len(rows))
        case Statistic.QUANTILE:
            return _balances(found, question.points, _rank(question))
        case _:
            assert_never(question.statistic)


def _by_key(values: Sequence[Value], keys: Sequence[Key]) -> list[int]:
    kind = type(keys[0])  # True is 1 to a dictionary, and must not be here
    counted = Counter(value for value in values if type(value) is kind)
    cells = [counted[key] for key in keys]
    return [*cells, len(values) - sum(cells)]


def _by_edge(found: Sequence[int], edges: Sequence[int], rows: int) -> list[int]:
    counted = Counter(bisect_right(edges, units) for units in found)
    cells = [counted[n] for n in range(1, len(edges))]
    return [*cells, rows - sum(cells)]


def _balances(found: Sequence[int], candidates: Sequence[int], rank: int) -> list[int]:
    """For each candidate, in thousandths of rows; none is negative from the quantile on."""
    counted = Counter(bisect_left(candidates, units) for units in found)
    balances, below = [], 0
    for n in range(len(candidates)):
        below += counted[n]
        balances.append((1000 - rank) * below - rank * (len(found) - below))
    return balances


def _search(balances: Sequence[int], noise: Gaussian, steps: int, times: int) -> list[list[int]]:
    """Of each release the place of the quantile, and the first and the last where it surely is.

    Three searches with a third of the steps each: for the last place that is surely below (further than noise goes in
    all steps), for the first that surely is not, and for the quantile between them. The last candidate stands for all
    above it.
    """
    width = half_width(noise.scale, _BETA / steps)
    first, last = [0] * times, [len(balances) - 1] * times
    least = _first(balances, noise, first, last, -width, steps // 3)
    most = _first(balances, noise, least, last, width, steps // 3)
    found = _first(balances, noise, least, most, 0, steps // 3)
    return [[*places] for places in zip(found, least, most, strict=True)]


def _first(
    balances: Sequence[int], noise: Gaussian, low: Sequence[int], high: Sequence[int], target: int, steps: int
) -> list[int]:
    """Binary searches side by side: the first place whose noisy balance reaches the target, else `high`."""
    low, high = [*low], [*high]
    for _ in range(steps):
        middle = [(one + other) // 2 for one, other in zip(low, high, strict=True)]
        noisy = noise.add([balances[place] for place in middle])
        for n, (place, balance) in enumerate(zip(middle, noisy, strict=True)):
            if low[n] == high[n]:
                continue
            if balance >= target:
                high[n] = place
            else:
                low[n] = place + 1
    return low


# --- what noisy numbers say


def read(question: Question, noisy: Sequence[int], scales: Sequence[float], *, clamp: bool = False) -> Reading:
    """The answer; it looks at noisy numbers alone, and so costs nothing. `clamp`: no count below none.

    Without it counts are unbiased, and a sum of them is no more wrong than it must be.
    """
    match question.statistic:
        case Statistic.COUNT:
            width = half_width(scales[0], _BETA)
            value, interval = _counted(noisy[0], width, clamp=clamp)
            return Reading(value, interval, width)
        case Statistic.SUM:
            return _read_sum(question, noisy[0], half_width(scales[0], _BETA), clamp=clamp)
        case Statistic.MEAN:
            return _read_mean(question, noisy, scales)
        case Statistic.HISTOGRAM:
            width = half_width(scales[0], _BETA)
            return Reading(None, None, width, _cells(question, noisy, width, clamp=clamp))
        case Statistic.QUANTILE:
            axis, candidates = _axis(question), question.points
            value, least, most = (candidates[n] for n in noisy)
            accuracy = axis.length(max(value - least, most - value))
            return Reading(axis.shown(value), (axis.shown(least), axis.shown(most)), accuracy)
        case _:
            assert_never(question.statistic)


def _counted(noisy: int, width: int, *, clamp: bool) -> tuple[int, tuple[int, int]]:
    least = 0 if clamp else noisy - width
    return max(least, noisy) if clamp else noisy, (max(least, noisy - width), max(least, noisy + width))


def _read_sum(question: Question, noisy: int, width: int, *, clamp: bool) -> Reading:
    axis, (lower, upper) = _axis(question), question.points

    def cut(units: int) -> Point:
        units = max(0, units) if clamp and lower >= 0 else min(0, units) if clamp and upper <= 0 else units
        return axis.shown(units)

    return Reading(cut(noisy), (cut(noisy - width), cut(noisy + width)), axis.length(width))


def _read_mean(question: Question, noisy: Sequence[int], scales: Sequence[float]) -> Reading:
    """Both numbers are within their widths but for half of the chance each, so the quotient is within its extremes."""
    axis, (lower, upper) = _axis(question), question.points
    (distance, rows), middle = noisy, (lower + upper) / 2
    off, missing = (half_width(scale, _BETA / 2) for scale in scales)

    def cut(units: float) -> float:
        return max(float(lower), min(float(upper), units))

    value = cut(middle + distance / (2 * rows)) if rows > 0 else middle
    least, most = float(lower), float(upper)
    if rows - missing > 0:
        ends = [middle + (distance + far) / (2 * (rows + more)) for far in (-off, off) for more in (-missing, missing)]
        least, most = cut(min(ends)), cut(max(ends))
    value = max(least, min(most, value))
    return Reading(
        axis.shown(value), (axis.shown(least), axis.shown(most)), axis.length(max(value - least, most - value))
    )


def _cells(question: Question, noisy: Sequence[int], width: int, *, clamp: bool) -> tuple[Cell, ...]:
    labels: list[tuple[Key | None, Point | None, Point | None]] = [(key, None, None) for key in question.keys]
    if not question.keys:
        points = [_axis(question).shown(point) for point in question.points]
        labels = [(None, lower, upper) for lower, upper in pairwise(points)]
    labels.append((None, None, None))
    return tuple(Cell(*label, *_counted(count, width, clamp=clamp)) for label, count in zip(labels, noisy, strict=True))


def _rank(question: Question) -> int:
    return question.rank if question.rank is not None else 500


def _axis(question: Question) -> Axis:
    return question.axis if question.axis is not None else Axis(ValueType.INTEGER)
