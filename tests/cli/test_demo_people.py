"""The invented people, and the walls around the components that know them."""

from __future__ import annotations

import ast
from pathlib import Path

import cli.sample
from cli.people import marketing_choice, people, talks
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
    assert {marketing_choice(person, 1) for person in people(200, seed=1)} == {"given", "refused", None}


def test_the_components_know_the_client_and_nothing_else_of_the_service() -> None:
    """They stand for programs of other people, on other machines."""
    imported = set[str]()
    for name in ("sample.py", "people.py"):
        for node in ast.walk(ast.parse((Path(cli.sample.__file__).parent / name).read_text())):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                imported.add(node.module)
    ours = {name for name in imported if name.partition(".")[0] in {"api", "cli", "jobs", "keys", "privacy"}}
    assert ours == {"cli.people", "privacy.client", "privacy.errors"}
