"""Free text is looked through before it is stored: what was found is kept with it, and bounds what a purpose is given.

Patterns only: no model is loaded here, so that what is personal in these texts has a form.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import select, update

from jobs.registry import JOBS
from privacy import (
    alerts,
    at_the_door,
    consent,
    declaration,
    erasure,
    manifest,
    notices,
    principals,
    reconciling,
    records,
    rekeying,
    slots,
    stored_findings,
    vault,
    watching,
)
from privacy.at_the_door import NOTHING
from privacy.errors import Corrupt, FoundAboveLevel, Invalid, PrivacyError, Refused, Unavailable
from privacy.records import StoredRecord
from privacy.sequencer import Sequencer
from privacy.slots import Progress
from privacy.steward import Steward
from privacy.tables import records as records_table
from privacy.tables import watch_state
from privacy.vault import At, Decision
from privacy.work import TERMINAL, Role
from tests.api.test_access import is_problem
from tests.invariants.looking import rows
from tests.server import in_thread
from tests.world import MANIFEST, World

ID_NUMBER: Final = "11010519491231002X"
PHONE: Final = "13800138000"
EMAIL: Final = "wang.wei@example.cn"
ZH: Final = f"请改绑手机 {PHONE}，谢谢。"
EN: Final = f"Please write to {EMAIL} from now on."
SENSITIVE: Final = f"客户身份证号 {ID_NUMBER}，请核对。"

UNSCANNED: Final = MANIFEST.replace(
    "      content:   {level: L3, category: pd:Communication, type: text}\n",
    "      content:   {level: L3, category: pd:Communication, type: text}\n"
    "      note:      {level: L3, category: pd:Communication, type: text}\n"
    "      form:      {level: L3, category: pd:Communication, type: text}\n"
    "      remarks:   {level: L3, category: pd:Communication, type: list}\n",
)
SCANNED: Final = (
    UNSCANNED.replace("content:   {level: L3, ", "content:   {level: L3, scan: [zh, en], ")
    .replace("note:      {level: L3, ", "note:      {level: L3, scan: [zh, en], on_find: raise, ")
    .replace("form:      {level: L3, ", "form:      {level: L3, scan: [zh, en], on_find: refuse, ")
    .replace("remarks:   {level: L3, ", "remarks:   {level: L3, scan: [en, zh], ")
    .replace(
        "  marketing:\n",
        """\
  quality:
    title: {zh: 服务质量, en: Service quality}
    basis: contract
    category: dpv:ServiceMonitoring
    uses: {interaction: [channel, content.redacted, note.redacted, form.redacted, remarks.redacted]}
    keep: P2Y
  survey:
    title: {zh: 满意度调查, en: Survey}
    basis: consent
    category: dpv:ServiceMonitoring
    uses: {interaction: [channel, content, note]}
    keep: P2Y
  marketing:
""",
        1,
    )
)


# --- the world


def patterns(world: World, mode: str = "patterns") -> World:
    """No process and no model."""
    world.service.settings = replace(world.service.settings, detection=mode, detection_workers=0)  # type: ignore[arg-type]  # a mode
    return world


def apply(world: World, text: str) -> None:
    declared = manifest.parse(text, "scanned.yaml")
    with world.service.begin(TERMINAL) as work:
        notices.follow(work, declared, declaration.apply(work, declared).version)
    world.service.reload()


@pytest.fixture
def scanned(world: World) -> World:
    """The world with fields that are looked through, and a reviewer who is given them redacted."""
    apply(patterns(world), SCANNED)
    with world.service.begin(TERMINAL) as work:
        world.keys["reviewer"] = principals.add(
            work, "reviewer", role=Role.SERVICE, purposes=["quality"], types=["interaction"]
        ).key
        world.keys["surveyor"] = principals.add(
            work, "surveyor", role=Role.SERVICE, purposes=["survey"], types=["interaction"]
        ).key
    return world


def analysed(world: World, type: str | None, data: Mapping[str, object]) -> at_the_door.Analysed:
    declared = world.service.declared
    assert declared is not None
    return at_the_door.analyse(world.service, at_the_door.wanted(declared.manifest, [(type, data)]))


def store(world: World, subject_id: UUID, **data: object) -> StoredRecord:
    found = analysed(world, "interaction", data)
    with world.service.begin(world.desk) as work:
        return records.store(
            work, subject_id, type="interaction", purposes=["customer-service"], data=data, analysed=found
        )


def member(world: World, subject_id: UUID, **data: object) -> StoredRecord:
    found = analysed(world, "member", data)
    with world.service.begin(world.platform) as work:
        return records.store(work, subject_id, type="member", purposes=["membership"], data=data, analysed=found)


def rectify(world: World, stored: StoredRecord, **data: object) -> StoredRecord:
    found = analysed(world, None, data)
    with world.service.begin(world.desk) as work:
        return records.rectify(work, stored.id, version=stored.version, data=data, analysed=found)


def reviewed(world: World, record_id: UUID) -> records.Record:
    return world.read(record_id, "quality", by="reviewer")


def row(world: World, record_id: UUID) -> Mapping[str, Any]:
    return next(one for one in rows(world, records_table) if one["record_id"] == record_id)


def number(world: World, name: str) -> int:
    assert world.service.declared is not None
    return world.service.declared.number("interaction", name)


def found_in(world: World, record_id: UUID, name: str) -> stored_findings.Looked | None:
    """The findings of a field as they are stored, opened by the vault."""
    one = row(world, record_id)
    box = vault.findings_of(number(world, name))
    with world.service.begin(world.desk) as work:
        decision = Decision("[test]", "legal-obligation", frozenset(), findings=frozenset({box}))
        opened = vault.unseal(work, decision, At(one["subject_id"], "main", "interaction", record_id), one["sealed"])
        work.audit("test.opened", subject=one["subject_id"], record=record_id)
    return stored_findings.of_box(opened[box]) if box in opened else None


def entities(looked: stored_findings.Looked | None) -> list[list[tuple[str, int, int]]]:
    assert looked is not None
    return [[(one.entity, one.start, one.end) for one in each] for each in looked.found]


# --- what is kept, and what a purpose is given of it


def test_one_purpose_gets_the_text_in_clear_and_another_redacted_in_its_language(scanned: World) -> None:
    # Broken by hand: the redaction left out of `_disclose`.
    subject = scanned.subject()
    for text, hidden, instead in ((ZH, PHONE, "手机号码"), (EN, EMAIL, "E-mail address")):
        stored = store(scanned, subject, channel="chat", content=text)
        assert scanned.read(stored.id, "customer-service").data["content"] == text
        assert reviewed(scanned, stored.id).data["content"] == text.replace(hidden, f"[{instead}]")


def test_the_event_of_a_disclosure_says_what_was_redacted(scanned: World) -> None:
    stored = store(scanned, scanned.subject(), channel="chat", content=ZH)
    scanned.read(stored.id, "customer-service")
    reviewed(scanned, stored.id)
    clear, redacted = scanned.events(action="record.read")
    assert (clear["purpose"], clear["detail"]) == ("customer-service", {"type": "interaction"})
    assert redacted["purpose"] == "quality"
    assert redacted["fields"] == ["channel", "content"]
    assert redacted["detail"] == {"masked": ["content"], "redacted": ["content"], "type": "interaction"}


def test_each_text_of_a_list_is_redacted_by_itself(scanned: World) -> None:
    stored = store(scanned, scanned.subject(), remarks=["无", ZH, EN])
    shown = reviewed(scanned, stored.id).data["remarks"]
    assert isinstance(shown, list)
    assert shown[0] == "无"
    assert PHONE not in shown[1]
    assert EMAIL not in shown[2]
    assert scanned.read(stored.id, "customer-service").data["remarks"] == ["无", ZH, EN]


def test_findings_have_exact_places_and_hold_nothing_of_the_text(scanned: World) -> None:
    stored = store(scanned, scanned.subject(), content=f"𠮷先生：{ZH}", channel="chat")
    looked = found_in(scanned, stored.id, "content")
    at = f"𠮷先生：{ZH}".index(PHONE)
    assert entities(looked) == [[("CN_MOBILE", at, at + len(PHONE))]]
    assert looked is not None
    kept = json.dumps(looked.box())
    assert PHONE not in kept
    assert "先生" not in kept
    assert vault.numbers_in(row(scanned, stored.id)["sealed"]) == {
        number(scanned, "channel"), number(scanned, "content"), vault.findings_of(number(scanned, "content"))
    }  # fmt: skip


def test_no_row_and_no_event_tells_what_a_text_holds(scanned: World) -> None:
    stored = store(scanned, scanned.subject(), content=ZH)
    reviewed(scanned, stored.id)
    events = json.dumps(scanned.events(), default=str)
    assert "CN_MOBILE" not in events  # at its level nothing is reported
    assert PHONE not in events
    assert b"CN_MOBILE" not in row(scanned, stored.id)["sealed"]


def test_a_text_without_findings_is_given_as_it_is(scanned: World) -> None:
    stored = store(scanned, scanned.subject(), content="客服态度很好，谢谢。")
    assert reviewed(scanned, stored.id).data["content"] == "客服态度很好，谢谢。"


def test_findings_of_another_value_are_corrupt() -> None:
    looked = stored_findings.Looked("patterns", frozenset({"zh"}), "1", ((), ()))
    with pytest.raises(Corrupt):
        stored_findings.redacted("one text", looked)
    broken: Sequence[object] = (
        {},
        {"by": "full"},
        [],
        "x",
        {"by": "full", "in": ["zh"], "rules": "1", "found": [["x"]]},
    )
    for box in broken:
        with pytest.raises(Corrupt):
            stored_findings.of_box(box)


# --- rectified


def test_a_rectified_text_has_the_findings_of_its_new_words(scanned: World) -> None:
    # Broken by hand: the box of findings left as it was.
    stored = store(scanned, scanned.subject(), content=f"电话是{PHONE}。", note="无")
    changed = rectify(scanned, stored, content=f"没有电话，邮箱是 {EMAIL} 。")
    shown = str(reviewed(scanned, stored.id).data["content"])
    assert EMAIL not in shown
    assert shown.startswith("没有电话，邮箱是 [")
    rectify(scanned, changed, content=None)
    assert found_in(scanned, stored.id, "content") is None
    assert vault.numbers_in(row(scanned, stored.id)["sealed"]) == {
        number(scanned, "note"), vault.findings_of(number(scanned, "note"))
    }  # fmt: skip


def test_the_only_field_cannot_be_removed_so_that_its_findings_would_be_left(scanned: World) -> None:
    stored = store(scanned, scanned.subject(), content=ZH)
    with pytest.raises(Invalid):
        rectify(scanned, stored, content=None)


# --- above its level


def test_what_is_found_above_its_level_is_refused_and_nothing_is_stored(scanned: World) -> None:
    # Broken by hand: `judge` after the record was added to the work, its refusal swallowed.
    with pytest.raises(FoundAboveLevel) as refused:
        store(scanned, scanned.subject(), channel="chat", form=SENSITIVE)
    at = SENSITIVE.index(ID_NUMBER)
    assert refused.value.context["found"] == [
        {
            "field": "form", "item": 0, "entity": "CN_RESIDENT_ID", "level": "L4",
            "start": at, "end": at + len(ID_NUMBER),
        }
    ]  # fmt: skip
    for said in (refused.value.detail, refused.value.zh):
        assert ID_NUMBER not in said
        assert str(at) in said
    assert rows(scanned, records_table) == []
    (event,) = scanned.events(outcome="refused")
    assert (event["action"], event["detail"]["code"]) == ("record.stored", "found-above-level")
    assert ID_NUMBER not in json.dumps(event, default=str)


def test_a_rectification_is_refused_as_a_record_is_and_leaves_what_there_was(scanned: World) -> None:
    stored = store(scanned, scanned.subject(), form="无")
    before = row(scanned, stored.id)
    with pytest.raises(FoundAboveLevel):
        rectify(scanned, stored, form=SENSITIVE)
    assert row(scanned, stored.id) == before


def test_what_is_found_above_its_level_raises_the_records(scanned: World) -> None:
    stored = store(scanned, scanned.subject(), channel="chat", note=SENSITIVE)
    assert stored.levels == {"channel": "L2", "note": "L4"}
    assert row(scanned, stored.id)["level"] == 4
    (event,) = scanned.events(action="record.stored")
    assert event["detail"]["level"] == "L4"
    # what stays raised stays so when another field is rectified
    changed = rectify(scanned, stored, channel="phone")
    assert changed.levels == {"channel": "L2", "note": "L4"}
    assert row(scanned, stored.id)["level"] == 4
    assert rectify(scanned, changed, note="无").levels == {"channel": "L2", "note": "L3"}
    assert row(scanned, stored.id)["level"] == 3


def test_what_was_raised_to_sensitive_needs_a_consent_that_is_separate(scanned: World) -> None:
    # PIPL 29. Broken by hand: the narrowing left out of `access.decide`.
    subject = scanned.subject()
    sensitive, plain = (store(scanned, subject, channel="chat", content=ZH, note=note) for note in (SENSITIVE, "无"))

    def told(stored: StoredRecord) -> set[str]:
        shown = scanned.read(stored.id, "survey", by="surveyor")
        without = {name for name, reason in shown.withheld.items() if reason.code == "separate-consent-missing"}
        assert without == {"note"} - shown.data.keys()
        return set(shown.data)

    with scanned.service.begin(scanned.actor("surveyor")) as work:
        consent.decide(work, subject, "survey", "given")
    assert told(plain) == {"channel", "content", "note"}
    assert told(sensitive) == {"channel", "content"}
    with scanned.service.begin(scanned.actor("surveyor")) as work:
        consent.decide(work, subject, "survey", "given", separate=True)
    assert told(sensitive) == {"channel", "content", "note"}


def test_what_is_found_above_its_level_is_reported_without_its_place(scanned: World) -> None:
    stored = store(scanned, scanned.subject(), content=SENSITIVE)
    assert stored.findings == {"content": ("CN_RESIDENT_ID",)}
    assert stored.levels == {"content": "L3"}
    (event,) = scanned.events(action=at_the_door.FOUND)
    assert (event["record_id"], event["fields"]) == (stored.id, ["content"])
    assert event["detail"] == {"above": {"content": ["CN_RESIDENT_ID"]}, "type": "interaction"}
    assert scanned.read(stored.id, "customer-service").data["content"] == SENSITIVE


def test_the_privacy_office_is_alerted_once_a_day_to_what_a_principal_stores(scanned: World) -> None:
    subject = scanned.subject()
    for _ in range(3):
        store(scanned, subject, content=SENSITIVE)
    Sequencer(scanned.service).catch_up()
    with scanned.service.begin(TERMINAL) as work:
        watching.watch(work)
    with scanned.service.begin(scanned.actor("operator")) as work:
        (alert,) = (one for one in alerts.listed(work) if one.rule == "found")
    assert (alert.actor, alert.count, alert.threshold) == ("desk", 3, 1)


# --- values of another kind


OTHER_KINDS: Final = (
    ("name", ID_NUMBER, "CN_RESIDENT_ID"),
    ("name", f"王伟 {PHONE}", "CN_MOBILE"),
    ("phone", EMAIL, "EMAIL_ADDRESS"),
    ("phone", ID_NUMBER, "CN_RESIDENT_ID"),
    ("email", PHONE, "CN_MOBILE"),
    ("id_number", PHONE, "CN_MOBILE"),
)


def test_a_value_of_another_kind_is_found(scanned: World) -> None:
    # Broken by hand: the kinds not compared.
    for field, value, entity in OTHER_KINDS:
        found = analysed(scanned, "member", {field: value})
        with scanned.service.begin(scanned.platform) as work:
            record_type = work.declared.record_type("member")
            assert at_the_door.judge(work, record_type, {field: value}, found).reported == {field: (entity,)}


def test_a_value_of_another_kind_is_reported(scanned: World) -> None:
    stored = member(scanned, scanned.subject(), name=ID_NUMBER)
    assert stored.findings == {"name": ("CN_RESIDENT_ID",)}
    (event,) = scanned.events(action=at_the_door.FOUND)
    assert event["detail"]["other_kind"] == {"name": ["CN_RESIDENT_ID"]}
    assert event["detail"]["above"] == {"name": ["CN_RESIDENT_ID"]}
    assert ID_NUMBER not in json.dumps(event, default=str)


def test_values_that_look_like_what_they_are_need_no_detector(scanned: World) -> None:
    declared = scanned.service.declared
    assert declared is not None
    usual: Sequence[Mapping[str, object]] = [
        {"name": "王伟", "phone": PHONE, "email": EMAIL, "id_number": ID_NUMBER, "joined_at": "2026-01-31"},
        {"name": "Anne-Marie O'Neil", "phone": "+44 7700 900123", "email": "a@example.org"},
        {"name": "阿依古丽·买买提", "phone": "138 0013 8000"},
    ]
    assert at_the_door.wanted(declared.manifest, [("member", one) for one in usual]) == {}


# --- not looked through


def test_a_text_that_was_not_looked_through_is_not_stored(scanned: World) -> None:
    # Broken by hand: an unknown text taken for one without findings.
    subject = scanned.subject()
    other = analysed(scanned, "interaction", {"content": "别的"})
    for found in (NOTHING, other):
        with pytest.raises(Unavailable), scanned.service.begin(scanned.desk) as work:
            records.store(
                work, subject, type="interaction", purposes=["customer-service"], data={"content": ZH}, analysed=found
            )
    assert rows(scanned, records_table) == []


def test_detection_that_is_off_keeps_texts_out_and_the_service_from_starting(scanned: World) -> None:
    patterns(scanned, "off")
    with pytest.raises(Refused, match=r"."):
        store(scanned, scanned.subject(), content=ZH)
    assert store(scanned, scanned.subject(), channel="chat").version == 1
    # a value of which only the kind would be looked at, to be reported, is stored
    assert member(scanned, scanned.subject(), name=ID_NUMBER).findings == {}
    with pytest.raises(Invalid, match="PRIVACY_DETECTION is off"):
        Steward.open(scanned.service.settings, scanned.clock)


def test_what_was_stored_before_is_withheld_until_the_job_has_come_to_it(scanned: World) -> None:
    # Broken by hand: a field without findings given as it is.
    apply(scanned, UNSCANNED)
    subject = scanned.subject()
    stored = [store(scanned, subject, channel="chat", content=text) for text in (ZH, EN, SENSITIVE)]
    noted = store(scanned, subject, note=SENSITIVE, form=SENSITIVE)
    apply(scanned, SCANNED)
    before = reviewed(scanned, stored[0].id)
    assert dict(before.data) == {"channel": "chat"}
    assert before.withheld["content"].code == "not-scanned"
    assert scanned.events(action="record.read")[-1]["fields"] == ["channel"]
    assert scan_stored(scanned) == 4
    for one, text, hidden in zip(stored, (ZH, EN, SENSITIVE), (PHONE, EMAIL, ID_NUMBER), strict=True):
        after = reviewed(scanned, one.id)
        assert hidden not in str(after.data["content"])
        assert "content" not in after.withheld
        assert scanned.read(one.id, "customer-service").data["content"] == text
    assert row(scanned, noted.id)["level"] == 4
    assert rectify(scanned, noted, channel="chat").version == 2  # its version is what it was


def scan_stored(world: World) -> int:
    """The job, as the scheduler runs it, until a round did little; how many records it kept findings of."""
    before = len(world.events(action="record.scanned"))
    job = JOBS["scan-stored"]
    with world.service.begin(TERMINAL) as work:
        slots.register(work, {"scan-stored": job.schedule})
    with world.service.begin(TERMINAL) as work:
        claim = slots.claim(work, "scan-stored", job.terms, "test", at_once=True)
    assert claim is not None
    progress = Progress(claim, threading.Event())
    while job.run(world.service, progress) >= (job.again or 0):
        pass
    with world.service.begin(TERMINAL) as work:
        slots.finish(work, progress, code=None, is_more=False, busy_micros=0)
    return len(world.events(action="record.scanned")) - before


def test_the_job_says_what_it_opens_before_and_what_it_kept_after(scanned: World) -> None:
    apply(scanned, UNSCANNED)
    stored = store(scanned, scanned.subject(), content=SENSITIVE)
    apply(scanned, SCANNED)
    scan_stored(scanned)
    told = [event for event in scanned.events(record_id=stored.id) if event["actor"] == "scan-stored"]
    assert [event["action"] for event in told] == ["record.opened-for-scan", "record.scanned", "record.found"]
    assert [event["fields"] for event in told] == [["content"]] * 3
    assert ID_NUMBER not in json.dumps(told, default=str)
    assert reconciling.reconcile(scanned.service).problems == []
    assert scan_stored(scanned) == 0  # and never again
    assert len(scanned.events(action="records.scanned")) == 1


def test_a_pass_of_many_pages_reaches_every_record(scanned: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from privacy import scan_stored as module

    apply(scanned, UNSCANNED)
    stored = [store(scanned, scanned.subject(), content=ZH) for _ in range(5)]
    apply(scanned, SCANNED)
    monkeypatch.setattr(module, "ROUND", 2)
    monkeypatch.setitem(JOBS, "scan-stored", replace(JOBS["scan-stored"], again=2))
    assert scan_stored(scanned) == 5
    assert all("content" in reviewed(scanned, one.id).data for one in stored)


def test_what_a_lesser_mode_looked_through_is_withheld_in_a_greater_one(scanned: World) -> None:
    stored = store(scanned, scanned.subject(), content=ZH)
    patterns(scanned, "full")  # no text is analysed in it here
    assert reviewed(scanned, stored.id).withheld["content"].code == "not-scanned"


def test_a_record_that_was_rectified_while_the_job_looked_keeps_its_own_findings(scanned: World) -> None:
    from privacy import scan_stored as module

    apply(scanned, UNSCANNED)
    stored = store(scanned, scanned.subject(), content=ZH)
    apply(scanned, SCANNED)
    with scanned.service.begin(module.SCANNER) as work:
        page = module._open_page(work)
    found = at_the_door.analyse(scanned.service, module._texts(scanned.service, page.opened))
    rectify(scanned, stored, content=EN)
    with scanned.service.begin(module.SCANNER) as work:
        module._keep(work, page.opened[0].at.subject_id, page.opened, found)
        work.audit("test.kept")
    assert EMAIL not in str(reviewed(scanned, stored.id).data["content"])
    assert scanned.events(action="record.scanned") == []


# --- they go where the record goes


def test_findings_are_carried_to_another_key(scanned: World) -> None:
    subject = scanned.subject()
    stored = store(scanned, subject, content=ZH, channel="chat")
    before = entities(found_in(scanned, stored.id, "content"))
    rekeying.rekey_subject(scanned.service, subject)
    assert entities(found_in(scanned, stored.id, "content")) == before
    assert PHONE not in str(reviewed(scanned, stored.id).data["content"])
    content = number(scanned, "content")
    assert vault.numbers_in(row(scanned, stored.id)["sealed"]) > {content, vault.findings_of(content)}


def test_an_erased_field_leaves_no_findings(scanned: World) -> None:
    # Broken by hand: `without` of a resealing without its findings.
    subject = scanned.subject()
    stored = store(scanned, subject, content=ZH, channel="chat")
    alone = store(scanned, subject, content=EN)
    done = erasure.erase(scanned.service, subject, actor=scanned.actor("operator"), fields=["interaction.content"])
    assert done.state == "done"
    (left,) = rows(scanned, records_table)  # the one of which nothing was left has gone as a whole
    assert left["record_id"] == stored.id
    assert scanned.events(action="record.erased")[0]["record_id"] == alone.id
    assert (done.erased["partly"], done.erased["records"]) == (1, 1)
    assert vault.numbers_in(left["sealed"]) == {number(scanned, "channel")}
    assert found_in(scanned, stored.id, "content") is None


def test_an_erased_subject_leaves_no_findings_that_open(scanned: World) -> None:
    subject = scanned.subject()
    stored = store(scanned, subject, content=ZH)
    kept = row(scanned, stored.id)
    erasure.erase(scanned.service, subject, actor=scanned.actor("operator"))
    assert rows(scanned, records_table) == []
    box = vault.findings_of(number(scanned, "content"))
    decision = Decision("[test]", "legal-obligation", frozenset(), findings=frozenset({box}))
    with pytest.raises(PrivacyError), scanned.service.begin(scanned.desk) as work:  # from a copy of the row
        vault.unseal(work, decision, At(subject, "main", "interaction", stored.id), kept["sealed"])


def test_findings_moved_to_another_record_do_not_open(scanned: World) -> None:
    subject = scanned.subject()
    one, other = store(scanned, subject, content=ZH), store(scanned, subject, content="无")
    with scanned.service.database.borrow() as lane, lane.transaction() as transaction:
        sealed = transaction.execute(
            select(records_table.c.sealed).where(records_table.c.record_id == other.id)
        ).scalar_one()
        transaction.execute(update(records_table).where(records_table.c.record_id == one.id).values(sealed=sealed))
    with pytest.raises(Corrupt):
        reviewed(scanned, one.id)


# --- over HTTP


@pytest.fixture
def http(scanned: World) -> Any:
    with in_thread(scanned.service) as served:

        def by(name: str) -> httpx.Client:
            return served.http(scanned.keys[name])

        yield by


By = Callable[[str], httpx.Client]


def new(text: str, field: str = "content") -> dict[str, object]:
    return {"type": "interaction", "purposes": ["customer-service"], "data": {field: text}}


def test_over_http_a_text_is_stored_read_redacted_and_rectified(scanned: World, http: By) -> None:
    subject = scanned.subject()
    with http("desk") as desk, http("reviewer") as reviewer:
        made = desk.post(f"/v1/subjects/{subject}/records", json=new(SENSITIVE))
        assert made.status_code == 201, made.text
        assert made.json()["findings"] == {"content": ["CN_RESIDENT_ID"]}
        path = f"/v1/records/{made.json()['id']}"
        assert desk.get(path, params={"purpose": "customer-service"}).json()["data"]["content"] == SENSITIVE
        assert ID_NUMBER not in reviewer.get(path, params={"purpose": "quality"}).text
        changed = desk.patch(path, json={"data": {"content": ZH}}, headers={"If-Match": '"1"'})
        assert changed.status_code == 200, changed.text
        assert PHONE not in reviewer.get(path, params={"purpose": "quality"}).text
        decision = reviewer.get(
            f"/v1/subjects/{subject}/decision", params={"purpose": "quality", "type": "interaction"}
        ).json()
        assert decision["fields"]["content"]["give"] == "masked"
        assert decision["fields"]["content"]["mask"] == "redacted"


def test_over_http_a_refusal_says_what_and_where_and_no_value(scanned: World, http: By) -> None:
    subject = scanned.subject()
    with http("desk") as desk:
        answer = desk.post(
            f"/v1/subjects/{subject}/records", json=new(SENSITIVE, "form"), headers={"Accept-Language": "zh"}
        )
        problem = is_problem(answer, 422, "found-above-level")
        assert [(one["entity"], one["start"]) for one in problem["found"]] == [
            ("CN_RESIDENT_ID", SENSITIVE.index(ID_NUMBER))
        ]
        assert ID_NUMBER not in answer.text
    assert rows(scanned, records_table) == []


def test_of_a_batch_each_text_is_looked_through(scanned: World, http: By) -> None:
    subject = str(scanned.subject())
    items = [{"subject_id": subject, **new(ZH)}, {"subject_id": subject, **new(SENSITIVE, "form")}]
    with http("desk") as desk:
        found = desk.post("/v1/records/batch-write", json={"items": items}).json()["items"]
        assert [one["status"] for one in found] == [201, 422]
        assert found[1]["error"]["code"] == "found-above-level"
        assert len(rows(scanned, records_table)) == 1
        together = desk.post("/v1/records/batch-write", json={"mode": "all", "items": items}).json()["items"]
        assert [one["status"] for one in together] == [409, 422]
    assert len(rows(scanned, records_table)) == 1  # nothing of the second
    with http("reviewer") as reviewer:
        shown = reviewer.get(f"/v1/records/{found[0]['record']['id']}", params={"purpose": "quality"}).json()
    assert PHONE not in shown["data"]["content"]


def test_the_detector_is_never_asked_in_the_loop_or_within_a_transaction(
    scanned: World, http: By, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Broken by hand: `analyse` called without a thread; called within `call.begin`.
    where: list[str] = []
    real = at_the_door.analyse

    def looked(service: Steward, texts: Any) -> at_the_door.Analysed:
        where.append(threading.current_thread().name)
        scanned.subject()  # a write of its own: on SQLite it waits for whoever has a transaction in hand
        return real(service, texts)

    subject = scanned.subject()
    with http("desk") as desk:
        monkeypatch.setattr(at_the_door, "analyse", looked)
        made = desk.post(f"/v1/subjects/{subject}/records", json=new(ZH))
        assert made.status_code == 201
        path = f"/v1/records/{made.json()['id']}"
        assert desk.patch(path, json={"data": {"content": EN}}, headers={"If-Match": '"1"'}).status_code == 200
    assert len(where) == 2
    assert "tests-server" not in where


# --- the manifest


def parsed(text: str) -> manifest.Manifest:
    return manifest.parse(text, "scanned.yaml")


def test_a_redacted_use_is_read_and_written(scanned: World) -> None:
    del scanned
    found = parsed(SCANNED)
    assert dict(found.purposes["quality"].uses["interaction"]) == {
        "channel": None, "content": "redacted", "note": "redacted", "form": "redacted", "remarks": "redacted"
    }  # fmt: skip
    assert manifest.parse(manifest.dump(found), "again.yaml") == found
    fields = found.records["interaction"].fields
    assert [str(fields[name].on_find) for name in ("content", "note", "form")] == ["report", "raise", "refuse"]


@pytest.mark.parametrize(
    ("was", "now", "code"),
    [
        ("channel:   {level: L2,", "channel:   {on_find: raise, level: L2,", "on-find-without-scan"),
        ("on_find: refuse", "on_find: drop", "unknown-on-find"),
        ("[channel, content.redacted,", "[channel.redacted, content.redacted,", "no-scan"),
        ("[channel, content.redacted,", "[channel, content, content.redacted,", "field-twice"),
        ("[channel, content.redacted,", "[channel, content.redacted(all),", "bad-use"),
    ],
)
def test_what_is_declared_badly_is_refused(was: str, now: str, code: str) -> None:
    from privacy.errors import ManifestInvalid

    assert was in SCANNED
    with pytest.raises(ManifestInvalid) as refused:
        parsed(SCANNED.replace(was, now))
    problems = refused.value.context["problems"]
    assert code in {problem.code for problem in problems}  # type: ignore[attr-defined]  # each has one


def test_a_purpose_that_is_given_more_than_before_is_a_material_change() -> None:
    before = parsed(SCANNED)
    clear = parsed(SCANNED.replace("[channel, content.redacted,", "[channel, content,"))
    (change,) = manifest.compare(before, clear)
    assert (change.before, change.after, change.material) == ("redacted", "in clear", True)
    (back,) = manifest.compare(clear, before)
    assert not back.material
    (policy,) = manifest.compare(before, parsed(SCANNED.replace("on_find: refuse", "on_find: report")))
    assert (policy.before, policy.after) == ("refuse", "report")


def test_of_a_record_that_is_not_there_nothing_is_looked_for(scanned: World) -> None:
    with pytest.raises(PrivacyError):
        reviewed(scanned, uuid4())
    assert [one for one in rows(scanned, watch_state) if one["name"] == "scan-stored"] == []
