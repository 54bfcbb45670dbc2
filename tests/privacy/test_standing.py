"""What stands between a subject and a purpose besides consent, and that every door obeys it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from privacy import records, search, standing
from privacy.errors import BasisNotInForce, Conflict, Forbidden, Invalid, NotFound, Objected, Refused, Restricted
from privacy.tables import standing_events
from privacy.work import Work
from tests.invariants.looking import rows
from tests.world import PERSON, PHONE, World

Act = Callable[..., standing.Standing]


def do(world: World, act: Act, *arguments: Any, by: str = "platform", **options: Any) -> standing.Standing:
    with world.service.begin(world.actor(by)) as work:
        return act(work, *arguments, **options)


def every_door(world: World, subject: UUID, record: UUID, purpose: str) -> list[str]:
    """The code with which each way to the subject's data for the purpose is closed; "" when it is open."""

    def page(work: Work) -> bool:
        return bool(records.read_all(work, subject, purpose=purpose).items[0].data)

    def hit(work: Work) -> bool:
        return bool(search.search(work, type="member", field="phone", value=PHONE, purpose=purpose))

    def store(work: Work) -> bool:
        return bool(records.store(work, subject, type="member", purposes=[purpose], data={"phone": PHONE}))

    def read(work: Work) -> bool:
        return bool(records.read(work, record, purpose=purpose).data)

    codes = []
    for door in (read, page, hit, store):
        try:
            with world.service.begin(world.platform) as work:
                codes.append("" if door(work) else "nothing")
        except Refused as refusal:
            codes.append(refusal.code)
    return codes


def shut(code: str) -> list[str]:
    """A search says nothing of whom it may not know."""
    return [code, code, "nothing", code]


def test_a_restriction_of_all_stops_everything_but_storage_at_every_door(world: World) -> None:
    subject = world.subject()
    stored = world.store(subject)
    assert every_door(world, subject, stored.id, "membership") == [""] * 4
    do(world, standing.restrict, subject, reason="准确性有争议")
    assert every_door(world, subject, stored.id, "membership") == shut("restricted")
    # the right to have data corrected or deleted does not rest
    with world.service.begin(world.platform) as work:
        records.rectify(work, stored.id, version=1, data={"name": "李娜"})
    with pytest.raises(Forbidden):
        do(world, standing.lift_restriction, subject)
    do(world, standing.lift_restriction, subject, by="operator")
    assert every_door(world, subject, stored.id, "membership") == [""] * 4
    with pytest.raises(NotFound):
        do(world, standing.lift_restriction, subject, by="operator")


def test_a_restriction_of_one_purpose_leaves_the_others(world: World) -> None:
    subject = world.subject()
    world.consent(subject)
    stored = world.store(subject)
    do(world, standing.restrict, subject, "membership")
    assert every_door(world, subject, stored.id, "membership") == shut("restricted")
    assert every_door(world, subject, stored.id, "marketing") == [""] * 4
    do(world, standing.lift_restriction, subject, "membership", by="operator")
    assert every_door(world, subject, stored.id, "membership") == [""] * 4


def test_an_objection_stops_its_purpose_until_it_is_lifted(world: World) -> None:
    subject = world.subject()
    stored = world.store(subject)
    do(world, standing.object_to, subject, "membership", channel="phone")
    again = do(world, standing.object_to, subject, "membership")
    assert again.objected_at is not None
    assert every_door(world, subject, stored.id, "membership") == shut("objected")
    with pytest.raises(Objected):
        world.read(stored.id, "membership", by="platform")
    do(world, standing.lift_objection, subject, "membership", by="operator")
    assert every_door(world, subject, stored.id, "membership") == [""] * 4
    with pytest.raises(NotFound):
        do(world, standing.lift_objection, subject, "membership", by="operator")
    assert [row["kind"] for row in rows(world, standing_events)] == ["objected", "objection-lifted"]


def test_nobody_objects_to_what_the_law_demands(world: World) -> None:
    with pytest.raises(Conflict):
        do(world, standing.object_to, world.subject(), "tax")


def test_a_recorded_basis_holds_from_its_start_to_its_end(world: World) -> None:
    subject = world.subject()
    stored = world.store(subject)
    now = world.service_now()
    begins, ends = now + timedelta(days=1), now + timedelta(days=10)
    do(world, standing.record_basis, subject, "membership", starts_at=begins, ends_at=ends, reference="合同 2026-17")
    assert every_door(world, subject, stored.id, "membership") == shut("basis-not-in-force")
    world.clock.advance(days=1, seconds=1)
    assert every_door(world, subject, stored.id, "membership") == [""] * 4
    do(world, standing.end_basis, subject, "membership", ends_at=world.service_now() + timedelta(days=2))
    assert every_door(world, subject, stored.id, "membership") == [""] * 4
    world.clock.advance(days=2, seconds=1)
    with pytest.raises(BasisNotInForce) as caught:
        world.read(stored.id, "membership", by="platform")
    assert "ended on" in caught.value.detail
    assert "合同" in caught.value.zh
    do(world, standing.record_basis, subject, "membership", starts_at=world.service_now())
    assert every_door(world, subject, stored.id, "membership") == [""] * 4


def test_what_makes_no_basis_is_refused(world: World) -> None:
    subject, now = world.subject(), world.service_now()
    with pytest.raises(Invalid):
        do(world, standing.record_basis, subject, "marketing", starts_at=now)
    with pytest.raises(Invalid):
        do(world, standing.record_basis, subject, "membership", starts_at=now, ends_at=now)
    with pytest.raises(NotFound):
        do(world, standing.end_basis, subject, "membership")
    with pytest.raises(Forbidden):
        do(world, standing.record_basis, subject, "customer-service", starts_at=now)
    with pytest.raises(NotFound):
        do(world, standing.restrict, UUID(int=7))


def test_references_and_reasons_are_sealed_and_every_act_is_on_record(world: World) -> None:
    subject = world.subject()
    reason = f"电话 {PHONE} 已停用"
    do(world, standing.restrict, subject, reason=reason)
    do(world, standing.object_to, subject, "marketing", reason=reason)
    for row in rows(world, standing_events):
        assert reason.encode() not in bytes(row["sealed"])
    told = [(event["action"], event["detail"]["told"]) for event in world.events(subject_id=subject)[1:]]
    assert told == [("restriction.placed", ["sms-gateway"]), ("objection.made", ["sms-gateway"])]
    with world.service.begin(world.auditor) as work:
        found = standing.listed(work, subject)
    assert [(one.purpose, one.restricted_at is not None, one.objected_at is not None) for one in found] == [
        (None, True, False),
        ("marketing", False, True),
    ]


def test_a_store_that_waited_for_a_restriction_stores_nothing(world: World) -> None:
    """The decision of a store stands on the subject's row; what changes that row comes first or waits."""
    subject = world.subject()

    def store(work: Work) -> Any:
        return records.store(work, subject, type="member", purposes=["membership"], data=dict(PERSON))

    def restrict(work: Work) -> Any:
        return standing.restrict(work, subject)

    platform = world.platform
    world.many([(platform, [store], False), (platform, [restrict], False), (platform, [store], False)])
    with pytest.raises(Restricted):
        world.store(subject)
