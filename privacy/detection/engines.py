"""Where an analyser runs: in a process of its own behind a pipe, or in the thread that asks."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

from privacy.detection.analyser import Analyser, Mode
from privacy.detection.findings import Finding
from privacy.detection.worker import read_frame, write_frame
from privacy.errors import PrivacyError, Unavailable

_TO_START_SECONDS: Final = 60.0
_TO_ANSWER_SECONDS: Final = 60.0  # and a second more for each so many characters:
_SLOWEST: Final = 500
_TO_END_SECONDS: Final = 2.0
# Where programs and libraries are, and in which language; no setting of ours, which may hold a password.
_KEPT: Final = frozenset({"PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV"})
_ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# glibc: one arena, and memory goes back when it is free. Without it a worker keeps some 60 MB more.
_LITTLE_MEMORY: Final = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "131072"}
_MISSING: Final = frozenset({"ImportError", "ModuleNotFoundError", "Unavailable"})  # without the extra
_ROOT: Final = Path(__file__).resolve().parents[2]


class Died(Exception):
    """The process has ended, or did not answer in time."""


class Engine(Protocol):
    """One analyser, asked by one thread, which closes it. Its models are loaded when it is first asked."""

    @property
    def pid(self) -> int | None: ...
    def start(self) -> None: ...
    def analyse(self, texts: Sequence[str], languages: Sequence[str]) -> list[list[Finding]]: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...


class Here:
    """The analyser in this process."""

    pid = None

    def __init__(self, mode: Mode) -> None:
        self._mode = mode
        self._analyser: Analyser | None = None

    def start(self) -> None:
        """Load the models, once. Raises `Unavailable` when they are not installed."""
        self._loaded()

    def analyse(self, texts: Sequence[str], languages: Sequence[str]) -> list[list[Finding]]:
        return self._loaded().analyse(texts, languages)

    def _loaded(self) -> Analyser:
        if self._analyser is None:
            try:
                self._analyser = Analyser(self._mode)
            except ImportError:
                raise _not_installed() from None
        return self._analyser

    def stop(self) -> None:
        """What it has in hand it finishes."""

    def close(self) -> None:
        self._analyser = None


class Process:
    """The analyser in a process of its own (`privacy.detection.worker`), which ends when this one does."""

    def __init__(self, mode: Mode) -> None:
        self._mode = mode
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False

    @property
    def pid(self) -> int | None:
        """None while there is no process whose models are loaded."""
        process = self._process
        return process.pid if process is not None and self._is_ready else None

    def start(self) -> None:
        """Start it when it does not run; returns when its models are loaded. Raises `Unavailable`."""
        if self._process is not None:
            return
        self._process = _spawned(self._mode)
        try:
            greeting = self._read(_TO_START_SECONDS)
        except Died:
            self.close()
            raise Unavailable("Detection could not be started", zh="检测进程无法启动", retry_after=30) from None
        if "error" in greeting:
            self.close()
            if greeting["error"] in _MISSING:
                raise _not_installed()
            raise Unavailable(f"Detection could not be started ({greeting['error']} at {greeting['at']})")
        self._is_ready = True

    def analyse(self, texts: Sequence[str], languages: Sequence[str]) -> list[list[Finding]]:
        """Raises `Died`, after which the next call starts it again; `PrivacyError` for a bug of ours in it."""
        self.start()
        process = self._process
        if process is None or process.stdin is None:
            raise Died
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        try:
            write_frame(process.stdin.fileno(), [list(languages), encoded])
            answer = self._read(_TO_ANSWER_SECONDS + sum(map(len, texts)) / _SLOWEST)
        except (OSError, Died):  # the pipe is broken
            self.close()
            raise Died from None
        if isinstance(answer, dict):
            raise PrivacyError(f"A bug of ours in detection: {answer['error']} at {answer['at']}")
        return [[Finding(*one) for one in each] for each in answer]

    def stop(self) -> None:
        """Break off what it has in hand: `analyse` raises `Died`. For other threads than the one that asks."""
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """End the process, by force when it does not end by itself."""
        process, self._process = self._process, None
        self._is_ready = False
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        try:
            process.wait(_TO_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _read(self, seconds: float) -> Any:  # what the worker answers
        process, deadline = self._process, time.monotonic() + seconds
        if process is None or process.stdout is None:
            raise Died
        descriptor = process.stdout.fileno()
        poll = select.poll()  # not `select`, which knows no descriptor over 1,023
        poll.register(descriptor, select.POLLIN)

        def read(count: int) -> bytes:
            ready = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
            return os.read(descriptor, count) if ready else b""

        try:
            return read_frame(read)
        except (EOFError, OSError):
            raise Died from None


def _spawned(mode: Mode) -> subprocess.Popen[bytes]:
    """A worker; its arguments and its environment tell nothing but how it is to run."""
    environment = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith("PYTHON")}
    environment |= dict.fromkeys(_ONE_THREAD, "1")  # workers share the processors among themselves
    environment |= _LITTLE_MEMORY
    path = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = f"{_ROOT}{os.pathsep}{path}" if path else str(_ROOT)
    return subprocess.Popen(  # noqa: S603 - our own interpreter and our own module
        [sys.executable, "-P", "-m", "privacy.detection.worker", mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        bufsize=0,
    )


def _not_installed() -> Unavailable:
    return Unavailable(
        "The models of detection are not installed: install the extra `detection`, or set PRIVACY_DETECTION=patterns",
        zh="未安装检测模型：请安装 detection 附加组件，或设置 PRIVACY_DETECTION=patterns",
    )
