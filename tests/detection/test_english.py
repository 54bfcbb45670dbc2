"""English text: what presidio finds is found as it finds it, what it misses is found, and no network is asked."""

from __future__ import annotations

import socket
import time
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pytest

from privacy.detection import english, english_casing, english_model, english_stock
from privacy.detection.english import English
from privacy.detection.findings import THRESHOLD, Finding
from privacy.errors import Unavailable
from tests.detection.english_talk import talk

if TYPE_CHECKING:
    from spacy.tokens import Doc

Engine: TypeAlias = Any  # presidio's AnalyzerEngine: a library's edge


@pytest.fixture(scope="session")
def texts() -> list[str]:
    return list(talk(seed=7, count=200))


@pytest.fixture(scope="session")
def full() -> English:
    return English()


@pytest.fixture(scope="session")
def plain() -> English:
    return English(extra_rules=False)


@pytest.fixture(scope="session")
def stock() -> Iterator[Engine]:
    """Presidio as it comes, with the model that is installed and the list of public suffixes that it ships."""
    import presidio_analyzer
    import tldextract
    import yaml
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    conf = yaml.safe_load((Path(presidio_analyzer.__file__).parent / "conf" / "default.yaml").read_text())
    conf["models"][0]["model_name"] = english_model.PACKAGE
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        patch.setattr(tldextract, "extract", tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None))
        engine = AnalyzerEngine(nlp_engine=NlpEngineProvider(nlp_configuration=conf).create_engine())
        yield engine


@pytest.fixture
def without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked for something")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_without_the_extra_rules_the_findings_are_those_of_stock_presidio(
    plain: English, stock: Engine, texts: list[str]
) -> None:
    same = 0
    for text, found in zip(texts, plain.find_all(texts), strict=True):
        ours = {(each.start, each.end, each.entity, round(each.score, 6)) for each in found}
        theirs = stock.analyze(text, "en")
        same += ours == {(each.start, each.end, each.entity_type, round(each.score, 6)) for each in theirs}
    assert same >= 0.99 * len(texts)


def test_the_entities_decided_for_a_whole_batch_are_those_that_spacy_decides(plain: English, texts: list[str]) -> None:
    names = english_model.ENTITIES
    readings = plain._model.read(texts)
    for reading, doc in zip(readings, plain._model._nlp.pipe(texts), strict=True):
        wanted = [(each.start_char, each.end_char, names[each.label_]) for each in doc.ents if each.label_ in names]
        assert [(each.start, each.end, each.entity) for each in reading.named] == wanted


def test_no_decision_crosses_the_start_of_a_sentence_wherever_that_is(plain: English, texts: list[str]) -> None:
    model = plain._model

    def broken(text: str, every: int) -> Doc:
        doc = model._nlp.make_doc(text)
        for token in doc:
            token.is_sent_start = token.i % every == 0
        return doc

    for every in (1, 2, 3):
        docs = [broken(text, every) for text in texts[:60]]
        decided = model._moves.decided(model._recogniser.model, docs)
        theirs = model._nlp.pipe([broken(text, every) for text in texts[:60]])
        for spans, doc in zip(decided, theirs, strict=True):
            assert sorted(spans) == [(each.start, each.end - 1, each.label_) for each in doc.ents]


# Texts, and what must be found in them.
_MISSED: Final = [
    ("Send it to 12 Oak Lane, Springfield, IL 62704, please.", "ADDRESS", "12 Oak Lane, Springfield, IL 62704"),
    ("She lives at Calle Mayor 14, Toledo.", "ADDRESS", "Calle Mayor 14, Toledo"),
    ("Return to Lindenstraße 9\n10969 Berlin", "ADDRESS", "Lindenstraße 9\n10969 Berlin"),
    ("i live at 7 maple avenue, leeds", "ADDRESS", "7 maple avenue, leeds"),
    ("The tenant is 45 years old.", "AGE", "45"),
    ("A 7-year-old was with her.", "AGE", "7"),
    ("my zip code is 94110", "ZIP_CODE", "94110"),
    ("Mrs. Okafor will see you.", "TITLE", "Mrs."),
    ("She works as a claims adjuster here.", "TITLE", "claims adjuster"),
    ("my name is clara ferrante and i need help", "PERSON", "clara ferrante"),
    ("All done.\n\nKind regards,\nPelle Ahlgren", "PERSON", "Pelle Ahlgren"),
    ("Hi Zsofia,\nany news?", "PERSON", "Zsofia"),
    ("Contract between us and MARGARET HOLLOWAY", "PERSON", "MARGARET HOLLOWAY"),
    ("She works for Brindlewick since then.", "ORGANIZATION", "Brindlewick"),
    ("We come from Quillmouth.", "LOCATION", "Quillmouth"),
    ("ring me on 555 0143 99", "PHONE_NUMBER", "555 0143 99"),
    ("(0)30-Office: +49 (0)30 901820", "PHONE_NUMBER", "+49 (0)30 901820"),
    ("Logged at 2021-03-04 05:06:07.", "DATE_TIME", "2021-03-04 05:06:07"),
    ("write to ana@corp.internal", "EMAIL_ADDRESS", "ana@corp.internal"),
    ("my card is 6304 0000 0000 0000 000 ok", "CREDIT_CARD", "6304 0000 0000 0000 000"),
    ("see http://www.example.com/a", "URL", "http://www.example.com/a"),
    ("😀😀 It was Barack Obama.", "PERSON", "Barack Obama"),
]


@pytest.mark.parametrize("case", range(len(_MISSED)))
def test_what_presidio_misses_is_found_with_its_exact_place(full: English, case: int) -> None:
    text, entity, value = _MISSED[case]
    (found,) = full.find_all([text])
    assert (entity, value) in {(each.entity, text[each.start : each.end]) for each in found}


@pytest.mark.parametrize("case", range(4))
def test_a_name_that_is_the_whole_text_is_found(full: English, case: int) -> None:
    name = ("Tom Hanks", "Jennifer", "John Smith", "Michael Jordan ")[case]
    (found,) = full.find_all([name])
    assert [(each.entity, each.start, each.end) for each in found] == [("PERSON", 0, len(name.rstrip()))]


_ORDINARY: Final = [
    "Meeting tomorrow, it takes two weeks and happens every day.",
    "She was here last Monday.",
    "See chapter 12 section 4, page 300.",
    "Flight BA 117 lands at gate B 22.",
    "order 12 apples and 3 oranges, suite of tests 45",
    "The total is 1,234,567.89 for 16 pieces.",
    "thanks for the update, how do i check my balance?",
    "",
    " \n\n\t ",
]


def test_ordinary_text_holds_nothing_personal(full: English) -> None:
    assert full.find_all(_ORDINARY) == [[] for _ in _ORDINARY]


def test_no_name_crosses_the_end_of_a_line(full: English) -> None:
    text = "The names are Karen\nMiles\nTom"
    (found,) = full.find_all([text])
    assert [text[each.start : each.end] for each in found] == ["Karen", "Miles", "Tom"]


def test_findings_are_in_order_and_do_not_overlap(full: English, texts: list[str]) -> None:
    for text, found in zip(texts, full.find_all(texts), strict=True):
        assert all(0 <= each.start < each.end <= len(text) and each.score >= THRESHOLD for each in found)
        assert all(before.end <= after.start for before, after in pairwise(found))


def test_a_long_text_gives_what_its_paragraphs_give(full: English) -> None:
    paragraph = "Dear Anna,\nyour parcel went to 12 Oak Lane, Springfield. Call Peter Braun on +49 30 901820.\n\n"
    (one,) = full.find_all([paragraph])
    (many,) = full.find_all([paragraph * 200])
    assert [_moved(each, at * len(paragraph)) for at in range(200) for each in one] == many


def _moved(finding: Finding, by: int) -> Finding:
    return Finding(finding.start + by, finding.end + by, finding.entity, finding.score, finding.why)


@pytest.mark.parametrize("text", ["word " * 9_000, "x" * 5_000, "a.\n\n" * 5_000, "\n" * 9_000 + "end"], ids=range(4))
def test_the_pieces_of_a_long_text_are_bounded_and_make_up_the_whole(text: str) -> None:
    pieces = list(english._pieces(text))
    assert "".join(text[start:end] for start, end in pieces) == text
    assert all(end - start <= english._LONGEST for start, end in pieces)


@pytest.mark.parametrize(
    "text",
    [
        "12 Oak Lane" + " " * 8_000 + "x",
        "\n" * 8_000 + "x",
        "card " + "4" * 8_000,
        "a" * 8_000 + "@",
        "1 " * 4_000,
        "A " * 4_000,
        "." * 8_000,
        "1.a" * 3_000,
        "::" * 6_000,
        "Mr. " * 2_000,
        ">|" * 4_000,
    ],
    ids=["spaces", "lines", "digits", "letters", "numbers", "capitals", "dots", "hosts", "colons", "titles", "quotes"],
)
def test_hostile_text_costs_no_more_than_other_text(full: English, text: str) -> None:
    started = time.process_time()
    full.find_all([text])
    assert time.process_time() - started < 4


@pytest.mark.parametrize(
    "text", ["BOB İSTANBUL ŒUVRE STRASSE", "my name is ǆon ßmith ŉa", "ﬀ ﬁnal ΐ", "> QUOTED\n>> AGAIN"]
)
def test_putting_capitals_right_keeps_every_offset(text: str) -> None:
    assert len(english_casing.normalised(text)) == len(text)


def test_what_no_word_is_does_not_reach_the_tokeniser_whose_cost_is_its_square() -> None:
    assert english_casing.normalised("::" * 500) == "x" * 1_000


def test_a_missing_model_is_an_error_and_never_a_download(
    monkeypatch: pytest.MonkeyPatch, without_network: None
) -> None:
    monkeypatch.setattr(english_model, "PACKAGE", "en_core_web_absent")
    with pytest.raises(Unavailable):
        English()


def test_reading_an_address_of_mail_asks_no_server(monkeypatch: pytest.MonkeyPatch, without_network: None) -> None:
    def ask(_: str) -> None:
        raise AssertionError("this one fetches the list of public suffixes")

    monkeypatch.setattr("tldextract.extract", ask)
    (recogniser,) = (each for each in english_stock.recognisers() if each.name == "EmailRecognizer")
    assert [each.score for each in recogniser.find("to ana@example.co.uk")] == [1.0]
