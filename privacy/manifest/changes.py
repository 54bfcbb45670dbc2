"""What differs between two manifests, what that means, and which stored rows stand in its way.

Nothing here knows a database: a `Demand` is a question, and the caller counts the rows.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, Literal

from privacy.anonymisation.hierarchy_specs import Kind, Spec, as_json
from privacy.manifest.model import REDACTED, Grounds, KeepFrom, Manifest, Statutory, Text
from privacy.periods import Period, longest

# Periods have no order of their own; from one fixed day they have.
_REFERENCE: Final = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two manifests.

    `material`: people must be told or asked again (PIPL 14, 17, 23), or stored data is affected.
    """

    path: str
    kind: Literal["added", "removed", "changed"]
    before: str | None
    after: str | None
    effect: str
    material: bool


@dataclass(frozen=True, slots=True)
class Demand:
    """Stored rows that must not exist when the change is applied; None stands for any.

    `type-removed`: records of `record_type`. `field-removed`: records of `record_type` with `field`.
    `purpose-removed`: records held for `purpose`, of `record_type` if given.
    """

    kind: Literal["type-removed", "field-removed", "purpose-removed"]
    record_type: str | None
    field: str | None
    purpose: str | None
    reason: str = ""


def demands(old: Manifest | None, new: Manifest) -> tuple[Demand, ...]:
    """What must have no stored rows before `new` may replace `old` (PIPL 19, 51): none for a first manifest."""
    return tuple(_demands(old, new)) if old is not None else ()


def _demands(old: Manifest, new: Manifest) -> Iterator[Demand]:
    for name, before in old.records.items():
        after = new.records.get(name)
        if after is None:
            yield Demand("type-removed", name, None, None, "the record type is no longer declared")
            continue
        if after.scope != before.scope:
            # A record is sealed under the data key of its scope and cannot be opened under another.
            yield Demand("type-removed", name, None, None, "the scope has changed, and with it the data key")
        for field_name, declared in before.fields.items():
            now = after.fields.get(field_name)
            if now is None:
                yield Demand("field-removed", name, field_name, None, "the field is no longer declared")
            elif now.type is not declared.type:
                yield Demand("field-removed", name, field_name, None, "stored values are not of the new type")
    for name, purpose in old.purposes.items():
        successor = new.purposes.get(name)
        if successor is None:
            yield Demand("purpose-removed", None, None, name, "the purpose is no longer declared")
            continue
        for type_name in purpose.uses:
            if type_name not in successor.uses and type_name in new.records:
                yield Demand("purpose-removed", type_name, None, name, "the purpose has no more use for the type")


def compare(old: Manifest | None, new: Manifest) -> tuple[Change, ...]:
    """Every difference, sorted by path. Of what is added or removed as a whole the parts are not repeated."""
    before = dict(_leaves(old)) if old is not None else {}
    after = dict(_leaves(new))
    changes: list[Change] = []
    for path in sorted(before.keys() | after.keys()):
        was, now = before.get(path), after.get(path)
        if was == now or any(path[: len(other)] == other for other in _whole(path, before, after)):
            continue
        kind: Literal["added", "removed", "changed"]
        kind = "added" if path not in before else "removed" if path not in after else "changed"
        effect, material = _effect(path, kind, was, now)
        if was == _DECLARED and old is not None:
            was = _summary(path, old)
        if now == _DECLARED:
            now = _summary(path, new)
        changes.append(Change(".".join(path), kind, was, now, effect, material))
    return tuple(changes)


_Path = tuple[str, ...]
_DECLARED: Final = "declared"  # the same before and after: the parts tell the difference, this that it is there
_SEPARATOR: Final = ", "
_PLAIN_OF_PURPOSE: Final = (
    "basis", "category", "keep", "keep_from", "statutory", "at_end", "only_anonymised", "consent_expires",
    "consent_separate", "cool_off", "opt_out", "grounds",
)  # fmt: skip


def _whole(path: _Path, before: Collection[_Path], after: Collection[_Path]) -> Iterator[_Path]:
    """The things above `path` that came or went as a whole."""
    for length in range(2, len(path)):
        above = path[:length]
        if (above in before) != (above in after):
            yield above


def _leaves(manifest: Manifest) -> Iterator[tuple[_Path, str]]:
    """Every declared fact by path. A thing with parts has a line of its own."""
    controller = manifest.controller
    for key in ("contact", "jurisdiction", "planned_subjects"):
        yield ("controller", key), str(getattr(controller, key))
    yield ("controller", "name"), _written(controller.title)
    yield ("controller", "languages"), ", ".join(controller.languages)
    yield ("controller", "stores_in"), ", ".join(controller.stores_in)
    for name, record_type in manifest.records.items():
        yield ("records", name), _DECLARED
        yield ("records", name, "scope"), record_type.scope
        yield ("records", name, "title"), _written(record_type.title)
        yield ("records", name, "budget"), _written(record_type.budget)
        for field_name, declared in record_type.fields.items():
            path = ("records", name, "fields", field_name)
            yield path, _DECLARED
            for key in ("level", "category", "type", "lookup", "normaliser", "mask", "detect", "on_find", "analytics"):
                yield (*path, key), _written(getattr(declared, key))
            yield (*path, "scan"), ", ".join(declared.scan)
            yield (*path, "hierarchy"), _hierarchy(declared.hierarchy)
            yield (*path, "max_length"), str(declared.max_length)
            yield (*path, "title"), _written(declared.title)
    for name, purpose in manifest.purposes.items():
        of_purpose: _Path = ("purposes", name)
        yield of_purpose, _DECLARED
        for key in _PLAIN_OF_PURPOSE:
            yield (*of_purpose, key), _written(getattr(purpose, key))
        yield (*of_purpose, "law"), ", ".join(purpose.law)
        yield (*of_purpose, "method"), _SEPARATOR.join(purpose.method)
        yield (*of_purpose, "title"), _written(purpose.title)
        yield (*of_purpose, "description"), _written(purpose.description)
        for type_name, fields in purpose.uses.items():
            for field_name, mask in fields.items():
                yield (*of_purpose, "uses", type_name, field_name), _shown(mask)
    for name, recipient in manifest.recipients.items():
        of_recipient: _Path = ("recipients", name)
        yield of_recipient, _DECLARED
        for key in ("kind", "contact", "jurisdiction", "title"):
            yield (*of_recipient, key), _written(getattr(recipient, key))
        yield (*of_recipient, "purposes"), ", ".join(recipient.purposes)


def _shown(mask: str | None) -> str:
    """How a purpose sees a field."""
    return "in clear" if mask is None else REDACTED if mask == REDACTED else f"masked ({mask})"


def _summary(path: _Path, manifest: Manifest) -> str:
    """A thing that came or went as a whole, in one line."""
    match path:
        case ("records", name):
            return ", ".join(manifest.records[name].fields)
        case ("records", name, "fields", field_name):
            declared = manifest.records[name].fields[field_name]
            return f"{declared.level}, {declared.category}, {declared.type}"
        case ("purposes", name):
            purpose = manifest.purposes[name]
            return f"{purpose.basis}, {purpose.keep}, {', '.join(purpose.uses)}"
        case ("recipients", name):
            return manifest.recipients[name].kind
        case _:
            return _DECLARED


def _written(value: object) -> str:
    match value:
        case None | False:
            return "none" if value is None else "no"
        case True:
            return "yes"
        case Text(zh, en):
            return zh if zh == en else f"{zh} / {en}"
        case Grounds():
            return _written_grounds(value)
        case KeepFrom():
            title = "" if value.title is None else f" ({_written(value.title)})"
            return f"{value.life_event or 'creation'}{title}" + (f", at most {value.at_most}" if value.at_most else "")
        case Statutory(keep, law):
            return _SEPARATOR.join((f"{keep} by law", *law))
        case _:
            return str(value)


def _hierarchy(spec: Spec | None) -> str:
    """A CSV by its digest: it is as long as its values are many."""
    if spec is None:
        return _written(None)
    if spec.kind is Kind.CSV:
        return f"csv {sha256(spec.text.encode()).hexdigest()[:16]}"
    return json.dumps(as_json(spec), ensure_ascii=False)


def _written_grounds(grounds: Grounds) -> str:
    parts = (
        ("", grounds.reference),
        ("from ", grounds.first_day),
        ("until ", grounds.last_day),
        ("balancing test ", grounds.balancing_test),
    )
    return _SEPARATOR.join(f"{what}{value}" for what, value in parts if value is not None) or _written(None)


def _effect(path: _Path, kind: str, was: str | None, now: str | None) -> tuple[str, bool]:
    match path:
        case ("controller", "planned_subjects"):
            return "new entries of the blind index are cut for another number of subjects", False
        case ("controller", "languages"):
            return "titles are checked for other languages", False
        case ("controller", "stores_in"):
            return "receipts name other countries where the data is stored", False
        case ("controller", _):
            return "notices and receipts name the controller differently; people must be told (PIPL-17)", True
        case ("records", _):
            return _THING["type"][kind]
        case ("records", _, "budget"):
            return "statistics may tell more or less of the people from now on; what was spent stays spent", True
        case ("records", _, "scope"):
            return "records are sealed under another data key; none may be stored", True
        case ("records", _, "fields", _):
            return _THING["field"][kind]
        case ("records", _, "fields", _, part):
            return _field_effect(part, was, now)
        case ("purposes", _):
            return _THING["purpose"][kind]
        case ("purposes", _, "uses", type_name, name):
            return _use_effect(f"{type_name}.{name}", kind, now)
        case ("purposes", _, "keep"):
            return _keep_effect(was, now)
        case ("purposes", _, "method"):
            return _method_effect(was, now)
        case ("purposes", _, "cool_off"):
            return _cool_off_effect(was, now)
        case ("purposes", _, "opt_out"):
            return _opt_out_effect(now)
        case ("purposes", _, part):
            return _PURPOSE_EFFECT[part]
        case ("recipients", _):
            return _THING["recipient"][kind]
        case ("recipients", _, "title"):
            return "only what pages call it", False
        case ("recipients", *_):
            return "people must be told who receives their data, and how (PIPL-23)", True
        case _:
            return "only what pages call it", False


_THING: Final[Mapping[str, Mapping[str, tuple[str, bool]]]] = {
    "type": {
        "added": ("records of this type can be stored", False),
        "removed": ("no record of this type may be stored any more", True),
    },
    "field": {
        "added": ("the field can be stored; the purposes that use it say so themselves", False),
        "removed": ("no stored record may have the field any more", True),
    },
    "purpose": {
        "added": ("data may be used for something new; people must be told, or asked (PIPL-14, PIPL-17)", True),
        "removed": ("no record may be held for the purpose any more", True),
    },
    "recipient": {
        "added": ("data may go to somebody new; people must be told, or asked (PIPL-23)", True),
        "removed": ("nothing more may be given to this recipient", False),
    },
}
_PURPOSE_EFFECT: Final[Mapping[str, tuple[str, bool]]] = {
    "basis": ("the lawful ground is another; people must be told, and consent asked where it is now needed", True),
    "category": ("what people were told of the purpose no longer fits (PIPL-14)", True),
    "law": ("decisions and registers name other articles", False),
    "only_anonymised": ("whether the purpose sees data of persons or anonymised data only", True),
    "consent_expires": ("consent given from now on lasts differently", False),
    "consent_separate": ("consent given until now may not be of the kind that is asked for (PIPL-14)", True),
    "keep_from": (
        "records end at other times; people were told of another period (PIPL-17), and consented to it",
        True,
    ),
    "statutory": ("records may go earlier or later than the law was said to demand (PIPL-47)", True),
    "at_end": ("people were told of another end of their data (PIPL-17, CN-NDSMR-21)", True),
    "grounds": ("what the basis rests on; outside its days the purpose is refused from the next request on", False),
    "title": ("only what pages call it", False),
    "description": ("people read another explanation; check that the notice still fits", False),
}


def _field_effect(part: str, was: str | None, now: str | None) -> tuple[str, bool]:
    match part:
        case "level":
            lowered = (now or "") < (was or "")
            return (
                ("protected less from the next read on; a person must have decided so", True)
                if lowered
                else ("protected more from the next read on", False)
            )
        case "category":
            return "people were told of another kind of data (PIPL-17)", True
        case "type":
            return "stored values are not of the new type; none may be stored", True
        case "lookup" | "normaliser":
            return (
                ("stored values can no longer be looked up by this field", True)
                if now in ("no", "none")
                else ("stored values are found only after the index has been rebuilt", True)
            )
        case "mask":
            return "purposes that see the field masked see another part of it", True
        case "max_length":
            return "longer values are refused from now on" if int(now or 0) < int(
                was or 0
            ) else "longer values fit", False
        case "scan" if was and not now:
            return "new values are not looked through any more", False
        case "scan":
            return "new values are looked through in other languages; stored ones by the job scan-stored", False
        case "detect":
            return "new values are checked for another kind", False
        case "on_find":
            return "what is found above the declared level is handled differently from the next write on", False
        case "hierarchy":
            return "releases from now on generalise the field otherwise, and do not stand beside earlier ones", True
        case "analytics":
            return "releases from now on treat the field differently", True
        case _:
            return "only what pages call it", False


def _use_effect(name: str, kind: str, now: str | None) -> tuple[str, bool]:
    match kind:
        case "added":
            return f"the purpose sees {name}, {now}; people must be told, or asked (PIPL-14)", True
        case "removed":
            return f"the purpose no longer sees {name}", False
        case _:
            return f"the purpose sees {name} {now} from the next read on", now == "in clear"


def _keep_effect(was: str | None, now: str | None) -> tuple[str, bool]:
    before, after = Period.parse(was or ""), Period.parse(now or "")
    if before.after(_REFERENCE) == after.after(_REFERENCE):
        return "the same period, written differently", False
    if longest((before, after), _REFERENCE) == before:
        return "records past the new period can no longer be read for the purpose", True
    return "records are kept longer; people must be told (PIPL-17), and asked again where they consented", True


def _method_effect(was: str | None, now: str | None) -> tuple[str, bool]:
    before, after = (written.split(_SEPARATOR) if written else [] for written in (was, now))
    added = [method for method in after if method not in before]
    if added:
        methods = _SEPARATOR.join(added)
        return f"more is done with the data: {methods}; people must be told, or asked again (PIPL-14, PIPL-17)", True
    return "less is done with the data than people were told; notices must say so (PIPL-17)", True


def _cool_off_effect(was: str | None, now: str | None) -> tuple[str, bool]:
    before, after = (Period.parse(written or "").after(_REFERENCE) for written in (was, now))
    if before == after:
        return "the same period, written differently", False
    return f"after a refusal people may be asked again {'sooner' if after < before else 'only later'}", False


def _opt_out_effect(now: str | None) -> tuple[str, bool]:
    if now == _written(None):
        return "the Global Privacy Control signal no longer opts anybody out; people must be told (CCPA-1798.135)", True
    return f"the Global Privacy Control signal opts out of the purpose, as {now} (CCPA-1798.135)", False
