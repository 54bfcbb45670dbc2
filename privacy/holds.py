"""Legal holds: what may not go while one stands, whatever its period says and whoever asks.

A hold is on a subject, on a record type, or on what a query names. It covers what is stored already and what will be.
Its reference and its reason are sealed under the key of the house: they outlive the subject they may be about.

Placing and removing never race. Whoever removes records locks, in this order, 1. the row 'holds' of `revisions`
(`lock`), 2. the subject's row, 3. the records, and reads the holds (`covering`) after 1; whoever places or lifts a
hold takes 1 alone. PIPL 47(2), GDPR 17(3)(e), 18(1)(c).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, RowMapping, and_, false, insert, or_, select, update

from privacy import alerts, house, ids, subjects
from privacy.alerts import Found
from privacy.errors import Conflict, Invalid, NotFound, OnHold
from privacy.tables import holds, micros, records, revisions
from privacy.tables import subjects as subjects_table
from privacy.watch_rules import HOLD_REVIEW_DUE
from privacy.work import Role, Work

PAGE: Final = 100
LAW: Final = ("PIPL-47", "GDPR-17-3-e")
TYPE: Final = "hold"  # the type under which its texts are sealed
_REFERENCE: Final = 1
_REASON: Final = 2
_LIFTED: Final = 3
_LONGEST: Final = 1000
_MOST_NAMES: Final = 100


class Kind(StrEnum):
    """What a hold is on."""

    SUBJECT = "subject"
    TYPE = "type"
    QUERY = "query"


@dataclass(frozen=True, slots=True)
class Query:
    """What a hold names: all that is said must be so. `stored_from` is the first instant, `stored_until` the end."""

    types: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()
    jurisdictions: tuple[str, ...] = ()
    stored_from: datetime | None = None
    stored_until: datetime | None = None

    def covers(self, record_type: str, purposes: Iterable[str], stored_at: datetime, jurisdiction: str) -> bool:
        return (
            (not self.types or record_type in self.types)
            and (not self.purposes or not set(self.purposes).isdisjoint(purposes))
            and (not self.jurisdictions or jurisdiction in self.jurisdictions)
            and (self.stored_from is None or stored_at >= self.stored_from)
            and (self.stored_until is None or stored_at < self.stored_until)
        )

    def clause(self) -> ColumnElement[bool]:
        """The same of rows of `records`."""
        parts: list[ColumnElement[bool]] = []
        if self.types:
            parts.append(records.c.record_type.in_(self.types))
        if self.purposes:
            parts.append(or_(*(records.c.purposes.contains(f'"{name}"', autoescape=True) for name in self.purposes)))
        if self.jurisdictions:
            there = select(subjects_table.c.subject_id).where(subjects_table.c.jurisdiction.in_(self.jurisdictions))
            parts.append(records.c.subject_id.in_(there))
        if self.stored_from is not None:
            parts.append(records.c.stored_at >= self.stored_from)
        if self.stored_until is not None:
            parts.append(records.c.stored_at < self.stored_until)
        return and_(*parts)


# What msgspec must know of the types is built here, by one thread: building it in two at once ends the process.
msgspec.json.Decoder(Query)


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold as the privacy office sees it; `lifted_for` is why it was lifted."""

    id: UUID
    kind: Kind
    subject_id: UUID | None
    record_type: str | None
    query: Query | None
    reference: str
    reason: str
    placed_at: datetime
    placed_by: str
    review_at: datetime
    lifted_at: datetime | None
    lifted_by: str | None
    lifted_for: str | None


@dataclass(frozen=True, slots=True)
class Holdings:
    """The holds that stand, as of the work that asked."""

    subjects: Mapping[UUID, tuple[UUID, ...]]
    types: Mapping[str, tuple[UUID, ...]]
    queries: Sequence[tuple[UUID, Query]]

    def of(
        self, subject_id: UUID, record_type: str, purposes: Iterable[str], stored_at: datetime, jurisdiction: str
    ) -> list[UUID]:
        """The holds that cover a record; none lets it go."""
        named = tuple(purposes)
        return [
            *self.subjects.get(subject_id, ()),
            *self.types.get(record_type, ()),
            *(hold for hold, query in self.queries if query.covers(record_type, named, stored_at, jurisdiction)),
        ]

    def clause(self) -> ColumnElement[bool]:
        """True of rows of `records` that a hold covers; holds on subjects are asked of their table, however many."""
        held = select(holds.c.subject_id).where(holds.c.subject_id.is_not(None), holds.c.lifted_at.is_(None))
        parts: list[ColumnElement[bool]] = [query.clause() for _, query in self.queries]
        if self.subjects:
            parts.append(records.c.subject_id.in_(held))
        if self.types:
            parts.append(records.c.record_type.in_(sorted(self.types)))
        return or_(*parts) if parts else false()


def lock(work: Work, *, alone: bool = False) -> None:
    """Keep holds as they are until the work ends; `alone`, to change them. Before any subject is locked.

    Not for a shared transaction. On SQLite a transaction of one's own is the only writer from its beginning.
    """
    if alone:
        work.execute(update(revisions).where(revisions.c.name == "holds").values(number=revisions.c.number + 1))
        return
    work.execute(select(revisions.c.number).where(revisions.c.name == "holds").with_for_update(read=True)).first()


def covering(work: Work, subject_id: UUID | None = None) -> Holdings:
    """The holds that stand; with `subject_id`, those that can concern it. After `lock`, they stay so."""
    statement = select(holds.c.hold_id, holds.c.subject_id, holds.c.record_type, holds.c.query)
    statement = statement.where(holds.c.lifted_at.is_(None)).order_by(holds.c.hold_id)
    if subject_id is not None:
        statement = statement.where(or_(holds.c.subject_id.is_(None), holds.c.subject_id == subject_id))
    of_subjects: dict[UUID, tuple[UUID, ...]] = {}
    of_types: dict[str, tuple[UUID, ...]] = {}
    queries: list[tuple[UUID, Query]] = []
    for row in work.execute(statement):
        if row.subject_id is not None:
            of_subjects[row.subject_id] = (*of_subjects.get(row.subject_id, ()), row.hold_id)
        elif row.record_type is not None:
            of_types[row.record_type] = (*of_types.get(row.record_type, ()), row.hold_id)
        else:
            queries.append((row.hold_id, msgspec.convert(row.query, Query)))
    return Holdings(of_subjects, of_types, queries)


def refuse_held(
    work: Work, subject_id: UUID, record_type: str, purposes: Iterable[str], stored_at: datetime, jurisdiction: str
) -> None:
    """Raises `OnHold` when a hold covers the record. The caller has locked the holds."""
    found = covering(work, subject_id).of(subject_id, record_type, purposes, stored_at, jurisdiction)
    if found:
        raise OnHold(
            "A legal hold keeps the record as it is until it is lifted (PIPL 47, GDPR 17(3)(e)).",
            zh="该记录处于法律保全之中，解除之前不得更改或者删除（《个人信息保护法》第四十七条）。",
            law=LAW,
            holds=[str(hold) for hold in found],
        )


# --- the privacy office


def place(
    work: Work,
    *,
    kind: Kind,
    subject_id: UUID | None = None,
    record_type: str | None = None,
    query: Query | None = None,
    reference: str,
    reason: str,
    review_at: datetime,
) -> Hold:
    """Place a hold; it stands from this commit on, against every removal that has not committed before.

    Raises `Invalid`, `Undeclared`, `UndeclaredPurpose`, `NotFound`, `Erased` (nothing is left to hold), `Forbidden`.
    """
    work.concerns("hold.placed", subject=subject_id)
    work.require(Role.OPERATOR, Role.ADMIN)
    _check(work, kind, subject_id, record_type, query)
    for text in (reference, reason):
        _check_text(text)
    if review_at <= work.now:
        raise Invalid("review_at must be in the future", zh="复核日期须在将来")
    lock(work, alone=True)
    if subject_id is not None:
        subjects.get(work, subject_id)
    hold_id = ids.new()
    work.execute(
        insert(holds).values(
            hold_id=hold_id,
            kind=kind.value,
            subject_id=subject_id,
            record_type=record_type,
            query=None if query is None else msgspec.to_builtins(query),
            sealed=house.seal(work, TYPE, hold_id, {_REFERENCE: reference, _REASON: reason}),
            placed_at=work.instant,
            placed_by=work.actor.name,
            review_at=review_at,
        )
    )
    detail = {"kind": kind.value, "review": review_at.isoformat()}
    if record_type is not None:
        detail["type"] = record_type
    placed = _shown(work, hold_id)
    work.audit("hold.placed", subject=subject_id, record=hold_id, detail=detail)
    return placed


def lift(work: Work, hold_id: UUID, reason: str) -> Hold:
    """Lift a hold. What it kept goes in its time again, and erasures that waited for it go on by themselves.

    Raises `NotFound`, `Conflict` when it is lifted already, `Invalid`, `Forbidden`.
    """
    work.concerns("hold.lifted", record=hold_id)
    work.require(Role.OPERATOR, Role.ADMIN)
    _check_text(reason)
    lock(work, alone=True)
    row = _row(work, hold_id)
    if row["lifted_at"] is not None:
        raise Conflict("The hold is lifted already", zh="该法律保全已解除")
    texts = house.unseal(work, TYPE, hold_id, bytes(row["sealed"]))
    work.execute(
        update(holds)
        .where(holds.c.hold_id == hold_id)
        .values(
            lifted_at=work.instant,
            lifted_by=work.actor.name,
            sealed=house.seal(work, TYPE, hold_id, texts | {_LIFTED: reason}),
        )
    )
    lifted = _shown(work, hold_id)
    work.audit("hold.lifted", subject=lifted.subject_id, record=hold_id, detail={"kind": lifted.kind.value})
    return lifted


def view(work: Work, hold_id: UUID) -> Hold:
    """A hold with its texts; looking is on record. Raises `NotFound`, `Forbidden`."""
    work.concerns("hold.viewed", record=hold_id)
    work.require(Role.OPERATOR, Role.ADMIN)
    found = _shown(work, hold_id)
    work.audit("hold.viewed", subject=found.subject_id, record=hold_id)
    return found


def listed(work: Work, *, all: bool = False, after: UUID | None = None, limit: int = PAGE) -> list[Hold]:
    """The holds that stand, or all there ever were, the oldest first. Raises `Forbidden`."""
    work.concerns("hold.listed")
    work.require(Role.OPERATOR, Role.ADMIN)
    statement = select(holds).order_by(holds.c.hold_id).limit(min(max(limit, 1), PAGE))
    if not all:
        statement = statement.where(holds.c.lifted_at.is_(None))
    if after is not None:
        statement = statement.where(holds.c.hold_id > after)
    found = [_hold(work, row) for row in work.execute(statement).mappings().all()]
    for hold in found:  # each was opened
        work.audit("hold.viewed", subject=hold.subject_id, record=hold.id)
    if not found:
        work.audit("hold.listed", detail={"count": 0})
    return found


def remind(work: Work) -> int:
    """Raise an alert for each hold whose review is due, one a review date; how many are due."""
    due = select(holds.c.hold_id, holds.c.review_at).where(
        holds.c.lifted_at.is_(None), holds.c.review_at <= work.instant
    )
    rows = work.execute(due.order_by(holds.c.hold_id)).all()
    for row in rows:
        alerts.raise_alert(work, Found(HOLD_REVIEW_DUE, str(row.hold_id), micros(row.review_at), 1, 0))
    return len(rows)


# --- what the functions above share


def _check(work: Work, kind: Kind, subject_id: UUID | None, record_type: str | None, query: Query | None) -> None:
    given = {Kind.SUBJECT: subject_id, Kind.TYPE: record_type, Kind.QUERY: query}
    if [one for one, value in given.items() if value is not None] != [kind]:
        raise Invalid(
            "A hold names what its kind says and nothing else: subject_id, record_type or query",
            zh="法律保全只能指定与其类型相应的一项：subject_id、record_type 或 query",
        )
    declared = work.declared
    if record_type is not None:
        declared.record_type(record_type)
    if query is None:
        return
    if query == Query():
        raise Invalid("A query names at least one condition", zh="查询至少须指定一个条件")
    if max(map(len, (query.types, query.purposes, query.jurisdictions))) > _MOST_NAMES:
        raise Invalid(f"A query names at most {_MOST_NAMES} of each", zh=f"查询的每项最多指定 {_MOST_NAMES} 个")
    for name in query.types:
        declared.record_type(name)
    for name in query.purposes:
        declared.purpose(name)
    for bound in (query.stored_from, query.stored_until):
        if bound is not None and bound.tzinfo is None:
            raise Invalid("A query's instants need their time zone", zh="查询的时间须注明时区")


def _check_text(text: str) -> None:
    if not 1 <= len(text) <= _LONGEST:
        raise Invalid(
            f"A reference or a reason has 1 to {_LONGEST} characters", zh=f"编号或者理由须为 1 至 {_LONGEST} 个字符"
        )


def _row(work: Work, hold_id: UUID) -> RowMapping:
    row = work.execute(select(holds).where(holds.c.hold_id == hold_id)).mappings().first()
    if row is None:
        raise NotFound("There is no such hold", zh="没有这项法律保全")
    return row


def _shown(work: Work, hold_id: UUID) -> Hold:
    """With its texts opened: the caller's event, which names the hold as its record, comes after."""
    return _hold(work, _row(work, hold_id))


def _hold(work: Work, row: RowMapping) -> Hold:
    texts: Mapping[int, Any] = house.unseal(work, TYPE, row["hold_id"], bytes(row["sealed"]))
    return Hold(
        id=row["hold_id"],
        kind=Kind(row["kind"]),
        subject_id=row["subject_id"],
        record_type=row["record_type"],
        query=None if row["query"] is None else msgspec.convert(row["query"], Query),
        reference=texts[_REFERENCE],
        reason=texts[_REASON],
        placed_at=row["placed_at"],
        placed_by=row["placed_by"],
        review_at=row["review_at"],
        lifted_at=row["lifted_at"],
        lifted_by=row["lifted_by"],
        lifted_for=texts.get(_LIFTED),
    )
