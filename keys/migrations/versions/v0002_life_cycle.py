"""The life cycle: root secrets have states and tombstones, erasures a ledger; on SQLite secrets stand in slots.

`keys.schema` says why. The triggers make ledger and tombstones append-only for every writer, and keep the rows of
`slot` where they are.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from keys.digests import owner_of

revision = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None

_APPEND_ONLY = ("erasure_ledger", "data_key_tombstone", "root_secret_tombstone")

# A key that stays under its version may be retired or renamed whatever the minimum: only a new wrap is refused.
_SQLITE_GUARDS = (
    """
CREATE TRIGGER data_key_guard_insert BEFORE INSERT ON data_key_row
BEGIN
    SELECT RAISE(ABORT, 'data_key_kek_retired')
     WHERE NEW.kek < (SELECT min_encryption_version FROM keystore);
    SELECT RAISE(ABORT, 'data_key_kid_destroyed')
     WHERE EXISTS (SELECT 1 FROM data_key_tombstone WHERE kid = NEW.kid);
END
""",
    """
CREATE TRIGGER data_key_guard_update BEFORE UPDATE ON data_key_row WHEN NEW.kek <> OLD.kek OR NEW.kid <> OLD.kid
BEGIN
    SELECT RAISE(ABORT, 'data_key_kek_retired')
     WHERE NEW.kek < (SELECT min_encryption_version FROM keystore);
    SELECT RAISE(ABORT, 'data_key_kid_destroyed')
     WHERE EXISTS (SELECT 1 FROM data_key_tombstone WHERE kid = NEW.kid);
END
""",
)
_SQLITE_ROOT_GUARD = """
CREATE TRIGGER root_secret_guard BEFORE INSERT ON root_secret_row
BEGIN
    SELECT RAISE(ABORT, 'root_secret_destroyed')
     WHERE EXISTS (SELECT 1 FROM root_secret_tombstone WHERE kind = NEW.kind AND version = NEW.version);
END
"""
_SQLITE_APPEND_ONLY = """
CREATE TRIGGER {table}_no_{event} BEFORE {event} ON {table}
BEGIN SELECT RAISE(ABORT, '{table}_append_only'); END
"""

# The same columns under the same names as on PostgreSQL, for whoever reads the store from outside.
_SQLITE_VIEWS = (
    (
        "CREATE VIEW root_secret AS SELECT r.kind, r.version, s.wrapped, r.created_at, r.public, r.state,"
        " r.retired_at FROM root_secret_row r JOIN slot s ON s.slot = r.slot"
    ),
    (
        "CREATE VIEW data_key AS SELECT k.kid, s.subject, k.scope, k.retired, k.kek, k.shard, s.wrapped, k.created_at,"
        " k.era FROM data_key_row k JOIN slot s ON s.slot = k.slot"
    ),
)

_POSTGRESQL = """
CREATE OR REPLACE FUNCTION data_key_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1400142923);
    IF EXISTS (SELECT 1 FROM changed, keystore
                WHERE changed.kek < keystore.min_encryption_version OR changed.era < keystore.era) THEN
        RAISE EXCEPTION 'data_key_kek_retired' USING ERRCODE = 'check_violation';
    END IF;
    IF EXISTS (SELECT 1 FROM changed JOIN data_key_tombstone USING (kid)) THEN
        RAISE EXCEPTION 'data_key_kid_destroyed' USING ERRCODE = 'unique_violation';
    END IF;
    RETURN NULL;
END
$$;
CREATE FUNCTION data_key_guard_rewrap() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1400142923);
    IF EXISTS (SELECT 1 FROM changed LEFT JOIN before USING (kid)
                WHERE changed.kek IS DISTINCT FROM before.kek
                  AND changed.kek < (SELECT min_encryption_version FROM keystore)) THEN
        RAISE EXCEPTION 'data_key_kek_retired' USING ERRCODE = 'check_violation';
    END IF;
    IF EXISTS (SELECT 1 FROM changed JOIN data_key_tombstone USING (kid)) THEN
        RAISE EXCEPTION 'data_key_kid_destroyed' USING ERRCODE = 'unique_violation';
    END IF;
    RETURN NULL;
END
$$;
DROP TRIGGER data_key_guard_update ON data_key;
CREATE TRIGGER data_key_guard_update AFTER UPDATE ON data_key
    REFERENCING OLD TABLE AS before NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION data_key_guard_rewrap();
CREATE FUNCTION keystore_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%_append_only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;
CREATE FUNCTION root_secret_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM root_secret_tombstone WHERE kind = NEW.kind AND version = NEW.version) THEN
        RAISE EXCEPTION 'root_secret_destroyed' USING ERRCODE = 'unique_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER root_secret_guard BEFORE INSERT ON root_secret FOR EACH ROW EXECUTE FUNCTION root_secret_guard();
"""
_POSTGRESQL_APPEND_ONLY = """
CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION keystore_append_only()
"""


def upgrade() -> None:
    op.add_column("keystore", sa.Column("revision", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("keystore", sa.Column("era", sa.Integer, nullable=False, server_default="0"))
    op.create_table(
        "root_secret_tombstone",
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("public", sa.LargeBinary),
        sa.Column("destroyed_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "erasure_ledger",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("mark", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.CheckConstraint("kind IN (1, 2)", name="erasure_ledger_kind"),
        sa.CheckConstraint("length(mark) = 32", name="erasure_ledger_mark_length"),
    )
    if op.get_bind().dialect.name == "sqlite":
        _sqlite()
    else:
        _postgresql()


def _postgresql() -> None:
    op.execute("LOCK TABLE root_secret, data_key IN ACCESS EXCLUSIVE MODE")
    op.add_column("root_secret", sa.Column("public", sa.LargeBinary))
    op.add_column("root_secret", sa.Column("state", sa.String(8), nullable=False, server_default="active"))
    op.add_column("root_secret", sa.Column("retired_at", sa.BigInteger))
    op.create_check_constraint("root_secret_state", "root_secret", "state IN ('active', 'retired')")
    op.add_column("data_key", sa.Column("era", sa.Integer, nullable=False, server_default="0"))
    op.create_index("data_key_retired", "data_key", ["kid"], postgresql_where=sa.text("retired > 0"))
    op.execute(_POSTGRESQL)
    for table in _APPEND_ONLY:
        op.execute(_POSTGRESQL_APPEND_ONLY.format(table=table))


def _sqlite() -> None:
    op.create_table(
        "slot",
        sa.Column("slot", sa.Integer, primary_key=True),
        sa.Column("subject", sa.LargeBinary, nullable=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
        sa.CheckConstraint("length(subject) = 0 OR (length(subject) = 16 AND length(wrapped) = 48)", name="slot_shape"),
    )
    _sqlite_root_secrets()
    _sqlite_data_keys()
    for view in _SQLITE_VIEWS:
        op.execute(view)
    for guard in (*_SQLITE_GUARDS, _SQLITE_ROOT_GUARD):
        op.execute(guard)
    for table in _APPEND_ONLY:
        for event in ("update", "delete"):
            op.execute(_SQLITE_APPEND_ONLY.format(table=table, event=event))
    op.execute(_SQLITE_APPEND_ONLY.format(table="slot", event="delete"))


def _sqlite_root_secrets() -> None:
    op.create_table(
        "root_secret_row",
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("slot", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("public", sa.LargeBinary),
        sa.Column("state", sa.String(8), nullable=False, server_default="active"),
        sa.Column("retired_at", sa.BigInteger),
        sa.CheckConstraint("version >= 1", name="root_secret_version"),
        sa.CheckConstraint("state IN ('active', 'retired')", name="root_secret_state"),
        sqlite_with_rowid=False,
    )
    found = op.get_bind().execute(sa.text("SELECT kind, version, wrapped, created_at FROM root_secret")).all()
    for number, (kind, version, wrapped, created_at) in enumerate(found, 1):
        _fill("INSERT INTO slot VALUES (:slot, x'', :wrapped)", slot=number, wrapped=wrapped)
        _fill(
            "INSERT INTO root_secret_row (kind, version, slot, created_at) VALUES (:kind, :version, :slot, :at)",
            kind=kind,
            version=version,
            slot=number,
            at=created_at,
        )
    op.drop_table("root_secret")


def _sqlite_data_keys() -> None:
    op.create_table(
        "data_key_row",
        sa.Column("kid", sa.LargeBinary, primary_key=True),
        sa.Column("owner", sa.LargeBinary, nullable=False),
        sa.Column("scope", sa.String(64), nullable=False),
        sa.Column("retired", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("kek", sa.Integer, nullable=False),
        sa.Column("shard", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("slot", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("era", sa.Integer, nullable=False, server_default="0"),
        sa.UniqueConstraint("owner", "scope", "retired", name="data_key_place"),
        sa.CheckConstraint("length(kid) = 8", name="data_key_kid_length"),
        sa.CheckConstraint("length(owner) = 16", name="data_key_owner_length"),
        sqlite_with_rowid=False,
    )
    op.create_index("data_key_retired", "data_key_row", ["kid"], sqlite_where=sa.text("retired > 0"))
    bind = op.get_bind()
    first = bind.execute(sa.text("SELECT coalesce(max(slot), 0) + 1 FROM slot")).scalar_one()
    found = bind.execute(sa.text("SELECT kid, subject, scope, retired, kek, wrapped, created_at FROM data_key")).all()
    for number, (kid, subject, scope, retired, kek, wrapped, created_at) in enumerate(found, first):
        _fill("INSERT INTO slot VALUES (:slot, :subject, :wrapped)", slot=number, subject=subject, wrapped=wrapped)
        _fill(
            "INSERT INTO data_key_row (kid, owner, scope, retired, kek, slot, created_at)"
            " VALUES (:kid, :owner, :scope, :retired, :kek, :slot, :at)",
            kid=kid,
            owner=owner_of(subject),
            scope=scope,
            retired=retired,
            kek=kek,
            slot=number,
            at=created_at,
        )
    op.drop_table("data_key")


def _fill(statement: str, **values: object) -> None:
    op.get_bind().execute(sa.text(statement), values)
