"""Releases: asked for by one, made by a job, approved by another, given to whom they were made for."""

from __future__ import annotations

import io
from collections import Counter

import httpx
import pytest

from privacy import alerts, consent, standing
from privacy.anonymisation import reassessment, release_parts, releases
from privacy.anonymisation.policies import Policy, Recoding
from privacy.anonymisation.release_requests import OfRecords, RecipientClass
from privacy.client import PrivacyClient
from privacy.errors import Conflict, Forbidden, Invalid, NotAnonymised, NotFound, ReleaseStale
from tests.anonymisation.survey_world import (
    FIELDS,
    answers,
    approve,
    ask,
    declare,
    fill,
    found,
    made,
    released,
    request,
    rows_of,
    run_job,
)
from tests.server import Threaded
from tests.world import World

PEOPLE = 160


@pytest.fixture
def surveyed(world: World) -> World:
    declare(world)
    fill(world, answers(PEOPLE))
    return world


def test_a_release_passes_the_gate_and_a_second_person_and_is_given(surveyed: World) -> None:
    one = released(surveyed)
    assert (one.state, one.ended_by, one.asked_by) == ("anonymised", "colleague", "operator")
    assert [check["number"] for check in one.checks] == [1, 1, 2, 3, 4, 5, 6, 7, 9, 10]
    assert all(check["holds"] for check in one.checks)
    rows = rows_of(surveyed, one.id)
    assert len(rows) == one.figures["rows"] >= PEOPLE * 0.9
    sizes = Counter((row["age"], row["region"], row["sex"]) for row in rows)
    assert min(sizes.values()) >= 5
    (given,) = surveyed.events(action="release.given")
    assert (given["outcome"], given["detail"]["recipient"]) == ("disclosed", "university")
    assert one.reassess_at is not None


def test_a_release_is_reassessed_after_a_year_and_the_office_is_told_once_before(surveyed: World) -> None:
    # Broken by hand: `reassess_at` not asked for in `data`; no alert.
    one = released(surveyed)
    assert told(surveyed) == []
    surveyed.clock.advance(days=340)
    assert [*told(surveyed), *told(surveyed)] == [str(one.id)] * 2  # one alert, however often it is looked for
    rows_of(surveyed, one.id)
    surveyed.clock.advance(days=26)
    with pytest.raises(NotAnonymised), surveyed.service.begin(surveyed.actor("operator")) as work:
        releases.data(work, one.id, "csv")


def told(world: World) -> list[str]:
    """Whom the alerts are about, after the job has looked."""
    with world.service.begin() as work:
        reassessment.remind(work)
        work.paid()
    with world.service.begin(world.auditor) as work:
        return [alert.actor for alert in alerts.listed(work) if alert.rule == "release-assessment-due"]


def test_parquet_holds_the_same_rows_in_another_order(surveyed: World) -> None:
    import duckdb

    one = released(surveyed)
    with surveyed.service.begin(surveyed.actor("operator")) as work:
        content = releases.data(work, one.id, "parquet").content
    file = surveyed.service.settings.home / "got.parquet"
    file.write_bytes(content)
    relation = duckdb.sql(f"SELECT * FROM read_parquet('{file}')")
    assert relation is not None
    there = [tuple(map(str, row)) for row in relation.fetchall()]
    here = [tuple(row[name] for name in relation.columns) for row in rows_of(surveyed, one.id)]
    assert sorted(there) == sorted(here)
    assert there != here


def test_whoever_asked_cannot_approve(surveyed: World) -> None:
    one = made(surveyed)
    with pytest.raises(Forbidden):
        approve(surveyed, one.id, by="operator")
    for name in ("auditor", "lab", "admin"):
        with pytest.raises(Forbidden):
            approve(surveyed, one.id, by=name)
    assert found(surveyed, one.id).state == "candidate"


def test_nothing_is_given_before_it_is_approved(surveyed: World) -> None:
    one = made(surveyed)
    with pytest.raises(NotAnonymised), surveyed.service.begin(surveyed.actor("operator")) as work:
        releases.data(work, one.id, "csv")
    assert surveyed.events(action="release.given", outcome="disclosed") == []
    approve(surveyed, one.id)
    with pytest.raises(Conflict):
        approve(surveyed, one.id)


def test_nothing_is_given_after_the_date_of_its_re_assessment(surveyed: World) -> None:
    one = released(surveyed)
    surveyed.clock.advance(days=340)
    with surveyed.service.begin(surveyed.actor("operator")) as work:
        assert [due.id for due in releases.listed(work, due=True)] == [one.id]
    surveyed.clock.advance(days=30)
    with pytest.raises(NotAnonymised), surveyed.service.begin(surveyed.actor("operator")) as work:
        releases.data(work, one.id, "csv")


def test_what_leads_back_is_destroyed_before_the_status(surveyed: World) -> None:
    candidate = made(surveyed)
    store = surveyed.service.keystore
    assert store.kids_of(candidate.id.bytes)
    one = approve(surveyed, candidate.id)
    assert store.kids_of(one.id.bytes) == []
    proof = next(check for check in one.checks if check["name"] == "destroyed")["figures"]
    assert (len(proof["keys"]), proof["keys_left"], proof["rows_left"]) == (1, 0, 0)
    assert proof["rows"] >= 1
    assert one.code is None


@pytest.mark.parametrize("how", ["withdraws", "is restricted", "is erased"])
def test_somebody_who_says_no_is_in_no_release_approved_after_it(world: World, how: str) -> None:
    declare(world)
    people = fill(world, answers(60), consents=True)
    study = request(source=OfRecords("study", "survey", FIELDS))
    one = made(world, study)
    assert one.state == "candidate"
    with world.service.begin(world.actor("operator" if how == "is erased" else "lab")) as work:
        if how == "withdraws":
            consent.withdraw(work, people[3], "study")
        elif how == "is restricted":
            standing.restrict(work, people[3])
    if how == "is erased":
        from privacy import erasure

        erasure.erase(world.service, people[3], actor=world.actor("operator"))
    with pytest.raises(ReleaseStale):
        approve(world, one.id)
    stale = found(world, one.id)
    assert stale.state == "stale"
    assert world.service.keystore.kids_of(one.id.bytes) == []
    again = released(world, study)
    assert again.figures["persons"] + again.figures["withheld"].get("consent-missing", 0) <= 60
    reading = {
        event["subject_id"] for event in world.events(action="release.read") if str(again.id) in str(event["detail"])
    }
    assert people[3] not in reading
    assert len(reading) == 59


def test_a_public_release_is_full_domain_with_twenty_in_every_class(surveyed: World) -> None:
    with pytest.raises(Invalid):
        ask(surveyed, request(recipient_class=RecipientClass.PUBLIC, policy=Policy(k=5)))
    with pytest.raises(Invalid):
        ask(surveyed, request(recipient_class=RecipientClass.PUBLIC, policy=Policy(k=20, recoding=Recoding.LOCAL)))
    with pytest.raises(Invalid):
        ask(surveyed, request(policy=Policy(k=4)))
    one = released(surveyed, request(recipient_class=RecipientClass.PUBLIC, policy=Policy(k=20)))
    assert one.figures["recoding"] == "full-domain"
    sizes = Counter((row["age"], row["region"], row["sex"]) for row in rows_of(surveyed, one.id))
    assert min(sizes.values()) >= 20


def test_the_same_request_of_the_same_data_is_the_stored_release(surveyed: World) -> None:
    first = released(surveyed)
    second = released(surveyed, request(recipient="hospital"))
    assert (second.same_as, second.id != first.id) == (first.id, True)
    assert rows_of(surveyed, second.id) == rows_of(surveyed, first.id)
    assert surveyed.events(action="release.given")[0]["detail"]["recipient"] == "hospital"


def test_a_service_sees_only_what_it_has_asked_for(surveyed: World) -> None:
    one = released(surveyed)
    with pytest.raises(NotFound), surveyed.service.begin(surveyed.actor("lab")) as work:
        releases.shown(work, one.id)
    own = ask(surveyed, request(recipient="lab's own"), by="lab")
    run_job(surveyed)
    with surveyed.service.begin(surveyed.actor("lab")) as work:
        assert [mine.id for mine in releases.listed(work)] == [own]
    with pytest.raises(Forbidden), surveyed.service.begin(surveyed.actor("auditor")) as work:
        releases.data(work, one.id, "csv")
    with pytest.raises(Forbidden):
        ask(surveyed, by="platform")


def test_a_file_is_released_and_its_upload_destroyed(world: World) -> None:
    from privacy.anonymisation.hierarchy_specs import parse
    from privacy.anonymisation.release_requests import OfFile, Role

    declare(world)
    lines = ["card,age,region,condition"] + [
        f"{n // 2},{row['age']},{row['region']},{row['condition']}" for n, row in enumerate(answers(120))
    ]
    roles = {"card": Role.DROP, "age": Role.QUASI, "region": Role.QUASI, "condition": Role.SENSITIVE}
    asked = request(
        source=OfFile("clinic", roles, person="card"),
        hierarchies={"age": parse({"intervals": [20, 40]}), "region": parse({"prefix": [2]})},
    )
    one = made(world, asked, upload="\n".join(lines).encode())
    assert one.state == "candidate", one.code
    with world.service.begin(world.actor("operator")) as work:
        assert release_parts.read(work, one.id, release_parts.Part.UPLOAD) is None
    one = approve(world, one.id)
    assert set(rows_of(world, one.id)[0]) == {"age", "region", "condition"}
    assert one.figures["persons"] <= 60


def test_a_job_that_dies_leaves_the_release_asked_for_and_nothing_of_it(
    surveyed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from privacy.anonymisation import release_job

    release_id = ask(surveyed)

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    for step in ("make", "_become_candidate"):
        with monkeypatch.context() as patched:
            patched.setattr(release_job, step, die)
            with pytest.raises(Killed):
                run_job(surveyed)
        assert found(surveyed, release_id).state == "asked"
        assert _parts(surveyed) == {"request"}
        surveyed.clock.advance(days=1)
    run_job(surveyed)
    assert found(surveyed, release_id).state == "candidate"


def test_no_value_is_in_the_database_in_clear(world: World) -> None:
    declare(world)
    rows = [row | {"condition": "lycanthropy" if n % 2 else "hay-fever"} for n, row in enumerate(answers(80))]
    fill(world, rows)
    released(world)
    for table in ("releases", "release_parts", "audit_events"):
        from sqlalchemy import text

        with world.service.database.borrow() as lane, lane.transaction():
            for row in lane.connection.execute(text(f"SELECT * FROM {table}")):
                assert "lycanthropy" not in "".join(map(str, row))
    if world.service.database.kind == "sqlite":
        for file in world.service.settings.home.parent.rglob("*.db*"):
            assert b"lycanthropy" not in file.read_bytes()


def test_releases_over_http(surveyed: World, served: Threaded) -> None:
    with (
        PrivacyClient(served.url, surveyed.keys["operator"], retries=0) as operator,
        PrivacyClient(served.url, surveyed.keys["colleague"], retries=0) as colleague,
    ):
        asked = operator.ask_release(
            recipient="university", recipient_class="controlled", purpose="research", type="survey", fields=FIELDS,
            policy={"suppression": 0.1},
        )  # fmt: skip
        assert asked.state == "asked"
        run_job(surveyed)
        assert operator.release(asked.id).state == "candidate"
        with pytest.raises(NotAnonymised):
            operator.release_data(asked.id, io.BytesIO())
        with pytest.raises(Forbidden):
            operator.approve_release(asked.id)
        assert colleague.approve_release(asked.id).state == "anonymised"
        for format, start in (("csv", b"age,"), ("parquet", b"PAR1")):
            file = io.BytesIO()
            operator.release_data(asked.id, file, format=format)  # type: ignore[arg-type]  # one of the two
            assert file.getvalue().startswith(start)
        assert operator.release_risk(asked.id)["k"] == 5
        assert set(operator.release_sheet(asked.id)) == {"json", "zh", "en"}
        assert [one.id for one in operator.releases()] == [asked.id]
    for language in ("zh", "en"):
        page = httpx.get(
            f"{served.url}/v1/releases/{asked.id}/risk",
            headers={
                "Authorization": f"Bearer {surveyed.keys['operator']}",
                "Accept": "text/html",
                "Accept-Language": language,
            },
        )
        assert page.headers["content-type"].startswith("text/html")
        assert ("风险" in page.text) is (language == "zh")


def test_a_file_over_http_and_what_is_wrong_with_one(world: World, served: Threaded) -> None:
    declare(world)
    rows = "\n".join(["age,condition"] + [f"{row['age']},{row['condition']}" for row in answers(60)])
    body = {
        "file": {"name": "clinic", "columns": {"age": "quasi", "condition": "sensitive"}, "text": rows},
        "recipient": "university",
        "recipient_class": "controlled",
        "hierarchies": {"age": {"intervals": [20]}},
    }
    headers = {"Authorization": f"Bearer {world.keys['operator']}", "Accept-Language": "zh"}
    address = f"{served.url}/v1/releases"
    asked = httpx.post(address, json=body, headers=headers)
    assert asked.status_code == 202
    run_job(world)
    assert httpx.get(f"{address}/{asked.json()['id']}", headers=headers).json()["state"] == "candidate"
    broken: list[dict[str, object]] = [
        {**body, "file": {**body["file"], "text": "age\n1,2"}},  # type: ignore[dict-item]  # the tests' own
        {**body, "file": {**body["file"], "columns": {"nobody": "quasi"}}},  # type: ignore[dict-item]  # a JSON body
        {**body, "hierarchies": {"age": {"interval": [20]}}},
        {**body, "records": {"purpose": "research", "type": "survey"}},
        {**body, "recipient_class": "public", "policy": {"k": 5}},
    ]
    for one in broken:
        answer = httpx.post(address, json=one, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


def _parts(world: World) -> set[str]:
    from sqlalchemy import select

    from privacy.tables_releases import release_parts as table

    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        return set(transaction.execute(select(table.c.part)).scalars())
