"""In which language a command speaks to the person at the terminal: what it was told, else the terminal's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from typing import Final, Literal

Language = Literal["zh", "en"]


class Shown(StrEnum):
    """What `--in` may say."""

    ZH = "zh"
    EN = "en"


_CHOSEN: Final[ContextVar[Shown | None]] = ContextVar("chosen", default=None)


@contextmanager
def spoken() -> Iterator[None]:
    """A command by itself: what it was told ends with it."""
    before = _CHOSEN.set(None)
    try:
        yield
    finally:
        _CHOSEN.reset(before)


def language(chosen: Shown | None = None) -> Language:
    """`chosen`, from here to the end of the command; else LC_ALL, LC_MESSAGES and LANG, in the order of POSIX."""
    if chosen is not None:
        _CHOSEN.set(chosen)
    told = _CHOSEN.get()
    locale = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := os.environ.get(name))), "")
    return "zh" if (told.value if told is not None else locale).lower().startswith("zh") else "en"
