"""A manifest drafted from tables: what each column seems to be, why, and what only people can say.

The text is YAML with comments in both languages. `parse` refuses it until the places marked ← are filled in: who the
controller is, and for which purposes, on which basis and how long the data is held. After that it accepts it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from privacy.detection.columns import Column, Evidence, Standing
from privacy.detection.columns_kinds import Form, Role
from privacy.detection.columns_sources import LONGEST_CELL
from privacy.detection.columns_table import Table
from privacy.levels import Level
from privacy.manifest.model import Text, ValueType
from privacy.vocabulary import PERSONAL_DATA

MARK: Final = "←"
_LONG_TEXT: Final = 100_000
_MOST_SHOWN: Final = 60  # characters of a column's name in a comment
# What only a model knows: a name that stands alone in a cell is hard to tell, and would be reported as a wrong kind.
_BY_MODEL: Final = frozenset({"PERSON", "ADDRESS", "ORGANIZATION", "BIRTH_DATE", "ZIP_CODE", "URL"})
_ROLES: Final[Mapping[Role, Text]] = {
    Role.SENSITIVE: Text("敏感", "sensitive"),
    Role.DIRECT: Text("直接标识", "direct"),
    Role.QUASI: Text("准标识", "quasi"),
    Role.NONE: Text("不标识", "none"),
}
_STANDINGS: Final[Mapping[Standing, Text]] = {
    Standing.PROVED: Text("规则证明", "proved by rule"),
    Standing.INDICATED: Text("有迹象", "indicated"),
    Standing.UNDETERMINED: Text("未能判定", "undetermined"),
}
_TYPES: Final = {
    "会员": "member", "用户": "user", "客户": "customer", "订单": "order", "交互": "interaction",
    "投诉": "complaint", "员工": "employee", "患者": "patient", "病人": "patient", "学生": "student",
    "联系人": "contact", "反馈": "feedback", "地址": "address", "粉丝": "follower", "访客": "visitor",
    "报名": "registration", "工单": "ticket", "消息": "message", "支付": "payment", "住客": "guest",
    "供应商": "supplier", "线索": "lead",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Proposed:
    """A field as it is proposed for one column. `notes` are what a person should look at."""

    name: str
    title: Text
    column: Column
    category: str
    type: ValueType
    lookup: bool
    mask: str | None
    detect: str | None
    scan: bool
    analytics: str | None
    max_length: int | None
    notes: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class ProposedType:
    """A record type as it is proposed for one table."""

    name: str
    title: Text
    table: Table
    fields: tuple[Proposed, ...]


def role_title(role: Role) -> Text:
    """What people call the role."""
    return _ROLES[role]


def standing_title(standing: Standing) -> Text:
    """How sure it is, in words."""
    return _STANDINGS[standing]


def propose(tables: Sequence[Table]) -> tuple[ProposedType, ...]:
    """A record type for each table; names are unique, and ones that a manifest takes."""
    taken: dict[str, None] = {}
    proposed = []
    for number, table in enumerate(tables, start=1):
        name = _unique(_type_name(table.name) or f"record_{number}", taken)
        chinese = next((word for word, known in _TYPES.items() if known == name), table.name)
        title = Text(_shown(table.name if _HAN.search(table.name) else chinese), _humanised(name))
        proposed.append(ProposedType(name, title, table, tuple(_fields(table.columns))))
    return tuple(proposed)


def _fields(columns: Iterable[Column]) -> Iterator[Proposed]:
    taken: dict[str, None] = {}
    for number, column in enumerate(columns, start=1):
        yield _field(column, _unique(_field_name(column) or f"field_{number}", taken))


def _field(column: Column, name: str) -> Proposed:
    kind = column.kind
    type_ = _type(column)
    scan = type_ is ValueType.TEXT and (bool(column.holds) or (kind is not None and kind.scan))
    analytics = kind.analytics if kind is not None else "drop"
    if column.role is Role.QUASI:
        analytics = "quasi"
    elif column.holds or column.role is Role.DIRECT:
        analytics = "drop"
    mask = kind.mask if kind is not None else None
    if mask is None and column.level is Level.L4:
        mask = "all"
    detect = kind.detect if kind is not None else None
    return Proposed(
        name=name,
        title=_title(column, name),
        column=column,
        category=kind.category if kind is not None else PERSONAL_DATA,
        type=type_,
        lookup=kind is not None and kind.lookup and type_ not in (ValueType.BOOLEAN, ValueType.LIST),
        mask=mask if mask is None or type_ is ValueType.TEXT else "all",
        detect=None if detect in _BY_MODEL or type_ is not ValueType.TEXT else detect,
        scan=scan,
        analytics=analytics,
        max_length=_LONG_TEXT if column.longest >= LONGEST_CELL and type_ is ValueType.TEXT else None,
        notes=tuple(_notes(column, type_)),
    )


def _type(column: Column) -> ValueType:
    """What the cells are, but for numbers that nobody adds up: a telephone number is a text."""
    kind = column.kind
    is_code = kind is not None and (kind.lookup or kind.form in (Form.DIGITS, Form.CODE))
    if is_code and column.type in (ValueType.INTEGER, ValueType.NUMBER, ValueType.DATE):
        return ValueType.TEXT
    if kind is not None and kind.form in (Form.TEXT, Form.WORDS) and column.type is not ValueType.LIST:
        return ValueType.TEXT
    return column.type if column.filled else ValueType.TEXT


def _notes(column: Column, type_: ValueType) -> Iterator[Text]:
    if column.standing is Standing.UNDETERMINED:
        yield Text("请人工判定类别与级别", "a person must say what it is")
    if type_ is not ValueType.TEXT and column.filled and not column.is_stored_as_written:
        yield Text(
            f"写入前须转换为 {type_.value} 的标准写法", f"convert to the form of {type_.value} before it is stored"
        )
    if column.kind is not None and column.kind.name in ("password", "verification_code"):
        yield Text("不应保存，只留摘要或不留", "should not be kept: a digest elsewhere, or nothing")


# --- names and titles

_NAME: Final = re.compile("[^a-z0-9]+")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_HAN: Final = re.compile("[\u3400-\u9fff]")


def _slug(text: str) -> str:
    if _HAN.search(text):
        return ""
    slug = _NAME.sub("_", _CAMEL.sub("_", text).lower()).strip("_")[:50]
    return slug if slug[:1].isalpha() else ""


def _field_name(column: Column) -> str:
    return _slug(column.name) or (column.kind.name if column.kind is not None else "")


def _type_name(source: str) -> str:
    for word, name in _TYPES.items():
        if word in source:
            return name
    slug = re.sub(r"(?:_\d+)+$", "", _slug(source))
    if len(slug) > 4 and slug.endswith("ies"):
        return f"{slug[:-3]}y"
    return slug[:-1] if len(slug) > 3 and slug.endswith("s") and not slug.endswith(("ss", "us", "is")) else slug


def _unique(name: str, taken: dict[str, None]) -> str:
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    taken[candidate] = None
    return candidate


def _humanised(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _shown(text: str) -> str:
    """A name from outside on one line of a comment, without what cannot be printed."""
    clean = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(clean.split())[:_MOST_SHOWN] or "?"


def _title(column: Column, name: str) -> Text:
    shown, kind = _shown(column.name), column.kind
    if _HAN.search(shown):
        return Text(shown, kind.en if kind is not None else _humanised(name))
    return Text(kind.zh if kind is not None else shown, _humanised(name))


# --- the text

_HEAD: Final = f"""\
# 由 `privacy manifest suggest` 根据数据样本起草，供人审阅修改。
# 标有 {MARK} 处只有人能填写；填好后执行 `privacy manifest check`。
# Drafted by `privacy manifest suggest` from samples, for people to revise. What is marked {MARK} only people can say;
# then run `privacy manifest check`. Format: docs/manifest.md
#
# 每个字段上方：原列名 · 角色 · 依据 · 证据；样例已脱敏。
# Above each field: column · role · standing · evidence; samples are masked.

controller:
  name:                             # {MARK} 填写单位名称 / fill in: {{zh: …, en: …}}
  contact:                          # {MARK} 个人信息保护负责人 / the privacy office: privacy@example.org
  jurisdiction:                     # {MARK} CN, DE, US-CA …
  languages: [zh, en]

# level: L1 公开 L2 内部 L3 个人信息 L4 敏感 / L1 public, L2 internal, L3 personal, L4 sensitive (PIPL 28, GDPR 9)
records:
"""

_PURPOSES: Final = f"""
# 每项数据为何持有、依据何在、保存多久 (PIPL 6, 13, 19)。去掉 # 并填写 {MARK} 处；没有目的的数据应当删除。
# Why each item is held, on which basis, how long. Uncomment and fill in what is marked {MARK}.
# What has no purpose should go.
purposes:                           # {MARK} 至少一个 / at least one
"""


def text(types: Sequence[ProposedType]) -> str:
    """The draft as YAML. The same for the same proposal."""
    records = "".join(line for one in types for line in _of_type(one))
    return "".join((_HEAD, records, _PURPOSES, *_of_purposes(types)))


def _of_type(one: ProposedType) -> Iterator[str]:
    table = one.table
    counts = f"{table.rows} 行，取样 {table.sampled} / {table.rows} rows, {table.sampled} sampled"
    yield f"  # {_shown(table.name)}: {counts}\n"
    if table.alone is not None:
        yield (
            f"  # 准标识符合起来使 {table.alone:.0%} 的样本行唯一 / the quasi-identifiers together leave "
            f"{table.alone:.0%} of the sampled rows alone\n"
        )
    if table.under_14:
        yield (
            f"  # {table.under_14}/{table.aged} 行涉及未满十四周岁者，其全部信息为敏感信息 (PIPL 28, 31) / rows about "
            "people under 14: all of their data is sensitive\n"
        )
    yield f"  {one.name}:\n    title: {_both(one.title)}\n    fields:\n"
    for field in one.fields:
        yield from _of_field(field)


def _of_field(field: Proposed) -> Iterator[str]:
    column = field.column
    role, standing = _ROLES[column.role], _STANDINGS[column.standing]
    name = _shown(column.name)
    yield f"      # {name} · {role.zh} · {standing.zh} · {_reasons(column, 'zh')}{_samples(column)}\n"
    yield f"      # {name} · {role.en} · {standing.en} · {_reasons(column, 'en')}\n"
    for note in field.notes:
        yield f"      # {MARK} {note.zh} / {note.en}\n"
    yield f"      {field.name}:\n"
    for key, value in _keys(field):
        yield f"        {key}: {value}\n"


def _keys(field: Proposed) -> Iterator[tuple[str, str]]:
    yield "title", _both(field.title)
    yield "level", str(field.column.level)
    if field.type is not ValueType.TEXT:
        yield "type", field.type.value
    yield "category", field.category
    if field.detect is not None:
        yield "detect", field.detect
    if field.lookup:
        yield "lookup", "exact"
    if field.mask is not None:
        yield "mask", field.mask
    if field.scan:
        yield "scan", "[zh, en]"
    if field.analytics is not None:
        yield "analytics", field.analytics
    if field.max_length is not None:
        yield "max_length", str(field.max_length)


def reason(evidence: Evidence, language: str) -> str:
    """One piece of evidence as a sentence."""
    said = evidence.zh if language == "zh" else evidence.en
    counted = f"{evidence.cells}/{evidence.of} " if evidence.of else ""
    return _shown_all(f"{counted}{said}")


def _reasons(column: Column, language: str) -> str:
    return ("；" if language == "zh" else "; ").join(reason(one, language) for one in column.evidence)


def _shown_all(text: str) -> str:
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def _samples(column: Column) -> str:
    return f" · {_shown_all(', '.join(column.samples))}" if column.samples else ""


def _of_purposes(types: Sequence[ProposedType]) -> Iterator[str]:
    yield f"  # service:                        # {MARK} 目的的名称 / name of the purpose\n"
    yield "  #   title: {zh: 服务提供, en: Service}\n"
    yield f"  #   basis:                        # {MARK} consent, contract, legal-obligation …\n"
    yield f"  #   keep:                         # {MARK} P3Y, P6M, P30D …\n"
    yield "  #   uses:\n"
    for one in types:
        fields = ", ".join(field.name for field in one.fields)
        yield f"  #     {one.name}: [{fields}]\n"
    counted = {
        one.name: [field.name for field in one.fields if field.analytics in ("quasi", "keep", "sensitive")]
        for one in types
    }
    if any(counted.values()):
        yield "  # statistics:                     # 仅限匿名化后的统计 / anonymised statistics only\n"
        yield "  #   title: {zh: 统计, en: Statistics}\n"
        yield f"  #   basis:                        # {MARK}\n"
        yield "  #   only: anonymised\n  #   uses:\n"
        for name, some in counted.items():
            if some:
                yield f"  #     {name}: [{', '.join(some)}]\n"


_PLAIN: Final = re.compile("[A-Za-z\u3400-\u9fff][A-Za-z0-9\u3400-\u9fff _()（）./-]*")
_WORDS: Final = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})


def _both(title: Text) -> str:
    return f"{{zh: {_scalar(title.zh)}, en: {_scalar(title.en)}}}"


def _scalar(value: str) -> str:
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value.strip()
    return json.dumps(value, ensure_ascii=False)
