"""Files and columns in memory as relations of DuckDB: a value of a CSV is the text that it is, nothing is guessed."""

from __future__ import annotations

import csv
from codecs import getincrementaldecoder
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from privacy.errors import Invalid, TooLarge

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Columns = Mapping[str, Sequence[object] | NDArray[np.generic]]

Settings = dict[str, str | bool | int | float | list[str]]

_LONGEST_CELL: Final = 1 << 24
_SNIFFED: Final = 1 << 16


def connected(settings: Settings) -> DuckDBPyConnection:
    """A database in memory. Without a progress bar: DuckDB prints it to standard output, where machines read JSON."""
    import duckdb

    connection = duckdb.connect(":memory:", config=settings)
    connection.execute("SET enable_progress_bar = false")  # of a session, so not among the settings
    return connection


def opened(connection: DuckDBPyConnection, source: Path | Columns) -> tuple[str, tuple[str, ...]]:
    """The relation of a source as SQL, and its columns."""
    if not isinstance(source, Path):
        return _memory(connection, source)
    if source.suffix.lower() == ".parquet":
        return parquet(connection, source)
    if _is_utf8(source):
        return csv_text(connection, source)
    return _memory(connection, _decoded(source))


def parquet(connection: DuckDBPyConnection, path: Path) -> tuple[str, tuple[str, ...]]:
    relation = f"read_parquet({literal(path)}, hive_partitioning = false)"
    found = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    return relation, _distinct([name for name, *_ in found])


def csv_text(connection: DuckDBPyConnection, path: Path) -> tuple[str, tuple[str, ...]]:
    """Every value as the text that it is: a telephone number is none, nor is 007 seven."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        names, delimiter = _header(file.read(_SNIFFED))
    types = ", ".join(f"{quoted(name)}: 'VARCHAR'" for name in names)
    relation = (
        f"read_csv({literal(path)}, auto_detect = false, header = true, delim = {quoted(delimiter)}, quote = '\"', "
        f"escape = '\"', columns = {{{types}}})"
    )
    return relation, names


def _header(start: str) -> tuple[tuple[str, ...], str]:
    from privacy.detection.columns_sources import delimiter_of

    delimiter = delimiter_of(start)
    names = next(csv.reader(start.splitlines(keepends=True), delimiter=delimiter), [])
    return _distinct(names), delimiter


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Raises Invalid: a role is given to a name, so each column must have its own."""
    if not names or not all(names):
        raise Invalid("The table has a column without a name", zh="表中有列没有名称")
    if len({name.casefold() for name in names}) != len(names):
        raise Invalid("Two columns of the table have the same name", zh="表中有两列同名")
    return tuple(names)


def _is_utf8(path: Path) -> bool:
    decoder = getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            while piece := file.read(1 << 22):
                decoder.decode(piece)
    except UnicodeDecodeError:
        return False
    return True


def _decoded(path: Path) -> dict[str, list[str]]:
    """A CSV in GB 18030, as Chinese spreadsheets still come, or in UTF-16: read here, for DuckDB knows neither."""
    with path.open("rb") as file:
        encoding = "utf-16" if file.read(2) in (b"\xff\xfe", b"\xfe\xff") else "gb18030"
    csv.field_size_limit(_LONGEST_CELL)
    with path.open(encoding=encoding, newline="") as text:
        names, delimiter = _header(text.read(_SNIFFED))
        text.seek(0)
        rows = csv.reader(text, delimiter=delimiter)
        next(rows)
        columns: dict[str, list[str]] = {name: [] for name in names}
        for row in rows:
            if len(row) != len(names):
                raise Invalid(f"{path.name} has a row with more or fewer values than columns")
            for column, value in zip(columns.values(), row, strict=True):
                column.append(value)
    return columns


def _memory(connection: DuckDBPyConnection, columns: Columns) -> tuple[str, tuple[str, ...]]:
    if len({len(column) for column in columns.values()}) != 1:
        raise Invalid("The columns of the table differ in length")
    names = _distinct(list(columns))
    connection.register("given", {name: _texts(column) for name, column in columns.items()})
    return "given", names


def _texts(column: Sequence[object] | NDArray[np.generic]) -> NDArray[np.object_]:
    values = column.tolist() if isinstance(column, np.ndarray) else column
    texts = np.empty(len(values), dtype=np.object_)
    texts[:] = [value if isinstance(value, str) else _said(value) for value in values]
    return texts


def _said(value: object) -> str:
    """A value as the other engines write it."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case date():  # an instant too
            return value.isoformat(*((" ",) if hasattr(value, "hour") else ()))
    return str(value)


# --- SQL and errors


def name_of(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def literal(path: Path) -> str:
    return quoted(str(path))


def text_of(column: str) -> str:
    return f"coalesce({column}::VARCHAR, '')"


@contextmanager
def translated(name: str) -> Iterator[None]:
    """DuckDB's own words may quote the file, so none of them is passed on."""
    import duckdb

    try:
        yield
    except duckdb.OutOfMemoryException:
        raise TooLarge(
            f"{name} does not fit in memory, and nothing of it is put on the disk",
            zh=f"{name} 超出可用内存；数据不会暂存于磁盘",
        ) from None
    except (duckdb.Error, OSError, UnicodeDecodeError, csv.Error) as error:
        raise Invalid(
            f"{name} cannot be read or written as the table that it should be ({type(error).__name__})",
            zh=f"{name} 无法作为表读取或写入（{type(error).__name__}）",
        ) from None
