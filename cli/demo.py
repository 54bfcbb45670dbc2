"""`privacy demo`: three invented components use a running service over HTTP, and what came of it.

`--prepare` gives them their principals and keys first, on the machine that has PRIVACY_HOME; the
demonstration itself needs the address, the keys and nothing else, and runs from anywhere.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Final

import httpx
import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from cli.deployment import address
from cli.outcome import Report, Said
from cli.people import IDENTITY, MARKETING, NEWSLETTER, PARTNER, STATISTICS
from cli.sample import ANALYST, COMMUNITY, DESK, LANGUAGES, QUALITY, UNDECLARED, Sample
from cli.sample_figures import OFFICE, REVIEWER, Figures
from cli.terminal import Json, console, reporting, say, service, show, table
from privacy import principals
from privacy.errors import Conflict, Invalid, Unauthenticated, Unavailable
from privacy.settings import Settings
from privacy.steward import Steward
from privacy.work import Role

AUDITOR: Final = "demo-auditor"
_READY_SECONDS: Final = 60.0
_FILE_MODE: Final = 0o600


def demo(
    subjects: Annotated[int, typer.Option(min=1, max=100_000, help="How many people to invent.")] = 1000,
    url: Annotated[str | None, typer.Option(help="Where the service is; else PRIVACY_HOST and PRIVACY_PORT.")] = None,
    keys: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The components' keys; else PRIVACY_HOME/demo.json.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed invents the same people.")] = 1,
    prepare: Annotated[
        bool,
        typer.Option("--prepare", help="Only make the components' principals and keep their keys, in PRIVACY_HOME."),
    ] = False,
    first_run: Annotated[bool, typer.Option("--first-run", hidden=True)] = False,
    as_json: Json = False,
) -> None:
    """Let three invented components use the service over HTTP, and report what each got and did not get."""
    with reporting(as_json):
        settings = Settings.from_environment()
        file = keys or keys_file(settings)
        if prepare:
            made = _prepare(file)
            show(as_json, {"keys_file": file, "principals": made}, lambda: _say_prepared(file, made))
            return
        held = _keys(file)
        where = url or address(settings)
        if first_run:
            _wait_until_ready(where)
        with Sample(where, held, subjects, seed) as sample:
            if first_run and sample.is_there():
                say("[green]✓[/green] The sample data is there")
            else:
                with _progress(quiet=as_json) as steps:
                    report = sample.run(steps)
                show(as_json, _json(report), lambda: _render(report))
            example = sample.first_subject()
            spoken = [subject for language in LANGUAGES if (subject := sample.who_said_a_number(language)) is not None]
        if not as_json and example is not None and AUDITOR in held:
            _say_what_to_try(where, held, example, spoken, file)
        if first_run:
            say("It runs until Ctrl-C.")


def keys_file(settings: Settings) -> Path:
    return settings.home / "demo.json"


# --- the components' keys


def _prepare(file: Path) -> list[str]:
    """Make what principals are missing; keys that still work are kept. The names of the new keys."""
    held: dict[str, str] = {}
    with suppress(Invalid):
        held = _keys(file)
    made = []
    with service() as steward:
        for name, (role, purposes, types) in _GRANTS.items():
            if not _works(steward, name, held.get(name)):
                held[name] = _new_key(steward, name, role, purposes, types)
                made.append(name)
    if made:
        _keep(file, held)
    return made


_GRANTS: Final[Mapping[str, tuple[Role, tuple[str, ...], tuple[str, ...]]]] = {
    COMMUNITY: (Role.SERVICE, ("membership", MARKETING, NEWSLETTER, PARTNER, IDENTITY, STATISTICS), ("member",)),
    DESK: (Role.SERVICE, ("customer-service", "complaint-handling"), ("member", "interaction", "complaint")),
    ANALYST: (Role.SERVICE, ("statistics", QUALITY), ("member", "interaction")),
    AUDITOR: (Role.AUDITOR, (), ()),
    OFFICE: (Role.OPERATOR, (), ()),
    REVIEWER: (Role.OPERATOR, (), ()),
}


def _works(steward: Steward, name: str, key: str | None) -> bool:
    try:
        return key is not None and steward.authenticate(key).name == name
    except Unauthenticated:
        return False


def _new_key(steward: Steward, name: str, role: Role, purposes: tuple[str, ...], types: tuple[str, ...]) -> str:
    try:
        with steward.begin() as work:
            return principals.add(work, name, role=role, purposes=purposes, types=types).key
    except Conflict:  # it is there, and its key is lost
        with steward.begin() as work:
            return principals.rotate(work, name).key


def _keep(file: Path, held: Mapping[str, str]) -> None:
    """Write the keys for their owner's eyes only, whole or not at all."""
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE), "w") as opened:
        json.dump({"keys": dict(held)}, opened, indent=2)
    new.replace(file)


def _keys(file: Path) -> dict[str, str]:
    """Raises `Invalid`, saying what to do, unless the file holds a key for each component."""
    try:
        found = json.loads(file.read_text())["keys"]
        held = {str(name): str(key) for name, key in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        held = {}
    if not {COMMUNITY, DESK, ANALYST, OFFICE, REVIEWER} <= held.keys():
        raise Invalid(f"{file} holds no keys for the demonstration: run `privacy demo --prepare` where PRIVACY_HOME is")
    return held


def _say_prepared(file: Path, made: list[str]) -> None:
    what = f"New keys for {', '.join(made)}" if made else "Every component has a key that works"
    say(f"[green]✓[/green] {what}; they are kept in {escape(str(file))}, for its owner only")


# --- progress


class _Bars:
    """A bar for each step."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    @contextmanager
    def step(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        task = self._progress.add_task(title, total=total)
        yield lambda count: self._progress.advance(task, count)


class _Lines:
    """A line for each finished step, or nothing."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    @contextmanager
    def step(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        began = time.monotonic()
        yield lambda count: None
        if not self._quiet:
            say(f"{title}: {total} in {time.monotonic() - began:.1f} s")


@contextmanager
def _progress(*, quiet: bool) -> Iterator[_Bars | _Lines]:
    """Bars on a terminal; a log or a pipe gets lines."""
    screen = console()
    if quiet or not screen.is_terminal:
        yield _Lines(quiet=quiet)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen) as progress:
        yield _Bars(progress)


def _wait_until_ready(url: str) -> None:
    """Return when the service says it is ready. Raises `Unavailable` after a minute."""
    deadline = time.monotonic() + _READY_SECONDS
    with httpx.Client(timeout=2.0) as http:
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                if http.get(f"{url}/readyz").status_code == httpx.codes.OK:
                    return
            time.sleep(0.1)
    raise Unavailable(f"The service at {url} did not become ready within {_READY_SECONDS:.0f} seconds")


# --- the report


def _json(report: Report) -> dict[str, object]:
    return {
        "subjects": report.subjects,
        "created": report.created,
        "languages": report.languages,
        "stored": report.stored,
        "notice": report.notice,
        "consents": [
            {"purpose": kind.purpose, "language": kind.language, "state": kind.state, "count": count}
            for kind, count in report.consents.items()
        ],
        "restricted": report.restricted,
        "searches": {"made": report.searched, "found": report.found},
        "disclosed": {
            purpose: {"records": one.records, "values": one.values, "masked": one.masked, "masks": one.masks}
            for purpose, one in report.disclosed.items()
        },
        "refused": [
            {
                "component": kind.component,
                "purpose": kind.purpose,
                "code": kind.code,
                "law": kind.law,
                "why": {"en": kind.sentence, "zh": report.chinese.get(kind, "")},
                "count": count,
            }
            for kind, count in report.refused.items()
        ],
        "figures": None if report.figures is None else _figures_json(report.figures),
        "seconds": round(report.seconds, 3),
    }


def _figures_json(found: Figures) -> dict[str, object]:
    told = found.statistic
    return {
        "release": {"id": found.release.id, "state": found.release.state, "code": found.release.code},
        "rows": found.rows,
        "count": None if told is None else {"value": told.value, "accuracy": told.accuracy, "rho": told.rho},
    }


_SPOKEN: Final[Mapping[str, str]] = {"zh": "Chinese", "en": "English"}
_STATES: Final = ("given", "renewed", "refused", "deferred", "withdrawn")


def _render(report: Report) -> None:
    say("")
    who = ", ".join(f"{count} {_SPOKEN.get(name, name)}" for name, count in report.languages.items())
    say(f"[bold]Data subjects[/bold]  {report.subjects} ({who}), {report.created} of them new")
    what = ", ".join(f"{count} {name}" for name, count in report.stored.items() if count) or "nothing new"
    say(f"[bold]Stored[/bold]         {what}")
    say(f"[bold]Searched[/bold]       {report.found} of {report.searched} callers found by telephone number")
    asked = sum(report.consents.values())
    say(f"[bold]Consent[/bold]        {asked or 'no new'} acts, under notice {escape(report.notice)}")
    for made in (*_consents(report), _disclosed(report), _refused(report)):
        say("")
        console().print(made)
    if report.figures is not None:
        _render_figures(report.figures)
    say("")
    say(f"[dim]{report.seconds:.1f} s; every disclosure and every refusal above is in the audit log[/dim]")


def _consents(report: Report) -> Iterator[Table]:
    """How many acts of each state, by purpose and the language that people were asked in; nothing for none."""
    states = [state for state in _STATES if any(kind.state == state for kind in report.consents)]
    rows = sorted({(kind.purpose, kind.language) for kind in report.consents})
    if not rows:
        return
    made = table("Consent to", "in", *states)
    for purpose, language in rows:
        counts = (report.consents.get(Said(purpose, language, state), 0) for state in states)
        made.add_row(purpose, _SPOKEN.get(language, language), *(str(count or "") for count in counts))
    yield made


def _disclosed(report: Report) -> Table:
    made = table("Disclosed for", "Records", "Values", "of them masked", "Masks")
    for purpose, one in report.disclosed.items():
        masks = ", ".join(f"{name}: {mask}" for name, mask in one.masks.items())
        made.add_row(purpose, str(one.records), str(one.values), str(one.masked), masks)
    return made


def _refused(report: Report) -> Table:
    """Each kind of refusal with its sentence in both languages."""
    made = table("Refused to", "for", "Times", "Code", "Why")
    for kind, count in report.refused.items():
        said = dict.fromkeys(one for one in (kind.sentence, report.chinese.get(kind, "")) if one)
        why = "\n".join(map(escape, said))
        made.add_row(kind.component, kind.purpose, str(count), f"[red]{kind.code}[/red]", why)
    return made


def _render_figures(found: Figures) -> None:
    """The release, and the statistic with its noise."""
    say("")
    if found.rows:
        made = table(*(escape(name) for name in found.rows[0]))
        for row in found.rows[1:]:
            made.add_row(*(escape(cell) or "[dim]suppressed[/dim]" for cell in row))
        say(f"[bold]Released[/bold]       to {escape(found.release.recipient)}, asked by one and approved by another")
        console().print(made)
    else:
        say(f"[bold]Not released[/bold]   {found.release.state}, {found.release.code}")
    told = found.statistic
    if told is None:
        say("[bold]Statistics[/bold]     the privacy budget of the analyst is used up")
    else:
        say(
            f"[bold]Statistics[/bold]     {told.value} interactions, give or take {told.accuracy:g} "
            f"({told.confidence:.0%}), for rho {told.rho:g} of the budget"
        )


def _say_what_to_try(url: str, held: Mapping[str, str], subject: str, spoken: Sequence[str], file: Path) -> None:
    """`spoken`: subjects who said something personal to the desk."""

    def curl(path: str, key: str) -> str:
        return f"curl -s '{url}{path}' -H 'Authorization: Bearer {held[key]}'"

    records = f"/v1/subjects/{subject}/records"
    say("")
    say("[bold]Try it[/bold]: paste these into another terminal")
    say("")
    say("[dim]# a member, for customer service: the telephone number is masked[/dim]")
    say(escape(curl(f"{records}?purpose=customer-service&type=member", DESK)))
    say("")
    say("[dim]# the same member, for a purpose that nobody declared: refused, with the law[/dim]")
    say(escape(curl(f"{records}?purpose={UNDECLARED}&type=member", DESK)))
    say("")
    for number, caller in enumerate(spoken):
        talks = f"/v1/subjects/{caller}/records?type=interaction&purpose="
        say("[dim]# what a person said to the desk, in clear for customer service[/dim]")
        say(escape(curl(f"{talks}customer-service", DESK)))
        say("")
        say("[dim]# the same for the analyst: what is personal in it is taken out[/dim]")
        say(escape(curl(f"{talks}{QUALITY}", ANALYST)))
        say("")
        if number == 0:
            say("[dim]# the log of it: which fields, and which of them redacted[/dim]")
            say(escape(curl(f"/v1/audit/events?subject={caller}&limit=10", AUDITOR)))
            say("")
    say("[dim]# what was released of all of them, with each check of the gate; /ID/data gives the file[/dim]")
    say(escape(curl("/v1/releases", OFFICE)))
    say("")
    say("[dim]# what the analyst may still be told, with noise[/dim]")
    say(escape(curl("/v1/privacy-budgets", ANALYST)))
    say("")
    say("[dim]# what the auditor sees of the member: both are there[/dim]")
    say(escape(curl(f"/v1/audit/events?subject={subject}&limit=10", AUDITOR)))
    say("")
    say(f"The service is at {escape(url)}, its interface described at {escape(url)}/openapi.json")
    say(f"The keys of {', '.join(held)} are kept in {escape(str(file))}")
