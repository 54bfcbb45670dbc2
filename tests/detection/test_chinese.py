"""Persons, addresses, places and times in Chinese text; the offsets; the cost; what is left alone."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

import privacy.detection
from privacy.detection.chinese import Chinese
from privacy.detection.findings import Finding
from privacy.detection.lac import Lac
from tests.detection import customer_talk
from tests.detection.customer_talk import ORDINARY, TEMPLATES, Span, talk

_MARKED: Final = re.compile("⟦(.+?)⟧")


@pytest.fixture(scope="session")
def chinese() -> Chinese:
    return Chinese()


def _of(found: Sequence[Finding], *entities: str) -> list[tuple[int, int]]:
    return [(one.start, one.end) for one in found if one.entity in entities]


def _agrees(chinese: Chinese, entity: str, marked: Sequence[str]) -> list[str]:
    """The texts, spans of `entity` marked, in which other spans of it are found."""
    texts = [_MARKED.sub(r"\1", text) for text in marked]
    wrong = []
    for text, found in zip(marked, chinese.find_all(texts), strict=True):
        wanted = [
            (span.start() - 2 * number, span.end() - 2 * number - 2)
            for number, span in enumerate(_MARKED.finditer(text))
        ]
        if _of(found, entity) != wanted:
            wrong.append(text)
    return wrong


PERSONS: Final = {
    "two to four characters": ["⟦王伟⟧和⟦李建国⟧都来了", "收件人：⟦张王雅婷⟧，请放门口"],
    "words, where a label introduces a name": [
        "客户姓名：⟦高兴⟧，请回电",
        "联系人：⟦田野⟧",
        "大家好，我叫⟦江山⟧，手机没电了",
    ],
    "words, where nothing does": [
        "客户高兴地离开了",
        "方便的话联系我",
        "联系人方式：请补充",
        "姓名：时间：金额：",
        "我叫车去机场",
    ],
    "a title is not part of a full name": ["请⟦王建国⟧先生到窗口", "是⟦李秀英⟧女士的订单", "⟦陈文⟧师傅在吗"],
    "a title names whoever has but a family name": ["⟦李女士⟧您好", "⟦张经理⟧说可以退", "麻烦⟦覃医生⟧看一下"],
    "titles without a name": ["各位老师辛苦了", "项目经理已审核", "高级工程师一名", "女士优先"],
    "compound family names": ["⟦欧阳娜娜⟧的快递到了", "乘客⟦司马光华⟧投诉司机", "这是⟦上官云⟧的包裹"],
    "no compound across words": ["公司马经理不在".replace("马经理", "⟦马经理⟧")],
    "names of minorities": ["患者⟦阿依古丽·买买提⟧于今日出院", "⟦艾力·买合木提⟧申请退费", "用户⟦扎西·顿珠⟧来电"],
    "names of foreigners": ["⟦约翰·史密斯⟧先生要发票", "⟦亚历山大·伊万诺维奇·彼得罗夫⟧已入住"],
    "either form of the middle dot": ["客户⟦约翰•史密斯⟧来电", "客户⟦约翰・史密斯⟧来电"],
    "lists": ["参会人：⟦张伟⟧、⟦高兴⟧、⟦王芳⟧"],
    "brands and roads": ["李宁运动鞋怎么退", "王老吉和老干妈都有货", "中山路怎么走", "去张江路坐地铁"],
    "names in Latin letters are for the English rules": ["John Smith先生来电", "Tony您好"],
    "lines": ["姓名：⟦王伟⟧\n性别：男\n电话：无"],
}

ADDRESSES: Final = {
    "from the province to the room": [
        "请送到⟦浙江省杭州市西湖区文三路90号东部软件园3栋1202室⟧，谢谢",
        "⟦内蒙古自治区呼和浩特市赛罕区敕勒川大街幸福家园B座15层1501⟧",
    ],
    "villages": ["住⟦河南省周口市太康县高贤乡前王村3组⟧，家里种地"],
    "lanes": ["家在⟦上海市浦东新区世纪大道100弄5号601⟧"],
    "estates without a road": ["我住⟦翡翠湾3栋1202⟧", "寄到⟦福润小区12幢3单元⟧"],
    "a road with a number": ["⟦建设路5号院3号楼2单元501室⟧漏水", "就在⟦新华街12号⟧"],
    "dashes for the parts of a house": ["送⟦翠竹苑9-4-401⟧"],
    "spaces between the levels": ["⟦广东省 深圳市 南山区 科技园南路8号⟧"],
    "full-width digits": ["⟦广东省深圳市南山区科技园南路８号⟧"],
    "labels stay outside": ["户籍所在地⟦江苏省南京市鼓楼区中山北路6号⟧，已核实", "改到⟦人民路12号⟧吧"],
    "what follows stays outside": ["⟦杭州市西湖区文三路90号⟧门口见", "⟦杭州市西湖区文三路90号⟧，13800138000"],
    "places are no addresses": ["我在上海出差", "中山路怎么走", "杭州市西湖区很美"],
    "numbers are no addresses": ["第3组数据有问题", "3层蛋糕，放5楼", "我在上海5号回来", "订单号20260305", "版本3-2-1"],
}


@pytest.mark.parametrize("kind", PERSONS)
def test_persons_are_found_whole(chinese: Chinese, kind: str) -> None:
    assert _agrees(chinese, "PERSON", PERSONS[kind]) == []


@pytest.mark.parametrize("kind", ADDRESSES)
def test_addresses_are_found_whole(chinese: Chinese, kind: str) -> None:
    assert _agrees(chinese, "ADDRESS", ADDRESSES[kind]) == []


def test_places_organisations_and_times_are_found(chinese: Chinese) -> None:
    assert _agrees(chinese, "LOCATION", ["我在⟦上海⟧5号回来", "⟦上海市浦东新区⟧的天气"]) == []
    assert _agrees(chinese, "ORGANIZATION", ["他在⟦中国银行⟧工作"]) == []
    assert _agrees(chinese, "DATE_TIME", ["⟦2026年3月5日下午三点⟧开会", "最近很忙，现在没空"]) == []


def test_offsets_are_code_points_of_the_text_given(chinese: Chinese) -> None:
    """Whatever stands before: characters of four bytes, full-width ones, ends of lines, a lone surrogate."""
    for before in ("😀😀，", "ＡＢＣ１２３。", "\r\n\n\t", "𠮷野家，", "\ud800，", "é̀，"):
        text = f"{before}我叫李建国。"
        at = text.index("李")
        assert _of(chinese.find_all([text])[0], "PERSON") == [(at, at + 3)]


def test_nothing_is_claimed_in_ordinary_text(chinese: Chinese) -> None:
    found = chinese.find_all(ORDINARY)
    assert [_of(one, "PERSON", "ADDRESS") for one in found] == [[] for _ in ORDINARY]


def test_findings_do_not_depend_on_the_company(chinese: Chinese) -> None:
    texts = ["", "no Han at all, John Smith", *(one.text for one in talk(21, 48))]
    together = chinese.find_all(texts)
    assert together == [chinese.find_all([text])[0] for text in texts]
    assert together[0] == together[1] == []


def test_findings_lie_within_the_text_in_order_and_apart(chinese: Chinese) -> None:
    """Also where the text is noise."""
    rng = random.Random(6)
    alphabet = "王李张阳欧·省市区路街村号栋楼室弄-－ ，。：、\n0１9aA的地先生女士经理是叫姓名😀"
    texts = ["".join(rng.choices(alphabet, k=rng.randint(0, 300))) for _ in range(60)]
    for text, found in zip(texts, chinese.find_all(texts), strict=True):
        bounds = [0, *(edge for one in found for edge in (one.start, one.end)), len(text)]
        assert bounds == sorted(bounds)
        assert all(one.start < one.end and 0.4 <= one.score <= 1 for one in found)


def test_a_long_document_costs_a_character_what_a_short_one_does(chinese: Chinese) -> None:
    """Generous, as machines stall: what is quadratic costs ten times as much a character here."""
    whole = "".join(one.text for one in talk(23, 240))
    costs = []
    for text in (whole[: len(whole) // 10], whole, "王" * len(whole), "A座1号" * (len(whole) // 4)):
        began = time.perf_counter()
        chinese.find_all([text])
        costs.append((time.perf_counter() - began) / len(text))
    assert max(costs[1:]) < 4 * costs[0]


# --- against talk that the rules do not know


def test_the_talk_is_labelled_where_it_says() -> None:
    assert len(TEMPLATES) >= 40
    told = list(talk(1, 3 * len(TEMPLATES)))
    assert told == list(talk(1, 3 * len(TEMPLATES)))
    assert {one.template for one in told} == set(range(len(TEMPLATES)))
    for one in told:
        bounds = [0, *(edge for span in one.spans for edge in (span.start, span.end)), len(one.text)]
        assert bounds == sorted(bounds)


def test_the_rules_know_nothing_of_the_talk() -> None:
    """No name, road, estate, town or goods of it, and no sentence, stands in the sources of detection."""
    folder = Path(next(iter(privacy.detection.__path__)))
    sources = "\n".join(path.read_text() for path in folder.glob("*chinese*.py"))
    told: list[str] = []
    for lists in (customer_talk.MINORITY, customer_talk.FOREIGN, customer_talk.ROADS, customer_talk.ESTATES):
        told += lists
    told += [*customer_talk.TOWNS, *customer_talk.VILLAGES]
    told += [part for template in TEMPLATES for part in re.split(r"\{\w+\}|[，。：？！、]", template) if len(part) > 5]
    assert [one for one in told if len(one) > 2 and one in sources] == []


def test_persons_and_addresses_of_unknown_talk_are_found_better_than_by_the_model_alone(chinese: Chinese) -> None:
    told = list(talk(31, 300))
    texts = [one.text for one in told]
    ours = [{Span(one.start, one.end, one.entity) for one in found} for found in chinese.find_all(texts)]
    names = {"PER": "PERSON", "LOC": "ADDRESS"}
    alone = [
        {Span(word.start, word.end, names[word.tag]) for word in words if word.tag in names}
        for words in Lac().words(texts)
    ]
    for entity, least in (("PERSON", 0.88), ("ADDRESS", 0.88)):
        wanted = [{span for span in one.spans if span.entity == entity} for one in told]
        reached, model = (_f2(wanted, _only(entity, side)) for side in (ours, alone))
        assert reached >= least
        assert reached >= model + 0.05


def _only(entity: str, found: Sequence[set[Span]]) -> list[set[Span]]:
    return [{span for span in spans if span.entity == entity} for spans in found]


def _f2(wanted: Sequence[set[Span]], found: Sequence[set[Span]]) -> float:
    right = sum(len(want & have) for want, have in zip(wanted, found, strict=True))
    precision, recall = right / sum(map(len, found)), right / sum(map(len, wanted))
    return 5 * precision * recall / (4 * precision + recall)
