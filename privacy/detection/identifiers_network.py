"""Addresses of machines and mailboxes: e-mail, web, IP, MAC. Beside Han, and not inside words, versions or times."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv6Address
from typing import Final

from privacy.detection.findings import Finding
from privacy.detection.identifiers_page import Page, counts_or_names_a_thing, label

# RFC 5321 4.5.3.1 bounds the local part (64) and a domain's labels (63).
_LOCAL_LONGEST: Final = 64
_LOCAL_CHARACTERS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._%+-'"
_LOCAL: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_%+'\-]|\.(?!\.))*")
_DOMAIN: Final = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?\.){1,8}([A-Za-z]{2,24})(?![A-Za-z0-9@])"
)
# icon@2x.png is a file.
_FILES: Final = frozenset(
    ("png", "jpg", "jpeg", "gif", "svg", "webp", "js", "ts", "css", "json", "xml", "yaml", "exe", "dll")
)

# A web address is ASCII; what closes a sentence or a bracket after it is not part of it.
_URL: Final = re.compile(
    r"(?:(?<![A-Za-z0-9])(?:https?|ftp)://|(?<![A-Za-z0-9./@])www\.)[A-Za-z0-9\[][!#-;=?-~]{2,2000}"
)
_URL_TAIL: Final = ".,;:!?'*_)]}>"

_OCTET: Final = re.compile(r"25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9]")
_IPV4: Final = re.compile(
    r"[0-9](?<![0-9A-Za-z.].)(?<![A-Za-z]/.)[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?![0-9A-Za-z_]|\.[0-9A-Za-z]|-[0-9])"
)
_EVERYBODYS: Final = frozenset(("127.0.0.1", "0.0.0.0", "255.255.255.255"))  # noqa: S104 - addresses in a text
_IP_LABEL: Final = label("地址|服务器|主机", "ip|ipv4|ipv6|ip ?addr(?:ess)?|host|server|client|from|dns|gateway|ping")
_FIRST_OF_SECTIONS: Final = 10  # 1.2.3.4 counts sections
# From a colon to both sides: a search for the whole form would begin at every a, b, c, d, e, f of a text.
_IPV6: Final = re.compile(r":[0-9A-Fa-f:]{2,41}(?:(?:\.[0-9]{1,3}){3})?(?![0-9A-Za-z:])")
_HEX: Final = "0123456789abcdefABCDEF"
_HEXTET: Final = 4
_HEXTETS: Final = 8
_LONG_PREFIX: Final = re.compile(r"(?:[23][0-9A-Fa-f]{3}|[fF][cdCDeE][0-9A-Fa-f]{2}|64):")
_MAC: Final = re.compile(
    r"(?<![0-9A-Za-z])[0-9A-Fa-f]{2}(?:([:\-])[0-9A-Fa-f]{2}(?:\1[0-9A-Fa-f]{2}){4}(?!\1?[0-9A-Fa-f]{2})"
    r"|[0-9A-Fa-f]{2}([.\-])[0-9A-Fa-f]{4}\2[0-9A-Fa-f]{4})(?![0-9A-Za-z]|[:\-.][0-9A-Fa-f]{2})"
)
_PAIR_BEFORE: Final = re.compile(r"(?<![0-9a-z])[0-9a-f]{2,4}[:.\-]$")
_BARE_MAC: Final = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{12}(?![0-9A-Za-z])")
_MAC_LABEL: Final = label("物理地址|网卡", "mac(?: ?addr(?:ess)?)?", 8)
_NOBODYS: Final = frozenset(("000000000000", "ffffffffffff"))


def find(page: Page) -> Iterator[Finding]:
    """Candidates, overlapping ones included."""
    if "@" in page.image:
        yield from _emails(page)
    if "://" in page.folded or "www." in page.lower:
        yield from _urls(page)
    if "." in page.image:
        yield from _ipv4(page)
    if ":" in page.image:
        yield from _ipv6(page)
    yield from _macs(page)


def _emails(page: Page) -> Iterator[Finding]:
    """From each @ to both sides: a search for the whole form would go over every word."""
    image = page.image
    at = image.find("@")
    while at >= 0:
        domain = _DOMAIN.match(image, at + 1)
        if domain and domain[1].lower() not in _FILES and (start := _local_start(image, at)) < at:
            yield Finding(start, domain.end(), "EMAIL_ADDRESS", 0.95, "pattern")
        at = image.find("@", at + 1)


def _local_start(image: str, at: int) -> int:
    """Where the local part before `at` begins; `at` if there is none. Dots before it are an ellipsis."""
    piece = image[max(0, at - _LOCAL_LONGEST) : at]
    local = piece[len(piece.rstrip(_LOCAL_CHARACTERS)) :]
    ellipsis = local.rfind("...")
    if ellipsis >= 0:
        local = local[ellipsis + 3 :]
    local = local.lstrip(".%+-'")
    return at - len(local) if _LOCAL.fullmatch(local) and not local.endswith(".") else at


def _urls(page: Page) -> Iterator[Finding]:
    found = _URL.search(page.folded)
    while found:
        # Folding makes ASCII of the full-width comma that ends an address; one in full width has none to end it.
        exact = _URL.match(page.text, found.start()) or found
        end = exact.start() + len(exact[0].rstrip(_URL_TAIL))
        yield Finding(exact.start(), end, "URL", 0.5, "pattern")
        found = _URL.search(page.folded, exact.end())


def _ipv4(page: Page) -> Iterator[Finding]:
    for found in _IPV4.finditer(page.image):
        octets = found[0].split(".")
        if found[0] in _EVERYBODYS or not all(_OCTET.fullmatch(octet) for octet in octets):
            continue
        if _IP_LABEL.ends(page.before(found.start())):
            yield Finding(*found.span(), "IP_ADDRESS", 0.95, "context")
        elif (
            octets[0] != "0"
            and max(map(int, octets)) >= _FIRST_OF_SECTIONS
            and not counts_or_names_a_thing(page, *found.span())
        ):
            yield Finding(*found.span(), "IP_ADDRESS", 0.8, "pattern")


def _ipv6(page: Page) -> Iterator[Finding]:
    image = page.image
    for found in _IPV6.finditer(image):
        colon, end = found.span()
        left = image[max(0, colon - _HEXTET) : colon]
        start = colon - len(left) + len(left.rstrip(_HEX))
        if image[max(0, start - 1) : start].isalnum():
            start = colon  # a word before its colon, and no hextet
        if start == colon and not image.startswith("::", colon):
            start += 1  # the colon of a label
        if image[end - 1] == ":" and image[end - 2 : end] != "::":
            end -= 1
        if _is_ipv6(image[start:end]):
            yield Finding(start, end, "IP_ADDRESS", 0.85, "pattern")


def _is_ipv6(address: str) -> bool:
    """An address that somebody may have: not ::1, not the `ab::cd` of a programming language."""
    groups = [group for group in address.split(":") if group]
    if len(groups) < _HEXTETS and not _LONG_PREFIX.match(address):
        return False
    try:
        IPv6Address(address)
    except AddressValueError:
        return False
    return True


def _macs(page: Page) -> Iterator[Finding]:
    for found in _MAC.finditer(page.image):
        before = page.before(found.start())
        digits = found[0].lower().replace(":", "").replace("-", "").replace(".", "")
        if digits not in _NOBODYS and (not _PAIR_BEFORE.search(before) or _MAC_LABEL.ends(before)):
            weak = found[2] is not None and digits.isdigit() and not _MAC_LABEL.ends(before)  # 1234-5678-9012
            yield Finding(*found.span(), "MAC_ADDRESS", 0.45 if weak else 0.9, "pattern")
    if "mac" in page.lower or "物理地址" in page.lower or "网卡" in page.lower:
        for found in _BARE_MAC.finditer(page.image):
            if _MAC_LABEL.ends(page.before(found.start())):
                yield Finding(*found.span(), "MAC_ADDRESS", 0.7, "context")
