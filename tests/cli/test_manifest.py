"""The declaration as code: check, plan, apply, show, history."""

from __future__ import annotations

from pathlib import Path

import pytest

from privacy import records, subjects
from privacy.settings import Settings
from privacy.steward import Steward
from tests.cli.said import Run, answer, problem
from tests.world import MANIFEST

LONGER = MANIFEST.replace("    keep: P2Y\n", "    keep: P5Y\n")
WITHOUT_EMAIL = MANIFEST.replace(
    "      email:     {level: L3, category: pd:EmailAddress, lookup: exact, mask: email}\n", ""
).replace("[phone, email]", "[phone]")


def test_a_faultless_manifest_is_checked_without_a_deployment(run: Run, manifest: Path, home: Path) -> None:
    found = answer(run("manifest", "check", str(manifest), "--json"))
    assert found["records"] == ["interaction", "invoice", "member"]
    assert not home.exists()


def test_every_fault_is_shown_with_its_place(run: Run, manifest: Path) -> None:
    manifest.write_text(MANIFEST.replace("level: L2", "level: L9").replace("keep: P3Y", "keep: forever"))
    checked = run("manifest", "check", str(manifest))
    assert checked.exit_code == 1
    assert checked.stdout == ""
    lines = checked.stderr.splitlines()
    assert len([line for line in lines if line.startswith(f"{manifest}:")]) >= 3
    found = problem(run("manifest", "check", str(manifest), "--json"))
    assert found["code"] == "manifest-invalid"
    assert all(one["line"] > 0 and one["column"] > 0 and one["expected"] for one in found["problems"])


def test_a_file_that_is_not_there_is_named(run: Run) -> None:
    checked = run("manifest", "check", "no-such.yaml")
    assert checked.exit_code == 1
    assert "no-such.yaml" in checked.stderr


@pytest.mark.usefixtures("admin_key")
def test_a_plan_shows_changes_and_makes_none(run: Run, manifest: Path) -> None:
    manifest.write_text(LONGER)
    planned = answer(run("manifest", "plan", str(manifest), "--json"))
    assert planned["version"] == 2
    assert len(planned["changes"]) == 1
    assert "customer-service" in planned["changes"][0]["path"]
    assert answer(run("manifest", "show", "--json"))["version"] == 1
    assert "customer-service" in run("manifest", "plan", str(manifest)).stdout


@pytest.mark.usefixtures("admin_key")
def test_applying_puts_the_manifest_in_force_and_in_the_history(run: Run, manifest: Path) -> None:
    manifest.write_text(LONGER)
    assert answer(run("manifest", "apply", str(manifest), "--json"))["version"] == 2
    assert answer(run("manifest", "show", "--json")) == {"version": 2, "source": LONGER}
    assert run("manifest", "show").stdout == LONGER
    history = answer(run("manifest", "history", "--json"))["items"]
    assert [one["version"] for one in history] == [2, 1]
    assert history[0]["by"] == "terminal"
    assert "customer-service" in run("manifest", "history").stdout


@pytest.mark.usefixtures("admin_key")
def test_applying_the_same_again_changes_nothing(run: Run, manifest: Path) -> None:
    again = run("manifest", "apply", str(manifest))
    assert again.exit_code == 0
    assert "nothing has changed" in again.stdout
    assert len(answer(run("manifest", "history", "--json"))["items"]) == 1


@pytest.mark.usefixtures("admin_key")
def test_a_change_that_would_orphan_rows_is_shown_by_plan_and_refused_by_apply(run: Run, manifest: Path) -> None:
    grant = ("--role", "service", "--purposes", "membership", "--types", "member")
    key = answer(run("principal", "add", "platform", *grant, "--json"))["key"]
    service = Steward.open(Settings.from_environment())
    try:
        with service.begin(service.authenticate(key)) as work:
            subject = subjects.create(work)
        with service.begin(service.authenticate(key)) as work:
            data = {"email": "wang.wei@example.cn"}
            records.store(work, subject.id, type="member", purposes=["membership"], data=data)
    finally:
        service.close()
    manifest.write_text(WITHOUT_EMAIL)
    planned = run("manifest", "plan", str(manifest), "--json")
    assert planned.exit_code == 1
    assert '"rows": 1' in planned.stdout
    assert problem(run("manifest", "apply", str(manifest), "--json"))["code"] == "manifest-orphans"
    assert answer(run("manifest", "show", "--json"))["version"] == 1
