"""Alembic's entry. It runs only on the connection that `privacy.migrations.upgrade` hands over."""

from __future__ import annotations

from alembic import context

from privacy import tables_budgets, tables_releases
from privacy.migrations import VERSION_TABLE
from privacy.tables import metadata

_DECLARING = (tables_budgets, tables_releases)  # their tables are in `metadata` now

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
