"""What the manifest says of a record type's privacy budget: `budget: {total: 1.0, analyst: 0.25, delta: 1e-6}`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from privacy.manifest.model import NANO, Budget
from privacy.manifest.notation import Draft
from privacy.manifest.placed_yaml import Entry, shown

_RHO: Final = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,9})?")
_DELTA: Final = re.compile(r"(?:0\.[0-9]{1,18}|[0-9](?:\.[0-9]{1,3})?[eE]-[0-9]{1,2})")
_MOST_RHO: Final = 100 * NANO
_MOST_DELTA: Final = Decimal("1e-5")  # a chance that the promise does not hold: far below one in the people counted
DEFAULT_DELTA: Final = Decimal("1e-6")


def read_budget(draft: Draft, entries: Mapping[str, Entry], what: str) -> Budget | None:
    """None where none is declared: then no statistics are told of the type. `analyst` is `total` unless it is said."""
    if "budget" not in entries:
        return None
    place = entries["budget"].value
    parts = draft.mapping(place, f"the budget of {what}", allowed=("total", "analyst", "delta"), required=("total",))
    total = _rho(draft, parts, "total", what)
    analyst = _rho(draft, parts, "analyst", what) if "analyst" in parts else total
    delta = _delta(draft, parts, what)
    if total is None or analyst is None or delta is None:
        return None
    if analyst > total:
        draft.report(
            parts["analyst"].value, "bad-budget", f"one analyst of {what} may spend more than all together",
            "analyst: at most the total"
        )  # fmt: skip
        return None
    return Budget(total, analyst, delta)


def _rho(draft: Draft, parts: Mapping[str, Entry], key: str, what: str) -> int | None:
    if key not in parts:
        return None
    place = parts[key].value
    text = draft.text(place, f"the {key} of the budget of {what}")
    if text is None:
        return None
    nano = int(Decimal(text) * NANO) if _RHO.fullmatch(text) else 0
    if 0 < nano <= _MOST_RHO:
        return nano
    draft.report(
        place, "bad-budget", f"the {key} of the budget of {what} is {shown(text)}",
        "a loss in rho above 0 and at most 100, with at most nine decimals, such as 1.0"
    )  # fmt: skip
    return None


def _delta(draft: Draft, parts: Mapping[str, Entry], what: str) -> Decimal | None:
    if "delta" not in parts:
        return DEFAULT_DELTA
    place = parts["delta"].value
    text = draft.text(place, f"the delta of the budget of {what}")
    if text is None:
        return None
    found = Decimal(text) if _DELTA.fullmatch(text) else Decimal(0)
    if 0 < found <= _MOST_DELTA:
        return found
    draft.report(
        place, "bad-budget", f"the delta of the budget of {what} is {shown(text)}",
        "a chance such as 1e-6, at most 1e-5"
    )  # fmt: skip
    return None
