"""References to law in words, in Chinese and in English: "PIPL-31" is what a manifest writes, not what people read.

A reference counts as the law counts: article, paragraph, item. PIPL 13 is cited by its items alone, which
all stand in its first paragraph; some articles have items and no paragraphs. What is not known here is
given back as it is written, so that nothing is cited wrongly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Final

_DIGITS: Final = "零一二三四五六七八九"
_PLACES: Final = ("", "十", "百", "千")
_PIPL_ITEMS_OF_ONE_PARAGRAPH: Final = frozenset({51, 55, 58, 61, 62, 73})

# By the short name after CN-, and for the two that are cited without the prefix too.
_CHINESE_LAWS: Final[Mapping[str, tuple[str, str]]] = {
    "AML": ("反洗钱法", "Anti-Money Laundering Law"),
    "ACCOUNTING": ("会计法", "Accounting Law"),
    "CIVIL": ("民法典", "Civil Code"),
    "CRIMINAL": ("刑法", "Criminal Law"),
    "CRPL": ("消费者权益保护法", "Consumer Rights Protection Law"),
    "CSL": ("网络安全法", "Cybersecurity Law"),
    "DSL": ("数据安全法", "Data Security Law"),
    "ECL": ("电子商务法", "E-Commerce Law"),
    "ESL": ("电子签名法", "Electronic Signature Law"),
    "LABOUR": ("劳动法", "Labour Law"),
    "LCL": ("劳动合同法", "Labour Contract Law"),
    "MINORS": ("未成年人网络保护条例", "Regulations on the Protection of Minors in Cyberspace"),
    "MPL": ("未成年人保护法", "Law on the Protection of Minors"),
    "NDSMR": ("网络数据安全管理条例", "Network Data Security Management Regulations"),
    "TAX": ("税收征收管理法", "Law on the Administration of Tax Collection"),
}  # fmt: skip
_STANDARDS: Final[Mapping[str, tuple[str, str, str]]] = {
    "35273": ("信息安全技术 个人信息安全规范", "2020", "Personal information security specification"),
    "43697": ("数据安全技术 数据分类分级规则", "2024", "Rules for data classification and grading"),
    "45574": ("数据安全技术 敏感个人信息处理安全要求", "2025",
              "Security requirements for processing of sensitive personal information"),
}  # fmt: skip


@lru_cache(maxsize=1024)
def cited(reference: str, language: str) -> str:
    """The reference in words; as it is written when it is of a law or a form that is not known here.

    `language` as in Accept-Language: Chinese for zh and its regions, English for everything else.
    """
    is_chinese = language.lower().split("-")[0] == "zh"
    for form, says in _FORMS:
        match = form.fullmatch(reference)
        if match is not None:
            return says(match, is_chinese) or reference
    return reference


def joined(references: Iterable[str], language: str) -> str:
    """All of them, in the order given; neighbours of one law name it once, as lawyers do."""
    is_chinese = language.lower().split("-")[0] == "zh"
    words = [cited(reference, language) for reference in references]
    laws = [found[0] if (found := (_TITLE if is_chinese else _OF_LAW).search(text)) else None for text in words]
    for n in range(1, len(words)):
        law = laws[n]
        if law is not None and law == laws[n - 1]:  # Chinese names the law first, English last
            words[n - (not is_chinese)] = words[n - (not is_chinese)].replace(law, "")
    return ("、" if is_chinese else "; ").join(words)


def numeral(number: int) -> str:
    """A whole number from 1 to 9999 as Chinese law writes it: 31 is 三十一, 1034 is 一千零三十四."""
    digits = str(number)
    said = ""
    for place, digit in zip(range(len(digits) - 1, -1, -1), digits, strict=True):
        said += _DIGITS[int(digit)] + (_PLACES[place] if digit != "0" else "")
    said = re.sub("零+", "零", said).rstrip("零")
    return said.removeprefix("一") if said.startswith("一十") else said


def _pipl(match: re.Match[str], is_chinese: bool) -> str:
    article, *parts = (int(part) for part in match[1].split("-"))
    if len(parts) == 1 and article == 13:
        parts = [1, *parts]
    elif len(parts) == 1 and article in _PIPL_ITEMS_OF_ONE_PARAGRAPH:
        parts = [0, *parts]
    if is_chinese:
        return f"《个人信息保护法》{_chinese_place(article, parts)}"
    return f"{_english_place(article, parts)} of the Personal Information Protection Law (PIPL)"


def _chinese_law(match: re.Match[str], is_chinese: bool) -> str | None:
    law = _CHINESE_LAWS.get(match[1])
    if law is None:
        return None
    article, *parts = (int(part) for part in match[2].split("-"))
    if is_chinese:
        return f"《{law[0]}》{_chinese_place(article, parts)}"
    return f"{_english_place(article, parts)} of the {law[1]}"


def _chinese_place(article: int, parts: list[int]) -> str:
    """Article, paragraph, item; a paragraph 0 is the only one, which is not counted."""
    units = zip(parts, ("款", "项"), strict=False)
    return f"第{numeral(article)}条" + "".join(f"第{numeral(part)}{unit}" for part, unit in units if part)


def _english_place(article: int, parts: list[int]) -> str:
    units = zip(parts, ("paragraph", "item"), strict=False)
    return ", ".join((f"Article {article}", *(f"{unit} {part}" for part, unit in units if part)))


def _gdpr(match: re.Match[str], is_chinese: bool) -> str:
    article, paragraph, item = match[1], match[2], match[3]
    if is_chinese:
        said = f"《通用数据保护条例》第{article}条" + (f"第{paragraph}款" if paragraph else "")
        return said + (f"({item})项" if item else "")
    return f"GDPR Article {article}" + (f"({paragraph})" if paragraph else "") + (f"({item})" if item else "")


def _ccpa(match: re.Match[str], is_chinese: bool) -> str:
    section, *parts = match[1].split("-")
    is_regulation = section.startswith("7")
    place = section + "".join(f"({part})" for part in parts)
    if is_chinese:
        return f"《加州消费者隐私法{'实施条例' if is_regulation else ''}》第{place}条"
    return f"CCPA Regulations § {place}" if is_regulation else f"CCPA § {place}"


def _standard(match: re.Match[str], is_chinese: bool) -> str | None:
    standard = _STANDARDS.get(match[1])
    if standard is None:
        return None
    title, year, english = standard
    clause = match[2] if match[2] and match[2] != year else ""
    is_annex = clause[:1].isalpha()
    if is_chinese:
        named = f"《{title}》（GB/T {match[1]}—{year}）"
        return named + (f"附录{clause}" if is_annex else f"第{clause}条" if clause else "")
    named = f"GB/T {match[1]}-{year} ({english})"
    return named + (f", annex {clause}" if is_annex else f", clause {clause}" if clause else "")


_TITLE: Final = re.compile("^《[^》]+》")
_OF_LAW: Final = re.compile(" of the [^,;]+$")
_Says = Callable[[re.Match[str], bool], str | None]
_FORMS: Final[tuple[tuple[re.Pattern[str], _Says], ...]] = (
    (re.compile(r"PIPL-([1-9][0-9]?(?:-[1-9][0-9]?){0,2})"), _pipl),
    (re.compile(r"GDPR-([1-9][0-9]?)(?:-([1-9][0-9]?))?(?:-([a-z]))?"), _gdpr),
    (re.compile(r"CCPA-((?:1798\.[0-9]{2,3}(?:\.[0-9]{1,3})?|7[0-9]{3})(?:-[a-z](?:-[1-9][0-9]?)?)?)"), _ccpa),
    (re.compile(r"CN-([A-Z][A-Z0-9]*)-([1-9][0-9]{0,3}(?:-[1-9][0-9]?){0,2})"), _chinese_law),
    (re.compile(r"(DSL|NDSMR)-([1-9][0-9]{0,3}(?:-[1-9][0-9]?){0,2})"), _chinese_law),
    (re.compile(r"GBT([0-9]{4,5})(?:-([0-9]+(?:\.[0-9]+)*|[A-Z]))?"), _standard),
)
