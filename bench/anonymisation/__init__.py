"""Anonymisation beside others: `python -m bench anonymisation PART`, each with options of its own (`PART --help`)."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from typing import Final

# What each measures. Each is imported when it is asked for: the rivals take seconds to load.
PARTS: Final = {
    "adult": "loss and time by k, suppression and recoding, beside anjana, on Adult or a set in the same form",
    "checker": "the second opinion on k, l and t, beside pycanon",
    "large": "a million rows from CSV to CSV, and ten million from Parquet to Parquet, beside the bare group-by",
}


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench anonymisation", description="Anonymisation beside others.")
    parser.add_argument("part", choices=PARTS, help="; ".join(f"{name}: {what}" for name, what in PARTS.items()))
    given, rest = parser.parse_known_args(arguments[:1])
    found: int = importlib.import_module(f"bench.anonymisation.{given.part}").main([*rest, *arguments[1:]])
    return found
