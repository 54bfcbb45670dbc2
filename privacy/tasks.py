"""What must still be done for a subject: opened by a rule, closed by whoever did it.

An erasure task names the records that no basis holds any more, or the fields of them (PIPL 47(1), GDPR 17(1)(b)).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import select, update

from privacy import access, ids, rules
from privacy.database import Insertion
from privacy.errors import Conflict, NotFound, PrivacyError
from privacy.facts import Facts, facts_for
from privacy.manifest import Purpose
from privacy.tables import micros, records, tasks
from privacy.work import Role, Work

_TASKS = Insertion(tasks)
PAGE = 100


@dataclass(frozen=True, slots=True)
class Task:
    """`detail` holds ids and declared names; `outcome` is set when it is closed."""

    id: UUID
    subject_id: UUID
    kind: str
    purpose: str
    opened_at: datetime
    closed_at: datetime | None
    outcome: str | None
    detail: Mapping[str, Any]


@dataclass(slots=True)
class Ended:
    """What a purpose's end leaves: the task that was opened, if anything must go, and for what the rest is kept."""

    task_id: UUID | None = None
    kept_for: dict[str, str] = field(default_factory=dict)  # purpose -> its basis


def open_erasure(work: Work, subject_id: UUID, purpose_name: str) -> Ended:
    """Open a task for what was held for this purpose alone; say which other basis holds the rest.

    A statutory period is another basis: a purpose that rests on a legal obligation.
    """
    ended = Ended()
    found: list[dict[str, object]] = []
    standing = _Standing(work, subject_id)
    for row in work.execute(
        select(records.c.record_id, records.c.record_type, records.c.purposes, records.c.stored_at).where(
            records.c.subject_id == subject_id,
            records.c.purposes.contains(f'"{purpose_name}"', autoescape=True),
            records.c.expires_at > work.instant,
        )
    ):
        others = [name for name in row.purposes if name != purpose_name]
        keeping = list(standing.among(others, row.stored_at))
        ended.kept_for |= {purpose.name: purpose.basis.value for purpose in keeping}
        used = set(work.declared.purpose(purpose_name).uses.get(row.record_type, ()))
        still = {name for purpose in keeping for name in purpose.uses.get(row.record_type, ())}
        if not keeping:
            found.append({"id": str(row.record_id), "type": row.record_type})
        elif used - still:
            found.append({"id": str(row.record_id), "type": row.record_type, "fields": sorted(used - still)})
    if found:
        ended.task_id = ids.new()
        detail = msgspec.json.encode({"kept_for": ended.kept_for, "records": found}).decode()
        row_ = (subject_id, ended.task_id, "erasure", purpose_name, work.instant, None, None, detail)
        work.add(_TASKS, row_)
    return ended


class _Standing:
    """Which purposes may still hold the subject's data; each is asked of the gate once."""

    def __init__(self, work: Work, subject_id: UUID) -> None:
        self._work = work
        self._subject_id = subject_id
        self._known: dict[str, Facts | None] = {}

    def among(self, names: list[str], stored_at: datetime) -> Iterator[Purpose]:
        work = self._work
        for name in names:
            facts = self._stands(name) if name in work.declared.manifest.purposes else None
            if facts is not None:
                purpose = work.declared.purpose(name)
                if not rules.ended(purpose, micros(stored_at), work.instant, facts.kept_from):
                    yield purpose

    def _stands(self, name: str) -> Facts | None:
        """What the gate said yes to; None where it said no."""
        if name not in self._known:
            demanded = self._work.declared.conditions(name)
            facts = facts_for(self._work, self._subject_id, demanded)
            try:
                access.require_basis(self._work, demanded, facts)
                self._known[name] = facts
            except PrivacyError:
                self._known[name] = None
        return self._known[name]


def listed(work: Work, *, after: UUID | None = None, limit: int = PAGE) -> list[Task]:
    """The open tasks, the oldest first."""
    work.concerns("tasks.listed")
    work.require(Role.OPERATOR, Role.AUDITOR)
    statement = select(tasks).where(tasks.c.closed_at.is_(None)).order_by(tasks.c.task_id).limit(limit)
    if after is not None:
        statement = statement.where(tasks.c.task_id > after)
    found = [
        Task(
            row.task_id,
            row.subject_id,
            row.kind,
            row.purpose,
            row.opened_at,
            row.closed_at,
            row.outcome,
            row.detail,
        )
        for row in work.execute(statement)
    ]
    work.audit("tasks.listed", detail={"count": len(found)})
    return found


def close(work: Work, task_id: UUID, outcome: str) -> None:
    """Record how the task ended: "done" or "not-needed". Raises `NotFound`, `Conflict` when it is closed."""
    work.concerns("task.closed")
    work.require(Role.OPERATOR)
    row = work.execute(select(tasks).where(tasks.c.task_id == task_id)).first()
    if row is None:
        raise NotFound("There is no such task")
    if row.closed_at is not None:
        raise Conflict("The task is closed already")
    work.execute(
        update(tasks)
        .where(tasks.c.subject_id == row.subject_id, tasks.c.task_id == task_id)
        .values(closed_at=work.instant, outcome=outcome)
    )
    work.audit(
        "task.closed",
        subject=row.subject_id,
        purpose=row.purpose,
        detail={"kind": row.kind, "outcome": outcome, "task": str(task_id)},
    )
