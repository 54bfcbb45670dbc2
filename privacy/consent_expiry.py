"""Consents whose time is over: said once in the log, and what nothing else holds becomes a task of erasure.

The gate refuses from the instant on, swept or not (`privacy.rules`); this is what follows from it. How far the sweep
has come is one row, so a consent is told of once, however many there are.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, Select, insert, literal, select, tuple_, update

from privacy import subjects, tasks
from privacy.errors import Erased
from privacy.manifest import Basis
from privacy.retention_due import lock_free
from privacy.rules import IN_FORCE
from privacy.tables import Id, consents, micros, watch_state
from privacy.work import Work

ROUND: Final = 100
NAME: Final = "consent-expiry"  # the row of `watch_state`
_C = consents.c
_KEYS: Final = ("subject", "purpose", "recipient")


def sweep(work: Work) -> int:
    """One round, oldest first, up to the first subject whom somebody else holds; how many consents it took."""
    statement = select(watch_state.c.position, watch_state.c.state).where(watch_state.c.name == NAME)
    state = work.execute(statement.with_for_update()).first()
    if state is None:
        work.execute(insert(watch_state).values(name=NAME, position=0, state=dict.fromkeys(_KEYS, "")))
        position, place = 0, dict.fromkeys(_KEYS, "")
    else:
        position, place = state.position, state.state
    rows = work.execute(_after(position, place, work.instant)).all()
    done = list(takewhile(lambda row: lock_free(work, (row.subject_id,)), rows))
    for row in done:
        _end(work, row)
    if done:
        last = done[-1]
        keys = dict(zip(_KEYS, (str(last.subject_id), last.purpose, last.recipient), strict=True))
        values = {"position": micros(last.expires_at), "state": keys}
        work.execute(update(watch_state).where(watch_state.c.name == NAME).values(**values))
    work.paid()  # what was found has its events
    return len(done)


def _after(position: int, place: dict[str, str], instant: int) -> Select[Any]:
    """What has ended since, behind the last one told of, as row values: the index answers them in order."""
    subject = UUID(place["subject"]) if place["subject"] else UUID(int=0)
    behind = tuple_(_C.expires_at, _C.subject_id, _C.purpose, _C.recipient) > tuple_(
        literal(position), literal(subject, Id()), literal(place["purpose"]), literal(place["recipient"])
    )
    return (
        select(_C.subject_id, _C.purpose, _C.recipient, _C.consent_id, _C.expires_at)
        .where(behind, _C.expires_at <= instant)
        .order_by(_C.expires_at, _C.subject_id, _C.purpose, _C.recipient)
        .limit(ROUND)
    )


def _end(work: Work, row: Row[Any]) -> None:
    """Looks again, now that the subject is locked: it may have been renewed, withdrawn or erased meanwhile."""
    try:
        subjects.get(work, row.subject_id)
    except Erased:
        return
    this = (_C.subject_id == row.subject_id, _C.purpose == row.purpose, _C.recipient == row.recipient)
    found = work.execute(select(_C.consent_id, _C.state, _C.expires_at).where(*this)).first()
    if found is None or found.consent_id != row.consent_id or found.expires_at != row.expires_at:
        return
    if found.state not in IN_FORCE:
        return
    detail = {"consent": str(row.consent_id)}
    if row.recipient:
        detail["recipient"] = row.recipient
    elif row.purpose in work.declared.manifest.purposes:
        task = tasks.open_erasure(work, row.subject_id, row.purpose).task_id
        if task is not None:
            detail["task"] = str(task)
    work.audit("consent.expired", subject=row.subject_id, purpose=row.purpose, basis=Basis.CONSENT.value, detail=detail)
