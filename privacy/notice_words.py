"""The words of a notice that the manifest's own words stand in, in Chinese and in English; data, no rules.

Nothing of the other language may slip into a text, so every value that a manifest may choose has its words
here: a new method or basis without them fails a test, and fails to type-check where it is looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from privacy.manifest import AtEnd, Basis, Method, OptOut, RecipientKind
from privacy.periods import Period


@dataclass(frozen=True, slots=True)
class Phrases:
    """One language. Templates name what they take in braces; `comma` and `semicolon` join lists."""

    comma: str
    semicolon: str
    colon: str
    stop: str
    bracketed: Callable[[str], str]
    heading: str
    version: str
    controller: str
    name: str
    contact: str
    purposes: str
    rights: str
    complaints: str
    necessity: str
    collection_list: str
    sharing_list: str
    shares_nothing: str
    collection_columns: tuple[str, ...]
    sharing_columns: tuple[str, ...]
    label_basis: str
    label_method: str
    label_data: str
    label_keep: str
    label_recipients: str
    label_choice: str
    label_automated: str
    no_recipients: str
    masked: str
    sensitive: str
    only_anonymised: str
    keep: str
    keep_from_activity: str
    keep_from_event: str
    statutory: str
    abroad: str
    automated: str
    asked: str
    asked_separately: str
    consent_lasts: str
    child: str
    withdraw: str
    opts_out: str
    at_end: Mapping[AtEnd, str]
    basis: Mapping[Basis, str]
    choice: Mapping[Basis, str]
    method: Mapping[Method, str]
    kind: Mapping[RecipientKind, str]
    given: Mapping[RecipientKind, str]
    opt_out: Mapping[OptOut, str]
    units: Mapping[str, tuple[str, str]]
    country: int


def duration(period: Period, words: Phrases) -> str:
    """A period in words: 1年6个月, 1 year 6 months."""
    parts = [
        (words.units[unit.name][number != 1]).format(number)
        for unit in fields(period)
        if (number := getattr(period, unit.name))
    ]
    return ("" if words is ZH else " ").join(parts)


def country(jurisdiction: str, words: Phrases) -> str:
    """The country's or region's name; with its code when it is a part of a country; the code when unknown."""
    names = _countries().get(jurisdiction.split("-")[0])
    if names is None:
        return jurisdiction
    name = names[words.country]
    return f"{name}{words.bracketed(jurisdiction)}" if "-" in jurisdiction else name


@lru_cache(maxsize=1)
def _countries() -> Mapping[str, tuple[str, str]]:
    text = (files("privacy.vocabulary") / "countries.txt").read_text(encoding="utf-8")
    rows = (line.split(maxsplit=2) for line in text.splitlines() if not line.startswith("#"))
    return MappingProxyType({code: (zh, en) for code, zh, en in rows})


ZH: Final = Phrases(
    comma="、",
    semicolon="；",
    colon="：",
    stop="。",
    bracketed="（{}）".format,
    heading="个人信息处理告知",
    version="版本",
    controller="个人信息处理者",
    name="名称",
    contact="联系方式",
    purposes="处理目的",
    rights="您如何行使权利",
    complaints="投诉与救济",
    necessity="为何需要敏感个人信息及其对您的影响",
    collection_list="个人信息收集清单",
    sharing_list="个人信息共享清单",
    shares_nothing="我们不向他人提供您的个人信息。",
    collection_columns=("处理目的", "个人信息种类", "处理方式", "处理依据", "保存期限"),
    sharing_columns=("接收方", "身份", "国家或地区", "联系方式", "处理目的", "提供方式", "个人信息种类"),
    label_basis="处理依据",
    label_method="处理方式",
    label_data="个人信息种类",
    label_keep="保存期限",
    label_recipients="接收方",
    label_choice="您的选择",
    label_automated="自动化决策",
    no_recipients="不向他人提供。",
    masked="脱敏",
    sensitive="敏感个人信息",
    only_anonymised="此目的只使用匿名化处理后的信息，不查看任何人的个人信息。",
    keep="自存入之日起最长{period}。",
    keep_from_activity="自最后一次活动之日起最长{period}。",
    keep_from_event="自“{event}”之日起最长{period}，且自存入之日起最长{at_most}。",
    statutory="法律要求自存入之日起至少保存{period}（{law}），期满之前不能删除。",
    abroad="在境外，您可以通过上述联系方式直接向其行使权利",
    automated="我们保证决策透明、结果公平公正。决定对您的权益有重大影响的，您有权要求我们说明，并拒绝仅通过自动化决策作出的决定"
    "（《个人信息保护法》第二十四条、《通用数据保护条例》第22条）。",
    asked="此目的须经您同意。您可以不同意；不同意或者撤回同意，不影响您使用不需要这些信息的服务。",
    asked_separately="此目的须经您单独同意，不与其他事项合并。您可以不同意；不同意或者撤回同意，不影响您使用不需要这些信息的服务。",
    consent_lasts="同意自作出之日起{period}内有效。",
    child="儿童由其父母或者其他监护人同意。",
    withdraw="您可以随时撤回同意，与作出同意一样方便：在作出同意之处操作，或者联系{contact}。撤回不影响撤回前已进行的处理的效力。",
    opts_out="此目的涉及{what}；您的浏览器发出全球隐私控制信号的，我们视为您拒绝。",
    at_end=MappingProxyType({
        AtEnd.ERASE: "期限届满，我们不再为此目的使用，并予以删除；为其他目的仍须保存的，只用于其他目的，"
        "直至其期限届满。",
        AtEnd.ANONYMISE: "期限届满，我们不再为此目的使用，并作匿名化处理，使其无法识别特定自然人且不能复原；"
        "为其他目的仍须保存的，只用于其他目的，直至其期限届满。",
    }),
    basis=MappingProxyType({
        Basis.CONSENT: "取得您的同意",
        Basis.CONTRACT: "为订立、履行您作为一方当事人的合同所必需",
        Basis.LEGAL_OBLIGATION: "为履行法定义务所必需",
        Basis.VITAL_INTEREST: "紧急情况下为保护自然人的生命健康和财产安全所必需",
        Basis.PUBLIC_TASK: "为履行法定职责或者维护公共利益所必需",
        Basis.LEGITIMATE_INTEREST: "为实现我们或者第三方的正当利益所必需，且已与您的利益权衡",
    }),
    choice=MappingProxyType({
        Basis.CONSENT: "",
        Basis.CONTRACT: "此目的不以同意为依据。不提供这些信息，我们可能无法订立或者履行合同。您可以要求我们解释，"
        "要求限制处理，或者拒绝超出必要范围的处理。",
        Basis.LEGAL_OBLIGATION: "此目的不以同意为依据，是法律对我们的要求。您可以要求我们解释，"
        "并拒绝超出法定范围的处理。",
        Basis.VITAL_INTEREST: "此目的不以同意为依据，只在紧急情况下处理；紧急情况消除后，我们及时告知您。",
        Basis.PUBLIC_TASK: "此目的不以同意为依据。您可以要求我们解释，并在法律允许的范围内拒绝处理。",
        Basis.LEGITIMATE_INTEREST: "此目的不以同意为依据。您可以随时拒绝处理；用于直接营销的，您一经拒绝，我们即停止。",
    }),
    method=MappingProxyType({
        Method.COLLECT: "收集",
        Method.STORE: "存储",
        Method.USE: "使用",
        Method.ALTER: "加工",
        Method.TRANSMIT: "传输",
        Method.PROVIDE: "提供",
        Method.PUBLISH: "公开",
        Method.DELETE: "删除",
        Method.COMBINE: "与其他来源的信息合并",
        Method.PROFILE: "用户画像",
        Method.DECIDE: "自动化决策",
        Method.PUBLIC_IMAGES: "在公共场所采集图像",
    }),
    kind=MappingProxyType({
        RecipientKind.PROCESSOR: "受托人",
        RecipientKind.JOINT_CONTROLLER: "共同处理者",
        RecipientKind.CONTROLLER: "其他个人信息处理者",
        RecipientKind.SUCCESSOR: "合并、分立等情形下的承继方",
        RecipientKind.AUTHORITY: "主管机关",
    }),
    given=MappingProxyType({
        RecipientKind.PROCESSOR: "委托处理",
        RecipientKind.JOINT_CONTROLLER: "共同处理",
        RecipientKind.CONTROLLER: "向其提供",
        RecipientKind.SUCCESSOR: "转移",
        RecipientKind.AUTHORITY: "依法提供",
    }),
    opt_out=MappingProxyType({
        OptOut.SALE: "出售个人信息",
        OptOut.SHARE: "为广告共享个人信息",
        OptOut.ADVERTISING: "跨情境行为广告",
    }),
    units=MappingProxyType({
        "years": ("{}年", "{}年"),
        "months": ("{}个月", "{}个月"),
        "weeks": ("{}周", "{}周"),
        "days": ("{}天", "{}天"),
        "hours": ("{}小时", "{}小时"),
    }),
    country=0,
)  # fmt: skip

EN: Final = Phrases(
    comma=", ",
    semicolon="; ",
    colon=": ",
    stop=".",
    bracketed=" ({})".format,
    heading="Privacy notice",
    version="Version",
    controller="Controller",
    name="Name",
    contact="Contact",
    purposes="Purposes",
    rights="How you exercise your rights",
    complaints="Complaints",
    necessity="Why sensitive data are needed, and what that means for you",
    collection_list="List of personal data collected",
    sharing_list="List of personal data shared",
    shares_nothing="We give your personal data to nobody else.",
    collection_columns=("Purpose", "Personal data", "Method", "Lawful basis", "Storage period"),
    sharing_columns=("Recipient", "Capacity", "Country or region", "Contact", "Purpose", "How", "Personal data"),
    label_basis="Lawful basis",
    label_method="What we do",
    label_data="Personal data",
    label_keep="How long",
    label_recipients="Recipients",
    label_choice="Your choice",
    label_automated="Automated decisions",
    no_recipients="Nobody else receives the data.",
    masked="masked",
    sensitive="sensitive",
    only_anonymised="The purpose uses anonymised data only and sees no person's data.",
    keep="At most {period} from the day the data are stored.",
    keep_from_activity="At most {period} from your last activity.",
    keep_from_event="At most {period} from the event “{event}”, and at most {at_most} from the day the data are "
    "stored.",
    statutory="The law asks us to keep the data for at least {period} from the day they are stored ({law}); we cannot "
    "erase them before.",
    abroad="in another country; you may exercise your rights there directly, through this contact",
    automated="We keep such decisions open to explanation and fair. Where one affects you significantly you may have "
    "it explained, and refuse a decision made by automated means alone (Article 24 of the Personal Information "
    "Protection Law (PIPL), GDPR Article 22).",
    asked="We need your consent for this. You may say no; saying no, or withdrawing later, does not keep you from "
    "services that do not need these data.",
    asked_separately="We need your separate consent for this, bundled with nothing else. You may say no; saying no, or "
    "withdrawing later, does not keep you from services that do not need these data.",
    consent_lasts="Consent lasts {period} from the day it is given.",
    child="For a child, a parent or guardian consents.",
    withdraw="You may withdraw at any time, as easily as you consent: in the same place, or by writing to {contact}. "
    "Withdrawing does not undo what was lawful before.",
    opts_out="This involves {what}; we take the Global Privacy Control signal of your browser as a no.",
    at_end=MappingProxyType({
        AtEnd.ERASE: "Then we no longer use them for this purpose, and erase them; what another purpose still needs is "
        "kept for that one only, until its own period ends.",
        AtEnd.ANONYMISE: "Then we no longer use them for this purpose, and anonymise them, so that nobody can be "
        "identified and nothing restored; what another purpose still needs is kept for that one only, until its own "
        "period ends.",
    }),
    basis=MappingProxyType({
        Basis.CONSENT: "your consent",
        Basis.CONTRACT: "necessary to conclude or perform a contract with you",
        Basis.LEGAL_OBLIGATION: "necessary to fulfil a legal obligation",
        Basis.VITAL_INTEREST: "necessary to protect life, health or property in an emergency",
        Basis.PUBLIC_TASK: "necessary for a statutory duty or a task in the public interest",
        Basis.LEGITIMATE_INTEREST: "necessary for a legitimate interest of ours or of a third party, "
        "balanced against yours",
    }),
    choice=MappingProxyType({
        Basis.CONSENT: "",
        Basis.CONTRACT: "This does not rest on consent. Without the data we may be unable to conclude or perform the "
        "contract. You may ask us to explain or to restrict it, and object to more than is necessary.",
        Basis.LEGAL_OBLIGATION: "This does not rest on consent; the law asks it of us. You may ask us to explain, and "
        "object to more than the law asks.",
        Basis.VITAL_INTEREST: "This does not rest on consent and is done in an emergency only; we tell you as soon as "
        "it is over.",
        Basis.PUBLIC_TASK: "This does not rest on consent. You may ask us to explain, and object as far as the law "
        "allows.",
        Basis.LEGITIMATE_INTEREST: "This does not rest on consent. You may object at any time; direct marketing stops "
        "as soon as you do.",
    }),
    method=MappingProxyType({
        Method.COLLECT: "collect",
        Method.STORE: "store",
        Method.USE: "use",
        Method.ALTER: "alter",
        Method.TRANSMIT: "transmit",
        Method.PROVIDE: "provide to others",
        Method.PUBLISH: "publish",
        Method.DELETE: "delete",
        Method.COMBINE: "combine with data from other sources",
        Method.PROFILE: "profile",
        Method.DECIDE: "decide automatically",
        Method.PUBLIC_IMAGES: "take pictures in public places",
    }),
    kind=MappingProxyType({
        RecipientKind.PROCESSOR: "processor",
        RecipientKind.JOINT_CONTROLLER: "joint controller",
        RecipientKind.CONTROLLER: "another controller",
        RecipientKind.SUCCESSOR: "successor in a merger or division",
        RecipientKind.AUTHORITY: "authority",
    }),
    given=MappingProxyType({
        RecipientKind.PROCESSOR: "processed on our behalf",
        RecipientKind.JOINT_CONTROLLER: "processed jointly",
        RecipientKind.CONTROLLER: "provided",
        RecipientKind.SUCCESSOR: "transferred",
        RecipientKind.AUTHORITY: "provided as the law asks",
    }),
    opt_out=MappingProxyType({
        OptOut.SALE: "the sale of personal data",
        OptOut.SHARE: "sharing personal data for advertising",
        OptOut.ADVERTISING: "cross-context behavioural advertising",
    }),
    units=MappingProxyType({
        "years": ("{} year", "{} years"),
        "months": ("{} month", "{} months"),
        "weeks": ("{} week", "{} weeks"),
        "days": ("{} day", "{} days"),
        "hours": ("{} hour", "{} hours"),
    }),
    country=1,
)  # fmt: skip

LANGUAGES: Final[Mapping[str, Phrases]] = MappingProxyType({"zh": ZH, "en": EN})
