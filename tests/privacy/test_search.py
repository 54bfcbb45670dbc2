"""Searching by blind index: every spelling, only for whom it may know, always on record."""

from __future__ import annotations

from uuid import UUID

import pytest

from privacy import search
from privacy.errors import AnonymisedOnly, Forbidden, Invalid, NotInPurpose, UndeclaredPurpose
from tests.world import PHONE, World


def look(
    world: World, value: str, *, by: str = "desk", purpose: str = "customer-service", field: str = "phone"
) -> list[UUID]:
    type = "subject" if field == "external_id" else "member"
    with world.service.begin(world.actor(by)) as work:
        found = search.search(work, type=type, field=field, value=value, purpose=purpose)
    return [hit.subject_id for hit in found]


@pytest.mark.parametrize("number", range(5))
def test_every_spelling_finds_the_person(world: World, number: int) -> None:
    spelling = (PHONE, "+86 138 0013 8000", "138-0013-8000", "１３８００１３８０００", "0086 13800138000")[number]
    subject_id = world.subject()
    world.store(subject_id)
    world.store(world.subject(), {"phone": "13900139000"})
    assert look(world, spelling) == [subject_id]


def test_a_hit_and_a_miss_are_on_record_without_the_value(world: World) -> None:
    subject_id = world.subject()
    world.store(subject_id)
    look(world, PHONE)
    look(world, "13700137000")
    hit, miss = world.events(action="subject.searched")
    assert (hit["outcome"], hit["subject_id"], hit["fields"]) == ("disclosed", subject_id, ["phone"])
    assert (miss["outcome"], miss["subject_id"], miss["detail"]) == ("done", None, {"hits": 0, "type": "member"})
    assert all(PHONE not in str(event) for event in world.events())


def test_a_search_finds_only_whom_its_purpose_may_know(world: World) -> None:
    willing, unasked = world.subject(external_id="a"), world.subject(external_id="b")
    for subject_id in (willing, unasked):
        world.store(subject_id)
    world.consent(willing)
    assert look(world, PHONE, by="platform", purpose="marketing") == [willing]
    assert look(world, "a", by="platform", purpose="marketing", field="external_id") == [willing]
    assert look(world, "b", by="platform", purpose="marketing", field="external_id") == []
    assert look(world, "b", by="platform", purpose="membership", field="external_id") == [unasked]


@pytest.mark.parametrize(
    ("by", "purpose", "field", "error"),
    [
        ("desk", "nowhere", "phone", UndeclaredPurpose),
        ("desk", "membership", "phone", Forbidden),
        ("desk", "membership", "external_id", Forbidden),
        ("desk", "customer-service", "email", NotInPurpose),
        ("platform", "membership", "joined_at", Invalid),
        ("analyst", "statistics", "external_id", AnonymisedOnly),
        ("auditor", "customer-service", "phone", Forbidden),
    ],
)
def test_a_search_outside_its_purpose_is_refused(
    world: World, by: str, purpose: str, field: str, error: type[Exception]
) -> None:
    world.store(world.subject(external_id="a"))
    with pytest.raises(error):
        look(world, "2026-01-31" if field == "joined_at" else "a", by=by, purpose=purpose, field=field)


def test_what_shares_a_token_and_is_not_the_one_is_no_hit_and_is_said_to_have_been_opened(world: World) -> None:
    from sqlalchemy import update

    from privacy.tables import index_entries

    one, other = world.subject(), world.subject()
    world.store(one)
    world.store(other, {"phone": "13900139000"})
    with world.service.database.borrow() as lane, lane.transaction() as transaction:  # every token the same
        transaction.execute(update(index_entries).values(token=7))
    with world.service.begin(world.desk) as work:
        field = work.declared.record_type("member").fields["phone"]
        assert field.lookup
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        token = world.service.keyring.index.token("member", "phone", "phone-1", b"+8613800138000", bits=17)
        transaction.execute(update(index_entries).values(token=token))
    assert look(world, PHONE) == [one]
    compared = world.events(outcome="compared")
    assert [event["subject_id"] for event in compared] == [other]
