"""What every command shares: how it speaks, how it fails, and how it reaches the service's domain.

Exit status 0: done. 1: refused or failed, said on standard error. 2: used wrongly.
With `--json` a result is one JSON value on standard output, a failure one problem on standard error.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final
from uuid import UUID

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typer.exceptions import TyperException

from cli.spoken import language, spoken
from keys.errors import KeysError, KeyStoreUnavailable, RootKeyDenied, RootKeyUnavailable, StoreExists
from privacy.errors import Conflict, KeysUnavailable, ManifestInvalid, NoticeInvalid, PrivacyError
from privacy.manifest import Problem
from privacy.periods import Period
from privacy.settings import Settings
from privacy.steward import Steward, opened
from privacy.work import Work

Json = Annotated[bool, typer.Option("--json", help="One JSON value, for machines.")]

# Wide enough for a table of events: what is piped or logged must not be cut to a terminal's width.
_PIPED_WIDTH: Final = 200
_ROOT: Final = Path(__file__).resolve().parent.parent


@contextmanager
def reporting(as_json: bool) -> Iterator[None]:
    """Turn what the block raises into a message and exit status 1.

    An exception of unknown origin is named by type and place, never by its text, which may hold values.
    """
    with spoken():
        try:
            yield
        except (typer.Exit, typer.Abort, TyperException, BrokenPipeError):
            raise
        except PrivacyError as error:
            _fail(error, as_json)
        except KeysError as error:
            _fail(_of_keys(error), as_json)
        except Exception as error:  # noqa: BLE001 - the edge of the process
            _fail(PrivacyError(f"A bug of ours: {type(error).__name__} at {place(error)}"), as_json)


def _fail(error: PrivacyError, as_json: bool) -> None:
    code = str(error.context.get("code") or error.code)
    if as_json:
        say_json(problem(error), to_stderr=True)
    elif isinstance(error, ManifestInvalid | NoticeInvalid) and (faults := faults_of(error)):
        for fault in faults:
            say(placed(fault, "red"), to_stderr=True)
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        say(f"[red]{count}[/red] [dim]({code})[/dim]", to_stderr=True)
    else:
        why = ", ".join((code, *error.law))
        what = error.zh if error.zh and language() == "zh" else error.detail
        say(f"[red]{escape(what)}[/red] [dim]({escape(why)})[/dim]", to_stderr=True)
    raise typer.Exit(1)


def faults_of(error: ManifestInvalid | NoticeInvalid) -> list[Problem]:
    """The faults that the reader of the manifest or the notice found, in the order of their places."""
    found = error.context.get("problems")
    return [one for one in found if isinstance(one, Problem)] if isinstance(found, list | tuple) else []


def placed(fault: Problem, colour: str) -> str:
    """A fault as compilers write it, so that editors find the place."""
    where = escape(f"{fault.file}:{fault.line}:{fault.column}")
    return f"[bold]{where}[/bold]: [{colour}]{escape(fault.found)}[/{colour}]; {escape(fault.expected)}"


def problem(error: PrivacyError) -> dict[str, object]:
    """RFC 9457 as far as it makes sense without HTTP: code, title, detail, law, and the context."""
    found: dict[str, object] = {"code": error.code, "title": error.title, "detail": error.detail}
    if error.law:
        found["law"] = list(error.law)
    return found | {name: value for name, value in error.context.items() if value is not None}


def place(error: BaseException) -> str:
    """The last line of ours that the exception passed: `privacy/records.py:120`."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _ROOT in Path(frame.filename).parents]
    if not frames:
        return "an unknown place"
    return f"{Path(frames[-1].filename).relative_to(_ROOT)}:{frames[-1].lineno}"


def _of_keys(error: KeysError) -> PrivacyError:
    text = str(error)
    detail = text[:1].upper() + text[1:]
    match error:
        case KeyStoreUnavailable() | RootKeyUnavailable() | RootKeyDenied():
            return KeysUnavailable(detail)
        case StoreExists():
            return Conflict(detail)
    return PrivacyError(detail, code="keys-unusable")


def console(*, to_stderr: bool = False) -> Console:
    """A console on the stream as it is now; colours and a terminal's width only on a terminal."""
    stream = sys.stderr if to_stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else _PIPED_WIDTH, highlight=False, emoji=False)


def say(text: str, *, to_stderr: bool = False) -> None:
    """Print a line with markup, never wrapped: what it says may be pasted."""
    console(to_stderr=to_stderr).print(text, soft_wrap=True)


def say_json(value: object, *, to_stderr: bool = False) -> None:
    """Print a value as one line of JSON."""
    (sys.stderr if to_stderr else sys.stdout).write(json.dumps(value, ensure_ascii=False, default=plain) + "\n")


def plain(value: object) -> object:
    """The JSON form of what our domain returns."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, UUID | Path | Period):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {part.name: getattr(value, part.name) for part in fields(value)}
    if isinstance(value, frozenset | set | tuple):
        return list(value)
    raise TypeError(f"no JSON form for a {type(value).__name__}")


def moment(value: datetime | None) -> str:
    """A moment for people: UTC, to the second."""
    return "" if value is None else value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def table(*columns: str) -> Table:
    """A table in the one style of all commands; a long value folds rather than vanishes."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


@contextmanager
def service() -> Iterator[Steward]:
    """The service of PRIVACY_HOME in this process, closed afterwards."""
    found = opened(Settings.from_environment())
    try:
        yield found
    finally:
        found.close()


@contextmanager
def working() -> Iterator[Work]:
    """One unit of work as the administrator at this terminal."""
    with service() as found, found.begin() as work:
        yield work


def period(text: str) -> Period:
    """An option's ISO 8601 duration; wrong usage when it is none."""
    try:
        return Period.parse(text)
    except PrivacyError as error:
        raise typer.BadParameter(error.detail) from None


def instant(text: str) -> datetime:
    """An option's ISO 8601 date or instant, UTC unless it says otherwise; wrong usage when it is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("write it like 2026-01-31 or 2026-01-31T08:00:00Z") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def names(text: str | None) -> list[str]:
    """An option's names, separated by commas."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def secret_line(prompt: str) -> str:
    """A personal value or a key: from a hidden prompt, or one line of standard input; never from argv.

    Arguments are seen by every process of the machine and kept in the shell's history.
    """
    if sys.stdin.isatty():
        answer: str = typer.prompt(prompt, hide_input=True)
        return answer
    return sys.stdin.readline().rstrip("\r\n")


Render = Callable[[], None]


def show(as_json: bool, value: object, render: Render) -> None:
    """The result: as JSON, or as `render` prints it."""
    if as_json:
        say_json(value)
    else:
        render()
