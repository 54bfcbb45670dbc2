"""`privacy principal`: who may call, as what, for which purposes and record types."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from cli.deployment import KEY_NOTE
from cli.terminal import Json, console, moment, names, period, reporting, say, show, table, working
from privacy import principals
from privacy.periods import Period
from privacy.principals import NewKey
from privacy.work import Role

app = typer.Typer(no_args_is_help=True, help="Who may call: components, operators, auditors, administrators.")
Name = Annotated[str, typer.Argument(help="The principal's name.")]
Expires = Annotated[
    Period | None,
    typer.Option("--expires", parser=period, metavar="PERIOD", help="The key ends after this, like P90D."),
]


@app.command()
def add(
    name: Name,
    role: Annotated[Role, typer.Option(help="What it is.")] = Role.SERVICE,
    purposes: Annotated[
        str | None, typer.Option(help="What it may ask for, separated by commas; * for all.", metavar="NAMES")
    ] = None,
    types: Annotated[
        str | None,
        typer.Option(help="The record types it may ask for, separated by commas; * for all.", metavar="NAMES"),
    ] = None,
    expires: Expires = None,
    as_json: Json = False,
) -> None:
    """Add a principal. Its key is shown once."""
    with reporting(as_json):
        with working() as work:
            ends = expires.after(work.now) if expires else None
            made = principals.add(work, name, role=role, purposes=names(purposes), types=names(types), expires_at=ends)
        _show_key(made, as_json)


@app.command("list")
def list_principals(as_json: Json = False) -> None:
    """Every principal, with the last characters of its live keys."""
    with reporting(as_json):
        with working() as work:
            found = principals.listed(work)
        listed = [
            {
                "id": one.id,
                "name": one.name,
                "role": one.role,
                "purposes": one.purposes,
                "types": one.types,
                "created_at": one.created_at,
                "revoked_at": one.revoked_at,
                "keys": one.keys,
            }
            for one in found
        ]

        def render() -> None:
            made = table("Name", "Role", "Purposes", "Types", "Keys", "Since", "Revoked")
            for one in found:
                made.add_row(
                    escape(one.name),
                    one.role.value,
                    ", ".join(one.purposes),
                    ", ".join(one.types),
                    ", ".join(one.keys),
                    moment(one.created_at),
                    moment(one.revoked_at),
                )
            console().print(made)

        show(as_json, {"items": listed}, render)


@app.command()
def rotate(
    name: Name,
    grace: Annotated[
        Period | None,
        typer.Option(
            parser=period,
            metavar="PERIOD",
            help="The old keys work for this long, like PT1H; else they end now.",
        ),
    ] = None,
    expires: Expires = None,
    as_json: Json = False,
) -> None:
    """Give a principal a new key and end the old ones."""
    with reporting(as_json):
        with working() as work:
            until = grace.after(work.now) if grace else None
            ends = expires.after(work.now) if expires else None
            made = principals.rotate(work, name, until=until, expires_at=ends)
        _show_key(made, as_json)


@app.command()
def revoke(name: Name, as_json: Json = False) -> None:
    """End a principal and all its keys, from the next request on."""
    with reporting(as_json):
        with working() as work:
            principals.revoke(work, name)
        show(
            as_json,
            {"name": name, "revoked": True},
            lambda: say(f"[green]✓[/green] {escape(name)} is revoked"),
        )


def _show_key(made: NewKey, as_json: bool) -> None:
    def render() -> None:
        say(f"[green]✓[/green] {escape(made.name)}, key: [bold]{made.key}[/bold]")
        if made.expires_at is not None:
            say(f"  It ends at {moment(made.expires_at)} UTC.")
        say(f"  {KEY_NOTE}")

    show(as_json, {"id": made.id, "name": made.name, "key": made.key, "expires_at": made.expires_at}, render)
