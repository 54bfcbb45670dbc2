"""Live consent: what one replica was told binds the next read on another."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import httpx
import pytest

from privacy import declaration, manifest, principals
from privacy.errors import ConsentMissing
from privacy.tables import micros
from privacy.work import TERMINAL
from tests.server import Service
from tests.world import MANIFEST, PERSON, World

# A thousand on PostgreSQL, where replicas are; on SQLite two processes share a disk that each commit waits for.
ROUNDS: Final = {"postgresql": 1000, "sqlite": 100}
CALLERS: Final = 4  # at a time, each with a person of its own
Pair = tuple[Service, Service]
Ask = Callable[[httpx.Client, str, str], httpx.Response]

# Every way in which a purpose that rests on consent may be served. Broken by hand: `require_basis` left out of
# `access.decide`; a change of the directory of keys, and of the manifest, never looked for.
WAYS: Final[dict[str, Ask]] = {
    "one record": lambda http, subject, record: http.get(f"/v1/records/{record}", params={"purpose": "marketing"}),
    "a subject's records": lambda http, subject, record: http.get(
        f"/v1/subjects/{subject}/records", params={"purpose": "marketing", "type": "member"}
    ),
    "a subject's records of any type": lambda http, subject, record: http.get(
        f"/v1/subjects/{subject}/records", params={"purpose": "marketing"}
    ),
    "a batch": lambda http, subject, record: http.post(
        "/v1/records/batch-read",
        json={"purpose": "marketing", "items": [{"record_id": record}, {"subject_id": subject}]},
    ),
}


def test_a_withdrawal_binds_the_very_next_read_on_another_process(shared_world: World, two_processes: Pair) -> None:
    subjects = [str(shared_world.subject()) for _ in range(CALLERS)]
    rounds = ROUNDS[shared_world.service.database.kind] // CALLERS
    with ThreadPoolExecutor(CALLERS) as pool:
        callers = [
            pool.submit(_withdraw_here_read_there, subject, rounds, shared_world.keys["platform"], two_processes)
            for subject in subjects
        ]
        assert [caller.result() for caller in callers] == [None] * CALLERS


def _withdraw_here_read_there(subject: str, rounds: int, key: str, two_processes: Pair) -> None:
    here_at, there_at = two_processes
    with here_at.http(key) as here, there_at.http(key) as there:
        stored = here.post(
            f"/v1/subjects/{subject}/records",
            json={"type": "member", "purposes": ["membership"], "data": PERSON},
        )
        record = stored.json()["id"]
        for n in range(rounds):
            one, two = (here, there) if n % 2 else (there, here)
            given = one.post(f"/v1/subjects/{subject}/consents", json={"purpose": "marketing", "decision": "given"})
            assert given.status_code == 201
            ask = list(WAYS.values())[n % len(WAYS)]
            assert PERSON["phone"] in ask(two, subject, record).text
            gone = one.post(f"/v1/subjects/{subject}/consents/marketing/withdraw")
            assert gone.status_code == 200
            refused = ask(two, subject, record)
            assert PERSON["phone"] not in refused.text
            assert "consent-missing" in refused.text, f"round {n}"


def test_a_search_for_a_withdrawn_purpose_finds_nobody(shared_world: World, two_processes: Pair) -> None:
    owner = shared_world.subject()
    # a value that no other test of this module stores
    shared_world.store(owner, {"phone": "13900139000"})
    subject = str(owner)
    key = shared_world.keys["platform"]
    asked = {"type": "member", "field": "phone", "value": "13900139000", "purpose": "marketing"}
    here_at, there_at = two_processes
    with here_at.http(key) as here, there_at.http(key) as there:
        for _ in range(5):
            here.post(f"/v1/subjects/{subject}/consents", json={"purpose": "marketing", "decision": "given"})
            assert [hit["subject_id"] for hit in there.post("/v1/subjects/search", json=asked).json()["items"]] == [
                subject
            ]
            here.post(f"/v1/subjects/{subject}/consents/marketing/withdraw")
            assert there.post("/v1/subjects/search", json=asked).json()["items"] == []


def test_a_consent_that_has_expired_is_no_consent(world: World) -> None:
    # Broken by hand: `consented` looking at the state only.
    subject = world.subject()
    ends = world.consent(subject).expires_at
    assert ends is not None
    world.service.instant = lambda: micros(ends) - 1
    stored = world.store(subject)
    assert world.read(stored.id, "marketing", by="platform").data["phone"] == PERSON["phone"]
    world.service.instant = lambda: micros(ends)
    assert world.read(stored.id, "membership", by="platform").data == PERSON
    with pytest.raises(ConsentMissing):
        world.read(stored.id, "marketing", by="platform")
    with pytest.raises(ConsentMissing):
        world.store(subject, {"phone": PERSON["phone"]}, purposes=["marketing"])


def test_a_revoked_key_stops_on_every_process_at_once(shared_world: World, two_processes: Pair) -> None:
    subject = str(shared_world.subject())
    here_at, there_at = two_processes
    with here_at.http(shared_world.keys["analyst"]) as here, there_at.http(shared_world.keys["analyst"]) as there:
        for http in (here, there):
            assert http.get(f"/v1/subjects/{subject}").status_code == 200
        with shared_world.service.begin(TERMINAL) as work:
            principals.revoke(work, "analyst")
        for http in (here, there):
            for path in ("/v1/purposes", f"/v1/subjects/{subject}", f"/v1/subjects/{subject}/consents", "/metrics"):
                assert http.get(path).status_code == 401


def test_a_new_manifest_binds_the_next_request_on_every_process(shared_world: World, two_processes: Pair) -> None:
    stored = shared_world.store(shared_world.subject())
    here_at, there_at = two_processes
    with here_at.http(shared_world.keys["desk"]) as here, there_at.http(shared_world.keys["desk"]) as there:
        for http in (here, there):
            found = http.get(f"/v1/records/{stored.id}", params={"purpose": "customer-service"})
            assert found.json()["data"]["name"] == PERSON["name"]
        with shared_world.service.begin(TERMINAL) as work:
            narrower = MANIFEST.replace("member: [name, phone.masked, id_number.masked]", "member: [phone.masked]")
            declaration.apply(work, manifest.parse(narrower, "narrower.yaml"))
        for http in (here, there):
            found = http.get(f"/v1/records/{stored.id}", params={"purpose": "customer-service"})
            assert set(found.json()["data"]) == {"phone"}
            assert PERSON["name"] not in found.text
