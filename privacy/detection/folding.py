"""Other spellings of the same characters made one, without moving any: what is found in the folded text is found
at the same offsets of the text itself.

Never NFKC: it changes lengths (℡, ㈱, combining marks), and every offset after it.
"""

from __future__ import annotations

import re
from typing import Final

_FULL_WIDTH: Final = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_SPACES: Final = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
# Marks that are not seen and stand between the digits of a copied number. Soft hyphen, joiners, direction.
_UNSEEN: Final = "\u00ad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"  # fmt: skip # noqa: E501
_DASHES: Final = "\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\u2500\u2796\ufe58\ufe63\uff70"
# As privacy.normalise has it: which of these an input method gives is chance.
_DOTS: Final = "\u0387\u2022\u2027\u2219\u22c5\u2e31\u30fb\uff65"
_SIGNS: Final = {0xFFE0: 0xA2, 0xFFE1: 0xA3, 0xFFE5: 0xA5, 0x2236: 0x3A, 0xFE55: 0x3A, 0xFE6B: 0x40, 0xFE52: 0x2E}
# The zero of each script's decimal digits (Unicode 14, Nd); the nine others follow it.
_ZEROS: Final = (
    "\u0660\u06f0\u07c0\u0966\u09e6\u0a66\u0ae6\u0b66\u0be6\u0c66\u0ce6\u0d66\u0de6\u0e50\u0ed0\u0f20\u1040"
    "\u1090\u17e0\u1810\u1946\u19d0\u1a80\u1a90\u1b50\u1bb0\u1c40\u1c50\ua620\ua8d0\ua900\ua9d0\ua9f0\uaa50"
    "\uabf0\uff10\U000104a0\U00010d30\U00011066\U000110f0\U00011136\U000111d0\U000112f0\U00011450\U000114d0"
    "\U00011650\U000116c0\U00011730\U000118e0\U00011950\U00011c50\U00011d50\U00011da0\U00016a60\U00016ac0"
    "\U00016b50\U0001d7ce\U0001d7d8\U0001d7e2\U0001d7ec\U0001d7f6\U0001e140\U0001e2f0\U0001e950\U0001fbf0"
)
_DIGITS: Final = {ord(zero) + digit: ord("0") + digit for zero in _ZEROS for digit in range(10)}
_TABLE: Final[dict[int, int | str]] = {
    **{ord(mark): " " for mark in _SPACES + _UNSEEN},
    **{ord(dash): "-" for dash in _DASHES},
    **{ord(dot): "\u00b7" for dot in _DOTS},
    **_SIGNS,
    **_FULL_WIDTH,
    **_DIGITS,
}

# Some of what it finds the table leaves alone: beyond the BMP one wide range is tested many times as fast as many.
_FOLDS: Final = re.compile(
    "[" + re.escape("".join(chr(code) for code in _TABLE if code < 0x10000)) + "\U000104a0-\U0001fbf9]+"
)
_COMMON: Final = [(mark, chr(ord(mark) - 0xFEE0)) for mark in "，：（）！？；"]


def fold(text: str) -> str:
    """Full-width forms and every script's decimal digits in ASCII; one space, one dash (-), one middle dot (·).

    As many code points as `text`, each at its own place; idempotent.
    """
    if text.isascii():
        return text
    for mark, folded in _COMMON:  # each a copy at memory speed; the table costs a look-up a character
        text = text.replace(mark, folded)
    return _FOLDS.sub(lambda found: found[0].translate(_TABLE), text)


def ascii_image(text: str) -> str:
    """The folded text with `?` for what is not ASCII, so that Han beside a number is no part of a word.

    As many code points as `text`, each at its own place.
    """
    return fold(text).encode("ascii", "replace").decode("ascii")
