"""What people write of a notice: a small YAML text. All the rest is generated from the manifest.

```yaml
version: "2026-01"
introduction: {zh: …, en: …}
rights: {zh: …, en: …}            # how to exercise rights
complaints: {zh: …, en: …}
necessity:                         # for each purpose that uses sensitive data: why, and what it means (PIPL 30)
  identity-verification: {zh: …, en: …}
purposes: [membership]             # which are covered; all of them unless named
```
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

import yaml

from privacy.errors import NoticeInvalid
from privacy.levels import Level
from privacy.manifest import Manifest
from privacy.manifest.model import LANGUAGES
from privacy.manifest.placed_yaml import Document, Problem, near, shown

Words = Mapping[str, str]  # language -> text

_LABEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PARTS: Final = ("introduction", "rights", "complaints")
_KEYS: Final = ("version", *_PARTS, "necessity", "purposes")

_Place = tuple[int, int]  # line and column, from 1


@dataclass(frozen=True, slots=True)
class Draft:
    """A notice before it is rendered. `purposes` are those it covers; None for all that are declared.

    `source` is its YAML. `places` say where a part stands in `file`, for faults that show only beside a manifest.
    """

    version: str
    introduction: Words
    rights: Words
    complaints: Words
    necessity: Mapping[str, Words]
    purposes: tuple[str, ...] | None = None
    source: str = field(default="", compare=False, repr=False)
    file: str = field(default="notice", compare=False)
    places: Mapping[tuple[str, ...], _Place] = field(default_factory=dict, compare=False, repr=False)

    def covered(self, manifest: Manifest) -> tuple[str, ...]:
        """The purposes that the notice is about, in the manifest's order."""
        return tuple(name for name in manifest.purposes if self.purposes is None or name in self.purposes)


def parse(text: str, file: str) -> Draft:
    """The draft that `text` holds. `file` is the name that problems carry.

    Raises `NoticeInvalid` whose context `problems` holds every `Problem`, in the order of the text.
    """
    document = Document(file)
    root = document.load(text)
    draft = _read(document, root, text) if root is not None else None
    if draft is None or document.problems:
        raise invalid(document.problems, file)
    return draft


def check(draft: Draft, manifest: Manifest) -> tuple[Problem, ...]:
    """What keeps the draft from being a notice of this manifest: languages, purposes, necessity (PIPL 17, 30)."""
    found: list[Problem] = []

    def report(path: tuple[str, ...], code: str, what: str, expected: str) -> None:
        line, column = next(
            (draft.places[path[:n]] for n in range(len(path), -1, -1) if path[:n] in draft.places), (1, 1)
        )
        found.append(Problem(draft.file, line, column, code, what, expected))

    parts: dict[tuple[str, ...], Words] = {(part,): getattr(draft, part) for part in _PARTS}
    parts |= {("necessity", name): words for name, words in draft.necessity.items()}
    languages = manifest.controller.languages
    for path, words in parts.items():
        missing = [language for language in languages if language not in words]
        if missing:
            report(path, "missing-language", f"{'.'.join(path)} is not in {' and '.join(missing)}",
                   f"the controller's languages are {', '.join(languages)}")  # fmt: skip
    known = ", ".join(manifest.purposes)
    for where, names in (("necessity", tuple(draft.necessity)), ("purposes", draft.purposes or ())):
        for name in names:
            if name not in manifest.purposes:
                report((where, name), "unknown-purpose", f"{where!r} names {shown(name)}, which is no purpose",
                       near(name, manifest.purposes, f"the purposes are {known}"))  # fmt: skip
    for name in draft.covered(manifest):
        if name not in draft.necessity and has_sensitive(manifest, name):
            report(("necessity",), "necessity-missing", f"{name!r} uses sensitive data and nothing says why",
                   f"necessity: {{{name}: …}}, why, and what it means for the person (PIPL-30)")  # fmt: skip
    return tuple(sorted(found))


def has_sensitive(manifest: Manifest, purpose_name: str) -> bool:
    """Whether the purpose uses a field at L4, in clear or masked."""
    uses = manifest.purposes[purpose_name].uses
    return any(manifest.records[kind].fields[name].level is Level.L4 for kind, used in uses.items() for name in used)


def invalid(problems: list[Problem] | tuple[Problem, ...], file: str) -> NoticeInvalid:
    """The error that tells all the faults of a file, in the order of their places."""
    ordered = sorted(problems)
    count = "1 problem" if len(ordered) == 1 else f"{len(ordered)} problems"
    return NoticeInvalid(f"{count} in {file}: {ordered[0]}", problems=ordered)


def draft(manifest: Manifest, version: str) -> Draft:
    """A whole draft for the manifest in its controller's languages, to be used as it is or rewritten.

    Raises `NoticeInvalid` for a label of another form.
    """
    if _LABEL.fullmatch(version) is None:
        raise invalid([_bad_label(version, "notice", (1, 1))], "notice")
    languages = manifest.controller.languages

    def words(texts: Words) -> Words:
        return MappingProxyType({language: texts[language] for language in languages})

    necessity = {name: words(_NECESSITY) for name in manifest.purposes if has_sensitive(manifest, name)}
    made = Draft(version, words(_INTRODUCTION), words(_RIGHTS), words(_COMPLAINTS), MappingProxyType(necessity))
    return replace(made, source=dump(made))


def dump(draft: Draft) -> str:
    """The draft as canonical YAML: `parse(dump(d), …) == d`."""
    document: dict[str, object] = {"version": draft.version}
    document |= {part: dict(getattr(draft, part)) for part in _PARTS}
    if draft.necessity:
        document["necessity"] = {name: dict(words) for name, words in draft.necessity.items()}
    if draft.purposes is not None:
        document["purposes"] = list(draft.purposes)
    # A label such as 1 or 2026-01 is another thing to most readers of YAML; only ours takes it as written.
    text: str = yaml.dump(document, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=110)
    return text


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as people write them, with `|`."""


def _text_node(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text_node)


def _read(document: Document, root: yaml.Node, source: str) -> Draft | None:
    entries = document.mapping(root, "the notice", allowed=_KEYS, required=_KEYS[:4])
    places: dict[tuple[str, ...], _Place] = {(): _place(root)}
    places |= {(key,): _place(entry.key) for key, entry in entries.items()}
    version = document.text(entries["version"].value, "the version") if "version" in entries else None
    if version is not None and _LABEL.fullmatch(version) is None:
        document.problems.append(_bad_label(version, document.file, _place(entries["version"].value)))
    parts = {part: _words(document, entries[part].value, part) for part in _PARTS if part in entries}
    necessity: dict[str, Words] = {}
    if "necessity" in entries:
        for name, entry in document.mapping(entries["necessity"].value, "'necessity'").items():
            places["necessity", name] = _place(entry.key)
            necessity[name] = _words(document, entry.value, f"the necessity of {shown(name)}")
    purposes = _purposes(document, entries["purposes"].value, places) if "purposes" in entries else None
    if version is None or len(parts) < len(_PARTS):
        return None
    return Draft(
        version=version,
        introduction=parts["introduction"],
        rights=parts["rights"],
        complaints=parts["complaints"],
        necessity=MappingProxyType(necessity),
        purposes=purposes,
        source=source,
        file=document.file,
        places=MappingProxyType(places),
    )


def _purposes(document: Document, node: yaml.Node, places: dict[tuple[str, ...], _Place]) -> tuple[str, ...]:
    named = document.texts(node, "'purposes'")
    if isinstance(node, yaml.SequenceNode) and not node.value:
        document.report(node, "empty", "'purposes' is empty", "name a purpose, or remove the line to cover all")
    for item, name in named:
        places["purposes", name] = _place(item)
    return tuple(dict.fromkeys(name for _, name in named))


def _words(document: Document, node: yaml.Node, what: str) -> Words:
    entries = document.mapping(node, what, allowed=LANGUAGES)
    if isinstance(node, yaml.MappingNode) and not node.value:
        document.report(node, "empty", f"{what} is empty", "{zh: …, en: …}")
    read = {language: document.text(entry.value, what) for language, entry in entries.items()}
    return MappingProxyType({language: text.strip() for language, text in read.items() if text is not None})


def _bad_label(version: str, file: str, place: _Place) -> Problem:
    return Problem(file, *place, "bad-version", f"the version is {shown(version)}",
                   'a label such as "2026-01": letters, digits, ".", "_" and "-", at most 64')  # fmt: skip


def _place(node: yaml.Node) -> _Place:
    return node.start_mark.line + 1, node.start_mark.column + 1


_INTRODUCTION: Final = {
    "zh": "本告知说明我们为哪些目的、以何种方式处理您的哪些个人信息，保存多久，提供给谁，以及您如何行使权利。",
    "en": "This notice says for which purposes and by which methods we process which of your personal data, how long "
    "we keep them, who receives them, and how you exercise your rights.",
}
_RIGHTS: Final = {
    "zh": "您可以查阅、复制、更正、补充、删除、转移您的个人信息，限制或者拒绝处理，撤回同意，并要求我们解释处理规则。"
    "请通过上述联系方式提出，我们核验身份后及时答复；不能满足的，我们说明理由。"
    "不满十四周岁未成年人的权利由其父母或者其他监护人行使。",
    "en": "You may see, copy, correct, complete, delete and carry away your personal data, have their processing "
    "restricted or object to it, withdraw consent, and ask us to explain our rules. Write to the contact named in "
    "this notice; we check who you are and answer without delay, with reasons where we cannot do what you ask. For "
    "children under 14 a parent or guardian exercises these rights.",
}
_COMPLAINTS: Final = {
    "zh": "如果您认为我们的处理损害了您的权益，请先与我们联系；您也可以向履行个人信息保护职责的部门投诉、举报，"
    "或者向人民法院提起诉讼。",
    "en": "If you think that our processing harms your rights, please tell us first; you may also complain to the "
    "authority that supervises data protection where you live or work, or go to court.",
}
_NECESSITY: Final = {
    "zh": "不处理所列敏感个人信息，便无法实现这一目的。这些信息一旦泄露或者被非法使用，"
    "可能使您的人格尊严受到侵害，或者危害您的人身、财产安全；我们因此逐项加密保存，只向需要的人员提供，并记录每一次查看。",
    "en": "The purpose cannot be reached without the sensitive data listed. Leaked or used unlawfully, they could "
    "harm your dignity, your safety or your property; we therefore keep them encrypted field by field, show them only "
    "to those who need them, and record each look.",
}
