"""Databases for tests: new empty ones, and copies of one that was migrated once, of each kind we support.

Migrating takes longer than most tests; copying what a migration made takes milliseconds.
"""

from __future__ import annotations

import secrets
import shutil
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

import psycopg
from psycopg import sql

from tests.postgres import Server

Kind = Literal["sqlite", "postgresql"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

# Makes every table in the empty database at a URL, and leaves no connection to it.
Migrate = Callable[[str], None]


class Databases(ABC):
    """Makes and removes databases of one kind. A template is migrated once, then copied."""

    def __init__(self) -> None:
        self._templates: dict[Migrate, str] = {}  # their URLs

    def empty(self) -> str:
        """The URL of a new database without a table."""
        return self._create(f"steward_{secrets.token_hex(8)}")

    def migrated(self, migrate: Migrate) -> str:
        """The URL of a new database as `migrate`, the same function each time, left its template."""
        if migrate not in self._templates:
            url = self.empty()
            migrate(url)
            self._templates[migrate] = url
        return self.copy(self._templates[migrate], is_final=True)

    def copy(self, template: str, *, is_final: bool = False) -> str:
        """The URL of a copy of the database at a URL, to which nobody may be connected.

        `is_final`: the database at the URL changes no more, and no database is ever made at it again.
        """
        return self._copy(_name(template), f"steward_{secrets.token_hex(8)}", is_final=is_final)

    def remove_templates(self) -> None:
        for url in self._templates.values():
            self.remove(url)
        self._templates.clear()

    def remove(self, url: str) -> None:
        """Ends whatever is still connected to it."""
        self._drop(_name(url))

    @abstractmethod
    def _create(self, name: str) -> str: ...

    @abstractmethod
    def _copy(self, template: str, name: str, *, is_final: bool = False) -> str: ...

    @abstractmethod
    def _drop(self, name: str) -> None: ...


class SqliteDatabases(Databases):
    """Each in a file of its own in `folder`."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def _create(self, name: str) -> str:
        return f"sqlite:///{self._file(name)}"

    def _copy(self, template: str, name: str, *, is_final: bool = False) -> str:
        source = self._file(template)
        with closing(sqlite3.connect(source)) as connection:
            # The copy takes the file only, so the log must be in it. Busy: a connection was left open.
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert not busy, "the migration left a connection to its database"
        shutil.copyfile(source, self._file(name))
        return f"sqlite:///{self._file(name)}"

    def _drop(self, name: str) -> None:
        # The write-ahead log, its index and any lock file stand beside the database under its name.
        for file in self._folder.glob(f"{name}.db*"):
            file.unlink()

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.db"


class PostgresDatabases(Databases):
    """Each a database of `server`.

    A copy of a template that is removed is the next copy: emptied and filled, which takes a tenth of making one;
    unless a test has changed its schema.
    """

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server
        self._contents: dict[str, Contents] = {}  # by template
        self._template_of: dict[str, str] = {}
        self._free: dict[str, list[str]] = {}

    def remove_templates(self) -> None:
        for name in [name for names in self._free.values() for name in names]:
            self._server.drop_database(name)
        self._free.clear()
        super().remove_templates()

    def _create(self, name: str) -> str:
        return self._server.create_database(name)

    def _copy(self, template: str, name: str, *, is_final: bool = False) -> str:
        name = self._used_again(template) or self._made(template, name)
        if is_final:
            if template not in self._contents:
                self._contents[template] = Contents.of(self._server.url_of(name))
            self._template_of[name] = template
        return self._server.url_of(name)

    def _drop(self, name: str) -> None:
        template = self._template_of.pop(name, None)
        if template is None:
            self._server.drop_database(name)
        else:
            self._server.end_connections(name)
            self._free.setdefault(template, []).append(name)

    def _used_again(self, template: str) -> str | None:
        while self._free.get(template):
            name = self._free[template].pop()
            if self._contents[template].fill(self._server.url_of(name)):
                return name
            self._server.drop_database(name)
        return None

    def _made(self, template: str, name: str) -> str:
        self._server.create_database(name, template)
        return name


@dataclass(frozen=True, slots=True)
class Contents:
    """The rows of a database and what its schema is, to make another the same."""

    schema: object
    tables: tuple[str, ...]
    rows: dict[str, bytes]  # by table, as COPY writes them; of those that have any

    @classmethod
    def of(cls, url: str) -> Contents:
        with psycopg.connect(url, autocommit=True) as connection:
            tables = tuple(str(row[0]) for row in connection.execute(_TABLES))
            rows = {}
            for table in tables:
                with connection.cursor().copy(sql.SQL("COPY {} TO STDOUT BINARY").format(sql.Identifier(table))) as out:
                    content = b"".join(bytes(part) for part in out)
                if len(content) > _EMPTY_BYTES:
                    rows[table] = content
            return cls(connection.execute(_SCHEMA).fetchone(), tables, rows)

    def fill(self, url: str) -> bool:
        """Whether the database has the same schema, and now the same rows."""
        with psycopg.connect(url) as connection:
            if connection.execute(_SCHEMA).fetchone() != self.schema:
                return False
            # without triggers, which refuse to empty what is append-only
            connection.execute("SET session_replication_role = replica")
            grown = {row[0] for row in connection.execute(_GROWN)}
            for table in self.tables:
                empty = sql.SQL("TRUNCATE {}" if table in grown else "DELETE FROM {}")
                connection.execute(empty.format(sql.Identifier(table)))
            for table, content in self.rows.items():
                filling = sql.SQL("COPY {} FROM STDIN BINARY").format(sql.Identifier(table))
                with connection.cursor().copy(filling) as into:
                    into.write(content)
            return True


_EMPTY_BYTES: Final = 21  # header and trailer
_TABLES: Final = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1"
_GROWN: Final = (
    "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    " AND pg_relation_size(oid) > 200000"
)
_SCHEMA: Final = """
SELECT (SELECT md5(string_agg(concat_ws(' ', relname, relkind, relacl, relrowsecurity, reloptions), ';' ORDER BY oid))
          FROM pg_class WHERE relnamespace = 'public'::regnamespace),
       (SELECT md5(string_agg(concat_ws(' ', attrelid, attname, atttypid, attnotnull, attacl), ';'
                              ORDER BY attrelid, attnum))
          FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid WHERE relnamespace = 'public'::regnamespace),
       (SELECT md5(string_agg(concat_ws(' ', tgrelid, tgname, tgenabled, tgfoid), ';' ORDER BY oid)) FROM pg_trigger),
       (SELECT md5(string_agg(concat_ws(' ', conrelid, conname, convalidated), ';' ORDER BY oid))
          FROM pg_constraint WHERE connamespace = 'public'::regnamespace),
       (SELECT md5(string_agg(proname || prosrc, ';' ORDER BY oid))
          FROM pg_proc WHERE pronamespace = 'public'::regnamespace),
       (SELECT count(*) FROM pg_namespace),
       (SELECT count(*) FROM pg_db_role_setting JOIN pg_database ON pg_database.oid = setdatabase
         WHERE datname = current_database())
"""


def _name(url: str) -> str:
    return url.rpartition("/")[2].removesuffix(".db")
