"""What came of the demonstration, in counts and in the service's own sentences: nothing in it is personal."""

from __future__ import annotations

from dataclasses import dataclass, field

from cli.sample_figures import Figures
from privacy.client import Consent
from privacy.errors import PrivacyError


@dataclass(slots=True)
class Disclosed:
    """What one purpose got: records, values, and how many of the values came through a mask."""

    records: int = 0
    values: int = 0
    masked: int = 0
    masks: dict[str, str] = field(default_factory=dict)  # field -> mask


@dataclass(frozen=True, slots=True)
class Refusal:
    """One kind of refusal: who asked for what purpose, the rule and law that said no, and how, in English."""

    component: str
    purpose: str
    code: str
    law: tuple[str, ...]
    sentence: str


@dataclass(frozen=True, slots=True)
class Said:
    """One kind of act of consent: about what, and in which language it was asked."""

    purpose: str
    language: str
    state: str


@dataclass(slots=True)
class Report:
    """What happened. `chinese` holds the sentence of each kind of refusal in Chinese."""

    subjects: int = 0
    created: int = 0
    languages: dict[str, int] = field(default_factory=dict)
    stored: dict[str, int] = field(default_factory=dict)
    notice: str = ""
    consents: dict[Said, int] = field(default_factory=dict)
    restricted: int = 0
    searched: int = 0
    found: int = 0
    disclosed: dict[str, Disclosed] = field(default_factory=dict)
    refused: dict[Refusal, int] = field(default_factory=dict)
    chinese: dict[Refusal, str] = field(default_factory=dict)
    figures: Figures | None = None
    seconds: float = 0.0

    def decide(self, consent: Consent, language: str) -> None:
        """Count an act, by the language that it is recorded in; `language` where an act has none: a withdrawal."""
        recorded = consent.language.partition("-")[0] if consent.language else language
        kind = Said(consent.purpose, recorded, consent.state)
        self.consents[kind] = self.consents.get(kind, 0) + 1

    def refuse(self, component: str, purpose: str, error: PrivacyError) -> Refusal:
        code = str(error.context.get("code") or error.code)
        kind = Refusal(component, purpose, code, error.law, error.detail)
        self.refused[kind] = self.refused.get(kind, 0) + 1
        return kind

    def store(self, what: str, count: int) -> None:
        self.stored[what] = self.stored.get(what, 0) + count
