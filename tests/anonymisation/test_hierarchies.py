"""What values may be generalised to."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.anonymisation import hierarchy_specs
from privacy.anonymisation.hierarchies import (
    Hierarchy,
    dates,
    divisions,
    flat,
    from_csv,
    intervals,
    of_paths,
    prefixes,
)
from privacy.errors import Invalid, UnknownValue
from tests.anonymisation.made_tables import trees

AGES = "17;15-19;0-39;*\n61;60-64;40-79;*\n18;15-19;0-39;*\n30;30-34;0-39;*\n"


def paths(hierarchy: Hierarchy) -> dict[str, list[str]]:
    """Each value with its generalisations."""
    return {
        leaf: [hierarchy.labels[level][hierarchy.groups[level, code]] for level in range(1, hierarchy.levels)]
        for code, leaf in enumerate(hierarchy.leaves)
    }


@given(trees())
def test_what_stands_under_a_node_is_a_range_of_codes(hierarchy: Hierarchy) -> None:
    for groups in hierarchy.groups:
        assert all(step in (0, 1) for step in np.diff(groups))
    assert len(hierarchy.labels[-1]) == 1
    assert [len(level) for level in hierarchy.labels] == sorted(map(len, hierarchy.labels), reverse=True)
    for finer, coarser in pairwise(hierarchy.groups):
        assert len(set(zip(finer.tolist(), coarser.tolist(), strict=True))) == len(set(finer.tolist()))


@given(trees(), st.data())
def test_the_covering_node_is_the_lowest_over_both(hierarchy: Hierarchy, data: st.DataObject) -> None:
    codes = st.integers(0, len(hierarchy.leaves) - 1)
    low, high = sorted((data.draw(codes), data.draw(codes)))
    (node,) = hierarchy.covering(np.asarray([low], dtype=np.int32), np.asarray([high], dtype=np.int32))
    over = [
        level
        for level in range(hierarchy.levels)
        if all(hierarchy.groups[level, code] == hierarchy.groups[level, low] for code in range(low, high + 1))
    ]
    assert node == hierarchy.nodes(over[0])[low]
    assert hierarchy.node_labels[node] == hierarchy.labels[over[0]][hierarchy.groups[over[0], low]]


@given(trees())
def test_a_node_loses_what_it_hides(hierarchy: Hierarchy) -> None:
    for level in range(hierarchy.levels):
        for group, width in enumerate(hierarchy.widths[level]):
            assert width == (np.count_nonzero(hierarchy.groups[level] == group) - 1) / (len(hierarchy.leaves) - 1)
    assert hierarchy.node_loss[hierarchy.root] == 1


def test_arx_files_are_read_and_numbers_lose_by_their_span() -> None:
    ages = from_csv("age", "\ufeff" + AGES)
    assert ages.leaves == ("17", "18", "30", "61")
    assert ages.labels[1:] == (("15-19", "30-34", "60-64"), ("0-39", "40-79"), ("*",))
    assert ages.widths[1].tolist() == [1 / 44, 0, 0]
    assert ages.widths[2].tolist() == [13 / 44, 0]
    present = from_csv("age", AGES, present=["17", "30"])
    assert present.leaves == ("17", "30")
    assert present.node_loss[present.root] == 1


@pytest.mark.parametrize("text", ["", "a;*\na;*\n", "a;x;*\nb;*\n"])
def test_a_malformed_hierarchy_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        from_csv("city", text)


def test_equal_labels_under_different_parents_are_different_nodes() -> None:
    towns = of_paths(
        "town", [("a", "Springfield", "Ohio"), ("b", "Springfield", "Texas"), ("c", "Springfield", "Ohio")]
    )
    assert towns.leaves == ("a", "c", "b")
    assert towns.labels[1:] == (("Springfield", "Springfield"), ("Ohio", "Texas"), ("*",))


def test_a_level_that_changes_nothing_is_left_out() -> None:
    assert of_paths("x", [("a", "a", "*"), ("b", "b", "*")]).levels == 2


def test_an_unknown_value_is_refused_and_not_repeated() -> None:
    makers = (
        lambda: flat("city", ["secret-town"]).encode(["secret-city"]),
        lambda: from_csv("city", "a;*\n", present=["secret-city"]),
        lambda: intervals("city", ["1", "secret-city"]),
        lambda: intervals("city", ["nan"]),
        lambda: dates("city", ["secret-city"]),
    )
    for make in makers:
        with pytest.raises(UnknownValue) as refused:
            make()
        assert refused.value.context == {"column": "city"}
        assert "secret" not in str(refused.value)
        assert refused.value.__cause__ is None
        assert refused.value.__suppress_context__ or refused.value.__context__ is None


@given(st.lists(st.integers(0, 10_000), min_size=1), st.sampled_from([(5,), (5, 10), (10, 50, 100)]))
def test_a_number_is_in_its_interval(numbers: list[int], widths: tuple[int, ...]) -> None:
    for value, labels in paths(intervals("income", map(str, numbers), widths)).items():
        for label in labels[:-1]:
            if label != value:
                low, high = map(int, label.split("-"))
                assert low <= int(value) <= high
                assert high - low + 1 in widths


def test_intervals_of_fractions_and_of_what_is_below_zero() -> None:
    found = paths(intervals("temperature", ["-0.5", "36.6", "37.4", ""], (2.5, 5)))
    assert found["-0.5"] == ["[-2.5, 0)", "[-5, 0)", "*"]
    assert found["36.6"] == ["[35, 37.5)", "[35, 40)", "*"]
    assert found[""] == ["", "", "*"]


@pytest.mark.parametrize("widths", [(), (0,), (-5,), (10, 5), (10, 15)])
def test_widths_that_do_not_nest_are_refused(widths: tuple[int, ...]) -> None:
    with pytest.raises(Invalid):
        intervals("age", ["1"], widths)


def test_dates_by_month_quarter_year_and_decade() -> None:
    levels = ("day", "month", "quarter", "year", "decade")
    found = dates("joined", ["2026-05-17T08:00:00Z", "2026-06-01", "2024-02-29", ""], levels)
    assert paths(found)["2026-05-17T08:00:00Z"] == ["2026-05-17", "2026-05", "2026-Q2", "2026", "2020-2029", "*"]
    assert found.leaves == ("2024-02-29", "2026-05-17T08:00:00Z", "2026-06-01", "")
    whole = date(2026, 6, 1) - date(2024, 2, 29)
    (year,) = {found.node_loss[found.nodes(4)[code]] for code in (1, 2)}
    assert year == 15 / whole.days
    for wrong in ((), ("year", "month"), ("week",)):
        with pytest.raises(Invalid):
            dates("joined", ["2026-01-01"], wrong)


def test_codes_by_prefix() -> None:
    assert paths(prefixes("postcode", ["310012", "310030", "100871"], (3, 1))) == {
        "100871": ["100*", "1*", "*"],
        "310012": ["310*", "3*", "*"],
        "310030": ["310*", "3*", "*"],
    }
    for wrong in ((), (1, 3), (2, 0)):
        with pytest.raises(Invalid):
            prefixes("postcode", ["1"], wrong)


def test_chinese_administrative_divisions_by_code_and_by_name() -> None:
    codes, names = ["330106", "330102"], ["浙江省杭州市西湖区文三路", "浙江杭州市", "北京海淀区", "海外"]
    found = paths(divisions("home", [*codes, *names, "内蒙古自治区锡林郭勒盟二连浩特市"]))
    assert found == {
        "330106": ["330106", "330100", "330000", "*"],
        "330102": ["330102", "330100", "330000", "*"],
        "浙江省杭州市西湖区文三路": ["浙江省杭州市西湖区", "浙江省杭州市", "浙江省", "*"],
        "浙江杭州市": ["浙江省杭州市", "浙江省杭州市", "浙江省", "*"],
        "北京海淀区": ["北京市海淀区", "北京市", "北京市", "*"],
        "内蒙古自治区锡林郭勒盟二连浩特市": [
            "内蒙古自治区锡林郭勒盟二连浩特市",
            "内蒙古自治区锡林郭勒盟",
            "内蒙古自治区",
            "*",
        ],
        "海外": ["海外", "海外", "海外", "*"],
    }


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        ({"csv": AGES}, ["17", "30"]),
        ({"intervals": [2.5, 5]}, ["1", "2"]),
        ({"dates": ["month", "year"]}, ["2026-01-01"]),
        ({"prefix": [3, 1]}, ["310012"]),
        ("divisions", ["330106"]),
        ("flat", ["x"]),
    ],
)
def test_a_hierarchy_is_named_in_a_manifest(spec: object, values: list[str]) -> None:
    parsed = hierarchy_specs.parse(spec)
    assert hierarchy_specs.as_json(parsed) == spec
    built = hierarchy_specs.build(parsed, "column", values)
    assert (built.name, set(built.leaves)) == ("column", set(values))


@pytest.mark.parametrize(
    "spec",
    ["tree", None, {}, {"csv": 1}, {"intervals": []}, {"intervals": [True]}, {"prefix": [0]}, {"csv": "", "x": 1}],
)
def test_what_names_no_hierarchy_is_refused(spec: object) -> None:
    with pytest.raises(Invalid):
        hierarchy_specs.parse(spec)


def test_a_manifest_is_checked_without_numpy() -> None:
    program = (
        "import sys\n"
        "import privacy.anonymisation.hierarchy_specs, privacy.anonymisation.policies\n"
        "assert not {'numpy', 'numba', 'duckdb', 'opendp'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
