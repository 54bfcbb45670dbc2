"""When jobs are due: once a day on every day, those on which clocks are moved included."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.schedules import Daily, Every
from privacy.tables import micros, moment

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
_DAY = 86_400_000_000

# Broken by hand: `fold=1` (the second 02:30 of autumn); `due >= instant` (due for ever at its own instant); the search
# from the day after.


def dues(daily: Daily, since: datetime, until: datetime) -> list[str]:
    """Every due time between the two, as the zone's clocks show it."""
    found, instant = [], micros(since)
    while (instant := daily.following(instant)) < micros(until):
        found.append(moment(instant).astimezone(daily.zone).strftime("%d %H:%M %z"))
    return found


@pytest.mark.parametrize(
    ("zone", "day", "expected"),
    [
        # 02:30 does not exist on 29 March 2026 in Berlin, nor on 8 March in New York
        (BERLIN, datetime(2026, 3, 28, tzinfo=BERLIN), ["28 02:30 +0100", "29 03:30 +0200", "30 02:30 +0200"]),
        (NEW_YORK, datetime(2026, 3, 7, tzinfo=NEW_YORK), ["07 02:30 -0500", "08 03:30 -0400", "09 02:30 -0400"]),
        # 02:30 comes twice on 25 October in Berlin; 01:30 does on 1 November in New York, 02:30 once
        (BERLIN, datetime(2026, 10, 24, tzinfo=BERLIN), ["24 02:30 +0200", "25 02:30 +0200", "26 02:30 +0100"]),
        (NEW_YORK, datetime(2026, 10, 31, tzinfo=NEW_YORK), ["31 02:30 -0400", "01 02:30 -0500", "02 02:30 -0500"]),
    ],
    ids=["berlin-spring", "new-york-spring", "berlin-autumn", "new-york-autumn"],
)
def test_a_daily_job_is_due_once_on_the_days_on_which_clocks_are_moved(
    zone: ZoneInfo, day: datetime, expected: list[str]
) -> None:
    assert dues(Daily(time(2, 30), zone), day, day + timedelta(days=3)) == expected


def test_of_a_time_that_comes_twice_the_first_is_meant() -> None:
    day = datetime(2026, 11, 1, tzinfo=NEW_YORK)
    assert dues(Daily(time(1, 30), NEW_YORK), day, day + timedelta(days=1)) == ["01 01:30 -0400"]


@given(
    since=st.integers(micros(datetime(2020, 1, 1, tzinfo=UTC)), micros(datetime(2035, 1, 1, tzinfo=UTC))),
    at=st.times(timezones=st.none()),
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Shanghai", "Australia/Lord_Howe", "UTC"]),
)
def test_a_daily_job_is_due_once_on_every_day_of_its_zone(since: int, at: time, zone: str) -> None:
    daily = Daily(at, ZoneInfo(zone))
    instant, days = since, []
    for _ in range(5):
        following = daily.following(instant)
        assert 0 < following - instant <= _DAY + 2 * 3_600_000_000
        assert daily.following(following - 1) == following
        days.append(moment(following).astimezone(daily.zone).date())
        instant = following
    # an hour that does not exist may carry a time of the last minutes of a day into the next
    gaps = [(after - before).days for before, after in pairwise(days)]
    assert sum(gaps) in (4, 5)


def test_an_interval_counts_from_now_so_that_missed_turns_are_one() -> None:
    every = Every(timedelta(minutes=5))
    assert every.first(7) == 7
    assert every.following(7) == 7 + 300_000_000
    assert (str(every), str(Every(timedelta(seconds=1.5)))) == ("every 5 min", "every 1.5 s")
    assert str(Daily(time(3, 20), BERLIN)) == "daily 03:20 Europe/Berlin"
