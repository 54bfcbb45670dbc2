"""The ledger of what was erased: three copies that say the same, and what each does when another knows more."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.wrapped import LedgerRow
from privacy import erasure, erasure_ledger, erasure_steps
from privacy.errors import Invalid
from privacy.ledger_file import LedgerFile
from privacy.tables import erasure_ledger as ledger_table
from tests.invariants.looking import rows
from tests.world import World

# Broken by hand: an append behind a line that was cut; `_pending` emptied (a second event).

DEPLOYMENT = bytes(range(16))


def row(number: int, kind: int = 1) -> LedgerRow:
    return LedgerRow(number, kind, bytes([number % 256]) * 32, 1_763_000_000 + number)


@pytest.fixture
def file(tmp_path: Path) -> LedgerFile:
    return LedgerFile(tmp_path / "erasure.ledger", DEPLOYMENT)


# --- the file


def test_what_was_appended_is_read_again_in_its_order(file: LedgerFile) -> None:
    assert (file.size(), file.last(), list(file.rows())) == (0, None, [])
    assert file.append_after(lambda last: [row(1), row(2, 2)] if last == 0 else []) == 2
    assert file.append_after(lambda last: [row(3)] if last == 2 else []) == 1
    assert list(file.rows()) == [row(1), row(2, 2), row(3)]
    assert (file.size(), file.last()) == (3, row(3))


def test_what_is_there_is_not_appended_again(file: LedgerFile) -> None:
    assert file.append_missing([row(1), row(2)]) == 2
    assert file.append_missing([row(2), row(3)]) == 1
    assert list(file.rows()) == [row(1), row(2), row(3)]


def test_nobody_but_its_owner_reads_the_file(file: LedgerFile) -> None:
    file.append_missing([row(1)])
    assert file.path.stat().st_mode & 0o077 == 0


@given(cut=st.integers(min_value=1, max_value=400))
def test_a_file_that_a_crash_cut_anywhere_keeps_its_whole_lines(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    file = LedgerFile(tmp_path_factory.mktemp("cut") / "erasure.ledger", DEPLOYMENT)
    file.append_missing([row(n) for n in range(1, 5)])
    whole = file.path.read_bytes()
    file.path.write_bytes(whole[: max(0, len(whole) - cut)])
    kept = list(file.rows())
    assert kept == [row(n) for n in range(1, len(kept) + 1)]
    file.append_missing([row(n) for n in range(1, 5)])
    assert file.path.read_bytes() == whole


def test_another_deployments_file_and_a_damaged_one_are_refused(file: LedgerFile) -> None:
    file.append_missing([row(1)])
    with pytest.raises(Invalid):
        LedgerFile(file.path, bytes(16)).size()
    file.path.write_bytes(file.path.read_bytes().replace(b" 1 ", b" 9 "))
    with pytest.raises(Invalid):
        file.last()


# --- the three


def test_every_erasure_stands_in_all_three(world: World) -> None:
    for _ in range(3):
        subject = world.subject()
        world.store(subject)
        erasure.erase(world.service, subject)
    stored = world.service.keystore.ledger()
    assert len(stored) == 6
    assert list(erasure_ledger.file_of(world.service).rows()) == stored
    assert sorted((one["number"], bytes(one["mark"])) for one in rows(world, ledger_table)) == [
        (one.number, one.mark) for one in stored
    ]


def test_the_ledger_names_nobody(world: World) -> None:
    subject = world.subject()
    erasure.erase(world.service, subject)
    held = erasure_ledger.file_of(world.service).path.read_bytes()
    assert subject.hex.encode() not in held
    assert subject.bytes not in held


def test_what_is_on_its_way_is_left_to_its_erasure(world: World) -> None:
    """A process that starts between the shredding and the end of an erasure does not end it in its own way."""
    subject = world.subject()
    world.store(subject)
    with world.service.begin(world.actor("operator")) as work:
        asked = erasure.ask(work, subject)
    for state in ("requested", "shredding", "purging"):
        _step(world, asked.id, state)
        if state != "requested":
            erasure_ledger.reconcile(world.service)
    assert world.events(action="erasure.replayed") == []
    assert erasure.advance(world.service, asked.id).state == "done"
    assert len(world.events(action="subject.erased")) == 1
    assert erasure_ledger.reconcile(world.service) == erasure_ledger.Replayed()


def _step(world: World, erasure_id: UUID, state: str) -> None:
    with world.service.begin(erasure.ERASER) as work:
        found = erasure._row(work, erasure_id, alone=True)
        assert found.state == state
        erasure_steps.step(work, found)


def test_a_file_that_was_lost_is_written_again(world: World) -> None:
    subject = world.subject()
    erasure.erase(world.service, subject)
    path = erasure_ledger.file_of(world.service).path
    before = path.read_bytes()
    path.unlink()
    assert erasure_ledger.reconcile(world.service).to_file == 2
    assert path.read_bytes() == before


def test_looking_costs_the_same_however_much_was_erased(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three counts and three last rows; no subject is looked at."""
    erasure.erase(world.service, world.subject())

    def never(*_: object) -> None:
        raise AssertionError("looked at more than the ends of the ledger")

    monkeypatch.setattr(erasure_ledger, "_all_of_store", never)
    monkeypatch.setattr(world.service.keystore, "subjects", never)
    assert erasure_ledger.reconcile(world.service) == erasure_ledger.Replayed()
