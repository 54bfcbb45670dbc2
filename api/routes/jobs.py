"""The jobs: what is due, what ran, what was set aside."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Path, Query

from api.documents import problems
from api.routing import Answer, Call, Endpoint, encode
from api.shapes import ListOf, cursor_of, place_of
from privacy import idempotency, job_runs

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=Endpoint)

Name = Annotated[str, Path(max_length=64)]
Limit = Annotated[int, Query(ge=1, le=job_runs.PAGE)]
Cursor = Annotated[str | None, Query(max_length=64)]
_LOOK: Final = problems(400, 403, 404)
_ACT: Final = problems(400, 403, 404, 409, 413, 422)


@router.get("", response_model=ListOf[job_runs.Listed], responses=problems(400, 403))
def list_jobs(call: Call) -> dict[str, object]:
    """Every job, when it is due, its last run, and how often it failed in a row. For people's principals."""
    with call.begin() as work:
        return {"items": job_runs.listed(work), "next_cursor": None}


@router.get("/{job}/runs", response_model=ListOf[job_runs.Run], responses=_LOOK)
def list_runs(call: Call, job: Name, limit: Limit = job_runs.PAGE, cursor: Cursor = None) -> dict[str, object]:
    """The job's runs of the last 90 days, the newest first: who, when, how far, and how it ended."""
    with call.begin() as work:
        found = job_runs.history(work, job, before=place_of(cursor), limit=limit)
    return {"items": found, "next_cursor": cursor_of(found[-1].id) if len(found) == limit else None}


@router.post("/{job}/run", status_code=202, response_model=job_runs.Listed, responses=_ACT)
def run_job(call: Call, job: Name) -> Answer:
    """The job is due now: the replica that looks first runs it, once. While it runs: once more after that."""
    with call.begin() as work:
        answer = idempotency.once(work, call.idempotency_key, call.signature, lambda: encode(job_runs.ask(work, job)))
    return Answer(answer, 202)


@router.get("/{job}/set-aside", response_model=ListOf[job_runs.Item], responses=_LOOK)
def list_items(call: Call, job: Name, limit: Limit = job_runs.PAGE, cursor: Cursor = None) -> dict[str, object]:
    """Items that the job could not do three times and leaves out since, with the code of the last failure."""
    with call.begin() as work:
        found = job_runs.items(work, job, after=place_of(cursor), limit=limit)
    return {"items": found, "next_cursor": cursor_of(found[-1].item) if len(found) == limit else None}


@router.post("/{job}/set-aside/{item}/retry", status_code=204, response_model=None, responses=_ACT)
def retry_item(call: Call, job: Name, item: UUID) -> Answer:
    """Give the item back to the job: the cause is gone."""

    with call.begin() as work:

        def done() -> bytes:
            job_runs.retry_item(work, job, item)
            return b""

        idempotency.once(work, call.idempotency_key, call.signature, done)
    return Answer(None, 204)
