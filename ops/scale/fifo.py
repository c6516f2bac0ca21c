"""SQS's FIFO queue as the model has it: order, locks of groups, messages in flight. Nothing is delivered twice."""

from collections import deque
from collections.abc import Iterable
from typing import Any

import simpy


class FifoQueue:
    """A FIFO queue: of a group nothing is received while something of it is in flight."""

    def __init__(self, environment: simpy.Environment) -> None:
        self._environment = environment
        self._waiting: deque[tuple[int, Any]] = deque()
        self._busy: set[int] = set()
        self._arrival = environment.event()
        self.in_flight = 0
        self._most = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, group: int, message: Any) -> None:
        """Send a message."""
        self._waiting.append((group, message))
        self._most = max(self._most, len(self._waiting) + self.in_flight)
        self._wake()

    def most_since(self) -> int:
        """The most messages, visible and in flight, since this was asked last: an alarm's maximum of a minute."""
        most = max(self._most, len(self._waiting) + self.in_flight)
        self._most = 0
        return most

    def take(self, limit: int) -> list[tuple[int, Any]]:
        """Receive up to so many messages, in order; several of one group may come together."""
        taken: list[tuple[int, Any]] = []
        passed: deque[tuple[int, Any]] = deque()
        held: set[int] = set()
        while self._waiting and len(taken) < limit:
            group, message = self._waiting.popleft()
            if group in self._busy and group not in held:
                passed.append((group, message))
            else:
                held.add(group)
                self._busy.add(group)
                taken.append((group, message))
        self._waiting.extendleft(reversed(passed))
        self.in_flight += len(taken)
        return taken

    def done(self, taken: Iterable[tuple[int, Any]]) -> None:
        """Delete what was received."""
        for group, _ in taken:
            self._busy.discard(group)
            self.in_flight -= 1
        if self._waiting:
            self._wake()

    def changed(self) -> simpy.Event:
        """Happens when a message may be there."""
        return self._arrival

    def _wake(self) -> None:
        self._arrival.succeed()
        self._arrival = self._environment.event()
