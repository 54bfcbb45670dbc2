"""What the columns of a table hold, and how sure that is: proved by a rule, indicated, or undetermined.

A column is told by the first of these that speaks, on the distinct cells of a sample:

1. its cells are wholly one identifier, six in ten of them or more (`columns_cells`): proved where a check character
   or a grammar of its own says so;
2. its cells are words of a closed vocabulary (`columns_words.CLOSED`);
3. its name, where the cells do not contradict it (`columns_lexicon`);
4. its cells look like names of people, addresses, organisations, places, occupations, days of birth;
5. it is text, in which identifiers are looked for: one whose check character holds marks the column. Payment cards do
   not: one number in ten passes Luhn's check, so a few that pass are chance.

A name that speaks of what PIPL 28 or GDPR 9 call sensitive goes before all of them. No value leaves this module but
masked.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from privacy.detection.columns_cells import Strength
from privacy.detection.columns_kinds import KINDS, Form, Kind, Role
from privacy.detection.columns_lexicon import kind_named, speaks_of_children
from privacy.detection.columns_profile import Profile
from privacy.detection.entities import entity
from privacy.levels import Level
from privacy.manifest import ValueType
from privacy.masks import HIDDEN, mask


class Standing(StrEnum):
    PROVED = "proved"  # a rule that chance does not meet: a check character, a grammar of its own
    INDICATED = "indicated"  # a vocabulary, a name, a likeness
    UNDETERMINED = "undetermined"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One reason, in both languages; of `of` distinct cells `cells` say so. `code` is stable."""

    code: str
    zh: str
    en: str
    cells: int = 0
    of: int = 0


@dataclass(frozen=True, slots=True)
class Column:
    """What one column holds. `kind` is None when that is undetermined; `holds` are entities found inside its cells.

    `samples` are masked. `distinct` counts values of the sample, `filled` cells that are not empty.
    """

    name: str
    kind: Kind | None
    role: Role
    level: Level
    standing: Standing
    evidence: tuple[Evidence, ...]
    type: ValueType
    filled: int
    distinct: int
    longest: int
    is_stored_as_written: bool
    samples: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Verdict:
    kind: Kind | None
    standing: Standing
    evidence: tuple[Evidence, ...]


_WHOLLY: Final = 0.6  # of distinct cells
_LOOKS: Final = 0.8
_NUMBERS_OF_THINGS: Final = frozenset({"order_number", "courier_number", "record_number", "amount", "count", "balance"})
# The name decides between these where the cells are of the first: the same form, another meaning.
_NARROWER: Final = {
    "link": {"photo", "signature", "feedback"},
    "record_number": {"person_id", "device_id", "order_number", "wechat", "username"},
    "phone": {"wechat", "alipay"},
    "email": {"alipay"},
    "country": {"nationality", "birthplace"},
    "province": {"birthplace", "city"},
    "city": {"birthplace", "province", "district"},
    "diagnosis": {"medication", "allergy", "health", "disability"},
    "coordinate": {"track"},
    "id_number": {"document_number"},
}
_WEAK_DICTIONARIES: Final = frozenset({"choice", "channel"})
_WEAK_NAMES: Final = frozenset({"thing", "choice", "record_number", "text", "product", "tags"})
_MOST_TEXTS: Final = 200  # cells that are searched for identifiers
_MOST_CHARACTERS: Final = 1000
# Whose check is Luhn's: of long numbers that are something else one in ten passes, so most of them must.
_CHANCE: Final = frozenset({"CREDIT_CARD", "CN_BANK_CARD", "IMEI"})
_LONG_NUMBER: Final = re.compile(r"(?<![0-9])(?:[0-9][ -]?){12,18}[0-9](?![0-9])")


def classify(name: str, cells: Sequence[str | None]) -> Column:
    """What the column holds. Pure, and the same for the same cells; linear in the characters that are looked at."""
    return column_of(Profile(name, cells))


def column_of(profile: Profile) -> Column:
    """As `classify`, of a profile that the caller goes on using."""
    verdict = _judge(profile)
    kind, standing, evidence = verdict.kind, verdict.standing, list(verdict.evidence)
    role = kind.role if kind else Role.NONE
    level = kind.level if kind else Level.L3
    holds = tuple(_held(profile, kind))
    for held in holds:
        evidence.append(held.evidence)
        level = max(level, entity(held.entity).level)
        if role is Role.NONE:
            role = Role.DIRECT
        if held.is_proved and standing is not Standing.PROVED:
            standing = Standing.PROVED
    if kind is not None and role in (Role.DIRECT, Role.QUASI) and speaks_of_children(profile.name):
        role, level = Role.SENSITIVE, Level.L4
        evidence.append(
            Evidence("child", "列名指向未满十四周岁者（个保法第28条）", "its name speaks of children (PIPL-28)")
        )
    return Column(
        name=profile.name,
        kind=kind,
        role=role,
        level=level,
        standing=standing,
        evidence=tuple(evidence),
        type=profile.type,
        filled=len(profile.filled),
        distinct=profile.distinct_count,
        longest=profile.longest,
        is_stored_as_written=profile.is_stored_as_written,
        samples=tuple(_samples(profile, kind)),
        holds=tuple(held.entity for held in holds),
    )


def raised(column: Column, kind: Kind, evidence: Evidence) -> Column:
    """The column with what its neighbours say of it: a kind and one more reason."""
    return replace(
        column, kind=kind, role=kind.role, level=max(column.level, kind.level), evidence=(*column.evidence, evidence)
    )


# --- one column, in the order of the module's docstring


def _judge(profile: Profile) -> _Verdict:
    named = _named(profile)
    if not profile.distinct:
        return (
            _by_name(named, empty=True) if named else _undetermined("empty", "样本中没有值", "no value in the sample")
        )
    proved = _by_rule(profile, named)
    if named is not None and named.role is Role.SENSITIVE and not (proved and proved.kind and proved.kind.level >= 4):
        agreed = _by_dictionary(profile, named)
        if agreed is None or agreed.kind is not named:
            return _by_name(named)
        return agreed
    if proved is not None:
        return proved
    found = _by_dictionary(profile, named)
    if found is not None:
        return found
    look = _by_look(profile)
    if named is not None and not (look and named.name in _WEAK_NAMES):
        return _more_exact(profile, named, look)
    if look is not None:
        return look
    return _by_type(profile)


def _named(profile: Profile) -> Kind | None:
    """The kind that the name speaks of, if the cells look like it."""
    name = kind_named(profile.name)
    kind = KINDS[name] if name else None
    if kind is None or profile.fits(kind.form):
        return kind
    if kind.name in ("phone", "landline", "name") and profile.fits(Form.WORDS) and profile.people:
        return KINDS["name"]  # the person to be called, under the name of a number
    return None


def _by_rule(profile: Profile, named: Kind | None) -> _Verdict | None:
    told = [one for one in profile.told if profile.share(one.cells) >= _WHOLLY]
    strong = [one for one in told if one.strength > Strength.SHAPE]
    if not strong:
        agreed = next((one for one in told if named is not None and one.kind == named.name), None)
        if agreed is None:
            return None
        shape = _evidence("shape", "形式符合，列名一致", "have its form, and the name agrees", agreed.cells, profile)
        return _Verdict(KINDS[agreed.kind], Standing.INDICATED, (shape,))
    best = next((one for one in strong if named is not None and one.kind == named.name), strong[0])
    kind = KINDS[best.kind]
    if best.strength is Strength.CHECKED:
        reason = _evidence("check", "整格通过校验位", "are wholly one, check character proved", best.cells, profile)
        return _Verdict(kind, Standing.PROVED, (reason,))
    reason = _evidence("grammar", "整格为此形式", "are wholly one by their grammar", best.cells, profile)
    if named is not None and named.name in _NUMBERS_OF_THINGS and kind.form is Form.DIGITS:
        return _Verdict(named, Standing.INDICATED, (_name_evidence(named),))  # 13800000001 may number an order
    if named is not None and named.name in _NARROWER.get(kind.name, ()):
        return _Verdict(named, Standing.PROVED, (reason, _name_evidence(named)))
    return _Verdict(kind, Standing.PROVED, (reason,))


def _by_dictionary(profile: Profile, named: Kind | None) -> _Verdict | None:
    if profile.dictionary is None:
        return None
    word, cells = profile.dictionary
    if word in _WEAK_DICTIONARIES and named is not None:
        return None
    kind = KINDS[word]
    reason = _evidence("vocabulary", "属于封闭词表", "are words of its vocabulary", cells, profile)
    if named is not None and named.name in _NARROWER.get(word, ()):
        return _Verdict(named, Standing.INDICATED, (_name_evidence(named), reason))
    evidence = (reason, _name_evidence(named)) if named is kind else (reason,)
    return _Verdict(kind, Standing.INDICATED, evidence)


def _by_name(kind: Kind, *, empty: bool = False) -> _Verdict:
    nothing = (Evidence("empty", "样本中没有值", "no value in the sample"),) if empty else ()
    return _Verdict(kind, Standing.INDICATED, (_name_evidence(kind), *nothing))


def _more_exact(profile: Profile, named: Kind, look: _Verdict | None) -> _Verdict:
    """The name's kind; a look that agrees is one more reason, and a name of an organisation is not a person's."""
    if look is None or look.kind is None:
        return _by_name(named)
    if look.kind is named:
        return _Verdict(named, Standing.INDICATED, (_name_evidence(named), *look.evidence))
    if named.name == "name" and look.kind.name == "employer":
        return look
    return _by_name(named)


def _by_look(profile: Profile) -> _Verdict | None:
    looks = (
        ("address", profile.addresses, _WHOLLY, "形如地址", "look like addresses"),
        ("employer", profile.organisations, _WHOLLY, "形如机构名称", "look like names of organisations"),
        ("diagnosis", profile.disease_codes, _LOOKS, "形如疾病编码", "look like codes of diseases (ICD-10)"),
        ("job", profile.jobs, _WHOLLY, "形如职业", "look like occupations"),
        ("city", profile.places, _LOOKS, "形如地名", "look like places"),
        ("name", profile.people, _LOOKS, "形如人名", "look like names of people"),
    )
    for kind, cells, least, zh, en in looks:
        if profile.share(cells) >= least and cells >= 2:
            return _Verdict(KINDS[kind], Standing.INDICATED, (_evidence("look", zh, en, cells, profile),))
    return _birth(profile)


def _birth(profile: Profile) -> _Verdict | None:
    """Days over a whole lifetime: half of them more than eighteen years before the latest, over thirty years."""
    days = sorted(profile.days)
    if len(days) < 10 or profile.share(len(days)) < 0.9 or profile.type is not ValueType.DATE:
        return None
    middle, spread = days[len(days) // 2], days[-1].year - days[0].year
    if not 30 <= spread <= 120 or days[-1].year - middle.year < 18 or days[0].year < 1900:
        return None
    reason = _evidence("look", "跨越一生的日期", "are days spread over a lifetime", len(days), profile)
    return _Verdict(KINDS["birth_date"], Standing.INDICATED, (reason,))


def _by_type(profile: Profile) -> _Verdict:
    cells = len(profile.distinct)
    if profile.is_text:
        reason = _evidence("text", "为自由文本", "are sentences", cells, profile)
        return _Verdict(KINDS["text"], Standing.INDICATED, (reason,))
    if profile.type in (ValueType.DATE, ValueType.DATETIME):
        reason = _evidence("type", "为日期或时间", "are days or instants", cells, profile)
        return _Verdict(KINDS["moment"], Standing.INDICATED, (reason,))
    if profile.is_flag and profile.distinct_count == 2:
        reason = _evidence("type", "只有两种取值", "are one of two values", cells, profile)
        return _Verdict(KINDS["choice"], Standing.INDICATED, (reason,))
    return _undetermined("silent", "没有规则能判定", "no rule can tell")


def _undetermined(code: str, zh: str, en: str) -> _Verdict:
    return _Verdict(None, Standing.UNDETERMINED, (Evidence(code, zh, en),))


def _evidence(code: str, zh: str, en: str, cells: int, profile: Profile) -> Evidence:
    return Evidence(code, zh, en, cells, len(profile.distinct))


def _name_evidence(kind: Kind) -> Evidence:
    return Evidence("name", f"列名指“{kind.zh}”", f"the column's name says {kind.en}")


# --- what cells hold besides what they are


@dataclass(frozen=True, slots=True)
class _Held:
    entity: str
    is_proved: bool
    evidence: Evidence


def _held(profile: Profile, kind: Kind | None) -> Iterator[_Held]:
    """Identifiers inside text, and single cells of a column that is something else."""
    if kind is not None and kind.role is not Role.NONE and not kind.scan:
        return
    if kind is not None and (kind.scan or (profile.is_text and kind.name in _WEAK_NAMES)):
        yield from _in_text(profile)
        return
    if kind is not None and kind.detect is not None:
        return
    for name, cells in sorted(profile.checked.items()):
        detect = KINDS[name].detect
        if detect is not None:
            reason = _evidence("holds-proved", f"含{KINDS[name].zh}", f"hold {KINDS[name].en}", cells, profile)
            yield _Held(detect, True, reason)


def _in_text(profile: Profile) -> Iterator[_Held]:
    from privacy.detection.identifiers import find  # a tenth of a second of patterns, which only text needs

    cells: Counter[str] = Counter()
    proved: Counter[str] = Counter()
    looked = profile.distinct[:_MOST_TEXTS]
    long_numbers = sum(1 for cell in looked if _LONG_NUMBER.search(cell[:_MOST_CHARACTERS]))
    for cell in looked:
        seen = find(cell[:_MOST_CHARACTERS])
        cells.update({one.entity for one in seen})
        proved.update({one.entity for one in seen if one.why == "check-digit"})
    for name in sorted(cells):
        is_proved = name not in _CHANCE and (proved[name] > 0 or name == "EMAIL_ADDRESS")
        # One number in ten passes Luhn; one text with eleven digits is not a column of telephone numbers.
        if entity(name).level < Level.L3 or not (is_proved or cells[name] >= max(2, len(looked) * 0.02)):
            continue
        if name in _CHANCE and cells[name] * 2 < long_numbers:
            continue
        kind = entity(name)
        code = "holds-proved" if is_proved else "holds"
        reason = Evidence(code, f"文本中含{kind.zh}", f"hold {kind.en}", cells[name], len(looked))
        yield _Held(name, is_proved, reason)


# --- samples, masked


def _samples(profile: Profile, kind: Kind | None) -> Iterator[str]:
    """Three cells, each through the mask of its kind or as its shape: 字 for Han, a for letters, 9 for digits."""
    for cell in profile.distinct[:3]:
        if kind is not None and kind.mask not in (None, "all"):
            yield mask(kind.mask or "all", cell)
        elif kind is not None and kind.role is Role.SENSITIVE:
            yield HIDDEN
        else:
            yield _shape(cell)


_SHAPE: Final = 16


def _shape(cell: str) -> str:
    shape = "".join(_shape_of(character) for character in cell[:_SHAPE])
    return f"{shape}… ({len(cell)})" if len(cell) > _SHAPE else shape


def _shape_of(character: str) -> str:
    if "\u3400" <= character <= "\u9fff":
        return "字"
    if character.isdigit():
        return "9"
    if character.isalpha():
        return "A" if character.isupper() else "a"
    return character if character.isascii() else "?"
