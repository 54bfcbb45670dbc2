"""`privacy manifest`: suggest, check, plan, apply and look at the declaration, as with any infrastructure as code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.markup import escape
from rich.syntax import Syntax

from cli.deployment import read
from cli.suggest import suggest
from cli.terminal import Json, console, moment, placed, reporting, say, service, show, table, working
from privacy import audit, declaration, notices
from privacy.declaration import Proposal
from privacy.errors import Unavailable
from privacy.manifest import Change, Demand, Manifest, Problem, parse

app = typer.Typer(no_args_is_help=True, help="The organisation's declaration: draft, check, plan, apply, look at it.")
File = Annotated[Path, typer.Argument(help="The manifest, YAML.", metavar="FILE")]

app.command()(suggest)

_MARKS: Final = {"added": ("+", "green"), "changed": ("~", "yellow"), "removed": ("-", "red")}


@app.command()
def check(file: File, as_json: Json = False) -> None:
    """Look for faults, all of them, each with its place. Needs no service."""
    with reporting(as_json):
        checked = parse(read(file), str(file))
        show(
            as_json,
            {
                "ok": True,
                "records": sorted(checked.records),
                "purposes": sorted(checked.purposes),
                "warnings": checked.warnings,
            },
            lambda: _render_checked(file, len(checked.records), len(checked.purposes), checked.warnings),
        )


@app.command()
def plan(file: File, as_json: Json = False) -> None:
    """What `apply` would change, and how many stored rows stand in the way. Changes nothing."""
    with reporting(as_json):
        wanted = parse(read(file), str(file))
        with working() as work:
            proposal = declaration.plan(work, wanted)
        show(as_json, _json_proposal(proposal), lambda: _render_proposal(proposal))
        if proposal.orphans:
            raise typer.Exit(1)


@app.command()
def apply(
    file: File,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, even when consents become stale.")] = False,
    as_json: Json = False,
) -> None:
    """Put the manifest in force, from the next request on, on every replica.

    A change that is material makes consents stale: it says whose and asks first (PIPL 14). A generated notice
    follows the manifest; one that people write must be published by them.
    """
    with reporting(as_json):
        wanted = parse(read(file), str(file))
        if not (yes or as_json):
            _ask_about_stale(wanted)
        with working() as work:
            proposal = declaration.apply(work, wanted)
            notice = notices.follow(work, wanted, proposal.version)

        def render() -> None:
            if not proposal.changes:
                say(f"[green]✓[/green] Version {proposal.version} is in force; nothing has changed")
                return
            _render_proposal(proposal)
            say(f"[green]✓[/green] Version {proposal.version} is in force")
            if notice is not None:
                say(f"[green]✓[/green] Notice {notice.version}, generated from it, is published")

        show(as_json, _json_proposal(proposal), render)


@app.command("show")
def show_manifest(as_json: Json = False) -> None:
    """The manifest in force, as it was applied."""
    with reporting(as_json):
        with service() as steward:
            declared = steward.declared
        if declared is None:
            raise Unavailable("No manifest is in force: run `privacy manifest apply FILE`")
        source = declared.manifest.source

        def render() -> None:
            screen = console()
            if screen.is_terminal:
                screen.print(f"[dim]# version {declared.version}[/dim]")
                screen.print(Syntax(source, "yaml", background_color="default"))
            else:  # for a file or a diff: as it was applied, to the byte
                screen.out(source, end="", highlight=False)

        show(as_json, {"version": declared.version, "source": source}, render)


@app.command()
def history(as_json: Json = False) -> None:
    """Who applied what, the newest first, as the audit log has it."""
    with reporting(as_json):
        with service() as found:
            wanted = audit.Filters(action="manifest.applied", outcome="done")
            applied = audit.events(found.begin, wanted, limit=audit.MOST).items
        listed = [
            {
                "version": event.detail["version"],
                "at": event.at,
                "by": event.actor,
                "changes": event.detail["changes"],
            }
            for event in applied
        ]

        def render() -> None:
            made = table("Version", "At (UTC)", "By", "Changes")
            for event in applied:
                changes = ", ".join(event.detail["changes"])
                made.add_row(str(event.detail["version"]), moment(event.at), escape(event.actor), escape(changes))
            console().print(made)

        show(as_json, {"items": listed}, render)


def _ask_about_stale(wanted: Manifest) -> None:
    """Go on, unless consents would become stale and nobody agrees to that."""
    with service() as steward:
        if steward.declared is None:
            return
        with steward.begin() as work:
            planned = notices.propose(work, notices.draft(wanted, "next"), manifest=wanted).purposes
    stale = [one for one in planned if one.stale]
    if not stale:
        return
    for one in stale:
        what = ", ".join(dict.fromkeys(change.what for change in one.changes if change.is_broader))
        say(f"[yellow]![/yellow] {escape(one.purpose)}: a material change ({what}) makes {one.stale} consents stale")
    if not sys.stdin.isatty():
        raise typer.BadParameter("consents would become stale: agree with --yes", param_hint="--yes")
    typer.confirm("Apply it, and ask these people again?", abort=True)


def _render_checked(file: Path, types: int, purposes: int, warnings: Sequence[Problem]) -> None:
    for one in warnings:
        say(placed(one, "yellow"), to_stderr=True)
    say(f"[green]✓[/green] {escape(str(file))} is valid: {types} record types, {purposes} purposes")


def _json_proposal(proposal: Proposal) -> dict[str, object]:
    return {
        "version": proposal.version,
        "changes": proposal.changes,
        "orphans": [
            {"type": demand.record_type, "field": demand.field, "purpose": demand.purpose, "rows": rows}
            for demand, rows in proposal.orphans
        ],
    }


def _render_proposal(proposal: Proposal) -> None:
    if not proposal.changes:
        say("No changes: this manifest is in force")
    for change in proposal.changes:
        mark, colour = _MARKS[change.kind]
        say(f"[{colour}]{mark} {escape(change.path)}[/{colour}]{_difference(change)}")
        if change.effect:
            say(
                f"    [bold]{escape(change.effect)}[/bold]"
                if change.material
                else f"    [dim]{escape(change.effect)}[/dim]"
            )
    for demand, rows in proposal.orphans:
        say(f"[red]✗ {_named(demand)}: {rows} stored rows would be left without class, purpose or period[/red]")


def _difference(change: Change) -> str:
    match change.before, change.after:
        case str(before), str(after):
            return f": {escape(before)} → {escape(after)}"
        case (str(one), None) | (None, str(one)):
            return f": {escape(one)}"
    return ""


def _named(demand: Demand) -> str:
    parts = {"type": demand.record_type, "field": demand.field, "purpose": demand.purpose}
    return escape(" ".join(f"{name} {value}" for name, value in parts.items() if value is not None))
