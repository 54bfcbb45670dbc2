"""Identifiers: every kind in every written form is found, at its very place; what only looks like one is not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.detection.checks import is_credit_code, is_iban, is_resident_id, passes_luhn
from privacy.detection.folding import fold
from privacy.detection.identifiers import find
from tests.detection.generated_identifiers import FORMS, KINDS, Kind, near_misses, samples

_EACH = 75
_MISSES = 300


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_identifier_is_found_whole_and_nothing_beside_it(kind: Kind, form: str) -> None:
    wrong = 0
    for sample in samples(kind, form, _EACH, Random(f"{kind.name}/{form}")):
        found = [(finding.start, finding.end, finding.entity) for finding in find(sample.text)]
        wrong += found != [(sample.start, sample.end, sample.entity)]
    assert wrong == 0  # no sample in the message: a failing one is printed by `python -m bench.detection.identifiers`


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_only_looks_like_an_identifier_is_not_found_as_one(kind: Kind) -> None:
    misses = near_misses(kind, _MISSES, Random(kind.name))
    assert sum(any(finding.entity == kind.entity for finding in find(miss.text)) for miss in misses) == 0


def _found(text: str) -> list[tuple[str, str]]:
    return [(finding.entity, text[finding.start : finding.end]) for finding in find(text)]


@pytest.mark.parametrize(
    "text",
    [
        "订单号13812345678",
        "流水号：6222021234567890123",
        "金额13812345678元",
        "版本号 10.20.30.40",
        "升级到v1.20.30.40",
        "单价¥13812345678",
        "S/N: 13812345678",
        "order no. 13812345678",
        "第3.1.2.4节",
        "12:30:45到13:30:45",
        "编号20231122103000123456",
        "SF1234567890123",
        "微信Android版",
        "QQ音乐1234567",
        "QQ群12345678",
        "最新A12345",
        "std::vector<int>",
        "logo@2x.png",
        "E12345678",
        "使用123456次",
        "生日蛋糕2024年5月1日送到",
        "支付宝2024年交易13.5亿",
        "总计 4539148803436467 元",
        "护照办理需要20个工作日",
        "IP: 127.0.0.1",
        "2023年5月1日发货",
        "ISBN 9787111213826",
    ],
)
def test_order_numbers_amounts_versions_and_products_are_left_alone(text: str) -> None:
    assert _found(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("订单联系电话13812345678", [("CN_MOBILE", "13812345678")]),
        ("13812345678,13912345678", [("CN_MOBILE", "13812345678"), ("CN_MOBILE", "13912345678")]),
        ("打13812345678万一没人接", [("CN_MOBILE", "13812345678")]),
        ("手机一三八一二三四五六七八", [("CN_MOBILE", "一三八一二三四五六七八")]),
        ("\u202d13812345678\u202c", [("CN_MOBILE", "13812345678")]),
        ("电话:62345678", [("CN_LANDLINE", "62345678")]),
        ("call +1 (415) 555-2671", [("PHONE_NUMBER", "+1 (415) 555-2671")]),
        ("香港+852 9123 4567。", [("PHONE_NUMBER", "+852 9123 4567")]),
        ("zhang.san@example.com谢谢", [("EMAIL_ADDRESS", "zhang.san@example.com")]),
        ("等等...zhang@example.com", [("EMAIL_ADDRESS", "zhang@example.com")]),
        (
            "https://example.com/a，https://example.org/b。",
            [("URL", "https://example.com/a"), ("URL", "https://example.org/b")],
        ),
        ("https://example.com/?m=a@example.com", [("EMAIL_ADDRESS", "a@example.com")]),
        ("MAC:00:1A:2B:3C:4D:5E", [("MAC_ADDRESS", "00:1A:2B:3C:4D:5E")]),
        ("IP：2001:db8:0:1:1:1:1:1的", [("IP_ADDRESS", "2001:db8:0:1:1:1:1:1")]),
        ("身份证号110105194912310021", [("CN_RESIDENT_ID", "110105194912310021")]),  # check digit wrong, label right
        ("E12345678是我的护照号", [("CN_PASSPORT", "E12345678")]),
        ("护照E12345678和E87654321", [("CN_PASSPORT", "E12345678"), ("CN_PASSPORT", "E87654321")]),
        ("1990年3月7日出生", [("BIRTH_DATE", "1990年3月7日")]),
        ("一九九〇年三月七日出生，生日是3月7日", [("BIRTH_DATE", "一九九〇年三月七日"), ("BIRTH_DATE", "3月7日")]),
        ("支付宝绑定手机13812345678", [("CN_MOBILE", "13812345678")]),
        ("使224578", [("CN_PLATE", "使224578")]),
    ],
)
def test_written_as_people_write_it(text: str, expected: list[tuple[str, str]]) -> None:
    assert _found(text) == expected


_PIECES = st.one_of(
    st.text(alphabet=st.characters(), max_size=6),
    st.sampled_from(
        [
            "订单号",
            "身份证",
            "护照",
            "QQ",
            "微信号",
            "卡号",
            "+86",
            "（",
            "）",
            " ",
            "-",
            "：",
            "。",
            "\n",
            "@",
            "E",
            "X",
        ]
    ),
    st.from_regex(r"[0-9０-９]{1,20}", fullmatch=True),
    st.sampled_from(
        ["13812345678", "11010519491231002X", "6222020000000000004", "zhang@example.com", "GB82WEST12345698765432"]
    ),
)
_TEXTS = st.lists(_PIECES, max_size=8).map("".join)


@settings(max_examples=60)
@given(_TEXTS)
def test_found_spans_lie_in_the_text_in_order_and_what_a_check_proved_holds(text: str) -> None:
    found = find(text)
    assert all(left.end <= right.start for left, right in pairwise(found))
    for finding in found:
        assert 0 <= finding.start < finding.end <= len(text)
        if finding.why == "check-digit":
            value = "".join(c for c in fold(text[finding.start : finding.end]) if c.isalnum()).upper()
            assert _holds(finding.entity, value)


def _holds(entity: str, value: str) -> bool:
    match entity:
        case "CN_RESIDENT_ID":
            return is_resident_id(value) or not value.isascii()  # or in Chinese numerals
        case "CN_USCC":
            return is_credit_code(value)
        case "IBAN_CODE":
            return is_iban(value)
        case "CN_COURIER_NUMBER":
            return value.endswith("CN")
        case _:
            return passes_luhn(value)


@settings(max_examples=60)
@given(_TEXTS)
def test_a_text_in_full_width_holds_the_same_numbers_at_the_same_places(text: str) -> None:
    wide = text.translate({code: code + 0xFEE0 for code in range(ord("0"), ord("9") + 1)})
    assert find(wide) == find(text)


@pytest.mark.parametrize("piece", ["1 ", "4-", "2001:", "::", "a@", "护照", "+1", "AB12 CD34 ", "订单号", "1990-"])
def test_ten_times_the_text_costs_ten_times_the_time(piece: str) -> None:
    """Also of texts made to be slow. A rule that looks back over all it has seen costs a hundred times as much."""
    times = []
    for length in (4_000, 40_000):
        text = piece * (length // len(piece)) + "g"
        times.append(min(_seconds(text) for _ in range(2)))
    assert times[1] < 22 * times[0] + 0.005


def _seconds(text: str) -> float:
    began = time.process_time()
    find(text)
    return time.process_time() - began


def test_the_published_examples_hold() -> None:
    assert is_resident_id("11010519491231002X")  # GB 11643-1999, 5
    assert is_credit_code("91350100M000100Y43")  # GB 32100-2015, annex
    assert is_iban("GB82WEST12345698765432")  # ISO 13616
    assert passes_luhn("490154203237518")  # 3GPP TS 23.003, annex B


def test_residents_of_hong_kong_macao_and_taiwan_are_found_by_their_permit() -> None:
    for province in ("81", "82", "83"):
        body = f"{province}000019900101001"
        number = next(body + check for check in "0123456789X" if is_resident_id(body + check))
        assert _found(f"居住证{number}已登记") == [("CN_RESIDENT_ID", number)]


def test_the_rules_need_nothing_but_the_standard_library() -> None:
    """The client and the manifest's checks load them too: no model, no presidio, no numpy."""
    program = (
        "import sys, privacy.detection.identifiers\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": "."},
    )
    assert {name for name in done.stdout.split() if not name.startswith("__")} == {"privacy"}
