"""A sample of the rows of a file: CSV, JSON lines, Parquet. Memory is the sample's, whatever the length of the file.

The sample is a seeded reservoir (Li 1994, algorithm L): every row is as likely as any other, the same seed gives the
same rows, and rows that are passed over are parsed as far as their end and no further. Nothing is fetched or written.
"""

from __future__ import annotations

import csv
import json
import math
import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from io import BufferedReader, RawIOBase, TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final, TypeVar

from privacy.detection.columns_cells import Strength, day_of, folded, is_empty, told, type_of
from privacy.detection.columns_lexicon import kind_named
from privacy.errors import Invalid
from privacy.manifest import ValueType

SUFFIXES: Final = frozenset({".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".parquet"})
LONGEST_CELL: Final = 2000  # characters of a cell that are kept
DEFAULT_SAMPLE: Final = 1000
_LONGEST_FIELD: Final = 1 << 24
_SNIFFED: Final = 1 << 18
_STRETCH: Final = 20_000  # rows between two looks at the progress
_ENCODINGS: Final = ("utf-8-sig", "gb18030")
_DELIMITERS: Final = ",;\t|"
_MOST_COLUMNS: Final = 2000
# No second copy on the disk, and nothing fetched to read a file.
_DUCKDB: Final[dict[str, str | bool | int | float | list[str]]] = {
    "temp_directory": "",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "threads": "1",
    "memory_limit": "512MB",
}

Item = TypeVar("Item")
Progress = Callable[[float], None]
"""Is told which share of the source has been read, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Sample:
    """`rows` of all the `total` rows of `source`, each with a cell for every one of `columns`; in no order."""

    source: str
    columns: tuple[str, ...]
    rows: list[tuple[str | None, ...]]
    total: int


def sampled(path: Path, size: int = DEFAULT_SAMPLE, seed: int = 1, progress: Progress = lambda share: None) -> Sample:
    """A sample of the file. Raises `Invalid`, without a word of its content, when it cannot be read."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise Invalid(f"{path.name}: a table is read from {', '.join(sorted(SUFFIXES))}, or a database URL")
    try:
        if suffix == ".parquet":
            return _parquet(path, size, seed)
        read = _json_lines if suffix in (".jsonl", ".ndjson") else _csv
        return _in_its_encoding(path, lambda encoding: read(path, encoding, size, random.Random(seed), progress))  # noqa: S311 - a sample, no secret
    except (OSError, csv.Error, json.JSONDecodeError, RecursionError) as error:
        raise Invalid(f"{path.name} cannot be read as {suffix[1:]} ({type(error).__name__})") from None


def reservoir(
    rows: Iterator[Item], size: int, random_numbers: random.Random, look: Callable[[], None] = lambda: None
) -> tuple[list[Item], int]:
    """`size` of the rows, or all of fewer, and how many there were. `look` is called every 20,000 rows."""
    kept = list(islice(rows, size))
    total = len(kept)
    if total < size or size < 1:
        return kept, total
    weight = 1.0
    while True:
        weight *= math.exp(math.log(1.0 - random_numbers.random()) / size)
        gap = math.log(1.0 - random_numbers.random()) / math.log1p(-weight) if weight > 1e-300 else -math.inf
        passed, skip = 0, int(min(abs(gap), 1e18))
        while passed < skip:
            stretch = min(_STRETCH, skip - passed)
            done = _passed_over(rows, stretch)
            passed += done
            total += done
            look()
            if done < stretch:
                return kept, total
        row = next(rows, None)
        if row is None:
            return kept, total
        total += 1
        kept[random_numbers.randrange(size)] = row


def _passed_over(rows: Iterator[Item], count: int) -> int:
    """How many of `count` rows there still were; the loop is not ours, so it costs what reading does."""
    numbered = deque(enumerate(islice(rows, count), start=1), maxlen=1)
    return numbered[0][0] if numbered else 0


class _Counted(RawIOBase):
    """A file that says how much of it has been read: a text file does not, while it is iterated."""

    def __init__(self, path: Path, progress: Progress) -> None:
        self._file = path.open("rb", buffering=0)
        self._size = max(1, path.stat().st_size)
        self._progress = progress
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # a buffer, whose type is not public before Python 3.12
        count = self._file.readinto(buffer)
        self._read += count or 0
        return count

    def close(self) -> None:
        self._file.close()
        super().close()

    def look(self) -> None:
        self._progress(min(1.0, self._read / self._size))


def _in_its_encoding(path: Path, read: Callable[[str], Sample]) -> Sample:
    """UTF-8, and where that fails, be it at the very end, GB 18030: Chinese spreadsheets still come in it."""
    with path.open("rb") as file:
        if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            return read("utf-16")
    for encoding in _ENCODINGS:
        try:
            return read(encoding)
        except UnicodeDecodeError:
            continue
    raise Invalid(f"{path.name} is neither UTF-8 nor GB 18030")


def _lines(path: Path, encoding: str, progress: Progress) -> tuple[IO[str], _Counted]:
    counted = _Counted(path, progress)
    return TextIOWrapper(BufferedReader(counted, 1 << 20), encoding=encoding, newline=""), counted


# --- CSV


def _csv(path: Path, encoding: str, size: int, random_numbers: random.Random, progress: Progress) -> Sample:
    csv.field_size_limit(_LONGEST_FIELD)
    with path.open(encoding=encoding, newline="") as start:
        delimiter = delimiter_of(start.read(_SNIFFED))
    text, counted = _lines(path, encoding, progress)
    with text:
        read = csv.reader(text, delimiter=delimiter)
        first = next((row for row in read if any(row)), None)
        if first is None:
            raise Invalid(f"{path.name} is empty")
        has_header = _is_header(first)
        kept, total = reservoir(read, size, random_numbers, counted.look)
        if not has_header:
            kept.append(first)
            total += 1
    kept = [row for row in kept if row]
    names = _names(first if has_header else [""] * len(first))
    return Sample(path.stem, names, [_cells(row, len(names)) for row in kept], total)


def delimiter_of(start: str) -> str:
    """The delimiter that cuts the first lines into the same number of columns, the most of them; else a comma."""
    best = (0.0, 0, ",")
    for delimiter in _DELIMITERS:
        try:
            rows = [
                len(row) for row in islice(csv.reader(start.splitlines(keepends=True), delimiter=delimiter), 50) if row
            ]
        except csv.Error:
            continue
        if not rows or rows[0] < 2:
            continue
        alike = sum(1 for columns in rows if columns == rows[0]) / len(rows)
        best = max(best, (round(alike, 1), rows[0], delimiter))
    return best[2]


def _is_header(row: Sequence[str]) -> bool:
    """Names of columns: nothing among them is a number, a day or an identifier."""
    cells = [folded(cell) for cell in row]
    if any(kind_named(cell) for cell in cells if cell and len(cell) <= 20 and not any(map(str.isdigit, cell))):
        return True
    return not any(
        not is_empty(cell)
        and (
            type_of(cell) not in (ValueType.TEXT, ValueType.BOOLEAN)
            or day_of(cell) is not None
            or any(strength > Strength.SHAPE for _, strength in told(cell))
        )
        for cell in cells
        if cell
    )


def _names(header: Sequence[str]) -> tuple[str, ...]:
    """Each column's own name: empty ones are numbered, the same again is told apart."""
    if len(header) > _MOST_COLUMNS:
        raise Invalid(f"A table of more than {_MOST_COLUMNS} columns is not read")
    names: dict[str, None] = {}
    for place, cell in enumerate(header, start=1):
        name = cell.strip() or f"column {place}"
        while name in names:
            name += f" ({place})"
        names[name] = None
    return tuple(names)


def _cells(row: Sequence[object], columns: int) -> tuple[str | None, ...]:
    """As many cells as there are columns; what is missing is empty, what is too much is left out."""
    cells = tuple(_text(value) for value in row[:columns])
    return cells + (None,) * (columns - len(cells))


def _text(value: object) -> str | None:
    match value:
        case None:
            return None
        case str():
            return value[:LONGEST_CELL]
        case bool():
            return "true" if value else "false"
        case bytes() | memoryview():
            return None  # a picture or a key: nothing to read
        case list() | tuple() | dict():
            return json.dumps(value, ensure_ascii=False, default=str)[:LONGEST_CELL]
    return str(value)[:LONGEST_CELL]


def as_cells(rows: Sequence[Sequence[object]], columns: int) -> list[tuple[str | None, ...]]:
    """Rows of a database as text."""
    return [_cells(row, columns) for row in rows]


# --- JSON lines


def _json_lines(path: Path, encoding: str, size: int, random_numbers: random.Random, progress: Progress) -> Sample:
    """Keys of nested objects are joined by a dot; a list of texts is one cell."""
    text, counted = _lines(path, encoding, progress)
    with text:
        kept, total = reservoir((line for line in text if line.strip()), size, random_numbers, counted.look)
    records = []
    for line in kept:
        record = json.loads(line)
        if not isinstance(record, dict):
            raise Invalid(f"{path.name}: each line of JSON lines is an object")
        records.append(dict(_flat("", record)))
    # In the order of their first record, whichever records the sample took.
    columns = dict.fromkeys(name for record in records for name in record)
    if not columns:
        raise Invalid(f"{path.name} is empty")
    names = _names(list(columns))
    return Sample(
        path.stem, names, [_cells([record.get(name) for name in columns], len(names)) for record in records], total
    )


def _flat(prefix: str, record: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for key, value in record.items():
        name = f"{prefix}.{key}" if prefix else key
        if isinstance(value, dict) and value:
            yield from _flat(name, value)
        else:
            yield name, value


# --- Parquet


def _parquet(path: Path, size: int, seed: int) -> Sample:
    """Sampled by DuckDB itself, in one thread: with more the same seed would not give the same rows."""
    import duckdb  # takes a quarter of a second to load, and other files do not need it

    try:
        with closing(duckdb.connect(":memory:", config=_DUCKDB)) as connection:
            connection.execute("SET enable_progress_bar = false")  # of a session; it would be printed among our answers
            (total,) = connection.execute("SELECT count(*) FROM read_parquet(?)", [str(path)]).fetchone() or (0,)
            statement = f"SELECT * FROM read_parquet(?) USING SAMPLE reservoir({size:d} ROWS) REPEATABLE ({seed:d})"  # noqa: S608 - two integers
            found = connection.execute(statement, [str(path)])
            names = _names([column[0] for column in found.description or ()])
            return Sample(path.stem, names, as_cells(found.fetchall(), len(names)), total)
    except duckdb.Error as error:  # whose text may quote the file
        raise Invalid(f"{path.name} cannot be read as parquet ({type(error).__name__})") from None
