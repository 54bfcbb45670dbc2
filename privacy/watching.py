"""The watch over the audit log: a job that reads the events in their order, each once, and applies the rules.

A round is one transaction: it takes the next events after its cursor, counts, raises alerts, and moves the cursor. A
crash loses the round and nothing else; whoever comes next counts the same events again. Memory holds one round. What
must be known of earlier rounds is in tables: the ids seen in the windows still open (hashed), and how many there were
in those that are closed.

1. lock the cursor
2. take the next events; one that is late for its window, by the horizon, counts in the oldest window still open
3. of each rule, window and principal, count what was not seen before
4. judge: rules on windows by those counts, rules on the log itself by its tables
5. forget windows that ended before the new horizon; move cursor and horizon
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import delete, insert, literal_column, select, update

from privacy import alerts, honeytokens, tallies, watch_rules
from privacy.alerts import CURSOR, NOT_IN_WINDOWS, Found
from privacy.database import Lookup, Row
from privacy.tables import (
    access_counts,
    audit_events,
    audit_pending,
    audit_positions,
    audit_writers,
    micros,
    uuid_of,
    watch_counts,
    watch_seen,
    watch_state,
)
from privacy.tallies import Seen, Tally
from privacy.watch_rules import AnyRule, BulkReads, Lag, Missing, Rules, Silence
from privacy.work import TERMINAL, Role, Rows, Work

ROUND: Final = 1000  # events in one transaction: on SQLite nobody else writes meanwhile
HEARTBEAT: Final = "audit.heartbeat"
_SECOND: Final = 1_000_000
_LATE: Final = 3600 * _SECOND  # an event that comes later than this counts in a later window
_HOUR: Final = 3600 * _SECOND
_MONTHS_KEPT: Final = 37
_MOST_WRITERS: Final = 100

_STREAM = Rows(
    Lookup(
        lambda position: (
            select(
                audit_positions.c.position,
                audit_events.c.at,
                audit_events.c.actor,
                audit_events.c.role,
                audit_events.c.action,
                audit_events.c.outcome,
                audit_events.c.subject_id,
                audit_events.c.purpose,
                audit_events.c.fields,
                audit_events.c.detail,
                audit_events.c.key_id,
            )
            .select_from(audit_positions.outerjoin(audit_events, audit_events.c.event_id == audit_positions.c.event_id))
            .where(audit_positions.c.position >= position)
            .order_by(audit_positions.c.position)
            .limit(literal_column(str(ROUND)))
            .offset(literal_column("0"))
        ),
        "bigint",
    )
)


@dataclass(frozen=True, slots=True)
class _State:
    """How far the watch has come: the next position, and instants in microseconds."""

    position: int
    horizon: int
    heartbeat_at: int
    rules: str


def watch(work: Work) -> int:
    """One round; how many events it has taken, `ROUND` when there may be more."""
    work.concerns("audit.watched")
    work.require(Role.ADMIN)
    rules = watch_rules.load(work.service.settings.watch_rules)
    state = _locked_state(work, rules)
    rows = work.fetch(_STREAM, (state.position,))
    events = [_seen(row) for row in rows if row[1] is not None]  # of an archived event only the position is left
    tally = Tally(rules, state.horizon, _marked(work, rules, events))
    for event in events:
        if not _is_own(event):
            tally.take(event)
    beats = [event.at for event in events if event.action == HEARTBEAT and event.key_id is None]
    heartbeat_at = max((state.heartbeat_at, *beats))
    for found in tallies.settle(work, tally):
        alerts.raise_alert(work, found)
    for found in _of_the_log(work, rules, heartbeat_at, caught_up=len(rows) < ROUND):
        alerts.raise_alert(work, found)
    newest = max((event.at for event in events), default=0)
    horizon = max(state.horizon, min(newest, work.instant) - _LATE)
    _forget(work, rules, horizon)
    position = int(rows[-1][0]) + 1 if rows else state.position
    _keep(work, _State(position, horizon, heartbeat_at, rules.digest))
    return len(rows)


def _is_own(event: Seen) -> bool:
    """What the service did by itself: no key, and not a person at the terminal. A name alone proves nothing."""
    return event.key_id is None and event.actor != TERMINAL.name


def _seen(row: Row) -> Seen:
    return Seen(
        at=row[1],
        actor=row[2],
        role=row[3],
        action=row[4],
        outcome=row[5],
        subject=None if row[6] is None else uuid_of(row[6]),
        purpose=row[7],
        fields=row[8],
        detail=row[9],
        key_id=row[10],
    )


def _marked(work: Work, rules: Rules, events: Sequence[Seen]) -> frozenset[UUID]:
    """The honeytokens among those whose data was disclosed or compared."""
    if not any(rule.enabled and isinstance(rule, watch_rules.Honeytoken) for rule in rules.rules):
        return frozenset()
    read = (event.subject for event in events if event.subject is not None and event.outcome in tallies.OPENED)
    return honeytokens.among(work, read)


def _locked_state(work: Work, rules: Rules) -> _State:
    """The cursor, locked until the end. Says in the log when the rules are others than those of the last round."""
    statement = select(watch_state.c.position, watch_state.c.state).where(watch_state.c.name == CURSOR)
    row = work.execute(statement.with_for_update()).first()
    if row is None:
        work.execute(insert(watch_state).values(name=CURSOR, position=0, state={}))
        found = _State(0, 0, work.instant, "")
    else:
        kept: dict[str, Any] = row.state
        found = _State(row.position, kept["horizon"], kept["heartbeat_at"], kept["rules"])
    if found.rules != rules.digest:
        enabled = sorted(rule.name for rule in rules.rules if rule.enabled)
        work.audit("audit.rules-changed", detail={"digest": rules.digest, "enabled": enabled})
    return found


def _keep(work: Work, state: _State) -> None:
    kept = {"heartbeat_at": state.heartbeat_at, "horizon": state.horizon, "rules": state.rules}
    work.execute(update(watch_state).where(watch_state.c.name == CURSOR).values(position=state.position, state=kept))
    work.paid()  # what was found has its events; that somebody looked and found nothing needs none


def _of_the_log(work: Work, rules: Rules, heartbeat_at: int, *, caught_up: bool) -> Iterator[Found]:
    """What the rules on the log itself find: once an hour while it lasts, missing events once for good."""
    hour = work.instant - work.instant % _HOUR
    for rule in rules.rules:
        if not rule.enabled:
            continue
        match rule:
            case Lag():
                waited = (work.instant - _oldest_pending(work)) // _SECOND
                if waited > rule.seconds:
                    yield Found(rule, "", hour, waited, rule.seconds)
            case Silence():
                silent = (work.instant - heartbeat_at) // _SECOND
                if caught_up and silent > rule.seconds:
                    yield Found(rule, "", hour, silent, rule.seconds)
            case Missing():
                yield from _missing(work, rule)
            case _:
                pass


def _oldest_pending(work: Work) -> int:
    """When the event was written that has waited longest; now, when none waits."""
    found = work.execute(
        select(audit_events.c.at)
        .join(audit_pending, audit_pending.c.event_id == audit_events.c.event_id)
        .order_by(audit_pending.c.event_id)
        .limit(1)
    ).scalar()
    return work.instant if found is None else micros(found)


def _missing(work: Work, rule: Missing) -> Iterator[Found]:
    """Each writer counts from 1 without gaps; a gap closes when a slower transaction commits, or it never does."""
    for row in work.execute(
        select(audit_writers.c.writer, audit_writers.c.count, audit_writers.c.highest)
        .where(
            audit_writers.c.count != audit_writers.c.highest,
            audit_writers.c.changed_at <= work.instant - rule.seconds * _SECOND,
        )
        .limit(_MOST_WRITERS)
    ):
        yield Found(rule, str(row.writer), NOT_IN_WINDOWS, abs(row.highest - row._mapping["count"]), 0)


def _forget(work: Work, rules: Rules, horizon: int) -> None:
    """Windows that have ended, counts older than any rule looks back, and months older than three years."""
    longest = max((_looks_back(rule) for rule in rules.rules), default=0)
    work.execute(delete(watch_seen).where(watch_seen.c.ends_at <= horizon))
    work.execute(delete(watch_counts).where(watch_counts.c.starts_at < horizon - longest))
    month = work.now.year * 12 + work.now.month - 1 - _MONTHS_KEPT
    work.execute(delete(access_counts).where(access_counts.c.month < f"{month // 12:04d}-{month % 12 + 1:02d}"))


def _looks_back(rule: AnyRule) -> int:
    match rule:
        case BulkReads():
            return rule.history_micros + rule.micros
        case watch_rules.Windowed():
            return rule.micros
        case _:
            return 0
