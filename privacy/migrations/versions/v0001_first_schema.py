"""The first schema, and the guards that let three tables only grow."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None

ID = sa.Uuid().with_variant(sa.LargeBinary(16), "sqlite")

_APPEND_ONLY = ("audit_events", "consent_events", "manifests")

_KEYS = {
    "audit_events": "event_id = NEW.event_id",
    "consent_events": "subject_id = NEW.subject_id AND event_id = NEW.event_id",
    "manifests": "version = NEW.version",
}

_POSTGRESQL_REFUSAL = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$
"""


def upgrade() -> None:
    op.create_table(
        "revisions",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_revisions")),
    )
    op.create_table(
        "manifests",
        sa.Column("version", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("applied_at", sa.BigInteger, nullable=False),
        sa.Column("applied_by", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_manifests")),
    )
    op.create_table(
        "field_numbers",
        sa.Column("record_type", sa.Text, nullable=False),
        sa.Column("field", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("record_type", "field", name=op.f("pk_field_numbers")),
        sa.UniqueConstraint("number", name=op.f("uq_field_numbers_number")),
    )
    op.create_table(
        "principals",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("purposes", sa.Text, nullable=False),
        sa.Column("types", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_principals")),
        sa.CheckConstraint("role IN ('service', 'operator', 'auditor', 'admin')", name=op.f("ck_principals_role")),
        sa.UniqueConstraint("name", name=op.f("uq_principals_name")),
    )
    op.create_table(
        "api_keys",
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("principal_id", ID, nullable=False),
        sa.Column("hint", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("revoked_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_api_keys")),
        sa.ForeignKeyConstraint(["principal_id"], ["principals.id"], name=op.f("fk_api_keys_principal_id")),
    )
    op.create_index(op.f("ix_api_keys_principal_id"), "api_keys", ["principal_id"])
    op.create_table(
        "subjects",
        sa.Column("subject_id", ID, nullable=False),
        sa.Column("jurisdiction", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("erased_at", sa.BigInteger),
        sa.Column("sealed", sa.LargeBinary),
        sa.Column("external_token", sa.BigInteger),
        sa.PrimaryKeyConstraint("subject_id", name=op.f("pk_subjects")),
        sa.UniqueConstraint("external_token", name=op.f("uq_subjects_external_token")),
    )
    op.create_table(
        "records",
        sa.Column("subject_id", ID, nullable=False),
        sa.Column("record_id", ID, nullable=False),
        sa.Column("record_type", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("level", sa.SmallInteger, nullable=False),
        sa.Column("purposes", sa.Text, nullable=False),
        sa.Column("stored_at", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("kid", sa.LargeBinary, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("subject_id", "record_id", name=op.f("pk_records")),
        sa.CheckConstraint("expires_at > stored_at", name=op.f("ck_records_ends")),
        sa.CheckConstraint("level BETWEEN 1 AND 4", name=op.f("ck_records_level")),
        sa.UniqueConstraint("record_id", name=op.f("uq_records_record_id")),
    )
    op.create_index(op.f("ix_records_expires_at"), "records", ["expires_at"])
    op.create_table(
        "index_entries",
        sa.Column("subject_id", ID, nullable=False),
        sa.Column("record_id", ID, nullable=False),
        sa.Column("field_number", sa.Integer, nullable=False),
        sa.Column("index_version", sa.Integer, nullable=False),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint(
            "subject_id", "record_id", "field_number", "index_version", name=op.f("pk_index_entries")
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_index_entries_lookup"), "index_entries", ["field_number", "index_version", "token"])
    op.create_table(
        "consents",
        sa.Column("subject_id", ID, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("consent_id", ID, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("subject_id", "purpose", name=op.f("pk_consents")),
        sa.CheckConstraint("state IN ('given', 'refused', 'withdrawn')", name=op.f("ck_consents_state")),
    )
    op.create_table(
        "consent_events",
        sa.Column("subject_id", ID, nullable=False),
        sa.Column("event_id", ID, nullable=False),
        sa.Column("consent_id", ID, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("notice", sa.Text),
        sa.Column("language", sa.Text),
        sa.Column("separate", sa.Boolean, nullable=False),
        sa.Column("channel", sa.Text),
        sa.Column("recorded_by", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("subject_id", "event_id", name=op.f("pk_consent_events")),
    )
    op.create_table(
        "audit_events",
        sa.Column("event_id", ID, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("writer", ID, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("subject_id", ID),
        sa.Column("record_id", ID),
        sa.Column("purpose", sa.Text),
        sa.Column("basis", sa.Text),
        sa.Column("fields", sa.Text),
        sa.Column("detail", sa.Text),
        sa.Column("request_id", sa.Text),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_audit_events")),
        sa.CheckConstraint(
            "outcome IN ('done', 'disclosed', 'refused', 'compared')", name=op.f("ck_audit_events_outcome")
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_audit_events_subject_id_event_id"), "audit_events", ["subject_id", "event_id"])
    op.create_table(
        "idempotency_keys",
        sa.Column("principal_id", ID, nullable=False),
        sa.Column("idempotency_key", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("principal_id", "idempotency_key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_expires_at"), "idempotency_keys", ["expires_at"])
    op.create_table(
        "job_slots",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("next_run", sa.BigInteger, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_job_slots")),
    )
    revisions = sa.table("revisions", sa.column("name", sa.Text), sa.column("number", sa.BigInteger))
    op.bulk_insert(revisions, [{"name": name, "number": 0} for name in ("manifest", "principals", "subjects")])
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_POSTGRESQL_REFUSAL)
        for table in _APPEND_ONLY:
            op.execute(
                f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
            )
    else:
        for table in _APPEND_ONLY:
            for change in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_refuse_{change.lower()} BEFORE {change} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
                )
            # REPLACE deletes without firing a DELETE trigger unless the connection asks for it
            taken = f"EXISTS (SELECT 1 FROM {table} WHERE {_KEYS[table]})"  # noqa: S608 - our own names
            op.execute(
                f"CREATE TRIGGER {table}_refuse_replace BEFORE INSERT ON {table} WHEN {taken} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
