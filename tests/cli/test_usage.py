"""Wrong usage ends with status 2, before any deployment is looked for."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from cli.main import app

WRONG = (
    ("crown",),
    ("init",),
    ("principal", "add"),
    ("principal", "add", "desk", "--role", "king"),
    ("principal", "rotate", "desk", "--grace", "soon"),
    ("audit", "events", "--since", "yesterday"),
    ("audit", "events", "--limit", "0"),
    ("audit", "events", "--subject", "wang"),
    ("manifest", "check"),
    ("subject", "search", "--type", "member", "--field", "phone", "13800138000"),
    ("demo", "--subjects", "0"),
    ("backup", "create"),
    ("backup", "drill", "folder"),
)


@pytest.mark.parametrize("arguments", WRONG, ids=[str(number) for number in range(len(WRONG))])
def test_wrong_usage_ends_with_status_2(arguments: tuple[str, ...]) -> None:
    used = CliRunner().invoke(app, arguments)
    assert used.exit_code == 2
    assert used.stdout == ""
