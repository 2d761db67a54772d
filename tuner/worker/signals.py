"""Stops a worker on a signal or a time limit, and waits for a database that does not answer."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from tuner.logs import Say
from tuner.storage import OutageError

# When to leave: after SIGTERM or Ctrl-C, at the time limit, or when the parent is gone.
#
# After the first signal the worker leaves soon, after the second at once.


PATIENCE = 0.7
"""Seconds until an epoch that is under way is given up; a lease is released within two."""


class StopRequested(BaseException):
    """It is time to leave; raised within work that would take too long to finish."""


class Overdue(BaseException):
    """A trial's time limit is over; raised within its training."""


class Leaving:
    """Whether it is time to leave; call it to ask.

    Args:
        parent: the process that started this one, which leaves when that is gone.

    Attributes:
        asked: the signal to leave, if there was one.
    """

    def __init__(self, parent: int | None = None) -> None:
        self.asked: signal.Signals | None = None
        self._parent = parent
        self._deadline: float | None = None
        self._limit: float | None = None
        self._interruptible = False
        self._installed = False

    def __call__(self) -> bool:
        late = self._deadline is not None and time.monotonic() >= self._deadline
        orphaned = self._parent is not None and os.getppid() != self._parent
        return self.asked is not None or late or orphaned

    def install(self, *, ctrl_c: bool = True) -> None:
        """From now on signals ask to leave; only the main thread can receive them.

        Args:
            ctrl_c: whether Ctrl-C asks to leave; if not, it is ignored.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal if ctrl_c else signal.SIG_IGN)
        signal.signal(signal.SIGALRM, self._on_alarm)
        self._installed = True

    def disarm(self) -> None:
        """Cancel the alarm, which would kill the process while it ends."""
        if self._installed:
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    def by(self, deadline: float | None) -> None:
        """Leave at this time of ``time.monotonic()``."""
        self._deadline = deadline
        self._set_alarm()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """A trial that may last so long, and is interrupted soon after.

        Raises:
            Overdue: from within, inside of ``interruptible``.
        """
        self._limit = time.monotonic() + seconds + PATIENCE
        self._set_alarm()
        try:
            yield
        finally:
            self._limit = None
            self._set_alarm()

    def _set_alarm(self) -> None:
        """Set an alarm for the deadline or the limit; after a limit it repeats."""
        if not self._installed or self.asked is not None:  # a signal has set an alarm already
            return
        late = None if self._deadline is None else self._deadline + PATIENCE
        times = [each for each in (late, self._limit) if each is not None]
        left = max(1e-3, min(times) - time.monotonic()) if times else 0.0
        signal.setitimer(signal.ITIMER_REAL, left, 0.0 if self._limit is None else PATIENCE)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Code that StopRequested may interrupt anywhere, as it leaves nothing half done.

        Raises:
            StopRequested: it is time to leave, and has been for ``PATIENCE``; or it was already.
        """
        self._interruptible = True
        try:
            if self():
                raise StopRequested
            yield
        finally:
            self._interruptible = False

    @contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """Code within ``interruptible`` that must not be interrupted.

        Raises:
            StopRequested: at its end, if it is time to leave.
        """
        before, self._interruptible = self._interruptible, False
        try:
            yield
        finally:
            self._interruptible = before
        if self():
            raise StopRequested

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.asked is not None:
            os._exit(130)
        self.asked = signal.Signals(number)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        if not self._interruptible:
            return
        over = self._limit is not None and time.monotonic() >= self._limit
        if over and not self():
            self._interruptible = False
            raise Overdue
        if self():
            self._interruptible = False
            raise StopRequested


# Waiting for a database that does not answer.


T = TypeVar("T")
FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0
NEWS = 4 * FIRST_WAIT
"""An outage is announced before this wait, so that a broken connection is not."""


class Patience:
    """Repeats a call until the database answers: after 0.1 s, then longer waits, up to 5 s.

    Args:
        leaving: whether to give up.
        say: called with a line when an outage begins, and when it is over.
    """

    def __init__(self, leaving: Callable[[], bool], say: Say) -> None:
        self._leaving, self._say = leaving, say

    def __call__(self, call: Callable[[], T]) -> T:
        """The result of the call.

        Raises:
            StopRequested: it is time to leave, and the database did not answer yet.
        """
        wait = FIRST_WAIT
        while True:
            try:
                result = call()
            except OutageError as error:
                if wait == NEWS:
                    self._say(f"waiting for the database: {error.where}: {error.message}")
                self._sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT)
            else:
                if wait > NEWS:
                    self._say("the database answers again")
                return result

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._leaving():
                raise StopRequested
            time.sleep(FIRST_WAIT)
