"""The outbox: what recipients must be told, owed in the transaction of the change it is about.

GDPR 19, PIPL 47, NDSMR 12. A row holds ids and declared names. Nothing is sent inside a transaction; whoever sends
it marks it sent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import select, update

from privacy import ids
from privacy.database import Insertion
from privacy.errors import Conflict, NotFound
from privacy.manifest import Recipient
from privacy.tables import notifications
from privacy.work import Role, Work

_NOTIFICATIONS = Insertion(notifications)
PAGE = 100
OFFICE: Final = "[office]"  # the controller's own privacy office; no manifest can declare such a recipient
_NO_SUBJECT: Final = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Notification:
    """What a recipient must be told of a subject: `kind` as in "consent-withdrawn".

    A notice to the privacy office (`OFFICE`) is about no subject; its id is that of what it is about.
    """

    id: UUID
    subject_id: UUID | None
    kind: str
    recipient: str
    contact: str | None
    purpose: str
    owed_at: datetime
    sent_at: datetime | None


def owe(work: Work, subject_id: UUID, kind: str, purpose: str, *, only: Collection[str] | None = None) -> list[str]:
    """Owe the notice to each declared recipient of the purpose, or to `only` those; their names.

    The caller's event names the change.
    """
    names = [recipient.name for recipient in _recipients(work, purpose) if only is None or recipient.name in only]
    for name in names:
        work.add(_NOTIFICATIONS, (subject_id, ids.new(), kind, name, purpose, work.instant, None))
    return names


def owe_office(work: Work, kind: str, about: UUID) -> None:
    """Owe the privacy office a notice about a thing of this kind and id. The caller's event names the change."""
    work.add(_NOTIFICATIONS, (_NO_SUBJECT, about, kind, OFFICE, "", work.instant, None))


def listed(work: Work, *, after: UUID | None = None, limit: int = PAGE) -> list[Notification]:
    """What is owed and not sent yet, the oldest first."""
    work.concerns("notifications.listed")
    work.require(Role.OPERATOR, Role.AUDITOR)
    statement = (
        select(notifications)
        .where(notifications.c.sent_at.is_(None))
        .order_by(notifications.c.notification_id)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(notifications.c.notification_id > after)
    manifest = work.declared.manifest
    contacts = {name: one.contact for name, one in manifest.recipients.items()} | {OFFICE: manifest.controller.contact}
    found = [
        Notification(
            row.notification_id,
            _subject(row.subject_id),
            row.kind,
            row.recipient,
            contacts.get(row.recipient),
            row.purpose,
            row.owed_at,
            row.sent_at,
        )
        for row in work.execute(statement)
    ]
    work.audit("notifications.listed", detail={"count": len(found)})
    return found


def mark_sent(work: Work, notification_id: UUID) -> None:
    """Record that the recipient has been told. Raises `NotFound`; `Conflict` when that is on record already."""
    work.concerns("notification.sent")
    work.require(Role.OPERATOR)
    row = work.execute(select(notifications).where(notifications.c.notification_id == notification_id)).first()
    if row is None:
        raise NotFound("There is no such notification")
    if row.sent_at is not None:
        raise Conflict("The recipient has been told already")
    work.execute(
        update(notifications)
        .where(notifications.c.subject_id == row.subject_id, notifications.c.notification_id == notification_id)
        .values(sent_at=work.instant)
    )
    work.audit(
        "notification.sent",
        subject=_subject(row.subject_id),
        purpose=row.purpose or None,
        detail={"kind": row.kind, "notification": str(notification_id), "recipient": row.recipient},
    )


def _subject(subject_id: UUID) -> UUID | None:
    return None if subject_id == _NO_SUBJECT else subject_id


def _recipients(work: Work, purpose: str) -> Iterable[Recipient]:
    return (found for found in work.declared.manifest.recipients.values() if purpose in found.purposes)
