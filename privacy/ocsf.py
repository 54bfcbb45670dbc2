"""Audit events in the form of the Open Cybersecurity Schema Framework 1.8.0, for a SIEM.

Each kind of event is of one class: API Activity 6003 where somebody read or changed a person's data or the log
itself, Datastore Activity 6005 where many were looked through or a box was opened, Entity Management 3004 where
something about a person, a principal or the rules changed. `type_uid = class_uid * 100 + activity_id`; `time` is in
milliseconds. What OCSF has no place for stands in `unmapped`, under our own names. A test finds a kind
without a mapping.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from privacy.audit import Event
from privacy.levels import Level
from privacy.tables import micros

VERSION: Final = "1.8.0"


class Class(IntEnum):
    """The classes that our events are of (OCSF 1.8.0)."""

    ENTITY = 3004
    API = 6003
    STORE = 6005


_CLASSES: Final = {
    Class.ENTITY: ("Entity Management", 3, "Identity & Access Management"),
    Class.API: ("API Activity", 6, "Application Activity"),
    Class.STORE: ("Datastore Activity", 6, "Application Activity"),
}
_OTHER: Final = {"Other": 99}
_ACTIVITIES: Final[Mapping[Class, Mapping[str, int]]] = {
    Class.ENTITY: {"Create": 1, "Read": 2, "Update": 3, "Delete": 4, "Activate": 10, "Deactivate": 11, "Suspend": 12}
    | {"Resume": 13}
    | _OTHER,
    Class.API: {"Create": 1, "Read": 2, "Update": 3, "Delete": 4} | _OTHER,
    Class.STORE: {"Read": 1, "Update": 2, "Query": 4, "Delete": 7, "List": 8, "Encrypt": 9, "Decrypt": 10} | _OTHER,
}
_SEVERITIES: Final = {1: "Informational", 2: "Low", 3: "Medium", 4: "High", 5: "Critical"}


@dataclass(frozen=True, slots=True)
class Kind:
    """What events of an action are in OCSF. `severity` is of those that were not refused."""

    of: Class
    activity: str
    severity: int = 1


def _all(of: Class, activity: str, *actions: str, severity: int = 1) -> dict[str, Kind]:
    return dict.fromkeys(actions, Kind(of, activity, severity))


KINDS: Final[Mapping[str, Kind]] = {
    **_all(Class.API, "Create", "record.stored"),
    **_all(Class.API, "Read", "record.read", "subject.viewed", "decision.explained", "accesses.listed"),
    **_all(Class.API, "Update", "record.rectified", "record.resealed", "record.partly-erased", "record.scanned"),
    **_all(Class.API, "Read", "record.opened-for-scan"),
    **_all(Class.API, "Other", "record.found", "records.scanned"),
    **_all(Class.API, "Other", "record.scan-failed", severity=3),
    **_all(Class.API, "Read", "release.read", "release.begun", "release.age-checked", "release.request-read"),
    **_all(Class.API, "Read", "release.compared", "release.subjects-checked", "release.given"),
    **_all(
        Class.API,
        "Read",
        "releases.watched",
        "releases.listed",
        "release.shown",
        "release.report-shown",
        "release.sheet-shown",
    ),
    **_all(Class.API, "Create", "release.asked", "release.made"),
    **_all(Class.API, "Read", "statistics.read", "statistics.answered", "statistics.repeated", "pseudonym.given"),
    **_all(Class.API, "Read", "privacy-budgets.viewed"),
    **_all(Class.API, "Update", "statistics.reserved"),
    **_all(Class.API, "Update", "release.approved", "release.rejected", "release.refused", "release.stale"),
    **_all(Class.API, "Update", "release.failed", severity=3),
    **_all(Class.API, "Delete", "record.deleted", "record.erased"),
    **_all(Class.API, "Read", "erasure.listed", "erasure.viewed", "erasure.certificate-issued"),
    **_all(Class.STORE, "Encrypt", "subject.resealed", "house.resealed", "erasure.rekeyed"),
    **_all(Class.STORE, "Delete", "erasure.shredded", "erasure.purged"),
    **_all(Class.STORE, "Delete", "erasure.replayed", "subject.profile-lost", severity=3),
    **_all(Class.ENTITY, "Delete", "subject.erased", "subject.partly-erased"),
    **_all(Class.ENTITY, "Update", "erasure.requested", "erasure.begun", "erasure.begun-again"),
    **_all(Class.ENTITY, "Suspend", "erasure.restricted"),
    **_all(Class.API, "Update", "record.reindexed", "subject.reindexed"),
    **_all(Class.API, "Delete", "record.expired"),
    **_all(Class.API, "Read", "hold.viewed", "hold.listed", "retention.planned", "retention.listed"),
    **_all(Class.API, "Read", "residues.counted", "jobs.listed", "job.runs-listed", "job.items-listed"),
    **_all(Class.API, "Read", "key.status", "key.rotations-listed", "confirmations.listed"),
    **_all(Class.API, "Other", "job.asked", "job.item-returned", "retention.watched"),
    **_all(Class.API, "Other", "job.failed", "job.lost", "job.item-failed", "record.expiry-failed", severity=3),
    **_all(Class.STORE, "Read", "backup.created", "backup.drilled", "backup.record-tried"),
    **_all(Class.STORE, "Update", "retention.recalculated"),
    **_all(Class.STORE, "Delete", "retention.swept", "retention.scope-shredded", "job.runs-forgotten"),
    **_all(Class.ENTITY, "Create", "hold.placed", "key.rotation-started", "key.announced", "confirmation.asked"),
    **_all(Class.ENTITY, "Update", "subject.event-recorded", "key.rotation-proven", "confirmation.confirmed"),
    **_all(Class.ENTITY, "Update", "confirmation.ended"),
    **_all(Class.ENTITY, "Deactivate", "consent.expired", "hold.lifted"),
    **_all(Class.ENTITY, "Delete", "key.destroyed", severity=3),
    **_all(Class.API, "Read", "consent.listed", "consent.receipt-issued", "standing.listed"),
    **_all(Class.API, "Read", "tasks.listed", "notifications.listed", "audit.viewed"),
    **_all(Class.API, "Read", "audit.detail-shown", "audit.proved", "alerts.listed", "review.viewed"),
    **_all(Class.API, "Other", "record.attested", "audit.watched", "text.scanned", "text.redacted"),
    **_all(Class.API, "Other", "audit.alert", "record.mismatch", severity=4),
    **_all(Class.API, "Other", "request", "request.replayed", "job.claimed", "audit.heartbeat"),
    **_all(Class.STORE, "Query", "subject.searched", "audit.counted", "audit.exposure-asked"),
    **_all(Class.STORE, "Read", "audit.exported", "records.reconciled"),
    **_all(Class.STORE, "Delete", "idempotency.forgotten", "audit.archived", "audit.pruned"),
    **_all(Class.ENTITY, "Create", "honeytoken.marked"),
    **_all(Class.ENTITY, "Update", "alert.acknowledged", "audit.rules-changed"),
    **_all(Class.ENTITY, "Delete", "honeytoken.unmarked"),
    **_all(Class.ENTITY, "Create", "subject.created", "principal.added", "notice.published", "basis.recorded"),
    **_all(Class.ENTITY, "Create", "consent.requested"),
    **_all(Class.ENTITY, "Read", "consent.guardian-checked", "manifest.unchanged", "notice.unchanged"),
    **_all(Class.ENTITY, "Activate", "consent.given", "consent.renewed"),
    **_all(Class.ENTITY, "Deactivate", "consent.refused", "consent.withdrawn", "consent.revoked"),
    **_all(Class.ENTITY, "Deactivate", "consent.invalidated", "consent.opted-out", "principal.revoked", "basis.ended"),
    **_all(Class.ENTITY, "Suspend", "consent.deferred", "objection.made", "restriction.placed"),
    **_all(Class.ENTITY, "Resume", "objection.lifted", "restriction.lifted"),
    **_all(Class.ENTITY, "Update", "manifest.applied", "principal.rotated", "task.closed", "notification.sent"),
}
# A box that was opened inside, only to compare what is in it with what was searched for.
_UNKNOWN: Final = Kind(Class.API, "Other")  # of a version of ours that is gone: a log outlives the code
_COMPARED: Final = Kind(Class.STORE, "Decrypt")

_USERS: Final = {"service": (4, "Service"), "operator": (1, "User"), "auditor": (1, "User"), "admin": (2, "Admin")}
# What an action is about, by its first word; 99 is OCSF's Other.
_ENTITIES: Final = {
    "principal": (2, "User"),
    "manifest": (5, "Policy"),
    "notice": (5, "Policy"),
    "audit": (5, "Policy"),
}
_CONFIDENTIALITY: Final = {
    Level.L1: (1, "Not Confidential"),
    Level.L2: (99, "Internal"),
    Level.L3: (2, "Confidential"),
    Level.L4: (6, "Restricted"),
}
_PERSONAL: Final = {"category_id": 1, "category": "Personal"}


def mapped(event: Event, *, product: str, level: Level | None = None) -> dict[str, Any]:
    """The event as OCSF 1.8.0. `product` is our version, `level` the highest of the event's fields."""
    refused = event.outcome == "refused"
    kind = _COMPARED if event.outcome == "compared" else KINDS.get(event.action, _UNKNOWN)
    activity = _ACTIVITIES[kind.of][kind.activity]
    class_name, category, category_name = _CLASSES[kind.of]
    severity = 2 if refused else kind.severity
    classified = _classified(event, level)
    about, left = _about(event, kind.of, classified)
    return {
        "activity_id": activity,
        "activity_name": kind.activity,
        "category_uid": category,
        "category_name": category_name,
        "class_uid": int(kind.of),
        "class_name": class_name,
        "type_uid": kind.of * 100 + activity,
        "type_name": f"{class_name}: {kind.activity}",
        "severity_id": severity,
        "severity": _SEVERITIES[severity],
        "status_id": 2 if refused else 1,
        "status": "Failure" if refused else "Success",
        **_why(event),
        "time": micros(event.at) // 1000,
        "metadata": _metadata(event, product, classified),
        "actor": _actor(event),
        "src_endpoint": {"svc_name": event.actor} | ({"uid": event.origin} if event.origin else {}),
        **about,
        "unmapped": _present(left),
    }


def _why(event: Event) -> dict[str, str]:
    """The code and the articles of a refusal."""
    detail = event.detail if event.outcome == "refused" and event.detail else {}
    law = ", ".join(detail.get("law", ()))
    return _present({"status_code": detail.get("code"), "status_detail": law or None})


def _metadata(event: Event, product: str, classified: Mapping[str, Any]) -> dict[str, Any]:
    profiles = {"profiles": ["data_classification"], **classified} if classified else {}
    return {
        "version": VERSION,
        "product": {"name": "Steward", "version": product},
        "uid": str(event.id),
        "event_code": event.action,
        "log_name": "audit",
        "original_time": str(micros(event.at)),
        **profiles,
    } | _present({"sequence": event.position, "correlation_uid": event.request_id})


def _actor(event: Event) -> dict[str, Any]:
    number, caption = _USERS[event.role]
    user = {"name": event.actor, "type_id": number, "type": caption}
    return {"user": user | _present({"credential_uid": event.key_id})}


def _classified(event: Event, level: Level | None) -> dict[str, Any]:
    """OCSF's data classification, where a person is concerned."""
    if event.subject is None:
        return {}
    if level is None:
        return {"data_classification": dict(_PERSONAL)}
    number, caption = _CONFIDENTIALITY[level]
    return {"data_classification": _PERSONAL | {"confidentiality_id": number, "confidentiality": caption}}


def _about(event: Event, of: Class, classified: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the class says of its object; and what is left for `unmapped`."""
    detail = event.detail or {}
    ids = {"subject": _text(event.subject), "record": _text(event.record)}
    rest: dict[str, Any] = {
        "action": event.action,
        "outcome": event.outcome,
        "role": event.role,
        "purpose": event.purpose,
        "basis": event.basis,
        "fields": list(event.fields) or None,
        "detail": detail or None,
        "writer": str(event.writer),
        "sequence": event.sequence,
        "digest": event.digest,
        "sealed": event.commitment,
    }
    what = event.action.partition(".")[0]
    if of is Class.API:
        return {"api": _api(event), "resources": _resources(event, detail, classified, what)}, rest
    if of is Class.STORE:
        database = {"name": "steward", "type_id": 1, "type": "Relational", **classified}
        table = {"name": str(detail.get("type", what))}
        return {"database": database, "table": table, "type_id": 1, "type": "Database"}, ids | rest
    number, caption = _ENTITIES.get(what, (99, what.capitalize()))
    named = detail.get("principal") or detail.get("consent") or ids["subject"]
    entity = {"type_id": number, "type": caption, "name": what} | _present({"uid": named})
    return {"entity": entity}, ids | rest


def _api(event: Event) -> dict[str, Any]:
    request = {"request": {"uid": event.request_id}} if event.request_id else {}
    return {"operation": event.action, "service": {"name": "steward"}} | request


def _resources(
    event: Event, detail: Mapping[str, Any], classified: Mapping[str, Any], what: str
) -> list[dict[str, Any]]:
    """The record and the person that it is about; else what the action is named after."""
    found: list[dict[str, Any]] = []
    if event.record is not None:
        found.append({"uid": str(event.record), "type": str(detail.get("type", "record")), **classified})
    if event.subject is not None:
        found.append({"uid": str(event.subject), "type": "data subject", **classified})
    return found or [{"name": what, "type": "log" if what == "audit" else what}]


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _present(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
