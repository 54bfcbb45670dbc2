"""The key store on both databases: durable, idempotent, guarded, and forgetful when told to forget."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from keys.digests import owner_of
from keys.errors import (
    KekRetired,
    KeyExists,
    KeysError,
    KeyStoreNotReady,
    KeyStoreUnavailable,
    StoreExists,
)
from keys.migrations import VERSION_TABLE, head
from keys.schema import metadata, postgresql_only, sqlite_only
from keys.store import REVISION, KeyStore
from keys.store_postgresql import PostgresqlEngine
from keys.store_sqlite import SqliteEngine
from keys.wrapped import Ownership, RootSecret, WrappedKey
from tests.databases import Kind, PostgresDatabases

ROOT = Path(__file__).resolve().parents[2]


def made(scope: str = "main", subject: bytes | None = None, kek: int = 1) -> WrappedKey:
    return WrappedKey(subject or os.urandom(16), scope, os.urandom(8), kek, os.urandom(48))


@contextmanager
def raw(url: str) -> Iterator[Any]:
    """A connection of another program, in a transaction of its own."""
    if url.startswith("sqlite"):
        connection: Any = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
    else:
        connection = psycopg.connect(url)
    try:
        yield connection
        connection.commit()
    finally:
        connection.close()


def insert(connection: Any, key: WrappedKey) -> None:
    if isinstance(connection, sqlite3.Connection):
        slot = connection.execute(
            "INSERT INTO slot (subject, wrapped) VALUES (?, ?)", (key.subject, key.wrapped)
        ).lastrowid
        connection.execute(
            "INSERT INTO data_key_row (kid, owner, scope, kek, slot, created_at) VALUES (?, ?, 'main', ?, ?, 0)",
            (key.kid, owner_of(key.subject), key.kek, slot),
        )
    else:
        connection.execute(
            "INSERT INTO data_key (kid, subject, scope, kek, wrapped, created_at) VALUES (%s, %s, 'main', %s, %s, 0)",
            (key.kid, key.subject, key.kek, key.wrapped),
        )


def table_of_keys(connection: Any) -> str:
    """SQLite has a view under the name that PostgreSQL's table has."""
    return "data_key_row" if isinstance(connection, sqlite3.Connection) else "data_key"


def test_keys_come_back_by_id_and_by_place(store: KeyStore) -> None:
    subject = os.urandom(16)
    keys = [made(subject=subject), made("marketing", subject), made(), made("发票")]
    store.add(keys)
    assert store.by_kid([key.kid for key in keys]) == {key.kid: key for key in keys}
    assert store.by_kid([keys[0].kid, keys[0].kid, os.urandom(8)]) == {keys[0].kid: keys[0]}
    assert store.current([(key.subject, key.scope) for key in keys]) == {(key.subject, key.scope): key for key in keys}
    assert store.current([(subject, "main"), (subject, "发票"), (os.urandom(16), "main")]) == {
        (subject, "main"): keys[0]
    }


def test_asking_for_nothing_or_for_nonsense_finds_nothing(store: KeyStore) -> None:
    key = made()
    store.add([])
    store.add([key])
    assert store.by_kid([]) == {}
    assert store.current([]) == {}
    # Ids of a wrong length must not shift the ones beside them.
    assert store.by_kid([b"", key.kid[:4], key.kid, key.kid * 2]) == {key.kid: key}
    assert store.current([(b"", "main"), (key.subject, "main"), (key.subject * 2, "main")]) == {
        (key.subject, "main"): key
    }


def test_a_thousand_keys_are_one_batch_and_one_question(store: KeyStore) -> None:
    keys = [made() for _ in range(1000)]
    store.add(keys)
    assert len(store.by_kid([key.kid for key in keys])) == 1000
    assert len(store.current([(key.subject, key.scope) for key in keys])) == 1000


def test_the_number_of_statements_does_not_grow_with_the_number_of_keys(tmp_path: Path) -> None:
    engine = SqliteEngine(str(tmp_path / "keys.db"), create=True)
    engine.migrate()
    statements: list[str] = []
    engine._file.connection().set_trace_callback(statements.append)
    for count in (1, 2, 500):
        statements.clear()
        engine.by_kid([os.urandom(8) for _ in range(count)])
        engine.current([(os.urandom(16), "main") for _ in range(count)])
        assert len(statements) == 2
    engine.close()


def test_a_second_key_for_a_place_is_refused_and_the_batch_with_it(store: KeyStore) -> None:
    first, beside = made(), made()
    store.add([first])
    with pytest.raises(KeyExists):
        store.add([beside, made(subject=first.subject)])
    with pytest.raises(KeyExists):
        store.add([WrappedKey(os.urandom(16), "main", first.kid, 1, bytes(48))])
    assert store.by_kid([beside.kid]) == {}
    assert store.current([(first.subject, "main")]) == {(first.subject, "main"): first}
    store.add([beside])


def test_of_many_who_create_the_same_key_at_once_one_succeeds(store: KeyStore) -> None:
    subject = os.urandom(16)
    ready = threading.Barrier(8)

    def create(_: int) -> WrappedKey | None:
        key = made(subject=subject)
        ready.wait()
        try:
            store.add([key])
        except KeyExists:
            return None
        return key

    with ThreadPoolExecutor(8) as threads:
        stored = [key for key in threads.map(create, range(8)) if key is not None]
    assert len(stored) == 1
    assert store.current([(subject, "main")]) == {(subject, "main"): stored[0]}


def test_destroying_takes_the_keys_of_one_subject_or_of_one_scope(store: KeyStore) -> None:
    subject = os.urandom(16)
    main, marketing, other = made(subject=subject), made("marketing", subject), made()
    store.add([main, marketing, other])
    assert store.destroy(subject, "marketing") == 1
    assert set(store.by_kid([main.kid, marketing.kid, other.kid])) == {main.kid, other.kid}
    assert store.destroy(subject) == 1
    assert store.destroy(subject) == store.destroy(subject, "main") == 0
    assert set(store.by_kid([main.kid, marketing.kid, other.kid])) == {other.kid}
    assert store.current([(subject, "main"), (subject, "marketing")]) == {}


def test_a_destroyed_kid_is_never_used_again(store: KeyStore) -> None:
    """A re-registered subject must not collide with its erased self, nor a restored row come back."""
    key = made()
    store.add([key])
    store.destroy(key.subject)
    for again in (key, WrappedKey(os.urandom(16), "main", key.kid, 1, key.wrapped)):
        with pytest.raises(KeyExists):
            store.add([made(), again])
    assert store.by_kid([key.kid]) == {}
    store.add([made(subject=key.subject)])


def test_a_tombstone_says_when_and_nothing_of_whom(store: KeyStore, store_url: str) -> None:
    key = made()
    store.add([key])
    before = int(time.time())
    store.destroy(key.subject)
    with raw(store_url) as connection:
        (row,) = connection.execute("SELECT * FROM data_key_tombstone").fetchall()
    assert bytes(row[0]) == key.kid
    assert before <= row[1] <= time.time()
    assert len(row) == 2


def test_no_byte_of_a_destroyed_key_is_left_in_the_files(tmp_path: Path) -> None:
    """SQLite. Enough keys for pages to split and merge; every third subject is erased."""
    path = tmp_path / "keys.db"
    store = KeyStore.create(f"sqlite:///{path}")
    keys = [made() for _ in range(1200)]
    for at in range(0, len(keys), 50):
        store.add(keys[at : at + 50])
    for key in keys[::3]:
        assert store.destroy(key.subject) == 1
    content = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    for position, key in enumerate(keys):
        erased = position % 3 == 0
        assert (key.wrapped in content) == (not erased)
        assert (key.wrapped[:12] in content) == (not erased)
        assert (key.subject in content) == (not erased)
    store.close()


def test_destroying_under_a_reader_says_so_and_is_finished_by_destroying_again(tmp_path: Path) -> None:
    path = tmp_path / "keys.db"
    engine = SqliteEngine(str(path), create=True)
    engine.migrate()
    engine._file.connection().execute("PRAGMA busy_timeout = 50")
    store = KeyStore(engine)
    key = made()
    store.add([key])
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM data_key").fetchall()
    with pytest.raises(KeyStoreUnavailable):
        store.destroy(key.subject)
    assert store.by_kid([key.kid]) == {}
    reader.execute("COMMIT")
    reader.close()
    assert store.destroy(key.subject) == 0
    assert not any(key.wrapped in file.read_bytes() for file in tmp_path.iterdir())
    store.close()


def test_no_key_is_stored_under_a_retired_kek_version(store: KeyStore) -> None:
    store.claim(os.urandom(16), [])
    store.add([made(kek=1)])
    store.raise_minimum(2)
    for batch in ([made(kek=1)], [made(kek=2), made(kek=1)]):
        with pytest.raises(KekRetired):
            store.add(batch)
        assert store.by_kid([key.kid for key in batch]) == {}
    store.add([made(kek=2), made(kek=3)])
    store.raise_minimum(1)
    found = store.ownership()
    assert found is not None
    assert found.min_encryption_version == 2


def test_a_writer_that_began_before_a_rotation_of_data_keys_does_not_end_behind_it(
    store: KeyStore, store_url: str
) -> None:
    """On SQLite it cannot be: a writer has the file for itself from its first statement."""
    if store_url.startswith("sqlite"):
        return
    store.claim(os.urandom(16), [])
    with raw(store_url) as connection:  # as if it had read the era that was
        store.begin_era()
        with pytest.raises(psycopg.errors.CheckViolation, match="data_key_kek_retired"):
            insert(connection, made())
        connection.rollback()
    assert store.count() == 0


def test_a_stale_writer_cannot_bring_a_key_back_under_a_retired_version(store: KeyStore, store_url: str) -> None:
    store.claim(os.urandom(16), [])
    store.add([made(kek=3)])
    store.raise_minimum(3)
    with pytest.raises((sqlite3.IntegrityError, psycopg.errors.CheckViolation)), raw(store_url) as connection:
        connection.execute(f"UPDATE {table_of_keys(connection)} SET kek = 2")


def test_raising_the_minimum_waits_for_the_writers_in_flight(store: KeyStore, store_url: str) -> None:
    """Otherwise a key could appear under the retired version after the rewrap has counted none."""
    store.claim(os.urandom(16), [])
    key = made(kek=1)
    done = threading.Event()

    def retire() -> None:
        store.raise_minimum(2)
        done.set()

    with raw(store_url) as writer:
        insert(writer, key)
        thread = threading.Thread(target=retire)
        thread.start()
        assert not done.wait(0.3)
    thread.join(10)
    assert done.is_set()
    assert set(store.by_kid([key.kid])) == {key.kid}


def test_a_store_belongs_to_one_deployment(store: KeyStore) -> None:
    assert store.ownership() is None
    deployment = os.urandom(16)
    secrets = [RootSecret("kek", 1, b"wrapped"), RootSecret("index", 1, b"other")]
    store.claim(deployment, secrets)
    assert store.ownership() == Ownership(deployment, 1)
    with pytest.raises(StoreExists):
        store.claim(os.urandom(16), [])
    assert store.root_secrets() == {("kek", 1): secrets[0], ("index", 1): secrets[1]}
    store.add_root_secret(RootSecret("kek", 2, b"newer"))
    with pytest.raises(KeyExists):
        store.add_root_secret(RootSecret("kek", 2, b"again"))
    assert store.root_secrets()["kek", 2].wrapped == b"newer"


def test_creating_twice_changes_nothing_and_at_once_is_safe(keystore_url: str) -> None:
    program = "import sys; from keys.store import KeyStore; KeyStore.create(sys.argv[1]).close()"
    others = [subprocess.Popen([sys.executable, "-c", program, keystore_url], cwd=ROOT) for _ in range(2)]
    with ThreadPoolExecutor(3) as threads:
        for store in threads.map(KeyStore.create, [keystore_url] * 3):
            store.close()
    assert [other.wait(30) for other in others] == [0, 0]
    store = KeyStore.open(keystore_url)
    store.health()
    assert store.ownership() is None
    store.close()


def test_a_database_without_the_schema_is_not_opened(keystore_url: str) -> None:
    with pytest.raises(KeyStoreNotReady):
        KeyStore.open(keystore_url)


def test_a_key_store_of_another_schema_is_not_opened(store_url: str) -> None:
    with raw(store_url) as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(KeyStoreNotReady, match="9999"):
        KeyStore.open(store_url)


@pytest.mark.parametrize("url", ["", "keys.db", "sqlite://", "sqlite:///", "mysql://host/keys"])
def test_an_address_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(KeyStoreNotReady, match="postgresql://"):
        KeyStore.open(url)


def test_a_closed_store_says_so(store: KeyStore) -> None:
    store.health()
    store.close()
    with pytest.raises(KeyStoreUnavailable):
        store.health()
    with pytest.raises(KeyStoreUnavailable):
        store.add([made()])


def test_a_key_store_that_is_away_is_unavailable_and_its_address_stays_hidden() -> None:
    with pytest.raises(KeyStoreUnavailable) as refusal:
        KeyStore.open("postgresql://someone:hunter2@127.0.0.1:1/keys")
    assert "hunter2" not in str(refusal.value)
    assert "127.0.0.1" not in str(refusal.value)
    with pytest.raises(KeyStoreUnavailable):
        KeyStore.create("postgresql://someone:hunter2@127.0.0.1:1/keys")


def test_connections_that_the_server_ends_are_replaced(store: KeyStore, store_url: str, database_kind: Kind) -> None:
    key = made()
    store.add([key])
    if database_kind == "postgresql":
        with raw(store_url) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
    assert set(store.by_kid([key.kid])) == {key.kid}
    store.add([made()])


def test_threads_that_end_leave_no_connection_behind(tmp_path: Path) -> None:
    engine = SqliteEngine(str(tmp_path / "keys.db"), create=True)
    engine.migrate()
    for _ in range(5):
        thread = threading.Thread(target=engine.ownership)
        thread.start()
        thread.join()
    assert len(engine._file.connections._all) == 0
    engine.close()


def test_the_sqlite_file_is_its_owners_alone_durable_and_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "keys.db"
    engine = SqliteEngine(str(path), create=True)
    engine.migrate()
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    connection = engine._file.connection()
    pragmas = ("journal_mode", "synchronous", "secure_delete")
    assert [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas] == ["wal", 2, 1]
    engine.close()


def test_postgresql_commits_are_durable_whatever_the_role_prefers(
    postgresql_databases: PostgresDatabases,
) -> None:
    url = postgresql_databases.empty()
    with raw(url) as connection:
        connection.execute(f"ALTER DATABASE {url.rpartition('/')[2]} SET synchronous_commit = off")
    engine = PostgresqlEngine(url)
    found = engine._connections.get().execute("SHOW synchronous_commit").fetchone()
    assert found == ("on",)
    engine.close()
    postgresql_databases.remove(url)


def test_the_database_refuses_rows_of_a_wrong_shape(store: KeyStore) -> None:
    key = made()
    for wrong in (
        WrappedKey(key.subject[:15], "main", key.kid, 1, key.wrapped),
        WrappedKey(key.subject, "main", key.kid[:7], 1, key.wrapped),
        WrappedKey(key.subject, "main", key.kid, 1, key.wrapped[:47]),
    ):
        with pytest.raises((KeysError, psycopg.IntegrityError)):
            store.add([wrong])


def test_a_wrapped_key_and_a_store_do_not_print_what_they_hold(store: KeyStore, store_url: str) -> None:
    key = made()
    assert key.wrapped.hex() not in repr(key)
    assert key.subject.hex() not in repr(key)
    assert str(key.wrapped)[2:-1] not in repr(key)
    assert store_url not in repr(store)


def test_the_code_and_the_migrations_name_the_same_revision() -> None:
    assert head() == REVISION


def test_what_is_migrated_is_what_is_declared(store_url: str, keystore_url: str) -> None:
    """Tables, columns, keys and constraints, down to the checks and storage options."""
    migrated, declared = (sa.create_engine(sqlalchemy_url(url)) for url in (store_url, keystore_url))
    both = sa.MetaData()
    for part in (metadata, sqlite_only if declared.dialect.name == "sqlite" else postgresql_only):
        for table in part.tables.values():
            table.to_metadata(both)
    with migrated.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True},
        )
        assert compare_metadata(context, both) == []
    both.create_all(declared)
    assert definitions(migrated) == definitions(declared)
    migrated.dispose()
    declared.dispose()


def sqlalchemy_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


def definitions(engine: sa.Engine) -> set[tuple[object, ...]]:
    if engine.dialect.name == "sqlite":
        query = "SELECT name, sql FROM sqlite_master WHERE type NOT IN ('trigger', 'view')"
    else:
        query = (
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE connamespace = 'public'::regnamespace"
            " UNION SELECT relname, 'options', reloptions::text FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
            " UNION SELECT indexrelid::regclass::text, 'index', pg_get_indexdef(indexrelid) FROM pg_index"
            " WHERE indrelid::regclass::text IN ('data_key', 'root_secret', 'erasure_ledger')"
        )
    with engine.connect() as connection:
        rows = {tuple(row) for row in connection.execute(sa.text(query))}
    if engine.dialect.name == "sqlite":
        # The order of columns and constraints is another where a column was added later.
        rows = {(name, " ".join(sorted(re.findall(r"[\w'=>]+", sql or "")))) for name, sql in rows}
    return {row for row in rows if VERSION_TABLE not in str(row[0])}


def test_every_failure_is_in_the_one_tree() -> None:
    for kind in (KekRetired, KeyExists, KeyStoreNotReady, KeyStoreUnavailable, StoreExists):
        assert issubclass(kind, KeysError)
