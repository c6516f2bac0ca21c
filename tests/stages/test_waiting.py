"""What the worker's scaling goes by, on moto: a count that leaves messages out would take the last task from them."""

import pytest

from compaction_worker.environment import METRIC, NAMESPACE, WaitingEnvironment
from compaction_worker.waiting import WaitingReport
from tests.world import MOTO, create_queue

QUEUE = "receipts-test-embed.fifo"


@pytest.mark.parametrize(("sent", "received"), [(0, 0), (3, 0), (3, 2), (2, 2)])
def test_messages_in_flight_are_counted_with_those_that_are_visible(aws: None, sent: int, received: int) -> None:
    sqs, cloudwatch = MOTO("sqs"), MOTO("cloudwatch")
    url = create_queue(sqs, QUEUE)
    for number in range(sent):
        sqs.send_message(QueueUrl=url, MessageBody="x", MessageGroupId=f"{number}", MessageDeduplicationId=f"{number}")
    for _ in range(received):
        sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1, VisibilityTimeout=60)
    report = WaitingReport(
        environment=WaitingEnvironment(metric_namespace=NAMESPACE), sqs_client=sqs, cloudwatch_client=cloudwatch
    )
    assert report.publish(url) == sent
    (metric,) = cloudwatch.list_metrics()["Metrics"]
    assert (metric["Namespace"], metric["MetricName"]) == (NAMESPACE, METRIC)
    assert metric["Dimensions"] == [{"Name": "QueueName", "Value": QUEUE}]
