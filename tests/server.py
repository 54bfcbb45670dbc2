"""The real service for tests: its worker processes on loopback, killed and started again at will.

Each worker is the program that `privacy serve` runs (`cli.worker`). The test holds the listening socket, so
the address stays the same over a kill, and what comes meanwhile waits for the next worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import uvicorn

from api.app import create_app
from privacy.client import PrivacyClient
from privacy.settings import Settings
from privacy.steward import Steward

ROOT: Final = Path(__file__).resolve().parent.parent
SECONDS: Final = 30.0
# Reading the system's certificates takes longer than most requests, and a client does it on loopback as well.
_NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@dataclass
class Service:
    """A served deployment. `log` is what its workers have written, over all their lives."""

    url: str
    log_file: Path
    _listener: socket.socket
    _environment: Mapping[str, str]
    _workers: int
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def pid(self) -> int:
        """The process id of the first worker."""
        return self._processes[0].pid

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8")

    def start(self) -> None:
        """Start the workers and wait until each takes requests."""
        pipes = [self._start() for _ in range(self._workers)]
        for pipe in pipes:
            try:
                readable, _, _ = select.select([pipe], [], [], SECONDS)
                if not readable or os.read(pipe, 1) != b"1":
                    raise AssertionError(f"a worker did not start:\n{self.log}")
            finally:
                os.close(pipe)

    def _start(self) -> int:
        reading, writing = os.pipe()
        listening = self._listener.fileno()
        command = [sys.executable, "-m", "cli.worker", str(listening), str(writing), str(os.getpid())]
        with self.log_file.open("ab") as log:
            self._processes.append(
                subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env=self._environment,
                    pass_fds=(listening, writing),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            )
        os.close(writing)
        return reading

    def kill(self) -> None:
        """`kill -9` to every worker, at whatever instruction it is."""
        for process in self._processes:
            process.send_signal(signal.SIGKILL)
        for process in self._processes:
            process.wait(SECONDS)
        self._processes.clear()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for one that does not end."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(SECONDS)
        self._processes.clear()

    def http(self, key: str | None = None, **options: Any) -> httpx.Client:
        """A plain HTTP client with the key, None for none."""
        return http(self.url, key, **options)

    def client(self, key: str, **options: Any) -> PrivacyClient:
        """The client that components use."""
        return _client(self.url, key, **options)


@contextlib.contextmanager
def serve(
    home: Path, database_url: str, keystore_url: str, *, workers: int = 1, env: Mapping[str, str] | None = None
) -> Iterator[Service]:
    """The deployment at `home`, served until the block ends by `workers` processes on a free loopback port."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PRIVACY_")}
    environment = {
        **inherited,
        "PRIVACY_HOME": str(home),
        "PRIVACY_DATABASE_URL": database_url,
        "PRIVACY_KEYSTORE_URL": keystore_url,
        "PRIVACY_DETECTION": "patterns",  # no model is loaded but by tests of models
        "PRIVACY_DETECTION_WORKERS": "0",
        **(env or {}),
    }
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(512)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        service = Service(
            url, home.parent / f"{home.name}-{url.rpartition(':')[2]}.log", listener, environment, workers
        )
        try:
            service.start()
            yield service
        finally:
            service.stop()


def serve_as(settings: Settings, *, workers: int = 1, env: Mapping[str, str] | None = None) -> Any:
    """`serve` for the deployment that these settings name."""
    return serve(settings.home, settings.database_url, settings.keystore_url, workers=workers, env=env)


@dataclass(frozen=True)
class Threaded:
    """A service in a thread of this process, for tests of routes."""

    url: str
    steward: Steward

    def http(self, key: str | None = None, **options: Any) -> httpx.Client:
        return http(self.url, key, **options)

    def client(self, key: str, **options: Any) -> PrivacyClient:
        return _client(self.url, key, **options)


class _InThread(uvicorn.Server):
    """Leaves this process's signals alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's own, which first sleeps for a tenth of a second: longer than most tests take."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        deadline = time.monotonic() + SECONDS
        while self._is_busy() and time.monotonic() < deadline:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.002)
        await self.lifespan.shutdown()

    def _is_busy(self) -> bool:
        return bool(self.server_state.connections or self.server_state.tasks)

    async def main_loop(self) -> None:
        await self.on_tick(0)
        # Often: it is waited for after every test.
        while not self.should_exit:  # noqa: ASYNC110 - another thread sets it
            await asyncio.sleep(0.01)


@contextlib.contextmanager
def in_thread(steward: Steward) -> Iterator[Threaded]:
    """The application on `steward`, which it closes at the end, in a thread with an event loop of its own."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(512)
        config = uvicorn.Config(
            create_app(steward), http="httptools", ws="none", lifespan="on", log_config=None, access_log=False,
            server_header=False, proxy_headers=False, timeout_graceful_shutdown=5,
        )  # fmt: skip
        server = _InThread(config)
        thread = threading.Thread(target=server.run, args=([listener],), name="tests-server")
        thread.start()
        try:
            deadline = time.monotonic() + SECONDS
            while not server.started:
                assert thread.is_alive(), "the server ended before it started"
                assert time.monotonic() < deadline, "the server did not start"
                time.sleep(0.005)
            yield Threaded(f"http://127.0.0.1:{listener.getsockname()[1]}", steward)
        finally:
            server.should_exit = True
            thread.join(SECONDS)


def _client(url: str, key: str, **options: Any) -> PrivacyClient:
    return PrivacyClient(url, key, **{"transport": httpx.HTTPTransport(verify=_NO_TLS), **options})


def http(url: str, key: str | None = None, **options: Any) -> httpx.Client:
    """A plain HTTP client with the key, None for none."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    options = {"timeout": SECONDS, "verify": _NO_TLS, **options}
    return httpx.Client(base_url=url, headers=headers, **options)
