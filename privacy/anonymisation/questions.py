"""What may be asked of a statistic, and its canonical form: the same question, however it is written, is one.

Everything in a question is public: bounds, keys, edges and candidates come from who asks, never from the data. What is
missing is never looked up there; the question is refused.

Numbers are whole units of the field's axis: integers as they are, numbers in units of the last of `decimals` digits,
dates in days, instants in seconds. So a loss is exact, and 10 and 10.0 are the same bound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from itertools import pairwise
from typing import Final

import msgspec

from privacy.errors import Invalid
from privacy.manifest import ValueType
from privacy.values import Value

MOST_CELLS: Final = 128  # of a histogram: noise takes some 40 microseconds a cell
MOST_CANDIDATES: Final = 512
MOST_CONTRIBUTIONS: Final = 1000
MOST_DECIMALS: Final = 6
MOST_UNITS: Final = 2**40  # of a bound
_LONGEST_KEY: Final = 200  # characters
_ORDERED: Final = frozenset({ValueType.INTEGER, ValueType.NUMBER, ValueType.DATE, ValueType.DATETIME})
_KEYED: Final = frozenset({ValueType.TEXT, ValueType.BOOLEAN, ValueType.INTEGER})
_encode = msgspec.json.Encoder(order="deterministic").encode

Key = str | int | bool
Point = int | float | str
"""A place on an axis as people write it: a number, an ISO 8601 date or instant."""


class Statistic(StrEnum):
    COUNT = "count"
    SUM = "sum"
    MEAN = "mean"
    HISTOGRAM = "histogram"
    QUANTILE = "quantile"


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as it came. `rho`: what may be spent on it; `contributions`: rows of one subject that count.

    `bounds` of sum and mean; `keys` or `edges` of a histogram; `candidates` and `rank` (0.5: the median) of a quantile.
    `decimals`: of a field of type number. `as_of`: the day whose data is meant, in UTC; None: today.
    """

    statistic: Statistic
    purpose: str
    type: str
    rho: float
    contributions: int
    field: str | None = None
    bounds: tuple[Point, Point] | None = None
    keys: tuple[Key, ...] | None = None
    edges: tuple[Point, ...] | None = None
    candidates: tuple[Point, ...] | None = None
    rank: float | None = None
    decimals: int | None = None
    as_of: date | None = None


@dataclass(frozen=True, slots=True)
class Axis:
    """How values of a field become whole units, and units become what people read."""

    type: ValueType
    decimals: int = 0

    @property
    def one(self) -> int:
        """How many units a whole is."""
        return int(10**self.decimals)

    def units(self, value: Value) -> int | None:
        """None where there is no value, or none on the axis."""
        match self.type, value:
            case (ValueType.INTEGER, int()) if not isinstance(value, bool):
                return value
            case (ValueType.NUMBER, int() | float()) if not isinstance(value, bool):
                return round(value * self.one)
            case (ValueType.DATE, str()):
                return date.fromisoformat(value).toordinal()
            case (ValueType.DATETIME, str()):
                return int(datetime.fromisoformat(value).timestamp() // 1)
        return None

    def point(self, point: Point, what: str) -> int:
        """The units of a bound, an edge or a candidate. Raises `Invalid`, naming `what` and not the point."""
        found = self._point(point)
        if found is None or abs(found) > MOST_UNITS:
            raise Invalid(
                f"Each of {what} is {_written(self.type)} of the field's own kind, and not out of all measure",
                zh=f"{what} 中的每一项须与字段类型一致，且在合理范围内",
                field=what,
            )
        return found

    def _point(self, point: Point) -> int | None:
        try:
            match self.type, point:
                case (ValueType.INTEGER | ValueType.NUMBER, int() | float()) if not isinstance(point, bool):
                    scaled = Decimal(str(point)).scaleb(self.decimals)
                    return int(scaled) if scaled == scaled.to_integral_value() else None
                case (ValueType.DATE, str()) if len(point) == 10:
                    return date.fromisoformat(point).toordinal()
                case (ValueType.DATETIME, str()):
                    moment = datetime.fromisoformat(point)
                    whole = moment.tzinfo is not None and not moment.microsecond
                    return int(moment.timestamp()) if whole else None
        except (ValueError, OverflowError, InvalidOperation):
            pass
        return None

    def shown(self, units: float) -> Point:
        """Units as people read them; of a mean they need not be whole."""
        match self.type:
            case ValueType.DATE:
                return date.fromordinal(max(1, min(date.max.toordinal(), round(units)))).isoformat()
            case ValueType.DATETIME:
                return datetime.fromtimestamp(round(units), UTC).isoformat().replace("+00:00", "Z")
            case ValueType.INTEGER:
                return int(units) if units == int(units) else units
        return units / self.one

    def length(self, units: float) -> float:
        """A distance on the axis: of dates in days, of instants in seconds."""
        return units / self.one


@dataclass(frozen=True, slots=True)
class Question:
    """A question in canonical form; `rho` in nano-rho, places in units of the axis, keys and places sorted.

    `points` are the bounds, the edges or the candidates; `rank` is in thousandths.
    """

    statistic: Statistic
    purpose: str
    type: str
    field: str | None
    axis: Axis | None
    rho: int
    contributions: int
    points: tuple[int, ...]
    keys: tuple[Key, ...]
    rank: int | None
    as_of: date

    def canonical(self) -> bytes:
        """Equal exactly for questions that every data set answers alike. The day is not in it: it stands beside it."""
        return _encode(self.as_json())

    def as_json(self) -> dict[str, object]:
        """What the canonical form says, by name; members that the statistic has no use for are left out."""
        said = {
            "statistic": self.statistic.value,
            "purpose": self.purpose,
            "type": self.type,
            "rho": self.rho,
            "contributions": self.contributions,
            "field": self.field,
            "axis": None if self.axis is None else [self.axis.type.value, self.axis.decimals],
            "points": list(self.points) or None,
            "keys": [[type(key).__name__, key] for key in self.keys] or None,
            "rank": self.rank,
        }
        return {name: value for name, value in said.items() if value is not None}


_WANTED: Final[Mapping[Statistic, frozenset[str]]] = {
    Statistic.COUNT: frozenset(),
    Statistic.SUM: frozenset({"field", "bounds"}),
    Statistic.MEAN: frozenset({"field", "bounds"}),
    Statistic.HISTOGRAM: frozenset({"field"}),  # and keys or edges
    Statistic.QUANTILE: frozenset({"field", "candidates", "rank"}),
}


def question(asked: Asked, value_type: ValueType | None, today: date) -> Question:
    """The question in canonical form. `value_type`: of its field. Raises `Invalid` for what is missing or too much.

    It looks at nothing but the question and the declared type.
    """
    _check_members(asked)
    if not 1 <= asked.contributions <= MOST_CONTRIBUTIONS:
        raise Invalid(
            f"contributions is how many rows of one person count: 1 to {MOST_CONTRIBUTIONS}",
            zh=f"contributions 为每人计入的行数，须为 1 至 {MOST_CONTRIBUTIONS}",
            field="contributions",
        )
    rho = _nano(asked.rho)
    axis = None if value_type is None else _axis(asked, value_type)
    return Question(
        statistic=asked.statistic,
        purpose=asked.purpose,
        type=asked.type,
        field=asked.field,
        axis=axis,
        rho=rho,
        contributions=asked.contributions,
        points=() if axis is None else _points(asked, axis),
        keys=() if asked.keys is None or value_type is None else _keys(asked.keys, value_type),
        rank=None if asked.rank is None else _rank(asked.rank),
        as_of=today if asked.as_of is None else asked.as_of,
    )


def _check_members(asked: Asked) -> None:
    """Each statistic takes what it needs and nothing else: what has no effect would make two of one question."""
    given = {
        name for name in ("field", "bounds", "keys", "edges", "candidates", "rank") if getattr(asked, name) is not None
    }
    wanted = set(_WANTED[asked.statistic])
    if asked.statistic is Statistic.HISTOGRAM:
        wanted |= {"edges"} if asked.edges is not None and asked.keys is None else {"keys"}
    if given == wanted:
        return
    lacks, useless = sorted(wanted - given), sorted(given - wanted)
    said = " and ".join(
        [f"needs {', '.join(lacks)}"] * bool(lacks) + [f"has no use for {', '.join(useless)}"] * bool(useless)
    )
    raise Invalid(
        f"A {asked.statistic} {said}: all of it is public, and nothing is taken from the data",
        zh=f"统计量 {asked.statistic}："
        + "；".join([f"缺少 {'、'.join(lacks)}"] * bool(lacks) + [f"不使用 {'、'.join(useless)}"] * bool(useless))
        + "。这些均须为公开信息，不得取自数据",
        field=(lacks or useless)[0],
    )


def _nano(rho: float) -> int:
    if not 1e-9 <= rho <= 100:
        raise Invalid(
            "rho is the loss to be spent, from 0.000000001 to 100",
            zh="rho 为本次消耗的隐私损失，须为 0.000000001 至 100",
            field="rho",
        )
    return int(Decimal(str(rho)).scaleb(9))


def _axis(asked: Asked, value_type: ValueType) -> Axis | None:
    if asked.decimals is not None and (value_type is not ValueType.NUMBER or asked.keys is not None):
        raise Invalid(
            "decimals belongs to fields of type number", zh="decimals 仅用于 number 类型的字段", field="decimals"
        )
    if asked.statistic is Statistic.COUNT or asked.keys is not None:
        return None
    if value_type not in _ORDERED:
        raise Invalid(
            f"A {asked.statistic} needs a field of numbers, dates or instants",
            zh=f"统计量 {asked.statistic} 须用于数值、日期或者时间类型的字段",
            field=asked.field,
        )
    if asked.statistic is Statistic.SUM and value_type in (ValueType.DATE, ValueType.DATETIME):
        raise Invalid("Dates have no sum", zh="日期不能求和", field=asked.field)
    decimals = asked.decimals if asked.decimals is not None else 2 if value_type is ValueType.NUMBER else 0
    if not 0 <= decimals <= MOST_DECIMALS:
        raise Invalid(
            f"decimals is from 0 to {MOST_DECIMALS}", zh=f"decimals 须为 0 至 {MOST_DECIMALS}", field="decimals"
        )
    return Axis(value_type, decimals)


def _points(asked: Asked, axis: Axis) -> tuple[int, ...]:
    if asked.bounds is not None:
        return _rising(asked.bounds, axis, "bounds", 2, 2)
    if asked.edges is not None:
        return _rising(asked.edges, axis, "edges", 2, MOST_CELLS)
    return _rising(asked.candidates or (), axis, "candidates", 2, MOST_CANDIDATES)


def _rising(points: Sequence[Point], axis: Axis, what: str, least: int, most: int) -> tuple[int, ...]:
    """Bounds must stand in their order; edges and candidates are sets, so their order means nothing."""
    found = [axis.point(point, what) for point in points]
    ordered = found if what == "bounds" else sorted(found)
    if not least <= len(ordered) <= most or any(one >= other for one, other in pairwise(ordered)):
        raise Invalid(
            f"{what} has {least} to {most} different points, the lower first",
            zh=f"{what} 须有 {least} 至 {most} 个互不相同的点，由小到大",
            field=what,
        )
    return tuple(ordered)


def _keys(keys: Sequence[Key], value_type: ValueType) -> tuple[Key, ...]:
    kind = {ValueType.TEXT: str, ValueType.BOOLEAN: bool, ValueType.INTEGER: int}.get(value_type)
    well_formed = kind is not None and all(
        type(key) is kind and (not isinstance(key, str) or len(key) <= _LONGEST_KEY) for key in keys
    )
    if not well_formed or not 1 <= len(keys) <= MOST_CELLS or len(set(keys)) != len(keys):
        raise Invalid(
            f"keys has 1 to {MOST_CELLS} different values of the field's type, which is one of {_names(_KEYED)}",
            zh=f"keys 须有 1 至 {MOST_CELLS} 个互不相同且与字段类型一致的值，类型为 {_names(_KEYED)} 之一",
            field="keys",
        )
    return tuple(sorted(keys, key=lambda key: (str(type(key)), key)))


def _rank(rank: float) -> int:
    thousandths = Decimal(str(rank)).scaleb(3)
    if thousandths != thousandths.to_integral_value() or not 1 <= thousandths <= 999:
        raise Invalid(
            "rank is from 0.001 to 0.999, with at most three decimals; 0.5 is the median",
            zh="rank 须为 0.001 至 0.999，至多三位小数；0.5 为中位数",
            field="rank",
        )
    return int(thousandths)


def _names(types: frozenset[ValueType]) -> str:
    return ", ".join(sorted(types))


def _written(value_type: ValueType) -> str:
    return "an ISO 8601 text" if value_type in (ValueType.DATE, ValueType.DATETIME) else "a number"
