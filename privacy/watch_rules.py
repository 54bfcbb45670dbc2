"""What is watched for, as data: the rules' defaults, and the file that may change them (PRIVACY_WATCH_RULES).

The file is YAML with up to three members. `rules` is a list; one with the name of a default changes that default,
member by member, and any other is a rule of its own. `review` says when offices are open, for the access review.
`keep` says how long each class of events stays in the log (`privacy.log_retention`).

    kind             an alert when, in a window of `window`
    bulk-reads       a principal was given more subjects' data than `floor` and `factor` times the median of its own
                     windows over `history`; always from `ceiling` on
    off-hours        a principal did `at_least` things outside `hours`
    refusals         a principal was refused `at_least` times
    found            a principal stored `at_least` values above their declared level or of another kind than declared
    across-purposes  a principal was given one subject's data for `at_least` purposes
    honeytoken       anything of a marked subject was disclosed or compared (`privacy.honeytokens`)
    audit-lag        an event has waited longer than `seconds` for its position in the tree
    no-heartbeat     the log has had no heartbeat for `seconds`
    missing-events   a writer's events in the tree have had a gap for `seconds`

Windows are aligned to 1970, so that an alert is raised once a principal and window. `only` narrows a rule to roles,
actors, actions or purposes; `exempt` names principals that a rule leaves alone. What the service does by itself
(its jobs, its heartbeat) is told by having no key, not by a name that a principal could take.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

import msgspec
import yaml
from msgspec import Meta

from privacy.errors import Invalid
from privacy.periods import Period
from privacy.tables import moment

_MONTH: Final = re.compile(r"(19[7-9][0-9]|2[0-9]{3})-(0[1-9]|1[0-2])")
_MOST_BYTES: Final = 256 * 1024
_LONGEST_WINDOW_MICROS: Final = 31 * 86_400_000_000

DEFAULTS: Final = """\
rules:
  - name: bulk-reads
    kind: bulk-reads
    severity: high
    title: {zh: 批量读取超出其平常, en: More subjects read than usual}
    window: PT1H
    floor: 200
    factor: 5
    history: P14D
    ceiling: 20000
  - name: off-hours
    kind: off-hours
    severity: medium
    title: {zh: 非工作时间操作, en: Work outside office hours}
    window: P1D
    at_least: 1
    hours: {zone: Asia/Shanghai, opens: 7, closes: 22, days_off: [6, 7]}
    only: {roles: [operator, auditor, admin]}
  - name: refusals
    kind: refusals
    severity: medium
    title: {zh: 多次被拒绝, en: Many refusals}
    window: PT1H
    at_least: 50
  - name: found
    kind: found
    severity: medium
    title: {zh: 存入的内容超出所声明的级别或类别, en: What was stored is above its declared level or of another kind}
    window: P1D
    at_least: 1
  - name: across-purposes
    kind: across-purposes
    severity: medium
    title: {zh: 以多种目的读取同一人, en: One person read for many purposes}
    window: P1D
    at_least: 4
  - name: honeytoken
    kind: honeytoken
    severity: critical
    title: {zh: 诱饵主体被读取, en: A honeytoken subject was read}
    window: PT1H
  - name: audit-lag
    kind: audit-lag
    severity: high
    title: {zh: 审计日志滞后, en: The audit log lags}
    seconds: 60
  - name: no-heartbeat
    kind: no-heartbeat
    severity: high
    title: {zh: 审计心跳中断, en: The audit heartbeat has stopped}
    seconds: 300
  - name: missing-events
    kind: missing-events
    severity: critical
    title: {zh: 审计事件缺失, en: Audit events are missing}
    seconds: 60
review:
  hours: {zone: Asia/Shanghai, opens: 7, closes: 22, days_off: [6, 7]}
keep: {}
"""

Severity = Literal["low", "medium", "high", "critical"]
Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
Positive = Annotated[int, Meta(ge=1, le=1_000_000_000)]


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A member of the file that knows its members and no others."""


class Title(_Part, frozen=True, kw_only=True):
    zh: Annotated[str, Meta(min_length=1, max_length=80)]
    en: Annotated[str, Meta(min_length=1, max_length=80)]


class Only(_Part, frozen=True, kw_only=True):
    """What a rule looks at; an empty list is everything."""

    roles: frozenset[Literal["service", "operator", "auditor", "admin"]] = frozenset()
    actors: frozenset[str] = frozenset()
    actions: frozenset[str] = frozenset()
    purposes: frozenset[str] = frozenset()


class Hours(_Part, frozen=True, kw_only=True, dict=True):
    """When offices are open: whole hours of a zone's local time; `days_off` are ISO weekdays, Monday 1."""

    zone: str
    opens: Annotated[int, Meta(ge=0, le=23)]
    closes: Annotated[int, Meta(ge=1, le=24)]
    days_off: frozenset[Annotated[int, Meta(ge=1, le=7)]] = frozenset()

    def __post_init__(self) -> None:
        if self.opens >= self.closes:
            raise ValueError("`opens` is before `closes`")
        try:
            ZoneInfo(self.zone)
        except (OSError, KeyError, ValueError):
            raise ValueError("`zone` is a name of the time zone database, like Asia/Shanghai") from None

    @cached_property
    def place(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    def are_over(self, at: int) -> bool:
        """Whether the offices are closed at the instant (microseconds)."""
        local = moment(at).astimezone(self.place)
        return local.isoweekday() in self.days_off or not self.opens <= local.hour < self.closes


class Rule(_Part, frozen=True, kw_only=True, tag_field="kind"):
    """What all rules have. `name` is the identity of its alerts."""

    name: Name
    severity: Severity
    title: Title
    enabled: bool = True
    only: Only = Only()
    exempt: frozenset[str] = frozenset()


class Windowed(Rule, frozen=True, kw_only=True, dict=True):
    """A rule that counts in windows aligned to 1970."""

    window: str

    def __post_init__(self) -> None:
        if not 0 < self.micros <= _LONGEST_WINDOW_MICROS:
            raise ValueError("`window` is at most P31D")

    @cached_property
    def micros(self) -> int:
        return _micros(self.window)

    def starts(self, at: int) -> int:
        """The beginning of the window that the instant is in."""
        return at - at % self.micros


class BulkReads(Windowed, frozen=True, kw_only=True, tag="bulk-reads"):
    floor: Positive
    factor: Annotated[float, Meta(ge=1)]
    history: str
    ceiling: Positive

    @cached_property
    def history_micros(self) -> int:
        return _micros(self.history)


class OffHours(Windowed, frozen=True, kw_only=True, tag="off-hours"):
    at_least: Positive
    hours: Hours


class Refusals(Windowed, frozen=True, kw_only=True, tag="refusals"):
    at_least: Positive


class FoundAtTheDoor(Windowed, frozen=True, kw_only=True, tag="found"):
    at_least: Positive


class AcrossPurposes(Windowed, frozen=True, kw_only=True, tag="across-purposes"):
    at_least: Annotated[int, Meta(ge=2, le=1000)]


class Honeytoken(Windowed, frozen=True, kw_only=True, tag="honeytoken"):
    pass


class Lag(Rule, frozen=True, kw_only=True, tag="audit-lag"):
    seconds: Positive


class Silence(Rule, frozen=True, kw_only=True, tag="no-heartbeat"):
    seconds: Positive


class Missing(Rule, frozen=True, kw_only=True, tag="missing-events"):
    seconds: Positive


AnyRule = BulkReads | OffHours | Refusals | FoundAtTheDoor | AcrossPurposes | Honeytoken | Lag | Silence | Missing


# What the job that compares records with the log raises (`privacy.reconciling`); no file changes it.
RECORD_MISMATCH: Final = Rule(
    name="record-mismatch",
    severity="critical",
    title=Title(zh="记录与审计日志不符", en="Records do not agree with the audit log"),
)


# What a job raises that fails again and again, or that has set items aside (`privacy.slots`, `privacy.job_runs`).
JOB_FAILING: Final = Rule(
    name="job-failing",
    severity="high",
    title=Title(zh="后台任务连续失败", en="A job fails again and again"),
)
JOB_ITEM_SET_ASIDE: Final = Rule(
    name="job-item-set-aside",
    severity="medium",
    title=Title(zh="后台任务有项目被搁置", en="A job has set items aside"),
)


# What the watches over storage periods, holds and releases raise (`privacy.retention_plans`, `privacy.holds`, ...).
RETENTION_OVERDUE: Final = Rule(
    name="retention-overdue",
    severity="high",
    title=Title(zh="到期记录逾期未删除", en="Records past their end have not been removed"),
)
HOLD_REVIEW_DUE: Final = Rule(
    name="hold-review-due",
    severity="medium",
    title=Title(zh="法律保全已到复核日期", en="A legal hold is due for review"),
)
RELEASE_DUE: Final = Rule(
    name="release-assessment-due",
    severity="medium",
    title=Title(zh="匿名化发布到期须重新评估", en="An anonymised release must be assessed again"),
)
_OF_JOBS: Final = (RECORD_MISMATCH, JOB_FAILING, JOB_ITEM_SET_ASIDE, RETENTION_OVERDUE, HOLD_REVIEW_DUE, RELEASE_DUE)


class Review(_Part, frozen=True, kw_only=True):
    hours: Hours


class Rules(_Part, frozen=True, kw_only=True, dict=True):
    """All of it. `digest` names this very set in the log."""

    rules: tuple[AnyRule, ...]
    review: Review
    keep: dict[str, str]
    digest: str = ""

    @cached_property
    def by_name(self) -> Mapping[str, Rule]:
        return {rule.name: rule for rule in (*self.rules, *_OF_JOBS)}


# What msgspec must know of the types is built here, by one thread: building it in two at once ends the process.
msgspec.json.Decoder(Rules)


def load(file: Path | None) -> Rules:
    """The defaults as the file changes them; None has no file. Read anew when the file has changed.

    Raises `Invalid` with the place in the file of what is not as it should be.
    """
    if file is None:
        return _parsed("", "the default rules")
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise Invalid(f"{file.name} is larger than {_MOST_BYTES} bytes")
        return _parsed(file.read_text(encoding="utf-8"), file.name)
    except (OSError, UnicodeDecodeError):
        raise Invalid(f"The watch rules cannot be read from {file.name}") from None


@lru_cache(maxsize=8)
def _parsed(text: str, name: str) -> Rules:
    try:
        merged = _merged(yaml.safe_load(DEFAULTS), yaml.safe_load(text) or {})
        digest = sha256(msgspec.json.encode(merged, order="deterministic")).hexdigest()
        return msgspec.convert(merged | {"digest": digest}, Rules)
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = "" if line is None else f", line {line + 1}"
        raise Invalid(f"{name}{where}: this is not YAML") from None
    except (msgspec.ValidationError, Invalid) as error:
        raise Invalid(f"{name}: {error}") from None


def _merged(base: dict[str, Any], changes: Any) -> dict[str, Any]:  # as YAML gives it
    """The defaults with the file's changes; whether the result is right is for the types to say."""
    if not isinstance(changes, dict) or not set(changes) <= set(base):
        raise Invalid(f"the file has the members {', '.join(base)} and no others")
    rules: dict[str, dict[str, Any]] = {rule["name"]: rule for rule in base["rules"]}
    given = changes.get("rules") or []
    if not isinstance(given, list):
        raise Invalid("`rules` is a list")
    for rule in given:
        if not isinstance(rule, dict) or not isinstance(rule.get("name"), str):
            raise Invalid("each rule has a name")
        rules[rule["name"]] = rules.get(rule["name"], {}) | rule
    return {
        "rules": list(rules.values()),
        "review": base["review"] | (changes.get("review") or {}),
        "keep": base["keep"] | (changes.get("keep") or {}),
    }


def _micros(text: str) -> int:
    try:
        period = Period.parse(text)
    except Invalid as error:
        raise ValueError(error.detail) from None
    if period.years or period.months:
        raise ValueError("a window is given in weeks, days or hours")
    return period.least_micros


def month_bounds(month: str, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Beginning and end of a month like 2026-01 in the zone. Raises `Invalid`."""
    found = _MONTH.fullmatch(month)
    if found is None:
        raise Invalid("A month is written like 2026-01")
    year, number = found.groups()
    start = datetime(int(year), int(number), 1, tzinfo=zone)
    following = start + timedelta(days=32)
    return start, datetime(following.year, following.month, 1, tzinfo=zone)
