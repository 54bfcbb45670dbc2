"""From a manifest back to YAML, canonical."""

from __future__ import annotations

import yaml

from privacy.manifest.model import Manifest, Purpose, RecordType, Text, ValueType


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
            analytics=declared.analytics,
            max_length=declared.max_length if declared.type in (ValueType.TEXT, ValueType.LIST) else None,
        )
        for name, declared in record_type.fields.items()
    }
    return _given(title=_both(record_type.title), scope=record_type.scope, fields=fields)


def _dumped_purpose(purpose: Purpose) -> dict[str, object]:
    uses = {
        type_name: [name if mask is None else f"{name}.masked({mask})" for name, mask in fields.items()]
        for type_name, fields in purpose.uses.items()
    }
    expires = str(purpose.consent_expires) if purpose.consent_expires else None
    return _given(
        title=_both(purpose.title),
        description=_both(purpose.description),
        basis=purpose.basis.value,
        law=list(purpose.law),
        category=purpose.category,
        uses=uses,
        keep=str(purpose.keep),
        only="anonymised" if purpose.only_anonymised else None,
        consent=_given(expires=expires, separate=purpose.consent_separate or None),
    )


def _both(text: Text | None) -> dict[str, str] | None:
    return {"zh": text.zh, "en": text.en} if text else None


def _given(**entries: object) -> dict[str, object]:
    return {key: value for key, value in entries.items() if value not in (None, [], {})}
