"""Backups of the data and of the key store, for a public key to open; and restoring them.

A backup is a folder, made under another name and renamed when all of it is on the disk:

    20260131T120000Z-1f3a/
        data.age         the data as they were at one instant: sealed fields, encrypted once more
        keys.age         the key store of the same instant: wrapped keys only
        manifest.json    what is in them, signed with the deployment's key (`privacy.signed_documents`)

Both stores of one backup are of one instant (`privacy.copies`), so each box has its key. The event of a backup is
durable before its files have their name. age says nothing of who wrote a file, and anybody may know a public key:
so the manifest carries the hash of each file, and its signature says whose they are.

Nothing is in clear on the way: SQLite is copied through a file without a name, PostgreSQL through a pipe. The root
key is in no backup; without it none can be used.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
from pyrage.x25519 import Identity, Recipient

from privacy import age_files
from privacy.age_files import Hashed
from privacy.copies import Kind, Place, Snapshot, Store, pinned, places
from privacy.copies_sqlite import sync_folder
from privacy.errors import Conflict, Corrupt, Invalid, NotFound, SignatureInvalid, Unavailable
from privacy.settings import Settings
from privacy.signed_documents import parse, sign, verify
from privacy.steward import Steward
from privacy.work import TERMINAL, Actor, Role

MANIFEST: Final = "manifest.json"
KEEP_DATA_DAYS: Final = 35
KEEP_KEYS_DAYS: Final = 7
_TYPE: Final = "StewardBackup"
_PARTIAL: Final = ".partial-"
_ABANDONED: Final = timedelta(days=1)
_REVISIONS: Final = {Store.DATA: "privacy_version", Store.KEYS: "keystore_version"}
_LEDGER: Final = "erasure_ledger"


class Copied(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One store in a backup. `bytes` and `sha256` are of the file, `content_…` of what is encrypted in it."""

    file: str
    database: Kind
    bytes: int
    sha256: str
    content_bytes: int
    content_sha256: str
    schema: str
    tool: str
    rows: dict[str, int]
    ledger: int  # the highest number in this store's copy of the erasure ledger


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The newest signed checkpoint of the audit log in the copy of the data."""

    size: int
    root: str
    note: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a backup holds: names, counts and hashes."""

    type: str
    name: str
    deployment: str
    at: datetime
    recipients: list[str]
    stores: dict[Store, Copied]
    audit: Head | None = None


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that is what it was when it was written.

    `missing`: files that are gone, as those of the key store are after their week. `signed`: by the key that was
    asked for; False when none was, and then nobody knows who wrote it. `opened`: it was decrypted to its last byte.
    """

    folder: Path
    manifest: Manifest
    missing: tuple[Store, ...]
    signed: bool
    opened: bool


@dataclass(frozen=True, slots=True)
class Pruned:
    """What `prune` removed; and the newest file of a store that stayed although it is past its time."""

    removed: tuple[Path, ...]
    overdue: tuple[Path, ...]


def create(
    service: Steward,
    to: Path,
    recipients: Sequence[str],
    *,
    stores: Sequence[Store] = (Store.DATA, Store.KEYS),
    actor: Actor = TERMINAL,
) -> Backup:
    """Write a backup into a new folder of `to`, read it again and compare; the service may go on meanwhile.

    1. snapshots; 2. their copies, encrypted as they come, on the disk; 3. the signed manifest; 4. all read again;
    5. the event; 6. the name. Raises `Invalid`, `Unavailable`, `Forbidden`; nothing is left then but events.
    """
    keys = [age_files.recipient(text) for text in recipients]
    if not keys or not stores:
        raise Invalid("A backup needs a recipient and a store")
    with service.begin(actor) as work:
        work.concerns("backup.created")
        work.require(Role.ADMIN, Role.OPERATOR)
        now = work.now
    name = f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
    partial = to / f"{_PARTIAL}{name}"
    try:
        to.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial.mkdir(mode=0o700)
        manifest = _write(service, partial, name, now, keys, stores)
        made = check(partial, trusted=[service.keyring.signer.public])  # 4
        with service.begin(actor) as work:  # 5
            work.audit("backup.created", detail={"backup": name, "stores": sorted(manifest.stores)})
        partial.rename(to / name)  # 6
        sync_folder(to)
    except OSError as error:
        raise Unavailable(f"The backup cannot be written ({error.strerror})") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Backup(to / name, made.manifest, made.missing, made.signed, made.opened)


def check(folder: Path, *, trusted: Collection[bytes] | None = None, identity: Path | None = None) -> Backup:
    """Whether a backup is what was written: signature, sizes, hashes, headers; with an identity, to the last byte.

    `trusted`: the deployment's public signing keys, old ones too; with None it is not known who wrote the backup.
    Raises `NotFound`, `SignatureInvalid`, `Corrupt`, `Invalid`.
    """
    manifest = _read(folder, trusted)
    identities = None if identity is None else age_files.identities(identity)
    missing = tuple(store for store, copied in manifest.stores.items() if not (folder / copied.file).exists())
    if len(missing) == len(manifest.stores):
        raise NotFound("The files of this backup are gone")
    for store, copied in manifest.stores.items():
        if store not in missing:
            _compare(folder / copied.file, copied, identities, len(manifest.recipients))
    return Backup(folder, manifest, missing, trusted is not None, identity is not None)


def restore(
    folder: Path,
    identity: Path,
    settings: Settings,
    *,
    trusted: Collection[bytes] | None = None,
    stores: Sequence[Store] = (Store.DATA, Store.KEYS),
) -> Backup:
    """Bring the stores back to where `settings` say they are, which must be empty; all that was written is checked.

    First the whole backup is decrypted once, to nowhere: nothing that was changed, cut or left out is begun with.
    Nothing is served by this; `Steward.open` forgets again what has been erased since (`privacy.erasure_ledger`).
    Raises as `check` does; `Conflict` where there is something already; `Unavailable`.
    """
    found = check(folder, trusted=trusted, identity=identity)
    targets = {store: target for store, target in places(settings).items() if store in stores}
    for store, target in targets.items():
        _require_fits(found, store, target)
        target.require_empty()
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    for store, target in targets.items():
        bring_back(found, store, identity, target)
    return found


def bring_back(backup: Backup, store: Store, identity: Path, target: Place) -> None:
    """One store into its empty place, wholly or not at all, then counted. Raises `Corrupt`, `Unavailable`."""
    copied = backup.manifest.stores[store]
    identities = age_files.identities(identity)
    with (backup.folder / copied.file).open("rb") as file, target.load() as out:
        _unseal(file_of=Hashed(file), into=Hashed(out), copied=copied, identities=identities)
    snapshot = target.snapshot()
    try:
        counts = snapshot.counts()
    finally:
        snapshot.close()
    if counts != copied.rows:
        raise Corrupt("The restored tables do not have the rows that were copied", zh="恢复的表与备份时的行数不符")


def prune(to: Path, now: datetime, *, data_days: int = KEEP_DATA_DAYS, keys_days: int = KEEP_KEYS_DAYS) -> Pruned:
    """Remove what is past its time: the files of the key store first, then those of the data, then the folder.

    The newest file of each store stays whatever its age, and is named as overdue: backups that stopped being made
    must not take the last one with them. Folders that a crash left half-made go after a day.
    """
    ages = {Store.DATA: timedelta(days=data_days), Store.KEYS: timedelta(days=keys_days)}
    removed: list[Path] = []
    overdue: list[Path] = []
    try:
        for store, age in ages.items():
            files = sorted(to.glob(f"[0-9]*/{_file_of(store)}"), key=lambda file: file.parent.name)
            late = [file for file in files if now - _made_at(file.parent) > age]
            overdue += [file for file in late if file == files[-1]]
            removed += [file for file in late if file != files[-1]]
        for file in removed:
            file.unlink()
        for folder in sorted(to.glob("[0-9]*/")):
            if not list(folder.glob("*.age")):
                shutil.rmtree(folder)
                removed.append(folder)
        for folder in sorted(to.glob(f"{_PARTIAL}*/")):
            if now.timestamp() - folder.stat().st_mtime > _ABANDONED.total_seconds():
                shutil.rmtree(folder)
                removed.append(folder)
    except OSError as error:
        raise Unavailable(f"A backup cannot be removed ({error.strerror})") from None
    return Pruned(tuple(removed), tuple(overdue))


def _write(
    service: Steward, partial: Path, name: str, now: datetime, keys: Sequence[Recipient], stores: Sequence[Store]
) -> Manifest:
    """Steps 1 to 3."""
    found = places(service.settings)
    copied: dict[Store, Copied] = {}
    head: Head | None = None
    with pinned(found, stores) as snapshots:  # 1
        # the keys first: as long as their snapshot is held, SQLite's log keeps what an erasure removes
        for store in (Store.KEYS, Store.DATA):
            if store in snapshots:
                if store is Store.DATA:
                    head = _head(snapshots[store])
                copied[store] = _copy(snapshots[store], store, found[store].kind, partial, keys)  # 2
    manifest = Manifest(
        type=_TYPE,
        name=name,
        deployment=service.keyring.deployment.hex(),
        at=now.replace(microsecond=0),
        recipients=[str(key) for key in keys],
        stores=copied,
        audit=head,
    )
    plain = msgspec.to_builtins(manifest)
    signed = sign(plain, service.keyring.signer, created=now)
    with _new(partial / MANIFEST) as out:  # 3
        out.write(json.dumps(signed, ensure_ascii=False, indent=1).encode() + b"\n")
        out.flush()
        os.fsync(out.fileno())
    sync_folder(partial)
    return manifest


def _copy(snapshot: Snapshot, store: Store, kind: Kind, partial: Path, keys: Sequence[Recipient]) -> Copied:
    rows = snapshot.counts()
    schema = str(snapshot.ask(f"SELECT version_num FROM {_REVISIONS[store]}")[0][0])  # noqa: S608 - our own names
    ledger = 0
    if _LEDGER in rows:
        ledger = int(snapshot.ask(f"SELECT coalesce(max(number), 0) FROM {_LEDGER}")[0][0])  # noqa: S608 - our own name
    with _new(partial / _file_of(store)) as out, snapshot.copy() as stream:
        source, target = Hashed(stream), Hashed(out)
        age_files.seal(source, target, keys)
        out.flush()
        os.fsync(out.fileno())
    return Copied(
        file=_file_of(store),
        database=kind,
        bytes=target.size,
        sha256=target.digest,
        content_bytes=source.size,
        content_sha256=source.digest,
        schema=schema,
        tool=snapshot.tool,
        rows=rows,
        ledger=ledger,
    )


def _head(snapshot: Snapshot) -> Head | None:
    found = snapshot.ask("SELECT size, root, note FROM audit_checkpoints ORDER BY size DESC LIMIT 1")
    return Head(int(found[0][0]), bytes(found[0][1]).hex(), str(found[0][2])) if found else None


def _read(folder: Path, trusted: Collection[bytes] | None) -> Manifest:
    try:
        signed = parse((folder / MANIFEST).read_bytes())
    except OSError:
        raise NotFound(f"There is no backup at {folder}") from None
    verify(signed, trusted=trusted)
    plain: Mapping[str, object] = {name: value for name, value in signed.items() if name != "proof"}
    try:
        manifest = msgspec.convert(plain, Manifest)
    except msgspec.ValidationError:
        raise SignatureInvalid("The manifest is not one of a backup", zh="该清单不是备份清单") from None
    if manifest.type != _TYPE or any(copied.file != _file_of(store) for store, copied in manifest.stores.items()):
        raise SignatureInvalid("The manifest is not one of a backup", zh="该清单不是备份清单")
    return manifest


def _compare(file: Path, copied: Copied, identities: Sequence[Identity] | None, recipients: int) -> None:
    try:
        if age_files.hash_of(file) != (copied.bytes, copied.sha256) or age_files.recipients_of(file) != recipients:
            raise Corrupt(f"{file.name} is not what was written", zh=f"{file.name} 与写入时不一致")
        if identities is not None:
            with file.open("rb") as stream:
                _unseal(file_of=Hashed(stream), into=Hashed(None), copied=copied, identities=identities)
    except OSError as error:
        raise Unavailable(f"{file.name} cannot be read ({error.strerror})") from None


def _unseal(*, file_of: Hashed, into: Hashed, copied: Copied, identities: Sequence[Identity]) -> None:
    """Raises `Corrupt` at the latest after the last byte."""
    age_files.unseal(file_of, into, identities)
    if (into.size, into.digest) != (copied.content_bytes, copied.content_sha256):
        raise Corrupt("The content is not what was copied", zh="内容与备份时不一致")


def _require_fits(backup: Backup, store: Store, target: Place) -> None:
    copied = backup.manifest.stores.get(store)
    if copied is None or store in backup.missing:
        raise NotFound(f"This backup holds no {store} store; name another with --only", store=store.value)
    if copied.database != target.kind:
        raise Conflict(f"This is a copy of a {copied.database} database, and the place to restore to is {target.kind}")


def _made_at(folder: Path) -> datetime:
    try:
        return datetime.strptime(folder.name.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Invalid(f"{folder.name} is not the name of a backup") from None


def _file_of(store: Store) -> str:
    return f"{store.value}.age"


def _new(file: Path) -> BinaryIO:
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")
