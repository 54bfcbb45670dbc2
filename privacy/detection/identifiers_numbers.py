"""Numbers that are told by their digits: resident IDs, telephones, bank cards, devices.

One pass finds the runs of digits; only these are looked at closer, each by the rules that its length allows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from privacy.detection.checks import is_resident_id, is_short_resident_id, passes_luhn
from privacy.detection.findings import Finding
from privacy.detection.identifiers_page import Page, counts_or_names_a_thing, label

_CHECKED: Final = "check-digit"
_SHORTEST_ID: Final = 15
_SHORTEST_CARD: Final = 12
_SHORTEST_MOBILE: Final = 11
_RUN: Final = re.compile(r"[0-9](?:[ .()/\-]{0,3}[0-9]){6,}")
_LEFT: Final = r"(?:(?<![0-9A-Za-z])|(?<=tel)|(?<=Tel)|(?<=TEL)|(?<=phone)|(?<=mobile)|(?<=ID)|(?<=No)|(?<=NO))"
_RIGHT: Final = r"(?![0-9A-Za-z]|\.[0-9]|,[0-9]{3}(?![0-9]))"
_SEPARATORS: Final = str.maketrans("", "", " -.()/")

# --- resident ID ---
_ID: Final = re.compile(
    _LEFT + r"(?=([1-9](?:[ \-]{0,2}[0-9]){16}[ \-]{0,2}[0-9Xx])(?![0-9A-Za-z]))(?<![0-9]\.)"
)  # a look-ahead: of overlapping candidates each is tried
_SHORT_ID: Final = re.compile(r"(?<![0-9A-Za-z])([1-9](?:[ \-]?[0-9]){14})" + _RIGHT)
_ID_LABEL: Final = label(
    "身份证|身份号码|证件|身分证|居住证", "id ?card|identity (?:card|no|number)|(?:resident|national|citizen) id|sfz"
)

# --- telephone ---
_GAP: Final = r"(?: {1,2}| ?- ?|\.)"
_MOBILE: Final = re.compile(
    rf"{_LEFT}(?<![0-9]\.)(?<!(?<![0-9]{{6}})[0-9]-)(?:(?:\((?:(?:\+|00) ?)?86\)|(?:(?:\+|00) ?)?86)[ \-]{{0,2}})?"
    r"(1[3-9](?:[0-9]{9}"
    rf"|[0-9](?:({_GAP})[0-9]{{4}}\2[0-9]{{4}}|({_GAP})[0-9]{{3}}\3[0-9]{{5}}|{_GAP}[0-9]{{8}})"
    rf"|(?<![0-9][ \-][0-9]{{2}})[0-9]{{2}}(?:({_GAP})[0-9]{{4}}\4[0-9]{{3}}|({_GAP})[0-9]{{3}}\5[0-9]{{4}})"
    rf"|[0-9]{{5}}{_GAP}[0-9]{{4}}|[0-9]{{3}}{_GAP}[0-9]{{6}})"
    rf"|(?<![0-9][ \-])1([ \-])[3-9](?:\6[0-9]){{9}}){_RIGHT}"
)
_AREA: Final = r"(?:10|2[0-57-9])"  # eight digits follow
_WIDE_AREA: Final = r"[3-9][0-9]{2}"  # seven or eight
_SUBSCRIBER: Final = r"[2-9][0-9]{3}[ \-]?[0-9]{4}"
_WIDE_SUBSCRIBER: Final = rf"(?:{_SUBSCRIBER}|[2-9][0-9]{{2}}[ \-]?[0-9]{{4}})"
_ABROAD_AREA: Final = r"(?:(?:\+|00) ?86[ \-]{0,2}(?:\(0\))?|\(\+86\) ?|86-)0?"
# An extension may follow at once.
_END: Final = r"(?![0-9]|\.[0-9]|,[0-9]{3}(?![0-9])|(?![Ee][Xx][Tt]|[xX][ 0-9])[A-Za-z])"
_LANDLINE: Final = re.compile(
    rf"{_LEFT}(?<![0-9][.\-])(?<![0-9]{{4}} )(?:"
    rf"{_ABROAD_AREA}{_AREA}[ \-]{{0,2}}{_SUBSCRIBER}"
    rf"|\(0{_AREA}\)[ \-]{{0,2}}{_SUBSCRIBER}|0{_AREA}[ \-]{{0,2}}{_SUBSCRIBER}"
    rf"|{_ABROAD_AREA}{_WIDE_AREA}[ \-]{{0,2}}{_WIDE_SUBSCRIBER}"
    rf"|\(0{_WIDE_AREA}\)[ \-]{{0,2}}{_WIDE_SUBSCRIBER}|0{_WIDE_AREA}[ \-]{{0,2}}{_WIDE_SUBSCRIBER}){_END}"
)
_HOTLINE: Final = re.compile(
    rf"{_LEFT}(?<![0-9][.\-])[48]00(?:[ \-]?[0-9]{{3}}[ \-]?[0-9]{{4}}|[ \-][0-9]{{4}}[ \-][0-9]{{3}}){_END}"
)
_LOCAL: Final = re.compile(rf"(?<![0-9A-Za-z])(?<![0-9][.\-])[2-8](?:[0-9]{{2,3}}[ \-][0-9]{{4}}|[0-9]{{6,7}}){_END}")
_EXTENSION: Final = re.compile(r"\)?[ ,]?(?:转|分机号?|-|#|(?:ext|x)\.?)[ :]?[0-9]{1,6}(?![0-9A-Za-z]|-[0-9])")
_ABROAD: Final = re.compile(
    r"(?<![0-9A-Za-z+])\+(?!86)[1-9][0-9]{0,2}(?:[ \-.]?\(0\))?(?:[ .\-]|\) ?| ?\()?[0-9]{1,5}"
    rf"(?:[ .\-)]{{0,2}}[0-9]{{2,8}}){{1,4}}{_RIGHT}"
)
_ABROAD_DIGITS: Final = range(8, 16)
_DAY: Final = re.compile(r"(?:19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}")
_PHONE_LABEL: Final = label(
    "电话|手机|座机|固话|传真|热线|联系方式", "tel|phone|telephone|mobile|cell|fax|call|hotline"
)
_LOCAL_LABEL: Final = label("电话|座机|固话|传真", "tel|telephone|fax", 6)

# --- bank card ---
_CARD: Final = re.compile(
    r"(?<![0-9A-Za-z])(?<![0-9]\.)(?=((?:[2-9][0-9]{12,18}"
    r"|(?<![0-9]{4}[ \-])[2-9][0-9]{3}( {1,2}|-)[0-9]{4}\2[0-9]{4}(?:\2[0-9]{4})?(?:\2[0-9]{1,4})?"
    r"|[2-9][0-9]{5}[ \-][0-9]{7,13}|3[0-9]{3}([ \-])[0-9]{6}\3[0-9]{4,5}))" + _RIGHT + ")"
)
_GROUP_END: Final = re.compile(r"[0-9](?![0-9])")
_CARD_LABEL: Final = label(
    "银行卡|卡号|储蓄卡|借记卡|信用卡|贷记卡|工资卡|帐号|账号|账户", "card|account|visa|mastercard|amex|unionpay|pan"
)
_ACCOUNT_LABEL: Final = label(
    r"(?:银行|对公|收款|打款|汇款|退款|开户|工资|结算)[^0-9。;!?\n]{0,8}(?:账号|帐号|账户|帐户|户号)", reach=6
)
_ACCOUNT: Final = re.compile(r"(?<![0-9A-Za-z])[0-9](?:[ \-]?[0-9]){11,24}" + _RIGHT)
_UNIONPAY_LENGTHS: Final = range(16, 20)
_ISSUERS: Final = (  # ISO/IEC 7812 prefixes, the lengths in use, whether a label is needed for want of distinction
    (re.compile(r"4"), (16,), False),
    (re.compile(r"4"), (13, 19), True),
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), (16,), False),
    (re.compile(r"3[47]"), (15,), False),
    (re.compile(r"352[89]|35[3-8]"), (16,), False),
    (re.compile(r"30[0-5]|3095|3[689]"), (14,), False),
    (re.compile(r"6011|64[4-9]|65"), (16,), False),
    (re.compile(r"352[89]|35[3-8]|6011|64[4-9]|65"), (17, 18, 19), True),
    (re.compile(r"50|5[6-8]|6[0137]"), tuple(range(13, 20)), True),
)

# --- device ---
_IMEI: Final = re.compile(r"(?<![0-9A-Za-z])(?<![0-9]\.)([0-9]{15}|[0-9]{2}([ \-])[0-9]{6}\2[0-9]{6}\2[0-9])" + _RIGHT)
_IMEI_LABEL: Final = label("串号|设备号|设备识别码|设备标识|手机识别码", r"imei\d?|device ?id")
_IMEI_ISSUERS: Final = ("35", "86")  # the bodies that allot nearly all numbers in use

# --- digits in Chinese characters ---
_SPOKEN: Final = re.compile("[〇零一二三四五六七八九幺两壹贰叁肆伍陆柒捌玖]{11,18}")
_SPOKEN_DIGITS: Final = str.maketrans("〇零一二三四五六七八九幺两壹贰叁肆伍陆柒捌玖", "001234567891" + "2123456789")
_SPOKEN_MOBILE: Final = re.compile("1[3-9][0-9]{9}")


def find(page: Page) -> Iterator[Finding]:
    """Candidates, overlapping ones included."""
    for run in _RUN.finditer(page.image):
        start, end = max(0, run.start() - 3), min(len(page.image), run.end() + 5)
        length = run.end() - run.start()
        if length >= _SHORTEST_ID:
            yield from _resident_ids(page, start, end)
            yield from _devices(page, start, end)
        if length >= _SHORTEST_CARD:
            yield from _cards(page, start, end)
        if length >= _SHORTEST_MOBILE:
            yield from _mobiles(page, start, end)
        yield from _landlines(page, start, end)
        if page.image.find("+", start, end) >= 0:
            yield from _abroad(page, start, end)
    for spoken in _SPOKEN.finditer(page.folded):
        digits = spoken[0].translate(_SPOKEN_DIGITS)
        if is_resident_id(digits):
            yield Finding(*spoken.span(), "CN_RESIDENT_ID", 1.0, _CHECKED)
        elif _SPOKEN_MOBILE.fullmatch(digits):
            yield Finding(*spoken.span(), "CN_MOBILE", 0.7, "pattern")


def _resident_ids(page: Page, start: int, end: int) -> Iterator[Finding]:
    for found in _ID.finditer(page.image, start, end):
        number = found[1].translate(_SEPARATORS).upper()
        if is_resident_id(number):
            yield Finding(*found.span(1), "CN_RESIDENT_ID", 1.0, _CHECKED)
        elif _ID_LABEL.ends(page.before(found.start(1))):
            yield Finding(*found.span(1), "CN_RESIDENT_ID", 0.5, "context")
    for found in _SHORT_ID.finditer(page.image, start, end):
        if is_short_resident_id(found[1].translate(_SEPARATORS)) and _ID_LABEL.ends(page.before(found.start(1))):
            yield Finding(*found.span(1), "CN_RESIDENT_ID", 0.9, "context")


def _mobiles(page: Page, start: int, end: int) -> Iterator[Finding]:
    for found in _MOBILE.finditer(page.image, start, end):
        yield from _phone(page, "CN_MOBILE", *found.span(), 0.8)


def _landlines(page: Page, start: int, end: int) -> Iterator[Finding]:
    for form in (_LANDLINE, _HOTLINE):
        for found in form.finditer(page.image, start, end):
            extension = _EXTENSION.match(page.lower, found.end())
            yield from _phone(page, "CN_LANDLINE", found.start(), extension.end() if extension else found.end(), 0.7)
    for found in _LOCAL.finditer(page.image, start, end):
        if _LOCAL_LABEL.ends(page.before(found.start())):
            extension = _EXTENSION.match(page.lower, found.end())
            yield Finding(found.start(), extension.end() if extension else found.end(), "CN_LANDLINE", 0.6, "context")


def _abroad(page: Page, start: int, end: int) -> Iterator[Finding]:
    for found in _ABROAD.finditer(page.image, start, end):
        digits = sum(character.isdigit() for character in found[0])
        if digits in _ABROAD_DIGITS and not _DAY.search(found[0]):
            yield from _phone(page, "PHONE_NUMBER", *found.span(), 0.7)


def _phone(page: Page, entity: str, start: int, end: int, score: float) -> Iterator[Finding]:
    if counts_or_names_a_thing(page, start, end):
        return
    labelled = _PHONE_LABEL.ends(page.before(start))
    yield Finding(start, end, entity, score + 0.1 if labelled else score, "context" if labelled else "pattern")


def _cards(page: Page, start: int, end: int) -> Iterator[Finding]:
    for found in _CARD.finditer(page.image, start, end):
        first, last = found.span(1)
        before = page.before(first)
        if _ID_LABEL.ends(before) or counts_or_names_a_thing(page, first, last):
            continue
        labelled = _CARD_LABEL.ends(before)
        for end_of_number in _ends(page, first, last) if labelled else (last,):
            digits = page.image[first:end_of_number].translate(_SEPARATORS)
            entity = _issuer(digits, labelled=labelled)
            if entity and passes_luhn(digits):
                yield Finding(first, end_of_number, entity, 0.95 if labelled else 0.85, _CHECKED)
            elif entity and labelled and len(digits) in _UNIONPAY_LENGTHS:
                yield Finding(first, end_of_number, entity, 0.5, "context")
    for found in _ACCOUNT.finditer(page.image, start, end):
        if _ACCOUNT_LABEL.ends(page.before(found.start())):
            yield Finding(*found.span(), "CN_BANK_CARD", 0.45, "context")


def _ends(page: Page, start: int, end: int) -> list[int]:
    """A number written in groups may be followed by another: behind a label each end of a group may be the number's.

    Not without one: one in ten of the shorter pieces of a mistyped number would pass for a card.
    """
    return [last.end() for last in _GROUP_END.finditer(page.image, start + 12, end)]


def _issuer(digits: str, *, labelled: bool) -> str | None:
    if digits.startswith("62") or (digits.startswith(("9558", "9559", "81", "60")) and (labelled or digits[0] == "9")):
        return "CN_BANK_CARD" if len(digits) in _UNIONPAY_LENGTHS else None
    for prefix, lengths, needs_label in _ISSUERS:
        if len(digits) in lengths and (labelled or not needs_label) and prefix.match(digits):
            return "CREDIT_CARD"
    return None


def _devices(page: Page, start: int, end: int) -> Iterator[Finding]:
    for found in _IMEI.finditer(page.image, start, end):
        digits = found[1].translate(_SEPARATORS)
        valid = passes_luhn(digits)
        if _IMEI_LABEL.ends(page.before(found.start(1))):
            yield Finding(*found.span(1), "IMEI", 0.95 if valid else 0.5, _CHECKED if valid else "context")
        elif valid and digits.startswith(_IMEI_ISSUERS) and not counts_or_names_a_thing(page, *found.span(1)):
            yield Finding(*found.span(1), "IMEI", 0.6, _CHECKED)
