"""The checks of a switch as a table that follows them, or as lines where the output is no terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.live import Live
from rich.table import Table

from ops.console import Output, cell, styled
from ops.switching.checks import Check


@contextmanager
def live_checks(output: Output) -> Iterator[Callable[[list[Check]], None]]:
    """A table that is drawn again at every look; without a terminal, a line when a check is decided."""
    told: set[str] = set()
    with Live(console=output.console, auto_refresh=False) as live:

        def show(checks: list[Check]) -> None:
            if output.console.is_terminal:
                live.update(_checks(checks), refresh=True)
                return
            for check in checks:
                if check.state != "waiting" and check.title not in told:
                    told.add(check.title)
                    output.say(f"  {check.state}: {check.title} ({check.detail})")

        yield show


def _checks(checks: list[Check]) -> Table:
    colours = {"passed": "green", "failed": "red", "waiting": "yellow"}
    table = Table("check", "state", "seen")
    for check in checks:
        table.add_row(cell(check.title), styled(check.state, colours[check.state]), cell(check.detail))
    return table
