"""What the migrations make is what the tables declare, on both databases, guards included."""

from __future__ import annotations

from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from privacy.database import Transaction
from privacy.migrations import VERSION_TABLE
from privacy.tables import APPEND_ONLY, metadata
from tests.world import World


def test_what_is_migrated_is_what_is_declared(world: World) -> None:
    # Broken by hand: an index left out of the migration, a column given another type and one made nullable.
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        transaction.execute(text("SELECT 1"))
        context = MigrationContext.configure(
            lane.connection, opts={"compare_type": True, "version_table": VERSION_TABLE}
        )
        assert compare_metadata(context, metadata) == []


def test_the_guards_of_what_only_grows_are_there(world: World) -> None:
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        guards = _guards(transaction, world.service.database.kind)
    for table in APPEND_ONLY:
        expected = {"UPDATE", "DELETE"} | ({"TRUNCATE"} if world.service.database.kind == "postgresql" else set())
        assert guards.get(table.name) == expected


def _guards(transaction: Transaction, kind: str) -> dict[str, set[str]]:
    """The changes that a trigger of ours watches, by table."""
    found: dict[str, set[str]] = {}
    if kind == "sqlite":
        query = "SELECT tbl_name, sql FROM sqlite_master WHERE type = 'trigger'"
    else:
        query = (
            "SELECT c.relname, pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
            " WHERE NOT t.tgisinternal AND t.tgenabled = 'O'"
        )
    triggers: list[Any] = list(transaction.execute(text(query)))
    for table, definition in triggers:
        words = set(definition.partition(" ON ")[0].split())
        found.setdefault(table, set()).update({"UPDATE", "DELETE", "TRUNCATE"} & words)
    return found
