"""SIGTERM and Ctrl-C: the first asks to leave soon, the second leaves at once."""

from __future__ import annotations

import os
import signal
from types import FrameType

from tuner.worker.trial import StopRequested

PATIENCE = 0.7
"""Seconds until an epoch that is under way is given up; a lease is back within two."""


class Leaving:
    """Whether somebody asked this process to leave.

    ``install`` in the main thread of a worker process; call it to know.
    """

    def __init__(self) -> None:
        self.asked = False
        self.training = False

    def __call__(self) -> bool:
        return self.asked

    def install(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGALRM, self._on_alarm)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            os._exit(130)
        self.asked = True
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        if self.training:
            raise StopRequested
