"""The worker processes, beside stock presidio in this one: `python -m bench detection workers`.

On English talk, in turns, by the wall clock: texts a second of stock `analyze()` one by one, of one worker and of two,
asked in pages of 256. Each text is asked once, so that nothing comes from the answers that are kept. Then the time
until workers of both languages have answered their first texts, and the memory of each. Nothing here asserts a figure.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.detection import stock
from privacy.detection.workers import BATCH, Workers
from tests.detection.english_talk import talk

_BOTH: Final = ("Please call Wei Wang in Leeds.", "请联系上海市的王伟先生。")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run."""

    texts: int = 600
    turns: int = 3
    seed: int = 7


@dataclass(frozen=True, slots=True)
class Report:
    """Texts a second, medians over the turns; seconds; MiB."""

    stock: float
    one: float
    two: float
    ready: float
    memory: tuple[float, ...]

    def __str__(self) -> str:
        lines = [f"{'stock presidio, one by one':32}{self.stock:10,.0f} texts/s"]
        for name, rate in (("one worker", self.one), ("two workers", self.two)):
            lines.append(f"{name:32}{rate:10,.0f} texts/s   x {rate / self.stock:.2f}")
        lines.append(f"{'both languages ready in':32}{self.ready:10.1f} s")
        return "\n".join([*lines, *(f"{'memory of a worker':32}{one:10,.0f} MiB" for one in self.memory)])


def run(plan: Plan) -> Report:
    """Measure; leaves nothing behind."""
    engine = stock.with_the_model()
    rates: dict[str, list[float]] = {"stock": [], "one": [], "two": []}
    with closing(Workers(1)) as one, closing(Workers(2)) as two:
        began = time.perf_counter()
        two.analyse([text for _ in range(BATCH) for text in _BOTH])
        ready = time.perf_counter() - began
        one.analyse(_BOTH)
        for turn in range(plan.turns):
            texts = list(talk(plan.seed + turn, plan.texts))
            rates["stock"].append(_rate(texts, lambda page: [stock.found(engine, text) for text in page]))
            rates["one"].append(_rate(texts, one.analyse))
            rates["two"].append(_rate(texts, two.analyse))
        memory = tuple(_memory(pid) for pid in two.pids)
    medians = {name: statistics.median(found) for name, found in rates.items()}
    return Report(medians["stock"], medians["one"], medians["two"], ready, memory)


def _rate(texts: Sequence[str], analyse: Callable[[Sequence[str]], object]) -> float:
    began = time.perf_counter()
    for start in range(0, len(texts), 4 * BATCH):
        analyse(texts[start : start + 4 * BATCH])
    return len(texts) / (time.perf_counter() - began)


def _memory(pid: int) -> float:
    """Resident, in MiB (Linux)."""
    (line,) = (one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    plan = Plan()
    parser = argparse.ArgumentParser(prog="python -m bench.detection.workers", description=__doc__)
    parser.add_argument("--texts", type=int, default=plan.texts, help="of a turn")
    parser.add_argument("--turns", type=int, default=plan.turns)
    parser.add_argument("--seed", type=int, default=plan.seed)
    given = parser.parse_args(arguments)
    print(run(Plan(given.texts, given.turns, given.seed)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
