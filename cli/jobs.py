"""`privacy jobs`: what runs by itself, when it ran and how that ended, and what was set aside."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer
from rich.markup import escape

from cli.terminal import Json, console, moment, reporting, say, service, show, table, working
from jobs.scheduler import Scheduler
from privacy import job_runs
from privacy.errors import Conflict
from privacy.job_runs import Run
from privacy.work import TERMINAL

app = typer.Typer(no_args_is_help=True, help="What runs by itself.")
_COLOURS = {"done": "green", "running": "cyan", "failed": "red", "lost": "red"}

Job = Annotated[str, typer.Argument(metavar="JOB", help="A job's name, as `privacy jobs list` gives it.")]
Limit = Annotated[int, typer.Option(min=1, max=job_runs.PAGE, help="How many at most.")]


@app.command("list")
def list_jobs(as_json: Json = False) -> None:
    """Every job: when it is due, how its last run ended, how often it failed in a row."""
    with reporting(as_json):
        with working() as work:
            found = job_runs.listed(work)

        def render() -> None:
            made = table("Job", "When", "Due (UTC)", "Last run (UTC)", "Ended", "Items", "In a row", "Set aside")
            for one in found:
                last = one.last
                made.add_row(
                    escape(one.name),
                    escape(one.schedule or ""),
                    moment(one.next_run),
                    moment(last.started_at) if last else "",
                    _ended(last) if last else "",
                    _items(last) if last else "",
                    f"[red]{one.failures} failed[/red]" if one.failures else "",
                    f"[yellow]{one.set_aside}[/yellow]" if one.set_aside else "",
                )
            console().print(made)
            if not found:
                say("[dim]No job has ever been due: `privacy serve` runs them[/dim]")

        show(as_json, {"items": found}, render)


@app.command()
def run(name: Job, as_json: Json = False) -> None:
    """Run a job here and now, due or not. Exit status 1 when it fails, or runs elsewhere already."""
    with reporting(as_json):
        with service() as found:
            is_done = Scheduler(found).run_now(name, TERMINAL)
            with found.begin() as work:
                last = next(iter(job_runs.history(work, name, limit=1)), None)
        if last is None or (not is_done and last.outcome == "running"):
            raise Conflict("Another process runs this job; it is due once more after that")
        show(as_json, last, lambda: say(f"{_ended(last)}  {_items(last)} items"))
        if not is_done:
            raise typer.Exit(1)


@app.command()
def history(name: Job, limit: Limit = 20, as_json: Json = False) -> None:
    """A job's runs of the last 90 days, the newest first."""
    with reporting(as_json):
        with working() as work:
            found = job_runs.history(work, name, limit=limit)

        def render() -> None:
            made = table("Due (UTC)", "Began", "Ended", "How", "Items", "Run by", "Number")
            for one in found:
                times = (moment(one.due_at), moment(one.started_at), moment(one.finished_at))
                made.add_row(*times, _ended(one), _items(one), escape(one.owner), str(one.number))
            console().print(made)

        show(as_json, {"items": found}, render)


@app.command()
def items(
    name: Job,
    retry: Annotated[UUID | None, typer.Option(help="Give this item back to the job: the cause is gone.")] = None,
    limit: Limit = job_runs.PAGE,
    as_json: Json = False,
) -> None:
    """What a job could not do three times, and leaves out since."""
    with reporting(as_json):
        with working() as work:
            if retry is not None:
                job_runs.retry_item(work, name, retry)
            found = job_runs.items(work, name, limit=limit)

        def render() -> None:
            made = table("Item", "Failures", "Last (UTC)", "Set aside (UTC)", "Code")
            for one in found:
                when = (moment(one.failed_at), moment(one.set_aside_at))
                made.add_row(str(one.item), str(one.failures), *when, escape(one.code))
            console().print(made)
            if not found:
                say("Nothing is set aside")

        show(as_json, {"items": found}, render)


def _ended(run: Run) -> str:
    colour = _COLOURS.get(run.outcome, "white")
    return f"[{colour}]{run.outcome}[/{colour}]" + (f" {escape(run.code)}" if run.code else "")


def _items(run: Run) -> str:
    of = f" of {run.total}" if run.total is not None else ""
    left = f", {run.left_seconds} s left" if run.left_seconds is not None else ""
    return f"{run.done}{of}{left}"
