"""From YAML to a manifest: every fault is told with its place, what is wrong and what would be right."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import yaml

from privacy.errors import ManifestInvalid
from privacy.manifest.model import DEFAULT_PLANNED_SUBJECTS, LANGUAGES, Controller, Manifest
from privacy.manifest.notation import Draft
from privacy.manifest.purposes import read_purposes, read_recipients
from privacy.manifest.record_types import RecordTypes, question_unused, read_records

_PARTS: Final = ("controller", "records", "purposes", "recipients")
_CONTROLLER_KEYS: Final = ("name", "contact", "jurisdiction", "languages", "planned_subjects", "stores_in")
_MOST_SUBJECTS: Final = 10_000_000_000


@lru_cache(maxsize=8)  # the same versions are asked for again and again; 50 ms each
def parse(text: str, file: str) -> Manifest:
    """The manifest that `text` declares. `file` is the name that problems carry.

    Raises ManifestInvalid whose context `problems` holds every `Problem`, in the order of the text.
    """
    draft = Draft(file)
    root = draft.load(text)
    manifest = _manifest(draft, root, text) if root is not None else None
    if manifest is None or draft.problems:
        problems = sorted(draft.problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ManifestInvalid(f"{count} in {file}: {problems[0]}", problems=problems)
    return manifest


def _manifest(draft: Draft, root: yaml.Node, source: str) -> Manifest | None:
    """The parts in the order in which they depend on each other."""
    top = draft.mapping(root, "the manifest", allowed=_PARTS, required=_PARTS[:3])
    controller = _controller(draft, top["controller"].value) if "controller" in top else None
    records = read_records(draft, top["records"].value) if "records" in top else RecordTypes()
    jurisdiction = controller.jurisdiction if controller else ""
    purposes = read_purposes(draft, top["purposes"].value, records, jurisdiction) if "purposes" in top else {}
    recipients = read_recipients(draft, top["recipients"].value, list(purposes)) if "recipients" in top else {}
    if purposes:  # without any, the fault is elsewhere and has been told
        question_unused(draft, records)
    if controller is None:
        return None
    return Manifest(
        controller=controller,
        records=MappingProxyType(records.types),
        purposes=MappingProxyType({name: purpose for name, purpose in purposes.items() if purpose is not None}),
        recipients=MappingProxyType(recipients),
        source=source,
        digest=hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest(),
        warnings=tuple(sorted(draft.warnings)),
    )


def _controller(draft: Draft, node: yaml.Node) -> Controller | None:
    entries = draft.mapping(node, "the controller", allowed=_CONTROLLER_KEYS, required=_CONTROLLER_KEYS[:3])
    languages: tuple[str, ...] = ()
    if "languages" in entries:
        languages = draft.languages(entries["languages"].value, "the controller's languages")
    draft.both_languages = set(languages) == set(LANGUAGES)
    jurisdiction = draft.jurisdiction(entries, "the controller's jurisdiction")
    title = None
    if "name" in entries:
        # One name is enough here, even where titles need both languages: companies often have one only.
        title = draft.bilingual(entries["name"].value, "the controller's name", both=False)
    contact = draft.text(entries["contact"].value, "the controller's contact") if "contact" in entries else None
    planned: int | None = DEFAULT_PLANNED_SUBJECTS
    if "planned_subjects" in entries:
        planned = draft.integer(entries["planned_subjects"].value, "planned_subjects", least=1, most=_MOST_SUBJECTS)
    stores_in = draft.places(entries["stores_in"].value, "stores_in") if "stores_in" in entries else ()
    if title is None or contact is None or jurisdiction is None or planned is None:
        return None
    languages = languages or (("zh",) if jurisdiction == "CN" else ("en",))
    name = title.in_language(languages[0])
    return Controller(name, title, contact, jurisdiction, planned, languages, stores_in or (jurisdiction,))
