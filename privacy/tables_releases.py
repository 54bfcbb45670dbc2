"""The tables of releases; columns and constraints, no behaviour.

No personal value is here but in `release_parts.sealed`: what was asked, the files and the table of published classes
under the key of the house, an upload and the list of subjects under a key that the release has for itself, and that is
destroyed before anybody may call it anonymised.
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Integer, LargeBinary, Table, Text, UniqueConstraint

from privacy.tables import Id, Instant, Json, metadata

# A release for one recipient: asked for, made by a job, approved by a second person. `lineage` is whose data it is
# made of, `request` a keyed hash of what was asked and `snapshot` one of what was read: where both are equal it is the
# same release, and `same_as` is whose files are given. `checks` are the gate's, each with its figures; `code` says why
# not.
releases = Table(
    "releases",
    metadata,
    Column("release_id", Id, primary_key=True),
    Column("lineage", Text, nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("recipient_class", Text, nullable=False),
    Column("purpose", Text),
    Column("record_type", Text),
    Column("request", Text, nullable=False),
    Column("snapshot", Text),
    Column("same_as", Id),
    Column("asked_at", Instant, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("asked_role", Text, nullable=False),
    Column("made_at", Instant),
    Column("ended_at", Instant),
    Column("ended_by", Text),
    Column("reassess_at", Instant, index=True),
    Column("checks", Json, nullable=False),
    Column("figures", Json, nullable=False),
    Column("code", Text),
    CheckConstraint("kind IN ('microdata', 'table')", name="kind"),
    CheckConstraint("recipient_class IN ('public', 'controlled')", name="recipient_class"),
    CheckConstraint(
        "state IN ('asked', 'candidate', 'anonymised', 'refused', 'stale', 'rejected', 'failed')", name="state"
    ),
    CheckConstraint("state <> 'anonymised' OR ended_by <> asked_by", name="two"),
)

# What a release keeps, in pieces: each a container of one box.
release_parts = Table(
    "release_parts",
    metadata,
    Column("part_id", Id, primary_key=True),
    Column("release_id", Id, nullable=False),
    Column("part", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    UniqueConstraint("release_id", "part", "number"),
    CheckConstraint(
        "part IN ('request', 'upload', 'subjects', 'csv', 'parquet', 'classes', 'report', 'sheet')", name="part"
    ),
)
