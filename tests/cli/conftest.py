"""A terminal with an empty PRIVACY_HOME and two databases without a row, and one with a deployment."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from tests.cli.said import Run, answer
from tests.databases import Kind, Migrate, SqliteDatabases
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
    set_environment(monkeypatch, place, urls)
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


@dataclass(frozen=True)
class Founded:
    """A deployment on SQLite as `init` left it: its folder, both databases, and the key of its administrator."""

    home: Path
    databases: tuple[Path, ...]
    admin_key: str


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory, sqlite_databases: SqliteDatabases) -> Founded:
    """Made once in a session: migrating two files takes half a second, copying them no time."""
    folder = tmp_path_factory.mktemp("founded")
    file = folder / "manifest.yaml"
    file.write_text(MANIFEST, encoding="utf-8")
    urls = [sqlite_databases.empty() for _ in range(2)]
    with pytest.MonkeyPatch.context() as patch:
        set_environment(patch, folder / "home", urls)
        key = answer(CliRunner().invoke(app, ["init", "--manifest", str(file), "--json"]))["admin_key"]
    assert isinstance(key, str)
    finals = (sqlite_databases.copy(url, is_final=True) for url in urls)  # with what was in the logs beside them
    return Founded(folder / "home", tuple(file_of(url) for url in finals), key)


@pytest.fixture
def admin_key(
    home: Path, urls: tuple[str, str], database_kind: Kind, run: Run, manifest: Path, request: pytest.FixtureRequest
) -> str:
    """A deployment at `home` as `init` makes it; the key of its administrator."""
    if database_kind == "sqlite":
        found: Founded = request.getfixturevalue("founded")
        shutil.copytree(found.home, home)
        for source, url in zip(found.databases, urls, strict=True):
            shutil.copyfile(source, file_of(url))
            file_of(url).chmod(0o600)  # as `init` makes it
        return found.admin_key
    key = answer(run("init", "--manifest", str(manifest), "--json"))["admin_key"]
    assert isinstance(key, str)
    return key


def set_environment(patch: pytest.MonkeyPatch, home: Path, urls: Sequence[str]) -> None:
    patch.setenv("PRIVACY_HOME", str(home))
    patch.setenv("PRIVACY_DATABASE_URL", urls[0])
    patch.setenv("PRIVACY_KEYSTORE_URL", urls[1])


def file_of(url: str) -> Path:
    """Of an SQLite database."""
    return Path(url.removeprefix("sqlite:///"))


@pytest.fixture
def free_port(monkeypatch: pytest.MonkeyPatch) -> int:
    """A port that nobody listens on, as PRIVACY_PORT names it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    monkeypatch.setenv("PRIVACY_PORT", str(port))
    return port
