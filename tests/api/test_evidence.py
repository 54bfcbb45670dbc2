"""Proofs and tiles over HTTP: what anybody may read, what auditors may, and that all of it agrees."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from keys.signing import VerifierKey
from privacy import tlog
from privacy.sequencer import Sequencer
from tests.invariants.looking import rows
from tests.server import Threaded
from tests.world import PHONE, World


@pytest.fixture
def auditor(served: Threaded, world: World) -> Iterator[httpx.Client]:
    with served.http(world.keys["auditor"]) as http:
        yield http


@pytest.fixture
def size(world: World) -> int:
    """A log of some hundred events, and how many."""
    subject = world.subject()
    stored = world.store(subject)
    for _ in range(300):
        world.read(stored.id, "customer-service", fields=["name"])
    return Sequencer(world.service).catch_up()


def _checkpoint(world: World, note: str) -> tlog.Checkpoint:
    opened = tlog.open_note(note, [VerifierKey.parse(world.service.keyring.signer.vkey)])
    return tlog.Checkpoint.parse(opened.text)


def test_every_event_is_proved_to_be_under_the_signed_root(auditor: httpx.Client, world: World, size: int) -> None:
    for position in (0, 1, 255, 256, size - 1):
        found = auditor.get("/v1/audit/proofs/inclusion", params={"position": position}).json()
        checkpoint = _checkpoint(world, found["checkpoint"])
        proof = [base64.b64decode(one) for one in found["proof"]]
        leaf = bytes.fromhex(found["leaf_hash"])
        assert tlog.verify_inclusion(leaf, position, checkpoint.size, checkpoint.root, proof)
        assert not tlog.verify_inclusion(leaf, position + 1, checkpoint.size, checkpoint.root, proof)
    for beyond in (size, size + 1000):
        assert auditor.get("/v1/audit/proofs/inclusion", params={"position": beyond}).status_code == 404
    assert auditor.get("/v1/audit/proofs/inclusion", params={"event": str(UUID(int=7))}).status_code == 404


def test_a_proof_file_is_of_the_event_that_was_asked_for(auditor: httpx.Client, world: World, size: int) -> None:
    from privacy.tables import audit_positions

    placed = rows(world, audit_positions)[-1]
    asked = {"event": str(placed["event_id"]), "format": "tlog-proof"}
    file = auditor.get("/v1/audit/proofs/inclusion", params=asked)
    assert file.headers["content-type"].startswith("text/plain")
    assert file.text.startswith("c2sp.org/tlog-proof@v1\n")
    assert tlog.parse_proof_file(file.text).index == placed["position"]
    fresh = world.events()[-1]["event_id"]  # of the request just made: it is not sequenced
    assert auditor.get("/v1/audit/proofs/inclusion", params={"event": str(fresh)}).status_code == 409


def test_each_size_extends_the_ones_before(auditor: httpx.Client, world: World, size: int) -> None:
    newest = _checkpoint(world, auditor.get("/v1/audit/checkpoint").json()["note"])
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        from privacy.sequencer import tile_reader

        roots = {old: tlog.root_at(old, tile_reader(transaction)) for old in (1, 100, 256, size)}
    for old, root in roots.items():
        found = auditor.get("/v1/audit/proofs/consistency", params={"old": old}).json()
        proof = [base64.b64decode(one) for one in found["proof"]]
        assert tlog.verify_consistency(old, root, found["new"], newest.root, proof)
    assert world.events(action="audit.proved")[-1]["detail"] == {"old": size, "new": size}
    for sizes in ({"old": size + 1}, {"old": 0}, {"old": 1, "new": size + 1}, {"old": 2, "new": 1}):
        assert auditor.get("/v1/audit/proofs/consistency", params=sizes).status_code == 400


def test_hashes_are_open_and_entries_are_for_auditors_and_on_record(
    auditor: httpx.Client, served: Threaded, world: World, size: int
) -> None:
    width = size - 256
    with served.http() as anybody:
        note = anybody.get("/audit/checkpoint").text
        assert _checkpoint(world, note).size == size
        full, partial = anybody.get("/audit/tile/0/000"), anybody.get(f"/audit/tile/0/001.p/{width}")
        assert (len(full.content), len(partial.content)) == (256 * 32, width * 32)
        assert anybody.get(f"/audit/tile/0/001.p/{width + 1}").status_code == 404
        assert len(anybody.get("/audit/tile/1/000.p/1").content) == 32
        assert anybody.get("/audit/tile/1/000.p/2").status_code == 404
        assert anybody.get("/audit/tile/9/000").status_code == 404
        assert anybody.get("/audit/tile/0/nonsense").status_code in (400, 404)
        assert anybody.get("/audit/tile/entries/000").status_code == 401
    with served.http(world.keys["platform"]) as service:
        assert service.get("/audit/tile/entries/000").status_code == 403
    assert auditor.get(f"/audit/tile/entries/001.p/{width + 1}").status_code == 404
    assert len(tlog.unbundle(auditor.get(f"/audit/tile/entries/001.p/{width}").content)) == width
    bundle = auditor.get("/audit/tile/entries/000")
    found = tlog.unbundle(bundle.content)
    assert b"".join(tlog.leaf_hash(one) for one in found) == full.content
    assert PHONE.encode() not in bundle.content
    assert world.events(action="audit.viewed")[-1]["detail"] == {"first": 0, "count": 256}


def test_nothing_is_proved_before_the_first_checkpoint(auditor: httpx.Client) -> None:
    for path in ("/v1/audit/checkpoint", "/v1/audit/proofs/inclusion?position=0", "/audit/checkpoint"):
        assert auditor.get(path).status_code == 404


def test_a_call_names_its_key_and_where_it_came_from(auditor: httpx.Client, world: World) -> None:
    auditor.get("/v1/purposes")
    auditor.get("/v1/audit/proofs/inclusion", params={"position": 10**6})
    auditor.get("/v1/audit/events")
    event: Any = world.events(action="audit.viewed")[-1]
    assert event["key_id"] == world.auditor.key_id
    assert event["origin"] == world.service.origin_of("127.0.0.1")
    assert "127.0.0.1" not in str(event)
