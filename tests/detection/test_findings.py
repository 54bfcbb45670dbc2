"""Which findings stand: never two of the same characters, whatever the order in which they were made."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.detection.entities import ENTITIES, entity
from privacy.detection.findings import Finding, resolved
from privacy.levels import Level
from privacy.vocabulary import is_a

_FINDINGS = st.lists(
    st.builds(
        lambda start, length, name, score, why: Finding(start, start + length, name, score, why),
        st.integers(0, 60),
        st.integers(0, 12),
        st.sampled_from(["PERSON", "CN_MOBILE", "URL", "ADDRESS", "DATE_TIME"]),
        st.sampled_from([0.4, 0.5, 0.85, 1.0]),
        st.sampled_from(["check-digit", "context", "pattern", "model", "rule:title"]),
    ),
    max_size=30,
)


@settings(max_examples=60)
@given(_FINDINGS, st.randoms(use_true_random=False))
def test_no_two_findings_overlap_and_their_order_does_not_matter(findings: list[Finding], random: Random) -> None:
    standing = resolved(findings)
    assert all(left.end <= right.start for left, right in pairwise(standing))
    assert all(finding.start < finding.end for finding in standing)
    shuffled = findings * 2
    random.shuffle(shuffled)
    assert resolved(shuffled) == standing
    assert resolved(standing) == standing


@settings(max_examples=60)
@given(_FINDINGS)
def test_every_finding_stands_or_is_met_by_one_that_is_at_least_as_strong(findings: list[Finding]) -> None:
    standing = resolved(findings)
    for finding in findings:
        if finding.start < finding.end and finding not in standing:
            met = [other for other in standing if other.start < finding.end and finding.start < other.end]
            assert any(other.score >= finding.score for other in met)


@settings(max_examples=60)
@given(_FINDINGS)
def test_the_strongest_finding_of_all_stands(findings: list[Finding]) -> None:
    real = [finding for finding in findings if finding.start < finding.end]
    if real:
        assert max(finding.score for finding in resolved(findings)) == max(finding.score for finding in real)


def test_a_name_that_a_model_drew_too_long_keeps_what_the_number_leaves_of_it() -> None:
    name = Finding(0, 13, "PERSON", 0.85, "model")
    number = Finding(2, 13, "CN_MOBILE", 0.9, "context")
    assert resolved([name, number]) == [Finding(0, 2, "PERSON", 0.85, "model"), number]


def test_a_place_or_a_date_around_a_number_is_dropped_with_it() -> None:
    date = Finding(0, 13, "DATE_TIME", 0.85, "model")
    born = Finding(0, 11, "BIRTH_DATE", 0.9, "context")
    assert resolved([date, born]) == [born]


def test_a_number_within_a_longer_number_does_not_cut_it_up() -> None:
    card = Finding(0, 19, "CN_BANK_CARD", 0.85, "check-digit")
    phone = Finding(5, 16, "CN_MOBILE", 0.8, "pattern")
    assert resolved([phone, card]) == [card]
    assert resolved([phone, Finding(0, 19, "CN_BANK_CARD", 0.5, "context")]) == [phone]


def test_what_was_dropped_does_not_take_others_with_it() -> None:
    """A chain: the middle one loses to the last, so the first stands."""
    first = Finding(0, 5, "CN_QQ", 0.5, "context")
    middle = Finding(4, 10, "CN_MOBILE", 0.8, "pattern")
    last = Finding(9, 20, "CN_RESIDENT_ID", 1.0, "check-digit")
    assert resolved([first, middle, last]) == [first, last]


def test_every_kind_has_a_level_a_category_of_dpv_and_titles_in_both_languages() -> None:
    for name, kind in ENTITIES.items():
        assert name == kind.name
        assert is_a(kind.category, kind.category), name
        assert kind.level > Level.L1
        assert kind.en.isascii()
        assert not kind.zh.isascii()


def test_a_kind_that_is_not_in_the_table_is_treated_as_the_most_sensitive() -> None:
    assert entity("SOMEWHERE_NATIONAL_ID").level is Level.L4
    assert entity("CN_MOBILE") is ENTITIES["CN_MOBILE"]
