"""The log says what was disclosed and nothing else: the fields of all answers and of all events are the same, 1:1."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final
from uuid import uuid4

import httpx

from tests.api.routes import asks
from tests.server import Service, Threaded
from tests.world import PERSON, World

# A disclosure as both sides know it: request, record, field.
Disclosed = Counter[tuple[str, str, str]]
# Values that no other part of an answer holds.
_TELLING: Final = ("phone", "email", "id_number")


def _in_answer(request_id: str, body: Any, searched: str | None) -> Iterator[tuple[str, str, str]]:
    """What an answer discloses: the fields of each record in it; of a search, the field that was found; a pseudonym."""
    if isinstance(body, dict):
        if "pseudonym" in body:  # of a subject, not of one of its records
            yield (request_id, "None", "pseudonym")
        if "data" in body and "version" in body:
            yield from ((request_id, body["id"], name) for name in body["data"])
        elif searched is not None and set(body) == {"subject_id", "record_id"}:
            yield (request_id, body["record_id"], searched)
        else:
            for inner in body.values():
                yield from _in_answer(request_id, inner, searched)
    elif isinstance(body, list):
        for inner in body:
            yield from _in_answer(request_id, inner, searched)


def _in_log(world: World) -> Disclosed:
    """What the log says was disclosed to requests; what the world's own code read has no request."""
    found: Disclosed = Counter()
    for event in world.events(outcome="disclosed"):
        for name in event["fields"] or ():
            if event["request_id"] is not None:
                found[event["request_id"], str(event["record_id"]), name] += 1
    return found


def test_every_route_that_returns_values_leaves_events_that_name_exactly_its_fields(
    served: Threaded, world: World
) -> None:
    # Broken by hand: the event of a read that names the fields asked for, not those given.
    answers: Disclosed = Counter()
    for role in ("platform", "operator", "auditor", "admin"):
        for ask in asks(world):
            request_id = str(uuid4())
            with served.http(world.keys[role]) as http:
                answer = ask.send(http, **{"X-Request-Id": request_id})
            body = json.loads(answer.content) if answer.headers.get("content-type") == "application/json" else None
            searched = ask.json["field"] if ask.path.endswith("/subjects/search") and ask.json else None
            given = Counter(_in_answer(request_id, body, searched))
            assert given or not any(str(PERSON[name]) in answer.text for name in _TELLING), ask.template
            answers += given
    assert answers
    assert _in_log(world) == answers


def test_after_a_kill_every_answer_has_its_events_and_what_more_there_is_was_under_way(
    world: World, server: Service
) -> None:
    subject = world.subject()
    stored = [world.store(subject) for _ in range(5)]
    before = _in_log(world)
    answers: Disclosed = Counter()
    sent: set[str] = set()
    guard = threading.Lock()

    def call(dice: random.Random) -> None:
        with server.http(world.keys["platform"], timeout=5) as http:
            while True:
                request_id = str(uuid4())
                with guard:
                    sent.add(request_id)
                try:
                    answer = _read(http, dice, request_id)
                except httpx.TransportError:
                    return
                with guard:
                    answers.update(_in_answer(request_id, answer.json(), None))

    def _read(http: httpx.Client, dice: random.Random, request_id: str) -> httpx.Response:
        headers = {"X-Request-Id": request_id}
        if dice.random() < 0.5:
            path = f"/v1/records/{dice.choice(stored).id}"
            return http.get(path, params={"purpose": "membership"}, headers=headers)
        items = [{"record_id": str(one.id)} for one in dice.sample(stored, 3)]
        return http.post("/v1/records/batch-read", json={"purpose": "membership", "items": items}, headers=headers)

    for turn in range(3):
        threads = [threading.Thread(target=call, args=(random.Random(turn * 10 + n),)) for n in range(4)]
        for thread in threads:
            thread.start()
        threading.Event().wait(0.6)
        server.kill()
        for thread in threads:
            thread.join()
        server.start()
    logged = _in_log(world) - before
    assert answers
    assert not answers - logged  # no answer without its events
    told = {request_id for request_id, _, _ in answers}
    more = logged - answers
    assert {request_id for request_id, _, _ in more} <= sent - told  # committed, and killed before the answer
