"""A world whose manifest lets statistics be told, and what tests ask of it."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from privacy import consent, principals
from privacy.anonymisation import budgets, statistics
from privacy.anonymisation.questions import Asked, Statistic
from privacy.work import TERMINAL, Actor, Role
from tests.privacy.kept import declare
from tests.world import MANIFEST, World

TOTAL: Final = 0.5
ANALYST: Final = 0.25
TEXT: Final = (
    MANIFEST.replace(
        "joined_at: {level: L2, category: pd:ServiceConsumptionBehaviour, type: date}",
        "joined_at: {level: L2, category: pd:ServiceConsumptionBehaviour, type: date, analytics: quasi}\n"
        "      spent:     {level: L3, category: pd:Transaction, type: number, analytics: sensitive}\n"
        "      city:      {level: L3, category: pd:Location, analytics: quasi}\n"
        "      stars:     {level: L2, category: pd:Behavioural, type: integer, analytics: keep}\n"
        "      nickname:  {level: L3, category: pd:Name}",
    )
    .replace("    title: {zh: 会员, en: Member}\n", "    title: {zh: 会员, en: Member}\n"
             f"    budget: {{total: {TOTAL}, analyst: {ANALYST}, delta: 1e-6}}\n")
    .replace("member: [joined_at], interaction", "member: [joined_at, spent, city, stars, nickname, phone.masked],"
             " interaction")
)  # fmt: skip


def tell(world: World, **changes: str) -> None:
    """Put the manifest in force, with some of its texts replaced."""
    text = TEXT
    for old, new in changes.items():
        text = text.replace(old, new)
    declare(world, text)


def member(world: World, subject_id: UUID | None = None, *, consents: bool = True, **data: object) -> UUID:
    """A record of a member, new unless named, who has consented to statistics."""
    if subject_id is None:
        subject_id = world.subject()
        if consents:
            with world.service.begin(world.actor("operator")) as work:
                consent.decide(work, subject_id, "statistics", "given")
    given = {"joined_at": "2026-01-31", "spent": 10.5, "city": "杭州", "stars": 4} | data
    world.store(subject_id, given)
    return subject_id


def count(**changes: Any) -> Asked:
    return Asked(
        **{
            "statistic": Statistic.COUNT,
            "purpose": "statistics",
            "type": "member",
            "rho": 0.01,
            "contributions": 1,
            **changes,
        }
    )


def ask(world: World, asked: Asked | None = None, *, by: str = "analyst", **options: Any) -> statistics.Answer:
    return statistics.ask(world.service, world.actor(by), asked or count(), **options)


def standing(world: World, analyst: str = budgets.ALL, lineage: str = "member") -> budgets.Standing:
    with world.service.begin(TERMINAL) as work:
        (found,) = [one for one in budgets.standings(work) if (one.lineage, one.analyst) == (lineage, analyst)]
    return found


def kept(world: World, lineage: str = "member") -> list[budgets.Kept]:
    with world.service.begin(TERMINAL) as work:
        return budgets.ledger(work, lineage)


def another(world: World, name: str) -> Actor:
    """One more analyst, with the grants of the first."""
    with world.service.begin(TERMINAL) as work:
        made = principals.add(work, name, role=Role.SERVICE, purposes=["statistics"], types=["member", "interaction"])
    return world.service.authenticate(made.key)
