"""Releases are made by a job: read, generalised, checked, kept as candidates. One at a time, the oldest first.

1. One transaction reads what was asked. The columns are classified before anything of anybody is read.
2. The rows are read (`source.gather`): a transaction a page, each person's event durable before the next step; or the
   upload is opened.
3. The candidate is made and checked in memory, in no transaction.
4. One transaction keeps it, sealed, with the list of its subjects under the release's own key; or refuses it with the
   check that failed, and keeps nothing but that.

Killed at any instruction, the release is asked for still, and begins again: until 4 nothing of it is stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import Row, select, update

from privacy import job_runs
from privacy.anonymisation import (
    data_sheet,
    lineage,
    release_gate,
    release_parts,
    release_tables,
    releases,
    risks,
    source,
)
from privacy.anonymisation.hierarchy_specs import Spec
from privacy.anonymisation.joint_releases import JointRelease
from privacy.anonymisation.lineage import Outline
from privacy.anonymisation.policies import Policy
from privacy.anonymisation.release_gate import Check
from privacy.anonymisation.release_making import Made, Rows, make, table_of, text_of
from privacy.anonymisation.release_parts import Part
from privacy.anonymisation.release_requests import OfRecords, Request, Role
from privacy.anonymisation.release_tables import MadeTable
from privacy.anonymisation.releases import JOB, State
from privacy.anonymisation.risks import RiskReport
from privacy.anonymisation.source import Gathered, Period
from privacy.errors import Conflict, Forbidden, Invalid, NotFound, Refused, Unavailable
from privacy.slots import Progress, Superseded, code_of
from privacy.steward import Steward
from privacy.tables import principals
from privacy.tables_releases import releases as releases_table
from privacy.work import Actor, Work
from privacy.work import Role as ActorRole

READ: Final = "release.read"
MAKER: Final = Actor("releases", ActorRole.ADMIN)
_T: Final = releases_table.c


@dataclass(frozen=True, slots=True)
class _Task:
    """A release to be made. `roles` are those of the columns that will be read."""

    row: Row[Any]
    request: Request
    policy: Policy
    roles: Mapping[str, Role]
    hierarchies: Mapping[str, Spec]
    checks: tuple[Check, ...]
    upload: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    rows: Rows
    snapshot: str
    subjects: bytes = field(repr=False)
    withheld: Mapping[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    """What is kept, whatever kind it is of. `report` and `sheet` are of rows only."""

    parts: Mapping[Part, bytes] = field(repr=False)
    outlines: tuple[Outline, ...]
    figures: Mapping[str, object]
    made: Made | None = None


def make_some(service: Steward, progress: Progress) -> int:
    """Make the oldest release that is asked for; 1 when there was one."""
    with service.begin(MAKER) as work:
        progress.hold(work)
        release_id = _next(work)
        work.paid()
    if release_id is None:
        return 0
    try:
        _make(service, progress, release_id)
    except (Superseded, Unavailable):
        raise
    except (Refused, Invalid, Conflict, NotFound) as error:
        why = Check(0, "made", error.code, {"en": error.detail, "zh": error.zh})
        _end(service, progress, release_id, State.REFUSED, error.code, [why])
    except Exception as error:
        with service.begin(MAKER) as work:
            progress.hold(work)
            if job_runs.failed_item(work, JOB, release_id, code_of(error)):
                releases.end(work, release_id, State.FAILED, code_of(error))
        raise
    return 1


def _make(service: Steward, progress: Progress, release_id: UUID) -> None:
    # 1.
    with service.begin(MAKER) as work:
        progress.hold(work)
        task = _task(work, release_id)
    if not all(check.holds for check in task.checks):
        _refuse(service, progress, release_id, task.checks)
        return
    # 2.
    read = _read(service, progress, task)
    with service.begin(MAKER) as work:
        progress.hold(work)
        same_as = releases.same_release(work, task.row, read.snapshot)
        work.paid()
    if same_as is not None:
        _keep_same(service, progress, task, read, same_as)
        return
    # 3.
    if task.request.table is not None:
        table = release_tables.make_table(read.rows, task.request, task.request.table, read.snapshot)
        quasi = [name for name in table.published if task.roles[name] is Role.QUASI]
        looked = release_gate.looked_at(service, table.published, quasi)
        checks = [*task.checks, looked, table.check]
        candidate = _of_table(table)
    else:
        made = make(read.rows, task.policy)
        looked = release_gate.looked_at(service, made.published, made.outline.columns)
        checks = [*task.checks, looked, *release_gate.figures_of(task.request, task.policy, made)]
        candidate = _of_rows(task, made)
    # 4.
    if all(check.holds for check in checks):
        _keep(service, progress, task, read, candidate, checks)
    else:
        _refuse(service, progress, release_id, checks)


def _next(work: Work) -> UUID | None:
    aside = job_runs.set_aside(work, JOB)
    waiting = select(_T.release_id).where(_T.state == State.ASKED.value).order_by(_T.release_id)
    return next((one for one in work.execute(waiting).scalars() if one not in aside), None)


def _task(work: Work, release_id: UUID) -> _Task:
    row = work.execute(select(releases_table).where(_T.release_id == release_id)).one()
    request = releases.request_of(work, release_id)
    _require_entitled(work, row, request)
    upload = release_parts.read(work, release_id, Part.UPLOAD) if not isinstance(request.source, OfRecords) else None
    if isinstance(request.source, OfRecords):
        of = request.source
        columns: Sequence[str] = source.fields_of(work, of.purpose, of.type, of.fields)
        declared = {name: one.hierarchy for name, one in work.declared.record_type(of.type).fields.items()}
    else:
        columns, declared = tuple(table_of(upload or b"")), {}
    known = release_gate.roles_of(work, request, columns)
    check = release_gate.classified(work, request, known)
    roles = {name: role for name, role in known.items() if role is not None and role is not Role.DROP}
    sensitive = [name for name, role in roles.items() if role is Role.SENSITIVE]
    hierarchies = {name: spec for name, spec in declared.items() if spec is not None} | dict(request.hierarchies)
    budget = release_gate.budgeted(work, request.lineage)
    work.audit("release.begun", record=release_id, purpose=row.purpose, detail={"lineage": row.lineage})
    policy = replace(request.policy, sensitive=release_gate.ruled(request.policy, sensitive))
    return _Task(row, request, policy, roles, hierarchies, (check, budget), upload)


def _require_entitled(work: Work, row: Row[Any], request: Request) -> None:
    """Who asked may have lost the grant since. Raises `Forbidden`."""
    if row.asked_role == ActorRole.ADMIN or not isinstance(request.source, OfRecords):
        return
    statement = select(principals.c.role, principals.c.purposes, principals.c.types).where(
        principals.c.name == row.asked_by, principals.c.revoked_at.is_(None)
    )
    found = work.execute(statement).first()
    if found is None:
        raise Forbidden("Who asked for the release is no principal any more", zh="申请该发布的调用方已被撤销")
    if found.role == ActorRole.OPERATOR:
        return
    asked = Actor(row.asked_by, ActorRole(found.role), purposes=frozenset(found.purposes), types=frozenset(found.types))
    if not asked.may_use(request.source.purpose, request.source.type):
        raise Forbidden("Who asked for the release has no grant for it any more", zh="申请该发布的调用方已无相应授权")


def _read(service: Steward, progress: Progress, task: _Task) -> _Source:
    of = task.request.source
    if isinstance(of, OfRecords):
        found = source.gather(
            service,
            purpose=of.purpose,
            record_type=of.type,
            fields=tuple(task.roles),
            actor=MAKER,
            action=READ,
            detail={"release": str(task.row.release_id)},
            period=Period(of.since, of.until),
            progress=progress,
        )
        return _of_records(task, found)
    columns = table_of(task.upload or b"")
    whose = columns.get(of.person) if of.person is not None else None
    numbers: dict[str, int] = {}
    count = len(next(iter(columns.values())))
    persons = list(range(count)) if whose is None else [numbers.setdefault(one, len(numbers)) for one in whose]
    rows = Rows({name: columns[name] for name in task.roles}, task.roles, task.hierarchies, persons)
    snapshot = service.keyring.fingerprint("release-upload", task.upload or b"").hex()
    return _Source(rows, snapshot, b"", {})


def _of_records(task: _Task, found: Gathered) -> _Source:
    if not found.rows:
        raise Invalid("Nothing may be read for this release", zh="没有任何数据可用于该发布")
    columns = {name: [text_of(value) for value in column] for name, column in found.columns.items()}
    numbers: dict[UUID, int] = {}
    persons = [numbers.setdefault(one, len(numbers)) for one in found.subjects]
    rows = Rows(columns, task.roles, task.hierarchies, persons)
    return _Source(rows, found.snapshot, b"".join(one.bytes for one in numbers), found.withheld)


def _of_rows(task: _Task, made: Made) -> _Candidate:
    figures = {**made.done.as_json(), "rows": made.by_person.rows, "persons": made.by_person.persons}
    return _Candidate({Part.CSV: made.csv, Part.PARQUET: made.parquet}, (made.outline,), figures, made)


def _of_table(table: MadeTable) -> _Candidate:
    return _Candidate({Part.CSV: table.csv}, table.outlines, table.check.figures)


def _keep(
    service: Steward, progress: Progress, task: _Task, read: _Source, candidate: _Candidate, checks: Sequence[Check]
) -> None:
    release_id = task.row.release_id
    with service.begin(MAKER) as work:
        progress.hold(work)
        releases.serialise(work)
        earlier = releases.outlines(work, task.row.lineage, but=release_id)
        beside = release_gate.beside(candidate.outlines, earlier)
        checks = sorted([*checks, beside], key=lambda check: check.number)
        if candidate.made is not None:
            report = _report(task, candidate.made, earlier)
            release_parts.keep(work, release_id, Part.REPORT, msgspec.json.encode(report))
            release_parts.keep(work, release_id, Part.SHEET, _sheet(work, candidate.made, report))
        if not beside.holds:
            releases.end(work, release_id, State.REFUSED, beside.code, checks)
            return
        for part, content in candidate.parts.items():
            release_parts.keep(work, release_id, part, content)
        release_parts.keep(work, release_id, Part.CLASSES, msgspec.json.encode(candidate.outlines))
        _keep_subjects(work, release_id, read)
        _become_candidate(work, task, read, checks, candidate.figures, None)


def _keep_same(service: Steward, progress: Progress, task: _Task, read: _Source, same_as: UUID) -> None:
    """The stored release is given again: what was checked of it is checked, and nothing new can be learned."""
    with service.begin(MAKER) as work:
        progress.hold(work)
        earlier = work.execute(select(releases_table).where(_T.release_id == same_as)).one()
        _keep_subjects(work, task.row.release_id, read)
        checks = [Check(6, "lineage", None, {"same_as": str(same_as)}), *task.checks]
        _become_candidate(work, task, read, sorted(checks, key=lambda check: check.number), earlier.figures, same_as)


def _keep_subjects(work: Work, release_id: UUID, read: _Source) -> None:
    """Of an upload there are none: what is kept says so, so that approval finds the release's own key."""
    release_parts.forget(work, release_id, Part.UPLOAD)
    release_parts.keep(work, release_id, Part.SUBJECTS, read.subjects)


def _become_candidate(
    work: Work,
    task: _Task,
    read: _Source,
    checks: Sequence[Check],
    figures: Mapping[str, object],
    same_as: UUID | None,
) -> None:
    release_id = task.row.release_id
    this = (_T.release_id == release_id, _T.state == State.ASKED.value)
    changed = work.execute(
        update(releases_table)
        .where(*this)
        .values(
            state=State.CANDIDATE.value,
            made_at=work.instant,
            snapshot=read.snapshot,
            same_as=same_as,
            checks=[check.as_json() for check in checks],
            figures={**figures, "withheld": dict(read.withheld)},
        )
    )
    if not changed.rowcount:
        raise Conflict("The release has ended meanwhile", zh="该发布已结束")
    detail = {"lineage": task.row.lineage, "same_as": None if same_as is None else str(same_as)}
    work.audit("release.made", record=release_id, purpose=task.row.purpose, detail=detail)


def _refuse(service: Steward, progress: Progress, release_id: UUID, checks: Sequence[Check]) -> None:
    ordered = sorted(checks, key=lambda check: check.number)
    code = next((check.code for check in ordered if check.code is not None), None)
    _end(service, progress, release_id, State.REFUSED, code, ordered)


def _end(
    service: Steward, progress: Progress, release_id: UUID, state: State, code: str | None, checks: Sequence[Check]
) -> None:
    with service.begin(MAKER) as work:
        progress.hold(work)
        waits = work.execute(select(_T.state).where(_T.release_id == release_id)).scalar() == State.ASKED.value
        work.paid()
        if waits:
            releases.end(work, release_id, state, code, checks)


def _sheet(work: Work, made: Made, report: RiskReport) -> bytes:
    day = work.now.date()
    sheet = data_sheet.describe(
        made.done,
        recipient=report.recipient,
        made=day,
        reassess=day + releases.REASSESSED_AFTER,
        limits=report.limits,
    )
    words = {language: sheet.as_markdown(language) for language in ("zh", "en")}
    return msgspec.json.encode({"json": sheet.as_json(), **words})


def _report(task: _Task, made: Made, earlier: Mapping[str, Sequence[Outline]]) -> RiskReport:
    joint = []
    for name, ones in earlier.items():
        found = lineage.joint(ones, (made.outline,))
        below = 0 if found.code is None else 1
        joint.append(
            JointRelease(
                earlier=name,
                k=max(task.policy.k, *(one.k for one in ones)),
                rows=made.by_person.rows - found.only_later,
                cells=found.cells,
                smallest=found.smallest,
                cells_below=below,
                rows_below=below,
                unique_rows=0,
                only_here=found.only_later,
                only_earlier=found.only_earlier,
                alone_below=0,
            )
        )
    threshold = task.request.highest_risk
    fraction = task.request.fraction
    return risks.report(
        made.done.before,
        made.by_person,
        k=task.policy.k,
        recipient=task.request.recipient_class,
        by_person=True,
        threshold=threshold,
        loss=made.done.loss,
        is_local=made.done.levels is None,
        journalist=None
        if fraction is None
        else risks.journalist_by_fraction(made.by_person, fraction, threshold or 1 / task.policy.k),
        joint=joint,
    )
