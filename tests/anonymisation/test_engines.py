"""The three statements: what one engine counts and writes, every engine counts and writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import duckdb
import numpy as np
import psycopg
import pytest
from psycopg import sql

from privacy.anonymisation.engine import Counted, Engine, Form, Published, Roles, Target
from privacy.anonymisation.engine_duckdb import DuckDB
from privacy.anonymisation.engine_postgresql import PostgreSQL
from privacy.anonymisation.execution import Outcome, run
from privacy.anonymisation.policies import Policy
from privacy.errors import CannotAnonymise, Conflict, Invalid, OutputDiffers, TooLarge, Unclassified
from tests.anonymisation.people import POLICY, QUASI, as_csv, people, specs
from tests.databases import PostgresDatabases

ROLES = Roles(QUASI, ("ward",), ("amount",), ("note",), "who")
# A name that would break out of a statement that does not quote it, in every engine.
ODD = 'pe"op`le; x'


@pytest.fixture
def url(postgresql_databases: PostgresDatabases) -> Iterator[str]:
    made = postgresql_databases.empty()
    yield made
    postgresql_databases.remove(made)


def stored(url: str, table: str = ODD) -> str:
    """The people as a table, with a missing value as NULL and the age as a number."""
    columns = people()
    with psycopg.connect(url) as connection:
        types = ", ".join(f"{name} {'integer' if name == 'age' else 'text'}" for name in columns)
        connection.execute(sql.SQL("CREATE TABLE {} (" + types + ")").format(sql.Identifier(table)))
        statement = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))
        with connection.cursor().copy(statement) as copy:
            for row in zip(*columns.values(), strict=True):
                copy.write_row([value or None for value in row])
    return table


def as_parquet(path: Path) -> Path:
    with closing(duckdb.connect(":memory:")) as connection:
        connection.register("given", {name: np.array(values, dtype=object) for name, values in people().items()})
        connection.execute(
            f"COPY (SELECT * REPLACE (age::INT AS age, nullif(city, '') AS city) FROM given) TO '{path}'"
        )
    return path


@pytest.fixture(params=["memory", "csv", "parquet", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with ExitStack() as stack:
        match request.param:
            case "memory":
                yield stack.enter_context(DuckDB(people()))
            case "csv":
                yield stack.enter_context(DuckDB(as_csv(tmp_path / "people.csv", people(), delimiter=";")))
            case "parquet":
                yield stack.enter_context(DuckDB(as_parquet(tmp_path / "people.parquet")))
            case _:
                url = request.getfixturevalue("url")
                yield stack.enter_context(PostgreSQL(url, stored(url)))


def plain(counted: Counted) -> tuple[dict[tuple[str, ...], tuple[int, int, int]], dict[tuple[str, ...], int]]:
    """What was counted, whatever the order: by tuple, and by tuple and sensitive value."""
    tuples = [
        tuple(values[code] for values, code in zip(counted.values, codes, strict=True))
        for codes in counted.tuples.tolist()
    ]
    counts = zip(counted.rows.tolist(), counted.weights.tolist(), counted.persons.tolist(), strict=True)
    pairs = {
        (*tuples[at], one.name, one.values[code]): count
        for one in counted.sensitive
        for at, code, count in zip(one.tuples.tolist(), one.codes.tolist(), one.counts.tolist(), strict=True)
    }
    return dict(zip(tuples, counts, strict=True)), pairs


def counted_by_hand() -> tuple[dict[tuple[str, ...], tuple[int, int, int]], dict[tuple[str, ...], int]]:
    columns = people()
    keys = list(zip(*(columns[name] for name in QUASI), strict=True))
    owned = Counter(columns["who"])
    rows = Counter(keys)
    weights: Counter[tuple[str, ...]] = Counter()
    for key, who in zip(keys, columns["who"], strict=True):
        weights[key] += 2**32 // owned[who]
    persons = Counter(key for key, _ in set(zip(keys, columns["who"], strict=True)))
    pairs = Counter((*key, "ward", ward) for key, ward in zip(keys, columns["ward"], strict=True))
    return {key: (rows[key], weights[key], persons[key]) for key in rows}, dict(pairs)


def test_every_engine_counts_the_same_tuples_persons_and_sensitive_values(engine: Engine) -> None:
    found = engine.histogram(ROLES)
    assert plain(found) == counted_by_hand()
    assert (found.unit, found.people) == (2**32, len(set(people()["who"])))


def test_without_a_person_every_row_is_one(engine: Engine) -> None:
    found = engine.histogram(Roles(QUASI, dropped=("ward", "who", "amount", "note")))
    assert found.unit == 1
    assert np.array_equal(found.weights, found.rows)
    assert np.array_equal(found.persons, found.rows)
    assert found.total == found.people == 600


@pytest.fixture
def target(engine: Engine, tmp_path: Path) -> Target:
    return Target("released", Form.TABLE) if isinstance(engine, PostgreSQL) else Target(str(tmp_path / "o"), Form.CSV)


def test_what_is_written_is_what_was_decided_and_counted_again(engine: Engine, target: Target) -> None:
    outcome = run(engine, target, ROLES, specs(), POLICY)
    assert outcome.columns == ("age", "sex", "city", "ward", "amount")
    assert outcome.persons_k >= 5
    after = outcome.after()
    assert after.rows == outcome.published.total <= outcome.counted.total == 600
    assert after.sensitive[0].distinct_l >= 2
    assert plain(outcome.found)[0].keys() == {
        tuple(known[code] for known, code in zip(outcome.published.labels, codes, strict=True))
        for codes in outcome.published.classes.tolist()
    }


def test_the_persons_of_a_written_class_are_at_least_what_was_proved(engine: Engine, target: Target) -> None:
    """By hand, from the decision: a person with many rows is one person."""
    outcome = run(engine, target, ROLES, specs(), POLICY)
    class_of = dict(zip(tuples_of(outcome.counted), outcome.published.class_of.tolist(), strict=True))
    columns = people()
    persons: dict[int, set[str]] = {}
    for *key, who in zip(*(columns[name] for name in QUASI), columns["who"], strict=True):
        persons.setdefault(class_of[tuple(key)], set()).add(who)
    assert min(len(found) for of, found in persons.items() if of >= 0) >= outcome.persons_k >= 5


def tuples_of(counted: Counted) -> list[tuple[str, ...]]:
    return [tuple(v[c] for v, c in zip(counted.values, codes, strict=True)) for codes in counted.tuples.tolist()]


def test_every_column_without_a_role_is_named(engine: Engine, target: Target) -> None:
    with pytest.raises(Unclassified) as refused:
        run(engine, target, Roles(("age",), person="who"), specs(), Policy())
    assert refused.value.context["columns"] == ["sex", "city", "ward", "amount", "note"]


def test_a_role_without_a_column_and_a_column_with_two_roles_are_refused(engine: Engine, target: Target) -> None:
    with pytest.raises(Invalid, match="no column salary"):
        run(engine, target, Roles(QUASI, ("ward",), ("amount", "salary"), ("note",), "who"), specs(), POLICY)
    with pytest.raises(Invalid, match="two roles: ward"):
        Roles(QUASI, ("ward",), ("ward",))
    with pytest.raises(Invalid, match="No hierarchy for city"):
        run(engine, target, ROLES, {name: one for name, one in specs().items() if name != "city"}, POLICY)


def test_what_cannot_be_anonymised_is_not_written(engine: Engine, target: Target) -> None:
    with pytest.raises(CannotAnonymise):
        run(engine, target, ROLES, specs(), Policy(k=700, suppression=0))
    assert not Path(target.place).exists()


def exchanged(published: Published) -> Published:
    """The labels of two classes of different size, one for the other."""
    class_of, sizes = published.class_of.copy(), published.rows
    first = int(sizes.argmin())
    second = next(at for at in range(len(sizes)) if sizes[at] != sizes[first])
    class_of[published.class_of == first] = second
    class_of[published.class_of == second] = first
    return Published(published.counted, published.labels, published.classes, class_of, published.rows)


class WrongDuckDB(DuckDB):
    """It writes what it was not told."""

    def write(self, roles: Roles, published: Published, target: Target) -> None:
        super().write(roles, exchanged(published), target)


class WrongPostgreSQL(PostgreSQL):
    """Likewise."""

    def write(self, roles: Roles, published: Published, target: Target) -> None:
        super().write(roles, exchanged(published), target)


def test_a_file_that_is_not_what_was_decided_is_refused(tmp_path: Path) -> None:
    with WrongDuckDB(people()) as engine, pytest.raises(OutputDiffers):
        run(engine, Target(str(tmp_path / "o"), Form.PARQUET), ROLES, specs(), POLICY)


@pytest.fixture
def in_postgresql(url: str) -> Callable[[Target], Outcome]:
    def anonymised(target: Target) -> Outcome:
        with PostgreSQL(url, ODD) as engine:
            return run(engine, target, ROLES, specs(), POLICY)

    stored(url)
    return anonymised


def test_in_postgresql_the_table_is_there_after_the_recheck_or_not_at_all(
    in_postgresql: Callable[[Target], Outcome], url: str
) -> None:
    outcome = in_postgresql(Target(f"public.{ODD}_out", Form.TABLE))
    with psycopg.connect(url) as connection:
        tables = {name for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
        rows = connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(f"{ODD}_out"))).fetchall()
        assert tables == {ODD, f"{ODD}_out"}
        assert not connection.execute("SELECT 1 FROM pg_class WHERE relname = 'anonymisation_mapping'").fetchall()
    amounts = [float(row[4]) for row in rows]
    assert len(rows) == outcome.published.total
    assert amounts != sorted(amounts), "in another order than the source's"
    with pytest.raises(Conflict):
        in_postgresql(Target(f"public.{ODD}_out", Form.TABLE))
    with pytest.raises(OutputDiffers), WrongPostgreSQL(url, ODD) as engine:
        run(engine, Target("other", Form.TABLE), ROLES, specs(), POLICY)
    with psycopg.connect(url) as connection:
        assert not connection.execute("SELECT 1 FROM pg_tables WHERE tablename = 'other'").fetchall()


def test_a_failure_of_the_database_says_nothing_of_a_value(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE VIEW broken AS SELECT '1'::text AS age, ('secret-' || 1)::integer AS sex")
    with PostgreSQL(url, "broken") as engine, pytest.raises(Invalid) as refused:
        engine.histogram(Roles(("age", "sex")))
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_many_columns_whose_values_multiply_past_one_key_are_counted_right() -> None:
    columns = {f"c{n}": [str((row * (n + 3)) % 97) for row in range(400)] for n in range(14)}
    with DuckDB(columns) as engine:
        found = engine.histogram(Roles(tuple(columns)))
    assert Counter(tuples_of(found)) == Counter(set(zip(*columns.values(), strict=True)))


def test_what_does_not_fit_in_memory_is_refused_and_not_spilt(tmp_path: Path) -> None:
    columns = people() | {"note": ["n" * 100_000 + str(n) for n in range(600)]}
    roles = Roles(QUASI, ("ward",), ("amount", "note"), (), "who")
    with DuckDB(columns, memory="20MB", threads=1) as engine:
        assert engine._settings["temp_directory"] == ""
        with pytest.raises(TooLarge):
            run(engine, Target(str(tmp_path / "o"), Form.CSV), roles, specs(), POLICY)
    assert {path.name for path in tmp_path.iterdir()} <= {"o"}
