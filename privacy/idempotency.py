"""What an Idempotency-Key answered (draft-ietf-httpapi-idempotency-key-header-07).

The memory is written in the transaction of the change it stands for. It holds keyed hashes of the key
and of the request and an answer of ids, never a personal value, and forgets after a day.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from sqlalchemy import delete, select

from privacy.database import Insertion, Lookup
from privacy.errors import IdempotencyConflict, Invalid
from privacy.tables import idempotency_keys
from privacy.work import Rows, Work

KEPT: Final = timedelta(hours=24)
_KEPT_MICROS: Final = KEPT // timedelta(microseconds=1)
_LENGTH: Final = 255

_KEYS = Insertion(idempotency_keys)
_KNOWN = Rows(
    Lookup(
        lambda principal, key: select(
            idempotency_keys.c.fingerprint, idempotency_keys.c.answer, idempotency_keys.c.expires_at
        ).where(idempotency_keys.c.principal_id == principal, idempotency_keys.c.idempotency_key == key),
        "uuid",
        "text",
    )
)


def once(work: Work, key: str | None, request: bytes, call: Callable[[], bytes]) -> bytes:
    """The answer of `call`, or the answer it gave when this principal first sent this key.

    Without a key, just `call()`. Raises `IdempotencyConflict` when the key came with another request,
    `Invalid` when it is no key.
    """
    if key is None:
        return call()
    if not 1 <= len(key) <= _LENGTH or not key.isascii() or not key.isprintable():
        raise Invalid(f"Idempotency-Key must be 1 to {_LENGTH} printable ASCII characters")
    principal = work.actor.principal_id
    if principal is None:
        raise Invalid("Only a principal can use an Idempotency-Key")
    keyring = work.service.keyring
    fingerprint = keyring.fingerprint("idempotency", request)
    key = keyring.fingerprint("idempotency-key", key.encode()).hex()  # callers make keys of all sorts of things
    known = work.fetch(_KNOWN, (principal, key))
    if known and known[0][2] > work.instant:
        if bytes(known[0][0]) != fingerprint:
            raise IdempotencyConflict
        work.audit("request.replayed")
        return bytes(known[0][1])
    if known:
        work.execute(
            delete(idempotency_keys).where(
                idempotency_keys.c.principal_id == principal, idempotency_keys.c.idempotency_key == key
            )
        )
    answer = call()
    work.add(_KEYS, (principal, key, fingerprint, answer, work.instant + _KEPT_MICROS))
    work.paid()  # the change it stands for has its own event
    return answer


def forget(work: Work) -> int:
    """Remove what is older than a day; how many there were."""
    gone = work.execute(delete(idempotency_keys).where(idempotency_keys.c.expires_at <= work.instant)).rowcount
    work.audit("idempotency.forgotten", detail={"rows": gone})
    return gone
