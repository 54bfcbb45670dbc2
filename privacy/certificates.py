"""The certificate of an erasure: what went, what stayed and why, signed, for the subject or an auditor to keep.

It holds ids, declared names, counts and instants; no personal data and no hash of any. The subject is named by its
opaque id, which nothing in the service leads to a person from any more. It is signed as `privacy.signed_documents`
says, and anybody with the deployment's public key verifies it without the service.

It says what the service did; that the keys it names existed nowhere else rests on how the key store's backups are
kept (docs/erasure.md).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import func, select

from privacy.erasure_scope import Tally
from privacy.errors import SignatureInvalid
from privacy.signed_documents import Verified, sign
from privacy.signed_documents import parse as parse_signed
from privacy.signed_documents import verify as verify_signed
from privacy.tables import audit_positions
from privacy.work import Work

TYPE: Final = "ErasureCertificate"
VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Facts:
    """What an erasure's end knows. `ledger`: the numbers of its marks in the erasure ledger."""

    erasure_id: UUID
    subject_id: UUID
    is_whole: bool
    scope: Mapping[str, Sequence[str]]
    reason: str
    law: Sequence[str]
    asked_at: datetime
    begun_at: datetime
    done_at: datetime
    tally: Tally
    kept: Sequence[Mapping[str, Any]]
    ledger: Sequence[int]
    told: Sequence[str]


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate whose signature holds: by whom it was signed and when, and what it says."""

    signed: Verified
    says: Mapping[str, Any]


def issue(work: Work, facts: Facts) -> str:
    """The signed certificate as JSON text; the same facts give the same text."""
    signed = sign(_document(work, facts), work.service.keyring.signer, created=work.now)
    return msgspec.json.encode(signed, order="deterministic").decode()


def verify(text: bytes, trusted: Collection[bytes] | None) -> Certificate:
    """What the certificate says, when nothing of it was changed and it was signed with a key of `trusted` (32 bytes).

    With None nobody is named as the signer but by the certificate itself. Raises `SignatureInvalid`.
    """
    document = parse_signed(text)
    signed = verify_signed(document, trusted=trusted)
    if document.get("type") != TYPE or document.get("version") != VERSION:
        raise SignatureInvalid("This is not a certificate of erasure", zh="这不是删除证明")
    return Certificate(signed, {name: value for name, value in document.items() if name != "proof"})


def _document(work: Work, facts: Facts) -> dict[str, object]:
    controller, tally = work.declared.controller, facts.tally
    size = work.execute(select(func.coalesce(func.max(audit_positions.c.position) + 1, 0))).scalar_one()
    return {
        "type": TYPE,
        "version": VERSION,
        "id": str(facts.erasure_id),
        "controller": {
            "name": {"zh": controller.title.in_language("zh"), "en": controller.title.in_language("en")},
            "contact": controller.contact,
            "jurisdiction": controller.jurisdiction,
        },
        "subject": str(facts.subject_id),
        "extent": "whole" if facts.is_whole else "part",
        "scope": {name: list(named) for name, named in facts.scope.items()},
        "reason": facts.reason,
        "law": list(facts.law),
        "asked_at": _instant(facts.asked_at),
        "begun_at": _instant(facts.begun_at),
        "done_at": _instant(facts.done_at),
        "erased": {
            "records": tally.records,
            "records_in_part": tally.partly,
            "types": dict(sorted(tally.types.items())),
            "fields": dict(sorted(tally.fields.items())),
            "purposes": sorted(tally.purposes),
        },
        "kept": [dict(one) for one in facts.kept],
        "keys_destroyed": list(tally.keys),
        "ledger": list(facts.ledger),
        "recipients_told": list(facts.told),
        # the log is signed by itself; the event of this erasure stands at this position or after it
        "audit": {"log": work.service.keyring.signer.name, "size": int(size)},
        "statement": _statement(facts),
    }


def _statement(facts: Facts) -> dict[str, str]:
    """What was done, in one sentence of each language."""
    keys, records, partly = len(facts.tally.keys), facts.tally.records, facts.tally.partly
    if facts.is_whole:
        zh = "该个人的全部个人信息已删除，加密其数据的密钥已销毁，任何备份中的密文均无法再解密。"
        en = "All personal data of this data subject has been erased. The keys that sealed it were destroyed, so that "
        en += "what backups still hold cannot be opened."
    else:
        zh = "所请求的部分个人信息已删除，加密该部分数据的密钥已销毁，任何备份中的密文均无法再解密。"
        en = (
            "The part that was asked for has been erased. The keys that sealed it were destroyed, so that what backups "
        )
        en += "still hold of it cannot be opened."
    if facts.kept:
        zh += "其余内容因法律保留或者法定保存期限未届满而暂予保存，仅限存储。"
        en += " The rest must be kept for a legal hold or a statutory period, and is stored only."
    zh += f"删除的记录：{records}；删除部分字段的记录：{partly}；销毁的数据密钥：{keys}。"
    en += f" Records erased: {records}; records of which fields were erased: {partly}; data keys destroyed: {keys}."
    return {"zh": zh, "en": en}


def _instant(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
