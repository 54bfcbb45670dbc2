"""Audit events, for auditors."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from api.documents import problems
from api.routing import Call, Endpoint
from api.shapes import ListOf, cursor_of, place_of
from privacy import audit

router = APIRouter(prefix="/v1/audit", tags=["audit"], route_class=Endpoint)

Filter = Annotated[str | None, Query(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f]+$")]


@router.get("/events", response_model=ListOf[audit.Event], responses=problems(400, 403))
def list_events(
    call: Call,
    subject: UUID | None = None,
    actor: Filter = None,
    purpose: Filter = None,
    action: Filter = None,
    outcome: Literal["done", "disclosed", "refused", "compared"] | None = None,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    limit: Annotated[int, Query(ge=1, le=audit.MOST)] = 100,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> dict[str, object]:
    """Events that match every filter, newest first. For auditors and administrators."""
    before = place_of(cursor)
    with call.begin() as work:
        page = audit.events(
            work,
            subject=subject,
            actor=actor,
            purpose=purpose,
            action=action,
            outcome=outcome,
            since=since,
            until=until,
            before=before,
            limit=limit,
        )
    return {"items": page.items, "next_cursor": cursor_of(page.before)}
