"""Words that tell what a cell is, in Chinese and English: closed vocabularies, surnames, given names, endings.

Values (`column-values.txt`) are compared in lower case; countries come from `privacy.vocabulary` besides. Common
knowledge: the names are the commonest in Chinese and English registers of births, for a share of a column and never for
one cell alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from privacy.detection.chinese_words import COMPOUND, SINGLE


def words_of(file: str) -> Iterator[tuple[str, str]]:
    """Each (kind, word) of a word list beside this module."""
    for line in (files(__package__) / file).read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            kind, _, words = line.partition(" ")
            for word in words.split("|"):
                yield kind, word


def _countries() -> Iterator[str]:
    """Chinese and English names of countries and regions."""
    for line in (files("privacy.vocabulary") / "countries.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            yield from line.lower().split(maxsplit=2)[1:]


def _values() -> dict[str, frozenset[str]]:
    values: dict[str, set[str]] = {"country": set(_countries())}
    for kind, word in words_of("column-values.txt"):
        values.setdefault(kind, set()).add(word)
    return {kind: frozenset(words) for kind, words in values.items()}


_VALUES: Final = _values()
GIVEN_NAMES: Final = _VALUES.pop("given-name")
CLOSED: Final[Mapping[str, frozenset[str]]] = MappingProxyType(_VALUES)
"""kind: every value that it has. A column holds the kind when most of its distinct cells are among them."""

# Values that mean nothing alone, or that many kinds share: a column of such only is not told by them.
AMBIGUOUS: Final = frozenset({
    "未知", "其他", "other", "unknown", "a", "b", "o", "ab", "m", "f", "水", "土", "白", "京", "怒", "回", "满", "藏",
    "高", "中", "低", "high school", "大学", "white", "black", "independent", "orthodox", "secondary", "primary",
})  # fmt: skip

# --- names of people

_HAN: Final = "[\u3400-\u9fff]"
CHINESE_NAME: Final = re.compile(
    f"(?:{'|'.join(sorted(COMPOUND))}){_HAN}{{1,2}}|[{''.join(sorted(SINGLE))}]{_HAN}{{1,2}}|{_HAN}{{1,8}}[·•・]{_HAN}{{1,10}}"
)
"""A Han name as a whole cell: known surname and one or two characters, or parts joined by a dot."""

# Endings and words that no name has, though it may begin like a surname: 白金卡, 金融部, 张家口市.
NOT_A_NAME: Final = re.compile(
    "[省市县区镇乡村路街号楼栋室店部科处组厂校院司会社银行型类品款卡券票单码值率费额元件台套个份页次天年月日时分秒级种项]$|"
    "公司|有限|集团|中心|医院|大学|银行"
)
LATIN_NAME: Final = re.compile(
    r"(?:(?:mr|mrs|ms|miss|dr|prof|sir|mx)\.? )?"
    r"[A-Z][\w'’-]*\.?(?:,? (?:[A-Z][\w'’-]*\.?|de|da|van|von|der|den|la|le|bin|al|el|di|del)){0,4}"
    r"(?:,? (?:jr|sr|ii|iii|iv|md|phd|dds|dvm|esq)\.?)?",
    re.IGNORECASE,
)
NOT_A_PERSON: Final = re.compile(
    r"\b(?:inc|llc|ltd|limited|plc|corp|corporation|gmbh|group|company|co|and|of|the|bank|university|college|hospital|"
    r"school|street|st|avenue|road|drive|lane|department|services|solutions|systems|partners|associates)\b|&",
    re.IGNORECASE,
)

# --- places, work

ORGANISATION: Final = re.compile(
    r".{2,40}(?:有限责任公司|有限公司|股份公司|公司|集团|事务所|研究院|研究所|医院|大学|学院|中学|小学|银行|支行|局|委员会|厂)(?:\(.*\)|（.*）)?|"
    r".{2,60}[ ,](?:inc|llc|ltd|limited|plc|corp|corporation|gmbh|group|company|holdings|university|partners|bank)\.?",
    re.IGNORECASE,
)
_NUMBERED: Final = "(?:号|號|弄|栋|幢|座|单元|室|楼|层|巷|房)"
CHINESE_ADDRESS: Final = re.compile(
    f".*(?:省|市|区|县|旗|镇|乡|街道|路|街|道|巷|村|里|胡同).*[0-9一二三四五六七八九十]+{_NUMBERED}.*|"
    ".*(?:省|自治区|市|州|盟).+(?:区|县|旗|市).+(?:路|街|道|镇|乡|村|座|号|苑|小区|花园).*",
    re.DOTALL,
)
LATIN_ADDRESS: Final = re.compile(
    r"\d{1,6}[A-Za-z]?,? (?:[NSEW]\.? )?(?:[\w'.’-]+ ){0,4}(?:street|st|avenue|ave|road|rd|drive|dr|lane|ln|"
    r"boulevard|blvd|"
    r"court|ct|place|pl|square|sq|terrace|ter|way|parkway|pkwy|circle|cir|trail|trl|highway|hwy|close|crescent|row|walk|"
    r"[a-z]+(?:stra(?:ss|ß)e|weg|platz))\b.*|"
    r"[A-ZÄÖÜ][\w-]+(?:stra(?:ss|ß)e|str\.|weg|platz|allee|gasse) \d{1,4} ?[a-z]?(?:[,\n].+)?|"
    r".{5,150}[,\n] ?[A-Z]{1,2}\d[0-9A-Z]? ?\d[A-Z]{2}|"
    r"\d{1,6} [A-Z][\w'.’-]+(?: [A-Z][\w'.’-]+){0,4}(?: (?:apt|suite|unit|ste)\.? ?#?\w+)?[,\n] ?.+\b\d{5}(?:-\d{4})?",
    re.IGNORECASE | re.DOTALL,
)
CHINESE_PLACE: Final = re.compile(f"{_HAN}{{2,9}}(?:市|县|区|州|盟|地区)")
CHINESE_JOB: Final = re.compile(
    f"{_HAN}{{0,8}}(?:工程师|设计师|会计师|律师|教师|老师|医师|医生|护士|厨师|司机|技师|分析师|咨询师|经理|总监|主管|主任|专员|助理|秘书|顾问|"
    "职员|店员|员工|文员|服务员|售货员|业务员|销售|客服|会计|出纳|工人|农民|学生|教授|讲师|公务员|军人|编辑|记者|翻译|导游|程序员|架构师|"
    "技工|电工|焊工|保安|保洁|快递员|外卖员|退休|自由职业|个体户|总裁|董事|董事长|总经理|开发|测试|运维|运营|产品经理|人事|行政|采购)"
    "(?:/.{1,12})?"
)
LATIN_JOB: Final = re.compile(
    r".*\b(?:engineer|manager|teacher|nurse|developer|designer|analyst|accountant|lawyer|doctor|driver|chef|clerk|director|"
    r"officer|assistant|consultant|technician|scientist|surveyor|therapist|administrator|secretary|editor|journalist|"
    r"architect|programmer|physicist|chemist|psychologist|surgeon|dentist|pharmacist|librarian|lecturer|professor|artist|"
    r"producer|broker|banker|buyer|planner|scientist|geologist|researcher|worker|specialist|representative|coordinator|"
    r"executive|solicitor|barrister|paramedic|plumber|electrician|carpenter|farmer|student|retired|salesperson|cashier|"
    r"waiter|waitress|pilot|translator|interpreter|writer|photographer|musician|actor|trader|adviser|advisor|operator|"
    r"supervisor|inspector|mechanic|hairdresser|cleaner|optometrist|radiographer|veterinarian|surgeon)s?\b.*",
    re.IGNORECASE,
)
