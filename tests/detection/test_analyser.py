"""Patterns and both engines behind one call: by script, in pieces, with the offsets of the whole."""

from __future__ import annotations

import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from privacy.detection.analyser import Analyser, blind_to, known, language_of
from privacy.detection.findings import Finding
from privacy.errors import Invalid

ROOT = Path(__file__).resolve().parents[2]
PHONE = "13800138000"


@pytest.fixture(scope="module")
def patterns() -> Analyser:
    return Analyser("patterns")


@pytest.fixture(scope="module")
def full() -> Analyser:
    return Analyser("full")


def said(text: str, found: list[Finding]) -> set[tuple[str, str]]:
    return {(one.entity, text[one.start : one.end]) for one in found}


def entities_of(analyser: Analyser, text: str) -> set[tuple[str, str]]:
    return said(text, analyser.analyse([text])[0])


def test_patterns_find_numbers_and_say_that_they_see_no_names(patterns: Analyser) -> None:
    text = f"我叫王伟，电话{PHONE}"
    assert entities_of(patterns, text) == {("CN_MOBILE", PHONE)}
    assert {"PERSON", "ADDRESS", "LOCATION", "ORGANIZATION"} <= set(patterns.blind_to)
    assert blind_to("full") == ()


def test_both_languages_are_found_in_one_batch_each_text_by_itself(full: Analyser) -> None:
    texts = [f"我叫王伟，电话{PHONE}", "", "My name is John Smith and I live in London.", "　\n"]
    found = full.analyse(texts)
    assert ("PERSON", "王伟") in said(texts[0], found[0])
    assert ("CN_MOBILE", PHONE) in said(texts[0], found[0])
    assert ("PERSON", "John Smith") in said(texts[2], found[2])
    assert found[1] == found[3] == []
    assert found == [full.analyse([text])[0] for text in texts]


def test_a_latin_name_within_chinese_is_found_where_it_stands(full: Analyser) -> None:
    text = "客户王伟说：请联系 John Smith，谢谢。"
    assert {("PERSON", "王伟"), ("PERSON", "John Smith")} <= entities_of(full, text)


def test_only_the_languages_that_are_asked_for_are_analysed(full: Analyser) -> None:
    text = f"客户王伟说：请联系 John Smith，电话{PHONE}。"
    chinese = said(text, full.analyse([text], ["zh"])[0])
    english = said(text, full.analyse([text], ["en"])[0])
    assert ("PERSON", "王伟") in chinese - english
    assert ("PERSON", "John Smith") in english
    assert ("CN_MOBILE", PHONE) in chinese & english
    for wrong in ([], ["fr"], ["zh", "fr"]):
        with pytest.raises(Invalid):
            full.analyse([text], wrong)
    assert known(["en", "zh", "en"]) == ("zh", "en")


def test_in_a_long_text_everything_is_found_at_its_place(full: Analyser) -> None:
    """Longer than a piece, so that pieces begin in its midst."""
    filler = "今天天气很好，我们去公园散步。" * 40 + "\n"
    lines = [f"第{n}位客户叫王伟，电话1380013{n:04d}。" for n in range(30)]
    text = filler.join(lines)
    assert len(text) > 4 * 4000
    found = full.analyse([text])[0]
    names = [one for one in found if text[one.start : one.end] == "王伟"]
    assert len(names) == len(lines)
    assert sum(one.entity == "CN_MOBILE" for one in found) == len(lines)
    assert all(before.end <= after.start for before, after in pairwise(found))


def test_halves_of_characters_and_control_characters_do_no_harm(full: Analyser) -> None:
    text = f"\ud83d我叫王伟\x00\udc00，电话{PHONE}\ud800"
    assert ("CN_MOBILE", PHONE) in entities_of(full, text)
    full.analyse(["\ud800", "John \udfff Smith", "\x00" * 50, "🙂" * 50])


def test_a_long_document_costs_no_more_a_character_than_a_short_one(patterns: Analyser) -> None:
    """The bench measures 10 kB against 1 MB with models; here what would be quadratic shows by orders of magnitude."""
    line = f"客户来电，电话{PHONE}，邮箱wang.wei@example.com，问订单何时发货，已答复。\n"
    short, long = line * 200, line * 10_000
    patterns.analyse([short])

    def seconds(text: str) -> float:
        best = float("inf")
        for _ in range(2):
            started = time.perf_counter()
            patterns.analyse([text])
            best = min(best, time.perf_counter() - started)
        return best / len(text)

    assert seconds(long) < 3 * seconds(short)


def test_a_text_is_in_the_language_that_most_of_it_is_in() -> None:
    assert [language_of(text) for text in ("王伟 13800138000", "John 王", "", "Hello", "请打电话给 John")] == [
        "zh", "en", "en", "en", "zh",
    ]  # fmt: skip


def test_a_service_that_analyses_nothing_loads_no_models() -> None:
    program = (
        "import sys, privacy.steward, privacy.scanning, privacy.detection.workers\n"
        "heavy = {'spacy', 'presidio_analyzer', 'onnxruntime', 'numpy', 'tldextract', 'duckdb'}\n"
        "print(sorted(heavy & set(sys.modules)), 'privacy.detection.identifiers' in sys.modules)\n"
    )
    loaded = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[] False"
