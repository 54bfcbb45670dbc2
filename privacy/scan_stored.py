"""What was stored before its field was declared `scan`, or looked through by less than today's rules: a job.

Until it has come to a record, purposes that see such a field redacted get nothing of it (`not-scanned`). A pass goes
through the record types with a field that is looked through in other languages, another mode or by other rules than
when the last pass ended, a page at a time:

1. One transaction opens what has to be looked through; each record's event says so before anything is looked at.
2. The detector reads the texts, in no transaction.
3. A transaction for each subject keeps what was found, unless the record has changed meanwhile: then what changed it
   has kept its own. Levels rise as `on_find` says; nothing that is stored can be refused any more, so that is reported.
4. The cursor moves on. Stopped anywhere before, the page is done again, and what it kept is passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from itertools import groupby
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import Row, Select, insert, literal, select, tuple_, update

from privacy import at_the_door, job_runs, stored_findings, subjects, vault
from privacy.at_the_door import Analysed, Languages
from privacy.detection.analyser import RULES
from privacy.errors import Corrupt, Erased, NotFound
from privacy.manifest import RecordType
from privacy.slots import Progress
from privacy.steward import Steward
from privacy.tables import Id, records, watch_state
from privacy.values import Value
from privacy.vault import At, Decision
from privacy.work import Actor, Role, Work

ROUND: Final = 100  # records of a page
JOB: Final = "scan-stored"
OPENED: Final = "record.opened-for-scan"
SCANNED: Final = "record.scanned"
SCANNER: Final = Actor("scan-stored", Role.ADMIN)
_BASIS: Final = "legal-obligation"  # to give away no more than a purpose needs: PIPL 6, 51; GDPR 25
_R = records.c
_Ids = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Pass:
    """How far it has come. `done`: how each field was looked through when the last pass ended; `now`: in this one."""

    done: dict[str, str] = field(default_factory=dict)
    now: dict[str, str] = field(default_factory=dict)
    after: _Ids | None = None


# What msgspec must know of the types is built here, by one thread: building it in two at once ends the process.
msgspec.json.Decoder(_Pass)


@dataclass(frozen=True, slots=True)
class _Opened:
    """A record whose texts have to be looked through; `values` by field."""

    at: At
    sealed: bytes = field(repr=False)
    values: Mapping[str, Value] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Page:
    opened: tuple[_Opened, ...]
    count: int
    next: _Pass | None


def scan_some(service: Steward, progress: Progress) -> int:
    """One page; how many records it looked at, `ROUND` when there may be more. Raises `DetectionOff`, `Unavailable`."""
    # 1.
    with service.begin(SCANNER) as work:
        progress.hold(work)
        page = _open_page(work)
    if page.next is None:
        return 0
    # 2.
    analysed = at_the_door.analyse(service, _texts(service, page.opened))
    # 3.
    for subject_id, its in groupby(page.opened, key=lambda one: one.at.subject_id):
        with service.begin(SCANNER) as work:
            progress.hold(work)
            _keep(work, subject_id, its, analysed)
    # 4.
    with service.begin(SCANNER) as work:
        progress.hold(work)
        _move(work, page.next)
    return page.count


def _open_page(work: Work) -> _Page:
    state, now = _state(work), _ways(work)
    if state.now != now:
        state = _Pass(state.done, now)
    changed = {name for name, way in now.items() if state.done.get(name) != way}
    work.paid()
    if not changed:
        return _Page((), 0, None)
    rows = work.execute(_rows(sorted({name.partition(".")[0] for name in changed}), state.after)).all()
    opened = [one for row in rows if (one := _open(work, row, changed)) is not None]
    is_last = len(rows) < ROUND
    if is_last:
        return _Page(tuple(opened), len(rows), _Pass(now, now))
    return _Page(tuple(opened), len(rows), _Pass(state.done, now, (str(rows[-1].subject_id), str(rows[-1].record_id))))


def _ways(work: Work) -> dict[str, str]:
    """How each field is looked through now: by type and field. Raises `DetectionOff` when there is one."""
    scanned = {
        f"{record_type.name}.{name}": ",".join(sorted(declared.scan))
        for record_type in work.declared.manifest.records.values()
        for name, declared in record_type.fields.items()
        if declared.scan
    }
    if not scanned:
        return {}
    mode = work.service.detector.mode
    return {name: f"{mode} {RULES} {languages}" for name, languages in scanned.items()}


def _open(work: Work, row: Row[Any], changed: set[str]) -> _Opened | None:
    """None where there is nothing to look through, or nothing that opens."""
    record_type = work.declared.record_type(row.record_type)
    present = vault.numbers_in(bytes(row.sealed))
    numbers = {work.declared.number(row.record_type, name): name for name in record_type.fields}
    wanted = {number: name for number, name in numbers.items() if number in present}
    wanted = {number: name for number, name in wanted.items() if f"{row.record_type}.{name}" in changed}
    if not wanted:
        return None
    at = At(row.subject_id, record_type.scope, row.record_type, row.record_id)
    try:
        values = _values(work, at, bytes(row.sealed), record_type, wanted)
    except (Corrupt, Erased) as error:
        work.audit(
            "record.scan-failed",
            subject=at.subject_id,
            record=at.record_id,
            detail={"code": error.code, "type": at.record_type},
        )
        if isinstance(error, Corrupt):
            job_runs.failed_item(work, JOB, at.record_id, error.code)
        return None
    work.audit(
        OPENED, subject=at.subject_id, record=at.record_id, fields=sorted(values), detail={"type": at.record_type}
    )
    return _Opened(at, bytes(row.sealed), values) if values else None


def _values(work: Work, at: At, sealed: bytes, record_type: RecordType, wanted: Mapping[int, str]) -> dict[str, Value]:
    """The values of the fields that have not been looked through as they are now; of the others only the findings."""
    boxes = {vault.findings_of(number): name for number, name in wanted.items()}
    kept = frozenset(boxes) & vault.numbers_in(sealed)
    fresh: set[str] = set()
    if kept:
        decision = Decision("[scan]", _BASIS, frozenset(), findings=kept)
        for number, box in vault.unseal(work, decision, at, sealed).items():
            declared = record_type.fields[boxes[number]]
            looked = stored_findings.serving(declared, box, work.service.settings.detection)
            if looked is not None and looked.rules == RULES:
                fresh.add(declared.name)
    stale = frozenset(number for number, name in wanted.items() if name not in fresh)
    if not stale:
        return {}
    opened = vault.unseal(work, Decision("[scan]", _BASIS, stale), at, sealed)
    return {wanted[number]: value for number, value in opened.items()}


def _texts(service: Steward, opened: Iterable[_Opened]) -> Mapping[Languages, set[str]]:
    declared = service.declared
    items = [(one.at.record_type, one.values) for one in opened]
    return {} if declared is None else at_the_door.wanted(declared.manifest, items)


def _keep(work: Work, subject_id: UUID, its: Iterable[_Opened], analysed: Analysed) -> None:
    """What was found in a subject's records, kept with them, each with its event."""
    try:
        subjects.hold_for_writing(work, subject_id)
    except (Erased, NotFound):  # its texts have gone, or go
        return
    for one in its:
        this = (_R.subject_id == subject_id, _R.record_id == one.at.record_id)
        row = work.execute(select(_R.sealed, _R.level, _R.version).where(*this).with_for_update()).first()
        if row is None or bytes(row.sealed) != one.sealed:
            continue
        record_type = work.declared.record_type(one.at.record_type)
        judged = at_the_door.judge(work, record_type, one.values, analysed, is_stored=True)
        decision = Decision("[scan]", _BASIS, frozenset(), findings=frozenset(judged.boxes))
        sealed, _ = vault.patch(work, decision, one.at, one.sealed, judged.boxes)
        level = max((row.level, *map(int, judged.raised.values())))
        work.execute(update(records).where(*this).values(sealed=sealed, level=level))
        work.audit(
            SCANNED,
            subject=subject_id,
            record=one.at.record_id,
            fields=sorted(one.values),
            detail={"type": one.at.record_type, "version": row.version},
            digest=sha256(sealed).hexdigest(),
        )
        at_the_door.report(work, one.at, judged)


def _state(work: Work) -> _Pass:
    row = work.execute(select(watch_state.c.state).where(watch_state.c.name == JOB)).first()
    return _Pass() if row is None else msgspec.convert(row.state, _Pass)


def _move(work: Work, state: _Pass) -> None:
    if not work.execute(update(watch_state).where(watch_state.c.name == JOB).values(state=asdict(state))).rowcount:
        work.execute(insert(watch_state).values(name=JOB, position=0, state=asdict(state)))
    if state.after is None:
        work.audit("records.scanned", detail={"fields": sorted(state.done), "version": work.declared.version})
    work.paid()  # that somebody looked needs no event


def _rows(types: Iterable[str], after: _Ids | None) -> Select[Any]:
    columns = (_R.subject_id, _R.record_id, _R.record_type, _R.sealed)
    statement = select(*columns).where(_R.record_type.in_(types)).order_by(_R.subject_id, _R.record_id).limit(ROUND)
    if after is None:
        return statement
    place = tuple_(*(literal(UUID(one), Id()) for one in after))
    return statement.where(tuple_(_R.subject_id, _R.record_id) > place)
