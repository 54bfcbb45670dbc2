"""What is known of who a subject is: sealed under its own key, beside its row.

Field numbers: 1 external id, 2 birth date, 3 guardian.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final
from uuid import UUID

from privacy import vault
from privacy.vault import At
from privacy.work import Work

TYPE: Final = "subject"  # the record type under which the profile is sealed; no manifest may declare it
SCOPE: Final = "main"
EXTERNAL_ID: Final = 1
BORN: Final = 2
GUARDIAN: Final = 3
_NAMES: Final = {EXTERNAL_ID: "external_id", BORN: "born", GUARDIAN: "guardian"}

# What the service does by duty with a profile; nothing of it is disclosed.
_CLASSIFY = vault.Decision("[classification]", "legal-obligation", frozenset({BORN}))
_REPRESENT = vault.Decision("[representation]", "legal-obligation", frozenset({GUARDIAN}))
_REINDEX = vault.Decision("[reindexing]", "legal-obligation", frozenset({EXTERNAL_ID}))


def at(subject_id: UUID) -> At:
    """Where a subject's profile is."""
    return At(subject_id, SCOPE, TYPE, subject_id)


def born(work: Work, subject_id: UUID, sealed: bytes) -> date | None:
    """The birth date. The work then owes an event about the subject."""
    found = vault.unseal(work, _CLASSIFY, at(subject_id), sealed).get(BORN)
    return None if found is None else date.fromisoformat(found)


def guardian(work: Work, subject_id: UUID, sealed: bytes) -> UUID | None:
    """The guardian, a subject too. The work then owes an event about the subject."""
    found = vault.unseal(work, _REPRESENT, at(subject_id), sealed).get(GUARDIAN)
    return None if found is None else UUID(found)


def external_id(work: Work, subject_id: UUID, sealed: bytes) -> str | None:
    """The external id, to index it anew. The work then owes an event about the subject."""
    found = vault.unseal(work, _REINDEX, at(subject_id), sealed).get(EXTERNAL_ID)
    return None if found is None else str(found)


def names(present: Mapping[int, object]) -> list[str]:
    """The declared names of the fields, in the order of their numbers."""
    return [_NAMES[number] for number in sorted(present)]
