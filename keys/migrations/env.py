"""Alembic's entry. It runs only on the connection that `keys.migrations.upgrade` hands over."""

from __future__ import annotations

from alembic import context
from sqlalchemy import text

from keys.migrations import VERSION_TABLE
from keys.schema import metadata

_ONE_MIGRATION_AT_A_TIME = 0x5354574B  # an advisory lock of our own, "STWK"

connection = context.config.attributes["connection"]
if connection.dialect.name == "postgresql":
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ONE_MIGRATION_AT_A_TIME})
context.configure(connection=connection, target_metadata=metadata, version_table=VERSION_TABLE)
with context.begin_transaction():
    context.run_migrations()
