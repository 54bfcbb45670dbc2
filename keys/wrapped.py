"""What the key store keeps: wrapped keys, whose store it is, what was erased. Rows, without behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class WrappedKey(NamedTuple):
    """A data key as it is stored.

    48 bytes of AES-256-SIV under version `kek`, bound to everything else here.
    """

    subject: bytes
    scope: str
    kid: bytes
    kek: int
    wrapped: bytes

    def __repr__(self) -> str:
        return f"<WrappedKey {self.kid.hex()} under KEK {self.kek}>"


class State(StrEnum):
    """Of a root secret (SP 800-57 part 1, section 7).

    The newest version of a kind is active; those before are retired: they open, verify and find, and make nothing new.
    Of a destroyed one a tombstone is left.
    """

    ACTIVE = "active"
    RETIRED = "retired"
    DESTROYED = "destroyed"


@dataclass(frozen=True, slots=True, repr=False)
class RootSecret:
    """A KEK version or the root of another key tree (index, fingerprint, signing, ...), under the root key.

    `public` is the public half of one that signs, in clear; `retired_at` in Unix seconds.
    """

    kind: str
    version: int
    wrapped: bytes
    public: bytes | None = None
    state: State = State.ACTIVE
    retired_at: int | None = None

    def __repr__(self) -> str:
        return f"<RootSecret {self.kind} {self.version}>"


class SecretState(NamedTuple):
    """What may be told of a root secret, also of one that is destroyed. `changed_at`, Unix seconds: retired, or
    destroyed."""

    kind: str
    version: int
    state: State
    changed_at: int | None


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is left of a destroyed root secret: its number is never used again, and what it signed still verifies."""

    kind: str
    version: int
    public: bytes | None
    destroyed_at: int


@dataclass(frozen=True, slots=True)
class Ownership:
    """Whose key store this is, and the oldest KEK version that may still wrap new data keys.

    `revision` counts the changes of the root secrets, so that a process sees cheaply that there was one.
    """

    deployment: bytes
    min_encryption_version: int
    revision: int = 0


SUBJECT_MARK, KEY_MARK = 1, 2


class LedgerRow(NamedTuple):
    """An erasure that no restored backup may undo.

    `mark` is a keyed hash of a subject (kind 1) or of a data key's id (kind 2); `at` is in Unix seconds.
    """

    number: int
    kind: int
    mark: bytes
    at: int


class Count(NamedTuple):
    """How many data keys stand under one KEK version; `retired` of them seal nothing new."""

    kek: int
    keys: int
    retired: int
