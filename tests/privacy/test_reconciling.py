"""Records that were rolled back, changed, deleted or slipped in behind the service are found by the log."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Executable, delete, insert, select, update

from privacy import alerts, ids, reconciling, records
from privacy.errors import Forbidden
from privacy.reconciling import Problem, Reconciled
from privacy.tables import audit_events, index_entries
from privacy.tables import records as table
from privacy.work import Actor, Role
from tests.world import PERSON, World

SCHEDULER = Actor("scheduler", Role.ADMIN)


def behind(world: World, *statements: Executable) -> None:
    """Edit the database under the service's feet."""
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        for statement in statements:
            transaction.execute(statement)


def row(world: World, record_id: UUID) -> dict[str, Any]:
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        found = transaction.execute(select(table).where(table.c.record_id == record_id)).mappings().one()
        return dict(found)


def rectify(world: World, record_id: UUID, version: int, **data: object) -> None:
    with world.service.begin(world.platform) as work:
        records.rectify(work, record_id, version=version, data=data)


def job(world: World) -> int:
    """Rounds of the job until the pass has ended; how many records it compared."""
    total = 0
    while True:
        with world.service.begin(SCHEDULER) as work:
            done = reconciling.reconcile_some(work)
        total += done
        if done < reconciling.PAGE:
            return total


def populated(world: World) -> list[UUID]:
    """Records of several kinds of past: untouched, rectified, deleted."""
    kept = [world.store(world.subject()).id for _ in range(3)]
    rectify(world, kept[0], 1, phone="13900139000")
    rectify(world, kept[0], 2, name="李娜")
    gone = world.store(world.subject())
    with world.service.begin(world.platform) as work:
        records.delete(work, gone.id)
    return kept


def what(found: Reconciled) -> list[tuple[UUID, str]]:
    return sorted((problem.record_id, problem.what) for problem in found.problems)


def test_what_the_service_wrote_agrees(world: World) -> None:
    populated(world)
    assert reconciling.reconcile(world.service) == Reconciled(3, 0, [])
    (event,) = world.events(action="records.reconciled")
    assert event["detail"] == {"problems": 0, "records": 3, "unproven": 0}


def test_a_record_put_back_to_an_older_state_is_found_although_it_opens(world: World) -> None:
    kept = populated(world)
    old = row(world, kept[1])
    rectify(world, kept[1], 1, name="李娜")
    # wholly back: the box, its version, its instants
    behind(world, update(table).where(table.c.record_id == kept[1]).values(**old))
    assert world.read(kept[1], "membership", by="platform").data == PERSON
    found = reconciling.reconcile(world.service)
    assert found.problems == [Problem(old["subject_id"], kept[1], "rolled-back")]
    (event,) = world.events(action="record.mismatch")
    assert (event["record_id"], event["detail"]) == (kept[1], {"what": "rolled-back"})


def _sealed_by_another(world: World, one: dict[str, Any], other: dict[str, Any]) -> list[Executable]:
    return [update(table).where(table.c.record_id == one["record_id"]).values(sealed=other["sealed"])]


def _other_version(world: World, one: dict[str, Any], other: dict[str, Any]) -> list[Executable]:
    return [update(table).where(table.c.record_id == one["record_id"]).values(version=7)]


def _removed(world: World, one: dict[str, Any], other: dict[str, Any]) -> list[Executable]:
    gone = one["record_id"]
    return [
        delete(index_entries).where(index_entries.c.record_id == gone),
        delete(table).where(table.c.record_id == gone),
    ]


def _removed_but_for_its_index(world: World, one: dict[str, Any], other: dict[str, Any]) -> list[Executable]:
    return [delete(table).where(table.c.record_id == one["record_id"])]


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (_sealed_by_another, "changed"),
        (_other_version, "version"),
        (_removed, "deleted"),
        (_removed_but_for_its_index, "deleted"),
    ],
    ids=["changed", "version", "deleted", "deleted-but-for-its-index"],
)
@pytest.mark.parametrize("times", [0, 2], ids=["stored", "rectified"])
def test_an_edit_behind_the_service_is_found(
    world: World, edit: Callable[[World, dict[str, Any], dict[str, Any]], list[Executable]], says: str, times: int
) -> None:
    kept = populated(world)
    for version in range(1, times + 1):
        rectify(world, kept[1], version, name=f"李娜{version}")
    behind(world, *edit(world, row(world, kept[1]), row(world, kept[2])))
    assert what(reconciling.reconcile(world.service)) == [(kept[1], says)]


def test_a_record_without_an_event_and_one_that_came_back_are_found(world: World) -> None:
    kept = populated(world)
    slipped, returned = row(world, kept[1]) | {"record_id": uuid4()}, row(world, kept[2])
    stranger = row(world, kept[1]) | {"record_id": uuid4(), "subject_id": uuid4()}
    with world.service.begin(world.platform) as work:
        records.delete(work, kept[2])
    behind(world, *(insert(table).values(**one) for one in (slipped, returned, stranger)))
    assert what(reconciling.reconcile(world.service)) == sorted(
        [(slipped["record_id"], "slipped-in"), (stranger["record_id"], "slipped-in"), (kept[2], "returned")]
    )


def test_an_index_entry_of_no_record_is_found(world: World) -> None:
    kept = populated(world)
    subject, lost = row(world, kept[0])["subject_id"], uuid4()
    entry = {"subject_id": subject, "record_id": lost, "field_number": 1, "index_version": 1, "token": 5}
    behind(world, insert(index_entries).values(**entry))
    assert what(reconciling.reconcile(world.service)) == [(lost, "index")]


def test_records_older_than_digests_are_counted_and_not_accused(world: World) -> None:
    subject = world.subject()
    stored = world.store(subject)
    legacy = row(world, stored.id) | {"record_id": uuid4()}
    behind(world, insert(table).values(**legacy))
    with world.service.begin(world.platform) as work:  # as the first schema's events were
        work.audit("record.stored", subject=subject, record=legacy["record_id"])
    assert reconciling.reconcile(world.service) == Reconciled(2, 1, [])


def test_the_records_of_an_erased_subject_are_not_missed(world: World) -> None:
    kept = populated(world)
    subject = row(world, kept[0])["subject_id"]
    for one in (table, index_entries):
        behind(world, delete(one).where(one.c.subject_id == subject))
    assert what(reconciling.reconcile(world.service)) == [(kept[0], "deleted")]
    with world.service.begin() as work:
        work.audit("subject.erased", subject=subject)
    assert reconciling.reconcile(world.service).problems == []


def test_pages_neither_skip_nor_repeat(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciling, "PAGE", 2)
    subject = world.subject()
    kept = [world.store(subject).id for _ in range(5)] + populated(world)
    ended = [world.store(subject).id for _ in range(5)]
    for one in ended:
        with world.service.begin(world.platform) as work:
            records.delete(work, one)
    assert reconciling.reconcile(world.service) == Reconciled(8, 0, [])
    behind(world, *(update(table).where(table.c.record_id == one).values(version=9) for one in kept))
    found = reconciling.reconcile(world.service)
    assert what(found) == sorted((one, "version") for one in kept)
    assert found.records == 8


def test_a_page_ends_where_the_shorter_of_its_parts_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many ended records before one that was deleted behind the service, and living ones after it."""
    monkeypatch.setattr(reconciling, "PAGE", 2)
    subject = world.subject()
    *ended, lost = [world.store(subject).id for _ in range(5)]
    for _ in range(4):
        world.store(subject)
    for one in ended:
        with world.service.begin(world.platform) as work:
            records.delete(work, one)
    behind(world, *_removed(world, row(world, lost), {}))
    assert what(reconciling.reconcile(world.service)) == [(lost, "deleted")]


def test_a_write_between_the_page_and_the_second_look_raises_no_alarm(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page is read beside the writers: what it shows of a record and of its events may be of two moments."""
    kept = populated(world)
    read = reconciling._newest_changes

    def slow(*asked: Any, **options: Any) -> Any:
        found = read(*asked, **options)
        return {place: change for place, change in found.items() if place.record_id != kept[1]}

    monkeypatch.setattr(reconciling, "_newest_changes", slow)
    assert reconciling.reconcile(world.service).problems == []
    assert world.events(action="record.mismatch") == []


def test_clocks_that_differ_raise_no_alarm(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The later change of a replica whose clock is behind has the smaller id."""
    stored = world.store(world.subject())
    rectify(world, stored.id, 1, name="李娜")
    (earlier,) = world.events(action="record.rectified")
    monkeypatch.setattr(ids, "new", lambda: UUID(int=earlier["event_id"].int - 1))
    rectify(world, stored.id, 2, name="王芳")
    monkeypatch.undo()
    newest = world.events(action="record.rectified")[-1]
    assert newest["detail"]["version"] == 2  # by its id the earlier one is the last
    assert reconciling.reconcile(world.service).problems == []


def test_the_job_goes_on_where_it_was_stopped_and_alerts_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciling, "PAGE", 2)
    kept = populated(world)
    behind(world, *(update(table).where(table.c.record_id == one).values(version=9) for one in kept))
    with world.service.begin(SCHEDULER) as work:
        reconciling.reconcile_some(work)
    with suppress(RuntimeError), world.service.begin(SCHEDULER) as work:
        reconciling.reconcile_some(work)
        raise RuntimeError("killed before the commit")
    job(world)
    assert sorted(event["record_id"] for event in world.events(action="record.mismatch")) == sorted(kept)
    (event,) = world.events(action="records.reconciled")
    assert event["detail"] == {"problems": 3, "records": 3, "unproven": 0}
    with world.service.begin(world.auditor) as work:
        (alert,) = alerts.listed(work)
    assert (alert.rule, alert.severity, alert.count) == ("record-mismatch", "critical", 3)
    assert alert.title["zh"] == "记录与审计日志不符"
    assert job(world) == 0  # done for the day
    world.clock.advance(days=1.1)
    assert job(world) > 0
    with world.service.begin(world.auditor) as work:
        assert len(alerts.listed(work)) == 2


def test_only_an_administrator_reconciles(world: World) -> None:
    with pytest.raises(Forbidden):
        reconciling.reconcile(world.service, world.auditor)


def test_the_changes_of_a_record_are_found_by_their_own_index(world: World) -> None:
    """So that a nightly comparison does not walk through every read of the log."""
    populated(world)
    with world.service.database.borrow() as lane, lane.snapshot():
        if world.service.database.kind == "postgresql":
            lane.raw.execute("SET enable_seqscan = off")
            lane.raw.execute("SET enable_bitmapscan = off")
        statement = reconciling._of_records(audit_events.c).order_by(
            audit_events.c.subject_id, audit_events.c.record_id
        )
        text = str(statement.compile(lane.connection, compile_kwargs={"literal_binds": True}))
        prefix = "EXPLAIN QUERY PLAN " if world.service.database.kind == "sqlite" else "EXPLAIN "
        plan = " ".join(str(line) for line in lane.raw.execute(prefix + text).fetchall())
    assert "ix_audit_events_changes" in plan
