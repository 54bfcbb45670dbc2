"""Making a deployment, and looking whether it is well."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from privacy.settings import Settings
from privacy.steward import Steward
from privacy.work import Role
from tests.cli.said import Run, answer, problem


@pytest.fixture
def urls(data_url: str, keystore_url: str) -> tuple[str, str]:
    """Two databases without a table."""
    return data_url, keystore_url


@pytest.fixture
def admin_key(run: Run, manifest: Path) -> str:
    """By `init` itself, each time: this is where it is tested."""
    key = answer(run("init", "--manifest", str(manifest), "--json"))["admin_key"]
    assert isinstance(key, str)
    return key


def test_init_makes_a_deployment_whose_administrator_has_the_key_shown(home: Path, admin_key: str) -> None:
    service = Steward.open(Settings.from_environment())
    try:
        assert service.authenticate(admin_key).role is Role.ADMIN
        assert service.declared is not None
        assert service.declared.version == 1
    finally:
        service.close()
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in home.iterdir()} == {0o600}


def test_init_says_that_the_key_is_shown_once(run: Run, manifest: Path) -> None:
    said = run("init", "--manifest", str(manifest))
    assert said.exit_code == 0
    assert "steward_" in said.stdout
    assert "only time the key is shown" in said.stdout


def test_init_overwrites_nothing(run: Run, manifest: Path, home: Path, admin_key: str) -> None:
    before = {file: file.stat().st_ino for file in home.iterdir()}
    refused = problem(run("init", "--manifest", str(manifest), "--json"))
    assert refused["detail"]
    assert {file: file.stat().st_ino for file in home.iterdir()} == before
    service = Steward.open(Settings.from_environment())
    try:
        assert service.authenticate(admin_key).name == "admin"
    finally:
        service.close()


def test_init_with_a_faulty_manifest_makes_nothing(run: Run, manifest: Path, home: Path) -> None:
    manifest.write_text("controller: 1\n")
    assert problem(run("init", "--manifest", str(manifest), "--json"))["code"] == "manifest-invalid"
    assert not home.exists()


def test_init_that_fails_half_way_takes_away_what_it_made_and_nothing_else(
    run: Run, manifest: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir(mode=0o700)
    (home / "notes.txt").write_text("keep me")
    monkeypatch.setenv("PRIVACY_KEYSTORE_URL", f"sqlite:///{home / 'keys.db'}")
    monkeypatch.setenv("PRIVACY_DATABASE_URL", f"sqlite:///{tmp_path / 'no' / 'such' / 'folder' / 'data.db'}")
    assert run("init", "--manifest", str(manifest)).exit_code == 1
    assert [file.name for file in home.iterdir()] == ["notes.txt"]


def test_a_command_without_a_deployment_says_what_to_do(run: Run) -> None:
    refused = problem(run("principal", "list", "--json"))
    assert refused["code"] == "invalid"
    assert "privacy init" in refused["detail"]


def test_a_setting_that_cannot_be_understood_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIVACY_PORT", "many")
    refused = run("principal", "list")
    assert refused.exit_code == 1
    assert "PRIVACY_PORT" in refused.stderr


@pytest.mark.usefixtures("admin_key")
def test_the_doctor_finds_a_new_deployment_well(run: Run, free_port: int) -> None:
    found = answer(run("doctor", "--json"))
    assert found["ok"]
    assert {"folder", "database", "key store", "root key", "manifest", "clock", "port"} <= {
        check["name"] for check in found["checks"]
    }


@pytest.mark.usefixtures("admin_key")
def test_the_doctor_finds_a_folder_that_others_can_read(run: Run, home: Path, free_port: int) -> None:
    home.chmod(0o755)
    examined = run("doctor")
    assert examined.exit_code == 1
    assert "✗ folder" in examined.stdout
    assert "chmod 700" in examined.stdout


def test_the_doctor_says_that_there_is_no_deployment(run: Run, free_port: int) -> None:
    examined = run("doctor")
    assert examined.exit_code == 1
    assert "privacy init" in examined.stdout
