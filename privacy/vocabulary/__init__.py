"""The words a manifest may use that are not ours: W3C DPV 2.3 categories and purposes, references to law.

Terms are kept by identifier in the text files beside this one. Categories carry the prefix `pd:`, purposes
`dpv:`, as in https://w3id.org/dpv/2.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import Final

PERSONAL_DATA: Final = "dpv:PersonalData"  # personal, and not said what kind
PURPOSE: Final = "dpv:Purpose"  # a purpose, and not said what kind
_ROOTS: Final = (PERSONAL_DATA, "dpv:NonPersonalData")
# Sensitive under PIPL 28 and GB/T 45574-2025 annex A although DPV marks no special category: financial
# accounts, credit, criminal records, tracks, secrets that open an account, vulnerability.
_SENSITIVE_IN_CHINA: Final = frozenset(
    f"pd:{term}"
    for term in (
        "FinancialAccount", "Credit", "Criminal", "TravelHistory", "Password", "PINCode", "SecretText", "Vulnerability",
    )
)  # fmt: skip


def _lines(name: str) -> Iterator[list[str]]:
    text = (files(__name__) / name).read_text(encoding="utf-8")
    return (line.split() for line in text.splitlines() if not line.startswith("#"))


def _categories() -> tuple[Mapping[str, frozenset[str]], frozenset[str]]:
    broader: dict[str, list[str]] = {}
    special: set[str] = set()
    for term, *parents in _lines("personal-data.txt"):
        name = f"pd:{term.removesuffix('!')}"
        broader[name] = [f"pd:{parent}" for parent in parents]
        if term.endswith("!"):
            special.add(name)

    def above(name: str) -> frozenset[str]:
        return frozenset({name}).union(*(above(parent) for parent in broader[name]))

    kinds = {name: above(name) for name in broader} | {root: frozenset({root}) for root in _ROOTS}
    sensitive = {name for name, all_above in kinds.items() if name in special or all_above & _SENSITIVE_IN_CHINA}
    return MappingProxyType(kinds), frozenset(sensitive)


# CATEGORIES: each term with itself and every broader term. SENSITIVE: those that PIPL 28 or GDPR 9 name.
CATEGORIES, SENSITIVE = _categories()
PURPOSES: Final = frozenset(f"dpv:{term}" for term, *_ in _lines("purposes.txt"))


def is_a(category: str, broader: str) -> bool:
    """Whether the category is the broader one or stands under it. False for what DPV does not know."""
    return broader in CATEGORIES.get(category, frozenset())


# The highest article: PIPL 74, GDPR 99. Sub-items are counted as the law counts them: paragraph, then item.
_LAWS: Final = (
    (re.compile(r"PIPL-([1-9][0-9]?)(?:-[1-9][0-9]?){0,2}"), 74),
    (re.compile(r"GDPR-([1-9][0-9]?)(?:-[1-9][0-9]?)?(?:-[a-z])?"), 99),
    (re.compile(r"CCPA-(?:1798\.[0-9]{2,3}(?:\.[0-9]{1,3})?|7[0-9]{3})(?:-[a-z](?:-[1-9][0-9]?)?)?"), None),
    (re.compile(r"CN-[A-Z][A-Z0-9]*(?:-[1-9][0-9]{0,3}(?:\.[0-9]{1,3})*){1,3}"), None),
)
LAW_FORMS: Final = "PIPL-13-2, GDPR-6-1-b, CCPA-1798.100, CN-ECL-31"


def is_law(reference: str) -> bool:
    """Whether the text has the form of a reference to PIPL, GDPR, CCPA (or its regulations, 7xxx) or CN-law.

    `CN-` goes before the short name of any other Chinese law: CN-ECL-31 is E-Commerce Law art. 31.
    """
    for form, last in _LAWS:
        match = form.fullmatch(reference)
        if match and (last is None or int(match[1]) <= last):
            return True
    return False
