"""Releases: asked for, watched while a job makes them, approved by a second person, given to their recipient."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, ConfigDict, Field, StringConstraints

from api.documents import problems
from api.routing import Answer, Call, Endpoint, encode, language_of
from api.shapes import Body, ListOf, Name, cursor_of, place_of
from privacy import idempotency
from privacy.anonymisation import approval, hierarchy_specs, releases
from privacy.anonymisation.policies import Policy, Recoding, SensitiveRule
from privacy.anonymisation.release_requests import (
    Kind,
    OfFile,
    OfRecords,
    RecipientClass,
    Request,
    Role,
    Tabulated,
)
from privacy.anonymisation.releases import Release
from privacy.errors import Invalid

router = APIRouter(prefix="/v1/releases", tags=["releases"], route_class=Endpoint)

Limit = Annotated[int, Query(ge=1, le=releases.PAGE)]
Cursor = Annotated[str | None, Query(max_length=64)]
ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=64)]
_LOOK: Final = problems(400, 403, 404)
_ACT: Final = problems(400, 403, 404, 409, 413, 422, 503)
_MEDIA: Final = {"csv": b"text/csv; charset=utf-8", "parquet": b"application/vnd.apache.parquet"}
_HTML: Final = b"text/html; charset=utf-8"
_PAGE: Final = (
    ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:"),
    ("x-content-type-options", "nosniff"),
)


class RecordsSource(Body):
    """Records of a type, as a purpose that is `only: anonymised` may have them; those stored within the period."""

    purpose: Name
    type: Name
    fields: Annotated[list[Name], Field(min_length=1, max_length=255)] | None = None
    since: Annotated[AwareDatetime | None, Field(strict=False)] = None
    until: Annotated[AwareDatetime | None, Field(strict=False)] = None


class FileSource(Body):
    """A CSV, as `text` or `base64`. `columns` says what each is; `person` names the one that says whose a row is."""

    name: Name
    columns: Annotated[dict[ColumnName, Literal["quasi", "sensitive", "keep", "drop"]], Field(min_length=1)]
    person: ColumnName | None = None
    text: str | None = None
    base64: str | None = None


class Rule(Body):
    """What the values of a sensitive column must be like within every class."""

    column: ColumnName
    distinct_l: Annotated[int | None, Field(ge=1)] = None
    entropy_l: Annotated[float | None, Field(ge=1)] = None
    t: Annotated[float | None, Field(ge=0, le=1)] = None
    ordered: bool = False


class NewPolicy(Body):
    """`k` persons in every class, `suppression` of the rows left out at most, `max_loss` of information."""

    k: Annotated[int, Field(ge=1)] | None = None
    suppression: Annotated[float, Field(ge=0, le=1)] = 0.05
    max_loss: Annotated[float | None, Field(ge=0, le=1)] = None
    recoding: Literal["full-domain", "local", "blocks"] | None = None
    sensitive: Annotated[list[Rule], Field(max_length=64)] = Field(default_factory=list)


class NewTable(Body):
    """Counts by these columns, or the sum of a numeric one."""

    by: Annotated[list[ColumnName], Field(min_length=1, max_length=8)]
    sum: ColumnName | None = None


class NewRelease(Body):
    """A release for one recipient. Without `k`: 5 for a controlled recipient, 20 for the public.

    `hierarchies` by column, as the manifest writes them. `fraction`: which share of the population was drawn.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "records": {"purpose": "statistics", "type": "interaction"},
                    "recipient": "示例大学",
                    "recipient_class": "controlled",
                    "policy": {"k": 5, "suppression": 0.05},
                }
            ]
        }
    )
    records: RecordsSource | None = None
    file: FileSource | None = None
    kind: Literal["microdata", "table"] = "microdata"
    recipient: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    recipient_class: Literal["public", "controlled"]
    policy: NewPolicy = NewPolicy()
    hierarchies: Annotated[dict[ColumnName, Any], Field(max_length=64)] = Field(default_factory=dict)
    table: NewTable | None = None
    fraction: Annotated[float | None, Field(gt=0, le=1)] = None
    highest_risk: Annotated[float | None, Field(gt=0, le=1)] = None


@router.post("", status_code=202, response_model=Release, responses=_ACT)
def ask_release(call: Call, body: NewRelease) -> Answer:
    """Ask for a release. A job makes and checks it: see `state` and `checks`. For operators and granted services."""
    request, upload = _request(body), _upload(body.file)
    with call.begin() as work:
        answer = idempotency.once(
            work, call.idempotency_key, call.signature, lambda: encode(releases.ask(work, request, upload))
        )
    return Answer(answer, 202)


@router.get("", response_model=ListOf[Release], responses=_LOOK)
def list_releases(
    call: Call, limit: Limit = releases.PAGE, cursor: Cursor = None, due: bool = False
) -> dict[str, object]:
    """The newest first; with `due` those that must be assessed again within thirty days, or should have been."""
    with call.begin() as work:
        found = releases.listed(work, after=place_of(cursor), due=due, limit=limit)
    return {"items": found, "next_cursor": cursor_of(found[-1].id) if len(found) == limit else None}


@router.get("/{release_id}", response_model=Release, responses=_LOOK)
def show_release(call: Call, release_id: UUID) -> Release:
    """One release as it stands, with every check and its figures."""
    with call.begin() as work:
        return releases.shown(work, release_id)


@router.post("/{release_id}/approve", response_model=Release, responses=_ACT)
def approve_release(call: Call, release_id: UUID) -> Release:
    """The second person's yes: everybody in it is asked for again, what leads back is destroyed, and it is anonymised.

    409 `release-stale` when it must be made again. Asked twice, the second answer is 409.
    """
    return approval.approve(call.begin, release_id)


@router.post("/{release_id}/reject", response_model=Release, responses=_ACT)
def reject_release(call: Call, release_id: UUID) -> Release:
    """A no. What was made is destroyed."""
    with call.begin() as work:
        return releases.reject(work, release_id)


@router.get("/{release_id}/data", responses=problems(400, 403, 404, 409, 503))
def give_release(call: Call, release_id: UUID, format: Literal["csv", "parquet"] = "csv") -> Answer:
    """The file. Its giving is on record before it leaves."""
    with call.begin() as work:
        given = releases.data(work, release_id, format)
    name = f'attachment; filename="release-{release_id}.{format}"'
    return Answer(given.content, 200, (("content-disposition", name),), _MEDIA[format])


@router.get("/{release_id}/sheet", response_model=dict[str, Any], responses=problems(400, 403, 404, 409))
def show_sheet(call: Call, release_id: UUID) -> dict[str, Any]:
    """The data sheet that goes with the file: `json`, and in words (Markdown) in `zh` and `en`."""
    with call.begin() as work:
        return releases.sheet(work, release_id)


@router.get("/{release_id}/risk", responses=problems(400, 403, 404, 409))
def show_risk(call: Call, release_id: UUID) -> Answer:
    """The risk report: JSON, or with `Accept: text/html` a page in the language of Accept-Language."""
    with call.begin() as work:
        content = releases.report(work, release_id)
    from privacy.anonymisation import release_reports  # numpy, which no other route needs

    if "text/html" in call.headers.get("accept", ""):
        language = language_of(call.scope)
        page = release_reports.page(content, language).encode()
        return Answer(page, 200, (("content-language", "zh-CN" if language == "zh" else "en"), *_PAGE), _HTML)
    return Answer(release_reports.as_json(content))


def _request(body: NewRelease) -> Request:
    """Raises `Invalid`."""
    policy = body.policy
    recipient_class = RecipientClass(body.recipient_class)
    source: OfRecords | OfFile
    if body.records is not None and body.file is None:
        fields = None if body.records.fields is None else tuple(dict.fromkeys(body.records.fields))
        source = OfRecords(body.records.purpose, body.records.type, fields, body.records.since, body.records.until)
    elif body.file is not None and body.records is None:
        roles = {name: Role(role) for name, role in body.file.columns.items()}
        source = OfFile(body.file.name, roles, body.file.person)
    else:
        raise Invalid("A release is of records or of a file", zh="发布须基于记录或者文件之一", field="records")
    least = 20 if recipient_class is RecipientClass.PUBLIC else 5
    return Request(
        source=source,
        recipient=body.recipient,
        recipient_class=recipient_class,
        kind=Kind(body.kind),
        policy=Policy(
            k=least if policy.k is None else policy.k,
            suppression=policy.suppression,
            sensitive=tuple(SensitiveRule(**rule.model_dump()) for rule in policy.sensitive),
            recoding=None if policy.recoding is None else Recoding(policy.recoding),
            max_loss=policy.max_loss,
        ),
        hierarchies={name: hierarchy_specs.parse(spec) for name, spec in body.hierarchies.items()},
        table=None if body.table is None else Tabulated(tuple(body.table.by), body.table.sum),
        fraction=body.fraction,
        highest_risk=body.highest_risk,
    )


def _upload(file: FileSource | None) -> bytes | None:
    """Raises `Invalid`."""
    if file is None:
        return None
    if (file.text is None) == (file.base64 is None):
        raise Invalid("A file is given as text or as base64", zh="文件须以 text 或者 base64 之一给出", field="file")
    if file.text is not None:
        return file.text.encode()
    try:
        return base64.b64decode(file.base64 or "", validate=True)
    except binascii.Error:
        raise Invalid("The file is not base64", zh="文件不是有效的 base64", field="file") from None
