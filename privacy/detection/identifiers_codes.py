"""Identifiers of letters and digits that are told by their form: credit codes, plates, IBANs, postal items."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from typing import Final

from privacy.detection.checks import is_credit_code, is_iban, is_postal_item
from privacy.detection.findings import Finding
from privacy.detection.identifiers_page import Page, label

_SEPARATORS: Final = str.maketrans("", "", " -.·")
# The first character comes before the look-behind: a pattern that begins with a class is searched ten times as fast.
_CODE: Final = "[0-9A-HJ-NP-RTUW-Ya-hj-np-rtuw-y]"
_CREDIT_CODE: Final = re.compile(  # whole, in fours, or in its parts
    rf"[1-9ANY](?<![0-9A-Za-z].)(?=[1-59][ \-]?[0-9]{{2}})(?:{_CODE}{{17}}"
    rf"|{_CODE}{{3}}([ \-]){_CODE}{{4}}\1{_CODE}{{4}}\1{_CODE}{{4}}\1{_CODE}{{2}}"
    rf"|{_CODE}([ \-])?[0-9]{{6}}[ \-]{_CODE}{{9}}[ \-]?{_CODE}|{_CODE}{{7}}[ \-]{_CODE}{{10}})(?![0-9A-Za-z])"
)
_CREDIT_LABEL: Final = label("信用代码|税号|纳税人识别号|营业执照|注册号", "credit code|uscc")
_IBAN: Final = re.compile(r"[A-Z](?<![0-9A-Za-z].)[A-Z][0-9]{2}(?:[ \-]?[0-9A-Z]){11,30}(?![0-9A-Za-z])")
_SHORTEST_IBAN: Final = 15
_POSTAL_ITEM: Final = re.compile(r"[A-Z](?<![0-9A-Za-z].)[A-Z] ?[0-9]{3} ?[0-9]{3} ?[0-9]{3} ?CN(?![0-9A-Za-z])")

# GA 36: no I, no O. D and F first or last mark a new-energy vehicle; A to K since 2021.
_REGION: Final = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
_LETTER: Final = "A-HJ-NP-Za-hj-np-z"
_PLATE: Final = re.compile(
    rf"[{_REGION}][{_LETTER}][ ·.\-]{{0,2}}(?:"
    rf"[A-HJKa-hjk][{_LETTER}0-9][0-9]{{4}}(?![0-9A-Za-z])|[0-9]{{5}}[A-HJKa-hjk](?![0-9A-Za-z])"
    rf"|[{_LETTER}0-9]{{5}}(?![0-9A-Za-z])|[{_LETTER}0-9]{{4}}[挂学警港澳领试超](?![0-9A-Za-z]))"
)
_POLICE_PLATE: Final = re.compile(rf"WJ[{_REGION}]?[ ·.\-]?[0-9]{{4}}[0-9TDSHBXJ](?![0-9A-Za-z])")
_EMBASSY_PLATE: Final = re.compile(r"使[ ·.\-]?[0-9]{3}[ ·.\-]?[0-9]{3}(?![0-9A-Za-z])")
_PLATE_LABEL: Final = label("车牌|牌照|号牌|车号|车辆|车主|驾驶|使馆", "plate|licen[cs]e plate|car no|vehicle")
# The character may end another word: 北京A座, 最新A12345.
_OTHER_WORD: Final = re.compile(
    r"(?:[北南东燕进]京|[最全更重崭创革清刷翻]新|[四银冰平]川|[富昂珍宝]贵|[南安西康]宁|[年知]青|[白多]云)$"
)
_FEWEST_DIGITS: Final = 3


def find(page: Page) -> Iterator[Finding]:
    """Candidates, overlapping ones included."""
    yield from _credit_codes(page)
    for found in _IBAN.finditer(page.image):
        if end := _iban_end(page.image, *found.span()):
            yield Finding(found.start(), end, "IBAN_CODE", 0.95, "check-digit")
    for found in _POSTAL_ITEM.finditer(page.image):
        if is_postal_item(found[0].translate(_SEPARATORS)):
            yield Finding(*found.span(), "CN_COURIER_NUMBER", 0.85, "check-digit")
    yield from _plates(page)


def _credit_codes(page: Page) -> Iterator[Finding]:
    for found in _CREDIT_CODE.finditer(page.image):
        code = found[0].translate(_SEPARATORS).upper()
        if is_credit_code(code):
            yield Finding(*found.span(), "CN_USCC", 0.95, "check-digit")
        elif _CREDIT_LABEL.ends(page.before(found.start())):
            yield Finding(*found.span(), "CN_USCC", 0.5, "context")


def _iban_end(image: str, start: int, end: int) -> int:
    """Where the number ends, 0 if it is none: what follows it in capitals after a space is matched with it."""
    code = image[start:end].translate(_SEPARATORS)
    while len(code) >= _SHORTEST_IBAN:
        if is_iban(code):
            return end
        end = max(image.rfind(" ", start, end), image.rfind("-", start, end))
        if end < start:
            break
        code = image[start:end].translate(_SEPARATORS)
    return 0


def _plates(page: Page) -> Iterator[Finding]:
    for found in chain.from_iterable(form.finditer(page.folded) for form in (_PLATE, _POLICE_PLATE, _EMBASSY_PLATE)):
        before = page.before(found.start())
        if _PLATE_LABEL.ends(before):
            yield Finding(*found.span(), "CN_PLATE", 0.95, "context")
        elif _stands_alone(found[0], before):
            yield Finding(*found.span(), "CN_PLATE", 0.8, "pattern")


def _stands_alone(plate: str, before: str) -> bool:
    """Whether it is a plate without a word that says so: 使 is a common verb, 京 ends names of places."""
    if plate[0] == "W":
        return not before[-1:].isascii() or not before[-1:].isalnum()
    if plate[0] == "使":
        return not before or not "\u3400" <= before[-1] <= "\u9fff"
    number = plate.translate(_SEPARATORS)[2:]
    digits = sum(character.isdigit() for character in number)
    fewest = _FEWEST_DIGITS if plate != plate.upper() else 1
    return digits >= fewest and _OTHER_WORD.search(before + plate[0]) is None
