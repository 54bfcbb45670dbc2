"""The world with every kind of storage period, and what its tables hold."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Table, select

from privacy import declaration, holds, life_events, manifest, notices, retention
from privacy.holds import Hold, Kind
from privacy.retention import Swept
from privacy.tables import records
from privacy.work import TERMINAL
from tests.world import MANIFEST, World

TEXT: Final = (
    MANIFEST.replace("channel:   {level: L2, category: pd:Communication}", "channel:   {level: L2, category: "
    "pd:Communication, analytics: keep}\n      said_at:   {level: L2, category: pd:Communication, type: datetime, "
    "analytics: keep}\n      topic:     {level: L2, category: pd:Communication}\n"
    "      mood:      {level: L3, category: pd:Communication, analytics: keep}")
    .replace("keep: P2Y", "keep: P2Y\n    at_end: anonymise")
    .replace("    keep: P3Y", "    keep: P3Y\n    keep_from: {event: membership-ended, at_most: P10Y}")
    .replace("    keep: P10Y\n  statistics", "    keep: P10Y\n    statutory: {keep: P5Y, law: [CN-ECL-31]}\n"
    "  statistics")
    .replace("    uses: {member: [phone, email]}\n    keep: P1Y", "    uses: {member: [phone, email]}\n    keep: P1Y\n"
    "    keep_from: last-activity")
)  # fmt: skip
TALK: Final = {
    "channel": "phone",
    "content": "about the parcel of wang.wei@example.cn",
    "said_at": "2026-01-31T08:15:00Z",
    "topic": "parcel",
    "mood": "cross",
}
INVOICE: Final = {"amount": 100, "paid": True}


def declare(world: World, text: str = TEXT) -> None:
    with world.service.begin(TERMINAL) as work:
        declared = manifest.parse(text, "kept.yaml")
        notices.follow(work, declared, declaration.apply(work, declared).version)
    world.service.reload()


def talk(world: World, subject_id: UUID) -> UUID:
    return world.store(subject_id, dict(TALK), type="interaction", purposes=("customer-service",), by="desk").id


def invoice(world: World, subject_id: UUID) -> UUID:
    return world.store(subject_id, dict(INVOICE), type="invoice", purposes=("tax",)).id


def happen(world: World, subject_id: UUID, event: str, **options: Any) -> life_events.LifeEvent:
    with world.service.begin(world.platform) as work:
        return life_events.record(work, subject_id, event, **options)


def sweep(world: World, **options: Any) -> Swept:
    with world.service.begin() as work:
        return retention.sweep(work, **options)


def hold(world: World, **options: Any) -> Hold:
    on: dict[str, Any] = {"kind": Kind.SUBJECT, "reference": "(2026) 01-123", "reason": "a claim", **options}
    on.setdefault("review_at", world.service_now() + timedelta(days=90))
    with world.service.begin(world.actor("operator")) as work:
        return holds.place(work, **on)


def lift(world: World, hold_id: UUID) -> Hold:
    with world.service.begin(world.actor("operator")) as work:
        return holds.lift(work, hold_id, "settled")


def rows(world: World, table: Table) -> list[dict[str, Any]]:
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        return [dict(row._mapping) for row in transaction.execute(select(table))]


def stored(world: World) -> set[UUID]:
    return {row["record_id"] for row in rows(world, records)}
