"""English text: what is found and how fast, beside stock presidio in the same run.

`python -m bench.detection.english DATASET`, where DATASET is a file of annotated texts in presidio-research's form
(`full_text`, `spans` of `entity_type`, `start_position`, `end_position`, and `template_id`). The rules were tuned on
the templates of one half, told by a hash of their ids; the other half was never looked at. Both are printed.

Quality is scored by `english_spans`, for both alike, at a threshold of 0.4. "ANY" counts what was found whatever it was
called, "ALL" asks for the right branch. Speed is of one process: presidio's `analyze()` one text at a time against
`find_all` in batches, with the rules and without, by the processor's time: what else the machine does changes little
of the ratio. Memory is the growth of this process at loading. Nothing here asserts a figure.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from presidio_analyzer import AnalyzerEngine

from bench.detection import stock
from bench.detection.english_spans import Score, Span, score
from bench.detection.lines import Line
from privacy.detection.english import English
from privacy.detection.findings import THRESHOLD, Finding, resolved

_SHOWN: Final = ("ANY", "ALL")
_WARM_UP: Final = 64
_LONG: Final = (10_000, 1_000_000)  # characters of the two documents whose cost is compared


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. `speed` texts are timed, the best of `turns`."""

    dataset: Path
    speed: int = 600
    turns: int = 3


@dataclass(frozen=True, slots=True)
class Annotated:
    """A text of the dataset. `is_tuned_on` tells on which side of the hash its template stands."""

    text: str
    spans: list[Span]
    is_tuned_on: bool


def run(plan: Plan) -> list[Line]:
    """Measure; leaves nothing behind."""
    dataset = read(plan.dataset)
    texts = [each.text for each in dataset]
    before = _memory()
    started = time.process_time()
    english = English()
    english.find_all(texts[:1])
    lines = [
        Line("load, first text read", time.process_time() - started, "s (cpu)"),
        Line("memory it takes", _memory() - before, "MB"),
    ]
    engine = stock.with_the_model()
    lines += _quality(dataset, english.find_all(texts), [_presidio(engine, text) for text in texts])
    lines += _speed(plan, texts, english, engine)
    return [*lines, *_growth(texts, english)]


def read(path: Path) -> list[Annotated]:
    """The dataset, each text with the half of its template."""
    return [
        Annotated(
            sample["full_text"],
            [Span(each["start_position"], each["end_position"], each["entity_type"]) for each in sample["spans"]],
            hashlib.sha256(str(sample["template_id"]).encode()).digest()[0] % 2 == 0,
        )
        for sample in json.loads(path.read_text())
    ]


def _quality(
    dataset: Sequence[Annotated], ours: Sequence[list[Finding]], theirs: Sequence[list[Finding]]
) -> list[Line]:
    lines: list[Line] = []
    for name, sides in (("all templates", {True, False}), ("tuned on", {True}), ("never looked at", {False})):
        chosen = [at for at, each in enumerate(dataset) if each.is_tuned_on in sides]
        scores, rivals = (_scored(dataset, found, chosen) for found in (ours, theirs))
        branches = sorted(scores.keys() - set(_SHOWN)) if len(sides) > 1 else ["PERSON"]
        for branch in (*_SHOWN, *branches):
            mine, other = scores[branch], rivals.get(branch, Score(0, 0, 0))
            lines.append(Line(f"{name}: {branch}, F2", mine.f2, beside=(("presidio", other.f2),)))
            if branch in _SHOWN:
                lines.append(Line(f"{name}: {branch}, P", mine.precision, beside=(("presidio", other.precision),)))
                lines.append(Line(f"{name}: {branch}, R", mine.recall, beside=(("presidio", other.recall),)))
    return lines


def _scored(dataset: Sequence[Annotated], found: Sequence[list[Finding]], chosen: Sequence[int]) -> dict[str, Score]:
    return score(
        [dataset[at].text for at in chosen],
        [dataset[at].spans for at in chosen],
        [[Span(each.start, each.end, each.entity) for each in found[at]] for at in chosen],
    )


def _speed(plan: Plan, texts: Sequence[str], english: English, engine: AnalyzerEngine) -> list[Line]:
    chosen = (list(texts) * (plan.speed // len(texts) + 1))[: plan.speed]
    plain = English(extra_rules=False)
    same = sum(_places(plain.find_all([text])[0]) == _places(stock.found(engine, text)) for text in chosen)
    runs: dict[str, Callable[[], object]] = {
        "with the rules": lambda: english.find_all(chosen),
        "without the rules": lambda: plain.find_all(chosen),
        "stock": lambda: [engine.analyze(text, "en") for text in chosen],
    }
    best = dict.fromkeys(runs, 0.0)
    for each in (english, plain):
        each.find_all(chosen[:_WARM_UP])
    for _ in range(plan.turns):
        for name, action in runs.items():
            started = time.process_time()
            action()
            best[name] = max(best[name], len(chosen) / (time.process_time() - started))
    beside = (("presidio", best["stock"]),)
    return [
        Line("identical to analyze() without the rules", same / len(chosen)),
        Line("one worker, with the rules", best["with the rules"], "texts/s", beside),
        Line("one worker, without the rules", best["without the rules"], "texts/s", beside),
    ]


def _growth(texts: Sequence[str], english: English) -> list[Line]:
    """What a character costs in a long document, over what it costs in a short one."""
    costs = []
    for length in _LONG:
        whole = "\n".join(texts)
        document = (whole * (length // len(whole) + 1))[:length]
        started = time.process_time()
        for _ in range(20 if length < _LONG[-1] else 1):
            english.find_all([document])
        costs.append((time.process_time() - started) / (20 if length < _LONG[-1] else 1) / length)
    return [Line("cost of a character, 1 MB over 10 kB", costs[1] / costs[0], "x")]


def _presidio(engine: AnalyzerEngine, text: str) -> list[Finding]:
    return resolved(each for each in stock.found(engine, text) if each.score >= THRESHOLD)


def _places(found: Sequence[Finding]) -> set[tuple[int, int, str, float]]:
    return {(each.start, each.end, each.entity, round(each.score, 6)) for each in found}


def _memory() -> float:
    """Of this process, resident, in MB (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.detection.english", description="English text.")
    parser.add_argument("dataset", type=Path, help="annotated texts in presidio-research's form")
    parser.add_argument("--speed", type=int, default=600, help="texts that are timed")
    parser.add_argument("--turns", type=int, default=3, help="how often; the best counts")
    given = parser.parse_args(arguments)
    for line in run(Plan(given.dataset, given.speed, given.turns)):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
