"""Dates of birth: a date beside a word that says so. Any other date is a model's affair."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from privacy.detection.checks import is_date
from privacy.detection.findings import Finding
from privacy.detection.identifiers_page import LINK, Page, places

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH: Final = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|"
    r"nov(?:ember)?|dec(?:ember)?)"
)
_YEAR: Final = r"(?:18|19|20)[0-9]{2}"
_ORDINAL: Final = r"[0-9]{1,2}(?:st|nd|rd|th)?"
_HAN_DIGITS: Final = "〇零○一二三四五六七八九"
_DATE: Final = (
    r"(?:(?<![0-9a-z])|(?<![0-9])(?=[0-9]))(?:"
    rf"(?P<y1>{_YEAR})(?: ?[年./\-] ?)(?P<m1>[0-9]{{1,2}})(?: ?[月./\-] ?)(?P<d1>[0-9]{{1,2}})(?: ?[日号])?"
    r"|(?P<y2>(?:19|20)[0-9]{2})(?P<m2>[01][0-9])(?P<d2>[0-3][0-9])"
    rf"|(?P<a3>[0-9]{{1,2}})[./\-](?P<b3>[0-9]{{1,2}})[./\-](?P<y3>{_YEAR})"
    rf"|(?P<y4>{_YEAR}|[0-9]{{2}}) ?年 ?(?P<m4>[0-9]{{1,2}}) ?月(?: ?(?P<d4>[0-9]{{1,2}}) ?[日号]?)?"
    rf"|(?P<m5>{_MONTH})\.? ?(?P<d5>{_ORDINAL}),? ?(?P<y5>{_YEAR})"
    rf"|(?P<d6>{_ORDINAL}) ?(?:of )?(?P<m6>{_MONTH})\.?,? ?(?P<y6>{_YEAR})"
    r"|(?P<m7>[0-9]{1,2}) ?月 ?(?P<d7>[0-9]{1,2}) ?[日号]?"
    rf"|(?P<y8>{_YEAR})[./\-](?P<m8>[0-9]{{1,2}})(?![./\-])"
    rf"|(?P<h9>[一二][{_HAN_DIGITS}]{{3}}年[正一二三四五六七八九十]{{1,3}}月(?:[一二三四五六七八九十]{{1,3}}[日号]?)?)"
    r")(?![0-9]|[a-z])"
)
_SAID: Final = (
    r"出生(?:日期|年月日|年月|时间|日|于)?|生日|生于|诞生于|诞辰|"
    r"(?<![a-z])(?:d\.?o\.?b(?![a-z])\.?|date of birth|birth ?date|birth ?day|born(?: on)?)"
)
_LINKS: Final = rf"(?:{LINK}|在|农历|阴历|阳历|公历|约|on|the){{0,8}}"
_WORDS: Final = re.compile(
    rf"(?:{_SAID})(?={_LINKS}[0-9一二a-z])"
    r"|[日号月] ?\(?,? ?(?:出生|生人|生日|诞生)"
    r"|(?<=[0-9]) ?\(?,? ?(?:出生|生人)"
)
_AFTER: Final = re.compile(rf"{_LINKS}({_DATE})")
_ALONE: Final = re.compile(_DATE)
_REACH: Final = 16
_KEYS: Final = ("出生", "生日", "生于", "诞", "生人", "dob", "d.o.b", "birth", "born")  # each of _WORDS holds one


def find(page: Page) -> Iterator[Finding]:
    """Candidates, overlapping ones included."""
    for word in _words(page.lower):
        found = _AFTER.match(page.lower, word.end())
        if found and _is_day(found):
            yield Finding(*found.span(1), "BIRTH_DATE", 0.85, "context")
            continue
        # The last date that ends where the word begins (日 is of the date).
        end = word.end() if word[0] in "日号月" else word.start() + (word[0][0] in "日号月")
        for alone in _ALONE.finditer(page.lower, max(0, word.start() - _REACH), end):
            if alone.end() == end and _is_day(alone):
                yield Finding(*alone.span(), "BIRTH_DATE", 0.85, "context")


def _words(text: str) -> Iterator[re.Match[str]]:
    seen = -1
    for at in sorted(places(text, _KEYS)):
        for word in _WORDS.finditer(text, max(0, at - _REACH), at + 2 * _REACH):
            if word.start() > seen:
                seen = word.start()
                yield word


def _is_day(found: re.Match[str]) -> bool:
    """A day or month of the calendar, not in a year to come."""
    parts = {name[0]: text for name, text in found.groupdict().items() if text is not None}
    if "h" in parts:
        return True
    year = int(parts.get("y", "2000"))
    if year < 100:
        year += 1900
    if "a" in parts:  # day and month in either order
        first, second = int(parts["a"]), int(parts["b"])
        return is_date(year, first, second) or is_date(year, second, first)
    month = _MONTHS.index(parts["m"][:3]) + 1 if parts["m"].isalpha() else int(parts["m"])
    return is_date(year, month, int(re.sub(r"[a-z]", "", parts.get("d", "1"))))
