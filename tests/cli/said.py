"""What a command said."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from typer.testing import Result

Run = Callable[..., Result]


def answer(result: Result) -> Any:
    """The value that a command with --json gave; it must have succeeded."""
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def problem(result: Result) -> Any:
    """The problem that a command with --json gave; it must have been refused."""
    assert result.exit_code == 1, result.stdout
    return json.loads(result.stderr)
