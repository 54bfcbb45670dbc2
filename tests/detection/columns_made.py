"""Tables of invented people, one column of each kind, with what each column is: for tests and for the benchmark.

Names, addresses, numbers and texts come from faker (zh_CN, en_US) and from the few makers below; the rules under test
know neither. Each column has a name in one of the two languages and the categories that are right for it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from faker import Faker

from privacy.detection.columns_kinds import Role

NONE: Final = ""
"""Stands for: no category, for the column says nothing of a person."""


@dataclass(frozen=True, slots=True)
class Made:
    """`right` are the categories that are right, `entities` what another tool may call it; empty for what is none."""

    name: str
    right: frozenset[str]
    roles: frozenset[Role]
    entities: frozenset[str]
    cells: list[str | None]


Maker = Callable[[random.Random, Faker, Faker], str]


def _weighted(*choices: str) -> Maker:
    return lambda chance, zh, en: chance.choice(choices)


def _check_digit(body: str) -> str:
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return "10X98765432"[sum(int(digit) * weight for digit, weight in zip(body, weights, strict=True)) % 11]


def resident_id(chance: random.Random, *_: Faker) -> str:
    born = date(1950, 1, 1) + timedelta(days=chance.randrange(20_000))
    body = (
        chance.choice(("110105", "310104", "440305", "510107", "330106", "420111"))
        + f"{born:%Y%m%d}{chance.randrange(1000):03d}"
    )
    return body + _check_digit(body)


def card(chance: random.Random, *_: Faker) -> str:
    body = chance.choice(("622202", "621700", "622848", "625965")) + "".join(chance.choices("0123456789", k=12))
    doubled = [int(digit) * (2 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(body))]
    return body + str(-sum(value - 9 if value > 9 else value for value in doubled) % 10)


def _mobile(chance: random.Random, *_: Faker) -> str:
    return f"1{chance.choice('3456789')}{chance.randrange(10**9):09d}"


def _plate(chance: random.Random, *_: Faker) -> str:
    return (
        chance.choice("京沪粤浙川苏")
        + chance.choice("ABCDE")
        + "".join(chance.choices("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789", k=5))
    )


def _passport(chance: random.Random, *_: Faker) -> str:
    return f"E{chance.choice('ABCDEFGH')}{chance.randrange(10**7):07d}"


def _remark(chance: random.Random, zh: Faker, en: Faker) -> str:
    said = chance.choice(
        (
            "客户来电咨询退款进度，请于{}前回复，联系电话{}。",
            "已与本人核对资料，{}之后再次回访，号码{}。",
            "反映快递迟迟未到，约定{}上门，预留手机{}。",
            "要求开具发票并补寄，{}截止，有事打{}。",
        )
    )
    return said.format(f"{chance.randrange(1, 13)}月{chance.randrange(1, 29)}日", _mobile(chance))


def _letter(chance: random.Random, zh: Faker, en: Faker) -> str:
    return f"{en.sentence(nb_words=9)} Write to {en.email()} or call before {chance.randrange(1, 12)} pm."


def _plain(chance: random.Random, zh: Faker, en: Faker) -> str:
    return str(en.paragraph(nb_sentences=2))


def _birth(chance: random.Random, zh: Faker, en: Faker) -> str:
    return f"{zh.date_of_birth(minimum_age=18, maximum_age=85):%Y-%m-%d}"


_P, _D, _Q, _N = Role.SENSITIVE, Role.DIRECT, Role.QUASI, Role.NONE
_PHONES: Final = "PHONE_NUMBER|CN_MOBILE"
_COLUMNS: Final[tuple[tuple[str, str, tuple[Role, ...], str, Maker], ...]] = (
    ("姓名", "pd:Name", (_D,), "PERSON", lambda c, zh, en: zh.name()),
    ("customer_name", "pd:Name", (_D,), "PERSON", lambda c, zh, en: en.name()),
    ("手机号", "pd:TelephoneNumber", (_D,), _PHONES, _mobile),
    ("contact_phone", "pd:TelephoneNumber", (_D,), _PHONES, lambda c, zh, en: en.phone_number()),
    ("email", "pd:EmailAddress", (_D,), "EMAIL_ADDRESS", lambda c, zh, en: en.email()),
    ("身份证号", "pd:OfficialID", (_D,), "CN_RESIDENT_ID", resident_id),
    ("ssn", "pd:OfficialID", (_D,), "US_SSN", lambda c, zh, en: en.ssn()),
    ("银行卡号", "pd:PaymentCardNumber", (_P,), "CREDIT_CARD|CN_BANK_CARD", card),
    ("护照号码", "pd:Passport", (_D,), "CN_PASSPORT|US_PASSPORT", _passport),
    ("iban", "pd:FinancialAccountNumber", (_P,), "IBAN_CODE", lambda c, zh, en: en.iban()),
    ("收货地址", "pd:PhysicalAddress", (_D,), "LOCATION|ADDRESS", lambda c, zh, en: zh.address()),
    ("billing_address", "pd:PhysicalAddress", (_D,), "LOCATION|ADDRESS",
     lambda c, zh, en: en.address().replace("\n", ", ")),
    ("last_login_ip", "pd:IPAddress", (_D,), "IP_ADDRESS", lambda c, zh, en: en.ipv4()),
    ("device_mac", "pd:MACAddress", (_D,), "MAC_ADDRESS", lambda c, zh, en: en.mac_address()),
    ("车牌", "pd:VehicalLicenseRegistration", (_D,), "CN_PLATE", _plate),
    ("用户昵称", "pd:Username", (_D,), "USERNAME", lambda c, zh, en: en.user_name()),
    ("出生日期", "pd:BirthDate", (_Q,), "DATE_TIME|BIRTH_DATE", _birth),
    ("性别", "pd:Gender", (_Q,), "GENDER", _weighted("男", "女", "女", "男", "未知")),
    ("age", "pd:AgeExact", (_Q,), "AGE", lambda c, zh, en: str(int(c.triangular(18, 88, 35)))),
    ("所在城市", "pd:City", (_Q,), "LOCATION", lambda c, zh, en: c.choice(
        ("北京市", "杭州市", "绍兴市", "南通市", "昆明市", "西宁市", "湘潭市", "洛阳市", "佛山市", "桂林市"))),
    ("occupation", "pd:Job", (_Q,), "TITLE", lambda c, zh, en: en.job()),
    ("民族", "pd:EthnicOrigin", (_P,), "NRP", _weighted("汉族", "汉族", "回族", "满族", "壮族", "苗族", "藏族")),
    ("blood_type", "pd:BloodType", (_P,), "BLOOD_TYPE", _weighted("A+", "O+", "B+", "AB+", "O-", "A-")),
    ("诊断结果", "pd:HealthRecord", (_P,), "MEDICAL", _weighted(
        "高血压", "糖尿病", "支气管炎", "腰椎间盘突出", "慢性胃炎", "偏头痛", "过敏性鼻炎", "双侧膝关节退行性变")),
    ("客服备注", "pd:Communication", (_D,), f"{_PHONES}", _remark),
    ("message", "pd:Communication", (_D,), "EMAIL_ADDRESS", _letter),
    ("订单金额", "pd:Transaction", (_N,), "", lambda c, zh, en: f"{c.uniform(5, 3000):.2f}"),
    ("order_status", NONE, (_N,), "", _weighted("paid", "shipped", "refunded", "pending", "awaiting pick-up")),
    ("created_at", "pd:ServiceConsumptionBehaviour", (_Q,), "DATE_TIME", lambda c, zh, en:
     f"{date(2024, 1, 1) + timedelta(days=c.randrange(700))} {c.randrange(24):02d}:{c.randrange(60):02d}:00"),
)  # fmt: skip


def table(rows: int = 200, seed: int = 7) -> list[Made]:
    """29 columns in Chinese and English; the same for the same arguments."""
    chance, zh, en = random.Random(seed), Faker("zh_CN"), Faker("en_US")
    zh.seed_instance(seed)
    en.seed_instance(seed)
    return [
        Made(
            name,
            frozenset(right.split("|")),
            frozenset(roles),
            frozenset(entities.split("|")) - {""},
            [maker(chance, zh, en) for _ in range(rows)],
        )
        for name, right, roles, entities, maker in _COLUMNS
    ]
