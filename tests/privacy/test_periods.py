from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from privacy.errors import Invalid
from privacy.periods import Period, longest

PERIODS = st.builds(
    Period,
    years=st.integers(0, 30),
    months=st.integers(0, 200),
    weeks=st.integers(0, 500),
    days=st.integers(1, 3000),
    hours=st.integers(0, 50_000),
)
ZONES = st.integers(-14, 14).map(lambda hours: timezone(timedelta(hours=hours)))
MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=ZONES)  # noqa: DTZ001


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("P3Y", Period(years=3)),
        ("P6M", Period(months=6)),
        ("P2W", Period(weeks=2)),
        ("P30D", Period(days=30)),
        ("PT48H", Period(hours=48)),
        ("P1Y2M3W4DT5H", Period(1, 2, 3, 4, 5)),
        ("P01Y0M", Period(years=1)),
        ("P100Y", Period(years=100)),
    ],
)
def test_a_period_is_read_from_its_iso_8601_text(text: str, period: Period) -> None:
    assert Period.parse(text) == period


@pytest.mark.parametrize(
    "text",
    [
        *("", "P", "PT", "P1", "3Y", "P3y", " P3Y", "P3Y\n", "p3y", "P1YT", "3 years", "P1M1Y"),
        *("P0D", "PT0H", "P0Y0M", "-P1Y", "P-1Y", "+P1Y", "P1.5Y", "P0,5Y", "PT90M", "PT1S", "P\uff13Y"),
        *(
            "P101Y",
            "P1201M",
            "P36525D",
            "PT9999999H",
            "P100YT1H",
            "P99999999999999999999Y",
            "P" + "9" * 5000 + "Y",
        ),
    ],
)
def test_anything_else_is_refused_with_what_a_right_one_looks_like(text: str) -> None:
    with pytest.raises(Invalid, match=r"P3Y.*P6M.*P30D.*PT48H"):
        Period.parse(text)


@pytest.mark.parametrize("parts", [{}, {"years": -1, "days": 400}, {"days": 1.5}, {"days": True}, {"hours": "2"}])
def test_a_period_cannot_be_built_from_wrong_parts(parts: dict[str, object]) -> None:
    with pytest.raises(Invalid, match="P3Y"):
        Period(**parts)  # type: ignore[arg-type]


@given(PERIODS)
def test_a_period_survives_its_own_text(period: Period) -> None:
    assert Period.parse(str(period)) == period
    assert str(Period.parse(str(period))) == str(period)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("P1M", "2026-01-31T10:00", "2026-02-28T10:00"),
        ("P1M", "2028-01-31T10:00", "2028-02-29T10:00"),
        ("P1Y", "2028-02-29T00:00", "2029-02-28T00:00"),
        ("P4Y", "2028-02-29T00:00", "2032-02-29T00:00"),
        ("P1M", "2026-02-28T00:00", "2026-03-28T00:00"),
        ("P3M", "2026-11-30T23:59", "2027-02-28T23:59"),
        ("P1M1D", "2026-01-31T00:00", "2026-03-01T00:00"),
        ("P2W", "2026-12-25T00:00", "2027-01-08T00:00"),
        ("PT48H", "2026-12-31T12:00", "2027-01-02T12:00"),
    ],
)
def test_a_period_ends_on_the_calendar_day_that_corresponds(text: str, start: str, end: str) -> None:
    assert Period.parse(text).after(at(start)) == at(end)


def test_the_calendar_day_is_counted_in_utc() -> None:
    # 28 February, 23:00 UTC
    march_in_shanghai = datetime(2026, 3, 1, 7, 0, tzinfo=timezone(timedelta(hours=8)))
    end = Period(months=1).after(march_in_shanghai)
    assert (end, end.tzinfo) == (at("2026-03-28T23:00"), UTC)


@given(PERIODS, MOMENTS)
def test_a_period_always_ends_later_than_it_begins(period: Period, moment: datetime) -> None:
    assert period.after(moment) > moment


@given(PERIODS, MOMENTS, st.sampled_from(["years", "months", "weeks", "days", "hours"]), st.integers(1, 10))
def test_a_longer_period_never_ends_earlier(period: Period, moment: datetime, part: str, more: int) -> None:
    parts = {name: getattr(period, name) for name in ("years", "months", "weeks", "days", "hours")}
    parts[part] += more
    assert Period(**parts).after(moment) >= period.after(moment)


@given(PERIODS, MOMENTS, MOMENTS)
def test_a_later_beginning_ends_earlier_by_less_than_a_day_if_at_all(
    period: Period, one: datetime, other: datetime
) -> None:
    first, second = sorted((one, other))
    assert period.after(first) - period.after(second) < timedelta(days=1)


@given(st.integers(0, 90), st.integers(0, 100), MOMENTS)
def test_months_keep_the_day_or_clamp_it_to_the_last_of_the_month(years: int, months: int, moment: datetime) -> None:
    assume(years + months > 0)
    start, end = moment.astimezone(UTC), Period(years=years, months=months).after(moment)
    assert (end.year - start.year) * 12 + end.month - start.month == years * 12 + months
    assert end.day == min(start.day, calendar.monthrange(end.year, end.month)[1])
    assert end.timetz() == start.timetz()


def test_a_naive_moment_is_refused() -> None:
    with pytest.raises(Invalid, match="time zone"):
        Period(days=1).after(datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize("text", ["P1Y", "P12M", "P366D", "PT9000H"])
def test_a_period_past_the_last_year_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="9999"):
        Period.parse(text).after(at("9999-02-01"))


def test_a_moment_that_utc_cannot_hold_is_refused() -> None:
    with pytest.raises(Invalid, match="outside"):
        Period(days=1).after(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=8))))


def test_the_longest_period_depends_on_the_moment() -> None:
    month, days = Period(months=1), Period(days=30)
    assert longest([month, days], at("2026-02-10")) == days
    assert longest([month, days], at("2026-03-10")) == month
    assert longest([days, Period(hours=720)], at("2026-03-10")) == days


def test_there_is_no_longest_of_no_periods() -> None:
    with pytest.raises(Invalid):
        longest([], at("2026-01-01"))


@given(st.lists(PERIODS, min_size=1, max_size=5), MOMENTS)
def test_the_longest_period_outlasts_the_others(periods: list[Period], moment: datetime) -> None:
    assert longest(periods, moment).after(moment) == max(period.after(moment) for period in periods)
