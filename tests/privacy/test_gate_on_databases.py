"""The gate on real rows: what people did through the domain functions decides what a batch of reads gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import partial
from random import Random
from typing import Any, Final, NamedTuple
from uuid import UUID

import pytest
from sqlalchemy import update

from privacy import access, consent, declaration, manifest, notices, principals, records, standing
from privacy import database as data
from privacy.errors import PrivacyError
from privacy.group import Call, Failure, Outcome
from privacy.masks import mask
from privacy.tables import subjects as subjects_table
from privacy.work import TERMINAL, Actor, Role
from tests.databases import Kind
from tests.privacy import gate_model as model
from tests.privacy.gate_cases import manifest_text, organisations
from tests.privacy.gate_model import Act, Case, Notice, Organisation, Subject, Verdict, expected
from tests.world import PERSON, World

PEOPLE: Final = 80
FAVOURITES: Final = 4  # of purposes a person: deeds that never meet show little
ROUNDS: Final = 4
PLACES: Final = ("CN", "CN-11", "DE", "FR", "SE", "US-CA")
ALL_OF_IT: Final = "all-of-it"
VALUES: Final[dict[str, dict[str, object]]] = {
    "member": {
        **{name: PERSON[name] for name in ("name", "phone", "email", "id_number", "joined_at")},
        "mobile": "13900139000",
        "papers": "11010519491231002X",
        "passport": "E12345678",
        "scan": "page 1 of 1",
        "health": "hay fever",
    },
    "interaction": {"channel": "chat", "content": "please call back", "rating": 4},
}


@dataclass
class Person:
    """A subject in the database, its records by type, and what the model remembers of what it did."""

    id: UUID
    jurisdiction: str
    born: date | None
    records: dict[str, UUID]
    stored_at: datetime
    favourites: dict[bool, list[str]]  # by whether they rest on consent
    erased: bool = False
    restricted: set[str] = field(default_factory=set)
    objected: set[str] = field(default_factory=set)
    bases: dict[str, tuple[datetime, datetime | None]] = field(default_factory=dict)
    acts: dict[tuple[str, str], Act] = field(default_factory=dict)


class Asked(NamedTuple):
    """A case, who asks, and the two ways to ask: for the data of a record, and for what would be given and why."""

    case: Case
    actor: Actor
    read: Call
    explain: Call


class Life:
    """People at random, deeds at random; a deed that the domain refuses changes nothing."""

    def __init__(self, world: World, organisation: Organisation, seed: int) -> None:
        self.world, self.rng = world, Random(seed)
        self.organisation = organisation
        self.done: Counter[str] = Counter()
        with world.service.begin(TERMINAL) as work:
            declared = manifest.parse(manifest_text(organisation), "gate.yaml")
            notices.follow(work, declared, declaration.apply(work, declared).version)
        with world.service.begin(TERMINAL) as work:
            key = principals.add(work, "any", role=Role.SERVICE, purposes=["*"], types=["*"]).key
        self.anyone = world.service.authenticate(key)
        self.guardian = world.subject(jurisdiction="CN")
        self.tell(())
        self.people = [self._arrive() for _ in range(PEOPLE)]

    @property
    def now(self) -> datetime:
        with self.world.service.begin(TERMINAL) as work:
            return work.now

    def tell(self, material: Sequence[str]) -> None:
        """One more notice, with today's terms. The first has come with the manifest."""
        told = self.organisation.notices
        with self.world.service.begin(TERMINAL) as work:
            if told:
                draft = notices.draft(work.declared.manifest, f"2026-{len(told)}")
                notices.publish(work, draft, material=material)
            number = notices.listed(work)[0].number
        terms = {name: model.terms_of(self.organisation, one) for name, one in self.organisation.purposes.items()}
        self.organisation = replace(self.organisation, notices=(*told, Notice(number, terms, frozenset(material))))

    def act(self, person: Person) -> None:
        """One deed. What it means for the model is written after it has succeeded."""
        deeds: tuple[Callable[[Person], None], ...] = (
            *(self._give,) * 8, self._refuse, self._refuse, self._withdraw, self._end,
            self._restrict, self._lift, self._lift,
            self._object, self._record_basis, self._record_basis,
        )  # fmt: skip
        deed = self.rng.choice(deeds)
        try:
            deed(person)
            self.done[deed.__name__] += 1
        except PrivacyError as no:
            self.done[no.code] += 1

    def questions(self, count: int) -> list[Asked]:
        return [self._question(self.rng.choice(self.people)) for _ in range(count)]

    def _arrive(self) -> Person:
        rng, world, now = self.rng, self.world, self.now
        jurisdiction = rng.choice(PLACES)
        born = None
        if rng.random() < 0.6:
            limit = model.age_of_consent(jurisdiction, self.organisation.jurisdiction)
            day = now.date() + timedelta(days=rng.randint(-20, 60))
            born = date(day.year - rng.choice((limit, 14)), day.month, min(day.day, 28))
        subject_id = world.subject(jurisdiction=jurisdiction, born=born and born.isoformat())
        stored = {}
        for kind, values in VALUES.items():
            with world.service.begin(self.anyone) as work:
                found = records.store(work, subject_id, type=kind, purposes=[ALL_OF_IT], data=values)
                stored[kind], stored_at = found.id, work.now
        purposes = self.organisation.purposes.values()
        favourites = {
            by_consent: rng.sample([one.name for one in purposes if (one.basis == "consent") is by_consent], FAVOURITES)
            for by_consent in (True, False)
        }
        return Person(subject_id, jurisdiction, born, stored, stored_at, favourites)

    def _purpose(self, person: Person, *, by_consent: bool) -> str:
        return self.rng.choice(person.favourites[by_consent])

    def _begin(self, actor: Actor | None = None) -> Any:
        return self.world.service.begin(actor or self.anyone)

    def _give(self, person: Person) -> None:
        rng, name = self.rng, self._purpose(person, by_consent=True)
        purpose = self.organisation.purposes[name]
        owner = self._owner(name)
        used = sorted(model.terms_of(self.organisation, purpose).categories)
        categories = rng.sample(used, rng.randint(1, len(used))) if rng.random() < 0.3 else None
        flags = rng.randrange(8) | model.SEPARATE * (rng.random() < 0.5)
        is_child = person.born is not None and rng.random() < 0.6
        with self._begin() as work:
            consent.decide(
                work, person.id, name, "given",
                recipient=owner or None, categories=categories, guardian=self.guardian if is_child else None,
                separate=bool(flags & model.SEPARATE), written=bool(flags & model.WRITTEN),
                explicit=bool(flags & model.EXPLICIT),
            )  # fmt: skip
            now = work.now
        person.acts[name, owner] = Act(
            state="given",
            expires_at=purpose.expires.after(now) if purpose.expires else None,
            notice=self.organisation.notices[-1].number,
            categories=None if categories is None else frozenset(categories),
            flags=flags | model.BY_GUARDIAN * is_child,
        )

    def _refuse(self, person: Person) -> None:
        """A no to what was given withdraws it, for every recipient when it names none."""
        name = self._purpose(person, by_consent=True)
        owner = self._owner(name)
        with self._begin() as work:
            consent.decide(work, person.id, name, "refused", recipient=owner or None)
        before = person.acts.get((name, owner))
        if before is not None and before.state == "given":
            self._ended(person, name, owner, "withdrawn")
        else:
            person.acts[name, owner] = Act("refused")

    def _withdraw(self, person: Person) -> None:
        name, owner = self._given(person)
        with self._begin() as work:
            consent.withdraw(work, person.id, name, recipient=owner or None)
        self._ended(person, name, owner, "withdrawn")

    def _end(self, person: Person) -> None:
        name, owner = self._given(person)
        with self._begin(self.world.actor("operator")) as work:
            consent.end(work, person.id, name, "revoked", recipient=owner or None)
        self._ended(person, name, owner, "revoked")

    def _restrict(self, person: Person) -> None:
        name = self.rng.choice((None, self._purpose(person, by_consent=True), self._purpose(person, by_consent=False)))
        with self._begin() as work:
            standing.restrict(work, person.id, name)
        person.restricted.add(name or "*")

    def _lift(self, person: Person) -> None:
        with self._begin(self.world.actor("operator")) as work:
            for name in list(person.restricted):
                standing.lift_restriction(work, person.id, None if name == "*" else name, reason="it is settled")
            for name in list(person.objected):
                standing.lift_objection(work, person.id, name, reason="it is settled")
        person.restricted.clear()
        person.objected.clear()

    def _object(self, person: Person) -> None:
        name = self._purpose(person, by_consent=self.rng.random() < 0.5)
        with self._begin() as work:
            standing.object_to(work, person.id, name)
        person.objected.add(name)

    def _record_basis(self, person: Person) -> None:
        name = self._purpose(person, by_consent=False)
        start = self.now + timedelta(days=self.rng.randint(-60, 20), hours=1)
        end = start + timedelta(days=self.rng.randint(1, 60)) if self.rng.random() < 0.6 else None
        with self._begin() as work:
            standing.record_basis(work, person.id, name, starts_at=start, ends_at=end)
        person.bases[name] = (start, end)

    def _owner(self, name: str) -> str:
        """The controller's own consent, or that of a recipient that needs its own."""
        known = self.organisation.recipients
        own = [one for one in self._recipients(name) if model.consent_counts(self.organisation, known[one])]
        return self.rng.choice(own) if own and self.rng.random() < 0.5 else ""

    def _recipients(self, name: str) -> list[str]:
        return [one.name for one in self.organisation.recipients.values() if name in one.purposes]

    def _given(self, person: Person) -> tuple[str, str]:
        given = [key for key, act in person.acts.items() if act.state == "given"]
        return self.rng.choice(given) if given else (self._purpose(person, by_consent=True), "")

    @staticmethod
    def _ended(person: Person, name: str, owner: str, state: str) -> None:
        for key, act in person.acts.items():
            if key[0] == name and owner in ("", key[1]) and act.state == "given":
                person.acts[key] = act._replace(state=state)

    def _question(self, person: Person) -> Asked:
        rng = self.rng
        given = [name for name, _ in person.acts]
        name = (
            rng.choice(given) if given and rng.random() < 0.7 else self._purpose(person, by_consent=rng.random() < 0.5)
        )
        kind = rng.choice(sorted(self.organisation.purposes[name].uses))
        names = list(VALUES[kind])
        fields = tuple(rng.sample(names, rng.randint(1, len(names)))) if rng.random() < 0.5 else None
        owners = [owner for purpose, owner in person.acts if purpose == name and owner] or self._recipients(name)
        recipient = rng.choice(owners or [None]) if rng.random() < 0.5 else None
        actor = self.anyone if rng.random() < 0.97 else self.world.desk
        case = Case(
            organisation=self.organisation,
            number=0,
            actor=model.Actor(actor.role, actor.purposes, actor.types),
            purpose=name,
            record_type=kind,
            fields=fields,
            recipient=recipient,
            subject=Subject(
                person.jurisdiction, person.born, person.erased, frozenset(person.restricted),
                frozenset(person.objected), person.bases.get(name),
            ),
            acts={owner: act for (purpose, owner), act in person.acts.items() if purpose == name},
            instant=self.now,
            stored_at=person.stored_at,
        )  # fmt: skip
        read = partial(records.read, record_id=person.records[kind], purpose=name, fields=fields, recipient=recipient)
        explain = partial(access.explain, subject_id=person.id, purpose=name, type=kind, recipient=recipient)
        return Asked(case, actor, read, explain)

    def erase(self, person: Person) -> None:
        """The row as an erasure leaves it."""
        with self._begin(TERMINAL) as work:
            work.execute(
                update(subjects_table).where(subjects_table.c.subject_id == person.id).values(erased_at=work.now)
            )
            work.audit("subject.erased", subject=person.id)
        person.erased = True


@pytest.fixture(params=[0, 1], ids=["in-china", "in-germany"])
def life(request: pytest.FixtureRequest, world: World) -> Life:
    return Life(world, replace(organisations(3)[request.param], notices=()), 3 + request.param)


def test_batches_of_reads_agree_with_the_model_after_any_deeds(life: Life) -> None:
    seen: Counter[str | None] = Counter()
    for number in range(ROUNDS):
        for person in life.people:
            for _ in range(3):
                life.act(person)
        if number == 1:
            life.tell([name for name in life.organisation.purposes if life.rng.random() < 0.2])
            life.erase(life.people[0])
        life.world.clock.advance(days=11.3)
        asked = life.questions(300)
        outcomes = life.world.many([(one.actor, [one.read, one.explain], False) for one in asked])
        for (case, *_), (read, explained) in zip(asked, outcomes, strict=True):
            verdict = expected(case)
            assert _answer(read) == _shown(case, verdict), _told(case)
            assert _explained(explained) == expected(replace(case, fields=None, stored_at=None)), _told(case)
            seen[verdict.refusal] += 1
    rare = {"separate-consent-missing", "consent-stale", "consent-expired", "purpose-ended", "objected", "erased"}
    assert not rare - seen.keys(), seen
    assert seen[None] > 150, seen
    assert len(life.done) > 9, life.done


def _answer(outcome: Outcome) -> object:
    if isinstance(outcome, Failure):
        assert isinstance(outcome.error, PrivacyError), outcome.error
        return outcome.error.code, frozenset(outcome.error.context.get("needed", ()))  # type: ignore[call-overload]
    assert isinstance(outcome, records.Record)
    return dict(outcome.data), {name: why.code for name, why in outcome.withheld.items()}


def _explained(outcome: Outcome) -> Verdict:
    """The explanation as a verdict, once it has a sentence in both languages for whatever is not given."""
    if isinstance(outcome, Failure):  # even to ask needs a grant, and of the erased nothing is said
        assert isinstance(outcome.error, PrivacyError), outcome.error
        return Verdict(outcome.error.code)
    assert isinstance(outcome, access.Explained)
    withheld = {name: why.code for name, why in outcome.withheld.items()}
    no = outcome.refusal
    for code in {*withheld.values(), *([no.code] if no else [])}:
        assert outcome.sentences[code].zh, code
        assert outcome.sentences[code].en, code
    if no is not None:
        return Verdict(no.code, frozenset(no.context.get("needed", ())))  # type: ignore[call-overload]
    given = {grant.field: grant.mask or model.CLEAR for grant in outcome.grants}
    return Verdict(None, frozenset(), given, withheld)


def _told(case: Case) -> str:
    return f"{case}\n{case.organisation.jurisdiction} {case.organisation.purposes[case.purpose]}"


def _shown(case: Case, verdict: Verdict) -> object:
    """What a reader sees of the values, through the masks."""
    if verdict.refusal is not None:
        return verdict.refusal, verdict.needed
    values = VALUES[case.record_type]
    shown = {
        name: values[name] if how == model.CLEAR else mask(how, values[name]) for name, how in verdict.given.items()
    }
    return shown, dict(verdict.withheld)


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of each query by key in the database of the data: how many keys it was for."""
    found: list[int] = []

    def counting(real: Callable[..., Any]) -> Callable[..., Any]:
        def lookup(self: object, query: data.Lookup, keys: Sequence[Any]) -> Any:
            found.append(len(keys))
            return real(self, query, keys)

        return lookup

    for kind in (data._SqliteTransaction, data._PostgresTransaction, data.AsyncLane):
        monkeypatch.setattr(kind, "lookup", counting(kind.lookup))
    return found


@pytest.mark.parametrize("count", [1, 100])
def test_deciding_for_one_subject_or_a_hundred_is_one_query(
    world: World, database_kind: Kind, lookups: list[int], count: int
) -> None:
    """Children whose profile must be opened, with a consent and a basis on record: the most that there is to know.

    SQLite takes no arrays: there a query is a call within the process, and a key is one.
    """
    guardian = world.subject()
    with world.service.begin(TERMINAL) as work:
        born = f"{work.now.year - 10}-01-01"
    stored = []
    for _ in range(count):
        subject_id = world.subject(born=born)
        with world.service.begin(world.platform) as work:
            consent.decide(work, subject_id, "marketing", "given", guardian=guardian, separate=True)
        with world.service.begin(world.platform) as work:
            standing.record_basis(work, subject_id, "membership", starts_at=work.now)
        stored.append(world.store(subject_id).id)
    reads: list[Call] = [partial(records.read, record_id=one, purpose="marketing") for one in stored]
    lookups.clear()
    outcomes = world.together(world.platform, reads)
    assert all(isinstance(found, records.Record) and len(found.data) == 2 for found in outcomes)
    watched, *asked = lookups
    assert watched == 4  # manifest, directory, subjects: whether anything has changed, once a transaction
    assert asked == ([1] * count if database_kind == "sqlite" else [count])
