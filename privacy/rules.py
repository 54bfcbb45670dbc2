"""The rules of the gate: each a question that may be answered with a refusal, in the order in which they are asked.

A refusal names its code, the law, and in one sentence of each language what is missing and which article asks
for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import msgspec

from privacy import ages, profile
from privacy.declaration import permits
from privacy.errors import (
    AnonymisedOnly,
    BasisNotInForce,
    ConsentExpired,
    ConsentMissing,
    ConsentStale,
    Erased,
    Forbidden,
    GuardianConsentMissing,
    NoLawfulBasis,
    NotInPurpose,
    Objected,
    PrivacyError,
    PurposeEnded,
    Restricted,
    SeparateConsentMissing,
    StatutoryPeriod,
)
from privacy.facts import BY_GUARDIAN, EXPLICIT, SEPARATE, Facts
from privacy.levels import CHILD_YEARS
from privacy.manifest import Basis, Purpose, Text
from privacy.plans import DECLARED, MINIMAL_LAW, SENSITIVE, Conditions, Need, Plan, Reason, is_chinese
from privacy.retention_periods import Kept, ends_at, least_micros
from privacy.tables import moment
from privacy.vocabulary.citations import joined
from privacy.work import Actor, Role, Work

CONSENT_LAW: Final = ("PIPL-13-1", "PIPL-14", "GDPR-6-1-a")
WITHDRAWAL_LAW: Final = ("PIPL-15", "GDPR-7-3")
CHANGE_LAW: Final = ("PIPL-14-2", "GDPR-6-1-a")
GUARDIAN_LAW: Final = ("PIPL-31", "GDPR-8-1")
BASIS_LAW: Final = ("PIPL-13",)
PERIOD_LAW: Final = ("PIPL-13", "GDPR-6-1")
STORAGE_LAW: Final = ("PIPL-19", "GDPR-5-1-e")
STATUTORY_LAW: Final = ("PIPL-47", "GDPR-17-3-b")
ANONYMISED_LAW: Final = ("PIPL-4", "PIPL-73")
ERASED_LAW: Final = ("PIPL-47", "GDPR-17")
RESTRICTION_LAW: Final = ("PIPL-44", "GDPR-18")
OBJECTION_LAW: Final = ("PIPL-44", "GDPR-21")

IN_FORCE: Final = frozenset({"given", "renewed"})


class Question:
    """What is asked of the rules: a purpose's conditions, a plan if fields are asked for, the facts, an instant."""

    __slots__ = ("_age", "conditions", "facts", "instant", "needs", "plan", "purpose", "stored_at", "work")

    def __init__(
        self, work: Work, conditions: Conditions, facts: Facts, plan: Plan | None = None, stored_at: int | None = None
    ) -> None:
        self.work = work
        self.conditions = conditions
        self.purpose = conditions.purpose
        self.plan = plan
        self.needs = conditions.needs if plan is None else plan.needs
        self.facts = facts
        self.instant = work.instant
        self.stored_at = stored_at
        self._age = -2  # not looked; -1: not known

    @property
    def age(self) -> int | None:
        """Whole years, when the birth date is known and mattered once. Opening the profile owes an event."""
        if self._age == -2:
            sealed = self.facts.profile
            self._age = -1 if sealed is None else _age(self.work, self.facts.subject_id, sealed)
        return None if self._age < 0 else self._age

    @property
    def is_child(self) -> bool:
        """Whether a guardian must consent (PIPL 31, GDPR 8)."""
        age = self.age
        controller = self.work.declared.controller.jurisdiction
        return age is not None and age < ages.limit_of(self.facts.jurisdiction, controller).years

    @property
    def is_chinese(self) -> bool:
        return self.conditions.is_chinese or is_chinese(self.facts.jurisdiction)

    @property
    def title(self) -> Text:
        return self.purpose.title or Text(self.purpose.name, self.purpose.name)

    def no(self, kind: type[PrivacyError], en: str, zh: str, law: tuple[str, ...], **context: object) -> Any:
        """The refusal, with its sentence in both languages. Where PIPL applies it is cited, else what else there is."""
        cited = _applicable(law, self.is_chinese)
        return kind(_sentence(en, cited, "en"), zh=_sentence(zh, cited, "zh"), law=law, **context)


Answer = Any  # a refusal or None; `Erased` is no `Refused`
Rule = Callable[[Question], Answer]


# --- the rules, in their order


def not_granted(actor: Actor, purpose: str, record_type: str) -> Forbidden | None:
    """The refusal of an actor who is no service, or is not granted both."""
    if actor.role is Role.SERVICE and actor.may_use(purpose, record_type):
        return None
    return Forbidden(
        "The principal has no grant for this purpose and record type",
        zh="该调用方未获授权将此记录类型用于此目的",
        law=MINIMAL_LAW,
    )


def not_granted_analysis(actor: Actor, purpose: str, record_type: str) -> Forbidden | None:
    """The refusal of an actor for whom nothing may be read into a release or a statistic.

    Allowed are operators, a service granted both, and the service itself (no principal), which goes on with what one
    of those has asked for.
    """
    if actor.role is Role.OPERATOR or (actor.role is Role.ADMIN and actor.principal_id is None):
        return None
    return not_granted(actor, purpose, record_type)


def _not_granted(ask: Question) -> Answer:
    if ask.plan is None:
        return None
    return not_granted(ask.work.actor, ask.purpose.name, ask.plan.record_type.name)


def _erased(ask: Question) -> Answer:
    return Erased(zh="该个人的数据已被删除", law=ERASED_LAW) if ask.facts.erased else None


def _restricted(ask: Question) -> Answer:
    if not ask.facts.restricted:
        return None
    en = "The processing of this person's data is restricted, so that nothing but storage is allowed"
    return ask.no(Restricted, en, "该个人信息的处理已被限制，除存储外不得作其他处理", RESTRICTION_LAW)


def _anonymised_only(ask: Question) -> Answer:
    if not ask.purpose.only_anonymised:
        return None
    en = "The purpose receives anonymised releases only, never a record"
    return ask.no(AnonymisedOnly, en, "该目的只能接收匿名化数据，不能读取个人记录", ANONYMISED_LAW)


def _not_granted_analysis(ask: Question) -> Answer:
    if ask.plan is None:
        return None
    return not_granted_analysis(ask.work.actor, ask.purpose.name, ask.plan.record_type.name)


def not_only_anonymised(purpose: Purpose) -> NotInPurpose | None:
    """The refusal to read into a release what the purpose does not declare to leave in releases only."""
    if purpose.only_anonymised:
        return None
    return NotInPurpose(
        f"The purpose {purpose.name} is not declared `only: anonymised`, so nothing is read for releases under it",
        zh=f"目的“{purpose.name}”未声明 only: anonymised，不能据以读取数据用于匿名化发布",
        law=ANONYMISED_LAW,
    )


def _not_only_anonymised(ask: Question) -> Answer:
    return not_only_anonymised(ask.purpose)


def _not_permitted(ask: Question) -> Answer:
    if permits(ask.purpose.basis, ask.facts.jurisdiction):
        return None
    en = "Legitimate interest is no lawful basis where the person is"
    return ask.no(NoLawfulBasis, en, "该个人所在地的法律不承认“合法利益”这一基础", BASIS_LAW)


def _not_in_force(ask: Question) -> Answer:
    if ask.purpose.basis is Basis.CONSENT:
        return None
    facts, now = ask.facts, ask.instant
    begins = [ask.conditions.begins, facts.basis_from if facts.has_basis else None]
    ends = [ask.conditions.ends, facts.basis_until if facts.has_basis else None]
    latest, earliest = _known(begins, max), _known(ends, min)
    if earliest is not None and earliest <= now:
        when = moment(earliest).date()
        en, zh = f"The {_BASES[ask.purpose.basis].en} ended on {when}", f"{_BASES[ask.purpose.basis].zh}已于{when}终止"
    elif latest is not None and latest > now:
        when = moment(latest).date()
        en, zh = f"The {_BASES[ask.purpose.basis].en} begins on {when}", f"{_BASES[ask.purpose.basis].zh}自{when}起生效"
    else:
        return None
    return ask.no(
        BasisNotInForce, f"{en}, and the purpose has no other basis", f"{zh}，该目的没有其他合法性基础", PERIOD_LAW
    )


def _objected(ask: Question) -> Answer:
    if not ask.facts.objected:
        return None
    en = f"The person has objected to the purpose {ask.title.en}"
    return ask.no(Objected, en, f"该个人已拒绝“{ask.title.zh}”这一目的的处理", OBJECTION_LAW)


def _guardian_missing(ask: Question) -> Answer:
    if ask.purpose.basis is not Basis.CONSENT or ask.facts.flags & BY_GUARDIAN or not ask.is_child:
        return None
    years = ages.limit_of(ask.facts.jurisdiction, ask.work.declared.controller.jurisdiction).years
    return ask.no(
        GuardianConsentMissing,
        f"The person is under {years}, and the consent of a parent or other guardian to {ask.title.en} is missing",
        f"该个人未满{years}周岁，缺少其父母或者其他监护人对“{ask.title.zh}”的同意",
        GUARDIAN_LAW,
    )


def _not_consented(ask: Question) -> Answer:
    facts = ask.facts
    if ask.purpose.basis is not Basis.CONSENT or facts.consent in IN_FORCE:
        return None
    said = _STATES.get(facts.consent or "", _STATES[""])
    law = WITHDRAWAL_LAW if facts.consent == "withdrawn" else CONSENT_LAW
    en, zh = said.en.format(ask.title.en), said.zh.format(ask.title.zh)
    return ask.no(ConsentMissing, en, zh, law, state=facts.consent or "unknown")


def _expired(ask: Question) -> Answer:
    expires = ask.facts.consent_expires
    if ask.purpose.basis is not Basis.CONSENT or expires is None or expires > ask.instant:
        return None
    when = moment(expires).date()
    en, zh = f"The consent to {ask.title.en} expired on {when}", f"对“{ask.title.zh}”的同意已于{when}过期"
    return ask.no(ConsentExpired, en, zh, CONSENT_LAW)


def _come_of_age(ask: Question) -> Answer:
    if ask.purpose.basis is not Basis.CONSENT or not ask.facts.flags & BY_GUARDIAN or ask.is_child:
        return None
    en = f"The person is no longer a child, and must now consent to {ask.title.en} without a guardian"
    return ask.no(ConsentStale, en, f"该个人已不再是儿童，须由本人对“{ask.title.zh}”重新作出同意", GUARDIAN_LAW)


def _notice_stale(ask: Question) -> Answer:
    if ask.purpose.basis is not Basis.CONSENT:
        return None
    if ask.work.declared.covered(ask.purpose.name, ask.facts.notice) is not None:
        return None
    en = f"What the notice said of {ask.title.en} has materially changed since the consent, which must be asked again"
    return ask.no(ConsentStale, en, f"同意之后，“{ask.title.zh}”的告知内容已有实质变更，须重新取得同意", CHANGE_LAW)


def _not_separate(ask: Question) -> Answer:
    if ask.purpose.basis is not Basis.CONSENT or ask.facts.flags & SEPARATE:
        return None
    missing = list(_missing(ask))
    if not missing:
        return None
    law = tuple(dict.fromkeys(article for need in missing for article in need.law))
    for_what = [_NEEDS[need.name] for need in missing]
    en = (
        f"The consent to {ask.title.en} is not separate, as it must be for {' and '.join(what.en for what in for_what)}"
    )
    zh = f"对“{ask.title.zh}”的同意不是单独同意，而{'、'.join(what.zh for what in for_what)}须取得单独同意"
    return ask.no(SeparateConsentMissing, en, zh, law, needed=[need.name for need in missing])


def _ended(ask: Question) -> Answer:
    if ask.stored_at is None or not ended(ask.purpose, ask.stored_at, ask.instant, ask.facts.kept_from):
        return None
    en, zh = (
        f"The retention period of {ask.title.en} has passed for the record",
        f"“{ask.title.zh}”对此记录的保存期限已过",
    )
    least = ask.purpose.statutory
    if least is not None:
        en += f", and so has the {least.keep} that {joined(least.law, 'en')} demands"
        zh += f"，{joined(least.law, 'zh')}要求的最短期限（{least.keep}）也已届满"
    return ask.no(PurposeEnded, en, zh, STORAGE_LAW)


RULES: tuple[Rule, ...] = (
    _not_granted,
    _erased,
    _restricted,
    _anonymised_only,
    _not_permitted,
    _not_in_force,
    _objected,
    _guardian_missing,
    _not_consented,
    _expired,
    _come_of_age,
    _notice_stale,
    _not_separate,
    _ended,
)
# Who keeps a record discloses nothing yet, and its period only begins.
ONLY_DISCLOSING: Final = frozenset({_anonymised_only, _ended})
# What is read into a release or a statistic and never leaves as a record: who may, and for which purposes, is the
# other way round; all that the subject has decided binds as it binds a read.
_OTHERWISE: Final[Mapping[Rule, Rule]] = {_not_granted: _not_granted_analysis, _anonymised_only: _not_only_anonymised}
FOR_RELEASES: Final[tuple[Rule, ...]] = tuple(_OTHERWISE.get(rule, rule) for rule in RULES)


def _uncovered(ask: Question) -> frozenset[str]:
    """The categories among those planned that the consent leaves out (PIPL 14)."""
    if ask.plan is None or ask.purpose.basis is not Basis.CONSENT:
        return frozenset()
    covered = ask.work.declared.covered(ask.purpose.name, ask.facts.notice) or frozenset()
    if ask.facts.categories is not None:
        covered &= _categories(ask.facts.categories)
    return ask.plan.categories - covered


# Each names categories whose fields are withheld, and the reason.
FIELD_RULES: tuple[tuple[Callable[[Question], frozenset[str]], Reason], ...] = (
    (_uncovered, Reason("category-not-consented", CHANGE_LAW)),
)


def ended(purpose: Purpose, stored_at: int, instant: int, kept_from: int | None = None) -> bool:
    """Whether the purpose's own period has passed for a record stored then. `kept_from` as `ends_at` takes it."""
    if instant - stored_at < least_micros(purpose):
        return False
    return ends_at(purpose, stored_at, kept_from) <= instant


def must_stay(kept: Kept, title: Text) -> StatutoryPeriod:
    """The refusal to let go what a law demands to be kept, naming the law and the last day; `title`: the purpose's."""
    until = kept.until.date()
    return StatutoryPeriod(
        f"{joined(kept.law, 'en')} demands that what {title.en} holds be kept until {until} "
        f"({joined(STATUTORY_LAW, 'en')}).",
        zh=f"依照{joined(kept.law, 'zh')}，“{title.zh}”所存信息须保存至{until}，期满之前不得删除"
        f"（{joined(STATUTORY_LAW[:1], 'zh')}）。",
        law=(*kept.law, *STATUTORY_LAW),
        until=kept.until.isoformat(),
    )


# --- what the rules need


def _age(work: Work, subject_id: UUID, sealed: bytes) -> int:
    born = profile.born(work, subject_id, sealed)
    return -1 if born is None else ages.age_on(born, work.now.date())


def _missing(ask: Question) -> Iterator[Need]:
    """What the consent would have to be separate for, and is not."""
    chinese = ask.is_chinese
    age = ask.age
    under_14 = age is not None and age < CHILD_YEARS
    needs = (*ask.needs, SENSITIVE) if under_14 and SENSITIVE not in ask.needs else ask.needs
    for need in needs:
        if need.only_chinese and not chinese:
            continue
        if need is SENSITIVE and not chinese and ask.facts.flags & EXPLICIT:
            continue  # GDPR 9(2)(a) asks for explicit consent; PIPL 29 for separate
        yield need


def covers_sensitive(ask: Question) -> bool:
    """Whether what is sensitive may be processed on the basis there is: a consent must be for that (PIPL 29).

    Elsewhere it must be explicit (GDPR 9(2)(a)). Other bases are as they are declared.
    """
    if ask.purpose.basis is not Basis.CONSENT:
        return True
    return bool(ask.facts.flags & (SEPARATE if ask.is_chinese else SEPARATE | EXPLICIT))


def _in_english(texts: Iterable[Text]) -> str:
    return " and ".join(text.en for text in texts)


def _in_chinese(texts: Iterable[Text]) -> str:
    return "、".join(text.zh for text in texts)


def _known(instants: list[int | None], choose: Callable[[list[int]], int]) -> int | None:
    known = [instant for instant in instants if instant is not None]
    return choose(known) if known else None


@lru_cache(maxsize=1024)
def _categories(text: str) -> frozenset[str]:
    return frozenset(msgspec.json.decode(text, type=list[str]))


@lru_cache(maxsize=1024)
def _applicable(law: tuple[str, ...], chinese: bool) -> tuple[str, ...]:
    """The articles of the law that applies; all of them when none of those named does."""
    ours = tuple(article for article in law if article.startswith("GDPR") is not chinese)
    return ours or law


def _sentence(what: str, law: tuple[str, ...], language: str) -> str:
    cited = joined(law, language)
    return f"{what}（{cited}）。" if language == "zh" else f"{what} ({cited})."


def why_withheld(ask: Question, reason: Reason) -> Text:
    said = _WITHHELD.get(reason.code)
    if said is None:
        return Text(reason.code, reason.code)
    cited = _applicable(reason.law, ask.is_chinese)
    return Text(
        _sentence(said.zh.format(ask.title.zh), cited, "zh"), _sentence(said.en.format(ask.title.en), cited, "en")
    )


_WITHHELD: Final = {
    "not-in-purpose": Text("“{}”这一目的未声明使用此字段", "The purpose {} has no declared use for this field"),
    "not-scanned": Text(
        "此内容尚未扫描，不能脱敏提供给“{}”", "The text has not been looked through, so {} cannot be given it redacted"
    ),
    "category-not-consented": Text(
        "对“{}”的同意未涵盖此类个人信息", "The consent to {} does not cover this category of data"
    ),
}
_BASES: Final = {
    Basis.CONSENT: Text("同意", "consent"),
    Basis.CONTRACT: Text("合同", "contract"),
    Basis.LEGAL_OBLIGATION: Text("法定义务", "legal obligation"),
    Basis.VITAL_INTEREST: Text("紧急情况", "emergency"),
    Basis.PUBLIC_TASK: Text("公共职责", "public task"),
    Basis.LEGITIMATE_INTEREST: Text("合法利益", "legitimate interest"),
}
_STATES: Final = {
    "": Text("缺少该个人对“{}”的同意", "The person's consent to {} is missing"),
    "requested": Text("已就“{}”征求同意，该个人尚未答复", "Consent to {} was asked for and has not been given"),
    "deferred": Text("该个人对“{}”暂未作出决定", "The person has put off the decision about {}"),
    "refused": Text("该个人拒绝同意“{}”", "The person has refused consent to {}"),
    "withdrawn": Text("该个人已撤回对“{}”的同意", "The person has withdrawn the consent to {}"),
    "revoked": Text("对“{}”的同意已被处理者撤销", "The controller has revoked the consent to {}"),
    "invalidated": Text("对“{}”的同意已被依法认定无效", "The consent to {} was declared invalid"),
}
_NEEDS: Final = {
    DECLARED.name: Text("该目的", "this purpose"),
    SENSITIVE.name: Text("处理敏感个人信息", "sensitive data"),
    "provision": Text("向其他个人信息处理者提供", "provision to another controller"),
    "publication": Text("公开个人信息", "publication"),
    "public-images": Text("将公共场所采集的图像用于其他目的", "images taken in public places"),
    "export": Text("向境外提供", "provision abroad"),
}
