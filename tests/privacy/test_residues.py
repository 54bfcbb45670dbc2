"""What is left of records that were anonymised at their end: labels that enough persons share, nothing of others."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from hypothesis import example, given
from hypothesis import strategies as st

from privacy import manifest, residues
from privacy.residues import Candidate, K
from tests.privacy.kept import TEXT

TYPE: Final = manifest.parse(
    TEXT.replace(
        "topic:     {level: L2, category: pd:Communication",
        "topic:     {level: L2, category: pd:Communication, analytics: quasi, hierarchy: {prefix: [2, 1]}",
    ),
    "quasi.yaml",
).records["interaction"]
PEOPLE: Final = [UUID(int=number) for number in range(1, 13)]
TOPICS: Final = ("aaa", "aab", "abc", "baa", "bbb", "")

records = st.lists(st.tuples(st.sampled_from(PEOPLE), st.sampled_from(TOPICS)), max_size=60)


def candidates(rows: list[tuple[UUID, str]]) -> list[Candidate]:
    """The person of each stands in what is kept as it is, so that a test can count them."""
    return [Candidate(person, TYPE, "2026-01", {"channel": person.hex}, {"topic": topic}) for person, topic in rows]


@given(records)
@example([(PEOPLE[0], "aaa")] * 40)
@example([(person, "aaa") for person in PEOPLE[: K - 1]])
def test_every_class_that_is_left_had_enough_persons(rows: list[tuple[UUID, str]]) -> None:
    # Broken by hand: persons left out of the histogram and of the check; a K of 1.
    classes: dict[object, set[object]] = {}
    for left in residues.anonymised(candidates(rows)):
        classes.setdefault(left.content["topic"], set()).add(left.content["channel"])
    assert all(len(persons) >= K for persons in classes.values())


@given(records)
def test_what_is_left_of_each_covers_what_it_was(rows: list[tuple[UUID, str]]) -> None:
    were = {person.hex: set[str]() for person in PEOPLE}
    for person, topic in rows:
        were[person.hex].add(topic)
    for left in residues.anonymised(candidates(rows)):
        label = str(left.content["topic"])
        assert any(
            topic == label or (label.endswith("*") and topic.startswith(label[:-1]))
            for topic in were[str(left.content["channel"])]
        )


def test_months_do_not_make_up_a_class_together() -> None:
    each = [
        Candidate(person, TYPE, f"2026-{number + 1:02}", {}, {"topic": "aaa"}) for number, person in enumerate(PEOPLE)
    ]
    assert residues.anonymised(each) == []
