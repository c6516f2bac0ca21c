"""The function that publishes every minute how many messages wait for the worker: the metric of its scaling.

SQS's own metrics stop six hours after a queue was last used and come back up to fifteen minutes late, and a worker at
zero uses nothing. This function only counts; Application Auto Scaling alone changes the number of tasks.
"""

import os
from dataclasses import dataclass
from functools import cache
from typing import Any

from compaction_worker.environment import METRIC, WaitingEnvironment
from pipeline.aws import AwsClient, connect
from pipeline.logs import configure_logging

COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
"""Those in flight wait, too: the task that holds the last message must not be taken away."""


@dataclass(frozen=True, kw_only=True)
class WaitingReport:
    """The function with its adapters; a test passes others."""

    environment: WaitingEnvironment
    sqs_client: AwsClient
    cloudwatch_client: AwsClient

    def publish(self, queue_url: str) -> int:
        """Count and publish.

        Args:
            queue_url: that of the queue which the worker polls.

        Returns:
            Messages that are visible, in flight or delayed.

        Raises:
            ClientError: of SQS or CloudWatch; the next minute tries again, and without a count nothing is scaled.
        """
        counts = self.sqs_client.get_queue_attributes(QueueUrl=queue_url, AttributeNames=list(COUNTS))["Attributes"]
        waiting = sum(int(counts[name]) for name in COUNTS)
        self.cloudwatch_client.put_metric_data(
            Namespace=self.environment.metric_namespace,
            MetricData=[
                {
                    "MetricName": METRIC,
                    "Dimensions": [{"Name": "QueueName", "Value": queue_url.rsplit("/", 1)[-1]}],
                    "Value": waiting,
                    "Unit": "Count",
                }
            ],
        )
        return waiting


@cache
def _report() -> WaitingReport:
    configure_logging()
    return WaitingReport(
        environment=WaitingEnvironment.from_variables(os.environ),
        sqs_client=connect("sqs"),
        cloudwatch_client=connect("cloudwatch"),
    )


def report(event: dict[str, Any], context: object) -> dict[str, int]:  # noqa: ARG001 - Lambda's signature
    """Lambda's entry point: the schedule's event names the queue."""
    return {"waiting": _report().publish(event["queue_url"])}
