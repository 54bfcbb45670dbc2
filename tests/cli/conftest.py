"""A terminal with an empty PRIVACY_HOME and two empty databases, and one with a deployment."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from tests.cli.said import Run, answer
from tests.world import MANIFEST


@pytest.fixture
def home(tmp_path: Path, data_url: str, keystore_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """PRIVACY_HOME, not made yet."""
    place = tmp_path / "home"
    monkeypatch.setenv("PRIVACY_HOME", str(place))
    monkeypatch.setenv("PRIVACY_DATABASE_URL", data_url)
    monkeypatch.setenv("PRIVACY_KEYSTORE_URL", keystore_url)
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
