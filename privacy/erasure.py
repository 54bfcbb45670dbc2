"""Erasure: of a person, or of a part of what is known of it, so that no backup brings it back.

The protocol is in `privacy.erasure_steps`, for many at once in `privacy.erasure_batches`; what is asked for and what
must stay in `privacy.erasure_scope`; what keeps a restored backup from undoing it in `privacy.erasure_ledger`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, insert, select

from privacy import erasure_batches, erasure_scope, ids, job_runs, removal, subjects
from privacy.database import Insertion
from privacy.erasure_scope import Tally
from privacy.erasure_steps import Reason, State, look_again, step
from privacy.errors import Erased, NotFound, PrivacyError, Unavailable
from privacy.steward import Steward
from privacy.tables import erasures
from privacy.tables import holds as holds_table
from privacy.tables import subjects as subjects_table
from privacy.work import TERMINAL, Actor, Role, Work

log = logging.getLogger(__name__)

ERASER: Final = Actor("erasure", Role.OPERATOR)
_WORKER: Final = Actor("erasure", Role.ADMIN)  # who counts what failed
JOB: Final = "erasures"
ROUND: Final = 50  # erasures that one round of the job works off
_E = erasures.c
_ERASURES: Final = Insertion(erasures)


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erasure as it stands. `scope` is empty for all of the subject; `kept` says what stays, why and until when."""

    id: UUID
    subject_id: UUID
    state: str
    scope: Mapping[str, Sequence[str]]
    reason: str
    asked_at: datetime
    asked_by: str
    begun_at: datetime | None
    done_at: datetime | None
    kept: Sequence[Mapping[str, Any]]
    erased: Mapping[str, Any]
    is_certified: bool


def erase(
    service: Steward,
    subject_id: UUID,
    *,
    types: Iterable[str] = (),
    purposes: Iterable[str] = (),
    fields: Iterable[str] = (),
    reason: Reason = Reason.REQUEST,
    actor: Actor = TERMINAL,
) -> Erasure:
    """`ask` and `carry_on` in one."""
    with service.begin(actor) as work:
        asked = ask(work, subject_id, types=types, purposes=purposes, fields=fields, reason=reason)
    return carry_on(service, asked.id)


def erase_many(
    service: Steward, subject_ids: Sequence[UUID], *, reason: Reason = Reason.REQUEST, actor: Actor = TERMINAL
) -> dict[UUID, Erasure]:
    """`erase` of all of each subject, many at a time; how each erasure stands then, by subject.

    Left out is who is not there, or was erased before: done again, what was stopped half-way is done to its end.
    Raises `Forbidden`.
    """
    done: dict[UUID, Erasure] = {}
    for start in range(0, len(subject_ids), erasure_batches.BATCH):
        page = list(dict.fromkeys(subject_ids[start : start + erasure_batches.BATCH]))
        with service.begin(actor) as work:
            asked = _ask_many(work, page, reason)
        for subject_id in page:
            if subject_id not in asked:
                with suppress(NotFound), service.begin(actor) as work:
                    asked[subject_id] = ask(work, subject_id, reason=reason).id
        together = _together(service, list(asked.values()))
        for erasure_id in asked.values():
            if erasure_id not in together:
                carry_on(service, erasure_id)
        with service.begin(ERASER) as work:
            rows = work.execute(select(erasures).where(_E.erasure_id.in_(asked.values()))).all()
        done |= {row.subject_id: _erasure(row) for row in rows}
    return done


def _together(service: Steward, erasure_ids: Sequence[UUID]) -> set[UUID]:
    """Those that could be done in batches. What goes wrong with one of them shows when it is done by itself."""
    done: set[UUID] = set()
    for start in range(0, len(erasure_ids), erasure_batches.BATCH):
        try:
            done |= erasure_batches.advance(service, ERASER, erasure_ids[start : start + erasure_batches.BATCH])
        except PrivacyError as error:
            log.warning("erasure.one-by-one", extra={"code": error.code})
    return done


def carry_on(service: Steward, erasure_id: UUID) -> Erasure:
    """Carry out as much as can be done now of what has been asked for; as it stands then.

    It ends `done`, or `restricted` where a hold or a statutory period keeps something. Another state means that a
    store is away: the job goes on with it. Raises `NotFound`, `Corrupt`.
    """
    try:
        return advance(service, erasure_id)
    except Unavailable as error:
        log.warning("erasure.waits", extra={"erasure": str(erasure_id), "code": error.code})
        with service.begin(ERASER) as work:
            return _erasure(_row(work, erasure_id))


def ask(
    work: Work,
    subject_id: UUID,
    *,
    types: Iterable[str] = (),
    purposes: Iterable[str] = (),
    fields: Iterable[str] = (),
    reason: Reason = Reason.REQUEST,
) -> Erasure:
    """Put an erasure on record; `carry_on` or the job carries it out. Nothing named asks for all of the subject.

    One that is on its way already, and asks for the same, is answered again. A service asks on its subject's behalf.

    Raises `Forbidden`, `NotFound`, `Erased`, `Undeclared`, `UndeclaredPurpose`, `Invalid`.
    """
    work.concerns("erasure.requested", subject=subject_id)
    work.require(Role.SERVICE, Role.OPERATOR, Role.ADMIN)
    asked = erasure_scope.asked(work, types=types, purposes=purposes, fields=fields)
    removal.hold(work, subject_id)
    for row in work.execute(select(erasures).where(_E.subject_id == subject_id, _E.done_at.is_(None))):
        if row.scope == asked.as_json():
            work.audit("erasure.requested", subject=subject_id, detail={"again": True, "erasure": str(row.erasure_id)})
            return _erasure(row)
    subjects.get(work, subject_id)
    erasure_id = ids.new()
    work.execute(
        insert(erasures).values(
            subject_id=subject_id,
            erasure_id=erasure_id,
            state=State.REQUESTED,
            scope=asked.as_json(),
            reason=reason.value,
            asked_at=work.instant,
            asked_by=work.actor.name,
            look_at=work.instant,
        )
    )
    detail = {"erasure": str(erasure_id), "reason": reason.value, **asked.as_json()}
    work.audit("erasure.requested", subject=subject_id, detail=detail)
    return _erasure(_row(work, erasure_id))


def _ask_many(work: Work, subject_ids: Sequence[UUID], reason: Reason) -> dict[UUID, UUID]:
    """`ask` for all of each subject that is there and that nobody is at; the erasures' ids."""
    work.concerns("erasure.requested")
    work.require(Role.SERVICE, Role.OPERATOR, Role.ADMIN)
    held = removal.hold_many(work, subject_ids)
    found = select(_E.subject_id, _E.erasure_id).where(_E.subject_id.in_(held), _E.done_at.is_(None), _E.scope == {})
    asked: dict[UUID, UUID] = {row.subject_id: row.erasure_id for row in work.execute(found)}
    for subject_id, erasure_id in asked.items():
        work.audit("erasure.requested", subject=subject_id, detail={"again": True, "erasure": str(erasure_id)})
    alive = select(subjects_table.c.subject_id).where(
        subjects_table.c.subject_id.in_(held), subjects_table.c.erased_at.is_(None)
    )
    for subject_id in sorted(set(work.execute(alive).scalars()) - asked.keys()):
        erasure_id = asked[subject_id] = ids.new()
        at, by = work.instant, work.actor.name
        empty = (None,) * 4
        work.add(
            _ERASURES,
            (subject_id, erasure_id, State.REQUESTED.value, "{}", reason.value, at, by, None, None, at, *empty),
        )
        detail = {"erasure": str(erasure_id), "reason": reason.value}
        work.audit("erasure.requested", subject=subject_id, detail=detail)
    return asked


def advance(service: Steward, erasure_id: UUID) -> Erasure:
    """Carry the erasure on to its end, step by step; as it stands then. Raises `NotFound`, what the stores raise."""
    while True:
        with service.begin(ERASER) as work:
            row = _row(work, erasure_id, alone=True)
            if row.state in (State.DONE, State.RESTRICTED):
                return _erasure(row)
            step(work, row)


def work_off(service: Steward) -> int:
    """Carry on what is on its way and look again at what had to stay; how many erasures. A job.

    One that cannot go on is counted, and set aside when it has failed too often; the others are done.
    """
    with service.begin(_WORKER) as work:
        due = _due(work)
    waiting = [erasure_id for erasure_id, is_waiting in due if is_waiting]
    if waiting:
        with service.begin(ERASER) as work:
            these = select(erasures).where(_E.erasure_id.in_(waiting)).order_by(_E.subject_id, _E.erasure_id)
            for row in work.execute(these.with_for_update(skip_locked=True)).all():
                look_again(work, row)
    done = _together(service, [erasure_id for erasure_id, _ in due])
    count = len(done)
    for erasure_id, _ in due:
        if erasure_id in done:
            continue
        try:
            advance(service, erasure_id)
            count += 1
        except Unavailable:
            raise
        except PrivacyError as error:
            log.error("erasure.stands-still", extra={"erasure": str(erasure_id), "code": error.code})
            with service.begin(_WORKER) as work:
                job_runs.failed_item(work, JOB, erasure_id, error.code)
    return count


def listed(work: Work, subject_id: UUID) -> list[Erasure]:
    """The erasures of a subject, the oldest first; of an erased one too. Raises `NotFound`."""
    work.concerns("erasure.listed", subject=subject_id)
    work.require(Role.SERVICE, Role.OPERATOR, Role.AUDITOR, Role.ADMIN)
    rows = work.execute(select(erasures).where(_E.subject_id == subject_id).order_by(_E.erasure_id)).all()
    if not rows:
        with suppress(Erased):  # by a replay of the ledger, which has no row
            subjects.get(work, subject_id)
    work.audit("erasure.listed", subject=subject_id, detail={"erasures": len(rows)})
    return [_erasure(row) for row in rows]


def view(work: Work, erasure_id: UUID) -> Erasure:
    """One erasure as it stands. Raises `NotFound`."""
    work.concerns("erasure.viewed")
    work.require(Role.SERVICE, Role.OPERATOR, Role.AUDITOR, Role.ADMIN)
    row = _row(work, erasure_id)
    work.audit("erasure.viewed", subject=row.subject_id, detail={"erasure": str(erasure_id)})
    return _erasure(row)


def certificate(work: Work, erasure_id: UUID) -> str:
    """The signed certificate as JSON text. Raises `NotFound`; also while nothing has been erased yet."""
    work.concerns("erasure.certificate-issued")
    work.require(Role.SERVICE, Role.OPERATOR, Role.AUDITOR, Role.ADMIN)
    row = _row(work, erasure_id)
    if row.certificate is None:
        raise NotFound("Nothing has been erased yet, so there is no certificate", zh="尚未删除任何内容，没有证明可出具")
    work.audit("erasure.certificate-issued", subject=row.subject_id, detail={"erasure": str(erasure_id)})
    return str(row.certificate)


def _due(work: Work) -> list[tuple[UUID, bool]]:
    """What is on its way, and of what had to stay what need not any more; True for the latter."""
    columns = (_E.erasure_id, _E.kept)
    due = select(*columns).where(_E.look_at <= work.instant).order_by(_E.look_at, _E.erasure_id)
    moving = work.execute(due.where(_E.state != State.RESTRICTED).limit(ROUND)).all()
    waiting = work.execute(due.where(_E.state == State.RESTRICTED)).all()
    standing_holds: set[str] = set()
    if waiting:
        lifted = holds_table.c.lifted_at.is_(None)
        standing_holds = {str(one) for one in work.execute(select(holds_table.c.hold_id).where(lifted)).scalars()}
    free = [row.erasure_id for row in waiting if any(_may_go(work, one, standing_holds) for one in row.kept or ())]
    aside = job_runs.set_aside(work, JOB)
    found = [(row.erasure_id, False) for row in moving] + [(one, True) for one in free[:ROUND]]
    return [one for one in found if one[0] not in aside]


def _may_go(work: Work, kept: Mapping[str, Any], standing_holds: set[str]) -> bool:
    if kept["holds"]:
        return not standing_holds.intersection(kept["holds"])
    return kept["until"] is None or datetime.fromisoformat(kept["until"]) <= work.now


def _row(work: Work, erasure_id: UUID, *, alone: bool = False) -> Row[Any]:
    statement = select(erasures).where(_E.erasure_id == erasure_id)
    row = work.execute(statement.with_for_update() if alone else statement).first()
    if row is None:
        raise NotFound("There is no such erasure", zh="没有这项删除")
    return row


def _erasure(row: Row[Any]) -> Erasure:
    tally = Tally.of_json(row.counts)
    return Erasure(
        id=row.erasure_id,
        subject_id=row.subject_id,
        state=row.state,
        scope=row.scope,
        reason=row.reason,
        asked_at=row.asked_at,
        asked_by=row.asked_by,
        begun_at=row.begun_at,
        done_at=row.done_at,
        kept=row.kept or [],
        erased=tally.as_json(),
        is_certified=row.certificate is not None,
    )
