"""The gate: may this actor have these fields of this subject for this purpose, and why or why not.

`decide` is the one place that says yes. Every yes is a `Decision` that names purpose, lawful basis and
fields; `privacy.vault` opens nothing without one. Every no names a rule by its code, and the law.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID
from weakref import WeakKeyDictionary

from sqlalchemy import and_, select

from privacy.database import Lookup, Row
from privacy.declaration import MINIMAL_LAW, Grant, Plan, Reason, permits
from privacy.errors import (
    AnonymisedOnly,
    ConsentMissing,
    Erased,
    Forbidden,
    NoLawfulBasis,
    NotFound,
    PurposeEnded,
    Refused,
)
from privacy.manifest import Basis, Purpose
from privacy.tables import consents, micros, moment, subjects
from privacy.work import Role, Rows, Work

CONSENT_LAW = ("PIPL-13-1", "PIPL-14", "GDPR-6-1-a")
BASIS_LAW = ("PIPL-13",)
STORAGE_LAW = ("PIPL-19", "GDPR-5-1-e")
ANONYMISED_LAW = ("PIPL-4", "PIPL-73")
ERASED_LAW = ("PIPL-47", "GDPR-17")

_FACTS = Rows(
    Lookup(
        lambda subject_id, purpose: (
            select(subjects.c.jurisdiction, subjects.c.erased_at, consents.c.state, consents.c.expires_at)
            .select_from(
                subjects.outerjoin(
                    consents,
                    and_(consents.c.subject_id == subjects.c.subject_id, consents.c.purpose == purpose),
                )
            )
            .where(subjects.c.subject_id == subject_id)
        ),
        "uuid",
        "text",
    )
)


class Facts(NamedTuple):
    """What the gate must know of a subject, for one purpose. Instants in microseconds."""

    subject_id: UUID
    jurisdiction: str
    erased: bool
    consent: str | None
    consent_expires: int | None


@dataclass(frozen=True, slots=True)
class Decision:
    """A yes: these fields, for this purpose, on this basis.

    `purpose` is a declared one, or, for what the service does by duty and discloses to nobody (comparing
    a search hit, changing a record), a name in brackets.
    """

    purpose: str
    basis: str
    numbers: frozenset[int]
    grants: tuple[Grant, ...] = ()
    withheld: Mapping[str, Reason] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Explained:
    """What would be disclosed, and why not the rest. `refusal` is set when nothing would be."""

    purpose: str
    record_type: str
    basis: str | None
    law: tuple[str, ...]
    grants: tuple[Grant, ...]
    withheld: Mapping[str, Reason]
    refusal: Refused | None


# The yes of a plan is always the same object; plans live as long as their manifest.
_DECISIONS: WeakKeyDictionary[Plan, Decision] = WeakKeyDictionary()


def decide(work: Work, plan: Plan, facts: Facts, stored_at: int | None = None) -> Decision:
    """Yes, or the first rule that says no. `stored_at`: when the record was stored, if it is about one.

    PIPL 6, 13, 14, 19; GDPR 5(1), 6. Raises `Forbidden`, `Erased`, `NoLawfulBasis`, `ConsentMissing`,
    `AnonymisedOnly`, `PurposeEnded`.
    """
    purpose = plan.purpose
    granted(work, purpose.name, plan.record_type.name)
    if facts.erased:
        raise Erased(law=ERASED_LAW)
    if purpose.only_anonymised:
        raise AnonymisedOnly("The purpose receives anonymised releases only, never a record", law=ANONYMISED_LAW)
    require_basis(purpose, facts, work.instant)
    if stored_at is not None and ended(purpose, stored_at, work.instant):
        raise PurposeEnded("The retention period of this purpose has passed for the record", law=STORAGE_LAW)
    decision = _DECISIONS.get(plan)
    if decision is None:
        decision = Decision(purpose.name, purpose.basis.value, plan.numbers, plan.grants, plan.withheld)
        _DECISIONS[plan] = decision
    return decision


def admitted(work: Work, name: str) -> Purpose:
    """The purpose, when the actor is a service granted it for some type and it may see persons at all.

    Raises `UndeclaredPurpose`, `Forbidden`, `AnonymisedOnly`.
    """
    work.require(Role.SERVICE)
    purpose = work.declared.purpose(name)
    if not {name, "*"} & work.actor.purposes:
        raise Forbidden("The principal has no grant for this purpose", law=MINIMAL_LAW)
    if purpose.only_anonymised:
        raise AnonymisedOnly("The purpose receives anonymised releases only, never a person", law=ANONYMISED_LAW)
    return purpose


def granted(work: Work, purpose: str, record_type: str) -> None:
    """Raises `Forbidden` unless the actor is a service granted both."""
    work.require(Role.SERVICE)
    if not work.actor.may_use(purpose, record_type):
        raise Forbidden("The principal has no grant for this purpose and record type", law=MINIMAL_LAW)


def require_basis(purpose: Purpose, facts: Facts, instant: int) -> None:
    """Raises `NoLawfulBasis` or `ConsentMissing` unless a basis holds for this subject now."""
    if not permits(purpose.basis, facts.jurisdiction):
        raise NoLawfulBasis("Legitimate interest is no lawful basis where the subject is", law=BASIS_LAW)
    if purpose.basis is Basis.CONSENT and not consented(facts, instant):
        raise ConsentMissing("There is no consent in force for this purpose", law=CONSENT_LAW)


def consented(facts: Facts, instant: int) -> bool:
    """Whether consent is given and has not expired."""
    return facts.consent == "given" and (facts.consent_expires is None or facts.consent_expires > instant)


def ended(purpose: Purpose, stored_at: int, instant: int) -> bool:
    """Whether the purpose's own period has passed for a record stored then."""
    if instant - stored_at < purpose.keep.least_micros:
        return False
    return micros(purpose.keep.after(moment(stored_at))) <= instant


def explain(work: Work, *, subject_id: UUID, purpose: str, type: str) -> Explained:
    """What `decide` would say now, in full, without disclosing anything.

    Raises `UndeclaredPurpose`, `Undeclared`, `NotInPurpose`, `Forbidden` for what the actor may not even
    ask; `NotFound`, `Erased`.
    """
    work.concerns("decision.explained", subject=subject_id, purpose=purpose)
    plan = work.declared.plan(purpose, type)
    granted(work, purpose, type)
    facts = facts_for(work, subject_id, purpose)
    refusal: Refused | None = None
    try:
        decide(work, plan, facts)
    except Refused as no:
        refusal = no
    work.audit(
        "decision.explained",
        subject=subject_id,
        purpose=purpose,
        detail={"type": type, "answer": refusal.code if refusal else "allowed"},
    )
    return Explained(
        purpose=plan.purpose.name,
        record_type=plan.record_type.name,
        basis=plan.purpose.basis.value,
        law=plan.purpose.law,
        grants=() if refusal else plan.grants,
        withheld=plan.withheld,
        refusal=refusal,
    )


def facts_for(work: Work, subject_id: UUID, purpose: str) -> Facts:
    """What the gate must know of the subject, in one query. Raises `NotFound`."""
    rows = work.fetch(_FACTS, (subject_id, purpose))
    if not rows:
        raise NotFound("There is no such subject")
    return facts_of(rows[0], 0, subject_id)


def facts_of(row: Row, start: int, subject_id: UUID) -> Facts:
    """The facts in a row's columns jurisdiction, erased_at, consent state and consent expiry."""
    return Facts(subject_id, row[start], row[start + 1] is not None, row[start + 2], row[start + 3])
