"""The HTTP application: every route, hot ones first, on one running `Steward`."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import msgspec
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.documents import describe
from api.errors import MEDIA_TYPE, TITLES_ZH, TYPE_PREFIX
from api.limits import Limiter
from api.metrics import Metrics
from api.routes import (
    audit,
    consents,
    declared,
    erasures,
    evidence,
    exposure,
    health,
    holds,
    jobs,
    keys,
    records,
    releases,
    retention,
    scanning,
    standing,
    statistics,
    subjects,
    watching,
)
from api.routing import Endpoint, State, language_of
from privacy import ids
from privacy.group import Group
from privacy.steward import Steward

_SWITCH_SECONDS = 0.0003  # a thread back from the disk waits no longer for the interpreter
_THREADS = 8  # each may hold a database connection
_NOT_FOUND = ("not-found", "There is no such resource", "不存在")
_METHOD = ("method-not-allowed", "This resource does not take this method", TITLES_ZH["method-not-allowed"])


def create_app(service: Steward) -> FastAPI:
    """The application on `service`, which it starts and, at the end, closes."""

    group = Group(service)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "call"))
        # the collector's full runs made the p99: what is there now stays, so it need not look at it again
        sys.setswitchinterval(_SWITCH_SECONDS)
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 100)
        try:
            yield
        finally:
            await group.close()
            service.close()

    app = _App(
        title="Steward",
        version=version("steward-privacy"),
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    settings = service.settings
    app.state.shared = State(
        service,
        Limiter(settings.rate_per_minute),
        Metrics(),
        group,
        ThreadPoolExecutor(1, "door"),
        lru_cache(maxsize=4096)(service.origin_of),  # callers are few, and each request would hash
    )
    everything = (
        *(records, subjects, consents, standing, health, declared),
        *(audit, evidence, exposure, watching, jobs, erasures, holds, retention, keys, statistics, scanning, releases),
    )
    for part in everything:
        app.router.routes.extend(part.router.routes)
    app.hot = [route for route in records.router.routes if isinstance(route, Endpoint) and route.is_async]
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]  # FastAPI's own way to replace it

    async def openapi(_: Request) -> Response:
        return Response(msgspec.json.encode(app.openapi()), media_type="application/json")

    app.add_route("/openapi.json", openapi, include_in_schema=False)
    app.add_exception_handler(HTTPException, _outside_every_route)
    return app


class _App(FastAPI):
    """Takes the hot routes before FastAPI's middleware and its search through all routes do."""

    hot: Sequence[Endpoint] = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path, method = scope["path"], scope["method"]
            for endpoint in self.hot:
                if method in (endpoint.methods or ()) and (found := endpoint.path_regex.match(path)):
                    scope["path_params"] = found.groupdict()
                    scope["app"] = self
                    await endpoint.app(scope, receive, send)
                    return
        await super().__call__(scope, receive, send)


async def _outside_every_route(request: Request, error: Exception) -> Response:
    """No such path, or no such method on it, as a problem."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    code, title, title_zh = _METHOD if status == 405 else _NOT_FOUND
    request_id = str(ids.new())
    body: dict[str, Any] = {
        "type": TYPE_PREFIX + code,
        "title": title_zh if language_of(request.scope) == "zh" else title,
        "status": status,
        "code": code,
        "detail": title,
        "law": [],
        "request_id": request_id,
    }
    headers = dict(getattr(error, "headers", None) or {}) | {"X-Request-Id": request_id}
    return Response(msgspec.json.encode(body), status, headers, MEDIA_TYPE)
