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
from pathlib import Path
from typing import Final, Literal, get_args

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
        return self.copy(self._templates[migrate])

    def copy(self, template: str) -> str:
        """The URL of a copy of the database at a URL, to which nobody may be connected."""
        return self._copy(_name(template), f"steward_{secrets.token_hex(8)}")

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
    def _copy(self, template: str, name: str) -> str: ...

    @abstractmethod
    def _drop(self, name: str) -> None: ...


class SqliteDatabases(Databases):
    """Each in a file of its own in `folder`."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def _create(self, name: str) -> str:
        return f"sqlite:///{self._file(name)}"

    def _copy(self, template: str, name: str) -> str:
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
    """Each a database of `server`."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server

    def _create(self, name: str) -> str:
        return self._server.create_database(name)

    def _copy(self, template: str, name: str) -> str:
        return self._server.create_database(name, template)

    def _drop(self, name: str) -> None:
        self._server.drop_database(name)


def _name(url: str) -> str:
    return url.rpartition("/")[2].removesuffix(".db")
