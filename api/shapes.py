"""What travels in request and answer bodies, where the domain has no dataclass of that shape already.

Personal values are only in `data` and `value`, in bodies only. Unknown members are refused.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from privacy.declaration import Reason
from privacy.errors import Invalid

BATCH = 1000

Name = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Data = dict[Name, str | bool | int | float | list[str] | None]
Item = TypeVar("Item")


def cursor_of(place: UUID | None) -> str | None:
    """An opaque cursor for the place where the next page starts."""
    return None if place is None else base64.urlsafe_b64encode(place.bytes).rstrip(b"=").decode()


def place_of(cursor: str | None) -> UUID | None:
    """What `cursor_of` was given. Raises `Invalid`."""
    if cursor is None:
        return None
    try:
        return UUID(bytes=base64.urlsafe_b64decode(cursor + "=="))
    except (ValueError, binascii.Error):
        raise Invalid("The cursor is not one of ours") from None


class Body(BaseModel):
    """A request body: strict, and closed."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class NewSubject(Body):
    """A data subject. `external_id`: the id that the calling component knows the person by."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"external_id": "member-1024", "jurisdiction": "CN", "born": "1990-05-01"}]}
    )
    external_id: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
    jurisdiction: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")] | None = None
    born: Annotated[date | None, Field(strict=False)] = None
    guardian: Annotated[UUID | None, Field(strict=False)] = None


class Search(Body):
    """An exact search. `type` "subject" with `field` "external_id" finds a subject by its external id."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "member",
                    "field": "phone",
                    "value": "+86 138 0013 8000",
                    "purpose": "customer-service",
                }
            ]
        }
    )
    type: Name
    field: Name
    value: Annotated[str, StringConstraints(min_length=1, max_length=1024)]
    purpose: Name


class NewRecord(Body):
    """A record to keep for `purposes`: as short as the law of the longest of them allows."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "member",
                    "purposes": ["membership"],
                    "data": {"name": "王伟", "phone": "13800138000"},
                }
            ]
        }
    )
    type: Name
    purposes: Annotated[list[Name], Field(min_length=1, max_length=32)]
    data: Annotated[Data, Field(min_length=1, max_length=255)]


class Rectification(Body):
    """The fields to replace; null removes one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"data": {"phone": "13900139000"}}]})
    data: Annotated[Data, Field(min_length=1, max_length=255)]


class BatchRecord(NewRecord):
    """A record of one subject, in a batch."""

    subject_id: Annotated[UUID, Field(strict=False)]


class BatchWrite(Body):
    """`each`: every item succeeds or fails by itself. `all`: one failure and nothing is stored."""

    mode: Literal["each", "all"] = "each"
    items: Annotated[list[BatchRecord], Field(min_length=1, max_length=BATCH)]


class Wanted(Body):
    """One record, or a subject's records (of a type)."""

    record_id: Annotated[UUID | None, Field(strict=False)] = None
    subject_id: Annotated[UUID | None, Field(strict=False)] = None
    type: Name | None = None


class BatchRead(Body):
    """What to read for one purpose. `fields` narrows by record type."""

    purpose: Name
    items: Annotated[list[Wanted], Field(min_length=1, max_length=BATCH)]
    fields: Annotated[dict[Name, list[Name]], Field(max_length=64)] | None = None


class NewConsent(Body):
    """What the subject decided, for one purpose: one act, one consent (PIPL 14)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"purpose": "marketing", "decision": "given", "notice": "2026-01", "language": "zh-CN"}]
        }
    )
    purpose: Name
    decision: Literal["given", "refused"]
    notice: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] | None = None
    language: Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")] | None = None
    separate: bool = False
    channel: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")] | None = None


class Withdrawal(Body):
    """A withdrawal needs no reason; `channel` says where it was made."""

    channel: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")] | None = None


class ListOf(BaseModel, Generic[Item]):
    """A page. `next_cursor` is null on the last one."""

    items: list[Item]
    next_cursor: str | None = None


class ReadRecord(BaseModel):
    """A record as the purpose may see it."""

    id: UUID
    subject_id: UUID
    type: str
    version: int
    data: dict[str, Any]
    withheld: dict[str, Reason]


class StoredShape(BaseModel):
    """A record as its writer gets it back."""

    id: UUID
    type: str
    version: int
    expires_at: str
    levels: dict[str, str]


class Problem(BaseModel):
    """RFC 9457. `code` is stable; `law` names the articles behind a refusal."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    law: list[str]
    request_id: str


class BatchWritten(BaseModel):
    """One item's fate."""

    status: int
    record: StoredShape | None = None
    error: Problem | None = None


class BatchWrote(BaseModel):
    """In the order of the request's items."""

    items: list[BatchWritten]


class BatchFound(BaseModel):
    """One item's records, or its refusal."""

    status: int
    records: list[ReadRecord] | None = None
    error: Problem | None = None


class BatchReadAnswer(BaseModel):
    """In the order of the request's items."""

    items: list[BatchFound]


class FieldDecision(BaseModel):
    """What happens to one field: given in clear, given through a mask, or withheld by a rule."""

    give: Literal["clear", "masked", "withheld"]
    mask: str | None = None
    code: str | None = None
    law: list[str] = []


class Refusal(BaseModel):
    """Why nothing would be disclosed."""

    code: str
    detail: str
    law: list[str]


class DecisionShape(BaseModel):
    """What a read would disclose now, and why not the rest."""

    subject_id: UUID
    purpose: str
    type: str
    allowed: bool
    basis: str | None
    law: list[str]
    fields: dict[str, FieldDecision]
    refusal: Refusal | None


class PurposeShape(BaseModel):
    """A declared purpose."""

    name: str
    title: Mapping[str, str]
    basis: str
    law: Sequence[str]
    category: str
    keep: str
    uses: Mapping[str, Mapping[str, str | None]]
    only_anonymised: bool


class ManifestShape(BaseModel):
    """The manifest in force, as it was applied."""

    version: int
    digest: str
    source: str


class Health(BaseModel):
    """Whether the process lives, or what of it is ready."""

    status: Literal["ok", "degraded"]
    parts: dict[str, bool] = {}
