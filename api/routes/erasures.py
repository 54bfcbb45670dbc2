"""Erasures: of a data subject, or of a part of what is known of one; their outcome, and the signed certificate."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

import msgspec
from fastapi import APIRouter
from pydantic import Field, StringConstraints

from api.documents import problems
from api.routing import Answer, Call, Endpoint, encode
from api.shapes import Body, ListOf, Name
from privacy import erasure, idempotency
from privacy.erasure import Erasure
from privacy.erasure_steps import Reason

router = APIRouter(prefix="/v1", tags=["erasure"], route_class=Endpoint)

FieldName = Annotated[str, StringConstraints(min_length=3, max_length=130, pattern=r"^[^.]+\.[^.]+$")]
Names = Annotated[list[Name], Field(max_length=100)]
_LOOK: Final = problems(400, 403, 404)


class NewErasure(Body):
    """What is to be erased: all that any of the three names, or everything when none does. `fields` as `type.field`."""

    types: Names = Field(default_factory=list)
    purposes: Names = Field(default_factory=list)
    fields: Annotated[list[FieldName], Field(max_length=100)] = Field(default_factory=list)
    reason: Annotated[Reason, Field(strict=False)] = Reason.REQUEST


@router.post(
    "/subjects/{subject_id}/erasures",
    status_code=201,
    response_model=Erasure,
    responses=problems(400, 403, 404, 409, 410, 413, 422),
)
def erase_subject(call: Call, subject_id: UUID, body: NewErasure) -> Answer:
    """Erase a subject or a part (PIPL 47, GDPR 17). `state` is `done`; `restricted` where `kept` says what must stay
    and why; anything else goes on by itself. Asked again on its way, it is the same erasure.
    """

    with call.begin() as work:
        asked = idempotency.once(
            work,
            call.idempotency_key,
            call.signature,
            lambda: encode(
                erasure.ask(
                    work,
                    subject_id,
                    types=body.types,
                    purposes=body.purposes,
                    fields=body.fields,
                    reason=body.reason,
                )
            ),
        )
    return Answer(erasure.carry_on(call.state_of_process.service, UUID(msgspec.json.decode(asked)["id"])), 201)


@router.get("/subjects/{subject_id}/erasures", response_model=ListOf[Erasure], responses=_LOOK)
def list_erasures(call: Call, subject_id: UUID) -> dict[str, object]:
    """The erasures of a subject, the oldest first; of an erased one too."""
    with call.begin() as work:
        return {"items": erasure.listed(work, subject_id), "next_cursor": None}


@router.get("/erasures/{erasure_id}", response_model=Erasure, responses=_LOOK)
def show_erasure(call: Call, erasure_id: UUID) -> Erasure:
    """One erasure as it stands."""
    with call.begin() as work:
        return erasure.view(work, erasure_id)


@router.get("/erasures/{erasure_id}/certificate", response_model=dict[str, object], responses=_LOOK)
def show_certificate(call: Call, erasure_id: UUID) -> Answer:
    """The signed certificate, to be verified offline (`privacy erasure verify`). 404 while nothing has been erased."""
    with call.begin() as work:
        text = erasure.certificate(work, erasure_id)
    return Answer(text.encode())
