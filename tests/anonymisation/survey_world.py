"""A small survey of invented people, to be released: its declaration, and how its rows get into a world."""

from __future__ import annotations

import csv
import io
import random
import threading
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from jobs.registry import JOBS
from privacy import consent, declaration, manifest, notices, principals, records, slots, subjects
from privacy.anonymisation import approval, releases
from privacy.anonymisation.policies import Policy
from privacy.anonymisation.release_requests import OfRecords, RecipientClass, Request
from privacy.anonymisation.releases import Release
from privacy.slots import Progress
from privacy.work import TERMINAL, Role
from tests.world import MANIFEST, World

_TYPES: Final = """\
  survey:
    title: {zh: 问卷, en: Survey}
    fields:
      age:       {level: L3, type: integer, analytics: quasi, hierarchy: {intervals: [10, 20, 40]}}
      region:    {level: L3, analytics: quasi, hierarchy: {prefix: [2, 1]}}
      sex:       {level: L3, analytics: quasi, hierarchy: flat}
      condition: {level: L3, analytics: sensitive}
      channel:   {level: L2, analytics: keep}
      remark:    {level: L2, analytics: keep}
      name:      {level: L3, analytics: drop}
      hobby:     {level: L3}
"""
_PURPOSES: Final = """\
  research:
    title: {zh: 研究, en: Research}
    basis: contract
    category: dpv:ResearchAndDevelopment
    uses: {survey: [age, region, sex, condition, channel, remark, name, hobby]}
    keep: P1Y
    only: anonymised
  study:
    title: {zh: 调研, en: Study}
    basis: consent
    category: dpv:ResearchAndDevelopment
    uses: {survey: [age, region, sex, condition]}
    keep: P1Y
    only: anonymised
  survey-desk:
    title: {zh: 问卷服务, en: Survey desk}
    basis: contract
    category: dpv:CustomerCare
    uses: {survey: "*"}
    keep: P2Y
"""
FIELDS: Final = ("age", "region", "sex", "condition")
CONDITIONS: Final = ("flu", "asthma", "diabetes", "none", "migraine")


def declare(world: World, text: str = MANIFEST) -> None:
    """Put the survey's manifest in force, and add the component `lab`, which may do all."""
    text = text.replace("purposes:\n", f"{_TYPES}purposes:\n", 1).replace(
        "recipients:\n", f"{_PURPOSES}recipients:\n", 1
    )
    with world.service.begin(TERMINAL) as work:
        declared = manifest.parse(text, "survey.yaml")
        notices.follow(work, declared, declaration.apply(work, declared).version)
    with world.service.begin(TERMINAL) as work:
        world.keys["lab"] = principals.add(work, "lab", role=Role.SERVICE, purposes=["*"], types=["*"]).key
    with world.service.begin(TERMINAL) as work:
        world.keys["colleague"] = principals.add(work, "colleague", role=Role.OPERATOR).key


def answers(count: int, seed: int = 7) -> list[dict[str, object]]:
    """Answers of as many people: five regions, ages from 20 to 59, conditions that do not follow from them."""
    chosen = random.Random(seed)
    return [
        {
            "age": chosen.randrange(20, 60),
            "region": chosen.choice(("3101", "3102", "3201", "3202", "4401")),
            "sex": chosen.choice(("f", "m")),
            "condition": chosen.choice(CONDITIONS),
            "channel": chosen.choice(("phone", "web")),
        }
        for _ in range(count)
    ]


def fill(
    world: World, rows: Sequence[Mapping[str, object]], *, consents: bool = False, subject_ids: Sequence[UUID] = ()
) -> list[UUID]:
    """Store each answer for a subject of its own (or of `subject_ids`), who consents to the study if so asked."""
    found = list(subject_ids)
    for start in range(0, len(rows), 100):
        with world.service.begin(world.actor("lab")) as work:
            while len(found) < min(start + 100, len(rows)):
                found.append(subjects.create(work).id)
        with world.service.begin(world.actor("lab")) as work:
            for place, row in enumerate(rows[start : start + 100], start):
                if consents:
                    consent.decide(work, found[place], "study", "given")
                records.store(work, found[place], type="survey", purposes=["survey-desk"], data=dict(row))
    return found


def request(recipient: str = "university", **more: object) -> Request:
    """A release of the survey for a controlled recipient, which asks for no more than k = 5."""
    asked: dict[str, object] = {
        "source": OfRecords("research", "survey", FIELDS),
        "recipient": recipient,
        "recipient_class": RecipientClass.CONTROLLED,
        "policy": Policy(k=5, suppression=0.1),
    }
    return Request(**(asked | more))  # type: ignore[arg-type]  # the tests' own


def ask(world: World, asked: Request | None = None, *, by: str = "operator", upload: bytes | None = None) -> UUID:
    with world.service.begin(world.actor(by)) as work:
        return releases.ask(work, asked or request(), upload).id


def run_job(world: World) -> None:
    """As the scheduler does, until there is nothing to make."""
    job = JOBS["releases"]
    with world.service.begin(TERMINAL) as work:
        slots.register(work, {"releases": job.schedule})
    with world.service.begin(TERMINAL) as work:
        claim = slots.claim(work, "releases", job.terms, "test", at_once=True)
    assert claim is not None
    progress = Progress(claim, threading.Event())
    code: str | None = None
    try:
        while job.run(world.service, progress) >= (job.again or 0):
            pass
    except Exception as error:
        code = slots.code_of(error)
        raise
    finally:
        with world.service.begin(TERMINAL) as work:
            slots.finish(work, progress, code=code, is_more=False, busy_micros=0)


def made(world: World, asked: Request | None = None, *, upload: bytes | None = None) -> Release:
    """Asked for and made, or refused."""
    release_id = ask(world, asked, upload=upload)
    run_job(world)
    return found(world, release_id)


def found(world: World, release_id: UUID) -> Release:
    with world.service.begin(world.actor("operator")) as work:
        return releases.shown(work, release_id)


def approve(world: World, release_id: UUID, *, by: str = "colleague") -> Release:
    return approval.approve(lambda: world.service.begin(world.actor(by)), release_id)


def released(world: World, asked: Request | None = None, *, upload: bytes | None = None) -> Release:
    """Asked for, made and approved."""
    one = made(world, asked, upload=upload)
    assert one.state == "candidate", (one.code, [check for check in one.checks if not check["holds"]])
    return approve(world, one.id)


def rows_of(world: World, release_id: UUID) -> list[dict[str, str]]:
    """The file as its recipient gets it."""
    with world.service.begin(world.actor("operator")) as work:
        content = releases.data(work, release_id, "csv").content
    return list(csv.DictReader(io.StringIO(content.decode())))
