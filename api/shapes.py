"""What travels in request and answer bodies, where the domain has no dataclass of that shape already.

Personal values are only in `data` and `value`, in bodies only. Unknown members are refused.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any, Generic, Literal, Self, TypeVar
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from privacy.errors import Invalid
from privacy.plans import Reason

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
    """What to read for one purpose. `fields` narrows by record type; `recipient` is who it will be provided to.

    `reason` says why these people's data is looked at; it is sealed with each one's event, for auditors.
    """

    purpose: Name
    recipient: Name | None = None
    reason: Annotated[str, StringConstraints(min_length=1, max_length=1000)] | None = None
    items: Annotated[list[Wanted], Field(min_length=1, max_length=BATCH)]
    fields: Annotated[dict[Name, list[Name]], Field(max_length=64)] | None = None


Channel = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
Words = Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class _Choice(Body):
    """What of a choice is not its purpose and decision."""

    recipient: Name | None = None
    categories: Annotated[list[Name], Field(min_length=1, max_length=64)] | None = None
    notice: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] | None = None
    language: Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")] | None = None
    separate: bool = False
    written: bool = False
    explicit: bool = False
    guardian: Annotated[UUID | None, Field(strict=False)] = None
    channel: Channel | None = None
    text: Annotated[str, StringConstraints(min_length=1, max_length=65_536)] | None = None


Decided = Literal["given", "refused", "deferred", "requested"]


class NewChoice(_Choice):
    """What the subject decided about one purpose: one act, one consent (PIPL 14).

    `notice`: the version that was shown, the newest unless named. `text`: the exact text, where it was not the
    notice's own. `recipient`: one that needs a consent of its own. `categories`: all unless named. `guardian`:
    the subject that consents for a child.
    """

    purpose: Name
    decision: Decided


class NewConsent(_Choice):
    """One choice, or several in `choices`, each an act of its own: none can be bundled with another."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"purpose": "marketing", "decision": "given", "language": "zh-CN"},
                {
                    "choices": [
                        {"purpose": "marketing", "decision": "given"},
                        {"purpose": "news", "decision": "refused"},
                    ]
                },
            ]
        }
    )
    purpose: Name | None = None
    decision: Decided | None = None
    choices: Annotated[list[NewChoice], Field(min_length=1, max_length=32)] | None = None

    @model_validator(mode="after")
    def _one_or_several(self) -> Self:
        if self.choices is None:
            if self.purpose is None or self.decision is None:
                raise PydanticCustomError("missing", "purpose and decision, or choices")
        elif self.model_fields_set != {"choices"}:
            raise PydanticCustomError("choices_alone", "what belongs to a choice stands inside it")
        return self

    def single(self) -> NewChoice:
        """The one choice, where there are no `choices`."""
        return NewChoice.model_validate(self.model_dump(exclude={"choices"}))


class Withdrawal(Body):
    """A withdrawal needs no reason; `channel` says where it was made. `recipient`: of that one only."""

    channel: Channel | None = None
    recipient: Name | None = None


class Ending(Body):
    """Why a consent ends other than by its subject; the reference is kept sealed."""

    recipient: Name | None = None
    reference: Words | None = None


class NewBasis(Body):
    """A basis other than consent, for one subject: from when, until when, by which reference (kept sealed)."""

    purpose: Name
    starts_at: Annotated[AwareDatetime, Field(strict=False)]
    ends_at: Annotated[AwareDatetime | None, Field(strict=False)] = None
    reference: Words | None = None
    channel: Channel | None = None


class BasisEnd(Body):
    """When a recorded basis ends; now unless said otherwise."""

    purpose: Name
    ends_at: Annotated[AwareDatetime | None, Field(strict=False)] = None
    channel: Channel | None = None


class Objection(Body):
    """An objection to one purpose; the reason is kept sealed."""

    purpose: Name
    reason: Words | None = None
    channel: Channel | None = None


class Restriction(Body):
    """A restriction of one purpose or, without one, of all; the reason is kept sealed."""

    purpose: Name | None = None
    reason: Words | None = None
    channel: Channel | None = None


class Closing(Body):
    """How a task ended."""

    outcome: Literal["done", "not-needed"]


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
    """A record as its writer gets it back. `findings`: by field, what was found above its level or of another kind."""

    id: UUID
    type: str
    version: int
    expires_at: str
    levels: dict[str, str]
    findings: dict[str, list[str]]


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
    """What happens to one field: given in clear, given through a mask, or withheld by a rule, and `why`."""

    give: Literal["clear", "masked", "withheld"]
    mask: str | None = None
    code: str | None = None
    law: list[str] = []
    why: str | None = None


class Refusal(BaseModel):
    """Why nothing would be disclosed: `detail` says in one sentence what is missing and which article asks for it."""

    code: str
    detail: str
    law: list[str]
    needed: list[str] = []


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
    method: Sequence[str]
    at_end: str
    opt_out: str | None


class PublishedNotice(BaseModel):
    """A notice without its texts. `material` names purposes whose earlier consents it made stale by itself."""

    number: int
    version: str
    published_at: datetime
    manifest_version: int
    generated: bool
    purposes: Sequence[str]
    material: Sequence[str]


class NoticePurpose(BaseModel):
    """What is shown when consent to one purpose is asked; `digest` is the SHA-256 of the text, in hex."""

    text: str
    digest: str


class NoticeShape(PublishedNotice):
    """A notice in one language: the whole text, each purpose's own, and the lists of NDSMR 21."""

    language: str
    languages: Sequence[str]
    text: str
    digest: str
    texts: Mapping[str, NoticePurpose]
    collected: Sequence[Mapping[str, Any]]
    shared: Sequence[Mapping[str, Any]]


class ManifestShape(BaseModel):
    """The manifest in force, as it was applied."""

    version: int
    digest: str
    source: str


class CheckpointShape(BaseModel):
    """A signed checkpoint: `root` in hex, `note` as c2sp.org/signed-note."""

    size: int
    root: str
    note: str
    at: datetime


class ArchiveShape(BaseModel):
    """Positions from `first` until before `after`, whose entries were let go; their hashes stay."""

    first: int
    after: int
    archived_at: datetime


class InclusionShape(BaseModel):
    """RFC 9162 2.1.3: `leaf_hash` in hex, `proof` in base64, from the leaf up."""

    position: int
    size: int
    leaf_hash: str
    proof: list[str]
    checkpoint: str


class ConsistencyShape(BaseModel):
    """RFC 9162 2.1.4: `proof` in base64."""

    old: int
    new: int
    proof: list[str]


class Health(BaseModel):
    """Whether the process lives, or what of it is ready."""

    status: Literal["ok", "degraded"]
    parts: dict[str, bool] = {}
