"""No unaudited disclosure: what cannot be put on record is not disclosed and not done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID, uuid4

import httpx
import pytest

from privacy.tables import audit_events
from tests.invariants.looking import counts, rows, run
from tests.server import Service, http
from tests.world import PERSON, World

THREADS: Final = 8
BLOCKED_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 20.0

# Broken by hand: events written after the commit, in a transaction of their own; a group that takes
# AuditUnavailable for an empty success; another error in its place; answers released before the commit, on each
# kind of database.


@contextmanager
def _refusing(world: World) -> Iterator[None]:
    """The audit table takes no row."""
    if world.service.database.kind == "sqlite":
        block = ["CREATE TRIGGER blocked BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, 'blocked'); END"]
        mend = ["DROP TRIGGER blocked"]
    else:
        block = [
            "CREATE FUNCTION block() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''blocked''; END'",
            "CREATE TRIGGER blocked BEFORE INSERT ON audit_events FOR EACH ROW EXECUTE FUNCTION block()",
        ]
        mend = ["DROP TRIGGER blocked ON audit_events", "DROP FUNCTION block()"]
    run(world, *block)
    try:
        yield
    finally:
        run(world, *mend)


@contextmanager
def _missing(world: World) -> Iterator[None]:
    """The audit table is not there."""
    run(world, "ALTER TABLE audit_events RENAME TO audit_events_away")
    try:
        yield
    finally:
        run(world, "ALTER TABLE audit_events_away RENAME TO audit_events")


@dataclass(frozen=True)
class Seen:
    """One request as its caller saw it; instants of the monotonic clock."""

    way: str
    started: float
    ended: float
    request_id: str
    response: httpx.Response


@dataclass
class Callers:
    """Eight threads that read until they are told to stop."""

    url: str
    key: str
    ways: dict[str, Callable[[httpx.Client, dict[str, str]], httpx.Response]]
    seen: list[Seen] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._run, args=(n,)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def wait_for_every_way(self, since: float) -> None:
        """Until each was asked and answered after that instant; on a busy machine that may take a while."""
        until = time.monotonic() + PATIENCE_SECONDS
        while {seen.way for seen in list(self.seen) if seen.started >= since} != set(self.ways):
            assert time.monotonic() < until
            time.sleep(0.1)

    def _run(self, number: int) -> None:
        ways = list(self.ways.items())
        with http(self.url, self.key) as client:
            turn = number
            while not self._stop.is_set():
                way, ask = ways[turn % len(ways)]
                turn += 1
                request_id, started = str(uuid4()), time.monotonic()
                response = ask(client, {"X-Request-Id": request_id})
                self.seen.append(Seen(way, started, time.monotonic(), request_id, response))


def _reads(subject: UUID, record: UUID) -> dict[str, Callable[[httpx.Client, dict[str, str]], httpx.Response]]:
    purpose = {"purpose": "membership"}
    batch = {**purpose, "items": [{"record_id": str(record)}, {"subject_id": str(subject)}]}
    asked = {**purpose, "type": "member", "field": "phone", "value": PERSON["phone"]}
    return {
        "one": lambda http, ids: http.get(f"/v1/records/{record}", params=purpose, headers=ids),
        "list": lambda http, ids: http.get(f"/v1/subjects/{subject}/records", params=purpose, headers=ids),
        "search": lambda http, ids: http.post("/v1/subjects/search", json=asked, headers=ids),
        "batch": lambda http, ids: http.post("/v1/records/batch-read", json=batch, headers=ids),
        "decision": lambda http, ids: http.get(
            f"/v1/subjects/{subject}/decision", params={**purpose, "type": "member"}, headers=ids
        ),
        "refusal": lambda http, ids: http.get(f"/v1/records/{record}", params={"purpose": "no-such"}, headers=ids),
    }


@pytest.mark.parametrize("broken", [_refusing, _missing], ids=["refuses", "is-missing"])
def test_while_the_audit_cannot_be_written_nothing_is_read_and_afterwards_all_is_well(
    shared_world: World, shared_server: Service, broken: Callable[[World], Any]
) -> None:
    subject = shared_world.subject()
    record = shared_world.store(subject).id
    callers = Callers(shared_server.url, shared_world.keys["platform"], _reads(subject, record))
    with callers.at_work():
        time.sleep(0.3)
        with broken(shared_world):
            blocked_from = time.monotonic()
            time.sleep(BLOCKED_SECONDS)
            callers.wait_for_every_way(since=blocked_from)
            blocked_until = time.monotonic()
        time.sleep(0.1)
        mended = time.monotonic()
        callers.wait_for_every_way(since=mended)
    during = [seen for seen in callers.seen if blocked_from <= seen.started and seen.ended <= blocked_until]
    assert {seen.way for seen in during} == set(callers.ways)
    for seen in during:
        assert seen.response.status_code == 503, seen.way
        problem = seen.response.json()
        assert problem["code"] == "audit-unavailable"
        assert int(seen.response.headers["Retry-After"]) >= 1
        for value in PERSON.values():
            assert value not in seen.response.text
        assert str(record) not in seen.response.text
    # the same process, the same connections of the callers: nobody restarted anything
    after = [seen for seen in callers.seen if seen.started >= mended]
    assert {seen.way for seen in after} == set(callers.ways)
    for seen in after:
        assert seen.response.status_code == (403 if seen.way == "refusal" else 200), seen.way
    _every_disclosure_is_on_record(shared_world, callers.seen)


def _every_disclosure_is_on_record(shared_world: World, seen: list[Seen]) -> None:
    disclosed = {event["request_id"] for event in rows(shared_world, audit_events) if event["outcome"] == "disclosed"}
    given = {one.request_id for one in seen if PERSON["name"] in one.response.text}
    assert given
    assert given <= disclosed


def test_while_the_audit_cannot_be_written_nothing_is_changed(shared_world: World, shared_server: Service) -> None:
    subject = shared_world.subject()
    record = shared_world.store(subject).id
    shared_world.consent(subject)
    new = {"type": "member", "purposes": ["membership"], "data": {"name": "李娜"}}
    items = [{**new, "subject_id": str(subject)} for _ in range(3)]
    at = f"/v1/subjects/{subject}"
    changes: dict[str, Callable[[httpx.Client], httpx.Response]] = {
        "create": lambda http: http.post("/v1/subjects", json={"external_id": "blocked-1"}),
        "store": lambda http: http.post(f"{at}/records", json=new, headers={"Idempotency-Key": "store-1"}),
        "write batch": lambda http: http.post("/v1/records/batch-write", json={"items": items}),
        "write batch wholly": lambda http: http.post("/v1/records/batch-write", json={"mode": "all", "items": items}),
        "rectify": lambda http: http.patch(
            f"/v1/records/{record}", json={"data": {"name": "李娜"}}, headers={"If-Match": '"1"'}
        ),
        "delete": lambda http: http.delete(f"/v1/records/{record}"),
        "consent": lambda http: http.post(f"{at}/consents", json={"purpose": "marketing", "decision": "given"}),
        "withdraw": lambda http: http.post(f"{at}/consents/marketing/withdraw"),
        "view": lambda http: http.get(at),
        "consents": lambda http: http.get(f"{at}/consents"),
    }
    with (
        shared_server.http(shared_world.keys["platform"]) as http,
        shared_server.http(shared_world.keys["auditor"]) as auditor,
    ):
        before = counts(shared_world)
        with _refusing(shared_world):
            for name, change in changes.items():
                response = change(http)
                assert (response.status_code, response.json()["code"]) == (503, "audit-unavailable"), name
            assert auditor.get("/v1/audit/events").json()["code"] == "audit-unavailable"
            assert counts(shared_world) == before
        assert shared_world.read(record, "membership", by="platform").version == 1
        for name, change in changes.items():
            assert change(http).status_code in (200, 201, 204), name
        assert auditor.get("/v1/audit/events").status_code == 200


def test_an_answer_leaves_only_after_its_commit(shared_world: World, shared_server: Service) -> None:
    """At the moment when a caller holds plaintext, another connection can see the event."""
    subject = shared_world.subject()
    record = shared_world.store(subject).id
    with shared_server.http(shared_world.keys["platform"]) as client:
        for way, ask in list(_reads(subject, record).items()) * 3:
            request_id = str(uuid4())
            response = ask(client, {"X-Request-Id": request_id})
            events = [event for event in rows(shared_world, audit_events) if event["request_id"] == request_id]
            assert events, way
            if PERSON["name"] in response.text:
                assert {event["outcome"] for event in events} == {"disclosed"}
                assert {event["record_id"] for event in events} == {record}
                assert all(set(event["fields"]) == set(PERSON) for event in events)
                assert all(event["purpose"] == "membership" for event in events)
                assert all(event["basis"] == "contract" for event in events)
