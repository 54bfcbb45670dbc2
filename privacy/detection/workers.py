"""Texts from many callers, analysed by a few persistent workers, many texts at a time.

    submit -> answers kept (no text)  ->  one queue  ->  a thread for each worker  ->  its process

A worker takes up to 64 short texts at once, waiting two thousandths of a second for others that are on their way, or
one long text by itself. Long texts never take the last worker: a short one does not wait behind a book. Texts that are
the same are analysed once. Workers start at the first text, so that a service is there before its models are.

A worker that dies is started again. The texts it had in hand are tried again one by one; one that has ended a second
worker is given up with `Unavailable`. Texts stand in memory and in pipes only: in no log, argument or environment.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from privacy.detection.analyser import LANGUAGES, RULES, Language, Mode, blind_to, known
from privacy.detection.answers_cache import Answer, AnswersCache
from privacy.detection.engines import Died, Engine, Here, Process
from privacy.detection.findings import Finding
from privacy.errors import Unavailable

log = logging.getLogger(__name__)

BATCH: Final = 64  # texts
_FEW: Final = 8  # of so few texts no worker leaves a share to the others
_LONG: Final = 10_000  # characters; a longer text is a batch of its own
_GATHERING_SECONDS: Final = 0.002
_MOST_WAITING: Final = 40_000_000  # characters in the queue: some minutes of work
_CLOSING_SECONDS: Final = 5.0

Found = list[list[Finding]]


class Job:
    """One call's texts; answered when all of them are."""

    def __init__(self, count: int) -> None:
        self.answer: Future[Found] = Future()
        self.answer.set_running_or_notify_cancel()  # nobody takes back what others may wait for too
        self._found: list[Answer | None] = [None] * count
        self._left = count

    def settle(self, n: int, found: Answer) -> bool:
        """Whether this was the last. Under the workers' lock."""
        self._found[n] = found
        self._left -= 1
        return self._left == 0

    def finish(self, error: BaseException | None = None) -> None:
        """Wake whoever waits. Outside the lock: it may run code of theirs."""
        with suppress(InvalidStateError):  # two of its texts were given up at once
            if error is not None:
                self.answer.set_exception(error)
            else:
                self.answer.set_result([list(found or ()) for found in self._found])


@dataclass(slots=True, eq=False)
class _Unit:
    """A text that is waiting or under way, and for whom; several calls may wait for the same."""

    key: bytes
    text: str = field(repr=False)
    languages: tuple[Language, ...]
    came: float
    jobs: list[tuple[Job, int]] = field(default_factory=list)
    was_tried: bool = False  # and a worker died: by itself from now on


class Workers:
    """Thread-safe. `count` processes; with none, one thread of this process does it all.

    `mode` and `blind_to` as in `analyser.Analyser`.
    """

    def __init__(self, count: int = 2, mode: Mode = "full") -> None:
        self.mode = mode
        self.blind_to = blind_to(mode)
        self._engines: list[Engine] = [Process(mode) for _ in range(count)] or [Here(mode)]
        self._answers = AnswersCache(rules=f"{RULES} {mode}")
        self._turn = threading.Condition()
        self._short: deque[_Unit] = deque()
        self._long: deque[_Unit] = deque()
        self._units: dict[bytes, _Unit] = {}  # waiting or under way
        self._waiting = 0  # characters
        self._busy_with_long = 0
        self._threads: list[threading.Thread] = []
        self._is_closed = False

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that are ready now."""
        return tuple(engine.pid for engine in self._engines if engine.pid is not None)

    def analyse(self, texts: Sequence[str], languages: Sequence[str] = LANGUAGES) -> Found:
        """As `Analyser.analyse`. Blocks; raises `Invalid`, and `Unavailable` when no worker can answer."""
        return self.submit(texts, languages).result()

    def submit(self, texts: Sequence[str], languages: Sequence[str] = LANGUAGES) -> Future[Found]:
        """The same without waiting for it. Raises `Invalid`, and `Unavailable` when too much waits already."""
        wanted = known(languages)
        keys = [self._answers.key(text, wanted) for text in texts]
        job = Job(len(texts))
        now = time.monotonic()
        with self._turn:
            self._admit(sum(map(len, texts)))
            left = len(texts)
            for n, (key, text) in enumerate(zip(keys, texts, strict=True)):
                kept = self._answers.get(key)
                if kept is not None:
                    job.settle(n, kept)
                    left -= 1
                else:
                    self._unit(key, text, wanted, now).jobs.append((job, n))
            if left:
                self._start()
                self._turn.notify_all()
        if not left:
            job.finish()
        return job.answer

    def close(self) -> None:
        """End the processes; whoever still waits gets `Unavailable`. A second time does nothing."""
        with self._turn:
            self._is_closed = True
            self._turn.notify_all()
            threads, units = list(self._threads), list(self._units.values())
            for engine in self._engines if units else ():
                engine.stop()
        for thread in threads:
            thread.join(_CLOSING_SECONDS)
        self._fail(units, Unavailable("Detection has been closed"))

    def _admit(self, characters: int) -> None:
        if self._is_closed:
            raise Unavailable("Detection has been closed")
        if self._waiting and self._waiting + characters > _MOST_WAITING:
            raise Unavailable("Too many texts wait to be analysed", zh="等待检测的文本过多", retry_after=10)

    def _unit(self, key: bytes, text: str, languages: tuple[Language, ...], now: float) -> _Unit:
        unit = self._units.get(key)
        if unit is None:
            unit = self._units[key] = _Unit(key, text, languages, now)
            (self._long if len(text) > _LONG else self._short).append(unit)
            self._waiting += len(text)
        return unit

    def _start(self) -> None:
        if not self._threads:
            for engine in self._engines:
                thread = threading.Thread(target=self._serve, args=(engine,), name="detection", daemon=True)
                self._threads.append(thread)
                thread.start()

    # --- in each worker's thread

    def _serve(self, engine: Engine) -> None:
        with suppress(Unavailable):  # all load their models at once; whoever asks is told that one cannot
            engine.start()
        while batch := self._take():
            try:
                found = engine.analyse([unit.text for unit in batch], batch[0].languages)
            except Died:
                if not self._is_closed:
                    log.warning("a worker of detection ended and is started again")
                self._again(batch)
            except Exception as error:  # noqa: BLE001 - the edge of the thread: the callers get it
                self._fail(batch, error)
            else:
                self._answer(batch, found)
            finally:
                if len(batch[0].text) > _LONG:
                    with self._turn:
                        self._busy_with_long -= 1
                        self._turn.notify_all()
        engine.close()

    def _take(self) -> list[_Unit]:
        """The next batch, waiting for one; none when closed."""
        with self._turn:
            while not self._is_closed:
                queue = self._next_queue()
                if queue is None:
                    self._turn.wait()
                elif queue is self._short and (seconds := self._to_gather()) > 0:
                    self._turn.wait(seconds)
                else:
                    return self._taken(queue)
        return []

    def _next_queue(self) -> deque[_Unit] | None:
        """The one whose first text came first, of those that this worker may take from."""
        queues = [self._short] if self._short else []
        if self._long and self._busy_with_long < max(1, len(self._engines) - 1):
            queues.append(self._long)
        return min(queues, key=lambda queue: queue[0].came, default=None)

    def _to_gather(self) -> float:
        """Seconds to wait for more short texts: nothing when there are enough, or the first has waited."""
        first = self._short[0]
        if len(self._short) >= BATCH or first.was_tried:
            return 0.0
        return first.came + _GATHERING_SECONDS - time.monotonic()

    def _taken(self, queue: deque[_Unit]) -> list[_Unit]:
        """A worker's share of what waits, in one set of languages; a text that ended a worker comes alone."""
        batch = [queue.popleft()]
        if queue is self._long:
            self._busy_with_long += 1
        elif not batch[0].was_tried:
            most = min(BATCH, max(_FEW, -(-(len(queue) + 1) // len(self._engines))))
            while len(batch) < most and queue and queue[0].languages == batch[0].languages and not queue[0].was_tried:
                batch.append(queue.popleft())
        self._waiting -= sum(len(unit.text) for unit in batch)
        return batch

    def _answer(self, batch: Sequence[_Unit], found: Found) -> None:
        done: list[Job] = []
        with self._turn:
            for unit, findings in zip(batch, found, strict=True):
                answer = tuple(findings)
                self._answers.put(unit.key, answer)
                self._units.pop(unit.key, None)
                done += [job for job, n in unit.jobs if job.settle(n, answer)]
        for job in done:
            job.finish()

    def _again(self, batch: Sequence[_Unit]) -> None:
        """Try each once more by itself; give up what has ended two workers."""
        lost = [unit for unit in batch if unit.was_tried or self._is_closed]
        with self._turn:
            for unit in reversed(batch):
                if unit not in lost:
                    unit.was_tried = True
                    (self._long if len(unit.text) > _LONG else self._short).appendleft(unit)
                    self._waiting += len(unit.text)
            self._turn.notify_all()
        self._fail(lost, Unavailable("The text could not be analysed", zh="该文本无法检测", retry_after=1))

    def _fail(self, units: Sequence[_Unit], error: BaseException) -> None:
        with self._turn:
            for unit in units:
                self._units.pop(unit.key, None)
            jobs = [job for unit in units for job, _ in unit.jobs]
        for job in jobs:
            job.finish(error)
