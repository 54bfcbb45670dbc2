"""What a leaked key, a component or an address has seen."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter
from pydantic import AwareDatetime, ConfigDict, Field, StringConstraints

from api.documents import problems
from api.routing import Answer, Call, Endpoint
from api.shapes import Body
from privacy import exposure
from privacy.exposure import Exposure, Question

router = APIRouter(prefix="/v1/audit", tags=["audit"], route_class=Endpoint)

_MEDIA: Final = {"csv": b"text/csv; charset=utf-8", "ndjson": b"application/x-ndjson"}
_LIST: Final = "The page as a list for a breach notice, ids and declared names only; the next page's cursor in a header"
_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "headers": {
            "X-Next-Cursor": {
                "description": "Of a list: where the next page starts; absent at the end",
                "schema": {"type": "string"},
            }
        },
        "content": {
            "text/csv": {"schema": {"type": "string", "description": _LIST}},
            "application/x-ndjson": {"schema": {"type": "string", "description": _LIST}},
        },
    }
}


class ExposureQuestion(Body):
    """All that is given must hold; at least one of principal, key, address and since is.

    `key` is the API key as it leaked, which is hashed at once; `key_id` the first 8 bytes of its SHA-256 in hex.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"principal": "desk", "since": "2026-03-01T00:00:00Z", "limit": 1000}]}
    )
    principal: Annotated[str, StringConstraints(min_length=1, max_length=80)] | None = None
    key_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")] | None = None
    key: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    address: Annotated[str, StringConstraints(min_length=2, max_length=45)] | None = None
    since: Annotated[AwareDatetime | None, Field(strict=False)] = None
    until: Annotated[AwareDatetime | None, Field(strict=False)] = None
    form: Literal["json", "csv", "ndjson"] = "json"
    limit: Annotated[int, Field(ge=1, le=exposure.MOST)] = 100
    cursor: Annotated[str, StringConstraints(max_length=64)] | None = None


@router.post("/exposure", response_model=Exposure, responses={**problems(400, 403, 404, 413), **_ANSWERS})
def ask_exposure(call: Call, body: ExposureQuestion) -> object:
    """Which subjects, which of their fields, how often, first and last. For auditors and administrators."""
    found = exposure.ask(
        call.begin,
        Question(
            principal=body.principal,
            key_id=body.key_id,
            key=body.key,
            address=body.address,
            since=body.since,
            until=body.until,
        ),
        limit=body.limit,
        cursor=body.cursor,
    )
    if body.form == "json":
        return found
    page = b"".join(exposure.listed(found.items, body.form, head=body.cursor is None))
    following = [("x-next-cursor", found.next_cursor)] if found.next_cursor else []
    return Answer(page, headers=following, media_type=_MEDIA[body.form])
