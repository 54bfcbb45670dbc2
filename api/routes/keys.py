"""Keys: their versions, rotations under way, and what two people must agree to destroy."""

from __future__ import annotations

from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field, StringConstraints

from api.documents import problems
from api.routing import Answer, Call, Endpoint, encode
from api.shapes import Body, ListOf
from privacy import confirmations, idempotency, rotations
from privacy.confirmations import Confirmation
from privacy.rotations import Kind, Rotation

router = APIRouter(prefix="/v1/keys", tags=["keys"], route_class=Endpoint)

_LOOK: Final = problems(400, 403)
_ACT: Final = problems(400, 403, 404, 409, 413, 422)


class NewRotation(Body):
    """What is rotated."""

    kind: Annotated[Kind, Field(strict=False)]


class NewDestruction(Body):
    """A version that has been replaced and that nothing refers to any more."""

    kind: Literal["kek", "index", "signing"]
    version: Annotated[int, Field(ge=1, le=1_000_000)]
    reason: Annotated[str, StringConstraints(min_length=1, max_length=1000)]


@router.get("", response_model=rotations.Status, responses=_LOOK)
def show_keys(call: Call) -> rotations.Status:
    """Every version of every key and what still refers to it; no key. For operators, auditors and administrators."""
    with call.begin() as work:
        return rotations.status(work)


@router.get("/rotations", response_model=ListOf[Rotation], responses=_LOOK)
def list_rotations(call: Call) -> dict[str, object]:
    """Rotations, the newest first, with how far each has come and what its proof has counted."""
    with call.begin() as work:
        return {"items": rotations.listed(work), "next_cursor": None}


@router.post("/rotations", status_code=201, response_model=Rotation, responses=_ACT)
def start_rotation(call: Call, body: NewRotation) -> Answer:
    """Begin one; a job goes on with it while the service serves. For administrators."""
    with call.begin() as work:
        answer = idempotency.once(
            work, call.idempotency_key, call.signature, lambda: encode(rotations.start(work, body.kind))
        )
    return Answer(answer, 201)


@router.get("/destructions", response_model=ListOf[Confirmation], responses=_LOOK)
def list_destructions(call: Call) -> dict[str, object]:
    """What has been asked to be destroyed: who asked, who confirmed, and when it may be done."""
    with call.begin() as work:
        return {"items": confirmations.listed(work, open_only=False), "next_cursor": None}


@router.post("/destructions", status_code=201, response_model=Confirmation, responses=_ACT)
def ask_destruction(call: Call, body: NewDestruction) -> Answer:
    """Ask that an old version be destroyed for good. Another person confirms it, and it is done after the delay."""
    with call.begin() as work:
        answer = idempotency.once(
            work,
            call.idempotency_key,
            call.signature,
            lambda: encode(rotations.ask_destruction(work, Kind(body.kind), body.version, reason=body.reason)),
        )
    return Answer(answer, 201)


@router.post("/destructions/{confirmation_id}/confirm", response_model=Confirmation, responses=_ACT)
def confirm_destruction(call: Call, confirmation_id: UUID) -> Answer:
    """Confirm what another person has asked for."""
    with call.begin() as work:
        answer = idempotency.once(
            work,
            call.idempotency_key,
            call.signature,
            lambda: encode(confirmations.confirm(work, confirmation_id)),
        )
    return Answer(answer)


@router.post("/destructions/{confirmation_id}/withdraw", response_model=Confirmation, responses=_ACT)
def withdraw_destruction(call: Call, confirmation_id: UUID) -> Answer:
    """Stop it, until it is done."""
    with call.begin() as work:
        answer = idempotency.once(
            work,
            call.idempotency_key,
            call.signature,
            lambda: encode(confirmations.withdraw(work, confirmation_id)),
        )
    return Answer(answer)
