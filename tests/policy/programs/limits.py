"""Mappings that AWS would refuse, each for one reason."""

import pulumi_aws as aws

from tests.policy.parts import mapping


def fifo(name: str) -> aws.sqs.Queue:
    return aws.sqs.Queue(name, name=f"{name}.fifo", fifo_queue=True)


mapping("window", fifo("window-queue").arn, maximum_batching_window_in_seconds=5)
mapping("batch", fifo("batch-queue").arn, batch_size=11)
mapping("alone", fifo("alone-queue").arn, scaling_config={"maximum_concurrency": 1})
mapping(
    "pollers",
    aws.sqs.Queue("pollers-queue").arn,
    scaling_config={"maximum_concurrency": 2},
    provisioned_poller_config={"minimum_pollers": 2},
)
mapping("window-outside", "arn:aws:sqs:us-east-1:000000000000:outside.fifo", maximum_batching_window_in_seconds=1)
