"""One spelling for each value, so that equal values meet in a blind index.

`normalise` is what an index is computed over and what candidates are compared by after they were opened.
A normaliser's version is part of the index key's label: whoever changes what a normaliser returns for any
value raises its version, and the index is rebuilt. Unicode data comes with Python (`unicodedata`); text that
was assigned when it was stored normalises alike ever after (Unicode stability policy), so a newer Python
needs no new version.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Final

import idna
import phonenumbers

from privacy.errors import Invalid

_LONGEST: Final = 4096
_LONGEST_EMAIL: Final = 254  # RFC 5321 4.5.3.1.3, without the angle brackets


_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_SELECTOR: Final = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")  # variation selectors


@dataclass(frozen=True, slots=True)
class Normaliser:
    """`apply(value, region)` returns the one spelling, idempotently, or raises Invalid without the value."""

    name: str
    version: int
    apply: Callable[[str, str], str]


def normalise(kind: str, value: str, region: str = "CN") -> str:
    """The one spelling of `value`, never empty, encodable as UTF-8; equal to its own normal form.

    `region` (ISO 3166-1 alpha-2) says where a telephone number without a country code was written.
    Raises Invalid, without the value, for an unknown kind and for what cannot be a value of the kind.
    """
    normaliser = NORMALISERS.get(kind)
    if normaliser is None:
        raise Invalid(f"There is no such normaliser; there are {', '.join(NORMALISERS)}")
    return normaliser.apply(value, region)


def _folded(value: str, kind: str) -> str:
    """NFKC, case folded, invisible characters dropped, runs of white space made one space.

    Folding can undo NFKC and the reverse (U+0345, U+1E9E), and dropping can bring a letter and its accent
    together, so the steps repeat until nothing changes.
    """
    text = _sound(value, kind)
    while not (text.isascii() and text.isprintable()):
        folded = _visible(unicodedata.normalize("NFKC", text).casefold())
        folded = " ".join(unicodedata.normalize("NFKC", folded).split())
        if folded == text:
            break
        text = folded
    else:  # plain ASCII needs no tables; measured five times as fast
        text = " ".join(text.lower().split())
    if not text:
        raise Invalid(f"An empty {kind} cannot be looked up")
    return text


def _sound(value: str, kind: str) -> str:
    if len(value) > _LONGEST:
        raise Invalid(f"The {kind} is too long: at most {_LONGEST} characters")
    if _SURROGATE.search(value):
        raise Invalid(f"The {kind} holds half a character (a lone surrogate)")
    return value


def _visible(text: str) -> str:
    """The characters seen on paper: no controls, joiners, direction marks, variation selectors."""
    if text.isprintable() and not _SELECTOR.search(text):
        return text
    return "".join(
        character
        for character in text
        if character.isspace() or not (unicodedata.category(character) in ("Cc", "Cf") or _SELECTOR.match(character))
    )


def _text(value: str, region: str) -> str:
    return _folded(value, "text")


_HAN: Final = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_PLAIN_HAN: Final = re.compile("[\u4e00-\u9fff]{1,8}")
_SPACE_BETWEEN_HAN: Final = re.compile(f"(?<=[{_HAN}]) (?=[{_HAN}])")
# The dot between the parts of a name: which of these an input method gives is chance.
_NAME_DOT: Final = re.compile(" ?[\u00b7\u0387\u2022\u2027\u2219\u22c5\u2e31\u30fb] ?")


def _name(value: str, region: str) -> str:
    """As text; besides, one kind of middle dot, and no space between Chinese characters (王 伟 is 王伟)."""
    if _PLAIN_HAN.fullmatch(value):
        return value  # the common case: nothing to fold
    text = _folded(value, "name")
    return _SPACE_BETWEEN_HAN.sub("", _NAME_DOT.sub("\u00b7", text))


def _email(value: str, region: str) -> str:
    """Local part folded, domain in lower-case ASCII (UTS #46, IDNA 2008).

    RFC 5321 2.4 lets a host tell ANNA@ from anna@; none that people use does, and a person must be found.
    Dots and +tags stay: they are other mailboxes at most hosts.
    """
    if len(_sound(value, "e-mail address")) > _LONGEST_EMAIL:
        raise Invalid(f"The e-mail address is too long: at most {_LONGEST_EMAIL} characters")
    local, at, domain = _folded(value, "e-mail address").rpartition("@")
    if not at or not local or "@" in local or " " in local or not domain:
        raise Invalid("An e-mail address is written like name@example.org")
    host = _ascii_domain(domain)
    if host is None:
        raise Invalid("The domain of the e-mail address is not a domain name")
    return f"{local}@{host}"


_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_PLAIN_DOMAIN: Final = re.compile(rf"(?!.*--){_LABEL}(?:\.{_LABEL})*")  # nothing that IDNA would look at


def _ascii_domain(domain: str) -> str | None:
    if _PLAIN_DOMAIN.fullmatch(domain):
        return domain
    # idna's errors quote the domain: nothing of them may stay in the chain of the Invalid that is raised.
    try:
        host = idna.encode(domain, uts46=True, std3_rules=True).decode("ascii").lower().rstrip(".")
        # A label in capitals or one that UTS #46 maps further would not be its own normal form.
        return host if idna.encode(host, uts46=True, std3_rules=True).decode("ascii") == host else None
    except (idna.IDNAError, UnicodeError, ValueError, IndexError):
        return None


# The form in which nearly every number here arrives; phonenumbers takes a hundred times as long for the same.
# 179 is left out: phonenumbers may take 17900 and its like for a carrier's code.
_CN_MOBILE: Final = re.compile(r"(\+86[ -]?)?(1(?!79)[3-9][0-9])[ -]?([0-9]{4})[ -]?([0-9]{4})")

_EXTENSION: Final = re.compile(" ?(?:\u8f6c|\u8f49|\u5206\u673a|\u5206\u6a5f)[: ]*")  # 转, 分机


def _phone(value: str, region: str) -> str:
    """E.164, and `;ext=` (RFC 3966) where there is an extension.

    Checked for a possible length only: the tables of assigned prefixes change with every release of
    phonenumbers, and a number that is found today must be found tomorrow.
    """
    mobile = _CN_MOBILE.fullmatch(value)
    if mobile is not None and (region == "CN" or mobile[1]):
        return f"+86{mobile[2]}{mobile[3]}{mobile[4]}"
    if region not in phonenumbers.SUPPORTED_REGIONS:
        raise Invalid("The region of a telephone number is two capital letters (ISO 3166-1), like CN")
    text = _visible(unicodedata.normalize("NFKC", _sound(value, "telephone number")))
    text = _EXTENSION.sub(" ext ", text)
    number = _e164(text, region)
    # What reads differently the second time (a trunk prefix taken twice) has no one spelling.
    if number is None or _e164(number, region) != number:
        raise Invalid("This is not a telephone number; write it with its country code, like +86 138 0000 0000")
    return number


def _e164(text: str, region: str) -> str | None:
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    # A local number without its area code is possible too, and is somebody else's in the next city.
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None
    plain = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)  # leaves the extension out
    return f"{plain};ext={number.extension}" if number.extension else plain


_CN_ID: Final = re.compile(r"([1-9][0-9]{5})(?:([0-9]{8})([0-9]{3})([0-9X])|([0-9]{6})([0-9]{3}))")
_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def _cn_id(value: str, region: str) -> str:
    """The 18-character citizen identity number of GB 11643-1999, check character proved.

    The 15-digit form of before 1999 gets its century (19) and check character.
    """
    text = unicodedata.normalize("NFKC", _sound(value, "identity number"))
    found = _CN_ID.fullmatch(_visible(text).upper().replace(" ", "").replace("-", "").strip())
    if found is None:
        raise Invalid("An identity number has 18 characters, or 15 digits in its old form")
    area, born, serial, check, born_short, serial_short = found.groups()
    body = area + (born or f"19{born_short}") + (serial or serial_short)
    if not _is_date(body[6:14]):
        raise Invalid("The date of birth in the identity number is not a date")
    right = "10X98765432"[sum(int(digit) * weight for digit, weight in zip(body, _WEIGHTS, strict=True)) % 11]
    if check is not None and check != right:
        raise Invalid("The check character of the identity number is wrong (GB 11643)")
    return body + right


def _is_date(digits: str) -> bool:
    try:
        date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return False
    return True


NORMALISERS: Final[Mapping[str, Normaliser]] = MappingProxyType(
    {
        normaliser.name: normaliser
        for normaliser in (
            Normaliser("email", 1, _email),
            Normaliser("phone", 1, _phone),
            Normaliser("cn-id", 1, _cn_id),
            Normaliser("name", 1, _name),
            Normaliser("text", 1, _text),
        )
    }
)
"""Every normaliser by the name that the manifest and the index use."""
