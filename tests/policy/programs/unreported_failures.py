"""A handler's list of failed messages that nobody reads: incident 2 of the origin system."""

import pulumi_aws as aws

from tests.policy.parts import mapping

mapping("silent", aws.sqs.Queue("jobs").arn, function_response_types=None)
mapping("empty", aws.sqs.Queue("more-jobs").arn, function_response_types=[])
