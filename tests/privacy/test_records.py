"""Storing, reading, rectifying and deleting records, through the domain functions."""

from __future__ import annotations

from uuid import uuid4

import pytest

from privacy import consent, records, subjects
from privacy.errors import (
    AnonymisedOnly,
    ConsentMissing,
    Forbidden,
    Invalid,
    NotFound,
    NotInPurpose,
    PurposeEnded,
    Undeclared,
    UndeclaredPurpose,
    VersionMismatch,
)
from tests.world import PERSON, World


def test_a_purpose_gets_its_fields_and_hears_why_not_the_rest(world: World) -> None:
    stored = world.store(world.subject())
    record = world.read(stored.id, "customer-service")
    assert record.data == {"name": "王伟", "phone": "138****8000", "id_number": "****"}
    assert {name: reason.code for name, reason in record.withheld.items()} == {
        "email": "not-in-purpose",
        "joined_at": "not-in-purpose",
    }
    assert record.withheld["email"].law == ("PIPL-6",)
    full = world.read(stored.id, "membership", by="platform")
    assert full.data == PERSON
    assert not full.withheld


def test_every_disclosure_names_actor_purpose_basis_and_fields(world: World) -> None:
    subject_id = world.subject()
    stored = world.store(subject_id)
    world.read(stored.id, "customer-service")
    (event,) = world.events(action="record.read")
    assert (event["actor"], event["outcome"], event["purpose"], event["basis"]) == (
        "desk",
        "disclosed",
        "customer-service",
        "contract",
    )
    assert (event["subject_id"], event["record_id"]) == (subject_id, stored.id)
    assert event["fields"] == ["name", "phone", "id_number"]
    assert event["detail"] == {"type": "member", "masked": ["phone", "id_number"]}


def test_a_read_asks_for_fewer_fields_and_opens_no_others(world: World) -> None:
    stored = world.store(world.subject())
    record = world.read(stored.id, "customer-service", fields=("name", "email"))
    assert record.data == {"name": "王伟"}
    assert set(record.withheld) == {"email"}


@pytest.mark.parametrize(
    ("purpose", "by", "error"),
    [
        ("profiling", "desk", UndeclaredPurpose),
        ("membership", "desk", Forbidden),
        ("customer-service", "platform", Forbidden),
        ("customer-service", "auditor", Forbidden),
        ("customer-service", "admin", Forbidden),
        ("statistics", "analyst", AnonymisedOnly),
        ("marketing", "platform", ConsentMissing),
    ],
)
def test_a_refusal_discloses_nothing_and_is_on_record(
    world: World, purpose: str, by: str, error: type[Exception]
) -> None:
    stored = world.store(world.subject())
    with pytest.raises(error):
        world.read(stored.id, purpose, by=by)
    (event,) = world.events(outcome="refused")
    assert (event["actor"], event["action"], event["record_id"], event["purpose"]) == (
        by,
        "record.read",
        stored.id,
        None if error is UndeclaredPurpose else purpose,  # what nobody declared may be anything: it is not kept
    )
    assert event["detail"]["code"] == error.code  # type: ignore[attr-defined]  # each is a PrivacyError


def test_consent_opens_and_its_withdrawal_closes_at_once(world: World) -> None:
    subject_id = world.subject()
    stored = world.store(subject_id)
    world.consent(subject_id)
    assert set(world.read(stored.id, "marketing", by="platform").data) == {"phone", "email"}
    with world.service.begin(world.platform) as work:
        consent.withdraw(work, subject_id, "marketing")
    with pytest.raises(ConsentMissing):
        world.read(stored.id, "marketing", by="platform")


def test_consent_expires(world: World) -> None:
    subject_id = world.subject()
    stored = world.store(subject_id)
    world.consent(subject_id)
    world.clock.advance(days=364)
    # the record is a year and a day short of its own marketing period: read, then not
    world.read(stored.id, "marketing", by="platform")
    world.clock.advance(days=2)
    with pytest.raises(ConsentMissing):
        world.read(stored.id, "marketing", by="platform")


def test_a_purpose_whose_own_period_has_passed_reads_no_more(world: World) -> None:
    stored = world.store(world.subject())
    world.clock.advance(days=2 * 366)
    with pytest.raises(PurposeEnded):
        world.read(stored.id, "customer-service")
    assert world.read(stored.id, "membership", by="platform").data == PERSON


def test_an_expired_record_cannot_be_read_listed_found_or_changed(world: World) -> None:
    subject_id = world.subject()
    stored = world.store(subject_id)
    world.clock.advance(days=3 * 366)
    with pytest.raises(NotFound):
        world.read(stored.id, "membership", by="platform")
    with world.service.begin(world.platform) as work:
        assert records.read_all(work, subject_id, purpose="membership").items == []
    with pytest.raises(NotFound), world.service.begin(world.platform) as work:
        records.rectify(work, stored.id, version=1, data={"name": "李娜"})
    with pytest.raises(NotFound), world.service.begin(world.platform) as work:
        records.delete(work, stored.id)


def test_what_no_purpose_uses_is_not_collected(world: World) -> None:
    subject_id = world.subject()
    with pytest.raises(NotInPurpose):
        world.store(
            subject_id, {"phone": "13800138000", "email": "a@example.cn"}, purposes=("customer-service",), by="desk"
        )
    assert world.events(action="record.stored", outcome="done") == []


@pytest.mark.parametrize(
    ("type", "data", "error"),
    [
        ("member", {"nickname": "x"}, Undeclared),
        ("robot", {"name": "x"}, Undeclared),
        ("member", {"joined_at": "2026-13-01"}, Invalid),
        ("member", {"joined_at": 5}, Invalid),
        ("member", {"name": True}, Invalid),
        ("member", {"phone": "not a phone"}, Invalid),
        ("invoice", {"amount": 1.5}, Invalid),
        ("invoice", {"amount": True}, Invalid),
        ("invoice", {"paid": 1}, Invalid),
    ],
)
def test_what_is_not_declared_or_not_of_its_type_is_refused_without_being_repeated(
    world: World, type: str, data: dict[str, object], error: type[Exception]
) -> None:
    subject_id = world.subject()
    purposes = ("tax",) if type == "invoice" else ("membership",)
    with pytest.raises(error) as caught:
        world.store(subject_id, data, type=type, purposes=purposes)
    assert all(str(value) not in str(caught.value) for value in data.values() if isinstance(value, str))


def test_a_consent_purpose_stores_nothing_without_consent(world: World) -> None:
    subject_id = world.subject()
    with pytest.raises(ConsentMissing):
        world.store(subject_id, {"phone": "13800138000"}, purposes=("marketing",))
    world.consent(subject_id)
    assert world.store(subject_id, {"phone": "13800138000"}, purposes=("marketing",)).version == 1


def test_the_longest_purpose_decides_how_long_a_record_is_held(world: World) -> None:
    subject_id = world.subject()
    world.consent(subject_id)
    short = world.store(subject_id, {"phone": "13800138000"}, purposes=("marketing",))
    long = world.store(subject_id, {"phone": "13800138000"}, purposes=("marketing", "membership"))
    assert (long.expires_at.year - short.expires_at.year) == 2


def test_all_data_of_a_child_under_fourteen_is_sensitive(world: World) -> None:
    year = world.service.instant() // 31_556_952_000_000 + 1970
    child = world.subject(born=f"{year - 13}-06-01")
    grown = world.subject(born=f"{year - 30}-06-01")
    assert set(world.store(child).levels.values()) == {"L4"}
    assert world.store(grown).levels["name"] == "L3"


def test_rectifying_changes_what_is_named_and_nothing_else(world: World) -> None:
    subject_id = world.subject()
    stored = world.store(subject_id)
    with world.service.begin(world.platform) as work:
        changed = records.rectify(work, stored.id, version=1, data={"phone": "13900139000", "email": None})
    assert changed.version == 2
    assert set(changed.levels) == {"name", "phone", "id_number", "joined_at"}
    record = world.read(stored.id, "membership", by="platform")
    assert record.data == {**{k: v for k, v in PERSON.items() if k != "email"}, "phone": "13900139000"}
    (event,) = world.events(action="record.rectified")
    assert event["fields"] == ["email", "phone"]


def test_rectifying_a_version_that_is_no_more_changes_nothing(world: World) -> None:
    stored = world.store(world.subject())
    with world.service.begin(world.platform) as work:
        records.rectify(work, stored.id, version=1, data={"name": "李娜"})
    with pytest.raises(VersionMismatch) as caught, world.service.begin(world.platform) as work:
        records.rectify(work, stored.id, version=1, data={"name": "张敏"})
    assert caught.value.context["version"] == 2
    assert world.read(stored.id, "membership", by="platform").data["name"] == "李娜"


def test_a_record_cannot_be_emptied_by_rectifying_it(world: World) -> None:
    stored = world.store(world.subject(), {"phone": "13800138000"})
    with pytest.raises(Invalid), world.service.begin(world.platform) as work:
        records.rectify(work, stored.id, version=1, data={"phone": None})


def test_only_who_may_use_a_purpose_of_the_record_may_change_it(world: World) -> None:
    stored = world.store(world.subject())
    with pytest.raises(Forbidden), world.service.begin(world.desk) as work:
        records.rectify(work, stored.id, version=1, data={"name": "李娜"})
    with pytest.raises(Forbidden), world.service.begin(world.desk) as work:
        records.delete(work, stored.id)


def test_a_deleted_record_is_gone_with_its_index(world: World) -> None:
    from sqlalchemy import func, select

    from privacy.tables import index_entries

    stored = world.store(world.subject())
    with world.service.begin(world.platform) as work:
        records.delete(work, stored.id)
    with pytest.raises(NotFound):
        world.read(stored.id, "membership", by="platform")
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        assert transaction.execute(select(func.count()).select_from(index_entries)).scalar_one() == 0


def test_a_list_pages_without_missing_or_repeating(world: World) -> None:
    subject_id = world.subject()
    stored = [world.store(subject_id, {"name": f"Person {n}"}).id for n in range(7)]
    seen, after = [], None
    for _ in range(4):
        with world.service.begin(world.platform) as work:
            page = records.read_all(work, subject_id, purpose="membership", type="member", after=after, limit=2)
        seen += [record.id for record in page.items]
        after = page.after
    assert (seen, after) == (stored, None)


def test_a_list_without_a_type_shows_the_types_of_the_purpose_only(world: World) -> None:
    subject_id = world.subject()
    member = world.store(subject_id)
    world.store(subject_id, {"amount": 100, "paid": True}, type="invoice", purposes=("tax",))
    spoken = world.store(
        subject_id,
        {"channel": "phone", "content": "问候"},
        type="interaction",
        purposes=("customer-service",),
        by="desk",
    )
    with world.service.begin(world.desk) as work:
        page = records.read_all(work, subject_id, purpose="customer-service")
    assert [record.id for record in page.items] == [member.id, spoken.id]


def test_a_list_of_nothing_is_still_on_record(world: World) -> None:
    subject_id = world.subject()
    with world.service.begin(world.desk) as work:
        assert records.read_all(work, subject_id, purpose="customer-service").items == []
    (event,) = world.events(action="record.read")
    assert event["subject_id"] == subject_id


def test_what_is_not_there_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        world.read(uuid4(), "customer-service")
    with pytest.raises(NotFound):
        world.store(uuid4())
    with pytest.raises(NotFound), world.service.begin(world.platform) as work:
        subjects.view(work, uuid4())
    with pytest.raises(NotFound), world.service.begin(world.desk) as work:
        records.read_all(work, uuid4(), purpose="customer-service")


def test_each_scope_has_a_key_of_its_own(world: World) -> None:
    from sqlalchemy import select

    from privacy.tables import records as table

    subject_id = world.subject()
    world.store(subject_id)
    world.store(subject_id, {"amount": 100}, type="invoice", purposes=("tax",))
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        kids = set(transaction.execute(select(table.c.kid)).scalars())
    assert len(kids) == 2
