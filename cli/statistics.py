"""`privacy statistics`: what may be told of many people at once, and what it has cost."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from rich.markup import escape

from cli.remote import calling
from cli.terminal import Json, console, moment, reporting, say, show, table, working
from privacy.anonymisation import budgets
from privacy.anonymisation.questions import Statistic
from privacy.client import Cell
from privacy.client import Statistic as Told

app = typer.Typer(no_args_is_help=True, help="Statistics with differential privacy, and their budgets.")


class Kind(StrEnum):
    """How the keys of a histogram are written."""

    TEXT = "text"
    INTEGER = "integer"
    BOOLEAN = "boolean"


@app.command()
def ask(
    statistic: Annotated[Statistic, typer.Argument(help="What to tell.", show_default=False)],
    type: Annotated[str, typer.Argument(metavar="TYPE", help="Of which records.", show_default=False)],
    purpose: Annotated[str, typer.Option(help="A purpose that is `only: anonymised`.", show_default=False)],
    rho: Annotated[float, typer.Option(help="What to spend of the privacy budget.", show_default=False)],
    contributions: Annotated[int, typer.Option(help="How many rows of one person count.")] = 1,
    field: Annotated[str | None, typer.Option(help="The field that is counted, summed or sorted.")] = None,
    bounds: Annotated[str | None, typer.Option(metavar="LOW,HIGH", help="Of a sum or a mean; public.")] = None,
    keys: Annotated[str | None, typer.Option(metavar="A,B,...", help="Of a histogram; public.")] = None,
    key_type: Annotated[Kind, typer.Option(help="What the keys are.")] = Kind.TEXT,
    edges: Annotated[str | None, typer.Option(metavar="A,B,...", help="Of a histogram of numbers or dates.")] = None,
    candidates: Annotated[str | None, typer.Option(metavar="A,B,...", help="Of a quantile; public.")] = None,
    rank: Annotated[float | None, typer.Option(help="Of a quantile: 0.5 is the median.")] = None,
    decimals: Annotated[int | None, typer.Option(help="Of a field of type number (2).")] = None,
    clamp: Annotated[bool, typer.Option("--clamp", help="No negative count.")] = False,
    as_json: Json = False,
) -> None:
    """Ask the service at PRIVACY_URL as the component whose key is in PRIVACY_KEY."""
    low_high = _points(bounds)
    if low_high is not None and len(low_high) != 2:
        raise typer.BadParameter("bounds are two: LOW,HIGH")
    with reporting(as_json):
        with calling() as privacy:
            found = privacy.ask_statistic(
                statistic.value,
                purpose=purpose,
                type=type,
                rho=rho,
                contributions=contributions,
                field=field,
                bounds=None if low_high is None else (low_high[0], low_high[1]),
                keys=None if keys is None else [_key(text.strip(), key_type) for text in keys.split(",")],
                edges=_points(edges),
                candidates=_points(candidates),
                rank=rank,
                decimals=decimals,
                clamp=clamp,
            )
        show(as_json, found, lambda: _render(found))


@app.command("budgets")
def list_budgets(
    questions: Annotated[str | None, typer.Option(metavar="TYPE", help="Every question asked of this type.")] = None,
    as_json: Json = False,
) -> None:
    """What may be told of each record type, what has been spent, and by whom; or the ledger of one."""
    with reporting(as_json):
        if questions is not None:
            with working() as work:
                asked = budgets.ledger(work, questions)
            show(as_json, {"items": asked}, lambda: _render_ledger(asked))
            return
        with working() as work:
            found = budgets.standings(work)
        show(as_json, {"items": found}, lambda: _render_budgets(found))


def _points(text: str | None) -> list[int | float | str] | None:
    """Numbers where they are ones, else dates or instants as they are written."""
    return None if text is None else [_point(part.strip()) for part in text.split(",")]


def _point(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _key(text: str, kind: Kind) -> str | int | bool:
    match kind:
        case Kind.TEXT:
            return text
        case Kind.BOOLEAN:
            if text not in ("true", "false"):
                raise typer.BadParameter("a boolean key is true or false")
            return text == "true"
        case Kind.INTEGER:
            try:
                return int(text)
            except ValueError:
                raise typer.BadParameter("an integer key is a whole number") from None


def _render(found: Told) -> None:
    percent = f"{found.confidence:.0%}"
    if found.interval is not None:
        low, high = found.interval
        say(f"[bold]{escape(str(found.value))}[/bold]  {percent}: {escape(str(low))} … {escape(str(high))}")
    else:
        made = table("Cell 单元", "Value 值", f"{percent}")
        for cell in found.cells:
            made.add_row(escape(_label(cell)), str(cell.value), f"{cell.interval[0]} … {cell.interval[1]}")
        console().print(made)
    again = "  (asked before: nothing spent 同一问题，未再消耗)" if found.repeated else ""
    say(f"[dim]rho {found.rho:g}, epsilon {found.epsilon:.3g} at delta {found.delta:g}{again}[/dim]")


def _label(cell: Cell) -> str:
    if cell.lower is not None:
        return f"{cell.lower} … <{cell.upper}"
    return "the rest 其余" if cell.key is None else str(cell.key)


def _render_budgets(found: list[budgets.Standing]) -> None:
    made = table(
        "Records 记录类型", "Analyst 分析者", "Cap 上限", "Spent 已用", "Left 剩余", "Epsilon", "Answered 已答",
        "Unanswered 未答", "Refused 拒绝",
    )  # fmt: skip
    for one in found:
        who = "all together 合计" if one.analyst == budgets.ALL else one.analyst
        numbers = (f"{one.cap:g}", f"{one.spent:g}", f"{one.left:g}", f"{one.epsilon:.3g}")
        counts = (str(one.answered), str(one.unanswered), str(one.refused))
        made.add_row(escape(one.lineage), escape(who), *numbers, *counts)
    console().print(made)
    if not found:
        say("[dim]No record type has a budget 没有记录类型声明隐私预算[/dim]")


def _render_ledger(found: list[budgets.Kept]) -> None:
    made = table("Asked (UTC) 时间", "Analyst 分析者", "Question 问题", "Field 字段", "rho", "State 状态")
    for one in found:
        state = one.state if one.reason is None else f"{one.state} ({one.reason})"
        what = (str(one.question.get("statistic", "")), str(one.question.get("field", "")))
        made.add_row(moment(one.at), escape(one.analyst), *map(escape, what), f"{one.rho:g}", state)
    console().print(made)
