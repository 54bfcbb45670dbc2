"""Alerts, access reviews and honeytokens over HTTP."""

from __future__ import annotations

import csv
import io
from uuid import uuid4

import httpx
import pytest

from privacy import alerts, honeytokens, watch_rules, watching
from privacy.sequencer import Sequencer
from privacy.work import Actor, Role
from tests.server import Threaded
from tests.world import World


@pytest.fixture
def subject(world: World) -> str:
    """A honeytoken that the desk has read, and the watch has seen it."""
    subject = world.subject()
    with world.service.begin(world.actor("operator")) as work:
        honeytokens.mark(work, subject)
    world.read(world.store(subject).id, "customer-service")
    Sequencer(world.service).catch_up()
    with world.service.begin(Actor("scheduler", Role.ADMIN)) as work:
        watching.watch(work)
    return str(subject)


@pytest.fixture
def operator(served: Threaded, world: World) -> httpx.Client:
    return served.http(world.keys["operator"])


def test_an_alert_is_listed_acknowledged_and_gone_from_the_list(operator: httpx.Client, subject: str) -> None:
    with operator:
        (alert,) = [one for one in operator.get("/v1/audit/alerts").json()["items"] if one["rule"] == "honeytoken"]
        assert (alert["actor"], alert["severity"], alert["subject_id"]) == ("desk", "critical", subject)
        assert alert["title"]["zh"]
        path = f"/v1/audit/alerts/{alert['id']}/acknowledge"
        assert operator.post(path, json={"finding": "unheard-of"}).status_code == 400
        key = {"Idempotency-Key": str(uuid4())}
        done = operator.post(path, json={"finding": "incident"}, headers=key)
        assert (done.status_code, done.json()["acknowledged_by"]) == (200, "operator")
        assert operator.post(path, json={"finding": "incident"}, headers=key).json() == done.json()
        assert operator.post(path, json={"finding": "explained"}).status_code == 409
        left = {one["id"] for one in operator.get("/v1/audit/alerts").json()["items"]}
        assert alert["id"] not in left
        assert alert["id"] in {one["id"] for one in operator.get("/v1/audit/alerts?state=all").json()["items"]}


def test_metrics_count_open_alerts(operator: httpx.Client, subject: str) -> None:
    with operator:
        text = operator.get("/metrics").text
    assert 'steward_audit_alerts_open{rule="honeytoken",severity="critical"} 1.0' in text
    assert "steward_audit_unwatched_events" in text
    assert subject not in text


def test_a_component_cannot_tell_a_honeytoken_from_anybody(desk: httpx.Client, subject: str, world: World) -> None:
    other = str(world.subject())
    for one in (subject, other):
        assert desk.post("/v1/audit/honeytokens", json={"subject_id": one}).status_code == 403
        assert desk.delete(f"/v1/audit/honeytokens/{one}").status_code == 403
    assert desk.get("/v1/audit/alerts").status_code == 403


def test_a_review_comes_as_json_and_as_a_table(auditor: httpx.Client, subject: str, world: World) -> None:
    month = f"{world.service_now():%Y-%m}"
    found = auditor.get(f"/v1/audit/reviews/{month}").json()
    assert found["month"] == month
    names = {line["principal"] for line in found["lines"]}
    assert {"desk", "platform", "auditor"} <= names
    table = auditor.get(f"/v1/audit/reviews/{month}?format=csv")
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    assert {row["principal"] for row in csv.DictReader(io.StringIO(table.text))} == names
    assert auditor.get("/v1/audit/reviews/2026-13").status_code == 400


def test_alerts_page_by_cursor(operator: httpx.Client, world: World) -> None:
    with world.service.begin() as work:
        for start in (1, 2, 3):
            rule = watch_rules.RECORD_MISMATCH
            alerts.raise_alert(work, alerts.Found(rule, "desk", start, 9, 1))
    with operator:
        first = operator.get("/v1/audit/alerts?limit=2").json()
        second = operator.get("/v1/audit/alerts", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert len({one["id"] for one in (*first["items"], *second["items"])}) == 3
    assert second["next_cursor"] is None
