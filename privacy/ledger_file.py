"""The copy of the erasure ledger that stands beside both databases: a file that only grows, flushed at each append.

    steward-erasure-ledger/1 DEPLOYMENT            32 hex digits, the deployment that the marks are keyed by
    NUMBER KIND MARK AT                            12 decimal digits, 1 or 2, 64 hex digits, 12 decimal digits

Every line has one length, so the length of the file says how many there are. A last line that a crash cut is ignored,
and written over by the next append. `AT` is in Unix seconds.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from keys.wrapped import LedgerRow
from privacy.errors import Invalid

NAME: Final = "erasure.ledger"
_MAGIC: Final = "steward-erasure-ledger/1"
_HEADER_BYTES: Final = len(_MAGIC) + 1 + 32 + 1
_LINE: Final = re.compile(r"([0-9]{12}) ([12]) ([0-9a-f]{64}) ([0-9]{12})\n", re.ASCII)
_LINE_BYTES: Final = 12 + 1 + 1 + 1 + 64 + 1 + 12 + 1


class LedgerFile:
    """The file of one deployment. Safe between processes of one machine."""

    def __init__(self, path: Path, deployment: bytes) -> None:
        self.path = path
        self._header = f"{_MAGIC} {deployment.hex()}\n".encode()

    def size(self) -> int:
        """How many rows it has; 0 when there is no file. Raises `Invalid` for another deployment's."""
        try:
            length = self.path.stat().st_size
        except FileNotFoundError:
            return 0
        self._check()
        return max(0, length - _HEADER_BYTES) // _LINE_BYTES

    def last(self) -> LedgerRow | None:
        """The last row. Raises `Invalid`."""
        size = self.size()
        if not size:
            return None
        with self.path.open("rb") as file:
            file.seek(_HEADER_BYTES + (size - 1) * _LINE_BYTES)
            return _row(file.read(_LINE_BYTES))

    def rows(self) -> Iterator[LedgerRow]:
        """Every whole row in the order of the file. Raises `Invalid`."""
        size = self.size()
        if not size:
            return
        with self.path.open("rb") as file:
            file.seek(_HEADER_BYTES)
            for _ in range(size):
                yield _row(file.read(_LINE_BYTES))

    def append_after(self, rows_after: Callable[[int], Iterable[LedgerRow]]) -> int:
        """Append what there is after the last number of the file; how many rows. On the disk when it returns."""
        with self._locked() as descriptor:
            last = self.last()
            return self._append(descriptor, rows_after(last.number if last else 0))

    def append_missing(self, rows: Iterable[LedgerRow]) -> int:
        """Append the rows whose mark the file lacks; how many. On the disk when it returns."""
        with self._locked() as descriptor:
            known = {row.mark for row in self.rows()}
            return self._append(descriptor, [row for row in rows if row.mark not in known])

    def _append(self, descriptor: int, rows: Iterable[LedgerRow]) -> int:
        lines = [f"{row.number:012d} {row.kind} {row.mark.hex()} {row.at:012d}\n".encode() for row in rows]
        if not lines:
            return 0
        size = self.size()
        whole = _HEADER_BYTES + size * _LINE_BYTES
        if os.fstat(descriptor).st_size < _HEADER_BYTES:
            os.ftruncate(descriptor, 0)
            lines.insert(0, self._header)
            whole = 0
        os.lseek(descriptor, whole, os.SEEK_SET)  # over what a crash has left of a line: it is shorter than a line
        left = b"".join(lines)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)  # that the file is there must be as durable as what is in it
        finally:
            os.close(folder)
        return len(lines) - (whole == 0)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    def _check(self) -> None:
        with self.path.open("rb") as file:
            found = file.read(_HEADER_BYTES)
        if len(found) == _HEADER_BYTES and found != self._header:
            raise Invalid(
                f"{self.path.name} is not the erasure ledger of this deployment", zh="这不是本部署的删除台账文件"
            )


def _row(line: bytes) -> LedgerRow:
    found = _LINE.fullmatch(line.decode("ascii", "replace"))
    if found is None:
        raise Invalid("A line of the erasure ledger is damaged", zh="删除台账中有一行已损坏")
    number, kind, mark, at = found.groups()
    return LedgerRow(int(number), int(kind), bytes.fromhex(mark), int(at))
