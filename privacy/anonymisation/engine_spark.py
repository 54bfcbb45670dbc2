"""The three statements in Spark SQL, for rows that are in a lake already: tuples and counts come here, labels go.

Of a session (`pyspark` is the extra `spark`) it uses SQL, one small data frame for the labels, and the writer. Spark
has no transaction: what was written is removed when the block does not end well, and rows that change between count and
writing are found by the re-check. Spark's Parquet names Spark as its writer and nothing of the source.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from privacy.anonymisation.engine import Counted, Form, Published, Roles, Target, Weighed, counted
from privacy.anonymisation.histogram import UNIT
from privacy.errors import Conflict, Invalid

# SecureRandom, for each row: rand() and uuid() take a seed, which stands in the plan that Spark logs.
_ORDER: Final = "reflect('java.util.UUID', 'randomUUID')"


class Spark:
    """An `Engine` over a table or view that `session` (a `pyspark.sql.SparkSession`) knows."""

    def __init__(self, session: Any, table: str) -> None:
        self._session = session
        self._table = _named(table)
        self._written: Target | None = None

    def __enter__(self) -> Spark:
        return self

    def __exit__(self, *raised: object) -> None:
        if raised and raised[0] is not None and self._written is not None:
            self._remove(self._written)

    def columns(self) -> tuple[str, ...]:
        with _translated():
            return tuple(self._session.sql(f"SELECT * FROM {self._table} LIMIT 0").columns)

    # --- 1

    def histogram(self, roles: Roles) -> Counted:
        """Raises Invalid where the table cannot be read or has no row."""
        with _translated():
            found = self._counted(roles, self._table)
        if not len(found.rows):
            raise Invalid("The table has no row", zh="表中没有任何行")
        return found

    def _counted(self, roles: Roles, table: str) -> Counted:
        width = len(roles.quasi)
        weighed = None
        if roles.person is None:
            rows = self._rows(f"SELECT {_texts(roles.quasi)}, count(*) AS n FROM {table} GROUP BY {_by(width)}")
        else:
            rows = self._rows(self._weighing(roles, roles.person))
            ((people,),) = self._rows(f"SELECT count(DISTINCT {_text(roles.person)}) FROM {table}")
            weighed = Weighed(_column(rows, -2), _column(rows, -1), int(people))
        place = {tuple(row[:width]): at for at, row in enumerate(rows)}
        sensitive = [self._pairs(roles, name, place, table) for name in roles.sensitive]
        texts = [[row[n] for row in rows] for n in range(width)]
        return counted(roles.quasi, texts, _column(rows, width), weighed, sensitive)

    def _weighing(self, roles: Roles, person: str) -> str:
        """Rows of nobody are of one person all together: fewer persons than there may be, never more."""
        by = _by(len(roles.quasi))
        inner = (
            f"SELECT {_texts(roles.quasi)}, {_text(person)} AS person, "
            f"CAST(floor({UNIT}D / count(*) OVER (PARTITION BY {_text(person)})) AS BIGINT) AS w FROM {self._table}"
        )
        return f"SELECT {by}, count(*) AS n, sum(w) AS w, count(DISTINCT person) AS p FROM ({inner}) GROUP BY {by}"

    def _pairs(
        self, roles: Roles, name: str, place: dict[tuple[Any, ...], int], table: str
    ) -> tuple[str, list[str], NDArray[np.int64], NDArray[np.int64]]:
        width = len(roles.quasi)
        rows = self._rows(
            f"SELECT {_texts([*roles.quasi, name])}, count(*) AS n FROM {table} GROUP BY {_by(width + 1)}"
        )
        tuples = np.fromiter((place[tuple(row[:width])] for row in rows), np.int64, count=len(rows))
        return name, [row[width] for row in rows], tuples, _column(rows, width + 1)

    # --- 2

    def write(self, roles: Roles, published: Published, target: Target) -> None:
        width = len(roles.quasi)
        names = [f"{kind}{n}" for kind in "ql" for n in range(width)]
        labels = {name: f"m.l{n}" for n, name in enumerate(roles.quasi)}
        columns = ", ".join(
            f"{labels.get(name, f's.{_quoted(name)}')} AS {_quoted(name)}" for name in roles.published(self.columns())
        )
        same = " AND ".join(f"{_text(name, 's.')} = m.q{n}" for n, name in enumerate(roles.quasi))
        view = f"mapping_{secrets.token_hex(8)}"
        with _translated():
            rows = list(published.mapping())
            schema = ", ".join(f"{name} string" for name in names)
            self._session.createDataFrame(rows, schema).createOrReplaceTempView(view)
            try:
                found = self._session.sql(
                    f"SELECT {columns} FROM {self._table} s JOIN {view} m ON {same} ORDER BY {_ORDER}"
                )
                self._save(found, target)
            finally:
                self._session.catalog.dropTempView(view)

    def _save(self, found: Any, target: Target) -> None:
        writer = found.write.mode("errorifexists")
        match target.form:
            case Form.PARQUET:
                if self._is_there(target.place):
                    raise Conflict("There is something at the target already", zh="目标位置已有内容")
                self._written = target
                writer.parquet(target.place)
            case Form.TABLE:
                if self._session.catalog.tableExists(target.place):
                    raise Conflict("There is a table of this name already", zh="已有同名的表")
                self._written = target
                writer.saveAsTable(_named(target.place))
            case Form.CSV:
                raise Invalid(
                    "Spark writes Parquet and tables here, no CSV", zh="Spark 在此只写 Parquet 与表，不写 CSV"
                )

    def _is_there(self, place: str) -> bool:
        path, files = self._hadoop(place)
        return bool(files.exists(path))

    def _remove(self, target: Target) -> None:
        if target.form is Form.TABLE:
            self._session.sql(f"DROP TABLE IF EXISTS {_named(target.place)}")
        else:
            path, files = self._hadoop(target.place)
            files.delete(path, True)

    def _hadoop(self, place: str) -> tuple[Any, Any]:
        context = self._session.sparkContext
        path = context._jvm.org.apache.hadoop.fs.Path(place)
        return path, path.getFileSystem(context._jsc.hadoopConfiguration())

    # --- 3

    def recheck(self, roles: Roles, target: Target) -> Counted:
        place = _named(target.place) if target.form is Form.TABLE else f"parquet.{_quoted(target.place)}"
        with _translated():
            return self._counted(replace(roles, person=None), place)

    def _rows(self, statement: str) -> list[Any]:
        return list(self._session.sql(statement).collect())


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _named(table: str) -> str:
    return ".".join(map(_quoted, table.split(".")))


def _text(column: str, of: str = "") -> str:
    return f"coalesce(CAST({of}{_quoted(column)} AS STRING), '')"


def _texts(columns: Sequence[str]) -> str:
    return ", ".join(f"{_text(name)} AS q{n}" for n, name in enumerate(columns))


def _by(count: int) -> str:
    return ", ".join(f"q{n}" for n in range(count))


def _column(rows: Sequence[Sequence[Any]], place: int) -> NDArray[np.int64]:
    return np.fromiter((row[place] for row in rows), np.int64, count=len(rows))


@contextmanager
def _translated() -> Iterator[None]:
    """Spark's own words may quote a value, so none of them is passed on."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("pyspark", "py4j"):
            raise
        raise Invalid(
            f"The table cannot be read or written as it should be ({type(error).__name__})",
            zh=f"无法按要求读取或写入该表（{type(error).__name__}）",
        ) from None
