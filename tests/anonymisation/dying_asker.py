"""A process that asks for a statistic and kills itself in the midst of it; for `test_statistics`.

`python -m tests.anonymisation.dying_asker HOME DATABASE_URL KEYSTORE_URL` with the analyst's key on standard input:
it dies when the data has been read and the noise has been drawn, and nothing of it is kept yet.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from privacy.anonymisation import statistics
from privacy.settings import Settings
from privacy.steward import Steward
from tests.anonymisation.told import count


def main(home: str, database_url: str, keystore_url: str) -> None:
    service = Steward.open(Settings(home=Path(home), database_url=database_url, keystore_url=keystore_url))
    module: Any = statistics
    module._keep = _die
    statistics.ask(service, service.authenticate(sys.stdin.readline().strip()), count())


def _die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
