"""The watch over the audit log: alerts, access reviews, honeytokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

from api.documents import problems
from api.routing import Answer, Call, Endpoint, encode
from api.shapes import Body, ListOf, cursor_of, place_of
from privacy import access_reviews, alerts, honeytokens, idempotency
from privacy.work import Work

router = APIRouter(prefix="/v1/audit", tags=["audit"], route_class=Endpoint)

_CSV: Final = b"text/csv; charset=utf-8"
_ACT: Final = problems(400, 403, 404, 409, 410, 413, 422)


class Acknowledgement(Body):
    """What looking into an alert has shown."""

    finding: alerts.Finding


class Honeytoken(Body):
    """A subject that nobody has a reason to read."""

    subject_id: Annotated[UUID, Field(strict=False)]


@router.get("/alerts", response_model=ListOf[alerts.Alert], responses=problems(400, 403))
def list_alerts(
    call: Call,
    state: Literal["open", "all"] = "open",
    limit: Annotated[int, Query(ge=1, le=alerts.PAGE)] = alerts.PAGE,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> dict[str, object]:
    """What the watch has found, the newest first. For operators, auditors and administrators."""
    with call.begin() as work:
        found = alerts.listed(work, open_only=state == "open", before=place_of(cursor), limit=limit)
    return {"items": found, "next_cursor": cursor_of(found[-1].id) if len(found) == limit else None}


@router.post("/alerts/{alert_id}/acknowledge", response_model=alerts.Alert, responses=_ACT)
def acknowledge_alert(call: Call, alert_id: UUID, body: Acknowledgement) -> Answer:
    """Record what looking into it has shown. Nobody acknowledges an alert about themselves."""
    with call.begin() as work:
        answer = idempotency.once(
            work,
            call.idempotency_key,
            call.signature,
            lambda: encode(alerts.acknowledge(work, alert_id, body.finding)),
        )
    return Answer(answer)


@router.get("/reviews/{month}", response_model=access_reviews.Review, responses=problems(400, 403))
def review_access(call: Call, month: str, format: Literal["json", "csv"] = "json") -> object:
    """What each principal did in a month like 2026-01, and which of its grants it did not need."""
    with call.begin() as work:
        found = access_reviews.review(work, month)
    return found if format == "json" else Answer(access_reviews.as_csv(found).encode(), media_type=_CSV)


@router.post("/honeytokens", status_code=204, response_model=None, responses=_ACT)
def mark_honeytoken(call: Call, body: Honeytoken) -> Answer:
    """From now on any disclosure about the subject alarms. No answer of the API tells who is marked."""
    return _nothing(call, lambda work: honeytokens.mark(work, body.subject_id))


@router.delete("/honeytokens/{subject_id}", status_code=204, response_model=None, responses=_ACT)
def unmark_honeytoken(call: Call, subject_id: UUID) -> Answer:
    """The subject is like any other again."""
    return _nothing(call, lambda work: honeytokens.unmark(work, subject_id))


def _nothing(call: Call, act: Callable[[Work], None]) -> Answer:
    def done(work: Work) -> bytes:
        act(work)
        return b""

    with call.begin() as work:
        idempotency.once(work, call.idempotency_key, call.signature, lambda: done(work))
    return Answer(None, 204)
