"""Reading data keys from an event loop: the hot half of the key store, on PostgreSQL through asyncpg.

The writing half, and SQLite, whose statements take microseconds, stay as they are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from keys.errors import KeyStoreUnavailable
from keys.wrapped import WrappedKey

_SECONDS: Final = 10.0
# Else a statement that takes arrays is planned anew each time, for their length.
_SETTINGS: Final = {"plan_cache_mode": "force_generic_plan"}
_KEY: Final = "k.subject, k.scope, k.kid, k.kek, k.wrapped"


class AsyncReader:
    """`by_kid` and `current` of `keys.store.KeyStore`, for one event loop. Raises KeyStoreUnavailable."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._idle: list[Any] = []

    async def by_kid(self, kids: Collection[bytes]) -> dict[bytes, WrappedKey]:
        rows = await self._rows(f"SELECT {_KEY} FROM data_key k WHERE k.kid = ANY($1::bytea[])", list(kids))  # noqa: S608 - our own names
        return {row[2]: WrappedKey(*row) for row in rows}

    async def current(self, places: Sequence[tuple[bytes, str]]) -> dict[tuple[bytes, str], WrappedKey]:
        rows = await self._rows(
            f"SELECT {_KEY} FROM unnest($1::bytea[], $2::text[]) AS p(subject, scope) JOIN data_key k"  # noqa: S608 - our own names
            " ON k.subject = p.subject AND k.scope = p.scope AND k.retired = 0",
            [subject for subject, _ in places],
            [scope for _, scope in places],
        )
        return {(row[0], row[1]): WrappedKey(*row) for row in rows}

    def close(self) -> None:
        """End the connections; no statement is running."""
        while self._idle:
            self._idle.pop().terminate()

    async def _rows(self, statement: str, *arguments: list[Any]) -> list[Any]:
        async with self._connection() as connection:
            found: list[Any] = await connection.fetch(statement, *arguments)
            return found

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        connection = None
        try:
            connection = (
                self._idle.pop()
                if self._idle
                else await asyncpg.connect(
                    self._url, timeout=_SECONDS, command_timeout=_SECONDS, server_settings=_SETTINGS
                )
            )
            yield connection
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            if connection is not None:
                connection.terminate()
            raise KeyStoreUnavailable(f"the key store does not answer ({type(error).__name__})") from None
        self._idle.append(connection)
