"""`privacy backup`: encrypted copies of both stores, and trying, restoring and removing them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from cli.terminal import Json, console, moment, reporting, say, service, show, table
from privacy import age_files, backup_drills, backups
from privacy.backups import Backup
from privacy.copies import Store
from privacy.settings import Settings
from privacy.signed_documents import verifier
from privacy.steward import own_verifiers

app = typer.Typer(no_args_is_help=True, help="Backups of the data and of the key store, for a public key to open.")

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="A backup: the folder that holds manifest.json.")]
Identity = Annotated[Path, typer.Option(metavar="FILE", help="The private key, as `backup keygen` wrote it.")]
Only = Annotated[list[Store] | None, typer.Option(help="This store alone; else both.")]
Key = Annotated[str | None, typer.Option(metavar="VKEY", help="Whose backup it must be; else this deployment's own.")]


@app.command()
def create(
    to: Annotated[Path, typer.Option(metavar="DIR", help="Where the folder of this backup is made.")],
    recipient: Annotated[list[str], typer.Option(metavar="age1…", help="A public key that may open it; repeatable.")],
    only: Only = None,
    as_json: Json = False,
) -> None:
    """Write a backup while the service runs, then read it again and compare."""
    with reporting(as_json):
        with service() as steward:
            made = backups.create(steward, to, recipient, stores=only or tuple(Store))
        _show(made, as_json)


@app.command()
def verify(
    folder: Folder,
    identity: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Decrypt it too, to the last byte and to nowhere.")
    ] = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Look whether a backup is what was written. Without --identity nothing is decrypted."""
    with reporting(as_json):
        _show(backups.check(folder, trusted=_trusted(key, Settings.from_environment()), identity=identity), as_json)


@app.command()
def restore(
    folder: Folder,
    identity: Identity,
    to: Annotated[
        Path | None, typer.Option(metavar="HOME", help="A folder for both as SQLite files; else where PRIVACY_… say.")
    ] = None,
    only: Only = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Bring the stores back to an empty place. The root key must be there, or be put there, by itself."""
    with reporting(as_json):
        settings = Settings.from_environment()
        trusted = _trusted(key, settings)
        if to is not None:
            home = to.absolute()
            data, keys = f"sqlite:///{home / 'data.db'}", f"sqlite:///{home / 'keys.db'}"
            settings = replace(settings, home=home, database_url=data, keystore_url=keys)
        found = backups.restore(folder, identity, settings, trusted=trusted, stores=only or tuple(Store))
        _show(found, as_json)
        if not as_json:
            say("Next: the root key and erasure.ledger in PRIVACY_HOME, then [bold]privacy doctor[/bold]")


@app.command()
def drill(
    folder: Folder,
    identity: Identity,
    sample: Annotated[int, typer.Option(min=1, max=100_000, help="So many records are opened.")] = backup_drills.SAMPLE,
    as_json: Json = False,
) -> None:
    """Restore a backup into a scratch place, use it there, say what was found, and remove it again."""
    with reporting(as_json):
        with service() as steward:
            done = backup_drills.drill(steward, folder, identity, sample=sample)

        def render() -> None:
            made = table("", "Looked at", "Found")
            for finding in done.findings:
                mark = "[green]✓[/green]" if finding.ok else "[red]✗[/red]"
                made.add_row(mark, finding.name, escape(finding.detail))
            console().print(made)
            say(f"{done.opened} of {done.sampled} records opened, {done.seconds:.1f} s")

        show(as_json, done, render)
    if not done.ok:
        raise typer.Exit(1)


@app.command()
def keygen(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the private key is written; it must not exist.")],
    as_json: Json = False,
) -> None:
    """Make a key pair for backups. Keep the file on another machine: here only the public key is needed."""
    with reporting(as_json):
        public = age_files.new_identity(file, datetime.now(UTC))
        show(as_json, {"file": file, "recipient": public}, lambda: say(public))


@app.command()
def prune(
    to: Annotated[Path, typer.Argument(metavar="DIR", help="The folder that holds the backups.")],
    data_days: Annotated[int, typer.Option(min=1, help="Data are kept so long.")] = backups.KEEP_DATA_DAYS,
    keys_days: Annotated[int, typer.Option(min=1, help="Key stores are kept so long.")] = backups.KEEP_KEYS_DAYS,
    as_json: Json = False,
) -> None:
    """Remove what is past its time, but never the newest of a store."""
    with reporting(as_json):
        done = backups.prune(to, datetime.now(UTC), data_days=data_days, keys_days=keys_days)

        def render() -> None:
            for path in done.removed:
                say(f"removed {escape(str(path))}")
            for path in done.overdue:
                say(f"[yellow]past its time, and the newest: {escape(str(path))}[/yellow]")

        show(as_json, done, render)


def _trusted(key: str | None, settings: Settings) -> list[bytes] | None:
    """The public keys to believe: the one given, else this deployment's own, if there is one here."""
    believed = own_verifiers(settings) if key is None else (verifier(key),)
    return [one.public for one in believed] or None


def _show(found: Backup, as_json: bool) -> None:
    def render() -> None:
        say(f"[green]✓[/green] {escape(str(found.folder))}, {moment(found.manifest.at)} UTC")
        made = table("Store", "Bytes", "Rows", "Schema", "Written by")
        for store, copied in found.manifest.stores.items():
            gone = " [dim](gone)[/dim]" if store in found.missing else ""
            rows = f"{sum(copied.rows.values()):,}"
            made.add_row(f"{store}{gone}", f"{copied.bytes:,}", rows, copied.schema, escape(copied.tool))
        console().print(made)
        say("signed by this deployment" if found.signed else "[yellow]signature not checked: name --key VKEY[/yellow]")
        say("decrypted to the last byte" if found.opened else "[dim]not decrypted[/dim]")

    stores = {
        store.value: {"file": one.file, "bytes": one.bytes, "sha256": one.sha256, "rows": sum(one.rows.values())}
        for store, one in found.manifest.stores.items()
    }
    value = {
        "folder": found.folder,
        "name": found.manifest.name,
        "at": found.manifest.at,
        "stores": stores,
        "missing": list(found.missing),
        "signed": found.signed,
        "opened": found.opened,
    }
    show(as_json, value, render)
