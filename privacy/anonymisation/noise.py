"""Noise for differential privacy: the discrete Gaussian of OpenDP 0.16, on whole numbers.

What is noised is exact and whole, so nothing leaks through the last digits of floating-point numbers (Mironov 2012).
The scale is given, never searched for (a search of OpenDP's costs seconds); the loss is what OpenDP's own map answers
for that scale, never what was asked for. The loss is zero-concentrated (zCDP, Bun and Steinke 2016); the losses of
questions asked one after the other, each in the light of the answers before it, add up (Whitehouse et al. 2023).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from types import ModuleType
from typing import Any, Final

from privacy.errors import Unavailable

NANO: Final = 1_000_000_000
LARGEST: Final = 2**62  # exact numbers are cut to plus and minus this, which brings no two of them further apart
_INFLATED: Final = 1 + 2**-40  # so that a loss that was rounded up is still the one that was asked for


@dataclass(frozen=True, slots=True, eq=False)
class Gaussian:
    """Adds noise of `scale` to each of several whole numbers, which one subject moves by `sensitivity` in all (L2).

    `loss` is the rho of adding it once to all of them.
    """

    sensitivity: int
    scale: float
    loss: float
    _measurement: Callable[[Any], Any]

    def add(self, exact: Sequence[int]) -> list[int]:
        """The numbers with noise, fresh for each and at each call."""
        return list(self._measurement([max(-LARGEST, min(LARGEST, number)) for number in exact]))


def gaussian(sensitivity: int, rho: float) -> Gaussian:
    """The noise that costs at most `rho`. Raises `Unavailable` where OpenDP is not installed."""
    dp = _opendp()
    scale = sensitivity / math.sqrt(2 * rho) * _INFLATED
    measurement = dp.m.make_gaussian(dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T="i64"), scale)
    return Gaussian(sensitivity, scale, float(measurement.map(sensitivity)), measurement)


def half_width(scale: float, beta: float) -> int:
    """How far from the exact number one with noise of `scale` is at most, but for a chance of `beta`.

    A discrete Gaussian reaches m no oftener than a continuous one m - 1 (Canonne, Kamath, Steinke 2020).
    OpenDP's own function adds up the tail, which takes 30 ms for a sum.
    """
    return math.ceil(scale * NormalDist().inv_cdf(1 - beta / 2))


def nano(loss: float) -> int:
    """A loss as the ledger counts it, rounded up."""
    return math.ceil(loss * NANO)


def epsilon(rho_nano: int, delta: float) -> float:
    """The epsilon of (epsilon, delta)-differential privacy that a spent rho amounts to (Bun and Steinke, 1.3)."""
    rho = rho_nano / NANO
    return rho + 2 * math.sqrt(rho * math.log(1 / delta))


@cache
def _opendp() -> ModuleType:
    try:
        import opendp.prelude as dp  # here, so that neither the service nor its client needs it to start
    except ImportError:
        raise Unavailable(
            "Statistics need the extra `analytics` of this package", zh="统计功能需要安装本软件包的 analytics 组件"
        ) from None
    dp.enable_features("contrib")
    return dp
