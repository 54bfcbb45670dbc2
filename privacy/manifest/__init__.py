"""The declared truth: which personal data the organisation holds, why, how long, and who receives it.

One YAML text (`docs/manifest.md`) becomes one frozen `Manifest`. What is not declared is refused elsewhere;
here, what is declared badly is refused. Pure: no database, no clock, no settings.
"""

from privacy.manifest.changes import Change, Demand, compare, demands
from privacy.manifest.model import (
    REDACTED,
    AtEnd,
    Basis,
    Controller,
    Field,
    Grounds,
    KeepFrom,
    KeepFromKind,
    Manifest,
    Method,
    OnFind,
    OptOut,
    Purpose,
    Recipient,
    RecipientKind,
    RecordType,
    Statutory,
    Text,
    ValueType,
)
from privacy.manifest.placed_yaml import Problem
from privacy.manifest.reading import parse
from privacy.manifest.writing import dump

__all__ = [
    "REDACTED", "AtEnd", "Basis", "Change", "Controller", "Demand", "Field", "Grounds", "KeepFrom", "KeepFromKind",
    "Manifest", "Method", "OnFind", "OptOut", "Problem", "Purpose", "Recipient", "RecipientKind", "RecordType",
    "Statutory", "Text", "ValueType", "compare", "demands", "dump", "parse",
]  # fmt: skip
