"""Every route of the contract once, with a request that succeeds when its principal may send it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import httpx
from sqlalchemy import update

from privacy import alerts, consent, erasure, ids, job_runs, notifications, records, rotations, slots, watch_rules
from privacy.anonymisation import releases
from privacy.anonymisation.policies import Policy
from privacy.anonymisation.release_requests import OfFile, RecipientClass, Request
from privacy.anonymisation.release_requests import Role as Column
from privacy.schedules import Every
from privacy.sequencer import Sequencer
from privacy.tables import rotations as rotations_table
from tests.anonymisation.survey_world import run_job
from tests.privacy.kept import declare, hold
from tests.world import MANIFEST, PERSON, World

OPEN: Final = frozenset(
    {
        "/healthz",
        "/readyz",
        "/.well-known/gpc.json",
        "/audit/checkpoint",
        "/audit/archives.json",
        "/audit/tile/{path}",
    }
)


@dataclass(frozen=True)
class Ask:
    """One request. `roles` may send it; `status` is what they get, `again` what whoever comes second gets.

    `is_hidden`: a service that may not send it does not learn that there is such a thing.
    """

    method: str
    template: str
    path: str
    roles: frozenset[str]
    status: int = 200
    json: Any = None
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    again: int | None = None
    is_hidden: bool = False

    def send(self, http: httpx.Client, **headers: str) -> httpx.Response:
        return http.request(
            self.method,
            self.path,
            json=self.json,
            params=dict(self.params),
            headers={**self.headers, **headers},
        )


_SERVICE: Final = frozenset({"platform"})
_DESKS: Final = frozenset({"platform", "operator"})
_LOOK: Final = frozenset({"platform", "operator", "auditor"})
_OPERATOR: Final = frozenset({"operator"})
_OFFICE: Final = frozenset({"operator", "auditor"})
_MARKERS: Final = frozenset({"operator", "admin"})
_CHECKERS: Final = frozenset({"auditor", "admin"})
_BRINGERS: Final = frozenset({"platform", "operator", "admin"})
_ALL: Final = frozenset({"platform", "operator", "auditor", "admin"})


def asks(world: World) -> list[Ask]:
    """A request for each operation of the OpenAPI document, in an order in which all succeed."""
    subject: UUID = world.subject()
    consent_id = world.consent(subject).id
    stored, gone = world.store(subject), world.store(subject)
    of, one = f"/v1/subjects/{subject}", f"/v1/records/{stored.id}"
    new = {"type": "member", "purposes": ["membership"], "data": PERSON}
    purpose = {"purpose": "membership"}
    return [
        Ask("POST", "/v1/subjects", "/v1/subjects", _DESKS, 201, {"jurisdiction": "CN"}),
        Ask("GET", "/v1/subjects/{subject_id}", of, _DESKS),
        Ask(
            "GET",
            "/v1/subjects/{subject_id}/decision",
            f"{of}/decision",
            _SERVICE,
            params={**purpose, "type": "member"},
        ),
        Ask("POST", "/v1/subjects/{subject_id}/records", f"{of}/records", _SERVICE, 201, new),
        Ask("GET", "/v1/subjects/{subject_id}/records", f"{of}/records", _SERVICE, params=purpose),
        Ask(
            "POST",
            "/v1/subjects/search",
            "/v1/subjects/search",
            _SERVICE,
            json={**purpose, "type": "member", "field": "phone", "value": PERSON["phone"]},
        ),
        Ask("GET", "/v1/records/{record_id}", one, _SERVICE, params=purpose),
        Ask(
            "PATCH",
            "/v1/records/{record_id}",
            one,
            _SERVICE,
            json={"data": {"name": "李娜"}},
            headers={"If-Match": '"1"'},
        ),
        Ask("DELETE", "/v1/records/{record_id}", f"/v1/records/{gone.id}", _SERVICE, 204),
        Ask(
            "POST",
            "/v1/records/batch-write",
            "/v1/records/batch-write",
            _SERVICE,
            json={"items": [{**new, "subject_id": str(subject)}]},
        ),
        Ask(
            "POST",
            "/v1/records/batch-read",
            "/v1/records/batch-read",
            _SERVICE,
            json={**purpose, "items": [{"record_id": str(stored.id)}]},
        ),
        Ask(
            "POST",
            "/v1/subjects/{subject_id}/consents",
            f"{of}/consents",
            _DESKS,
            201,
            {"purpose": "marketing", "decision": "given"},
        ),
        Ask("GET", "/v1/subjects/{subject_id}/consents", f"{of}/consents", _LOOK),
        Ask(
            "POST",
            "/v1/subjects/{subject_id}/consents/{purpose}/withdraw",
            f"{of}/consents/marketing/withdraw",
            _DESKS,
        ),
        Ask(
            "GET",
            "/v1/subjects/{subject_id}/consents/{consent_id}/receipt",
            f"{of}/consents/{consent_id}/receipt",
            _DESKS,
        ),
        *_ends(world),
        *_standing(f"/v1/subjects/{world.subject()}"),
        *_owed(world),
        Ask("GET", "/v1/purposes", "/v1/purposes", _ALL),
        Ask("GET", "/v1/notices", "/v1/notices", _ALL),
        Ask("GET", "/v1/notices/{version}", "/v1/notices/1", _ALL),
        Ask("GET", "/v1/manifest", "/v1/manifest", _ALL),
        Ask("GET", "/v1/audit/events", "/v1/audit/events", _CHECKERS),
        Ask("POST", "/v1/audit/events/search", "/v1/audit/events/search", _CHECKERS, 200, {"address": "192.0.2.7"}),
        Ask("GET", "/v1/audit/counts", "/v1/audit/counts", _CHECKERS, params={"by": "day"}),
        Ask("POST", "/v1/audit/exports", "/v1/audit/exports", _CHECKERS, 200, {"form": "ocsf"}),
        Ask("GET", "/v1/subjects/{subject_id}/accesses", f"{of}/accesses", _DESKS),
        Ask(
            "POST",
            "/v1/audit/exposure",
            "/v1/audit/exposure",
            frozenset({"auditor", "admin"}),
            json={"principal": "desk"},
        ),
        *_watched(world),
        *_evidence(world, stored.id),
        *_jobs(world),
        *_erasures(world),
        *_retained(world),
        *_keys(world),
        *_statistics(world),
        *_releases(world),
        Ask("POST", "/v1/scan", "/v1/scan", _BRINGERS, json={"text": "13800138000"}),
        Ask("POST", "/v1/redact", "/v1/redact", _BRINGERS, json={"text": "13800138000", "how": "hash"}),
        Ask("GET", "/metrics", "/metrics", _ALL),
    ]


def _statistics(world: World) -> list[Ask]:
    """Of a type whose budget `_retained` declares; and a pseudonym for marketing, which the subject consents to."""
    subject, review = world.subject(), frozenset({"operator", "auditor", "admin"})
    world.consent(subject)
    new = {"statistic": "count", "purpose": "statistics", "type": "member", "rho": 0.01, "contributions": 1}
    one, ledger = "/v1/subjects/{subject_id}/pseudonyms", "/v1/privacy-budgets/{type}/questions"
    named = {"purpose": "marketing", "recipient": "sms-gateway"}
    return [
        Ask("POST", "/v1/statistics", "/v1/statistics", _OPERATOR, 200, new),
        Ask("GET", "/v1/privacy-budgets", "/v1/privacy-budgets", _ALL),
        Ask("GET", ledger, ledger.format(type="member"), review),
        Ask("POST", one, one.format(subject_id=subject), _SERVICE, 200, named),
    ]


def _releases(world: World) -> list[Ask]:
    """Of files that somebody at the terminal brought: one to be approved and given, one to be rejected."""
    with world.service.begin() as work:
        approved, rejected = (releases.ask(work, *_brought(name)).id for name in ("ages", "years"))
    run_job(world)
    of, one = "/v1/releases", "/v1/releases/{release_id}"
    columns = {"age": "quasi", "town": "keep"}
    new = {
        "file": {"name": "towns", "columns": columns, "text": "age,town\n40,x\n"},
        "recipient": "university",
        "recipient_class": "controlled",
    }
    review, path = frozenset({"operator", "auditor", "admin"}), one.format(release_id=approved)
    return [
        Ask("POST", of, of, _OPERATOR, 202, new),
        Ask("GET", of, of, _ALL),
        Ask("GET", one, path, review, is_hidden=True),
        Ask("POST", f"{one}/approve", f"{path}/approve", _OPERATOR, again=409),
        Ask("POST", f"{one}/reject", one.format(release_id=rejected) + "/reject", _OPERATOR, is_hidden=True),
        Ask("GET", f"{one}/data", f"{path}/data", _OPERATOR, is_hidden=True),
        Ask("GET", f"{one}/risk", f"{path}/risk", review, is_hidden=True),
        Ask("GET", f"{one}/sheet", f"{path}/sheet", review, is_hidden=True),
    ]


def _brought(name: str) -> tuple[Request, bytes]:
    columns = {"age": Column.QUASI, "town": Column.KEEP}
    rows = "".join(f"{40 + number % 2},{number % 3}\n" for number in range(20))
    asked = Request(OfFile(name, columns), "university", RecipientClass.CONTROLLED, Policy(k=5))
    return asked, f"age,town\n{rows}".encode()


def _keys(world: World) -> list[Ask]:
    """Three signing keys that were replaced: to be asked for, to be confirmed, to be withdrawn."""
    review, keyring = frozenset({"operator", "auditor", "admin"}), world.service.keyring
    admin = frozenset({"admin"})
    replaced = [keyring.new_version("signing") - 1 for _ in range(3)]
    with world.service.begin() as work:
        work.execute(update(rotations_table).values(state="stopped"))
        waiting = [
            rotations.ask_destruction(work, rotations.Kind.SIGNING, version, reason="x").id for version in replaced[1:]
        ]
        work.paid()
    of, one = "/v1/keys/destructions", "/v1/keys/destructions/{confirmation_id}"
    asked = {"kind": "signing", "version": replaced[0], "reason": "x"}
    confirm, withdraw = f"{one}/confirm", f"{one}/withdraw"
    return [
        Ask("GET", "/v1/keys", "/v1/keys", review),
        Ask("GET", "/v1/keys/rotations", "/v1/keys/rotations", review),
        Ask("POST", "/v1/keys/rotations", "/v1/keys/rotations", admin, 201, {"kind": "index"}),
        Ask("GET", of, of, review),
        Ask("POST", of, of, admin, 201, asked),
        Ask("POST", confirm, confirm.format(confirmation_id=waiting[0]), _MARKERS, again=409),
        Ask("POST", withdraw, withdraw.format(confirmation_id=waiting[1]), _MARKERS, again=409),
    ]


def _retained(world: World) -> list[Ask]:
    """Under a manifest that counts a period from an event; a hold on a subject that nothing else is asked of."""
    counted = "keep: P10Y\n    keep_from: {event: account-closed, at_most: P12Y}\n"
    budgeted = "    title: {zh: 会员, en: Member}\n"
    text = MANIFEST.replace("keep: P10Y\n", counted)
    declare(world, text.replace(budgeted, budgeted + "    budget: {total: 1.0}\n"))
    subject, review = world.subject(), frozenset({"operator", "auditor", "admin"})
    new = {"kind": "subject", "subject_id": str(subject), "reference": "x", "reason": "x"}
    new["review_at"] = "2999-01-01T00:00:00Z"
    placed, one = hold(world, subject_id=subject).id, "/v1/holds/{hold_id}"
    events = "/v1/subjects/{subject_id}/events"
    return [
        Ask("GET", "/v1/retention/plan", "/v1/retention/plan", review),
        Ask("POST", "/v1/retention/runs", "/v1/retention/runs", _MARKERS, params={"dry_run": "false"}),
        Ask("GET", "/v1/retention/runs", "/v1/retention/runs", review),
        Ask("POST", events, events.format(subject_id=subject), _DESKS, 201, {"event": "account-closed"}),
        Ask("POST", "/v1/holds", "/v1/holds", _MARKERS, 201, new),
        Ask("GET", "/v1/holds", "/v1/holds", _MARKERS),
        Ask("GET", one, one.format(hold_id=placed), _MARKERS),
        Ask("POST", f"{one}/lift", f"{one}/lift".format(hold_id=placed), _MARKERS, 200, {"reason": "x"}, again=409),
    ]


def _watched(world: World) -> list[Ask]:
    """An alert of each principal's own to acknowledge, and a subject of each one's own to mark."""
    review = frozenset({"operator", "auditor", "admin"})
    with world.service.begin() as work:
        found = alerts.Found(watch_rules.RECORD_MISMATCH, "", work.instant, 1, 0)
        alerts.raise_alert(work, found)
        alert = alerts.listed(work)[0].id
    marked = {"subject_id": str(world.subject())}
    one = "/v1/audit/alerts/{alert_id}/acknowledge"
    return [
        Ask("GET", "/v1/audit/alerts", "/v1/audit/alerts", review),
        Ask("POST", one, f"/v1/audit/alerts/{alert}/acknowledge", review, 200, {"finding": "explained"}),
        Ask("GET", "/v1/audit/reviews/{month}", "/v1/audit/reviews/2026-01", review),
        Ask("POST", "/v1/audit/honeytokens", "/v1/audit/honeytokens", _MARKERS, 204, marked),
        Ask(
            "DELETE",
            "/v1/audit/honeytokens/{subject_id}",
            f"/v1/audit/honeytokens/{marked['subject_id']}",
            _MARKERS,
            204,
        ),
    ]


def _jobs(world: World) -> list[Ask]:
    """A job that nobody runs, and an item that it has set aside."""
    review, one = frozenset({"operator", "auditor", "admin"}), "/v1/jobs/{job}"
    item = ids.new()
    with world.service.begin() as work:
        slots.register(work, {"watch": Every(timedelta(seconds=30))})
        for _ in range(job_runs.MOST_FAILURES):
            job_runs.failed_item(work, "watch", item, "internal")
    retry = f"/v1/jobs/watch/set-aside/{item}/retry"
    return [
        Ask("GET", "/v1/jobs", "/v1/jobs", review),
        Ask("GET", f"{one}/runs", "/v1/jobs/watch/runs", review),
        Ask("POST", f"{one}/run", "/v1/jobs/watch/run", _MARKERS, 202),
        Ask("GET", f"{one}/set-aside", "/v1/jobs/watch/set-aside", review),
        Ask("POST", f"{one}/set-aside/{{item}}/retry", retry, _MARKERS, 204),
    ]


def _erasures(world: World) -> list[Ask]:
    """An erasure for each who may ask for one: of a type that there is nothing of, so it may be asked for again."""
    subject, askers = world.subject(), frozenset({"platform", "operator", "admin"})
    done = erasure.erase(world.service, subject, types=["member"])
    of, everybody = "/v1/subjects/{subject_id}/erasures", askers | {"auditor"}
    one = "/v1/erasures/{erasure_id}"
    return [
        Ask("POST", of, of.format(subject_id=subject), askers, 201, {"types": ["member"]}),
        Ask("GET", of, of.format(subject_id=subject), everybody),
        Ask("GET", one, one.format(erasure_id=done.id), everybody),
        Ask("GET", f"{one}/certificate", f"{one}/certificate".format(erasure_id=done.id), everybody),
    ]


def _ends(world: World) -> list[Ask]:
    """Who ends a consent that is not their own: operators, once for each consent."""
    asked = []
    for how in ("revoke", "invalidate"):
        subject = world.subject()
        world.consent(subject)
        template = f"/v1/subjects/{{subject_id}}/consents/{{purpose}}/{how}"
        path = f"/v1/subjects/{subject}/consents/marketing/{how}"
        asked.append(Ask("POST", template, path, _OPERATOR))
    return asked


def _standing(of: str) -> list[Ask]:
    starts = {"purpose": "membership", "starts_at": "2026-01-01T00:00:00Z"}
    one, template = {"purpose": "marketing"}, "/v1/subjects/{subject_id}"
    return [
        Ask("POST", f"{template}/bases", f"{of}/bases", _DESKS, 201, starts),
        Ask("POST", f"{template}/bases/end", f"{of}/bases/end", _DESKS, 200, {"purpose": "membership"}),
        Ask("POST", f"{template}/objections", f"{of}/objections", _DESKS, 201, one),
        Ask("POST", f"{template}/objections/lift", f"{of}/objections/lift", _OPERATOR, 200, one),
        Ask("POST", f"{template}/restrictions", f"{of}/restrictions", _DESKS, 201, one),
        Ask("POST", f"{template}/restrictions/lift", f"{of}/restrictions/lift", _OPERATOR, 200, one),
        Ask("GET", f"{template}/standing", f"{of}/standing", _LOOK),
    ]


def _owed(world: World) -> list[Ask]:
    """A task and a notice to a recipient, as the withdrawal of a consent leaves them."""
    subject = world.subject()
    world.consent(subject)
    world.store(subject, {"phone": PERSON["phone"]}, purposes=["marketing"])
    with world.service.begin(world.platform) as work:
        task = consent.withdraw(work, subject, "marketing").task_id
    with world.service.begin(world.actor("operator")) as work:
        owed = next(one.id for one in notifications.listed(work) if one.subject_id == subject)
    return [
        Ask("GET", "/v1/tasks", "/v1/tasks", _OFFICE),
        Ask("POST", "/v1/tasks/{task_id}/close", f"/v1/tasks/{task}/close", _OPERATOR, 204, {"outcome": "done"}),
        Ask("GET", "/v1/notifications", "/v1/notifications", _OFFICE),
        Ask("POST", "/v1/notifications/{notification_id}/sent", f"/v1/notifications/{owed}/sent", _OPERATOR, 204),
    ]


def _evidence(world: World, record_id: UUID) -> list[Ask]:
    """Checkpoint, proofs, a bundle of entries, and the reason that was given for a read."""
    with world.service.begin(world.platform) as work:
        records.read(work, record_id, purpose="membership", reason="asked by the person")
    Sequencer(world.service).catch_up()
    event = world.events(action="record.read")[-1]["event_id"]
    proofs, checkers = "/v1/audit/proofs", frozenset({"auditor", "admin"})
    detail = "/v1/audit/events/{event_id}/detail"
    width = min(256, len(world.events()))
    return [
        Ask("GET", "/v1/audit/checkpoint", "/v1/audit/checkpoint", _ALL),
        Ask("GET", f"{proofs}/inclusion", f"{proofs}/inclusion", checkers, params={"position": "0"}),
        Ask("GET", f"{proofs}/consistency", f"{proofs}/consistency", checkers, params={"old": "1"}),
        Ask("GET", detail, detail.format(event_id=event), frozenset({"auditor"})),
        Ask("GET", "/audit/tile/entries/{path}", f"/audit/tile/entries/000.p/{width - 1}", checkers),
    ]
