"""What a manifest is once it is read: frozen values that every other module asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Final, assert_never

from privacy.anonymisation.hierarchy_specs import Spec
from privacy.levels import Level
from privacy.manifest.placed_yaml import Problem
from privacy.periods import Period

LANGUAGES: Final = ("zh", "en")
DEFAULT_SCOPE: Final = "main"
REDACTED: Final = "redacted"  # in the place of a mask: the text, with what is personal in it taken out; no mask's name
DEFAULT_MAX_LENGTH: Final = 10_000
DEFAULT_PLANNED_SUBJECTS: Final = 1_000_000
NANO: Final = 1_000_000_000


class Basis(StrEnum):
    """Lawful bases: PIPL 13, GDPR 6(1). PIPL knows no legitimate interest."""

    CONSENT = "consent"
    CONTRACT = "contract"
    LEGAL_OBLIGATION = "legal-obligation"
    VITAL_INTEREST = "vital-interest"
    PUBLIC_TASK = "public-task"
    LEGITIMATE_INTEREST = "legitimate-interest"


class Method(StrEnum):
    """What is done with the data: the verbs of PIPL 4, and three that the law asks more for."""

    COLLECT = "collect"
    STORE = "store"
    USE = "use"
    ALTER = "alter"
    TRANSMIT = "transmit"
    PROVIDE = "provide"
    PUBLISH = "publish"  # separate consent: PIPL 25
    DELETE = "delete"
    COMBINE = "combine"
    PROFILE = "profile"
    DECIDE = "decide-automatically"  # PIPL 24, GDPR 22
    PUBLIC_IMAGES = "public-images"  # pictures taken in public places: PIPL 26


DEFAULT_METHOD: Final = (Method.COLLECT, Method.STORE, Method.USE)
DEFAULT_COOL_OFF: Final = Period(months=6)
OPT_OUT_COOL_OFF: Final = Period(months=12)  # after an opt-out of sale or sharing: CCPA 1798.135


class AtEnd(StrEnum):
    """What becomes of the data when its period is over (PIPL 19, NDSMR 21)."""

    ERASE = "erase"
    ANONYMISE = "anonymise"


class KeepFromKind(StrEnum):
    """What a storage period counts from."""

    CREATION = "creation"
    LAST_ACTIVITY = "last-activity"
    EVENT = "event"


class OptOut(StrEnum):
    """What the Global Privacy Control signal opts out of, and nothing else (CCPA 1798.135; W3C GPC)."""

    SALE = "sale"
    SHARE = "share"
    ADVERTISING = "cross-context-advertising"


class ValueType(StrEnum):
    TEXT = "text"
    DATE = "date"
    DATETIME = "datetime"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    LIST = "list"  # of texts


class OnFind(StrEnum):
    """What is done with a value in which something above its field's declared level is found."""

    REFUSE = "refuse"  # nothing is stored
    RAISE = "raise"  # the record's level is that of what was found
    REPORT = "report"  # the privacy office hears of it


class RecipientKind(StrEnum):
    """Four ways of giving data away, never one "share" flag."""

    PROCESSOR = "processor"  # entrusted: PIPL 21, GDPR 28
    JOINT_CONTROLLER = "joint-controller"  # PIPL 20, GDPR 26
    CONTROLLER = "controller"  # provided to another controller: PIPL 23, separate consent
    SUCCESSOR = "successor"  # merger, division, dissolution: PIPL 22
    AUTHORITY = "authority"


@dataclass(frozen=True, slots=True)
class Text:
    """A title or description in both languages. One written in one language only stands in for both."""

    zh: str
    en: str

    def in_language(self, language: str) -> str:
        """`language` as in Accept-Language ("zh-CN", "en"); English for what is not Chinese."""
        return self.zh if language.lower().split("-")[0] == "zh" else self.en


@dataclass(frozen=True, slots=True)
class Field:
    """`normaliser` is set exactly when `lookup` is. `max_length` counts characters, of a list all together.

    `scan`: the languages in which free text is looked through when it is stored; none: it is not. `on_find` says what
    is done when that, or `detect`, finds something above `level`. `hierarchy`: what a release may generalise the values
    of a quasi-identifier to; a request may say otherwise.
    """

    name: str
    level: Level
    category: str
    type: ValueType
    lookup: bool
    normaliser: str | None
    mask: str | None
    detect: str | None
    scan: tuple[str, ...]
    analytics: str | None
    title: Text | None
    max_length: int
    on_find: OnFind = OnFind.REPORT
    hierarchy: Spec | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """What statistics with differential privacy may spend of a record type, in nano-rho (zero-concentrated).

    `total`: all analysts together, for ever; `analyst`: one of them. `delta` is that of the (epsilon, delta) that a
    spent rho is reported as.
    """

    total: int
    analyst: int
    delta: Decimal

    def __str__(self) -> str:
        total, analyst = (f"{Decimal(nano) / NANO:f}" for nano in (self.total, self.analyst))
        return f"rho {total} in all, {analyst} by one analyst, delta {self.delta.normalize():e}"


@dataclass(frozen=True, slots=True)
class RecordType:
    """`scope` is the retention class: data keys are per subject and scope, and are destroyed by scope."""

    name: str
    fields: Mapping[str, Field]
    title: Text | None
    scope: str
    budget: Budget | None = None


@dataclass(frozen=True, slots=True)
class Grounds:
    """What a basis other than consent rests on, and when: the first and the last day, in UTC.

    `balancing_test` names the recorded test that legitimate interest needs (GDPR 6(1)(f)).
    """

    reference: str | None = None
    first_day: date | None = None
    last_day: date | None = None
    balancing_test: str | None = None


@dataclass(frozen=True, slots=True)
class KeepFrom:
    """`event` and `at_most` are set exactly when the kind is an event; `at_most` counts from creation.

    `title` is what people read of the event.
    """

    kind: KeepFromKind = KeepFromKind.CREATION
    event: str | None = None
    at_most: Period | None = None
    title: Text | None = None

    @property
    def life_event(self) -> str | None:
        """The name of the life event that the period counts from; None for creation."""
        match self.kind:
            case KeepFromKind.CREATION:
                return None
            case KeepFromKind.LAST_ACTIVITY:
                return KeepFromKind.LAST_ACTIVITY.value
            case KeepFromKind.EVENT:
                return self.event
            case _:
                assert_never(self.kind)


@dataclass(frozen=True, slots=True)
class Statutory:
    """The least that laws demand: from creation on, the data may not be erased before `keep` has passed."""

    keep: Period
    law: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Purpose:
    """`uses`: record type -> field -> the name of a mask, REDACTED, or None for in clear. `keep` is the longest.

    `cool_off` is how long nobody may ask again after a no.
    """

    name: str
    basis: Basis
    law: tuple[str, ...]
    category: str
    uses: Mapping[str, Mapping[str, str | None]]
    keep: Period
    only_anonymised: bool
    consent_expires: Period | None
    title: Text | None
    description: Text | None
    consent_separate: bool = False
    cool_off: Period = DEFAULT_COOL_OFF
    method: tuple[Method, ...] = DEFAULT_METHOD
    at_end: AtEnd = AtEnd.ERASE
    opt_out: OptOut | None = None
    grounds: Grounds = Grounds()
    keep_from: KeepFrom = KeepFrom()
    statutory: Statutory | None = None


@dataclass(frozen=True, slots=True)
class Recipient:
    name: str
    kind: RecipientKind
    contact: str
    title: Text | None
    jurisdiction: str | None
    purposes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Controller:
    """`name` is in the first of `languages`; `planned_subjects` sizes the blind index.

    `stores_in` are the countries where the data is stored, as receipts tell (ISO/IEC TS 27560).
    """

    name: str
    title: Text
    contact: str
    jurisdiction: str
    planned_subjects: int
    languages: tuple[str, ...]
    stores_in: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """Equal when the declarations are, whatever the comments and the order of keys in `source`.

    `digest` is the SHA-256 of `source` in hex. `warnings` do not keep a manifest from being applied.
    """

    controller: Controller
    records: Mapping[str, RecordType]
    purposes: Mapping[str, Purpose]
    recipients: Mapping[str, Recipient]
    source: str = field(compare=False, repr=False)
    digest: str = field(compare=False)
    warnings: tuple[Problem, ...] = field(compare=False, default=())
