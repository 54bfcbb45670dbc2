"""Records against the log: every stored record is the one that its newest change left, and none is more or less.

Each change event carries the SHA-256 of the sealed record that it left, and the record's version. Whoever edits the
database behind the service can put an older sealed record back, which opens as well as the newer one did: only the
log knows. A record that does not agree is looked at again under its subject's lock, so that a write in between raises
no false alarm. Problems name ids, never values.

    rolled-back      the record is one that an earlier change left
    changed          the record is none that any change left
    version          the sealed record is right, its version is not
    slipped-in       no event has stored the record
    returned         an event has ended the record, and it is there
    deleted          the record is gone, and no event has ended it
    index            an index entry of a record that is not there

A record whose newest event carries no digest (it is older than digests) is counted as unproven.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec
from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Executable,
    Select,
    and_,
    exists,
    insert,
    literal,
    literal_column,
    select,
    tuple_,
    update,
)

from privacy import alerts, subjects
from privacy.alerts import Found
from privacy.errors import Erased, NotFound
from privacy.steward import Steward
from privacy.tables import Id, audit_events, index_entries, records, watch_state
from privacy.watch_rules import RECORD_MISMATCH
from privacy.work import TERMINAL, Actor, Role, Work

PAGE: Final = 200  # records
STORED: Final = "record.stored"
ATTESTED: Final = "record.attested"  # an archive has taken the newest change; this one carries it on
CHANGES: Final = (STORED, "record.rectified", "record.resealed", "record.partly-erased", "record.scanned", ATTESTED)
ENDINGS: Final = ("record.deleted", "record.expired", "record.erased")
SUBJECT_ENDINGS: Final = ("subject.erased",)
JOB: Final = "reconcile"
_PASS_MICROS: Final = 86_400_000_000
_MOST_EVENTS: Final = 1000  # of one record, looked at again

_E = audit_events.c
_LATER = audit_events.alias("later")
_DONE: Final[ColumnElement[str]] = literal_column(
    "'done'"
)  # written out: a partial index is found by its own words only


class Reader(Protocol):
    """What runs a query: a work, or a transaction that only looks."""

    def execute(self, statement: Executable) -> CursorResult[Any]: ...


@dataclass(frozen=True, slots=True)
class Problem:
    """A record that does not agree with the log; `what` as in the module's list."""

    subject_id: UUID
    record_id: UUID
    what: str


@dataclass(frozen=True, slots=True)
class Reconciled:
    """How many records were compared, how many of them no digest proves, and what is wrong."""

    records: int
    unproven: int
    problems: list[Problem]


@dataclass(frozen=True, slots=True, order=True)
class _Place:
    """A record's place in the order of the pages."""

    subject_id: UUID
    record_id: UUID


_START: Final = _Place(UUID(int=0), UUID(int=0))


@dataclass(frozen=True, slots=True)
class _Row:
    version: int
    digest: str


@dataclass(frozen=True, slots=True)
class _Change:
    """A change event; `version` None where it does not say."""

    id: UUID
    action: str
    digest: str | None
    version: int | None


@dataclass(frozen=True, slots=True)
class _Page:
    records: int
    unproven: int
    suspects: list[_Place]
    last: _Place | None  # None: there is nothing after this page


@dataclass(frozen=True, slots=True)
class _Pass:
    """How far the daily pass has come; instants in microseconds, ids as text."""

    started_at: int
    finished_at: int
    subject: str = str(_START.subject_id)
    record: str = str(_START.record_id)
    records: int = 0
    unproven: int = 0
    problems: int = 0


def reconcile(service: Steward, actor: Actor = TERMINAL) -> Reconciled:
    """Compare every record now, a page at a time; what is wrong is an event "record.mismatch" each.

    Pages are read beside the writers; only what does not agree is looked at again under a lock. Raises `Forbidden`.
    """
    compared = unproven = 0
    problems: list[Problem] = []
    place: _Place | None = _START
    while place is not None:
        with service.database.borrow() as lane, lane.snapshot() as transaction:
            page = _page(transaction, place)
        compared, unproven, place = compared + page.records, unproven + page.unproven, page.last
        for start in range(0, len(page.suspects), PAGE):
            with service.begin(actor) as work:
                problems += _confirmed(work, page.suspects[start : start + PAGE])
    with service.begin(actor) as work:
        work.concerns("records.reconciled")
        work.require(Role.ADMIN)
        _say(work, compared, unproven, len(problems))
        if problems:
            alerts.raise_alert(work, Found(RECORD_MISMATCH, "", work.instant, len(problems), 0))
    return Reconciled(compared, unproven, problems)


def reconcile_some(work: Work) -> int:
    """One page of the daily pass, as a job; how many records it compared, `PAGE` when there may be more.

    The pass goes on where it stopped, whatever stopped it. What it finds raises an alert.
    """
    work.concerns("records.reconciled")
    work.require(Role.ADMIN)
    state = _state(work)
    if state.finished_at > state.started_at and state.started_at + _PASS_MICROS > work.instant:
        return 0
    if state.finished_at >= state.started_at:
        state = _Pass(started_at=work.instant, finished_at=0)
    page = _page(work, _Place(UUID(state.subject), UUID(state.record)))
    problems = _confirmed(work, page.suspects)
    last = page.last or _START
    state = replace(
        state,
        subject=str(last.subject_id),
        record=str(last.record_id),
        records=state.records + page.records,
        unproven=state.unproven + page.unproven,
        problems=state.problems + len(problems),
    )
    if page.last is None:
        state = replace(state, finished_at=work.instant + 1)
        _say(work, state.records, state.unproven, state.problems)
    if state.problems:
        alerts.raise_alert(work, Found(RECORD_MISMATCH, "", state.started_at, state.problems, 0))
    work.execute(update(watch_state).where(watch_state.c.name == JOB).values(state=asdict(state)))
    work.paid()
    return PAGE if page.last is not None else page.records


# What msgspec must know of the types is built here, by one thread: building it in two at once ends the process.
msgspec.json.Decoder(_Pass)


def _state(work: Work) -> _Pass:
    row = work.execute(select(watch_state.c.state).where(watch_state.c.name == JOB).with_for_update()).first()
    if row is None:
        work.execute(insert(watch_state).values(name=JOB, position=0, state={}))
        return _Pass(0, 0)
    return msgspec.convert(row.state, _Pass)


def _say(work: Work, compared: int, unproven: int, problems: int) -> None:
    work.audit("records.reconciled", detail={"problems": problems, "records": compared, "unproven": unproven})


def _page(reader: Reader, after: _Place) -> _Page:
    """The next page of places where there is a record, a change of one, or an index entry, and what disagrees."""
    stored, stored_more = _bounded(_stored(reader, after))
    changes, changes_more = _bounded(_newest_changes(reader, after))
    full = [list(found)[-1] for found, more in ((stored, stored_more), (changes, changes_more)) if more]
    last = min(full, default=None)
    indexed, indexed_more = _bounded(_indexed(reader, after, last))
    if indexed_more:
        last = list(indexed)[-1]
    places = {place for found in (stored, changes, indexed) for place in found if last is None or place <= last}
    suspects: list[_Place] = []
    compared = unproven = 0
    for place in sorted(places):
        row, change = stored.get(place), changes.get(place)
        compared += row is not None
        if row is not None and change is not None and change.action in CHANGES and change.digest is None:
            unproven += 1
        elif not _agrees(row, change) or (row is None and place in indexed):
            suspects.append(place)
    ended = _ended(reader, {place.subject_id for place in suspects if place not in stored})
    suspects = [one for one in suspects if one in stored or one in indexed or one.subject_id not in ended]
    return _Page(compared, unproven, suspects, last)


def _agrees(row: _Row | None, change: _Change | None) -> bool:
    if row is None:
        return change is None or change.action in ENDINGS
    return (
        change is not None
        and change.action in CHANGES
        and change.digest == row.digest
        and change.version in (None, row.version)
    )


def _confirmed(work: Work, suspects: Iterable[_Place]) -> list[Problem]:
    """What is still wrong when the subject's writers stand still."""
    work.concerns("records.reconciled")
    work.require(Role.ADMIN)
    problems = [
        Problem(place.subject_id, place.record_id, what)
        for place in suspects
        if (what := wrong(work, place.subject_id, place.record_id)) is not None
    ]
    for one in problems:
        work.audit("record.mismatch", subject=one.subject_id, record=one.record_id, detail={"what": one.what})
    return problems


def wrong(work: Work, subject_id: UUID, record_id: UUID) -> str | None:
    """What is wrong with a record, None when nothing is; its subject's writers wait until the work has ended."""
    place = _Place(subject_id, record_id)
    with suppress(NotFound, Erased):  # nobody writes for such a subject
        subjects.hold_for_writing(work, place.subject_id, alone=True)
    row = next(iter(_stored(work, place, only=True).values()), None)
    changes = _changes(work, place)
    newest = changes[-1] if changes else None
    if row is None:
        if newest is not None and newest.action not in ENDINGS and not _ended(work, {place.subject_id}):
            return "deleted"
        return "index" if _has_entry(work, place) else None
    if newest is None:
        return "slipped-in"
    if newest.action in ENDINGS:
        return "returned"
    if newest.digest == row.digest:
        return None if newest.version in (None, row.version) else "version"
    if newest.digest is None:
        return None
    return "rolled-back" if any(change.digest == row.digest for change in changes[:-1]) else "changed"


def _changes(work: Work, place: _Place) -> list[_Change]:
    """The record's changes by version: the clocks of two replicas may differ, so ids alone do not order them."""
    rows = work.execute(
        _of_records(_E)
        .where(_E.subject_id == place.subject_id, _E.record_id == place.record_id)
        .order_by(_E.event_id.desc())
        .limit(_MOST_EVENTS)
    )
    found = [_change(row) for row in rows]
    found.reverse()
    if any(change.version is None for change in found):
        return found
    return sorted(found, key=lambda change: (change.version or 0, change.id))


def _change(row: Any) -> _Change:
    version: int | None = (row.detail or {}).get("version")
    if row.action == STORED:
        version = 1
    elif row.action in ENDINGS:
        version = 1 << 62  # the last of all
    return _Change(row.event_id, row.action, row.digest, version)


def _ended(reader: Reader, subject_ids: set[UUID]) -> set[UUID]:
    """Which of the subjects an event has erased; their records are gone with them."""
    if not subject_ids:
        return set()
    found = select(_E.subject_id).where(_E.subject_id.in_(sorted(subject_ids)), _E.action.in_(SUBJECT_ENDINGS))
    return {row.subject_id for row in reader.execute(found.distinct())}


def _after(columns: Any, place: _Place) -> Any:
    """Behind a place, as row values: a disjunction would walk from the subject's first record at each page."""
    return tuple_(columns.subject_id, columns.record_id) > tuple_(
        literal(place.subject_id, Id()), literal(place.record_id, Id())
    )


def _at(columns: Any, place: _Place) -> Any:
    return and_(columns.subject_id == place.subject_id, columns.record_id == place.record_id)


def _stored(reader: Reader, place: _Place, *, only: bool = False) -> dict[_Place, _Row]:
    """The next records; `only` that of the place itself."""
    statement = (
        select(records.c.subject_id, records.c.record_id, records.c.version, records.c.sealed)
        .where(_at(records.c, place) if only else _after(records.c, place))
        .order_by(records.c.subject_id, records.c.record_id)
        .limit(PAGE + 1)
    )
    return {
        _Place(row.subject_id, row.record_id): _Row(row.version, digest_of(row.sealed))
        for row in reader.execute(statement)
    }


def _newest_changes(reader: Reader, place: _Place) -> dict[_Place, _Change]:
    statement = newest_changes().where(_after(_E, place)).order_by(_E.subject_id, _E.record_id).limit(PAGE + 1)
    return {_Place(row.subject_id, row.record_id): _change(row) for row in reader.execute(statement)}


def newest_changes() -> Select[Any]:
    """The newest change of each record: subject_id, record_id, event_id, action, digest, detail."""
    later = exists().where(
        *_is_change(_LATER.c),
        _LATER.c.subject_id == _E.subject_id,
        _LATER.c.record_id == _E.record_id,
        _LATER.c.event_id > _E.event_id,
    )
    return _of_records(_E).where(~later)


def _indexed(reader: Reader, after: _Place, last: _Place | None) -> dict[_Place, None]:
    """Index entries whose record is not there, behind a place and up to another."""
    there = exists().where(
        records.c.subject_id == index_entries.c.subject_id, records.c.record_id == index_entries.c.record_id
    )
    statement = (
        select(index_entries.c.subject_id, index_entries.c.record_id)
        .where(_after(index_entries.c, after), ~there)
        .distinct()
        .order_by(index_entries.c.subject_id, index_entries.c.record_id)
        .limit(PAGE + 1)
    )
    if last is not None:  # else each page would walk to the table's end
        statement = statement.where(~_after(index_entries.c, last))
    return {_Place(row.subject_id, row.record_id): None for row in reader.execute(statement)}


def _has_entry(work: Work, place: _Place) -> bool:
    return (
        work.execute(select(index_entries.c.record_id).where(_at(index_entries.c, place)).limit(1)).first() is not None
    )


def _of_records(columns: Any) -> Select[Any]:
    return select(
        columns.subject_id, columns.record_id, columns.event_id, columns.action, columns.digest, columns.detail
    ).where(*_is_change(columns))


def _is_change(columns: Any) -> tuple[Any, ...]:
    """An event that made a record what it is; the first two as the partial index has them."""
    return columns.outcome == _DONE, columns.record_id.is_not(None), columns.action.in_((*CHANGES, *ENDINGS))


def _bounded(found: Mapping[_Place, Any]) -> tuple[dict[_Place, Any], bool]:
    """At most a page of it, and whether there was more."""
    pairs = list(found.items())
    return dict(pairs[:PAGE]), len(pairs) > PAGE


def digest_of(sealed: bytes) -> str:
    """What a change event says of the sealed record that it left."""
    return sha256(sealed).hexdigest()
