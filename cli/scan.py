"""`privacy scan`: what is personal in a text or in a table, at this machine and without a service.

What a person sees of a text is the text itself, its findings marked; of a table only masked samples.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text as Marked

from cli.spoken import Shown, language
from cli.terminal import Json, console, names, reporting, say, say_json, table
from privacy.detection.analyser import LANGUAGES, Language, Mode, known
from privacy.detection.findings import Finding
from privacy.detection.redaction import level_of, title_of
from privacy.detection.table_files import SUFFIXES, TableFile, encoding_of
from privacy.detection.table_files import opened as opened_table
from privacy.detection.table_report import Column, report
from privacy.detection.workers import Workers
from privacy.errors import DetectionOff, Invalid, PrivacyError
from privacy.manifest import Text
from privacy.settings import Settings

_LARGE: Final = 200_000  # bytes; a smaller file is done before a second process has loaded its models
_COLOURS: Final = {"L1": "green", "L2": "cyan", "L3": "yellow", "L4": "red"}
_BLIND: Final = Text("仅用规则，看不到：{entities}", "Patterns only, which cannot see: {entities}")
_NOTHING: Final = Text("未发现个人信息", "Nothing personal was found")
_LEGEND: Final = Text("图例", "Legend")
_ANALYSED: Final = Text("已检测", "Analysed")
_HEADS: Final = (
    Text("列", "Column"),
    Text("单元格", "Cells"),
    Text("实体", "Entity"),
    Text("级别", "Level"),
    Text("占比", "Share"),
    Text("脱敏样例", "Masked samples"),
)


def scan(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="A text, or a .csv, .tsv, .jsonl or .parquet table.")],
    lang: Annotated[str, typer.Option(help="The languages to look for: zh, en or both.")] = ",".join(LANGUAGES),
    patterns: Annotated[
        bool, typer.Option("--patterns", help="Without models: numbers and addresses of the net, no names.")
    ] = False,
    as_text: Annotated[bool, typer.Option("--text", help="Read a table as the text that it is.")] = False,
    show_in: Annotated[Shown | None, typer.Option("--in", help="Language of the view; the terminal's.")] = None,
    as_json: Json = False,
) -> None:
    """Find personal data in a file. With --json one object for each finding, or for each column of a table."""
    with reporting(as_json):
        wanted = _languages(lang)
        settings = Settings.from_environment()
        mode: Mode = "patterns" if patterns or settings.detection == "patterns" else "full"
        if settings.detection == "off":
            raise DetectionOff
        shown = language(show_in)
        path = None if file == "-" else Path(file)
        if path is not None and not path.is_file():
            raise Invalid(f"There is no file {file}")
        large = path is not None and path.stat().st_size > _LARGE
        with _detector(settings.detection_workers if large else 0, mode) as detector:
            _say_what_is_not_seen(detector, shown)
            if path is not None and path.suffix.lower() in SUFFIXES and not as_text:
                _scan_table(path, detector, wanted, shown, as_json)
            else:
                _scan_text(_text(path), detector, wanted, shown, as_json)


@contextmanager
def _detector(count: int, mode: Mode) -> Iterator[Workers]:
    made = Workers(count, mode)
    try:
        yield made
    finally:
        made.close()


def _scan_text(text: str, detector: Workers, languages: Sequence[Language], shown: Language, as_json: bool) -> None:
    (found,) = detector.analyse([text], languages)
    if as_json:
        for one in found:
            say_json(_object(one))
    else:
        _render_text(text, found, shown)


def _object(one: Finding) -> dict[str, object]:
    return {
        "start": one.start,
        "end": one.end,
        "entity": one.entity,
        "level": level_of(one.entity).name,
        "score": round(one.score, 4),
        "why": one.why,
    }


def _render_text(text: str, found: Sequence[Finding], shown: Language) -> None:
    """The text with each finding in its level's colour and its name behind it, which is seen without colours too."""
    if not found:
        say(_NOTHING.in_language(shown))
        return
    marked, at = Marked(), 0
    for one in found:
        colour = _COLOURS[level_of(one.entity).name]
        marked.append(text[at : one.start])
        marked.append(text[one.start : one.end], style=f"bold {colour} underline")
        marked.append(f"⟨{title_of(one.entity, shown)}⟩", style=f"dim {colour}")
        at = one.end
    marked.append(text[at:].rstrip("\n"))
    console().print(marked, soft_wrap=True)
    say("")
    made = table(_LEGEND.in_language(shown), "", "", "")
    for entity in sorted({one.entity for one in found}, key=lambda name: (-level_of(name), name)):
        level = level_of(entity).name
        count = sum(one.entity == entity for one in found)
        made.add_row(_coloured(level, level), escape(title_of(entity, shown)), entity, str(count))
    console().print(made)


def _scan_table(path: Path, detector: Workers, languages: Sequence[Language], shown: Language, as_json: bool) -> None:
    with opened_table(path) as found:
        columns = _reported(found, detector, languages, shown)
    if as_json:
        for column in columns:
            say_json(column)
        return
    made = table(*(head.in_language(shown) for head in _HEADS))
    for column in columns:
        rows: list[tuple[str, ...]] = [
            (
                escape(title_of(held.entity, shown)),
                _coloured(held.level, held.level),
                f"{held.share:.1%}",
                escape("  ".join(held.samples)),
            )
            for held in column.entities
        ] or [("-", "", "", "")]
        for n, row in enumerate(rows):
            made.add_row(escape(column.column) if n == 0 else "", f"{column.cells:,}" if n == 0 else "", *row)
    console().print(made)


def _reported(found: TableFile, detector: Workers, languages: Sequence[Language], shown: Language) -> list[Column]:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    errors = console(to_stderr=True)
    with Progress(*columns, console=errors, disable=not errors.is_terminal, transient=True) as progress:
        task = progress.add_task(_ANALYSED.in_language(shown), total=found.total)
        return report(
            found,
            lambda texts: detector.submit(texts, languages),
            lambda place: progress.update(task, completed=place),
        )


def _say_what_is_not_seen(detector: Workers, shown: Language) -> None:
    if detector.blind_to:
        entities = ", ".join(title_of(entity, shown) for entity in detector.blind_to)
        say(f"[yellow]{escape(_BLIND.in_language(shown).format(entities=entities))}[/yellow]", to_stderr=True)


def _text(path: Path | None) -> str:
    """The file's text, or that of standard input, its line ends as they are. Raises `Invalid` when it is no text."""
    try:
        return sys.stdin.read() if path is None else path.read_bytes().decode(encoding_of(path))
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"It cannot be read as text ({type(error).__name__})") from None


def _languages(text: str) -> tuple[Language, ...]:
    try:
        return known(names(text))
    except PrivacyError as error:
        raise typer.BadParameter(error.detail) from None


def _coloured(level: str, text: str) -> str:
    return f"[{_COLOURS[level]}]{escape(text)}[/{_COLOURS[level]}]"
