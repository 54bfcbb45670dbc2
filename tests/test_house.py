"""The rules of the house that a tool can check: walls, pins, licence, the wheel, the README's promises."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGES: Final = ("privacy", "api", "jobs", "keys", "cli")
RUN, DEV, SPARK = LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-spark.lock")
# What `make run` needs is locked apart from what only `make test` needs; Spark, which is half a gigabyte, by itself.
LOCK_OF: Final = {"dev": DEV, "spark": SPARK}

_PIN: Final = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)")


def _project() -> dict[str, Any]:  # as tomllib gives it
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def _pins(lock: str) -> dict[str, str]:
    pins = (_PIN.match(line) for line in (ROOT / lock).read_text().splitlines())
    return {canonicalize_name(pin[1]): pin[2] for pin in pins if pin}


def test_no_package_imports_what_it_must_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert lint_imports(config_filename="pyproject.toml", no_cache=True) == EXIT_STATUS_SUCCESS


def test_the_client_loads_nothing_of_the_server() -> None:
    """The base install holds httpx alone; a calling service must not pay for, or fail by, anything else."""
    program = (
        "import sys\n"
        "import httpx\n"
        "before = set(sys.modules)\n"
        "import privacy.client\n"
        "print(*sorted(name for name in set(sys.modules) - before\n"
        "              if name.partition('.')[0] not in sys.stdlib_module_names))\n"
    )
    loaded = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    ours = {"privacy", "privacy.client", "privacy.client_shapes", "privacy.client_wire", "privacy.errors"}
    theirs = {name for name in loaded.stdout.split() if name.partition(".")[0] not in {"httpx", "httpcore", "anyio"}}
    assert theirs == ours


def test_no_test_is_skipped_or_expected_to_fail() -> None:
    """A test that does not run guards nothing: what it needs is installed, or missing it is a failure."""
    assert list(_ways_out(ROOT / "tests")) == []


def _ways_out(folder: Path) -> Iterator[str]:
    names = {"skip", "skipif", "xfail", "importorskip", "skipTest", "skipUnless", "skipIf", "expectedFailure"}
    for file in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Attribute(attr=name) if name in names:
                    yield f"{file.relative_to(ROOT)}:{node.lineno} {name}"
                case ast.ImportFrom(module="pytest" | "unittest"):
                    yield from (
                        f"{file.relative_to(ROOT)}:{node.lineno} {alias.name}"
                        for alias in node.names
                        if alias.name in names
                    )


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_and_hashes_everything_and_names_no_host(lock: str) -> None:
    """Where packages come from is the machine's affair; what they must be is ours."""
    text = (ROOT / lock).read_text()
    for telltale in (
        "://",
        "--index-url",
        "--extra-index-url",
        "--find-links",
        "--trusted-host",
        " @ ",
        "-e ",
    ):
        assert telltale not in text
    entries = re.split(r"\n(?=\S)", "\n".join(line for line in text.splitlines() if "#" not in line))
    assert entries
    for entry in entries:
        assert _PIN.match(entry), entry
        assert "--hash=sha256:" in entry, entry


def test_the_locks_agree_with_the_project_and_with_each_other() -> None:
    project = _project()["project"]
    pinned = {lock: _pins(lock) for lock in LOCKS}
    assert pinned[RUN].items() <= pinned[DEV].items()
    extras: dict[str, list[str]] = project["optional-dependencies"]
    for extra, wanted in {"": project["dependencies"], **extras}.items():
        pins = pinned[LOCK_OF.get(extra, RUN)]
        for requirement in map(Requirement, wanted):
            name = canonicalize_name(requirement.name)
            assert name in pins, f"{name} is not locked: make lock"
            assert requirement.specifier.contains(pins[name]), f"{name} is locked too old: make lock"


def test_the_wheel_carries_every_file_of_our_packages_and_nothing_else(tmp_path: Path) -> None:
    """Migrations, vocabulary and templates are read from the installed package."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as archive:
        built = {name for name in archive.namelist() if ".dist-info/" not in name}
    ours = {
        str(file.relative_to(ROOT))
        for package in PACKAGES
        for file in (ROOT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert built == ours


def test_the_licence_is_apache_2_in_full() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert _project()["project"]["license"] == "Apache-2.0"
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_the_readme_tells_both_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    assert "make run" in readme
    assert "make test" in readme
