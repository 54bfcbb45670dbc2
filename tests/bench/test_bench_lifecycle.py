"""The benchmark of the life cycle runs. No figure is judged here."""

from __future__ import annotations

import json

import pytest

from bench.__main__ import main

_TASKS = ["sweep", "erase", "rotate data keys"]


@pytest.mark.parametrize(("database", "growth"), [("sqlite", "30"), ("postgresql", "")])
def test_the_life_cycle_is_measured_while_reads_run(
    database: str, growth: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.lifecycle._READ", 20)
    options = ["--people", "20", "--seconds", "0.2", "--sample", "10", "--growth", growth, "--database", database]
    assert main(["lifecycle", *options, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [(task["name"], task["database"]) for task in report["tasks"]] == [(name, database) for name in _TASKS]
    assert [task["items"] for task in report["tasks"]] == [20, 20, 40]
    assert all(task["rate"] > 0 and task["ratio"] > 0 and task["memory_at_the_end"] > 0 for task in report["tasks"])
    assert [cost["name"] for cost in report["costs"]] == (_TASKS if growth else [])
    assert all(cost["micros"] > 0 for cost in report["costs"])
