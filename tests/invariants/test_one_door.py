"""One door: one module opens boxes, under a decision, and whoever opens owes an event."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_type_hints
from uuid import uuid4

import pytest

from keys import container
from privacy import access, records, vault
from privacy.errors import PrivacyError, Unaudited
from privacy.group import Failure
from privacy.tables import audit_events
from privacy.tables import records as records_table
from privacy.tables import subjects as subjects_table
from privacy.vault import At, Decision
from privacy.work import Work
from tests.invariants.looking import counts, rows
from tests.world import PHONE, World

ROOT: Final = Path(__file__).resolve().parents[2]
OURS: Final = ("privacy", "api", "jobs", "cli")
# What turns a box, or what opens one, into plaintext; `container.patch` checks the box it changes.
OPENERS: Final = {"unseal", "open", "patch", "unwrap"}
# How a container is named where it is imported as a module.
HOLDERS: Final = {"container", "keyring", "Keyring"}


def _calls(file: Path) -> Iterator[tuple[int, str, str]]:
    """Line, what it is called on (the last name of it), and the name called."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            name = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
            yield node.lineno, name, node.func.attr


def _imports(file: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in names)


def _sources(*packages: str) -> list[Path]:
    return [file for package in packages for file in sorted((ROOT / package).rglob("*.py"))]


def test_only_the_vault_opens_a_box() -> None:
    # Broken by hand: `container.unseal(...)` called from privacy/records.py.
    openings = {
        str(file.relative_to(ROOT))
        for file in _sources(*OURS)
        for _, owner, called in _calls(file)
        if owner in HOLDERS and called in OPENERS and (owner, called) != ("Keyring", "open")
    }
    assert openings == {"privacy/vault.py"}


def test_only_the_vault_knows_the_sealed_container() -> None:
    knowing = {
        str(file.relative_to(ROOT))
        for file in _sources(*OURS)
        for _, name in _imports(file)
        if name.startswith("keys.container")
    }
    assert knowing == {"privacy/vault.py"}


def test_the_front_doors_import_no_keys_and_no_ciphers() -> None:
    # Broken by hand: `from keys.keyring import Keyring` in api/routing.py.
    forbidden = [
        f"{file.relative_to(ROOT)}:{line} {name}"
        for file in _sources("api", "jobs")
        for line, name in _imports(file)
        if name.split(".")[0] in {"keys", "cryptography"}
    ]
    # A terminal says what is wrong with the keys; it never holds one.
    forbidden += [
        f"{file.relative_to(ROOT)}:{line} {name}"
        for file in _sources("cli")
        for line, name in _imports(file)
        if name.split(".")[0] in {"keys", "cryptography"} and not name.startswith("keys.errors.")
    ]
    assert forbidden == []


def test_a_box_is_opened_under_a_decision_only() -> None:
    assert get_type_hints(vault.unseal, vars(access) | vars(vault))["decision"] is Decision
    assert inspect.signature(vault.unseal).parameters["decision"].default is inspect.Parameter.empty


def test_a_decision_opens_the_fields_that_it_names_and_no_others(world: World) -> None:
    # Broken by hand: `decision.numbers` replaced by all numbers of the container in `vault.unseal`.
    stored = world.store(world.subject())
    (row,) = rows(world, records_table)
    at = At(row["subject_id"], "main", "member", stored.id)
    with world.service.begin(world.desk) as work:
        number = work.declared.number("member", "name")
        opened = vault.unseal(work, Decision("customer-service", "contract", frozenset({number})), at, row["sealed"])
        work.audit("test.opened", record=stored.id)
    assert set(opened) == {number}


def test_a_work_that_opens_and_names_no_event_gives_nothing_and_leaves_nothing(world: World) -> None:
    # Broken by hand: `work.owe(...)` removed from `vault.unseal`; `work.settle()` removed from `gather`.
    world.store(world.subject())
    (row,) = rows(world, records_table)
    before = counts(world)
    left: list[object] = []

    def careless(work: Work) -> object:
        at = At(row["subject_id"], "main", "member", row["record_id"])
        numbers = work.declared.plan("customer-service", "member").numbers
        values = vault.unseal(work, Decision("customer-service", "contract", numbers), at, row["sealed"])
        assert PHONE in values.values()
        return values

    with pytest.raises(Unaudited), world.service.begin(world.desk) as work:
        careless(work)
    (outcome,) = world.together(world.desk, [careless])
    left.append(outcome)
    assert isinstance(outcome, Failure)
    assert isinstance(outcome.error, Unaudited)
    assert counts(world) == before


def test_naming_another_record_pays_nothing(world: World) -> None:
    # Broken by hand: `audit` clearing all debts instead of those it names.
    stored = world.store(world.subject())
    other = world.store(world.subject())
    found = {row["record_id"]: row for row in rows(world, records_table)}[stored.id]
    at = At(found["subject_id"], "main", "member", stored.id)

    def reads_one_and_names_another(work: Work) -> None:
        numbers = work.declared.plan("customer-service", "member").numbers
        vault.unseal(work, Decision("customer-service", "contract", numbers), at, found["sealed"])
        work.audit("record.read", record=other.id)

    with pytest.raises(Unaudited), world.service.begin(world.desk) as work:
        reads_one_and_names_another(work)
    assert not [event for event in rows(world, audit_events) if event["action"] == "record.read"]


def test_a_change_without_its_event_does_not_commit(world: World) -> None:
    # Broken by hand: `self._debts.add(None)` removed from `Work.execute`, then from `Work.add`.
    from sqlalchemy import update

    from privacy.subjects import _SUBJECTS

    subject_id = world.subject()
    before = rows(world, subjects_table)
    with pytest.raises(Unaudited), world.service.begin(world.platform) as work:
        work.execute(update(subjects_table).where(subjects_table.c.subject_id == subject_id).values(jurisdiction="DE"))
    with pytest.raises(Unaudited), world.service.begin(world.platform) as work:
        work.add(_SUBJECTS, (uuid4(), "CN", work.instant, None, None, None))
    assert rows(world, subjects_table) == before


def test_a_refused_read_opens_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # Broken by hand: `access.decide` moved behind `vault.unseal` in `records._disclose`.
    stored = world.store(world.subject())
    opened: list[object] = []
    real = container.unseal

    def watched(*arguments: Any) -> object:
        opened.append(1)
        return real(*arguments)

    monkeypatch.setattr(container, "unseal", watched)
    for purpose, by in (("marketing", "platform"), ("statistics", "analyst"), ("nowhere", "desk")):
        with pytest.raises(PrivacyError), world.service.begin(world.actor(by)) as work:
            records.read(work, stored.id, purpose=purpose)
    assert opened == []
    world.read(stored.id, "customer-service")
    assert opened == [1]
