"""The keys that the root key wraps: made, counted in versions, and put under the next root key.

Every change of them is guarded by the store's revision: who wraps a secret under a root key that has been replaced
meanwhile finds the revision moved on, and stores nothing. A secret under a root key that is gone would take with it
all that it has wrapped.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from keys.derivation import length_prefixed
from keys.errors import CannotOpen, KeyStoreNotReady, KeyStoreUnavailable, Overtaken
from keys.kms import ReplaceableRootKey, RootKey
from keys.secret import Secret
from keys.signing import Signer
from keys.store import KeyStore
from keys.wrapped import RootSecret

SIGNING: Final = "signing"
# How often a change is tried again because another process was faster.
ATTEMPTS: Final = 50

_U32 = struct.Struct(">I")


def context_of(deployment: bytes, kind: str, version: int) -> bytes:
    """What a root secret is bound to inside its wrap."""
    return length_prefixed(deployment, kind.encode()) + _U32.pack(version)


def make(root: RootKey, deployment: bytes, kind: str, version: int, key: Secret) -> RootSecret:
    """`key`, 32 bytes, which stays the caller's, as it is stored: with its public half where it signs."""
    public = None
    if kind == SIGNING:
        public = Signer(kind, Secret(bytearray(key.expose()))).public
    return RootSecret(kind, version, root.wrap(context_of(deployment, kind, version), key), public)


def revision_of(store: KeyStore, deployment: bytes) -> int:
    """To be read before the secrets that a change starts from."""
    ownership = store.ownership()
    if ownership is None or ownership.deployment != deployment:
        raise KeyStoreNotReady("the key store is another deployment's, or was emptied; restore it from a backup")
    return ownership.revision


def rotate(store: KeyStore, root: RootKey, deployment: bytes) -> int:
    """Put every secret under the next root key, then let the old one go. Returns how many there are.

    1 the holder makes the next root key, durable and beside the old one, or finds the one that a crash left
    2 every secret is wrapped anew, in one transaction of the key store
    3 the store is read again, and every secret opened under the next root key
    4 the holder puts it in the place of the old one, which it destroys

    A crash before 2 leaves the old root key in use, one after it the next: who opens a secret tries both, and who
    opens the keyring finishes (`finish_rotation`). A holder that keeps its versions inside is asked to rewrap.
    """
    for _ in range(ATTEMPTS):
        revision = revision_of(store, deployment)
        secrets = store.root_secrets().values()
        successor = root.successor() if isinstance(root, ReplaceableRootKey) else None  # 1
        try:
            store.rewrap_root_secrets(_rewrapped(deployment, secrets, root, successor), revision=revision)  # 2
        except Overtaken:
            continue
        except CannotOpen:
            if revision_of(store, deployment) == revision:
                raise
            continue  # another process has put the next root key in place between two of our steps
        secrets = store.root_secrets().values()
        try:
            _open_all(successor or root, deployment, secrets)  # 3
        except CannotOpen:
            if revision_of(store, deployment) == revision + 1:
                raise
            continue  # another process has rotated once more since, and let this successor go
        if isinstance(root, ReplaceableRootKey) and successor is not None:
            root.succeed(successor)  # 4
        return len(secrets)
    raise KeyStoreUnavailable("the root secrets change all the time; try again later")


def finish_rotation(root: RootKey, deployment: bytes, secrets: Iterable[RootSecret]) -> None:
    """What a crash has left between the steps 2 and 4 of `rotate`; nothing when it was before 2."""
    if isinstance(root, ReplaceableRootKey) and root.has_successor():
        successor = root.successor()
        try:
            _open_all(successor, deployment, secrets)
        except CannotOpen:
            return
        root.succeed(successor)


def _open_all(root: RootKey, deployment: bytes, secrets: Iterable[RootSecret]) -> None:
    for secret in secrets:
        root.unwrap(context_of(deployment, secret.kind, secret.version), secret.wrapped).wipe()


def _rewrapped(
    deployment: bytes, secrets: Iterable[RootSecret], root: RootKey, successor: RootKey | None
) -> list[tuple[RootSecret, bytes]]:
    """What has to change."""
    changes = []
    for secret in secrets:
        context = context_of(deployment, secret.kind, secret.version)
        if successor is None:
            blob = root.rewrap(context, secret.wrapped)
        else:
            with root.unwrap(context, secret.wrapped) as key:
                blob = successor.wrap(context, key)
        if blob != secret.wrapped:
            changes.append((secret, blob))
    return changes
