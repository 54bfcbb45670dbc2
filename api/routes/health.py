"""Whether the process lives, whether it is ready, and what it has counted."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from api.documents import problems
from api.routing import Answer, Call, Endpoint
from api.shapes import Health
from privacy import alerts, job_runs
from privacy.errors import PrivacyError

router = APIRouter(tags=["health"], route_class=Endpoint)


@router.get("/healthz", response_model=Health)
async def healthz(call: Call) -> dict[str, object]:
    """The process answers. Open, and says nothing else."""
    return {"status": "ok", "parts": {}}


@router.get("/readyz", response_model=Health, responses={503: {"model": Health, "description": "Not ready"}})
def readyz(call: Call) -> Answer:
    """Database, key store and manifest are there. Open: names of parts, true or false."""
    parts = call.state_of_process.service.healthy()
    ready = all(parts.values())
    return Answer({"status": "ok" if ready else "degraded", "parts": parts}, 200 if ready else 503)


@router.get(
    "/metrics",
    response_model=None,
    response_class=PlainTextResponse,
    responses=problems(400) | {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics(call: Call) -> Answer:
    """Counters of this process, gauges of the watch and of the jobs, for Prometheus. Labels hold no id and no value."""
    state = call.state_of_process
    try:
        state.metrics.watched(alerts.gauges(state.service.database))
        state.metrics.jobs(job_runs.gauges(state.service.database, state.service.instant()))
    except PrivacyError:  # the counters of this process are worth having all the same
        state.metrics.watched(None)
        state.metrics.jobs({})
    return Answer(state.metrics.text(), media_type=CONTENT_TYPE_LATEST.encode())


@router.get("/.well-known/gpc.json", response_model=dict[str, bool | str])
async def global_privacy_control(call: Call) -> dict[str, object]:
    """That the Global Privacy Control signal is obeyed, and since when (W3C GPC, section 4). Open."""
    return {"gpc": True, "lastUpdate": "2026-11-22"}
