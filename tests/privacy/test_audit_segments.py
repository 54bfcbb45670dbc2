"""The columnar copy of the audit log: every event once, never half a file, never a file that is not ours."""

from __future__ import annotations

import fcntl
import json
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO
from uuid import UUID, uuid4

import duckdb
import pytest
from sqlalchemy import text

from privacy import audit_segments, ids
from privacy.audit_segments import COLUMNS, FOLDER, Copy, connect, extend, reading, write
from privacy.database import Insertion, Row
from privacy.errors import Unavailable
from privacy.tables import audit_archives, audit_events, audit_pending, audit_positions
from tests.server import ROOT
from tests.world import World

SPAN: Final = 60
FIELDS: Final = ("name", "phone", "email", "id_number")
_EVENTS = Insertion(audit_events, marked=audit_pending)
_POSITIONS = Insertion(audit_positions)
_ARCHIVES = Insertion(audit_archives)


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_segments, "SPAN", SPAN)


def event(choice: random.Random, subjects: Sequence[UUID], at: int) -> Row:
    """An event as the service could have written it, in the order of the table's columns."""
    fields = sorted(choice.sample(FIELDS, choice.randrange(1, 4)))
    detail: dict[str, Any] = {"type": choice.choice(("member", "interaction"))}
    if choice.random() < 0.4:
        detail["masked"] = fields[:1]
    if choice.random() < 0.3:
        detail["recipient"] = "sms-gateway"
    outcome = choice.choice(("disclosed", "disclosed", "disclosed", "compared", "done", "refused"))
    return (
        ids.new(),
        at,
        uuid4(),
        1,
        choice.choice(("desk", "platform")),
        "service",
        "record.read",
        outcome,
        choice.choice((*subjects, None)) if outcome != "compared" else choice.choice(subjects),
        uuid4(),
        choice.choice(("customer-service", "membership")),
        "contract",
        json.dumps(fields) if outcome != "refused" else None,
        json.dumps(detail),
        None,
        choice.choice(("aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb")),
        choice.choice(("00" * 16, "11" * 16)),
        None,
        None,
    )


def keep(world: World, events: Sequence[Row]) -> None:
    """Commit events that wait for the sequencer."""
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        for start in range(0, len(events), 10_000):
            transaction.insert(_EVENTS, events[start : start + 10_000])


def sequence(world: World, *, leaving: int = 0) -> int:
    """Give positions to what waits, but for the last so many; the size of the log."""
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        size = int(transaction.execute(text("SELECT coalesce(max(position) + 1, 0) FROM audit_positions")).scalar_one())
        waits = int(transaction.execute(text("SELECT count(*) FROM audit_pending")).scalar_one())
        take = max(0, waits - leaving)
        transaction.execute(
            text(
                "INSERT INTO audit_positions (position, event_id)"
                " SELECT :size + row_number() OVER (ORDER BY event_id) - 1, event_id"
                " FROM audit_pending ORDER BY event_id LIMIT :take"
            ).bindparams(size=size, take=take)
        )
        transaction.execute(text("DELETE FROM audit_pending WHERE event_id IN (SELECT event_id FROM audit_positions)"))
        return size + take


def archive(world: World, first: int, after: int) -> None:
    """Let the events of a range go."""
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        transaction.insert(_ARCHIVES, [(first, after, 1, "admin", "note")])
        transaction.execute(
            text(
                "DELETE FROM audit_events WHERE event_id IN"
                " (SELECT event_id FROM audit_positions WHERE position >= :first AND position < :after)"
            ).bindparams(first=first, after=after)
        )


def fill(world: World, count: int, seed: int = 1) -> int:
    """So many events with a position, besides those of the world; the size of the log."""
    choice = random.Random(seed)
    subjects = [uuid4() for _ in range(10)]
    keep(world, [event(choice, subjects, at) for at in range(count)])
    return sequence(world)


def folder(world: World) -> Path:
    return world.service.settings.home / FOLDER


def segments(world: World) -> list[str]:
    return sorted(file.name for file in folder(world).glob("*.parquet"))


def positions(world: World) -> list[int]:
    """The position of every event in the copy, in order."""
    with reading(world.service) as copy:
        found = copy.connection.execute("SELECT position FROM events WHERE position IS NOT NULL ORDER BY position")
        return [row[0] for row in found.fetchall()]


@contextmanager
def reading_alone(held: TextIO, world: World) -> Iterator[Copy]:
    """The copy while another builds, so that nothing is put right before it is read."""
    fcntl.flock(held, fcntl.LOCK_EX)
    with reading(world.service) as copy:
        yield copy


@pytest.mark.parametrize("beyond", [0, 1, SPAN - 1])
def test_each_event_is_in_the_copy_once_wherever_the_log_ends(world: World, beyond: int) -> None:
    # Broken by hand: what is pending left out.
    size = fill(world, 3 * SPAN)
    size = fill(world, (beyond - size) % SPAN or SPAN)
    keep(world, [event(random.Random(3), [uuid4()], 1) for _ in range(7)])
    with reading(world.service) as copy:
        rows = copy.connection.execute('SELECT position, subject, fields, "at" FROM events').fetchall()
        assert (copy.size, copy.waiting, copy.archived, copy.missing) == (size, 7, 0, 0)
    assert sorted(row[0] for row in rows if row[0] is not None) == list(range(size))
    assert len(rows) == size + 7
    assert len(segments(world)) == size // SPAN


def test_the_copy_holds_what_the_table_holds(world: World) -> None:
    fill(world, 2 * SPAN)
    with reading(world.service) as copy:
        found = copy.connection.execute(
            'SELECT "at", actor, role, key_id, origin, action, outcome, subject, record, purpose, fields FROM events'
        ).fetchall()
    names = ("actor", "role", "key_id", "origin", "action", "outcome", "subject_id", "record_id", "purpose", "fields")
    events = world.events()
    kept = [(round(row["at"].timestamp() * 1e6), *(row[name] for name in names)) for row in events]
    assert sorted(map(repr, found)) == sorted(map(repr, kept))


def test_building_again_builds_nothing(world: World) -> None:
    fill(world, 3 * SPAN)
    assert extend(world.service) >= 3
    before = {file: file.stat().st_mtime_ns for file in folder(world).glob("*.parquet")}
    assert extend(world.service) == 0
    assert {file: file.stat().st_mtime_ns for file in folder(world).glob("*.parquet")} == before


def test_a_segment_that_was_damaged_is_not_read_and_is_built_again(world: World) -> None:
    # Broken by hand: the seal without the file's digest.
    size = fill(world, 3 * SPAN)
    whole = positions(world)
    before = segments(world)
    for file in map(folder(world).joinpath, before):
        content = file.read_bytes()
        for damaged in (
            content[:-1],
            b"",
            *(content[:n] + bytes([content[n] ^ 1]) + content[n + 1 :] for n in (4, 200, len(content) - 9)),
        ):
            file.write_bytes(damaged)
            # somebody else builds: what is not there comes from the database
            with (folder(world) / "build.lock").open() as held:
                fcntl.flock(held, fcntl.LOCK_EX)
                assert positions(world) == whole
            assert extend(world.service) == 1
        file.unlink(missing_ok=True)
        assert positions(world) == whole == list(range(size))
        assert len(segments(world)) == len(before)


def test_a_segment_under_another_range_or_of_another_log_is_not_read(world: World) -> None:
    # Broken by hand: the seal without the range, and without the last id.
    size = fill(world, 3 * SPAN)
    extend(world.service)
    first, second, *_ = segments(world)
    content = (folder(world) / first).read_bytes()
    seal = second.rpartition("-")[2]
    names = [
        f"{SPAN:015d}-{2 * SPAN:015d}-0-{SPAN}-{first.rpartition('-')[2]}",
        f"{SPAN:015d}-{2 * SPAN:015d}-0-{SPAN}-{second.rpartition('-')[2]}",
        f"{0:015d}-{SPAN:015d}-0-{SPAN - 1}-{first.rpartition('-')[2]}",  # would say that an event is missing
        f"{0:015d}-{SPAN:015d}-1-{SPAN - 1}-{seal}",
        "notes.parquet",
    ]
    for name in names:
        (folder(world) / first).unlink(missing_ok=True)
        (folder(world) / name).write_bytes(content)
        with (folder(world) / "build.lock").open() as held, reading_alone(held, world) as copy:
            found = copy.connection.execute("SELECT position FROM events WHERE position IS NOT NULL ORDER BY ALL")
            assert [row[0] for row in found.fetchall()] == list(range(size))
            assert copy.missing == 0
        extend(world.service)
    (folder(world) / second).unlink(missing_ok=True)
    with connect(folder(world), folder(world)) as connection:
        forged = "SELECT " + ", ".join(f'CAST(NULL AS {kind}) AS "{name}"' for name, kind in COLUMNS.items())
        query = f"SELECT {SPAN} + i AS position, * EXCLUDE position FROM ({forged}), range({SPAN}) AS n(i)"
        query = f"SELECT * EXCLUDE i FROM ({query})"
        write(world.service, connection, query, first=SPAN, archived=0, last=uuid4())
    with reading(world.service) as copy:
        assert copy.connection.execute("SELECT count(*) FROM events WHERE action IS NULL").fetchall() == [(0,)]
        assert copy.missing == 0


def test_rows_of_another_range_become_no_segment(world: World) -> None:
    fill(world, SPAN)
    extend(world.service)
    before = segments(world)
    with connect(folder(world), folder(world)) as connection, pytest.raises(Unavailable):
        write(world.service, connection, "SELECT 5 AS position", first=SPAN, archived=0, last=uuid4())
    assert segments(world) == before


def test_what_is_archived_is_in_no_answer_and_after_the_next_building_in_no_file(world: World) -> None:
    # Broken by hand: the count of archived positions not compared.
    size = fill(world, 4 * SPAN)
    extend(world.service)
    before = segments(world)
    archive(world, SPAN // 2, 2 * SPAN)
    with (folder(world) / "build.lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert positions(world) == [*range(SPAN // 2), *range(2 * SPAN, size)]
    assert extend(world.service) == 1  # the first again; the second has nothing left
    assert [name for name in segments(world) if name in before] == before[2:]
    assert len(segments(world)) == len(before) - 1
    with reading(world.service) as copy:
        assert (copy.size, copy.archived, copy.missing) == (size, 2 * SPAN - SPAN // 2, 0)
    assert positions(world) == [*range(SPAN // 2), *range(2 * SPAN, size)]


def test_an_event_that_the_log_should_hold_and_does_not_is_said(world: World) -> None:
    size = fill(world, SPAN)
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        transaction.insert(_POSITIONS, [(size, uuid4()), (size + 1, uuid4())])
    with reading(world.service) as copy:
        assert copy.missing == 2
    fill(world, 2 * SPAN)  # also once it is in a segment
    with reading(world.service) as copy:
        assert copy.missing == 2


def test_a_segment_in_use_is_not_removed_and_of_two_builders_one_builds(world: World) -> None:
    fill(world, 2 * SPAN)
    extend(world.service)
    archive(world, 0, SPAN)
    before = segments(world)
    with reading(world.service):
        pass
    assert segments(world) == before[1:]
    archive(world, SPAN, 2 * SPAN)
    with (folder(world) / "read.lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        extend(world.service, wait=False)
        assert segments(world) == before[1:]
    with (folder(world) / "build.lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert extend(world.service, wait=False) == 0
    extend(world.service)
    assert segments(world) == before[2:]


_KILLED: Final = """
import os, signal, sys
from pathlib import Path
from privacy import audit_segments
from privacy.settings import Settings
from privacy.steward import Steward
audit_segments.SPAN = int(sys.argv[1])
left = int(sys.argv[2])
def dying(real):
    def run(*given, **named):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given, **named)
    return run
for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "chmod")):
    setattr(owner, name, dying(getattr(owner, name)))
audit_segments.extend(Steward.open(Settings.from_environment()))
"""


def test_a_builder_that_is_killed_leaves_no_half_segment(world: World) -> None:
    # Broken by hand: the segment written under its name at once.
    size = fill(world, 2 * SPAN)
    settings = world.service.settings
    environment = {
        "PRIVACY_HOME": str(settings.home),
        "PRIVACY_DATABASE_URL": settings.database_url,
        "PRIVACY_KEYSTORE_URL": settings.keystore_url,
    }
    for step in (1, 3, 4, 6):  # of chmod, fsync, rename, fsync
        done = subprocess.run(
            [sys.executable, "-c", _KILLED, str(SPAN), str(step)], env=environment, cwd=ROOT, check=False
        )
        assert done.returncode == -signal.SIGKILL
        assert positions(world) == list(range(size))
        assert {path.suffix for path in folder(world).iterdir()} == {".parquet", ".lock"}
        assert len(segments(world)) == size // SPAN
        for name in segments(world):
            (folder(world) / name).unlink()


def test_nobody_else_reads_the_copy(world: World) -> None:
    fill(world, 2 * SPAN)
    with reading(world.service):
        assert folder(world).stat().st_mode & 0o777 == 0o700
        for path in folder(world).iterdir():
            assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path.name


def test_the_reader_reaches_no_other_file_no_network_and_no_extension(world: World, tmp_path: Path) -> None:
    # Broken by hand: without `enable_external_access`, without `lock_configuration`.
    (tmp_path / "other.csv").write_text("a\n1\n")
    with reading(world.service) as copy:
        relation = copy.connection.sql("SELECT 1 AS one")
        assert relation.fetchall() == [(1,)]
        for statement in (
            f"SELECT * FROM read_csv('{tmp_path}/other.csv')",
            f"SELECT * FROM read_text('{folder(world)}/../root.key')",
            "SELECT * FROM read_parquet('https://log.example/a.parquet')",
            f"COPY (SELECT 1) TO '{tmp_path}/out.csv'",
            f"ATTACH '{tmp_path}/out.db'",
            "INSTALL httpfs",
            "LOAD httpfs",
            "SET enable_external_access = true",
            "SET memory_limit = '64GB'",
            "SELECT * FROM relation",  # no variable of ours is a table
        ):
            with pytest.raises(duckdb.Error):
                copy.connection.execute(statement)
    assert not (tmp_path / "out.csv").exists()


def test_what_the_reader_cannot_do_is_said_without_its_words(world: World) -> None:
    with pytest.raises(Unavailable) as refused, reading(world.service) as copy:
        copy.connection.execute("SELECT 'wang.wei@example.cn'::BIGINT")
    assert "wang" not in refused.value.detail
    assert refused.value.__suppress_context__
