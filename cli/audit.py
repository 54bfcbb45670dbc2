"""`privacy audit`: who did what with whose data, for what purpose, and what was refused; and exports of that."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.markup import escape

from cli import watching
from cli.evidence import verify, vkey
from cli.terminal import Json, console, instant, moment, reporting, say, secret_line, service, show, table
from privacy import audit, audit_export
from privacy.audit import By, Event, Filters
from privacy.audit_export import Form, Kind
from privacy.errors import Invalid, Unavailable
from privacy.steward import Steward

app = typer.Typer(no_args_is_help=True, help="The audit log.")
app.command()(verify)
app.command()(vkey)
for command in (watching.alerts, watching.honeytoken, watching.review, watching.reconcile, watching.prune):
    app.command()(command)
_COLOURS = {"refused": "red", "disclosed": "yellow", "compared": "cyan"}

Subject = Annotated[UUID | None, typer.Option(help="About this data subject.")]
Actor = Annotated[str | None, typer.Option(help="By this principal.")]
Role = Annotated[str | None, typer.Option(help="By principals of this role.")]
Type = Annotated[str | None, typer.Option(help="About records of this type.")]
Field = Annotated[str | None, typer.Option(help="That name this field.")]
Purpose = Annotated[str | None, typer.Option(help="For this purpose.")]
Basis = Annotated[str | None, typer.Option(help="On this lawful basis.")]
Action = Annotated[str | None, typer.Option(help="Of this kind, like record.read.")]
Outcome = Annotated[str | None, typer.Option(help="done, disclosed, refused or compared.")]
Since = Annotated[datetime | None, typer.Option(parser=instant, metavar="TIME", help="From then on, ISO 8601, UTC.")]
Until = Annotated[datetime | None, typer.Option(parser=instant, metavar="TIME", help="Before then, ISO 8601, UTC.")]
Request = Annotated[str | None, typer.Option("--request", help="Of this request id.")]
KeyId = Annotated[str | None, typer.Option(help="With this key: the first 16 digits of its SHA-256.")]
Address = Annotated[bool, typer.Option("--address", help="From the address that you are then asked for.")]


@app.command()
def events(
    subject: Subject = None,
    actor: Actor = None,
    role: Role = None,
    type: Type = None,
    field: Field = None,
    purpose: Purpose = None,
    basis: Basis = None,
    action: Action = None,
    outcome: Outcome = None,
    since: Since = None,
    until: Until = None,
    request: Request = None,
    key_id: KeyId = None,
    address: Address = False,
    limit: Annotated[int, typer.Option(min=1, max=audit.MOST, help="At most so many, the newest.")] = 50,
    as_json: Json = False,
) -> None:
    """The newest events that match every option given. Looking is itself an event."""
    with reporting(as_json):
        filters = Filters(
            subject, actor, role, type, field, purpose, basis, action, outcome, since, until, request, key_id
        )
        with service() as steward:
            page = audit.events(steward.begin, _from(steward, filters, address), limit=limit)

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

        show(as_json, {"items": page.items, "more": page.before is not None}, render)


@app.command()
def counts(
    by: Annotated[By, typer.Argument(help="What to count by.")],
    subject: Subject = None,
    actor: Actor = None,
    role: Role = None,
    type: Type = None,
    field: Field = None,
    purpose: Purpose = None,
    basis: Basis = None,
    action: Action = None,
    outcome: Outcome = None,
    since: Since = None,
    until: Until = None,
    request: Request = None,
    key_id: KeyId = None,
    address: Address = False,
    as_json: Json = False,
) -> None:
    """How many events match: by hour or day the newest first, by name the most frequent first."""
    with reporting(as_json):
        filters = Filters(
            subject, actor, role, type, field, purpose, basis, action, outcome, since, until, request, key_id
        )
        with service() as steward:
            found = audit.counts(steward.begin, _from(steward, filters, address), by=by)

        def render() -> None:
            made = table(by.value.capitalize(), "Events")
            for one in found:
                made.add_row(escape(one.key or "(none)"), str(one.count))
            console().print(made)

        show(as_json, {"items": found}, render)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The zip to write; it must not exist.")],
    kind: Annotated[Kind, typer.Option(help="The whole log, or the selection that the other options make.")] = "log",
    form: Annotated[Form | None, typer.Option(help="How the events are written besides.")] = None,
    subject: Subject = None,
    actor: Actor = None,
    role: Role = None,
    type: Type = None,
    field: Field = None,
    purpose: Purpose = None,
    basis: Basis = None,
    action: Action = None,
    outcome: Outcome = None,
    since: Since = None,
    until: Until = None,
    request: Request = None,
    key_id: KeyId = None,
    address: Address = False,
    as_json: Json = False,
) -> None:
    """Write the log with its proofs to a zip, for `privacy audit verify`. The export is itself an event."""
    with reporting(as_json):
        filters = Filters(
            subject, actor, role, type, field, purpose, basis, action, outcome, since, until, request, key_id
        )
        with service() as steward:
            _write(steward, file, _from(steward, filters, address), kind, form)
            key = steward.keyring.signer.vkey
        size = file.stat().st_size

        def render() -> None:
            say(f"{escape(str(file))}: {size:,} bytes")
            say(f"[dim]privacy audit verify {escape(str(file))} --key '{escape(key)}'[/dim]")

        show(as_json, {"file": file, "bytes": size, "vkey": key}, render)


def _write(steward: Steward, file: Path, filters: Filters, kind: Kind, form: Form | None) -> None:
    """All of it, or no file."""
    try:
        out = file.open("xb")
    except FileExistsError:
        raise Invalid("The file exists already") from None
    except OSError as error:
        raise Unavailable(f"The file cannot be written ({error.strerror})") from None
    try:
        with out:
            out.writelines(audit_export.export(steward.begin, filters, kind=kind, form=form))
    except BaseException as error:
        with suppress(OSError):
            file.unlink()
        if isinstance(error, OSError):
            raise Unavailable(f"The file cannot be written ({error.strerror})") from None
        raise


def _from(steward: Steward, filters: Filters, address: bool) -> Filters:
    """An address is personal: it is asked for, and never on the command line, which the shell keeps."""
    return audit.at_address(steward, filters, secret_line("Address")) if address else filters


def _detail(event: Event) -> str:
    """The detail in one short line: `type=member masked=phone`."""
    parts = []
    for name, value in (event.detail or {}).items():
        parts.append(f"{name}={','.join(map(str, value)) if isinstance(value, list) else value}")
    return " ".join(parts)
