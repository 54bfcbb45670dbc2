"""The gate: may this actor have these fields of this subject for this purpose, and why or why not.

`decide` is the one place that says yes. Every yes is a `Decision` that names purpose, lawful basis and
fields; `privacy.vault` opens nothing without one. Every no is that of the first of `privacy.rules` that
says so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID
from weakref import WeakKeyDictionary

from privacy import rules
from privacy.errors import AnonymisedOnly, Forbidden, Refused, SeparateConsentMissing
from privacy.facts import Facts, facts_for
from privacy.manifest import Text
from privacy.plans import MINIMAL_LAW, SENSITIVE, Conditions, Grant, Plan, Reason
from privacy.rules import ANONYMISED_LAW, Question
from privacy.vault import Decision, findings_of
from privacy.work import Role, Work

_SENSITIVE: Final = Reason(SeparateConsentMissing.code, SENSITIVE.law)


@dataclass(frozen=True, slots=True)
class Explained:
    """What would be disclosed, and why not the rest. `refusal` is set when nothing would be.

    `sentences` says of each code among the refusal and the withheld fields what is missing and who asks for it.
    """

    purpose: str
    record_type: str
    basis: str | None
    law: tuple[str, ...]
    grants: tuple[Grant, ...]
    withheld: Mapping[str, Reason]
    refusal: Refused | None
    sentences: Mapping[str, Text]


# --- decisions


def decide(
    work: Work, plan: Plan, facts: Facts, stored_at: int | None = None, *, sensitive: Collection[str] = ()
) -> Decision:
    """Yes, or the first rule that says no. `stored_at`: when the record was stored, if it is about one.

    `sensitive`: fields in which this record holds what is sensitive though they are not declared so; they are withheld
    where the consent is not one for that.

    PIPL 6, 13, 14, 19, 23, 25, 26, 29, 31, 39; GDPR 5(1), 6 to 9, 18, 21. Raises `Forbidden`, `Erased`,
    `Restricted`, `AnonymisedOnly`, `NoLawfulBasis` and what stands under it, `Objected`, `PurposeEnded`.
    """
    ask = Question(work, plan.conditions, facts, plan, stored_at)
    for rule in rules.RULES:
        no = rule(ask)
        if no is not None:
            raise no
    decision = _yes(ask, plan)
    return decision if not sensitive or rules.covers_sensitive(ask) else _narrowed(decision, sensitive)


def decide_keeping(work: Work, plan: Plan, facts: Facts) -> Decision:
    """Whether the fields of the plan may be stored for its purpose. Raises what `decide` raises."""
    ask = Question(work, plan.conditions, facts, plan)
    for rule in rules.RULES:
        no = None if rule in rules.ONLY_DISCLOSING else rule(ask)
        if no is not None:
            raise no
    return _yes(ask, plan)


def decide_release(
    work: Work, plan: Plan, facts: Facts, stored_at: int | None = None, *, sensitive: Collection[str] = ()
) -> Decision:
    """Whether the fields of the plan may be read into a release or a statistic, never to leave as they are.

    As `decide` in all that the subject has decided and the law asks; but the purpose must be `only: anonymised`, and
    who reads is an operator, a service granted it, or the service itself on their behalf. PIPL 4, 6, 73. Raises what
    `decide` raises, and `NotInPurpose` in the place of `AnonymisedOnly`.
    """
    ask = Question(work, plan.conditions, facts, plan, stored_at)
    for rule in rules.FOR_RELEASES:
        no = rule(ask)
        if no is not None:
            raise no
    decision = _yes(ask, plan)
    return decision if not sensitive or rules.covers_sensitive(ask) else _narrowed(decision, sensitive)


def may_analyse(work: Work, purpose: str, record_type: str) -> None:
    """Raises `UndeclaredPurpose`, `NotInPurpose`, `Forbidden` unless `decide_release` may say yes to the actor."""
    declared = work.declared.purpose(purpose)
    refusal = rules.not_granted_analysis(work.actor, purpose, record_type) or rules.not_only_anonymised(declared)
    if refusal is not None:
        raise refusal


def require_basis(work: Work, demanded: Conditions, facts: Facts) -> None:
    """Raises what `decide` raises, unless the purpose may know of the subject at all."""
    ask = Question(work, demanded, facts)
    for rule in rules.RULES:
        no = rule(ask)
        if no is not None:
            raise no


# The yes of a plan, less the categories withheld, is always the same object; plans live as long as their manifest.
_DECISIONS: WeakKeyDictionary[Plan, dict[tuple[frozenset[str], ...], Decision]] = WeakKeyDictionary()


def _yes(ask: Question, plan: Plan) -> Decision:
    withheld = tuple(rule(ask) for rule, _ in rules.FIELD_RULES)
    known = _DECISIONS.setdefault(plan, {})
    decision = known.get(withheld)
    if decision is None:
        decision = known[withheld] = _less(plan, withheld)
    return decision


def _less(plan: Plan, without: tuple[frozenset[str], ...]) -> Decision:
    reasons = dict(plan.withheld)
    for (_, reason), categories in zip(rules.FIELD_RULES, without, strict=True):
        for grant in plan.grants:
            if plan.record_type.fields[grant.field].category in categories:
                reasons.setdefault(grant.field, reason)
    grants = tuple(grant for grant in plan.grants if grant.field not in reasons)
    numbers = frozenset(grant.number for grant in grants)
    findings = frozenset(findings_of(grant.number) for grant in grants if grant.is_redacted)
    return Decision(plan.purpose.name, plan.purpose.basis.value, numbers, grants, reasons, findings)


def _narrowed(decision: Decision, without: Collection[str]) -> Decision:
    """The decision less these fields, for which the consent is not separate (PIPL 29)."""
    grants = tuple(grant for grant in decision.grants if grant.field not in without)
    gone = {grant.field for grant in decision.grants} & set(without)
    return replace(
        decision,
        numbers=frozenset(grant.number for grant in grants),
        grants=grants,
        withheld={**decision.withheld, **dict.fromkeys(sorted(gone), _SENSITIVE)},
    )


def admitted(work: Work, name: str) -> Conditions:
    """The purpose's conditions, when the actor is a service granted it for some type and it may see persons at all.

    Raises `UndeclaredPurpose`, `Forbidden`, `AnonymisedOnly`.
    """
    work.require(Role.SERVICE)
    demanded = work.declared.conditions(name)
    if not {name, "*"} & work.actor.purposes:
        raise Forbidden("The principal has no grant for this purpose", zh="该调用方未获授权用于此目的", law=MINIMAL_LAW)
    if demanded.purpose.only_anonymised:
        raise AnonymisedOnly(
            "The purpose receives anonymised releases only, never a person",
            zh="该目的只能接收匿名化数据，不能接触个人",
            law=ANONYMISED_LAW,
        )
    return demanded


def granted(work: Work, purpose: str, record_type: str) -> None:
    """Raises `Forbidden` unless the actor is a service granted both."""
    refusal = rules.not_granted(work.actor, purpose, record_type)
    if refusal is not None:
        raise refusal


def explain(work: Work, *, subject_id: UUID, purpose: str, type: str, recipient: str | None = None) -> Explained:
    """What `decide` would say now, in full, without disclosing anything.

    Raises `UndeclaredPurpose`, `UndeclaredRecipient`, `Undeclared`, `NotInPurpose`, `Forbidden` for what the
    actor may not even ask; `NotFound`.
    """
    work.concerns("decision.explained", subject=subject_id, purpose=purpose)
    plan = work.declared.plan(purpose, type, recipient=recipient)
    granted(work, purpose, type)
    facts = facts_for(work, subject_id, plan.conditions)
    ask = Question(work, plan.conditions, facts, plan)
    refusal: Refused | None = None
    try:
        decision = decide(work, plan, facts)
        grants, withheld = decision.grants, decision.withheld
    except Refused as no:
        refusal = no
        grants = ()
        withheld = dict.fromkeys(plan.given, Reason(no.code, no.law)) | dict(plan.withheld)
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
        grants=grants,
        withheld=withheld,
        refusal=refusal,
        sentences={reason.code: rules.why_withheld(ask, reason) for reason in withheld.values()}
        | ({refusal.code: Text(refusal.zh, refusal.detail)} if refusal else {}),
    )
