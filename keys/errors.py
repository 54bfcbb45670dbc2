"""Everything that can go wrong with keys, as one tree.

A class for each thing a caller would handle differently. Messages carry ids, key ids and file paths,
never key material, a subject's id or a person's value.
"""

from __future__ import annotations


class KeysError(Exception):
    """The root. Raised itself only for misuse by our own code (a wiped secret, a field id out of range)."""


class CannotOpen(KeysError):
    """A sealed record, wrapped key or bound secret does not open. Never says why: the reason is an oracle."""

    def __init__(self) -> None:
        super().__init__("a sealed box does not open")


class KeyGone(KeysError):
    """The data key, or the KEK version that wrapped it, has been destroyed or never existed.

    Not repairable.
    """

    def __init__(self, kid: bytes) -> None:
        super().__init__(f"the data key {kid.hex()} is gone")
        self.kid = kid


class KeyExists(KeysError):
    """The (subject, scope) already has a current key, or a kid is taken or was destroyed. Nothing was stored.

    Creating is idempotent through this: read `KeyStore.current`, and make new keys for what is still missing.
    """

    def __init__(self) -> None:
        super().__init__("a data key for this place, or with this id, exists already")


class Overtaken(KeysError):
    """The root secrets have changed since they were read (another process adds or rewraps). Read them, try again."""

    def __init__(self) -> None:
        super().__init__("the root secrets have changed meanwhile; read them again")


class KekRetired(KeysError):
    """The key store no longer takes data keys under this KEK version.

    Call `Keyring.refresh`, make the key again.
    """

    def __init__(self) -> None:
        super().__init__("the key-encryption key version has been retired for new keys")


class KeyStoreUnavailable(KeysError):
    """The key store cannot be reached, or cannot finish now. Retry: every operation on it may run twice."""


class KeyStoreNotReady(KeysError):
    """There is no key store at the address, or its schema is of another version.

    The message says what to do.
    """


class StoreExists(KeysError):
    """The key store already belongs to a deployment; a second one would orphan every sealed record."""


class RootKeyUnavailable(KeysError):
    """The holder of the root key does not answer (timeout, throttled, 5xx). Nothing is wrong; retry later."""


class RootKeyDenied(KeysError):
    """The holder of the root key refuses (disabled, scheduled for deletion, no permission).

    Fail closed at once.
    """


class BadRootKey(KeysError):
    """The root key file, passphrase or address cannot be used. The message tells the operator what to do."""
