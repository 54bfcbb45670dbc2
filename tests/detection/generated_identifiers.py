"""Identifiers made up by the thousand, in texts: every kind, in every written form, and what only looks like one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

from tests.detection import generated_values as values

FORMS: Final = ("plain", "spaced", "full-width", "glued")


@dataclass(frozen=True, slots=True)
class Sample:
    """A text and where its one identifier stands; of a near miss, where it would."""

    text: str
    start: int
    end: int
    entity: str


@dataclass(frozen=True, slots=True)
class Kind:
    """`make` gives a valid value, `spaced` another written form of it, `miss` what is none.

    `leads` are the words that must stand before a value whose form says too little; empty where the form is enough.
    """

    name: str
    entity: str
    make: Callable[[Random], str]
    spaced: Callable[[Random, str], str]
    miss: Callable[[Random], str]
    leads: tuple[str, ...] = ()


def samples(kind: Kind, form: str, count: int, random: Random) -> Iterator[Sample]:
    """`count` texts with one identifier each, in this form."""
    for _ in range(count):
        value = kind.make(random)
        lead = random.choice(kind.leads) if kind.leads else ""
        if form == "spaced":
            value = kind.spaced(random, value)
        if form == "full-width":
            value = _full_width(value)
        before, after = random.choice(_GLUED if form == "glued" else _APART)
        if lead:
            link = "" if form == "glued" else random.choice(_LINKS)
            before += lead + (" " if not link and lead.isascii() and value[0].isalpha() else link)
        start = len(before)
        yield Sample(before + value + after, start, start + len(value), kind.entity)


def near_misses(kind: Kind, count: int, random: Random) -> Iterator[Sample]:
    """`count` texts without an identifier of the kind: no word before them says that they were one."""
    for number in range(count):
        value = kind.miss(random)
        before, after = random.choice(_GLUED if number % 2 else _APART)
        if number % 3 == 0 and value.isdigit():
            before += random.choice(values.THINGS)
        yield Sample(before + value + after, len(before), len(before) + len(value), kind.entity)


_APART: Final = (
    ("", ""),
    ("", "，请核对。"),
    ("资料：", "；"),
    ("客户提供 ", " ，已登记"),
    ("please note ", " for later"),
    ("（", "）"),
    ("见附件\n", "\n谢谢"),
    ("[", "]"),
    ("“", "”"),
    ("他说 ", "。"),
    ("", " and then some"),
    ("a, ", ", b"),
)
_GLUED: Final = (
    ("我的", "请查收"),
    ("已登记", "谢谢"),
    ("就是", "没错"),
    ("麻烦记下", "好吗"),
    ("她填了", "之后走了"),
    ("改成", "吧"),
    ("请把", "发给同事"),
    ("系统里", "的那位"),
    ("核实过", "了"),
    ("对方给的", "有人接听"),
    ("备注写着", "万一有事找他"),
)
_LINKS: Final = ("：", ": ", "是", "为 ", " ", "", "号码：", "是：", " is ")


def _full_width(value: str) -> str:
    return "".join("\u3000" if c == " " else chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in value)


_ID_LEADS: Final = ("身份证号", "身份证号码", "证件号码", "身份证", "他的身份证")
KINDS: Final = (
    Kind("resident ID", "CN_RESIDENT_ID", values.resident_id, values.spaced_resident_id, values.not_resident_id),
    Kind(
        "resident ID of 15",
        "CN_RESIDENT_ID",
        values.short_resident_id,
        lambda r, v: values.chunks(v, 6, 6, 3),
        values.short_resident_id,
        _ID_LEADS,
    ),
    Kind("mobile", "CN_MOBILE", values.mobile, values.spaced_mobile, values.not_mobile),
    Kind("landline", "CN_LANDLINE", values.landline, values.spaced_landline, values.not_landline),
    Kind("bank card", "CN_BANK_CARD", values.union_card, values.fours, values.not_card(values.union_card)),
    Kind("credit card", "CREDIT_CARD", values.credit_card, values.fours, values.not_card(values.credit_card)),
    Kind(
        "passport",
        "CN_PASSPORT",
        values.passport,
        values.spaced_lettered,
        values.passport,
        ("护照", "护照号", "护照号码", "持有中国护照", "passport"),
    ),
    Kind(
        "permit HK/Macao",
        "CN_HK_MACAO_PERMIT",
        values.hk_permit,
        values.spaced_lettered,
        values.hk_permit,
        ("港澳通行证", "往来港澳通行证号", "回乡证", "港澳居民来往内地通行证", "通行证号码"),
    ),
    Kind(
        "permit Taiwan",
        "CN_TAIWAN_PERMIT",
        values.taiwan_permit,
        values.spaced_lettered,
        values.taiwan_permit,
        ("往来台湾通行证", "大陆居民往来台湾通行证号", "通行证"),
    ),
    Kind(
        "compatriot",
        "CN_TAIWAN_PERMIT",
        lambda r: values.digits(r, 8),
        lambda r, v: values.chunks(v, 4),
        lambda r: values.digits(r, 8),
        ("台胞证", "台胞证号", "台湾居民来往大陆通行证"),
    ),
    Kind(
        "military",
        "CN_MILITARY_ID",
        values.military,
        lambda r, v: v.replace("第", "第 "),
        lambda r: values.digits(r, 8),
        ("军官证", "士兵证号", ""),
    ),
    Kind(
        "household book",
        "CN_HOUSEHOLD_BOOK",
        values.household,
        values.same,
        values.household,
        ("户口簿号", "户口本编号", "户口簿", "户籍号"),
    ),
    Kind("credit code", "CN_USCC", values.credit_code, values.fours, values.not_credit_code),
    Kind("plate", "CN_PLATE", values.plate, values.spaced_plate, values.not_plate),
    Kind(
        "WeChat",
        "CN_WECHAT",
        values.wechat,
        values.same,
        values.wechat,
        ("微信", "微信号", "加我微信", "wechat", "VX", "微信ID", "微信账号"),
    ),
    Kind("QQ", "CN_QQ", values.qq, values.same, values.qq, ("QQ", "QQ号", "qq号码", "扣扣", "我的QQ")),
    Kind(
        "Alipay",
        "CN_ALIPAY",
        values.alipay,
        values.same,
        lambda r: "2088" + values.digits(r, 12),
        ("支付宝", "支付宝账号", "支付宝账户", "alipay account"),
    ),
    Kind(
        "courier",
        "CN_COURIER_NUMBER",
        values.courier,
        values.same,
        lambda r: "SF" + values.digits(r, 13),
        ("快递单号", "运单号", "物流单号", "顺丰单号"),
    ),
    Kind("e-mail", "EMAIL_ADDRESS", values.email, values.same, values.not_email),
    Kind("web", "URL", values.url, lambda r, v: v, lambda r: values.url(r).replace("://", ":/", 1).replace("www.", "")),
    Kind("IPv4", "IP_ADDRESS", values.ipv4, lambda r, v: v, values.not_ipv4),
    Kind("IPv6", "IP_ADDRESS", values.ipv6, values.same, values.not_ipv6),
    Kind("MAC", "MAC_ADDRESS", values.mac, values.spaced_mac, values.not_mac),
    Kind("IMEI", "IMEI", values.imei, lambda r, v: values.chunks(v, 2, 6, 6, 1, by="-"), values.not_card(values.imei)),
    Kind(
        "date of birth",
        "BIRTH_DATE",
        values.birth,
        values.spaced_birth,
        values.birth,
        ("出生日期", "生日", "出生于", "date of birth", "DOB", "born on"),
    ),
    Kind(
        "driving licence",
        "CN_DRIVING_LICENCE",
        values.driving,
        values.fours,
        values.driving,
        ("驾驶证档案编号", "驾照号", "驾驶证号码"),
    ),
    Kind(
        "licence",
        "CN_LICENCE",
        values.licence,
        values.fours,
        values.licence,
        ("律师执业证号", "医师执业证书编号", "教师资格证号", "护士执业证书号"),
    ),
    Kind("IBAN", "IBAN_CODE", values.iban, lambda r, v: values.chunks(v, 4), values.not_iban),
)
