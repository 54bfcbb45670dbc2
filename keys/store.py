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

from keys.errors import KeyExists, KeyGone, KeyStoreNotReady, StoreExists
from keys.wrapped import Count, LedgerRow, Ownership, RootSecret, SecretState, State, Tombstone, WrappedKey

if TYPE_CHECKING:
    from keys.store_async import AsyncReader

REVISION: Final = "0002"  # equal to the newest migration, by test; spares the hot path the import of Alembic


class Engine(Protocol):
    """What the two databases do differently. Raises only classes of `keys.errors`."""

    def migrate(self) -> None: ...
    def revision(self) -> str | None: ...
    def add(self, keys: Sequence[WrappedKey]) -> None: ...
    def by_kid(self, kids: Sequence[bytes]) -> list[WrappedKey]: ...
    def current(self, places: Sequence[tuple[bytes, str]]) -> list[WrappedKey]: ...
    def erase(
        self, subject: bytes, scope: str | None, kids: Sequence[bytes] | None, marks: Sequence[tuple[int, bytes]]
    ) -> list[bytes]: ...
    def erase_many(
        self, subjects: Sequence[bytes], marks: Sequence[tuple[int, bytes]]
    ) -> list[tuple[bytes, bytes]]: ...
    def destroy_kids(self, kids: Sequence[bytes]) -> int: ...
    def replace(self, new: Sequence[WrappedKey]) -> set[bytes]: ...
    def rewrap(self, pairs: Sequence[tuple[WrappedKey, int]]) -> int: ...
    def subjects(self, after: bytes, limit: int) -> list[bytes]: ...
    def kids_of(self, subject: bytes) -> list[WrappedKey]: ...
    def of_subjects(self, subjects: Sequence[bytes], before: int | None) -> list[WrappedKey]: ...
    def keys_after(self, kid: bytes, limit: int, *, kek: int | None, retired: bool) -> list[WrappedKey]: ...
    def counts(self) -> list[Count]: ...
    def count_under(self, kek: int) -> int: ...
    def count_before(self, era: int) -> int: ...
    def ledger(self, after: int, limit: int) -> list[LedgerRow]: ...
    def ledger_size(self) -> int: ...
    def add_marks(self, rows: Sequence[LedgerRow]) -> int: ...
    def ownership(self) -> Ownership | None: ...
    def claim(self, deployment: bytes, secrets: Sequence[RootSecret]) -> bool: ...
    def root_secrets(self) -> list[RootSecret]: ...
    def add_root_secret(self, secret: RootSecret, revision: int | None) -> None: ...
    def set_public(self, kind: str, version: int, public: bytes) -> None: ...
    def rewrap_root_secrets(self, pairs: Sequence[tuple[RootSecret, bytes]], revision: int) -> None: ...
    def destroy_root_secret(self, kind: str, version: int) -> bool: ...
    def root_tombstones(self) -> list[Tombstone]: ...
    def raise_minimum(self, version: int) -> None: ...
    def begin_era(self) -> int: ...
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
        """`erase` without a mark. Returns how many keys there were."""
        return len(self._engine.erase(subject, scope, None, ()))

    def erase(
        self,
        subject: bytes,
        scope: str | None = None,
        kids: Collection[bytes] | None = None,
        marks: Sequence[tuple[int, bytes]] = (),
    ) -> list[bytes]:
        """Delete keys of `subject` (in one scope, or all; these `kids`, or all), leave tombstones, write the ledger.

        The point of no return of an erasure, in one transaction; does not need the root key. `marks` are kinds and
        keyed hashes of 32 bytes; one that the ledger has already is left alone. Returns the kids that are destroyed,
        in their order: with `kids`, also those of them that an earlier call destroyed, so that a caller who died
        on the way gets the same answer again.

        On SQLite the bytes are gone from the files on return. Raises KeyStoreUnavailable when a reader kept the log
        from being cut: the keys are deleted then, and calling again cuts the log.
        """
        return sorted(self._engine.erase(subject, scope, None if kids is None else list(kids), marks))

    def erase_many(
        self, subjects: Collection[bytes], marks: Sequence[tuple[int, bytes]] = ()
    ) -> dict[bytes, list[bytes]]:
        """`erase` of all keys of each subject, in one transaction with all the marks, and one cut of the log.

        Returns the kids that this call destroyed, by subject; none of a subject that had none.
        """
        gone: dict[bytes, list[bytes]] = {}
        if subjects or marks:
            for subject, kid in self._engine.erase_many(list(subjects), marks):
                gone.setdefault(subject, []).append(kid)
        return {subject: sorted(kids) for subject, kids in gone.items()}

    def destroy_kids(self, kids: Collection[bytes]) -> int:
        """Delete these keys, whoever's they are, as `erase` does. Returns how many there were."""
        well_formed = [kid for kid in kids if len(kid) == 8]
        return self._engine.destroy_kids(well_formed) if well_formed else 0

    def replace(self, new: WrappedKey) -> None:
        """Make `new` the current key of its (subject, scope); the one before is retired: it opens, and seals no more.

        A second call with the same key changes nothing. Raises KeyGone when the place has no key to be replaced (an
        erasure was faster: nothing may bring it back), KeyExists when the kid is another's or was destroyed, and
        KekRetired.
        """
        if not self._engine.replace([new]):
            raise KeyGone(new.kid)

    def replace_many(self, new: Collection[WrappedKey]) -> set[bytes]:
        """`replace` for keys of different places, in one transaction; the kids of those that stand now.

        Left out is a key whose place has none to be replaced. Raises KeyExists, also for two keys of one place, and
        KekRetired; then none is replaced.
        """
        if len({(key.subject, key.scope) for key in new}) < len(new):
            raise KeyExists
        return self._engine.replace(list(new)) if new else set()

    def rewrap(self, pairs: Sequence[tuple[WrappedKey, int]]) -> int:
        """Put keys, as `Keyring.rewrap` made them anew, under another KEK version than the one beside each.

        A key that stands under that version no more (another worker was faster, or it is destroyed) is left alone.
        Returns how many were changed. Raises KekRetired when a new version is below the minimum.
        """
        return self._engine.rewrap(pairs) if pairs else 0

    def subjects(self, after: bytes = b"", limit: int = 1000) -> list[bytes]:
        """The next subjects that have keys, in the order of the store (not of the ids); `after` is the last seen."""
        return self._engine.subjects(after, limit)

    def kids_of(self, subject: bytes) -> list[WrappedKey]:
        """Every key of `subject`, retired ones too, by scope, the current one of each first."""
        return self._engine.kids_of(subject) if len(subject) == 16 else []

    def of_subjects(self, subjects: Collection[bytes], before: int | None = None) -> list[WrappedKey]:
        """Every key of these subjects, retired ones too, in one statement and no order; those made `before` an era."""
        well_formed = [subject for subject in subjects if len(subject) == 16]
        return self._engine.of_subjects(well_formed, before) if well_formed else []

    def keys_after(self, kid: bytes = b"", limit: int = 1000) -> list[WrappedKey]:
        """The next keys by kid, retired ones too."""
        return self._engine.keys_after(kid, limit, kek=None, retired=False)

    def under_kek(self, version: int, after: bytes = b"", limit: int = 1000) -> list[WrappedKey]:
        """The next keys by kid that `version` wraps, retired ones too."""
        return self._engine.keys_after(after, limit, kek=version, retired=False)

    def retired(self, after: bytes = b"", limit: int = 1000) -> list[WrappedKey]:
        """The next keys by kid that a newer one has replaced."""
        return self._engine.keys_after(after, limit, kek=None, retired=True)

    def count_under(self, version: int) -> int:
        """The proof of a rotation: how many keys `version` wraps. Looks at every key."""
        return self._engine.count_under(version)

    def count_before(self, era: int) -> int:
        """The proof of a rotation: how many keys, retired ones too, were made before `era`. Looks at every key."""
        return self._engine.count_before(era)

    def counts(self) -> list[Count]:
        """By KEK version, for a status. Looks at every key."""
        return self._engine.counts()

    def count(self) -> int:
        """How many data keys there are. Looks at every key."""
        return sum(count.keys for count in self._engine.counts())

    def ledger(self, after: int = 0, limit: int = 1000) -> list[LedgerRow]:
        """The next rows of the ledger by number. Numbers are given in the order of the commits, without gaps from 1."""
        return self._engine.ledger(after, limit)

    def ledger_size(self) -> int:
        """How many rows the ledger has."""
        return self._engine.ledger_size()

    def add_marks(self, rows: Sequence[LedgerRow]) -> int:
        """Bring back what a restored store has forgotten. Returns how many marks were new.

        A mark that is there is left alone. The others are numbered anew in the order of their numbers: those that
        follow the store's own keep them.
        """
        return self._engine.add_marks(rows) if rows else 0

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

    def root_tombstones(self) -> Mapping[tuple[str, int], Tombstone]:
        """Every destroyed root secret by (kind, version)."""
        return {(gone.kind, gone.version): gone for gone in self._engine.root_tombstones()}

    def secret_states(self) -> list[SecretState]:
        """Every root secret there is or was, by kind and version."""
        living = [SecretState(one.kind, one.version, one.state, one.retired_at) for one in self._engine.root_secrets()]
        gone = self._engine.root_tombstones()
        return sorted(living + [SecretState(one.kind, one.version, State.DESTROYED, one.destroyed_at) for one in gone])

    def add_root_secret(self, secret: RootSecret, *, revision: int | None = None) -> None:
        """Store a further version; those before it are retired in the same transaction.

        Raises KeyExists when the version is there or was destroyed, and Overtaken when the store's revision is another
        than `revision`: a secret that was wrapped under a root key which is no longer in use must not come in.
        """
        self._engine.add_root_secret(secret, revision)

    def set_public(self, kind: str, version: int, public: bytes) -> None:
        """Keep the public half of a secret that was stored without."""
        self._engine.set_public(kind, version, public)

    def rewrap_root_secrets(self, pairs: Sequence[tuple[RootSecret, bytes]], *, revision: int) -> None:
        """Replace the wraps of these secrets, all in one transaction.

        Raises Overtaken, having changed nothing, when the store's revision is another than `revision`. On SQLite the
        old wraps are gone from the files on return; raises KeyStoreUnavailable as `erase` does, and then they are
        gone with the next call (which need not replace anything).
        """
        self._engine.rewrap_root_secrets(pairs, revision)

    def destroy_root_secret(self, kind: str, version: int) -> bool:
        """Delete a retired secret, keeping a tombstone with its public half. False when it is not there.

        Raises KeysError for one that is active, and for a KEK version that still may or does wrap data keys: see
        `raise_minimum` and `rewrap`. On SQLite the
        bytes are gone from the files on return; raises KeyStoreUnavailable as `erase` does.
        """
        return self._engine.destroy_root_secret(kind, version)

    def raise_minimum(self, version: int) -> None:
        """From now on no data key is stored under a KEK version below `version`; it never falls.

        Waits for writers in flight, so on return every key under an older version can be seen by a query.
        """
        self._engine.raise_minimum(version)

    def begin_era(self) -> int:
        """Begin a rotation of data keys: every key made from here on bears the new era, whose number it returns.

        As with `raise_minimum`, a query then sees every key that is older.
        """
        return self._engine.begin_era()

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
