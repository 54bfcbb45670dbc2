"""What `privacy.client` takes and gives: values without behaviour, and how each is read out of an answer's JSON.

`from_json` raises `PrivacyError` for an answer of another form, and never with what stood in it. Members that a
later service adds are left aside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self
from uuid import UUID

from privacy.client_wire import (
    Item,
    Json,
    Value,
    mapping,
    maybe_moment,
    maybe_text,
    moment,
    number,
    objects,
    text,
    texts,
    unknown_form,
)

# --- what is asked


@dataclass(frozen=True, slots=True)
class NewRecord:
    """One item of `write_batch`; its `repr` leaves the data out."""

    subject_id: str | UUID
    type: str
    purposes: Sequence[str]
    data: Mapping[str, Value] = field(repr=False)


@dataclass(frozen=True, slots=True)
class OfRecord:
    """One item of `read_batch`: this record."""

    record_id: str | UUID


@dataclass(frozen=True, slots=True)
class OfSubject:
    """One item of `read_batch`: the subject's records, of one type or of all."""

    subject_id: str | UUID
    type: str | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What a subject decided about one purpose: "given", "refused" or "deferred", or "requested" when it is asked.

    `notice` is the version that was shown, the newest unless named, `language` the one it was shown in, `text` the
    exact text where it was not the notice's own. `recipient`: one that needs a consent of its own. `categories`:
    those consented to, all unless named. `separate`: asked for by itself (PIPL 23, 25, 26, 29, 39); `written`,
    `explicit`: in writing, in so many words. `guardian`: the subject that consents for a child. `channel` says
    where, like "app".
    """

    purpose: str
    decision: str = "given"
    notice: str | None = None
    language: str | None = None
    recipient: str | None = None
    categories: Sequence[str] | None = None
    separate: bool = False
    written: bool = False
    explicit: bool = False
    guardian: str | UUID | None = None
    channel: str | None = None
    text: str | None = field(default=None, repr=False)


# --- what is answered


@dataclass(frozen=True, slots=True)
class Subject:
    """What is told of a subject without a purpose: nothing personal, whatever it was created with."""

    id: str
    jurisdiction: str | None
    created_at: datetime | None
    restricted_at: datetime | None = None

    @classmethod
    def from_json(cls, item: Item) -> Self:
        return cls(
            id=text(item, "id"),
            jurisdiction=maybe_text(item, "jurisdiction"),
            created_at=maybe_moment(item, "created_at"),
            restricted_at=maybe_moment(item, "restricted_at"),
        )


@dataclass(frozen=True, slots=True)
class Hit:
    """Where a value was found; `record_id` is None for a subject's external id."""

    subject_id: str
    record_id: str | None

    @classmethod
    def from_json(cls, item: Item) -> Self:
        return cls(text(item, "subject_id"), maybe_text(item, "record_id"))


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """`levels` names each field's level, L1 to L4; `findings` what was found above it, or of another kind."""

    id: str
    type: str
    version: int
    expires_at: datetime
    levels: Mapping[str, str]
    findings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def from_json(cls, item: Item) -> Self:
        levels = mapping(item.get("levels"))
        found = mapping(item.get("findings") or {})
        return cls(
            id=text(item, "id"),
            type=text(item, "type"),
            version=number(item, "version"),
            expires_at=moment(item, "expires_at"),
            levels={name: text(levels, name) for name in levels},
            findings={name: texts(found, name) for name in found},
        )


@dataclass(frozen=True, slots=True)
class Withheld:
    """Why a field is not given: the rule's stable code and the articles behind it.

    `why` says it in one sentence; only decisions have it.
    """

    code: str
    law: tuple[str, ...]
    why: str | None = None

    @classmethod
    def from_json(cls, item: Item) -> Self:
        return cls(text(item, "code"), texts(item, "law"), maybe_text(item, "why"))


@dataclass(frozen=True, slots=True)
class Record:
    """What the purpose may have of a record; its `repr` leaves the data out."""

    id: str
    subject_id: str
    type: str
    version: int
    data: Mapping[str, Json] = field(repr=False)
    withheld: Mapping[str, Withheld]

    @classmethod
    def from_json(cls, item: Item, *, subject_id: str | None = None) -> Self:
        withheld = mapping(item.get("withheld"))
        return cls(
            id=text(item, "id"),
            subject_id=subject_id or text(item, "subject_id"),
            type=text(item, "type"),
            version=number(item, "version"),
            data=mapping(item.get("data")),
            withheld={name: Withheld.from_json(mapping(why)) for name, why in withheld.items()},
        )


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing would be given: `detail` says in one sentence what is missing and which article asks for it.

    `needed` names what consent would have to be separate for, where that is missing.
    """

    code: str
    law: tuple[str, ...]
    detail: str
    needed: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, item: Item) -> Self:
        detail = maybe_text(item, "detail") or ""
        return cls(text(item, "code"), texts(item, "law"), detail, texts(item, "needed"))


@dataclass(frozen=True, slots=True)
class Decision:
    """What a purpose would be given of a record type: each field with its mask, None for in clear.

    `refusal` is set when nothing would be given at all. Its sentence, and those of the fields withheld, are in the
    language that was asked for.
    """

    purpose: str
    type: str
    basis: str | None
    law: tuple[str, ...]
    fields: Mapping[str, str | None]
    withheld: Mapping[str, Withheld]
    refusal: Refusal | None

    @property
    def allowed(self) -> bool:
        return self.refusal is None

    @classmethod
    def from_json(cls, item: Item) -> Self:
        refusal = item.get("refusal")
        given: dict[str, str | None] = {}
        withheld: dict[str, Withheld] = {}
        for name, fate in mapping(item.get("fields")).items():
            how = mapping(fate)
            match text(how, "give"):
                case "clear" | "masked":
                    given[name] = maybe_text(how, "mask")
                case "withheld":
                    withheld[name] = Withheld.from_json(how)
                case _:
                    raise unknown_form()
        return cls(
            purpose=text(item, "purpose"),
            type=text(item, "type"),
            basis=maybe_text(item, "basis"),
            law=texts(item, "law"),
            fields=given,
            withheld=withheld,
            refusal=None if refusal is None else Refusal.from_json(mapping(refusal)),
        )


@dataclass(frozen=True, slots=True)
class Consent:
    """A consent after what was just done, as it stands or stood, or one act of its history.

    `state`: requested, given, renewed, refused, deferred, withdrawn, revoked, invalidated; in a list of what stands
    also expired and stale. `recipient` None: the controller itself; `categories` None: all that its notice names.
    Only what was just done has `told` (the recipients to be told), `task_id` (the erasure that it opened) and
    `kept_for` (the purposes, with their bases, for which data is held all the same). Only a list has `event_id`,
    `digest` (SHA-256 of the exact text shown, in hex) and `recorded_by`, only a list of what stands `is_valid`:
    whether processing may rest on it.
    """

    id: str
    purpose: str
    state: str
    at: datetime | None
    expires_at: datetime | None = None
    notice: str | None = None
    language: str | None = None
    separate: bool = False
    written: bool = False
    explicit: bool = False
    by_guardian: bool = False
    recipient: str | None = None
    categories: tuple[str, ...] | None = None
    channel: str | None = None
    told: tuple[str, ...] = ()
    task_id: str | None = None
    kept_for: Mapping[str, str] = field(default_factory=dict)
    event_id: str | None = None
    digest: str | None = None
    recorded_by: str | None = None
    is_valid: bool | None = None

    @classmethod
    def from_json(cls, item: Item) -> Self:
        kept = mapping(item.get("kept_for") or {})
        return cls(
            id=text(item, "id"),
            purpose=text(item, "purpose"),
            state=text(item, "state"),
            at=maybe_moment(item, "at"),
            expires_at=maybe_moment(item, "expires_at"),
            notice=maybe_text(item, "notice"),
            language=maybe_text(item, "language"),
            separate=item.get("separate") is True,
            written=item.get("written") is True,
            explicit=item.get("explicit") is True,
            by_guardian=item.get("by_guardian") is True,
            recipient=maybe_text(item, "recipient"),
            categories=None if item.get("categories") is None else texts(item, "categories"),
            channel=maybe_text(item, "channel"),
            told=texts(item, "told"),
            task_id=maybe_text(item, "task_id"),
            kept_for={name: text(kept, name) for name in kept},
            event_id=maybe_text(item, "event_id"),
            digest=maybe_text(item, "digest"),
            recorded_by=maybe_text(item, "recorded_by"),
            is_valid=None if item.get("is_valid") is None else item.get("is_valid") is True,
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands between a subject and a purpose besides consent; `purpose` is None for what concerns them all."""

    purpose: str | None
    basis: str | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    objected_at: datetime | None = None
    restricted_at: datetime | None = None

    @classmethod
    def from_json(cls, item: Item) -> Self:
        return cls(
            purpose=maybe_text(item, "purpose"),
            basis=maybe_text(item, "basis"),
            starts_at=maybe_moment(item, "starts_at"),
            ends_at=maybe_moment(item, "ends_at"),
            objected_at=maybe_moment(item, "objected_at"),
            restricted_at=maybe_moment(item, "restricted_at"),
        )


@dataclass(frozen=True, slots=True)
class LifeEvent:
    """An event that storage periods count from; `records`: how many records end at another time by it."""

    id: str
    subject_id: str
    event: str
    at: datetime
    purposes: tuple[str, ...]
    records: int

    @classmethod
    def from_json(cls, item: Item) -> Self:
        return cls(
            id=text(item, "id"),
            subject_id=text(item, "subject_id"),
            event=text(item, "event"),
            at=moment(item, "at"),
            purposes=texts(item, "purposes"),
            records=number(item, "records"),
        )


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erasure as it stands: `done`, `restricted` where `kept` says what stays and why, or on its way.

    `scope` is empty for all of the subject. `is_certified`: there is a signed certificate of what is gone.
    """

    id: str
    subject_id: str
    state: str
    reason: str
    scope: Mapping[str, Json]
    asked_at: datetime
    done_at: datetime | None
    kept: tuple[Item, ...]
    is_certified: bool

    @classmethod
    def from_json(cls, item: Item) -> Self:
        return cls(
            id=text(item, "id"),
            subject_id=text(item, "subject_id"),
            state=text(item, "state"),
            reason=text(item, "reason"),
            scope=mapping(item.get("scope")),
            asked_at=moment(item, "asked_at"),
            done_at=maybe_moment(item, "done_at"),
            kept=tuple(objects(item, "kept")),
            is_certified=item.get("is_certified") is True,
        )


@dataclass(frozen=True, slots=True)
class Release:
    """A release for one recipient. `state`: asked, candidate, anonymised, refused, stale, rejected or failed.

    `checks` are the gate's, each with `holds` and its figures; `code` says why it was refused or must be made again.
    """

    id: str
    state: str
    lineage: str
    kind: str
    recipient: str
    recipient_class: str
    asked_at: datetime
    asked_by: str
    reassess_at: datetime | None
    code: str | None
    checks: tuple[Item, ...]
    figures: Mapping[str, Json]

    @classmethod
    def from_json(cls, item: Item) -> Self:
        return cls(
            id=text(item, "id"),
            state=text(item, "state"),
            lineage=text(item, "lineage"),
            kind=text(item, "kind"),
            recipient=text(item, "recipient"),
            recipient_class=text(item, "recipient_class"),
            asked_at=moment(item, "asked_at"),
            asked_by=text(item, "asked_by"),
            reassess_at=maybe_moment(item, "reassess_at"),
            code=maybe_text(item, "code"),
            checks=tuple(objects(item, "checks")),
            figures=mapping(item.get("figures")),
        )


@dataclass(frozen=True, slots=True)
class PublishedNotice:
    """A notice without its texts. `material` names purposes whose earlier consents it made stale by itself."""

    number: int
    version: str
    published_at: datetime
    manifest_version: int
    generated: bool
    purposes: tuple[str, ...]
    material: tuple[str, ...]

    @classmethod
    def from_json(cls, item: Item) -> Self:
        return cls(
            number=number(item, "number"),
            version=text(item, "version"),
            published_at=moment(item, "published_at"),
            manifest_version=number(item, "manifest_version"),
            generated=item.get("generated") is True,
            purposes=texts(item, "purposes"),
            material=texts(item, "material"),
        )


@dataclass(frozen=True, slots=True)
class NoticeText:
    """What is shown when consent to one purpose is asked, Markdown; `digest` is its SHA-256, in hex."""

    text: str
    digest: str

    @classmethod
    def from_json(cls, item: Item) -> Self:
        return cls(text(item, "text"), text(item, "digest"))


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice in one language: the whole text, each purpose's own, and the lists of NDSMR 21 as rows.

    `language` is "zh" or "en"; `languages` are those there are.
    """

    published: PublishedNotice
    language: str
    languages: tuple[str, ...]
    text: str
    digest: str
    texts: Mapping[str, NoticeText]
    collected: tuple[Item, ...]
    shared: tuple[Item, ...]

    @property
    def version(self) -> str:
        return self.published.version

    @classmethod
    def from_json(cls, item: Item) -> Self:
        shown = mapping(item.get("texts"))
        return cls(
            published=PublishedNotice.from_json(item),
            language=text(item, "language"),
            languages=texts(item, "languages"),
            text=text(item, "text"),
            digest=text(item, "digest"),
            texts={name: NoticeText.from_json(mapping(one)) for name, one in shown.items()},
            collected=tuple(objects(item, "collected")),
            shared=tuple(objects(item, "shared")),
        )


@dataclass(frozen=True, slots=True)
class Event:
    """An entry of the audit log; `more` holds what the service tells besides, ids and names only."""

    id: str
    at: datetime
    actor: str | None
    action: str
    subject: str | None
    record: str | None
    purpose: str | None
    basis: str | None
    outcome: str | None
    fields: tuple[str, ...]
    more: Mapping[str, Json]

    @classmethod
    def from_json(cls, item: Item) -> Self:
        return cls(
            id=text(item, "id"),
            at=moment(item, "at"),
            actor=maybe_text(item, "actor"),
            action=text(item, "action"),
            subject=maybe_text(item, "subject"),
            record=maybe_text(item, "record"),
            purpose=maybe_text(item, "purpose"),
            basis=maybe_text(item, "basis"),
            outcome=maybe_text(item, "outcome"),
            fields=texts(item, "fields"),
            more={name: value for name, value in item.items() if name not in cls.__dataclass_fields__},
        )


@dataclass(frozen=True, slots=True)
class EventCount:
    """`key` is the instant at which an hour or a day begins, or a name; None: of events that name no purpose."""

    key: str | None
    count: int

    @classmethod
    def from_json(cls, item: Item) -> Self:
        return cls(maybe_text(item, "key"), number(item, "count"))


@dataclass(frozen=True, slots=True)
class Access:
    """One look at a subject's data. `kind`: "disclosed", or "compared" when a value was opened inside only.

    `masked` are those of `fields` that left through a mask, `recipient` is whom they were to be provided to.
    """

    at: datetime
    component: str
    role: str
    kind: str
    purpose: str | None
    basis: str | None
    type: str | None
    fields: tuple[str, ...]
    masked: tuple[str, ...]
    recipient: str | None

    @classmethod
    def from_json(cls, item: Item) -> Self:
        return cls(
            at=moment(item, "at"),
            component=text(item, "component"),
            role=text(item, "role"),
            kind=text(item, "kind"),
            purpose=maybe_text(item, "purpose"),
            basis=maybe_text(item, "basis"),
            type=maybe_text(item, "type"),
            fields=texts(item, "fields"),
            masked=texts(item, "masked"),
            recipient=maybe_text(item, "recipient"),
        )


@dataclass(frozen=True, slots=True)
class AccessSummary:
    """All looks of one kind by one component. `masked`: fields that it was only ever given masked."""

    component: str
    role: str
    kind: str
    count: int
    first: datetime
    last: datetime
    purposes: tuple[str, ...]
    fields: tuple[str, ...]
    masked: tuple[str, ...]
    recipients: tuple[str, ...]

    @classmethod
    def from_json(cls, item: Item) -> Self:
        return cls(
            component=text(item, "component"),
            role=text(item, "role"),
            kind=text(item, "kind"),
            count=number(item, "count"),
            first=moment(item, "first"),
            last=moment(item, "last"),
            purposes=texts(item, "purposes"),
            fields=texts(item, "fields"),
            masked=texts(item, "masked"),
            recipients=texts(item, "recipients"),
        )


@dataclass(frozen=True, slots=True)
class Purpose:
    """A declared purpose; `keep` is an ISO 8601 duration, `more` the rest of its declaration."""

    name: str
    basis: str
    law: tuple[str, ...]
    keep: str | None
    more: Mapping[str, Json]

    @classmethod
    def from_json(cls, item: Item) -> Self:
        return cls(
            name=text(item, "name"),
            basis=text(item, "basis"),
            law=texts(item, "law"),
            keep=maybe_text(item, "keep"),
            more={name: value for name, value in item.items() if name not in cls.__dataclass_fields__},
        )


@dataclass(frozen=True, slots=True)
class Health:
    status: str


# --- what is personal in texts


@dataclass(frozen=True, slots=True)
class Finding:
    """Something personal at `start` up to, without, `end`, in code points as Python counts; `why`: its evidence."""

    start: int
    end: int
    entity: str
    level: str
    score: float
    why: str

    @classmethod
    def from_json(cls, item: Item) -> Self:
        score = item.get("score")
        if isinstance(score, bool) or not isinstance(score, int | float):
            raise unknown_form()
        start, end = number(item, "start"), number(item, "end")
        return cls(start, end, text(item, "entity"), text(item, "level"), float(score), text(item, "why"))


@dataclass(frozen=True, slots=True)
class ScannedText:
    """What is in one text; `level` is the highest found, None when nothing was."""

    findings: tuple[Finding, ...]
    level: str | None

    @classmethod
    def from_json(cls, item: Item) -> Self:
        return cls(_findings(item, "findings"), maybe_text(item, "level"))


@dataclass(frozen=True, slots=True)
class Scan:
    """`items` in the order of the texts. `blind_to`: the entities that the service's mode cannot see."""

    items: tuple[ScannedText, ...]
    mode: str
    blind_to: tuple[str, ...]

    @classmethod
    def from_json(cls, item: Item) -> Self:
        items = tuple(ScannedText.from_json(one) for one in objects(item, "items"))
        return cls(items, text(item, "mode"), texts(item, "blind_to"))


@dataclass(frozen=True, slots=True)
class RedactedText:
    """A text without what was `redacted`; the findings' places are those of the text as it was sent."""

    text: str = field(repr=False)
    redacted: tuple[Finding, ...]
    kept: tuple[Finding, ...]

    @classmethod
    def from_json(cls, item: Item) -> Self:
        return cls(text(item, "text"), _findings(item, "redacted"), _findings(item, "kept"))


@dataclass(frozen=True, slots=True)
class Redaction:
    """`items` in the order of the texts; `label` says in each language what they are now: de-identified."""

    items: tuple[RedactedText, ...]
    how: str
    label: Mapping[str, str]
    mode: str
    blind_to: tuple[str, ...]

    @classmethod
    def from_json(cls, item: Item) -> Self:
        label = mapping(item.get("label"))
        return cls(
            items=tuple(RedactedText.from_json(one) for one in objects(item, "items")),
            how=text(item, "how"),
            label={language: text(label, language) for language in label},
            mode=text(item, "mode"),
            blind_to=texts(item, "blind_to"),
        )


def _findings(item: Item, name: str) -> tuple[Finding, ...]:
    return tuple(Finding.from_json(one) for one in objects(item, name))


# --- what may be told of many


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a histogram: of `key`, or of what is from `lower` up to, without, `upper`; of neither: the rest."""

    key: Json
    lower: Json
    upper: Json
    value: int
    interval: tuple[int, int]

    @classmethod
    def from_json(cls, item: Item) -> Self:
        low, high = _ends(item)
        if not isinstance(low, int) or not isinstance(high, int):
            raise unknown_form()
        return cls(item.get("key"), item.get("lower"), item.get("upper"), number(item, "value"), (low, high))


@dataclass(frozen=True, slots=True)
class Statistic:
    """A noisy answer; `interval` (of a histogram each cell's) holds with `confidence`. `rho` was spent on it once.

    `repeated`: the same question had been answered that day, so nothing was spent this time.
    """

    id: str
    statistic: str
    as_of: str
    value: int | float | str | None
    interval: tuple[Json, Json] | None
    accuracy: float
    confidence: float
    cells: tuple[Cell, ...]
    rho: float
    epsilon: float
    delta: float
    repeated: bool

    @classmethod
    def from_json(cls, item: Item) -> Self:
        value = item.get("value")
        if isinstance(value, bool | list | dict):
            raise unknown_form()
        return cls(
            id=text(item, "id"),
            statistic=text(item, "statistic"),
            as_of=text(item, "as_of"),
            value=value,
            interval=None if item.get("interval") is None else _ends(item),
            accuracy=_real(item, "accuracy"),
            confidence=_real(item, "confidence"),
            cells=tuple(Cell.from_json(one) for one in objects(item, "cells")),
            rho=_real(item, "rho"),
            epsilon=_real(item, "epsilon"),
            delta=_real(item, "delta"),
            repeated=item.get("repeated") is True,
        )


@dataclass(frozen=True, slots=True)
class PrivacyBudget:
    """What an analyst, or all together ("*"), may spend of a record type, in rho; `epsilon` is what is spent.

    `unanswered` were reserved and have no answer: in hand, or lost in a crash, and spent.
    """

    lineage: str
    analyst: str
    cap: float
    spent: float
    left: float
    epsilon: float
    delta: float
    answered: int
    unanswered: int
    refused: int

    @classmethod
    def from_json(cls, item: Item) -> Self:
        return cls(
            lineage=text(item, "lineage"),
            analyst=text(item, "analyst"),
            cap=_real(item, "cap"),
            spent=_real(item, "spent"),
            left=_real(item, "left"),
            epsilon=_real(item, "epsilon"),
            delta=_real(item, "delta"),
            answered=number(item, "answered"),
            unanswered=number(item, "unanswered"),
            refused=number(item, "refused"),
        )


@dataclass(frozen=True, slots=True)
class Pseudonym:
    """What a recipient may know a subject by for a purpose. `label`: de-identified, which is not anonymous."""

    pseudonym: str
    purpose: str
    recipient: str
    label: Mapping[str, str]

    @classmethod
    def from_json(cls, item: Item) -> Self:
        label = mapping(item.get("label"))
        return cls(
            text(item, "pseudonym"),
            text(item, "purpose"),
            text(item, "recipient"),
            {language: text(label, language) for language in label},
        )


def _ends(item: Item) -> tuple[Json, Json]:
    interval = item.get("interval")
    if not isinstance(interval, list) or len(interval) != 2:
        raise unknown_form()
    return interval[0], interval[1]


def _real(item: Item, name: str) -> float:
    value = item.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise unknown_form()
    return float(value)
