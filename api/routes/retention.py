"""Retention: what will go, runs that somebody asks for, what the sweeps did; and events that periods count from."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, StringConstraints

from api.documents import problems
from api.routing import Answer, Call, Endpoint, encode
from api.shapes import Body, ListOf, cursor_of, place_of
from privacy import idempotency, life_events, retention, retention_plans

router = APIRouter(prefix="/v1", tags=["retention"], route_class=Endpoint)

Limit = Annotated[int, Query(ge=1, le=retention_plans.PAGE)]
Cursor = Annotated[str | None, Query(max_length=64)]
_LOOK: Final = problems(400, 403)


class SweptShape(BaseModel):
    """Counts, by record type where there are several; `expired` of what else ends by a date."""

    records: int
    erased: dict[str, int]
    anonymised: dict[str, int]
    postponed: int
    failed: int
    keys: int
    expired: dict[str, int]


class RunShape(BaseModel):
    """`is_complete`: nothing that could go is left. `held`: records that have ended and stay for a legal hold."""

    dry_run: bool
    is_complete: bool
    held: int
    swept: SweptShape


class NewEvent(Body):
    """Something in the subject's life that periods count from: `last-activity`, or an event that the manifest names."""

    event: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
    at: Annotated[datetime | None, Field(strict=False)] = None


@router.get("/retention/plan", response_model=retention_plans.Plan, responses=_LOOK)
def show_plan(call: Call, until: datetime | None = None) -> retention_plans.Plan:
    """What goes until then (now when left out), by type, purposes and month; what holds keep; what is overdue."""
    with call.begin() as work:
        return retention_plans.plan(work, until)


@router.post("/retention/runs", response_model=RunShape, responses=problems(400, 403, 409, 413, 422, 503))
def run_retention(call: Call, dry_run: bool = False) -> dict[str, object]:
    """Remove what has ended, up to ten thousand records; with `dry_run` say what that would be.

    Again, with the same key as well, it does what is left.
    """
    with call.begin() as work:
        idempotency.once(work, call.idempotency_key, call.signature, lambda: b"")
    done = retention.run(call.begin, dry_run=dry_run)
    return {
        "dry_run": done.dry_run,
        "is_complete": done.is_complete,
        "held": done.held,
        "swept": done.swept.as_json(),
    }


@router.get("/retention/runs", response_model=ListOf[retention_plans.Round], responses=_LOOK)
def list_rounds(call: Call, limit: Limit = retention_plans.PAGE, cursor: Cursor = None) -> dict[str, object]:
    """The rounds of the last year that did something, the newest first, as the audit log has them."""
    with call.begin() as work:
        found = retention_plans.runs(work, before=place_of(cursor), limit=limit)
    return {"items": found, "next_cursor": cursor_of(found[-1].id) if len(found) == limit else None}


@router.post(
    "/subjects/{subject_id}/events",
    status_code=201,
    response_model=life_events.LifeEvent,
    responses=problems(400, 403, 404, 409, 410, 413, 422),
)
def record_event(call: Call, subject_id: UUID, body: NewEvent) -> Answer:
    """Record an event that storage periods count from. The records held for those purposes end accordingly, at once."""
    with call.begin() as work:
        answer = idempotency.once(
            work,
            call.idempotency_key,
            call.signature,
            lambda: encode(life_events.record(work, subject_id, body.event, body.at)),
        )
    return Answer(answer, 201)
