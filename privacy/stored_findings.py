"""What was found in a stored text, kept beside it, and what a redacted use makes of both.

Spans of a text are personal data about it. So they are sealed as the text is: a box of their own in the record's
container (`vault.findings_of`), under the subject's key and the container's one MAC. No row of the database tells what
a text holds; they cannot be those of an older version of the text; they go where it goes, when it is rectified, sealed
again under another key, taken out, or erased. A box, with a list of findings for each text that the field holds:

    {"by": "full", "in": ["en", "zh"], "rules": "1", "found": [[[start, end, entity, score, why], ...], ...]}

Offsets are code points. There is no piece of the text in it. A box without findings says that there were none; a field
without a box has not been looked through, and is given to nobody redacted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from privacy.detection.analyser import Mode
from privacy.detection.findings import Finding
from privacy.detection.redaction import level_of, redact
from privacy.errors import Corrupt
from privacy.levels import Level
from privacy.manifest import Field
from privacy.plans import MINIMAL_LAW, Reason
from privacy.values import Value

NOT_SCANNED: Final = Reason("not-scanned", MINIMAL_LAW)
_KEPT: Final = frozenset({Level.L1, Level.L2})  # what stays in a redacted text: nothing that is personal


@dataclass(frozen=True, slots=True)
class Looked:
    """What looking through a field's texts has found: in which languages, in which mode, by which version of rules."""

    by: Mode
    languages: frozenset[str]
    rules: str
    found: tuple[tuple[Finding, ...], ...]

    def box(self) -> Mapping[str, object]:
        """As it is sealed."""
        return {
            "by": self.by,
            "in": sorted(self.languages),
            "rules": self.rules,
            "found": [[[one.start, one.end, one.entity, one.score, one.why] for one in each] for each in self.found],
        }


def of_box(opened: Any) -> Looked:
    """What `Looked.box` gave. Raises `Corrupt`."""
    try:
        found = tuple(tuple(Finding(*one) for one in each) for each in opened["found"])
        return Looked(opened["by"], frozenset(opened["in"]), opened["rules"], found)
    except (KeyError, TypeError):
        raise Corrupt from None


def serving(field: Field, opened: object, mode: str) -> Looked | None:
    """What the field may be redacted by; None where it has not been looked through as it must be now.

    No language is left out, and what found it saw what today's mode sees. Raises `Corrupt`.
    """
    if opened is None:
        return None
    looked = of_box(opened)
    is_whole = looked.languages.issuperset(field.scan) and (looked.by == "full" or mode == "patterns")
    return looked if is_whole else None


def texts_of(value: object) -> Sequence[str]:
    """The texts that a field's value holds, in their order."""
    return [value] if isinstance(value, str) else value if isinstance(value, list) else []


def highest(field: Field, looked: Looked) -> Level | None:
    """The highest level above the field's own of what was found in it; None where there is none."""
    higher = [level for each in looked.found for one in each if (level := level_of(one.entity)) > field.level]
    return max(higher, default=None)


def redacted(value: Value, looked: Looked) -> Value:
    """The value with what is personal in it (L3 and above) taken out: in its place stands what it was.

    Each text says so in its own language. Raises `Corrupt` for findings that are not this value's.
    """
    texts = texts_of(value)
    if len(texts) != len(looked.found):
        raise Corrupt
    done = [redact(text, found, "replace", keep=_KEPT) for text, found in zip(texts, looked.found, strict=True)]
    return done[0] if isinstance(value, str) else done
