"""A subject's life against a model of it: what is stored, what each purpose sees, what rows remain."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Final
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete

from privacy import consent, consent_history, records, search
from privacy.errors import Conflict, ConsentMissing, Invalid, NotFound, NotInPurpose, PurposeEnded, VersionMismatch
from privacy.periods import Period
from privacy.steward import Steward
from privacy.tables import audit_events, consent_events, consents, index_entries, micros, subjects
from privacy.tables import records as records_table
from tests.databases import Databases
from tests.invariants.looking import snapshot
from tests.world import World, Worlds

NAMES: Final = ("王伟", "李娜", "Ada", "Grace")
PHONES: Final = ("13800138000", "13900139000", "13700137000")
MAILS: Final = ("wang@example.cn", "li@example.cn")
MASKED: Final = {"13800138000": "138****8000", "13900139000": "139****9000", "13700137000": "137****7000"}
KEEP: Final = {"membership": Period.parse("P3Y"), "marketing": Period.parse("P1Y")}
SERVICE_KEEP: Final = Period.parse("P2Y")
CONSENT_KEEP: Final = Period.parse("P1Y")
START: Final = datetime(2026, 2, 27, 12, tzinfo=UTC)

# Broken by hand, each time falsified here: rectifying without deleting the old index entries; deleting a record
# without its entries; a withdrawal that keeps the state; `version` not raised;
# a removed field that stays in the container; `_OF_SUBJECT` without its expiry.


@dataclass
class Kept:
    """A record of the model. Values that live, and the instant of its end."""

    subject: UUID
    values: dict[str, str]
    purposes: tuple[str, ...]
    stored_at: datetime
    ends: datetime
    version: int = 1


@dataclass
class Frozen:
    """A clock that stands still until it is moved."""

    now: datetime = START

    def __call__(self) -> int:
        return micros(self.now)


VALUES = st.fixed_dictionaries(
    {"phone": st.sampled_from(PHONES)},
    optional={"name": st.sampled_from(NAMES), "email": st.sampled_from(MAILS)},
)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from((*NAMES, None)),
        "phone": st.sampled_from((*PHONES, None)),
        "email": st.sampled_from((*MAILS, None)),
    },
)


# What somebody says who has consented: yes again renews, no withdraws.
AFTER = {(before, said): after for before in ("given", "renewed") for said, after in
         (("given", "renewed"), ("refused", "withdrawn"))}  # fmt: skip


class SubjectLife(RuleBasedStateMachine):
    """The model: live values with their ends, the consent of each subject, how many rows and events there are."""

    databases: ClassVar[Databases]
    world: ClassVar[World]
    clock: ClassVar[Frozen]

    people = Bundle("people")
    stored = Bundle("stored")

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[UUID, Kept] = {}
        self.consented: dict[UUID, tuple[str, datetime | None]] = {}
        self.history: dict[UUID, list[str]] = {}
        self.people_made: set[UUID] = set()

    @initialize()
    def begin_empty(self) -> None:
        """The databases are those of the example before, without its rows; only what grows stays."""
        self.clock.now = START
        with self.world.service.database.borrow() as lane, lane.transaction() as transaction:
            for table in (index_entries, records_table, consents, subjects):
                transaction.execute(delete(table))
        _, numbers = snapshot(self.world, (), (audit_events, consent_events))
        self.events, self.consent_events = numbers["audit_events"], numbers["consent_events"]

    @rule(target=people)
    @precondition(lambda self: len(self.people_made) < 3)
    def create(self) -> UUID:
        made = self.world.subject()
        self.people_made.add(made)
        self.history[made] = []
        self.events += 1
        return made

    @rule(
        target=stored,
        person=people,
        values=VALUES,
        purposes=st.sampled_from((("membership",), ("marketing",), ("membership", "marketing"))),
    )
    def store(self, person: UUID, values: dict[str, str], purposes: tuple[str, ...]) -> Any:
        self.events += 1
        used = {"name", "phone", "email"} if "membership" in purposes else {"phone", "email"}
        try:
            made = self.world.store(person, dict(values), purposes=purposes)
        except ConsentMissing:
            assert "marketing" in purposes
            assert not self._consents(person)
            return multiple()
        except NotInPurpose:
            assert not set(values) <= used
            return multiple()
        assert set(values) <= used
        assert "marketing" not in purposes or self._consents(person)
        ends = max(KEEP[name].after(self.clock.now) for name in purposes)
        assert made.expires_at == ends
        self.kept[made.id] = Kept(person, dict(values), purposes, self.clock.now, ends)
        return made.id

    @rule(record=stored, changes=CHANGES, stale=st.booleans())
    def rectify(self, record: UUID, changes: dict[str, str | None], stale: bool) -> None:
        known = self.kept.get(record)
        version = (known.version if known else 1) - stale
        try:
            with self.world.service.begin(self.world.platform) as work:
                made = records.rectify(work, record, version=version, data=changes)
        except NotFound:
            assert known is None or known.ends <= self.clock.now
            return
        except VersionMismatch:
            assert stale
            return
        except Invalid:
            assert known is not None
            assert not changes or not self._after(known, changes)
            return
        except NotInPurpose:
            self.events += 1  # a rule said no, and that is on record
            assert known is not None
            assert "membership" not in known.purposes
            assert changes.get("name") is not None
            return
        assert known is not None
        assert known.ends > self.clock.now
        assert not stale
        self.events += 1
        known.values = self._after(known, changes)
        known.version += 1
        assert made.version == known.version
        assert made.expires_at == known.ends

    @rule(record=consumes(stored))
    def delete_record(self, record: UUID) -> None:
        known = self.kept.get(record)
        try:
            with self.world.service.begin(self.world.platform) as work:
                records.delete(work, record)
        except NotFound:
            assert known is None or known.ends <= self.clock.now
            return
        self.events += 1
        assert known is not None
        assert known.ends > self.clock.now
        del self.kept[record]

    @rule(person=people, decision=st.sampled_from(("given", "refused")))
    def decide(self, person: UUID, decision: Any) -> None:
        with self.world.service.begin(self.world.platform) as work:
            found = consent.decide(work, person, "marketing", decision)
        before = self.consented.get(person, ("none", None))[0]
        state = AFTER.get((before, decision), decision)
        ends = CONSENT_KEEP.after(self.clock.now) if decision == "given" else None
        assert (found.state, found.expires_at) == (state, ends)
        self.consented[person] = (state, ends)
        self.history[person].append(state)
        self.events += 1

    @rule(person=people)
    def withdraw(self, person: UUID) -> None:
        state = self.consented.get(person, ("none", None))[0]
        try:
            with self.world.service.begin(self.world.platform) as work:
                consent.withdraw(work, person, "marketing")
        except NotFound:
            assert state == "none"
            return
        except Conflict:
            assert state == "refused"
            return
        assert state in ("given", "renewed", "withdrawn")
        if state in ("given", "renewed"):
            self.consented[person] = ("withdrawn", None)
            self.history[person].append("withdrawn")
        self.events += 1

    @rule(
        step=st.sampled_from(
            (timedelta(0), timedelta(seconds=1), timedelta(days=200), timedelta(days=366), timedelta(days=500))
        ),
        restart=st.booleans(),
    )
    @precondition(lambda self: self.kept)
    def time_passes(self, step: timedelta, restart: bool) -> None:
        """With or without a restart: what is not in the databases is gone then."""
        self.clock.now += step
        if restart:
            settings_of = self.world.service.settings
            self.world.service.close()
            self.world.service = Steward.open(settings_of, self.clock)

    @rule(record=stored, purpose=st.sampled_from(("membership", "marketing", "customer-service")))
    def read(self, record: UUID, purpose: str) -> None:
        known = self.kept.get(record)
        by = "desk" if purpose == "customer-service" else "platform"
        try:
            found = self.world.read(record, purpose, by=by)
        except NotFound:
            assert known is None or known.ends <= self.clock.now
            return
        except ConsentMissing:
            assert known is not None
            assert purpose == "marketing"
            assert not self._consents(known.subject)
            self.events += 1
            return
        except PurposeEnded:
            assert known is not None
            assert self._ended(known, purpose)
            self.events += 1
            return
        self.events += 1
        assert known is not None
        assert known.ends > self.clock.now
        assert found.data == self._seen(known, purpose)
        assert found.version == known.version

    @rule(person=people, purpose=st.sampled_from(("membership", "customer-service")))
    def list_records(self, person: UUID, purpose: str) -> None:
        by = "desk" if purpose == "customer-service" else "platform"
        with self.world.service.begin(self.world.actor(by)) as work:
            page = records.read_all(work, person, purpose=purpose, type="member")
        expected = {
            id: {} if self._ended(one, purpose) else self._seen(one, purpose)
            for id, one in self.kept.items()
            if one.subject == person and one.ends > self.clock.now
        }
        assert {record.id: record.data for record in page.items} == expected
        assert [record.id for record in page.items] == sorted(expected)
        self.events += max(1, len(expected))

    @precondition(lambda self: self.kept)
    @rule(phone=st.sampled_from(PHONES), purpose=st.sampled_from(("membership", "marketing")))
    def search_phone(self, phone: str, purpose: str) -> None:
        with self.world.service.begin(self.world.platform) as work:
            hits = search.search(work, type="member", field="phone", value=f"+86{phone}", purpose=purpose)
            self.events += len(work.events)  # candidates that were not the one are on record as well
        expected = {
            (one.subject, id)
            for id, one in self.kept.items()
            if one.values.get("phone") == phone
            and one.ends > self.clock.now
            and not self._ended(one, purpose)
            and (purpose != "marketing" or self._consents(one.subject))
        }
        assert {(hit.subject_id, hit.record_id) for hit in hits} == expected

    @rule(person=people)
    def consent_history(self, person: UUID) -> None:
        with self.world.service.begin(self.world.auditor) as work:
            found = consent_history.listed(work, person, history=True)
        assert [one.state for one in found] == self.history[person]
        self.events += 1

    @invariant()
    def rows_agree(self) -> None:
        """What is stored, not only what a read shows."""
        if not hasattr(self, "events"):
            return
        found, numbers = snapshot(
            self.world, (records_table, index_entries, subjects, consents), (consent_events, audit_events)
        )
        kept = {row["record_id"]: row for row in found["records"]}
        assert set(kept) == set(self.kept)
        assert all(kept[id]["expires_at"] == one.ends for id, one in self.kept.items())
        assert len(found["index_entries"]) == sum(len(one.values) for one in self.kept.values())
        assert {row["subject_id"] for row in found["subjects"]} == self.people_made
        states = {row["subject_id"]: row["state"] for row in found["consents"]}
        assert states == {person: state for person, (state, _) in self.consented.items()}
        past = numbers["consent_events"] - self.consent_events
        assert past == sum(len(history) for history in self.history.values())
        assert numbers["audit_events"] == self.events

    def _consents(self, person: UUID) -> bool:
        state, ends = self.consented.get(person, ("none", None))
        return state in ("given", "renewed") and ends is not None and ends > self.clock.now

    def _ended(self, known: Kept, purpose: str) -> bool:
        keep = KEEP.get(purpose, SERVICE_KEEP)
        return keep.after(known.stored_at) <= self.clock.now

    def _seen(self, known: Kept, purpose: str) -> dict[str, str]:
        given = {"membership": ("name", "phone", "email"), "marketing": ("phone", "email")}.get(
            purpose, ("name", "phone")
        )
        seen = {name: known.values[name] for name in given if name in known.values}
        if purpose == "customer-service" and "phone" in seen:
            seen["phone"] = MASKED[seen["phone"]]
        return seen

    def _after(self, known: Kept, changes: dict[str, str | None]) -> dict[str, str]:
        changed = known.values | changes
        return {name: value for name, value in changed.items() if value is not None}


@pytest.mark.parametrize(("kind", "examples", "steps"), [("sqlite", 60, 40), ("postgresql", 20, 30)])
def test_a_subjects_life_is_as_the_model_says(
    kind: str, examples: int, steps: int, worlds: Worlds, request: pytest.FixtureRequest
) -> None:
    databases: Databases = request.getfixturevalue(f"{kind}_databases")
    folder = Path(tempfile.mkdtemp())
    world = worlds.copy(databases, folder / "home")

    class Life(SubjectLife):
        pass

    Life.databases, Life.world, Life.clock = databases, world, Frozen()
    world.service.instant = Life.clock
    try:
        run_state_machine_as_test(
            Life,
            settings=settings(max_examples=examples, stateful_step_count=steps),
        )
    finally:
        worlds.remove(databases, world)
        shutil.rmtree(folder)
