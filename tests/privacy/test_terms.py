"""Terms: what makes processing broader asks people again, and nothing else does."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from privacy import manifest, terms
from privacy.errors import UndeclaredPurpose
from privacy.manifest import AtEnd, Basis, Manifest, Method, RecipientKind
from privacy.terms import RecipientTerm, TermChange, Terms
from tests.world import WITHOUT_RECIPIENTS

RECIPIENTS = """\
recipients:
  sms: {kind: processor, contact: dpo@sms.example, jurisdiction: CN, purposes: [marketing, membership]}
  mall: {kind: controller, contact: privacy@mall.example, purposes: [marketing]}
"""

_names = st.sampled_from(["pd:Name", "pd:EmailAddress", "pd:TelephoneNumber", "pd:OfficialID", "pd:Health"])
_periods = st.sampled_from(["P30D", "P1M", "P6M", "P12M", "P1Y", "P3Y", "PT48H"])
_recipients = st.builds(
    RecipientTerm,
    name=st.sampled_from(["courier", "mall", "sms"]),
    kind=st.sampled_from([kind.value for kind in RecipientKind]),
    jurisdiction=st.sampled_from([None, "CN", "DE", "US-CA"]),
)


@st.composite
def _terms(draw: st.DrawFn) -> Terms:
    categories = draw(st.sets(_names, min_size=1))
    recipients = draw(st.lists(_recipients, unique_by=lambda term: term.name))
    return Terms(
        purpose="marketing",
        category=draw(st.sampled_from(["dpv:Marketing", "dpv:CustomerCare"])),
        basis=draw(st.sampled_from([basis.value for basis in Basis])),
        method=tuple(sorted(draw(st.sets(st.sampled_from([method.value for method in Method]), min_size=1)))),
        categories=tuple(sorted(categories)),
        sensitive=tuple(sorted(name for name in categories if draw(st.booleans()))),
        recipients=tuple(sorted(recipients, key=lambda term: term.name)),
        keep=draw(_periods),
        at_end=draw(st.sampled_from([end.value for end in AtEnd])),
        only_anonymised=draw(st.booleans()),
    )


def _in_years(one: Terms) -> Terms:
    """P12M is P1Y: the one pair of equal periods among those drawn."""
    return replace(one, keep="P1Y") if one.keep == "P12M" else one


@pytest.fixture(scope="module")
def declared() -> Manifest:
    return manifest.parse(WITHOUT_RECIPIENTS + RECIPIENTS, "world.yaml")


def test_terms_are_what_the_manifest_declares(declared: Manifest) -> None:
    assert terms.terms_of(declared, "customer-service") == Terms(
        purpose="customer-service",
        category="dpv:CustomerCare",
        basis="contract",
        method=("collect", "store", "use"),
        categories=("pd:Communication", "pd:Name", "pd:OfficialID", "pd:TelephoneNumber"),
        sensitive=("pd:OfficialID",),
        recipients=(),
        keep="P2Y",
        at_end="erase",
    )
    marketing = terms.terms_of(declared, "marketing")
    assert marketing.recipients == (
        RecipientTerm("mall", "controller", None),
        RecipientTerm("sms", "processor", "CN"),
    )
    assert terms.terms_of(declared, "statistics").only_anonymised


def test_terms_of_an_undeclared_purpose_are_refused(declared: Manifest) -> None:
    with pytest.raises(UndeclaredPurpose):
        terms.terms_of(declared, "profiling")


@given(_terms())
def test_nothing_differs_from_itself(one: Terms) -> None:
    assert terms.compare(one, one) == ()
    assert not terms.is_material(one, one)


@given(_terms())
def test_terms_come_back_from_json_as_they_were(one: Terms) -> None:
    assert terms.from_json(json.loads(json.dumps(terms.to_json(one)))) == one


@given(_terms(), _terms())
def test_unequal_terms_differ_and_the_way_back_tells_the_same_things(one: Terms, other: Terms) -> None:
    there, back = terms.compare(one, other), terms.compare(other, one)
    assert bool(there) == (_in_years(one) != _in_years(other))
    told = sorted((change.what, change.before, change.after) for change in there)
    assert told == sorted((change.what, change.after, change.before) for change in back)


@given(_terms(), st.sampled_from([method.value for method in Method]))
def test_a_method_more_is_broader_and_one_less_is_not(one: Terms, method: str) -> None:
    assume(method not in one.method)
    more = replace(one, method=tuple(sorted({*one.method, method})))
    assert terms.compare(one, more) == (TermChange("method", "", method, is_broader=True),)
    assert terms.compare(more, one) == (TermChange("method", method, "", is_broader=False),)


@given(_terms(), _names, st.booleans())
def test_a_category_more_is_broader_and_one_less_is_not(one: Terms, category: str, is_sensitive: bool) -> None:
    assume(category not in one.categories)
    more = replace(one, categories=tuple(sorted({*one.categories, category})))
    if is_sensitive:
        more = replace(more, sensitive=tuple(sorted({*one.sensitive, category})))
    named = f"{category} (sensitive)" if is_sensitive else category
    assert terms.compare(one, more) == (TermChange("category", "", named, is_broader=True),)
    assert terms.compare(more, one) == (TermChange("category", named, "", is_broader=False),)


@given(_terms())
def test_a_category_that_becomes_sensitive_is_broader_and_the_reverse_is_not(one: Terms) -> None:
    assume(set(one.categories) - set(one.sensitive))
    category = min(set(one.categories) - set(one.sensitive))
    raised = replace(one, sensitive=tuple(sorted({*one.sensitive, category})))
    assert terms.is_material(one, raised)
    assert terms.compare(raised, one)
    assert not terms.is_material(raised, one)


@given(_terms(), _recipients)
def test_a_recipient_more_is_broader_and_one_less_is_not(one: Terms, recipient: RecipientTerm) -> None:
    assume(recipient.name not in {known.name for known in one.recipients})
    more = replace(one, recipients=(*one.recipients, recipient))
    assert terms.is_material(one, more)
    assert terms.compare(more, one)
    assert not terms.is_material(more, one)


@given(_terms(), _recipients, _recipients)
def test_a_recipient_of_another_kind_or_country_is_broader_both_ways(
    one: Terms, was: RecipientTerm, now: RecipientTerm
) -> None:
    now = replace(now, name=was.name)
    assume(was != now)
    before, after = replace(one, recipients=(was,)), replace(one, recipients=(now,))
    assert terms.is_material(before, after)
    assert terms.is_material(after, before)


@pytest.mark.parametrize(
    ("before", "after", "is_broader"),
    [("P1Y", "P2Y", True), ("P2Y", "P1Y", False), ("P30D", "P1M", True), ("P1M", "P30D", False), ("P6M", "P5M", False)],
)
def test_a_longer_period_is_broader_and_a_shorter_one_is_not(
    declared: Manifest, before: str, after: str, is_broader: bool
) -> None:
    one = terms.terms_of(declared, "marketing")
    changes = terms.compare(replace(one, keep=before), replace(one, keep=after))
    assert changes == (TermChange("period", before, after, is_broader=is_broader),)


def test_the_same_period_written_differently_is_no_change(declared: Manifest) -> None:
    one = terms.terms_of(declared, "marketing")
    assert terms.compare(replace(one, keep="P1Y"), replace(one, keep="P12M")) == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("category", "dpv:Advertising"),
        ("basis", "contract"),
        ("at_end", "anonymise"),
        ("purpose", "another"),
    ],
)
def test_another_purpose_basis_or_end_is_broader_both_ways(declared: Manifest, name: str, value: str) -> None:
    one = terms.terms_of(declared, "marketing")
    other = replace(one, **{name: value})  # type: ignore[arg-type]
    assert terms.is_material(one, other)
    assert terms.is_material(other, one)


def test_seeing_persons_is_broader_than_seeing_anonymised_data(declared: Manifest) -> None:
    anonymised = terms.terms_of(declared, "statistics")
    personal = replace(anonymised, only_anonymised=False)
    assert terms.is_material(anonymised, personal)
    assert terms.compare(personal, anonymised)
    assert not terms.is_material(personal, anonymised)


def test_another_contact_is_no_change_of_terms(declared: Manifest) -> None:
    moved = manifest.parse(
        WITHOUT_RECIPIENTS + RECIPIENTS.replace("dpo@sms.example", "privacy@sms.example"), "world.yaml"
    )
    assert terms.compare(terms.terms_of(declared, "marketing"), terms.terms_of(moved, "marketing")) == ()
