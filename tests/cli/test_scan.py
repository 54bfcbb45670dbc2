"""`privacy scan`: what it prints of a text and of a table, without a service and without a deployment."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner, Result

from cli.main import app

PHONE = "13800138000"
TEXT = f"联系人电话{PHONE}，邮箱 wang.wei@example.cn\n"
ROWS = [
    {"phone": f"1380013800{n}", "note": f"客户 {n} 来电，邮箱 a{n}@example.com" if n % 2 else "已答复", "count": n}
    for n in range(10)
]


@pytest.fixture(autouse=True)
def anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No deployment, and a terminal in English."""
    monkeypatch.setenv("PRIVACY_HOME", str(tmp_path / "nowhere"))
    monkeypatch.setenv("LC_ALL", "en_GB.UTF-8")


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, ("scan", *arguments), input=stdin)


def objects(result: Result) -> list[Any]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_each_finding_is_one_object(tmp_path: Path) -> None:
    file = tmp_path / "talk.txt"
    file.write_text(TEXT, encoding="utf-8")
    found = objects(run(str(file), "--patterns", "--json", "--lang", "zh,en"))
    assert [(TEXT[one["start"] : one["end"]], one["entity"], one["level"]) for one in found] == [
        (PHONE, "CN_MOBILE", "L3"),
        ("wang.wei@example.cn", "EMAIL_ADDRESS", "L3"),
    ]
    assert all(set(one) == {"start", "end", "entity", "level", "score", "why"} for one in found)
    assert objects(run("-", "--patterns", "--json", stdin=TEXT)) == found


def test_both_languages_are_found_with_the_models() -> None:
    text = "我叫王伟，住在北京。\nMy name is John Smith.\n"
    found = objects(run("-", "--json", stdin=text))
    names = {text[one["start"] : one["end"]] for one in found if one["entity"] == "PERSON"}
    assert names == {"王伟", "John Smith"}


def test_a_person_sees_the_text_with_its_findings_marked_and_a_legend(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = run("-", "--patterns", stdin=TEXT)
    assert shown.exit_code == 0
    assert f"电话{PHONE}⟨Mobile number (China)⟩，" in shown.stdout
    assert "Legend" in shown.stdout
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    shown = run("-", "--patterns", stdin=TEXT)
    assert f"电话{PHONE}⟨手机号码⟩，" in shown.stdout
    assert "图例" in shown.stdout
    assert "手机号码" in run("-", "--patterns", "--in", "zh", stdin=TEXT).stdout
    assert "未发现个人信息" in run("-", "--patterns", stdin="今天天气很好").stdout


def test_patterns_alone_say_what_they_cannot_see(monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in (("-", "--patterns"), ("-", "--patterns", "--json")):
        said = run(*arguments, stdin=TEXT)
        assert "cannot see: Name of a person" in said.stderr
    monkeypatch.setenv("PRIVACY_DETECTION", "patterns")
    assert "看不到：姓名" in run("-", "--in", "zh", stdin=TEXT).stderr


def test_where_detection_is_off_nothing_is_scanned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIVACY_DETECTION", "off")
    refused = run("-", "--json", stdin=TEXT)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert json.loads(refused.stderr)["code"] == "detection-off"
    monkeypatch.setenv("PRIVACY_DETECTION", "sometimes")
    assert json.loads(run("-", "--json", stdin=TEXT).stderr)["code"] == "invalid"


def as_csv(file: Path, encoding: str = "utf-8", delimiter: str = ",") -> None:
    lines = [delimiter.join(ROWS[0]), *(delimiter.join(f'"{value}"' for value in row.values()) for row in ROWS)]
    file.write_text("\r\n".join(lines), encoding=encoding)


def as_json_lines(file: Path) -> None:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS), encoding="utf-8")


def as_parquet(file: Path) -> None:
    source = file.with_suffix(".jsonl")
    as_json_lines(source)
    with closing(duckdb.connect(":memory:")) as connection:
        connection.execute(f"COPY (SELECT * FROM read_json('{source}')) TO '{file}' (FORMAT parquet)")


@pytest.mark.parametrize("kind", ["csv", "semicolons", "gb18030", "jsonl", "parquet"])
def test_a_table_is_reported_column_by_column_with_masked_samples(tmp_path: Path, kind: str) -> None:
    match kind:
        case "jsonl":
            as_json_lines(file := tmp_path / "talks.jsonl")
        case "parquet":
            as_parquet(file := tmp_path / "talks.parquet")
        case _:
            file = tmp_path / "talks.csv"
            as_csv(file, "gb18030" if kind == "gb18030" else "utf-8", ";" if kind == "semicolons" else ",")
    phone, note, count = objects(run(str(file), "--patterns", "--json"))
    assert (phone["column"], phone["cells"], phone["level"]) == ("phone", 10, "L3")
    (held,) = phone["entities"]
    assert held == {
        "entity": "CN_MOBILE",
        "level": "L3",
        "cells": 10,
        "share": 1.0,
        "samples": ["138****8000", "138****8001", "138****8002"],
    }
    assert [(one["entity"], one["cells"], one["share"]) for one in note["entities"]] == [("EMAIL_ADDRESS", 5, 0.5)]
    assert (count["cells"], count["entities"], count["level"]) == (10, [], None)
    shown = run(str(file), "--patterns")
    assert "50.0%" in shown.stdout
    assert not any(row["phone"] in shown.stdout for row in ROWS)  # type: ignore[operator]  # they are texts
    assert "a1@example.com" not in shown.stdout


def test_nested_values_are_columns_and_lists_are_cells(tmp_path: Path) -> None:
    file = tmp_path / "nested.ndjson"
    file.write_text(json.dumps({"contact": {"phones": [PHONE, "13900139000"]}, "x": None, "y": True}) + "\n\n")
    (column,) = objects(run(str(file), "--patterns", "--json"))
    assert (column["column"], column["cells"]) == ("contact.phones[]", 2)


def test_a_table_that_is_larger_than_a_batch_is_counted_whole(tmp_path: Path) -> None:
    file = tmp_path / "many.csv"
    file.write_text("phone,empty\n" + "".join(f"139{n:08d},\n" for n in range(5000)), encoding="utf-8")
    phone, empty = objects(run(str(file), "--patterns", "--json"))
    assert (phone["cells"], phone["entities"][0]["cells"], empty["cells"]) == (5000, 5000, 0)


def test_a_table_may_be_read_as_the_text_that_it_is(tmp_path: Path) -> None:
    file = tmp_path / "one.csv"
    file.write_text(f"phone\n{PHONE}\n")
    assert objects(run(str(file), "--text", "--patterns", "--json"))[0]["start"] == 6


def test_a_file_that_cannot_be_read_is_said_to_be_so_without_its_content(tmp_path: Path) -> None:
    broken = {"a.parquet": PHONE.encode(), "a.jsonl": f"{{{PHONE}".encode(), "a.txt": b"\xff\xff\xff" + PHONE.encode()}
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
        refused = run(str(tmp_path / name), "--patterns", "--json")
        assert refused.exit_code == 1, name
        assert PHONE not in refused.stdout + refused.stderr
        assert json.loads(refused.stderr.splitlines()[-1])["code"] == "invalid"
    assert run(str(tmp_path / "absent.txt")).exit_code == 1
    assert run("-", "--lang", "fr", stdin=TEXT).exit_code == 2
