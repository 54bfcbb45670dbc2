"""Detection beside its rivals: `python -m bench detection PART`, each with options of its own (`PART --help`)."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from typing import Final

# What each measures. Each is imported when it is asked for: the rivals take seconds to load.
PARTS: Final = {
    "identifiers": "identifiers in Chinese and English text, near misses, and the cost of a long document",
    "chinese": "names and addresses in Chinese text, and the decoder of the model",
    "english": "everything in English text, of a dataset that is named",
    "columns": "what the columns of a table are",
    "workers": "two worker processes beside one analyser: texts a second, time to be ready, memory",
}


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench detection", description="Detection beside its rivals.")
    parser.add_argument("part", choices=PARTS, help="; ".join(f"{name}: {what}" for name, what in PARTS.items()))
    given, rest = parser.parse_known_args(arguments[:1])
    found: int = importlib.import_module(f"bench.detection.{given.part}").main([*rest, *arguments[1:]])
    return found
