"""Why data is held, how long, and who receives it: the declared purposes and recipients."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

import yaml

from privacy.manifest.bases import demand_separate_consent, read_basis, read_consent, read_grounds, read_law
from privacy.manifest.model import (
    DEFAULT_COOL_OFF,
    DEFAULT_METHOD,
    OPT_OUT_COOL_OFF,
    AtEnd,
    Basis,
    Method,
    OptOut,
    Purpose,
    Recipient,
    RecipientKind,
    RecordType,
)
from privacy.manifest.notation import Draft, Part
from privacy.manifest.placed_yaml import near, shown
from privacy.manifest.record_types import ANALYTICS, RecordTypes
from privacy.manifest.storage_periods import read_keep_from, read_statutory
from privacy.manifest.uses import Uses, read_uses
from privacy.periods import Period
from privacy.vocabulary import PURPOSE, PURPOSES

_PURPOSE_KEYS: Final = (
    "basis", "law", "category", "uses", "keep", "keep_from", "statutory", "at_end", "only", "method", "consent",
    "opt_out", "grounds", "title", "description",
)  # fmt: skip
_RECIPIENT_KEYS: Final = ("kind", "contact", "title", "jurisdiction", "purposes")
# Periods have no order of their own; from one fixed day they have.
_REFERENCE: Final = datetime(2026, 1, 1, tzinfo=UTC)
_NO_PERIOD_YET: Final = Period(hours=1)  # stands until a period is borrowed, or the fault is raised


def read_purposes(draft: Draft, node: yaml.Node, records: RecordTypes, jurisdiction: str) -> dict[str, Purpose | None]:
    """Every purpose that is named; None where it has no basis, which has been reported."""
    drafts: dict[str, Purpose | None] = {}
    without_keep: dict[str, yaml.Node] = {}
    for name, entry in draft.named(node, "'purposes'", "a purpose").items():
        entries = draft.mapping(entry.value, f"the purpose {name!r}", allowed=_PURPOSE_KEYS, required=("basis", "uses"))
        drafts[name] = _purpose(draft, Part(name, entry.key, entry.value, entries), records, jurisdiction)
        if "keep" not in entries:
            without_keep[name] = entry.value
    with_keep = [purpose for name, purpose in drafts.items() if purpose is not None and name not in without_keep]
    return {
        name: _with_borrowed_period(draft, purpose, without_keep[name], with_keep)
        if purpose is not None and name in without_keep
        else purpose
        for name, purpose in drafts.items()
    }


def _purpose(draft: Draft, part: Part, records: RecordTypes, jurisdiction: str) -> Purpose | None:
    name, entries = part.name, part.entries
    what = f"the purpose {name!r}"
    uses = read_uses(draft, entries["uses"].value, name, records) if "uses" in entries else {}
    only = draft.chosen(entries, "only", f"'only' of {name!r}", ("anonymised",), "unknown-only")
    keep = draft.period(entries, "keep", f"'keep' of {name!r}")
    if "keep" not in entries and only is None and entries:
        draft.report(
            part.node, "missing-key", f"{what} has no 'keep'", "add 'keep: P3Y', the longest period (PIPL-19)"
        )  # fmt: skip
    keep_from = read_keep_from(draft, part, keep)
    statutory = read_statutory(draft, part, keep)
    at_end = draft.chosen(entries, "at_end", f"'at_end' of {name!r}", tuple(AtEnd), "unknown-at-end")
    opt_out = draft.chosen(entries, "opt_out", f"'opt_out' of {name!r}", tuple(OptOut), "unknown-opt-out")
    method = _method(draft, part)
    basis = read_basis(draft, part, jurisdiction)
    law = read_law(draft, part, basis)
    consent = read_consent(draft, part, basis)
    grounds = read_grounds(draft, part, basis, jurisdiction)
    if basis is Basis.CONSENT and not consent.is_separate:
        demand_separate_consent(draft, part, method, uses, records.types)
    if only is not None:
        _question_analytics(draft, part, uses, records.types)
    category = _category(draft, part)
    title = draft.title(entries, "title", what)
    description = draft.title(entries, "description", what)
    if basis is None:
        return None
    return Purpose(
        name=name,
        basis=basis,
        law=law,
        category=category,
        uses=MappingProxyType({type_name: MappingProxyType(fields) for type_name, fields in uses.items()}),
        keep=keep or _NO_PERIOD_YET,
        only_anonymised=only is not None,
        consent_expires=consent.expires,
        title=title,
        description=description,
        consent_separate=consent.is_separate,
        cool_off=consent.cool_off or (OPT_OUT_COOL_OFF if opt_out else DEFAULT_COOL_OFF),
        method=method,
        at_end=AtEnd(at_end) if at_end else AtEnd.ERASE,
        opt_out=OptOut(opt_out) if opt_out else None,
        grounds=grounds,
        keep_from=keep_from,
        statutory=statutory,
    )


def _method(draft: Draft, part: Part) -> tuple[Method, ...]:
    """In the order of `Method`, each once, so that lists that mean the same are the same."""
    if "method" not in part.entries:
        return DEFAULT_METHOD
    node = part.entries["method"].value
    what = f"'method' of {part.name!r}"
    chosen = draft.several(node, what, f"a method of {part.name!r}", tuple(Method), "unknown-method")
    if isinstance(node, yaml.SequenceNode) and not node.value:
        draft.report(node, "empty", f"{what} is empty", "name one or more, or leave it out")
    return tuple(method for method in Method if method in chosen)


def _with_borrowed_period(draft: Draft, purpose: Purpose, node: yaml.Node, with_keep: Collection[Purpose]) -> Purpose:
    """A purpose that only sees anonymised data keeps nothing longer than those that hold the data.

    So it takes the shortest period among them, which cannot lengthen anybody's.
    """
    periods = [other.keep for other in with_keep if set(other.uses) & set(purpose.uses)]
    if not periods:
        if purpose.only_anonymised:
            draft.report(
                node, "missing-key", f"the purpose {purpose.name!r} has no 'keep'",
                "add 'keep: P3Y'; no other purpose holds the data that it could follow"
            )  # fmt: skip
        return purpose
    return replace(purpose, keep=min(periods, key=lambda period: period.after(_REFERENCE)))


def _question_analytics(draft: Draft, part: Part, uses: Uses, types: Mapping[str, RecordType]) -> None:
    for type_name, fields in uses.items():
        for field_name in fields:
            if types[type_name].fields[field_name].analytics is None:
                draft.warn(
                    part.entries["uses"].key, "no-analytics",
                    f"{part.name!r} sees only anonymised data, and {type_name}.{field_name} has no 'analytics'",
                    f"add 'analytics:' to the field, one of {', '.join(ANALYTICS)}"
                )  # fmt: skip


def _category(draft: Draft, part: Part) -> str:
    if "category" not in part.entries:
        return PURPOSE
    node = part.entries["category"].value
    text = draft.text(node, f"the category of {part.name!r}")
    if text is None or text in PURPOSES:
        return text or PURPOSE
    draft.report(
        node, "unknown-purpose-category",
        f"the category of {part.name!r} is {shown(text)}, not a term of W3C DPV 2.3",
        near(text, PURPOSES, "a term such as dpv:ServiceProvision, listed at https://w3id.org/dpv/2.3")
    )  # fmt: skip
    return PURPOSE


def read_recipients(draft: Draft, node: yaml.Node, purposes: Collection[str]) -> dict[str, Recipient]:
    """`purposes` are the names that a recipient may serve."""
    recipients: dict[str, Recipient] = {}
    for name, entry in draft.named(node, "'recipients'", "a recipient").items():
        what = f"the recipient {name!r}"
        entries = draft.mapping(entry.value, what, allowed=_RECIPIENT_KEYS, required=("kind", "contact"))
        kind = draft.chosen(entries, "kind", f"the kind of {name!r}", tuple(RecipientKind), "unknown-recipient-kind")
        contact = draft.text(entries["contact"].value, f"the contact of {name!r}") if "contact" in entries else None
        served: tuple[str, ...] = ()
        if "purposes" in entries:
            served = _served(draft, entries["purposes"].value, name, purposes)
        title = draft.title(entries, "title", what)
        jurisdiction = draft.jurisdiction(entries, f"the jurisdiction of {name!r}")
        if kind is not None and contact is not None:
            recipients[name] = Recipient(name, RecipientKind(kind), contact, title, jurisdiction, served)
    return recipients


def _served(draft: Draft, node: yaml.Node, recipient: str, known: Collection[str]) -> tuple[str, ...]:
    served: list[str] = []
    for item, text in draft.texts(node, f"the purposes of {recipient!r}"):
        if text not in known:
            draft.report(
                item, "unknown-purpose", f"the recipient {recipient!r} serves {shown(text)}, which is no purpose",
                near(text, known, f"the purposes are {', '.join(known)}")
            )  # fmt: skip
        elif text not in served:
            served.append(text)
    return tuple(served)
