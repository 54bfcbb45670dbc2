"""Persons, addresses, places, organisations and times in Chinese text.

The LAC model reads the words (`lac`), rules join and correct them (`chinese_names`, `chinese_places`). Identifiers
are not looked for here. Loading takes some 0.4 s and 100 MB; nothing is downloaded and nothing of a text is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from privacy.detection import chinese_names, chinese_places
from privacy.detection.findings import Finding, resolved
from privacy.detection.folding import fold
from privacy.detection.lac import Lac, Word

_HAN: Final = re.compile(r"[\u3400-\u9fff]")
# The model knows no line and takes its end into the word before.
_ENDS_OF_LINES: Final = {ord("\n"): "。", ord("\r"): "，", ord("\t"): "，", ord("|"): "，"}
# 现在, 以前, 最近 say nothing of a person.
_A_TIME: Final = re.compile(
    r"[0-9一二三四五六七八九十〇零]|[今明昨前后]天|[今明昨]晚|今早|[今明去前]年|[上下本]个?[周月]|周末|[早上中下]午|凌晨"
)


class Chinese:
    """Finds what is personal in Chinese text. Calls from several threads are safe."""

    def __init__(self, threads: int = 1) -> None:
        self._lac = Lac(threads)

    def find_all(self, texts: Sequence[str]) -> list[list[Finding]]:
        """The findings of each text, by start and without overlaps; offsets are code points of the text.

        PERSON, ADDRESS, LOCATION, ORGANIZATION and DATE_TIME. A text without a Han character costs nothing. What is
        found in a text does not depend on the others.
        """
        found: list[list[Finding]] = [[] for _ in texts]
        numbers = [number for number, text in enumerate(texts) if _HAN.search(text)]
        folded = [fold(texts[number]) for number in numbers]
        read = self._lac.words([text.translate(_ENDS_OF_LINES) for text in folded])
        for number, text, words in zip(numbers, folded, read, strict=True):
            found[number] = resolved(_all(text, words))
        return found


def _all(text: str, words: Sequence[Word]) -> Iterator[Finding]:
    persons = chinese_names.persons(text, words)
    places = chinese_places.places(text, words)
    yield from persons
    yield from places
    yield from _times(text, words)


def _times(text: str, words: Sequence[Word]) -> Iterator[Finding]:
    """The model's times that name one, neighbouring ones as one: 2026年3月5日 and 下午三点."""
    start = end = -1
    for word in words:
        if word.tag != "TIME":
            continue
        if start >= 0 and word.start - end <= 1 and not text[end : word.start].strip():
            end = word.end
            continue
        if start >= 0 and _A_TIME.search(text, start, end):
            yield Finding(start, end, "DATE_TIME", 0.6, "model")
        start, end = word.start, word.end
    if start >= 0 and _A_TIME.search(text, start, end):
        yield Finding(start, end, "DATE_TIME", 0.6, "model")
