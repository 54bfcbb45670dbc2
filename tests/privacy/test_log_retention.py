"""The old end of the log goes when every event's period has passed, and the tree stands."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import DBAPIError

from privacy import log_retention, reconciling, records, tlog, watching
from privacy.database import Lookup
from privacy.errors import AuditUnavailable, Forbidden, Invalid
from privacy.leaves import leaf
from privacy.log_retention import BUNDLE, Event, Pruned
from privacy.sequencer import ANCHOR, Sequencer, newest, tile_reader
from privacy.tables import (
    audit_archives,
    audit_checkpoints,
    audit_events,
    audit_pending,
    audit_positions,
    audit_tiles,
    watch_state,
)
from privacy.tables import records as table
from privacy.work import Actor, Role
from tests.world import World

SCHEDULER = Actor("scheduler", Role.ADMIN)
_EVENT_AT = Lookup(
    lambda position: (
        select(*audit_events.columns)
        .join(audit_positions, audit_positions.c.event_id == audit_events.c.event_id)
        .where(audit_positions.c.position == position)
    ),
    "bigint",
)


def fill(world: World, count: int, action: str = "test.event", **detail: object) -> None:
    with world.service.begin(world.auditor) as work:
        for _ in range(count):
            work.audit(action, detail=detail or None)
    Sequencer(world.service).catch_up()


def step(world: World, **options: Any) -> Pruned:
    with world.service.begin(SCHEDULER) as work:
        return log_retention.prune(work, **options)


def prune(world: World) -> list[Pruned]:
    """Steps until there is nothing left to do."""
    done = []
    while (one := step(world)).step != "nothing":
        done.append(one)
    return done


def count(world: World, column: Any) -> int:
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        return int(transaction.execute(select(func.count(column))).scalar_one())


def positions_with_events(world: World) -> list[int]:
    statement = (
        select(audit_positions.c.position)
        .join(audit_events, audit_events.c.event_id == audit_positions.c.event_id)
        .order_by(audit_positions.c.position)
    )
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        return [row[0] for row in transaction.execute(statement)]


def test_whole_bundles_go_and_the_tree_still_verifies(world: World) -> None:
    fill(world, 2 * BUNDLE + 50)
    with world.service.begin() as work:
        before = newest(work)
    assert before is not None
    world.clock.advance(days=4 * 366)
    fill(world, 5)
    archived, emptied = prune(world)
    assert (archived.step, archived.first, archived.after) == ("archived", 0, 2 * BUNDLE)
    assert (emptied.step, emptied.first, emptied.after, emptied.events) == ("emptied", 0, 2 * BUNDLE, 2 * BUNDLE)
    Sequencer(world.service).catch_up()
    assert positions_with_events(world)[0] == 2 * BUNDLE
    assert count(world, audit_positions.c.position) > 2 * BUNDLE + 50  # positions and hashes stay
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        now = transaction.execute(select(audit_checkpoints).order_by(audit_checkpoints.c.size.desc())).first()
        assert now is not None
        assert now.size > before.size
        (event,) = transaction.lookup(_EVENT_AT, [(2 * BUNDLE,)])[0]
        read = tile_reader(transaction)
        assert tlog.root_at(before.size, read) == before.root
        assert tlog.root_at(now.size, read) == bytes(now.root)
        proof = tlog.consistency(before.size, now.size, read)
        assert tlog.verify_consistency(before.size, before.root, now.size, bytes(now.root), proof)
        path = tlog.inclusion(2 * BUNDLE, now.size, read)
    assert tlog.verify_inclusion(tlog.leaf_hash(leaf(event)), 2 * BUNDLE, now.size, bytes(now.root), path)
    names = [event["action"] for event in world.events()]
    assert names.index("audit.archived") < names.index("audit.pruned")


def test_the_archive_says_who_when_and_under_which_checkpoint(world: World) -> None:
    fill(world, BUNDLE)
    world.clock.advance(days=4 * 366)
    with world.service.begin() as work:
        checkpoint = newest(work)
    step(world)
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        (row,) = transaction.execute(select(audit_archives))
    assert checkpoint is not None
    assert (row.first, row.after, row.archived_by, row.checkpoint) == (0, BUNDLE, "scheduler", checkpoint.note)
    (event,) = world.events(action="audit.archived")
    assert (event["detail"]["first"], event["detail"]["after"]) == (0, BUNDLE)


def test_a_dry_run_says_what_would_go_and_changes_nothing(world: World) -> None:
    fill(world, BUNDLE)
    world.clock.advance(days=4 * 366)
    events = count(world, audit_events.c.event_id)
    assert step(world, dry_run=True) == Pruned("archived", 0, BUNDLE, BUNDLE)
    assert count(world, audit_archives.c.first) == 0
    step(world)
    assert step(world, dry_run=True) == Pruned("emptied", 0, BUNDLE, BUNDLE)
    assert count(world, audit_events.c.event_id) == events + 1


def test_a_crash_between_archive_and_deletion_is_gone_on_from(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(world, 2 * BUNDLE)
    world.clock.advance(days=4 * 366)
    step(world)
    monkeypatch.setattr(log_retention, "MOST", BUNDLE)
    with suppress(RuntimeError), world.service.begin(SCHEDULER) as work:
        log_retention.prune(work)
        raise RuntimeError("killed before the commit")
    assert positions_with_events(world)[0] == 0
    assert step(world) == Pruned("emptied", 0, BUNDLE, BUNDLE)
    assert positions_with_events(world)[0] == BUNDLE
    assert step(world) == Pruned("emptied", BUNDLE, 2 * BUNDLE, BUNDLE)
    assert step(world).step == "nothing"
    assert count(world, audit_archives.c.first) == 1


def test_the_database_lets_nothing_else_go(world: World) -> None:
    fill(world, BUNDLE + 10)
    world.clock.advance(days=4 * 366)
    step(world)
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        kept = transaction.execute(
            select(audit_positions.c.event_id).where(audit_positions.c.position == BUNDLE)
        ).scalar_one()
        first = transaction.execute(
            select(audit_positions.c.event_id).where(audit_positions.c.position == 0)
        ).scalar_one()
    pending = world.events(action="audit.archived")[0]["event_id"]
    statements = [
        delete(audit_events).where(audit_events.c.event_id == kept),
        delete(audit_events).where(audit_events.c.event_id == pending),
        delete(audit_events).where(audit_events.c.event_id.in_([first, kept])),
        delete(audit_positions).where(audit_positions.c.position == 0),
        update(audit_events).where(audit_events.c.event_id == first).values(actor="nobody"),
        delete(audit_archives),
        update(audit_archives).values(after=10 * BUNDLE),
    ]
    for statement in statements:
        with pytest.raises(DBAPIError, match="append-only"), world.service.database.borrow() as lane:
            lane.connection.execute(statement)


def test_one_event_whose_period_has_not_passed_keeps_all_after_it(world: World) -> None:
    fill(world, BUNDLE)
    world.clock.advance(days=4 * 366)
    prune(world)  # what the world began with
    fill(world, BUNDLE)
    fill(world, 1, "record.read", recipient="sms-gateway", type="member")
    fill(world, 2 * BUNDLE)
    shared = next(n for n, event in enumerate(world.events(), BUNDLE) if event["action"] == "record.read")
    world.clock.advance(days=2 * 366)  # past the year of the service's own events, not past three of what was shared
    assert [one.after for one in prune(world)] == [shared - shared % BUNDLE] * 2
    world.clock.advance(days=400)
    assert prune(world)[0].after > shared


def test_nothing_goes_that_is_not_sequenced_or_not_anchored_or_not_watched(world: World) -> None:
    with world.service.begin(world.auditor) as work:
        for _ in range(BUNDLE):
            work.audit("test.event")
    world.clock.advance(days=4 * 366)
    assert prune(world) == []  # pending
    anchor = world.service.settings.home / ANCHOR
    Sequencer(world.service).catch_up()
    assert count(world, audit_pending.c.event_id) == 0
    kept = anchor.read_text()
    anchor.unlink()
    assert prune(world) == []
    anchor.write_text(kept)
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        transaction.execute(watch_state.insert().values(name="watch", position=10, state={}))
    assert prune(world) == []
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        transaction.execute(delete(watch_state))
    assert prune(world)[0].after == BUNDLE


def test_a_log_that_does_not_extend_what_was_signed_is_evidence(world: World) -> None:
    fill(world, BUNDLE)
    world.clock.advance(days=4 * 366)
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        transaction.execute(update(audit_tiles).where(audit_tiles.c.level == 0).values(hashes=bytes(32 * BUNDLE)))
    with pytest.raises(AuditUnavailable):
        step(world)


def test_a_record_outlives_the_event_that_proves_it(world: World) -> None:
    """Its digest is carried on, so that a roll-back is found as before."""
    subject = world.subject()
    stored = world.store(subject, {"amount": 5}, type="invoice", purposes=["tax"])  # kept for ten years
    old = _row(world, stored.id)
    with world.service.begin(world.platform) as work:
        records.rectify(work, stored.id, version=1, data={"amount": 6})
    fill(world, BUNDLE)
    world.clock.advance(days=4 * 366)
    assert prune(world)[0].step == "archived"
    (carried,) = world.events(action="record.attested")
    assert (carried["record_id"], carried["detail"]["version"]) == (stored.id, 2)
    assert carried["digest"] == reconciling.digest_of(_row(world, stored.id)["sealed"])
    assert reconciling.reconcile(world.service).problems == []
    with world.service.begin(world.platform) as work:
        records.rectify(work, stored.id, version=2, data={"amount": 7})
    assert reconciling.reconcile(world.service).problems == []
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        transaction.execute(update(table).where(table.c.record_id == stored.id).values(**old))
    assert [one.what for one in reconciling.reconcile(world.service).problems] == ["changed"]


def test_an_event_that_its_record_disagrees_with_stays(world: World) -> None:
    stored = world.store(world.subject(), {"amount": 5}, type="invoice", purposes=["tax"])
    fill(world, 2 * BUNDLE)
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        transaction.execute(update(table).where(table.c.record_id == stored.id).values(sealed=b"another"))
    world.clock.advance(days=4 * 366)
    assert prune(world) == []


def _row(world: World, record_id: UUID) -> dict[str, Any]:
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        return dict(transaction.execute(select(table).where(table.c.record_id == record_id)).mappings().one())


@pytest.mark.parametrize(
    ("keep", "says"),
    [
        ({"sharing": "P35M"}, "sharing is kept for at least P3Y"),
        ({"operation": "P5M"}, "operation is kept for at least P6M"),
        ({"operation": "P180D"}, "operation is kept for at least P6M"),
        ({"reads": "P1Y"}, "no class reads"),
        ({"access": "long"}, "not a period"),
    ],
    ids=["shared", "months", "days", "class", "period"],
)
def test_no_period_may_be_shorter_than_the_law_allows(keep: dict[str, str], says: str) -> None:
    with pytest.raises(Invalid, match=says):
        log_retention.classes(keep)


def test_periods_are_configured_by_class(world: World, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("keep: {operation: P6M, consent: P6M, access: P3Y}", encoding="utf-8")
    world.service.settings = replace(world.service.settings, watch_rules=file)
    fill(world, BUNDLE)
    world.clock.advance(days=180)
    assert prune(world) == []
    world.clock.advance(days=6)
    assert prune(world)[0].after == BUNDLE


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (Event("record.read", "disclosed", {"recipient": "sms-gateway"}), "sharing"),
        (Event("record.read", "disclosed", {}), "access"),
        (Event("subject.searched", "compared", {}), "access"),
        (Event("record.read", "refused", {}), "refusals"),
        (Event("consent.given", "done", {}), "consent"),
        (Event("record.stored", "done", {}), "changes"),
        (Event("job.claimed", "done", {}), "operation"),
    ],
    ids=["shared", "read", "compared", "refused", "consent", "stored", "job"],
)
def test_each_event_has_one_class(event: Event, name: str) -> None:
    assert next(kind.name for kind in log_retention.CLASSES if kind.holds(event)) == name


def test_only_an_administrator_prunes(world: World) -> None:
    with pytest.raises(Forbidden), world.service.begin(world.auditor) as work:
        log_retention.prune(work)


def test_the_watch_reads_past_what_is_archived(world: World) -> None:
    fill(world, BUNDLE)
    world.clock.advance(days=4 * 366)
    prune(world)
    Sequencer(world.service).catch_up()
    with world.service.begin(SCHEDULER) as work:
        assert watching.watch(work) > BUNDLE
