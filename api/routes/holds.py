"""Legal holds: what may not go while one stands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query
from pydantic import Field, StringConstraints

from api.documents import problems
from api.routing import Answer, Call, Endpoint, encode
from api.shapes import Body, ListOf, Name, Words, cursor_of, place_of
from privacy import holds, idempotency
from privacy.holds import Hold, Kind
from privacy.work import Work

router = APIRouter(prefix="/v1/holds", tags=["holds"], route_class=Endpoint)

Limit = Annotated[int, Query(ge=1, le=holds.PAGE)]
Cursor = Annotated[str | None, Query(max_length=64)]
Names = Annotated[list[Name], Field(max_length=100)]
Place = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")]
Moment = Annotated[datetime | None, Field(strict=False)]
_LOOK: Final = problems(400, 403, 404)
_ACT: Final = problems(400, 403, 404, 409, 410, 413, 422)


class NewQuery(Body):
    """All that is said must be so; an empty list says nothing."""

    types: Names = Field(default_factory=list)
    purposes: Names = Field(default_factory=list)
    jurisdictions: Annotated[list[Place], Field(max_length=100)] = Field(default_factory=list)
    stored_from: Moment = None
    stored_until: Moment = None

    def as_query(self) -> holds.Query:
        return holds.Query(
            tuple(self.types),
            tuple(self.purposes),
            tuple(self.jurisdictions),
            self.stored_from,
            self.stored_until,
        )


class NewHold(Body):
    """What it is on, as `kind` says, and why: reference and reason are kept sealed, for they may name people."""

    kind: Annotated[Kind, Field(strict=False)]
    subject_id: Annotated[UUID | None, Field(strict=False)] = None
    record_type: Name | None = None
    query: NewQuery | None = None
    reference: Words
    reason: Words
    review_at: Annotated[datetime, Field(strict=False)]


class Lifting(Body):
    """Why the hold is lifted; kept sealed."""

    reason: Words


@router.post("", status_code=201, response_model=Hold, responses=_ACT)
def place_hold(call: Call, body: NewHold) -> Answer:
    """Place a legal hold. From now on nothing that it covers is removed or changed, whoever asks."""
    return _done(
        call,
        lambda work: holds.place(
            work,
            kind=body.kind,
            subject_id=body.subject_id,
            record_type=body.record_type,
            query=None if body.query is None else body.query.as_query(),
            reference=body.reference,
            reason=body.reason,
            review_at=body.review_at,
        ),
        201,
    )


@router.get("", response_model=ListOf[Hold], responses=problems(400, 403))
def list_holds(call: Call, all: bool = False, limit: Limit = holds.PAGE, cursor: Cursor = None) -> dict[str, object]:
    """The holds that stand, the oldest first; with `all` those that were lifted as well."""
    with call.begin() as work:
        found = holds.listed(work, all=all, after=place_of(cursor), limit=limit)
    return {"items": found, "next_cursor": cursor_of(found[-1].id) if len(found) == limit else None}


@router.get("/{hold_id}", response_model=Hold, responses=_LOOK)
def show_hold(call: Call, hold_id: UUID) -> Hold:
    """One hold, with its reference and its reason."""
    with call.begin() as work:
        return holds.view(work, hold_id)


@router.post("/{hold_id}/lift", response_model=Hold, responses=problems(400, 403, 404, 409, 413, 422))
def lift_hold(call: Call, hold_id: UUID, body: Lifting) -> Answer:
    """Lift a hold: what it kept goes in its time, and erasures that waited for it go on by themselves."""
    return _done(call, lambda work: holds.lift(work, hold_id, body.reason))


def _done(call: Call, act: Callable[[Work], Hold], status: int = 200) -> Answer:
    """What a key remembers is the id: the texts of a hold are kept in its sealed row and nowhere else."""
    with call.begin() as work:
        answer = idempotency.once(work, call.idempotency_key, call.signature, lambda: encode(act(work).id))
        return Answer(encode(holds.view(work, UUID(msgspec.json.decode(answer)))), status)
