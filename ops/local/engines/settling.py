"""Waiting for what a Pulumi program has declared, in time that grows with the resources and not with their square.

Pulumi 3.272.0's own ``wait_for_rpcs`` waits for the first of all open outputs, then for the first of the rest, and so
on: 100,000 callbacks are registered for this project's 170 resources, half of the processor time of an evaluation
(measured). A program that awaits ``settled`` at its end leaves nothing open for that loop. It replaces nothing of
Pulumi, which still raises what went wrong; the names of ``pulumi.runtime`` used here are private, and pulumi is pinned.
"""

import asyncio
from typing import Any

from pulumi.runtime.settings import SETTINGS

POLL_SECONDS = 0.01
"""Looking at every open output takes less than a hundredth of it."""


async def settled() -> None:
    """Return when every output is known, or when something has failed: Pulumi's own loop then raises that failure."""
    # Without its types: Pulumi declares these properties as methods.
    settings: Any = SETTINGS
    while settings.rpc_manager.unhandled_exception is None:
        with settings.lock:
            outputs = list(settings.outputs)
        if any(task.done() and (task.cancelled() or task.exception() is not None) for task in outputs):
            return
        if all(task.done() for task in outputs):
            return
        await asyncio.sleep(POLL_SECONDS)


def forget() -> None:
    """Drop what a program that has ended left open: it would be in the way of the next one of this process."""
    settings: Any = SETTINGS
    with settings.lock:
        settings.outputs.clear()
