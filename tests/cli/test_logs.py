"""The log's one form, and what can never get into it."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from cli.logs import JsonLines
from privacy.errors import NotFound

SECRET = "13800138000"


def line(level: int = logging.INFO, message: str = "worker.ready", *arguments: object, **extra: object) -> Any:
    record = logging.LogRecord("worker", level, __file__, 1, message, arguments, sys.exc_info())
    record.__dict__.update(extra)
    return json.loads(JsonLines().format(record))


def test_a_line_has_time_level_logger_and_event() -> None:
    found = line(pid=7)
    assert found.pop("at").startswith("20")
    assert found == {"level": "info", "logger": "worker", "event": "worker.ready", "pid": 7}


def test_our_own_messages_are_told_whole() -> None:
    found = line(logging.WARNING, "%s %s: %s", "GET", "/v1/subjects/{subject_id}", "unavailable")
    assert found["event"] == "GET /v1/subjects/{subject_id}: unavailable"


def test_what_is_not_known_by_name_is_left_out() -> None:
    assert SECRET not in json.dumps(line(phone=SECRET))


def test_an_exception_is_named_by_type_code_and_place_never_by_its_text() -> None:
    try:
        raise ValueError(f"invalid literal: {SECRET}")
    except ValueError:
        found = line(logging.ERROR, "request.failed")
    assert found["exception"] == "ValueError"
    assert found["where"].startswith("tests/cli/test_logs.py:")
    assert SECRET not in json.dumps(found)
    try:
        raise NotFound
    except NotFound:
        assert line(logging.ERROR, "request.failed")["code"] == "not-found"


def test_a_librarys_message_is_left_out_and_its_place_is_told() -> None:
    record = logging.LogRecord("uvicorn.error", logging.ERROR, "/lib/uvicorn/server.py", 7, f"bad {SECRET}", (), None)
    found = json.loads(JsonLines().format(record))
    assert found["event"] == "library"
    assert found["where"] == "server:7"
    assert SECRET not in json.dumps(found)


def test_of_a_traceback_in_a_librarys_message_type_and_place_are_kept() -> None:
    text = "Traceback (most recent call last):\n"
    text += f'  File "/srv/privacy/steward.py", line 107, in start\n    x("{SECRET}")\nTypeError: no {SECRET}\n'
    record = logging.LogRecord("uvicorn.error", logging.ERROR, "/lib/uvicorn/on.py", 7, text, (), None)
    found = json.loads(JsonLines().format(record))
    assert (found["exception"], found["where"]) == ("TypeError", "/srv/privacy/steward.py:107")
    assert SECRET not in json.dumps(found)
