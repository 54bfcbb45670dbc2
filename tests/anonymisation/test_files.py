"""A file in, an anonymised file out: what is in it, what is not, and that there is never half of one."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.anonymisation import checking, files
from privacy.anonymisation.engine import Form
from privacy.anonymisation.execution import Stage
from privacy.anonymisation.hierarchy_specs import parse
from privacy.anonymisation.parquet_footer import forget_writer
from privacy.anonymisation.policies import Policy, Recoding
from privacy.errors import CannotAnonymise, Conflict, Invalid, OutputDiffers
from tests.anonymisation.people import POLICY, QUASI, as_csv, people, read_csv, specs


def done(source: Any, target: Path | Form, **more: Any) -> files.Done:
    usual: dict[str, Any] = {
        "quasi": specs(),
        "policy": POLICY,
        "sensitive": ["ward"],
        "dropped": ["amount", "note"],
        "persons": "who",
    }
    return files.anonymise(source, target, **usual | more)


def test_a_csv_holds_the_labels_of_its_hierarchies_and_no_other_column(tmp_path: Path) -> None:
    found = done(as_csv(tmp_path / "people.csv", people()), tmp_path / "out.csv")
    rows = read_csv((tmp_path / "out.csv").read_text())
    assert list(rows[0]) == ["age", "sex", "city", "ward"]
    assert len(rows) == found.after.rows == found.rows - found.suppressed
    for n, name in enumerate(QUASI):
        assert {row[name] for row in rows} <= set(found.generalisation.histogram.hierarchies[n].node_labels)


@pytest.mark.parametrize("form", [Form.CSV, Form.PARQUET])
def test_the_second_opinion_on_the_bytes_agrees(form: Form) -> None:
    found = done(people(), form)
    assert found.content is not None
    second = checking.measure_file(found.content, checking.Form(form.value), QUASI, ["ward"])
    assert second.k == found.after.k >= 5
    assert second.sizes == found.after.sizes
    (ours,), (theirs,) = found.after.sensitive, second.sensitive
    assert ours.distinct_l == theirs.distinct_l >= 2
    assert ours.t_equal == pytest.approx(theirs.t_equal)
    assert found.before.k == 1
    assert found.before.worst == (), "the source's smallest classes are people's own values"


def test_parquet_says_nothing_of_what_wrote_it_nor_of_what_was_left_out(tmp_path: Path) -> None:
    columns = people()
    columns["city"][0] = "999999"  # alone, so that no class can hold it
    columns["ward"][0] = "observation"
    done(as_csv(tmp_path / "secret-source.csv", columns), tmp_path / "out.parquet", kept=[])
    content = (tmp_path / "out.parquet").read_bytes()
    with closing(duckdb.connect(":memory:")) as connection:
        place = str(tmp_path / "out.parquet")
        assert connection.execute("SELECT * FROM parquet_kv_metadata(?)", [place]).fetchall() == []
        (writer,) = connection.execute("SELECT created_by FROM parquet_file_metadata(?)", [place]).fetchone() or ()
        assert writer == "parquet"
        pages = connection.execute("SELECT * FROM parquet_metadata(?)", [place]).fetchall()
    for word in (b"secret-source", b"DuckDB", b"duckdb", b"internal remark"):
        assert word not in content
    assert "999999" not in str(pages)


def test_a_value_that_is_not_published_is_in_no_dictionary_of_the_file(tmp_path: Path) -> None:
    """DuckDB writes a whole ENUM into each dictionary: one of the hierarchy would publish the values of everybody."""
    alone = [f"{n * 123_456_789:012d}" for n in range(40)]
    columns = {"code": ["A" * 12] * 500 + ["B" * 12] * 500 + alone}
    out = tmp_path / "out.parquet"
    files.anonymise(columns, out, quasi={"code": parse("flat")}, policy=Policy(k=5))
    with closing(duckdb.connect(":memory:")) as connection:
        labels = {label for (label,) in connection.execute(f"SELECT DISTINCT code FROM '{out}'").fetchall()}
        sizes = connection.execute("SELECT total_uncompressed_size FROM parquet_metadata(?)", [str(out)]).fetchall()
    assert not labels & set(alone)
    assert sum(size for (size,) in sizes) < 500, "two bits a row and three labels, where forty more take 640 bytes"


def test_a_footer_that_is_not_as_expected_is_refused(tmp_path: Path) -> None:
    for content in (b"PAR1" + b"\0" * 4 + b"nope", b"PAR1xxxx\x04\0\0\0PAR1"):
        (tmp_path / "odd").write_bytes(content)
        with pytest.raises(OutputDiffers):
            forget_writer(tmp_path / "odd", "somebody")


def test_rows_come_in_an_order_that_is_not_the_source_s_and_never_the_same() -> None:
    columns = people()
    orders = []
    for _ in range(2):
        found = done(columns, Form.CSV, dropped=["note"], kept=["amount"])
        assert found.content is not None
        orders.append([float(row["amount"]) for row in read_csv(found.content.decode())])
    first, second = orders
    assert sorted(first) == sorted(second)
    assert first != second
    source = [float(amount) for amount in columns["amount"]]
    assert first != [amount for amount in source if amount in set(first)]
    # As far from the source's order as chance is: about half of neighbours descend.
    assert 0.4 < sum(a > b for a, b in pairwise(first)) / len(first) < 0.6


def test_a_kept_column_keeps_its_type_and_its_place(tmp_path: Path) -> None:
    with closing(duckdb.connect(":memory:")) as connection:
        source = as_csv(tmp_path / "p.csv", people())
        connection.execute(
            "COPY (SELECT amount::DOUBLE AS amount, * EXCLUDE (amount, note) "
            f"FROM read_csv('{source}', all_varchar=true)) TO '{tmp_path / 'p.parquet'}'"
        )
    done(tmp_path / "p.parquet", tmp_path / "o.parquet", kept=["amount"], dropped=[])
    with closing(duckdb.connect(":memory:")) as connection:
        described = connection.execute(f"DESCRIBE SELECT * FROM '{tmp_path / 'o.parquet'}'").fetchall()
    assert [(name, kind) for name, kind, *_ in described][:2] == [("amount", "DOUBLE"), ("age", "VARCHAR")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_a_csv_is_read_in_its_encoding(tmp_path: Path, encoding: str) -> None:
    columns = {"城市": ["上海"] * 10 + ["北京,\n朝阳"] * 10}
    source = as_csv(tmp_path / "s.csv", columns, encoding=encoding, delimiter=";")
    found = files.anonymise(source, Form.CSV, quasi={"城市": parse("flat")}, policy=Policy(k=5))
    assert found.content is not None
    text = found.content.decode()
    assert {row["城市"] for row in csv.DictReader(io.StringIO(text))} == {"上海", "北京,\n朝阳"}


def test_a_file_is_whole_under_its_name_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out.csv"
    with pytest.raises(CannotAnonymise):
        done(people(), out, policy=Policy(k=700, suppression=0))
    assert list(tmp_path.iterdir()) == []
    seen: list[list[str]] = []
    done(people(), out, progress=lambda stage: seen.append([path.name for path in tmp_path.iterdir()]))
    assert all("out.csv" not in names for names in seen), "while it is made it has another name"
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
    before = out.read_bytes()
    with pytest.raises(Conflict):
        done(people(), out)
    assert out.read_bytes() == before
    done(people(), out, replace=True)
    assert out.read_bytes() != before, "another order"

    def late(stage: Stage) -> None:
        if stage is Stage.CHECK:
            (tmp_path / "late.csv").write_text("somebody else's")

    with pytest.raises(Conflict):
        done(people(), tmp_path / "late.csv", progress=late)
    assert (tmp_path / "late.csv").read_text() == "somebody else's"
    assert {path.name for path in tmp_path.iterdir()} == {"out.csv", "late.csv"}


def test_a_failing_write_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(Invalid):
        done(people(), tmp_path / "nowhere" / "out.csv")
    with pytest.raises(Conflict):
        done(people(), tmp_path / "folder")


@pytest.mark.parametrize("content", ["", "a,a\n1,2\n", "a,,c\n1,2,3\n", "age,sex\n1,2\n3\n", "age,sex\n"])
def test_a_file_that_is_no_table_is_refused_without_a_word_of_it(tmp_path: Path, content: str) -> None:
    source = tmp_path / "s.csv"
    source.write_text(content)
    with pytest.raises(Invalid) as refused:
        files.anonymise(source, Form.CSV, quasi={"age": parse("flat"), "sex": parse("flat")}, policy=Policy(k=2))
    assert "1" not in re.sub(r"[A-Za-z.]+", "", str(refused.value))


def test_a_person_with_many_rows_is_one_person() -> None:
    """k on rows would let one person's twenty visits pass for twenty people."""
    columns = {"city": ["Leeds"] * 20 + ["Hull"] * 20, "who": ["one"] * 20 + [f"p{n}" for n in range(20)]}
    by_row = files.anonymise(columns, Form.CSV, quasi={"city": parse("flat")}, dropped=["who"], policy=Policy(k=5))
    assert by_row.content is not None
    assert b"Leeds" in by_row.content
    by_person = files.anonymise(
        columns, Form.CSV, quasi={"city": parse("flat")}, persons="who", policy=Policy(k=5, suppression=0.5)
    )
    assert by_person.content is not None
    assert b"Leeds" not in by_person.content
    assert by_person.persons_k >= 5
    given_beside = files.anonymise(
        {"city": columns["city"]},
        Form.CSV,
        quasi={"city": parse("flat")},
        persons=columns["who"],
        policy=Policy(k=5, suppression=0.5),
    )
    assert given_beside.persons_k == by_person.persons_k


_CELLS = st.text(alphabet="ab,\"\n;'\\ 中é*", max_size=4)


@settings(max_examples=10)
@given(st.lists(st.tuples(_CELLS, _CELLS), min_size=4, max_size=40), st.sampled_from([Form.CSV, Form.PARQUET]))
def test_any_text_comes_out_as_it_went_in_or_generalised(rows: list[tuple[str, str]], form: Form) -> None:
    columns = {"q": [row[0] for row in rows], "kept": [row[1] for row in rows]}
    policy = Policy(k=2, suppression=1, recoding=Recoding.LOCAL)
    found = files.anonymise(columns, form, quasi={"q": parse("flat")}, kept=["kept"], policy=policy)
    assert found.content is not None
    assert found.after.k >= 2
    assert found.after.rows + found.suppressed == len(rows)
    if form is Form.CSV:
        written = Counter(row["kept"] for row in csv.DictReader(io.StringIO(found.content.decode(), newline="")))
        assert written <= Counter(columns["kept"])
