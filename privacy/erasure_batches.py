"""Erasures of whole subjects, many at once: the steps of `privacy.erasure_steps`, each one transaction for all of them.

What a step promises of one erasure it promises of each: the keys of all are destroyed in one transaction of the key
store with all the marks, the ledger's file is appended to and flushed once, and each has its own events and its own
certificate. Whatever stops between two steps, or in one, goes on as a single erasure would, here or there.

Taken are those of which all goes and nothing must stay. What a hold or a law keeps, what has more records than fit,
and whom somebody is writing for is left where it stands, to `privacy.erasure_steps`. Nobody is waited for with other
subjects held.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Row, case, func, literal, select, update

from privacy import erasure_ledger, erasure_scope, holds, notifications, removal, vault
from privacy.erasure_scope import Asked, Court, Kept, Tally
from privacy.erasure_steps import State, certificate, detail_of
from privacy.steward import Steward
from privacy.tables import consents, erasures, subjects, tasks
from privacy.work import Actor, Work

BATCH: Final = 50  # erasures of one transaction
_E = erasures.c
_ALL: Final = Asked()


def advance(service: Steward, actor: Actor, erasure_ids: Collection[UUID]) -> set[UUID]:
    """Carry on, a step at a time, as many of the erasures as can be together; those that are done by it.

    At most `BATCH`. Raises what the stores raise; then, and for the others, `erasure.advance` goes on.
    """
    done: set[UUID] = set()
    for state, step in _STEPS.items():
        with service.begin(actor) as work:
            rows = _rows(work, erasure_ids, state)
            if rows:
                done = step(work, rows)
    return done


def _rows(work: Work, erasure_ids: Collection[UUID], state: State) -> list[Row[Any]]:
    """Those in this state, locked, one a subject; without what somebody else works on."""
    wanted = select(erasures).where(_E.erasure_id.in_(erasure_ids), _E.state == state.value, _E.scope == {})
    rows = work.execute(wanted.order_by(_E.subject_id, _E.erasure_id).with_for_update(skip_locked=True)).all()
    whole = [row for row in rows if state is State.REQUESTED or row.plan["whole"]]
    return list({row.subject_id: row for row in whole}.values())


def _hold(work: Work, rows: Sequence[Row[Any]]) -> list[Row[Any]]:
    free = removal.hold_many(work, _subjects(rows))
    return [row for row in rows if row.subject_id in free]


# --- 1. begin


def _begin(work: Work, rows: Sequence[Row[Any]]) -> set[UUID]:
    holds.lock(work)
    rows = _free_to_go(work, _hold(work, rows))
    kids: dict[UUID, list[str]] = {row.subject_id: [] for row in rows}
    with vault.key_errors():
        for key in work.service.keystore.of_subjects([one.bytes for one in kids]):
            kids[UUID(bytes=key.subject)].append(key.kid.hex())
    if rows:
        work.execute(update(subjects).where(subjects.c.subject_id.in_(kids)).values(erased_at=work.instant))
        plans = {row.erasure_id: _plan(kids[row.subject_id]) for row in rows}
        _move(work, rows, State.SHREDDING, {"plan": plans}, begun_at=func.coalesce(_E.begun_at, work.instant))
    for row in rows:
        detail = detail_of(row, whole=True, keys=len(kids[row.subject_id]))
        work.audit("erasure.begun", subject=row.subject_id, detail=detail)
    return set()


def _free_to_go(work: Work, rows: Sequence[Row[Any]]) -> list[Row[Any]]:
    """Those of which nothing must stay, as far as their records fit; the holds are locked."""
    courts = Court.of_many(work, _subjects(rows), _ALL, holds.covering(work))
    records = erasure_scope.of_many(work, _subjects(rows))

    def may_go(subject_id: UUID) -> bool:
        court = courts[subject_id]
        return court.of_subject() is None and all(court.judge(record).why is None for record in records[subject_id])

    return [row for row in rows if row.subject_id in records and may_go(row.subject_id)]


def _plan(kids: Collection[str]) -> dict[str, Any]:
    return {"whole": True, "scopes": [], "kids": sorted(kids)}


# --- 3. shred


def _shred(work: Work, rows: Sequence[Row[Any]]) -> set[UUID]:
    """The point of no return."""
    holds.lock(work)  # until the commit nobody can place one, so what is destroyed is not held
    store, keyring = work.service.keystore, work.service.keyring
    with vault.key_errors():
        there = store.by_kid([bytes.fromhex(kid) for row in rows for kid in row.plan["kids"]])
    is_open = [row for row in rows if any(bytes.fromhex(kid) in there for kid in row.plan["kids"])]
    going = _free_to_go(work, is_open) if is_open else []
    rows = [row for row in rows if row in going or row not in is_open]
    marks = [mark for row in rows for mark in erasure_ledger.marks_of(keyring, row.subject_id, row.plan)]
    if not rows:
        return set()
    with vault.key_errors():
        gone = store.erase_many([row.subject_id.bytes for row in rows], marks)
    known = {
        row.erasure_id: {*row.plan["kids"], *(kid.hex() for kid in gone.get(row.subject_id.bytes, ()))} for row in rows
    }
    _move(work, rows, State.PURGING, {"plan": {erasure_id: _plan(kids) for erasure_id, kids in known.items()}})
    for row in rows:
        detail = detail_of(row, keys=len(known[row.erasure_id]))
        work.audit("erasure.shredded", subject=row.subject_id, detail=detail)
    return set()


# --- 4. purge


def _purge(work: Work, rows: Sequence[Row[Any]]) -> set[UUID]:
    rows = _hold(work, rows)
    records = erasure_scope.of_many(work, _subjects(rows))
    rows = [row for row in rows if row.subject_id in records]
    if not rows:
        return set()
    consented: dict[UUID, dict[str, int]] = {}
    named = select(consents.c.subject_id, consents.c.purpose).where(consents.c.subject_id.in_(records))
    for found in work.execute(named):
        consented.setdefault(found.subject_id, {})[found.purpose] = 0
    removal.remove_all_records(work, records)
    removal.remove_rest(work, *records)
    _close_tasks(work, records)
    counts = {}
    for row in rows:
        tally = Tally.of_json(row.counts)
        for record in records[row.subject_id]:
            tally.goes(record.record_type, record.purposes)
        tally.purposes.update(consented.get(row.subject_id, {}))
        tally.keys = sorted({*tally.keys, *row.plan["kids"]})
        counts[row.erasure_id] = tally.as_json()
    _move(work, rows, State.CLOSING, {"counts": counts})
    for row in rows:
        detail = detail_of(row, records=len(records[row.subject_id]))
        work.audit("erasure.purged", subject=row.subject_id, detail=detail)
    return set()


def _close_tasks(work: Work, subject_ids: Collection[UUID]) -> None:
    work.execute(
        update(tasks)
        .where(tasks.c.subject_id.in_(subject_ids), tasks.c.kind == "erasure", tasks.c.closed_at.is_(None))
        .values(closed_at=work.instant, outcome="done")
    )


# --- 5. close


def _close(work: Work, rows: Sequence[Row[Any]]) -> set[UUID]:
    holds.lock(work)
    rows = _hold(work, rows)
    if not rows:
        return set()
    keyring, tallies = work.service.keyring, {row.erasure_id: Tally.of_json(row.counts) for row in rows}
    erasure_ledger.record(work)
    marks = {
        row.erasure_id: erasure_ledger.marks_of(
            keyring, row.subject_id, {"whole": True, "kids": tallies[row.erasure_id].keys}
        )
        for row in rows
    }
    numbers = erasure_ledger.numbered(work, [mark for of_one in marks.values() for mark in of_one])
    signed, told = {}, {}
    for row in rows:
        id, tally = row.erasure_id, tallies[row.erasure_id]
        owed = (notifications.owe(work, row.subject_id, "erasure", name) for name in sorted(tally.purposes))
        told[id] = sorted({who for names in owed for who in names})
        ledger = sorted(numbers[mark] for _, mark in marks[id] if mark in numbers)
        signed[id] = certificate(work, row, tally, Kept(), told[id], ledger)
    _move(work, rows, State.DONE, {"certificate": signed}, done_at=work.now, look_at=None, kept=[])
    for row in rows:
        tally = tallies[row.erasure_id]
        detail = detail_of(row, keys=len(tally.keys), records=tally.records, told=told[row.erasure_id], waiting=False)
        work.audit("subject.erased", subject=row.subject_id, detail=detail)
    return set(signed)


# --- rows


_STEPS: Final[Mapping[State, Callable[[Work, Sequence[Row[Any]]], set[UUID]]]] = {
    State.REQUESTED: _begin,
    State.SHREDDING: _shred,
    State.PURGING: _purge,
    State.CLOSING: _close,
}


def _subjects(rows: Sequence[Row[Any]]) -> list[UUID]:
    return [row.subject_id for row in rows]


def _move(
    work: Work, rows: Sequence[Row[Any]], state: State, own: Mapping[str, Mapping[UUID, object]], **values: object
) -> None:
    """All into one state; `own` has what each row's columns become, by the erasure's id."""
    each: dict[str, ColumnElement[Any]] = {
        name: case(*((_E.erasure_id == id, literal(one, _E[name].type)) for id, one in its.items()), else_=_E[name])
        for name, its in own.items()
    }
    these = update(erasures).where(
        _E.subject_id.in_(_subjects(rows)), _E.erasure_id.in_([row.erasure_id for row in rows])
    )
    work.execute(these.values(state=state.value, **each, **values))
