"""The audit events, for those who check them. They are written by `privacy.work` and by nothing else.

The table only grows: triggers on both databases refuse update and delete. Each question here is on record before it
is answered, in a transaction of its own; the answer is then read from a snapshot, because a search through millions
of events must not keep one writer waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from ipaddress import ip_address
from typing import Any, Final, TypeAlias
from uuid import UUID

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Text,
    desc,
    func,
    literal_column,
    select,
    type_coerce,
)

from privacy.database import Row, Transaction
from privacy.errors import Invalid
from privacy.steward import Steward, wall_clock
from privacy.tables import Instant, Json, audit_events, audit_positions, micros, moment, uuid_of
from privacy.work import Role, Work

MOST: Final = 1000
MOST_COUNTS: Final = 10_000
OUTCOMES: Final = ("done", "disclosed", "refused", "compared")
CHECKERS: Final = (Role.AUDITOR, Role.ADMIN)

Begin: TypeAlias = Callable[[], AbstractContextManager[Work]]
"""A unit of work of whoever asks: `Steward.begin` with its actor."""

_HOUR: Final = 3_600_000_000  # microseconds
_DAY: Final = 24 * _HOUR
# An id is made just after the instant of its event. How much earlier it may say it was, or later, because a process
# whose clock was set back goes on counting its ids where they were:
_EARLIER: Final = _DAY
_LATER: Final = 31 * _DAY
_decode: Final = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `fields` are names; nothing in it is personal but the subject's opaque id.

    `position` is its place in the tree, None until it is sequenced. `key_id` names the API key, `origin` is a keyed
    hash of the caller's address. `digest` is the SHA-256 of the sealed record that a change left, `commitment` that
    of the event's sealed detail.
    """

    id: UUID
    at: datetime
    actor: str
    role: str
    action: str
    outcome: str
    subject: UUID | None
    record: UUID | None
    purpose: str | None
    basis: str | None
    fields: Sequence[str]
    detail: Any
    request_id: str | None
    position: int | None
    writer: UUID
    sequence: int
    key_id: str | None
    origin: str | None
    digest: str | None
    commitment: str | None


@dataclass(frozen=True, slots=True)
class Filters:
    """What an event must match: every one that is given. `since` is included, `until` is not."""

    subject: UUID | None = None
    actor: str | None = None
    role: str | None = None
    type: str | None = None
    field: str | None = None
    purpose: str | None = None
    basis: str | None = None
    action: str | None = None
    outcome: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    request_id: str | None = None
    key_id: str | None = None
    origin: str | None = None

    @property
    def given(self) -> dict[str, Any]:
        """The filters that are there, by name."""
        return {part.name: value for part in fields(self) if (value := getattr(self, part.name)) is not None}


EVERYTHING: Final = Filters()


@dataclass(frozen=True, slots=True)
class Page:
    """Events, newest first; `before` is where the next page starts, None at the end."""

    items: list[Event]
    before: UUID | None


class By(StrEnum):
    """What events are counted by."""

    HOUR = "hour"
    DAY = "day"
    ACTION = "action"
    ACTOR = "actor"
    PURPOSE = "purpose"
    OUTCOME = "outcome"


@dataclass(frozen=True, slots=True)
class Count:
    """How many events there are of one kind. `key` is a name, or the instant at which an hour or a day (UTC) begins;
    None: of events that name no purpose.
    """

    key: str | None
    count: int


def events(begin: Begin, filters: Filters = EVERYTHING, *, before: UUID | None = None, limit: int = 100) -> Page:
    """Events that match every filter given, newest first. Looking is itself an event, which is not in the answer.

    Raises `Forbidden` unless the actor is an auditor or an administrator, `Invalid`.
    """
    service, own = _on_record(begin, "audit.viewed", filters)
    limit = min(max(limit, 1), MOST)
    statement = select(*RAW).where(*conditions(service, filters), audit_events.c.event_id != own)
    if before is not None:
        statement = statement.where(audit_events.c.event_id < before)
    statement = statement.order_by(audit_events.c.event_id.desc()).limit(literal_column(str(limit + 1)))
    with reading(service) as transaction:
        rows = transaction.execute(statement).all()
    items = [event_of(row) for row in rows[:limit]]
    return Page(items, items[-1].id if len(rows) > limit else None)


def counts(begin: Begin, filters: Filters = EVERYTHING, *, by: By) -> list[Count]:
    """How many events match, `by` the hour or day, newest first, or by name, most frequent first.

    Raises as `events` does; `Invalid` for more than 10,000 hours or days.
    """
    service, own = _on_record(begin, "audit.counted", filters, {"by": by.value})
    length = {By.HOUR: _HOUR, By.DAY: _DAY}.get(by)
    at = type_coerce(audit_events.c.at, BigInteger)
    part = audit_events.c[by.value] if length is None else at // literal_column(str(length), BigInteger)
    kind, total = part.label("part"), func.count().label("number")
    statement = (
        select(kind, total)
        .where(*conditions(service, filters), audit_events.c.event_id != own)
        .group_by(part)
        .order_by(*((desc("number"), "part") if length is None else (desc("part"),)))
        .limit(literal_column(str(MOST_COUNTS + 1)))
    )
    with reading(service) as transaction:
        rows: Sequence[Row] = [tuple(row) for row in transaction.execute(statement)]
    if len(rows) > MOST_COUNTS:
        raise Invalid(f"That is more than {MOST_COUNTS} numbers; narrow it by since and until")
    return [Count(kind if length is None else iso(moment(kind * length)), number) for kind, number in rows]


def at_address(service: Steward, filters: Filters, address: str) -> Filters:
    """The filters, narrowed to a caller's address, which events keep only a keyed hash of. Raises `Invalid`."""
    if filters.origin is not None:
        raise Invalid("origin is the hash of an address: give one of the two")
    try:
        plain = str(ip_address(address.strip()))
    except ValueError:
        raise Invalid("The address is not an IP address") from None
    return replace(filters, origin=service.origin_of(plain))


def checked(work: Work, action: str, filters: Filters) -> None:
    """Say what the work is about. Raises `Forbidden`, `Invalid`."""
    work.concerns(action, subject=filters.subject)
    work.require(*CHECKERS)
    if filters.outcome is not None and filters.outcome not in OUTCOMES:
        raise Invalid(f"outcome is one of {', '.join(OUTCOMES)}")


def _on_record(
    begin: Begin, action: str, filters: Filters, detail: Mapping[str, object] | None = None
) -> tuple[Steward, UUID]:
    """Commit the event of a look into the log; the id of that event."""
    with begin() as work:
        checked(work, action, filters)
        work.audit(action, subject=filters.subject, detail={**(detail or {}), "filters": sorted(filters.given)})
        own: UUID = work.events[-1][0]
    return work.service, own


@contextmanager
def reading(service: Steward) -> Iterator[Transaction]:
    """What is committed, without holding up those who write."""
    with service.database.borrow() as lane, lane.snapshot() as transaction:
        yield transaction


# --- rows ---------------------------------------------------------------------------------------------------------


def raw(columns: Iterable[Column[Any]]) -> list[ColumnElement[Any]]:
    """The columns as the database keeps them: instants are microseconds, lists and objects JSON text."""
    plain = {Instant: BigInteger, Json: Text}
    return [
        type_coerce(column, kind).label(column.name) if (kind := plain.get(type(column.type))) else column
        for column in columns
    ]


# The position is looked up a row at a time, after the limit: joined, PostgreSQL would sort the whole log for a page.
_POSITION: Final = (
    select(audit_positions.c.position)
    .where(audit_positions.c.event_id == audit_events.c.event_id)
    .scalar_subquery()
    .label("position")
)
RAW: Final = (_POSITION, *raw(audit_events.columns))


def event_of(row: Row) -> Event:
    """The event of a row of `RAW`: its position, then the columns of `audit_events` as the database keeps them."""
    (
        position, event_id, at, writer, sequence, actor, role, action, outcome, subject, record, purpose, basis, names,
        detail, request_id, key_id, origin, digest, commitment,
    ) = row  # fmt: skip
    return Event(
        id=uuid_of(event_id),
        at=moment(at),
        actor=actor,
        role=role,
        action=action,
        outcome=outcome,
        subject=None if subject is None else uuid_of(subject),
        record=None if record is None else uuid_of(record),
        purpose=purpose,
        basis=basis,
        fields=_parsed(names) or (),
        detail=_parsed(detail),
        request_id=request_id,
        position=position,
        writer=uuid_of(writer),
        sequence=sequence,
        key_id=key_id,
        origin=origin,
        digest=digest,
        commitment=commitment,
    )


def _parsed(text: str | None) -> Any:
    """None also for what is no JSON: then somebody changed the event, and the rest of the log must still be read."""
    try:
        return None if text is None else _decode(text)
    except msgspec.DecodeError:
        return None


_COLUMN_OF: Final = {
    "subject": "subject_id",
    **{
        name: name
        for name in ("actor", "role", "purpose", "basis", "action", "outcome", "request_id", "key_id", "origin")
    },
}


def conditions(service: Steward, filters: Filters) -> list[ColumnElement[bool]]:
    """What the filters say, in SQL that both databases understand."""
    table = audit_events.c
    wanted = [table[_COLUMN_OF[name]] == value for name, value in filters.given.items() if name in _COLUMN_OF]
    if filters.type is not None:
        wanted.append(_holds(table.detail, f'"type":{_json(filters.type)}'))
    if filters.field is not None:
        wanted.append(_holds(table.fields, _json(filters.field)))
    if filters.since is not None:
        wanted += [table.at >= filters.since, table.event_id >= _earliest(service, filters.since)]
    if filters.until is not None:
        wanted += [table.at < filters.until, table.event_id < _latest(filters.until)]
    return wanted


def _holds(column: Column[Any], piece: str) -> ColumnElement[bool]:
    """Whether the JSON text has this piece, which begins and ends with a quote, so that no longer name matches.

    Not LIKE: SQLite's takes upper for lower case.
    """
    text = type_coerce(column, Text)
    return func.replace(text, piece, "") != text


def _json(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _earliest(service: Steward, since: datetime) -> UUID:
    """No event from `since` on has a smaller id. A window of time is then found without reading the whole log."""
    ahead = max(0, service.instant() - wall_clock())  # a clock that somebody has set on; ids go by the machine's
    return _id_at(micros(since) - _EARLIER - ahead)


def _latest(until: datetime) -> UUID:
    """No event before `until` has this id or a greater one."""
    return _id_at(micros(until) + _LATER)


def _id_at(instant: int) -> UUID:
    """The smallest id of that millisecond (RFC 9562 5.7)."""
    return UUID(int=max(0, instant // 1000) << 80)


def iso(at: datetime) -> str:
    """RFC 3339, UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
