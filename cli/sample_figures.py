"""What may be told of all of the sample's people together, and of none of them.

One of the privacy office asks for a table of the interactions by month and channel, for a university; the service makes
it of those who consented to statistics, and checks it; another of the office approves it. An analyst asks how many
interactions there were, and gets an answer with noise that is paid out of a budget. Run again, the release that is
there is found, and the same question of the same day is answered for nothing.
"""

from __future__ import annotations

import csv
import io
import time
from dataclasses import dataclass
from typing import Final

from cli.people import STATISTICS
from privacy.client import PrivacyClient, Release, Statistic
from privacy.errors import BudgetExhausted, Unavailable

OFFICE: Final = "demo-office"
REVIEWER: Final = "demo-reviewer"
_TYPE: Final = "interaction"
_RECIPIENT: Final = "示例大学 / Example University"
_RHO: Final = 0.01
_MOST_TALKS: Final = 2  # of one person: what the statistic is bounded to
_MADE_SECONDS: Final = 120.0
_UNDER_WAY: Final = "asked"
_WAITING: Final = "candidate"
_DONE: Final = "anonymised"


@dataclass(frozen=True, slots=True)
class Figures:
    """A release, the rows of its file, and a statistic; None where the budget is used up."""

    release: Release
    rows: tuple[tuple[str, ...], ...]
    statistic: Statistic | None


def figures(office: PrivacyClient, reviewer: PrivacyClient, analyst: PrivacyClient) -> Figures:
    """Raises what `PrivacyClient` raises, and `Unavailable` when nothing makes the release in two minutes."""
    made = _released(office, reviewer)
    return Figures(made, _file(office, made) if made.state == _DONE else (), _counted(analyst))


def _released(office: PrivacyClient, reviewer: PrivacyClient) -> Release:
    known = (one for one in office.releases() if (one.recipient, one.lineage) == (_RECIPIENT, _TYPE))
    made = next((one for one in known if one.state in (_DONE, _WAITING, _UNDER_WAY)), None)
    if made is None:
        made = office.ask_release(
            recipient=_RECIPIENT,
            recipient_class="controlled",
            purpose=STATISTICS,
            type=_TYPE,
            fields=["at", "channel"],
            hierarchies={"at": {"dates": ["month", "quarter", "year"]}},
            table={"by": ["at", "channel"]},
        )
    deadline = time.monotonic() + _MADE_SECONDS
    while made.state == _UNDER_WAY:
        if time.monotonic() > deadline:
            raise Unavailable("No release was made in two minutes; is the service running with its jobs?")
        time.sleep(0.2)
        made = office.release(made.id)
    return reviewer.approve_release(made.id) if made.state == _WAITING else made


def _file(office: PrivacyClient, made: Release) -> tuple[tuple[str, ...], ...]:
    held = io.BytesIO()
    office.release_data(made.id, held)
    return tuple(map(tuple, csv.reader(io.StringIO(held.getvalue().decode("utf-8-sig"), newline=""))))


def _counted(analyst: PrivacyClient) -> Statistic | None:
    try:
        return analyst.ask_statistic("count", purpose=STATISTICS, type=_TYPE, rho=_RHO, contributions=_MOST_TALKS)
    except BudgetExhausted:
        return None
