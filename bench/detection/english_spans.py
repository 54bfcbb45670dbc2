"""A scorer of spans: how much of what was annotated was found, and how exactly.

Entities are compared by branch (`BRANCHES`): a street address, a city and a postcode are places, a title belongs to
the person. Spans of one branch with nothing but white space, punctuation or `_FILLERS` between them are one span, and
such words at a span's ends do not count: "Mr. Smith" and "Smith" are the same find. A found span is right where it
covers at least nine tenths of what the two spans cover together, and the branch agrees.

That is the method of presidio-research's SpanEvaluator in its defaults, on characters instead of tokens.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

_ENOUGH: Final = 0.9  # of the characters that two spans cover together

# Annotated and found entities by branch. What is in neither column counts as its own branch.
BRANCHES: Final[Mapping[str, str]] = {
    "PERSON": "PERSON",
    "TITLE": "PERSON",
    "LOCATION": "LOCATION",
    "GPE": "LOCATION",
    "ADDRESS": "LOCATION",
    "STREET_ADDRESS": "LOCATION",
    "ZIP_CODE": "LOCATION",
    "ORGANIZATION": "ORGANIZATION",
    "NRP": "DEMOGRAPHIC",
    "AGE": "DEMOGRAPHIC",
    "EMAIL_ADDRESS": "CONTACT",
    "PHONE_NUMBER": "CONTACT",
    "CREDIT_CARD": "FINANCIAL",
    "IBAN_CODE": "FINANCIAL",
    "US_BANK_NUMBER": "FINANCIAL",
    "CRYPTO": "FINANCIAL",
    "US_SSN": "GOVERNMENT_ID",
    "US_ITIN": "GOVERNMENT_ID",
    "US_PASSPORT": "GOVERNMENT_ID",
    "US_DRIVER_LICENSE": "GOVERNMENT_ID",
    "IP_ADDRESS": "NETWORK",
    "URL": "NETWORK",
    "DOMAIN_NAME": "NETWORK",
    "MAC_ADDRESS": "NETWORK",
    "DATE_TIME": "DATE_TIME",
    "BIRTH_DATE": "DATE_TIME",
}
_FILLERS: Final = (
    r"street|st\.?|de|rue|via|and|a|an|the|or|do|as|of|in|on|at|to|from|day|address|country|state|city|zip|po|p\.o\.|"
    r"box|apt\.?|unit|corner|suite|mrs?\.?|ms\.?|miss|years?|y/o|months?|old|morning|noon|afternoon|night|evening|this|"
    r"first|last|weeks?|weekend|days|age|ago|inc\.?|ltd\.?|'s"
)
_GAP: Final = re.compile(rf"(?:[\W_]|\b(?:{_FILLERS})(?!\w))*", re.IGNORECASE)
_HEAD: Final = re.compile(rf"(?:[\W_]+|(?:{_FILLERS})(?!\w))*", re.IGNORECASE)
_TAIL: Final = re.compile(rf"(?:[\W_]+|(?<!\w)(?:{_FILLERS}))*\Z", re.IGNORECASE)


class Span(NamedTuple):
    """Where something is and what, in code points."""

    start: int
    end: int
    entity: str


@dataclass(frozen=True, slots=True)
class Score:
    """Of one branch, or of all together."""

    right: int
    found: int
    annotated: int

    @property
    def precision(self) -> float:
        return self.right / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        return self.right / self.annotated if self.annotated else 0.0

    @property
    def f2(self) -> float:
        both = 4 * self.precision + self.recall
        return 5 * self.precision * self.recall / both if both else 0.0


def score(
    texts: Sequence[str], annotated: Sequence[Sequence[Span]], found: Sequence[Sequence[Span]]
) -> dict[str, Score]:
    """By branch; "ALL" sums the branches; "ANY" takes every branch for one, as presidio-research's headline does."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for text, true, guessed in zip(texts, annotated, found, strict=True):
        for one_branch in (False, True):
            wanted = _merged(text, true, one_branch)
            given = _merged(text, guessed, one_branch)
            for span in wanted:
                counts[span.entity][2] += 1
            for span in given:
                counts[span.entity][1] += 1
                counts[span.entity][0] += any(_same(span, other) for other in wanted)
    total = [sum(each[at] for branch, each in counts.items() if branch != "ANY") for at in range(3)]
    return {branch: Score(*each) for branch, each in {**counts, "ALL": total}.items()}


def _merged(text: str, spans: Iterable[Span], one_branch: bool) -> list[Span]:
    merged: list[Span] = []
    for span in _trimmed(text, spans, one_branch):
        before = merged[-1] if merged else None
        if before and before.entity == span.entity and _GAP.fullmatch(text, before.end, max(before.end, span.start)):
            merged[-1] = Span(before.start, max(before.end, span.end), span.entity)
        else:
            merged.append(span)
    return merged


def _trimmed(text: str, spans: Iterable[Span], one_branch: bool) -> Iterator[Span]:
    """Without fillers at either end, in order; a span of fillers alone is dropped."""
    for start, end, entity in sorted(spans):
        value = text[start:end]
        head = _HEAD.match(value)
        tail = _TAIL.search(value)
        first = start + (head.end() if head else 0)
        last = start + (tail.start() if tail else len(value))
        if first < last:
            yield Span(first, last, "ANY" if one_branch else BRANCHES.get(entity, entity))


def _same(one: Span, other: Span) -> bool:
    together = max(one.end, other.end) - min(one.start, other.start)
    return one.entity == other.entity and min(one.end, other.end) - max(one.start, other.start) >= _ENOUGH * together
