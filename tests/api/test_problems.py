"""Problems: a status and two titles for each class of error, and no value in any of them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from api.errors import STATUS, TITLES_ZH, problem, rendered, status_of
from privacy import database, errors
from privacy.errors import PrivacyError
from tests.api.test_access import is_problem
from tests.server import Threaded
from tests.world import World

CODE = re.compile(r"[a-z]+(-[a-z]+)*")
HAN = re.compile(r"[\u4e00-\u9fff]")


def _classes(kind: type[PrivacyError] = PrivacyError) -> Iterator[type[PrivacyError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _classes(below)


# Those that a caller may meet under a name of their own; a private subclass speaks for its parent.
PUBLIC = sorted({kind for kind in _classes() if kind.__module__ == errors.__name__}, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_every_class_of_error_has_a_status_and_a_title_in_both_languages(kind: type[PrivacyError]) -> None:
    assert kind in STATUS, "a class without a status of its own"
    assert kind.code in TITLES_ZH, "a class without a Chinese title"
    assert HAN.search(TITLES_ZH[kind.code])
    assert not HAN.search(kind.title)
    assert CODE.fullmatch(kind.code)


def test_no_two_classes_share_a_code() -> None:
    codes = [kind.code for kind in PUBLIC]
    assert sorted(codes) == sorted(set(codes))


def test_a_subclass_of_its_own_module_answers_as_its_parent_does() -> None:
    assert status_of(database.Clash("x")) == STATUS[errors.Conflict]
    assert database.Clash.code == errors.Conflict.code


def test_a_bug_of_ours_says_its_code_and_nothing_else() -> None:
    for kind in (errors.PrivacyError, errors.Corrupt, errors.Unaudited):
        found = problem(kind("13800138000", value="13800138000"), "id")
        assert found["detail"] == kind.title
        assert "13800138000" not in str(found)


def test_of_an_errors_context_a_caller_sees_ids_names_and_counts_only() -> None:
    found = problem(errors.Invalid("no", field="phone", version=3, value="13800138000", row=["x"]), "id")
    assert found["field"] == "phone"
    assert found["version"] == 3
    assert set(found) == {
        "type", "title", "status", "code", "detail", "law", "request_id", "field", "version",
    }  # fmt: skip


def test_waiting_is_told_in_seconds() -> None:
    for error in (errors.Unavailable(retry_after=7), errors.RateLimited(retry_after=7)):
        _, headers, _ = rendered(error, "id")
        assert (b"retry-after", b"7") in headers


@pytest.mark.parametrize(
    ("asked", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("ZH", "zh"),
        ("en-GB,zh", "en"),
        ("fr, zh-TW", "zh"),
        ("fr", "en"),
        ("", "en"),
        ("*", "en"),
    ],
)
def test_a_title_is_in_the_language_that_is_asked_for(desk: httpx.Client, asked: str, language: str) -> None:
    response = desk.get(
        "/v1/records/0192f3a4-7c1e-7b2a-9d55-0242ac120002?purpose=nope", headers={"Accept-Language": asked}
    )
    found = is_problem(response, 403, "undeclared-purpose")
    assert bool(HAN.search(found["title"])) == (language == "zh")
    assert response.headers.get("content-language") == ("zh-CN" if language == "zh" else None)


def test_outside_every_route_the_title_follows_the_language_too(served: Threaded) -> None:
    with served.http() as http:
        assert HAN.search(http.get("/nothing", headers={"Accept-Language": "zh"}).json()["title"])
        assert not HAN.search(http.get("/nothing").json()["title"])


def test_a_refusal_names_the_law(platform: httpx.Client, world: World) -> None:
    stored = world.store(world.subject())
    found = platform.get(f"/v1/records/{stored.id}", params={"purpose": "marketing"})
    assert is_problem(found, 403, "consent-missing")["law"] == ["PIPL-13-1", "PIPL-14", "GDPR-6-1-a"]
