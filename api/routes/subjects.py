"""Subjects, what would be disclosed of them, and their consents."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query

from api.documents import problems
from api.routing import Answer, Call, Endpoint, encode
from api.shapes import DecisionShape, ListOf, NewConsent, NewSubject, Withdrawal
from privacy import access, consent, idempotency, subjects
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
    call: Call, subject_id: UUID, purpose: Purpose, type: Annotated[str, Query(min_length=1, max_length=64)]
) -> dict[str, object]:
    """What a read would disclose now, and why not the rest, naming the law. Discloses nothing."""
    explained = await call.perform(lambda work: access.explain(work, subject_id=subject_id, purpose=purpose, type=type))
    refusal = explained.refusal
    return {
        "subject_id": subject_id,
        "purpose": explained.purpose,
        "type": explained.record_type,
        "allowed": refusal is None,
        "basis": explained.basis,
        "law": explained.law,
        "fields": {
            grant.field: {
                "give": "masked" if grant.mask else "clear",
                "mask": grant.mask,
                "code": None,
                "law": [],
            }
            for grant in explained.grants
        }
        | {
            name: {"give": "withheld", "mask": None, "code": reason.code, "law": reason.law}
            for name, reason in explained.withheld.items()
        },
        "refusal": None
        if refusal is None
        else {"code": refusal.code, "detail": refusal.detail, "law": list(refusal.law)},
    }


@router.post(
    "/{subject_id}/consents",
    status_code=201,
    response_model=consent.Consent,
    responses=problems(400, 403, 404, 409, 410, 413, 422),
)
def record_consent(call: Call, subject_id: UUID, body: NewConsent) -> Answer:
    """Record that the subject gave or refused consent for one purpose."""
    with call.begin() as work:
        answer = idempotency.once(
            work,
            call.idempotency_key,
            call.signature,
            lambda: encode(
                consent.decide(
                    work,
                    subject_id,
                    body.purpose,
                    body.decision,
                    notice=body.notice,
                    language=body.language,
                    separate=body.separate,
                    channel=body.channel,
                )
            ),
        )
    return Answer(answer, 201)


@router.get("/{subject_id}/consents", response_model=ListOf[consent.Consent], responses=problems(400, 403, 404, 410))
def list_consents(call: Call, subject_id: UUID, history: bool = False) -> dict[str, object]:
    """The subject's consents as they stand; with `history=true` every event, oldest first."""
    with call.begin() as work:
        items = consent.listed(work, subject_id, history=history)
    return {"items": items, "next_cursor": None}


@router.post(
    "/{subject_id}/consents/{purpose}/withdraw",
    response_model=consent.Consent,
    responses=problems(400, 403, 404, 409, 410, 413, 422),
)
def withdraw_consent(
    call: Call,
    subject_id: UUID,
    purpose: Annotated[str, Path(min_length=1, max_length=64)],
    body: Withdrawal | None = None,
) -> Answer:
    """Withdraw consent. It binds the next read, on every replica."""
    with call.begin() as work:
        answer = idempotency.once(
            work,
            call.idempotency_key,
            call.signature,
            lambda: encode(consent.withdraw(work, subject_id, purpose, channel=body.channel if body else None)),
        )
    return Answer(answer)
