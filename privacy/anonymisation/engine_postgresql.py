"""The three statements in PostgreSQL, where the rows are: what comes here is tuples and counts, what goes is labels.

All of them, and the new table, are one transaction that sees one snapshot: it is committed when the `with` block ends
well, after the re-check, and until then nobody sees the table. Column and table names are quoted, values never stand in
a statement. The tuples and their labels go to a temporary table that the commit drops.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import numpy as np
import psycopg
from psycopg import errors, sql

from privacy.anonymisation.engine import Counted, Published, Roles, Target, Weighed, counted
from privacy.anonymisation.histogram import UNIT
from privacy.errors import Conflict, Invalid, Unavailable

_MAPPING: Final = "anonymisation_mapping"


class PostgreSQL:
    """An `Engine`. `table` is a table or view, with or without its schema; `url` as PRIVACY_DATABASE_URL takes it."""

    def __init__(self, url: str, table: str) -> None:
        self._url = url
        self._table = _named(table)

    def __enter__(self) -> PostgreSQL:
        try:
            self._connection = psycopg.connect(self._url)
        except psycopg.OperationalError:  # whose text holds the address
            raise Unavailable("The database does not answer", zh="数据库没有应答") from None
        self._connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        return self

    def __exit__(self, *raised: object) -> None:
        try:
            if raised and raised[0] is not None:
                self._connection.rollback()
            else:
                self._connection.commit()
        finally:
            self._connection.close()

    def columns(self) -> tuple[str, ...]:
        with _translated():
            found = self._connection.execute(sql.SQL("SELECT * FROM {} LIMIT 0").format(self._table))
            return tuple(column.name for column in found.description or ())

    # --- 1

    def histogram(self, roles: Roles) -> Counted:
        """Raises Invalid where the table cannot be read or has no row."""
        with _translated():
            found = self._counted(roles, self._table)
        if not len(found.rows):
            raise Invalid("The table has no row", zh="表中没有任何行")
        return found

    def _counted(self, roles: Roles, table: sql.Identifier) -> Counted:
        width = len(roles.quasi)
        if roles.person is None:
            statement = sql.SQL("SELECT {}, count(*) FROM {} GROUP BY {}")
            rows = self._rows(statement.format(_texts(roles.quasi), table, _numbers(width)))
            weighed = None
        else:
            rows = self._rows(self._weighing(roles, roles.person))
            people = sql.SQL("SELECT count(DISTINCT {}) FROM {}").format(_text(roles.person), table)
            ((count,),) = self._rows(people)
            weighed = Weighed(_column(rows, -2), _column(rows, -1), int(str(count)))
        place = {tuple(row[:width]): at for at, row in enumerate(rows)}
        sensitive = [self._pairs(roles, name, place, table) for name in roles.sensitive]
        texts = [[str(row[n]) for row in rows] for n in range(width)]
        return counted(roles.quasi, texts, _column(rows, width), weighed, sensitive)

    def _weighing(self, roles: Roles, person: str) -> sql.Composed:
        """Rows of nobody are of one person all together: fewer persons than there may be, never more."""
        names = sql.SQL(", ").join(sql.Identifier(f"q{n}") for n in range(len(roles.quasi)))
        inner = sql.SQL("SELECT {}, {} AS person, {} / count(*) OVER (PARTITION BY {}) AS w FROM {}").format(
            _texts(roles.quasi), _text(person), sql.Literal(UNIT), _text(person), self._table
        )
        return sql.SQL("SELECT {}, count(*), sum(w)::bigint, count(DISTINCT person) FROM ({}) s GROUP BY {}").format(
            names, inner, _numbers(len(roles.quasi))
        )

    def _pairs(
        self, roles: Roles, name: str, place: dict[tuple[object, ...], int], table: sql.Identifier
    ) -> tuple[str, list[str], np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray[tuple[int], np.dtype[np.int64]]]:
        width = len(roles.quasi)
        statement = sql.SQL("SELECT {}, {}, count(*) FROM {} GROUP BY {}")
        rows = self._rows(
            statement.format(_texts(roles.quasi), _text(name), table, _numbers(width + 1)),
        )
        tuples = np.fromiter((place[tuple(row[:width])] for row in rows), np.int64, count=len(rows))
        return name, [str(row[width]) for row in rows], tuples, _column(rows, width + 1)

    # --- 2

    def write(self, roles: Roles, published: Published, target: Target) -> None:
        with _translated():
            self._map(published)
            labels = {name: sql.Identifier("m", f"l{n}") for n, name in enumerate(roles.quasi)}
            columns = sql.SQL(", ").join(
                sql.SQL("{} AS {}").format(labels.get(name, sql.Identifier("s", name)), sql.Identifier(name))
                for name in roles.published(self.columns())
            )
            same = sql.SQL(" AND ").join(
                sql.SQL("coalesce({}::text, '') = {}").format(sql.Identifier("s", name), sql.Identifier("m", f"q{n}"))
                for n, name in enumerate(roles.quasi)
            )
            # gen_random_uuid is drawn from the system's random source; random() is of a seed.
            self._connection.execute(
                sql.SQL("CREATE TABLE {} AS SELECT {} FROM {} s JOIN {} m ON {} ORDER BY gen_random_uuid()").format(
                    _named(target.place), columns, self._table, sql.Identifier(_MAPPING), same
                )
            )

    def _map(self, published: Published) -> None:
        """The labels of each tuple; what is left out is not in it, so the join leaves it out."""
        width = len(published.labels)
        names = [f"{kind}{n}" for kind in "ql" for n in range(width)]
        declared = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(name)) for name in names)
        mapping = sql.Identifier(_MAPPING)
        self._connection.execute(sql.SQL("CREATE TEMP TABLE {} ({}) ON COMMIT DROP").format(mapping, declared))
        with self._connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(mapping)) as copy:
            for row in published.mapping():
                copy.write_row(row)
        self._connection.execute(sql.SQL("ANALYZE {}").format(mapping))

    # --- 3

    def recheck(self, roles: Roles, target: Target) -> Counted:
        with _translated():
            return self._counted(replace(roles, person=None), _named(target.place))

    def _rows(self, statement: sql.Composed) -> list[tuple[object, ...]]:
        return self._connection.execute(statement).fetchall()


def _named(table: str) -> sql.Identifier:
    return sql.Identifier(*table.split(".", 1))


def _text(column: str) -> sql.Composed:
    return sql.SQL("coalesce({}::text, '')").format(sql.Identifier(column))


def _texts(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(_text(name), sql.Identifier(f"q{n}")) for n, name in enumerate(columns)
    )


def _numbers(count: int) -> sql.Composed:
    """Columns of the result, as GROUP BY counts them."""
    return sql.SQL(", ").join(sql.Literal(n) for n in range(1, count + 1))


def _column(rows: Sequence[Sequence[object]], place: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.fromiter((int(str(row[place])) for row in rows), np.int64, count=len(rows))


@contextmanager
def _translated() -> Iterator[None]:
    """The server's own words may quote a value, so none of them is passed on."""
    try:
        yield
    except errors.DuplicateTable:
        raise Conflict("There is a table of this name already", zh="已有同名的表") from None
    except psycopg.OperationalError as error:
        raise Unavailable(f"The database failed ({type(error).__name__})", zh="数据库出错") from None
    except psycopg.Error as error:
        raise Invalid(
            f"The table cannot be read or written as it should be ({type(error).__name__})",
            zh=f"无法按要求读取或写入该表（{type(error).__name__}）",
        ) from None
