"""A terminal with an empty PRIVACY_HOME and two databases without a row, and one with a deployment."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from tests.cli.said import Run, answer
from tests.databases import Kind, Migrate
from tests.world import MANIFEST, migrate_data, migrate_keys


@pytest.fixture
def urls(database_kind: Kind, request: pytest.FixtureRequest) -> tuple[str, str]:
    """Two databases for a deployment that is not made yet; on PostgreSQL with their tables, which saves time.

    The first run on databases without a table is `test_deployment`'s.
    """
    if database_kind == "sqlite":  # where a file with tables is a deployment
        return request.getfixturevalue("data_url"), request.getfixturevalue("keystore_url")
    copy: Callable[[Migrate], str] = request.getfixturevalue("data_template")
    return copy(migrate_data), copy(migrate_keys)


@pytest.fixture
def home(urls: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """PRIVACY_HOME, not made yet."""
    place = tmp_path / "home"
    monkeypatch.setenv("PRIVACY_HOME", str(place))
    monkeypatch.setenv("PRIVACY_DATABASE_URL", urls[0])
    monkeypatch.setenv("PRIVACY_KEYSTORE_URL", urls[1])
    return place


@pytest.fixture
def run(home: Path) -> Run:
    """`run("principal", "list")`: the command in this process, with its status and both streams."""

    def run(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, arguments, input=stdin)

    return run


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """The tests' manifest, as a file."""
    file = tmp_path / "manifest.yaml"
    file.write_text(MANIFEST, encoding="utf-8")
    return file


@pytest.fixture
def admin_key(run: Run, manifest: Path) -> str:
    """A deployment at `home`; the key of its administrator."""
    key = answer(run("init", "--manifest", str(manifest), "--json"))["admin_key"]
    assert isinstance(key, str)
    return key


@pytest.fixture
def free_port(monkeypatch: pytest.MonkeyPatch) -> int:
    """A port that nobody listens on, as PRIVACY_PORT names it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    monkeypatch.setenv("PRIVACY_PORT", str(port))
    return port
