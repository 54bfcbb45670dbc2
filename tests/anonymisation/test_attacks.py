"""What an attacker would try with releases, each refused or without effect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import pytest

from privacy.anonymisation import lineage
from privacy.anonymisation.hierarchy_specs import parse
from privacy.anonymisation.lineage import Outline, compare
from privacy.anonymisation.policies import Policy, Recoding, SensitiveRule
from privacy.anonymisation.release_requests import Kind, OfRecords, Request, Tabulated
from privacy.anonymisation.releases import Release
from tests.anonymisation.survey_world import (
    answers,
    approve,
    declare,
    fill,
    found,
    made,
    released,
    request,
    rows_of,
)
from tests.world import World

FULL: Final = Policy(k=5, suppression=0.2, recoding=Recoding.FULL_DOMAIN)


@pytest.fixture
def surveyed(world: World) -> World:
    declare(world)
    fill(world, answers(120))
    return world


def of(*fields: str) -> OfRecords:
    return OfRecords("research", "survey", fields)


def refused(one: Release, code: str, check: str) -> None:
    assert (one.state, one.code) == ("refused", code)
    assert [each["name"] for each in one.checks if not each["holds"]] == [check]


def test_two_releases_of_one_lineage_that_cross_are_not_both_given(surveyed: World) -> None:
    released(surveyed, request(policy=replace(FULL, recoding=Recoding.LOCAL)))
    other = made(surveyed, request("hospital", policy=replace(FULL, k=7, recoding=Recoding.LOCAL)))
    refused(other, "joint-cells", "lineage")
    assert _files(surveyed, other) == 0


def test_two_candidates_that_cross_are_not_both_approved(surveyed: World) -> None:
    one = made(surveyed, request(policy=replace(FULL, recoding=Recoding.LOCAL)))
    two = made(surveyed, request("hospital", policy=replace(FULL, k=7, recoding=Recoding.LOCAL)))
    assert (one.state, two.state) == ("candidate", "candidate")
    approve(surveyed, two.id)
    from privacy.errors import ReleaseStale

    with pytest.raises(ReleaseStale):
        approve(surveyed, one.id)
    assert found(surveyed, one.id).code == "joint-cells"


def test_a_column_may_not_be_generalised_otherwise_in_a_second_release(surveyed: World) -> None:
    released(surveyed, request(source=of("age", "condition"), policy=FULL))
    shifted = request(
        "hospital", source=of("age", "condition"), policy=FULL, hierarchies={"age": parse({"intervals": [15, 30]})}
    )
    refused(made(surveyed, shifted), "joint-roles", "lineage")


def test_a_coarser_view_of_the_same_people_may_be_given(surveyed: World) -> None:
    fine = request(source=of("sex", "region", "condition"), policy=replace(FULL, suppression=0.0))
    released(surveyed, fine)
    coarse = replace(fine, recipient="hospital", source=of("sex", "condition"))
    assert made(surveyed, coarse).state == "candidate"


def test_a_difference_between_two_snapshots_does_not_show_the_one_who_came(surveyed: World) -> None:
    asked = request(source=of("sex", "condition"), policy=replace(FULL, suppression=0.0))
    released(surveyed, asked)
    fill(surveyed, answers(1, seed=99))
    refused(made(surveyed, replace(asked, recipient="hospital")), "joint-cells", "lineage")
    fill(surveyed, [row | {"condition": "flu"} for row in answers(40, seed=98)])
    later = made(surveyed, replace(asked, recipient="hospital"))
    assert later.state == "candidate"


def test_classes_in_which_all_have_one_condition_are_refused(world: World) -> None:
    declare(world)
    rows = [row | {"condition": "flu" if row["sex"] == "f" else "asthma"} for row in answers(60)]
    fill(world, rows)
    sure = request(source=of("sex", "condition"), policy=FULL)
    assert made(world, sure).state == "candidate"  # joined into one class of both
    skewed = request(
        "hospital",
        source=of("sex", "condition"),
        policy=replace(FULL, max_loss=0.5, sensitive=(SensitiveRule("condition", distinct_l=2),)),
    )
    one = made(world, skewed)
    assert (one.state, one.code) == ("refused", "cannot-anonymise")


def test_free_text_and_what_identifies_are_found_in_the_output(world: World) -> None:
    declare(world)
    said = "Please call me back on Monday, I was with Dr Miller at the clinic in town for the second time"
    people = fill(world, [row | {"remark": said} for row in answers(30)])
    refused(made(world, request(source=of("sex", "remark"), policy=FULL)), "free-text", "looked-at")
    fill(world, [{"remark": "13800138000"} for _ in people], subject_ids=people)
    fill(world, [{"remark": f"1380013{n:04}"} | row for n, row in enumerate(answers(30))])
    assert made(world, request(source=of("sex", "remark"), policy=FULL)).state == "refused"


def test_a_telephone_number_among_the_kept_values_is_found(world: World) -> None:
    declare(world)
    rows = answers(30)
    rows[7]["channel"] = "13800138000"
    fill(world, rows)
    one = made(world, request(source=of("sex", "channel"), policy=FULL))
    refused(one, "personal-data-in-output", "looked-at")
    assert "13800138000" not in str(one)


def test_one_person_with_many_rows_is_one_person(world: World) -> None:
    declare(world)
    (loud,) = fill(world, [{"age": 33, "region": "4401", "sex": "f", "condition": "flu"}])
    fill(world, [{"age": 33, "region": "4401", "sex": "f", "condition": "none"}] * 9, subject_ids=[loud] * 9)
    fill(world, [row | {"region": "3101", "sex": "m"} for row in answers(40)])
    one = released(world, request(policy=replace(FULL, suppression=0.5, sensitive=())))
    classes = Counter((row["age"], row["region"], row["sex"]) for row in rows_of(world, one.id))
    assert not any(region == "4401" for _, region, _ in classes)
    assert one.figures["persons"] == 40


def test_a_column_that_nobody_classified_stops_the_release_before_anything_is_read(surveyed: World) -> None:
    one = made(surveyed, request(source=of("sex", "hobby")))
    refused(one, "unclassified-columns", "classified")
    assert surveyed.events(action="release.read") == []


def test_a_dropped_column_is_not_even_read(surveyed: World) -> None:
    one = released(surveyed, request(source=of("sex", "name", "condition"), policy=FULL))
    assert set(rows_of(surveyed, one.id)[0]) == {"sex", "condition"}
    assert all("name" not in event["fields"] for event in surveyed.events(action="release.read"))


def test_the_gate_refuses_what_breaks_its_limits(surveyed: World) -> None:
    sampled = request(fraction=0.5, highest_risk=0.01)
    refused(made(surveyed, sampled), "risk-too-high", "population")
    one = made(surveyed, request(policy=replace(FULL, suppression=0.0, max_loss=0.01)))
    assert (one.state, one.code) == ("refused", "cannot-anonymise")


# --- lineages, without a world


def outline(classes: Mapping[tuple[str, ...], int], paths: Mapping[str, tuple[str, ...]], **more: object) -> Outline:
    """One column `a` whose labels' paths are given, and how many people each class holds."""
    labels = sorted({label for (label,) in classes})
    return Outline(
        k=5,
        roles={"a": "quasi"},
        specs={"a": "tree"},
        columns=("a",),
        paths=(tuple(lineage.path_of((label, *paths.get(label, ()))) for label in labels),),
        classes=tuple((labels.index(label),) for (label,) in classes),
        rows=tuple(classes.values()),
        persons=tuple(classes.values()),
        **more,  # type: ignore[arg-type]  # the tests' own
    )


TREE: Final = {"20-29": ("20-39",), "30-39": ("20-39",), "40-49": ("40-59",), "50-59": ("40-59",)}


def test_nested_classes_hold_and_crossing_ones_do_not() -> None:
    fine = outline({("20-29",): 6, ("30-39",): 9}, TREE)
    coarse = outline({("20-39",): 15}, TREE)
    assert compare(fine, coarse).code is None
    assert compare(coarse, fine).code is None
    assert compare(coarse, fine).smallest == 6
    local = outline({("20-29",): 6, ("20-39",): 9}, TREE)  # who is 33 is in one of two
    assert compare(local, fine).code == "joint-cells"
    assert compare(fine, local).code == "joint-cells"


def test_a_remainder_of_fewer_than_k_is_seen_either_way() -> None:
    fine = outline({("20-29",): 6, ("30-39",): 9}, TREE)
    for more in (13, 14, 16, 19):
        assert compare(fine, outline({("20-39",): more}, TREE)).code == "joint-cells"
    for more in (10, 15, 20):
        assert compare(fine, outline({("20-39",): more}, TREE)).code is None
    assert compare(fine, outline({("20-29",): 6}, TREE)).only_earlier == 9


def test_what_came_and_went_is_seen_by_the_values_it_brought() -> None:
    one = outline({("20-29",): 10}, TREE, values={"c": ({"flu": 4, "none": 6},)})
    two = outline({("20-29",): 10}, TREE, values={"c": ({"flu": 5, "none": 5},)})
    assert compare(one, two).code == "joint-cells"
    assert compare(one, one).code is None


def test_rows_of_one_person_count_once_in_a_remainder() -> None:
    one = outline({("20-29",): 10}, TREE)
    two = outline({("20-29",): 20}, TREE)
    assert compare(one, two).code is None
    assert compare(replace(one, most=4), two).code == "joint-cells"


def test_labels_of_another_tree_prove_nothing() -> None:
    one = outline({("20-29",): 10}, TREE)
    other = outline({("20-29",): 10}, {"20-29": ("15-29",)})
    assert compare(one, other).code == "joint-hierarchies"
    assert compare(one, replace(one, specs={"a": "another"})).code == "joint-roles"
    assert compare(one, replace(one, roles={"a": "keep"})).column == "a"


def _files(world: World, one: Release) -> int:
    from sqlalchemy import func, select

    from privacy.tables_releases import release_parts

    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        statement = select(func.count()).where(
            release_parts.c.release_id == one.id, release_parts.c.part.in_(("csv", "parquet", "classes", "subjects"))
        )
        count: int = transaction.execute(statement).scalar_one()
    return count


# --- tables


def counted(*by: str, recipient: str = "university", **more: object) -> Request:
    more.setdefault("source", of("region", "sex", "condition"))
    return request(recipient, kind=Kind.TABLE, table=Tabulated(by), policy=Policy(k=5), **more)


def test_tables_have_no_small_cell_and_nested_ones_no_small_difference(surveyed: World) -> None:
    one = released(surveyed, counted("region", "sex"))
    cells = rows_of(surveyed, one.id)
    assert all(not cell["count"] or int(cell["count"]) >= 11 for cell in cells)
    assert {cell["region"] for cell in cells if cell["count"]} == {"31*", "32*", "44*", "*"}
    assert released(surveyed, counted("region", recipient="hospital")).state == "anonymised"
    fill(surveyed, answers(1, seed=5))
    refused(made(surveyed, counted("region", recipient="press")), "joint-cells", "lineage")
    refused(made(surveyed, counted("sex", recipient="press")), "joint-cells", "lineage")


def test_a_table_in_which_a_small_group_cannot_be_hidden_is_refused(surveyed: World) -> None:
    fill(surveyed, [{"region": "9999", "sex": "f", "condition": "flu"}])
    one = made(surveyed, counted("region", "sex"))
    assert (one.state, one.code) == ("refused", "unsafe-table")


def test_a_table_and_rows_of_the_same_people_are_held_against_each_other(surveyed: World) -> None:
    released(surveyed, counted("sex"))
    fill(surveyed, answers(3, seed=5))
    rows = request("hospital", source=of("sex", "condition"), policy=replace(FULL, suppression=0.0))
    assert made(surveyed, rows).code in ("joint-cells", "joint-roles")
