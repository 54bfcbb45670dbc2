"""The invented people, and the walls around the components that know them."""

from __future__ import annotations

import ast
from datetime import UTC, datetime
from pathlib import Path

import cli.sample
from cli.people import CHILD, GUARDIAN, IDENTITY, MARKETING, decisions, people, talks, withdraws
from privacy.ages import age_on
from privacy.normalise import normalise


def test_a_seed_invents_the_same_people_again() -> None:
    assert list(people(50, seed=7)) == list(people(50, seed=7))
    assert list(people(50, seed=7)) != list(people(50, seed=8))


def test_more_people_begin_with_the_same_people() -> None:
    assert list(people(60, seed=1))[:20] == list(people(20, seed=1))


def test_half_are_chinese_and_half_british() -> None:
    found = list(people(100, seed=1))
    assert [person.jurisdiction for person in found].count("CN") == 50


def test_their_values_are_what_the_service_can_look_up() -> None:
    found = list(people(1000, seed=1))
    assert len({normalise("phone", person.phone) for person in found}) == 1000
    assert len({normalise("email", person.email) for person in found}) == 1000
    for person in found:
        assert person.email.rpartition("@")[2] in {"example.com", "example.org"}


def test_some_say_something_and_some_complain() -> None:
    said = [talk for person in people(200, seed=1) for talk in talks(person, 1)]
    assert {talk.is_complaint for talk in said} == {True, False}


def test_they_decide_about_each_purpose_by_itself_and_some_change_their_mind() -> None:
    found = list(people(400, seed=1))
    said = {(purpose, state) for person in found for purpose, state in decisions(person, 1).items()}
    assert {state for _, state in said} == {"given", "refused", "deferred"}
    assert {purpose for purpose, state in said if state == "given"} == {purpose for purpose, _ in said}
    assert [person for person in found if not decisions(person, 1)]
    changed = [person for person in found if withdraws(person, 1)]
    assert changed
    assert all(decisions(person, 1)[MARKETING] == "given" for person in changed)


def test_chinese_people_have_identity_numbers_that_check_and_british_people_none() -> None:
    found = list(people(400, seed=1))
    assert all((person.id_number is not None) == (person.language == "zh") for person in found)
    numbers = {person: person.id_number for person in found if person.id_number is not None}
    assert len(set(numbers.values())) == 200
    for person, number in numbers.items():
        assert number[6:14] == f"{person.born:%Y%m%d}"
        digits = [10 if character == "X" else int(character) for character in number]
        assert sum(digit * pow(2, 17 - place, 11) for place, digit in enumerate(digits)) % 11 == 1  # GB 11643
    assert all(IDENTITY not in decisions(person, 1) for person in found if person.language == "en")


def test_one_of_them_is_thirteen_and_has_a_guardian_of_age() -> None:
    found = {person.number: person for person in people(20, seed=1)}
    today = datetime.now(UTC).date()
    assert age_on(found[CHILD].born, today) == 13
    assert [person.number for person in found.values() if person.guardian is not None] == [CHILD]
    assert found[CHILD].guardian == GUARDIAN
    assert age_on(found[GUARDIAN].born, today) >= 18
    assert decisions(found[CHILD], 1) == {MARKETING: "given"}


def test_the_components_know_the_client_and_nothing_else_of_the_service() -> None:
    """They stand for programs of other people, on other machines."""
    imported = set[str]()
    for name in ("sample.py", "outcome.py", "people.py"):
        for node in ast.walk(ast.parse((Path(cli.sample.__file__).parent / name).read_text())):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                imported.add(node.module)
    ours = {name for name in imported if name.partition(".")[0] in {"api", "cli", "jobs", "keys", "privacy"}}
    assert ours == {"cli.outcome", "cli.people", "cli.sample_figures", "privacy.client", "privacy.errors"}
