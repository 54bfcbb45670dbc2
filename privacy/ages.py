"""The age from which a person consents for themselves, by jurisdiction; below it a guardian consents.

PIPL 31 says 14. GDPR 8(1) says 16 and lets each member state choose 13 to 16; the EEA states take part. The
United Kingdom says 13 in section 9 of its Data Protection Act 2018, the United States in COPPA. Where no
limit is known here the highest one stands, 16: too careful asks a guardian in vain, too bold asks nobody.

Each row names the act that chose. The table is as of REVIEWED and wants reading again every year: at that time
Spain (to 16) and Norway (to 15) had proposals to raise theirs, and neither is known to be in force.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Final

REVIEWED: Final = date(2026, 11, 22)
PIPL: Final = "PIPL-31"
GDPR: Final = "GDPR-8"
COPPA: Final = "US-COPPA"


@dataclass(frozen=True, slots=True)
class Limit:
    """From `years` on a person consents for themselves. `source` is the act that says so, for a reader."""

    years: int
    law: str
    source: str


# GDPR 8(1) where a state has chosen no lower age, by law or by silence.
_UNCHANGED: Final = "Regulation (EU) 2016/679 art. 8(1)"
_TABLE: Final = (
    ("CN", 14, PIPL, "个人信息保护法 第三十一条"),
    ("EU", 16, GDPR, _UNCHANGED),
    ("AT", 14, GDPR, "Datenschutzgesetz § 4(4)"),
    ("BE", 13, GDPR, "Loi du 30 juillet 2018 art. 7"),
    ("BG", 14, GDPR, "Закон за защита на личните данни чл. 25в"),
    ("CY", 14, GDPR, "Law 125(I)/2018 s. 8"),
    ("CZ", 15, GDPR, "Zákon č. 110/2019 Sb. § 7"),
    ("DE", 16, GDPR, _UNCHANGED),
    ("DK", 15, GDPR, "Databeskyttelsesloven § 6, since 2024-01-01; 13 before"),
    ("EE", 13, GDPR, "Isikuandmete kaitse seadus § 8"),
    ("ES", 14, GDPR, "Ley Orgánica 3/2018 art. 7"),
    ("FI", 13, GDPR, "Tietosuojalaki 1050/2018 § 5"),
    ("FR", 15, GDPR, "Loi n° 78-17 art. 45"),
    ("GR", 15, GDPR, "Law 4624/2019 art. 21"),
    ("HR", 16, GDPR, "Zakon o provedbi Opće uredbe o zaštiti podataka čl. 19"),
    ("HU", 16, GDPR, _UNCHANGED),
    ("IE", 16, GDPR, "Data Protection Act 2018 s. 31"),
    ("IT", 14, GDPR, "Codice privacy art. 2-quinquies"),
    ("LT", 14, GDPR, "Asmens duomenų teisinės apsaugos įstatymas 6 str."),
    ("LU", 16, GDPR, _UNCHANGED),
    ("LV", 13, GDPR, "Fizisko personu datu apstrādes likums 33. pants"),
    ("MT", 13, GDPR, "Subsidiary Legislation 586.11"),
    ("NL", 16, GDPR, "Uitvoeringswet AVG art. 5"),
    ("PL", 16, GDPR, _UNCHANGED),
    ("PT", 13, GDPR, "Lei n.º 58/2019 art. 16"),
    ("RO", 16, GDPR, _UNCHANGED),
    ("SE", 13, GDPR, "Lag 2018:218 2 kap. 4 §"),
    ("SI", 15, GDPR, "ZVOP-2 čl. 8"),
    ("SK", 16, GDPR, "Zákon č. 18/2018 Z. z. § 15"),
    ("IS", 13, GDPR, "Lög nr. 90/2018 10. gr."),
    ("LI", 16, GDPR, _UNCHANGED),
    ("NO", 13, GDPR, "Personopplysningsloven § 5"),
    ("GB", 13, GDPR, "Data Protection Act 2018 s. 9"),
    ("US", 13, COPPA, "15 U.S.C. 6501(1)"),
)
LIMITS: Final[Mapping[str, Limit]] = MappingProxyType(
    {country: Limit(years, law, source) for country, years, law, source in _TABLE}
)
OTHERS: Final = Limit(16, GDPR, f"the highest limit known, after {_UNCHANGED}")


def limit_of(jurisdiction: str, controller: str) -> Limit:
    """The limit for a subject of `jurisdiction`; both are ISO 3166 codes, of a country or a part of it.

    At least 14 for a controller under Chinese law, whoever the subject is (PIPL 3, 31).
    """
    limit = LIMITS.get(jurisdiction.partition("-")[0], OTHERS)
    china = LIMITS["CN"]
    return china if limit.years < china.years and controller.partition("-")[0] == "CN" else limit


def age_on(born: date, today: date) -> int:
    """Whole years; negative before the birth. Who was born on 29 February turns older on 1 March in other years.

    Civil Code of the PRC art. 200 and 201: a year is full when the day of birth has come again.
    """
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))
