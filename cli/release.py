"""`privacy release`: anonymised releases, asked for, looked at, approved and fetched."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.markup import escape

from cli.terminal import Json, console, instant, moment, names, reporting, say, service, show, table, working
from privacy.anonymisation import approval, releases
from privacy.anonymisation.policies import Policy, Recoding
from privacy.anonymisation.release_requests import LEAST_K, Kind, OfRecords, RecipientClass, Request, Tabulated
from privacy.anonymisation.releases import Release

app = typer.Typer(no_args_is_help=True, help="Anonymised releases: ask, look, approve by a second person, fetch.")

Id = Annotated[UUID, typer.Argument(metavar="RELEASE", help="The release's id.", show_default=False)]


@app.command()
def ask(
    purpose: Annotated[str, typer.Option(help="A purpose that is `only: anonymised`.", show_default=False)],
    type: Annotated[str, typer.Option(help="The record type.", show_default=False)],
    recipient: Annotated[str, typer.Option(help="Whom it is for.", show_default=False)],
    public: Annotated[bool, typer.Option("--public", help="For anybody, not for one controlled recipient.")] = False,
    fields: Annotated[str | None, typer.Option(metavar="A,B", help="Only these fields.")] = None,
    since: Annotated[
        datetime | None, typer.Option(parser=instant, metavar="DATE", help="Stored then or later.")
    ] = None,
    until: Annotated[datetime | None, typer.Option(parser=instant, metavar="DATE", help="Stored before then.")] = None,
    k: Annotated[int | None, typer.Option("-k", help="Persons in every class; 5, or 20 for the public.")] = None,
    suppression: Annotated[float, typer.Option(help="The share of rows that may be left out.")] = 0.05,
    max_loss: Annotated[float | None, typer.Option(help="The loss beyond which it is refused.")] = None,
    recoding: Annotated[Recoding | None, typer.Option(help="How values are generalised.")] = None,
    by: Annotated[str | None, typer.Option(metavar="A,B", help="Release counts by these columns, not rows.")] = None,
    as_json: Json = False,
) -> None:
    """Ask for a release of records. The job `releases` makes it and holds it against the gate."""
    recipient_class = RecipientClass.PUBLIC if public else RecipientClass.CONTROLLED
    request = Request(
        source=OfRecords(purpose, type, tuple(names(fields)) or None, since, until),
        recipient=recipient,
        recipient_class=recipient_class,
        policy=Policy(k or LEAST_K[recipient_class], suppression, (), recoding, max_loss),
        kind=Kind.MICRODATA if by is None else Kind.TABLE,
        table=None if by is None else Tabulated(tuple(names(by))),
    )
    with reporting(as_json):
        with working() as work:
            done = releases.ask(work, request)
        show(as_json, done, lambda: say(f"Asked  {done.id}  a job makes it; `privacy release show {done.id}`"))


@app.command("list")
def list_releases(
    due: Annotated[bool, typer.Option("--due", help="Only those that must be assessed again.")] = False,
    as_json: Json = False,
) -> None:
    """The newest first."""
    with reporting(as_json):
        with working() as work:
            found = releases.listed(work, due=due)

        def render() -> None:
            made = table("Release", "Of", "For", "State", "Asked (UTC)", "By", "Assess again (UTC)")
            for one in found:
                made.add_row(
                    str(one.id),
                    escape(f"{one.lineage} ({one.kind})"),
                    escape(f"{one.recipient} ({one.recipient_class})"),
                    _state(one),
                    moment(one.asked_at),
                    escape(one.asked_by),
                    moment(one.reassess_at),
                )
            console().print(made)
            if not found:
                say("[dim]No release[/dim]")

        show(as_json, {"items": found}, render)


@app.command("show")
def show_release(release: Id, as_json: Json = False) -> None:
    """One release with every check of its gate."""
    with reporting(as_json):
        with working() as work:
            found = releases.shown(work, release)

        def render() -> None:
            say(f"{found.id}  {escape(found.lineage)}  for {escape(found.recipient)}  {_state(found)}")
            made = table("", "Check", "Result")
            for check in found.checks:
                result = "[green]holds[/green]" if check["holds"] else f"[red]{escape(str(check['code']))}[/red]"
                made.add_row(str(check["number"]), escape(str(check["name"])), result)
            console().print(made)

        show(as_json, found, render)


@app.command()
def approve(release: Id, as_json: Json = False) -> None:
    """Approve what another person has asked for. What leads back to people is destroyed first."""
    with reporting(as_json):
        with service() as opened:
            done = approval.approve(opened.begin, release)
        show(as_json, done, lambda: say(f"[green]Anonymised[/green]  {done.id}  for {escape(done.recipient)}"))


@app.command()
def reject(release: Id, as_json: Json = False) -> None:
    """Say no. What was made is destroyed."""
    with reporting(as_json):
        with working() as work:
            done = releases.reject(work, release)
        show(as_json, done, lambda: say(f"Rejected  {done.id}"))


@app.command()
def data(
    release: Id,
    file: Annotated[Path, typer.Argument(help="Where to write it: .csv or .parquet.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Write the file of an anonymised release. Its giving is on record first; a file that is there is kept."""
    from privacy.anonymisation.files import atomically  # numpy, which no other of these commands needs

    with reporting(as_json):
        with atomically(file) as place:
            with working() as work:
                given = releases.data(work, release, "parquet" if file.suffix.lower() == ".parquet" else "csv")
            place.write_bytes(given.content)
        said = {"file": file.name, "bytes": len(given.content), "recipient": given.release.recipient}
        show(as_json, said, lambda: say(f"[green]Written[/green]  {escape(file.name)}  {len(given.content):,} bytes"))


def _state(one: Release) -> str:
    colour = {"anonymised": "green", "refused": "red", "stale": "red", "failed": "red"}.get(one.state, "yellow")
    return f"[{colour}]{one.state}[/{colour}]" + (f" ({escape(one.code)})" if one.code else "")
