"""How long a purpose keeps data: from when its period counts, and the least that laws demand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import yaml

from privacy.manifest.model import KeepFrom, KeepFromKind, Statutory
from privacy.manifest.notation import Draft, Part
from privacy.manifest.placed_yaml import Entry, shown
from privacy.periods import Period
from privacy.vocabulary import LAW_FORMS, is_law

# Periods have no order of their own; from one fixed day they have.
_REFERENCE: Final = datetime(2026, 1, 1, tzinfo=UTC)
_FORMS: Final = "creation, last-activity, or {event: membership-ended, at_most: P10Y}"


def read_keep_from(draft: Draft, part: Part, keep: Period | None) -> KeepFrom:
    """What the period counts from. One that counts from an event needs an end for whom it never happens to."""
    if "keep_from" not in part.entries:
        return KeepFrom()
    node = part.entries["keep_from"].value
    what = f"'keep_from' of {part.name!r}"
    if isinstance(node, yaml.ScalarNode):
        text = draft.text(node, what)
        if text not in (KeepFromKind.CREATION, KeepFromKind.LAST_ACTIVITY):
            draft.report(node, "bad-keep-from", f"{what} is {shown(text or '')}", _FORMS)
            return KeepFrom()
        return KeepFrom(KeepFromKind(text))
    entries = draft.mapping(node, what, allowed=("event", "at_most", "title"), required=("event", "at_most"))
    event = draft.name(entries["event"].value, f"the event in {what}") if "event" in entries else None
    at_most = draft.period(entries, "at_most", f"'keep_from.at_most' of {part.name!r}")
    title = draft.title(entries, "title", what)
    if event in (KeepFromKind.CREATION, KeepFromKind.LAST_ACTIVITY):
        draft.report(entries["event"].value, "bad-keep-from", f"the event in {what} is {shown(event)}", _FORMS)
        return KeepFrom()
    if at_most is not None and keep is not None and _is_shorter(at_most, keep):
        draft.report(
            entries["at_most"].value, "at-most-too-short", f"{what} ends after {at_most}, before 'keep', {keep}",
            f"at_most: {keep} or longer; it counts from creation"
        )  # fmt: skip
    if event is None or at_most is None:
        return KeepFrom()
    return KeepFrom(KeepFromKind.EVENT, event, at_most, title)


def read_statutory(draft: Draft, part: Part, keep: Period | None) -> Statutory | None:
    """The least, and the laws that say so. `keep` may not be shorter: one would break the other."""
    if "statutory" not in part.entries:
        return None
    what = f"'statutory' of {part.name!r}"
    entries = draft.mapping(part.entries["statutory"].value, what, allowed=("keep", "law"), required=("keep", "law"))
    least = draft.period(entries, "keep", f"'statutory.keep' of {part.name!r}")
    law = _law(draft, entries, what)
    if least is not None and keep is not None and _is_shorter(keep, least):
        draft.report(
            entries["keep"].value, "keep-below-statutory",
            f"{part.name!r} keeps data for {keep}, and the law demands {least}", f"keep: {least} or longer"
        )  # fmt: skip
    return Statutory(least, law) if least is not None and law else None


def _law(draft: Draft, entries: Mapping[str, Entry], what: str) -> tuple[str, ...]:
    if "law" not in entries:
        return ()
    node = entries["law"].value
    law: dict[str, None] = {}
    for item, reference in draft.texts(node, f"the law of {what}"):
        if is_law(reference):
            law[reference] = None
        else:
            draft.report(item, "bad-law", f"{shown(reference)} is no reference to a law", f"write it like {LAW_FORMS}")
    if isinstance(node, yaml.SequenceNode) and not node.value:
        draft.report(node, "empty", f"the law of {what} is empty", "law: [CN-ECL-31], the article that demands it")
    return tuple(law)


def _is_shorter(one: Period, other: Period) -> bool:
    return one.after(_REFERENCE) < other.after(_REFERENCE)
