"""Recorded bases, objections and restrictions of a subject; what recipients are owed; what is to be done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query

from api.documents import problems
from api.routing import Answer, Call, Endpoint, encode
from api.shapes import BasisEnd, Closing, ListOf, NewBasis, Objection, Restriction, cursor_of, place_of
from privacy import idempotency, notifications, standing, tasks
from privacy.work import Work

router = APIRouter(prefix="/v1", tags=["standing"], route_class=Endpoint)

_ACT: Final = problems(400, 403, 404, 409, 410, 413, 422)
Cursor = Annotated[str | None, Query(max_length=64)]
Limit = Annotated[int, Query(ge=1, le=100)]


@router.get(
    "/subjects/{subject_id}/standing", response_model=ListOf[standing.Standing], responses=problems(400, 403, 404, 410)
)
def show_standing(call: Call, subject_id: UUID) -> dict[str, object]:
    """What stands between the subject and each purpose besides consent; `purpose` null concerns all of them."""
    with call.begin() as work:
        return {"items": standing.listed(work, subject_id), "next_cursor": None}


@router.post("/subjects/{subject_id}/bases", status_code=201, response_model=standing.Standing, responses=_ACT)
def record_basis(call: Call, subject_id: UUID, body: NewBasis) -> Answer:
    """Record that a basis other than consent (a contract, say) holds for the subject between two instants."""
    return _done(
        call,
        lambda work: standing.record_basis(
            work,
            subject_id,
            body.purpose,
            starts_at=body.starts_at,
            ends_at=body.ends_at,
            reference=body.reference,
            channel=body.channel,
        ),
        201,
    )


@router.post("/subjects/{subject_id}/bases/end", response_model=standing.Standing, responses=_ACT)
def end_basis(call: Call, subject_id: UUID, body: BasisEnd) -> Answer:
    """Record that the basis ends, now unless `ends_at` says otherwise."""
    return _done(
        call,
        lambda work: standing.end_basis(work, subject_id, body.purpose, ends_at=body.ends_at, channel=body.channel),
    )


@router.post("/subjects/{subject_id}/objections", status_code=201, response_model=standing.Standing, responses=_ACT)
def record_objection(call: Call, subject_id: UUID, body: Objection) -> Answer:
    """Record the subject's objection to a purpose (GDPR 21, PIPL 44). It binds the next read, on every replica."""
    return _done(
        call,
        lambda work: standing.object_to(work, subject_id, body.purpose, reason=body.reason, channel=body.channel),
        201,
    )


@router.post("/subjects/{subject_id}/objections/lift", response_model=standing.Standing, responses=_ACT)
def lift_objection(call: Call, subject_id: UUID, body: Objection) -> Answer:
    """Take an objection back. Operators only."""
    return _done(
        call,
        lambda work: standing.lift_objection(work, subject_id, body.purpose, reason=body.reason, channel=body.channel),
    )


@router.post("/subjects/{subject_id}/restrictions", status_code=201, response_model=standing.Standing, responses=_ACT)
def record_restriction(call: Call, subject_id: UUID, body: Restriction) -> Answer:
    """Stop everything but storage (GDPR 18, PIPL 44), for one purpose or, without `purpose`, for all."""
    return _done(
        call,
        lambda work: standing.restrict(work, subject_id, body.purpose, reason=body.reason, channel=body.channel),
        201,
    )


@router.post("/subjects/{subject_id}/restrictions/lift", response_model=standing.Standing, responses=_ACT)
def lift_restriction(call: Call, subject_id: UUID, body: Restriction) -> Answer:
    """Let processing go on; the subject must have been told before (GDPR 18(3)). Operators only."""
    return _done(
        call,
        lambda work: standing.lift_restriction(
            work, subject_id, body.purpose, reason=body.reason, channel=body.channel
        ),
    )


@router.get("/notifications", response_model=ListOf[notifications.Notification], responses=problems(400, 403))
def list_notifications(call: Call, limit: Limit = 100, cursor: Cursor = None) -> dict[str, object]:
    """What recipients must be told and have not been yet, the oldest first."""
    with call.begin() as work:
        found = notifications.listed(work, after=place_of(cursor), limit=limit)
    return {"items": found, "next_cursor": cursor_of(found[-1].id) if len(found) == limit else None}


@router.post("/notifications/{notification_id}/sent", status_code=204, response_model=None, responses=_ACT)
def mark_notification_sent(call: Call, notification_id: UUID) -> Answer:
    """Record that the recipient has been told."""
    return _nothing(call, lambda work: notifications.mark_sent(work, notification_id))


@router.get("/tasks", response_model=ListOf[tasks.Task], responses=problems(400, 403))
def list_tasks(call: Call, limit: Limit = 100, cursor: Cursor = None) -> dict[str, object]:
    """What must still be done for subjects, the oldest first: which records no basis holds any more."""
    with call.begin() as work:
        found = tasks.listed(work, after=place_of(cursor), limit=limit)
    return {"items": found, "next_cursor": cursor_of(found[-1].id) if len(found) == limit else None}


@router.post("/tasks/{task_id}/close", status_code=204, response_model=None, responses=_ACT)
def close_task(call: Call, task_id: UUID, body: Closing) -> Answer:
    """Record how a task ended."""
    return _nothing(call, lambda work: tasks.close(work, task_id, body.outcome))


def _done(call: Call, act: Callable[[Work], standing.Standing], status: int = 200) -> Answer:
    with call.begin() as work:
        answer = idempotency.once(work, call.idempotency_key, call.signature, lambda: encode(act(work)))
    return Answer(answer, status)


def _nothing(call: Call, act: Callable[[Work], None]) -> Answer:
    def done(work: Work) -> bytes:
        act(work)
        return b""

    with call.begin() as work:
        idempotency.once(work, call.idempotency_key, call.signature, lambda: done(work))
    return Answer(None, 204)
