"""The service's REST interface as Python: what a calling service needs, and nothing of the server.

    with PrivacyClient("https://privacy.example.cn", key) as privacy:
        person = privacy.create_subject(jurisdiction="CN")
        privacy.store(person.id, type="member", purposes=["membership"], data={"phone": "13800138000"})
        for record in privacy.records(person.id, purpose="customer-service"):
            print(record.data["phone"])        # 138****8000

Every refusal is raised as the class of `privacy.errors` that the service raised, with its `detail` and `law`;
`error.context` has `status`, `request_id`, `code` as sent and, when told to wait, `retry_after` (seconds).
No personal value stands in a URL, in an exception, in the `repr` of an answer or in a log line of ours.

A request is repeated after a connection error, 429, 502, 503 and 504, with exponential backoff and full
jitter, no sooner than Retry-After asks. Changes carry an Idempotency-Key, the same over all repetitions, so
that a change whose answer was lost is not made twice.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Final, Self, TypeAlias
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

_AGAIN: Final = frozenset({429, 502, 503, 504})
_FIRST_PAUSE: Final = 0.2  # seconds
_LONGEST_PAUSE: Final = 30.0
_TOLD: Final = ("field", "version", "orphans", "errors")  # members of a problem that say where it lies
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


@dataclass(frozen=True, slots=True)
class Subject:
    """What is told of a subject without a purpose: nothing personal, whatever it was created with."""

    id: str
    jurisdiction: str | None
    created_at: datetime | None


@dataclass(frozen=True, slots=True)
class Hit:
    """Where a value was found; `record_id` is None for a subject's external id."""

    subject_id: str
    record_id: str | None


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """`levels` names the level, L1 to L4, of each field stored."""

    id: str
    type: str
    version: int
    expires_at: datetime
    levels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Withheld:
    """Why something is not given: the rule's stable code and the articles behind it."""

    code: str
    law: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """What the purpose may have of a record; its `repr` leaves the data out."""

    id: str
    subject_id: str
    type: str
    version: int
    data: Mapping[str, Json] = field(repr=False)
    withheld: Mapping[str, Withheld]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a purpose would be given of a record type: each field with its mask, None for in clear.

    `refusal` is set when nothing would be given at all.
    """

    purpose: str
    type: str
    basis: str | None
    law: tuple[str, ...]
    fields: Mapping[str, str | None]
    withheld: Mapping[str, Withheld]
    refusal: Withheld | None

    @property
    def allowed(self) -> bool:
        return self.refusal is None


@dataclass(frozen=True, slots=True)
class Consent:
    """`state` is "given", "refused" or "withdrawn": as it stands, or of one event in the history."""

    id: str
    purpose: str
    state: str
    at: datetime | None
    expires_at: datetime | None
    notice: str | None
    language: str | None
    separate: bool


@dataclass(frozen=True, slots=True)
class Event:
    """An entry of the audit log; `more` holds what the service tells besides, ids and names only."""

    id: str
    at: datetime
    actor: str | None
    action: str
    subject: str | None
    record: str | None
    purpose: str | None
    basis: str | None
    outcome: str | None
    fields: tuple[str, ...]
    more: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Purpose:
    """A declared purpose; `keep` is an ISO 8601 duration, `more` the rest of its declaration."""

    name: str
    basis: str
    law: tuple[str, ...]
    keep: str | None
    more: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Health:
    status: str


@dataclass(frozen=True, slots=True)
class NewRecord:
    """One item of `write_batch`; its `repr` leaves the data out."""

    subject_id: str | UUID
    type: str
    purposes: Sequence[str]
    data: Mapping[str, Value] = field(repr=False)


@dataclass(frozen=True, slots=True)
class OfRecord:
    """One item of `read_batch`: this record."""

    record_id: str | UUID


@dataclass(frozen=True, slots=True)
class OfSubject:
    """One item of `read_batch`: the subject's records, of one type or of all."""

    subject_id: str | UUID
    type: str | None = None


class PrivacyClient:
    """A connection pool to one service under one API key; threads may share it.

    `timeout` is in seconds and holds for connecting, sending and each wait for bytes; `retries` counts
    repetitions after the first attempt. Every method raises the classes of `privacy.errors`; when the
    service cannot be reached or does not answer, `Unavailable`.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeout: float = 10.0,
        retries: int = 3,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
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
            headers={"Authorization": f"Bearer {api_key}", "Accept": "application/json"},
            timeout=timeout,
            transport=transport,
            follow_redirects=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the pool; a second time does nothing."""
        self._http.close()

    # --- subjects

    def create_subject(
        self,
        *,
        external_id: str | None = None,
        jurisdiction: str = "CN",
        born: date | None = None,
        guardian: str | UUID | None = None,
    ) -> Subject:
        body = {
            "external_id": external_id,
            "born": born,
            "guardian": None if guardian is None else str(guardian),
        }
        return _subject(self._change("POST", "/v1/subjects", {"jurisdiction": jurisdiction} | _given(body)))

    def subject(self, id: str | UUID) -> Subject:
        return _subject(self._get(f"/v1/subjects/{_segment(id)}"))

    def search(self, *, type: str, field: str, value: str, purpose: str) -> list[Hit]:
        """The records whose field equals `value` in any spelling; the value travels in the body."""
        body = {"type": type, "field": field, "value": value, "purpose": purpose}
        answer = self._ask("/v1/subjects/search", body)
        return [Hit(_text(item, "subject_id"), _maybe_text(item, "record_id")) for item in _items(answer)]

    def decision(self, subject_id: str | UUID, *, purpose: str, type: str) -> Decision:
        """What `purpose` would be given, and why not the rest. Discloses nothing."""
        parameters = {"purpose": purpose, "type": type}
        return _decision(self._get(f"/v1/subjects/{_segment(subject_id)}/decision", parameters))

    # --- records

    def store(
        self, subject_id: str | UUID, *, type: str, purposes: Sequence[str], data: Mapping[str, Value]
    ) -> StoredRecord:
        body: dict[str, Value] = {"type": type, "purposes": _names(purposes), "data": data}
        return _stored(self._change("POST", f"/v1/subjects/{_segment(subject_id)}/records", body))

    def read(self, record_id: str | UUID, *, purpose: str, fields: Sequence[str] | None = None) -> Record:
        parameters = {"purpose": purpose, "fields": _joined(fields)}
        return _record(self._get(f"/v1/records/{_segment(record_id)}", parameters))

    def records(
        self,
        subject_id: str | UUID,
        *,
        purpose: str,
        type: str | None = None,
        fields: Sequence[str] | None = None,
    ) -> Iterator[Record]:
        """The subject's records, page after page, each page asked for when it is needed."""
        parameters = {"purpose": purpose, "type": type, "fields": _joined(fields)}
        for item in self._pages(f"/v1/subjects/{_segment(subject_id)}/records", parameters):
            yield _record(item, subject_id=str(subject_id))

    def rectify(
        self,
        record_id: str | UUID,
        *,
        version: int,
        data: Mapping[str, Value],
    ) -> StoredRecord:
        """Change the fields in `data` and no others. Raises VersionMismatch unless `version` is current."""
        body: dict[str, Value] = {"data": data}
        return _stored(self._change("PATCH", f"/v1/records/{_segment(record_id)}", body, version=version))

    def delete(self, record_id: str | UUID, *, version: int | None = None) -> None:
        """Delete the record; with `version` only as long as that is current."""
        self._change("DELETE", f"/v1/records/{_segment(record_id)}", None, version=version)

    def write_batch(self, items: Sequence[NewRecord], *, atomic: bool) -> list[StoredRecord | PrivacyError]:
        """Store many records, an outcome for each item in its place; an error stands in the list, not raised.

        With `atomic` all are stored or none: then every entry is an error, Conflict for the items that were
        not at fault.
        """
        wanted: list[Value] = [
            {
                "subject_id": str(item.subject_id),
                "type": item.type,
                "purposes": _names(item.purposes),
                "data": item.data,
            }
            for item in items
        ]
        body: dict[str, Value] = {"mode": "all" if atomic else "each", "items": wanted}
        outcomes = _outcomes(self._change("POST", "/v1/records/batch-write", body), len(items))
        return [
            outcome if isinstance(outcome, PrivacyError) else _stored(_object(outcome.get("record")))
            for outcome in outcomes
        ]

    def read_batch(
        self,
        items: Sequence[OfRecord | OfSubject],
        *,
        purpose: str,
        fields: Mapping[str, Sequence[str]] | None = None,
    ) -> list[Record | PrivacyError]:
        """The records of all items, in the order of the items; an error stands in the list, not raised.

        A subject's item gives as many records as there are, also none: records tell their subject, errors
        their item (`error.context["item"]`, counted from 0). `fields` names the fields wanted of each type.
        """
        body: dict[str, Value] = {"purpose": purpose, "items": [_wanted(item) for item in items]}
        if fields is not None:
            body["fields"] = {type: _names(names) for type, names in fields.items()}
        found: list[Record | PrivacyError] = []
        outcomes = _outcomes(self._ask("/v1/records/batch-read", body), len(items))
        for item, outcome in zip(items, outcomes, strict=True):
            if isinstance(outcome, PrivacyError):
                found.append(outcome)
            else:
                subject_id = str(item.subject_id) if isinstance(item, OfSubject) else None
                found += [_record(record, subject_id=subject_id) for record in _objects(outcome, "records")]
        return found

    # --- consent

    def give_consent(
        self,
        subject_id: str | UUID,
        *,
        purpose: str,
        decision: str = "given",
        notice: str | None = None,
        language: str | None = None,
        separate: bool | None = None,
        channel: str | None = None,
    ) -> Consent:
        """Record what the subject decided, "given" or "refused", about a purpose.

        `separate`: it was asked for by itself (PIPL 23, 25, 26, 29, 39); `channel` says where, like "app".
        """
        body: dict[str, Value] = {"purpose": purpose, "decision": decision}
        body |= _given({"notice": notice, "language": language, "separate": separate, "channel": channel})
        return _consent(self._change("POST", f"/v1/subjects/{_segment(subject_id)}/consents", body))

    def withdraw_consent(self, subject_id: str | UUID, *, purpose: str, channel: str | None = None) -> Consent:
        """Withdraw; from the next read on the purpose gets nothing."""
        path = f"/v1/subjects/{_segment(subject_id)}/consents/{_segment(purpose)}/withdraw"
        return _consent(self._change("POST", path, None if channel is None else {"channel": channel}))

    def consents(self, subject_id: str | UUID, *, history: bool = False) -> list[Consent]:
        """What is in force for each purpose; with `history` every decision ever recorded."""
        parameters = {"history": "true"} if history else {}
        return [_consent(item) for item in self._pages(f"/v1/subjects/{_segment(subject_id)}/consents", parameters)]

    # --- the service itself

    def events(self, **filters: str | int | date | UUID | None) -> Iterator[Event]:
        """The audit log, page after page; `filters` are the service's own: subject, actor, purpose, ..."""
        parameters = {
            name: value.isoformat() if isinstance(value, date) else str(value)
            for name, value in filters.items()
            if value is not None
        }
        for item in self._pages("/v1/audit/events", parameters):
            yield _event(item)

    def purposes(self) -> list[Purpose]:
        return [_purpose(item) for item in self._pages("/v1/purposes", {})]

    def health(self) -> Health:
        """Whether the process is alive; asked once, never repeated."""
        return Health(_maybe_text(self._send("GET", "/healthz", retries=0), "status") or "ok")

    # --- one request and its repetitions

    def _get(self, path: str, parameters: Mapping[str, str | None] | None = None) -> dict[str, Json]:
        return self._send("GET", path, parameters=parameters)

    def _ask(self, path: str, body: Mapping[str, Value]) -> dict[str, Json]:
        """A POST that changes nothing; with an Idempotency-Key the service would have to keep the answer."""
        return self._send("POST", path, body=body)

    def _change(
        self, method: str, path: str, body: Mapping[str, Value] | None, *, version: int | None = None
    ) -> dict[str, Json]:
        headers = {"Idempotency-Key": str(uuid4())}
        if version is not None:
            headers["If-Match"] = f'"{version}"'
        return self._send(method, path, body=body, headers=headers)

    def _pages(self, path: str, parameters: Mapping[str, str | None]) -> Iterator[dict[str, Json]]:
        cursor: str | None = None
        while True:
            answer = self._get(path, {**parameters, "cursor": cursor})
            yield from _items(answer)
            last, cursor = cursor, _maybe_text(answer, "next_cursor")
            if cursor is None:
                return
            if cursor == last:
                raise _unknown_form()

    def _send(
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


def _segment(part: str | UUID) -> str:
    """One segment of a path: an empty one, or a dot, would name another resource."""
    text = str(part)
    if text.strip(".") == "":
        raise Invalid("An id is missing")
    return quote(text, safe="")


def _names(names: Sequence[str]) -> list[str]:
    if isinstance(names, str):  # a str is a sequence of str, and means one name
        return [names]
    return list(names)


def _joined(names: Sequence[str] | None) -> str | None:
    return None if names is None else ",".join(_names(names))


def _given(body: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in body.items() if value is not None}


def _wanted(item: OfRecord | OfSubject) -> dict[str, Value]:
    if isinstance(item, OfRecord):
        return {"record_id": str(item.record_id)}
    return {"subject_id": str(item.subject_id)} | _given({"type": item.type})


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
        raise _unknown_form(response)
    return answer


def _parsed(response: httpx.Response) -> object:
    try:
        parsed: object = json.loads(response.content)
    except (ValueError, RecursionError):
        return None
    return parsed


def _unknown_form(response: httpx.Response | None = None) -> PrivacyError:
    detail = "The service answered in a form that this client does not know"
    if response is None:
        return PrivacyError(detail)
    return PrivacyError(detail, status=response.status_code, request_id=response.headers.get("X-Request-ID"))


def _failure(response: httpx.Response | None, retry_after: float | None) -> PrivacyError:
    if response is None:
        return Unavailable("The service could not be reached or did not answer in time")
    problem = _parsed(response)
    return _refusal(
        problem if isinstance(problem, dict) else {},
        status=response.status_code,
        request_id=response.headers.get("X-Request-ID"),
        **({} if retry_after is None else {"retry_after": retry_after}),
    )


def _refusal(problem: Mapping[str, Json], *, status: int, **context: object) -> PrivacyError:
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
    return (kind or _BY_STATUS.get(status, PrivacyError))(
        detail if isinstance(code, str) and isinstance(detail, str) else "",
        law=_texts(problem, "law"),
        **{**context, "status": status, "code": code if isinstance(code, str) else None},
    )


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
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _object(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise _unknown_form()
    return value


def _objects(answer: Mapping[str, Json], name: str) -> list[dict[str, Json]]:
    items = answer.get(name)
    if not isinstance(items, list):
        raise _unknown_form()
    return [_object(item) for item in items]


def _items(answer: Mapping[str, Json]) -> list[dict[str, Json]]:
    return _objects(answer, "items")


def _outcomes(answer: Mapping[str, Json], count: int) -> list[dict[str, Json] | PrivacyError]:
    outcomes: list[dict[str, Json] | PrivacyError] = []
    for number, item in enumerate(_items(answer)):
        status = _number(item, "status")
        if 200 <= status < 300:
            outcomes.append(item)
        else:
            outcomes.append(_refusal(_object(item.get("error")), status=status, item=number))
    if len(outcomes) != count:
        raise _unknown_form()
    return outcomes


def _maybe_text(item: Mapping[str, Json], name: str) -> str | None:
    value = item.get(name)
    if value is None or isinstance(value, str):
        return value
    raise _unknown_form()


def _text(item: Mapping[str, Json], name: str) -> str:
    value = _maybe_text(item, name)
    if value is None:
        raise _unknown_form()
    return value


def _texts(item: Mapping[str, Json], name: str) -> tuple[str, ...]:
    values = item.get(name)
    return tuple(value for value in values if isinstance(value, str)) if isinstance(values, list) else ()


def _number(item: Mapping[str, Json], name: str) -> int:
    value = item.get(name)
    if type(value) is not int:
        raise _unknown_form()
    return value


def _maybe_moment(item: Mapping[str, Json], name: str) -> datetime | None:
    text = _maybe_text(item, name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise _unknown_form()
    return moment


def _moment(item: Mapping[str, Json], name: str) -> datetime:
    moment = _maybe_moment(item, name)
    if moment is None:
        raise _unknown_form()
    return moment


def _withheld(why: Mapping[str, Json]) -> Withheld:
    return Withheld(_text(why, "code"), _texts(why, "law"))


def _rest(item: Mapping[str, Json], known: type[Event] | type[Purpose]) -> dict[str, Json]:
    return {name: value for name, value in item.items() if name not in known.__dataclass_fields__}


def _subject(item: Mapping[str, Json]) -> Subject:
    return Subject(
        id=_text(item, "id"),
        jurisdiction=_maybe_text(item, "jurisdiction"),
        created_at=_maybe_moment(item, "created_at"),
    )


def _stored(item: Mapping[str, Json]) -> StoredRecord:
    levels = _object(item.get("levels"))
    return StoredRecord(
        id=_text(item, "id"),
        type=_text(item, "type"),
        version=_number(item, "version"),
        expires_at=_moment(item, "expires_at"),
        levels={name: _text(levels, name) for name in levels},
    )


def _record(item: Mapping[str, Json], *, subject_id: str | None = None) -> Record:
    return Record(
        id=_text(item, "id"),
        subject_id=subject_id or _text(item, "subject_id"),
        type=_text(item, "type"),
        version=_number(item, "version"),
        data=_object(item.get("data")),
        withheld={name: _withheld(_object(why)) for name, why in _object(item.get("withheld")).items()},
    )


def _decision(item: Mapping[str, Json]) -> Decision:
    refusal = item.get("refusal")
    given: dict[str, str | None] = {}
    withheld: dict[str, Withheld] = {}
    for name, fate in _object(item.get("fields")).items():
        how = _object(fate)
        match _text(how, "give"):
            case "clear" | "masked":
                given[name] = _maybe_text(how, "mask")
            case "withheld":
                withheld[name] = _withheld(how)
            case _:
                raise _unknown_form()
    return Decision(
        purpose=_text(item, "purpose"),
        type=_text(item, "type"),
        basis=_maybe_text(item, "basis"),
        law=_texts(item, "law"),
        fields=given,
        withheld=withheld,
        refusal=None if refusal is None else _withheld(_object(refusal)),
    )


def _consent(item: Mapping[str, Json]) -> Consent:
    return Consent(
        id=_text(item, "id"),
        purpose=_text(item, "purpose"),
        state=_text(item, "state"),
        at=_maybe_moment(item, "at"),
        expires_at=_maybe_moment(item, "expires_at"),
        notice=_maybe_text(item, "notice"),
        language=_maybe_text(item, "language"),
        separate=item.get("separate") is True,
    )


def _event(item: Mapping[str, Json]) -> Event:
    return Event(
        id=_text(item, "id"),
        at=_moment(item, "at"),
        actor=_maybe_text(item, "actor"),
        action=_text(item, "action"),
        subject=_maybe_text(item, "subject"),
        record=_maybe_text(item, "record"),
        purpose=_maybe_text(item, "purpose"),
        basis=_maybe_text(item, "basis"),
        outcome=_maybe_text(item, "outcome"),
        fields=_texts(item, "fields"),
        more=_rest(item, Event),
    )


def _purpose(item: Mapping[str, Json]) -> Purpose:
    return Purpose(
        name=_text(item, "name"),
        basis=_text(item, "basis"),
        law=_texts(item, "law"),
        keep=_maybe_text(item, "keep"),
        more=_rest(item, Purpose),
    )
