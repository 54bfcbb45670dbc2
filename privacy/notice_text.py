"""What people read of a notice, generated from the manifest around the words that somebody wrote.

For each language: the whole notice as Markdown, the text of each purpose by itself (what is shown when its
consent is asked, to the letter), and the two lists that NDSMR 21 asks for. Sources: PIPL 17, 23, 24, 30;
GDPR 13; NDSMR 21, 22. Rendering is pure: the same draft and manifest give the same bytes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, assert_never

import msgspec

from privacy.errors import NotFound
from privacy.levels import Level
from privacy.manifest import Basis, KeepFromKind, Manifest, Method, Purpose, Recipient
from privacy.manifest.model import Text
from privacy.notice_drafts import Draft, Words, check, invalid
from privacy.notice_words import LANGUAGES, Phrases, country, duration
from privacy.vocabulary import citations

_MARKDOWN: Final = re.compile(r"([\\`*\[\]<>|])")  # in names and titles, which are text and no Markdown

_CHINESE: Final = "[\u3001-\u303f\u3400-\u9fff\uff01-\uff65\u2018-\u201d]"
_FOLD: Final = re.compile(f"(?<={_CHINESE}) +(?={_CHINESE})")


@dataclass(frozen=True, slots=True)
class Wording:
    """An exact text, Markdown. `digest` is the SHA-256 of its UTF-8 bytes, in hex."""

    text: str
    digest: str


@dataclass(frozen=True, slots=True)
class Collected:
    """A row of the collection list (NDSMR 21): what is collected of one record type for one purpose, in words."""

    purpose: str
    title: str
    record: str
    fields: tuple[str, ...]
    sensitive: tuple[str, ...]
    method: str
    basis: str
    keep: str


@dataclass(frozen=True, slots=True)
class Shared:
    """A row of the sharing list (NDSMR 21, PIPL 23): what one recipient receives for one purpose, in words."""

    recipient: str
    title: str
    kind: str
    country: str
    contact: str
    purpose: str
    purpose_title: str
    method: str
    fields: tuple[str, ...]
    sensitive: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Edition:
    """A notice in one language. `purposes` holds the text of each purpose it covers."""

    text: str
    digest: str
    purposes: Mapping[str, Wording]
    collected: tuple[Collected, ...]
    shared: tuple[Shared, ...]


@dataclass(frozen=True, slots=True)
class Content:
    """A notice as it is published, by language, the controller's first language first."""

    languages: tuple[str, ...]
    editions: Mapping[str, Edition]

    def edition(self, language: str) -> Edition:
        """The edition in `language` as in Accept-Language. Raises `NotFound` for one it is not published in."""
        found = self.editions.get(language.lower().split("-")[0])
        if found is None:
            raise NotFound(
                f"The notice is not published in this language, only in {', '.join(self.languages)}",
                zh=f"该告知没有这种语言的版本，只有：{'、'.join(self.languages)}。",
            )
        return found

    def to_json(self) -> dict[str, object]:
        """As JSON builds it; `from_json` gives back an equal value."""
        built: dict[str, object] = msgspec.to_builtins(self)
        return built

    @classmethod
    def from_json(cls, stored: object) -> Content:
        """The content that `to_json` made `stored` of."""
        return msgspec.convert(stored, cls)


# What msgspec must know of the types is built here, by one thread: building it in two at once ends the process.
msgspec.json.Decoder(Content)


def render(draft: Draft, manifest: Manifest) -> Content:
    """The notice in each of the controller's languages.

    Raises `NoticeInvalid` with every fault: a language, a purpose or a necessity (PIPL 30) that is missing.
    """
    problems = check(draft, manifest)
    if problems:
        raise invalid(problems, draft.file)
    languages = manifest.controller.languages
    editions = {language: _Renderer(draft, manifest, language).edition() for language in languages}
    return Content(languages, editions)


def wording(text: str) -> Wording:
    """The text with its digest."""
    return Wording(text, hashlib.sha256(text.encode()).hexdigest())


class _Renderer:
    """One language of one notice."""

    def __init__(self, draft: Draft, manifest: Manifest, language: str) -> None:
        self.draft = draft
        self.manifest = manifest
        self.language = language
        self.words: Phrases = LANGUAGES[language]
        self.purposes = [manifest.purposes[name] for name in draft.covered(manifest)]

    def edition(self) -> Edition:
        collected = tuple(row for purpose in self.purposes for row in self._collected(purpose))
        shared = tuple(row for purpose in self.purposes for row in self._shared(purpose))
        whole = wording(self._whole(collected, shared))
        purposes = {purpose.name: wording(self._alone(purpose)) for purpose in self.purposes}
        return Edition(whole.text, whole.digest, purposes, collected, shared)

    def _whole(self, collected: Sequence[Collected], shared: Sequence[Shared]) -> str:
        words, draft = self.words, self.draft
        parts = [
            f"# {words.heading}",
            f"{words.version}{words.colon}{draft.version}",
            self._written(draft.introduction),
            f"## {words.controller}",
            self._controller(),
            f"## {words.purposes}",
        ]
        for purpose in self.purposes:
            parts += [f"### {self._title(purpose.title, purpose.name)}", *self._body(purpose)]
        parts += [
            f"## {words.collection_list}",
            self._collection_table(collected),
            f"## {words.sharing_list}",
            self._sharing_table(shared) if shared else words.shares_nothing,
            f"## {words.rights}",
            self._written(draft.rights),
            f"## {words.complaints}",
            self._written(draft.complaints),
        ]
        return "\n\n".join(parts) + "\n"

    def _alone(self, purpose: Purpose) -> str:
        """Everything that must be told before consent to this purpose, without the rest of the notice."""
        parts = [
            f"# {self._title(purpose.title, purpose.name)}",
            *self._body(purpose),
            f"## {self.words.controller}",
            self._controller(),
            f"## {self.words.rights}",
            self._written(self.draft.rights),
            f"## {self.words.complaints}",
            self._written(self.draft.complaints),
        ]
        return "\n\n".join(parts) + "\n"

    def _controller(self) -> str:
        controller, words = self.manifest.controller, self.words
        return self._bullets(
            [(words.name, self._title(controller.title, controller.name)), (words.contact, _plain(controller.contact))]
        )

    def _body(self, purpose: Purpose) -> Iterator[str]:
        words = self.words
        if purpose.description is not None:
            yield self._title(purpose.description, purpose.name).rstrip(words.stop) + words.stop
        if purpose.only_anonymised:
            yield words.only_anonymised
        facts = [
            (words.label_basis, self._basis(purpose) + words.stop),
            (words.label_method, self._method(purpose) + words.stop),
            (words.label_data, self._data(purpose) + words.stop),
        ]
        necessity = self.draft.necessity.get(purpose.name)
        if necessity is not None:
            facts.append((words.necessity, " ".join(self._written(necessity).split())))
        facts += [
            (words.label_keep, self._join_sentences(*self._kept(purpose), words.at_end[purpose.at_end])),
            (words.label_recipients, self._recipients(purpose)),
        ]  # fmt: skip
        if Method.DECIDE in purpose.method:
            facts.append((words.label_automated, words.automated))
        facts.append((words.label_choice, self._choice(purpose)))
        yield self._bullets(facts)

    def _basis(self, purpose: Purpose) -> str:
        law = citations.joined(purpose.law, self.language)
        return self.words.basis[purpose.basis] + (self.words.bracketed(law) if law else "")

    def _kept(self, purpose: Purpose) -> Iterator[str]:
        """How long, from when, and what the law demands at the least."""
        words, begins = self.words, purpose.keep_from
        period = duration(purpose.keep, words)
        match begins.kind:
            case KeepFromKind.CREATION:
                yield words.keep.format(period=period)
            case KeepFromKind.LAST_ACTIVITY:
                yield words.keep_from_activity.format(period=period)
            case KeepFromKind.EVENT:
                event = self._title(begins.title, begins.event or "")
                at_most = duration(begins.at_most or purpose.keep, words)
                yield words.keep_from_event.format(period=period, event=event, at_most=at_most)
            case _:
                assert_never(begins.kind)
        if purpose.statutory is not None:
            law = citations.joined(purpose.statutory.law, self.language)
            yield words.statutory.format(period=duration(purpose.statutory.keep, words), law=law)

    def _method(self, purpose: Purpose) -> str:
        return self.words.comma.join(self.words.method[method] for method in purpose.method)

    def _data(self, purpose: Purpose) -> str:
        words = self.words
        return words.semicolon.join(
            f"{self._title(self.manifest.records[kind].title, kind)}{words.colon}"
            + words.comma.join(self._field(kind, name, mask) for name, mask in used.items())
            for kind, used in purpose.uses.items()
        )

    def _field(self, kind: str, name: str, mask: str | None) -> str:
        """A field by its title; what is sensitive stands out (PIPL 30)."""
        field = self.manifest.records[kind].fields[name]
        marks = [word for word, holds in ((self.words.masked, mask is not None),) if holds]
        if field.level is Level.L4:
            marks.insert(0, f"**{self.words.sensitive}**")
        title = self._title(field.title, name)
        return title + (self.words.bracketed(self.words.comma.join(marks)) if marks else "")

    def _recipients(self, purpose: Purpose) -> str:
        received = [self._recipient(recipient) for recipient in self._recipients_of(purpose)]
        return self.words.semicolon.join(received) + self.words.stop if received else self.words.no_recipients

    def _recipient(self, recipient: Recipient) -> str:
        words = self.words
        known = [words.kind[recipient.kind]]
        if recipient.jurisdiction is not None:
            known.append(country(recipient.jurisdiction, words))
        known.append(f"{words.contact.lower()}{words.colon}{_plain(recipient.contact)}")
        if self._is_abroad(recipient):
            known.append(words.abroad)
        return self._title(recipient.title, recipient.name) + words.bracketed(words.semicolon.join(known))

    def _is_abroad(self, recipient: Recipient) -> bool:
        """PIPL 39, GDPR 13(1)(f)."""
        home = self.manifest.controller.jurisdiction.split("-")[0]
        return recipient.jurisdiction is not None and recipient.jurisdiction.split("-")[0] != home

    def _choice(self, purpose: Purpose) -> str:
        words = self.words
        if purpose.basis is not Basis.CONSENT:
            said = [words.choice[purpose.basis]]
        else:
            said = [words.asked_separately if purpose.consent_separate else words.asked]
            if purpose.consent_expires is not None:
                said.append(words.consent_lasts.format(period=duration(purpose.consent_expires, words)))
            said += [words.child, words.withdraw.format(contact=_plain(self.manifest.controller.contact))]
        if purpose.opt_out is not None:
            said.append(words.opts_out.format(what=words.opt_out[purpose.opt_out]))
        return self._join_sentences(*said)

    def _collected(self, purpose: Purpose) -> Iterator[Collected]:
        for kind, used in purpose.uses.items():
            yield Collected(
                purpose=purpose.name,
                title=self._said(purpose.title, purpose.name),
                record=self._said(self.manifest.records[kind].title, kind),
                fields=self._titles({kind: used}),
                sensitive=self._titles({kind: used}, only_sensitive=True),
                method=self._method(purpose),
                basis=self._basis(purpose),
                keep=duration(purpose.keep_from.at_most or purpose.keep, self.words),
            )

    def _shared(self, purpose: Purpose) -> Iterator[Shared]:
        for recipient in self._recipients_of(purpose):
            yield Shared(
                recipient=recipient.name,
                title=self._said(recipient.title, recipient.name),
                kind=self.words.kind[recipient.kind],
                country=country(recipient.jurisdiction, self.words) if recipient.jurisdiction else "",
                contact=recipient.contact,
                purpose=purpose.name,
                purpose_title=self._said(purpose.title, purpose.name),
                method=self.words.given[recipient.kind],
                fields=self._titles(purpose.uses),
                sensitive=self._titles(purpose.uses, only_sensitive=True),
            )

    def _recipients_of(self, purpose: Purpose) -> Iterator[Recipient]:
        return (recipient for recipient in self.manifest.recipients.values() if purpose.name in recipient.purposes)

    def _titles(self, uses: Mapping[str, Mapping[str, str | None]], *, only_sensitive: bool = False) -> tuple[str, ...]:
        fields = [self.manifest.records[kind].fields[name] for kind, used in uses.items() for name in used]
        return tuple(
            self._said(field.title, field.name) for field in fields if not only_sensitive or field.level is Level.L4
        )

    def _collection_table(self, rows: Iterable[Collected]) -> str:
        return self._table(
            self.words.collection_columns,
            (
                (row.title, f"{row.record}{self.words.colon}{self._marked(row.fields, row.sensitive)}", row.method,
                 row.basis, row.keep)
                for row in rows
            ),
        )  # fmt: skip

    def _sharing_table(self, rows: Iterable[Shared]) -> str:
        return self._table(
            self.words.sharing_columns,
            (
                (row.title, row.kind, row.country, row.contact, row.purpose_title, row.method,
                 self._marked(row.fields, row.sensitive))
                for row in rows
            ),
        )  # fmt: skip

    def _marked(self, fields: Iterable[str], sensitive: Iterable[str]) -> str:
        marked = set(sensitive)
        return self.words.comma.join(
            field + (self.words.bracketed(self.words.sensitive) if field in marked else "") for field in fields
        )

    def _table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
        lines = [columns, ["---"] * len(columns), *([_plain(cell) for cell in row] for row in rows)]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def _bullets(self, facts: Iterable[tuple[str, str]]) -> str:
        return "\n".join(f"- **{label}**{self.words.colon}{said}" for label, said in facts)

    def _join_sentences(self, *sentences: str) -> str:
        return ("" if self.language == "zh" else " ").join(sentence for sentence in sentences if sentence)

    def _written(self, words: Words) -> str:
        """What people wrote, Markdown of theirs. A folded YAML text has a space at each fold; Chinese has none."""
        return _FOLD.sub("", words[self.language])

    def _title(self, title: Text | None, name: str) -> str:
        return _plain(self._said(title, name))

    def _said(self, title: Text | None, name: str) -> str:
        """A title in this language; the declared name where there is none."""
        return " ".join(title.in_language(self.language).split()) if title is not None else name


def _plain(text: str) -> str:
    """As Markdown that shows the text itself, on one line."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))
