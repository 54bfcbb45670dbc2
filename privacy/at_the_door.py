"""What is about to be stored is looked at first: free text for whatever is personal in it, other values for their kind.

1. Before the transaction, and never in an event loop, `analyse` hands the detector the texts of fields that the
   manifest declares `scan`, and of other fields those values that do not look like what they are declared to be.
2. In the transaction `judge` holds what was found against the manifest in force. What is above the field's declared
   level is refused, raises the level, or is reported, as `on_find` says; a value of another kind is reported.

A text that was not analysed, because nobody asked for it, because the manifest has just changed, or because detection
is switched off, is not stored.

Most values look like what they are: a pattern of each kind, anchored at both ends, lets them pass without the detector.
PIPL 6, 28, 51; GDPR 5(1)(c), 25.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from privacy import vault
from privacy.detection.analyser import LANGUAGES, RULES, Mode
from privacy.detection.entities import ENTITIES
from privacy.detection.findings import Finding
from privacy.detection.redaction import level_of, title_of
from privacy.errors import DetectionOff, FoundAboveLevel, Invalid, Unavailable
from privacy.levels import Level
from privacy.manifest import Field, Manifest, OnFind, RecordType, ValueType
from privacy.plans import Plan
from privacy.stored_findings import Looked, highest, of_box, texts_of
from privacy.values import Value
from privacy.vault import At, Decision, findings_of
from privacy.vocabulary import is_a
from privacy.work import Work

if TYPE_CHECKING:
    from privacy.steward import Steward

FOUND: Final = "record.found"  # the event of what is reported
LEVEL_LAW: Final = ("PIPL-28", "PIPL-51", "GDPR-25")
OFF: Final = "off"

Languages = tuple[str, ...]
Item = tuple[str | None, Mapping[str, object]]  # what is to be stored; of a record whose type is not known, None


@dataclass(frozen=True, slots=True)
class Analysed:
    """What the detector found, by text and the languages it was looked through in. Its `repr` shows no text."""

    by: Mode = "patterns"
    found: Mapping[tuple[str, Languages], tuple[Finding, ...]] = field(default_factory=dict, repr=False)

    def looked(self, texts: Sequence[str], languages: Languages) -> Looked | None:
        """What was found in the texts; None unless all were analysed."""
        found = [self.found.get((text, languages)) for text in texts]
        known = tuple(one for one in found if one is not None)
        return Looked(self.by, frozenset(languages), RULES, known) if len(known) == len(found) else None


NOTHING: Final = Analysed()


@dataclass(frozen=True, slots=True)
class Judged:
    """What becomes of what was found: boxes to be sealed, levels that rise, and entities to report, by field."""

    boxes: Mapping[int, Mapping[str, object]] = field(default_factory=dict)
    raised: Mapping[str, Level] = field(default_factory=dict)
    above: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    other_kind: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def reported(self) -> dict[str, tuple[str, ...]]:
        """The entities by field, for whoever stored the values: no place, no value."""
        return {
            name: tuple(sorted({*self.above.get(name, ()), *self.other_kind.get(name, ())}))
            for name in sorted({*self.above, *self.other_kind})
        }


_UNTOUCHED: Final = Judged()


# --- 1. before the transaction


def wanted(manifest: Manifest, items: Iterable[Item]) -> dict[Languages, set[str]]:
    """The texts that must be analysed before these items can be stored, by the languages; cheap."""
    found: dict[Languages, set[str]] = {}
    for type, data in items:
        for name, value in data.items():
            if isinstance(value, str | list):
                texts = [text for text in texts_of(value) if isinstance(text, str)]
                length = sum(map(len, texts))
                for declared in _fields(manifest, type, name):
                    if length <= declared.max_length and (languages := _languages(declared, value)):
                        found.setdefault(languages, set()).update(texts)
    return found


def analyse(service: Steward, texts: Mapping[Languages, Iterable[str]]) -> Analysed:
    """What the detector finds in what is `wanted`. Takes its time: for a thread, outside any transaction.

    Nothing where detection is switched off. Raises `Unavailable` where its processes are away.
    """
    if not texts or service.settings.detection == OFF:
        return NOTHING
    found: dict[tuple[str, Languages], tuple[Finding, ...]] = {}
    detector = service.detector
    for languages, some in texts.items():
        listed = list(some)
        answers = detector.analyse(listed, languages)
        found |= {(text, languages): tuple(each) for text, each in zip(listed, answers, strict=True)}
    return Analysed(detector.mode, found)


def require_detection(manifest: Manifest, mode: str) -> None:
    """Raises `Invalid` when the manifest has fields to be looked through and detection is switched off."""
    scanned = [
        f"{record_type.name}.{name}"
        for record_type in manifest.records.values()
        for name, declared in record_type.fields.items()
        if _must_be_looked_through(declared)
    ]
    if mode == OFF and scanned:
        raise Invalid(
            f"PRIVACY_DETECTION is off, and the manifest declares that {', '.join(scanned)} be looked through: set it "
            "to full, or to patterns, which needs no model, or remove 'scan' and 'on_find'",
            zh=f"PRIVACY_DETECTION 已关闭，而清单声明须扫描 {'、'.join(scanned)}：请设为 full 或 patterns，"
            "或删去 scan 与 on_find",
        )


# --- 2. in the transaction


def judge(
    work: Work,
    record_type: RecordType,
    values: Mapping[str, Value],
    analysed: Analysed,
    *,
    is_stored: bool = False,
) -> Judged:
    """Hold what was found in the values against the manifest. What is stored already is reported and not refused.

    Raises `FoundAboveLevel`; `Unavailable` or `DetectionOff` for a text that had to be analysed and was not. Of a value
    that is looked at only for its kind, to be reported, nothing is said then.
    """
    boxes: dict[int, Mapping[str, object]] = {}
    raised: dict[str, Level] = {}
    above: dict[str, tuple[str, ...]] = {}
    other_kind: dict[str, tuple[str, ...]] = {}
    refused: list[dict[str, object]] = []
    for name, value in values.items():
        declared = record_type.fields[name]
        languages = _languages(declared, value)
        if not languages:
            continue
        looked = analysed.looked(texts_of(value), languages)
        if looked is None:
            if not _must_be_looked_through(declared):
                continue
            if work.service.settings.detection == OFF:
                raise DetectionOff
            raise Unavailable(
                f"The field {name} has not been looked through; send it again", zh=f"字段 {name} 尚未扫描，请重新提交"
            )
        if declared.scan:
            boxes[findings_of(work.declared.number(record_type.name, name))] = looked.box()
        elif others := _of_other_kinds(declared, looked):
            other_kind[name] = others
        match declared.on_find, list(_above(declared, looked)):
            case _, []:
                pass
            case OnFind.REFUSE, higher if not is_stored:
                refused += (_said(name, item, one) for item, one in higher)
            case OnFind.RAISE, higher:
                raised[name] = max(level_of(one.entity) for _, one in higher)
            case _, higher:
                above[name] = tuple(sorted({one.entity for _, one in higher}))
    if refused:
        raise _refusal(record_type, refused)
    return Judged(boxes, raised, above, other_kind) if boxes or other_kind or raised or above else _UNTOUCHED


def report(work: Work, at: At, judged: Judged) -> None:
    """The event of what is to be reported or raised the level, for the privacy office: fields and entities, no place.

    The watch raises an alert for it (`privacy.watch_rules`).
    """
    if judged.above or judged.other_kind or judged.raised:
        detail = {
            "above": judged.above,
            "other_kind": judged.other_kind,
            "raised": {name: str(level) for name, level in judged.raised.items()},
        }
        work.audit(
            FOUND,
            subject=at.subject_id,
            record=at.record_id,
            fields=sorted({*judged.above, *judged.other_kind, *judged.raised}),
            detail={name: what for name, what in detail.items() if what} | {"type": at.record_type},
        )


def raised(work: Work, record_type: RecordType, at: At, sealed: bytes, names: Iterable[str]) -> dict[str, Level]:
    """The levels to which what was found in these fields of a stored record raises it; only findings are opened.

    The work owes an event about the record.
    """
    fields = [one for name in names if (one := record_type.fields[name]).on_find is OnFind.RAISE]
    boxes = {findings_of(work.declared.number(record_type.name, one.name)): one for one in fields}
    wanted = vault.numbers_in(sealed) & boxes.keys() if boxes else frozenset()
    if not wanted:
        return {}
    opened = vault.unseal(work, Decision("[levels]", "legal-obligation", frozenset(), findings=wanted), at, sealed)
    found = {boxes[number].name: highest(boxes[number], of_box(box)) for number, box in opened.items()}
    return {name: level for name, level in found.items() if level is not None}


def sensitive(work: Work, plan: Plan, at: At, sealed: bytes) -> frozenset[str]:
    """The fields of the plan in which the record holds what is sensitive though they are not declared so.

    Opens findings only; the work owes an event about the record.
    """
    levels = raised(work, plan.record_type, at, sealed, plan.rising)
    return frozenset(name for name, level in levels.items() if level >= Level.L4)


def _above(field: Field, looked: Looked) -> Iterable[tuple[int, Finding]]:
    """Which text of the field, and the finding above its level."""
    return (
        (number, one)
        for number, found in enumerate(looked.found)
        for one in found
        if level_of(one.entity) > field.level
    )


def _said(name: str, item: int, one: Finding) -> dict[str, object]:
    """Where it is and what: no value."""
    return {
        "field": name,
        "item": item,
        "entity": one.entity,
        "start": one.start,
        "end": one.end,
        "level": str(level_of(one.entity)),
    }


def _refusal(record_type: RecordType, found: Sequence[Mapping[str, object]]) -> FoundAboveLevel:
    en = "; ".join(f"{one['field']} holds {one['entity']} at {one['start']} to {one['end']}" for one in found[:_NAMED])
    zh = "；".join(
        f"{one['field']} 在第 {one['start']} 至 {one['end']} 字符处含有 {title_of(str(one['entity']), 'zh')}"
        for one in found[:_NAMED]
    )
    return FoundAboveLevel(
        f"Above the level declared for {record_type.name}: {en}",
        zh=f"超出 {record_type.name} 所声明的级别：{zh}",
        law=LEVEL_LAW,
        found=list(found[:_LISTED]),
    )


_NAMED: Final = 5  # in the sentence of a refusal
_LISTED: Final = 100


def _must_be_looked_through(declared: Field) -> bool:
    """Whether the field's values are not stored otherwise."""
    return bool(declared.scan) or declared.on_find is not OnFind.REPORT


# --- kinds


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a field of one kind holds: entities, and a pattern of the usual value that needs no closer look."""

    entities: frozenset[str]
    usual: re.Pattern[str]


def _kind(usual: str, *entities: str) -> _Kind:
    return _Kind(frozenset(entities), re.compile(usual))


_PHONE: Final = _kind(
    r"(?:(?:\+|00)?86[ -]?)?1[3-9][0-9](?:[ -]?[0-9]{4}){2}"
    r"|\+[0-9]{1,3}(?:[ ()-]{0,2}[0-9]){6,10}"
    r"|0[0-9]{2,3}-?[0-9]{7,8}",
    "PHONE_NUMBER", "CN_MOBILE", "CN_LANDLINE",
)  # fmt: skip
_DOCUMENTS: Final = frozenset({"pd:OfficialID", "pd:Passport"})
_OFFICIAL: Final = frozenset(name for name, entity in ENTITIES.items() if entity.category in _DOCUMENTS)
_BY_CATEGORY: Final = (
    # a name has neither digits nor the signs of an address of the net
    ("pd:Name", _kind(r"[^0-9@/\\:０-９＠]{1,64}", "PERSON", "TITLE", "ORGANIZATION", "LOCATION")),
    ("pd:EmailAddress", _kind(r"[^\s@<>\"(),:;]{1,64}@[\w-]+(?:\.[\w-]+)+", "EMAIL_ADDRESS")),
    ("pd:TelephoneNumber", _PHONE),
    ("pd:OfficialID", _Kind(_OFFICIAL, re.compile(r"[0-9]{6}(?:19|20)[0-9]{9}[0-9Xx]"))),
)
_BY_ENTITY: Final[Mapping[str, _Kind]] = {
    **dict.fromkeys(_PHONE.entities, _PHONE),
    "CN_RESIDENT_ID": _kind(r"[0-9]{6}(?:19|20)[0-9]{9}[0-9Xx]", "CN_RESIDENT_ID"),
    "PERSON": _BY_CATEGORY[0][1],
    "EMAIL_ADDRESS": _BY_CATEGORY[1][1],
}
_NEVER: Final = re.compile(r"(?!)")
_LONGEST: Final = 256  # characters of a value of a kind; a longer one is a text, which `scan` is for


def _kind_of(declared: Field) -> _Kind | None:
    """What the field is declared to hold; None for free text and for what has no known kind."""
    if declared.scan or declared.type is not ValueType.TEXT:
        return None
    return _declared_kind(declared.detect, declared.category)


@lru_cache(maxsize=4096)
def _declared_kind(detect: str | None, category: str) -> _Kind | None:
    if detect is not None:
        return _BY_ENTITY.get(detect) or _Kind(frozenset({detect}), _NEVER)
    return next((kind for known, kind in _BY_CATEGORY if is_a(category, known)), None)


def _languages(declared: Field, value: object) -> Languages:
    """In which languages the value must be looked through; none for one that looks like what it is."""
    if declared.scan:
        return declared.scan
    kind = _kind_of(declared)
    if kind is None or not isinstance(value, str) or len(value) > _LONGEST or kind.usual.fullmatch(value.strip()):
        return ()
    return LANGUAGES


def _of_other_kinds(declared: Field, looked: Looked) -> tuple[str, ...]:
    """Personal entities that the field is not declared to hold; none where what it should hold is there alone."""
    kind = _kind_of(declared)
    if kind is None:
        return ()
    found = {one.entity for each in looked.found for one in each if level_of(one.entity) >= Level.L3}
    return tuple(sorted(found - kind.entities))


def _fields(manifest: Manifest, type: str | None, name: str) -> list[Field]:
    """The declared fields of the name: of the type, or of every type where it is not known."""
    types = manifest.records.values() if type is None else filter(None, [manifest.records.get(type)])
    return [record_type.fields[name] for record_type in types if name in record_type.fields]
