"""Consent: the life of an act, its proof, what an end sets in motion, and what each time answers."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from privacy import consent, consent_history, declaration, manifest, notices, notifications, receipts, standing, tasks
from privacy.consent import Consent
from privacy.consent_validity import Choice
from privacy.errors import (
    Conflict,
    ConsentMissing,
    ConsentStale,
    CoolOff,
    Forbidden,
    GuardianConsentMissing,
    Invalid,
    NotFound,
    NoticeMissing,
    NoticeOutdated,
    OptedOut,
)
from privacy.tables import consent_events, consents
from privacy.work import TERMINAL
from tests.invariants.looking import rows
from tests.world import MANIFEST, PERSON, PHONE, World

CATEGORIES = ["pd:EmailAddress", "pd:TelephoneNumber"]


def act(world: World, subject: UUID, decision: Any, purpose: str = "marketing", **choice: Any) -> Consent:
    with world.service.begin(world.platform) as work:
        return consent.decide(work, subject, purpose, decision, **choice)


def withdraw(world: World, subject: UUID, purpose: str = "marketing", **options: Any) -> Consent:
    with world.service.begin(world.platform) as work:
        return consent.withdraw(work, subject, purpose, **options)


def end(world: World, subject: UUID, state: Any, **options: Any) -> Consent:
    with world.service.begin(world.actor("operator")) as work:
        return consent.end(work, subject, "marketing", state, **options)


def listed(world: World, subject: UUID, **options: Any) -> list[consent_history.Act]:
    with world.service.begin(world.auditor) as work:
        return consent_history.listed(work, subject, **options)


def put_in_force(world: World, text: str) -> None:
    wanted = manifest.parse(text, "next.yaml")
    with world.service.begin(TERMINAL) as work:
        notices.follow(work, wanted, declaration.apply(work, wanted).version)


def states(world: World, subject: UUID, **options: Any) -> list[str]:
    return [one.state for one in listed(world, subject, **options)]


# --- the proof


def test_an_act_keeps_notice_language_hash_channel_actor_and_time(world: World) -> None:
    subject = world.subject()
    given = act(world, subject, "given", language="en-GB", channel="web", separate=True, explicit=True)
    (kept,) = listed(world, subject, history=True)
    with world.service.begin(world.auditor) as work:
        shown = notices.get(work, "1").content.edition("en").purposes["marketing"]
    assert sha256(shown.text.encode()).hexdigest() == kept.digest
    assert (kept.id, kept.notice, kept.language, kept.channel) == (given.id, "1", "en-GB", "web")
    assert (kept.recorded_by, kept.at) == ("platform", given.at)
    assert (kept.separate, kept.written, kept.explicit, kept.by_guardian) == (True, False, True, False)


def test_the_exact_text_shown_is_kept_sealed_and_by_its_hash(world: World) -> None:
    text = "王伟，您同意接收短信吗？"
    subject = world.subject()
    act(world, subject, "given", text=text)
    (row,) = rows(world, consent_events)
    assert bytes(row["digest"]) == sha256(text.encode()).digest()
    assert row["sealed"] is not None
    assert text.encode() not in bytes(row["sealed"])


def test_nobody_consents_without_a_published_notice_that_says_what_is_done(world: World) -> None:
    subject = world.subject()
    with pytest.raises(NoticeMissing):
        act(world, subject, "given", notice="2025-12")
    broader = MANIFEST.replace("uses: {member: [phone, email]}", "uses: {member: [name, phone, email]}")
    wanted = manifest.parse(broader, "broader.yaml")
    with world.service.begin(TERMINAL) as work:
        declaration.apply(work, wanted)  # and no notice follows it
    with pytest.raises(NoticeOutdated):
        act(world, subject, "given")
    act(world, subject, "refused")  # a no needs no notice
    put_in_force(world, broader + "\n")
    assert act(world, subject, "given").notice == "2"
    with pytest.raises(NoticeOutdated):
        act(world, subject, "given", notice="1")


def test_nobody_consents_to_a_purpose_that_no_notice_covers(world: World) -> None:
    wider = manifest.parse(OFFERS, "wider.yaml")
    with world.service.begin(TERMINAL) as work:
        declaration.apply(work, wider)  # and no notice follows it
    subject, operator = world.subject(), world.actor("operator")
    with pytest.raises(NoticeMissing), world.service.begin(operator) as work:
        consent.decide(work, subject, "partner-offers", "given")
    with world.service.begin(operator) as work:
        assert consent.decide(work, subject, "partner-offers", "refused").notice is None


def test_a_service_sees_the_consents_of_its_own_purposes(world: World) -> None:
    subject = world.subject()
    given = act(world, subject, "given")
    with world.service.begin(world.desk) as work:
        assert consent_history.listed(work, subject) == []
        assert consent_history.listed(work, subject, history=True) == []
    with pytest.raises(NotFound), world.service.begin(world.desk) as work:
        receipts.issue(work, subject, given.id)
    with world.service.begin(world.platform) as work:
        receipts.issue(work, subject, given.id)
    (event,) = world.events(action="consent.receipt-issued", outcome="done")
    assert event["detail"]["consent"] == str(given.id)


def test_a_language_that_the_notice_has_not_is_refused(world: World) -> None:
    with pytest.raises(Invalid, match="language"):
        act(world, world.subject(), "given", language="fr")


# --- one act, one consent


def test_several_choices_are_an_act_each_and_all_or_none(world: World) -> None:
    put_in_force(world, MANIFEST.replace("    basis: contract\n    category: dpv:CustomerCare",
                                         "    basis: consent\n    consent: {separate: true}\n"
                                         "    category: dpv:CustomerCare"))  # fmt: skip
    subject = world.subject()
    both = world.actor("operator")
    choices = [Choice("marketing", "given"), Choice("customer-service", "refused")]
    with world.service.begin(both) as work:
        made = consent.record_all(work, subject, choices)
    assert [one.state for one in made] == ["given", "refused"]
    assert len({one.id for one in made}) == 2
    assert [event["action"] for event in world.events(subject_id=subject)][1:] == ["consent.given", "consent.refused"]
    other = world.subject()
    with pytest.raises(Invalid), world.service.begin(both) as work:
        consent.record_all(work, other, [Choice("marketing", "given"), Choice("membership", "given")])
    with pytest.raises(Invalid, match="same purpose"), world.service.begin(both) as work:
        consent.record_all(work, other, [Choice("marketing", "given"), Choice("marketing", "refused")])
    assert states(world, other, history=True) == []


def test_the_same_key_keeps_its_consent_and_another_notice_or_other_categories_make_a_new_one(world: World) -> None:
    subject = world.subject()
    first = act(world, subject, "given")
    again = act(world, subject, "given")
    assert (again.id, again.state) == (first.id, "renewed")
    narrower = act(world, subject, "given", categories=["pd:TelephoneNumber"])
    assert narrower.id != first.id
    assert narrower.categories == ("pd:TelephoneNumber",)
    assert act(world, subject, "given", categories=CATEGORIES).categories is None  # all of them
    with pytest.raises(Invalid, match="categories"):
        act(world, subject, "given", categories=["pd:Name"])


def test_consent_to_some_categories_gives_their_fields_and_keeps_the_others_back(world: World) -> None:
    subject = world.subject()
    stored = world.store(subject)
    act(world, subject, "given", categories=["pd:TelephoneNumber"])
    found = world.read(stored.id, "marketing", by="platform")
    assert found.data == {"phone": PHONE}
    assert found.withheld["email"].code == "category-not-consented"
    with pytest.raises(ConsentMissing, match="email"):
        world.store(subject, {"phone": PHONE, "email": PERSON["email"]}, purposes=["marketing"])
    world.store(subject, {"phone": PHONE, "email": PERSON["email"]}, purposes=["marketing", "membership"])
    with world.service.begin(world.platform) as work:
        from privacy import search

        asked = {"type": "member", "purpose": "marketing"}
        assert search.search(work, field="phone", value=PHONE, **asked)
        assert search.search(work, field="email", value=str(PERSON["email"]), **asked) == []


# --- asking


def test_nobody_is_asked_again_while_a_no_is_fresh(world: World) -> None:
    subject = world.subject()
    assert act(world, subject, "requested").state == "requested"
    said = act(world, subject, "refused")
    with pytest.raises(CoolOff) as caught:
        act(world, subject, "requested")
    until = str(caught.value.context["until"])
    assert until[:10] == (said.at + timedelta(days=181)).date().isoformat()  # six months from 22 November
    assert until[:10] in caught.value.detail
    assert until[:10] in caught.value.zh
    world.clock.advance(days=180)
    with pytest.raises(CoolOff):
        act(world, subject, "requested")
    world.clock.advance(days=2)
    assert act(world, subject, "requested").state == "requested"
    act(world, subject, "given")
    withdraw(world, subject)
    with pytest.raises(CoolOff):
        act(world, subject, "requested")
    assert act(world, subject, "given").state == "given"  # of one's own accord, at any time


def test_what_is_in_force_is_neither_asked_for_nor_put_off(world: World) -> None:
    subject = world.subject()
    act(world, subject, "deferred")
    act(world, subject, "given")
    for decision in ("requested", "deferred"):
        with pytest.raises(Conflict):
            act(world, subject, decision)
    world.clock.advance(days=366)  # it has expired
    assert act(world, subject, "requested").state == "requested"


# --- ends


def test_a_no_to_what_was_given_is_a_withdrawal_with_all_that_follows(world: World) -> None:
    subject = world.subject()
    act(world, subject, "given")
    gone = act(world, subject, "refused", channel="web")
    assert (gone.state, gone.told) == ("withdrawn", ("sms-gateway",))


def test_only_operators_revoke_and_invalidate_and_only_what_is_in_force(world: World) -> None:
    subject = world.subject()
    stored = world.store(subject)
    with pytest.raises(NotFound):
        end(world, subject, "revoked")
    for state in ("revoked", "invalidated"):
        act(world, subject, "given")
        with pytest.raises(Forbidden), world.service.begin(world.platform) as work:
            consent.end(work, subject, "marketing", state)
        assert end(world, subject, state, reference="(2026) 京 0101 民初 1 号").state == state
        with pytest.raises(ConsentMissing) as caught:
            world.read(stored.id, "marketing", by="platform")
        assert caught.value.context["state"] == state
        with pytest.raises(Conflict):
            end(world, subject, state)


def test_an_end_tells_the_recipients_and_opens_the_erasure_of_what_nothing_else_holds(world: World) -> None:
    subject = world.subject()
    act(world, subject, "given")
    alone = world.store(subject, {"phone": PHONE, "email": PERSON["email"]}, purposes=["marketing"])
    held = world.store(subject, {"phone": PHONE}, purposes=["membership", "marketing"])
    gone = withdraw(world, subject, channel="web")
    assert gone.told == ("sms-gateway",)
    assert gone.kept_for == {"membership": "contract"}
    with world.service.begin(world.actor("operator")) as work:
        (task,) = tasks.listed(work)
        (owed,) = notifications.listed(work)
    assert (task.id, task.kind, task.subject_id, task.purpose) == (gone.task_id, "erasure", subject, "marketing")
    assert task.detail["records"] == [{"id": str(alone.id), "type": "member"}]
    assert str(held.id) not in str(task.detail)
    assert (owed.kind, owed.recipient, owed.contact) == ("consent-withdrawn", "sms-gateway", "dpo@sms.example")
    with world.service.begin(world.actor("operator")) as work:
        tasks.close(work, task.id, "done")
        notifications.mark_sent(work, owed.id)
    with world.service.begin(world.actor("operator")) as work:
        assert tasks.listed(work) == []
        assert notifications.listed(work) == []
    with pytest.raises(Conflict), world.service.begin(world.actor("operator")) as work:
        tasks.close(work, task.id, "done")
    with pytest.raises(Conflict), world.service.begin(world.actor("operator")) as work:
        notifications.mark_sent(work, owed.id)


def test_a_purpose_whose_own_basis_is_gone_keeps_nothing(world: World) -> None:
    subject = world.subject()
    act(world, subject, "given")
    held = world.store(subject, {"phone": PHONE}, purposes=["membership", "marketing"])
    with world.service.begin(world.platform) as work:
        standing.object_to(work, subject, "membership")
    gone = withdraw(world, subject)
    assert gone.kept_for == {}
    with world.service.begin(world.actor("operator")) as work:
        assert tasks.listed(work)[0].detail["records"] == [{"id": str(held.id), "type": "member"}]


def test_a_field_that_only_the_ended_purpose_used_is_to_be_erased_from_a_record_that_stays(world: World) -> None:
    put_in_force(world, MANIFEST.replace('uses: {member: "*"}', "uses: {member: [name, phone]}"))
    subject = world.subject()
    act(world, subject, "given")
    data: dict[str, object] = {"phone": PHONE, "email": PERSON["email"]}
    stored = world.store(subject, data, purposes=["membership", "marketing"])
    gone = withdraw(world, subject)
    assert gone.kept_for == {"membership": "contract"}
    with world.service.begin(world.actor("operator")) as work:
        (task,) = tasks.listed(work)
    assert task.detail["records"] == [{"id": str(stored.id), "type": "member", "fields": ["email"]}]


def test_a_basis_whose_period_has_passed_for_a_record_does_not_hold_it(world: World) -> None:
    longer = MANIFEST.replace("keep: P1Y\n    consent: {expires: P1Y}", "keep: P9Y\n    consent: {expires: P9Y}")
    put_in_force(world, longer)
    subject = world.subject()
    act(world, subject, "given")
    stored = world.store(subject, {"phone": PHONE}, purposes=["membership", "marketing"])
    world.clock.advance(days=3 * 366)
    gone = withdraw(world, subject)
    assert gone.kept_for == {}
    with world.service.begin(world.actor("operator")) as work:
        assert tasks.listed(work)[0].detail["records"] == [{"id": str(stored.id), "type": "member"}]


def test_nothing_is_to_be_erased_where_another_basis_holds_it_all(world: World) -> None:
    subject = world.subject()
    act(world, subject, "given")
    world.store(subject, {"phone": PHONE}, purposes=["membership", "marketing"])
    assert withdraw(world, subject).task_id is None


# --- children


def test_a_childs_consent_is_its_guardians_and_separate_and_ends_with_childhood(world: World) -> None:
    guardian = world.subject(born="1985-03-01")
    born = (world.service_now().date().replace(day=1) - timedelta(days=13 * 365)).isoformat()
    child = world.subject(born=born, guardian=guardian)
    stored = world.store(child)
    with pytest.raises(GuardianConsentMissing):
        act(world, child, "given", separate=True)
    with pytest.raises(GuardianConsentMissing):
        world.read(stored.id, "marketing", by="platform")
    for wrong in (child, world.subject(), world.subject(born="2020-01-01")):
        with pytest.raises(Conflict):
            act(world, child, "given", separate=True, guardian=wrong)
    given = act(world, child, "given", separate=True, guardian=guardian)
    assert given.by_guardian
    assert str(guardian) not in str([row for row in rows(world, consent_events) if row["subject_id"] == child])
    assert world.read(stored.id, "marketing", by="platform").data["phone"] == PHONE
    world.clock.advance(days=360)  # the consent still runs, and the child is 14
    with pytest.raises(ConsentStale):
        world.read(stored.id, "marketing", by="platform")
    assert states(world, child) == ["stale"]
    with pytest.raises(Conflict):
        act(world, child, "given", separate=True, guardian=guardian)
    assert act(world, child, "given", separate=True).state == "renewed"
    assert world.read(stored.id, "marketing", by="platform").data["phone"] == PHONE


def test_a_guardian_is_of_age(world: World) -> None:
    child = world.subject(born="2019-01-01")
    with pytest.raises(Conflict):
        act(world, child, "given", guardian=world.subject(born="2010-06-01"))
    with pytest.raises(NotFound):
        act(world, child, "given", guardian=UUID(int=1))


# --- then and now


def test_at_answers_what_was_valid_then(world: World) -> None:
    subject = world.subject()
    moments = [world.service_now()]

    def note() -> None:
        moments.append(world.service_now())
        world.clock.advance(days=1)

    world.clock.advance(seconds=1)
    act(world, subject, "given")
    note()
    put_in_force(
        world, MANIFEST.replace("keep: P1Y\n    consent: {expires: P1Y}", "keep: P2Y\n    consent: {expires: P1Y}")
    )
    note()
    act(world, subject, "given")
    note()
    withdraw(world, subject)
    note()
    then = [[one.state for one in listed(world, subject, at=at)] for at in moments]
    assert then == [[], ["given"], ["stale"], ["renewed"], ["withdrawn"]]
    assert [len(listed(world, subject, at=at, history=True)) for at in moments] == [0, 1, 1, 2, 3]
    assert [one.is_valid for at in moments for one in listed(world, subject, at=at)] == [True, False, True, False]
    act(world, subject, "given")
    world.clock.advance(days=366)
    assert states(world, subject) == ["expired"]
    assert states(world, subject, at=moments[-1]) == ["withdrawn"]
    with pytest.raises(Invalid):
        listed(world, subject, at=world.service_now() + timedelta(days=1))


def test_a_wording_change_leaves_consents_valid_and_a_declared_material_one_does_not(world: World) -> None:
    subject = world.subject()
    stored = world.store(subject)
    act(world, subject, "given")
    with world.service.begin(TERMINAL) as work:
        draft = notices.draft(work.declared.manifest, "2026-11")
        notices.publish(work, draft)
    assert world.read(stored.id, "marketing", by="platform").data["phone"] == PHONE
    with world.service.begin(TERMINAL) as work:
        notices.publish(work, notices.draft(work.declared.manifest, "2026-12"), material=["marketing"])
    with pytest.raises(ConsentStale):
        world.read(stored.id, "marketing", by="platform")
    act(world, subject, "given")
    assert world.read(stored.id, "marketing", by="platform").data["phone"] == PHONE


def test_a_consent_from_before_notices_is_stale_and_nothing_of_it_is_lost(world: World) -> None:
    subject = world.subject()
    stored = world.store(subject)
    act(world, subject, "given")
    from sqlalchemy import update

    with world.service.begin(TERMINAL) as work:
        work.execute(update(consents).values(notice=None))
        work.audit("test")
    with pytest.raises(ConsentStale):
        world.read(stored.id, "marketing", by="platform")


# --- the signal


OFFERS = MANIFEST.replace("""  tax:
    title""", """  partner-offers:
    title: {zh: 合作伙伴优惠, en: Partner offers}
    basis: consent
    opt_out: share
    uses: {member: [phone]}
    keep: P1Y
  ads:
    title: {zh: 广告, en: Advertising}
    basis: contract
    opt_out: cross-context-advertising
    uses: {member: [email]}
    keep: P1Y
  tax:
    title""")  # fmt: skip


def test_the_signal_opts_out_of_sale_share_and_advertising_and_of_nothing_else(world: World) -> None:
    put_in_force(world, OFFERS)
    operator = world.actor("operator")
    subject = world.subject()
    world.consent(subject)
    with world.service.begin(operator) as work:
        consent.decide(work, subject, "partner-offers", "given")
    with world.service.begin(operator) as work:
        assert consent.opt_out(work, subject) == ["partner-offers", "ads"]
    with world.service.begin(operator) as work:
        assert consent.opt_out(work, subject) == []
    found = {one.purpose: one.state for one in listed(world, subject)}
    assert found == {"marketing": "given", "partner-offers": "withdrawn"}
    with world.service.begin(operator) as work:
        assert [one.purpose for one in standing.listed(work, subject) if one.objected_at] == ["ads"]
    with pytest.raises(OptedOut), world.service.begin(operator) as work:
        consent.decide(work, subject, "partner-offers", "given", signalled=True)
    with world.service.begin(operator) as work:
        consent.decide(work, subject, "marketing", "given", signalled=True)
    stranger = world.subject()
    with world.service.begin(operator) as work:
        consent.opt_out(work, stranger)
    assert {one.purpose: one.state for one in listed(world, stranger)} == {"partner-offers": "refused"}
    world.clock.advance(days=360)  # twelve months for what was opted out of
    with pytest.raises(CoolOff), world.service.begin(operator) as work:
        consent.decide(work, stranger, "partner-offers", "requested")


# --- recipients


PROVIDED = (
    MANIFEST
    + """\
  mall:
    title: {zh: 合作商城, en: Partner mall}
    kind: controller
    contact: privacy@mall.example
    jurisdiction: CN
    purposes: [marketing, membership]
  cloud:
    title: {zh: 海外云服务, en: Cloud abroad}
    kind: processor
    contact: privacy@cloud.example
    jurisdiction: DE
    purposes: [marketing]
"""
)


def test_providing_to_another_controller_or_abroad_needs_its_own_separate_consent(world: World) -> None:
    put_in_force(world, PROVIDED)
    subject = world.subject()
    stored = world.store(subject)
    world.consent(subject)
    read: dict[str, Any] = {"purpose": "marketing", "by": "platform"}
    assert world.read(stored.id, **read, recipient="sms-gateway").data["phone"] == PHONE
    for recipient, need in (("mall", "provision"), ("cloud", "export")):
        with pytest.raises(ConsentMissing):
            world.read(stored.id, **read, recipient=recipient)
        act(world, subject, "given", recipient=recipient)
        with pytest.raises(ConsentMissing) as caught:
            world.read(stored.id, **read, recipient=recipient)
        assert caught.value.context["needed"] == [need]
        act(world, subject, "given", recipient=recipient, separate=True)
        assert world.read(stored.id, **read, recipient=recipient).data["phone"] == PHONE
    assert world.events(action="record.read", outcome="disclosed")[-1]["detail"]["recipient"] == "cloud"
    # what rests on another basis needs no consent (PIPL 13, last paragraph)
    assert world.read(stored.id, purpose="membership", by="platform", recipient="mall").data["phone"] == PHONE
    with pytest.raises(Invalid):
        act(world, subject, "given", recipient="sms-gateway")
    withdraw(world, subject, recipient="mall")
    assert {(one.recipient, one.state) for one in listed(world, subject)} == {
        (None, "given"), ("mall", "withdrawn"), ("cloud", "renewed")
    }  # fmt: skip
    withdraw(world, subject)
    assert {one.state for one in listed(world, subject)} == {"withdrawn"}


def test_the_state_is_always_that_of_the_newest_act(world: World) -> None:
    subject = world.subject()
    for decision in ("requested", "deferred", "given", "given", "refused", "given"):
        act(world, subject, decision)
        with world.service.begin(world.auditor) as work:
            newest = work.execute(
                select(consent_events.c.state).order_by(consent_events.c.event_id.desc()).limit(1)
            ).scalar_one()
            assert [row.state for row in work.execute(select(consents.c.state))] == [newest]
            work.audit("test")
    assert states(world, subject, history=True) == [
        "requested", "deferred", "given", "renewed", "withdrawn", "given"
    ]  # fmt: skip
