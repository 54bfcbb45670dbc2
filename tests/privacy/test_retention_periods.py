"""When periods end: properties of the one function that says so, and what a manifest may declare of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy import manifest, rules, terms
from privacy.errors import ManifestInvalid
from privacy.manifest import KeepFrom, KeepFromKind, Purpose, Statutory
from privacy.periods import Period
from privacy.retention_periods import ends_at, least_micros
from privacy.tables import micros, moment
from tests.world import MANIFEST

DAY: Final = 86_400_000_000
PLAIN: Final = manifest.parse(MANIFEST, "world.yaml").purposes["membership"]

_FIRST, _LAST = datetime(1990, 1, 1), datetime(2100, 1, 1)  # noqa: DTZ001 - the strategy adds the zone
instants = st.datetimes(_FIRST, _LAST, timezones=st.just(UTC)).map(micros)
periods = st.one_of(
    st.integers(1, 12).map(lambda n: Period(years=n)),
    st.integers(1, 60).map(lambda n: Period(months=n)),
    st.integers(1, 900).map(lambda n: Period(days=n)),
    st.integers(1, 999).map(lambda n: Period(hours=n)),
)


@st.composite
def purposes(draw: st.DrawFn) -> Purpose:
    """Of any kind of beginning, some with a statutory period; whether the two periods fit is not asked."""
    kind = draw(st.sampled_from(list(KeepFromKind)))
    is_event = kind is KeepFromKind.EVENT
    keep_from = KeepFrom(kind, "membership-ended", draw(periods)) if is_event else KeepFrom(kind)
    least = draw(st.none() | periods.map(lambda period: Statutory(period, ("CN-ECL-31",))))
    return replace(PLAIN, keep=draw(periods), keep_from=keep_from, statutory=least)


@given(purposes(), instants, st.none() | instants)
def test_a_period_ends_after_it_began_and_not_before_the_law_lets_it(
    purpose: Purpose, stored: int, kept_from: int | None
) -> None:
    end = ends_at(purpose, stored, kept_from)
    assert end > stored
    if purpose.statutory is not None:
        assert end >= micros(purpose.statutory.keep.after(moment(stored)))


@given(purposes(), instants, instants, st.integers(DAY, 4000 * DAY))
def test_a_later_event_never_ends_a_period_earlier(purpose: Purpose, stored: int, first: int, later: int) -> None:
    """Of two events after storing that are a day apart: less than a day is what months of unequal length make."""
    first = max(first, stored)
    assert ends_at(purpose, stored, first + later) >= ends_at(purpose, stored, first)


@given(purposes(), instants, st.none() | instants)
def test_no_period_is_longer_than_at_most_nor_shorter_than_the_bound_that_the_gate_takes(
    purpose: Purpose, stored: int, kept_from: int | None
) -> None:
    end = ends_at(purpose, stored, kept_from)
    assert end - stored >= least_micros(purpose)
    at_most = purpose.keep_from.at_most
    if at_most is not None and purpose.statutory is None:
        assert end <= micros(at_most.after(moment(stored)))


@given(purposes(), instants, instants)
def test_an_event_before_storing_changes_nothing(purpose: Purpose, stored: int, before: int) -> None:
    before = min(before, stored - 1)
    assert ends_at(purpose, stored, before) == ends_at(purpose, stored, None)


@given(purposes(), instants, st.none() | instants, instants)
def test_the_gate_says_ended_exactly_from_the_end_on(
    purpose: Purpose, stored: int, kept_from: int | None, instant: int
) -> None:
    end = ends_at(purpose, stored, kept_from)
    assert rules.ended(purpose, stored, end, kept_from)
    assert not rules.ended(purpose, stored, end - 1, kept_from)
    assert rules.ended(purpose, stored, instant, kept_from) == (instant >= end)


# --- the manifest


def declared(keep: str) -> manifest.Manifest:
    return manifest.parse(
        MANIFEST.replace('uses: {member: "*"}\n    keep: P3Y', f'uses: {{member: "*"}}\n    {keep}'), "x"
    )


def test_what_a_period_counts_from_and_what_the_law_demands_are_read_and_written() -> None:
    text = (
        "keep: P3Y\n    keep_from: {event: membership-ended, at_most: P10Y, title: {zh: 退会, en: Leaving}}\n"
        "    statutory: {keep: P2Y, law: [CN-ECL-31]}"
    )
    read = declared(text)
    purpose = read.purposes["membership"]
    assert purpose.keep_from == KeepFrom(
        KeepFromKind.EVENT, "membership-ended", Period(years=10), manifest.Text("退会", "Leaving")
    )
    assert purpose.statutory == Statutory(Period(years=2), ("CN-ECL-31",))
    assert manifest.parse(manifest.dump(read), "again") == read
    changes = {one.path: one.after for one in manifest.compare(manifest.parse(MANIFEST, "x"), read)}
    assert changes["purposes.membership.keep_from"] == "membership-ended (退会 / Leaving), at most P10Y"
    assert changes["purposes.membership.statutory"] == "P2Y by law, CN-ECL-31"


@pytest.mark.parametrize(
    ("keep", "code"),
    [
        ("keep: P3Y\n    keep_from: sometime", "bad-keep-from"),
        ("keep: P3Y\n    keep_from: {event: creation, at_most: P9Y}", "bad-keep-from"),
        ("keep: P3Y\n    keep_from: {event: membership-ended}", "missing-key"),
        ("keep: P3Y\n    keep_from: {event: membership-ended, at_most: P2Y}", "at-most-too-short"),
        ("keep: P3Y\n    statutory: {keep: P5Y, law: [CN-ECL-31]}", "keep-below-statutory"),
        ("keep: P3Y\n    statutory: {keep: P1Y}", "missing-key"),
        ("keep: P3Y\n    statutory: {keep: P1Y, law: []}", "empty"),
        ("keep: P3Y\n    statutory: {keep: P1Y, law: [the-law]}", "bad-law"),
    ],
)
def test_a_period_that_cannot_be_is_a_fault_of_the_manifest(keep: str, code: str) -> None:
    with pytest.raises(ManifestInvalid) as refused:
        declared(keep)
    problems = refused.value.context["problems"]
    assert isinstance(problems, list | tuple)
    assert [one.code for one in problems] == [code]


@pytest.mark.parametrize(
    ("before", "after", "is_material"),
    [
        ("keep: P3Y", "keep: P3Y\n    keep_from: last-activity", True),
        ("keep: P3Y\n    keep_from: last-activity", "keep: P3Y", False),
        ("keep: P3Y", "keep: P3Y\n    keep_from: {event: left, at_most: P9Y}", True),
        ("keep: P3Y\n    keep_from: {event: left, at_most: P9Y}", "keep: P3Y", False),
        (
            "keep: P3Y\n    keep_from: {event: left, at_most: P9Y}",
            "keep: P3Y\n    keep_from: {event: left, at_most: P10Y}",
            True,
        ),
        (
            "keep: P3Y\n    keep_from: {event: left, at_most: P9Y}",
            "keep: P3Y\n    keep_from: {event: left, at_most: P8Y}",
            False,
        ),
        ("keep: P3Y", "keep: P3Y\n    statutory: {keep: P1Y, law: [CN-ECL-31]}", False),
    ],
)
def test_people_are_asked_again_when_the_period_may_last_longer(before: str, after: str, is_material: bool) -> None:
    told = [terms.terms_of(declared(text), "membership") for text in (before, after)]
    assert terms.is_material(*told) == is_material
