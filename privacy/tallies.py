"""What one round of the watch counts: by rule, principal and window, and by principal and month for the review.

A thing counts once a window, whichever round or replica met it: its hash, 63 bits of BLAKE2b over an id, is kept
until the window has ended. A subject counts once a month in the same way.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from statistics import median
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import func, select, update

from privacy.alerts import Found
from privacy.database import AsyncLane, Insertion, Key, Lookup, Row, Transaction
from privacy.tables import access_counts, micros, moment, watch_counts, watch_seen
from privacy.watch_rules import (
    AcrossPurposes,
    BulkReads,
    FoundAtTheDoor,
    Honeytoken,
    OffHours,
    Only,
    Refusals,
    Rules,
    Windowed,
    month_bounds,
)
from privacy.work import Rows, Work

OPENED: Final = ("disclosed", "compared")
FOUND: Final = "record.found"  # what `privacy.at_the_door` reports
REVIEW: Final = "[review]"  # under which a month's subjects are seen; no rule has such a name
_QUARTER: Final = 900_000_000  # microseconds: every zone's offset is a multiple of it
_WHOLE: Final = 0  # the part of a rule that counts a principal's window as one

_SEEN = Insertion(watch_seen)
_COUNTS = Insertion(watch_counts)
_ACCESS = Insertion(access_counts)
_names = lru_cache(maxsize=4096)(msgspec.json.Decoder(list[str]).decode)


class _Each:
    """The rows of many keys at once, as one fetch: a statement on PostgreSQL, where one a key would be thousands."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    def many(self, transaction: Transaction, keys: Sequence[tuple[Key, ...]]) -> list[list[list[Row]]]:
        return [transaction.lookup(self._lookup, each) for each in keys]

    async def many_async(self, lane: AsyncLane, keys: Sequence[tuple[Key, ...]]) -> list[list[list[Row]]]:
        return [await lane.lookup(self._lookup, each) for each in keys]


_KNOWN = _Each(
    Lookup(
        lambda ends_at, rule, actor, part, key: select(watch_seen.c.key).where(
            watch_seen.c.ends_at == ends_at,
            watch_seen.c.rule == rule,
            watch_seen.c.actor == actor,
            watch_seen.c.part == part,
            watch_seen.c.key == key,
        ),
        "bigint",
        "text",
        "text",
        "bigint",
        "bigint",
    )
)
_IN_PART = _Each(
    Lookup(
        lambda ends_at, rule, actor, part: select(func.count()).where(
            watch_seen.c.ends_at == ends_at,
            watch_seen.c.rule == rule,
            watch_seen.c.actor == actor,
            watch_seen.c.part == part,
        ),
        "bigint",
        "text",
        "text",
        "bigint",
    )
)
_COUNTED = Rows(
    Lookup(
        lambda rule, actor, starts_at: select(watch_counts.c.count).where(
            watch_counts.c.rule == rule, watch_counts.c.actor == actor, watch_counts.c.starts_at == starts_at
        ),
        "text",
        "text",
        "bigint",
    )
)
_HISTORY = Rows(
    Lookup(
        lambda rule, actor, since, until: select(watch_counts.c.count).where(
            watch_counts.c.rule == rule,
            watch_counts.c.actor == actor,
            watch_counts.c.starts_at >= since,
            watch_counts.c.starts_at < until,
        ),
        "text",
        "text",
        "bigint",
        "bigint",
    )
)
_DONE = _Each(
    Lookup(
        lambda month, actor, facet, name: select(access_counts.c.count).where(
            access_counts.c.month == month,
            access_counts.c.actor == actor,
            access_counts.c.facet == facet,
            access_counts.c.name == name,
        ),
        "text",
        "text",
        "text",
        "text",
    )
)


@dataclass(frozen=True, slots=True)
class Seen:
    """An event as the watch needs it; `fields` and `detail` are JSON, `at` is in microseconds."""

    at: int
    actor: str
    role: str
    action: str
    outcome: str
    subject: UUID | None
    purpose: str | None
    fields: str | None
    detail: str | None
    key_id: str | None


@dataclass(frozen=True, slots=True)
class _Group:
    """A rule's window of a principal, or (`part`) of a principal and a subject."""

    ends_at: int
    rule: str
    actor: str
    part: int


class Tally:
    """What a round has met, in memory: bounded by the round."""

    def __init__(self, rules: Rules, horizon: int, honeytokens: frozenset[UUID]) -> None:
        self.rules = [rule for rule in rules.rules if rule.enabled and isinstance(rule, Windowed)]
        self.by_name = {rule.name: rule for rule in self.rules}
        self.keys: dict[_Group, dict[int, UUID | None]] = defaultdict(dict)
        self.done: Counter[tuple[str, str, str, str]] = Counter()  # month, actor, facet, name
        self._hours = rules.review.hours
        self.zone = rules.review.hours.place
        self._horizon = horizon
        self._honeytokens = honeytokens
        self._number = 0

    def take(self, event: Seen) -> None:
        """Count an event in the window that it is in, or in the oldest that is still open."""
        at = max(event.at, self._horizon)
        self._number += 1
        for rule in self.rules:
            if event.actor in rule.exempt or not _concerns(rule.only, event):
                continue
            counted = self._counted(rule, event, at)
            if counted is not None:
                part, key = counted
                ends_at = rule.starts(at) + rule.micros
                self.keys[_Group(ends_at, rule.name, event.actor, part)][key] = event.subject
        self._review(event, at)

    def _counted(self, rule: Windowed, event: Seen, at: int) -> tuple[int, int] | None:
        """The part of the window and the thing that counts once in it; None when the rule has no eye for the event."""
        match rule:
            case BulkReads() if event.outcome == "disclosed" and event.subject is not None:
                return _WHOLE, _hash(event.subject.bytes)
            case Honeytoken() if event.outcome in OPENED and event.subject in self._honeytokens:
                return _WHOLE, _hash(event.subject.bytes if event.subject else b"")
            case AcrossPurposes() if event.outcome == "disclosed" and event.subject is not None and event.purpose:
                return _hash(event.subject.bytes), _hash(event.purpose.encode())
            case Refusals() if event.outcome == "refused":
                return _WHOLE, -self._number  # every one counts: no key of its own, see `settle`
            case FoundAtTheDoor() if event.action == FOUND:
                return _WHOLE, -self._number
            case OffHours() if rule.hours.are_over(at):
                return _WHOLE, -self._number
            case _:
                return None

    def _review(self, event: Seen, at: int) -> None:
        month, ends_at = _month(at // _QUARTER, self.zone)
        done, actor = self.done, event.actor

        def count(facet: str, name: str = "") -> None:
            done[month, actor, facet, name] += 1

        if self._hours.are_over(at):
            count("off-hours")
        detail: dict[str, Any] = {} if event.detail is None else msgspec.json.decode(event.detail)
        if event.outcome == "refused":
            count("refused", str(detail.get("code", "")))
            return
        for purpose in {event.purpose, *_listed(detail.get("purposes"))} - {None}:
            count("used-purpose", str(purpose))
        if isinstance(detail.get("type"), str):
            count("used-type", detail["type"])
        if event.outcome != "disclosed":
            return
        count("reads")
        count("purpose", event.purpose or "")
        count("type", str(detail.get("type", "")))
        for field in _names(event.fields) if event.fields else ():
            count("field", field)
        if event.subject is not None:
            self.keys[_Group(ends_at, REVIEW, actor, _WHOLE)][_hash(event.subject.bytes)] = None


def settle(work: Work, tally: Tally) -> list[Found]:
    """Write what was counted; what the rules say of it."""
    new = _new(work, tally)
    found: list[Found] = []
    parts: list[_Group] = []
    for group, keys in new.items():
        if group.rule == REVIEW:
            month = _month((group.ends_at - 1) // _QUARTER, tally.zone)[0]
            tally.done[month, group.actor, "subjects", ""] += len(keys)
        elif group.part == _WHOLE:
            found.extend(_judged(work, tally.by_name[group.rule], group, keys))
        else:
            parts.append(group)
    found.extend(_across(work, tally, parts, new))
    for group, keys in new.items():
        for key in keys:
            if key >= 0:
                work.add(_SEEN, (group.ends_at, group.rule, group.actor, group.part, key))
    _write_done(work, tally)
    return found


def _new(work: Work, tally: Tally) -> dict[_Group, dict[int, UUID | None]]:
    """Of what the round has met, what earlier rounds have not. An event that counts by itself is always new."""
    asked = [(group, key) for group, keys in tally.keys.items() for key in keys if key >= 0]
    known = work.fetch(_KNOWN, tuple((g.ends_at, g.rule, g.actor, g.part, key) for g, key in asked)) if asked else []
    seen = {pair for pair, rows in zip(asked, known, strict=True) if rows}
    new = {
        group: {key: subject for key, subject in keys.items() if (group, key) not in seen}
        for group, keys in tally.keys.items()
    }
    return {group: keys for group, keys in new.items() if keys}


def _judged(work: Work, rule: Windowed, group: _Group, keys: dict[int, UUID | None]) -> Iterator[Found]:
    """Add to the window's count, and say whether that is too much."""
    starts_at = group.ends_at - rule.micros
    rows = work.fetch(_COUNTED, (rule.name, group.actor, starts_at))
    count = len(keys) + (int(rows[0][0]) if rows else 0)
    if rows:
        work.execute(
            update(watch_counts)
            .where(
                watch_counts.c.rule == rule.name,
                watch_counts.c.actor == group.actor,
                watch_counts.c.starts_at == starts_at,
            )
            .values(count=count)
        )
    else:
        work.add(_COUNTS, (rule.name, group.actor, starts_at, count))
    match rule:
        case BulkReads():
            threshold = _usual(work, rule, group.actor, starts_at)
            if count > threshold or count >= rule.ceiling:
                yield Found(rule, group.actor, starts_at, count, min(threshold, rule.ceiling))
        case OffHours() | Refusals() | FoundAtTheDoor():
            if count >= rule.at_least:
                yield Found(rule, group.actor, starts_at, count, rule.at_least)
        case Honeytoken():
            subject = next(iter(keys.values()))
            yield Found(rule, group.actor, starts_at, count, 1, subject)
        case _:
            pass


def _usual(work: Work, rule: BulkReads, actor: str, starts_at: int) -> int:
    """What the principal may reach in the window: the floor, or a multiple of the median of its own busy windows."""
    before = work.fetch(_HISTORY, (rule.name, actor, starts_at - rule.history_micros, starts_at))
    usual = median(int(row[0]) for row in before) if before else 0
    return max(rule.floor, int(rule.factor * usual))


def _across(
    work: Work, tally: Tally, parts: Sequence[_Group], new: dict[_Group, dict[int, UUID | None]]
) -> Iterator[Found]:
    keys = tuple((group.ends_at, group.rule, group.actor, group.part) for group in parts)
    known = work.fetch(_IN_PART, keys) if keys else []
    for group, rows in zip(parts, known, strict=True):
        rule = tally.by_name[group.rule]
        count = int(rows[0][0]) + len(new[group])
        if isinstance(rule, AcrossPurposes) and count >= rule.at_least:
            subject = next(iter(new[group].values()))
            yield Found(rule, group.actor, group.ends_at - rule.micros, count, rule.at_least, subject)


def _write_done(work: Work, tally: Tally) -> None:
    keys = tuple(tally.done)
    known = work.fetch(_DONE, keys) if keys else []
    for key, rows in zip(keys, known, strict=True):
        if rows:
            this = [column == part for column, part in zip(access_counts.primary_key, key, strict=True)]
            work.execute(update(access_counts).where(*this).values(count=int(rows[0][0]) + tally.done[key]))
        else:
            work.add(_ACCESS, (*key, tally.done[key]))


def _concerns(only: Only, event: Seen) -> bool:
    return (
        (not only.roles or event.role in only.roles)
        and (not only.actors or event.actor in only.actors)
        and (not only.actions or event.action in only.actions)
        and (not only.purposes or event.purpose in only.purposes)
    )


def _listed(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []


def _hash(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big") >> 1


@lru_cache(maxsize=1024)
def _month(quarter: int, zone: ZoneInfo) -> tuple[str, int]:
    """The month that a quarter of an hour since 1970 is in, and the instant at which it ends."""
    local = moment(quarter * _QUARTER).astimezone(zone)
    name = f"{local.year:04d}-{local.month:02d}"
    return name, micros(month_bounds(name, zone)[1])
