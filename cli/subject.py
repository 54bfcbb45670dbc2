"""`privacy subject`: what a component may do with a data subject, by hand, over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import Annotated

import typer
from rich.markup import escape

from cli import standing
from cli.remote import calling
from cli.terminal import Json, console, moment, names, reporting, say, secret_line, show, table
from privacy.client import Decision, Record, Withheld
from privacy.errors import Invalid

app = typer.Typer(
    no_args_is_help=True,
    help="Data subjects, as a component sees them: over HTTP, at PRIVACY_URL, with the key in PRIVACY_KEY. "
    "An administrator's key reads no personal data.",
)


class Language(StrEnum):
    ZH = "zh"
    EN = "en"


Id = Annotated[str, typer.Argument(metavar="SUBJECT", help="The subject's id.")]
Purpose = Annotated[str, typer.Option(help="What it is asked for.")]
Type = Annotated[str, typer.Option("--type", help="The record type.")]
Recipient = Annotated[
    str | None, typer.Option(metavar="NAME", help="The declared recipient that it would be provided to.")
]


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
    born: Annotated[
        bool,
        typer.Option(
            "--born", help="Ask for the birth date, YYYY-MM-DD, or read it from the next line of standard input."
        ),
    ] = False,
    guardian: Annotated[str | None, typer.Option(metavar="ID", help="Of a child: the guardian's own subject.")] = None,
    as_json: Json = False,
) -> None:
    """A new data subject."""
    with reporting(as_json), calling() as privacy:
        known_as = secret_line("External id") if external_id else None
        birthday = _date(secret_line("Born")) if born else None
        made = privacy.create_subject(external_id=known_as, jurisdiction=jurisdiction, born=birthday, guardian=guardian)
        show(as_json, {"id": made.id, "jurisdiction": made.jurisdiction}, lambda: say(made.id))


@app.command("show")
def show_subject(subject: Id, as_json: Json = False) -> None:
    """What may be said of a subject without a purpose: nothing personal."""
    with reporting(as_json), calling() as privacy:
        found = privacy.subject(subject)
        paused = f", restricted since {moment(found.restricted_at)} UTC" if found.restricted_at else ""
        show(
            as_json,
            {"id": found.id, "jurisdiction": found.jurisdiction, "restricted_at": found.restricted_at},
            lambda: say(f"{found.id}, under the law of {escape(found.jurisdiction or 'no known place')}{paused}"),
        )


@app.command()
def read(
    subject: Id,
    purpose: Purpose,
    record_type: Annotated[str | None, typer.Option("--type", help="Of this record type only.")] = None,
    fields: Annotated[str | None, typer.Option(help="These fields only, separated by commas.", metavar="NAMES")] = None,
    recipient: Recipient = None,
    as_json: Json = False,
) -> None:
    """What a purpose may have of a subject's records. Each is a disclosure, and logged."""
    with reporting(as_json), calling() as privacy:
        wanted = names(fields) or None
        found = list(privacy.records(subject, purpose=purpose, type=record_type, fields=wanted, recipient=recipient))

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
    with reporting(as_json), calling() as privacy:
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
def decision(
    subject: Id,
    purpose: Purpose,
    record_type: Type,
    recipient: Recipient = None,
    language: Annotated[Language, typer.Option(help="The language of the sentences.")] = Language.EN,
    as_json: Json = False,
) -> None:
    """What a purpose would be given of a subject, and in a sentence why not the rest. Discloses nothing."""
    with reporting(as_json), calling() as privacy:
        found = privacy.decision(
            subject, purpose=purpose, type=record_type, recipient=recipient, language=language.value
        )
        show(as_json, _decision_json(found), lambda: _render_decision(found))


app.command("object")(standing.object_to)
app.command("restrict")(standing.restrict)
app.command("lift")(standing.lift)
app.command("standing")(standing.show_standing)


def _render_decision(found: Decision) -> None:
    if found.refusal is not None:
        say(f"[red]Nothing[/red]: {escape(found.refusal.detail)} [dim]({found.refusal.code})[/dim]")
    for name, mask in found.fields.items():
        say(f"[green]✓[/green] {escape(name)}{f' through the mask {mask}' if mask else ''}")
    for why in dict.fromkeys(found.withheld.values()):
        fields = ", ".join(name for name, reason in found.withheld.items() if reason == why)
        said = escape(why.why or ", ".join(why.law))
        say(f"[red]✗[/red] {escape(fields)}: {said} [dim]({why.code})[/dim]")
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
        "refusal": found.refusal,
    }


def _all_why(withheld: Mapping[str, Withheld]) -> dict[str, object]:
    return {
        name: {"code": why.code, "law": why.law} | ({"why": why.why} if why.why else {})
        for name, why in withheld.items()
    }


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise Invalid("The birth date is a date, like 2014-05-01") from None
