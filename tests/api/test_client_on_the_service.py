"""`PrivacyClient` against the real service, in a process of its own: every route, and what its answers mean."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Final, Literal
from uuid import uuid4

import pytest

from privacy import errors
from privacy.client import (
    Choice,
    Decision,
    NewRecord,
    OfRecord,
    OfSubject,
    PrivacyClient,
    Record,
    Standing,
    StoredRecord,
    Withheld,
)
from privacy.errors import PrivacyError
from tests.server import serve_as
from tests.world import PERSON, PHONE, World

SOON = timedelta(minutes=1)
MISSING: Final[Mapping[Literal["zh", "en"], str]] = {
    "zh": "缺少该个人对“营销”的同意",
    "en": "The person's consent to Marketing is missing",
}


def test_the_client_drives_every_route(world: World) -> None:
    with serve_as(world.service.settings) as server:
        with (
            server.client(world.keys["platform"]) as platform,
            server.client(world.keys["desk"]) as desk,
            server.client(world.keys["operator"]) as operator,
            server.client(world.keys["auditor"]) as auditor,
        ):
            subject = _subjects(platform)
            stored = _records(platform, desk, subject)
            _decisions(desk, subject)
            _batches(platform, desk, subject)
            _notices(platform)
            _consents(platform, subject, stored)
            _choices(platform)
            _standing(platform, operator, stored, subject)
            _declared(platform)
            _events(auditor, subject, stored)
            _refusals(platform, desk, auditor, stored)
            _the_end(platform, operator, subject)
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


def _the_end(platform: PrivacyClient, operator: PrivacyClient, subject: str) -> None:
    part = operator.erase(subject, fields=["member.phone"], reason="no-longer-needed")
    assert (part.state, part.scope["fields"], part.is_certified) == ("done", ["member.phone"], True)
    whole = platform.erase(subject)
    assert (whole.subject_id, whole.reason, whole.kept) == (subject, "request", ())
    assert operator.erasures(subject) == [part, whole]
    certificate = operator.erasure_certificate(whole.id)
    assert (certificate["id"], certificate["extent"]) == (whole.id, "whole")
    with pytest.raises(errors.Undeclared):
        platform.record_life_event(platform.create_subject().id, "last-activity")


def _decisions(desk: PrivacyClient, subject: str) -> None:
    found = desk.decision(subject, purpose="customer-service", type="member")
    unused = "The purpose Customer service has no declared use for this field"
    withheld = found.withheld["email"]
    assert withheld.why is not None
    assert withheld.why.startswith(unused)
    assert found == Decision(
        purpose="customer-service",
        type="member",
        basis="contract",
        law=found.law,
        fields={"name": None, "phone": "phone", "id_number": "all"},
        withheld=dict.fromkeys(("email", "joined_at"), Withheld("not-in-purpose", ("PIPL-6",), withheld.why)),
        refusal=None,
    )
    assert found.law
    assert found.allowed


def _notices(platform: PrivacyClient) -> None:
    (published,) = platform.notices()
    assert {"marketing", "membership"} <= set(published.purposes)
    chinese, english = (platform.notice(published.version, language=language) for language in ("zh-CN", "en"))
    assert (chinese.published, chinese.language, english.language) == (published, "zh", "en")
    assert set(chinese.languages) == {"zh", "en"}
    for notice in (chinese, english):
        assert sha256(notice.text.encode()).hexdigest() == notice.digest
        shown = notice.texts["marketing"]
        assert sha256(shown.text.encode()).hexdigest() == shown.digest
        assert any(row["purpose"] == "marketing" for row in notice.collected)
        assert any(row["recipient"] == "sms-gateway" for row in notice.shared)
    with pytest.raises(errors.NotFound):
        platform.notice("no-such-version")


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
    for language, sentence in MISSING.items():
        decided = platform.decision(subject, purpose="marketing", type="member", language=language)
        assert decided.refusal is not None
        assert (decided.allowed, decided.refusal.code) == (False, "consent-missing")
        assert decided.refusal.detail.startswith(sentence)
        assert decided.withheld["phone"].why == decided.refusal.detail
    given = platform.give_consent(
        subject, purpose="marketing", notice="1", language="zh-CN", separate=True, channel="app"
    )
    assert (given.purpose, given.state, given.notice, given.separate) == ("marketing", "given", "1", True)
    assert given.expires_at is not None
    receipt = platform.receipt(subject, given.id)
    assert receipt["@type"] == "dpv:ConsentReceipt"
    assert platform.receipt(subject, given.id, format="kantara")["piiPrincipalId"] == subject
    assert platform.read(stored.id, purpose="marketing", recipient="sms-gateway").data == {"phone": PHONE}
    first = next(platform.records(subject, purpose="marketing", recipient="sms-gateway"))
    assert (first.id, first.data) == (stored.id, {"phone": PHONE})
    (undeclared,) = platform.read_batch([OfRecord(stored.id)], purpose="marketing", recipient="courier")
    assert isinstance(undeclared, errors.UndeclaredRecipient)
    between = datetime.now(UTC)
    gone = platform.withdraw_consent(subject, purpose="marketing", channel="app")
    assert (gone.id, gone.state, gone.told) == (given.id, "withdrawn", ("sms-gateway",))
    with pytest.raises(errors.ConsentMissing) as withdrawn:
        platform.read(stored.id, purpose="marketing")
    assert withdrawn.value.context["state"] == "withdrawn"
    (now,) = platform.consents(subject)
    assert (now.state, now.is_valid, now.recorded_by) == ("withdrawn", False, "platform")
    (then,) = platform.consents(subject, at=between, purpose="marketing")
    assert (then.state, then.is_valid, then.language) == ("given", True, "zh-CN")
    assert [one.state for one in platform.consents(subject, history=True)] == ["given", "withdrawn"]
    with pytest.raises(errors.CoolOff) as early:
        platform.request_consent(subject, purpose="marketing")
    assert datetime.fromisoformat(str(early.value.context["until"])) > between + timedelta(days=150)
    with pytest.raises(errors.NoticeMissing):
        platform.give_consent(subject, purpose="marketing", notice="2001-01")


def _choices(platform: PrivacyClient) -> None:
    guardian = platform.create_subject().id
    child = platform.create_subject(born=date(datetime.now(UTC).year - 10, 1, 1), guardian=guardian).id
    with pytest.raises(errors.GuardianConsentMissing):
        platform.record_choices(child, [Choice("marketing")])
    (done,) = platform.record_choices(
        child, [Choice("marketing", language="en", guardian=guardian, separate=True, channel="web")]
    )
    assert (done.state, done.by_guardian, done.separate, done.channel) == ("given", True, True, "web")
    with pytest.raises(errors.Invalid):
        platform.record_choices(child, [Choice("marketing"), Choice("marketing", "refused")])
    assert platform.request_consent(guardian, purpose="marketing", language="zh", channel="web").state == "requested"
    put_off = platform.give_consent(guardian, purpose="marketing", decision="deferred", text="以后再说", language="zh")
    assert put_off.state == "deferred"
    assert platform.decision(child, purpose="marketing", type="member").allowed


def _standing(platform: PrivacyClient, operator: PrivacyClient, stored: StoredRecord, subject: str) -> None:
    now = datetime.now(UTC)
    basis = platform.record_basis(subject, purpose="membership", starts_at=now - timedelta(days=9), reference="C-1")
    assert (basis.purpose, basis.basis, basis.ends_at) == ("membership", "contract", None)
    ended = platform.end_basis(subject, purpose="membership", channel="app")
    assert ended.ends_at is not None
    with pytest.raises(errors.BasisNotInForce):
        platform.read(stored.id, purpose="membership")
    platform.record_basis(subject, purpose="membership", starts_at=now, ends_at=now + timedelta(days=9))
    assert platform.object_to(subject, purpose="membership", reason="no more", channel="app").objected_at is not None
    with pytest.raises(errors.Objected):
        platform.read(stored.id, purpose="membership")
    with pytest.raises(errors.Forbidden):
        platform.lift_objection(subject, purpose="membership")
    assert operator.lift_objection(subject, purpose="membership").objected_at is None
    whole = platform.restrict(subject, reason="contested")
    assert whole == Standing(None, restricted_at=whole.restricted_at)
    assert platform.subject(subject).restricted_at == whole.restricted_at is not None
    assert platform.restrict(subject, purpose="membership").restricted_at is not None
    with pytest.raises(errors.Restricted):
        platform.read(stored.id, purpose="membership")
    assert [one.purpose for one in platform.standing(subject)] == [None, "membership"]
    operator.lift_restriction(subject, reason="settled")
    operator.lift_restriction(subject, purpose="membership")
    assert platform.read(stored.id, purpose="membership").id == stored.id


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
