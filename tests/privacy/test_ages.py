from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.ages import LIMITS, OTHERS, age_on, limit_of

DAYS = st.dates(date(1900, 1, 1), date(2100, 12, 31))
CODES = st.sampled_from([*LIMITS, "US-CA", "DE-BY", "CN-11", "GB-SCT", "JP", "JP-13", "BR"])
EEA = frozenset(
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IS IT LI LT LU LV MT NL NO PL PT RO SE SI SK".split()  # noqa: SIM905 - one line a reader can check
)


def is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


@pytest.mark.parametrize(
    ("jurisdiction", "controller", "years", "law"),
    [
        ("CN", "CN", 14, "PIPL-31"),
        ("CN-11", "DE", 14, "PIPL-31"),
        ("EU", "DE", 16, "GDPR-8"),
        ("DE", "CN", 16, "GDPR-8"),
        ("FR", "FR", 15, "GDPR-8"),
        ("DK", "DK", 15, "GDPR-8"),
        ("SE", "DE", 13, "GDPR-8"),
        ("SE", "CN", 14, "PIPL-31"),
        ("GB", "GB", 13, "GDPR-8"),
        ("GB", "CN-31", 14, "PIPL-31"),
        ("US", "US", 13, "US-COPPA"),
        ("US-CA", "DE", 13, "US-COPPA"),
        ("US-CA", "CN", 14, "PIPL-31"),
        ("JP", "JP", 16, "GDPR-8"),
    ],
)
def test_the_limit_is_the_subjects_law_and_no_lower_than_the_controllers_in_china(
    jurisdiction: str, controller: str, years: int, law: str
) -> None:
    limit = limit_of(jurisdiction, controller)
    assert (limit.years, limit.law) == (years, law)


def test_every_state_of_the_eea_has_a_row_within_what_gdpr_8_lets_it_choose() -> None:
    assert set(LIMITS) > EEA
    assert all(13 <= LIMITS[state].years <= 16 for state in EEA)
    assert all(LIMITS[state].law == "GDPR-8" for state in EEA)
    assert all(limit.source for limit in LIMITS.values())


@given(CODES, CODES)
def test_a_part_of_a_country_has_its_countrys_limit(jurisdiction: str, controller: str) -> None:
    country = jurisdiction.split("-")[0]
    assert limit_of(jurisdiction, controller) == limit_of(country, controller)
    assert limit_of(f"{country}-XX", controller) == limit_of(country, f"{controller.split('-')[0]}-XX")


@given(CODES, CODES)
def test_a_controller_in_china_lowers_no_limit_and_another_changes_none(jurisdiction: str, controller: str) -> None:
    own = LIMITS.get(jurisdiction.split("-")[0], OTHERS)
    assert limit_of(jurisdiction, "CN").years == max(14, own.years)
    if not controller.startswith("CN"):
        assert limit_of(jurisdiction, controller) == own


@pytest.mark.parametrize(
    ("born", "today", "age"),
    [
        ("2012-11-22", "2026-11-21", 13),
        ("2012-11-22", "2026-11-22", 14),
        ("2012-02-29", "2026-02-28", 13),
        ("2012-02-29", "2026-03-01", 14),
        ("2012-02-29", "2028-02-28", 15),
        ("2012-02-29", "2028-02-29", 16),
        ("2026-11-22", "2026-11-22", 0),
        ("2026-11-22", "2026-11-21", -1),
        ("1900-01-01", "2026-01-01", 126),
    ],
)
def test_age_is_in_whole_years(born: str, today: str, age: int) -> None:
    assert age_on(date.fromisoformat(born), date.fromisoformat(today)) == age


@given(DAYS, st.integers(0, 120))
def test_an_age_begins_on_the_birthday_and_not_the_day_before(born: date, years: int) -> None:
    year = born.year + years
    no_such_day = (born.month, born.day) == (2, 29) and not is_leap(year)
    birthday = date(year, 3, 1) if no_such_day else born.replace(year=year)
    assert age_on(born, birthday) == years
    assert age_on(born, birthday - timedelta(days=1)) == years - 1


@given(DAYS, DAYS)
def test_nobody_grows_younger_and_nobody_two_years_older_in_a_day(born: date, today: date) -> None:
    assert age_on(born, today + timedelta(days=1)) - age_on(born, today) in (0, 1)
