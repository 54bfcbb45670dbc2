"""The receipt of a consent, signed, for its subject to keep: ISO/IEC TS 27560, or Kantara 1.1."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from privacy import consent_history, notices, subjects
from privacy.consent_history import Act
from privacy.errors import NotFound, NoticeMissing
from privacy.manifest import Controller, Recipient
from privacy.plans import Conditions
from privacy.receipt_forms import Facts, Party, Receiver, Shown, dpv, kantara
from privacy.signed_documents import sign
from privacy.work import Role, Work

Form = Literal["dpv", "kantara"]


def issue(work: Work, subject_id: UUID, consent_id: UUID, *, form: Form = "dpv") -> dict[str, object]:
    """The signed receipt of the consent as it stands now; that it was given out is on record.

    GDPR 7(1), PIPL 14. Raises `NotFound`, `Erased`; `NoticeMissing` for an act that no notice was shown for;
    `Conflict` for a Kantara receipt of what was not consented to.
    """
    work.concerns("consent.receipt-issued", subject=subject_id)
    work.require(Role.SERVICE, Role.OPERATOR)
    act = consent_history.newest(work, subject_id, consent_id)
    facts = _facts(work, act, subjects.get(work, subject_id).jurisdiction)
    receipt = sign(dpv(facts) if form == "dpv" else kantara(facts), work.service.keyring.signer, created=work.now)
    work.audit(
        "consent.receipt-issued",
        subject=subject_id,
        purpose=act.purpose,
        detail={"act": str(act.event_id), "consent": str(consent_id), "form": form},
    )
    return receipt


def _facts(work: Work, act: Act, jurisdiction: str) -> Facts:
    demanded = work.declared.conditions(act.purpose, act.recipient)
    purpose, controller = demanded.purpose, work.declared.controller
    shown = _shown(work, act)
    terms = notices.get(work, shown.version).terms[act.purpose]
    language = shown.language.partition("-")[0]
    return Facts(
        event_id=act.event_id,
        consent_id=act.id,
        subject_id=act.subject_id,
        state=act.state,
        at=act.at,
        expires_at=act.expires_at,
        issued_at=work.now,
        purpose=purpose.name,
        purpose_category=terms.category,
        purpose_title=purpose.title.in_language(language) if purpose.title else purpose.name,
        law=purpose.law,
        methods=terms.method,
        categories=act.categories or terms.categories,
        sensitive=tuple(name for name in terms.sensitive if act.categories is None or name in act.categories),
        keep=terms.at_most or terms.keep,  # the longest it can be
        at_end=terms.at_end,
        controller=Party(controller.title.in_language(language), controller.contact, controller.jurisdiction),
        recipients=tuple(_receivers(work, demanded, language)),
        stored_in=controller.stores_in,
        jurisdictions=_jurisdictions(controller, jurisdiction),
        shown=shown,
        withdrawn_at=_withdrawal(controller, language),
        channel=act.channel,
        separate=act.separate,
        written=act.written,
        explicit=act.explicit,
        by_guardian=act.by_guardian,
    )


def _shown(work: Work, act: Act) -> Shown:
    """The notice of the consent. A withdrawal shows none of its own: it is about the notice that was consented to."""
    if act.notice is None:
        raise NoticeMissing("No notice was shown for this act, so there is nothing to give a receipt of")
    try:
        notice = notices.get(work, act.notice)
    except NotFound:
        raise NoticeMissing("The notice of this act is not among the published ones") from None
    return Shown(act.notice, act.language or notice.content.languages[0], notice.published_at, act.digest)


def _receivers(work: Work, demanded: Conditions, language: str) -> list[Receiver]:
    """The one that the consent is for, else those that need none of their own."""
    declared = work.declared
    if demanded.recipient is not None:
        return [_receiver(demanded.recipient, language)]
    serving = (one for one in declared.manifest.recipients.values() if demanded.purpose.name in one.purposes)
    covered = (one for one in serving if not declared.conditions(demanded.purpose.name, one.name).counterpart)
    return [_receiver(one, language) for one in covered]


def _receiver(recipient: Recipient, language: str) -> Receiver:
    name = recipient.title.in_language(language) if recipient.title else recipient.name
    return Receiver(recipient.name, recipient.kind.value, Party(name, recipient.contact, recipient.jurisdiction))


def _jurisdictions(controller: Controller, subject: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((controller.jurisdiction, subject)))


def _withdrawal(controller: Controller, language: str) -> str:
    if language == "zh":
        return f"在作出同意的同一渠道撤回，或者联系 {controller.contact}"
    return f"Where it was given, in the same way, or by writing to {controller.contact}"
