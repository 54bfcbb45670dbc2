"""What a purpose rests on: the articles of its basis, the consent it asks for, the grounds of any other basis."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import yaml

from privacy.levels import Level, impersonates
from privacy.manifest.model import Basis, Field, Grounds, Method, RecordType
from privacy.manifest.notation import Draft, Part
from privacy.manifest.placed_yaml import shown
from privacy.periods import Period
from privacy.vocabulary import LAW_FORMS, is_law

# The articles that a basis rests on, first the ones a purpose gets when it names none. PIPL 13(1): (3) covers
# statutory duties as well as obligations, (5) news and public supervision, (6) published data, (7) other laws.
_BASIS_LAW: Final[Mapping[Basis, tuple[str, ...]]] = {
    Basis.CONSENT: ("PIPL-13-1", "GDPR-6-1-a"),
    Basis.CONTRACT: ("PIPL-13-2", "GDPR-6-1-b"),
    Basis.LEGAL_OBLIGATION: ("PIPL-13-3", "GDPR-6-1-c", "PIPL-13-7"),
    Basis.VITAL_INTEREST: ("PIPL-13-4", "GDPR-6-1-d"),
    Basis.PUBLIC_TASK: ("PIPL-13-3", "GDPR-6-1-e", "PIPL-13-5", "PIPL-13-6", "PIPL-13-7"),
    Basis.LEGITIMATE_INTEREST: ("GDPR-6-1-f",),
}
_SEPARATE_METHODS: Final = {Method.PUBLISH: "PIPL-25", Method.PUBLIC_IMAGES: "PIPL-26"}


@dataclass(frozen=True, slots=True)
class ConsentTerms:
    """What `consent` says; `cool_off` is None where nothing is said of it."""

    expires: Period | None = None
    is_separate: bool = False
    cool_off: Period | None = None


def read_basis(draft: Draft, part: Part, jurisdiction: str) -> Basis | None:
    text = draft.chosen(part.entries, "basis", f"the basis of {part.name!r}", tuple(Basis), "unknown-basis")
    basis = Basis(text) if text else None
    if basis is Basis.LEGITIMATE_INTEREST and _is_chinese(jurisdiction):
        draft.report(
            part.entries["basis"].value, "basis-not-in-law",
            f"the purpose {part.name!r} rests on legitimate interest, not in PIPL-13",
            "one of consent, contract, legal-obligation, vital-interest, public-task (PIPL-13)"
        )  # fmt: skip
    return basis


def read_law(draft: Draft, part: Part, basis: Basis | None) -> tuple[str, ...]:
    """The articles named, or those of the basis."""
    name, entries = part.name, part.entries
    if "law" not in entries:
        if basis is Basis.LEGAL_OBLIGATION:
            draft.warn(
                entries["basis"].value, "law-not-named", f"{name!r} rests on a legal obligation and names no law",
                "add 'law: [CN-ECL-31]', the article that obliges (PIPL-13-3)"
            )  # fmt: skip
        return _BASIS_LAW[basis][:2] if basis else ()
    law: list[str] = []
    rests_on_others = {reference for other in _BASIS_LAW.values() for reference in other}
    for item, reference in draft.texts(entries["law"].value, f"the law of {name!r}"):
        if not is_law(reference):
            draft.report(item, "bad-law", f"{shown(reference)} is no reference to a law", f"write it like {LAW_FORMS}")
        elif basis is not None and reference in rests_on_others and reference not in _BASIS_LAW[basis]:
            draft.report(
                item, "law-of-other-basis", f"{name!r} rests on {basis} and names {reference}, another basis",
                f"{' or '.join(_BASIS_LAW[basis])}"
            )  # fmt: skip
        elif reference not in law:
            law.append(reference)
    return tuple(law)


def read_consent(draft: Draft, part: Part, basis: Basis | None) -> ConsentTerms:
    name, entries = part.name, part.entries
    if "consent" not in entries:
        return ConsentTerms()
    if basis is not None and basis is not Basis.CONSENT:
        draft.report(
            entries["consent"].key, "consent-without-basis", f"{name!r} has 'consent' and rests on {basis}",
            "remove it, or write 'basis: consent'"
        )  # fmt: skip
    keys = ("expires", "separate", "cool_off")
    inner = draft.mapping(entries["consent"].value, f"'consent' of {name!r}", allowed=keys)
    separate = False
    if "separate" in inner:
        separate = draft.boolean(inner["separate"].value, f"'consent.separate' of {name!r}") or False
    return ConsentTerms(
        expires=draft.period(inner, "expires", f"'consent.expires' of {name!r}"),
        is_separate=separate,
        cool_off=draft.period(inner, "cool_off", f"'consent.cool_off' of {name!r}"),
    )


def demand_separate_consent(
    draft: Draft,
    part: Part,
    method: Collection[Method],
    uses: Mapping[str, Collection[str]],
    types: Mapping[str, RecordType],
) -> None:
    """A fault for each reason that a consent, which is not separate, would have to be (PIPL 25, 26, 29)."""
    used = {
        f"{type_name}.{field_name}": types[type_name].fields[field_name]
        for type_name, fields in uses.items()
        for field_name in fields
    }
    place = part.entries["consent"].key if "consent" in part.entries else part.key
    for found, law in _reasons_for_separate_consent(method, used):
        draft.report(
            place, "separate-consent", f"{part.name!r} {found} on consent that is not separate",
            f"add 'consent: {{separate: true}}' ({law})"
        )  # fmt: skip


def _reasons_for_separate_consent(method: Collection[Method], used: Mapping[str, Field]) -> Iterator[tuple[str, str]]:
    sensitive = [path for path, declared in used.items() if declared.level is Level.L4]
    if sensitive:
        yield f"uses {', '.join(sensitive)} (L4)", "PIPL-29"
    elif impersonates(used.values()):  # of whatever record types: to the person it makes no difference
        yield f"uses {', '.join(used)}, together enough to impersonate somebody (L4),", "PIPL-29, GB/T 45574"
    for each, law in _SEPARATE_METHODS.items():
        if each in method:
            yield f"has the method {each}", law


def read_grounds(draft: Draft, part: Part, basis: Basis | None, jurisdiction: str) -> Grounds:
    """What a basis other than consent rests on. Legitimate interest needs its balancing test (GDPR 6(1)(f))."""
    name, entries = part.name, part.entries
    grounds, is_balanced = Grounds(), False
    if "grounds" in entries:
        place = entries["grounds"]
        if basis is Basis.CONSENT:
            draft.report(
                place.key, "grounds-of-consent", f"{name!r} has 'grounds' and rests on consent",
                "remove it; what was agreed to, and until when, each consent says itself"
            )  # fmt: skip
        grounds, is_balanced = _read_grounds(draft, place.value, name, basis)
    # Where the law does not know the basis, that is the fault, and a test would not help.
    if basis is Basis.LEGITIMATE_INTEREST and not is_balanced and not _is_chinese(jurisdiction):
        draft.report(
            entries["grounds"].key if "grounds" in entries else entries["basis"].value, "balancing-test-missing",
            f"{name!r} rests on legitimate interest and names no balancing test",
            "add 'grounds: {balancing_test: LIA-2026-03}', the recorded test (GDPR-6-1-f)"
        )  # fmt: skip
    return grounds


def _read_grounds(draft: Draft, node: yaml.Node, name: str, basis: Basis | None) -> tuple[Grounds, bool]:
    """The grounds, and whether a balancing test stands there, well written or not."""
    what = f"'grounds' of {name!r}"
    inner = draft.mapping(node, what, allowed=("reference", "from", "until", "balancing_test"))
    if isinstance(node, yaml.MappingNode) and not node.value:
        draft.report(node, "empty", f"{what} is empty", "grounds: {reference: …, from: …, until: …}, or leave it out")
    first_day = draft.day(inner, "from", f"'grounds.from' of {name!r}")
    last_day = draft.day(inner, "until", f"'grounds.until' of {name!r}")
    if first_day is not None and last_day is not None and last_day < first_day:
        draft.report(
            inner["until"].value, "until-before-from", f"{what} ends on {last_day} and begins on {first_day}",
            "until: the last day, the first one or later"
        )  # fmt: skip
    if "balancing_test" in inner and basis not in (Basis.LEGITIMATE_INTEREST, Basis.CONSENT, None):
        draft.report(
            inner["balancing_test"].key, "balancing-test-of-other-basis",
            f"{name!r} has a balancing test and rests on {basis}",
            "remove it; only legitimate interest is balanced (GDPR-6-1-f)"
        )  # fmt: skip
    texts = {
        key: draft.text(inner[key].value, f"'grounds.{key}' of {name!r}")
        for key in ("reference", "balancing_test")
        if key in inner
    }
    grounds = Grounds(texts.get("reference"), first_day, last_day, texts.get("balancing_test"))
    return grounds, "balancing_test" in inner


def _is_chinese(jurisdiction: str) -> bool:
    return jurisdiction.split("-")[0] == "CN"
