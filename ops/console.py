"""How results are shown: tables and progress bars for people, one JSON document on standard output for programs."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from ops.reporting import StackStatus
from ops.searching import SearchResult


class Output:
    """Where a command writes. With ``as_json`` standard output carries JSON alone and people's text is left out."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(stderr=as_json, highlight=False, quiet=as_json)

    def say(self, text: str) -> None:
        """A line for people."""
        self.console.print(text)

    def heading(self, text: str) -> None:
        """A step's headline."""
        self.console.print(f"\n[bold]{text}[/bold]")

    def document(self, value: object) -> None:
        """The result for programs; nothing when people read."""
        if self.as_json:
            json.dump(value, sys.stdout, ensure_ascii=False, indent=2, default=str)
            sys.stdout.write("\n")

    @contextmanager
    def progress(self, description: str, total: int) -> Iterator["ProgressBar"]:
        """A progress bar for long work."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console) as progress:
            yield ProgressBar(progress, progress.add_task(description, total=total))

    def search_result(self, text: str, result: SearchResult) -> None:
        """A table of matches."""
        table = Table(title=f"{text!r} in version {result.version} ({result.count} vectors)", title_justify="left")
        for column in ("distance", "text", "merchant", "image", "receipt"):
            table.add_column(column)
        for match in result.matches:
            table.add_row(
                f"{abs(match['distance']):.3f}",
                str(match["text"]),
                str(match.get("merchant_name", "-")),
                str(match["image_id"])[:8],
                str(match["receipt_id"]),
            )
        self.console.print(table)

    def status(self, status: StackStatus) -> None:
        """The tables of ``receipts status``."""
        consumer = status["consumer"]
        self.say(
            f"consumer: [bold]{consumer['chosen']}[/bold]  (Lambda mapping {consumer['mapping_state']}, "
            f"ECS desired {consumer['desired_count']}, running {consumer['running_count']})"
        )
        table = Table("queue", "visible", "in flight")
        for queue in status["queues"]:
            table.add_row(queue["name"], str(queue["visible"]), str(queue["in_flight"]))
        self.console.print(table)
        self.say(f"receipts embedded, by consumer: {_counts(status['runs_by_consumer'])}")
        self.say(f"runs, by state: {_counts(status['runs_by_state'])}")
        self.say(f"merchants, by source: {_counts(status['merchants'])}")
        versions = (f"{name} {version or 'nothing yet'}" for name, version in status["snapshots"].items())
        self.say(f"published versions: {', '.join(versions)}")


class ProgressBar:
    """One bar of a running display."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def set(self, completed: int, total: int | None = None) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=completed, total=total)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counts.items()) or "none yet"


def as_documents(items: Any) -> list[dict[str, Any]]:
    """Pydantic models as plain JSON values."""
    return [item.model_dump(mode="json") for item in items]
