"""Hierarchies as a manifest or a request names them. Imports nothing that computes until one is built.

`{"csv": text}` in ARX's format, `{"intervals": [5, 10, 20]}`, `{"dates": ["month", "year"]}`, `{"prefix": [3, 1]}`,
`"divisions"` (Chinese administrative ones) or `"flat"` (a value, or `*`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from privacy.errors import Invalid

if TYPE_CHECKING:  # numpy is not loaded to check a manifest
    from privacy.anonymisation.hierarchies import Hierarchy


class Kind(StrEnum):
    CSV = "csv"
    INTERVALS = "intervals"
    DATES = "dates"
    PREFIX = "prefix"
    DIVISIONS = "divisions"
    FLAT = "flat"


@dataclass(frozen=True, slots=True)
class Spec:
    """A kind, with `text` of a CSV, `numbers` of intervals and prefixes, `levels` of dates."""

    kind: Kind
    text: str = ""
    numbers: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()


def parse(spec: object) -> Spec:
    """What the module's docstring shows, as parsed from JSON or YAML. Raises Invalid."""
    match spec:
        case "divisions" | "flat":
            return Spec(Kind(str(spec)))
        case {"csv": str(text), **rest} if not rest:
            return Spec(Kind.CSV, text=text)
        case {"intervals": [*widths], **rest} if not rest and _positive(widths):
            return Spec(Kind.INTERVALS, numbers=tuple(float(width) for width in widths))
        case {"dates": [*levels], **rest} if not rest and levels and all(isinstance(level, str) for level in levels):
            return Spec(Kind.DATES, levels=tuple(str(level) for level in levels))
        case {"prefix": [*lengths], **rest} if not rest and _positive(lengths):
            return Spec(Kind.PREFIX, numbers=tuple(float(length) for length in lengths))
        case _:
            raise Invalid(
                'a hierarchy is {"csv": text}, {"intervals": [5, 10]}, {"dates": ["month", "year"]}, '
                '{"prefix": [3, 1]}, "divisions" or "flat"',
                zh='泛化层级须为 {"csv": 文本}、{"intervals": [5, 10]}、{"dates": ["month", "year"]}、'
                '{"prefix": [3, 1]}、"divisions" 或 "flat"',
            )


def as_json(spec: Spec) -> str | Mapping[str, object]:
    """What `parse` reads back as the same."""
    match spec.kind:
        case Kind.DIVISIONS | Kind.FLAT:
            return str(spec.kind)
        case Kind.CSV:
            return {"csv": spec.text}
        case Kind.DATES:
            return {"dates": list(spec.levels)}
        case Kind.INTERVALS | Kind.PREFIX:
            return {str(spec.kind): [int(number) if number == int(number) else number for number in spec.numbers]}


def build(spec: Spec, name: str, values: Iterable[str]) -> Hierarchy:
    """The hierarchy of the values of column `name`. Raises Invalid and UnknownValue."""
    from privacy.anonymisation import hierarchies  # numpy, only here

    match spec.kind:
        case Kind.CSV:
            return hierarchies.from_csv(name, spec.text, present=values)
        case Kind.INTERVALS:
            return hierarchies.intervals(name, values, spec.numbers)
        case Kind.DATES:
            return hierarchies.dates(name, values, spec.levels)
        case Kind.PREFIX:
            return hierarchies.prefixes(name, values, [int(number) for number in spec.numbers])
        case Kind.DIVISIONS:
            return hierarchies.divisions(name, values)
        case Kind.FLAT:
            return hierarchies.flat(name, values)


def _positive(numbers: Iterable[object]) -> bool:
    listed = list(numbers)
    known = all(isinstance(one, int | float) and not isinstance(one, bool) and one > 0 for one in listed)
    return bool(listed) and known
