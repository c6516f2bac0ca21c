"""Slow readings, made in a thread of their own and so seldom that they take a small share of the time."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

from ops.failures import may_pass

Value = TypeVar("Value")
SHARE = 0.05
"""Of the time, at most, that a slow reading takes."""
FIRST_WAIT = 3.0
"""Seconds that the first look, and one after a pause, waits for a slow reading; others take the last that has ended."""


class Paced(Generic[Value]):
    """A slow reading: made in its own thread, at most a ``SHARE`` of the time, also while it fails.

    Args:
        read: the reading.
        least_seconds: between the beginnings of two.
        first: what is known already, so that the first reading can wait.

    Attributes:
        failure: why the last reading failed, so that the value is one of an earlier reading; None when it did not.
    """

    failure: Exception | None

    def __init__(self, read: Callable[[], Value], *, least_seconds: float = 0.0, first: Value | None = None) -> None:
        self._read, self._least = read, least_seconds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reads-slowly")
        self._running: Future[Value] | None = None
        self._value = first
        self.failure = None
        self._due = 0.0 if first is None else time.monotonic() + least_seconds

    def value(self) -> Value | None:
        """The last that was read; None when the first reading still runs.

        After a pause between two calls the last value is old: then a new one is waited for like the first.

        Raises:
            Exception: what a reading raises while none has succeeded, and every bug. Any other is in ``failure``.
        """
        now, is_old = time.monotonic(), False
        if self._running is None and now >= self._due:
            is_old = now - self._due > FIRST_WAIT
            self._running = self._thread.submit(self._timed, now)
        running = self._running
        if running is not None and wait([running], FIRST_WAIT if is_old or self._value is None else 0).done:
            self._running = None
            try:
                self._value, self.failure = running.result(), None
            except Exception as error:
                if self._value is None or not may_pass(error):
                    raise
                self.failure = error
        return self._value

    def close(self) -> None:
        """Begin no further reading. One that runs ends by itself, and the interpreter waits for it when it ends."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _timed(self, begun: float) -> Value:
        try:
            return self._read()
        finally:
            took = time.monotonic() - begun
            self._due = begun + max(took / SHARE, self._least)
