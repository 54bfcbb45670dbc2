"""Metrics for Prometheus. Labels are route templates, methods and statuses: no id and no value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from privacy.alerts import Gauges
from privacy.job_runs import Gauge as JobGauge

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)

_OF_A_JOB: Final = (
    ("runs", "Runs begun, over all replicas", True),
    ("failures", "Runs that failed or were lost, over all replicas", True),
    ("seconds", "Time that runs have taken, over all replicas", True),
    ("failures_in_a_row", "Failures since the last run that went well", False),
    ("set_aside", "Items that the job leaves out until a person has looked", False),
    ("overdue_seconds", "How long the job has been due, and nobody runs it", False),
)


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

        self._jobs = _Jobs()
        self.registry.register(self._jobs)

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

    def jobs(self, found: Mapping[str, JobGauge]) -> None:
        """What the jobs' slots say now; nothing when the database cannot be asked."""
        self._jobs.found = found

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)


class _Jobs(Collector):
    """The counters of the jobs, which the database keeps: they are the same on every replica, and only ever grow."""

    def __init__(self) -> None:
        self.found: Mapping[str, JobGauge] = {}

    def collect(self) -> Iterable[Metric]:
        for name, text, only_grows in _OF_A_JOB:
            kind = CounterMetricFamily if only_grows else GaugeMetricFamily
            family = kind(f"steward_job_{name}", text, labels=("job",))
            for job, one in self.found.items():
                family.add_metric((job,), getattr(one, name))
            yield family
