"""`privacy init` and `privacy doctor`: making a deployment, and looking whether one is well."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import httpx
import typer
from rich.markup import escape
from sqlalchemy import make_url

from cli.processes import holder_of
from cli.terminal import Json, reporting, say, show
from keys.errors import KeysError
from privacy import audit, declaration, notices, principals
from privacy.errors import Conflict, Invalid, PrivacyError
from privacy.manifest import parse
from privacy.settings import Settings
from privacy.steward import Steward, opened
from privacy.work import Role

ADMIN: Final = "admin"
KEY_NOTE: Final = "This is the only time the key is shown: keep it in a secret store."
_BESIDE: Final = ("", "-wal", "-shm", ".lock")  # what stands beside an SQLite database under its name
_YOUNGEST: Final = datetime(2026, 1, 1, tzinfo=UTC)  # a clock that says less has lost its time


def init(
    manifest: Annotated[Path, typer.Option("--manifest", help="The declaration to put in force.", metavar="FILE")],
    as_json: Json = False,
) -> None:
    """Make PRIVACY_HOME: databases, key store, root key, the manifest, and an administrator."""
    with reporting(as_json):
        settings = Settings.from_environment()
        declared = parse(read(manifest), str(manifest))
        _refuse_to_overwrite(settings)
        with _undone_on_failure(settings):
            service = Steward.create(settings)
            try:
                with service.begin() as work:
                    notice = notices.follow(work, declared, declaration.apply(work, declared).version)
                    made = principals.add(work, ADMIN, role=Role.ADMIN)
            finally:
                service.close()

        def render() -> None:
            say(f"[green]✓[/green] The deployment is at {escape(str(settings.home))}")
            say(f"  Administrator [bold]{ADMIN}[/bold], key: [bold]{made.key}[/bold]")
            say(f"  {KEY_NOTE}")
            if notice is not None:
                say("  A notice generated from the manifest is published: [bold]privacy notice show[/bold]")
            say("  Next: [bold]privacy principal add[/bold] for each component, then [bold]privacy serve[/bold]")

        show(as_json, {"home": settings.home, "admin_key": made.key}, render)


def read(file: Path) -> str:
    """The text of a manifest file. Raises `Invalid` when it cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{file} cannot be read as UTF-8 text ({type(error).__name__})") from None


def _refuse_to_overwrite(settings: Settings) -> None:
    """Raises `Conflict` when a database file is there: undoing must never meet the files of a live one."""
    if _databases(settings):
        raise Conflict(f"There is a deployment at {settings.home} already, and init overwrites nothing")


@contextmanager
def _undone_on_failure(settings: Settings) -> Iterator[None]:
    """Take away what the block made when it fails; whatever was there before stays untouched.

    Tables made in PostgreSQL stay: only files can be told from what was there.
    """
    there = _files(settings)
    had_home = settings.home.exists()
    try:
        yield
    except BaseException:
        for file in _files(settings) - there:
            if file.is_dir():
                shutil.rmtree(file)
            else:
                file.unlink(missing_ok=True)
        if not had_home and settings.home.exists():
            settings.home.rmdir()
        raise


def _files(settings: Settings) -> set[Path]:
    """Everything in the data folder, and the SQLite databases elsewhere."""
    return (set(settings.home.iterdir()) if settings.home.exists() else set()) | _databases(settings)


def _databases(settings: Settings) -> set[Path]:
    found = set()
    for url in (settings.database_url, settings.keystore_url):
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            found |= {file for end in _BESIDE if (file := Path(f"{parsed.database}{end}").absolute()).exists()}
    return found


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `detail` says what was found, or what to do."""

    name: str
    ok: bool
    detail: str


def doctor(as_json: Json = False) -> None:
    """Look whether this deployment can serve: folder, keys, databases, manifest, clock, port."""
    with reporting(as_json):
        settings = Settings.from_environment()
        checks = [_folder(settings), *_inside(settings), _port(settings)]

        def render() -> None:
            for check in checks:
                mark = "[green]✓[/green]" if check.ok else "[red]✗[/red]"
                say(f"{mark} {check.name}: {escape(check.detail)}")

        show(
            as_json,
            {
                "ok": all(check.ok for check in checks),
                "checks": [{"name": check.name, "ok": check.ok, "detail": check.detail} for check in checks],
            },
            render,
        )
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


def _folder(settings: Settings) -> Check:
    if not settings.home.is_dir():
        return Check("folder", False, f"there is nothing at {settings.home}: run `privacy init --manifest FILE`")
    mode = stat.S_IMODE(settings.home.stat().st_mode)
    if mode & 0o077:
        return Check("folder", False, f"{settings.home} is open to other users: chmod 700 {settings.home}")
    return Check("folder", True, f"{settings.home}, for its owner only")


def _inside(settings: Settings) -> Iterator[Check]:
    if not settings.home.is_dir():
        return
    try:
        service = opened(settings)
    except (PrivacyError, KeysError) as error:
        yield Check("databases and keys", False, error.detail if isinstance(error, PrivacyError) else str(error))
        return
    try:
        answers = service.healthy()
        for name, ok in answers.items():
            yield Check(name, ok, "answers" if ok else "does not answer")
        yield _root_key(service)
        declared = service.declared
        if declared is not None:
            yield Check("manifest version", True, f"{declared.version}, of {declared.controller.name}")
        yield _clock(service)
    finally:
        service.close()


def _root_key(service: Steward) -> Check:
    try:
        service.keyring.health()
    except KeysError as error:
        return Check("root key", False, str(error))
    return Check("root key", True, "opens the key store")


def _clock(service: Steward) -> Check:
    now = datetime.now(UTC)
    if now < _YOUNGEST:
        return Check("clock", False, f"it says {now:%Y-%m-%d}, which is in the past")
    newest = audit.events(service.begin, limit=1).items
    if newest and newest[0].at > now:
        return Check("clock", False, "the newest audit event lies in its future: the clock was set back")
    return Check("clock", True, f"{now:%Y-%m-%d %H:%M:%S} UTC, later than every audit event")


def _port(settings: Settings) -> Check:
    url = address(settings)
    try:
        answer = httpx.get(f"{url}/readyz", timeout=2.0)
    except httpx.TransportError:
        who = holder_of(settings.port)
        if who is not None:
            return Check("port", False, f"{settings.port} is taken by {who}; PRIVACY_PORT names another")
        return Check("port", True, f"{settings.port} is free; `privacy serve` would listen there")
    if answer.status_code == httpx.codes.OK:
        return Check("port", True, f"{settings.port}: a service answers there, and is ready")
    return Check("port", False, f"{settings.port}: what answers there is not ready (status {answer.status_code})")


def address(settings: Settings) -> str:
    """The base URL at which this machine reaches the service."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - compared, not bound
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
