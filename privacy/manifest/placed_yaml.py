"""YAML whose every node knows its line, read so that all faults are found and not only the first.

A narrow YAML: one document; no anchors, aliases or tags (a bomb of aliases needs them, a declaration does
not), bounded in size and depth. Scalars are taken as written, so that the country NO is not the boolean it
would be under YAML 1.1.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import yaml

MAX_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 16
_SHOWN: Final = 60  # characters of an offending value that a message repeats


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One fault with its place. `line` and `column` count from 1. `code` is stable."""

    file: str
    line: int
    column: int
    code: str
    found: str  # what is wrong
    expected: str  # what would be right

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.found}; {self.expected}"


class _Mark(Protocol):
    """A place in PyYAML's count, from 0; its C and its Python reader have a class each."""

    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of a mapping and what stands behind it."""

    key: yaml.Node
    value: yaml.Node


def near(word: str, known: Iterable[str], otherwise: str) -> str:
    """ "did you mean" for a near miss, `otherwise` when nothing is near."""
    folded = {candidate.lower(): str(candidate) for candidate in sorted(known)}
    close = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.65)
    return f"did you mean {folded[close[0]]!r}? {otherwise}" if close else otherwise


def shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


class Document:
    """One YAML text being read. Readers report into `problems` and answer None for what they cannot use."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def report(self, node: yaml.Node, code: str, found: str, expected: str) -> None:
        self.problems.append(self._problem(node.start_mark, code, found, expected))

    def warn(self, node: yaml.Node, code: str, found: str, expected: str) -> None:
        self.warnings.append(self._problem(node.start_mark, code, found, expected))

    def load(self, text: str) -> yaml.Node | None:
        """The root node, or None with the reason in `problems`."""
        if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
            self._report_at(1, 1, "too-large", f"the file is larger than {MAX_BYTES // 1024} KiB",
                            "a manifest declares types and purposes, it holds no data")  # fmt: skip
            return None
        try:
            if not self._is_plain(text):
                return None
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            what = " ".join(part for part in (error.context, error.problem) if part)
            self._report_at(line, column, "yaml-syntax", f"this is not YAML: {what}",
                            'write "*" in quotes' if "alias" in what else
                            "check indentation, quotes and brackets near this place")  # fmt: skip
            return None
        except yaml.reader.ReaderError as error:
            before = text[: error.position]
            line, column = before.count("\n") + 1, error.position - (before.rfind("\n") + 1) + 1
            self._report_at(line, column, "yaml-syntax", "a character here is not allowed in YAML",
                            "save the file as UTF-8 text without control characters")  # fmt: skip
            return None
        if root is None:
            self._report_at(1, 1, "empty", "the file is empty", "a mapping is expected")
        return root

    def mapping(
        self,
        node: yaml.Node,
        what: str,
        *,
        allowed: Collection[str] | None = None,
        required: Collection[str] = (),
    ) -> Mapping[str, Entry]:
        """The entries by key. Reports another kind of node, a key twice, an unknown key, a missing key."""
        if not isinstance(node, yaml.MappingNode):
            self.report(node, "wrong-kind", f"{what} is {_kind(node)}", "a mapping 'key: value' is expected")
            return {}
        entries: dict[str, Entry] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.report(key_node, "wrong-kind", f"a key of {what} is {_kind(key_node)}", "a key is a word")
                continue
            key = str(key_node.value)
            if key in entries:
                first = entries[key].key.start_mark.line + 1
                self.report(key_node, "duplicate-key", f"{what} has the key {shown(key)} twice",
                            f"keep one; the first stands on line {first}")  # fmt: skip
                continue
            if allowed is not None and key not in allowed:
                # In {en: Yes, always} the comma ends the text, and `always` is a key with nothing behind it.
                comma = node.flow_style and value_node.start_mark.index == value_node.end_mark.index
                keys = f"the keys are {', '.join(allowed)}"
                right = f"{keys}; put a text with a comma in quotes" if comma else near(key, allowed, keys)
                self.report(key_node, "unknown-key", f"{what} has no key {shown(key)}", right)
                continue
            entries[key] = Entry(key_node, value_node)
        for key in required:
            if key not in entries:
                self.report(node, "missing-key", f"{what} has no {key!r}", f"add '{key}:'")
        return entries

    def text(self, node: yaml.Node, what: str) -> str | None:
        """A scalar as it is written, never empty."""
        if not isinstance(node, yaml.ScalarNode):
            self.report(node, "wrong-kind", f"{what} is {_kind(node)}", "a text is expected")
            return None
        value = str(node.value)
        if not value.strip() or (node.style is None and node.tag == "tag:yaml.org,2002:null"):
            self.report(node, "empty", f"{what} is empty", "a text is expected")
            return None
        return value

    def texts(self, node: yaml.Node, what: str) -> list[tuple[yaml.Node, str]]:
        """The texts of a list, each with its node."""
        if not isinstance(node, yaml.SequenceNode):
            self.report(node, "wrong-kind", f"{what} is {_kind(node)}", "a list '[a, b]' is expected")
            return []
        read = [(item, self.text(item, f"an item of {what}")) for item in node.value]
        return [(item, value) for item, value in read if value is not None]

    def choice(self, node: yaml.Node, what: str, known: Collection[str], code: str) -> str | None:
        """One of `known`."""
        value = self.text(node, what)
        if value is None or value in known:
            return value
        self.report(node, code, f"{what} is {shown(value)}",
                    near(value, known, f"one of {', '.join(sorted(known))}"))  # fmt: skip
        return None

    def boolean(self, node: yaml.Node, what: str) -> bool | None:
        value = str(node.value) if isinstance(node, yaml.ScalarNode) else ""
        if value in ("true", "false"):
            return value == "true"
        self.report(node, "bad-boolean", f"{what} is {_kind_or_value(node)}", "true or false")
        return None

    def integer(self, node: yaml.Node, what: str, *, least: int, most: int) -> int | None:
        value = node.value if isinstance(node, yaml.ScalarNode) else ""
        if re.fullmatch(r"[0-9][0-9_]{0,18}", value):
            number = int(value.replace("_", ""))
            if least <= number <= most:
                return number
        self.report(node, "bad-number", f"{what} is {_kind_or_value(node)}",
                    f"a whole number from {least} to {most}")  # fmt: skip
        return None

    def _is_plain(self, text: str) -> bool:
        """No anchor, alias, tag or deep nesting. Before composing, which recurses and follows aliases."""
        depth = 0
        before = len(self.problems)
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                self._at(event, "alias", f"the alias '*{event.anchor}'", "write the value out")
            elif isinstance(event, yaml.NodeEvent) and event.anchor is not None:
                self._at(event, "anchor", f"the anchor '&{event.anchor}'", "anchors are not read; remove it")
            if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
                self._at(event, "tag", f"the tag {shown(event.tag)}", "tags are not read; remove it")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    self._at(event, "too-deep", f"more than {MAX_DEPTH} levels of nesting",
                             "a manifest needs five")  # fmt: skip
                    return False
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
        return len(self.problems) == before

    def _at(self, event: yaml.Event, code: str, found: str, expected: str) -> None:
        self.problems.append(self._problem(event.start_mark, code, found, expected))

    def _problem(self, mark: _Mark | None, code: str, found: str, expected: str) -> Problem:
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        return Problem(self.file, line, column, code, found, expected)

    def _report_at(self, line: int, column: int, code: str, found: str, expected: str) -> None:
        self.problems.append(Problem(self.file, line, column, code, found, expected))


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return "empty" if not node.value else "a text"


def _kind_or_value(node: yaml.Node) -> str:
    return shown(node.value) if isinstance(node, yaml.ScalarNode) else _kind(node)
