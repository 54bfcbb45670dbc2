"""`privacy keys`: versions of keys, rotations, and the destruction of what was replaced."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from cli.terminal import Json, console, moment, reporting, say, secret_line, service, show, table, working
from privacy import confirmations, rotations
from privacy.confirmations import Confirmation
from privacy.rotations import Kind, Rotation
from privacy.steward import Steward

app = typer.Typer(no_args_is_help=True, help="Keys: their versions, their rotation, and the end of old ones.")
Named = Annotated[UUID, typer.Argument(help="The request's id.")]


@app.command()
def status(as_json: Json = False) -> None:
    """Every version of every key, what still refers to it, and what is under way."""
    with reporting(as_json):
        with working() as work:
            found = rotations.status(work)

        def render() -> None:
            made = table("Kind", "Version", "State", "Referred to by")
            for one in found.versions:
                made.add_row(
                    one.kind, str(one.version), one.state, "" if one.dependents is None else f"{one.dependents:,}"
                )
            console().print(made)
            say(f"{found.data_keys:,} data keys")
            for rotation in found.running:
                say(f"[yellow]{rotation.kind}[/yellow] {_progress(rotation)}")
            for asked in found.destructions:
                _say_asked(asked)

        show(as_json, found, render)


@app.command()
def rotate(
    kind: Annotated[Kind, typer.Argument(help="What becomes new.")],
    background: Annotated[bool, typer.Option("--background", help="Leave it to the job of the service.")] = False,
    as_json: Json = False,
) -> None:
    """Rotate keys while the service serves. Stopped at any instant, it goes on where it was."""
    with reporting(as_json):
        with service() as found:
            rotation = _started(found, kind)
            if not background:
                rotation = _driven(found, rotation, quiet=as_json)

        def render() -> None:
            if rotation.proof is None:
                say(f"Under way: {_progress(rotation)}")
                return
            counted = ", ".join(f"{escape(name)} {count}" for name, count in rotation.proof.items())
            say(f"[green]✓[/green] {rotation.done:,} done; still referring to the old version: {counted or 'nothing'}")
            if rotation.old_version is not None:
                say(f"  Then: [bold]privacy keys destroy {rotation.kind} {rotation.old_version} --reason TEXT[/bold]")

        show(as_json, rotation, render)


@app.command()
def destroy(
    kind: Annotated[Literal["kek", "index", "signing"], typer.Argument(help="Of which kind.")],
    version: Annotated[int, typer.Argument(help="The version that was replaced.", min=1)],
    reason: Annotated[str, typer.Option(help="Why. Kept sealed.")],
    as_json: Json = False,
) -> None:
    """Ask that an old version be destroyed. Another person confirms it; it is done after the delay."""
    with reporting(as_json):
        with working() as work:
            asked = rotations.ask_destruction(work, Kind(kind), version, reason=reason)
        show(as_json, asked, lambda: _say_asked(asked))


@app.command()
def confirm(asked: Named, as_json: Json = False) -> None:
    """Confirm, as another person, what somebody has asked for. Asks for that person's API key."""
    with reporting(as_json):
        with service() as found:
            actor = found.authenticate(secret_line("Your API key"))
            with found.begin(actor) as work:
                confirmed = confirmations.confirm(work, asked)
        show(as_json, confirmed, lambda: _say_asked(confirmed))


@app.command()
def withdraw(asked: Named, as_json: Json = False) -> None:
    """Stop what was asked for, until it is done."""
    with reporting(as_json):
        with working() as work:
            stopped = confirmations.withdraw(work, asked)
        show(as_json, stopped, lambda: say("Withdrawn"))


def _started(found: Steward, kind: Kind) -> Rotation:
    """A new one, or the one that is under way."""
    with found.begin() as work:
        running = [one for one in rotations.listed(work, running_only=True) if one.kind is kind]
        return running[0] if running else rotations.start(work, kind)


def _driven(found: Steward, rotation: Rotation, *, quiet: bool) -> Rotation:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,}"), TimeRemainingColumn())
    with Progress(*columns, console=console(to_stderr=True), disable=quiet) as progress:
        task = progress.add_task(rotation.kind.value, total=None)
        while rotation.state == "running":
            rotations.advance(found, rotation.id, seconds=0.5)
            with found.begin() as work:
                rotation = rotations.shown(work, rotation.id)
            progress.update(task, total=rotation.total or None, completed=rotation.done)
    return rotation


def _progress(rotation: Rotation) -> str:
    left = "" if rotation.remaining_seconds is None else f", about {rotation.remaining_seconds} s left"
    return f"{rotation.done:,} of {rotation.total:,}{left}"


def _say_asked(asked: Confirmation) -> None:
    by = f"confirmed by {asked.confirmed_by}" if asked.confirmed_by else "waits for another person"
    say(f"{escape(asked.target)}: asked for by {escape(asked.asked_by)}, {escape(by)}")
    say(f"  Not before {moment(asked.not_before)} UTC; id [bold]{asked.id}[/bold]")
