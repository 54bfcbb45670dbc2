"""Copies of the two stores as they were at one instant, taken while the service runs.

1. No key may be written or destroyed in the key store: a lock, for milliseconds.
2. A snapshot of the data is taken, then one of the key store.
3. The lock is released; the copies are read from the snapshots, however long that takes.

So each box in the copy of the data has its key in the copy of the keys. A key is durable before the first box it
seals, so with the data first no box can be newer than the keys; and no rotation can seal a box again and destroy the
old key between the two snapshots, which would leave a copy that does not open. An erasure waits for (1) or comes
after both.

Neither copy holds anything in clear: the data are sealed, the keys wrapped.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from enum import StrEnum
from typing import BinaryIO, Literal

from sqlalchemy import make_url

from privacy.database import Row
from privacy.errors import Invalid
from privacy.settings import Settings


class Store(StrEnum):
    """Which of the two databases."""

    DATA = "data"
    KEYS = "keys"


Kind = Literal["sqlite", "postgresql"]


class Snapshot(ABC):
    """One store as it was when this was made. Used by one thread. Driver errors come out as `Unavailable`."""

    tool: str  # what writes the copy, with its version

    @abstractmethod
    def ask(self, statement: str) -> Sequence[Row]:
        """The rows of a statement that only reads."""

    @abstractmethod
    def tables(self) -> Sequence[str]:
        """The names of all tables, sorted."""

    @abstractmethod
    def copy(self) -> AbstractContextManager[BinaryIO]:
        """The copy as a stream; it is whole only if the block ends without an error. To be read once."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the snapshot: as long as it is held, SQLite's log cannot be cut."""

    def counts(self) -> dict[str, int]:
        """How many rows each table has."""
        return {name: int(self.ask(f'SELECT count(*) FROM "{name}"')[0][0]) for name in self.tables()}  # noqa: S608 - names from the catalogue


class Place(ABC):
    """Where a store is, or will be. `kind` is that of its URL."""

    kind: Kind

    @abstractmethod
    def frozen(self) -> AbstractContextManager[None]:
        """While the block lasts nobody writes or destroys a data key here. Raises `Unavailable`."""

    @abstractmethod
    def snapshot(self) -> Snapshot: ...

    @abstractmethod
    def require_empty(self) -> None:
        """Raises `Conflict` when anything is here."""

    @abstractmethod
    def load(self) -> AbstractContextManager[BinaryIO]:
        """A stream that takes a copy. All of it is here, durable, when the block has ended; nothing if it raised."""


def place(url: str) -> Place:
    """The place of a database URL."""
    match make_url(url).get_backend_name():
        case "sqlite":
            from privacy.copies_sqlite import SqlitePlace

            return SqlitePlace(url)
        case "postgresql":  # psycopg is imported only by a deployment that uses it
            from privacy.copies_postgresql import PostgresPlace

            return PostgresPlace(url)
        case _:
            raise Invalid("A database URL starts with sqlite:/// or postgresql://")


def places(settings: Settings) -> dict[Store, Place]:
    """Where both stores of a deployment are."""
    return {Store.DATA: place(settings.database_url), Store.KEYS: place(settings.keystore_url)}


@contextmanager
def pinned(found: Mapping[Store, Place], wanted: Sequence[Store]) -> Iterator[dict[Store, Snapshot]]:
    """Snapshots of the wanted stores, of one instant when both are."""
    with ExitStack() as open_until_the_end:
        taken: dict[Store, Snapshot] = {}
        with ExitStack() as freeze:
            if len(wanted) > 1:
                freeze.enter_context(found[Store.KEYS].frozen())  # 1
            for store in (Store.DATA, Store.KEYS):  # 2
                if store in wanted:
                    taken[store] = found[store].snapshot()
                    open_until_the_end.callback(taken[store].close)
        yield taken  # 3
