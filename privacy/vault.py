"""The only place that seals and unseals.

A box is opened only under a `Decision` of `privacy.access`, and opening makes the work owe an event.
Data keys are fetched for each call and wiped after it: there is no cache, so destroying a key acts on
the next request everywhere. A key is durable in the key store before the first box it seals.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, LargeBinary, func

from keys import container
from keys.container import Place
from keys.derivation import derive, length_prefixed
from keys.errors import (
    BadRootKey,
    CannotOpen,
    KekRetired,
    KeyExists,
    KeyGone,
    KeysError,
)
from keys.keyring import Keyring
from keys.store import KeyStore
from keys.wrapped import WrappedKey
from privacy.database import AsyncLane, Transaction
from privacy.errors import Corrupt, Erased, KeysUnavailable, PrivacyError
from privacy.plans import Grant, Reason
from privacy.values import Value
from privacy.work import Work

if TYPE_CHECKING:
    from keys.store_async import AsyncReader

Scoped = tuple[UUID, str]  # a subject and a retention scope
Sealable = Value | Mapping[str, object]

# What was found in a field's text stands in a box of its own beside the field's: these are the numbers of such boxes.
FINDINGS: Final = 0x8000

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Decision:
    """A yes of `privacy.access`: these fields, for this purpose, on this basis.

    `findings` are the boxes of what was found in those of them that are given redacted.
    `purpose` is a declared one, or, for what the service does by duty and discloses to nobody (comparing
    a search hit, changing a record), a name in brackets.
    """

    purpose: str
    basis: str
    numbers: frozenset[int]
    grants: tuple[Grant, ...] = ()
    withheld: Mapping[str, Reason] = field(default_factory=dict)
    findings: frozenset[int] = frozenset()


class At(NamedTuple):
    """Where a sealed record is: what its box is bound to."""

    subject_id: UUID
    scope: str
    record_type: str
    record_id: UUID


class Resealing(NamedTuple):
    """A container that gets another data key: where it is, what the event names, and the numbers it loses."""

    at: At
    sealed: bytes
    about: UUID
    without: frozenset[int] = frozenset()


class Opening(NamedTuple):
    """A container to open, under what decision; `about` is what the event names, its subject when None."""

    decision: Decision
    at: At
    sealed: bytes
    about: UUID | None = None


class Vault:
    """The keyring behind the three ways a call asks for data keys; each a source that takes many at once."""

    def __init__(self, keyring: Keyring, store: KeyStore) -> None:
        self.keyring = keyring
        self.reader = store.reader()
        self.by_kid = _ByKid(store, self.reader)
        self.current = _Current(store, self.reader)
        self.new = _New(keyring, store)


class _ByKid:
    def __init__(self, store: KeyStore, reader: AsyncReader | None) -> None:
        self._store = store
        self._reader = reader

    def many(self, transaction: Transaction | None, keys: Sequence[bytes]) -> list[WrappedKey | None]:
        try:
            found = self._store.by_kid(keys)
        except KeysError as error:
            raise _ours(error) from None
        return [found.get(kid) for kid in keys]

    async def many_async(self, lane: AsyncLane, keys: Sequence[bytes]) -> list[WrappedKey | None]:
        if self._reader is None:
            return self.many(None, keys)
        with key_errors():
            found = await self._reader.by_kid(keys)
        return [found.get(kid) for kid in keys]


class _Current:
    def __init__(self, store: KeyStore, reader: AsyncReader | None) -> None:
        self._store = store
        self._reader = reader

    def many(self, transaction: Transaction | None, keys: Sequence[Scoped]) -> list[WrappedKey | None]:
        places = [(subject_id.bytes, scope) for subject_id, scope in keys]
        try:
            found = self._store.current(places)
        except KeysError as error:
            raise _ours(error) from None
        return [found.get(place) for place in places]

    async def many_async(self, lane: AsyncLane, keys: Sequence[Scoped]) -> list[WrappedKey | None]:
        if self._reader is None:
            return self.many(None, keys)
        places = [(subject_id.bytes, scope) for subject_id, scope in keys]
        with key_errors():
            found = await self._reader.current(places)
        return [found.get(place) for place in places]


class _New:
    """Makes the data keys that are not there yet; durable when it answers. Asked twice, it makes one."""

    def __init__(self, keyring: Keyring, store: KeyStore) -> None:
        self._keyring = keyring
        self._store = store

    def many(self, transaction: Transaction | None, keys: Sequence[Scoped]) -> list[WrappedKey]:
        places = list(dict.fromkeys((subject_id.bytes, scope) for subject_id, scope in keys))
        with key_errors():
            try:
                made = self._make(places)
            except KekRetired:  # a rotation has begun; the new version is there already
                self._keyring.refresh()
                made = self._make(places)
            except KeyExists:  # somebody was faster with one of them
                made = self._store.current(places)
                for place in places:
                    if place not in made:
                        try:
                            made.update(self._make([place]))
                        except KeyExists:
                            made.update(self._store.current([place]))
        return [made[subject_id.bytes, scope] for subject_id, scope in keys]

    async def many_async(self, lane: AsyncLane, keys: Sequence[Scoped]) -> list[WrappedKey]:
        return await asyncio.to_thread(self.many, None, keys)  # it waits for a disk

    def _make(self, places: Sequence[tuple[bytes, str]]) -> dict[tuple[bytes, str], WrappedKey]:
        wrapped = {}
        for subject, scope in places:
            wrapped[subject, scope], key = self._keyring.new_data_key(subject, scope)
            key.wipe()
        self._store.add(list(wrapped.values()))
        return wrapped


def key_for(work: Work, subject_id: UUID, scope: str) -> WrappedKey:
    """The subject's key of the scope, made when there is none yet. The caller has checked: not erased."""
    vault = work.service.vault
    found = work.fetch(vault.current, (subject_id, scope))
    return found if found is not None else work.fetch(vault.new, (subject_id, scope))


class KeysOf(NamedTuple):
    """A subject's keys of one scope. Retired ones open what they sealed and seal nothing new."""

    current: WrappedKey | None
    retired: tuple[WrappedKey, ...]


def keys_of(work: Work, subject_id: UUID, scope: str) -> KeysOf:
    """The subject's keys of the scope, as the key store has them now."""
    store = work.service.keystore
    with key_errors():
        current = store.current([(subject_id.bytes, scope)]).get((subject_id.bytes, scope))
        found = [key for key in store.kids_of(subject_id.bytes) if key.scope == scope]
    return KeysOf(current, tuple(key for key in found if current is None or key.kid != current.kid))


def replace_key(work: Work, subject_id: UUID, scope: str) -> WrappedKey:
    """A new current key of the scope, durable; the one before is retired. The caller holds the subject alone."""
    keyring = work.service.keyring
    with key_errors():
        new = _made(keyring, subject_id, scope)
        try:
            work.service.keystore.replace(new)
        except KekRetired:  # a rotation has begun; the new version is there already
            keyring.refresh()
            new = _made(keyring, subject_id, scope)
            work.service.keystore.replace(new)
    return new


def _made(keyring: Keyring, subject_id: UUID, scope: str) -> WrappedKey:
    wrapped, key = keyring.new_data_key(subject_id.bytes, scope)
    key.wipe()
    return wrapped


def seal(work: Work, wrapped: WrappedKey, at: At, values: Mapping[int, Sealable]) -> bytes:
    """One container with a box for each value, under the subject's key and bound to its place."""
    keyring = work.service.keyring
    boxes = {number: _encode(value) for number, value in values.items()}
    try:
        with keyring.unwrap(wrapped) as key:
            return container.seal(key, _place(keyring, at), boxes)
    except KeysError as error:
        raise _ours(error) from None


def patch(
    work: Work, decision: Decision, at: At, sealed: bytes, changes: Mapping[int, Sealable]
) -> tuple[bytes, frozenset[int]]:
    """The container with some values replaced, or removed (None), and the numbers it holds now.

    The other boxes stay closed. Raises `Corrupt`, `Erased`.
    """
    if not changes.keys() <= decision.numbers | decision.findings:
        raise AssertionError("a change outside its decision")
    keyring = work.service.keyring
    boxes = {number: None if value is None else _encode(value) for number, value in changes.items()}
    with key_errors(), keyring.unwrap(_wrapped(work, sealed)) as key:
        patched = container.patch(key, _place(keyring, at), sealed, boxes)
    return patched, numbers_in(patched)


def unseal(work: Work, decision: Decision, at: At, sealed: bytes) -> dict[int, Any]:
    """The values and the findings that the decision names, by number. The work owes an event for it from now on.

    Raises `Corrupt` (never saying why), `Erased`, `KeysUnavailable`.
    """
    keyring = work.service.keyring
    wrapped = _wrapped(work, sealed)
    work.owe(at.record_id)
    numbers = decision.numbers | decision.findings if decision.findings else decision.numbers
    try:
        with keyring.unwrap(wrapped) as key:
            opened = container.unseal(key, _place(keyring, at), sealed, numbers)
    except KeysError as error:
        raise _ours(error) from None
    return {number: _decode(box) for number, box in opened.items()}


def unseal_many(work: Work, items: Sequence[Opening]) -> list[dict[int, Any] | Erased | Corrupt]:
    """The values that each item's decision names, by number; or that its key is destroyed, or that it does not open.

    The work owes an event about what each item names, not about each record. The keys are fetched in one statement.
    Raises `KeysUnavailable`.
    """
    keyring = work.service.keyring
    kids = [_kid_or_none(item.sealed) for item in items]
    wanted = list(dict.fromkeys(kid for kid in kids if kid is not None))
    found = dict(zip(wanted, work.service.vault.by_kid.many(None, wanted), strict=True)) if wanted else {}
    opened: list[dict[int, Any] | Erased | Corrupt] = []
    with key_errors(), ExitStack() as unwrapped:
        keys = {kid: unwrapped.enter_context(keyring.unwrap(one)) for kid, one in found.items() if one is not None}
        for kid, (decision, at, sealed, about) in zip(kids, items, strict=True):
            key = keys.get(kid) if kid is not None else None
            if key is None:
                opened.append(Corrupt() if kid is None else Erased())
                continue
            work.owe(about or at.subject_id)
            try:
                boxes = container.unseal(key, _place(keyring, at), sealed, decision.numbers)
            except CannotOpen:
                opened.append(Corrupt())
                continue
            opened.append({number: _decode(box) for number, box in boxes.items()})
    return opened


def derived(work: Work, scoped: Scoped, label: bytes, about: Sequence[bytes], length: int) -> bytes:
    """Bytes that follow from the current data key of a subject and scope, and end with it (SP 800-108).

    They tell nothing of the key or of what follows from it under another `label` or `about`. Raises `Erased`,
    `KeysUnavailable`.
    """
    wrapped = work.fetch(work.service.vault.current, scoped)
    if wrapped is None:
        work.look_again()  # its key may have been destroyed since the row was read
        raise Erased("The key of this subject has been destroyed")
    with key_errors(), work.service.keyring.unwrap(wrapped) as key:
        return bytes(derive(key.expose(), label, length_prefixed(*about), length))


def _kid_or_none(sealed: bytes) -> bytes | None:
    try:
        return container.kid_of(sealed)
    except CannotOpen:
        return None


def reseal(
    work: Work, decision: Decision, wrapped: WrappedKey, items: Sequence[Resealing]
) -> list[tuple[bytes, frozenset[int]] | None]:
    """Each container as it is under another data key of its subject, and the numbers it holds; None for one of
    which nothing would be left, or whose own key is destroyed.

    Every box is opened, and those that a `Resealing` leaves out are not sealed again, nor what was found in them. The
    work owes an event for each item about what it names. The old keys are fetched in one statement. Raises `Corrupt`,
    `KeysUnavailable`.
    """
    keyring = work.service.keyring
    kids = dict.fromkeys(kid_of(item.sealed) for item in items)
    old = dict(zip(kids, work.service.vault.by_kid.many(None, list(kids)), strict=True))
    done: list[tuple[bytes, frozenset[int]] | None] = []
    with key_errors(), ExitStack() as opened:
        new = opened.enter_context(keyring.unwrap(wrapped))
        keys = {kid: opened.enter_context(keyring.unwrap(found)) for kid, found in old.items() if found is not None}
        for item in items:
            wanted = numbers_in(item.sealed) - item.without - set(map(findings_of, item.without))
            key = keys.get(kid_of(item.sealed))
            if key is None or not wanted:
                done.append(None)
                continue
            if not wanted <= decision.numbers | decision.findings:
                raise AssertionError("a box outside its decision")
            work.owe(item.about)
            place = _place(keyring, item.at)
            boxes = container.unseal(key, place, item.sealed, wanted)
            done.append((container.seal(new, place, boxes), wanted))
    return done


def numbers_in(sealed: bytes) -> frozenset[int]:
    """The numbers of all boxes that the container says it holds: of fields, and of what was found in them."""
    with key_errors():
        return frozenset(entry.field for entry in container.directory(sealed))


def fields_in(sealed: bytes) -> frozenset[int]:
    """The field numbers that the container says it holds."""
    return frozenset(number for number in numbers_in(sealed) if number < FINDINGS)


def findings_of(number: int) -> int:
    """The number of the box with what was found in the field of this number."""
    if not 0 <= number < FINDINGS:
        raise AssertionError("a field's number leaves no room for its findings")
    return number + FINDINGS


def kid_of(sealed: bytes) -> bytes:
    """The id of the key that seals the container."""
    try:
        return container.kid_of(sealed)
    except CannotOpen:
        raise Corrupt from None


def sealed_under(column: ColumnElement[Any], kids: Collection[bytes]) -> ColumnElement[bool]:
    """Whether a column's container names one of these keys, as a condition: the kid is its bytes 4 to 11."""
    return func.substr(column, 5, 8, type_=LargeBinary()).in_(kids)


def _wrapped(work: Work, sealed: bytes) -> WrappedKey:
    found = work.fetch(work.service.vault.by_kid, kid_of(sealed))
    if found is None:
        work.look_again()  # its subject's key may have been replaced since the row was read
        raise Erased("The key of this data has been destroyed")
    return found


def _place(keyring: Keyring, at: At) -> Place:
    return Place(keyring.deployment, at.subject_id.bytes, at.scope, at.record_type, at.record_id.bytes)


@contextmanager
def key_errors() -> Iterator[None]:
    """The keys' errors as ours."""
    try:
        yield
    except KeyExists:
        raise
    except KeysError as error:
        raise _ours(error) from None


def _ours(error: KeysError) -> PrivacyError:
    match error:
        case CannotOpen():
            return Corrupt()
        case KeyGone():
            return Erased()
        case BadRootKey():
            return KeysUnavailable(str(error))
        case _:
            return KeysUnavailable(f"The keys cannot be reached ({type(error).__name__})", retry_after=5)
