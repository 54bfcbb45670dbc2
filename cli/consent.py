"""`privacy consent`: what a data subject decided, by hand; and whether a receipt of it is genuine.

All but `verify` go through the service over HTTP, as a component does. `verify` needs no service.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.markup import escape

from cli import receipts
from cli.remote import calling
from cli.terminal import Json, console, instant, moment, reporting, say, say_json, show, table
from privacy.client import Consent
from privacy.settings import Settings
from privacy.steward import own_verifiers

app = typer.Typer(
    no_args_is_help=True,
    help="Consent, as a component records it: over HTTP, at PRIVACY_URL, with the key in PRIVACY_KEY. "
    "And receipts: `verify` needs neither.",
)


class Form(StrEnum):
    DPV = "dpv"
    KANTARA = "kantara"


Subject = Annotated[str, typer.Argument(metavar="SUBJECT", help="The subject's id.")]
Purpose = Annotated[str, typer.Argument(metavar="PURPOSE", help="What it is about.")]
Notice = Annotated[
    str | None, typer.Option(metavar="VERSION", help="The notice that was shown; the newest when left out.")
]
Language = Annotated[str | None, typer.Option(metavar="TAG", help="The language it was shown in, like zh-CN.")]
Recipient = Annotated[str | None, typer.Option(metavar="NAME", help="A recipient that needs a consent of its own.")]
Categories = Annotated[
    list[str] | None,
    typer.Option("--category", metavar="NAME", help="Only this category of data. May be repeated."),
]
Channel = Annotated[str | None, typer.Option(metavar="NAME", help="Where it was said, like app, web or phone.")]

# What only a consent just recorded has, and what only one in a list.
_JUST_DONE: Final = ("told", "task_id", "kept_for")
_LISTED: Final = ("event_id", "digest", "recorded_by", "is_valid")


@app.command()
def give(
    subject: Subject,
    purpose: Purpose,
    notice: Notice = None,
    language: Language = None,
    separate: Annotated[bool, typer.Option("--separate", help="Asked for by itself (PIPL 14, 23 to 29, 39).")] = False,
    written: Annotated[bool, typer.Option("--written", help="Given in writing.")] = False,
    explicit: Annotated[bool, typer.Option("--explicit", help="Given in so many words (GDPR 9).")] = False,
    guardian: Annotated[
        str | None, typer.Option(metavar="ID", help="For a child: the guardian's own subject (PIPL 31, GDPR 8).")
    ] = None,
    recipient: Recipient = None,
    category: Categories = None,
    channel: Channel = None,
    as_json: Json = False,
) -> None:
    """Record that the subject consented; the next read for the purpose is allowed."""
    with reporting(as_json), calling() as privacy:
        done = privacy.give_consent(
            subject,
            purpose=purpose,
            notice=notice,
            language=language,
            separate=separate,
            written=written,
            explicit=explicit,
            guardian=guardian,
            recipient=recipient,
            categories=category or None,
            channel=channel,
        )
        show(as_json, _without(done, *_LISTED), lambda: _render(done))


@app.command()
def refuse(
    subject: Subject,
    purpose: Purpose,
    notice: Notice = None,
    language: Language = None,
    recipient: Recipient = None,
    channel: Channel = None,
    as_json: Json = False,
) -> None:
    """Record that the subject said no. Asking again before the cool-off is over is refused."""
    with reporting(as_json), calling() as privacy:
        done = privacy.give_consent(
            subject,
            purpose=purpose,
            decision="refused",
            notice=notice,
            language=language,
            recipient=recipient,
            channel=channel,
        )
        show(as_json, _without(done, *_LISTED), lambda: _render(done))


@app.command()
def request(
    subject: Subject,
    purpose: Purpose,
    notice: Notice = None,
    language: Language = None,
    recipient: Recipient = None,
    category: Categories = None,
    channel: Channel = None,
    as_json: Json = False,
) -> None:
    """Record that the subject is being asked; refused while an earlier no is fresh."""
    with reporting(as_json), calling() as privacy:
        done = privacy.request_consent(
            subject,
            purpose=purpose,
            notice=notice,
            language=language,
            recipient=recipient,
            categories=category or None,
            channel=channel,
        )
        show(as_json, _without(done, *_LISTED), lambda: _render(done))


@app.command()
def withdraw(
    subject: Subject, purpose: Purpose, recipient: Recipient = None, channel: Channel = None, as_json: Json = False
) -> None:
    """Withdraw consent; the next read is refused. Without --recipient, from every recipient as well."""
    with reporting(as_json), calling() as privacy:
        done = privacy.withdraw_consent(subject, purpose=purpose, recipient=recipient, channel=channel)
        show(as_json, _without(done, *_LISTED), lambda: _render(done))


@app.command()
def history(
    subject: Subject,
    purpose: Annotated[str | None, typer.Option(help="This purpose only.", metavar="PURPOSE")] = None,
    at: Annotated[
        str | None, typer.Option(metavar="INSTANT", help="Instead, what stood then: 2026-05-01 or 2026-05-01T08:00:00Z")
    ] = None,
    as_json: Json = False,
) -> None:
    """Every act of consent, the oldest first; or what stood, and was valid, at an instant."""
    then = None if at is None else instant(at)
    with reporting(as_json), calling() as privacy:
        found = privacy.consents(subject, history=then is None, at=then, purpose=purpose)
        left_out = _JUST_DONE if then is not None else (*_JUST_DONE, "is_valid")
        items = [_without(one, *left_out) for one in found]
        show(as_json, {"at": then, "items": items}, lambda: _render_list(found, is_state=then is not None))


@app.command()
def receipt(
    subject: Subject,
    consent: Annotated[str, typer.Argument(metavar="CONSENT", help="The consent's id.")],
    form: Annotated[
        Form, typer.Option("--format", help="dpv: ISO/IEC TS 27560, JSON-LD. kantara: Consent Receipt 1.1.")
    ] = Form.DPV,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it there.")] = None,
    as_json: Json = False,
) -> None:
    """A signed receipt of a consent as it stands now, for the person to keep."""
    with reporting(as_json), calling() as privacy:
        document = privacy.receipt(subject, consent, format=form.value)
        if out is None:
            say_json(document)
            return
        out.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        show(as_json, {"file": out}, lambda: say(f"[green]✓[/green] The receipt is in {escape(str(out))}"))


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The receipt.")],
    key: Annotated[
        str | None,
        typer.Option(metavar="VKEY", help="The controller's verifier key; else that of PRIVACY_HOME, if there is one."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Whether a receipt is as it was signed, and by whom. Needs no service and no network."""
    receipts.verify(file, key, as_json, own=lambda: own_verifiers(Settings.from_environment()))


# --- for a person


def _render(done: Consent) -> None:
    say(f"[green]✓[/green] {escape(_about(done))}: [bold]{done.state}[/bold]")
    if done.state in ("given", "renewed"):
        say(f"  until {moment(done.expires_at) or 'it is withdrawn'}, under notice {escape(done.notice or '-')}")
    if done.told:
        say(f"  to be told: {escape(', '.join(done.told))}")
    if done.task_id:
        say(f"  what nothing else holds is to be erased: task {done.task_id}")
    if done.kept_for:
        held = ", ".join(f"{purpose} ({basis})" for purpose, basis in done.kept_for.items())
        say(f"  data is held all the same for: {escape(held)}")
    say(f"  [dim]consent {done.id}[/dim]")


def _about(consent: Consent) -> str:
    return f"{consent.purpose} to {consent.recipient}" if consent.recipient else consent.purpose


def _render_list(found: list[Consent], *, is_state: bool) -> None:
    made = table(
        "At (UTC)", "Purpose", "State", "Valid" if is_state else "By", "Until (UTC)", "Notice", "How", "Consent"
    )
    for one in found:
        valid = "[green]yes[/green]" if one.is_valid else "[red]no[/red]"
        made.add_row(
            moment(one.at),
            escape(_about(one)),
            one.state,
            valid if is_state else escape(one.recorded_by or ""),
            moment(one.expires_at),
            escape(" ".join(part for part in (one.notice, one.language) if part)),
            escape(", ".join(_how(one))),
            one.id,
        )
    console().print(made)


def _how(one: Consent) -> list[str]:
    flags = {
        "separate": one.separate,
        "written": one.written,
        "explicit": one.explicit,
        "by the guardian": one.by_guardian,
    }
    only = [f"only {', '.join(one.categories)}"] if one.categories is not None else []
    return [name for name, is_set in flags.items() if is_set] + only + ([f"by {one.channel}"] if one.channel else [])


def _without(consent: Consent, *names: str) -> dict[str, object]:
    return {name: value for name, value in asdict(consent).items() if name not in names}
