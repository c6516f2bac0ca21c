"""Limits of AWS that settings and rules are checked against: constants alone, each with the page or model it is from.

Where botocore's API models state a limit, ``tests/program/test_limits.py`` compares. Ranges that are this program's own
choice are in ``stack/settings.py``.
"""

from collections.abc import Mapping

SECONDS_PER_DAY = 86_400

FIFO_BATCH_MAXIMUM = 10
"""AWS Lambda developer guide, services-sqs-parameters: a FIFO queue's batch is 1 to 10, without a window."""
STANDARD_BATCH_MAXIMUM = 10_000
"""The same page; above 10 a window of at least one second is required."""
CONCURRENCY_MINIMUM, CONCURRENCY_MAXIMUM = 2, 1_000
"""AWS Lambda developer guide, services-sqs-scaling: ScalingConfig.MaximumConcurrency; it can never be 1."""
POLLERS_MAXIMUM = 10_000
"""AWS Lambda API model of botocore 1.43.106, ProvisionedPollerConfig; excludes a maximum concurrency."""
FUNCTION_TIMEOUT_MAXIMUM = 900
"""Seconds. The refusal is pulumi-aws 7.51.1's ("Valid between 1 and 900", ``aws.lambda.Function``), not AWS's: since
November 2026 the API takes 1,800, and 5,400 on Lambda Managed Instances (model of botocore 1.43.106)."""
FUNCTION_MEMORY_MINIMUM, FUNCTION_MEMORY_MAXIMUM = 128, 10_240
"""MB; AWS Lambda developer guide, gettingstarted-limits. The API's 32,768 is for Managed Instances."""
NEW_ACCOUNT_FUNCTION_MEMORY = 3_008
"""MB; AWS refuses more to a new account until it raises that account's limit, which no quota shows (AWS Lambda
developer guide, gettingstarted-limits)."""
FUNCTION_DISK_MINIMUM, FUNCTION_DISK_MAXIMUM = 512, 10_240
"""MB of ``/tmp``; AWS Lambda developer guide, gettingstarted-limits. SnapStart takes no EFS and at most 512 MB."""
EVENT_AGE_MINIMUM = 60
"""Seconds; AWS Lambda API reference, PutFunctionEventInvokeConfig: MaximumEventAgeInSeconds, up to 21,600."""
VISIBILITY_MAXIMUM = 43_200
"""Seconds; Amazon SQS developer guide, quotas-messages; also the longest retention."""
VISIBILITY_TIMES = 6
"""Of a function's timeout, its queue's visibility timeout (AWS Lambda developer guide, services-sqs-configure)."""
RETENTION_DAYS_MAXIMUM = 14
RECEIVE_COUNT_MAXIMUM = 1_000
"""Amazon SQS API reference, SetQueueAttributes: maxReceiveCount of a redrive policy."""
STOP_TIMEOUT_MINIMUM, STOP_TIMEOUT_MAXIMUM = 2, 120
"""Seconds on Fargate; Amazon ECS API reference, ContainerDefinition."""
FARGATE_MEMORY_MB: Mapping[int, tuple[int, ...]] = {
    256: (512, 1_024, 2_048),
    512: tuple(range(1_024, 4_096 + 1, 1_024)),
    1_024: tuple(range(2_048, 8_192 + 1, 1_024)),
    2_048: tuple(range(4_096, 16_384 + 1, 1_024)),
    4_096: tuple(range(8_192, 30_720 + 1, 1_024)),
    8_192: tuple(range(16_384, 61_440 + 1, 4_096)),
    16_384: tuple(range(32_768, 122_880 + 1, 8_192)),
}
"""CPU units to memory; Amazon ECS API reference, RegisterTaskDefinition: the table of Fargate sizes is closed."""
STEP_ADJUSTMENTS_MAXIMUM = 20
"""Of one scaling policy; Application Auto Scaling user guide, application-auto-scaling-quotas; it cannot be raised."""
LOG_RETENTION_DAYS = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653),
)
"""Amazon CloudWatch Logs API reference, PutRetentionPolicy."""
RESERVED_ADDRESSES = 5
"""Of each subnet AWS keeps the first four and the last one (Amazon VPC user guide, subnet-sizing)."""
NETWORK_PREFIX_MINIMUM, NETWORK_PREFIX_MAXIMUM = 16, 24
"""AWS allows /16 to /28 for a network and for a subnet (the same page); a zone's subnet is a sixteenth here."""
SUBNET_BITS = 4
PARTITION_PREFIXES: Mapping[str, str] = {
    "cn-": "aws-cn",
    "us-gov-": "aws-us-gov",
    "us-iso-": "aws-iso",
    "us-isob-": "aws-iso-b",
    "eu-isoe-": "aws-iso-e",
    "us-isof-": "aws-iso-f",
    "eusc-": "aws-eusc",
}
"""Beginning of a region's name to its partition; every other region is of ``aws`` (botocore's partitions.json)."""


def partition_of(region: str) -> str:
    """The partition of a region: the second part of every ARN there."""
    return next((name for prefix, name in PARTITION_PREFIXES.items() if region.startswith(prefix)), "aws")
