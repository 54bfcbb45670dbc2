"""The contract of changes and lists: versions, pages, repetitions, batches, limits."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import httpx
import pytest

from api.shapes import BATCH
from privacy import principals
from privacy.settings import Settings
from privacy.steward import Steward
from privacy.tables import audit_events, idempotency_keys
from privacy.tables import records as records_table
from privacy.work import TERMINAL, Role
from tests.api.test_access import is_problem
from tests.invariants.looking import needles, rows
from tests.server import Threaded, in_thread
from tests.world import PERSON, PHONE, World

NEW: Final = {"type": "member", "purposes": ["membership"], "data": PERSON}
MEMBERSHIP: Final = {"purpose": "membership"}


@pytest.fixture
def subject(world: World) -> str:
    return str(world.subject())


@pytest.fixture
def record(platform: httpx.Client, subject: str) -> str:
    found: str = platform.post(f"/v1/subjects/{subject}/records", json=NEW).json()["id"]
    return found


# --- versions


def test_a_record_carries_its_version_as_an_etag(platform: httpx.Client, subject: str) -> None:
    stored = platform.post(f"/v1/subjects/{subject}/records", json=NEW)
    assert (stored.status_code, stored.headers["etag"], stored.json()["version"]) == (201, '"1"', 1)
    at = f"/v1/records/{stored.json()['id']}"
    assert platform.get(at, params=MEMBERSHIP).headers["etag"] == '"1"'
    changed = platform.patch(at, json={"data": {"name": "李娜"}}, headers={"If-Match": '"1"'})
    assert (changed.status_code, changed.headers["etag"], changed.json()["version"]) == (200, '"2"', 2)
    found = platform.get(at, params=MEMBERSHIP)
    assert found.headers["etag"] == '"2"'
    assert found.json()["data"] == PERSON | {"name": "李娜"}


def test_a_change_without_the_version_read_is_refused(platform: httpx.Client, record: str) -> None:
    at, body = f"/v1/records/{record}", {"data": {"name": "李娜"}}
    is_problem(platform.patch(at, json=body), 428, "precondition-required")
    stale = is_problem(platform.patch(at, json=body, headers={"If-Match": '"2"'}), 412, "version-mismatch")
    assert stale["version"] == 1
    is_problem(platform.delete(at, headers={"If-Match": '"7"'}), 412, "version-mismatch")
    for tag in ("1x", "*", 'W/"1"', '"1", "2"', '"-1"', '"' + "9" * 40 + '"', "", "١"):
        given = [(b"If-Match", tag.encode())]
        is_problem(platform.patch(at, json=body, headers=given), 400, "invalid")
    assert platform.get(at, params=MEMBERSHIP).json()["version"] == 1


def test_of_two_changes_of_one_version_one_is_made(platform: httpx.Client, record: str) -> None:
    at = f"/v1/records/{record}"
    answers = [
        platform.patch(at, json={"data": {"name": name}}, headers={"If-Match": '"1"'}).status_code
        for name in ("李娜", "张伟")
    ]
    assert answers == [200, 412]
    assert platform.get(at, params=MEMBERSHIP).json()["data"]["name"] == "李娜"


def test_a_deleted_record_is_not_there(platform: httpx.Client, record: str) -> None:
    at = f"/v1/records/{record}"
    gone = platform.delete(at, headers={"If-Match": '"1"'})
    assert (gone.status_code, gone.content) == (204, b"")
    is_problem(platform.get(at, params=MEMBERSHIP), 404, "not-found")
    is_problem(platform.delete(at), 404, "not-found")
    is_problem(platform.patch(at, json={"data": {"name": "x"}}, headers={"If-Match": '"1"'}), 404, "not-found")


# --- pages


def _walk(http: httpx.Client, path: str, limit: int, **params: Any) -> Iterator[list[dict[str, Any]]]:
    cursor: dict[str, str] = {}
    while True:
        page = http.get(path, params={**params, "limit": limit, **cursor}).json()
        yield page["items"]
        if page["next_cursor"] is None:
            return
        cursor = {"cursor": page["next_cursor"]}


@pytest.mark.parametrize("limit", [1, 4, 5, 100])
def test_a_walk_over_pages_meets_each_record_once(platform: httpx.Client, subject: str, limit: int) -> None:
    ids = [platform.post(f"/v1/subjects/{subject}/records", json=NEW).json()["id"] for _ in range(5)]
    pages = list(_walk(platform, f"/v1/subjects/{subject}/records", limit, **MEMBERSHIP))
    assert [item["id"] for page in pages for item in page] == ids
    assert all(0 < len(page) <= limit for page in pages)


def test_a_walk_over_the_audit_events_meets_each_once_newest_first(
    auditor: httpx.Client, world: World, subject: str
) -> None:
    owner = UUID(subject)
    for _ in range(4):
        world.store(owner)
    found = [
        item for page in _walk(auditor, "/v1/audit/events", 2, subject=subject, action="record.stored") for item in page
    ]
    stored = [str(event["event_id"]) for event in world.events(subject_id=owner, action="record.stored")]
    assert [item["id"] for item in found] == stored[::-1]


def test_every_filter_of_the_audit_events_narrows(auditor: httpx.Client, world: World, subject: str) -> None:
    stored = world.store(UUID(subject))
    world.read(stored.id, "customer-service")
    found = world.events()
    cases = {
        "subject": (subject, "subject_id", UUID(subject)),
        "actor": ("desk", "actor", "desk"),
        "purpose": ("customer-service", "purpose", "customer-service"),
        "action": ("record.stored", "action", "record.stored"),
        "outcome": ("disclosed", "outcome", "disclosed"),
    }
    for name, (sent, column, value) in cases.items():
        expected = {str(event["event_id"]) for event in found if event[column] == value}
        items = auditor.get("/v1/audit/events", params={name: sent, "limit": 1000}).json()["items"]
        # looking is on record too, and may match the filter itself
        assert {item["id"] for item in items if item["action"] != "audit.viewed"} == expected
        assert expected
    at = found[-1]["at"].isoformat()
    since = auditor.get("/v1/audit/events", params={"since": at}).json()["items"]
    until = auditor.get("/v1/audit/events", params={"until": at}).json()["items"]
    assert str(found[-1]["event_id"]) in [item["id"] for item in since]
    assert str(found[-1]["event_id"]) not in [item["id"] for item in until]
    assert len(until) == len([event for event in found if event["at"] < found[-1]["at"]])


@pytest.mark.parametrize("cursor", ["x", "AAAA", "é", "////////////////////////", "A" * 22, "%00"])
def test_a_cursor_that_is_not_ours_is_refused_or_leads_nowhere(
    platform: httpx.Client, subject: str, cursor: str
) -> None:
    found = platform.get(f"/v1/subjects/{subject}/records", params={**MEMBERSHIP, "cursor": cursor})
    if found.status_code != 200:
        is_problem(found, 400, "invalid")


# --- repetitions


def test_the_same_idempotency_key_answers_as_the_first_time_did(
    platform: httpx.Client, world: World, subject: str
) -> None:
    key = {"Idempotency-Key": "order-17"}
    first, again = (platform.post(f"/v1/subjects/{subject}/records", json=NEW, headers=key) for _ in range(2))
    assert (first.status_code, first.json()) == (again.status_code, again.json()) == (201, first.json())
    assert len(rows(world, records_table)) == 1
    other = NEW | {"data": {"name": "李娜"}}
    refused = platform.post(f"/v1/subjects/{subject}/records", json=other, headers=key)
    is_problem(refused, 422, "idempotency-key-reused")
    # as RFC 9651 would write the string, it is the same key
    quoted = platform.post(f"/v1/subjects/{subject}/records", json=NEW, headers={"Idempotency-Key": '"order-17"'})
    assert quoted.json() == first.json()
    world.clock.advance(days=1.01)
    fresh = platform.post(f"/v1/subjects/{subject}/records", json=other, headers=key)
    assert fresh.status_code == 201
    assert fresh.json()["id"] != first.json()["id"]


def test_every_change_can_be_sent_twice(platform: httpx.Client, world: World, subject: str, record: str) -> None:
    of, one = f"/v1/subjects/{subject}", f"/v1/records/{record}"
    changes: list[tuple[str, str, Any, dict[str, str]]] = [
        ("POST", "/v1/subjects", {"external_id": "member-9"}, {}),
        ("POST", "/v1/records/batch-write", {"items": [{**NEW, "subject_id": subject}] * 3}, {}),
        ("POST", "/v1/records/batch-write", {"mode": "all", "items": [{**NEW, "subject_id": subject}] * 2}, {}),
        ("PATCH", one, {"data": {"name": "李娜"}}, {"If-Match": '"1"'}),
        ("POST", f"{of}/consents", {"purpose": "marketing", "decision": "given"}, {}),
        ("POST", f"{of}/consents/marketing/withdraw", None, {}),
        ("DELETE", one, None, {"If-Match": '"2"'}),
    ]
    for method, path, body, headers in changes:
        key = {"Idempotency-Key": str(uuid4())}
        first = platform.request(method, path, json=body, headers=headers | key)
        assert first.status_code in (200, 201, 204), (path, first.text)
        before = [event for event in rows(world, audit_events) if event["action"] != "request.replayed"]
        again = platform.request(method, path, json=body, headers=headers | key)
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert again.headers.get("etag") == first.headers.get("etag")
        after = [event for event in rows(world, audit_events) if event["action"] != "request.replayed"]
        assert len(after) == len(before), path


def test_the_memory_of_an_idempotency_key_holds_no_value(platform: httpx.Client, world: World, subject: str) -> None:
    external = {"external_id": "member-of-example-cn", "born": "1990-05-01"}
    sent: list[tuple[str, Any]] = [("/v1/subjects", external), (f"/v1/subjects/{subject}/records", NEW)]
    for path, body in sent:
        platform.post(path, json=body, headers={"Idempotency-Key": str(uuid4())})
    kept = rows(world, idempotency_keys)
    assert len(kept) == len(sent)
    wanted = needles(["member-of-example-cn", "1990-05-01", PHONE, PERSON["email"], PERSON["id_number"]])
    for row in kept:
        held = json.dumps({name: str(value) for name, value in row.items()}).encode() + bytes(row["answer"])
        assert [name for form, name in wanted.items() if form in held] == []
        assert len(row["fingerprint"]) <= 32


def test_a_refused_change_is_not_remembered(platform: httpx.Client, world: World, subject: str) -> None:
    key = {"Idempotency-Key": "later"}
    marketing = NEW | {"purposes": ["marketing"], "data": {"phone": PHONE}}
    is_problem(platform.post(f"/v1/subjects/{subject}/records", json=marketing, headers=key), 403, "consent-missing")
    world.consent(UUID(subject))
    assert platform.post(f"/v1/subjects/{subject}/records", json=marketing, headers=key).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "naïve", "tab\there"])
def test_what_is_no_idempotency_key_is_refused(platform: httpx.Client, subject: str, key: str) -> None:
    found = platform.post(
        f"/v1/subjects/{subject}/records", json=NEW, headers=[(b"Idempotency-Key", key.encode("latin-1"))]
    )
    is_problem(found, 400, "invalid")


def test_an_idempotency_key_is_its_principals_own(
    platform: httpx.Client, served: Threaded, world: World, subject: str
) -> None:
    key = {"Idempotency-Key": "shared-name"}
    assert platform.post("/v1/subjects", json={}, headers=key).status_code == 201
    with served.http(world.keys["operator"]) as operator:
        assert operator.post("/v1/subjects", json={"jurisdiction": "DE"}, headers=key).status_code == 201


# --- batches


def test_a_batch_by_each_item_does_what_it_can(platform: httpx.Client, world: World, subject: str) -> None:
    good = {**NEW, "subject_id": subject}
    bad = {**good, "data": {"nickname": "x"}}
    nobody = {**good, "subject_id": str(uuid4())}
    answer = platform.post("/v1/records/batch-write", json={"items": [good, bad, nobody, good]})
    assert answer.status_code == 200
    items = answer.json()["items"]
    assert [item["status"] for item in items] == [201, 400, 404, 201]
    assert [item.get("error", {}).get("code") for item in items] == [None, "undeclared", "not-found", None]
    assert items[1]["error"]["request_id"] == answer.headers["x-request-id"]
    assert len(rows(world, records_table)) == 2


def test_a_batch_all_together_is_done_wholly_or_not_at_all(platform: httpx.Client, world: World, subject: str) -> None:
    good = {**NEW, "subject_id": subject}
    bad = {**good, "purposes": ["customer-service"]}
    body = {"mode": "all", "items": [good, bad, good]}
    items = platform.post("/v1/records/batch-write", json=body).json()["items"]
    assert [item["error"]["code"] for item in items] == ["conflict", "not-granted", "conflict"]
    assert rows(world, records_table) == []
    done = platform.post("/v1/records/batch-write", json={"mode": "all", "items": [good] * 3}).json()["items"]
    assert [item["status"] for item in done] == [201] * 3
    assert len(rows(world, records_table)) == 3


def test_a_batch_reads_records_and_subjects(desk: httpx.Client, world: World, subject: str, record: str) -> None:
    second = str(world.store(UUID(subject)).id)
    items = [
        {"record_id": record},
        {"subject_id": subject},
        {"record_id": str(uuid4())},
        {"record_id": record, "subject_id": subject},
        {},
    ]
    found = desk.post("/v1/records/batch-read", json={"purpose": "customer-service", "items": items}).json()["items"]
    assert [item["status"] for item in found] == [200, 200, 404, 400, 400]
    assert [one["id"] for one in found[0]["records"]] == [record]
    assert [one["id"] for one in found[1]["records"]] == [record, second]
    narrow = {"purpose": "customer-service", "items": items[:2], "fields": {"member": ["phone"]}}
    for item in desk.post("/v1/records/batch-read", json=narrow).json()["items"]:
        assert all(one["data"] == {"phone": "138****8000"} for one in item["records"])


def test_a_batch_item_about_a_subject_gives_all_of_its_records(platform: httpx.Client, subject: str) -> None:
    """As `PrivacyClient.read_batch` promises: as many records as there are."""
    items = [{**NEW, "subject_id": subject, "data": {"name": f"Person {n}"}} for n in range(130)]
    assert platform.post("/v1/records/batch-write", json={"items": items}).status_code == 200
    asked = {**MEMBERSHIP, "items": [{"subject_id": subject}]}
    (found,) = platform.post("/v1/records/batch-read", json=asked).json()["items"]
    assert len(found["records"]) == 130


def test_a_batch_has_at_most_a_thousand_items(platform: httpx.Client, world: World, subject: str) -> None:
    new = {**NEW, "subject_id": subject, "data": {"name": "王伟"}}
    most = platform.post("/v1/records/batch-write", json={"items": [new] * BATCH}, timeout=60)
    assert [item["status"] for item in most.json()["items"]] == [201] * BATCH
    ids = [{"record_id": item["record"]["id"]} for item in most.json()["items"]]
    read = platform.post("/v1/records/batch-read", json={**MEMBERSHIP, "items": ids}, timeout=60).json()["items"]
    assert [item["records"][0]["id"] for item in read] == [one["record_id"] for one in ids]
    is_problem(platform.post("/v1/records/batch-write", json={"items": [new] * (BATCH + 1)}), 400, "invalid")
    is_problem(platform.post("/v1/records/batch-write", json={"items": []}), 400, "invalid")
    is_problem(
        platform.post("/v1/records/batch-read", json={**MEMBERSHIP, "items": [ids[0]] * (BATCH + 1)}), 400, "invalid"
    )


# --- limits


def test_fields_narrow_what_is_read(platform: httpx.Client, subject: str, record: str) -> None:
    at = f"/v1/records/{record}"
    assert set(platform.get(at, params={**MEMBERSHIP, "fields": "name, phone"}).json()["data"]) == {"name", "phone"}
    is_problem(platform.get(at, params={**MEMBERSHIP, "fields": "nickname"}), 400, "undeclared")
    listed = platform.get(f"/v1/subjects/{subject}/records", params={**MEMBERSHIP, "fields": "email"}).json()["items"]
    assert [set(item["data"]) for item in listed] == [{"email"}]


def test_fields_narrow_a_list_of_several_types_by_what_each_type_has(
    desk: httpx.Client, world: World, subject: str, record: str
) -> None:
    world.store(UUID(subject), {"content": "…"}, type="interaction", purposes=["customer-service"], by="desk")
    listed = desk.get(f"/v1/subjects/{subject}/records", params={"purpose": "customer-service", "fields": "name"})
    assert listed.status_code == 200
    assert [item["data"] for item in listed.json()["items"] if item["type"] == "member"] == [{"name": PERSON["name"]}]


def test_an_unknown_query_parameter_is_refused_and_not_repeated(platform: httpx.Client, record: str) -> None:
    for name in ("purpose2", PHONE, "王伟"):
        found = platform.get(f"/v1/records/{record}", params={**MEMBERSHIP, name: PHONE})
        is_problem(found, 400, "invalid")
        assert PHONE not in found.text
        assert "王伟" not in found.text
    is_problem(platform.get("/v1/purposes", params={"a": "b"}), 400, "invalid")
    is_problem(platform.get(f"/v1/records/{record}?purpose=membership&purpose=tax"), 400, "invalid")
    is_problem(platform.get(f"/v1/records/{record}"), 400, "invalid")
    is_problem(platform.get(f"/v1/records/{PHONE}", params=MEMBERSHIP), 400, "invalid")


@pytest.mark.parametrize("name", ["purpose", "type", "actor", "action"])
def test_a_null_character_is_nobodys_name(
    served: Threaded, world: World, subject: str, name: str, desk: httpx.Client, auditor: httpx.Client
) -> None:
    """PostgreSQL keeps none in a text; a caller's own mistake must not read as an outage."""
    if name in ("purpose", "type"):
        params = {"purpose": "customer-service", name: "\0"}
        assert desk.get(f"/v1/subjects/{subject}/records", params=params).status_code in (400, 403)
        assert desk.get(f"/v1/subjects/{subject}/decision", params={"type": "member", **params}).status_code in (
            400,
            403,
        )
    if name != "type":
        is_problem(auditor.get("/v1/audit/events", params={name: "a\0b"}), 400, "invalid")


@pytest.fixture
def small(world: World) -> Iterator[httpx.Client]:
    """A service that takes 2,048 bytes and five requests a minute, on the world's databases."""
    settings = replace(world.service.settings, body_limit=2048, rate_per_minute=5)
    with in_thread(Steward.open(settings)) as served, served.http(world.keys["platform"]) as http:
        yield http


def test_a_body_over_the_limit_is_refused_with_and_without_its_length(small: httpx.Client) -> None:
    # Broken by hand: the size counted of the first chunk only.
    at_most = {"external_id": "x" * 200}
    assert small.post("/v1/subjects", content=json.dumps(at_most).ljust(2048).encode()).status_code == 201
    is_problem(small.post("/v1/subjects", content=json.dumps(at_most).ljust(2049).encode()), 413, "too-large")

    def chunks() -> Iterator[bytes]:
        for _ in range(6):
            yield b" " * 1024
            time.sleep(0.02)  # or they come as one

    is_problem(small.post("/v1/subjects", content=chunks()), 413, "too-large")
    is_problem(small.request("DELETE", f"/v1/records/{uuid4()}", content=b" " * 4096), 413, "too-large")


def test_a_principal_that_asks_too_often_is_told_when_to_come_back(small: httpx.Client, world: World) -> None:
    # Broken by hand: `take` never called; the bucket shared by all principals.
    answers = [small.get("/v1/purposes") for _ in range(7)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
    for left, answer in zip((4, 3, 2, 1, 0, 0, 0), answers, strict=True):
        assert answer.headers["ratelimit-policy"] == '"default";q=5;w=60'
        assert answer.headers["ratelimit"].startswith(f'"default";r={left};t=')
    is_problem(answers[-1], 429, "rate-limited")
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 12
    other = small.get("/v1/purposes", headers={"Authorization": f"Bearer {world.keys['desk']}"})
    assert other.status_code == 200
    # whoever has no key is told so, limit or not
    assert small.get("/v1/purposes", headers={"Authorization": "Bearer none"}).status_code == 401


def test_metrics_count_by_route_and_hold_no_id(platform: httpx.Client, record: str) -> None:
    platform.get(f"/v1/records/{record}", params=MEMBERSHIP)
    found = platform.get("/metrics")
    assert found.headers["content-type"].startswith("text/plain")
    line = 'steward_request_seconds_count{method="GET",route="/v1/records/{record_id}",status="200"} 1.0'
    assert line in found.text.splitlines()
    assert record not in found.text


def test_health_is_open_and_says_which_part_is_missing(
    served: Threaded, world: World, tmp_path: Path, data_url: str, keystore_url: str
) -> None:
    with served.http() as http:
        assert http.get("/healthz").json() == {"status": "ok", "parts": {}}
        ready = http.get("/readyz")
        assert ready.status_code == 200
        assert ready.json()["status"] == "ok"
        assert all(ready.json()["parts"].values())

    empty = Steward.create(Settings(home=tmp_path / "empty", database_url=data_url, keystore_url=keystore_url))
    with in_thread(empty) as unready, unready.http() as http:
        found = http.get("/readyz")
        assert found.status_code == 503
        assert found.json()["parts"]["manifest"] is False
        assert http.get("/healthz").status_code == 200


def test_the_manifest_and_its_purposes_are_told(desk: httpx.Client) -> None:
    manifest = desk.get("/v1/manifest").json()
    assert manifest["version"] == 1
    assert "示例运营有限公司" in manifest["source"]
    purposes = {item["name"]: item for item in desk.get("/v1/purposes").json()["items"]}
    assert purposes["marketing"]["basis"] == "consent"
    assert purposes["customer-service"]["uses"]["member"] == {"name": None, "phone": "phone", "id_number": "all"}
    assert purposes["statistics"]["only_anonymised"] is True


def test_a_manifest_must_be_in_force_before_anything_is_stored(
    tmp_path: Path, data_url: str, keystore_url: str
) -> None:
    service = Steward.create(Settings(home=tmp_path / "bare", database_url=data_url, keystore_url=keystore_url))
    with service.begin(TERMINAL) as work:
        key = principals.add(work, "office", role=Role.OPERATOR).key
    with in_thread(service) as served, served.http(key) as http:
        is_problem(http.post("/v1/subjects", json={}), 503, "unavailable")
        is_problem(http.get("/v1/manifest"), 503, "unavailable")
