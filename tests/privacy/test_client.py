from __future__ import annotations

import ast
import json
import logging
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import privacy.client
from privacy import errors
from privacy.client import (
    Choice,
    Consent,
    Decision,
    Event,
    Hit,
    NewRecord,
    Notice,
    NoticeText,
    OfRecord,
    OfSubject,
    PrivacyClient,
    PublishedNotice,
    Purpose,
    Record,
    Refusal,
    Standing,
    StoredRecord,
    Subject,
    Value,
    Withheld,
)

SUBJECT = UUID("0198c5d2-0000-7000-8000-000000000001")
RECORD = UUID("0198c5d2-0000-7000-8000-000000000002")
SOURCE = Path(privacy.client.__file__)
SOURCES = (SOURCE, SOURCE.with_name("client_shapes.py"), SOURCE.with_name("client_wire.py"))
SECRET = "秘密-13800138000"
Answer = httpx.Response | type[httpx.TransportError]


class Network:
    """What httpx would send over the wire, and the answers to it in order; the last one goes on."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.pauses: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, httpx.Response):
            return answer
        raise answer("lost", request=request)

    def client(self, retries: int = 3) -> PrivacyClient:
        return PrivacyClient(
            "https://privacy.example.cn/",
            "key-of-the-desk",
            retries=retries,
            transport=httpx.MockTransport(self),
            sleep=self.pauses.append,
        )

    @property
    def sent(self) -> object:
        return json.loads(self.requests[-1].content)


def ok(body: object, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=body)


def problem(status: int, code: str, headers: dict[str, str] | None = None, **more: object) -> httpx.Response:
    body = {"type": "about:blank", "title": "No", "status": status, "code": code, **more}
    return httpx.Response(status, json=body, headers={"Content-Type": "application/problem+json", **(headers or {})})


STORED = {
    "id": str(RECORD),
    "type": "member",
    "version": 1,
    "expires_at": "2029-01-01T00:00:00Z",
    "levels": {"name": "L3"},
}
FOUND = {
    "id": str(RECORD),
    "subject_id": str(SUBJECT),
    "type": "member",
    "version": 2,
    "data": {"name": "王伟"},
    "withheld": {"id_number": {"code": "not-in-purpose", "law": ["PIPL-6"]}},
}
RECORD_FOUND = Record(
    str(RECORD),
    str(SUBJECT),
    "member",
    2,
    {"name": "王伟"},
    {"id_number": Withheld("not-in-purpose", ("PIPL-6",))},
)
RECORD_STORED = StoredRecord(str(RECORD), "member", 1, datetime(2029, 1, 1, tzinfo=UTC), {"name": "L3"})
CONSENT = {
    "id": "c1",
    "purpose": "marketing",
    "state": "given",
    "separate": True,
    "at": "2026-01-01T00:00:00+00:00",
}
CONSENT_GIVEN = Consent("c1", "marketing", "given", datetime(2026, 1, 1, tzinfo=UTC), separate=True)


# --- what each method sends and understands


def test_a_request_names_its_key_and_goes_to_the_version_one_interface() -> None:
    network = Network(ok({"id": str(SUBJECT), "jurisdiction": "CN"}))
    with network.client() as client:
        assert client.subject(SUBJECT) == Subject(str(SUBJECT), "CN", None)
    (request,) = network.requests
    assert request.method == "GET"
    assert str(request.url) == f"https://privacy.example.cn/v1/subjects/{SUBJECT}"
    assert request.headers["Authorization"] == "Bearer key-of-the-desk"
    assert "Idempotency-Key" not in request.headers


def test_a_subject_is_created_with_what_is_known() -> None:
    network = Network(ok({"id": "s1", "jurisdiction": "EU", "created_at": "2026-01-01T00:00:00Z", "new": 1}, 201))
    subject = network.client().create_subject(jurisdiction="EU", born=date(2014, 5, 1), guardian=SUBJECT)
    assert subject == Subject("s1", "EU", datetime(2026, 1, 1, tzinfo=UTC))
    assert network.sent == {"jurisdiction": "EU", "born": "2014-05-01", "guardian": str(SUBJECT)}


def test_a_search_carries_the_value_in_the_body_alone() -> None:
    network = Network(ok({"items": [{"subject_id": "s1", "record_id": "r1"}]}))
    hits = network.client().search(type="member", field="phone", value=SECRET, purpose="customer-service")
    assert hits == [Hit("s1", "r1")]
    (request,) = network.requests
    assert (request.method, request.url.raw_path) == ("POST", b"/v1/subjects/search")
    assert network.sent == {
        "type": "member",
        "field": "phone",
        "value": SECRET,
        "purpose": "customer-service",
    }
    assert "Idempotency-Key" not in request.headers  # the service would keep the answer under it


def test_a_record_is_stored_with_dates_and_decimals_as_text() -> None:
    network = Network(ok(STORED, 201))
    data: dict[str, Value] = {
        "name": "王伟",
        "joined_at": date(2026, 1, 2),
        "paid": Decimal("9.90"),
        "tags": ("a", "b"),
    }
    stored = network.client().store(SUBJECT, type="member", purposes=("membership",), data=data)
    assert stored == RECORD_STORED
    assert network.sent == {
        "type": "member",
        "purposes": ["membership"],
        "data": {"name": "王伟", "joined_at": "2026-01-02", "paid": "9.90", "tags": ["a", "b"]},
    }
    assert network.requests[0].headers["Content-Type"] == "application/json"


def test_a_record_is_read_for_a_purpose_and_tells_what_is_withheld() -> None:
    network = Network(ok(FOUND))
    record = network.client().read(RECORD, purpose="customer-service", fields=["name", "phone"])
    assert record == RECORD_FOUND
    assert dict(network.requests[0].url.params) == {"purpose": "customer-service", "fields": "name,phone"}
    assert "王伟" not in repr(record)


def test_records_come_page_after_page_and_only_when_wanted() -> None:
    page = {key: value for key, value in FOUND.items() if key != "subject_id"}
    network = Network(ok({"items": [page], "next_cursor": "a/b="}), ok({"items": [page, page], "next_cursor": None}))
    records = network.client().records(SUBJECT, purpose="membership", type="member")
    assert not network.requests
    assert next(records) == RECORD_FOUND
    assert len(network.requests) == 1
    assert len(list(records)) == 2
    first, second = (dict(request.url.params) for request in network.requests)
    assert first == {"purpose": "membership", "type": "member"}
    assert second == first | {"cursor": "a/b="}


def test_a_cursor_that_leads_nowhere_ends_in_an_error() -> None:
    network = Network(ok({"items": [], "next_cursor": "x"}))
    with pytest.raises(errors.PrivacyError, match="form"):
        list(network.client().records(SUBJECT, purpose="membership"))
    assert len(network.requests) == 2


def test_a_rectification_says_which_version_it_changes() -> None:
    network = Network(ok(STORED | {"version": 4}))
    stored = network.client().rectify(RECORD, version=3, data={"name": "王维"})
    assert stored.version == 4
    (request,) = network.requests
    assert (request.method, request.headers["If-Match"]) == ("PATCH", '"3"')
    assert network.sent == {"data": {"name": "王维"}}


def test_a_deletion_may_say_which_version_it_deletes() -> None:
    network = Network(httpx.Response(204))
    client = network.client()
    client.delete(RECORD)
    client.delete(RECORD, version=3)
    assert [request.headers.get("If-Match") for request in network.requests] == [None, '"3"']
    assert {(request.method, request.content) for request in network.requests} == {("DELETE", b"")}


def test_a_batch_written_each_for_itself_keeps_errors_in_their_places() -> None:
    refusal = {"code": "undeclared-purpose", "detail": "x is not declared", "law": ["PIPL-6"], "status": 403}
    network = Network(ok({"items": [{"status": 201, "record": STORED}, {"status": 403, "error": refusal}]}))
    items = [
        NewRecord(SUBJECT, "member", ["membership"], {"name": "王伟"}),
        NewRecord("s2", "member", ["x"], {}),
    ]
    stored, refused = network.client().write_batch(items, atomic=False)
    assert stored == RECORD_STORED
    assert isinstance(refused, errors.UndeclaredPurpose)
    assert (refused.detail, refused.law, refused.context["item"]) == ("x is not declared", ("PIPL-6",), 1)
    assert network.sent == {
        "mode": "each",
        "items": [
            {
                "subject_id": str(SUBJECT),
                "type": "member",
                "purposes": ["membership"],
                "data": {"name": "王伟"},
            },
            {"subject_id": "s2", "type": "member", "purposes": ["x"], "data": {}},
        ],
    }
    assert "王伟" not in repr(items)


def test_an_atomic_batch_is_one_request_that_holds_or_raises() -> None:
    network = Network(problem(409, "conflict"))
    with pytest.raises(errors.Conflict):
        network.client().write_batch([NewRecord("s", "member", ["m"], {})], atomic=True)
    assert network.sent == {
        "mode": "all",
        "items": [{"subject_id": "s", "type": "member", "purposes": ["m"], "data": {}}],
    }
    assert "Idempotency-Key" in network.requests[0].headers


def test_a_batch_read_gives_the_records_of_its_items_in_order() -> None:
    page = {key: value for key, value in FOUND.items() if key != "subject_id"}
    network = Network(
        ok(
            {
                "items": [
                    {"status": 200, "records": [FOUND]},
                    {"status": 410, "error": {"code": "erased"}},
                    {"status": 200, "records": [page, page]},
                    {"status": 200, "records": []},
                ]
            }
        )
    )
    items: list[OfRecord | OfSubject] = [
        OfRecord(RECORD),
        OfSubject("gone"),
        OfSubject(SUBJECT, "member"),
        OfSubject("empty"),
    ]
    found = network.client().read_batch(items, purpose="membership", fields={"member": ["name"]})
    assert [found[0], *found[2:]] == [RECORD_FOUND] * 3
    assert isinstance(found[1], errors.Erased)
    assert found[1].context["item"] == 1
    assert network.sent == {
        "purpose": "membership",
        "items": [
            {"record_id": str(RECORD)},
            {"subject_id": "gone"},
            {"subject_id": str(SUBJECT), "type": "member"},
            {"subject_id": "empty"},
        ],
        "fields": {"member": ["name"]},
    }


def test_a_batch_answer_of_another_length_is_not_guessed_at() -> None:
    network = Network(ok({"items": []}))
    with pytest.raises(errors.PrivacyError, match="form"):
        network.client().read_batch([OfRecord(RECORD)], purpose="membership")


def test_a_decision_names_fields_masks_and_says_in_a_sentence_what_is_missing() -> None:
    missing = "缺少该个人对“营销”的同意（《个人信息保护法》第十三条）。"
    unused = "“营销”这一目的未声明使用此字段（《个人信息保护法》第六条）。"
    network = Network(
        ok(
            {
                "purpose": "marketing",
                "type": "member",
                "basis": "consent",
                "law": ["PIPL-13-1"],
                "fields": {
                    "name": {"give": "clear", "mask": None, "code": None, "law": []},
                    "phone": {"give": "masked", "mask": "phone"},
                    "id_number": {"give": "withheld", "code": "not-in-purpose", "law": ["PIPL-6"], "why": unused},
                },
                "refusal": {"code": "consent-missing", "law": ["PIPL-14"], "detail": missing, "needed": ["export"]},
            }
        )
    )
    decision = network.client().decision(SUBJECT, purpose="marketing", type="member", recipient="mall", language="zh")
    assert not decision.allowed
    assert decision == Decision(
        "marketing",
        "member",
        "consent",
        ("PIPL-13-1",),
        {"name": None, "phone": "phone"},
        {"id_number": Withheld("not-in-purpose", ("PIPL-6",), unused)},
        Refusal("consent-missing", ("PIPL-14",), missing, ("export",)),
    )
    (request,) = network.requests
    assert request.headers["Accept-Language"] == "zh"
    assert dict(request.url.params) == {"purpose": "marketing", "type": "member", "recipient": "mall"}


def test_a_client_speaks_its_language_and_one_question_may_be_in_another() -> None:
    network = Network(ok({"id": "s1"}), ok({"purpose": "p", "type": "t", "fields": {}}))
    client = PrivacyClient("https://p.example", "k", language="zh", transport=httpx.MockTransport(network))
    client.subject("s1")
    client.decision("s1", purpose="p", type="t", language="en")
    assert [request.headers["Accept-Language"] for request in network.requests] == ["zh", "en"]


def test_who_will_receive_the_data_is_named_in_every_read() -> None:
    network = Network(ok(FOUND), ok({"items": [FOUND]}), ok({"items": [{"status": 200, "records": []}]}))
    client = network.client()
    client.read(RECORD, purpose="p", recipient="mall")
    list(client.records(SUBJECT, purpose="p", recipient="mall"))
    client.read_batch([OfSubject(SUBJECT)], purpose="p", recipient="mall")
    assert [request.url.params.get("recipient") for request in network.requests] == ["mall", "mall", None]
    assert network.sent == {"purpose": "p", "items": [{"subject_id": str(SUBJECT)}], "recipient": "mall"}


# --- consent


def test_consent_is_given_withdrawn_and_listed() -> None:
    network = Network(ok(CONSENT, 201), ok(CONSENT | {"state": "withdrawn"}), ok({"items": [CONSENT]}))
    client = network.client()
    assert client.give_consent(SUBJECT, purpose="marketing", notice="2026-01", separate=True) == CONSENT_GIVEN
    assert network.sent == {
        "purpose": "marketing",
        "decision": "given",
        "notice": "2026-01",
        "separate": True,
    }
    assert client.withdraw_consent(SUBJECT, purpose="mar/keting", channel="app").state == "withdrawn"
    assert network.requests[1].url.raw_path == f"/v1/subjects/{SUBJECT}/consents/mar%2Fketing/withdraw".encode()
    assert network.sent == {"channel": "app"}
    assert client.consents(SUBJECT, history=True) == [CONSENT_GIVEN]
    assert network.requests[2].url.params["history"] == "true"


WHOLE_CHOICE = {
    "purpose": "partner-offers",
    "decision": "given",
    "notice": "2026-01",
    "language": "zh-CN",
    "recipient": "mall",
    "categories": ["pd:Name", "pd:TelephoneNumber"],
    "separate": True,
    "written": True,
    "explicit": True,
    "guardian": str(RECORD),
    "channel": "web",
    "text": "同意向合作商城提供姓名和手机号",
}


def test_everything_of_a_consent_is_sent_and_everything_of_the_answer_is_read() -> None:
    answer = CONSENT | {
        "recipient": "mall", "categories": ["pd:Name"], "written": True, "explicit": True, "by_guardian": True,
        "channel": "web", "told": ["sms-gateway"], "task_id": "t1", "kept_for": {"membership": "contract"},
        "event_id": "e1", "digest": "ab", "recorded_by": "community", "is_valid": True, "language": "zh-CN",
    }  # fmt: skip
    network = Network(ok(answer, 201))
    found = network.client().give_consent(
        SUBJECT,
        purpose="partner-offers",
        notice="2026-01",
        language="zh-CN",
        recipient="mall",
        categories=["pd:Name", "pd:TelephoneNumber"],
        separate=True,
        written=True,
        explicit=True,
        guardian=RECORD,
        channel="web",
        text="同意向合作商城提供姓名和手机号",
    )
    assert network.sent == WHOLE_CHOICE
    assert (found.recipient, found.categories, found.channel, found.language) == ("mall", ("pd:Name",), "web", "zh-CN")
    assert (found.separate, found.written, found.explicit, found.by_guardian) == (True,) * 4
    assert (found.told, found.task_id, found.kept_for) == (("sms-gateway",), "t1", {"membership": "contract"})
    assert (found.event_id, found.digest, found.recorded_by, found.is_valid) == ("e1", "ab", "community", True)


def test_several_choices_are_one_request_and_each_a_consent_of_its_own() -> None:
    network = Network(ok({"items": [CONSENT, CONSENT | {"id": "c2", "purpose": "news", "state": "refused"}]}, 201))
    whole = Choice(
        "partner-offers", "given", "2026-01", "zh-CN", "mall", ("pd:Name", "pd:TelephoneNumber"), separate=True,
        written=True, explicit=True, guardian=RECORD, channel="web", text="同意向合作商城提供姓名和手机号",
    )  # fmt: skip
    found = network.client().record_choices(SUBJECT, [whole, Choice("news", "refused")])
    assert [(one.id, one.state) for one in found] == [("c1", "given"), ("c2", "refused")]
    assert network.sent == {"choices": [WHOLE_CHOICE, {"purpose": "news", "decision": "refused"}]}
    assert "Idempotency-Key" in network.requests[0].headers
    assert "合作商城" not in repr(whole)


def test_asking_again_too_early_says_until_when() -> None:
    network = Network(ok(CONSENT | {"state": "requested"}, 201), problem(409, "cool-off", until="2027-01-01T00:00:00Z"))
    client = network.client()
    assert client.request_consent(SUBJECT, purpose="marketing", language="zh-CN", channel="app").state == "requested"
    assert network.sent == {
        "purpose": "marketing",
        "decision": "requested",
        "language": "zh-CN",
        "channel": "app",
    }
    with pytest.raises(errors.CoolOff) as refused:
        client.request_consent(SUBJECT, purpose="marketing")
    assert refused.value.context["until"] == "2027-01-01T00:00:00Z"


def test_a_withdrawal_needs_nothing_and_may_name_a_recipient() -> None:
    network = Network(ok(CONSENT | {"state": "withdrawn"}))
    client = network.client()
    client.withdraw_consent(SUBJECT, purpose="marketing")
    client.withdraw_consent(SUBJECT, purpose="marketing", recipient="mall")
    assert network.requests[0].content == b""
    assert network.sent == {"recipient": "mall"}


def test_how_consents_stood_is_asked_with_an_instant_and_a_purpose() -> None:
    network = Network(ok({"items": [CONSENT | {"state": "expired", "is_valid": False}]}))
    (found,) = network.client().consents(SUBJECT, at=datetime(2026, 5, 1, 8, tzinfo=UTC), purpose="marketing")
    assert (found.state, found.is_valid) == ("expired", False)
    assert dict(network.requests[0].url.params) == {"at": "2026-05-01T08:00:00+00:00", "purpose": "marketing"}


def test_a_receipt_comes_as_it_was_signed() -> None:
    document: dict[str, object] = {
        "@type": "dpv:ConsentReceipt",
        "proof": {"proofValue": "z1"},
        "new": [1, None, "回执"],
    }
    network = Network(ok(document))
    client = network.client()
    assert client.receipt(SUBJECT, "c1") == document
    client.receipt(SUBJECT, "c1", format="kantara")
    assert [request.url.params["format"] for request in network.requests] == ["dpv", "kantara"]
    assert network.requests[0].url.path == f"/v1/subjects/{SUBJECT}/consents/c1/receipt"


PUBLISHED = {
    "number": 2,
    "version": "2026-01",
    "published_at": "2026-01-01T00:00:00Z",
    "manifest_version": 3,
    "generated": False,
    "purposes": ["marketing"],
    "material": ["marketing"],
}
NOTICE = PUBLISHED | {
    "language": "zh",
    "languages": ["zh", "en"],
    "text": "# 告知",
    "digest": "ab",
    "texts": {"marketing": {"text": "营销", "digest": "cd"}},
    "collected": [{"purpose": "marketing", "fields": ["手机号"]}],
    "shared": [],
}


def test_a_notice_is_shown_in_the_language_asked_for() -> None:
    network = Network(ok({"items": [PUBLISHED]}), ok(NOTICE))
    client = network.client()
    instant = datetime(2026, 1, 1, tzinfo=UTC)
    published = PublishedNotice(2, "2026-01", instant, 3, False, ("marketing",), ("marketing",))
    assert client.notices() == [published]
    notice = client.notice("2026-01", language="zh-CN")
    assert notice == Notice(
        published,
        "zh",
        ("zh", "en"),
        "# 告知",
        "ab",
        {"marketing": NoticeText("营销", "cd")},
        ({"purpose": "marketing", "fields": ["手机号"]},),
        (),
    )
    assert notice.version == "2026-01"
    assert str(network.requests[1].url).endswith("/v1/notices/2026-01?language=zh-CN")


STANDS: dict[str, tuple[Callable[[PrivacyClient], Standing], object]] = {
    "bases": (
        lambda client: client.record_basis(
            SUBJECT,
            purpose="membership",
            starts_at=datetime(2026, 1, 1, tzinfo=UTC),
            ends_at=datetime(2027, 1, 1, tzinfo=UTC),
            reference="C-1",
            channel="web",
        ),
        {
            "purpose": "membership", "starts_at": "2026-01-01T00:00:00+00:00", "ends_at": "2027-01-01T00:00:00+00:00",
            "reference": "C-1", "channel": "web",
        },
    ),
    "bases/end": (lambda client: client.end_basis(SUBJECT, purpose="membership"), {"purpose": "membership"}),
    "objections": (
        lambda client: client.object_to(SUBJECT, purpose="m", reason=SECRET, channel="web"),
        {"purpose": "m", "reason": SECRET, "channel": "web"},
    ),
    "objections/lift": (lambda client: client.lift_objection(SUBJECT, purpose="m"), {"purpose": "m"}),
    "restrictions": (lambda client: client.restrict(SUBJECT), {}),
    "restrictions/lift": (
        lambda client: client.lift_restriction(SUBJECT, purpose="m", reason=SECRET),
        {"purpose": "m", "reason": SECRET},
    ),
}  # fmt: skip


@pytest.mark.parametrize("path", STANDS)
def test_what_stands_between_a_subject_and_a_purpose_is_recorded(path: str) -> None:
    act, body = STANDS[path]
    network = Network(ok({"purpose": "m", "objected_at": "2026-01-01T00:00:00Z"}, 201))
    assert act(network.client()) == Standing("m", objected_at=datetime(2026, 1, 1, tzinfo=UTC))
    (request,) = network.requests
    assert (request.method, request.url.path) == ("POST", f"/v1/subjects/{SUBJECT}/{path}")
    assert network.sent == body
    assert "Idempotency-Key" in request.headers


def test_what_stands_is_listed() -> None:
    network = Network(ok({"items": [{"purpose": None, "restricted_at": "2026-01-01T00:00:00Z"}]}))
    found = network.client().standing(SUBJECT)
    assert found == [Standing(None, restricted_at=datetime(2026, 1, 1, tzinfo=UTC))]


def test_events_are_filtered_by_the_service_and_keep_what_is_new() -> None:
    event = {
        "id": "e1",
        "at": "2026-01-01T00:00:00Z",
        "action": "record.read",
        "fields": ["name"],
        "position": 7,
    }
    network = Network(ok({"items": [event], "next_cursor": None}))
    (found,) = network.client().events(subject=SUBJECT, since=datetime(2026, 1, 1, tzinfo=UTC), actor=None)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert found == Event("e1", at, None, "record.read", None, None, None, None, None, ("name",), {"position": 7})
    assert dict(network.requests[0].url.params) == {
        "subject": str(SUBJECT),
        "since": "2026-01-01T00:00:00+00:00",
    }


def test_purposes_and_health_are_told() -> None:
    purpose = {"name": "membership", "basis": "contract", "law": ["PIPL-13-2"], "keep": "P3Y", "uses": {}}
    network = Network(ok({"items": [purpose]}), ok({"status": "ok"}))
    client = network.client()
    assert client.purposes() == [Purpose("membership", "contract", ("PIPL-13-2",), "P3Y", {"uses": {}})]
    assert client.health().status == "ok"
    assert network.requests[1].url.path == "/healthz"


@pytest.mark.parametrize("id", ["", ".", "..", "..."])
def test_an_id_cannot_name_another_resource(id: str) -> None:
    network = Network(ok({}))
    with pytest.raises(errors.Invalid):
        network.client().subject(id)
    assert not network.requests


def test_an_id_stays_one_segment_of_the_path() -> None:
    network = Network(ok({"id": "x"}))
    network.client().subject("../records/a?b#c")
    assert network.requests[0].url.raw_path == b"/v1/subjects/..%2Frecords%2Fa%3Fb%23c"


# --- errors


def every_class(root: type[errors.PrivacyError] = errors.PrivacyError) -> Iterator[type[errors.PrivacyError]]:
    yield root
    for kind in root.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield from every_class(kind)


@pytest.mark.parametrize("kind", list(every_class()), ids=lambda kind: kind.code)
def test_every_refusal_arrives_as_the_class_it_was_raised_as(kind: type[errors.PrivacyError]) -> None:
    network = Network(problem(418, kind.code, detail="about purpose x", law=["PIPL-13"], request_id="q1"))
    with pytest.raises(kind) as raised:
        network.client().subject(SUBJECT)
    error = raised.value
    assert type(error) is kind
    assert (error.detail, error.law) == ("about purpose x", ("PIPL-13",))
    assert error.context == {"status": 418, "request_id": "q1", "code": kind.code}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *(
            (400, errors.Invalid),
            (401, errors.Unauthenticated),
            (403, errors.Forbidden),
            (404, errors.NotFound),
        ),
        *(
            (409, errors.Conflict),
            (410, errors.Erased),
            (412, errors.VersionMismatch),
            (413, errors.TooLarge),
        ),
        *((422, errors.Invalid), (428, errors.PreconditionRequired), (429, errors.RateLimited)),
        *((500, errors.PrivacyError), (503, errors.Unavailable), (302, errors.PrivacyError)),
    ],
)
def test_a_code_of_a_later_service_is_understood_by_its_status(status: int, kind: type[errors.PrivacyError]) -> None:
    network = Network(problem(status, "from-the-future", detail="new"))
    with pytest.raises(errors.PrivacyError) as raised:
        network.client(retries=0).subject(SUBJECT)
    assert type(raised.value) is kind
    assert (raised.value.detail, raised.value.context["code"]) == ("new", "from-the-future")


def test_a_refusal_says_where_the_fault_lies() -> None:
    faults = [{"where": "body.data", "what": "missing"}]
    network = Network(problem(400, "invalid", errors=faults, field="phone", self="x"))
    with pytest.raises(errors.Invalid) as raised:
        network.client().subject(SUBJECT)
    assert (raised.value.context["errors"], raised.value.context["field"]) == (faults, "phone")


@pytest.mark.parametrize(
    "body",
    [
        f"<html>{SECRET}</html>".encode(),
        json.dumps({"detail": SECRET}).encode(),
        b"[1]",
        b"",
        b"\xff",
        b"[" * 100_000,
    ],
    ids=["page", "no-code", "list", "empty", "no-utf-8", "deep"],
)
def test_the_text_of_what_is_no_problem_of_the_service_is_not_repeated(body: bytes) -> None:
    network = Network(httpx.Response(403, content=body, headers={"X-Request-ID": "q7"}))
    with pytest.raises(errors.Forbidden) as raised:
        network.client().subject(SUBJECT)
    assert raised.value.detail == errors.Forbidden.title
    assert raised.value.context["request_id"] == "q7"


MALFORMED: list[object] = [
    *(
        [],
        "x",
        None,
        {},
        {"id": 1},
        {**FOUND, "version": "2"},
        {**FOUND, "version": True},
        {**FOUND, "data": []},
    ),
    *({**FOUND, "withheld": {"a": "b"}}, {**FOUND, "withheld": {"a": {}}}, {**FOUND, "subject_id": None}),
]


@pytest.mark.parametrize("index", range(len(MALFORMED)))
def test_an_answer_of_another_form_is_an_error_and_no_guess(index: int) -> None:
    network = Network(ok(MALFORMED[index]))
    with pytest.raises(errors.PrivacyError, match="form that this client does not know") as raised:
        network.client().read(RECORD, purpose="membership")
    assert "王伟" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("moment", ["", "yesterday", "2029-01-01T00:00:00", 7, None])
def test_an_expiry_without_a_time_zone_is_no_expiry(moment: object) -> None:
    network = Network(ok(STORED | {"expires_at": moment}, 201))
    with pytest.raises(errors.PrivacyError, match="form"):
        network.client().store(SUBJECT, type="member", purposes=["m"], data={})


# --- values stay where they belong


def chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize(
    "answer",
    [
        httpx.ConnectError,
        httpx.ReadTimeout,
        httpx.DecodingError,
        problem(403, "not-granted"),
        httpx.Response(200, content=b"?"),
    ],
    ids=["connection", "timeout", "decoding", "refusal", "malformed"],
)
def test_no_exception_leads_to_the_value_that_was_sent(answer: Answer) -> None:
    network = Network(answer)
    with pytest.raises(errors.PrivacyError) as raised:
        network.client(retries=1).store(SUBJECT, type="member", purposes=["m"], data={"name": SECRET})
    assert list(chain(raised.value)) == [raised.value]
    assert SECRET not in str(raised.value) + repr(raised.value.args) + repr(raised.value.context)


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), "\ud800", {1, 2}, b"x", object()],
    ids=["nan", "inf", "half", "set", "bytes", "object"],
)
def test_what_json_cannot_say_is_refused_without_saying_it(value: object) -> None:
    network = Network(ok({}))
    data = {"name": SECRET, "other": value}
    with pytest.raises(errors.Invalid, match="JSON") as raised:
        network.client().store(SUBJECT, type="m", purposes=["m"], data=data)  # type: ignore[arg-type]
    assert list(chain(raised.value)) == [raised.value]
    assert not network.requests


def test_neither_log_nor_url_nor_repr_holds_a_value_or_the_key(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    # a command line or a server that ran in this process before may have silenced the library's logger
    for name in ("httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, logger=name)
        monkeypatch.setattr(logging.getLogger(name), "disabled", False)
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
    logging.disable(logging.NOTSET)
    network = Network(httpx.ConnectError, problem(503, "unavailable"), ok(STORED, 201))
    client = network.client()
    client.store(SUBJECT, type="member", purposes=["m"], data={"name": SECRET})
    assert caplog.records
    told = caplog.text + repr(client) + repr(vars(client)) + "".join(str(request.url) for request in network.requests)
    assert SECRET not in told
    assert "key-of-the-desk" not in told


def test_a_redirect_is_not_followed() -> None:
    network = Network(httpx.Response(307, headers={"Location": "https://elsewhere.example/"}))
    with pytest.raises(errors.PrivacyError):
        network.client().store(SUBJECT, type="member", purposes=["m"], data={"name": SECRET})
    assert len(network.requests) == 1


# --- repetitions

AGAIN: list[tuple[str, Answer]] = [
    ("connect", httpx.ConnectError),
    ("read", httpx.ReadError),
    ("timeout", httpx.ReadTimeout),
    ("cut", httpx.RemoteProtocolError),
    *((str(status), httpx.Response(status)) for status in (429, 502, 503, 504)),
]
CALLS: dict[str, Callable[[PrivacyClient], object]] = {
    "get": lambda client: client.read(RECORD, purpose="m"),
    "search": lambda client: client.search(type="m", field="f", value="v", purpose="p"),
    "post": lambda client: client.store(SUBJECT, type="m", purposes=["m"], data={"a": "b"}),
    "patch": lambda client: client.rectify(RECORD, version=1, data={}),
    "delete": lambda client: client.delete(RECORD),
}
GOOD = STORED | FOUND | {"items": []}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("answer", [answer for _, answer in AGAIN], ids=[name for name, _ in AGAIN])
def test_a_request_is_repeated_as_it_was_until_it_succeeds(call: str, answer: Answer) -> None:
    network = Network(answer, answer, ok(GOOD))
    CALLS[call](network.client())
    first, *others = network.requests
    assert len(others) == 2
    for other in others:
        assert (other.method, other.url, other.content, other.headers) == (
            first.method,
            first.url,
            first.content,
            first.headers,
        )
    assert ("Idempotency-Key" in first.headers) == (call in ("post", "patch", "delete"))


def test_each_change_has_a_key_of_its_own() -> None:
    network = Network(ok(STORED, 201))
    client = network.client()
    for _ in range(3):
        CALLS["post"](client)
    assert len({request.headers["Idempotency-Key"] for request in network.requests}) == 3


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_repeating_ends_with_what_happened_last(retries: int) -> None:
    network = Network(problem(503, "keys-unavailable", detail="the keys are away"))
    with pytest.raises(errors.KeysUnavailable, match="the keys are away"):
        network.client(retries=retries).subject(SUBJECT)
    assert len(network.requests) == retries + 1


def test_a_service_out_of_reach_is_unavailable() -> None:
    network = Network(httpx.ConnectError)
    with pytest.raises(errors.Unavailable, match="could not be reached"):
        network.client().subject(SUBJECT)
    assert len(network.requests) == 4


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 422, 500, 501])
def test_what_would_fail_again_is_not_repeated(status: int) -> None:
    network = Network(httpx.Response(status))
    with pytest.raises(errors.PrivacyError):
        network.client().subject(SUBJECT)
    assert len(network.requests) == 1


def test_health_is_asked_once() -> None:
    network = Network(httpx.Response(503))
    with pytest.raises(errors.Unavailable):
        network.client().health()
    assert len(network.requests) == 1


def test_pauses_grow_and_are_cut_at_random() -> None:
    network = Network(httpx.Response(503))
    client = network.client(retries=12)
    with pytest.raises(errors.Unavailable):
        client.subject(SUBJECT)
    bounds = [min(0.2 * 2**n, 30.0) for n in range(12)]
    assert all(0 <= pause <= bound for pause, bound in zip(network.pauses, bounds, strict=True))
    assert len(set(network.pauses)) == 12


def test_a_pause_is_no_shorter_than_the_service_asks() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    answers = [httpx.Response(status, headers={"Retry-After": text}) for status, text in ((429, "7"), (503, later))]
    network = Network(*answers, ok({"id": "s"}))
    network.client().subject("s")
    assert 7 <= network.pauses[0] <= 7.2
    assert 17 <= network.pauses[1] <= 20.4


def test_too_long_a_pause_is_left_to_the_caller() -> None:
    network = Network(problem(429, "rate-limited", headers={"Retry-After": "3600"}))
    with pytest.raises(errors.RateLimited) as raised:
        network.client().subject(SUBJECT)
    assert raised.value.context["retry_after"] == 3600
    assert (len(network.requests), network.pauses) == (1, [])


@given(st.one_of(st.text(st.characters(min_codepoint=32, max_codepoint=126)), st.integers().map(str)))
def test_an_unreadable_retry_after_asks_for_nothing(text: str) -> None:
    network = Network(httpx.Response(503, headers={"Retry-After": text}), ok({"id": "s"}))
    try:
        network.client().subject("s")
    except errors.Unavailable as error:
        assert float(str(error.context["retry_after"])) > 30  # noqa: PT017
    assert len(network.requests) in (1, 2)


# --- the client itself


@pytest.mark.parametrize(
    ("url", "key", "retries"),
    [
        *(
            ("privacy.example.cn", "k", 1),
            ("ftp://privacy.example.cn", "k", 1),
            ("https://privacy.example.cn", "", 1),
        ),
        *(("https://privacy.example.cn", "k\n", 1), ("https://privacy.example.cn", "ké", 1)),
        ("https://privacy.example.cn", "k", -1),
    ],
)
def test_a_client_that_could_not_work_is_refused(url: str, key: str, retries: int) -> None:
    with pytest.raises(errors.Invalid):
        PrivacyClient(url, key, retries=retries)


def test_a_service_below_a_path_is_reached() -> None:
    network = Network(ok({"id": "s"}))
    client = PrivacyClient("https://example.cn/privacy/", "k", transport=httpx.MockTransport(network))
    client.subject("s")
    assert network.requests[0].url.path == "/privacy/v1/subjects/s"


def test_a_closed_client_sends_nothing() -> None:
    network = Network(ok({"id": "s"}))
    with network.client() as client:
        client.close()
    with pytest.raises(RuntimeError):
        client.subject("s")
    assert not network.requests


def test_the_client_imports_httpx_and_our_errors_and_nothing_else() -> None:
    modules: set[str] = set()
    for source in SOURCES:
        tree = ast.parse(source.read_text(encoding="utf-8"))
        modules |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    foreign = {module for module in modules if module.split(".")[0] not in sys.stdlib_module_names}
    assert foreign == {"httpx", "privacy.errors", "privacy.client_shapes", "privacy.client_wire"}


def test_importing_the_client_loads_nothing_else_of_ours_and_only_httpx_from_outside() -> None:
    script = (
        "import sys, json, httpx; before = set(sys.modules); import privacy.client; "
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=SOURCE.parents[1]
    )
    loaded = [name for name in json.loads(run.stdout) if name.split(".")[0] not in sys.stdlib_module_names]
    assert loaded == ["privacy", "privacy.client", "privacy.client_shapes", "privacy.client_wire", "privacy.errors"]
