"""What stands in a text in the place of what was found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.detection.entities import ENTITIES
from privacy.detection.findings import Finding
from privacy.detection.redaction import HOW, MASKS, How, canonical, kept, redact
from privacy.errors import Invalid
from privacy.levels import Level
from privacy.masks import MASKS as ALL_MASKS

CHINESE = "我叫王伟，电话13800138000，住北京。"
NAME, PHONE, PLACE = (
    Finding(2, 4, "PERSON", 0.9, "model"),
    Finding(7, 18, "CN_MOBILE", 0.9, "pattern"),
    Finding(20, 22, "LOCATION", 0.8, "model"),
)
FOUND = [NAME, PHONE, PLACE]
ENGLISH = "I am Jane Roe, call +44 20 7946 0018"
IN_ENGLISH = [Finding(5, 13, "PERSON", 0.9, "model"), Finding(20, 36, "PHONE_NUMBER", 0.7, "pattern")]


def token(entity: str, value: str) -> str:
    return f"{len(value)}"


def test_a_name_of_the_kind_stands_in_the_language_of_the_text() -> None:
    assert redact(CHINESE, FOUND, "replace") == "我叫[姓名]，电话[手机号码]，住[地点]。"
    assert redact(ENGLISH, IN_ENGLISH, "replace") == "I am [Name of a person], call [Telephone number]"


def test_a_mask_shows_what_the_entitys_mask_shows_and_of_others_nothing() -> None:
    assert redact(CHINESE, FOUND, "mask") == "我叫王*，电话138****8000，住****。"


def test_every_entity_with_a_mask_is_declared_and_so_is_its_mask() -> None:
    assert set(MASKS) <= set(ENTITIES)
    assert set(MASKS.values()) <= set(ALL_MASKS)


def test_what_is_kept_is_named_by_entity_or_by_level() -> None:
    assert redact(CHINESE, FOUND, "replace", kept(["PERSON"])) == "我叫王伟，电话[手机号码]，住[地点]。"
    assert redact(CHINESE, FOUND, "replace", kept(["L2"])) == "我叫[姓名]，电话[手机号码]，住北京。"
    assert kept(["L4", "PERSON"]) == {Level.L4, "PERSON"}
    with pytest.raises(Invalid):
        kept(["王伟"])


def test_of_two_that_overlap_the_one_that_must_go_prevails() -> None:
    overlapping = [Finding(0, 4, "ORGANIZATION", 0.9, "model"), Finding(2, 6, "PERSON", 0.5, "model")]
    assert redact("甲乙丙丁戊己庚", overlapping, "replace", kept(["ORGANIZATION"])) == "甲乙[姓名]庚"
    assert redact("甲乙丙丁戊己庚", overlapping, "replace") == "[组织机构]庚"


def test_a_keyed_form_without_a_key_is_refused() -> None:
    for how in ("hash", "pseudonym"):
        with pytest.raises(Invalid):
            redact(CHINESE, FOUND, how)
    assert redact(CHINESE, [NAME], "hash", token=token) == "我叫[姓名:9]，电话13800138000，住北京。"


def test_spellings_of_one_value_are_one_value_to_a_key() -> None:
    assert canonical("CN_MOBILE", "１３８ 0013-8000") == canonical("CN_MOBILE", "13800138000")
    assert canonical("PERSON", "JANE ROE") == canonical("PERSON", "Jane Roe")
    assert canonical("EMAIL_ADDRESS", "a.b@example.com") != canonical("EMAIL_ADDRESS", "ab@example.com")
    assert canonical("PERSON", "13800138000") != canonical("CN_MOBILE", "13800138000")


ANY_TEXT = st.text("王伟 abc13800@.，\n\ud800\U0001f600", min_size=1, max_size=60)


@st.composite
def texts_and_findings(draw: st.DrawFn) -> tuple[str, list[Finding]]:
    """Findings of any kind, overlapping and out of the text's bounds as well."""
    text = draw(ANY_TEXT)
    places = st.integers(-3, len(text) + 3)
    spans = draw(st.lists(st.tuples(places, places, st.sampled_from(sorted(ENTITIES))), max_size=6))
    return text, [Finding(start, end, entity, 0.5, "model") for start, end, entity in spans]


@given(texts_and_findings(), st.sampled_from(HOW))
def test_no_character_of_what_goes_is_left_and_no_other_is_lost(drawn: tuple[str, list[Finding]], how: How) -> None:
    text, found = drawn
    marks = ["\x00" if any(one.start <= n < one.end for one in found) else kept for n, kept in enumerate(text)]
    outside = [piece for piece in "".join(marks).split("\x00") if piece]
    redacted = redact(text, found, how, token=token)
    at = 0
    for piece in outside:
        at = redacted.index(piece, at) + len(piece)
    if not found:
        assert redacted == text
