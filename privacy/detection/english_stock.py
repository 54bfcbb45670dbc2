"""Presidio's own recognisers for English, without what they need not do.

What they find, and the score of it, equals `AnalyzerEngine.analyze()` with presidio's default configuration and the
same model: the same patterns and validators, the same removal of duplicates, the same lift by context words. It is
cheaper in three ways: a recogniser runs only behind a gate, a test that holds for every text in which it could find
something; nothing is deep-copied or explained; and context is looked up only beside what was found.

The pipeline has no tagger and no lemmatizer, so a context word is compared with the word as written; words whose
lemma is a stop word, which presidio does not count, are named in `_STOPPED`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from privacy.detection.findings import Finding

if TYPE_CHECKING:
    from presidio_analyzer import EntityRecognizer
    from spacy.tokens import Doc

# LemmaContextAwareEnhancer's defaults.
_LIFT: Final = 0.35
_AT_LEAST: Final = 0.4
_WORDS_BEFORE: Final = 5

_DIGIT: Final = re.compile(r"\d")
# No plan of presidio's regions but the German one knows a number of fewer than seven digits, and that none below four.
_SHORT_PHONE: Final = re.compile(r"\d(?:\D{0,4}\d){3}")
_PHONE: Final = re.compile(r"\d(?:\D{0,4}\d){6}")
_SHORT_NUMBERS: Final = frozenset({"DE"})
_TOKEN_OF_URL: Final = re.compile(r"(?<!\S)\S*\.[A-Za-z]{2}\S*")

# Inflected forms of English stop words: presidio sees their lemma, and does not count it as a word of context.
_STOPPED_WORDS: Final = """
    's 'm 're 've 'd 'll n't called calls calling gave gives giving goes going went gone gets getting got keeps
    keeping kept makes making takes taking took taken puts putting says saying said sees saw seeing seen shows
    showed showing shown moves moved moving names named naming parts sides fronts backs tops bottoms others
    whoms amounts seems seeming becomes became becoming wo ca having
"""
_STOPPED: Final = frozenset(_STOPPED_WORDS.split())

_Test: TypeAlias = Callable[[str], object]


def _always(_: str) -> object:
    return True


# Every gate is a necessary condition, read off the recogniser's patterns.
_GATES: Final[dict[str, _Test]] = {
    "CreditCardRecognizer": re.compile(r"\d{4}[- ]?\d{3,4}[- ]?\d{3,4}[- ]?\d{3}").search,
    "UsBankRecognizer": re.compile(r"[0-9]{8}").search,
    "UsLicenseRecognizer": re.compile(r"[^\W_][0-9]|[0-9][^\W_]|\]\][0-9]").search,
    "UsItinRecognizer": re.compile(r"9\d\d[- ]?\d\d[- ]?\d{4}").search,
    "UsPassportRecognizer": re.compile(r"[0-9]{8}").search,
    "UsSsnRecognizer": re.compile(r"[0-9]{3}[- .]?[0-9]{2}[- .]?[0-9]{4}").search,
    "NhsRecognizer": re.compile(r"[0-9]{3}[- ]?[0-9]{3}[- ]?[0-9]{4}").search,
    "CryptoRecognizer": re.compile(r"[^\W_]{26}").search,
    "DateRecognizer": re.compile(r"\d[-/.]\w|\w[-/.]\d").search,
    "EmailRecognizer": re.compile("@").search,
    "IbanRecognizer": re.compile(r"[A-Z]{2}[0-9]{2}[ -]?[A-Z0-9]{4}", re.IGNORECASE).search,
    "IpRecognizer": re.compile(r"::|\d\.\d{1,3}\.\d|(?:[0-9A-Fa-f]{1,4}:){6}").search,
    "MedicalLicenseRecognizer": re.compile(r"[a-z][a-z9]\d{7}", re.IGNORECASE).search,
    "MacAddressRecognizer": re.compile(r"[0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}[:-]|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.").search,
    "UuidRecognizer": re.compile(r"-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-").search,
    "UrlRecognizer": re.compile(r"\.[a-z]{2}", re.IGNORECASE).search,
}
# The patterns of an IP address differ in cost: the long ones of version 6 run behind a test of their own.
_PATTERN_GATES: Final[dict[str, _Test]] = {
    "IPv4_mapped": re.compile("::").search,
    "IPv4_embedded": re.compile(r"::|(?:[0-9A-Fa-f]{1,4}:){6}").search,
    "IPv4": re.compile(r"\d\.\d{1,3}\.\d").search,
    "IPv6": re.compile(r"::|(?:[0-9A-Fa-f]{1,4}:){7}").search,
    "IPv6_unspecified": re.compile("::").search,
    "Standard Url": re.compile("://").search,
    "Quoted URL": re.compile("[\"'][hH][tT][tT][pP]").search,
    "Quoted Non-schema URL": re.compile("[\"']").search,
}
# Passed over at once where the text has no digit.
_NUMERIC: Final = frozenset(_GATES.keys() | {"PhoneRecognizer"}) - {
    "EmailRecognizer",
    "UrlRecognizer",
    "IpRecognizer",
    "MacAddressRecognizer",
    "UuidRecognizer",
}


@dataclass(frozen=True, slots=True)
class _Pattern:
    name: str
    find: Callable[[], Callable[[str], Iterator[Any]]]  # of the package regex, whose matches are untyped
    score: float
    gate: _Test


@dataclass(frozen=True, slots=True)
class Recogniser:
    """One of presidio's recognisers behind its gate. `find` yields before duplicates are removed."""

    name: str
    entity: str
    gate: _Test
    find: Callable[[str], list[Finding]]
    context: tuple[str, ...]
    is_numeric: bool


def recognisers() -> tuple[Recogniser, ...]:
    """Those that presidio's default configuration loads for English, each behind its gate.

    One that this module does not know (another version of presidio) runs on every text.
    """
    from presidio_analyzer.recognizer_registry import RecognizerRegistryProvider

    registry = RecognizerRegistryProvider(
        registry_configuration={"supported_languages": ["en"]}
    ).create_recognizer_registry()
    return tuple(_gated(each) for each in registry.recognizers if each.supported_language == "en")


def find(text: str, doc: Doc, among: Sequence[Recogniser], named: Iterable[Finding]) -> list[Finding]:
    """What `among` finds in `text`, with what the model `named`: as `analyze()` returns it, in order of place."""
    found = list(named)
    has_digit = _DIGIT.search(text) is not None
    words: _Words | None = None
    for recogniser in among:
        if (recogniser.is_numeric and not has_digit) or not recogniser.gate(text):
            continue
        for finding in recogniser.find(text):
            words = words or _Words(doc)
            found.append(_lifted(finding, recogniser.context, words))
    return without_contained(found)


def without_contained(findings: list[Finding]) -> list[Finding]:
    """Those not inside another of the same entity with an equal or higher score (EntityRecognizer.remove_duplicates).

    In order of place. Linear in what overlaps, after a sort.
    """
    if len(findings) < 2:
        return findings
    kept: list[Finding] = []
    open_until: dict[str, list[Finding]] = {}
    for finding in sorted(findings, key=lambda each: (each.start, -each.end, -each.score)):
        around = [each for each in open_until.get(finding.entity, ()) if each.end >= finding.start]
        if not any(each.end >= finding.end and each.score >= finding.score for each in around):
            kept.append(finding)
            around.append(finding)
        open_until[finding.entity] = around
    return kept


class _Words:
    """The words of a document as presidio's context enhancer sees them; built only where something was found."""

    def __init__(self, doc: Doc) -> None:
        self._ends = [token.idx + len(token) for token in doc]
        self._doc = doc

    def before(self, start: int) -> list[str]:
        """The word at `start` and up to five before it, in lower case; stop words and punctuation do not count."""
        at = min(bisect_right(self._ends, start), len(self._ends) - 1)
        words: list[str] = []
        while at >= 0 and len(words) <= _WORDS_BEFORE:
            token = self._doc[at]
            at -= 1
            word = token.lower_
            if not (token.is_stop or token.is_punct or ":" in word or word in _STOPPED):
                words.append(word)
        return words


def _lifted(finding: Finding, context: tuple[str, ...], words: _Words) -> Finding:
    before = words.before(finding.start)
    if not any(clue in word for clue in context for word in before):
        return finding
    score = min(max(finding.score + _LIFT, _AT_LEAST), 1.0)
    why = finding.why if finding.why == "check-digit" else "context"
    return Finding(finding.start, finding.end, finding.entity, score, why)


def _gated(recogniser: EntityRecognizer) -> Recogniser:
    name = type(recogniser).__name__
    entity = recogniser.supported_entities[0]
    find: Callable[[str], list[Finding]]
    gate = _GATES.get(name, _always)
    if name == "PhoneRecognizer":
        find, gate = _phones(recogniser, entity), _SHORT_PHONE.search
    elif name == "IbanRecognizer":
        find = _by_itself(recogniser)
    else:
        if name == "EmailRecognizer":
            _keep_offline(recogniser)
        find = _by_patterns(recogniser, entity)
        if name == "UrlRecognizer":
            find = _by_token(find)
    context = tuple(clue.lower() for clue in recogniser.context or ())
    return Recogniser(name, entity, gate, find, context, name in _NUMERIC)


def _by_patterns(recogniser: Any, entity: str) -> Callable[[str], list[Finding]]:
    """PatternRecognizer.analyze, without the explanations."""
    import regex  # type: ignore[import-untyped]  # presidio's engine, which ships no types

    def compiled(source: str) -> Callable[[str], Iterator[Any]]:
        find: Callable[[str], Iterator[Any]] = regex.compile(source, flags=recogniser.global_regex_flags).finditer
        return find

    patterns = [
        # Compiled when the gate first opens: that of URLs, with every top-level domain, takes a third of a second.
        _Pattern(each.name, cache(partial(compiled, each.regex)), each.score, _PATTERN_GATES.get(each.name, _always))
        for each in recogniser.patterns
    ]

    def find(text: str) -> list[Finding]:
        found: list[Finding] = []
        for pattern in patterns:
            if not pattern.gate(text):
                continue
            for match in pattern.find()(text):
                start, end = match.span()
                score, why = _validated(recogniser, text[start:end], pattern.score) if end > start else (0, "")
                if score > 0:
                    found.append(Finding(start, end, entity, score, why))
        return without_contained(found)

    return find


def _validated(recogniser: Any, value: str, score: float) -> tuple[float, str]:
    """The score after the recogniser's own validator and invalidator, and why."""
    is_valid = recogniser.validate_result(value)
    if is_valid is False or recogniser.invalidate_result(value):
        return 0.0, ""
    return (1.0, "check-digit") if is_valid else (score, "pattern")


def _by_token(find: Callable[[str], list[Finding]]) -> Callable[[str], list[Finding]]:
    """No pattern of a URL holds white space or looks around itself: they are tried on words with a dot alone."""

    def find_in_tokens(text: str) -> list[Finding]:
        return [
            Finding(token.start() + each.start, token.start() + each.end, each.entity, each.score, each.why)
            for token in _TOKEN_OF_URL.finditer(text)
            for each in find(token.group())
        ]

    return find_in_tokens


def _by_itself(recogniser: Any) -> Callable[[str], list[Finding]]:
    """A recogniser with an `analyze` of its own, taken as it is."""

    def find(text: str) -> list[Finding]:
        return [
            Finding(
                each.start, each.end, each.entity_type, each.score, "check-digit" if each.score == 1.0 else "pattern"
            )
            for each in recogniser.analyze(text, recogniser.supported_entities, None)
        ]

    return find


def _phones(recogniser: Any, entity: str) -> Callable[[str], list[Finding]]:
    """PhoneRecognizer.analyze: each region's plan, but a plan without short numbers only where a long one may be."""
    from phonenumbers import PhoneNumberMatcher

    def find(text: str) -> list[Finding]:
        regions = recogniser.supported_regions
        if not _PHONE.search(text):
            regions = [region for region in regions if region in _SHORT_NUMBERS]
        found = [
            Finding(match.start, match.end, entity, recogniser.SCORE, "pattern")
            for region in regions
            for match in PhoneNumberMatcher(text, region, leniency=recogniser.leniency)
        ]
        return without_contained(found)

    return find


def _keep_offline(recogniser: Any) -> None:
    """Presidio asks a server for the list of public suffixes at the first e-mail address; the list shipped will do."""
    from tldextract import TLDExtract

    extract = TLDExtract(suffix_list_urls=(), cache_dir=None)
    recogniser.validate_result = lambda value: bool(extract(value).fqdn)
