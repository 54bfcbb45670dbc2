"""`privacy audit verify`: the log, or what an auditor was given of it, checked by the verifier that needs no service.

Without an argument the local log: it is exported as an auditor would get it, and that file is checked.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated

import typer
from rich.markup import escape

from cli.spoken import language
from cli.terminal import Json, reporting, say, service, show
from privacy import audit_export
from privacy.audit_verifier import Problem, Report, Unusable
from privacy.audit_verifier import verify as verify_log
from privacy.errors import Invalid
from privacy.settings import Settings
from privacy.steward import own_verifiers, own_vkeys

Source = Annotated[
    str | None, typer.Argument(metavar="[BUNDLE|URL]", help="An export, a directory of tiles, or an address.")
]
Key = Annotated[
    str | None, typer.Option("--key", metavar="VKEY", help="The log's verifier key; this deployment's unless given.")
]
Older = Annotated[
    list[Path] | None, typer.Option("--checkpoint", metavar="FILE", help="A checkpoint kept from earlier.")
]
Witnesses = Annotated[
    list[str] | None,
    typer.Option("--witness", metavar="VKEY", help="A witness or other key of the log that must have signed."),
]


def verify(
    source: Source = None, key: Key = None, checkpoint: Older = None, witness: Witnesses = None, as_json: Json = False
) -> None:
    """Check every leaf, root, signature and gap. Exit status 1 with the first bad position when it does not hold.

    An address is read with the key in PRIVACY_KEY. A bundle and a key need no deployment and no network.
    """
    with reporting(as_json):
        try:
            older = [file.read_text(encoding="utf-8") for file in checkpoint or ()]
        except (OSError, UnicodeDecodeError):
            raise typer.BadParameter("a checkpoint cannot be read", param_hint="--checkpoint") from None
        trusted = key or _own_key()
        try:
            if source is None:
                report = _verify_here(trusted, older, witness or ())
            else:
                token = os.environ.get("PRIVACY_KEY")
                report = verify_log(
                    source, vkey=trusted, old_checkpoint=older, witness_vkeys=witness or (), token=token
                )
        except Unusable as error:
            raise Invalid(str(error)) from None
        show(as_json, _json(report), lambda: _render(report))
    if not report.ok:
        raise typer.Exit(1)


def vkey(as_json: Json = False) -> None:
    """The log's verifier keys, for auditors: Ed25519, and ML-DSA-44 where PRIVACY_CHECKPOINT_MLDSA is set."""
    with reporting(as_json):
        keys = own_vkeys(Settings.from_environment())
        if not keys:
            raise Invalid("There is no deployment here")

        def render() -> None:
            for one in keys:
                print(one)

        show(as_json, {"vkeys": keys}, render)


def _own_key() -> str:
    own = own_verifiers(Settings.from_environment())
    if not own:
        raise typer.BadParameter("there is no deployment here: name the log's key", param_hint="--key")
    return own[0].vkey


def _verify_here(vkey: str, older: list[str], witnesses: list[str] | tuple[str, ...]) -> Report:
    with service() as steward, NamedTemporaryFile(dir=steward.settings.home, suffix=".zip") as file:
        for piece in audit_export.export(steward.begin, kind="log"):
            file.write(piece)
        file.flush()
        return verify_log(file.name, vkey=vkey, old_checkpoint=older, witness_vkeys=witnesses)


def _json(report: Report) -> dict[str, object]:
    return {
        "ok": report.ok,
        "origin": report.origin,
        "size": report.size,
        "root": report.root,
        "events": report.events,
        "archived": report.archived,
        "problems": [_problem(one) for one in report.problems],
        "first_bad_position": next((one.position for one in report.problems if one.position is not None), None),
    }


def _problem(one: Problem) -> dict[str, object]:
    return {"position": one.position, "code": one.code, "what": one.what, "zh": one.zh}


def _render(report: Report) -> None:
    chinese = language() == "zh"
    for one in report.problems:
        where = "-" if one.position is None else str(one.position)
        say(f"[red]✗[/red] {where}: {escape(one.zh if chinese else one.what)} [dim]({one.code})[/dim]")
    if report.ok:
        said = f"{report.size} 条记录完好，签名属于" if chinese else f"{report.size} entries are intact, signed by"
        say(f"[green]✓[/green] {said} {escape(report.origin)}")
