"""`/v1/scan` and `/v1/redact`: what is answered, who may ask, what is left on record, and that no text is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import uuid4

import httpx
import pytest

from privacy import errors, scanning
from privacy.detection.analyser import LANGUAGES
from privacy.work import Work
from tests.api.test_access import is_problem
from tests.server import Threaded, in_thread
from tests.world import World

PHONE = "13800138000"
TEXT = f"联系人电话{PHONE}，另一个是139 1234 5678"
MAIL = "write to wang.wei@example.cn please"


@pytest.fixture
def world(world: World) -> World:
    """By patterns, in the service's own process: how a text is asked about does not depend on the models."""
    world.service.settings = replace(world.service.settings, detection="patterns", detection_workers=0)
    return world


@pytest.fixture
def operator(served: Threaded, world: World) -> Iterator[httpx.Client]:
    with served.http(world.keys["operator"]) as client:
        yield client


def redacted(http: httpx.Client, text: str = TEXT, **options: Any) -> Any:
    answer = http.post("/v1/redact", json={"text": text, **options})
    assert answer.status_code == 200, answer.text
    return answer.json()


def event_of(world: World, action: str) -> dict[str, Any]:
    return world.events(action=action)[-1]


def test_a_scan_says_where_what_how_sure_and_why(desk: httpx.Client) -> None:
    answer = desk.post("/v1/scan", json={"texts": [TEXT, "今天天气很好", MAIL]}).json()
    first, nothing, third = answer["items"]
    assert [(one["entity"], TEXT[one["start"] : one["end"]], one["level"]) for one in first["findings"]] == [
        ("CN_MOBILE", PHONE, "L3"),
        ("CN_MOBILE", "139 1234 5678", "L3"),
    ]
    assert all(0.4 <= one["score"] <= 1 and one["why"] for one in first["findings"])
    assert (first["level"], nothing) == ("L3", {"findings": [], "level": None})
    assert third["findings"][0]["entity"] == "EMAIL_ADDRESS"
    assert answer["mode"] == "patterns"
    assert "PERSON" in answer["blind_to"]


def test_one_text_answers_as_a_batch_of_one(desk: httpx.Client) -> None:
    alone, batch = (desk.post("/v1/scan", json=body).json() for body in ({"text": TEXT}, {"texts": [TEXT]}))
    assert alone == batch
    assert len(alone["items"]) == 1


def test_a_redacted_text_is_labelled_de_identified_and_nowhere_anonymous(desk: httpx.Client) -> None:
    answer = redacted(desk)
    assert answer["items"][0]["text"] == "联系人电话[手机号码]，另一个是[手机号码]"
    assert answer["label"] == {"en": "de-identified", "zh": "去标识化"}
    assert "anonym" not in json.dumps(answer)
    assert redacted(desk, MAIL)["items"][0]["text"] == "write to [E-mail address] please"
    assert redacted(desk, how="mask")["items"][0]["text"] == "联系人电话138****8000，另一个是139****5678"


def test_what_is_kept_stays_and_is_told(desk: httpx.Client) -> None:
    text = f"{MAIL} {PHONE}"
    (item,) = redacted(desk, text, keep=["EMAIL_ADDRESS"])["items"]
    assert "wang.wei@example.cn" in item["text"]
    assert [one["entity"] for one in item["kept"]] == ["EMAIL_ADDRESS"]
    assert [one["entity"] for one in item["redacted"]] == ["CN_MOBILE"]
    (item,) = redacted(desk, text, keep=["L3"])["items"]
    assert (item["text"], item["redacted"]) == (text, [])


def test_a_hash_is_the_same_wherever_the_value_stands_and_is_not_the_values_own(desk: httpx.Client) -> None:
    (one,) = redacted(desk, f"电话{PHONE}", how="hash")["items"]
    (other,) = redacted(desk, "call １３８００１３８０００ now", how="hash")["items"]
    token = one["text"].removeprefix("电话[手机号码:").removesuffix("]")
    assert len(token) == 32
    assert token in other["text"]
    assert PHONE not in one["text"]


def test_a_pseudonym_stays_the_same_for_one_subject_and_purpose_and_for_no_other(
    desk: httpx.Client, platform: httpx.Client, operator: httpx.Client, world: World
) -> None:
    subject, other = world.subject(), world.subject()

    def pseudonym(http: httpx.Client, whose: object, purpose: str, text: str = f"电话{PHONE}") -> str:
        answer = redacted(http, text, how="pseudonym", subject_id=str(whose), purpose=purpose)
        found: str = answer["items"][0]["text"]
        return found.partition(":")[2]

    first = pseudonym(desk, subject, "customer-service")
    assert first == pseudonym(desk, subject, "customer-service", "电话138 0013 8000")
    assert first == pseudonym(operator, subject, "customer-service")
    others = {
        pseudonym(desk, other, "customer-service"),
        pseudonym(platform, subject, "membership"),
        pseudonym(desk, subject, "customer-service", "电话13800138001"),
    }
    assert len(others | {first}) == 4


def test_a_pseudonym_needs_a_subject_that_is_there_and_a_purpose_of_ones_own(desk: httpx.Client, world: World) -> None:
    def ask(**options: Any) -> httpx.Response:
        return desk.post("/v1/redact", json={"text": TEXT, **options})

    subject = str(world.subject())
    for body in ({}, {"subject_id": subject}, {"purpose": "customer-service"}):
        is_problem(ask(how="pseudonym", **body), 400, "invalid")
    is_problem(ask(how="mask", subject_id=subject, purpose="customer-service"), 400, "invalid")
    of = {"how": "pseudonym", "subject_id": subject}
    is_problem(ask(**of, purpose="nowhere"), 403, "undeclared-purpose")
    is_problem(ask(**of, purpose="membership"), 403, "not-granted")
    is_problem(ask(**of | {"subject_id": str(uuid4())}, purpose="customer-service"), 404, "not-found")
    refused = world.events(action="text.redacted", outcome="refused")
    assert [event["purpose"] for event in refused] == [None, "membership"]


def test_bad_input_has_a_stable_code_and_is_not_repeated(desk: httpx.Client) -> None:
    bad: list[Any] = [
        {},
        {"text": TEXT, "texts": [TEXT]},
        {"texts": []},
        {"texts": [TEXT] * 101},
        {"text": TEXT, "languages": ["fr"]},
        {"text": TEXT, "languages": []},
        {"text": 1},
        {"text": TEXT, TEXT: 1},
    ]
    for path in ("/v1/scan", "/v1/redact"):
        for body in bad:
            assert PHONE not in json.dumps(is_problem(desk.post(path, json=body), 400, "invalid"))
        is_problem(desk.post(path, json={"text": "王" * 100_001}), 413, "too-large")
    for options in ({"how": "anonymise"}, {"keep": [PHONE]}, {"keep": ["L9"]}):
        found = is_problem(desk.post("/v1/redact", json={"text": TEXT, **options}), 400, "invalid")
        assert PHONE not in json.dumps(found)
    assert desk.post("/v1/scan", json={"text": "王" * 100_000}).status_code == 200


def test_each_call_is_on_record_with_counts_and_without_a_text(desk: httpx.Client, world: World) -> None:
    # Broken by hand: the event's detail with the texts themselves; `record` left out of the route.
    subject = world.subject()
    desk.post("/v1/scan", json={"texts": [TEXT, MAIL], "languages": ["zh"]})
    found = event_of(world, "text.scanned")
    assert (found["actor"], found["outcome"], found["fields"]) == ("desk", "done", None)
    assert found["detail"] == {
        "texts": 2,
        "characters": len(TEXT) + len(MAIL),
        "languages": ["zh"],
        "mode": "patterns",
        "entities": {"CN_MOBILE": 2, "EMAIL_ADDRESS": 1},
    }
    redacted(desk, f"{MAIL} {PHONE}", keep=["EMAIL_ADDRESS"], how="pseudonym", subject_id=str(subject),
             purpose="customer-service")  # fmt: skip
    found = event_of(world, "text.redacted")
    assert (found["subject_id"], found["purpose"]) == (subject, "customer-service")
    assert found["detail"]["how"] == "pseudonym"
    assert (found["detail"]["entities"], found["detail"]["kept"]) == ({"CN_MOBILE": 1}, {"EMAIL_ADDRESS": 1})
    everything = repr(world.events())
    assert PHONE not in everything
    assert "wang.wei" not in everything


def test_without_an_event_there_is_no_answer(desk: httpx.Client, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event is what the answer waits for, not a by-product of it."""

    def fails(work: Work, *_: object) -> None:
        raise errors.AuditUnavailable

    monkeypatch.setattr(scanning, "record", fails)
    for path in ("/v1/scan", "/v1/redact"):
        is_problem(desk.post(path, json={"text": TEXT}), 503, "audit-unavailable")


def test_an_auditor_brings_no_texts_and_the_refusal_is_on_record(auditor: httpx.Client, world: World) -> None:
    # Broken by hand: `work.require` taken out of `admit`.
    for path, action in (("/v1/scan", "text.scanned"), ("/v1/redact", "text.redacted")):
        is_problem(auditor.post(path, json={"text": TEXT}), 403, "not-granted")
        assert [event["outcome"] for event in world.events(action=action)] == ["refused"]


def test_where_detection_is_off_a_scan_is_refused_and_nothing_else_is(desk: httpx.Client, world: World) -> None:
    world.service.settings = replace(world.service.settings, detection="off")
    for path in ("/v1/scan", "/v1/redact"):
        is_problem(desk.post(path, json={"text": TEXT}), 403, "detection-off")
    assert desk.get("/v1/purposes").status_code == 200
    assert world.events(action="text.scanned")[-1]["outcome"] == "refused"


def test_the_service_starts_and_answers_before_any_worker_does(world: World) -> None:
    world.service.settings = replace(world.service.settings, detection="full", detection_workers=2)
    with in_thread(world.service) as served, served.http(world.keys["desk"]) as desk:
        assert desk.get("/v1/purposes").status_code == 200
        assert world.service.detector.pids == ()


def test_many_callers_at_once_each_get_their_own(served: Threaded, world: World) -> None:
    def ask(n: int) -> bool:
        text = f"第{n}位，电话1390013{n:04d}"
        with served.http(world.keys["desk"]) as desk:
            answer = desk.post("/v1/redact", json={"text": text, "how": "mask"}).json()
        found: bool = answer["items"][0]["text"] == f"第{n}位，电话139****{n:04d}"
        return found

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(40)))
    assert len(world.events(action="text.redacted")) == 40


def test_the_client_scans_and_redacts(served: Threaded, world: World) -> None:
    subject = world.subject()
    with served.client(world.keys["desk"]) as privacy:
        scan = privacy.scan([TEXT, "今天天气很好"], languages=LANGUAGES)
        assert [TEXT[one.start : one.end] for one in scan.items[0].findings] == [PHONE, "139 1234 5678"]
        assert (scan.items[0].level, scan.items[1].findings, scan.mode) == ("L3", (), "patterns")
        assert privacy.scan(MAIL).items[0].findings[0].entity == "EMAIL_ADDRESS"
        found = privacy.redact(TEXT, how="mask", keep="L2")
        assert found.items[0].text == "联系人电话138****8000，另一个是139****5678"
        assert (found.how, found.label["en"]) == ("mask", "de-identified")
        assert "138****8000" not in repr(found)
        known = privacy.redact(TEXT, how="pseudonym", subject_id=subject, purpose="customer-service")
        assert known == privacy.redact(TEXT, how="pseudonym", subject_id=str(subject), purpose="customer-service")
        with pytest.raises(errors.Invalid):
            privacy.redact(TEXT, how="pseudonym")
