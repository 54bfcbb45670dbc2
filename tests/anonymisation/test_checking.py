"""The second opinion beside pycanon, on tables of its own; and where it is meant to differ."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from pathlib import Path
from random import Random

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycanon import anonymity

from privacy.anonymisation.checking import Form, classes, measure, measure_file
from privacy.errors import Invalid

_QUASI = ("age", "city", "year")
Rows = list[tuple[str, str, str, str, int]]

tables = st.lists(
    st.tuples(
        st.sampled_from(["20–29", "30–39", "*"]),
        st.sampled_from(["上海市", "北京市"]),
        st.sampled_from(["2024", "2025", ""]),
        st.sampled_from(["flu", "asthma", "none", "other"]),
        st.integers(0, 4),
    ),
    min_size=2,
    max_size=60,
).filter(lambda rows: len({row[4] for row in rows}) > 1)


def _columns(rows: Rows) -> dict[str, list[str]]:
    names = (*_QUASI, "illness", "visits")
    return {name: [str(row[at]) for row in rows] for at, name in enumerate(names)}


def _frame(rows: Rows) -> pd.DataFrame:
    frame = pd.DataFrame(_columns(rows))
    frame["visits"] = frame["visits"].astype(int)
    return frame


@settings(max_examples=40, deadline=None)
@given(tables)
def test_k_l_and_t_are_those_of_pycanon(rows: Rows) -> None:
    found, frame, quasi = measure(_columns(rows), _QUASI, ["illness", "visits"]), _frame(rows), list(_QUASI)
    illness, visits = found.sensitive
    assert found.k == anonymity.k_anonymity(frame, quasi)
    assert illness.distinct_l == anonymity.l_diversity(frame, quasi, ["illness"])
    assert illness.t_equal == pytest.approx(anonymity.t_closeness(frame, quasi, ["illness"]), abs=1e-9)
    assert visits.t_ordered == pytest.approx(anonymity.t_closeness(frame, quasi, ["visits"]), abs=1e-9)
    both = anonymity.l_diversity(frame, quasi, ["illness", "visits"])
    assert min(illness.distinct_l, visits.distinct_l) == both
    # pycanon cuts to a whole number, and where equal shares make one it may fall to the one below.
    theirs = anonymity.entropy_l_diversity(frame, quasi, ["illness"])
    assert theirs in {math.floor(illness.entropy_l - 1e-9), math.floor(illness.entropy_l + 1e-9)}


@pytest.mark.parametrize("seed", range(6))
def test_k_l_and_t_are_those_of_pycanon_where_every_class_is_mixed(seed: int) -> None:
    """Few classes of many rows, each with all values, in shares of its own: no class is extreme in everything."""
    random = Random(seed)
    shares = {age: [random.random() + 0.2 for _ in range(5)] for age in ("20–29", "30–39", "*")}
    rows = [
        (age, "上海市", "2025", random.choices("abcde", shares[age])[0], random.choices(range(5), shares[age])[0])
        for age in random.choices(list(shares), [5, 2, 1], k=400)
    ]
    found, frame, quasi = measure(_columns(rows), _QUASI, ["illness", "visits"]), _frame(rows), list(_QUASI)
    illness, visits = found.sensitive
    assert illness.t_equal == pytest.approx(anonymity.t_closeness(frame, quasi, ["illness"]), abs=1e-9)
    assert visits.t_ordered == pytest.approx(anonymity.t_closeness(frame, quasi, ["visits"]), abs=1e-9)
    assert illness.distinct_l == anonymity.l_diversity(frame, quasi, ["illness"])
    assert illness.entropy_l == pytest.approx(_entropy_l(rows), abs=1e-9)
    assert math.floor(illness.entropy_l) == anonymity.entropy_l_diversity(frame, quasi, ["illness"])


def _entropy_l(rows: Rows) -> float:
    """As pycanon computes it, before it cuts it."""
    found = []
    for ages in {row[0] for row in rows}:
        values = Counter(row[3] for row in rows if row[0] == ages)
        found.append(-sum(n / values.total() * math.log(n / values.total()) for n in values.values()))
    return math.exp(min(found))


def test_entropy_l_is_the_real_number_of_the_literature() -> None:
    """Machanavajjhala 2007: log l is at most the entropy of every class."""
    columns = {"q": ["a"] * 4, "s": ["x", "x", "y", "z"]}
    (found,) = measure(columns, ["q"], ["s"]).sensitive
    assert found.entropy_l == pytest.approx(math.exp(-(0.5 * math.log(0.5) + 0.5 * math.log(0.25))), abs=1e-12)


@settings(max_examples=15, deadline=None)
@given(rows=tables, seed=st.integers(0, 1000))
def test_the_order_of_the_rows_changes_nothing(rows: Rows, seed: int) -> None:
    shuffled = Random(seed).sample(rows, len(rows))
    first, second = (measure(_columns(one), _QUASI, ["illness"]) for one in (rows, shuffled))
    assert first.worst == second.worst
    assert first.sizes == second.sizes
    assert first.sensitive[0].t_equal == pytest.approx(second.sensitive[0].t_equal, abs=1e-12)


def test_k_counts_persons_and_not_their_rows() -> None:
    columns = {"city": ["A"] * 6 + ["B"] * 5}
    persons = ["p1"] * 6 + ["p2", "p3", "p4", "p5", "p6"]
    found = measure(columns, ["city"], persons=persons)
    assert (found.k, found.persons, found.rows) == (1, 6, 11)
    assert measure(columns, ["city"]).k == 5
    assert found.worst[0].labels == ("A",)
    assert [(size.persons, size.classes, size.rows) for size in found.sizes] == [(1, 1, 6), (5, 1, 5)]


def test_a_missing_value_is_a_value_that_a_recipient_sees() -> None:
    """pycanon would drop the row, and call the rest 2-anonymous."""
    columns: dict[str, list[str | None]] = {"city": ["A", "A", None], "year": ["2025"] * 3}
    assert measure(columns, ["city", "year"]).k == 1
    assert anonymity.k_anonymity(pd.DataFrame(columns), ["city", "year"]) == 2


def test_a_column_of_one_value_is_at_no_distance() -> None:
    (found,) = measure({"q": ["a", "b"], "s": ["1", "1"]}, ["q"], ["s"]).sensitive
    assert (found.t_equal, found.t_ordered, found.distinct_l, found.homogeneous_rows) == (0, 0, 1, 2)


def test_the_ordered_distance_goes_by_the_declared_order() -> None:
    columns = {"q": ["a", "a", "b", "b"], "s": ["low", "middle", "high", "high"]}
    declared = measure(columns, ["q"], ["s"], orders={"s": ["low", "middle", "high"]}).sensitive[0]
    by_text = measure(columns, ["q"], ["s"]).sensitive[0]  # high, low, middle
    # Class b against the table: 0, 0, 1 against 1/4, 1/4, 1/2; cumulated 1/4, 1/2, 0; over two steps.
    assert declared.t_ordered == pytest.approx(0.375)
    assert by_text.t_ordered == pytest.approx(0.375)
    numbers = {"q": ["a", "a", "b", "b"], "s": ["9", "10", "11", "11"]}
    assert measure(numbers, ["q"], ["s"]).sensitive[0].t_ordered == pytest.approx(0.375)
    with pytest.raises(Invalid) as refused:
        measure(columns, ["q"], ["s"], orders={"s": ["low", "middle"]})
    assert "high" not in str(refused.value)


def test_many_columns_of_many_values_do_not_run_over() -> None:
    """A packed key of 17 columns of 16 values would need 68 bits: the first column would drop out of it."""
    values = [str(value) for value in range(16)]
    columns = {f"q{at}": [*values, "0", "1"] for at in range(17)} | {"q0": [*values, "9", "1"]}
    found = measure(columns, [f"q{at}" for at in range(17)])
    assert found.classes == 17
    assert found.sizes[-1].persons == 2


def test_an_empty_table_has_no_class() -> None:
    found = measure({"q": [], "s": []}, ["q"], ["s"])
    assert (found.rows, found.classes, found.k, found.worst) == (0, 0, 0, ())
    assert found.sensitive[0].distinct_l == 0


def test_rows_of_stars_are_a_class_and_are_counted() -> None:
    found = measure({"a": ["*", "x", "x"], "b": ["*", "*", "*"]}, ["a", "b"])
    assert (found.k, found.starred_rows) == (1, 1)


def test_no_table_is_taken_with_a_column_missing_or_cut() -> None:
    with pytest.raises(Invalid):
        measure({"a": ["1"]}, ["b"])
    with pytest.raises(Invalid):
        measure({"a": ["1"], "b": []}, ["a", "b"])
    with pytest.raises(Invalid):
        measure({"a": ["1"]}, ["a"], persons=["p", "q"])


def test_the_worst_classes_are_twenty_and_can_be_left_out() -> None:
    columns = {"q": [str(value) for value in range(50) for _ in range(1 + value % 5)]}
    found = measure(columns, ["q"])
    assert [one.persons for one in found.worst] == [1] * 10 + [2] * 10
    assert measure(columns, ["q"], worst=0).worst == ()


def test_the_class_of_each_row_is_told() -> None:
    found, of_row = classes({"q": ["b", "a", "b"]}, ["q"])
    assert [found.labels[0][at] for at in of_row] == ["b", "a", "b"]


def _table() -> tuple[dict[str, list[str]], list[int]]:
    random = Random(3)
    columns = {
        "age": [random.choice(["20–29", "30–39", '"quoted", with comma']) for _ in range(400)],
        "city": [random.choice(["上海市", "北京市", "O'Fallon", "*"]) for _ in range(400)],
        "illness": [random.choice("abcd") for _ in range(400)],
    }
    return columns, [random.randrange(150) for _ in range(400)]


def _csv(columns: dict[str, list[str]], delimiter: str = ",") -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue().encode()


@pytest.mark.parametrize("persons", [False, True], ids=["rows", "persons"])
@pytest.mark.parametrize("delimiter", [",", ";"], ids=["comma", "semicolon"])
def test_a_written_csv_file_is_read_back_to_the_same_figures(tmp_path: Path, persons: bool, delimiter: str) -> None:
    columns, people = _table()
    whose = people if persons else None
    content = _csv(columns, delimiter)
    path = tmp_path / "it's a release.csv"
    path.write_bytes(content)
    expected = measure(columns, ["age", "city"], ["illness"], whose)
    for source in (path, content):
        found = measure_file(source, Form.CSV, ["age", "city"], ["illness"], whose, delimiter=delimiter)
        assert found.sensitive[0].t_equal == pytest.approx(expected.sensitive[0].t_equal, abs=1e-12)
        assert (found.k, found.persons, found.worst, found.sizes) == (
            expected.k, expected.persons, expected.worst, expected.sizes
        )  # fmt: skip


def test_missing_values_of_a_file_are_a_class_and_an_empty_text_is_another() -> None:
    content = b'city,illness\n,x\n,y\n"",x\nA,x\nA,y\n'
    found = measure_file(content, Form.CSV, ["city"], ["illness"])
    assert (found.classes, found.k) == (3, 1)
    assert [one.labels for one in found.worst] == [("",), (None,), ("A",)]
    assert (found.sensitive[0].homogeneous_rows, found.sensitive[0].distinct_l) == (1, 1)


def test_a_written_parquet_file_is_read_back_to_the_same_figures(tmp_path: Path) -> None:
    columns, people = _table()
    path = tmp_path / "release.parquet"
    with duckdb.connect(":memory:") as connection:
        connection.register("made", {name: np.array(values, dtype=object) for name, values in columns.items()})
        connection.execute(f"COPY made TO '{path}' (FORMAT parquet)")
    expected = measure(columns, ["age", "city"], ["illness"], people)
    for source in (path, path.read_bytes()):
        found = measure_file(source, Form.PARQUET, ["age", "city"], ["illness"], people)
        assert (found.k, found.worst, found.attributes) == (expected.k, expected.worst, expected.attributes)


def test_what_is_no_such_file_is_refused_without_a_word_of_it(tmp_path: Path) -> None:
    for form, content in (
        (Form.PARQUET, b"13800138000"),
        (Form.CSV, b"a,b\n13800138000,1,2\n"),
        (Form.CSV, b"\xff\xfe"),
    ):
        with pytest.raises(Invalid) as refused:
            measure_file(content, form, ["a"])
        assert "13800138000" not in str(refused.value)
    with pytest.raises(Invalid):
        measure_file(b"a\n1\n", Form.CSV, ["missing"])
    with pytest.raises(Invalid):
        measure_file(b"a\n1\n", Form.CSV, ["a"], persons=[1, 2])
