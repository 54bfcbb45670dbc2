"""The keys in use: KEK versions from the root key, data keys from the KEKs, and the roots of the other trees.

    root key -> KEK version (cached) -> data key of a (subject, scope) (never cached) -> record keys
    (container)
             -> index root, fingerprint root, signing key (loaded once, held until `close`)

A data key is wrapped with AES-256-SIV (RFC 5297): deterministic, so that a rewrap run twice gives the same
bytes, and bound to its place, so that nobody can move it to another subject.

    wrapping key    = SP 800-108(KEK, "steward/data-key-wrap/1", lp(deployment) | kek version u32), 64 bytes
    associated data = lp(deployment) lp(subject) lp(scope) lp(kid) | kek version u32
    wrapped         = AES-256-SIV(wrapping key, associated data, data key)                    48 bytes

Data keys are not cached: unwrapping costs a microsecond, and an erasure binds the next request everywhere.

Each kind of root secret is in versions. The newest makes what is new; those before it are retired: they open, find
and verify until they are destroyed. Versions are few and small; index roots and signing keys of all versions are held.

A KEK is served for `ttl`. After that the root key is asked again: *unavailable* lets the cached KEK serve for
`grace` longer; *denied* purges every KEK at once, with no grace. There is never another path.
"""

from __future__ import annotations

import hmac
import os
import secrets
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn, SupportsIndex

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from keys import root_secrets
from keys.blind_index import BlindIndex
from keys.derivation import LABEL_DATA_KEY_WRAP, derive, length_prefixed
from keys.errors import (
    CannotOpen,
    KeyExists,
    KeyGone,
    KeysError,
    KeyStoreNotReady,
    KeyStoreUnavailable,
    Overtaken,
    RootKeyDenied,
    RootKeyUnavailable,
)
from keys.kms import RootKey
from keys.secret import KEY_BYTES, DataKey, Secret, wipe
from keys.signing import Signer, VerifierKey
from keys.store import KeyStore
from keys.wrapped import RootSecret, WrappedKey

TTL_SECONDS: Final = 15 * 60.0
GRACE_SECONDS: Final = 60 * 60.0
# While the root key is away, ask it this often at most.
RETRY_SECONDS: Final = 5.0

KEK, INDEX, FINGERPRINT, SIGNING = "kek", "index", "fingerprint", root_secrets.SIGNING
MLDSA = "mldsa"  # made when it is first asked for

_U32 = struct.Struct(">I")
_WRAPPED_BYTES = 48

Clock = Callable[[], float]


@dataclass(slots=True)
class _Kek:
    """A KEK version, already turned into its cipher. `ask_at` may pass `loaded_at + ttl` while in grace."""

    cipher: AESSIV
    loaded_at: float
    ask_at: float


class Keyring:
    """Thread-safe. Made by `create` (once per deployment) or `open`."""

    deployment: bytes

    def __init__(self, store: KeyStore, root: RootKey, *, clock: Clock, ttl: float, grace: float) -> None:
        ownership = store.ownership()
        if ownership is None:
            raise KeyStoreNotReady("the key store belongs to no deployment yet; initialise it")
        self.deployment = ownership.deployment
        self._store = store
        self._root = root
        self._clock = clock
        self._ttl = ttl
        self._grace = grace
        self._keks: dict[int, _Kek] = {}
        self._indexes: dict[int, BlindIndex] = {}
        self._signers: dict[int, Signer] = {}
        self._loading = threading.Lock()
        self._secrets: Mapping[tuple[str, int], RootSecret] = {}
        with self._loading:
            self._read()
        self._fingerprints = self._unwrap_secret(FINGERPRINT, self._newest(FINGERPRINT))
        self._keep_public_halves()
        root_secrets.finish_rotation(root, self.deployment, self._secrets.values())
        self._kek(self._current)

    @classmethod
    def create(
        cls,
        store: KeyStore,
        root: RootKey,
        *,
        clock: Clock = time.monotonic,
        ttl: float = TTL_SECONDS,
        grace: float = GRACE_SECONDS,
    ) -> Keyring:
        """A new deployment in an empty store: its id, first KEK version, index and fingerprint roots,
        signing key.

        Raises StoreExists when the store already belongs to a deployment.
        """
        deployment = os.urandom(16)
        made = []
        for kind in (KEK, INDEX, FINGERPRINT, SIGNING):
            with Secret.random() as key:
                made.append(root_secrets.make(root, deployment, kind, 1, key))
        store.claim(deployment, made)
        return cls.open(store, root, clock=clock, ttl=ttl, grace=grace)

    @classmethod
    def open(
        cls,
        store: KeyStore,
        root: RootKey,
        *,
        clock: Clock = time.monotonic,
        ttl: float = TTL_SECONDS,
        grace: float = GRACE_SECONDS,
    ) -> Keyring:
        """Raises CannotOpen when the root key is not this store's, RootKeyUnavailable, RootKeyDenied."""
        return cls(store, root, clock=clock, ttl=ttl, grace=grace)

    def new_data_key(self, subject: bytes, scope: str = "main") -> tuple[WrappedKey, DataKey]:
        """A fresh key for (subject, scope), wrapped and open. Nothing is stored: `KeyStore.add` does that.

        Give the key to `container.seal` only after `add` has returned; wipe it (``with key:``).
        """
        key = DataKey.random()
        try:
            version, cipher = self._newest_kek()
            wrapped = cipher.encrypt(key.expose(), [self._associated(subject, scope, key.kid, version)])
        except BaseException:
            key.wipe()
            raise
        return WrappedKey(subject, scope, key.kid, version, wrapped), key

    def unwrap(self, wrapped: WrappedKey) -> DataKey:
        """The data key, to be wiped by the caller (``with keyring.unwrap(w) as key:``).

        Raises CannotOpen for a wrap that was changed or moved, KeyGone when its KEK version was destroyed,
        RootKeyUnavailable and RootKeyDenied.
        """
        cipher = self._kek(wrapped.kek, wrapped.kid)
        associated = self._associated(wrapped.subject, wrapped.scope, wrapped.kid, wrapped.kek)
        if len(wrapped.wrapped) != _WRAPPED_BYTES:
            raise CannotOpen
        buffer = bytearray(KEY_BYTES)
        try:
            cipher.decrypt_into(wrapped.wrapped, [associated], buffer)
        except InvalidTag:
            wipe(buffer)
            raise CannotOpen from None
        return DataKey(wrapped.kid, buffer)

    def rewrap(self, wrapped: WrappedKey, to: int) -> WrappedKey:
        """The same data key under KEK version `to`: twice the same bytes. Nothing is stored: `KeyStore.rewrap` does.

        Raises as `unwrap` does, and KeyGone when there is no version `to`.
        """
        associated = self._associated(wrapped.subject, wrapped.scope, wrapped.kid, to)
        with self.unwrap(wrapped) as key:
            return wrapped._replace(kek=to, wrapped=self._kek(to, wrapped.kid).encrypt(key.expose(), [associated]))

    def fingerprint(self, label: str, data: bytes) -> bytes:
        """32 bytes, equal for equal `data` under one `label`, that tell nothing without the root."""
        return hmac.digest(self._fingerprints.expose(), length_prefixed(label.encode()) + data, "sha256")

    def mldsa_seed(self) -> Secret:
        """The seed of the deployment's ML-DSA-44 key, made on first use; to be wiped by the caller.

        A root secret of its own: whoever breaks or learns the Ed25519 seed learns nothing of it.
        """
        if (MLDSA, 1) not in self._secrets:
            self.new_version(MLDSA, 1)
        return self._unwrap_secret(MLDSA, self._newest(MLDSA))

    @property
    def index(self) -> BlindIndex:
        """The one whose tokens are written now. Hold it for no longer than a call."""
        return self._indexes[max(self._indexes)]

    @property
    def index_versions(self) -> tuple[int, ...]:
        """Every version whose tokens may still be found, the newest first."""
        return tuple(sorted(self._indexes, reverse=True))

    def index_of(self, version: int) -> BlindIndex:
        """Raises KeysError for a version that is destroyed, or unknown even after reading the store again."""
        if version not in self._indexes:
            self.refresh()
        if version not in self._indexes:
            raise KeysError(f"there is no index version {version}")
        return self._indexes[version]

    @property
    def signer(self) -> Signer:
        """The newest signing key."""
        return self._signers[max(self._signers)]

    @property
    def signers(self) -> tuple[Signer, ...]:
        """Every signing key whose private half is not destroyed, the newest first."""
        return tuple(self._signers[version] for version in sorted(self._signers, reverse=True))

    @property
    def verifiers(self) -> tuple[VerifierKey, ...]:
        """The public half of every signing key there ever was, the newest first."""
        return tuple(VerifierKey(self._name(), public) for _, public in sorted(self._publics.items(), reverse=True))

    def newest(self, kind: str) -> int:
        """The version of `kind` that makes what is new, as far as this process has read."""
        return self._newest(kind)

    def new_version(self, kind: str, version: int | None = None) -> int:
        """Add a version of `kind` and use it from now on; other processes do after `refresh`. Returns its number.

        With `version`, which must be the one after the newest, a second call finds it there and adds none. Raises
        KeysError for fingerprints, which have one version: what they name would not be found again.
        """
        if kind == FINGERPRINT:
            raise KeysError("the fingerprint root is not rotated: what it named would not be found again")
        for _ in range(root_secrets.ATTEMPTS):
            revision = root_secrets.revision_of(self._store, self.deployment)
            self.refresh()
            following = max([found for known, found in self._secrets if known == kind], default=0) + 1
            if version is not None and version < following:
                return version
            if version is not None and version > following:
                raise KeysError(f"the next version of {kind} is {following}")
            # The root key may be another since this process began; opening what is stored finds out.
            self._unwrap_secret(KEK, self._current).wipe()
            with Secret.random() as key:
                made = root_secrets.make(self._root, self.deployment, kind, following, key)
            try:
                self._store.add_root_secret(made, revision=revision)
            except (Overtaken, KeyExists):
                continue
            self.refresh()
            return following
        raise KeyStoreUnavailable("the root secrets change all the time; try again later")

    def rotate_root(self) -> int:
        """Put every root secret under the next root key, then let the old one go. Returns how many there are.

        May be called again after a crash at any place: `keys.root_secrets.rotate`. Other processes follow of
        themselves.
        """
        count = root_secrets.rotate(self._store, self._root, self.deployment)
        self.refresh()
        return count

    def refresh(self) -> None:
        """Read again which versions exist, of every kind, and forget the destroyed ones.

        Call it on KekRetired, then make the data key anew; and when another process has rotated. Raises what the root
        key raises only when there is a version that is new to this process.
        """
        with self._loading:
            self._read()

    def health(self) -> None:
        """Return when data keys can be opened now; raise RootKeyUnavailable or RootKeyDenied."""
        self._root.health()
        self._newest_kek()

    def close(self) -> None:
        """Wipe what is held. The store stays open: it is the caller's."""
        self._keks = {}
        for index in self._indexes.values():
            index.wipe()
        self._fingerprints.wipe()

    def _associated(self, subject: bytes, scope: str, kid: bytes, version: int) -> bytes:
        return length_prefixed(self.deployment, subject, scope.encode(), kid) + _U32.pack(version)

    def _newest_kek(self) -> tuple[int, AESSIV]:
        while True:
            version = self._current
            try:
                return version, self._kek(version)
            except KeyGone:  # retired and destroyed since this process read which is the newest
                if self._current == version:
                    raise

    def _kek(self, version: int, kid: bytes = b"") -> AESSIV:
        held = self._keks.get(version)
        now = self._clock()
        if held is not None and now < held.ask_at:
            return held.cipher
        # One thread asks the root key; the others go on with what they have, or wait when they have nothing.
        if held is not None and now < held.loaded_at + self._ttl + self._grace:
            if not self._loading.acquire(blocking=False):
                return held.cipher
        else:
            self._loading.acquire()
        try:
            return self._load(version, kid)
        finally:
            self._loading.release()

    def _load(self, version: int, kid: bytes) -> AESSIV:
        """With `_loading` held. Somebody may have loaded it while we waited."""
        held = self._keks.get(version)
        now = self._clock()
        if held is not None and now < held.ask_at:
            return held.cipher
        try:
            if (KEK, version) not in self._secrets or held is not None:
                self._read()
            if (KEK, version) not in self._secrets:
                self._keks.pop(version, None)
                raise KeyGone(kid)
            secret = self._unwrap_secret(KEK, version)
        except RootKeyUnavailable:
            if held is None or now >= held.loaded_at + self._ttl + self._grace:
                self._keks.pop(version, None)
                raise
            held.ask_at = min(now + RETRY_SECONDS, held.loaded_at + self._ttl + self._grace)
            return held.cipher
        except RootKeyDenied:
            self._keks = {}
            raise
        with secret:
            context = length_prefixed(self.deployment) + _U32.pack(version)
            wrapping = derive(secret.expose(), LABEL_DATA_KEY_WRAP, context, 64)
        try:
            cipher = AESSIV(wrapping)
        finally:
            wipe(wrapping)
        # Up to a tenth earlier, so that replicas started together do not ask together.
        ask_at = now + self._ttl * (1 - secrets.randbelow(1000) / 10_000)
        self._keks[version] = _Kek(cipher, now, ask_at)
        return cipher

    def _read(self) -> None:
        """With `_loading` held. Replaces what is held only when all of it could be read."""
        stored = self._store.root_secrets()
        publics = {one.version: one.public for one in self._store.root_tombstones().values() if one.kind == SIGNING}
        self._secrets = stored
        current = self._newest(KEK)
        self._newest(FINGERPRINT)
        indexes = {
            version: self._indexes.get(version) or BlindIndex(version, self._unwrap_secret(INDEX, version))
            for version in self._versions(INDEX)
        }
        signers = {
            version: self._signers.get(version) or Signer(self._name(), self._unwrap_secret(SIGNING, version))
            for version in self._versions(SIGNING)
        }
        self._current = current
        # An index that is gone is not wiped: another thread may be using it. It wipes itself when collected.
        self._indexes, self._signers = indexes, signers
        publics |= {version: signer.public for version, signer in signers.items()}
        self._publics = {version: public for version, public in publics.items() if public is not None}
        self._keks = {version: kek for version, kek in self._keks.items() if (KEK, version) in stored}

    def _keep_public_halves(self) -> None:
        """Of signing keys from before they were kept: what they signed must verify when they are destroyed."""
        for version, signer in self._signers.items():
            if self._secrets[SIGNING, version].public is None:
                self._store.set_public(SIGNING, version, signer.public)

    def _name(self) -> str:
        return f"steward-{self.deployment.hex()}"

    def _versions(self, kind: str) -> list[int]:
        self._newest(kind)
        return [version for found, version in self._secrets if found == kind]

    def _newest(self, kind: str) -> int:
        versions = [version for found, version in self._secrets if found == kind]
        if not versions:
            raise KeysError(f"the key store holds no {kind} secret; restore it from a backup")
        return max(versions)

    def _unwrap_secret(self, kind: str, version: int) -> Secret:
        context = root_secrets.context_of(self.deployment, kind, version)
        known: RootSecret | None = self._secrets[kind, version]
        while known is not None:
            try:
                return self._root.unwrap(context, known.wrapped)
            except CannotOpen:
                # The root key may have been rotated since we read.
                tried, known = known, self._store.root_secrets().get((kind, version))
                if known is None or known.wrapped == tried.wrapped:
                    raise
        raise CannotOpen

    def __repr__(self) -> str:
        return f"<Keyring of deployment {self.deployment.hex()}>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a Keyring cannot be pickled or copied")
