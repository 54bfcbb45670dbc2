"""What a release risks, before and after, as figures: the report that is kept with it.

Risks are those of one row being led back to its person by somebody who knows the quasi-identifiers (El Emam 2008):
the *prosecutor* knows that the person is in the release, the *journalist* only that the person is in the population,
the *marketer* wants as many rows as possible and a share of errors does not matter. All three follow from the sizes of
the classes. They say nothing of sensitive values: l and t do, and the limits in words say what none of them does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from privacy.anonymisation.joint_releases import JointRelease
from privacy.anonymisation.measured import Attribute, Classes, Diversity, Measured, Size, WorstClass
from privacy.anonymisation.release_requests import RecipientClass
from privacy.anonymisation.risk_limits import limits_of
from privacy.errors import Invalid
from privacy.manifest import Text

# Classes that stand together in the histogram: from these sizes on.
BUCKETS: Final = (1, 2, 5, 10, 20, 50, 100, 1000)
_ROUNDING: Final = 1 + 1e-12


@dataclass(frozen=True, slots=True)
class Prosecutor:
    """Of the rows: the `highest` risk, the `mean`, and the share whose risk is `above` the threshold."""

    highest: float
    mean: float
    above: float


class Basis(StrEnum):
    """Where the size of a class in the population is from: counted, or the release's own over the sampling fraction."""

    TABLE = "population-table"
    FRACTION = "sampling-fraction"


@dataclass(frozen=True, slots=True)
class Journalist:
    """As `Prosecutor`, of classes as large as they are in the population; `smallest` of them is the k of a k-map.

    `marketer` is the share of the rows that a marketer is expected to lead back rightly.
    """

    basis: Basis
    smallest: int
    highest: float
    mean: float
    above: float

    @property
    def marketer(self) -> float:
        """The expected share of right matches: the mean, row by row, of one over the class in the population."""
        return self.mean


@dataclass(frozen=True, slots=True)
class Bucket:
    """Of the classes of `least` to `most` persons (None: and more): how many, and which share of the rows they hold."""

    least: int
    most: int | None
    classes: int
    share: float


@dataclass(frozen=True, slots=True)
class Figures:
    """One side of the report. `unique_rows` belong to somebody who is alone in a class."""

    rows: int
    persons: int
    classes: int
    k: int
    prosecutor: Prosecutor
    unique_rows: int
    unique_share: float
    average_class_size: float
    discernibility: int
    sizes: tuple[Bucket, ...]
    attributes: tuple[Attribute, ...]
    sensitive: tuple[Diversity, ...]


@dataclass(frozen=True, slots=True)
class RiskReport:
    """Figures and published labels only: nothing in it is a value of a person.

    `average_class_size` of a side is rows / (classes k) with the `k` asked for (LeFevre 2006): 1 is the best.
    `discernibility` adds rows left out times all rows (Bayardo 2005). `marketer` is by the population where known.
    """

    recipient: RecipientClass
    k: int
    threshold: float
    by_person: bool
    suppressed_rows: int
    suppressed_share: float
    loss: float | None
    before: Figures
    after: Figures
    journalist: Journalist | None
    marketer: float
    worst: tuple[WorstClass, ...]
    quasi: tuple[str, ...]
    joint: tuple[JointRelease, ...]
    limits: tuple[Text, ...]

    def as_json(self) -> dict[str, object]:
        """JSON values; the limits as {"zh": [...], "en": [...]}."""
        found = asdict(self)
        found["joint"] = [one.as_json() for one in self.joint]
        found["limits"] = {language: [one.in_language(language) for one in self.limits] for language in ("zh", "en")}
        return found


def report(
    before: Measured,
    after: Measured,
    *,
    k: int,
    recipient: RecipientClass,
    by_person: bool = False,
    threshold: float | None = None,
    loss: float | None = None,
    is_local: bool = False,
    journalist: Journalist | None = None,
    joint: Sequence[JointRelease] = (),
) -> RiskReport:
    """The report of a release `after`, made from `before`: both as `checking` measured them.

    `threshold` of the risk of a row: without one, 1/k. `by_person`: sizes count distinct persons. `is_local`: equal
    values may have different labels. Raises Invalid: k or the threshold make no sense.
    """
    bound = 1 / k if threshold is None and k > 0 else threshold
    if k < 1 or bound is None or not 0 < bound <= 1:
        raise Invalid("k must be at least 1 and the threshold between 0 and 1", zh="k 至少为 1，阈值须在 0 与 1 之间")
    left_out = max(0, before.rows - after.rows)
    now = _figures(after, k, bound, left_out * before.rows)
    return RiskReport(
        recipient=recipient,
        k=k,
        threshold=bound,
        by_person=by_person,
        suppressed_rows=left_out,
        suppressed_share=_share(left_out, before.rows),
        loss=loss,
        before=_figures(before, k, bound, 0),
        after=now,
        journalist=journalist,
        marketer=journalist.marketer if journalist else now.prosecutor.mean,
        worst=after.worst,
        quasi=after.quasi,
        joint=tuple(joint),
        limits=limits_of(
            is_public=recipient is RecipientClass.PUBLIC,
            is_local=is_local,
            by_person=by_person,
            has_sensitive=bool(after.sensitive),
            has_homogeneous=any(one.homogeneous_classes for one in after.sensitive),
            is_estimated=journalist is not None and journalist.basis is Basis.FRACTION,
        ),
    )


def prosecutor(measured: Measured, threshold: float) -> Prosecutor:
    """All zero of a table without rows."""
    rows, sizes = measured.rows, measured.sizes
    return Prosecutor(
        highest=_share(1, measured.k),
        mean=_share(sum(size.rows / size.persons for size in sizes), rows),
        above=_share(sum(size.rows for size in sizes if _is_above(1 / size.persons, threshold)), rows),
    )


def journalist_by_fraction(measured: Measured, fraction: float, threshold: float) -> Journalist:
    """By the share of the population that was drawn, evenly, into the release's source. An expectation, not a proof.

    Raises Invalid unless 0 < fraction <= 1.
    """
    if not 0 < fraction <= 1:
        raise Invalid("a sampling fraction lies between 0 and 1", zh="抽样比例须在 0 与 1 之间")
    rows = measured.rows
    risks = [(fraction / size.persons, size.rows) for size in measured.sizes]
    return Journalist(
        basis=Basis.FRACTION,
        smallest=int(measured.k / fraction),
        highest=max((risk for risk, _ in risks), default=0.0),
        mean=_share(sum(risk * held for risk, held in risks), rows),
        above=_share(sum(held for risk, held in risks if _is_above(risk, threshold)), rows),
    )


def journalist_by_table(
    grouped: Classes, population: Mapping[tuple[str | None, ...], int], threshold: float
) -> Journalist:
    """By a table of the population: persons for each combination of labels, in the order of `grouped.quasi`.

    The population holds at least those who are in the release, whatever the table says.
    """
    labels = zip(*(column.tolist() for column in grouped.labels), strict=True) if grouped.labels else iter([()])
    counted = np.fromiter((population.get(one, 0) for one in labels), np.int64, count=len(grouped.rows))
    sizes = np.maximum(counted, grouped.persons)
    rows = int(grouped.rows.sum())
    risk = 1 / sizes
    above = risk > threshold * _ROUNDING
    return Journalist(
        basis=Basis.TABLE,
        smallest=int(sizes.min()) if len(sizes) else 0,
        highest=float(risk.max(initial=0.0)),
        mean=_share(float((risk * grouped.rows).sum()), rows),
        above=_share(int(grouped.rows[above].sum()), rows),
    )


def _figures(measured: Measured, k: int, threshold: float, left_out: int) -> Figures:
    alone = sum(size.rows for size in measured.sizes if size.persons == 1)
    return Figures(
        rows=measured.rows,
        persons=measured.persons,
        classes=measured.classes,
        k=measured.k,
        prosecutor=prosecutor(measured, threshold),
        unique_rows=alone,
        unique_share=_share(alone, measured.rows),
        average_class_size=_share(measured.rows, measured.classes * k),
        discernibility=measured.discernibility + left_out,
        sizes=_buckets(measured.sizes, measured.rows),
        attributes=measured.attributes,
        sensitive=measured.sensitive,
    )


def _buckets(sizes: Sequence[Size], rows: int) -> tuple[Bucket, ...]:
    ends = [*(start - 1 for start in BUCKETS[1:]), None]
    found = []
    for least, most in zip(BUCKETS, ends, strict=True):
        within = [size for size in sizes if least <= size.persons and (most is None or size.persons <= most)]
        held = sum(size.rows for size in within)
        found.append(Bucket(least, most, sum(size.classes for size in within), _share(held, rows)))
    return tuple(found)


def _is_above(risk: float, threshold: float) -> bool:
    return risk > threshold * _ROUNDING


def _share(part: float, whole: int) -> float:
    return part / whole if whole else 0.0
