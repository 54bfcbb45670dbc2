"""Street addresses as people write them in Latin letters: found by their parts, joined from house to country.

An address starts from a part that is one by itself (a house number beside a name of a street's kind, a flat, a post
office box) and takes in what stands beside it: numbers, postcodes, codes of states, capitalised names, separated by
spaces, commas or the end of a line. It ends at the end of a sentence, at a word in lower case and at a label
("Phone:"). What kinds of streets are called, in the languages of Europe and the Americas, is all that is known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from privacy.detection.findings import Finding


def _uppercase() -> str:
    """Capital letters of Latin, Greek and Cyrillic scripts, as ranges of a character class."""
    ranges: list[list[int]] = []
    for code in (each for each in range(0x530) if chr(each).isupper()):
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"{chr(low)}-{chr(high)}" if high > low else chr(low) for low, high in ranges)


UPPERCASE: Final = _uppercase()
_CAPITALISED: Final = rf"(?:[dlDL]['’])?[{UPPERCASE}][\w'’\-]*"
_LINK: Final = (
    r"(?:de|del|della|dello|dei|degli|delle|di|da|do|dos|das|du|des|la|le|les|el|los|las|van|von|der|den|het|ter|ten|"
    r"zu|zum|zur|am|an|im|of|the|na|nad|pod|u|ve|v|i|y|e|and|og|och)"
)
_NAME: Final = rf"{_CAPITALISED}(?:[ ](?:{_LINK}[ ]){{0,2}}{_CAPITALISED}){{0,4}}"
_NUMBER: Final = r"\d{1,6}(?:[-/]\d{1,4})?[A-Za-z]?(?!\w)"

# What follows the street's name, as a word of its own.
_KINDS_AFTER: Final = (
    r"(?:Street|Str|St|Avenue|Ave|Av|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Place|Pl|Square|Sq|Terrace|Ter|"
    r"Way|Parkway|Pkwy|Highway|Hwy|Freeway|Expressway|Turnpike|Route|Circle|Cir|Crescent|Cres|Close|Trail|Trl|Alley|"
    r"Walk|Grove|Gardens?|Mews|Row|Hill|Hills|Loop|Plaza|Esplanade|Quay|Wharf|Crossing|Ridge|Heights|Manor|Meadows?|"
    r"Path|Pike|Point|Points|Bypass|Parade|Rise|View|Bend|Fields?|Prairie|Cliffs?|Forks?|Forges?|Squares?|Junction|"
    r"Vista|Valley|Springs?|Shores?|Orchard|Landing|Station|Villages?|Causeway|Broadway|Embankment|"
    r"Utca|Út|Tér|Körút|Köz|Sor|Sokak|Caddesi|Cesta|Ulica|Ulice|Náměstí|Třída|"
    r"utca|út|útja|tér|tere|körút|köz|sor|u|ulica|ulice|cesta|náměstí|terrasse|alle|allé)"
)
# What precedes it.
_KINDS_BEFORE: Final = (
    r"(?:Rue|Rua|Via|Viale|Vicolo|Piazza|Piazzale|Corso|Largo|Strada|Contrada|Calle|Avenida|Avda\.?|Avenue|Av\.|Paseo|"
    r"Plaza|Camino|Carretera|Carrer|Ronda|Travesía|Travessa|Estrada|Praça|Alameda|Ladeira|Boulevard|Allée|Chemin|"
    r"Impasse|"
    r"Quai|Route|Place|Cours|Ulica|[Uu]l\.|[Aa]l\.|[Oo]s\.|[Pp]l\.|Aleja|Aleje|Plac|Osiedle|Trg|Calea|Bulevardul|Str\.|"
    r"Nám\.|Náměstí|Am|An der|An den|Auf der|Auf dem|Im|In der|Zur|Zum|Unter den|Ulitsa|Prospekt|улица|ул\.)"
)
# ... which is written without a capital in running text.
_KINDS_LOWER: Final = (
    r"(?:rue|avenue|boulevard|allée|chemin|impasse|quai|cours|calle|avenida|via|viale|piazza|rua|ulica|ul\.)"
)
# How the one word of a Germanic, Nordic or Finnish street's name ends.
_ENDINGS: Final = (
    r"(?:stra(?:ss|ß)e|str\.|gasse|weg|platz|allee|ring|damm|ufer|steig|stieg|markt|graben|berg|gata|gatan|gate|gaten|"
    r"veg|vegen|vegur|vei|veien|vej|väg|vägen|stien|stigen|stígur|stræde|gränd|torg|torget|backe|backen|gade|plads|"
    r"katu|tie|kuja|kujat|polku|puisto|ranta|rinne|kaari|raitti|penger|straat|laan|plein|gracht|kade|dijk|hof|hove|"
    r"steeg|baan|pad|singel|weide|allé|vænget|parken|bakken|haven|toften|centret|braut|tún|gerði|hóll|garður|skálinn|"
    r"rodda|løkka|lia|tunet|gården|vika|haugen|bakka|ovej)"
)
_UNIT: Final = (
    r"(?:Apt|Apartment|Suite|Ste|Unit|Flat|Room|Rm|Floor|Fl|Building|Bldg|Block|Lot|Trailer|Dept)\.?[ ]?"
    r"(?:#[ ]?)?(?:\d{1,5}[A-Za-z]?|[A-Z])(?!\w)"
)
_BOX: Final = r"(?:P\.?[ ]?O\.?[ ]?Box|Post Office Box|Postfach|Apartado|Box)[ ]\d{1,6}(?!\w)"
_MILITARY: Final = (
    r"(?:(?:PSC|CMR|Unit)[ ]\d{1,5},?[ ]Box[ ]\d{1,5}|(?:USS|USNS|USNV|USCGC|HMS)[ ]" + _CAPITALISED + r")"
    r"(?:[ ,\n]+(?:APO|FPO|DPO)[ ,]+A[AEP](?:[ ]\d{5}(?:-\d{4})?)?)?"
)

# What is an address, or the beginning of one, by itself.
_ANCHORS: Final = re.compile(
    r"(?<![\w.@#/-])(?:"
    rf"(?P<military>{_MILITARY})"
    rf"|(?P<after>(?:{_NUMBER}[ ]){{0,2}}{_NUMBER},?[ ](?:(?:{_CAPITALISED}|{_LINK}|\d{{1,3}}(?:st|nd|rd|"
    rf"th))\.?[ ]){{1,4}}?"
    rf"{_KINDS_AFTER}(?!\w)\.?(?:[ ]{_NUMBER}\.?)?)"
    rf"|(?P<kind>(?:{_NUMBER}[ ]){{0,2}}(?:{_CAPITALISED}[ ]){{1,3}}(?:utca|út|útja|tér|u|körút)\.?[ ]{_NUMBER}\.?)"
    rf"|(?P<before>(?:{_NUMBER},?[ ]){{0,2}}{_KINDS_BEFORE}[ ](?:{_LINK}[ ]){{0,2}}{_NAME}(?:,?[ ]{_NUMBER})?)"
    rf"|(?P<ending>(?:{_NUMBER},?[ ]){{0,2}}(?:{_CAPITALISED}[ ]){{0,3}}[{UPPERCASE}][\w'’\-]*"
    rf"{_ENDINGS},?[ ]{_NUMBER}\.?)"
    rf"|(?P<lower>{_NUMBER},?[ ]{_KINDS_LOWER}[ ](?:[^\W\d_][\w'’\-]*[ ]){{0,4}}[^\W\d_][\w'’\-]*(?:,?[ ]{_NUMBER})?)"
    rf"|(?P<unit>{_UNIT})"
    rf"|(?P<box>{_BOX})"
    r")"
)
_CODE: Final = r"(?:[A-Z]{2,3}|nan)(?!\w)"
_STOP: Final = (
    r"(?:I|It|The|This|That|We|You|He|She|They|My|Please|Phone|Mobile|Tel|Fax|Email|E-mail|Desk|Office|Website|"
    r"Thanks|Thank|Regards|Can|Could|Is|Are|What|When|Where|How|And|Or|But|If|Do|Does|In|On|At|To|From|For)(?!\w)"
)
_PART: Final = rf"(?!{_STOP})(?:{_UNIT}|{_NUMBER}|{_CODE}|{_NAME}(?:[ ]\({_NAME}\))?)(?!\w|['’]s|[ ]?:|@)"
_MORE: Final = re.compile(rf"(?:[ ]{{0,3}}[,;]?[ ]{{0,3}}\n?[>| ]{{0,8}},?[ ]{{0,3}}{_PART}){{1,7}}\.?")
_BEFORE_IT: Final = re.compile(rf"(?:(?<=\s)|(?<=^)|(?<=>))(?:{_NUMBER}[ ,]+){{1,2}}\Z")

# Words after which a place is told: what follows may be an address whose kind of street is not known.
_CUE: Final = re.compile(
    r"(?i:\b(?:address(?:es)?(?: is| are|:| to| at| with)*|liv(?:e|es|ed|ing)(?: now)? (?:at|on|in)|located (?:at|"
    r"on|in)|"
    r"offices? (?:is|are)? ?(?:located )?at|resid(?:e|es|ing) (?:at|in|on)|corner of|deliver(?:ed|y)? to|"
    r"ship(?:ped)? to|"
    r"return (?:it )?to|moved? to|taxi to|send (?:it |one |them )?to|arrived at|come to|stay(?:ing)? at|"
    r"meet (?:\w+ )?at)"
    r"[: ]\s*)"
    rf"(?P<place>(?:{_NUMBER}[ ,]+){{0,2}}{_NAME}(?:,?[ ]{_NUMBER})?)"
)
_LINE: Final = re.compile(
    rf"(?m:^[>| ]*(?P<place>(?:{_NUMBER}[ ])?{_NAME}[ ]{_NUMBER}|{_NUMBER}[ ]{_NUMBER}[ ]{_NAME})[ ]*,?$)"
)
_HAS_DIGIT: Final = re.compile(r"\d")
# "During 1980", "Spring 2020".
_IS_DATE: Final = re.compile(r"(?i:during|spring|[a-z]+)[ ](?:19|20)\d\d\b")


def find(text: str) -> list[Finding]:
    """ADDRESS, in order, without overlaps. Linear in the length of the text."""
    if not _HAS_DIGIT.search(text):
        return []
    found: list[Finding] = []
    for start, end, why in sorted(_anchored(text), key=lambda each: (each[0], -each[1])):
        if found and start < found[-1].end:
            continue
        more = _MORE.match(text, end)
        last = more.end() if more else end
        while text[last - 1] in " .,;\n" and last > end:
            last -= 1
        ahead = _BEFORE_IT.search(text, max(0, start - 16, found[-1].end if found else 0), start)
        first = ahead.start() if ahead else start
        if found and not text[found[-1].end : first].strip(" ,\n>|"):
            first = found.pop().start
        found.append(Finding(first, last, "ADDRESS", 0.8, why))
    return found


def _anchored(text: str) -> Iterator[tuple[int, int, str]]:
    for match in _ANCHORS.finditer(text):
        if match.lastgroup != "ending" or not _IS_DATE.match(match.group()):
            yield match.start(), match.end(), "rule:address"
    for rule in (_CUE, _LINE):
        for match in rule.finditer(text):
            if _HAS_DIGIT.search(match["place"]):
                yield match.start("place"), match.end("place"), "rule:address"
