"""The figures of a risk report, against small tables that can be counted by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from privacy.anonymisation.checking import classes, measure
from privacy.anonymisation.joint_releases import OUT, Membership, joint
from privacy.anonymisation.release_requests import RecipientClass
from privacy.anonymisation.risks import journalist_by_fraction, journalist_by_table, prosecutor, report
from privacy.errors import Invalid

# Classes of one, two and five rows.
_BEFORE = {"city": ["A", "B", "B", *"CCCCC"], "illness": ["x", "y", "y", *"xyxyz"]}
_AFTER = {"city": ["C"] * 5, "illness": [*"xyxyz"]}


def test_the_prosecutor_knows_that_the_person_is_there() -> None:
    found = prosecutor(measure(_BEFORE, ["city"]), threshold=0.5)
    assert found.highest == 1
    assert found.mean == pytest.approx(3 / 8)  # classes over rows
    assert found.above == pytest.approx(1 / 8)  # a risk of exactly the threshold is not above it


def test_a_risk_of_one_over_k_is_not_above_one_over_k_for_any_k() -> None:
    for k in (3, 7, 49, 103):
        one = measure({"q": ["a"] * k}, ["q"])
        assert prosecutor(one, 1 / k).above == 0
        assert prosecutor(one, (1 / k) * (1 - 1e-15)).above == 0  # as another way of computing it may round


def test_risks_are_those_of_persons_where_they_are_known() -> None:
    found = prosecutor(measure({"city": ["A"] * 4}, ["city"], persons=["p", "p", "p", "q"]), 0.4)
    assert (found.highest, found.mean, found.above) == (0.5, 0.5, 1)


def test_the_journalist_and_the_marketer_go_by_the_population() -> None:
    grouped, _ = classes(_BEFORE, ["city"])
    found = journalist_by_table(grouped, {("A",): 10, ("B",): 4, ("C",): 2}, threshold=0.2)
    # C holds at least the five that are released, whatever the table says.
    assert (found.smallest, found.highest) == (4, 0.25)
    assert found.marketer == pytest.approx((1 / 10 + 2 / 4 + 5 / 5) / 8)
    assert found.above == pytest.approx(2 / 8)


def test_a_sampling_fraction_thins_every_risk() -> None:
    measured = measure(_BEFORE, ["city"])
    found = journalist_by_fraction(measured, 0.1, 0.04)
    assert found.highest == pytest.approx(0.1)
    assert found.smallest == 10
    assert found.marketer == pytest.approx(0.1 * 3 / 8)
    assert found.above == pytest.approx(3 / 8)
    with pytest.raises(Invalid):
        journalist_by_fraction(measured, 0, 0.1)


def test_the_report_counts_before_and_after() -> None:
    found = report(
        measure(_BEFORE, ["city"], ["illness"]),
        measure(_AFTER, ["city"], ["illness"]),
        k=5, recipient=RecipientClass.PUBLIC, loss=0.25,
    )  # fmt: skip
    assert (found.suppressed_rows, found.suppressed_share) == (3, 3 / 8)
    assert (found.before.unique_rows, found.after.unique_rows) == (1, 0)
    assert found.after.average_class_size == 1
    assert (found.before.discernibility, found.after.discernibility) == (1 + 4 + 25, 25 + 3 * 8)
    assert [(one.least, one.classes) for one in found.before.sizes if one.classes] == [(1, 1), (2, 1), (5, 1)]
    assert found.before.attributes[0].distinction == 3 / 8
    assert found.before.attributes[0].separation == pytest.approx(1 - (2 + 20) / 56)
    assert found.before.sensitive[0].homogeneous_rows == 3
    assert found.marketer == found.after.prosecutor.mean


def test_the_report_holds_no_value_of_a_person_who_was_alone() -> None:
    """The smallest classes before are people's own values; only those that were published may be listed."""
    written = json.dumps(
        report(
            measure({"city": ["Onlyplace", *"CCCCC"]}, ["city"]), measure({"city": ["*"] * 6}, ["city"]),
            k=5, recipient=RecipientClass.CONTROLLED,
        ).as_json()
    )  # fmt: skip
    assert "Onlyplace" not in written
    assert '"labels": ["*"]' in written


def test_the_limits_are_said_in_both_languages_and_fit_the_release() -> None:
    before, after = measure(_BEFORE, ["city"], ["illness"]), measure(_AFTER, ["city"], ["illness"])
    public = report(before, after, k=5, recipient=RecipientClass.PUBLIC)
    local = report(before, after, k=5, recipient=RecipientClass.CONTROLLED, is_local=True, by_person=True)
    assert any("called back" in one.en for one in public.limits)
    assert any("coded down" in one.en for one in local.limits)
    assert not any("coded down" in one.en for one in public.limits)
    written = local.as_json()["limits"]
    assert isinstance(written, dict)
    assert len(written["zh"]) == len(written["en"]) == len(local.limits)
    assert all(zh != en for zh, en in zip(written["zh"], written["en"], strict=True))


def test_k_and_threshold_must_make_sense() -> None:
    one = measure(_AFTER, ["city"])
    for k, threshold in ((0, None), (5, 0.0), (5, 1.5)):
        with pytest.raises(Invalid):
            report(one, one, k=k, threshold=threshold, recipient=RecipientClass.PUBLIC)


def _release(classes_of: list[int], keys: list[int] | None = None, persons: list[str] | None = None) -> Membership:
    return Membership(
        np.array(keys if keys is not None else range(len(classes_of))),
        np.array(classes_of, dtype=np.int64),
        None if persons is None else np.array(persons),
    )


def test_two_releases_that_each_hold_can_single_people_out_together() -> None:
    """Each has classes of four; joined, four rows are alone or nearly so."""
    here, before = _release([0, 0, 0, 0, 1, 1, 1, 1]), _release([0, 0, 0, 1, 1, 1, 1, 0])
    found = joint(here, before, 4, "first")
    assert not found.holds
    assert (found.rows, found.cells, found.smallest) == (8, 4, 1)
    assert (found.cells_below, found.rows_below, found.unique_rows) == (4, 8, 2)


def test_the_same_classes_twice_give_nothing_away() -> None:
    found = joint(_release([0, 0, 1, 1]), _release([7, 7, 3, 3]), 2, "first")
    assert found.holds
    assert (found.rows_below, found.alone_below) == (0, 0)


def test_rows_in_one_release_only_are_listed_and_the_few_among_them_counted() -> None:
    """The earlier one suppressed one row of class 0; the newcomer, row 9, was in no earlier one."""
    here = _release([0, 0, 0, 1, 1, 1], keys=[1, 2, 3, 4, 5, 9])
    before = _release([0, 0, OUT, 1, 1, 1], keys=[1, 2, 3, 4, 5, 6])
    found = joint(here, before, 2, "first")
    assert (found.rows, found.only_here, found.only_earlier) == (4, 2, 1)
    assert found.alone_below == 3
    assert found.rows_below == 0


def test_joint_cells_count_persons() -> None:
    same = {"classes_of": [0, 0, 0], "persons": ["p", "p", "q"]}
    found = joint(_release(**same), _release(**same), 3, "first")  # type: ignore[arg-type]  # one dictionary for both
    assert (found.smallest, found.rows_below) == (2, 3)
    other_keys = joint(_release([0, 0], [1, 2], ["p", "p"]), _release([0, 0], [2, 3], ["p", "q"]), 2, "first")
    assert (other_keys.rows, other_keys.smallest, other_keys.unique_rows) == (1, 1, 1)


def test_a_row_has_one_class() -> None:
    with pytest.raises(Invalid):
        _release([0, 1], keys=[1, 1])
