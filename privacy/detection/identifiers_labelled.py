"""Identifiers whose form says too little, found behind (some also before) a word that names them.

E12345678 is a passport beside 护照 and a product code elsewhere. One pass finds the words; only what stands beside
one is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from privacy.detection.findings import Finding
from privacy.detection.identifiers_page import GAP, LINK, Page, places

# Digits may stand right after a Latin word for them (QQ12345678), anything after 微信ID.
_LEFT: Final = r"(?:(?<![0-9A-Za-z])|(?<![0-9])(?=[0-9])|(?<=[信号](?-i:ID)))"
_RIGHT: Final = r"(?![0-9A-Za-z])"
_LINKS: Final = LINK + r"{0,8}"
_ID_LINKS: Final = rf"(?:(?-i:ID)|{LINK}){{0,8}}"  # 微信IDabc; in lower case it would begin the handle
_MORE: Final = r"(?:[、,;/和与及\s]|以及|and|or|或){1,4}"
_SEPARATORS: Final = str.maketrans("", "", " -")


@dataclass(frozen=True, slots=True)
class _Rule:
    """`words` name the kind, in lower case; `value` is its form; `entity` may depend on it and on what leads to it."""

    keys: tuple[str, ...]  # every match of `words` holds one of them
    words: str
    between: str
    value: str
    entity: str | Callable[[str, str], str | None]
    score: float = 0.85
    precedes: bool = False  # the value may also stand before the word
    repeats: bool = True  # further values may follow


def _permit(value: str, lead: str) -> str | None:
    """Both kinds are called 通行证: the letter tells, or, for the digits of a Taiwan compatriot, the word."""
    match value[0].upper():
        case "C" | "W" | "H" | "M":
            return "CN_HK_MACAO_PERMIT"
        case "L" | "T":
            return "CN_TAIWAN_PERMIT"
        case _:
            return "CN_TAIWAN_PERMIT" if "台" in lead or "taiwan" in lead else None


def _handle(value: str, lead: str) -> str | None:
    """微信Android is no account: unless what stands before asks for one, a word of letters alone is a word."""
    asks = _ASKS.search(lead) is not None or not value.isalpha()
    return "CN_WECHAT" if asks and value.lower() not in _NO_HANDLES else None


_ASKS: Final = re.compile(r"号|[:=是为叫]|(?<![a-z])(?:id|is)(?![a-z])")
_NO_HANDLES: Final = frozenset(("android", "iphone", "wechat", "weixin", "windows", "harmonyos", "account", "number"))

_7: Final = r"(?:[ \-]?[0-9]){7}"
_8: Final = r"(?:[ \-]?[0-9]){8}"
_PASSPORT: Final = (
    rf"(?:[EGDSPHK]{_8}|(?:E[A-HJ-NP-Z]|DE|SE|PE|MA|KJ){_7}|1[45][0-9]{{7}}|[0-9]{{9}}"
    r"|(?![EG][0-9])[A-Z]{1,2}[0-9]{6,8})"
)
_PERMIT: Final = (
    rf"(?:[HM]{_8}[ \-]?[0-9]{{2}}|[CWLTHM]{_8}|[CL][A-HJ-NP-Z]{_7}|[0-9]{{4}}[ \-]?[0-9]{{4}}"
    r"|[0-9]{10}(?:\([A-Z0-9]\)|[A-Z])?)"
)
_MILITARY: Final = r"(?:(?:武警|[\u4e00-\u9fff])字 ?第?|第)? ?[0-9]{3,4}[ \-]?[0-9]{3,4}(?:[0-9]{2})?(?: ?号)?"
_LETTERED: Final = (
    r"(?:[\u4e00-\u9fff](?=[0-9]))?(?:(?=[A-Z0-9]{0,12}[0-9]{5})[A-Z0-9]{8,27}"
    r"|(?=(?:[^0-9]{0,2}[0-9]){8})[A-Z]{0,3}[0-9]{0,8}(?:[ \-][0-9]{1,8}){1,8})"
)
_HANDLE: Final = r"(?:wxid_[a-z0-9]{6,30}|[A-Z](?:[A-Z0-9_\-]){5,19})"
_QQ: Final = r"[1-9][0-9]{4,10}|[1-9][0-9]{1,3}(?:[ \-][0-9]{3,4}){1,2}"
_ALIPAY: Final = (
    r"(?:[A-Z0-9][A-Z0-9._%+\-]{0,63}@(?:[A-Z0-9\-]{1,63}\.){1,4}[A-Z]{2,24}"
    r"|2088(?:[ \-]?[0-9]{4}){3}|1[3-9][0-9](?:[0-9]{8}|[ \-][0-9]{4}[ \-][0-9]{4}))"
)
_COURIER: Final = r"[A-Z]{0,4}[ \-]?[0-9](?:[ \-]?[0-9]){8,19}(?: ?[A-Z]{2})?"

_RULES: Final = (
    _Rule(("护照", "passport"), "护照|passport", GAP, _PASSPORT, "CN_PASSPORT", precedes=True),
    _Rule(
        ("证", "permit"),
        r"(?:(?:往来|来往)?(?:港澳|台湾|大陆|内地)[^0-9a-z。;!?\n]{0,12}?)?通行证|回乡证|台胞证|大通证|"
        r"home return permit|(?:exit-entry|travel|taiwan|hong kong)[a-z ]{0,24}permit",
        GAP, _PERMIT, _permit, precedes=True,
    ),
    _Rule(
        ("证", "military id"),
        "军官(?:退休)?证|士[兵官]证|军人(?:身份证|保障卡|证)|文职(?:干部|人员)证|警官证|义务兵证|军校学员证|"
        "military id",
        GAP, _MILITARY, "CN_MILITARY_ID",
    ),
    _Rule(
        ("户", "household"),
        "户口[簿本薄]|户籍[簿号]|(?<![电水气用客账帐开])户号|household (?:register|book)",
        _LINKS, "[A-Z]{0,2}[0-9]{6,18}", "CN_HOUSEHOLD_BOOK", 0.9,
    ),
    _Rule(
        ("驾", "行驶证"),
        "驾驶(?:证|执照)|驾照|行驶证", f"(?:上的|正本|副本|档案|证芯|{LINK}){{0,8}}",
        r"[0-9](?:[ \-]?[0-9]){11,12}|[1-9](?:[ \-]?[0-9]){16}[ \-]?[0-9X]", "CN_DRIVING_LICENCE", 0.9,
    ),
    _Rule(
        ("证", "执照", "licen", "certificate"),
        r"(?:执业|资格|从业|职称|上岗|操作|作业|导游|教练|医师|护士|药师|律师|教师|会计|记者|电工|建造师|工程师)"
        r"[^0-9a-z。;!?\n]{0,6}?(?:资格证书|执业证书|证书|执照|证)|"
        r"(?:practi[cs]ing|medical|nursing|teaching|law) (?:licen[cs]e|certificate)",
        _LINKS, _LETTERED, "CN_LICENCE", 0.9,
    ),
    _Rule(
        ("信", "weixin", "wechat", "vx", "wx"),
        "微信(?:账号|帐号|号)?|[薇威]信号?|(?:wechat|weixin)(?:id(?![a-z0-9_\\-])|号)?|(?<![a-z])"
        "(?:vx|wx|v信)号?",
        _ID_LINKS, _HANDLE, _handle, 0.8,
    ),
    _Rule(
        ("qq", "扣扣", "企鹅号"),
        "(?<![a-z])qq(?![a-z群])(?:账号|帐号|号)?|扣扣号?|企鹅号", _LINKS, _QQ, "CN_QQ", 0.85,
    ),
    _Rule(
        ("支付宝", "alipay"),
        "支付宝(?:账号|帐号|账户|帐户|号)?|alipay(?: account| id)?", _LINKS, _ALIPAY, "CN_ALIPAY", 0.96,
    ),
    _Rule(
        ("号", "单", "tracking", "waybill", "courier", "consignment", "parcel"),
        "(?:快递|运|物流|顺丰|圆通|中通|申通|韵达|京东|极兔|邮政|ems|包裹|邮件|货运|寄件|速运|德邦|退货)"
        "(?:物流|快递|包裹|速运|运)?(?:单号|编号|追踪号|运单号|号)|快递单|运单|"
        "(?:tracking|waybill|courier|consignment|parcel) ?(?:number|no|id|code)?",
        _LINKS, _COURIER, "CN_COURIER_NUMBER", 0.9,
    ),
)  # fmt: skip

_WORDS: Final = [re.compile(rule.words) for rule in _RULES]
_REACH: Final = 24  # the longest word, and what it may stand in
_AFTER: Final = [re.compile(rf"(?:{rule.between})({_LEFT}(?:{rule.value}){_RIGHT})", re.IGNORECASE) for rule in _RULES]
_FURTHER: Final = [re.compile(rf"{_MORE}({_LEFT}(?:{rule.value}){_RIGHT})", re.IGNORECASE) for rule in _RULES]
_BEFORE: Final = [
    re.compile(rf"({_LEFT}(?:{rule.value}){_RIGHT})[^0-9A-Za-z。;!?\n]{{0,8}}$", re.IGNORECASE) for rule in _RULES
]
_BEFORE_REACH: Final = 24
_MOST_VALUES: Final = 20

# An officer's number bears its unit: 军字第1234567号. No word need stand beside it.
_UNIT_NUMBER: Final = re.compile(
    r"[军南北沈兰成济广海空参政后装武联东西中战火支边警]字 ?第? ?[0-9]{6,8}(?: ?号)?(?![0-9A-Za-z])"
)
_WXID: Final = re.compile(r"wxid_[a-z0-9]{10,30}(?![0-9A-Za-z])")


def find(page: Page) -> Iterator[Finding]:
    """Candidates, overlapping ones included."""
    for number, rule in enumerate(_RULES):
        seen = -1
        for at in sorted(places(page.lower, rule.keys)):
            for word in _WORDS[number].finditer(page.lower, max(0, at - _REACH), at + _REACH):
                if word.start() > seen:
                    seen = word.start()
                    yield from _beside(page, word, number)
    if "字" in page.folded:
        for found in _UNIT_NUMBER.finditer(page.folded):
            yield Finding(*found.span(), "CN_MILITARY_ID", 0.7, "pattern")
    if "wxid_" in page.lower:
        for found in _WXID.finditer(page.lower):
            yield Finding(*found.span(), "CN_WECHAT", 0.85, "pattern")


def _beside(page: Page, word: re.Match[str], number: int) -> Iterator[Finding]:
    rule = _RULES[number]
    found = _AFTER[number].match(page.folded, word.end())
    if found is None and rule.precedes:
        start = max(0, word.start() - _BEFORE_REACH)
        found = _BEFORE[number].search(page.folded, start, word.start())
        if found:
            yield from _finding(rule, found, word[0])
        return
    for _ in range(_MOST_VALUES):
        if found is None:
            return
        yield from _finding(rule, found, page.lower[word.start() : found.start(1)])
        found = _FURTHER[number].match(page.folded, found.end())


def _finding(rule: _Rule, found: re.Match[str], lead: str) -> Iterator[Finding]:
    entity = rule.entity if isinstance(rule.entity, str) else rule.entity(found[1], lead)
    if entity is not None:
        yield Finding(*found.span(1), entity, rule.score, "context")
