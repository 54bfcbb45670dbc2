"""What is personal in a text that the caller brings, and the text without it. Nothing of it is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Final, Self
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from api.documents import problems
from api.routing import Answer, Call, Endpoint
from api.shapes import Body, Name
from privacy import scanning
from privacy.detection.analyser import LANGUAGES, Language
from privacy.detection.findings import Finding
from privacy.detection.redaction import How
from privacy.scanning import Question, Redacted, Scanned

router = APIRouter(prefix="/v1", tags=["detection"], route_class=Endpoint)

_LABEL: Final[Mapping[str, str]] = {"en": "de-identified", "zh": "去标识化"}
_OWN_THREAD: Final = 20_000  # characters from which on hashing and cutting would hold up other requests
# Longer ones are refused by the domain, with a status that says so.
Text = Annotated[str, StringConstraints(strict=True)]


class _Texts(Body):
    """One text or several, in one of the languages or in both."""

    text: Text | None = None
    texts: Annotated[list[Text], Field(min_length=1, max_length=scanning.MOST_TEXTS)] | None = None
    languages: Annotated[list[Language], Field(min_length=1, max_length=2, default_factory=lambda: [*LANGUAGES])]

    @model_validator(mode="after")
    def _one_or_several(self) -> Self:
        if (self.text is None) == (self.texts is None):
            raise PydanticCustomError("text_or_texts", "text, or texts")
        return self

    @property
    def all(self) -> list[str]:
        return [self.text] if self.text is not None else list(self.texts or ())


class Scan(_Texts):
    """Texts to look through: at most 100, of at most 100,000 characters each."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"text": "我叫王伟，电话 13800138000", "languages": ["zh", "en"]}]}
    )


class Redaction(_Texts):
    """Texts to take out of what is personal, and how; `keep` names levels and entities that stay.

    "replace": the entity's name in the text's language. "mask": what its mask shows. "hash": a keyed hash, equal for
    equal values. "pseudonym": equal within one subject and purpose only, which it needs.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"text": "我叫王伟，电话 13800138000", "how": "mask", "keep": ["L2"]}]}
    )
    how: How = "replace"
    keep: Annotated[list[Name], Field(max_length=100)] = Field(default_factory=list)
    subject_id: Annotated[UUID | None, Field(strict=False)] = None
    purpose: Name | None = None


class ScanAnswer(BaseModel):
    """In the order of the texts. `blind_to` names the entities that this deployment's mode cannot see."""

    items: list[Scanned]
    mode: str
    blind_to: list[str]


class RedactionAnswer(BaseModel):
    """In the order of the texts. The `label` says what they are now, for they are not anonymous."""

    items: list[Redacted]
    how: How
    label: Mapping[str, str]
    mode: str
    blind_to: list[str]


@router.post("/scan", response_model=ScanAnswer, responses=problems(400, 403, 413))
async def scan(call: Call, body: Scan) -> Answer:
    """What is personal in the texts: where, what, how sure, and why. For services, operators and administrators."""
    asked = scanning.question(body.all, body.languages)
    found = await _found(call, asked)
    items = scanning.scan(found)
    await call.perform(lambda work: scanning.record(work, asked, found))
    return Answer({"items": items, **_seen_by(call)})


@router.post("/redact", response_model=RedactionAnswer, responses=problems(400, 403, 404, 410, 413))
async def redact(call: Call, body: Redaction) -> Answer:
    """The texts without what is personal in them: de-identified. For services, operators and administrators."""
    asked = scanning.redaction_question(
        body.all,
        body.how,
        languages=body.languages,
        keep=body.keep,
        subject_id=body.subject_id,
        purpose=body.purpose,
    )
    found = await _found(call, asked)
    keyring = call.state_of_process.service.keyring
    if _is_large(asked):
        items = await asyncio.to_thread(scanning.redact, keyring, asked, found)
    else:
        items = scanning.redact(keyring, asked, found)
    await call.perform(lambda work: scanning.record(work, asked, found))
    return Answer({"items": items, "how": body.how, "label": _LABEL, **_seen_by(call)})


async def _found(call: Call, asked: Question) -> list[list[Finding]]:
    """What the workers find, once the caller is admitted; no transaction waits for it, and no thread."""
    await call.perform(lambda work: scanning.admit(work, asked))
    detector = call.state_of_process.service.detector
    if _is_large(asked):
        submitted = await asyncio.to_thread(detector.submit, asked.texts, asked.languages)
    else:
        submitted = detector.submit(asked.texts, asked.languages)
    return await asyncio.wrap_future(submitted)


def _is_large(asked: Question) -> bool:
    return sum(map(len, asked.texts)) > _OWN_THREAD


def _seen_by(call: Call) -> dict[str, object]:
    detector = call.state_of_process.service.detector
    return {"mode": detector.mode, "blind_to": detector.blind_to}
