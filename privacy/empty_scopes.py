"""Data keys of what is gone: a subject of whom nothing is left in a retention scope loses the scope's key.

The key is destroyed after the records' removal has committed, with its mark in the erasure ledger, so that neither
store brings it back from a backup. What is still to be destroyed is noted in the transaction of the removal: a crash
between leaves the note, and whoever comes next destroys the key, or finds it destroyed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import select, update

from privacy import erasure_ledger, profile, vault
from privacy.retention_due import lock_free
from privacy.tables import records, watch_state
from privacy.work import Work

NAME: Final = "empty-scopes"  # the row of `watch_state`


def note(work: Work, touched: Iterable[tuple[UUID, str]]) -> None:
    """Note the scopes, of these subjects and record types, in which nothing is left. The caller holds the subjects."""
    types = work.declared.manifest.records
    scopes = {(subject_id, types[name].scope) for subject_id, name in touched if name in types}
    empty = [[str(one), scope] for one, scope in sorted(scopes) if _is_empty(work, one, scope)]
    if empty:
        _keep(work, [*_noted(work), *empty])


def shred(work: Work) -> int:
    """Destroy the keys of the scopes noted, unless something was stored there since; how many keys.

    Whoever stores holds the subject before taking its key, so nothing is sealed under a key that goes here. One at a
    time: the note is locked until the work ends.
    """
    noted = _noted(work)
    if not noted:
        return 0
    locked = lock_free(work, (UUID(one) for one, _ in noted))
    destroyed = sum(
        _destroy(work, UUID(one), scope)
        for one, scope in noted
        if UUID(one) in locked and _is_empty(work, UUID(one), scope)
    )
    if destroyed:
        erasure_ledger.record(work)
    _keep(work, [[one, scope] for one, scope in noted if UUID(one) not in locked])
    return destroyed


def _destroy(work: Work, subject_id: UUID, scope: str) -> int:
    store, keyring = work.service.keystore, work.service.keyring
    with vault.key_errors():
        kids = [key.kid for key in store.kids_of(subject_id.bytes) if key.scope == scope]
        store.erase(subject_id.bytes, scope, None, [erasure_ledger.mark_key(keyring, kid) for kid in kids])
    work.audit("retention.scope-shredded", subject=subject_id, detail={"keys": len(kids), "scope": scope})
    return len(kids)


def _is_empty(work: Work, subject_id: UUID, scope: str) -> bool:
    if scope == profile.SCOPE:  # who the subject is, and its acts, are sealed there
        return False
    types = [one.name for one in work.declared.manifest.records.values() if one.scope == scope]
    left = select(records.c.record_id).where(records.c.subject_id == subject_id, records.c.record_type.in_(types))
    return work.execute(left.limit(1)).first() is None


def _noted(work: Work) -> list[list[str]]:
    state = work.execute(select(watch_state.c.state).where(watch_state.c.name == NAME).with_for_update()).scalar_one()
    found: list[list[str]] = state["noted"]
    return found


def _keep(work: Work, noted: Sequence[Sequence[str]]) -> None:
    state: Mapping[str, object] = {"noted": [list(one) for one in noted]}
    work.execute(update(watch_state).where(watch_state.c.name == NAME).values(state=state))
    work.paid()  # the removal has its event
