"""The benchmark of the audit log runs. No figure is judged here."""

from __future__ import annotations

import json

import pytest

from bench.__main__ import main

_RATIOS = {
    "sequencer / leaf hashes alone",
    "reads, sequencing / not",
    "verifier / hashing the files",
    "inclusion proof / one event by id",
}


def test_the_audit_log_is_measured_beside_its_floors(capsys: pytest.CaptureFixture[str]) -> None:
    options = "--events 300 --tree 2000 --exposure 1000 --scan 500 --seconds 0.2 --turns 1 --json"
    assert main(["audit", *options.split()]) == 0
    report = json.loads(capsys.readouterr().out)
    names = {(pair["name"], pair["database"]) for pair in report["pairs"]}
    exposure = {("exposure, first / plain scan", "sqlite"), ("exposure, again / plain scan", "sqlite")}
    assert names == exposure | {(name, database) for name in _RATIOS for database in ("sqlite", "postgresql")}
    assert all(pair["ratio"] > 0 for pair in report["pairs"])
    assert report["exposure"]["subjects"] > 0
    assert report["exposure"]["peak_mebibytes"] >= report["exposure"]["before_mebibytes"] > 0
