"""What the gate must say, written a second time: plain Python that can be read beside the law.

Nothing of `privacy` is imported, nothing is fast, nothing is shared with what it checks. Values are texts,
dates, instants and numbers. `expected` is the specification; all else are the words it uses.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple

CLEAR: Final = "clear"
SEPARATE, WRITTEN, EXPLICIT, BY_GUARDIAN = 1, 2, 4, 8

# GDPR 8(1) and the choices of the states; PIPL 31; COPPA. Sixteen where nothing is known.
_AGE_OF_CONSENT: Final = {
    13: {"BE", "EE", "FI", "GB", "IS", "LV", "MT", "NO", "PT", "SE", "US"},
    14: {"AT", "BG", "CN", "CY", "ES", "IT", "LT"},
    15: {"CZ", "DK", "FR", "GR", "SI"},
}


class Keep(NamedTuple):
    """A period: calendar years and months first, then days and hours."""

    years: int = 0
    months: int = 0
    days: int = 0
    hours: int = 0

    def after(self, start: datetime) -> datetime:
        months = start.year * 12 + start.month - 1 + self.years * 12 + self.months
        year, month = months // 12, months % 12 + 1
        day = min(start.day, calendar.monthrange(year, month)[1])
        return start.replace(year=year, month=month, day=day) + timedelta(days=self.days, hours=self.hours)


@dataclass(frozen=True)
class Field:
    level: int
    category: str
    detect: str | None = None
    mask: str | None = None
    kind: str = "text"


class Recipient(NamedTuple):
    name: str
    kind: str
    jurisdiction: str | None
    purposes: frozenset[str]


class Terms(NamedTuple):
    """What a notice said of a purpose, or what the manifest says of it now."""

    category: str
    basis: str
    method: frozenset[str]
    categories: frozenset[str]
    sensitive: frozenset[str]
    recipients: frozenset[tuple[str, str, str | None]]  # name, kind, jurisdiction
    keep: Keep
    at_end: str


class Notice(NamedTuple):
    """`material`: the purposes for which a person declared this notice a material change."""

    number: int
    terms: Mapping[str, Terms]
    material: frozenset[str]


@dataclass(frozen=True)
class Purpose:
    """`uses`: record type -> field -> CLEAR or the name of a mask."""

    name: str
    basis: str
    category: str
    uses: Mapping[str, Mapping[str, str]]
    keep: Keep
    only_anonymised: bool = False
    separate: bool = False
    method: frozenset[str] = frozenset({"collect", "store", "use"})
    at_end: str = "erase"
    first_day: date | None = None
    last_day: date | None = None
    expires: Keep | None = None  # how long consent holds, where the act does not say


@dataclass(frozen=True)
class Organisation:
    """A controller's declaration: one manifest, and the notices published before and under it."""

    jurisdiction: str
    types: Mapping[str, Mapping[str, Field]]
    purposes: Mapping[str, Purpose]
    recipients: Mapping[str, Recipient]
    notices: tuple[Notice, ...] = ()


class Subject(NamedTuple):
    """`restricted`: the purposes it holds for, `*` for everything."""

    jurisdiction: str
    born: date | None = None
    erased: bool = False
    restricted: frozenset[str] = frozenset()
    objected: frozenset[str] = frozenset()
    basis: tuple[datetime, datetime | None] | None = None  # recorded for the purpose: [from, until)


class Act(NamedTuple):
    """The newest act of consent. `notice` is a number; `categories` None: all that the notice names."""

    state: str
    expires_at: datetime | None = None
    notice: int | None = None
    categories: frozenset[str] | None = None
    flags: int = 0


class Actor(NamedTuple):
    role: str
    purposes: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Case:
    """`acts`: the newest act of this purpose by whose it is, '' for the controller's own."""

    organisation: Organisation = field(repr=False)
    number: int  # of the organisation, for a reader
    actor: Actor
    purpose: str
    record_type: str
    fields: tuple[str, ...] | None
    recipient: str | None
    subject: Subject
    acts: Mapping[str, Act]
    instant: datetime
    stored_at: datetime | None


class Verdict(NamedTuple):
    """A refusal's code and what consent must be separate for; or else each field: CLEAR, a mask, or why not."""

    refusal: str | None
    needed: frozenset[str] = frozenset()
    given: Mapping[str, str] = {}
    withheld: Mapping[str, str] = {}


def expected(case: Case, *, keeping: bool = False) -> Verdict:
    """The first rule that says no is the refusal; who passes all of them gets field by field.

    `keeping`: the data are stored, not disclosed, so nobody sees them and their period only begins.
    """
    organisation, subject, now = case.organisation, case.subject, case.instant
    purpose = organisation.purposes[case.purpose]
    fields = organisation.types[case.record_type]
    uses = purpose.uses[case.record_type]
    asked = list(fields) if case.fields is None else list(case.fields)
    granted = [name for name in asked if name in uses]
    withheld = {name: "not-in-purpose" for name in asked if name not in uses}

    if not _recipient_is_declared(case):
        return Verdict("undeclared-recipient")
    # 1
    if case.actor.role != "service" or not (
        case.actor.purposes & {case.purpose, "*"} and case.actor.types & {case.record_type, "*"}
    ):
        return Verdict("not-granted")
    # 2
    if subject.erased:
        return Verdict("erased")
    # 3: GDPR 18, PIPL 44
    if subject.restricted & {"*", case.purpose}:
        return Verdict("restricted")
    # 4
    if purpose.only_anonymised and not keeping:
        return Verdict("anonymised-only")
    # 5: PIPL 13 has no legitimate interest
    if purpose.basis == "legitimate-interest" and country(subject.jurisdiction) == "CN":
        return Verdict("no-lawful-basis")
    # 6
    if purpose.basis != "consent" and not _basis_is_in_force(purpose, subject, now):
        return Verdict("basis-not-in-force")
    # 7: GDPR 21, PIPL 44
    if case.purpose in subject.objected:
        return Verdict("objected")
    if purpose.basis == "consent":
        act = case.acts.get(consent_of(case))
        # 8: PIPL 31, GDPR 8
        if _is_child(case) and (act is None or not act.flags & BY_GUARDIAN):
            return Verdict("guardian-consent-missing")
        # 9
        if act is None or act.state not in ("given", "renewed"):
            return Verdict("consent-missing")
        if act.expires_at is not None and act.expires_at <= now:
            return Verdict("consent-expired")
        covered = _covered(organisation, purpose, act.notice)
        if covered is None or (act.flags & BY_GUARDIAN and not _is_child(case)):
            return Verdict("consent-stale")
        # 10
        needed = _separately(case, granted)
        if act.flags & SEPARATE:
            needed = frozenset()
        if act.flags & EXPLICIT and not _is_chinese(case):
            needed -= {"sensitive"}  # GDPR 9(2)(a)
        if needed:
            return Verdict("separate-consent-missing", needed)
        # 11
        if act.categories is not None:
            covered &= act.categories
        for name in granted:
            if fields[name].category not in covered:
                withheld[name] = "category-not-consented"
    # 12
    if not keeping and case.stored_at is not None and purpose.keep.after(case.stored_at) <= now:
        return Verdict("purpose-ended")
    return Verdict(None, frozenset(), {name: uses[name] for name in granted if name not in withheld}, withheld)


def consent_of(case: Case) -> str:
    """Whose consent counts for the case."""
    return consent_counts(case.organisation, case.organisation.recipients[case.recipient] if case.recipient else None)


def consent_counts(organisation: Organisation, recipient: Recipient | None) -> str:
    """The recipient's own where it is another controller or the data leave China; else the controller's, ''."""
    if recipient is not None and (recipient.kind == "controller" or _is_export(organisation, recipient)):
        return recipient.name
    return ""


def country(jurisdiction: str) -> str:
    return jurisdiction.split("-")[0]


def age(born: date, today: date) -> int:
    """Whole years. A birthday on 29 February is on 1 March in a year without one."""
    years = max(0, today.year - born.year - 1)  # that many birthdays have passed, whatever the day
    while birthday(born, years + 1) <= today:
        years += 1
    return years


def birthday(born: date, years: int) -> date:
    try:
        return born.replace(year=born.year + years)
    except ValueError:
        return date(born.year + years, 3, 1)


def age_of_consent(jurisdiction: str, controller: str) -> int:
    own = next((years for years, places in _AGE_OF_CONSENT.items() if country(jurisdiction) in places), 16)
    return max(own, 14) if country(controller) == "CN" else own


def terms_of(organisation: Organisation, purpose: Purpose) -> Terms:
    """What the manifest says of the purpose now, in the words of a notice."""
    used = [organisation.types[kind][name] for kind, names in purpose.uses.items() for name in names]
    return Terms(
        category=purpose.category,
        basis=purpose.basis,
        method=purpose.method,
        categories=frozenset(one.category for one in used),
        sensitive=frozenset(one.category for one in used if one.level == 4),
        recipients=frozenset(
            (one.name, one.kind, one.jurisdiction)
            for one in organisation.recipients.values()
            if purpose.name in one.purposes
        ),
        keep=purpose.keep,
        at_end=purpose.at_end,
    )


def _recipient_is_declared(case: Case) -> bool:
    if case.recipient is None:
        return True
    found = case.organisation.recipients.get(case.recipient)
    return found is not None and case.purpose in found.purposes


def _basis_is_in_force(purpose: Purpose, subject: Subject, now: datetime) -> bool:
    """Within the declared days, both whole and in UTC, and within the recorded basis if there is one."""
    today = now.astimezone(UTC).date()
    if purpose.first_day is not None and today < purpose.first_day:
        return False
    if purpose.last_day is not None and today > purpose.last_day:
        return False
    if subject.basis is None:
        return True
    start, end = subject.basis
    return start <= now and (end is None or now < end)


def _is_child(case: Case) -> bool:
    born = case.subject.born
    limit = age_of_consent(case.subject.jurisdiction, case.organisation.jurisdiction)
    return born is not None and age(born, case.instant.date()) < limit


def _is_chinese(case: Case) -> bool:
    return "CN" in (country(case.organisation.jurisdiction), country(case.subject.jurisdiction))


def _is_export(organisation: Organisation, recipient: Recipient) -> bool:
    return (
        country(organisation.jurisdiction) == "CN"
        and recipient.jurisdiction is not None
        and country(recipient.jurisdiction) != "CN"
    )


def _separately(case: Case, granted: list[str]) -> frozenset[str]:
    """What asks for separate consent here."""
    organisation, born = case.organisation, case.subject.born
    purpose = organisation.purposes[case.purpose]
    fields = [organisation.types[case.record_type][name] for name in granted]
    recipient = organisation.recipients[case.recipient] if case.recipient else None
    needed = set()
    if purpose.separate:
        needed.add("declared")  # PIPL 14
    if (
        any(one.level == 4 for one in fields)
        or _impersonate(fields)  # GB/T 45574
        or (born is not None and age(born, case.instant.date()) < 14)  # PIPL 28: all of their data
    ):
        needed.add("sensitive")  # PIPL 29
    if _is_chinese(case):
        if recipient is not None and recipient.kind == "controller":
            needed.add("provision")  # PIPL 23
        if "publish" in purpose.method:
            needed.add("publication")  # PIPL 25
        if "public-images" in purpose.method:
            needed.add("public-images")  # PIPL 26
        if recipient is not None and _is_export(organisation, recipient):
            needed.add("export")  # PIPL 39
    return frozenset(needed)


def _impersonate(fields: list[Field]) -> bool:
    """A name, an official identity and a telephone number together open an account in somebody's name."""
    categories = {one.category for one in fields}
    detected = {one.detect for one in fields}
    return (
        "pd:Name" in categories
        and bool(categories & {"pd:OfficialID", "pd:Passport"} or detected & {"CN_RESIDENT_ID", "CN_PASSPORT"})
        and bool("pd:TelephoneNumber" in categories or detected & {"CN_MOBILE", "PHONE_NUMBER"})
    )


def _covered(organisation: Organisation, purpose: Purpose, number: int | None) -> frozenset[str] | None:
    """The categories that consent under the notice covers today; None when it has gone stale."""
    told = next((one.terms.get(purpose.name) for one in organisation.notices if one.number == number), None)
    if number is None or told is None or _is_broader(told, terms_of(organisation, purpose)):
        return None
    if any(one.number > number and purpose.name in one.material for one in organisation.notices):
        return None
    return told.categories


def _is_broader(told: Terms, now: Terms) -> bool:
    """More is done now than was told: PIPL 14(2), NDSMR 22."""
    day = datetime(2026, 1, 1, tzinfo=UTC)
    return (
        (told.category, told.basis, told.at_end) != (now.category, now.basis, now.at_end)
        or not now.method <= told.method
        or not now.categories <= told.categories
        or not now.sensitive <= told.sensitive
        or not now.recipients <= told.recipients
        or now.keep.after(day) > told.keep.after(day)
    )
