"""Small tables of persons that Hypothesis makes, and what a policy means, row by row and in plain Python."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from privacy.anonymisation.generalisation import Generalisation
from privacy.anonymisation.hierarchies import Hierarchy, flat, of_paths
from privacy.anonymisation.histogram import Histogram, Integers, of_codes
from privacy.anonymisation.policies import Policy, SensitiveRule


@dataclass(frozen=True)
class Made:
    """`rows` of values, whose they are, and a sensitive value of each, with the hierarchies of the columns."""

    hierarchies: tuple[Hierarchy, ...]
    rows: tuple[tuple[str, ...], ...]
    persons: tuple[int, ...]
    sensitive: tuple[str, ...]

    def histogram(self) -> tuple[Histogram, Integers]:
        """With the tuple of each row."""
        columns = zip(*self.rows, strict=True)
        codes = [hierarchy.encode(column) for hierarchy, column in zip(self.hierarchies, columns, strict=True)]
        values = sorted(set(self.sensitive))
        found = np.asarray([values.index(value) for value in self.sensitive], dtype=np.int32)
        return of_codes(
            self.hierarchies, codes, sensitive=[("illness", values, found)], persons=np.asarray(self.persons)
        )


@st.composite
def trees(draw: st.DrawFn, name: str = "column") -> Hierarchy:
    """Two to seven values under one to three levels."""
    leaves = draw(st.integers(2, 7))
    level = st.lists(st.integers(0, 2), min_size=leaves, max_size=leaves)
    parents = draw(st.lists(level, max_size=2))
    # Each level is told by all above it, so that the levels nest.
    paths = []
    for leaf in range(leaves):
        above = [level[leaf] for level in parents]
        labels = ["/".join(map(str, above[index:])) for index in range(len(above))]
        paths.append((f"{name}{leaf}", *(f"<{label}>" for label in labels), "*"))
    return of_paths(name, paths)


@st.composite
def tables(draw: st.DrawFn) -> Made:
    """Up to 60 rows of up to 40 persons in one to three columns."""
    hierarchies = tuple(draw(trees(f"c{number}-")) for number in range(draw(st.integers(1, 3))))
    count = draw(st.integers(1, 60))
    row = st.tuples(*(st.sampled_from(hierarchy.leaves) for hierarchy in hierarchies))
    return Made(
        hierarchies=hierarchies,
        rows=tuple(draw(st.lists(row, min_size=count, max_size=count))),
        persons=tuple(draw(st.lists(st.integers(0, draw(st.integers(0, 40))), min_size=count, max_size=count))),
        sensitive=tuple(draw(st.lists(st.sampled_from("abcd"), min_size=count, max_size=count))),
    )


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """With any of the conditions, or none."""
    rule = SensitiveRule(
        "illness",
        distinct_l=draw(st.none() | st.integers(1, 3)),
        entropy_l=draw(st.none() | st.floats(1, 2.5)),
        t=draw(st.none() | st.floats(0.05, 1)),
        ordered=draw(st.booleans()),
    )
    return Policy(
        k=draw(st.integers(1, 6)),
        suppression=draw(st.sampled_from((0.0, 0.1, 0.5, 1.0))),
        sensitive=draw(st.sampled_from(((), (rule,)))),
    )


def skewed() -> Histogram:
    """Two of ten are in a class where all have the same illness; together all are as everybody is."""
    codes = np.asarray([0] * 2 + [1] * 8, dtype=np.int32)
    illnesses = np.asarray([0] * 2 + [0, 1] * 4, dtype=np.int32)
    return of_codes([flat("place", ["a", "b"])], [codes], sensitive=[("illness", ["p", "q"], illnesses)])[0]


def published(made: Made, found: Generalisation, tuple_of_row: Integers) -> dict[tuple[str, ...], list[int]]:
    """The rows of each class, by its labels; without the suppressed ones."""
    labels = [found.labels(column) for column in range(len(made.hierarchies))]
    classes: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for row, number in enumerate(tuple_of_row.tolist()):
        if not found.suppressed[number]:
            classes[tuple(column[number] for column in labels)].append(row)
    return classes


def breaks(made: Made, classes: Mapping[tuple[str, ...], Sequence[int]], policy: Policy) -> list[str]:
    """What the classes of a release break of a policy, by its definition."""
    everybody = [row for rows in classes.values() for row in rows]
    return [broken for rows in classes.values() for broken in broken_by(made, rows, everybody, policy)]


def broken_by(made: Made, rows: Sequence[int], everybody: Sequence[int], policy: Policy) -> list[str]:
    """What one class breaks, beside everybody."""
    found = ["k"] if len({made.persons[row] for row in rows}) < policy.k else []
    for rule in policy.sensitive:
        whole = Counter(made.sensitive[row] for row in everybody)
        found += _broken(Counter(made.sensitive[row] for row in rows), whole, rule)
    return found


def _broken(ours: Counter[str], whole: Counter[str], rule: SensitiveRule) -> list[str]:
    parts = {value: count / ours.total() for value, count in ours.items()}
    found = []
    if rule.distinct_l is not None and len(parts) < rule.distinct_l:
        found.append("distinct l")
    if rule.entropy_l is not None:
        entropy = -sum(part * math.log(part) for part in parts.values())
        if entropy < math.log(rule.entropy_l) - 1e-9:
            found.append("entropy l")
    if rule.t is not None and _distance(parts, whole, rule.ordered) > rule.t + 1e-9:
        found.append("t")
    return found


def _distance(parts: Mapping[str, float], whole: Counter[str], ordered: bool) -> float:
    differences = [parts.get(value, 0.0) - whole[value] / whole.total() for value in sorted(whole)]
    if not ordered:
        return sum(map(abs, differences)) / 2
    carried = [abs(sum(differences[: place + 1])) for place in range(len(differences))]
    return sum(carried) / max(len(differences) - 1, 1)
