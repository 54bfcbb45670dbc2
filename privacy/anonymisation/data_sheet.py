"""What a recipient must know of a release, as JSON and as a page of Markdown in Chinese and in English.

Figures, names of columns and rules; nothing of the source that is not in the release: no file name, no dropped column.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from privacy.anonymisation.files import Done
from privacy.anonymisation.policies import Policy, SensitiveRule
from privacy.anonymisation.release_requests import RecipientClass
from privacy.manifest import Text

_ROLES: Final = {
    "quasi": Text("准标识符，已泛化", "quasi-identifier, generalised"),
    "sensitive": Text("敏感列", "sensitive"),
    "kept": Text("原样公布", "published as it is"),
}
_RECIPIENTS: Final = {
    RecipientClass.CONTROLLED: Text("受控接收方（合同约束）", "controlled recipient, bound by contract"),
    RecipientClass.PUBLIC: Text("公众", "the public"),
}
_RECODINGS: Final = {
    "full-domain": Text("全域：同一列各值取同一层级", "full-domain: one level for all values of a column"),
    "local": Text("局部：各类别取其可行的最细层级", "local: each class at the finest level where it is large enough"),
    "blocks": Text("分块：逐次二分", "blocks: values cut in two again and again"),
}
_TITLE: Final = Text("数据说明书", "Data sheet")
_COLUMNS: Final = Text("列", "Columns")
_FIGURES: Final = Text("数字", "Figures")
_LIMITS: Final = Text("局限", "Limits")
_HEADS: Final = (Text("列", "Column"), Text("角色", "Role"), Text("公布的层级", "Levels published"))


@dataclass(frozen=True, slots=True)
class Column:
    """`levels` are those of its hierarchy that labels were taken from, 0 the values themselves, with their rows."""

    name: str
    role: str
    levels: Mapping[int, int]
    of: int


@dataclass(frozen=True, slots=True)
class DataSheet:
    """`made` and `reassess` are days: a time of day tells more than a recipient needs."""

    recipient: RecipientClass
    made: date
    reassess: date
    columns: tuple[Column, ...]
    policy: Policy
    recoding: str
    figures: Mapping[str, float]
    limits: tuple[Text, ...]

    def as_json(self) -> dict[str, object]:
        """JSON values; what is said in words is in both languages."""
        return {
            "recipient": self.recipient.value,
            "made": self.made.isoformat(),
            "reassess": self.reassess.isoformat(),
            "columns": [
                {"name": one.name, "role": one.role, "levels": {str(at): rows for at, rows in one.levels.items()}}
                for one in self.columns
            ],
            "policy": _policy(self.policy),
            "recoding": self.recoding,
            "figures": dict(self.figures),
            "limits": {language: [one.in_language(language) for one in self.limits] for language in ("zh", "en")},
        }

    def as_markdown(self, language: str) -> str:
        """The same for a person, in "zh" or "en"."""

        def said(text: Text) -> str:
            return text.in_language(language)

        lines = [f"# {said(_TITLE)}", ""]
        facts = {
            Text("接收方", "Recipient"): said(_RECIPIENTS[self.recipient]),
            Text("制作日期", "Made on"): self.made.isoformat(),
            Text("须重新评估的日期", "To be assessed again on"): self.reassess.isoformat(),
            Text("重编码方式", "Recoding"): said(_RECODINGS[self.recoding]),
            Text("策略", "Policy"): said(_rules(self.policy)),
        }
        lines += [f"- {said(name)}: {value}" for name, value in facts.items()]
        heads = [said(one) for one in _HEADS]
        lines += ["", f"## {said(_COLUMNS)}", "", f"| {' | '.join(heads)} |", "|---|---|---|"]
        lines += [f"| {_cell(one.name)} | {said(_ROLES[one.role])} | {_levels(one)} |" for one in self.columns]
        lines += ["", f"## {said(_FIGURES)}", ""]
        lines += [f"- {said(_NAMES[name])}: {value:,.6g}" for name, value in self.figures.items()]
        lines += ["", f"## {said(_LIMITS)}", "", *(f"- {said(one)}" for one in self.limits), ""]
        return "\n".join(lines)


_NAMES: Final = {
    "rows": Text("公布的行", "rows published"),
    "suppressed": Text("被隐去的行", "rows left out"),
    "classes": Text("类别", "classes"),
    "k": Text("最小类别的行数", "rows of the smallest class"),
    "persons_k": Text("每一类别至少的人数", "persons of every class, at least"),
    "loss": Text("信息损失（0 至 1）", "loss of information (0 to 1)"),
    "distinct_l": Text("每一类别至少的不同敏感值", "different sensitive values of every class, at least"),
    "t": Text("类别与全体在敏感值上的最大距离", "greatest distance of a class from all in sensitive values"),
}


def describe(
    done: Done, *, recipient: RecipientClass, made: date, reassess: date, limits: tuple[Text, ...]
) -> DataSheet:
    """The sheet of a release. `limits` are those of its risk report."""
    levels = _published_levels(done)
    columns = tuple(
        Column(name, "quasi", *levels[name])
        if name in levels
        else Column(name, "sensitive" if name in done.roles.sensitive else "kept", {}, 0)
        for name in done.columns
    )
    figures: dict[str, float] = {
        "rows": done.after.rows,
        "suppressed": done.suppressed,
        "classes": done.after.classes,
        "k": done.after.k,
        "persons_k": done.persons_k,
        "loss": round(done.loss, 6),
    }
    if done.after.sensitive:
        figures["distinct_l"] = min(one.distinct_l for one in done.after.sensitive)
        figures["t"] = round(max(one.t_equal for one in done.after.sensitive), 6)
    return DataSheet(recipient, made, reassess, columns, done.policy, done.recoding.value, figures, limits)


def _published_levels(done: Done) -> dict[str, tuple[dict[int, int], int]]:
    """The rows at each level of each column's hierarchy, and how many levels it has."""
    import numpy as np

    chosen = done.generalisation
    written = ~chosen.suppressed
    found = {}
    for n, hierarchy in enumerate(chosen.histogram.hierarchies):
        level = np.searchsorted(np.asarray(hierarchy.offsets), chosen.nodes[written, n], side="right") - 1
        rows = np.bincount(level, weights=chosen.histogram.rows[written], minlength=hierarchy.levels)
        at = {place: int(count) for place, count in enumerate(rows.tolist()) if count}
        found[done.roles.quasi[n]] = (at, hierarchy.levels)
    return found


def _levels(column: Column) -> str:
    total = sum(column.levels.values())
    if not total:
        return "–"
    return ", ".join(f"{level}/{column.of - 1}: {rows / total:.1%}" for level, rows in column.levels.items())


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _policy(policy: Policy) -> dict[str, object]:
    return {
        "k": policy.k,
        "suppression": policy.suppression,
        "max_loss": policy.max_loss,
        "sensitive": [
            {"column": one.column, "distinct_l": one.distinct_l, "entropy_l": one.entropy_l, "t": one.t}
            for one in policy.sensitive
        ],
    }


def _rules(policy: Policy) -> Text:
    rules = [_rule(one) for one in policy.sensitive]
    return Text(
        "；".join((f"k ≥ {policy.k}", f"隐去的行 ≤ {policy.suppression:.3g}", *rules)),
        "; ".join((f"k ≥ {policy.k}", f"rows left out ≤ {policy.suppression:.3g}", *rules)),
    )


def _rule(rule: SensitiveRule) -> str:
    said = {"l ≥": rule.distinct_l, "entropy l ≥": rule.entropy_l, "t ≤": rule.t}
    return f"{rule.column}: {', '.join(f'{name} {value:g}' for name, value in said.items() if value is not None)}"
