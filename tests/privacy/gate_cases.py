"""Organisations and cases for the gate at random, and what they are called in a manifest.

Instants lie on the boundaries that the rules draw, a microsecond before and after them, and elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from random import Random
from typing import Final

import yaml

from tests.privacy.gate_model import (
    BY_GUARDIAN,
    CLEAR,
    EXPLICIT,
    SEPARATE,
    Act,
    Actor,
    Case,
    Field,
    Keep,
    Notice,
    Organisation,
    Purpose,
    Recipient,
    Subject,
    Terms,
    age_of_consent,
    birthday,
    terms_of,
)

STATES: Final = ("requested", "given", "renewed", "refused", "deferred", "withdrawn", "revoked", "invalidated")
KINDS: Final = ("processor", "joint-controller", "controller", "successor", "authority")
ROLES: Final = ("operator", "auditor", "admin")
_PLACES: Final = ("CN", "CN", "CN-11", "DE", "AT", "FR", "SE", "GB", "GB-SCT", "US", "US-CA", "EU", "JP")
_BASES: Final = ("contract", "legal-obligation", "vital-interest", "public-task", "legitimate-interest")
_KEEPS: Final = (Keep(1), Keep(years=2, months=3), Keep(months=6), Keep(days=30), Keep(hours=48))
_METHODS: Final = ("collect", "store", "use", "alter", "transmit", "provide", "delete", "combine", "profile")
_MASKS: Final = ("all", "name", "phone", "email")
_CATEGORIES: Final = ("dpv:Marketing", "dpv:CustomerCare", "dpv:ServiceProvision")
_MEMBER: Final = {
    "name": Field(3, "pd:Name", mask="name"),
    "phone": Field(3, "pd:TelephoneNumber", mask="phone"),
    "mobile": Field(3, "pd:Contact", "CN_MOBILE", mask="phone"),
    "email": Field(3, "pd:EmailAddress", mask="email"),
    "id_number": Field(3, "pd:OfficialID", mask="all"),
    "papers": Field(3, "pd:Identifying", "CN_RESIDENT_ID"),
    "passport": Field(3, "pd:Passport", mask="all"),
    "scan": Field(4, "pd:OfficialID", mask="all"),
    "health": Field(4, "pd:MedicalHealth"),
    "joined_at": Field(2, "pd:ServiceConsumptionBehaviour", kind="date"),
}
_INTERACTION: Final = {
    "channel": Field(2, "pd:Communication"),
    "content": Field(3, "pd:Communication"),
    "rating": Field(2, "pd:Opinion", kind="integer"),
}
# Children at some time since 2024, whoever the gate asks about; two were born on 29 February.
BIRTHS: Final = (
    *(date.fromisoformat(day) for day in ("2012-02-29", "2016-02-29", "2012-02-28", "2012-03-01", "2010-12-31")),
    *(date(2009 + n // 3, 1 + n % 12, 1 + n * 7 % 28) for n in range(24)),
)
MICROSECOND: Final = timedelta(microseconds=1)
_OFFSETS: Final = (timedelta(), -MICROSECOND, MICROSECOND, -timedelta(days=1), timedelta(days=1))


def organisations(seed: int) -> list[Organisation]:
    """Controllers in China, Germany, the United Kingdom, and one in a province of China."""
    rng = Random(seed)
    return [_organisation(rng, where) for where in ("CN", "DE", "GB", "CN-31", "CN", "FR")]


def cases(known: list[Organisation], seed: int, count: int) -> Iterator[Case]:
    """The same cases for the same seed."""
    rng = Random(seed)
    return islice(iter(lambda: _case(rng, known), None), count)


def manifest_text(organisation: Organisation) -> str:
    """The organisation's declaration as a manifest."""
    return yaml.dump(
        {
            "controller": {
                "name": "Example Operations Ltd",
                "contact": "privacy@example.org",
                "jurisdiction": organisation.jurisdiction,
                "languages": ["en"],
            },
            "records": {
                name: {"fields": {field: _field_text(one) for field, one in fields.items()}}
                for name, fields in organisation.types.items()
            },
            "purposes": {name: _purpose_text(purpose) for name, purpose in organisation.purposes.items()},
            "recipients": {
                one.name: {
                    "kind": one.kind,
                    "contact": "privacy@example.com",
                    "purposes": sorted(one.purposes),
                    **({"jurisdiction": one.jurisdiction} if one.jurisdiction else {}),
                }
                for one in organisation.recipients.values()
            },
        },
        Dumper=_Dumper,
    )


class _Dumper(yaml.SafeDumper):
    """Writes what occurs twice twice: a manifest has no anchors."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def period_text(keep: Keep) -> str:
    day = "".join(f"{n}{unit}" for n, unit in ((keep.years, "Y"), (keep.months, "M"), (keep.days, "D")) if n)
    return f"P{day}" + (f"T{keep.hours}H" if keep.hours else "")


def _field_text(field: Field) -> dict[str, object]:
    text: dict[str, object] = {"level": f"L{field.level}", "category": field.category, "type": field.kind}
    if field.detect:
        text["detect"] = field.detect
    if field.mask:
        text["mask"] = field.mask
    return text


def _purpose_text(purpose: Purpose) -> dict[str, object]:
    text: dict[str, object] = {
        "basis": purpose.basis,
        "category": purpose.category,
        "keep": period_text(purpose.keep),
        "method": sorted(purpose.method),
        "at_end": purpose.at_end,
        "uses": {
            kind: [name if shown == CLEAR else f"{name}.masked({shown})" for name, shown in fields.items()]
            for kind, fields in purpose.uses.items()
        },
    }
    if purpose.only_anonymised:
        text["only"] = "anonymised"
    if purpose.basis == "consent":
        expires = {"expires": period_text(purpose.expires)} if purpose.expires else {}
        text["consent"] = {"separate": purpose.separate, **expires}
    else:
        days = {"from": purpose.first_day, "until": purpose.last_day}
        text["grounds"] = {
            "reference": "an invented case",
            **{name: day for name, day in days.items() if day},
            **({"balancing_test": "LIA-1"} if purpose.basis == "legitimate-interest" else {}),
        }
    return text


def _organisation(rng: Random, jurisdiction: str) -> Organisation:
    types = {"member": _MEMBER, "interaction": _INTERACTION}
    purposes = {"all-of-it": _purpose(rng, "all-of-it", "contract", everything=True)}
    for basis in _BASES:
        if basis == "legitimate-interest" and jurisdiction.startswith("CN"):
            continue  # the manifest refuses it
        for n in range(4 if basis == "legitimate-interest" else 2):
            purposes[f"{basis}-{n}"] = _purpose(rng, f"{basis}-{n}", basis)
    for n in range(14):
        purposes[f"consent-{n}"] = _purpose(rng, f"consent-{n}", "consent", anonymised=n == 0)
    places = ("CN", "CN-31", "DE", "GB", "US-CA", None)
    recipients = {}
    for n in range(15):
        serves = frozenset(name for name in purposes if rng.random() < 0.6)
        recipients[f"recipient-{n}"] = Recipient(f"recipient-{n}", KINDS[n % 5], rng.choice(places), serves)
    bare = Organisation(jurisdiction, types, purposes, recipients)
    return Organisation(jurisdiction, types, purposes, recipients, _notices(rng, bare))


def _purpose(rng: Random, name: str, basis: str, *, everything: bool = False, anonymised: bool = False) -> Purpose:
    separate = basis == "consent" and rng.random() < 0.3
    uses = {"member": _uses(rng, _MEMBER, everything=everything)}
    if everything or rng.random() < 0.3:
        uses["interaction"] = _uses(rng, _INTERACTION, everything=everything)
    method = {"store", *rng.sample(_METHODS, 3)}
    if basis == "consent" and not separate:  # the manifest would ask for separate consent
        ordinary = {kind: shown for kind, shown in uses["member"].items() if _MEMBER[kind].level < 4}
        for key in ("name", "mobile"):
            if len(ordinary) > 1:
                ordinary.pop(key, None)
        uses["member"] = ordinary or {"email": CLEAR}
    else:
        method |= {name for name in ("publish", "public-images") if rng.random() < 0.5}
    first = last = None
    if basis != "consent" and not everything and rng.random() < 0.6:
        first = date(2024, 1, 1) + timedelta(days=rng.randrange(900))
        last = rng.choice((None, first, first + timedelta(days=rng.randrange(900))))
    return Purpose(
        name=name,
        basis=basis,
        category=rng.choice(_CATEGORIES),
        uses=uses,
        keep=Keep(years=5) if everything else rng.choice(_KEEPS),
        only_anonymised=anonymised or (basis == "contract" and name.endswith("-1")),
        separate=separate,
        method=frozenset(method),
        at_end=rng.choice(("erase", "anonymise")),
        first_day=first,
        last_day=last,
        expires=rng.choice((None, Keep(days=20), Keep(1))) if basis == "consent" else None,
    )


def _uses(rng: Random, fields: Mapping[str, Field], *, everything: bool) -> dict[str, str]:
    names = list(fields) if everything else rng.sample(list(fields), rng.randint(1, len(fields)))
    return {name: CLEAR if rng.random() < 0.6 else rng.choice(_MASKS) for name in names}


def _notices(rng: Random, organisation: Organisation) -> tuple[Notice, ...]:
    """The first ones say other things than the manifest does today; a few later ones are declared material."""
    made = []
    for number in range(1, 9):
        terms = {
            name: _changed(rng, terms_of(organisation, purpose))
            for name, purpose in organisation.purposes.items()
            if rng.random() < 0.9
        }
        material = frozenset(name for name in terms if rng.random() < 0.06)
        made.append(Notice(number, terms, material))
    return tuple(made)


def _changed(rng: Random, terms: Terms) -> Terms:
    """The terms before some change, or as they are."""
    if rng.random() < 0.65:
        return terms
    which = rng.randrange(9)
    match which:
        case 0:
            return terms._replace(category=rng.choice(_CATEGORIES))
        case 1:
            return terms._replace(basis=rng.choice(("consent", "contract")))
        case 2:
            return terms._replace(method=_more_or_less(rng, terms.method, _METHODS))
        case 3:
            categories = _more_or_less(rng, terms.categories, ("pd:Opinion", "pd:Name"))
            return terms._replace(categories=categories, sensitive=terms.sensitive & categories)
        case 4:
            sensitive = _more_or_less(rng, terms.sensitive, ("pd:MedicalHealth", "pd:Genetic"))
            return terms._replace(categories=terms.categories | sensitive, sensitive=sensitive)
        case 5:
            others = (("another", "processor", None), ("recipient-0", "controller", "JP"))
            return terms._replace(recipients=frozenset(rng.sample(sorted({*terms.recipients, *others}, key=str), 2)))
        case 6:
            return terms._replace(recipients=terms.recipients | {("another", "processor", None)})
        case 7:
            return terms._replace(keep=rng.choice((*_KEEPS, Keep(months=12), Keep(years=5))))
        case _:
            return terms._replace(at_end=rng.choice(("erase", "anonymise")))


def _more_or_less(rng: Random, names: frozenset[str], others: tuple[str, ...]) -> frozenset[str]:
    if rng.random() < 0.5 and names:
        return names - {rng.choice(sorted(names))}
    return names | {rng.choice(others)}


def _case(rng: Random, known: list[Organisation]) -> Case:
    number = rng.randrange(len(known))
    organisation = known[number]
    by_consent = rng.random() < 0.75
    purpose = rng.choice([one for one in organisation.purposes.values() if (one.basis == "consent") is by_consent])
    record_type = rng.choice(sorted(purpose.uses))
    recipient = _recipient(rng, organisation, purpose)
    jurisdiction = organisation.jurisdiction if rng.random() < 0.25 else rng.choice(_PLACES)
    born = rng.choice(BIRTHS) if rng.random() < 0.6 else None
    instant = _instant(rng, purpose, born, age_of_consent(jurisdiction, organisation.jurisdiction))
    is_young = born is not None and birthday(born, 16) > instant.date()
    owners = {"", recipient or ""}
    acts = {owner: _act(rng, organisation, purpose, instant, is_young) for owner in owners if rng.random() < 0.95}
    return Case(
        organisation=organisation,
        number=number,
        actor=_actor(rng, purpose.name, record_type),
        purpose=purpose.name,
        record_type=record_type,
        fields=_fields(rng, organisation.types[record_type], purpose.uses[record_type]),
        recipient=recipient,
        subject=Subject(
            jurisdiction=jurisdiction,
            born=born,
            erased=rng.random() < 0.02,
            restricted=_against(rng, purpose.name),
            objected=_against(rng, purpose.name) - {"*"},
            basis=_basis(rng, instant) if rng.random() < (0.05 if by_consent else 0.5) else None,
        ),
        acts=acts,
        instant=instant,
        stored_at=_stored_at(rng, purpose.keep, instant),
    )


def _recipient(rng: Random, organisation: Organisation, purpose: Purpose) -> str | None:
    chance = rng.random()
    if chance < 0.5:
        return None
    if chance < 0.52:
        return rng.choice(("nobody", *organisation.recipients))
    return rng.choice([one.name for one in organisation.recipients.values() if purpose.name in one.purposes] or [None])


def _instant(rng: Random, purpose: Purpose, born: date | None, limit: int) -> datetime:
    days = [day for day in (purpose.first_day, purpose.last_day) if day is not None]
    days += [day + timedelta(days=1) for day in days]
    if born is not None:
        days += [birthday(born, limit)] * 4 + [birthday(born, 14)] * 2
    day = rng.choice(days or [date(2026, 6, 1)])
    instant = datetime.combine(day, time(), UTC)
    if rng.random() < 0.6:
        return instant + rng.choice(_OFFSETS)
    return instant + timedelta(seconds=rng.uniform(-500 * 86_400, 500 * 86_400))


def _around(rng: Random, instant: datetime, *, forward: bool) -> datetime:
    """On the instant, right beside it, or well on the side that lets pass."""
    if rng.random() < 0.3:
        return instant + rng.choice(_OFFSETS)
    far = timedelta(seconds=rng.uniform(0, 300 * 86_400))
    return instant + far if forward else instant - far


def _basis(rng: Random, instant: datetime) -> tuple[datetime, datetime | None]:
    start = _around(rng, instant, forward=False)
    return start, None if rng.random() < 0.3 else max(start, _around(rng, instant, forward=True))


def _stored_at(rng: Random, keep: Keep, instant: datetime) -> datetime | None:
    """Mostly such that the period ends at the instant, or a little earlier or later."""
    chance = rng.random()
    if chance < 0.4:
        return None
    months = instant.year * 12 + instant.month - 1 - keep.years * 12 - keep.months
    year, month = months // 12, months % 12 + 1
    start = instant.replace(year=year, month=month, day=min(instant.day, 28))
    start += timedelta(days=instant.day - start.day) - timedelta(days=keep.days, hours=keep.hours)
    if chance < 0.6:
        return start + rng.choice(_OFFSETS)
    return start + timedelta(seconds=rng.uniform(0, 86_400 * 2))


def _act(rng: Random, organisation: Organisation, purpose: Purpose, instant: datetime, is_young: bool) -> Act:
    flags = rng.randrange(16)
    if rng.random() < 0.85:
        flags = flags | BY_GUARDIAN if is_young else flags & ~BY_GUARDIAN
    if rng.random() < 0.45:
        flags |= SEPARATE
    elif is_young and rng.random() < 0.3:
        flags = flags & ~SEPARATE | EXPLICIT
    used = sorted({organisation.types[kind][name].category for kind, names in purpose.uses.items() for name in names})
    return Act(
        state=rng.choice(("given", "renewed")) if rng.random() < 0.85 else rng.choice(STATES),
        expires_at=_around(rng, instant, forward=True) if rng.random() < 0.4 else None,
        notice=_notice(rng, organisation, purpose.name),
        categories=frozenset(rng.sample(used, rng.randint(0, len(used)))) if rng.random() < 0.3 else None,
        flags=flags,
    )


def _notice(rng: Random, organisation: Organisation, purpose: str) -> int | None:
    chance = rng.random()
    if chance < 0.03:
        return rng.choice((None, 0, 99))
    if chance < 0.5:
        return rng.randint(1, len(organisation.notices))
    return len(organisation.notices) - rng.randrange(2)  # the newest ones: rarely overtaken


def _actor(rng: Random, purpose: str, record_type: str) -> Actor:
    if rng.random() < 0.02:
        return Actor(rng.choice(ROLES), frozenset({"*"}), frozenset({"*"}))
    purposes = [{purpose}, {"*"}, {purpose, "another"}, {"another"}, set[str]()]
    types = [{record_type}, {"*"}, {record_type, "another"}, {"another"}, set[str]()]
    weights = (20, 20, 20, 1, 1)
    return Actor(
        "service",
        frozenset(rng.choices(purposes, weights)[0]),
        frozenset(rng.choices(types, weights)[0]),
    )


def _fields(rng: Random, fields: Mapping[str, Field], uses: Mapping[str, str]) -> tuple[str, ...] | None:
    chance = rng.random()
    if chance < 0.3:
        return None
    if chance < 0.6:
        return tuple(rng.sample(sorted(uses), rng.randint(1, len(uses))))
    return tuple(rng.sample(sorted(fields), rng.randint(1, min(4, len(fields)))))


def _against(rng: Random, purpose: str) -> frozenset[str]:
    chance = rng.random()
    if chance < 0.92:
        return frozenset()
    return frozenset(rng.choice(({purpose}, {"*"}, {purpose, "another"}, {"another"})))
