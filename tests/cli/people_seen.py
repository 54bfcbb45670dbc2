"""The invented people of the demonstration, as its tests look for them."""

from __future__ import annotations

from cli.people import Person, people


def values_of(count: int) -> list[Person]:
    """Those of the demonstration's default seed."""
    return list(people(count, seed=1))
