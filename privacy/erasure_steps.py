"""Erasure: a numbered protocol over two databases that no transaction spans, resumed wherever it stopped.

    requested -> [ rekeying -> ] shredding -> purging -> closing -> done
                                                             \\-> restricted -> requested: what had to stay, again

1. Begin. Holds are locked against being placed, the subject against its writers, in this order. What must stay (a
   legal hold, a statutory period) is worked out. If that is everything: *restricted*, and nothing but storage goes on;
   it is looked at again when a hold is lifted or a period ends. If all is asked for and nothing must stay, the subject
   is erased for every caller from this commit on.
2. Re-key. Where something stays beside what goes, what stays gets a new data key (`privacy.rekeying`); fields that go
   are not sealed again. What is left under the old key is what goes.
3. Shred. The keys are destroyed in the key store, in one transaction with the ledger's marks there: the point of no
   return. From here on nothing that was sealed under them can be opened, in no file, log, replica or backup of the
   data. It needs no root key. A hold that was placed since step 1 sends the erasure back to it.
4. Purge. Rows, index entries, profile, states: a page at a time.
5. Close. The ledger's other two copies, what recipients are owed, the signed certificate, and the one event that says
   that it is done.

Each step is a transaction and may be repeated; it takes the row's lock and looks at the state first, so that two who
work on one erasure do each step once. Between the steps lies nothing that a crash could lose.

PIPL 47, 51; GDPR 17, 19; NIST SP 800-88r1 2.5 (cryptographic erase).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import partial
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, select, update

from keys.wrapped import WrappedKey
from privacy import (
    certificates,
    erasure_ledger,
    erasure_scope,
    holds,
    notifications,
    profile,
    rekeying,
    removal,
    standing,
    vault,
)
from privacy.erasure_scope import Asked, Court, Kept, Tally
from privacy.errors import NotFound
from privacy.rekeying import Stay
from privacy.tables import consents, erasures, records, tasks
from privacy.tables import subjects as subjects_table
from privacy.work import Work

_E = erasures.c


class State(StrEnum):
    REQUESTED = "requested"
    RESTRICTED = "restricted"
    REKEYING = "rekeying"
    SHREDDING = "shredding"
    PURGING = "purging"
    CLOSING = "closing"
    DONE = "done"


class Reason(StrEnum):
    """Why something is erased; a text of one's own might name somebody."""

    REQUEST = "request"  # the subject asks
    WITHDRAWN = "consent-withdrawn"
    OBJECTED = "objected"
    NOT_NEEDED = "no-longer-needed"
    UNLAWFUL = "unlawful"
    LEGAL_DUTY = "legal-duty"
    CHILD = "child"


LAW: Final[Mapping[Reason, tuple[str, ...]]] = {
    Reason.REQUEST: ("PIPL-47", "GDPR-17"),
    Reason.WITHDRAWN: ("PIPL-47-3", "GDPR-17-1-b"),
    Reason.OBJECTED: ("PIPL-44", "GDPR-17-1-c"),
    Reason.NOT_NEEDED: ("PIPL-47-1", "GDPR-17-1-a"),
    Reason.UNLAWFUL: ("PIPL-47-4", "GDPR-17-1-d"),
    Reason.LEGAL_DUTY: ("PIPL-47-5", "GDPR-17-1-e"),
    Reason.CHILD: ("PIPL-31", "GDPR-17-1-f"),
}


# What an erasure's row plans: whether the subject goes as a whole, the scopes that are re-keyed, the keys that go.
_PLAN_OF_NOTHING: Final[Mapping[str, Any]] = {"whole": False, "scopes": [], "kids": []}


def step(work: Work, row: Row[Any]) -> None:
    """The next step of an erasure that is on its way; `row` is locked. The caller has checked that there is one."""
    _STEPS[State(row.state)](work, row)


def look_again(work: Work, row: Row[Any]) -> None:
    """What had to stay is judged anew."""
    if row.state == State.RESTRICTED:
        _move(work, row, State.REQUESTED)
        work.audit("erasure.begun-again", subject=row.subject_id, detail=detail_of(row))


# --- 1. begin


def _begin(work: Work, row: Row[Any]) -> None:
    holds.lock(work)
    asked = Asked.of_json(row.scope)
    if not removal.hold(work, row.subject_id):
        raise NotFound("There is no such subject")
    if not asked.is_all and _is_erased(work, row.subject_id):  # as a whole meanwhile
        _move(work, row, State.CLOSING, plan=_PLAN_OF_NOTHING, begun_at=row.begun_at or work.now)
        work.audit("erasure.begun", subject=row.subject_id, detail=detail_of(row, keys=0, whole=False))
        return
    court = Court.of(work, row.subject_id, asked)
    kept, scopes = Kept(), set[str]()
    for record in erasure_scope.pages(work, row.subject_id, asked):
        verdict = court.judge(record)
        if verdict.why is not None:
            kept.add(record.record_type, verdict.why)
        elif not verdict.is_untouched:
            scopes.add(work.declared.record_type(record.record_type).scope)
    why = court.of_subject() if asked.is_all else None
    if why is not None:
        kept.add(profile.TYPE, why)
    is_whole = asked.is_all and not kept.counts
    if not is_whole and not scopes and kept.counts:
        _restrict(work, row, asked, kept)
        return
    with vault.key_errors():
        keys = work.service.keystore.kids_of(row.subject_id.bytes)
    plan: dict[str, Any] = {
        "whole": is_whole,
        "scopes": sorted(scopes),
        "kids": sorted(key.kid.hex() for key in keys if is_whole or key.scope in scopes),
    }
    _set_erased(work, row, is_whole=is_whole)
    state = State.SHREDDING if is_whole else State.REKEYING if scopes else State.CLOSING
    _move(work, row, state, plan=plan, begun_at=row.begun_at or work.now)
    work.audit("erasure.begun", subject=row.subject_id, detail=detail_of(row, whole=is_whole, keys=len(plan["kids"])))


def _restrict(work: Work, row: Row[Any], asked: Asked, kept: Kept) -> None:
    """Everything that was asked for must stay: from now on it is stored, and nothing else (PIPL 47, GDPR 18)."""
    _set_erased(work, row, is_whole=False)
    _store_only(work, row.subject_id, asked)
    _wait(work, row, kept)
    until = kept.look_at.isoformat() if kept.look_at else None
    detail = detail_of(row, kept=sum(kept.counts.values()), until=until)
    work.audit("erasure.restricted", subject=row.subject_id, detail=detail)


def _store_only(work: Work, subject_id: UUID, asked: Asked) -> None:
    """Restrict what stays: the subject where all was asked for, else the purposes that were named."""
    declared = work.declared.manifest.purposes
    for purpose in (None,) if asked.is_all else asked.purposes:
        if purpose is None or purpose in declared:
            standing.restrict(work, subject_id, purpose)


def _set_erased(work: Work, row: Row[Any], *, is_whole: bool) -> None:
    """The subject is erased for every caller; or it is there again, when a hold has sent its erasure back."""
    if is_whole or (row.plan or {}).get("whole"):
        work.execute(
            update(subjects_table)
            .where(subjects_table.c.subject_id == row.subject_id)
            .values(erased_at=work.instant if is_whole else None)
        )


def _is_erased(work: Work, subject_id: UUID) -> bool:
    found = select(subjects_table.c.erased_at).where(subjects_table.c.subject_id == subject_id)
    return work.execute(found).scalar() is not None


# --- 2. re-key


def _rekey(work: Work, row: Row[Any]) -> None:
    """A page of one scope: what stays gets the new key. The next call goes on where the old key still has something."""
    holds.lock(work)
    removal.hold(work, row.subject_id)
    court, tally = Court.of(work, row.subject_id, Asked.of_json(row.scope)), Tally.of_json(row.counts)
    old = [bytes.fromhex(kid) for kid in row.plan["kids"]]
    for scope in row.plan["scopes"]:
        new = vault.keys_of(work, row.subject_id, scope).current
        if new is None:
            continue
        if new.kid in old:
            new = vault.replace_key(work, row.subject_id, scope)
        if not _move_scope(work, row.subject_id, new, old, court, tally):
            _set(work, row, counts=tally.as_json())
            work.paid()  # the page has its events
            return
    _move(work, row, State.SHREDDING, counts=tally.as_json())
    work.audit("erasure.rekeyed", subject=row.subject_id, detail=detail_of(row, scopes=row.plan["scopes"]))


def _move_scope(
    work: Work, subject_id: UUID, new: WrappedKey, old: Sequence[bytes], court: Court, tally: Tally
) -> bool:
    """Whether all that stays in the scope is under the new key now; a page's worth is sealed in one work."""
    after, moved = None, 0
    while moved < rekeying.PAGE:
        page = rekeying.reseal_records(
            work, subject_id, new, old, after=after, judge=partial(_stay, work, court, tally)
        )
        moved, after = moved + page.moved, page.after
        if after is None:
            others = rekeying.reseal_others(work, subject_id, new, old)
            rekeying.said(work, subject_id, new, moved)
            return others < rekeying.PAGE
    rekeying.said(work, subject_id, new, moved)
    return False


def _stay(work: Work, court: Court, tally: Tally, record: Row[Any]) -> Stay | None:
    verdict = court.judge(record)
    if verdict.goes:
        return None
    if verdict.is_untouched or verdict.why is not None:
        return Stay()
    tally.loses(record.record_type, verdict.fields)
    values: dict[str, Any] = {}
    if verdict.purposes is not None:  # a purpose lets go of it: the others hold it as long as they may
        end = court.end(record, verdict.purposes)
        values = {"purposes": list(verdict.purposes)} | ({} if end is None else {"expires_at": end})
    return Stay(verdict.numbers, verdict.fields, values)


# --- 3. shred


def _shred(work: Work, row: Row[Any]) -> None:
    """The point of no return."""
    store, plan = work.service.keystore, row.plan
    kids = [bytes.fromhex(kid) for kid in plan["kids"]]
    holds.lock(work)  # until the commit nobody can place one, so what is destroyed is not held
    with vault.key_errors():
        is_open = bool(store.by_kid(kids))
    if is_open and _is_held(work, row, kids):
        _set_erased(work, row, is_whole=False)
        _move(work, row, State.REQUESTED)
        work.audit("erasure.begun-again", subject=row.subject_id, detail=detail_of(row))
        return
    marks = erasure_ledger.marks_of(work.service.keyring, row.subject_id, plan)
    with vault.key_errors():
        gone = store.erase(row.subject_id.bytes, None, None if plan["whole"] else kids, marks)
    known = {*kids, *gone}
    _move(work, row, State.PURGING, plan={**plan, "kids": sorted(kid.hex() for kid in known)})
    work.audit("erasure.shredded", subject=row.subject_id, detail=detail_of(row, keys=len(known)))


def _is_held(work: Work, row: Row[Any], kids: Sequence[bytes]) -> bool:
    """Whether something that goes must stay after all."""
    asked = Asked.of_json(row.scope)
    court = Court.of(work, row.subject_id, asked)
    if row.plan["whole"] and court.of_subject() is not None:
        return True
    going = erasure_scope.pages(work, row.subject_id, asked, kids)
    return any(court.judge(record).why is not None for record in going)


# --- 4. purge


def _purge(work: Work, row: Row[Any]) -> None:
    is_whole, tally = row.plan["whole"], Tally.of_json(row.counts)
    removal.hold(work, row.subject_id)
    kids = None if is_whole else [bytes.fromhex(kid) for kid in row.plan["kids"]]
    gone = removal.remove_records(work, row.subject_id, kids)
    for record in gone:
        tally.goes(record.record_type, record.purposes)
        if not is_whole:
            detail = {"erasure": str(row.erasure_id), "type": record.record_type}
            work.audit("record.erased", subject=row.subject_id, record=record.record_id, detail=detail)
    if len(gone) == removal.PAGE:
        _set(work, row, counts=tally.as_json())
    else:
        if is_whole:
            consented = select(consents.c.purpose).where(consents.c.subject_id == row.subject_id)
            tally.purposes.update(dict.fromkeys(work.execute(consented).scalars(), 0))
            removal.remove_rest(work, row.subject_id)
        _close_tasks(work, row.subject_id, is_whole=is_whole)
        tally.keys = sorted({*tally.keys, *row.plan["kids"]})
        _move(work, row, State.CLOSING, counts=tally.as_json())
    work.audit("erasure.purged", subject=row.subject_id, detail=detail_of(row, records=len(gone)))


def _close_tasks(work: Work, subject_id: UUID, *, is_whole: bool) -> None:
    """Erasure tasks of which nothing is left to do."""
    open_ones = work.execute(
        select(tasks).where(tasks.c.subject_id == subject_id, tasks.c.kind == "erasure", tasks.c.closed_at.is_(None))
    ).all()
    for task in open_ones:
        named = [UUID(one["id"]) for one in task.detail.get("records", ())]
        left = select(records.c.record_id).where(records.c.subject_id == subject_id, records.c.record_id.in_(named))
        if is_whole or work.execute(left.limit(1)).first() is None:
            work.execute(
                update(tasks)
                .where(tasks.c.subject_id == subject_id, tasks.c.task_id == task.task_id)
                .values(closed_at=work.instant, outcome="done")
            )


# --- 5. close


def _close(work: Work, row: Row[Any]) -> None:
    holds.lock(work)
    removal.hold(work, row.subject_id)
    asked, is_whole, tally = Asked.of_json(row.scope), bool(row.plan["whole"]), Tally.of_json(row.counts)
    kept = Kept() if is_whole else _left(work, row.subject_id, asked)
    erasure_ledger.record(work)
    purposes = sorted({*tally.purposes, *asked.purposes})
    told = sorted({who for name in purposes for who in notifications.owe(work, row.subject_id, "erasure", name)})
    marks = erasure_ledger.marks_of(work.service.keyring, row.subject_id, {"whole": is_whole, "kids": tally.keys})
    signed = certificate(work, row, tally, kept, told, erasure_ledger.numbers_of(work, marks))
    if not kept.counts:
        _move(work, row, State.DONE, done_at=work.now, look_at=None, kept=[], certificate=signed)
    else:
        _store_only(work, row.subject_id, asked)
        _wait(work, row, kept, certificate=signed)
    work.audit(
        "subject.erased" if is_whole else "subject.partly-erased",
        subject=row.subject_id,
        detail=detail_of(row, keys=len(tally.keys), records=tally.records, told=told, waiting=bool(kept.counts)),
    )


def certificate(work: Work, row: Row[Any], tally: Tally, kept: Kept, told: Sequence[str], ledger: Sequence[int]) -> str:
    """The signed certificate of what has been erased until now; `ledger`: the numbers of its marks."""
    facts = certificates.Facts(
        erasure_id=row.erasure_id,
        subject_id=row.subject_id,
        is_whole=bool(row.plan["whole"]),
        scope=row.scope,
        reason=row.reason,
        law=LAW[Reason(row.reason)],
        asked_at=row.asked_at,
        begun_at=row.begun_at,
        done_at=work.now,
        tally=tally,
        kept=kept.as_json(),
        ledger=ledger,
        told=told,
    )
    return certificates.issue(work, facts)


def _left(work: Work, subject_id: UUID, asked: Asked) -> Kept:
    """What was asked for and is there still."""
    court, kept = Court.of(work, subject_id, asked), Kept()
    for record in erasure_scope.pages(work, subject_id, asked):
        verdict = court.judge(record)
        if not verdict.is_untouched:
            kept.add(record.record_type, verdict.why or erasure_scope.Why())
    return kept


# --- rows


_STEPS: Final[Mapping[State, Callable[[Work, Row[Any]], None]]] = {
    State.REQUESTED: _begin,
    State.REKEYING: _rekey,
    State.SHREDDING: _shred,
    State.PURGING: _purge,
    State.CLOSING: _close,
}


def _wait(work: Work, row: Row[Any], kept: Kept, **values: object) -> None:
    """Held until a hold is lifted, which may be at any time; or until the first period ends."""
    look_at = work.now if kept.has_holds or kept.look_at is None else kept.look_at
    _move(work, row, State.RESTRICTED, kept=kept.as_json(), look_at=look_at, **values)


def _move(work: Work, row: Row[Any], state: State, **values: object) -> None:
    _set(work, row, state=state.value, **values)


def _set(work: Work, row: Row[Any], **values: object) -> None:
    work.execute(
        update(erasures).where(_E.subject_id == row.subject_id, _E.erasure_id == row.erasure_id).values(**values)
    )


def detail_of(row: Row[Any], **more: object) -> dict[str, object]:
    """What an event says of an erasure."""
    return {"erasure": str(row.erasure_id), **{name: value for name, value in more.items() if value is not None}}
