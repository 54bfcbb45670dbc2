"""Checkpoints, proofs and tiles of the audit log.

Under `/audit/` stands the log as C2SP tiles, as public tools read it: checkpoint and hashes are open, for they say
nothing of anybody; entries need an auditor's key.
"""

from __future__ import annotations

import base64
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Path, Query
from fastapi.responses import PlainTextResponse, Response

from api.documents import problems
from api.routing import Answer, Call, Endpoint
from api.shapes import ArchiveShape, CheckpointShape, ConsistencyShape, InclusionShape
from privacy import audit_details, audit_proofs
from privacy.sequencer import KEEPER

router = APIRouter(tags=["evidence"], route_class=Endpoint)

_TEXT = b"text/plain; charset=utf-8"
_BYTES = b"application/octet-stream"
_TILE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {_BYTES.decode(): {"schema": {"type": "string", "contentMediaType": _BYTES.decode()}}}}
}
Size = Annotated[int, Query(ge=1, le=(1 << 53) - 1)]
TilePath = Annotated[str, Path(max_length=80, pattern=r"^[0-9x/.p]+$")]


@router.get("/v1/audit/checkpoint", response_model=CheckpointShape, responses=problems(400, 404))
def show_checkpoint(call: Call) -> dict[str, object]:
    """The newest signed checkpoint of the audit log: a C2SP signed note, its size and its root."""
    with call.begin() as work:
        found = audit_proofs.checkpoint(work)
    return {"size": found.size, "root": found.root.hex(), "note": found.note, "at": found.at}


@router.get("/v1/audit/proofs/inclusion", response_model=InclusionShape, responses=problems(400, 403, 404, 409))
def prove_inclusion(
    call: Call,
    event: UUID | None = None,
    position: Annotated[int | None, Query(ge=0, le=(1 << 53) - 1)] = None,
    format: Annotated[str, Query(pattern="^(json|tlog-proof)$")] = "json",
) -> Answer:
    """That an event stands in the log, to the newest checkpoint. `format=tlog-proof` gives the C2SP proof file."""
    with call.begin() as work:
        found = audit_proofs.inclusion(work, event=event, position=position)
    if format == "tlog-proof":
        return Answer(found.file().encode(), media_type=_TEXT)
    shown = {
        "position": found.position,
        "size": found.size,
        "leaf_hash": found.leaf_hash.hex(),
        "proof": [base64.b64encode(one).decode() for one in found.proof],
        "checkpoint": found.note,
    }
    return Answer(shown)


@router.get("/v1/audit/proofs/consistency", response_model=ConsistencyShape, responses=problems(400, 403, 404))
def prove_consistency(call: Call, old: Size, new: Size | None = None) -> dict[str, object]:
    """That the log of `new` events (the newest checkpoint's) extends that of `old`."""
    with call.begin() as work:
        size, proof = audit_proofs.consistency(work, old, new)
    return {"old": old, "new": size, "proof": [base64.b64encode(one).decode() for one in proof]}


@router.get(
    "/v1/audit/events/{event_id}/detail", response_model=audit_details.Detail, responses=problems(400, 403, 404)
)
def show_detail(call: Call, event_id: UUID) -> audit_details.Detail:
    """What is personal in an event: the reason given for it. `is_erased` when its subject has been erased."""
    with call.begin() as work:
        return audit_details.show(work, event_id)


@router.get("/audit/checkpoint", response_model=None, response_class=PlainTextResponse, responses=problems(400, 404))
def read_checkpoint(call: Call) -> Answer:
    """The newest checkpoint as a signed note. Open."""
    with call.state_of_process.service.begin(KEEPER) as work:
        return Answer(audit_proofs.checkpoint(work).note.encode(), media_type=_TEXT)


@router.get("/audit/archives.json", response_model=list[ArchiveShape], responses=problems(400))
def read_archives(call: Call) -> list[dict[str, object]]:
    """The ranges of positions whose entries were let go, as the offline verifier reads them. Open."""
    with call.state_of_process.service.begin(KEEPER) as work:
        return audit_proofs.archives(work)


@router.get(
    "/audit/tile/entries/{path:path}",
    response_model=None,
    response_class=Response,
    responses=problems(400, 403, 404) | _TILE,
)
def read_entries(call: Call, path: TilePath) -> Answer:
    """A bundle of entries, as C2SP tiles name it. For auditors and administrators, and on record."""
    with call.begin() as work:
        return Answer(audit_proofs.entries(work, f"tile/entries/{path}"), media_type=_BYTES)


@router.get(
    "/audit/tile/{path:path}", response_model=None, response_class=Response, responses=problems(400, 404) | _TILE
)
def read_tile(call: Call, path: TilePath) -> Answer:
    """A tile of hashes, as C2SP tiles name it. Open."""
    with call.state_of_process.service.begin(KEEPER) as work:
        return Answer(audit_proofs.tile(work, f"tile/{path}"), media_type=_BYTES)
