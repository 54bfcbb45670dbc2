"""`privacy erasure`: erase a data subject or a part, look at what was erased, and verify the certificate of it.

`verify` needs no service. `replay` tells a restored store again what it must forget; every start does so by itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import UUID

import typer
from rich.markup import escape

from cli.receipts import verifier_of
from cli.spoken import language
from cli.terminal import Json, console, moment, names, reporting, say, service, show, table, working
from privacy import certificates, erasure, erasure_ledger
from privacy.certificates import Certificate
from privacy.erasure import Erasure
from privacy.erasure_steps import Reason
from privacy.settings import Settings
from privacy.signed_documents import Verifier, verification_method
from privacy.steward import own_verifiers

app = typer.Typer(no_args_is_help=True, help="Erase data subjects, and prove it.")
_COLOURS: Final = {"done": "green", "restricted": "yellow"}

Subject = Annotated[UUID, typer.Argument(metavar="SUBJECT", help="The subject's id.", show_default=False)]
Id = Annotated[UUID, typer.Argument(metavar="ERASURE", help="The erasure's id.", show_default=False)]


@app.command()
def run(
    subject: Subject,
    types: Annotated[str | None, typer.Option(metavar="A,B", help="Only records of these types.")] = None,
    purposes: Annotated[str | None, typer.Option(metavar="A,B", help="Only what is held for these purposes.")] = None,
    fields: Annotated[str | None, typer.Option(metavar="T.F,...", help="Only these fields, as type.field.")] = None,
    reason: Annotated[Reason, typer.Option(help="Why; the law that asks for it.")] = Reason.REQUEST,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Erase a subject, or the part that is named: the whole protocol. With --json the certificate, when there is one.

    There is no way back. What a legal hold or a statutory period keeps stays, stored only, and goes by itself later.
    """
    if not yes:
        typer.confirm("There is no way back. Erase?", abort=True, err=True)
    with reporting(as_json), service() as steward:
        done = erasure.erase(
            steward, subject, types=names(types), purposes=names(purposes), fields=names(fields), reason=reason
        )
        signed = None
        if done.is_certified:
            with steward.begin() as work:
                signed = erasure.certificate(work, done.id)
        answer = {"erasure": done, "certificate": None if signed is None else json.loads(signed)}
        show(as_json, answer, lambda: _render(done))


@app.command("list")
def list_erasures(subject: Subject, as_json: Json = False) -> None:
    """A subject's erasures, the oldest first."""
    with reporting(as_json):
        with working() as work:
            found = erasure.listed(work, subject)

        def render() -> None:
            made = table("Erasure", "Asked (UTC)", "By", "What", "State", "Done (UTC)")
            for one in found:
                made.add_row(
                    str(one.id),
                    moment(one.asked_at),
                    escape(one.asked_by),
                    escape(_scope(one)),
                    _state(one),
                    moment(one.done_at),
                )
            console().print(made)

        show(as_json, {"items": found}, render)


@app.command("show")
def show_erasure(
    erasure_id: Id,
    certificate: Annotated[bool, typer.Option("--certificate", help="The signed certificate, to be kept.")] = False,
    as_json: Json = False,
) -> None:
    """An erasure as it stands; with --certificate the document that proves it, as it must be kept, byte for byte."""
    with reporting(as_json):
        with working() as work:
            if certificate:
                text = erasure.certificate(work, erasure_id)
            else:
                found = erasure.view(work, erasure_id)
        if certificate:
            typer.echo(text)
        else:
            show(as_json, found, lambda: _render(found))


@app.command()
def replay(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Another copy of erasure.ledger.")] = None,
    as_json: Json = False,
) -> None:
    """Apply the erasure ledger to a store that was restored from a backup. Without FILE from the copies at hand.

    Opening the service does this by itself; FILE is for a ledger that was kept elsewhere.
    """
    with reporting(as_json), service() as steward:
        extra = erasure_ledger.read(steward, file) if file else ()
        done = erasure_ledger.reconcile(steward, extra)

        def render() -> None:
            made = table("", "")
            made.show_header = False
            for label, count in (
                ("Marks in the ledger", done.marks),
                ("Data keys destroyed", done.keys_destroyed),
                ("Subjects erased", done.subjects),
                ("Records removed", done.records),
                ("Marks that the key store had lost", done.to_key_store),
                ("Marks that the database had lost", done.to_database),
            ):
                made.add_row(label, str(count))
            console().print(made)

        show(as_json, done, render)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The certificate.")],
    key: Annotated[
        str | None,
        typer.Option(metavar="VKEY", help="The controller's verifier key; else that of PRIVACY_HOME, if there is one."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Whether a certificate is as it was signed, and by whom. Needs no service and no network."""
    given = verifier_of(key)
    try:
        text = file.read_bytes()
    except OSError:
        raise typer.BadParameter("the file cannot be read", param_hint="FILE") from None
    with reporting(as_json):
        known = (given,) if given else own_verifiers(Settings.from_environment())
        found = certificates.verify(text, [one.public for one in known] or None)
        trusted = next((one for one in known if one.public == found.signed.public), None)
        answer = {
            "intact": True,
            "trusted": trusted is not None,
            "key": verification_method(found.signed.public).partition("#")[0],
            "name": trusted.name if trusted else None,
            "signed_at": found.signed.created,
            "states": found.says,
        }
        show(as_json, answer, lambda: _render_certificate(found, trusted))


# --- for a person


def _render(found: Erasure) -> None:
    made = table("", "")
    made.show_header = False
    went = ", ".join(f"{count} {escape(type)}" for type, count in found.erased["types"].items())
    parts = ", ".join(f"{escape(name)} of {count}" for name, count in found.erased["fields"].items())
    for label, text in (
        ("Erasure", str(found.id)),
        ("Subject", str(found.subject_id)),
        ("What", escape(_scope(found))),
        ("Why", found.reason),
        ("State", _state(found)),
        ("Records erased", went),
        ("Fields erased", parts),
        ("Keys destroyed", str(len(found.erased["keys"])) if found.erased["keys"] else ""),
        *(("Kept", _kept(one)) for one in found.kept),
    ):
        if text:
            made.add_row(f"[bold]{label}[/bold]", text)
    console().print(made)
    if found.is_certified:
        say(f"[dim]The certificate: privacy erasure show {found.id} --certificate[/dim]")


def _scope(found: Erasure) -> str:
    return "; ".join(f"{part} {', '.join(named)}" for part, named in found.scope.items()) or "everything"


def _state(found: Erasure) -> str:
    colour = _COLOURS.get(found.state)
    return f"[{colour}]{found.state}[/{colour}]" if colour else found.state


def _kept(one: Mapping[str, Any]) -> str:
    why = [f"hold {hold}" for hold in one["holds"]]
    if one["law"] or one["until"]:
        why.append(f"{', '.join(one['law'])} until {str(one['until'])[:10]}".strip())
    return escape(f"{one['records']} {one['type']}: {'; '.join(why)}")


_VERIFIED: Final = (
    "证明完整，签名公钥与可信公钥一致。",
    "The certificate is intact, and was signed with the trusted key.",
)
_UNKNOWN: Final = (
    "警告：证明完整，但签名公钥未与可信公钥比对，任何人都可能签发了它。请用 --key 给出处理者公布的公钥。",
    "Warning: intact, but anybody may have signed it. Give the key that the controller publishes with --key.",
)
_LABELS: Final[Mapping[str, tuple[str, str]]] = {
    "id": ("证明编号", "Certificate"),
    "subject": ("个人", "Data subject"),
    "asked_at": ("请求时间 (UTC)", "Asked (UTC)"),
    "done_at": ("完成时间 (UTC)", "Done (UTC)"),
    "law": ("依据", "Law"),
}


def _render_certificate(found: Certificate, trusted: Verifier | None) -> None:
    second = language() == "en"
    made = table("", "")
    made.show_header = False
    for name, label in _LABELS.items():
        value = found.says.get(name)
        made.add_row(
            f"[bold]{label[second]}[/bold]", escape(_text(", ".join(value) if isinstance(value, list) else value))
        )
    console().print(made)
    statement = found.says.get("statement")
    if isinstance(statement, Mapping):
        say(escape(_text(statement.get("en" if second else "zh"))))
    verdict = (_VERIFIED if trusted else _UNKNOWN)[second]
    say(f"[{'green' if trusted else 'yellow'}]{verdict}[/]", to_stderr=trusted is None)


def _text(value: object) -> str:
    """One line; whoever signed it may have written it to be read by a terminal, so nothing commands one."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(value))
