"""`privacy subject`: what a component may do with a data subject, by hand.

These commands go through the service at PRIVACY_URL with the API key in PRIVACY_KEY: whoever sits at this
terminal is an administrator, and administrators read no personal data.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.markup import escape

from cli.deployment import address
from cli.terminal import Json, console, names, reporting, say, secret_line, show, table
from privacy.client import Decision, PrivacyClient, Record, Withheld
from privacy.errors import Unauthenticated
from privacy.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    help="Data subjects, as a component sees them: over HTTP, at PRIVACY_URL, with the key in PRIVACY_KEY. "
    "An administrator's key reads no personal data.",
)
Id = Annotated[str, typer.Argument(metavar="SUBJECT", help="The subject's id.")]
Purpose = Annotated[str, typer.Option(help="What it is asked for.")]
Type = Annotated[str, typer.Option("--type", help="The record type.")]


@app.command()
def create(
    jurisdiction: Annotated[str, typer.Option(help="Whose law covers the subject.")] = "CN",
    external_id: Annotated[
        bool,
        typer.Option(
            "--external-id",
            help="Ask for the id that the component knows it by, or read it from standard input.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """A new data subject."""
    with reporting(as_json), _client() as privacy:
        known_as = secret_line("External id") if external_id else None
        made = privacy.create_subject(external_id=known_as, jurisdiction=jurisdiction)
        show(as_json, {"id": made.id, "jurisdiction": made.jurisdiction}, lambda: say(made.id))


@app.command("show")
def show_subject(subject: Id, as_json: Json = False) -> None:
    """What may be said of a subject without a purpose: nothing personal."""
    with reporting(as_json), _client() as privacy:
        found = privacy.subject(subject)
        show(
            as_json,
            {"id": found.id, "jurisdiction": found.jurisdiction},
            lambda: say(f"{found.id}, under the law of {escape(found.jurisdiction or 'no known place')}"),
        )


@app.command()
def read(
    subject: Id,
    purpose: Purpose,
    record_type: Annotated[str | None, typer.Option("--type", help="Of this record type only.")] = None,
    fields: Annotated[str | None, typer.Option(help="These fields only, separated by commas.", metavar="NAMES")] = None,
    as_json: Json = False,
) -> None:
    """What a purpose may have of a subject's records. Each is a disclosure, and logged."""
    with reporting(as_json), _client() as privacy:
        found = list(privacy.records(subject, purpose=purpose, type=record_type, fields=names(fields) or None))

        def render() -> None:
            made = table("Record", "Type", "Field", "Value")
            for record in found:
                for name, value in record.data.items():
                    made.add_row(record.id, escape(record.type), escape(name), escape(str(value)))
                for name, why in record.withheld.items():
                    made.add_row(record.id, escape(record.type), escape(name), f"[dim]withheld: {_why(why)}[/dim]")
            console().print(made)

        show(as_json, {"items": [_json(record) for record in found]}, render)


@app.command()
def search(
    record_type: Type,
    field: Annotated[str, typer.Option(help="The field.")],
    purpose: Purpose,
    as_json: Json = False,
) -> None:
    """Who has this value in a field, in any spelling. The value is asked for, or read from standard input."""
    with reporting(as_json), _client() as privacy:
        hits = privacy.search(type=record_type, field=field, value=secret_line("Value"), purpose=purpose)

        def render() -> None:
            for hit in hits:
                say(f"{hit.subject_id} {hit.record_id or ''}".rstrip())

        show(
            as_json,
            {"items": [{"subject_id": hit.subject_id, "record_id": hit.record_id} for hit in hits]},
            render,
        )


@app.command()
def decision(subject: Id, purpose: Purpose, record_type: Type, as_json: Json = False) -> None:
    """What a purpose would be given of a subject, and why not the rest. Discloses nothing."""
    with reporting(as_json), _client() as privacy:
        found = privacy.decision(subject, purpose=purpose, type=record_type)
        show(as_json, _decision_json(found), lambda: _render_decision(found))


@contextmanager
def _client() -> Iterator[PrivacyClient]:
    key = os.environ.get("PRIVACY_KEY")
    if not key:
        raise Unauthenticated("Put a component's API key into PRIVACY_KEY: `privacy principal add` makes one")
    with PrivacyClient(os.environ.get("PRIVACY_URL") or address(Settings.from_environment()), key) as privacy:
        yield privacy


def _render_decision(found: Decision) -> None:
    if found.refusal is not None:
        say(f"[red]Nothing[/red]: {_why(found.refusal)}")
    for name, mask in found.fields.items():
        say(f"[green]✓[/green] {escape(name)}{f' through the mask {mask}' if mask else ''}")
    for name, why in found.withheld.items():
        say(f"[red]✗[/red] {escape(name)}: {_why(why)}")
    say(f"[dim]{escape(found.purpose)} rests on {found.basis}: {', '.join(found.law)}[/dim]")


def _why(why: Withheld) -> str:
    return f"{why.code} ({', '.join(why.law)})" if why.law else why.code


def _json(record: Record) -> dict[str, object]:
    return {
        "id": record.id,
        "type": record.type,
        "version": record.version,
        "data": record.data,
        "withheld": _all_why(record.withheld),
    }


def _decision_json(found: Decision) -> dict[str, object]:
    return {
        "purpose": found.purpose,
        "type": found.type,
        "basis": found.basis,
        "law": found.law,
        "fields": found.fields,
        "withheld": _all_why(found.withheld),
        "refusal": None if found.refusal is None else {"code": found.refusal.code, "law": found.refusal.law},
    }


def _all_why(withheld: Mapping[str, Withheld]) -> dict[str, object]:
    return {name: {"code": why.code, "law": why.law} for name, why in withheld.items()}
