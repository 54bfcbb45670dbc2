"""Runs the jobs of the registry in a thread of a replica; the database elects who runs each.

The run and its claim are two transactions: a job that fails leaves its claim, and is tried again when it
is next due.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from typing import Final

from jobs.registry import JOBS, Job
from privacy import slots
from privacy.errors import Conflict, PrivacyError
from privacy.steward import Steward
from privacy.work import Actor, Role

log = logging.getLogger(__name__)

TICK_SECONDS: Final = 30.0
ROUNDS_SECONDS: Final = 10.0  # of a job at a time; the others wait for it
SCHEDULER: Final = Actor("scheduler", Role.ADMIN)


class Scheduler:
    """A thread that looks every half minute for what is due. `stop` waits for the job in hand."""

    def __init__(self, service: Steward, tick_seconds: float = TICK_SECONDS) -> None:
        self._service = service
        self._tick = tick_seconds
        self._stopping = threading.Event()
        self._owner = f"{socket.gethostname()}:{threading.get_native_id()}"
        self._thread = threading.Thread(target=self._loop, name="scheduler", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def run_due(self) -> list[str]:
        """Run what is due now, here; the names of what ran."""
        return [name for name, job in JOBS.items() if self._run(name, job)]

    def _loop(self) -> None:
        while not self._stopping.wait(self._tick):
            self.run_due()

    def _run(self, name: str, job: Job) -> bool:
        try:
            with self._service.begin(SCHEDULER) as work:
                if not slots.claim(work, name, job.every, self._owner):
                    return False
            done = self._rounds(job)
        except Conflict:
            return False  # another replica made the first row
        except PrivacyError as error:
            log.warning("job %s failed: %s", name, error.code)
            return False
        log.info("job %s did %d", name, done)
        return True

    def _rounds(self, job: Job) -> int:
        """Rounds until one did less than it could, or the job has had its time; how much they did together."""
        until = time.monotonic() + ROUNDS_SECONDS
        total = 0
        while True:
            with self._service.begin(SCHEDULER) as work:
                done = job.run(work)
            total += done
            if job.again is None or done < job.again or time.monotonic() > until or self._stopping.is_set():
                return total
