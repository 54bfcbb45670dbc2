"""The manifest: what a good one means, how each fault of a bad one is told, what a change entails."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from datetime import date
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.errors import ManifestInvalid
from privacy.levels import Level
from privacy.manifest import (
    AtEnd,
    Basis,
    Change,
    Demand,
    Grounds,
    KeepFrom,
    KeepFromKind,
    Manifest,
    Method,
    OptOut,
    Problem,
    Purpose,
    RecipientKind,
    Statutory,
    Text,
    ValueType,
    compare,
    demands,
    dump,
    parse,
)
from privacy.masks import MASKS
from privacy.periods import Period
from privacy.vocabulary import CATEGORIES, PURPOSES, SENSITIVE, is_a, is_law

BROKEN = sorted((Path(__file__).parent / "broken_manifests").glob("*.yaml"))
EXAMPLE = Path(__file__).parents[2] / "examples" / "operations" / "manifest.yaml"
SMALL = """\
controller: {name: 示例运营有限公司, contact: privacy@example.cn, jurisdiction: CN}
records:
  member:                       # a community or platform member
    fields:
      name:        {level: L3, category: pd:Name}
      phone:       {level: L3, category: pd:TelephoneNumber, detect: CN_MOBILE, lookup: exact, mask: phone}
      id_number:   {level: L4, category: pd:OfficialID, detect: CN_RESIDENT_ID, lookup: exact, mask: all}
      joined_at:   {level: L2, type: date, analytics: quasi}
  interaction:                  # 交互记录: time, channel, content, feedback
    fields:
      channel:     {level: L2, analytics: keep}
      content:     {level: L3, type: text, scan: [zh, en]}
purposes:
  membership:       {basis: contract, law: [PIPL-13-2, GDPR-6-1-b], uses: {member: [name, phone]}, keep: P3Y}
  customer-service: {basis: contract, uses: {member: [name, phone.masked], interaction: "*"}, keep: P2Y}
  marketing:        {basis: consent, uses: {member: [phone]}, keep: P1Y, consent: {expires: P1Y}}
  statistics:       {basis: consent, uses: {member: [joined_at], interaction: [channel]}, only: anonymised}
recipients:
  courier:          {kind: processor, contact: privacy@express.example, purposes: [membership]}
"""


def read(text: str = SMALL) -> Manifest:
    return parse(text, "manifest.yaml")


def problems(text: str) -> list[Problem]:
    with pytest.raises(ManifestInvalid) as caught:
        read(text)
    found = caught.value.context["problems"]
    assert isinstance(found, list)
    return found


def changed(before: str, after: str) -> Manifest:
    assert SMALL.count(before) == 1
    return read(SMALL.replace(before, after))


# What a good manifest means


def test_the_small_manifest_means_what_it_says() -> None:
    manifest = read()
    member = manifest.records["member"]
    assert member.scope == "main"
    assert [str(field.level) for field in member.fields.values()] == ["L3", "L3", "L4", "L2"]
    assert member.fields["phone"].lookup
    assert not member.fields["name"].lookup
    assert member.fields["joined_at"].type is ValueType.DATE
    assert manifest.records["interaction"].fields["content"].scan == ("zh", "en")
    assert manifest.purposes["membership"].keep == Period(years=3)
    assert manifest.purposes["marketing"].consent_expires == Period(years=1)
    assert manifest.purposes["statistics"].only_anonymised
    assert manifest.recipients["courier"].kind is RecipientKind.PROCESSOR
    assert manifest.controller.name == "示例运营有限公司"
    assert manifest.controller.planned_subjects == 1_000_000


def test_a_use_is_in_clear_or_through_the_mask_of_the_field() -> None:
    uses = read().purposes["customer-service"].uses
    assert dict(uses["member"]) == {"name": None, "phone": "phone"}


def test_a_star_uses_every_field_in_clear() -> None:
    assert dict(read().purposes["customer-service"].uses["interaction"]) == {"channel": None, "content": None}


def test_a_use_may_name_another_mask_than_the_field() -> None:
    uses = changed("uses: {member: [phone]}", "uses: {member: [phone.masked(all)]}").purposes["marketing"].uses
    assert dict(uses["member"]) == {"phone": "all"}


@pytest.mark.parametrize(
    ("basis", "law"),
    [
        ("consent", ("PIPL-13-1", "GDPR-6-1-a")),
        ("contract", ("PIPL-13-2", "GDPR-6-1-b")),
        ("legal-obligation", ("PIPL-13-3", "GDPR-6-1-c")),
        ("vital-interest", ("PIPL-13-4", "GDPR-6-1-d")),
        ("public-task", ("PIPL-13-3", "GDPR-6-1-e")),
    ],
)
def test_a_purpose_without_a_law_gets_the_articles_of_its_basis(basis: str, law: tuple[str, ...]) -> None:
    manifest = changed("customer-service: {basis: contract,", f"customer-service: {{basis: {basis},")
    assert manifest.purposes["customer-service"].law == law


def test_legitimate_interest_is_allowed_where_the_law_knows_it() -> None:
    text = SMALL.replace("jurisdiction: CN", "jurisdiction: DE").replace(
        "service: {basis: contract", "service: {basis: legitimate-interest, grounds: {balancing_test: LIA-2026-03}"
    )
    purpose = read(text).purposes["customer-service"]
    assert (purpose.basis, purpose.law) == (Basis.LEGITIMATE_INTEREST, ("GDPR-6-1-f",))
    assert purpose.grounds.balancing_test == "LIA-2026-03"


@pytest.mark.parametrize(
    ("declared", "normaliser"),
    [
        ("category: pd:EmailAddress, lookup: exact", "email"),
        ("category: pd:EmailAddressWork, lookup: exact", "email"),
        ("category: pd:TelephoneNumber, lookup: exact", "phone"),
        ("category: pd:OfficialID, detect: CN_RESIDENT_ID, lookup: exact", "cn-id"),
        ("category: pd:Name, lookup: exact", "name"),
        ("category: pd:Username, lookup: exact", "text"),
        ("category: pd:Name, lookup: exact, normalise: text", "text"),
        ("category: pd:Name", None),
    ],
)
def test_the_normaliser_follows_from_what_the_field_is(declared: str, normaliser: str | None) -> None:
    manifest = changed("{level: L3, category: pd:Name}", f"{{level: L3, {declared}}}")
    assert manifest.records["member"].fields["name"].normaliser == normaliser


def test_anonymised_statistics_without_a_period_follow_the_shortest_of_the_purposes_that_hold_the_data() -> None:
    assert read().purposes["statistics"].keep == Period(years=1)


def test_a_title_in_one_language_stands_in_for_both() -> None:
    manifest = changed("  member:   ", "  member:\n    title: 会员\n    ")
    assert manifest.records["member"].title == Text("会员", "会员")


def test_the_text_in_a_language_is_english_unless_chinese_is_asked_for() -> None:
    text = Text("会员", "Member")
    assert [text.in_language(language) for language in ("zh-CN", "ZH", "en-GB", "fr")] == ["会员", "会员"] + [
        "Member"
    ] * 2


def test_a_country_that_yaml_takes_for_a_boolean_is_a_country() -> None:
    assert read(SMALL.replace("jurisdiction: CN", "jurisdiction: NO")).controller.jurisdiction == "NO"


def test_the_digest_is_of_the_text_and_equality_of_the_meaning() -> None:
    commented = read(SMALL + "# the end\n")
    assert commented == read()
    assert commented.digest != read().digest
    assert re.fullmatch("[0-9a-f]{64}", commented.digest)


def test_a_field_that_no_purpose_uses_is_a_warning_with_its_place() -> None:
    assert [(warning.code, warning.line) for warning in read().warnings] == [("unused-field", 7)]


def test_a_legal_obligation_without_a_law_is_a_warning() -> None:
    manifest = changed("service: {basis: contract", "service: {basis: legal-obligation")
    assert "law-not-named" in [warning.code for warning in manifest.warnings]


def test_a_name_below_l3_is_a_warning() -> None:
    manifest = changed("{level: L3, category: pd:Name}", "{level: L2, category: pd:Name}")
    assert "level-too-low" in [warning.code for warning in manifest.warnings]


def test_sensitive_data_on_separate_consent_is_allowed() -> None:
    manifest = changed(
        "uses: {member: [phone]}, keep: P1Y, consent: {expires: P1Y}",
        "uses: {member: [id_number]}, keep: P1Y, consent: {expires: P1Y, separate: true}",
    )
    assert manifest.purposes["marketing"].consent_separate


def test_a_purpose_that_says_nothing_more_collects_stores_uses_and_erases() -> None:
    purpose = read().purposes["membership"]
    assert purpose.method == (Method.COLLECT, Method.STORE, Method.USE)
    assert (purpose.at_end, purpose.opt_out, purpose.grounds) == (AtEnd.ERASE, None, Grounds())


def test_what_is_done_with_the_data_is_a_set_in_one_order() -> None:
    one = changed("keep: P3Y}", "keep: P3Y, method: [publish, use, collect, use], at_end: anonymise}")
    other = changed("keep: P3Y}", "keep: P3Y, method: [use, collect, publish], at_end: anonymise}")
    assert one.purposes["membership"].method == (Method.COLLECT, Method.USE, Method.PUBLISH)
    assert one.purposes["membership"].at_end is AtEnd.ANONYMISE
    assert one == other


@pytest.mark.parametrize(
    ("declared", "opt_out", "cool_off"),
    [
        ("consent: {expires: P1Y}", None, Period(months=6)),
        ("consent: {cool_off: P1Y}", None, Period(years=1)),
        ("opt_out: sale", OptOut.SALE, Period(months=12)),
        ("opt_out: share, consent: {separate: true}", OptOut.SHARE, Period(months=12)),
        ("opt_out: cross-context-advertising, consent: {cool_off: P2Y}", OptOut.ADVERTISING, Period(years=2)),
    ],
)
def test_nobody_asks_again_for_half_a_year_or_a_whole_one_after_an_opt_out(
    declared: str, opt_out: OptOut | None, cool_off: Period
) -> None:
    marketing = changed("consent: {expires: P1Y}", declared).purposes["marketing"]
    assert (marketing.opt_out, marketing.cool_off) == (opt_out, cool_off)


def test_grounds_say_what_a_basis_rests_on_and_from_which_day_to_which() -> None:
    manifest = changed("keep: P3Y}", "keep: P3Y, grounds: {reference: MSA 7, from: 2026-01-01, until: 2026-01-01}}")
    assert manifest.purposes["membership"].grounds == Grounds("MSA 7", date(2026, 1, 1), date(2026, 1, 1), None)


def test_a_basis_that_the_law_does_not_know_is_not_asked_for_its_balancing_test() -> None:
    text = SMALL.replace("service: {basis: contract", "service: {basis: legitimate-interest")
    for jurisdiction in ("CN", "CN-SH"):
        found = problems(text.replace("jurisdiction: CN", f"jurisdiction: {jurisdiction}"))
        assert [problem.code for problem in found] == ["basis-not-in-law"]


IMPERSONATING = SMALL.replace("id_number:   {level: L4", "id_number:   {level: L3").replace(
    "uses: {member: [phone]}, keep: P1Y, consent: {expires: P1Y}",
    "uses: {member: [name.masked(all), phone, id_number]}, keep: P1Y, consent: {expires: P1Y}",
)


def test_fields_that_impersonate_together_need_separate_consent_though_none_of_them_is_sensitive() -> None:
    (problem,) = problems(IMPERSONATING)
    assert problem.code == "separate-consent"
    assert "impersonate" in problem.found
    assert read(IMPERSONATING.replace("{expires: P1Y}", "{separate: true}")).purposes["marketing"].consent_separate


@pytest.mark.parametrize("left_out", ["name.masked(all), ", ", id_number]", "phone, id"])
def test_two_of_the_three_do_not_impersonate(left_out: str) -> None:
    assert IMPERSONATING.count(left_out) == 1
    rest = {", id_number]": "]", "phone, id": "id"}.get(left_out, "")
    assert not read(IMPERSONATING.replace(left_out, rest)).purposes["marketing"].consent_separate


@pytest.mark.parametrize(("method", "law"), [("publish", "PIPL-25"), ("public-images", "PIPL-26")])
def test_publishing_on_consent_needs_separate_consent(method: str, law: str) -> None:
    before, after = "consent: {expires: P1Y}", f"consent: {{expires: P1Y}}, method: [collect, {method}]"
    (problem,) = problems(SMALL.replace(before, after))
    assert (problem.code, law in problem.expected) == ("separate-consent", True)
    assert changed(before, after.replace("{expires: P1Y}", "{separate: true}"))


# The example


def test_the_example_has_no_problem_and_no_warning() -> None:
    assert parse(EXAMPLE.read_text(encoding="utf-8"), EXAMPLE.name).warnings == ()


def test_the_example_titles_everything_in_two_different_languages() -> None:
    manifest = parse(EXAMPLE.read_text(encoding="utf-8"), EXAMPLE.name)
    titles = [
        *(part.title for part in manifest.records.values()),
        *(field.title for part in manifest.records.values() for field in part.fields.values()),
        *(purpose.title for purpose in manifest.purposes.values()),
        *(purpose.description for purpose in manifest.purposes.values()),
        *(recipient.title for recipient in manifest.recipients.values()),
    ]
    assert all(title is not None and title.zh != title.en for title in titles)


def test_the_example_shows_the_desk_a_masked_number_and_marketing_a_clear_one_with_consent() -> None:
    purposes = parse(EXAMPLE.read_text(encoding="utf-8"), EXAMPLE.name).purposes
    assert dict(purposes["customer-service"].uses["member"]) == {"name": None, "phone": "phone"}
    assert (purposes["marketing"].basis, dict(purposes["marketing"].uses["member"])) == (Basis.CONSENT, {"phone": None})
    assert purposes["statistics"].only_anonymised
    assert len(purposes) >= 8


def test_the_example_gives_numbers_to_a_partner_on_separate_consent_that_a_signal_refuses() -> None:
    manifest = parse(EXAMPLE.read_text(encoding="utf-8"), EXAMPLE.name)
    offers = manifest.purposes["partner-offers"]
    assert (offers.basis, offers.consent_separate, offers.opt_out) == (Basis.CONSENT, True, OptOut.SHARE)
    assert (offers.consent_expires, offers.cool_off) == (Period(years=1), Period(months=12))
    assert {name: dict(used) for name, used in offers.uses.items()} == {"member": {"phone": None}}
    partners = [partner for partner in manifest.recipients.values() if "partner-offers" in partner.purposes]
    assert [(partner.kind, partner.jurisdiction) for partner in partners] == [(RecipientKind.CONTROLLER, "CN")]


def test_the_example_names_the_grounds_of_a_contract_and_of_a_legal_obligation() -> None:
    purposes = parse(EXAMPLE.read_text(encoding="utf-8"), EXAMPLE.name).purposes.values()
    with_grounds = {purpose.basis for purpose in purposes if purpose.grounds.reference and purpose.grounds.first_day}
    assert with_grounds == {Basis.CONTRACT, Basis.LEGAL_OBLIGATION}


# How a bad manifest is told


def expectations(text: str) -> list[tuple[int, int, str, str, str]]:
    """What the comments at the end of a broken manifest say should be told."""
    form = re.compile(r"^# ([0-9]+):([0-9]+) ([a-z-]+)\n#     wrong: (.*)\n#     right: (.*)$", re.MULTILINE)
    return [(int(line), int(column), *rest) for line, column, *rest in form.findall(text)]


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_every_fault_is_told_with_its_place_what_is_wrong_and_what_would_be_right(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    expected = expectations(text)
    assert expected
    with pytest.raises(ManifestInvalid) as caught:
        parse(text, path.name)
    found = caught.value.context["problems"]
    assert isinstance(found, list)
    assert [(p.line, p.column, p.code, p.found, p.expected) for p in found] == expected
    assert {p.file for p in found} == {path.name}
    assert [str(p) for p in found] == [
        f"{path.name}:{line}:{column}: {wrong}; {right}" for line, column, _, wrong, right in expected
    ]


def test_the_error_counts_the_problems_and_tells_the_first() -> None:
    with pytest.raises(ManifestInvalid, match=r"^2 problems in m\.yaml: m\.yaml:1:1: "):
        parse("controller: {name: 某公司, contact: a@example.cn, jurisdiction: CN}\n", "m.yaml")


def test_an_empty_file_is_one_problem() -> None:
    assert [problem.code for problem in problems("# nothing\n")] == ["empty"]


def test_a_control_character_is_a_problem_at_its_place() -> None:
    (problem,) = problems(SMALL.replace("membership:  ", "member\x00ship:"))
    assert (problem.code, problem.line, problem.column) == ("yaml-syntax", 14, 9)


def test_a_huge_file_is_refused_before_it_is_read() -> None:
    assert [problem.code for problem in problems("#" * 300_000)] == ["too-large"]


@pytest.mark.parametrize("text", ["[" * 5000, "{a: " * 5000, "- " * 5000])
def test_deep_nesting_is_refused_before_it_is_followed(text: str) -> None:
    assert [problem.code for problem in problems(text)] == ["too-deep"]


def test_a_second_document_is_a_problem() -> None:
    assert [problem.code for problem in problems(SMALL + "---\n" + SMALL)] == ["yaml-syntax"]


def test_a_text_broken_by_a_comma_is_told_to_go_in_quotes() -> None:
    broken = SMALL.replace("  member:   ", "  member:\n    title: {zh: 会员, en: Members, guests}\n    ")
    assert "quotes" in problems(broken)[0].expected


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda data: data.decode("latin-1")))
def test_any_text_is_a_manifest_or_a_list_of_problems(text: str) -> None:
    try:
        read(text)
    except ManifestInvalid as refusal:
        assert refusal.context["problems"]  # noqa: PT017  # either outcome is right, an empty list is not


@given(st.data())
@settings(max_examples=150)
def test_a_manifest_with_any_part_cut_out_or_repeated_is_read_or_refused_in_order(data: st.DataObject) -> None:
    pieces = re.split(r"(\W)", SMALL)
    start = data.draw(st.integers(0, len(pieces) - 1))
    end = data.draw(st.integers(start, min(start + 6, len(pieces))))
    middle = data.draw(st.sampled_from(["", "".join(pieces[start:end]) * 2, "null", "[]", "{}", "a: b"]))
    try:
        read("".join(pieces[:start]) + middle + "".join(pieces[end:]))
    except ManifestInvalid as refusal:
        found = refusal.context["problems"]
        assert isinstance(found, list)
        assert found
        assert found == sorted(found)


# Reading back what was written


names = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)
words = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn", "Co"]), min_size=1, max_size=12
).filter(lambda text: bool(text.strip()) and text == text.strip())
titles = st.none() | words | st.fixed_dictionaries({"zh": words, "en": words})
periods = st.sampled_from(["P3Y", "P1Y6M", "P30D", "PT48H", "P2W"])
harmless = sorted(set(CATEGORIES) - SENSITIVE)


def given_only(entries: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in entries.items() if value is not None}


@st.composite
def text_fields(draw: st.DrawFn) -> dict[str, object]:
    lookup = draw(st.sampled_from([None, "exact"]))
    return given_only(
        {
            "level": draw(st.sampled_from(["L3", "L4"])),
            "category": draw(st.sampled_from(harmless)),
            "title": draw(titles),
            "mask": draw(st.none() | st.sampled_from(sorted(MASKS))),
            "lookup": lookup,
            "normalise": draw(st.none() | st.just("text")) if lookup else None,
            "detect": draw(st.none() | st.just("CN_MOBILE")),
            "scan": draw(st.none() | st.just(["zh", "en"])),
            "analytics": draw(st.none() | st.sampled_from(["quasi", "keep"])),
            "max_length": draw(st.none() | st.integers(1, 1_000_000)),
        }
    )


other_fields = st.sampled_from(["date", "datetime", "integer", "number", "boolean"]).map(
    lambda kind: {"level": "L2", "type": kind}
)


some_days = st.dates(date(1900, 1, 1), date(2999, 12, 31))


@st.composite
def some_grounds(draw: st.DrawFn, basis: Basis) -> dict[str, object] | None:
    """As `basis` demands: none under consent, a balancing test exactly under legitimate interest."""
    if basis is Basis.CONSENT:
        return None
    first, last = sorted([draw(some_days), draw(some_days)])
    grounds = given_only(
        {
            "reference": draw(st.none() | words),
            "from": draw(st.none() | st.just(first)),
            "until": draw(st.none() | st.just(last)),
            "balancing_test": draw(words) if basis is Basis.LEGITIMATE_INTEREST else None,
        }
    )
    return grounds or None


@st.composite
def declarations(draw: st.DrawFn) -> dict[str, object]:
    records = draw(
        st.dictionaries(
            names,
            st.fixed_dictionaries(
                {
                    "fields": st.dictionaries(names, text_fields() | other_fields, min_size=1, max_size=4),
                    "scope": st.sampled_from(["main", "ledger"]),
                }
            ),
            min_size=1,
            max_size=3,
        )
    )
    basis = draw(st.sampled_from(Basis))
    jurisdiction = "DE" if basis is Basis.LEGITIMATE_INTEREST else draw(st.sampled_from(["CN", "DE"]))
    methods = st.lists(st.sampled_from([method.value for method in Method]), min_size=1)
    consent = given_only({"separate": True, "expires": draw(periods), "cool_off": draw(st.none() | periods)})
    everything = {name: draw(st.sampled_from(["*", sorted(part["fields"])])) for name, part in records.items()}
    return {
        "controller": {"name": draw(words), "contact": "privacy@example.cn", "jurisdiction": jurisdiction},
        "records": records,
        "purposes": {
            draw(names): given_only(
                {
                    "basis": basis.value,
                    "category": draw(st.none() | st.sampled_from(sorted(PURPOSES))),
                    "uses": everything,
                    "keep": draw(periods),
                    "only": draw(st.none() | st.just("anonymised")),
                    "consent": consent if basis is Basis.CONSENT else None,
                    "method": draw(st.none() | methods),
                    "at_end": draw(st.none() | st.sampled_from([end.value for end in AtEnd])),
                    "opt_out": draw(st.none() | st.sampled_from([signal.value for signal in OptOut])),
                    "grounds": draw(some_grounds(basis)),
                    "title": draw(titles),
                }
            )
        },
    }


@given(declarations())
@settings(max_examples=60)
def test_what_is_written_out_reads_back_the_same(declaration: dict[str, object]) -> None:
    manifest = read(yaml.safe_dump(declaration, allow_unicode=True))
    again = parse(dump(manifest), "dump")
    assert again == manifest
    assert dump(again) == dump(manifest)
    assert compare(manifest, again) == ()
    assert demands(manifest, again) == ()


def test_the_example_written_out_reads_back_the_same() -> None:
    manifest = parse(EXAMPLE.read_text(encoding="utf-8"), EXAMPLE.name)
    assert parse(dump(manifest), "dump") == manifest


# What a change entails


def only(changes: tuple[Change, ...]) -> Change:
    (change,) = changes
    return change


def test_nothing_has_changed_when_only_comments_have() -> None:
    assert compare(read(), read(SMALL + "# more\n")) == ()


def test_a_first_manifest_adds_each_thing_once_and_demands_nothing() -> None:
    changes = compare(None, read())
    assert {change.kind for change in changes} == {"added"}
    paths = [change.path for change in changes]
    assert "records.member" in paths
    assert not any(path.startswith("records.member.") for path in paths)
    assert demands(None, read()) == ()


@pytest.mark.parametrize(
    ("before", "after", "path", "values", "material"),
    [
        ("pd:Name}", "pd:Username}", "records.member.fields.name.category", ("pd:Name", "pd:Username"), True),
        (
            "{level: L2, type: date",
            "{level: L3, type: date",
            "records.member.fields.joined_at.level",
            ("L2", "L3"),
            False,
        ),
        (
            "{level: L3, type: text",
            "{level: L2, type: text",
            "records.interaction.fields.content.level",
            ("L3", "L2"),
            True,
        ),
        (
            "[name, phone]",
            "[name, phone, joined_at]",
            "purposes.membership.uses.member.joined_at",
            (None, "in clear"),
            True,
        ),
        ("[name, phone]", "[name]", "purposes.membership.uses.member.phone", ("in clear", None), False),
        (
            "phone.masked]",
            "phone]",
            "purposes.customer-service.uses.member.phone",
            ("masked (phone)", "in clear"),
            True,
        ),
        ("keep: P3Y", "keep: P5Y", "purposes.membership.keep", ("P3Y", "P5Y"), True),
        ("keep: P3Y", "keep: P36M", "purposes.membership.keep", ("P3Y", "P36M"), False),
        (
            "consent: {expires: P1Y}",
            "consent: {expires: P2Y}",
            "purposes.marketing.consent_expires",
            ("P1Y", "P2Y"),
            False,
        ),
        (
            "consent: {expires: P1Y}",
            "consent: {expires: P1Y, cool_off: P1Y}",
            "purposes.marketing.cool_off",
            ("P6M", "P1Y"),
            False,
        ),
        (
            "keep: P3Y}",
            "keep: P3Y, method: [collect, store, use, provide]}",
            "purposes.membership.method",
            ("collect, store, use", "collect, store, use, provide"),
            True,
        ),
        (
            "keep: P3Y}",
            "keep: P3Y, method: [collect, store]}",
            "purposes.membership.method",
            ("collect, store, use", "collect, store"),
            True,
        ),
        ("keep: P3Y}", "keep: P3Y, at_end: anonymise}", "purposes.membership.at_end", ("erase", "anonymise"), True),
        (
            "consent: {expires: P1Y}",
            "consent: {expires: P1Y, cool_off: P6M}, opt_out: sale",
            "purposes.marketing.opt_out",
            ("none", "sale"),
            False,
        ),
        (
            "keep: P3Y}",
            "keep: P3Y, grounds: {reference: MSA 7, from: 2026-01-01, until: 2027-12-31}}",
            "purposes.membership.grounds",
            ("none", "MSA 7, from 2026-01-01, until 2027-12-31"),
            False,
        ),
        ("kind: processor", "kind: controller", "recipients.courier.kind", ("processor", "controller"), True),
        ("privacy@example.cn", "dpo@example.cn", "controller.contact", ("privacy@example.cn", "dpo@example.cn"), True),
        (
            "jurisdiction: CN}",
            "jurisdiction: CN, planned_subjects: 5}",
            "controller.planned_subjects",
            ("1000000", "5"),
            False,
        ),
    ],
)
def test_a_change_names_its_path_its_values_and_whether_people_must_know(
    before: str, after: str, path: str, values: tuple[str | None, str | None], material: bool
) -> None:
    change = only(compare(read(), changed(before, after)))
    assert (change.path, (change.before, change.after), change.material) == (path, values, material)
    assert change.effect


def test_longer_and_shorter_keeping_mean_different_things() -> None:
    longer = only(compare(read(), changed("keep: P3Y", "keep: P5Y")))
    shorter = only(compare(read(), changed("keep: P3Y", "keep: P2Y6M")))
    assert "kept longer" in longer.effect
    assert "no longer be read" in shorter.effect


def test_more_and_less_that_is_done_with_the_data_mean_different_things() -> None:
    more = only(compare(read(), changed("keep: P3Y}", "keep: P3Y, method: [collect, store, publish]}")))
    less = only(compare(read(), changed("keep: P3Y}", "keep: P3Y, method: [collect]}")))
    assert "more is done with the data: publish;" in more.effect
    assert "less is done" in less.effect


def test_asking_again_sooner_later_or_after_the_same_time_mean_different_things() -> None:
    effects = {
        cool_off: only(
            compare(read(), changed("consent: {expires: P1Y}", f"consent: {{expires: P1Y, cool_off: {cool_off}}}"))
        ).effect
        for cool_off in ("P1M", "P1Y", "PT4344H")  # half a year from the first of January is 181 days
    }
    assert "sooner" in effects["P1M"]
    assert "later" in effects["P1Y"]
    assert effects["PT4344H"] == "the same period, written differently"


def test_people_must_be_told_when_a_signal_no_longer_opts_them_out() -> None:
    with_signal = changed("keep: P3Y}", "keep: P3Y, opt_out: share}")
    change = next(c for c in compare(with_signal, read()) if c.path == "purposes.membership.opt_out")
    assert (change.before, change.after, change.material) == ("share", "none", True)


@pytest.mark.parametrize("name", sorted(field.name for field in fields(Purpose) if field.name != "name"))
def test_no_part_of_a_purpose_changes_unseen(name: str) -> None:
    manifest = read()
    marketing = manifest.purposes["marketing"]
    others: dict[str, object] = {
        "basis": Basis.CONTRACT, "law": ("PIPL-6",), "category": "dpv:Marketing", "uses": {"member": {"name": None}},
        "keep": Period(days=1), "only_anonymised": True, "consent_expires": None, "title": Text("一", "One"),
        "description": Text("一", "One"), "consent_separate": True, "cool_off": Period(days=1),
        "method": (Method.DELETE,), "at_end": AtEnd.ANONYMISE, "opt_out": OptOut.SALE, "grounds": Grounds("MSA 7"),
        "keep_from": KeepFrom(KeepFromKind.LAST_ACTIVITY), "statutory": Statutory(Period(days=1), ("CN-ECL-31",)),
    }  # fmt: skip
    other = replace(marketing, **{name: others[name]})  # type: ignore[arg-type]  # a field and a value of its type
    changes = compare(manifest, replace(manifest, purposes={**manifest.purposes, "marketing": other}))
    assert {change.path.split(".")[2] for change in changes} == {name}
    assert all(change.effect for change in changes)


WITHOUT_INTERACTION = re.sub(r"  interaction:  .*?(?=purposes:)", "", SMALL, flags=re.DOTALL).replace(
    ", interaction: [channel]", ""
).replace(', interaction: "*"', "")  # fmt: skip


def test_a_removed_type_must_have_no_records() -> None:
    assert demands(read(), read(WITHOUT_INTERACTION)) == (
        Demand("type-removed", "interaction", None, None, "the record type is no longer declared"),
    )
    assert any(
        c.path == "records.interaction" and c.kind == "removed" for c in compare(read(), read(WITHOUT_INTERACTION))
    )


def removal(new: Manifest) -> list[tuple[str, str | None, str | None, str | None]]:
    return [(demand.kind, demand.record_type, demand.field, demand.purpose) for demand in demands(read(), new)]


def test_a_removed_field_must_be_in_no_record() -> None:
    new = read("\n".join(line for line in SMALL.split("\n") if "id_number" not in line))
    assert removal(new) == [("field-removed", "member", "id_number", None)]


def test_a_removed_purpose_must_hold_no_record() -> None:
    new = read("\n".join(line for line in SMALL.split("\n") if "marketing" not in line))
    assert removal(new) == [("purpose-removed", None, None, "marketing")]


def test_a_purpose_that_gives_up_a_type_must_hold_no_record_of_it() -> None:
    new = changed(", interaction: [channel]", "")
    assert removal(new) == [("purpose-removed", "interaction", None, "statistics")]


def test_a_field_of_another_type_must_be_in_no_record() -> None:
    assert removal(changed("type: date, ", "type: text, ")) == [("field-removed", "member", "joined_at", None)]


def test_a_type_moved_to_another_scope_must_have_no_record_because_its_key_changes() -> None:
    new = changed("  member:   ", "  member:\n    scope: ledger\n    ")
    assert removal(new) == [("type-removed", "member", None, None)]


def test_a_stricter_level_demands_nothing_of_what_is_stored() -> None:
    assert removal(changed("{level: L2, type: date", "{level: L3, type: date")) == []


# The words


def test_the_vocabulary_is_the_whole_of_dpv_2_3() -> None:
    assert sum(term.startswith("pd:") for term in CATEGORIES) == 231
    assert len(PURPOSES) == 122


def test_every_broader_term_is_a_term() -> None:
    assert all(above <= CATEGORIES.keys() for above in CATEGORIES.values())


def test_a_category_is_what_stands_above_it() -> None:
    assert is_a("pd:CreditCardNumber", "pd:FinancialAccount")
    assert is_a("pd:Name", "pd:Name")
    assert not is_a("pd:Name", "pd:EmailAddress")


def test_what_pipl_28_and_gdpr_9_name_is_sensitive() -> None:
    assert {"pd:Health", "pd:FacialPrint", "pd:Religion", "pd:BankAccount", "pd:TravelHistory"} <= SENSITIVE
    assert not {"pd:Name", "pd:TelephoneNumber", "pd:OfficialID", "pd:PhysicalAddress"} & SENSITIVE


@pytest.mark.parametrize(
    "reference",
    [
        "PIPL-6",
        "PIPL-13-2",
        "PIPL-74",
        "GDPR-6-1-b",
        "GDPR-99",
        "CCPA-1798.100",
        "CCPA-7021-b",
        "CN-ECL-31",
        "CN-GBT35273-6.3",
    ],
)
def test_a_reference_to_a_law_is_known(reference: str) -> None:
    assert is_law(reference)


@pytest.mark.parametrize(
    "reference",
    ["PIPL", "PIPL-0", "PIPL-75", "PIPL 13", "pipl-13", "GDPR-100", "CCPA-17", "CN-31", "HIPAA-1", "PIPL-13\n"],
)
def test_what_only_looks_like_a_reference_to_a_law_is_not(reference: str) -> None:
    assert not is_law(reference)


def test_the_default_level_of_a_broken_field_never_leaves_the_parser() -> None:
    with pytest.raises(ManifestInvalid):
        changed("name:        {level: L3", "name:        {level: L5")
    assert read().records["member"].fields["name"].level is Level.L3


def test_the_manifest_in_the_documentation_has_no_problem_and_no_warning() -> None:
    text = (Path(__file__).parents[2] / "docs" / "manifest.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    assert read(example).warnings == ()
