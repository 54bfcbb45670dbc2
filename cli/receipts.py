"""`privacy consent verify`: is this receipt as it was signed, by whom, and what does it state. Needs no service."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import typer
from rich.markup import escape

from cli.spoken import language
from cli.terminal import console, moment, reporting, say, show, table
from privacy import receipt_forms
from privacy.errors import Invalid
from privacy.signed_documents import Verified, Verifier, parse, verification_method, verifier
from privacy.signed_documents import verify as verify_signature

_Form = TypeVar("_Form", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Statement:
    """What a receipt states, whichever its form. None where the form does not say, or nothing was given."""

    receipt: str
    consent: str | None
    subject: str
    controller: str
    purpose: str
    state: str
    at: datetime
    expires_at: datetime | None
    notice: str
    language: str
    digest: str | None
    categories: tuple[str, ...]
    recipients: tuple[str, ...]
    withdrawn_at: str | None


def verify(file: Path, key: str | None, as_json: bool, *, own: Callable[[], Sequence[Verifier]] = tuple) -> None:
    """Exit status 0: intact, and signed with the key given, or else with one of `own()`, the deployment's. 1: not.

    Without a key to compare with it is 0 too, with a warning: the document names its key by itself, so it has not
    been changed, but anybody could have made it. What it states is shown only when the signature holds. 2: the file
    or the key cannot be read.
    """
    given = verifier_of(key)
    try:
        text = file.read_bytes()
    except OSError:
        raise typer.BadParameter("the file cannot be read", param_hint="FILE") from None
    with reporting(as_json):
        known = (given,) if given else own()
        document = parse(text)
        found = verify_signature(document, trusted=[one.public for one in known] or None)
        trusted = next((one for one in known if one.public == found.public), None)
        statement = stated(document)
        answer = {
            "intact": True,
            "trusted": trusted is not None,
            "key": _did(found),
            "name": trusted.name if trusted else None,
            "signed_at": found.created,
            "states": statement,
        }
        show(as_json, answer, lambda: _render(statement, found, trusted))


def stated(document: Mapping[str, object]) -> Statement:
    """What the receipt states. Raises Invalid for a document, signed or not, that is no consent receipt."""
    return _kantara(document) if "consentReceiptID" in document else _dpv(document)


def verifier_of(key: str | None) -> Verifier | None:
    if key is None:
        return None
    try:
        return verifier(key)
    except Invalid as error:
        raise typer.BadParameter(error.detail, param_hint="--key") from None


# -- The two forms ----------------------------------------------------------------------------------------------------


class _Named(msgspec.Struct):
    id: str = msgspec.field(name="dpv:hasIdentifier")


class _Entity(_Named):
    name: str = msgspec.field(name="dpv:hasName")


class _Purpose(msgspec.Struct):
    title: str = msgspec.field(name="dct:title")


class _Data(msgspec.Struct):
    category: str = msgspec.field(name="skos:broader")


class _Process(msgspec.Struct):
    purpose: _Purpose = msgspec.field(name="dpv:hasPurpose")
    data: list[_Data] = msgspec.field(name="dpv:hasPersonalData")
    recipients: list[str] = msgspec.field(name="dpv:hasRecipient")
    controller: str = msgspec.field(name="dpv:hasDataController")


class _Checksum(msgspec.Struct):
    value: str = msgspec.field(name="spdx:checksumValue")


class _Notice(msgspec.Struct):
    version: str = msgspec.field(name="dcat:version")
    language: str = msgspec.field(name="dct:language")
    checksum: _Checksum | None = msgspec.field(name="spdx:checksum", default=None)


class _Control(msgspec.Struct):
    at: str = msgspec.field(name="dpv:isExercisedAt")


class _Status(msgspec.Struct):
    types: list[str] = msgspec.field(name="@type")
    at: datetime = msgspec.field(name="dpv:isIndicatedAtTime")
    until: datetime | None = msgspec.field(name="dct:valid", default=None)


class _Record(_Named):
    subject: _Named = msgspec.field(name="dpv:hasDataSubject")
    notice: _Notice = msgspec.field(name="dpv:hasNotice")
    process: _Process = msgspec.field(name="dpv:hasProcess")
    control: _Control = msgspec.field(name="dpv:hasConsentControl")
    status: _Status = msgspec.field(name="dpv:hasConsentStatus")
    entities: list[_Entity] = msgspec.field(name="dpv:hasEntity")


class _Receipt(_Named, tag_field="@type", tag="dpv:ConsentReceipt"):
    record: _Record = msgspec.field(name="dpv:hasRecordOfActivity")


class _KantaraPurpose(msgspec.Struct, rename="camel"):
    purpose: str
    pii_category: list[str]
    third_party_name: str | None = None


class _KantaraService(msgspec.Struct):
    purposes: list[_KantaraPurpose]


class _KantaraController(msgspec.Struct, rename="camel"):
    pii_controller: str


class _KantaraReceipt(msgspec.Struct, rename="camel"):
    consent_timestamp: int
    consent_receipt_id: str = msgspec.field(name="consentReceiptID")
    pii_principal_id: str
    pii_controllers: list[_KantaraController]
    policy_url: str
    services: list[_KantaraService]
    language: str = ""


# Two states are said with one term: the newer notice is not known to whoever reads the receipt.
_STATES: Final = {term: state for state, (term, _) in receipt_forms.STATES.items() if state != "stale"}


def _dpv(document: Mapping[str, object]) -> Statement:
    receipt = _converted(document, _Receipt)
    record, process, status = receipt.record, receipt.record.process, receipt.record.status
    names = {entity.id: entity.name for entity in record.entities}
    states = [_STATES[term] for term in status.types if term in _STATES]
    if len(states) != 1 or process.controller not in names:
        raise _not_a_receipt()
    return Statement(
        receipt=receipt.id,
        consent=record.id,
        subject=record.subject.id,
        controller=names[process.controller],
        purpose=process.purpose.title,
        state=states[0],
        at=status.at,
        expires_at=status.until,
        notice=record.notice.version,
        language=record.notice.language,
        digest=record.notice.checksum.value if record.notice.checksum else None,
        categories=tuple(each.category for each in process.data),
        recipients=tuple(names.get(each, each) for each in process.recipients if each != process.controller),
        withdrawn_at=record.control.at,
    )


def _kantara(document: Mapping[str, object]) -> Statement:
    receipt = _converted(document, _KantaraReceipt)
    purposes = [purpose for service in receipt.services for purpose in service.purposes]
    return Statement(
        receipt=receipt.consent_receipt_id,
        consent=None,
        subject=receipt.pii_principal_id,
        controller=", ".join(each.pii_controller for each in receipt.pii_controllers),
        purpose=", ".join(purpose.purpose for purpose in purposes),
        state="given",
        at=_instant(receipt.consent_timestamp),
        expires_at=None,
        notice=receipt.policy_url,
        language=receipt.language,
        digest=None,
        categories=tuple(category for purpose in purposes for category in purpose.pii_category),
        recipients=tuple(purpose.third_party_name for purpose in purposes if purpose.third_party_name),
        withdrawn_at=None,
    )


def _converted(document: Mapping[str, object], form: type[_Form]) -> _Form:
    try:
        return msgspec.convert(dict(document), form)
    except msgspec.ValidationError:
        raise _not_a_receipt() from None


def _instant(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        raise _not_a_receipt() from None


def _not_a_receipt() -> Invalid:
    return Invalid(
        "The signature holds, but this is not a consent receipt as it is issued here",
        zh="签名有效，但这不是本系统签发的同意回执",
    )


# -- For a person -----------------------------------------------------------------------------------------------------

_LABELS: Final[Mapping[str, tuple[str, str]]] = {
    "receipt": ("回执", "Receipt"),
    "consent": ("同意", "Consent"),
    "subject": ("个人", "Data subject"),
    "controller": ("个人信息处理者", "Controller"),
    "purpose": ("目的", "Purpose"),
    "state": ("状态", "State"),
    "at": ("时间 (UTC)", "At (UTC)"),
    "expires_at": ("有效期至 (UTC)", "Expires (UTC)"),
    "notice": ("告知书", "Notice"),
    "language": ("告知语言", "In language"),
    "digest": ("告知文本 SHA-256", "SHA-256 of its text"),
    "categories": ("个人信息种类", "Categories"),
    "recipients": ("接收方", "Recipients"),
    "withdrawn_at": ("撤回方式", "To withdraw"),
    "signed_at": ("签名时间 (UTC)", "Signed (UTC)"),
    "key": ("签名公钥", "Signed with"),
}
_SAID: Final[Mapping[str, tuple[str, str]]] = {
    "unknown": ("未知", "unknown"),
    "requested": ("已征求", "requested"),
    "given": ("已同意", "given"),
    "renewed": ("已再次同意", "renewed"),
    "refused": ("已拒绝", "refused"),
    "deferred": ("暂不决定", "deferred"),
    "withdrawn": ("已撤回", "withdrawn"),
    "revoked": ("已由处理者终止", "revoked by the controller"),
    "invalidated": ("已被认定无效", "invalidated by an authority"),
    "expired": ("已失效", "expired"),
}
_VERIFIED: Final = ("回执完整，签名公钥与可信公钥一致。", "The receipt is intact, and was signed with the trusted key.")
_UNKNOWN: Final = (
    "警告：回执完整，但签名公钥未与可信公钥比对，任何人都可能签发了它。请用 --key 给出处理者公布的公钥。",
    "Warning: intact, but anybody may have signed it. Give the key that the controller publishes with --key.",
)


def _render(statement: Statement, found: Verified, trusted: Verifier | None) -> None:
    second = language() == "en"
    values: dict[str, object] = {name: getattr(statement, name) for name in Statement.__dataclass_fields__}
    values["state"] = _SAID[statement.state][second]
    values["signed_at"] = found.created
    values["key"] = trusted.vkey if trusted else _did(found)
    made = table("", "")
    made.show_header = False
    for name, label in _LABELS.items():
        if text := _text(values[name]):
            made.add_row(f"[bold]{label[second]}[/bold]", escape(text))
    console().print(made)
    verdict = (_VERIFIED if trusted else _UNKNOWN)[second]
    say(f"[{'green' if trusted else 'yellow'}]{verdict}[/]", to_stderr=trusted is None)


def _text(value: object) -> str:
    """One line. Whoever signed it may have written it to be read by a terminal, so nothing commands one."""
    if value is None:
        return ""
    text = (
        moment(value) if isinstance(value, datetime) else ", ".join(value) if isinstance(value, tuple) else str(value)
    )
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _did(found: Verified) -> str:
    return verification_method(found.public).partition("#")[0]
