"""A load generator that is cheap enough to share two cores with what it measures.

A process of its own holds a number of keep-alive connections, one request in flight on each, and sends
requests that were rendered beforehand. It parses of an answer what it needs to find its end, and takes
every status but the expected ones for a failure: a figure of a run with failures does not exist. Python's
sockets and epoll are enough: it drives an empty server several times as fast as anything measured here.

`run` is the parent's side; `python -m bench.load` is the child's. The child reads one line of JSON (the
`Order`) and the requests, each behind its length (u32, big-endian), and answers with one line of JSON.
"""

from __future__ import annotations

import itertools
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_LENGTH: Final = struct.Struct(">I")
_RECEIVE: Final = 1 << 18
_SILENCE_SECONDS: Final = 30.0  # a server that says nothing for so long is stuck


class LoadFailed(RuntimeError):
    """The server gave another status than expected, closed a connection, or said nothing."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to do: for `seconds` after `warm_up` seconds, or until `most` requests when that is not 0.

    `groups` name processes, by role, whose CPU time and their children's is read at both ends of the
    measured time.
    """

    port: int
    connections: int
    seconds: float
    warm_up: float
    most: int
    accepted: Sequence[int]
    groups: Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Measured:
    """What was seen in the measured time. Latencies in milliseconds; `cpu` in microseconds a request.

    `others` is what the rest of the machine used meanwhile, in cores: much of it, and the figures are worth
    little.
    """

    requests: int
    rate: float  # requests a second
    p50: float
    p99: float
    worst: float
    cpu: Mapping[str, float]
    generator_cpu: float
    others: float


def run(
    port: int,
    requests: Sequence[bytes],
    *,
    connections: int,
    seconds: float,
    warm_up: float = 0.5,
    most: int = 0,
    accepted: Sequence[int] = (200,),
    groups: Mapping[str, Sequence[int]] | None = None,
) -> Measured:
    """Send `requests` over and over, from the first, to a server on loopback. Raises `LoadFailed`."""
    order = Order(port, connections, seconds, warm_up, most, tuple(accepted), dict(groups or {}))
    given = [json.dumps(asdict(order)).encode(), b"\n"]
    for request in requests:
        given += (_LENGTH.pack(len(request)), request)
    done = subprocess.run(
        (sys.executable, "-m", "bench.load"),
        input=b"".join(given),
        capture_output=True,
        cwd=Path(__file__).resolve().parent.parent,
        timeout=warm_up + (seconds or 600) + 60,
        check=False,
    )
    if done.returncode:
        raise LoadFailed(done.stderr.decode(errors="replace").strip().splitlines()[-1])
    return Measured(**json.loads(done.stdout))


def get(path: str, key: str = "", headers: str = "") -> bytes:
    """A GET, as a client of the service sends it. `headers` are further ones, each ended by CR LF."""
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{_bearer(key)}Accept: application/json\r\n{headers}\r\n"
    return head.encode()


def post(path: str, body: bytes, key: str = "", headers: str = "") -> bytes:
    """A POST of JSON."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{_bearer(key)}Accept: application/json\r\n"
        f"Content-Type: application/json\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _bearer(key: str) -> str:
    return f"Authorization: Bearer {key}\r\n" if key else ""


def family(pids: Sequence[int]) -> list[int]:
    """The processes and all that they have started, as far as those still run."""
    found = list(pids)
    for pid in found:  # grows while it is walked
        with suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def cpu_seconds(pids: Sequence[int]) -> float:
    """CPU time the processes have used, of all their threads, in user and kernel mode; to 10 ms each."""
    used = 0
    for pid in pids:
        with suppress(OSError):  # one that has ended counts no longer
            # proc(5): the name in parentheses may hold anything; utime and stime are fields 14 and 15.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            used += int(fields[11]) + int(fields[12])
    return used / _TICKS


def _busy_seconds() -> float:
    """CPU time the whole machine has used: proc(5), without idle and iowait, and guests counted once."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(fields[:8]) - fields[3] - fields[4]) / _TICKS


def is_whole(answer: bytes) -> bool:
    """Whether the bytes hold a whole answer: its header section, and the body that this announces."""
    end = answer.find(b"\r\n\r\n") + 4
    if end < 4:
        return False
    at = answer.find(b"ontent-length:", 0, end)
    if at < 0:
        at = answer.find(b"ontent-Length:", 0, end)
    if at >= 0:
        return len(answer) >= end + int(answer[at + 14 : answer.find(b"\r", at)])
    return answer.endswith(b"\r\n0\r\n\r\n") or b"chunked" not in answer[:end]


def drive(order: Order, requests: Sequence[bytes]) -> Measured:
    """The child's work. Raises `LoadFailed`."""
    clock = time.perf_counter
    poll = select.epoll()
    sockets = [socket.create_connection(("127.0.0.1", order.port), 10) for _ in range(order.connections)]
    receive: dict[int, Callable[[int], bytes]] = {}
    send: dict[int, Callable[[bytes], None]] = {}
    started: dict[int, float] = {}
    unfinished: dict[int, bytes] = {}  # answers that came in pieces, so far
    for made in sockets:
        # Blocking: what epoll has announced is there to read, and a long request is sent in one call.
        made.settimeout(None)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number = made.fileno()
        receive[number], send[number] = made.recv, made.sendall
        poll.register(number, select.EPOLLIN)
    accepted = frozenset(str(status).encode() for status in order.accepted)
    latencies = array("d")
    note = latencies.append
    following = itertools.cycle(requests).__next__
    most = order.most or sys.maxsize
    now = clock()
    opens, ends = now + order.warm_up, float("inf")
    usage: _Usage | None = None
    for number in send:
        started[number] = now
        send[number](following())
    while now < ends and len(latencies) < most:
        ready = poll.poll(_SILENCE_SECONDS)
        if not ready:
            raise LoadFailed("the server said nothing for a long time")
        for number, _ in ready:
            data = receive[number](_RECEIVE)
            if number in unfinished or not is_whole(data):
                if not data:
                    raise LoadFailed("the server closed a connection")
                unfinished[number] = data = unfinished.get(number, b"") + data
                if not is_whole(data):
                    continue
                del unfinished[number]
            now = clock()
            if data[9:12] not in accepted:
                # a problem says what is wrong and holds no value; any other body is nobody's business
                said = data[-300:].decode(errors="replace") if data[9:10] in b"45" else ""
                raise LoadFailed(f"unexpected answer: {data[:12].decode()} {said}")
            if usage is not None:
                note(now - started[number])
            started[number] = now
            send[number](following())
        if usage is None and now >= opens:
            usage = _Usage(order.groups)
            opens = clock()
            ends = opens + order.seconds if order.seconds else ends
    took = clock() - opens
    if usage is None or not latencies:
        raise LoadFailed("no answer came within the measured time")
    cpu, own, others = usage.since()
    _let_finish(sockets, unfinished)
    seen = len(latencies)
    ordered = sorted(latencies)
    return Measured(
        requests=seen,
        rate=seen / took,
        p50=ordered[seen // 2] * 1000,
        p99=ordered[min(seen - 1, seen * 99 // 100)] * 1000,
        worst=ordered[-1] * 1000,
        cpu={name: used / seen * 1e6 for name, used in cpu.items()},
        generator_cpu=own / seen * 1e6,
        others=max(0.0, others / took),
    )


def _let_finish(sockets: Sequence[socket.socket], unfinished: Mapping[int, bytes]) -> None:
    """Wait for the answer that each connection still owes, so that the next run meets an idle server."""
    for made in sockets:
        made.settimeout(_SILENCE_SECONDS)
        data = unfinished.get(made.fileno(), b"")
        while not is_whole(data):
            more = made.recv(_RECEIVE)
            if not more:
                raise LoadFailed("the server closed a connection")
            data += more
        made.close()


class _Usage:
    """CPU time of the groups, of this process and of the machine from now on."""

    def __init__(self, groups: Mapping[str, Sequence[int]]) -> None:
        self._pids = {name: family(pids) for name, pids in groups.items()}
        self._groups, self._own, self._machine = self._read()

    def _read(self) -> tuple[dict[str, float], float, float]:
        groups = {name: cpu_seconds(pids) for name, pids in self._pids.items()}
        return groups, time.process_time(), _busy_seconds()

    def since(self) -> tuple[dict[str, float], float, float]:
        """Seconds used by each group, by this process, and by everything else."""
        groups, own, machine = self._read()
        used = {name: groups[name] - before for name, before in self._groups.items()}
        return used, own - self._own, machine - self._machine - sum(used.values()) - (own - self._own)


def _read(given: bytes) -> tuple[Order, list[bytes]]:
    line, _, rest = given.partition(b"\n")
    values: dict[str, Any] = json.loads(line)
    requests, at = [], 0
    while at < len(rest):
        (length,) = _LENGTH.unpack_from(rest, at)
        requests.append(rest[at + 4 : at + 4 + length])
        at += 4 + length
    return Order(**values), requests


def main() -> int:
    order, requests = _read(sys.stdin.buffer.read())
    try:
        measured = drive(order, requests)
    except (LoadFailed, OSError) as error:
        print(error or type(error).__name__, file=sys.stderr)
        return 1
    print(json.dumps(asdict(measured)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
