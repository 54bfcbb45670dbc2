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
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NoReturn, SupportsIndex

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from keys.blind_index import BlindIndex
from keys.derivation import LABEL_DATA_KEY_WRAP, derive, length_prefixed
from keys.errors import CannotOpen, KeyExists, KeyGone, KeysError, KeyStoreNotReady, RootKeyDenied, RootKeyUnavailable
from keys.kms import RootKey
from keys.secret import KEY_BYTES, DataKey, Secret, wipe
from keys.signing import Signer
from keys.store import KeyStore
from keys.wrapped import RootSecret, WrappedKey

TTL_SECONDS: Final = 15 * 60.0
GRACE_SECONDS: Final = 60 * 60.0
# While the root key is away, ask it this often at most.
RETRY_SECONDS: Final = 5.0

KEK, INDEX, FINGERPRINT, SIGNING = "kek", "index", "fingerprint", "signing"
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
    index: BlindIndex
    signer: Signer

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
        self._loading = threading.Lock()
        self._secrets = store.root_secrets()
        self._current = self._newest(KEK)
        newest_index = self._newest(INDEX)
        self.index = BlindIndex(newest_index, self._unwrap_secret(INDEX, newest_index))
        self._fingerprints = self._unwrap_secret(FINGERPRINT, self._newest(FINGERPRINT))
        seed = self._unwrap_secret(SIGNING, self._newest(SIGNING))
        self.signer = Signer(f"steward-{self.deployment.hex()}", seed)
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
                made.append(RootSecret(kind, 1, root.wrap(_context(deployment, kind, 1), key)))
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
        version = self._current
        try:
            associated = self._associated(subject, scope, key.kid, version)
            wrapped = self._kek(version).encrypt(key.expose(), [associated])
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

    def fingerprint(self, label: str, data: bytes) -> bytes:
        """32 bytes, equal for equal `data` under one `label`, that tell nothing without the root."""
        return hmac.digest(self._fingerprints.expose(), length_prefixed(label.encode()) + data, "sha256")

    def mldsa_seed(self) -> Secret:
        """The seed of the deployment's ML-DSA-44 key, made on first use; to be wiped by the caller.

        A root secret of its own: whoever breaks or learns the Ed25519 seed learns nothing of it.
        """
        with self._loading:
            self._secrets = self._store.root_secrets()
            if (MLDSA, 1) not in self._secrets:
                with Secret.random() as seed, suppress(KeyExists):  # another process was first
                    wrapped = self._root.wrap(_context(self.deployment, MLDSA, 1), seed)
                    self._store.add_root_secret(RootSecret(MLDSA, 1, wrapped))
                self._secrets = self._store.root_secrets()
            return self._unwrap_secret(MLDSA, self._newest(MLDSA))

    def refresh(self) -> None:
        """Read again which KEK versions exist. Call it on KekRetired, then make the data key anew."""
        with self._loading:
            self._secrets = self._store.root_secrets()
            self._current = self._newest(KEK)

    def health(self) -> None:
        """Return when data keys can be opened now; raise RootKeyUnavailable or RootKeyDenied."""
        self._root.health()
        self._kek(self._current)

    def close(self) -> None:
        """Wipe what is held. The store stays open: it is the caller's."""
        self._keks = {}
        self.index.wipe()
        self._fingerprints.wipe()

    def _associated(self, subject: bytes, scope: str, kid: bytes, version: int) -> bytes:
        return length_prefixed(self.deployment, subject, scope.encode(), kid) + _U32.pack(version)

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
        if (KEK, version) not in self._secrets or held is not None:
            self._secrets = self._store.root_secrets()
            self._current = self._newest(KEK)
        if (KEK, version) not in self._secrets:
            self._keks.pop(version, None)
            raise KeyGone(kid)
        try:
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

    def _newest(self, kind: str) -> int:
        versions = [version for found, version in self._secrets if found == kind]
        if not versions:
            raise KeysError(f"the key store holds no {kind} secret; restore it from a backup")
        return max(versions)

    def _unwrap_secret(self, kind: str, version: int) -> Secret:
        return self._root.unwrap(_context(self.deployment, kind, version), self._secrets[kind, version].wrapped)

    def __repr__(self) -> str:
        return f"<Keyring of deployment {self.deployment.hex()}>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a Keyring cannot be pickled or copied")


def _context(deployment: bytes, kind: str, version: int) -> bytes:
    """What a root secret is bound to inside its wrap."""
    return length_prefixed(deployment, kind.encode()) + _U32.pack(version)
