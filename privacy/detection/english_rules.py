"""What presidio misses in English text, and what it finds without cause.

1. The model reads the text with its capitals put right, and no name of it crosses the end of a line.
2. Organisations, which presidio leaves out, are on.
3. Dates that identify nobody (durations, "today", "every week") are dropped.
4. Rules add addresses, titles, ages, postcodes, telephone numbers, dates with their time, and names by what stands
   before them.
5. What overlaps is settled: a rule that knows the form of a thing beats the model, the model beats a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from privacy.detection import (
    english_addresses,
    english_model,
    english_names,
    english_phones,
    english_places,
    english_stock,
)
from privacy.detection.english_casing import is_everyday, may_name
from privacy.detection.findings import THRESHOLD, Finding, resolved

if TYPE_CHECKING:
    from privacy.detection.english_model import Reading
    from privacy.detection.english_stock import Recogniser

ENTITIES: Final = {**english_model.ENTITIES, "ORG": "ORGANIZATION"}

_EDGES: Final = " \t\r\n>|\"'“”‘’*_,;:.()[]{}<-–—\\/="
_POSSESSIVE: Final = re.compile(r"['’]s\Z")
_BROKEN: Final = re.compile(r"\s*[\r\n]+[\s>|]*|\s{2,}|\s*[|>]\s*")
_LETTER: Final = re.compile(r"[^\W\d_]")

# A date says when, on a calendar or a clock. A span of time, a frequency or a day relative to now does not.
_CALENDAR: Final = re.compile(
    r"\b(?:\d{4}|\d{1,2}(?:st|nd|rd|th)|jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    r"sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?|mon(?:day)?|tues?(?:day)?|wed(?:nesday)?|"
    r"thur?s?(?:day)?|"
    r"fri(?:day)?|sat(?:urday)?|sun(?:day)?|christmas|easter|\d{1,2}:\d{2}|\d{1,2} ?[ap]\.?m\.?)\b|"
    r"\b\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}\b",
    re.IGNORECASE,
)
_VAGUE: Final = re.compile(
    r"\b(?:years?|months?|weeks?|days?|hours?|minutes?|seconds?|decades?|century|centuries|daily|weekly|monthly|annual|"
    r"every|each|ago|old|today|tomorrow|yesterday|tonight|weekend|next|last|this|now)\b",
    re.IGNORECASE,
)
_TIMED: Final = re.compile(
    r"\b(?:\d{4}-\d{2}-\d{2}|\d{1,2}/\d{1,2}/\d{2,4}|"
    r"\d{1,2}\.\d{1,2}\.\d{4})[ T,]{1,2}\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?"
    r"(?: ?[AaPp]\.?[Mm]\b\.?|Z|[+-]\d{2}:?\d{2})?"
)
_YEARS: Final = r"(?:1[0-2]\d|[1-9]?\d)"
_AGE: Final = re.compile(
    rf"\b(?P<a>{_YEARS})(?=[- ](?:years?|yrs?)[- ](?:old|of age)\b|[- ]?(?:y/?o|yo|y\.o\.)\b|-year-old)"
    rf"|\b(?:aged|age[:,]?|age of|age is|turned|turning|turns|turn|i am now|"
    rf"years of age[:,]?)\s+(?P<b>{_YEARS})\b(?![\d:%$€£.,/-]*\d)",
    re.IGNORECASE,
)
_ZIP: Final = re.compile(
    r"\b(?:zip|zip ?code|postal ?code|post ?code|postcode)\b(?: is| of|:| to|,| number)*\s*#?(?P<labelled>"
    r"[A-Z]?\d[A-Z\d](?:[ -]?[A-Z\d]{2,4}){1,2}|\d{4,6})\b"
    r"|(?P<uk>\b(?:GIR 0AA|[A-PR-UWYZ](?:\d{1,2}|[A-HK-Y]\d(?:\d|[ABEHMNPRVWXY])?|"
    r"\d[A-HJKPS-UW]) \d[ABD-HJLNP-UW-Z]{2})\b)"
    r"|(?P<canada>\b[ABCEGHJ-NPRSTVXY]\d[A-Z] \d[A-Z]\d\b)"
    r"|\b(?:A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|"
    r"V[AT]|W[AIVY])"
    r",? (?P<state>\d{5}(?:-\d{4})?)\b",
    re.IGNORECASE,
)
_YEAR: Final = re.compile(r"\b\d{4}\b")
# Presidio knows the lengths of the commonest cards; others count where the text says that it is one.
_CARD: Final = re.compile(r"\bcards?\b[^\d]{0,40}?(?P<card>\d(?:[ -]?\d){11,18})(?![\w-]|[.,]\d)", re.IGNORECASE)
# Presidio wants a public suffix; a mail server of one's own has none.
_MAIL: Final = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}\.)+[A-Za-z]{2,24}(?![\w-])")
_NOT_ORGANISATION_WORDS: Final = """
    atm iban ssn pin cvv id ip url sql html pdf api dvd cd tv usa uk eu us faq asap covid covid-19 gdp vat swift
    sms email e-mail website phone fax mobile desk address client_ip bot user visa mastercard
"""
_NOT_ORGANISATIONS: Final = frozenset(_NOT_ORGANISATION_WORDS.split())
_HAS_DIGIT: Final = re.compile(r"\d")
# Recognisers whose work the rules do: their guesses would stand in the way.
_REPLACED: Final = frozenset({"PhoneRecognizer"})
_JOINS: Final = re.compile(r"[ ,\n>|]*")
_UNSEEN: Final = "\N{REPLACEMENT CHARACTER}"
# Found by form, and yet a part of what the model or an address may span.
_SOFT: Final = frozenset({"DATE_TIME", "AGE", "ZIP_CODE", "US_DRIVER_LICENSE", "NRP"})


def find(text: str, image: str, reading: Reading, among: Sequence[Recogniser]) -> list[Finding]:
    """What is personal in `text`, by start, without overlaps.

    `image` is the text with its capitals put right, of the same length, and `reading` the model's of it.
    """
    recognisers = [each for each in among if each.name not in _REPLACED]
    exact = [each for each in english_stock.find(text, reading.doc, recognisers, ()) if each.score >= THRESHOLD]
    exact += english_phones.find(text)
    exact += _coded(text)
    hidden = _without(image, exact)
    named = [each for each in _named(image, reading.named) if _UNSEEN not in hidden[each.start : each.end]]
    found = [*exact, *named, *english_names.find(hidden), *english_places.find(hidden)]
    found += _joined(hidden, english_addresses.find(hidden), named)
    return resolved(found)


def _without(image: str, exact: Iterable[Finding]) -> str:
    """The image, of the same length, without what is surely something else than a name or an address."""
    pieces: list[str] = []
    at = 0
    for finding in sorted(exact, key=lambda each: each.start):
        if finding.entity not in _SOFT and finding.start >= at:
            pieces += image[at : finding.start], _UNSEEN * (finding.end - finding.start)
            at = finding.end
    return "".join(pieces) + image[at:] if pieces else image


def _named(image: str, read: Iterable[Finding]) -> Iterator[Finding]:
    """What the model found, line by line, without what is no name at its edges."""
    for finding in read:
        if finding.entity == "DATE_TIME" and not _is_date(image[finding.start : finding.end]):
            continue
        for start, end in _lines(image, finding.start, finding.end):
            if _is_plausible(finding.entity, image[start:end]):
                yield replace(finding, start=start, end=end)
                break


def _lines(image: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The pieces of a span between ends of lines, without punctuation at their edges."""
    at = start
    for broken in (*_BROKEN.finditer(image, start, end), None):
        stop = broken.start() if broken else end
        piece = image[at:stop]
        first = at + len(piece) - len(piece.lstrip(_EDGES))
        last = stop - len(piece) + len(piece.rstrip(_EDGES))
        possessive = _POSSESSIVE.search(image, first, last)
        last = possessive.start() if possessive else last
        if first < last:
            yield first, last
        at = broken.end() if broken else end


def _is_plausible(entity: str, value: str) -> bool:
    if entity == "DATE_TIME":
        return True
    if (
        (value == value.lower() and entity != "NRP")
        or not _LETTER.search(value)
        or (entity == "PERSON" and _HAS_DIGIT.search(value))
    ):
        return False
    if entity == "ORGANIZATION":
        return value.lower() not in _NOT_ORGANISATIONS and not is_everyday(value)
    return entity == "NRP" or may_name(value)


def _is_date(value: str) -> bool:
    """Whether it names a place on the calendar or the clock, and not a span of time or a day relative to now."""
    return bool(_CALENDAR.search(value)) and (not _VAGUE.search(value) or bool(_YEAR.search(value)))


def _coded(text: str) -> Iterator[Finding]:
    """What its form or its label tells: dates with their time, ages, postcodes, card numbers, addresses of mail."""
    if "@" in text:
        for match in _MAIL.finditer(text):
            yield Finding(*match.span(), "EMAIL_ADDRESS", 0.6, "rule:mail")
    if not _HAS_DIGIT.search(text):
        return
    for match in _CARD.finditer(text):
        if _passes_luhn(match["card"]):
            yield Finding(*match.span("card"), "CREDIT_CARD", 1.0, "check-digit")
    for match in _TIMED.finditer(text):
        yield Finding(*match.span(), "DATE_TIME", 0.97, "rule:timestamp")
    for rule, entity in ((_AGE, "AGE"), (_ZIP, "ZIP_CODE")):
        for match in rule.finditer(text):
            yield Finding(*match.span(match.lastgroup or 0), entity, 0.87, f"rule:{entity.lower()}")


def _joined(image: str, addresses: Iterable[Finding], named: Sequence[Finding]) -> Iterator[Finding]:
    """Each address with the places that the model found directly before or after it."""
    places = [each for each in named if each.entity == "LOCATION"]
    for address in addresses:
        start, end = address.start, address.end
        for place in places:
            if place.start <= end < place.end or (place.start >= end and _JOINS.fullmatch(image, end, place.start)):
                end = place.end
        for place in reversed(places):
            if place.start < start <= place.end or (place.end < start and not image[place.end : start].strip(" ")):
                start = place.start
        yield replace(address, start=start, end=end, score=0.9)


def _passes_luhn(number: str) -> bool:
    """ISO/IEC 7812-1 annex B, of a number with 12 to 19 digits."""
    digits = [int(each) for each in reversed(number) if each.isdigit()]
    total = sum(digits[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return 12 <= len(digits) <= 19 and total % 10 == 0
