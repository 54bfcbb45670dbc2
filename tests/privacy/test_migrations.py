"""Migrations go forward over real rows: what a deployment has kept is there afterwards."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from privacy import migrations
from privacy.database import Database, migrate, open_database

_SUBJECT = "INSERT INTO subjects VALUES (:id, 'CN', 1, NULL, :sealed, NULL)"
_CONSENT = "INSERT INTO consents VALUES (:id, 'marketing', :consent, 'given', 2, 9)"
_EVENT = (
    "INSERT INTO consent_events VALUES (:id, :event, :consent, 'marketing', 'given', 2, 9, '2025-01', 'zh', "
    ":separate, 'web', 'platform')"
)


def test_consents_and_subjects_of_the_first_schema_are_kept(data_url: str) -> None:
    database = open_database(data_url)
    _upgrade(database, "0001")
    known, unknown, consent, event = (_id(database, uuid4()) for _ in range(4))
    with database.borrow() as lane, lane.transaction() as transaction:
        for subject, sealed in ((known, b"profile"), (unknown, None)):
            transaction.execute(text(_SUBJECT).bindparams(id=subject, sealed=sealed))
        transaction.execute(text(_CONSENT).bindparams(id=known, consent=consent))
        transaction.execute(text(_EVENT).bindparams(id=known, event=event, consent=consent, separate=True))
    migrate(database)
    with database.borrow() as lane, lane.transaction() as transaction:

        def found(query: str) -> list[tuple[Any, ...]]:
            return [tuple(row) for row in transaction.execute(text(query))]

        state = "SELECT subject_id, purpose, recipient, consent_id, state, changed_at, expires_at, notice, flags"
        assert found(f"{state} FROM consents") == [(known, "marketing", "", consent, "given", 2, 9, None, 0)]
        act = "SELECT event_id, notice, separate, recipient, by_guardian FROM consent_events"
        assert [(e, n, bool(s), r, bool(g)) for e, n, s, r, g in found(act)] == [(event, "2025-01", True, "", False)]
        # whether the owner of a profile is young nobody knows before it is opened
        young = {row[0]: bool(row[1]) for row in found("SELECT subject_id, young FROM subjects")}
        assert young == {known: True, unknown: False}
    database.close()


def _upgrade(database: Database, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations.__path__[0]).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    with database.borrow() as lane, lane.transaction() as transaction:
        transaction.execute(text("SELECT 1"))
        config.attributes["connection"] = lane.connection
        command.upgrade(config, revision)


def _id(database: Database, value: UUID) -> Any:
    return value.bytes if database.kind == "sqlite" else value
