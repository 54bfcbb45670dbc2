"""What takes two people and a delay: one asks, another confirms, and it is done no sooner than the delay allows.

A request binds the action, its target and how many things depended on it; whoever does it looks again and refuses
when that has changed (`take`). The reason is sealed under the key of the house. NIST SP 800-57 part 1 8.3.4 (keys are
destroyed under control), ISO/IEC 27002 5.3 (segregation of duties).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import RowMapping, insert, select, update

from privacy import house, ids
from privacy.errors import Conflict, Forbidden, Invalid, NotFound
from privacy.tables import confirmations
from privacy.work import Role, Work

PAGE: Final = 100
LAPSES: Final = timedelta(days=90)  # what nobody has confirmed by then
TYPE: Final = "confirmation"  # the type under which its reason is sealed
_REASON: Final = 1
_LONGEST: Final = 1000
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A request for what cannot be undone. `outcome`: done, withdrawn, refused, lapsed; None while it is open."""

    id: UUID
    action: str
    target: str
    dependents: int
    asked_at: datetime
    asked_by: str
    not_before: datetime
    confirmed_at: datetime | None
    confirmed_by: str | None
    ended_at: datetime | None
    outcome: str | None


def ask(work: Work, *, action: str, target: str, dependents: int, reason: str, delay: timedelta) -> Confirmation:
    """Ask for it. Raises `Invalid` for a reason of no or more than 1000 characters, `Conflict` when it is asked for."""
    work.concerns("confirmation.asked")
    work.require(Role.OPERATOR, Role.ADMIN)
    if not 1 <= len(reason) <= _LONGEST:
        raise Invalid(f"A reason has 1 to {_LONGEST} characters")
    this = (confirmations.c.action == action, confirmations.c.target == target, confirmations.c.ended_at.is_(None))
    if work.execute(select(confirmations.c.confirmation_id).where(*this)).first() is not None:
        raise Conflict("This has been asked for already", zh="该操作已有待确认的申请")
    confirmation_id = ids.new()
    work.execute(
        insert(confirmations).values(
            confirmation_id=confirmation_id,
            action=action,
            target=target,
            dependents=dependents,
            sealed=house.seal(work, TYPE, confirmation_id, {_REASON: reason}),
            asked_at=work.instant,
            asked_by=work.actor.name,
            not_before=work.instant + delay // _MICROSECOND,
        )
    )
    found = shown(work, confirmation_id)
    _audit(work, "confirmation.asked", found)
    return found


def confirm(work: Work, confirmation_id: UUID) -> Confirmation:
    """Confirm what another has asked for.

    Raises `NotFound`, `Conflict` when it has ended or is confirmed, `Forbidden` for whoever asked.
    """
    work.concerns("confirmation.confirmed")
    work.require(Role.OPERATOR, Role.ADMIN)
    found = _open(work, confirmation_id)
    if found.asked_by == work.actor.name:
        raise Forbidden("Another person must confirm this", zh="须由另一人确认")
    if found.confirmed_at is not None:
        raise Conflict("This is confirmed already", zh="该申请已确认")
    _set(work, confirmation_id, confirmed_at=work.instant, confirmed_by=work.actor.name)
    _audit(work, "confirmation.confirmed", found)
    return shown(work, confirmation_id)


def withdraw(work: Work, confirmation_id: UUID) -> Confirmation:
    """Anyone of the office may stop it, until it is done. Raises `NotFound`, `Conflict`."""
    work.concerns("confirmation.ended")
    work.require(Role.OPERATOR, Role.ADMIN)
    found = _open(work, confirmation_id)
    _end(work, found, "withdrawn")
    return shown(work, confirmation_id)


def due(work: Work, action: str) -> list[Confirmation]:
    """What is confirmed and may be done now. Ends what nobody has confirmed in ninety days."""
    open_ = (confirmations.c.action == action, confirmations.c.ended_at.is_(None))
    found = [_of(row) for row in work.execute(select(confirmations).where(*open_)).mappings()]
    for one in found:
        if one.confirmed_at is None and one.asked_at <= work.now - LAPSES:
            _end(work, one, "lapsed")
    return [one for one in found if one.confirmed_at is not None and one.not_before <= work.now]


def take(work: Work, confirmation_id: UUID, *, dependents: int) -> bool:
    """Whether the caller does it now: confirmed, its delay over, and no more depends on it than was said.

    In the transaction that records that it is done. What more depends on by now is refused, and must be asked anew.
    """
    found = _open(work, confirmation_id)
    if found.confirmed_at is None or found.not_before > work.now:
        return False
    is_as_asked = dependents <= found.dependents
    _end(work, found, "done" if is_as_asked else "refused")
    return is_as_asked


def shown(work: Work, confirmation_id: UUID) -> Confirmation:
    """Raises `NotFound`."""
    row = work.execute(select(confirmations).where(confirmations.c.confirmation_id == confirmation_id)).mappings()
    found = row.first()
    if found is None:
        raise NotFound("There is no such request for confirmation")
    return _of(found)


def listed(work: Work, *, open_only: bool = True) -> list[Confirmation]:
    """The newest first. For operators, auditors and administrators."""
    work.concerns("confirmations.listed")
    work.require(Role.OPERATOR, Role.AUDITOR, Role.ADMIN)
    statement = select(confirmations).order_by(confirmations.c.confirmation_id.desc()).limit(PAGE)
    if open_only:
        statement = statement.where(confirmations.c.ended_at.is_(None))
    found = [_of(row) for row in work.execute(statement).mappings()]
    work.audit("confirmations.listed", detail={"count": len(found)})
    return found


def _open(work: Work, confirmation_id: UUID) -> Confirmation:
    found = shown(work, confirmation_id)
    if found.outcome is not None:
        raise Conflict(f"This has ended: {found.outcome}", zh="该申请已结束")
    return found


def _set(work: Work, confirmation_id: UUID, **values: object) -> None:
    """Of one that is open still: another may have ended it meanwhile. Raises `Conflict`."""
    this = (confirmations.c.confirmation_id == confirmation_id, confirmations.c.ended_at.is_(None))
    if not work.execute(update(confirmations).where(*this).values(**values)).rowcount:
        raise Conflict("This has ended meanwhile", zh="该申请已结束")


def _end(work: Work, found: Confirmation, outcome: str) -> None:
    _set(work, found.id, ended_at=work.instant, outcome=outcome)
    _audit(work, "confirmation.ended", found, outcome=outcome)


def _audit(work: Work, action: str, found: Confirmation, **more: str) -> None:
    detail: dict[str, object] = {"action": found.action, "confirmation": str(found.id), "target": found.target}
    work.audit(action, detail={**detail, "dependents": found.dependents, **more})


def _of(row: RowMapping) -> Confirmation:
    names = (
        "confirmation_id",
        "action",
        "target",
        "dependents",
        "asked_at",
        "asked_by",
        "not_before",
        "confirmed_at",
        "confirmed_by",
        "ended_at",
        "outcome",
    )
    return Confirmation(*(row[name] for name in names))
