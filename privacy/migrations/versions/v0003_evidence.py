"""The tree over the audit events: positions, tiles, checkpoints, writers; archives, and the guard that knows them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None

ID = sa.Uuid().with_variant(sa.LargeBinary(16), "sqlite")

_APPEND_ONLY = {
    "audit_archives": "first = NEW.first",
    "audit_positions": "position = NEW.position OR event_id = NEW.event_id",
}
_ARCHIVED = (
    "EXISTS (SELECT 1 FROM audit_positions p JOIN audit_archives a ON p.position >= a.first AND p.position < a.after "
    "WHERE p.event_id = OLD.event_id)"
)
# A whole-table statement trigger cannot know rows: deleting is watched row by row, for archives.
_POSTGRESQL = (
    """
CREATE FUNCTION refuse_unarchived() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM audit_positions p JOIN audit_archives a
               ON p.position >= a.first AND p.position < a.after WHERE p.event_id = OLD.event_id) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$
""",
    "DROP TRIGGER append_only ON audit_events",
    """
CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
""",
    "CREATE TRIGGER archived_only BEFORE DELETE ON audit_events FOR EACH ROW EXECUTE FUNCTION refuse_unarchived()",
)


def upgrade() -> None:
    for name in ("key_id", "origin", "digest", "commitment"):
        op.add_column("audit_events", sa.Column(name, sa.Text))
    op.create_table(
        "audit_pending",
        sa.Column("event_id", ID, nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_audit_pending")),
        sqlite_with_rowid=False,
    )
    op.execute("INSERT INTO audit_pending (event_id) SELECT event_id FROM audit_events")
    op.create_table(
        "audit_details",
        sa.Column("subject_id", ID, nullable=False),
        sa.Column("event_id", ID, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("subject_id", "event_id", name=op.f("pk_audit_details")),
    )
    op.create_table(
        "audit_positions",
        sa.Column("position", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("event_id", ID, nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_audit_positions")),
        sa.UniqueConstraint("event_id", name=op.f("uq_audit_positions_event_id")),
    )
    op.create_table(
        "audit_tiles",
        sa.Column("level", sa.SmallInteger, nullable=False, autoincrement=False),
        sa.Column("number", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("hashes", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("level", "number", name=op.f("pk_audit_tiles")),
    )
    op.create_table(
        "audit_checkpoints",
        sa.Column("size", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("root", sa.LargeBinary, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("cosigned", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("size", name=op.f("pk_audit_checkpoints")),
    )
    op.create_table(
        "audit_writers",
        sa.Column("writer", ID, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("highest", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("writer", name=op.f("pk_audit_writers")),
    )
    op.create_table(
        "audit_archives",
        sa.Column("first", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("after", sa.BigInteger, nullable=False),
        sa.Column("archived_at", sa.BigInteger, nullable=False),
        sa.Column("archived_by", sa.Text, nullable=False),
        sa.Column("checkpoint", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("first", name=op.f("pk_audit_archives")),
        sa.CheckConstraint("after > first", name=op.f("ck_audit_archives_range")),
    )
    revisions = sa.table("revisions", sa.column("name", sa.Text), sa.column("number", sa.BigInteger))
    op.bulk_insert(revisions, [{"name": "sequencer", "number": 0}])
    _guards()


def _guards() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for statement in _POSTGRESQL:
            op.execute(statement)
        for table in _APPEND_ONLY:
            op.execute(
                f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
            )
        return
    op.execute("DROP TRIGGER audit_events_refuse_delete")
    op.execute(
        f"CREATE TRIGGER audit_events_refuse_delete BEFORE DELETE ON audit_events WHEN NOT {_ARCHIVED} "
        "BEGIN SELECT RAISE(ABORT, 'audit_events is append-only'); END"
    )
    for table, taken in _APPEND_ONLY.items():
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_refuse_{change.lower()} BEFORE {change} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
        found = f"EXISTS (SELECT 1 FROM {table} WHERE {taken})"  # noqa: S608 - our own names
        op.execute(
            f"CREATE TRIGGER {table}_refuse_replace BEFORE INSERT ON {table} WHEN {found} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )
