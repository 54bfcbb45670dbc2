"""What every published class of a release must satisfy. Imports nothing that computes: manifests check policies too."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from privacy.errors import Invalid

# What a floating sum may be off by: a distance of exactly `t` passes, whatever order it was added up in.
TOLERANCE: Final = 1e-12


class Recoding(StrEnum):
    """How values are generalised.

    `FULL_DOMAIN`: one level a column, so that equal values have equal labels throughout: the only one for the public.
    `LOCAL`: each class at the finest node of the lattice where it is large enough. `BLOCKS`: the values are cut in
    two again and again: coarser than `LOCAL`, and quick however many values and levels there are.
    """

    FULL_DOMAIN = "full-domain"
    LOCAL = "local"
    BLOCKS = "blocks"


@dataclass(frozen=True, slots=True)
class SensitiveRule:
    """What the values of a sensitive `column` must be like within every class.

    `distinct_l`: so many different values (Machanavajjhala 2007). `entropy_l`: entropy at least log(entropy_l).
    `t`: at most so far from the values of the whole release (Li 2007), by equal distance, or by the order of the values
    when `ordered`. Raises Invalid.
    """

    column: str
    distinct_l: int | None = None
    entropy_l: float | None = None
    t: float | None = None
    ordered: bool = False

    def __post_init__(self) -> None:
        if self.distinct_l is not None and self.distinct_l < 1:
            raise _out_of_range("distinct_l", "at least 1", "至少为 1", column=self.column)
        if self.entropy_l is not None and not (math.isfinite(self.entropy_l) and self.entropy_l >= 1):
            raise _out_of_range("entropy_l", "a number of at least 1", "不小于 1 的数", column=self.column)
        if self.t is not None and not 0 <= self.t <= 1:
            raise _out_of_range("t", "between 0 and 1", "介于 0 与 1 之间", column=self.column)


@dataclass(frozen=True, slots=True)
class Policy:
    """`k` persons in every class; at most `suppression` of the rows left out; a rule for each sensitive column.

    Without `recoding` the data decide between local recoding and blocks. A result that loses more than `max_loss` (0:
    nothing, 1: everything) is refused. Raises Invalid.
    """

    k: int = 5
    suppression: float = 0.05
    sensitive: tuple[SensitiveRule, ...] = ()
    recoding: Recoding | None = None
    max_loss: float | None = None

    def __post_init__(self) -> None:
        if self.k < 1:
            raise _out_of_range("k", "at least 1", "至少为 1")
        if not 0 <= self.suppression <= 1:
            raise _out_of_range("suppression", "between 0 and 1", "介于 0 与 1 之间")
        if self.max_loss is not None and not 0 <= self.max_loss <= 1:
            raise _out_of_range("max_loss", "between 0 and 1", "介于 0 与 1 之间")
        columns = [rule.column for rule in self.sensitive]
        if len(set(columns)) != len(columns):
            raise Invalid("a sensitive column has two rules", zh="一个敏感列有两条规则")


def _out_of_range(name: str, en: str, zh: str, column: str = "") -> Invalid:
    return Invalid(f"{name} must be {en}", zh=f"{name} 必须{zh}", column=column)
