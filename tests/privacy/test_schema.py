"""The migrated schema is the declared one, and some tables only grow."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from privacy import migrations
from privacy.database import migrate, open_database
from privacy.tables import APPEND_ONLY, metadata
from tests.invariants.looking import fill_what_grows
from tests.world import World


def test_migrated_is_declared_and_migrating_again_changes_nothing(data_url: str) -> None:
    database = open_database(data_url)
    migrate(database)
    migrate(database)
    with database.borrow() as lane:
        context = MigrationContext.configure(lane.connection, opts={"version_table": migrations.VERSION_TABLE})
        assert compare_metadata(context, metadata) == []
    database.close()


def test_the_named_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations.__path__[0]))
    assert ScriptDirectory.from_config(config).get_current_head() == migrations.HEAD


@pytest.mark.parametrize("table", [table.name for table in APPEND_ONLY])
@pytest.mark.parametrize("change", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {}"])
def test_a_row_of_the_record_of_what_happened_cannot_be_changed(world: World, table: str, change: str) -> None:
    fill_what_grows(world)
    column = metadata.tables[table].columns.keys()[0]
    kind = world.service.database.kind
    if change.startswith("TRUNCATE") and kind == "sqlite":
        change = "DELETE FROM {} WHERE 1"
    with (
        pytest.raises(DBAPIError, match="append-only"),
        world.service.database.borrow() as lane,
    ):
        lane.connection.execute(text(change.format(table, column, column)))
