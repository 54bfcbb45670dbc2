"""Releases: asked for by one, made by a job, approved by another, given to the recipient they were made for.

    asked -> candidate -> anonymised        it passed the gate, and a second person said yes
          -> refused                        a check failed: `code` and the checks say which, and nothing was kept of it
             candidate -> stale             somebody in it may not be used any more, or another release came between
             candidate -> rejected          the second person said no
          -> failed                         it could not be made

A release has this status for one recipient: what is anonymous for one may not be so for another (CJEU C-413/23 P).
`privacy.anonymisation.approval` says what stands behind the yes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from sqlalchemy import Row, Select, insert, select, update

from privacy import ids, slots
from privacy.anonymisation import release_parts, source
from privacy.anonymisation.lineage import Outline
from privacy.anonymisation.release_gate import Check
from privacy.anonymisation.release_parts import Part
from privacy.anonymisation.release_requests import MOST_UPLOADED, OfFile, OfRecords, Request, checked, decoded, encoded
from privacy.errors import Conflict, Invalid, NotAnonymised, NotFound, TooLarge
from privacy.tables import micros, revisions
from privacy.tables_releases import releases
from privacy.work import Role, Work

PAGE: Final = 100
JOB: Final = "releases"
REASSESSED_AFTER: Final = timedelta(days=365)
REMINDED_BEFORE: Final = timedelta(days=30)
FORMATS: Final = {"csv": Part.CSV, "parquet": Part.PARQUET}
_MARK: Final = "release-request"
_T: Final = releases.c

# What msgspec must know of the types is built here, by one thread: building it in two at once ends the process.
_OUTLINES: Final = msgspec.json.Decoder(tuple[Outline, ...])


class State(StrEnum):
    ASKED = "asked"
    CANDIDATE = "candidate"
    ANONYMISED = "anonymised"
    REFUSED = "refused"
    STALE = "stale"
    REJECTED = "rejected"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Release:
    """A release as it stands. `checks` are the gate's, by number; `code` is why it was refused or is stale.

    `same_as` is an earlier release of the same request and snapshot: its files are given.
    """

    id: UUID
    lineage: str
    kind: str
    state: str
    recipient: str
    recipient_class: str
    purpose: str | None
    type: str | None
    same_as: UUID | None
    asked_at: datetime
    asked_by: str
    made_at: datetime | None
    ended_at: datetime | None
    ended_by: str | None
    reassess_at: datetime | None
    checks: Sequence[dict[str, Any]]
    figures: dict[str, Any]
    code: str | None


@dataclass(frozen=True, slots=True)
class Given:
    """A file of a release. The event of its giving is durable before it leaves the process."""

    content: bytes
    format: str
    release: Release


def ask(work: Work, request: Request, upload: bytes | None = None) -> Release:
    """Ask for a release; a job makes it. For operators, and services for what they are granted; files for operators.

    Raises `Invalid`, `TooLarge`, `UndeclaredPurpose`, `Undeclared`, `NotInPurpose`, `Forbidden`.
    """
    purpose = request.source.purpose if isinstance(request.source, OfRecords) else None
    work.concerns("release.asked", purpose=purpose)
    if work.actor.role is not Role.SERVICE:
        require_office(work)
    request = checked(request)
    type: str | None = None
    if isinstance(request.source, OfRecords):
        of = request.source
        type = of.type
        source.fields_of(work, of.purpose, of.type, of.fields)
        if upload is not None:
            raise Invalid("A release of records takes no file", zh="基于记录的发布不接受文件", field="source")
    else:
        require_office(work)
        _check_upload(request.source, upload)
    release_id = ids.new()
    work.execute(
        insert(releases).values(
            release_id=release_id,
            lineage=request.lineage,
            kind=request.kind.value,
            state=State.ASKED.value,
            recipient=request.recipient,
            recipient_class=request.recipient_class.value,
            purpose=purpose,
            record_type=type,
            request=work.service.keyring.fingerprint(_MARK, request.canonical()).hex(),
            asked_at=work.instant,
            asked_by=work.actor.name,
            asked_role=work.actor.role.value,
            checks=[],
            figures={},
        )
    )
    release_parts.keep(work, release_id, Part.REQUEST, encoded(request))
    if upload is not None:
        release_parts.keep(work, release_id, Part.UPLOAD, upload)
    slots.hasten(work, JOB)
    found = current(work, release_id)
    note(work, "release.asked", found)
    return found


def reject(work: Work, release_id: UUID) -> Release:
    """A no, of whoever may say yes, or of whoever asked. Raises `NotFound`, `Forbidden`, `Conflict`."""
    work.concerns("release.rejected", record=release_id)
    if _visible(work, release_id).asked_by != work.actor.name:
        require_office(work)
    locked(work, release_id, State.CANDIDATE, State.ASKED)
    return end(work, release_id, State.REJECTED, None)


def listed(work: Work, *, after: UUID | None = None, due: bool = False, limit: int = PAGE) -> list[Release]:
    """The newest first; with `due` those whose date for being assessed again is near (30 days) or over.

    A service sees what it has asked for. For operators, auditors, administrators and services.
    """
    work.concerns("releases.listed")
    statement = select(releases).order_by(_T.release_id.desc()).limit(min(max(limit, 1), PAGE))
    if work.actor.role is Role.SERVICE:
        statement = statement.where(_T.asked_by == work.actor.name)
    if after is not None:
        statement = statement.where(_T.release_id < after)
    if due:
        statement = _due(statement, work.now)
    found = [_of(row) for row in work.execute(statement)]
    work.audit("releases.listed", detail={"count": len(found), "due": due})
    return found


def shown(work: Work, release_id: UUID) -> Release:
    """Raises `NotFound`."""
    work.concerns("release.shown", record=release_id)
    found = _visible(work, release_id)
    work.audit("release.shown", record=release_id, detail={"state": found.state})
    return found


def data(work: Work, release_id: UUID, format: Literal["csv", "parquet"]) -> Given:
    """The file, for the recipient that the release was made for.

    For operators, and for the service that asked. Raises `NotFound`, `Forbidden`, `NotAnonymised`.
    """
    work.concerns("release.given", record=release_id)
    found = _visible(work, release_id)
    if work.actor.role is not Role.SERVICE:
        require_office(work)
    if found.state != State.ANONYMISED or found.reassess_at is None or found.reassess_at <= work.now:
        raise NotAnonymised(
            f"The release is {found.state}"
            + (" and must be assessed again" if found.state == State.ANONYMISED else ", not anonymised"),
            zh="该发布须重新评估后方可提供" if found.state == State.ANONYMISED else "该发布未经审批，尚不得称为匿名化",
            state=found.state,
        )
    content = release_parts.read(work, found.same_as or release_id, FORMATS[format])
    if content is None:
        raise NotFound("The release has no such file")
    work.audit(
        "release.given",
        outcome="disclosed",
        record=found.same_as or release_id,
        purpose=found.purpose,
        detail={
            "format": format,
            "recipient": found.recipient,
            "recipient_class": found.recipient_class,
            "release": str(release_id),
            "rows": found.figures.get("rows"),
            "sha256": sha256(content).hexdigest(),
        },
    )
    return Given(content, format, found)


def report(work: Work, release_id: UUID) -> bytes:
    """The risk report as `privacy.anonymisation.risks` wrote it, in JSON; of a refused candidate too.

    For operators, auditors, administrators and the service that asked. Raises `NotFound`, `Conflict` while there is
    none.
    """
    work.concerns("release.report-shown", record=release_id)
    found = _visible(work, release_id)
    content = release_parts.read(work, found.same_as or release_id, Part.REPORT)
    if content is None:
        raise Conflict("There is no risk report of this release yet", zh="该发布尚无风险报告", state=found.state)
    work.audit("release.report-shown", record=found.same_as or release_id, detail={"release": str(release_id)})
    return content


def sheet(work: Work, release_id: UUID) -> dict[str, Any]:
    """The data sheet that goes with the file: as `json`, and in words in `zh` and `en` (Markdown).

    For whoever `report` is for. Raises `NotFound`, `Conflict` while there is none.
    """
    work.concerns("release.sheet-shown", record=release_id)
    found = _visible(work, release_id)
    content = release_parts.read(work, found.same_as or release_id, Part.SHEET)
    if content is None:
        raise Conflict("There is no data sheet of this release", zh="该发布没有数据说明书", state=found.state)
    work.audit("release.sheet-shown", record=found.same_as or release_id, detail={"release": str(release_id)})
    shown: dict[str, Any] = msgspec.json.decode(content)
    return shown


# --- for the job


def end(work: Work, release_id: UUID, state: State, code: str | None, checks: Sequence[Check] = ()) -> Release:
    """Refused, failed, stale or rejected: what leads back to people is destroyed, and the files with it."""
    proof = release_parts.destroy(work, release_id)
    release_parts.forget(work, release_id, Part.CSV, Part.PARQUET, Part.CLASSES, Part.SHEET)
    values: dict[str, Any] = {"state": state.value, "code": code, "ended_at": work.instant, "ended_by": work.actor.name}
    if checks:
        values["checks"] = [one.as_json() for one in checks]
    work.execute(update(releases).where(_T.release_id == release_id).values(**values))
    found = current(work, release_id)
    match state:
        case State.REFUSED:
            note(work, "release.refused", found, code=code, keys=list(proof.keys))
        case State.STALE:
            note(work, "release.stale", found, code=code, keys=list(proof.keys))
        case State.REJECTED:
            note(work, "release.rejected", found, code=code, keys=list(proof.keys))
        case _:
            note(work, "release.failed", found, code=code, keys=list(proof.keys))
    return found


def request_of(work: Work, release_id: UUID) -> Request:
    """What was asked. The work owes an event with `record=release_id`. Raises `NotFound`."""
    content = release_parts.read(work, release_id, Part.REQUEST)
    if content is None:
        raise NotFound("There is no such release")
    return decoded(content)


def serialise(work: Work) -> None:
    """One work at a time adds to what has been released: each must see the others' classes."""
    work.execute(update(revisions).where(revisions.c.name == "releases").values(number=revisions.c.number + 1))


def outlines(work: Work, lineage: str, *, but: UUID) -> dict[str, Sequence[Outline]]:
    """What is kept of every release of the lineage that anybody may have, by its id. For whomever it was made.

    Of one that is as another is, the other's. Each has an event.
    """
    statement = select(_T.release_id).where(
        _T.lineage == lineage, _T.state == State.ANONYMISED.value, _T.same_as.is_(None), _T.release_id != but
    )
    found: dict[str, Sequence[Outline]] = {}
    for release_id in work.execute(statement).scalars().all():
        content = release_parts.read(work, release_id, Part.CLASSES)
        if content is None:
            raise NotFound("The classes of an earlier release are missing")
        found[str(release_id)] = outlines_of(content)
        work.audit("release.compared", record=release_id, detail={"lineage": lineage, "release": str(but)})
    return found


def outlines_of(content: bytes) -> Sequence[Outline]:
    """What a release keeps of its classes, as it was written down."""
    found: Sequence[Outline] = _OUTLINES.decode(content)
    return found


def same_release(work: Work, row: Row[Any], snapshot: str) -> UUID | None:
    """The release that was made of the same request and snapshot, and still stands."""
    statement = select(_T.release_id).where(
        _T.request == row.request,
        _T.snapshot == snapshot,
        _T.state == State.ANONYMISED.value,
        _T.same_as.is_(None),
        _T.reassess_at > work.instant,
        _T.release_id != row.release_id,
    )
    return work.execute(statement.order_by(_T.release_id).limit(1)).scalar()


# --- what stands behind them


def require_office(work: Work) -> None:
    """Operators, and whoever is at the machine's terminal."""
    if work.actor.principal_id is not None or work.actor.role is not Role.ADMIN:
        work.require(Role.OPERATOR)


def locked(work: Work, release_id: UUID, *states: State) -> Row[Any]:
    """The locked row. Raises `NotFound`, `Conflict` for another state."""
    row = work.execute(select(releases).where(_T.release_id == release_id).with_for_update()).first()
    if row is None:
        raise NotFound("There is no such release")
    if row.state not in states:
        raise Conflict(f"The release is {row.state}", zh="该发布的状态不允许此操作", state=row.state)
    return row


def _visible(work: Work, release_id: UUID) -> Release:
    """Raises `NotFound`, also for a service that has not asked for it."""
    found = current(work, release_id)
    if work.actor.role is Role.SERVICE and found.asked_by != work.actor.name:
        raise NotFound("There is no such release")
    return found


def current(work: Work, release_id: UUID) -> Release:
    row = work.execute(select(releases).where(_T.release_id == release_id)).first()
    if row is None:
        raise NotFound("There is no such release")
    return _of(row)


def _due(statement: Select[Any], now: datetime) -> Select[Any]:
    return statement.where(_T.state == State.ANONYMISED.value, _T.reassess_at <= micros(now + REMINDED_BEFORE))


def _check_upload(file: OfFile, upload: bytes | None) -> None:
    from privacy.anonymisation.release_making import table_of

    if upload is None:
        raise Invalid("The file is missing", zh="缺少文件", field="source")
    if len(upload) > MOST_UPLOADED:
        raise TooLarge(f"A file has at most {MOST_UPLOADED} bytes", zh=f"文件不得超过 {MOST_UPLOADED} 字节")
    columns = table_of(upload)
    if not columns or not next(iter(columns.values())):
        raise Invalid("The file has no row", zh="文件没有任何行", field="source")
    strange = sorted({*file.columns, *([file.person] if file.person else [])} - columns.keys())
    if strange:
        raise Invalid("The file lacks a column that the request names", zh="文件缺少请求中指明的列", field="columns")


def note(work: Work, action: str, found: Release, **more: object) -> None:
    detail = {
        "kind": found.kind,
        "lineage": found.lineage,
        "recipient": found.recipient,
        "recipient_class": found.recipient_class,
        "state": found.state,
    }
    work.audit(action, record=found.id, purpose=found.purpose, detail=detail | {k: v for k, v in more.items() if v})


def _of(row: Row[Any]) -> Release:
    return Release(
        id=row.release_id,
        lineage=row.lineage,
        kind=row.kind,
        state=row.state,
        recipient=row.recipient,
        recipient_class=row.recipient_class,
        purpose=row.purpose,
        type=row.record_type,
        same_as=row.same_as,
        asked_at=row.asked_at,
        asked_by=row.asked_by,
        made_at=row.made_at,
        ended_at=row.ended_at,
        ended_by=row.ended_by,
        reassess_at=row.reassess_at,
        checks=row.checks,
        figures=row.figures,
        code=row.code,
    )
