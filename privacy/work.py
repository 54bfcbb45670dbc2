"""The unit of work: one actor, one instant, the changes it makes and the events it owes.

A work gathers its new rows and its audit events; whoever runs it (`privacy.steward`) writes them and
commits. Three things follow. A refused call needs no roll-back of its own: what it gathered is dropped.
Many works can share one transaction. And nothing that a work returns may leave the process before that
commit has returned.

Unsealing makes the work owe an event about the subject, and so does every new row; a work that ends
with a debt is a bug of ours and does not commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy import CursorResult, Executable
from sqlalchemy.sql.dml import UpdateBase

from privacy import ids
from privacy.database import AsyncLane, Insertion, Key, Lane, Lookup, Row, Transaction
from privacy.errors import AuditUnavailable, Forbidden, Refused, Unaudited, Unavailable
from privacy.tables import audit_events, audit_pending, moment

if TYPE_CHECKING:
    from privacy.declaration import Declared
    from privacy.steward import Steward

_EVENTS = Insertion(audit_events, marked=audit_pending)
_LONGEST_DETAIL: Final = 40_000
_encode = msgspec.json.Encoder(order="deterministic").encode


@lru_cache(maxsize=4096)
def encoded_names(names: tuple[str, ...]) -> str:
    """Declared names as a JSON list."""
    return _encode(names).decode()


class Role(StrEnum):
    """What a principal is. Only a service is granted purposes and record types."""

    SERVICE = "service"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a principal as it stood when its key was checked. `digest` names the key it came with.

    `key_id` is the first 8 bytes of the digest in hex, as events name the key.
    """

    name: str
    role: Role
    principal_id: UUID | None = None
    purposes: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    digest: bytes = b""
    expires_at: int | None = None
    key_id: str | None = None

    def may_use(self, purpose: str, record_type: str) -> bool:
        """Whether the grant covers the purpose and the record type; `*` stands for all that are declared."""
        return (purpose in self.purposes or "*" in self.purposes) and (record_type in self.types or "*" in self.types)


# A person at this machine's terminal: whoever can read the root key file is an administrator already.
TERMINAL = Actor("terminal", Role.ADMIN)


K = TypeVar("K", contravariant=True)
V = TypeVar("V", covariant=True)
Found = TypeVar("Found")
Wanted = TypeVar("Wanted")


class Source(Protocol[K, V]):
    """Something that is looked up by key, many keys at once being cheaper than one by one."""

    def many(self, transaction: Transaction, keys: Sequence[K]) -> Sequence[V]:
        """The value of each key, in the order of `keys`."""
        ...

    async def many_async(self, lane: AsyncLane, keys: Sequence[K]) -> Sequence[V]:
        """The same in an event loop."""
        ...


class Rows:
    """The rows of a `Lookup`, as a source."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    def many(self, transaction: Transaction, keys: Sequence[Key]) -> list[list[Row]]:
        return transaction.lookup(self._lookup, keys)

    async def many_async(self, lane: AsyncLane, keys: Sequence[Key]) -> list[list[Row]]:
        return await lane.lookup(self._lookup, keys)


class NeedsItsOwn(BaseException):
    """A call that shares a transaction asked for a statement of its own; it is run again by itself.

    Not an `Exception`: no domain code may catch it.
    """


class Work:
    """What one call does. Made by `Steward.begin` and `Steward.perform` only."""

    __slots__ = (
        "_about",
        "_debts",
        "_declared",
        "_fetch",
        "_shared",
        "_transaction",
        "actor",
        "events",
        "instant",
        "origin",
        "request_id",
        "rows",
        "service",
    )

    def __init__(
        self,
        service: Steward,
        actor: Actor,
        transaction: Transaction | None,
        instant: int,
        *,
        request_id: str | None = None,
        origin: str | None = None,
        fetch: Callable[[Any, Any], Any] | None = None,
        shared: bool = False,
    ) -> None:
        self.service = service
        self._declared = service.declared  # one manifest for the whole call, whatever is applied meanwhile
        self.actor = actor
        self.instant = instant  # microseconds since 1970, UTC
        self.request_id = request_id
        self.origin = origin  # a keyed hash of the caller's address
        self.rows: dict[Insertion, list[Row]] = {}
        self.events: list[Row] = []
        self._transaction = transaction
        self._fetch = fetch
        self._shared = shared
        self._debts: set[UUID | None] = set()  # None: something was changed
        self._about: tuple[str, UUID | None, UUID | None, str | None] = ("", None, None, None)

    @property
    def now(self) -> datetime:
        """The one instant of this work."""
        return moment(self.instant)

    @property
    def declared(self) -> Declared:
        """The manifest in force when this work began. Raises `Unavailable` before the first one is applied."""
        if self._declared is None:
            raise Unavailable("No manifest is in force: run `privacy manifest apply FILE`", retry_after=60)
        return self._declared

    def fetch(self, source: Source[Wanted, Found], key: Wanted) -> Found:
        """The source's value for the key; waits for other calls' keys where that saves a round trip."""
        if self._fetch is not None:
            found: Found = self._fetch(source, key)
            return found
        return source.many(self._own(), (key,))[0]

    def execute(self, statement: Executable) -> CursorResult[Any]:
        """Run a statement now, in a transaction of one's own. A change must be followed by its event."""
        if self._shared:
            raise NeedsItsOwn
        if isinstance(statement, UpdateBase):
            self._debts.add(None)
        return self._own().execute(statement)

    def look_again(self) -> None:
        """What was read may have been overtaken: run the call again by itself, if it is not already."""
        if self._shared:
            raise NeedsItsOwn

    @property
    def transaction(self) -> Transaction:
        """The transaction of one's own, for lookups of raw rows."""
        if self._shared:
            raise NeedsItsOwn
        return self._own()

    def overtake(self) -> None:
        """This work changes what works that hold the subject have relied on. Not for a shared transaction."""
        if self._shared:
            raise NeedsItsOwn
        self._own().overtake()

    def _own(self) -> Transaction:
        if self._transaction is None:
            raise NeedsItsOwn
        return self._transaction

    def add(self, insertion: Insertion, row: Row) -> None:
        """Keep a new row until the work is flushed."""
        self._debts.add(None)
        self.rows.setdefault(insertion, []).append(row)

    def owe(self, opened: UUID) -> None:
        """A box of this record (or subject) has been opened: an event must name it before the work may end."""
        self._debts.add(opened)

    def paid(self) -> None:
        """A row was added that belongs to a change which has its event already."""
        self._debts.discard(None)

    def concerns(
        self,
        action: str,
        *,
        subject: UUID | None = None,
        record: UUID | None = None,
        purpose: str | None = None,
    ) -> None:
        """What the call is about, for the event of its refusal."""
        self._about = (action, subject, record, purpose)

    def require(self, *roles: Role) -> None:
        """Raises `Forbidden` when the actor has none of the roles."""
        if self.actor.role not in roles:
            raise Forbidden(f"This needs the role {' or '.join(roles)}; the principal is {self.actor.role}")

    def audit(
        self,
        action: str,
        *,
        outcome: str = "done",
        subject: UUID | None = None,
        record: UUID | None = None,
        purpose: str | None = None,
        basis: str | None = None,
        fields: Sequence[str] | None = None,
        detail: Mapping[str, object] | str | None = None,
        digest: str | None = None,
        sealed: tuple[UUID, str] | None = None,
    ) -> None:
        """Name what happened, with ids and declared names only; pays what is owed for what it names.

        `detail` as a text is JSON already, its members sorted. `digest` is the SHA-256 in hex of the sealed record
        that a change left. `sealed`: the id and the commitment that `privacy.audit_details.seal` gave.
        """
        actor = self.actor
        if outcome == "disclosed" and self.service.distrust is not None:
            raise AuditUnavailable(self.service.distrust)
        if self._debts:
            self._debts -= {None, subject, record}
        said = detail if isinstance(detail, str) or detail is None else _encode(detail).decode()
        if said is not None and len(said) > _LONGEST_DETAIL:  # an entry of the tree has at most 65,535 bytes
            said = _encode({"digest": sha256(said.encode()).hexdigest(), "length": len(said)}).decode()
        self.events.append(
            (
                ids.new() if sealed is None else sealed[0],
                self.instant,
                None,  # writer and sequence: given at the flush, so that they count without gaps
                None,
                actor.name,
                actor.role.value,
                action,
                outcome,
                subject,
                record,
                purpose,
                basis,
                None if fields is None else encoded_names(tuple(fields)),
                said,
                self.request_id,
                actor.key_id,
                self.origin,
                digest,
                None if sealed is None else sealed[1],
            )
        )

    def refused(self, refusal: Refused) -> None:
        """Drop all that was gathered and keep the event of the refusal instead."""
        action, subject, record, purpose = self._about
        if purpose is not None and (self._declared is None or purpose not in self._declared.manifest.purposes):
            purpose = None  # not a declared name: whatever the caller wrote there is not for the log
        self.drop()
        self.audit(
            action or "request",
            outcome="refused",
            subject=subject,
            record=record,
            purpose=purpose,
            detail={"code": refusal.code, "law": refusal.law},
        )

    def drop(self) -> None:
        """Forget every row and event: the call failed."""
        self.rows.clear()
        self.events.clear()
        self._debts.clear()

    def settle(self) -> None:
        """Raises `Unaudited` when something was unsealed or changed and no event names it."""
        if self._debts:
            raise Unaudited("A call unsealed or changed something and named no event")


@dataclass(frozen=True, slots=True)
class Gathered:
    """What works have to write: new rows, a table at a time, and their events."""

    rows: Mapping[Insertion, Sequence[Row]]
    events: Sequence[Row]

    def batches(self, writer: UUID, sequence: int) -> tuple[list[tuple[Insertion, Sequence[Row]]], int]:
        """Rows by table, the events last and numbered after `sequence`; and the last number used."""
        last = sequence + len(self.events)
        numbers = range(sequence + 1, last + 1)
        numbered = [(*event[:2], writer, n, *event[4:]) for event, n in zip(self.events, numbers, strict=True)]
        return [*self.rows.items(), *([(_EVENTS, numbered)] if numbered else [])], last


def gather(works: Iterable[Work]) -> Gathered:
    """What the works have to write. Raises `Unaudited`."""
    rows: dict[Insertion, list[Row]] = {}
    events: list[Row] = []
    for work in works:
        work.settle()
        for insertion, new in work.rows.items():
            rows.setdefault(insertion, []).extend(new)
        events += work.events
    return Gathered(rows, events)


def flush(transaction: Transaction, gathered: Gathered, lane: Lane) -> int:
    """Write it all; the sequence number that the lane is at once this is committed.

    Nothing is committed here. Raises `AuditUnavailable`, `Clash`, `Unavailable`.
    """
    batches, sequence = gathered.batches(lane.writer, lane.sequence)
    for insertion, rows in batches:
        transaction.insert(insertion, rows)
    return sequence
