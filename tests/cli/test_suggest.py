"""A manifest drafted from tables: people fill in what only they can say, and `check` accepts it."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
import yaml
from typer.testing import CliRunner, Result

from cli.main import app
from privacy.errors import ManifestInvalid
from privacy.levels import Level
from privacy.manifest import ValueType, parse
from privacy.manifest.suggestion import MARK
from tests.cli.said import answer, problem
from tests.detection.columns_made import Made, table

Suggest = Callable[..., Result]

_FILLED: Final = {
    "  name: ": "  name: {zh: 示例有限公司, en: Example Ltd}",
    "  contact: ": "  contact: privacy@example.org",
    "  jurisdiction: ": "  jurisdiction: CN",
    "basis:": "basis: contract",
    "keep:": "keep: P2Y",
}


def _filled(draft: str) -> str:
    """The draft as a person leaves it who uncomments the purposes and writes what is marked."""
    head, purposes = draft.split("\npurposes:")
    lines = [*head.splitlines(), *f"purposes:{purposes}".replace("\n  # ", "\n  ").splitlines()]
    for place, line in enumerate(lines):
        for hole, text in _FILLED.items():
            if MARK in line and not line.lstrip().startswith("#") and hole in line:
                indent = line[: len(line) - len(line.lstrip())]
                lines[place] = indent + text.strip()
    return "\n".join(lines) + "\n"


@pytest.fixture
def suggest() -> Suggest:
    """`suggest("FILE", ...)`: the command in this process. Needs no deployment."""

    def suggest(*arguments: str) -> Result:
        return CliRunner().invoke(app, ("manifest", "suggest", *arguments))

    return suggest


@pytest.fixture(scope="module")
def made() -> list[Made]:
    return table(rows=120, seed=5)


@pytest.fixture
def members(tmp_path: Path, made: list[Made]) -> Path:
    """29 mixed columns as a spreadsheet of Chinese Windows writes them."""
    file = tmp_path / "members_2026-01.csv"
    with file.open("w", encoding="gb18030", newline="") as out:
        rows = zip(*(one.cells for one in made), strict=True)
        csv.writer(out, delimiter=";").writerows([[one.name for one in made], *rows])
    return file


def test_the_draft_is_accepted_once_people_have_filled_it_in(suggest: Suggest, members: Path, tmp_path: Path) -> None:
    output = tmp_path / "manifest.yaml"
    assert suggest(str(members), "--output", str(output)).exit_code == 0
    draft = output.read_text(encoding="utf-8")
    with pytest.raises(ManifestInvalid) as refused:
        parse(draft, "draft")
    faults = refused.value.context["problems"]
    assert isinstance(faults, list)
    marked = {place for place, line in enumerate(draft.splitlines(), start=1) if MARK in line}
    assert {fault.line for fault in faults} <= marked
    assert len(faults) == 4
    output.write_text(_filled(draft), encoding="utf-8")
    checked = CliRunner().invoke(app, ("manifest", "check", str(output), "--json"))
    assert answer(checked)["records"] == ["member"]
    assert answer(checked)["warnings"] == []


def test_the_draft_declares_each_column_as_what_it_is(suggest: Suggest, members: Path) -> None:
    found = answer(suggest(str(members), "--json"))
    fields = parse(_filled(found["manifest"]), "draft").records["member"].fields
    assert len(fields) == 29
    phone, number, note = fields["phone"], fields["id_number"], fields["text"]
    assert (phone.category, phone.detect, phone.lookup, phone.mask) == (
        "pd:TelephoneNumber",
        "CN_MOBILE",
        True,
        "phone",
    )
    assert (number.level, number.detect, number.normaliser) == (Level.L4, "CN_RESIDENT_ID", "cn-id")
    assert (note.scan, note.analytics) == (("zh", "en"), "drop")
    assert (fields["birth_date"].type, fields["birth_date"].analytics) == (ValueType.DATE, "quasi")
    assert (fields["diagnosis"].level, fields["diagnosis"].analytics) == (Level.L4, "sensitive")
    assert fields["email"].title is not None
    assert (fields["email"].title.zh, fields["email"].title.en) == ("电子邮箱", "Email")


def test_machines_get_the_evidence_and_people_a_table_in_their_language(suggest: Suggest, members: Path) -> None:
    found = answer(suggest(str(members), "--json"))["records"][0]
    assert (found["name"], found["rows"], found["sampled"]) == ("member", 120, 120)
    by_name = {one["column"]: one for one in found["fields"]}
    assert by_name["身份证号"]["standing"] == "proved"
    assert by_name["身份证号"]["evidence"][0]["cells"] == by_name["身份证号"]["evidence"][0]["of"] == 120
    assert by_name["客服备注"]["holds"] == ["CN_MOBILE"]
    chinese, english = (suggest(str(members), "--in", language).stderr for language in ("zh", "en"))
    assert "规则证明" in chinese
    assert "直接标识" in chinese
    assert "proved by rule" in english
    assert "字段" not in english


def test_no_value_is_shown_in_table_draft_or_json(suggest: Suggest, members: Path, made: list[Made]) -> None:
    shown = "".join((suggest(str(members), "--in", "zh").output, suggest(str(members), "--json").output))
    hidden = {cell for one in made for cell in one.cells if cell and len(cell) >= 6}
    public = {"pending"}  # states of an order, and words that the draft uses by itself
    assert {cell for cell in hidden if cell in shown} <= public


def test_several_sources_are_several_record_types(suggest: Suggest, members: Path, tmp_path: Path) -> None:
    lines = tmp_path / "订单.jsonl"
    orders = [{"订单号": f"A{place:06d}", "收货人": {"姓名": "王伟"}, "金额": place * 3 + 5} for place in range(60)]
    lines.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in orders), encoding="utf-8")
    database = tmp_path / "old.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE members (email text, 'a\nb: {x' text)")
        connection.execute("INSERT INTO members VALUES ('wang@example.cn', 'x')")
        connection.commit()
    found = answer(suggest(str(members), str(lines), f"sqlite:///{database}?table=members", "--json"))
    assert [one["name"] for one in found["records"]] == ["member", "order", "member_2"]
    declared = parse(_filled(found["manifest"]), "draft")
    assert sorted(declared.records) == ["member", "member_2", "order"]
    assert set(declared.records["order"].fields) == {"order_number", "name", "amount"}
    assert declared.records["order"].title is not None
    assert declared.records["order"].title.zh == "订单"
    assert yaml.safe_load(found["manifest"])["records"]["member_2"]["fields"]["email"]["category"] == "pd:EmailAddress"


def test_the_same_seed_drafts_the_same_manifest(suggest: Suggest, members: Path) -> None:
    drafts = {suggest(str(members), "--sample", "40", "--seed", seed, "--json").stdout for seed in ("1", "1")}
    assert len(drafts) == 1


def test_nothing_is_overwritten(suggest: Suggest, members: Path, tmp_path: Path) -> None:
    output = tmp_path / "manifest.yaml"
    output.write_text("mine", encoding="utf-8")
    assert suggest(str(members), "--output", str(output)).exit_code == 1
    assert output.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    "source", ["no-such.csv", "mysql://root:s3cret-word@host/shop", "postgresql://root:s3cret-word@127.0.0.1:9/shop"]
)
def test_what_is_not_there_is_refused_without_the_password(suggest: Suggest, source: str) -> None:
    refused = suggest(source, "--json")
    assert problem(refused)["detail"]
    assert "s3cret-word" not in refused.output
