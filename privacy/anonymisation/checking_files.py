"""The second opinion on a file as it was written: CSV or Parquet, read back and grouped by SQL.

A recipient's view: nothing is taken from what wrote the file. Memory grows with the classes, not with the rows.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from privacy.anonymisation.measured import SUPPRESSED, Cells, Classes, Column, Measured, figures, ranks
from privacy.errors import Invalid, Unavailable

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# Nothing of a table in clear may spill to disk, and nothing may be fetched.
_SETTINGS: Final[dict[str, Any]] = {"temp_directory": "", "autoinstall_known_extensions": "false"}


class Form(StrEnum):
    """How a file is written."""

    CSV = "csv"
    PARQUET = "parquet"


def measure_file(
    source: Path | bytes,
    form: Form,
    quasi: Sequence[str],
    sensitive: Sequence[str] = (),
    persons: Column | None = None,
    *,
    delimiter: str = ",",
    suppressed: str = SUPPRESSED,
    orders: Mapping[str, Sequence[str]] | None = None,
) -> Measured:
    """As `checking.measure`, of a file on disk or in memory. `persons` stand in the order of the file's rows.

    In CSV an empty field is missing, one that is quoted and empty is an empty text: a recipient can tell them apart.
    Raises Invalid: not such a file, a column is missing, or there are not as many persons as rows; Unavailable where
    bytes are given and the system has no files in memory.
    """
    import duckdb  # a quarter of a second, which who only measures columns does not pay

    try:
        with _named(source) as path, closing(duckdb.connect(":memory:", config=_SETTINGS)) as connection:
            _open(connection, path, form, delimiter, [*quasi, *sensitive], persons)
            grouped = _classes(connection, quasi, persons is not None)
            cells = [
                _cells(connection, len(quasi), len(quasi) + at, name, (orders or {}).get(name))
                for at, name in enumerate(sensitive)
            ]
    except duckdb.Error as error:  # whose text may quote the file
        raise Invalid(
            f"the file cannot be read as {form} ({type(error).__name__})", zh=f"无法按 {form} 格式读取该文件"
        ) from None
    return figures(grouped, cells, suppressed)


@contextmanager
def _named(source: Path | bytes) -> Iterator[str]:
    """A path under which the file can be read. Bytes stay in memory: a release is not put on disk to be checked."""
    if isinstance(source, Path):
        yield str(source)
        return
    if not hasattr(os, "memfd_create"):
        raise Unavailable("this system has no files in memory", zh="本系统不支持内存文件")
    with open(os.memfd_create("checked", os.MFD_CLOEXEC), "wb") as file:
        file.write(source)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"


def _open(
    connection: DuckDBPyConnection,
    path: str,
    form: Form,
    delimiter: str,
    names: Sequence[str],
    persons: Column | None,
) -> None:
    """A view `published` of the columns asked for as c0, c1, ... in text, and the persons as `person`."""
    read, held = _reader(connection, path, form, delimiter)
    missing = [name for name in names if name not in held]
    if missing:
        raise Invalid("the file has no such column", zh="文件中没有该列", field=missing[0])
    chosen = ", ".join(f"CAST({_quoted(name)} AS VARCHAR) AS c{at}" for at, name in enumerate(names))
    beside = ""
    if persons is not None:
        _register(connection, persons, read)
        chosen, beside = f"{chosen + ', ' if chosen else ''}person", " POSITIONAL JOIN whose"
    connection.execute(f"CREATE TEMP VIEW published AS SELECT {chosen or '1 AS nothing'} FROM {read}{beside}")


def _reader(connection: DuckDBPyConnection, path: str, form: Form, delimiter: str) -> tuple[str, Sequence[str]]:
    place = _text(path)
    if form is Form.PARQUET:
        read = f"read_parquet({place})"
    else:
        names = _header(path, delimiter)
        columns = ", ".join(f"{_text(name)}: 'VARCHAR'" for name in names)
        read = (
            f"read_csv({place}, delim={_text(delimiter)}, quote='\"', escape='\"', header=true, auto_detect=false,"
            f" allow_quoted_nulls=false, columns={{{columns}}})"
        )
    described = connection.execute(f"DESCRIBE SELECT * FROM {read}").fetchall()
    return read, [row[0] for row in described]


def _header(path: str, delimiter: str) -> list[str]:
    """The first line, read by another reader than the rest: nothing about the file is guessed."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return next(csv.reader(file, delimiter=delimiter), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Invalid(
            f"the file cannot be read as csv ({type(error).__name__})", zh="无法按 csv 格式读取该文件"
        ) from None


def _register(connection: DuckDBPyConnection, persons: Column, read: str) -> None:
    index: dict[object, int] = {}
    codes = np.fromiter((index.setdefault(person, len(index)) for person in persons), np.int64, count=len(persons))
    ((rows,),) = connection.execute(f"SELECT count(*) FROM {read}").fetchall()
    if rows != len(codes):
        raise Invalid("there are not as many persons as rows", zh="人数记录与行数不一致")
    connection.register("whose_codes", {"person": codes})
    connection.execute("CREATE TEMP TABLE whose AS SELECT * FROM whose_codes")


def _classes(connection: DuckDBPyConnection, quasi: Sequence[str], by_person: bool) -> Classes:
    named = [f"c{at}" for at in range(len(quasi))]
    keys = ", ".join([*named, ""])
    people = "count(DISTINCT person)" if by_person else "count(*)"
    grouped = f"SELECT {keys}count(*) AS n, {people} AS people FROM published{_group_by(named)} HAVING count(*) > 0"
    numbered = f"SELECT row_number() OVER () - 1 AS class, * FROM ({grouped})"
    connection.execute(f"CREATE TEMP TABLE classes AS {numbered}")
    found = connection.execute(f"SELECT {keys}n, people FROM classes ORDER BY class").fetchnumpy()
    rows = found["n"].astype(np.int64)
    ((total,),) = connection.execute(f"SELECT {people} FROM published").fetchall()
    labels = tuple(_filled(found[name]) for name in named)
    return Classes(tuple(quasi), labels, rows, found["people"].astype(np.int64), int(total))


def _cells(connection: DuckDBPyConnection, quasi: int, column: int, name: str, order: Sequence[str] | None) -> Cells:
    """Grouped first, joined then: the join sees each pair once. Missing values are equal to each other."""
    keys = [f"c{at}" for at in range(quasi)]
    same = " AND ".join(f"g.{key} IS NOT DISTINCT FROM k.{key}" for key in keys) or "true"
    grouped = (
        f"SELECT {', '.join([*keys, f'c{column}'])}, count(*) AS n FROM published{_group_by([*keys, f'c{column}'])}"
    )
    found = connection.execute(
        f"SELECT k.class, g.c{column} AS value, g.n FROM ({grouped}) g JOIN classes k ON {same}"
    ).fetchnumpy()
    values = _filled(found["value"]).tolist()
    index = {value: at for at, value in enumerate(dict.fromkeys(values))}
    place = ranks(list(index), order, name)
    of_value = place[np.fromiter(map(index.__getitem__, values), np.int64, count=len(values))] if values else place
    of_class = found["class"].astype(np.int64)
    by = np.argsort(of_class, kind="stable")
    return Cells(name, len(index), of_class[by], of_value[by], found["n"].astype(np.int64)[by])


def _group_by(keys: Sequence[str]) -> str:
    return f" GROUP BY {', '.join(keys)}" if keys else ""


def _filled(column: NDArray[np.generic]) -> NDArray[np.object_]:
    """DuckDB masks what is NULL."""
    found = np.asarray(np.ma.getdata(column), dtype=np.object_).copy()
    found[np.ma.getmaskarray(column)] = None
    return found


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
