"""What each value of a column may be generalised to.

The leaves are numbered depth first, so what stands under any node is a contiguous range of codes: a class is described
by the least and the greatest code in it, and no value that is not under a label can be between them by accident.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from operator import itemgetter
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from privacy.errors import Invalid, UnknownValue

_Parsed = TypeVar("_Parsed", Decimal, date)

ROOT: Final = "*"
# What a date may be generalised to, from fine to coarse; each lies within one of the next.
DATE_LEVELS: Final = ("day", "month", "quarter", "year", "decade")
_MISSING: Final = ""

# 浙江省杭州市西湖区: a province, a city of it, a county of that. Municipalities have no city between.
_MUNICIPALITIES: Final = ("北京", "天津", "上海", "重庆")
_PROVINCES: Final = {
    **{short: f"{short}市" for short in _MUNICIPALITIES},
    **{
        short: f"{short}省"
        for short in (
            *("河北", "山西", "辽宁", "吉林", "黑龙江", "江苏", "浙江", "安徽", "福建", "江西", "山东", "河南"),
            *("湖北", "湖南", "广东", "海南", "四川", "贵州", "云南", "陕西", "甘肃", "青海", "台湾"),
        )
    },
    "内蒙古": "内蒙古自治区",
    "广西": "广西壮族自治区",
    "西藏": "西藏自治区",
    "宁夏": "宁夏回族自治区",
    "新疆": "新疆维吾尔自治区",
    "香港": "香港特别行政区",
    "澳门": "澳门特别行政区",
}
_PROVINCE: Final = re.compile(rf"({'|'.join(_PROVINCES)})(?:省|市(?:市辖区)?|特别行政区|(?:壮族|回族|维吾尔)?自治区)?")
_CITY: Final = re.compile(r".{1,10}?(?:自治州|地区|盟|市)")
_COUNTY: Final = re.compile(r".{1,12}?(?:自治县|自治旗|林区|特区|新区|区|县|旗|市)")
_DIVISION_CODE: Final = re.compile(r"\d{6}(?:\d{6})?")


@dataclass(frozen=True, slots=True, eq=False)
class Hierarchy:
    """Level 0 holds the values themselves; the last level is one node, `*`; every level is coarser than the one before.

    Nodes are numbered through all levels: the group `g` of level `i` is node `offsets[i] + g`. `widths` is what is lost
    where a value is published as that node: (leaves under it - 1)/(leaves - 1), of numbers and dates the span of what
    is under it over the span of all.
    """

    name: str
    leaves: tuple[str, ...]
    groups: NDArray[np.int32]  # (levels, leaves): the group of a code at a level
    labels: tuple[tuple[str, ...], ...]  # [level][group]
    widths: tuple[NDArray[np.float64], ...]  # [level][group]
    offsets: tuple[int, ...] = field(init=False)
    node_labels: tuple[str, ...] = field(init=False)
    node_loss: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        sizes = [len(level) for level in self.labels]
        object.__setattr__(self, "offsets", tuple(sum(sizes[:level]) for level in range(len(sizes))))
        object.__setattr__(self, "node_labels", tuple(label for level in self.labels for label in level))
        object.__setattr__(self, "node_loss", np.concatenate(self.widths))

    @property
    def levels(self) -> int:
        """At least 1: where there is a single value, the values themselves are the root."""
        return len(self.labels)

    @property
    def root(self) -> int:
        """The node above all."""
        return len(self.node_labels) - 1

    def nodes(self, level: int) -> NDArray[np.int32]:
        """The node of each code at a level."""
        found: NDArray[np.int32] = self.groups[level] + np.int32(self.offsets[level])
        return found

    def encode(self, values: Sequence[str] | NDArray[np.object_]) -> NDArray[np.int32]:
        """The code of each value. Raises UnknownValue."""
        codes = {leaf: code for code, leaf in enumerate(self.leaves)}
        try:
            return np.fromiter(map(codes.__getitem__, values), dtype=np.int32, count=len(values))
        except KeyError:
            raise _unknown(self.name) from None

    def covering(self, low: NDArray[np.int32], high: NDArray[np.int32]) -> NDArray[np.int32]:
        """The lowest node over all codes between `low` and `high`, elementwise."""
        found = np.full(low.shape, -1, dtype=np.int32)
        for level in range(self.levels):
            groups = self.groups[level]
            new = (found < 0) & (groups[low] == groups[high])
            found[new] = groups[low][new] + self.offsets[level]
        return found


def of_paths(name: str, paths: Iterable[Sequence[str]], *, positions: Sequence[float] | None = None) -> Hierarchy:
    """The hierarchy of `paths`: a value and its generalisations, ever coarser, each path of the same length.

    A root is added where the last generalisations differ. Equal labels under different parents are different nodes.
    With `positions`, one a path, losses are spans of them. Raises Invalid for a value twice, paths of different length,
    and no path at all.
    """
    rows = [tuple(path) for path in paths]
    if not rows or len({len(row) for row in rows}) != 1:
        raise _malformed(name, "must give every value equally many generalisations", "须为每个值给出同样多的泛化")
    if len({row[0] for row in rows}) != len(rows):
        raise _malformed(name, "names a value twice", "重复列出了同一个值")
    if len({row[-1] for row in rows}) > 1:
        rows = [(*row, ROOT) for row in rows]
    order = _depth_first(rows)
    rows = [rows[index] for index in order]
    placed = None if positions is None else np.asarray([positions[index] for index in order], dtype=np.float64)
    return _numbered(name, rows, placed)


def _depth_first(rows: Sequence[tuple[str, ...]]) -> list[int]:
    """By parents in order of their first value: what a file lists together stays together."""
    first: dict[tuple[str, ...], int] = {}
    for index, row in enumerate(rows):
        for level in range(len(row)):
            first.setdefault(row[level:], index)
    return sorted(range(len(rows)), key=lambda index: [first[rows[index][i:]] for i in reversed(range(len(rows[0])))])


def _numbered(name: str, rows: Sequence[tuple[str, ...]], positions: NDArray[np.float64] | None) -> Hierarchy:
    groups: list[list[int]] = []
    labels: list[tuple[str, ...]] = []
    widths: list[NDArray[np.float64]] = []
    for level in range(len(rows[0])):
        seen: dict[tuple[str, ...], int] = {}
        numbers = [seen.setdefault(row[level:], len(seen)) for row in rows]
        if groups and len(seen) == len(labels[-1]) and [key[0] for key in seen] == list(labels[-1]):
            continue  # a level that changes nothing
        groups.append(numbers)
        labels.append(tuple(key[0] for key in seen))
        widths.append(_widths(np.asarray(numbers), len(seen), positions))
    return Hierarchy(
        name=name,
        leaves=tuple(row[0] for row in rows),
        groups=np.asarray(groups, dtype=np.int32),
        labels=tuple(labels),
        widths=tuple(widths),
    )


def _widths(numbers: NDArray[np.int64], count: int, positions: NDArray[np.float64] | None) -> NDArray[np.float64]:
    if positions is None:
        under = np.bincount(numbers, minlength=count)
        return (under - 1.0) / max(len(numbers) - 1, 1)
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.fmin.at(low, numbers, positions)  # what is missing has no position
    np.fmax.at(high, numbers, positions)
    spans: NDArray[np.float64] = np.where(high >= low, high - low, 0.0)
    whole = high.max() - low.min()
    return spans / whole if whole > 0 else spans


def _malformed(name: str, en: str, zh: str) -> Invalid:
    return Invalid(f"the hierarchy of {name!r} {en}", zh=f"{name!r} 的泛化层级{zh}", column=name)


def from_csv(name: str, text: str, *, present: Iterable[str] | None = None) -> Hierarchy:
    """ARX's format: a line for each value, `;` between it and its generalisations. Raises Invalid.

    With `present`, only these values are kept, and losses are measured against them: a value that nobody has is no
    loss. A column of numbers loses by span, any other by count. Raises UnknownValue when one of `present` has no line.
    """
    rows = [row for row in csv.reader(io.StringIO(text.removeprefix("\ufeff")), delimiter=";") if row]
    if present is not None:
        wanted = set(present)
        rows = [row for row in rows if row[0] in wanted]
        if len({row[0] for row in rows}) < len(wanted):
            raise _unknown(name)
    numbers = [_number(row[0]) for row in rows]
    known = [float(number) for number in numbers if number is not None]
    return of_paths(name, rows, positions=known if len(known) == len(rows) else None)


def flat(name: str, values: Iterable[str]) -> Hierarchy:
    """A value, or `*`."""
    return of_paths(name, [(value, ROOT) for value in sorted(set(values))])


def intervals(name: str, values: Iterable[str], widths: Sequence[float] = (5, 10, 20)) -> Hierarchy:
    """Numbers by intervals from 0 on, of each width in turn: 20-24, 20-29, 20-39; `[0, 2.5)` where not all are whole.

    Raises Invalid unless each width is a multiple of the one before, and UnknownValue for what is no number. An empty
    value stays by itself until the root.
    """
    steps = [Decimal(str(width)) for width in widths]
    if not steps or steps[0] <= 0 or any(wide <= fine or wide % fine for fine, wide in pairwise(steps)):
        raise _malformed(name, "needs widths that are multiples of one another", "的区间宽度须依次为前者的整数倍")
    numbers = _parsed(name, values, _number)
    whole = all(number is None or (number >= 0 and number == int(number)) for number in numbers.values())
    whole = whole and all(step == int(step) for step in steps)
    paths = [
        (value, *(_MISSING if number is None else _interval(number, step, whole) for step in steps), ROOT)
        for value, number in numbers.items()
    ]
    return of_paths(name, paths, positions=[float("nan" if number is None else number) for number in numbers.values()])


def dates(name: str, values: Iterable[str], levels: Sequence[str] = ("month", "quarter", "year")) -> Hierarchy:
    """ISO 8601 dates or instants by `levels` of DATE_LEVELS: 2026-05-17, 2026-05, 2026-Q2, 2026, 2020-2029.

    Raises Invalid unless the levels go from fine to coarse, and UnknownValue for what is no date. An empty value stays
    by itself until the root.
    """
    known = [level for level in DATE_LEVELS if level in levels]
    if not known or list(levels) != known:
        raise _malformed(name, f"needs levels of {', '.join(DATE_LEVELS)}, in this order", "的日期级别须由细到粗")
    days = _parsed(name, values, _day)
    paths = [
        (value, *(_MISSING if day is None else _period(day, level) for level in levels), ROOT)
        for value, day in days.items()
    ]
    return of_paths(
        name, paths, positions=[float("nan") if day is None else float(day.toordinal()) for day in days.values()]
    )


def prefixes(name: str, values: Iterable[str], lengths: Sequence[int] = (3, 1)) -> Hierarchy:
    """Codes by their first characters: 310012, 310*, 3*, *. Raises Invalid unless the lengths fall."""
    if not lengths or lengths[-1] < 1 or any(long <= short for long, short in pairwise(lengths)):
        raise _malformed(name, "needs lengths that fall, the last at least 1", "的前缀长度须依次递减且不小于 1")
    return of_paths(
        name, [(value, *(value[:length] + ROOT for length in lengths), ROOT) for value in sorted(set(values))]
    )


def divisions(name: str, values: Iterable[str]) -> Hierarchy:
    """Chinese administrative divisions: county, city, province, *.

    Of codes (GB/T 2260, six digits, or the twelve of statistics) by their structure: 330106, 330100, 330000. Of names
    and addresses by their beginning: 浙江省杭州市西湖区, 浙江省杭州市, 浙江省. What names no province stays by itself
    until the root.
    """
    return of_paths(name, [(value, *_divisions(value), ROOT) for value in sorted(set(values))])


def _divisions(value: str) -> tuple[str, str, str]:
    if _DIVISION_CODE.fullmatch(value):
        return value[:6], value[:4] + "00", value[:2] + "0000"
    province = _PROVINCE.match(value)
    if province is None:
        return value, value, value
    full, rest = _PROVINCES[province[1]], value[province.end() :]
    city = None if province[1] in _MUNICIPALITIES else _CITY.match(rest)
    end = city.end() if city else 0
    county = _COUNTY.match(rest, end)
    return full + rest[: county.end() if county else end], full + rest[:end], full


def _parsed(name: str, values: Iterable[str], parse: Callable[[str], _Parsed | None]) -> dict[str, _Parsed | None]:
    """Distinct values with what they are, in that order; what is missing comes last. Raises UnknownValue."""
    distinct = set(values)
    known = [(value, parse(value)) for value in sorted(distinct - {_MISSING})]
    found = {value: parsed for value, parsed in known if parsed is not None}
    if len(found) < len(known):
        raise _unknown(name)
    ordered: dict[str, _Parsed | None] = dict(sorted(found.items(), key=itemgetter(1)))
    return ordered | dict.fromkeys(distinct & {_MISSING})


def _number(value: str) -> Decimal | None:
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _day(value: str) -> date | None:
    try:
        return date.fromisoformat(value[:10])
    except ValueError:
        return None


def _interval(number: Decimal, width: Decimal, whole: bool) -> str:
    low = number - number % width
    if low > number:  # of a negative number
        low -= width
    return f"{int(low)}-{int(low + width) - 1}" if whole else f"[{low.normalize():f}, {(low + width).normalize():f})"


def _period(day: date, level: str) -> str:
    match level:
        case "day":
            return day.isoformat()
        case "month":
            return f"{day.year:04}-{day.month:02}"
        case "quarter":
            return f"{day.year:04}-Q{(day.month + 2) // 3}"
        case "year":
            return f"{day.year:04}"
        case _:
            return f"{day.year // 10 * 10:04}-{day.year // 10 * 10 + 9:04}"


def _unknown(name: str) -> UnknownValue:
    """Raised outside of an `except`, or `from None`: a cause would carry the value into a log."""
    return UnknownValue(
        f"column {name!r} holds a value that its hierarchy does not have",
        zh=f"列 {name!r} 中有其泛化层级未包含的值",
        column=name,
    )
