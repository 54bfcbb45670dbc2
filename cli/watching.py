"""Commands of `privacy audit` that watch: alerts, honeytokens, reviews; records against the log; its retention."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.markup import escape

from cli.terminal import Json, console, moment, reporting, say, service, show, table, working
from privacy import access_reviews, honeytokens, log_retention, reconciling
from privacy import alerts as domain
from privacy.log_retention import Pruned

_COLOURS = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan"}


def alerts(
    everything: Annotated[bool, typer.Option("--all", help="Those that have been acknowledged as well.")] = False,
    acknowledge: Annotated[UUID | None, typer.Option(help="Acknowledge this alert.")] = None,
    finding: Annotated[
        domain.Finding | None, typer.Option(help="With --acknowledge: what looking into it has shown.")
    ] = None,
    as_json: Json = False,
) -> None:
    """What the watch has found, the newest first; or acknowledge one."""
    if (acknowledge is None) != (finding is None):
        raise typer.BadParameter("--acknowledge and --finding go together")
    with reporting(as_json):
        with working() as work:
            if acknowledge is not None and finding is not None:
                found = [domain.acknowledge(work, acknowledge, finding)]
            else:
                found = domain.listed(work, open_only=not everything)

        def render() -> None:
            made = table("Raised (UTC)", "Severity", "What", "Who", "Count", "Usual", "Subject", "Finding", "Id")
            for one in found:
                colour = _COLOURS.get(one.severity, "white")
                made.add_row(
                    moment(one.raised_at),
                    f"[{colour}]{one.severity}[/{colour}]",
                    escape(f"{one.title['en']} {one.title['zh']}"),
                    escape(one.actor),
                    str(one.count),
                    str(one.threshold),
                    str(one.subject_id or ""),
                    one.finding or "",
                    str(one.id),
                )
            console().print(made)

        show(as_json, {"items": found}, render)


def honeytoken(
    subject: Annotated[UUID, typer.Argument(help="A data subject that nobody has a reason to read.")],
    lift: Annotated[bool, typer.Option("--lift", help="The subject is like any other again.")] = False,
) -> None:
    """Mark a subject: from now on any disclosure about it alarms. No list tells who is marked."""
    with reporting(False):
        with working() as work:
            (honeytokens.unmark if lift else honeytokens.mark)(work, subject)
        say("The mark is lifted" if lift else "The subject is a honeytoken now")


def review(
    month: Annotated[str, typer.Argument(help="Like 2026-01.")],
    csv: Annotated[Path | None, typer.Option(help="Write a table to this file.")] = None,
    as_json: Json = False,
) -> None:
    """What each principal did in a month, and which of its grants it did not need."""
    with reporting(as_json):
        with working() as work:
            found = access_reviews.review(work, month)
        if csv is not None:
            csv.write_text(access_reviews.as_csv(found), encoding="utf-8", newline="")

        def render() -> None:
            made = table("Principal", "Role", "Reads", "Subjects", "Refusals", "Off-hours", "Purposes", "Not used")
            for line in found.lines:
                made.add_row(
                    escape(line.principal),
                    line.role or "",
                    *(str(number) for number in (line.reads, line.subjects, line.refusals, line.off_hours)),
                    escape(", ".join(f"{name} {count}" for name, count in line.purposes.items())),
                    escape(", ".join((*line.unused_purposes, *line.unused_types))),
                )
            console().print(made)
            say(f"[dim]{found.month} in {escape(found.zone)}; the log's first {found.as_of} events[/dim]")

        show(as_json, found, render)


def reconcile(as_json: Json = False) -> None:
    """Compare every stored record with the log. Exit status 1 when one was changed behind the service."""
    with reporting(as_json):
        with service() as found:
            done = reconciling.reconcile(found)

        def render() -> None:
            for one in done.problems:
                say(f"[red]{one.what}[/red]  record {one.record_id}  subject {one.subject_id}")
            unproven = f", {done.unproven} of them older than the log's digests" if done.unproven else ""
            say(f"{done.records} records compared{unproven}; {len(done.problems)} do not agree with the log")

        show(as_json, done, render)
        if done.problems:
            raise typer.Exit(1)


def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go first, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Let go of the old end of the log: whole ranges in which every event's period has passed. The tree stays."""
    if not dry_run and not yes:
        if not sys.stdin.isatty():
            raise typer.BadParameter("--yes or --dry-run is needed where nobody can be asked")
        typer.confirm("Delete events whose periods have passed, for good?", abort=True)
    with reporting(as_json):
        done: list[Pruned] = []
        with service() as found:
            while not done or (not dry_run and done[-1].step != "nothing"):
                with found.begin() as work:
                    done.append(log_retention.prune(work, dry_run=dry_run))
        steps = [one for one in done if one.step != "nothing"]

        def render() -> None:
            verbs = ("would be archived", "would be deleted") if dry_run else ("archived", "deleted")
            for one in steps:
                verb = verbs[one.step == "emptied"]
                say(f"{one.events} events at {one.first} to {one.after - 1}: {verb}")
            if not steps:
                say("Nothing has passed its period")

        show(as_json, {"steps": steps, "dry_run": dry_run}, render)
