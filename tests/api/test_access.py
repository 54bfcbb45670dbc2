"""Who may call what: keys, roles, and what a refusal looks like."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest

from api.errors import MEDIA_TYPE
from privacy import principals
from privacy.work import TERMINAL, Role
from tests.api.routes import OPEN, asks
from tests.server import Threaded
from tests.world import PERSON, World


def is_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem in an answer, after everything that RFC 9457 and our contract say of it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == MEDIA_TYPE
    assert response.headers["cache-control"] == "no-store"
    found: dict[str, Any] = response.json()
    assert found["code"] == code
    assert found["type"] == f"urn:steward:problem:{code}"
    assert found["status"] == status
    assert found["request_id"] == response.headers["x-request-id"]
    assert isinstance(found["title"], str)
    assert isinstance(found["detail"], str)
    assert isinstance(found["law"], list)
    return found


def _damaged(key: str) -> dict[str, str]:
    return {
        "one letter changed": key[:20] + ("A" if key[20] != "A" else "B") + key[21:],
        "cut short": key[:-1],
        "longer": key + "0",
        "without its prefix": key.removeprefix("steward_"),
        "another prefix": "stuward_" + key[8:],
        "not ascii": key[:20] + "é" + key[21:],
        "only a prefix": "steward_",
    }


def test_every_operation_is_among_the_requests_of_these_tests(served: Threaded, world: World) -> None:
    with served.http() as http:
        document = http.get("/openapi.json").json()
    documented = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    asked = {(ask.method, ask.template) for ask in asks(world)}
    assert documented == asked | {("GET", path) for path in OPEN}


def test_without_a_good_key_every_route_but_health_answers_401(served: Threaded, world: World) -> None:
    # Broken by hand: another path added to `Endpoint.open_paths`.
    everything = asks(world)
    expired = world.keys["platform"]
    with world.service.begin(TERMINAL) as work:
        short = principals.add(
            work,
            "short-lived",
            role=Role.SERVICE,
            purposes=["membership"],
            types=["member"],
            expires_at=work.now + timedelta(seconds=30),
        ).key
        revoked = principals.add(work, "revoked", role=Role.AUDITOR).key
    with served.http(short) as http:
        assert http.get("/v1/purposes").status_code == 200
    with served.http(revoked) as http:
        assert http.get("/v1/purposes").status_code == 200
    with world.service.begin(TERMINAL) as work:
        principals.revoke(work, "revoked")
    world.clock.advance(seconds=31)
    bad = {"expired": short, "revoked": revoked, **_damaged(expired)}
    headers: dict[str, dict[str, str]] = {name: {"Authorization": f"Bearer {key}"} for name, key in bad.items()}
    headers |= {
        "none": {},
        "another scheme": {"Authorization": f"Basic {expired}"},
        "no scheme": {"Authorization": expired},
    }
    with served.http() as http:
        for number, (name, given) in enumerate(headers.items()):
            # Each route with each kind of bad key would say the same thing many times over; and one of a good form is
            # looked for in the database, twenty times a second.
            for ask in everything if name in ("none", "one letter changed") else everything[number % 3 :: 3]:
                encoded = [(key.encode(), value.encode()) for key, value in {**ask.headers, **given}.items()]
                response = http.request(ask.method, ask.path, json=ask.json, params=dict(ask.params), headers=encoded)
                is_problem(response, 401, "unauthenticated")
                assert response.headers["www-authenticate"] == "Bearer", name
                assert PERSON["phone"] not in response.text
        for path in OPEN:
            assert http.get(path.format(path="0/000.p/1")).status_code == 200


def test_strangers_do_not_keep_each_other_waiting(served: Threaded, world: World) -> None:
    """A well-formed key that nobody issued costs a look into the database; one look serves all who wait for it."""
    strangers = [_well_formed(number) for number in range(60)]

    with served.http() as http, ThreadPoolExecutor(20) as pool:
        found = set(pool.map(lambda key: http.get("/v1/purposes", headers=_bearer(key)).status_code, strangers))
    assert found == {401}
    assert world.service.looks < len(strangers) / 2


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _well_formed(number: int) -> str:
    """A key with a true checksum."""
    body = f"{number:043d}"
    return f"{principals.PREFIX}{body}{principals._check(body).decode()}"


def test_each_role_gets_its_own_routes_and_no_others(served: Threaded, world: World) -> None:
    # Broken by hand: `work.require` taken out of `audit.events`, of `consent.listed` and of `subjects.create`.
    everything, done = asks(world), set[str]()
    for role in ("auditor", "admin", "operator", "platform"):
        with served.http(world.keys[role]) as http:
            for ask in everything:
                response = ask.send(http)
                if role in ask.roles:
                    status = ask.again if ask.again and ask.path in done else ask.status
                    assert response.status_code == status, (role, ask.method, ask.template, response.text)
                    done.add(ask.path)
                elif "batch" in ask.path:
                    # each item of a batch is refused by itself
                    assert response.status_code == 200
                    assert {item["error"]["code"] for item in response.json()["items"]} == {"not-granted"}
                elif ask.is_hidden and role == "platform":
                    is_problem(response, 404, "not-found")
                else:
                    is_problem(response, 403, "not-granted")
                    for value in PERSON.values():
                        assert value not in response.text


def test_a_service_has_only_the_purposes_and_types_of_its_grant(served: Threaded, world: World) -> None:
    subject = world.subject()
    stored = world.store(subject)
    with served.http(world.keys["desk"]) as http:
        for purpose, status in (("customer-service", 200), ("membership", 403), ("marketing", 403), ("tax", 403)):
            assert http.get(f"/v1/records/{stored.id}", params={"purpose": purpose}).status_code == status
        new = {"type": "invoice", "purposes": ["tax"], "data": {"amount": 1}}
        is_problem(http.post(f"/v1/subjects/{subject}/records", json=new), 403, "not-granted")
        is_problem(http.post(f"/v1/subjects/{subject}/consents/marketing/withdraw"), 403, "not-granted")
        is_problem(
            http.post(f"/v1/subjects/{subject}/consents", json={"purpose": "marketing", "decision": "given"}),
            403,
            "not-granted",
        )
        item = {"record_id": str(stored.id)}
        batch = http.post("/v1/records/batch-read", json={"purpose": "membership", "items": [item, item]}).json()
        assert [found["error"]["code"] for found in batch["items"]] == ["not-granted", "not-granted"]


def test_a_request_id_that_is_a_uuid_is_taken_over_and_nothing_else_is(desk: httpx.Client) -> None:
    ours = "0192f3a4-7c1e-7b2a-9d55-0242ac120002"
    assert desk.get("/v1/purposes", headers={"X-Request-Id": ours}).headers["x-request-id"] == ours
    for other in ("王伟".encode(), b"13800138000", b"", b"x" * 4000):
        found = desk.get("/v1/purposes", headers=[(b"X-Request-Id", other)]).headers["x-request-id"]
        assert found.encode() != other
        assert len(found) == 36


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not-found"),
        ("GET", "/v1/nothing", 404, "not-found"),
        ("GET", "/v1/purposes/", 404, "not-found"),
        ("PUT", "/v1/subjects", 405, "method-not-allowed"),
        ("GET", "/v1/subjects/search", 400, "invalid"),
    ],
)
def test_outside_every_route_there_is_a_problem_too(
    desk: httpx.Client, method: str, path: str, status: int, code: str
) -> None:
    response = desk.request(method, path)
    assert response.status_code == status
    assert response.headers["content-type"] == MEDIA_TYPE
    assert response.json()["code"] == code
    assert response.json()["request_id"] == response.headers["x-request-id"]
