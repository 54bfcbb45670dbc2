"""Two releases of the same people, laid over each other: who is alone in both classes together.

Two releases may each be k-anonymous and yet, joined by whoever has both, single people out: of Adult at k = 5 twice,
by two algorithms, nearly half of the rows stand in joint cells of fewer than five (Ganta 2008, "composition attacks").
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privacy.errors import Invalid

OUT: Final = -1


@dataclass(frozen=True, slots=True, eq=False)
class Membership:
    """The class of each row of a release, or `OUT` where it was suppressed. Never published.

    `keys` say which row of the source it is, each once, in anything that sorts; `persons` whose it is, without which
    every row is a person. Raises Invalid where their lengths differ or a key stands twice.
    """

    keys: NDArray[np.generic]
    classes: NDArray[np.int64]
    persons: NDArray[np.generic] | None = None

    def __post_init__(self) -> None:
        lengths = {len(self.keys), len(self.classes)} | ({len(self.persons)} if self.persons is not None else set())
        if len(lengths) > 1:
            raise Invalid("keys, classes and persons are not equally many", zh="键、类别与个人数量不一致")
        if len(np.unique(self.keys)) != len(self.keys):
            raise Invalid("a row has two classes", zh="同一行属于两个类别")


@dataclass(frozen=True, slots=True)
class JointRelease:
    """A release beside an earlier one, named by `earlier`. Sizes count persons, the rest rows.

    `rows_below` of the `rows` that both publish stand in joint cells of fewer than `k` persons, `unique_rows` in a cell
    of one. A row that only one of them publishes is in `only_here` or `only_earlier`; its class there, less those who
    are in both, may single it out too: `alone_below` of them stand in such a remainder of fewer than `k`.
    """

    earlier: str
    k: int
    rows: int
    cells: int
    smallest: int
    cells_below: int
    rows_below: int
    unique_rows: int
    only_here: int
    only_earlier: int
    alone_below: int

    @property
    def holds(self) -> bool:
        """Whether both together are k-anonymous wherever both publish."""
        return self.rows_below == 0

    def as_json(self) -> dict[str, object]:
        return asdict(self) | {"holds": self.holds}


def joint(here: Membership, before: Membership, k: int, earlier: str) -> JointRelease:
    """Lay a release over an earlier one. One group-by; a few milliseconds for 30,000 rows."""
    first, second, persons = _aligned(here, before)
    both = (first != OUT) & (second != OUT)
    # OUT is a class like another here: what remains of a class without those who are in both is a group of its own.
    cell = (first + 1) * (int(second.max(initial=OUT)) + 2) + second + 1
    _, of_row, rows = np.unique(cell, return_inverse=True, return_counts=True)
    size = rows if persons is None else _persons(of_row, persons, len(rows))
    sizes_of_rows = size[of_row]
    shared = np.bincount(of_row[both], minlength=len(rows)) > 0
    return JointRelease(
        earlier=earlier,
        k=k,
        rows=int(both.sum()),
        cells=int(shared.sum()),
        smallest=int(size[shared].min()) if shared.any() else 0,
        cells_below=int((size[shared] < k).sum()),
        rows_below=int((both & (sizes_of_rows < k)).sum()),
        unique_rows=int((both & (sizes_of_rows == 1)).sum()),
        only_here=int(((first != OUT) & ~both).sum()),
        only_earlier=int(((second != OUT) & ~both).sum()),
        alone_below=int((((first != OUT) ^ (second != OUT)) & (sizes_of_rows < k)).sum()),
    )


def _aligned(
    here: Membership, before: Membership
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64] | None]:
    """The classes of every row of either, OUT where it is in one only; and a number for its person."""
    if np.array_equal(here.keys, before.keys):
        whose = None if here.persons is None else np.unique(here.persons, return_inverse=True)[1]
        return here.classes, before.classes, whose
    keys = np.union1d(here.keys, before.keys)
    places = [np.searchsorted(keys, one.keys) for one in (here, before)]
    found = [np.full(len(keys), OUT, dtype=np.int64) for _ in places]
    for classes, place, one in zip(found, places, (here, before), strict=True):
        classes[place] = one.classes
    if here.persons is None or before.persons is None:
        return found[0], found[1], None
    _, number = np.unique(np.concatenate([here.persons, before.persons]), return_inverse=True)
    persons = np.empty(len(keys), dtype=np.int64)
    persons[places[1]] = number[len(here.persons) :]
    persons[places[0]] = number[: len(here.persons)]
    return found[0], found[1], persons


def _persons(of_row: NDArray[np.int64], persons: NDArray[np.int64], cells: int) -> NDArray[np.int64]:
    people = int(persons.max(initial=0)) + 1
    pairs = np.unique(of_row * people + persons)
    return np.bincount(pairs // people, minlength=cells)
