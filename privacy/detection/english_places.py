"""Places and organisations by the words before them, where the model does not know the name.

A small town or a young company is in no training text; "lives in", "based in", "works for" tell what follows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from privacy.detection.english_addresses import UPPERCASE
from privacy.detection.english_casing import is_everyday
from privacy.detection.findings import Finding

_WORD: Final = rf"(?:[dlDL]['’])?[{UPPERCASE}][\w'’\\-]*\w"
_NAME: Final = rf"{_WORD}(?:[ ](?:(?:de|del|la|le|of|the|am|an der|upon|u|v|nad|i)[ ]){{0,2}}{_WORD}){{0,3}}"
_PLACE: Final = re.compile(
    r"\b(?i:liv(?:e|es|ed|ing) in|based in|born in|raised in|grew up in|grown up in|located in|situated in|"
    r"resid(?:e|es|ing) in|"
    r"headquartered in|moved (?:here |there |back )?(?:from|to)|relocat(?:ed|ing) (?:from|to)|travel(?:l?ing|l?ed|"
    r"s)? to|"
    r"trip to|flight to|fly(?:ing)? to|flew to|i'm in|i am in|we are in|come from|comes from|came from|"
    r"am from|is from|are from|i'm from|home ?town(?: of)?|home city(?: of)?|city of|town of|village of|university of|"
    r"arriv(?:e|ed|ing) in|office in|offices in|branch in|store in|year in|vacation in|holiday in|visiting)[ ]"
    rf"(?P<name>{_NAME})"
)
_EMPLOYER: Final = re.compile(
    r"\b(?i:work(?:s|ed|ing)? (?:for|at)|employed (?:by|at)|job at|joined|employee of|ceo of|founder of|director of|"
    r"manager at|interned at|hired by|engineer at)[ ](?:the[ ])?"
    rf"(?P<name>{_NAME})"
)
_FIRM: Final = re.compile(
    rf"(?P<name>{_WORD}(?:(?:,?[ ](?:and|&|of|for)|,)?[ ]{_WORD}){{0,4}},?[ ]"
    r"(?:Inc|LLC|L\.L\.C|Ltd|Limited|Corp|Corporation|Company|Co|PLC|plc|GmbH|AG|S\.A|SA|N\.V|NV|B\.V|BV|Oy|AB|ApS|"
    r"A/S|AS|"
    r"S\.p\.A|S\.r\.l|Srl|Sp\. z o\.o|s\.r\.o|LLP|LP|Group|Holdings|Partners|Associates|Sons|Bros|Foundation|Institute|"
    r"Bank|Airlines|Technologies|Systems|Solutions|Industries|Enterprises|Laboratories|Insurance)\b\.?)"
)


def find(text: str) -> list[Finding]:
    """LOCATION and ORGANIZATION, in no order; they may overlap."""
    return list(_found(text))


def _found(text: str) -> Iterator[Finding]:
    for rule, entity, score in (
        (_PLACE, "LOCATION", 0.86),
        (_EMPLOYER, "ORGANIZATION", 0.86),
        (_FIRM, "ORGANIZATION", 0.86),
    ):
        for match in rule.finditer(text):
            if not is_everyday(match["name"].split()[0]):
                yield Finding(*match.span("name"), entity, score, f"rule:{entity.lower()}")
