"""What is left of a record that was anonymised at its end: declared non-personal columns, and no way back.

A field stays when the manifest says `analytics: keep` of it and its level is at most L2. A residue has a random id,
the month in which the record was stored, and no instant: a date in it is cut to its month as well. Nothing in the row
leads to a subject, and on SQLite nothing in the file does. On PostgreSQL the hidden number of the transaction that
wrote the row (`xmin`) is that of the sweep until the server freezes it, so whoever administers the server can
narrow a residue down to the records of one sweep; what is declared non-personal must be so by itself. PIPL 4, 73(4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import func, insert, select

from privacy import vault
from privacy.levels import Level
from privacy.manifest import Field, RecordType, ValueType
from privacy.tables import moment, residues
from privacy.vault import At, Decision
from privacy.work import Role, Work

_MONTH: Final = 7  # characters of 2026-01
_DATES: Final = frozenset({ValueType.DATE, ValueType.DATETIME})


@dataclass(frozen=True, slots=True)
class Residue:
    """Never holds an id of a subject or a record, nor an instant."""

    record_type: str
    month: str
    content: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Counted:
    """How many residues of a type and a month there are."""

    record_type: str
    month: str
    residues: int


def is_kept(field: Field) -> bool:
    """Whether the field outlives its record's anonymisation."""
    return field.analytics == "keep" and field.level <= Level.L2


def of(
    work: Work, subject_id: UUID, record_id: UUID, record_type: RecordType, stored_at: int, sealed: bytes
) -> Residue:
    """What will be left of the record; only the fields that stay are opened. Raises `Corrupt`, `Erased`.

    The work owes an event about the record.
    """
    declared = work.declared
    names = {declared.number(record_type.name, name): name for name, one in record_type.fields.items() if is_kept(one)}
    wanted = frozenset(names) & vault.numbers_in(sealed)
    content: dict[str, object] = {}
    if wanted:
        decision = Decision("[anonymisation]", "legal-obligation", wanted)
        opened = vault.unseal(work, decision, At(subject_id, record_type.scope, record_type.name, record_id), sealed)
        content = {names[number]: _coarse(record_type.fields[names[number]], value) for number, value in opened.items()}
    return Residue(record_type.name, moment(stored_at).isoformat()[:_MONTH], content)


def keep(work: Work, found: Sequence[Residue]) -> None:
    """Write the residues in the order of their random ids, which is nobody's order. The caller's events name them."""
    rows = sorted(
        (
            {"residue_id": uuid4(), "record_type": one.record_type, "month": one.month, "content": one.content}
            for one in found
            if one.content
        ),
        key=lambda row: str(row["residue_id"]),
    )
    if rows:
        work.execute(insert(residues).values(rows))


def counted(work: Work) -> list[Counted]:
    """How many there are, by type and month. Raises `Forbidden`."""
    work.concerns("residues.counted")
    work.require(Role.OPERATOR, Role.AUDITOR, Role.ADMIN)
    by = (residues.c.record_type, residues.c.month)
    rows = work.execute(select(*by, func.count().label("residues")).group_by(*by).order_by(*by)).all()
    work.audit("residues.counted", detail={"groups": len(rows)})
    return [Counted(row.record_type, row.month, row.residues) for row in rows]


def _coarse(field: Field, value: object) -> object:
    return value[:_MONTH] if field.type in _DATES and isinstance(value, str) else value
