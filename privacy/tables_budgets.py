"""The tables of privacy budgets and of the questions that spent them; columns and constraints, no behaviour.

Losses are whole numbers of nano-rho (a thousand-millionth of one unit of zero-concentrated differential privacy), so
that no sum of them is ever rounded. Nothing here is about one person: questions name public keys and bounds, answers
are noisy.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Double, Index, LargeBinary, Table, Text, text

from privacy.tables import Id, Instant, Json, metadata

# What may be spent on a lineage, by one analyst ('*': by all together, for they may put together what they know).
privacy_budgets = Table(
    "privacy_budgets",
    metadata,
    Column("lineage", Text, primary_key=True),
    Column("analyst", Text, primary_key=True),
    Column("cap", BigInteger, nullable=False),
    Column("spent", BigInteger, nullable=False),
    Column("changed_at", Instant, nullable=False),
    CheckConstraint("spent >= 0 AND spent <= cap", name="spent"),
)

# Every question, for ever: a row when its loss is reserved, another when it is answered; or one when it is refused.
# `mark` is a keyed hash of the canonical question, `as_of` the day whose data it is about, `delta` what it spent.
budget_ledger = Table(
    "budget_ledger",
    metadata,
    Column("question_id", Id, primary_key=True),
    Column("state", Text, primary_key=True),
    Column("lineage", Text, nullable=False),
    Column("analyst", Text, nullable=False),
    Column("as_of", Text, nullable=False),
    Column("mark", LargeBinary, nullable=False),
    Column("question", Json, nullable=False),
    Column("rho", BigInteger, nullable=False),
    Column("delta", Double, nullable=False),
    Column("at", Instant, nullable=False),
    Column("reason", Text),
    Column("answer", Json),
    CheckConstraint("state IN ('reserved', 'answered', 'refused')", name="state"),
    CheckConstraint("rho >= 0", name="rho"),
    CheckConstraint("(state = 'refused') = (reason IS NOT NULL)", name="reason"),
    CheckConstraint("(state = 'answered') = (answer IS NOT NULL)", name="answer"),
    Index("ix_budget_ledger_lineage_as_of_mark", "lineage", "as_of", "mark"),
)

# The same question about the same day has one answer.
Index(
    "uq_budget_ledger_one_answer",
    budget_ledger.c.lineage,
    budget_ledger.c.as_of,
    budget_ledger.c.mark,
    unique=True,
    postgresql_where=text("state = 'answered'"),
    sqlite_where=text("state = 'answered'"),
)
