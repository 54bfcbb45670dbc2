"""Retention: what has ended goes, and what nothing keeps any more is not kept.

Ended means unreadable at once (`privacy.records`, `privacy.rules`); the sweep removes it, at most `ROUND` records in
one transaction, and whoever comes after a crash goes on where it stopped:

1. lock the holds, then read them (`holds.lock`)
2. destroy the data keys of scopes that an earlier round has emptied (`privacy.empty_scopes`)
3. lock the subjects whose records have ended, leaving out those whom somebody else holds; then read the records
4. judge each by the manifest in force: some must be kept longer by now
5. remove it with its index entries, and keep of it what is anonymous (`privacy.residues`)
6. one event "record.expired" a record, and note the scopes that are empty now

What else ends by a date joins in `EXPIRING`. A record that cannot be swept is counted by `privacy.job_runs`, which
sets it aside after some failures; the others go on. PIPL 19, 47(1); GDPR 5(1)(e); NDSMR 24.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Row, delete, update

from privacy import consent_expiry, empty_scopes, holds, job_runs, residues
from privacy.errors import Corrupt, Erased
from privacy.residues import Candidate
from privacy.retention_due import JOB, Fate, count, due, ended, judged, lock_free
from privacy.retention_plans import SWEPT
from privacy.retention_recalculation import is_settled
from privacy.tables import index_entries, micros, records
from privacy.work import Role, Work

ROUND: Final = 100  # records in one transaction: 30 ms, for which SQLite's other writers wait
MOST: Final = 10_000  # records in one run that somebody asked for
_R = records.c

Begin = Callable[[], AbstractContextManager[Work]]

# What else ends by a date: by what it is, one round in the sweep's transaction, and how much that did.
EXPIRING: Final[Mapping[str, Callable[[Work], int]]] = {"consent": consent_expiry.sweep}


@dataclass(slots=True)
class Swept:
    """What a sweep did, or would do. `expired` counts what else has ended, by what it is; `keys` keys destroyed."""

    records: int = 0
    erased: Counter[str] = field(default_factory=Counter)
    anonymised: Counter[str] = field(default_factory=Counter)
    postponed: int = 0
    failed: int = 0
    keys: int = 0
    expired: Counter[str] = field(default_factory=Counter)

    def add(self, other: Swept) -> None:
        self.records += other.records
        self.erased.update(other.erased)
        self.anonymised.update(other.anonymised)
        self.postponed += other.postponed
        self.failed += other.failed
        self.keys += other.keys
        self.expired.update(other.expired)

    def take(self, record_type: str, fate: Fate) -> None:
        """Count a record that goes."""
        self.records += 1
        (self.anonymised if fate == "anonymise" else self.erased)[record_type] += 1

    @property
    def moved(self) -> int:
        """How much will not be there for the next round."""
        return self.records + self.postponed + self.keys + sum(self.expired.values())

    def as_json(self) -> dict[str, object]:
        return {
            "records": self.records,
            "erased": dict(self.erased),
            "anonymised": dict(self.anonymised),
            "postponed": self.postponed,
            "failed": self.failed,
            "keys": self.keys,
            "expired": dict(self.expired),
        }


@dataclass(frozen=True, slots=True)
class Run:
    """A run that somebody asked for. `is_complete`: nothing that could go was left; `held`: what ended and stays."""

    dry_run: bool
    is_complete: bool
    held: int
    swept: Swept


def run(begin: Begin, *, dry_run: bool = False, most: int = MOST) -> Run:
    """Sweep until nothing is left that can go, or `most` records are gone; or say what that would do to records.

    `begin` gives a work for each round, which commits by itself. A dry run judges as the run does, opens nothing
    and changes nothing. For operators and administrators.
    """
    if dry_run:
        with begin() as work:
            return _foretold(work, most)
    total, is_complete = Swept(), False
    while total.records < most and not is_complete:
        with begin() as work:
            one = sweep(work, limit=min(ROUND, most - total.records))
        total.add(one)
        is_complete = one.moved == 0
    with begin() as work:
        return Run(False, is_complete, _held(work), total)


def sweep_some(work: Work) -> int:
    """One round, as a job; `ROUND` when there may be more."""
    done = sweep(work)
    return done.records + done.postponed


def sweep(work: Work, limit: int = ROUND) -> Swept:
    """One round, as the module says; at most `limit` records. For operators and administrators."""
    work.concerns(SWEPT)
    work.require(Role.OPERATOR, Role.ADMIN)
    # 1.
    holds.lock(work)
    holdings = holds.covering(work)
    # 2.
    done = Swept(keys=empty_scopes.shred(work))
    # 3.
    free = lock_free(work, (row.subject_id for row in due(work, holdings, limit)))
    rows = due(work, holdings, limit, among=free) if free else ()
    # 4.
    gone, left = _decided(work, rows, done)
    if gone:
        # 5.
        _remove(work, gone)
        residues.keep(work, residues.anonymised(left))
        # 6.
        empty_scopes.note(work, {(row.subject_id, row.record_type) for row in gone})
    for name, expire in EXPIRING.items():
        ended_now = expire(work)
        if ended_now:
            done.expired[name] = ended_now
    if done.moved or done.failed:
        work.audit(SWEPT, detail=done.as_json())
    return done


def _decided(work: Work, rows: Sequence[Row[Any]], done: Swept) -> tuple[list[Row[Any]], list[Candidate]]:
    """What goes, and what of it is left; what must be kept longer gets its new end."""
    gone: list[Row[Any]] = []
    left: list[Candidate] = []
    for row, fate, end in judged(work, rows, is_settled=is_settled(work)):
        if fate == "postpone":
            this = (_R.subject_id == row.subject_id, _R.record_id == row.record_id)
            work.execute(update(records).where(*this).values(expires_at=end))
            done.postponed += 1
            continue
        try:
            candidate = _candidate(work, row) if fate == "anonymise" else None
        except Corrupt as error:
            _fail(work, row, error.code)
            done.failed += 1
            continue
        if candidate is not None:
            left.append(candidate)
        gone.append(row)
        done.take(row.record_type, fate)
        detail = {"transformed": fate == "anonymise", "type": row.record_type}
        work.audit("record.expired", subject=row.subject_id, record=row.record_id, detail=detail)
    return gone, left


def _candidate(work: Work, row: Row[Any]) -> Candidate | None:
    """None where the key is destroyed already: there is nothing to keep."""
    declared = work.declared.record_type(row.record_type)
    try:
        return residues.of(work, row.subject_id, row.record_id, declared, micros(row.stored_at), bytes(row.sealed))
    except Erased:
        return None


def _fail(work: Work, row: Row[Any], code: str) -> None:
    """The record stays, and is set aside when it has failed too often. Nothing of it was changed."""
    detail = {"code": code, "type": row.record_type}
    work.audit("record.expiry-failed", subject=row.subject_id, record=row.record_id, detail=detail)
    if work.actor.role is Role.ADMIN:  # whoever asks for a run more often must not set it aside sooner
        job_runs.failed_item(work, JOB, row.record_id, code)


def _remove(work: Work, gone: Sequence[Row[Any]]) -> None:
    subject_ids, record_ids = sorted({row.subject_id for row in gone}), [row.record_id for row in gone]
    for table in (index_entries, records):
        work.execute(delete(table).where(table.c.subject_id.in_(subject_ids), table.c.record_id.in_(record_ids)))
    work.paid()  # each has its event


def _foretold(work: Work, most: int) -> Run:
    """What a run would do, page by page. Nothing is locked."""
    work.concerns("retention.planned")
    work.require(Role.OPERATOR, Role.AUDITOR, Role.ADMIN)
    holdings = holds.covering(work)
    done = Swept()
    rows: Sequence[Row[Any]] = ()
    while done.records < most:
        limit = min(ROUND, most - done.records)
        rows = due(work, holdings, limit, after=rows[-1] if rows else None)
        for row, fate, _ in judged(work, rows, is_settled=is_settled(work)):
            if fate == "postpone":
                done.postponed += 1
            else:
                done.take(row.record_type, fate)
        if len(rows) < limit:
            break
    held = _held(work)
    work.audit("retention.planned", detail={"held": held, "records": done.records, "until": work.now.isoformat()})
    return Run(True, done.records < most, held, done)


def _held(work: Work) -> int:
    return count(work, *ended(work.instant), holds.covering(work).clause())
