"""What may still be told of a lineage of data, and every question that was asked of it, for ever.

A lineage is a record type: a new snapshot of the same people is the same lineage, for what was told of them once is
not untold. The manifest declares what may be spent (`budget`), by all analysts together and by one. A question costs
both: analysts may put together what they know, so what protects people is the whole; the part of one is a fair share.

1. `reserve` takes the loss from both budgets, in one transaction, before anything is read. It stays taken, whatever
   comes: a reservation without an answer was lost in a crash, or is in hand, and counts as spent.
2. `answer` writes the noisy numbers, in the transaction of the event; only then may they leave.

The same question of the same day has one answer, at no further cost and whoever asks: a second one with noise of its
own could be averaged with the first, and two analysts could do so with one each; given again, it tells nothing new.
Whether a question is refused follows from the manifest, the budgets and the ledger alone, never from the data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, func, insert, select, update

from privacy import ids
from privacy.anonymisation.noise import NANO, epsilon
from privacy.anonymisation.questions import Question
from privacy.errors import BudgetExhausted, BudgetUndeclared, Conflict, Invalid
from privacy.levels import Level
from privacy.manifest.model import Budget
from privacy.tables_budgets import budget_ledger, privacy_budgets
from privacy.work import Role, Work

ALL: Final = "*"
LAW: Final = ("PIPL-4", "PIPL-73")
PAGE: Final = 100
IN_HAND: Final = timedelta(minutes=10)  # a reservation without an answer is somebody's at work, for so long
_MARK: Final = "statistics/question"
_L = budget_ledger.c
_B = privacy_budgets.c


@dataclass(frozen=True, slots=True)
class Entry:
    """A question with its answer: the noisy whole numbers as they were measured, and the scales of their noise."""

    id: UUID
    rho: int
    as_of: date
    at: datetime
    noisy: tuple[int, ...]
    scales: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Reservation:
    """A loss that is taken: the question may be answered now, once."""

    id: UUID
    question: Question
    mark: bytes
    rho: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What one analyst, or all ('*'), have spent of a lineage, in rho, and the epsilon that it amounts to at `delta`.

    `unanswered`: reservations without an answer, in hand or lost in a crash; they are spent.
    """

    lineage: str
    analyst: str
    cap: float
    spent: float
    left: float
    epsilon: float
    epsilon_cap: float
    delta: float
    answered: int
    unanswered: int
    refused: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A question in the ledger. `state`: "answered", "unanswered" or "refused", then with the `reason`."""

    id: UUID
    lineage: str
    analyst: str
    as_of: date
    at: datetime
    question: Mapping[str, Any]
    rho: float
    delta: float
    state: str
    reason: str | None
    answered_at: datetime | None
    noisy: Sequence[int] | None


def reserve(work: Work, question: Question, rho: int) -> Entry | Reservation | BudgetExhausted:
    """The stored answer to the same question; else the loss, taken from both budgets; else the refusal, to be raised.

    A refusal is returned, for its row in the ledger must be committed. The caller audits. Raises `BudgetUndeclared`,
    `Invalid` for a day that is not today and of which no answer is kept, `Conflict` while somebody else is at it.
    """
    lineage, analyst = question.type, work.actor.name
    caps = _caps(declared(work, lineage), analyst)
    mark = work.service.keyring.fingerprint(_MARK, question.canonical())
    spent = _lock(work, lineage, caps)
    found = _known(work, question, mark)
    if found is not None:
        return found
    if question.as_of != work.now.date():
        raise Invalid(
            "No answer of that day is kept, and its data are no longer there: ask about today (UTC)",
            zh="没有保存该日的答案，且该日的数据已不存在：请询问当日（UTC）",
            field="as_of",
        )
    question_id = ids.new()
    short = [one for one, cap in caps.items() if spent[one] + rho > cap]
    if short:
        _write(work, question_id, "refused", question, mark, rho=0, reason=BudgetExhausted.code)
        return _exhausted(lineage, ALL in short, min(caps[one] - spent[one] for one in short))
    for one, cap in caps.items():
        work.execute(
            update(privacy_budgets)
            .where(_B.lineage == lineage, _B.analyst == one, _B.spent + rho <= cap)
            .values(spent=_B.spent + rho, cap=cap, changed_at=work.now)
        )
    _write(work, question_id, "reserved", question, mark, rho=rho)
    return Reservation(question_id, question, mark, rho)


def answer(work: Work, reserved: Reservation, noisy: Sequence[int], scales: Sequence[float]) -> Entry:
    """Keep the answer, which may leave once this work has committed. The caller audits.

    Where the same question has been answered meanwhile, by one who took this reservation for lost, that answer.
    """
    question = reserved.question
    _lock(work, question.type, {ALL: 0})
    found = _answered(work, question, reserved.mark)
    if found is not None:
        return found
    said = {"noisy": list(noisy), "scales": list(scales)}
    _write(work, reserved.id, "answered", question, reserved.mark, rho=reserved.rho, answer=said)
    return Entry(reserved.id, reserved.rho, question.as_of, work.now, tuple(noisy), tuple(scales))


def declared(work: Work, lineage: str) -> Budget:
    """What the manifest in force lets be spent. Raises `BudgetUndeclared`, `Undeclared`."""
    found = work.declared.record_type(lineage).budget
    if found is None:
        raise BudgetUndeclared(
            f"The manifest declares no privacy budget of the record type {lineage}",
            zh=f"清单中没有为记录类型“{lineage}”声明隐私预算",
            law=LAW,
        )
    return found


def standings(work: Work) -> list[Standing]:
    """How the budgets stand, by lineage, of all together first. A service sees the whole and its own part.

    Of lineages that it is granted nothing of, nothing. For all but strangers.
    """
    work.concerns("privacy-budgets.viewed")
    rows = {(row.lineage, row.analyst): row for row in work.execute(select(privacy_budgets))}
    counted = _counted(work)
    found = []
    for name, record_type in sorted(work.declared.manifest.records.items()):
        if record_type.budget is None or not _may_see(work, name):
            continue
        analysts = sorted({ALL, *(analyst for lineage, analyst in rows if lineage == name)})
        for analyst in analysts:
            if work.actor.role is not Role.SERVICE or analyst in (ALL, work.actor.name):
                row = rows.get((name, analyst))
                states = counted.get((name, analyst), {})
                found.append(_standing(record_type.budget, name, analyst, 0 if row is None else row.spent, states))
    return found


def ledger(work: Work, lineage: str, *, after: UUID | None = None, limit: int = PAGE) -> list[Kept]:
    """A page of the questions asked of a lineage, the newest first. For operators, auditors and administrators."""
    work.concerns("privacy-budgets.viewed")
    work.require(Role.OPERATOR, Role.AUDITOR, Role.ADMIN)
    work.declared.record_type(lineage)
    answers = budget_ledger.alias("answers")
    statement = (
        select(budget_ledger, answers.c.at.label("answered_at"), answers.c.answer.label("noisy"))
        .outerjoin(answers, (answers.c.question_id == _L.question_id) & (answers.c.state == "answered"))
        .where(_L.lineage == lineage, _L.state != "answered")
        .order_by(_L.question_id.desc())
        .limit(min(max(limit, 1), PAGE))
    )
    if after is not None:
        statement = statement.where(_L.question_id < after)
    return [_kept(row) for row in work.execute(statement)]


# --- what the functions above share


def _caps(budget: Budget, analyst: str) -> dict[str, int]:
    """In the order in which the rows are locked."""
    return {ALL: budget.total, analyst: budget.analyst}


def _lock(work: Work, lineage: str, caps: Mapping[str, int]) -> dict[str, int]:
    """What is spent of each, locked until the work ends; who is the first makes the rows, and the second clashes."""
    spent: dict[str, int] = {}
    for analyst, cap in caps.items():
        of_one = select(_B.spent).where(_B.lineage == lineage, _B.analyst == analyst).with_for_update()
        found = work.execute(of_one).scalar_one_or_none()
        if found is None:
            new = {"lineage": lineage, "analyst": analyst, "cap": cap, "spent": 0, "changed_at": work.now}
            work.execute(insert(privacy_budgets).values(new))
        spent[analyst] = found or 0
    return spent


def _known(work: Work, question: Question, mark: bytes) -> Entry | None:
    """The stored answer. Raises `Conflict` while another is being made: it will be there in a moment, for nothing."""
    found = _answered(work, question, mark)
    if found is not None:
        return found
    since = work.now - IN_HAND
    in_hand = select(_L.question_id).where(*_same(question, mark), _L.state == "reserved", _L.at > since)
    if work.execute(in_hand.limit(1)).first() is not None:
        raise Conflict(
            "This question is being answered, or its answer was lost a moment ago: ask again in some minutes",
            zh="该问题正在处理中，或其答案刚刚丢失：请几分钟后再询问",
        )
    return None


def _answered(work: Work, question: Question, mark: bytes) -> Entry | None:
    row = work.execute(select(budget_ledger).where(*_same(question, mark), _L.state == "answered")).first()
    if row is None:
        return None
    said: Any = row.answer
    noisy, scales = tuple(said["noisy"]), tuple(float(scale) for scale in said["scales"])
    return Entry(row.question_id, row.rho, question.as_of, row.at, noisy, scales)


def _same(question: Question, mark: bytes) -> tuple[Any, ...]:
    return _L.lineage == question.type, _L.as_of == question.as_of.isoformat(), _L.mark == mark


def _write(
    work: Work,
    question_id: UUID,
    state: str,
    question: Question,
    mark: bytes,
    *,
    rho: int,
    reason: str | None = None,
    answer: Mapping[str, object] | None = None,
) -> None:
    """A row of the ledger. All noise is zero-concentrated and all keys are public, so no delta is ever spent."""
    work.execute(
        insert(budget_ledger).values(
            question_id=question_id,
            state=state,
            lineage=question.type,
            analyst=work.actor.name,
            as_of=question.as_of.isoformat(),
            mark=mark,
            question=_without_values(work, question),
            rho=rho,
            delta=0.0,
            at=work.now,
            reason=reason,
            answer=answer,
        )
    )


def _without_values(work: Work, question: Question) -> dict[str, object]:
    """The question as the ledger keeps it: keys of a personal field could be somebody's values, and are hashed."""
    said = question.as_json()
    if question.keys and question.field is not None:
        field = work.declared.field(work.declared.record_type(question.type), question.field)
        if field.level >= Level.L3:
            said["keys"] = {"count": len(question.keys), "mark": _marked(work, question)}
    return said


def _marked(work: Work, question: Question) -> str:
    return work.service.keyring.fingerprint(f"{_MARK}/keys", question.canonical())[:16].hex()


def _exhausted(lineage: str, is_whole: bool, left: int) -> BudgetExhausted:
    whose = ("of all analysts together", "所有分析者合计") if is_whole else ("of this analyst", "该分析者")
    rho = f"{max(0, left) / NANO:g}"
    return BudgetExhausted(
        f"The privacy budget {whose[0]} for {lineage} has rho {rho} left, which is less than the question costs",
        zh=f"记录类型“{lineage}”的隐私预算（{whose[1]}）剩余 rho {rho}，不足以回答该问题",
        law=LAW,
        left=max(0, left) / NANO,
    )


def _may_see(work: Work, lineage: str) -> bool:
    return work.actor.role is not Role.SERVICE or bool({lineage, "*"} & work.actor.types)


def _counted(work: Work) -> dict[tuple[str, str], dict[str, int]]:
    """How many rows the ledger has in each state, by lineage and analyst; those of all together too."""
    by_state = select(_L.lineage, _L.analyst, _L.state, func.count().label("rows")).group_by(
        _L.lineage, _L.analyst, _L.state
    )
    found: dict[tuple[str, str], dict[str, int]] = {}
    for row in work.execute(by_state):
        for whose in (row.analyst, ALL):
            states = found.setdefault((row.lineage, whose), {})
            states[row.state] = states.get(row.state, 0) + row.rows
    return found


def _standing(budget: Budget, lineage: str, analyst: str, spent: int, states: Mapping[str, int]) -> Standing:
    cap, delta = budget.total if analyst == ALL else budget.analyst, float(budget.delta)
    answered = states.get("answered", 0)
    return Standing(
        lineage=lineage,
        analyst=analyst,
        cap=cap / NANO,
        spent=spent / NANO,
        left=max(0, cap - spent) / NANO,
        epsilon=epsilon(spent, delta),
        epsilon_cap=epsilon(cap, delta),
        delta=delta,
        answered=answered,
        unanswered=states.get("reserved", 0) - answered,
        refused=states.get("refused", 0),
    )


def _kept(row: Row[Any]) -> Kept:
    state = "refused" if row.state == "refused" else "unanswered" if row.noisy is None else "answered"
    return Kept(
        id=row.question_id,
        lineage=row.lineage,
        analyst=row.analyst,
        as_of=date.fromisoformat(row.as_of),
        at=row.at,
        question=row.question,
        rho=row.rho / NANO,
        delta=row.delta,
        state=state,
        reason=row.reason,
        answered_at=row.answered_at,
        noisy=None if row.noisy is None else row.noisy["noisy"],
    )
