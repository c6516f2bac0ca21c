"""A snapshot as one screen of a terminal, or as plain frames where there is no terminal. It looks at nothing itself."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ops.console import Output, age, styled
from ops.failures import may_pass
from ops.watching.lanes import LANES
from ops.watching.snapshot import TIMELINE_SECONDS, QueueNow, RunCounts, Snapshot, Span, Standing, as_document

COLOURS: dict[Standing, str] = {"on": "green", "starting": "yellow", "stopping": "yellow", "off": "dim"}
LANE_WIDTH = max(map(len, LANES))
BARS = (20, 120)
"""Columns of the timeline, in a narrow and in a wide terminal."""


def watch(
    output: Output,
    look: Callable[[], Snapshot],
    *,
    interval: float,
    count: int | None,
    sleep: Callable[[float], object],
) -> None:
    """Show what is seen, until Ctrl-C, or ``count`` times.

    Args:
        output: a terminal gets one screen that is drawn again, a pipe one frame below the other, programs JSON lines.
        look: gathers a snapshot.
        interval: seconds from one look to the next.
        count: None for ever.
        sleep: waits for so many seconds.

    Raises:
        OperatorError: STACK_NOT_RUNNING, when the stack ends meanwhile.
        Exception: what the first look raises, and every bug. A later look that fails keeps the last snapshot, with
            the reason among its remarks, because the next one may succeed.
    """
    is_screen = output.console.is_terminal and not output.as_json
    seen: Snapshot | None = None
    with Live(console=output.console, auto_refresh=False, screen=is_screen) as live:
        for number in range(count) if count is not None else iter(int, 1):
            begun = time.monotonic()
            try:
                shown = seen = look()
            except Exception as error:
                if seen is None or not may_pass(error):
                    raise
                shown = replace(seen, remarks=(*seen.remarks, f"could not look just now: {error}"))
            if output.as_json:
                output.line(as_document(shown))
            elif is_screen:
                live.update(frame(shown, output.console.width), refresh=True)
            else:
                output.console.print(frame(shown, output.console.width))
            if count is None or number + 1 < count:
                sleep(max(interval - (time.monotonic() - begun), 0.0))


def frame(snapshot: Snapshot, width: int) -> RenderableType:
    """One screen.

    Args:
        snapshot: what was seen.
        width: columns of the terminal.
    """
    parts: list[RenderableType] = [_head(snapshot), _hosts(snapshot), _queues(snapshot), _dead_letters(snapshot)]
    parts += [_functions(snapshot), _runs(snapshot.runs), _versions(snapshot)]
    if snapshot.spans is not None:
        columns = min(max(width - LANE_WIDTH - 2, BARS[0]), BARS[1])
        parts.append(Text(f"\nthe last {TIMELINE_SECONDS} seconds, now at the right", style="dim"))
        parts += [_lane(lane, snapshot.spans, columns) for lane in (item.label for item in snapshot.functions)]
    parts += [Text.assemble("\n", styled(error, "red")) for error in (snapshot.runs.errors if snapshot.runs else ())]
    parts += [styled(remark, "yellow") for remark in snapshot.remarks]
    return Group(*parts)


def bar(spans: Sequence[Span], columns: int) -> str:
    """One lane's timeline, oldest at the left: a column is full when somebody worked in its time; pure."""
    seconds = TIMELINE_SECONDS / columns
    filled = [False] * columns
    for span in spans:
        first = int((TIMELINE_SECONDS - span.started) / seconds)
        last = int((TIMELINE_SECONDS - span.ended) / seconds)
        for column in range(max(first, 0), min(last, columns - 1) + 1):
            filled[column] = True
    return "".join("█" if is_filled else "·" for is_filled in filled)


def switch_text(snapshot: Snapshot) -> str | None:
    """What is said of an update that has not ended; None when there is none."""
    if snapshot.unfinished is None:
        return None
    return f"an update from {snapshot.chosen} to {snapshot.unfinished} has begun and not ended"


def _head(snapshot: Snapshot) -> Text:
    head = Text.assemble(
        styled(f"stack {snapshot.stack}", "bold"), "  ", styled(f"{snapshot.at:%Y-%m-%d %H:%M:%S} UTC", "dim")
    )
    if text := switch_text(snapshot):
        head.append("  ").append(styled(text, "yellow"))
    return head


def _hosts(snapshot: Snapshot) -> Text:
    line = Text.assemble("consumer: ", styled(snapshot.chosen, "bold"))
    for host in snapshot.hosts:
        name = "Lambda function" if host.kind == "lambda" else "ECS worker"
        line.append(f"   {name} ").append(styled(host.standing, COLOURS[host.standing]))
        line.append(styled(f" ({host.detail})", "dim"))
    return line


def _queues(snapshot: Snapshot) -> Table:
    table = Table("queue", "visible", "in flight", "oldest")
    for queue in snapshot.queues:
        if not queue.is_dead_letter:
            counts = ("missing", "-", "-") if queue.is_missing else _counts(queue)
            table.add_row(*map(Text, (queue.label, *counts)))
    return table


def _counts(queue: QueueNow) -> tuple[str, str, str]:
    return str(queue.visible), str(queue.in_flight), age(queue.oldest_seconds)


def _dead_letters(snapshot: Snapshot) -> Text:
    full = [queue for queue in snapshot.queues if queue.is_dead_letter and queue.visible + queue.in_flight]
    if not full:
        return Text("dead letters: none")
    told = ", ".join(f"{queue.label} {queue.visible + queue.in_flight}" for queue in full)
    return Text.assemble("dead letters: ", styled(told, "red"), "; `receipts dead-letters list` says why")


def _functions(snapshot: Snapshot) -> Text:
    line = Text("work: ")
    for number, function in enumerate(snapshot.functions):
        recent = "" if function.recent is None else f"{function.recent} lately"
        running = "" if function.running is None else f"{function.running} now"
        failed = f"{function.failed} failed" if function.failed else ""
        told = ", ".join(filter(None, (running, recent, failed))) or "-"
        line.append("; " if number else "").append(f"{function.label} {told}")
    return line


def _runs(runs: RunCounts | None) -> Text:
    if runs is None:
        return Text("runs: the table is being read")
    line = Text("runs: ")
    if not runs.by_state:
        return line.append("none yet")
    for number, (state, count) in enumerate(runs.by_state.items()):
        line.append(", " if number else "").append(styled(f"{state} {count}", "red" if "FAILED" in state else ""))
    embedded = ", ".join(f"{consumer} {count}" for consumer, count in runs.by_consumer.items())
    return line.append(f"; embedded by {embedded}") if embedded else line


def _versions(snapshot: Snapshot) -> Text:
    told = [
        f"{item.collection} {item.version}, {item.rows} rows, {item.texts} texts, "
        f"{age((snapshot.at - item.published_at).total_seconds())} old"
        if item.version and item.published_at
        else f"{item.collection} nothing yet"
        for item in snapshot.versions
    ]
    return Text("\n".join(f"published: {line}" for line in told))


def _lane(lane: str, spans: Sequence[Span], columns: int) -> Text:
    of_lane = [span for span in spans if span.lane == lane]
    return Text.assemble(f"{lane:<{LANE_WIDTH}}  ", styled(bar(of_lane, columns), "green" if of_lane else "dim"))
