"""Runs the jobs of the registry in threads of a replica; the database elects who runs each (`privacy.slots`).

APScheduler is the ticker and nothing else: it says "look what is due" and "show that you live". It stores no job and
decides nothing. Its own triggers count missed times one by one and stand still when the clock is set back; ours goes
by what the clock shows now.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Final

from apscheduler.executors.pool import ThreadPoolExecutor as TickerThreads
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from jobs.registry import JOBS, SCHEDULER, Job
from privacy import job_runs, slots
from privacy.database import Clash
from privacy.errors import NotFound
from privacy.slots import Claim, Progress, Superseded
from privacy.steward import Steward
from privacy.work import Actor

log = logging.getLogger(__name__)

TICK_SECONDS: Final = 5.0
TURN_SECONDS: Final = 30.0  # of a job's rounds; then those have their turn that wait for a thread
THREADS: Final = 4  # jobs at a time; a long one must not hold up the short ones


class Scheduler:
    """Threads that run what is due. `stop` waits for the rounds in hand and gives the jobs back."""

    def __init__(self, service: Steward, jobs: Mapping[str, Job] = JOBS, *, tick_seconds: float = TICK_SECONDS) -> None:
        self._service = service
        self._jobs = jobs
        self._terms = {name: job.terms for name, job in jobs.items()}
        self._tick_seconds = tick_seconds
        self._stopping = threading.Event()
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self._guard = threading.Lock()
        self._taken: set[str] = set()  # waiting for a thread here, or running
        self._running: dict[str, Progress] = {}
        self._is_registered = False
        self._ticker = _Ticker(min([tick_seconds, *(job.lease.total_seconds() / 3 for job in jobs.values())]))
        self._threads: ThreadPoolExecutor | None = None

    def start(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "job")
        self._ticker.every(self._tick_seconds, self._tick, "look")
        self._start_beating()

    def stop(self) -> None:
        """Once; the jobs in hand leave at the end of a round, and what is left of them is due at once elsewhere."""
        self._stopping.set()
        with self._guard:
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=True)
        # Last: until they have ended, the jobs in hand must show that they live.
        self._ticker.stop()

    def run_due(self) -> list[str]:
        """Run what is due now, here, one after the other; the names of what ran."""
        return [name for name in self._due() if self._run(name)]

    def run_now(self, name: str, asker: Actor) -> bool:
        """Run the job here, due or not, to its end; False when it runs elsewhere. Raises `NotFound`, `Forbidden`."""
        if name not in self._jobs:
            raise NotFound("There is no such job")
        self._register()
        with self._service.begin(asker) as work:
            job_runs.ask(work, name)
            claim = slots.claim(work, name, self._terms[name], self._owner, at_once=True)
        if claim is None:
            return False
        self._start_beating()
        try:
            return self._carry_out(claim)
        finally:
            self.stop()

    def _start_beating(self) -> None:
        self._ticker.every(min(job.lease.total_seconds() for job in self._jobs.values()) / 3, self._beat, "beat")
        self._ticker.start()

    def _tick(self) -> None:
        for name in self._due():
            with self._guard:
                if name in self._taken or self._threads is None:
                    continue
                self._taken.add(name)
                self._threads.submit(self._run_here, name)

    def _due(self) -> list[str]:
        try:
            self._register()
            return slots.looked_at(self._service, self._terms)
        except Clash:
            return []  # another replica has made the slots meanwhile
        except Exception as error:
            log.warning("jobs.not-looked-at", exc_info=error)
            return []

    def _register(self) -> None:
        if not self._is_registered:
            with self._service.begin(SCHEDULER) as work:
                slots.register(work, {name: terms.schedule for name, terms in self._terms.items()})
            self._is_registered = True

    def _run_here(self, name: str) -> None:
        try:
            self._run(name)
        finally:
            with self._guard:
                self._taken.discard(name)

    def _run(self, name: str) -> bool:
        """Whether the job was ours to run, and ran to its end."""
        if self._stopping.is_set():
            return False
        try:
            with self._service.begin(SCHEDULER) as work:
                claim = slots.claim(work, name, self._terms[name], self._owner)
        except Exception as error:
            log.warning("job.not-claimed", extra={"detail": name}, exc_info=error)
            return False
        return claim is not None and self._carry_out(claim)

    def _carry_out(self, claim: Claim) -> bool:
        progress = Progress(claim, self._stopping)
        with self._guard:
            self._running[claim.name] = progress
        began, code, is_more = time.monotonic(), None, False
        try:
            is_more = self._rounds(self._jobs[claim.name], progress)
        except Superseded:
            log.warning("job.superseded", extra={"detail": claim.name})
            return False
        except Exception as error:  # the edge of the thread: the run says that it failed
            code = slots.code_of(error)
            log.warning("job.failed", extra={"detail": claim.name, "code": code}, exc_info=error)
        finally:
            with self._guard:
                del self._running[claim.name]
        return self._finish(progress, code, is_more, time.monotonic() - began) and code is None

    def _rounds(self, job: Job, progress: Progress) -> bool:
        """Rounds until one did less than it could, or the job has had its turn; whether there is more to do."""
        until = time.monotonic() + TURN_SECONDS
        total = 0
        while True:
            done = job.run(self._service, progress)
            total += done
            progress.done = max(progress.done, total)  # a job that reports by itself knows better
            if job.again is None or done < job.again:
                return False
            if progress.is_stopping or time.monotonic() > until:
                return True

    def _finish(self, progress: Progress, code: str | None, is_more: bool, seconds: float) -> bool:
        try:
            with self._service.begin(SCHEDULER) as work:
                slots.finish(work, progress, code=code, is_more=is_more, busy_micros=int(seconds * 1e6))
        except Exception as error:
            log.warning("job.not-finished", extra={"detail": progress.claim.name}, exc_info=error)
            return False
        log.debug("job.done", extra={"detail": progress.claim.name})
        return True

    def _beat(self) -> None:
        with self._guard:
            running = list(self._running.values())
        for progress in running:
            try:
                with self._service.begin(SCHEDULER) as work:
                    slots.beat(work, progress)
            except Exception as error:
                log.warning("job.no-beat", extra={"detail": progress.claim.name}, exc_info=error)


class _Ticker(BackgroundScheduler):  # type: ignore[misc]  # APScheduler has no types
    """Calls functions every so many seconds, each on a thread of its own, whatever happens to the wall clock."""

    def __init__(self, longest_wait: float) -> None:
        # what it logs is its own start, each call, and an exception's text, which our functions never let out
        logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
        super().__init__(timezone=UTC)
        self._longest_wait = longest_wait

    def every(self, seconds: float, call: object, name: str) -> None:
        self.add_executor(TickerThreads(1), name)
        self.add_job(
            call, _Steadily(seconds), id=name, executor=name, max_instances=1, coalesce=True, misfire_grace_time=None
        )

    def stop(self) -> None:
        if self.running:
            self.shutdown(wait=True)

    def _process_jobs(self) -> float:
        """What APScheduler calls when it wakes; how long it may sleep. Its extension point for schedulers."""
        now = datetime.now(UTC)
        for job in self.get_jobs():
            if job.next_run_time - now > timedelta(seconds=job.trigger.seconds):
                job.modify(next_run_time=now)  # the clock was set back: it would sleep until it has caught up
        wait = super()._process_jobs()
        # bounded: the clock may be set back between that look and this one
        return self._longest_wait if wait is None else min(wait, self._longest_wait)


class _Steadily(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """From now on, not from the last time: a clock set ahead by a year is one tick, not a year of them."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
        return now if previous is None else now + timedelta(seconds=self.seconds)
