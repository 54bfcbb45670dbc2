"""Small bar charts in SVG: presentation attributes only, so that a page needs neither script nor inline style.

Every chart stands beside a table with the same figures; it carries a title for those who hear it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

# Both are above 4.5 : 1 on white (WCAG 2.2, 1.4.3), and differ in lightness too.
BEFORE_COLOUR: Final = "#b45309"
AFTER_COLOUR: Final = "#1e3a8a"
_INK: Final = "#1f2937"
_LINE: Final = "#d1d5db"

_WIDTH: Final = 320
_LABEL: Final = 84
_FIGURE: Final = 56
_BAR: Final = 11
_ROW: Final = 34


@dataclass(frozen=True, slots=True)
class Pair:
    """A row of a chart: shares of one, before and after; None where there is no such figure."""

    label: str
    before: float | None
    after: float | None


def bars(name: str, title: str, pairs: Sequence[Pair], shown: Callable[[float], str]) -> str:
    """Horizontal bars, two a row. `name` is an id that is unique on the page; `shown` writes a share."""
    height = _ROW * len(pairs) + 6
    drawn = "".join(_row(at, pair, shown) for at, pair in enumerate(pairs))
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-labelledby="{escape(name)}" class="chart">'
        f'<title id="{escape(name)}">{escape(title)}</title>'
        f'<line x1="{_LABEL}" y1="2" x2="{_LABEL}" y2="{height - 2}" stroke="{_LINE}" stroke-width="1"/>{drawn}</svg>'
    )


def _row(at: int, pair: Pair, shown: Callable[[float], str]) -> str:
    top = at * _ROW + 6
    place = f'x="{_LABEL - 6}" y="{top + 15}" text-anchor="end"'
    label = f'<text {place} font-size="12" fill="{_INK}">{escape(pair.label)}</text>'
    return label + _bar(top, pair.before, BEFORE_COLOUR, shown) + _bar(top + _BAR + 2, pair.after, AFTER_COLOUR, shown)


def _bar(top: int, share: float | None, colour: str, shown: Callable[[float], str]) -> str:
    if share is None:
        return ""
    width = max(0.0, min(1.0, share)) * (_WIDTH - _LABEL - _FIGURE)
    return (
        f'<rect x="{_LABEL}" y="{top}" width="{width:.1f}" height="{_BAR}" fill="{colour}"/>'
        f'<text x="{_LABEL + width + 4:.1f}" y="{top + 10}" font-size="11" fill="{_INK}">{escape(shown(share))}</text>'
    )
