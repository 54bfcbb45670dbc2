"""The page of a risk report: safe to serve and to save, equal in both languages, readable without its pictures."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from privacy.anonymisation.checking import measure
from privacy.anonymisation.joint_releases import Membership, joint
from privacy.anonymisation.release_requests import RecipientClass
from privacy.anonymisation.risk_page import CONTENT_SECURITY_POLICY, render
from privacy.anonymisation.risks import RiskReport, journalist_by_fraction, report

LANGUAGES = ("zh", "en")
_VOID = {"meta", "line", "rect", "br", "link", "img"}


def _report(k: int = 5) -> RiskReport:
    before = measure({"city": ["A", "B", "B", *"CCCCC"], "illness": [*"xyyxyxyz"]}, ["city"], ["illness"])
    after = measure({"city": ['<b>"C"</b>'] * 5, "illness": [*"xyxyz"]}, ["city"], ["illness"])
    rows = np.arange(5)
    again = joint(Membership(rows, rows // 5), Membership(rows, rows // 3), 5, "<2026-09>")
    return report(
        before, after, k=k, recipient=RecipientClass.CONTROLLED, loss=0.25,
        journalist=journalist_by_fraction(after, 0.5, 0.2), joint=[again],
    )  # fmt: skip


class _Page(HTMLParser):
    """What a page is made of; raises where an element is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_runs_nothing_and_asks_for_nothing(language: str) -> None:
    page = _Page(render(_report(), language))
    assert {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object", "form", "a"} == set()
    for _, attributes in page.tags:
        assert {"style", "src", "href", "xlink:href"} & set(attributes) == set()
        assert not any(name.startswith("on") for name in attributes)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_policy_that_the_page_carries_allows_its_own_style_and_nothing_else(language: str) -> None:
    text = render(_report(), language)
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policies = [one["content"] for one in _Page(text).of("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    assert policies == [CONTENT_SECURITY_POLICY]
    assert f"style-src 'sha256-{digest}'" in CONTENT_SECURITY_POLICY
    assert CONTENT_SECURITY_POLICY.startswith("default-src 'none'")
    assert "url(" not in style
    assert "@import" not in style


@pytest.mark.parametrize("language", LANGUAGES)
def test_names_and_labels_are_text_and_never_markup(language: str) -> None:
    text = render(_report(), language)
    assert "<b>" not in text
    assert "&lt;b&gt;&quot;C&quot;&lt;/b&gt;" in text
    assert "&lt;2026-09&gt;" in text


def test_both_languages_are_built_alike() -> None:
    chinese, english = (_Page(render(_report(), language)) for language in LANGUAGES)
    assert [tag for tag, _ in chinese.tags] == [tag for tag, _ in english.tags]
    assert chinese.of("html")[0]["lang"] == "zh-CN"
    assert english.of("html")[0]["lang"] == "en"
    words = " ".join(english.text)
    assert re.findall(r"[一-鿿]", words) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_picture_has_a_title_and_every_table_headers_in_scope(language: str) -> None:
    page = _Page(render(_report(), language))
    names = {attributes.get("id") for _, attributes in page.tags if attributes.get("id")}
    pictures = page.of("svg")
    assert pictures
    assert all(one["role"] == "img" and one["aria-labelledby"] in names for one in pictures)
    assert len(page.of("title")) == 1 + len(pictures)
    assert all(one.get("scope") in {"col", "row", "colgroup"} for one in page.of("th"))
    scrolled = [attributes for _, attributes in page.tags if attributes.get("class") == "wide"]
    assert len(scrolled) == len(page.of("table"))
    assert all(one["tabindex"] == "0" and one["aria-label"] for one in scrolled)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_the_charts_show_stands_in_the_tables_too(language: str) -> None:
    text = render(_report(), language)
    drawn = set(re.findall(r">([\d.]+ %)</text>", text))
    told = set(re.findall(r'<td class="number">([\d.]+ %)</td>', text))
    assert drawn <= told


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_release_that_does_not_hold_says_so_first(language: str) -> None:
    assert 'class="verdict"' in render(_report(), language)
    broken = render(_report(k=6), language)
    assert 'class="verdict broken"' in broken
    assert {"zh": "少于所要求的 6 行", "en": "fewer than the 6 asked for"}[language] in broken


def test_the_colours_of_text_and_bars_stand_out_from_the_paper() -> None:
    """WCAG 2.2, 1.4.3: 4.5 to 1 for text; 1.4.11: 3 to 1 for parts of pictures."""
    text = render(_report(), "en")
    for colour in [*re.findall(r'fill="(#[0-9a-f]{6})"', text), "#1f2937", "#4b5563"]:
        assert 1.05 / (_luminance(colour) + 0.05) >= 4.5


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
