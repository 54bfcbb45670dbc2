"""The life cycle: holds, life events, erasures and their ledger, residues, rotations, confirmations, runs of jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision: str | None = "0004"
branch_labels: str | None = None
depends_on: str | None = None

ID = sa.Uuid().with_variant(sa.LargeBinary(16), "sqlite")

_APPEND_ONLY = {
    "erasure_ledger": "number = NEW.number OR mark = NEW.mark",
    "life_events": "subject_id = NEW.subject_id AND event_id = NEW.event_id",
}
# What is sealed in an act is sealed anew when its subject's key is replaced: the act itself stays as it is.
_RESEALED = ("consent_events", "standing_events")
_REFUSE_ALL_BUT_SEALED = """
CREATE FUNCTION refuse_all_but_sealed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF to_jsonb(NEW) - 'sealed' = to_jsonb(OLD) - 'sealed' AND NEW.sealed <> OLD.sealed THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$
"""


def upgrade() -> None:
    # a row that is there can be locked: two sweeps that made it at once would clash
    state = sa.table("watch_state", sa.column("name"), sa.column("position"), sa.column("state"))
    op.bulk_insert(state, [{"name": "empty-scopes", "position": 0, "state": '{"noted":[]}'}])
    op.add_column("standings", sa.Column("kept_from", sa.BigInteger))
    op.add_column("subjects", sa.Column("external_version", sa.Integer))
    op.execute("UPDATE subjects SET external_version = 1 WHERE external_token IS NOT NULL")
    op.add_column("job_slots", sa.Column("lease_until", sa.BigInteger))
    op.add_column("job_slots", sa.Column("failures", sa.Integer, nullable=False, server_default=sa.text("0")))
    for counter in ("failed", "busy_micros"):
        op.add_column("job_slots", sa.Column(counter, sa.BigInteger, nullable=False, server_default=sa.text("0")))
    op.add_column("job_slots", sa.Column("schedule", sa.Text))
    revisions = sa.table("revisions", sa.column("name", sa.Text), sa.column("number", sa.BigInteger))
    op.bulk_insert(revisions, [{"name": name, "number": 0} for name in ("holds", "erasures", "keys", "house")])
    _retention()
    _erasure()
    _rotation()
    _jobs()
    _guard()


def _retention() -> None:
    op.create_table(
        "life_events",
        sa.Column("subject_id", ID, nullable=False),
        sa.Column("event_id", ID, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
        sa.Column("recorded_by", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("subject_id", "event_id", name=op.f("pk_life_events")),
    )
    op.create_table(
        "holds",
        sa.Column("hold_id", ID, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject_id", ID),
        sa.Column("record_type", sa.Text),
        sa.Column("query", sa.Text),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("placed_at", sa.BigInteger, nullable=False),
        sa.Column("placed_by", sa.Text, nullable=False),
        sa.Column("review_at", sa.BigInteger, nullable=False),
        sa.Column("lifted_at", sa.BigInteger),
        sa.Column("lifted_by", sa.Text),
        sa.PrimaryKeyConstraint("hold_id", name=op.f("pk_holds")),
        sa.CheckConstraint("kind IN ('subject', 'type', 'query')", name=op.f("ck_holds_kind")),
    )
    op.create_index(op.f("ix_holds_subject_id"), "holds", ["subject_id"])
    op.create_index(op.f("ix_holds_lifted_at"), "holds", ["lifted_at"])
    op.create_table(
        "residues",
        sa.Column("residue_id", ID, nullable=False),
        sa.Column("record_type", sa.Text, nullable=False),
        sa.Column("month", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("residue_id", name=op.f("pk_residues")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_consents_expires_at"), "consents", ["expires_at"])


def _erasure() -> None:
    op.create_table(
        "erasures",
        sa.Column("subject_id", ID, nullable=False),
        sa.Column("erasure_id", ID, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.Column("asked_by", sa.Text, nullable=False),
        sa.Column("begun_at", sa.BigInteger),
        sa.Column("done_at", sa.BigInteger),
        sa.Column("look_at", sa.BigInteger),
        sa.Column("plan", sa.Text),
        sa.Column("kept", sa.Text),
        sa.Column("counts", sa.Text),
        sa.Column("certificate", sa.Text),
        sa.PrimaryKeyConstraint("subject_id", "erasure_id", name=op.f("pk_erasures")),
        sa.UniqueConstraint("erasure_id", name=op.f("uq_erasures_erasure_id")),
        sa.CheckConstraint(
            "state IN ('requested', 'restricted', 'rekeying', 'shredding', 'purging', 'closing', 'done')",
            name=op.f("ck_erasures_state"),
        ),
    )
    op.create_index(op.f("ix_erasures_look_at"), "erasures", ["look_at"])
    op.create_table(
        "erasure_ledger",
        sa.Column("number", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("mark", sa.LargeBinary, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_erasure_ledger")),
        sa.UniqueConstraint("mark", name=op.f("uq_erasure_ledger_mark")),
        sa.CheckConstraint("kind IN (1, 2)", name=op.f("ck_erasure_ledger_kind")),
    )


def _rotation() -> None:
    op.create_table(
        "rotations",
        sa.Column("rotation_id", ID, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("old_version", sa.Integer),
        sa.Column("new_version", sa.Integer),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("cursor", sa.Text),
        sa.Column("done", sa.BigInteger, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("started_by", sa.Text, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("proof", sa.Text),
        sa.PrimaryKeyConstraint("rotation_id", name=op.f("pk_rotations")),
        sa.CheckConstraint("kind IN ('kek', 'data', 'index', 'signing', 'root')", name=op.f("ck_rotations_kind")),
        sa.CheckConstraint("state IN ('running', 'proven', 'destroyed', 'stopped')", name=op.f("ck_rotations_state")),
    )
    op.create_table(
        "confirmations",
        sa.Column("confirmation_id", ID, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("dependents", sa.BigInteger, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.Column("asked_by", sa.Text, nullable=False),
        sa.Column("not_before", sa.BigInteger, nullable=False),
        sa.Column("confirmed_at", sa.BigInteger),
        sa.Column("confirmed_by", sa.Text),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("outcome", sa.Text),
        sa.PrimaryKeyConstraint("confirmation_id", name=op.f("pk_confirmations")),
        sa.CheckConstraint("confirmed_by <> asked_by", name=op.f("ck_confirmations_two")),
        sa.CheckConstraint(
            "outcome IN ('done', 'withdrawn', 'refused', 'lapsed')", name=op.f("ck_confirmations_outcome")
        ),
    )
    op.create_index(op.f("ix_confirmations_ended_at"), "confirmations", ["ended_at"])


def _jobs() -> None:
    op.create_table(
        "job_runs",
        sa.Column("run_id", ID, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("beat_at", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("done", sa.BigInteger, nullable=False),
        sa.Column("total", sa.BigInteger),
        sa.Column("code", sa.Text),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_job_runs")),
        sa.UniqueConstraint("name", "fence", name=op.f("uq_job_runs_name_fence")),
        sa.CheckConstraint("outcome IN ('running', 'done', 'failed', 'lost')", name=op.f("ck_job_runs_outcome")),
    )
    op.create_table(
        "job_items",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("item", ID, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("failed_at", sa.BigInteger, nullable=False),
        sa.Column("set_aside_at", sa.BigInteger),
        sa.Column("code", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", "item", name=op.f("pk_job_items")),
    )
    op.create_index(op.f("ix_job_items_set_aside_at"), "job_items", ["set_aside_at"])


def _guard() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in _APPEND_ONLY:
            op.execute(
                f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
            )
        op.execute(_REFUSE_ALL_BUT_SEALED)
        for table in _RESEALED:
            op.execute(f"DROP TRIGGER append_only ON {table}")
            op.execute(
                f"CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
            )
            op.execute(
                f"CREATE TRIGGER sealed_only BEFORE UPDATE ON {table} "
                "FOR EACH ROW EXECUTE FUNCTION refuse_all_but_sealed()"
            )
        return
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
    for table in _RESEALED:
        columns = [found["name"] for found in sa.inspect(op.get_bind()).get_columns(table)]
        same = " AND ".join(f"NEW.{name} IS OLD.{name}" for name in (*columns, "rowid") if name != "sealed")
        op.execute(f"DROP TRIGGER {table}_refuse_update")
        op.execute(
            f"CREATE TRIGGER {table}_refuse_update BEFORE UPDATE ON {table} "
            f"WHEN NOT ({same} AND NEW.sealed <> OLD.sealed) IS TRUE "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )
