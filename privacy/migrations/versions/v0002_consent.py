"""Notices; consent by recipient, categories and notice, with its proof; standings; what is owed and to be done."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None

ID = sa.Uuid().with_variant(sa.LargeBinary(16), "sqlite")

_STATES = "'requested', 'given', 'renewed', 'refused', 'deferred', 'withdrawn', 'revoked', 'invalidated'"
_APPEND_ONLY = {
    "notices": "number = NEW.number OR version = NEW.version",
    "standing_events": "subject_id = NEW.subject_id AND event_id = NEW.event_id",
}


def upgrade() -> None:
    _subjects()
    _notices()
    _consents()
    _standings()
    _owed()
    _guards()


def _subjects() -> None:
    op.add_column("subjects", sa.Column("restricted_at", sa.BigInteger))
    op.add_column("subjects", sa.Column("young", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("subjects", sa.Column("has_standing", sa.Boolean, nullable=False, server_default=sa.false()))
    # nobody can tell without opening the profile: the gate opens it and finds out
    op.execute("UPDATE subjects SET young = true WHERE sealed IS NOT NULL")


def _notices() -> None:
    op.create_table(
        "notices",
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("published_at", sa.BigInteger, nullable=False),
        sa.Column("published_by", sa.Text, nullable=False),
        sa.Column("manifest_version", sa.Integer, nullable=False),
        sa.Column("generated", sa.Boolean, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("terms", sa.Text, nullable=False),
        sa.Column("material", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_notices")),
        sa.UniqueConstraint("version", name=op.f("uq_notices_version")),
    )


def _consents() -> None:
    """The states are kept, without a notice: consents that cannot be proved, so the gate finds them stale."""
    op.execute("CREATE TABLE consents_before AS SELECT * FROM consents")
    op.drop_table("consents")
    op.create_table(
        "consents",
        sa.Column("subject_id", ID, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("consent_id", ID, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("notice", sa.Integer),
        sa.Column("categories", sa.Text),
        sa.Column("flags", sa.SmallInteger, nullable=False),
        sa.PrimaryKeyConstraint("subject_id", "purpose", "recipient", name=op.f("pk_consents")),
        sa.CheckConstraint(f"state IN ({_STATES})", name=op.f("ck_consents_state")),
    )
    op.execute(
        "INSERT INTO consents (subject_id, purpose, recipient, consent_id, state, changed_at, expires_at, flags) "
        "SELECT subject_id, purpose, '', consent_id, state, changed_at, expires_at, 0 FROM consents_before"
    )
    op.drop_table("consents_before")
    op.add_column("consent_events", sa.Column("recipient", sa.Text, nullable=False, server_default=""))
    op.add_column("consent_events", sa.Column("notice_number", sa.Integer))
    op.add_column("consent_events", sa.Column("categories", sa.Text))
    for flag in ("written", "explicit", "by_guardian"):
        op.add_column("consent_events", sa.Column(flag, sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("consent_events", sa.Column("digest", sa.LargeBinary))
    op.add_column("consent_events", sa.Column("reason", sa.Text))
    op.add_column("consent_events", sa.Column("sealed", sa.LargeBinary))


def _standings() -> None:
    op.create_table(
        "standings",
        sa.Column("subject_id", ID, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("has_basis", sa.Boolean, nullable=False),
        sa.Column("starts_at", sa.BigInteger),
        sa.Column("ends_at", sa.BigInteger),
        sa.Column("objected_at", sa.BigInteger),
        sa.Column("restricted_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("subject_id", "purpose", name=op.f("pk_standings")),
    )
    op.create_table(
        "standing_events",
        sa.Column("subject_id", ID, nullable=False),
        sa.Column("event_id", ID, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("starts_at", sa.BigInteger),
        sa.Column("ends_at", sa.BigInteger),
        sa.Column("channel", sa.Text),
        sa.Column("recorded_by", sa.Text, nullable=False),
        sa.Column("sealed", sa.LargeBinary),
        sa.PrimaryKeyConstraint("subject_id", "event_id", name=op.f("pk_standing_events")),
        sa.CheckConstraint(
            "kind IN ('basis-recorded', 'basis-ended', 'objected', 'objection-lifted', 'restricted', "
            "'restriction-lifted')",
            name=op.f("ck_standing_events_kind"),
        ),
    )


def _owed() -> None:
    op.create_table(
        "notifications",
        sa.Column("subject_id", ID, nullable=False),
        sa.Column("notification_id", ID, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("owed_at", sa.BigInteger, nullable=False),
        sa.Column("sent_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("subject_id", "notification_id", name=op.f("pk_notifications")),
    )
    op.create_index(op.f("ix_notifications_sent_at"), "notifications", ["sent_at"])
    op.create_table(
        "tasks",
        sa.Column("subject_id", ID, nullable=False),
        sa.Column("task_id", ID, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("opened_at", sa.BigInteger, nullable=False),
        sa.Column("closed_at", sa.BigInteger),
        sa.Column("outcome", sa.Text),
        sa.Column("detail", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("subject_id", "task_id", name=op.f("pk_tasks")),
    )
    op.create_index(op.f("ix_tasks_closed_at"), "tasks", ["closed_at"])


def _guards() -> None:
    for table, taken in _APPEND_ONLY.items():
        if op.get_bind().dialect.name == "postgresql":
            op.execute(
                f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
            )
            continue
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
