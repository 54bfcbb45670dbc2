"""The candidate of a release, in memory: the file, its outline, its figures. Nothing of it is on a disk in clear.

What a row became is worked out a second time here, row by row, so that persons can be counted in each class and the
file be held against it; who is in which class is forgotten with this module's variables.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privacy.anonymisation import checking, files
from privacy.anonymisation.engine import Form
from privacy.anonymisation.files import Done
from privacy.anonymisation.generalisation import Generalisation
from privacy.anonymisation.hierarchies import Hierarchy
from privacy.anonymisation.hierarchy_specs import Kind, Spec, as_json
from privacy.anonymisation.histogram import packed
from privacy.anonymisation.lineage import Outline, Path, path_of
from privacy.anonymisation.measured import Measured
from privacy.anonymisation.policies import Policy
from privacy.anonymisation.release_requests import Role
from privacy.errors import CannotAnonymise, Invalid, OutputDiffers
from privacy.values import Value

FLAT: Final = Spec(Kind.FLAT)


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """What a release is made of: columns of text, the role of each, and whose each row is (a number)."""

    columns: Mapping[str, list[str]] = field(repr=False)
    roles: Mapping[str, Role]
    hierarchies: Mapping[str, Spec]
    persons: list[int] = field(repr=False)

    def named(self, role: Role) -> tuple[str, ...]:
        return tuple(name for name, one in self.roles.items() if one is role)


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """A candidate. `by_person` are the figures of the written rows with persons counted, by the second opinion;
    `published` the columns of the file as they were read back from it."""

    csv: bytes = field(repr=False)
    parquet: bytes = field(repr=False)
    done: Done = field(repr=False)
    by_person: Measured
    outline: Outline
    published: Mapping[str, list[str]] = field(repr=False)
    is_in_source_order: bool


def make(rows: Rows, policy: Policy) -> Made:
    """Anonymise, twice written, once decided: each file has an order of its own that nobody knows.

    Raises `CannotAnonymise`, `UnknownValue`, `Invalid`, `OutputDiffers`, `TooLarge`.
    """
    quasi, sensitive, kept = rows.named(Role.QUASI), rows.named(Role.SENSITIVE), rows.named(Role.KEEP)
    columns = {name: rows.columns[name] for name in (*quasi, *sensitive, *kept)}
    hierarchies = {name: rows.hierarchies.get(name, FLAT) for name in quasi}

    def written(form: Form) -> Done:
        return files.anonymise(
            columns, form, quasi=hierarchies, policy=policy, sensitive=sensitive, kept=kept, persons=rows.persons
        )

    done = written(Form.CSV)
    if not done.after.rows or done.content is None:
        raise CannotAnonymise("No row can be published under this policy", zh="在此策略下没有任何行可以公布")
    parquet = written(Form.PARQUET).content
    published = table_of(done.content)
    labels, members = _relabelled(rows, quasi, done.generalisation)
    whole = {**labels, **{name: _taken(rows.columns[name], members) for name in (*sensitive, *kept)}}
    _hold_against(published, whole)
    by_person = checking.measure(whole, quasi, sensitive, [rows.persons[n] for n in members])
    return Made(
        csv=done.content,
        parquet=parquet or b"",
        done=done,
        by_person=by_person,
        outline=_outline(rows, policy.k, done.generalisation, whole, members),
        published=published,
        is_in_source_order=_same_order(published, whole),
    )


def table_of(content: bytes) -> dict[str, list[str]]:
    """A CSV as columns of text, with UTF-8's mark or without. Raises `Invalid`, with nothing of the file."""
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        names = next(reader, [])
        rows = list(reader)
    except (UnicodeDecodeError, csv.Error):
        rows, names = [], []
    if not names or len(set(names)) != len(names) or any(len(row) != len(names) for row in rows):
        raise Invalid("The file is no CSV in UTF-8 whose rows are all alike", zh="文件不是行列一致的 UTF-8 CSV")
    return {name: [row[n] for row in rows] for n, name in enumerate(names)}


def text_of(value: Value) -> str:
    """A value as a release has it; a missing one is the empty text."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer():
            return str(int(value))
        case list():
            return "; ".join(value)
        case _:
            return str(value)


def _relabelled(rows: Rows, quasi: Sequence[str], chosen: Generalisation) -> tuple[dict[str, list[str]], list[int]]:
    """The labels of each row that is published, and which rows of the source those are."""
    histogram = chosen.histogram
    codes = [one.encode(rows.columns[name]) for name, one in zip(quasi, histogram.hierarchies, strict=True)]
    sizes = [len(one.leaves) for one in histogram.hierarchies]
    known = packed([histogram.tuples[:, n] for n in range(len(quasi))], sizes)
    order = np.argsort(known)
    place = order[np.searchsorted(known, packed(codes, sizes), sorter=order)]
    members: list[int] = np.flatnonzero(~chosen.suppressed[place]).tolist()
    found = {}
    for n, name in enumerate(quasi):
        names = histogram.hierarchies[n].node_labels
        found[name] = [names[node] for node in chosen.nodes[place[members], n].tolist()]
    return found, members


def _hold_against(published: Mapping[str, list[str]], expected: Mapping[str, list[str]]) -> None:
    """The file holds exactly the rows that were decided, in whatever order. Raises `OutputDiffers`."""
    if published.keys() != expected.keys():
        raise OutputDiffers
    names = sorted(expected)
    if sorted(zip(*(published[name] for name in names), strict=True)) != sorted(
        zip(*(expected[name] for name in names), strict=True)
    ):
        raise OutputDiffers


def _same_order(published: Mapping[str, list[str]], source: Mapping[str, list[str]]) -> bool:
    """Whether the rows stand as the source has them, of which at least two differ."""
    names = sorted(source)
    there = list(zip(*(published[name] for name in names), strict=True))
    here = list(zip(*(source[name] for name in names), strict=True))
    return there == here and len(set(here)) > 10


def _taken(column: Sequence[str], members: Sequence[int]) -> list[str]:
    return [column[n] for n in members]


def _outline(
    rows: Rows, k: int, chosen: Generalisation, whole: Mapping[str, list[str]], members: Sequence[int]
) -> Outline:
    """Classes by their labels. Raises `CannotAnonymise` where one label stands for two nodes that were published."""
    quasi = rows.named(Role.QUASI)
    paths: list[tuple[Path, ...]] = []
    numbers: list[dict[str, int]] = []
    for n, hierarchy in enumerate(chosen.histogram.hierarchies):
        known = _paths(hierarchy, np.unique(chosen.nodes[~chosen.suppressed, n]))
        if len({path[0] for path in known}) < len(known):
            raise CannotAnonymise(
                f"Two published labels of {quasi[n]} are the same word", zh=f"{quasi[n]} 有两个公布的标签文字相同"
            )
        paths.append(known)
        numbers.append({path[0]: number for number, path in enumerate(known)})
    classes: dict[tuple[int, ...], int] = {}
    of_row = [
        classes.setdefault(tuple(number[label] for number, label in zip(numbers, labels, strict=True)), len(classes))
        for labels in zip(*(whole[name] for name in quasi), strict=True)
    ]
    persons: list[set[int]] = [set() for _ in classes]
    counts = [0] * len(classes)
    values: dict[str, tuple[dict[str, int], ...]] = {
        name: tuple({} for _ in classes) for name in whole if name not in quasi
    }
    for at, (row, number) in enumerate(zip(members, of_row, strict=True)):
        persons[number].add(rows.persons[row])
        counts[number] += 1
        for name, of_class in values.items():
            value = whole[name][at]
            of_class[number][value] = of_class[number].get(value, 0) + 1
    return Outline(
        k=k,
        roles={name: role.value for name, role in rows.roles.items()},
        specs={name: said(rows.hierarchies.get(name, FLAT), paths[n]) for n, name in enumerate(quasi)},
        columns=quasi,
        paths=tuple(paths),
        classes=tuple(classes),
        rows=tuple(counts),
        persons=tuple(len(one) for one in persons),
        values=values,
        most=max(np.unique([rows.persons[n] for n in members], return_counts=True)[1].tolist(), default=1),
    )


def said(spec: Spec, paths: Sequence[Path]) -> str:
    """The hierarchy by which a column was generalised. Intervals are written otherwise where not all are whole."""
    import msgspec

    is_bracketed = any(label.startswith("[") for path in paths for label in path)
    return msgspec.json.encode([as_json(spec), is_bracketed]).decode()


def _paths(hierarchy: Hierarchy, nodes: NDArray[np.int32]) -> tuple[Path, ...]:
    found = []
    for node in nodes.tolist():
        level = max(n for n, offset in enumerate(hierarchy.offsets) if offset <= node)
        leaf = int(np.argmax(hierarchy.groups[level] == node - hierarchy.offsets[level]))
        found.append(
            path_of(
                [hierarchy.labels[above][hierarchy.groups[above][leaf]] for above in range(level, hierarchy.levels)]
            )
        )
    return tuple(found)
