"""What of an event goes into the tree: its canonical form, of which the leaf is the hash.

RFC 8785 JSON, so that an auditor can write it again from an export: members sorted, no white space, nothing
that is null. Ids, declared names, counts and hashes only; what is personal in an event is in `audit_details`,
sealed under the subject's key, and here by the SHA-256 of the sealed bytes. A leaf therefore never changes,
whoever is erased. `v` is 1; another form gets another number.

    v id at writer seq actor role action outcome                       always
    subject record purpose basis fields detail request                  when there is one
    key origin digest sealed                                            when there is one

`at` is microseconds since 1970, UTC. `key` names the API key by the first 8 bytes of its SHA-256; `origin` is a
keyed hash of the address that the call came from; `digest` is the SHA-256 of the sealed record that a change left.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from privacy.database import Row
from privacy.tables import audit_events, uuid_of

MOST_BYTES: Final = 65_535  # of an entry in a C2SP bundle

# The members in the order of RFC 8785, which is that of their names.
_NAMES: Final = (
    "action", "actor", "at", "basis", "detail", "digest", "fields", "id", "key", "origin", "outcome", "purpose",
    "record", "request", "role", "sealed", "seq", "subject", "v", "writer",
)  # fmt: skip
_COLUMNS: Final = tuple(column.name for column in audit_events.columns)

# Nulls are left out; `detail` and `fields` are JSON in the database already, written sorted.
_Leaf = msgspec.defstruct("_Leaf", [(name, Any, msgspec.UNSET) for name in _NAMES], omit_defaults=True, namespace={})
_encode: Final = msgspec.json.Encoder(order="sorted").encode
_sort: Final = msgspec.json.Decoder().decode


def leaf(row: Row) -> bytes:
    """The canonical form of an event, given as a row of `audit_events` in the order of its columns."""
    (
        event_id, at, writer, sequence, actor, role, action, outcome, subject, record, purpose, basis, fields, detail,
        request, key, origin, digest, sealed,
    ) = row  # fmt: skip
    return _encode(
        _Leaf(
            action=action,
            actor=actor,
            at=at,
            basis=_given(basis),
            detail=_json(detail),
            digest=_given(digest),
            fields=_json(fields),
            id=str(uuid_of(event_id)),
            key=_given(key),
            origin=_given(origin),
            outcome=outcome,
            purpose=_given(purpose),
            record=_id(record),
            request=_given(request),
            role=role,
            sealed=_given(sealed),
            seq=sequence,
            subject=_id(subject),
            v=1,
            writer=str(uuid_of(writer)),
        )
    )


def _given(text: str | None) -> Any:
    return msgspec.UNSET if text is None else text


def _id(value: Any) -> Any:
    return msgspec.UNSET if value is None else str(uuid_of(value))


def _json(text: str | None) -> Any:
    return msgspec.UNSET if text is None else _sort(text)
