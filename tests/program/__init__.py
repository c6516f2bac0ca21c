"""The infrastructure program under a recording engine."""

import warnings

import pulumi_aws

# The provider's package warns of its own old modules when a neighbour of theirs is first looked into.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    for service in ("s3", "lambda_", "sqs", "ec2", "efs", "ecs", "iam", "dynamodb", "appautoscaling", "cloudwatch"):
        hasattr(getattr(pulumi_aws, service), "Loaded")
