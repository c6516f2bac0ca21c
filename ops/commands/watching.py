"""The command that shows a stack as it works: watch."""

from typing import Annotated

import typer

from ops import LOCAL_STACK_NAME
from ops.commands import options
from ops.commands.options import LARGEST_INTEGER, AsJson, StackName

application = typer.Typer()
LONGEST_INTERVAL = 86_400
"""Seconds; who looks less often than once a day has no use for a view."""


@application.command("watch")
def watch_stack(
    interval: Annotated[
        float, typer.Option(help="Seconds from one look to the next.", min=0.2, max=LONGEST_INTERVAL)
    ] = 1.0,
    count: Annotated[
        int | None,
        typer.Option(
            help="Looks before it ends.", show_default="until Ctrl-C; 1 with --json", min=1, max=LARGEST_INTEGER
        ),
    ] = None,
    stack: StackName = LOCAL_STACK_NAME,
    as_json: AsJson = False,
) -> None:
    """One screen that is drawn again every second: queues, consumer, work, runs, versions, errors and a timeline.

    Where the output is no terminal, each look prints one plain frame; with --json one JSON document on a line.
    """
    import time

    from ops.console import Output
    from ops.watching import terminal
    from ops.watching.gathering import Watcher

    output = Output(as_json=as_json)
    looks = 1 if count is None and as_json else count
    with Watcher(options.view(stack)) as watcher:
        try:
            terminal.watch(output, watcher.look, interval=interval, count=looks, sleep=time.sleep)
        except KeyboardInterrupt:
            # It is how a view is ended, and leaves nothing half done.
            raise typer.Exit from None
