"""What is declared: the manifest in force, its purposes, and the notices that people are shown."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.documents import problems
from api.routing import Answer, Call, Endpoint, language_of
from api.shapes import ListOf, ManifestShape, NoticeShape, PublishedNotice, PurposeShape
from privacy import declaration, notices

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


@router.get("/notices", response_model=ListOf[PublishedNotice], responses=problems(400))
def list_notices(call: Call) -> dict[str, object]:
    """Every published notice without its texts, the newest first."""
    with call.begin() as work:
        found = notices.listed(work)
    return {"items": [_published(notice) for notice in found], "next_cursor": None}


@router.get("/notices/{version}", response_model=NoticeShape, responses=problems(400, 404))
def show_notice(
    call: Call,
    version: Annotated[str, Path(min_length=1, max_length=64)],
    language: Annotated[str | None, Query(min_length=2, max_length=35)] = None,
) -> Answer:
    """A notice in one language: `language`, or the one that Accept-Language asks for, or its first."""
    with call.begin() as work:
        notice = notices.get(work, version)
    content = notice.content
    asked = language or language_of(call.scope)
    chosen = asked if language or asked in content.languages else content.languages[0]
    edition = content.edition(chosen)
    shown = _published(notice) | {
        "language": chosen.lower().partition("-")[0],
        "languages": content.languages,
        "text": edition.text,
        "digest": edition.digest,
        "texts": edition.purposes,
        "collected": edition.collected,
        "shared": edition.shared,
    }
    return Answer(shown, headers=(("content-language", "zh-CN" if chosen.startswith("zh") else "en"),))


def _published(notice: notices.Published) -> dict[str, object]:
    return {
        "number": notice.number,
        "version": notice.version,
        "published_at": notice.published_at,
        "manifest_version": notice.manifest_version,
        "generated": notice.generated,
        "purposes": list(notice.terms),
        "material": notice.material,
    }
