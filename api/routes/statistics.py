"""Statistics with differential privacy, the budgets they are paid from, and pseudonyms of single subjects."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StringConstraints

from api.documents import problems
from api.routing import Call, Endpoint
from api.shapes import Body, ListOf, Name, cursor_of, place_of
from privacy import pseudonyms
from privacy.anonymisation import budgets, statistics
from privacy.anonymisation.questions import Asked, Statistic

router = APIRouter(prefix="/v1", tags=["statistics"], route_class=Endpoint)

Word = Annotated[str, StringConstraints(strict=True, max_length=200)]
Point = StrictInt | StrictFloat | Word
Key = StrictBool | StrictInt | Word
Limit = Annotated[int, Query(ge=1, le=budgets.PAGE)]
Cursor = Annotated[str | None, Query(max_length=64)]
_MOST: Final = 512


class NewQuestion(Body):
    """What to tell of the records of a type. Bounds, keys, edges and candidates are public: never taken from the data.

    `contributions`: how many rows of one person count. `rho`: what to spend. `count` needs nothing else; `sum` and
    `mean` a field and `bounds`; `histogram` a field and `keys` or `edges`; `quantile` a field, `candidates` and `rank`.
    `decimals`: of a field of type number (2). `clamp`: no negative count. `as_of`: the day (UTC) whose data is meant.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "statistic": "histogram",
                    "purpose": "statistics",
                    "type": "interaction",
                    "field": "channel",
                    "keys": ["phone", "chat"],
                    "contributions": 5,
                    "rho": 0.01,
                }
            ]
        }
    )
    statistic: Annotated[Statistic, Field(strict=False)]
    purpose: Name
    type: Name
    rho: Annotated[StrictFloat | StrictInt, Field(gt=0, le=100)]
    contributions: Annotated[int, Field(ge=1)]
    field: Name | None = None
    bounds: Annotated[list[Point], Field(min_length=2, max_length=2)] | None = None
    keys: Annotated[list[Key], Field(min_length=1, max_length=_MOST)] | None = None
    edges: Annotated[list[Point], Field(min_length=2, max_length=_MOST)] | None = None
    candidates: Annotated[list[Point], Field(min_length=2, max_length=_MOST)] | None = None
    rank: StrictFloat | None = None
    decimals: int | None = None
    as_of: Annotated[date | None, Field(strict=False)] = None
    clamp: bool = False

    def asked(self) -> Asked:
        return Asked(
            statistic=self.statistic,
            purpose=self.purpose,
            type=self.type,
            rho=float(self.rho),
            contributions=self.contributions,
            field=self.field,
            bounds=None if self.bounds is None else (self.bounds[0], self.bounds[1]),
            keys=None if self.keys is None else tuple(self.keys),
            edges=None if self.edges is None else tuple(self.edges),
            candidates=None if self.candidates is None else tuple(self.candidates),
            rank=self.rank,
            decimals=self.decimals,
            as_of=self.as_of,
        )


class NewPseudonym(Body):
    """For which recipient of which purpose."""

    purpose: Name
    recipient: Name


class PseudonymShape(BaseModel):
    """`label` says in each language what it is: de-identified, which is not anonymous."""

    pseudonym: str
    purpose: str
    recipient: str
    label: Mapping[str, str]
    law: list[str]


@router.post("/statistics", response_model=statistics.Answer, responses=problems(400, 403, 409, 413))
def ask_statistic(call: Call, body: NewQuestion) -> statistics.Answer:
    """A statistic with noise, an interval and what it cost. The same question of the same day costs nothing more."""
    service = call.state_of_process.service
    return statistics.ask(
        service, call.actor, body.asked(), clamp=body.clamp, request_id=call.request_id, origin=call.origin
    )


@router.get("/privacy-budgets", response_model=ListOf[budgets.Standing], responses=problems(400, 403))
def list_budgets(call: Call) -> dict[str, object]:
    """What may still be told, by record type and analyst ('*': all together). A service sees the whole and its part."""
    with call.begin() as work:
        return {"items": budgets.standings(work), "next_cursor": None}


@router.get("/privacy-budgets/{type}/questions", response_model=ListOf[budgets.Kept], responses=problems(400, 403))
def list_questions(call: Call, type: str, limit: Limit = budgets.PAGE, cursor: Cursor = None) -> dict[str, object]:
    """Every question asked of a record type, the newest first: answered, refused, or lost. For the privacy office."""
    with call.begin() as work:
        found = budgets.ledger(work, type, after=place_of(cursor), limit=limit)
    return {"items": found, "next_cursor": cursor_of(found[-1].id) if len(found) == limit else None}


@router.post(
    "/subjects/{subject_id}/pseudonyms", response_model=PseudonymShape, responses=problems(400, 403, 404, 410, 413)
)
async def give_pseudonym(call: Call, subject_id: UUID, body: NewPseudonym) -> dict[str, object]:
    """What a recipient may know the subject by for a purpose: de-identified, and gone with the subject's key."""
    found = await call.perform(
        lambda work: pseudonyms.give(work, subject_id, purpose=body.purpose, recipient=body.recipient)
    )
    return {
        "pseudonym": found.pseudonym,
        "purpose": found.purpose,
        "recipient": found.recipient,
        "label": dict(found.label),
        "law": found.law,
    }
