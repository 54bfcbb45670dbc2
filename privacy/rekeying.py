"""A data key is replaced: everything sealed under it is sealed again under a new one, and then it is destroyed.

What a subject's data key seals, and nothing else does: its records of the key's scope, and, in the scope of the
profile, the profile, the proofs of its acts and the personal details of its events. The key of the house seals what
belongs to no subject.

1. The subject's row is locked alone, so nobody writes for it. The new key is put in the old one's place in the key
   store, durable before anything is sealed under it; the old one is retired: it opens and seals nothing new.
2. A page at a time, each in a transaction of its own with its events, containers are opened and sealed under the new
   key. A record's event carries the digest of what it is now.
3. A query proves that nothing refers to the retired key.
4. The retired key is destroyed.

Stopped anywhere, it goes on when it is called again: a retired key says that there is something to go on with. The
usual subject is one transaction. Of many subjects with little each (`rekey_subjects`), each of the steps is one for
all of them. An erasure does the same with what stays, and leaves under the old key what goes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import Column, ColumnElement, Row, Select, Table, and_, case, delete, func, select, true, tuple_, update

from keys.errors import KekRetired
from keys.keyring import Keyring
from keys.wrapped import WrappedKey
from privacy import audit_details, holds, house, profile, removal, vault
from privacy.consent import ACT as CONSENT_ACT
from privacy.errors import Corrupt
from privacy.standing import ACT as STANDING_ACT
from privacy.steward import Steward
from privacy.tables import audit_details as details_table
from privacy.tables import confirmations as confirmations_table
from privacy.tables import consent_events, erasures, index_entries, records, standing_events, subjects
from privacy.tables import holds as holds_table
from privacy.tables_releases import release_parts as parts_table
from privacy.vault import At, Decision, KeysOf, Resealing
from privacy.work import Actor, Role, Work

PAGE: Final = 200  # containers of one transaction
MOST: Final = 5 * PAGE  # records, and as many of each other kind, in one transaction of many subjects
REKEYER: Final = Actor("rekeying", Role.OPERATOR)
RESEALED: Final = "record.resealed"
PARTLY_ERASED: Final = "record.partly-erased"

Old = tuple[UUID, bytes, str]  # a subject, its key that goes, the key's scope
_Place = tuple[UUID, str]
_R = records.c
_START: Final = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """What became of a key: the current one's id, those destroyed, and how much was sealed again."""

    kid: bytes | None
    destroyed: tuple[bytes, ...] = ()
    records: int = 0
    others: int = 0


@dataclass(frozen=True, slots=True)
class Stay:
    """A record that stays, less the numbers that it loses; `values` of its other columns change with them."""

    without: frozenset[int] = frozenset()
    fields: tuple[str, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)


# What becomes of a record: None leaves it under the old key.
Judge = Callable[[Row[Any]], Stay | None]


class Page(NamedTuple):
    """How many containers were sealed again, and the last record looked at; None at the end."""

    moved: int
    after: UUID | None


class _Sealed(NamedTuple):
    """A column `sealed` of one table, and the type of its containers. Without an owner they are the house's."""

    table: Table
    id: Column[UUID]
    type: str
    owner: Column[UUID] | None

    def of(self, *subject_ids: UUID) -> ColumnElement[bool]:
        return true() if self.owner is None else self.owner.in_(subject_ids)


def _sealed(table: Table, type: str) -> _Sealed:
    return _Sealed(table, table.c.event_id, type, table.c.subject_id)


_PROFILES: Final = (
    _Sealed(subjects, subjects.c.subject_id, profile.TYPE, subjects.c.subject_id),
    _sealed(consent_events, CONSENT_ACT),
    _sealed(standing_events, STANDING_ACT),
    _sealed(details_table, audit_details.TYPE),
)
_HOUSE: Final = (
    _Sealed(holds_table, holds_table.c.hold_id, holds.TYPE, None),
    _Sealed(confirmations_table, confirmations_table.c.confirmation_id, "confirmation", None),
    _Sealed(parts_table, parts_table.c.part_id, "release-part", None),
)


class _Move(NamedTuple):
    """What is sealed under one of `old` is sealed again under `new`, of the same subject and scope."""

    new: WrappedKey
    old: tuple[WrappedKey, ...]


class _Box(NamedTuple):
    """A container of one subject and the row that it stands in: of `place`, or a record's."""

    place: _Sealed | None
    row: Row[Any]

    def resealing(self, subject_id: UUID, new: WrappedKey) -> Resealing:
        row = self.row
        if self.place is None:
            return Resealing(_at(subject_id, new, row.record_type, row.record_id), bytes(row.sealed), row.record_id)
        return Resealing(_at(subject_id, new, self.place.type, row.id), bytes(row.sealed), subject_id)


def _others(subject_id: UUID) -> tuple[_Sealed, ...]:
    return _HOUSE if subject_id == house.HOUSE else _PROFILES


def rekey_subject(
    service: Steward, subject_id: UUID, scope: str = profile.SCOPE, *, old: bytes | None = None, destroy: bool = True
) -> Rekeyed:
    """Put a new data key in the place of the subject's own of the scope, and destroy the old one.

    With `old` only that key is replaced: when another is current already, what is left under retired keys is moved
    and nothing more, so a job that is run twice replaces once. Nothing is done while an erasure of the subject is on
    its way: under the old keys stands what it lets go, and it replaces the key by itself.

    Without `destroy` the retired keys are left to the caller, who must call again (or ask `references`) before
    destroying them. Raises `Corrupt`, and what the key store raises; then call again.
    """
    moved = others = 0
    retired: tuple[bytes, ...] = ()
    is_begun = is_done = False
    new: WrappedKey | None = None
    after: UUID | None = None
    while not is_done:
        with service.begin(REKEYER) as work:
            _hold(work, subject_id)
            found = vault.keys_of(work, subject_id, scope)
            new = found.current
            if _erasing(work, [subject_id]):
                return Rekeyed(None if new is None else new.kid)
            if not is_begun and new is not None and not found.retired and old in (None, new.kid):
                new = vault.replace_key(work, subject_id, scope)
                found = vault.keys_of(work, subject_id, scope)
            is_begun = True
            retired = tuple(key.kid for key in found.retired)
            if new is None or not retired:
                return Rekeyed(None if new is None else new.kid)
            page = reseal_records(work, subject_id, new, retired, after=after)
            moved += page.moved
            after = page.after
            if after is None:
                some = reseal_others(work, subject_id, new, retired)
                others += some
                is_done = some < PAGE
            if is_done and (left := references(work, subject_id, retired)):
                raise Corrupt(f"{left} containers are still under a key that was replaced")
            said(work, subject_id, new, page.moved)
    if destroy:
        with vault.key_errors():
            service.keystore.destroy_kids(retired)
    return Rekeyed(new.kid if new else None, retired if destroy else (), moved, others)


def rekey_subjects(service: Steward, keys: Sequence[Old]) -> list[Old]:
    """`rekey_subject` with `old` for many at once, each step in one transaction for all; the keys that it left.

    To be done by themselves are left: the house's, those of who is being written for or whose erasure is on its way,
    and of who has more than fits. Raises as `rekey_subject` does: then all are left, and nothing is lost, since
    whoever has a new key already goes on with it, here or there.
    """
    wanted: dict[_Place, set[bytes]] = {}
    for subject_id, kid, scope in keys:
        wanted.setdefault((subject_id, scope), set()).add(kid)
    with service.begin(REKEYER) as work:
        held = removal.hold_many(work, {subject_id for subject_id, _ in wanted} - {house.HOUSE})
        free = held - _erasing(work, held)
        found = _keys_of(work, [place for place in wanted if place[0] in free])
        going = {place: _going(of, wanted[place]) for place, of in found.items()}
        boxes = _boxes(work, free, [key.kid for keys_of in going.values() for key in keys_of])
        found = {place: of for place, of in found.items() if place[0] in boxes}
        moves = {place: _Move(of.current, of.retired) for place, of in found.items() if of.current and of.retired}
        left = _replace(work, [key for place in found.keys() - moves for key in going[place]], moves)
        _move(work, moves, boxes)
    with vault.key_errors():
        service.keystore.destroy_kids([key.kid for move in moves.values() for key in move.old])
    return [key for key in keys if (key[0], key[2]) not in found or (key[0], key[2]) in left]


def _hold(work: Work, subject_id: UUID) -> None:
    if subject_id == house.HOUSE:
        house.hold(work)
    removal.hold(work, subject_id)


def _erasing(work: Work, subject_ids: Collection[UUID]) -> set[UUID]:
    """Whose erasure is on its way."""
    on_its_way = erasures.c.state.in_(("rekeying", "shredding", "purging"))
    statement = select(erasures.c.subject_id).where(erasures.c.subject_id.in_(subject_ids), on_its_way)
    return set(work.execute(statement).scalars())


def said(work: Work, subject_id: UUID, new: WrappedKey, count: int) -> None:
    """The event of a page: under which key things are now."""
    is_house = subject_id == house.HOUSE
    work.audit(
        "house.resealed" if is_house else "subject.resealed",
        subject=None if is_house else subject_id,
        record=subject_id if is_house else None,
        detail={"key": new.kid.hex(), "records": count, "scope": new.scope},
    )


def reseal_records(
    work: Work,
    subject_id: UUID,
    new: WrappedKey,
    old: Collection[bytes],
    *,
    after: UUID | None = None,
    judge: Judge = lambda _: Stay(),
) -> Page:
    """Seal a page of the subject's records that are under an old key again, each with its event; oldest first.

    The caller holds the subject alone. What `judge` lets go stays under the old key, and so does nothing else.
    """
    rows = work.execute(_under(subject_id, old, after or _START)).all()
    staying = [(row, stay) for row in rows if (stay := judge(row)) is not None]
    items = [
        Resealing(_at(subject_id, new, row.record_type, row.record_id), bytes(row.sealed), row.record_id, stay.without)
        for row, stay in staying
    ]
    done = vault.reseal(work, _by_duty(items), new, items)
    sealed = {row.record_id: found[0] for (row, _), found in zip(staying, done, strict=True) if found is not None}
    _write(work, records, _R.record_id, _R.subject_id == subject_id, sealed, kid=new.kid)
    for row, stay in staying:
        if row.record_id in sealed:
            _partly(work, subject_id, row, stay)
            _say(work, subject_id, row, stay, sealed[row.record_id])
    return Page(len(sealed), rows[-1].record_id if len(rows) == PAGE else None)


def reseal_others(work: Work, subject_id: UUID, new: WrappedKey, old: Collection[bytes]) -> int:
    """Seal up to a page of what is not a record again; how many that were, fewer than `PAGE` at the end.

    What is under an old key that is destroyed already stays as it is: nobody can open it.
    """
    if new.scope not in (profile.SCOPE, house.SCOPE):
        return 0
    count = 0
    for place in _others(subject_id):
        table, id = place.table, place.id
        rows = work.execute(
            select(id.label("id"), table.c.sealed)
            .where(place.of(subject_id), vault.sealed_under(table.c.sealed, old))
            .order_by(id)
            .limit(PAGE - count)
        ).all()
        items = [Resealing(_at(subject_id, new, place.type, row.id), bytes(row.sealed), subject_id) for row in rows]
        done = vault.reseal(work, _by_duty(items), new, items)
        sealed = {row.id: found[0] for row, found in zip(rows, done, strict=True) if found is not None}
        _write(work, table, id, place.of(subject_id), sealed)
        count += len(sealed)
        if count >= PAGE:
            break
    return count


def references(work: Work, subject_id: UUID, kids: Collection[bytes]) -> int:
    """How many containers of the subject are under one of these keys: the proof is 0."""
    return _references(work, [subject_id], kids, _others(subject_id))


def _references(work: Work, subject_ids: Collection[UUID], kids: Collection[bytes], others: Sequence[_Sealed]) -> int:
    found = [select(func.count()).select_from(records).where(_R.subject_id.in_(subject_ids), _R.kid.in_(kids))]
    found += [
        select(func.count())
        .select_from(place.table)
        .where(place.of(*subject_ids), vault.sealed_under(place.table.c.sealed, kids))
        for place in others
    ]
    return sum(int(work.execute(statement).scalar_one()) for statement in found)


def _at(subject_id: UUID, key: WrappedKey, type: str, id: UUID) -> At:
    return At(subject_id, key.scope, type, id)


def _by_duty(items: Sequence[Resealing]) -> Decision:
    """Every box that the containers hold; nothing of them is disclosed."""
    numbers = frozenset(number for item in items for number in vault.numbers_in(item.sealed))
    return Decision("[rekeying]", "legal-obligation", numbers)


def _under(subject_id: UUID, kids: Collection[bytes], after: UUID) -> Select[Any]:
    return (
        select(
            _R.record_id,
            _R.record_type,
            _R.version,
            _R.purposes,
            _R.stored_at,
            _R.expires_at,
            _R.kid,
            _R.sealed,
        )
        .where(_R.subject_id == subject_id, _R.kid.in_(kids), _R.record_id > after)
        .order_by(_R.record_id)
        .limit(PAGE)
    )


def _write(
    work: Work,
    table: Table,
    id: Column[UUID],
    owned: ColumnElement[bool],
    sealed: Mapping[UUID, bytes],
    **values: object,
) -> None:
    """A page of containers in one statement: one a row would be a round trip each."""
    ids = list(sealed)
    for start in range(0, len(ids), PAGE):
        some = ids[start : start + PAGE]
        chosen: ColumnElement[bytes] = case(*((id == key, sealed[key]) for key in some), else_=table.c.sealed)
        work.execute(update(table).where(owned, id.in_(some)).values(sealed=chosen, **values))


def _partly(work: Work, subject_id: UUID, row: Row[Any], stay: Stay) -> None:
    """What else changes with a record that loses something: its version, its columns, its index entries."""
    if not stay.without and not stay.values:
        return
    place = (_R.subject_id == subject_id, _R.record_id == row.record_id)
    changed = {"version": row.version + 1, "changed_at": work.instant}
    work.execute(update(records).where(*place).values(**changed, **stay.values))
    if stay.without:
        work.execute(
            delete(index_entries).where(
                tuple_(index_entries.c.subject_id, index_entries.c.record_id).in_([(subject_id, row.record_id)]),
                index_entries.c.field_number.in_(stay.without),
            )
        )


def _say(work: Work, subject_id: UUID, row: Row[Any], stay: Stay, sealed: bytes) -> None:
    is_partly = bool(stay.without or stay.values)
    work.audit(
        PARTLY_ERASED if is_partly else RESEALED,
        subject=subject_id,
        record=row.record_id,
        fields=stay.fields or None,
        detail=msgspec.json.encode(
            {"type": row.record_type, "version": row.version + is_partly}, order="deterministic"
        ).decode(),
        digest=sha256(sealed).hexdigest(),
    )


# --- of many subjects


def _keys_of(work: Work, places: Sequence[_Place]) -> dict[_Place, KeysOf]:
    """`vault.keys_of` of each place, in two statements."""
    store = work.service.keystore
    with vault.key_errors():
        current = store.current([(subject_id.bytes, scope) for subject_id, scope in places])
        keys = store.of_subjects({subject_id.bytes for subject_id, _ in places})
    retired: dict[tuple[bytes, str], list[WrappedKey]] = {}
    for key in keys:
        if key != current.get((key.subject, key.scope)):
            retired.setdefault((key.subject, key.scope), []).append(key)
    found = {}
    for subject_id, scope in places:
        at = (subject_id.bytes, scope)
        found[subject_id, scope] = KeysOf(current.get(at), tuple(retired.get(at, ())))
    return found


def _going(of: KeysOf, wanted: Collection[bytes]) -> tuple[WrappedKey, ...]:
    """The keys that are to go: what was retired already, or else the current one where it is wanted."""
    if of.current is None or of.retired:
        return of.retired
    return (of.current,) if of.current.kid in wanted else ()


def _boxes(work: Work, subject_ids: Collection[UUID], kids: Collection[bytes]) -> dict[UUID, list[_Box]]:
    """All that is under these keys, by subject; of as many subjects as fit."""
    under = select(_R.subject_id, _R.record_id, _R.record_type, _R.version, _R.sealed).where(_R.kid.in_(kids))
    rows = removal.rows_of_many(work, under, subject_ids, MOST)
    found = {subject_id: [_Box(None, row) for row in its] for subject_id, its in rows.items()}
    for place in _PROFILES:
        sealed = place.table.c.sealed
        columns = (place.table.c.subject_id, place.id.label("id"), sealed)
        of_them = removal.rows_of_many(work, select(*columns).where(vault.sealed_under(sealed, kids)), found, MOST)
        found = {
            subject_id: found[subject_id] + [_Box(place, row) for row in its] for subject_id, its in of_them.items()
        }
    return found


def _replace(work: Work, stale: Sequence[WrappedKey], moves: dict[_Place, _Move]) -> set[_Place]:
    """A new key in the place of each, durable; into `moves`. The places where an erasure was faster."""
    keyring, store = work.service.keyring, work.service.keystore
    with vault.key_errors():
        new = [_made(keyring, old) for old in stale]
        try:
            placed = store.replace_many(new)
        except KekRetired:  # a rotation has begun; the new version is there already
            keyring.refresh()
            new = [_made(keyring, old) for old in stale]
            placed = store.replace_many(new)
    left = set()
    for key, old in zip(new, stale, strict=True):
        place = (UUID(bytes=key.subject), key.scope)
        if key.kid in placed:
            moves[place] = _Move(key, (old,))
        else:
            left.add(place)
    return left


def _made(keyring: Keyring, old: WrappedKey) -> WrappedKey:
    wrapped, key = keyring.new_data_key(old.subject, old.scope)
    key.wipe()
    return wrapped


def _move(work: Work, moves: Mapping[_Place, _Move], boxes: Mapping[UUID, Sequence[_Box]]) -> None:
    """Seal everything again that is under an old key, with its events, and prove that nothing is left there."""
    if not moves:
        return
    owners, newer = {subject_id for subject_id, _ in moves}, dict[bytes, bytes]()
    sealed: dict[_Sealed | None, dict[UUID, bytes]] = {}
    moved: dict[_Place, list[Row[Any]]] = {}
    for place, (new, old) in moves.items():
        newer |= {key.kid: new.kid for key in old}
        its = [box for box in boxes[place[0]] if newer.get(vault.kid_of(bytes(box.row.sealed))) == new.kid]
        items = [box.resealing(place[0], new) for box in its]
        again = vault.reseal(work, _by_duty(items), new, items) if items else []
        moved[place] = [box.row for box, done in zip(its, again, strict=True) if box.place is None and done]
        for box, item, done in zip(its, items, again, strict=True):
            if done is not None:
                sealed.setdefault(box.place, {})[item.at.record_id] = done[0]
    guard = and_(_R.subject_id.in_(owners), _R.kid.in_(newer))
    kid = case(*((_R.kid == old, new) for old, new in newer.items()), else_=_R.kid)
    _write(work, records, _R.record_id, guard, sealed.get(None, {}), kid=kid)
    for kind in _PROFILES:
        guard = and_(kind.of(*owners), vault.sealed_under(kind.table.c.sealed, newer))
        _write(work, kind.table, kind.id, guard, sealed.get(kind, {}))
    if left := _references(work, owners, newer, _PROFILES):
        raise Corrupt(f"{left} containers are still under a key that was replaced")
    for place, rows in moved.items():
        for row in rows:
            _say(work, place[0], row, Stay(), sealed[None][row.record_id])
        said(work, place[0], moves[place].new, len(rows))
