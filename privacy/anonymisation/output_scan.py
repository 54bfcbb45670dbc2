"""Whether a column that would be published as it is holds what identifies persons: names, numbers, free text.

Generalised columns need no look: whatever a label says, k persons share it. A kept or sensitive column is told by the
detector in two ways: as a column (`detection.columns`), and value by value (`detection.analyser`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from privacy.errors import PersonalInOutput
from privacy.levels import Level
from privacy.manifest import Text

if TYPE_CHECKING:
    from privacy.detection.findings import Finding

MOST_VALUES: Final = 2_000  # distinct values of a column that are looked at
LONGEST_VALUE: Final = 200  # characters; what is longer is no category but a text
_SURE: Final = 0.6  # a finding's score
# What a published column may say of people in general: it is declared, generalised or protected as such.
_OF_MANY: Final = frozenset({"AGE", "NRP", "BIRTH_DATE"})
_FREE_TEXT: Final = Text("自由文本", "free text")


class Detector(Protocol):
    """`detection.analyser.Analyser` and `detection.workers.Workers`."""

    def analyse(self, texts: Sequence[str]) -> list[list[Finding]]: ...


@dataclass(frozen=True, slots=True)
class Held:
    """Why a column is not published as it is: what was found in it, and in how many of the values `of`."""

    column: str
    what: Text
    values: int
    of: int


def refuse_personal(
    columns: Mapping[str, Sequence[str]], detector: Detector, *, sensitive: Sequence[str] = ()
) -> list[str]:
    """The columns that look like quasi-identifiers, which is for a person to judge.

    `columns` holds distinct values of each. Raises PersonalInOutput, with all columns that hold what identifies, or
    that are sensitive by their kind and not declared so; never with a value.
    """
    found = [held for name, values in columns.items() if (held := look_through(name, values, detector))]
    if not found:
        undeclared = [
            held for name, values in columns.items() if name not in sensitive and (held := _kind(name, values))
        ]
        found = undeclared
    if found:
        raise PersonalInOutput(
            "; ".join(f"{one.column}: {one.what.en} ({one.values}/{one.of})" for one in found),
            zh="；".join(f"{one.column}：{one.what.zh}（{one.values}/{one.of}）" for one in found),
            columns=[one.column for one in found],
        )
    return [name for name, values in columns.items() if name not in sensitive and _is_quasi(name, values)]


def look_through(name: str, values: Sequence[str], detector: Detector) -> Held | None:
    """What identifies persons in the distinct values of a column; None where nothing was found."""
    from privacy.detection.columns import classify
    from privacy.detection.columns_kinds import Role
    from privacy.detection.entities import entity

    texts = [value for value in values if value]
    long = sum(len(text) > LONGEST_VALUE for text in texts)
    told = classify(name, texts)
    if long or (told.kind is not None and told.kind.scan):
        return Held(name, _FREE_TEXT, long or len(texts), len(texts))
    if told.role is Role.DIRECT:
        kind = told.kind
        what = Text(kind.zh, kind.en) if kind is not None else Text(*_titles(told.holds[0]))
        return Held(name, what, len(texts), len(texts))
    looked = texts[:MOST_VALUES]
    tally: dict[str, int] = {}
    for findings in detector.analyse(looked):
        for found in {one.entity for one in findings if identifies(one)}:
            tally[found] = tally.get(found, 0) + 1
    if not tally:
        return None
    most = max(tally, key=lambda one: (tally[one], entity(one).level, one))
    return Held(name, Text(*_titles(most)), tally[most], len(looked))


def identifies(finding: Finding) -> bool:
    """Whether what was found tells who somebody is."""
    from privacy.detection.redaction import level_of

    return finding.score >= _SURE and level_of(finding.entity) > Level.L2 and finding.entity not in _OF_MANY


def _titles(name: str) -> tuple[str, str]:
    from privacy.detection.redaction import title_of

    return title_of(name, "zh"), title_of(name, "en")


def _kind(name: str, values: Sequence[str]) -> Held | None:
    """PIPL 28, GDPR 9: what is sensitive by its kind is protected within the classes, or not published."""
    from privacy.detection.columns import classify
    from privacy.detection.columns_kinds import Role

    told = classify(name, [value for value in values if value])
    if told.role is not Role.SENSITIVE or told.kind is None:
        return None
    what = Text(f"{told.kind.zh}，须声明为敏感列", f"{told.kind.en}, to be declared sensitive")
    return Held(name, what, told.distinct, told.distinct)


def _is_quasi(name: str, values: Sequence[str]) -> bool:
    from privacy.detection.columns import classify
    from privacy.detection.columns_kinds import Role

    return classify(name, [value for value in values if value]).role is Role.QUASI
