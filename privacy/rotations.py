"""Keys are changed under load: a new version first, then everything that refers to the old one, page by page.

kind     what becomes new                      what is moved                        the proof counts
kek      the key that wraps data keys          each wrapped data key (rewrap)       data keys under older versions
data     every data key of every subject       each sealed container (`rekeying`)   data keys older than the rotation
index    the root of the blind index           index entries, external ids          those of older versions
signing  the key of checkpoints, certificates  nothing: old public keys verify on   nothing
root     the root key, where it is a file      the wrapped root secrets             secrets that do not open

A rotation is a row: it goes on after a crash where it stood, and a page done twice is as done once. It ends in a proof:
a count of what still refers to the old version, which must be 0. Only then may the old version be destroyed, which
takes two people and a delay (`confirmations`). NIST SP 800-57 part 1, 5.3.5 and 8.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import RowMapping, insert, select, update

from keys.keyring import INDEX, KEK, SIGNING
from privacy import confirmations, ids, job_runs, reindexing, rekeying
from privacy.confirmations import Confirmation
from privacy.errors import Conflict, Invalid, NotFound, PrivacyError
from privacy.sequencer import KEEPER
from privacy.steward import Steward
from privacy.tables import revisions, rotations
from privacy.vault import key_errors
from privacy.work import Role, Work

log = logging.getLogger(__name__)

JOB: Final = "rotations"
PAGE: Final = 1000  # data keys rewrapped at a time
SUBJECTS: Final = 100  # whose data is sealed anew, or indexed anew, at a time
SECONDS: Final = 20.0  # of one round of the job
DESTROY: Final = "key.destruction"  # the action that takes two people


class Kind(StrEnum):
    """What is rotated."""

    KEK = "kek"
    DATA = "data"
    INDEX = "index"
    SIGNING = "signing"
    ROOT = "root"


_SECRETS: Final[Mapping[Kind, str]] = {Kind.KEK: KEK, Kind.INDEX: INDEX, Kind.SIGNING: SIGNING}


@dataclass(frozen=True, slots=True)
class Rotation:
    """A rotation. `remaining_seconds` is an estimate by the pace so far; `proof` what was counted at the end."""

    id: UUID
    kind: Kind
    state: str
    old_version: int | None
    new_version: int | None
    phase: str
    done: int
    total: int
    remaining_seconds: int | None
    started_at: datetime
    started_by: str
    finished_at: datetime | None
    proof: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a secret: `active` is the newest, `retired` still opens or verifies, `destroyed` is gone."""

    kind: str
    version: int
    state: str
    dependents: int | None


@dataclass(frozen=True, slots=True)
class Status:
    """Every version of every secret, what is on its way, and what waits for a second person."""

    versions: list[Version]
    data_keys: int
    running: list[Rotation]
    destructions: list[Confirmation]


def start(work: Work, kind: Kind) -> Rotation:
    """Begin; the job goes on with it. Raises `Conflict` while one of the kind is running, `Forbidden`."""
    work.concerns("key.rotation-started")
    work.require(Role.ADMIN)
    running = select(rotations.c.rotation_id).where(rotations.c.kind == kind.value, rotations.c.state == "running")
    work.execute(update(revisions).where(revisions.c.name == "keys").values(number=revisions.c.number))  # one at a time
    if work.execute(running).first() is not None:
        raise Conflict(f"A rotation of {kind.value} is under way", zh="同类密钥轮换正在进行")
    old = None
    if kind in _SECRETS:
        with key_errors():
            old = work.service.keyring.newest(_SECRETS[kind])
    rotation_id = ids.new()
    work.execute(
        insert(rotations).values(
            rotation_id=rotation_id,
            kind=kind.value,
            state="running",
            old_version=old,
            new_version=None if old is None else old + 1,
            phase="new-version",
            cursor=None,
            done=0,
            total=0,
            started_at=work.instant,
            started_by=work.actor.name,
            changed_at=work.instant,
        )
    )
    detail = {"kind": kind.value, "rotation": str(rotation_id)} | ({} if old is None else {"new": old + 1, "old": old})
    work.audit("key.rotation-started", detail=detail)
    return shown(work, rotation_id)


def shown(work: Work, rotation_id: UUID) -> Rotation:
    """Raises `NotFound`."""
    row = work.execute(select(rotations).where(rotations.c.rotation_id == rotation_id)).mappings().first()
    if row is None:
        raise NotFound("There is no such rotation")
    return _of(row)


def listed(work: Work, *, running_only: bool = False) -> list[Rotation]:
    """The newest first. For operators, auditors and administrators."""
    work.concerns("key.rotations-listed")
    work.require(Role.OPERATOR, Role.AUDITOR, Role.ADMIN)
    found = _all(work, running_only=running_only)
    work.audit("key.rotations-listed", detail={"count": len(found)})
    return found


def status(work: Work) -> Status:
    """For operators, auditors and administrators."""
    work.concerns("key.status")
    work.require(Role.OPERATOR, Role.AUDITOR, Role.ADMIN)
    store = work.service.keystore
    with key_errors():
        versions = [
            Version(one.kind, one.version, one.state, _dependents(work, Kind(one.kind), one.version))
            for one in store.secret_states()
            if one.kind in _SECRETS.values()
        ]
        count = store.count()
    waiting = [one for one in confirmations.listed(work) if one.action == DESTROY]
    work.audit("key.status", detail={"versions": len(versions)})
    return Status(versions, count, _all(work, running_only=True), waiting)


def ask_destruction(work: Work, kind: Kind, version: int, *, reason: str) -> Confirmation:
    """Ask that an old version be destroyed, for good. Another person confirms, and the job does it after the delay.

    Raises `Invalid` for a kind that has no versions or a version that is in use, `Conflict` while something refers to
    it or it has been asked for.
    """
    work.concerns("confirmation.asked")
    work.require(Role.ADMIN)
    if kind not in _SECRETS:
        raise Invalid(f"Keys of the kind {kind.value} have no versions to destroy", zh="该类密钥没有可销毁的版本")
    with key_errors():
        states = {one.version: one.state for one in work.service.keystore.secret_states() if one.kind == kind.value}
    if states.get(version) != "retired":
        raise Invalid("Only a version that has been replaced is destroyed", zh="只能销毁已被替换的版本")
    dependents = _dependents(work, kind, version)
    if dependents:
        raise Conflict(f"{dependents} still refer to this version: rotate first", zh="仍有数据引用该版本，请先完成轮换")
    target = f"{kind.value} {version}"
    delay = work.service.settings.destroy_delay
    return confirmations.ask(work, action=DESTROY, target=target, dependents=0, reason=reason, delay=delay)


def work_off(service: Steward, *, seconds: float = SECONDS) -> int:
    """Go on with every rotation that is under way, and destroy what is due; how many items were done."""
    with service.begin(KEEPER) as work:
        running = _all(work, running_only=True)
    done = 0
    for one in running:
        done += advance(service, one.id, seconds=seconds)
    return done + destroy_due(service)


def advance(service: Steward, rotation_id: UUID, *, seconds: float = SECONDS) -> int:
    """Page by page until it is proven or the time is over; how many items were done. Anywhere, at any time."""
    until = time.monotonic() + seconds
    done = 0
    while True:
        with service.begin(KEEPER) as work:
            row = work.execute(select(rotations).where(rotations.c.rotation_id == rotation_id)).mappings().first()
        if row is None or row["state"] != "running":
            return done
        step = _STEPS[Kind(row["kind"])](service, row)
        _keep(service, row, step)
        done += step.done
        if time.monotonic() >= until or (step.proof is not None and any(step.proof.values())):
            return done  # what is left could not be done now: the next round tries it again


def destroy_due(service: Steward) -> int:
    """Destroy the versions that two people want gone and whose delay is over; how many."""
    with service.begin(KEEPER) as work:
        due = confirmations.due(work, DESTROY)
        work.paid()
    return sum(_destroy(service, one) for one in due)


# --- one page of each kind


@dataclass(frozen=True, slots=True)
class _Step:
    """What a page did. `proof` is set at the end: what was counted, all of it 0."""

    phase: str
    cursor: str | None
    done: int
    total: int | None = None
    proof: Mapping[str, int] | None = None


def _kek(service: Steward, row: RowMapping) -> _Step:
    new, store = int(row["new_version"]), service.keystore
    with key_errors():
        if row["phase"] == "new-version":
            service.keyring.new_version(KEK, new)
            store.raise_minimum(new)  # no data key comes under an older one from here on
            return _Step("rewrap", None, 0, total=sum(store.count_under(v) for v in _older(service, KEK, new)))
        for version in _older(service, KEK, new):
            page = store.under_kek(version, b"", PAGE)
            if page:
                pairs = [(service.keyring.rewrap(one, new), version) for one in page]
                return _Step("rewrap", None, store.rewrap(pairs))
        left = sum(store.count_under(version) for version in _older(service, KEK, new))
    return _Step("proven", None, 0, proof={"data_keys_under_older_versions": left})


def _data(service: Steward, row: RowMapping) -> _Step:
    """Subjects in the order of their ids, each with all its scopes. New subjects have new keys: they need none."""
    store = service.keystore
    with key_errors():
        if row["phase"] == "new-version":
            era = store.begin_era()
            return _Step("rekey", f"{era}:", 0, total=store.count_before(era))
        era, _, last = row["cursor"].partition(":")
        page = store.subjects(bytes.fromhex(last), SUBJECTS)
    if page:
        done = _rekey(service, page, int(era))
        return _Step("rekey", f"{era}:{page[-1].hex()}", done)
    with key_errors():
        left = store.count_before(int(era))
    # what failed is tried again from the beginning
    return _Step("proven", f"{era}:", 0, proof={"data_keys_older_than_the_rotation": left})


def _rekey(service: Steward, subjects: Sequence[bytes], era: int) -> int:
    """Many at once, and those one by one that this leaves: one that cannot be done does not stop the others."""
    with key_errors():
        found = service.keystore.of_subjects(subjects, era)
    old = [(UUID(bytes=key.subject), key.kid, key.scope) for key in found]
    left, before = old, len(old) + 1
    try:
        while left and len(left) < before:  # as much at a time as fits
            before = len(left)
            left = rekeying.rekey_subjects(service, left)
    except PrivacyError as error:
        log.warning("rotation.one-by-one", extra={"code": error.code})
    return len(old) - len(left) + sum(_rekey_alone(service, key) for key in left)


def _rekey_alone(service: Steward, old: rekeying.Old) -> int:
    """What cannot be done is reported, and tried again."""
    subject_id, kid, scope = old
    try:
        rekeying.rekey_subject(service, subject_id, scope, old=kid)
    except PrivacyError as error:
        with service.begin(KEEPER) as work:
            job_runs.failed_item(work, JOB, subject_id, error.code)
        return 0
    return 1


def _index(service: Steward, row: RowMapping) -> _Step:
    new = int(row["new_version"])
    if row["phase"] == "new-version":
        with key_errors():
            service.keyring.new_version(INDEX, new)
        with service.begin(KEEPER) as work:
            total = reindexing.count_older(work, new)
        return _Step("reindex", None, 0, total=total)
    done = reindexing.reindex_some(service, new, SUBJECTS)
    if done:
        return _Step("reindex", None, done)
    with service.begin(KEEPER) as work:
        left = reindexing.count_older(work, new)
    return _Step("proven", None, 0, proof={"entries_of_older_versions": left})


def _signing(service: Steward, row: RowMapping) -> _Step:
    """The next checkpoint carries both signatures; the log says which key is new."""
    with key_errors():
        service.keyring.new_version(SIGNING, int(row["new_version"]))
    with service.begin(KEEPER) as work:
        work.audit("key.announced", detail={"vkey": service.keyring.signer.vkey, "version": int(row["new_version"])})
    return _Step("proven", None, 1, total=1, proof={})


def _root(service: Steward, row: RowMapping) -> _Step:
    with key_errors():
        count = service.keyring.rotate_root()
    return _Step("proven", None, count, total=count, proof={"secrets_that_do_not_open": 0})


_STEPS: Final[Mapping[Kind, Callable[[Steward, RowMapping], _Step]]] = {
    Kind.KEK: _kek,
    Kind.DATA: _data,
    Kind.INDEX: _index,
    Kind.SIGNING: _signing,
    Kind.ROOT: _root,
}


def _keep(service: Steward, row: RowMapping, step: _Step) -> None:
    """How far it has come. A rotation whose proof does not hold goes back to work."""
    left = sum(step.proof.values()) if step.proof is not None else None
    is_proven = left == 0
    values: dict[str, Any] = {
        "phase": step.phase if left in (None, 0) else row["phase"],
        "cursor": step.cursor,
        "done": row["done"] + step.done,
    }
    if step.total is not None:
        values["total"] = step.total
    with service.begin(KEEPER) as work:
        values["changed_at"] = work.instant
        if is_proven:
            values |= {"state": "proven", "finished_at": work.instant, "proof": step.proof}
        work.execute(update(rotations).where(rotations.c.rotation_id == row["rotation_id"]).values(**values))
        if step.phase != "new-version" and row["phase"] == "new-version":
            # every process learns of the new version with its next transaction
            work.execute(update(revisions).where(revisions.c.name == "keys").values(number=revisions.c.number + 1))
        if is_proven:
            detail = {"kind": row["kind"], "proof": step.proof, "rotation": str(row["rotation_id"])}
            work.audit("key.rotation-proven", detail=detail)
        else:
            work.paid()  # the event of its start stands


# --- destroying


def _destroy(service: Steward, asked: Confirmation) -> int:
    """Look again what depends on it; take the confirmation; destroy. Once more after a crash changes nothing."""
    kind, version = Kind(asked.target.split()[0]), int(asked.target.split()[1])
    with service.begin(KEEPER) as work:
        dependents = _dependents(work, kind, version) or 0
        if not confirmations.take(work, asked.id, dependents=dependents):
            return 0
        # in the same transaction, before its commit: a crash in between leaves it asked for, and it is done again
        with key_errors():
            service.keystore.destroy_root_secret(_SECRETS[kind], version)
        work.execute(
            update(rotations)
            .where(rotations.c.kind == kind.value, rotations.c.old_version == version, rotations.c.state == "proven")
            .values(state="destroyed", changed_at=work.instant)
        )
        work.execute(update(revisions).where(revisions.c.name == "keys").values(number=revisions.c.number + 1))
        work.audit("key.destroyed", detail={"kind": kind.value, "version": version})
    service.keyring.refresh()
    return 1


def _dependents(work: Work, kind: Kind, version: int) -> int | None:
    """What still refers to the version; None where nothing can."""
    if kind is Kind.KEK:
        return work.service.keystore.count_under(version)
    if kind is Kind.INDEX:
        return reindexing.count_of(work, version)
    return None


def _older(service: Steward, kind: str, new: int) -> list[int]:
    return [version for found, version in sorted(service.keystore.root_secrets()) if found == kind and version < new]


def _all(work: Work, *, running_only: bool) -> list[Rotation]:
    statement = select(rotations).order_by(rotations.c.rotation_id.desc()).limit(100)
    if running_only:
        statement = statement.where(rotations.c.state == "running")
    return [_of(row) for row in work.execute(statement).mappings()]


def _of(row: RowMapping) -> Rotation:
    return Rotation(
        row["rotation_id"],
        Kind(row["kind"]),
        row["state"],
        row["old_version"],
        row["new_version"],
        row["phase"],
        row["done"],
        row["total"],
        _remaining(row),
        row["started_at"],
        row["started_by"],
        row["finished_at"],
        row["proof"],
    )


def _remaining(row: RowMapping) -> int | None:
    took = (row["changed_at"] - row["started_at"]).total_seconds()
    if row["state"] != "running" or not row["done"] or took <= 0:
        return None
    return int(max(0, row["total"] - row["done"]) * took / row["done"])
