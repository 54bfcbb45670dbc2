"""Identifiers, beside stock `presidio` and `argus-redact`: `python -m bench.detection.identifiers`.

On the generated identifiers of the tests, `--each` of every kind in every written form, and as many that only look
like one. The rivals read the first `--rivals` of the same texts in the same run. They are asked for less than we are:
a finding of theirs counts when its span is right, whatever it is called; their names, pronouns and dates do not count
against them. Presidio runs as it ships for English (it has no recognisers for China) without a model, which finds
names, not numbers.

Then characters a second, on text without identifiers and on dense text, and what a character costs in a megabyte over
what it costs in ten kilobytes. Nothing here asserts a figure; what counts are the ratios of one run.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Final

from argus_redact import redact

from bench.detection.lines import Line
from bench.detection.stock import without_a_model
from privacy.detection.identifiers import find
from tests.detection.generated_identifiers import FORMS, KINDS, Kind, Sample, near_misses, samples

_Span = tuple[int, int]
_Finder = Callable[[str], Iterable[_Span]]
_MEGABYTE: Final = 1_000_000
_TEN_KILOBYTES: Final = 10_000
_PROSE: Final = (
    "今天我们去了城南的一家餐厅吃饭，天气很好，服务员也很热情。我们点了3个菜，一共花了256元，大概在2023年5月1日左右，"
    "下次还想再来。The report was finished in May 2023 and has 25 pages; nobody had any questions about it.\n"
)


@dataclass(frozen=True, slots=True)
class Plan:
    """`each` texts of every kind in every form are ours, `rivals` of a kind the rivals' too; the best of `turns`."""

    each: int = 10_000
    rivals: int = 100
    seed: int = 2026
    turns: int = 3


def run(plan: Plan) -> list[Line]:
    """Measure; leaves nothing behind."""
    rivals = {"presidio": _presidio(), "argus-redact": _argus}
    lines: list[Line] = []
    for kind in KINDS:
        lines += _quality(plan, kind, rivals)
    lines += _speeds(plan, rivals)
    lines.append(_growth(plan))
    return lines


def _quality(plan: Plan, kind: Kind, rivals: dict[str, _Finder]) -> Iterator[Line]:
    texts = {form: list(samples(kind, form, plan.each, Random(f"{plan.seed}/{kind.name}/{form}"))) for form in FORMS}
    named = [sample for form in FORMS for sample in texts[form]]
    shared = [sample for form in FORMS for sample in texts[form][: max(1, plan.rivals // len(FORMS))]]
    ours = _recall_and_precision(named, lambda sample: _ours(sample.text, sample.entity))
    theirs = {name: _recall_and_precision(shared, partial(_of_text, found)) for name, found in rivals.items()}
    yield Line(f"{kind.name}: recall", ours[0], "", tuple((name, figures[0]) for name, figures in theirs.items()))
    yield Line(f"{kind.name}: precision", ours[1], "", tuple((name, figures[1]) for name, figures in theirs.items()))
    misses = near_misses(kind, plan.each, Random(f"{plan.seed}/{kind.name}"))
    false = sum(any(finding.entity == kind.entity for finding in find(miss.text)) for miss in misses)
    yield Line(f"{kind.name}: near misses taken for one", false / plan.each)


def _recall_and_precision(texts: Sequence[Sample], found: Callable[[Sample], Iterable[_Span]]) -> tuple[float, float]:
    right = claimed = 0
    for sample in texts:
        spans = set(found(sample))
        right += (sample.start, sample.end) in spans
        claimed += len(spans)
    return right / len(texts), right / claimed if claimed else 0.0


def _of_text(found: _Finder, sample: Sample) -> Iterable[_Span]:
    return found(sample.text)


def _ours(text: str, entity: str) -> Iterator[_Span]:
    """A span under another name than the right one is a false one."""
    for finding in find(text):
        yield (finding.start, finding.end) if finding.entity == entity else (-1 - finding.start, -1)


def _presidio() -> _Finder:
    engine = without_a_model()

    def spans(text: str) -> Iterator[_Span]:
        for one in engine.analyze(text, language="en", score_threshold=0.4):
            if one.entity_type != "DATE_TIME" or _has_number(text[one.start : one.end]):
                yield one.start, one.end

    return spans


def _argus(text: str) -> Iterator[_Span]:
    for one in redact(text, lang=["zh", "en"], report=True).entities:
        if _has_number(text[one["start"] : one["end"]]):
            yield one["start"], one["end"]


def _has_number(value: str) -> bool:
    return any(character.isdigit() or character in "@:" for character in value)


def _speeds(plan: Plan, rivals: dict[str, _Finder]) -> Iterator[Line]:
    random = Random(plan.seed)
    dense = "。".join(next(samples(random.choice(KINDS), "plain", 1, random)).text for _ in range(4_000))
    for what, text in (("text without identifiers", _PROSE * 2_000), ("dense text", dense)):
        pieces = [text[at : at + 200] for at in range(0, len(text) // 20, 200)]
        beside = tuple((name, _rate(plan, found, pieces)) for name, found in rivals.items())
        yield Line(what, _rate(plan, find, [text]), "characters/s", beside)
        yield Line(f"{what}, in pieces of 200", _rate(plan, find, pieces), "characters/s", beside)


def _rate(plan: Plan, found: Callable[[str], Iterable[object]], pieces: Sequence[str]) -> float:
    return sum(map(len, pieces)) / _best(plan, lambda: [list(found(piece)) for piece in pieces])


def _growth(plan: Plan) -> Line:
    random = Random(plan.seed)
    text = ""
    while len(text.encode()) < _TEN_KILOBYTES:
        text += (
            _PROSE[: random.randrange(40, len(_PROSE))] + next(samples(random.choice(KINDS), "glued", 1, random)).text
        )
    small = text[: len(text) * _TEN_KILOBYTES // len(text.encode())]
    large = small * (_MEGABYTE // _TEN_KILOBYTES)
    costs = [
        _seconds(lambda: find(large)) / sum(_seconds(lambda: find(small)) for _ in range(_MEGABYTE // _TEN_KILOBYTES))
        for _ in range(plan.turns)
    ]
    return Line("a character of 1 MB over one of 10 kB", min(costs), "x")


def _best(plan: Plan, work: Callable[[], object]) -> float:
    return min(_seconds(work) for _ in range(plan.turns))


def _seconds(work: Callable[[], object]) -> float:
    """Of this process: what others do on the machine does not count."""
    began = time.process_time()
    work()
    return time.process_time() - began


def main(arguments: Sequence[str]) -> int:
    """Print what `run` found."""
    parser = argparse.ArgumentParser(prog="python -m bench.detection.identifiers", description=__doc__)
    plan = Plan()
    parser.add_argument("--each", type=int, default=plan.each)
    parser.add_argument("--rivals", type=int, default=plan.rivals)
    parser.add_argument("--seed", type=int, default=plan.seed)
    asked = parser.parse_args(arguments)
    for line in run(Plan(each=asked.each, rivals=asked.rivals, seed=asked.seed)):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
