"""What is counted by the lines of a written file is what is in it, or is not counted so."""

from __future__ import annotations

import csv
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from privacy.anonymisation import written_lines
from privacy.anonymisation.duckdb_sources import connected
from privacy.errors import OutputDiffers

cells = st.text(alphabet='a1,";\n *', max_size=4)


def classes(path: Path, quasi: tuple[str, ...] = ("age", "city")) -> Counter[tuple[str, ...]] | None:
    with closing(connected({})) as connection:
        found = written_lines.classes(connection, path, quasi)
    if found is None:
        return None
    texts = (tuple(found.values[at][place] for at, place in enumerate(tuple_)) for tuple_ in found.tuples.tolist())
    return Counter(dict(zip(texts, found.rows.tolist(), strict=True)))


@given(rows=st.lists(st.tuples(cells, cells), min_size=1, max_size=12))
@example(rows=[("a\n", "1"), ("a\n", "1")])
@example(rows=[('"', ","), ('"', ",")])
def test_lines_say_what_columns_say_or_nothing(
    rows: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    # Broken by hand: a value that spans lines not looked for.
    path = tmp_path_factory.mktemp("lines") / "out.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerows([("city", "age"), *((city, age) for age, city in rows)])
    found = classes(path)
    spans = any("\n" in cell for row in rows for cell in row)
    assert found == Counter(rows) if not spans else found in (None, Counter(rows))


def test_a_line_with_a_value_too_many_is_not_what_was_decided(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("age,city\n1,a\n1,a,b\n")
    with pytest.raises(OutputDiffers):
        classes(path)


def test_another_column_in_the_file_is_left_to_the_columns(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("age,city,channel\n1,a,x\n")
    assert classes(path) is None
