"""Audit events as tables and as OCSF: CSV, Parquet, a JSON line each. Pages of events in, bytes out; memory is flat.

These are for reading. What is hashed, and so can be checked, is the leaf (`privacy.leaves`).
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from uuid import UUID

import msgspec

from privacy import ocsf
from privacy.audit import Event, iso
from privacy.declaration import Declared
from privacy.levels import Level
from privacy.tables import micros

COLUMNS: Final = ("position", *(part.name for part in fields(Event) if part.name != "position"))
_CHUNK: Final = 65_536  # bytes
# What a spreadsheet would take for a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_PARQUET_TYPES: Final = {"position": "BIGINT", "at": "BIGINT", "sequence": "BIGINT", "fields": "VARCHAR[]"}

Pages = Iterable[Sequence[Event]]


def as_csv(pages: Pages) -> Iterator[bytes]:
    """RFC 4180, with a header. A text that a spreadsheet would run as a formula is led by an apostrophe."""
    lines = io.StringIO()
    write = csv.writer(lines).writerow
    write(COLUMNS)
    yield _taken(lines)
    for page in pages:
        for event in page:
            cells = _cells(event) | {"at": iso(event.at), "fields": " ".join(event.fields)}
            write([_harmless(cells[name]) for name in COLUMNS])
        yield _taken(lines)


def _taken(lines: io.StringIO) -> bytes:
    text = lines.getvalue()
    lines.seek(0)
    lines.truncate()
    return text.encode()


def _harmless(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def as_ocsf(pages: Pages, declared: Declared | None) -> Iterator[bytes]:
    """A line of OCSF JSON for each event."""
    product = version("steward-privacy")
    for page in pages:
        for event in page:
            yield msgspec.json.encode(ocsf.mapped(event, product=product, level=_level(event, declared))) + b"\n"


def _level(event: Event, declared: Declared | None) -> Level | None:
    """The level of the event's fields: as it was recorded, else as the manifest in force declares them."""
    detail = event.detail or {}
    if isinstance(said := detail.get("level"), str):
        return Level.parse(said)
    record_type = None if declared is None else declared.manifest.records.get(detail.get("type", ""))
    if record_type is None:
        return None
    return max((record_type.fields[name].level for name in event.fields if name in record_type.fields), default=None)


def as_parquet(pages: Pages, home: Path) -> Iterator[bytes]:
    """One Parquet file, zstd; `at` is an instant in UTC, `detail` JSON text.

    DuckDB writes it from a file in `home`: PyArrow would be a second columnar engine of 40 MB for this alone. The
    files are the service's own to read, and gone before the first piece leaves.
    """
    import duckdb  # takes a quarter of a second to load, and most processes never need it

    with TemporaryDirectory(prefix="export-", dir=home) as folder:  # made with mode 0700
        lines, table = Path(folder, "events.ndjson"), Path(folder, "events.parquet")
        with _private(lines) as out:
            for page in pages:
                out.writelines(msgspec.json.encode(_row(event)) + b"\n" for event in page)
        _private(table).close()
        with closing(duckdb.connect(config=_SETTINGS | {"temp_directory": folder})) as connection:
            connection.execute("SET enable_progress_bar = false")  # of a session; it would be printed among our answers
            connection.execute(_copy(lines, table))
        done = table.open("rb")
    with done:
        while piece := done.read(_CHUNK):
            yield piece


_SETTINGS: Final[dict[str, Any]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "memory_limit": "256MB",
    "threads": "1",
}


def _copy(lines: Path, table: Path) -> str:
    instant = 'make_timestamp("at")::TIMESTAMPTZ AS "at"'
    columns = ", ".join(instant if name == "at" else f'"{name}"' for name in COLUMNS)
    types = ", ".join(f"'{name}': '{_PARQUET_TYPES.get(name, 'VARCHAR')}'" for name in COLUMNS)
    source = f"read_json({_quoted(lines)}, format = 'newline_delimited', columns = {{{types}}})"
    options = "(FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)"
    return f"COPY (SELECT {columns} FROM {source}) TO {_quoted(table)} {options}"  # noqa: S608 - our own names


def _private(file: Path) -> io.BufferedWriter:
    """A new file that nobody else can read."""
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _quoted(file: Path) -> str:
    return "'" + str(file).replace("'", "''") + "'"


def _row(event: Event) -> dict[str, Any]:
    return _cells(event) | {"at": micros(event.at)}


def _cells(event: Event) -> dict[str, Any]:
    """By name: ids as text, an object as JSON text."""
    cells = {name: getattr(event, name) for name in COLUMNS}
    cells["detail"] = None if event.detail is None else msgspec.json.encode(event.detail).decode()
    return {name: str(value) if isinstance(value, UUID) else value for name, value in cells.items()}
