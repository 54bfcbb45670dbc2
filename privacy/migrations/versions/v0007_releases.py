"""Releases: what was asked, checked, approved; and their sealed parts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision: str | None = "0006"
branch_labels: str | None = None
depends_on: str | None = None

ID = sa.Uuid().with_variant(sa.LargeBinary(16), "sqlite")


def upgrade() -> None:
    op.create_table(
        "releases",
        sa.Column("release_id", ID, nullable=False),
        sa.Column("lineage", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("recipient_class", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text),
        sa.Column("record_type", sa.Text),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("snapshot", sa.Text),
        sa.Column("same_as", ID),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.Column("asked_by", sa.Text, nullable=False),
        sa.Column("asked_role", sa.Text, nullable=False),
        sa.Column("made_at", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("ended_by", sa.Text),
        sa.Column("reassess_at", sa.BigInteger),
        sa.Column("checks", sa.Text, nullable=False),
        sa.Column("figures", sa.Text, nullable=False),
        sa.Column("code", sa.Text),
        sa.PrimaryKeyConstraint("release_id", name=op.f("pk_releases")),
        sa.CheckConstraint("kind IN ('microdata', 'table')", name=op.f("ck_releases_kind")),
        sa.CheckConstraint("recipient_class IN ('public', 'controlled')", name=op.f("ck_releases_recipient_class")),
        sa.CheckConstraint(
            "state IN ('asked', 'candidate', 'anonymised', 'refused', 'stale', 'rejected', 'failed')",
            name=op.f("ck_releases_state"),
        ),
        sa.CheckConstraint("state <> 'anonymised' OR ended_by <> asked_by", name=op.f("ck_releases_two")),
    )
    op.create_index(op.f("ix_releases_lineage"), "releases", ["lineage"])
    op.create_index(op.f("ix_releases_reassess_at"), "releases", ["reassess_at"])
    op.create_table(
        "release_parts",
        sa.Column("part_id", ID, nullable=False),
        sa.Column("release_id", ID, nullable=False),
        sa.Column("part", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("part_id", name=op.f("pk_release_parts")),
        sa.UniqueConstraint("release_id", "part", "number", name=op.f("uq_release_parts_release_id_part_number")),
        sa.CheckConstraint(
            "part IN ('request', 'upload', 'subjects', 'csv', 'parquet', 'classes', 'report', 'sheet')",
            name=op.f("ck_release_parts_part"),
        ),
    )
    revisions = sa.table("revisions", sa.column("name", sa.Text), sa.column("number", sa.BigInteger))
    op.bulk_insert(revisions, [{"name": "releases", "number": 0}])
