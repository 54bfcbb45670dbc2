from __future__ import annotations

import random
import sys
import traceback
import unicodedata

import idna
import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.errors import Invalid
from privacy.normalise import NORMALISERS, normalise

KINDS = tuple(NORMALISERS)
SPELLINGS = {
    "phone": {
        "+8613800138000": [
            *("13800138000", "138 0013 8000", "138-0013-8000", "+86 138 0013 8000", "+8613800138000"),
            *("0086 13800138000", "(+86) 138-0013-8000", "１３８００１３８０００", "＋86 138.0013.8000"),
            *(" 13800138000 ", "138\u200b0013\u200b8000", "\u202d13800138000\u202c", "tel:+86-138-0013-8000"),
        ],
        "+861062781234": ["010-62781234", "(010) 6278 1234", "+86 10 6278 1234", "+86 (010) 62781234"],
        "+861062781234;ext=801": ["010-62781234转801", "010-62781234 ext. 801", "+861062781234;ext=801"],
        "+442079460018": ["+44 20 7946 0018", "+44 (0)20 7946 0018", "0044 20 7946 0018"],
        "+12025550123": ["+1 (202) 555-0123", "+1-202-555-0123"],
    },
    "email": {
        "zhang.wei@example.cn": [
            *(
                "zhang.wei@example.cn",
                "Zhang.Wei@EXAMPLE.CN",
                " zhang.wei@example.cn\n",
                "zhang.wei＠example．cn",
            ),
            *("zhang.wei@example.cn.", "ｚhang.wei@example。cn", "zhang\u200b.wei@example.cn"),
        ],
        "info@xn--fsqu00a.example": ["info@例子.example", "INFO@例子.EXAMPLE", "info@xn--fsqu00a.example"],
        "a@xn--bcher-kva.example": ["a@bücher.example", "a@BÜCHER.example", "a@bu\u0308cher.example"],
    },
    "cn-id": {
        "11010519491231002X": [
            *(
                "11010519491231002X",
                "11010519491231002x",
                " 110105 19491231 002X ",
                "１１０１０５１９４９１２３１００２Ｘ",
            ),
            "110105491231002",
        ],
    },
    "name": {
        "王伟": ["王伟", " 王伟 ", "王 伟", "王　伟", "王\u200b伟"],
        "john smith": ["John Smith", "JOHN  SMITH", "Ｊｏｈｎ Ｓｍｉｔｈ", "john\u00a0smith"],
        "阿卜杜拉·买买提": [
            "阿卜杜拉·买买提",
            "阿卜杜拉•买买提",
            "阿卜杜拉・买买提",
            "阿卜杜拉 · 买买提",
            "阿卜杜拉･买买提",
        ],
        "strasse": ["Straße", "STRASSE", "STRA\u1e9eE"],
        "josé": ["José", "Jose\u0301", "JOSÉ"],
    },
    "text": {"广东省 深圳市": ["广东省 深圳市", "广东省\n深圳市", "\t广东省  深圳市"]},
}


@pytest.mark.parametrize("kind", SPELLINGS)
def test_spellings_of_one_value_become_one(kind: str) -> None:
    for one, spellings in SPELLINGS[kind].items():
        assert {normalise(kind, spelling) for spelling in spellings} == {one}


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("email", "a.b@example.cn", "ab@example.cn"),
        ("email", "a+x@example.cn", "a@example.cn"),
        ("phone", "010-62781234", "010-62781234转801"),
        ("name", "李 明 Wei", "李明Wei"),
        ("text", "王 伟", "王伟"),
    ],
)
def test_different_values_stay_different(kind: str, one: str, other: str) -> None:
    assert normalise(kind, one) != normalise(kind, other)


REFUSED = {
    "email": [
        *(
            "",
            "@",
            "a@",
            "@example.cn",
            "a@b@example.cn",
            "a b@example.cn",
            "zhang",
            "a@-x.example",
            "a@x..example",
        ),
        *(
            "a@[192.0.2.1]",
            "a@exa mple.cn",
            "a@" + "x" * 64 + ".example",
            "a" * 260 + "@example.cn",
            "a@\ud800.cn",
        ),
    ],
    "phone": [
        "",
        "12",
        "abc",
        "138001380001380013800",
        "+999 1",
        "\ud800",
        "1" * 5000,
        "12345",
    ],
    "cn-id": [
        *("", "110105194912310021", "11010519491331002X", "1101051949123100", "01010519491231002X", "A" * 18),
        *("110105490231002", "١١٠١٠٥٤٩١٢٣١٠٠٢", "11010519491231002XX"),
    ],
    "name": ["", "   ", "\u200b", "王\udfff", "x" * 4097],
    "text": ["", "\n", "\ud83d"],
}


@pytest.mark.parametrize(("kind", "index"), [(kind, index) for kind in REFUSED for index in range(len(REFUSED[kind]))])
def test_what_cannot_be_such_a_value_is_refused(kind: str, index: int) -> None:
    with pytest.raises(Invalid):
        normalise(kind, REFUSED[kind][index])


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("email", "geheim@\u2602secret..example"),
        ("email", "x@geheim_secret.example"),
        ("phone", "geheim-secret"),
        ("cn-id", "110105194912310021"),
        ("text", "geheim secret \ud800"),
    ],
    ids=["email", "email-domain", "phone", "cn-id", "text"],
)
def test_a_refusal_never_carries_the_value(kind: str, value: str) -> None:
    with pytest.raises(Invalid) as refusal:
        normalise(kind, value)
    error: BaseException | None = refusal.value
    assert error is not None
    assert error.__cause__ is None
    assert error.__context__ is None
    told = "".join(traceback.format_exception_only(refusal.value)) + repr(refusal.value.context)
    assert not any(part in told for part in ("geheim", "secret", "1949"))


def test_an_unknown_normaliser_is_refused_with_the_known_ones() -> None:
    with pytest.raises(Invalid, match="email, phone, cn-id, name, text"):
        normalise("fingerprint", "x")


def test_the_names_are_those_that_manifests_use() -> None:
    assert {name: normaliser.name for name, normaliser in NORMALISERS.items()} == {name: name for name in KINDS}
    assert KINDS == ("email", "phone", "cn-id", "name", "text")


def test_a_number_without_country_code_belongs_to_the_region() -> None:
    assert normalise("phone", "020 7946 0018", "GB") == "+442079460018"
    assert normalise("phone", "6123 4567", "HK") == "+85261234567"
    assert normalise("phone", "+86 13800138000", "GB") == "+8613800138000"
    with pytest.raises(Invalid):
        normalise("phone", "555-0123", "US")  # whose area code?


@pytest.mark.parametrize("region", ["", "cn", "XX", "CHN"])
def test_an_unknown_region_is_refused(region: str) -> None:
    with pytest.raises(Invalid, match="ISO 3166"):
        normalise("phone", "020 7946 0018", region)


ANYTHING = st.one_of(
    st.text(max_size=40),
    st.text(st.characters(codec="utf-8"), max_size=40),
    st.text("0123456789+-() x转;=.@aA王·\u0301\u0345ßẞ\u200d ", max_size=24),
    st.builds("{}@{}".format, st.text(max_size=8), st.text(max_size=12)),
)


@pytest.mark.parametrize("kind", KINDS)
def test_normalising_twice_changes_nothing(kind: str) -> None:
    @settings(max_examples=300)
    @given(ANYTHING)
    def check(value: str) -> None:
        try:
            once = normalise(kind, value)
        except Invalid:
            return
        assert once
        assert once.encode()
        assert normalise(kind, once) == once

    check()


def test_no_character_of_unicode_normalises_differently_the_second_time() -> None:
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        if unicodedata.category(character) in ("Cn", "Co", "Cs", "Lo"):
            continue
        for value in (f"a{character}b", f"{character}\u0301"):
            once = normalise("text", value)
            assert normalise("text", once) == once, f"U+{code:04X}"


def test_the_short_way_agrees_with_phonenumbers_on_mobile_numbers() -> None:
    chance = random.Random(20260101)
    for _ in range(2000):
        digits = f"1{chance.randrange(3, 10)}{chance.randrange(10**9):09}"
        gap, prefix = chance.choice(["", " ", "-"]), chance.choice(["", "+86", "+86 "])
        value = f"{prefix}{digits[:3]}{gap}{digits[3:7]}{gap}{digits[7:]}"
        parsed = phonenumbers.parse(value, "CN")
        e164 = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
        assert normalise("phone", value) == e164 == f"+86{digits}"


@given(st.integers(100000, 999999), st.dates(), st.integers(0, 999))
def test_exactly_one_check_character_makes_an_identity_number(area: int, born: object, serial: int) -> None:
    body = f"{area}{str(born).replace('-', '')}{serial:03}"
    passed = []
    for check in "0123456789X":
        try:
            passed.append(normalise("cn-id", body + check))
        except Invalid:
            continue
    assert len(passed) == 1
    if body[6:8] == "19":
        assert normalise("cn-id", body[:6] + body[8:]) == passed[0]


@given(st.text("zhangwei.", min_size=1, max_size=10), st.booleans(), st.booleans())
def test_case_and_width_of_an_address_make_no_difference(local: str, upper: bool, wide: bool) -> None:
    address = f"{local}@example.cn"
    written = address.upper() if upper else address
    if wide:
        written = "".join(chr(ord(character) + 0xFEE0) for character in written)
    assert normalise("email", written) == address


@given(st.from_regex(r"[a-z0-9-]{1,9}(\.[a-z0-9-]{1,9}){0,2}", fullmatch=True))
def test_the_short_way_for_plain_domains_agrees_with_idna(domain: str) -> None:
    try:
        expected = idna.encode(domain, uts46=True, std3_rules=True).decode()
    except idna.IDNAError:
        with pytest.raises(Invalid):
            normalise("email", f"a@{domain}")
        return
    assert normalise("email", f"a@{domain}") == f"a@{expected}"


def test_a_carrier_code_is_not_taken_for_the_beginning_of_a_mobile_number() -> None:
    with pytest.raises(Invalid):
        normalise("phone", "17927007692")  # 17927 is a carrier's code, and 007692 no number


def test_a_number_that_reads_differently_the_second_time_is_refused() -> None:
    with pytest.raises(Invalid):
        normalise("phone", "0001519602", "AE")  # +971 001519602, which reads +971 01519602
