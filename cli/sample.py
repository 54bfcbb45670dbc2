"""Three components outside the service, at work: they know its REST client and nothing else of it.

A community platform registers members and asks them about marketing. An interaction desk finds callers by
their telephone number, writes down what they said, and reads it back. An analyst asks for people's records
and gets none. Run again, they find what is there and add only what is missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from itertools import islice
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar

from cli.people import Person, Talk, marketing_choice, people, talks
from privacy.client import NewRecord, OfSubject, PrivacyClient, Record, Value
from privacy.errors import Conflict, PrivacyError, Unavailable

COMMUNITY: Final = "demo-community"
DESK: Final = "demo-desk"
ANALYST: Final = "demo-analyst"
UNDECLARED: Final = "credit-scoring"  # what nobody may have the data for
_BATCH: Final = 100
_AT_ONCE: Final = 8  # calls that wait together share the service's commits
_ANALYSED: Final = 25
# Whether it is a complaint -> for what purpose, and as which record type, the desk keeps what was said.
_KEPT_AS: Final = {False: ("customer-service", "interaction"), True: ("complaint-handling", "complaint")}

Item = TypeVar("Item")
Result = TypeVar("Result")


class Steps(Protocol):
    """How progress is told: `with steps.step("members", 1000) as advance: advance(1)`."""

    def step(self, title: str, total: int) -> AbstractContextManager[Callable[[int], None]]: ...


@dataclass(slots=True)
class Disclosed:
    """What one purpose got: records, values, and how many of the values came through a mask."""

    records: int = 0
    values: int = 0
    masked: int = 0
    masks: dict[str, str] = field(default_factory=dict)  # field -> mask


@dataclass(frozen=True, slots=True)
class Refusal:
    """One kind of refusal: who asked for what purpose, and the rule and law that said no."""

    component: str
    purpose: str
    code: str
    law: tuple[str, ...]


@dataclass(slots=True)
class Report:
    """What happened, in counts: nothing in it is personal."""

    subjects: int = 0
    created: int = 0
    languages: dict[str, int] = field(default_factory=dict)
    stored: dict[str, int] = field(default_factory=dict)
    consents: dict[str, int] = field(default_factory=dict)
    searched: int = 0
    found: int = 0
    disclosed: dict[str, Disclosed] = field(default_factory=dict)
    refused: dict[Refusal, int] = field(default_factory=dict)
    seconds: float = 0.0

    def refuse(self, component: str, purpose: str, error: PrivacyError) -> None:
        kind = Refusal(component, purpose, str(error.context.get("code") or error.code), error.law)
        self.refused[kind] = self.refused.get(kind, 0) + 1

    def store(self, what: str, count: int) -> None:
        self.stored[what] = self.stored.get(what, 0) + count


class Sample:
    """The components and the people they know. `keys` holds an API key for each component."""

    def __init__(self, url: str, keys: Mapping[str, str], count: int, seed: int) -> None:
        self._people = list(people(count, seed))
        self._seed = seed
        self._ids: dict[int, str] = {}  # the platform's number of a person -> the service's subject
        self._report = Report()
        self._stack = ExitStack()
        self._community, self._desk, self._analyst = (
            self._stack.enter_context(PrivacyClient(url, keys[name], timeout=30.0))
            for name in (COMMUNITY, DESK, ANALYST)
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
        """Whether an earlier run came to its end: the last thing that it writes is the last caller's talk."""
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

    def run(self, steps: Steps) -> Report:
        """Let the components do their work, and count. Raises what `PrivacyClient` raises."""
        began = time.monotonic()
        self._report = report = Report(subjects=len(self._people))
        for person in self._people:
            report.languages[person.language] = report.languages.get(person.language, 0) + 1
        self._register(steps)
        self._ask_about_marketing(steps)
        self._answer_callers(steps)
        self._read_back(steps)
        self._be_refused()
        report.seconds = time.monotonic() - began
        return report

    # --- the community platform

    def _register(self, steps: Steps) -> None:
        """A subject and a member record for each person who has none yet."""
        with steps.step("The community platform registers data subjects", len(self._people)) as advance:
            for person, (subject, is_new) in self._each(self._people, self._create, advance):
                self._ids[person.number] = subject
                self._report.created += is_new
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
                external_id=person.external_id, jurisdiction=person.jurisdiction, born=person.born
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

    def _ask_about_marketing(self, steps: Steps) -> None:
        """Record what people said, once; then ask for everybody's data for marketing."""
        asked = [person for person in self._people if marketing_choice(person, self._seed)]
        with steps.step("... and asks them about marketing", len(asked)) as advance:
            for _, decision in self._each(asked, self._ask, advance):
                if decision is not None:
                    self._report.consents[decision] = self._report.consents.get(decision, 0) + 1
        with steps.step("... and reads their data for marketing", len(self._people)) as advance:
            self._read(self._community, COMMUNITY, "marketing", ["member"], advance)

    def _ask(self, person: Person) -> str | None:
        subject = self._ids[person.number]
        if any(consent.purpose == "marketing" for consent in self._community.consents(subject)):
            return None
        decision = marketing_choice(person, self._seed) or "refused"
        language = "zh-CN" if person.language == "zh" else "en-GB"
        self._community.give_consent(
            subject,
            purpose="marketing",
            decision=decision,
            notice="2026-01",
            language=language,
            separate=True,
        )
        return decision

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

    def _read_back(self, steps: Steps) -> None:
        with steps.step("... and reads members and talks for customer service", len(self._people)) as advance:
            self._read(self._desk, DESK, "customer-service", ["member", "interaction"], advance)
        with steps.step("... and complaints for handling them", len(self._people)) as advance:
            self._read(self._desk, DESK, "complaint-handling", ["complaint"], advance)

    # --- the analyst, and a purpose that nobody declared

    def _be_refused(self) -> None:
        some = self._people[:_ANALYSED]
        for purpose in ("statistics", "customer-service"):
            self._count(ANALYST, purpose, {}, self._batch(self._analyst, some, purpose, "member"))
        self._count(DESK, UNDECLARED, {}, self._batch(self._desk, some[:1], UNDECLARED, "member"))

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

    def _with_records(self, client: PrivacyClient, some: Sequence[Person], purpose: str, kind: str) -> set[str]:
        """Who of some people has a record of a type already. Raises the first refusal."""
        found = set()
        for outcome in self._batch(client, some, purpose, kind):
            if isinstance(outcome, PrivacyError):
                raise outcome
            found.add(outcome.subject_id)
        return found

    def _read(
        self,
        client: PrivacyClient,
        component: str,
        purpose: str,
        kinds: Sequence[str],
        advance: Callable[[int], None],
    ) -> None:
        """Ask for everybody's records for a purpose, and count what came and what did not."""
        masks: dict[tuple[str, str], str] = {}
        for kind in kinds:
            declared = client.decision(self._ids[self._people[0].number], purpose=purpose, type=kind)
            masks |= {(kind, name): mask for name, mask in declared.fields.items() if mask is not None}
        for some in _batches(self._people):
            for kind in kinds:
                self._count(component, purpose, masks, self._batch(client, some, purpose, kind))
            advance(len(some))

    def _batch(
        self, client: PrivacyClient, some: Sequence[Person], purpose: str, kind: str
    ) -> list[Record | PrivacyError]:
        return client.read_batch([OfSubject(self._ids[person.number], kind) for person in some], purpose=purpose)

    def _count(
        self,
        component: str,
        purpose: str,
        masks: Mapping[tuple[str, str], str],
        outcomes: Iterable[Record | PrivacyError],
    ) -> None:
        for outcome in outcomes:
            if isinstance(outcome, Unavailable):
                raise outcome
            if isinstance(outcome, PrivacyError):
                self._report.refuse(component, purpose, outcome)
                continue
            counts = self._report.disclosed.setdefault(purpose, Disclosed())
            masked = {name: masks[outcome.type, name] for name in outcome.data if (outcome.type, name) in masks}
            counts.records += 1
            counts.values += len(outcome.data)
            counts.masked += len(masked)
            counts.masks |= masked


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    rest = iter(items)
    while some := list(islice(rest, _BATCH)):
        yield some
