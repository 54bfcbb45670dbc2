"""A stored risk report, read back: as JSON, or as the page for people."""

from __future__ import annotations

from typing import Final

import msgspec

from privacy.anonymisation import risk_page
from privacy.anonymisation.risks import RiskReport

# What msgspec must know of the types is built here, by one thread: building it in two at once ends the process.
_REPORTS: Final = msgspec.json.Decoder(RiskReport)


def as_json(content: bytes) -> dict[str, object]:
    """The limits are in both languages."""
    return _REPORTS.decode(content).as_json()


def page(content: bytes, language: str) -> str:
    """Without script and without anything from elsewhere."""
    return risk_page.render(_REPORTS.decode(content), language)
