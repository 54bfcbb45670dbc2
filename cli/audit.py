"""`privacy audit`: who did what with whose data, for what purpose, and what was refused."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import typer
from rich.markup import escape

from cli.terminal import Json, console, instant, moment, reporting, say, show, table, working
from privacy import audit
from privacy.audit import Event

app = typer.Typer(no_args_is_help=True, help="The audit log.")
_COLOURS = {"refused": "red", "disclosed": "yellow", "compared": "cyan"}


@app.command()
def events(
    subject: Annotated[UUID | None, typer.Option(help="About this data subject.")] = None,
    actor: Annotated[str | None, typer.Option(help="By this principal.")] = None,
    purpose: Annotated[str | None, typer.Option(help="For this purpose.")] = None,
    action: Annotated[str | None, typer.Option(help="Of this kind, like record.read.")] = None,
    outcome: Annotated[str | None, typer.Option(help="done, disclosed, refused or compared.")] = None,
    since: Annotated[
        datetime | None, typer.Option(parser=instant, metavar="TIME", help="From then on, ISO 8601, UTC.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(parser=instant, metavar="TIME", help="Before then, ISO 8601, UTC.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=audit.MOST, help="At most so many, the newest.")] = 50,
    as_json: Json = False,
) -> None:
    """The newest events that match every option given. Looking is itself an event."""
    with reporting(as_json):
        with working() as work:
            page = audit.events(
                work,
                subject=subject,
                actor=actor,
                purpose=purpose,
                action=action,
                outcome=outcome,
                since=since,
                until=until,
                limit=limit,
            )

        def render() -> None:
            made = table("At (UTC)", "Actor", "Action", "Outcome", "Purpose", "Subject", "Fields", "Detail")
            for event in page.items:
                colour = _COLOURS.get(event.outcome, "green")
                made.add_row(
                    moment(event.at),
                    escape(event.actor),
                    event.action,
                    f"[{colour}]{event.outcome}[/{colour}]",
                    escape(event.purpose or ""),
                    str(event.subject or ""),
                    ", ".join(event.fields),
                    escape(_detail(event)),
                )
            console().print(made)
            if page.before is not None:
                say("[dim]There are older ones: --limit or --until[/dim]")

        show(
            as_json,
            {"items": [_json(event) for event in page.items], "more": page.before is not None},
            render,
        )


def _detail(event: Event) -> str:
    """The detail in one short line: `type=member masked=phone`."""
    parts = []
    for name, value in (event.detail or {}).items():
        parts.append(f"{name}={','.join(map(str, value)) if isinstance(value, list) else value}")
    return " ".join(parts)


def _json(event: Event) -> dict[str, object]:
    return {
        "id": event.id,
        "at": event.at,
        "actor": event.actor,
        "role": event.role,
        "action": event.action,
        "outcome": event.outcome,
        "subject": event.subject,
        "record": event.record,
        "purpose": event.purpose,
        "basis": event.basis,
        "fields": event.fields,
        "detail": event.detail,
        "request_id": event.request_id,
    }
