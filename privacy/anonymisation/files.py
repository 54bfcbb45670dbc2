"""A table in, an anonymised table out: files and columns in memory, on DuckDB in this process.

The result is written under a name that nobody looks for, counted again from what stands in it, and only then gets its
own name: there is never half a file, nor one that was not checked. What goes to memory never has a name.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from privacy.anonymisation.duckdb_sources import Columns
from privacy.anonymisation.engine import Form, Roles, Target
from privacy.anonymisation.engine_duckdb import DuckDB
from privacy.anonymisation.execution import Outcome, Progress, run
from privacy.anonymisation.generalisation import Generalisation
from privacy.anonymisation.hierarchies import Hierarchy
from privacy.anonymisation.hierarchy_specs import Spec
from privacy.anonymisation.measured import Measured
from privacy.anonymisation.policies import Policy, Recoding
from privacy.errors import Conflict, Invalid, Unavailable

SUFFIXES: Final = frozenset({".csv", ".tsv", ".txt", ".parquet"})
_PERSON: Final = "whose the row is"


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """`content` is the result where it was to stay in memory.

    `before` and `after` are counted in the source and in what was written. `persons_k` is how many persons every class
    is proved to hold at least, `after.k` how many rows.
    """

    roles: Roles
    columns: tuple[str, ...]
    policy: Policy
    recoding: Recoding
    levels: Mapping[str, int] | None  # of a full-domain recoding
    loss: float
    persons_k: int
    rows: int
    suppressed: int
    before: Measured
    after: Measured
    generalisation: Generalisation = field(repr=False)
    content: bytes | None = field(default=None, repr=False)

    def as_json(self) -> dict[str, object]:
        """The summary: names of columns and figures."""
        return {
            "columns": list(self.columns),
            "quasi": list(self.roles.quasi),
            "sensitive": list(self.roles.sensitive),
            "kept": list(self.roles.kept),
            "dropped": len(self.roles.dropped) + (self.roles.person is not None),
            "recoding": self.recoding.value,
            "levels": None if self.levels is None else dict(self.levels),
            "k": self.policy.k,
            "persons_k": self.persons_k,
            "rows": {"read": self.rows, "written": self.after.rows, "suppressed": self.suppressed},
            "classes": {"before": self.before.classes, "after": self.after.classes},
            "loss": round(self.loss, 6),
            "diversity": [
                {"column": one.column, "distinct_l": one.distinct_l, "entropy_l": one.entropy_l, "t": one.t_equal}
                for one in self.after.sensitive
            ],
        }


def anonymise(
    source: Path | Columns,
    target: Path | Form,
    *,
    quasi: Mapping[str, Hierarchy | Spec],
    policy: Policy,
    sensitive: Sequence[str] = (),
    kept: Sequence[str] = (),
    dropped: Sequence[str] = (),
    persons: str | Sequence[object] | None = None,
    replace: bool = False,
    memory: str | None = None,
    progress: Progress = lambda stage: None,
) -> Done:
    """Write the anonymised rows of `source` to a file, or return them as the bytes of one.

    `persons` is the column that says whose a row is, or of columns in memory whose each row is; without it every row is
    a person. A file that is there is kept unless `replace`. `memory` limits DuckDB ("2GB"); nothing is spilt to disk.
    Raises what `execution.run` does, Conflict where the target is there, TooLarge, and Invalid for a file that is no
    table.
    """
    person: str | None
    if persons is None or isinstance(persons, str):
        person = persons
    else:
        if isinstance(source, Path):
            raise Invalid("Whose the rows of a file are is said by one of its columns")
        person, source = _PERSON, {**source, _PERSON: persons}
    roles = Roles(tuple(quasi), tuple(sensitive), tuple(kept), tuple(dropped), person)
    with _place(target, replace) as (path, form):
        with DuckDB(source, memory=memory) as engine:
            outcome = run(engine, Target(str(path), form), roles, quasi, policy, progress)
        content = path.read_bytes() if isinstance(target, Form) else None
    return _done(outcome, policy, content)


def _done(outcome: Outcome, policy: Policy, content: bytes | None) -> Done:
    chosen = outcome.generalisation
    return Done(
        roles=outcome.roles,
        columns=outcome.columns,
        policy=policy,
        recoding=chosen.recoding,
        levels=None if chosen.levels is None else dict(zip(outcome.roles.quasi, chosen.levels, strict=True)),
        loss=chosen.loss,
        persons_k=outcome.persons_k,
        rows=outcome.counted.total,
        suppressed=outcome.counted.total - outcome.published.total,
        before=outcome.before(),
        after=outcome.after(),
        generalisation=chosen,
        content=content,
    )


# --- where it is written


@contextmanager
def _place(target: Path | Form, replace: bool) -> Iterator[tuple[Path, Form]]:
    if isinstance(target, Form):
        if target is Form.TABLE:
            raise Invalid("A table is written by the engine that holds it")
        with _in_memory() as path:
            yield path, target
        return
    form = Form.PARQUET if target.suffix.lower() == ".parquet" else Form.CSV
    with atomically(target, replace=replace) as path:
        yield path, form


@contextmanager
def atomically(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """A file beside `target`, which takes its name when the block ends well and is removed when it does not.

    It is on the disk before it has the name. Raises Conflict where the name is taken, also when that happens meanwhile,
    unless `replace`; Invalid where it cannot be written.
    """
    if not replace and target.exists():
        raise Conflict(f"There is a file {target.name} already", zh=f"{target.name} 已存在")
    hidden = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        os.close(os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        try:
            yield hidden
            _flush(hidden)
            if replace:
                hidden.replace(target)
            else:
                os.link(hidden, target)  # unlike a rename it fails where there is a file
            _flush(target.parent)
        finally:
            with suppress(FileNotFoundError):
                hidden.unlink()
    except FileExistsError:
        raise Conflict(f"There is a file {target.name} already", zh=f"{target.name} 已存在") from None
    except OSError as error:
        raise Invalid(
            f"{target.name} cannot be written ({type(error).__name__})", zh=f"无法写入 {target.name}"
        ) from None


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _in_memory() -> Iterator[Path]:
    """A file that is on no disk and has no name, as Linux makes them."""
    if not hasattr(os, "memfd_create"):
        raise Unavailable("This system has no files in memory", zh="本系统不支持内存文件")
    descriptor = os.memfd_create("anonymised", os.MFD_CLOEXEC)
    try:
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
