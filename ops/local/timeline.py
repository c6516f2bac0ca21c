"""Who worked when on one machine: one JSON line an event, appended as it happens. It records; it decides nothing.

Its other half are the engine's steps, which carry their times; together they show a switch as it was.
"""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypedDict

Event = Literal["invocation started", "invocation ended", "worker started", "worker ended"]


class TimelineEntry(TypedDict):
    """One event; ``at`` is in seconds since the epoch, ``identifier`` joins a start with its end."""

    at: float
    event: Event
    name: str
    identifier: str


class Timeline:
    """Appends to one file.

    Args:
        file: grows; it goes with the state.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()

    def record(self, event: Event, name: str, identifier: str) -> None:
        """Write an event with the time of now."""
        entry: TimelineEntry = {"at": time.time(), "event": event, "name": name, "identifier": identifier}
        with self._lock, self._file.open("a") as lines:
            lines.write(json.dumps(entry) + "\n")


def read_timeline(file: Path) -> Iterator[TimelineEntry]:
    """The events so far, oldest first."""
    if file.exists():
        for line in file.read_text().splitlines():
            yield json.loads(line)
