"""Texts that callers bring: what is personal in them, and the same texts without it. Nothing of them is kept.

A call has four steps, so that no transaction is open while texts are analysed:

1. `admit`     may this caller, and is what it asks possible? A refusal is on record.
2. the texts are analysed (`Steward.detector`), off the request's path
3. `scan` or `redact` puts the answer together
4. `record`    the event, with counts and declared names, is durable before the answer leaves

A pseudonym is a keyed hash of subject, purpose, entity and value: the same in every text about one subject for one
purpose, and unlinkable to the same value's pseudonym for another purpose or another subject. The key is the
deployment's fingerprint root; without it nobody can try values. Such texts are de-identified (PIPL 73(3), GDPR 4(5)),
not anonymised.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final
from uuid import UUID

from keys.derivation import length_prefixed
from privacy import subjects
from privacy.detection import redaction
from privacy.detection.analyser import LANGUAGES, Language, known
from privacy.detection.findings import Finding
from privacy.detection.redaction import How, Keep, is_kept, kept, level_of
from privacy.errors import Forbidden, Invalid, TooLarge, UndeclaredPurpose
from privacy.levels import Level
from privacy.work import Role, Work

if TYPE_CHECKING:
    from keys.keyring import Keyring

MOST_TEXTS: Final = 100
LONGEST: Final = 100_000  # characters of one text
SCANNED: Final = "text.scanned"
REDACTED: Final = "text.redacted"
_HASH_DIGITS: Final = 32  # 128 bits: no two values of a deployment share one
_PSEUDONYM_DIGITS: Final = 16  # of one subject's values for one purpose


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of which texts. Made by `question` and `redaction_question`; `repr` shows no text."""

    texts: tuple[str, ...] = field(repr=False)
    languages: tuple[Language, ...]
    how: How | None = None  # None: only scanned
    keep: Keep = frozenset()
    subject_id: UUID | None = None
    purpose: str | None = None

    @property
    def action(self) -> str:
        return SCANNED if self.how is None else REDACTED


@dataclass(frozen=True, slots=True)
class Span:
    """One finding; `start` and `end` count code points, `why` names the evidence and never the value."""

    start: int
    end: int
    entity: str
    level: str
    score: float
    why: str


@dataclass(frozen=True, slots=True)
class Scanned:
    """What is in one text; `level` is the highest found, None when nothing was."""

    findings: tuple[Span, ...]
    level: str | None


@dataclass(frozen=True, slots=True)
class Redacted:
    """One text without what was to go. The spans are those of the text as it came."""

    text: str = field(repr=False)
    redacted: tuple[Span, ...]
    kept: tuple[Span, ...]


def question(texts: Sequence[str], languages: Sequence[str] = LANGUAGES) -> Question:
    """A scan. Raises `Invalid`, `TooLarge`."""
    if not 1 <= len(texts) <= MOST_TEXTS:
        raise Invalid(f"A scan takes 1 to {MOST_TEXTS} texts", zh=f"一次扫描须有 1 至 {MOST_TEXTS} 段文本")
    if any(len(text) > LONGEST for text in texts):
        raise TooLarge(f"A text has at most {LONGEST:,} characters", zh=f"每段文本不得超过 {LONGEST:,} 个字符")
    return Question(tuple(texts), known(languages))


def redaction_question(
    texts: Sequence[str],
    how: How,
    *,
    languages: Sequence[str] = LANGUAGES,
    keep: Sequence[str] = (),
    subject_id: UUID | None = None,
    purpose: str | None = None,
) -> Question:
    """A redaction. A pseudonym needs subject and purpose, and nothing else takes them. Raises `Invalid`, `TooLarge`."""
    asked = question(texts, languages)
    if how == "pseudonym" and (subject_id is None or purpose is None):
        raise Invalid("A pseudonym needs subject_id and purpose", zh="生成假名需要 subject_id 和 purpose")
    if how != "pseudonym" and (subject_id is not None or purpose is not None):
        raise Invalid("subject_id and purpose belong to how=pseudonym", zh="subject_id 和 purpose 仅用于 how=pseudonym")
    return Question(asked.texts, asked.languages, how, kept(keep), subject_id, purpose)


def admit(work: Work, asked: Question) -> None:
    """Raises `Forbidden`, `DetectionOff`; for a pseudonym `UndeclaredPurpose`, `NotFound` and `Erased` as well."""
    action = asked.action
    work.concerns(action, subject=asked.subject_id, purpose=asked.purpose)
    work.require(Role.SERVICE, Role.OPERATOR, Role.ADMIN)
    _ = work.service.detector
    if asked.purpose is not None:
        if asked.purpose not in work.declared.manifest.purposes:
            raise UndeclaredPurpose
        granted = work.actor.purposes
        if work.actor.role is Role.SERVICE and asked.purpose not in granted and "*" not in granted:
            raise Forbidden("The principal is not granted this purpose", zh="该调用方未被授予此处理目的")
    if asked.subject_id is not None:
        subjects.get(work, asked.subject_id)


def scan(found: Sequence[Sequence[Finding]]) -> list[Scanned]:
    """The answer to a scan."""
    return [Scanned(_spans(each), _highest(each)) for each in found]


def redact(keyring: Keyring, asked: Question, found: Sequence[Sequence[Finding]]) -> list[Redacted]:
    """The answer to a redaction: the texts, each with what went and what was kept."""
    how: How = asked.how or "replace"
    token = partial(_token, keyring, asked)
    return [
        Redacted(
            redaction.redact(text, each, how, asked.keep, token),
            _spans([one for one in each if not is_kept(one, asked.keep)]),
            _spans([one for one in each if is_kept(one, asked.keep)]),
        )
        for text, each in zip(asked.texts, found, strict=True)
    ]


def record(work: Work, asked: Question, found: Sequence[Sequence[Finding]]) -> None:
    """The event of the call: how much of what, and no text."""
    entities: Counter[str] = Counter()
    left: Counter[str] = Counter()
    for each in found:
        for one in each:
            (left if is_kept(one, asked.keep) else entities)[one.entity] += 1
    detail: dict[str, object] = {
        "texts": len(asked.texts),
        "characters": sum(map(len, asked.texts)),
        "languages": asked.languages,
        "mode": work.service.settings.detection,
        "entities": entities,
    }
    if asked.how is None:
        work.audit(SCANNED, detail=detail)
    else:
        detail |= {"how": asked.how, "kept": left}
        work.audit(REDACTED, subject=asked.subject_id, purpose=asked.purpose, detail=detail)


def _token(keyring: Keyring, asked: Question, entity: str, value: str) -> str:
    """What stands for a value: the entity is part of `value` already (`redaction.canonical`)."""
    if asked.how == "pseudonym":
        whose = length_prefixed(str(asked.subject_id).encode(), (asked.purpose or "").encode())
        digest = keyring.fingerprint("redaction/pseudonym", whose + value.encode("utf-8", "surrogatepass"))
        return digest.hex()[:_PSEUDONYM_DIGITS]
    digest = keyring.fingerprint("redaction/hash", value.encode("utf-8", "surrogatepass"))
    return digest.hex()[:_HASH_DIGITS]


def _spans(findings: Sequence[Finding]) -> tuple[Span, ...]:
    return tuple(
        Span(one.start, one.end, one.entity, level_of(one.entity).name, one.score, one.why) for one in findings
    )


def _highest(findings: Sequence[Finding]) -> str | None:
    levels: list[Level] = [level_of(one.entity) for one in findings]
    return max(levels).name if levels else None
