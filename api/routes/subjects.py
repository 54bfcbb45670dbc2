"""Subjects, and what would be disclosed of them."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from api.documents import problems
from api.routing import Answer, Call, Endpoint, encode, language_of
from api.shapes import DecisionShape, NewSubject
from privacy import access, idempotency, subjects
from privacy.errors import PrivacyError
from privacy.plans import Grant, Reason
from privacy.work import Work

router = APIRouter(prefix="/v1/subjects", tags=["subjects"], route_class=Endpoint)

Purpose = Annotated[str, Query(min_length=1, max_length=64)]


@router.post(
    "",
    status_code=201,
    response_model=subjects.Subject,
    responses=problems(400, 403, 404, 409, 410, 413, 422),
)
async def create_subject(call: Call, body: NewSubject) -> Answer:
    """A new data subject with a key of its own. External id, birth date and guardian are sealed."""

    def create(work: Work) -> bytes:
        subject = subjects.create(
            work,
            external_id=body.external_id,
            jurisdiction=body.jurisdiction,
            born=body.born.isoformat() if body.born else None,
            guardian=body.guardian,
        )
        return encode(subject)

    key, signature = call.idempotency_key, call.signature
    return Answer(await call.perform(lambda work: idempotency.once(work, key, signature, lambda: create(work))), 201)


@router.get("/{subject_id}", response_model=subjects.Subject, responses=problems(400, 403, 404, 410))
async def show_subject(call: Call, subject_id: UUID) -> subjects.Subject:
    """What may be said of a subject without a purpose: that it exists, since when, under which law."""
    return await call.perform(lambda work: subjects.view(work, subject_id))


@router.get("/{subject_id}/decision", response_model=DecisionShape, responses=problems(400, 403, 404, 410))
async def explain_decision(
    call: Call,
    subject_id: UUID,
    purpose: Purpose,
    type: Annotated[str, Query(min_length=1, max_length=64)],
    recipient: Annotated[str | None, Query(min_length=1, max_length=64)] = None,
) -> Answer:
    """What a read would disclose now, and why not the rest, naming the law. Discloses nothing.

    The sentences are Chinese or English, by Accept-Language.
    """
    found = await call.perform(
        lambda work: access.explain(work, subject_id=subject_id, purpose=purpose, type=type, recipient=recipient)
    )
    language = language_of(call.scope)
    shown = {
        "subject_id": subject_id,
        "purpose": found.purpose,
        "type": found.record_type,
        "allowed": found.refusal is None,
        "basis": found.basis,
        "law": found.law,
        "fields": {grant.field: _given(grant) for grant in found.grants}
        | {name: _withheld(found, reason, language) for name, reason in found.withheld.items()},
        "refusal": None if found.refusal is None else _refusal(found.refusal, language),
    }
    return Answer(shown, headers=(("content-language", "zh-CN" if language == "zh" else "en"),))


def _given(grant: Grant) -> dict[str, object]:
    return {"give": "masked" if grant.mask else "clear", "mask": grant.mask, "code": None, "law": [], "why": None}


def _withheld(found: access.Explained, reason: Reason, language: str) -> dict[str, object]:
    why = found.sentences[reason.code].in_language(language)
    return {"give": "withheld", "mask": None, "code": reason.code, "law": reason.law, "why": why}


def _refusal(refusal: PrivacyError, language: str) -> dict[str, object]:
    detail = (refusal.zh or refusal.detail) if language == "zh" else refusal.detail
    needed = refusal.context.get("needed", [])
    return {"code": refusal.code, "detail": detail, "law": list(refusal.law), "needed": needed}
