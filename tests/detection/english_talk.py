"""Letters and chat in English about invented people, from a seed; nobody in them exists.

Sentences are written for these tests. What the rules know is none of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from faker import Faker

_SENTENCES = (
    "My order {number} has not arrived, please write to {name} at {email}.",
    "Dear {first},\nthank you for your letter of {date}. We shall call you on {phone}.\nRegards,\n{name}",
    "{name} has moved to {city} and works for {company} now.",
    "The parcel goes to {address}.",
    "Please charge {card} and send the receipt to {email}",
    "I was born on {date} in {city}. My social security number is {ssn}.",
    "Is there anything on tonight? No idea, ask {first}.",
    "The invoice of {company} is two weeks overdue.",
    "Server {ip} answered after 12 seconds; see https://{domain}/status for more.",
    "Name: {name}\nPhone: {phone}\nAccount: {iban}",
    "{first}, can you look at ticket {number}? The customer is waiting since Monday.",
    "My driver license is {licence} and my passport {passport}.",
    "hello, i am {lower} and i cannot log in",
    "THE CONTRACT WITH {upper} ENDS IN {year}.",
    "Transfer 1,200.50 EUR to bank account {account} before {date}.",
    "Our office in {city} is closed on Fridays; the one in {country} is open.",
    "Version 2.14.7 of the driver fixes issue {number}.",
    "{name} (aged {age}) and {name} were seen near {address} at 10:45.",
    "The French delegation met {name} of {company} on {date}.",
    "The device with mac {mac} and uuid {uuid} is offline.",
)


def talk(seed: int, count: int) -> Iterator[str]:
    """`count` texts, the same for the same seed."""
    fake = Faker(["en_US", "en_GB"])
    fake.seed_instance(seed)
    random = Random(seed)
    for at in range(count):
        yield _SENTENCES[at % len(_SENTENCES)].format_map(_Invented(fake, random))


class _Invented(dict[str, str]):
    """Invents a value of a kind when it is asked for."""

    def __init__(self, fake: Faker, random: Random) -> None:
        super().__init__()
        self._fake, self._random = fake, random

    def __missing__(self, kind: str) -> str:
        fake, us = self._fake, self._fake["en_US"]
        match kind:
            case "first":
                return str(fake.first_name())
            case "lower":
                return str(fake.name()).lower()
            case "upper":
                return str(fake.company()).upper()
            case "address":
                return str(fake.address())
            case "email":
                return str(fake.email())
            case "date":
                return str(fake.date(self._random.choice(["%Y-%m-%d", "%m/%d/%Y", "%d %B %Y", "%d.%m.%Y"])))
            case "phone":
                return str(fake.phone_number())
            case "card":
                return str(fake.credit_card_number())
            case "ssn":
                return str(us.ssn())
            case "number" | "account" | "passport":
                return str(self._random.randrange(10**8, 10**9))
            case "licence":
                return f"{self._random.choice('ABCDEF')}{self._random.randrange(10**7, 10**8)}"
            case "age":
                return str(self._random.randrange(18, 90))
            case "ip":
                return str(fake.ipv4() if self._random.random() < 0.5 else fake.ipv6())
            case "domain":
                return str(fake.domain_name())
            case "mac":
                return str(fake.mac_address())
            case "uuid":
                return str(fake.uuid4())
            case _:
                return str(getattr(fake, kind)())
