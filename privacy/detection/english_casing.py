"""The text as the model would like it written: same length, so that offsets hold.

The model was trained on edited text. It misses names typed without capitals ("my name is frank miller") and names and
places shouted ("MARY JONES, LIVERPOOL"). In a text without any capital every word gets one that is not an everyday
word; a word all in capitals keeps the first alone, if it is long enough to be no abbreviation.
"""

from __future__ import annotations

import re
from typing import Final

_WORD: Final = re.compile(r"[^\W\d_][\w'’]*")
_SHOUTED: Final = re.compile(r"(?<![\w.&@/-])[^\W\d_]{4,}(?![\w&@])")
_QUOTED: Final = re.compile(r"^[>|]+", re.MULTILINE)
# Longer than any word: encoded data, a line drawn with dashes. The tokeniser's cost is the square of its length.
_ENDLESS: Final = re.compile(r"\S{200,}")
_UPPER: Final = re.compile(r"[A-Z]")

# Everyday words: never a name by themselves, whatever their case. Function words, the commonest verbs and the words of
# business mail.
_EVERYDAY_WORDS: Final = """
    a about above across account accounts active add added additional address addresses after again against age
    ago all almost along already also although always am amount an and another any anybody anyone anything
    anyway apply are around arrive arrived as ask asked asking at attend available away back bad balance bank be
    became because become been before began begin behind being believe below best better between big bill
    billing birth birthday block blocked book born both bot box boy bridge bring browse building business but
    buy by call called calling came can cancel cannot cant car card cards care case cash center change changed
    charge check child children city click close code come comes coming company conference confirm contact
    corner correct cost could country credit crazy customer daily dad date daughter day days dear debit deliver
    delivered delivery desk detail details did didn't do doctor does doesn't doing don't done down driver during
    each early east eat either else email emails end english enter error even evening ever every everyone
    everything excuse expected fake family far fast father fax feel female few find fine first for found free
    friend friends from front full fun game gave gender get gets getting girl give given go goes going gone good
    got great grew group had half happy has hate have having he he's head hear heard hello help her here here's
    hers hey hi high him his history hold home hope hospital hour hours house how however husband i i'd i'll i'm
    i've iban id if important in info inside instead into is isn't issue it it's its job join just keep kid kids
    kind know known lady large last late later learn leave left less let let's letter license life like limit
    limits line link list little live lived lives living load loan located location long look looking lost lot
    love low made mail main make making male man manager many may maybe me mean meet meeting men message met
    might mind mine minutes mobile mom moment money month months more morning most mother mouth move moved
    moving mr mrs ms much music must my myself name named names near need needed needs never new news next nice
    night no nobody none nor north not note nothing now number numbers of off offer office offices often ok okay
    old on once one online only open opened opening or order other others our out outside over own page paid
    paper part party passport patient pay payment people per perhaps person personal phone photo place plan play
    please pm point possible post posted present problem proud public put question questions quick quite ran
    rather read ready real really reason received receive regards religion remember remove report request
    restaurant return right road room said same saw say says school see seem seems seen sell send sent service
    set several she she's should show sick side sign since sincerely sir sister site sleep small so social some
    somebody someone something sometimes son song soon sorry sound south speak spoke start started state
    statement station stay still stop store story street student such super support sure swift take taken taking
    talk talking taxi tel telephone tell ten test than thank thanks that that's the their them then there
    there's these they they're thing things think this those though thought three through time times to today
    together told tomorrow tone too took town transfer travel travelling trip true try trying tuesday turn
    turned two type under unless until up update updated upon us use used user using very visit visiting waiting
    wait wake walk want wanted wants was wasn't watch water way we we'll we're we've website week weekend weeks
    welcome well went were west what what's when where where's which while white who who's whole whose why wife
    will wish with withdraw within without woman women won't word words work worked working works world would
    write wrong wrote year years yes yesterday yet you you'd you'll you're you've young your yours yourself zip
    monday wednesday thursday friday saturday sunday january february march april june july august september
    october november december
"""
_EVERYDAY: Final = frozenset(_EVERYDAY_WORDS.split())
# Everyday words that are names as well: a name where they are written with a capital and the model says so.
_NAMES_TOO: Final = frozenset(
    {"white", "will", "april", "june", "may", "young", "long", "small", "love", "case", "street"}
)
# Shouted words that are abbreviations or orders rather than names.
_KEPT: Final = frozenset(
    {
        "ASAP",
        "IBAN",
        "HTTP",
        "HTTPS",
        "HTML",
        "JSON",
        "NATO",
        "NASA",
        "UNESCO",
        "UNICEF",
        "AIDS",
        "ISBN",
        "SMTP",
        "SWIFT",
        "ZIP",
        "PDF",
    }
)


def is_everyday(word: str) -> bool:
    """Whether `word`, in any case, is one of the words that are no name by themselves."""
    return word.lower().replace("’", "'") in _EVERYDAY


def may_name(word: str) -> bool:
    """Whether `word`, written with a capital, may name a person: no everyday word, or one that is a name as well."""
    return not is_everyday(word) or word.lower() in _NAMES_TOO


def normalised(text: str) -> str:
    """`text` with capitals where edited English has them, without marks of quotation and without what no word is.

    Of the same length.
    """
    text = _QUOTED.sub(lambda mark: " " * len(mark.group()), text)
    if not _UPPER.search(text) and text.lower() == text:
        text = _WORD.sub(_raised, text)
    else:
        text = _SHOUTED.sub(_lowered, text)
    return _ENDLESS.sub(lambda run: "x" * len(run.group()), text)


def _raised(match: re.Match[str]) -> str:
    word = match.group()
    return word if is_everyday(word) else _same_length(word[0].upper(), word[0]) + word[1:]


def _lowered(match: re.Match[str]) -> str:
    word = match.group()
    if not word.isupper() or word in _KEPT:
        return word
    if is_everyday(word):
        return _same_length(word.lower(), word)
    return word[0] + _same_length(word[1:].lower(), word[1:])


def _same_length(changed: str, word: str) -> str:
    """A few letters change their number with their case: they stay as they are."""
    return changed if len(changed) == len(word) else word
