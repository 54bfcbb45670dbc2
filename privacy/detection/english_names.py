"""Names of people by what stands beside them: a greeting, a signature, a form of address, "my name is".

The model reads names in sentences like those of a newspaper. In letters and chat a name often stands alone on its
line, without a capital, or is one that the model takes for a place or a firm; what introduces it is surer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from privacy.detection.english_addresses import UPPERCASE
from privacy.detection.english_casing import is_everyday
from privacy.detection.findings import Finding

_PARTICLE: Final = r"(?:de|del|della|di|da|dos|du|la|le|van|von|der|den|ter|ten|bin|ibn|al|el|st\.|ó|zu|y)"
_NAME: Final = (
    rf"[{UPPERCASE}](?:[\w'’\-]*[\w]|\.)"
    rf"(?:[ ](?:{_PARTICLE}[ ]){{0,2}}[{UPPERCASE}](?:[\w'’\-]*\w|\.?(?=[ ]))?){{0,3}}"
)

HONORIFICS: Final = (
    r"(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Sir|Dame|Madam|Rev|Reverend|Fr|Hon|Capt|Captain|Lt|Col|Sgt|Gen|Maj|Judge|"
    r"Herr|Frau|Señor|Señora|Sra?|Mme|Mlle|Monsieur|Madame|Signora?)"
)
_HONORIFIC: Final = re.compile(rf"(?<![\w.@])(?P<title>(?i:{HONORIFICS})\.?)[ ]+(?P<name>{_NAME})")

# What introduces a name, in any case.
_INTRODUCED: Final = re.compile(
    r"(?i:\b(?:my name is|my name's|my name:|name is|name's|name:|names? on the account(?:\?| is|:)|full name:?|"
    r"i am called|"
    r"(?:people )?call me|called me|call him|call her|named (?:him|her|it|after)|(?:is|was|are|were|been) named|"
    r"maiden name|"
    r"under the name(?: of)?|it's under|change it to|this is|i am|i'm|speaking with|spoke (?:to|with)|"
    r"talk(?:ed)? (?:to|with)|"
    r"ask(?:ed)? for|contact person:?|contact:|attn\.?:?|attention:|care of|c/o|to:|from:|cc:|patient:?|customer:?|"
    r"user:|agent:|signed by|sincerely,?|regards,?|cheers,?|yours,?|yours truly,?|faithfully,?|best wishes,?|"
    r"thanks,|thank you,|"
    r"dear|hi|hello|hey|good morning|good afternoon|good evening|beneficiary:?|directed by:?|written by:?|"
    r"interview with|"
    r"married to|wife,?|husband,?|son,?|daughter,?|brother,?|sister,?|mother,?|father,?|friend,?|colleague,?|boss,?|"
    r"what's your name\?|what is your name\?|who is this\?)"
    r"[\s\"'“>]*)"
    rf"(?P<name>{_NAME})(?![\w@]|['’](?!s))"
)
# Two or more names that make up a line of their own.
_LINE: Final = re.compile(
    rf"(?m:^[>| \t]*(?P<name>[{UPPERCASE}][\w'’\-]*\w[ ](?:[{UPPERCASE}]\.?[ ]|(?:{_PARTICLE}[ ]){{1,2}})?"
    rf"[{UPPERCASE}][\w'’\-]+\w)[ \t]*,?$)"
)
_CALLED_ON: Final = re.compile(
    rf"(?m:^[>| \t\"“]*(?P<name>{_NAME}), (?=(?:can|could|would|will|do|did|are|is|please|what|when|where|how|why|i|"
    rf"we|you|thank)\b))"
)
_SPEAKER: Final = re.compile(rf"(?m:^[>| \t]*(?P<name>{_NAME}):[ ]*[\"“])")

# Occupations by their last word: "claims adjuster", "Network engineer".
_OCCUPATION: Final = (
    r"(?:accountant|actor|actress|actuary|adjuster|administrator|adviser|advisor|agent|analyst|apprentice|architect|"
    r"artist|"
    r"assembler|assistant|associate|attendant|attorney|auditor|author|baker|banker|barista|bookkeeper|broker|builder|"
    r"butcher|buyer|captain|caretaker|carpenter|cashier|chef|chemist|clerk|coach|collector|commander|conductor|"
    r"consultant|"
    r"contractor|controller|cook|coordinator|counselor|counsellor|courier|curator|dealer|dentist|designer|developer|"
    r"dietitian|director|dispatcher|distributor|doctor|driver|economist|editor|educator|electrician|engineer|estimator|"
    r"examiner|executive|farmer|firefighter|fitter|foreman|gardener|geologist|guard|hairdresser|handler|headteacher|"
    r"housekeeper|hygienist|inspector|installer|instructor|interpreter|inspector|investigator|janitor|journalist|judge|"
    r"laborer|labourer|lawyer|lecturer|librarian|loader|machinist|magistrate|manager|mason|mechanic|mediator|"
    r"merchandiser|"
    r"midwife|miner|model|musician|nanny|nurse|nutritionist|officer|operator|optician|painter|paralegal|paramedic|"
    r"pharmacist|photographer|physician|physicist|physiotherapist|pilot|planner|plumber|police officer|policeman|"
    r"practitioner|presenter|principal|processor|producer|programmer|psychiatrist|psychologist|purchaser|realtor|"
    r"receptionist|recruiter|repairer|reporter|representative|researcher|salesperson|salesman|scientist|secretary|"
    r"server|"
    r"sheriff|singer|soldier|solicitor|specialist|statistician|steward|stewardess|student|supervisor|surgeon|surveyor|"
    r"tailor|teacher|technician|technologist|telemarketer|teller|tester|therapist|trader|trainer|translator|tutor|"
    r"typist|undertaker|underwriter|veterinarian|waiter|waitress|warden|welder|worker|writer|[a-z]{4,}(?:ologist|"
    r"ographer|grapher))s?"
)
_ROLE_LINE: Final = re.compile(
    rf"(?im:^[>| \t]*(?P<title>(?:[a-z][a-z'&,\-/]*[ ]){{0,6}}{_OCCUPATION}(?:,[ ][a-z ]{{3,40}})?)[ \t]*,?$)"
)
_ROLE: Final = re.compile(
    rf"\b(?i:(?:works?|worked|working|employed|hired|job|trained|retired) (?:is |was )?as (?:an? |the )?|"
    rf"occupation: ?|job title: ?|"
    rf"profession: ?|position: ?|(?:i am|i'm|he is|she is|he's|she's|was|"
    rf"is) an? )(?P<title>(?i:(?:[a-z][a-z\-]*[ ]){{0,3}}?{_OCCUPATION}))\b"
)


def find(text: str) -> list[Finding]:
    """PERSON and TITLE, in no order; they may overlap. `text` has its capitals put right (`english_casing`)."""
    return [*_names(text), *_titles(text)]


def _names(text: str) -> Iterator[Finding]:
    for match in _HONORIFIC.finditer(text):
        yield Finding(match.start("title"), match.end("title"), "TITLE", 0.88, "rule:title")
        yield Finding(*match.span("name"), "PERSON", 0.88, "rule:title")
    for rule, score in ((_INTRODUCED, 0.87), (_CALLED_ON, 0.86), (_SPEAKER, 0.87), (_LINE, 0.5)):
        for match in rule.finditer(text):
            start, end = match.span("name")
            end = start + _length_of_name(match["name"].removesuffix("'s").removesuffix("’s"))
            if end > start:
                yield Finding(start, end, "PERSON", score, "rule:introduced")


def _titles(text: str) -> Iterator[Finding]:
    for rule in (_ROLE_LINE, _ROLE):
        for match in rule.finditer(text):
            yield Finding(*match.span("title"), "TITLE", 0.86, "rule:occupation")


def _length_of_name(words: str) -> int:
    """Of the words up to the first everyday one; 0 if the first is one."""
    length = 0
    for word in re.finditer(r"\S+", words):
        if is_everyday(word.group().rstrip(".,")):
            break
        length = word.end()
    return length
