"""What an erasure asks for, and what becomes of each record of the subject: it goes, loses something, or must stay.

Named are record types, purposes and fields; what any of them names is asked for, and nothing named asks for all.

- A type: every record of it.
- A purpose: what is held for it and for no other purpose that still holds the record. A record that another purpose
  holds loses the fields that this one alone uses, and is no longer held for it.
- A field, as `type.field`: it is taken out of every record of the type.

A legal hold, and a statutory period that has not ended, beat the request (PIPL 47, GDPR 17(3)(b)(e)).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, select

from privacy import holds, profile, removal, vault
from privacy.declaration import Declared
from privacy.errors import Forbidden, Invalid
from privacy.holds import Holdings
from privacy.manifest import Basis, Purpose
from privacy.retention_periods import ends_at, record_end, statutory
from privacy.rules import IN_FORCE
from privacy.tables import consents, micros, records, standings, subjects
from privacy.work import Role, Work

_MOST: Final = 200  # names in one request


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request names; nothing asks for all of the subject."""

    types: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()

    @property
    def is_all(self) -> bool:
        return not (self.types or self.purposes or self.fields)

    def as_json(self) -> dict[str, list[str]]:
        parts = {"types": self.types, "purposes": self.purposes, "fields": self.fields}
        return {name: list(named) for name, named in parts.items() if named}

    @classmethod
    def of_json(cls, found: Mapping[str, Sequence[str]]) -> Asked:
        return cls(*(tuple(found.get(name, ())) for name in ("types", "purposes", "fields")))


@dataclass(frozen=True, slots=True)
class Why:
    """Why a record stays although it was asked for."""

    holds: tuple[UUID, ...] = ()
    law: tuple[str, ...] = ()
    purpose: str | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a record. Without anything it was not asked for."""

    goes: bool = False
    why: Why | None = None
    fields: tuple[str, ...] = ()
    numbers: frozenset[int] = frozenset()
    purposes: tuple[str, ...] | None = None  # those that still hold it, when one of them lets go

    @property
    def is_untouched(self) -> bool:
        return not self.goes and self.why is None and not self.numbers and self.purposes is None


def asked(work: Work, *, types: Iterable[str] = (), purposes: Iterable[str] = (), fields: Iterable[str] = ()) -> Asked:
    """The request, checked. Raises `Undeclared`, `UndeclaredPurpose`, `Invalid`, `Forbidden`.

    A service may ask for all on its subject's behalf; of parts only what its grant covers.
    """
    found = Asked(*(tuple(sorted(set(named))) for named in (types, purposes, fields)))
    if len(found.types) + len(found.purposes) + len(found.fields) > _MOST:
        raise Invalid(f"An erasure names at most {_MOST} types, purposes and fields", zh=f"一次删除最多指定 {_MOST} 项")
    declared = work.declared
    named_types = [declared.record_type(name).name for name in found.types]
    for name in found.purposes:
        declared.purpose(name)
    for name in found.fields:
        type, dot, part = name.partition(".")
        if not dot:
            raise Invalid("A field is named with its record type, as type.field", zh="字段须写作 记录类型.字段")
        declared.field(declared.record_type(type), part)
        named_types.append(type)
    if work.actor.role is Role.SERVICE:
        _require_grant(work, named_types, found.purposes)
    return found


def _require_grant(work: Work, types: Iterable[str], purposes: Iterable[str]) -> None:
    actor = work.actor
    outside = [name for name in types if not {name, "*"} & actor.types]
    outside += [name for name in purposes if not {name, "*"} & actor.purposes]
    if outside:
        raise Forbidden("The principal has no grant for what is to be erased", zh="该调用方未获授权处理所要删除的内容")


class Court:
    """Says what becomes of each record of one subject, as of one work's instant. Holds are locked by the caller."""

    def __init__(
        self,
        work: Work,
        subject_id: UUID,
        asked: Asked,
        *,
        holdings: Holdings,
        jurisdiction: str,
        kept_from: Mapping[str, int],
    ) -> None:
        self._work = work
        self._subject_id = subject_id
        self._asked = asked
        self._declared: Declared = work.declared
        self._holdings = holdings
        self._jurisdiction = jurisdiction
        self._kept_from = kept_from
        self._consents: dict[str, bool] = {}

    @classmethod
    def of(cls, work: Work, subject_id: UUID, asked: Asked) -> Court:
        """Of a subject that there is."""
        return cls.of_many(work, [subject_id], asked, holds.covering(work, subject_id))[subject_id]

    @classmethod
    def of_many(cls, work: Work, subject_ids: Collection[UUID], asked: Asked, holdings: Holdings) -> dict[UUID, Court]:
        """Of each subject that there is, all being asked the same; `holdings` of all of them."""
        of_them = select(subjects.c.subject_id, subjects.c.jurisdiction).where(subjects.c.subject_id.in_(subject_ids))
        started = select(standings.c.subject_id, standings.c.purpose, standings.c.kept_from).where(
            standings.c.subject_id.in_(subject_ids), standings.c.kept_from.is_not(None)
        )
        kept_from: dict[UUID, dict[str, int]] = {}
        for row in work.execute(started):
            kept_from.setdefault(row.subject_id, {})[row.purpose] = micros(row.kept_from)
        return {
            row.subject_id: cls(
                work,
                row.subject_id,
                asked,
                holdings=holdings,
                jurisdiction=row.jurisdiction,
                kept_from=kept_from.get(row.subject_id, {}),
            )
            for row in work.execute(of_them)
        }

    def judge(self, row: Row[Any]) -> Verdict:
        """`row`: record_type, purposes, stored_at, and `sealed` unless all is asked for."""
        wanted = self._wanted(row)
        if wanted.is_untouched:
            return wanted
        why = self._why(row, wanted)
        return wanted if why is None else Verdict(why=why)

    def of_subject(self) -> Why | None:
        """Why what is known of the subject itself must stay: a hold on it, with or without records."""
        found = self._holdings.of(self._subject_id, profile.TYPE, (), self._work.now, self._jurisdiction)
        return Why(holds=tuple(sorted(found))) if found else None

    def _wanted(self, row: Row[Any]) -> Verdict:
        asked = self._asked
        if asked.is_all or row.record_type in asked.types:
            return Verdict(goes=True)
        named = [name for name in row.purposes if name in asked.purposes]
        others = [name for name in row.purposes if name not in named and self._holds(name, row.stored_at)]
        if named and not others:
            return Verdict(goes=True)
        lost = self._used(named, row.record_type) - self._used(others, row.record_type)
        lost |= {name.partition(".")[2] for name in asked.fields if name.startswith(f"{row.record_type}.")}
        numbers = {self._declared.number(row.record_type, name): name for name in lost}
        present = vault.fields_in(bytes(row.sealed)) if numbers else frozenset()
        gone = present & numbers.keys()
        if gone and gone == present:
            return Verdict(goes=True)
        fields = tuple(sorted(numbers[number] for number in gone))
        return Verdict(fields=fields, numbers=gone, purposes=tuple(others) if named else None)

    def _why(self, row: Row[Any], wanted: Verdict) -> Why | None:
        found = self._holdings.of(self._subject_id, row.record_type, row.purposes, row.stored_at, self._jurisdiction)
        if found:
            return Why(holds=tuple(sorted(found)))
        concerned = [name for name in row.purposes if self._concerns(name, row.record_type, wanted)]
        kept = statutory(self._declared, concerned, row.record_type, row.stored_at, self._work.now)
        return None if kept is None else Why(law=tuple(kept.law), purpose=kept.purpose, until=kept.until)

    def _concerns(self, purpose: str, type: str, wanted: Verdict) -> bool:
        """Whether the purpose loses something by it: its period counts only then."""
        if wanted.goes:
            return True
        released = wanted.purposes is not None and purpose not in wanted.purposes
        return released or bool(self._used([purpose], type) & set(wanted.fields))

    def _used(self, purposes: Iterable[str], type: str) -> set[str]:
        declared = self._declared.manifest.purposes
        return {name for purpose in purposes if purpose in declared for name in declared[purpose].uses.get(type, ())}

    def _holds(self, name: str, stored_at: datetime) -> bool:
        """Whether a purpose that was not named still holds a record: declared, not over, and consented to."""
        purpose = self._declared.manifest.purposes.get(name)
        if purpose is None or self._is_over(purpose, stored_at):
            return False
        return purpose.basis is not Basis.CONSENT or self._is_consented(name)

    def _is_over(self, purpose: Purpose, stored_at: datetime) -> bool:
        return ends_at(purpose, micros(stored_at), self._kept_from.get(purpose.name)) <= self._work.instant

    def end(self, row: Row[Any], purposes: Iterable[str]) -> int | None:
        """Until when these purposes hold the record; microseconds."""
        return record_end(self._declared, purposes, micros(row.stored_at), self._kept_from)

    def _is_consented(self, name: str) -> bool:
        if name not in self._consents:
            row = self._work.execute(
                select(consents.c.state, consents.c.expires_at).where(
                    consents.c.subject_id == self._subject_id,
                    consents.c.purpose == name,
                    consents.c.recipient == "",
                )
            ).first()
            self._consents[name] = (
                row is not None
                and row.state in IN_FORCE
                and (row.expires_at is None or micros(row.expires_at) > self._work.instant)
            )
        return self._consents[name]


@dataclass(slots=True)
class Kept:
    """What stays although it was asked for, counted by type and reason; for the outcome and the certificate."""

    counts: Counter[tuple[str, Why]] = field(default_factory=Counter)

    def add(self, type: str, why: Why) -> None:
        self.counts[type, why] += 1

    @property
    def has_holds(self) -> bool:
        return any(why.holds for _, why in self.counts)

    @property
    def look_at(self) -> datetime | None:
        """The first instant at which a period ends; None where holds alone keep something."""
        return min((why.until for _, why in self.counts if why.until is not None), default=None)

    def as_json(self) -> list[dict[str, object]]:
        listed: list[dict[str, object]] = [
            {
                "type": type,
                "records": count,
                "holds": [str(hold) for hold in why.holds],
                "law": list(why.law),
                "purpose": why.purpose,
                "until": None if why.until is None else why.until.isoformat(),
            }
            for (type, why), count in self.counts.items()
        ]
        return sorted(listed, key=lambda one: (str(one["type"]), str(one["holds"]), str(one["until"])))


@dataclass(slots=True)
class Tally:
    """What has gone, over all rounds of an erasure: records by type, purposes, fields, and the ids of the keys."""

    records: int = 0
    partly: int = 0
    types: Counter[str] = field(default_factory=Counter)
    fields: Counter[str] = field(default_factory=Counter)
    purposes: Counter[str] = field(default_factory=Counter)
    keys: list[str] = field(default_factory=list)

    def goes(self, type: str, purposes: Iterable[str]) -> None:
        self.records += 1
        self.types[type] += 1
        self.purposes.update(purposes)

    def loses(self, type: str, fields: Iterable[str]) -> None:
        self.partly += 1
        self.fields.update(f"{type}.{name}" for name in fields)

    def as_json(self) -> dict[str, Any]:
        return {
            "records": self.records,
            "partly": self.partly,
            "types": dict(self.types),
            "fields": dict(self.fields),
            "purposes": dict(self.purposes),
            "keys": self.keys,
        }

    @classmethod
    def of_json(cls, found: Mapping[str, Any] | None) -> Tally:
        if not found:
            return cls()
        counters = {name: Counter(found[name]) for name in ("types", "fields", "purposes")}
        return cls(found["records"], found["partly"], **counters, keys=list(found["keys"]))


PAGE: Final = 500
_START: Final = UUID(int=0)
_COLUMNS: Final = (
    records.c.subject_id,
    records.c.record_id,
    records.c.record_type,
    records.c.purposes,
    records.c.stored_at,
    records.c.kid,
)


def of_many(work: Work, subject_ids: Collection[UUID]) -> dict[UUID, list[Row[Any]]]:
    """`pages` of several subjects of whom all is asked for: of those whose records fit in two pages together."""
    return removal.rows_of_many(work, select(*_COLUMNS), subject_ids, 2 * PAGE)


def pages(work: Work, subject_id: UUID, asked: Asked, kids: Collection[bytes] | None = None) -> Iterable[Row[Any]]:
    """The subject's records, those under `kids` when given, oldest first, as `Court.judge` takes them."""
    columns = _COLUMNS if asked.is_all else (*_COLUMNS, records.c.sealed)
    after = _START
    while True:
        statement = select(*columns).where(records.c.subject_id == subject_id, records.c.record_id > after)
        if kids is not None:
            statement = statement.where(records.c.kid.in_(kids))
        rows = work.execute(statement.order_by(records.c.record_id).limit(PAGE)).all()
        yield from rows
        if len(rows) < PAGE:
            return
        after = rows[-1].record_id
