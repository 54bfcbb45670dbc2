"""Invented people for the demonstration: half of them Chinese, half of them British, the same for a seed.

Names and addresses are Faker's, and so is the place in a Chinese identity number. Mail addresses stand in RFC 2606
domains, British telephone numbers in the ranges that Ofcom keeps for drama; Chinese numbers have no such range and
are drawn at random.

One of them is thirteen years old today, whenever that is, and has another for a guardian.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal

from faker import Faker

# https://www.ofcom.org.uk: numbers for drama use, a thousand each
_DRAMA: Final = ("+44 7700 900{:03}", "+44 1632 960{:03}", "+44 20 7946 0{:03}", "+44 113 496 0{:03}")
_YEARS: Final = (1950, 2007)
_JOINED: Final = (2019, 2025)
CHILD: Final = 5
GUARDIAN: Final = 3
_CHILD_AGE: Final = 13
_CHILD_DAYS: Final = 200  # after the last birthday

Language = Literal["zh", "en"]
Decision = Literal["given", "refused", "deferred"]

MARKETING: Final = "marketing"
STATISTICS: Final = "statistics"
NEWSLETTER: Final = "community-newsletter"
PARTNER: Final = "partner-offers"
IDENTITY: Final = "identity-verification"

_REASONS: Final[dict[Language, tuple[str, ...]]] = {
    "zh": ("朋友推荐", "想参加线下活动", "希望获得会员优惠", "关注产品更新"),
    "en": ("A friend told me about it", "I want to come to the events", "For the member discounts"),
}


@dataclass(frozen=True, slots=True)
class Person:
    """One invented person, as the community platform knows them.

    `guardian` is the number of a child's guardian. British people have no identity number.
    """

    number: int
    language: Language
    jurisdiction: str
    name: str = field(repr=False)
    phone: str = field(repr=False)
    email: str = field(repr=False)
    address: str = field(repr=False)
    born: date = field(repr=False)
    joined: date = field(repr=False)
    reason: str = field(repr=False)
    id_number: str | None = field(default=None, repr=False)
    guardian: int | None = None

    @property
    def external_id(self) -> str:
        return f"demo-{self.number:06}"


@dataclass(frozen=True, slots=True)
class Talk:
    """What a person said to the desk, how and when. `complaint` when something was wrong."""

    channel: str
    at: datetime
    text: str = field(repr=False)
    is_complaint: bool
    satisfaction: int


def people(count: int, seed: int) -> Iterator[Person]:
    """`count` people. A greater count begins with the same people."""
    chinese, british = Faker("zh_CN"), Faker("en_GB")
    chinese.seed_instance(seed)
    british.seed_instance(seed)
    dice = random.Random(seed)  # noqa: S311 - nothing here is secret
    taken: set[str] = set()
    for number in range(1, count + 1):
        born = date(dice.randint(*_YEARS), dice.randint(1, 12), dice.randint(1, 28))
        joined = date(dice.randint(*_JOINED), dice.randint(1, 12), dice.randint(1, 28))
        guardian = GUARDIAN if number == CHILD else None
        if guardian is not None:
            born, joined = _child()
        if number % 2:
            phone = chinese.phone_number()
            while phone in taken:
                phone = chinese.phone_number()
            taken.add(phone)
            yield Person(
                number,
                "zh",
                "CN",
                name=chinese.name(),
                phone=phone,
                email=f"member{number}@example.com",
                address=chinese.address().replace("\n", " "),
                born=born,
                joined=joined,
                reason=dice.choice(_REASONS["zh"]),
                id_number=_id_number(chinese.ssn(), born),
                guardian=guardian,
            )
        else:
            name = british.name()
            turn, place = divmod(number // 2 - 1, 1000)
            yield Person(
                number,
                "en",
                "GB",
                name=name,
                phone=_DRAMA[turn % len(_DRAMA)].format(place),
                email=f"{name.split()[-1].lower().replace(chr(39), '')}{number}@example.org",
                address=british.address().replace("\n", ", "),
                born=born,
                joined=joined,
                reason=dice.choice(_REASONS["en"]),
            )


def _child() -> tuple[date, date]:
    """When the child was born, and when it joined."""
    birthday = datetime.now(UTC).date() - timedelta(days=_CHILD_DAYS)
    return birthday.replace(year=birthday.year - _CHILD_AGE, day=min(birthday.day, 28)), birthday


def _id_number(drawn: str, born: date) -> str:
    """An identity number (GB 11643) with the place of the one drawn, and the right birth date and check character."""
    digits = f"{drawn[:6]}{born:%Y%m%d}{drawn[14:17]}"
    weighted = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(digits))  # ISO 7064 MOD 11-2
    return digits + "10X98765432"[weighted % 11]


_SAID: Final[dict[Language, tuple[tuple[str, bool], ...]]] = {
    "zh": (
        ("您好，我是{name}，想把收货地址改成{address}，麻烦尽快处理，谢谢。", False),
        ("请问会员积分什么时候到账？我的手机号是{phone}。", False),
        ("活动报名成功了，但没有收到短信，请帮我查一下 {phone} 这个号码。", False),
        ("客服态度很好，问题已经解决，感谢。", False),
        ("我已经第三次反映了！退款一直没有到账，请打 {phone} 联系我，{name}。", True),
        ("有人在社区里公开了我的住址（{address}），请立即删除并告诉我是谁发的。", True),
        ("我没有同意过营销短信，却每天都收到，请停止使用我的号码 {phone}。", True),
    ),
    "en": (
        ("Hello, {name} here. Please change my delivery address to {address}, thank you.", False),
        ("When will my member points arrive? My number is {phone}.", False),
        ("I signed up for the event and got no text message. Could you check {phone}?", False),
        ("The desk was very friendly and the matter is settled. Thanks!", False),
        ("This is the third time I ask for my refund. Call me on {phone}, {name}.", True),
        ("Somebody has posted my home address ({address}) in the forum. Take it down and tell me who.", True),
        ("I never agreed to marketing texts and get one every day. Stop using {phone}.", True),
    ),
}
_CHANNELS: Final = ("phone", "chat", "email", "app")


def talks(person: Person, seed: int) -> list[Talk]:
    """What this person said to the desk: nothing for two of five, else one or two things."""
    dice = random.Random(f"{seed}/{person.number}")  # noqa: S311 - nothing secret
    chosen = dice.sample(_SAID[person.language], dice.choice((0, 0, 1, 1, 2)))
    return [
        Talk(
            channel=dice.choice(_CHANNELS),
            at=datetime(2026, dice.randint(1, 6), dice.randint(1, 28), dice.randint(8, 20), tzinfo=UTC),
            text=text.format(name=person.name, phone=person.phone, address=person.address),
            is_complaint=is_complaint,
            satisfaction=dice.randint(1, 2) if is_complaint else dice.randint(3, 5),
        )
        for text, is_complaint in chosen
    ]


def decisions(person: Person, seed: int) -> dict[str, Decision]:
    """What this person said about each purpose that they were asked about: nobody is asked about everything."""
    if person.guardian is not None:
        return {MARKETING: "given"}
    dice = random.Random(f"{seed}/{person.number}/consent")  # noqa: S311 - nothing secret
    marketing: Decision = dice.choice(("given", "given", "refused"))
    newsletter: Decision = dice.choice(("given", "refused", "deferred"))
    partner: Decision = "given" if dice.random() < 1 / 8 else "refused"
    identity: Decision | None = dice.choice(("given", "given", "refused", "deferred", None, None))
    is_asked, is_asked_more = dice.random() < 2 / 3, dice.random() < 1 / 2
    said: dict[str, Decision] = {}
    if dice.random() < 9 / 10:
        said[STATISTICS] = dice.choice(("given", "given", "given", "refused"))
    if not is_asked:
        return said
    said[MARKETING] = marketing
    if is_asked_more:
        said |= {NEWSLETTER: newsletter, PARTNER: partner}
    if person.id_number is not None and identity is not None:
        said[IDENTITY] = identity
    return said


def withdraws(person: Person, seed: int) -> bool:
    """Whether this person gave consent to marketing and took it back later."""
    if person.guardian is not None or decisions(person, seed).get(MARKETING) != "given":
        return False
    return random.Random(f"{seed}/{person.number}/withdrawal").random() < 1 / 8  # noqa: S311 - nothing secret
