"""A sample of the rows of tables, read and never written: `sqlite:///file.db?table=name`, PostgreSQL likewise.

Without `table` every table is read. Whoever runs it should not put a password into the URL, where other processes of
the machine see it: libpq reads PGPASSFILE and PGPASSWORD. Nothing of the URL but the table's name is ever repeated.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    column,
    create_engine,
    func,
    inspect,
    literal_column,
    make_url,
    select,
    table,
    text,
)
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from privacy.detection.columns_sources import DEFAULT_SAMPLE, Progress, Sample, as_cells, reservoir
from privacy.errors import Invalid, NotFound, Unavailable

SCHEMES: Final = ("sqlite://", "postgresql://", "postgres://")
_FETCHED: Final = 2000  # rows at a time
_STREAMED: Final = 1_000_000  # rows that are read through; of more PostgreSQL picks pages
_PICKED: Final = 200_000


def is_database(source: str) -> bool:
    """Whether what the caller names is a database and not a file."""
    return source.lower().startswith(SCHEMES)


def sampled(
    source: str, size: int = DEFAULT_SAMPLE, seed: int = 1, progress: Progress = lambda share: None
) -> Iterator[Sample]:
    """A sample of the table that the URL names, or of each table there is.

    In a transaction that cannot write. Raises `Invalid`, `NotFound`, `Unavailable`; none repeats the URL.
    """
    url, wanted = _parts(source)
    try:
        with _reading(url) as connection:
            names = _tables(connection, wanted)
            for done, (schema, name) in enumerate(names):
                yield _sample(connection, schema, name, size, seed, lambda share: progress((done + share) / len(names)))  # noqa: B023 - called before the next turn
    except SQLAlchemyError as error:  # whose text holds the statement, and may hold values or the URL
        raise Unavailable(f"The database cannot be read ({type(error).__name__})") from None


def _parts(source: str) -> tuple[URL, str | None]:
    try:
        url = make_url(source)
    except (ArgumentError, ValueError):
        raise Invalid("A database is named like sqlite:///file.db?table=members") from None
    wanted = url.query.get("table")
    if wanted is not None and not isinstance(wanted, str):
        raise Invalid("One table at a time: ?table=members, or none for all")
    url = url.difference_update_query(["table"])
    if url.get_backend_name() in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg"), wanted
    return url, wanted


@contextmanager
def _reading(url: URL) -> Iterator[Connection]:
    engine = _engine(url)
    try:
        with engine.connect() as connection:
            yield connection
            connection.rollback()
    finally:
        engine.dispose()


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        file = Path(url.database or "")
        if not url.database or not file.is_file():
            raise NotFound("There is no such SQLite file")
        # `mode=ro`: a file that is not there is not made, and nothing in it is changed.
        return create_engine(f"sqlite:///file:{_quoted(file)}?mode=ro&uri=true", poolclass=NullPool)
    if url.get_backend_name() == "postgresql":
        options = {"options": "-c default_transaction_read_only=on -c lock_timeout=5000"}
        return create_engine(url, poolclass=NullPool, connect_args=options)
    raise Invalid("A database is SQLite or PostgreSQL")


def _quoted(file: Path) -> str:
    return quote(str(file.resolve()))


def _tables(connection: Connection, wanted: str | None) -> list[tuple[str | None, str]]:
    """(schema, name) of what is read. A wanted name may bear its schema before a dot."""
    found = inspect(connection)
    if wanted is None:
        names: list[tuple[str | None, str]] = [(None, name) for name in sorted(found.get_table_names())]
        if not names:
            raise NotFound("The database has no table")
        return names
    schema, dot, name = wanted.rpartition(".")
    for candidate in ((None, wanted), (schema, name) if dot else (None, wanted)):
        if found.has_table(candidate[1], schema=candidate[0]) or candidate[1] in found.get_view_names(candidate[0]):
            return [candidate]
    raise NotFound(f"There is no table {wanted!r} in the database")


def _sample(connection: Connection, schema: str | None, name: str, size: int, seed: int, progress: Progress) -> Sample:
    columns = [str(one["name"]) for one in inspect(connection).get_columns(name, schema=schema)]
    source = table(name, *(column(one) for one in columns), schema=schema)
    statement: Any = select(*(source.c[one] for one in columns))
    expected = _expected(connection, schema, name)
    if expected > _STREAMED:
        pages = source.tablesample(
            func.system(literal_column(f"{min(100.0, 100 * _PICKED / expected):.6f}")), seed=literal_column(f"{seed:d}")
        )
        statement = select(*(pages.c[one] for one in columns))
    read = 0

    def rows() -> Iterator[Any]:
        nonlocal read
        with connection.execution_options(stream_results=True, yield_per=_FETCHED).execute(statement) as result:
            for some in result.partitions(_FETCHED):
                read += len(some)
                yield from some

    def look() -> None:
        progress(min(1.0, read / expected) if expected else 0.5)

    kept, total = reservoir(rows(), size, random.Random(seed), look)  # noqa: S311 - a sample, no secret
    return Sample(
        name, tuple(columns), as_cells(kept, len(columns)), max(total, expected if expected > _STREAMED else 0)
    )


def _expected(connection: Connection, schema: str | None, name: str) -> int:
    """About how many rows there are, without counting them; 0 when nobody knows."""
    if connection.dialect.name == "sqlite":
        return int(connection.execute(select(text("count(*)")).select_from(table(name))).scalar_one())
    quoted = ".".join('"' + part.replace('"', '""') + '"' for part in (schema, name) if part)
    known = connection.execute(text("SELECT reltuples FROM pg_class WHERE oid = to_regclass(:name)"), {"name": quoted})
    return max(0, int(known.scalar() or 0))
