"""Who worked when on one machine: one JSON line an event, appended as it happens. It records; it decides nothing.

Its other half are the engine's steps, which carry their times; together they show a switch as it was.
"""

import json
import os
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


RECENT_BYTES = 256 * 1024
"""About two thousand events."""


def read_recent(file: Path) -> list[TimelineEntry]:
    """The last events, oldest first: what a live view looks at again and again, however long the file is."""
    if not file.exists():
        return []
    with file.open("rb") as lines:
        size = lines.seek(0, os.SEEK_END)
        lines.seek(max(size - RECENT_BYTES, 0))
        content = lines.read()
    # The first line may be a part of one, and so may the last, which is being written.
    whole = content[content.find(b"\n") + 1 if size > RECENT_BYTES else 0 : content.rfind(b"\n") + 1]
    return [json.loads(line) for line in whole.splitlines()]


def read_timeline(file: Path) -> Iterator[TimelineEntry]:
    """The events so far, oldest first."""
    if file.exists():
        for line in file.read_text().splitlines():
            yield json.loads(line)
