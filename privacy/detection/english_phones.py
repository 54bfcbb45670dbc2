"""Telephone numbers in the forms people write: with a country's code, an area in brackets, an extension.

Presidio asks eight national plans about every run of digits, and that is half of the time its patterns take. Here one
expression finds what is written as a number to call; it stands if its form is that of a number (a plus sign, brackets,
groups), a plan knows it, or a word beside it says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from privacy.detection.findings import Finding

_GATE: Final = re.compile(r"\d(?:[\d ().\-/+x]{0,4}\d){6}")
_SEPARATOR: Final = r"[ .\-/\u2010-\u2015]{1,2}"
_NUMBER: Final = re.compile(
    r"(?<![\w.:/#@$€£%-])(?<!\d[ ,])"
    r"(?P<plus>(?:\+|00)[ ]?\d{1,3}(?!\d))?[ .-]?(?P<area>\(\+?\d{1,5}\))?"
    rf"(?P<rest>[ .-]?\d{{1,12}}(?:{_SEPARATOR}?\(\d\)[ ]?)?(?:{_SEPARATOR}\d{{1,8}}){{0,6}})"
    r"(?P<extension>[ ,]*(?:x|ext\.?|extension)[ ]?\d{1,6})?"
    r"(?![\w@%]|[.,:/-]\d)"
)
_SAID: Final = re.compile(
    r"(?:\b(?:phone|telephone|tel|mobile|cell|cellphone|call(?:ed|ing)?|fax|desk|dial|reach|sms|whatsapp|ring|hotline|"
    r"landline)\b[^\d\n]{0,30}|\b(?:number|office|home|work|line|text|contact)(?: is)?[:. ]{0,3})\n?\s*\Z",
    re.IGNORECASE,
)
_OTHER_THING: Final = re.compile(
    r"(?:card|account|acct|order|invoice|ticket|ssn|security|passport|licen[cs]e|id|serial|isbn|ref|case|iban|tracking|"
    r"model|version|policy|zip|postcode|amount|price|routing)\b[^\d\n]{0,24}\Z",
    re.IGNORECASE,
)
_OTHER_FORM: Final = re.compile(
    r"\d{1,3}(?:\.\d{1,3}){3}|\d{4}-\d\d?-\d\d?|\d\d?[-./]\d\d?[-./](?:\d{4}|\d\d)|\d{4}[/.]\d\d?[/.]\d\d?|"
    r"\d{3}[- .]\d{2}[- .]\d{4}"
)
_AFTERWARDS: Final = re.compile(r"\s*[-–:(]?\s*(?:office|fax|mobile|cell|home|work|desk)\b", re.IGNORECASE)
_GROUPED: Final = re.compile(
    r"\(?\d{2,4}\)?[ .-]\d{3,4}[ .-]?\d{3,4}|0\d{1,4}[ .-]\d{2,4}(?:[ .-]\d{2,4}){1,4}|\d{2}(?:[ .]\d{2}){3,4}"
)
# A house number stands before a name.
_BEFORE_NAME: Final = re.compile(r" [^\W\d_]{2}")
# Plans asked about a number that has neither a country's code nor brackets: as presidio's, the larger first.
_REGIONS: Final = ("US", "GB", "DE", "FR", "IN", "BR")
_SURE: Final = 9  # digits of one that nothing else says to be a number to call
_LEAST, _MOST = 7, 15  # digits of a number to call (E.164), without its extension


def find(text: str) -> list[Finding]:
    """PHONE_NUMBER, in order of place, without overlaps. Linear in the length of the text."""
    return list(_found(text)) if _GATE.search(text) else []


def _found(text: str) -> Iterator[Finding]:
    for match in _NUMBER.finditer(text):
        start, end = match.span()
        while text[start] in " .-":
            start += 1
        number = text[start : match.start("extension") if match["extension"] else end]
        digits = sum(map(str.isdigit, number))
        if not _LEAST <= digits <= _MOST or _OTHER_FORM.fullmatch(number):
            continue
        said = _SAID.search(text, max(0, start - 60), start) or _AFTERWARDS.match(text, end)
        if not said and _OTHER_THING.search(text, max(0, start - 40), start):
            continue
        if said:
            yield Finding(start, end, "PHONE_NUMBER", 0.9, "context")
        elif _is_written_as_number(match, number, digits) or (
            digits >= _SURE and not _BEFORE_NAME.match(text, end) and _is_known(number)
        ):
            yield Finding(start, end, "PHONE_NUMBER", 0.86, "pattern")


def _is_written_as_number(match: re.Match[str], number: str, digits: int) -> bool:
    if match["plus"] or match["area"] or match["extension"]:
        return True
    return digits >= _SURE and bool(_GROUPED.fullmatch(number))


def _is_known(number: str) -> bool:
    """Whether one of the national plans has such a number."""
    from phonenumbers import NumberParseException, is_valid_number, parse

    for region in _REGIONS:
        try:
            if is_valid_number(parse(number, region)):
                return True
        except NumberParseException:
            return False
    return False
