"""From rows in an engine to rows in its target: count, choose, write, and count again what was written.

1. Every column of the source has a role, or nothing is read.
2. The engine counts the tuples (`engine.Engine.histogram`).
3. The labels are chosen on the tuples alone (`generalisation.generalise`); what a tuple becomes is a function of it.
4. The engine writes the rows of the classes; what is suppressed is not written.
5. The engine counts what stands in the target. It must be the classes that were decided, label by label and row by row:
   then whatever holds of the decision, k of persons included, holds of what was written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from privacy.anonymisation import hierarchy_specs
from privacy.anonymisation.engine import Counted, Engine, Published, Roles, Target
from privacy.anonymisation.generalisation import Generalisation, generalise
from privacy.anonymisation.hierarchies import Hierarchy
from privacy.anonymisation.hierarchy_specs import Spec
from privacy.anonymisation.histogram import Histogram, of_pairs, of_tuples, packed
from privacy.anonymisation.measured import WORST, Cells, Classes, Measured, figures
from privacy.anonymisation.policies import Policy
from privacy.errors import Invalid, OutputDiffers, Unclassified

Integers = NDArray[np.int64]


class Stage(StrEnum):
    READ = "read"
    CHOOSE = "choose"
    WRITE = "write"
    CHECK = "check"


Progress = Callable[[Stage], None]
"""Is told which stage begins."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What was decided and is written. `columns` are the target's, in order."""

    roles: Roles
    columns: tuple[str, ...]
    hierarchies: tuple[Hierarchy, ...]
    counted: Counted
    generalisation: Generalisation
    published: Published
    found: Counted

    def before(self) -> Measured:
        """The figures of the source; its smallest classes are people's own values, so none of them is listed."""
        return measured(self.counted, worst=0)

    def after(self) -> Measured:
        """The figures of what stands in the target, as it was counted there."""
        return measured(self.found)

    @property
    def persons_k(self) -> int:
        """The persons that every class is proved to hold at least; 0 where nothing was written."""
        weights = _summed(self.published.class_of, self.counted.weights, len(self.published.classes))
        return int(-(-weights.min(initial=np.iinfo(np.int64).max) // self.counted.unit)) if len(weights) else 0


def run(
    engine: Engine,
    target: Target,
    roles: Roles,
    hierarchies: Mapping[str, Hierarchy | Spec],
    policy: Policy,
    progress: Progress = lambda stage: None,
) -> Outcome:
    """Anonymise the source of an open engine into `target`.

    Raises Unclassified for columns without a role; Invalid for a role without a column, a quasi-identifier without a
    hierarchy and a rule on a column that is not sensitive; UnknownValue for a value that a hierarchy does not have;
    CannotAnonymise; OutputDiffers, after which the caller removes the target.
    """
    columns = engine.columns()
    classify(columns, roles, policy)
    if missing := [name for name in roles.quasi if name not in hierarchies]:
        raise Invalid(f"No hierarchy for {', '.join(missing)}", zh=f"{'、'.join(missing)} 没有泛化层级")
    progress(Stage.READ)
    counted = engine.histogram(roles)
    progress(Stage.CHOOSE)
    built = tuple(
        _built(hierarchies[name], name, values) for name, values in zip(roles.quasi, counted.values, strict=True)
    )
    histogram, place = as_histogram(counted, built)
    generalisation = generalise(histogram, policy)
    published = as_published(counted, generalisation, place)
    progress(Stage.WRITE)
    engine.write(roles, published, target)
    progress(Stage.CHECK)
    found = engine.recheck(roles, target)
    confirm(published, found)
    outcome = Outcome(roles, roles.published(columns), built, counted, generalisation, published, found)
    if outcome.persons_k < policy.k:
        raise OutputDiffers("A class that was written holds fewer persons than the policy asks for")
    return outcome


def classify(columns: Sequence[str], roles: Roles, policy: Policy) -> None:
    """Raises Unclassified, with every column that has no role, and Invalid for roles and rules without a column."""
    if unknown := [name for name in columns if name not in roles.named]:
        listed = ", ".join(unknown)
        raise Unclassified(
            f"Nobody has said what these columns are: {listed}", zh=f"这些列没有角色：{listed}", columns=unknown
        )
    if absent := [name for name in roles.named if name not in columns]:
        raise Invalid(f"The table has no column {', '.join(absent)}", zh=f"表中没有列 {'、'.join(absent)}")
    ruled = [rule.column for rule in policy.sensitive]
    if strange := [name for name in ruled if name not in roles.sensitive]:
        raise Invalid(f"Not a sensitive column: {', '.join(strange)}", zh=f"不是敏感列：{'、'.join(strange)}")


def as_histogram(counted: Counted, hierarchies: Sequence[Hierarchy]) -> tuple[Histogram, Integers]:
    """The histogram of what was counted, and the place in it of each counted tuple: several texts may be one leaf."""
    leaves = [
        hierarchy.encode(values)[counted.tuples[:, n]]
        for n, (hierarchy, values) in enumerate(zip(hierarchies, counted.values, strict=True))
    ]
    keys = packed(leaves, [len(hierarchy.leaves) for hierarchy in hierarchies])
    _, first, place = np.unique(keys, return_index=True, return_inverse=True)
    sensitive = [
        of_pairs(one.name, one.values, len(first), place[one.tuples], one.codes, one.counts)
        for one in counted.sensitive
    ]
    histogram = of_tuples(
        hierarchies,
        np.stack([column[first] for column in leaves], axis=1),
        _summed(place, counted.rows, len(first)),
        _summed(place, counted.weights, len(first)),
        counted.unit,
        sensitive,
    )
    return histogram, place.astype(np.int64)


def as_published(counted: Counted, generalisation: Generalisation, place: Integers) -> Published:
    """The labels of each counted tuple, and of those labels no more than are written."""
    written = ~generalisation.suppressed
    labels, codes = [], []
    for n, hierarchy in enumerate(generalisation.histogram.hierarchies):
        nodes, of_tuple = np.unique(generalisation.nodes[written, n], return_inverse=True)
        names = [hierarchy.node_labels[node] for node in nodes.tolist()]
        known = tuple(sorted(set(names)))
        index = {label: at for at, label in enumerate(known)}
        labels.append(known)
        codes.append(np.asarray([index[name] for name in names], dtype=np.int32)[of_tuple])
    _, first, of_written = np.unique(
        packed(codes, [max(1, len(known)) for known in labels]), return_index=True, return_inverse=True
    )
    class_of = np.full(len(written), -1, dtype=np.int32)
    class_of[written] = of_written
    class_of = class_of[place]
    return Published(
        counted=counted,
        labels=tuple(labels),
        classes=np.stack([column[first] for column in codes], axis=1),
        class_of=class_of,
        rows=_summed(class_of, counted.rows, len(first)),
    )


def confirm(published: Published, found: Counted) -> None:
    """Raises OutputDiffers unless `found`, counted from what was written, is exactly what was to be written."""
    sizes = [len(known) + 1 for known in published.labels]
    codes = []
    for n, values in enumerate(found.values):
        index = {label: at for at, label in enumerate(published.labels[n])}
        stranger = len(published.labels[n])
        codes.append(np.asarray([index.get(value, stranger) for value in values], np.int32)[found.tuples[:, n]])
    there, here = packed(codes, sizes), packed(list(published.classes.T), sizes)
    if len(there) == len(here):
        there_order, here_order = np.argsort(there), np.argsort(here)
        same = np.array_equal(there[there_order], here[here_order])
        if same and np.array_equal(found.rows[there_order], published.rows[here_order]):
            return
    raise OutputDiffers


def measured(found: Counted, worst: int = WORST) -> Measured:
    """What was counted, in the figures of the second opinion, which shares no code with the choice of the labels."""
    labels = tuple(np.asarray(values, dtype=np.object_)[found.tuples[:, n]] for n, values in enumerate(found.values))
    cells = []
    for one in found.sensitive:
        by = np.argsort(one.tuples, kind="stable")
        cells.append(Cells(one.name, len(one.values), one.tuples[by], one.codes[by].astype(np.int64), one.counts[by]))
    return figures(Classes(found.columns, labels, found.rows, found.persons, found.people), cells, worst=worst)


def _built(hierarchy: Hierarchy | Spec, name: str, values: Sequence[str]) -> Hierarchy:
    return hierarchy_specs.build(hierarchy, name, values) if isinstance(hierarchy, Spec) else hierarchy


def _summed(place: NDArray[np.integer], counts: Integers, size: int) -> Integers:
    """The counts of each place; -1 is none."""
    found = np.zeros(size, dtype=np.int64)
    there = place >= 0
    np.add.at(found, place[there], counts[there])
    return found
