"""What is left of records that were anonymised at their end: declared non-personal columns, and no way back.

A field with `analytics: keep` of at most L2 stays as it is. A quasi-identifier with a `hierarchy` stays as the label
that the engine of releases gives it (`privacy.anonymisation`): of the records of one type and month that end in one
round, those stay that stand in a class of at least `K` persons, and of the others nothing. What is to stay goes through
a gate like a release's: the classes are counted once more by other code, and a text in which something personal is
found stays out.

A residue has a random id, the month in which the record was stored, and no instant: a date in it is cut to its month at
least. Nothing in the row leads to a subject, and on SQLite nothing in the file does. On PostgreSQL the hidden number of
the transaction that wrote the row (`xmin`) is that of the sweep until the server freezes it, so whoever administers the
server can narrow a residue down to the records of one sweep; what is declared non-personal must be so by itself.
PIPL 4, 73(4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

from sqlalchemy import func, insert, select

from privacy import vault
from privacy.anonymisation import hierarchy_specs
from privacy.anonymisation.policies import Policy, Recoding
from privacy.detection import identifiers
from privacy.errors import CannotAnonymise, Invalid
from privacy.levels import Level
from privacy.manifest import Field, RecordType, ValueType
from privacy.tables import moment, residues
from privacy.vault import At, Decision
from privacy.work import Role, Work

if TYPE_CHECKING:
    from privacy.anonymisation.hierarchies import Hierarchy

K: Final = 5  # persons in a class: what a release to a controlled recipient must have at least
_POLICY: Final = Policy(k=K, suppression=1.0, recoding=Recoding.LOCAL)
_MONTH: Final = 7  # characters of 2026-01
_DAY: Final = 10
_DATES: Final = frozenset({ValueType.DATE, ValueType.DATETIME})


@dataclass(frozen=True, slots=True)
class Candidate:
    """What might be left of a record, while the sweep has it in hand. `quasi`: every quasi-identifier of its type."""

    subject_id: UUID
    record_type: RecordType
    month: str
    content: Mapping[str, object] = field(repr=False)
    quasi: Mapping[str, str] = field(repr=False)


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
    """Whether the field outlives its record's anonymisation as it is."""
    return field.analytics == "keep" and field.level <= Level.L2


def is_generalised(field: Field) -> bool:
    """Whether it outlives it as a label of its hierarchy."""
    return field.analytics == "quasi" and field.hierarchy is not None and field.level < Level.L4


def of(
    work: Work, subject_id: UUID, record_id: UUID, record_type: RecordType, stored_at: int, sealed: bytes
) -> Candidate:
    """What may be left of the record; only the fields that may stay are opened. Raises `Corrupt`, `Erased`.

    The work owes an event about the record.
    """
    declared = work.declared
    names = {
        declared.number(record_type.name, name): one
        for name, one in record_type.fields.items()
        if is_kept(one) or is_generalised(one)
    }
    wanted = frozenset(names) & vault.numbers_in(sealed)
    content: dict[str, object] = {}
    quasi = {one.name: "" for one in names.values() if is_generalised(one)}
    if wanted:
        decision = Decision("[anonymisation]", "legal-obligation", wanted)
        opened = vault.unseal(work, decision, At(subject_id, record_type.scope, record_type.name, record_id), sealed)
        for number, value in opened.items():
            one = names[number]
            if is_generalised(one):
                quasi[one.name] = str(value)[:_DAY] if one.type in _DATES else str(value)
            elif not _is_personal(value):
                content[one.name] = _coarse(one, value)
    return Candidate(subject_id, record_type, moment(stored_at).isoformat()[:_MONTH], content, quasi)


def anonymised(candidates: Iterable[Candidate]) -> list[Residue]:
    """What is left of them all, by type and month. Of a type without quasi-identifiers, what each has to leave.

    Deterministic. Loads numpy when there are quasi-identifiers.
    """
    found: list[Residue] = []
    ordered = sorted(candidates, key=_kind)
    for (name, month), group in groupby(ordered, key=_kind):
        some = list(group)
        labels = _labels(some) if some[0].quasi else [{} for _ in some]
        found += [
            Residue(name, month, {**one.content, **label})
            for one, label in zip(some, labels, strict=True)
            if label is not None and (one.content or label)
        ]
    return found


def keep(work: Work, found: Sequence[Residue]) -> None:
    """Write the residues in the order of their random ids, which is nobody's order. The caller's events name them."""
    rows = sorted(
        (
            {"residue_id": uuid4(), "record_type": one.record_type, "month": one.month, "content": one.content}
            for one in found
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


def _kind(one: Candidate) -> tuple[str, str]:
    return one.record_type.name, one.month


def _labels(some: Sequence[Candidate]) -> list[dict[str, str] | None]:
    """The labels of each, by field; None of what stands in no class that is large enough."""
    if len({one.subject_id for one in some}) < K:
        return [None] * len(some)
    import numpy  # only here

    from privacy.anonymisation.generalisation import generalise
    from privacy.anonymisation.histogram import of_codes

    names = list(some[0].quasi)
    persons = [one.subject_id.hex for one in some]
    columns = {name: [one.quasi[name] for one in some] for name in names}
    try:
        hierarchies = [_hierarchy(some[0].record_type, name, values) for name, values in columns.items()]
        codes = [one.encode(columns[one.name]) for one in hierarchies]
        histogram, tuples = of_codes(hierarchies, codes, persons=numpy.asarray(persons))
        done = generalise(histogram, _POLICY, in_numpy=True)  # so few that compiled code would not pay
    except (CannotAnonymise, Invalid):  # too many alike, or a value that its hierarchy does not know
        return [None] * len(some)
    by_tuple = [done.labels(column) for column in range(len(names))]
    labels: list[dict[str, str] | None] = [
        None if done.suppressed[number] else {name: by_tuple[at][number] for at, name in enumerate(names)}
        for number in tuples.tolist()
    ]
    return labels if _holds(labels, names, persons) else [None] * len(some)


def _hierarchy(record_type: RecordType, name: str, values: Sequence[str]) -> Hierarchy:
    spec = record_type.fields[name].hierarchy
    if spec is None:
        raise Invalid(f"{name} has no hierarchy")
    return hierarchy_specs.build(spec, name, values)


def _holds(labels: Sequence[Mapping[str, str] | None], names: Sequence[str], persons: Sequence[str]) -> bool:
    """Whether each class has enough persons, counted by what checks releases: none of it is the engine's code."""
    from privacy.anonymisation.checking import measure

    kept = [(label, person) for label, person in zip(labels, persons, strict=True) if label is not None]
    columns = {name: [label[name] for label, _ in kept] for name in names}
    return bool(kept) and measure(columns, names, persons=[person for _, person in kept]).k >= K


def _is_personal(value: object) -> bool:
    """Whether something personal that has a form of its own is found in it: a number, an address of the network."""
    texts = value if isinstance(value, list) else [value]
    return any(isinstance(text, str) and identifiers.find(text) for text in texts)


def _coarse(field: Field, value: object) -> object:
    return value[:_MONTH] if field.type in _DATES and isinstance(value, str) else value
