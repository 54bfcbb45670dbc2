"""`privacy audit exposure`: what a leaked key, a component or an address has seen."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from cli.terminal import Json, console, instant, moment, reporting, say, secret_line, service, show, table
from privacy import exposure
from privacy.errors import Unavailable
from privacy.exposure import Exposed, Exposure, FieldSeen, Form, Question


def ask(
    principal: Annotated[str | None, typer.Option(help="By this principal, whichever key it used.")] = None,
    key_id: Annotated[str | None, typer.Option(help="With this key: the first 16 digits of its SHA-256.")] = None,
    key: Annotated[bool, typer.Option("--key", help="With the key that you are then asked for.")] = False,
    address: Annotated[bool, typer.Option("--address", help="From the address that you are then asked for.")] = False,
    since: Annotated[
        datetime | None, typer.Option(parser=instant, metavar="TIME", help="From then on, ISO 8601, UTC.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(parser=instant, metavar="TIME", help="Before then, ISO 8601, UTC.")
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--list", help="Write every subject to this file, .csv or .ndjson: the list for a breach notice."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=exposure.MOST, help="Show at most so many subjects.")] = 20,
    as_json: Json = False,
) -> None:
    """Whose data was disclosed: which fields, how often, first and last. Asking is itself an event."""
    form = _form(to)
    question = Question(
        principal=principal,
        key_id=key_id,
        # Arguments are seen by every process of the machine.
        key=secret_line("API key") if key else None,
        address=secret_line("Address") if address else None,
        since=since,
        until=until,
    )
    with reporting(as_json), service() as found:
        if to is not None and form is not None:
            count = _write(to, form, exposure.every(found.begin, question))
            show(as_json, {"file": to, "subjects": count}, lambda: say(f"{escape(str(to))}: {count:,} subjects"))
            return
        answer = exposure.ask(found.begin, question, limit=limit)
        show(as_json, answer, lambda: _render(answer))


def _write(to: Path, form: Form, found: Iterator[Exposed]) -> int:
    """The whole list or no file; readable by its owner alone. How many subjects are in it."""
    count = 0

    def counted() -> Iterator[Exposed]:
        nonlocal count
        for count, one in enumerate(found, start=1):  # noqa: B007 - the last number is what is asked for
            yield one

    part = to.with_name(f"{to.name}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.writelines(exposure.listed(counted(), form))
        part.replace(to)
    except OSError as error:
        raise Unavailable(f"The list cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
    return count


def _form(to: Path | None) -> Form | None:
    match to.suffix if to is not None else None:
        case None:
            return None
        case ".csv":
            return "csv"
        case ".ndjson":
            return "ndjson"
    raise typer.BadParameter("the list is a .csv or an .ndjson file")


def _render(answer: Exposure) -> None:
    totals = answer.totals
    if totals is None or not totals.disclosures:
        say(f"Nothing was disclosed in {answer.events:,} events")
    else:
        say(
            f"[bold]{totals.subjects:,} data subjects[/bold], {totals.disclosures:,} disclosures "
            f"from {moment(totals.first)} to {moment(totals.last)} (UTC)"
        )
        say(
            f"Purposes: {escape(', '.join(totals.purposes))}. Recipients: {escape(', '.join(totals.recipients)) or '-'}"
        )
        fields = table("Field", "Subjects", "Times", "Through a mask", "First (UTC)", "Last (UTC)")
        for seen in totals.fields:
            times = (f"{seen.subjects:,}", f"{seen.times:,}", f"{seen.masked:,}")
            fields.add_row(_name(seen), *times, moment(seen.first), moment(seen.last))
        console().print(fields)
        subjects = table("Subject", "Disclosures", "First (UTC)", "Last (UTC)", "Fields")
        for one in answer.items:
            names = ", ".join(_name(seen) for seen in one.fields)
            subjects.add_row(str(one.subject), f"{one.disclosures:,}", moment(one.first), moment(one.last), names)
        console().print(subjects)
        if answer.next_cursor is not None:
            say("[dim]There are more: --limit, or --list FILE for all of them[/dim]")
    if answer.archived:
        say(f"[yellow]{answer.archived:,} events were let go before and are not in this answer[/yellow]")
    if answer.missing:
        say(f"[red]{answer.missing:,} events should be in the log and are not: verify it[/red]")


def _name(seen: FieldSeen) -> str:
    return escape(f"{seen.type}.{seen.field}" if seen.type else seen.field)
