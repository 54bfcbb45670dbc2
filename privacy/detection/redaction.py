"""A text without what was found in it: replaced by its kind, masked, or put under a key.

What comes out is de-identified, which is not anonymous: what nobody recognised is still there, what stands around a
gap may tell who is meant, and whoever has the key can tell whether a value they guess is the one (PIPL 73(3) against
73(4); GDPR 4(5), recital 26).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, Literal, get_args

from privacy.detection.analyser import Language, language_of
from privacy.detection.entities import ENTITIES
from privacy.detection.entities import entity as entity_of
from privacy.detection.findings import Finding
from privacy.detection.folding import fold
from privacy.errors import Invalid
from privacy.levels import Level
from privacy.masks import mask

How = Literal["replace", "mask", "hash", "pseudonym"]
HOW: Final[tuple[How, ...]] = get_args(How)
KEYED: Final[frozenset[How]] = frozenset({"hash", "pseudonym"})
Keep = frozenset[Level | str]
Token = Callable[[str, str], str]
"""Entity and value, as `canonical` writes it, to what stands in its place: equal for equal values."""

# What of a value its mask may show; of all others nothing is shown.
MASKS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "PERSON": "name",
        "ADDRESS": "address",
        "EMAIL_ADDRESS": "email",
        **dict.fromkeys(("PHONE_NUMBER", "CN_MOBILE", "CN_LANDLINE"), "phone"),
        **dict.fromkeys(("CN_BANK_CARD", "CREDIT_CARD"), "card"),
        **dict.fromkeys(("CN_RESIDENT_ID", "CN_PASSPORT", "CN_HK_MACAO_PERMIT", "CN_TAIWAN_PERMIT"), "id"),
    }
)
_IN_ADDRESSES: Final = frozenset("@._%+-")  # without them two addresses could become the same


def redact(
    text: str, findings: Iterable[Finding], how: How, keep: Keep = frozenset(), token: Token | None = None
) -> str:
    """The text with everything found out of sight but what `keep` names, by entity or by level.

    "replace" puts the entity's name in the text's language; "mask" what its mask shows; "hash" and "pseudonym"
    the name with what `token` gives. Where a finding that is kept overlaps one that is not, the latter prevails. With
    no `token` a keyed form raises `Invalid`.
    """
    language = language_of(text)
    parts: list[str] = []
    at = 0
    for start, end, entity in _merged(text, (one for one in findings if not is_kept(one, keep))):
        parts += (text[at:start], _substitute(entity, text[start:end], how, language, token))
        at = end
    parts.append(text[at:])
    return "".join(parts)


def is_kept(finding: Finding, keep: Keep) -> bool:
    """Whether `keep` names the finding's entity, or its level."""
    return finding.entity in keep or level_of(finding.entity) in keep


def level_of(entity: str) -> Level:
    """What one value of the entity demands by itself."""
    return entity_of(entity).level


def title_of(entity: str, language: Language) -> str:
    """The entity's name for people."""
    known = entity_of(entity)
    return known.zh if language == "zh" else known.en


def masked(entity: str, value: str) -> str:
    """The value through its entity's mask."""
    return mask(MASKS.get(entity, "all"), value)


def kept(names: Iterable[str]) -> Keep:
    """`keep` of levels and entities by name. Raises `Invalid` for what is neither."""
    found: set[Level | str] = set()
    for name in names:
        if name in Level.__members__:
            found.add(Level[name])
        elif name in ENTITIES:
            found.add(name)
        else:
            raise Invalid(
                "What is kept is named by a level, L1 to L4, or by an entity", zh="保留项须为级别 L1 至 L4 或实体名称"
            )
    return frozenset(found)


def canonical(entity: str, value: str) -> str:
    """The value without what differs between spellings: width, case, spaces and separators."""
    folded = fold(value).casefold()
    return f"{entity}\0" + "".join(one for one in folded if one.isalnum() or (one in _IN_ADDRESSES and "@" in folded))


def _merged(text: str, findings: Iterable[Finding]) -> Iterator[tuple[int, int, str]]:
    """Spans by start, within the text, without overlaps: what two cover goes under the name of the first."""
    held: tuple[int, int, str] | None = None
    for one in sorted(findings, key=lambda one: (one.start, -one.end)):
        start, end = max(0, one.start), min(len(text), one.end)
        if start >= end:
            continue
        if held is not None and start < held[1]:
            held = held[0], max(held[1], end), held[2]
        else:
            if held is not None:
                yield held
            held = start, end, one.entity
    if held is not None:
        yield held


def _substitute(entity: str, value: str, how: How, language: Language, token: Token | None) -> str:
    if how == "mask":
        return masked(entity, value)
    title = title_of(entity, language)
    if how == "replace":
        return f"[{title}]"
    if token is None:
        raise Invalid("A hash or a pseudonym needs a key")
    return f"[{title}:{token(entity, canonical(entity, value))}]"
