"""What may be read for analytics."""

from __future__ import annotations

from uuid import UUID

import pytest

from privacy import consent, records, standing
from privacy.anonymisation import source
from privacy.anonymisation.source import Gathered, Period
from privacy.errors import Forbidden, Invalid, NotInPurpose, Refused
from tests.anonymisation.survey_world import answers, declare, fill
from tests.world import World


def gathered(world: World, purpose: str = "study", *, by: str = "operator", **more: object) -> Gathered:
    asked: dict[str, object] = {"purpose": purpose, "record_type": "survey", "action": "release.read"} | more
    return source.gather(world.service, actor=world.actor(by), **asked)  # type: ignore[arg-type]  # the tests' own


def test_what_each_person_decided_binds_the_next_reading(world: World) -> None:
    declare(world)
    people = fill(world, answers(6), consents=True)
    silent = fill(world, answers(1))
    with world.service.begin(world.actor("lab")) as work:
        consent.withdraw(work, people[0], "study")
        standing.object_to(work, people[1], "study")
        standing.restrict(work, people[2])
    found = gathered(world)
    assert set(found.subjects) == set(people[3:])
    assert found.withheld == {"consent-missing": 2, "objected": 1, "restricted": 1}
    assert silent[0] not in found.subjects
    assert len(found.columns["region"]) == 3
    assert set(found.columns) == {"age", "region", "sex", "condition"}


def test_each_subject_and_page_has_one_event_with_the_fields(world: World) -> None:
    declare(world)
    (person,) = fill(world, answers(1), consents=True)
    fill(world, answers(3, seed=9), subject_ids=[person] * 3, consents=False)
    assert gathered(world, detail={"release": "one"}).rows == 4
    (event,) = world.events(action="release.read")
    assert (event["subject_id"], event["purpose"], event["basis"]) == (person, "study", "consent")
    assert event["fields"] == ["age", "condition", "region", "sex"]
    assert event["detail"] == {"records": 4, "release": "one", "type": "survey"}


def test_nothing_is_used_when_the_events_cannot_be_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    declare(world)
    fill(world, answers(2), consents=True)
    monkeypatch.setattr(source, "PAGE", 1)
    world.service.distrust = "the log was changed"
    with pytest.raises(Exception, match="the log was changed"):
        gathered(world)
    assert world.events(action="release.read") == []


def test_pages_meet_without_gap_or_repetition(world: World) -> None:
    declare(world)
    people = fill(world, answers(source.PAGE + 7))
    found = gathered(world, "research", fields=("age",))
    assert sorted(found.subjects) == sorted(people)
    assert len(world.events(action="release.read")) == len(people)


def test_expired_records_and_those_outside_the_period_are_left_out(world: World) -> None:
    declare(world)
    fill(world, answers(2))
    middle = world.service_now()
    fill(world, answers(3))
    assert gathered(world, "research", period=Period(since=middle)).rows == 3
    assert gathered(world, "research", period=Period(until=middle)).rows == 2
    world.clock.advance(days=366)
    assert gathered(world, "research").withheld == {"purpose-ended": 5}
    world.clock.advance(days=366)
    assert gathered(world, "research").withheld == {}


def test_equal_readings_are_one_snapshot_and_a_changed_record_another(world: World) -> None:
    declare(world)
    (person,) = fill(world, answers(1))
    first = gathered(world, "research").snapshot
    assert gathered(world, "research").snapshot == first
    assert gathered(world, "research", fields=("age",)).snapshot != first
    record = _record_of(world, person)
    with world.service.begin(world.actor("lab")) as work:
        records.rectify(work, record, version=1, data={"age": 33})
    assert gathered(world, "research").snapshot != first


def test_who_may_read_for_analytics(world: World) -> None:
    declare(world)
    for name in ("auditor", "platform", "admin"):
        with pytest.raises(Forbidden):
            gathered(world, by=name)
    for name in ("operator", "lab"):
        assert gathered(world, by=name).rows == 0
    with pytest.raises(NotInPurpose):
        gathered(world, "survey-desk")
    with pytest.raises(Refused):
        gathered(world, fields=("name",))
    assert not world.events(action="release.read", outcome="done")


def test_a_field_that_is_only_given_redacted_is_no_column(world: World) -> None:
    from tests.world import MANIFEST

    text = MANIFEST.replace("content:   {level: L3,", "content:   {level: L3, scan: [zh],").replace(
        "interaction: [channel]", "interaction: [channel, content.redacted]"
    )
    declare(world, text)
    with pytest.raises(Invalid):
        gathered(world, "statistics", record_type="interaction")


def test_those_who_may_not_be_used_any_more_are_named(world: World) -> None:
    declare(world)
    people = fill(world, answers(3), consents=True)
    with world.service.begin(world.actor("lab")) as work:
        consent.withdraw(work, people[0], "study")
    with world.service.begin(world.actor("operator")) as work:
        found = source.standing(
            work, purpose="study", record_type="survey", fields=("age",), subject_ids=[*people, UUID(int=5)]
        )
    assert found == {people[0]: "consent-missing", UUID(int=5): "erased"}


def _record_of(world: World, person: UUID) -> UUID:
    from sqlalchemy import select

    from privacy.tables import records as table

    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        found: UUID = transaction.execute(select(table.c.record_id).where(table.c.subject_id == person)).scalar_one()
    return found
