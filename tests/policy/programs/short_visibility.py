"""Messages that come back while the function still works on them, or may."""

import pulumi_aws as aws

from tests.policy.parts import function, mapping

slow = function("slow", publish=True)
aliased = aws.lambda_.Alias("live", function_name=slow.arn, function_version="1")
mapping("below", aws.sqs.Queue("four", visibility_timeout_seconds=4).arn)
mapping("below-by-alias", aws.sqs.Queue("three", visibility_timeout_seconds=3).arn, function_name=aliased.arn)
mapping("equal", aws.sqs.Queue("five", visibility_timeout_seconds=5).arn)
mapping("barely", aws.sqs.Queue("unadvised", visibility_timeout_seconds=29).arn)
