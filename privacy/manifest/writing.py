"""From a manifest back to YAML, canonical."""

from __future__ import annotations

import yaml

from privacy.anonymisation.hierarchy_specs import as_json
from privacy.manifest.model import (
    NANO,
    REDACTED,
    Basis,
    Budget,
    Grounds,
    KeepFrom,
    KeepFromKind,
    Manifest,
    Purpose,
    RecordType,
    Text,
    ValueType,
)


def dump(manifest: Manifest) -> str:
    """The declaration as canonical YAML, every default written out: `parse(dump(m), …) == m`."""
    controller = manifest.controller
    document: dict[str, object] = {
        "controller": {
            "name": _both(controller.title),
            "contact": controller.contact,
            "jurisdiction": controller.jurisdiction,
            "languages": list(controller.languages),
            "planned_subjects": controller.planned_subjects,
            "stores_in": list(controller.stores_in),
        },
        "records": {name: _dumped_type(record_type) for name, record_type in manifest.records.items()},
        "purposes": {name: _dumped_purpose(purpose) for name, purpose in manifest.purposes.items()},
    }
    if manifest.recipients:
        document["recipients"] = {
            name: _given(
                kind=recipient.kind.value,
                contact=recipient.contact,
                title=_both(recipient.title),
                jurisdiction=recipient.jurisdiction,
                purposes=list(recipient.purposes),
            )
            for name, recipient in manifest.recipients.items()
        }
    text: str = yaml.safe_dump(document, allow_unicode=True, sort_keys=False, width=120)
    return text


def _dumped_type(record_type: RecordType) -> dict[str, object]:
    fields = {
        name: _given(
            level=str(declared.level),
            category=declared.category,
            type=declared.type.value,
            title=_both(declared.title),
            lookup="exact" if declared.lookup else None,
            normalise=declared.normaliser,
            mask=declared.mask,
            detect=declared.detect,
            scan=list(declared.scan),
            on_find=declared.on_find.value if declared.scan or declared.detect else None,
            analytics=declared.analytics,
            hierarchy=None if declared.hierarchy is None else as_json(declared.hierarchy),
            max_length=declared.max_length if declared.type in (ValueType.TEXT, ValueType.LIST) else None,
        )
        for name, declared in record_type.fields.items()
    }
    return _given(
        title=_both(record_type.title),
        scope=record_type.scope,
        budget=_dumped_budget(record_type.budget),
        fields=fields,
    )


def _dumped_budget(budget: Budget | None) -> dict[str, object] | None:
    if budget is None:
        return None
    return {"total": budget.total / NANO, "analyst": budget.analyst / NANO, "delta": float(budget.delta)}


def _dumped_purpose(purpose: Purpose) -> dict[str, object]:
    uses = {
        type_name: [_dumped_use(name, mask) for name, mask in fields.items()]
        for type_name, fields in purpose.uses.items()
    }
    return _given(
        title=_both(purpose.title),
        description=_both(purpose.description),
        basis=purpose.basis.value,
        law=list(purpose.law),
        category=purpose.category,
        uses=uses,
        keep=str(purpose.keep),
        keep_from=_dumped_keep_from(purpose.keep_from),
        statutory=_dumped_statutory(purpose),
        at_end=purpose.at_end.value,
        only="anonymised" if purpose.only_anonymised else None,
        method=[method.value for method in purpose.method],
        consent=_dumped_consent(purpose),
        opt_out=purpose.opt_out.value if purpose.opt_out else None,
        grounds=_dumped_grounds(purpose.grounds),
    )


def _dumped_use(name: str, mask: str | None) -> str:
    return name if mask is None else f"{name}.{REDACTED}" if mask == REDACTED else f"{name}.masked({mask})"


def _dumped_consent(purpose: Purpose) -> dict[str, object] | None:
    """None for another basis, where the key is a fault and the cool-off is always the default."""
    if purpose.basis is not Basis.CONSENT:
        return None
    return _given(
        expires=str(purpose.consent_expires) if purpose.consent_expires else None,
        separate=purpose.consent_separate or None,
        cool_off=str(purpose.cool_off),
    )


def _dumped_keep_from(keep_from: KeepFrom) -> str | dict[str, object]:
    if keep_from.kind is not KeepFromKind.EVENT:
        return keep_from.kind.value
    return _given(event=keep_from.event, at_most=str(keep_from.at_most), title=_both(keep_from.title))


def _dumped_statutory(purpose: Purpose) -> dict[str, object] | None:
    if purpose.statutory is None:
        return None
    return {"keep": str(purpose.statutory.keep), "law": list(purpose.statutory.law)}


def _dumped_grounds(grounds: Grounds) -> dict[str, object]:
    days = {"from": grounds.first_day, "until": grounds.last_day}  # `from` is a word of Python
    return _given(reference=grounds.reference, **days, balancing_test=grounds.balancing_test)


def _both(text: Text | None) -> dict[str, str] | None:
    return {"zh": text.zh, "en": text.en} if text else None


def _given(**entries: object) -> dict[str, object]:
    return {key: value for key, value in entries.items() if value not in (None, [], {})}
