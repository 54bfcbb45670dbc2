"""References to law in words: correct in both languages, and as written where they are not known."""

from __future__ import annotations

import re
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.vocabulary import citations

PIPL: Final = "of the Personal Information Protection Law (PIPL)"


@pytest.mark.parametrize(
    ("reference", "zh", "en"),
    [
        ("PIPL-31", "《个人信息保护法》第三十一条", f"Article 31 {PIPL}"),
        ("PIPL-13-2", "《个人信息保护法》第十三条第一款第二项", f"Article 13, paragraph 1, item 2 {PIPL}"),
        ("PIPL-14-2", "《个人信息保护法》第十四条第二款", f"Article 14, paragraph 2 {PIPL}"),
        ("PIPL-47-1-3", "《个人信息保护法》第四十七条第一款第三项", f"Article 47, paragraph 1, item 3 {PIPL}"),
        ("PIPL-51-3", "《个人信息保护法》第五十一条第三项", f"Article 51, item 3 {PIPL}"),
        ("GDPR-6-1-b", "《通用数据保护条例》第6条第1款(b)项", "GDPR Article 6(1)(b)"),
        ("GDPR-13", "《通用数据保护条例》第13条", "GDPR Article 13"),
        ("CN-ECL-31", "《电子商务法》第三十一条", "Article 31 of the E-Commerce Law"),
        ("CN-NDSMR-20", "《网络数据安全管理条例》第二十条",
         "Article 20 of the Network Data Security Management Regulations"),
        ("CN-MINORS-36", "《未成年人网络保护条例》第三十六条",
         "Article 36 of the Regulations on the Protection of Minors in Cyberspace"),
        ("CN-TAX-24", "《税收征收管理法》第二十四条", "Article 24 of the Law on the Administration of Tax Collection"),
        ("CN-CIVIL-1034-2", "《民法典》第一千零三十四条第二款", "Article 1034, paragraph 2 of the Civil Code"),
        ("GBT35273-6.3", "《信息安全技术 个人信息安全规范》（GB/T 35273—2020）第6.3条",
         "GB/T 35273-2020 (Personal information security specification), clause 6.3"),
        ("GBT45574-2025", "《数据安全技术 敏感个人信息处理安全要求》（GB/T 45574—2025）",
         "GB/T 45574-2025 (Security requirements for processing of sensitive personal information)"),
        ("CCPA-1798.135", "《加州消费者隐私法》第1798.135条", "CCPA § 1798.135"),
        ("CCPA-7021-b", "《加州消费者隐私法实施条例》第7021(b)条", "CCPA Regulations § 7021(b)"),
    ],
)  # fmt: skip
def test_a_reference_is_said_in_the_words_of_either_language(reference: str, zh: str, en: str) -> None:
    assert citations.cited(reference, "zh") == zh
    assert citations.cited(reference, "zh-CN") == zh
    assert citations.cited(reference, "en") == en
    assert citations.cited(reference, "fr") == en


@pytest.mark.parametrize("reference", ["CN-XYZ-3", "UK-DPA-5", "GBT99999-1", "PIPL", "PIPL-0", "whatever", ""])
def test_what_is_not_known_stays_as_it_is_written(reference: str) -> None:
    assert citations.cited(reference, "zh") == reference
    assert citations.cited(reference, "en") == reference


def test_several_references_are_joined_as_the_language_joins() -> None:
    both = ("GDPR-13", "CN-ECL-31")
    assert citations.joined(both, "zh") == "《通用数据保护条例》第13条、《电子商务法》第三十一条"
    assert citations.joined(both, "en") == "GDPR Article 13; Article 31 of the E-Commerce Law"
    same = ("PIPL-13-1", "PIPL-14", "PIPL-31", "GDPR-8")
    chinese = "《个人信息保护法》第十三条第一款第一项、第十四条、第三十一条、《通用数据保护条例》第8条"
    assert citations.joined(same, "zh") == chinese
    english = (
        "Article 13, paragraph 1, item 1; Article 14; Article 31 of the Personal Information Protection Law (PIPL)"
    )
    assert citations.joined(same, "en") == f"{english}; GDPR Article 8"
    assert citations.joined((), "zh") == ""


@pytest.mark.parametrize(
    ("number", "said"),
    [(1, "一"), (10, "十"), (11, "十一"), (20, "二十"), (99, "九十九"), (100, "一百"), (101, "一百零一"),
     (110, "一百一十"), (1000, "一千"), (1001, "一千零一"), (1034, "一千零三十四"), (1260, "一千二百六十")],
)  # fmt: skip
def test_numbers_are_said_as_the_law_says_them(number: int, said: str) -> None:
    assert citations.numeral(number) == said


@given(st.integers(min_value=1, max_value=9999))
def test_a_chinese_numeral_says_its_number_and_no_other(number: int) -> None:
    said = citations.numeral(number)
    parts = re.findall("([一二三四五六七八九])?([千百十])|([一二三四五六七八九])$", said)
    worth = {"千": 1000, "百": 100, "十": 10}
    digits = {digit: value for value, digit in enumerate("零一二三四五六七八九")}
    assert sum(digits[one or last or "一"] * worth.get(place, 1) for one, place, last in parts) == number
    assert "零零" not in said
    assert not said.endswith("零")
