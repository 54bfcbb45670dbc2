"""`privacy notice`: what people are told. Write it, see what it would change, publish it, look at it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.markdown import Markdown
from rich.markup import escape

from cli.deployment import read
from cli.terminal import Json, console, moment, reporting, say, service, show, table, working
from privacy import manifest, notices
from privacy.errors import NotFound, Unavailable
from privacy.manifest import Manifest
from privacy.notices import Notice, PlannedPurpose, Proposal, Published
from privacy.terms import TermChange

app = typer.Typer(no_args_is_help=True, help="What people are told: write it, compare it, publish it, look at it.")


class Language(StrEnum):
    ZH = "zh"
    EN = "en"


File = Annotated[Path, typer.Argument(help="The notice, YAML.", metavar="FILE")]
In = Annotated[Language | None, typer.Option("--language", help="The controller's first language when left out.")]
Beside = Annotated[
    Path | None, typer.Option("--manifest", help="Instead of the manifest in force; needs no service.", metavar="FILE")
]
Material = Annotated[
    list[str] | None,
    typer.Option("--material", help="Also ask everybody again for this purpose. May be repeated.", metavar="PURPOSE"),
]
Which = Annotated[str | None, typer.Argument(help="The newest when left out.", metavar="[VERSION]")]

_COLOURS: Final = {"first": "green", "unchanged": "dim", "wording": "yellow", "material": "red"}
_MEANINGS: Final = {
    "first": "no notice has covered this purpose before",
    "unchanged": "the same text; consents stay",
    "wording": "other words, nothing more is done; consents stay",
    "material": "more than people were told; they are asked again where they consented (PIPL-14, PIPL-17)",
}


@app.command("draft")
def draft_notice(
    version: Annotated[str, typer.Option(help='The label, like "2026-01".')],
    beside: Beside = None,
    as_json: Json = False,
) -> None:
    """Print a notice to start from: the parts that people write, for the manifest in force."""
    with reporting(as_json):
        made = notices.draft(_manifest(beside), version)
        show(
            as_json,
            {"version": version, "source": made.source},
            lambda: console().out(made.source, end="", highlight=False),
        )


@app.command()
def check(file: File, beside: Beside = None, as_json: Json = False) -> None:
    """Look for faults, all of them, each with its place, against the manifest in force."""
    with reporting(as_json):
        draft = notices.parse(read(file), str(file))
        content = notices.render(draft, _manifest(beside))
        covered = sorted(content.editions[content.languages[0]].purposes)
        show(
            as_json,
            {"ok": True, "version": draft.version, "languages": content.languages, "purposes": covered},
            lambda: say(
                f"[green]✓[/green] {escape(str(file))} is valid: {len(covered)} purposes, "
                f"in {' and '.join(content.languages)}"
            ),
        )


@app.command()
def plan(file: File, material: Material = None, as_json: Json = False) -> None:
    """What publishing would change: for each purpose the wording or more, and the consents that become stale."""
    with reporting(as_json):
        proposal = _proposed(file, material)
        show(as_json, _json_proposal(proposal), lambda: _render_proposal(proposal))


@app.command()
def publish(
    file: File,
    material: Material = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Publish, from the next request on, on every replica; shows what changes and asks first.

    A published notice is never changed: the next one has another version.
    """
    must_ask = not (yes or as_json)
    if must_ask and not sys.stdin.isatty():
        raise typer.BadParameter("there is no terminal to ask at; --yes publishes without asking")
    with reporting(as_json):
        draft = notices.parse(read(file), str(file))
        agreed = None
        if must_ask:
            # Asked between two transactions: nobody waits for a lock while a person reads.
            agreed = _proposed(file, material)
            _render_proposal(agreed)
            typer.confirm("Publish it?", abort=True)
        with working() as work:
            notice = notices.publish(work, draft, material=material or (), agreed=agreed)
        show(
            as_json,
            _json_published(notice),
            lambda: say(f"[green]✓[/green] Notice {notice.version} is published, number {notice.number}"),
        )


@app.command("list")
def list_notices(as_json: Json = False) -> None:
    """Every notice, the newest first."""
    with reporting(as_json):
        with working() as work:
            found = notices.listed(work)

        def render() -> None:
            made = table("Version", "At (UTC)", "By", "Manifest", "Purposes", "Material")
            for notice in found:
                by = f"{notice.published_by} (generated)" if notice.generated else notice.published_by
                facts = (str(notice.manifest_version), str(len(notice.terms)), ", ".join(notice.material))
                made.add_row(notice.version, moment(notice.published_at), *map(escape, (by, *facts)))
            console().print(made)

        show(as_json, {"items": [_json_published(notice) for notice in found]}, render)


@app.command("show")
def show_notice(
    version: Which = None,
    language: In = None,
    purpose: Annotated[str | None, typer.Option(help="Only what is shown when its consent is asked.")] = None,
    as_json: Json = False,
) -> None:
    """A notice as people read it: Markdown."""
    with reporting(as_json):
        notice = _found(version)
        edition = notice.content.edition(_language(notice, language))
        text, digest = edition.text, edition.digest
        if purpose is not None:
            if purpose not in edition.purposes:
                raise NotFound("The notice does not cover this purpose")
            text, digest = edition.purposes[purpose].text, edition.purposes[purpose].digest

        def render() -> None:
            screen = console()
            if screen.is_terminal:
                screen.print(Markdown(text))
            else:  # for a file or a page: as it was published, to the byte
                screen.out(text, end="", highlight=False)

        answer = _json_published(notice) | {"language": _language(notice, language), "text": text, "digest": digest}
        show(as_json, answer, render)


@app.command()
def lists(version: Which = None, language: In = None, as_json: Json = False) -> None:
    """What is collected and what is shared, as the two lists that people must be given (NDSMR 21)."""
    with reporting(as_json):
        notice = _found(version)
        edition = notice.content.edition(_language(notice, language))

        def render() -> None:
            collected = table("Purpose", "Record type", "Personal data", "Sensitive", "Storage period")
            for row in edition.collected:
                collected.add_row(
                    *map(escape, (row.title, row.record, ", ".join(row.fields), ", ".join(row.sensitive), row.keep))
                )
            shared = table("Recipient", "Capacity", "Country", "Contact", "Purpose", "Personal data")
            for given in edition.shared:
                who = (given.title, given.kind, given.country, given.contact)
                shared.add_row(*map(escape, (*who, given.purpose_title, ", ".join(given.fields))))
            for title, made in (("Collected", collected), ("Shared", shared)):
                say(f"[bold underline]{title}[/bold underline]")
                console().print(made)

        answer = {"version": notice.version, "collected": edition.collected, "shared": edition.shared}
        show(as_json, answer, render)


def _manifest(file: Path | None) -> Manifest:
    """The manifest of the file, or the one in force."""
    if file is not None:
        return manifest.parse(read(file), str(file))
    with service() as steward:
        declared = steward.declared
    if declared is None:
        raise Unavailable("No manifest is in force: run `privacy manifest apply FILE`")
    return declared.manifest


def _proposed(file: Path, material: Sequence[str] | None) -> Proposal:
    draft = notices.parse(read(file), str(file))
    with working() as work:
        return notices.propose(work, draft, material=material or ())


def _found(version: str | None) -> Notice:
    with working() as work:
        notice = notices.get(work, version) if version is not None else notices.newest(work)
    if notice is None:
        raise NotFound("No notice is published: run `privacy notice draft`, then `privacy notice publish FILE`")
    return notice


def _language(notice: Notice, asked: Language | None) -> str:
    return asked.value if asked is not None else notice.content.languages[0]


def _json_published(notice: Published) -> dict[str, object]:
    return {
        "number": notice.number,
        "version": notice.version,
        "at": notice.published_at,
        "by": notice.published_by,
        "manifest": notice.manifest_version,
        "generated": notice.generated,
        "purposes": sorted(notice.terms),
        "material": notice.material,
    }


def _json_proposal(proposal: Proposal) -> dict[str, object]:
    return {
        "number": proposal.number,
        "version": proposal.version,
        "before": proposal.before,
        "manifest": proposal.manifest_version,
        "purposes": proposal.purposes,
    }


def _render_proposal(proposal: Proposal) -> None:
    before = f" after {proposal.before}" if proposal.before else ""
    say(f"Notice [bold]{escape(proposal.version)}[/bold]{escape(before)}")
    for planned in proposal.purposes:
        colour = _COLOURS[planned.status]
        say(f"[{colour}]{planned.status:<9}[/{colour}] {escape(planned.purpose)}: {_MEANINGS[planned.status]}")
        for change in planned.changes:
            say(f"          {_difference(change)}")
        if planned.stale:
            say(f"          [red]{_consents(planned)}[/red]")
    changed = [planned.status for planned in proposal.purposes]
    say(f"{changed.count('material')} material, {changed.count('wording')} wording, {changed.count('first')} first")


def _consents(planned: PlannedPurpose) -> str:
    return "1 consent in force is stale" if planned.stale == 1 else f"{planned.stale} consents in force are stale"


def _difference(change: TermChange) -> str:
    mark = "[red]broader[/red] " if change.is_broader else "[dim]narrower[/dim] "
    match change.before, change.after:
        case "", after:
            said = f"+ {after}"
        case before, "":
            said = f"- {before}"
        case before, after:
            said = f"{before} → {after}"
    return f"{mark}{change.what}: {escape(said)}"
