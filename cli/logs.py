"""The log: one JSON object a line on standard error, and nothing personal in it.

A line has the event's name, level, time and logger, what `extra` gives under a name listed here, and of an
exception its type, code and place. The text of an exception is never written: a driver's or a parser's may
quote a person's value. For the same reason a library's messages are left out, which may be anything: its
line says where in the library it comes from.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import Final

from cli.terminal import place
from privacy.errors import PrivacyError

# Loggers whose messages and arguments are ours: declared names, routes, codes, types, never a value.
_OURS: Final = frozenset({"api", "cli", "jobs", "keys", "privacy", "process", "serve", "worker"})
# Ids, declared names and numbers. A new name is added here on purpose, not by accident.
_EXTRA: Final = (
    "code", "detail", "duration_ms", "host", "method", "pid", "port", "request_id", "route", "signal", "status",
    "workers",
)  # fmt: skip
_TRACEBACK: Final = "Traceback (most recent call last)"
_FRAME: Final = re.compile(r'File "([^"]+)", line ([0-9]+)')
_TYPE: Final = re.compile(r"^([A-Za-z_][\w.]*)(?=:|$)", re.MULTILINE)


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        if record.name.partition(".")[0] in _OURS:
            line["event"] = record.getMessage()
            line |= {name: getattr(record, name) for name in _EXTRA if hasattr(record, name)}
        else:
            line |= {"event": "library", "where": f"{record.module}:{record.lineno}"}
            line |= _of_traceback(record.msg if isinstance(record.msg, str) else "")
        if record.exc_info is not None and record.exc_info[1] is not None:
            error = record.exc_info[1]
            line |= {"exception": type(error).__name__, "where": place(error)}
            if isinstance(error, PrivacyError):
                line["code"] = error.code
        return json.dumps(line, ensure_ascii=False, default=lambda value: type(value).__name__)


def _of_traceback(message: str) -> dict[str, object]:
    """Type and place out of a traceback that a library logs as its message: so does uvicorn at start-up."""
    frames, types = _FRAME.findall(message), _TYPE.findall(message.partition(_TRACEBACK)[2])
    if not frames or not types:
        return {}
    return {"exception": types[-1], "where": ":".join(frames[-1])}


def to_stderr(level: str) -> None:
    """Send every logger of this process to standard error, from `level` on, and its last exception too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # What these say at lower levels is theirs to know: requests, statements, their own start.
    for name in ("httpx", "httpcore", "sqlalchemy", "alembic", "uvicorn", "uvicorn.error", "asyncio"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
    logging.captureWarnings(capture=True)
    sys.excepthook = _unhandled
    threading.excepthook = lambda left: _unhandled(left.exc_type, left.exc_value, left.exc_traceback)


def _unhandled(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """What would have been a traceback with the exception's text in it."""
    logging.getLogger("process").critical("process.failed", exc_info=error)
