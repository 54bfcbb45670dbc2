"""The watch: rules over the event stream, alerts, honeytokens, the access review."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, func, insert, select

from privacy import access_reviews, alerts, honeytokens, notifications, principals, watch_rules, watching
from privacy.access_reviews import Review
from privacy.alerts import Alert
from privacy.errors import Conflict, Forbidden, Invalid, NotFound, PrivacyError
from privacy.sequencer import KEEPER, Sequencer
from privacy.tables import audit_pending, audit_writers, micros, watch_seen, watch_state
from privacy.tables import honeytokens as honeytokens_table
from privacy.work import Actor, Role
from tests.world import World

SCHEDULER = Actor("scheduler", Role.ADMIN)
RULES = """
rules:
  - {name: bulk-reads, floor: 3, factor: 2}
  - {name: refusals, at_least: 3}
  - {name: across-purposes, at_least: 2}
  - {name: off-hours, enabled: false}
  - {name: no-heartbeat, enabled: false}
"""


@pytest.fixture
def watched(world: World, tmp_path: Path) -> World:
    """A world with low thresholds, at noon of a working day, whose past the watch has seen."""
    rule(world, tmp_path, RULES)
    noon = datetime(2030, 3, 5, 4, tzinfo=UTC)  # a Tuesday; 12:00 in Shanghai
    world.clock.advance(seconds=(noon - world.service_now()).total_seconds())
    watch(world)
    return world


def rule(world: World, folder: Path, text: str) -> None:
    file = folder / "rules.yaml"
    file.write_text(text, encoding="utf-8")
    world.service.settings = replace(world.service.settings, watch_rules=file)


def watch(world: World) -> int:
    """Sequence what is pending, then let the watch catch up, as the keeper and the job do; how many events it took."""
    Sequencer(world.service).catch_up()
    total = 0
    while True:
        with world.service.begin(SCHEDULER) as work:
            done = watching.watch(work)
        total += done
        if done < watching.ROUND:
            return total


def raised(world: World, name: str = "operator", **options: Any) -> list[Alert]:
    with world.service.begin(world.actor(name)) as work:
        return alerts.listed(work, **options)


def read_people(world: World, count: int) -> list[UUID]:
    """The desk reads so many people, new ones."""
    found = []
    for _ in range(count):
        subject = world.subject()
        found.append(subject)
        world.read(world.store(subject).id, "customer-service")
    return found


def test_more_people_than_usual_in_an_hour_alarm_once(watched: World) -> None:
    read_people(watched, 3)
    watch(watched)
    assert raised(watched) == []
    read_people(watched, 1)
    watch(watched)
    read_people(watched, 2)
    watch(watched)
    (alert,) = raised(watched)
    assert (alert.rule, alert.actor, alert.count, alert.threshold) == ("bulk-reads", "desk", 6, 3)
    assert alert.severity == "high"
    assert set(alert.title) == {"zh", "en"}
    (event,) = watched.events(action="audit.alert")
    assert event["detail"]["alert"] == str(alert.id)
    assert (event["detail"]["rule"], event["detail"]["actor"], event["detail"]["count"]) == ("bulk-reads", "desk", 4)
    with watched.service.begin(watched.actor("operator")) as work:
        (notice,) = notifications.listed(work)
    assert (notice.id, notice.subject_id, notice.kind) == (alert.id, None, "audit-alert")
    assert (notice.recipient, notice.contact) == (notifications.OFFICE, "privacy@example.cn")
    assert alerts.gauges(watched.service.database).open == {("bulk-reads", "high"): 1}


def test_the_same_person_read_often_counts_once(watched: World) -> None:
    stored = watched.store(watched.subject())
    for _ in range(6):
        watched.read(stored.id, "customer-service")
    watch(watched)
    watched.read(stored.id, "customer-service")
    watch(watched)
    assert raised(watched) == []


def test_what_is_usual_is_measured_on_the_principal_itself(watched: World) -> None:
    for _ in range(3):  # three busy hours: eight people each
        read_people(watched, 8)
        watch(watched)
        watched.clock.advance(seconds=3600)
    known = {alert.id for alert in raised(watched)}  # of the first hours, before that was usual
    read_people(watched, 12)  # not above twice eight
    watch(watched)
    assert {alert.id for alert in raised(watched)} == known
    read_people(watched, 5)
    watch(watched)
    (new,) = [alert for alert in raised(watched) if alert.id not in known]
    assert (new.count, new.threshold) == (17, 16)


def test_an_absolute_ceiling_holds_however_usual(watched: World, tmp_path: Path) -> None:
    rule(watched, tmp_path, RULES.replace("floor: 3", "floor: 100, ceiling: 5"))
    read_people(watched, 5)
    watch(watched)
    (alert,) = raised(watched)
    assert (alert.count, alert.threshold) == (5, 5)


def test_each_event_counts_once_when_a_round_fails_or_is_run_again(watched: World) -> None:
    read_people(watched, 2)
    Sequencer(watched.service).catch_up()
    with suppress(RuntimeError), watched.service.begin(SCHEDULER) as work:
        watching.watch(work)
        raise RuntimeError("killed at the last instruction before the commit")
    for _ in range(3):
        watch(watched)
    read_people(watched, 2)
    watch(watched)
    (alert,) = raised(watched)
    assert alert.count == 4


def test_a_round_is_bounded_and_the_next_goes_on(watched: World) -> None:
    with watched.service.begin(watched.auditor) as work:
        for _ in range(watching.ROUND + 10):
            work.audit("test.event")
    Sequencer(watched.service).catch_up()
    done = []
    for _ in range(3):
        with watched.service.begin(SCHEDULER) as work:
            done.append(watching.watch(work))
    assert done[0] == watching.ROUND
    assert 10 <= done[1] < 20
    assert done[2] == 0
    assert alerts.gauges(watched.service.database).unwatched == 0


def test_many_refusals_alarm(watched: World) -> None:
    stored = watched.store(watched.subject())
    for _ in range(3):
        with suppress(PrivacyError):
            watched.read(stored.id, "membership")
    watch(watched)
    (alert,) = raised(watched)
    assert (alert.rule, alert.actor, alert.count) == ("refusals", "desk", 3)


def test_one_person_read_for_many_purposes_by_one_principal_alarms(watched: World) -> None:
    subject = watched.subject()
    watched.consent(subject)
    stored = watched.store(subject, purposes=("membership", "marketing"))
    watched.read(stored.id, "membership", by="platform")
    watch(watched)
    assert raised(watched) == []
    watched.read(stored.id, "marketing", by="platform")
    watched.read(stored.id, "customer-service")  # another principal's purpose is its own
    watch(watched)
    (alert,) = raised(watched)
    assert (alert.rule, alert.actor, alert.count, alert.subject_id) == ("across-purposes", "platform", 2, subject)


@pytest.mark.parametrize(
    ("hour_utc", "day", "over"),
    [(4, 5, False), (14, 5, True), (22, 4, True), (23, 4, False), (4, 9, True)],
    ids=["noon", "at-closing", "before-opening", "at-opening", "saturday"],
)
def test_office_hours_are_those_of_the_offices_own_zone(hour_utc: int, day: int, over: bool) -> None:
    at = datetime(2030, 3, day, hour_utc, tzinfo=UTC)  # Shanghai is eight hours ahead
    assert watch_rules.load(None).review.hours.are_over(micros(at)) is over


def test_a_persons_work_outside_office_hours_alarms_and_the_services_own_does_not(
    watched: World, tmp_path: Path
) -> None:
    rule(watched, tmp_path, RULES.replace("off-hours, enabled: false", "off-hours"))
    raised(watched)  # the operator works at noon
    watch(watched)
    assert raised(watched) == []
    watched.clock.advance(seconds=11 * 3600)
    raised(watched)
    with watched.service.begin(SCHEDULER) as work:
        work.audit("job.claimed")
    read_people(watched, 1)  # components never sleep
    watch(watched)
    assert [(alert.rule, alert.actor) for alert in raised(watched)] == [("off-hours", "operator")]


def test_a_principal_named_like_the_service_is_watched_all_the_same(watched: World, tmp_path: Path) -> None:
    with watched.service.begin() as work:
        key = principals.add(work, "scheduler", role=Role.SERVICE, purposes=["customer-service"], types=["member"]).key
    watched.keys["scheduler"] = key
    for _ in range(4):
        watched.read(watched.store(watched.subject()).id, "customer-service", by="scheduler")
    watch(watched)
    assert [(alert.rule, alert.actor) for alert in raised(watched)] == [("bulk-reads", "scheduler")]


def test_a_honeytoken_alarms_at_the_first_disclosure_and_at_a_comparison(watched: World) -> None:
    subject, other = watched.subject(), watched.subject()
    stored, _ = watched.store(subject), watched.store(other, {"name": "李娜"})
    with watched.service.begin(watched.actor("operator")) as work:
        honeytokens.mark(work, subject)
    watch(watched)
    assert raised(watched) == []
    watched.read(stored.id, "customer-service")
    watch(watched)
    (alert,) = raised(watched)
    assert (alert.rule, alert.severity, alert.actor, alert.subject_id) == ("honeytoken", "critical", "desk", subject)
    with watched.service.begin(KEEPER) as work:
        work.audit("subject.searched", outcome="compared", subject=subject)
    with watched.service.begin(watched.platform) as work:
        work.audit("subject.searched", outcome="compared", subject=subject)
    watch(watched)
    assert {alert.actor for alert in raised(watched)} == {"desk", "platform"}


def test_no_event_and_no_row_tells_who_is_a_honeytoken(watched: World) -> None:
    subject = watched.subject()
    with watched.service.begin(watched.actor("operator")) as work:
        honeytokens.mark(work, subject)
    stored = watched.store(subject)
    watched.read(stored.id, "customer-service")
    watch(watched)
    about = {event["action"] for event in watched.events(subject_id=subject)}
    assert about == {"subject.created", "record.stored", "record.read"}
    for event in watched.events():
        if event["action"].startswith(("honeytoken.", "audit.alert")):
            assert str(subject) not in str(event["detail"])
    with watched.service.database.borrow() as lane, lane.transaction() as transaction:
        (row,) = transaction.execute(select(honeytokens_table))
    assert subject.bytes not in bytes(row.mark)
    assert str(subject) not in str(row)


def test_marks_are_set_and_lifted_by_operators_only(watched: World) -> None:
    subject = watched.subject()
    with pytest.raises(Forbidden), watched.service.begin(watched.platform) as work:
        honeytokens.mark(work, subject)
    with pytest.raises(NotFound), watched.service.begin(watched.actor("operator")) as work:
        honeytokens.mark(work, uuid4())
    with watched.service.begin(watched.actor("operator")) as work:
        honeytokens.mark(work, subject)
    for act in (honeytokens.mark, honeytokens.unmark, honeytokens.unmark):
        with watched.service.begin(watched.actor("operator")) as work:
            act(work, subject)
    watched.read(watched.store(subject).id, "customer-service")
    watch(watched)
    assert raised(watched) == []


def test_a_log_that_lags_alarms_once_an_hour(watched: World) -> None:
    read_people(watched, 1)
    watched.clock.advance(seconds=120)
    for _ in range(2):
        with watched.service.begin(SCHEDULER) as work:
            watching.watch(work)  # the sequencer stands still
    (alert,) = raised(watched)
    assert (alert.rule, alert.actor) == ("audit-lag", "")
    assert alert.count >= 120


def test_silence_alarms_and_a_heartbeat_ends_it(watched: World, tmp_path: Path) -> None:
    rule(watched, tmp_path, RULES.replace("- {name: no-heartbeat, enabled: false}", ""))
    Sequencer(watched.service).beat()
    watched.clock.advance(seconds=200)
    watch(watched)
    assert raised(watched) == []
    with watched.service.begin(watched.platform) as work:
        work.audit("audit.heartbeat")  # whoever has a key is not the service
    watched.clock.advance(seconds=200)
    watch(watched)
    assert [alert.rule for alert in raised(watched)] == ["no-heartbeat"]
    Sequencer(watched.service).beat()
    watched.clock.advance(seconds=3600)
    Sequencer(watched.service).beat()
    watch(watched)
    assert len(raised(watched)) == 1


def test_a_writer_whose_events_are_missing_alarms_for_good_and_again_when_more_are(watched: World) -> None:
    writer = uuid4()
    with watched.service.database.borrow() as lane, lane.transaction() as transaction:
        values = {"writer": writer, "count": 4, "highest": 5, "changed_at": watched.service.instant()}
        transaction.execute(insert(audit_writers).values(**values))
    watch(watched)
    assert raised(watched) == []  # a slower transaction may still close the gap
    watched.clock.advance(seconds=61)
    watch(watched)
    (alert,) = raised(watched)
    assert (alert.rule, alert.severity, alert.actor, alert.count) == ("missing-events", "critical", str(writer), 1)
    with watched.service.begin(watched.auditor) as work:
        alerts.acknowledge(work, alert.id, "incident")
    watched.clock.advance(seconds=7200)
    watch(watched)
    assert raised(watched) == []
    with watched.service.database.borrow() as lane, lane.transaction() as transaction:
        transaction.execute(audit_writers.update().values(highest=6).where(audit_writers.c.writer == writer))
    watch(watched)
    assert [alert.count for alert in raised(watched)] == [2]


def test_an_event_removed_before_it_was_sequenced_alarms(watched: World) -> None:
    """The whole way: the row and its pending mark are gone, and the writer's next event tells."""
    with watched.service.begin(watched.auditor) as work:
        work.audit("test.event")
    gone = watched.events(action="test.event")[0]["event_id"]
    with watched.service.database.borrow() as lane, lane.transaction() as transaction:
        transaction.execute(delete(audit_pending).where(audit_pending.c.event_id == gone))  # as good as removed
    read_people(watched, 1)
    watch(watched)
    watched.clock.advance(seconds=120)
    watch(watched)
    assert [alert.rule for alert in raised(watched)] == ["missing-events"]


def test_an_alert_is_acknowledged_with_one_finding_and_not_by_whom_it_is_about(watched: World, tmp_path: Path) -> None:
    rule(
        watched,
        tmp_path,
        RULES + "  - {name: looks, kind: off-hours, severity: low, title: {zh: 看, en: Looks},"
        " window: PT1H, at_least: 1, hours: {zone: UTC, opens: 0, closes: 1}, only: {roles: [auditor]}}\n",
    )
    raised(watched, "auditor")
    watch(watched)
    (alert,) = raised(watched)
    assert (alert.rule, alert.actor) == ("looks", "auditor")
    with pytest.raises(Forbidden), watched.service.begin(watched.auditor) as work:
        alerts.acknowledge(work, alert.id, "explained")
    with pytest.raises(Forbidden), watched.service.begin(watched.platform) as work:
        alerts.acknowledge(work, alert.id, "explained")
    with pytest.raises(NotFound), watched.service.begin(watched.actor("operator")) as work:
        alerts.acknowledge(work, uuid4(), "explained")
    with watched.service.begin(watched.actor("operator")) as work:
        done = alerts.acknowledge(work, alert.id, "false-alarm")
    assert (done.acknowledged_by, done.finding) == ("operator", "false-alarm")
    with pytest.raises(Conflict), watched.service.begin(watched.actor("operator")) as work:
        alerts.acknowledge(work, alert.id, "explained")
    assert raised(watched) == []
    assert [one.id for one in raised(watched, open_only=False)] == [alert.id]


def test_what_was_seen_in_a_window_is_forgotten_when_it_has_ended(watched: World) -> None:
    read_people(watched, 2)
    watch(watched)
    watched.clock.advance(days=40)
    read_people(watched, 1)
    watch(watched)
    with watched.service.database.borrow() as lane, lane.transaction() as transaction:
        rows: Any = transaction.execute(
            select(watch_seen.c.rule, func.count()).where(watch_seen.c.actor == "desk").group_by(watch_seen.c.rule)
        )
        assert dict(list(rows)) == {"[review]": 1, "across-purposes": 1, "bulk-reads": 1}


def test_a_late_event_counts_in_a_window_that_is_still_open(watched: World) -> None:
    late = read_people(watched, 1)[0]
    watch(watched)
    watched.clock.advance(seconds=4 * 3600)
    read_people(watched, 3)
    watch(watched)
    watched.clock.advance(seconds=-4 * 3600)  # a replica whose clock is behind
    watched.read(watched.store(late).id, "customer-service")
    watched.clock.advance(seconds=4 * 3600)
    watch(watched)
    with watched.service.database.borrow() as lane, lane.transaction() as transaction:
        state = transaction.execute(select(watch_state.c.state).where(watch_state.c.name == "watch")).scalar_one()
        ends = transaction.execute(select(func.min(watch_seen.c.ends_at))).scalar_one()
    assert micros(ends) > state["horizon"]


def test_the_log_says_when_the_rules_change(watched: World, tmp_path: Path) -> None:
    before = len(watched.events(action="audit.rules-changed"))
    watch(watched)
    assert len(watched.events(action="audit.rules-changed")) == before
    rule(watched, tmp_path, RULES + "  - {name: honeytoken, enabled: false}\n")
    watch(watched)
    newest = watched.events(action="audit.rules-changed")[before]
    assert "honeytoken" not in newest["detail"]["enabled"]
    assert "bulk-reads" in newest["detail"]["enabled"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rules: [{name: bulk-reads, flor: 3}]", "flor"),
        ("rules: [{name: other, kind: no-such}]", "kind"),
        ("rules: [{name: off-hours, hours: {zone: Mars/Olympus, opens: 1, closes: 3}}]", "zone"),
        ("rules: [{name: off-hours, hours: {zone: UTC, opens: 9, closes: 3}}]", "opens"),
        ("rules: [{name: refusals, window: P1Y}]", "weeks, days or hours"),
        ("rules: [{name: refusals, at_least: 0}]", ">= 1"),
        ("rule: []", "members"),
        ("a: [", "YAML"),
    ],
    ids=["member", "kind", "zone", "hours", "window", "number", "top", "yaml"],
)
def test_a_rule_file_that_is_wrong_is_refused_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(Invalid, match=r"rules\.yaml") as caught:
        watch_rules.load(file)
    assert says in caught.value.detail


def review(world: World, month: str = "2030-03", by: str = "auditor") -> Review:
    with world.service.begin(world.actor(by)) as work:
        return access_reviews.review(work, month)


def test_threads_that_read_the_rules_first_at_once_do_not_end_the_process() -> None:
    # Broken by hand: the types not known to msgspec at import; a quarter of the processes then ends with SIGSEGV.
    program = """
import threading
from privacy import watch_rules
start = threading.Barrier(4)
def read(name):
    start.wait()
    watch_rules._parsed("", name)
threads = [threading.Thread(target=read, args=(str(n),)) for n in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""
    started = [subprocess.Popen((sys.executable, "-c", program)) for _ in range(10)]
    assert [one.wait(60) for one in started] == [0] * 10


def test_the_access_review_names_what_each_principal_read_and_did_not_need(watched: World) -> None:
    people = read_people(watched, 2)
    watched.read(watched.store(people[0]).id, "customer-service", fields=["name"])
    with suppress(PrivacyError):
        watched.read(watched.store(people[0]).id, "membership")
    watch(watched)
    lines = {line.principal: line for line in review(watched).lines}
    desk = lines["desk"]
    assert (desk.role, desk.reads, desk.subjects, desk.refusals) == ("service", 3, 2, 1)
    assert desk.purposes == {"customer-service": 3}
    assert desk.types == {"member": 3}
    assert desk.fields == {"name": 3, "phone": 2, "id_number": 2}
    assert desk.refused == {"not-granted": 1}
    assert (desk.unused_purposes, desk.unused_types) == ([], ["interaction"])
    assert lines["analyst"].unused_purposes == ["statistics"]
    assert (lines["platform"].reads, lines["platform"].unused_purposes) == (0, ["marketing", "tax"])
    assert desk.off_hours == 0


def test_the_review_goes_by_the_offices_month_and_hours(watched: World) -> None:
    stored = watched.store(watched.subject())
    last_evening = datetime(2030, 3, 31, 15, 59, tzinfo=UTC)  # 23:59 in Shanghai
    watched.clock.advance(seconds=(last_evening - watched.service_now()).total_seconds())
    watched.read(stored.id, "customer-service")
    watched.clock.advance(seconds=120)
    watched.read(stored.id, "customer-service")
    watch(watched)
    for month in ("2030-03", "2030-04"):
        (desk,) = [line for line in review(watched, month).lines if line.principal == "desk"]
        assert (desk.reads, desk.subjects, desk.off_hours) == (1, 1, 1)


def test_the_review_as_a_table_runs_no_formula(watched: World) -> None:
    read_people(watched, 1)
    watch(watched)
    found = review(watched)
    rows = list(csv.DictReader(io.StringIO(access_reviews.as_csv(found))))
    desk = next(row for row in rows if row["principal"] == "desk")
    assert (desk["month"], desk["reads"], desk["purposes"]) == ("2030-03", "1", "customer-service: 1")
    risky = replace(found.lines[0], principal="=cmd()")
    assert "'=cmd()" in access_reviews.as_csv(replace(found, lines=[risky]))


def test_a_review_is_for_those_who_review_and_leaves_an_event(watched: World) -> None:
    with pytest.raises(Forbidden):
        review(watched, by="platform")
    with pytest.raises(Invalid):
        review(watched, "2030-13")
    review(watched)
    (event,) = [event for event in watched.events(action="review.viewed") if event["outcome"] == "done"]
    assert event["detail"]["month"] == "2030-03"
