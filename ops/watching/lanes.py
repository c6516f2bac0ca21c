"""Who works in a stack, by lane of the flow: who worked when on one machine, and what CloudWatch is asked. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ops.auditing import expected_queues
from ops.local.timeline import TimelineEntry
from ops.watching.snapshot import TIMELINE_SECONDS, FunctionNow, Span

WORKER_LANE, STREAM_LANE = "ECS worker", "stream processor"
LANES = ("read pictures", "process OCR", "Lambda function", WORKER_LANE, STREAM_LANE, "merge")
"""In the order of the flow; pictures are read only where a setting turns that on."""
LANE_OF_OUTPUT: Mapping[str, str] = {
    "pictureFunctionName": LANES[0],
    "uploadFunctionName": LANES[1],
    "embedFunctionName": LANES[2],
    "serviceName": WORKER_LANE,
    "mergeFunctionName": LANES[5],
}
LONGEST_INVOCATION = timedelta(minutes=15)
"""Of a Lambda function (AWS Lambda developer guide, quotas). An older start without an end is of a killed stack."""
METRICS_SECONDS = 60
"""SQS and Lambda send a point a minute (Amazon SQS developer guide, available CloudWatch metrics)."""


def lanes_of(outputs: Mapping[str, Any], functions: Iterable[str]) -> dict[str, str]:
    """The name of every function and service with its lane.

    Args:
        outputs: the stack's.
        functions: that run on one machine; the one that no output names is the stream processor.
    """
    lanes = {outputs[output]: lane for output, lane in LANE_OF_OUTPUT.items() if outputs.get(output)}
    return lanes | {name: STREAM_LANE for name in functions if name not in lanes}


def in_order(lanes: Mapping[str, str]) -> tuple[str, ...]:
    """The lanes that a stack has, in the order of the flow."""
    return tuple(lane for lane in LANES if lane in lanes.values())


def metric_queries(outputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What CloudWatch is asked, in one call; pure. Labels are what ``measured`` names its values by."""
    asked = [
        (f"age {item.label}", "AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", item.url.rsplit("/", 1)[-1])
        for item in expected_queues(outputs)
    ]
    for name, lane in lanes_of(outputs, ()).items():
        if lane != WORKER_LANE:
            asked.append((f"invocations {lane}", "AWS/Lambda", "Invocations", "FunctionName", name))
            asked.append((f"errors {lane}", "AWS/Lambda", "Errors", "FunctionName", name))
    return [
        {
            "Id": f"m{number}",
            "Label": label,
            "MetricStat": {
                "Metric": {
                    "Namespace": namespace,
                    "MetricName": metric,
                    "Dimensions": [{"Name": dimension, "Value": value}],
                },
                "Period": METRICS_SECONDS,
                "Stat": "Maximum" if label.startswith("age ") else "Sum",
            },
        }
        for number, (label, namespace, metric, dimension, value) in enumerate(asked)
    ]


def measured(results: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Label to value: of an age the latest point, of a count the sum; without those that have no point; pure."""
    return {
        result["Label"]: result["Values"][0] if result["Label"].startswith("age ") else sum(result["Values"])
        for result in results
        if result["Values"]
    }


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
                lane=lanes[name], started=max(started_ago, 0.0), ended=max(since_end, 0.0), is_running=not ended
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
