"""Notices: what people are told, versioned, in the controller's languages, and never changed once published.

A notice is a few words of people's own (`privacy.notice_drafts`) around what the manifest declares
(`privacy.notice_text`), with the terms of each purpose beside it (`privacy.terms`). Consent is given under one
notice. It stays good while those terms cover what the manifest declares: another wording changes nothing, a
material change makes it stale (PIPL 14(2), NDSMR 22). What is material the terms decide; a person may declare
more to be, never less.

Whoever publishes no notice of their own gets a generated one with each manifest, labelled "1", "2" and so on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import Select, func, insert, or_, select, update

from privacy.database import Transaction
from privacy.errors import Conflict, Invalid, NotFound
from privacy.manifest import Manifest
from privacy.notice_drafts import Draft, check, draft, dump, parse
from privacy.notice_text import Collected, Content, Edition, Shared, Wording, render
from privacy.tables import consents, manifests, revisions
from privacy.tables import notices as table
from privacy.terms import TermChange, Terms, compare, from_json, terms_of, to_json
from privacy.work import Role, Work

__all__ = [
    "Collected", "Content", "Draft", "Edition", "Notice", "PlannedPurpose", "Proposal", "Published", "Shared",
    "Wording", "check", "draft", "dump", "follow", "get", "listed", "load", "newest", "parse", "propose", "publish",
    "render",
]  # fmt: skip

_NOTICE_LAW: Final = ("PIPL-17", "GDPR-13")
_ALLOWING: Final = ("given", "renewed")  # the states of a consent that allow processing

Status = Literal["first", "unchanged", "wording", "material"]


@dataclass(frozen=True, slots=True)
class Published:
    """A published notice without its texts. `number` counts from 1, `version` is its label.

    `terms` by purpose; a purpose that is not in it is not covered. `material` are the purposes whose earlier
    consents a person declared stale. `generated`: nobody wrote it.
    """

    number: int
    version: str
    published_at: datetime
    published_by: str
    manifest_version: int
    generated: bool
    terms: Mapping[str, Terms]
    material: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Notice(Published):
    """A published notice. `source` is its YAML, `content` the texts, their digests and the two lists."""

    source: str
    content: Content


@dataclass(frozen=True, slots=True)
class PlannedPurpose:
    """What a notice would be for one purpose, beside the newest earlier one that covers it.

    `stale` counts the consents in force that would not cover the purpose any more.
    """

    purpose: str
    status: Status
    changes: tuple[TermChange, ...]
    stale: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """What publishing would do. `number` is the notice's own; `before` the newest notice's label."""

    number: int
    version: str
    before: str | None
    manifest_version: int | None
    purposes: tuple[PlannedPurpose, ...]

    @property
    def decided(self) -> object:
        """What a person who agrees to the proposal has agreed to. The counts may change meanwhile."""
        return self.number, self.version, self.manifest_version, [
            (planned.purpose, planned.status, planned.changes) for planned in self.purposes
        ]  # fmt: skip


def propose(work: Work, draft: Draft, *, manifest: Manifest | None = None, material: Collection[str] = ()) -> Proposal:
    """What publishing the draft would do; changes nothing.

    `manifest` may be one that is not applied yet. Raises `NoticeInvalid`, `Invalid` for a purpose in `material`
    that the draft does not cover.
    """
    declared = manifest or work.declared.manifest
    return _propose(work, _Candidate.of(draft, declared, material), _version_of(work, declared))


def publish(
    work: Work,
    draft: Draft,
    *,
    manifest: Manifest | None = None,
    material: Collection[str] = (),
    agreed: Proposal | None = None,
) -> Notice:
    """Publish the draft for the manifest in force; binds the next request on every replica.

    The same again changes nothing. With `agreed` (what a person was shown) it publishes that or nothing.
    Raises `Forbidden`, `NoticeInvalid`, `Invalid` for a purpose in `material` that the draft does not cover,
    `Conflict` when the label is another notice's, the manifest is not in force, or something has changed
    since `agreed`.
    """
    work.require(Role.ADMIN)
    work.concerns("notice.published")
    _lock(work)
    declared = manifest or work.declared.manifest
    version = _version_of(work, declared)
    if version is None:
        raise Conflict("The manifest is not the one in force; apply it first, or look again", law=_NOTICE_LAW)
    candidate = _Candidate.of(draft, declared, material)
    if agreed is not None and _propose(work, candidate, version).decided != agreed.decided:
        raise Conflict("Manifest or notices have changed since this was proposed: look again")
    return _publish(work, candidate, version, generated=False)


def follow(work: Work, manifest: Manifest, manifest_version: int) -> Notice | None:
    """Publish the generated notice of a manifest that this work has applied; None when nothing was published.

    That is when people write their notices themselves, and when the newest generated one says the same.
    Raises `Forbidden`.
    """
    work.require(Role.ADMIN)
    before = newest(work)  # nobody else can publish now: who applies a manifest holds the lock
    if before is not None and not before.generated:
        return None
    if before is not None and before.terms.keys() == manifest.purposes.keys():
        again = _Candidate.of(draft(manifest, before.version), manifest, ())
        if again.says_the_same_as(before):
            return None
    _lock(work)
    number = before.number + 1 if before is not None else 1
    return _publish(work, _Candidate.of(draft(manifest, str(number)), manifest, ()), manifest_version, generated=True)


def get(work: Work, version: str) -> Notice:
    """The notice with this label. Any principal may read it. Raises `NotFound`."""
    row = work.execute(select(table).where(table.c.version == version)).first()
    if row is None:
        raise NotFound("There is no such notice", zh="没有这份告知。")
    return _notice(row)


def newest(work: Work) -> Notice | None:
    """The notice published last; None before the first. Any principal may read it."""
    row = work.execute(select(table).order_by(table.c.number.desc()).limit(1)).first()
    return _notice(row) if row is not None else None


def listed(work: Work) -> tuple[Published, ...]:
    """Every notice without its texts, the newest first."""
    return tuple(_published(row) for row in work.execute(_without_texts().order_by(table.c.number.desc())))


def load(transaction: Transaction) -> tuple[Published, ...]:
    """Every notice without its texts, the oldest first: what `Declared` needs to tell a stale consent."""
    return tuple(_published(row) for row in transaction.execute(_without_texts().order_by(table.c.number)))


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A draft, rendered and ready to be compared with what is published."""

    draft: Draft
    content: Content
    terms: Mapping[str, Terms]
    material: tuple[str, ...]

    @classmethod
    def of(cls, draft: Draft, manifest: Manifest, material: Collection[str]) -> _Candidate:
        content = render(draft, manifest)
        terms = {name: terms_of(manifest, name) for name in draft.covered(manifest)}
        unknown = sorted(set(material) - terms.keys())
        if unknown:
            raise Invalid("A material change is declared of a purpose that the notice does not cover", purposes=unknown)
        return cls(draft, content, terms, tuple(sorted(set(material))))

    def says_the_same_as(self, notice: Notice) -> bool:
        return (self.content, dict(self.terms), self.material) == (notice.content, dict(notice.terms), notice.material)


def _lock(work: Work) -> None:
    """One at a time with `declaration.apply`, and every replica looks again at its next request.

    PostgreSQL keeps this row locked until the commit; SQLite has one writer anyway.
    """
    work.execute(update(revisions).where(revisions.c.name == "manifest").values(number=revisions.c.number + 1))


def _version_of(work: Work, manifest: Manifest) -> int | None:
    """The version of the manifest if it is the one in force, whatever this work saw when it began."""
    row = work.execute(
        select(manifests.c.version, manifests.c.digest).order_by(manifests.c.version.desc()).limit(1)
    ).first()
    return int(row.version) if row is not None and row.digest == manifest.digest else None


def _publish(work: Work, candidate: _Candidate, manifest_version: int, *, generated: bool) -> Notice:
    draft = candidate.draft
    row = work.execute(select(table).where(table.c.version == draft.version)).first()
    if row is not None:
        there = _notice(row)
        if not candidate.says_the_same_as(there):
            raise Conflict(f"The notice {draft.version} is published and says something else: choose another version")
        work.audit("notice.unchanged", detail={"version": draft.version})
        return there
    before = listed(work)
    notice = Notice(
        number=before[0].number + 1 if before else 1,
        version=draft.version,
        published_at=work.now,
        published_by=work.actor.name,
        manifest_version=manifest_version,
        generated=generated,
        terms=candidate.terms,
        material=candidate.material,
        source=draft.source or dump(draft),
        content=candidate.content,
    )
    work.execute(insert(table).values(_row(notice)))
    statuses = _statuses(work, candidate, before)
    work.audit(
        "notice.published",
        detail={
            "number": notice.number,
            "version": notice.version,
            "manifest": manifest_version,
            "generated": generated,
            "purposes": {name: status for name, (status, _) in statuses.items()},
            "digests": {language: edition.digest for language, edition in notice.content.editions.items()},
        },
    )
    return notice


def _propose(work: Work, candidate: _Candidate, manifest_version: int | None) -> Proposal:
    before = listed(work)
    planned = tuple(
        PlannedPurpose(name, status, changes, _stale(work, name, candidate, before))
        for name, (status, changes) in _statuses(work, candidate, before).items()
    )
    return Proposal(
        number=before[0].number + 1 if before else 1,
        version=candidate.draft.version,
        before=before[0].version if before else None,
        manifest_version=manifest_version,
        purposes=planned,
    )


def _statuses(
    work: Work, candidate: _Candidate, before: Sequence[Published]
) -> dict[str, tuple[Status, tuple[TermChange, ...]]]:
    """For each purpose how it differs from the newest of `before` (newest first) that covers it."""
    texts: dict[str, Content] = {}
    found: dict[str, tuple[Status, tuple[TermChange, ...]]] = {}
    for name, terms in candidate.terms.items():
        earlier = next((notice for notice in before if name in notice.terms), None)
        if earlier is None:
            found[name] = ("first", ())
            continue
        if earlier.version not in texts:
            texts[earlier.version] = get(work, earlier.version).content
        changes = compare(earlier.terms[name], terms)
        status: Status
        if name in candidate.material or any(change.is_broader for change in changes):
            status = "material"
        elif changes or _said(texts[earlier.version], name) != _said(candidate.content, name):
            status = "wording"
        else:
            status = "unchanged"
        found[name] = (status, changes)
    return found


def _said(content: Content, purpose: str) -> dict[str, str]:
    return {language: edition.purposes[purpose].digest for language, edition in content.editions.items()}


def _stale(work: Work, purpose: str, candidate: _Candidate, before: Iterable[Published]) -> int:
    """How many consents in force would not cover the purpose: as `Declared.covered` will decide, one by one."""
    notices = {notice.number: notice for notice in before}
    total = 0
    for row in work.execute(_in_force(purpose, work.now)):
        notice = notices.get(row.notice)
        told = notice.terms.get(purpose) if notice is not None else None
        if (
            told is None
            or purpose in candidate.material
            or any(later.number > row.notice and purpose in later.material for later in notices.values())
            or any(change.is_broader for change in compare(told, candidate.terms[purpose]))
        ):
            total += int(row.total)
    return total


def _in_force(purpose: str, now: datetime) -> Select[Any]:
    """The consents that allow the purpose today, counted by the notice they were given under."""
    return (
        select(consents.c.notice, func.count().label("total"))
        .where(
            consents.c.purpose == purpose,
            consents.c.state.in_(_ALLOWING),
            or_(consents.c.expires_at.is_(None), consents.c.expires_at > now),
        )
        .group_by(consents.c.notice)
    )


def _without_texts() -> Select[Any]:
    return select(*(column for column in table.c if column.name not in ("content", "source")))


def _row(notice: Notice) -> dict[str, object]:
    return {
        "number": notice.number,
        "version": notice.version,
        "published_at": notice.published_at,
        "published_by": notice.published_by,
        "manifest_version": notice.manifest_version,
        "generated": notice.generated,
        "source": notice.source,
        "content": notice.content.to_json(),
        "terms": {name: to_json(terms) for name, terms in notice.terms.items()},
        "material": list(notice.material),
    }


def _facts(row: Any) -> dict[str, Any]:
    return {
        "number": row.number,
        "version": row.version,
        "published_at": row.published_at,
        "published_by": row.published_by,
        "manifest_version": row.manifest_version,
        "generated": row.generated,
        "terms": {name: from_json(terms) for name, terms in row.terms.items()},
        "material": tuple(row.material),
    }


def _published(row: Any) -> Published:
    return Published(**_facts(row))


def _notice(row: Any) -> Notice:
    return Notice(**_facts(row), source=row.source, content=Content.from_json(row.content))
