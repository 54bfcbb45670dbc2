"""Runs `tests.invariants.dying` on a world's databases."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from tests.server import ROOT
from tests.world import World


def dying(world: World, told: Sequence[dict[str, Any]]) -> list[Any]:
    """What became of each process that was told to die, and of the one that came after it."""
    settings = world.service.settings
    urls = (str(settings.home), settings.database_url, settings.keystore_url)
    run = subprocess.run(
        [sys.executable, "-m", "tests.invariants.dying", *urls],
        input="\n".join(map(json.dumps, told)),
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]
