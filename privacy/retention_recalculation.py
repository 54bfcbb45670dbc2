"""Ends set anew after a manifest with other periods: a job, page by page, that goes on where it stopped.

A longer period reaches no record that was over before. Shortening binds without it, through the gate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import Row, Select, insert, literal, select, tuple_, update

from privacy import life_events
from privacy.retention_due import end_of, in_force_since, lock_free
from privacy.tables import Id, micros, records, watch_state
from privacy.work import Role, Work

ROUND: Final = 200  # records in one transaction
NAME: Final = "retention-recalculate"  # the row of `watch_state`
_R = records.c


@dataclass(frozen=True, slots=True)
class _Pass:
    """How far it has come. `periods`: all that ends depend on, as text; `after`: subject and record."""

    periods: str = ""
    after: tuple[str, str] | None = None
    is_done: bool = True
    moved: int = 0


# What msgspec must know of the types is built here, by one thread: building it in two at once ends the process.
msgspec.json.Decoder(_Pass)


def recalculate(work: Work) -> int:
    """One round; how many records it looked at, `ROUND` when there may be more. For administrators."""
    work.concerns("retention.recalculated")
    work.require(Role.ADMIN)
    periods = _periods(work)
    state = _state(work)
    if state.periods != periods:
        state = _Pass(periods, None, is_done=False)
    elif state.is_done:
        return 0
    rows = work.execute(_page(state.after)).all()
    reached, moved = _move(work, rows)
    is_done = len(rows) < ROUND and len(reached) == len(rows)
    after = (str(reached[-1].subject_id), str(reached[-1].record_id)) if reached else state.after
    state = _Pass(periods, None if is_done else after, is_done, state.moved + moved)
    if not work.execute(update(watch_state).where(watch_state.c.name == NAME).values(state=asdict(state))).rowcount:
        work.execute(insert(watch_state).values(name=NAME, position=0, state=asdict(state)))
    if moved or is_done:
        detail = {"done": is_done, "moved": state.moved, "version": work.declared.version}
        work.audit("retention.recalculated", detail=detail)
    work.paid()  # that somebody looked needs no event
    return len(reached)


def is_settled(work: Work) -> bool:
    """Whether the ends stored are those of the manifest in force."""
    state = _state(work, lock=False)
    return state.is_done and state.periods == _periods(work)


def _state(work: Work, *, lock: bool = True) -> _Pass:
    statement = select(watch_state.c.state).where(watch_state.c.name == NAME)
    row = work.execute(statement.with_for_update() if lock else statement).first()
    return _Pass() if row is None else msgspec.convert(row.state, _Pass)


def _periods(work: Work) -> str:
    parts = (
        (one.name, one.keep, one.keep_from.life_event, one.keep_from.at_most, one.statutory and one.statutory.keep)
        for _, one in sorted(work.declared.manifest.purposes.items())
    )
    return "\n".join(" ".join(map(str, part)) for part in parts)


def _page(after: tuple[str, str] | None) -> Select[Any]:
    columns = (_R.subject_id, _R.record_id, _R.purposes, _R.stored_at, _R.expires_at)
    statement = select(*columns).order_by(_R.subject_id, _R.record_id).limit(ROUND)
    if after is None:
        return statement
    place = tuple_(*(literal(UUID(one), Id()) for one in after))
    return statement.where(tuple_(_R.subject_id, _R.record_id) > place)


def _move(work: Work, rows: Sequence[Row[Any]]) -> tuple[Sequence[Row[Any]], int]:
    """The rows that are done, up to the first whose subject somebody else holds; and how many end at another time."""
    since = in_force_since(work)
    known = life_events.kept_from(work, sorted({row.subject_id for row in rows}))
    suspects = {row.subject_id for row in rows if _end(work, row, known, since) is not None}
    locked = lock_free(work, suspects)
    reached = list(takewhile(lambda row: row.subject_id not in suspects or row.subject_id in locked, rows))
    if not locked:
        return reached, 0
    known = life_events.kept_from(work, sorted(locked))  # anew: an event may have come between
    moved = 0
    for row in reached:
        end = _end(work, row, known, since) if row.subject_id in locked else None
        if end is not None:
            this = (_R.subject_id == row.subject_id, _R.record_id == row.record_id)
            moved += work.execute(update(records).where(*this).values(expires_at=end)).rowcount
    return reached, moved


def _end(work: Work, row: Row[Any], known: Mapping[UUID, Mapping[str, int]], since: int) -> int | None:
    """The record's new end; None where it stays."""
    expires = micros(row.expires_at)
    end = end_of(work, row, known)
    if end is None or end == expires or (expires <= since and end > expires):
        return None
    return end
