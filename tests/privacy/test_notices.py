"""Notices: complete in each language, never changed, and honest about what they change."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select

from privacy import declaration, ids, manifest, notice_words, notices
from privacy.declaration import Declared
from privacy.errors import Conflict, Forbidden, Invalid, NotFound, NoticeInvalid
from privacy.manifest import AtEnd, Basis, Manifest, Method, OptOut, RecipientKind
from privacy.notices import Draft, Notice, Proposal
from privacy.periods import Period
from privacy.settings import Settings
from privacy.steward import Steward
from privacy.tables import audit_events, consents
from privacy.work import TERMINAL, Actor, Role
from tests.databases import Migrate
from tests.world import WITHOUT_RECIPIENTS, Clock, migrate_data, migrate_keys

OPERATIONS: Final = Path(__file__).resolve().parents[2] / "examples" / "operations"
RECIPIENTS: Final = """\
recipients:
  sms:
    title: {zh: 示例短信服务商, en: Example SMS gateway}
    kind: processor
    contact: dpo@sms.example
    jurisdiction: SG
    purposes: [marketing]
"""
LONGER: Final = WITHOUT_RECIPIENTS.replace("[phone, email]}\n    keep: P1Y", "[phone, email]}\n    keep: P2Y")
FEWER: Final = WITHOUT_RECIPIENTS.replace("[phone, email]", "[phone]")
RENAMED: Final = WITHOUT_RECIPIENTS.replace("en: Marketing}", "en: Offers}")
NOTICE: Final = """\
version: "2026-01"
introduction: {zh: 说明, en: What this is}
rights: {zh: 请联系我们, en: Write to us}
complaints: {zh: 可以投诉, en: You may complain}
necessity:
  membership: {zh: 需要核对身份, en: Who you are must be checked}
  customer-service: {zh: 需要核对身份, en: Who you are must be checked}
"""


def _declared(text: str = WITHOUT_RECIPIENTS) -> Manifest:
    return manifest.parse(text, "world.yaml")


def _example() -> tuple[Draft, Manifest]:
    declared = manifest.parse((OPERATIONS / "manifest.yaml").read_text(encoding="utf-8"), "manifest.yaml")
    return notices.parse((OPERATIONS / "notice.yaml").read_text(encoding="utf-8"), "notice.yaml"), declared


def _faults(text: str, declared: Manifest | None = None) -> list[tuple[int, str]]:
    with pytest.raises(NoticeInvalid) as caught:
        notices.render(notices.parse(text, "notice.yaml"), declared or _declared())
    problems: Any = caught.value.context["problems"]
    assert all(problem.file == "notice.yaml" and problem.expected for problem in problems)
    return [(problem.line, problem.code) for problem in problems]


# --- what people write ---


def test_a_notice_is_read_with_its_words_and_purposes() -> None:
    draft = notices.parse(NOTICE + "purposes: [membership]\n", "notice.yaml")
    assert draft.version == "2026-01"
    assert draft.rights == {"zh": "请联系我们", "en": "Write to us"}
    assert draft.purposes == ("membership",)
    assert set(notices.render(draft, _declared()).edition("en").purposes) == {"membership"}


@pytest.mark.parametrize(
    ("found", "instead", "fault"),
    [
        ('version: "2026-01"', 'version: "-2026"', (1, "bad-version")),
        ("introduction: {zh: 说明, en: What this is}", "introduction: {zh: 说明}", (2, "missing-language")),
        ("introduction: {zh: 说明, en: What this is}", "introduction: 说明", (2, "wrong-kind")),
        ("en: Write to us", "fr: Write to us", (3, "unknown-key")),
        ("complaints", "complaint", (1, "missing-key")),
        ("  membership: {", "  profiling: {", (6, "unknown-purpose")),
        ("  membership: {zh: 需要核对身份, en: Who you are must be checked}\n", "", (5, "necessity-missing")),
        ("necessity:", "purposes: [marketting]\nnecessity:", (5, "unknown-purpose")),
        ("necessity:", "purposes: []\nnecessity:", (5, "empty")),
        ("introduction:", "introduction: {zh: 一, en: One}\nintroduction:", (3, "duplicate-key")),
    ],
)
def test_a_fault_is_told_with_its_place(found: str, instead: str, fault: tuple[int, str]) -> None:
    assert found in NOTICE
    assert fault in _faults(NOTICE.replace(found, instead, 1))


def test_all_faults_are_told_at_once() -> None:
    broken = NOTICE.replace(", en: Write to us", "").replace("membership:", "profiling:")
    assert _faults(broken) == [(3, "missing-language"), (5, "necessity-missing"), (6, "unknown-purpose")]


def test_only_the_languages_of_the_controller_are_asked_for_and_given() -> None:
    declared = _declared(WITHOUT_RECIPIENTS.replace("languages: [zh, en]", "languages: [en]"))
    draft = notices.parse(re.sub(r"zh: [^,]*, ", "", NOTICE), "notice.yaml")
    content = notices.render(draft, declared)
    assert content.languages == ("en",)
    with pytest.raises(NotFound):
        content.edition("zh")
    with pytest.raises(NoticeInvalid):
        notices.render(draft, _declared())


def test_a_draft_made_for_a_manifest_is_a_notice_of_it() -> None:
    for declared in (_declared(), _example()[1]):
        draft = notices.draft(declared, "2026-01")
        assert notices.check(draft, declared) == ()
        assert notices.parse(draft.source, "notice.yaml") == draft


def test_a_label_of_another_form_makes_no_draft() -> None:
    with pytest.raises(NoticeInvalid):
        notices.draft(_declared(), "January 2026")


_text = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\n"), min_size=1).map(str.strip).filter(bool)
_words = st.fixed_dictionaries({"zh": _text, "en": _text}).map(MappingProxyType)
_names = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)


@given(
    st.builds(
        Draft,
        version=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,10}", fullmatch=True),
        introduction=_words,
        rights=_words,
        complaints=_words,
        necessity=st.dictionaries(_names, _words, max_size=2),
        purposes=st.none() | st.lists(_names, unique=True, min_size=1, max_size=3).map(tuple),
        source=st.just(""),
        file=st.just("notice"),
        places=st.just({}),
    )
)
def test_what_is_dumped_is_read_back_as_it_was(draft: Draft) -> None:
    assert notices.parse(notices.dump(draft), "notice.yaml") == draft


# --- what is generated ---


def test_the_text_of_a_purpose_is_the_one_that_is_written_down_here() -> None:
    """The exact text that consent is evidence of: to change it is to change what every digest stands for."""
    content = notices.render(notices.parse(NOTICE, "notice.yaml"), _declared(WITHOUT_RECIPIENTS + RECIPIENTS))
    assert content.edition("zh-CN").purposes["marketing"].text == (
        "# 营销\n\n"
        "- **处理依据**：取得您的同意（《个人信息保护法》第十三条第一款第一项、"
        "《通用数据保护条例》第6条第1款(a)项）。\n"
        "- **处理方式**：收集、存储、使用。\n"
        "- **个人信息种类**：会员：phone、email。\n"
        "- **保存期限**：自存入之日起最长1年。期限届满，我们不再为此目的使用，并予以删除；"
        "为其他目的仍须保存的，只用于其他目的，直至其期限届满。\n"
        "- **接收方**：示例短信服务商（受托人；新加坡；联系方式：dpo@sms.example；"
        "在境外，您可以通过上述联系方式直接向其行使权利）。\n"
        "- **您的选择**：此目的须经您同意。您可以不同意；不同意或者撤回同意，不影响您使用不需要这些信息的服务。"
        "同意自作出之日起1年内有效。儿童由其父母或者其他监护人同意。您可以随时撤回同意，与作出同意一样方便："
        "在作出同意之处操作，或者联系privacy@example.cn。撤回不影响撤回前已进行的处理的效力。\n\n"
        "## 个人信息处理者\n\n- **名称**：示例运营有限公司\n- **联系方式**：privacy@example.cn\n\n"
        "## 您如何行使权利\n\n请联系我们\n\n## 投诉与救济\n\n可以投诉\n"
    )
    assert content.edition("en").purposes["marketing"].text == (
        "# Marketing\n\n"
        "- **Lawful basis**: your consent (Article 13, paragraph 1, item 1 of the Personal Information Protection Law "
        "(PIPL); GDPR Article 6(1)(a)).\n"
        "- **What we do**: collect, store, use.\n"
        "- **Personal data**: Member: phone, email.\n"
        "- **How long**: At most 1 year from the day the data are stored. Then we no longer use them for this purpose, "
        "and erase them; what another purpose still needs is kept for that one only, until its own period ends.\n"
        "- **Recipients**: Example SMS gateway (processor; Singapore; contact: dpo@sms.example; in another country; "
        "you may exercise your rights there directly, through this contact).\n"
        "- **Your choice**: We need your consent for this. You may say no; saying no, or withdrawing later, does not "
        "keep you from services that do not need these data. Consent lasts 1 year from the day it is given. For a "
        "child, a parent or guardian consents. You may withdraw at any time, as easily as you consent: in the same "
        "place, or by writing to privacy@example.cn. Withdrawing does not undo what was lawful before.\n\n"
        "## Controller\n\n- **Name**: Example Operations Ltd\n- **Contact**: privacy@example.cn\n\n"
        "## How you exercise your rights\n\nWrite to us\n\n## Complaints\n\nYou may complain\n"
    )


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_purpose_tells_what_the_law_asks_to_be_told(language: str) -> None:
    draft, declared = _example()
    edition = notices.render(draft, declared).edition(language)
    words = notice_words.LANGUAGES[language]
    assert set(edition.purposes) == set(declared.purposes)
    for name, purpose in declared.purposes.items():
        text = edition.purposes[name].text
        told = [purpose.title.in_language(language) if purpose.title else name, words.basis[purpose.basis]]
        told += [words.method[method] for method in purpose.method]
        told += [notice_words.duration(purpose.keep, words), words.at_end[purpose.at_end]]
        for kind, used in purpose.uses.items():
            fields = [declared.records[kind].fields[field] for field in used]
            told += [field.title.in_language(language) for field in fields if field.title is not None]
        for recipient in declared.recipients.values():
            if name in recipient.purposes and recipient.title is not None:
                told += [recipient.title.in_language(language), recipient.contact, words.kind[recipient.kind]]
        told += [declared.controller.title.in_language(language), declared.controller.contact]
        assert [fact for fact in told if fact not in text] == []
        # The same facts stand in the whole notice, under the purpose's own heading.
        assert text.split("\n\n## ")[0].removeprefix("# ") in edition.text


def test_sensitive_data_are_marked_and_their_necessity_told() -> None:
    draft, declared = _example()
    content = notices.render(draft, declared)
    verification = content.edition("zh").purposes["identity-verification"].text
    assert "身份证号（**敏感个人信息**）" in verification
    assert "只有核对姓名与身份证号才能确认是您本人" in verification
    assert "单独同意" in verification
    assert "敏感" not in content.edition("zh").purposes["marketing"].text


def test_a_folded_chinese_text_has_no_spaces_where_it_was_folded() -> None:
    folded = NOTICE.replace(
        "{zh: 请联系我们, en: Write to us}", "{zh: '请联系，\n    我们 ABC', en: 'Write\n    to us'}"
    )
    content = notices.render(notices.parse(folded, "notice.yaml"), _declared())
    assert "\n请联系，我们 ABC\n" in content.edition("zh").text
    assert "\nWrite to us\n" in content.edition("en").text


def test_no_text_holds_a_word_of_the_other_language() -> None:
    draft, declared = _example()
    content = notices.render(draft, declared)
    chinese = re.compile("[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]")
    contacts = {declared.controller.contact, *(recipient.contact for recipient in declared.recipients.values())}
    for edition, other in ((content.edition("en"), chinese), (content.edition("zh"), re.compile("[A-Za-z]{2}"))):
        for text in (edition.text, *(wording.text for wording in edition.purposes.values())):
            assert other.findall(re.sub("|".join(map(re.escape, contacts)), "", text)) == []


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("kinds", [Basis, Method, AtEnd, OptOut, RecipientKind])
def test_everything_that_can_be_declared_has_its_words(language: str, kinds: Any) -> None:
    words = notice_words.LANGUAGES[language]
    tables: dict[Any, list[Mapping[Any, Any]]] = {
        Basis: [words.basis, words.choice],
        Method: [words.method],
        AtEnd: [words.at_end],
        OptOut: [words.opt_out],
        RecipientKind: [words.kind, words.given],
    }
    for found in tables[kinds]:
        assert set(found) == set(kinds)


def test_what_is_rarer_is_told_too() -> None:
    declared = _declared()
    rare = replace(
        declared.purposes["marketing"],
        consent_separate=True,
        method=(Method.COLLECT, Method.DECIDE),
        at_end=AtEnd.ANONYMISE,
        opt_out=OptOut.SALE,
        keep=Period(years=1, months=6),
    )
    changed = replace(declared, purposes={**declared.purposes, "marketing": rare})
    content = notices.render(notices.parse(NOTICE, "notice.yaml"), changed)
    zh, en = (content.edition(language).purposes["marketing"].text for language in ("zh", "en"))
    for fact in ("单独同意", "自动化决策", "匿名化", "出售个人信息", "全球隐私控制", "1年6个月", "第二十四条"):
        assert fact in zh
    for fact in ("separate consent", "Automated decisions", "anonymise", "sale of personal data", "1 year 6 months"):
        assert fact in en


@pytest.mark.parametrize(
    ("jurisdiction", "zh", "en"),
    [("CN", "中国", "China"), ("EU", "欧洲联盟", "European Union"), ("XX", "XX", "XX"),
     ("US-CA", "美国（US-CA）", "United States (US-CA)")],
)  # fmt: skip
def test_a_country_is_named_in_words(jurisdiction: str, zh: str, en: str) -> None:
    assert notice_words.country(jurisdiction, notice_words.ZH) == zh
    assert notice_words.country(jurisdiction, notice_words.EN) == en


def test_a_name_cannot_change_the_shape_of_the_text() -> None:
    text = WITHOUT_RECIPIENTS.replace("en: Member}", 'en: "Member | *all* <b> [x](y)"}')
    edition = notices.render(notices.parse(NOTICE, "notice.yaml"), _declared(text)).edition("en")
    assert "| Member \\| \\*all\\* \\<b\\> \\[x\\](y): name" in edition.text.replace("| Membership ", "", 1)
    assert edition.collected[0].record == "Member | *all* <b> [x](y)"


def test_the_lists_name_all_that_is_collected_and_shared() -> None:
    draft, declared = _example()
    edition = notices.render(draft, declared).edition("zh")
    assert {(row.purpose, len(row.fields)) for row in edition.collected} == {
        (name, len(used)) for name, purpose in declared.purposes.items() for used in purpose.uses.values()
    }
    assert {(row.recipient, row.purpose) for row in edition.shared} == {
        (recipient.name, purpose) for recipient in declared.recipients.values() for purpose in recipient.purposes
    }
    verification = next(row for row in edition.shared if row.recipient == "identity-check")
    assert verification.fields == ("姓名", "身份证号")
    assert verification.sensitive == ("身份证号",)
    assert (verification.kind, verification.country) == ("其他个人信息处理者", "中国")
    assert "| 示例实名核验服务 | 其他个人信息处理者 | 中国 |" in edition.text


def test_a_digest_is_of_the_text_and_of_its_every_letter() -> None:
    content = notices.render(*_example())
    for edition in content.editions.values():
        texts = [(edition.text, edition.digest), *((one.text, one.digest) for one in edition.purposes.values())]
        assert [digest for _, digest in texts] == [hashlib.sha256(text.encode()).hexdigest() for text, _ in texts]


def test_content_comes_back_from_json_as_it_was() -> None:
    content = notices.render(*_example())
    assert notices.Content.from_json(content.to_json()) == content


# --- what is published ---


@dataclass
class Office:
    """A service with a manifest in force and no notice, on a database of either kind."""

    service: Steward
    clock: Clock

    def apply(self, text: str) -> Manifest:
        declared = _declared(text)
        with self.service.begin() as work:
            declaration.apply(work, declared)
        return declared

    def follow(self, text: str) -> Notice | None:
        declared = _declared(text)
        with self.service.begin() as work:
            version = declaration.apply(work, declared).version
            return notices.follow(work, declared, version)

    def publish(self, text: str = NOTICE, actor: Actor = TERMINAL, **options: Any) -> Notice:
        with self.service.begin(actor) as work:
            return notices.publish(work, notices.parse(text, "notice.yaml"), **options)

    def propose(self, text: str = NOTICE, **options: Any) -> Proposal:
        with self.service.begin() as work:
            return notices.propose(work, notices.parse(text, "notice.yaml"), **options)

    def declared(self) -> Declared:
        self.service.reload()
        assert self.service.declared is not None
        return self.service.declared

    def consent(self, notice: int | None, *, state: str = "given", purpose: str = "marketing", days: int = 1) -> None:
        """A consent as it would stand, past the rules of giving one."""
        with self.service.begin() as work:
            work.execute(
                insert(consents).values(
                    subject_id=ids.new(), purpose=purpose, recipient="", consent_id=ids.new(), state=state,
                    changed_at=work.instant, expires_at=work.instant + days * 86_400_000_000, notice=notice, flags=0,
                )
            )  # fmt: skip
            work.audit("consent.given", purpose=purpose)

    def events(self, action: str) -> list[Any]:
        with self.service.begin() as work:
            return list(work.execute(select(audit_events.c.detail).where(audit_events.c.action == action)).scalars())


@pytest.fixture
def office(data_template: Callable[[Migrate], str], tmp_path: Path) -> Iterator[Office]:
    clock = Clock()
    settings = Settings(
        home=tmp_path / "home", database_url=data_template(migrate_data), keystore_url=data_template(migrate_keys)
    )
    made = Office(Steward.create(settings, clock), clock)
    made.apply(WITHOUT_RECIPIENTS)
    yield made
    made.service.close()


def _second(text: str = NOTICE) -> str:
    return text.replace("2026-01", "2026-02")


def _planned(proposal: Proposal, purpose: str = "marketing") -> tuple[str, int]:
    found = next(planned for planned in proposal.purposes if planned.purpose == purpose)
    return found.status, found.stale


def test_a_published_notice_is_read_back_as_it_was_published(office: Office) -> None:
    published = office.publish()
    assert (published.number, published.version, published.manifest_version) == (1, "2026-01", 1)
    assert (published.generated, published.published_by) == (False, "terminal")
    assert published.source == NOTICE
    with office.service.begin() as work:
        assert notices.get(work, "2026-01") == published
        assert notices.newest(work) == published
        assert [notice.version for notice in notices.listed(work)] == ["2026-01"]
        with pytest.raises(NotFound):
            notices.get(work, "2026-02")
    assert published.content == notices.render(notices.parse(NOTICE, "notice.yaml"), _declared())


def test_another_replica_knows_the_notice_at_its_next_request(office: Office) -> None:
    replica = Steward.open(office.service.settings)
    try:
        office.publish()
        office.publish(_second(), material=["marketing"])
        with replica.begin() as work:
            assert [notice.version for notice in work.declared.published] == ["2026-01", "2026-02"]
            assert work.declared.published[1].material == ("marketing",)
    finally:
        replica.close()


def test_publishing_is_in_the_audit_log_with_digests(office: Office) -> None:
    published = office.publish()
    (detail,) = office.events("notice.published")
    assert detail["digests"] == {name: edition.digest for name, edition in published.content.editions.items()}
    assert detail["purposes"]["marketing"] == "first"
    assert (detail["version"], detail["manifest"], detail["generated"]) == ("2026-01", 1, False)


def test_publishing_the_same_again_changes_nothing(office: Office) -> None:
    first = office.publish()
    assert office.publish("# another comment\n" + NOTICE) == first
    with office.service.begin() as work:
        assert len(notices.listed(work)) == 1
    assert len(office.events("notice.published")) == 1


@pytest.mark.parametrize("options", [{}, {"material": ["marketing"]}])
def test_a_published_label_never_says_something_else(office: Office, options: dict[str, Any]) -> None:
    office.publish()
    other = NOTICE if options else NOTICE.replace("Write to us", "Write soon")
    with pytest.raises(Conflict):
        office.publish(other, **options)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
def test_only_an_administrator_publishes(office: Office, role: Role) -> None:
    with pytest.raises(Forbidden):
        office.publish(actor=Actor("somebody", role))
    with office.service.begin() as work:
        assert notices.newest(work) is None


def test_a_notice_is_of_the_manifest_in_force_and_of_no_other(office: Office) -> None:
    with pytest.raises(Conflict):
        office.publish(manifest=_declared(LONGER))
    office.apply(LONGER)
    assert office.publish(manifest=_declared(LONGER)).manifest_version == 2


def test_what_nobody_was_told_before_is_first(office: Office) -> None:
    proposal = office.propose()
    assert (proposal.number, proposal.before, proposal.manifest_version) == (1, None, 1)
    assert {planned.status for planned in proposal.purposes} == {"first"}


@pytest.mark.parametrize(
    ("text", "words", "status", "broader"),
    [
        (WITHOUT_RECIPIENTS, NOTICE, "unchanged", []),
        (WITHOUT_RECIPIENTS, NOTICE.replace("Write to us", "Please write to us"), "wording", []),
        (RENAMED, NOTICE, "wording", []),
        (FEWER, NOTICE, "wording", [False]),
        (LONGER, NOTICE, "material", [True]),
        (WITHOUT_RECIPIENTS + RECIPIENTS, NOTICE, "material", [True]),
        (WITHOUT_RECIPIENTS.replace("dpv:Marketing", "dpv:Advertising"), NOTICE, "material", [True]),
        (WITHOUT_RECIPIENTS.replace("[phone, email]", "[phone, email, joined_at]"), NOTICE, "material", [True]),
    ],
)
def test_a_change_is_material_when_more_is_done_and_wording_otherwise(
    office: Office, text: str, words: str, status: str, broader: list[bool]
) -> None:
    office.publish()
    proposal = office.propose(_second(words), manifest=_declared(text))
    planned = next(one for one in proposal.purposes if one.purpose == "marketing")
    assert planned.status == status
    assert [change.is_broader for change in planned.changes] == broader


def test_a_purpose_is_compared_with_the_newest_notice_that_covers_it(office: Office) -> None:
    office.publish()
    office.publish(_second() + "purposes: [membership]\n")
    assert _planned(office.propose(NOTICE.replace("2026-01", "2026-03"))) == ("unchanged", 0)
    office.apply(LONGER)
    assert _planned(office.propose(NOTICE.replace("2026-01", "2026-03"))) == ("material", 0)


def test_consents_that_become_stale_are_counted_and_no_others(office: Office) -> None:
    office.publish()
    for state in ("given", "renewed", "withdrawn", "refused"):
        office.consent(1, state=state)
    office.consent(1, days=-1)  # expired
    office.consent(1, purpose="statistics")
    assert _planned(office.propose(_second())) == ("unchanged", 0)
    assert _planned(office.propose(_second(), material=["marketing"])) == ("material", 2)
    assert _planned(office.propose(_second(), manifest=_declared(LONGER))) == ("material", 2)
    office.consent(None)  # nobody knows what it was told
    assert _planned(office.propose(_second())) == ("unchanged", 1)


def test_a_person_may_declare_more_material_and_consents_are_stale_for_ever(office: Office) -> None:
    office.publish()
    assert office.declared().covered("marketing", 1) is not None
    office.publish(_second(), material=["marketing"])
    declared = office.declared()
    assert declared.covered("marketing", 1) is None
    assert declared.covered("marketing", 2) == frozenset({"pd:TelephoneNumber", "pd:EmailAddress"})
    office.consent(1)
    office.consent(2)
    assert _planned(office.propose(NOTICE.replace("2026-01", "2026-03"))) == ("unchanged", 1)


def test_what_is_material_by_the_terms_cannot_be_declared_wording(office: Office) -> None:
    office.publish()
    office.apply(LONGER)
    office.publish(_second(), material=[])
    assert office.declared().covered("marketing", 1) is None
    assert office.declared().covered("marketing", 2) is not None


def test_a_new_wording_leaves_consents_as_they_are(office: Office) -> None:
    office.publish()
    office.publish(_second().replace("Write to us", "Please write to us"))
    assert office.declared().covered("marketing", 1) is not None


def test_a_material_change_of_a_purpose_that_is_not_covered_is_refused(office: Office) -> None:
    for purpose in ("profiling", "tax"):
        with pytest.raises(Invalid):
            office.publish(NOTICE + "purposes: [membership]\n", material=[purpose])


def test_what_a_person_agreed_to_is_published_or_nothing(office: Office) -> None:
    office.publish()
    agreed = office.propose(_second())
    office.apply(LONGER)
    with pytest.raises(Conflict):
        office.publish(_second(), agreed=agreed)
    office.consent(1)  # counts may change while a person reads
    agreed = office.propose(_second())
    office.consent(1)
    assert office.publish(_second(), agreed=agreed).number == 2


def test_without_a_notice_of_their_own_people_get_a_generated_one_with_each_manifest(office: Office) -> None:
    first = office.follow(WITHOUT_RECIPIENTS)
    assert first is not None
    assert (first.version, first.generated, first.manifest_version) == ("1", True, 1)
    assert office.follow(WITHOUT_RECIPIENTS) is None
    assert office.follow(WITHOUT_RECIPIENTS + "# a comment\n") is None
    second = office.follow(LONGER)
    assert second is not None
    assert (second.version, second.number, second.manifest_version) == ("2", 2, 3)
    assert office.declared().covered("marketing", 1) is None


def test_a_generated_notice_follows_what_the_text_does_not_say(office: Office) -> None:
    """The category of a field is in the terms and not in the words."""
    office.follow(WITHOUT_RECIPIENTS)
    again = office.follow(
        WITHOUT_RECIPIENTS.replace(
            "email:     {level: L3, category: pd:EmailAddress", "email:     {level: L3, category: pd:Contact"
        )
    )
    assert again is not None
    assert again.version == "2"


def test_who_writes_notices_gets_none_generated(office: Office) -> None:
    office.follow(WITHOUT_RECIPIENTS)
    office.publish()
    assert office.follow(LONGER) is None
    with office.service.begin() as work:
        assert [notice.version for notice in notices.listed(work)] == ["2026-01", "1"]
