"""Legal holds: nothing that one covers goes or changes while it stands, and nobody slips past while one is placed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import pytest
from sqlalchemy import select

from privacy import alerts, holds, retention, retention_plans
from privacy import records as record_acts
from privacy.errors import Conflict, Forbidden, Invalid, NotFound, OnHold, Undeclared
from privacy.holds import Kind, Query
from privacy.house import HOUSE
from privacy.tables import holds as holds_table
from privacy.tables import records
from tests.privacy.kept import declare, hold, invoice, lift, rows, stored, sweep, talk
from tests.world import World

YEARS: Final = 11 * 366
SECRET: Final = "(2026) 沪01民初123 against wang.wei@example.cn"


@pytest.fixture(autouse=True)
def every_kind_of_period(world: World) -> None:
    declare(world)


def test_a_hold_on_a_subject_wins_over_its_periods_until_it_is_lifted(world: World) -> None:
    subject = world.subject()
    kept = {world.store(subject).id, talk(world, subject)}
    talk(world, world.subject())
    placed = hold(world, subject_id=subject)
    world.clock.advance(days=YEARS)
    assert sweep(world).records == 1
    assert stored(world) == kept
    lift(world, placed.id)
    assert sweep(world).records == 2


def test_a_hold_on_a_type_covers_what_is_stored_later_too(world: World) -> None:
    hold(world, kind=Kind.TYPE, record_type="interaction")
    kept = talk(world, world.subject())
    invoice(world, world.subject())
    world.clock.advance(days=YEARS)
    assert sweep(world).records == 1
    assert stored(world) == {kept}


@pytest.mark.parametrize(
    ("query", "covers"),
    [
        (lambda now: Query(types=("interaction", "invoice")), {"talk", "abroad", "invoice"}),
        (lambda now: Query(purposes=("tax",)), {"invoice"}),
        (lambda now: Query(jurisdictions=("DE",)), {"abroad"}),
        (lambda now: Query(types=("interaction",), jurisdictions=("CN",)), {"talk"}),
        (lambda now: Query(stored_until=now), set()),
        (lambda now: Query(stored_from=now, stored_until=now + timedelta(hours=1)), {"talk", "abroad", "invoice"}),
    ],
    ids=["types", "purpose", "place", "two conditions", "before", "between"],
)
def test_a_query_covers_the_same_asked_of_a_record_and_of_the_table(
    world: World, query: Callable[[datetime], Query], covers: set[str]
) -> None:
    now = world.service_now()
    here, there = world.subject(), world.subject(jurisdiction="DE")
    known = {"talk": talk(world, here), "abroad": talk(world, there), "invoice": invoice(world, here)}
    placed = hold(world, kind=Kind.QUERY, query=query(now))
    with world.service.begin() as work:
        holdings = holds.covering(work)
        found = set(work.execute(select(records.c.record_id).where(holdings.clause())).scalars())
    one_by_one = {
        row["record_id"]
        for row in rows(world, records)
        if holdings.of(
            row["subject_id"],
            row["record_type"],
            row["purposes"],
            row["stored_at"],
            "DE" if row["subject_id"] == there else "CN",
        )
    }
    assert found == one_by_one == {known[name] for name in covers}
    assert placed.query == query(now)


def test_a_record_under_a_hold_can_neither_be_deleted_nor_changed(world: World) -> None:
    subject = world.subject()
    record = world.store(subject).id
    placed = hold(world, subject_id=subject)
    with pytest.raises(OnHold) as refused, world.service.begin(world.platform) as work:
        record_acts.delete(work, record)
    assert refused.value.context["holds"] == [str(placed.id)]
    assert "保全" in refused.value.zh
    with pytest.raises(OnHold), world.service.begin(world.platform) as work:
        record_acts.rectify(work, record, version=1, data={"name": "李四"})
    assert world.read(record, "membership", by="platform").data["name"] == "王伟"
    lift(world, placed.id)
    with world.service.begin(world.platform) as work:
        record_acts.delete(work, record)


def test_the_reference_and_the_reason_are_sealed_and_every_look_is_on_record(world: World) -> None:
    placed = hold(world, kind=Kind.TYPE, record_type="invoice", reference=SECRET, reason=SECRET)
    (row,) = rows(world, holds_table)
    assert SECRET.encode() not in row["sealed"]
    assert SECRET not in str({**row, "sealed": None})
    assert SECRET not in str(world.events())
    with world.service.begin(world.actor("operator")) as work:
        found = holds.view(work, placed.id)
        assert [one.id for one in holds.listed(work)] == [placed.id]
    assert (found.reference, found.reason, found.lifted_for) == (SECRET, SECRET, None)
    assert len(world.events(action="hold.viewed", record_id=placed.id)) == 2
    lifted = lift(world, placed.id)
    assert (lifted.reference, lifted.lifted_for, lifted.lifted_by) == (SECRET, "settled", "operator")
    with pytest.raises(Conflict):
        lift(world, placed.id)
    with world.service.begin(world.actor("operator")) as work:
        assert holds.listed(work) == []
        assert [one.id for one in holds.listed(work, all=True)] == [placed.id]


def test_a_hold_must_be_on_one_thing_that_there_is(world: World) -> None:
    subject = world.subject()
    for options in (
        {},
        {"subject_id": subject, "record_type": "member"},
        {"kind": Kind.TYPE, "subject_id": subject},
        {"kind": Kind.QUERY, "query": Query()},
        {"subject_id": subject, "reason": ""},
        {"subject_id": subject, "review_at": world.service_now()},
    ):
        with pytest.raises(Invalid):
            hold(world, **options)
    with pytest.raises(Undeclared):
        hold(world, kind=Kind.TYPE, record_type="letter")
    with pytest.raises(NotFound):
        hold(world, subject_id=HOUSE)
    assert rows(world, holds_table) == []


@pytest.mark.parametrize("name", ["platform", "auditor"])
def test_only_the_office_places_and_sees_holds(world: World, name: str) -> None:
    subject, review = world.subject(), world.service_now() + timedelta(days=9)
    with pytest.raises(Forbidden), world.service.begin(world.actor(name)) as work:
        holds.place(work, kind=Kind.SUBJECT, subject_id=subject, reference="x", reason="x", review_at=review)
    with pytest.raises(Forbidden), world.service.begin(world.actor(name)) as work:
        holds.listed(work)


def test_a_review_that_is_due_raises_one_alert(world: World) -> None:
    placed = hold(world, subject_id=world.subject())
    with world.service.begin() as work:
        assert retention_plans.watch(work) == 0
    world.clock.advance(days=91)
    for _ in range(2):
        with world.service.begin() as work:
            assert retention_plans.watch(work) == 1
    with world.service.begin(world.auditor) as work:
        (alert,) = alerts.listed(work)
    assert (alert.rule, alert.actor) == ("hold-review-due", str(placed.id))


# --- the race


class Behind:
    """Does something in a thread; whether it has ended, and what it raised."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.error: BaseException | None = None
        self._act = act
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._act()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    @property
    def waits(self) -> bool:
        self._thread.join(0.4)
        return self._thread.is_alive()

    def ends(self) -> None:
        self._thread.join(20)
        assert not self._thread.is_alive()
        assert self.error is None


def test_a_hold_waits_for_the_sweep_in_hand_and_what_went_went_before_it(world: World) -> None:
    subject = world.subject()
    talk(world, subject)
    world.clock.advance(days=YEARS)
    with world.service.begin() as work:
        assert retention.sweep(work).records == 1
        placing = Behind(lambda: hold(world, subject_id=subject))
        assert placing.waits
    placing.ends()
    assert stored(world) == set()
    gone, placed = world.events(action="record.expired")[0], world.events(action="hold.placed")[0]
    assert gone["event_id"] < placed["event_id"] or gone["at"] <= placed["at"]


def test_a_sweep_waits_for_the_hold_in_hand_and_leaves_what_it_covers(world: World) -> None:
    subject = world.subject()
    kept = talk(world, subject)
    talk(world, world.subject())
    world.clock.advance(days=YEARS)
    review = world.service_now() + timedelta(days=9)
    with world.service.begin(world.actor("operator")) as work:
        holds.place(work, kind=Kind.SUBJECT, subject_id=subject, reference="x", reason="x", review_at=review)
        sweeping = Behind(lambda: sweep(world))
        assert sweeping.waits
    sweeping.ends()
    assert stored(world) == {kept}


def test_a_deletion_waits_for_the_hold_in_hand_and_is_refused(world: World) -> None:
    subject = world.subject()
    record = world.store(subject).id
    review = world.service_now() + timedelta(days=9)

    def delete() -> None:
        with world.service.begin(world.platform) as work:
            record_acts.delete(work, record)

    with world.service.begin(world.actor("operator")) as work:
        holds.place(work, kind=Kind.SUBJECT, subject_id=subject, reference="x", reason="x", review_at=review)
        deleting = Behind(delete)
        assert deleting.waits
    with pytest.raises(AssertionError):
        deleting.ends()
    assert isinstance(deleting.error, OnHold)
    assert stored(world) == {record}


def test_two_sweeps_at_once_take_each_record_once(world: World) -> None:
    for _ in range(12):
        talk(world, world.subject())
    world.clock.advance(days=YEARS)
    sweeps = [Behind(lambda: sweep(world, limit=8)) for _ in range(3)]
    for one in sweeps:
        one.ends()
    sweep(world)
    assert stored(world) == set()
    assert len(world.events(action="record.expired")) == 12
