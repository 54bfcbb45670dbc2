"""What is declared: the manifest in force and its purposes."""

from __future__ import annotations

from fastapi import APIRouter

from api.documents import problems
from api.routing import Call, Endpoint
from api.shapes import ListOf, ManifestShape, PurposeShape
from privacy import declaration

router = APIRouter(prefix="/v1", tags=["manifest"], route_class=Endpoint)


@router.get("/purposes", response_model=ListOf[PurposeShape], responses=problems(400))
async def list_purposes(call: Call) -> dict[str, object]:
    """Every declared purpose: its basis, its law, what it uses and for how long."""
    purposes = await call.perform(declaration.purposes)
    return {"items": [declaration.summary(purpose) for purpose in purposes], "next_cursor": None}


@router.get("/manifest", response_model=ManifestShape, responses=problems(400))
async def show_manifest(call: Call) -> dict[str, object]:
    """The manifest in force, as it was applied."""
    declared = await call.perform(declaration.in_force)
    manifest = declared.manifest
    return {"version": declared.version, "digest": manifest.digest, "source": manifest.source}
