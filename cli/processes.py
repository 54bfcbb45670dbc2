"""What our processes ask of the kernel: no memory images, an end with the parent, who holds a port."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

# linux/prctl.h
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_LISTENING: Final = "0A"  # net/tcp_states.h, as /proc/net/tcp writes it


def forbid_dumps() -> None:
    """No core file of this process and no other process of this user reads its memory: it holds keys."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)


def end_with_parent(parent: int) -> None:
    """Receive SIGTERM when the parent ends, however it ends; end at once when it has already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        raise SystemExit(0)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        # A kernel that refuses leaves things as they were; nothing depends on it but caution.
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def holder_of(port: int) -> str | None:
    """Who listens on the port, as far as this user may know: `process 4711 (python3)`."""
    wanted = {f"socket:[{inode}]" for inode in _listening(port)}
    if not wanted:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with suppress(OSError):
                    if os.readlink(descriptor) in wanted:
                        return f"process {process.name} ({(process / 'comm').read_text().strip()})"
    return None


def _listening(port: int) -> Iterator[str]:
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path("/proc/net", name).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]
