"""What `privacy serve --demo` does around the service: an example deployment before, sample data beside.

Each step is a command of ours in a process of its own, so that the process that serves opens no database.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import typer

from cli.terminal import say
from privacy.errors import NotFound
from privacy.settings import Settings

_EXAMPLE: Final = Path(__file__).resolve().parent.parent / "examples" / "operations" / "manifest.yaml"
_PRIVACY: Final = (sys.executable, "-m", "cli.main")


def set_up(settings: Settings) -> None:
    """Make the deployment unless there is one, and the demonstration's principals unless they work.

    Raises `NotFound` when the example is not installed; ends with status 1 when a step fails, which has
    then said why.
    """
    if not settings.home.exists() or not any(settings.home.iterdir()):
        if not _EXAMPLE.is_file():
            raise NotFound("The example manifest is part of a checkout: run `privacy init --manifest FILE` instead")
        say(f"Setting up {settings.home} with {_EXAMPLE.relative_to(_EXAMPLE.parents[2])}")
        _run("init", "--manifest", str(_EXAMPLE))
    _run("demo", "--prepare")


def command(settings: Settings, subjects: int) -> tuple[str, ...]:
    """What fills the running service with sample data, if it is not there, and says what to try."""
    keys = str(settings.home / "demo.json")
    return (*_PRIVACY, "demo", "--first-run", "--subjects", str(subjects), "--keys", keys)


def _run(*arguments: str) -> None:
    status = subprocess.run((*_PRIVACY, *arguments), stdin=subprocess.DEVNULL, check=False).returncode  # noqa: S603 - our own program
    if status:
        raise typer.Exit(1)
