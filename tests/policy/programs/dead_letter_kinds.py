"""Failed messages that are sent where AWS will not take them."""

import pulumi
import pulumi_aws as aws

from tests.policy.parts import mapping

standard = aws.sqs.Queue("standard-dead")
fifo = aws.sqs.Queue("fifo-dead", name="dead.fifo", fifo_queue=True)


def redrive(dead: aws.sqs.Queue) -> pulumi.Output[str]:
    return pulumi.Output.json_dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 5})


aws.sqs.Queue("fifo", name="jobs.fifo", fifo_queue=True, redrive_policy=redrive(standard))
jobs = aws.sqs.Queue("jobs")
aws.sqs.RedrivePolicy("redrive", queue_url=jobs.url, redrive_policy=redrive(fifo))

table = aws.dynamodb.Table("table", stream_enabled=True)
topic = aws.sns.Topic("topic", name="topic.fifo", fifo_topic=True)
for name, destination in (("to-queue", fifo.arn), ("to-topic", topic.arn)):
    mapping(
        name,
        table.stream_arn,
        starting_position="LATEST",
        destination_config={"on_failure": {"destination_arn": destination}},
    )
