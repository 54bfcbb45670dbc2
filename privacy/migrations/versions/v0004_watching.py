"""Watching over the audit log: rules' counts, alerts, access reviews, honeytokens; the changes of each record."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"
branch_labels: str | None = None
depends_on: str | None = None

ID = sa.Uuid().with_variant(sa.LargeBinary(16), "sqlite")
_CHANGES = "outcome = 'done' AND record_id IS NOT NULL"


def upgrade() -> None:
    op.create_index(
        "ix_audit_events_changes",
        "audit_events",
        ["subject_id", "record_id", "event_id"],
        postgresql_where=sa.text(_CHANGES),
        sqlite_where=sa.text(_CHANGES),
    )
    _counts()
    op.create_table(
        "audit_alerts",
        sa.Column("alert_id", ID, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("starts_at", sa.BigInteger, nullable=False),
        sa.Column("raised_at", sa.BigInteger, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("threshold", sa.BigInteger, nullable=False),
        sa.Column("subject_id", ID),
        sa.Column("acknowledged_at", sa.BigInteger),
        sa.Column("acknowledged_by", sa.Text),
        sa.Column("finding", sa.Text),
        sa.PrimaryKeyConstraint("alert_id", name=op.f("pk_audit_alerts")),
        sa.UniqueConstraint("rule", "actor", "starts_at", name=op.f("uq_audit_alerts_rule_actor_starts_at")),
        sa.CheckConstraint("finding IN ('explained', 'false-alarm', 'incident')", name=op.f("ck_audit_alerts_finding")),
    )
    op.create_index(op.f("ix_audit_alerts_acknowledged_at"), "audit_alerts", ["acknowledged_at"])
    op.create_table(
        "honeytokens",
        sa.Column("mark", sa.LargeBinary, nullable=False),
        sa.Column("marked_at", sa.BigInteger, nullable=False),
        sa.Column("marked_by", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("mark", name=op.f("pk_honeytokens")),
    )


def _counts() -> None:
    op.create_table(
        "watch_state",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_watch_state")),
    )
    op.create_table(
        "watch_seen",
        sa.Column("ends_at", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("part", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("key", sa.BigInteger, nullable=False, autoincrement=False),
        sa.PrimaryKeyConstraint("ends_at", "rule", "actor", "part", "key", name=op.f("pk_watch_seen")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "watch_counts",
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("starts_at", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("rule", "actor", "starts_at", name=op.f("pk_watch_counts")),
    )
    op.create_table(
        "access_counts",
        sa.Column("month", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("facet", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("month", "actor", "facet", "name", name=op.f("pk_access_counts")),
    )
