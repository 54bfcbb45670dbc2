"""How `privacy.client` asks and is answered: one request and its repetitions, JSON, and refusals as our errors.

No personal value stands in a URL, in an exception or in a log line of ours.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Final, TypeAlias
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx

from privacy.errors import (
    Conflict,
    Erased,
    Forbidden,
    Invalid,
    NotFound,
    PreconditionRequired,
    PrivacyError,
    RateLimited,
    TooLarge,
    Unauthenticated,
    Unavailable,
    VersionMismatch,
)

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Value: TypeAlias = "bool | int | float | str | date | Decimal | Sequence[Value] | Mapping[str, Value] | None"
"""What a field may hold; dates go as ISO 8601, decimals as text."""
Item: TypeAlias = Mapping[str, Json]

_AGAIN: Final = frozenset({429, 502, 503, 504})
_FIRST_PAUSE: Final = 0.2  # seconds
_LONGEST_PAUSE: Final = 30.0
# members of a problem that say where it lies
_TOLD: Final = ("field", "version", "orphans", "errors", "needed", "until", "state")
_BY_STATUS: Final[Mapping[int, type[PrivacyError]]] = {
    400: Invalid,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Erased,
    412: VersionMismatch,
    413: TooLarge,
    422: Invalid,
    428: PreconditionRequired,
    429: RateLimited,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


class Wire:
    """A connection pool to one service under one API key; threads may share it."""

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeout: float,
        retries: int,
        language: str | None,
        transport: httpx.BaseTransport | None,
        sleep: Callable[[float], None],
    ) -> None:
        if not base_url.startswith(("https://", "http://")):
            raise Invalid("The base URL of the service begins with https:// or http://")
        if not api_key or not all("!" <= character <= "~" for character in api_key):
            raise Invalid("The API key is not one: printable ASCII without spaces")
        if retries < 0:
            raise Invalid("The number of retries is zero or more")
        self._retries = retries
        self._sleep = sleep
        # A redirect is never followed: it would carry personal data to where nobody sent it.
        self._http = httpx.Client(
            base_url=base_url.rstrip("/"),
            headers={"Authorization": f"Bearer {api_key}", "Accept": "application/json", **accepting(language)},
            timeout=timeout,
            transport=transport,
            follow_redirects=False,
        )

    def close(self) -> None:
        """Close the pool; a second time does nothing."""
        self._http.close()

    def get(
        self, path: str, parameters: Mapping[str, str | None] | None = None, *, language: str | None = None
    ) -> dict[str, Json]:
        return self.send("GET", path, parameters=parameters, headers=accepting(language))

    def ask(self, path: str, body: Mapping[str, Value]) -> dict[str, Json]:
        """A POST that changes nothing; with an Idempotency-Key the service would have to keep the answer."""
        return self.send("POST", path, body=body)

    def change(
        self, method: str, path: str, body: Mapping[str, Value] | None, *, version: int | None = None
    ) -> dict[str, Json]:
        headers = {"Idempotency-Key": str(uuid4())}
        if version is not None:
            headers["If-Match"] = f'"{version}"'
        return self.send(method, path, body=body, headers=headers)

    def pages(self, path: str, parameters: Mapping[str, str | None]) -> Iterator[dict[str, Json]]:
        cursor: str | None = None
        while True:
            answer = self.get(path, {**parameters, "cursor": cursor})
            yield from objects(answer, "items")
            last, cursor = cursor, maybe_text(answer, "next_cursor")
            if cursor is None:
                return
            if cursor == last:
                raise unknown_form()

    def download(
        self,
        path: str,
        body: Mapping[str, Value] | None,
        write: Callable[[bytes], object],
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        """A POST, or a GET without a body, whose answer is written piece by piece, never held as a whole nor repeated.

        Raises `Unavailable` when it breaks off: what has been written then is a part.
        """
        request = self._http.build_request(
            "GET" if body is None else "POST",
            path,
            params=parameters,
            content=None if body is None else _encoded(body),
            headers={"Accept": "*/*", **({} if body is None else {"Content-Type": "application/json"})},
        )
        response: httpx.Response | None = None
        with suppress(httpx.HTTPError):  # these errors hold the request: none is chained
            response = self._http.send(request, stream=True)
            try:
                if response.is_success:
                    for piece in response.iter_raw():
                        write(piece)
                    return
                response.read()
            finally:
                response.close()
        raise _failure(response if response is not None and response.is_error else None, None)

    def send(
        self,
        method: str,
        path: str,
        *,
        parameters: Mapping[str, str | None] | None = None,
        body: Mapping[str, Value] | None = None,
        headers: Mapping[str, str] | None = None,
        retries: int | None = None,
    ) -> dict[str, Json]:
        request = self._http.build_request(
            method,
            path,
            params={name: value for name, value in (parameters or {}).items() if value is not None},
            content=None if body is None else _encoded(body),
            headers={**(headers or {}), **({} if body is None else {"Content-Type": "application/json"})},
        )
        left = self._retries if retries is None else retries
        pause = _FIRST_PAUSE
        while True:
            response, may_repeat = self._attempt(request)
            if response is not None and response.is_success:
                return _answer(response)
            asked = None if response is None else _retry_after(response)
            if not may_repeat or left == 0 or (asked or 0) > _LONGEST_PAUSE:
                raise _failure(response, asked)
            # Full jitter: callers that failed together do not come back together.
            self._sleep((asked or 0) + random.uniform(0, pause))  # noqa: S311 - nothing secret
            left, pause = left - 1, min(pause * 2, _LONGEST_PAUSE)

    def _attempt(self, request: httpx.Request) -> tuple[httpx.Response | None, bool]:
        """The response, or None for none; and whether another attempt may fare better.

        httpx's errors hold the request and so the data in it: none may become the context of what is raised.
        """
        try:
            response = self._http.send(request)
        except (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError, httpx.ProxyError):
            return None, True
        except httpx.HTTPError:
            return None, False
        return response, response.status_code in _AGAIN


# --- what goes out


def segment(part: str | UUID) -> str:
    """One segment of a path: an empty one, or a dot, would name another resource."""
    id = str(part)
    if id.strip(".") == "":
        raise Invalid("An id is missing")
    return quote(id, safe="")


def listed(names: Sequence[str]) -> list[str]:
    if isinstance(names, str):  # a str is a sequence of str, and means one name
        return [names]
    return list(names)


def joined(names: Sequence[str] | None) -> str | None:
    return None if names is None else ",".join(listed(names))


def known(body: Mapping[str, Value]) -> dict[str, Value]:
    """The body without what is not known: members that are None are left out."""
    return {name: value for name, value in body.items() if value is not None}


def accepting(language: str | None) -> dict[str, str]:
    """The header that asks for sentences in a language; without it the service speaks English."""
    return {} if language is None else {"Accept-Language": language}


def _encoded(body: Mapping[str, Value]) -> bytes:
    encoded = b""
    # These errors quote the value, and UnicodeEncodeError holds the whole body: none is chained.
    with suppress(TypeError, ValueError, RecursionError):
        encoded = json.dumps(body, default=_plain, ensure_ascii=False, allow_nan=False).encode()
    if not encoded:
        raise Invalid("The data holds something that JSON has no form for")
    return encoded


def _plain(value: object) -> Json:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return list(value)
    raise TypeError


# --- what comes back


def _answer(response: httpx.Response) -> dict[str, Json]:
    if not response.content:
        return {}
    answer = _parsed(response)
    if not isinstance(answer, dict):
        raise unknown_form(response)
    return answer


def _parsed(response: httpx.Response) -> object:
    try:
        parsed: object = json.loads(response.content)
    except (ValueError, RecursionError):
        return None
    return parsed


def _failure(response: httpx.Response | None, retry_after: float | None) -> PrivacyError:
    if response is None:
        return Unavailable("The service could not be reached or did not answer in time")
    problem = _parsed(response)
    return refusal(
        problem if isinstance(problem, dict) else {},
        status=response.status_code,
        request_id=response.headers.get("X-Request-ID"),
        **({} if retry_after is None else {"retry_after": retry_after}),
    )


def refusal(problem: Mapping[str, Json], *, status: int, **context: object) -> PrivacyError:
    """The error that an RFC 9457 problem stands for: by its code, else by its status.

    A later service may send codes that this client has no class for.
    """
    code, detail = problem.get("code"), problem.get("detail")
    kind = _kinds().get(code) if isinstance(code, str) else None
    request_id = problem.get("request_id")
    if isinstance(request_id, str):
        context["request_id"] = request_id
    if isinstance(code, str):
        context |= {name: problem[name] for name in _TOLD if name in problem}
    # Text without a code is not the service's own: a proxy's page may repeat the request.
    context |= {"status": status, "code": code if isinstance(code, str) else None}
    said = detail if isinstance(code, str) and isinstance(detail, str) else ""
    return (kind or _BY_STATUS.get(status, PrivacyError))(said, zh="", law=texts(problem, "law"), **context)


def _kinds() -> dict[str, type[PrivacyError]]:
    kinds: dict[str, type[PrivacyError]] = {}
    waiting: list[type[PrivacyError]] = [PrivacyError]
    while waiting:
        kind = waiting.pop()
        kinds.setdefault(kind.code, kind)  # a class without a code of its own has its parent's
        waiting += kind.__subclasses__()
    return kinds


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds to wait (RFC 9110 10.2.3: seconds or a date), None where nothing readable is asked."""
    asked = response.headers.get("Retry-After", "").strip()
    if asked.isascii() and asked.isdigit():
        return float(asked[:9])
    try:
        until = parsedate_to_datetime(asked)
    except (ValueError, OverflowError):
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())


# --- the parts of an answer


def unknown_form(response: httpx.Response | None = None) -> PrivacyError:
    detail = "The service answered in a form that this client does not know"
    if response is None:
        return PrivacyError(detail)
    return PrivacyError(detail, status=response.status_code, request_id=response.headers.get("X-Request-ID"))


def mapping(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise unknown_form()
    return value


def objects(answer: Item, name: str) -> list[dict[str, Json]]:
    items = answer.get(name)
    if not isinstance(items, list):
        raise unknown_form()
    return [mapping(item) for item in items]


def maybe_text(item: Item, name: str) -> str | None:
    value = item.get(name)
    if value is None or isinstance(value, str):
        return value
    raise unknown_form()


def text(item: Item, name: str) -> str:
    value = maybe_text(item, name)
    if value is None:
        raise unknown_form()
    return value


def texts(item: Item, name: str) -> tuple[str, ...]:
    values = item.get(name)
    return tuple(value for value in values if isinstance(value, str)) if isinstance(values, list) else ()


def number(item: Item, name: str) -> int:
    value = item.get(name)
    if type(value) is not int:
        raise unknown_form()
    return value


def maybe_moment(item: Item, name: str) -> datetime | None:
    said = maybe_text(item, name)
    if said is None:
        return None
    try:
        found = datetime.fromisoformat(said)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise unknown_form()
    return found


def moment(item: Item, name: str) -> datetime:
    found = maybe_moment(item, name)
    if found is None:
        raise unknown_form()
    return found
