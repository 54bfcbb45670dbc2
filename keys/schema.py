"""The tables of the key store, declared. Migrations build them; a test holds the two equal.

Nothing here is about a person: a subject is an opaque 16-byte id. Times are Unix seconds, UTC.
The triggers that guard `data_key` are in the migration that creates them.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
)

metadata = MetaData()

# One row: whose keys these are, and the oldest KEK version that still takes new data keys.
keystore = Table(
    "keystore",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("deployment", LargeBinary, nullable=False),
    Column("min_encryption_version", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="keystore_is_one_row"),
    CheckConstraint("length(deployment) = 16", name="keystore_deployment_length"),
    sqlite_with_rowid=False,
)

# Keys that the root key wraps: kind kek, index, fingerprint or signing, each in versions.
root_secret = Table(
    "root_secret",
    metadata,
    Column("kind", String(16), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    CheckConstraint("version >= 1", name="root_secret_version"),
    sqlite_with_rowid=False,
)

# retired = 0 is the current key of its (subject, scope); a rotation of data keys numbers the ones before it.
# shard leaves room for a key between KEK and data key, should one rewrap grow too long.
data_key = Table(
    "data_key",
    metadata,
    Column("kid", LargeBinary, primary_key=True),
    Column("subject", LargeBinary, nullable=False),
    Column("scope", String(64), nullable=False),
    Column("retired", SmallInteger, nullable=False, server_default="0"),
    Column("kek", Integer, nullable=False),
    Column("shard", SmallInteger, nullable=False, server_default="0"),
    Column("wrapped", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("subject", "scope", "retired", name="data_key_place"),
    CheckConstraint("length(kid) = 8", name="data_key_kid_length"),
    CheckConstraint("length(subject) = 16", name="data_key_subject_length"),
    CheckConstraint("length(wrapped) = 48", name="data_key_wrapped_length"),
    sqlite_with_rowid=False,
    # A rewrap updates every row in place: the free fifth keeps it from growing the heap.
    postgresql_with={"fillfactor": "80"},
)

# What is left of a destroyed key. It keeps the kid from ever being used again.
tombstone = Table(
    "data_key_tombstone",
    metadata,
    Column("kid", LargeBinary, primary_key=True),
    Column("destroyed_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
