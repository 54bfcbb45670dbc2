"""How long events stay in the audit log, and how they leave it without hurting the tree.

Each event has a class with a period; CSL 21(3) asks for six months of every log, NDSMR 12 for three years of what was
shared. Only the old end of the log is let go, in whole ranges of positions in which every event's period has passed.
Positions and hash tiles stay, so that every checkpoint ever signed still verifies; what goes are the events and, with
them, the entry bundles of the range. A range is a whole number of bundles.

1. archive: in one transaction write the range into `audit_archives` with the newest signed checkpoint, and the event
   that says so. A record that still stands and whose newest change lies in the range gets an event "record.attested"
   with its digest, so that the log goes on proving it (`privacy.reconciling`).
2. empty: delete the range's events, a batch a transaction. The database lets no other event go.

A crash between the two, or between batches, leaves an archive that is not empty; the next call goes on there. Never
let go: what is not sequenced; what no checkpoint outside the database covers; what the watch has not seen; a change
that a record disagrees with, and all after it: it is evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import and_, delete, func, insert, select, tuple_, update

from privacy import reconciling, sequencer, tlog, watch_rules
from privacy.alerts import CURSOR
from privacy.errors import AuditUnavailable, Invalid
from privacy.periods import Period
from privacy.reconciling import CHANGES, ENDINGS
from privacy.tables import (
    audit_archives,
    audit_details,
    audit_events,
    audit_positions,
    audit_tiles,
    records,
    watch_state,
)
from privacy.work import Role, Work

BUNDLE: Final = 256  # entries of a C2SP bundle
MOST: Final = 16 * BUNDLE  # positions of one archive, and of one transaction that empties
JOB: Final = "log-retention"

_LEAST: Final = Period(months=6)  # CSL 21(3)
_LEAST_SHARED: Final = Period(years=3)  # NDSMR 12
_E = audit_events.c
_P = audit_positions.c


@dataclass(frozen=True, slots=True)
class Event:
    """What the class of an event depends on."""

    action: str
    outcome: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Class:
    """A class of events: which they are, how long they are kept, and the least that the law asks for."""

    name: str
    title: Mapping[str, str]
    holds: Callable[[Event], bool]
    keep: Period
    least: Period
    law: tuple[str, ...]


def _is_shared(event: Event) -> bool:
    return "recipient" in event.detail or event.action.startswith(("disclosure.", "notification.", "agreement."))


def _is_consent(event: Event) -> bool:
    return event.action.startswith(("consent.", "notice.", "objection.", "restriction.", "basis."))


# The first that holds an event is its class.
CLASSES: Final = (
    Class(
        "sharing",
        {"zh": "对外提供与委托处理", "en": "Disclosure to recipients"},
        _is_shared,
        Period(years=3),
        _LEAST_SHARED,
        ("CN-NDSMR-12",),
    ),
    Class(
        "consent",
        {"zh": "同意与告知", "en": "Consent and notices"},
        _is_consent,
        Period(years=3),
        _LEAST,
        ("CN-CSL-21",),
    ),
    Class(
        "access",
        {"zh": "读取与比对", "en": "Disclosures and comparisons"},
        lambda event: event.outcome in ("disclosed", "compared"),
        Period(years=3),
        _LEAST,
        ("CN-CSL-21",),
    ),
    Class(
        "refusals",
        {"zh": "被拒绝的请求", "en": "Refusals"},
        lambda event: event.outcome == "refused",
        Period(years=3),
        _LEAST,
        ("CN-CSL-21",),
    ),
    Class(
        "changes",
        {"zh": "存储、更正与删除", "en": "Storing, rectifying, deleting"},
        lambda event: event.action in (*CHANGES, *ENDINGS) or event.action.startswith("subject."),
        Period(years=3),
        _LEAST,
        ("CN-CSL-21",),
    ),
    Class(
        "operation",
        {"zh": "系统运行", "en": "Running the service"},
        lambda event: True,
        Period(years=1),
        _LEAST,
        ("CN-CSL-21",),
    ),
)


@dataclass(frozen=True, slots=True)
class Kept:
    """A class as it is in force."""

    kind: Class
    keep: Period


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one call did, or would do: positions from `first` to before `after`.

    `step` is "archived" (the range is given up), "emptied" (events of an archive are gone) or "nothing".
    """

    step: str
    first: int
    after: int
    events: int


def classes(keep: Mapping[str, str]) -> list[Kept]:
    """The classes with the periods of the `keep` of the rules' file.

    Raises `Invalid` for a class that is none, for a period that is none, and for one below what the law asks for.
    """
    unknown = sorted(set(keep) - {kind.name for kind in CLASSES})
    if unknown:
        raise Invalid(f"keep: there is no class {unknown[0]}; there are {', '.join(kind.name for kind in CLASSES)}")
    found = []
    for kind in CLASSES:
        period = Period.parse(keep[kind.name]) if kind.name in keep else kind.keep
        if not _is_at_least(period, kind.least):
            raise Invalid(f"keep: {kind.name} is kept for at least {kind.least}", law=kind.law)
        found.append(Kept(kind, period))
    return found


def prune(work: Work, *, dry_run: bool = False) -> Pruned:
    """Do the next step: go on emptying an archive, or archive the next range whose periods have passed.

    Call it until `step` is "nothing". With `dry_run` nothing is changed, and the answer is what the next step would
    be. For administrators. Raises `Invalid` for periods below the law's, `AuditUnavailable` when the log does not
    extend what was signed.
    """
    work.concerns("audit.pruned")
    work.require(Role.ADMIN)
    kept = classes(watch_rules.load(work.service.settings.watch_rules).keep)
    emptied = _emptied(work)
    archive = work.execute(
        select(audit_archives.c.first, audit_archives.c.after)
        .where(audit_archives.c.after > emptied)
        .order_by(audit_archives.c.first)
        .limit(1)
    ).first()
    if archive is not None:
        first = max(emptied, archive.first)
        return _empty(work, first, min(archive.after, first + MOST), dry_run=dry_run)
    first = emptied
    after = _passed(work, kept, first)
    after, standing = _standing(work, first, after)
    if after == first:
        return Pruned("nothing", first, first, 0)
    if not dry_run:
        _archive(work, first, after, [one for one in standing if one.position < after])
    return Pruned("archived", first, after, after - first)


def prune_some(work: Work) -> int:
    """A step, as a job; how many positions it took, 0 when there is nothing left to do."""
    done = prune(work)
    return done.after - done.first


def _is_at_least(period: Period, least: Period) -> bool:
    """Whenever it begins: a month of a plain year or of a leap year."""
    days = [datetime(year, month, 1, tzinfo=UTC) for year in (2023, 2024) for month in range(1, 13)]
    return all(period.after(day) >= least.after(day) for day in days)


def _emptied(work: Work) -> int:
    """Before which position all that is archived is gone. The row is locked: one prunes at a time."""
    found = work.execute(select(watch_state.c.position).where(watch_state.c.name == JOB).with_for_update()).scalar()
    return int(found or 0)


def _passed(work: Work, kept: Sequence[Kept], first: int) -> int:
    """The end of the longest range from `first` in which every event may go; at most `MOST` positions."""
    most = min(first + MOST, _covered(work))
    statement = (
        select(_P.position, _E.at, _E.action, _E.outcome, _E.detail)
        .join(audit_events, _E.event_id == _P.event_id)
        .where(_P.position >= first, _P.position < most)
        .order_by(_P.position)
    )
    after = first
    for row in work.execute(statement):
        # a position whose event is not there was emptied by somebody else: that is evidence too
        if row.position != after or not _may_go(
            kept, Event(row.action, row.outcome, row.detail or {}), row.at, work.now
        ):
            break
        after += 1
    return after - after % BUNDLE


def _may_go(kept: Sequence[Kept], event: Event, at: datetime, now: datetime) -> bool:
    one = next(one for one in kept if one.kind.holds(event))
    return one.keep.after(at) <= now


def _covered(work: Work) -> int:
    """Up to where the checkpoint outside the database covers the tree, and the watch has read it.

    Raises `AuditUnavailable` when the tree does not extend that checkpoint.
    """
    anchored, newest = sequencer.anchored(work.service), sequencer.newest(work)
    if anchored is None or newest is None:
        return 0
    size, root = anchored

    def read(level: int, number: int) -> bytes:
        this = (audit_tiles.c.level == level, audit_tiles.c.number == number)
        return bytes(work.execute(select(audit_tiles.c.hashes).where(*this)).scalar() or b"")

    try:
        extends = tlog.root_at(size, read) == root
    except tlog.Malformed:
        extends = False
    if not extends:
        raise AuditUnavailable("The audit log does not extend the last signed checkpoint; nothing of it may go")
    watched = work.execute(select(watch_state.c.position).where(watch_state.c.name == CURSOR)).scalar()
    return min(size, newest.size, size if watched is None else int(watched))


@dataclass(frozen=True, slots=True)
class _Standing:
    """A record that stands and whose newest change is in the range."""

    position: int
    subject_id: UUID
    record_id: UUID
    type: str
    version: int
    digest: str
    is_proven: bool


def _standing(work: Work, first: int, after: int) -> tuple[int, list[_Standing]]:
    """The records whose proof is in the range; and the range's end, before the first that its record disagrees with."""
    found: list[_Standing] = []
    statement = (
        reconciling.newest_changes()
        .join(audit_positions, _P.event_id == _E.event_id)
        .join(records, and_(records.c.subject_id == _E.subject_id, records.c.record_id == _E.record_id))
        .add_columns(_P.position, records.c.record_type, records.c.version, records.c.sealed)
        .where(_P.position >= first, _P.position < after)
        .order_by(_P.position)
    )
    for row in work.execute(statement):
        digest = reconciling.digest_of(row.sealed)
        if row.digest not in (None, digest) and reconciling.wrong(work, row.subject_id, row.record_id) is not None:
            return row.position - row.position % BUNDLE, found
        found.append(
            _Standing(
                row.position, row.subject_id, row.record_id, row.record_type, row.version, digest, bool(row.digest)
            )
        )
    return after, found


def _archive(work: Work, first: int, after: int, standing: Sequence[_Standing]) -> None:
    """Step 1. From its commit on the database lets the range's events go."""
    checkpoint = sequencer.newest(work)
    for one in standing:
        work.audit(
            reconciling.ATTESTED,
            subject=one.subject_id,
            record=one.record_id,
            digest=one.digest,
            detail={"type": one.type, "version": one.version} | ({} if one.is_proven else {"unproven": True}),
        )
    work.execute(
        insert(audit_archives).values(
            first=first,
            after=after,
            archived_at=work.instant,
            archived_by=work.actor.name,
            checkpoint="" if checkpoint is None else checkpoint.note,
        )
    )
    work.audit("audit.archived", detail={"after": after, "attested": len(standing), "first": first})


def _empty(work: Work, first: int, after: int, *, dry_run: bool) -> Pruned:
    """Step 2, one batch of it."""
    gone = select(_P.event_id).where(_P.position >= first, _P.position < after)
    if dry_run:
        count = select(func.count()).select_from(audit_events).where(_E.event_id.in_(gone))
        return Pruned("emptied", first, after, int(work.execute(count).scalar_one()))
    about = select(_E.subject_id, _E.event_id).where(_E.event_id.in_(gone), _E.commitment.is_not(None))
    key = tuple_(audit_details.c.subject_id, audit_details.c.event_id)
    work.execute(delete(audit_details).where(key.in_(about)))
    events = work.execute(delete(audit_events).where(_E.event_id.in_(gone))).rowcount
    this = watch_state.c.name == JOB
    if not work.execute(update(watch_state).where(this).values(position=after)).rowcount:
        work.execute(insert(watch_state).values(name=JOB, position=after, state={}))
    work.audit("audit.pruned", detail={"after": after, "events": events, "first": first})
    return Pruned("emptied", first, after, events)
