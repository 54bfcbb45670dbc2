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
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, get_args

import psycopg
from psycopg import sql
from sqlalchemy import Connection, Engine, event

from tests.postgres import Server

Kind = Literal["sqlite", "postgresql"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

# Makes every table in the empty database at a URL, and leaves no connection to it.
Migrate = Callable[[str], None]


class _Compiled(dict[Any, Any]):
    """Statements by what they are, not by the engine that asked: each test has engines of its own."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(key[1:], default)

    def __setitem__(self, key: Any, compiled: Any) -> None:
        super().__setitem__(key[1:], compiled)  # the first part is the engine's dialect, itself


@cache
def _compiled_for(driver: str) -> _Compiled:
    return _Compiled()


@event.listens_for(Engine, "engine_connect")
def _compile_once(connection: Connection) -> None:
    """A statement is compiled once in a session: that was a fifth of what tests on SQLite took."""
    connection.execution_options(compiled_cache=_compiled_for(connection.dialect.driver))


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
    fill_tables: str  # the statements that insert all the rows

    @classmethod
    def of(cls, url: str) -> Contents:
        with psycopg.connect(url, autocommit=True) as connection:
            made = [connection.execute(str(row[0]).encode()).fetchone() for row in connection.execute(_INSERTING)]
            fill_tables = ";".join(str(row[0]) for row in made if row is not None and row[0] is not None)
            return cls(connection.execute(_SCHEMA).fetchone(), fill_tables)

    def fill(self, url: str) -> bool:
        """Whether the database has the same schema, and now the same rows.

        Three round trips, whatever the number of tables: this runs before every other test.
        """
        with psycopg.connect(url, autocommit=True) as connection:
            if connection.execute(_SCHEMA).fetchone() != self.schema:
                return False
            empty = [
                sql.SQL("TRUNCATE {}" if is_grown else "DELETE FROM {}").format(sql.Identifier(table))
                for table, is_grown in connection.execute(_WITH_ROWS)
            ]
            # without triggers, which refuse to empty what is append-only; one text, and so one transaction
            statements = [sql.SQL("SET session_replication_role = replica"), *empty]
            text = ";".join(statement.as_string(connection) for statement in statements)
            connection.execute(f"{text};{self.fill_tables}".encode())
            return True


# What writes the statement that inserts the rows of a table, for each table that has any.
_INSERTING: Final = """
SELECT format('SELECT %L || string_agg(concat(''('', concat_ws('', '', %s), '')''), '', '') FROM %I',
              format('INSERT INTO %I (%s) OVERRIDING SYSTEM VALUE VALUES ', relname, string_agg(quote_ident(attname),
                     ', ' ORDER BY attnum)),
              string_agg(format('quote_nullable(%I::text)', attname), ', ' ORDER BY attnum), relname)
  FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
 WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND pg_relation_size(pg_class.oid) > 0
   AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
 GROUP BY relname ORDER BY relname
"""
# A table of which a row was ever written, since it was made or truncated; and whether it has grown.
_WITH_ROWS: Final = (
    "SELECT relname, pg_relation_size(oid) > 200000 FROM pg_class"
    " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND pg_relation_size(oid) > 0"
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
