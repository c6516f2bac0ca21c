"""Two mappings of one queue: nobody said whether they are enabled, so they are; or what was said is ignored."""

import pulumi
import pulumi_aws as aws

from tests.policy.parts import function, mapping

jobs = aws.sqs.Queue("jobs")
worker = function("worker")
mapping("first", jobs.arn, function_name=worker.arn)
mapping("second", jobs.arn, function_name=worker.name)

ignored = aws.sqs.Queue("ignored")
mapping("third", ignored.arn)
mapping("by-console", ignored.arn, pulumi.ResourceOptions(ignore_changes=["enabled"]), enabled=False)
