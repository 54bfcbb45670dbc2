"""Every table of the data database; columns and constraints, no behaviour.

No key is here, wrapped or not: those live in the key store (`keys.store`). A personal value is only in
a column named `sealed`. Instants are microseconds since 1970 in UTC, the same integer on both databases.
A table that belongs to a data subject has `subject_id` first in its primary key and refers to no other
subject, so that an engine that shards by subject keeps a person's rows together.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Dialect,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    false,
    text,
)
from sqlalchemy.sql import operators
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeDecorator, TypeEngine

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(moment: datetime) -> int:
    """An aware instant as the database keeps it."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(value: int) -> datetime:
    """The instant that `micros` made `value` of, in UTC."""
    return _EPOCH + timedelta(microseconds=value)


def uuid_of(value: UUID | bytes) -> UUID:
    """The id in a raw driver row: PostgreSQL answers a UUID, SQLite its 16 bytes."""
    return value if isinstance(value, UUID) else UUID(bytes=value)


class Id(TypeDecorator[UUID]):
    """A UUID: native on PostgreSQL, 16 bytes on SQLite."""

    impl = Uuid
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(LargeBinary(16))
        return dialect.type_descriptor(Uuid(as_uuid=True))

    def process_bind_param(self, value: UUID | None, dialect: Dialect) -> UUID | bytes | None:
        return value.bytes if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: UUID | bytes | None, dialect: Dialect) -> UUID | None:
        return None if value is None else uuid_of(value)

    def process_literal_param(self, value: UUID | None, dialect: Dialect) -> str:
        raise TypeError("an id is always bound, never written into a statement")


class Instant(TypeDecorator[datetime]):
    """An aware datetime kept as microseconds since 1970, UTC."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | int | None, dialect: Dialect) -> int | None:
        return micros(value) if isinstance(value, datetime) else value

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else moment(value)


class Json(TypeDecorator[object]):
    """A small list or object of names, ids and counts, never of values, as JSON text."""

    impl = Text
    cache_ok = True
    _encode: Callable[[object], bytes] = msgspec.json.Encoder(order="deterministic").encode
    _decode: Callable[[bytes | str], object] = msgspec.json.Decoder().decode

    def process_bind_param(self, value: object, dialect: Dialect) -> str | None:
        return None if value is None else Json._encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> object:
        return None if value is None else Json._decode(value)

    def coerce_compared_value(self, op: OperatorType | None, value: Any) -> TypeEngine[Any]:
        """What a LIKE looks for is a piece of the text, not a list of its own."""
        return self if op in (operators.eq, operators.ne) else Text()


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# One row a name: how often the thing has changed. Every transaction reads it, so that a new manifest
# or a revoked key binds the next request on every replica.
revisions = Table(
    "revisions",
    metadata,
    Column("name", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
)

manifests = Table(
    "manifests",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("applied_at", Instant, nullable=False),
    Column("applied_by", Text, nullable=False),
)

# The number under which a field is sealed. A number is never given to another field: a field that
# comes back gets its old one.
field_numbers = Table(
    "field_numbers",
    metadata,
    Column("record_type", Text, primary_key=True),
    Column("field", Text, primary_key=True),
    Column("number", Integer, nullable=False, unique=True),
)

principals = Table(
    "principals",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("purposes", Json, nullable=False),
    Column("types", Json, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("revoked_at", Instant),
    CheckConstraint("role IN ('service', 'operator', 'auditor', 'admin')", name="role"),
)

# A principal has two live keys while it rotates. Only a digest is kept.
api_keys = Table(
    "api_keys",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("principal_id", Id, nullable=False, index=True),
    Column("hint", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
    ForeignKeyConstraint(["principal_id"], ["principals.id"]),
)

subjects = Table(
    "subjects",
    metadata,
    Column("subject_id", Id, primary_key=True),
    Column("jurisdiction", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("erased_at", Instant),
    # external id, birth date and guardian: they are personal too
    Column("sealed", LargeBinary),
    # blind index of the external id, 63 bits, unique: one external id, one subject
    Column("external_token", BigInteger, unique=True),
    # everything but storage is stopped (GDPR 18, PIPL 44)
    Column("restricted_at", Instant),
    # under 18 when created: only then does the gate open the profile and count the years
    Column("young", Boolean, nullable=False, server_default=false()),
    # there are rows in `standings`: who stores looks there only then
    Column("has_standing", Boolean, nullable=False, server_default=false()),
    # the version of the index root that the external token is of
    Column("external_version", Integer),
)

records = Table(
    "records",
    metadata,
    Column("subject_id", Id, primary_key=True),
    Column("record_id", Id, primary_key=True),
    Column("record_type", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("level", SmallInteger, nullable=False),
    Column("purposes", Json, nullable=False),
    Column("stored_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False, index=True),
    Column("kid", LargeBinary, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    UniqueConstraint("record_id"),
    CheckConstraint("level BETWEEN 1 AND 4", name="level"),
    CheckConstraint("expires_at > stored_at", name="ends"),
)

# A row says: this record may hold this value. It is found by a truncated keyed hash, and every hit is
# opened and compared, because some are not.
index_entries = Table(
    "index_entries",
    metadata,
    Column("subject_id", Id, primary_key=True),
    Column("record_id", Id, primary_key=True),
    Column("field_number", Integer, primary_key=True),
    Column("index_version", Integer, primary_key=True),
    Column("token", BigInteger, nullable=False),
    Index("ix_index_entries_lookup", "field_number", "index_version", "token"),
    sqlite_with_rowid=False,
)

# The notices that consents were given under: versioned and never changed. `content` is the rendered text in
# each language, `terms` what each purpose does, `material` the purposes whose earlier consents a person
# declared stale although the terms are equal.
notices = Table(
    "notices",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("version", Text, nullable=False, unique=True),
    Column("published_at", Instant, nullable=False),
    Column("published_by", Text, nullable=False),
    Column("manifest_version", Integer, nullable=False),
    Column("generated", Boolean, nullable=False),
    Column("source", Text, nullable=False),
    Column("content", Json, nullable=False),
    Column("terms", Json, nullable=False),
    Column("material", Json, nullable=False),
)

_STATES = "'requested', 'given', 'renewed', 'refused', 'deferred', 'withdrawn', 'revoked', 'invalidated'"

# The newest act of each subject's consent for each purpose, and each recipient that needs its own ('' is the
# controller itself). `flags`: separate 1, written 2, explicit 4, by the guardian 8.
consents = Table(
    "consents",
    metadata,
    Column("subject_id", Id, primary_key=True),
    Column("purpose", Text, primary_key=True),
    Column("recipient", Text, primary_key=True),
    Column("consent_id", Id, nullable=False),
    Column("state", Text, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("expires_at", Instant, index=True),
    Column("notice", Integer),
    Column("categories", Json),
    Column("flags", SmallInteger, nullable=False),
    CheckConstraint(f"state IN ({_STATES})", name="state"),
)

# Every act, for ever. `digest` is the SHA-256 of the exact text shown; `sealed` holds what is personal in the
# proof: the guardian, and the text itself where it was not the notice's own.
consent_events = Table(
    "consent_events",
    metadata,
    Column("subject_id", Id, primary_key=True),
    Column("event_id", Id, primary_key=True),
    Column("consent_id", Id, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("notice", Text),
    Column("language", Text),
    Column("separate", Boolean, nullable=False),
    Column("channel", Text),
    Column("recorded_by", Text, nullable=False),
    Column("recipient", Text, nullable=False, server_default=""),
    Column("notice_number", Integer),
    Column("categories", Json),
    Column("written", Boolean, nullable=False, server_default=false()),
    Column("explicit", Boolean, nullable=False, server_default=false()),
    Column("by_guardian", Boolean, nullable=False, server_default=false()),
    Column("digest", LargeBinary),
    Column("reason", Text),
    Column("sealed", LargeBinary),
)

# What stands between a subject and a purpose besides consent: a recorded basis with its start and end, an
# objection, a restriction. Instants; each is null where there is none. `has_basis`: a basis was recorded.
standings = Table(
    "standings",
    metadata,
    Column("subject_id", Id, primary_key=True),
    Column("purpose", Text, primary_key=True),
    Column("has_basis", Boolean, nullable=False),
    Column("starts_at", Instant),
    Column("ends_at", Instant),
    Column("objected_at", Instant),
    Column("restricted_at", Instant),
    # the last life event that starts the purpose's storage period, where the manifest counts from one
    Column("kept_from", Instant),
)

# Every act behind `standings` and `subjects.restricted_at`, for ever. `purpose` '' stands for all of them;
# `sealed` holds the reference (a contract's number, a case) and the reason.
standing_events = Table(
    "standing_events",
    metadata,
    Column("subject_id", Id, primary_key=True),
    Column("event_id", Id, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("starts_at", Instant),
    Column("ends_at", Instant),
    Column("channel", Text),
    Column("recorded_by", Text, nullable=False),
    Column("sealed", LargeBinary),
    CheckConstraint(
        "kind IN ('basis-recorded', 'basis-ended', 'objected', 'objection-lifted', 'restricted', 'restriction-lifted')",
        name="kind",
    ),
)

# What a recipient must be told, written in the transaction that makes it owed. Ids and names only.
notifications = Table(
    "notifications",
    metadata,
    Column("subject_id", Id, primary_key=True),
    Column("notification_id", Id, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("owed_at", Instant, nullable=False),
    Column("sent_at", Instant, index=True),
)

# Work that a person or a job must finish for a subject. `detail` holds ids and names.
tasks = Table(
    "tasks",
    metadata,
    Column("subject_id", Id, primary_key=True),
    Column("task_id", Id, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("closed_at", Instant, index=True),
    Column("outcome", Text),
    Column("detail", Json, nullable=False),
)

# Append-only, enforced by triggers on both databases. `writer` and `sequence` count without gaps for
# each connection that writes, so that a row deleted before it is sequenced into the tree shows.
audit_events = Table(
    "audit_events",
    metadata,
    Column("event_id", Id, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("writer", Id, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("subject_id", Id),
    Column("record_id", Id),
    Column("purpose", Text),
    Column("basis", Text),
    Column("fields", Json),
    Column("detail", Json),
    Column("request_id", Text),
    # which key of the principal, and a keyed hash of the address it came from
    Column("key_id", Text),
    Column("origin", Text),
    # SHA-256 of the sealed record that the change left, and of the sealed detail in `audit_details`; in hex
    Column("digest", Text),
    Column("commitment", Text),
    CheckConstraint("outcome IN ('done', 'disclosed', 'refused', 'compared')", name="outcome"),
    # one index, of the question every subject may ask; each more would cost every read a page at its commit
    Index("ix_audit_events_subject_id_event_id", "subject_id", "event_id"),
    sqlite_with_rowid=False,
)

# Events that are committed and have no position in the tree yet. A row comes with its event and goes with it
# when the sequencer takes both.
audit_pending = Table(
    "audit_pending",
    metadata,
    Column("event_id", Id, primary_key=True),
    sqlite_with_rowid=False,
)

# What is personal in an event, sealed under its subject's key; the event holds only its SHA-256, so that the tree
# stands when the key is gone.
audit_details = Table(
    "audit_details",
    metadata,
    Column("subject_id", Id, primary_key=True),
    Column("event_id", Id, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)

# Where each event stands in the tree, from 0, without gaps, for ever.
audit_positions = Table(
    "audit_positions",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("event_id", Id, nullable=False, unique=True),
)

# The tree as C2SP tiles: up to 256 hashes of 32 bytes a row. Only the last tile of each level still grows.
audit_tiles = Table(
    "audit_tiles",
    metadata,
    Column("level", SmallInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),
)

# Signed checkpoints: of each minute the last, and those that a witness has cosigned.
audit_checkpoints = Table(
    "audit_checkpoints",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
    Column("note", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("cosigned", Boolean, nullable=False),
)

# How much of each writer is in the tree: it counts from 1 without gaps, so `count` is `highest`, or events are missing.
audit_writers = Table(
    "audit_writers",
    metadata,
    Column("writer", Id, primary_key=True),
    Column("count", BigInteger, nullable=False),
    Column("highest", BigInteger, nullable=False),
    Column("changed_at", Instant, nullable=False),
)

# Ranges of events whose content has been let go: the tree keeps their hashes. `checkpoint` is the signed note at the
# time. The database lets an event be deleted only when its position is in one of these.
audit_archives = Table(
    "audit_archives",
    metadata,
    Column("first", BigInteger, primary_key=True, autoincrement=False),
    Column("after", BigInteger, nullable=False),
    Column("archived_at", Instant, nullable=False),
    Column("archived_by", Text, nullable=False),
    Column("checkpoint", Text, nullable=False),
    CheckConstraint("after > first", name="range"),
)

# The changes of each record, in their order: only events of changes are in it, so that a read pays nothing for it.
Index(
    "ix_audit_events_changes",
    audit_events.c.subject_id,
    audit_events.c.record_id,
    audit_events.c.event_id,
    postgresql_where=text("outcome = 'done' AND record_id IS NOT NULL"),
    sqlite_where=text("outcome = 'done' AND record_id IS NOT NULL"),
)

# How far a job that goes through a log or a table has come: the next position, and what else it must remember.
watch_state = Table(
    "watch_state",
    metadata,
    Column("name", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("state", Json, nullable=False),
)

# What has been counted in the windows still open: each once. `part` and `key` are hashes of ids, cut to 63 bits.
watch_seen = Table(
    "watch_seen",
    metadata,
    Column("ends_at", Instant, primary_key=True),
    Column("rule", Text, primary_key=True),
    Column("actor", Text, primary_key=True),
    Column("part", BigInteger, primary_key=True),
    Column("key", BigInteger, primary_key=True),
    sqlite_with_rowid=False,
)

# How many there were in each window of a principal, for as long as a rule looks back.
watch_counts = Table(
    "watch_counts",
    metadata,
    Column("rule", Text, primary_key=True),
    Column("actor", Text, primary_key=True),
    Column("starts_at", Instant, primary_key=True),
    Column("count", BigInteger, nullable=False),
)

# What each principal did in a month, by facet (purpose, type, field, ...) and name; for the access review.
access_counts = Table(
    "access_counts",
    metadata,
    Column("month", Text, primary_key=True),
    Column("actor", Text, primary_key=True),
    Column("facet", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("count", BigInteger, nullable=False),
)

# What a rule has found: one row a rule, principal and window. `subject_id` only where the rule is about one.
audit_alerts = Table(
    "audit_alerts",
    metadata,
    Column("alert_id", Id, primary_key=True),
    Column("rule", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("starts_at", Instant, nullable=False),
    Column("raised_at", Instant, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("threshold", BigInteger, nullable=False),
    Column("subject_id", Id),
    Column("acknowledged_at", Instant, index=True),
    Column("acknowledged_by", Text),
    Column("finding", Text),
    UniqueConstraint("rule", "actor", "starts_at"),
    CheckConstraint("finding IN ('explained', 'false-alarm', 'incident')", name="finding"),
)

# Subjects that nobody has a reason to read. `mark` is a keyed hash of the id, so that who reads this database, or a
# copy of it, does not learn whom to avoid.
honeytokens = Table(
    "honeytokens",
    metadata,
    Column("mark", LargeBinary, primary_key=True),
    Column("marked_at", Instant, nullable=False),
    Column("marked_by", Text, nullable=False),
)

# What an Idempotency-Key answered. `fingerprint` is a keyed hash of the request, `answer` holds ids only.
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("principal_id", Id, primary_key=True),
    Column("idempotency_key", Text, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("expires_at", Instant, nullable=False, index=True),
)

# A job runs once at a time over all replicas: whoever moves `next_run` on has claimed that run, and holds it until
# `lease_until`, which it moves on while it runs. `fence` counts the claims, `failures` the failures in a row, `failed`
# those ever; `busy_micros` is the time of all runs, `schedule` says in words when they are due.
job_slots = Table(
    "job_slots",
    metadata,
    Column("name", Text, primary_key=True),
    Column("next_run", Instant, nullable=False),
    Column("owner", Text),
    Column("fence", BigInteger, nullable=False),
    Column("lease_until", Instant),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("failed", BigInteger, nullable=False, server_default=text("0")),
    Column("busy_micros", BigInteger, nullable=False, server_default=text("0")),
    Column("schedule", Text),
)

# Every run of a job. `done` and `total` count items; `code` is the stable code of what went wrong.
job_runs = Table(
    "job_runs",
    metadata,
    Column("run_id", Id, primary_key=True),
    Column("name", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("beat_at", Instant, nullable=False),
    Column("finished_at", Instant),
    Column("outcome", Text, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("total", BigInteger),
    Column("code", Text),
    UniqueConstraint("name", "fence"),
    CheckConstraint("outcome IN ('running', 'done', 'failed', 'lost')", name="outcome"),
)

# Items that a job could not do, by their ids. One that failed too often is set aside until a person has looked.
job_items = Table(
    "job_items",
    metadata,
    Column("name", Text, primary_key=True),
    Column("item", Id, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("failed_at", Instant, nullable=False),
    Column("set_aside_at", Instant, index=True),
    Column("code", Text, nullable=False),
)

# What happened in a subject's life that a storage period counts from: the end of a membership, an activity.
life_events = Table(
    "life_events",
    metadata,
    Column("subject_id", Id, primary_key=True),
    Column("event_id", Id, primary_key=True),
    Column("name", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("recorded_by", Text, nullable=False),
)

# What may not go while a hold stands: a subject, a record type, or what a query names. `sealed` holds the reference
# and the reason, under the key of the house: they belong to no subject and outlive the one they are about.
holds = Table(
    "holds",
    metadata,
    Column("hold_id", Id, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("subject_id", Id, index=True),
    Column("record_type", Text),
    Column("query", Json),
    Column("sealed", LargeBinary, nullable=False),
    Column("placed_at", Instant, nullable=False),
    Column("placed_by", Text, nullable=False),
    Column("review_at", Instant, nullable=False),
    Column("lifted_at", Instant, index=True),
    Column("lifted_by", Text),
    CheckConstraint("kind IN ('subject', 'type', 'query')", name="kind"),
)

# What is left of records that were anonymised at their end: declared non-personal columns, no way back to a subject.
residues = Table(
    "residues",
    metadata,
    Column("residue_id", Id, primary_key=True),
    Column("record_type", Text, nullable=False),
    Column("month", Text, nullable=False),
    Column("content", Json, nullable=False),
    sqlite_with_rowid=False,  # a row's number would tell the order in which they came, and so which event it belongs to
)

# An erasure on its way: a saga that goes on after a crash. `scope` is what was asked (types, purposes, fields; empty
# for all), `kept` what stays and why, `counts` what went. The certificate is signed and holds ids and names only.
erasures = Table(
    "erasures",
    metadata,
    Column("subject_id", Id, primary_key=True),
    Column("erasure_id", Id, primary_key=True),
    Column("state", Text, nullable=False),
    Column("scope", Json, nullable=False),
    Column("reason", Text, nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("begun_at", Instant),
    Column("done_at", Instant),
    Column("look_at", Instant, index=True),
    Column("plan", Json),
    Column("kept", Json),
    Column("counts", Json),
    Column("certificate", Text),
    UniqueConstraint("erasure_id"),
    CheckConstraint(
        "state IN ('requested', 'restricted', 'rekeying', 'shredding', 'purging', 'closing', 'done')", name="state"
    ),
)

# What has been erased, as keyed hashes: of subjects (kind 1) and of data keys (kind 2). A copy stands in the key store
# and another beside both, so that whichever is restored from a backup learns what it must forget again.
erasure_ledger = Table(
    "erasure_ledger",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", SmallInteger, nullable=False),
    Column("mark", LargeBinary, nullable=False, unique=True),
    Column("at", Instant, nullable=False),
    CheckConstraint("kind IN (1, 2)", name="kind"),
)

# A change of keys on its way, page by page: `cursor` is the last item done. `proof` says what a query found at its end.
rotations = Table(
    "rotations",
    metadata,
    Column("rotation_id", Id, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("old_version", Integer),
    Column("new_version", Integer),
    Column("phase", Text, nullable=False),
    Column("cursor", Text),
    Column("done", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("started_by", Text, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("finished_at", Instant),
    Column("proof", Json),
    CheckConstraint("kind IN ('kek', 'data', 'index', 'signing', 'root')", name="kind"),
    CheckConstraint("state IN ('running', 'proven', 'destroyed', 'stopped')", name="state"),
)

# What takes two people and a delay: asked for by one, confirmed by another, done no sooner than `not_before`.
confirmations = Table(
    "confirmations",
    metadata,
    Column("confirmation_id", Id, primary_key=True),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("dependents", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("not_before", Instant, nullable=False),
    Column("confirmed_at", Instant),
    Column("confirmed_by", Text),
    Column("ended_at", Instant, index=True),
    Column("outcome", Text),
    CheckConstraint("confirmed_by <> asked_by", name="two"),
    CheckConstraint("outcome IN ('done', 'withdrawn', 'refused', 'lapsed')", name="outcome"),
)

# Nobody may change or remove a row of these; of events and details, only what an archive covers may be removed.
APPEND_ONLY = (
    audit_archives,
    audit_events,
    audit_positions,
    consent_events,
    erasure_ledger,
    life_events,
    manifests,
    notices,
    standing_events,
)
