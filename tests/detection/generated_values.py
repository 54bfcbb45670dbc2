"""Values of every kind of identifier, their other written forms, and what only looks like one.

The check digits are computed here a second time, from the standards, so that the recognisers are not measured by
themselves. Every number is random; none is taken from anywhere.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from random import Random
from typing import Final

# What stands before a number that names a thing.
THINGS: Final = (
    "订单号",
    "订单编号：",
    "流水号 ",
    "序列号是",
    "金额¥",
    "版本号",
    "order no. ",
    "invoice #",
    "S/N: ",
    "型号：",
)


def digits(random: Random, count: int) -> str:
    return "".join(random.choices(string.digits, k=count))


def number(random: Random, count: int, first: str = "123456789") -> str:
    return random.choice(first) + digits(random, count - 1)


def chunks(value: str, *sizes: int, by: str = " ") -> str:
    """Cut to these sizes, the last of them again and again."""
    pieces, at, turn = [], 0, 0
    while at < len(value):
        size = sizes[min(turn, len(sizes) - 1)]
        pieces.append(value[at : at + size])
        at, turn = at + size, turn + 1
    return by.join(pieces)


def fours(random: Random, value: str) -> str:
    return chunks(value, 4, by=random.choice((" ", "-", " ")))


def same(random: Random, value: str) -> str:
    """Not written with spaces: another case, where there is one."""
    return value.upper() if random.random() < 0.2 else value


def changed(random: Random, value: str, at: int, alphabet: str) -> str:
    """Another character there."""
    return value[:at] + random.choice([c for c in alphabet if c != value[at]]) + value[at + 1 :]


def longer(random: Random, value: str) -> str:
    at = random.randrange(1, len(value))
    return value[:at] + random.choice(string.digits) + value[at:]


def order_number(random: Random, length: int) -> str:
    """As shops make them: the day, then a running number."""
    day = date(2021, 1, 1) + timedelta(days=random.randrange(1800))
    return (f"{day:%Y%m%d}" + digits(random, max(0, length - 8)))[:length]


_PROVINCES: Final = [
    "11",
    "12",
    "13",
    "14",
    "15",
    "21",
    "22",
    "23",
    "31",
    "32",
    "33",
    "34",
    "35",
    "36",
    "37",
    "41",
    "42",
    "43",
    "44",
    "45",
    "46",
    "50",
    "51",
    "52",
    "53",
    "54",
    "61",
    "62",
    "63",
    "64",
    "65",
]
_PROVINCES_AND_BEYOND: Final = [*_PROVINCES, "71", "81", "82", "83"]


def day(random: Random, first: int = 1940, last: int = 2020) -> date:
    return date(first, 1, 1) + timedelta(days=random.randrange((last - first) * 365))


def mod_11_2(body: str) -> str:
    rest = 0
    for digit in body:  # ISO 7064, the pure recursive method
        rest = (rest + int(digit)) * 2 % 11
    return "0123456789X"[(12 - rest) % 11]


def resident_id(random: Random) -> str:
    province = random.choice(_PROVINCES_AND_BEYOND)
    county = "0000" if province > "80" else f"{random.randrange(1, 30):02}{random.randrange(1, 30):02}"
    body = province + county + f"{day(random):%Y%m%d}" + digits(random, 3)
    check = mod_11_2(body)
    return body + (check.lower() if random.random() < 0.3 else check)


def spaced_resident_id(random: Random, value: str) -> str:
    by = random.choice((" ", " ", "-"))
    return chunks(value, *random.choice(((6, 8, 4), (4,), (6, 4, 4, 4), (3,))), by=by)


def not_resident_id(random: Random) -> str:
    value = resident_id(random).upper()
    match random.randrange(5):
        case 0:
            return changed(random, value, 17, "0123456789X")
        case 1:
            return longer(random, value)
        case 2:
            return value[:10] + value[11:]
        case 3:  # the check digit is right, the date is none
            body = value[:10] + random.choice(("1332", "0230", "0431", "0010", "0600")) + value[14:17]
            return body + mod_11_2(body)
        case _:
            return order_number(random, 18)


def short_resident_id(random: Random) -> str:
    return random.choice(_PROVINCES) + digits(random, 4) + f"{day(random, 1930, 1999):%y%m%d}" + digits(random, 3)


def mobile(random: Random) -> str:
    return "1" + random.choice("3456789") + digits(random, 9)


def spaced_mobile(random: Random, value: str) -> str:
    by = random.choice((" ", "-"))
    written = random.choice((value, chunks(value, 3, 4, by=by), chunks(value, 3, 3, 5, by=by), chunks(value, 3, 8)))
    return random.choice(("", "+86", "+86 ", "+86-", "0086", "0086 ", "86-", "(+86)", "(+86) ")) + written


def not_mobile(random: Random) -> str:
    value = mobile(random)
    match random.randrange(4):
        case 0:
            return value[:-1]
        case 1:
            return value + random.choice(string.digits)
        case 2:
            return changed(random, value, 0, "2456789") if random.random() < 0.5 else changed(random, value, 1, "012")
        case _:
            return random.choice(THINGS) + value


def landline(random: Random) -> str:
    if random.random() < 0.15:
        return random.choice(("400", "800")) + number(random, 7)
    if random.random() < 0.5:
        return random.choice(("010", "020", "021", "022", "023", "024", "025", "027", "028", "029")) + number(
            random, 8, "2345678"
        )
    return random.choice(("0755", "0571", "0512", "0531", "0898", "0991", "0311")) + number(
        random, random.choice((7, 8)), "2345678"
    )


def spaced_landline(random: Random, value: str) -> str:
    by = random.choice(("-", " "))
    if value[0] != "0":
        return random.choice(
            (chunks(value, 3, 3, 4, by="-"), chunks(value, 3, 4, 3, by="-"), chunks(value, 3, 7, by=by))
        )
    size = 3 if value[1] in "12" else 4
    area, subscriber = value[:size], value[size:]
    halves = f"{subscriber[:-4]}{by}{subscriber[-4:]}"
    written = random.choice(
        (
            f"{area}{by}{subscriber}",
            f"({area}){subscriber}",
            f"({area}) {subscriber}",
            f"{area}-{halves}",
            f"{area} {halves}",
            f"+86 {area[1:]} {subscriber}",
            f"+86-{area[1:]}-{subscriber}",
            f"0086{by}{area[1:]}{by}{halves}",
            f"86-{area[1:]}-{subscriber}",
        )
    )
    return written + random.choice(("", "", "转8001", "-801", "转123", " ext 12", "ext.8123", "#66"))


def not_landline(random: Random) -> str:
    value = random.choice(("010", "021", "025", "0755", "0512")) + "-" + number(random, 8, "2345678")
    match random.randrange(4):
        case 0:
            return value[:-2]
        case 1:
            return value + random.choice(string.digits)
        case 2:
            return random.choice(("000", "0100", "0123", "026")) + value[-9:]
        case _:
            return order_number(random, 11)


def luhn(body: str) -> str:
    total = 0
    for place, digit in enumerate(reversed(body)):
        value = int(digit) * (1 if place % 2 else 2)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def card(random: Random, prefixes: Sequence[str], lengths: Sequence[int]) -> str:
    prefix, length = random.choice(prefixes), random.choice(lengths)
    body = prefix + digits(random, length - 1 - len(prefix))
    return body + luhn(body)


def union_card(random: Random) -> str:
    if random.random() < 0.1:
        return card(random, ("955880",), (19,))
    while True:
        digits = card(random, ("62",), (16, 17, 18, 19))
        if not could_be_resident_id(digits):
            return digits


def could_be_resident_id(digits: str) -> bool:
    """One card of 18 digits in some 20,000 is a resident ID as well, by every check; nobody could tell."""
    return len(digits) == 18 and digits[6:8] in {"19", "20"} and mod_11_2(digits[:17]) == digits[17]


def credit_card(random: Random) -> str:
    prefixes, lengths = random.choice(
        (
            (("4",), (16,)),
            (("51", "52", "53", "54", "55", "2221", "2720", "2500"), (16,)),
            (("34", "37"), (15,)),
            (("3528", "3589", "3550"), (16,)),
            (("6011", "65", "644"), (16,)),
            (("36", "38", "305"), (14,)),
        )
    )
    return card(random, prefixes, lengths)


def not_card(make: Callable[[Random], str]) -> Callable[[Random], str]:
    def miss(random: Random) -> str:
        value = make(random)
        match random.randrange(4):
            case 0:
                return changed(random, value, len(value) - 1, string.digits)
            case 1:  # any other digit changed: no other check digit would have been right
                at = random.randrange(6, len(value) - 1)
                return changed(random, value, at, string.digits)
            case 2:
                return fours(random, changed(random, value, len(value) - 1, string.digits))
            case _:
                return order_number(random, len(value))

    return miss


_NO_IO: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ"


def passport(random: Random) -> str:
    if random.random() < 0.3:
        return "E" + random.choice(_NO_IO) + digits(random, 7)
    return random.choice("EEEGDSP") + digits(random, 8)


def spaced_lettered(random: Random, value: str) -> str:
    digits = next(at for at, character in enumerate(value) if character.isdigit())
    return value[:digits] + random.choice((" ", "-")) + random.choice((value[digits:], chunks(value[digits:], 4)))


def hk_permit(random: Random) -> str:
    return random.choice(
        (
            random.choice("CW") + digits(random, 8),
            "C" + random.choice(_NO_IO) + digits(random, 7),
            random.choice("HM") + digits(random, random.choice((8, 10))),
        )
    )


def taiwan_permit(random: Random) -> str:
    return random.choice("LT") + digits(random, 8)


def military(random: Random) -> str:
    return random.choice("军南北沈兰成济广海空参政后装") + "字第" + digits(random, random.choice((6, 7, 8))) + "号"


def household(random: Random) -> str:
    return digits(random, 9)


_USCC: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def credit_code(random: Random) -> str:
    organisation = "".join(random.choices(_USCC, k=8))
    total = sum(int(c, 36) * w for c, w in zip(organisation, (3, 7, 9, 10, 5, 8, 4, 2), strict=True))
    check = {10: "X", 11: "0"}.get(11 - total % 11, str(11 - total % 11))
    body = random.choice(("91", "92", "93", "51", "52", "12", "11")) + random.choice(_PROVINCES) + "0102"
    body += organisation + check
    return body + uscc_check(body)


def uscc_check(body: str) -> str:
    return _USCC[-sum(_USCC.index(c) * 3**place for place, c in enumerate(body)) % 31]


def not_credit_code(random: Random) -> str:
    value = credit_code(random)
    match random.randrange(4):
        case 0:
            return changed(random, value, 17, _USCC)
        case 1:
            return longer(random, value)
        case 2:
            return value[:-1]
        case _:
            return order_number(random, 18)


_PLATE_LETTERS: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_PLATE_REGIONS: Final = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"


def plate(random: Random) -> str:
    place = random.choice(_PLATE_REGIONS) + random.choice(_PLATE_LETTERS)
    match random.randrange(5):
        case 0:
            return (
                place + random.choice("DFABCEGHJK") + random.choice(_PLATE_LETTERS + string.digits) + digits(random, 4)
            )
        case 1:
            return place + digits(random, 5) + random.choice("DF")
        case 2:
            return place + digits(random, 4) + random.choice("挂学警港澳领")
        case _:
            letters = [random.choice(_PLATE_LETTERS) for _ in range(random.randrange(3))]
            number = letters + random.choices(string.digits, k=5 - len(letters))
            random.shuffle(number)
            return place + "".join(number)


def spaced_plate(random: Random, value: str) -> str:
    return value[:2] + random.choice((" ", "·", "-", "•")) + value[2:]


def not_plate(random: Random) -> str:
    value = random.choice(_PLATE_REGIONS) + random.choice(_PLATE_LETTERS) + digits(random, 5)
    match random.randrange(4):
        case 0:
            return value[:-1]
        case 1:
            return value + digits(random, 2)
        case 2:
            return value[:3] + random.choice("IO") + value[4:]
        case _:
            return random.choice("东西中金木") + value[1:]


def wechat(random: Random) -> str:
    first = random.choice(string.ascii_letters)
    rest = "".join(random.choices(string.ascii_lowercase + string.digits + "_-", k=random.randrange(5, 19)))
    return first + rest + random.choice("0123456789")


def qq(random: Random) -> str:
    return number(random, random.randrange(5, 12))


def alipay(random: Random) -> str:
    return random.choice((mobile(random), email(random), "2088" + digits(random, 12)))


def courier(random: Random) -> str:
    return random.choice(
        (
            "SF" + digits(random, 13),
            "YT" + digits(random, 13),
            "JDVB" + digits(random, 11),
            number(random, 12),
            number(random, 15),
            "JT" + digits(random, 13),
            "E" + random.choice("ABMS") + digits(random, 9) + "CN",
        )
    )


def email(random: Random) -> str:
    local = random.choice(string.ascii_lowercase + string.digits)
    local += "".join(random.choices(string.ascii_lowercase + string.digits + "._-+", k=random.randrange(1, 14)))
    local = local.replace("..", ".").replace("..", ".").rstrip("._-+") or "x"
    domain = random.choice(
        ("example.com", "example.cn", "mail.example.org", "qq.example", "corp.example.com.cn", "x-y.example")
    )
    return f"{local}@{domain}"


def not_email(random: Random) -> str:
    local, _, domain = email(random).partition("@")
    return random.choice(
        (
            f"{local}@",
            f"@{domain}",
            f"{local}@example",
            f"{local}.{domain}",
            f"{local}@@{domain}",
            f"{local}@-{domain}",
            f"{local}@example..com",
            f"icon{digits(random, 2)}@2x.png",
            f"{local} @ {domain}",
        )
    )


def url(random: Random) -> str:
    path = (
        "".join(random.choices(string.ascii_lowercase + string.digits + "/", k=random.randrange(1, 12))).strip("/")
        or "a"
    )
    query = random.choice(("", f"?id={digits(random, 5)}&v=x"))
    return random.choice(("https://", "http://", "https://www.")) + f"example.com/{path}{query}"


def ipv4(random: Random) -> str:
    return ".".join([str(random.randrange(10, 224)), *(str(random.randrange(256)) for _ in range(3))])


def not_ipv4(random: Random) -> str:
    octets = ipv4(random).split(".")
    match random.randrange(5):
        case 0:
            octets[random.randrange(4)] = str(random.randrange(256, 1000))
        case 1:
            octets.append(str(random.randrange(256)))
        case 2:
            octets.pop()
        case 3:
            octets = [str(random.randrange(10)) for _ in range(4)]  # sections of a document
        case _:
            return random.choice(("版本", "版本号：", "version ", "v", "Chrome/")) + ".".join(octets)
    return ".".join(octets)


def ipv6(random: Random) -> str:
    groups = [f"{random.randrange(0x2000, 0x4000):x}", *(f"{random.randrange(1, 0x10000):x}" for _ in range(7))]
    if random.random() < 0.4:
        at = random.randrange(2, 6)
        return ":".join(groups[:at]) + "::" + ":".join(groups[at + 2 :])
    return ":".join(groups)


def not_ipv6(random: Random) -> str:
    groups = ipv6(random).replace("::", ":").split(":")[:6]
    return random.choice(
        (
            ":".join(groups),
            ":".join(groups[:5]) + ":12345",
            f"{digits(random, 2)}:{digits(random, 2)}:{digits(random, 2)}",
            "std::" + random.choice(("vector", "cout", "array")),
            "::".join(groups[:4]),
            ":".join([*groups, "1", "2", "3"]),
        )
    )


def mac(random: Random) -> str:
    return ":".join(f"{random.randrange(256):02x}" for _ in range(6))


def spaced_mac(random: Random, value: str) -> str:
    digits = value.replace(":", "")
    return random.choice(
        (value.replace(":", "-"), value.upper(), chunks(digits, 4, by="."), chunks(digits.upper(), 4, by="-"))
    )


def not_mac(random: Random) -> str:
    value = mac(random)
    return random.choice(
        (value[:-3], value + ":0a", value[:-1] + "g", value.replace(":", ""), value[:8] + "-" + value[9:], "12:34:56")
    )


def imei(random: Random) -> str:
    return card(random, ("35", "86"), (15,))


def birth(random: Random) -> str:
    born = day(random)
    return random.choice(
        (
            f"{born:%Y-%m-%d}",
            f"{born:%Y/%m/%d}",
            f"{born:%Y.%m.%d}",
            f"{born.year}年{born.month}月{born.day}日",
            f"{born:%Y%m%d}",
            f"{born.year}/{born.month}/{born.day}",
        )
    )


def spaced_birth(random: Random, value: str) -> str:
    del value
    born = day(random)
    return random.choice(
        (
            f"{born.year} 年 {born.month} 月 {born.day} 日",
            f"{born.year} - {born.month} - {born.day}",
            f"{born:%B} {born.day}, {born.year}",
            f"{born.day} {born:%B} {born.year}",
            f"{born:%d/%m/%Y}",
        )
    )


def driving(random: Random) -> str:
    return number(random, 12)


def licence(random: Random) -> str:
    return random.choice((number(random, 15), "1" + digits(random, 16), "20" + digits(random, 10)))


_IBANS: Final = {"DE": 18, "GB": 18, "FR": 23, "ES": 20, "NL": 14, "IT": 23, "CH": 17}


def iban(random: Random) -> str:
    country = random.choice(list(_IBANS))
    body = "ABCD" + digits(random, _IBANS[country] - 4) if country in {"GB", "NL"} else digits(random, _IBANS[country])
    rest = int("".join(str(int(c, 36)) for c in body + country + "00")) % 97
    return f"{country}{98 - rest:02}{body}"


def not_iban(random: Random) -> str:
    value = iban(random)
    return random.choice(
        (changed(random, value, len(value) - 1, string.digits), value[:-1], value + "1", "ZZ" + value[2:])
    )
