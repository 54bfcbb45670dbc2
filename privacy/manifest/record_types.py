"""The declared record types: what each field is, how sensitive, and how it may be found, shown and counted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import yaml

from privacy.anonymisation.hierarchy_specs import Spec
from privacy.anonymisation.hierarchy_specs import parse as parse_hierarchy
from privacy.errors import Invalid
from privacy.levels import Level
from privacy.manifest.budgets import read_budget
from privacy.manifest.model import (
    DEFAULT_MAX_LENGTH,
    DEFAULT_SCOPE,
    Field,
    OnFind,
    RecordType,
    ValueType,
)
from privacy.manifest.notation import Draft
from privacy.manifest.placed_yaml import Entry, near, shown
from privacy.masks import MASKS
from privacy.normalise import NORMALISERS
from privacy.vocabulary import CATEGORIES, PERSONAL_DATA, SENSITIVE, is_a

ANALYTICS: Final = ("quasi", "sensitive", "keep", "drop")
_LONGEST_TEXT: Final = 1_000_000
_DETECTOR: Final = re.compile(r"[A-Z][A-Z0-9_]{0,62}")
_NUMBER: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?")
_CONTACT_DATA: Final = ("pd:Name", "pd:EmailAddress", "pd:TelephoneNumber", "pd:OfficialID", "pd:PhysicalAddress")
_FIELD_KEYS: Final = (
    "level", "category", "type", "title", "lookup", "normalise", "mask", "detect", "scan", "on_find",
    "analytics", "hierarchy", "max_length",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RecordTypes:
    """The record types read, and what of them the purposes have been seen to use, by path: (type,) or (type, field)."""

    types: dict[str, RecordType] = field(default_factory=dict)
    places: dict[tuple[str, ...], yaml.Node] = field(default_factory=dict)
    used: set[tuple[str, ...]] = field(default_factory=set)


def read_records(draft: Draft, node: yaml.Node) -> RecordTypes:
    """With faults reported, every type and field named is still there for the purposes to be checked against."""
    records = RecordTypes()
    for name, entry in draft.named(node, "'records'", "a record type").items():
        what = f"the record type {name!r}"
        entries = draft.mapping(entry.value, what, allowed=("fields", "title", "scope", "budget"), required=("fields",))
        scope = draft.name(entries["scope"].value, f"the scope of {what}") if "scope" in entries else None
        fields: dict[str, Field] = {}
        if "fields" in entries:
            for field_name, place in draft.named(entries["fields"].value, f"'fields' of {name!r}", "a field").items():
                records.places[name, field_name] = place.key
                fields[field_name] = _field(draft, field_name, f"{name}.{field_name}", place.value)
        records.places[name,] = entry.key
        title = draft.title(entries, "title", what)
        budget = read_budget(draft, entries, what)
        records.types[name] = RecordType(name, MappingProxyType(fields), title, scope or DEFAULT_SCOPE, budget)
    return records


def question_unused(draft: Draft, records: RecordTypes) -> None:
    """What no purpose uses has no reason to be held (PIPL 6): a type is a fault, a field a warning."""
    remedy = "why is it held? name it in 'uses' of a purpose, or remove it (PIPL-6)"
    for type_name, record_type in records.types.items():
        if (type_name,) not in records.used:
            place = records.places[type_name,]
            draft.report(place, "unused-type", f"no purpose uses the record type {type_name!r}", remedy)
            continue
        for field_name in record_type.fields:
            if (type_name, field_name) not in records.used:
                place = records.places[type_name, field_name]
                draft.warn(place, "unused-field", f"no purpose uses {type_name}.{field_name}", remedy)


def _field(draft: Draft, name: str, path: str, node: yaml.Node) -> Field:
    """Never None: with faults reported, the rest of the manifest is still checked against this field."""
    what = f"the field {path!r}"
    entries = draft.mapping(node, what, allowed=_FIELD_KEYS, required=("level",))
    level_text = draft.chosen(entries, "level", f"the level of {path!r}", tuple(Level.__members__), "unknown-level")
    level = Level.parse(level_text) if level_text else Level.L3
    type_text = draft.chosen(entries, "type", f"the type of {path!r}", tuple(ValueType), "unknown-value-type")
    value_type = ValueType(type_text) if type_text else ValueType.TEXT
    category = _category(draft, entries, path, level if level_text else None, node)
    detect = _detect(draft, entries, path)
    lookup = _lookup(draft, entries, path, level, value_type)
    mask = draft.chosen(entries, "mask", f"the mask of {path!r}", tuple(MASKS), "unknown-mask")
    if mask is not None and mask != "all" and value_type is not ValueType.TEXT:
        draft.report(
            entries["mask"].value, "mask-of-type", f"{path!r} is of type {value_type} and its mask is for text",
            "mask: all hides any value"
        )  # fmt: skip
    scan = _scan(draft, entries, path, value_type)
    return Field(
        name=name,
        level=level,
        category=category,
        type=value_type,
        lookup=lookup,
        normaliser=_normaliser(draft, entries, path, category, detect, lookup=lookup),
        mask=mask,
        detect=detect,
        scan=scan,
        analytics=draft.chosen(entries, "analytics", f"analytics of {path!r}", ANALYTICS, "unknown-analytics"),
        title=draft.title(entries, "title", what),
        max_length=_max_length(draft, entries, path, value_type),
        on_find=_on_find(draft, entries, path, is_looked_through=bool(scan) or "detect" in entries),
        hierarchy=_hierarchy(draft, entries, path),
    )


def _category(draft: Draft, entries: Mapping[str, Entry], path: str, level: Level | None, node: yaml.Node) -> str:
    if "category" not in entries:
        if level is Level.L4:
            draft.report(
                node, "missing-key", f"the field {path!r} is L4 and has no 'category'",
                "add 'category: pd:…', which says what makes it sensitive (PIPL-28)"
            )  # fmt: skip
        return PERSONAL_DATA
    place = entries["category"].value
    text = draft.text(place, f"the category of {path!r}")
    if text is None:
        return PERSONAL_DATA
    if text not in CATEGORIES:
        draft.report(
            place, "unknown-category", f"the category of {path!r} is {shown(text)}, not a term of W3C DPV 2.3",
            near(text, CATEGORIES, "a term such as pd:Name, listed at https://w3id.org/dpv/2.3/pd")
        )  # fmt: skip
        return PERSONAL_DATA
    if level is not None and level < Level.L4 and text in SENSITIVE:
        draft.report(
            entries["level"].value if "level" in entries else place, "level-too-low",
            f"the field {path!r} holds {text} at level {level}", "level: L4, it is sensitive (PIPL-28, GDPR-9)"
        )  # fmt: skip
    elif level is not None and level < Level.L3 and any(is_a(text, known) for known in _CONTACT_DATA):
        draft.warn(
            entries["level"].value, "level-too-low", f"the field {path!r} holds {text} at level {level}",
            "level: L3, it identifies a person (PIPL-4)"
        )  # fmt: skip
    return text


def _detect(draft: Draft, entries: Mapping[str, Entry], path: str) -> str | None:
    if "detect" not in entries:
        return None
    place = entries["detect"].value
    text = draft.text(place, f"detect of {path!r}")
    if text is not None and _DETECTOR.fullmatch(text) is None:
        draft.report(
            place, "bad-detector", f"detect of {path!r} is {shown(text)}",
            "the name of a recogniser in capitals, such as CN_MOBILE or CN_RESIDENT_ID"
        )  # fmt: skip
        return None
    return text


def _lookup(draft: Draft, entries: Mapping[str, Entry], path: str, level: Level, value_type: ValueType) -> bool:
    if "lookup" not in entries:
        return False
    place = entries["lookup"].value
    text = draft.text(place, f"lookup of {path!r}")
    if text is None:
        return False
    if text != "exact":
        why = "an L4 field may be found by its exact value only (PIPL-28)" if level is Level.L4 else "there is one way"
        draft.report(place, "unknown-lookup", f"lookup of {path!r} is {shown(text)}", f"lookup: exact; {why}")
        return False
    if value_type in (ValueType.BOOLEAN, ValueType.LIST):
        why = "two values would show in the index" if value_type is ValueType.BOOLEAN else "an index holds one value"
        draft.report(
            place,
            "lookup-of-type",
            f"{path!r} is of type {value_type} and cannot be looked up",
            f"remove lookup; {why}",
        )
        return False
    return True


def _normaliser(
    draft: Draft, entries: Mapping[str, Entry], path: str, category: str, detect: str | None, *, lookup: bool
) -> str | None:
    given = draft.chosen(entries, "normalise", f"normalise of {path!r}", tuple(NORMALISERS), "unknown-normaliser")
    if "normalise" in entries and "lookup" not in entries:
        draft.report(
            entries["normalise"].key, "normalise-without-lookup", f"{path!r} is normalised and cannot be looked up",
            "add 'lookup: exact' or remove normalise"
        )  # fmt: skip
    if not lookup:
        return None
    if given is not None:
        return given
    if detect == "CN_RESIDENT_ID":
        return "cn-id"
    for known, kind in (("pd:EmailAddress", "email"), ("pd:TelephoneNumber", "phone"), ("pd:Name", "name")):
        if is_a(category, known):
            return kind
    return "text"


def _scan(draft: Draft, entries: Mapping[str, Entry], path: str, value_type: ValueType) -> tuple[str, ...]:
    if "scan" not in entries:
        return ()
    place = entries["scan"].value
    if value_type not in (ValueType.TEXT, ValueType.LIST):
        draft.report(
            place,
            "scan-of-type",
            f"{path!r} is of type {value_type} and cannot be scanned",
            "remove scan; it reads text",
        )
        return ()
    return draft.languages(place, f"scan of {path!r}")


def _on_find(draft: Draft, entries: Mapping[str, Entry], path: str, *, is_looked_through: bool) -> OnFind:
    given = draft.chosen(entries, "on_find", f"on_find of {path!r}", tuple(OnFind), "unknown-on-find")
    if given is None:
        return OnFind.REPORT
    if not is_looked_through:
        draft.report(
            entries["on_find"].key, "on-find-without-scan", f"nothing looks for anything in {path!r}",
            "add 'scan: [zh, en]' or 'detect:', or remove on_find"
        )  # fmt: skip
    return OnFind(given)


def _hierarchy(draft: Draft, entries: Mapping[str, Entry], path: str) -> Spec | None:
    """What a quasi-identifier may be generalised to: a word, or a mapping of one word to a text or a list."""
    if "hierarchy" not in entries:
        return None
    place = entries["hierarchy"]
    analytics = entries["analytics"].value.value if "analytics" in entries else None
    if analytics != "quasi":
        draft.report(
            place.key, "hierarchy-without-quasi", f"{path!r} has a hierarchy and is no quasi-identifier",
            "add 'analytics: quasi' or remove hierarchy"
        )  # fmt: skip
    try:
        return parse_hierarchy(_plain(place.value))
    except Invalid as error:
        draft.report(place.value, "bad-hierarchy", f"the hierarchy of {path!r} cannot be read", error.detail)
        return None


def _plain(node: yaml.Node) -> object:
    """A node as JSON would have it, numbers as numbers."""
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): _plain(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item) for item in node.value]
    return float(node.value) if _NUMBER.fullmatch(node.value) else str(node.value)


def _max_length(draft: Draft, entries: Mapping[str, Entry], path: str, value_type: ValueType) -> int:
    if "max_length" not in entries:
        return DEFAULT_MAX_LENGTH
    place = entries["max_length"]
    if value_type not in (ValueType.TEXT, ValueType.LIST):
        draft.report(
            place.key,
            "length-of-type",
            f"{path!r} is of type {value_type} and has a max_length",
            "remove max_length",
        )
    length = draft.integer(place.value, f"max_length of {path!r}", least=1, most=_LONGEST_TEXT)
    return length or DEFAULT_MAX_LENGTH
