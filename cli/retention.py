"""`privacy retention`: what will go, and making it go."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Annotated, Final

import typer
from rich.markup import escape

from cli.spoken import language
from cli.terminal import Json, console, instant, reporting, say, service, show, table, working
from privacy import retention, retention_plans
from privacy.manifest import Text
from privacy.retention import Run
from privacy.retention_plans import Plan

app = typer.Typer(no_args_is_help=True, help="Storage periods: what has ended, and what will.")

_WIDTH: Final = 40
_FATES: Final = {"erase": Text("删除", "erased"), "anonymise": Text("匿名化", "anonymised")}
_COLUMNS: Final = (Text("记录类型", "Type"), Text("目的", "Purposes"), Text("月份", "Month"), Text("处理", "Fate"))
_RECORDS: Final = Text("记录数", "Records")
_SUM: Final = Text(
    "到期 {records} 条，因法律保全保留 {held} 条，逾期未删除 {overdue} 条",
    "{records} records end, {held} stay for a legal hold, {overdue} are overdue",
)
_DONE: Final = Text(
    "删除 {erased} 条，匿名化 {anonymised} 条，延期 {postponed} 条，未成功 {failed} 条，因法律保全保留 {held} 条",
    "{erased} erased, {anonymised} anonymised, {postponed} kept longer, {failed} failed, {held} stay for a legal hold",
)
_DRY: Final = Text("试运行，未作更改", "A dry run: nothing was changed")
_MORE: Final = Text("还有更多，请再次运行", "There is more: run it again")


@app.command()
def plan(
    until: Annotated[
        datetime | None, typer.Option(parser=instant, metavar="DATE", help="Up to then; now when left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """What goes, by type, purposes and month of its end, as a table and a chart."""
    with reporting(as_json):
        with working() as work:
            found = retention_plans.plan(work, until)
        show(as_json, found, lambda: render(found))


@app.command()
def run(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Remove or anonymise what has ended, as the job does by itself. Exit status 1 when a record could not be swept."""
    with reporting(as_json):
        with service() as found:
            done = retention.run(found.begin, dry_run=dry_run)
        answer = {
            "dry_run": done.dry_run,
            "is_complete": done.is_complete,
            "held": done.held,
            "swept": done.swept.as_json(),
        }
        show(as_json, answer, lambda: _render_run(done))
        if done.swept.failed:
            raise typer.Exit(1)


def render(found: Plan) -> None:
    """The plan for a person: a table, a bar a month, and the sum."""
    if found.lines:
        made = table(*(_said(one) for one in (*_COLUMNS, _RECORDS)))
        for line in found.lines:
            fate = _said(_FATES[line.fate])
            purposes = escape(", ".join(line.purposes))
            made.add_row(escape(line.record_type), purposes, line.month, fate, str(line.records))
        console().print(made)
        _chart(found)
    say(_said(_SUM).format(records=found.records, held=found.held, overdue=found.overdue))


def _chart(found: Plan) -> None:
    """A bar a month; the longest fills the width, and what is not nothing shows."""
    months: Counter[str] = Counter()
    for line in found.lines:
        months[line.month] += line.records
    most = max(months.values())
    for month, count in sorted(months.items()):
        say(f"{month}  [cyan]{'█' * max(1, count * _WIDTH // most)}[/cyan] {count}")


def _render_run(done: Run) -> None:
    swept = done.swept
    say(
        _said(_DONE).format(
            erased=sum(swept.erased.values()),
            anonymised=sum(swept.anonymised.values()),
            postponed=swept.postponed,
            failed=swept.failed,
            held=done.held,
        )
    )
    for one in ([_DRY] if done.dry_run else []) + ([] if done.is_complete else [_MORE]):
        say(f"[dim]{_said(one)}[/dim]")


def _said(text: Text) -> str:
    """In the language of the terminal."""
    return text.in_language(language())
