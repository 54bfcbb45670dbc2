"""The gate against its model: 10^5 cases, and each rule missed as soon as it is gone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Final, overload
from uuid import UUID

import pytest
from sqlalchemy import select

from privacy import access, ages, manifest, rules, terms
from privacy.declaration import Declared
from privacy.errors import PrivacyError
from privacy.facts import Facts
from privacy.notices import Published
from privacy.plans import Plan
from privacy.tables import subjects as subjects_table
from privacy.terms import RecipientTerm, Terms
from privacy.vault import Decision
from privacy.vocabulary import is_law
from privacy.work import TERMINAL, Actor, Role, Work
from tests.databases import SqliteDatabases
from tests.privacy import gate_model as model
from tests.privacy.gate_cases import BIRTHS, cases, manifest_text, organisations, period_text
from tests.privacy.gate_model import Case, Verdict, expected
from tests.world import build, migrate_data, migrate_keys

CASES: Final = 100_000
SEED: Final = 3
KNOWN: Final = organisations(SEED)
LEAST: Final = 200  # how often each thing must occur, so that agreement means something

# What a mutation does to the gate's own inputs just before it decides.
Inputs = tuple[Plan, Facts, int | None]
Mutation = Callable[[Plan, Facts, int | None], Inputs]


def _as_it_is(plan: Plan, facts: Facts, stored_at: int | None) -> Inputs:
    return plan, facts, stored_at


class Gate:
    """The real gate, asked about a model's case. No database is asked: the gate is given its facts."""

    def __init__(self, work: Work, people: dict[date, tuple[UUID, bytes]]) -> None:
        self.work = work
        self.people = people
        self.nobody = next(iter(people.values()))[0]
        self.declared = [_declared(organisation) for organisation in KNOWN]

    def answers(self, case: Case, mutation: Mutation = _as_it_is, *, keeping: bool = False) -> Verdict:
        found = self.decides(case, mutation, keeping=keeping)
        if isinstance(found, PrivacyError):
            needed = found.context.get("needed", ())
            assert isinstance(needed, list | tuple)
            return Verdict(found.code, frozenset(needed))
        given = {grant.field: grant.mask or model.CLEAR for grant in found.grants}
        declared = self.declared[case.number]
        assert found.numbers == {declared.number(case.record_type, name) for name in given}
        assert (found.purpose, found.basis) == (case.purpose, declared.purpose(case.purpose).basis)
        return Verdict(None, frozenset(), given, {name: why.code for name, why in found.withheld.items()})

    def decides(self, case: Case, mutation: Mutation = _as_it_is, *, keeping: bool = False) -> Decision | PrivacyError:
        work, declared = self.work, self.declared[case.number]
        actor = case.actor
        work.actor = Actor("somebody", Role(actor.role), purposes=actor.purposes, types=actor.types)
        work.instant = _micros(case.instant)
        work._declared = declared  # each case has its controller; a work has one for its life
        try:
            plan = declared.plan(case.purpose, case.record_type, case.fields, case.recipient)
            plan, facts, stored_at = mutation(plan, self._facts(case, plan), _micros(case.stored_at))
            if keeping:
                return access.decide_keeping(work, plan, facts)
            return access.decide(work, plan, facts, stored_at)
        except PrivacyError as error:
            return error
        finally:
            work.drop()  # it owes an event for a profile that it opened

    def _facts(self, case: Case, plan: Plan) -> Facts:
        subject = case.subject
        act = case.acts.get(plan.conditions.counterpart)
        subject_id, profile = self.people[subject.born] if subject.born else (self.nobody, None)
        start, end = subject.basis or (None, None)
        return Facts(
            subject_id=subject_id,
            jurisdiction=subject.jurisdiction,
            erased=subject.erased,
            restricted=bool(subject.restricted & {"*", case.purpose}),
            objected=case.purpose in subject.objected,
            has_basis=subject.basis is not None,
            basis_from=_micros(start),
            basis_until=_micros(end),
            profile=profile,
            consent=act and act.state,
            consent_expires=_micros(act.expires_at) if act else None,
            notice=act and act.notice,
            categories=json.dumps(sorted(act.categories)) if act and act.categories is not None else None,
            flags=act.flags if act else 0,
        )


@pytest.fixture(scope="module")
def gate(sqlite_databases: SqliteDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A gate with real people of every birth date, whose profiles it must open."""
    urls = [sqlite_databases.migrated(migrate) for migrate in (migrate_data, migrate_keys)]
    world = build(tmp_path_factory.mktemp("gate") / "home", *urls)
    born = {day: world.subject(born=day.isoformat()) for day in BIRTHS}
    with world.service.begin(TERMINAL) as work:
        rows = work.execute(select(subjects_table.c.subject_id, subjects_table.c.sealed))
        sealed = {row.subject_id: row.sealed for row in rows}
        yield Gate(work, {day: (subject_id, sealed[subject_id]) for day, subject_id in born.items()})
    world.service.close()
    for url in urls:
        sqlite_databases.remove(url)


def test_the_gate_agrees_with_its_model_on_100000_cases_that_reach_every_answer_often_enough(gate: Gate) -> None:
    seen: Counter[str] = Counter()
    for number, case in enumerate(cases(KNOWN, SEED, CASES)):
        found, verdict = gate.answers(case), expected(case)
        assert found == verdict, f"case {number} of seed {SEED}: {case}\nthe purpose: {_of(case)}"
        seen.update(_reached(case, verdict))
    rare = {name: seen[name] for name in (*ANSWERS, *seen) if seen[name] < LEAST}
    assert not rare
    assert seen.keys() == set(ANSWERS)


def test_keeping_asks_the_same_but_what_only_disclosing_must(gate: Gate) -> None:
    for number, case in enumerate(cases(KNOWN, SEED, CASES // 5)):
        found = gate.answers(case, keeping=True)
        assert found == expected(case, keeping=True), f"case {number} of seed {SEED}: {case}\n{_of(case)}"


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__.strip("_"))
def test_without_a_rule_the_gate_disagrees(gate: Gate, monkeypatch: pytest.MonkeyPatch, rule: rules.Rule) -> None:
    monkeypatch.setattr(rules, "RULES", tuple(other for other in rules.RULES if other is not rule))
    assert _first_disagreement(gate) is not None


@pytest.mark.parametrize("entry", rules.FIELD_RULES, ids=lambda entry: entry[0].__name__.strip("_"))
def test_without_a_rule_for_fields_the_gate_disagrees(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, entry: tuple[object, object]
) -> None:
    monkeypatch.setattr(rules, "FIELD_RULES", tuple(other for other in rules.FIELD_RULES if other is not entry))
    assert _first_disagreement(gate) is not None


def test_a_refusal_says_why_in_both_languages_and_by_which_law(gate: Gate) -> None:
    wrong = Counter[str]()
    for case in cases(KNOWN, SEED, 20_000):
        error = gate.decides(case)
        if isinstance(error, PrivacyError) and not (
            error.detail
            and error.zh
            and all(is_law(one) or one == ages.COPPA for one in error.law)
            and set(error.law) >= _least_law(error, case)
        ):
            wrong[f"{error.code} {error.law} {error.context.get('needed')} {error.detail} {error.zh}"] += 1
    assert not wrong


# What a refusal must cite at the least, whoever is concerned; of the rest some law.
LAW: Final[dict[str, set[str]]] = {
    "not-granted": set(),
    "erased": set(),
    "undeclared-recipient": {"PIPL-23"},
    "restricted": {"GDPR-18", "PIPL-44"},
    "objected": {"GDPR-21", "PIPL-44"},
    "no-lawful-basis": {"PIPL-13"},
    "purpose-ended": {"PIPL-19"},
}
NEEDED_LAW: Final = {
    "declared": "PIPL-14",
    "sensitive": "PIPL-29",
    "provision": "PIPL-23",
    "publication": "PIPL-25",
    "public-images": "PIPL-26",
    "export": "PIPL-39",
}


def _least_law(error: PrivacyError, case: Case) -> set[str]:
    if error.code == "separate-consent-missing":
        return {NEEDED_LAW[name] for name in expected(case).needed}
    return LAW.get(error.code, {next(iter(error.law), "some law")})


def _without_need(name: str) -> Mutation:
    def mutation(plan: Plan, facts: Facts, stored_at: int | None) -> Inputs:
        return replace(plan, needs=tuple(need for need in plan.needs if need.name != name)), facts, stored_at

    return mutation


def _with_facts(**changed: object) -> Mutation:
    return lambda plan, facts, stored_at: (plan, facts._replace(**changed), stored_at)  # type: ignore[arg-type]


def _with_conditions(**changed: object) -> Mutation:
    def mutation(plan: Plan, facts: Facts, stored_at: int | None) -> Inputs:
        conditions = replace(plan.conditions, **changed)  # type: ignore[arg-type]
        return replace(plan, conditions=conditions), facts, stored_at

    return mutation


def _later(fact: str, micros: int) -> Mutation:
    def mutation(plan: Plan, facts: Facts, stored_at: int | None) -> Inputs:
        instant = getattr(facts, fact)
        return plan, facts if instant is None else facts._replace(**{fact: instant + micros}), stored_at

    return mutation


def _grounds_later(bound: str, micros: int) -> Mutation:
    def mutation(plan: Plan, facts: Facts, stored_at: int | None) -> Inputs:
        instant = getattr(plan.conditions, bound)
        if instant is None:
            return plan, facts, stored_at
        return _with_conditions(**{bound: instant + micros})(plan, facts, stored_at)

    return mutation


def _stored_later(micros: int) -> Mutation:
    return lambda plan, facts, stored_at: (plan, facts, None if stored_at is None else stored_at + micros)


MUTATIONS: Final[dict[str, Mutation]] = {
    **{
        f"no separate consent for {name}": _without_need(name)
        for name in ("declared", "sensitive", "provision", "publication", "public-images", "export")
    },
    "the declared grounds begin at once": _with_conditions(begins=None),
    "the declared grounds never end": _with_conditions(ends=None),
    "a recorded basis begins at once": _with_facts(basis_from=0),
    "a recorded basis never ends": _with_facts(basis_until=None),
    "the categories of an act count for nothing": _with_facts(categories=None),
    "every controller is in China": _with_conditions(is_chinese=True),
    "no controller is in China": _with_conditions(is_chinese=False),
    **{
        f"{fact} {micros:+} microsecond": _later(fact, micros)
        for fact in ("consent_expires", "basis_from", "basis_until")
        for micros in (-1, 1)
    },
    **{
        f"grounds: {bound} {micros:+} microsecond": _grounds_later(bound, micros)
        for bound in ("begins", "ends")
        for micros in (-1, 1)
    },
    **{f"stored {micros:+} microsecond": _stored_later(micros) for micros in (-1, 1)},
}


@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=MUTATIONS)
def test_a_condition_or_an_instant_changed_a_little_makes_the_gate_disagree(gate: Gate, mutation: Mutation) -> None:
    assert _first_disagreement(gate, mutation) is not None


PATCHES: Final[dict[str, tuple[object, str, object]]] = {
    "a controller in China asks no more than the subject's law": (
        ages,
        "limit_of",
        lambda where, _, real=ages.limit_of: real(where, "DE"),
    ),
    "who was born on 29 February grows older on the 28th": (
        ages,
        "age_on",
        lambda born, today, real=ages.age_on: real(born - timedelta(days=(born.month, born.day) == (2, 29)), today),
    ),
    "explicit consent is not separate enough anywhere": (rules, "EXPLICIT", 0),
    "separate consent is never given": (rules, "SEPARATE", 0),
    "sensitive is under 13": (rules, "CHILD_YEARS", 13),
    "sensitive is under 15": (rules, "CHILD_YEARS", 15),
    "sensitive is nobody for their age": (rules, "CHILD_YEARS", 0),
}


@pytest.mark.parametrize("patch", PATCHES.values(), ids=PATCHES)
def test_a_branch_within_a_rule_is_missed_too(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, patch: tuple[object, str, object]
) -> None:
    where, name, value = patch
    monkeypatch.setattr(where, name, value)
    assert _first_disagreement(gate) is not None


def test_a_notice_that_says_too_little_is_missed(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terms, "compare", lambda told, now: ())
    monkeypatch.setattr(gate, "declared", [_declared(organisation) for organisation in KNOWN])
    assert _first_disagreement(gate) is not None


def test_a_later_notice_that_was_declared_material_is_missed(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    without = [
        replace(organisation, notices=tuple(one._replace(material=frozenset()) for one in organisation.notices))
        for organisation in KNOWN
    ]
    monkeypatch.setattr(gate, "declared", [_declared(organisation) for organisation in without])
    assert _first_disagreement(gate) is not None


def _reached(case: Case, verdict: Verdict) -> Iterator[str]:
    """What a case is an example of, each once."""
    yield f"refusal {verdict.refusal}"
    yield from (f"needed {name}" for name in verdict.needed)
    yield from {f"withheld {code}" for code in verdict.withheld.values()}
    yield from {f"given {shown}" for shown in verdict.given.values()}
    if verdict.refusal in (None, "guardian-consent-missing", "separate-consent-missing"):
        act = case.acts.get(model.consent_of(case))
        if act:
            yield f"flags {act.flags}"
    if verdict.refusal is None:
        yield from (f"allowed {kind}" for kind in _kinds(case))


ANSWERS: Final = (
    *(f"refusal {code}" for code in (
        None, "undeclared-recipient", "not-granted", "erased", "restricted", "anonymised-only", "no-lawful-basis",
        "basis-not-in-force", "objected", "guardian-consent-missing", "consent-missing", "consent-expired",
        "consent-stale", "separate-consent-missing", "purpose-ended",
    )),
    *(f"needed {name}" for name in (
        "declared", "sensitive", "provision", "publication", "public-images", "export",
    )),
    *(f"withheld {code}" for code in ("not-in-purpose", "category-not-consented")),
    *(f"given {shown}" for shown in ("clear", "all", "name", "phone", "email")),
    *(f"allowed {kind}" for kind in (
        "consent", "contract", "legal-obligation", "vital-interest", "public-task", "legitimate-interest",
        "by a guardian", "by a recipient's own consent", "to a recipient", "on a recorded basis", "within grounds",
        "by explicit consent", "by separate consent", "before the period ends", "under 18 without a guardian",
    )),
    *(f"flags {flags}" for flags in range(16)),
)  # fmt: skip


def _kinds(case: Case) -> Iterator[str]:
    """In what ways an allowed case was one."""
    purpose, subject = case.organisation.purposes[case.purpose], case.subject
    yield purpose.basis
    if case.recipient is not None:
        yield "to a recipient"
    if case.stored_at is not None:
        yield "before the period ends"
    if purpose.basis != "consent":
        if subject.basis is not None:
            yield "on a recorded basis"
        if purpose.last_day is not None:
            yield "within grounds"
        return
    flags = case.acts[model.consent_of(case)].flags
    if model.consent_of(case):
        yield "by a recipient's own consent"
    if flags & model.BY_GUARDIAN:
        yield "by a guardian"
    elif subject.born is not None and model.birthday(subject.born, 18) > case.instant.date():
        yield "under 18 without a guardian"
    if flags & model.SEPARATE:
        yield "by separate consent"
    elif flags & model.EXPLICIT and subject.born is not None and model.age(subject.born, case.instant.date()) < 14:
        yield "by explicit consent"


def _first_disagreement(gate: Gate, mutation: Mutation = _as_it_is) -> Case | None:
    found = (case for case in cases(KNOWN, SEED, CASES) if gate.answers(case, mutation) != expected(case))
    return next(found, None)


def _of(case: Case) -> str:
    return f"{case.organisation.jurisdiction} {case.organisation.purposes[case.purpose]}"


def _declared(organisation: model.Organisation) -> Declared:
    declaration = manifest.parse(manifest_text(organisation), "gate.yaml")
    names = [(kind, name) for kind, fields in organisation.types.items() for name in fields]
    numbers = {pair: number for number, pair in enumerate(names, start=1)}
    return Declared(declaration, 1, numbers, [_published(notice) for notice in organisation.notices])


def _published(notice: model.Notice) -> Published:
    return Published(
        number=notice.number,
        version=str(notice.number),
        published_at=datetime(2024, 1, 1, tzinfo=UTC),
        published_by="admin",
        manifest_version=1,
        generated=False,
        terms={name: _terms(name, told) for name, told in notice.terms.items()},
        material=tuple(sorted(notice.material)),
    )


def _terms(name: str, told: model.Terms) -> Terms:
    return Terms(
        purpose=name,
        category=told.category,
        basis=told.basis,
        method=tuple(sorted(told.method)),
        categories=tuple(sorted(told.categories)),
        sensitive=tuple(sorted(told.sensitive)),
        recipients=tuple(sorted((RecipientTerm(*one) for one in told.recipients), key=str)),
        keep=period_text(told.keep),
        at_end=told.at_end,
    )


@overload
def _micros(instant: datetime) -> int: ...
@overload
def _micros(instant: datetime | None) -> int | None: ...
def _micros(instant: datetime | None) -> int | None:
    return None if instant is None else (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
