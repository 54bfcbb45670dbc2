"""Exact search by blind index.

The index is a truncated keyed hash, so each candidate is opened and compared; a candidate that was not
the one is opened all the same, and the log says so ("compared"). The value searched for is in the request
body only and in no event.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import and_, literal_column, select

from privacy import access, profile, records, subjects, vault
from privacy.database import Lookup, Row
from privacy.errors import Invalid, NotInPurpose, Refused
from privacy.facts import FACTS, facts_for, facts_of, with_facts
from privacy.manifest import Field, RecordType
from privacy.plans import MINIMAL_LAW
from privacy.tables import index_entries, uuid_of
from privacy.tables import records as records_table
from privacy.tables import subjects as subjects_table
from privacy.vault import At, Decision
from privacy.work import Role, Rows, Work

CANDIDATES: Final = 1000  # more than this many hits is not a search for a person

_CANDIDATES = Rows(
    Lookup(
        lambda number, version, token, purpose, instant: (
            select(
                records_table.c.subject_id,
                records_table.c.record_id,
                records_table.c.stored_at,
                records_table.c.sealed,
                *FACTS,
            )
            .select_from(
                with_facts(
                    index_entries.join(
                        records_table,
                        and_(
                            records_table.c.subject_id == index_entries.c.subject_id,
                            records_table.c.record_id == index_entries.c.record_id,
                        ),
                    ).join(subjects_table, subjects_table.c.subject_id == records_table.c.subject_id),
                    records_table.c.subject_id,
                    purpose,
                    literal_column("''"),
                )
            )
            .where(
                index_entries.c.field_number == number,
                index_entries.c.index_version == version,
                index_entries.c.token == token,
                records_table.c.expires_at > instant,
            )
            .order_by(records_table.c.record_id)
            .limit(literal_column(str(CANDIDATES)))
            .offset(literal_column("0"))
        ),
        "bigint",
        "bigint",
        "bigint",
        "text",
        "bigint",
    )
)


@dataclass(frozen=True, slots=True)
class Hit:
    """Where a value was found. `record_id` is None for a subject's external id."""

    subject_id: UUID
    record_id: UUID | None


def search(work: Work, *, type: str, field: str, value: str, purpose: str) -> list[Hit]:
    """The subjects whose field has this value, after normalisation, as far as the purpose may know.

    Each hit is a disclosure with an event of its own. `type` "subject" with `field` "external_id" finds a
    subject by the id that a component knows it by. Raises `UndeclaredPurpose`, `Forbidden`, `NotInPurpose`,
    `Undeclared`, `Invalid`.
    """
    work.concerns("subject.searched", purpose=purpose)
    work.require(Role.SERVICE)
    basis = work.declared.purpose(purpose).basis.value
    if type == profile.TYPE:
        hits = _by_external_id(work, field, value, purpose)
    else:
        hits = _by_index(work, type, field, value, purpose)
    for hit in hits:
        work.audit(
            "subject.searched",
            outcome="disclosed",
            subject=hit.subject_id,
            record=hit.record_id,
            purpose=purpose,
            basis=basis,
            fields=[field],
            detail={"type": type},
        )
    if not hits:
        work.audit("subject.searched", purpose=purpose, basis=basis, fields=[field], detail={"type": type, "hits": 0})
    return hits


def _by_external_id(work: Work, field: str, value: str, purpose: str) -> list[Hit]:
    if field != "external_id":
        raise Invalid("A subject is searched by its external_id only")
    demanded = access.admitted(work, purpose)
    found = subjects.find(work, value)
    if found is None:
        return []
    try:
        access.require_basis(work, demanded, facts_for(work, found, demanded))
    except Refused:  # the purpose may not know this one
        work.audit("subject.searched", outcome="compared", subject=found, purpose=purpose)
        return []
    return [Hit(found, None)]


def _by_index(work: Work, type: str, name: str, value: str, purpose: str) -> list[Hit]:
    declared = work.declared
    record_type = declared.record_type(type)
    field = declared.field(record_type, name)
    plan = declared.plan(purpose, type, (name,))
    access.granted(work, purpose, type)
    if not plan.grants:
        raise NotInPurpose(f"The purpose has no use for the field {name}", law=MINIMAL_LAW)
    if not field.lookup:
        raise Invalid(f"The field {name} is not declared for lookup", field=name)
    wanted = records.normalised(work, field, value)
    hits = []
    for row in _candidates(work, record_type, field, wanted, purpose):
        subject_id, record_id = uuid_of(row[0]), uuid_of(row[1])
        facts = facts_of(row, 4, subject_id)
        decision: Decision | None
        try:
            decision = access.decide(work, plan, facts, row[2])
        except Refused:
            decision = None
        if decision is None or not decision.numbers:  # the purpose may not know this one, or not this field
            if facts.profile is not None:  # its birth date may have been opened, to count the years
                work.audit("subject.searched", outcome="compared", subject=subject_id, purpose=purpose)
            continue
        if _matches(work, decision, field, At(subject_id, record_type.scope, type, record_id), row[3], wanted):
            hits.append(Hit(subject_id, record_id))
        else:
            work.audit("subject.searched", outcome="compared", subject=subject_id, record=record_id, purpose=purpose)
    return hits


def _candidates(work: Work, record_type: RecordType, field: Field, wanted: str, purpose: str) -> Iterable[Row]:
    """The records that may hold the value. While the index is renewed, under each version, the oldest first: what is
    indexed anew between two looks is then found twice and never missed.
    """
    found: dict[UUID, Row] = {}
    number = work.declared.number(record_type.name, field.name)
    for version in reversed(work.service.keyring.index_versions):
        token = records.token_of(work, record_type.name, field, wanted, version=version)
        for row in work.fetch(_CANDIDATES, (number, version, token, purpose, work.instant)):
            found[uuid_of(row[1])] = row
    return found.values()


def _matches(work: Work, decision: Decision, field: Field, at: At, sealed: bytes, wanted: str) -> bool:
    (number,) = decision.numbers
    value = vault.unseal(work, decision, at, sealed).get(number)
    if value is None:
        return False
    return records.normalised(work, field, value if isinstance(value, str) else str(value)) == wanted
