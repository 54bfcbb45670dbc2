"""Records: the hot routes. Their work shares transactions with whatever else is asked at the moment."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query
from msgspec import Raw

from api.documents import problems
from api.errors import problem, status_of
from api.routing import Answer, Call, Endpoint, encode, language_of
from api.shapes import (
    BATCH,
    BatchRead,
    BatchReadAnswer,
    BatchWrite,
    BatchWrote,
    ListOf,
    NewRecord,
    ReadRecord,
    Rectification,
    Search,
    StoredShape,
    Wanted,
    cursor_of,
    place_of,
)
from privacy import at_the_door, idempotency, records, search
from privacy.at_the_door import NOTHING, Analysed, Item
from privacy.errors import Invalid, PreconditionRequired, PrivacyError
from privacy.group import Call as WorkCall
from privacy.group import Failure, Outcome
from privacy.work import Work

router = APIRouter(prefix="/v1", tags=["records"], route_class=Endpoint)

# Threads that wait for the detector: of their own, so that long texts hold up none but other texts.
_WAITING: Final = ThreadPoolExecutor(8, "at-the-door")

Purpose = Annotated[str, Query(min_length=1, max_length=64, description="A purpose the manifest declares")]
Fields = Annotated[str | None, Query(max_length=4096, description="Field names, separated by commas")]
Recipient = Annotated[
    str | None, Query(min_length=1, max_length=64, description="The declared recipient it will be provided to")
]


@router.get("/records/{record_id}", response_model=ReadRecord, responses=problems(400, 403, 404, 410))
async def read_record(
    call: Call, record_id: UUID, purpose: Purpose, fields: Fields = None, recipient: Recipient = None
) -> Answer:
    """Read one record for a purpose. What the purpose may not see is listed under `withheld`, with the law."""
    wanted = _names(fields)
    record = await call.perform(
        lambda work: records.read(work, record_id, purpose=purpose, fields=wanted, recipient=recipient)
    )
    return Answer(record, headers=(("etag", f'"{record.version}"'),))


@router.post(
    "/subjects/{subject_id}/records",
    status_code=201,
    response_model=StoredShape,
    responses=problems(400, 403, 404, 409, 410, 413, 422),
)
async def store_record(call: Call, subject_id: UUID, body: NewRecord) -> Answer:
    """Store a record of a subject for one or more purposes. The answer holds ids and levels, no value.

    Free text that the manifest declares `scan` is looked through first; what is found above its field's level is
    refused (422, `found-above-level`), raises the level, or is named under `findings`.
    """
    analysed = await _analysed(call, [(body.type, body.data)])

    def store(work: Work) -> bytes:
        stored = records.store(
            work, subject_id, type=body.type, purposes=body.purposes, data=body.data, analysed=analysed
        )
        return encode(stored)

    key = call.idempotency_key
    if key is None:
        answer = await call.perform(store)
    else:
        signature = call.signature
        answer = await call.perform(lambda work: idempotency.once(work, key, signature, lambda: store(work)))
    return Answer(answer, 201, (("etag", '"1"'),))


@router.post("/subjects/search", response_model=ListOf[search.Hit], responses=problems(400, 403, 413))
async def search_subjects(call: Call, body: Search) -> dict[str, object]:
    """Find the subjects whose field has exactly this value, after normalisation. Each hit is on record."""
    hits = await call.perform(
        lambda work: search.search(work, type=body.type, field=body.field, value=body.value, purpose=body.purpose)
    )
    return {"items": hits, "next_cursor": None}


@router.post("/records/batch-read", response_model=BatchReadAnswer, responses=problems(400, 403, 413))
async def read_batch(call: Call, body: BatchRead) -> dict[str, object]:
    """Read up to 1,000 records, or subjects, for one purpose. Each item succeeds or is refused by itself."""
    outcomes = await call.perform_all([_reader(wanted, body) for wanted in body.items])
    _raise_if_all_failed(outcomes)
    return {"items": [_found(call, outcome) for outcome in outcomes]}


@router.post("/records/batch-write", response_model=BatchWrote, responses=problems(400, 403, 404, 409, 410, 413, 422))
async def write_batch(call: Call, body: BatchWrite) -> dict[str, object]:
    """Store up to 1,000 records: each by itself, or all together.

    With an Idempotency-Key each item has a memory of its own. In mode `all` an item's problem is the answer
    of that item, the others say `conflict`, and nothing is stored.
    """
    key, signature = call.idempotency_key, call.signature
    analysed = await _analysed(call, [(item.type, item.data) for item in body.items])

    def writer(n: int) -> WorkCall:
        item = body.items[n]

        def store(work: Work) -> bytes:
            stored = records.store(
                work, item.subject_id, type=item.type, purposes=item.purposes, data=item.data, analysed=analysed
            )
            return encode(stored)

        if key is None:
            return store
        return lambda work: idempotency.once(work, f"{key}/{n}", signature, lambda: store(work))

    calls = [writer(n) for n in range(len(body.items))]
    outcomes = await call.perform_all(calls, together=body.mode == "all")
    _raise_if_all_failed(outcomes)
    return {"items": [_wrote(call, outcome) for outcome in outcomes]}


@router.get(
    "/subjects/{subject_id}/records",
    response_model=ListOf[ReadRecord],
    responses=problems(400, 403, 404, 410),
)
async def read_records(
    call: Call,
    subject_id: UUID,
    purpose: Purpose,
    type: Annotated[str | None, Query(min_length=1, max_length=64)] = None,
    fields: Fields = None,
    recipient: Recipient = None,
    limit: Annotated[int, Query(ge=1, le=records.PAGE)] = records.PAGE,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> dict[str, object]:
    """A subject's records as far as the purpose may see them, oldest first."""
    after, wanted = place_of(cursor), _names(fields)
    page = await call.perform(
        lambda work: records.read_all(
            work,
            subject_id,
            purpose=purpose,
            type=type,
            fields=wanted,
            recipient=recipient,
            after=after,
            limit=limit,
        )
    )
    return {"items": page.items, "next_cursor": cursor_of(page.after)}


@router.patch(
    "/records/{record_id}",
    response_model=StoredShape,
    responses=problems(400, 403, 404, 409, 410, 412, 413, 422, 428),
)
def rectify_record(call: Call, record_id: UUID, body: Rectification) -> Answer:
    """Replace or remove fields. Needs If-Match with the ETag of the version read."""
    version = _version(call)
    if version is None:
        raise PreconditionRequired

    service = call.state_of_process.service
    analysed = at_the_door.analyse(service, _texts(call, [(None, body.data)]))

    def rectify(work: Work) -> bytes:
        return encode(records.rectify(work, record_id, version=version, data=body.data, analysed=analysed))

    with call.begin() as work:
        answer = idempotency.once(work, call.idempotency_key, call.signature, lambda: rectify(work))
    return Answer(answer, headers=(("etag", f'"{version + 1}"'),))


@router.delete(
    "/records/{record_id}", status_code=204, response_model=None, responses=problems(400, 403, 404, 409, 410, 412, 422)
)
def delete_record(call: Call, record_id: UUID) -> Answer:
    """Remove a record and its index entries. With If-Match, only that version."""
    version = _version(call)

    def delete(work: Work) -> bytes:
        records.delete(work, record_id, version=version)
        return b""

    with call.begin() as work:
        idempotency.once(work, call.idempotency_key, call.signature, lambda: delete(work))
    return Answer(None, 204)


async def _analysed(call: Call, items: Sequence[Item]) -> Analysed:
    """What is found in the texts, before any transaction and in a thread: the loop goes on meanwhile."""
    texts = _texts(call, items)
    if not texts:
        return NOTHING
    service = call.state_of_process.service
    return await asyncio.get_running_loop().run_in_executor(_WAITING, at_the_door.analyse, service, texts)


def _texts(call: Call, items: Sequence[Item]) -> dict[at_the_door.Languages, set[str]]:
    declared = call.state_of_process.service.declared
    return {} if declared is None else at_the_door.wanted(declared.manifest, items)


def _names(fields: str | None) -> tuple[str, ...] | None:
    return None if fields is None else tuple(name.strip() for name in fields.split(",") if name.strip())


def _version(call: Call) -> int | None:
    """The version in If-Match (RFC 9110 13.1.1). Raises `Invalid` when it is no ETag of ours."""
    tag = call.headers.get("if-match")
    if tag is None:
        return None
    number = tag.strip().removeprefix('"').removesuffix('"')
    if not (number.isascii() and number.isdecimal() and len(number) < 10):
        raise Invalid('If-Match must be one ETag as it was sent, such as "3"')
    return int(number)


def _reader(wanted: Wanted, body: BatchRead) -> WorkCall:
    purpose, fields = body.purpose, body.fields

    def read(work: Work) -> list[records.Record]:
        if wanted.record_id is not None and wanted.subject_id is None:
            found = records.read(
                work, wanted.record_id, purpose=purpose, fields=fields, recipient=body.recipient, reason=body.reason
            )
            return [found]
        if wanted.subject_id is not None and wanted.record_id is None:
            return _whole(work, wanted.subject_id, wanted.type, body)
        raise Invalid("An item names either a record_id or a subject_id")

    return read


def _whole(work: Work, subject_id: UUID, type: str | None, body: BatchRead) -> list[records.Record]:
    """All of a subject's records, page by page. Raises `Invalid` when they are more than a batch may hold."""
    found: list[records.Record] = []
    after: UUID | None = None
    while True:
        page = records.read_all(
            work,
            subject_id,
            purpose=body.purpose,
            type=type,
            fields=body.fields,
            recipient=body.recipient,
            reason=body.reason,
            after=after,
        )
        found += page.items
        if page.after is None:
            return found
        if len(found) >= BATCH:
            raise Invalid(f"The subject has more than {BATCH} records: page through /subjects/{{id}}/records")
        after = page.after


def _found(call: Call, outcome: Outcome) -> dict[str, object]:
    if isinstance(outcome, Failure):
        return _failed(call, outcome)
    return {"status": 200, "records": outcome}


def _wrote(call: Call, outcome: Outcome) -> dict[str, object]:
    if isinstance(outcome, Failure):
        return _failed(call, outcome)
    return {"status": 201, "record": Raw(outcome)}


def _failed(call: Call, failure: Failure) -> dict[str, object]:
    error = _ours(failure)
    return {"status": status_of(error), "error": problem(error, call.request_id, language_of(call.scope))}


def _ours(failure: Failure) -> PrivacyError:
    return failure.error if isinstance(failure.error, PrivacyError) else PrivacyError()


def _raise_if_all_failed(outcomes: Sequence[Outcome]) -> None:
    """When the service could do nothing at all, that is the answer; an item's own trouble is the item's."""
    errors = [_ours(outcome) for outcome in outcomes if isinstance(outcome, Failure)]
    if len(errors) == len(outcomes) and all(status_of(error) >= 500 for error in errors):
        raise errors[0]
