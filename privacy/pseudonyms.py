"""Pseudonyms of data subjects: one for each recipient and purpose, that nobody joins without us.

    pseudonym = SP 800-108(data key of the subject, "steward/pseudonym/1",
                           lp(deployment) lp(subject) lp(purpose) lp(recipient)), 16 bytes, in hex

The key is the subject's own, of the scope of its profile, so what two recipients hold, or one for two purposes, has
nothing in common; and once the key is destroyed nobody, we included, finds the subject of a pseudonym again. A data
key that is replaced ends the pseudonyms that were made under it.

Whoever has a pseudonym and whatever stands beside it holds personal data: it is de-identified (PIPL 73(3), GDPR 4(5)),
and never called anonymous. It is given under the gate of a disclosure to its recipient, and is on record as one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from uuid import UUID

from privacy import access, profile, vault
from privacy.facts import facts_for
from privacy.work import Work

GIVEN: Final = "pseudonym.given"
LABEL: Final[Mapping[str, str]] = MappingProxyType({"en": "de-identified", "zh": "去标识化"})
LAW: Final = ("PIPL-73-3", "GDPR-4-5")
_DERIVED: Final = b"steward/pseudonym/1"
_BYTES: Final = 16  # no two subjects of a recipient share one


@dataclass(frozen=True, slots=True)
class Pseudonym:
    """What a recipient may know the subject by for the purpose. `label` says in each language what it is."""

    pseudonym: str
    purpose: str
    recipient: str
    label: Mapping[str, str]
    law: tuple[str, ...]


def give(work: Work, subject_id: UUID, *, purpose: str, recipient: str) -> Pseudonym:
    """The subject's pseudonym for the recipient and the purpose: always the same, as long as its key lives.

    PIPL 23, 73(3); GDPR 4(5). Raises `Forbidden`, `UndeclaredPurpose`, `UndeclaredRecipient`, `NotFound`, `Erased`,
    `AnonymisedOnly` for a purpose that may know of nobody, and what else `access.decide` raises.
    """
    work.concerns(GIVEN, subject=subject_id, purpose=purpose)
    access.admitted(work, purpose)
    demanded = work.declared.conditions(purpose, recipient)
    access.require_basis(work, demanded, facts_for(work, subject_id, demanded))
    found = _derive(work, subject_id, purpose, recipient)
    work.audit(
        GIVEN,
        outcome="disclosed",
        subject=subject_id,
        purpose=purpose,
        basis=demanded.purpose.basis.value,
        fields=("pseudonym",),
        detail={"recipient": recipient, "type": profile.TYPE},
    )
    return Pseudonym(found, purpose, recipient, LABEL, LAW)


def _derive(work: Work, subject_id: UUID, purpose: str, recipient: str) -> str:
    about = (work.service.keyring.deployment, subject_id.bytes, purpose.encode(), recipient.encode())
    return vault.derived(work, (subject_id, profile.SCOPE), _DERIVED, about, _BYTES).hex()
