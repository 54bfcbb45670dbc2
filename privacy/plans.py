"""What a purpose demands and what it may see, worked out of the manifest before anything is known of a subject."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from privacy.errors import NotInPurpose, UndeclaredRecipient
from privacy.levels import Level, impersonates
from privacy.manifest import (
    REDACTED,
    Controller,
    Manifest,
    Method,
    OnFind,
    Purpose,
    Recipient,
    RecipientKind,
    RecordType,
)
from privacy.tables import micros

MINIMAL_LAW: Final = ("PIPL-6",)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a field is not given: the rule by its stable code, and the articles behind it."""

    code: str
    law: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Grant:
    """A field that a purpose may have; through `mask`, redacted when that is REDACTED, or in clear when it is None."""

    field: str
    number: int
    mask: str | None

    @property
    def is_redacted(self) -> bool:
        return self.mask == REDACTED


@dataclass(frozen=True, slots=True)
class Need:
    """What consent must be separate for. `only_chinese`: only where PIPL applies."""

    name: str
    law: tuple[str, ...]
    only_chinese: bool = True


DECLARED: Final = Need("declared", ("PIPL-14",), only_chinese=False)
SENSITIVE: Final = Need("sensitive", ("PIPL-29", "GDPR-9-2-a"), only_chinese=False)
PROVISION: Final = Need("provision", ("PIPL-23",))
PUBLICATION: Final = Need("publication", ("PIPL-25",))
PUBLIC_IMAGES: Final = Need("public-images", ("PIPL-26",))
EXPORT: Final = Need("export", ("PIPL-39",))


@dataclass(frozen=True, slots=True, eq=False)
class Conditions:
    """What a purpose demands of a subject, whichever fields are asked for.

    `counterpart` is whose consent counts: a recipient's that needs its own, or '' for the controller's.
    `begins` and `ends` bound the declared grounds, in microseconds. `is_chinese`: PIPL binds the controller.
    """

    purpose: Purpose
    recipient: Recipient | None
    counterpart: str
    begins: int | None
    ends: int | None
    needs: tuple[Need, ...]
    is_chinese: bool


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Plan:
    """What a purpose may see of a record type, if nothing of the subject stands against it.

    `rising`: fields given in clear in which something sensitive may be found though they are not declared so.
    """

    conditions: Conditions
    record_type: RecordType
    grants: tuple[Grant, ...]
    numbers: frozenset[int]
    given: tuple[str, ...]
    withheld: Mapping[str, Reason]
    needs: tuple[Need, ...]
    categories: frozenset[str]
    rising: tuple[str, ...]

    @property
    def purpose(self) -> Purpose:
        return self.conditions.purpose


def conditions(manifest: Manifest, purpose: Purpose, recipient: str) -> Conditions:
    """`recipient` '' is the controller itself. Raises `UndeclaredRecipient`."""
    controller = manifest.controller
    receiver = manifest.recipients.get(recipient)
    if recipient and (receiver is None or purpose.name not in receiver.purposes):
        raise UndeclaredRecipient(
            "The manifest declares no such recipient for this purpose",
            zh="清单中没有为此目的声明该接收方",
            law=("PIPL-23", "GDPR-13-1-e"),
        )
    needs = [DECLARED] if purpose.consent_separate else []
    if Method.PUBLISH in purpose.method:
        needs.append(PUBLICATION)
    if Method.PUBLIC_IMAGES in purpose.method:
        needs.append(PUBLIC_IMAGES)
    if receiver is not None and receiver.kind is RecipientKind.CONTROLLER:
        needs.append(PROVISION)
    if receiver is not None and _is_abroad(receiver, controller):
        needs.append(EXPORT)
    return Conditions(
        purpose=purpose,
        recipient=receiver,
        counterpart=recipient if PROVISION in needs or EXPORT in needs else "",
        begins=_start_of(purpose.grounds.first_day, 0),
        ends=_start_of(purpose.grounds.last_day, 1),
        needs=tuple(needs),
        is_chinese=is_chinese(controller.jurisdiction),
    )


def plan(
    demanded: Conditions, record_type: RecordType, asked: tuple[str, ...], numbers: Mapping[tuple[str, str], int]
) -> Plan:
    """What is granted of the fields `asked`. Raises `NotInPurpose` when the purpose has no use for the type."""
    purpose = demanded.purpose
    uses = purpose.uses.get(record_type.name)
    if not uses:
        raise NotInPurpose(f"The purpose {purpose.name} has no use for {record_type.name}", law=MINIMAL_LAW)
    grants = tuple(Grant(name, numbers[record_type.name, name], uses[name]) for name in asked if name in uses)
    fields = [record_type.fields[grant.field] for grant in grants]
    sensitive = any(field.level is Level.L4 for field in fields) or impersonates(fields)
    return Plan(
        conditions=demanded,
        record_type=record_type,
        grants=grants,
        numbers=frozenset(grant.number for grant in grants),
        given=tuple(grant.field for grant in grants),
        withheld={name: Reason(NotInPurpose.code, MINIMAL_LAW) for name in asked if name not in uses},
        needs=(*demanded.needs, SENSITIVE) if sensitive else demanded.needs,
        categories=frozenset(field.category for field in fields),
        rising=tuple(
            grant.field
            for grant in grants
            if grant.mask is None
            and (field := record_type.fields[grant.field]).on_find is OnFind.RAISE
            and field.level < Level.L4
        ),
    )


def is_chinese(jurisdiction: str) -> bool:
    """Whether PIPL is the law of the place: mainland China, by ISO 3166."""
    return jurisdiction.partition("-")[0] == "CN"


def _is_abroad(recipient: Recipient, controller: Controller) -> bool:
    """PIPL 38, 39: out of mainland China, for a controller there."""
    return (
        is_chinese(controller.jurisdiction)
        and recipient.jurisdiction is not None
        and not is_chinese(recipient.jurisdiction)
    )


def _start_of(day: date | None, later: int) -> int | None:
    return None if day is None else micros(datetime.combine(day, time(), UTC) + timedelta(days=later))
