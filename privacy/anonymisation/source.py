"""What may be read for analytics: of every subject who has not said no, the declared fields, and nothing for nobody.

A purpose that is `only: anonymised` receives releases and statistics, never a record. They are made of what this
module reads, under the same gate as a read (`access.decide_release`): consent, its expiry and its notice, objections,
restrictions, guardians, bases that have ended, periods that have passed, all as they are at the instant of reading.

1. One transaction a page, in the order of subject and record; expired records are not in it.
2. Each record is decided upon and opened through the vault. One event a subject and page names the fields.
3. The page's values are used only after its transaction, with the events, has committed.

A subject of whom nothing may be read leaves no event, unless its profile had to be opened to know. What was read
stays in memory: the caller seals it or lets it go.
"""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, literal, literal_column, select, tuple_

from privacy import access, vault
from privacy.database import Lookup
from privacy.errors import AuditUnavailable, Erased, Invalid, NotInPurpose, PrivacyError, Refused
from privacy.facts import FACTS, Facts, facts_of, with_facts
from privacy.levels import Level
from privacy.masks import mask
from privacy.plans import MINIMAL_LAW, Plan
from privacy.tables import Instant, micros, moment, records, subjects, uuid_of
from privacy.values import Value
from privacy.vault import At, Decision, Opening
from privacy.work import Actor, Work

if TYPE_CHECKING:
    from privacy.slots import Progress
    from privacy.steward import Steward

PAGE: Final = 500  # records of one transaction: on SQLite nobody else writes meanwhile
CORRUPT: Final = "corrupt"
_R: Final = records.c
_FACTS_AT: Final = 6
_FIRST: Final = (UUID(int=0), UUID(int=0))
_FOREVER: Final = (-(2**62), 2**62)  # microseconds
_SNAPSHOT: Final = "analytics-snapshot"


def _among(record_type: Any, began: Any, since: Any, until: Any) -> tuple[ColumnElement[bool], ...]:
    """An expired record is not readable even before the sweep removes it."""
    return (
        _R.record_type == record_type,
        _R.expires_at > began,
        _R.stored_at <= began,
        _R.stored_at >= since,
        _R.stored_at < until,
    )


# A page of records after one, in the order of subject and record, each with what the gate must know.
_ROWS: Final = Lookup(
    lambda purpose, counterpart, record_type, began, since, until, subject_id, record_id: (
        select(_R.subject_id, _R.record_id, _R.stored_at, _R.sealed, _R.version, _R.level, *FACTS)
        .select_from(
            with_facts(
                records.join(subjects, subjects.c.subject_id == _R.subject_id), _R.subject_id, purpose, counterpart
            )
        )
        .where(*_among(record_type, began, since, until))
        .where(tuple_(_R.subject_id, _R.record_id) > tuple_(subject_id, record_id))
        .order_by(_R.subject_id, _R.record_id)
        .limit(literal_column(str(PAGE)))
        .offset(literal_column("0"))
    ),
    "text",
    "text",
    "text",
    "bigint",
    "bigint",
    "bigint",
    "uuid",
    "uuid",
)
_STANDING: Final = Lookup(
    lambda subject_id, purpose, counterpart: (
        select(*FACTS)
        .select_from(with_facts(subjects, subjects.c.subject_id, purpose, counterpart))
        .where(subjects.c.subject_id == subject_id)
    ),
    "uuid",
    "text",
    "text",
)


@dataclass(frozen=True, slots=True)
class Period:
    """Records that were stored from `since` on and before `until`; None: no limit."""

    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """What was read, one row a record: `columns` by field, None where there is no value; `subjects`, whose it is.

    `withheld`: how many records were left out, by the code of the rule. `snapshot`: a keyed hash of which records in
    which versions were read of which fields: equal for two readings exactly when they read the same.
    """

    columns: Mapping[str, list[Value]] = field(repr=False)
    subjects: list[UUID] = field(repr=False)
    at: datetime
    withheld: Mapping[str, int]
    snapshot: str

    @property
    def rows(self) -> int:
        return len(self.subjects)

    @property
    def persons(self) -> int:
        return len(set(self.subjects))


@dataclass(frozen=True, slots=True)
class _Page:
    rows: tuple[tuple[UUID, bytes, dict[str, Value]], ...]
    withheld: Counter[str]
    looked: int
    next: tuple[UUID, UUID] | None


def fields_of(work: Work, purpose: str, record_type: str, fields: Sequence[str] | None = None) -> tuple[str, ...]:
    """The fields that may be asked for: those named, or all that the purpose uses of the type.

    For operators, for services that are granted both, and for the service itself. Raises `UndeclaredPurpose`,
    `Undeclared`, `NotInPurpose` for a field or a purpose that does not allow it, `Forbidden`, `Invalid` for a field
    that the purpose gets redacted: free text is no column.
    """
    access.may_analyse(work, purpose, record_type)
    plan = work.declared.plan(purpose, record_type, None if fields is None else tuple(fields))
    for name in fields or ():
        if name in plan.withheld:
            raise NotInPurpose(f"The purpose {purpose} has no use for the field {name}", law=MINIMAL_LAW, field=name)
    for grant in plan.grants:
        if grant.is_redacted:
            raise Invalid(f"The field {grant.field} is free text, which is in no release", field=grant.field)
    return plan.given


def gather(
    service: Steward,
    *,
    purpose: str,
    record_type: str,
    fields: Sequence[str] | None = None,
    actor: Actor,
    action: str,
    detail: Mapping[str, object] | None = None,
    period: Period | None = None,
    progress: Progress | None = None,
) -> Gathered:
    """All that the purpose may have of the type now, page by page, as the module says.

    `action` is that of the events, `detail` what they add (ids and names). With `progress`, each transaction
    holds the job. Records stored after the beginning are left out. Raises what `fields_of` raises; `Unavailable`,
    `AuditUnavailable` when the log is not to be trusted: then nothing is read.
    """
    since, until = _between(period or Period())
    with service.begin(actor) as work:
        if progress is not None:
            progress.hold(work)
        work.concerns(action, purpose=purpose)
        asked = fields_of(work, purpose, record_type, fields)
        began = work.instant
        if service.distrust is not None:
            raise AuditUnavailable(service.distrust)
        total = work.execute(_count(record_type, began, since, until)).scalar_one() if progress is not None else None
    columns: dict[str, list[Value]] = {name: [] for name in asked}
    subject_ids: list[UUID] = []
    withheld: Counter[str] = Counter()
    marks = hmac.new(service.keyring.fingerprint(_SNAPSHOT, _named(purpose, record_type, asked)), digestmod=sha256)
    after: tuple[UUID, UUID] | None = _FIRST
    seen = 0
    while after is not None:
        with service.begin(actor) as work:
            if progress is not None:
                progress.hold(work)
            work.concerns(action, purpose=purpose)
            fields_of(work, purpose, record_type, asked)  # the manifest or the grant may have changed since
            plan = work.declared.plan(purpose, record_type, asked)
            key = (purpose, plan.conditions.counterpart, record_type, began, since, until, *after)
            (rows,) = work.transaction.lookup(_ROWS, [key])
            page = _read_page(work, plan, rows, action, detail or {})
        for subject_id, mark, values in page.rows:  # durable by now
            subject_ids.append(subject_id)
            marks.update(mark)
            for name, column in columns.items():
                column.append(values.get(name))
        withheld += page.withheld
        seen, after = seen + page.looked, page.next
        if progress is not None:
            progress.report(seen, total)
    return Gathered(columns, subject_ids, moment(began), dict(withheld), marks.hexdigest())


def standing(
    work: Work, *, purpose: str, record_type: str, fields: Sequence[str], subject_ids: Sequence[UUID]
) -> dict[UUID, str]:
    """Of these subjects those of whom the purpose may not have the fields now, and the code of the rule that says so.

    A subject who is gone is among them ("erased"). Nothing of a record is opened. Raises what `fields_of` raises.
    """
    fields_of(work, purpose, record_type, fields)
    plan = work.declared.plan(purpose, record_type, tuple(fields))
    demanded = (plan.purpose.name, plan.conditions.counterpart)
    found = work.transaction.lookup(_STANDING, [(subject_id, *demanded) for subject_id in subject_ids])
    missing: dict[UUID, str] = {}
    for subject_id, rows in zip(subject_ids, found, strict=True):
        facts = facts_of(rows[0], 0, subject_id) if rows else None
        code = Erased.code if facts is None else _refusal(work, plan, facts)
        if facts is not None and facts.profile is not None:
            _looked_at(work, plan, subject_id, code)
        if code is not None:
            missing[subject_id] = code
    return missing


def _refusal(work: Work, plan: Plan, facts: Facts) -> str | None:
    try:
        decision = access.decide_release(work, plan, facts)
    except (Refused, Erased) as no:
        return no.code
    return "category-not-consented" if len(decision.grants) < len(plan.grants) else None


def _looked_at(work: Work, plan: Plan, subject_id: UUID, code: str | None) -> None:
    """The profile of one who was young may have been opened for its age: that has an event."""
    detail = {"answer": code or "allowed", "type": plan.record_type.name}
    work.audit("release.age-checked", subject=subject_id, purpose=plan.purpose.name, detail=detail)


def _read_page(
    work: Work, plan: Plan, rows: Sequence[tuple[Any, ...]], action: str, detail: Mapping[str, object]
) -> _Page:
    """Step 2."""
    withheld: Counter[str] = Counter()
    kept: list[tuple[UUID, bytes, dict[str, Value]]] = []
    openings, looked_at = _decided(work, plan, rows, withheld)
    opened = vault.unseal_many(work, [opening for opening, _ in openings])
    read: dict[UUID, tuple[set[str], int]] = {}
    for ((decision, at, *_), version), found in zip(openings, opened, strict=True):
        if isinstance(found, PrivacyError):
            withheld[found.code] += 1
            looked_at.setdefault(at.subject_id, found.code)  # it may have been opened in vain
            continue
        values = _values(decision, found)
        names, count = read.get(at.subject_id, (set(), 0))
        read[at.subject_id] = (names | values.keys(), count + 1)
        kept.append((at.subject_id, at.record_id.bytes + _named(version, *values), values))
    purpose, basis, type = plan.purpose.name, plan.purpose.basis.value, plan.record_type.name
    for subject_id, (names, count) in read.items():
        said = {**detail, "records": count, "type": type}
        work.audit(action, subject=subject_id, purpose=purpose, basis=basis, fields=sorted(names), detail=said)
    for subject_id, code in looked_at.items():
        if subject_id not in read:
            _looked_at(work, plan, subject_id, code)
    last = (uuid_of(rows[-1][0]), uuid_of(rows[-1][1])) if len(rows) == PAGE else None
    return _Page(tuple(kept), withheld, len(rows), last)


def _decided(
    work: Work, plan: Plan, rows: Sequence[tuple[Any, ...]], withheld: Counter[str]
) -> tuple[list[tuple[Opening, int]], dict[UUID, str]]:
    """What may be opened, with its version; and subjects who were refused after their profile was opened, perhaps."""
    openings: list[tuple[Opening, int]] = []
    looked_at: dict[UUID, str] = {}
    scope, type = plan.record_type.scope, plan.record_type.name
    for row in rows:
        subject_id = uuid_of(row[0])
        facts = facts_of(row, _FACTS_AT, subject_id)
        try:
            # which of the fields that may rise has raised the record is not looked up: none is taken
            sensitive = plan.rising if row[5] >= Level.L4 else ()
            decision = access.decide_release(work, plan, facts, row[2], sensitive=sensitive)
        except (Refused, Erased) as no:
            withheld[no.code] += 1
            if facts.profile is not None:
                looked_at.setdefault(subject_id, no.code)
            continue
        at = At(subject_id, scope, type, uuid_of(row[1]))
        openings.append((Opening(decision, at, bytes(row[3])), row[4]))
    return openings, looked_at


def _values(decision: Decision, opened: Mapping[int, Any]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for grant in decision.grants:
        if grant.number in opened:
            value: Value = opened[grant.number]
            found[grant.field] = value if grant.mask is None else mask(grant.mask, value)
    return found


def _named(*names: object) -> bytes:
    return b"".join(len(one).to_bytes(4, "big") + one for one in (str(name).encode() for name in names))


def _count(record_type: str, began: int, since: int, until: int) -> Select[int]:
    among = _among(
        literal(record_type), literal(began, Instant()), literal(since, Instant()), literal(until, Instant())
    )
    return select(func.count()).select_from(records).where(*among)


def _between(period: Period) -> tuple[int, int]:
    return (
        _FOREVER[0] if period.since is None else micros(period.since),
        _FOREVER[1] if period.until is None else micros(period.until),
    )
