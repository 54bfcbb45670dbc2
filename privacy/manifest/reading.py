"""From YAML to a manifest: every rule of the format, each fault told with its place and what would be right."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

import yaml

from privacy.errors import Invalid, ManifestInvalid
from privacy.levels import Level
from privacy.manifest.model import (
    DEFAULT_MAX_LENGTH,
    DEFAULT_PLANNED_SUBJECTS,
    DEFAULT_SCOPE,
    LANGUAGES,
    Basis,
    Controller,
    Field,
    Manifest,
    Purpose,
    Recipient,
    RecipientKind,
    RecordType,
    Text,
    ValueType,
)
from privacy.manifest.placed_yaml import Document, Entry, near, shown
from privacy.masks import MASKS
from privacy.normalise import NORMALISERS
from privacy.periods import Period
from privacy.vocabulary import CATEGORIES, LAW_FORMS, PERSONAL_DATA, PURPOSE, PURPOSES, SENSITIVE, is_a, is_law

ANALYTICS: Final = ("quasi", "sensitive", "keep", "drop")
_LONGEST_TEXT: Final = 1_000_000
_MOST_SUBJECTS: Final = 10_000_000_000
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_DETECTOR: Final = re.compile(r"[A-Z][A-Z0-9_]{0,62}")
_JURISDICTION: Final = re.compile(r"[A-Z]{2}(?:-[A-Z0-9]{1,3})?")
_USE: Final = re.compile(r"([a-z][a-z0-9_-]*)(\.masked(?:\(([^()]*)\))?)?")
_NAME_RULE: Final = "a name starts with a letter and has lower-case letters, digits, '_' and '-' only"

# The articles that a basis rests on, first the ones a purpose gets when it names none. PIPL 13(1): (3) covers
# statutory duties as well as obligations, (5) news and public supervision, (6) published data, (7) other laws.
_BASIS_LAW: Final[Mapping[Basis, tuple[str, ...]]] = {
    Basis.CONSENT: ("PIPL-13-1", "GDPR-6-1-a"),
    Basis.CONTRACT: ("PIPL-13-2", "GDPR-6-1-b"),
    Basis.LEGAL_OBLIGATION: ("PIPL-13-3", "GDPR-6-1-c", "PIPL-13-7"),
    Basis.VITAL_INTEREST: ("PIPL-13-4", "GDPR-6-1-d"),
    Basis.PUBLIC_TASK: ("PIPL-13-3", "GDPR-6-1-e", "PIPL-13-5", "PIPL-13-6", "PIPL-13-7"),
    Basis.LEGITIMATE_INTEREST: ("GDPR-6-1-f",),
}
_CONTACT_DATA: Final = ("pd:Name", "pd:EmailAddress", "pd:TelephoneNumber", "pd:OfficialID", "pd:PhysicalAddress")
_FIELD_KEYS: Final = (
    "level", "category", "type", "title", "lookup", "normalise", "mask", "detect", "scan", "analytics", "max_length",
)  # fmt: skip
_PURPOSE_KEYS: Final = ("basis", "law", "category", "uses", "keep", "only", "consent", "title", "description")
_RECIPIENT_KEYS: Final = ("kind", "contact", "title", "jurisdiction", "purposes")
# Periods have no order of their own; from one fixed day they have.
_REFERENCE: Final = datetime(2026, 1, 1, tzinfo=UTC)
_NO_PERIOD_YET: Final = Period(hours=1)  # stands until a period is borrowed, or the fault is raised


def parse(text: str, file: str) -> Manifest:
    """The manifest that `text` declares. `file` is the name that problems carry.

    Raises ManifestInvalid whose context `problems` holds every `Problem`, in the order of the text.
    """
    document = Document(file)
    root = document.load(text)
    manifest = _Parser(document, text).manifest(root) if root is not None else None
    if manifest is None or document.problems:
        problems = sorted(document.problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ManifestInvalid(f"{count} in {file}: {problems[0]}", problems=problems)
    return manifest


class _Parser:
    """Reads the parts in the order in which they depend on each other, reporting into one document."""

    def __init__(self, document: Document, source: str) -> None:
        self.document = document
        self.source = source
        self.both_languages = False
        self.places: dict[tuple[str, ...], yaml.Node] = {}
        self.used: set[tuple[str, str]] = set()
        self.used_types: set[str] = set()

    def manifest(self, root: yaml.Node) -> Manifest | None:
        parts = ("controller", "records", "purposes", "recipients")
        top = self.document.mapping(root, "the manifest", allowed=parts, required=parts[:3])
        controller = self._controller(top["controller"].value) if "controller" in top else None
        records = self._records(top["records"].value) if "records" in top else {}
        jurisdiction = controller.jurisdiction if controller else ""
        purposes = self._purposes(top["purposes"].value, records, jurisdiction) if "purposes" in top else {}
        recipients = self._recipients(top["recipients"].value) if "recipients" in top else {}
        self._question_unused(records)
        if controller is None:
            return None
        return Manifest(
            controller=controller,
            records=MappingProxyType(records),
            purposes=MappingProxyType(purposes),
            recipients=MappingProxyType(recipients),
            source=self.source,
            digest=hashlib.sha256(self.source.encode("utf-8", "surrogatepass")).hexdigest(),
            warnings=tuple(sorted(self.document.warnings)),
        )

    def _controller(self, node: yaml.Node) -> Controller | None:
        document = self.document
        keys = ("name", "contact", "jurisdiction", "languages", "planned_subjects")
        entries = document.mapping(node, "the controller", allowed=keys, required=keys[:3])
        languages: tuple[str, ...] = ()
        if "languages" in entries:
            languages = self._languages(entries["languages"].value, "the controller's languages")
        self.both_languages = set(languages) == set(LANGUAGES)
        jurisdiction = self._jurisdiction(entries, "the controller's jurisdiction")
        title = None
        if "name" in entries:
            # One name is enough here, even where titles need both languages: companies often have one only.
            title = self._text(entries["name"].value, "the controller's name", both=False)
        contact = document.text(entries["contact"].value, "the controller's contact") if "contact" in entries else None
        planned: int | None = DEFAULT_PLANNED_SUBJECTS
        if "planned_subjects" in entries:
            planned = document.integer(
                entries["planned_subjects"].value, "planned_subjects", least=1, most=_MOST_SUBJECTS
            )
        if title is None or contact is None or jurisdiction is None or planned is None:
            return None
        languages = languages or (("zh",) if jurisdiction == "CN" else ("en",))
        return Controller(title.in_language(languages[0]), title, contact, jurisdiction, planned, languages)

    def _records(self, node: yaml.Node) -> dict[str, RecordType]:
        records: dict[str, RecordType] = {}
        for name, entry in self._named(node, "'records'", "a record type").items():
            what = f"the record type {name!r}"
            entries = self.document.mapping(
                entry.value, what, allowed=("fields", "title", "scope"), required=("fields",)
            )
            scope = DEFAULT_SCOPE
            if "scope" in entries:
                scope = self._scope(entries["scope"].value, what)
            fields: dict[str, Field] = {}
            if "fields" in entries:
                for field_name, place in self._named(
                    entries["fields"].value, f"'fields' of {name!r}", "a field"
                ).items():
                    self.places[name, field_name] = place.key
                    fields[field_name] = self._field(field_name, f"{name}.{field_name}", place.value)
            self.places[name,] = entry.key
            records[name] = RecordType(name, MappingProxyType(fields), self._title(entries, "title", what), scope)
        return records

    def _field(self, name: str, path: str, node: yaml.Node) -> Field:
        """Never None: with faults reported, the rest of the manifest is still checked against this field."""
        document = self.document
        what = f"the field {path!r}"
        entries = document.mapping(node, what, allowed=_FIELD_KEYS, required=("level",))
        level_text = self._choice(entries, "level", f"the level of {path!r}", tuple(Level.__members__), "unknown-level")
        level = Level.parse(level_text) if level_text else Level.L3
        type_text = self._choice(entries, "type", f"the type of {path!r}", tuple(ValueType), "unknown-value-type")
        value_type = ValueType(type_text) if type_text else ValueType.TEXT
        category = self._category(entries, path, level if level_text else None, node)
        detect = self._detect(entries, path)
        lookup = self._lookup(entries, path, level, value_type)
        mask = self._choice(entries, "mask", f"the mask of {path!r}", tuple(MASKS), "unknown-mask")
        if mask is not None and mask != "all" and value_type is not ValueType.TEXT:
            document.report(
                entries["mask"].value, "mask-of-type", f"{path!r} is of type {value_type} and its mask is for text",
                "mask: all hides any value"
            )  # fmt: skip
        return Field(
            name=name,
            level=level,
            category=category,
            type=value_type,
            lookup=lookup,
            normaliser=self._normaliser(entries, path, category, detect, lookup=lookup),
            mask=mask,
            detect=detect,
            scan=self._scan(entries, path, value_type),
            analytics=self._choice(entries, "analytics", f"analytics of {path!r}", ANALYTICS, "unknown-analytics"),
            title=self._title(entries, "title", what),
            max_length=self._max_length(entries, path, value_type),
        )

    def _category(self, entries: Mapping[str, Entry], path: str, level: Level | None, node: yaml.Node) -> str:
        if "category" not in entries:
            if level is Level.L4:
                self.document.report(
                    node, "missing-key", f"the field {path!r} is L4 and has no 'category'",
                    "add 'category: pd:…', which says what makes it sensitive (PIPL-28)"
                )  # fmt: skip
            return PERSONAL_DATA
        place = entries["category"].value
        text = self.document.text(place, f"the category of {path!r}")
        if text is None:
            return PERSONAL_DATA
        if text not in CATEGORIES:
            self.document.report(
                place, "unknown-category", f"the category of {path!r} is {shown(text)}, not a term of W3C DPV 2.3",
                near(text, CATEGORIES, "a term such as pd:Name, listed at https://w3id.org/dpv/2.3/pd")
            )  # fmt: skip
            return PERSONAL_DATA
        if level is not None and level < Level.L4 and text in SENSITIVE:
            self.document.report(
                entries["level"].value if "level" in entries else place, "level-too-low",
                f"the field {path!r} holds {text} at level {level}", "level: L4, it is sensitive (PIPL-28, GDPR-9)"
            )  # fmt: skip
        elif level is not None and level < Level.L3 and any(is_a(text, known) for known in _CONTACT_DATA):
            self.document.warn(
                entries["level"].value, "level-too-low", f"the field {path!r} holds {text} at level {level}",
                "level: L3, it identifies a person (PIPL-4)"
            )  # fmt: skip
        return text

    def _detect(self, entries: Mapping[str, Entry], path: str) -> str | None:
        if "detect" not in entries:
            return None
        place = entries["detect"].value
        text = self.document.text(place, f"detect of {path!r}")
        if text is not None and _DETECTOR.fullmatch(text) is None:
            self.document.report(
                place, "bad-detector", f"detect of {path!r} is {shown(text)}",
                "the name of a recogniser in capitals, such as CN_MOBILE or CN_RESIDENT_ID"
            )  # fmt: skip
            return None
        return text

    def _lookup(self, entries: Mapping[str, Entry], path: str, level: Level, value_type: ValueType) -> bool:
        if "lookup" not in entries:
            return False
        place = entries["lookup"].value
        text = self.document.text(place, f"lookup of {path!r}")
        if text is None:
            return False
        if text != "exact":
            why = (
                "an L4 field may be found by its exact value only (PIPL-28)"
                if level is Level.L4
                else "there is one way"
            )
            self.document.report(
                place, "unknown-lookup", f"lookup of {path!r} is {shown(text)}", f"lookup: exact; {why}"
            )
            return False
        if value_type in (ValueType.BOOLEAN, ValueType.LIST):
            why = (
                "two values would show in the index" if value_type is ValueType.BOOLEAN else "an index holds one value"
            )
            self.document.report(
                place,
                "lookup-of-type",
                f"{path!r} is of type {value_type} and cannot be looked up",
                f"remove lookup; {why}",
            )
            return False
        return True

    def _normaliser(
        self, entries: Mapping[str, Entry], path: str, category: str, detect: str | None, *, lookup: bool
    ) -> str | None:
        given = self._choice(entries, "normalise", f"normalise of {path!r}", tuple(NORMALISERS), "unknown-normaliser")
        if "normalise" in entries and "lookup" not in entries:
            self.document.report(
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

    def _scan(self, entries: Mapping[str, Entry], path: str, value_type: ValueType) -> tuple[str, ...]:
        if "scan" not in entries:
            return ()
        place = entries["scan"].value
        if value_type not in (ValueType.TEXT, ValueType.LIST):
            self.document.report(
                place,
                "scan-of-type",
                f"{path!r} is of type {value_type} and cannot be scanned",
                "remove scan; it reads text",
            )
            return ()
        return self._languages(place, f"scan of {path!r}")

    def _max_length(self, entries: Mapping[str, Entry], path: str, value_type: ValueType) -> int:
        if "max_length" not in entries:
            return DEFAULT_MAX_LENGTH
        place = entries["max_length"]
        if value_type not in (ValueType.TEXT, ValueType.LIST):
            self.document.report(
                place.key,
                "length-of-type",
                f"{path!r} is of type {value_type} and has a max_length",
                "remove max_length",
            )
        length = self.document.integer(place.value, f"max_length of {path!r}", least=1, most=_LONGEST_TEXT)
        return length or DEFAULT_MAX_LENGTH

    def _purposes(self, node: yaml.Node, records: Mapping[str, RecordType], jurisdiction: str) -> dict[str, Purpose]:
        drafts: dict[str, Purpose | None] = {}
        without_keep: dict[str, Entry] = {}
        for name, entry in self._named(node, "'purposes'", "a purpose").items():
            self.places["purposes", name] = entry.key
            entries = self.document.mapping(
                entry.value, f"the purpose {name!r}", allowed=_PURPOSE_KEYS, required=("basis", "uses")
            )
            drafts[name] = self._purpose(name, entry, entries, records, jurisdiction)
            if "keep" not in entries:
                without_keep[name] = entry
        purposes = {name: purpose for name, purpose in drafts.items() if purpose is not None}
        return {
            name: self._with_borrowed_period(purpose, without_keep[name], purposes, without_keep)
            if name in without_keep
            else purpose
            for name, purpose in purposes.items()
        }

    def _purpose(
        self,
        name: str,
        entry: Entry,
        entries: Mapping[str, Entry],
        records: Mapping[str, RecordType],
        jurisdiction: str,
    ) -> Purpose | None:
        what = f"the purpose {name!r}"
        uses = self._uses(entries["uses"].value, name, records) if "uses" in entries else {}
        only = self._choice(entries, "only", f"'only' of {name!r}", ("anonymised",), "unknown-only")
        if "keep" not in entries and only is None and entries:
            self.document.report(
                entry.value, "missing-key", f"{what} has no 'keep'", "add 'keep: P3Y', the longest period (PIPL-19)"
            )
        keep = self._period(entries, "keep", f"'keep' of {name!r}")
        basis_text = self._choice(entries, "basis", f"the basis of {name!r}", tuple(Basis), "unknown-basis")
        basis = Basis(basis_text) if basis_text else None
        if basis is Basis.LEGITIMATE_INTEREST and jurisdiction.split("-")[0] == "CN":
            self.document.report(
                entries["basis"].value, "basis-not-in-law", f"{what} rests on legitimate interest, not in PIPL-13",
                "one of consent, contract, legal-obligation, vital-interest, public-task (PIPL-13)"
            )  # fmt: skip
        law = self._law(entries, name, basis)
        consent_expires, separate = self._consent(entries, name, basis)
        if basis is Basis.CONSENT and not separate:
            self._demand_separate_consent(name, entry, entries, uses, records)
        if only is not None:
            self._question_analytics(name, entries, uses, records)
        category = PURPOSE
        if "category" in entries:
            category = self._purpose_category(entries["category"].value, name)
        title = self._title(entries, "title", what)
        description = self._title(entries, "description", what)
        if basis is None:
            return None
        return Purpose(
            name=name,
            basis=basis,
            law=law,
            category=category,
            uses=MappingProxyType({type_name: MappingProxyType(fields) for type_name, fields in uses.items()}),
            keep=keep or _NO_PERIOD_YET,
            only_anonymised=only is not None,
            consent_expires=consent_expires,
            title=title,
            description=description,
            consent_separate=separate,
        )

    def _with_borrowed_period(
        self, purpose: Purpose, entry: Entry, purposes: Mapping[str, Purpose], without_keep: Collection[str]
    ) -> Purpose:
        """A purpose that only sees anonymised data keeps nothing longer than those that hold the data.

        So it takes the shortest period among them, which cannot lengthen anybody's.
        """
        periods = [
            other.keep
            for other in purposes.values()
            if other.name not in without_keep and set(other.uses) & set(purpose.uses)
        ]
        if not periods:
            if purpose.only_anonymised:
                self.document.report(
                    entry.value, "missing-key", f"the purpose {purpose.name!r} has no 'keep'",
                    "add 'keep: P3Y'; no other purpose holds the data that it could follow"
                )  # fmt: skip
            return purpose
        shortest = min(periods, key=lambda period: period.after(_REFERENCE))
        return replace(purpose, keep=shortest)

    def _uses(
        self, node: yaml.Node, purpose: str, records: Mapping[str, RecordType]
    ) -> dict[str, dict[str, str | None]]:
        document = self.document
        uses: dict[str, dict[str, str | None]] = {}
        entries = document.mapping(node, f"'uses' of {purpose!r}")
        if isinstance(node, yaml.MappingNode) and not node.value:
            document.report(node, "empty", f"'uses' of {purpose!r} is empty", "uses: {type: [field, …]}")
        for type_name, entry in entries.items():
            record_type = records.get(type_name)
            if record_type is None:
                if records:  # without any, the fault is elsewhere and has been told
                    document.report(
                        entry.key, "unknown-type", f"{purpose!r} uses {shown(type_name)}, which is no record type",
                        near(type_name, records, f"the record types are {', '.join(records)}")
                    )  # fmt: skip
                continue
            self.used_types.add(type_name)
            if isinstance(entry.value, yaml.ScalarNode):
                if entry.value.value == "*":
                    uses[type_name] = dict.fromkeys(record_type.fields)
                    self.used.update((type_name, name) for name in record_type.fields)
                else:
                    document.report(
                        entry.value, "wrong-kind", f"{purpose!r} uses {shown(entry.value.value)} of {type_name!r}",
                        "a list of fields '[name, phone.masked]', or \"*\" for all in clear"
                    )  # fmt: skip
                continue
            chosen: dict[str, str | None] = {}
            for item, text in document.texts(entry.value, f"what {purpose!r} uses of {type_name!r}"):
                self._use(item, text, purpose, record_type, chosen)
            if isinstance(entry.value, yaml.SequenceNode) and not entry.value.value:
                document.report(
                    entry.value,
                    "empty",
                    f"{purpose!r} uses no field of {type_name!r}",
                    "name a field or remove the line",
                )
            uses[type_name] = chosen
        return uses

    def _use(
        self, node: yaml.Node, text: str, purpose: str, record_type: RecordType, chosen: dict[str, str | None]
    ) -> None:
        match = _USE.fullmatch(text)
        if match is None:
            self.document.report(
                node,
                "bad-use",
                f"the purpose {purpose!r} uses {shown(text)}",
                "write field, field.masked or field.masked(mask)",
            )
            return
        name, masked, mask = match[1], match[2] is not None, match[3]
        declared = record_type.fields.get(name)
        if declared is None:
            self.document.report(
                node, "unknown-field", f"{purpose!r} uses {shown(name)}, which {record_type.name!r} does not have",
                near(name, record_type.fields, f"the fields are {', '.join(record_type.fields)}")
            )  # fmt: skip
            return
        self.used.add((record_type.name, name))
        if name in chosen:
            self.document.report(
                node, "field-twice", f"the purpose {purpose!r} uses {name!r} twice", "keep one, in clear or masked"
            )
            return
        if mask is not None and mask not in MASKS:
            self.document.report(
                node, "unknown-mask", f"{name!r} is masked with {shown(mask)}",
                near(mask, MASKS, f"one of {', '.join(MASKS)}")
            )  # fmt: skip
            mask = None
        elif masked and mask is None:
            mask = declared.mask
            if mask is None:
                self.document.report(
                    node, "no-mask", f"{text!r} is used and {record_type.name}.{name} has no mask",
                    f"add 'mask:' to the field, or write {name}.masked(all)"
                )  # fmt: skip
        chosen[name] = mask

    def _law(self, entries: Mapping[str, Entry], name: str, basis: Basis | None) -> tuple[str, ...]:
        if "law" not in entries:
            if basis is Basis.LEGAL_OBLIGATION:
                self.document.warn(
                    entries["basis"].value, "law-not-named", f"{name!r} rests on a legal obligation and names no law",
                    "add 'law: [CN-ECL-31]', the article that obliges (PIPL-13-3)"
                )  # fmt: skip
            return _BASIS_LAW[basis][:2] if basis else ()
        law: list[str] = []
        rests_on_others = {reference for other in _BASIS_LAW.values() for reference in other}
        for item, reference in self.document.texts(entries["law"].value, f"the law of {name!r}"):
            if not is_law(reference):
                self.document.report(
                    item, "bad-law", f"{shown(reference)} is no reference to a law", f"write it like {LAW_FORMS}"
                )
            elif basis is not None and reference in rests_on_others and reference not in _BASIS_LAW[basis]:
                self.document.report(
                    item, "law-of-other-basis", f"{name!r} rests on {basis} and names {reference}, another basis",
                    f"{' or '.join(_BASIS_LAW[basis])}"
                )  # fmt: skip
            elif reference not in law:
                law.append(reference)
        return tuple(law)

    def _consent(self, entries: Mapping[str, Entry], name: str, basis: Basis | None) -> tuple[Period | None, bool]:
        if "consent" not in entries:
            return None, False
        if basis is not None and basis is not Basis.CONSENT:
            self.document.report(
                entries["consent"].key, "consent-without-basis", f"{name!r} has 'consent' and rests on {basis}",
                "remove it, or write 'basis: consent'"
            )  # fmt: skip
        inner = self.document.mapping(
            entries["consent"].value, f"'consent' of {name!r}", allowed=("expires", "separate")
        )
        expires = self._period(inner, "expires", f"'consent.expires' of {name!r}")
        separate = False
        if "separate" in inner:
            separate = self.document.boolean(inner["separate"].value, f"'consent.separate' of {name!r}") or False
        return expires, separate

    def _demand_separate_consent(
        self,
        name: str,
        entry: Entry,
        entries: Mapping[str, Entry],
        uses: Mapping[str, Collection[str]],
        records: Mapping[str, RecordType],
    ) -> None:
        sensitive = [
            f"{type_name}.{field_name}"
            for type_name, fields in uses.items()
            for field_name in fields
            if records[type_name].fields[field_name].level is Level.L4
        ]
        if sensitive:
            self.document.report(
                entries["consent"].key if "consent" in entries else entry.key, "separate-consent",
                f"{name!r} uses {', '.join(sensitive)} (L4) on consent that is not separate",
                "add 'consent: {separate: true}' (PIPL-29)"
            )  # fmt: skip

    def _question_analytics(
        self,
        name: str,
        entries: Mapping[str, Entry],
        uses: Mapping[str, Collection[str]],
        records: Mapping[str, RecordType],
    ) -> None:
        for type_name, fields in uses.items():
            for field_name in fields:
                if records[type_name].fields[field_name].analytics is None:
                    self.document.warn(
                        entries["uses"].key, "no-analytics",
                        f"{name!r} sees only anonymised data, and {type_name}.{field_name} has no 'analytics'",
                        f"add 'analytics:' to the field, one of {', '.join(ANALYTICS)}"
                    )  # fmt: skip

    def _purpose_category(self, node: yaml.Node, name: str) -> str:
        text = self.document.text(node, f"the category of {name!r}")
        if text is None or text in PURPOSES:
            return text or PURPOSE
        self.document.report(
            node, "unknown-purpose-category", f"the category of {name!r} is {shown(text)}, not a term of W3C DPV 2.3",
            near(text, PURPOSES, "a term such as dpv:ServiceProvision, listed at https://w3id.org/dpv/2.3")
        )  # fmt: skip
        return PURPOSE

    def _recipients(self, node: yaml.Node) -> dict[str, Recipient]:
        recipients: dict[str, Recipient] = {}
        known = [key[1] for key in self.places if key[0] == "purposes" and len(key) == 2]
        for name, entry in self._named(node, "'recipients'", "a recipient").items():
            what = f"the recipient {name!r}"
            entries = self.document.mapping(entry.value, what, allowed=_RECIPIENT_KEYS, required=("kind", "contact"))
            kind = self._choice(
                entries, "kind", f"the kind of {name!r}", tuple(RecipientKind), "unknown-recipient-kind"
            )
            contact = None
            if "contact" in entries:
                contact = self.document.text(entries["contact"].value, f"the contact of {name!r}")
            purposes: list[str] = []
            if "purposes" in entries:
                for item, text in self.document.texts(entries["purposes"].value, f"the purposes of {name!r}"):
                    if text not in known:
                        self.document.report(
                            item, "unknown-purpose", f"{what} serves {shown(text)}, which is no purpose",
                            near(text, known, f"the purposes are {', '.join(known)}")
                        )  # fmt: skip
                    elif text not in purposes:
                        purposes.append(text)
            title = self._title(entries, "title", what)
            jurisdiction = self._jurisdiction(entries, f"the jurisdiction of {name!r}")
            if kind is not None and contact is not None:
                recipients[name] = Recipient(name, RecipientKind(kind), contact, title, jurisdiction, tuple(purposes))
        return recipients

    def _question_unused(self, records: Mapping[str, RecordType]) -> None:
        if not any(key[0] == "purposes" for key in self.places):
            return
        for type_name, record_type in records.items():
            if type_name not in self.used_types:
                self.document.report(
                    self.places[type_name,], "unused-type", f"no purpose uses the record type {type_name!r}",
                    "why is it held? name it in 'uses' of a purpose, or remove it (PIPL-6)"
                )  # fmt: skip
                continue
            for field_name in record_type.fields:
                if (type_name, field_name) not in self.used:
                    self.document.warn(
                        self.places[type_name, field_name], "unused-field", f"no purpose uses {type_name}.{field_name}",
                        "why is it held? name it in 'uses' of a purpose, or remove it (PIPL-6)"
                    )  # fmt: skip

    def _named(self, node: yaml.Node, what: str, each: str) -> Mapping[str, Entry]:
        entries = self.document.mapping(node, what)
        if isinstance(node, yaml.MappingNode) and not node.value:
            self.document.report(node, "empty", f"{what}: nothing is declared", f"{each} 'name: {{…}}' is expected")
        for name, entry in entries.items():
            if _NAME.fullmatch(name) is None:
                self.document.report(entry.key, "bad-name", f"{each} is named {shown(name)}", _NAME_RULE)
        return entries

    def _scope(self, node: yaml.Node, what: str) -> str:
        text = self.document.text(node, f"the scope of {what}")
        if text is not None and _NAME.fullmatch(text) is None:
            self.document.report(node, "bad-name", f"the scope of {what} is named {shown(text)}", _NAME_RULE)
        return text or DEFAULT_SCOPE

    def _choice(
        self, entries: Mapping[str, Entry], key: str, what: str, known: Collection[str], code: str
    ) -> str | None:
        return self.document.choice(entries[key].value, what, known, code) if key in entries else None

    def _jurisdiction(self, entries: Mapping[str, Entry], what: str) -> str | None:
        if "jurisdiction" not in entries:
            return None
        node = entries["jurisdiction"].value
        text = self.document.text(node, what)
        if text is not None and _JURISDICTION.fullmatch(text) is None:
            self.document.report(
                node,
                "bad-jurisdiction",
                f"{what} is {shown(text)}",
                "an ISO 3166 code in capitals, such as CN, DE, US-CA, or EU",
            )
        return text

    def _languages(self, node: yaml.Node, what: str) -> tuple[str, ...]:
        languages: list[str] = []
        for item, text in self.document.texts(node, what):
            if text not in LANGUAGES:
                self.document.report(item, "unknown-language", f"{what}: {shown(text)}", "one of zh, en")
            elif text not in languages:
                languages.append(text)
        return tuple(languages)

    def _period(self, entries: Mapping[str, Entry], key: str, what: str) -> Period | None:
        if key not in entries:
            return None
        node = entries[key].value
        text = self.document.text(node, what)
        if text is None:
            return None
        try:
            return Period.parse(text)
        except Invalid:
            self.document.report(
                node, "bad-period", f"{what} is {shown(text)}",
                "a period like P3Y, P6M, P30D or PT48H, of at most a hundred years"
            )  # fmt: skip
            return None

    def _title(self, entries: Mapping[str, Entry], key: str, what: str) -> Text | None:
        if key not in entries:
            return None
        return self._text(entries[key].value, f"the {key} of {what}", both=self.both_languages)

    def _text(self, node: yaml.Node, what: str, *, both: bool) -> Text | None:
        if isinstance(node, yaml.MappingNode):
            entries = self.document.mapping(node, what, allowed=LANGUAGES)
            if not node.value:
                self.document.report(node, "empty", f"{what} is empty", "a text, or {zh: …, en: …}")
            read = {key: self.document.text(entry.value, what) for key, entry in entries.items()}
            texts = {key: text for key, text in read.items() if text is not None}
        else:
            text = self.document.text(node, what)
            texts = {} if text is None else {"": text}
            read = dict.fromkeys(texts)
        if both and read and set(read) != set(LANGUAGES):
            missing = " and ".join(language for language in LANGUAGES if language not in read)
            self.document.report(
                node, "missing-language", f"{what} is not in {'both languages' if '' in read else missing}",
                "the controller lists both languages: {zh: …, en: …}"
            )  # fmt: skip
        one = next(iter(texts.values()), None)
        return Text(texts.get("zh", one), texts.get("en", one)) if one is not None else None
