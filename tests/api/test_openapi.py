"""The OpenAPI document: valid, complete, and kept by the service whatever it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.errors import MEDIA_TYPE
from tests.api.routes import OPEN
from tests.server import Threaded
from tests.world import PERSON, World

CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
# The service may do most, so most is tried as one. Requests for each operation and mode; of the same ones fewer on
# PostgreSQL, where what differs is below the documents.
EXAMPLES: Final = {
    "sqlite": {"platform": 8, "operator": 3, "auditor": 3, "admin": 2},
    "postgresql": {"platform": 4, "operator": 2, "auditor": 2, "admin": 1},
}
MODES: Final = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
# What makes a request meaningful. Drawn now and then in place of what was generated.
PURPOSES: Final = ("membership", "marketing", "customer-service", "nowhere", "a\0b", "王伟")
KEPT_DATA: Final = ({"name": "王伟"}, {"phone": PERSON["phone"]}, {"joined_at": "yesterday"}, {"amount": 1})


def _document(served: Threaded) -> dict[str, Any]:
    with served.http() as http:
        response = http.get("/openapi.json")
    assert response.headers["content-type"].startswith("application/json")
    found: dict[str, Any] = response.json()
    return found


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_the_document_is_valid_openapi_3_1(served: Threaded) -> None:
    document = _document(served)
    assert document["openapi"].startswith("3.1")
    schemathesis.openapi.from_dict(document).validate()
    assert document["info"]["license"]["identifier"] == "Apache-2.0"


def test_every_operation_says_what_it_answers(served: Threaded) -> None:
    for path, method, operation in _operations(_document(served)):
        name = f"{method} {path}"
        assert operation["summary"], name
        assert operation["description"], name
        good = {status: answer for status, answer in operation["responses"].items() if status.startswith("2")}
        assert len(good) == 1, name
        ((status, answer),) = good.items()
        if status != "204":
            assert answer["content"], name
            for content in answer["content"].values():
                assert content["schema"], name


def test_every_operation_documents_its_errors(served: Threaded) -> None:
    for path, method, operation in _operations(_document(served)):
        name = f"{method} {path}"
        if path in OPEN:
            assert "security" not in operation, name
            continue
        assert operation["security"] == [{"key": []}], name
        wrong = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
        assert {"400", "401", "429", "500", "503"} <= set(wrong), name
        takes = {parameter["name"] for parameter in operation.get("parameters", [])}
        if "requestBody" in operation:
            assert "413" in wrong, name
        if "Idempotency-Key" in takes:
            assert {"409", "422"} <= set(wrong), name
        if "If-Match" in takes:
            assert "412" in wrong, name
        for status, answer in wrong.items():
            content = answer["content"][MEDIA_TYPE]
            assert content["schema"]["$ref"].endswith("/Problem"), name
            assert content["example"]["status"] == int(status), name


def test_every_change_takes_an_idempotency_key_and_nothing_else_does(served: Threaded) -> None:
    questions = {
        "/v1/subjects/search",
        "/v1/records/batch-read",
        "/v1/audit/events/search",
        "/v1/audit/exports",
        "/v1/audit/exposure",
        "/v1/scan",
        "/v1/redact",
        "/v1/statistics",
        "/v1/subjects/{subject_id}/pseudonyms",
    }
    for path, method, operation in _operations(_document(served)):
        takes = {parameter["name"] for parameter in operation.get("parameters", [])}
        is_change = method != "get" and path not in questions
        assert ("Idempotency-Key" in takes) == is_change, f"{method} {path}"


def test_no_personal_value_has_a_place_in_a_url(served: Threaded) -> None:
    """Paths and queries hold ids, declared names, filters and cursors."""
    known = {
        "subject_id", "record_id", "purpose", "type", "fields", "limit", "cursor", "history", "at", "recipient",
        "consent_id", "format", "event", "position", "event_id", "old", "new", "path", "alert_id", "month", "state",
        "version", "language", "task_id", "notification_id", "erasure_id",
            "hold_id", "dry_run", "all", "release_id", "due",
        "subject", "actor", "role", "field", "basis", "action", "outcome", "since", "until", "request_id", "key_id",
        "origin", "by", "Idempotency-Key", "If-Match", "job", "item", "confirmation_id",
    }  # fmt: skip
    for path, method, operation in _operations(_document(served)):
        assert {parameter["name"] for parameter in operation.get("parameters", [])} <= known, f"{method} {path}"


@pytest.mark.parametrize("role", EXAMPLES["sqlite"])
def test_whatever_is_sent_the_answer_is_a_documented_one(role: str, served: Threaded, world: World) -> None:
    # Broken by hand: 403 left out of a route's responses; a handler that lets a KeyError out.
    subject = world.subject()
    world.consent(subject)
    record = world.store(subject).id
    schema = schemathesis.openapi.from_dict(_document(served))
    headers = {"Authorization": f"Bearer {world.keys[role]}"}
    for found in schema.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]  # an invalid one fails here
        for mode in MODES if _takes_anything(operation) else MODES[:1]:

            @settings(
                max_examples=EXAMPLES[world.service.database.kind][role],
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
                derandomize=True,
                database=None,
            )
            @given(case=operation.as_strategy(generation_mode=mode), dice=st.randoms(use_true_random=False))
            def ask(case: Any, dice: Any) -> None:
                _made_meaningful(case, dice, subject, record)
                case.call_and_validate(base_url=served.url, headers=headers, checks=CHECKS, timeout=20)

            ask()


def _takes_anything(operation: Any) -> bool:
    """Whether there is a way to ask wrongly."""
    raw = operation.definition.raw
    return bool(raw.get("parameters") or raw.get("requestBody"))


def _made_meaningful(case: Any, dice: Any, subject: UUID, record: UUID) -> None:
    """Half of the time, name what there is, so that requests get past the first look."""
    path = case.path_parameters or {}
    for name, value in (("subject_id", str(subject)), ("record_id", str(record)), ("purpose", "marketing")):
        if name in path and dice.random() < 0.7:
            path[name] = value
    for place in (case.query, case.body):
        if isinstance(place, dict):
            for name, choices in (
                ("purpose", PURPOSES),
                ("purposes", [["membership"], ["marketing"], ["nowhere"]]),
                ("type", ("member", "invoice", "subject", "王伟")),
                ("field", ("phone", "name", "external_id", "nothing")),
                ("data", KEPT_DATA),
                ("fields", ("name,phone", "", "nothing")),
            ):
                if name in place and dice.random() < 0.5 and not (name == "fields" and place is case.body):
                    place[name] = dice.choice(choices)
            for item in place.get("items", []) if isinstance(place.get("items"), list) else []:
                if isinstance(item, dict) and dice.random() < 0.7:
                    item["subject_id"] = str(subject)
                    if "data" in item:
                        item |= {"type": "member", "purposes": ["membership"], "data": dice.choice(KEPT_DATA)}
