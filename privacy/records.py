"""Records: stored for purposes, read for a purpose, rectified, deleted.

What is stored is one sealed container a record and, for each declared lookup, an index entry. A record
ends when the longest of its purposes' periods ends; from then on nobody can read it, swept or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as member
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import delete as delete_from
from sqlalchemy import literal_column, or_, select, update

from privacy import access, at_the_door, audit_details, holds, ids, stored_findings, subjects, vault
from privacy.at_the_door import NOTHING, Analysed
from privacy.database import Insertion, Lookup, Row
from privacy.declaration import Declared
from privacy.errors import (
    ConsentMissing,
    Forbidden,
    Invalid,
    NotFound,
    NotInPurpose,
    PurposeEnded,
    Undeclared,
    VersionMismatch,
)
from privacy.facts import FACTS, Facts, facts_for, facts_of, with_facts
from privacy.levels import Level
from privacy.manifest import Basis, Field, Purpose, RecordType, Text
from privacy.masks import mask
from privacy.normalise import normalise
from privacy.plans import MINIMAL_LAW, Conditions, Reason
from privacy.retention_periods import ends_at, statutory
from privacy.rules import must_stay
from privacy.tables import index_entries, micros, moment, records, uuid_of
from privacy.tables import subjects as subjects_table
from privacy.values import Value, values_of
from privacy.vault import At, Decision, Sealable
from privacy.work import Role, Rows, Work

PAGE: Final = 100

_RECORDS = Insertion(records)
_ENTRIES = Insertion(index_entries)

_COLUMNS = (
    records.c.subject_id,
    records.c.record_id,
    records.c.record_type,
    records.c.version,
    records.c.stored_at,
    records.c.expires_at,
    records.c.sealed,
    records.c.level,
    *FACTS,
)
_FIRST_FACT: Final = len(_COLUMNS) - len(FACTS)


def _with_facts(purpose: Any, counterpart: Any) -> Any:
    """Records with all the gate needs, in the one query."""
    known = records.join(subjects_table, subjects_table.c.subject_id == records.c.subject_id)
    return with_facts(known, records.c.subject_id, purpose, counterpart)


_ONE = Rows(
    Lookup(
        lambda record_id, purpose, counterpart: (
            select(*_COLUMNS).select_from(_with_facts(purpose, counterpart)).where(records.c.record_id == record_id)
        ),
        "uuid",
        "text",
        "text",
    )
)
# A page of a subject's records after a record id, oldest first; one more than a page, to know there is more.
_OF_SUBJECT = Rows(
    Lookup(
        lambda subject_id, purpose, counterpart, record_type, after, instant: (
            select(*_COLUMNS)
            .select_from(_with_facts(purpose, counterpart))
            .where(
                records.c.subject_id == subject_id,
                or_(literal_column("''") == record_type, records.c.record_type == record_type),
                records.c.record_id > after,
                records.c.expires_at > instant,
            )
            .order_by(records.c.record_id)
            .limit(literal_column(str(PAGE + 1)))
            .offset(literal_column("0"))
        ),
        "uuid",
        "text",
        "text",
        "text",
        "uuid",
        "bigint",
    )
)
_OWNER = Rows(Lookup(lambda record_id: select(records.c.subject_id).where(records.c.record_id == record_id), "uuid"))
_FOR_CHANGE = Rows(
    Lookup(
        lambda record_id: (
            select(
                records.c.subject_id,
                records.c.record_type,
                records.c.version,
                records.c.purposes,
                records.c.expires_at,
                records.c.sealed,
                records.c.stored_at,
            )
            .where(records.c.record_id == record_id)
            .with_for_update()
        ),
        "uuid",
        locks=True,
    )
)
_FIRST = UUID(int=0)

# The fields asked for: of whatever type is read, or by record type. None asks for all.
Narrowed = Sequence[str] | Mapping[str, Sequence[str]] | None


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as its writer gets it back: ids and levels, no value.

    `findings`: by field the entities that were found and are reported, without their places.
    """

    id: UUID
    type: str
    version: int
    expires_at: datetime
    levels: Mapping[str, str]
    findings: Mapping[str, Sequence[str]] = member(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """A record as a purpose may see it."""

    id: UUID
    subject_id: UUID
    type: str
    version: int
    data: Mapping[str, Value]
    withheld: Mapping[str, Reason]


@dataclass(frozen=True, slots=True)
class Page:
    """Some of a subject's records; `after` is where the next page starts, None at the end."""

    items: list[Record]
    after: UUID | None


def store(
    work: Work,
    subject_id: UUID,
    *,
    type: str,
    purposes: Sequence[str],
    data: Mapping[str, object],
    analysed: Analysed = NOTHING,
) -> StoredRecord:
    """Seal and keep `data` until the longest retention period of `purposes` ends.

    Each field must be one that a purpose uses (PIPL 6, 19; GDPR 5(1)(b)(c)(e)). `analysed`: what
    `at_the_door.analyse` found in the texts before this work began; what was found is kept beside them. Raises
    `NotFound`, `Erased`, `Forbidden`, `NoLawfulBasis`, `ConsentMissing`, `NotInPurpose`, `UndeclaredPurpose`,
    `Undeclared`, `Invalid`, `FoundAboveLevel`; `Unavailable` for a text that was not analysed.
    """
    work.concerns("record.stored", subject=subject_id)
    declared = work.declared
    intake = declared.intake(type, purposes)
    record_type = intake.record_type
    for purpose in intake.purposes:
        access.granted(work, purpose.name, type)
    values = values_of(declared, record_type, data)
    for name in values:
        if name not in intake.used:
            raise NotInPurpose(f"None of the purposes uses the field {name}; do not collect it", law=MINIMAL_LAW)
    judged = at_the_door.judge(work, record_type, values, analysed)
    held = subjects.hold_for_writing(work, subject_id)
    _require_basis(work, held, intake.purposes, type, values)
    minor = subjects.is_minor(work, held)
    record_id = ids.new()
    expires_at = moment(max(ends_at(purpose, work.instant) for purpose in intake.purposes))
    at = At(subject_id, record_type.scope, type, record_id)
    key = vault.key_for(work, subject_id, record_type.scope)
    numbers = declared.numbers
    boxes: dict[int, Sealable] = {numbers[type, name]: value for name, value in values.items()}
    sealed = vault.seal(work, key, at, {**boxes, **judged.boxes})
    for name, value in values.items():
        if (type, name) in declared.indexed:
            _index(work, record_type.fields[name], at, value)
    level = max((declared.level(record_type, values, minor), *judged.raised.values()))
    work.add(
        _RECORDS,
        (
            subject_id,
            record_id,
            type,
            1,
            int(level),
            intake.names,
            work.instant,
            work.instant,
            micros(expires_at),
            key.kid,
            sealed,
        ),
    )
    work.audit(
        "record.stored",
        subject=subject_id,
        record=record_id,
        purpose=intake.purposes[0].name,
        basis=intake.purposes[0].basis.value,
        fields=sorted(values),
        detail=f'{{"level":"{level}","purposes":{intake.names},"type":"{type}"}}',
        digest=sha256(sealed).hexdigest(),
    )
    at_the_door.report(work, at, judged)
    levels = _levels(record_type, values, minor, judged.raised)
    return StoredRecord(record_id, type, 1, expires_at, levels, judged.reported)


def read(
    work: Work,
    record_id: UUID,
    *,
    purpose: str,
    fields: Narrowed = None,
    recipient: str | None = None,
    reason: str | None = None,
) -> Record:
    """What the purpose may see of one record. The event names each field given.

    `recipient`: a declared one to whom the caller will provide it. `reason`: why, kept sealed with the event.
    Raises `UndeclaredPurpose`, `UndeclaredRecipient`, `Forbidden`, `NotFound`, `NotInPurpose`, and what
    `access.decide` raises.
    """
    work.concerns("record.read", record=record_id, purpose=purpose)
    work.require(Role.SERVICE)
    demanded = work.declared.conditions(purpose, recipient)
    rows = work.fetch(_ONE, (record_id, purpose, demanded.counterpart))
    if not rows or rows[0][5] <= work.instant:
        raise NotFound("There is no such record")
    return _disclose(work, rows[0], demanded, fields, reason)


def read_all(
    work: Work,
    subject_id: UUID,
    *,
    purpose: str,
    type: str | None = None,
    fields: Narrowed = None,
    recipient: str | None = None,
    reason: str | None = None,
    after: UUID | None = None,
    limit: int = PAGE,
) -> Page:
    """A page of what the purpose may see of a subject, oldest record first.

    Without `type`: the types that the purpose uses and the actor is granted. A record whose period for
    this purpose has passed shows each field as withheld. Raises as `read` does.
    """
    work.concerns("record.read", subject=subject_id, purpose=purpose)
    work.require(Role.SERVICE)
    declared = work.declared
    demanded = declared.conditions(purpose, recipient)
    if type is None and fields is not None and not isinstance(fields, Mapping):
        fields = _by_type(declared, demanded.purpose.uses, fields)
    plan = declared.plan(purpose, type, _for_type(fields, type), recipient) if type is not None else None
    key = (subject_id, purpose, demanded.counterpart, type or "", after or _FIRST, work.instant)
    rows = work.fetch(_OF_SUBJECT, key)
    if plan is not None:  # refused as a whole, whether or not there is a record
        access.decide(work, plan, _facts(rows[0], subject_id) if rows else facts_for(work, subject_id, demanded))
    elif not rows:
        subjects.get(work, subject_id)
    items: list[Record] = []
    for row in rows[:limit]:
        if type is None and not _in_scope(work, purpose, row[2]):
            continue
        try:
            items.append(_disclose(work, row, demanded, fields, reason))
        except PurposeEnded as no:
            items.append(_withheld(work, row, demanded, fields, Reason(no.code, no.law)))
    if not items:
        work.audit("record.read", subject=subject_id, purpose=purpose, fields=[])
    return Page(items, uuid_of(rows[limit - 1][1]) if len(rows) > limit else None)


def rectify(
    work: Work, record_id: UUID, *, version: int, data: Mapping[str, object], analysed: Analysed = NOTHING
) -> StoredRecord:
    """Replace some fields of a record, or remove them (None); the others stay closed. `analysed` as `store` takes it.

    PIPL 46, GDPR 16. Raises `VersionMismatch` unless `version` is the record's; `NotFound`, `Forbidden`,
    `Undeclared`, `NotInPurpose`, `Invalid`, `FoundAboveLevel`; `OnHold`, for the old values would be gone;
    `StatutoryPeriod`; `Unavailable` for a text that was not analysed.
    """
    work.concerns("record.rectified", record=record_id)
    holds.lock(work)
    held, row = _for_change(work, record_id)
    subject_id, type, kept_for = held.id, row[1], msgspec.json.decode(row[3], type=list[str])
    work.concerns("record.rectified", subject=subject_id, record=record_id)
    _may_change(work, type, kept_for)
    if row[2] != version:
        raise VersionMismatch(f"The record is at version {row[2]}", version=row[2])
    declared = work.declared
    record_type = declared.record_type(type)
    removed = [name for name, value in data.items() if value is None]
    _refuse_kept(work, held, row, removed)
    values = values_of(declared, record_type, {name: value for name, value in data.items() if value is not None})
    used = {name for purpose in kept_for for name in declared.purpose(purpose).uses.get(type, ())}
    for name in removed:
        declared.field(record_type, name)
    for name in values:
        if name not in used:
            raise NotInPurpose(f"None of the record's purposes uses the field {name}", law=MINIMAL_LAW)
    if not data:
        raise Invalid("data names no field to change")
    judged = at_the_door.judge(work, record_type, values, analysed)
    changes: dict[int, Value] = {declared.number(type, name): values.get(name) for name in (*values, *removed)}
    found = {number: judged.boxes.get(number) for number in map(vault.findings_of, changes)}
    at = At(subject_id, record_type.scope, type, record_id)
    decision = Decision("[rectification]", "legal-obligation", frozenset(changes), findings=frozenset(found))
    present = vault.fields_in(row[5]) | {declared.number(type, name) for name in values}
    if not present - {declared.number(type, name) for name in removed}:
        raise Invalid("That would remove every field; delete the record instead")
    sealed, numbers = vault.patch(work, decision, at, row[5], {**changes, **found})
    names = {name for name in record_type.fields if declared.number(type, name) in numbers}
    minor = subjects.is_minor(work, held)
    raised = {**at_the_door.raised(work, record_type, at, sealed, names - values.keys()), **judged.raised}
    level = max((declared.level(record_type, sorted(names), minor), *raised.values()))
    work.execute(
        update(records)
        .where(records.c.subject_id == subject_id, records.c.record_id == record_id)
        .values(version=version + 1, sealed=sealed, level=int(level), changed_at=work.instant)
    )
    work.execute(
        delete_from(index_entries).where(
            index_entries.c.subject_id == subject_id,
            index_entries.c.record_id == record_id,
            index_entries.c.field_number.in_(changes),
        )
    )
    for name, value in values.items():
        _index(work, record_type.fields[name], at, value)
    work.audit(
        "record.rectified",
        subject=subject_id,
        record=record_id,
        fields=sorted(data),
        detail={"type": type, "version": version + 1},
        digest=sha256(sealed).hexdigest(),
    )
    at_the_door.report(work, at, judged)
    levels = _levels(record_type, sorted(names), minor, raised)
    return StoredRecord(record_id, type, version + 1, moment(row[4]), levels, judged.reported)


def delete(work: Work, record_id: UUID, *, version: int | None = None) -> None:
    """Remove a record and its index entries.

    Raises `NotFound`, `Forbidden`, `VersionMismatch`, `OnHold`, `StatutoryPeriod`.
    """
    work.concerns("record.deleted", record=record_id)
    holds.lock(work)
    held, row = _for_change(work, record_id)
    subject_id = held.id
    work.concerns("record.deleted", subject=subject_id, record=record_id)
    _may_change(work, row[1], msgspec.json.decode(row[3], type=list[str]))
    if version is not None and row[2] != version:
        raise VersionMismatch(f"The record is at version {row[2]}", version=row[2])
    _refuse_kept(work, held, row, None)
    for table in (index_entries, records):
        work.execute(delete_from(table).where(table.c.subject_id == subject_id, table.c.record_id == record_id))
    work.audit("record.deleted", subject=subject_id, record=record_id, detail={"type": row[1]})


def _disclose(work: Work, row: Row, demanded: Conditions, fields: Narrowed, reason: str | None) -> Record:
    """Decide, open what was decided, mask or redact, and owe nothing: the event is the last step."""
    subject_id, record_id, type = uuid_of(row[0]), uuid_of(row[1]), row[2]
    purpose, recipient = demanded.purpose.name, demanded.recipient.name if demanded.recipient else None
    work.concerns("record.read", subject=subject_id, record=record_id, purpose=purpose)
    plan = work.declared.plan(purpose, type, _for_type(fields, type), recipient)
    at = At(subject_id, plan.record_type.scope, type, record_id)
    sensitive = at_the_door.sensitive(work, plan, at, row[6]) if plan.rising and row[7] >= Level.L4 else ()
    decision = access.decide(work, plan, _facts(row, subject_id), row[4], sensitive=sensitive)
    opened = vault.unseal(work, decision, at, row[6])
    data: dict[str, Value] = {}
    masked: tuple[str, ...] = ()
    redacted: tuple[str, ...] = ()
    withheld = decision.withheld
    for grant in decision.grants:
        if grant.number not in opened:
            continue
        value = opened[grant.number]
        if grant.is_redacted:
            found = opened.get(vault.findings_of(grant.number))
            looked = stored_findings.serving(
                plan.record_type.fields[grant.field], found, work.service.settings.detection
            )
            if looked is None:
                withheld = {**withheld, grant.field: stored_findings.NOT_SCANNED}
                continue
            value = stored_findings.redacted(value, looked)
            redacted += (grant.field,)
        elif grant.mask is not None:
            value = mask(grant.mask, value)
        if grant.mask is not None:
            masked += (grant.field,)
        data[grant.field] = value
    work.audit(
        "record.read",
        outcome="disclosed",
        subject=subject_id,
        record=record_id,
        purpose=purpose,
        basis=decision.basis,
        fields=tuple(data),
        detail=_detail(type, masked, redacted, recipient),
        sealed=None if reason is None else audit_details.seal(work, subject_id, reason),
    )
    return Record(record_id, subject_id, type, row[3], data, withheld)


def _facts(row: Row, subject_id: UUID) -> Facts:
    return facts_of(row, _FIRST_FACT, subject_id)


@lru_cache(maxsize=4096)
def _detail(type: str, masked: tuple[str, ...], redacted: tuple[str, ...], recipient: str | None) -> str:
    """What the event of a disclosure adds: the record type, what left through a mask or redacted, and for whom."""
    detail: dict[str, object] = {"masked": masked} if masked else {}
    if recipient is not None:
        detail["recipient"] = recipient
    if redacted:
        detail["redacted"] = redacted
    return msgspec.json.encode(detail | {"type": type}).decode()


def _withheld(work: Work, row: Row, demanded: Conditions, fields: Narrowed, reason: Reason) -> Record:
    purpose = demanded.purpose.name
    plan = work.declared.plan(purpose, row[2], _for_type(fields, row[2]))
    every = dict.fromkeys(plan.given, reason) | dict(plan.withheld)
    record_id, subject_id = uuid_of(row[1]), uuid_of(row[0])
    work.audit("record.read", subject=subject_id, record=record_id, purpose=purpose, fields=[])
    return Record(record_id, subject_id, row[2], row[3], {}, every)


def _for_type(fields: Narrowed, type: str) -> Sequence[str] | None:
    return fields.get(type) if isinstance(fields, Mapping) else fields


def _by_type(declared: Declared, types: Iterable[str], fields: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """The fields asked for, by what each type has. Raises `Undeclared` for one that none of the types has."""
    found = {type: [name for name in fields if name in declared.record_type(type).fields] for type in types}
    for name in fields:
        if not any(name in names for names in found.values()):
            raise Undeclared("None of the purpose's record types has such a field")
    return found


def _in_scope(work: Work, purpose: str, type: str) -> bool:
    return work.actor.may_use(purpose, type) and type in work.declared.purpose(purpose).uses


def _for_change(work: Work, record_id: UUID) -> tuple[subjects.Held, Row]:
    """The record, locked: its subject first, then itself, as everybody who locks both does."""
    work.require(Role.SERVICE)
    owner = work.fetch(_OWNER, (record_id,))
    if not owner:
        raise NotFound("There is no such record")
    held = subjects.hold_for_writing(work, uuid_of(owner[0][0]))
    rows = work.fetch(_FOR_CHANGE, (record_id,))
    if not rows or rows[0][4] <= work.instant:
        raise NotFound("There is no such record")
    return held, rows[0]


def _may_change(work: Work, type: str, kept_for: Sequence[str]) -> None:
    if not any(work.actor.may_use(purpose, type) for purpose in kept_for):
        raise Forbidden("The principal has no grant for a purpose of this record", law=MINIMAL_LAW)


def _refuse_kept(work: Work, held: subjects.Held, row: Row, removed: Sequence[str] | None) -> None:
    """Raises `OnHold` for a record under a hold; `StatutoryPeriod` when what is removed (None: all) must be kept."""
    type, kept_for, stored_at = row[1], msgspec.json.decode(row[3], type=list[str]), moment(row[6])
    holds.refuse_held(work, held.id, type, kept_for, stored_at, held.jurisdiction)
    known = work.declared.manifest.purposes
    if removed is not None:
        kept_for = [
            name for name in kept_for if name in known and not known[name].uses.get(type, {}).keys().isdisjoint(removed)
        ]
    kept = statutory(work.declared, kept_for, type, stored_at, work.now)
    if kept is not None:
        purpose = known[kept.purpose]
        raise must_stay(kept, purpose.title or Text(purpose.name, purpose.name))


def _require_basis(
    work: Work, held: subjects.Held, purposes: Sequence[Purpose], type: str, names: Iterable[str]
) -> None:
    """Raises unless each purpose may hold what it uses of the fields, and some purpose each of them."""
    names = tuple(names)
    allowed: set[str] = set()
    withheld: dict[str, Reason] = {}
    for purpose in purposes:
        uses = purpose.uses[type]
        plan = work.declared.plan(purpose.name, type, tuple(name for name in names if name in uses))
        is_simple = purpose.basis is not Basis.CONSENT and not held.has_standing
        facts = held.facts if is_simple else facts_for(work, held.id, plan.conditions)
        decision = access.decide_keeping(work, plan, facts)
        allowed.update(grant.field for grant in decision.grants)
        withheld |= decision.withheld
    for name in names:
        if name not in allowed:
            raise ConsentMissing(
                f"The consent does not cover the field {name}", zh=f"该同意未涵盖字段 {name}", law=withheld[name].law
            )


def _levels(
    record_type: RecordType, names: Sequence[str] | Mapping[str, Value], minor: bool, raised: Mapping[str, Level]
) -> dict[str, str]:
    levels = {name: Level.L4 if minor else record_type.fields[name].level for name in names}
    return {name: str(max(level, raised.get(name, level))) for name, level in levels.items()}


def token_of(work: Work, record_type: str, field: Field, plain: str, *, version: int | None = None) -> int:
    """The blind index of a value that `normalised` has given, in a declared lookup field.

    Under the newest version of the index root, or another that still stands.
    """
    declared = work.declared
    label = declared.indexed[record_type, field.name].label
    keyring = work.service.keyring
    index = keyring.index if version is None else keyring.index_of(version)
    return index.token(record_type, field.name, label, plain.encode(), bits=declared.index_bits)


def normalised(work: Work, field: Field, value: str) -> str:
    """The value in the form in which two spellings are one. Raises `Invalid`, naming the field only."""
    region = work.declared.controller.jurisdiction
    try:
        return normalise(field.normaliser or "text", value, region if len(region) == 2 and region != "EU" else "CN")
    except Invalid as error:
        raise Invalid(f"The field {field.name}: {error.detail}", field=field.name) from None


def _index(work: Work, field: Field, at: At, value: Value) -> None:
    if field.lookup and value is not None:
        plain = normalised(work, field, value if isinstance(value, str) else str(value))
        token = token_of(work, at.record_type, field, plain)
        number = work.declared.indexed[at.record_type, field.name].number
        version = work.service.keyring.index.version
        work.add(_ENTRIES, (at.subject_id, at.record_id, number, version, token))
