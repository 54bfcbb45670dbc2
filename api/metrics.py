"""Metrics for Prometheus. Labels are route templates, methods and statuses: no id and no value."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest

from privacy.alerts import Gauges

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


class Metrics:
    """The counters of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._seconds = Histogram(
            "steward_request_seconds",
            "Time to answer; its count is the number of requests",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._known: dict[tuple[str, str, int], Histogram] = {}
        self._open = Gauge(
            "steward_audit_alerts_open",
            "Alerts that nobody has acknowledged",
            ("rule", "severity"),
            registry=self.registry,
        )
        self._unwatched = Gauge(
            "steward_audit_unwatched_events",
            "Sequenced events that the watch has not read yet",
            registry=self.registry,
        )

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        key = (method, route, status)
        histogram = self._known.get(key)
        if histogram is None:
            histogram = self._known[key] = self._seconds.labels(method, route, str(status))
        histogram.observe(seconds)

    def watched(self, found: Gauges | None) -> None:
        """What the watch says now; None when the database cannot be asked."""
        self._open.clear()
        for (rule, severity), count in (found.open if found is not None else {}).items():
            self._open.labels(rule, severity).set(count)
        self._unwatched.set(found.unwatched if found is not None else float("nan"))

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)
