"""Every kind of event that the code can emit has a valid form in OCSF 1.8.0."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import jsonschema_rs
import pytest
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema  # type: ignore[import-untyped]  # ships no types

from privacy import ocsf
from privacy.audit import OUTCOMES, Event
from privacy.levels import Level
from privacy.tables import _STATES
from privacy.work import Role

ROOT: Final = Path(__file__).resolve().parents[2]
SUBJECT: Final = UUID("0198c5d2-0000-7000-8000-000000000001")
NAMES: Final = {3004: "entity_management", 6003: "api_activity", 6005: "datastore_activity"}


def event(action: str, outcome: str = "done", **members: Any) -> Event:
    whole: dict[str, Any] = {
        "id": SUBJECT, "at": datetime(2026, 11, 22, 8, 0, 0, 123456, UTC), "actor": "desk", "role": "service",
        "action": action, "outcome": outcome, "subject": None, "record": None, "purpose": None, "basis": None,
        "fields": (), "detail": None, "request_id": None, "position": None, "writer": SUBJECT, "sequence": 7,
        "key_id": None, "origin": None, "digest": None, "commitment": None,
    }  # fmt: skip
    return Event(**(whole | members))


def full(action: str, outcome: str = "done", **members: Any) -> Event:
    """An event with everything that one can have."""
    return event(
        action, outcome, subject=SUBJECT, record=SUBJECT, purpose="marketing", basis="consent",
        fields=("name", "phone"),
        detail={"type": "member", "masked": ["phone"], "recipient": "sms-gateway", "principal": "desk"},
        request_id=str(SUBJECT), position=12, key_id="00ff00ff00ff00ff", origin="ab" * 16, digest="cd" * 32,
        commitment="ef" * 32, **members,
    )  # fmt: skip


@lru_cache
def _validator(class_uid: int, profiles: tuple[str, ...]) -> Any:
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=ocsf.VERSION))
    made = schema.get_class_schema(class_name=NAMES[class_uid], profiles=list(profiles))
    return jsonschema_rs.validator_for(made)


def is_valid(found: dict[str, Any]) -> None:
    """Raises unless OCSF's own schema takes it, and the numbers belong together."""
    plain = json.loads(json.dumps(found))
    _validator(plain["class_uid"], tuple(plain["metadata"].get("profiles", ()))).validate(plain)
    assert plain["type_uid"] == plain["class_uid"] * 100 + plain["activity_id"]
    assert plain["category_uid"] == plain["class_uid"] // 1000


def emitted() -> dict[str, str]:
    """Every action that the code names for an event, and where."""
    found: dict[str, str] = {}
    for folder in ("privacy", "api", "jobs", "cli"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                for action in _actions(_named(node), file):
                    found.setdefault(action, f"{file.relative_to(ROOT)}:{node.lineno}")  # type: ignore[attr-defined]
    return found


def _named(node: ast.AST) -> ast.expr | None:
    """The argument that names an action: of `work.audit`, `work.concerns`, or a function that passes it on to them."""
    match node:
        case ast.Call(func=ast.Attribute(attr="audit" | "concerns"), args=[action, *_]):
            return action
        case ast.Call(func=ast.Attribute(attr="checked") | ast.Name(id="_on_record"), args=[_, action, *_]):
            return action
        case ast.Call(func=ast.Attribute(attr="gather"), keywords=keywords):
            return next((one.value for one in keywords if one.arg == "action"), None)
    return None


def _actions(argument: ast.expr | None, file: Path) -> Iterator[str]:
    match argument:
        case None:
            return
        case ast.Constant(value=str(action)):
            yield action
        case ast.Name(id="action"):  # passed on by a function of ours whose callers are looked at by themselves
            return
        case ast.Name() | ast.Attribute():
            yield _constant(ast.unparse(argument), file)
        case ast.BoolOp(values=values):
            for value in values:
                yield from _actions(value, file)
        case ast.IfExp(body=body, orelse=orelse):
            yield from _actions(body, file)
            yield from _actions(orelse, file)
        case ast.JoinedStr(values=[ast.Constant(value="consent."), _]):
            yield from (f"consent.{state.strip(chr(39))}" for state in _STATES.split(", "))
        case _:
            raise AssertionError(f"an action that this test cannot read: {ast.unparse(argument)}")


def _constant(name: str, file: Path) -> str:
    """The text that a dotted name stands for in the module of that file."""
    found: Any = import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
    for part in name.split("."):
        found = getattr(found, part)
    assert isinstance(found, str), f"{name} in {file.name} is no text"
    return found


EMITTED: Final = emitted()


def test_what_the_code_names_is_found() -> None:
    for action in ("record.read", "consent.withdrawn", "consent.given", "request", "audit.heartbeat"):
        assert action in EMITTED


@pytest.mark.parametrize("action", sorted(EMITTED))
def test_every_kind_of_event_that_the_code_emits_is_valid_ocsf(action: str) -> None:
    # Broken by hand: an action left out of `KINDS`; a class_uid without its activity.
    assert action in ocsf.KINDS, f"{EMITTED[action]} names {action}, which privacy/ocsf.py does not map"
    for outcome in OUTCOMES:
        for made in (event(action, outcome), full(action, outcome)):
            is_valid(ocsf.mapped(made, product="1.2.3"))


def test_an_action_of_another_version_is_still_exported() -> None:
    is_valid(ocsf.mapped(full("something.long-gone"), product="1"))


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("level", [None, *Level])
def test_every_role_and_level_has_its_name(role: Role, level: Level | None) -> None:
    for action in ("record.read", "subject.searched", "consent.given"):
        is_valid(ocsf.mapped(full(action, role=role.value), product="1", level=level))


def test_a_disclosure_tells_who_what_when_and_how_it_is_classified() -> None:
    found = ocsf.mapped(full("record.read", "disclosed"), product="1.2.3", level=Level.L4)
    assert (found["class_uid"], found["type_uid"], found["activity_name"]) == (6003, 600302, "Read")
    assert found["time"] == 1795334400123
    assert found["actor"]["user"] == {
        "name": "desk", "type_id": 4, "type": "Service", "credential_uid": "00ff00ff00ff00ff",
    }  # fmt: skip
    assert found["api"]["operation"] == "record.read"
    assert [one["uid"] for one in found["resources"]] == [str(SUBJECT), str(SUBJECT)]
    assert found["resources"][0]["data_classification"]["confidentiality"] == "Restricted"
    assert found["unmapped"]["fields"] == ["name", "phone"]
    assert (found["status"], found["severity"]) == ("Success", "Informational")


def test_a_refusal_is_a_failure_with_its_code_and_law() -> None:
    refused = event("record.read", "refused", detail={"code": "no-lawful-basis", "law": ["PIPL-13", "GDPR-6"]})
    found = ocsf.mapped(refused, product="1")
    assert (found["status_id"], found["status_code"], found["status_detail"]) == (
        2,
        "no-lawful-basis",
        "PIPL-13, GDPR-6",
    )
    assert found["severity_id"] == 2


def test_what_was_opened_to_be_compared_is_a_decryption() -> None:
    found = ocsf.mapped(full("subject.searched", "compared"), product="1")
    assert (found["class_uid"], found["type_uid"]) == (6005, 600510)
    assert ocsf.mapped(full("subject.searched", "disclosed"), product="1")["type_uid"] == 600504
