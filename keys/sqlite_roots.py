"""Whose key store this is, and its root secrets, on SQLite."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence

from keys.errors import KeysError, KeyStoreNotReady, Overtaken
from keys.sqlite_file import SqliteFile
from keys.wrapped import Ownership, RootSecret, State, Tombstone

_SELECT = "SELECT kind, version, wrapped, public, state, retired_at FROM root_secret"
_NEXT_SLOT = "INSERT INTO slot (subject, wrapped) VALUES (x'', ?)"
_ZERO_AT = "UPDATE slot SET wrapped = zeroblob(length(wrapped)) WHERE slot ="
_CHANGED = "UPDATE keystore SET revision = revision + 1"


class SqliteRoots:
    """The half of the engine that knows no data key."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def migrate(self) -> None:
        from keys.migrations import upgrade

        upgrade("sqlite", self._file.connect)
        self._file.rewrite_what_was_freed()

    def revision(self) -> str | None:
        with self._file.translated():
            connection = self._file.connection()
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'keystore_version'").fetchone():
                return None
            row = connection.execute("SELECT version_num FROM keystore_version").fetchone()
            return str(row[0]) if row else None

    def ownership(self) -> Ownership | None:
        with self._file.translated():
            row = (
                self._file.connection()
                .execute("SELECT deployment, min_encryption_version, revision FROM keystore")
                .fetchone()
            )
            return Ownership(*row) if row else None

    def claim(self, deployment: bytes, secrets: Sequence[RootSecret]) -> bool:
        with self._file.writing() as connection:
            if connection.execute("SELECT 1 FROM keystore").fetchone():
                return False
            connection.execute("INSERT INTO keystore VALUES (1, ?, 1, ?, 0, 0)", (deployment, int(time.time())))
            for secret in secrets:
                _insert(connection, secret)
        return True

    def root_secrets(self) -> list[RootSecret]:
        with self._file.translated():
            return [
                RootSecret(kind, version, wrapped, public, State(state), retired_at)
                for kind, version, wrapped, public, state, retired_at in self._file.connection().execute(_SELECT)
            ]

    def add_root_secret(self, secret: RootSecret, revision: int | None) -> None:
        with self._file.writing() as connection:
            _require(connection, revision)
            connection.execute(
                "UPDATE root_secret_row SET state = 'retired', retired_at = ?"
                " WHERE kind = ? AND version < ? AND state = 'active'",
                (int(time.time()), secret.kind, secret.version),
            )
            _insert(connection, secret)
            connection.execute(_CHANGED)

    def set_public(self, kind: str, version: int, public: bytes) -> None:
        with self._file.writing() as connection:
            connection.execute(
                "UPDATE root_secret_row SET public = ? WHERE kind = ? AND version = ?", (public, kind, version)
            )

    def rewrap_root_secrets(self, pairs: Sequence[tuple[RootSecret, bytes]], revision: int) -> None:
        with self._file.writing() as connection:
            _require(connection, revision)
            for old, wrapped in pairs:
                # Another holder of the root key may give a wrap of another length, for which the row had to move.
                new_slot = connection.execute(_NEXT_SLOT, (wrapped,)).lastrowid
                place = (old.kind, old.version)
                connection.execute(
                    f"{_ZERO_AT} (SELECT slot FROM root_secret_row WHERE kind = ? AND version = ?)",  # noqa: S608 - our own names
                    place,
                )
                connection.execute(
                    "UPDATE root_secret_row SET slot = ? WHERE kind = ? AND version = ?", (new_slot, *place)
                )
            if pairs:
                connection.execute(_CHANGED)
        self._file.cut_log()

    def destroy_root_secret(self, kind: str, version: int) -> bool:
        with self._file.writing() as connection:
            row = connection.execute(
                "SELECT slot, public, state FROM root_secret_row WHERE kind = ? AND version = ?", (kind, version)
            ).fetchone()
            if row is not None:
                slot, public, state = row
                _refuse_in_use(connection, kind, version, state)
                connection.execute("DELETE FROM root_secret_row WHERE kind = ? AND version = ?", (kind, version))
                connection.execute(f"{_ZERO_AT} ?", (slot,))
                connection.execute(
                    "INSERT INTO root_secret_tombstone (kind, version, public, destroyed_at) VALUES (?, ?, ?, ?)",
                    (kind, version, public, int(time.time())),
                )
                connection.execute(_CHANGED)
        self._file.cut_log()
        return row is not None

    def root_tombstones(self) -> list[Tombstone]:
        with self._file.translated():
            rows = self._file.connection().execute(
                "SELECT kind, version, public, destroyed_at FROM root_secret_tombstone"
            )
            return [Tombstone(*row) for row in rows]

    def raise_minimum(self, version: int) -> None:
        with self._file.writing() as connection:
            connection.execute(
                "UPDATE keystore SET min_encryption_version = max(min_encryption_version, ?)", (version,)
            )

    def begin_era(self) -> int:
        with self._file.writing() as connection:
            found = connection.execute("UPDATE keystore SET era = era + 1 RETURNING era").fetchone()
            if found is None:
                raise KeyStoreNotReady("the key store belongs to no deployment yet; initialise it")
            return int(found[0])

    def close(self) -> None:
        self._file.close()


def _insert(connection: sqlite3.Connection, secret: RootSecret) -> None:
    slot = connection.execute(_NEXT_SLOT, (secret.wrapped,)).lastrowid
    connection.execute(
        "INSERT INTO root_secret_row (kind, version, slot, created_at, public, state, retired_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            secret.kind,
            secret.version,
            slot,
            int(time.time()),
            secret.public,
            secret.state,
            secret.retired_at,
        ),
    )


def _require(connection: sqlite3.Connection, revision: int | None) -> None:
    found = connection.execute("SELECT revision FROM keystore").fetchone()
    if revision is not None and (found is None or found[0] != revision):
        raise Overtaken


def _refuse_in_use(connection: sqlite3.Connection, kind: str, version: int, state: str) -> None:
    if state != State.RETIRED:
        raise KeysError(f"{kind} {version} is active; a newer version comes first")
    if kind == "kek":
        query = (
            "SELECT 1 FROM keystore WHERE min_encryption_version <= ?1 UNION SELECT 1 FROM data_key_row WHERE kek = ?1"
        )
        if connection.execute(query, (version,)).fetchone():
            raise KeysError(f"{kind} {version} wraps data keys, or still may; raise the minimum and rewrap them first")
