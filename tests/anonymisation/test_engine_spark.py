"""The three statements in Spark SQL, on a Spark of this process: it counts and writes what DuckDB does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from privacy.anonymisation.engine import Form, Published, Roles, Target
from privacy.anonymisation.engine_duckdb import DuckDB
from privacy.anonymisation.engine_spark import Spark
from privacy.anonymisation.execution import run
from privacy.anonymisation.policies import Policy
from privacy.errors import CannotAnonymise, Conflict, Invalid, OutputDiffers
from tests.anonymisation.people import POLICY, QUASI, people, specs
from tests.anonymisation.spark import spark
from tests.anonymisation.test_engines import exchanged, plain

ROLES = Roles(QUASI, ("ward",), ("amount",), ("note",), "who")


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with spark(tmp_path_factory.mktemp("spark")) as made:
        columns = people()
        rows = [tuple(value or None for value in row) for row in zip(*columns.values(), strict=True)]
        schema = ", ".join(f"`{name}` string" for name in columns)
        made.createDataFrame(rows, schema).createOrReplaceTempView("`pe``ople; x`")
        yield made


TABLE = "pe`ople; x"


def test_spark_counts_what_duckdb_counts(session: Any) -> None:
    with Spark(session, TABLE) as engine, DuckDB(people()) as other:
        found, same = engine.histogram(ROLES), other.histogram(ROLES)
        assert plain(found) == plain(same)
        assert (found.unit, found.people) == (same.unit, same.people)


def test_spark_writes_what_was_decided_in_an_order_of_its_own(session: Any, tmp_path: Path) -> None:
    target = Target(str(tmp_path / "out"), Form.PARQUET)
    with Spark(session, TABLE) as engine, DuckDB(people()) as other:
        outcome = run(engine, target, ROLES, specs(), POLICY)
        same = run(other, Target(str(tmp_path / "same.parquet"), Form.PARQUET), ROLES, specs(), POLICY)
    assert plain(outcome.found) == plain(same.found)
    assert outcome.persons_k >= 5
    with closing(duckdb.connect(":memory:")) as connection:
        columns = "age, sex, city, ward, amount"
        place = f"{tmp_path}/out/*.parquet"
        ours = connection.execute(f"SELECT {columns} FROM '{place}'").fetchall()
        theirs = connection.execute(f"SELECT {columns} FROM '{tmp_path}/same.parquet'").fetchall()
    assert sorted(ours) == sorted(theirs)
    amounts = [float(row[4]) for row in ours]
    assert amounts != sorted(amounts)
    with Spark(session, TABLE) as engine, pytest.raises(Conflict):
        run(engine, target, ROLES, specs(), POLICY)
    assert (tmp_path / "out").is_dir(), "what was there before stays"


class WrongSpark(Spark):
    """It writes what it was not told."""

    def write(self, roles: Roles, published: Published, target: Target) -> None:
        super().write(roles, exchanged(published), target)


def test_what_is_refused_leaves_nothing_behind(session: Any, tmp_path: Path) -> None:
    target = Target(str(tmp_path / "out"), Form.PARQUET)
    with pytest.raises(CannotAnonymise), Spark(session, TABLE) as engine:
        run(engine, target, ROLES, specs(), Policy(k=700, suppression=0))
    assert not (tmp_path / "out").exists()

    with pytest.raises(OutputDiffers), WrongSpark(session, TABLE) as engine:
        run(engine, target, ROLES, specs(), POLICY)
    assert not (tmp_path / "out").exists()
    assert [row["viewName"] for row in session.sql("SHOW VIEWS").collect()] == [TABLE], "no mapping is left"


def test_spark_s_own_words_are_not_passed_on(session: Any) -> None:
    with Spark(session, "nowhere") as engine, pytest.raises(Invalid) as refused:
        engine.columns()
    assert refused.value.__cause__ is None
    assert "nowhere" not in str(refused.value)
