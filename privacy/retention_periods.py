"""When a storage period ends, and until when a law forbids to end it: pure, and the only place that says so.

    creation        `keep` after the record was stored
    last-activity   `keep` after the last activity recorded, or after storing, whichever is later
    an event        `keep` after the last such event, if it came after storing; else, and at the latest, `at_most`
                    after storing. A record that is stored after an event waits for the next one.

A statutory period counts from storing, and no other end comes before its own (PIPL 19, 47; GDPR 17(3)(b)).
Instants are microseconds since 1970, UTC, unless they are datetimes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from privacy.declaration import Declared
from privacy.manifest import KeepFromKind, Purpose
from privacy.tables import micros, moment


@dataclass(frozen=True, slots=True)
class Kept:
    """A statutory period that has not ended: the law, the purpose that names it, and its end."""

    law: tuple[str, ...]
    purpose: str
    until: datetime


def ends_at(purpose: Purpose, stored_at: int, kept_from: int | None = None) -> int:
    """When the purpose's period for a record ends. `kept_from`: the last life event that the purpose counts from.

    Always later than `stored_at`, never before the statutory period ends. A later `kept_from` never ends it earlier,
    but for the less than a day that months of unequal length make (`Period.after`).
    """
    end = _ends(purpose, stored_at, kept_from)
    if purpose.statutory is not None:
        end = max(end, micros(purpose.statutory.keep.after(moment(stored_at))))
    return end


def _ends(purpose: Purpose, stored_at: int, kept_from: int | None) -> int:
    match purpose.keep_from.kind:
        case KeepFromKind.CREATION:
            return micros(purpose.keep.after(moment(stored_at)))
        case KeepFromKind.LAST_ACTIVITY:
            return micros(purpose.keep.after(moment(max(stored_at, kept_from or stored_at))))
        case KeepFromKind.EVENT:
            latest = micros((purpose.keep_from.at_most or purpose.keep).after(moment(stored_at)))
            if kept_from is None or kept_from < stored_at:
                return latest
            return min(latest, micros(purpose.keep.after(moment(kept_from))))
        case _:
            assert_never(purpose.keep_from.kind)


def least_micros(purpose: Purpose) -> int:
    """No period of the purpose is shorter than this, whatever happens."""
    at_most = purpose.keep_from.at_most
    return purpose.keep.least_micros if at_most is None else min(purpose.keep.least_micros, at_most.least_micros)


def record_end(declared: Declared, purposes: Iterable[str], stored_at: int, kept_from: Mapping[str, int]) -> int | None:
    """The end of the longest of a record's purposes; None when none of them is declared."""
    known = declared.manifest.purposes
    return max(
        (ends_at(known[name], stored_at, kept_from.get(name)) for name in purposes if name in known), default=None
    )


def statutory(
    declared: Declared, purposes: Iterable[str], type: str, stored_at: datetime, instant: datetime
) -> Kept | None:
    """The statutory period among the purposes' that runs longest for a record of the type; None when all have ended."""
    found: Kept | None = None
    for name in purposes:
        purpose = declared.manifest.purposes.get(name)
        if purpose is None or purpose.statutory is None or type not in purpose.uses:
            continue
        until = purpose.statutory.keep.after(stored_at)
        if until > instant and (found is None or until > found.until):
            found = Kept(purpose.statutory.law, name, until)
    return found
