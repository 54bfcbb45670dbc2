"""The classification ladder L1 to L4, what each step demands, and how a record's level rises.

A record's level is the highest of field, combination and subject. It rises by itself; it falls only by a
person with a reason, which is not decided here. Sources: PIPL 28, 31, 51; GDPR 9, 32; DSL 21;
GB/T 43697-2024 annex H (the reference ladder of four for general data); GB/T 45574-2025 (aggregates are
judged as a whole).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Final, Protocol

from privacy.errors import Invalid
from privacy.vocabulary import is_a


class Level(IntEnum):
    """Ordered, so that `max` of levels is the level of the whole."""

    L1 = 1  # public
    L2 = 2  # internal, or anonymised and tested
    L3 = 3  # personal
    L4 = 4  # sensitive: PIPL 28, GDPR 9, everything about a person under 14

    def __str__(self) -> str:
        return self.name

    @classmethod
    def parse(cls, text: str) -> Level:
        """Accept exactly "L1" to "L4". Raises Invalid."""
        level = cls.__members__.get(text)
        if level is None:
            raise Invalid("a level is one of L1, L2, L3, L4")
        return level


class Classified(Protocol):
    """What a declared field says about itself; `privacy.manifest.Field` is one."""

    @property
    def level(self) -> Level: ...
    @property
    def category(self) -> str: ...
    @property
    def detect(self) -> str | None: ...


class ClassifiedType(Protocol):
    """`privacy.manifest.RecordType` is one; named by shape because the manifest builds on this module."""

    @property
    def fields(self) -> Mapping[str, Classified]: ...


@dataclass(frozen=True, slots=True)
class Demands:
    """What one level asks for: sentences for people, and switches for the code that enforces them."""

    level: Level
    harm: str
    store: str
    show: str
    access: str
    log: str
    share: str
    keep: str
    backup: str
    sealed: bool  # field by field under the subject's key
    masked_by_default: bool
    every_read_audited: bool
    lookup_exact_only: bool
    attestation_required: bool  # a current confidentiality attestation of the person who reads
    two_people_for_bulk: bool
    assessment_before_sharing: bool  # PIPL 55
    ocsf_confidentiality_id: int  # OCSF 1.x data_classification.confidentiality_id
    cloudevents_classification: str  # CloudEvents extension attribute `dataclassification`
    sources: tuple[str, ...]


_LADDER = (
    Demands(
        level=Level.L1,
        harm="none",
        store="as it is",
        show="open to everybody",
        access="any",
        log="writes",
        share="free",
        keep="no limit of its own",
        backup="included",
        sealed=False,
        masked_by_default=False,
        every_read_audited=False,
        lookup_exact_only=False,
        attestation_required=False,
        two_people_for_bulk=False,
        assessment_before_sharing=False,
        ocsf_confidentiality_id=1,
        cloudevents_classification="public",
        sources=("DSL-21", "GBT43697-H"),
    ),
    Demands(
        level=Level.L2,
        harm="little, and to the organisation only",
        store="on encrypted disks",
        show="to staff",
        access="by role",
        log="writes",
        share="under a contract",
        keep="three years",
        backup="included",
        sealed=False,
        masked_by_default=False,
        every_read_audited=False,
        lookup_exact_only=False,
        attestation_required=False,
        two_people_for_bulk=False,
        assessment_before_sharing=False,
        ocsf_confidentiality_id=2,
        cloudevents_classification="internal",
        sources=("DSL-21", "GBT43697-H"),
    ),
    Demands(
        level=Level.L3,
        harm="some, to a person",
        store="sealed field by field under the subject's key, with a blind index for look-up",
        show="masked by default; showing it in clear is an event",
        access="by role, declared purpose and lawful basis",
        log="every read, with the names of the fields",
        share="with registered recipients; providing it to another controller needs separate consent",
        keep="until the purpose ends and at most a year longer, then erased",
        backup="as ciphertext only; events and webhooks carry ids only",
        sealed=True,
        masked_by_default=True,
        every_read_audited=True,
        lookup_exact_only=False,
        attestation_required=False,
        two_people_for_bulk=False,
        assessment_before_sharing=False,
        ocsf_confidentiality_id=3,
        cloudevents_classification="confidential",
        sources=("PIPL-6", "PIPL-13", "PIPL-19", "PIPL-23", "PIPL-51", "GDPR-5", "GDPR-32", "GBT35273-6.3"),
    ),
    Demands(
        level=Level.L4,
        harm="to dignity, safety or property",
        store="as L3, in a key scope of its own; secrets as digests only",
        show="masked always; in clear by approval or break-glass with a reason",
        access="as L3, with a current confidentiality attestation, for a limited time; two people for bulk",
        log="every read and every unsealing, reviewed weekly",
        share="as L3, after an impact assessment; no export without a route on file",
        keep="until the purpose ends and at most 30 days longer",
        backup="as L3, with the shortest life of all backups",
        sealed=True,
        masked_by_default=True,
        every_read_audited=True,
        lookup_exact_only=True,
        attestation_required=True,
        two_people_for_bulk=True,
        assessment_before_sharing=True,
        ocsf_confidentiality_id=4,
        cloudevents_classification="restricted",
        sources=("PIPL-28", "PIPL-29", "PIPL-31", "PIPL-55", "GDPR-9", "CN-MINORS-36", "GBT45574-2025"),
    ),
)
DEMANDS: Final[Mapping[Level, Demands]] = MappingProxyType({row.level: row for row in _LADDER})

CHILD_YEARS: Final = 14  # PIPL 28: everything about a person under it is sensitive

# GB/T 45574-2025 judges aggregates as a whole: with these three together somebody can be impersonated,
# although each alone is ordinary personal information. By category, or by what the field is scanned for.
_COMBINATION = (
    ("pd:Name", frozenset[str]()),
    ("pd:OfficialID", frozenset({"CN_RESIDENT_ID", "CN_PASSPORT"})),
    ("pd:TelephoneNumber", frozenset({"CN_MOBILE", "PHONE_NUMBER"})),
)


def effective(present: Collection[str], record_type: ClassifiedType, *, minor: bool) -> Level:
    """The level of a record that holds the fields `present`: highest of field, combination and subject.

    `minor` means under 14 (PIPL 28: all their personal information is sensitive). Fields that the type does
    not declare raise Invalid: what is not classified cannot be handled. A record without fields is L1.
    """
    unknown = sorted(set(present) - set(record_type.fields))
    if unknown:
        raise Invalid(f"fields without a declared level: {', '.join(unknown)}")
    fields = [record_type.fields[name] for name in present]
    if not fields:
        return Level.L1
    if minor or impersonates(fields):
        return Level.L4
    return max(field.level for field in fields)


def impersonates(fields: Collection[Classified]) -> bool:
    """Whether the fields together are enough to pass as the person, though each alone is not sensitive."""
    return all(
        any(is_a(field.category, category) or field.detect in detectors for field in fields)
        for category, detectors in _COMBINATION
    )
