"""Consents: acts, how they stand and stood, receipts. A Global Privacy Control signal is obeyed on each of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query

from api.documents import problems
from api.routing import Answer, Call, Endpoint, encode
from api.shapes import Ending, ListOf, NewChoice, NewConsent, Withdrawal
from privacy import consent, consent_history, idempotency, receipts
from privacy.consent_validity import Choice
from privacy.errors import Invalid
from privacy.work import Work

router = APIRouter(prefix="/v1/subjects/{subject_id}/consents", tags=["consents"], route_class=Endpoint)

Purpose = Annotated[str, Path(min_length=1, max_length=64)]
_ACT: Final = problems(400, 403, 404, 409, 410, 413, 422)


@router.post(
    "",
    status_code=201,
    response_model=consent.Consent | ListOf[consent.Consent],
    responses=_ACT,
)
def record_consent(call: Call, subject_id: UUID, body: NewConsent) -> Answer:
    """Record what the subject decided about one purpose, or in `choices` about several: each an act of its own.

    `given`, `refused` or `deferred` by the subject; `requested` when it is being asked, which within the cool-off
    after a no answers 409 with the date. With `choices` the answer lists the consents in their order, all or none.
    """
    signalled = _obey_signal(call, subject_id)

    def act(work: Work) -> bytes:
        if body.choices is not None:
            choices = [_choice(one) for one in body.choices]
            found = consent.record_all(work, subject_id, choices, signalled=signalled)
            return encode({"items": found, "next_cursor": None})
        return encode(consent.record(work, subject_id, _choice(body.single()), signalled=signalled))

    return Answer(_once(call, act), 201)


@router.get("", response_model=ListOf[consent_history.Act], responses=problems(400, 403, 404, 410))
def list_consents(
    call: Call,
    subject_id: UUID,
    history: bool = False,
    at: Annotated[datetime | None, Query(description="An instant that has come, RFC 3339")] = None,
    purpose: Annotated[str | None, Query(min_length=1, max_length=64)] = None,
) -> dict[str, object]:
    """The subject's consents as they stand, or stood `at` an instant; with `history=true` every act, oldest first."""
    if at is not None and at.tzinfo is None:
        raise Invalid("at needs its time zone, as in 2026-05-01T08:00:00Z")
    _obey_signal(call, subject_id)
    with call.begin() as work:
        items = consent_history.listed(work, subject_id, history=history, at=at, purpose=purpose)
    return {"items": items, "next_cursor": None}


@router.post("/{purpose}/withdraw", response_model=consent.Consent, responses=_ACT)
def withdraw_consent(call: Call, subject_id: UUID, purpose: Purpose, body: Withdrawal | None = None) -> Answer:
    """Withdraw consent. It binds the next read, on every replica; recipients are told; what is left is to be erased."""
    _obey_signal(call, subject_id)
    made = body or Withdrawal()

    def act(work: Work) -> bytes:
        return encode(consent.withdraw(work, subject_id, purpose, recipient=made.recipient, channel=made.channel))

    return Answer(_once(call, act))


@router.post("/{purpose}/revoke", response_model=consent.Consent, responses=_ACT)
def revoke_consent(call: Call, subject_id: UUID, purpose: Purpose, body: Ending | None = None) -> Answer:
    """End a consent from the controller's side. Operators only."""
    return Answer(_end(call, subject_id, purpose, "revoked", body or Ending()))


@router.post("/{purpose}/invalidate", response_model=consent.Consent, responses=_ACT)
def invalidate_consent(call: Call, subject_id: UUID, purpose: Purpose, body: Ending | None = None) -> Answer:
    """Record that an authority or a court found the consent void. Operators only."""
    return Answer(_end(call, subject_id, purpose, "invalidated", body or Ending()))


@router.get("/{consent_id}/receipt", response_model=dict[str, object], responses=problems(400, 403, 404, 410))
def show_receipt(
    call: Call, subject_id: UUID, consent_id: UUID, format: Literal["dpv", "kantara"] = "dpv"
) -> dict[str, object]:
    """A signed receipt of the consent as it stands: JSON-LD as ISO/IEC TS 27560 through DPV, or Kantara v1.1.

    Verify it offline with `privacy consent verify FILE`, or with any eddsa-jcs-2022 tool.
    """
    with call.begin() as work:
        return receipts.issue(work, subject_id, consent_id, form=format)


def _end(call: Call, subject_id: UUID, purpose: str, state: Literal["revoked", "invalidated"], body: Ending) -> bytes:
    def act(work: Work) -> bytes:
        done = consent.end(work, subject_id, purpose, state, recipient=body.recipient, reference=body.reference)
        return encode(done)

    return _once(call, act)


def _once(call: Call, act: Callable[[Work], bytes]) -> bytes:
    with call.begin() as work:
        return idempotency.once(work, call.idempotency_key, call.signature, lambda: act(work))


def _choice(body: NewChoice) -> Choice:
    return Choice(**dict(body))


def _obey_signal(call: Call, subject_id: UUID) -> bool:
    """W3C GPC: `Sec-GPC: 1`, in whichever of several headers; committed by itself, whatever else is refused."""
    if "1" not in call.headers.getlist("sec-gpc"):
        return False
    with call.begin() as work:
        consent.opt_out(work, subject_id)
    return True
