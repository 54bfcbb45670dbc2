"""A replica that runs jobs and nothing else: `python -m tests.invariants.ticking FILE`, settings from the environment.

Each run writes one line when it begins and one when it ends, to FILE: job, fence, monotonic nanoseconds (which all
processes of a machine share). Ends with status 0 on SIGTERM, after the runs in hand.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from jobs.registry import SCHEDULER, Job
from jobs.scheduler import Scheduler
from privacy.schedules import Every
from privacy.settings import Settings
from privacy.slots import Progress
from privacy.steward import Steward

LEASE: Final = timedelta(seconds=4)
OFTEN: Final = Every(timedelta(milliseconds=60))
NAMES: Final = ("one-work-a", "one-work-b", "many-works-a", "many-works-b")


def main(file: str) -> None:
    output = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(progress: Progress, what: str) -> None:
        claim = progress.claim
        os.write(output, f"{claim.name} {claim.fence} {what} {time.monotonic_ns()}\n".encode())

    def one_work(service: Steward, progress: Progress) -> int:
        with service.begin(SCHEDULER) as work:
            progress.hold(work)
            note(progress, "began")
            time.sleep(0.01)
            note(progress, "ended")
        return 1

    def many_works(service: Steward, progress: Progress) -> int:
        note(progress, "began")
        for _ in range(5):  # which takes longer than the job's interval
            with service.begin(SCHEDULER) as work:
                progress.hold(work)
            time.sleep(0.02)
        note(progress, "ended")
        return 5

    jobs: Mapping[str, Job] = {
        name: Job(one_work if name.startswith("one") else many_works, OFTEN, lease=LEASE) for name in NAMES
    }
    # taken by `sigwait`, on this thread; those of the scheduler inherit the mask
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    service = Steward.open(Settings.from_environment())
    scheduler = Scheduler(service, jobs, tick_seconds=0.03)
    scheduler.start()
    signal.sigwait({signal.SIGTERM})
    scheduler.stop()
    service.close()


if __name__ == "__main__":
    main(sys.argv[1])
