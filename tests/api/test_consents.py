"""Consent over HTTP: one act each, the signal, receipts, history, and the sentences of a decision."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import httpx
import pytest

from privacy import declaration, manifest, notices, principals
from privacy.errors import SignatureInvalid
from privacy.signed_documents import parse, verify
from privacy.work import TERMINAL, Role
from tests.server import Threaded
from tests.world import MANIFEST, PERSON, World

ZH: Final = {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.5"}
EN: Final = {"Accept-Language": "en-GB"}
# A purpose for each kind of answer that the gate can give.
PURPOSES: Final = """\
  identity-check:
    title: {zh: 实名核验, en: Identity check}
    basis: consent
    uses: {member: [name, id_number]}
    keep: P30D
    consent: {separate: true}
  partner-offers:
    title: {zh: 合作伙伴优惠, en: Partner offers}
    basis: consent
    opt_out: share
    uses: {member: [phone]}
    keep: P1Y
"""


@pytest.fixture
def platform(served: Threaded, world: World) -> Iterator[httpx.Client]:
    """The platform, granted every purpose, of a manifest that has one for each kind of answer."""
    text = MANIFEST.replace("recipients:\n", PURPOSES + "recipients:\n")
    wanted = manifest.parse(text, "wider.yaml")
    with world.service.begin(TERMINAL) as work:
        notices.follow(work, wanted, declaration.apply(work, wanted).version)
        key = principals.add(work, "everything", role=Role.SERVICE, purposes=["*"], types=["*"]).key
    with served.http(key) as http:
        yield http


def _today() -> date:
    return datetime.now(UTC).date()


def _subject(http: httpx.Client, **facts: Any) -> str:
    return str(http.post("/v1/subjects", json=facts).json()["id"])


def _act(http: httpx.Client, subject: str, body: dict[str, Any], **headers: str) -> httpx.Response:
    return http.post(f"/v1/subjects/{subject}/consents", json=body, headers=headers)


def _decision(http: httpx.Client, subject: str, purpose: str, language: dict[str, str], **more: str) -> dict[str, Any]:
    params = {"purpose": purpose, "type": "member", **more}
    found = http.get(f"/v1/subjects/{subject}/decision", params=params, headers=language)
    assert found.status_code == 200, found.text
    assert found.headers["content-language"] == ("zh-CN" if language is ZH else "en")
    answer: dict[str, Any] = found.json()
    return answer


def _refused(http: httpx.Client, subject: str, purpose: str, code: str, en: list[str], zh: list[str]) -> None:
    """Both languages say in one sentence what is missing and which article asks for it; the read says the same."""
    for language, words, end in ((EN, en, ")."), (ZH, zh, "）。")):
        refusal = _decision(http, subject, purpose, language)["refusal"]
        assert refusal["code"] == code
        sentence = refusal["detail"]
        assert all(word in sentence for word in words), sentence
        assert sentence.endswith(end)
        assert sentence.count(end) == 1
        read = http.get(
            f"/v1/subjects/{subject}/records", params={"purpose": purpose, "type": "member"}, headers=language
        )
        assert (read.status_code, read.json()["code"], read.json()["detail"]) == (403, code, sentence)


def test_a_decision_says_in_the_language_asked_for_what_is_missing_and_which_article_asks_for_it(
    platform: httpx.Client, served: Threaded, world: World
) -> None:
    # 13 years old
    child = _subject(platform, born=(_today() - timedelta(days=13 * 366)).isoformat())
    guardian = ["under 14", "guardian", "Article 31"], ["未满14周岁", "监护人", "《个人信息保护法》第三十一条"]
    _refused(platform, child, "marketing", "guardian-consent-missing", *guardian)
    # a withdrawn marketing consent
    subject = _subject(platform)
    stored = platform.post(
        f"/v1/subjects/{subject}/records", json={"type": "member", "purposes": ["membership"], "data": PERSON}
    )
    assert stored.status_code == 201
    _act(platform, subject, {"purpose": "marketing", "decision": "given"})
    platform.post(f"/v1/subjects/{subject}/consents/marketing/withdraw")
    gone = ["withdrawn", "Marketing", "Article 15"], ["已撤回", "营销", "《个人信息保护法》第十五条"]
    _refused(platform, subject, "marketing", "consent-missing", *gone)
    # an L4 field without separate consent
    _act(platform, subject, {"purpose": "identity-check", "decision": "given"})
    separate = ["separate", "sensitive data", "Article 29"], ["单独同意", "敏感个人信息", "第二十九条"]
    _refused(platform, subject, "identity-check", "separate-consent-missing", *separate)
    for language, says in ((EN, "separate"), (ZH, "单独同意")):
        field = _decision(platform, subject, "identity-check", language)["fields"]["id_number"]
        assert (field["give"], field["code"]) == ("withheld", "separate-consent-missing")
        assert says in field["why"]
    needed = _decision(platform, subject, "identity-check", EN)["refusal"]["needed"]
    assert needed == ["declared", "sensitive"]
    # a stale notice
    other = _subject(platform)
    _act(platform, other, {"purpose": "marketing", "decision": "given"})
    with world.service.begin(TERMINAL) as work:
        notices.publish(work, notices.draft(work.declared.manifest, "2026-12"), material=["marketing"])
    stale = ["materially changed", "Article 14"], ["实质变更", "《个人信息保护法》第十四条"]
    _refused(platform, other, "marketing", "consent-stale", *stale)
    # a restricted subject
    platform.post(f"/v1/subjects/{other}/restrictions", json={})
    limited = ["restricted", "Article 44"], ["已被限制", "《个人信息保护法》第四十四条"]
    _refused(platform, other, "membership", "restricted", *limited)
    # and what a purpose has no use for is told as well
    for language, says in ((EN, "no declared use"), (ZH, "未声明使用")):
        assert says in _decision(platform, subject, "customer-service", language)["fields"]["email"]["why"]


def test_a_european_reads_the_articles_of_the_gdpr(served: Threaded, world: World) -> None:
    text = MANIFEST.replace("jurisdiction: CN\n  languages", "jurisdiction: DE\n  languages")
    with world.service.begin(TERMINAL) as work:
        declaration.apply(work, manifest.parse(text, "german.yaml"))
    with served.http(world.keys["platform"]) as http:
        subject = _subject(http, jurisdiction="DE")
        sentence = _decision(http, subject, "marketing", EN)["refusal"]["detail"]
        assert "GDPR Article 6" in sentence
        assert "PIPL" not in sentence
        child = _subject(http, jurisdiction="DE", born=(_today() - timedelta(days=15 * 366)).isoformat())
        sentence = _decision(http, child, "marketing", EN)["refusal"]["detail"]
        assert "under 16" in sentence
        assert "GDPR Article 8" in sentence


def test_several_choices_are_answered_one_by_one_and_cannot_be_bundled(platform: httpx.Client) -> None:
    subject = _subject(platform)
    choices = [
        {"purpose": "marketing", "decision": "given", "language": "zh-CN"},
        {"purpose": "identity-check", "decision": "given", "separate": True},
        {"purpose": "partner-offers", "decision": "refused"},
    ]
    made = _act(platform, subject, {"choices": choices})
    assert made.status_code == 201
    assert [one["state"] for one in made.json()["items"]] == ["given", "given", "refused"]
    assert len({one["id"] for one in made.json()["items"]}) == 3
    bundles: list[dict[str, Any]] = [
        {"purpose": ["marketing", "identity-check"], "decision": "given"},
        {"choices": choices, "separate": True},
        {"choices": choices, "purpose": "marketing", "decision": "given"},
        {"choices": []},
        {"decision": "given"},
    ]
    for bundled in bundles:
        assert _act(platform, subject, bundled).status_code == 400


def test_asking_again_within_the_cool_off_answers_409_with_the_date(platform: httpx.Client) -> None:
    subject = _subject(platform)
    _act(platform, subject, {"purpose": "marketing", "decision": "refused"})
    for language in (EN, ZH):
        again = _act(platform, subject, {"purpose": "marketing", "decision": "requested"}, **language)
        assert (again.status_code, again.json()["code"]) == (409, "cool-off")
        assert again.json()["until"][:10] in again.json()["detail"]


def test_the_signal_counts_on_every_consent_route_even_when_the_request_is_refused(platform: httpx.Client) -> None:
    gpc = {"Sec-GPC": "1"}
    offered = {"purpose": "partner-offers", "decision": "given"}
    for method, route, body in (
        ("GET", "consents", None),
        ("POST", "consents", offered),
        ("POST", "consents/marketing/withdraw", None),
    ):
        subject = _subject(platform)
        _act(
            platform,
            subject,
            {"choices": [{"purpose": name, "decision": "given"} for name in ("marketing", "partner-offers")]},
        )
        platform.request(method, f"/v1/subjects/{subject}/{route}", json=body, headers=gpc)
        found = platform.get(f"/v1/subjects/{subject}/consents").json()["items"]
        states = {one["purpose"]: (one["state"], one["channel"]) for one in found}
        assert states["partner-offers"] == ("withdrawn", "gpc")
    refused = _act(platform, subject, {"purpose": "partner-offers", "decision": "given"}, **gpc)
    assert (refused.status_code, refused.json()["code"]) == (409, "opted-out")
    assert _act(platform, subject, {"purpose": "marketing", "decision": "given"}, **gpc).status_code == 201
    for other in ("0", "true", "11", ""):
        fresh = _subject(platform)
        given = _act(platform, fresh, {"purpose": "partner-offers", "decision": "given"}, **{"Sec-GPC": other})
        assert given.status_code == 201


def test_the_signal_is_announced(platform: httpx.Client, served: Threaded) -> None:
    with served.http() as anybody:
        assert anybody.get("/.well-known/gpc.json").json()["gpc"] is True


@pytest.mark.parametrize("form", ["dpv", "kantara"])
def test_a_receipt_verifies_offline_and_no_field_of_it_can_be_changed(
    platform: httpx.Client, world: World, form: str
) -> None:
    subject = _subject(platform)
    given = _act(
        platform, subject, {"purpose": "marketing", "decision": "given", "language": "zh-CN", "channel": "web"}
    )
    path = f"/v1/subjects/{subject}/consents/{given.json()['id']}/receipt"
    answer = platform.get(path, params={"format": form})
    assert answer.status_code == 200, answer.text
    receipt = parse(answer.content)
    trusted = world.service.keyring.signer.public
    assert verify(receipt, trusted=[trusted]).public == trusted
    assert subject in answer.text
    assert PERSON["phone"] not in answer.text
    changed = list(_changed(receipt))
    assert len(changed) > (60 if form == "dpv" else 25)
    for other in changed:
        with pytest.raises(SignatureInvalid):
            verify(other, trusted=[trusted])


def test_a_receipt_says_what_the_consent_has_come_to(platform: httpx.Client) -> None:
    subject = _subject(platform)
    given = _act(platform, subject, {"purpose": "marketing", "decision": "given"}).json()
    path = f"/v1/subjects/{subject}/consents/{given['id']}/receipt"
    assert "dpv:ConsentGiven" in platform.get(path).text
    platform.post(f"/v1/subjects/{subject}/consents/marketing/withdraw")
    assert "dpv:ConsentWithdrawn" in platform.get(path).text
    assert platform.get(path, params={"format": "kantara"}).status_code == 409
    stranger = _subject(platform)
    assert platform.get(f"/v1/subjects/{stranger}/consents/{given['id']}/receipt").status_code == 404


def _changed(value: Any) -> Iterator[Any]:
    """The document with one character of one value changed, for each value in it."""
    for path in _paths(value):
        other = deepcopy(value)
        at = other
        for step in path[:-1]:
            at = at[step]
        was = at[path[-1]]
        match was:
            case bool():
                at[path[-1]] = not was
            case str():
                at[path[-1]] = ("b" if was[:1] == "a" else "a") + was[1:]
            case int():
                at[path[-1]] = was + 1
            case None:
                at[path[-1]] = "a"
        yield other


def _paths(value: Any) -> Iterator[tuple[Any, ...]]:
    steps = value.items() if isinstance(value, dict) else enumerate(value)
    for step, inner in steps:
        if isinstance(inner, dict | list):
            yield from ((step, *rest) for rest in _paths(inner))
        else:
            yield (step,)


def test_history_and_at_answer_over_http(platform: httpx.Client, world: World) -> None:
    subject = _subject(platform)
    world.clock.advance(seconds=1)
    before = world.service_now().isoformat().replace("+00:00", "Z")
    world.clock.advance(seconds=1)
    _act(platform, subject, {"purpose": "marketing", "decision": "given"})
    world.clock.advance(days=1)
    between = world.service_now().isoformat().replace("+00:00", "Z")
    world.clock.advance(days=1)
    platform.post(f"/v1/subjects/{subject}/consents/marketing/withdraw")
    of = f"/v1/subjects/{subject}/consents"
    assert platform.get(of, params={"at": before}).json()["items"] == []
    (then,) = platform.get(of, params={"at": between}).json()["items"]
    assert (then["state"], then["is_valid"], then["notice"]) == ("given", True, "2")
    (now,) = platform.get(of).json()["items"]
    assert (now["state"], now["is_valid"]) == ("withdrawn", False)
    assert [one["state"] for one in platform.get(of, params={"history": "true"}).json()["items"]] == [
        "given",
        "withdrawn",
    ]
    assert platform.get(of, params={"at": "2026-05-01T08:00:00"}).status_code == 400
    assert platform.get(of, params={"at": "2100-01-01T00:00:00Z"}).status_code == 400


def test_a_notice_is_read_in_the_language_asked_for(platform: httpx.Client) -> None:
    newest = platform.get("/v1/notices").json()["items"][0]
    assert newest["version"] == "2"
    chinese = platform.get("/v1/notices/2", headers=ZH)
    assert chinese.headers["content-language"] == "zh-CN"
    assert "营销" in chinese.json()["texts"]["marketing"]["text"]
    english = platform.get("/v1/notices/2", params={"language": "en"}, headers=ZH).json()
    assert english["language"] == "en"
    assert "Marketing" in english["texts"]["marketing"]["text"]
    assert any(row["purpose"] == "marketing" for row in english["collected"])
    assert any(row["recipient"] == "sms-gateway" for row in english["shared"])
    assert platform.get("/v1/notices/2", params={"language": "fr"}).status_code == 404
    assert platform.get("/v1/notices/none").status_code == 404
    assert json.loads(chinese.text)["digest"] != english["digest"]
