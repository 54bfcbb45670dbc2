"""What is personal in texts: the one call behind which patterns, the Chinese and the English engine stand.

    identifiers      every text, whatever its language: numbers, addresses of the net, plates (`identifiers.find`)
    Chinese names    texts with Han characters, whole (`chinese.Chinese`)
    English names    texts without any, whole; of the others the runs of Latin letters (`english.English`)

What the parts found is put together without overlaps. A long text goes to the engines in pieces that end where a
sentence does, so that its cost grows with its length and no faster; patterns see it whole.

Neither rules nor models are loaded before an `Analyser` is made: a service whose workers analyse does not pay for
them. Nothing is ever fetched from a network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, Literal, NamedTuple, Protocol

from privacy.detection.entities import ENTITIES
from privacy.detection.findings import THRESHOLD, Finding, resolved
from privacy.errors import Invalid

Language = Literal["zh", "en"]
Mode = Literal["full", "patterns"]
LANGUAGES: Final[tuple[Language, ...]] = ("zh", "en")
RULES: Final = "1"  # raised with every change of a rule: answers kept under an older one are not given again

_PIECE: Final = 4_000  # characters of a long text that an engine reads as one
_HANDFUL: Final = 12_000  # characters that it is given at once
_HAN: Final = re.compile("[\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]")
# Chinese characters and their punctuation, full-width forms included, end a run of another script.
_OTHER_SCRIPT: Final = re.compile("[^\u2e80-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U00020000-\U000323af]+")
_CAPITALISED: Final = re.compile("[A-Z][A-Za-z]")
_SENTENCE_WORDS: Final = 6  # a run of so many words is English, and not a name or a product within Chinese
_HALF_CHARACTERS: Final = re.compile("[\ud800-\udfff]")
# Of a name within Chinese text; dates, numbers and the rest are the Chinese rules' there.
_IN_CHINESE: Final = frozenset({"PERSON", "LOCATION", "ADDRESS", "ORGANIZATION"})
# What has no form that a pattern could know it by.
_NEEDS_A_MODEL: Final = ("PERSON", "LOCATION", "ORGANIZATION", "ADDRESS", "DATE_TIME", "NRP", "TITLE", "AGE")


class Piece(NamedTuple):
    """What an engine is given: a part of the `n`th text, from `at` on. `is_run`: a few words within Chinese."""

    n: int
    at: int
    text: str
    is_run: bool = False


class Engine(Protocol):
    """What `chinese.Chinese` and `english.English` are."""

    def find_all(self, texts: Sequence[str]) -> list[list[Finding]]: ...


class Analyser:
    """Finds personal data. For one thread at a time.

    Mode "full" loads the models of both languages, in a second or two. Mode "patterns" loads nothing and is
    blind to what `blind_to` names. Raises `ImportError` when the models are not installed.
    """

    def __init__(self, mode: Mode = "full") -> None:
        self.mode = mode
        self.blind_to = blind_to(mode)
        self._engines: dict[Language, Engine] = {}
        from privacy.detection import identifiers

        self._identifiers = identifiers.find
        if mode == "full":
            from privacy.detection.chinese import Chinese
            from privacy.detection.english import English

            self._engines = {"zh": Chinese(), "en": English()}

    def analyse(self, texts: Sequence[str], languages: Sequence[str] = LANGUAGES) -> list[list[Finding]]:
        """What is personal in each text, in the order of `texts`: by start, without overlaps, offsets in code points.

        A text is analysed by itself: what stands beside it in `texts` changes nothing. Raises `Invalid` for a
        language that is neither "zh" nor "en".
        """
        wanted = known(languages)
        whole = [_whole_characters(text) for text in texts]
        found = [self._identifiers(text) for text in whole]
        for language in wanted:
            engine = self._engines.get(language)
            if engine is not None:
                for n, finding in _in_pieces(engine, list(_pieces(whole, language))):
                    found[n].append(finding)
        return [resolved(one for one in each if one.score >= THRESHOLD) for each in found]


def blind_to(mode: Mode) -> tuple[str, ...]:
    """The entities that a mode cannot see."""
    return () if mode == "full" else tuple(name for name in _NEEDS_A_MODEL if name in ENTITIES)


def known(languages: Iterable[str]) -> tuple[Language, ...]:
    """The languages in the order of `LANGUAGES`, each once. Raises `Invalid` for another, or for none."""
    given = set(languages)
    if not given or not given <= set(LANGUAGES):
        raise Invalid("The languages of a scan are zh and en", zh="可扫描的语言为 zh 和 en")
    return tuple(language for language in LANGUAGES if language in given)


def language_of(text: str) -> Language:
    """The language that a person would say a text is in: a Han character weighs as much as three letters."""
    han = len(_HAN.findall(text))
    letters = sum(character.isalpha() for character in text) - han if han else 1
    return "zh" if han * 3 >= letters and han else "en"


def _whole_characters(text: str) -> str:
    """The text, of the same length, without halves of surrogate pairs, which no engine can encode."""
    return text if text.isascii() else _HALF_CHARACTERS.sub("\ufffd", text)


def _pieces(texts: Sequence[str], language: Language) -> Iterator[Piece]:
    """What of the texts an engine is to see."""
    for n, text in enumerate(texts):
        has_han = not text.isascii() and _HAN.search(text) is not None
        if has_han and language == "en":
            for run in _OTHER_SCRIPT.finditer(text):
                if _CAPITALISED.search(run[0]):
                    is_run = len(run[0].split()) < _SENTENCE_WORDS
                    yield from (piece._replace(is_run=is_run) for piece in _cut(n, run.start(), run[0]))
        elif has_han == (language == "zh"):
            yield from _cut(n, 0, text)


def _cut(n: int, start: int, text: str) -> Iterator[Piece]:
    """The text in pieces of at most `_PIECE` characters, cut after the best end that the later half of each has."""
    at = 0
    while len(text) - at > _PIECE:
        end = _end(text[at : at + _PIECE])
        yield Piece(n, start + at, text[at : at + end])
        at += end
    if at < len(text) and not text[at:].isspace():
        yield Piece(n, start + at, text[at:])


def _end(window: str) -> int:
    """Where a piece ends: after a line, else a sentence, else a word, else wherever."""
    for ends in (("\n",), ("。", "！", "？", "!", "?", "；"), (". ",), ("，", ", "), (" ", "\t", "、")):
        last = max(window.rfind(end) + len(end) if end in window else 0 for end in ends)
        if last > len(window) // 2:
            return last
    return len(window)


def _in_pieces(engine: Engine, pieces: Sequence[Piece]) -> Iterator[tuple[int, Finding]]:
    """What the engine finds in the pieces, with the place in the whole text."""
    for some in _handfuls(pieces):
        for piece, found in zip(some, engine.find_all([piece.text for piece in some]), strict=True):
            for one in found:
                if not piece.is_run or one.entity in _IN_CHINESE:
                    yield piece.n, replace(one, start=one.start + piece.at, end=one.end + piece.at) if piece.at else one


def _handfuls(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """So many at once that an engine works in bulk, and so few that its memory does not grow with the document."""
    some: list[Piece] = []
    characters = 0
    for piece in pieces:
        if some and characters + len(piece.text) > _HANDFUL:
            yield some
            some, characters = [], 0
        some.append(piece)
        characters += len(piece.text)
    if some:
        yield some
