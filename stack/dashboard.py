"""The dashboard: a receipt's way from left to right, and below it the alarms. Pure: it returns the body as a value.

Every metric on which the stack has an alarm is on it; a test checks that.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from stack.alarm_rules import PERIOD_SECONDS, Kind, Subject

COLUMNS: Mapping[str, str] = {
    "upload": "1. OCR results become artifacts",
    "embed": "2. Receipts are embedded",
    "record": "3. Runs are recorded, and their stream is read",
    "merge": "4. Runs are merged and published",
}
"""A column for each part of a receipt's way: the beginning of its subjects' names to its title."""
WIDTH, HEIGHT, HEAD = 6, 6, 1
"""Of a widget; the page is 24 wide (Amazon CloudWatch API reference, dashboard body structure)."""

Line = tuple[str, str, str, Mapping[str, str]]
"""Namespace, metric, statistic, dimensions by key."""
LINES: Mapping[Kind, Mapping[str, Sequence[Line]]] = {
    "queue": {
        "Messages": [
            ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum", {"QueueName": "queue"}),
            ("AWS/SQS", "ApproximateNumberOfMessagesNotVisible", "Maximum", {"QueueName": "queue"}),
        ],
        "Seconds that the oldest message waits": [
            ("AWS/SQS", "ApproximateAgeOfOldestMessage", "Maximum", {"QueueName": "queue"})
        ],
    },
    "dead letter queue": {
        "Dead letters": [("AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum", {"QueueName": "queue"})]
    },
    "function": {
        "Invocations, errors, throttles": [
            ("AWS/Lambda", metric, "Sum", {"FunctionName": "function"})
            for metric in ("Invocations", "Errors", "Throttles")
        ]
    },
    "merge": {
        "Invocations, errors, throttles": [
            ("AWS/Lambda", metric, "Sum", {"FunctionName": "function"})
            for metric in ("Invocations", "Errors", "Throttles")
        ],
        "Ticks that failed, publications refused": [
            ("Receipts", metric, "Sum", {"Table": "table"}) for metric in ("FailedTicks", "LowRecall")
        ],
        "Seconds that a lease is stale, that a request to SQS is open": [
            ("Receipts", metric, "Maximum", {"Table": "table"}) for metric in ("StaleLease", "OldestQueueRequest")
        ],
    },
    "worker": {
        "Tasks, by their reports": [
            ("AWS/ECS", "CPUUtilization", "SampleCount", {"ClusterName": "cluster", "ServiceName": "service"})
        ]
    },
    "stack": {
        "Seconds since the oldest unfinished run": [("Receipts", "OldestUnfinishedRun", "Maximum", {"Table": "table"})],
        "Failed runs": [("Receipts", "FailedRuns", "Maximum", {"Table": "table"})],
        "The stream: milliseconds behind, records lost": [
            ("AWS/Lambda", "IteratorAge", "Maximum", {"FunctionName": "stream processor"}),
            ("AWS/Lambda", "DestinationDeliveryFailures", "Sum", {"FunctionName": "stream processor"}),
        ],
    },
}
"""Kind of a subject to its graphs: title to lines."""


def column_of(subject: Subject) -> str:
    """Which part of the way a subject belongs to."""
    name = subject.name.removeprefix("compaction-")
    if subject.kind in ("worker",) or name.startswith("embed"):
        return "embed"
    if subject.kind == "stack" or name.startswith("stream"):
        return "record"
    return "upload" if name.startswith(("upload", "pictures")) else "merge"


def dashboard_body(watched: Sequence[Subject], alarms: Sequence[Any], *, region: str) -> dict[str, Any]:
    """The body of the dashboard.

    Args:
        watched: the subjects, whose names may be outputs.
        alarms: their ARNs, which may be outputs.
        region: of the stack.
    """
    widgets: list[dict[str, Any]] = []
    depth = HEAD
    for number, (column, title) in enumerate(COLUMNS.items()):
        left, top = number * WIDTH, HEAD
        widgets.append(_widget("text", left, 0, HEAD, {"markdown": f"## {title}"}))
        found = [subject for subject in watched if column_of(subject) == column]
        for heading, lines in _graphs(found).items():
            properties = {
                "title": heading,
                "region": region,
                "period": PERIOD_SECONDS,
                "view": "timeSeries",
                "metrics": lines,
            }
            widgets.append(_widget("metric", left, top, HEIGHT, properties))
            top += HEIGHT
        depth = max(depth, top)
    status = {"title": "Alarms", "alarms": list(alarms)}
    widgets.append({**_widget("alarm", 0, depth, HEIGHT, status), "width": WIDTH * len(COLUMNS)})
    return {"widgets": widgets}


def _graphs(found: Sequence[Subject]) -> dict[str, list[Any]]:
    """Title to lines, those of all subjects of a column together."""
    graphs: dict[str, list[Any]] = {}
    for subject in found:
        for heading, lines in LINES[subject.kind].items():
            for namespace, metric, statistic, dimensions in lines:
                pairs = [part for name, key in dimensions.items() for part in (name, subject.names[key])]
                graphs.setdefault(heading, []).append([namespace, metric, *pairs, {"stat": statistic}])
    return graphs


def _widget(kind: str, left: int, top: int, height: int, properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": kind, "x": left, "y": top, "width": WIDTH, "height": height, "properties": dict(properties)}
