"""The small forms that every part of a manifest is written in: names, titles, languages, periods, days."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

import yaml

from privacy.errors import Invalid
from privacy.manifest.model import LANGUAGES, Text
from privacy.manifest.placed_yaml import Document, Entry, shown
from privacy.periods import Period

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_NAME_RULE: Final = "a name starts with a letter and has lower-case letters, digits, '_' and '-' only"
_JURISDICTION: Final = re.compile(r"[A-Z]{2}(?:-[A-Z0-9]{1,3})?")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# What is in force until a day ends at the beginning of the next: the calendar must still have that one.
_FIRST_DAY: Final = date(1900, 1, 1)
_LAST_DAY: Final = date(2999, 12, 31)


@dataclass(frozen=True, slots=True)
class Part:
    """A named thing of the manifest, its name's place and its keys."""

    name: str
    key: yaml.Node
    node: yaml.Node
    entries: Mapping[str, Entry]


class Draft(Document):
    """A manifest while it is read. Whether titles need both languages is known once the controller is."""

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self.both_languages = False

    def named(self, node: yaml.Node, what: str, each: str) -> Mapping[str, Entry]:
        """The entries of a mapping whose keys are the organisation's own names; at least one."""
        entries = self.mapping(node, what)
        if isinstance(node, yaml.MappingNode) and not node.value:
            self.report(node, "empty", f"{what}: nothing is declared", f"{each} 'name: {{…}}' is expected")
        for name, entry in entries.items():
            self._check_name(entry.key, name, f"{each} is named")
        return entries

    def name(self, node: yaml.Node, what: str) -> str | None:
        """A name that stands as a value."""
        text = self.text(node, what)
        if text is not None:
            self._check_name(node, text, f"{what} is named")
        return text

    def chosen(
        self, entries: Mapping[str, Entry], key: str, what: str, known: Collection[str], code: str
    ) -> str | None:
        """One of `known`, or None where the key is not given."""
        return self.choice(entries[key].value, what, known, code) if key in entries else None

    def several(self, node: yaml.Node, what: str, each: str, known: Collection[str], code: str) -> set[str]:
        """Some of `known`; the order and repetitions of the list mean nothing."""
        chosen = (self.choice(item, each, known, code) for item, _ in self.texts(node, what))
        return {text for text in chosen if text is not None}

    def jurisdiction(self, entries: Mapping[str, Entry], what: str) -> str | None:
        if "jurisdiction" not in entries:
            return None
        node = entries["jurisdiction"].value
        text = self.text(node, what)
        if text is not None:
            self._place(node, text, what)
        return text

    def places(self, node: yaml.Node, what: str) -> tuple[str, ...]:
        """A list of codes of countries or of parts of them, each once."""
        places: dict[str, None] = {}
        for item, text in self.texts(node, what):
            self._place(item, text, what)
            places[text] = None
        return tuple(places)

    def _place(self, node: yaml.Node, text: str, what: str) -> None:
        if _JURISDICTION.fullmatch(text) is None:
            self.report(
                node, "bad-jurisdiction", f"{what} is {shown(text)}",
                "an ISO 3166 code in capitals, such as CN, DE, US-CA, or EU"
            )  # fmt: skip

    def languages(self, node: yaml.Node, what: str) -> tuple[str, ...]:
        languages: list[str] = []
        for item, text in self.texts(node, what):
            if text not in LANGUAGES:
                self.report(item, "unknown-language", f"{what}: {shown(text)}", "one of zh, en")
            elif text not in languages:
                languages.append(text)
        return tuple(languages)

    def period(self, entries: Mapping[str, Entry], key: str, what: str) -> Period | None:
        if key not in entries:
            return None
        node = entries[key].value
        text = self.text(node, what)
        if text is None:
            return None
        try:
            return Period.parse(text)
        except Invalid:
            self.report(
                node, "bad-period", f"{what} is {shown(text)}",
                "a period like P3Y, P6M, P30D or PT48H, of at most a hundred years"
            )  # fmt: skip
            return None

    def day(self, entries: Mapping[str, Entry], key: str, what: str) -> date | None:
        """A day of the calendar; ISO 8601 in its long form only."""
        if key not in entries:
            return None
        node = entries[key].value
        text = self.text(node, what)
        if text is None:
            return None
        try:
            day = date.fromisoformat(text) if _DAY.fullmatch(text) else None
        except ValueError:
            day = None
        if day is None or not _FIRST_DAY <= day <= _LAST_DAY:
            self.report(
                node, "bad-day", f"{what} is {shown(text)}",
                f"a day like 2026-01-31, from {_FIRST_DAY} to {_LAST_DAY}"
            )  # fmt: skip
            return None
        return day

    def title(self, entries: Mapping[str, Entry], key: str, what: str) -> Text | None:
        """A text for people, in both languages where the controller lists both."""
        if key not in entries:
            return None
        return self.bilingual(entries[key].value, f"the {key} of {what}", both=self.both_languages)

    def bilingual(self, node: yaml.Node, what: str, *, both: bool) -> Text | None:
        if isinstance(node, yaml.MappingNode):
            entries = self.mapping(node, what, allowed=LANGUAGES)
            if not node.value:
                self.report(node, "empty", f"{what} is empty", "a text, or {zh: …, en: …}")
            read = {key: self.text(entry.value, what) for key, entry in entries.items()}
            texts = {key: text for key, text in read.items() if text is not None}
        else:
            text = self.text(node, what)
            texts = {} if text is None else {"": text}
            read = dict.fromkeys(texts)
        if both and read and set(read) != set(LANGUAGES):
            missing = " and ".join(language for language in LANGUAGES if language not in read)
            self.report(
                node, "missing-language", f"{what} is not in {'both languages' if '' in read else missing}",
                "the controller lists both languages: {zh: …, en: …}"
            )  # fmt: skip
        one = next(iter(texts.values()), None)
        return Text(texts.get("zh", one), texts.get("en", one)) if one is not None else None

    def _check_name(self, node: yaml.Node, name: str, found: str) -> None:
        if _NAME.fullmatch(name) is None:
            self.report(node, "bad-name", f"{found} {shown(name)}", _NAME_RULE)
