"""`python -m bench`: what the service can do, measured beside what nobody could do better.

`python -m bench vault --help`, and the same of `audit`, `lifecycle`, `detection` and `anonymisation`, show what can be
chosen.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from bench import anonymisation, audit, detection, lifecycle, report, vault
from bench.report import BESIDE, Plan

_DEFAULT = Plan()
_OTHERS = {
    "audit": audit.main,
    "lifecycle": lifecycle.main,
    "detection": detection.main,
    "anonymisation": anonymisation.main,
}


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0] in _OTHERS:
        return _OTHERS[arguments[0]](arguments[1:])
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the service beside its floors.")
    parser.add_argument("subject", nargs="?", choices=("vault", *_OTHERS), default="vault", help="what to measure")
    parser.add_argument("--seconds", type=float, default=_DEFAULT.seconds, help="of each measurement")
    parser.add_argument("--turns", type=int, default=_DEFAULT.turns, help="how often each is repeated")
    parser.add_argument("--people", type=int, default=_DEFAULT.people, help="subjects stored beforehand")
    parser.add_argument("--connections", type=_numbers, default=_DEFAULT.connections, help="comma-separated")
    parser.add_argument("--database", type=_names, default=_DEFAULT.databases, help="sqlite, postgresql or both")
    parser.add_argument("--beside", type=_names, default=BESIDE, help=f"of {','.join(BESIDE)}; '' for none")
    parser.add_argument("--requests", type=int, default=_DEFAULT.memory_requests, help="between two looks at memory")
    parser.add_argument("--json", action="store_true", help="one JSON value with every measurement")
    given = parser.parse_args(arguments)
    if not set(given.database) <= {"sqlite", "postgresql"} or not given.database:
        parser.error("--database is sqlite, postgresql or both")
    if not set(given.beside) <= set(BESIDE):
        parser.error(f"--beside is of {','.join(BESIDE)}")
    if given.seconds <= 0 or min(given.turns, given.people, *given.connections) < 1:
        parser.error("--seconds, --turns, --people and --connections are positive")
    plan = Plan(
        seconds=given.seconds,
        turns=given.turns,
        people=given.people,
        connections=given.connections,
        databases=given.database,
        beside=given.beside,
        memory_requests=given.requests,
        warm_up=min(_DEFAULT.warm_up, given.seconds / 2),
    )
    found = vault.run(plan, lambda text: print(text, file=sys.stderr, flush=True))
    print(report.as_json(found) if given.json else report.as_text(found))
    return 0


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in _names(text))


if __name__ == "__main__":
    sys.exit(main())
