"""The key store's schema, by Alembic, run by `keys.store.KeyStore.create`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from keys.errors import KeyStoreUnavailable

VERSION_TABLE: Final = "keystore_version"

# `alembic.context` is one per process, whatever the thread.
_ALEMBIC_IS_GLOBAL = threading.Lock()


def upgrade(dialect: str, connect: Callable[[], Any]) -> None:
    """Bring the database to the newest revision, wholly or not at all; nothing when it is there already.

    Raises KeyStoreUnavailable. Several may run at once: one migrates, the others wait and find it done.
    """
    config = _config()
    engine = create_engine(f"{dialect}://", creator=connect, poolclass=NullPool)
    try:
        with _ALEMBIC_IS_GLOBAL, engine.connect() as connection:
            if dialect == "sqlite":
                # The connection is in autocommit: begin by hand, and as a writer at once.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
    except DBAPIError as error:
        raise KeyStoreUnavailable(f"the key store cannot be migrated ({type(error.orig).__name__})") from error
    finally:
        engine.dispose()


def head() -> str | None:
    """The newest revision."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
