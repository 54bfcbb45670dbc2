"""A process that dies at a named step, and one that comes after it; for `test_erased_is_erased`, `test_rekeying`.

`python -m tests.invariants.dying HOME DATABASE_URL KEYSTORE_URL`, one JSON object a line on standard input:

    {"subject", "asked": {...}, "step", "when": "before" | "after"}      an erasure
    {"subjects": [...], "step", "when"}                                  erasures in a batch
    {"rekey": [[subject, kid, scope], ...], "step", "when"}              data keys replaced in a batch

For each, a child of its own opens the service, kills itself with SIGKILL where it was told to, and a second child
opens the service anew and does what its job does. What each came to is a line on standard output.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from privacy import erasure, erasure_batches, erasure_steps, rekeying
from privacy.erasure_steps import State
from privacy.settings import Settings
from privacy.steward import Steward


def main(home: str, database_url: str, keystore_url: str) -> None:
    settings = Settings(home=Path(home), database_url=database_url, keystore_url=keystore_url)
    for line in sys.stdin:
        told = json.loads(line)
        died = _child(lambda told=told: _die(settings, told))  # type: ignore[misc]
        came = _child(lambda told=told: _come_after(settings, told))  # type: ignore[misc]
        said = {"died": os.WTERMSIG(died) if os.WIFSIGNALED(died) else 0, "after": came}
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


def _child(run: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            run()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - the end of a process
            traceback.print_exc()
            os._exit(1)
    return os.waitpid(pid, 0)[1]


def _die(settings: Settings, told: dict[str, Any]) -> None:
    service = Steward.open(settings)
    if "rekey" in told:
        owner: Any = rekeying if hasattr(rekeying, told["step"]) else service.keystore
        setattr(owner, told["step"], _deadly(getattr(owner, told["step"]), told["when"]))
        rekeying.rekey_subjects(service, _keys(told))
        return
    steps: Any = erasure_batches._STEPS if "subjects" in told else erasure_steps._STEPS
    steps[State(told["step"])] = _deadly(steps[State(told["step"])], told["when"])
    if "subjects" in told:
        erasure.erase_many(service, [UUID(one) for one in told["subjects"]])
    else:
        erasure.erase(service, UUID(told["subject"]), **told["asked"])


def _deadly(real: Callable[..., Any], when: str) -> Callable[..., None]:
    def deadly(*arguments: Any, **more: Any) -> None:
        if when == "after":
            real(*arguments, **more)
        os.kill(os.getpid(), signal.SIGKILL)

    return deadly


def _keys(told: dict[str, Any]) -> list[rekeying.Old]:
    return [(UUID(subject), bytes.fromhex(kid), scope) for subject, kid, scope in told["rekey"]]


def _come_after(settings: Settings, told: dict[str, Any]) -> None:
    """What a restart does: open, which reconciles the stores, and the job."""
    service = Steward.open(settings)
    if "rekey" in told and rekeying.rekey_subjects(service, _keys(told)):
        raise RuntimeError("a batch that was stopped is not done by a batch")
    while erasure.work_off(service):
        pass
    service.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
