"""Identifiers in a text of any language, by rule: check digits, forms, and the words beside them.

Pure standard library. Linear in the length of the text: every pattern has bounded reach, and costly ones look only
where a cheap pass has found digits, an @ or a telling word. Offsets are those of the text as given. Nothing here uses
`\\b`: Han beside a number is a word character to it.
"""

from __future__ import annotations

from itertools import chain

from privacy.detection import (
    identifiers_births,
    identifiers_codes,
    identifiers_labelled,
    identifiers_network,
    identifiers_numbers,
)
from privacy.detection.findings import THRESHOLD, Finding, resolved
from privacy.detection.identifiers_page import page

_PARTS = (identifiers_numbers, identifiers_codes, identifiers_network, identifiers_labelled, identifiers_births)


def find(text: str) -> list[Finding]:
    """The identifiers of `text` by start, none overlapping, each scored at the threshold or above.

    Names, addresses of houses, and dates other than of birth are not identifiers: see `chinese` and `english`.
    """
    prepared = page(text)
    found = chain.from_iterable(part.find(prepared) for part in _PARTS)
    return resolved(finding for finding in found if finding.score >= THRESHOLD)
