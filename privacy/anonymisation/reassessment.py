"""What is hard to undo today may be easy later: a release is looked at again, or no longer given."""

from __future__ import annotations

from sqlalchemy import select

from privacy import alerts
from privacy.alerts import Found
from privacy.anonymisation.releases import REMINDED_BEFORE, State
from privacy.tables import micros
from privacy.tables_releases import releases
from privacy.watch_rules import RELEASE_DUE
from privacy.work import Role, Work

_T = releases.c


def remind(work: Work) -> int:
    """Raise an alert for each release that must be assessed again within thirty days, once a date; how many are due.

    GB/T 37964-2019 (de-identification is watched over as long as the data is about). For administrators: a job.
    """
    work.concerns("releases.watched")
    work.require(Role.ADMIN)
    due = select(_T.release_id, _T.reassess_at).where(
        _T.state == State.ANONYMISED.value, _T.reassess_at <= micros(work.now + REMINDED_BEFORE)
    )
    rows = work.execute(due.order_by(_T.release_id)).all()
    for row in rows:
        alerts.raise_alert(work, Found(RELEASE_DUE, str(row.release_id), micros(row.reassess_at), 1, 0))
    return len(rows)
