"""Texts of the privacy office that belong to no data subject: sealed under a data key of the deployment itself.

A hold's reference, the reason for destroying a key: they may name people, and outlive the subject they are about.
The house stands in the key store as a subject of its own, so its key is wrapped, rotated and re-sealed as any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select, update

from privacy import vault
from privacy.tables import revisions
from privacy.values import Value
from privacy.vault import At, Decision
from privacy.work import Work

HOUSE: Final = UUID(int=0)
SCOPE: Final = "house"
_REVISION: Final = revisions.c.name == "house"


def at(type: str, id: UUID) -> At:
    """Where such a text is."""
    return At(HOUSE, SCOPE, type, id)


def seal(work: Work, type: str, id: UUID, values: Mapping[int, Value]) -> bytes:
    """The texts by number, in one container that opens at this type and id only.

    Not for a shared transaction: until it ends, the key is not replaced (`hold`).
    """
    work.execute(select(revisions.c.number).where(_REVISION).with_for_update(read=True)).first()
    return vault.seal(work, vault.key_for(work, HOUSE, SCOPE), at(type, id), values)


def unseal(work: Work, type: str, id: UUID, sealed: bytes) -> dict[int, Any]:
    """All that `seal` put there. The work owes an event with `record=id` from now on. Raises `Corrupt`, `Erased`."""
    duty = Decision(f"[{type}]", "legal-obligation", vault.numbers_in(sealed))
    return vault.unseal(work, duty, at(type, id), sealed)


def hold(work: Work) -> None:
    """Keep everybody from sealing under the key of the house until the work ends: it is about to be replaced."""
    work.execute(update(revisions).where(_REVISION).values(number=revisions.c.number + 1))
