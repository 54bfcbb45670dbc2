"""The key store: roots, data keys, tombstones, and the guards against a stale or repeating writer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None

# A key under a retired KEK version would be unreadable once that version is destroyed; a destroyed kid that
# came back would make old boxes name a living key. The names are what keys.store looks for.
_SQLITE = """
CREATE TRIGGER data_key_guard_{event} BEFORE {event} ON data_key
BEGIN
    SELECT RAISE(ABORT, 'data_key_kek_retired')
     WHERE NEW.kek < (SELECT min_encryption_version FROM keystore);
    SELECT RAISE(ABORT, 'data_key_kid_destroyed')
     WHERE EXISTS (SELECT 1 FROM data_key_tombstone WHERE kid = NEW.kid);
END
"""

# Per statement, not per row. The shared advisory lock makes a raise of the minimum (which takes it
# exclusively) wait for writers that have read the old one, and these for it; a row lock would do the same
# but write a tuple header for each insert. Each statement of the function takes a new snapshot under READ
# COMMITTED.
_POSTGRESQL = """
CREATE FUNCTION data_key_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1400142923);
    IF EXISTS (SELECT 1 FROM changed WHERE kek < (SELECT min_encryption_version FROM keystore)) THEN
        RAISE EXCEPTION 'data_key_kek_retired' USING ERRCODE = 'check_violation';
    END IF;
    IF EXISTS (SELECT 1 FROM changed JOIN data_key_tombstone USING (kid)) THEN
        RAISE EXCEPTION 'data_key_kid_destroyed' USING ERRCODE = 'unique_violation';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER data_key_guard_insert AFTER INSERT ON data_key
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION data_key_guard();
CREATE TRIGGER data_key_guard_update AFTER UPDATE ON data_key
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION data_key_guard();
"""


def upgrade() -> None:
    op.create_table(
        "keystore",
        sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("deployment", sa.LargeBinary, nullable=False),
        sa.Column("min_encryption_version", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.CheckConstraint("id = 1", name="keystore_is_one_row"),
        sa.CheckConstraint("length(deployment) = 16", name="keystore_deployment_length"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "root_secret",
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.CheckConstraint("version >= 1", name="root_secret_version"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "data_key",
        sa.Column("kid", sa.LargeBinary, primary_key=True),
        sa.Column("subject", sa.LargeBinary, nullable=False),
        sa.Column("scope", sa.String(64), nullable=False),
        sa.Column("retired", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("kek", sa.Integer, nullable=False),
        sa.Column("shard", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("subject", "scope", "retired", name="data_key_place"),
        sa.CheckConstraint("length(kid) = 8", name="data_key_kid_length"),
        sa.CheckConstraint("length(subject) = 16", name="data_key_subject_length"),
        sa.CheckConstraint("length(wrapped) = 48", name="data_key_wrapped_length"),
        sqlite_with_rowid=False,
        postgresql_with={"fillfactor": "80"},
    )
    op.create_table(
        "data_key_tombstone",
        sa.Column("kid", sa.LargeBinary, primary_key=True),
        sa.Column("destroyed_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    if op.get_bind().dialect.name == "sqlite":
        for event in ("INSERT", "UPDATE"):
            op.execute(_SQLITE.format(event=event))
    else:
        op.execute(_POSTGRESQL)
