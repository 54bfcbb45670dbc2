"""Statistics with differential privacy: an answer tells nearly the same whether or not any one subject is in the data.

1. `_admit`    may this caller ask, and is everything public said? Nothing is read.
2. `_reserve`  the loss is taken from the budgets, durable; or the stored answer is given; or the question is refused.
3. the data is read (`source.gather`): consents, restrictions and periods as they are now; each subject's event is
   durable before its values are used. A refusal of 2 has happened before, so it tells nothing of them.
4. the statistic is measured with noise (`mechanisms`)
5. `_keep`     the noisy numbers and the event are durable; then the answer leaves.

A crash after 2 costs the loss: nobody knows what had been seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Final, assert_never
from uuid import UUID

from privacy.anonymisation import budgets, mechanisms, questions, source
from privacy.anonymisation.budgets import Entry, Reservation
from privacy.anonymisation.mechanisms import CONFIDENCE, Cell, Interval, Mechanism
from privacy.anonymisation.noise import NANO, epsilon
from privacy.anonymisation.questions import Asked, Point, Question, Statistic
from privacy.database import Clash
from privacy.errors import AuditUnavailable, BudgetExhausted, NotInPurpose
from privacy.manifest import ValueType
from privacy.plans import MINIMAL_LAW
from privacy.values import Value
from privacy.work import Actor, Work

if TYPE_CHECKING:
    from privacy.steward import Steward

READ: Final = "statistics.read"
RESERVED: Final = "statistics.reserved"
ANSWERED: Final = "statistics.answered"
REPEATED: Final = "statistics.repeated"
_COUNTED: Final = frozenset({"keep", "quasi", "sensitive"})  # what `analytics` says of a field that may be counted


@dataclass(frozen=True, slots=True)
class Answer:
    """What may be told. `rho` was spent on it once, however often it is told; `repeated`: nothing was spent this time.

    `accuracy` and `interval` hold with `confidence`, each cell's by itself, for the data as bounded by the question.
    `epsilon` is that of this one answer, at `delta`.
    """

    id: UUID
    statistic: Statistic
    as_of: date
    answered_at: datetime
    value: Point | None
    interval: Interval | None
    accuracy: float
    confidence: float
    cells: tuple[Cell, ...]
    rho: float
    epsilon: float
    delta: float
    repeated: bool


def ask(
    service: Steward,
    actor: Actor,
    asked: Asked,
    *,
    clamp: bool = False,
    request_id: str | None = None,
    origin: str | None = None,
) -> Answer:
    """The answer, in transactions of its own. `clamp`: no negative count; it is not part of the question.

    PIPL 4, 73; GDPR recital 26. Raises `Invalid` for what is missing, `UndeclaredPurpose`, `Undeclared`,
    `NotInPurpose`, `Forbidden`, `BudgetUndeclared`, `BudgetExhausted`, `Conflict` while the same question is being
    answered, `AuditUnavailable`.
    """

    def begin() -> _Begin:
        return service.begin(actor, request_id=request_id, origin=origin)

    with begin() as work:
        question = _admit(work, asked)
        delta = float(budgets.declared(work, question.type).delta)
    mechanism = mechanisms.mechanism(question)
    try:
        found = _reserve(begin, mechanism)
    except Clash:  # the first two questions of an analyst came at once, and both made its budget
        found = _reserve(begin, mechanism)
    if isinstance(found, Entry):
        return _told(question, found, delta, clamp=clamp, repeated=True)
    gathered = source.gather(
        service,
        purpose=question.purpose,
        record_type=question.type,
        fields=_fields(question),
        actor=actor,
        action=READ,
        detail={"question": str(found.id)},
    )
    noisy = measure(mechanism, gathered.subjects, gathered.columns.get(question.field or ""))
    with begin() as work:
        entry = _keep(work, found, noisy, mechanism.scales)
    return _told(question, entry, delta, clamp=clamp, repeated=entry.id != found.id)


def measure(mechanism: Mechanism, subjects: Sequence[UUID], column: Sequence[Value] | None) -> list[int]:
    """The noisy numbers of one release: rows bounded by subject, counted, noised."""
    question = mechanism.question
    rows = mechanisms.bounded(subjects, question.contributions)
    return mechanism.release(mechanisms.exact(question, column, rows))[0]


# --- the steps


_Begin = AbstractContextManager[Work]


def _admit(work: Work, asked: Asked) -> Question:
    """Step 1."""
    work.concerns(RESERVED, purpose=asked.purpose)
    names = () if asked.field is None else (asked.field,)
    source.fields_of(work, asked.purpose, asked.type, names)
    budgets.declared(work, asked.type)
    value_type = None if asked.field is None else _countable(work, asked.purpose, asked.type, asked.field)
    return questions.question(asked, value_type, work.now.date())


def _countable(work: Work, purpose: str, type: str, name: str) -> ValueType:
    """The type of a field that may be counted under the purpose. Raises `NotInPurpose`."""
    field = work.declared.field(work.declared.record_type(type), name)
    if field.analytics not in _COUNTED:
        raise NotInPurpose(
            f"The manifest does not mark {type}.{name} for analytics, so nothing is told of it",
            zh=f"清单没有将字段“{type}.{name}”标注为可用于分析，不提供其统计",
            law=MINIMAL_LAW,
            field=name,
        )
    if work.declared.purpose(purpose).uses[type][name] is not None:
        raise NotInPurpose(
            f"The purpose {purpose} sees {type}.{name} masked, and what is masked is not counted",
            zh=f"目的“{purpose}”只能看到脱敏后的字段“{type}.{name}”，脱敏值不作统计",
            law=MINIMAL_LAW,
            field=name,
        )
    return field.type


def _reserve(begin: Callable[[], _Begin], mechanism: Mechanism) -> Entry | Reservation:
    """Step 2. Raises `BudgetExhausted`, which by then is in the ledger and in the log."""
    question = mechanism.question
    with begin() as work:
        work.concerns(RESERVED, purpose=question.purpose)
        if work.service.distrust is not None:
            raise AuditUnavailable(work.service.distrust)  # before anything is spent
        found = budgets.reserve(work, question, mechanism.loss)
        detail: dict[str, object] = {"type": question.type, "statistic": question.statistic.value}
        match found:
            case Entry():
                work.audit(REPEATED, purpose=question.purpose, detail={**detail, "question": str(found.id)})
            case Reservation():
                detail |= {"question": str(found.id), "rho_nano": found.rho, "mark": found.mark.hex()}
                work.audit(RESERVED, purpose=question.purpose, fields=_fields(question), detail=detail)
            case BudgetExhausted():
                detail |= {"code": found.code, "law": found.law}
                work.audit(RESERVED, outcome="refused", purpose=question.purpose, detail=detail)
            case _:
                assert_never(found)
    if isinstance(found, BudgetExhausted):
        raise found
    return found


def _keep(work: Work, reserved: Reservation, noisy: Sequence[int], scales: Sequence[float]) -> Entry:
    """Step 5."""
    question = reserved.question
    work.concerns(ANSWERED, purpose=question.purpose)
    entry = budgets.answer(work, reserved, noisy, scales)
    detail = {"question": str(entry.id), "type": question.type, "statistic": question.statistic.value}
    work.audit(ANSWERED, purpose=question.purpose, fields=_fields(question), detail=detail)
    return entry


def _fields(question: Question) -> tuple[str, ...]:
    return () if question.field is None else (question.field,)


def _told(question: Question, entry: Entry, delta: float, *, clamp: bool, repeated: bool) -> Answer:
    reading = mechanisms.read(question, entry.noisy, entry.scales, clamp=clamp)
    return Answer(
        id=entry.id,
        statistic=question.statistic,
        as_of=entry.as_of,
        answered_at=entry.at,
        value=reading.value,
        interval=reading.interval,
        accuracy=reading.accuracy,
        confidence=CONFIDENCE,
        cells=reading.cells,
        rho=entry.rho / NANO,
        epsilon=epsilon(entry.rho, delta),
        delta=delta,
        repeated=repeated,
    )
