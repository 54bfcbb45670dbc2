"""The running whole: databases, keys, the manifest in force, who may call, and how calls reach the database.

`begin` gives one caller a transaction of its own (jobs, the command line, rare routes). Hot routes hand
their calls to a `privacy.group.Group`, where they share transactions. Either way a call sees the manifest
and the principals as they are at its own transaction's start, on every replica.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from hashlib import sha256
from threading import Lock

from sqlalchemy import select

from keys.errors import KeyStoreNotReady
from keys.keyring import Keyring
from keys.kms import RootKey, create_root, open_root
from keys.store import KeyStore
from privacy import at_the_door, declaration, erasure_ledger, principals
from privacy.cosignatures import Mldsa44Signer
from privacy.database import AsyncLane, Clash, Database, Lookup, Transaction, migrate, open_database
from privacy.declaration import Declared
from privacy.detection.workers import Workers
from privacy.errors import Conflict, DetectionOff, Invalid, Refused, Unauthenticated
from privacy.group import Call, Failure, Outcome, Request
from privacy.principals import Directory
from privacy.settings import Settings
from privacy.signed_documents import Verifier
from privacy.tables import revisions
from privacy.vault import Vault, key_errors
from privacy.work import TERMINAL, Actor, NeedsItsOwn, Work, flush, gather

_REVISIONS = Lookup(lambda name: select(revisions.c.number).where(revisions.c.name == name), "text")
_WATCHED = (("manifest",), ("principals",), ("subjects",), ("keys",))

_BETWEEN_LOOKS_SECONDS = 0.05

Clock = Callable[[], int]


def wall_clock() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


class Steward:
    """One process of the service. Thread-safe."""

    def __init__(
        self, settings: Settings, database: Database, store: KeyStore, root: RootKey, clock: Clock = wall_clock
    ) -> None:
        self.settings = settings
        self.database = database
        self.keystore = store
        self.keyring = Keyring.open(store, root)
        self.vault = Vault(self.keyring, store)
        self.instant = clock
        self._declared: tuple[int, Declared | None] = (-1, None)
        self._directory = Directory(-1, {})
        self._keys = -1
        self._loading = Lock()
        self._looking = Lock()
        self._looked = float("-inf")
        self.lattice = _lattice(self.keyring) if settings.checkpoint_mldsa else None  # signs checkpoints too
        self.distrust: str | None = None  # why the log cannot be trusted, and so nothing is disclosed
        self._detector: Workers | None = None
        self.looks = 0  # how often an unknown key made us look into the database

    @classmethod
    def open(cls, settings: Settings, clock: Clock = wall_clock) -> Steward:
        """Open what `create` made; brings both schemas up to date first, and a restored store up to what was erased.

        Raises `Unavailable`, `Invalid`.
        """
        root = open_root(settings.kms, settings.home)
        with ExitStack() as unless_opened:
            store = KeyStore.open(settings.keystore_url)
            unless_opened.callback(store.close)
            database = open_database(settings.database_url)
            unless_opened.callback(database.close)
            migrate(database)
            service = cls(settings, database, store, root, clock)
            unless_opened.callback(service.keyring.close)
            service.reload()
            if service.declared is not None:
                at_the_door.require_detection(service.declared.manifest, settings.detection)
            erasure_ledger.reconcile(service)  # what a backup brought back must not be served
            unless_opened.pop_all()
        return service

    @classmethod
    def create(cls, settings: Settings, clock: Clock = wall_clock) -> Steward:
        """Make root key, key store and database. Raises `Conflict` when any of them is there already."""
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        database = open_database(settings.database_url)
        migrate(database)
        with database.borrow() as lane, lane.transaction() as transaction:
            if declaration.load(transaction) is not None:
                raise Conflict("The database already holds a deployment")
        # what can fail has been tried: now the root key and what it wraps
        root = create_root(settings.kms, settings.home)
        store = KeyStore.create(settings.keystore_url)
        Keyring.create(store, root).close()
        service = cls(settings, database, store, root, clock)
        service.reload()
        return service

    def close(self) -> None:
        """End the connections and wipe the keys. Groups have been closed by whoever made them."""
        if self._detector is not None:
            self._detector.close()
        if self.vault.reader is not None:
            self.vault.reader.close()
        self.database.close()
        self.keyring.close()
        self.keystore.close()

    @property
    def declared(self) -> Declared | None:
        """The manifest in force, as of the last transaction's start."""
        return self._declared[1]

    @property
    def detector(self) -> Workers:
        """What finds personal data in texts; its processes start at the first text. Raises `DetectionOff`."""
        mode = self.settings.detection
        if mode == "off":
            raise DetectionOff
        with self._loading:
            if self._detector is None:
                self._detector = Workers(self.settings.detection_workers, mode)
            return self._detector

    @contextmanager
    def begin(
        self, actor: Actor = TERMINAL, *, request_id: str | None = None, origin: str | None = None
    ) -> Iterator[Work]:
        """One transaction for one caller: commit on leaving, roll back on any exception.

        A refusal is audited after the roll-back, in a transaction of its own. Raises what the block
        raises; `Unaudited` when the block unsealed or changed something and named no event.
        """
        with self.database.borrow() as lane:
            work: Work | None = None
            try:
                with lane.transaction() as transaction:
                    self.refresh(transaction)
                    work = Work(
                        self, self.live(actor), transaction, self.instant(), request_id=request_id, origin=origin
                    )
                    yield work
                    sequence = flush(transaction, gather((work,)), lane)
                lane.sequence = sequence
                if request_id is None:  # nobody waits for an answer: a job, a command
                    lane.give_way()
            except Refused as refusal:
                if work is not None and not lane.broken:
                    with lane.transaction() as transaction:
                        work.refused(refusal)
                        sequence = flush(transaction, gather((work,)), lane)
                    lane.sequence = sequence
                raise

    def refresh(self, transaction: Transaction) -> int:
        """Take over a manifest or a directory that has changed since the last look.

        The number says how often a subject's holders have been overtaken (`Transaction.overtake`).
        """
        numbers = [rows[0][0] for rows in transaction.lookup(_REVISIONS, _WATCHED)]
        if numbers[0] != self._declared[0]:
            with self._loading:
                self._declared = (numbers[0], declaration.load(transaction))
        if numbers[1] != self._directory.revision:
            with self._loading:
                self._directory = principals.load(transaction, numbers[1])
        if numbers[3] != self._keys:
            with self._loading, key_errors():
                self.keyring.refresh()
                self._keys = numbers[3]
        return int(numbers[2])

    async def refresh_async(self, lane: AsyncLane) -> None:
        """The same in an event loop."""
        numbers = [rows[0][0] for rows in await lane.lookup(_REVISIONS, _WATCHED)]
        if (numbers[0], numbers[1], numbers[3]) != (self._declared[0], self._directory.revision, self._keys):
            await asyncio.to_thread(self.reload)

    def run_alone(self, request: Request, found: Sequence[Outcome] | None) -> Sequence[Outcome]:
        """The outcomes of calls that cannot share a transaction, or whose shared one failed.

        Those that stand together get one transaction; of the others each gets its own, if `found` (what
        the shared one answered) does not hold its answer already.
        """
        if request.together:
            return self._run_together(request)
        return [
            self._run_one(request, call)
            if found is None or (isinstance(found[n], Failure) and isinstance(found[n].error, NeedsItsOwn))
            else found[n]
            for n, call in enumerate(request.calls)
        ]

    def _run_one(self, request: Request, call: Call) -> Outcome:
        try:
            try:
                with self.begin(request.actor, request_id=request.request_id, origin=request.origin) as work:
                    return call(work)
            except Clash:  # with a twin that has committed meanwhile: look again, once, and see what it did
                with self.begin(request.actor, request_id=request.request_id, origin=request.origin) as work:
                    return call(work)
        except Exception as error:  # noqa: BLE001 - the edge of the thread: the caller gets it
            return Failure(error)

    def _run_together(self, request: Request) -> Sequence[Outcome]:
        done: list[Outcome] = []
        try:
            with self.begin(request.actor, request_id=request.request_id, origin=request.origin) as work:
                for call in request.calls:
                    done.append(call(work))  # noqa: PERF401 - where it stopped must be known
        except Exception as error:  # noqa: BLE001 - the edge of the thread: the caller gets it
            other = Failure(Conflict("Not done: another item of this batch failed"))
            failed = min(len(done), len(request.calls) - 1)
            return [Failure(error) if n == failed else other for n in range(len(request.calls))]
        return done

    def reload(self) -> None:
        """`refresh` in a transaction of its own."""
        with self.database.borrow() as lane, lane.transaction() as transaction:
            self.refresh(transaction)

    def live(self, actor: Actor) -> Actor:
        """The actor as of now. Raises `Unauthenticated` when its key has been revoked or has expired."""
        return actor if actor.principal_id is None else self._directory.actor(actor.digest, self.instant())

    def authenticate(self, key: str, came: float | None = None) -> Actor:
        """The actor of an API key, looked for in the database when memory does not know it.

        It may have just been issued elsewhere. One look serves all who came before it (`came`: monotonic, now
        when None), and strangers make us look no more than twenty times a second. Raises `Unauthenticated`.
        """
        known = self.recognise(key)
        if known is not None:
            return known
        digest = principals.digest_of(key)  # says so when it has not the form of a key
        came = time.monotonic() if came is None else came
        with self._looking:
            if self._looked < came:
                time.sleep(max(0.0, self._looked + _BETWEEN_LOOKS_SECONDS - time.monotonic()))
                self._looked = time.monotonic()
                self.looks += 1
                self.reload()
        return self._directory.actor(digest, self.instant())

    def recognise(self, key: str) -> Actor | None:
        """The actor of an API key that memory knows; the transaction of its call checks again (`live`)."""
        try:
            return self._directory.actor(sha256(key.encode()).digest(), self.instant())
        except Unauthenticated:
            return None

    def origin_of(self, address: str) -> str:
        """What events keep of a caller's address: a keyed hash, so that only whoever knows the address finds it."""
        return self.keyring.fingerprint("origin", address.encode())[:16].hex()

    def healthy(self) -> dict[str, bool]:
        """Which parts answer: database, key store, root key, manifest."""
        found = {"manifest": self.declared is not None}
        for name, check in (("database", self.reload), ("key store", self.keystore.health)):
            try:
                check()
                found[name] = True
            except Exception:  # noqa: BLE001 - any failure means: not ready
                found[name] = False
        return found


def own_verifiers(settings: Settings) -> tuple[Verifier, ...]:
    """The public halves of all signing keys this deployment ever had, the newest first; none without a deployment.

    For what is verified offline. The key store and the root key are enough: the database of the data is not opened.
    Raises `KeysError`.
    """
    with _own_keys(settings) as keyring:
        return () if keyring is None else keyring.verifiers


def own_vkeys(settings: Settings) -> list[str]:
    """The verifier keys of what signs the audit log here: Ed25519, then ML-DSA-44 if that is set. Raises `KeysError`.

    Empty without a deployment.
    """
    with _own_keys(settings) as keyring:
        if keyring is None:
            return []
        second = [_lattice(keyring).verifier.vkey] if settings.checkpoint_mldsa else []
        return [keyring.signer.vkey, *second]


@contextmanager
def _own_keys(settings: Settings) -> Iterator[Keyring | None]:
    if not settings.home.exists():
        yield None
        return
    try:
        store = KeyStore.open(settings.keystore_url)
    except KeyStoreNotReady:
        yield None
        return
    with closing(store), closing(Keyring.open(store, open_root(settings.kms, settings.home))) as keyring:
        yield keyring


def _lattice(keyring: Keyring) -> Mldsa44Signer:
    return Mldsa44Signer(keyring.signer.name, keyring.mldsa_seed())


def opened(settings: Settings) -> Steward:
    """`Steward.open`, with a hint for whoever has not initialised yet."""
    if not settings.home.exists():
        raise Invalid(f"There is nothing at {settings.home}: run `privacy init --manifest FILE` first")
    return Steward.open(settings)
