"""What was found in a text, and which of several findings of the same characters stands."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from privacy.detection.entities import entity
from privacy.levels import Level

# Below it a finding is a guess that nobody is told of.
THRESHOLD: Final = 0.4

# Reasons with exact bounds: a number begins and ends where its digits do. A model's bounds are a guess.
_EXACT: Final = frozenset({"check-digit", "context", "pattern"})
_SHORTEST_REST: Final = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """Code points `start` up to, without, `end`. `score` is 0 to 1. Holds nothing of the text.

    `why` is "check-digit", "context" (a label beside it), "pattern" (its form alone), "model" or "rule:<name>".
    """

    start: int
    end: int
    entity: str
    score: float
    why: str


def resolved(findings: Iterable[Finding]) -> list[Finding]:
    """The findings that stand, by start, no two of them overlapping; the same whatever the order given.

    Of overlapping findings the higher score stands, then the longer, then the earlier. What a finding with exact
    bounds leaves of a personal span (L3 up) that a model or a rule guessed stands too: the name in "王伟13800138000".
    """
    standing: list[Finding] = []
    for cluster in _clusters(sorted(set(findings), key=_place)):
        standing += cluster if len(cluster) == 1 else _strongest(cluster)
    return standing


def _place(finding: Finding) -> tuple[int, int, str, float, str]:
    return finding.start, finding.end, finding.entity, finding.score, finding.why


def _strength(finding: Finding) -> tuple[float, int, int, str, str]:
    return -finding.score, finding.start - finding.end, finding.start, finding.entity, finding.why


def _clusters(findings: Iterable[Finding]) -> Iterator[list[Finding]]:
    """Sorted findings in groups; whatever overlaps stands in the same group. Empty spans are dropped."""
    cluster: list[Finding] = []
    end = 0
    for finding in findings:
        if finding.end <= finding.start:
            continue
        if cluster and finding.start >= end:
            yield cluster
            cluster = []
        cluster.append(finding)
        end = max(end, finding.end) if len(cluster) > 1 else finding.end
    if cluster:
        yield cluster


def _strongest(cluster: list[Finding]) -> list[Finding]:
    """Strongest first, each keeping what the stronger have left of it, if it may stand in part."""
    starts: list[int] = []
    kept: list[Finding] = []
    for finding in sorted(cluster, key=_strength):
        for piece in _left_over(finding, starts, kept):
            at = bisect_right(starts, piece.start)
            starts.insert(at, piece.start)
            kept.insert(at, piece)
    return kept


def _left_over(finding: Finding, starts: list[int], kept: list[Finding]) -> list[Finding]:
    first = bisect_right(starts, finding.start) - 1
    if first < 0 or kept[first].end <= finding.start:
        first += 1
    last = first
    while last < len(kept) and kept[last].start < finding.end:
        last += 1
    rivals = kept[first:last]
    if not rivals:
        return [finding]
    if not _may_be_cut(finding, rivals):
        return []
    bounds = [finding.start, *(edge for rival in rivals for edge in (rival.start, rival.end)), finding.end]
    gaps = zip(bounds[::2], bounds[1::2], strict=True)
    return [replace(finding, start=start, end=end) for start, end in gaps if end - start >= _SHORTEST_REST]


def _may_be_cut(finding: Finding, rivals: list[Finding]) -> bool:
    return (
        finding.why not in _EXACT
        and entity(finding.entity).level >= Level.L3
        and all(rival.why in _EXACT for rival in rivals)
    )
