"""`privacy subject object`, `restrict`, `lift` and `standing`: what besides consent stands before a purpose."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from cli.remote import calling
from cli.terminal import Json, console, moment, reporting, say, secret_line, show, table
from privacy.client import Standing

Id = Annotated[str, typer.Argument(metavar="SUBJECT", help="The subject's id.")]
Purpose = Annotated[str, typer.Argument(metavar="PURPOSE", help="The purpose.")]
AnyPurpose = Annotated[
    str | None, typer.Argument(metavar="PURPOSE", help="One purpose; all of them when left out.", show_default=False)
]
Channel = Annotated[str | None, typer.Option(metavar="NAME", help="Where it was said, like app, web or phone.")]
Reason = Annotated[
    bool, typer.Option("--reason", help="Ask for the reason, or read it from standard input; it is kept sealed.")
]


def object_to(
    subject: Id, purpose: Purpose, reason: Reason = False, channel: Channel = None, as_json: Json = False
) -> None:
    """Record that the subject objects to a purpose; its next read is refused (GDPR 21, PIPL 44)."""
    with reporting(as_json), calling() as privacy:
        done = privacy.object_to(subject, purpose=purpose, reason=_reason(reason), channel=channel)
        show(as_json, done, lambda: _say("objection", done))


def restrict(
    subject: Id, purpose: AnyPurpose = None, reason: Reason = False, channel: Channel = None, as_json: Json = False
) -> None:
    """Stop everything but storage, for one purpose or for all (GDPR 18, PIPL 44)."""
    with reporting(as_json), calling() as privacy:
        done = privacy.restrict(subject, purpose=purpose, reason=_reason(reason), channel=channel)
        show(as_json, done, lambda: _say("restriction", done))


def lift(
    subject: Id,
    purpose: AnyPurpose = None,
    objection: Annotated[
        bool, typer.Option("--objection", help="The objection to PURPOSE, not a restriction.")
    ] = False,
    reason: Reason = False,
    channel: Channel = None,
    as_json: Json = False,
) -> None:
    """Lift a restriction, or an objection. With an operator's key; the person must have been told (GDPR 18(3))."""
    if objection and purpose is None:
        raise typer.BadParameter("an objection is to one purpose: name it", param_hint="PURPOSE")
    with reporting(as_json), calling() as privacy:
        why = _reason(reason)
        if objection and purpose is not None:
            done = privacy.lift_objection(subject, purpose=purpose, reason=why, channel=channel)
        else:
            done = privacy.lift_restriction(subject, purpose=purpose, reason=why, channel=channel)
        what = "objection" if objection else "restriction"
        show(as_json, done, lambda: say(f"[green]✓[/green] No {what} stands against {_named(done)}"))


def show_standing(subject: Id, as_json: Json = False) -> None:
    """Recorded bases, objections and restrictions of a subject, as they are now."""
    with reporting(as_json), calling() as privacy:
        found = privacy.standing(subject)

        def render() -> None:
            made = table("Purpose", "Basis", "From (UTC)", "Until (UTC)", "Objection (UTC)", "Restriction (UTC)")
            for one in found:
                instants = (one.starts_at, one.ends_at, one.objected_at, one.restricted_at)
                made.add_row(_named(one), one.basis or "", *map(moment, instants))
            console().print(made)

        show(as_json, {"items": found}, render)


def _reason(is_asked: bool) -> str | None:
    return secret_line("Reason") if is_asked else None


def _named(one: Standing) -> str:
    return escape(one.purpose or "every purpose")


def _say(what: str, done: Standing) -> None:
    at = done.objected_at if what == "objection" else done.restricted_at
    say(f"[green]✓[/green] The {what} against {_named(done)} stands since {moment(at)} UTC")
