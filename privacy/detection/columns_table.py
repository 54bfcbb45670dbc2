"""What a table's columns say together: tracks, people under 14, and which columns tell people apart in combination."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import combinations
from typing import Final

from privacy.detection.columns import Column, Evidence, Standing, column_of, raised
from privacy.detection.columns_cells import day_of, folded
from privacy.detection.columns_kinds import KINDS, Role
from privacy.detection.columns_profile import Profile
from privacy.detection.columns_sources import Sample
from privacy.levels import CHILD_YEARS, Level
from privacy.manifest import ValueType

_LEAST_ROWS: Final = 50  # of fewer rows everybody stands alone by chance
_MOST_CANDIDATES: Final = 16
_ALONE: Final = 0.2  # of the rows: a pair that leaves a fifth more of the people alone tells people apart
_VALUES: Final = 10  # of a column; with fewer, a small sample stands apart by chance
_CHILDREN: Final = 0.02


@dataclass(frozen=True, slots=True)
class Table:
    """`alone` is the share of the sampled rows that no other equals in all quasi-identifiers; None of too few rows.

    `under_14` counts sampled rows about people under that age, of the `aged` rows that tell an age.
    """

    name: str
    rows: int
    sampled: int
    columns: tuple[Column, ...]
    alone: float | None
    under_14: int
    aged: int


def examine(sample: Sample, today: date) -> Table:
    """Every column of the sample, and what they are together. Pure."""
    profiles = [Profile(name, [row[place] for row in sample.rows]) for place, name in enumerate(sample.columns)]
    columns = [column_of(profile) for profile in profiles]
    columns = _coordinates(columns, profiles)
    columns = _tracks(columns)
    columns, under_14, aged = _children(columns, profiles, today)
    columns = _telling_apart(columns, profiles)
    return Table(
        sample.source, sample.total, len(sample.rows), tuple(columns), _alone(columns, profiles), under_14, aged
    )


def _coordinates(columns: Sequence[Column], profiles: Sequence[Profile]) -> list[Column]:
    """Two columns of broken degrees beside each other, whatever they are called."""
    found = list(columns)
    for place in range(len(found) - 1):
        pair = found[place : place + 2]
        if all(one.kind is None for one in pair) and _is_pair(*profiles[place : place + 2]):
            reason = Evidence("look", "相邻两列形如经纬度", "with the column beside it, looks like degrees of a place")
            for offset, one in enumerate(pair):
                found[place + offset] = replace(
                    raised(replace(one, evidence=()), KINDS["coordinate"], reason), standing=Standing.INDICATED
                )
    return found


def _is_pair(first: Profile, second: Profile) -> bool:
    limits = [
        max((abs(float(cell)) for cell in one.distinct), default=999.0) if _is_fine(one) else 999.0
        for one in (first, second)
    ]
    return min(limits) <= 90 and max(limits) <= 180


def _is_fine(profile: Profile) -> bool:
    """Numbers with four places after the point or more: ten metres on the ground, and hardly ever money."""
    if profile.type is not ValueType.NUMBER or len(profile.distinct) < 10:
        return False
    if any("," in cell or not cell.strip("+-").replace(".", "", 1).isdigit() for cell in profile.distinct):
        return False
    return profile.share(sum(1 for cell in profile.distinct if len(cell.partition(".")[2]) >= 4)) >= 0.8


def _tracks(columns: Sequence[Column]) -> list[Column]:
    """Where somebody was, with when: a track (PIPL 28), which a place alone is not."""
    when = next((one for one in columns if one.kind is not None and one.kind.name == "moment"), None)
    if when is None or when.type is not ValueType.DATETIME:
        return list(columns)
    reason = Evidence(
        "track", f"与时间列“{when.name}”同现，构成行踪轨迹（个保法第28条）", f"with {when.name!r} a track (PIPL-28)"
    )
    return [
        raised(one, KINDS["track"], reason) if one.kind is not None and one.kind.name == "coordinate" else one
        for one in columns
    ]


def _children(columns: Sequence[Column], profiles: Sequence[Profile], today: date) -> tuple[list[Column], int, int]:
    """All data of somebody under 14 is sensitive (PIPL 28): the column that tells it is raised."""
    found, most, of = list(columns), 0, 0
    for place, (one, profile) in enumerate(zip(columns, profiles, strict=True)):
        if one.kind is None or one.kind.name not in ("age", "birth_date"):
            continue
        ages = list(_ages(profile, one.kind.name, today))
        young = sum(1 for age in ages if 0 <= age < CHILD_YEARS)
        if young > most:
            most, of = young, len(ages)
        if young >= 2 and young >= len(ages) * _CHILDREN:
            reason = Evidence(
                "under-14", "含未满十四周岁者（个保法第28条）", "are of people under 14 (PIPL-28)", young, len(ages)
            )
            found[place] = replace(one, role=Role.SENSITIVE, level=Level.L4, evidence=(*one.evidence, reason))
    return found, most, of


def _ages(profile: Profile, kind: str, today: date) -> Iterator[int]:
    for cell in profile.filled:
        if kind == "birth_date":
            born = day_of(folded(cell))
            if born is not None:
                yield today.year - born.year - ((today.month, today.day) < (born.month, born.day))
        elif folded(cell).isdigit():
            yield int(folded(cell)[:3])


# --- in combination


def _telling_apart(columns: Sequence[Column], profiles: Sequence[Profile]) -> list[Column]:
    """Columns that nothing else is known of and that, with one other, leave a fifth of the people alone."""
    found = list(columns)
    if len(profiles[0].cells if profiles else ()) < _LEAST_ROWS:
        return found
    candidates = [place for place, one in enumerate(columns) if _may_combine(one)][:_MOST_CANDIDATES]
    alone = {place: _share_alone([profiles[place].cells]) for place in candidates}
    for first, second in combinations(candidates, 2):
        unknown = [place for place in (first, second) if columns[place].role is Role.NONE]
        if not unknown:
            continue
        share = _share_alone([profiles[first].cells, profiles[second].cells])
        if share - max(alone[first], alone[second]) < _ALONE:
            continue
        for place in unknown:
            other = columns[second if place == first else first].name
            if found[place].role is Role.NONE:
                reason = Evidence(
                    "combination",
                    f"与“{other}”组合后 {share:.0%} 的样本行唯一",
                    f"with {other!r} leaves {share:.0%} of the sampled rows alone",
                )
                found[place] = replace(found[place], role=Role.QUASI, evidence=(*found[place].evidence, reason))
    return found


def _may_combine(column: Column) -> bool:
    """Facts that repeat: what hardly repeats is a number, a name or a text, and tells by itself."""
    if column.holds or column.role in (Role.SENSITIVE, Role.DIRECT) or column.type is ValueType.BOOLEAN:
        return False
    if column.kind is not None and (column.kind.scan or column.kind.name in ("moment", "amount", "balance", "count")):
        return False
    return _VALUES <= column.distinct <= column.filled * 0.5


def _alone(columns: Sequence[Column], profiles: Sequence[Profile]) -> float | None:
    quasi = [profile.cells for one, profile in zip(columns, profiles, strict=True) if one.role is Role.QUASI]
    if not quasi or len(quasi[0]) < _LEAST_ROWS:
        return None
    return _share_alone(quasi)


def _share_alone(cells: Sequence[Sequence[str | None]]) -> float:
    """Rows whose combination occurs once, of all rows."""
    counts = Counter(zip(*cells, strict=True))
    return sum(1 for count in counts.values() if count == 1) / len(cells[0])
