"""Consent: what a subject gave, refused, put off, withdrew, and what ended it; each act kept for ever, with its proof.

    unknown -> requested -> given | refused | deferred
    given -> renewed | withdrawn (by the subject) | revoked (by the controller) | invalidated (by an authority)
    derived, never stored: expired (its time is over), stale (what was told has materially changed, or a child has
    come of age)

The key of a consent is subject, purpose, recipient, categories and notice version. One call may carry several
choices, but each is an act of its own (PIPL 14; GDPR 7(2)): one purpose, one event, one receipt. A withdrawal binds
the next read everywhere, because every read asks the database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Row, delete, insert, select

from privacy import consent_validity as validity
from privacy import ids, notifications, profile, standing, subjects, tasks, vault
from privacy.consent_validity import NOES, Asked, Choice
from privacy.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    OptedOut,
)
from privacy.facts import BY_GUARDIAN, EXPLICIT, SEPARATE, WRITTEN
from privacy.manifest import Basis, Purpose
from privacy.notices import Published
from privacy.plans import Conditions
from privacy.rules import CONSENT_LAW, IN_FORCE
from privacy.tables import consent_events, consents
from privacy.values import Value
from privacy.vault import At
from privacy.work import Role, Work

ACT: Final = "consent-act"  # the type under which an act's proof is sealed
_TEXT: Final = 1
_GUARDIAN: Final = 2
_REFERENCE: Final = 3
SIGNAL: Final = "gpc"  # the channel of the Global Privacy Control signal
SIGNAL_LAW: Final = ("CCPA-7025", "CCPA-1798.135")


@dataclass(frozen=True, slots=True)
class Consent:
    """A consent as it stands after an act. `task_id` is the erasure task that its end opened, if any.

    `kept_for`: the purposes, with their bases, for which the data is held all the same.
    """

    id: UUID
    purpose: str
    state: str
    at: datetime
    expires_at: datetime | None
    notice: str | None = None
    language: str | None = None
    separate: bool = False
    recipient: str | None = None
    categories: tuple[str, ...] | None = None
    written: bool = False
    explicit: bool = False
    by_guardian: bool = False
    channel: str | None = None
    told: tuple[str, ...] = ()
    task_id: UUID | None = None
    kept_for: dict[str, str] | None = None


def decide(
    work: Work,
    subject_id: UUID,
    purpose: str,
    decision: Asked,
    *,
    signalled: bool = False,
    **choice: Any,
) -> Consent:
    """`record` with the parts of the `Choice` as arguments."""
    return record(work, subject_id, Choice(purpose, decision, **choice), signalled=signalled)


def record_all(work: Work, subject_id: UUID, choices: Sequence[Choice], *, signalled: bool = False) -> list[Consent]:
    """Record several choices, each an act of its own, all or none. Raises as `record` does; `Invalid` for twins."""
    keys = [(choice.purpose, choice.recipient) for choice in choices]
    if len(set(keys)) < len(keys):
        raise Invalid("Two choices are about the same purpose and recipient")
    return [record(work, subject_id, choice, signalled=signalled) for choice in choices]


def record(work: Work, subject_id: UUID, choice: Choice, *, signalled: bool = False) -> Consent:
    """Record that the subject gave, refused or put off consent, or was asked for it.

    PIPL 14, GDPR 7(1). A no to what was given is a withdrawal. `signalled`: the request carries the Global Privacy
    Control signal. Raises `UndeclaredPurpose`, `UndeclaredRecipient`, `Invalid`, `NotFound`, `Erased`, `Forbidden`,
    `NoticeMissing`, `NoticeOutdated`, `GuardianConsentMissing`, `CoolOff`, `OptedOut`, `Conflict`.
    """
    work.concerns(f"consent.{choice.decision}", subject=subject_id, purpose=choice.purpose)
    demanded = _demanded(work, choice.purpose, choice.recipient)
    subjects.hold_for_writing(work, subject_id, alone=True)
    now = _now(work, subject_id, demanded)
    if choice.decision == "refused" and now is not None and now.state in IN_FORCE:
        return withdraw(work, subject_id, choice.purpose, recipient=choice.recipient, channel=choice.channel)
    if choice.decision == "given" and signalled and demanded.purpose.opt_out is not None:
        raise OptedOut(
            "The request carries the Global Privacy Control signal, which opts out of this purpose",
            zh="该请求带有全局隐私控制信号，即选择退出此目的",
            law=SIGNAL_LAW,
        )
    if choice.decision in ("requested", "deferred"):
        validity.require_askable(work, now, demanded.purpose, is_asking=choice.decision == "requested")
    notice = validity.notice_shown(work, demanded.purpose.name, choice)
    guardian = validity.guardian_of(work, subject_id, demanded, choice)
    return _append(work, subject_id, demanded, choice, notice, guardian, now)


def withdraw(
    work: Work, subject_id: UUID, purpose: str, *, recipient: str | None = None, channel: str | None = None
) -> Consent:
    """Record that the subject withdrew its consent; the next read for the purpose is refused.

    PIPL 15, 47(1); GDPR 7(3), 17(1)(b). Without a recipient, of the purpose and of every recipient for it. Recipients
    are told; what nothing else holds is to be erased. Withdrawing twice is one withdrawal. Raises `NotFound` when
    none was ever given, `Conflict` when it was refused.
    """
    work.concerns("consent.withdrawn", subject=subject_id, purpose=purpose)
    demanded = _demanded(work, purpose, recipient)
    subjects.hold_for_writing(work, subject_id, alone=True)
    rows = _rows(work, subject_id, demanded)
    if recipient is not None:
        rows = [row for row in rows if row.recipient == recipient]
    if not rows:
        raise NotFound("There is no consent of this subject for this purpose", zh="该个人没有对此目的作出过同意")
    standing_ = [row for row in rows if row.state in IN_FORCE]
    if standing_:
        return _withdraw(work, subject_id, demanded.purpose, standing_, channel)
    if rows[0].state != "withdrawn":
        raise Conflict(f"The consent is {rows[0].state}, so there is none to withdraw", zh="没有可以撤回的同意")
    work.audit("consent.withdrawn", subject=subject_id, purpose=purpose, detail={"again": True})
    return _told(work, rows[0])


def end(
    work: Work,
    subject_id: UUID,
    purpose: str,
    state: Literal["revoked", "invalidated"],
    *,
    recipient: str | None = None,
    reference: str | None = None,
) -> Consent:
    """End a consent from our side, or because an authority or a court found it void. Operators only.

    `reference` is kept sealed. Raises `NotFound`; `Conflict` when no consent is in force.
    """
    work.concerns(f"consent.{state}", subject=subject_id, purpose=purpose)
    work.require(Role.OPERATOR)
    demanded = _demanded(work, purpose, recipient)
    subjects.hold_for_writing(work, subject_id, alone=True)
    rows = [row for row in _rows(work, subject_id, demanded) if recipient is None or row.recipient == recipient]
    if not rows:
        raise NotFound("There is no consent of this subject for this purpose")
    in_force = [row for row in rows if row.state in IN_FORCE]
    if not in_force:
        raise Conflict("No consent of this subject for this purpose is in force")
    return _end(work, subject_id, demanded.purpose, in_force, state, None, reference)


def opt_out(work: Work, subject_id: UUID) -> list[str]:
    """Obey the Global Privacy Control signal: sale, sharing and cross-context advertising stop, nothing else.

    CCPA 1798.135, regulations 7025; W3C GPC. What rests on consent is withdrawn, or refused where it was never
    given; to the rest the subject objects. Sent again, it changes nothing. The purposes that it changed.
    """
    work.concerns("consent.opted-out", subject=subject_id)
    work.require(Role.SERVICE, Role.OPERATOR)
    purposes = [purpose for purpose in work.declared.manifest.purposes.values() if purpose.opt_out is not None]
    if not purposes:
        return []
    subjects.hold_for_writing(work, subject_id, alone=True)
    changed = [purpose.name for purpose in purposes if _opt_out(work, subject_id, purpose)]
    if changed:
        work.audit("consent.opted-out", subject=subject_id, detail={"purposes": changed, "channel": SIGNAL})
    return changed


def _opt_out(work: Work, subject_id: UUID, purpose: Purpose) -> bool:
    if purpose.basis is not Basis.CONSENT:
        if standing.has_objected(work, subject_id, purpose.name):
            return False
        standing.object_to(work, subject_id, purpose.name, channel=SIGNAL)
        return True
    demanded = work.declared.conditions(purpose.name)
    rows = _rows(work, subject_id, demanded)
    in_force = [row for row in rows if row.state in IN_FORCE]
    if in_force:
        _withdraw(work, subject_id, purpose, in_force, SIGNAL)
        return True
    now = next((row for row in rows if row.recipient == ""), None)
    if now is not None and now.state in NOES:
        return False
    choice = Choice(purpose.name, "refused", channel=SIGNAL)
    _append(work, subject_id, demanded, choice, None, None, now)
    return True


# --- what stands


def _demanded(work: Work, name: str, recipient: str | None) -> Conditions:
    """The purpose's conditions. Raises unless the actor may, and the purpose (and recipient) rests on consent."""
    work.require(Role.SERVICE, Role.OPERATOR)
    demanded = work.declared.conditions(name, recipient)
    if work.actor.role is Role.SERVICE and not {name, "*"} & work.actor.purposes:
        raise Forbidden("The principal has no grant for this purpose", zh="该调用方未获授权用于此目的", law=("PIPL-6",))
    basis = demanded.purpose.basis
    if basis is not Basis.CONSENT:
        raise Invalid(f"The purpose {name} rests on {basis.value}, not on consent", law=CONSENT_LAW)
    if recipient is not None and not demanded.counterpart:
        raise Invalid("This recipient needs no consent of its own: the consent to the purpose covers it")
    return demanded


def _rows(work: Work, subject_id: UUID, demanded: Conditions) -> list[Row[Any]]:
    """The newest act for the purpose and for each recipient of it, the controller's first."""
    return list(
        work.execute(
            select(consents)
            .where(consents.c.subject_id == subject_id, consents.c.purpose == demanded.purpose.name)
            .order_by(consents.c.recipient)
        )
    )


def _now(work: Work, subject_id: UUID, demanded: Conditions) -> Row[Any] | None:
    rows = _rows(work, subject_id, demanded)
    return next((row for row in rows if row.recipient == demanded.counterpart), None)


# --- acts


def _append(
    work: Work,
    subject_id: UUID,
    demanded: Conditions,
    choice: Choice,
    notice: Published | None,
    guardian: UUID | None,
    now: Row[Any] | None,
) -> Consent:
    purpose = demanded.purpose
    categories = validity.categories_of(choice, notice, purpose)
    flags = (
        SEPARATE * choice.separate
        | WRITTEN * choice.written
        | EXPLICIT * choice.explicit
        | BY_GUARDIAN * (guardian is not None)
    )
    number = notice.number if notice is not None else None
    is_same = now is not None and (now.categories, now.notice) == (categories, number)
    state: str = choice.decision
    if state == "given" and now is not None and now.state in IN_FORCE:
        state = "renewed"
    language, digest = validity.text_shown(work, choice, notice, purpose.name)
    expires = purpose.consent_expires.after(work.now) if purpose.consent_expires and state in IN_FORCE else None
    proof = {_TEXT: choice.text, _GUARDIAN: str(guardian) if guardian else None}
    found = Consent(
        id=now.consent_id if now is not None and is_same else ids.new(),
        purpose=purpose.name,
        state=state,
        at=work.now,
        expires_at=expires,
        notice=notice.version if notice is not None else None,
        language=language,
        separate=choice.separate,
        recipient=demanded.counterpart or None,
        categories=None if categories is None else tuple(categories),
        written=choice.written,
        explicit=choice.explicit,
        by_guardian=guardian is not None,
        channel=choice.channel,
    )
    _write(work, subject_id, found, flags, number, digest, {n: text for n, text in proof.items() if text is not None})
    _audit(work, subject_id, found)
    return found


def _withdraw(work: Work, subject_id: UUID, purpose: Purpose, rows: Sequence[Row[Any]], channel: str | None) -> Consent:
    return _end(work, subject_id, purpose, rows, "withdrawn", channel, None)


def _end(
    work: Work,
    subject_id: UUID,
    purpose: Purpose,
    rows: Sequence[Row[Any]],
    state: str,
    channel: str | None,
    reference: str | None,
) -> Consent:
    """End the consents of these rows; tell the recipients; open the erasure of what nothing else holds."""
    done = []
    proof: dict[int, Value] = {_REFERENCE: reference} if reference is not None else {}
    for row in rows:
        one = replace(_told(work, row), state=state, at=work.now, expires_at=None, channel=channel)
        _write(work, subject_id, one, row.flags, row.notice, None, proof)
        done.append(one)
    whole = any(one.recipient is None for one in done)
    only = None if whole else [one.recipient for one in done if one.recipient is not None]
    told = notifications.owe(work, subject_id, f"consent-{state}", purpose.name, only=only)
    ended = tasks.open_erasure(work, subject_id, purpose.name) if whole else tasks.Ended()
    for one in done:
        _audit(work, subject_id, one, told=told, task=str(ended.task_id) if ended.task_id else None)
    return replace(done[0], told=tuple(told), task_id=ended.task_id, kept_for=ended.kept_for)


def _write(
    work: Work,
    subject_id: UUID,
    act: Consent,
    flags: int,
    notice: int | None,
    digest: bytes | None,
    proof: Mapping[int, Value],
) -> None:
    """The act, and the state that it makes. What of the proof is personal is sealed."""
    event_id = ids.new()
    sealed = None
    if proof:
        key = vault.key_for(work, subject_id, profile.SCOPE)
        sealed = vault.seal(work, key, At(subject_id, profile.SCOPE, ACT, event_id), proof)
    recipient = act.recipient or ""
    # deleted and inserted, in one transaction: the one upsert that both databases spell alike
    work.execute(
        delete(consents).where(
            consents.c.subject_id == subject_id, consents.c.purpose == act.purpose, consents.c.recipient == recipient
        )
    )
    state = {
        "subject_id": subject_id,
        "purpose": act.purpose,
        "recipient": recipient,
        "consent_id": act.id,
        "state": act.state,
        "expires_at": act.expires_at,
        "categories": act.categories,
    }
    work.execute(insert(consents).values(**state, changed_at=work.instant, notice=notice, flags=flags))
    work.execute(
        insert(consent_events).values(
            **state,
            event_id=event_id,
            at=work.instant,
            notice=act.notice,
            notice_number=notice,
            language=act.language,
            digest=digest,
            separate=act.separate,
            written=act.written,
            explicit=act.explicit,
            by_guardian=act.by_guardian,
            channel=act.channel,
            recorded_by=work.actor.name,
            sealed=sealed,
        )
    )


def _audit(work: Work, subject_id: UUID, act: Consent, **more: object) -> None:
    detail = {"consent": str(act.id), "notice": act.notice, "recipient": act.recipient, **more}
    work.audit(
        f"consent.{act.state}",
        subject=subject_id,
        purpose=act.purpose,
        basis=Basis.CONSENT.value,
        detail={name: value for name, value in detail.items() if value},
    )


def _told(work: Work, row: Row[Any]) -> Consent:
    """The consent of a row as it stands."""
    versions = {notice.number: notice.version for notice in work.declared.published}
    return Consent(
        id=row.consent_id,
        purpose=row.purpose,
        state=row.state,
        at=row.changed_at,
        expires_at=row.expires_at,
        notice=versions.get(row.notice),
        separate=bool(row.flags & SEPARATE),
        recipient=row.recipient or None,
        categories=None if row.categories is None else tuple(row.categories),
        written=bool(row.flags & WRITTEN),
        explicit=bool(row.flags & EXPLICIT),
        by_guardian=bool(row.flags & BY_GUARDIAN),
    )
