"""What a generalisation costs the reader of a release.

loss: the mean over all cells of what is lost by its label (`Hierarchy.widths`), a suppressed cell counting 1.
Average class size (LeFevre 2006): rows / (classes * k), 1 being the best there is.
Discernibility (Bayardo and Agrawal 2005): the sum of squared class sizes, each suppressed row counting all rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from privacy.anonymisation.conditions import Floats, Truths
from privacy.anonymisation.hierarchies import Hierarchy
from privacy.anonymisation.histogram import Histogram, Integers, packed


def per_row(hierarchies: Sequence[Hierarchy], nodes: NDArray[np.int32]) -> Floats:
    """The mean loss of a row of each tuple, in [0, 1]."""
    summed = np.zeros(len(nodes))
    for column, hierarchy in enumerate(hierarchies):
        summed += hierarchy.node_loss[nodes[:, column]]
    mean: Floats = summed / len(hierarchies)
    return mean


def loss(histogram: Histogram, nodes: NDArray[np.int32], suppressed: Truths) -> float:
    """In [0, 1]; 0 of no rows."""
    lost = np.where(suppressed, 1.0, per_row(histogram.hierarchies, nodes))
    return float(lost @ histogram.rows) / max(histogram.total, 1)


def classes(hierarchies: Sequence[Hierarchy], nodes: NDArray[np.int32], suppressed: Truths) -> tuple[Integers, int]:
    """The class of each tuple, -1 of a suppressed one, and how many there are.

    What reads the same is one class: nodes of different levels may have the same label.
    """
    kept = np.flatnonzero(~suppressed)
    found = np.full(len(nodes), -1, dtype=np.int64)
    if not len(kept):
        return found, 0
    columns, sizes = [], []
    for column, hierarchy in enumerate(hierarchies):
        seen: dict[str, int] = {}
        label = np.asarray([seen.setdefault(text, len(seen)) for text in hierarchy.node_labels], dtype=np.int32)
        columns.append(label[nodes[kept, column]])
        sizes.append(len(seen))
    distinct, inverse = np.unique(packed(columns, sizes), return_inverse=True)
    found[kept] = inverse
    return found, len(distinct)


def class_rows(histogram: Histogram, of_tuples: Integers, count: int) -> Integers:
    """The rows of each class."""
    sizes = np.zeros(count, dtype=np.int64)
    kept = of_tuples >= 0
    np.add.at(sizes, of_tuples[kept], histogram.rows[kept])
    return sizes


def average_class_size(rows: int, classes: int, k: int) -> float:
    """Published rows over `k` times the classes; 0 of no class."""
    return rows / (classes * k) if classes else 0.0


def discernibility(sizes: Integers, suppressed_rows: int) -> int:
    """Of all class sizes in rows, and the rows left out."""
    return sum(int(size) ** 2 for size in sizes) + suppressed_rows * (int(sizes.sum()) + suppressed_rows)
