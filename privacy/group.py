"""Many calls, one commit.

A `Group` is a thread with a lane of its own. It takes whatever calls wait, runs each as a `Work` of its
own, writes all their rows and events in one transaction and hands the results out after the commit:
reads do not serialise each other, and their events share one fsync.

Where the database coalesces (PostgreSQL), each call runs in a greenlet. When it fetches, it is put
aside; when no call can go on, all keys wanted of one source go out in one statement, and the calls go on
with their rows. The domain functions notice nothing: they are plain synchronous code.

A call that is refused drops what it gathered and leaves its refusal's event. When the transaction fails
as a whole, each call is run again by itself, so that one call's clash is not another's error. A call
that changes rows directly (`Work.execute`) cannot share and is run by itself at once.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

from greenlet import getcurrent, greenlet

from privacy.database import Lane, Transaction
from privacy.errors import AuditUnavailable, Conflict, PrivacyError, Refused, Unauthenticated, Unavailable
from privacy.work import Actor, NeedsItsOwn, Source, Work, flush

if TYPE_CHECKING:
    from privacy.steward import Steward

log = logging.getLogger(__name__)

Call = Callable[[Work], Any]
MOST_CALLS = 256  # in one transaction, so that nobody waits for an endless one


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that ended in an exception."""

    error: BaseException


Outcome = Any  # what the call returned, or a Failure


class Sink(Protocol):
    """Takes finished requests, in the group's thread."""

    def post(self, finished: Sequence[tuple[Request, Sequence[Outcome]]]) -> None: ...


@dataclass(slots=True, eq=False)
class Request:
    """The calls of one caller. `together`: all of them are done, or none."""

    actor: Actor
    calls: Sequence[Call]
    sink: Sink
    together: bool = False
    request_id: str | None = None


class Group:
    """Runs requests in the order they come; as many as wait share a transaction."""

    def __init__(self, service: Steward, queue: SimpleQueue[Request | None], name: str) -> None:
        self._service = service
        self._queue = queue
        self._lane: Lane | None = None
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for the thread; the queue must have been given its None."""
        self._thread.join()

    def _loop(self) -> None:
        while (request := self._queue.get()) is not None:
            requests, last = self._waiting(request)
            finished: defaultdict[Sink, list[tuple[Request, Sequence[Outcome]]]] = defaultdict(list)
            for done, outcomes in zip(requests, self._run(requests), strict=True):
                finished[done.sink].append((done, outcomes))
            for sink, answers in finished.items():
                sink.post(answers)
            if last:
                break
        self._queue.put(None)  # for the next thread on this queue
        self._drop_lane()

    def _waiting(self, first: Request) -> tuple[list[Request], bool]:
        requests, calls = [first], len(first.calls)
        with contextlib.suppress(Empty):
            while calls < MOST_CALLS:
                request = self._queue.get_nowait()
                if request is None:
                    return requests, True
                requests.append(request)
                calls += len(request.calls)
        return requests, False

    def _run(self, requests: Sequence[Request]) -> list[Sequence[Outcome]]:
        """The outcomes of each request, committed."""
        try:
            return self._commit(requests)
        except AuditUnavailable as error:
            self._drop_lane()
            return [[Failure(error)] * len(request.calls) for request in requests]
        except Exception as error:  # noqa: BLE001 - the edge of the thread: each caller gets its own
            if len(requests) > 1:
                return [self._run([request])[0] for request in requests]
            return [self._split(requests[0], error)]

    def _split(self, request: Request, error: Exception) -> Sequence[Outcome]:
        """A request failed by itself: its calls one by one, where they need not stand together."""
        if len(request.calls) > 1 and not request.together:
            alone = [Request(request.actor, (call,), request.sink, False, request.request_id) for call in request.calls]
            return [self._run([one])[0][0] for one in alone]
        if isinstance(error, Unavailable):
            self._drop_lane()
        elif not isinstance(error, PrivacyError):
            log.error("a call failed: %s", type(error).__name__)
        return [Failure(error)] * len(request.calls)

    def _commit(self, requests: Sequence[Request]) -> list[Sequence[Outcome]]:
        service = self._service
        lane = self._lane
        if lane is None or lane.broken:
            self._drop_lane()
            lane = self._lane = Lane(service.database)
        with lane.transaction() as transaction:
            service.refresh(transaction)
            shared = sum(len(request.calls) for request in requests) > 1
            rounds = _Rounds(transaction) if shared and service.database.coalesces else None
            fetch = rounds.fetch if rounds else None
            works = [self._works(request, transaction, fetch, shared) for request in requests]
            pairs = [
                (work, call)
                for request, own in zip(requests, works, strict=True)
                for work, call in zip(own, request.calls, strict=False)  # no works: the key is no longer good
            ]
            flat = rounds.run(pairs) if rounds else [attempt(work, call) for work, call in pairs]
            outcomes = _regroup(requests, works, flat)
            sequence = flush(transaction, [work for own in works for work in own], lane.writer, lane.sequence)
        lane.sequence = sequence  # only now: a roll-back must not leave a gap
        return [self._by_itself(request, found) for request, found in zip(requests, outcomes, strict=True)]

    def _works(
        self,
        request: Request,
        transaction: Transaction,
        fetch: Callable[[Source[Any, Any], Any], Any] | None,
        shared: bool,
    ) -> list[Work]:
        """A work for each call; none when the key has been revoked or has expired since the request came."""
        service = self._service
        try:
            actor = service.live(request.actor)
        except Unauthenticated:
            return []
        instant = service.instant()
        return [
            Work(service, actor, transaction, instant, request_id=request.request_id, fetch=fetch, shared=shared)
            for _ in request.calls
        ]

    def _by_itself(self, request: Request, outcomes: list[Outcome]) -> Sequence[Outcome]:
        """Run again, each in its own transaction, the calls that could not share one."""
        if not any(isinstance(outcome, Failure) and isinstance(outcome.error, NeedsItsOwn) for outcome in outcomes):
            return outcomes
        if request.together:
            return [Failure(Conflict("These calls cannot stand in one transaction"))] * len(outcomes)
        return [
            self._run([Request(request.actor, (call,), request.sink, False, request.request_id)])[0][0]
            if isinstance(outcome, Failure) and isinstance(outcome.error, NeedsItsOwn)
            else outcome
            for call, outcome in zip(request.calls, outcomes, strict=True)
        ]

    def _drop_lane(self) -> None:
        if self._lane is not None:
            self._lane.close()
            self._lane = None


def attempt(work: Work, call: Call) -> Outcome:
    """What the call returns; its exception as a `Failure`, with its gathered rows dropped."""
    try:
        return call(work)
    except Refused as refusal:
        work.refused(refusal)
        return Failure(refusal)
    except PrivacyError as error:
        work.drop()
        return Failure(error)
    except NeedsItsOwn as signal:
        work.drop()
        return Failure(signal)


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
            outcomes.append([Failure(Unauthenticated("The API key is no longer good"))] * len(request.calls))
            continue
        if request.together and any(isinstance(outcome, Failure) for outcome in found):
            for n, (work, outcome) in enumerate(zip(own, found, strict=True)):
                if not isinstance(outcome, Failure):
                    work.drop()
                    found[n] = Failure(Conflict("Not done: another item of this batch failed"))
        outcomes.append(found)
    return outcomes


class _Rounds:
    """Runs calls in turns: all until they fetch, then the fetches, one statement for each source."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._parent = getcurrent()
        self._parked: dict[Source[Any, Any], list[tuple[greenlet, object]]] = {}

    def fetch(self, source: Source[Any, Any], key: object) -> Any:
        """Called inside a call's greenlet: wait for this round's rows."""
        self._parked.setdefault(source, []).append((getcurrent(), key))
        return self._parent.switch()

    def run(self, pairs: Sequence[tuple[Work, Call]]) -> list[Outcome]:
        outcomes: list[Outcome] = [None] * len(pairs)

        def one(n: int) -> None:
            outcomes[n] = attempt(*pairs[n])

        for n in range(len(pairs)):
            greenlet(one, self._parent).switch(n)
        while self._parked:
            parked, self._parked = self._parked, {}
            for source, waiting in parked.items():
                try:
                    values = source.many(self._transaction, [key for _, key in waiting])
                except PrivacyError as error:
                    for runner, _ in waiting:
                        runner.throw(error)
                else:
                    for (runner, _), value in zip(waiting, values, strict=True):
                        runner.switch(value)
        return outcomes
