"""What the README says of the command line is so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from cli.main import app

ROOT: Final = Path(__file__).resolve().parents[2]
NAMED: Final = re.compile(r"(?:^\s*|[`(])privacy ([a-z]+)(?: ([a-z]+))?[^`\n]*?(?=[`\n])", re.MULTILINE)


@cache
def commands() -> dict[tuple[str, ...], Any]:  # typer does not export the class
    """Every command by its words."""
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    found: dict[tuple[str, ...], Any] = {}
    for name, command in root.commands.items():
        found[name,] = command
        if isinstance(command, TyperGroup):
            found |= {(name, inner): one for inner, one in command.commands.items()}
    return found


def written(file: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each command that a document names, with the whole of what it writes."""
    for match in NAMED.finditer((ROOT / file).read_text()):
        words = tuple(word for word in match.groups() if word)
        is_group = isinstance(commands().get(words[:1]), TyperGroup)
        yield (words if is_group else words[:1]), match[0]


@pytest.mark.parametrize("file", ["README.md", "docs/operations.md"])
def test_every_command_and_option_that_is_named_exists(file: str) -> None:
    known = commands()
    named = list(written(file))
    assert len(named) > 10
    for words, text in named:
        assert words in known, f"{file} names `privacy {' '.join(words)}`"
        options = {option for parameter in known[words].params for option in parameter.opts}
        for option in re.findall(r"(?<= )--[a-z-]+", text.partition("#")[0]):
            assert option in options | {"--help"}, f"{file}: {text}"


def test_the_readme_names_every_command() -> None:
    named = {words for words, _ in written("README.md")}
    groups = {name for name, command in commands().items() if isinstance(command, TyperGroup)}
    assert set(commands()) - groups - named == set()


def test_every_command_explains_itself() -> None:
    for words in commands():
        shown = CliRunner().invoke(app, [*words, "--help"])
        assert shown.exit_code == 0
        assert commands()[words].help
