"""What an act of consent needs to be valid: a notice that was shown, categories it names, a guardian for a child.

PIPL 14, 17, 31; GDPR 4(11), 7, 8, 13. Nobody is asked again while a no is fresh.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Row

from privacy import notices, profile
from privacy.errors import Conflict, CoolOff, GuardianConsentMissing, Invalid, NotFound, NoticeMissing, NoticeOutdated
from privacy.facts import BY_GUARDIAN, facts_for
from privacy.manifest import Purpose
from privacy.notices import Published
from privacy.plans import Conditions
from privacy.rules import GUARDIAN_LAW, IN_FORCE, WITHDRAWAL_LAW, Question
from privacy.work import Work

Asked = Literal["given", "refused", "deferred", "requested"]

NOES: Final = frozenset({"refused", "withdrawn"})
_ADULT: Final = 18


@dataclass(frozen=True, slots=True)
class Choice:
    """What the subject decided about one purpose.

    `recipient`: one that needs a consent of its own. `categories`: those that are consented to, all of the purpose's
    unless named. `notice`: a version, the newest unless named. `text`: the exact text shown, where it was not the
    notice's own. `guardian`: the subject that consents for a child.
    """

    purpose: str
    decision: Asked
    recipient: str | None = None
    categories: Sequence[str] | None = None
    notice: str | None = None
    language: str | None = None
    separate: bool = False
    written: bool = False
    explicit: bool = False
    guardian: UUID | None = None
    channel: str | None = None
    text: str | None = None


def require_askable(work: Work, now: Row[Any] | None, purpose: Purpose, *, is_asking: bool) -> None:
    """Nobody asks again while a no is fresh (CCPA 1798.135(c)(4): twelve months), nor for what is given."""
    if now is None:
        return
    if is_asking and now.state in NOES:
        until = purpose.cool_off.after(now.changed_at)
        if until > work.now:
            day = until.date().isoformat()
            raise CoolOff(
                f"The person said no and may not be asked again before {day}",
                zh=f"该个人已表示拒绝，在{day}之前不得再次询问",
                law=WITHDRAWAL_LAW,
                until=until.isoformat(),
            )
    expired = now.expires_at is not None and now.expires_at <= work.now
    if now.flags & BY_GUARDIAN:  # who has come of age is asked, and only the gate knows the age
        return
    if now.state in IN_FORCE and not expired and work.declared.covered(purpose.name, now.notice) is not None:
        raise Conflict("The consent is in force: there is nothing to ask for", zh="同意仍然有效，无须再次询问")


def notice_shown(work: Work, purpose: str, choice: Choice) -> Published | None:
    """The notice that was shown. A no, or a putting off, needs none; what is given or asked for does.

    PIPL 14, 17; GDPR 7(1), 13. Raises `NoticeMissing`, `NoticeOutdated`.
    """
    published = work.declared.published
    if choice.notice is not None:
        found = next((notice for notice in published if notice.version == choice.notice), None)
        if found is None or purpose not in found.terms:
            raise NoticeMissing(
                "There is no published notice of this version for this purpose",
                zh="没有涵盖该目的的该版本告知书",
                law=("PIPL-17", "GDPR-13"),
            )
    else:
        found = next((notice for notice in reversed(published) if purpose in notice.terms), None)
    if choice.decision in ("refused", "deferred"):
        return found
    if found is None:
        raise NoticeMissing(
            "No published notice covers this purpose, so nobody can consent to it",
            zh="没有已发布的告知书涵盖该目的，因此无法取得同意",
            law=("PIPL-14", "PIPL-17", "GDPR-13"),
        )
    if work.declared.covered(purpose, found.number) is None:
        raise NoticeOutdated(
            "More is done now than this notice says: publish a new one and show that",
            zh="现在的处理超出了该告知书的内容：请先发布并展示新的告知书",
            law=("PIPL-14-2", "GDPR-13-3"),
        )
    return found


def guardian_of(work: Work, subject_id: UUID, demanded: Conditions, choice: Choice) -> UUID | None:
    """Who consents for a child (PIPL 31, GDPR 8): another subject, of age, the registered one if there is one."""
    facts = facts_for(work, subject_id, demanded)
    is_child = Question(work, demanded, facts).is_child
    if choice.guardian is None:
        if is_child and choice.decision == "given":
            raise GuardianConsentMissing(
                "A child's consent is given by its guardian: name the guardian's own subject",
                zh="儿童的同意须由其监护人作出：请指明监护人本人",
                law=GUARDIAN_LAW,
            )
        return None
    if not is_child:
        raise Conflict(
            "The person is not a child and decides for themselves", zh="该个人不是儿童，应由本人决定", law=GUARDIAN_LAW
        )
    registered = profile.guardian(work, subject_id, facts.profile) if facts.profile is not None else None
    if registered not in (None, choice.guardian):
        raise Conflict("This is not the child's guardian", zh="该主体不是该儿童的监护人", law=GUARDIAN_LAW)
    guardian_facts = facts_for(work, choice.guardian, demanded)
    age = Question(work, demanded, guardian_facts).age
    work.audit("consent.guardian-checked", subject=choice.guardian, purpose=demanded.purpose.name)
    if guardian_facts.erased or (age is not None and age < _ADULT):
        raise Conflict("The guardian is not of age, or is erased", zh="监护人未成年或已被删除", law=GUARDIAN_LAW)
    return choice.guardian


def categories_of(choice: Choice, notice: Published | None, purpose: Purpose) -> list[str] | None:
    """The categories consented to, sorted; None for all that the notice names. Raises `Invalid` for others."""
    if choice.categories is None:
        return None
    told = set(notice.terms[purpose.name].categories) if notice is not None else set()
    chosen = sorted(set(choice.categories))
    if not chosen or not told.issuperset(chosen):
        raise Invalid("categories must be some of those that the notice names for the purpose")
    return None if told == set(chosen) else chosen


def text_shown(work: Work, choice: Choice, notice: Published | None, purpose: str) -> tuple[str | None, bytes | None]:
    """The language, and the SHA-256 of the exact text that was shown in it. Raises `Invalid`."""
    if choice.text is not None:
        return choice.language, sha256(choice.text.encode()).digest()
    if notice is None or (choice.language is None and choice.decision in ("refused", "deferred")):
        return choice.language, None
    content = notices.get(work, notice.version).content
    language = choice.language or content.languages[0]
    try:
        shown = content.edition(language)
    except NotFound:
        raise Invalid(f"The notice is not in this language, only in {', '.join(content.languages)}") from None
    return language, bytes.fromhex(shown.purposes[purpose].digest)
