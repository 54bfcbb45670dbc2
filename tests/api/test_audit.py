"""The routes of the audit log: search, counts, exports as a stream, and who looked at a person's data."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from api.app import create_app
from api.routing import Answer, Call, Endpoint
from privacy import errors, records
from privacy.client import PrivacyClient
from tests.api.test_access import is_problem
from tests.server import Threaded
from tests.world import PERSON, World


@pytest.fixture
def subject(world: World, platform: httpx.Client, desk: httpx.Client) -> str:
    """A person whom two components read over HTTP."""
    subject = world.subject()
    record = world.store(subject).id
    assert platform.get(f"/v1/records/{record}", params={"purpose": "membership"}).status_code == 200
    assert desk.get(f"/v1/records/{record}", params={"purpose": "customer-service"}).status_code == 200
    return str(subject)


@pytest.fixture
def client(served: Threaded, world: World) -> Iterator[PrivacyClient]:
    with served.client(world.keys["auditor"]) as made:
        yield made


def test_a_search_in_the_body_takes_an_address_and_tells_its_hash_only(
    auditor: httpx.Client, subject: str, world: World
) -> None:
    found = auditor.post("/v1/audit/events/search", json={"address": "127.0.0.1", "outcome": "disclosed"}).json()
    assert {item["actor"] for item in found["items"]} == {"desk", "platform"}
    (origin,) = {item["origin"] for item in found["items"]}
    assert origin == world.service.origin_of("127.0.0.1")
    by_hash = auditor.get("/v1/audit/events", params={"origin": origin, "outcome": "disclosed"}).json()
    assert by_hash["items"] == found["items"]
    assert auditor.post("/v1/audit/events/search", json={"address": "192.0.2.1"}).json()["items"] == []
    assert "127.0.0.1" not in json.dumps(found)
    is_problem(auditor.post("/v1/audit/events/search", json={"address": "nowhere"}), 400, "invalid")
    is_problem(auditor.get("/v1/audit/events", params={"address": "127.0.0.1"}), 400, "invalid")


def test_a_search_in_the_body_pages_like_the_other(auditor: httpx.Client, subject: str) -> None:
    whole = auditor.post("/v1/audit/events/search", json={"subject": subject}).json()["items"]
    met, cursor = [], None
    while True:
        page = auditor.post("/v1/audit/events/search", json={"subject": subject, "limit": 1, "cursor": cursor}).json()
        met += [item for item in page["items"] if item["action"] != "audit.viewed"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert met == [item for item in whole if item["action"] != "audit.viewed"]
    assert len(met) == 4


def test_only_auditors_learn_which_hash_an_address_has(served: Threaded, world: World) -> None:
    with served.http(world.keys["operator"]) as operator:
        is_problem(operator.post("/v1/audit/events/search", json={"address": "nowhere"}), 403, "not-granted")


def test_counts_follow_the_filters(auditor: httpx.Client, subject: str) -> None:
    found = auditor.get("/v1/audit/counts", params={"by": "actor", "outcome": "disclosed"}).json()
    assert found == {"items": [{"key": "desk", "count": 1}, {"key": "platform", "count": 1}], "next_cursor": None}
    hours = auditor.get("/v1/audit/counts", params={"by": "hour", "subject": subject, "actor": "desk"}).json()["items"]
    assert sum(item["count"] for item in hours) == 1
    assert hours[0]["key"].endswith(":00:00Z")
    is_problem(auditor.get("/v1/audit/counts", params={"by": "subject"}), 400, "invalid")


def test_a_person_is_told_who_looked(platform: httpx.Client, subject: str) -> None:
    found = platform.get(f"/v1/subjects/{subject}/accesses").json()
    assert {one["component"]: one["fields"] for one in found["components"]} == {
        "desk": ["id_number", "name", "phone"],
        "platform": sorted(PERSON),
    }
    newest = found["items"][0]
    assert (newest["component"], newest["masked"], newest["kind"]) == ("desk", ["phone", "id_number"], "disclosed")
    assert "key_id" not in newest
    page = platform.get(f"/v1/subjects/{subject}/accesses", params={"limit": 1}).json()
    rest = platform.get(f"/v1/subjects/{subject}/accesses", params={"limit": 1, "cursor": page["next_cursor"]}).json()
    assert [*page["items"], *rest["items"]] == found["items"]
    assert rest["components"] is None


def test_an_export_comes_as_a_stream_and_is_a_whole_zip(auditor: httpx.Client, subject: str) -> None:
    with auditor.stream("POST", "/v1/audit/exports", json={"subject": subject, "form": "csv"}) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/zip"
        assert response.headers["content-disposition"] == 'attachment; filename="audit-selection.zip"'
        assert response.headers["cache-control"] == "no-store"
        assert "content-length" not in response.headers
        data = b"".join(response.iter_raw())
    archive = zipfile.ZipFile(io.BytesIO(data))
    assert archive.testzip() is None
    assert {"events.ndjson", "events.csv", "proofs.ndjson", "checkpoint", "log.json", "bundle.json"} == set(
        archive.namelist()
    )
    assert len(archive.read("events.ndjson").splitlines()) == 5  # the export's own event among them


def test_an_export_that_is_refused_is_a_problem_and_no_zip(served: Threaded, world: World) -> None:
    for name in ("desk", "operator"):
        with served.http(world.keys[name]) as http:
            is_problem(http.post("/v1/audit/exports", json={}), 403, "not-granted")
    with served.http(world.keys["auditor"]) as http:
        is_problem(http.post("/v1/audit/exports", json={"kind": "log", "actor": "desk"}), 400, "invalid")
        is_problem(http.post("/v1/audit/exports", json={"form": "xml"}), 400, "invalid")


@pytest.mark.parametrize("fails", [True, False])
def test_an_answer_that_fails_in_its_midst_has_no_end(world: World, fails: bool) -> None:
    """The server then breaks the connection off: whoever has a part must not take it for the whole."""
    # Broken by hand: the last, empty piece sent all the same; the pieces not closed.
    closed: list[bool] = []

    def pieces() -> Iterator[bytes]:
        try:
            yield b"a part"
            if fails:
                raise KeyError("broken")
        finally:
            closed.append(True)

    async def handler(call: Call) -> Answer:
        return Answer(pieces(), media_type=b"application/zip")

    sent = asyncio.run(_asked(Endpoint("/v1/pieces", handler, methods=["GET"]), world))
    assert [message.get("body") for message in sent[1:]] == ([b"a part"] if fails else [b"a part", b""])
    assert sent[-1].get("more_body", False) is fails
    assert closed == [True]


def test_pieces_that_nobody_takes_any_more_are_not_made(world: World) -> None:
    # Broken by hand: `gone` not looked at; the pieces not closed.
    made: list[str] = []
    kept: list[Iterator[bytes]] = []  # so that no collector closes what the endpoint did not

    def pieces() -> Iterator[bytes]:
        try:
            for number in range(10_000):
                made.append(f"piece {number}")
                yield b"x"
        finally:
            made.append("closed")

    async def handler(call: Call) -> Answer:
        kept.append(pieces())
        return Answer(kept[0])

    asyncio.run(_asked(Endpoint("/v1/pieces", handler, methods=["GET"]), world, stays_seconds=0.05))
    assert 1 < len(made) < 10_000
    assert made[-1] == "closed"


async def _asked(endpoint: Endpoint, world: World, stays_seconds: float = 60) -> list[dict[str, Any]]:
    """What one request to the endpoint makes it send."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(stays_seconds)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)
        await asyncio.sleep(0.001)  # as a network takes

    key = world.keys["auditor"].encode()
    scope = {
        "type": "http", "method": "GET", "path": "/v1/pieces", "query_string": b"", "path_params": {},
        "headers": [(b"authorization", b"Bearer " + key)], "app": create_app(world.service),
    }  # fmt: skip
    await endpoint.app(scope, receive, send)
    return sent


def test_a_caller_who_leaves_an_export_blocks_nobody(auditor: httpx.Client, world: World, subject: str) -> None:
    with world.service.begin(world.auditor) as work:
        for _ in range(3000):
            work.audit("tasks.listed")
    for _ in range(10):  # more than there are threads
        with auditor.stream("POST", "/v1/audit/exports", json={}) as response:
            next(response.iter_raw())
    record = world.store(UUID(subject)).id
    with world.service.begin(world.desk) as work:
        assert records.read(work, record, purpose="customer-service").data
    assert auditor.get("/v1/audit/counts", params={"by": "action"}).status_code == 200


# --- the client


def test_the_client_searches_counts_and_exports(
    client: PrivacyClient, served: Threaded, world: World, subject: str
) -> None:
    assert {event.actor for event in client.events_from("127.0.0.1", outcome="disclosed")} == {"desk", "platform"}
    assert [(one.key, one.count) for one in client.event_counts("outcome", subject=UUID(subject), actor="desk")] == [
        ("disclosed", 1)
    ]
    file = io.BytesIO()
    client.export_audit(file, form="ocsf", subject=subject)
    archive = zipfile.ZipFile(file)
    assert "events.ocsf" in archive.namelist()
    with served.client(world.keys["platform"]) as platform:
        assert [look.component for look in platform.accesses(subject)] == ["desk", "platform"]
        desk = next(one for one in platform.access_summary(subject) if one.component == "desk")
        assert (desk.count, desk.masked, desk.purposes) == (1, ("id_number", "phone"), ("customer-service",))
        with pytest.raises(errors.Forbidden):
            platform.export_audit(io.BytesIO())
