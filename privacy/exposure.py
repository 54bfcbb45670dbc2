"""What a leaked key, a component or an address has seen: the list that a breach notice is written from.

GDPR 33(3)(a)(d) and 34 ask whose data of which categories was disclosed, PIPL 57 likewise. The answer is summed from
the audit log, read from its columnar copy (`privacy.audit_segments`) outside every transaction. It holds ids and
declared names only: contacts are resolved by the privacy office, by purposes of its own. Only outcome "disclosed"
counts. What was "compared" (opened for a search, and the caller not told) is counted apart.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID

import msgspec
from sqlalchemy import select

from privacy import audit_segments
from privacy.audit import Begin
from privacy.audit_segments import Copy
from privacy.errors import Invalid, NotFound, Unauthenticated
from privacy.principals import digest_of
from privacy.steward import Steward
from privacy.tables import api_keys, micros, moment, principals
from privacy.work import Role, Work

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST: Final = 10_000  # subjects of a page
_ROWS: Final = 10_000  # in memory at once
_KEY_ID: Final = 16  # hexadecimal digits

Form = Literal["csv", "ndjson"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Whose reads are asked for; all that is given must hold. `since` is included, `until` is not.

    `key` is an API key in full, as it leaked: it is hashed at once. `address` is where calls came from.
    """

    principal: str | None = None
    key_id: str | None = None
    key: str | None = None
    address: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def __repr__(self) -> str:
        return "Question(…)"  # a key and an address are for no log


@dataclass(frozen=True, slots=True)
class FieldSeen:
    """How often a field was disclosed; `masked` of the `times` through a mask. Of how many subjects, in totals."""

    type: str | None
    field: str
    times: int
    masked: int
    first: datetime
    last: datetime
    subjects: int = 1


@dataclass(frozen=True, slots=True)
class Exposed:
    """One data subject, of whom something was disclosed."""

    subject: UUID
    disclosures: int
    compared: int
    first: datetime
    last: datetime
    purposes: tuple[str, ...]
    recipients: tuple[str, ...]
    fields: tuple[FieldSeen, ...]


@dataclass(frozen=True, slots=True)
class Totals:
    """Over all subjects. `unnamed` disclosures were about no subject in particular."""

    subjects: int
    disclosures: int
    compared: int
    unnamed: int
    first: datetime | None
    last: datetime | None
    purposes: tuple[str, ...]
    recipients: tuple[str, ...]
    fields: tuple[FieldSeen, ...]


@dataclass(frozen=True, slots=True)
class Exposure:
    """A page of the answer, by subject id. `totals` come with the first page.

    `until` binds every page to the same events. `events` of the log were looked at, `waiting` of them not yet
    sequenced; `archived` were let go before, and `missing` should be in the log and are not: verify it.
    """

    key_id: str | None
    until: datetime
    events: int
    waiting: int
    archived: int
    missing: int
    totals: Totals | None
    items: list[Exposed]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question that was checked and is on record."""

    service: Steward
    principal: str | None
    key_id: str | None
    origins: tuple[str, ...]
    since: int | None
    until: int
    after: UUID | None


def ask(begin: Begin, question: Question, *, limit: int = 100, cursor: str | None = None) -> Exposure:
    """A page of what was disclosed. The event of the asking is durable before anything is looked at.

    `begin` opens a unit of work, which ends before the reading starts: a long look holds up nobody. Raises
    `Forbidden` unless the actor is an auditor or an administrator; `Invalid`; `NotFound` for a key or principal that
    there never was, of which "nothing" would be a dangerous answer; `Unavailable`.
    """
    asked = _record(begin, question, cursor)
    limit = min(max(limit, 1), MOST)
    with _matching(asked) as (copy, connection):
        totals = _totals(connection) if asked.after is None else None
        ids: list[UUID] = [row[0] for row in connection.execute(_SUBJECTS, [asked.after, limit + 1]).fetchall()]
        page = ids[:limit]
        found = list(_subjects(connection, page[0], page[-1])) if page else []
        return Exposure(
            key_id=asked.key_id,
            until=moment(asked.until),
            events=copy.size + copy.waiting - copy.archived - copy.missing,
            waiting=copy.waiting,
            archived=copy.archived,
            missing=copy.missing,
            totals=totals,
            items=found,
            next_cursor=_cursor(page[-1], asked.until) if len(ids) > limit else None,
        )


def every(begin: Begin, question: Question) -> Iterator[Exposed]:
    """Every subject of the answer, in the order of their ids, in flat memory. On record, and raises, as `ask`."""
    asked = _record(begin, question, None)
    with _matching(asked) as (_, connection):
        yield from _subjects(connection, UUID(int=0), UUID(int=(1 << 128) - 1))


def listed(found: Iterable[Exposed], form: Form, *, head: bool = True) -> Iterator[bytes]:
    """The list for a breach notice: NDJSON with a subject a line, or CSV with a line for each field of a subject.

    `head`: CSV begins with the names of its columns.
    """
    if form == "ndjson":
        for one in found:
            yield msgspec.json.encode(one) + b"\n"
        return
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\r\n")  # RFC 4180
    if head:
        rows.writerow(("subject", "type", "field", "times", "masked", "first", "last", "purposes", "recipients"))
    for one in found:
        names = (" ".join(one.purposes), " ".join(one.recipients))
        for seen in one.fields:
            times = (seen.times, seen.masked, _utc(seen.first), _utc(seen.last))
            rows.writerow((one.subject, seen.type, seen.field, *times, *names))
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()
    yield text.getvalue().encode()


def _record(begin: Begin, question: Question, cursor: str | None) -> _Asked:
    """Check the question and put it on record, with ids and hashes for what it named."""
    with begin() as work:
        work.concerns("audit.exposure-asked")
        work.require(Role.AUDITOR, Role.ADMIN)
        after, until = _place(cursor)
        key_id, origins = _key_id(work, question), _origins(work, question.address)
        if question.principal is not None:
            _require_principal(work, question.principal)
        if not (question.principal or key_id or origins or question.since):
            raise Invalid("Name a principal, a key, an address or a time to begin at")
        if until is None:
            until = work.instant if question.until is None else micros(question.until)
        until = min(until, work.instant)  # what comes later would be in some pages and not in others
        since = None if question.since is None else micros(question.since)
        if since is not None and since >= until:
            raise Invalid("since is before until")
        detail = {"principal": question.principal, "key_id": key_id, "origins": origins, "since": since, "until": until}
        work.audit("audit.exposure-asked", detail={name: value for name, value in detail.items() if value})
        return _Asked(work.service, question.principal, key_id, origins, since, until, after)


def _key_id(work: Work, question: Question) -> str | None:
    """How events name the key. Raises `Invalid`, `NotFound`."""
    key_id = question.key_id
    if question.key is not None:
        if key_id is not None:
            raise Invalid("Give the key or its id, not both")
        try:
            key_id = digest_of(question.key).hex()[:_KEY_ID]
        except Unauthenticated as error:
            raise Invalid(error.detail) from None
    if key_id is not None and key_id not in {
        bytes(digest).hex()[:_KEY_ID] for (digest,) in work.execute(select(api_keys.c.digest))
    }:
        raise NotFound("No API key of this deployment has this id")
    return key_id


def _origins(work: Work, address: str | None) -> tuple[str, ...]:
    """What events may hold for the address: a socket for both families names an IPv4 address as IPv6 does."""
    if address is None:
        return ()
    try:
        found: IPv4Address | IPv6Address = ip_address(address)
    except ValueError:
        raise Invalid("The address is an IPv4 or IPv6 address") from None
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    names = [str(found)] if isinstance(found, IPv6Address) else [str(found), f"::ffff:{found}"]
    return tuple(work.service.origin_of(name) for name in names)


def _require_principal(work: Work, name: str) -> None:
    if work.execute(select(principals.c.id).where(principals.c.name == name)).first() is None:
        raise NotFound("There is no principal of this name")


@contextmanager
def _matching(asked: _Asked) -> Iterator[tuple[Copy, DuckDBPyConnection]]:
    """The table `seen`: what the question is about, summed as far as everything else can be summed from it."""
    conditions = ["outcome IN ('disclosed', 'compared')", '"at" < ?']
    values: list[object] = [asked.until]
    for condition, value in (
        ('"at" >= ?', asked.since),
        ("actor = ?", asked.principal),
        ("key_id = ?", asked.key_id),
        ("list_contains(?, origin)", list(asked.origins) or None),
        ("subject > ?", asked.after),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    with audit_segments.reading(asked.service) as copy:
        copy.connection.execute(_SEEN + " AND ".join(conditions) + " GROUP BY ALL", values)
        yield copy, copy.connection


_SEEN: Final = (
    "CREATE TABLE seen AS SELECT subject, type, fields, coalesce(masked, []) AS masked, purpose, recipient,"
    ' outcome = \'disclosed\' AS given, count(*) AS times, min("at") AS first, max("at") AS last FROM events WHERE '
)
_SUBJECTS: Final = (
    "SELECT DISTINCT subject FROM seen WHERE given AND subject IS NOT NULL AND ($1 IS NULL OR subject > $1)"
    " ORDER BY subject LIMIT $2"
)
_OF_SUBJECTS: Final = (
    "SELECT * FROM seen WHERE subject BETWEEN ? AND ? ORDER BY subject, type, fields, masked, purpose, recipient"
)
_TOTALS: Final = (
    "SELECT count(DISTINCT subject) FILTER (given), coalesce(sum(times) FILTER (given), 0),"
    " coalesce(sum(times) FILTER (NOT given), 0), coalesce(sum(times) FILTER (given AND subject IS NULL), 0),"
    " min(first) FILTER (given), max(last) FILTER (given),"
    " list(DISTINCT purpose) FILTER (given), list(DISTINCT recipient) FILTER (given) FROM seen"
)
_FIELDS: Final = (
    "SELECT type, field, sum(times), coalesce(sum(times) FILTER (list_contains(masked, field)), 0),"
    " min(first), max(last), count(DISTINCT subject)"
    " FROM (SELECT *, unnest(fields) AS field FROM seen WHERE given) GROUP BY type, field ORDER BY type, field"
)


def _totals(connection: DuckDBPyConnection) -> Totals:
    (row,) = connection.execute(_TOTALS).fetchall()
    subjects, disclosures, compared, unnamed, first, last, purposes, recipients = row
    return Totals(
        subjects=subjects,
        disclosures=int(disclosures),
        compared=int(compared),
        unnamed=int(unnamed),
        first=None if first is None else moment(first),
        last=None if last is None else moment(last),
        purposes=_names(purposes or ()),
        recipients=_names(recipients or ()),
        fields=tuple(
            FieldSeen(type, field, int(times), int(masked), moment(since), moment(until), count)
            for type, field, times, masked, since, until, count in connection.execute(_FIELDS).fetchall()
        ),
    )


def _subjects(connection: DuckDBPyConnection, first: UUID, last: UUID) -> Iterator[Exposed]:
    """Each subject from `first` to `last` of whom something was disclosed."""
    result = connection.execute(_OF_SUBJECTS, [first, last])
    rows = (row for many in iter(lambda: result.fetchmany(_ROWS), []) for row in many)
    for subject, own in groupby(rows, itemgetter(0)):
        if (exposed := _exposed(subject, own)) is not None:
            yield exposed


def _exposed(subject: UUID, rows: Iterator[Any]) -> Exposed | None:
    """None when the subject was only compared."""
    compared = disclosures = 0
    spans: list[tuple[int, int]] = []
    names: tuple[set[str | None], set[str | None]] = (set(), set())
    fields: dict[tuple[str | None, str], tuple[int, int, int, int]] = {}
    for _, type, given_fields, masked, purpose, recipient, given, times, first, last in rows:
        if not given:
            compared += times
            continue
        disclosures += times
        spans.append((first, last))
        names[0].add(purpose)
        names[1].add(recipient)
        for field in given_fields or ():
            times_masked = times if field in masked else 0
            known = fields.get((type, field), (0, 0, first, last))
            fields[type, field] = (
                known[0] + times,
                known[1] + times_masked,
                min(known[2], first),
                max(known[3], last),
            )
    if not spans:
        return None
    return Exposed(
        subject=subject,
        disclosures=disclosures,
        compared=compared,
        first=moment(min(first for first, _ in spans)),
        last=moment(max(last for _, last in spans)),
        purposes=_names(names[0]),
        recipients=_names(names[1]),
        fields=tuple(
            FieldSeen(type, field, times, masked, moment(first), moment(last))
            for (type, field), (times, masked, first, last) in sorted(
                fields.items(), key=lambda item: (item[0][0] or "", item[0][1])
            )
        ),
    )


def _names(found: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted(name for name in found if name is not None))


def _cursor(subject: UUID, until: int) -> str:
    return base64.urlsafe_b64encode(subject.bytes + until.to_bytes(8, "big")).decode()


def _place(cursor: str | None) -> tuple[UUID | None, int | None]:
    """The subject and the end that `_cursor` was given. Raises `Invalid`."""
    if cursor is None:
        return None, None
    try:
        place = base64.b64decode(cursor, altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        place = b""
    if len(place) != 24:
        raise Invalid("The cursor is not one of ours")
    return UUID(bytes=place[:16]), int.from_bytes(place[16:], "big")


def _utc(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
