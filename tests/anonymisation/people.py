"""A table of invented people, the same for the same seed, and the hierarchies of its columns."""

from __future__ import annotations

import csv
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from privacy.anonymisation.hierarchy_specs import Spec, parse
from privacy.anonymisation.policies import Policy, SensitiveRule

QUASI: Final = ("age", "sex", "city")
POLICY: Final = Policy(k=5, suppression=0.2, sensitive=(SensitiveRule("ward", distinct_l=2),))


def specs() -> dict[str, Spec]:
    return {
        "age": parse({"intervals": [5, 10, 20]}),
        "sex": parse("flat"),
        "city": parse({"prefix": [4, 2]}),
    }


def people(rows: int = 600, seed: int = 7) -> dict[str, list[str]]:
    """`who` has one to four rows; the city is missing in some; `amount` tells every row apart."""
    made = random.Random(seed)
    columns: dict[str, list[str]] = {name: [] for name in ("age", "sex", "city", "ward", "who", "amount", "note")}
    for n in range(rows):
        row = (
            str(made.randint(18, 80)),
            made.choice("FM"),
            made.choice(("310101", "310104", "110105", "110108", "440305", "")),
            made.choice(("north", "south", "east", "west")),
            f"p{made.randint(0, rows // 2)}",
            f"{n + 0.25:.2f}",
            f"internal remark {n}",
        )
        for column, value in zip(columns.values(), row, strict=True):
            column.append(value)
    return columns


def as_csv(path: Path, columns: Mapping[str, list[str]], *, encoding: str = "utf-8", delimiter: str = ",") -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))
