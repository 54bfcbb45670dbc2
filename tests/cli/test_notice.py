"""Notices at the terminal: what a person is shown before anything is published."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.said import Run, answer, problem
from tests.world import MANIFEST

ROOT = Path(__file__).resolve().parents[2]
LONGER = MANIFEST.replace("[phone, email]}\n    keep: P1Y", "[phone, email]}\n    keep: P2Y")


@pytest.fixture
def notice(run: Run, manifest: Path, tmp_path: Path) -> Path:
    """A notice for the tests' manifest, as a file."""
    file = tmp_path / "notice.yaml"
    file.write_text(run("notice", "draft", "--version", "2026-01", "--manifest", str(manifest)).stdout)
    return file


def _reworded(notice: Path, version: str) -> Path:
    file = notice.with_name(f"{version}.yaml")
    file.write_text(notice.read_text().replace("2026-01", version).replace("see, copy", "see, copy again"))
    return file


def _versions(run: Run) -> list[str]:
    return [found["version"] for found in answer(run("notice", "list", "--json"))["items"]]


def _at_a_terminal(said: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command with a terminal as its standard input, at which somebody types a line."""
    ours, theirs = os.openpty()
    try:
        os.write(ours, f"{said}\n".encode())
        command = [sys.executable, "-m", "cli.main", *arguments]
        return subprocess.run(command, cwd=ROOT, stdin=theirs, capture_output=True, text=True, timeout=60, check=False)
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_draft_is_a_faultless_notice_and_needs_no_deployment(
    run: Run, notice: Path, manifest: Path, home: Path
) -> None:
    found = answer(run("notice", "check", str(notice), "--manifest", str(manifest), "--json"))
    assert found["languages"] == ["zh", "en"]
    assert "marketing" in found["purposes"]
    assert not home.exists()


def test_every_fault_of_a_notice_is_shown_with_its_place(run: Run, notice: Path, manifest: Path) -> None:
    notice.write_text(notice.read_text().replace("complaints:", "complaint:").replace("membership:", "profiling:"))
    checked = run("notice", "check", str(notice), "--manifest", str(manifest))
    assert checked.exit_code == 1
    assert checked.stdout == ""
    assert f"{notice}:1:1: " in checked.stderr
    found = problem(run("notice", "check", str(notice), "--manifest", str(manifest), "--json"))
    assert found["code"] == "notice-invalid"
    assert all(one["line"] > 0 and one["column"] > 0 and one["expected"] for one in found["problems"])


@pytest.mark.usefixtures("admin_key")
def test_publishing_asks_first_and_a_no_publishes_nothing(run: Run, notice: Path) -> None:
    refused = _at_a_terminal("n", "notice", "publish", str(notice))
    assert refused.returncode == 1
    assert "marketing" in refused.stdout
    assert "2026-01" not in _versions(run)
    agreed = _at_a_terminal("y", "notice", "publish", str(notice))
    assert agreed.returncode == 0, agreed.stderr
    assert "2026-01" in _versions(run)


@pytest.mark.usefixtures("admin_key")
def test_without_a_terminal_nothing_is_published_unless_told_so(run: Run, notice: Path) -> None:
    asked = run("notice", "publish", str(notice))
    assert asked.exit_code == 2
    assert "--yes" in asked.stderr
    assert "2026-01" not in _versions(run)
    assert run("notice", "publish", str(notice), "--yes").exit_code == 0
    assert answer(run("notice", "publish", str(_reworded(notice, "2026-02")), "--json"))["version"] == "2026-02"
    assert _versions(run)[:2] == ["2026-02", "2026-01"]


@pytest.mark.usefixtures("admin_key")
def test_the_plan_tells_a_wording_from_a_material_change(run: Run, notice: Path, manifest: Path) -> None:
    run("notice", "publish", str(notice), "--yes")
    reworded = _reworded(notice, "2026-02")
    planned = answer(run("notice", "plan", str(reworded), "--json"))
    assert {one["status"] for one in planned["purposes"]} == {"wording"}
    more = answer(run("notice", "plan", str(reworded), "--material", "marketing", "--json"))
    assert {one["purpose"] for one in more["purposes"] if one["status"] == "material"} == {"marketing"}
    manifest.write_text(LONGER)
    run("manifest", "apply", str(manifest))
    changed = answer(run("notice", "plan", str(reworded), "--json"))
    marketing = next(one for one in changed["purposes"] if one["purpose"] == "marketing")
    assert marketing["status"] == "material"
    assert marketing["changes"] == [{"what": "period", "before": "P1Y", "after": "P2Y", "is_broader": True}]
    said = run("notice", "plan", str(reworded)).stdout
    assert "material  marketing: more than people were told" in said
    assert "broader period: P1Y → P2Y" in said
    assert "2026-02" not in _versions(run)


@pytest.mark.usefixtures("admin_key")
def test_a_label_that_is_taken_is_refused(run: Run, notice: Path) -> None:
    run("notice", "publish", str(notice), "--yes")
    notice.write_text(notice.read_text().replace("see, copy", "see"))
    assert problem(run("notice", "publish", str(notice), "--json"))["code"] == "conflict"


@pytest.mark.usefixtures("admin_key")
def test_a_notice_is_shown_in_each_language_as_it_was_published(run: Run, notice: Path) -> None:
    run("notice", "publish", str(notice), "--yes")
    found = answer(run("notice", "show", "--json"))
    assert (found["version"], found["language"]) == ("2026-01", "zh")
    assert found["digest"] == hashlib.sha256(found["text"].encode()).hexdigest()
    assert run("notice", "show", "2026-01").stdout == found["text"]
    assert run("notice", "show", "--language", "en").stdout.startswith("# Privacy notice\n")
    assert run("notice", "show", "--language", "en", "--purpose", "marketing").stdout.startswith("# Marketing\n")
    assert problem(run("notice", "show", "2020-01", "--json"))["code"] == "not-found"
    assert problem(run("notice", "show", "--purpose", "profiling", "--json"))["code"] == "not-found"
    assert run("notice", "show", "--language", "fr").exit_code == 2


@pytest.mark.usefixtures("admin_key")
def test_the_lists_are_given_in_each_language(run: Run, notice: Path) -> None:
    run("notice", "publish", str(notice), "--yes")
    found = answer(run("notice", "lists", "--language", "en", "--json"))
    assert {row["purpose"] for row in found["collected"]} >= {"marketing", "tax"}
    assert {row["recipient"] for row in found["shared"]} == {"sms-gateway"}
    assert "Marketing" in run("notice", "lists", "--language", "en").stdout
    assert "营销" in run("notice", "lists").stdout


@pytest.mark.usefixtures("admin_key")
def test_the_example_notice_fits_the_example_manifest(run: Run) -> None:
    example = ROOT / "examples" / "operations"
    with_manifest = ("--manifest", str(example / "manifest.yaml"))
    assert answer(run("notice", "check", str(example / "notice.yaml"), *with_manifest, "--json"))["ok"]
