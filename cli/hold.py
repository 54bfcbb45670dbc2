"""`privacy hold`: legal holds, placed and lifted by hand."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import typer
from rich.markup import escape

from cli.terminal import Json, console, instant, moment, names, reporting, say, show, table, working
from privacy import holds
from privacy.holds import Hold, Kind, Query

app = typer.Typer(no_args_is_help=True, help="Legal holds: what may not go while one stands.")

Id = Annotated[UUID, typer.Argument(metavar="HOLD", help="The hold's id.", show_default=False)]


@app.command()
def place(
    reference: Annotated[str, typer.Option(help="The case: a court's number, a file.", show_default=False)],
    reason: Annotated[str, typer.Option(help="Why.", show_default=False)],
    review: Annotated[
        datetime, typer.Option(parser=instant, metavar="DATE", help="When to look at it again.", show_default=False)
    ],
    subject: Annotated[UUID | None, typer.Option(help="On all of this subject's data.")] = None,
    type: Annotated[str | None, typer.Option(help="On all records of this type.")] = None,
    types: Annotated[str | None, typer.Option(metavar="A,B", help="Query: records of these types,")] = None,
    purposes: Annotated[str | None, typer.Option(metavar="A,B", help="held for one of these purposes,")] = None,
    jurisdictions: Annotated[str | None, typer.Option(metavar="CN,DE", help="of subjects there,")] = None,
    stored_from: Annotated[
        datetime | None, typer.Option("--from", parser=instant, metavar="DATE", help="stored then or later,")
    ] = None,
    stored_until: Annotated[
        datetime | None, typer.Option("--until", parser=instant, metavar="DATE", help="and before then.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Place a hold on a subject (--subject), a record type (--type), or what a query names (all the others)."""
    query = Query(tuple(names(types)), tuple(names(purposes)), tuple(names(jurisdictions)), stored_from, stored_until)
    chosen = [kind for kind, given in ((Kind.SUBJECT, subject), (Kind.TYPE, type)) if given is not None]
    if query != Query():
        chosen.append(Kind.QUERY)
    if len(chosen) != 1:
        raise typer.BadParameter("one of --subject, --type or a query is needed")
    with reporting(as_json):
        with working() as work:
            done = holds.place(
                work,
                kind=chosen[0],
                subject_id=subject,
                record_type=type,
                query=query if chosen == [Kind.QUERY] else None,
                reference=reference,
                reason=reason,
                review_at=review,
            )
        show(as_json, done, lambda: say(f"[green]Held[/green]  {done.id}  {escape(_what(done))}"))


@app.command()
def lift(
    hold: Id,
    reason: Annotated[str, typer.Option(help="Why it is lifted.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Lift a hold: what it kept goes in its time again."""
    with reporting(as_json):
        with working() as work:
            done = holds.lift(work, hold, reason)
        show(as_json, done, lambda: say(f"Lifted  {done.id}  {escape(_what(done))}"))


@app.command("list")
def list_holds(
    all: Annotated[bool, typer.Option("--all", help="Those that were lifted as well.")] = False, as_json: Json = False
) -> None:
    """The holds that stand, the oldest first."""
    with reporting(as_json):
        with working() as work:
            found = holds.listed(work, all=all)

        def render() -> None:
            made = table("Hold", "On", "Reference", "Placed (UTC)", "By", "Review (UTC)", "Lifted (UTC)")
            for one in found:
                made.add_row(
                    str(one.id),
                    escape(_what(one)),
                    escape(one.reference),
                    moment(one.placed_at),
                    escape(one.placed_by),
                    moment(one.review_at),
                    moment(one.lifted_at),
                )
            console().print(made)
            if not found:
                say("[dim]No hold stands[/dim]")

        show(as_json, {"items": found}, render)


def _what(hold: Hold) -> str:
    if hold.query is None:
        return f"subject {hold.subject_id}" if hold.subject_id else f"type {hold.record_type}"
    query = hold.query
    said = [",".join(one) for one in (query.types, query.purposes, query.jurisdictions) if one]
    said += [f"from {query.stored_from:%Y-%m-%d}"] if query.stored_from else []
    said += [f"until {query.stored_until:%Y-%m-%d}"] if query.stored_until else []
    return "query " + " ".join(said)
