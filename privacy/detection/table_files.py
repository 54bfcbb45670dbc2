"""CSV, JSON lines and Parquet as cells: one row after the other, in flat memory, every value as text.

A nested JSON value is a column of its own, named like `contact.phone`; the members of a list are cells of `phones[]`.
"""

from __future__ import annotations

import csv
import json
from codecs import getincrementaldecoder
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from privacy.errors import Invalid

SUFFIXES: Final = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"})
_LONGEST_CELL: Final = 1 << 24
_SNIFFED: Final = 1 << 16
_ROWS: Final = 500
# What stands in a file must not be left on the disk a second time, and nothing is fetched to read it.
_DUCKDB: Final[dict[str, Any]] = {"temp_directory": "", "autoinstall_known_extensions": "false", "threads": "1"}

Cell = tuple[str, str]
"""A column's name and the text."""


@dataclass(frozen=True, slots=True)
class Row:
    """The cells that are not empty; `place` of `TableFile.total` tells how far the file has been read."""

    cells: tuple[Cell, ...]
    place: int


@dataclass(frozen=True, slots=True)
class TableFile:
    """A file of rows. `columns` are known before the first row, but of JSON lines. `total` counts as `place` does."""

    columns: tuple[str, ...]
    total: int
    rows: Iterator[Row]


@contextmanager
def opened(path: Path) -> Iterator[TableFile]:
    """Raises `Invalid` when the file cannot be read as what its name says, also while it is read."""
    try:
        match path.suffix.lower():
            case ".parquet":
                with _parquet(path) as found:
                    yield found
            case ".jsonl" | ".ndjson":
                with path.open("rb") as lines:
                    yield TableFile((), path.stat().st_size, _json_rows(lines))
            case _:
                with path.open(encoding=encoding_of(path), newline="") as text:
                    yield _csv(text, path)
    except (OSError, UnicodeDecodeError, csv.Error, json.JSONDecodeError) as error:
        raise Invalid(f"{path.name} cannot be read as {path.suffix[1:]} ({type(error).__name__})") from None


def encoding_of(path: Path) -> str:
    """UTF-8 where the file begins as such; else GB 18030, as Chinese spreadsheets still come. Raises `OSError`."""
    with path.open("rb") as file:
        start = file.read(_SNIFFED)
    try:
        getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return "gb18030"
    return "utf-8-sig"


def _csv(text: IO[str], path: Path) -> TableFile:
    csv.field_size_limit(_LONGEST_CELL)
    start = text.read(_SNIFFED)
    text.seek(0)
    try:
        dialect: type[csv.Dialect] = csv.Sniffer().sniff(start, delimiters=",;\t|")
    except csv.Error:  # one column, or too little to tell
        dialect = csv.excel_tab if path.suffix.lower() == ".tsv" else csv.excel
    dialect.doublequote = True  # RFC 4180; the sniffer knows only what the start happens to show
    read = csv.reader(text, dialect)
    names = tuple(name.strip() or f"column {n}" for n, name in enumerate(next(read, []), start=1))

    def rows() -> Iterator[Row]:
        place = 0
        for values in read:
            place += sum(map(len, values)) + len(values)
            cells = tuple(
                (names[n] if n < len(names) else f"column {n + 1}", value) for n, value in enumerate(values) if value
            )
            yield Row(cells, place)

    # Characters and not bytes: a text file does not tell its place while it is iterated.
    return TableFile(names, max(1, path.stat().st_size), rows())


def _json_rows(lines: IO[bytes]) -> Iterator[Row]:
    place = 0
    for line in lines:
        place += len(line)
        if line.strip():
            yield Row(tuple(_flat("", json.loads(line))), place)


def _flat(name: str, value: object) -> Iterator[Cell]:
    """A value and what is nested in it, as cells."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}" if name else str(key), inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _flat(f"{name}[]", inner)
    elif value is not None and not isinstance(value, bool | bytes) and (text := str(value)):
        yield name or "value", text


@contextmanager
def _parquet(path: Path) -> Iterator[TableFile]:
    import duckdb  # a quarter of a second, which other files do not cost

    try:
        with closing(duckdb.connect(":memory:", config=_DUCKDB)) as connection:
            connection.execute("SET enable_progress_bar = false")  # of a session; it would be printed among our answers
            (total,) = connection.execute("SELECT count(*) FROM read_parquet(?)", [str(path)]).fetchone() or (0,)
            found = connection.execute("SELECT * FROM read_parquet(?)", [str(path)])
            names = tuple(column[0] for column in found.description or ())

            def rows() -> Iterator[Row]:
                place = 0
                while some := found.fetchmany(_ROWS):
                    for values in some:
                        place += 1
                        pairs = zip(names, values, strict=True)
                        yield Row(tuple(cell for name, value in pairs for cell in _flat(name, value)), place)

            yield TableFile(names, max(1, total), rows())
    except duckdb.Error as error:  # whose text may quote the file
        raise Invalid(f"{path.name} cannot be read as parquet ({type(error).__name__})") from None
