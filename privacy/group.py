"""Many calls, one commit.

A `Group` lives in an event loop. The calls that have come by the end of a turn of the loop run as works
of their own, their rows and events are written in one transaction, and their answers are released after
its commit: reads do not serialise each other, and their events share one fsync. It is one thread, because
two that both compute hand Python's lock to and fro at every statement (measured: a quarter of the rate).

SQLite: the calls run one after the other on a snapshot; what they gathered is written and committed in
another thread, while the loop goes on with the next. A call that held a subject is run again when the
subject's state was changed between its snapshot and its commit.

PostgreSQL: each call runs in a greenlet. When it fetches, it is put aside; when no call can go on, all
keys wanted of one source go out in one statement, and the calls go on with their rows. The domain
functions notice nothing: they are plain synchronous code. Several groups take turns, so that one computes
while the others wait for the database.

A call that is refused drops what it gathered and leaves its refusal's event. When the transaction fails
as a whole, or a call asks for a statement of its own (`Work.execute`), it is run by itself, in a thread,
through `Steward.begin`, so that one call's clash is not another's error.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from greenlet import getcurrent, greenlet

from privacy.database import AsyncLane, Lane, Postgres, Transaction
from privacy.errors import AuditUnavailable, Conflict, KeysUnavailable, PrivacyError, Refused, Unauthenticated
from privacy.work import Actor, Gathered, NeedsItsOwn, Source, Work, flush, gather

if TYPE_CHECKING:
    from privacy.steward import Steward

log = logging.getLogger(__name__)

Call = Callable[[Work], Any]
Fetch = Callable[[Source[Any, Any], Any], Any]
MOST_CALLS: Final = 256  # in one transaction, so that nobody waits for an endless one


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that ended in an exception."""

    error: BaseException


Outcome = Any  # what the call returned, or a Failure


@dataclass(slots=True, eq=False)
class Request:
    """The calls of one caller. `together`: all of them are done, or none."""

    actor: Actor
    calls: Sequence[Call]
    together: bool = False
    request_id: str | None = None
    origin: str | None = None
    answer: asyncio.Future[Sequence[Outcome]] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Group:
    """Runs requests in the order they come; as many as wait share a transaction. For one event loop."""

    def __init__(self, service: Steward) -> None:
        self._service = service
        self._database = service.database
        self._waiting: deque[Request] = deque()
        self._scheduled = False
        self._reader: Lane | None = None
        self._lane: Lane | None = None
        self._committer = ThreadPoolExecutor(1, "commit")
        self._lanes: list[AsyncLane] = []
        self._running: set[asyncio.Task[None]] = set()
        self._by_themselves: set[asyncio.Task[None]] = set()

    def submit(self, request: Request) -> asyncio.Future[Sequence[Outcome]]:
        """Each call's result or `Failure`, after the commit. Must be called in the group's loop."""
        self._waiting.append(request)
        if not self._scheduled and len(self._running) < self._database.groups:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)
        return request.answer

    async def close(self) -> None:
        """Finish the calls in hand, then end the connections."""
        while self._waiting or self._scheduled or self._running or self._by_themselves:  # noqa: ASYNC110 - once
            await asyncio.sleep(0.01)
        self._committer.shutdown()
        for own in (self._reader, self._lane):
            if own is not None:
                own.close()
        self._reader = self._lane = None
        for lane in self._lanes:
            lane.close()
        self._lanes.clear()

    def _turn(self) -> None:
        """Take what has come in this turn of the loop."""
        self._scheduled = False
        requests = self._take()
        if not requests:
            return
        if isinstance(self._database, Postgres):
            task = asyncio.create_task(self._run_coalesced(self._database, requests))
        else:
            task = asyncio.create_task(self._run_here(requests))
        self._running.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._again()

    def _again(self) -> None:
        if self._waiting and not self._scheduled and len(self._running) < self._database.groups:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _take(self) -> list[Request]:
        requests: list[Request] = []
        calls = 0
        while self._waiting and (not requests or calls + len(self._waiting[0].calls) <= MOST_CALLS):
            request = self._waiting.popleft()
            requests.append(request)
            calls += len(request.calls)
        return requests

    async def _run_here(self, requests: Sequence[Request]) -> None:
        """SQLite: decided in the loop's own thread on a snapshot; written in another, which waits for the disk."""
        service = self._service
        try:
            lane = self._reader = Lane(self._database) if self._reader is None or self._reader.broken else self._reader
            with lane.snapshot() as transaction:
                revision = service.refresh(transaction)
                works = [self._works(request, transaction, None) for request in requests]
                flat = [attempt(work, call) for work, call in _pairs(requests, works)]
            outcomes = _regroup(requests, works, flat)
            gathered = gather(work for own in works for work in own)
            held = revision if transaction.holds else None
            await asyncio.get_running_loop().run_in_executor(self._committer, self._write, gathered, held)
        except Exception as error:  # noqa: BLE001 - the edge of the group: each caller gets its own
            self._failed(requests, error, in_doubt=self._lane is not None and self._lane.broken)
        else:
            self._release(requests, outcomes)

    def _write(self, gathered: Gathered, held: int | None) -> None:
        """In the committer's thread. `held`: the revision at which the works held their subjects."""
        lane = self._lane = Lane(self._database) if self._lane is None or self._lane.broken else self._lane
        with lane.transaction() as transaction:
            if held is not None and self._service.refresh(transaction) != held:
                raise Conflict("Overtaken by a change of a subject")
            sequence = flush(transaction, gathered, lane)
        lane.sequence = sequence  # only now: a roll-back must not leave a gap

    async def _run_coalesced(self, database: Postgres, requests: Sequence[Request]) -> None:
        """PostgreSQL: a statement a round for all calls that wait for the same source."""
        service = self._service
        lane: AsyncLane | None = None
        committing = False
        try:
            lane = self._lanes.pop() if self._lanes else await database.open_lane()
            await service.refresh_async(lane)
            rounds = _Rounds()
            works = [self._works(request, None, rounds.fetch) for request in requests]
            rounds.start(_pairs(requests, works))
            while parked := rounds.parked():
                for source, waiting in parked.items():
                    await rounds.resume(source, lane, waiting)
            outcomes = _regroup(requests, works, rounds.outcomes)
            gathered = gather(work for own in works for work in own)
            batches, sequence = gathered.batches(lane.writer, lane.sequence)
            committing = True
            await lane.commit(batches)
            lane.sequence = sequence
        except Exception as error:  # noqa: BLE001 - the edge of the group: each caller gets its own
            if lane is not None:
                await lane.roll_back()
            self._failed(requests, error, in_doubt=committing and lane is not None and lane.broken)
        else:
            self._release(requests, outcomes)
        finally:
            if lane is not None:
                if lane.broken:
                    lane.close()
                else:
                    self._lanes.append(lane)

    def _works(self, request: Request, transaction: Transaction | None, fetch: Fetch | None) -> list[Work]:
        """A work for each call; none when the key has been revoked or has expired since the request came."""
        service = self._service
        try:
            actor = service.live(request.actor)
        except Unauthenticated:
            return []
        instant = service.instant()
        return [
            Work(
                service,
                actor,
                transaction,
                instant,
                request_id=request.request_id,
                origin=request.origin,
                fetch=fetch,
                shared=True,
            )
            for _ in request.calls
        ]

    def _release(self, requests: Sequence[Request], outcomes: Sequence[list[Outcome]]) -> None:
        """Answer what is committed; send to a thread what could not share."""
        for request, found in zip(requests, outcomes, strict=True):
            if any(isinstance(one, Failure) and isinstance(one.error, NeedsItsOwn) for one in found):
                self._alone(request, found)
            elif not request.answer.done():
                request.answer.set_result(found)

    def _failed(self, requests: Sequence[Request], error: Exception, *, in_doubt: bool) -> None:
        """The transaction failed as a whole, and nothing of it happened: each request by itself.

        `in_doubt`: the connection was lost at the commit, which may have happened. Then nothing is run
        again, or a change might be done twice; the callers hear that it is not known.
        """
        if in_doubt and not isinstance(error, AuditUnavailable):
            error = AuditUnavailable("The database was lost at the commit: it is not known whether it happened")
        if not isinstance(error, PrivacyError):
            log.error("a group failed: %s", type(error).__name__, exc_info=error)
        for request in requests:
            if isinstance(error, AuditUnavailable):
                if not request.answer.done():
                    request.answer.set_result([Failure(error)] * len(request.calls))
            else:
                self._alone(request, None)

    def _alone(self, request: Request, found: list[Outcome] | None) -> None:
        """Run in a thread what needs a transaction of its own: all calls, or those that said so."""

        async def run() -> None:
            outcomes = await asyncio.to_thread(self._service.run_alone, request, found)
            if not request.answer.done():
                request.answer.set_result(outcomes)

        task = asyncio.create_task(run())
        self._by_themselves.add(task)
        task.add_done_callback(self._by_themselves.discard)


def attempt(work: Work, call: Call) -> Outcome:
    """What the call returns; its exception as a `Failure`, with its gathered rows dropped."""
    try:
        return call(work)
    except Refused as refusal:
        work.refused(refusal)
        return Failure(refusal)
    except (Exception, NeedsItsOwn) as error:
        work.drop()
        if not isinstance(error, PrivacyError | NeedsItsOwn):
            log.error("a call failed: %s", type(error).__name__, exc_info=error)
        return Failure(error)


def _pairs(requests: Sequence[Request], works: Sequence[Sequence[Work]]) -> list[tuple[Work, Call]]:
    return [
        (work, call)
        for request, own in zip(requests, works, strict=True)
        for work, call in zip(own, request.calls, strict=False)  # no works: the key is no longer good
    ]


def _regroup(
    requests: Sequence[Request], works: Sequence[Sequence[Work]], flat: Sequence[Outcome]
) -> list[list[Outcome]]:
    """The outcomes by request; where one of those that stand together failed, the others did not happen."""
    outcomes: list[list[Outcome]] = []
    start = 0
    for request, own in zip(requests, works, strict=True):
        found = list(flat[start : start + len(own)])
        start += len(own)
        if not own:
            found = [Failure(Unauthenticated("The API key is no longer good"))] * len(request.calls)
        elif request.together and any(isinstance(outcome, Failure) for outcome in found):
            for n, (work, outcome) in enumerate(zip(own, found, strict=True)):
                if not isinstance(outcome, Failure):
                    work.drop()
                    found[n] = Failure(Conflict("Not done: another item of this batch failed"))
        outcomes.append(found)
    return outcomes


class _Rounds:
    """Runs calls in turns: all until they fetch, then the fetches, one statement for each source."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self._parked: dict[Source[Any, Any], list[tuple[greenlet, object]]] = {}

    def fetch(self, source: Source[Any, Any], key: object) -> Any:
        """Called inside a call's greenlet: wait for this round's rows."""
        runner = getcurrent()
        self._parked.setdefault(source, []).append((runner, key))
        parent = runner.parent
        return parent.switch() if parent is not None else None

    def start(self, pairs: Sequence[tuple[Work, Call]]) -> None:
        """Run every call until it fetches or ends."""
        self.outcomes = [None] * len(pairs)

        def one(n: int) -> None:
            self.outcomes[n] = attempt(*pairs[n])

        for n in range(len(pairs)):
            greenlet(one).switch(n)

    def parked(self) -> dict[Source[Any, Any], list[tuple[greenlet, object]]]:
        """What is wanted in this round, by source."""
        parked, self._parked = self._parked, {}
        return parked

    async def resume(
        self, source: Source[Any, Any], lane: AsyncLane, waiting: Sequence[tuple[greenlet, object]]
    ) -> None:
        """Fetch for all that wait for the source, and run each until it fetches again or ends."""
        try:
            values = await source.many_async(lane, [key for _, key in waiting])
        except KeysUnavailable as error:  # the transaction is sound: each call may say what that means to it
            for runner, _ in waiting:
                runner.throw(error)
            return
        for (runner, _), value in zip(waiting, values, strict=True):
            runner.switch(value)
