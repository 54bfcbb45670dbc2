"""The manifest in force: its stored versions, the numbers of its fields, and what each purpose may see.

A version is kept for ever; the highest is in force. `Declared` is the compiled form that every request
uses: plans are worked out once for each (purpose, record type, fields asked) and then looked up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

import msgspec
from sqlalchemy import Select, func, insert, select, update

from keys.blind_index import default_bits
from privacy import notices, plans, terms
from privacy.database import Transaction
from privacy.errors import Invalid, ManifestOrphans, NotInPurpose, Undeclared, UndeclaredPurpose
from privacy.levels import Level, effective
from privacy.manifest import (
    Basis,
    Change,
    Controller,
    Demand,
    Field,
    Manifest,
    Purpose,
    RecordType,
    compare,
    demands,
    parse,
)
from privacy.normalise import NORMALISERS
from privacy.notices import Published
from privacy.plans import MINIMAL_LAW, Conditions, Plan
from privacy.tables import field_numbers, manifests, records, revisions
from privacy.work import Role, Work

_KEPT = 4096  # worked-out answers of each kind
PURPOSE_LAW = ("PIPL-6", "GDPR-5-1-b")


@dataclass(frozen=True, slots=True)
class Indexed:
    """How a declared lookup field is indexed. `label` names the normal form and its version."""

    number: int
    kind: str
    label: str


@dataclass(frozen=True, slots=True, eq=False)
class Intake:
    """What may be stored of a record type for a set of purposes. `names` is the purposes as JSON."""

    record_type: RecordType
    purposes: tuple[Purpose, ...]
    used: frozenset[str]
    names: str


class Declared:
    """A manifest in force, with the numbers under which its fields are sealed and the published notices."""

    def __init__(
        self,
        manifest: Manifest,
        version: int,
        numbers: Mapping[tuple[str, str], int],
        published: Sequence[Published] = (),
    ) -> None:
        self.manifest = manifest
        self.version = version
        self.published = tuple(published)
        self.numbers = MappingProxyType(dict(numbers))
        self.index_bits = default_bits(manifest.controller.planned_subjects)
        self.indexed: Mapping[tuple[str, str], Indexed] = {
            (record_type.name, name): _indexed(field, numbers[record_type.name, name])
            for record_type in manifest.records.values()
            for name, field in record_type.fields.items()
            if field.lookup
        }
        self._conditions: dict[tuple[str, str], Conditions] = {}
        self._covered: dict[tuple[str, int], frozenset[str] | None] = {}
        self._plans: dict[tuple[str, str, tuple[str, ...] | None, str], Plan] = {}
        self._intakes: dict[tuple[str, tuple[str, ...]], Intake] = {}
        self._levels: dict[tuple[str, tuple[str, ...], bool], Level] = {}

    @property
    def controller(self) -> Controller:
        return self.manifest.controller

    def purpose(self, name: str) -> Purpose:
        """Raises `UndeclaredPurpose`."""
        found = self.manifest.purposes.get(name)
        if found is None:
            raise UndeclaredPurpose("The manifest declares no such purpose", law=PURPOSE_LAW)
        return found

    def record_type(self, name: str) -> RecordType:
        """Raises `Undeclared`."""
        found = self.manifest.records.get(name)
        if found is None:
            raise Undeclared("The manifest declares no such record type")
        return found

    def field(self, record_type: RecordType, name: str) -> Field:
        """Raises `Undeclared`."""
        found = record_type.fields.get(name)
        if found is None:
            raise Undeclared(f"The record type {record_type.name} has no such field")
        return found

    def number(self, record_type: str, field: str) -> int:
        """The number under which the declared field is sealed and indexed."""
        return self.numbers[record_type, field]

    def conditions(self, purpose: str, recipient: str | None = None) -> Conditions:
        """What the purpose demands, for the controller itself or for a recipient.

        Raises `UndeclaredPurpose`, `UndeclaredRecipient`.
        """
        key = (purpose, recipient or "")
        found = self._conditions.get(key)
        if found is None:
            found = self._conditions[key] = plans.conditions(self.manifest, self.purpose(purpose), key[1])
        return found

    def plan(
        self, purpose: str, record_type: str, fields: Sequence[str] | None = None, recipient: str | None = None
    ) -> Plan:
        """What the purpose may see of the type, of `fields` or of all.

        Raises `UndeclaredPurpose`, `UndeclaredRecipient`, `Undeclared`, `NotInPurpose`.
        """
        key = (purpose, record_type, None if fields is None else tuple(fields), recipient or "")
        plan = self._plans.get(key)
        if plan is None:
            demanded = self.conditions(purpose, recipient)
            declared = self.record_type(record_type)
            for name in fields or ():
                self.field(declared, name)
            asked = tuple(declared.fields if fields is None else dict.fromkeys(fields))
            plan = plans.plan(demanded, declared, asked, self.numbers)
            if len(self._plans) < _KEPT:  # callers choose the fields
                self._plans[key] = plan
        return plan

    def covered(self, purpose: str, notice: int | None) -> frozenset[str] | None:
        """The categories that consent under this notice covers today; None when it is stale (PIPL 14).

        Stale: the notice did not name the purpose, more is done now than it said, or a later notice was
        declared a material change for the purpose.
        """
        if notice is None:
            return None
        key = (purpose, notice)
        if key not in self._covered:
            self._covered[key] = self._cover(purpose, notice)
        return self._covered[key]

    def _cover(self, purpose: str, number: int) -> frozenset[str] | None:
        notice = next((notice for notice in self.published if notice.number == number), None)
        told = notice.terms.get(purpose) if notice is not None else None
        if told is None or purpose not in self.manifest.purposes:
            return None
        if any(change.is_broader for change in terms.compare(told, terms.terms_of(self.manifest, purpose))):
            return None
        if any(later.number > number and purpose in later.material for later in self.published):
            return None
        return frozenset(told.categories)

    def intake(self, record_type: str, purposes: Sequence[str]) -> Intake:
        """What may be stored of the type for these purposes.

        Raises `Invalid` without a purpose, `Undeclared`, `UndeclaredPurpose`, `NotInPurpose`.
        """
        key = (record_type, tuple(purposes))
        intake = self._intakes.get(key)
        if intake is None:
            if not purposes:
                raise Invalid("purposes must name at least one purpose")
            found = tuple(self.purpose(name) for name in dict.fromkeys(purposes))
            declared = self.record_type(record_type)
            for purpose in found:
                if not purpose.uses.get(record_type):
                    raise NotInPurpose(f"The purpose {purpose.name} has no use for {record_type}", law=MINIMAL_LAW)
            used = frozenset(name for purpose in found for name in purpose.uses[record_type])
            names = msgspec.json.encode([purpose.name for purpose in found]).decode()
            intake = Intake(declared, found, used, names)
            if len(self._intakes) < _KEPT:  # callers choose the order of the purposes
                self._intakes[key] = intake
        return intake

    def level(self, record_type: RecordType, names: Iterable[str], minor: bool) -> Level:
        """The effective level of a record that holds these fields."""
        key = (record_type.name, tuple(names), minor)
        level = self._levels.get(key)
        if level is None:
            level = effective(key[1], record_type, minor=minor)
            if len(self._levels) < _KEPT:
                self._levels[key] = level
        return level


@dataclass(frozen=True, slots=True)
class Proposal:
    """What applying a manifest would do: its changes, and the stored rows that stand in the way."""

    version: int
    changes: tuple[Change, ...]
    orphans: tuple[tuple[Demand, int], ...]


def plan(work: Work, manifest: Manifest) -> Proposal:
    """What `apply` would change, and how many stored rows each refused change would orphan."""
    current = work.service.declared
    old = current.manifest if current else None
    orphans = tuple((demand, count) for demand in demands(old, manifest) if (count := _rows(work, demand)))
    return Proposal((current.version if current else 0) + 1, compare(old, manifest), orphans)


def apply(work: Work, manifest: Manifest) -> Proposal:
    """Put the manifest in force from the next request on, on every replica. The same text again changes nothing.

    Raises `ManifestOrphans` with the number of rows that would be left without class, purpose or period.
    """
    work.require(Role.ADMIN)
    work.concerns("manifest.applied")
    # one at a time: PostgreSQL keeps this row locked until the commit, SQLite has one writer anyway
    work.execute(update(revisions).where(revisions.c.name == "manifest").values(number=revisions.c.number + 1))
    proposal = plan(work, manifest)
    if proposal.orphans:
        total = sum(count for _, count in proposal.orphans)
        raise ManifestOrphans(
            f"{total} stored rows would be left without class, purpose or period",
            law=("PIPL-51", "PIPL-19"),
            orphans=[
                {
                    "kind": demand.kind,
                    "type": demand.record_type,
                    "field": demand.field,
                    "purpose": demand.purpose,
                    "rows": count,
                }
                for demand, count in proposal.orphans
            ],
        )
    current = work.service.declared
    if current is not None and current.manifest.digest == manifest.digest:
        work.audit("manifest.unchanged", detail={"version": current.version})
        return Proposal(current.version, (), ())
    work.execute(
        insert(manifests).values(
            version=proposal.version,
            digest=manifest.digest,
            source=manifest.source,
            applied_at=work.instant,
            applied_by=work.actor.name,
        )
    )
    known = {(row.record_type, row.field) for row in work.execute(select(field_numbers))}
    last = work.execute(select(func.coalesce(func.max(field_numbers.c.number), 0))).scalar_one()
    new = [pair for pair in _fields(manifest.records.values()) if pair not in known]
    for number, (record_type, name) in enumerate(new, start=last + 1):
        work.execute(insert(field_numbers).values(record_type=record_type, field=name, number=number))
    work.audit(
        "manifest.applied",
        detail={
            "version": proposal.version,
            "changes": [f"{change.kind} {change.path}" for change in proposal.changes],
        },
    )
    return proposal


def in_force(work: Work) -> Declared:
    """The manifest in force. Any principal may read it: it holds no personal data."""
    return work.declared


def purposes(work: Work) -> list[Purpose]:
    """Every declared purpose, by name."""
    return [purpose for _, purpose in sorted(work.declared.manifest.purposes.items())]


def summary(purpose: Purpose) -> dict[str, object]:
    """A purpose as it is listed: `title` in both languages, `keep` as an ISO 8601 duration."""
    title = purpose.title
    return {
        "name": purpose.name,
        "title": {"zh-CN": title.zh, "en": title.en} if title else {},
        "basis": purpose.basis.value,
        "law": list(purpose.law),
        "category": purpose.category,
        "keep": str(purpose.keep),
        "uses": {name: dict(fields) for name, fields in purpose.uses.items()},
        "only_anonymised": purpose.only_anonymised,
        "method": [method.value for method in purpose.method],
        "at_end": purpose.at_end.value,
        "opt_out": purpose.opt_out.value if purpose.opt_out else None,
    }


def as_of(work: Work, at: datetime) -> Declared | None:
    """The manifest that was in force then, with the notices that were published by then; None before the first."""
    row = work.execute(_version().where(manifests.c.applied_at <= at)).first()
    if row is None:
        return None
    published = [notice for notice in work.declared.published if notice.published_at <= at]
    return Declared(parse(row.source, f"manifest version {row.version}"), row.version, work.declared.numbers, published)


def load(transaction: Transaction) -> Declared | None:
    """The manifest in force, compiled; None before the first `apply`."""
    row = transaction.execute(_version()).first()
    if row is None:
        return None
    numbers = {(found.record_type, found.field): found.number for found in transaction.execute(select(field_numbers))}
    manifest = parse(row.source, f"manifest version {row.version}")
    return Declared(manifest, row.version, numbers, notices.load(transaction))


def _version() -> Select[tuple[int, str]]:
    """The newest version."""
    return select(manifests.c.version, manifests.c.source).order_by(manifests.c.version.desc()).limit(1)


def permits(basis: Basis, jurisdiction: str) -> bool:
    """Whether the law that covers the subject knows this basis. PIPL 13 has no legitimate interest."""
    return not (basis is Basis.LEGITIMATE_INTEREST and plans.is_chinese(jurisdiction))


def _indexed(field: Field, number: int) -> Indexed:
    kind = field.normaliser or "text"
    return Indexed(number, kind, f"{kind}-{NORMALISERS[kind].version}")


def _fields(types: Iterable[RecordType]) -> list[tuple[str, str]]:
    return [(record_type.name, name) for record_type in types for name in record_type.fields]


def _rows(work: Work, demand: Demand) -> int:
    """How many stored rows the change behind the demand would orphan."""
    kept = select(func.count()).select_from(records)
    if demand.record_type is not None:
        kept = kept.where(records.c.record_type == demand.record_type)
    if demand.purpose is not None:
        kept = kept.where(records.c.purposes.contains(f'"{demand.purpose}"', autoescape=True))
    return int(work.execute(kept).scalar_one())
