"""What columns hold: what is proved, what is indicated, and what nobody can tell."""

from __future__ import annotations

import csv
import json
import random
import sqlite3
import tracemalloc
from collections.abc import Sequence
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Final

import duckdb
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from privacy.detection import columns_databases as databases
from privacy.detection.columns import Column, Standing, classify
from privacy.detection.columns_kinds import KINDS, Role
from privacy.detection.columns_lexicon import kind_named
from privacy.detection.columns_sources import Sample, delimiter_of, reservoir, sampled
from privacy.detection.columns_table import Table, examine
from privacy.detection.columns_words import CLOSED, words_of
from privacy.detection.entities import ENTITIES
from privacy.errors import Invalid, NotFound, PrivacyError, Unavailable
from privacy.levels import Level
from privacy.manifest import ValueType
from privacy.masks import MASKS
from privacy.vocabulary import CATEGORIES, SENSITIVE
from tests.detection.columns_made import NONE, Made, card, resident_id, table

TODAY: Final = date(2026, 6, 1)


def _right(made: Made, column: Column) -> bool:
    category = column.kind.category if column.kind is not None else NONE
    is_right = category in made.right or (made.right == {NONE} and column.role is Role.NONE)
    return is_right and column.role in made.roles


def _examined(made: Sequence[Made], *, names: bool = True) -> Table:
    named = tuple(one.name if names else f"c{place}" for place, one in enumerate(made))
    rows = list(zip(*(one.cells for one in made), strict=True))
    return examine(Sample("made", named, rows, len(rows)), TODAY)


def _numbers(make: object, count: int = 40, seed: int = 3) -> list[str | None]:
    assert callable(make)
    chance = random.Random(seed)
    return [str(make(chance)) for _ in range(count)]


# --- the whole table


@pytest.mark.parametrize("seed", [11, 12])
def test_at_least_26_of_29_mixed_columns_are_right_with_their_names(seed: int) -> None:
    made = table(seed=seed)
    found = _examined(made).columns
    wrong = [one.name for one, column in zip(made, found, strict=True) if not _right(one, column)]
    assert len(made) == 29
    assert len(wrong) <= 3, wrong


def test_most_columns_are_right_without_their_names() -> None:
    made = table(seed=13)
    found = _examined(made, names=False).columns
    assert sum(map(_right, made, found)) >= 22


# --- proved, indicated, undetermined


def test_check_characters_prove_a_column_whatever_it_is_called() -> None:
    ids = classify("备注", _numbers(resident_id))
    assert ids.kind is KINDS["id_number"]
    assert ids.standing is Standing.PROVED
    assert ids.level is Level.L4
    cards = classify("f_12", _numbers(card))
    assert (cards.kind, cards.role, cards.standing) == (KINDS["bank_card"], Role.SENSITIVE, Standing.PROVED)


def test_numbers_whose_check_fails_are_no_identity_numbers() -> None:
    broken = [number[:-1] + ("0" if number[-1] != "0" else "1") for number in map(str, _numbers(resident_id))]
    assert classify("f_12", broken).kind is None
    named = classify("身份证号", broken)
    assert (named.kind, named.standing) == (KINDS["id_number"], Standing.INDICATED)


def test_a_minority_that_passes_luhn_is_chance() -> None:
    chance = random.Random(4)
    numbers: list[str | None] = [f"62{chance.randrange(10**14):014d}" for _ in range(300)]
    found = classify("f_12", numbers)
    assert found.kind is not KINDS["bank_card"]
    assert found.holds == ()
    said = [f"已为您登记 {number} ，后续进展会另行告知，感谢您的来电。" for number in numbers]
    assert classify("备注", said).holds == ()
    cards: list[str | None] = [f"请把退款打到银行卡 {number} 上，谢谢。" for number in _numbers(card)]
    assert set(classify("备注", cards).holds) & {"CREDIT_CARD", "CN_BANK_CARD"}


def test_one_proved_number_marks_a_column_of_text() -> None:
    number = resident_id(random.Random(1))
    said: list[str | None] = [f"第{place}位客户咨询发票开具的进度，客服已经答复并记录。" for place in range(150)]
    assert classify("备注", said).holds == ()
    said[70] = f"客户要求更正登记资料，证件{number}，已经核对。"
    found = classify("备注", said)
    assert found.holds == ("CN_RESIDENT_ID",)
    assert (found.standing, found.level, found.role) == (Standing.PROVED, Level.L4, Role.DIRECT)


def test_order_numbers_that_look_like_mobile_numbers_stay_order_numbers() -> None:
    cells: list[str | None] = [f"138{place:08d}" for place in range(100)]
    assert classify("订单编号", cells).kind is KINDS["order_number"]
    assert classify("联系电话", cells).kind is KINDS["phone"]


def test_a_person_under_the_name_of_a_number_is_a_name() -> None:
    found = classify("紧急联系电话", ["王伟", "李静怡", "欧阳明", "张建国", "刘洋", "陈思远"])
    assert found.kind is KINDS["name"]


def test_nothing_to_tell_is_undetermined_and_treated_as_personal() -> None:
    found = classify("f_12", [f"{place * 7919 % 100_003}" for place in range(60)])
    assert (found.kind, found.standing, found.level) == (None, Standing.UNDETERMINED, Level.L3)
    empty = classify("f_12", ["", None, "NULL", " "])
    assert (empty.standing, empty.filled) == (Standing.UNDETERMINED, 0)
    assert classify("手机号", [None]).kind is KINDS["phone"]


def test_a_name_that_the_cells_contradict_is_not_believed() -> None:
    assert classify("姓名", ["1", "0", "1", "0"]).kind is not KINDS["name"]
    assert classify("年龄", ["三室一厅", "两居", "别墅", "公寓"]).kind is not KINDS["age"]


# --- sensitive before direct before quasi


def test_sensitive_goes_before_direct_before_quasi() -> None:
    assert classify("iris_template", [f"{place:032x}" for place in range(20)]).role is Role.SENSITIVE
    prints = [f"{place:08x}-0000-4000-8000-{place:012x}" for place in range(20)]
    assert classify("fingerprint", prints).role is Role.SENSITIVE
    child = classify("孩子姓名", ["王伟", "李静怡", "欧阳明", "张建国", "刘洋", "陈思远"])
    assert (child.kind, child.role, child.level) == (KINDS["name"], Role.SENSITIVE, Level.L4)
    assert classify("宗教信仰", ["张三", "李四", "王五"]).role is Role.SENSITIVE  # the cells look like names
    assert classify("收货城市", ["杭州市", "绍兴市", "昆明市"]).role is Role.QUASI


def test_a_place_with_a_time_is_a_track() -> None:
    chance = random.Random(5)
    rows: list[tuple[str | None, ...]] = [
        (
            f"2026-03-{1 + place % 28:02d} 08:{place % 60:02d}:00",
            f"{chance.uniform(20, 40):.6f}",
            f"{chance.uniform(100, 120):.6f}",
        )
        for place in range(80)
    ]
    found = examine(Sample("rides", ("t", "a", "b"), rows, 80), TODAY).columns
    assert [one.kind.name if one.kind else None for one in found] == ["moment", "track", "track"]
    assert found[1].level is Level.L4
    alone = examine(Sample("rides", ("a", "b"), [row[1:] for row in rows], 80), TODAY).columns
    assert {one.role for one in alone} == {Role.QUASI}


def test_people_under_14_raise_the_column_that_tells_it() -> None:
    rows: list[tuple[str | None, ...]] = [(str(30 + place % 40),) for place in range(90)]
    rows += [("9",), ("12",)] * 5
    found = examine(Sample("t", ("age",), rows, 100), TODAY)
    assert (found.under_14, found.aged) == (10, 100)
    assert (found.columns[0].role, found.columns[0].level) == (Role.SENSITIVE, Level.L4)
    adults = examine(Sample("t", ("age",), rows[:90], 90), TODAY)
    assert (adults.under_14, adults.columns[0].role) == (0, Role.QUASI)


def test_what_tells_people_apart_in_combination_is_a_quasi_identifier() -> None:
    chance = random.Random(6)
    rows: list[tuple[str | None, ...]] = [
        (f"k{chance.randrange(25)}", f"m{chance.randrange(25)}", chance.choice("xy")) for _ in range(300)
    ]
    found = examine(Sample("t", ("f1", "f2", "f3"), rows, 300), TODAY)
    assert [one.role for one in found.columns] == [Role.QUASI, Role.QUASI, Role.NONE]
    assert found.alone is not None
    assert found.alone > 0.3
    few = examine(Sample("t", ("f1", "f2", "f3"), rows[:20], 20), TODAY)
    assert {one.role for one in few.columns} == {Role.NONE}
    assert few.alone is None


# --- what is shown


@given(st.sampled_from(sorted(KINDS)), st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=8))
def test_no_sample_shows_a_value(kind: str, cells: list[str]) -> None:
    """Letters and digits of a shape are its own: `字`, `a`, `A`, `9`; a mask shows what it promises and no more."""
    found = classify(KINDS[kind].zh, list(cells))
    hides = found.kind is None or found.kind.mask in (None, "all")
    for sample in found.samples:
        if hides:
            left = set(sample.partition("… (")[0]) - set("字aA9*?")
            assert not any(character.isalnum() for character in left)
    for reason in found.evidence:
        assert all(cell not in reason.en for cell in cells if len(cell) > 30)


def test_every_kind_can_stand_in_a_manifest() -> None:
    for kind in KINDS.values():
        assert kind.category in CATEGORIES
        assert kind.mask is None or kind.mask in MASKS
        assert (kind.role is Role.SENSITIVE) == (kind.category in SENSITIVE)
        assert kind.level is Level.L4 or kind.category not in SENSITIVE
        if kind.detect is not None:
            assert kind.level >= ENTITIES[kind.detect].level, kind.name
    assert {kind for kind, _ in words_of("column-names.txt")} <= set(KINDS)
    assert set(CLOSED) <= set(KINDS)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("customer_name", "name"), ("productName", "product"), ("event_name", "thing"), ("userName", "username"),
        ("email_address", "email"), ("ip_address", "ip_address"), ("address", "address"),
        ("date_of_birth", "birth_date"),
        ("DOB", "birth_date"),
        ("phone_number_2", "telephone"), ("phone_verified", "choice"), ("IDCardNo", "id_number"), ("xingming", "name"),
        ("联系人电话", "telephone"), ("手机型号", "thing"), ("手机号(必填)", "phone"), ("用户ID", "person_id"),
        ("是否实名", "choice"), ("登录IP", "ip_address"), ("开户行账号", "bank_account"), ("blargh", None),
    ],
)  # fmt: skip
def test_the_word_that_ends_last_tells_what_a_name_says(name: str, kind: str | None) -> None:
    assert kind_named(name) == kind


# --- sources


HEADER: Final = ("姓名", "手机号", "备注")


def _people(count: int = 500) -> list[tuple[str, str, str]]:
    return [(f"王伟{place}", f"138{place:08d}", 'said "yes",\nthen no') for place in range(count)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_csv_is_read_in_its_encoding_and_with_its_delimiter(tmp_path: Path, encoding: str, delimiter: str) -> None:
    file = tmp_path / "people.csv"
    with file.open("w", encoding=encoding, newline="") as out:
        csv.writer(out, delimiter=delimiter).writerows([HEADER, *_people()])
    found = sampled(file, size=100)
    assert found.columns == HEADER
    assert (found.total, len(found.rows)) == (500, 100)
    assert set(found.rows) <= set(_people())


def test_gb18030_a_megabyte_from_the_start_is_still_read(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes(b"note\n" + b"plain ascii text\n" * 80_000 + "王伟\n".encode("gb18030"))
    assert sampled(file).total == 80_001


def test_a_file_without_a_header_keeps_its_first_row(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("13800138000,wang@example.cn\n13900139000,li@example.cn\n", encoding="utf-8")
    found = sampled(file)
    assert found.columns == ("column 1", "column 2")
    assert found.total == 2


def test_json_lines_and_parquet_give_the_same_cells_as_csv(tmp_path: Path) -> None:
    lines = tmp_path / "people.jsonl"
    lines.write_text(
        "".join(json.dumps(dict(zip(HEADER, row, strict=True)), ensure_ascii=False) + "\n" for row in _people(50)),
        encoding="utf-8",
    )
    parquet = tmp_path / "people.parquet"
    with closing(duckdb.connect(":memory:")) as connection:
        connection.execute(f"COPY (SELECT * FROM read_json_auto('{lines}')) TO '{parquet}' (FORMAT parquet)")
    for file in (lines, parquet):
        found = sampled(file, size=60)
        assert found.columns == HEADER
        assert sorted(found.rows) == sorted(_people(50))


def test_nested_json_is_flat(tmp_path: Path) -> None:
    file = tmp_path / "people.jsonl"
    file.write_text('{"who": {"name": "王伟", "tags": ["a", "b"]}, "ok": true}\n\n{"extra": null}\n', encoding="utf-8")
    found = sampled(file)
    assert found.columns == ("who.name", "who.tags", "ok", "extra")
    assert found.rows == [("王伟", '["a", "b"]', "true", None), (None, None, None, None)]


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.csv", b""), ("a.jsonl", b"[1, 2]\n"), ("a.jsonl", b'{"phone": 13800138000\n'), ("a.parquet", b"PAR1"),
     ("a.xlsx", b"PK"), ("a.csv", b"a,b\n\xff\xff13800138000\xff,\x81")],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_without_a_word_of_it(tmp_path: Path, name: str, content: bytes) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(Invalid) as refused:
        sampled(file)
    assert "13800138000" not in str(refused.value)


@given(st.integers(0, 3000), st.integers(1, 40), st.integers(0, 5))
def test_a_reservoir_counts_every_row_and_keeps_as_many_as_it_may(rows: int, size: int, seed: int) -> None:
    kept, total = reservoir(iter(range(rows)), size, random.Random(seed))
    assert total == rows
    assert len(kept) == len(set(kept)) == min(rows, size)
    assert kept == reservoir(iter(range(rows)), size, random.Random(seed))[0]


def test_a_reservoir_takes_every_row_as_often_as_any_other() -> None:
    counts = [0] * 50
    for seed in range(2000):
        for row in reservoir(iter(range(50)), 5, random.Random(seed))[0]:
            counts[row] += 1
    assert min(counts) > 140  # 200 expected, with a deviation of 13
    assert max(counts) < 260


def test_memory_is_the_samples_however_long_the_file(tmp_path: Path) -> None:
    file = tmp_path / "long.csv"
    with file.open("w", encoding="utf-8", newline="") as out:
        out.write("name,phone\n")
        for place in range(200_000):
            out.write(f"王伟{place},138{place:08d}\n")
    heard: list[float] = []
    tracemalloc.start()
    try:
        found = sampled(file, size=200, progress=heard.append)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.total == 200_000
    assert peak < 8 << 20
    assert len(heard) > 3
    assert heard == sorted(heard)


def test_the_delimiter_cuts_lines_alike() -> None:
    assert delimiter_of("a;b;c\n1,5;2;3\n2,5;1;4\n") == ";"
    assert delimiter_of("note\nhello, world\nno comma\n") == ","


# --- databases

_ROWS: Final = [("王伟", "13800138000"), ("李静怡", "13900139000")]


@pytest.fixture
def members(data_url: str) -> str:
    """The URL of a database with a table `members` and one that is called `or"der`."""
    statements = (
        "CREATE TABLE members (name text, phone text)",
        'CREATE TABLE "or""der" (id integer)',
        *(f"INSERT INTO members VALUES ('{name}', '{phone}')" for name, phone in _ROWS),
    )
    if data_url.startswith("sqlite"):
        with closing(sqlite3.connect(data_url.removeprefix("sqlite:///"))) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()
    else:
        with psycopg.connect(data_url.replace("+psycopg", "")) as server:
            for statement in statements:
                server.execute(statement.encode())
    return data_url.replace("+psycopg", "")


def _with(url: str, query: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{query}"


def test_a_table_of_a_database_is_sampled(members: str) -> None:
    (found,) = databases.sampled(_with(members, "table=members"))
    assert found.columns == ("name", "phone")
    assert sorted(found.rows) == sorted(_ROWS)
    assert [one.source for one in databases.sampled(members)] == ["members", 'or"der']


def test_a_table_that_is_not_there_is_named_and_nothing_else(members: str) -> None:
    with pytest.raises(NotFound, match="'nobody'"):
        list(databases.sampled(_with(members, "table=nobody")))


def test_reading_a_database_cannot_change_it(members: str) -> None:
    with (
        databases._reading(databases._parts(members)[0]) as connection,
        pytest.raises(DBAPIError, match=r"read-?only"),
    ):
        connection.execute(text("INSERT INTO members VALUES ('x', 'y')"))


@pytest.mark.parametrize(
    "url", ["postgresql://steward:s3cret-word@127.0.0.1:9/none", "sqlite:////nowhere/s3cret-word.db"]
)
def test_no_failure_repeats_the_url(url: str) -> None:
    with pytest.raises(PrivacyError) as refused:
        list(databases.sampled(url))
    assert isinstance(refused.value, Unavailable | NotFound)
    assert "s3cret-word" not in repr(refused.value)


def test_a_time_with_its_zone_needs_no_conversion() -> None:
    stored = classify("created_at", ["2026-01-31T08:00:00Z", "2026-02-01T09:30:00+08:00"])
    assert (stored.type, stored.is_stored_as_written) == (ValueType.DATETIME, True)
    local = classify("created_at", ["2026-01-31 08:00:00", "2026-02-01 09:30:00"])
    assert (local.type, local.is_stored_as_written) == (ValueType.DATETIME, False)
