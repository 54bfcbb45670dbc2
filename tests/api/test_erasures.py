"""Erasure over HTTP: who may ask, what it answers, and what everybody sees afterwards."""

from __future__ import annotations

from uuid import uuid4

from privacy import certificates
from tests.server import Threaded
from tests.world import PERSON, World


def test_an_erased_subject_is_gone_and_its_erasure_is_there(served: Threaded, world: World) -> None:
    subject = world.subject()
    world.store(subject)
    with served.http(world.keys["platform"]) as platform, served.http(world.keys["auditor"]) as auditor:
        made = platform.post(f"/v1/subjects/{subject}/erasures", json={})
        assert made.status_code == 201
        body = made.json()
        assert (body["state"], body["reason"], body["scope"]) == ("done", "request", {})
        assert platform.get(f"/v1/subjects/{subject}").status_code == 410
        assert platform.get(f"/v1/subjects/{subject}/records?purpose=membership").status_code == 410
        listed = auditor.get(f"/v1/subjects/{subject}/erasures").json()["items"]
        assert [one["id"] for one in listed] == [body["id"]]
        assert auditor.get(f"/v1/erasures/{body['id']}").json()["state"] == "done"
        signed = auditor.get(f"/v1/erasures/{body['id']}/certificate")
    found = certificates.verify(signed.content, [world.service.keyring.signer.public])
    assert found.says["subject"] == str(subject)
    assert not any(str(value) in signed.text for value in PERSON.values())


def test_the_same_key_asks_once_and_is_answered_again_when_the_subject_is_gone(served: Threaded, world: World) -> None:
    subject = world.subject()
    key = {"Idempotency-Key": str(uuid4())}
    with served.http(world.keys["operator"]) as operator:
        first = operator.post(f"/v1/subjects/{subject}/erasures", json={}, headers=key)
        again = operator.post(f"/v1/subjects/{subject}/erasures", json={}, headers=key)
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json() == again.json()
        assert operator.post(f"/v1/subjects/{subject}/erasures", json={}).status_code == 410


def test_what_is_asked_for_is_checked(served: Threaded, world: World) -> None:
    subject = world.subject()
    of = f"/v1/subjects/{subject}/erasures"
    with served.http(world.keys["desk"]) as desk, served.http(world.keys["auditor"]) as auditor:
        assert desk.post(of, json={"types": ["invoice"]}).json()["code"] == "not-granted"
        assert desk.post(of, json={"fields": ["phone"]}).status_code == 400
        assert desk.post(of, json={"fields": ["member.nothing"]}).json()["code"] == "undeclared"
        assert desk.post(of, json={"reason": "he is called so"}).status_code == 400
        assert auditor.post(of, json={}).status_code == 403
        assert auditor.get(f"/v1/erasures/{uuid4()}/certificate").status_code == 404
