"""Nothing without an end: every record ends with the longest of its purposes, and from then on nobody reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy import records
from privacy.errors import NotFound, PrivacyError, PurposeEnded
from privacy.periods import Period
from privacy.steward import Steward
from privacy.tables import micros, moment
from privacy.tables import records as records_table
from tests.databases import KINDS, Databases
from tests.invariants.looking import rows, run
from tests.server import in_thread
from tests.world import PERSON, World, build

KEPT: Final = {"hours": "PT36H", "days": "P30D", "weeks": "P5W", "months": "P1M", "years": "P1Y", "mixed": "P1M2DT3H"}
MANIFEST: Final = """\
controller: {name: {zh: 示例运营有限公司, en: Example Operations Ltd}, contact: privacy@example.cn, jurisdiction: CN,
             languages: [zh, en]}
records:
  member:
    title: {zh: 会员, en: Member}
    fields:
      name:  {level: L3, category: pd:Name, lookup: exact}
      phone: {level: L3, category: pd:TelephoneNumber, detect: CN_MOBILE, lookup: exact}
  interaction:
    title: {zh: 交互记录, en: Interaction}
    fields:
      content: {level: L3, category: pd:Communication, type: text}
  invoice:
    title: {zh: 发票, en: Invoice}
    fields:
      amount: {level: L3, category: pd:Transaction, type: integer}
purposes:
""" + "".join(
    f"""\
  {name}:
    title: {{zh: 目的, en: Purpose}}
    basis: contract
    category: dpv:ServiceProvision
    uses: {{member: "*", interaction: "*", invoice: "*"}}
    keep: {keep}
"""
    for name, keep in [
        *KEPT.items(),
        *dict.fromkeys(("membership", "customer-service", "marketing", "tax", "statistics"), "P2D").items(),
    ]
)
NOON: Final = datetime(2026, 1, 31, 12, tzinfo=UTC)

# Broken by hand: `max` made `min` in `records.store`; `ended` made False; the expiry left out of `read`, of
# `_OF_SUBJECT`, of `_CANDIDATES` and of `_for_change`, one after the other; `<=` made `<` in `ended` and in `read`.


class Frozen:
    """A clock that stands where the test puts it. Microseconds."""

    def __init__(self) -> None:
        self.at = micros(NOON)

    def __call__(self) -> int:
        return self.at


@pytest.fixture(scope="module", params=KINDS)
def frozen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Frozen]]:
    """A world whose platform may use every purpose, and its clock."""
    databases: Databases = request.getfixturevalue(f"{request.param}_databases")
    urls = databases.empty(), databases.empty()
    world = build(tmp_path_factory.mktemp("frozen") / "home", *urls, text=MANIFEST)
    run(world, """UPDATE principals SET purposes = '["*"]', types = '["*"]' WHERE name = 'platform'""")
    run(world, "UPDATE revisions SET number = number + 1 WHERE name = 'principals'")
    world.service.reload()
    clock = Frozen()
    world.service.instant = clock
    yield world, clock
    world.service.close()
    for url in urls:
        databases.remove(url)


PURPOSES = st.lists(st.sampled_from(sorted(KEPT)), min_size=1, max_size=len(KEPT), unique=True)
INSTANTS = st.datetimes(datetime(2024, 1, 1), datetime(2096, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - given one


@settings(max_examples=40)
@given(purposes=PURPOSES, stored_at=INSTANTS, asked=st.data())
def test_a_record_ends_with_the_longest_of_its_purposes_and_is_not_read_a_moment_later(
    frozen: tuple[World, Frozen], purposes: list[str], stored_at: datetime, asked: st.DataObject
) -> None:
    world, clock = frozen
    clock.at = micros(stored_at)
    stored = world.store(world.subject(), {"name": "王伟"}, purposes=purposes)
    ends = {name: Period.parse(KEPT[name]).after(stored_at) for name in purposes}
    (row,) = [row for row in rows(world, records_table) if row["record_id"] == stored.id]
    assert row["expires_at"] == stored.expires_at == max(ends.values())
    assert row["stored_at"] == stored_at
    # each purpose until its own period has passed, and no purpose from the record's end on
    name = asked.draw(st.sampled_from(purposes))
    clock.at = micros(ends[name]) - 1
    assert world.read(stored.id, name, by="platform").data == {"name": "王伟"}
    clock.at = micros(ends[name])
    gone: type[PrivacyError] = NotFound if ends[name] == max(ends.values()) else PurposeEnded
    with pytest.raises(gone):
        world.read(stored.id, name, by="platform")
    clock.at = micros(max(ends.values()) + asked.draw(st.timedeltas(timedelta(0), timedelta(days=4000))))
    with pytest.raises(NotFound):
        world.read(stored.id, name, by="platform")


def test_no_route_reaches_a_record_that_has_ended(frozen: tuple[World, Frozen]) -> None:
    world, clock = frozen
    clock.at = micros(NOON)
    subject = world.subject()
    phone: dict[str, object] = {"name": "王伟", "phone": PERSON["phone"]}
    stored = world.store(subject, phone, purposes=["hours"])
    purpose = {"purpose": "hours"}
    search = {**purpose, "type": "member", "field": "phone", "value": PERSON["phone"]}
    batch = {**purpose, "items": [{"record_id": str(stored.id)}, {"subject_id": str(subject), "type": "member"}]}
    ways: dict[str, Callable[[httpx.Client], httpx.Response]] = {
        "one": lambda http: http.get(f"/v1/records/{stored.id}", params=purpose),
        "some fields": lambda http: http.get(f"/v1/records/{stored.id}", params=purpose | {"fields": "name"}),
        "list": lambda http: http.get(f"/v1/subjects/{subject}/records", params=purpose),
        "list of a type": lambda http: http.get(f"/v1/subjects/{subject}/records", params=purpose | {"type": "member"}),
        "search": lambda http: http.post("/v1/subjects/search", json=search),
        "batch": lambda http: http.post("/v1/records/batch-read", json=batch),
        "rectify": lambda http: http.patch(
            f"/v1/records/{stored.id}", json={"data": {"name": "李娜"}}, headers={"If-Match": '"1"'}
        ),
        "delete": lambda http: http.delete(f"/v1/records/{stored.id}"),
    }
    service = Steward.open(world.service.settings, clock)
    with in_thread(service) as served, served.http(world.keys["platform"]) as http:
        clock.at = micros(stored.expires_at) - 1
        for name in ("one", "list", "list of a type", "search", "batch"):
            assert str(stored.id) in ways[name](http).text, name
        clock.at = micros(stored.expires_at)
        for name, ask in ways.items():
            answer = ask(http)
            assert str(stored.id) not in answer.text, name
            for value in phone.values():
                assert str(value) not in answer.text, name
        found = {name: ask(http).status_code for name, ask in ways.items()}
        assert found == {
            "one": 404, "some fields": 404, "list": 200, "list of a type": 200, "search": 200, "batch": 200,
            "rectify": 404, "delete": 404,
        }  # fmt: skip
    # swept or not: the row is still there, and nobody got at it
    assert [row["version"] for row in rows(world, records_table) if row["record_id"] == stored.id] == [1]


def test_a_record_without_an_end_cannot_be_stored(frozen: tuple[World, Frozen]) -> None:
    world, clock = frozen
    clock.at = micros(NOON)
    subject = world.subject()
    with pytest.raises(PrivacyError, match="at least one purpose"), world.service.begin(world.platform) as work:
        records.store(work, subject, type="member", purposes=[], data={"name": "王伟"})
    stored = world.store(subject, {"name": "王伟"}, purposes=["hours"])
    for change in ("expires_at = NULL", "expires_at = stored_at"):
        with pytest.raises(PrivacyError):
            run(world, f"UPDATE records SET {change}")
    assert moment(clock.at) < stored.expires_at
