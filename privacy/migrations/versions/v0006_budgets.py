"""Privacy budgets: what may be spent of a lineage, and the ledger of questions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision: str | None = "0005"
branch_labels: str | None = None
depends_on: str | None = None

ID = sa.Uuid().with_variant(sa.LargeBinary(16), "sqlite")
_LEDGER = "budget_ledger"


def upgrade() -> None:
    op.create_table(
        "privacy_budgets",
        sa.Column("lineage", sa.Text, nullable=False),
        sa.Column("analyst", sa.Text, nullable=False),
        sa.Column("cap", sa.BigInteger, nullable=False),
        sa.Column("spent", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("lineage", "analyst", name=op.f("pk_privacy_budgets")),
        sa.CheckConstraint("spent >= 0 AND spent <= cap", name=op.f("ck_privacy_budgets_spent")),
    )
    op.create_table(
        _LEDGER,
        sa.Column("question_id", ID, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("lineage", sa.Text, nullable=False),
        sa.Column("analyst", sa.Text, nullable=False),
        sa.Column("as_of", sa.Text, nullable=False),
        sa.Column("mark", sa.LargeBinary, nullable=False),
        sa.Column("question", sa.Text, nullable=False),
        sa.Column("rho", sa.BigInteger, nullable=False),
        sa.Column("delta", sa.Double, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("answer", sa.Text),
        sa.PrimaryKeyConstraint("question_id", "state", name=op.f("pk_budget_ledger")),
        sa.CheckConstraint("state IN ('reserved', 'answered', 'refused')", name=op.f("ck_budget_ledger_state")),
        sa.CheckConstraint("rho >= 0", name=op.f("ck_budget_ledger_rho")),
        sa.CheckConstraint("(state = 'refused') = (reason IS NOT NULL)", name=op.f("ck_budget_ledger_reason")),
        sa.CheckConstraint("(state = 'answered') = (answer IS NOT NULL)", name=op.f("ck_budget_ledger_answer")),
    )
    place = ["lineage", "as_of", "mark"]
    op.create_index(op.f("ix_budget_ledger_lineage_as_of_mark"), _LEDGER, place)
    answered = sa.text("state = 'answered'")
    op.create_index(
        op.f("uq_budget_ledger_one_answer"),
        _LEDGER,
        place,
        unique=True,
        postgresql_where=answered,
        sqlite_where=answered,
    )
    _guard()


def _guard() -> None:
    """The ledger only grows; what was spent never falls, and no budget is taken away."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {_LEDGER} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            "CREATE FUNCTION refuse_refund() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE EXCEPTION 'what was spent of a privacy budget stays spent' "
            "USING ERRCODE = 'insufficient_privilege'; "
            "END $$"
        )
        op.execute(
            "CREATE TRIGGER no_refund BEFORE UPDATE ON privacy_budgets FOR EACH ROW "
            "WHEN (NEW.spent < OLD.spent) EXECUTE FUNCTION refuse_refund()"
        )
        op.execute(
            "CREATE TRIGGER no_removal BEFORE DELETE OR TRUNCATE ON privacy_budgets "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_refund()"
        )
        return
    refused = f"BEGIN SELECT RAISE(ABORT, '{_LEDGER} is append-only'); END"
    for change in ("UPDATE", "DELETE"):
        op.execute(f"CREATE TRIGGER {_LEDGER}_refuse_{change.lower()} BEFORE {change} ON {_LEDGER} {refused}")
    found = (
        f"EXISTS (SELECT 1 FROM {_LEDGER} WHERE question_id = NEW.question_id AND state = NEW.state "  # noqa: S608 - ours
        "OR NEW.state = 'answered' AND state = 'answered' AND lineage = NEW.lineage AND as_of = NEW.as_of "
        "AND mark = NEW.mark)"
    )
    op.execute(f"CREATE TRIGGER {_LEDGER}_refuse_replace BEFORE INSERT ON {_LEDGER} WHEN {found} {refused}")
    stays = "BEGIN SELECT RAISE(ABORT, 'what was spent of a privacy budget stays spent'); END"
    op.execute(
        f"CREATE TRIGGER privacy_budgets_no_refund BEFORE UPDATE ON privacy_budgets WHEN NEW.spent < OLD.spent {stays}"
    )
    op.execute(f"CREATE TRIGGER privacy_budgets_no_removal BEFORE DELETE ON privacy_budgets {stays}")
    same = "EXISTS (SELECT 1 FROM privacy_budgets WHERE lineage = NEW.lineage AND analyst = NEW.analyst)"
    op.execute(f"CREATE TRIGGER privacy_budgets_no_replace BEFORE INSERT ON privacy_budgets WHEN {same} {stays}")
