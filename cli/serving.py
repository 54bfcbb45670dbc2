"""`privacy serve`: binds the port once, starts the workers, keeps them running, ends them in order.

The parent opens no database and holds no key. A worker is a new program (`cli.worker`), never a fork.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

import typer

from cli import first_run, logs
from cli.processes import holder_of
from cli.terminal import reporting
from privacy.errors import Invalid, Unavailable
from privacy.settings import Settings

_BACKLOG: Final = 2048
_TURN_SECONDS: Final = 0.5
_PATIENCE_SECONDS: Final = 25.0  # more than a worker grants its requests
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
_LEAVE: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_AWAITED: Final = (*_LEAVE, signal.SIGCHLD)
log = logging.getLogger("serve")


def serve(
    *,
    no_jobs: Annotated[bool, typer.Option("--no-jobs", help="Leave the jobs to another replica.")] = False,
    demo: Annotated[
        bool,
        typer.Option("--demo", help="Set up PRIVACY_HOME with the example, and fill it with invented people."),
    ] = False,
    demo_subjects: Annotated[int, typer.Option(min=1, help="With --demo: how many people to invent.")] = 1000,
) -> None:
    """Serve the API on PRIVACY_HOST:PRIVACY_PORT with PRIVACY_WORKERS processes, until SIGTERM or Ctrl-C."""
    with reporting(False):
        settings = Settings.from_environment()
        environment = dict(os.environ) | ({"PRIVACY_NO_JOBS": "1"} if no_jobs else {})
        if demo:
            # People read this screen; the log keeps what they must know.
            environment.setdefault("PRIVACY_LOG_LEVEL", "warning")
        logs.to_stderr(environment.get("PRIVACY_LOG_LEVEL") or settings.log_level)
        with listen(settings) as listener:
            if demo:
                first_run.set_up(settings)
            elif not settings.home.exists():
                raise Invalid(f"There is nothing at {settings.home}: run `privacy init --manifest FILE` first")
            guests = [first_run.command(settings, demo_subjects)] if demo else []
            status = Workers(listener, settings.workers, environment).run(guests)
    raise typer.Exit(status)


def listen(settings: Settings) -> socket.socket:
    """The bound and listening socket. Raises `Unavailable`, saying what to do, when it cannot be had."""
    host, port = settings.host, settings.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError:
        raise Unavailable("PRIVACY_HOST is not an address of this machine") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise Unavailable(_why_not(error, host, port)) from None
    return listener


def _why_not(error: OSError, host: str, port: int) -> str:
    another = f"set PRIVACY_PORT={port + 1 if port < 65535 else 8000} (or any free port) and try again"
    match error.errno:
        case errno.EADDRINUSE:
            who = holder_of(port)
            return f"Port {port} on {host} is taken{f' by {who}' if who else ''}; end that, or {another}"
        case errno.EACCES:
            return f"This user may not listen on port {port}; {another}"
        case errno.EADDRNOTAVAIL:
            return f"{host} is not an address of this machine; PRIVACY_HOST names another"
    return f"Port {port} on {host} cannot be listened on ({errno.errorcode.get(error.errno or 0, 'unknown')})"


@dataclass(slots=True)
class _Slot:
    """A worker's place: its process, the pipe it says ready on, and when the place may be filled again."""

    process: subprocess.Popen[bytes] | None = None
    pipe: int = -1
    was_ready: bool = False
    failures: int = 0
    due: float = 0.0


@dataclass(slots=True)
class Workers:
    """Keeps `count` workers running on one socket. Everything it ends, it ends by process id."""

    listener: socket.socket
    count: int
    environment: Mapping[str, str]
    _slots: list[_Slot] = field(default_factory=list)
    _guests: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _proved: bool = False  # a worker has been ready: from now on a dead one is replaced

    def run(self, guests: Sequence[Sequence[str]] = ()) -> int:
        """Serve until a signal says to leave. 0, or 1 when no worker could start at all.

        `guests` are commands that run beside the workers, once, and end with them.
        """
        # Taken by `sigtimedwait` below and by nothing else, so no handler can interrupt anything.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
        try:
            self._slots = [_Slot() for _ in range(self.count)]
            log.info("serve.starting", extra={"pid": os.getpid(), "workers": self.count, **self._address()})
            self._fill()
            self._guests = [self._start(command) for command in guests]
            while True:
                arrived = signal.sigtimedwait(_AWAITED, _TURN_SECONDS)
                if arrived is not None and arrived.si_signo in _LEAVE:
                    log.info("serve.leaving", extra={"signal": signal.Signals(arrived.si_signo).name})
                    return 0
                if not self._look_after():
                    log.error("serve.no-worker-starts")
                    return 1
                self._fill()
        finally:
            self._end()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _address(self) -> dict[str, object]:
        name = self.listener.getsockname()
        return {"host": name[0], "port": name[1]}

    def _fill(self) -> None:
        for slot in self._slots:
            if slot.process is None and slot.due <= time.monotonic():
                reading, writing = os.pipe()
                command = (
                    sys.executable,
                    "-m",
                    "cli.worker",
                    *map(str, (self.listener.fileno(), writing, os.getpid())),
                )
                slot.process = self._start(command, (self.listener.fileno(), writing))
                slot.pipe, slot.was_ready = reading, False
                os.close(writing)
                os.set_blocking(reading, False)

    def _start(self, command: Sequence[str], descriptors: Sequence[int] = ()) -> subprocess.Popen[bytes]:
        # A process group of its own: Ctrl-C reaches the parent alone, which then ends everyone in order.
        return subprocess.Popen(  # noqa: S603 - our own program
            command, env=self.environment, pass_fds=descriptors, stdin=subprocess.DEVNULL, process_group=0
        )

    def _look_after(self) -> bool:
        """Clear the places of the dead. False when a worker died before any has ever been ready."""
        for guest in self._guests:
            guest.poll()  # one that has ended is taken note of, and not left a zombie
        for slot in self._slots:
            if slot.process is None:
                continue
            is_dead = slot.process.poll() is not None
            # Asked after that: what a dead worker has said is still in its pipe.
            if not slot.was_ready and _said_ready(slot.pipe):
                slot.was_ready = self._proved = True
            if is_dead:
                if not self._proved:
                    return False
                _clear(slot)
        return True

    def _end(self) -> None:
        """SIGTERM to every process still running, patience, then SIGKILL. A second signal ends the patience."""
        running = [slot.process for slot in self._slots if slot.process is not None] + self._guests
        for process in running:
            process.terminate()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while any(process.poll() is None for process in running) and time.monotonic() < deadline:
            arrived = signal.sigtimedwait(_AWAITED, _TURN_SECONDS)
            if arrived is not None and arrived.si_signo in _LEAVE:
                break
        for process in running:
            if process.poll() is None:
                process.kill()
            process.wait()
        for slot in self._slots:
            if slot.pipe >= 0:
                os.close(slot.pipe)
        self._slots.clear()
        self._guests.clear()


def _said_ready(pipe: int) -> bool:
    try:
        return os.read(pipe, 1) == b"1"
    except BlockingIOError:
        return False


def _clear(slot: _Slot) -> None:
    """Leave the place of a dead worker empty, for longer each time one dies before it is ready."""
    assert slot.process is not None  # noqa: S101 - its process has just been asked
    slot.failures = 0 if slot.was_ready else slot.failures + 1
    slot.due = time.monotonic() + min(_FIRST_PAUSE * 2.0**slot.failures, _LONGEST_PAUSE)
    log.error("serve.worker-died", extra={"pid": slot.process.pid, "status": slot.process.returncode})
    os.close(slot.pipe)
    slot.process, slot.pipe = None, -1
