"""Keeps the audit log: sequences what is pending, beats, and looks whether the log still extends what was signed.

A thread of every serving process. A replica without jobs (`--no-jobs`) sequences nothing, but it beats and looks:
its own writers are in no other process, and it must not disclose either when the log cannot be trusted.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

from privacy.errors import PrivacyError
from privacy.sequencer import Sequencer
from privacy.steward import Steward

log = logging.getLogger(__name__)

ROUND_SECONDS: Final = 0.2
BEAT_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 5.0
WITNESS_SECONDS: Final = 10.0


class Keeper:
    """`stop` sequences what is left and waits for the round in hand."""

    def __init__(self, service: Steward, *, sequences: bool = True, round_seconds: float = ROUND_SECONDS) -> None:
        self._sequencer = Sequencer(service)
        self._sequences = sequences
        self._round = round_seconds
        self._stopping = threading.Event()
        self._beaten = self._looked = self._asked = float("-inf")
        self._thread = threading.Thread(target=self._loop, name="keeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._once(last=True)

    def _loop(self) -> None:
        while not self._stopping.wait(self._round):
            self._once()

    def _once(self, *, last: bool = False) -> None:
        now = time.monotonic()
        try:
            if last or now - self._beaten >= BEAT_SECONDS:
                self._beaten = now
                self._sequencer.beat()
            if self._sequences:
                self._sequencer.catch_up()
                if last or now - self._asked >= WITNESS_SECONDS:
                    self._asked = now
                    self._sequencer.cosign()
            elif now - self._looked >= LOOK_SECONDS:
                self._looked = now
                self._sequencer.check()
        except PrivacyError as error:
            log.warning("keeper failed: %s", error.code)
        except Exception as error:  # noqa: BLE001 - the edge of the thread: without it nothing would be signed any more
            log.error("keeper failed: %s", type(error).__name__)
