"""What a purpose sees: fields of record types, each in clear, through a mask, or redacted."""

from __future__ import annotations

import re
from typing import Final

import yaml

from privacy.manifest.model import REDACTED, RecordType
from privacy.manifest.notation import Draft
from privacy.manifest.placed_yaml import near, shown
from privacy.manifest.record_types import RecordTypes
from privacy.masks import MASKS

Uses = dict[str, dict[str, str | None]]

_USE: Final = re.compile(r"([a-z][a-z0-9_-]*)(?:(\.masked)(?:\(([^()]*)\))?|(\.redacted))?")


def read_uses(draft: Draft, node: yaml.Node, purpose: str, records: RecordTypes) -> Uses:
    """By record type and field, the mask, REDACTED, or None for in clear. What is named is marked in `records`."""
    uses: Uses = {}
    entries = draft.mapping(node, f"'uses' of {purpose!r}")
    if isinstance(node, yaml.MappingNode) and not node.value:
        draft.report(node, "empty", f"'uses' of {purpose!r} is empty", "uses: {type: [field, …]}")
    for type_name, entry in entries.items():
        record_type = records.types.get(type_name)
        if record_type is None:
            if records.types:  # without any, the fault is elsewhere and has been told
                draft.report(
                    entry.key, "unknown-type", f"{purpose!r} uses {shown(type_name)}, which is no record type",
                    near(type_name, records.types, f"the record types are {', '.join(records.types)}")
                )  # fmt: skip
            continue
        records.used.add((type_name,))
        chosen = _chosen(draft, entry.value, purpose, record_type)
        if chosen is not None:
            records.used.update((type_name, name) for name in chosen)
            uses[type_name] = chosen
    return uses


def _chosen(draft: Draft, node: yaml.Node, purpose: str, record_type: RecordType) -> dict[str, str | None] | None:
    what = f"{purpose!r} uses"
    if isinstance(node, yaml.ScalarNode):
        if node.value == "*":
            return dict.fromkeys(record_type.fields)
        draft.report(
            node, "wrong-kind", f"{what} {shown(node.value)} of {record_type.name!r}",
            "a list of fields '[name, phone.masked]', or \"*\" for all in clear"
        )  # fmt: skip
        return None
    chosen: dict[str, str | None] = {}
    for item, text in draft.texts(node, f"what {what} of {record_type.name!r}"):
        _use(draft, item, text, purpose, record_type, chosen)
    if isinstance(node, yaml.SequenceNode) and not node.value:
        draft.report(
            node, "empty", f"{what} no field of {record_type.name!r}", "name a field or remove the line"
        )  # fmt: skip
    return chosen


def _use(
    draft: Draft, node: yaml.Node, text: str, purpose: str, record_type: RecordType, chosen: dict[str, str | None]
) -> None:
    match = _USE.fullmatch(text)
    if match is None:
        draft.report(
            node,
            "bad-use",
            f"the purpose {purpose!r} uses {shown(text)}",
            "write field, field.masked, field.masked(mask) or field.redacted",
        )
        return
    name, masked, mask = match[1], match[2] is not None, match[3]
    declared = record_type.fields.get(name)
    if declared is None:
        draft.report(
            node, "unknown-field", f"{purpose!r} uses {shown(name)}, which {record_type.name!r} does not have",
            near(name, record_type.fields, f"the fields are {', '.join(record_type.fields)}")
        )  # fmt: skip
        return
    if name in chosen:
        draft.report(
            node,
            "field-twice",
            f"the purpose {purpose!r} uses {name!r} twice",
            "keep one: in clear, masked or redacted",
        )
        return
    if match[4] is not None:
        if not declared.scan:
            draft.report(
                node, "no-scan", f"{text!r} is used and {record_type.name}.{name} is not looked through",
                "add 'scan: [zh, en]' to the field, or write a mask"
            )  # fmt: skip
        chosen[name] = REDACTED
        return
    if mask is not None and mask not in MASKS:
        draft.report(
            node, "unknown-mask", f"{name!r} is masked with {shown(mask)}",
            near(mask, MASKS, f"one of {', '.join(MASKS)}")
        )  # fmt: skip
        mask = None
    elif masked and mask is None:
        mask = declared.mask
        if mask is None:
            draft.report(
                node, "no-mask", f"{text!r} is used and {record_type.name}.{name} has no mask",
                f"add 'mask:' to the field, or write {name}.masked(all)"
            )  # fmt: skip
    chosen[name] = mask
