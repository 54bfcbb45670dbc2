"""One serving process: its own Steward behind the socket that the parent has bound.

`python -m cli.worker SOCKET READY PARENT`: the listening socket's descriptor, the pipe to say ready on, the
parent's process id. Ends with status 0 on SIGTERM or SIGINT, after the requests in hand; with 1 when it
cannot start.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from types import FrameType
from typing import Final

import uvicorn

from api.app import create_app
from cli import logs
from cli.processes import end_with_parent, forbid_dumps
from jobs.keeper import Keeper
from jobs.scheduler import Scheduler
from keys.errors import KeysError
from privacy.errors import PrivacyError
from privacy.settings import Settings
from privacy.steward import opened

GRACE_SECONDS: Final = 20
NO_JOBS: Final = "PRIVACY_NO_JOBS"  # set by `privacy serve --no-jobs`
log = logging.getLogger("worker")


class _Server(uvicorn.Server):
    """Says on a pipe when it takes requests."""

    def __init__(self, config: uvicorn.Config, ready: int, keeper: Keeper, jobs: Scheduler | None) -> None:
        super().__init__(config)
        self._ready = ready
        self._keeper = keeper
        self._jobs = jobs

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # before the application closes the databases
        if self._jobs is not None:
            await asyncio.to_thread(self._jobs.stop)
        await asyncio.to_thread(self._keeper.stop)
        await super().shutdown(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            os.write(self._ready, b"1")
            self._keeper.start()
            if self._jobs is not None:
                self._jobs.start()
            log.info("worker.ready", extra={"pid": os.getpid()})


def main(listening: int, ready: int, parent: int) -> int:
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the parent waits for signals with them blocked
    end_with_parent(parent)
    forbid_dumps()
    os.umask(0o077)
    settings = Settings.from_environment()
    logs.to_stderr(settings.log_level)
    try:
        service = opened(settings)
    except PrivacyError as error:
        log.error("worker.cannot-start", extra={"code": error.code, "detail": error.detail})
        return 1
    except KeysError as error:  # its texts are written for operators and name nobody
        log.error("worker.cannot-start", extra={"code": "keys-unavailable", "detail": str(error)})
        return 1
    config = uvicorn.Config(
        create_app(service),  # which starts the service and, at the end, closes it
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    has_jobs = not os.environ.get(NO_JOBS)
    keeper = Keeper(service, sequences=has_jobs)
    server = _Server(config, ready, keeper, Scheduler(service) if has_jobs else None)
    server.run(sockets=[socket.socket(fileno=listening)])
    return 0 if server.started else 1


def _leave(number: int, frame: FrameType | None) -> None:
    # Before uvicorn takes the signals, and after it has given them back and raised them anew.
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
