"""Check digits and calendars: whether a compact number (no separators, upper case) can be what it looks like."""

from __future__ import annotations

import time
from calendar import monthrange
from collections.abc import Mapping
from typing import Final

# The first two digits of an administrative code (GB/T 2260), and 81 to 83: residents of Hong Kong, Macao, Taiwan.
_PROVINCES: Final = frozenset(
    map(
        str,
        (
            *range(11, 16),
            *range(21, 24),
            *range(31, 38),
            *range(41, 47),
            *range(50, 55),
            *range(61, 66),
            71,
            81,
            82,
            83,
        ),
    )
)
_FIRST_YEAR: Final = 1900

_ID_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_CHECKS: Final = "10X98765432"
_ID_LONG: Final = 18
_ID_SHORT: Final = 15

_USCC_ALPHABET: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"  # GB 32100: without I, O, S, V, Z
_USCC_VALUES: Final = {character: value for value, character in enumerate(_USCC_ALPHABET)}
_USCC_WEIGHTS: Final = tuple(pow(3, place, 31) for place in range(17))
_ORGANISATION_WEIGHTS: Final = (3, 7, 9, 10, 5, 8, 4, 2)
_LETTER_VALUES: Final = {character: int(character, 36) for character in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
_S10_WEIGHTS: Final = (8, 6, 4, 2, 3, 5, 9, 7)

_DOUBLED: Final = {str(digit): sum(divmod(2 * digit, 10)) for digit in range(10)}

# ISO 13616 registry: the whole length of each country's numbers.
_IBAN_LENGTHS: Final[Mapping[str, int]] = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29,
    "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29,
    "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28,
    "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28,
    "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20,
    "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29, "PT": 25,
    "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27,
    "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}  # fmt: skip


def is_date(year: int, month: int, day: int) -> bool:
    """A day of the calendar from 1900 to the end of this year."""
    return _FIRST_YEAR <= year <= time.gmtime().tm_year and 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]


def is_resident_id(number: str) -> bool:
    """GB 11643: province, date of birth, and ISO 7064 MOD 11-2. 18 characters, X in upper case.

    Not whether the county existed in the year of birth: registers of counties lack codes that are in use.
    """
    if len(number) != _ID_LONG or not number[:17].isdigit() or number[:2] not in _PROVINCES:
        return False
    total = sum(int(digit) * weight for digit, weight in zip(number, _ID_WEIGHTS, strict=False))
    return _ID_CHECKS[total % 11] == number[17] and is_date(int(number[6:10]), int(number[10:12]), int(number[12:14]))


def is_short_resident_id(number: str) -> bool:
    """The 15 digits of before 1999: province and date of birth in the twentieth century; there is no check digit."""
    return (
        len(number) == _ID_SHORT
        and number.isdigit()
        and number[:2] in _PROVINCES
        and is_date(1900 + int(number[6:8]), int(number[8:10]), int(number[10:12]))
    )


def passes_luhn(digits: str) -> bool:
    """ISO/IEC 7812-1 annex B. One random number in ten passes."""
    total = sum(map(int, digits[-1::-2])) + sum(_DOUBLED[digit] for digit in digits[-2::-2])
    return total % 10 == 0


def is_credit_code(code: str) -> bool:
    """GB 32100-2015: authority, kind, administrative code, and the check character over 31 characters.

    A code of digits alone passes by chance one time in 31; unless it is a company's (9), whose first two digits no
    resident ID bears, it must also hold an organisation code with its own check character (GB 11714). Of digits alone
    and beginning with 6 it is taken for a bank card.
    """
    if len(code) != _ID_LONG or any(character not in _USCC_VALUES for character in code):
        return False
    if not code[2:8].isdigit() or not (code[2:4] in _PROVINCES or code[2:8] == "100000"):
        return False
    total = sum(_USCC_VALUES[character] * weight for character, weight in zip(code, _USCC_WEIGHTS, strict=False))
    if _USCC_VALUES[code[17]] != -total % 31:
        return False
    return not code.isdigit() or code[0] == "9" or (code[0] != "6" and is_organisation_code(code[8:17]))


def is_organisation_code(code: str) -> bool:
    """GB 11714: eight characters and a check character, nine in all."""
    total = sum(
        _LETTER_VALUES[character] * weight for character, weight in zip(code, _ORGANISATION_WEIGHTS, strict=False)
    )
    return "0123456789X0"[(11 - total % 11)] == code[8]


def is_iban(code: str) -> bool:
    """ISO 13616: the country's length, and MOD 97-10."""
    if len(code) != _IBAN_LENGTHS.get(code[:2]):
        return False
    return int("".join(str(_LETTER_VALUES[character]) for character in code[4:] + code[:4])) % 97 == 1


def is_postal_item(code: str) -> bool:
    """UPU S10: two letters, eight digits and their check digit, the country."""
    total = sum(int(digit) * weight for digit, weight in zip(code[2:10], _S10_WEIGHTS, strict=True))
    check = 11 - total % 11
    return {10: 0, 11: 5}.get(check, check) == int(code[10])
