"""Releases at the terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from privacy import ids
from tests.cli.said import Run, answer

pytestmark = pytest.mark.usefixtures("admin_key")

ASKED = ("release", "ask", "--purpose", "statistics", "--type", "member", "--recipient", "university")


def test_a_release_is_asked_for_listed_shown_and_rejected(run: Run, tmp_path: Path) -> None:
    asked = answer(run(*ASKED, "-k", "7", "--json"))
    assert (asked["state"], asked["recipient_class"], asked["lineage"]) == ("asked", "controlled", "member")
    assert [one["id"] for one in answer(run("release", "list", "--json"))["items"]] == [asked["id"]]
    assert answer(run("release", "list", "--due", "--json"))["items"] == []
    assert "university" in run("release", "show", asked["id"]).output
    file = tmp_path / "out.csv"
    refused = run("release", "data", asked["id"], str(file), "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stderr)["code"] == "not-anonymised"
    assert list(tmp_path.glob("*out.csv*")) == []
    file.write_text("mine")
    assert json.loads(run("release", "data", asked["id"], str(file), "--json").stderr)["code"] == "conflict"
    assert file.read_text() == "mine"
    assert run("release", "approve", asked["id"]).exit_code == 1  # nothing is made yet
    assert "Rejected" in run("release", "reject", asked["id"]).output
    assert answer(run("release", "show", asked["id"], "--json"))["state"] == "rejected"


def test_what_no_release_may_be_is_refused_at_once(run: Run) -> None:
    assert run(*ASKED, "--public", "-k", "5").exit_code == 1
    assert run(*ASKED, "--fields", "no_such_field").exit_code == 1
    assert run("release", "show", str(ids.new())).exit_code == 1
