"""Audit events: search, counts and exports for auditors; who looked at a person's data, for that person."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from api.documents import problems
from api.routing import Answer, Call, Endpoint
from api.shapes import Body, ListOf, cursor_of, place_of
from privacy import accesses, audit, audit_export
from privacy.audit import By, Filters
from privacy.work import Role

router = APIRouter(prefix="/v1", tags=["audit"], route_class=Endpoint)

_PATTERN: Final = r"^[^\x00-\x1f]+$"
Filter = Annotated[str | None, Query(min_length=1, max_length=80, pattern=_PATTERN)]
Hex = Annotated[str | None, Query(pattern=r"^[0-9a-f]{8,64}$")]
RoleName = Literal["service", "operator", "auditor", "admin"]
Outcome = Literal["done", "disclosed", "refused", "compared"]
Cursor = Annotated[str | None, Query(max_length=64)]

Word = Annotated[str | None, StringConstraints(min_length=1, max_length=80, pattern=_PATTERN)]
Digits = Annotated[str | None, StringConstraints(pattern=r"^[0-9a-f]{8,64}$")]


class EventFilters(Body):
    """Every filter that is given must match. `address` is an IP address, of which events keep a keyed hash only."""

    subject: Annotated[UUID | None, Field(strict=False)] = None
    actor: Word = None
    role: RoleName | None = None
    type: Word = None
    field: Word = None
    purpose: Word = None
    basis: Word = None
    action: Word = None
    outcome: Outcome | None = None
    since: Annotated[AwareDatetime | None, Field(strict=False)] = None
    until: Annotated[AwareDatetime | None, Field(strict=False)] = None
    request_id: Word = None
    key_id: Digits = None
    origin: Digits = None
    address: Annotated[str | None, StringConstraints(min_length=2, max_length=64)] = None


class EventSearch(EventFilters):
    """A search by filters, among them the address that calls came from: personal of staff, so never in a URL."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"address": "192.0.2.7", "outcome": "disclosed", "limit": 100}]}
    )
    limit: Annotated[int, Field(ge=1, le=audit.MOST)] = 100
    cursor: Annotated[str | None, StringConstraints(max_length=64)] = None


class NewExport(EventFilters):
    """What is exported: the events that match, with a proof for each, or the whole log, which takes no filter.

    `form` is that of the events: NDJSON unless another is named; a log has events besides its entries only when one is.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"kind": "selection", "form": "ocsf", "purpose": "marketing", "since": "2026-01-01T00:00:00Z"}]
        }
    )
    kind: audit_export.Kind = "selection"
    form: audit_export.Form | None = None


class AccessList(BaseModel):
    """Looks at the subject's data, newest first; `components` sums all of them up, on the first page only."""

    components: list[accesses.Component] | None
    items: list[accesses.Access]
    next_cursor: str | None


@router.get("/audit/events", response_model=ListOf[audit.Event], responses=problems(400, 403))
def list_events(
    call: Call,
    subject: UUID | None = None,
    actor: Filter = None,
    role: RoleName | None = None,
    type: Filter = None,
    field: Filter = None,
    purpose: Filter = None,
    basis: Filter = None,
    action: Filter = None,
    outcome: Outcome | None = None,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    request_id: Filter = None,
    key_id: Hex = None,
    origin: Hex = None,
    limit: Annotated[int, Query(ge=1, le=audit.MOST)] = 100,
    cursor: Cursor = None,
) -> dict[str, object]:
    """Events that match every filter, newest first. For auditors and administrators.

    `type` is a record type, `field` a field among those named, `key_id` and `origin` as events tell them. By an
    address: POST /v1/audit/events/search.
    """
    filters = Filters(
        subject, actor, role, type, field, purpose, basis, action, outcome, since, until, request_id, key_id, origin
    )
    return _page(call, filters, cursor, limit)


@router.post("/audit/events/search", response_model=ListOf[audit.Event], responses=problems(400, 403, 413))
def search_events(call: Call, body: EventSearch) -> dict[str, object]:
    """The same, with the filters in the body; one of them is the address that calls came from."""
    return _page(call, _filters(call, body), body.cursor, body.limit)


@router.get("/audit/counts", response_model=ListOf[audit.Count], responses=problems(400, 403))
def count_events(
    call: Call,
    by: By,
    subject: UUID | None = None,
    actor: Filter = None,
    role: RoleName | None = None,
    type: Filter = None,
    field: Filter = None,
    purpose: Filter = None,
    basis: Filter = None,
    action: Filter = None,
    outcome: Outcome | None = None,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    request_id: Filter = None,
    key_id: Hex = None,
    origin: Hex = None,
) -> dict[str, object]:
    """How many events match, by the hour or the day (UTC) they are of, newest first, or by a name, most first.

    Hours and days without events are left out. For auditors and administrators.
    """
    filters = Filters(
        subject, actor, role, type, field, purpose, basis, action, outcome, since, until, request_id, key_id, origin
    )
    return {"items": audit.counts(call.begin, filters, by=by), "next_cursor": None}


_ZIP: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "A zip that `privacy audit verify` checks without the service",
        "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.post("/audit/exports", response_model=None, response_class=Response, responses=problems(400, 403, 413) | _ZIP)
def export_events(call: Call, body: NewExport) -> Answer:
    """A zip with the events, the signed checkpoint and the proofs, streamed. The export is on record before it begins.

    Check it offline with `privacy audit verify FILE --key VKEY`. For auditors and administrators.
    """
    pieces = audit_export.export(call.begin, _filters(call, body), kind=body.kind, form=body.form)
    name = f'attachment; filename="audit-{body.kind}.zip"'
    return Answer(pieces, headers=(("content-disposition", name),), media_type=b"application/zip")


@router.get("/subjects/{subject_id}/accesses", response_model=AccessList, responses=problems(400, 403, 404))
def list_accesses(
    call: Call,
    subject_id: UUID,
    limit: Annotated[int, Query(ge=1, le=audit.MOST)] = accesses.PAGE,
    cursor: Cursor = None,
) -> dict[str, object]:
    """Who looked at the subject's data: components and roles, purposes, instants, fields, whether masked, for whom.

    `kind` is `disclosed` when values left the service, `compared` when one was opened inside to compare it. Asking is
    on record. For services and operators, on the subject's behalf.
    """
    page = accesses.listed(call.begin, subject_id, before=place_of(cursor), limit=limit)
    return {"components": page.components, "items": page.items, "next_cursor": cursor_of(page.before)}


def _page(call: Call, filters: Filters, cursor: str | None, limit: int) -> dict[str, object]:
    page = audit.events(call.begin, filters, before=place_of(cursor), limit=limit)
    return {"items": page.items, "next_cursor": cursor_of(page.before)}


def _filters(call: Call, body: EventFilters) -> Filters:
    """Whoever may not search gets no hash of an address either: the search refuses them, and says so in the log."""
    named = {name: getattr(body, name) for name in EventFilters.model_fields if name != "address"}
    filters = Filters(**named)
    if body.address is None or call.actor.role not in (Role.AUDITOR, Role.ADMIN):
        return filters
    return audit.at_address(call.state_of_process.service, filters, body.address)
