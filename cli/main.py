"""`privacy`: the command line. Each command opens the service, calls one domain function, and renders.

No rule, no SQL and no cryptography is here. Run `privacy COMMAND --help`.
"""

from __future__ import annotations

import os

import typer

from cli import (
    audit,
    backup,
    consent,
    erasure,
    exposure,
    hold,
    jobs,
    keys,
    manifest,
    notice,
    principal,
    release,
    retention,
    statistics,
    subject,
    witness,
)
from cli.anonymise import anonymise
from cli.demo import demo
from cli.deployment import doctor, init
from cli.processes import forbid_dumps
from cli.scan import scan
from cli.serving import serve

app = typer.Typer(
    name="privacy",
    no_args_is_help=True,
    add_completion=False,
    # Typer's tracebacks show local variables, and those may hold a person's data.
    pretty_exceptions_enable=False,
    help="Owns an organisation's personal data: sealed field by field, disclosed by purpose, on record. "
    "Settings come from the environment, PRIVACY_HOME first. Exit status 0 done, 1 refused or failed, 2 usage.",
)


@app.callback()
def _begin() -> None:
    os.umask(0o077)
    forbid_dumps()


app.command()(init)
app.command()(serve)
app.add_typer(manifest.app, name="manifest")
app.add_typer(notice.app, name="notice")
app.add_typer(principal.app, name="principal")
app.add_typer(subject.app, name="subject")
app.add_typer(consent.app, name="consent")
audit.app.command("exposure")(exposure.ask)
app.add_typer(audit.app, name="audit")
app.add_typer(erasure.app, name="erasure")
app.add_typer(retention.app, name="retention")
app.add_typer(hold.app, name="hold")
app.add_typer(witness.app, name="witness")
app.add_typer(backup.app, name="backup")
app.add_typer(jobs.app, name="jobs")
app.add_typer(keys.app, name="keys")
app.add_typer(release.app, name="release")
app.add_typer(statistics.app, name="statistics")
app.command()(scan)
app.command()(anonymise)
app.command()(demo)
app.command()(doctor)

if __name__ == "__main__":
    app()
