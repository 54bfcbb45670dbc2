"""How a request reaches a domain function and how its answer leaves; the same for every route.

FastAPI reads the handlers' signatures and writes the OpenAPI document from them. It does not run them:
`Endpoint` does, in five steps, because FastAPI's dependency machinery costs more than a whole read.

1. authenticate (unless the route is open) and take from the principal's rate limit
2. bind path, query and body to the handler's parameters; nothing undeclared passes
3. call the handler: `async` ones hand their work to the group (`Call.perform`), plain ones run in a
   thread with a transaction of their own (`Call.begin`)
4. render the result, which exists only after its transaction has committed
5. on an error, render the problem; log what is ours, never what is theirs
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, ClassVar, Final, TypeVar, get_args, get_type_hints
from urllib.parse import parse_qsl
from uuid import UUID, uuid4

import msgspec
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.requests import Request as StarletteRequest
from starlette.types import Receive, Scope, Send

from api.errors import rendered
from api.limits import Limiter, OverLimit
from api.metrics import Metrics
from privacy.errors import Invalid, PrivacyError, TooLarge, Unauthenticated
from privacy.group import Call as WorkCall
from privacy.group import Failure, Group, Outcome, Request
from privacy.steward import Steward
from privacy.work import Actor, Work

log = logging.getLogger("api")

T = TypeVar("T")
Headers = list[tuple[bytes, bytes]]
Pieces = Generator[bytes, None, None]
_QUERIES: Final = 1024  # of a route, whose arguments are remembered
_SHORT: Final = 64  # bytes; a longer query is seldom sent twice


encode: Final = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Answer:
    """What a handler returns when it is more than a 200 with a body. `body` may be encoded already.

    A generator of bytes is sent piece by piece, each made in a thread when the one before has left.
    """

    body: object
    status: int = 200
    headers: Sequence[tuple[str, str]] = ()  # names in lower case
    media_type: bytes = b"application/json"


@dataclass(slots=True)
class State:
    """What all requests of a process share."""

    service: Steward
    limiter: Limiter
    metrics: Metrics
    group: Group
    doorkeeper: ThreadPoolExecutor
    origin_of: Callable[[str], str]


class Call(StarletteRequest):
    """One request, as a handler sees it: who calls, and two ways to the database."""

    state_of_process: State
    actor: Actor
    request_id: str
    raw_body: bytes = b""

    async def perform(self, call: Callable[[Work], T]) -> T:
        """Run the call in the group; its result, committed. Raises what the call raised."""
        (outcome,) = await self.perform_all((call,))
        if isinstance(outcome, Failure):
            raise outcome.error
        result: T = outcome
        return result

    async def perform_all(self, calls: Sequence[WorkCall], *, together: bool = False) -> Sequence[Outcome]:
        """Run the calls in one transaction of the group; each one's result or `Failure`."""
        return await self.state_of_process.group.submit(
            Request(self.actor, calls, together, self.request_id, self.origin)
        )

    @contextmanager
    def begin(self) -> Iterator[Work]:
        """A transaction of one's own, for a handler that is not `async`."""
        with self.state_of_process.service.begin(self.actor, request_id=self.request_id, origin=self.origin) as work:
            yield work

    @property
    def origin(self) -> str | None:
        """A keyed hash of the address that the connection comes from; a proxy's, behind one."""
        client = self.scope.get("client")
        return None if client is None else self.state_of_process.origin_of(client[0])

    @property
    def idempotency_key(self) -> str | None:
        """The header, without the quotes of a structured-field string (RFC 9651 3.3.3)."""
        value = self.headers.get("idempotency-key")
        return value[1:-1] if value and len(value) > 1 and value[0] == value[-1] == '"' else value

    @property
    def signature(self) -> bytes:
        """What makes two requests the same request to an Idempotency-Key."""
        version = self.headers.get("if-match", "")
        return b"%b %b %b\n%b" % (
            self.method.encode(),
            self.scope["path"].encode(),
            version.encode("latin-1"),
            self.raw_body,
        )


Handler = Callable[..., Any]


class Endpoint(APIRoute):
    """A route that FastAPI documents and we run."""

    open_paths: ClassVar[frozenset[str]] = frozenset(
        {
            "/healthz",
            "/readyz",
            "/.well-known/gpc.json",
            "/audit/checkpoint",
            "/audit/archives.json",
            "/audit/tile/{path:path}",
        }
    )

    def __init__(self, path: str, endpoint: Handler, **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self._bind = _Binder(endpoint, self.path_format)
        self._handler = endpoint
        self.is_async = inspect.iscoroutinefunction(endpoint)
        self._status = options.get("status_code") or 200
        self._open = path in self.open_paths
        self.app = self._serve

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        state: State = scope["app"].state.shared
        call = Call(scope, receive)
        call.state_of_process = state
        call.request_id = _request_id(scope)
        headers: Headers = []
        body: bytes | Pieces
        try:
            if not self._open:
                key = _bearer(scope)
                actor = state.service.recognise(key)
                if actor is None:  # in a thread of its own: strangers wait for each other, and nobody for them
                    loop = asyncio.get_running_loop()
                    came = time.monotonic()  # before the queue: the look that ends it serves the whole queue
                    actor = await loop.run_in_executor(state.doorkeeper, state.service.authenticate, key, came)
                call.actor = actor
                headers = state.limiter.take(call.actor)
            call.raw_body = await _body(scope, receive, state.service.settings.body_limit)
            arguments = self._bind(call)
            if self.is_async:
                found = await self._handler(call, **arguments)
            else:
                found = await asyncio.to_thread(self._handler, call, **arguments)
            status, more, body = self._rendered(found)
            headers += more
        except PrivacyError as error:
            if isinstance(error, OverLimit):
                headers += error.headers
            status, more, body = rendered(error, call.request_id, language_of(scope))
            headers += more
            if status >= 500:
                log.warning("%s %s: %s", call.method, self.path_format, error.code)
        except Exception as error:
            log.error("%s %s: %s", call.method, self.path_format, type(error).__name__, exc_info=error)
            status, more, body = rendered(PrivacyError(), call.request_id, language_of(scope))
            headers += more
        if isinstance(body, bytes):
            headers.append((b"content-length", str(len(body)).encode()))
        headers.append((b"x-request-id", call.request_id.encode()))
        headers.append((b"cache-control", b"no-store"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if isinstance(body, bytes):
            await send({"type": "http.response.body", "body": body})
        else:
            await self._stream(call, body, receive, send)
        state.metrics.request(call.method, self.path_format, status, time.perf_counter() - started)

    async def _stream(self, call: Call, pieces: Pieces, receive: Receive, send: Send) -> None:
        """Send the pieces until there is none, or nobody who takes them.

        An error in the midst leaves the answer without its end: the server breaks the connection off, so that
        nobody takes the part for the whole.
        """
        gone = asyncio.ensure_future(receive())  # the body has been read: what comes next is that the caller left
        try:
            while not gone.done() and (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except Exception as error:  # the edge: the caller sees no end
            log.error("%s %s: %s", call.method, self.path_format, type(error).__name__, exc_info=error)
        finally:
            gone.cancel()
            await asyncio.to_thread(pieces.close)

    def _rendered(self, found: object) -> tuple[int, Headers, bytes | Pieces]:
        if not isinstance(found, Answer):
            found = Answer(found, self._status)
        headers = [(name.encode(), value.encode()) for name, value in found.headers]
        if found.status == 204:
            return 204, headers, b""
        headers.append((b"content-type", found.media_type))
        if isinstance(found.body, bytes | Generator):
            return found.status, headers, found.body
        return found.status, headers, encode(found.body)


class _Binder:
    """Turns a request into a handler's keyword arguments. Says what is wrong, never with the value."""

    def __init__(self, endpoint: Handler, path: str) -> None:
        hints = get_type_hints(endpoint, include_extras=True)
        self._path: list[tuple[str, TypeAdapter[Any] | None]] = []  # None: a UUID
        self._query: dict[str, tuple[TypeAdapter[Any], Any]] = {}
        # Callers send the same few queries over and over; what was read of a short one is kept.
        self._read: dict[bytes, dict[str, Any]] = {}
        self._body: tuple[str, type[BaseModel], bool] | None = None
        for name, parameter in list(inspect.signature(endpoint).parameters.items())[1:]:
            hint = hints[name]
            if f"{{{name}}}" in path:
                self._path.append((name, None if hint is UUID else TypeAdapter(hint)))
            elif model := _model_in(hint):
                self._body = (name, model, parameter.default is inspect.Parameter.empty)
            else:
                self._query[name] = (TypeAdapter(hint), parameter.default)

    def __call__(self, call: Call) -> dict[str, Any]:
        arguments: dict[str, Any] = {}
        for name, adapter in self._path:
            text = call.scope["path_params"][name]
            arguments[name] = _checked(adapter, text, name) if adapter is not None else _uuid(text, name)
        if self._query or call.scope["query_string"]:
            query: bytes = call.scope["query_string"]
            found = self._read.get(query)
            if found is None:
                found = self._read_query(query)
                if len(self._read) >= _QUERIES:
                    self._read.clear()
                if len(query) <= _SHORT:
                    self._read[query] = found
            arguments |= found
        if self._body is not None:
            name, model, required = self._body
            if not required and not call.raw_body:
                return arguments
            try:
                arguments[name] = model.__pydantic_validator__.validate_json(call.raw_body)
            except ValidationError as error:
                raise Invalid("The request body is not as documented", errors=_faults(error, model)) from None
        return arguments

    def _read_query(self, query: bytes) -> dict[str, Any]:
        arguments: dict[str, Any] = {}
        given: dict[str, str] = {}
        for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
            if name not in self._query:
                raise Invalid("There is no such query parameter", errors=[{"where": "query", "what": "unknown"}])
            if name in given:
                raise Invalid(f"The query parameter {name} is given twice")
            given[name] = value
        for name, (adapter, default) in self._query.items():
            if name in given:
                arguments[name] = _checked(adapter, given[name], name)
            elif default is inspect.Parameter.empty:
                raise Invalid(f"The query parameter {name} is required")
            else:
                arguments[name] = default
        return arguments


def _model_in(hint: Any) -> type[BaseModel] | None:
    """The body model of a parameter's type, `Model` or `Model | None`."""
    for kind in (hint, *get_args(hint)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _uuid(text: str, name: str) -> UUID:
    if len(text) == 36:
        try:
            return UUID(text)
        except ValueError:
            pass
    raise Invalid(f"The parameter {name} is not a UUID")


def _checked(adapter: TypeAdapter[Any], text: str, name: str) -> Any:
    try:
        return adapter.validate_python(text)
    except ValidationError as error:
        kind = error.errors(include_url=False, include_context=False, include_input=False)[0]["type"]
        raise Invalid(f"The parameter {name} is not valid ({kind})") from None


def _faults(error: ValidationError, model: type[BaseModel]) -> list[dict[str, str]]:
    """Where and what, by the schema's own names: a key that the caller made up is not repeated."""
    known = _names(model)
    return [
        {
            "where": ".".join(
                str(part) if isinstance(part, int) or part in known else "(name)" for part in fault["loc"]
            ),
            "what": fault["type"],
        }
        for fault in error.errors(include_url=False, include_context=False, include_input=False)[:20]
    ]


def _names(model: type[BaseModel]) -> frozenset[str]:
    names = set(model.model_fields)
    schema = model.model_json_schema()
    for definition in schema.get("$defs", {}).values():
        names |= set(definition.get("properties", {}))
    return frozenset(names)


def _bearer(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, key = value.decode("latin-1").partition(" ")
            if scheme.lower() == "bearer" and key:
                return str(key.strip())
    raise Unauthenticated


def _request_id(scope: Scope) -> str:
    """The caller's X-Request-Id when it is a UUID, ours otherwise: free text could hold anything."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            try:
                return str(UUID(value.decode("ascii")))
            except ValueError:
                break
    return next(_REQUEST_IDS)


def _ids() -> Iterator[str]:
    """Random to others, counted within the process: a request's id need not cost a system call."""
    start = uuid4().hex
    for number in count(1):
        tail = f"{number:012x}"
        yield f"{start[:8]}-{start[8:12]}-{start[12:16]}-{start[16:20]}-{tail[-12:]}"


_REQUEST_IDS: Final = _ids()


def language_of(scope: Scope) -> str:
    """`zh` or `en`, by Accept-Language (RFC 9110 12.5.4); the first of the two that is named."""
    for name, value in scope["headers"]:
        if name == b"accept-language":
            for part in value.decode("latin-1").lower().split(","):
                tag = part.strip()[:2]
                if tag in ("zh", "en"):
                    return str(tag)
    return "en"


async def _body(scope: Scope, receive: Receive, limit: int) -> bytes:
    if scope["method"] in ("GET", "HEAD"):
        return b""
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        chunks, size = [body], len(body)
        while message.get("more_body"):
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Invalid("The request body was cut off")
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > limit:
                break
        body = b"".join(chunks)
    if len(body) > limit:
        raise TooLarge(f"A request body has at most {limit} bytes")
    return body
