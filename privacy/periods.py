"""Storage periods: ISO 8601 durations, and the instant at which they end.

Months and years follow the calendar: the period ends on the day with the same number, or on the last day of
a month that has no such day (Civil Code of the PRC art. 202; Regulation (EEC, Euratom) 1182/71 art. 3(2)(c)).
Both laws let the period run to the end of that day; `Period.after` stops at the same time of day, in UTC, so
what is kept for a period is never kept longer than the law's own count.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Final

from privacy.errors import Invalid

_EXAMPLES: Final = "a period is written like P3Y (years), P6M (months), P2W (weeks), P30D (days), PT48H (hours)"
_LONGEST_MONTHS: Final = 1200
_DAYS_IN_4800_MONTHS: Final = 146_097  # the Gregorian calendar repeats after 400 years
# Seven digits hold a hundred years of hours; a bound here keeps int() from working on a long text.
_FORM: Final = re.compile(
    r"P(?:(?P<years>[0-9]{1,7})Y)?(?:(?P<months>[0-9]{1,7})M)?(?:(?P<weeks>[0-9]{1,7})W)?"
    r"(?:(?P<days>[0-9]{1,7})D)?(?:T(?P<hours>[0-9]{1,7})H)?"
)


@dataclass(frozen=True, slots=True)
class Period:
    """A length of time of more than nothing and at most a hundred years.

    Parts are kept as given: P12M and P1Y end at the same instants and are still two periods.
    Raises Invalid for a part that is no whole number or is negative, for nothing at all and for too much.
    """

    years: int = 0
    months: int = 0
    weeks: int = 0
    days: int = 0
    hours: int = 0

    def __post_init__(self) -> None:
        parts = [getattr(self, part.name) for part in fields(self)]
        if any(type(part) is not int or part < 0 for part in parts):
            raise Invalid(f"The parts of a period are whole numbers, none negative: {_EXAMPLES}")
        if not any(parts):
            raise Invalid(f"A period is longer than nothing: {_EXAMPLES}")
        months, hours = self.years * 12 + self.months, (self.weeks * 7 + self.days) * 24 + self.hours
        if months * _DAYS_IN_4800_MONTHS * 24 + hours * 4800 > _LONGEST_MONTHS * _DAYS_IN_4800_MONTHS * 24:
            raise Invalid(f"A period is at most a hundred years (P100Y): {_EXAMPLES}")

    @classmethod
    def parse(cls, text: str) -> Period:
        """The period that `text` names: ISO 8601, designators in upper case, whole numbers.

        Raises Invalid with the forms that would be right; minutes, seconds, fractions and signs are refused.
        """
        found = _FORM.fullmatch(text)
        if found is None or not any(found.groups()):
            raise Invalid(f"This is not a period: {_EXAMPLES}")
        return cls(**{name: int(number) for name, number in found.groupdict().items() if number is not None})

    def __str__(self) -> str:
        """The canonical ISO 8601 text, without parts that are zero; `parse` gives back an equal period."""
        date = "".join(
            f"{number}{letter}"
            for number, letter in ((self.years, "Y"), (self.months, "M"), (self.weeks, "W"), (self.days, "D"))
            if number
        )
        return f"P{date}" + (f"T{self.hours}H" if self.hours else "")

    @property
    def least_micros(self) -> int:
        """A lower bound of the period's length, in microseconds: February has 28 days."""
        days = self.years * 365 + self.months * 28 + self.weeks * 7 + self.days
        return (days * 24 + self.hours) * 3_600_000_000

    def after(self, moment: datetime) -> datetime:
        """The instant, in UTC, at which the period begun at `moment` is over; always later than `moment`.

        Years and months first, clamped to the month's last day; then weeks, days and hours.
        Because of the clamp a later beginning may end earlier, by less than a day (30 January 23:00 and
        31 January 01:00, plus a month). Raises Invalid for a naive `moment` and past the year 9999.
        """
        start = _utc(moment)
        count = start.year * 12 + start.month - 1 + self.years * 12 + self.months
        year, month = divmod(count, 12)
        try:
            day = min(start.day, calendar.monthrange(year, month + 1)[1])
            shift = timedelta(weeks=self.weeks, days=self.days, hours=self.hours)
            return start.replace(year=year, month=month + 1, day=day) + shift
        except (OverflowError, ValueError):
            raise Invalid("The period ends past the last date that can be stored, the year 9999") from None


def longest(periods: Iterable[Period], moment: datetime) -> Period:
    """The period that ends last when all begin at `moment`; of equals the first. Raises Invalid for none.

    Periods have no order of their own: P1M is shorter than P30D in February and longer in March.
    """
    chosen = max(periods, key=lambda period: period.after(moment), default=None)
    if chosen is None:
        raise Invalid("There is no period to choose from")
    return chosen


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise Invalid("A moment needs its time zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise Invalid("The moment lies outside the years 1 to 9999") from None
