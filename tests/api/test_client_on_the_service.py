"""`PrivacyClient` against the real service, in a process of its own: every route, and what its answers mean."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest

from privacy import errors
from privacy.client import Decision, NewRecord, OfRecord, OfSubject, PrivacyClient, Record, StoredRecord, Withheld
from privacy.errors import PrivacyError
from tests.server import serve_as
from tests.world import PERSON, PHONE, World

SOON = timedelta(minutes=1)


def test_the_client_drives_every_route(world: World) -> None:
    with serve_as(world.service.settings) as server:
        with (
            server.client(world.keys["platform"]) as platform,
            server.client(world.keys["desk"]) as desk,
            server.client(world.keys["auditor"]) as auditor,
        ):
            subject = _subjects(platform)
            stored = _records(platform, desk, subject)
            _decisions(desk, subject)
            _batches(platform, desk, subject)
            _consents(platform, subject, stored)
            _declared(platform)
            _events(auditor, subject, stored)
            _refusals(platform, desk, auditor, stored)
        _keys(server.url, world)


def _subjects(platform: PrivacyClient) -> str:
    guardian = platform.create_subject(jurisdiction="CN")
    made = platform.create_subject(
        external_id="member-1", jurisdiction="CN", born=date(2015, 6, 1), guardian=guardian.id
    )
    assert made.jurisdiction == "CN"
    assert made.created_at is not None
    assert abs(made.created_at - datetime.now(UTC)) < SOON
    assert platform.subject(made.id) == made
    hits = platform.search(type="subject", field="external_id", value="member-1", purpose="membership")
    assert [hit.subject_id for hit in hits] == [made.id]
    with pytest.raises(errors.Conflict):
        platform.create_subject(external_id="member-1")
    return platform.create_subject().id


def _records(platform: PrivacyClient, desk: PrivacyClient, subject: str) -> StoredRecord:
    stored = platform.store(subject, type="member", purposes=["membership"], data=PERSON)
    assert (stored.type, stored.version) == ("member", 1)
    assert stored.levels == {"name": "L3", "phone": "L3", "email": "L3", "id_number": "L4", "joined_at": "L2"}
    assert stored.expires_at > datetime.now(UTC) + timedelta(days=3 * 365 - 1)
    assert platform.read(stored.id, purpose="membership") == Record(stored.id, subject, "member", 1, PERSON, {})
    seen = desk.read(stored.id, purpose="customer-service", fields=["name", "phone", "email"])
    assert seen.data == {"name": PERSON["name"], "phone": "138****8000"}
    assert seen.withheld == {"email": Withheld("not-in-purpose", ("PIPL-6",))}
    assert [record.id for record in desk.records(subject, purpose="customer-service", type="member")] == [stored.id]
    for _ in range(101):
        platform.store(subject, type="member", purposes=["membership"], data={"name": "王伟"})
    assert len({record.id for record in platform.records(subject, purpose="membership")}) == 102
    changed = platform.rectify(stored.id, version=1, data={"name": "李娜", "email": None})
    assert (changed.id, changed.version, changed.expires_at) == (stored.id, 2, stored.expires_at)
    assert "email" not in platform.read(stored.id, purpose="membership").data
    with pytest.raises(errors.VersionMismatch) as stale:
        platform.rectify(stored.id, version=1, data={"name": "王伟"})
    assert stale.value.context["version"] == 2
    hits = desk.search(type="member", field="phone", value="+86 138-0013-8000", purpose="customer-service")
    assert (subject, stored.id) in [(hit.subject_id, hit.record_id) for hit in hits]
    gone = platform.store(subject, type="member", purposes=["membership"], data={"name": "王伟"})
    platform.delete(gone.id, version=1)
    with pytest.raises(errors.NotFound):
        platform.delete(gone.id)
    return changed


def _decisions(desk: PrivacyClient, subject: str) -> None:
    found = desk.decision(subject, purpose="customer-service", type="member")
    assert found == Decision(
        purpose="customer-service",
        type="member",
        basis="contract",
        law=found.law,
        fields={"name": None, "phone": "phone", "id_number": "all"},
        withheld=dict.fromkeys(("email", "joined_at"), Withheld("not-in-purpose", ("PIPL-6",))),
        refusal=None,
    )
    assert found.law
    assert found.allowed


def _batches(platform: PrivacyClient, desk: PrivacyClient, subject: str) -> None:
    good = NewRecord(subject, "member", ["membership"], {"name": "王伟", "joined_at": date(2026, 1, 31)})
    bad = NewRecord(subject, "member", ["membership"], {"nickname": "x"})
    stored, refused = platform.write_batch([good, bad], atomic=False)
    assert isinstance(stored, StoredRecord)
    assert isinstance(refused, errors.Undeclared)
    fallen = platform.write_batch([good, bad], atomic=True)
    assert [type(one) for one in fallen] == [errors.Conflict, errors.Undeclared]
    found = desk.read_batch(
        [OfRecord(stored.id), OfRecord(uuid4()), OfSubject(subject, "member")],
        purpose="customer-service",
        fields={"member": ["name"]},
    )
    assert isinstance(found[0], Record)
    assert found[0].data == {"name": "王伟"}
    assert isinstance(found[1], errors.NotFound)
    assert found[1].context["item"] == 1
    assert all(isinstance(one, Record) and one.subject_id == subject for one in found[2:])
    assert len(found[2:]) == 103


def _consents(platform: PrivacyClient, subject: str, stored: StoredRecord) -> None:
    with pytest.raises(errors.ConsentMissing) as missing:
        platform.read(stored.id, purpose="marketing")
    assert "PIPL-13-1" in missing.value.law
    decided = platform.decision(subject, purpose="marketing", type="member")
    assert not decided.allowed
    given = platform.give_consent(
        subject, purpose="marketing", notice="2026-01", language="zh-CN", separate=True, channel="app"
    )
    assert (given.purpose, given.state, given.notice, given.separate) == ("marketing", "given", "2026-01", True)
    assert given.expires_at is not None
    assert platform.read(stored.id, purpose="marketing").data == {"phone": PHONE}
    gone = platform.withdraw_consent(subject, purpose="marketing", channel="app")
    assert (gone.id, gone.state) == (given.id, "withdrawn")
    with pytest.raises(errors.ConsentMissing):
        platform.read(stored.id, purpose="marketing")
    assert [(one.purpose, one.state) for one in platform.consents(subject)] == [("marketing", "withdrawn")]
    assert [one.state for one in platform.consents(subject, history=True)] == ["given", "withdrawn"]


def _declared(platform: PrivacyClient) -> None:
    purposes = {purpose.name: purpose for purpose in platform.purposes()}
    assert purposes["membership"].keep == "P3Y"
    assert purposes["tax"].law == ("CN-TAX-24",)
    assert platform.health().status == "ok"


def _events(auditor: PrivacyClient, subject: str, stored: StoredRecord) -> None:
    found = [event for event in auditor.events(subject=subject, outcome="disclosed") if event.record == stored.id]
    assert {event.actor for event in found} == {"platform", "desk"}
    assert all(event.basis and event.purpose and event.subject == subject for event in found)
    first = min(found, key=lambda event: event.at)
    assert (first.action, set(first.fields)) == ("record.read", set(PERSON))
    assert first.more["role"] == "service"
    assert list(auditor.events(subject=uuid4())) == []


def _refusals(platform: PrivacyClient, desk: PrivacyClient, auditor: PrivacyClient, stored: StoredRecord) -> None:
    cases: list[tuple[PrivacyClient, str, type[PrivacyError]]] = [
        (desk, "membership", errors.Forbidden),
        (auditor, "membership", errors.Forbidden),
        (desk, "nowhere", errors.UndeclaredPurpose),
        (platform, "customer-service", errors.Forbidden),
    ]
    for client, purpose, kind in cases:
        with pytest.raises(kind) as refused:
            client.read(stored.id, purpose=purpose)
        assert type(refused.value) is kind
        assert refused.value.context["status"] == 403
        assert refused.value.context["request_id"]


def _keys(url: str, world: World) -> None:
    with PrivacyClient(url, "no-key-of-ours", retries=0) as nobody, pytest.raises(errors.Unauthenticated):
        nobody.purposes()
    with PrivacyClient(url, world.keys["analyst"]) as analyst:
        stored = world.store(world.subject())
        with pytest.raises(errors.AnonymisedOnly):
            analyst.read(stored.id, purpose="statistics")
