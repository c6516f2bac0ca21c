"""Who works in a stack, by lane of the flow, and what CloudWatch is asked about it. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from ops.auditing import expected_queues

WORKER_LANE, STREAM_LANE = "ECS worker", "stream processor"
LANES = ("read pictures", "process OCR", "Lambda function", WORKER_LANE, STREAM_LANE, "merge")
"""In the order of the flow; pictures are read only where a setting turns that on."""
LANE_OF_OUTPUT: Mapping[str, str] = {
    "pictureFunctionName": LANES[0],
    "uploadFunctionName": LANES[1],
    "embedFunctionName": LANES[2],
    "serviceName": WORKER_LANE,
    "streamProcessorFunctionName": STREAM_LANE,
    "mergeFunctionName": LANES[5],
}
METRICS_SECONDS = 60
"""SQS and Lambda send a point a minute (Amazon SQS developer guide, available CloudWatch metrics)."""


def lanes_of(outputs: Mapping[str, Any]) -> dict[str, str]:
    """The name of every function and service that handles receipts, with its lane.

    Args:
        outputs: the stack's.
    """
    return {outputs[output]: lane for output, lane in LANE_OF_OUTPUT.items() if outputs.get(output)}


def in_order(lanes: Mapping[str, str]) -> tuple[str, ...]:
    """The lanes that a stack has, in the order of the flow."""
    return tuple(lane for lane in LANES if lane in lanes.values())


def metric_queries(outputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What CloudWatch is asked, in one call; pure. Labels are what ``measured`` names its values by."""
    asked = [
        (f"age {item.label}", "AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", item.url.rsplit("/", 1)[-1])
        for item in expected_queues(outputs)
    ]
    for name, lane in lanes_of(outputs).items():
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
