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
)
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

# The state of each subject's consent for each purpose: the newest of its events.
consents = Table(
    "consents",
    metadata,
    Column("subject_id", Id, primary_key=True),
    Column("purpose", Text, primary_key=True),
    Column("consent_id", Id, nullable=False),
    Column("state", Text, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("expires_at", Instant),
    CheckConstraint("state IN ('given', 'refused', 'withdrawn')", name="state"),
)

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
    CheckConstraint("outcome IN ('done', 'disclosed', 'refused', 'compared')", name="outcome"),
    # one index, of the question every subject may ask; each more would cost every read a page at its commit
    Index("ix_audit_events_subject_id_event_id", "subject_id", "event_id"),
    sqlite_with_rowid=False,
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

# A job runs once at a time over all replicas: whoever moves `next_run` on has claimed that run.
job_slots = Table(
    "job_slots",
    metadata,
    Column("name", Text, primary_key=True),
    Column("next_run", Instant, nullable=False),
    Column("owner", Text),
    Column("fence", BigInteger, nullable=False),
)

APPEND_ONLY = (audit_events, consent_events, manifests)
