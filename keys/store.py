"""The key store: wrapped keys in a database of their own, apart from the data they open.

SQLite (``sqlite:///path``) or PostgreSQL (``postgresql://...``). It holds no person's data: a subject is an
opaque 16-byte id. Deleting a row here is what erasure rests on, so each operation commits before it returns
(WAL with synchronous=FULL, or synchronous_commit=on), and SQLite overwrites what it deletes.

On PostgreSQL the bytes of a destroyed key remain in the heap until VACUUM and in the write-ahead log until
it is recycled; they are wrapped, and end for good when the KEK version that wrapped them is destroyed.

Connections are one per thread. Every operation may be run twice with the result of once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol, Self

from keys.errors import KeyStoreNotReady, StoreExists
from keys.wrapped import Ownership, RootSecret, WrappedKey

if TYPE_CHECKING:
    from keys.store_async import AsyncReader

REVISION: Final = "0001"  # equal to the newest migration, by test; spares the hot path the import of Alembic


class Engine(Protocol):
    """What the two databases do differently. Raises only classes of `keys.errors`."""

    def migrate(self) -> None: ...
    def revision(self) -> str | None: ...
    def add(self, keys: Sequence[WrappedKey]) -> None: ...
    def by_kid(self, kids: Sequence[bytes]) -> list[WrappedKey]: ...
    def current(self, places: Sequence[tuple[bytes, str]]) -> list[WrappedKey]: ...
    def destroy(self, subject: bytes, scope: str | None) -> int: ...
    def ownership(self) -> Ownership | None: ...
    def claim(self, deployment: bytes, secrets: Sequence[RootSecret]) -> bool: ...
    def root_secrets(self) -> list[RootSecret]: ...
    def add_root_secret(self, secret: RootSecret) -> None: ...
    def raise_minimum(self, version: int) -> None: ...
    def close(self) -> None: ...
    def reader(self) -> AsyncReader | None: ...


class KeyStore:
    """Thread-safe.

    Every method may raise KeyStoreUnavailable, after which the caller may simply try again.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def create(cls, url: str) -> Self:
        """Open the database at `url`, creating it (SQLite) and bringing its schema up to date."""
        store = cls(_engine(url, create=True))
        store._engine.migrate()
        return store

    @classmethod
    def open(cls, url: str) -> Self:
        """Open an existing key store. Raises KeyStoreNotReady when there is none, or of another schema."""
        store = cls(_engine(url, create=False))
        try:
            store.health()
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Close the connections of all threads."""
        self._engine.close()

    def reader(self) -> AsyncReader | None:
        """The store for an event loop; None where reading it takes microseconds and may be done in line."""
        return self._engine.reader()

    def health(self) -> None:
        """Return when the store can be read and has this code's schema."""
        found = self._engine.revision()
        if found != REVISION:
            state = f"has schema {found}" if found else "has no schema"
            raise KeyStoreNotReady(f"the key store {state}, {REVISION} is needed; run the migrations")

    def add(self, keys: Sequence[WrappedKey]) -> None:
        """Store all of `keys` or none; durable on return.

        Raises KeyExists when a (subject, scope) has a current key or a kid is taken or was destroyed, and
        KekRetired when a key is wrapped under a version below the minimum.
        """
        if keys:
            self._engine.add(keys)

    def by_kid(self, kids: Collection[bytes]) -> dict[bytes, WrappedKey]:
        """The keys that exist among `kids`, in one statement.

        One that is missing was destroyed or never made.
        """
        well_formed = [kid for kid in kids if len(kid) == 8]
        return {key.kid: key for key in self._engine.by_kid(well_formed)} if well_formed else {}

    def current(self, places: Collection[tuple[bytes, str]]) -> dict[tuple[bytes, str], WrappedKey]:
        """The current key of each (subject, scope) that has one, in one statement."""
        well_formed = [place for place in places if len(place[0]) == 16]
        if not well_formed:
            return {}
        return {(key.subject, key.scope): key for key in self._engine.current(well_formed)}

    def destroy(self, subject: bytes, scope: str | None = None) -> int:
        """Delete the keys of `subject` (in one scope, or all), leaving tombstones. Returns how many there
        were.

        The point of no return of an erasure; does not need the root key. On SQLite the bytes are gone from
        the files on return. Raises KeyStoreUnavailable when a reader kept the log from being cut: the keys
        are deleted then, and calling again cuts the log (and returns 0).
        """
        return self._engine.destroy(subject, scope)

    def ownership(self) -> Ownership | None:
        """None for a store that belongs to no deployment yet."""
        return self._engine.ownership()

    def claim(self, deployment: bytes, secrets: Sequence[RootSecret]) -> None:
        """Give an empty store to `deployment`, with its first secrets.

        Raises StoreExists when it is taken.
        """
        if not self._engine.claim(deployment, secrets):
            raise StoreExists("the key store already belongs to a deployment")

    def root_secrets(self) -> Mapping[tuple[str, int], RootSecret]:
        """Every wrapped root secret by (kind, version)."""
        return {(secret.kind, secret.version): secret for secret in self._engine.root_secrets()}

    def add_root_secret(self, secret: RootSecret) -> None:
        """Store a further version. Raises KeyExists when the version is there."""
        self._engine.add_root_secret(secret)

    def raise_minimum(self, version: int) -> None:
        """From now on no data key is stored under a KEK version below `version`; it never falls.

        Waits for writers in flight, so on return every key under an older version can be seen by a query.
        """
        self._engine.raise_minimum(version)

    def __repr__(self) -> str:
        # Never the address: it may hold a password.
        return f"<KeyStore on {type(self._engine).__module__.rpartition('.')[2]}>"


def _engine(url: str, *, create: bool) -> Engine:
    """psycopg is imported only by a deployment that uses it."""
    scheme, _, rest = url.partition("://")
    match scheme:
        case "sqlite" if rest.startswith("/") and len(rest) > 1:
            from keys.store_sqlite import SqliteEngine

            return SqliteEngine(rest[1:], create=create)
        case "postgresql" | "postgresql+psycopg":
            from keys.store_postgresql import PostgresqlEngine

            return PostgresqlEngine(f"postgresql://{rest}")
        case _:
            raise KeyStoreNotReady("a key store address starts with sqlite:///path or postgresql://")
