"""Retention and legal holds over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from privacy.tables import idempotency_keys
from tests.privacy.kept import declare, hold, rows, stored, talk
from tests.server import Threaded
from tests.world import World

SECRET = "(2026) 01-123 against wang.wei@example.cn"


@pytest.fixture
def operator(served: Threaded, world: World) -> Iterator[httpx.Client]:
    declare(world)
    with served.http(world.keys["operator"]) as client:
        yield client


def test_a_dry_run_says_what_the_run_then_does_and_the_run_is_listed(operator: httpx.Client, world: World) -> None:
    talk(world, world.subject())
    held = world.subject()
    talk(world, held)
    hold(world, subject_id=held)
    world.clock.advance(days=3 * 366)
    foretold = operator.post("/v1/retention/runs", params={"dry_run": "true"}).json()
    assert foretold["swept"]["anonymised"] == {"interaction": 1}
    assert len(stored(world)) == 2
    plan = operator.get("/v1/retention/plan").json()
    assert (plan["records"], plan["held"], plan["overdue"]) == (1, 1, 1)
    done = operator.post("/v1/retention/runs").json()
    assert done == foretold | {"dry_run": False}
    assert len(stored(world)) == 1
    (round_,) = operator.get("/v1/retention/runs").json()["items"]
    assert round_["swept"]["anonymised"] == {"interaction": 1}


def test_a_hold_is_placed_once_a_key_and_its_texts_are_remembered_nowhere_else(
    operator: httpx.Client, world: World
) -> None:
    subject = world.subject()
    new = {
        "kind": "subject",
        "subject_id": str(subject),
        "reference": SECRET,
        "reason": SECRET,
        "review_at": "2999-01-01T00:00:00Z",
    }
    answers = [operator.post("/v1/holds", json=new, headers={"Idempotency-Key": "one"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["reference"] == SECRET
    assert len(operator.get("/v1/holds").json()["items"]) == 1
    assert all(SECRET.encode() not in bytes(row["answer"]) for row in rows(world, idempotency_keys))


def test_a_refusal_for_a_hold_names_it_in_both_languages(
    operator: httpx.Client, served: Threaded, world: World
) -> None:
    subject = world.subject()
    record = world.store(subject).id
    placed = hold(world, subject_id=subject)
    for language, said in (("en", "legal hold"), ("zh", "法律保全")):
        with served.http(world.keys["platform"]) as http:
            refused = http.delete(f"/v1/records/{record}", headers={"Accept-Language": language, "If-Match": '"1"'})
        problem = refused.json()
        assert (refused.status_code, problem["code"], problem["holds"]) == (409, "on-hold", [str(placed.id)])
        assert said in problem["detail"]
    lifted = operator.post(f"/v1/holds/{placed.id}/lift", json={"reason": "settled"}).json()
    assert (lifted["lifted_for"], lifted["lifted_by"]) == ("settled", "operator")


def test_an_event_moves_the_end_of_what_is_held(served: Threaded, operator: httpx.Client, world: World) -> None:
    subject = world.subject()
    world.store(subject)
    with served.http(world.keys["platform"]) as http:
        done = http.post(f"/v1/subjects/{subject}/events", json={"event": "membership-ended"})
        refused = http.post(f"/v1/subjects/{subject}/events", json={"event": "wedding"})
    with served.client(world.keys["platform"]) as client:
        again = client.record_life_event(subject, "membership-ended", at=world.service_now())
    assert (again.subject_id, again.event, again.purposes) == (str(subject), "membership-ended", ("membership",))
    assert done.status_code == 201
    assert done.json() | {"id": "", "at": ""} == {
        "id": "",
        "at": "",
        "subject_id": str(subject),
        "event": "membership-ended",
        "purposes": ["membership"],
        "records": 1,
    }
    assert (refused.status_code, refused.json()["code"]) == (400, "undeclared")
