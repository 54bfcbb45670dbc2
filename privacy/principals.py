"""Principals and their API keys: who may call, as what, for which purposes and record types.

A key is 256 random bits behind a fixed prefix, so that secret scanners know it, with a checksum, so that
a mistyped key is told from a revoked one without a database. Only its SHA-256 digest is stored: a key of
full entropy needs no slow hash. It is shown once.
"""

from __future__ import annotations

import hmac
import secrets
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from sqlalchemy import and_, insert, or_, select, update

from privacy import ids
from privacy.database import Clash, Transaction
from privacy.errors import Conflict, Invalid, NotFound, Unauthenticated
from privacy.tables import api_keys, micros, moment, principals, revisions
from privacy.work import Actor, Role, Work

PREFIX = "steward_"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BODY = 43
_CHECK = 6
_NAME_LENGTH = 80


@dataclass(frozen=True, slots=True)
class NewKey:
    """A principal and its key, the only time the key is seen."""

    id: UUID
    name: str
    key: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Principal:
    """A principal as it is listed; `keys` are hints (the last characters) of the keys that are live."""

    id: UUID
    name: str
    role: Role
    purposes: tuple[str, ...]
    types: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None
    keys: tuple[str, ...]


class Directory:
    """The live keys and their principals, as of one revision."""

    def __init__(self, revision: int, actors: dict[bytes, Actor]) -> None:
        self.revision = revision
        self._actors = actors

    def actor(self, digest: bytes, instant: int) -> Actor:
        """The actor whose key has this digest. Raises `Unauthenticated`."""
        actor = self._actors.get(digest)
        if actor is None or not hmac.compare_digest(actor.digest, digest):
            raise Unauthenticated("The API key is not known")
        if actor.expires_at is not None and actor.expires_at <= instant:
            raise Unauthenticated("The API key has expired")
        return actor


def add(
    work: Work,
    name: str,
    *,
    role: Role,
    purposes: Sequence[str] = (),
    types: Sequence[str] = (),
    expires_at: datetime | None = None,
) -> NewKey:
    """A new principal with its first key. Raises `Invalid`, `Conflict`, `UndeclaredPurpose`, `Undeclared`."""
    work.require(Role.ADMIN)
    _check_grant(work, name, role, purposes, types)
    principal_id = ids.new()
    if work.execute(select(principals.c.id).where(principals.c.name == name)).first():
        raise Conflict("There is a principal of this name already")
    work.execute(
        insert(principals).values(
            id=principal_id,
            name=name,
            role=role.value,
            purposes=sorted(set(purposes)),
            types=sorted(set(types)),
            created_at=work.instant,
        )
    )
    key = _new_key(work, principal_id, expires_at)
    work.audit("principal.added", detail={"principal": name, "role": role, "purposes": purposes, "types": types})
    return NewKey(principal_id, name, key, expires_at)


def rotate(work: Work, name: str, *, until: datetime | None = None, expires_at: datetime | None = None) -> NewKey:
    """A further key for the principal; the old ones end at `until` (now, when None).

    Raises `NotFound`, `Conflict` when the principal has been revoked.
    """
    work.require(Role.ADMIN)
    principal_id = _find(work, name)
    if work.execute(select(principals.c.revoked_at).where(principals.c.id == principal_id)).scalar_one() is not None:
        raise Conflict("The principal has been revoked; add a new one")
    end = work.instant if until is None else micros(until)
    live = and_(
        api_keys.c.principal_id == principal_id,
        api_keys.c.revoked_at.is_(None),
        or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > end),
    )
    work.execute(update(api_keys).where(live).values(expires_at=end))
    key = _new_key(work, principal_id, expires_at)
    work.audit("principal.rotated", detail={"principal": name})
    return NewKey(principal_id, name, key, expires_at)


def revoke(work: Work, name: str) -> None:
    """End the principal and all its keys, from the next request on. Raises `NotFound`."""
    work.require(Role.ADMIN)
    principal_id = _find(work, name)
    work.execute(update(principals).where(principals.c.id == principal_id).values(revoked_at=work.instant))
    live = and_(api_keys.c.principal_id == principal_id, api_keys.c.revoked_at.is_(None))
    work.execute(update(api_keys).where(live).values(revoked_at=work.instant))
    _changed(work)
    work.audit("principal.revoked", detail={"principal": name})


def listed(work: Work) -> list[Principal]:
    """Every principal, by name."""
    work.require(Role.ADMIN)
    hints: dict[UUID, list[str]] = {}
    live = and_(
        api_keys.c.revoked_at.is_(None),
        or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > work.instant),
    )
    for row in work.execute(select(api_keys.c.principal_id, api_keys.c.hint).where(live)):
        hints.setdefault(row.principal_id, []).append(row.hint)
    return [
        Principal(
            id=row.id,
            name=row.name,
            role=Role(row.role),
            purposes=tuple(row.purposes),
            types=tuple(row.types),
            created_at=row.created_at,
            revoked_at=row.revoked_at,
            keys=tuple(hints.get(row.id, ())),
        )
        for row in work.execute(select(principals).order_by(principals.c.name))
    ]


def load(transaction: Transaction, revision: int) -> Directory:
    """Every key that is neither revoked nor its principal's."""
    statement = (
        select(api_keys.c.digest, api_keys.c.expires_at, principals)
        .join(principals, principals.c.id == api_keys.c.principal_id)
        .where(api_keys.c.revoked_at.is_(None), principals.c.revoked_at.is_(None))
    )
    actors = {
        bytes(row.digest): Actor(
            name=row.name,
            role=Role(row.role),
            principal_id=row.id,
            purposes=frozenset(row.purposes),
            types=frozenset(row.types),
            digest=bytes(row.digest),
            expires_at=None if row.expires_at is None else micros(row.expires_at),
            key_id=bytes(row.digest)[:8].hex(),
        )
        for row in transaction.execute(statement)
    }
    return Directory(revision, actors)


def digest_of(key: str) -> bytes:
    """What is stored of a key. Raises `Unauthenticated` when it has not the form of one."""
    body, check = key[len(PREFIX) : -_CHECK], key[-_CHECK:]
    if not key.startswith(PREFIX) or len(body) != _BODY or not hmac.compare_digest(check.encode(), _check(body)):
        raise Unauthenticated("The API key is not one of ours: it is damaged or was never issued")
    return sha256(key.encode()).digest()


def _new_key(work: Work, principal_id: UUID, expires_at: datetime | None) -> str:
    if expires_at is not None and micros(expires_at) <= work.instant:
        raise Invalid(f"The key would have expired at {moment(micros(expires_at)):%Y-%m-%d %H:%M}Z, in the past")
    body = "".join(secrets.choice(_ALPHABET) for _ in range(_BODY))
    key = f"{PREFIX}{body}{_check(body).decode()}"
    try:
        work.execute(
            insert(api_keys).values(
                digest=digest_of(key),
                principal_id=principal_id,
                hint=f"{PREFIX}…{key[-4:]}",
                created_at=work.instant,
                expires_at=expires_at,
            )
        )
    except Clash:
        raise Conflict("Two random keys met; try again") from None
    _changed(work)
    return key


def _check(body: str) -> bytes:
    number = zlib.crc32(body.encode())
    digits = []
    for _ in range(_CHECK):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(digits).encode()


def _changed(work: Work) -> None:
    work.execute(update(revisions).where(revisions.c.name == "principals").values(number=revisions.c.number + 1))


def _find(work: Work, name: str) -> UUID:
    found = work.execute(select(principals.c.id).where(principals.c.name == name)).scalar_one_or_none()
    if found is None:
        raise NotFound("There is no principal of this name")
    return UUID(str(found))


def _check_grant(work: Work, name: str, role: Role, purposes: Sequence[str], types: Sequence[str]) -> None:
    if not 1 <= len(name) <= _NAME_LENGTH or not name.isprintable() or name != name.strip():
        raise Invalid(f"A principal's name has 1 to {_NAME_LENGTH} printable characters")
    if role is not Role.SERVICE and (purposes or types):
        raise Invalid("Only a service is granted purposes and record types")
    if role is Role.SERVICE and not (purposes and types):
        raise Invalid("A service needs at least one purpose and one record type")
    for purpose in purposes:
        if purpose != "*":
            work.declared.purpose(purpose)
    for record_type in types:
        if record_type != "*":
            work.declared.record_type(record_type)
