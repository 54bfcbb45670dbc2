"""The gate: ten checks between a candidate and anybody who would get it, each recorded with its figures.

 1. classified    every column has a role, nothing identifying is published as it is, no free text; every published
                  value has been looked at by the detector
 2. k             so many distinct persons in every class, counted again on the written file by code of another hand
 3. diversity     l and t of every sensitive column; classes in which all have the same value are counted
 4. limits        rows left out, and loss
 5. population    where a share of the population was drawn: the journalist's risk
 6. lineage       the joint cells with every earlier release of the same people (`privacy.anonymisation.lineage`)
 7. unlinkable    no row's number, no source's order, labels of the declared hierarchies only, no writer in the file
 8. cells         of tables: the least cell, dominance, complementary suppression, differences with earlier tables
 9. budget        what else is told of the lineage is within its privacy budget
10. destroyed     what leads back to people is gone, before a second person's yes counts (`approval.approve`)

A check that fails refuses the release with its code, and nothing is given to anybody. GB/T 42460-2023; WP216.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from privacy.anonymisation import lineage, source
from privacy.anonymisation.lineage import Outline
from privacy.anonymisation.output_scan import identifies
from privacy.anonymisation.policies import Policy, SensitiveRule
from privacy.anonymisation.release_requests import Kind, OfFile, OfRecords, Request, Role
from privacy.errors import DetectionOff
from privacy.levels import Level
from privacy.tables_budgets import privacy_budgets
from privacy.work import Work

if TYPE_CHECKING:
    from privacy.anonymisation.release_making import Made
    from privacy.steward import Steward

LONGEST_VALUE: Final = 64  # characters of a published value; longer ones are text
MOST_VALUES: Final = 5_000  # distinct values of a column that the detector looks at
_BATCH: Final = 100
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Check:
    """One check's result. `code` is why it failed, None where it holds; `figures` are counts and names, no values."""

    number: int
    name: str
    code: str | None
    figures: Mapping[str, object] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        return self.code is None

    def as_json(self) -> dict[str, object]:
        return asdict(self) | {"holds": self.holds}


def roles_of(work: Work, request: Request, columns: Sequence[str]) -> dict[str, Role | None]:
    """The role of each column: as the manifest says it, or the request of a file; None where nobody says it."""
    of = request.source
    if isinstance(of, OfFile):
        given: dict[str, Role | None] = {name: of.columns.get(name) for name in columns}
        return given | ({of.person: Role.DROP} if of.person in given else {})
    fields = work.declared.record_type(of.type).fields
    return {name: None if (role := fields[name].analytics) is None else Role(role) for name in columns}


def read_fields(work: Work, request: Request, of: OfRecords) -> tuple[str, ...]:
    """The fields that the release reads: those asked for, without what the manifest drops."""
    asked = source.fields_of(work, of.purpose, of.type, of.fields)
    return tuple(name for name, role in roles_of(work, request, asked).items() if role is not Role.DROP)


def classified(work: Work, request: Request, roles: Mapping[str, Role | None]) -> Check:
    """Check 1, before anything is read. A kept column above L2 is declared sensitive, or dropped."""
    unknown = sorted(name for name, role in roles.items() if role is None)
    figures: dict[str, object] = {"columns": {name: role.value for name, role in roles.items() if role is not None}}
    if unknown:
        return Check(1, "classified", "unclassified-columns", figures | {"unclassified": unknown})
    if request.kind is Kind.MICRODATA and not any(role is Role.QUASI for role in roles.values()):
        return Check(1, "classified", "no-quasi-identifier", figures)
    if isinstance(request.source, OfRecords):
        fields = work.declared.record_type(request.source.type).fields
        above = sorted(name for name, role in roles.items() if role is Role.KEEP and fields[name].level > Level.L2)
        if above:
            return Check(1, "classified", "kept-above-level", figures | {"above": above})
        published = (name for name, role in roles.items() if role in (Role.KEEP, Role.SENSITIVE))
        texts = sorted(name for name in published if fields[name].scan)
        if texts:
            return Check(1, "classified", "free-text", figures | {"texts": texts})
    return Check(1, "classified", None, figures)


def ruled(policy: Policy, sensitive: Sequence[str]) -> tuple[SensitiveRule, ...]:
    """The rules, with one for each sensitive column that has none: two different values in every class."""
    known = {rule.column for rule in policy.sensitive}
    return (*policy.sensitive, *(SensitiveRule(name, distinct_l=2) for name in sensitive if name not in known))


def looked_at(service: Steward, published: Mapping[str, Sequence[str]], quasi: Sequence[str]) -> Check:
    """Check 1, after the file is written: every distinct value of it, as it would be published."""
    from privacy.detection.columns import classify
    from privacy.detection.columns_kinds import Role as Told

    figures: dict[str, object] = {"values": 0}
    looked = 0
    for name, column in published.items():
        distinct = sorted(set(column) - {"", "*"})
        if any(len(value) > LONGEST_VALUE for value in distinct):
            return Check(1, "looked-at", "free-text", {"column": name})
        told = classify(name, distinct)
        if name not in quasi and (told.role is Told.DIRECT or told.holds or (told.kind is not None and told.kind.scan)):
            code = "free-text" if told.kind is not None and told.kind.scan else "personal-data-in-output"
            return Check(1, "looked-at", code, {"column": name, "kind": told.kind.name if told.kind else "text"})
        if len(distinct) > MOST_VALUES:
            return Check(1, "looked-at", "too-many-values", {"column": name, "values": len(distinct)})
        try:
            entities = sorted(set(_found(service, distinct)))
        except DetectionOff as error:
            return Check(1, "looked-at", error.code)
        if entities:
            return Check(1, "looked-at", "personal-data-in-output", {"column": name, "entities": entities})
        looked += len(distinct)
    return Check(1, "looked-at", None, figures | {"values": looked, "mode": service.detector.mode})


def _found(service: Steward, values: Sequence[str]) -> Iterator[str]:
    """The entities above L2 in the values, by name; numbers that are declared as such do not count."""
    for start in range(0, len(values), _BATCH):
        for findings in service.detector.analyse(values[start : start + _BATCH]):
            yield from (one.entity for one in findings if identifies(one))


def figures_of(request: Request, policy: Policy, made: Made) -> list[Check]:
    """Checks 2 to 5 and 7, on the written file."""
    return [
        _persons(policy, made),
        _diversity(policy, made),
        _limits(policy, made),
        _population(request, policy, made),
        _unlinkable(made),
    ]


def _persons(policy: Policy, made: Made) -> Check:
    found = made.by_person
    figures = {"k": found.k, "asked": policy.k, "classes": found.classes, "persons": found.persons, "rows": found.rows}
    return Check(2, "k", None if found.k >= policy.k else "class-too-small", figures)


def _diversity(policy: Policy, made: Made) -> Check:
    measured = {one.column: one for one in made.by_person.sensitive}
    failed: list[str] = []
    for rule in policy.sensitive:
        one = measured[rule.column]
        distance = one.t_ordered if rule.ordered else one.t_equal
        short = rule.distinct_l is not None and one.distinct_l < rule.distinct_l
        short = short or (rule.entropy_l is not None and one.entropy_l < rule.entropy_l - _ROUNDING)
        if short or (rule.t is not None and distance > rule.t + _ROUNDING):
            failed.append(rule.column)
    figures: dict[str, object] = {
        "columns": [
            {
                "column": one.column,
                "distinct_l": one.distinct_l,
                "entropy_l": round(one.entropy_l, 6),
                "t_equal": round(one.t_equal, 6),
                "t_ordered": round(one.t_ordered, 6),
                "homogeneous_classes": one.homogeneous_classes,
                "homogeneous_rows": one.homogeneous_rows,
            }
            for one in made.by_person.sensitive
        ],
        "failed": failed,
    }
    return Check(3, "diversity", "not-diverse" if failed else None, figures)


def _limits(policy: Policy, made: Made) -> Check:
    done = made.done
    share = done.suppressed / done.rows if done.rows else 1.0
    figures = {
        "suppressed": done.suppressed,
        "share": round(share, 6),
        "suppression": policy.suppression,
        "loss": round(done.loss, 6),
        "max_loss": policy.max_loss,
    }
    if share > policy.suppression + _ROUNDING:
        return Check(4, "limits", "too-much-suppressed", figures)
    if policy.max_loss is not None and done.loss > policy.max_loss + _ROUNDING:
        return Check(4, "limits", "too-much-lost", figures)
    return Check(4, "limits", None, figures)


def _population(request: Request, policy: Policy, made: Made) -> Check:
    if request.fraction is None:
        return Check(5, "population", None, {"applies": False})
    from privacy.anonymisation.risks import journalist_by_fraction

    threshold = request.highest_risk if request.highest_risk is not None else 1 / policy.k
    found = journalist_by_fraction(made.by_person, request.fraction, threshold)
    figures = {
        "applies": True,
        "highest": round(found.highest, 6),
        "threshold": threshold,
        "smallest": found.smallest,
        "marketer": round(found.marketer, 6),
    }
    return Check(5, "population", None if found.highest <= threshold + _ROUNDING else "risk-too-high", figures)


def _unlinkable(made: Made) -> Check:
    known = [{path[0] for path in paths} for paths in made.outline.paths]
    strange = sorted(
        name
        for name, labels in zip(made.outline.columns, known, strict=True)
        if not set(made.published[name]) <= labels
    )
    figures: dict[str, object] = {"columns": list(made.published), "strange_labels": strange}
    if strange:
        return Check(7, "unlinkable", "label-of-no-hierarchy", figures)
    if made.is_in_source_order:
        return Check(7, "unlinkable", "source-order", figures)
    if b"DuckDB" in made.parquet or b"duckdb" in made.parquet:
        return Check(7, "unlinkable", "writer-named", figures)
    return Check(7, "unlinkable", None, figures)


def beside(outlines: Sequence[Outline], earlier: Mapping[str, Sequence[Outline]]) -> Check:
    """Check 6: beside every earlier release of the lineage, by its id."""
    joints = {name: lineage.joint(ones, outlines) for name, ones in earlier.items()}
    failed = next((joint.code for joint in joints.values() if joint.code is not None), None)
    return Check(6, "lineage", failed, {"earlier": {name: asdict(joint) for name, joint in joints.items()}})


def budgeted(work: Work, name: str) -> Check:
    """Check 9: nothing has been told of the lineage beyond its budget. Statistics go through that ledger or nowhere."""
    rows = work.execute(
        select(privacy_budgets.c.analyst, privacy_budgets.c.spent, privacy_budgets.c.cap).where(
            privacy_budgets.c.lineage == name
        )
    ).all()
    over = [row.analyst for row in rows if row.spent > row.cap]
    figures = {"analysts": len(rows), "spent_nano_rho": max((row.spent for row in rows), default=0)}
    return Check(9, "budget", "budget-overspent" if over else None, figures)
