"""Looking into the databases past the service: rows as they stand, and bytes as they lie on the disk."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import psycopg
from sqlalchemy import Table, func, make_url, select, text

from privacy.sequencer import Sequencer
from privacy.tables import metadata
from tests.postgres import Server
from tests.world import World

_SHORT_ZEROS: Final = 64
_ZEROS: Final = bytes(_SHORT_ZEROS)
_LONG_ZEROS: Final = re.compile(rb"\0{%d,}" % _SHORT_ZEROS)
_LEAST: Final = 6  # bytes; what is shorter turns up by accident


def rows(world: World, table: Table) -> list[Mapping[str, Any]]:
    """Every row of a table of the data database, in the order of its primary key."""
    statement = select(table).order_by(*table.primary_key.columns)
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        return [dict(row._mapping) for row in transaction.execute(statement)]


def snapshot(
    world: World, whole: Iterable[Table], counted: Iterable[Table]
) -> tuple[dict[str, list[Mapping[str, Any]]], dict[str, int]]:
    """The rows of some tables and the numbers of rows of others, in one transaction, by table name."""
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        found: dict[str, list[Mapping[str, Any]]] = {
            table.name: [dict(row._mapping) for row in transaction.execute(select(table))] for table in whole
        }
        count = select(func.count())
        numbers = {table.name: transaction.execute(count.select_from(table)).scalar_one() for table in counted}
    return found, numbers


_SEQUENCED = {"audit_checkpoints", "audit_pending", "audit_positions", "audit_tiles", "audit_writers"}


def counts(world: World) -> dict[str, int]:
    """How many rows each table holds, but for what the sequencer moves by itself."""
    kept = [table for table in metadata.sorted_tables if table.name not in _SEQUENCED]
    return snapshot(world, (), kept)[1]


def run(world: World, *statements: str) -> None:
    """Change the data database past the service."""
    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        for statement in statements:
            transaction.execute(text(statement))


def sqlite_files(url: str) -> list[Path]:
    """The database file and what stands beside it: log, its index, the lock file."""
    file = Path(url.removeprefix("sqlite:///"))
    return sorted(file.parent.glob(f"{file.name}*"))


def data_files(url: str, server: Server | None) -> list[Path]:
    """The files that hold this one database; on PostgreSQL after a checkpoint, without the log it shares."""
    if url.startswith("sqlite"):
        return sqlite_files(url)
    oid = _asked(url, "SELECT oid FROM pg_database WHERE datname = current_database()")[0][0]
    assert server is not None
    assert server.data_dir is not None, "these tests read the server's files, so it must be one of ours"
    return _files(server.data_dir / "base" / str(oid))


def all_files(urls: Iterable[str], server: Server | None) -> list[Path]:
    """Every file in which a value could lie: of SQLite all of each database, of PostgreSQL its whole folder."""
    found: list[Path] = []
    for url in urls:
        if url.startswith("sqlite"):
            found += sqlite_files(url)
        else:
            _asked(url, "SELECT pg_switch_wal()")
            assert server is not None
            assert server.data_dir is not None, "these tests read the server's files, so it must be one of ours"
            found += _files(server.data_dir) if not found else []
            found += sorted(server.data_dir.parent.glob("*.log"))
    return found


def _asked(url: str, question: str) -> list[tuple[Any, ...]]:
    """The answer of PostgreSQL, after everything it holds is in its files."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        return connection.execute(question.encode()).fetchall()


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def needles(values: Iterable[str]) -> dict[bytes, str]:
    """Each way in which a text may lie in a file: UTF-8 and UTF-16, escaped JSON, hex, base64 at any offset."""
    found: dict[bytes, str] = {}
    for value in values:
        plain = value.encode()
        forms = {
            "utf-8": plain,
            "utf-16-le": value.encode("utf-16-le"),
            "utf-16-be": value.encode("utf-16-be"),
            "json": json.dumps(value)[1:-1].encode(),
            "json upper": json.dumps(value)[1:-1].upper().replace("\\U", "\\u").encode(),
        }
        forms |= {f"{name} in hex": form.hex().encode() for name, form in forms.items() if name.startswith("utf")}
        forms |= {f"{name} upper": form.upper() for name, form in forms.items() if name.endswith("in hex")}
        for name, form in list(forms.items()):
            if name.startswith("utf") and "hex" not in name:
                forms |= {f"{name} in base64 at {n}": _base64_inside(form, n) for n in range(3)}
        for name, form in forms.items():
            assert len(form) >= _LEAST, f"{name} of a marker is too short to look for"
            found.setdefault(form, name)
    return found


def _base64_inside(plain: bytes, offset: int) -> bytes:
    """The characters of the base64 of anything with `plain` at this offset that `plain` alone decides."""
    encoded = base64.b64encode(b"\0" * offset + plain)
    first = {0: 0, 1: 2, 2: 3}[offset]
    whole = (offset + len(plain)) // 3 * 4
    return encoded[first:whole]


def found_in(files: Iterable[Path], wanted: Mapping[bytes, str]) -> list[str]:
    """Which file holds which form of something wanted. Says the form, never the value.

    Looking is what takes long, so what cannot change the answer is looked at once: of files with the same content
    (the catalogues of all databases of a server) the first, and of a long row of zeros (what PostgreSQL has reserved
    for its log) as much as no form could span.
    """
    assert not any(_ZEROS in form for form in wanted)
    found: list[str] = []
    seen: set[bytes] = set()
    for file, held in _contents(files):
        digest = sha256(held).digest()
        if digest not in seen:
            seen.add(digest)
            dense = _LONG_ZEROS.sub(_ZEROS, held)
            found += [f"{file.name}: {name}" for form, name in wanted.items() if form in dense]
    return found


def _contents(files: Iterable[Path]) -> Iterator[tuple[Path, bytes]]:
    for file in files:
        try:
            yield file, file.read_bytes()
        except FileNotFoundError:  # PostgreSQL recycles its log while we look
            continue


def fill_what_grows(world: World) -> None:
    """A row at least in each table that only grows."""
    subject = world.subject()
    world.consent(subject)
    world.restrict(subject)
    Sequencer(world.service).catch_up()
    run(world, "INSERT INTO audit_archives VALUES (1000000000, 1000000001, 1, 'nobody', 'nothing')")
    run(world, "INSERT INTO erasure_ledger SELECT 1000000000, 1, root, 1 FROM audit_checkpoints")
    run(world, "INSERT INTO life_events SELECT event_id, event_id, 'left', 1, 1, 'nobody' FROM audit_positions")
