"""One database connection per thread, closed when its thread ends or the whole set is closed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar
from weakref import WeakSet

from keys.errors import KeyStoreUnavailable


class Closable(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=Closable)


class _Held(Generic[C]):
    """Closes its connection when the thread's locals, which alone refer to it, go away."""

    def __init__(self, connection: C) -> None:
        self.connection = connection

    def close(self) -> None:
        self.connection.close()

    def __del__(self) -> None:
        self.connection.close()


class PerThread(Generic[C]):
    def __init__(self, connect: Callable[[], C]) -> None:
        self._connect = connect
        self._local = threading.local()
        self._lock = threading.Lock()
        self._all: WeakSet[_Held[C]] = WeakSet()
        self._closed = False

    def get(self) -> C:
        """This thread's connection, made on first use. Raises KeyStoreUnavailable after `close`."""
        held: _Held[C] | None = getattr(self._local, "held", None)
        if held is None or self._closed:
            held = self._new()
        return held.connection

    def drop(self) -> None:
        """Forget this thread's connection, because it is broken."""
        held: _Held[C] | None = self._local.__dict__.pop("held", None)
        if held is not None:
            held.close()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for held in list(self._all):
                held.close()

    def _new(self) -> _Held[C]:
        with self._lock:
            if self._closed:
                raise KeyStoreUnavailable("the key store has been closed")
        held = _Held(self._connect())
        with self._lock:
            self._all.add(held)
        self._local.held = held
        return held
