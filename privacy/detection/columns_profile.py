"""What the cells of one column show, counted once: types, forms, dictionaries, names, addresses, what text holds."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Final

from privacy.detection.columns_cells import Strength, day_of, folded, is_empty, is_stored_as_written, told, type_of
from privacy.detection.columns_kinds import Form
from privacy.detection.columns_words import (
    AMBIGUOUS,
    CHINESE_ADDRESS,
    CHINESE_JOB,
    CHINESE_NAME,
    CHINESE_PLACE,
    CLOSED,
    GIVEN_NAMES,
    LATIN_ADDRESS,
    LATIN_JOB,
    LATIN_NAME,
    NOT_A_NAME,
    NOT_A_PERSON,
    ORGANISATION,
)
from privacy.manifest import ValueType

MOST: Final = 400  # distinct cells that are looked at: a share of them is known to five in a hundred
_LONG: Final = 200
_TEXT: Final = 20  # characters, on average: more than names and places have
_HAN: Final = re.compile("[\u3400-\u9fff]")
_DISEASE_CODE: Final = re.compile(r"[A-TV-Z]\d[0-9A-Z](?:\.\d{1,4})?")
_TITLE: Final = re.compile(r"^(?:mr|mrs|ms|miss|dr|prof|sir|mx)\.? ", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Told:
    """A kind, how many distinct cells are wholly it, and how strongly the rule speaks that most of them met."""

    kind: str
    cells: int
    strength: Strength


class Profile:
    """One column of the sample. `cells` keeps the order of the rows; an empty cell is None."""

    def __init__(self, name: str, cells: Sequence[str | None]) -> None:
        self.name = name
        self.rows = len(cells)
        self.cells: list[str | None] = [None if cell is None or is_empty(cell.strip()) else cell for cell in cells]
        self.filled = [cell for cell in self.cells if cell is not None]
        counted = Counter(self.filled)
        self.distinct_count = len(counted)
        self.distinct = [folded(cell) or "-" for cell in list(counted)[:MOST]]
        self._lower = [cell.lower() for cell in self.distinct]

    def share(self, cells: int) -> float:
        """Of the distinct cells that were looked at."""
        return cells / len(self.distinct) if self.distinct else 0.0

    @cached_property
    def _told(self) -> dict[str, Counter[Strength]]:
        counts: dict[str, Counter[Strength]] = {}
        for cell in self.distinct:
            for kind, strength in told(cell):
                counts.setdefault(kind, Counter())[strength] += 1
        return counts

    @cached_property
    def told(self) -> list[Told]:
        """What the rules of `columns_cells` prove or suggest, the kind of most cells first, of those the strongest."""
        found = [
            Told(kind, strengths.total(), max(strengths, key=lambda one: (strengths[one], one)))
            for kind, strengths in self._told.items()
        ]
        return sorted(found, key=lambda one: (-one.cells, -one.strength, one.kind))

    @cached_property
    def checked(self) -> dict[str, int]:
        """By kind the distinct cells whose check character holds, Luhn left out: one number in ten passes that."""
        return {
            kind: strengths[Strength.CHECKED]
            for kind, strengths in self._told.items()
            if strengths[Strength.CHECKED] and kind not in ("bank_card", "imei")
        }

    @cached_property
    def type(self) -> ValueType:
        """The type that all cells have; days and instants mixed are instants, whole and broken numbers numbers."""
        kinds = {type_of(cell) for cell in self.distinct}
        if len(kinds) == 1:
            return kinds.pop()
        if kinds == {ValueType.DATE, ValueType.DATETIME}:
            return ValueType.DATETIME
        if kinds == {ValueType.INTEGER, ValueType.NUMBER}:
            return ValueType.NUMBER
        return ValueType.TEXT

    @cached_property
    def is_flag(self) -> bool:
        return self.type is ValueType.BOOLEAN or (self.type is ValueType.INTEGER and set(self.distinct) == {"0", "1"})

    @cached_property
    def is_stored_as_written(self) -> bool:
        """Whether the service takes all cells as they are, once the field has this type."""
        return all(is_stored_as_written(cell, self.type) for cell in self.distinct)

    @cached_property
    def days(self) -> list[date]:
        """The days that cells are."""
        found = (day_of(cell) for cell in self.distinct if 8 <= len(cell) <= 40)
        return [day for day in found if day is not None]

    @cached_property
    def mean_length(self) -> float:
        return sum(map(len, self.distinct)) / len(self.distinct) if self.distinct else 0.0

    @cached_property
    def longest(self) -> int:
        return max(map(len, self.filled), default=0)

    @cached_property
    def is_text(self) -> bool:
        """Sentences: long, or of many words, and hardly ever the same."""
        if self.type is not ValueType.TEXT or not self.distinct:
            return False
        words = sum(cell.count(" ") + 1 for cell in self.distinct) / len(self.distinct)
        han = sum(1 for cell in self.distinct if _HAN.search(cell))
        is_long = self.mean_length >= (12 if self.share(han) > 0.5 else _TEXT)
        return is_long and (words >= 4 or self.share(han) > 0.5) and self.distinct_count > len(self.filled) * 0.3

    def fits(self, form: Form) -> bool:
        """Whether at least six cells in ten look as the kind does that the name speaks of."""
        if not self.distinct:
            return True
        if form is Form.ANY:
            return True
        if form is Form.DATE:
            return self.share(len(self.days)) >= 0.6 or self.type is ValueType.DATETIME
        if form is Form.NUMBER:
            return self.type in (ValueType.INTEGER, ValueType.NUMBER) or self._share_of(_has_digit) >= 0.6
        if form is Form.DIGITS:
            return self._share_of(_is_mostly_digits) >= 0.6
        if form is Form.CODE:
            return self._share_of(_is_code) >= 0.6
        if form is Form.WORDS:
            return self._share_of(_is_words) >= 0.6 and not self.is_flag
        return self.type in (ValueType.TEXT, ValueType.LIST)

    def _share_of(self, claim: Callable[[str], bool]) -> float:
        return self.share(sum(1 for cell in self.distinct if claim(cell)))

    # --- dictionaries and forms that indicate

    @cached_property
    def dictionary(self) -> tuple[str, int] | None:
        """The closed vocabulary that most distinct cells are of, with their number; the smallest that fits."""
        if self.type not in (ValueType.TEXT, ValueType.BOOLEAN) or self.mean_length > 40:
            return None
        best: tuple[int, int, str] | None = None
        for kind, words in CLOSED.items():
            found = [cell for cell in self._lower if cell in words]
            if self.share(len(found)) < (0.6 if kind in ("city", "diagnosis") else 0.8):
                continue
            if not any(cell not in AMBIGUOUS for cell in found) and not self._is_pair(found, kind):
                continue
            best = max(best, (len(found), -len(words), kind)) if best else (len(found), -len(words), kind)
        return (best[2], best[0]) if best else None

    def _is_pair(self, found: Sequence[str], kind: str) -> bool:
        """M and F, or A, B, AB and O: ambiguous one by one, and not together."""
        if kind == "gender":
            return {"m", "f"} <= set(found)
        return kind == "blood_type" and {"a", "b", "o", "ab"} <= set(found)

    @cached_property
    def people(self) -> int:
        """Distinct cells that are names of people, by surname and length or by given name."""
        if not self.may_name:
            return 0
        chinese = sum(1 for cell in self.distinct if CHINESE_NAME.fullmatch(cell) and not NOT_A_NAME.search(cell))
        latin = [cell for cell in self.distinct if cell.isascii() or not _HAN.search(cell)]
        shaped = [cell for cell in latin if _is_latin_name(cell)]
        known = sum(1 for cell in shaped if _given(cell) in GIVEN_NAMES)
        # A third of given names known makes names of the rest that look alike: registers have long tails.
        return chinese + (len(shaped) if known >= max(2, len(shaped) * 0.33) else 0)

    @cached_property
    def may_name(self) -> bool:
        """Whether cells vary as names do: hardly any column of people repeats each name four times."""
        return (
            self.type is ValueType.TEXT
            and 1.9 <= self.mean_length <= 40
            and self.distinct_count >= max(2, len(self.filled) * 0.25)
        )

    def count(self, claim: re.Pattern[str]) -> int:
        """Distinct cells of at most 200 characters that match wholly."""
        return sum(1 for cell in self.distinct if len(cell) <= _LONG and claim.fullmatch(cell))

    @cached_property
    def addresses(self) -> int:
        if self.type is not ValueType.TEXT or self.mean_length < 6:
            return 0
        return sum(
            1
            for cell in self.distinct
            if len(cell) <= _LONG
            and (CHINESE_ADDRESS if _HAN.search(cell) else LATIN_ADDRESS).fullmatch(cell)
            and not re.search("[，。；！？;!?]", cell)
        )

    @cached_property
    def organisations(self) -> int:
        return self.count(ORGANISATION) if self.type is ValueType.TEXT and self.mean_length >= 4 else 0

    @cached_property
    def jobs(self) -> int:
        if self.type is not ValueType.TEXT or self.is_text:
            return 0
        return self.count(CHINESE_JOB) + self.count(LATIN_JOB)

    @cached_property
    def places(self) -> int:
        return self.count(CHINESE_PLACE) if self.type is ValueType.TEXT else 0

    @cached_property
    def disease_codes(self) -> int:
        dotted = sum(1 for cell in self.distinct if "." in cell)
        return self.count(_DISEASE_CODE) if dotted >= len(self.distinct) * 0.3 else 0


def _has_digit(cell: str) -> bool:
    return any(map(str.isdigit, cell))


def _is_mostly_digits(cell: str) -> bool:
    digits = sum(map(str.isdigit, cell))
    return digits >= 5 and digits * 2 >= len(cell)


def _is_code(cell: str) -> bool:
    return len(cell) <= 64 and " " not in cell.strip() and (cell.isascii() or _has_digit(cell))


def _is_words(cell: str) -> bool:
    return len(cell) <= 80 and not _has_digit(cell) and any(map(str.isalpha, cell))


def _is_latin_name(cell: str) -> bool:
    return (
        len(cell) <= 60
        and cell[0].isupper()
        and not _has_digit(cell)
        and LATIN_NAME.fullmatch(cell) is not None
        and NOT_A_PERSON.search(cell) is None
    )


def _given(cell: str) -> str:
    """The given name: the first word, or the one after the comma in `Smith, John`."""
    bare = _TITLE.sub("", cell)
    last, comma, rest = bare.partition(", ")
    words = (rest if comma and rest else last).split()
    return words[0].rstrip(",.").lower() if words else ""
