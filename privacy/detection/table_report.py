"""What is personal in a table, column by column: which entities, in how many of the cells, with masked samples."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final

from privacy.detection.findings import Finding
from privacy.detection.redaction import level_of, masked
from privacy.detection.table_files import Cell, TableFile

_BATCH_CELLS: Final = 256
_BATCH_CHARACTERS: Final = 100_000
_UNDER_WAY: Final = 6  # batches: enough that no worker waits for the file
_SAMPLES: Final = 3

Submit = Callable[[Sequence[str]], "Future[list[list[Finding]]]"]
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Held:
    """One entity in a column: in how many cells, which `share` of those not empty, and masked samples."""

    entity: str
    level: str
    cells: int
    share: float
    samples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """`cells` are those that are not empty; `level` the highest found, None when nothing was."""

    column: str
    cells: int
    level: str | None
    entities: tuple[Held, ...]


@dataclass(slots=True)
class _Tally:
    cells: int = 0
    entities: dict[str, int] = field(default_factory=dict)
    samples: dict[str, list[str]] = field(default_factory=dict)


def report(table: TableFile, submit: Submit, progress: Progress) -> list[Column]:
    """The columns in the order of the file. Memory does not grow with the rows. Raises as `submit` and the rows do."""
    tallies: dict[str, _Tally] = {name: _Tally() for name in table.columns}
    waiting: deque[tuple[list[Cell], Future[list[list[Finding]]], int]] = deque()

    def finish() -> None:
        cells, answer, place = waiting.popleft()
        for (name, text), found in zip(cells, answer.result(), strict=True):
            _count(tallies.setdefault(name, _Tally()), text, found)
        progress(place)

    batch: list[Cell] = []
    characters = 0
    place = 0
    for row in table.rows:
        batch += row.cells
        characters += sum(len(text) for _, text in row.cells)
        place = row.place
        if len(batch) >= _BATCH_CELLS or characters >= _BATCH_CHARACTERS:
            waiting.append((batch, submit([text for _, text in batch]), place))
            batch, characters = [], 0
            if len(waiting) >= _UNDER_WAY:
                finish()
    waiting.append((batch, submit([text for _, text in batch]), place))
    while waiting:
        finish()
    return [_column(name, tally) for name, tally in tallies.items()]


def _count(tally: _Tally, text: str, found: Iterable[Finding]) -> None:
    tally.cells += 1
    seen: set[str] = set()
    for one in found:
        samples = tally.samples.setdefault(one.entity, [])
        if len(samples) < _SAMPLES and (shown := masked(one.entity, text[one.start : one.end])) not in samples:
            samples.append(shown)
        seen.add(one.entity)
    for entity in seen:
        tally.entities[entity] = tally.entities.get(entity, 0) + 1


def _column(name: str, tally: _Tally) -> Column:
    held = [
        Held(entity, level_of(entity).name, cells, round(cells / tally.cells, 4), tuple(tally.samples[entity]))
        for entity, cells in sorted(tally.entities.items(), key=lambda item: (-item[1], item[0]))
    ]
    return Column(name, tally.cells, max((one.level for one in held), default=None), tuple(held))
