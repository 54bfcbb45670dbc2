"""Drills: a backup is restored into a scratch place and used, so that one knows that it can be.

1. The backup is checked: signature, hashes, decrypted to its last byte.
2. Both stores are restored beside the live ones (a folder in PRIVACY_HOME; two databases of the same servers) under
   the live root key, and every table is counted.
3. A service is opened there as after a disaster: migrations, and the erasures since, replayed from the live ledger.
4. The tree of the restored log is the one that was signed at the backup, and the live log extends it; a sample of its
   events is what the tree says.
5. A sample of its records opens. The live log names each of them before it is opened; what comes out is dropped, and
   the transaction on the copy is rolled back, so that the copy holds no event that could be taken for one of the log.
6. The scratch place is removed, whatever came of it. What a crash leaves the next drill removes.

Nothing is served from the copy, sequenced or signed in it. What (3) replays is on record in the copy, and goes with it.
"""

from __future__ import annotations

import fcntl
import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

from sqlalchemy import func, make_url, select

from privacy import backups, tlog, vault
from privacy.backups import Backup, Head
from privacy.copies import Store, places
from privacy.database import Lookup
from privacy.errors import Conflict, NotFound, PrivacyError
from privacy.leaves import leaf
from privacy.ledger_file import NAME as LEDGER_FILE
from privacy.sequencer import tile_reader
from privacy.settings import Settings
from privacy.steward import Steward
from privacy.tables import audit_archives, audit_events, audit_positions
from privacy.tables import records as records_table
from privacy.vault import At, Decision
from privacy.work import TERMINAL, Actor, Role

SAMPLE: Final = 100
_SCRATCH: Final = "drill"
_PURPOSE: Final = "[drill]"
_EVENT: Final = Lookup(
    lambda position: (
        select(*audit_events.columns)
        .join(audit_positions, audit_positions.c.event_id == audit_events.c.event_id)
        .where(audit_positions.c.position == position)
    ),
    "bigint",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Drill:
    """What came of it. `opened` of `sampled` records opened."""

    backup: str
    ok: bool
    findings: tuple[Finding, ...]
    rows: dict[str, int]
    sampled: int
    opened: int
    seconds: float


class _Sampled(NamedTuple):
    at: At
    sealed: bytes


class _Undone(Exception):
    """Leaves a unit of work on the copy so that it is rolled back."""


def drill(service: Steward, folder: Path, identity: Path, *, sample: int = SAMPLE, actor: Actor = TERMINAL) -> Drill:
    """Try the backup. A fault that is found is in the answer; what prevents the drill is raised.

    Raises `Forbidden`; `Conflict` when another drill is running; what `backups.check` raises; `NotFound` for a backup
    without its key store.
    """
    with service.begin(actor) as work:
        work.concerns("backup.drilled")
        work.require(Role.ADMIN, Role.OPERATOR)
        began = work.instant
    found = backups.check(folder, trusted=[one.public for one in service.keyring.verifiers], identity=identity)  # 1
    if found.missing or found.manifest.stores.keys() != set(Store):
        raise NotFound("A drill needs both stores, and this backup holds one")
    with _scratch(service) as settings:
        report = _tried(service, found, identity, settings, sample, actor)
    findings = tuple(report.findings)
    ok = all(finding.ok for finding in findings)
    with service.begin(actor) as work:
        work.audit(
            "backup.drilled",
            detail={"backup": found.manifest.name, "ok": ok, "sampled": report.sampled, "opened": report.opened},
        )
        seconds = (work.instant - began) / 1_000_000
    rows = {name: count for copied in found.manifest.stores.values() for name, count in copied.rows.items()}
    return Drill(found.manifest.name, ok, findings, rows, report.sampled, report.opened, seconds)


@dataclass(slots=True)
class _Report:
    findings: list[Finding]
    sampled: int = 0
    opened: int = 0

    def look(self, name: str, looked: Callable[[], str]) -> bool:
        """Keep what the look says; an error of ours is a fault that was found."""
        try:
            self.findings.append(Finding(name, True, looked()))
        except (PrivacyError, tlog.Malformed, tlog.NotSigned) as error:
            detail = error.detail if isinstance(error, PrivacyError) else str(error)
            self.findings.append(Finding(name, False, detail))
        return self.findings[-1].ok


def _tried(service: Steward, found: Backup, identity: Path, settings: Settings, sample: int, actor: Actor) -> _Report:
    report = _Report([Finding("backup", True, "signature, hashes and content hold")])
    if not report.look("tables", lambda: _restored(found, identity, settings)):  # 2
        return report
    opened: list[Steward] = []
    if not report.look("start", lambda: _opened(settings, service, opened)):  # 3
        return report
    (copy,) = opened
    try:
        head = found.manifest.audit
        if head is not None:
            report.look("audit log", lambda: _same_tree(service, copy, head))  # 4
            report.look("audit events", lambda: _same_events(copy, head.size, sample))
        report.look("records", lambda: _unsealed(service, copy, report, sample, actor))  # 5
    finally:
        copy.close()
    return report


def _restored(found: Backup, identity: Path, settings: Settings) -> str:
    for store, target in places(settings).items():
        backups.bring_back(found, store, identity, target)
    stores = found.manifest.stores.values()
    tables, rows = sum(len(one.rows) for one in stores), sum(sum(one.rows.values()) for one in stores)
    return f"{rows:,} rows in {tables} tables, each as it was copied"


def _opened(settings: Settings, service: Steward, into: list[Steward]) -> str:
    into.append(Steward.open(settings, service.instant))
    if into[0].keyring.deployment != service.keyring.deployment:
        into.pop().close()
        raise Conflict("The restored key store belongs to another deployment")
    return "migrated and opened; erasures since the backup are replayed"


def _same_tree(service: Steward, copy: Steward, head: Head) -> str:
    tlog.open_note(head.note, service.keyring.verifiers)
    for where, steward in (("restored", copy), ("live", service)):
        with steward.database.borrow() as lane, lane.snapshot() as transaction:
            root = tlog.root_at(head.size, tile_reader(transaction))
        if root.hex() != head.root:
            raise Conflict(f"The {where} log does not extend what was signed at size {head.size}")
    return f"{head.size:,} events: the tree is the one that was signed, and the live log extends it"


def _same_events(copy: Steward, size: int, sample: int) -> str:
    positions = random.sample(range(size), min(size, sample))
    with copy.database.borrow() as lane, lane.snapshot() as transaction:
        read = tile_reader(transaction)
        archived = [
            range(row.first, row.after)
            for row in transaction.execute(select(audit_archives.c.first, audit_archives.c.after))
        ]
        events = transaction.lookup(_EVENT, [(position,) for position in positions])
        for position, rows in zip(positions, events, strict=True):
            if not rows and any(position in part for part in archived):
                continue
            at = position % tlog.WIDTH * 32
            if not rows or tlog.leaf_hash(leaf(rows[0])) != read(0, position // tlog.WIDTH)[at : at + 32]:
                raise Conflict(f"The event at position {position} is not the one that was signed")
    return f"{len(positions):,} of them are what the tree says"


def _unsealed(service: Steward, copy: Steward, report: _Report, sample: int, actor: Actor) -> str:
    with suppress(_Undone), copy.begin() as work:
        rows = work.execute(
            select(
                records_table.c.subject_id,
                records_table.c.record_id,
                records_table.c.record_type,
                records_table.c.sealed,
            )
            .order_by(func.random())
            .limit(sample)
        ).all()
        chosen = [
            _Sampled(
                At(row.subject_id, work.declared.record_type(row.record_type).scope, row.record_type, row.record_id),
                bytes(row.sealed),
            )
            for row in rows
        ]
        report.sampled = len(chosen)
        _announce(service, chosen, actor)
        for one in chosen:
            numbers = vault.numbers_in(one.sealed)
            if (
                vault.unseal(work, Decision(_PURPOSE, "legal-obligation", numbers), one.at, one.sealed).keys()
                == numbers
            ):
                report.opened += 1
        raise _Undone
    if report.opened < report.sampled:
        raise Conflict(f"{report.sampled - report.opened} of {report.sampled} records did not open")
    return f"{report.opened:,} records opened, and were dropped at once"


def _announce(service: Steward, chosen: Sequence[_Sampled], actor: Actor) -> None:
    """In the live log, durable before anything is opened."""
    with service.begin(actor) as work:
        for one in chosen:
            work.audit(
                "backup.record-tried",
                outcome="compared",
                subject=one.at.subject_id,
                record=one.at.record_id,
                detail={"type": one.at.record_type},
            )


@contextmanager
def _scratch(service: Steward) -> Iterator[Settings]:
    """Settings of an empty place beside the live one, for one drill at a time."""
    live = service.settings
    home = live.home / _SCRATCH
    with ExitStack() as until_done:
        guard = os.open(live.home / f"{_SCRATCH}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        until_done.callback(os.close, guard)
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict("Another drill is running here") from None
        shutil.rmtree(home, ignore_errors=True)
        until_done.callback(shutil.rmtree, home, ignore_errors=True)
        home.mkdir(mode=0o700)
        if (ledger := live.home / LEDGER_FILE).exists():
            shutil.copyfile(ledger, home / LEDGER_FILE)
        name = f"steward_drill_{service.keyring.deployment.hex()[:16]}"
        urls = []
        for store, url in ((Store.DATA, live.database_url), (Store.KEYS, live.keystore_url)):
            urls.append(until_done.enter_context(_database(url, home, f"{name}_{store}")))
        yield replace(
            live, home=home, database_url=urls[0], keystore_url=urls[1], kms=_kms(live), witness_url="", witness_key=""
        )


@contextmanager
def _database(url: str, home: Path, name: str) -> Iterator[str]:
    """An empty database of the same kind, gone afterwards."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        yield f"sqlite:///{home / name}.db"
        return
    from privacy.copies_postgresql import create_database, drop_database

    drop_database(url, name)  # what a crash has left; refused while another drill is using it
    create_database(url, name)
    try:
        yield parsed.set(database=name).render_as_string(hide_password=False)
    finally:
        drop_database(url, name, by_force=True)


def _kms(live: Settings) -> str:
    """The live root key, where it is: it is not copied."""
    scheme, _, rest = live.kms.partition(":")
    if scheme != "local":
        return live.kms
    return f"local:{live.home / (rest.removeprefix('//') or 'root.key')}"
