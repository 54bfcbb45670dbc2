"""What a notice tells people of one purpose, as facts that can be compared: the words may change, these not.

Consent covers purpose, method and categories, and a change of one asks for consent anew (PIPL 14(2)); the
storage period and the recipient as well (PIPL 23; NDSMR 22). Whatever makes the processing *broader* is
material. What makes it narrower is told, and asks nothing of anybody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from privacy.errors import UndeclaredPurpose
from privacy.levels import Level
from privacy.manifest import Manifest
from privacy.periods import Period

# Periods have no order of their own; from one fixed day they have.
_REFERENCE: Final = datetime(2026, 1, 1, tzinfo=UTC)

What = Literal["purpose", "method", "category", "recipient", "period"]


@dataclass(frozen=True, slots=True, order=True)
class RecipientTerm:
    """Who receives the data, in what capacity, and under which law. A contact may change freely."""

    name: str
    kind: str
    jurisdiction: str | None


@dataclass(frozen=True, slots=True)
class Terms:
    """Sorted throughout. `categories` are DPV terms of the fields used, `sensitive` those among them at L4.

    `keep` is an ISO 8601 period, `keep_from` what it counts from: "creation", "last-activity" or an event, and then
    `at_most` is the longest, from creation. `only_anonymised`: the purpose never sees a person's data.
    """

    purpose: str
    category: str
    basis: str
    method: tuple[str, ...]
    categories: tuple[str, ...]
    sensitive: tuple[str, ...]
    recipients: tuple[RecipientTerm, ...]
    keep: str
    at_end: str
    only_anonymised: bool = False
    keep_from: str = "creation"
    at_most: str = ""


@dataclass(frozen=True, slots=True)
class TermChange:
    """One difference; `before` or `after` is empty for what came or went. Broader is material."""

    what: What
    before: str
    after: str
    is_broader: bool


def terms_of(manifest: Manifest, purpose_name: str) -> Terms:
    """What the manifest declares of the purpose. Raises `UndeclaredPurpose`."""
    purpose = manifest.purposes.get(purpose_name)
    if purpose is None:
        raise UndeclaredPurpose("The manifest declares no such purpose", law=("PIPL-6", "GDPR-5-1-b"))
    fields = [manifest.records[record_type].fields[name] for record_type, used in purpose.uses.items() for name in used]
    recipients = (
        RecipientTerm(recipient.name, recipient.kind.value, recipient.jurisdiction)
        for recipient in manifest.recipients.values()
        if purpose_name in recipient.purposes
    )
    return Terms(
        purpose=purpose_name,
        category=purpose.category,
        basis=purpose.basis.value,
        method=tuple(sorted({method.value for method in purpose.method})),
        categories=tuple(sorted({field.category for field in fields})),
        sensitive=tuple(sorted({field.category for field in fields if field.level is Level.L4})),
        recipients=tuple(sorted(recipients, key=lambda term: term.name)),
        keep=str(purpose.keep),
        at_end=purpose.at_end.value,
        only_anonymised=purpose.only_anonymised,
        keep_from=purpose.keep_from.life_event or "creation",
        at_most=str(purpose.keep_from.at_most or ""),
    )


# What msgspec must know of the types is built here, by one thread: building it in two at once ends the process.
msgspec.json.Decoder(Terms)


def to_json(terms: Terms) -> dict[str, object]:
    """The terms as JSON builds them; `from_json` gives back an equal value."""
    built: dict[str, object] = msgspec.to_builtins(terms)
    return built


def from_json(stored: Mapping[str, object]) -> Terms:
    """The terms that `to_json` made `stored` of."""
    return msgspec.convert(stored, Terms)


def compare(before: Terms, after: Terms) -> tuple[TermChange, ...]:
    """Every difference, the purpose first; none between equal terms, and between periods of equal length."""
    return tuple(_changes(before, after))


def is_material(before: Terms, after: Terms) -> bool:
    """Whether people who agreed to `before` must be asked again before `after` (PIPL 14(2))."""
    return any(change.is_broader for change in compare(before, after))


def _changes(before: Terms, after: Terms) -> Iterator[TermChange]:
    for was, now in (
        (before.purpose, after.purpose),
        (before.category, after.category),
        (before.basis, after.basis),
    ):
        if was != now:
            yield TermChange("purpose", was, now, is_broader=True)
    yield from _methods(before, after)
    yield from _categories(before, after)
    yield from _recipients(before, after)
    yield from _period(before, after)


def _methods(before: Terms, after: Terms) -> Iterator[TermChange]:
    yield from _came_or_went("method", set(before.method), set(after.method))
    if before.only_anonymised != after.only_anonymised:
        was, now = ("anonymised", "") if before.only_anonymised else ("", "anonymised")
        yield TermChange("method", was, now, is_broader=before.only_anonymised)


def _categories(before: Terms, after: Terms) -> Iterator[TermChange]:
    """A category that was ordinary and is sensitive now is as good as a new one (PIPL 29)."""
    for category in sorted({*before.categories, *after.categories, *before.sensitive, *after.sensitive}):
        was, now = _named(category, before), _named(category, after)
        if was != now:
            is_new = not was or (category in after.sensitive and category not in before.sensitive)
            yield TermChange("category", was, now, is_broader=bool(now) and is_new)


def _named(category: str, terms: Terms) -> str:
    if category in terms.sensitive:
        return f"{category} (sensitive)"
    return category if category in terms.categories else ""


def _recipients(before: Terms, after: Terms) -> Iterator[TermChange]:
    """A recipient of another kind or in another country is another recipient to those who agreed (PIPL 23, 39)."""
    old = {recipient.name: recipient for recipient in before.recipients}
    new = {recipient.name: recipient for recipient in after.recipients}
    for name in sorted(old.keys() | new.keys()):
        was, now = old.get(name), new.get(name)
        if was != now:
            yield TermChange("recipient", _described(was), _described(now), is_broader=now is not None)


def _described(recipient: RecipientTerm | None) -> str:
    if recipient is None:
        return ""
    return f"{recipient.name} ({', '.join(filter(None, (recipient.kind, recipient.jurisdiction)))})"


def _period(before: Terms, after: Terms) -> Iterator[TermChange]:
    ended, ends = (Period.parse(terms.keep).after(_REFERENCE) for terms in (before, after))
    if ended != ends:
        yield TermChange("period", before.keep, after.keep, is_broader=ends > ended)
    if before.keep_from != after.keep_from:
        yield TermChange("period", before.keep_from, after.keep_from, is_broader=after.keep_from != "creation")
    ended, ends = _longest(before), _longest(after)
    if ended != ends and (before.at_most or after.at_most):
        yield TermChange("period", before.at_most, after.at_most, is_broader=ends > ended)
    if before.at_end != after.at_end:
        yield TermChange("period", before.at_end, after.at_end, is_broader=True)


def _longest(terms: Terms) -> datetime:
    """When the period is over at the latest, of one that began on the reference day; never for an activity."""
    if terms.keep_from == "last-activity":
        return datetime.max.replace(tzinfo=UTC)
    return Period.parse(terms.at_most or terms.keep).after(_REFERENCE)


def _came_or_went(what: What, before: set[str], after: set[str]) -> Iterator[TermChange]:
    for name in sorted(before ^ after):
        was, now = (name, "") if name in before else ("", name)
        yield TermChange(what, was, now, is_broader=name in after)
