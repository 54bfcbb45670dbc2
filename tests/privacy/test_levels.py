"""The ladder: a record is as sensitive as its most sensitive part, as their combination, as its subject."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.errors import Invalid
from privacy.levels import DEMANDS, Level, effective
from privacy.manifest import RecordType, parse

MANIFEST = parse(
    """\
controller: {name: 示例运营有限公司, contact: privacy@example.cn, jurisdiction: CN}
records:
  person:
    fields:
      motto:    {level: L1}
      joined:   {level: L2, type: date}
      name:     {level: L3, category: pd:Name}
      passport: {level: L3, category: pd:Passport}
      number:   {level: L3, detect: CN_RESIDENT_ID}
      phone:    {level: L3, category: pd:TelephoneNumber}
      mobile:   {level: L3, detect: CN_MOBILE}
      health:   {level: L4, category: pd:Health}
purposes:
  care: {basis: contract, uses: {person: "*"}, keep: P1Y}
""",
    "levels.yaml",
)
PERSON: RecordType = MANIFEST.records["person"]
present = st.sets(st.sampled_from(sorted(PERSON.fields)))


@pytest.mark.parametrize(
    ("fields", "level"),
    [
        (set(), "L1"),
        ({"motto"}, "L1"),
        ({"motto", "joined"}, "L2"),
        ({"joined", "name"}, "L3"),
        ({"name", "health"}, "L4"),
        ({"name", "phone"}, "L3"),
        ({"name", "passport"}, "L3"),
        ({"passport", "phone"}, "L3"),
        ({"name", "passport", "phone"}, "L4"),
        ({"name", "number", "mobile"}, "L4"),
    ],
    ids=lambda value: "+".join(sorted(value)) if isinstance(value, set) else value,
)
def test_a_record_has_the_level_of_its_highest_field_or_of_the_combination(fields: set[str], level: str) -> None:
    assert str(effective(fields, PERSON, minor=False)) == level


@given(present.filter(bool))
def test_everything_about_a_child_under_14_is_sensitive(fields: set[str]) -> None:
    assert effective(fields, PERSON, minor=True) is Level.L4


@given(present, present, st.booleans())
def test_more_fields_never_lower_the_level(fields: set[str], more: set[str], minor: bool) -> None:
    assert effective(fields | more, PERSON, minor=minor) >= effective(fields, PERSON, minor=minor)


def test_a_field_without_a_declared_level_is_refused() -> None:
    with pytest.raises(Invalid, match="shoe_size"):
        effective({"name", "shoe_size"}, PERSON, minor=False)


@pytest.mark.parametrize("level", list(Level))
def test_a_level_reads_back_what_it_prints(level: Level) -> None:
    assert Level.parse(str(level)) is level


@pytest.mark.parametrize("text", ["", "l1", "L0", "L5", "3", "L3 "])
def test_what_is_no_level_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        Level.parse(text)


def test_every_level_says_what_it_demands_and_from_where() -> None:
    assert list(DEMANDS) == list(Level)
    assert all(demands.sources for demands in DEMANDS.values())


@pytest.mark.parametrize(
    "switch",
    [
        "sealed",
        "masked_by_default",
        "every_read_audited",
        "lookup_exact_only",
        "attestation_required",
        "two_people_for_bulk",
        "assessment_before_sharing",
        "ocsf_confidentiality_id",
    ],
)
def test_a_higher_level_never_demands_less(switch: str) -> None:
    asked = [int(getattr(DEMANDS[level], switch)) for level in Level]
    assert asked == sorted(asked)
    assert asked[-1]
