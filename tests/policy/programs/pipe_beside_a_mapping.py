"""A pipe is a consumer too, and it runs unless it is told to stop."""

import pulumi_aws as aws

from tests.policy.parts import mapping

queue = aws.sqs.Queue("jobs")
mapping("mapping", queue.arn)
bus = aws.cloudwatch.EventBus("bus")
aws.pipes.Pipe("pipe", role_arn="arn:aws:iam::000000000000:role/any", source=queue.arn, target=bus.arn)
