"""Personal data in English text: presidio's recognisers and model, and rules for what they miss.

With `extra_rules=False` the findings are those of presidio's `AnalyzerEngine.analyze()` (see `english_stock`): they
may overlap, and low scores are kept. With the rules, those of `english_rules` are added, what presidio finds without
cause is removed, and the answer is free of overlaps and of scores below `THRESHOLD`.

A long text is cut at paragraphs, lines or sentences, so that its cost is linear in its length and its memory bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from privacy.detection import english_casing, english_model, english_rules, english_stock
from privacy.detection.findings import Finding

_AT_ONCE: Final = 64  # texts of a batch
_CHARACTERS_AT_ONCE: Final = 40_000  # of a batch: what bounds the memory of the model
_LONGEST: Final = 4_000  # characters of a piece
_LOOK_BACK: Final = 1_500  # where a cut is looked for, before the end of a piece
# Where a text may be cut, best first: after a paragraph, after a sentence at the end of its line, a line, a sentence,
# a word.
_CUTS: Final = tuple(re.compile(cut) for cut in (r"\n\s*\n", r"[.!?]\s*\n", r"\n", r"[.!?][\"')]*\s", r"\s"))


class English:
    """Loads the model once; `find_all` may then be called by one thread at a time. No network, ever.

    Raises Unavailable where the model is not installed.
    """

    def __init__(self, extra_rules: bool = True) -> None:
        entities = english_rules.ENTITIES if extra_rules else english_model.ENTITIES
        self._model = english_model.Model(entities)
        self._recognisers = english_stock.recognisers()
        self._extra_rules = extra_rules

    def find_all(self, texts: Sequence[str]) -> list[list[Finding]]:
        """What is personal in each text, in order of place; offsets are code points of the text as given."""
        found: list[list[Finding]] = [[] for _ in texts]
        for batch in _batches(texts):
            for (at, offset, _), findings in zip(batch, self._read([piece for _, _, piece in batch]), strict=True):
                found[at] += findings if offset == 0 else [_moved(each, offset) for each in findings]
        return found

    def _read(self, texts: Sequence[str]) -> Iterator[list[Finding]]:
        if not self._extra_rules:
            for text, reading in zip(texts, self._model.read(texts), strict=True):
                yield english_stock.find(text, reading.doc, self._recognisers, reading.named)
            return
        images = [english_casing.normalised(text) for text in texts]
        readings = self._model.read(images, by_line=True)
        for text, image, reading in zip(texts, images, readings, strict=True):
            yield english_rules.find(text, image, reading, self._recognisers)


def _batches(texts: Sequence[str]) -> Iterator[list[tuple[int, int, str]]]:
    """Pieces of the texts, with the number of the text and the place in it, a batch at a time."""
    batch: list[tuple[int, int, str]] = []
    characters = 0
    for at, text in enumerate(texts):
        for start, end in _pieces(text):
            if len(batch) == _AT_ONCE or (batch and characters + end - start > _CHARACTERS_AT_ONCE):
                yield batch
                batch, characters = [], 0
            batch.append((at, start, text[start:end]))
            characters += end - start
    if batch:
        yield batch


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """Where the pieces of `text` start and end: together the whole of it, none longer than `_LONGEST`."""
    start = 0
    while len(text) - start > _LONGEST:
        end = _cut(text, start + _LONGEST)
        yield start, end
        start = end
    if text[start:].strip():
        yield start, len(text)


def _cut(text: str, limit: int) -> int:
    for place in _CUTS:
        ends = [match.end() for match in place.finditer(text, limit - _LOOK_BACK, limit)]
        if ends:
            return ends[-1]
    return limit


def _moved(finding: Finding, by: int) -> Finding:
    return Finding(finding.start + by, finding.end + by, finding.entity, finding.score, finding.why)
