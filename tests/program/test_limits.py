"""The limits of AWS against what botocore's API models and the pinned provider state, and names against their patterns.

A limit that is wrong here refuses what AWS takes, or lets pass what AWS refuses half way through an update.
"""

import re
from typing import Any

import botocore.session
import pulumi_aws as aws
import pytest

from stack import limits
from tests.program.engine import run_program

SESSION = botocore.session.get_session()
LONGEST_STACK_NAME = "s-tack-name-17-ch"
NAMED = {
    "aws:lambda/function:Function": ("lambda", "NamespacedFunctionName"),
    "aws:ecr/repository:Repository": ("ecr", "RepositoryName"),
    "aws:iam/role:Role": ("iam", "roleNameType"),
    "aws:scheduler/schedule:Schedule": ("scheduler", "Name"),
    "aws:dynamodb/table:Table": ("dynamodb", "TableName"),
    "aws:cloudwatch/logGroup:LogGroup": ("logs", "LogGroupName"),
    "aws:cloudwatch/metricAlarm:MetricAlarm": ("cloudwatch", "AlarmName"),
    "aws:appautoscaling/policy:Policy": ("application-autoscaling", "PolicyName"),
}
"""Type to the shape of its name in botocore's model."""
DOCUMENTED = {
    # Amazon SQS API reference, CreateQueue; Amazon S3 user guide, bucketnamingrules; Amazon ECS API reference.
    "aws:sqs/queue:Queue": ("name", r"[A-Za-z0-9_-]{1,75}(\.fifo)?", 80),
    "aws:s3/bucket:Bucket": ("bucketPrefix", r"[a-z0-9][a-z0-9-]*", 63 - 26),
    "aws:ecs/cluster:Cluster": ("name", r"[A-Za-z][A-Za-z0-9_-]*", 255),
    "aws:ecs/service:Service": ("name", r"[A-Za-z][A-Za-z0-9_-]*", 255),
    "aws:ecs/taskDefinition:TaskDefinition": ("family", r"[A-Za-z][A-Za-z0-9_-]*", 255),
    # Amazon SNS API reference, CreateTopic.
    "aws:sns/topic:Topic": ("name", r"[A-Za-z0-9_-]+", 256),
    "aws:ec2/securityGroup:SecurityGroup": ("name", r"(?!sg-)[A-Za-z0-9 ._:/()#,@\[\]+=&;{}!$*-]+", 255),
    # 512 characters, of which the provider's suffix has 26.
    "aws:secretsmanager/secret:Secret": ("namePrefix", r"[A-Za-z0-9/_+=.@-]+", 512 - 26),
}


def _range(service: str, shape: str) -> tuple[int, int]:
    metadata = SESSION.get_service_model(service).shape_for(shape).metadata
    return metadata["min"], metadata["max"]


def _documentation(service: str, shape: str) -> str:
    text: Any = SESSION.get_service_model(service).shape_for(shape).documentation
    return re.sub("<[^>]*>", "", text)


def _member(service: str, shape: str, member: str) -> str:
    structure: Any = SESSION.get_service_model(service).shape_for(shape)
    text = structure.members[member].documentation
    return re.sub("<[^>]*>", "", text)


def test_ranges_that_a_model_states_are_those() -> None:
    assert _range("lambda", "MaximumConcurrency") == (limits.CONCURRENCY_MINIMUM, limits.CONCURRENCY_MAXIMUM)
    assert _range("lambda", "BatchSize")[1] == limits.STANDARD_BATCH_MAXIMUM
    assert _range("lambda", "MaximumNumberOfPollers")[1] == limits.POLLERS_MAXIMUM
    assert _range("lambda", "MemorySize")[0] == limits.FUNCTION_MEMORY_MINIMUM
    assert _range("lambda", "EphemeralStorageSize")[0] == limits.FUNCTION_DISK_MINIMUM
    assert _range("lambda", "MaximumEventAgeInSeconds")[0] == limits.EVENT_AGE_MINIMUM


def test_what_a_model_states_for_managed_instances_is_at_least_a_functions() -> None:
    assert _range("lambda", "Timeout")[1] >= limits.FUNCTION_TIMEOUT_MAXIMUM
    assert _range("lambda", "MemorySize")[1] >= limits.FUNCTION_MEMORY_MAXIMUM
    assert _range("lambda", "EphemeralStorageSize")[1] >= limits.FUNCTION_DISK_MAXIMUM


def test_the_functions_timeout_is_the_pinned_providers() -> None:
    # When this fails the provider has followed the API, and settings may allow more.
    assert f"between 1 and {limits.FUNCTION_TIMEOUT_MAXIMUM}" in (aws.lambda_.FunctionArgs.__init__.__doc__ or "")


def test_the_days_of_a_log_are_those_of_the_model() -> None:
    possible = re.search(r"Possible values are: ([\d, and]+)", _documentation("logs", "Days"))
    assert possible is not None
    assert tuple(map(int, re.findall(r"\d+", possible[1]))) == limits.LOG_RETENTION_DAYS


def test_times_that_a_model_only_describes_are_those() -> None:
    stop = _member("ecs", "ContainerDefinition", "stopTimeout")
    assert f"Fargate are {limits.STOP_TIMEOUT_MINIMUM}-{limits.STOP_TIMEOUT_MAXIMUM} seconds" in stop
    queue = _member("sqs", "SetQueueAttributesRequest", "Attributes")
    assert f"An integer from 0 to {limits.VISIBILITY_MAXIMUM:,}" in queue
    retention = limits.RETENTION_DAYS_MAXIMUM
    assert f"to {retention * limits.SECONDS_PER_DAY:,} ({retention} days)" in queue


@pytest.mark.parametrize(
    "region",
    [name for part in SESSION.get_available_partitions() for name in SESSION.get_available_regions("sts", part)],
)
def test_a_regions_partition_is_botocores(region: str) -> None:
    assert limits.partition_of(region) == SESSION.get_partition_for_region(region)


@pytest.fixture(scope="module")
def recording():
    assert len(LONGEST_STACK_NAME) == 17
    return run_program({}, stack=LONGEST_STACK_NAME)


@pytest.mark.parametrize("kind", NAMED)
def test_names_of_the_longest_stack_are_those_that_the_model_takes(recording, kind: str) -> None:
    service, shape = NAMED[kind]
    metadata = SESSION.get_service_model(service).shape_for(shape).metadata
    for made in recording.of(kind):
        name = made.inputs["name"]
        assert metadata["min"] <= len(name) <= metadata["max"], name
        assert re.fullmatch(metadata.get("pattern", ".*").replace(r"\p{Print}", "[ -~]"), name), name
    assert recording.of(kind)


@pytest.mark.parametrize("kind", DOCUMENTED)
def test_names_of_the_longest_stack_are_those_that_are_documented(recording, kind: str) -> None:
    key, pattern, longest = DOCUMENTED[kind]
    for made in recording.of(kind):
        assert re.fullmatch(pattern, made.inputs[key]), made.inputs[key]
        assert len(made.inputs[key]) <= longest
    assert recording.of(kind)


def test_every_named_type_is_looked_at(recording) -> None:
    named = {
        made.type
        for made in recording.made.values()
        if made.inputs.keys() & {"name", "namePrefix", "bucketPrefix", "family"}
    }
    assert {kind for kind in named if kind.startswith("aws:")} == NAMED.keys() | DOCUMENTED.keys()
