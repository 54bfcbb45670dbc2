"""`privacy anonymise`: a CSV or Parquet file made anonymous, at this machine, without service or PRIVACY_HOME.

Every column is a quasi-identifier (it has a hierarchy), sensitive, kept, dropped, or says whose a row is; a column that
is none of these refuses the file. Files appear under their names whole and checked, or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.spoken import Shown
from cli.spoken import language as terminal_language
from cli.terminal import Json, console, reporting, say, say_json, table
from privacy.anonymisation import hierarchy_specs
from privacy.anonymisation.hierarchy_specs import Spec
from privacy.anonymisation.policies import Policy, Recoding, SensitiveRule
from privacy.errors import Conflict, DetectionOff, Invalid
from privacy.manifest import Text

if TYPE_CHECKING:  # numpy and DuckDB, which no other command needs
    from privacy.anonymisation.execution import Stage
    from privacy.anonymisation.files import Done

_PUBLIC_K: Final = 20
_CONTROLLED_K: Final = 5
_REASSESS_DAYS: Final = {True: 365, False: 730}
_STAGES: Final = {
    "read": Text("读取并计数", "Reading and counting"),
    "choose": Text("选择泛化", "Choosing labels"),
    "write": Text("写出", "Writing"),
    "check": Text("复核", "Checking what was written"),
}
_UNSCANNED: Final = Text(
    "警告：未用检测器查看原样公布的列（--no-scan）。其中若有姓名或号码，将原样公布。",
    "Warning: nobody looked for names or numbers in the columns that are published as they are (--no-scan).",
)
_BLIND: Final = Text(
    "警告：未安装模型，只查找号码，看不到姓名。", "Warning: without models only numbers are looked for, not names."
)
_QUASI: Final = Text(
    "注意：这些原样公布的列像是准标识符：{columns}", "Note: kept columns that look like quasi-identifiers: {columns}"
)
_ROWS_AS_PERSONS: Final = Text(
    "每一行视为一个人；若一人有多行，请用 --person 指明。",
    "Every row was taken for a person; name a column with --person if somebody has several.",
)
_WRITTEN: Final = Text("已写入 {files}", "{files} written")


def anonymise(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV (UTF-8, GB 18030, UTF-16) or Parquet.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="A new .csv or .parquet file.")],
    hierarchies: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="COLUMN.csv (or …_hierarchy_COLUMN.csv, ARX's format) or COLUMN.json for each column."
        ),
    ] = None,
    quasi: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=SPEC", help='age={"intervals": [5, 10, 20]}, city=divisions, sex=flat, …'),
    ] = None,
    k: Annotated[int | None, typer.Option("-k", min=2, help="Persons in every class; 5, and 20 with --public.")] = None,
    sensitive: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Varied within every class.")] = None,
    distinct_l: Annotated[
        int | None, typer.Option("--l", min=1, help="Different sensitive values in every class; 2 without --t.")
    ] = None,
    t: Annotated[float | None, typer.Option("--t", min=0, max=1, help="Distance of every class from all.")] = None,
    suppression: Annotated[float, typer.Option(min=0, max=1, help="Share of the rows that may be left out.")] = 0.05,
    recoding: Annotated[Recoding | None, typer.Option(help="local where it can be; full-domain with --public.")] = None,
    keep: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Published as it is.")] = None,
    drop: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Not published.")] = None,
    person: Annotated[str | None, typer.Option(metavar="COLUMN", help="Says whose a row is; not published.")] = None,
    public: Annotated[bool, typer.Option("--public", help="For anybody: full-domain and k of 20 at least.")] = False,
    report: Annotated[Path | None, typer.Option(metavar="FILE.html", help="The risk report, as a page.")] = None,
    sheet: Annotated[Path | None, typer.Option(metavar="FILE.md|.json", help="The data sheet.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
    no_scan: Annotated[bool, typer.Option("--no-scan", help="Do not look through columns that are published.")] = False,
    show_in: Annotated[Shown | None, typer.Option("--in", help="Language of what is said; the terminal's.")] = None,
    as_json: Json = False,
) -> None:
    """Make a table anonymous: k persons alike in every class, sensitive values varied, the result checked."""
    with reporting(as_json):
        language = terminal_language(show_in)
        wanted = _Wanted(
            specs=_specs(hierarchies, quasi or []),
            sensitive=tuple(sensitive or ()),
            kept=tuple(keep or ()),
            dropped=tuple(drop or ()),
            person=person,
            policy=_policy(k, suppression, recoding, sensitive or [], distinct_l, t, is_public=public),
        )
        _readable(file)
        _places(file, [one for one in (output, report, sheet) if one is not None], force=force)
        columns = _columns(file, wanted)
        if not no_scan:
            _look_through(file, wanted, language)
        elif wanted.kept or wanted.sensitive:
            say(f"[bold red]{_UNSCANNED.in_language(language)}[/bold red]", to_stderr=True)
        done = _run(file, output, wanted, columns, force=force, quiet=as_json, language=language)
        _documents(done, report, sheet, language, is_public=public, force=force)
        if as_json:
            say_json(done.as_json())
        else:
            _render(done, [one for one in (output, report, sheet) if one is not None], language)


@dataclass(frozen=True, slots=True)
class _Wanted:
    specs: Mapping[str, Spec]
    sensitive: tuple[str, ...]
    kept: tuple[str, ...]
    dropped: tuple[str, ...]
    person: str | None
    policy: Policy


def _policy(
    k: int | None,
    suppression: float,
    recoding: Recoding | None,
    sensitive: Sequence[str],
    distinct_l: int | None,
    t: float | None,
    *,
    is_public: bool,
) -> Policy:
    least = _PUBLIC_K if is_public else _CONTROLLED_K
    if is_public and k is not None and k < least:
        raise Invalid(f"A public release has k of {least} at least", zh=f"公开发布的 k 至少为 {least}")
    if is_public and recoding not in (None, Recoding.FULL_DOMAIN):
        raise Invalid("A public release is full-domain: others can be coded down", zh="公开发布须为全域重编码")
    if not sensitive and (distinct_l is not None or t is not None):
        raise Invalid("--l and --t are about columns named with --sensitive", zh="--l 与 --t 须配合 --sensitive 使用")
    varied = 2 if distinct_l is None and t is None else distinct_l
    rules = tuple(SensitiveRule(name, distinct_l=varied, t=t) for name in sensitive)
    return Policy(least if k is None else k, suppression, rules, Recoding.FULL_DOMAIN if is_public else recoding)


# --- what the columns are


def _specs(folder: Path | None, given: Sequence[str]) -> dict[str, Spec]:
    found = {} if folder is None else dict(_of_folder(folder))
    for one in given:
        name, equals, text = one.partition("=")
        if not equals or not name:
            raise typer.BadParameter("--quasi is COLUMN=SPEC, like sex=flat")
        found[name] = hierarchy_specs.parse(_json(text) if text[:1] in '{["' else text)
    return found


def _of_folder(folder: Path) -> Iterator[tuple[str, Spec]]:
    """`age.csv`, `adult_hierarchy_age.csv` (as ARX's examples are called) or `age.json` is of the column `age`."""
    if not folder.is_dir():
        raise Invalid(f"There is no folder {folder}", zh=f"没有文件夹 {folder}")
    for path in sorted(folder.iterdir()):
        name = path.stem.rpartition("hierarchy_")[2]
        try:
            if path.suffix == ".csv":
                yield name, hierarchy_specs.parse({"csv": path.read_text(encoding="utf-8-sig")})
            elif path.suffix == ".json":
                yield name, hierarchy_specs.parse(_json(path.read_text(encoding="utf-8-sig")))
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid(f"{path.name} cannot be read ({type(error).__name__})") from None


def _json(text: str) -> object:
    try:
        found: object = json.loads(text)
    except json.JSONDecodeError:
        raise Invalid("A hierarchy is not valid JSON", zh="泛化层级不是有效的 JSON") from None
    return found


def _readable(file: Path) -> None:
    from privacy.anonymisation.files import SUFFIXES

    if not file.is_file():
        raise Invalid(f"There is no file {file}", zh=f"没有文件 {file}")
    if file.suffix.lower() not in SUFFIXES:
        raise Invalid(f"A table is read from {', '.join(sorted(SUFFIXES))}", zh=f"表须为 {'、'.join(sorted(SUFFIXES))}")


def _places(file: Path, places: Sequence[Path], *, force: bool) -> None:
    """Before anything is read: what has taken a minute shall not fail on its last step."""
    if len({place.resolve() for place in (file, *places)}) != len(places) + 1:
        raise Invalid("The input and the outputs are different files", zh="输入与各输出须为不同的文件")
    if places[0].suffix.lower() not in (".csv", ".parquet"):
        raise Invalid("The output is a .csv or a .parquet file", zh="输出须为 .csv 或 .parquet 文件")
    for place in places:
        if place.exists() and not force:
            raise Conflict(f"There is a file {place} already; --force overwrites", zh=f"{place} 已存在；--force 可覆盖")
        if not place.absolute().parent.is_dir():
            raise Invalid(f"There is no folder for {place}", zh=f"{place} 所在的文件夹不存在")


def _columns(file: Path, wanted: _Wanted) -> tuple[str, ...]:
    """The quasi-identifiers: columns with a hierarchy and no other role. Raises Unclassified."""
    from privacy.anonymisation.engine import Roles
    from privacy.anonymisation.engine_duckdb import DuckDB
    from privacy.anonymisation.execution import classify

    with DuckDB(file) as engine:
        columns = engine.columns()
    person = () if wanted.person is None else (wanted.person,)
    taken = {*wanted.sensitive, *wanted.kept, *wanted.dropped, *person}
    quasi = tuple(name for name in columns if name in wanted.specs and name not in taken)
    if not quasi and not set(columns) - taken:
        raise Invalid("No column is a quasi-identifier", zh="没有任何列是准标识符")
    named = Roles(quasi or columns[:1], wanted.sensitive, wanted.kept, wanted.dropped, wanted.person)
    classify(columns, named, wanted.policy)
    return quasi


def _look_through(file: Path, wanted: _Wanted, language: str) -> None:
    published = (*wanted.sensitive, *wanted.kept)
    if not published:
        return
    from privacy.anonymisation.engine_duckdb import DuckDB
    from privacy.anonymisation.output_scan import MOST_VALUES, refuse_personal
    from privacy.detection.analyser import Analyser
    from privacy.settings import Settings

    mode = Settings.from_environment().detection
    if mode == "off":
        raise DetectionOff("Detection is off here (PRIVACY_DETECTION); --no-scan publishes without a look")
    try:
        detector = Analyser(mode)
    except ImportError:
        detector = Analyser("patterns")
    if detector.blind_to:
        say(f"[yellow]{_BLIND.in_language(language)}[/yellow]", to_stderr=True)
    with DuckDB(file) as engine:
        values = {name: engine.some_of(name, MOST_VALUES) for name in published}
    if alike := refuse_personal(values, detector, sensitive=wanted.sensitive):
        said = _QUASI.in_language(language).format(columns=", ".join(alike))
        say(f"[yellow]{escape(said)}[/yellow]", to_stderr=True)


# --- the work and what is said of it


def _run(
    file: Path,
    output: Path,
    wanted: _Wanted,
    quasi: Sequence[str],
    *,
    force: bool,
    quiet: bool,
    language: str,
) -> Done:
    from privacy.anonymisation import files

    with _progress(quiet, language) as progress:
        return files.anonymise(
            file,
            output,
            quasi={name: wanted.specs[name] for name in quasi},
            policy=wanted.policy,
            sensitive=wanted.sensitive,
            kept=wanted.kept,
            dropped=wanted.dropped,
            persons=wanted.person,
            replace=force,
            progress=progress,
        )


@contextmanager
def _progress(quiet: bool, language: str) -> Iterator[Callable[[Stage], None]]:
    """A bar on a terminal, gone when it is done."""
    errors = console(to_stderr=True)
    shown = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*shown, console=errors, disable=quiet or not errors.is_terminal, transient=True) as progress:
        task = progress.add_task("", total=len(_STAGES))

        def begin(stage: Stage) -> None:
            place = list(_STAGES).index(stage.value)
            progress.update(task, completed=place, description=_STAGES[stage.value].in_language(language))

        yield begin


def _documents(
    done: Done, report: Path | None, sheet: Path | None, language: str, *, is_public: bool, force: bool
) -> None:
    from datetime import timedelta

    from privacy.anonymisation import data_sheet, risk_page, risks
    from privacy.anonymisation.files import atomically
    from privacy.anonymisation.release_requests import RecipientClass

    recipient = RecipientClass.PUBLIC if is_public else RecipientClass.CONTROLLED
    risk = risks.report(
        done.before,
        done.after,
        k=done.policy.k,
        recipient=recipient,
        loss=done.loss,
        is_local=done.recoding is not Recoding.FULL_DOMAIN,
    )
    today = datetime.now(UTC).date()
    again = today + timedelta(days=_REASSESS_DAYS[is_public])
    described = data_sheet.describe(done, recipient=recipient, made=today, reassess=again, limits=risk.limits)
    pages: list[tuple[Path, str]] = []
    if report is not None:
        pages.append((report, risk_page.render(risk, language)))
    if sheet is not None:
        as_json = json.dumps(described.as_json(), ensure_ascii=False, indent=2) + "\n"
        pages.append((sheet, as_json if sheet.suffix == ".json" else described.as_markdown(language)))
    with ExitStack() as stack:
        for path, text in pages:
            stack.enter_context(atomically(path, replace=force)).write_text(text, encoding="utf-8")


def _render(done: Done, written: Sequence[Path], language: str) -> None:
    def said(zh: str, en: str) -> str:
        return zh if language == "zh" else en

    made = table("", said("之前", "Before"), said("之后", "After"))
    made.add_row(said("行", "Rows"), f"{done.rows:,}", f"{done.after.rows:,}")
    made.add_row(said("类别", "Classes"), f"{done.before.classes:,}", f"{done.after.classes:,}")
    made.add_row(said("最小类别（行）", "Smallest class (rows)"), f"{done.before.k:,}", f"{done.after.k:,}")
    for one in done.after.sensitive:
        before = next(other for other in done.before.sensitive if other.column == one.column)
        made.add_row(f"l  {escape(one.column)}", str(before.distinct_l), str(one.distinct_l))
        made.add_row(f"t  {escape(one.column)}", f"{before.t_equal:.3f}", f"{one.t_equal:.3f}")
    console().print(made)
    facts = {
        said("重编码", "Recoding"): done.recoding.value,
        said("信息损失", "Loss"): f"{done.loss:.4f}",
        said("被隐去的行", "Rows left out"): f"{done.suppressed:,} ({done.suppressed / max(1, done.rows):.2%})",
        said("每一类别至少的人数", "Persons of every class, at least"): str(done.persons_k),
    }
    say("  ".join(f"{name}: {value}" for name, value in facts.items()))
    if done.roles.person is None:
        say(f"[dim]{_ROWS_AS_PERSONS.in_language(language)}[/dim]")
    files = ", ".join(escape(str(path)) for path in written)
    say(f"[green]✓[/green] {_WRITTEN.in_language(language).format(files=files)}")
