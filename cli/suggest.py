"""`privacy manifest suggest`: a manifest drafted from the organisation's own tables, at this machine only.

Nothing but masked samples is shown. The draft goes to standard output or to a new file, the findings to the terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from cli.spoken import Shown
from cli.spoken import language as terminal_language
from cli.terminal import Json, console, reporting, say, say_json, table
from privacy.detection import columns_databases as databases
from privacy.detection import columns_sources as sources
from privacy.detection.columns_table import Table, examine
from privacy.errors import Invalid
from privacy.manifest import Text, suggestion
from privacy.manifest.suggestion import Proposed, ProposedType

_COLOURS: Final = {"L1": "green", "L2": "cyan", "L3": "yellow", "L4": "red"}
_STANDING_COLOURS: Final = {"proved": "green", "indicated": "yellow", "undetermined": "red"}
_HEADS: Final = (
    Text("列", "Column"),
    Text("字段", "Field"),
    Text("内容", "What it is"),
    Text("角色", "Role"),
    Text("级别", "Level"),
    Text("依据", "Standing"),
    Text("证据", "Evidence"),
    Text("脱敏样例", "Masked samples"),
)
_ROWS: Final = Text("{rows} 行，取样 {sampled}", "{rows} rows, {sampled} sampled")
_ALONE: Final = Text(
    "准标识符合起来使 {share} 的样本行唯一", "The quasi-identifiers together leave {share} of the sampled rows alone"
)
_CHILDREN: Final = Text(
    "{young}/{aged} 行涉及未满十四周岁者（个保法第28、31条）",
    "{young}/{aged} rows are about people under 14 (PIPL-28, PIPL-31)",
)
_WRITTEN: Final = Text(
    "已写入 {file}：填写标有 {mark} 处，再执行 privacy manifest check",
    "{file} is written: fill in what is marked {mark}, then run privacy manifest check",
)


def suggest(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...", help="CSV, Parquet, JSON lines, or sqlite:///file.db?table=name, postgresql://…"
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A new file for the draft, else standard output.", metavar="FILE"),
    ] = None,
    sample: Annotated[int, typer.Option(min=1, max=100_000, help="Rows of each table that are looked at.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="The same seed takes the same rows.")] = 1,
    show_in: Annotated[Shown | None, typer.Option("--in", help="Language of the table; the terminal's.")] = None,
    as_json: Json = False,
) -> None:
    """Draft a manifest from tables: record types, fields, levels, categories, and the evidence for each."""
    with reporting(as_json):
        if output is not None and output.exists():
            raise Invalid(f"There is a file {output} already, and nothing is overwritten")
        tables = [one for source in files for one in _examined(source, sample, seed, quiet=as_json)]
        types = suggestion.propose(tables)
        draft = suggestion.text(types)
        if output is not None:
            _write(output, draft)
        if as_json:
            say_json({"records": [_json(one) for one in types], "manifest": draft})
            return
        language = terminal_language(show_in)
        for one in types:
            _render(one, language, to_stderr=output is None)
        if output is None:
            console().out(draft, end="", highlight=False)
        else:
            written = _WRITTEN.in_language(language).format(file=escape(str(output)), mark=suggestion.MARK)
            say(f"[green]✓[/green] {written}")


def _examined(source: str, sample: int, seed: int, *, quiet: bool) -> Iterator[Table]:
    """The tables of one source. The path of a file may be repeated to people, a URL may not."""
    today = datetime.now(UTC).date()
    if databases.is_database(source):
        with _progress("database", quiet) as advance:
            for one in databases.sampled(source, sample, seed, advance):
                yield examine(one, today)
        return
    path = Path(source)
    if "://" in source:
        raise Invalid(
            "A database is SQLite or PostgreSQL: sqlite:///file.db?table=members, postgresql://…?table=members"
        )
    if not path.is_file():
        raise Invalid(f"There is no file {source}")
    with _progress(path.name, quiet) as advance:
        read = sources.sampled(path, sample, seed, advance)
    yield examine(read, today)


@contextmanager
def _progress(name: str, quiet: bool) -> Iterator[Callable[[float], None]]:
    """A bar on a terminal, gone when it is done."""
    errors = console(to_stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, disable=quiet or not errors.is_terminal, transient=True) as progress:
        task = progress.add_task(escape(name), total=1.0)
        yield lambda share: progress.update(task, completed=share)


def _write(output: Path, draft: str) -> None:
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(draft)
    except OSError as error:
        raise Invalid(f"{output} cannot be written ({type(error).__name__})") from None


def _render(one: ProposedType, language: str, *, to_stderr: bool) -> None:
    found = one.table
    rows = _ROWS.in_language(language).format(rows=f"{found.rows:,}", sampled=f"{found.sampled:,}")
    say(f"[bold]{escape(found.name)}[/bold] → [bold]{one.name}[/bold]  [dim]{rows}[/dim]", to_stderr=to_stderr)
    made = table(*(head.in_language(language) for head in _HEADS))
    for field in one.fields:
        made.add_row(*_cells(field, language))
    console(to_stderr=to_stderr).print(made)
    if found.alone is not None:
        say(_ALONE.in_language(language).format(share=f"{found.alone:.0%}"), to_stderr=to_stderr)
    if found.under_14:
        said = _CHILDREN.in_language(language).format(young=found.under_14, aged=found.aged)
        say(f"[red]{said}[/red]", to_stderr=to_stderr)


def _cells(field: Proposed, language: str) -> Sequence[str]:
    column = field.column
    what = "?" if column.kind is None else column.kind.zh if language == "zh" else column.kind.en
    level, standing = str(column.level), column.standing
    reasons = ("；" if language == "zh" else "; ").join(suggestion.reason(one, language) for one in column.evidence)
    colour = _STANDING_COLOURS[standing.value]
    return (
        escape(column.name),
        field.name,
        what,
        suggestion.role_title(column.role).in_language(language),
        f"[{_COLOURS[level]}]{level}[/{_COLOURS[level]}]",
        f"[{colour}]{suggestion.standing_title(standing).in_language(language)}[/{colour}]",
        escape(reasons),
        escape(", ".join(column.samples)),
    )


def _json(one: ProposedType) -> dict[str, object]:
    found = one.table
    return {
        "name": one.name,
        "source": found.name,
        "rows": found.rows,
        "sampled": found.sampled,
        "alone": found.alone,
        "under_14": found.under_14,
        "fields": [_json_field(field) for field in one.fields],
    }


def _json_field(field: Proposed) -> dict[str, object]:
    column = field.column
    return {
        "name": field.name,
        "column": column.name,
        "kind": column.kind.name if column.kind is not None else None,
        "category": field.category,
        "level": str(column.level),
        "role": column.role,
        "standing": column.standing,
        "evidence": column.evidence,
        "type": field.type,
        "lookup": "exact" if field.lookup else None,
        "mask": field.mask,
        "detect": field.detect,
        "scan": ["zh", "en"] if field.scan else [],
        "analytics": field.analytics,
        "holds": column.holds,
        "filled": column.filled,
        "distinct": column.distinct,
        "samples": column.samples,
    }
