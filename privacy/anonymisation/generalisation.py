"""From a histogram and a policy to the label of every value: the one entry to the algorithms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final, assert_never

import numpy as np
from numpy.typing import NDArray

from privacy.anonymisation import blocks, full_domain, lattices, losses, peeling
from privacy.anonymisation.conditions import Conditions, Truths, conditions, distance
from privacy.anonymisation.histogram import Histogram, Integers
from privacy.anonymisation.joining import join_rest
from privacy.anonymisation.policies import Policy, Recoding
from privacy.errors import CannotAnonymise

# Nodes times tuples that are walked without being asked: some ten seconds. Beyond it, blocks.
WIDEST_WALK: Final = 20_000_000_000
_ATTEMPTS: Final = 5
_HAS_NUMBA: Final = find_spec("numba") is not None


@dataclass(frozen=True, slots=True, eq=False)
class Generalisation:
    """What every tuple is published as: a node of each column's hierarchy, a function of the tuple alone.

    A suppressed tuple is not to be written at all: what is left out fits no class, and rows of `*` would be one that
    nobody has checked. Its nodes are the roots. Every other tuple's class satisfies the policy, its distances measured
    from what is published. `levels` are those of a full-domain recoding. `loss` is the mean over all cells, a
    suppressed one counting 1.
    """

    histogram: Histogram
    nodes: NDArray[np.int32]  # (tuples, columns)
    suppressed: NDArray[np.bool_]
    recoding: Recoding
    levels: tuple[int, ...] | None
    loss: float
    classes: int
    suppressed_rows: int

    def labels(self, column: int) -> list[str]:
        """What each tuple's value in a column is published as."""
        names = self.histogram.hierarchies[column].node_labels
        return [names[node] for node in self.nodes[:, column].tolist()]

    def class_of_tuples(self) -> Integers:
        """The class of each tuple, counted from 0; -1 of a suppressed one. Equal labels are one class."""
        return losses.classes(self.histogram.hierarchies, self.nodes, self.suppressed)[0]


def choose(histogram: Histogram) -> Recoding:
    """Local recoding, or blocks where there are too many tuples and nodes to walk."""
    nodes = lattices.size(histogram)
    is_wide = nodes > lattices.MOST_NODES or nodes * len(histogram.rows) > WIDEST_WALK
    return Recoding.BLOCKS if is_wide else Recoding.LOCAL


def generalise(
    histogram: Histogram, policy: Policy, recoding: Recoding | None = None, *, in_numpy: bool | None = None
) -> Generalisation:
    """The labels under which the histogram satisfies the policy, by `recoding`, the policy's, or what the data suggest.

    Deterministic, and the same with and without compiled code; `in_numpy` says which, else numba where it is installed
    and pays. Raises CannotAnonymise where the policy cannot be met within its limits of suppression and loss, or
    nothing would be published; Invalid for a rule on an unknown column.
    """
    chosen = recoding or policy.recoding or choose(histogram)
    limit = int(policy.suppression * histogram.total + 1e-9)
    in_numpy = _is_small(histogram, chosen) or not _HAS_NUMBA if in_numpy is None else in_numpy
    slack = 0.0
    for _ in range(_ATTEMPTS):
        drift, found = 0.0, []
        for nodes, suppressed, levels in _recoded(histogram, policy, slack, limit, chosen, in_numpy):
            settled = _settled(histogram, policy, nodes, suppressed)
            if int(histogram.rows[settled].sum()) <= limit:
                found.append(_made(histogram, nodes, settled, chosen, levels))
            drift = max(drift, _drift(histogram, policy, suppressed))
        if found:
            return _allowed(policy, min(found, key=lambda one: one.loss))
        if drift == 0:
            break  # another attempt would be the same
        # What is left out moves what distances are measured from: by the triangle inequality, by no more than this.
        slack = max(drift, 1.5 * slack) + 1e-9
    raise _cannot(policy)


def _is_small(histogram: Histogram, recoding: Recoding) -> bool:
    """Whether NumPy is done by the time that numba is loaded."""
    tuples = len(histogram.rows)
    return tuples < 2_000 if recoding is Recoding.BLOCKS else lattices.size(histogram) * (tuples + 500) < 2_000_000


_Recoded = tuple[NDArray[np.int32], Truths, tuple[int, ...] | None]


def _recoded(
    histogram: Histogram, policy: Policy, slack: float, limit: int, recoding: Recoding, in_numpy: bool
) -> Iterator[_Recoded]:
    """Nodes, what is left out, and levels: of local recodings one way for each `_limits`."""
    wanted = conditions(histogram, policy, slack=slack)
    match recoding:
        case Recoding.FULL_DOMAIN:
            node = full_domain.best_node(histogram, wanted, limit, in_numpy=in_numpy)
            if node is not None:
                yield full_domain.nodes(histogram, node), node.suppressed, node.levels
            return
        case Recoding.LOCAL:
            found = peeling.peel(histogram, wanted, in_numpy=in_numpy)
        case Recoding.BLOCKS:
            found = blocks.cut(histogram, wanted, in_numpy=in_numpy)
        case _:
            assert_never(recoding)
    for allowed in _limits(wanted, limit):
        joined = join_rest(histogram, wanted, found, allowed)
        yield tightened(histogram, joined), joined < 0, None


def _limits(wanted: Conditions, limit: int) -> list[int]:
    """How many rows may be left over before they are joined with classes: with a distance to keep, leaving fewer out
    can cost less, since what is left out moves what it is measured from.
    """
    return sorted({limit, limit // 4, 0} if any(rule.t <= 1 for rule in wanted.rules) else {limit})


def tightened(histogram: Histogram, classes: Integers) -> NDArray[np.int32]:
    """The smallest nodes over what is in each class, by tuple; the roots where there is none (-1)."""
    nodes = _roots(histogram)
    order = np.argsort(classes, kind="stable")
    order = order[np.searchsorted(classes[order], 0) :]
    if not len(order):
        return nodes
    starts = np.flatnonzero(np.diff(classes[order], prepend=-1))
    sizes = np.diff(starts, append=len(order))
    for column, hierarchy in enumerate(histogram.hierarchies):
        codes = histogram.tuples[order, column]
        covering = hierarchy.covering(np.minimum.reduceat(codes, starts), np.maximum.reduceat(codes, starts))
        nodes[order, column] = np.repeat(covering, sizes)
    return nodes


def _roots(histogram: Histogram) -> NDArray[np.int32]:
    roots = np.asarray([hierarchy.root for hierarchy in histogram.hierarchies], dtype=np.int32)
    return np.tile(roots, (len(histogram.rows), 1))


def _drift(histogram: Histogram, policy: Policy, suppressed: Truths) -> float:
    """How far the values of what is published are from those of all, by the rule where that is most."""
    everything = conditions(histogram, policy).rules
    kept = conditions(histogram, policy, published=~suppressed).rules
    pairs = zip(everything, kept, strict=True)
    return max(
        (float(distance(part.reference[None], whole.reference, whole.ordered)[0]) for whole, part in pairs), default=0.0
    )


def _settled(histogram: Histogram, policy: Policy, nodes: NDArray[np.int32], suppressed: Truths) -> Truths:
    """Without the classes that break the policy measured from what is published, until none does."""
    out = suppressed.copy()
    while not out.all():
        owner, count = losses.classes(histogram.hierarchies, nodes, out)
        kept = np.flatnonzero(~out)
        good = conditions(histogram, policy, published=~out).hold(histogram, kept, owner[kept], count)
        if good.all():
            break
        out[kept[~good[owner[kept]]]] = True
    return out


def _made(
    histogram: Histogram,
    nodes: NDArray[np.int32],
    suppressed: Truths,
    recoding: Recoding,
    levels: tuple[int, ...] | None,
) -> Generalisation:
    nodes = np.where(suppressed[:, None], _roots(histogram), nodes)
    return Generalisation(
        histogram=histogram,
        nodes=nodes,
        suppressed=suppressed,
        recoding=recoding,
        levels=levels,
        loss=losses.loss(histogram, nodes, suppressed),
        classes=losses.classes(histogram.hierarchies, nodes, suppressed)[1],
        suppressed_rows=int(histogram.rows[suppressed].sum()),
    )


def _allowed(policy: Policy, found: Generalisation) -> Generalisation:
    if found.classes == 0 or (policy.max_loss is not None and found.loss > policy.max_loss):
        raise _cannot(policy)
    return found


def _cannot(policy: Policy) -> CannotAnonymise:
    return CannotAnonymise(
        f"no generalisation has {policy.k} persons in every class within the limits of suppression and loss",
        zh=f"在抑制与损失的限度内，没有一种泛化能使每个等价类至少有 {policy.k} 人并满足策略",
        k=policy.k,
    )
