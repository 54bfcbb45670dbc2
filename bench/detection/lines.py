"""How a figure is printed beside those of the rivals, the same in every benchmark of detection."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """A figure of ours beside those of others on the same texts in the same run.

    `unit` is empty for a count and for a share of one: beside these stands the difference, beside all else the ratio,
    ours over theirs. Of a cost (`is_cost`) it is theirs over ours, so that more is better. `aim`: what ours should be.
    """

    what: str
    ours: float
    unit: str = ""
    beside: tuple[tuple[str, float], ...] = ()
    is_cost: bool = False
    aim: str = ""

    def __str__(self) -> str:
        others = "".join(f"   {name} {self._shown(value)}{self._against(value)}" for name, value in self.beside)
        aim = f"   aim: {self.aim}" if self.aim else ""
        return f"{self.what:<52} {self._shown(self.ours)} {self.unit}{others}{aim}"

    def _shown(self, value: float) -> str:
        if not self.unit:
            return f"{value:.4g}"
        return f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"

    def _against(self, value: float) -> str:
        if not self.unit:
            return f" ({self.ours - value:+.4g})"
        over, under = (value, self.ours) if self.is_cost else (self.ours, value)
        return f" (x {over / under:.2f})" if under else ""
