"""The databases that the other tests stand on."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, inspect, text

from tests.databases import Migrate
from tests.postgres import PostgresMissing, Server, postgres


def _make_a_table(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE people (name TEXT PRIMARY KEY)"))
    engine.dispose()


def _tables(url: str) -> list[str]:
    engine = create_engine(url)
    try:
        return inspect(engine).get_table_names()
    finally:
        engine.dispose()


def test_data_and_keys_stand_in_two_empty_databases(data_url: str, keystore_url: str) -> None:
    _make_a_table(data_url)
    assert _tables(data_url) == ["people"]
    assert _tables(keystore_url) == []


def test_a_copy_of_a_template_has_its_tables_and_shares_no_row(
    data_template: Callable[[Migrate], str],
) -> None:
    first, second = data_template(_make_a_table), data_template(_make_a_table)
    engine = create_engine(first)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO people VALUES ('王伟')"))
    engine.dispose()
    other = create_engine(second)
    with other.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM people")).scalar_one() == 0
    other.dispose()


def test_text_is_kept_in_utf_8_and_ordered_by_code_point(postgres_server: Server, data_url: str) -> None:
    engine = create_engine(data_url)
    with engine.connect() as connection:
        ordered = connection.execute(
            text("SELECT v FROM (SELECT 'a' AS v UNION SELECT '王' UNION SELECT 'Z') AS words ORDER BY v")
        ).scalars()
        assert list(ordered) == ["Z", "a", "王"]
    engine.dispose()


def test_a_server_asks_for_its_password(postgres_server: Server) -> None:
    url = postgres_server.url_of("postgres")
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(url, password="wrong")


def test_a_durable_server_flushes_and_a_test_server_does_not(
    tmp_path: Path, postgres_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flushes(server: Server) -> list[str]:
        with closing(psycopg.connect(server.url_of("postgres"))) as connection:
            found = connection.execute(
                "SELECT setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit')"
            )
            return [setting for (setting,) in found]

    monkeypatch.delenv("TEST_DATABASE_URL", raising=False)
    with postgres(durable=True) as server:
        assert flushes(server) == ["on"] * 3
    with postgres() as server:
        assert flushes(server) == ["off"] * 3


def test_a_server_ends_with_its_block_even_on_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_DATABASE_URL", raising=False)
    with pytest.raises(ZeroDivisionError), postgres() as server:
        raise ZeroDivisionError
    assert server.pid is not None
    assert server.data_dir is not None
    assert not _lives(server.pid)
    assert not server.data_dir.exists()


def test_a_server_ends_when_the_run_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_DATABASE_URL", raising=False)
    program = (
        "import os, signal\n"
        "from tests.postgres import postgres\n"
        "with postgres() as server:\n"
        "    print(server.pid, server.data_dir, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    pid, folder = done.stdout.split()
    deadline = time.monotonic() + 30
    while _lives(int(pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _lives(int(pid))
    # Nobody was left to remove it.
    shutil.rmtree(Path(folder).parent)


def test_a_server_that_cannot_be_had_is_a_failure_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", "postgresql://127.0.0.1:1/none")
    with pytest.raises(PostgresMissing, match="does not answer"), postgres():
        pass
    monkeypatch.setenv("TEST_DATABASE_URL", "sqlite:///none.db")
    with pytest.raises(PostgresMissing, match="must name a PostgreSQL server"), postgres():
        pass


def test_a_named_server_is_used_as_it_is(postgres_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", postgres_server.url_of("postgres"))
    with postgres() as named:
        assert named.pid is None
        url = named.create_database("named")
        assert _tables(url) == []
        named.drop_database("named")
    assert _tables(postgres_server.url_of("postgres")) == []


def _lives(pid: int) -> bool:
    """Whether it still runs: an ended orphan may stay listed, for want of an init that collects it."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return state.stdout.strip() not in {"", "Z", "Zs"}
