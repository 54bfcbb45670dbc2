from __future__ import annotations

import re
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.errors import Invalid
from privacy.masks import HIDDEN, MASKS, mask

KINDS = tuple(MASKS)
EXAMPLES = {
    "phone": {
        "13800138000": "138****8000",
        "138-0013-8000": "138****8000",
        "１３８００１３８０００": "138****8000",
        "١٣٨٠٠١٣٨٠٠٠": "138****8000",
        "+86 138 0013 8000": "+86 138****8000",
        "008613800138000": "+86 138****8000",
        "8613800138000": "+86 138****8000",
        "13800138000转801": "138****8000",
        "010-62781234": "010****1234",
        "0571-8765432": "0571****432",
        "+86 10 6278 1234": "+86 10****1234",
        "62781234": "****1234",
        "400-820-1234": "****1234",
        "+44 (0)20 7946 0018": "+44 ****0018",
        "+1 202 555 0123": "+1 ****0123",
        "+852 6123 4567": "+852 ****4567",
        "110": HIDDEN,
        "95588": HIDDEN,
        "+86 1": HIDDEN,
        "+": HIDDEN,
        "13800138000/13900139000": HIDDEN,
        "call Anna 13800138000": HIDDEN,
        "1380013800\ud83d": HIDDEN + "3800",
    },
    "email": {
        "zhang.wei@example.cn": "z***@example.cn",
        "Zhang.Wei@EXAMPLE.cn": "Z***@EXAMPLE.cn",
        "张伟明@example.cn": "张***@example.cn",
        "anna@例子.example": "a***@例子.example",
        "ab@example.cn": "***@example.cn",
        "a@example.cn": "***@example.cn",
        "zhang＠example.cn": "z***@example.cn",
        "Anna Li <anna@example.cn>": HIDDEN,
        "anna@example.cn, li@example.cn": HIDDEN,
        "anna@localhost": HIDDEN,
        "anna": HIDDEN,
        "@example.cn": HIDDEN,
    },
    "id": {
        "11010519491231002X": "1****************X",
        "１１０１０５１９４９１２３１００２ｘ": "1****************X",
        "110105 19491231 002X": "1****************X",
        "110105491231002": "1*************2",
        "E12345678": "E******8",
        "H0123456700": "H******0",
        "1234567": HIDDEN,
        "京字第12345678号": HIDDEN,
    },
    "name": {
        "王伟": "王*",
        "王小明": "王**",
        "王 伟": "王*",
        "王　伟": "王*",
        "王": "*",
        "欧阳娜娜": "欧阳**",
        "欧阳修": "欧阳*",
        "欧阳": "欧*",
        "諸葛亮": "諸葛*",
        "阿卜杜拉·买买提": "阿***·买**",
        "阿卜杜拉•买买提": "阿***·买**",
        "𠮷田": "𠮷*",
        "John Smith": "J*** S****",
        "J. Smith": "J* S****",
        "X Li": "* L*",
        "José": "J***",
        "Jose\u0301": "J***",
        "김철수": "김**",
        "नरेंद्र": "न***",
        "Wolfeschlegelsteinhausen": "W********",
        "王伟13800138000": HIDDEN,
        "anna@example.cn": HIDDEN,
        "he is the man who lives next door": HIDDEN,
        "": HIDDEN,
    },
    "card": {
        "6222021234567890123": "****0123",
        "4111 1111 1111 1111": "****1111",
        "4111-1111-1111-1111": "****1111",
        "12345": HIDDEN,
        "41111111111111111111111": HIDDEN,
        "4111 1111 1111 1111 exp 12/30": HIDDEN,
    },
    "address": {
        "北京市海淀区中关村大街27号": "北京市海淀区****",
        "中国 北京市 海淀区 中关村大街27号": "北京市海淀区****",
        "广东省深圳市南山区科技园路1号": "广东省深圳市南山区****",
        "广东省 深圳市 南山区 科技园路1号": "广东省深圳市南山区****",
        "浙江杭州西湖区文三路90号": "浙江杭州西湖区****",
        "深圳市南山区科技园路1号": "深圳市南山区****",
        "江苏省昆山市花桥镇": "江苏省昆山市****",
        "上海市浦东新区世纪大道100号": "上海市浦东新区****",
        "新疆维吾尔自治区伊犁哈萨克自治州伊宁市解放路1号": "新疆维吾尔自治区伊犁哈萨克自治州伊宁市****",
        "湖北省恩施土家族苗族自治州恩施市": "湖北省恩施土家族苗族自治州恩施市****",
        "内蒙古自治区锡林郭勒盟锡林浩特市": "内蒙古自治区锡林郭勒盟锡林浩特市****",
        "四川省凉山彝族自治州木里藏族自治县": "四川省凉山彝族自治州木里藏族自治县****",
        "香港特别行政区九龙弥敦道1号": "香港特别行政区****",
        "上海市南京东路步行街小区": "上海市****",
        "河北省石家庄市王伟家小区": "河北省石家庄市****",
        "江苏南京东路1号": "江苏****",
        "北京市沙河市场12号": "北京市****",
        "北京朝阳北路1号": "北京****",
        "北京西路100号": HIDDEN,
        "王伟住北京市朝阳区": HIDDEN,
        "中关村大街27号": HIDDEN,
        "123 Main Street, Springfield, IL 62704, USA": "****, USA",
        "10 Example St, London SW1A 2AA": "****, London",
        "5 rue de l'Exemple, 75000 Aix-en-Provence": "****, Aix-en-Provence",
        "Hauptstr. 5": HIDDEN,
        "Main Street 5, c/o John Smith": HIDDEN,
        "Main Street, 12": HIDDEN,
    },
    "all": {"": HIDDEN, "x": HIDDEN, "王伟" * 500: HIDDEN},
}


@pytest.mark.parametrize(
    ("kind", "index"), [(kind, index) for kind in EXAMPLES for index in range(len(EXAMPLES[kind]))]
)
def test_a_mask_shows_what_it_promises(kind: str, index: int) -> None:
    value, masked = list(EXAMPLES[kind].items())[index]
    assert mask(kind, value) == masked


def test_every_mask_has_examples_and_a_promise() -> None:
    assert set(EXAMPLES) == set(MASKS)
    assert all(each.name == name and each.shows for name, each in MASKS.items())


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_text_is_hidden_whole(kind: str) -> None:
    for value in (13800138000, 1.5, date(1990, 3, 7), None, True, ["王伟"], b"13800138000"):
        assert mask(kind, value) == HIDDEN


def test_an_unknown_mask_is_refused_with_the_known_ones() -> None:
    with pytest.raises(Invalid, match="phone, email, id, name, card, address, all") as refusal:
        mask("blur", "王伟")
    assert "王伟" not in str(refusal.value)


ALPHABET = "0123456789+-() x转;=.@,aAzŁ王伟欧阳北京市区省县路·*\u0301\u0345ß\u200d\ud83d\udc00１ "
ANYTHING = st.one_of(
    st.text(max_size=40),
    st.text(st.characters(exclude_categories=()), max_size=40),
    st.text(ALPHABET, max_size=30),
    st.from_regex(r"\+?[0-9 -]{0,24}", fullmatch=True),
    st.builds("{}@{}.{}".format, st.text(max_size=8), st.text(max_size=12), st.text(max_size=5)),
    st.builds("{}{}".format, st.sampled_from(list(EXAMPLES["address"])), st.text(ALPHABET, max_size=8)),
    st.integers(500, 3000).map(lambda length: "王a1 " * length),
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_text_has_a_short_clean_mask_that_masks_to_itself(kind: str) -> None:
    @settings(max_examples=400)
    @given(ANYTHING)
    def check(value: str) -> None:
        masked = mask(kind, value)
        assert "*" in masked
        assert len(masked) <= 300
        assert masked.encode()
        assert masked.isprintable()
        assert mask(kind, masked) == masked

    check()


@settings(max_examples=400)
@given(ANYTHING)
def test_at_least_four_digits_of_a_number_stay_hidden(value: str) -> None:
    digits = sum(character.isdecimal() for character in value)
    shown = re.sub("[^0-9]", "", mask("phone", value))
    assert re.fullmatch(r"(\+[0-9]{1,3} )?([0-9]{2,4})?\*{4}([0-9]{3,4})?", mask("phone", value))
    assert not shown or "*" in value or len(shown) + 4 <= digits


@settings(max_examples=400)
@given(ANYTHING)
def test_a_card_or_a_document_shows_no_more_than_its_promise(value: str) -> None:
    assert re.fullmatch(r"\*{4}([0-9]{4})?", mask("card", value))
    assert re.fullmatch(r"\*{4}|[0-9A-Z]\*{6,16}[0-9A-Z]", mask("id", value))


@settings(max_examples=400)
@given(ANYTHING)
def test_a_name_shows_one_letter_a_word_or_a_compound_surname(value: str) -> None:
    for word in re.split("[ ·]", mask("name", value)):
        assert re.fullmatch(r"(?:\w[^\w*]{0,3}|\w\w)?\*{1,8}", word), "more of a word is shown"


@given(st.data())
def test_a_mask_does_not_depend_on_what_it_hides(data: st.DataObject) -> None:
    def two(alphabet: str, size: int) -> tuple[str, str]:
        text = st.text(alphabet, min_size=size, max_size=size)
        return data.draw(text), data.draw(text)

    def two_of_any_length(alphabet: str) -> tuple[str, str]:
        text = st.text(alphabet, min_size=3, max_size=12)
        return data.draw(text), data.draw(text)

    one, other = two("0123456789", 4)
    assert mask("phone", f"139{one}8000") == mask("phone", f"139{other}8000")
    assert mask("phone", f"+44 20 2{one}0018") == mask("phone", f"+44 20 3{other}0018")
    one, other = two("0123456789", 16)
    assert mask("id", f"1{one}X") == mask("id", f"1{other}X")
    one, other = two("0123456789", 12)
    assert mask("card", f"{one}1111") == mask("card", f"{other}1111")
    one, other = two_of_any_length("abcdef.王")
    assert mask("email", f"z{one}@example.cn") == mask("email", f"z{other}@example.cn")
    one, other = two_of_any_length("路号街0123456789甲乙")
    assert mask("address", f"北京市海淀区{one}") == mask("address", f"北京市海淀区{other}")
    one, other = two_of_any_length("abcdef 0123456789,")
    assert mask("address", f"{one} St, Springfield") == mask("address", f"{other} St, Springfield")
    one, other = two("伟明华娜", 2)
    assert mask("name", f"王{one}") == mask("name", f"王{other}")
    one, other = two("abcdef", 4)
    assert mask("name", f"J{one}") == mask("name", f"J{other}")
