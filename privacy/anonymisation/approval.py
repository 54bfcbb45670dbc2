"""The second person's yes to a release.

One transaction: everybody in the candidate is asked for again, the joint cells are looked at again, then what leads
back to people is destroyed, and only then is the status set.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, select, update

from privacy.anonymisation import release_gate, release_parts, source
from privacy.anonymisation.release_gate import Check
from privacy.anonymisation.release_parts import Part
from privacy.anonymisation.release_requests import OfRecords, Request
from privacy.anonymisation.releases import (
    REASSESSED_AFTER,
    Release,
    State,
    current,
    end,
    locked,
    note,
    outlines,
    outlines_of,
    request_of,
    require_office,
    serialise,
)
from privacy.audit import Begin
from privacy.errors import Conflict, Forbidden, ReleaseStale
from privacy.tables import micros
from privacy.tables_releases import releases
from privacy.work import Work

_STANDING_AT_ONCE: Final = 1000
_T: Final = releases.c


def approve(begin: Begin, release_id: UUID) -> Release:
    """A second person's yes. Raises `NotFound`, `Forbidden` for whoever asked, `Conflict`, `ReleaseStale`."""
    with begin() as work:
        found = _approved(work, release_id)
    if found.state == State.STALE:
        raise ReleaseStale(
            "Somebody in it may not be used any more, or another release came between: ask for it again",
            zh="其中有人的信息已不得使用，或者期间已有其他发布：请重新申请",
            state=found.code,
        )
    return found


def _approved(work: Work, release_id: UUID) -> Release:
    work.concerns("release.approved", record=release_id)
    require_office(work)
    serialise(work)
    row = locked(work, release_id, State.CANDIDATE)
    if row.asked_by == work.actor.name:
        raise Forbidden("Another person must approve this", zh="须由另一人审批")
    request = request_of(work, release_id)
    work.audit("release.request-read", record=release_id)
    code = _gone(work, release_id, request) or _crossed(work, row)
    if code is not None:
        return end(work, release_id, State.STALE, code)
    proof = release_parts.destroy(work, release_id)
    if not proof.holds:
        raise Conflict("What leads back to people is not gone: try again", zh="可追溯至个人的数据尚未销毁：请重试")
    last = Check(10, "destroyed", None, asdict(proof) | {"approved_by": work.actor.name})
    work.execute(
        update(releases)
        .where(_T.release_id == release_id)
        .values(
            state=State.ANONYMISED.value,
            ended_at=work.instant,
            ended_by=work.actor.name,
            reassess_at=micros(row.made_at + REASSESSED_AFTER),
            checks=[*row.checks, last.as_json()],
        )
    )
    found = current(work, release_id)
    note(work, "release.approved", found, keys=list(proof.keys), rows=proof.rows)
    return found


def _gone(work: Work, release_id: UUID, request: Request) -> str | None:
    """Why somebody in the candidate may not be used any more; the code of the first. Nobody is named."""
    content = release_parts.read(work, release_id, Part.SUBJECTS)
    if content is None:
        return "subject-list-lost"
    work.audit("release.subjects-checked", record=release_id, detail={"bytes": len(content)})
    if not isinstance(request.source, OfRecords):
        return None
    of = request.source
    fields = release_gate.read_fields(work, request, of)
    people = [UUID(bytes=content[start : start + 16]) for start in range(0, len(content), 16)]
    for start in range(0, len(people), _STANDING_AT_ONCE):
        some = people[start : start + _STANDING_AT_ONCE]
        missing = source.standing(work, purpose=of.purpose, record_type=of.type, fields=fields, subject_ids=some)
        if missing:
            return next(iter(missing.values()))
    return None


def _crossed(work: Work, row: Row[Any]) -> str | None:
    """Whether what was released since stands in the way."""
    if row.same_as is not None:
        standing = work.execute(select(_T.state).where(_T.release_id == row.same_as)).scalar()
        return None if standing == State.ANONYMISED else "earlier-release-ended"
    content = release_parts.read(work, row.release_id, Part.CLASSES)
    if content is None:
        return "classes-lost"
    work.audit("release.compared", record=row.release_id)
    return release_gate.beside(outlines_of(content), outlines(work, row.lineage, but=row.release_id)).code
