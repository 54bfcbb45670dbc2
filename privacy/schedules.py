"""When a job is due: pure functions of an instant, so that a test can take them anywhere.

Instants are microseconds since 1970, UTC. A daily job names a local time and a zone. On the day on which that time
does not exist the job is due when it would have been had the clocks not been moved (02:30 becomes 03:30); on the day
on which it comes twice, at the first. Either way once (`zoneinfo`, PEP 495 fold=0).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from privacy.tables import micros, moment


@dataclass(frozen=True, slots=True)
class Every:
    """Due `interval` after the last run began."""

    interval: timedelta

    def first(self, instant: int) -> int:
        """At once."""
        return instant

    def following(self, instant: int) -> int:
        return instant + self.interval // timedelta(microseconds=1)

    def __str__(self) -> str:
        seconds = self.interval.total_seconds()
        for length, letter in ((86_400, "d"), (3600, "h"), (60, "min")):
            if seconds >= length and seconds % length == 0:
                return f"every {seconds / length:g} {letter}"
        return f"every {seconds:g} s"


@dataclass(frozen=True, slots=True)
class Daily:
    """Due once each day of the zone, at its local time `at`."""

    at: time
    zone: ZoneInfo

    def first(self, instant: int) -> int:
        return self.following(instant)

    def following(self, instant: int) -> int:
        """The first occurrence after the instant."""
        day = moment(instant).astimezone(self.zone).date() - timedelta(days=1)
        while True:
            # A time that does not exist is taken with the offset from before the change, and so comes after it.
            due = micros(datetime.combine(day, self.at, self.zone).astimezone(UTC))
            if due > instant:
                return due
            day += timedelta(days=1)

    def __str__(self) -> str:
        return f"daily {self.at:%H:%M} {self.zone.key}"


Schedule = Every | Daily
