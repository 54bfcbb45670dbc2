"""Alerts: what a rule has found, told to the privacy office, listed and acknowledged by people.

One alert a rule, principal and window, however often the rule looks. Raising one writes the row, the event
"audit.alert", the notice to the office, and so the gauge of `/metrics`, in one transaction. GB/T 35273 11.7,
Minors Online Protection Regulation 36.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, get_args
from uuid import UUID

from sqlalchemy import RowMapping, Select, func, insert, select, update

from privacy import ids, notifications, watch_rules
from privacy.database import Database
from privacy.errors import Conflict, Forbidden, Invalid, NotFound
from privacy.tables import audit_alerts, audit_positions, watch_state
from privacy.watch_rules import Rule
from privacy.work import Role, Work

PAGE: Final = 100
NOTICE: Final = "audit-alert"
NOT_IN_WINDOWS: Final = 0  # the beginning of the one window of a rule that has none
CURSOR: Final = "watch"  # the row of `watch_state` that says how far the watch has come

Finding = Literal["explained", "false-alarm", "incident"]


@dataclass(frozen=True, slots=True)
class Alert:
    """What a rule has found. `actor` is a principal, the writer whose events are missing, or '' for the log itself."""

    id: UUID
    rule: str
    severity: str
    title: Mapping[str, str]
    actor: str
    window_starts_at: datetime
    raised_at: datetime
    count: int
    threshold: int
    subject_id: UUID | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    finding: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """What an alert is to say; `starts_at` is the window's beginning, in microseconds."""

    rule: Rule
    actor: str
    starts_at: int
    count: int
    threshold: int
    subject_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Gauges:
    """For Prometheus: open alerts by rule and severity, and how many sequenced events have not been watched yet."""

    open: Mapping[tuple[str, str], int]
    unwatched: int


def raise_alert(work: Work, found: Found) -> bool:
    """Raise it, or bring its count up to date when its window has one already; whether it is a new one.

    One outside windows that was acknowledged opens again when there is more of it.
    """
    this = (
        audit_alerts.c.rule == found.rule.name,
        audit_alerts.c.actor == found.actor,
        audit_alerts.c.starts_at == found.starts_at,
    )
    known = work.execute(select(audit_alerts).where(*this).with_for_update()).mappings().first()
    if known is not None and known["count"] >= found.count:
        return False
    again = known is not None and known["acknowledged_at"] is not None and found.starts_at == NOT_IN_WINDOWS
    alert_id = ids.new()
    if known is None:
        work.execute(
            insert(audit_alerts).values(
                alert_id=alert_id,
                rule=found.rule.name,
                severity=found.rule.severity,
                actor=found.actor,
                starts_at=found.starts_at,
                raised_at=work.instant,
                count=found.count,
                threshold=found.threshold,
                subject_id=found.subject_id,
            )
        )
    else:
        alert_id = known["alert_id"]
        opened = {"acknowledged_at": None, "acknowledged_by": None, "finding": None} if again else {}
        work.execute(update(audit_alerts).where(*this).values(count=found.count, **opened))
        work.paid()  # it has its event
    if known is None or again:
        notifications.owe_office(work, NOTICE, ids.new() if again else alert_id)
        _tell(work, alert_id, found)
    return known is None or again


def _tell(work: Work, alert_id: UUID, found: Found) -> None:
    """The event. It names no subject: whoever asks who looked at a subject must not learn that it is a honeytoken."""
    work.audit(
        "audit.alert",
        detail={
            "actor": found.actor,
            "alert": str(alert_id),
            "count": found.count,
            "rule": found.rule.name,
            "severity": found.rule.severity,
            "threshold": found.threshold,
        },
    )


def listed(work: Work, *, open_only: bool = True, before: UUID | None = None, limit: int = PAGE) -> list[Alert]:
    """Alerts, the newest first. For operators, auditors and administrators."""
    work.concerns("alerts.listed")
    work.require(Role.OPERATOR, Role.AUDITOR, Role.ADMIN)
    statement = _newest(min(max(limit, 1), PAGE))
    if open_only:
        statement = statement.where(audit_alerts.c.acknowledged_at.is_(None))
    if before is not None:
        statement = statement.where(audit_alerts.c.alert_id < before)
    rules = watch_rules.load(work.service.settings.watch_rules).by_name
    found = [_alert(row, rules.get(row["rule"])) for row in work.execute(statement).mappings()]
    work.audit("alerts.listed", detail={"count": len(found)})
    return found


def acknowledge(work: Work, alert_id: UUID, finding: Finding) -> Alert:
    """Record what looking into it has shown. Nobody clears an alert about themselves.

    The same finding again changes nothing. Raises `NotFound`, `Conflict` when it has another finding, `Forbidden`,
    `Invalid`.
    """
    work.concerns("alert.acknowledged")
    work.require(Role.OPERATOR, Role.AUDITOR, Role.ADMIN)
    if finding not in get_args(Finding):
        raise Invalid(f"finding is one of {', '.join(get_args(Finding))}")
    one = audit_alerts.c.alert_id == alert_id
    row = work.execute(select(audit_alerts).where(one).with_for_update()).first()
    if row is None:
        raise NotFound("There is no such alert")
    if row.actor == work.actor.name:
        raise Forbidden("An alert about oneself is for somebody else to acknowledge")
    if row.finding not in (None, finding):
        raise Conflict("The alert has been acknowledged with another finding")
    if row.finding is None:
        work.execute(
            update(audit_alerts)
            .where(one)
            .values(acknowledged_at=work.instant, acknowledged_by=work.actor.name, finding=finding)
        )
    work.audit("alert.acknowledged", detail={"alert": str(alert_id), "finding": finding, "rule": row.rule})
    changed = work.execute(select(audit_alerts).where(one)).mappings().one()
    return _alert(changed, watch_rules.load(work.service.settings.watch_rules).by_name.get(row.rule))


def gauges(database: Database) -> Gauges:
    """What /metrics shows of the watch; rule names and counts, no id. Raises `Unavailable`."""
    counted = (
        select(audit_alerts.c.rule, audit_alerts.c.severity, func.count())
        .where(audit_alerts.c.acknowledged_at.is_(None))
        .group_by(audit_alerts.c.rule, audit_alerts.c.severity)
    )
    last = select(audit_positions.c.position).order_by(audit_positions.c.position.desc()).limit(1)
    with database.borrow() as lane, lane.snapshot() as transaction:
        rows: list[Any] = list(transaction.execute(counted))
        newest = transaction.execute(last).scalar()
        watched = transaction.execute(select(watch_state.c.position).where(watch_state.c.name == CURSOR)).scalar()
    return Gauges(
        {(rule, severity): count for rule, severity, count in rows},
        max(0, (-1 if newest is None else int(newest)) + 1 - int(watched or 0)),
    )


def _newest(limit: int) -> Select[Any]:
    return select(audit_alerts).order_by(audit_alerts.c.alert_id.desc()).limit(limit)


def _alert(row: RowMapping, rule: Rule | None) -> Alert:
    title = {"zh": row["rule"], "en": row["rule"]} if rule is None else {"zh": rule.title.zh, "en": rule.title.en}
    return Alert(
        id=row["alert_id"],
        title=title,
        window_starts_at=row["starts_at"],
        **{
            name: row[name]
            for name in (
                *("rule", "severity", "actor", "raised_at", "count", "threshold"),
                *("subject_id", "acknowledged_at", "acknowledged_by", "finding"),
            )
        },
    )
