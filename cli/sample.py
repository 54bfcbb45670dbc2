"""Three components outside the service, at work: they know its REST client and nothing else of it.

A community platform registers members, shows each the notice in their language, and records what they decide about
each purpose; it keeps the identity number of those alone who consented to just that. An interaction desk finds
callers by their telephone number, writes down what they said, and stops its own work for one who contests it.
An analyst asks for people's records and gets none; what people said it gets without what is personal in it, and what
may be told of all together as `cli.sample_figures` says. Run again, they find what is there and add only what is
missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from itertools import islice
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar

from cli.outcome import Disclosed, Refusal, Report
from cli.people import IDENTITY, MARKETING, PARTNER, Language, Person, Talk, decisions, people, talks, withdraws
from cli.sample_figures import OFFICE, REVIEWER, figures
from privacy.client import Choice, Consent, NewRecord, Notice, OfSubject, PrivacyClient, Record, Value
from privacy.errors import Conflict, ConsentMissing, NotFound, PrivacyError, Restricted, Unavailable

COMMUNITY: Final = "demo-community"
DESK: Final = "demo-desk"
ANALYST: Final = "demo-analyst"
QUALITY: Final = "service-quality"  # what the analyst may read, redacted
UNDECLARED: Final = "credit-scoring"  # what nobody may have the data for
MALL: Final = "partner-mall"  # another controller: it needs a consent of its own (PIPL 23)
RESTRICTED: Final = 4  # the number of the person who contests what is held
_PAUSED: Final = "customer-service"
_BATCH: Final = 100
_AT_ONCE: Final = 8  # calls that wait together share the service's commits
_ANALYSED: Final = 25
# What is asked on a page of its own, or must be (PIPL 14, 23, 29).
_SEPARATE: Final = frozenset({IDENTITY, PARTNER})
_TAGS: Final[Mapping[Language, str]] = {"zh": "zh-CN", "en": "en"}
LANGUAGES: Final = tuple(_TAGS)
# Whether it is a complaint -> for what purpose, and as which record type, the desk keeps what was said.
_KEPT_AS: Final = {False: ("customer-service", "interaction"), True: ("complaint-handling", "complaint")}

Item = TypeVar("Item")
Result = TypeVar("Result")


class Steps(Protocol):
    """How progress is told: `with steps.step("members", 1000) as advance: advance(1)`."""

    def step(self, title: str, total: int) -> AbstractContextManager[Callable[[int], None]]: ...


class Sample:
    """The components and the people they know. `keys` holds an API key for each component."""

    def __init__(self, url: str, keys: Mapping[str, str], count: int, seed: int) -> None:
        self._people = list(people(count, seed))
        self._seed = seed
        self._ids: dict[int, str] = {}  # the platform's number of a person -> the service's subject
        self._new: set[int] = set()  # who was registered just now
        self._notices: dict[Language, Notice] = {}
        self._examples: dict[Refusal, tuple[PrivacyClient, str, str, str | None]] = {}
        self._report = Report()
        self._stack = ExitStack()
        self._community, self._desk, self._analyst, self._office, self._reviewer = (
            self._stack.enter_context(PrivacyClient(url, keys[name], timeout=30.0))
            for name in (COMMUNITY, DESK, ANALYST, OFFICE, REVIEWER)
        )
        self._pool = self._stack.enter_context(ThreadPoolExecutor(_AT_ONCE))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._stack.close()

    def is_there(self) -> bool:
        """Whether an earlier run came to its end: the last thing it writes is the restriction, before it the talks."""
        person = self._contesting()
        if person is not None:
            known = self._subject_of(person)
            return known is not None and self._is_restricted(known)
        said = [(person, talk) for person in self._people for talk in talks(person, self._seed)]
        if not said:
            return False
        person, talk = said[-1]
        known = self._subject_of(person)
        if known is None:
            return False
        purpose, kind = _KEPT_AS[talk.is_complaint]
        return any(self._desk.records(known, purpose=purpose, type=kind))

    def first_subject(self) -> str | None:
        """The subject of the first person, if it is known."""
        return self._subject_of(self._people[0])

    def who_said_a_number(self, language: Language) -> str | None:
        """The subject of the first who said their telephone number to the desk in that language, if it is known."""
        for person in self._people:
            if person.language != language or person.number == RESTRICTED:
                continue
            if any(person.phone in talk.text and not talk.is_complaint for talk in talks(person, self._seed)):
                return self._subject_of(person)
        return None

    def run(self, steps: Steps) -> Report:
        """Let the components do their work, and count. Raises what `PrivacyClient` raises."""
        began = time.monotonic()
        self._report = report = Report(subjects=len(self._people))
        for person in self._people:
            report.languages[person.language] = report.languages.get(person.language, 0) + 1
        self._register(steps)
        self._ask_for_consent(steps)
        self._keep_identities(steps)
        self._answer_callers(steps)
        self._restrict()
        self._read_back(steps)
        self._be_refused()
        self._explain()
        with steps.step("The privacy office releases monthly figures of those who agreed", 1) as advance:
            report.figures = figures(self._office, self._reviewer, self._analyst)
            advance(1)
        report.seconds = time.monotonic() - began
        return report

    # --- the community platform

    def _register(self, steps: Steps) -> None:
        """A subject and a member record for each person who has none yet; guardians before their children."""
        adults = [person for person in self._people if person.guardian is None]
        children = [person for person in self._people if person.guardian is not None]
        with steps.step("The community platform registers data subjects", len(self._people)) as advance:
            for some in (adults, children):
                for person, (subject, is_new) in self._each(some, self._create, advance):
                    self._ids[person.number] = subject
                    if is_new:
                        self._new.add(person.number)
        self._report.created = len(self._new)
        with steps.step("... and stores their member records", len(self._people)) as advance:
            for some in _batches(self._people):
                known = self._with_records(self._community, some, "membership", "member")
                missing = [person for person in some if self._ids[person.number] not in known]
                self._write(self._community, [self._member(person) for person in missing])
                self._report.store("member", len(missing))
                advance(len(some))

    def _create(self, person: Person) -> tuple[str, bool]:
        try:
            made = self._community.create_subject(
                external_id=person.external_id,
                jurisdiction=person.jurisdiction,
                born=person.born,
                guardian=None if person.guardian is None else self._ids[person.guardian],
            )
        except Conflict:
            known = self._subject_of(person)
            if known is None:  # another run is registering the same person at this moment
                raise
            return known, False
        return made.id, True

    def _subject_of(self, person: Person) -> str | None:
        hits = self._community.search(
            type="subject", field="external_id", value=person.external_id, purpose="membership"
        )
        return hits[0].subject_id if hits else None

    def _member(self, person: Person) -> NewRecord:
        data: dict[str, Value] = {
            "name": person.name,
            "phone": person.phone,
            "email": person.email,
            "joined_at": person.joined,
            "join_reason": person.reason,
        }
        return NewRecord(self._ids[person.number], "member", ["membership"], data)

    def _ask_for_consent(self, steps: Steps) -> None:
        """Show each the newest notice in their language, and record what they say, once."""
        version = next((notice.version for notice in self._community.notices()), None)
        if version is None:
            raise NotFound("No notice is published, so nobody can consent: run `privacy notice publish FILE`")
        self._report.notice = version
        self._notices = {language: self._community.notice(version, language=language) for language in _TAGS}
        asked = [person for person in self._people if decisions(person, self._seed)]
        with steps.step("... and asks them for consent, each in their language", len(asked)) as advance:
            for person, done in self._each(asked, self._ask, advance):
                for consent in done:
                    self._report.decide(consent, person.language)

    def _ask(self, person: Person) -> list[Consent]:
        """What they said goes in one call, each choice an act of its own; a few come back to withdraw."""
        subject = self._ids[person.number]
        before: dict[str, str] = {}
        if person.number not in self._new:
            before = {consent.purpose: consent.state for consent in self._community.consents(subject)}
        said = decisions(person, self._seed)
        choices = [self._choice(person, purpose, said[purpose]) for purpose in said if purpose not in before]
        done = self._community.record_choices(subject, choices) if choices else []
        if withdraws(person, self._seed) and before.get(MARKETING, "given") == "given":
            done.append(self._community.withdraw_consent(subject, purpose=MARKETING, channel="web"))
        return done

    def _choice(self, person: Person, purpose: str, decision: str) -> Choice:
        return Choice(
            purpose,
            decision,
            notice=self._notices[person.language].version,
            language=_TAGS[person.language],
            recipient=MALL if purpose == PARTNER else None,
            # All data of a child is sensitive (PIPL 28), so what its guardian consents to is asked by itself.
            separate=purpose in _SEPARATE or person.guardian is not None,
            guardian=None if person.guardian is None else self._ids[person.guardian],
            channel="web",
        )

    def _keep_identities(self, steps: Steps) -> None:
        """The identity number of those who consented to just that: a record of its own, with an early end."""
        checked = [person for person in self._people if decisions(person, self._seed).get(IDENTITY) == "given"]
        with steps.step("... and keeps identity numbers of those who agreed to that", len(checked)) as advance:
            for some in _batches(checked):
                known = self._with_records(self._community, some, IDENTITY, "member", "id_number")
                missing = [person for person in some if self._ids[person.number] not in known]
                data = [(self._ids[person.number], person.id_number) for person in missing]
                self._write(
                    self._community,
                    [NewRecord(subject, "member", [IDENTITY], {"id_number": number}) for subject, number in data],
                )
                self._report.store("identity", len(missing))
                advance(len(some))

    # --- the interaction desk

    def _answer_callers(self, steps: Steps) -> None:
        """Find each caller by telephone number and write down what they said."""
        callers = [person for person in self._people if talks(person, self._seed)]
        with steps.step("The desk finds callers by telephone number", len(callers)) as advance:
            for _, is_found in self._each(callers, self._find, advance):
                self._report.searched += 1
                self._report.found += is_found
        with steps.step("... and writes down what they said", len(callers)) as advance:
            for some in _batches(callers):
                known = set[str]()
                for purpose, kind in _KEPT_AS.values():
                    known |= self._with_records(self._desk, some, purpose, kind)
                new = [
                    self._talk(person, talk)
                    for person in some
                    if self._ids[person.number] not in known
                    for talk in talks(person, self._seed)
                ]
                # All of a batch or nothing: a caller whose talks are half there would never be completed.
                self._write(self._desk, new)
                for record in new:
                    self._report.store(record.type, 1)
                advance(len(some))

    def _find(self, person: Person) -> bool:
        # As a person says it at the telephone: with spaces, without a country code where there is one
        spoken = (
            f"{person.phone[:3]} {person.phone[3:7]} {person.phone[7:]}" if person.language == "zh" else person.phone
        )
        hits = self._desk.search(type="member", field="phone", value=spoken, purpose="customer-service")
        return self._ids[person.number] in {hit.subject_id for hit in hits}

    def _talk(self, person: Person, talk: Talk) -> NewRecord:
        data: dict[str, Value]
        if talk.is_complaint:
            data = {"received_at": talk.at, "text": talk.text, "resolved": False}
        else:
            data = {"at": talk.at, "channel": talk.channel, "content": talk.text, "satisfaction": talk.satisfaction}
        purpose, kind = _KEPT_AS[talk.is_complaint]
        return NewRecord(self._ids[person.number], kind, [purpose], data)

    def _contesting(self) -> Person | None:
        return next((person for person in self._people if person.number == RESTRICTED), None)

    def _restrict(self) -> None:
        """One person contests what the desk holds: until that is settled, nothing but storage (GDPR 18, PIPL 44)."""
        person = self._contesting()
        if person is not None and not self._is_restricted(self._ids[person.number]):
            reason = "The person contests what is held about them"
            self._desk.restrict(self._ids[person.number], purpose=_PAUSED, reason=reason, channel="phone")
            self._report.restricted += 1

    def _is_restricted(self, subject: str) -> bool:
        return any(one.purpose == _PAUSED and one.restricted_at for one in self._desk.standing(subject))

    # --- what everybody gets, and does not get

    def _read_back(self, steps: Steps) -> None:
        everybody = len(self._people)
        with steps.step("The community platform reads for what needs consent", everybody * 3) as advance:
            for purpose, recipient in ((MARKETING, None), (PARTNER, MALL), (IDENTITY, None)):
                self._read(self._community, COMMUNITY, purpose, ["member"], advance, recipient)
        with steps.step("The desk reads members and talks for customer service", everybody) as advance:
            self._read(self._desk, DESK, "customer-service", ["member", "interaction"], advance)
        with steps.step("... and complaints for handling them", everybody) as advance:
            self._read(self._desk, DESK, "complaint-handling", ["complaint"], advance)
        with steps.step("The analyst reads talks without what is personal in them", everybody) as advance:
            self._read(self._analyst, ANALYST, QUALITY, ["interaction"], advance)

    def _be_refused(self) -> None:
        some = self._people[:_ANALYSED]
        for purpose in ("statistics", "customer-service"):
            self._count(self._analyst, ANALYST, purpose, {}, some, "member")
        self._count(self._desk, DESK, UNDECLARED, {}, some[:1], "member")

    def _explain(self) -> None:
        """Ask of one example of each refusal why it is so, in Chinese."""
        for kind, (client, subject, record_type, recipient) in self._examples.items():
            try:
                decision = client.decision(
                    subject, purpose=kind.purpose, type=record_type, recipient=recipient, language="zh"
                )
            except PrivacyError as error:
                self._report.chinese[kind] = error.detail
                continue
            if decision.refusal is not None:
                self._report.chinese[kind] = decision.refusal.detail

    # --- what they share

    def _each(
        self, items: Sequence[Item], call: Callable[[Item], Result], advance: Callable[[int], None]
    ) -> Iterator[tuple[Item, Result]]:
        """Each item with the result of its call; several calls are under way at a time."""
        for item, result in zip(items, self._pool.map(call, items), strict=True):
            advance(1)
            yield item, result

    def _write(self, client: PrivacyClient, new: Sequence[NewRecord]) -> None:
        if new:
            client.write_batch(new, atomic=True)

    def _with_records(
        self, client: PrivacyClient, some: Sequence[Person], purpose: str, kind: str, field: str | None = None
    ) -> set[str]:
        """Who of some people has a record of a type (with a field) already, or may get no other now.

        Whoever was registered just now has none. Raises the first other refusal.
        """
        old = [person for person in some if person.number not in self._new]
        found = set()
        for outcome in self._batch(client, old, purpose, kind):
            if isinstance(outcome, Restricted | ConsentMissing):
                found.add(self._ids[old[_item(outcome)].number])
            elif isinstance(outcome, PrivacyError):
                raise outcome
            elif field is None or field in outcome.data:
                found.add(outcome.subject_id)
        return found

    def _read(
        self,
        client: PrivacyClient,
        component: str,
        purpose: str,
        kinds: Sequence[str],
        advance: Callable[[int], None],
        recipient: str | None = None,
    ) -> None:
        """Ask for everybody's records for a purpose, and count what came and what did not."""
        masks: dict[tuple[str, str], str] = {}
        for kind in kinds:
            first = self._ids[self._people[0].number]
            declared = client.decision(first, purpose=purpose, type=kind, recipient=recipient)
            masks |= {(kind, name): mask for name, mask in declared.fields.items() if mask is not None}
        for some in _batches(self._people):
            for kind in kinds:
                self._count(client, component, purpose, masks, some, kind, recipient)
            advance(len(some))

    def _batch(
        self, client: PrivacyClient, some: Sequence[Person], purpose: str, kind: str, recipient: str | None = None
    ) -> list[Record | PrivacyError]:
        if not some:
            return []
        wanted = [OfSubject(self._ids[person.number], kind) for person in some]
        return client.read_batch(wanted, purpose=purpose, recipient=recipient)

    def _count(
        self,
        client: PrivacyClient,
        component: str,
        purpose: str,
        masks: Mapping[tuple[str, str], str],
        some: Sequence[Person],
        kind: str,
        recipient: str | None = None,
    ) -> None:
        for outcome in self._batch(client, some, purpose, kind, recipient):
            if isinstance(outcome, Unavailable):
                raise outcome
            if isinstance(outcome, PrivacyError):
                refusal = self._report.refuse(component, purpose, outcome)
                example = self._ids[some[_item(outcome)].number]
                self._examples.setdefault(refusal, (client, example, kind, recipient))
                continue
            if not outcome.data:  # a record of which this purpose may have nothing
                continue
            counts = self._report.disclosed.setdefault(purpose, Disclosed())
            masked = {name: masks[outcome.type, name] for name in outcome.data if (outcome.type, name) in masks}
            counts.records += 1
            counts.values += len(outcome.data)
            counts.masked += len(masked)
            counts.masks |= masked


def _item(error: PrivacyError) -> int:
    """Which item of the batch it is about."""
    place = error.context.get("item")
    return place if isinstance(place, int) else 0


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    rest = iter(items)
    while some := list(islice(rest, _BATCH)):
        yield some
