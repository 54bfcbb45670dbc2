"""What one whole cell of a column is, told by its form alone: the rules that prove a column.

A cell counts only where it is nothing but the identifier. Three strengths: a check character that holds, a grammar that
nothing else has, and a shape that many kinds share, which proves nothing and only lets a column's name be believed.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterator
from datetime import date, datetime
from enum import IntEnum
from typing import Final

from privacy.detection.checks import (
    is_credit_code,
    is_iban,
    is_resident_id,
    is_short_resident_id,
    passes_luhn,
)
from privacy.manifest import ValueType


class Strength(IntEnum):
    SHAPE = 1
    GRAMMAR = 2
    CHECKED = 3


Told = tuple[str, Strength]

LONGEST: Final = 200  # characters; what is longer is text, and none of these
_EMPTY: Final = frozenset({"", "null", "none", "nan", "n/a", "na", "-", "--", "\\n", "nil", "#n/a", "nat"})


def is_empty(cell: str) -> bool:
    """Whether the cell says that there is nothing."""
    return len(cell) < 5 and cell.lower() in _EMPTY


def folded(cell: str) -> str:
    """Full-width digits and letters as ASCII, without surrounding space."""
    return (cell if cell.isascii() else unicodedata.normalize("NFKC", cell)).strip()


def told(cell: str) -> Iterator[Told]:
    """Every kind (`columns_kinds.KINDS`) that the folded cell is wholly one of; nothing for most cells."""
    if len(cell) > LONGEST:
        if cell.startswith("Mozilla/"):
            yield "user_agent", Strength.GRAMMAR
        return
    digits = sum(map(str.isdigit, cell)) if any(map(str.isdigit, cell)) else 0
    if digits >= 5:
        yield from _numbered(cell, digits)
    if "@" in cell:
        if _EMAIL.fullmatch(cell):
            yield "email", Strength.GRAMMAR
    elif ":" in cell or "." in cell or "/" in cell:
        yield from _of_machines(cell)
    elif len(cell) == 12 and _MAC.fullmatch(cell) and digits and not cell.isdigit():
        yield "mac_address", Strength.SHAPE
    if not cell.isascii() and len(cell) <= 24:
        if _PLATE.fullmatch(cell):
            yield "plate", Strength.GRAMMAR
        elif _MILITARY.fullmatch(cell):
            yield "military_id", Strength.GRAMMAR


# --- numbers

_EMAIL: Final = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?:[\w-]{1,63}\.)+[\w-]{2,63}")
_MOBILE: Final = re.compile(r"(?:\(?(?:\+|00)?86\)?[ -]?)?1[3-9]\d[ -]?(?:\d{4}[ -]?\d{4}|\d{3}[ -]?\d{5})")
_LANDLINE: Final = re.compile(
    r"(?:(?:\+|00)86[ -]?)?(?:\(0(?:10|2\d|[3-9]\d{2})\) ?|0(?:10|2\d|[3-9]\d{2})[ -])[2-9]\d{6,7}"
    r"(?:(?:-|转| ext\.? ?)\d{1,6})?|"
    r"[48]00-?\d{3}-?\d{4}|[48]00-\d{4}-?\d{3}"
)
_TELEPHONE: Final = re.compile(
    r"\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,5}(?:[ .-]?\d{2,5}){1,4}(?: ?(?:x|ext\.?) ?\d{1,6})?|"
    r"(?:001[-. ]|\+?1[-. ])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[-. ])\d{3}[-. ]\d{4}(?: ?(?:x|ext\.?) ?\d{1,6})?|"
    r"[2-9]\d{2}[2-9]\d{6}x\d{1,6}|\(0\d{2,4}\) ?\d{3,4}[ -]?\d{3,4}|0\d{2,4}[ -]\d{3,4}[ -]\d{3,4}"
)
_TEN_DIGITS: Final = re.compile(r"[2-9]\d{2}[2-9]\d{6}|0[1-9]\d{8,9}")
_SSN: Final = re.compile(r"(?!000|666|9\d\d)\d{3}-(?!00)\d\d-(?!0000)\d{4}")
_ID18: Final = re.compile(r"[1-9]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[0-9Xx]")
_USCC: Final = re.compile("[1-9ANY][1-9][0-9]{6}[0-9A-HJ-NP-RTUWXY]{10}")
# First digits that ISO/IEC 7812 gives to issuers: Visa, Mastercard, UnionPay, Amex, JCB, Discover, Diners.
_ISSUER: Final = re.compile(r"4|5[1-5]|2[2-7]|62|9558|3[47]|35|6011|64[4-9]|65|30[0-5]|3[689]|60|81|50|5[6-8]|6[37]")
_CARD: Final = re.compile(r"\d{13,19}|\d{4}(?:[ -]\d{4}){2,3}(?:[ -]\d{1,3})?|\d{4}[ -]\d{6}[ -]\d{5}|\d{6} \d{13}")
_PASSPORT: Final = re.compile(r"(?:E[A-HJ-NP-Z]?|G|D|S|P|PE|SE|DE)\d{7,8}", re.IGNORECASE)
_PERMIT: Final = re.compile(r"[CWHMT]\d{8}(?:\d{2})?", re.IGNORECASE)
_UUID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_IBAN: Final = re.compile(r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?")
_COORDINATES: Final = re.compile(
    r"[(\[]?-?(?:[0-8]?\d|90)\.\d{3,}[, ;]{1,2}-?1?\d?\d\.\d{3,}[)\]]?|"
    r"[(\[]?-?1?\d?\d\.\d{3,}[, ;]{1,2}-?[0-8]?\d\.\d{3,}[)\]]?"
)


def _numbered(cell: str, digits: int) -> Iterator[Told]:
    bare = cell.replace(" ", "").replace("-", "")
    if (digits == 11 or cell[0] in "+(0") and _MOBILE.fullmatch(cell):
        yield "phone", Strength.GRAMMAR
        return
    if _LANDLINE.fullmatch(cell):
        yield "landline", Strength.GRAMMAR
        return
    if digits in (17, 18) and len(bare) == 18:
        yield from _eighteen(bare.upper())
    if 13 <= digits <= 19 and _CARD.fullmatch(cell):
        yield from _cards(bare)
    if len(cell) == 11 and _SSN.fullmatch(cell):
        yield "ssn", Strength.GRAMMAR
    elif 7 <= digits <= 18 and _TELEPHONE.fullmatch(cell):
        yield "telephone", Strength.GRAMMAR
    elif 10 <= digits <= 11 and _TEN_DIGITS.fullmatch(cell):
        yield "telephone", Strength.SHAPE
    if "." in cell:
        if _COORDINATES.fullmatch(cell):
            yield "coordinate", Strength.GRAMMAR
    elif cell[0].isalpha():
        yield from _lettered(cell)
    elif len(cell) in (5, 6, 10) and re.fullmatch(r"\d{5}(?:-\d{4})?|\d{6}", cell):
        yield "postcode", Strength.SHAPE
    elif len(cell) == 36 and _UUID.fullmatch(cell):
        yield "record_number", Strength.GRAMMAR


def _lettered(cell: str) -> Iterator[Told]:
    if len(cell) == 36 and _UUID.fullmatch(cell):
        yield "record_number", Strength.GRAMMAR
    elif _PASSPORT.fullmatch(cell):
        yield "passport", Strength.SHAPE
    elif _PERMIT.fullmatch(cell):
        yield "permit", Strength.SHAPE
    elif len(cell) >= 15 and _IBAN.fullmatch(cell) and is_iban(cell.replace(" ", "")):
        yield "iban", Strength.CHECKED


def _eighteen(bare: str) -> Iterator[Told]:
    if _ID18.fullmatch(bare):
        yield "id_number", Strength.CHECKED if is_resident_id(bare) else Strength.SHAPE
    elif _USCC.fullmatch(bare):
        yield "credit_code", Strength.CHECKED if is_credit_code(bare) else Strength.SHAPE


def _cards(bare: str) -> Iterator[Told]:
    if is_short_resident_id(bare):
        yield "id_number", Strength.SHAPE
    if not passes_luhn(bare):
        if _ISSUER.match(bare) and len(bare) >= 16:
            yield "bank_card", Strength.SHAPE
        return
    if len(bare) == 15 and bare[:2] not in ("34", "37"):
        yield "imei", Strength.CHECKED
    elif _ISSUER.match(bare):
        yield "bank_card", Strength.CHECKED


# --- addresses of machines, plates

_MAC: Final = re.compile(
    r"(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}|[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}|[0-9a-f]{12}", re.IGNORECASE
)
_IPV4: Final = re.compile(r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}")
_URL: Final = re.compile(r"(?:https?|ftp)://\S+|www\.[\w-]+\.\S+", re.IGNORECASE)
_PLATE: Final = re.compile(
    "[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼使领][A-HJ-NP-Z][ ·•-]?"
    "(?:[A-HJ-NP-Z0-9]{4}[A-HJ-NP-Z0-9学警港澳领挂试超]|[DF][A-HJ-NP-Z0-9][0-9]{4}|[0-9]{5}[DF])"
)
_MILITARY: Final = re.compile("[\u4e00-\u9fff]{1,4}字第? ?[0-9]{5,10}号?")


def _of_machines(cell: str) -> Iterator[Told]:
    if _URL.fullmatch(cell):
        yield "link", Strength.GRAMMAR
    elif cell.startswith("Mozilla/"):
        yield "user_agent", Strength.GRAMMAR
    elif _MAC.fullmatch(cell):
        yield "mac_address", Strength.GRAMMAR
    elif _IPV4.fullmatch(cell) or cell.count(":") > 1:
        try:
            ipaddress.ip_address(cell)
        except ValueError:
            return
        yield "ip_address", Strength.GRAMMAR


# --- types

_DATE: Final = re.compile(r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?")
_DATE_REVERSED: Final = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})")
_DATE_TIGHT: Final = re.compile(r"(19\d{2}|20\d{2})(\d{2})(\d{2})")
_DATE_TIME: Final = re.compile(
    r"(\d{4}[-/.年]\d{1,2}[-/.月]\d{1,2}日?)[T ]?\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?: ?(?:Z|UTC|[+-]\d{2}:?\d{2}))?"
)
_INTEGER: Final = re.compile(r"[+-]?(?:0|[1-9]\d{0,14})")
_NUMBER: Final = re.compile(r"[+-]?(?:\d{1,15}|\d{1,3}(?:,\d{3})+)(?:\.\d+)?%?|[¥$€£￥]\d[\d,]*(?:\.\d+)?")
_BOOLEAN: Final = frozenset({"true", "false", "yes", "no", "是", "否", "t", "f", "y", "n"})


def day_of(cell: str) -> date | None:
    """The day that the whole cell is, a time after it included. 03/04/2026 is taken as whichever is a day."""
    timed = _DATE_TIME.fullmatch(cell)
    text = timed[1] if timed else cell
    found = _DATE.fullmatch(text) or _DATE_TIGHT.fullmatch(text)
    if found:
        return _day(int(found[1]), int(found[2]), int(found[3]))
    found = _DATE_REVERSED.fullmatch(text)
    if found is None:
        return None
    first, second, year = int(found[1]), int(found[2]), int(found[3])
    return _day(year, first, second) or _day(year, second, first)


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def type_of(cell: str) -> ValueType:
    """The narrowest type of a folded cell."""
    if cell[0] in "+-0123456789¥$€£￥":
        if _INTEGER.fullmatch(cell):
            return ValueType.INTEGER
        if _NUMBER.fullmatch(cell):
            return ValueType.TEXT if cell.isdigit() else ValueType.NUMBER  # leading zeros are part of a text
        if len(cell) >= 8 and day_of(cell) is not None:
            return ValueType.DATETIME if ":" in cell else ValueType.DATE
    elif len(cell) <= 5 and cell.lower() in _BOOLEAN:
        return ValueType.BOOLEAN
    elif cell.startswith('["') and cell.endswith('"]'):
        return ValueType.LIST
    return ValueType.TEXT


def is_stored_as_written(cell: str, kind: ValueType) -> bool:
    """Whether the service takes the cell as it is: `2026-01-31`, and an instant only with its time zone."""
    try:
        if kind is ValueType.DATE:
            return len(cell) == 10 and bool(date.fromisoformat(cell))
        if kind is ValueType.DATETIME:
            return datetime.fromisoformat(cell).tzinfo is not None
    except ValueError:
        return False
    return kind is not ValueType.NUMBER or cell.strip("+-0123456789.") == ""
