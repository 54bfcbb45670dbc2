"""Many calls in one transaction: each as if it were alone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial

import pytest
from sqlalchemy import text, update

from privacy import idempotency, records, search, subjects
from privacy.errors import Conflict
from privacy.group import Failure
from privacy.tables import subjects as subjects_table
from privacy.work import TERMINAL, Work
from tests.world import PERSON, PHONE, World, errors_of


def test_calls_of_many_actors_share_a_commit_and_each_gets_its_own_answer(world: World) -> None:
    stored = [world.store(world.subject(), {**PERSON, "name": f"Person {n}"}) for n in range(20)]
    reads = [partial(records.read, record_id=one.id, purpose="customer-service") for one in stored]
    before = len(world.events())
    outcomes = world.many([(world.desk, [read], False) for read in reads])
    assert [found[0].data["name"] for found in outcomes] == [f"P***** {n}"[:0] + f"Person {n}" for n in range(20)]
    events = world.events()[before:]
    assert {event["record_id"] for event in events} == {one.id for one in stored}


def test_a_refused_call_leaves_its_refusal_and_the_others_their_answers(world: World) -> None:
    stored = world.store(world.subject())
    read = partial(records.read, record_id=stored.id)
    outcomes = world.together(
        world.desk,
        [
            partial(read, purpose="customer-service"),
            partial(read, purpose="nowhere"),
            partial(read, purpose="membership"),
        ],
    )
    assert errors_of(outcomes) == [None, "undeclared-purpose", "not-granted"]
    assert len(world.events(outcome="refused")) == 2
    assert len(world.events(outcome="disclosed")) == 1


def test_calls_that_stand_together_fall_together(world: World) -> None:
    subject_id = world.subject()
    good = partial(records.store, subject_id=subject_id, type="member", purposes=["membership"], data=PERSON)
    bad = partial(records.store, subject_id=subject_id, type="member", purposes=["membership"], data={"x": "y"})
    assert errors_of(world.together(world.platform, [good, bad, good], together=True)) == [
        "conflict",
        "undeclared",
        "conflict",
    ]
    assert world.events(action="record.stored") == []
    assert errors_of(world.together(world.platform, [good, bad, good])) == [None, "undeclared", None]
    assert len(world.events(action="record.stored", outcome="done")) == 2


def test_two_subjects_of_one_external_id_in_one_group_are_one_subject_and_one_conflict(world: World) -> None:
    create = partial(subjects.create, external_id="member-1")
    outcomes = world.many([(world.platform, [create], False)] * 5)
    codes = sorted(str(errors_of(found)[0]) for found in outcomes)
    assert codes == ["None", "conflict", "conflict", "conflict", "conflict"]
    assert len(world.events(action="subject.created", outcome="done")) == 1


def test_one_idempotency_key_in_one_group_is_one_change(world: World) -> None:
    subject_id = world.subject()

    def store(work: Work) -> bytes:
        stored = records.store(work, subject_id, type="member", purposes=["membership"], data=PERSON)
        return str(stored.id).encode()

    def once(work: Work) -> bytes:
        return idempotency.once(work, "key-1", b"request", lambda: store(work))

    answers = {found[0] for found in world.many([(world.platform, [once], False)] * 6)}
    assert len(answers) == 1
    assert not isinstance(next(iter(answers)), Failure)
    assert len(world.events(action="record.stored")) == 1


def test_a_call_that_changes_rows_directly_runs_by_itself(world: World) -> None:
    stored = world.store(world.subject())
    other = world.store(world.subject())
    rectify = partial(records.rectify, record_id=stored.id, version=1, data={"name": "李娜"})
    read = partial(records.read, record_id=other.id, purpose="membership")
    outcomes = world.together(world.platform, [read, rectify, rectify, read])
    assert errors_of(outcomes) == [None, None, "version-mismatch", None]


def test_searches_share_a_group_too(world: World) -> None:
    ids = [world.subject() for _ in range(4)]
    for n, subject_id in enumerate(ids):
        world.store(subject_id, {"phone": f"1380013800{n}"})
    look = [
        partial(search.search, type="member", field="phone", value=f"+86 138 0013 800{n}", purpose="customer-service")
        for n in range(4)
    ]
    outcomes = world.together(world.desk, look)
    assert [[hit.subject_id for hit in found] for found in outcomes] == [[one] for one in ids]


def test_a_bug_in_one_call_is_that_calls_own(world: World) -> None:
    stored = world.store(world.subject())

    def broken(work: Work) -> None:
        raise ZeroDivisionError

    read = partial(records.read, record_id=stored.id, purpose="customer-service")
    outcomes = world.many([(world.desk, [read], False), (world.desk, [broken], False), (world.desk, [read], False)])
    assert isinstance(outcomes[1][0], Failure)
    assert isinstance(outcomes[1][0].error, ZeroDivisionError)
    assert outcomes[0][0].data["phone"] == outcomes[2][0].data["phone"] == "138****8000"


def test_a_revoked_key_stops_the_next_call_and_nobody_elses(world: World) -> None:
    from privacy import principals
    from privacy.work import TERMINAL

    stored = world.store(world.subject())
    desk, platform = world.desk, world.platform
    with world.service.begin(TERMINAL) as work:
        principals.revoke(work, "desk")
    outcomes = world.many(
        [
            (desk, [partial(records.read, record_id=stored.id, purpose="customer-service")], False),
            (platform, [partial(records.read, record_id=stored.id, purpose="membership")], False),
        ]
    )
    assert [errors_of(found) for found in outcomes] == [["unauthenticated"], [None]]


def test_the_writers_count_their_events_without_gaps(world: World) -> None:
    subject_id = world.subject()
    good = partial(records.store, subject_id=subject_id, type="member", purposes=["membership"], data=PERSON)
    bad = partial(subjects.create, external_id="same")
    for _ in range(3):
        world.together(world.platform, [good, bad, good])
    numbers: dict[object, list[int]] = {}
    for event in world.events():
        numbers.setdefault(event["writer"], []).append(event["sequence"])
    for found in numbers.values():
        assert sorted(found) == list(range(1, len(found) + 1))


def test_a_group_survives_the_loss_of_its_connection(world: World) -> None:
    stored = world.store(world.subject())
    read = partial(records.read, record_id=stored.id, purpose="customer-service")
    assert errors_of(world.together(world.desk, [read])) == [None]
    if world.service.database.kind == "postgresql":
        with world.service.database.borrow() as lane, lane.transaction() as transaction:
            transaction.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            ).all()
    for _ in range(4):
        last = errors_of(world.together(world.desk, [read]))
    assert last == [None]


def test_together_cannot_hold_a_direct_change(world: World) -> None:
    stored = world.store(world.subject())
    rectify = partial(records.rectify, record_id=stored.id, version=1, data={"name": "李娜"})
    outcomes = world.together(world.platform, [rectify, rectify], together=True)
    assert all(isinstance(found, Failure) and isinstance(found.error, Conflict) for found in outcomes)


@pytest.mark.parametrize("size", [1, 2, 300])
def test_a_group_of_any_size_answers_in_order(world: World, size: int) -> None:
    subject_id = world.subject()
    world.store(subject_id, {"phone": PHONE})
    calls = [partial(subjects.view, subject_id=subject_id) for _ in range(size)]
    outcomes = world.together(world.desk, calls)
    assert len(outcomes) == size
    assert errors_of(outcomes) == [None] * size


def test_a_store_decided_before_a_change_of_its_subject_is_decided_again(world: World) -> None:
    from privacy import consent

    if world.service.database.kind == "postgresql":
        return  # there the change would wait for the store's row lock: the next test but one holds that race
    subject_id = world.subject()
    runs = []

    def store(work: Work) -> None:
        runs.append(1)
        records.store(work, subject_id, type="member", purposes=["membership"], data=PERSON)
        if len(runs) == 1:  # after the decision, before the commit
            with world.service.begin(world.platform) as other:
                consent.decide(other, subject_id, "marketing", "given")

    assert errors_of(world.together(world.platform, [store])) == [None]
    assert len(runs) == 2
    assert len(world.events(action="record.stored", outcome="done")) == 1


def test_a_commit_in_doubt_is_not_tried_again(world: World) -> None:
    """The connection dies inside the commit: the caller hears that it is not known, and nothing runs twice."""
    if world.service.database.kind == "sqlite":
        return  # its commit is a call in this process: it returns, or the process is gone
    subject_id = world.subject()
    runs = []

    def store(work: Work) -> None:
        runs.append(1)
        records.store(work, subject_id, type="member", purposes=["membership"], data=PERSON)

    with world.service.database.borrow() as lane, lane.transaction() as transaction:
        transaction.execute(
            text(
                "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$"
            )
        )
        transaction.execute(
            text(
                "CREATE CONSTRAINT TRIGGER die AFTER INSERT ON records "
                "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die()"
            )
        )
    assert errors_of(world.together(world.platform, [store])) == ["audit-unavailable"]
    assert len(runs) == 1


def test_a_store_waits_for_an_erasure_of_its_subject_and_then_stores_nothing(world: World) -> None:
    """The eraser holds the subject; the store, in a group, must not be decided on what was before."""
    subject_id = world.subject()
    world.store(subject_id)  # its key is there: only the row says that it is being erased
    store = partial(records.store, subject_id=subject_id, type="member", purposes=["membership"], data=PERSON)
    with ThreadPoolExecutor(1) as pool:
        with world.service.begin(TERMINAL) as work:
            subjects.hold_for_writing(work, subject_id, alone=True)
            outcome = pool.submit(world.together, world.platform, [store])
            wait([outcome], timeout=0.5)  # long enough to be decided, if it does not wait
            work.execute(update(subjects_table).where(subjects_table.c.subject_id == subject_id).values(erased_at=1))
            work.audit("subject.erased", subject=subject_id)
        assert errors_of(outcome.result(timeout=30)) == ["erased"]
    assert len(world.events(action="record.stored", outcome="done")) == 1


def test_work_that_nobody_waits_for_gives_way_when_it_has_held_the_database_for_long(
    world: World, monkeypatch: pytest.MonkeyPatch, database_kind: str
) -> None:
    """On SQLite one writes at a time: the rounds of a sweep must not shut out requests, and no request must rest."""
    naps: list[float] = []
    monkeypatch.setattr("privacy.database.time.sleep", naps.append)

    def work(seconds: float, request_id: str | None = None) -> int:
        naps.clear()
        with world.service.begin(request_id=request_id):
            threading.Event().wait(seconds)
        return len(naps)

    assert work(0.1) == (database_kind == "sqlite")
    assert all(0.05 < nap <= 0.1 for nap in naps)
    assert work(0.1, request_id="r") == 0
