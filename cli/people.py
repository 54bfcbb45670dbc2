"""Invented people for the demonstration: half of them Chinese, half of them British, the same for a seed.

Names and addresses are Faker's. Mail addresses stand in RFC 2606 domains, British telephone numbers in the
ranges that Ofcom keeps for drama; Chinese numbers have no such range and are drawn at random.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Final, Literal

from faker import Faker

# https://www.ofcom.org.uk: numbers for drama use, a thousand each
_DRAMA: Final = ("+44 7700 900{:03}", "+44 1632 960{:03}", "+44 20 7946 0{:03}", "+44 113 496 0{:03}")
_YEARS: Final = (1950, 2007)
_JOINED: Final = (2019, 2025)

Language = Literal["zh", "en"]

_REASONS: Final[dict[Language, tuple[str, ...]]] = {
    "zh": ("朋友推荐", "想参加线下活动", "希望获得会员优惠", "关注产品更新"),
    "en": ("A friend told me about it", "I want to come to the events", "For the member discounts"),
}


@dataclass(frozen=True, slots=True)
class Person:
    """One invented person, as the community platform knows them."""

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


def marketing_choice(person: Person, seed: int) -> Literal["given", "refused"] | None:
    """What this person said about marketing; None when they were not asked."""
    return random.Random(f"{seed}/{person.number}/marketing").choice(("given", "given", "refused", None, None))  # noqa: S311 - nothing secret
