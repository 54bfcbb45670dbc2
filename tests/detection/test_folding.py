"""Folding moves nothing: what is found in the folded text stands at the same offsets of the text."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from privacy.detection.folding import ascii_image, fold

_ANY = st.text(
    st.one_of(st.characters(), st.sampled_from("０９ＡｚＸ－．：（）＠　\u00a0\u200b\u00ad—·・•７𝟏٣०İ㎏ﬁ①½Ⅷ㈱℡"))
)


@given(_ANY)
def test_folding_keeps_every_character_at_its_place(text: str) -> None:
    folded = fold(text)
    assert len(folded) == len(text)
    assert folded == "".join(fold(character) for character in text)
    assert fold(folded) == folded


@given(_ANY)
def test_the_image_is_ascii_and_as_long_as_the_text(text: str) -> None:
    image = ascii_image(text)
    assert image.isascii()
    assert len(image) == len(text)
    assert all(shown in (folded, "?") for shown, folded in zip(image, fold(text), strict=True))


@given(st.characters(categories=["Nd"]))
def test_a_decimal_digit_of_any_script_is_that_digit(character: str) -> None:
    assert fold(character) == str(unicodedata.decimal(character))


@given(st.characters(min_codepoint=0xFF01, max_codepoint=0xFF5E))
def test_a_full_width_form_is_its_ascii_character(character: str) -> None:
    assert fold(character) == unicodedata.normalize("NFKC", character)


def test_what_would_grow_under_compatibility_folding_is_left_alone() -> None:
    text = "℡①㈱ﬁ㎏½Ⅷ"
    assert fold(text) == text
    assert len(unicodedata.normalize("NFKC", text)) > len(text)


def test_spaces_dashes_and_dots_are_one_each() -> None:
    assert fold("\u3000\u00a0\u2009\u200b") == "    "
    assert fold("‐‑–—−－") == "------"
    assert fold("•・‧") == "···"
