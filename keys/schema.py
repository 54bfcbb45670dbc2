"""The tables of the key store, declared. Migrations build them; a test holds the two equal.

Nothing here is about a person: a subject is an opaque 16-byte id. Times are Unix seconds, UTC.
The triggers are in the migrations that create them, and so are the views.

PostgreSQL keeps a data key in one row of `data_key`, a root secret in one row of `root_secret`. SQLite keeps the
same columns, but what must vanish when a key is destroyed stands in `slot`, whose rows never move:

    Its B-trees are balanced by copying cells between pages. secure_delete overwrites a cell that is freed, but a
    page that is rebuilt from scratch (rebuildPage() of btree.c) keeps what stood between its cell pointers and its
    first cell: a copy of a row that lives on elsewhere, and that a later DELETE of the row cannot find. Of 1,160,659
    rows deleted or rewrapped in one table with an index, 29 left their wrapped key and 124 their subject in the file.

A table by rowid that only grows at its end and whose rows are overwritten in their place by zeros of the same
length has no such copies: appending fills the last page and starts the next, an update of the same size
overwrites the cell, and nothing is ever deleted. The rows that do move hold the id of the key, and for the
subject a digest.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
    text,
)

metadata = MetaData()  # on both databases
postgresql_only = MetaData()
sqlite_only = MetaData()

# One row: whose keys these are, and the oldest KEK version that still takes new data keys.
# revision counts the changes of root_secret; era the rotations of data keys: a key bears
# the one it was made in, so which keys are older than a rotation is a matter of no clock.
keystore = Table(
    "keystore",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("deployment", LargeBinary, nullable=False),
    Column("min_encryption_version", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False, server_default="0"),
    Column("era", Integer, nullable=False, server_default="0"),
    CheckConstraint("id = 1", name="keystore_is_one_row"),
    CheckConstraint("length(deployment) = 16", name="keystore_deployment_length"),
    sqlite_with_rowid=False,
)


def _root_secret(name: str, on: MetaData, wrapped: Column[bytes] | Column[int]) -> Table:
    """Keys that the root key wraps: kind kek, index, fingerprint, signing or a further one, each in versions."""
    return Table(
        name,
        on,
        Column("kind", String(16), primary_key=True),
        Column("version", Integer, primary_key=True, autoincrement=False),
        wrapped,
        Column("created_at", BigInteger, nullable=False),
        Column("public", LargeBinary),
        Column("state", String(8), nullable=False, server_default="active"),
        Column("retired_at", BigInteger),
        CheckConstraint("version >= 1", name="root_secret_version"),
        CheckConstraint("state IN ('active', 'retired')", name="root_secret_state"),
        sqlite_with_rowid=False,
    )


root_secret = _root_secret("root_secret", postgresql_only, Column("wrapped", LargeBinary, nullable=False))
root_secret_row = _root_secret("root_secret_row", sqlite_only, Column("slot", BigInteger, nullable=False))

# What is left of a destroyed root secret: its version is never used again, and what it signed still verifies.
root_secret_tombstone = Table(
    "root_secret_tombstone",
    metadata,
    Column("kind", String(16), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("public", LargeBinary),
    Column("destroyed_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# retired = 0 is the current key of its (subject, scope); a rotation of data keys numbers the ones before it.
# shard leaves room for a key between KEK and data key, should one rewrap grow too long.
data_key = Table(
    "data_key",
    postgresql_only,
    Column("kid", LargeBinary, primary_key=True),
    Column("subject", LargeBinary, nullable=False),
    Column("scope", String(64), nullable=False),
    Column("retired", SmallInteger, nullable=False, server_default="0"),
    Column("kek", Integer, nullable=False),
    Column("shard", SmallInteger, nullable=False, server_default="0"),
    Column("wrapped", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("era", Integer, nullable=False, server_default="0"),
    UniqueConstraint("subject", "scope", "retired", name="data_key_place"),
    CheckConstraint("length(kid) = 8", name="data_key_kid_length"),
    CheckConstraint("length(subject) = 16", name="data_key_subject_length"),
    CheckConstraint("length(wrapped) = 48", name="data_key_wrapped_length"),
    Index("data_key_retired", "kid", postgresql_where=text("retired > 0")),
    # A rewrap updates every row in place: the free fifth keeps it from growing the heap.
    postgresql_with={"fillfactor": "80"},
)

# owner is a digest of the subject (`keys.store_sqlite`): this table's pages may keep copies of deleted rows.
data_key_row = Table(
    "data_key_row",
    sqlite_only,
    Column("kid", LargeBinary, primary_key=True),
    Column("owner", LargeBinary, nullable=False),
    Column("scope", String(64), nullable=False),
    Column("retired", SmallInteger, nullable=False, server_default="0"),
    Column("kek", Integer, nullable=False),
    Column("shard", SmallInteger, nullable=False, server_default="0"),
    Column("slot", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("era", Integer, nullable=False, server_default="0"),
    UniqueConstraint("owner", "scope", "retired", name="data_key_place"),
    CheckConstraint("length(kid) = 8", name="data_key_kid_length"),
    CheckConstraint("length(owner) = 16", name="data_key_owner_length"),
    Index("data_key_retired", "kid", sqlite_where=text("retired > 0")),
    sqlite_with_rowid=False,
)

# Appended to and overwritten, never deleted from. Of a root secret the subject is empty.
slot = Table(
    "slot",
    sqlite_only,
    Column("slot", Integer, primary_key=True),
    Column("subject", LargeBinary, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    CheckConstraint("length(subject) = 0 OR (length(subject) = 16 AND length(wrapped) = 48)", name="slot_shape"),
)

# What is left of a destroyed key. It keeps the kid from ever being used again.
tombstone = Table(
    "data_key_tombstone",
    metadata,
    Column("kid", LargeBinary, primary_key=True),
    Column("destroyed_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Erasures that no restored backup may undo: keyed hashes, written in the transaction that destroys the keys.
erasure_ledger = Table(
    "erasure_ledger",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("mark", LargeBinary, nullable=False, unique=True),
    Column("kind", SmallInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    CheckConstraint("kind IN (1, 2)", name="erasure_ledger_kind"),
    CheckConstraint("length(mark) = 32", name="erasure_ledger_mark_length"),
)
