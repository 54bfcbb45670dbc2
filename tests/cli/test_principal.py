"""Principals and their keys, from the terminal."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from privacy.errors import Unauthenticated
from privacy.settings import Settings
from privacy.steward import Steward
from privacy.work import Role
from tests.cli.said import Run, answer, problem

pytestmark = pytest.mark.usefixtures("admin_key")

DESK = ("desk", "--role", "service", "--purposes", "customer-service", "--types", "member,interaction")


@pytest.fixture
def service(admin_key: str) -> Iterator[Steward]:
    """The deployment, as a server has it open while the terminal is used."""
    opened = Steward.open(Settings.from_environment())
    yield opened
    opened.close()


def test_a_principal_is_added_with_a_key_that_works(run: Run, service: Steward) -> None:
    made = answer(run("principal", "add", *DESK, "--json"))
    actor = service.authenticate(made["key"])
    assert str(actor.principal_id) == made["id"]
    assert actor.role is Role.SERVICE
    assert actor.purposes == {"customer-service"}
    assert actor.types == {"member", "interaction"}


def test_the_key_is_shown_once(run: Run) -> None:
    said = run("principal", "add", *DESK)
    key = next(word for word in said.stdout.split() if word.startswith("steward_"))
    assert "only time the key is shown" in said.stdout
    listed = run("principal", "list")
    assert "desk" in listed.stdout
    assert key not in listed.stdout
    assert key[-4:] in listed.stdout


def test_the_list_says_what_each_may_do(run: Run) -> None:
    answer(run("principal", "add", *DESK, "--json"))
    found = {one["name"]: one for one in answer(run("principal", "list", "--json"))["items"]}
    assert found["desk"]["purposes"] == ["customer-service"]
    assert found["desk"]["types"] == ["interaction", "member"]
    assert found["admin"]["role"] == "admin"


def test_a_key_can_be_given_an_end(run: Run) -> None:
    assert answer(run("principal", "add", *DESK, "--expires", "P90D", "--json"))["expires_at"] is not None


def test_rotating_ends_the_old_key_at_once(run: Run, service: Steward) -> None:
    old = answer(run("principal", "add", *DESK, "--json"))["key"]
    new = answer(run("principal", "rotate", "desk", "--json"))["key"]
    assert service.authenticate(new).name == "desk"
    with pytest.raises(Unauthenticated):
        service.authenticate(old)


def test_rotating_with_grace_leaves_the_old_key_for_a_while(run: Run, service: Steward) -> None:
    old = answer(run("principal", "add", *DESK, "--json"))["key"]
    new = answer(run("principal", "rotate", "desk", "--grace", "PT1H", "--json"))["key"]
    assert service.authenticate(new).name == service.authenticate(old).name == "desk"


def test_revoking_ends_every_key(run: Run, service: Steward) -> None:
    key = answer(run("principal", "add", *DESK, "--json"))["key"]
    assert run("principal", "revoke", "desk").exit_code == 0
    service.reload()
    with pytest.raises(Unauthenticated):
        service.authenticate(key)


def test_a_refusal_is_a_problem_with_a_code_and_the_law(run: Run) -> None:
    wrong = run(
        "principal", "add", "desk", "--role", "service", "--purposes", "profiling", "--types", "member", "--json"
    )
    refused = problem(wrong)
    assert refused["code"] == "undeclared-purpose"
    assert refused["law"]
    assert wrong.stdout == ""


def test_a_name_is_taken_once(run: Run) -> None:
    answer(run("principal", "add", *DESK, "--json"))
    assert problem(run("principal", "add", *DESK, "--json"))["code"] == "conflict"


def test_nobody_can_be_rotated_or_revoked(run: Run) -> None:
    for command in ("rotate", "revoke"):
        refused = run("principal", command, "nobody")
        assert refused.exit_code == 1
        assert "not-found" in refused.stderr
