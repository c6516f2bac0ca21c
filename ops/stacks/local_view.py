"""What ``receipts watch`` and the local page see of the stack on this machine, beside the answers of AWS's calls.

It implements ``ops.watching.gathering.StackView``: the emulator shows the ages of messages, the supervisor its
processes, and the timeline who worked when. Its other half is ``account_view``.
"""

import json
import urllib.parse
import urllib.request
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ops import LOCAL_STACK_NAME
from ops.local.paths import TIMELINE_FILE
from ops.local.stack import LocalStack
from ops.local.timeline import TimelineEntry, read_recent
from ops.stacks.local import local_target
from ops.watching.lanes import WORKER_LANE, in_order, lanes_of
from ops.watching.snapshot import TIMELINE_SECONDS, FunctionNow, Span, oldest_age
from stack.limits import FUNCTION_TIMEOUT_MAXIMUM

AGES_OF = 500
"""Messages of one queue, at most, whose ages the emulator is asked for: its answer holds the messages themselves."""
LONGEST_INVOCATION = timedelta(seconds=FUNCTION_TIMEOUT_MAXIMUM)
"""Of a function of this program. An older start without an end is of a killed stack."""


class LocalView:
    """The stack on this machine, to be watched.

    Args:
        stack: it must be up.

    Raises:
        OperatorError: STACK_NOT_RUNNING.
    """

    name = LOCAL_STACK_NAME
    remarks: tuple[str, ...] = ()

    def __init__(self, stack: LocalStack) -> None:
        self._stack = stack
        self.target = local_target(stack)

    def settings(self) -> tuple[Mapping[str, Any], str | None]:
        """Read at every look: another command may have updated the stack, or stopped it, since the last one."""
        current = local_target(self._stack)
        return current.outputs, current.unfinished

    def oldest_seconds(self, label: str, url: str, messages: int, now: datetime) -> float | None:
        """The age of a queue's oldest message; None when the emulator's answer would be too long."""
        del label
        return emulated_age(self.target.client_options["endpoint_url"], url, now) if messages <= AGES_OF else None

    def work(self, outputs: Mapping[str, Any], now: datetime) -> tuple[tuple[Span, ...], tuple[FunctionNow, ...]]:
        """Who worked when, by the timeline and by the processes that run."""
        processes = self._stack.status()
        names = lanes_of(outputs)
        alive = {str(number) for numbers in processes.get("services", {}).values() for number in numbers}
        entries = read_recent(self._stack.state_directory / TIMELINE_FILE)
        spans = spans_of(entries, now, lanes=names, alive=alive)
        return spans, functions_of(spans, in_order(names), WORKER_LANE)

    def close(self) -> None:
        """Nothing is kept open."""


def emulated_age(endpoint: str, queue_url: str, now: datetime) -> float | None:
    """The age of a queue's oldest message by the emulator, which shows messages without receiving them.

    None when the queue is empty, or when the emulator does not answer in time.
    """
    query = urllib.parse.urlencode({"QueueUrl": queue_url})
    address = f"{endpoint}/_ministack/sqs/messages?{query}"
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310 - the emulator's own address
            accounts = json.load(answer)["messages"]
    except OSError:
        # It is busy, or the stack is going down, which the next look says.
        return None
    queues = (messages for regions in accounts.values() for found in regions.values() for messages in found.values())
    return oldest_age((message["SentTimestamp"] for messages in queues for message in messages), now)


def spans_of(
    entries: Sequence[TimelineEntry], now: datetime, *, lanes: Mapping[str, str], alive: Collection[str]
) -> tuple[Span, ...]:
    """Who worked when, in the last ``TIMELINE_SECONDS``.

    Args:
        entries: the events of one machine, oldest first.
        now: the moment that they are seen from.
        lanes: names of functions and services to lanes; what has no lane is left out.
        alive: identifiers of the workers that run; a worker that was started and is neither here nor ended was killed
            with its stack.
    """
    moment, open_since = now.timestamp(), {}
    spans: list[Span] = []

    def add(name: str, started: float, ended: float | None) -> None:
        since_end = 0.0 if ended is None else moment - ended
        if name in lanes and since_end <= TIMELINE_SECONDS:
            started_ago = min(moment - started, float(TIMELINE_SECONDS))
            span = Span(
                lane=lanes[name], started=max(started_ago, 0.0), ended=max(since_end, 0.0), is_running=ended is None
            )
            spans.append(span)

    for entry in entries:
        if entry["event"] in ("invocation started", "worker started"):
            open_since[entry["name"], entry["identifier"]] = entry
        elif start := open_since.pop((entry["name"], entry["identifier"]), None):
            add(entry["name"], start["at"], entry["at"])
    for (name, identifier), start in open_since.items():
        is_worker = start["event"] == "worker started"
        if identifier in alive if is_worker else moment - start["at"] < LONGEST_INVOCATION.total_seconds():
            add(name, start["at"], None)
    return tuple(spans)


def functions_of(spans: Sequence[Span], lanes: Sequence[str], worker_lane: str) -> tuple[FunctionNow, ...]:
    """What the timeline says of every function and of the worker."""
    return tuple(
        FunctionNow(
            label=lane,
            running=sum(span.is_running for span in spans if span.lane == lane),
            recent=None if lane == worker_lane else sum(span.lane == lane for span in spans),
        )
        for lane in lanes
    )
