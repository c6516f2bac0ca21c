"""Where a command writes: lines, tables and progress bars for people, one JSON document for programs.

Text is shown literally: Rich reads no markup and no emoji codes in it, and what a terminal would act on is written out
(``visible.py``). How each kind of result looks is in ``views.py``, or beside what makes it.
"""

import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.visible import visible, visible_json, visible_lines

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

MINUTE, HOUR, DAY = 60, 3_600, 86_400
PIPE_WIDTH = 1_000
"""Columns where no terminal limits them: a table into a pipe keeps each match on one line."""
CELL_WIDTH = 200
"""Columns of a text in a table; a longer one continues below and loses nothing."""


class _GoingOn(Console):
    """A console that goes quiet when its reader has gone, such as ``head -1``, where Rich's own ends the process."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class Output:
    """Where a command writes. With ``as_json`` standard output carries JSON alone and people's text is left out.

    Args:
        as_json: for programs.
        goes_on: the command changes something, and ends what it has begun although nobody reads what it says.
    """

    has_written = False
    """Whether this process has written its document: standard output never holds two."""

    def __init__(self, *, as_json: bool, goes_on: bool = False) -> None:
        self.as_json = as_json
        kind = _GoingOn if goes_on else Console
        self.console = kind(stderr=as_json, highlight=False, quiet=as_json, markup=False, emoji=False)
        if not self.console.is_terminal and "COLUMNS" not in os.environ:
            self.console.width = PIPE_WIDTH

    def say(self, *parts: str | Text) -> None:
        """A line for people, of plain and of styled parts; a line break in a part is written out."""
        line = Text()
        for part in parts:
            line.append(visible(part) if isinstance(part, str) else part)
        self.console.print(line, soft_wrap=True)

    def say_lines(self, label: Text, text: str) -> None:
        """An error or other programs' output, which may have several lines; no further line looks like one of ours."""
        self.console.print(Text().append(label).append(f" {visible_lines(text)}"), soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A plain table."""
        table = table_of(columns)
        for row in rows:
            table.add_row(*map(cell, row))
        self.console.print(table)

    def heading(self, text: str) -> None:
        """A step's headline."""
        self.console.print()
        self.say(styled(text, "bold"))

    def step(self, operation: str, line: str) -> None:
        """One step of an update; nothing for a resource that it left alone.

        Args:
            operation: an engine's name for what was done: ``create``, ``same``, ``hook``.
            line: the resource and what changed.
        """
        if operation != "same":
            self.say("  ", styled(operation, "cyan" if operation == "hook" else "yellow"), f" {line}")

    def document(self, value: object) -> None:
        """The result for programs; nothing when people read."""
        if self.as_json:
            Output.has_written = True
            content = json.dumps(value, ensure_ascii=False, indent=2, default=str)
            sys.stdout.write(visible_json(content) + "\n")

    def line(self, value: object) -> None:
        """One JSON document in a line, for programs that read while a command goes on."""
        sys.stdout.write(visible_json(json.dumps(value, ensure_ascii=False, default=str)) + "\n")
        sys.stdout.flush()

    @contextmanager
    def progress(self, description: str, total: int | None) -> Iterator["ProgressBar"]:
        """A progress bar for long work."""
        # Imported here because most commands show none.
        from rich.progress import (  # noqa: PLC0415
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        # Into a pipe a bar is written when its work has ended; one that stopped half way would say nothing.
        piped = not self.console.is_terminal
        with Progress(*columns, console=self.console, disable=piped) as progress:
            yield ProgressBar(progress, progress.add_task(visible(description), total=total), description)
        if piped:
            self.console.print(progress.get_renderable())


class ProgressBar:
    """One bar of a running display."""

    def __init__(self, progress: "Progress", task: "TaskID", description: str) -> None:
        self._progress = progress
        self._task = task
        self._description = description

    def set(self, completed: int, total: int | None = None) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=completed, total=total)

    def wait(self, completed: int, total: int, reasons: Mapping[str, int]) -> None:
        """Move the bar, and say what the rest waits for: reason to how many."""
        told = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
        description = visible(f"{self._description} ({told})" if told else self._description)
        self._progress.update(self._task, completed=completed, total=total, description=description)


def styled(text: str, style: str) -> Text:
    """Literal text in a style, for ``Output.say``."""
    return Text(visible(text), style=style)


def cell(value: object) -> Text:
    """A value in a table, literally; a long one continues on the next line of its cell."""
    return Text(visible("-" if value is None else str(value)), overflow="fold")


def age(seconds: float | None) -> str:
    """How long ago, in the largest unit that is full, never more than it was; ``-`` when it is not known."""
    if seconds is None:
        return "-"
    if seconds < MINUTE:
        return f"{math.floor(seconds)} s"
    if seconds < HOUR:
        return f"{math.floor(seconds / MINUTE)} min"
    unit, name = (HOUR, "h") if seconds < DAY else (DAY, "d")
    return f"{math.floor(10 * seconds / unit) / 10} {name}"


def table_of(columns: Sequence[str]) -> Table:
    """An empty table whose long texts continue on further lines."""
    table = Table()
    for name in columns:
        # An id that is cut names nothing, so it gets its width before any text does.
        table.add_column(cell(name), no_wrap=name == "image", overflow="fold", max_width=CELL_WIDTH)
    return table


def as_documents(items: Any) -> list[dict[str, Any]]:
    """Pydantic models as plain JSON values."""
    return [item.model_dump(mode="json") for item in items]
