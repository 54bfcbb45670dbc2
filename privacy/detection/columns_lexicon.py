"""What a column's name says it holds: a lexicon (`column-names.txt`) in Chinese, English and the commonest pinyin.

The word that ends last decides, as the head of a compound does in both languages: 联系人电话 is a telephone number,
`contact name` a name, 手机型号 neither. Of words that end alike the longest decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from privacy.detection.columns_words import words_of

# `name` after one of these is not a person's; 人 before it in Chinese is.
_THINGS: Final = frozenset({
    "product", "item", "goods", "brand", "shop", "store", "file", "course", "event", "project", "category",
    "campaign", "table", "column", "field", "group", "team", "role", "plan", "package", "service", "device",
    "model", "host", "domain", "app", "application", "job", "city", "country", "state", "street", "bank", "branch",
    "channel", "template", "tag", "process", "task", "queue", "policy", "type", "status", "class",
})  # fmt: skip
# A column that names one of these people holds data of somebody under 14, or says so (PIPL 28, 31).
_CHILD: Final = re.compile("儿童|孩子|小孩|宝宝|婴儿|幼儿|未成年|小学|子女|学童|萌宝")
_CHILD_WORDS: Final = frozenset({
    "child", "children", "kid", "kids", "baby", "minor", "minors", "infant", "toddler", "pupil", "son", "daughter",
})  # fmt: skip

_HAN: Final = re.compile("[\u3400-\u9fff]")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_TOKEN: Final = re.compile(r"[a-z]+|[0-9]+")
_MOST_TOKENS: Final = 4


def _tables() -> tuple[dict[str, str], dict[tuple[str, ...], str]]:
    chinese: dict[str, str] = {}
    latin: dict[tuple[str, ...], str] = {}
    for kind, word in words_of("column-names.txt"):
        if _HAN.search(word):
            chinese[word] = kind
        else:
            latin[tuple(word.split())] = kind
    return chinese, latin


_CHINESE, _LATIN = _tables()
_LONGEST_CHINESE: Final = max(map(len, _CHINESE))


def tokens(name: str) -> list[str]:
    """The Latin words of a column's name, in lower case; camelCase is taken apart, trailing numbers are dropped."""
    found: list[str] = _TOKEN.findall(_CAMEL.sub(" ", name).lower())
    while found and found[-1].isdigit():
        found.pop()
    return found


def kind_named(name: str) -> str | None:
    """The kind that the name of a column speaks of, None when it says nothing."""
    chinese = _last(_chinese_words(name))
    return chinese or _last(_latin_words(tokens(name)))


def speaks_of_children(name: str) -> bool:
    """Whether the name says that the column is about somebody under 14."""
    return _CHILD.search(name) is not None or not _CHILD_WORDS.isdisjoint(tokens(name))


def _last(found: Iterator[tuple[int, int, str]]) -> str | None:
    """Of (end, length, kind) the kind that ends last; of those the longest."""
    best = max(found, default=None)
    return best[2] if best else None


def _chinese_words(name: str) -> Iterator[tuple[int, int, str]]:
    """Words that hold Han. Latin in them (用户id) is compared in lower case."""
    if not _HAN.search(name):
        return
    text = name.lower().replace(" ", "").replace("_", "")
    text = re.sub(r"[(（【\[].*?[)）】\]]", "", text) or text  # 金额（元）
    for begin in range(len(text)):
        for end in range(begin + 1, min(len(text), begin + _LONGEST_CHINESE) + 1):
            kind = _CHINESE.get(text[begin:end])
            if kind is not None:
                yield end, end - begin, kind


def _latin_words(words: list[str]) -> Iterator[tuple[int, int, str]]:
    for begin in range(len(words)):
        for end in range(begin + 1, min(len(words), begin + _MOST_TOKENS) + 1):
            kind = _LATIN.get(tuple(words[begin:end]))
            if kind is not None:
                is_thing = kind == "name" and end - begin == 1 and begin > 0 and words[begin - 1] in _THINGS
                yield end, end - begin, "thing" if is_thing else kind
